//! Temporal patterns as they are defined.

use std::sync::Arc;

use crate::json::Json;

use super::super::duration;
use super::super::event::Event;
use super::super::value::{Path, text_of};

#[derive(Debug)]
pub(in super::super) struct TemporalSpec {
    pub kind: Kind,
    /// Sequence: one per step. Absence: `after`, `expected`. Others: one.
    pub matchers: Box<[Matcher]>,
    pub group_by: Option<Path>,
}

#[derive(Debug)]
pub(in super::super) struct Matcher {
    pub topic: Box<str>,
    pub filter: Box<[(Path, Json)]>,
    pub alias: Option<Box<str>>,
}

/// Durations in milliseconds.
#[derive(Debug)]
pub(in super::super) enum Kind {
    Sequence { within: u64, strict: bool },
    Absence { within: u64 },
    Count(Window),
    Aggregate { window: Window, field: Path, function: Function },
}

#[derive(Debug)]
pub(in super::super) struct Window {
    pub length: u64,
    pub threshold: f64,
    pub comparison: Comparison,
    pub sliding: bool,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Comparison {
    Gte,
    Lte,
    Eq,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Function {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

impl Comparison {
    pub(super) fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::Gte => value >= threshold,
            Comparison::Lte => value <= threshold,
            Comparison::Eq => value == threshold,
        }
    }
}

impl Matcher {
    fn compile(definition: &Json) -> Result<Matcher, String> {
        let topic = definition.get("topic").and_then(Json::as_str);
        let filter = definition.get("filter").and_then(Json::as_object);
        Ok(Matcher {
            topic: topic.ok_or("malformed event matcher")?.into(),
            filter: filter
                .map(|filter| {
                    filter.iter().map(|(path, value)| (Path::parse(path), value.clone())).collect()
                })
                .unwrap_or_default(),
            alias: definition.get("as").and_then(Json::as_str).map(Box::from),
        })
    }

    /// All expected values are there. The topic is the index's business.
    pub(super) fn accepts(&self, event: &Event) -> bool {
        self.filter
            .iter()
            .all(|(path, expected)| path.find(&event.data).is_some_and(|found| *found == *expected))
    }
}

impl TemporalSpec {
    pub(in super::super) fn compile(pattern: &Json) -> Result<TemporalSpec, String> {
        let malformed = || "malformed temporal pattern".to_owned();
        let get = |name: &str| pattern.get(name).ok_or_else(malformed);
        let duration = |name: &str| {
            get(name).and_then(|value| duration::parse(value).map_err(|_| malformed()))
        };
        let flag = |name: &str| pattern.get(name).and_then(Json::as_bool);
        let window = || {
            Ok::<_, String>(Window {
                length: duration("window")?,
                threshold: get("threshold")?.as_number().ok_or_else(malformed)?,
                comparison: match pattern.get("comparison").and_then(Json::as_str) {
                    Some("lte") => Comparison::Lte,
                    Some("eq") => Comparison::Eq,
                    _ => Comparison::Gte,
                },
                sliding: flag("sliding").unwrap_or(true),
            })
        };
        let (kind, matchers) = match get("type")?.as_str() {
            Some("sequence") => {
                let strict = flag("strict").unwrap_or(false);
                let kind = Kind::Sequence { within: duration("within")?, strict };
                (kind, get("events")?.as_array().unwrap_or_default().iter().collect())
            }
            Some("absence") => {
                let kind = Kind::Absence { within: duration("within")? };
                (kind, vec![get("after")?, get("expected")?])
            }
            Some("count") => (Kind::Count(window()?), vec![get("event")?]),
            Some("aggregate") => {
                let function = match get("function")?.as_str() {
                    Some("sum") => Function::Sum,
                    Some("avg") => Function::Avg,
                    Some("min") => Function::Min,
                    Some("max") => Function::Max,
                    _ => Function::Count,
                };
                let field = Path::parse(get("field")?.as_str().ok_or_else(malformed)?);
                let kind = Kind::Aggregate { window: window()?, field, function };
                (kind, vec![get("event")?])
            }
            _ => return Err(malformed()),
        };
        Ok(TemporalSpec {
            kind,
            matchers: matchers.into_iter().map(Matcher::compile).collect::<Result<_, _>>()?,
            group_by: pattern.get("groupBy").and_then(Json::as_str).map(Path::parse),
        })
    }

    /// The group of an event; `None` if the pattern ignores the event.
    pub(super) fn group_of(&self, event: &Event) -> Option<Arc<str>> {
        let Some(path) = &self.group_by else { return Some(Arc::from("")) };
        let value = path.find(&event.data).filter(|value| !value.is_null())?;
        Some(Arc::from(&*text_of(Some(&value))))
    }
}
