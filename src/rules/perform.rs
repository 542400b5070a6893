//! What each action does, and calls of services.

use std::sync::Arc;

use crate::json::{Json, Object};
use crate::protocol::bounds;

use super::condition::Condition;
use super::due::Due;
use super::engine::{Cx, RuleEngine, STORE_SERVICE, Waiting};
use super::event::{Event, Warning, make_id};
use super::execution::{Execution, LookupFailure, Stage};
use super::facts::Source;
use super::reference::{Operand, Scope, Template};
use super::report::{Verdict, printable};
use super::rule::{Action, Lookup, TimerSpec};
use super::run::{After, Task, log_failure};
use super::service::{LookupCache, ServiceError, ServiceReply};
use super::timers::Timer;
use super::value::{Measure, size, type_name};

/// Executions that may wait for services at once.
const MAX_WAITING: usize = 10_000;

/// How a call came out.
enum Called {
    Now(Json),
    /// The answer comes under the newest ticket.
    Later,
}

impl RuleEngine {
    /// Runs one action. An error is the action's failure.
    pub(super) fn perform(
        &mut self,
        execution: &mut Execution,
        action: &Action,
        cx: &mut Cx<'_>,
    ) -> Result<After, String> {
        match action {
            Action::SetFact { key, value } => return self.write_fact(execution, key, value, cx),
            Action::DeleteFact { key } => {
                let key = self.key(execution, key)?;
                self.delete_fact(&key, cx);
            }
            Action::EmitEvent { topic, data } => {
                return self.emit_event(execution, topic, data, cx);
            }
            Action::SetTimer(spec) => self.set_timer(execution, spec, cx)?,
            Action::CancelTimer { name } => {
                let name = self.text(execution, name)?;
                if self.timers.cancel(&name, &mut self.wheel) {
                    self.record_timer(&name, cx);
                }
            }
            Action::CallService { service, method, args } => {
                return self.call_service(execution, service, method, args, cx);
            }
            Action::Log { level, message } => {
                let message = self.text(execution, message)?;
                let line = format!("[rule {}] {}", execution.rule.id, printable(&message));
                cx.host.log(*level, &line);
            }
            Action::Conditional { conditions, then, otherwise } => {
                let holds = self.all_hold(execution, conditions)?;
                if let Some(branch) = if holds { Some(then) } else { otherwise.as_ref() } {
                    execution.push_list(branch, false);
                }
            }
            Action::ForEach(each) => {
                let collection = each.collection.resolve(self.scope(execution))?;
                let Some(items) = collection.as_deref().and_then(Json::as_array) else {
                    let found = type_name(collection.as_deref());
                    return Err(format!("for_each: collection must be an array, got {found}"));
                };
                let items: Vec<Json> = items.iter().take(each.max).cloned().collect();
                execution.cause.budget.take_bytes(items.iter().map(size).sum());
                execution.push_loop(each, items);
            }
            Action::TryCatch { attempt, catch, finally } => {
                execution.push_try(attempt, catch.as_ref(), finally.as_ref());
            }
            Action::Broken(text) => return Err((*text).to_owned()),
        }
        Ok(After::Next)
    }

