//! `access.explain`: why somebody may do something, or not.

use std::borrow::Cow;
use std::sync::Arc;

use crate::access::{Principal, Question, ResourceKind, Roles, Trace};
use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::gate::question_of;
use crate::engine::rows::{NOBODY, Who};
use crate::engine::sessions::Mode;
use crate::identity::{ADMIN, SUPERADMIN, VIRTUAL_ADMIN};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, Family, OpError, Operation, Request, Resource, Tier};
use crate::store::Lookup;
use crate::store::rows::RuleName;

/// About whom it is asked.
struct Asked {
    user_id: Option<Arc<str>>,
    roles: Roles,
    metadata: Option<Arc<Object>>,
    is_logged_in: bool,
}

fn strings(value: &Json) -> Option<Roles> {
    let names: Option<Vec<Box<str>>> =
        value.as_array()?.iter().map(|name| name.as_str().map(Box::from)).collect();
    names.map(Roles::from)
}

fn expected_one() -> OpError {
    OpError::validation("Expected one of \"userId\", \"roles\", \"connectionId\", \"anonymous\"")
}

fn told(error: &OpError) -> Json {
    let members =
        [("code", Json::from(error.code.as_str())), ("message", Json::from(&*error.message))];
    Json::Object(members.into_iter().collect())
}

impl Engine {
    pub(super) fn access_explain(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let name = request.require_string("operation")?;
        let resource = match request.present("resource").map(|raw| raw.as_str()) {
            None => Cow::Borrowed("*"),
            Some(Some(resource)) => resource,
            Some(None) => {
                return Err(OpError::validation("Invalid \"resource\": expected string"));
            }
        };
        let asked = self.asked_about(conn, request)?;
        let operation = Operation::from_name(&name);
        let kind = operation.and_then(kind_of_resource);
        let tier = operation.and_then(Operation::tier);
        let source = match operation {
            Some(Operation::StoreSubscribe | Operation::StoreQuery) => self.query_source(&resource),
            _ => None,
        };
        let question = Question {
            operation: Cow::Borrowed(&*name),
            tier,
            class: tier,
            kind,
            name: (*resource != *"*").then(|| Cow::Borrowed(&*resource)),
            source: source.map(Cow::Owned),
            record: self.record_explained(&resource, request),
        };
        let mut trace = Trace::on();
        let mut decided = self.explain_gate(&asked, &question, &mut trace);
        if let (Ok(()), Some(key)) = (&decided, request.present("key")) {
            let rows = (operation, &*resource, Lookup::from(key));
            decided = self.explain_row(&asked, rows, &mut trace)?;
        }
        let (by, steps) = trace.finish();
        let error = decided.as_ref().err().map_or(Json::Null, told);
        let mode = match &self.sessions.mode {
            Mode::Open => "open",
            Mode::External(_) => "external",
            Mode::BuiltIn(_) => "builtIn",
        };
        let roles = asked.roles.iter().map(|role| Json::from(&**role)).collect();
        let user_id = asked.user_id.as_deref().map_or(Json::Null, Json::from);
        let who: Object =
            [("userId", user_id), ("roles", Json::Array(roles))].into_iter().collect();
        let answer: Object = [
            ("allowed", Json::Bool(decided.is_ok())),
            ("operation", Json::from(&*name)),
            ("resource", Json::from(&*resource)),
            ("tier", tier.map_or(Json::Null, |tier| Json::from(tier.as_str()))),
            ("mode", Json::from(mode)),
            ("as", Json::Object(who)),
            ("decidedBy", by),
            ("steps", steps),
            ("error", error),
        ]
        .into_iter()
        .collect();
        Ok(Json::Object(answer))
    }

    fn asked_about(&self, conn: ConnId, request: &Request<'_>) -> Result<Asked, OpError> {
        let roles = request.present("roles").map(|raw| {
            let invalid = || OpError::validation("Invalid \"roles\": expected array of strings");
            strings(&raw.to_json()).ok_or_else(invalid)
        });
        let roles = roles.transpose()?;
        let is_there = |field: &&str| request.present(field).is_some();
        let asked = ["userId", "connectionId", "anonymous"].iter().filter(|field| is_there(field));
        if asked.count() + usize::from(roles.is_some() && !is_there(&"userId")) > 1 {
            return Err(expected_one());
        }
        if request.present("userId").is_some() {
            let user_id = request.require_string("userId")?;
            let is_built_in = matches!(self.sessions.mode, Mode::BuiltIn(_));
            if is_built_in && !self.users(conn).user_exists(&user_id) {
                return Err(OpError::not_found(format!("User \"{user_id}\" not found")));
            }
            let roles = match (&self.sessions.mode, roles) {
                (Mode::BuiltIn(identity), _) => identity.directory.role_names(&user_id).into(),
                (_, Some(roles)) => roles,
                (Mode::External(_), None) => {
                    let text = "Missing or invalid \"roles\": expected array of strings";
                    return Err(OpError::validation(text));
                }
                (Mode::Open, None) => Roles::default(),
            };
            let user_id = Some(Arc::from(&*user_id));
            return Ok(Asked { user_id, roles, metadata: None, is_logged_in: true });
        }
        if let Some(roles) = roles {
            return Ok(Asked { user_id: None, roles, metadata: None, is_logged_in: true });
        }
        if request.present("connectionId").is_some() {
            let name = request.require_string("connectionId")?;
            let found = self.conns.in_order().into_iter().find(|conn| conn.name() == *name);
            let conn = found
                .ok_or_else(|| OpError::not_found(format!("Connection \"{name}\" not found")))?;
            let principal = self.principal(conn.id);
            let is_logged_in = principal.is_some();
            let (user_id, roles) = match principal {
                Some((user, roles)) => (Some(user), roles),
                None => (None, self.sessions.mode.anonymous_roles()),
            };
            let metadata = match &self.sessions.mode {
                Mode::BuiltIn(_) => None,
                _ => self.session(conn.id).and_then(|session| session.metadata.clone()),
            };
            return Ok(Asked { user_id, roles, metadata, is_logged_in });
        }
        if request.present("anonymous").and_then(|raw| raw.as_bool()) == Some(true) {
            let roles = self.sessions.mode.anonymous_roles();
            return Ok(Asked { user_id: None, roles, metadata: None, is_logged_in: false });
        }
        Err(expected_one())
    }

