//! `logic.*`: computed fields, derived views, constraints and expressions.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::{Json, Object, Raw};
use crate::logic::{COMPUTED, CONSTRAINT, Logic, evaluate_once};
use crate::protocol::{ErrorCode, OpError, Request};
use crate::storage::Origin;
use crate::store::WriteCx;

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

impl Engine {
    fn logic(&self) -> Result<&Logic, OpError> {
        self.logic.as_deref().ok_or_else(not_available)
    }

    /// The three definitions: issues, then who may, then what is there.
    fn define_logic(
        &mut self,
        conn: ConnId,
        kind: &'static str,
        name: &str,
        body: Raw<'_>,
    ) -> Result<Box<str>, OpError> {
        self.budget.spend_text(body.text().len())?;
        let draft = self.logic()?.parse(&self.store, kind, name, &object(body))?;
        if !self.conns.get(conn).is_some_and(|conn| conn.trusted) {
            draft.buckets().try_for_each(|bucket| self.refuse_system_bucket(bucket))?;
        }
        let name: Box<str> = draft.name().into();
        let cx = WriteCx { now: self.now.wall as f64, budget: &self.budget };
        let logic = self.logic.as_deref_mut().ok_or_else(not_available)?;
        let stored = logic.define(&mut self.store, draft, cx)?;
        self.log_document(kind, &name, Origin::Wire, &stored);
        Ok(name)
    }

    fn drop_logic(&mut self, kind: &'static str, name: &str) -> Result<bool, OpError> {
        let logic = self.logic.as_deref_mut().ok_or_else(not_available)?;
        let dropped = logic.undefine(&mut self.store, kind, name);
        if dropped {
            self.log_forget(kind, name);
        }
        Ok(dropped)
    }

    pub(super) fn define_computed(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let bucket = request.require_string("bucket")?;
        let fields = request.require_object("fields")?;
        self.define_logic(conn, COMPUTED, &bucket, fields)?;
        Ok(answer("bucket", &bucket, "defined", true))
    }

    pub(super) fn drop_computed(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let bucket = request.require_string("bucket")?;
        let dropped = self.drop_logic(COMPUTED, &bucket)?;
        Ok(answer("bucket", &bucket, "dropped", dropped))
    }

    pub(super) fn define_constraint(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let constraint = request.require_object("constraint")?;
        let name = self.define_logic(conn, CONSTRAINT, "", constraint)?;
        Ok(answer("name", &name, "defined", true))
    }

    pub(super) fn drop_constraint(&mut self, request: &Request<'_>) -> Result<Json, OpError> {
        let name = request.require_string("name")?;
        let dropped = self.drop_logic(CONSTRAINT, &name)?;
        Ok(answer("name", &name, "dropped", dropped))
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

    pub(super) fn evaluate_expr(&self, request: &Request<'_>) -> Result<Json, OpError> {
        let limits = self.logic()?.limits().expr;
        let expr = request
            .field("expr")
            .ok_or_else(|| OpError::validation("Missing \"expr\": expected expression"))?;
        let record = request.optional_object("record")?.unwrap_or(Raw::EMPTY_OBJECT);
        let now = self.now.wall as f64;
        self.budget.spend_text(expr.text().len())?;
        let value = evaluate_once(&expr.to_json(), record, limits, now, &self.budget);
        value.map_err(|reason| {
            OpError::new(
                ErrorCode::InternalError,
                format!("Expression evaluation failed: {reason}"),
            )
        })
    }
}
