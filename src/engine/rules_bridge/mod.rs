//! Where the rule engine meets connections and records.
//!
//! Owns the rule engine, the event subscriptions and the bridge from commits to
//! events, and is the [`Host`] of the rule engine: pushes its events, logs,
//! keeps its changes, runs the jobs of its services and provides the service
//! `store`. What rules mean is [`crate::rules`]' business.

mod first_events;
mod numbered;
mod store_events;
mod store_service;
mod subscriptions;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::Value;

use super::introspection::Author;
use super::{Engine, Timer};
use crate::app::{ConnId, Effect, Job, JobId, JobOutput, Now};
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::rules::{
    Chain, Cx, Event, Fact, Group, Host, Options, RecordKind, RuleEngine, RuleService, RulesChange,
    ServiceError, ServiceJob, Subscriptions, Ticket,
};
use crate::wheel::TimerId;
use store_events::Bridge;
pub use store_events::StoreEvents;

/// Root triggers of timers and patterns that run before other work gets a turn.
const TIMERS_AT_ONCE: usize = 256;

/// Everything that rules are made of at start.
#[derive(Debug, Default)]
pub struct RulesSetup {
    pub options: Options,
    pub groups: Vec<Group>,
    pub definitions: Vec<Object>,
    pub store_events: Option<StoreEvents>,
    /// Microseconds, for statistics.
    pub stopwatch: Option<fn() -> u64>,
}

/// The rules' part of the engine.
#[derive(Debug)]
pub(crate) struct RulesSide {
    /// Not here while it runs.
    core: Option<Box<RuleEngine>>,
    subscriptions: Subscriptions<ConnId>,
    of_conn: HashMap<ConnId, Vec<u64>>,
    /// Pushes that slow readers have lost: by subscription, not told yet.
    lost: HashMap<ConnId, std::collections::BTreeMap<u64, u64>>,
    /// What must not be pushed yet.
    waiting: HashMap<ConnId, first_events::Waiting>,
    bridge: Option<Bridge>,
    /// Numbers of events: what the client of a subscription was told last.
    told: HashMap<u64, u64>,
    /// The change that is an event now is for rules alone, not for clients.
    hides_store_events: bool,
    /// The timer for the rules' next deadline.
    timer: Option<(u64, TimerId)>,
    jobs: HashMap<JobId, Ticket>,
    stopwatch: Option<fn() -> u64>,
}

/// Checks groups and definitions as [`Engine::set_rules`] does, without an
/// engine.
///
/// # Errors
///
/// The first that would be refused, with its path.
pub(crate) fn check_rules(groups: Vec<Group>, definitions: Vec<Object>) -> Result<(), String> {
    let mut core = RuleEngine::new(Options::default(), Now::default());
    add_groups(&mut core, groups)?;
    let budget = Budget::unlimited();
    core.restore([], definitions, &mut Cx { now: Now::default(), budget, host: &mut Nobody })
}

fn add_groups(core: &mut RuleEngine, groups: Vec<Group>) -> Result<(), String> {
    for (at, group) in groups.into_iter().enumerate() {
        core.add_group(group).map_err(|error| format!("rules.groups[{at}].id: {error}"))?;
    }
    Ok(())
}

impl Engine {
    /// Switches the rule engine on: groups, services, what was stored, then the
    /// configured definitions. Before the first connection.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its path.
    pub fn set_rules(&mut self, setup: RulesSetup) -> Result<(), String> {
        let options = Options { durable: self.log.is_on(), ..setup.options };
        let mut core = Box::new(RuleEngine::new(options, self.now));
        add_groups(&mut core, setup.groups)?;
        let mut records = Vec::new();
        for kind in RecordKind::ALL {
            records.extend(self.take_documents(kind.as_str()).into_iter().map(|document| {
                RulesChange {
                    kind,
                    key: document.name.into(),
                    origin: document.origin,
                    value: Some(document.body.into()),
                }
            }));
        }
        self.rules = Some(Box::new(RulesSide {
            core: Some(core),
            subscriptions: Subscriptions::default(),
            of_conn: HashMap::new(),
            lost: HashMap::new(),
            told: HashMap::new(),
            waiting: HashMap::new(),
            bridge: setup.store_events.map(Bridge::new),
            hides_store_events: false,
            timer: None,
            jobs: HashMap::new(),
            stopwatch: setup.stopwatch,
        }));
        let definitions = setup.definitions;
        self.with_rules(|core, cx| core.restore(records, definitions, cx)).unwrap_or(Ok(()))
    }

    /// Lets rules call a service of the embedding program. Without a rule
    /// engine nobody calls it.
    ///
    /// # Errors
    ///
    /// If the name is taken.
    pub fn add_rule_service(
        &mut self,
        name: &str,
        service: Box<dyn RuleService>,
    ) -> Result<(), String> {
        match self.rules.as_mut().and_then(|side| side.core.as_mut()) {
            Some(core) => core.add_service(name, service),
            None => Ok(()),
        }
    }

    /// The rule engine, to look at.
    pub(crate) fn rule_engine(&self) -> Option<&RuleEngine> {
        self.rules.as_ref()?.core.as_deref()
    }

