//! The closed table of operations: which there are, which tier they need and
//! which field names what they touch. Everything that asks "may this client do
//! that" reads this table and nothing else.

/// `read` < `write` < `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Looks at data.
    Read,
    /// Changes data.
    Write,
    /// Defines things and runs the server.
    Admin,
}

impl Tier {
    /// Its name, such as `read`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Read => "read",
            Tier::Write => "write",
            Tier::Admin => "admin",
        }
    }
}

/// Whether a name is the prefix, a dot and something or nothing.
const fn is_in(name: &[u8], prefix: &[u8]) -> bool {
    match name.split_at_checked(prefix.len()) {
        Some((mut begins, [b'.', ..])) => {
            let mut prefix = prefix;
            while let ([a, rest @ ..], [b, others @ ..]) = (begins, prefix) {
                if *a != *b {
                    return false;
                }
                (begins, prefix) = (rest, others);
            }
            true
        }
        _ => false,
    }
}

macro_rules! families {
    ($($variant:ident $name:literal;)*) => {
        /// The prefix of an operation: the subsystem that it belongs to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family { $($variant),* }

        impl Family {
            /// The family of a type, known or not: a prefix test on the whole string.
            pub const fn of(operation: &str) -> Option<Family> {
                $(if is_in(operation.as_bytes(), $name.as_bytes()) {
                    return Some(Family::$variant);
                })*
                None
            }

            pub const fn as_str(self) -> &'static str {
                match self { $(Family::$variant => $name),* }
            }
        }
    };
}

families! {
    Store "store";
    Rules "rules";
    Identity "identity";
    Auth "auth";
    Audit "audit";
    Procedures "procedures";
    Server "server";
    Logic "logic";
    Access "access";
    Session "session";
}

