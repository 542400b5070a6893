//! The closed table of operations: which there are, which tier they need and
//! which field names what they touch. Everything that asks "may this client do
//! that" reads this table and nothing else.

/// `read` < `write` < `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Read,
    Write,
    Admin,
}

impl Tier {
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Read => "read",
            Tier::Write => "write",
            Tier::Admin => "admin",
        }
    }
}

/// The prefix of an operation, which selects its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Store,
    Rules,
    Identity,
    Auth,
    Audit,
    Procedures,
    Server,
    Logic,
}

impl Family {
    /// The family of a type, known or not: a prefix test on the whole string.
    pub fn of(operation: &str) -> Option<Family> {
        let (prefix, _) = operation.split_once('.')?;
        Some(match prefix {
            "store" => Family::Store,
            "rules" => Family::Rules,
            "identity" => Family::Identity,
            "auth" => Family::Auth,
            "audit" => Family::Audit,
            "procedures" => Family::Procedures,
            "server" => Family::Server,
            "logic" => Family::Logic,
            _ => return None,
        })
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Family::Store => "store",
            Family::Rules => "rules",
            Family::Identity => "identity",
            Family::Auth => "auth",
            Family::Audit => "audit",
            Family::Procedures => "procedures",
            Family::Server => "server",
            Family::Logic => "logic",
        }
    }
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
    /// `store.transaction`: decided bucket by bucket.
    EachOperation,
}

macro_rules! operations {
    ($($variant:ident $name:literal $tier:expr, $resource:expr;)*) => {
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

            /// `None`: passes every tier check and is not audited.
            pub const fn tier(self) -> Option<Tier> {
                use Tier::*;
                let _ = (Read, Write, Admin);
                match self { $(Operation::$variant => $tier),* }
            }

            pub const fn resource(self) -> Resource {
                use Resource::*;
                match self { $(Operation::$variant => $resource),* }
            }
        }
    };
}

