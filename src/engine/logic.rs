//! The engine's side of logic: what is configured or was stored, and what a
//! commit does to definitions.

use super::Engine;
use super::rows::NOBODY;
use crate::budget::Budget;
use crate::json::Json;
use crate::logic::{Logic, VIEW};
use crate::protocol::OpError;
use crate::store::{Commit, WriteCx};

impl Engine {
    /// Switches logic on with other limits than the default ones, or off.
    /// Before anything is defined.
    pub fn set_logic(&mut self, logic: Option<Logic>) {
        self.logic = logic.map(Box::new);
    }

    /// Takes over a definition that is configured or was stored: its kind as a
    /// document, its name, and what would come over the wire.
    ///
    /// # Errors
    /// As over the wire.
    pub(crate) fn restore_logic(
        &mut self,
        kind: &str,
        name: &str,
        body: &Json,
        is_stored: bool,
    ) -> Result<(), OpError> {
        let Some(logic) = self.logic.as_deref() else { return Ok(()) };
        let object = body.as_object().cloned().unwrap_or_default();
        let draft = logic.parse(&self.store, kind, name, &object)?;
        draft.buckets().into_iter().try_for_each(|bucket| self.refuse_system_bucket(bucket))?;
        let budget = Budget::unlimited();
        let cx = WriteCx { now: self.now.wall as f64, budget: &budget };
        let Some(logic) = self.logic.as_deref_mut() else { return Ok(()) };
        logic.define(&mut self.store, draft, is_stored, cx)?;
        if kind == VIEW {
            self.defining(NOBODY).name_view(name);
        }
        Ok(())
    }

    /// What was defined on a bucket goes with it.
    pub(super) fn forget_logic(&mut self, commit: &Commit) {
        let gone = self.logic.as_deref_mut().map(|logic| logic.follow(commit));
        for (kind, name) in gone.unwrap_or_default() {
            self.log_forget(kind, &name);
        }
    }
}
