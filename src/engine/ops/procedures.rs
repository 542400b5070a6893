//! `procedures.*`: the registry of stored programs, and calls.

use super::write_list;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::scopes::Defining;
use crate::engine::sessions::Mode;
use crate::json::{Json, Object, write_string};
use crate::procedures::{Definition, Limits, Procedures};
use crate::protocol::bounds::check_name;
use crate::protocol::{ErrorCode, OpError, Request};

/// The kind of the stored documents.
const STORED: &str = "procedure";

fn not_configured() -> OpError {
    OpError::new(ErrorCode::UnknownOperation, "Procedures engine is not configured")
}

/// `{"name": …, "…": true}`
fn done(out: &mut Vec<u8>, name: &str, what: &str) {
    out.extend_from_slice(b"{\"name\":");
    write_string(out, name);
    out.push(b',');
    write_string(out, what);
    out.extend_from_slice(b":true}");
}

fn object(request: &Request<'_>, field: &str) -> Result<Object, OpError> {
    match request.require_object(field)?.to_json() {
        Json::Object(object) => Ok(object),
        _ => Ok(Object::new()),
    }
}

fn refuse_system_steps(mode: &Mode, definition: &Definition) -> Result<(), OpError> {
    definition.buckets().into_iter().try_for_each(|bucket| mode.refuse_system_bucket(bucket))
}

impl Defining<'_> {
    fn registry(&self) -> Result<&Procedures, OpError> {
        self.procedures.as_ref().ok_or_else(not_configured)
    }

    fn registry_mut(&mut self) -> Result<&mut Procedures, OpError> {
        self.procedures.as_mut().ok_or_else(not_configured)
    }

    /// What a valid definition may still not do, whoever sends it.
    fn permit_definition(&self, definition: &Definition) -> Result<(), OpError> {
        refuse_system_steps(self.mode(), definition)?;
        let is_built_in = matches!(self.mode(), Mode::BuiltIn(_));
        if definition.as_definer && !self.is_trusted() && is_built_in {
            self.users().admin()?;
        }
        Ok(())
    }

    pub(super) fn register_procedure(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let supplied = object(request, "procedure")?;
        let definition = self.registry()?.check(&supplied)?;
        check_name("Procedure", &definition.name)?;
        self.permit_definition(&definition)?;
        self.registry()?.require_free(&definition.name)?;
        done(out, &definition.name, "registered");
        self.keep(STORED, &definition.name, &Json::Object(supplied));
        self.registry_mut()?.register(definition);
        Ok(())
    }

    pub(super) fn unregister_procedure(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        self.registry_mut()?.unregister(&name)?;
        self.forget(STORED, &name);
        done(out, &name, "unregistered");
        Ok(())
    }

    pub(super) fn update_procedure(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let updates = object(request, "updates")?;
        let merged = self.registry()?.merged(&name, &updates)?;
        let definition = self.registry()?.check(&merged)?;
        self.permit_definition(&definition)?;
        self.keep(STORED, &name, &Json::Object(merged));
        self.registry_mut()?.replace(definition);
        done(out, &name, "updated");
        Ok(())
    }
}

impl Engine {
    /// Switches procedures on. Before the first connection.
    pub fn set_procedures(&mut self, limits: Limits) {
        self.procedures = Some(Procedures::new(limits));
    }

    /// Registers a procedure of the configuration, or one that was stored.
    ///
    /// # Errors
    /// As `procedures.register`.
    pub(crate) fn define_procedure(&mut self, definition: &Object) -> Result<(), OpError> {
        let definition = self.procedures()?.check(definition)?;
        refuse_system_steps(&self.sessions.mode, &definition)?;
        let procedures = self.procedures.as_mut().ok_or_else(not_configured)?;
        procedures.require_free(&definition.name)?;
        procedures.register(definition);
        Ok(())
    }

    fn procedures(&self) -> Result<&Procedures, OpError> {
        self.procedures.as_ref().ok_or_else(not_configured)
    }

    /// Whether there is a procedure of that name.
    pub(in crate::engine) fn has_procedure(&self, name: &str) -> bool {
        self.procedures.as_ref().is_some_and(|procedures| procedures.is_registered(name))
    }

    /// Milliseconds for procedures that say nothing themselves.
    pub(in crate::engine) fn procedure_timeout(&self) -> f64 {
        let limits = self.procedures.as_ref().map(|procedures| procedures.limits);
        limits.unwrap_or_default().default_timeout_ms
    }

    pub(super) fn get_procedure(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        Json::Object(self.procedures()?.get(&name)?.supplied.clone()).write(out);
        Ok(())
    }

    pub(super) fn list_procedures(&self, out: &mut Vec<u8>) -> Result<(), OpError> {
        out.extend_from_slice(b"{\"procedures\":");
        let procedures = self.procedures()?;
        write_list(out, &self.budget, procedures.iter(), |definition, out| {
            Procedures::summary(definition).write(out);
        })?;
        out.push(b'}');
        Ok(())
    }

    pub(super) fn call_procedure(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        // A running call keeps the definition that it started with.
        let definition = std::sync::Arc::clone(self.procedures()?.get(&name)?);
        let input = definition.take_input(request.field("input").map(|input| input.to_json()))?;
        self.run_procedure(conn, &definition, input, out)
    }
}