operations! {
    StoreGet "store.get" Some(Read), Bucket("bucket");
    StoreAll "store.all" Some(Read), Bucket("bucket");
    StoreWhere "store.where" Some(Read), Bucket("bucket");
    StoreFindOne "store.findOne" Some(Read), Bucket("bucket");
    StoreCount "store.count" Some(Read), Bucket("bucket");
    StoreFirst "store.first" Some(Read), Bucket("bucket");
    StoreLast "store.last" Some(Read), Bucket("bucket");
    StorePaginate "store.paginate" Some(Read), Bucket("bucket");
    StoreSum "store.sum" Some(Read), Bucket("bucket");
    StoreAvg "store.avg" Some(Read), Bucket("bucket");
    StoreMin "store.min" Some(Read), Bucket("bucket");
    StoreMax "store.max" Some(Read), Bucket("bucket");
    StoreExplain "store.explain" Some(Read), Bucket("bucket");
    StoreSubscribe "store.subscribe" Some(Read), Query("query");
    StoreUnsubscribe "store.unsubscribe" Some(Read), OwnSubscription;
    StoreResync "store.resync" Some(Read), OwnSubscription;
    StoreBuckets "store.buckets" Some(Read), None;
    StoreStats "store.stats" Some(Read), None;
    StoreInsert "store.insert" Some(Write), Bucket("bucket");
    StoreUpdate "store.update" Some(Write), Bucket("bucket");
    StoreDelete "store.delete" Some(Write), Bucket("bucket");
    StoreClear "store.clear" Some(Write), Bucket("bucket");
    StoreTransaction "store.transaction" Some(Write), EachOperation;
    StoreDefineBucket "store.defineBucket" Some(Admin), Bucket("name");
    StoreDropBucket "store.dropBucket" Some(Admin), Bucket("name");
    StoreUpdateBucket "store.updateBucket" Some(Admin), Bucket("name");
    StoreGetBucketSchema "store.getBucketSchema" Some(Admin), Bucket("name");
    StoreDefineQuery "store.defineQuery" Some(Admin), Query("name");
    StoreUndefineQuery "store.undefineQuery" Some(Admin), Query("name");
    StoreListQueries "store.listQueries" Some(Admin), None;
    StoreBackup "store.backup" Some(Admin), None;
    StoreBackups "store.backups" Some(Admin), None;
    StoreRestore "store.restore" Some(Admin), None;
    StoreDeleteBackup "store.deleteBackup" Some(Admin), None;
    RulesGetFact "rules.getFact" Some(Read), Topic("key");
    RulesQueryFacts "rules.queryFacts" Some(Read), Topic("pattern");
    RulesGetAllFacts "rules.getAllFacts" Some(Read), None;
    RulesSubscribe "rules.subscribe" Some(Read), Topic("pattern");
    RulesUnsubscribe "rules.unsubscribe" Some(Read), OwnSubscription;
    RulesStats "rules.stats" Some(Read), None;
    RulesEmit "rules.emit" Some(Write), Topic("topic");
    RulesSetFact "rules.setFact" Some(Write), Topic("key");
    RulesDeleteFact "rules.deleteFact" Some(Write), Topic("key");
    RulesRegisterRule "rules.registerRule" Some(Admin), None;
    RulesUnregisterRule "rules.unregisterRule" Some(Admin), None;
    RulesUpdateRule "rules.updateRule" Some(Admin), None;
    RulesEnableRule "rules.enableRule" Some(Admin), None;
    RulesDisableRule "rules.disableRule" Some(Admin), None;
    RulesGetRule "rules.getRule" Some(Admin), None;
    RulesGetRules "rules.getRules" Some(Admin), None;
    RulesValidateRule "rules.validateRule" Some(Admin), None;
    ProceduresGet "procedures.get" Some(Read), Procedure("name");
    ProceduresCall "procedures.call" Some(Write), Procedure("name");
    ProceduresRegister "procedures.register" Some(Admin), Procedure("procedure.name");
    ProceduresUnregister "procedures.unregister" Some(Admin), Procedure("name");
    ProceduresUpdate "procedures.update" Some(Admin), Procedure("name");
    ProceduresList "procedures.list" Some(Admin), None;
    ServerStats "server.stats" Some(Admin), None;
    ServerConnections "server.connections" Some(Admin), None;
    ServerRevokeSessions "server.revokeSessions" Some(Admin), None;
    ServerUnrevoke "server.unrevoke" Some(Admin), None;
    AuditQuery "audit.query" Some(Admin), None;
    IdentityLogin "identity.login" Some(Admin), None;
    IdentityLoginWithSecret "identity.loginWithSecret" Some(Admin), None;
    IdentityLogout "identity.logout" Some(Admin), None;
    IdentityCreateUser "identity.createUser" Some(Admin), None;
    IdentityDeleteUser "identity.deleteUser" Some(Admin), None;
    IdentityEnableUser "identity.enableUser" Some(Admin), None;
    IdentityDisableUser "identity.disableUser" Some(Admin), None;
    IdentityChangePassword "identity.changePassword" Some(Admin), None;
    IdentityResetPassword "identity.resetPassword" Some(Admin), None;
    IdentityCreateRole "identity.createRole" Some(Admin), None;
    IdentityDeleteRole "identity.deleteRole" Some(Admin), None;
    IdentityAssignRole "identity.assignRole" Some(Admin), None;
    IdentityRemoveRole "identity.removeRole" Some(Admin), None;
    IdentityGrant "identity.grant" Some(Admin), None;
    IdentityRevoke "identity.revoke" Some(Admin), None;
    IdentityTransferOwner "identity.transferOwner" Some(Admin), None;
    IdentityWhoami "identity.whoami" Option::None, None;
    IdentityRefreshSession "identity.refreshSession" Option::None, None;
    IdentityGetUser "identity.getUser" Option::None, None;
    IdentityUpdateUser "identity.updateUser" Option::None, None;
    IdentityListUsers "identity.listUsers" Option::None, None;
    IdentityUpdateRole "identity.updateRole" Option::None, None;
    IdentityListRoles "identity.listRoles" Option::None, None;
    IdentityGetUserRoles "identity.getUserRoles" Option::None, None;
    IdentityGetAcl "identity.getAcl" Option::None, None;
    IdentityMyAccess "identity.myAccess" Option::None, None;
    IdentityGetOwner "identity.getOwner" Option::None, None;
    AuthLogin "auth.login" Option::None, None;
    AuthLogout "auth.logout" Option::None, None;
    AuthWhoami "auth.whoami" Option::None, None;
    LogicDefineComputed "logic.defineComputed" Some(Admin), Bucket("bucket");
    LogicDropComputed "logic.dropComputed" Some(Admin), Bucket("bucket");
    LogicDefineView "logic.defineView" Some(Admin), Query("definition.name");
    LogicDropView "logic.dropView" Some(Admin), Query("name");
    LogicExplainView "logic.explainView" Some(Admin), Query("name");
    LogicQueryView "logic.queryView" Some(Read), Query("name");
    LogicSubscribeView "logic.subscribeView" Some(Read), Query("name");
    LogicUnsubscribeView "logic.unsubscribeView" Some(Read), OwnSubscription;
    LogicDefineConstraint "logic.defineConstraint" Some(Admin), Bucket("constraint.on");
    LogicDropConstraint "logic.dropConstraint" Some(Admin), None;
    LogicListConstraints "logic.listConstraints" Some(Admin), None;
    LogicListComputed "logic.listComputed" Some(Admin), None;
    LogicListViews "logic.listViews" Some(Admin), None;
    LogicEvaluateExpr "logic.evaluateExpr" Some(Read), None;
}

impl Operation {
    /// The family whose handler runs it.
    pub fn family(self) -> Family {
        // Every name of the table has a prefix of `Family::of`; a test holds it.
        Family::of(self.name()).unwrap_or(Family::Server)
    }
}
