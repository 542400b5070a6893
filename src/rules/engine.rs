//! The rule engine: what can be asked of it, and its state.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::app::Now;
use crate::json::{Json, Object, write_number};
use crate::recent::Recent;
use crate::wheel::{TimerId, Wheel};

use super::due::Due;
use super::event::{Budget, Chain, Event, Warning, make_id};
use super::execution::Execution;
use super::facts::{Fact, Facts, Source};
use super::index::PatternIndex;
use super::pattern::{Grammar, Pattern};
use super::record::{RecordKind, RulesChange, fact_change, rule_change, timer_record};
use super::regexes::RegexCache;
use super::rule::{Registered, Rule};
use super::service::{LookupCache, RuleService, ServiceError, ServiceJob, Services, Ticket};
use super::temporal::Temporal;
use super::timers::{ArmedTimer, Timers};

/// The name of the service that the host provides.
pub const STORE_SERVICE: &str = "store";

/// What the engine needs from its surroundings. Called while rules run, in the
/// order in which things happen.
pub trait Host {
    /// An event has been created; its rules have not run yet.
    fn event(&mut self, event: &Arc<Event>);
    /// A line for the server's log.
    fn log(&mut self, level: log::Level, text: &str);
    /// Random bits for ids.
    fn random(&mut self) -> u64;
    /// Durable state has changed. Only with [`Options::durable`].
    fn record(&mut self, change: RulesChange);
    /// Runs a service's job elsewhere and brings the result to
    /// [`RuleEngine::answer`].
    fn start_job(&mut self, ticket: Ticket, job: ServiceJob);
    /// The built-in service `store`. What it changes belongs to `chain`.
    ///
    /// # Errors
    /// As [`RuleService::call`].
    fn store_service(
        &mut self,
        method: &str,
        args: &[Json],
        chain: Chain,
    ) -> Result<Json, ServiceError>;
    /// A rule that somebody watches was evaluated; see [`RuleEngine::watch`].
    fn evaluated(&mut self, _rule: &str, _report: Object) {}
    /// A stopwatch in microseconds, for statistics only.
    fn stopwatch(&mut self) -> u64 {
        0
    }
}

/// One call from outside: when it is, and who is around.
pub struct Cx<'h> {
    pub now: Now,
    /// What may be spent on this call; see [`crate::budget`].
    pub budget: crate::budget::Budget,
    pub host: &'h mut dyn Host,
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cx").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Limits and switches.
#[derive(Clone, Debug)]
pub struct Options {
    /// Depth at which rules of one chain still run.
    pub max_forward_depth: u32,
    /// Events that one root trigger may produce.
    pub max_cascade_events: u32,
    /// Whether facts written by rules trigger fact rules.
    pub chain_facts: bool,
    /// How long an execution waits for a service that answers later.
    pub service_timeout_ms: u64,
    /// Whether changes are handed to [`Host::record`].
    pub durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_forward_depth: 10,
            max_cascade_events: 10_000,
            chain_facts: false,
            service_timeout_ms: 30_000,
            durable: false,
        }
    }
}

/// A group of rules from the configuration.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub enabled: bool,
}

/// Counters of `rules.stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    pub rules: usize,
    pub facts: usize,
    pub timers: usize,
    pub events: u64,
    pub executed: u64,
    /// Actions and lookups that failed.
    pub failures: u64,
    /// Microseconds of all executions.
    pub busy: u64,
}

impl Stats {
    /// Appends the object of `rules.stats`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let average =
            if self.executed == 0 { 0.0 } else { self.busy as f64 / 1000.0 / self.executed as f64 };
        let numbers = [
            ("{\"rulesCount\":", self.rules as f64),
            (",\"factsCount\":", self.facts as f64),
            (",\"timersCount\":", self.timers as f64),
            (",\"eventsProcessed\":", self.events as f64),
            (",\"rulesExecuted\":", self.executed as f64),
            (",\"avgProcessingTimeMs\":", average),
        ];
        for (name, value) in numbers {
            out.extend_from_slice(name.as_bytes());
            write_number(out, value);
        }
        out.extend_from_slice(
            b",\"tracing\":{\"enabled\":false,\"entriesCount\":0,\"maxEntries\":10000}}",
        );
    }
}

/// An execution that waits for a service.
#[derive(Debug)]
pub(super) struct Waiting {
    pub execution: Box<Execution>,
    /// Under which key the answer to a lookup is remembered. Its arguments may
    /// mean something else by the time at which it comes.
    pub remember: Option<Arc<[u8]>>,
    pub timeout: TimerId,
    pub service: Box<str>,
}

