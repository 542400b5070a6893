//! `rules.*`: facts, events, event subscriptions and the administration of
//! rules.

use super::write_list;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::scopes::Knowing;
use crate::engine::subscriptions::{subscription_id, subscription_not_found, subscription_number};
use crate::json::{Json, Object, Raw, write_string};
use crate::protocol::{ErrorCode, OpError, Request, bounds};
use crate::rules::{NewEvent, RuleEngine};
use crate::storage::Origin;

/// The engine was there when the family was looked up.
fn not_configured() -> OpError {
    OpError::new(ErrorCode::RulesNotAvailable, "Rule engine is not configured")
}

impl Engine {
    pub(super) fn rules_emit(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let topic = request.require_string("topic")?;
        bounds::check_topic("topic", &topic, '.')?;
        let data = request.optional_object("data")?.map(object).unwrap_or_default();
        let correlation_id = optional_text(request, "correlationId")?;
        let causation_id = optional_text(request, "causationId")?;
        let new = NewEvent {
            causation_id: causation_id.filter(|_| correlation_id.is_some()).map(Into::into),
            correlation_id: correlation_id.map(Into::into),
            ..NewEvent::new(&topic, data)
        };
        let event = self.with_rules(|core, cx| core.emit(new, cx)).ok_or_else(not_configured)?;
        event.write(out);
        Ok(())
    }

    pub(super) fn rules_set_fact(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let key = request.require_string("key")?;
        bounds::check_topic("key", &key, ':')?;
        let Some(value) = request.field("value") else {
            return Err(OpError::validation("Missing \"value\": expected a value"));
        };
        let fact = self.set_fact(&key, &value.to_json()).ok_or_else(not_configured)?;
        fact.write(&key, out);
        Ok(())
    }

    pub(super) fn rules_subscribe(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        self.check_subscription_limits(conn)?;
        let pattern = request.require_string("pattern")?;
        bounds::check_topic("pattern", &pattern, '.')?;
        let number = self.ids.next_subscription();
        self.add_event_subscription(conn, number, &pattern);
        out.extend_from_slice(b"{\"subscriptionId\":\"");
        out.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
        out.extend_from_slice(b"\"}");
        Ok(())
    }

    pub(super) fn rules_unsubscribe(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        let number = subscription_number(&id);
        if !number.is_some_and(|number| self.remove_event_subscription(conn, number)) {
            return Err(subscription_not_found(&id));
        }
        out.extend_from_slice(b"{\"unsubscribed\":true}");
        Ok(())
    }

    pub(super) fn rules_delete_fact(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let key = request.require_string("key")?;
        bounds::check_topic("key", &key, ':')?;
        let deleted = self.with_rules(|core, cx| core.delete_fact(&key, cx));
        out.extend_from_slice(b"{\"deleted\":");
        Json::Bool(deleted.ok_or_else(not_configured)?).write(out);
        out.push(b'}');
        Ok(())
    }

    pub(super) fn register_rule(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let rule = object(request.require_object("rule")?);
        let members = ["id", "name", "version", "createdAt", "updatedAt"];
        self.with_rules(|core, cx| {
            write_members(core.register(rule, Origin::Wire, cx)?, &members, out);
            Ok(())
        })
        .ok_or_else(not_configured)?
    }

    pub(super) fn update_rule(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("ruleId")?;
        let updates = object(request.require_object("updates")?);
        self.with_rules(|core, cx| {
            let stored = core.update(&id, &updates, cx)?;
            write_members(stored, &["id", "version", "updatedAt"], out);
            Ok(())
        })
        .ok_or_else(not_configured)?
    }

    pub(super) fn unregister_rule(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("ruleId")?;
        self.with_rules(|core, cx| core.unregister(&id, cx)).ok_or_else(not_configured)??;
        write_done(out, &id, "\"unregistered\":true");
        Ok(())
    }

    pub(super) fn enable_rule(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        self.set_rule_enabled(request, true, out)
    }

    pub(super) fn disable_rule(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        self.set_rule_enabled(request, false, out)
    }

    fn set_rule_enabled(
        &mut self,
        request: &Request<'_>,
        enabled: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("ruleId")?;
        self.with_rules(|core, cx| core.set_enabled(&id, enabled, cx))
            .ok_or_else(not_configured)??;
        write_done(out, &id, if enabled { "\"enabled\":true" } else { "\"enabled\":false" });
        Ok(())
    }
}

