//! Rules that somebody watches: what became of each evaluation, for people who
//! ask why a rule did not fire. Costs one look at an empty list otherwise.

use std::sync::Arc;

use crate::json::{Json, Object};

use super::cause::Cause;
use super::engine::{Cx, RuleEngine};
use super::execution::Execution;
use super::index::{Group, PatternIndex};
use super::reference::{Scope, Vars};
use super::report::{Report, Verdict, cut};
use super::rule::Rule;

fn trigger(cause: &Cause) -> Json {
    let (kind, name) = cause.described();
    let members: Object =
        [("kind", Json::from(kind)), ("name", Json::from(cut(&name)))].into_iter().collect();
    Json::Object(members)
}

impl RuleEngine {
    /// From now on this rule's evaluations are told to the host. False: there is
    /// no such rule.
    pub fn watch(&mut self, rule: &str) -> bool {
        let Some(number) = self.by_id.get(rule) else { return false };
        self.temporal.watched.insert(*number);
        if !self.is_watched(rule) {
            self.watched.push(rule.into());
        }
        true
    }

    pub fn unwatch(&mut self, rule: &str) {
        self.watched.retain(|id| **id != *rule);
        if let Some(number) = self.by_id.get(rule) {
            self.temporal.watched.remove(number);
        }
    }

    /// Tells how far the patterns of watched rules are.
    pub(super) fn tell_progress(&mut self, cx: &mut Cx<'_>) {
        for (rule, entry) in std::mem::take(&mut self.temporal.told) {
            cx.host.evaluated(&rule.id, entry);
        }
    }

    pub(super) fn is_watched(&self, rule: &str) -> bool {
        self.watched.iter().any(|id| **id == *rule)
    }

    /// The report that an execution of this rule fills, if somebody watches.
    pub(super) fn report_for(&self, rule: &Rule) -> Option<Box<Report>> {
        self.is_watched(&rule.id).then(Box::default)
    }

    pub(super) fn tell(
        &self,
        rule: &Rule,
        cause: &Cause,
        verdict: Verdict,
        more: impl IntoIterator<Item = (&'static str, Json)>,
        cx: &mut Cx<'_>,
    ) {
        let mut entry: Object =
            [("trigger", trigger(cause)), ("outcome", Json::from(verdict.as_str()))]
                .into_iter()
                .collect();
        for (name, value) in more {
            entry.insert(name, value);
        }
        cx.host.evaluated(&rule.id, entry);
    }

    /// The first condition that does not hold, with both of its sides.
    pub(super) fn tell_condition(
        &mut self,
        rule: &Rule,
        cause: &Cause,
        lookups: &[(Box<str>, Json)],
        cx: &mut Cx<'_>,
    ) {
        let vars = Vars::default();
        let scope = Scope { cause, facts: &self.facts, vars: &vars, lookups };
        let mut told = None;
        for (at, condition) in rule.conditions.iter().enumerate() {
            match condition.holds(scope, &mut self.regexes) {
                Ok(true) => continue,
                Ok(false) => {
                    let mut failed: Object =
                        [("index", Json::Number(at as f64))].into_iter().collect();
                    for (name, value) in condition.describe(scope) {
                        failed.insert(name, value);
                    }
                    told = Some((Verdict::Condition, "condition", Json::Object(failed)));
                }
                Err(text) => told = Some((Verdict::Failed, "error", Json::from(cut(&text)))),
            }
            break;
        }
        if let Some((verdict, name, value)) = told {
            self.tell(rule, cause, verdict, [(name, value)], cx);
        }
    }

    /// A watched execution is over.
    pub(super) fn tell_fired(&self, execution: &mut Execution, micros: u64, cx: &mut Cx<'_>) {
        let Some(report) = execution.report.take() else { return };
        let more =
            [("actions", Json::Array(report.actions)), ("micros", Json::Number(micros as f64))];
        self.tell(&execution.rule, &execution.cause, Verdict::Fired, more, cx);
    }

    /// The watched rules of a subject that are not run: because they are switched
    /// off, or (`too_deep`) because the chain is long enough.
    pub(super) fn tell_not_run(
        &self,
        index: &PatternIndex<Arc<Rule>>,
        (subject, cause): (&str, &Cause),
        too_deep: bool,
        cx: &mut Cx<'_>,
    ) {
        let mut found: Vec<Arc<Rule>> = Vec::new();
        let mut add = |group: &Group<Arc<Rule>>| {
            let concerned = group.members.values().filter(|rule| too_deep || !rule.is_active());
            found.extend(concerned.filter(|rule| self.is_watched(&rule.id)).cloned());
        };
        if let Some(group) = index.exact(subject) {
            add(group);
        }
        index.each_wild(subject, &mut add);
        for rule in found {
            let verdict = if rule.is_active() { Verdict::Depth } else { Verdict::Disabled };
            self.tell(&rule, cause, verdict, [], cx);
        }
    }
}
