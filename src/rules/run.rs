//! Evaluation: depth first and strictly sequential.
//!
//! What is still to be done lies on a stack of tasks and not on the stack of
//! the thread: an action that emits an event puts what the event triggers on
//! top of the rule that emitted it. So the depth of a chain costs memory only,
//! and an execution that waits for a service can be taken off and put back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::json::{Json, Object};

use super::cause::{Cause, TriggerData};
use super::due::Due;
use super::engine::{Cx, NewEvent, RuleEngine};
use super::event::{Budget, Event, MAX_STEPS, Warning};
use super::execution::{Execution, Stage};
use super::facts::{Fact, Source};
use super::index::{Group, PatternIndex};
use super::reference::{Scope, Vars};
use super::report::Verdict;
use super::rule::Rule;
use super::service::panic_text;
use super::temporal::Completed;
use super::timers::Expired;

/// Something to be done; the last on the stack is next.
#[derive(Debug)]
pub(super) enum Task {
    /// The rules of one trigger, in order.
    Rules {
        rules: std::vec::IntoIter<Arc<Rule>>,
        cause: Arc<Cause>,
    },
    /// Tell the temporal patterns about an event, after its own rules.
    Feed {
        event: Arc<Event>,
        depth: u32,
        budget: Arc<Budget>,
    },
    /// Rules whose pattern an event completed, in order.
    Completed(std::vec::IntoIter<(Arc<Rule>, Arc<Cause>)>),
    Execution(Box<Execution>),
}

/// What is to be done after an action.
pub(super) enum After {
    Next,
    /// First everything that the action caused.
    Caused(Vec<Task>),
    /// Nothing, until this service answers.
    Wait(Box<str>),
}

impl RuleEngine {
    /// Works off the tasks. A panic ends what was being done and nothing else.
    pub(super) fn drive(&mut self, mut tasks: Vec<Task>, cx: &mut Cx<'_>) {
        while !tasks.is_empty() {
            let run = catch_unwind(AssertUnwindSafe(|| {
                while let Some(task) = tasks.pop() {
                    self.step(task, &mut tasks, cx);
                }
            }));
            if let Err(panic) = run {
                let rule = self.running.take();
                if let Some(rule) = &rule {
                    self.count_failed(rule, cx);
                }
                let (id, name) = rule.as_ref().map_or(("?", "?"), |rule| (&*rule.id, &*rule.name));
                let text = panic_text(panic.as_ref());
                cx.host.log(
                    log::Level::Error,
                    &format!("Rule \"{id}\" ({name}): panic: {text}; its execution is ended"),
                );
            }
        }
        self.running = None;
    }

    fn step(&mut self, task: Task, tasks: &mut Vec<Task>, cx: &mut Cx<'_>) {
        match task {
            Task::Rules { mut rules, cause } => {
                let Some(rule) = rules.next() else { return };
                // What is left comes first onto the stack: it survives a panic.
                if rules.len() > 0 {
                    tasks.push(Task::Rules { rules, cause: Arc::clone(&cause) });
                }
                self.begin(rule, cause, tasks, cx);
            }
            Task::Completed(mut rest) => {
                let Some((rule, cause)) = rest.next() else { return };
                if rest.len() > 0 {
                    tasks.push(Task::Completed(rest));
                }
                self.begin(rule, cause, tasks, cx);
            }
            Task::Feed { event, depth, budget } => {
                let host = &mut *cx.host;
                let completed = self.temporal.feed(&event, cx.now.mono, &mut self.wheel, |rule| {
                    host.log(
                        log::Level::Warn,
                        &format!(
                            "Rule \"{}\" ({}): too much state for its pattern, the oldest is \
                                 dropped",
                            rule.id, rule.name
                        ),
                    );
                });
                self.tell_progress(cx);
                if depth <= self.options.max_forward_depth && !completed.is_empty() {
                    tasks.push(completed_task(completed, depth, &budget));
                }
            }
            Task::Execution(execution) => self.run(execution, tasks, cx),
        }
    }

    /// A rule at its trigger: lookups and conditions first.
    fn begin(
        &mut self,
        rule: Arc<Rule>,
        cause: Arc<Cause>,
        tasks: &mut Vec<Task>,
        cx: &mut Cx<'_>,
    ) {
        if !cause.budget.take_steps(1) {
            self.warn_steps(&rule, &cause.budget, cx);
            if self.is_watched(&rule.id) {
                self.tell(&rule, &cause, Verdict::Cascade, [], cx);
            }
            return;
        }
        self.running = Some(Arc::clone(&rule));
        let started = cx.host.stopwatch();
        if !rule.lookups.is_empty() {
            let stage = Stage::Lookups { next: 0, failed: None };
            let mut execution = Execution::new(rule, cause, stage, started);
            execution.report = self.report_for(&execution.rule);
            tasks.push(Task::Execution(Box::new(execution)));
            return;
        }
        // Most rules are skipped here; they cost no allocation.
        if self.conditions_hold(&rule, &cause, &[], cx) {
            let actions = Arc::clone(&rule.actions);
            let mut execution = Execution::new(rule, cause, Stage::Actions, started);
            execution.report = self.report_for(&execution.rule);
            execution.push_list(&actions, false);
            tasks.push(Task::Execution(Box::new(execution)));
        }
    }

