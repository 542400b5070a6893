//! What of the rule engine survives a restart, as records that a log can keep:
//! rules, facts, timers and the counter of versions.
//!
//! A record is named by its kind and key; its value is JSON text in storage
//! form, without a value it was deleted. The newest record of a name counts.

use std::sync::Arc;

use crate::json::{Json, Object, parse};
use crate::storage::Origin;

use super::cron::Cron;
use super::facts::{Fact, Source};
use super::rule::{Registered, Schedule};
use super::timers::Timer;

/// Deeper than anything in a record: messages have at most 1024 levels, and
/// what they bring lies a few levels deeper here.
const MAX_DEPTH: u32 = 1040;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    Rule,
    Fact,
    Timer,
    /// Counters; the only key is `versions`.
    Counter,
}

impl RecordKind {
    pub const ALL: [RecordKind; 4] =
        [RecordKind::Rule, RecordKind::Fact, RecordKind::Timer, RecordKind::Counter];

    /// The name under which a store keeps records of this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordKind::Rule => "rule",
            RecordKind::Fact => "fact",
            RecordKind::Timer => "timer",
            RecordKind::Counter => "counter",
        }
    }

    pub fn from_name(name: &str) -> Option<RecordKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One change of durable state, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesChange {
    pub kind: RecordKind,
    pub key: Arc<str>,
    /// Of rules; everything else comes from the wire.
    pub origin: Origin,
    /// `None`: deleted.
    pub value: Option<Arc<str>>,
}

impl RulesChange {
    pub(super) fn put(kind: RecordKind, key: &str, value: &Json) -> Self {
        Self::put_from(kind, key, Origin::Wire, value)
    }

    pub(super) fn put_from(kind: RecordKind, key: &str, origin: Origin, value: &Json) -> Self {
        let mut text = Vec::new();
        value.write_lossless(&mut text);
        let value = String::from_utf8(text).unwrap_or_default();
        RulesChange { kind, key: key.into(), origin, value: Some(value.into()) }
    }

    pub(super) fn delete(kind: RecordKind, key: &str) -> Self {
        RulesChange { kind, key: key.into(), origin: Origin::Wire, value: None }
    }
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect::<Object>())
}

fn optional_text(value: Option<&Arc<str>>) -> Json {
    value.map_or(Json::Null, |text| Json::from(&**text))
}

pub(super) fn rule_change(registered: &Registered, number: u64) -> RulesChange {
    let record = object([
        ("definition", Json::Object(registered.definition.clone())),
        ("number", Json::Number(number as f64)),
        ("place", Json::Number(registered.place as f64)),
    ]);
    RulesChange::put_from(RecordKind::Rule, &registered.rule.id, registered.origin, &record)
}

pub(super) struct StoredRule {
    pub definition: Object,
    pub origin: Origin,
    pub number: u64,
    pub place: u64,
}

/// The value is stored text already.
pub(super) fn fact_change(key: &str, fact: &Fact) -> RulesChange {
    let value = match fact.stored_value() {
        "" => String::new(),
        value => format!(r#""value":{value},"#),
    };
    let value = format!(
        r#"{{{value}"timestamp":{},"source":"{}","version":{},"order":{}}}"#,
        fact.timestamp,
        fact.source.as_str(),
        fact.version,
        fact.order
    );
    let (kind, origin) = (RecordKind::Fact, Origin::Wire);
    RulesChange { kind, key: key.into(), origin, value: Some(value.into()) }
}

pub(super) struct StoredFact {
    pub value: Option<Json>,
    pub timestamp: u64,
    pub source: Source,
    pub version: u64,
    pub order: u64,
}

pub(super) fn timer_record(timer: &Timer) -> Json {
    let (interval, cron) = match &timer.schedule {
        Schedule::After { interval, .. } => (*interval, None),
        Schedule::Cron { expression, .. } => (None, Some(expression)),
    };
    let number = |value: Option<u64>| value.map_or(Json::Null, |value| Json::Number(value as f64));
    object([
        ("id", Json::from(&*timer.id)),
        ("due", Json::Number(timer.due as f64)),
        ("interval", number(interval)),
        ("cron", optional_text(cron)),
        ("left", number(timer.left)),
        ("topic", Json::from(&*timer.topic)),
        ("data", (*timer.data).clone()),
        ("correlationId", optional_text(timer.correlation_id.as_ref())),
        ("ruleId", optional_text(timer.rule.as_ref())),
    ])
}

/// A stored value read back. Errors say what is wrong with it.
pub(super) struct Stored(Json);

impl Stored {
    pub(super) fn read(text: &str) -> Result<Stored, String> {
        let raw = parse(text, MAX_DEPTH).map_err(|error| error.to_string())?;
        Ok(Stored(raw.to_json()))
    }

    fn member(&self, name: &str) -> Result<&Json, String> {
        self.0.get(name).ok_or_else(|| format!("\"{name}\" is missing"))
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        self.member(name)?.as_str().ok_or_else(|| format!("\"{name}\" is not a string"))
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        let number = self.member(name)?.as_number();
        number
            .filter(|number| *number >= 0.0)
            .map(|number| number as u64)
            .ok_or_else(|| format!("\"{name}\" is not a number"))
    }

    fn optional_number(&self, name: &str) -> Result<Option<u64>, String> {
        if self.member(name)?.is_null() { Ok(None) } else { self.number(name).map(Some) }
    }

    pub(super) fn rule(self, origin: Origin) -> Result<StoredRule, String> {
        let number = self.number("number")?;
        // Records of the first versions have none.
        let place = if self.0.get("place").is_some() { self.number("place")? } else { number };
        let definition = self.member("definition")?.as_object();
        let definition = definition.ok_or("\"definition\" is not an object")?.clone();
        Ok(StoredRule { definition, origin, number, place })
    }

    pub(super) fn fact(self) -> Result<StoredFact, String> {
        Ok(StoredFact {
            value: self.0.get("value").cloned(),
            timestamp: self.number("timestamp")?,
            source: Source::from_name(self.text("source")?).ok_or("unknown source")?,
            version: self.number("version")?,
            order: self.number("order")?,
        })
    }

    pub(super) fn timer(self) -> Result<Timer, String> {
        let due = self.number("due")?;
        let schedule = match self.member("cron")?.as_str() {
            Some(expression) => {
                let cron = Cron::parse(expression)
                    .ok_or_else(|| format!("Invalid cron expression: {expression}"))?;
                Schedule::Cron { cron: Arc::new(cron), expression: expression.into() }
            }
            None => Schedule::After { first: 0, interval: self.optional_number("interval")? },
        };
        Ok(Timer {
            id: self.text("id")?.into(),
            due,
            schedule,
            left: self.optional_number("left")?,
            topic: self.text("topic")?.into(),
            data: Arc::new(self.member("data")?.clone()),
            correlation_id: self.member("correlationId")?.as_str().map(Arc::from),
            rule: self.0.get("ruleId").and_then(Json::as_str).map(Arc::from),
        })
    }

    pub(super) fn counter(self) -> Result<u64, String> {
        self.0
            .as_number()
            .filter(|number| *number >= 0.0)
            .map(|number| number as u64)
            .ok_or_else(|| "not a number".to_owned())
    }
}