/// Facts, rules, timers and patterns, without I/O. See the module's
/// documentation.
#[derive(Debug)]
pub struct RuleEngine {
    /// Ids of rules that somebody watches.
    pub(super) watched: Vec<Box<str>>,
    pub(super) options: Options,
    pub(super) rules: BTreeMap<u64, Registered>,
    pub(super) by_id: HashMap<Arc<str>, u64>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) numbers: u64,
    pub(super) versions: u64,
    pub(super) event_rules: PatternIndex<Arc<Rule>>,
    pub(super) fact_rules: PatternIndex<Arc<Rule>>,
    pub(super) timer_rules: PatternIndex<Arc<Rule>>,
    pub(super) temporal: Temporal,
    pub(super) facts: Facts,
    pub(super) timers: Timers,
    pub(super) wheel: Wheel<Due>,
    /// Expired and not run yet.
    pub(super) due: VecDeque<Due>,
    pub(super) services: Services,
    pub(super) cache: LookupCache,
    pub(super) regexes: RegexCache,
    pub(super) waiting: HashMap<Ticket, Waiting>,
    pub(super) tickets: Ticket,
    /// The rule that runs, for whoever catches a panic.
    pub(super) running: Option<Arc<Rule>>,
    pub(super) events: u64,
    pub(super) executed: u64,
    pub(super) failures: u64,
    /// Executions that failed lately, of rules that are there.
    pub(super) failing: HashMap<Arc<str>, Recent<u64>>,
    pub(super) busy: u64,
}

impl RuleEngine {
    pub fn new(options: Options, now: Now) -> Self {
        RuleEngine {
            options,
            rules: BTreeMap::new(),
            by_id: HashMap::new(),
            groups: BTreeMap::new(),
            numbers: 0,
            versions: 0,
            event_rules: PatternIndex::new(Grammar::Topic),
            fact_rules: PatternIndex::new(Grammar::Key),
            timer_rules: PatternIndex::new(Grammar::Key),
            temporal: Temporal::new(),
            facts: Facts::default(),
            timers: Timers::default(),
            wheel: Wheel::new(now.mono),
            due: VecDeque::new(),
            services: Services::default(),
            cache: LookupCache::default(),
            regexes: RegexCache::default(),
            waiting: HashMap::new(),
            tickets: 0,
            running: None,
            events: 0,
            executed: 0,
            failures: 0,
            failing: HashMap::new(),
            busy: 0,
            watched: Vec::new(),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Makes a service available to rules.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add_service(&mut self, name: &str, service: Box<dyn RuleService>) -> Result<(), String> {
        if self.has_service(name) {
            return Err(format!("Service \"{name}\" is already registered"));
        }
        self.services.insert(name, service);
        Ok(())
    }

    pub fn has_service(&self, name: &str) -> bool {
        name == STORE_SERVICE || self.services.contains(name)
    }

    /// A root event: runs everything that it triggers, then returns it.
    pub fn emit(&mut self, new: NewEvent, cx: &mut Cx<'_>) -> Arc<Event> {
        let budget = self.budget(cx);
        self.create(new, 1, &budget, cx)
    }

    /// An event that a rule has caused outside of the engine: it counts as if
    /// the rule had emitted it. Dropped at the limit of its root trigger.
    pub fn emit_from(&mut self, chain: &Chain, new: NewEvent, cx: &mut Cx<'_>) -> bool {
        let has_room = chain.budget.take_event();
        if has_room {
            self.create(new, chain.depth, &chain.budget, cx);
        } else if chain.budget.warn_once(Warning::Events) {
            let max = self.options.max_cascade_events;
            cx.host.log(log::Level::Warn, &format!("Cascade limit reached ({max} events)"));
        }
        has_room
    }

    fn create(
        &mut self,
        new: NewEvent,
        depth: u32,
        budget: &Arc<Budget>,
        cx: &mut Cx<'_>,
    ) -> Arc<Event> {
        let event = Arc::new(Event {
            id: make_id(cx.now.wall, cx.host.random()),
            topic: new.topic,
            data: Arc::new(Json::Object(new.data)),
            timestamp: cx.now.wall,
            correlation_id: new.correlation_id,
            causation_id: new.causation_id,
            source: new.source,
        });
        let mut tasks = Vec::new();
        self.process(&event, depth, budget, &mut tasks, cx);
        self.drive(tasks, cx);
        event
    }

    /// Writes a fact, runs what it triggers, and returns it as it was written.
    pub fn set_fact(&mut self, key: &str, value: &Json, cx: &mut Cx<'_>) -> Fact {
        let fact = self.facts.set(key, Some(value), cx.now.wall, Source::Api).clone();
        self.record_fact(key, &fact, cx);
        let budget = self.budget(cx);
        let mut tasks = Vec::new();
        self.fact_written(key, &fact, 1, &budget, &mut tasks);
        self.drive(tasks, cx);
        fact
    }

    /// Never triggers anything.
    pub fn delete_fact(&mut self, key: &str, cx: &mut Cx<'_>) -> bool {
        let deleted = self.facts.delete(key);
        if deleted && self.options.durable {
            cx.host.record(RulesChange::delete(RecordKind::Fact, key));
        }
        deleted
    }

    pub fn fact(&self, key: &str) -> Option<&Fact> {
        self.facts.get(key)
    }

    /// The facts that match a pattern, in the order of insertion.
    pub fn query_facts(&self, pattern: &str) -> Vec<(&str, &Fact)> {
        self.facts.query(pattern)
    }

    /// All facts in the order of insertion.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.facts.iter()
    }

    /// The armed timers whose names match, soonest first; all of them without a
    /// pattern.
    pub fn timers(&self, pattern: Option<&str>) -> Vec<ArmedTimer<'_>> {
        let is_wanted = |name: &str| {
            pattern.is_none_or(|pattern| Pattern::text_matches(Grammar::Key, pattern, name))
        };
        let wanted = self.timers.iter().filter(|(name, _)| is_wanted(name));
        let mut armed: Vec<_> = wanted
            .map(|(name, timer)| {
                // Only a rule that is still there can be looked up.
                let rule = timer.rule.as_deref().filter(|id| self.by_id.contains_key(*id));
                ArmedTimer { name, timer, rule }
            })
            .collect();
        armed.sort_unstable_by_key(|armed| (armed.timer.due, armed.name));
        armed
    }