    /// Whether all conditions of a rule hold; an error in one is logged.
    pub(super) fn conditions_hold(
        &mut self,
        rule: &Rule,
        cause: &Cause,
        lookups: &[(Box<str>, Json)],
        cx: &mut Cx<'_>,
    ) -> bool {
        let vars = Vars::default();
        if self.is_watched(&rule.id) {
            self.tell_condition(rule, cause, lookups, cx);
        }
        let scope = Scope { cause, facts: &self.facts, vars: &vars, lookups };
        for condition in &rule.conditions {
            match condition.holds(scope, &mut self.regexes) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(text) => {
                    self.count_failed(rule, cx);
                    log_failure(rule, log::Level::Error, &text, cx);
                }
            }
            return false;
        }
        true
    }

    fn run(&mut self, mut execution: Box<Execution>, tasks: &mut Vec<Task>, cx: &mut Cx<'_>) {
        self.running = Some(Arc::clone(&execution.rule));
        if execution.stage != Stage::Actions {
            execution = match self.resolve_lookups(execution, cx) {
                Some(execution) => execution,
                None => return,
            };
        }
        while let Some((actions, at)) = execution.next_action() {
            let Some(action) = actions.get(at) else { continue };
            let done = if execution.cause.budget.take_steps(1) {
                self.perform(&mut execution, action, cx)
            } else {
                self.warn_steps(&execution.rule, &execution.cause.budget, cx);
                Err(format!("Action limit reached ({MAX_STEPS} steps)"))
            };
            if let Some(report) = &mut execution.report {
                report.action(at, action.kind(), done.as_ref().err().map(String::as_str));
            }
            match done {
                Ok(After::Next) => {}
                Ok(After::Caused(caused)) => {
                    tasks.push(Task::Execution(execution));
                    tasks.extend(caused);
                    return;
                }
                Ok(After::Wait(service)) => {
                    self.park(execution, &service, None, cx);
                    return;
                }
                Err(text) => self.action_failed(&mut execution, text, cx),
            }
        }
        self.executed += 1;
        let took = cx.host.stopwatch().saturating_sub(execution.started);
        self.busy += took;
        if execution.failed {
            self.count_failed(&execution.rule, cx);
        }
        self.tell_fired(&mut execution, took, cx);
    }

    pub(super) fn action_failed(
        &mut self,
        execution: &mut Execution,
        text: String,
        cx: &mut Cx<'_>,
    ) {
        self.failures += 1;
        if let Some(text) = execution.fail(text) {
            log_failure(&execution.rule, log::Level::Warn, &text, cx);
        }
    }

    /// An execution has failed, or could not begin because of an error.
    pub(super) fn count_failed(&mut self, rule: &Rule, cx: &Cx<'_>) {
        // One that was removed while it ran is nobody's concern.
        if self.by_id.contains_key(&rule.id) {
            self.failing.entry(Arc::clone(&rule.id)).or_default().add(cx.now.mono, 1);
        }
    }

    fn warn_steps(&self, rule: &Rule, budget: &Budget, cx: &mut Cx<'_>) {
        if budget.warn_once(Warning::Steps) {
            cx.host.log(
                log::Level::Warn,
                &format!(
                    "Rule \"{}\" ({}): one trigger caused more than {MAX_STEPS} steps; the rest is \
                     not run",
                    rule.id, rule.name
                ),
            );
        }
    }

    /// A new event: counted, pushed, and what it triggers put on the stack.
    pub(super) fn process(
        &mut self,
        event: &Arc<Event>,
        depth: u32,
        budget: &Arc<Budget>,
        tasks: &mut Vec<Task>,
        cx: &mut Cx<'_>,
    ) {
        self.events += 1;
        cx.host.event(event);
        if !self.temporal.is_empty() {
            let (event, budget) = (Arc::clone(event), Arc::clone(budget));
            tasks.push(Task::Feed { event, depth, budget });
        }
        let too_deep = depth > self.options.max_forward_depth;
        if !self.watched.is_empty() {
            let cause = Cause::event(event, depth, budget);
            self.tell_not_run(&self.event_rules, (&event.topic, &cause), too_deep, cx);
        }
        if too_deep {
            return;
        }
        let rules = collect(&self.event_rules, &event.topic);
        if !rules.is_empty() {
            let cause = Arc::new(Cause::event(event, depth, budget));
            tasks.push(Task::Rules { rules: rules.into_iter(), cause });
        }
    }

    /// A fact was written: what it triggers. False if that would exceed the
    /// depth or nothing is triggered.
    pub(super) fn fact_written(
        &mut self,
        key: &str,
        fact: &Fact,
        depth: u32,
        budget: &Arc<Budget>,
        tasks: &mut Vec<Task>,
    ) -> bool {
        if depth > self.options.max_forward_depth {
            return false;
        }
        let rules = collect(&self.fact_rules, key);
        if rules.is_empty() {
            return false;
        }
        let cause = Arc::new(Cause::fact(fact.to_json(key), depth, budget));
        tasks.push(Task::Rules { rules: rules.into_iter(), cause });
        true
    }

    /// Something on the wheel is due.
    pub(super) fn fire(&mut self, due: Due, cx: &mut Cx<'_>) {
        match due {
            Due::Timer(arming) => {
                if let Some(expired) = self.timers.expire(arming, cx.now, &mut self.wheel) {
                    self.record_timer(&expired.name, cx);
                    self.timer_expired(expired, cx);
                }
            }
            Due::Pattern { rule, alarm } => {
                let completed = self.temporal.alarm(rule, alarm, cx.now, &mut self.wheel);
                self.tell_progress(cx);
                if !completed.is_empty() {
                    let task = completed_task(completed, 1, &self.budget(cx));
                    self.drive(vec![task], cx);
                }
            }
            Due::Call(ticket) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    let text = format!(
                        "Service \"{}\" did not answer within {} ms",
                        waiting.service, self.options.service_timeout_ms
                    );
                    self.resume(waiting, Err(text), cx);
                }
            }
        }
    }

    fn timer_expired(&mut self, expired: Expired, cx: &mut Cx<'_>) {
        let Expired { name, timer, .. } = expired;
        let data = timer.data.as_object().cloned().unwrap_or_default();
        let rules = collect(&self.timer_rules, &name);
        if !rules.is_empty() {
            let mut trigger = Object::new();
            trigger.insert("timerId", Json::from(&*timer.id));
            trigger.insert("timerName", Json::from(&*name));
            trigger.insert("expiresAt", Json::Number(timer.due as f64));
            if let Some(id) = &timer.correlation_id {
                trigger.insert("correlationId", Json::from(&**id));
            }
            for (name, value) in data.iter() {
                trigger.insert(name, value.clone());
            }
            let cause = Cause {
                data: TriggerData::Plain(Arc::new(Json::Object(trigger))),
                matched: Vec::new(),
                event: None,
                correlation_id: timer.correlation_id.clone(),
                id: Some(Arc::clone(&timer.id)),
                depth: 1,
                budget: self.budget(cx),
            };
            let cause = Arc::new(cause);
            self.drive(vec![Task::Rules { rules: rules.into_iter(), cause }], cx);
        }
        let event = NewEvent {
            topic: timer.topic,
            data,
            correlation_id: timer.correlation_id,
            causation_id: Some(timer.id),
            source: Source::Timer,
        };
        self.emit(event, cx);
    }
}

