//! Rules as they run: compiled from validated definitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::json::{Json, Object};
use crate::storage::Origin;

use super::condition::Condition;
use super::cron::Cron;
use super::duration;
use super::reference::{Operand, Template};
use super::temporal::spec::TemporalSpec;

/// A compiled rule. An update makes a new one; executions that have begun keep
/// the one they began with.
#[derive(Debug)]
pub(super) struct Rule {
    pub id: Arc<str>,
    pub name: Box<str>,
    /// Place in the order of registration; never reused.
    pub number: u64,
    pub priority: f64,
    pub group: Option<Box<str>>,
    pub trigger: Trigger,
    pub lookups: Box<[Lookup]>,
    pub conditions: Box<[Condition]>,
    pub actions: Arc<[Action]>,
    active: AtomicBool,
    failures: AtomicU32,
}

#[derive(Clone, Debug)]
pub(super) enum Trigger {
    Event(Box<str>),
    Fact(Box<str>),
    Timer(Box<str>),
    Temporal(Arc<TemporalSpec>),
}

/// Members of an object that may be references.
pub(super) type Members = Box<[(Box<str>, Operand)]>;

#[derive(Debug)]
pub(super) struct Lookup {
    pub name: Box<str>,
    pub service: Box<str>,
    pub method: Box<str>,
    pub args: Box<[Operand]>,
    /// Milliseconds.
    pub ttl: Option<u64>,
    /// Whether a failure is the rule's failure; otherwise the rule is skipped.
    pub fail: bool,
}

#[derive(Debug)]
pub(super) enum Action {
    SetFact {
        key: Template,
        value: Operand,
    },
    DeleteFact {
        key: Template,
    },
    EmitEvent {
        topic: Template,
        data: Box<[(Box<str>, Operand)]>,
    },
    SetTimer(Box<TimerSpec>),
    CancelTimer {
        name: Template,
    },
    CallService {
        service: Box<str>,
        method: Box<str>,
        args: Box<[Operand]>,
    },
    Log {
        level: log::Level,
        message: Template,
    },
    Conditional {
        conditions: Box<[Condition]>,
        then: Arc<[Action]>,
        otherwise: Option<Arc<[Action]>>,
    },
    ForEach(Box<ForEach>),
    TryCatch {
        attempt: Arc<[Action]>,
        catch: Option<Arc<Catch>>,
        finally: Option<Arc<[Action]>>,
    },
    /// Accepted by validation, as it always was, but cannot do anything.
    Broken(&'static str),
}

impl Action {
    /// Its type, as definitions have it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Action::SetFact { .. } => "set_fact",
            Action::DeleteFact { .. } => "delete_fact",
            Action::EmitEvent { .. } => "emit_event",
            Action::SetTimer(_) => "set_timer",
            Action::CancelTimer { .. } => "cancel_timer",
            Action::CallService { .. } => "call_service",
            Action::Log { .. } => "log",
            Action::Conditional { .. } => "conditional",
            Action::ForEach(_) => "for_each",
            Action::TryCatch { .. } => "try_catch",
            Action::Broken(_) => "unknown",
        }
    }
}

#[derive(Debug)]
pub(super) struct ForEach {
    pub collection: Operand,
    pub variable: Arc<str>,
    /// `{as}_index`.
    pub index: Arc<str>,
    pub actions: Arc<[Action]>,
    pub max: usize,
}

#[derive(Debug)]
pub(super) struct Catch {
    pub variable: Option<Arc<str>>,
    pub actions: Arc<[Action]>,
}

#[derive(Debug)]
pub(super) struct TimerSpec {
    pub name: Template,
    pub topic: Template,
    pub data: Members,
    pub schedule: Schedule,
    /// Expiries in total.
    pub max: Option<u64>,
}

/// When a timer expires.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// Milliseconds until the first expiry, and between the others.
    After {
        first: u64,
        interval: Option<u64>,
    },
    Cron {
        cron: Arc<Cron>,
        expression: Arc<str>,
    },
}

