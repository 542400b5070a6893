//! What an embedding program puts in the place of the server's own decisions.

use crate::access::{PermissionCheck, TokenValidator};
use crate::audit::AuditSink;
use crate::net::Transport;
use crate::query::Program;
use crate::rules::RuleService;
use std::sync::Arc;

use super::hosted::Hosted;
use super::start_error::StartError;

/// Collected by the builder, handed over when the server is put together.
#[derive(Default)]
pub(super) struct Hooks {
    pub validator: Option<Box<dyn TokenValidator>>,
    pub permission_check: Option<Box<dyn PermissionCheck>>,
    pub audit_sinks: Vec<Box<dyn AuditSink>>,
    pub rule_services: Vec<(String, Box<dyn RuleService>)>,
    pub queries: Vec<(String, Arc<dyn Program>)>,
    /// Called after a reload.
    pub reloaded: Option<Box<dyn FnMut() + Send>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("validator", &self.validator.is_some())
            .field("permission_check", &self.permission_check.is_some())
            .field("audit_sinks", &self.audit_sinks.len())
            .field("rule_services", &self.rule_services.len())
            .field("queries", &self.queries.len())
            .finish()
    }
}

impl Hooks {
    /// # Errors
    ///
    /// For what cannot be installed.
    pub fn install(self, transport: &mut Transport<Hosted>) -> Result<(), StartError> {
        let remote = transport.remote();
        let engine = &mut transport.app_mut().engine;
        if let Some(validator) = self.validator {
            let deliver = Arc::new(move |job, verdict| {
                let delivered =
                    remote.run(move |app: &mut Hosted, now| app.validated(job, verdict, now));
                if let Err(error) = delivered {
                    log::debug!("a verdict came too late: {error}");
                }
            });
            engine.set_token_validator(validator, deliver);
        }
        if let Some(check) = self.permission_check {
            engine.set_permission_check(check);
        }
        for sink in self.audit_sinks {
            engine.add_audit_sink(sink);
        }
        for (name, service) in self.rule_services {
            engine
                .add_rule_service(&name, service)
                .map_err(|reason| StartError::Failed { step: "rule_service".into(), reason })?;
        }
        for (name, program) in self.queries {
            engine.define_program(&name, program).map_err(|error| StartError::Failed {
                step: format!("queries.{name}"),
                reason: error.message.into_owned(),
            })?;
        }
        Ok(())
    }
}
