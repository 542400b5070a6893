//! The gate in front of every request: the authorisation step, the first of the
//! pipeline (access.md section 2.1). The second, the request budget, is `rates.rs`.
//!
//! There is no other place where an operation is allowed or refused for what it
//! is. What an operation touches comes from the table of operations and from
//! nothing else; `identity.*` of built-in mode alone decides in its handlers.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Engine;
use super::orphans;
use super::scopes::{Defining, Deriving, Users};
use super::sessions::Mode;
use crate::access::{Principal, Question, ResourceKind, Session};
use crate::app::ConnId;
use crate::identity::RESERVED;
use crate::json::Raw;
use crate::protocol::{ErrorCode, Family, OpError, Operation, Request, Resource, Tier};

fn unauthorized(text: &'static str) -> OpError {
    OpError::new(ErrorCode::Unauthorized, text)
}

impl Engine {
    /// Refuses what this connection may not do.
    pub(super) fn authorise(&mut self, conn: ConnId, request: &Request<'_>) -> Result<(), OpError> {
        if matches!(self.sessions.mode, Mode::Open) {
            return Ok(());
        }
        let operation = request.known;
        let name = &*request.operation;
        let is_login = matches!(
            operation,
            Some(
                Operation::IdentityLogin
                    | Operation::IdentityLoginWithSecret
                    | Operation::IdentitySignup
            )
        );
        let is_free = self.check_impersonated(conn, request)?;
        let is_auth = name.starts_with("auth.") && operation != Some(Operation::AuthImpersonate);
        if is_free || is_auth || name == "ping" || is_login {
            return Ok(());
        }
        let session = match self.conns.get(conn).and_then(|conn| conn.session.as_ref()) {
            Some(bound) if bound.session.is_expired(self.now.wall) => {
                self.drop_session(conn);
                return Err(unauthorized("Session expired"));
            }
            Some(bound) => Some(bound.session.clone()),
            None if self.requires_auth() => return Err(unauthorized("Authentication required")),
            None => None,
        };
        let decides_itself =
            name.starts_with("identity.") || operation == Some(Operation::AuthImpersonate);
        if matches!(self.sessions.mode, Mode::BuiltIn(_)) && decides_itself {
            // Its handlers decide.
            return Ok(());
        }
        if operation.map(Operation::resource).is_some_and(Resource::is_own) {
            return Ok(());
        }
        match operation {
            Some(Operation::StoreTransaction) => {
                self.authorise_transaction(conn, session.as_ref(), request)
            }
            _ => {
                let mut question = self.question(request);
                question.record = self.record_asked(conn, request);
                self.decide(session.as_ref(), &question)?;
                match (operation, question.name) {
                    (Some(Operation::StoreSubscribe | Operation::StoreQuery), Some(query)) => {
                        self.require_read_of_orphan(conn, &query)
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The decision about one thing, for a request or for a subscription that
    /// is looked at again.
    pub(super) fn decide(
        &mut self,
        session: Option<&Session>,
        question: &Question<'_>,
    ) -> Result<(), OpError> {
        self.sessions.mode.decide(session, question)
    }

    /// What a request wants to do.
    fn question<'r>(&self, request: &'r Request<'_>) -> Question<'r> {
        let operation = request.known;
        let tier = operation.and_then(Operation::tier);
        let field = |path| string_at(request, path);
        let (kind, name) = match operation.map(Operation::resource) {
            Some(Resource::Bucket(path)) => (Some(ResourceKind::Bucket), field(path)),
            Some(Resource::Query(path)) => (Some(ResourceKind::Query), field(path)),
            Some(Resource::Topic(path)) => (Some(ResourceKind::Topic), field(path)),
            Some(Resource::Procedure(path)) => (Some(ResourceKind::Procedure), field(path)),
            // An unknown type touches nothing, but its family still counts.
            Some(
                Resource::None
                | Resource::OwnSubscription
                | Resource::OwnSession
                | Resource::EachEntry
                | Resource::EachOperation,
            )
            | None => (None, None),
        };
        let source = match (operation, &name) {
            (Some(Operation::StoreSubscribe | Operation::StoreQuery), Some(query)) => {
                self.query_source(query)
            }
            _ => None,
        };
        let operation = Cow::Borrowed(&*request.operation);
        let source = source.map(Cow::Owned);
        Question { operation, tier, class: tier, kind, name, source, record: None }
    }

    /// A transaction is decided bucket by bucket, before any of it runs. What
    /// names no bucket, like a list that is none or empty, is `*`: who may do
    /// everything hears what is wrong with it, everybody else that it is
    /// forbidden.
    fn authorise_transaction(
        &mut self,
        conn: ConnId,
        session: Option<&Session>,
        request: &Request<'_>,
    ) -> Result<(), OpError> {
        let tier = Operation::StoreTransaction.tier();
        let question = |name, class| Question {
            operation: Cow::Borrowed(Operation::StoreTransaction.name()),
            tier,
            class,
            kind: Some(ResourceKind::Bucket),
            name,
            source: None,
            record: None,
        };
        let mut decided = HashSet::new();
        for element in request.field("operations").into_iter().flat_map(Raw::elements) {
            let bucket = element.get("bucket").and_then(Raw::as_str);
            let class = match element.get("op").and_then(Raw::as_str).as_deref() {
                Some("get" | "where" | "findOne" | "count" | "find") => Some(Tier::Read),
                _ => tier,
            };
            let record = self.record_of_step(conn, element);
            if record.is_some() || decided.insert((bucket.clone(), class)) {
                self.decide(session, &Question { record, ..question(bucket, class) })?;
            }
        }
        if decided.is_empty() {
            self.decide(session, &question(None, tier))?;
        }
        Ok(())
    }

    /// The bucket that a declarative query reads.
    pub(super) fn query_source(&self, query: &str) -> Option<String> {
        self.views.source(query).map(str::to_owned)
    }

    /// Why the session of a connection may not, or no longer, have what it
    /// subscribed to by this operation.
    fn refusal(
        &mut self,
        conn: ConnId,
        operation: Operation,
        (kind, name): (ResourceKind, &str),
        source: Option<String>,
    ) -> Result<(), OpError> {
        // One that is over is none: optional mode goes on without.
        let session = self.session(conn).cloned();
        let question = Question {
            operation: Cow::Borrowed(operation.name()),
            tier: operation.tier(),
            class: operation.tier(),
            kind: Some(kind),
            name: Some(Cow::Borrowed(name)),
            source: source.map(Cow::Owned),
            record: None,
        };
        self.decide(session.as_ref(), &question)
    }

    /// A query with a name.
    pub(super) fn refusal_to_subscribe(&mut self, conn: ConnId, query: &str) -> Option<OpError> {
        let source = self.query_source(query);
        self.refusal(conn, Operation::StoreSubscribe, (ResourceKind::Query, query), source)
            .and_then(|()| self.require_read_of_orphan(conn, query))
            .err()
    }

    /// A query without a name, over a bucket.
    pub(super) fn refusal_to_live(&mut self, conn: ConnId, bucket: &str) -> Option<OpError> {
        self.refusal(conn, Operation::StoreLive, (ResourceKind::Bucket, bucket), None).err()
    }

    /// A view of logic.
    pub(super) fn refusal_to_subscribe_view(
        &mut self,
        conn: ConnId,
        view: &str,
    ) -> Option<OpError> {
        self.refusal(conn, Operation::LogicSubscribeView, (ResourceKind::Query, view), None)
            .and_then(|()| self.require_read_of_view(conn, view))
            .err()
    }

    /// The events of a pattern.
    pub(super) fn refusal_to_subscribe_events(
        &mut self,
        conn: ConnId,
        pattern: &str,
    ) -> Option<OpError> {
        self.refusal(conn, Operation::RulesSubscribe, (ResourceKind::Topic, pattern), None).err()
    }

    /// Refuses what reaches for the server's own buckets, in built-in mode and
    /// whoever asks (access.md section 9).
    pub(super) fn guard(
        &mut self,
        conn: ConnId,
        operation: Operation,
        request: &Request<'_>,
    ) -> Result<(), OpError> {
        if !matches!(self.sessions.mode, Mode::BuiltIn(_)) {
            return Ok(());
        }
        if operation.family() == Family::Store
            && !matches!(operation, Operation::StoreSubscribe | Operation::StoreQuery)
            && let Resource::Bucket(path) | Resource::Query(path) = operation.resource()
            && let Some(name) = string_at(request, path)
        {
            self.refuse_system_bucket(&name)?;
        }
        match operation {
            Operation::StoreTransaction => {
                let elements = request.field("operations").into_iter().flat_map(Raw::elements);
                let mut named = elements.filter_map(|element| element.get("bucket")?.as_str());
                match named.find(|bucket| bucket.starts_with(RESERVED)) {
                    None => Ok(()),
                    Some(bucket) => Err(OpError::new(
                        ErrorCode::Forbidden,
                        format!("Cannot access system bucket \"{bucket}\" in transaction"),
                    )),
                }
            }
            Operation::StoreDefineBucket | Operation::StoreUpdateBucket => {
                for path in ["config", "updates"] {
                    self.guard_references(request.field(path))?;
                }
                Ok(())
            }
            Operation::StoreDefineQuery => match string_at(request, "config.bucket") {
                Some(bucket) => {
                    self.refuse_system_bucket(&bucket)?;
                    self.require_read(conn, &bucket)
                }
                None => Ok(()),
            },
            Operation::RulesRegisterRule
            | Operation::RulesUpdateRule
            | Operation::RulesValidateRule => {
                let mut rules = ["rule", "updates"].into_iter().filter_map(|at| request.field(at));
                rules.try_for_each(|rule| self.guard_rule(rule))
            }
            _ => Ok(()),
        }
    }

    /// As [`Engine::guard`], for a type that the table does not have: the names
    /// are looked at before the type is.
    pub(super) fn guard_unknown(
        &self,
        family: Family,
        request: &Request<'_>,
    ) -> Result<(), OpError> {
        if family != Family::Store {
            return Ok(());
        }
        let mut names = ["bucket", "name"].into_iter().filter_map(|field| request.str_field(field));
        names.try_for_each(|name| self.refuse_system_bucket(&name))
    }

    /// See [`Mode::refuse_system_bucket`].
    pub(crate) fn refuse_system_bucket(&self, bucket: &str) -> Result<(), OpError> {
        self.sessions.mode.refuse_system_bucket(bucket)
    }

    /// See [`Users::require_read`].
    pub(crate) fn require_read(&self, conn: ConnId, bucket: &str) -> Result<(), OpError> {
        self.users(conn).require_read(bucket)
    }

    /// See [`Defining::may`].
    pub(super) fn may(&mut self, conn: ConnId, operation: Operation, bucket: &str) -> bool {
        self.defining(conn).may(operation, bucket)
    }

    /// The `ref` targets in a definition or an update of one.
    fn guard_references(&self, definition: Option<Raw<'_>>) -> Result<(), OpError> {
        let fields = ["schema", "addFields"].into_iter().filter_map(|name| definition?.get(name));
        let mut open: Vec<Raw<'_>> =
            fields.flat_map(Raw::members).map(|(_, field)| field).collect();
        while let Some(field) = open.pop() {
            if let Some(target) = field.get("ref").and_then(Raw::as_str) {
                self.refuse_system_bucket(&target)?;
            }
            let inner = field.get("properties").into_iter().flat_map(Raw::members);
            open.extend(inner.map(|(_, field)| field).chain(field.get("items")));
        }
        Ok(())
    }

    /// The buckets that actions and lookups of a rule name for the built-in
    /// `store` service; what a reference stands for is looked at when it runs.
    fn guard_rule(&self, rule: Raw<'_>) -> Result<(), OpError> {
        let mut open = vec![rule];
        while let Some(part) = open.pop() {
            let service = part.get("service").and_then(Raw::as_str);
            let args = part.get("args").filter(|_| service.as_deref() == Some("store"));
            if let Some(bucket) = args.and_then(|args| args.elements().next()?.as_str()) {
                self.refuse_system_bucket(&bucket)?;
            }
            for list in ["lookups", "actions", "then", "else", "try", "finally"] {
                open.extend(part.get(list).into_iter().flat_map(Raw::elements));
            }
            open.extend(part.get("catch"));
        }
        Ok(())
    }

    /// Whether something of that name is there to be owned.
    pub(super) fn resource_exists(&self, resource: &crate::identity::Resource) -> bool {
        match resource.kind {
            ResourceKind::Bucket => {
                self.store.bucket_id(&resource.name).is_some()
                    && !self.is_system_bucket(&resource.name)
            }
            ResourceKind::Query => {
                let view = |logic: &crate::logic::Logic| logic.view(&resource.name).is_some();
                self.query_source(&resource.name).is_some()
                    || self.logic.as_deref().is_some_and(view)
            }
            ResourceKind::Procedure => self.has_procedure(&resource.name),
            ResourceKind::Topic => false,
        }
    }
}

impl Mode {
    /// See [`Engine::decide`].
    pub(super) fn decide(
        &mut self,
        session: Option<&Session>,
        question: &Question<'_>,
    ) -> Result<(), OpError> {
        match self {
            Mode::Open => Ok(()),
            Mode::BuiltIn(identity) => match session {
                Some(session) => identity.directory.decide(&session.user_id, question),
                None => Err(unauthorized("Authentication required")),
            },
            Mode::External(external) => match session {
                Some(session) => external.decide(Principal::of(session), question),
                None => match external.anonymous_roles.clone() {
                    Some(roles) => external.decide(Principal::anonymous(&roles), question),
                    // Optional mode: nobody in particular may do everything.
                    None => Ok(()),
                },
            },
        }
    }
}

/// May a bucket be used by this operation?
pub(super) fn question_of(operation: Operation, bucket: &str) -> Question<'_> {
    let tier = operation.tier();
    Question {
        operation: Cow::Borrowed(operation.name()),
        tier,
        class: tier,
        kind: Some(ResourceKind::Bucket),
        name: Some(Cow::Borrowed(bucket)),
        source: None,
        record: None,
    }
}

impl Users<'_> {
    /// Built-in mode: who defines something that reads a whole bucket must be
    /// allowed to read it; later readers need only what is defined.
    pub fn require_read(&self, bucket: &str) -> Result<(), OpError> {
        let Mode::BuiltIn(identity) = self.mode else { return Ok(()) };
        let Some(bound) = self.conns.get(self.conn).and_then(|conn| conn.session.as_ref()) else {
            return Ok(());
        };
        let question = question_of(Operation::StoreAll, bucket);
        identity.directory.decide(&bound.session.user_id, &question)
    }
}

impl Deriving<'_> {
    /// Built-in mode: who reads a view that is an orphan must be allowed to read
    /// its buckets.
    pub fn require_read(&self, name: &str) -> Result<(), OpError> {
        if !self.orphans.contains(&*orphans::view(name)) {
            return Ok(());
        }
        let view = self.logic.and_then(|logic| logic.view(name));
        let names = view.into_iter().flat_map(|view| view.buckets());
        let mut names = names.filter(|name| self.store.bucket_id(name).is_some());
        names.try_for_each(|name| self.users.require_read(name))
    }
}

impl Defining<'_> {
    /// Whether an operation on a bucket would be allowed beside the one that is
    /// running.
    pub fn may(&mut self, operation: Operation, bucket: &str) -> bool {
        self.may_be_asked(&question_of(operation, bucket))
    }
}

/// The string at a dotted path of fields.
pub(super) fn string_at<'r>(request: &'r Request<'_>, path: &str) -> Option<Cow<'r, str>> {
    if !path.contains('.') {
        return request.str_field(path);
    }
    let mut names = path.split('.');
    let first = request.field(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))?.as_str()
}
