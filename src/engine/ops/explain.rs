//! `access.explain`: why somebody may do something, or not.

use std::borrow::Cow;
use std::sync::Arc;

use crate::access::{Principal, Question, ResourceKind, Roles, Trace};
use crate::engine::Engine;
use crate::engine::rows::{NOBODY, Who};
use crate::engine::sessions::Mode;
use crate::identity::{SUPERADMIN, VIRTUAL_ADMIN};
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

impl Engine {
    pub(super) fn access_explain(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("operation")?;
        let resource = match request.present("resource").map(|raw| raw.as_str()) {
            None => Cow::Borrowed("*"),
            Some(Some(resource)) => resource,
            Some(None) => {
                return Err(OpError::validation("Invalid \"resource\": expected string"));
            }
        };
        let asked = self.asked_about(request)?;
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
        let error = match &decided {
            Ok(()) => Json::Null,
            Err(error) => Json::Object(
                [
                    ("code", Json::from(error.code.as_str())),
                    ("message", Json::from(&*error.message)),
                ]
                .into_iter()
                .collect(),
            ),
        };
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

    fn asked_about(&self, request: &Request<'_>) -> Result<Asked, OpError> {
        let roles = request.present("roles").map(|raw| {
            let invalid = || OpError::validation("Invalid \"roles\": expected array of strings");
            strings(&raw.to_json()).ok_or_else(invalid)
        });
        let roles = roles.transpose()?;
        if request.present("userId").is_some() {
            let user_id = request.require_string("userId")?;
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
        Err(OpError::validation(
            "Expected one of \"userId\", \"roles\", \"connectionId\", \"anonymous\"",
        ))
    }

    /// What the gate says, written down by what decides about requests.
    fn explain_gate(
        &mut self,
        asked: &Asked,
        question: &Question<'_>,
        trace: &mut Trace,
    ) -> Result<(), OpError> {
        let family = Family::of(&question.operation);
        let passes = matches!(family, Some(Family::Auth))
            || matches!(
                &*question.operation,
                "identity.login" | "identity.loginWithSecret" | "identity.signup"
            );
        if matches!(self.sessions.mode, Mode::Open) {
            trace.plain("open", "allow");
            return Ok(());
        }
        if passes {
            trace.plain("authentication", "allow");
            return Ok(());
        }
        if !asked.is_logged_in && self.requires_auth() {
            trace.plain("authentication", "deny");
            return Err(OpError::new(ErrorCode::Unauthorized, "Authentication required"));
        }
        let own = Operation::from_name(&question.operation)
            .map(Operation::resource)
            .is_some_and(Resource::is_own);
        let is_identity = family == Some(Family::Identity);
        match &mut self.sessions.mode {
            Mode::Open => {}
            Mode::BuiltIn(_) if is_identity || own => {
                trace.plain("authentication", "allow");
                return Ok(());
            }
            Mode::BuiltIn(identity) => {
                trace.plain("authentication", "pass");
                let user = asked.user_id.as_deref();
                let who = (user, &*asked.roles);
                identity.directory.decide_traced(who, question, trace)?;
            }
            Mode::External(_) if own => {
                trace.plain("authentication", "allow");
                return Ok(());
            }
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
        if question.kind == Some(ResourceKind::Bucket)
            && let Some(name) = &question.name
            && let Err(error) = self.refuse_system_bucket(name)
        {
            trace.plain("systemBucket", "deny");
            return Err(error);
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