/// What an operation touches, taken from exactly one field (a dotted path).
/// A missing or non-string field, like [`Resource::None`], is the resource `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    None,
    Bucket(&'static str),
    Query(&'static str),
    Topic(&'static str),
    Procedure(&'static str),
    /// One of the connection's own subscriptions: needs no permission.
    OwnSubscription,
    /// The connection's own client session: needs no permission.
    OwnSession,
    /// `store.transaction`: decided bucket by bucket.
    EachOperation,
    /// `store.subscribeMany`: each entry is decided as its own operation.
    EachEntry,
}

/// The one table of operations. A row is all that an operation needs: its
/// variant, its name on the wire, its tier, what it touches, and the call that
/// runs it. `once` stands where a request may be numbered: operations that change
/// data, definitions or rights, or emit; not those that answer a secret, end a
/// login, write files or concern this process.
///
/// The call begins with its scope: what the operation may touch (`engine/scopes.rs`,
/// which has a type for each). `reading` sees records, `writing` prepares a change of
/// them, `looking` sees everything, `whole` may do everything; ARCHITECTURE.md lists
/// them all. The handler is a method of that type and takes any of `conn`, `request`,
/// and `out` (where `data` goes) or `reply`. All of it is written as names only, because
/// nothing here knows the engine; `engine::ops` expands the table a second time into the
/// dispatch, so a row whose handler is missing, or wants more than its scope has, does
/// not compile.
macro_rules! operation_table {
    ($with:ident) => {
        $with! {
            StoreGet "store.get" Some(Read), Bucket("bucket") => reading store_get(request, out);
            StoreAll "store.all" Some(Read), Bucket("bucket") => reading store_all(request, out);
            StoreWhere "store.where" Some(Read), Bucket("bucket") => reading store_where(request, out);
            StoreFindOne "store.findOne" Some(Read), Bucket("bucket") => reading store_find_one(request, out);
            StoreCount "store.count" Some(Read), Bucket("bucket") => reading store_count(request, out);
            StoreFirst "store.first" Some(Read), Bucket("bucket") => reading store_first(request, out);
            StoreLast "store.last" Some(Read), Bucket("bucket") => reading store_last(request, out);
            StorePaginate "store.paginate" Some(Read), Bucket("bucket") => reading store_paginate(request, out);
            StoreSum "store.sum" Some(Read), Bucket("bucket") => reading store_sum(request, out);
            StoreAvg "store.avg" Some(Read), Bucket("bucket") => reading store_avg(request, out);
            StoreMin "store.min" Some(Read), Bucket("bucket") => reading store_min(request, out);
            StoreMax "store.max" Some(Read), Bucket("bucket") => reading store_max(request, out);
            StoreGroupBy "store.groupBy" Some(Read), Bucket("bucket") => reading store_group_by(request, out);
            StoreFind "store.find" Some(Read), Bucket("bucket") => reading store_find(request, out);
            StoreQuery "store.query" Some(Read), Query("query") => reading store_query(request, out);
            StoreExplain "store.explain" Some(Read), Bucket("bucket") => reading store_explain(request, out);
            StoreSubscribe "store.subscribe" Some(Read), Query("query") => whole store_subscribe(conn, request, out);
            StoreLive "store.live" Some(Read), Bucket("bucket") => whole store_live(conn, request, out);
            StoreSubscribeMany "store.subscribeMany" Some(Read), EachEntry => whole store_subscribe_many(conn, request, out);
            StoreUnsubscribe "store.unsubscribe" Some(Read), OwnSubscription => whole store_unsubscribe(conn, request, out);
            StoreResync "store.resync" Some(Read), OwnSubscription => whole store_resync(conn, request, out);
            StoreMoveWindow "store.moveWindow" Some(Read), OwnSubscription => whole store_move_window(conn, request, out);
            StoreBuckets "store.buckets" Some(Read), None => looking store_buckets(out);
            StoreStats "store.stats" Some(Read), None => looking write_store_stats(out);
            StoreInsert "store.insert" Some(Write), Bucket("bucket"), once => writing store_insert(request, out);
            StoreUpdate "store.update" Some(Write), Bucket("bucket"), once => writing store_update(request, out);
            StoreDelete "store.delete" Some(Write), Bucket("bucket"), once => writing store_delete(request, out);
            StoreClear "store.clear" Some(Write), Bucket("bucket"), once => writing store_clear(request, out);
            StoreUpsert "store.upsert" Some(Write), Bucket("bucket"), once => writing store_upsert(request, out);
            StoreInsertMany "store.insertMany" Some(Write), Bucket("bucket"), once => writing store_insert_many(request, out);
            StoreUpdateMany "store.updateMany" Some(Write), Bucket("bucket"), once => writing store_update_many(request, out);
            StoreDeleteMany "store.deleteMany" Some(Write), Bucket("bucket"), once => writing store_delete_many(request, out);
            StoreTransaction "store.transaction" Some(Write), EachOperation, once => writing store_transaction(request, out);
            StoreDefineBucket "store.defineBucket" Some(Admin), Bucket("name"), once => defining store_define(request, out);
            StoreDropBucket "store.dropBucket" Some(Admin), Bucket("name"), once => defining store_drop(request, out);
            StoreUpdateBucket "store.updateBucket" Some(Admin), Bucket("name"), once => defining store_update_bucket(request, out);
            StoreGetBucketSchema "store.getBucketSchema" Some(Admin), Bucket("name") => looking store_schema(request, out);
            StoreDefineQuery "store.defineQuery" Some(Admin), Query("name"), once => defining define_query(request, out);
            StoreUndefineQuery "store.undefineQuery" Some(Admin), Query("name"), once => defining undefine_query(request, out);
            StoreListQueries "store.listQueries" Some(Admin), None => reading list_queries(out);
            StoreBackup "store.backup" Some(Admin), None => whole store_backup(conn, request);
            StoreBackups "store.backups" Some(Admin), None => whole store_backups(conn, request);
            StoreRestore "store.restore" Some(Admin), None, once => whole store_restore(conn, request);
            StoreDeleteBackup "store.deleteBackup" Some(Admin), None => whole store_delete_backup(conn, request);
            RulesGetFact "rules.getFact" Some(Read), Topic("key") => knowing rules_get_fact(request, out);
            RulesQueryFacts "rules.queryFacts" Some(Read), Topic("pattern") => knowing rules_query_facts(request, out);
            RulesGetAllFacts "rules.getAllFacts" Some(Read), None => knowing rules_get_all_facts(out);
            RulesGetTimers "rules.getTimers" Some(Read), Topic("pattern") => knowing rules_get_timers(request, out);
            RulesSubscribe "rules.subscribe" Some(Read), Topic("pattern") => whole rules_subscribe(conn, request, out);
            RulesUnsubscribe "rules.unsubscribe" Some(Read), OwnSubscription => whole rules_unsubscribe(conn, request, out);
            RulesStats "rules.stats" Some(Read), None => knowing write_rules_stats(out);
            RulesEmit "rules.emit" Some(Write), Topic("topic"), once => whole rules_emit(request, out);
            RulesSetFact "rules.setFact" Some(Write), Topic("key"), once => whole rules_set_fact(request, out);
            RulesDeleteFact "rules.deleteFact" Some(Write), Topic("key"), once => whole rules_delete_fact(request, out);
            RulesRegisterRule "rules.registerRule" Some(Admin), None, once => whole register_rule(request, out);
            RulesUnregisterRule "rules.unregisterRule" Some(Admin), None, once => whole unregister_rule(request, out);
            RulesUpdateRule "rules.updateRule" Some(Admin), None, once => whole update_rule(request, out);
            RulesEnableRule "rules.enableRule" Some(Admin), None, once => whole enable_rule(request, out);
            RulesDisableRule "rules.disableRule" Some(Admin), None, once => whole disable_rule(request, out);
            RulesGetRule "rules.getRule" Some(Admin), None => knowing get_rule(request, out);
            RulesGetRules "rules.getRules" Some(Admin), None => knowing get_rules(out);
            RulesValidateRule "rules.validateRule" Some(Admin), None => knowing validate_rule(request, out);
            ProceduresGet "procedures.get" Some(Read), Procedure("name") => looking get_procedure(request, out);
            ProceduresCall "procedures.call" Some(Write), Procedure("name"), once => whole call_procedure(conn, request, out);
            ProceduresRegister "procedures.register" Some(Admin), Procedure("procedure.name"), once => defining register_procedure(request, out);
            ProceduresUnregister "procedures.unregister" Some(Admin), Procedure("name"), once => defining unregister_procedure(request, out);
            ProceduresUpdate "procedures.update" Some(Admin), Procedure("name"), once => defining update_procedure(request, out);
            ProceduresList "procedures.list" Some(Admin), None => looking list_procedures(out);
            ServerStats "server.stats" Some(Admin), None => looking write_server_stats(request, out);
            ServerMetrics "server.metrics" Some(Admin), None => looking server_metrics(request, out);
            ServerTop "server.top" Some(Admin), None => whole server_top(request, out);
            ServerViews "server.views" Some(Admin), None => whole server_views(request, out);
            ServerInsights "server.insights" Some(Admin), None => whole server_insights(out);
            ServerSetLogLevel "server.setLogLevel" Some(Admin), None => whole server_set_log_level(request, out);
            ServerTrace "server.trace" Some(Admin), None => whole server_trace(conn, request, out);
            ServerUntrace "server.untrace" Some(Read), OwnSubscription => whole server_untrace(conn, request, out);
            ServerConnections "server.connections" Some(Admin), None => looking server_connections(out);
            ServerRevokeSessions "server.revokeSessions" Some(Admin), None, once => whole server_revoke_sessions(request, out);
            ServerDisconnect "server.disconnect" Some(Admin), None => whole server_disconnect(request, out);
            ServerUnrevoke "server.unrevoke" Some(Admin), None, once => whole server_unrevoke(request, out);
            AuditQuery "audit.query" Some(Admin), None => looking audit_query(request, out);
            IdentityLogin "identity.login" Some(Admin), None => whole login(conn, request);
            IdentityLoginWithSecret "identity.loginWithSecret" Some(Admin), None => whole login_with_secret(conn, request);
            IdentitySignup "identity.signup" Some(Admin), None => whole signup(conn, request);
            IdentityLogout "identity.logout" Some(Admin), None => whole logout(conn);
            IdentityCreateUser "identity.createUser" Some(Admin), None, once => whole create_user(conn, request);
            IdentityDeleteUser "identity.deleteUser" Some(Admin), None, once => whole delete_user(conn, request);
            IdentityEnableUser "identity.enableUser" Some(Admin), None, once => whole enable_user(conn, request);
            IdentityDisableUser "identity.disableUser" Some(Admin), None, once => whole disable_user(conn, request);
            IdentityChangePassword "identity.changePassword" Some(Admin), None, once => whole change_password(conn, request);
            IdentityResetPassword "identity.resetPassword" Some(Admin), None, once => whole reset_password(conn, request);
            IdentityCreateRole "identity.createRole" Some(Admin), None, once => managing create_role(request);
            IdentityDeleteRole "identity.deleteRole" Some(Admin), None, once => managing delete_role(request);
            IdentityAssignRole "identity.assignRole" Some(Admin), None, once => managing assign_role(request);
            IdentityRemoveRole "identity.removeRole" Some(Admin), None, once => managing remove_role(request);
            IdentityGrant "identity.grant" Some(Admin), None, once => managing grant(request);
            IdentityRevoke "identity.revoke" Some(Admin), None, once => managing revoke(request);
            IdentityTransferOwner "identity.transferOwner" Some(Admin), None, once => whole transfer_owner(conn, request);
            IdentityWhoami "identity.whoami" Option::None, None => users whoami();
            IdentityRefreshSession "identity.refreshSession" Option::None, None => whole refresh_session(conn);
            IdentityGetUser "identity.getUser" Option::None, None => users get_user(request);
            IdentityUpdateUser "identity.updateUser" Option::None, None, once => managing update_user(request);
            IdentityListUsers "identity.listUsers" Option::None, None => users list_users(request);
            IdentityUpdateRole "identity.updateRole" Option::None, None, once => managing update_role(request);
            IdentityListRoles "identity.listRoles" Option::None, None => users list_roles();
            IdentityGetUserRoles "identity.getUserRoles" Option::None, None => users get_user_roles(request);
            IdentityGetAcl "identity.getAcl" Option::None, None => users get_acl(request);
            IdentityMyAccess "identity.myAccess" Option::None, None => users my_access();
            IdentityGetOwner "identity.getOwner" Option::None, None => users get_owner(request);
            AuthLogin "auth.login" Option::None, None => whole auth_login(conn, request, reply);
            AuthImpersonate "auth.impersonate" Some(Admin), None => whole impersonate(conn, request, out);
            AuthLogout "auth.logout" Option::None, None => whole auth_logout(conn, out);
            AuthWhoami "auth.whoami" Option::None, None => whole auth_whoami(conn, out);
            SessionOpen "session.open" Option::None, OwnSession => whole session_open(conn, request);
            SessionClose "session.close" Option::None, OwnSession => whole session_close(conn);
            SessionSync "session.sync" Option::None, OwnSession => whole session_sync(conn, out);
            LogicDefineComputed "logic.defineComputed" Some(Admin), Bucket("bucket"), once => defining define_computed(request);
            LogicDropComputed "logic.dropComputed" Some(Admin), Bucket("bucket"), once => defining drop_computed(request);
            LogicDefineView "logic.defineView" Some(Admin), Query("definition.name"), once => defining define_view(request);
            LogicDropView "logic.dropView" Some(Admin), Query("name"), once => defining drop_view(request);
            LogicExplainView "logic.explainView" Some(Admin), Query("name") => deriving explain_view(request);
            LogicQueryView "logic.queryView" Some(Read), Query("name") => deriving query_view(request, out);
            LogicSubscribeView "logic.subscribeView" Some(Read), Query("name") => whole subscribe_view(conn, request, out);
            LogicUnsubscribeView "logic.unsubscribeView" Some(Read), OwnSubscription => whole unsubscribe_view(conn, request, out);
            LogicDefineConstraint "logic.defineConstraint" Some(Admin), Bucket("constraint.on"), once => defining define_constraint(request);
            LogicDropConstraint "logic.dropConstraint" Some(Admin), None, once => defining drop_constraint(request);
            LogicListConstraints "logic.listConstraints" Some(Admin), None => deriving list_constraints();
            LogicListComputed "logic.listComputed" Some(Admin), None => deriving list_computed();
            LogicListViews "logic.listViews" Some(Admin), None => deriving list_views();
            AccessDefineSet "access.defineSet" Some(Admin), None, once => whole access_define_set(request);
            AccessDropSet "access.dropSet" Some(Admin), None, once => whole access_drop_set(request);
            AccessListSets "access.listSets" Some(Admin), None => looking access_list_sets(out);
            AccessExplain "access.explain" Some(Admin), None => whole access_explain(conn, request);
            LogicEvaluateExpr "logic.evaluateExpr" Some(Read), None => deriving evaluate_expr(request);
        }
    };
}
pub(crate) use operation_table;

/// Whether the column is there.
macro_rules! takes_once {
    () => {
        false
    };
    (once) => {
        true
    };
}

/// Whether a scope only looks: of those that may change nothing.
macro_rules! only_looks {
    (reading) => {
        true
    };
    (looking) => {
        true
    };
    (knowing) => {
        true
    };
    (deriving) => {
        true
    };
    (users) => {
        true
    };
    ($_scope:ident) => {
        false
    };
}

macro_rules! operations {
    ($($variant:ident $name:literal $tier:expr, $resource:expr $(, $once:ident)?
        => $scope:ident $_handler:ident ($($_argument:ident),*);)*) => {
        /// Every operation there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation { $($variant),* }

        impl Operation {
            pub const ALL: &'static [Operation] = &[$(Operation::$variant),*];

            /// The operation of that name, if there is one.
            pub fn from_name(name: &str) -> Option<Operation> {
                Some(match name { $($name => Operation::$variant,)* _ => return None })
            }

            pub const fn name(self) -> &'static str {
                match self { $(Operation::$variant => $name),* }
            }

            /// The family that it belongs to.
            pub const fn family(self) -> Family {
                match self {
                    $(Operation::$variant => const {
                        match Family::of($name) {
                            Some(family) => family,
                            None => panic!("a name without a family"),
                        }
                    }),*
                }
            }

            /// `None`: passes every tier check and is not audited.
            pub const fn tier(self) -> Option<Tier> {
                use Tier::*;
                let _ = (Read, Write, Admin);
                match self { $(Operation::$variant => $tier),* }
            }

            /// Whether a request may be numbered, to be executed once.
            pub const fn takes_once(self) -> bool {
                match self { $(Operation::$variant => takes_once!($($once)?)),* }
            }

            /// Whether its scope keeps it from changing anything.
            pub const fn only_looks(self) -> bool {
                match self { $(Operation::$variant => only_looks!($scope)),* }
            }

            pub const fn resource(self) -> Resource {
                use Resource::*;
                match self { $(Operation::$variant => $resource),* }
            }
        }
    };
}

operation_table!(operations);

impl Operation {
    /// Whether it is about the running process and its connections, and tells
    /// nothing of what is stored.
    pub const fn is_about_the_process(self) -> bool {
        matches!(
            self,
            Operation::ServerTop
                | Operation::ServerViews
                | Operation::ServerInsights
                | Operation::ServerMetrics
                | Operation::ServerSetLogLevel
                | Operation::ServerDisconnect
                | Operation::ServerTrace
                | Operation::ServerUntrace
        )
    }
}

impl Resource {
    /// The connection's own: whoever may send requests may do with it as he likes.
    pub const fn is_own(self) -> bool {
        matches!(self, Resource::OwnSubscription | Resource::OwnSession | Resource::EachEntry)
    }
}
