//! `logic.*`: computed fields, derived views, constraints and expressions.

use std::sync::Arc;

use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::continuity::{Asked, Resumption};
use crate::engine::orphans;
use crate::engine::scopes::{Defining, Deriving};
use crate::engine::subscriptions::{
    How, Mode, subscription_id, subscription_not_found, subscription_number,
};
use crate::json::{Json, Object, Raw};
use crate::logic::{COMPUTED, CONSTRAINT, Draft, Expression, Logic, VIEW, View};
use crate::protocol::{ErrorCode, OpError, Request};
use crate::query::{ViewId, Want};

/// The engine was there when the family was looked up.
fn not_available() -> OpError {
    OpError::new(ErrorCode::LogicNotAvailable, "Logic engine is not configured")
}

/// `{"…": …, "…": …}`
fn answer(first: &str, name: &str, second: &str, value: bool) -> Json {
    let members: Object =
        [(first, Json::from(name)), (second, Json::Bool(value))].into_iter().collect();
    Json::Object(members)
}

fn object(raw: Raw<'_>) -> Object {
    match raw.to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

impl Defining<'_> {
    /// The three definitions: issues, then who may, then what is there.
    fn define_kind(
        &mut self,
        kind: &'static str,
        name: &str,
        body: Raw<'_>,
    ) -> Result<Box<str>, OpError> {
        self.budget.spend_text(body.text().len())?;
        let logic = self.logic().ok_or_else(not_available)?;
        let draft = logic.parse(self.store(), kind, name, &object(body))?;
        if let Draft::View(view) = &draft {
            view.check_searches(self.store())?;
        }
        if !self.is_trusted() {
            let mut buckets = draft.buckets().into_iter();
            buckets.try_for_each(|name| self.mode().refuse_system_bucket(name))?;
            self.may_define_view(&draft)?;
        }
        let name: Box<str> = draft.name().into();
        let stored = self.define_logic(draft)?.ok_or_else(not_available)?;
        self.keep(kind, &name, &stored);
        if kind == VIEW {
            self.name_view(&name);
            self.forget_orphan(&orphans::view(&name));
        }
        Ok(name)
    }

    /// Built-in users: who sees all records, and who may read the buckets.
    fn may_define_view(&self, draft: &Draft) -> Result<(), OpError> {
        let Draft::View(view) = draft else { return Ok(()) };
        let users = self.users();
        if view.as_definer && self.mode().identity().is_ok() {
            users.admin()?;
        }
        view.buckets().into_iter().try_for_each(|bucket| users.require_read(bucket))
    }

    fn drop_logic(&mut self, kind: &'static str, name: &str) -> Result<bool, OpError> {
        self.logic().ok_or_else(not_available)?;
        let dropped = self.undefine_logic(kind, name);
        if dropped {
            self.forget(kind, name);
            if kind == VIEW {
                self.remove_view(name);
                self.forget_orphan(&orphans::view(name));
            }
        }
        Ok(dropped)
    }

    pub(super) fn define_computed(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let bucket = request.require_string("bucket")?;
        let fields = request.require_object("fields")?;
        self.define_kind(COMPUTED, &bucket, fields)?;
        Ok(answer("bucket", &bucket, "defined", true))
    }

    pub(super) fn drop_computed(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let bucket = request.require_string("bucket")?;
        if !self.is_trusted() {
            self.mode().refuse_system_bucket(&bucket)?;
        }
        let dropped = self.drop_logic(COMPUTED, &bucket)?;
        Ok(answer("bucket", &bucket, "dropped", dropped))
    }

    pub(super) fn define_constraint(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let constraint = request.require_object("constraint")?;
        let name = self.define_kind(CONSTRAINT, "", constraint)?;
        Ok(answer("name", &name, "defined", true))
    }

    pub(super) fn drop_constraint(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("name")?;
        let dropped = self.drop_logic(CONSTRAINT, &name)?;
        Ok(answer("name", &name, "dropped", dropped))
    }

    pub(super) fn define_view(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let definition = request.require_object("definition")?;
        let name = self.define_kind(VIEW, "", definition)?;
        Ok(answer("name", &name, "defined", true))
    }

    pub(super) fn drop_view(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("name")?;
        let dropped = self.drop_logic(VIEW, &name)?;
        Ok(answer("name", &name, "dropped", dropped))
    }
}