    fn all_hold(
        &mut self,
        execution: &Execution,
        conditions: &[Condition],
    ) -> Result<bool, String> {
        // Not by the method: the regular expressions are lent beside it.
        let scope = Scope {
            cause: &execution.cause,
            facts: &self.facts,
            vars: &execution.vars,
            lookups: &execution.lookups,
        };
        for condition in conditions {
            if !condition.holds(scope, &mut self.regexes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn call_service(
        &mut self,
        execution: &mut Execution,
        service: &str,
        method: &str,
        args: &[Operand],
        cx: &mut Cx<'_>,
    ) -> Result<After, String> {
        let args = self.arguments(execution, args)?;
        match self.call(execution, service, method, &args, cx) {
            Ok(Called::Now(_)) => Ok(After::Next),
            Ok(Called::Later) => Ok(After::Wait(service.into())),
            Err(CallFailed::NoService) => Err(format!("Service not found: {service}")),
            Err(CallFailed::NoMethod) => Err(format!("Method not found: {service}.{method}")),
            Err(CallFailed::Text(text)) => Err(text),
        }
    }

    fn scope<'a>(&'a self, execution: &'a Execution) -> Scope<'a> {
        Scope {
            cause: &execution.cause,
            facts: &self.facts,
            vars: &execution.vars,
            lookups: &execution.lookups,
        }
    }

    fn text(&self, execution: &Execution, template: &Template) -> Result<String, String> {
        self.scope(execution).text(template).map(|text| text.into_owned())
    }

    /// The key of a fact, as long as one from a client may be.
    fn key(&self, execution: &Execution, template: &Template) -> Result<String, String> {
        let key = self.text(execution, template)?;
        match bounds::is_long_topic(&key, ':') {
            true => Err(bounds::long_topic("key")),
            false => Ok(key),
        }
    }

    /// The same for the topic of an event.
    fn topic(&self, execution: &Execution, template: &Template) -> Result<String, String> {
        let topic = self.text(execution, template)?;
        match bounds::is_long_topic(&topic, '.') {
            true => Err(bounds::long_topic("topic")),
            false => Ok(topic),
        }
    }

    /// Missing references are `null` here.
    fn arguments(&self, execution: &Execution, args: &[Operand]) -> Result<Vec<Json>, String> {
        let mut measure = Measure::new();
        let resolved = args
            .iter()
            .map(|arg| {
                let value = arg.resolve(self.scope(execution))?;
                let value = value.map_or(Json::Null, |value| value.into_owned());
                measure.add(&value, 1)?;
                Ok(value)
            })
            .collect();
        execution.cause.budget.take_bytes(measure.taken());
        resolved
    }

    /// Missing references drop their member.
    fn members(
        &self,
        execution: &Execution,
        members: &[(Box<str>, Operand)],
    ) -> Result<Object, String> {
        let mut measure = Measure::new();
        let mut data = Object::with_capacity(members.len());
        for (name, operand) in members {
            if let Some(value) = operand.resolve(self.scope(execution))? {
                measure.take(name.len() + 3)?;
                measure.add(&value, 2)?;
                data.insert(name.clone(), value.into_owned());
            }
        }
        execution.cause.budget.take_bytes(measure.taken());
        Ok(data)
    }

    fn write_fact(
        &mut self,
        execution: &Execution,
        key: &Template,
        value: &Operand,
        cx: &mut Cx<'_>,
    ) -> Result<After, String> {
        let key = self.key(execution, key)?;
        let value = value.resolve(self.scope(execution))?;
        let value = value.map(|value| value.into_owned());
        if let Some(value) = &value {
            let mut measure = Measure::new();
            measure.add(value, 1)?;
            execution.cause.budget.take_bytes(measure.taken());
        }
        let fact = self.facts.set(&key, value.as_ref(), cx.now.wall, Source::Rule);
        if !self.options.durable && !self.options.chain_facts {
            return Ok(After::Next);
        }
        let fact = fact.clone();
        self.record_fact(&key, &fact, cx);
        let mut caused = Vec::new();
        if self.options.chain_facts {
            let cause = &execution.cause;
            let depth = cause.depth.saturating_add(1);
            let triggers = self.fact_written(&key, &fact, depth, &cause.budget, &mut caused);
            if triggers && !cause.budget.take_event() {
                self.warn_events(execution, cx);
                caused.clear();
            }
        }
        Ok(if caused.is_empty() { After::Next } else { After::Caused(caused) })
    }

    fn emit_event(
        &mut self,
        execution: &Execution,
        topic: &Template,
        data: &[(Box<str>, Operand)],
        cx: &mut Cx<'_>,
    ) -> Result<After, String> {
        let topic = self.topic(execution, topic)?;
        let data = self.members(execution, data)?;
        let cause = &execution.cause;
        if !cause.budget.take_event() {
            self.warn_events(execution, cx);
            let max = self.options.max_cascade_events;
            return Err(format!("Cascade limit reached ({max} events)"));
        }
        let event = Arc::new(Event {
            id: make_id(cx.now.wall, cx.host.random()),
            topic: topic.into(),
            data: Arc::new(Json::Object(data)),
            timestamp: cx.now.wall,
            correlation_id: cause.correlation_id.clone(),
            causation_id: cause.id.clone(),
            source: Source::Rule,
        });
        let mut caused = Vec::new();
        let depth = cause.depth.saturating_add(1);
        self.process(&event, depth, &cause.budget, &mut caused, cx);
        Ok(if caused.is_empty() { After::Next } else { After::Caused(caused) })
    }

    fn warn_events(&self, execution: &Execution, cx: &mut Cx<'_>) {
        if execution.cause.budget.warn_once(Warning::Events) {
            let rule = &execution.rule;
            let max = self.options.max_cascade_events;
            cx.host.log(
                log::Level::Warn,
                &format!(
                    "Rule \"{}\" ({}): Cascade limit reached ({max} events)",
                    rule.id, rule.name
                ),
            );
        }
    }

    fn set_timer(
        &mut self,
        execution: &Execution,
        spec: &TimerSpec,
        cx: &mut Cx<'_>,
    ) -> Result<(), String> {
        let name = self.text(execution, &spec.name)?;
        if bounds::is_long_name(&name) {
            return Err(bounds::long_name("Timer"));
        }
        self.timers.has_room(&name)?;
        let timer = Timer {
            id: make_id(cx.now.wall, cx.host.random()),
            due: spec.schedule.first(cx.now.wall)?,
            schedule: spec.schedule.clone(),
            left: spec.max,
            topic: self.topic(execution, &spec.topic)?.into(),
            data: Arc::new(Json::Object(self.members(execution, &spec.data)?)),
            correlation_id: execution.cause.correlation_id.clone(),
            rule: Some(Arc::from(&*execution.rule.id)),
        };
        self.timers.arm(&name, timer, cx.now, &mut self.wheel);
        self.record_timer(&name, cx);
        Ok(())
    }

    fn call(
        &mut self,
        execution: &Execution,
        service: &str,
        method: &str,
        args: &[Json],
        cx: &mut Cx<'_>,
    ) -> Result<Called, CallFailed> {
        let ticket = self.tickets + 1;
        let reply = match self.services.begin(service, method, args, ticket) {
            Some(reply) => reply,
            None if service == STORE_SERVICE => {
                return match cx.host.store_service(
                    method,
                    args,
                    execution.cause.chain(&execution.rule.id),
                ) {
                    Ok(value) => Ok(Called::Now(value)),
                    Err(error) => Err(error.into()),
                };
            }
            None => return Err(CallFailed::NoService),
        };
        let job = match reply? {
            ServiceReply::Now(value) => return Ok(Called::Now(Json::from(value))),
            ServiceReply::Later => None,
            ServiceReply::Job(job) => Some(job),
        };
        // The service knows the ticket: it is used up, whatever comes of it.
        self.tickets = ticket;
        if self.waiting.len() >= MAX_WAITING {
            return Err(CallFailed::Text(format!(
                "Too many calls wait for an answer (max {MAX_WAITING})"
            )));
        }
        if let Some(job) = job {
            cx.host.start_job(ticket, job);
        }
        Ok(Called::Later)
    }

    /// Sets an execution aside until the answer to the newest ticket comes.
    pub(super) fn park(
        &mut self,
        execution: Box<Execution>,
        service: &str,
        remember: Option<Arc<[u8]>>,
        cx: &Cx<'_>,
    ) {
        let ticket = self.tickets;
        let deadline = cx.now.mono.saturating_add(self.options.service_timeout_ms);
        let timeout = self.wheel.insert(deadline, Due::Call(ticket));
        let service = service.into();
        self.waiting.insert(ticket, Waiting { execution, remember, timeout, service });
    }

    /// Resolves the lookups from the next one on. `None` if the execution is
    /// over before its conditions, or waits.
    pub(super) fn resolve_lookups(
        &mut self,
        mut execution: Box<Execution>,
        cx: &mut Cx<'_>,
    ) -> Option<Box<Execution>> {
        let rule = Arc::clone(&execution.rule);
        while let Some(lookup) = execution.next_lookup(&rule) {
            match self.look_up(&execution, lookup, cx) {
                Ok(Looked::Now(value)) => execution.looked_up(lookup, Ok(value)),
                Ok(Looked::Later { remember }) => {
                    self.park(execution, &lookup.service, remember, cx);
                    return None;
                }
                Err(text) => execution.looked_up(lookup, Err(text)),
            }
        }
        match std::mem::replace(&mut execution.stage, Stage::Actions) {
            Stage::Lookups { failed: Some(LookupFailure::Skip), .. } => {
                if execution.report.is_some() {
                    self.tell(&rule, &execution.cause, Verdict::Lookup, [], cx);
                }
                None
            }
            Stage::Lookups { failed: Some(LookupFailure::Fail(text)), .. } => {
                if execution.report.is_some() {
                    let error = [("error", Json::from(&*text))];
                    self.tell(&rule, &execution.cause, Verdict::Lookup, error, cx);
                }
                self.failures += 1;
                self.count_failed(&rule, cx);
                log_failure(&rule, log::Level::Error, &text, cx);
                None
            }
            _ => {
                let holds = self.conditions_hold(&rule, &execution.cause, &execution.lookups, cx);
                execution.push_list(&rule.actions, false);
                holds.then_some(execution)
            }
        }
    }

    fn look_up(
        &mut self,
        execution: &Execution,
        lookup: &Lookup,
        cx: &mut Cx<'_>,
    ) -> Result<Looked, String> {
        let Lookup { service, method, .. } = lookup;
        let args = self.arguments(execution, &lookup.args)?;
        let remember = lookup.ttl.map(|_| LookupCache::key(service, method, &args));
        if let Some(key) = &remember
            && let Some(value) = self.cache.get(key, cx.now.mono)
        {
            return Ok(Looked::Now(value.clone()));
        }
        let called = self.call(execution, service, method, &args, cx);
        match called.map_err(|failed| match failed {
            CallFailed::NoService => format!("Service \"{service}\" is not registered"),
            CallFailed::NoMethod => {
                format!("Method \"{method}\" not found on service \"{service}\"")
            }
            CallFailed::Text(text) => text,
        })? {
            Called::Now(value) => {
                self.remember(remember.as_ref(), lookup, &value, cx);
                Ok(Looked::Now(value))
            }
            Called::Later => Ok(Looked::Later { remember }),
        }
    }

    fn remember(&mut self, key: Option<&Arc<[u8]>>, lookup: &Lookup, value: &Json, cx: &Cx<'_>) {
        if let (Some(key), Some(ttl)) = (key, lookup.ttl) {
            self.cache.put(key, value.clone(), ttl, cx.now.mono);
        }
    }

    /// Goes on with an execution whose answer has come.
    pub(super) fn resume(
        &mut self,
        waiting: Waiting,
        result: Result<Json, String>,
        cx: &mut Cx<'_>,
    ) {
        let Waiting { mut execution, remember, .. } = waiting;
        let rule = Arc::clone(&execution.rule);
        match execution.next_lookup(&rule) {
            Some(lookup) => {
                // Nothing has been done for this trigger yet: a rule that was
                // switched off, changed or removed meanwhile does not begin.
                if !rule.is_active() {
                    return;
                }
                if let Ok(value) = &result {
                    self.remember(remember.as_ref(), lookup, value, cx);
                }
                execution.looked_up(lookup, result);
            }
            None => {
                if let Err(text) = result {
                    self.action_failed(&mut execution, text, cx);
                }
            }
        }
        self.drive(vec![Task::Execution(execution)], cx);
    }
}

/// How a lookup came out.
enum Looked {
    Now(Json),
    Later { remember: Option<Arc<[u8]>> },
}

enum CallFailed {
    NoService,
    NoMethod,
    Text(String),
}

impl From<ServiceError> for CallFailed {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::UnknownMethod => CallFailed::NoMethod,
            ServiceError::Failed(text) => CallFailed::Text(text),
        }
    }
}