    /// Lets the rule engine do something. `None` without one.
    pub(crate) fn with_rules<R>(
        &mut self,
        run: impl FnOnce(&mut RuleEngine, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        // While it runs it is not in its place: what it calls cannot call it.
        let mut core = self.rules.as_mut()?.core.take()?;
        let (now, budget) = (self.now, self.budget.clone());
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut host = Surroundings(self);
            run(&mut core, &mut Cx { now, budget, host: &mut host })
        }));
        let deadline = core.next_deadline();
        if let Some(side) = &mut self.rules {
            side.core = Some(core);
        }
        self.arm_rules_timer(deadline);
        match result {
            Ok(result) => Some(result),
            Err(panic) => resume_unwind(panic),
        }
    }

    fn arm_rules_timer(&mut self, deadline: Option<u64>) {
        let Some(side) = &mut self.rules else { return };
        match (side.timer, deadline) {
            (Some((armed, _)), Some(deadline)) if armed == deadline => return,
            (Some((_, timer)), _) => {
                self.wheel.cancel(timer);
            }
            (None, _) => {}
        }
        side.timer = deadline.map(|at| (at, self.wheel.insert(at, Timer::Rules)));
    }

    /// Something of the rules is due.
    pub(super) fn rules_due(&mut self) {
        if let Some(side) = &mut self.rules {
            side.timer = None;
        }
        // Each has its own budget, all together no more than one request.
        let mut spent = 0;
        for _ in 0..TIMERS_AT_ONCE {
            self.fresh_budget();
            let more = self.with_rules(|core, cx| {
                core.advance(1, cx);
                core.next_deadline() == Some(0)
            });
            spent += self.budget.spent();
            if more != Some(true) || !self.may_go_on(spent) {
                return;
            }
        }
    }

    /// Writes a fact. `None` without a rule engine.
    pub(crate) fn set_fact(&mut self, key: &str, value: &Json) -> Option<Fact> {
        self.with_rules(|core, cx| core.set_fact(key, value, cx))
    }

    /// The answer to a call that a service promised to answer later. False if
    /// nothing waits for it any more.
    pub fn answer_rule_call(
        &mut self,
        ticket: Ticket,
        result: Result<Json, String>,
        now: Now,
    ) -> bool {
        self.take_time(now);
        let answered = self.with_rules(|core, cx| core.answer(ticket, result, cx));
        self.publish();
        answered.unwrap_or(false)
    }

    /// The end of a service's job. False if it was none.
    pub(super) fn rules_job_done(
        &mut self,
        job: JobId,
        output: Result<JobOutput, String>,
    ) -> Option<Result<JobOutput, String>> {
        let Some(ticket) = self.rules.as_mut().and_then(|side| side.jobs.remove(&job)) else {
            return Some(output);
        };
        let result = match output.map(|output| output.downcast::<Result<Value, String>>()) {
            Ok(Ok(result)) => result.map(Json::from),
            Ok(Err(_)) => Err("The job of the service returned something else".to_owned()),
            Err(panic) => Err(format!("The job of the service panicked: {panic}")),
        };
        self.answer_rule_call(ticket, result, self.now);
        None
    }
}

/// The engine as the rule engine sees it.
struct Surroundings<'e>(&'e mut Engine);

impl Host for Surroundings<'_> {
    fn event(&mut self, event: &Arc<Event>) {
        self.0.push_event(event);
    }

    fn log(&mut self, level: log::Level, text: &str) {
        log::log!(target: "noexd::rules", level, "{text}");
    }

    fn random(&mut self) -> u64 {
        self.0.ids.next_u64()
    }

    fn record(&mut self, change: RulesChange) {
        let kind = change.kind.as_str();
        match change.value {
            Some(value) => self.0.log_text(kind, &change.key, change.origin, value.as_ref().into()),
            None => self.0.log_forget(kind, &change.key),
        }
    }

    fn start_job(&mut self, ticket: Ticket, job: ServiceJob) {
        let id = self.0.ids.next_job();
        if let Some(side) = &mut self.0.rules {
            side.jobs.insert(id, ticket);
        }
        let run = Box::new(move || -> JobOutput { Box::new(job()) });
        self.0.effects.list.push(Effect::Job(Job { id, run }));
    }

    fn store_service(
        &mut self,
        method: &str,
        args: &[Json],
        chain: Chain,
    ) -> Result<Json, ServiceError> {
        let first = self.0.commits.unpublished.len();
        let by_rule = Author::Rule((&*chain.rule).into());
        let author = std::mem::replace(&mut self.0.current.author, by_rule);
        let result = self.0.call_store(method, args);
        self.0.current.author = author;
        self.0.chain_commits(first, &chain);
        result
    }

    fn evaluated(&mut self, rule: &str, report: Object) {
        self.0.trace_rule(rule, report);
    }

    fn stopwatch(&mut self) -> u64 {
        self.0.rules.as_ref().and_then(|side| side.stopwatch).map_or(0, |stopwatch| stopwatch())
    }
}

/// Surroundings of a rule engine that only checks definitions.
struct Nobody;

impl Host for Nobody {
    fn event(&mut self, _: &Arc<Event>) {}

    fn log(&mut self, _: log::Level, _: &str) {}

    fn random(&mut self) -> u64 {
        0
    }

    fn record(&mut self, _: RulesChange) {}

    fn start_job(&mut self, _: Ticket, _: ServiceJob) {}

    fn store_service(&mut self, _: &str, _: &[Json], _: Chain) -> Result<Json, ServiceError> {
        Err(ServiceError::UnknownMethod)
    }
}