/// A rule and what it was made from.
#[derive(Debug)]
pub(super) struct Registered {
    pub rule: Arc<Rule>,
    /// The definition with defaults and the server's fields.
    pub definition: Object,
    pub origin: Origin,
    /// Of the pattern of its trigger among all patterns; 0: none.
    pub place: u64,
}

impl Rule {
    /// Compiles a definition that validation has accepted, defaults filled in.
    pub(super) fn compile(definition: &Object, number: u64) -> Result<Rule, String> {
        let text = |name: &str| definition.get(name).and_then(Json::as_str).unwrap_or_default();
        let list = |name: &str| definition.get(name).and_then(Json::as_array).unwrap_or_default();
        let trigger = definition.get("trigger").ok_or("malformed trigger")?;
        Ok(Rule {
            id: text("id").into(),
            name: text("name").into(),
            number,
            priority: definition.get("priority").and_then(Json::as_number).unwrap_or_default(),
            group: definition.get("group").and_then(Json::as_str).map(Box::from),
            trigger: Trigger::compile(trigger)?,
            lookups: list("lookups").iter().map(Lookup::compile).collect::<Result<_, _>>()?,
            conditions: list("conditions")
                .iter()
                .map(Condition::compile)
                .collect::<Result<_, _>>()?,
            actions: compile_actions(list("actions"))?,
            active: AtomicBool::new(true),
            failures: AtomicU32::new(0),
        })
    }

    /// Enabled, and its group too.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Counts a failure; says whether to log it. A rule that fails at every
    /// event would otherwise fill the log: the 1st, 2nd, 4th, 8th... is logged.
    pub(super) fn count_failure(&self) -> Option<u32> {
        let count = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        count.is_power_of_two().then_some(count)
    }
}

fn member<'j>(definition: &'j Json, name: &str) -> Result<&'j str, String> {
    definition
        .get(name)
        .and_then(Json::as_str)
        .ok_or_else(|| format!("malformed definition: \"{name}\" is not a string"))
}

impl Trigger {
    fn compile(definition: &Json) -> Result<Trigger, String> {
        Ok(match member(definition, "type")? {
            "event" => Trigger::Event(member(definition, "topic")?.into()),
            "fact" => Trigger::Fact(member(definition, "pattern")?.into()),
            "timer" => Trigger::Timer(member(definition, "name")?.into()),
            _ => {
                let pattern = definition.get("pattern").ok_or("malformed temporal trigger")?;
                Trigger::Temporal(Arc::new(TemporalSpec::compile(pattern)?))
            }
        })
    }
}

fn operands(list: Option<&Json>) -> Box<[Operand]> {
    list.and_then(Json::as_array).unwrap_or_default().iter().map(Operand::new).collect()
}

fn members(object: Option<&Json>) -> Option<Members> {
    let object = object.and_then(Json::as_object)?;
    Some(object.iter().map(|(name, value)| (name.into(), Operand::new(value))).collect())
}

impl Lookup {
    fn compile(definition: &Json) -> Result<Lookup, String> {
        let ttl = definition.get("cache").and_then(|cache| cache.get("ttl"));
        Ok(Lookup {
            name: member(definition, "name")?.into(),
            service: member(definition, "service")?.into(),
            method: member(definition, "method")?.into(),
            args: operands(definition.get("args")),
            ttl: ttl.and_then(|ttl| duration::parse(ttl).ok()),
            fail: definition.get("onError").and_then(Json::as_str) == Some("fail"),
        })
    }
}

fn compile_actions(list: &[Json]) -> Result<Arc<[Action]>, String> {
    list.iter().map(Action::compile).collect()
}

