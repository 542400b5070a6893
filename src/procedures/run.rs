//! One call: the steps one after the other.

use super::definition::Definition;
use super::scope::{Caller, Scope, json_of};
use super::steps::{Action, Does, Step};
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::OpError;

/// What carries out the steps that reach outside.
pub(crate) trait Host {
    /// Does it; the result, for those that give one.
    ///
    /// # Errors
    /// Those of the operation that does the same.
    fn act(&mut self, action: &Action, scope: &mut Scope) -> Result<Json, OpError>;

    /// Whether the time of the call is over.
    fn is_late(&mut self) -> bool;
}

/// A call that is to be made.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    pub definition: &'c Definition,
    /// Checked, with defaults.
    pub input: Json,
    pub caller: &'c Caller,
    pub budget: &'c Budget,
}

/// How a call ended well.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of a `return`; `None` is undefined.
    pub result: Option<Json>,
    pub results: Object,
}

/// A step that failed, or was not begun.
#[derive(Debug)]
pub(crate) enum StepError {
    Late,
    Failed { path: Box<str>, action: Box<str>, error: OpError },
}

/// What follows a step.
enum Next {
    Step,
    Return(Option<Json>),
}

impl Call<'_> {
    /// Runs the steps.
    ///
    /// # Errors
    /// Of the first step that fails.
    pub fn run(self, host: &mut dyn Host) -> Result<Outcome, StepError> {
        let mut scope = Scope::new(self.input, self.caller, self.budget);
        let result = match run_all(&self.definition.steps, &mut scope, host)? {
            Next::Step => None,
            Next::Return(value) => value,
        };
        Ok(Outcome { result, results: scope.into_results() })
    }
}

fn run_all(steps: &[Step], scope: &mut Scope, host: &mut dyn Host) -> Result<Next, StepError> {
    for step in steps {
        if host.is_late() {
            return Err(StepError::Late);
        }
        let failed = |error: OpError| StepError::Failed {
            path: step.path.clone(),
            action: step.action().into(),
            error,
        };
        match &step.does {
            Does::If { condition, then, otherwise } => {
                let holds = condition.holds(scope).map_err(|over| failed(over.into()))?;
                let branch = if holds { then } else { otherwise };
                if let Next::Return(value) = run_all(branch, scope, host)? {
                    return Ok(Next::Return(value));
                }
            }
            Does::Return(value) => {
                let value = scope.fill(value).map_err(|over| failed(over.into()))?;
                return Ok(Next::Return(json_of(&value)));
            }
            Does::Act { .. } | Does::Aggregate { .. } | Does::Reshape { .. } => {
                run_one(step, scope, host).map_err(failed)?;
                // What was read may have taken its time; what was written stays.
                if step.is_scan() && host.is_late() {
                    return Err(StepError::Late);
                }
            }
        }
    }
    Ok(Next::Step)
}

fn run_one(step: &Step, scope: &mut Scope, host: &mut dyn Host) -> Result<(), OpError> {
    scope.budget().spend(1)?;
    let (name, value) = match &step.does {
        Does::Act { action, keep } => match (host.act(action, scope)?, keep) {
            (value, Some(name)) => (name, value),
            (_, None) => return Ok(()),
        },
        Does::Aggregate { aggregate, keep } => (keep, aggregate.run(scope)?),
        Does::Reshape { reshape, keep } => (keep, reshape.run(scope)?),
        Does::If { .. } | Does::Return(_) => return Ok(()),
    };
    Ok(scope.keep(name, value)?)
}