    pub fn stats(&self) -> Stats {
        Stats {
            rules: self.rules.len(),
            facts: self.facts.len(),
            timers: self.timers.len(),
            events: self.events,
            executed: self.executed,
            failures: self.failures,
            busy: self.busy,
        }
    }

    /// Rules of which at least `least` executions have failed in the last minutes,
    /// the worst first.
    pub fn failing(&self, least: u64, now: u64) -> Vec<(&str, u64)> {
        let counted = self.failing.iter().map(|(rule, recent)| (&**rule, recent.sum(now)));
        let mut failing: Vec<_> = counted.filter(|(_, count)| *count >= least).collect();
        failing.sort_unstable_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        failing
    }

    /// The monotonic time at which [`RuleEngine::advance`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(0);
        }
        self.wheel.next_deadline().into_iter().chain(self.timers.next_look()).min()
    }

    /// The wall clock was set, back or forward.
    pub fn clock_was_set(&mut self, back: bool, cx: &mut Cx<'_>) {
        self.timers.clock_was_set(back, cx.now);
    }

    /// Runs what is due, at most `limit` root triggers; the rest stays due.
    pub fn advance(&mut self, limit: usize, cx: &mut Cx<'_>) {
        let mut expired = Vec::new();
        self.wheel.advance(cx.now.mono, &mut expired);
        self.due.extend(expired);
        if self.timers.next_look().is_some_and(|at| at <= cx.now.mono) {
            let (due, moved) = self.timers.look(cx.now);
            self.due.extend(due);
            for name in moved {
                self.record_timer(&name, cx);
            }
        }
        for _ in 0..limit {
            match self.due.pop_front() {
                Some(due) => self.fire(due, cx),
                None => return,
            }
        }
    }

    /// The answer to a call that was to be answered later. False if nothing
    /// waits for it any more.
    pub fn answer(
        &mut self,
        ticket: Ticket,
        result: Result<Json, String>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(waiting) = self.waiting.remove(&ticket) else { return false };
        self.wheel.cancel(waiting.timeout);
        self.resume(waiting, result, cx);
        true
    }

    /// Executions that wait for a service.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that is durable, in an order in which it can be restored.
    pub fn records(&self) -> Vec<RulesChange> {
        let versions = Json::Number(self.versions as f64);
        let mut records = vec![RulesChange::put(RecordKind::Counter, "versions", &versions)];
        records
            .extend(self.rules.iter().map(|(number, registered)| rule_change(registered, *number)));
        records.extend(self.facts.iter().map(|(key, fact)| fact_change(key, fact)));
        records.extend(
            self.timers.iter().map(|(name, timer)| {
                RulesChange::put(RecordKind::Timer, name, &timer_record(timer))
            }),
        );
        records
    }

    pub(super) fn budget(&self, cx: &Cx<'_>) -> Arc<Budget> {
        Budget::new(self.options.max_cascade_events, &cx.budget)
    }

    pub(super) fn record_fact(&self, key: &str, fact: &Fact, cx: &mut Cx<'_>) {
        if self.options.durable {
            cx.host.record(fact_change(key, fact));
        }
    }

    pub(super) fn record_timer(&self, name: &str, cx: &mut Cx<'_>) {
        if !self.options.durable {
            return;
        }
        cx.host.record(match self.timers.get(name) {
            Some(timer) => RulesChange::put(RecordKind::Timer, name, &timer_record(timer)),
            None => RulesChange::delete(RecordKind::Timer, name),
        });
    }
}

/// An event that is to be created.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub topic: Arc<str>,
    pub data: Object,
    pub correlation_id: Option<Arc<str>>,
    pub causation_id: Option<Arc<str>>,
    pub source: Source,
}

impl NewEvent {
    /// An event without correlation, as the wire or a procedure emits it.
    pub fn new(topic: &str, data: Object) -> Self {
        NewEvent {
            topic: topic.into(),
            data,
            correlation_id: None,
            causation_id: None,
            source: Source::Api,
        }
    }
}