/// The active rules of a subject: those of the literal pattern by registration,
/// then those of each wildcard pattern, patterns in the order in which they
/// appeared; all of it by priority.
fn collect(index: &PatternIndex<Arc<Rule>>, subject: &str) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = Vec::new();
    let mut add = |group: &Group<Arc<Rule>>| {
        rules.extend(group.members.values().filter(|rule| rule.is_active()).cloned());
    };
    if let Some(group) = index.exact(subject) {
        add(group);
    }
    let mut wild = Vec::new();
    index.each_wild(subject, |group| wild.push(group));
    wild.sort_unstable_by_key(|group| group.created);
    wild.into_iter().for_each(add);
    rules.sort_by(|a, b| b.priority.partial_cmp(&a.priority).unwrap_or(std::cmp::Ordering::Equal));
    rules
}

fn completed_task(completed: Completed, depth: u32, budget: &Arc<Budget>) -> Task {
    let causes: Vec<(Arc<Rule>, Arc<Cause>)> = completed
        .into_iter()
        .map(|(rule, spec, completion)| {
            (rule, Arc::new(Cause::pattern(completion, &spec, depth, budget)))
        })
        .collect();
    Task::Completed(causes.into_iter())
}

/// Logs a failure of a rule, unless it fails so often that the log knows.
pub(super) fn log_failure(rule: &Rule, level: log::Level, text: &str, cx: &mut Cx<'_>) {
    if let Some(count) = rule.count_failure() {
        let times = if count > 1 { format!(" ({count} failures so far)") } else { String::new() };
        let text = super::report::printable(text);
        cx.host.log(level, &format!("Rule \"{}\" ({}): {text}{times}", rule.id, rule.name));
    }
}
