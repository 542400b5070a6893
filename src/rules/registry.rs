//! Registering, changing and removing rules; what is restored after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};
use crate::storage::Origin;

use super::engine::{Cx, Group, RuleEngine};
use super::index::PatternIndex;
use super::record::{RecordKind, RulesChange, Stored, StoredRule, rule_change};
use super::rule::{Registered, Rule, Trigger};
use super::validate::{Findings, Surroundings, validate};

/// Members that the server sets.
const OWN: [&str; 3] = ["version", "createdAt", "updatedAt"];

impl Surroundings for RuleEngine {
    fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    fn has_service(&self, service: &str) -> bool {
        RuleEngine::has_service(self, service)
    }
}

fn unknown_rule(id: &str) -> OpError {
    OpError::not_found(format!("Rule \"{id}\" not found"))
}

/// Fills in what a definition may leave out.
fn fill_defaults(definition: &mut Object) {
    let defaults: [(&str, Json); 5] = [
        ("priority", Json::Number(0.0)),
        ("enabled", Json::Bool(true)),
        ("tags", Json::Array(Vec::new())),
        ("conditions", Json::Array(Vec::new())),
        ("actions", Json::Array(Vec::new())),
    ];
    for (name, value) in defaults {
        if !definition.contains(name) {
            definition.insert(name, value);
        }
    }
}

impl RuleEngine {
    /// Adds a group. Groups come before the rules that name them.
    ///
    /// # Errors
    /// If there is one with that id.
    pub fn add_group(&mut self, group: Group) -> Result<(), String> {
        if self.groups.contains_key(&group.id) {
            return Err(format!("Group \"{}\" already exists", group.id));
        }
        self.groups.insert(group.id.clone(), group);
        Ok(())
    }

    /// Switches a group on or off: its rules run only if both are enabled.
    /// False if there is no such group.
    pub fn set_group_enabled(&mut self, id: &str, enabled: bool) -> bool {
        let Some(group) = self.groups.get_mut(id) else { return false };
        group.enabled = enabled;
        let members: Vec<u64> = self
            .rules
            .iter()
            .filter(|(_, registered)| registered.rule.group.as_deref() == Some(id))
            .map(|(number, _)| *number)
            .collect();
        for number in members {
            self.refresh(number);
        }
        true
    }

    /// Everything that is wrong with a definition, and what is doubtful.
    pub fn validate(&self, definition: &Object, budget: &Budget) -> Findings {
        validate(definition, self, budget)
    }

    /// The definitions in the order of registration; an update moves a rule to
    /// the end.
    pub fn rules(&self) -> impl Iterator<Item = &Object> {
        self.rules.values().map(|registered| &registered.definition)
    }

    /// # Errors
    /// `NOT_FOUND`.
    pub fn rule(&self, id: &str) -> Result<&Object, OpError> {
        let registered = self.by_id.get(id).and_then(|number| self.rules.get(number));
        registered.map(|registered| &registered.definition).ok_or_else(|| unknown_rule(id))
    }

    /// Adds a rule; answers with its stored definition.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` before anything is validated; `VALIDATION_ERROR`.
    pub fn register(
        &mut self,
        mut definition: Object,
        origin: Origin,
        cx: &mut Cx<'_>,
    ) -> Result<&Object, OpError> {
        if let Some(id) = definition.get("id").and_then(Json::as_str)
            && self.by_id.contains_key(id)
        {
            let message = format!("Rule \"{id}\" already exists");
            return Err(OpError::new(ErrorCode::AlreadyExists, message));
        }
        self.check(&definition, &cx.budget)?;
        fill_defaults(&mut definition);
        self.store_rule(definition, origin, None, cx)
    }