    /// What the gate says, written down by what decides about requests.
    fn explain_gate(
        &mut self,
        asked: &Asked,
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        if matches!(self.sessions.mode, Mode::Open) {
            trace.plain("open", "allow");
            return Ok(());
        }
        let operation = Operation::from_name(&question.operation);
        if is_free(operation, Family::of(&question.operation)) {
            trace.plain("authentication", "allow");
            return Ok(());
        }
        if !asked.is_logged_in && self.requires_auth() {
            trace.plain("authentication", "deny");
            return Err(OpError::new(ErrorCode::Unauthorized, "Authentication required"));
        }
        if operation.map(Operation::resource).is_some_and(Resource::is_own) {
            trace.plain("authentication", "allow");
            return Ok(());
        }
        match &mut self.sessions.mode {
            Mode::Open => {}
            Mode::BuiltIn(_) => self.explain_built_in(asked, (operation, question), trace)?,
            Mode::External(external) => {
                let as_roles = asked.is_logged_in || external.anonymous_roles.is_some();
                trace.plain("authentication", if as_roles { "pass" } else { "allow" });
                if as_roles {
                    let who = Principal {
                        user_id: asked.user_id.as_deref(),
                        roles: &asked.roles,
                        metadata: asked.metadata.as_deref(),
                    };
                    external.decide_traced(who, question, trace)?;
                }
            }
        }
        if let Some(name) = &question.name
            && names_a_bucket(operation, question.kind)
            && let Err(error) = self.refuse_system_bucket(name)
        {
            trace.plain("systemBucket", "deny");
            return Err(error);
        }
        Ok(())
    }