impl<'e> Deriving<'e> {
    fn logic(&self) -> Result<&'e Logic, OpError> {
        self.logic.ok_or_else(not_available)
    }

    pub(super) fn list_computed(&self) -> Result<Json, OpError> {
        let list = self.logic()?.computed().map(|(bucket, fields)| {
            self.budget.spend(fields.len() as u64)?;
            let members: Object =
                [("bucket", Json::from(bucket)), ("fields", Json::Object(fields.clone()))]
                    .into_iter()
                    .collect();
            Ok(Json::Object(members))
        });
        Ok(Json::Array(list.collect::<Result<_, OpError>>()?))
    }

    pub(super) fn list_constraints(&self) -> Result<Json, OpError> {
        let list = self.logic()?.constraints().map(|definition| {
            self.budget.spend(1)?;
            Ok(Json::Object(definition.clone()))
        });
        Ok(Json::Array(list.collect::<Result<_, OpError>>()?))
    }

    fn require_view(&self, name: &str) -> Result<Arc<View>, OpError> {
        self.logic()?
            .view(name)
            .cloned()
            .ok_or_else(|| OpError::validation(format!("View \"{name}\" is not defined")))
    }

    pub(super) fn query_view(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let view = self.require_view(&name)?;
        view.require_buckets(self.store)?;
        self.require_read(&name)?;
        let read = self.rights.read_of_view(&view)?;
        let rows = view.query(self.store, read.as_deref(), (self.wall, self.budget), out)?;
        self.budget.note_rows(rows);
        Ok(self.budget.reply(out.len() + 1)?)
    }

    pub(super) fn explain_view(&self, request: &Request<'_>) -> Result<Json, OpError> {
        let view = self.require_view(&request.require_string("name")?)?;
        Ok(view.explain(self.store, self.budget))
    }

    pub(super) fn list_views(&mut self) -> Result<Json, OpError> {
        let mut rows = Vec::new();
        let views: Vec<Arc<View>> = self.logic()?.views().map(Arc::clone).collect();
        let list = views.iter().map(|view| {
            rows.clear();
            let read = self.rights.read_of_view(view);
            let count = read.and_then(|read| {
                let asking = (self.wall, self.budget);
                view.query(self.store, read.as_deref(), asking, &mut rows)
            });
            self.budget.check()?;
            let from = view.definition.get("from").cloned().unwrap_or_default();
            let members: Object = [
                ("name", Json::from(&*view.name)),
                ("from", from),
                ("reactive", Json::Bool(view.is_reactive)),
                // One that cannot be queried now has no rows.
                ("resultCount", Json::Number(count.unwrap_or(0) as f64)),
            ]
            .into_iter()
            .collect();
            Ok(Json::Object(members))
        });
        Ok(Json::Array(list.collect::<Result<_, OpError>>()?))
    }

    pub(super) fn evaluate_expr(&self, request: &Request<'_>) -> Result<Json, OpError> {
        let limits = self.logic()?.limits().expr;
        let expr = request
            .field("expr")
            .ok_or_else(|| OpError::validation("Missing \"expr\": expected expression"))?;
        let record = request.optional_object("record")?.unwrap_or(Raw::EMPTY_OBJECT);
        let now = self.wall as f64;
        self.budget.spend_text(expr.text().len())?;
        let expr = Expression::compile(&expr.to_json(), limits).map_err(|reason| {
            let text = format!("Expression evaluation failed: {reason}");
            OpError::new(ErrorCode::InternalError, text)
        })?;
        Ok(expr.evaluate(record, now, self.budget))
    }
}

impl Engine {
    pub(super) fn subscribe_view(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        self.check_subscription_limits(conn)?;
        let name = request.require_string("name")?;
        let view = self.deriving(conn).require_view(&name)?;
        if !view.is_reactive {
            return Err(OpError::validation(format!("View \"{name}\" is not reactive")));
        }
        view.require_buckets(&self.store)?;
        self.require_read_of_view(conn, &name)?;
        let asked = self.asked_to_resume(request)?;
        let coalesce = self.options.coalesce_pushes;
        let want = if coalesce { Want::FullLater } else { Want::Full };
        let number = self.ids.next_subscription();
        self.views.wall = self.now.wall;
        let read = self.rights(conn).read_of_view(&view)?;
        let id = self.views.subscribe_derived(&self.store, &name, read, want, &self.budget)?;
        let written = self.write_view_subscribed(conn, (id, number), asked.as_ref(), out);
        self.views.settle(id);
        let resumes = match written {
            Ok(resumes) => resumes,
            Err(over) => {
                self.views.unsubscribe(id, want);
                return Err(over);
            }
        };
        let how = How { mode: Mode::Full, coalesce, resumes };
        self.add_subscription(conn, number, id, how);
        self.answer_shows(conn, id, resumes);
        Ok(())
    }

    /// The response, with the rows; whether it says which state they are.
    fn write_view_subscribed(
        &mut self,
        conn: ConnId,
        (id, number): (ViewId, u64),
        asked: Option<&Asked>,
        out: &mut Vec<u8>,
    ) -> Result<bool, OpError> {
        let resumption = asked.map(|asked| self.resume(conn, id, Mode::Full, asked));
        let resumption = resumption.transpose()?.flatten();
        out.extend_from_slice(b"{\"subscriptionId\":\"");
        out.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
        out.push(b'"');
        if !resumption.as_ref().is_some_and(Resumption::keeps) {
            out.extend_from_slice(b",\"data\":");
            if let Some(body) = self.views.get_mut(id).and_then(|live| live.body(&self.store)) {
                out.extend_from_slice(&body);
            }
        }
        if let Some(resumption) = &resumption {
            resumption.write(out);
        }
        out.push(b'}');
        self.budget.reply(out.len() + 1)?;
        Ok(resumption.is_some())
    }

    pub(super) fn unsubscribe_view(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        let number = subscription_number(&id);
        if !number.is_some_and(|number| self.unsubscribe(conn, number, true)) {
            return Err(subscription_not_found(&id));
        }
        out.extend_from_slice(b"{\"unsubscribed\":true}");
        Ok(())
    }
}