impl Knowing<'_> {
    /// The engine, for operations that change nothing.
    fn rules_to_read(&self) -> Result<&RuleEngine, OpError> {
        self.rules.ok_or_else(not_configured)
    }

    pub(super) fn rules_get_fact(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let core = self.rules_to_read()?;
        let key = request.require_string("key")?;
        bounds::check_topic("key", &key, ':')?;
        match core.fact(&key) {
            Some(fact) => fact.write_value(out),
            None => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    pub(super) fn rules_query_facts(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let core = self.rules_to_read()?;
        let pattern = request.require_string("pattern")?;
        bounds::check_topic("pattern", &pattern, ':')?;
        self.budget.spend(core.stats().facts as u64)?;
        let facts = core.query_facts(&pattern);
        Ok(write_list(out, self.budget, facts, |(key, fact), out| fact.write(key, out))?)
    }

    pub(super) fn rules_get_all_facts(&self, out: &mut Vec<u8>) -> Result<(), OpError> {
        let facts = self.rules_to_read()?.facts();
        Ok(write_list(out, self.budget, facts, |(key, fact), out| fact.write(key, out))?)
    }

    pub(super) fn rules_get_timers(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let core = self.rules_to_read()?;
        let pattern = match request.present("pattern") {
            None => None,
            Some(_) => Some(request.require_string("pattern")?),
        };
        if let Some(pattern) = &pattern {
            bounds::check_topic("pattern", pattern, ':')?;
        }
        self.budget.spend(core.stats().timers as u64)?;
        let timers = core.timers(pattern.as_deref());
        self.budget.spend_sort(timers.len())?;
        Ok(write_list(out, self.budget, timers, |timer, out| timer.write(out))?)
    }

    pub(super) fn write_rules_stats(&self, out: &mut Vec<u8>) -> Result<(), OpError> {
        self.rules_to_read()?.stats().write(out);
        Ok(())
    }

    pub(super) fn get_rule(&self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let core = self.rules_to_read()?;
        let id = request.require_string("ruleId")?;
        Json::Object(core.rule(&id)?.clone()).write(out);
        Ok(())
    }

    pub(super) fn get_rules(&self, out: &mut Vec<u8>) -> Result<(), OpError> {
        let rules = self.rules_to_read()?.rules();
        out.extend_from_slice(b"{\"rules\":");
        let members = ["id", "name", "enabled", "priority", "version", "tags", "group"];
        write_list(out, self.budget, rules, |rule, out| write_members(rule, &members, out))?;
        out.push(b'}');
        Ok(())
    }

    pub(super) fn validate_rule(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let core = self.rules_to_read()?;
        let findings = core.validate(&object(request.require_object("rule")?), self.budget);
        self.budget.check()?;
        out.extend_from_slice(b"{\"valid\":");
        Json::Bool(findings.is_valid()).write(out);
        out.extend_from_slice(b",\"errors\":");
        findings.errors_json().write(out);
        out.extend_from_slice(b",\"warnings\":");
        findings.warnings_json().write(out);
        out.push(b'}');
        Ok(())
    }
}

/// `{"ruleId": …, …}`
fn write_done(out: &mut Vec<u8>, id: &str, done: &str) {
    out.extend_from_slice(b"{\"ruleId\":");
    write_string(out, id);
    out.push(b',');
    out.extend_from_slice(done.as_bytes());
    out.push(b'}');
}

fn object(raw: Raw<'_>) -> Object {
    match raw.to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

/// Absent or `null` is none; else `Invalid "{name}": expected non-empty string`
fn optional_text(request: &Request<'_>, name: &str) -> Result<Option<String>, OpError> {
    let Some(value) = request.present(name) else { return Ok(None) };
    match value.as_str().filter(|text| !text.is_empty()) {
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(OpError::validation(format!("Invalid \"{name}\": expected non-empty string"))),
    }
}

/// An object with these members, as far as they are there.
fn write_members(object: &Object, names: &[&str], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for name in names {
        let Some(value) = object.get(name) else { continue };
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        value.write(out);
    }
    out.push(b'}');
}
