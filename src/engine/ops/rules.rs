//! `rules.*`: facts, events, event subscriptions and the administration of
//! rules.

use super::Outcome;
use crate::app::ConnId;
use crate::budget::{Budget, OverBudget};
use crate::engine::Engine;
use crate::engine::subscriptions::{subscription_id, subscription_not_found, subscription_number};
use crate::json::{Json, Object, Raw, write_string};
use crate::protocol::{ErrorCode, OpError, Operation, Reply, Request, bounds};
use crate::rules::{NewEvent, RuleEngine};
use crate::storage::Origin;

/// The engine was there when the family was looked up.
fn not_configured() -> OpError {
    OpError::new(ErrorCode::RulesNotAvailable, "Rule engine is not configured")
}

impl Engine {
    pub(super) fn rules_operation(
        &mut self,
        conn: ConnId,
        operation: Operation,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        let out = reply.data();
        match operation {
            Operation::RulesEmit => self.rules_emit(request, out)?,
            Operation::RulesSetFact => self.rules_set_fact(request, out)?,
            Operation::RulesDeleteFact => {
                let key = request.require_string("key")?;
                let deleted = self.with_rules(|core, cx| core.delete_fact(&key, cx));
                out.extend_from_slice(b"{\"deleted\":");
                Json::Bool(deleted.ok_or_else(not_configured)?).write(out);
                out.push(b'}');
            }
            Operation::RulesSubscribe => self.rules_subscribe(conn, request, out)?,
            Operation::RulesUnsubscribe => self.rules_unsubscribe(conn, request, out)?,
            Operation::RulesRegisterRule
            | Operation::RulesUnregisterRule
            | Operation::RulesUpdateRule
            | Operation::RulesEnableRule
            | Operation::RulesDisableRule => self.change_rule(operation, request, out)?,
            _ => {
                let core = self.rule_engine().ok_or_else(not_configured)?;
                read(core, &self.budget, operation, request, out)?;
            }
        }
        Ok(Outcome::Done)
    }

    fn rules_emit(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
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

    fn rules_set_fact(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), OpError> {
        let key = request.require_string("key")?;
        bounds::check_topic("key", &key, ':')?;
        let Some(value) = request.field("value") else {
            return Err(OpError::validation("Missing \"value\": expected a value"));
        };
        let fact = self.set_fact(&key, &value.to_json()).ok_or_else(not_configured)?;
        fact.write(&key, out);
        Ok(())
    }

    fn rules_subscribe(
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

    fn rules_unsubscribe(
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

    fn change_rule(
        &mut self,
        operation: Operation,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        if operation == Operation::RulesRegisterRule {
            let rule = object(request.require_object("rule")?);
            return self
                .with_rules(|core, cx| {
                    let stored = core.register(rule, Origin::Wire, cx)?;
                    write_members(
                        stored,
                        &["id", "name", "version", "createdAt", "updatedAt"],
                        out,
                    );
                    Ok(())
                })
                .ok_or_else(not_configured)?;
        }
        let id = request.require_string("ruleId")?;
        if operation == Operation::RulesUpdateRule {
            let updates = object(request.require_object("updates")?);
            return self
                .with_rules(|core, cx| {
                    let stored = core.update(&id, &updates, cx)?;
                    write_members(stored, &["id", "version", "updatedAt"], out);
                    Ok(())
                })
                .ok_or_else(not_configured)?;
        }
        let done = match operation {
            Operation::RulesUnregisterRule => {
                self.with_rules(|core, cx| core.unregister(&id, cx))
                    .ok_or_else(not_configured)??;
                "\"unregistered\":true"
            }
            enable => {
                let enabled = enable == Operation::RulesEnableRule;
                self.with_rules(|core, cx| core.set_enabled(&id, enabled, cx))
                    .ok_or_else(not_configured)??;
                if enabled { "\"enabled\":true" } else { "\"enabled\":false" }
            }
        };
        out.extend_from_slice(b"{\"ruleId\":");
        write_string(out, &id);
        out.push(b',');
        out.extend_from_slice(done.as_bytes());
        out.push(b'}');
        Ok(())
    }
}

/// Operations that change nothing.
fn read(
    core: &RuleEngine,
    budget: &Budget,
    operation: Operation,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), OpError> {
    match operation {
        Operation::RulesGetFact => {
            let key = request.require_string("key")?;
            match core.fact(&key) {
                Some(fact) => fact.write_value(out),
                None => out.extend_from_slice(b"null"),
            }
        }
        Operation::RulesQueryFacts => {
            let pattern = request.require_string("pattern")?;
            bounds::check_topic("pattern", &pattern, ':')?;
            budget.spend(core.stats().facts as u64)?;
            let facts = core.query_facts(&pattern);
            write_list(out, budget, facts, |(key, fact), out| fact.write(key, out))?;
        }
        Operation::RulesGetAllFacts => {
            write_list(out, budget, core.facts(), |(key, fact), out| fact.write(key, out))?;
        }
        Operation::RulesStats => core.stats().write(out),
        Operation::RulesGetRule => {
            let id = request.require_string("ruleId")?;
            Json::Object(core.rule(&id)?.clone()).write(out);
        }
        Operation::RulesGetRules => {
            out.extend_from_slice(b"{\"rules\":");
            let members = ["id", "name", "enabled", "priority", "version", "tags", "group"];
            write_list(out, budget, core.rules(), |rule, out| {
                write_members(rule, &members, out);
            })?;
            out.push(b'}');
        }
        Operation::RulesValidateRule => {
            let findings = core.validate(&object(request.require_object("rule")?));
            out.extend_from_slice(b"{\"valid\":");
            Json::Bool(findings.is_valid()).write(out);
            out.extend_from_slice(b",\"errors\":");
            findings.errors_json().write(out);
            out.extend_from_slice(b",\"warnings\":");
            findings.warnings_json().write(out);
            out.push(b'}');
        }
        other => {
            return Err(OpError::new(
                ErrorCode::UnknownOperation,
                format!("Unknown rules operation \"{}\"", other.name()),
            ));
        }
    }
    Ok(())
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

fn write_list<T>(
    out: &mut Vec<u8>,
    budget: &Budget,
    elements: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
) -> Result<(), OverBudget> {
    out.push(b'[');
    for (at, element) in elements.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(element, out);
        budget.spend(1)?;
        budget.reply(out.len())?;
    }
    out.push(b']');
    Ok(())
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