    /// Merges `updates` into a rule, member by member.
    ///
    /// # Errors
    /// `NOT_FOUND`, `VALIDATION_ERROR`.
    pub fn update(
        &mut self,
        id: &str,
        updates: &Object,
        cx: &mut Cx<'_>,
    ) -> Result<&Object, OpError> {
        let number = *self.by_id.get(id).ok_or_else(|| unknown_rule(id))?;
        let registered = self.rules.get(&number).ok_or_else(|| unknown_rule(id))?;
        let origin = registered.origin;
        let created = registered.definition.get("createdAt").cloned();
        let mut merged = registered.definition.clone();
        for (name, value) in updates.iter().filter(|(name, _)| *name != "id") {
            merged.insert(name, value.clone());
        }
        self.check(&merged, &cx.budget)?;
        fill_defaults(&mut merged);
        let compiled = Rule::compile(&merged, number).map_err(OpError::validation)?;
        drop(compiled);
        self.take_out(number);
        self.store_rule(merged, origin, created, cx)
    }

    /// Removes a rule. Timers that it set stay.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn unregister(&mut self, id: &str, cx: &mut Cx<'_>) -> Result<(), OpError> {
        let number = *self.by_id.get(id).ok_or_else(|| unknown_rule(id))?;
        self.take_out(number);
        self.failing.remove(id);
        if self.options.durable {
            cx.host.record(RulesChange::delete(RecordKind::Rule, id));
        }
        Ok(())
    }

    /// Switches a rule on or off.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn set_enabled(&mut self, id: &str, enabled: bool, cx: &mut Cx<'_>) -> Result<(), OpError> {
        let number = *self.by_id.get(id).ok_or_else(|| unknown_rule(id))?;
        if let Some(registered) = self.rules.get_mut(&number) {
            registered.definition.insert("enabled", Json::Bool(enabled));
            registered.definition.insert("updatedAt", Json::Number(cx.now.wall as f64));
        }
        self.refresh(number);
        self.record_rule(number, cx);
        Ok(())
    }

    fn check(&self, definition: &Object, budget: &Budget) -> Result<(), OpError> {
        let findings = validate(definition, self, budget);
        budget.check()?;
        if !findings.is_valid() {
            return Err(
                OpError::validation("Rule validation failed").with_details(findings.errors_json())
            );
        }
        match definition.get("group").and_then(Json::as_str) {
            Some(group) if !self.groups.contains_key(group) => {
                let message = format!("Rule references non-existent group: \"{group}\"");
                let issue: Object = [
                    ("path", Json::from("group")),
                    ("message", Json::from(format!("Group \"{group}\" does not exist"))),
                    ("severity", Json::from("error")),
                ]
                .into_iter()
                .collect();
                let details = Json::Array(vec![Json::Object(issue)]);
                Err(OpError::validation(message).with_details(details))
            }
            _ => Ok(()),
        }
    }

    /// Puts a valid definition in place under the next number and version.
    fn store_rule(
        &mut self,
        mut definition: Object,
        origin: Origin,
        created: Option<Json>,
        cx: &mut Cx<'_>,
    ) -> Result<&Object, OpError> {
        let now = Json::Number(cx.now.wall as f64);
        let version = self.versions + 1;
        definition.insert("version", Json::Number(version as f64));
        definition.insert("createdAt", created.unwrap_or_else(|| now.clone()));
        definition.insert("updatedAt", now);
        let number = self.put_in(definition, origin, self.numbers + 1, None)?;
        self.versions = version;
        self.record_rule(number, cx);
        if self.options.durable {
            let versions = Json::Number(version as f64);
            cx.host.record(RulesChange::put(RecordKind::Counter, "versions", &versions));
        }
        let registered = self.rules.get(&number).ok_or_else(OpError::internal)?;
        Ok(&registered.definition)
    }

    fn record_rule(&self, number: u64, cx: &mut Cx<'_>) {
        if let Some(registered) = self.rules.get(&number)
            && self.options.durable
        {
            cx.host.record(rule_change(registered, number));
        }
    }

    /// Compiles a complete definition and puts it into the indexes; a new
    /// pattern takes this place among the patterns, or the last one.
    fn put_in(
        &mut self,
        definition: Object,
        origin: Origin,
        number: u64,
        place: Option<u64>,
    ) -> Result<u64, OpError> {
        let rule = Rule::compile(&definition, number).map_err(OpError::validation)?;
        let rule = Arc::new(rule);
        self.numbers = self.numbers.max(number);
        self.by_id.insert(Arc::clone(&rule.id), number);
        let put = |index: &mut PatternIndex<Arc<Rule>>, pattern: &str| {
            let place = place.unwrap_or(index.next_place());
            index.insert_at(pattern, number, Arc::clone(&rule), place)
        };
        let place = match &rule.trigger {
            Trigger::Event(topic) => put(&mut self.event_rules, topic),
            Trigger::Fact(pattern) => put(&mut self.fact_rules, pattern),
            Trigger::Timer(name) => put(&mut self.timer_rules, name),
            Trigger::Temporal(_) => {
                self.temporal.add(&rule);
                0
            }
        };
        self.rules.insert(number, Registered { rule, definition, origin, place });
        self.refresh(number);
        Ok(number)
    }

    fn take_out(&mut self, number: u64) {
        let Some(registered) = self.rules.remove(&number) else { return };
        let rule = registered.rule;
        rule.set_active(false);
        self.by_id.remove(&rule.id);
        match &rule.trigger {
            Trigger::Event(topic) => drop(self.event_rules.remove(topic, number)),
            Trigger::Fact(pattern) => drop(self.fact_rules.remove(pattern, number)),
            Trigger::Timer(name) => drop(self.timer_rules.remove(name, number)),
            Trigger::Temporal(_) => self.temporal.remove(number, &mut self.wheel),
        }
    }

    /// Works out whether a rule is active. One that is not forgets its pattern.
    fn refresh(&mut self, number: u64) {
        let Some(Registered { rule, definition, .. }) = self.rules.get(&number) else { return };
        let enabled = definition.get("enabled").and_then(Json::as_bool).unwrap_or(true);
        // A stored rule may name a group that the configuration has no more.
        let in_group = rule
            .group
            .as_ref()
            .is_none_or(|group| self.groups.get(&**group).is_some_and(|group| group.enabled));
        rule.set_active(enabled && in_group);
        if !rule.is_active() {
            self.temporal.discard(number, &mut self.wheel);
        }
    }

    /// Puts back what was durable, then brings the rules of the configuration
    /// in line: the file wins over what was stored from it. Without records it
    /// only registers the definitions. Comes after the groups and services.
    ///
    /// # Errors
    /// The first definition that cannot be registered, as
    /// `rules.definitions[i].{path}: {message}`, or a record that cannot be
    /// read. The engine is then not to be used.
    pub fn restore(
        &mut self,
        records: impl IntoIterator<Item = RulesChange>,
        definitions: Vec<Object>,
        cx: &mut Cx<'_>,
    ) -> Result<(), String> {
        let mut stored = HashMap::new();
        let mut order = Vec::new();
        let mut timers = Vec::new();
        for record in records {
            let Some(value) = &record.value else { continue };
            let unreadable = |error: String| {
                format!("stored {} \"{}\": {error}", record.kind.as_str(), record.key)
            };
            let value = Stored::read(value).map_err(unreadable)?;
            match record.kind {
                RecordKind::Rule => {
                    let rule = value.rule(record.origin).map_err(unreadable)?;
                    order.push((rule.number, Arc::clone(&record.key)));
                    stored.insert(Arc::clone(&record.key), rule);
                }
                RecordKind::Fact => {
                    let fact = value.fact().map_err(unreadable)?;
                    let (time, source) = (fact.timestamp, fact.source);
                    self.facts.put(
                        &record.key,
                        fact.value.as_ref(),
                        time,
                        source,
                        fact.version,
                        fact.order,
                    );
                }
                RecordKind::Timer => {
                    timers.push((Arc::clone(&record.key), value.timer().map_err(unreadable)?));
                }
                RecordKind::Counter => {
                    self.versions = self.versions.max(value.counter().map_err(unreadable)?);
                }
            }
        }
        // Those that are overdue fire in the order in which they were due.
        timers.sort_by_key(|(_, timer)| timer.due);
        for (name, timer) in timers {
            // Its time was reckoned by the wall clock of a run before this one.
            self.timers.arm_by_wall(&name, timer, cx.now, &mut self.wheel);
        }
        self.timers.clock_was_set(true, cx.now);
        order.sort_unstable();
        self.restore_rules(stored, order, definitions, cx)
    }

    fn restore_rules(
        &mut self,
        mut stored: HashMap<Arc<str>, StoredRule>,
        order: Vec<(u64, Arc<str>)>,
        definitions: Vec<Object>,
        cx: &mut Cx<'_>,
    ) -> Result<(), String> {
        // New numbers must not collide with those that are kept.
        self.numbers = self.numbers.max(order.last().map_or(0, |(number, _)| *number));
        let mut configured: HashMap<Arc<str>, usize> = HashMap::new();
        let mut from_file = Vec::with_capacity(definitions.len());
        for (at, mut definition) in definitions.into_iter().enumerate() {
            self.check(&definition, &Budget::unlimited()).map_err(|error| describe(at, &error))?;
            fill_defaults(&mut definition);
            let id = definition.get("id").and_then(Json::as_str).unwrap_or_default();
            configured.entry(id.into()).or_insert(at);
            from_file.push(Some(definition));
        }
        for (number, id) in order {
            let Some(rule) = stored.remove(&id) else { continue };
            let place = configured.get(&id).and_then(|at| from_file.get_mut(*at));
            let origin = match &place {
                Some(Some(definition)) if same_definition(definition, &rule.definition) => {
                    Origin::File
                }
                None if rule.origin == Origin::Wire => Origin::Wire,
                // The file says something else, or nothing any more.
                _ => {
                    if place.is_none() && self.options.durable {
                        cx.host.record(RulesChange::delete(RecordKind::Rule, &id));
                    }
                    continue;
                }
            };
            if let Some(place) = place {
                *place = None;
            }
            if let Err(error) = self.put_in(rule.definition, origin, number, Some(rule.place)) {
                return Err(format!("stored rule \"{id}\": {}", error.message));
            }
            let rule_group = self.rules.get(&number).and_then(|it| it.rule.group.as_ref());
            if let Some(group) = rule_group.filter(|group| !self.groups.contains_key(&***group)) {
                let text = format!(
                    "Rule \"{id}\" does not run: its group \"{group}\" is not configured any more"
                );
                cx.host.log(log::Level::Warn, &text);
            }
            if rule.origin != origin {
                self.record_rule(number, cx);
            }
        }
        for (at, definition) in from_file.into_iter().enumerate() {
            if let Some(definition) = definition {
                self.register(definition, Origin::File, cx)
                    .map_err(|error| describe(at, &error))?;
            }
        }
        Ok(())
    }
}

/// Equal but for what the server sets.
fn same_definition(configured: &Object, stored: &Object) -> bool {
    let mut stored = stored.clone();
    let mut configured = configured.clone();
    for name in OWN {
        stored.remove(name);
        configured.remove(name);
    }
    configured == stored
}

/// The first thing wrong with a configured definition.
fn describe(at: usize, error: &OpError) -> String {
    let first = error.details.as_deref().and_then(Json::as_array).and_then(<[Json]>::first);
    let text = |name: &str| first.and_then(|issue| issue.get(name)).and_then(Json::as_str);
    match (text("path"), text("message")) {
        (Some(path), Some(message)) => format!("rules.definitions[{at}].{path}: {message}"),
        _ => format!("rules.definitions[{at}].id: {}", error.message),
    }
}
