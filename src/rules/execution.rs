//! One rule that runs: how far it is, on a stack of its own.

use std::sync::Arc;

use crate::json::{Json, Object};

use super::cause::Cause;
use super::reference::Vars;
use super::report::Report;
use super::rule::{Action, Catch, ForEach, Lookup, Rule};

/// One rule that runs for one trigger.
#[derive(Debug)]
pub(super) struct Execution {
    pub rule: Arc<Rule>,
    pub cause: Arc<Cause>,
    /// Results so far.
    pub lookups: Vec<(Box<str>, Json)>,
    pub vars: Vars,
    pub frames: Vec<Frame>,
    pub stage: Stage,
    /// Why the innermost `try` list stopped.
    failure: Option<String>,
    /// Something failed that no `catch` has met.
    pub failed: bool,
    /// On the stopwatch of the host.
    pub started: u64,
    /// What it did, if somebody watches the rule.
    pub report: Option<Box<Report>>,
}

/// How far an execution is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// The lookup with this number is next, or waited for.
    Lookups {
        next: usize,
        failed: Option<LookupFailure>,
    },
    Actions,
}

/// What failed lookups mean for the rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LookupFailure {
    Skip,
    Fail(String),
}

/// Where an execution is inside its actions.
#[derive(Debug)]
pub(super) enum Frame {
    List {
        actions: Arc<[Action]>,
        next: usize,
        /// A `try` list ends with its first failure.
        stops: bool,
    },
    Loop {
        actions: Arc<[Action]>,
        variable: Arc<str>,
        index: Arc<str>,
        items: std::vec::IntoIter<Json>,
        round: usize,
        vars: usize,
    },
    Try {
        catch: Option<Arc<Catch>>,
        finally: Option<Arc<[Action]>>,
        stage: TryStage,
        vars: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TryStage {
    Trying,
    Catching,
    Finally,
}

impl Execution {
    pub(super) fn new(rule: Arc<Rule>, cause: Arc<Cause>, stage: Stage, started: u64) -> Self {
        Execution {
            rule,
            cause,
            lookups: Vec::new(),
            vars: Vars::default(),
            frames: Vec::new(),
            stage,
            failure: None,
            failed: false,
            started,
            report: None,
        }
    }

    pub(super) fn push_list(&mut self, actions: &Arc<[Action]>, stops: bool) {
        self.frames.push(Frame::List { actions: Arc::clone(actions), next: 0, stops });
    }

    pub(super) fn push_loop(&mut self, each: &ForEach, mut items: Vec<Json>) {
        items.truncate(each.max);
        self.frames.push(Frame::Loop {
            actions: Arc::clone(&each.actions),
            variable: Arc::clone(&each.variable),
            index: Arc::clone(&each.index),
            items: items.into_iter(),
            round: 0,
            vars: self.vars.len(),
        });
    }

    pub(super) fn push_try(
        &mut self,
        attempt: &Arc<[Action]>,
        catch: Option<&Arc<Catch>>,
        finally: Option<&Arc<[Action]>>,
    ) {
        self.frames.push(Frame::Try {
            catch: catch.map(Arc::clone),
            finally: finally.map(Arc::clone),
            stage: TryStage::Trying,
            vars: self.vars.len(),
        });
        self.push_list(attempt, true);
    }

    /// The lookup that is next or waited for.
    pub(super) fn next_lookup<'r>(&self, rule: &'r Rule) -> Option<&'r Lookup> {
        match &self.stage {
            Stage::Lookups { next, .. } => rule.lookups.get(*next),
            Stage::Actions => None,
        }
    }

    /// Notes the result of the lookup that was next.
    pub(super) fn looked_up(&mut self, lookup: &Lookup, result: Result<Json, String>) {
        let Stage::Lookups { next, failed } = &mut self.stage else { return };
        *next += 1;
        match result {
            Ok(value) => self.lookups.push((lookup.name.clone(), value)),
            Err(text) if lookup.fail => {
                let text = format!("Lookup \"{}\" failed: {text}", lookup.name);
                if !matches!(failed, Some(LookupFailure::Fail(_))) {
                    *failed = Some(LookupFailure::Fail(text));
                }
            }
            Err(_) => {
                failed.get_or_insert(LookupFailure::Skip);
            }
        }
    }

    /// The next action, if there is one.
    pub(super) fn next_action(&mut self) -> Option<(Arc<[Action]>, usize)> {
        loop {
            match self.frames.last_mut()? {
                Frame::List { actions, next, .. } if *next < actions.len() => {
                    *next += 1;
                    return Some((Arc::clone(actions), *next - 1));
                }
                Frame::List { .. } => {
                    self.frames.pop();
                }
                Frame::Loop { actions, variable, index, items, round, vars } => {
                    self.vars.truncate(*vars);
                    let item = items.next().filter(|_| self.cause.budget.take_steps(1));
                    match item {
                        Some(item) => {
                            self.vars.push(variable, item);
                            self.vars.push(index, Json::Number(*round as f64));
                            *round += 1;
                            let actions = Arc::clone(actions);
                            self.push_list(&actions, false);
                        }
                        None => {
                            self.frames.pop();
                        }
                    }
                }
                Frame::Try { catch, finally, stage, vars } => {
                    self.vars.truncate(*vars);
                    match stage {
                        TryStage::Trying => {
                            *stage = TryStage::Catching;
                            let failure = self.failure.take();
                            self.failed |= failure.is_some() && catch.is_none();
                            if let (Some(text), Some(catch)) = (failure, catch.clone()) {
                                if let Some(variable) = &catch.variable {
                                    let error: Object =
                                        [("message", Json::from(text))].into_iter().collect();
                                    self.vars.push(variable, Json::Object(error));
                                }
                                self.push_list(&catch.actions, false);
                            }
                        }
                        TryStage::Catching => {
                            *stage = TryStage::Finally;
                            if let Some(finally) = finally.clone() {
                                self.push_list(&finally, false);
                            }
                        }
                        TryStage::Finally => {
                            self.frames.pop();
                        }
                    }
                }
            }
        }
    }

    /// An action failed: a `try` list ends, any other goes on. Returns the text
    /// if nobody will see it.
    pub(super) fn fail(&mut self, text: String) -> Option<String> {
        if let Some(Frame::List { stops: true, .. }) = self.frames.last() {
            self.frames.pop();
            self.failure = Some(text);
            return None;
        }
        self.failed = true;
        Some(text)
    }
}
