//! What completed a pattern, and the trigger data that rules see of it.

use std::sync::Arc;

use crate::json::{Json, Object};

use super::super::event::Event;
use super::spec::{Kind, TemporalSpec};

/// A pattern that was completed.
#[derive(Clone, Debug)]
pub(in super::super) struct Completion {
    pub group: Arc<str>,
    pub events: Vec<Arc<Event>>,
    /// Count and aggregate: events in the window.
    pub count: Option<usize>,
    pub value: Option<f64>,
}

impl Completion {
    pub(super) fn new(group: &Arc<str>, events: Vec<Arc<Event>>) -> Self {
        Completion { group: Arc::clone(group), events, count: None, value: None }
    }

    /// The members of the trigger data that cost next to nothing.
    pub(in super::super) fn head(&self, spec: &TemporalSpec) -> Object {
        let mut head = Object::with_capacity(4);
        let (name, has_value) = match spec.kind {
            Kind::Sequence { .. } => ("sequence", false),
            Kind::Absence { .. } => ("absence", false),
            Kind::Count(_) => ("count", false),
            Kind::Aggregate { .. } => ("aggregate", true),
        };
        head.insert("type", Json::from(name));
        if spec.group_by.is_some() {
            head.insert("groupKey", Json::from(&*self.group));
        }
        if let Some(count) = self.count {
            head.insert("count", Json::Number(count as f64));
        }
        if let Some(value) = self.value.filter(|_| has_value) {
            head.insert("value", Json::Number(value));
        }
        head
    }

    /// All of the trigger data. Copies the data of up to a hundred events.
    pub(in super::super) fn body(&self, spec: &TemporalSpec) -> Object {
        let data = |event: &Arc<Event>| (*event.data).clone();
        let mut body = Object::new();
        // Aliases first: the fixed names win over them.
        if matches!(spec.kind, Kind::Sequence { .. } | Kind::Absence { .. }) {
            for (matcher, event) in spec.matchers.iter().zip(&self.events) {
                if let Some(alias) = &matcher.alias {
                    body.insert(alias.clone(), data(event));
                }
            }
        }
        for (name, value) in self.head(spec) {
            body.insert(name, value);
        }
        body.insert("events", Json::Array(self.events.iter().map(data).collect()));
        if let (Kind::Absence { .. }, Some(after)) = (&spec.kind, self.events.first()) {
            body.insert("after", data(after));
        }
        body
    }
}