impl Action {
    fn compile(definition: &Json) -> Result<Action, String> {
        let template = |name: &str| member(definition, name).map(Template::parse);
        let nested = |name: &str| match definition.get(name).and_then(Json::as_array) {
            Some(list) => compile_actions(list).map(Some),
            None => Ok(None),
        };
        Ok(match member(definition, "type")? {
            "set_fact" => Action::SetFact {
                key: template("key")?,
                value: Operand::new(definition.get("value").ok_or("set_fact without a value")?),
            },
            "delete_fact" => Action::DeleteFact { key: template("key")? },
            "emit_event" => Action::EmitEvent {
                topic: template("topic")?,
                data: members(definition.get("data")).ok_or("emit_event without data")?,
            },
            "set_timer" => {
                TimerSpec::compile(definition.get("timer").ok_or("set_timer without a timer")?)?
            }
            "cancel_timer" => Action::CancelTimer { name: template("name")? },
            "call_service" => Action::CallService {
                service: member(definition, "service")?.into(),
                method: member(definition, "method")?.into(),
                args: operands(definition.get("args")),
            },
            "log" => Action::Log {
                level: match member(definition, "level")? {
                    "debug" => log::Level::Debug,
                    "info" => log::Level::Info,
                    "warn" => log::Level::Warn,
                    _ => log::Level::Error,
                },
                message: template("message")?,
            },
            "conditional" => Action::Conditional {
                conditions: definition
                    .get("conditions")
                    .and_then(Json::as_array)
                    .unwrap_or_default()
                    .iter()
                    .map(Condition::compile)
                    .collect::<Result<_, _>>()?,
                then: nested("then")?.unwrap_or_else(|| Arc::new([])),
                otherwise: nested("else")?,
            },
            "for_each" => {
                let variable = member(definition, "as")?;
                let max = definition.get("maxIterations").and_then(Json::as_number);
                Action::ForEach(Box::new(ForEach {
                    collection: Operand::new(
                        definition.get("collection").ok_or("for_each without a collection")?,
                    ),
                    variable: variable.into(),
                    index: format!("{variable}_index").into(),
                    actions: nested("actions")?.unwrap_or_else(|| Arc::new([])),
                    max: max.map_or(1000, |max| max as usize),
                }))
            }
            "try_catch" => Action::TryCatch {
                attempt: nested("try")?.unwrap_or_else(|| Arc::new([])),
                catch: definition.get("catch").map(Catch::compile).transpose()?.map(Arc::new),
                finally: nested("finally")?,
            },
            unknown => return Err(format!("unknown action type: {unknown}")),
        })
    }
}

impl Catch {
    fn compile(definition: &Json) -> Result<Catch, String> {
        let actions = definition.get("actions").and_then(Json::as_array).unwrap_or_default();
        Ok(Catch {
            variable: definition.get("as").and_then(Json::as_str).map(Arc::from),
            actions: compile_actions(actions)?,
        })
    }
}

impl TimerSpec {
    fn compile(definition: &Json) -> Result<Action, String> {
        let expire = definition.get("onExpire").ok_or("set_timer without onExpire")?;
        let Some(topic) = expire.get("topic").and_then(Json::as_str) else {
            return Ok(Action::Broken("set_timer: onExpire.topic must be a string"));
        };
        let Some(data) = members(expire.get("data")) else {
            return Ok(Action::Broken("set_timer: onExpire.data must be an object"));
        };
        let count = |value: Option<&Json>| {
            let number = value.and_then(Json::as_number)?;
            (number >= 1.0).then_some(number as u64)
        };
        let repeat = definition.get("repeat");
        let (schedule, max) = match definition.get("cron").and_then(Json::as_str) {
            Some(expression) => {
                let cron = Cron::parse(expression)
                    .ok_or_else(|| format!("Invalid cron expression: {expression}"))?;
                let max = count(definition.get("maxCount"));
                (Schedule::Cron { cron: Arc::new(cron), expression: expression.into() }, max)
            }
            None => {
                let first = definition.get("duration").map(duration::parse);
                let first = first.and_then(Result::ok).ok_or("malformed timer duration")?;
                let interval = repeat.and_then(|repeat| repeat.get("interval"));
                let interval = interval.and_then(|interval| duration::parse(interval).ok());
                let max = count(repeat.and_then(|repeat| repeat.get("maxCount")));
                (Schedule::After { first, interval: interval.map(|ms| ms.max(1)) }, max)
            }
        };
        let name = Template::parse(member(definition, "name")?);
        let topic = Template::parse(topic);
        Ok(Action::SetTimer(Box::new(TimerSpec { name, topic, data, schedule, max })))
    }
}