    /// The same with built-in users, among whom `identity.*` and
    /// `auth.impersonate` ask for a role.
    fn explain_built_in(
        &self,
        asked: &Asked,
        (operation, question): (Option<Operation>, &Question<'_>),
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        let has = |role: &str| asked.roles.iter().any(|have| **have == *role);
        let is_superadmin = asked.user_id.as_deref() == Some(VIRTUAL_ADMIN) || has(SUPERADMIN);
        let forbidden = |text| Err(OpError::new(ErrorCode::Forbidden, text));
        match operation.and_then(role_needed) {
            None if Family::of(&question.operation) == Some(Family::Identity) => {
                trace.plain("authentication", "allow");
                return Ok(());
            }
            None => {}
            Some(SUPERADMIN) => {
                trace.plain("authentication", "pass");
                trace.plain("superadmin", if is_superadmin { "allow" } else { "deny" });
                return if is_superadmin { Ok(()) } else { forbidden("Superadmin role required") };
            }
            Some(_) => {
                let is_admin = is_superadmin || has(ADMIN);
                trace.plain("authentication", "pass");
                trace.note("tier", if is_admin { "allow" } else { "deny" }, || {
                    let has = if is_admin { Json::from(ADMIN) } else { Json::Null };
                    vec![("needs", Json::from(ADMIN)), ("has", has)]
                });
                return if is_admin { Ok(()) } else { forbidden("Admin role required") };
            }
        }
        trace.plain("authentication", "pass");
        let directory = &self.sessions.mode.identity()?.directory;
        let who = (asked.user_id.as_deref(), &*asked.roles);
        directory.decide_traced(who, question, trace)?;
        // What it was allowed on was dropped and defined anew.
        for bucket in self.buckets_of_orphan(operation, question.name.as_deref()) {
            directory.decide_traced(who, &question_of(Operation::StoreAll, &bucket), trace)?;
        }
        Ok(())
    }

    /// What the row rules say about one record. The outer error is of the request
    /// itself.
    fn explain_row(
        &mut self,
        asked: &Asked,
        (operation, name, key): (Option<Operation>, &str, Lookup),
        trace: &mut Trace,
    ) -> Result<Result<(), OpError>, OpError> {
        if matches!(self.sessions.mode, Mode::Open) {
            return Ok(Ok(()));
        }
        let Some(bucket) = self.store.bucket_named(name) else { return Ok(Ok(())) };
        let Some(rules) = bucket.definition().rows.clone() else { return Ok(Ok(())) };
        let id = bucket.id();
        let is_superadmin = matches!(self.sessions.mode, Mode::BuiltIn(_))
            && (asked.user_id.as_deref() == Some(VIRTUAL_ADMIN)
                || asked.roles.iter().any(|role| **role == *SUPERADMIN));
        let row = |trace: &mut Trace, result: &str, rule: &str, condition: Json| {
            trace.note("row", result, || vec![("rule", rule.into()), ("condition", condition)]);
        };
        let lifted = match is_superadmin {
            true => Some(SUPERADMIN),
            false => rules.bypassed_by(&asked.roles),
        };
        if let Some(role) = lifted {
            row(trace, "allow", "bypass", Json::from(role));
            return Ok(Ok(()));
        }
        let who = Who::of(asked.user_id.clone(), asked.roles.clone(), asked.metadata.clone());
        let bound = self.rights(NOBODY).bind_for(id, &rules, &who)?;
        let bucket = self.store.bucket(id).ok_or_else(OpError::internal)?;
        self.budget.spend(1)?;
        let Some(record) = key.key().and_then(|key| bucket.get(key)) else {
            // There is nothing to decide about.
            row(trace, "pass", RuleName::Read.as_str(), Json::Null);
            return Ok(Ok(()));
        };
        let write = match operation {
            Some(Operation::StoreDelete | Operation::StoreDeleteMany | Operation::StoreClear) => {
                Some(RuleName::Delete)
            }
            Some(operation) if operation.tier() != Some(Tier::Read) => Some(RuleName::Update),
            _ => None,
        };
        for rule in [Some(RuleName::Read), write].into_iter().flatten() {
            let failed = rules.first_failure(rule, &bound, (bucket.layout(), record), &self.budget);
            self.budget.check()?;
            let Some(condition) = failed else {
                let decides = write.is_none_or(|write| write == rule);
                let result = if decides { "allow" } else { "pass" };
                row(trace, result, rule.as_str(), Json::Null);
                continue;
            };
            row(trace, "deny", rule.as_str(), condition);
            let text = match rule {
                RuleName::Read => {
                    format!("Record with key \"{key}\" not found in bucket \"{name}\"")
                }
                rule => format!(
                    "Row rule \"{}\" of bucket \"{name}\" refuses this record",
                    rule.as_str()
                ),
            };
            let code = match rule {
                RuleName::Read => ErrorCode::NotFound,
                _ => ErrorCode::Forbidden,
            };
            return Ok(Err(OpError::new(code, text)));
        }
        Ok(Ok(()))
    }
}

/// Whether the gate lets everybody through.
fn is_free(operation: Option<Operation>, family: Option<Family>) -> bool {
    match operation {
        Some(Operation::AuthImpersonate) => false,
        Some(
            Operation::IdentityLogin
            | Operation::IdentityLoginWithSecret
            | Operation::IdentitySignup,
        ) => true,
        _ => family == Some(Family::Auth),
    }
}

/// The role that an operation asks for by itself (identity.md, classes A and S).
fn role_needed(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::AuthImpersonate
        | Operation::IdentityCreateRole
        | Operation::IdentityUpdateRole
        | Operation::IdentityDeleteRole => Some(SUPERADMIN),
        Operation::IdentityCreateUser
        | Operation::IdentityGetUser
        | Operation::IdentityDeleteUser
        | Operation::IdentityListUsers
        | Operation::IdentityEnableUser
        | Operation::IdentityDisableUser
        | Operation::IdentityResetPassword
        | Operation::IdentityListRoles
        | Operation::IdentityAssignRole
        | Operation::IdentityRemoveRole
        | Operation::IdentityGetUserRoles => Some(ADMIN),
        _ => None,
    }
}

/// Whether the name of what is touched may be that of a system bucket; queries
/// are defined under the same rule.
fn names_a_bucket(operation: Option<Operation>, kind: Option<ResourceKind>) -> bool {
    match kind {
        Some(ResourceKind::Bucket) => true,
        Some(ResourceKind::Query) => {
            matches!(operation, Some(Operation::StoreDefineQuery | Operation::StoreUndefineQuery))
        }
        _ => false,
    }
}

/// What kind of name an operation's resource is.
fn kind_of_resource(operation: Operation) -> Option<ResourceKind> {
    match operation.resource() {
        Resource::Bucket(_) | Resource::EachOperation => Some(ResourceKind::Bucket),
        Resource::Query(_) => Some(ResourceKind::Query),
        Resource::Topic(_) => Some(ResourceKind::Topic),
        Resource::Procedure(_) => Some(ResourceKind::Procedure),
        Resource::None | Resource::OwnSubscription | Resource::OwnSession | Resource::EachEntry => {
            None
        }
    }
}
