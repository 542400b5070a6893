//! Why rules run: what references mean by `event`, `trigger`, `matched` and `meta`.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::json::{Json, Object};

use super::event::{Budget, Chain, Event};
use super::temporal::completion::Completion;
use super::temporal::spec::TemporalSpec;
use super::value::Path;

/// The object that `event.*` and `trigger.*` refer to.
#[derive(Debug)]
pub(super) enum TriggerData {
    Plain(Arc<Json>),
    /// Of a temporal pattern: a window may hold a hundred events, which are
    /// copied only for a rule that asks for them.
    Pattern(Box<PatternData>),
}

#[derive(Debug)]
pub(super) struct PatternData {
    /// The members that cost next to nothing.
    head: Json,
    body: OnceLock<Json>,
    spec: Arc<TemporalSpec>,
    completion: Completion,
}

impl TriggerData {
    pub(super) fn whole(&self) -> &Json {
        match self {
            TriggerData::Plain(data) => data,
            TriggerData::Pattern(pattern) => {
                pattern.body.get_or_init(|| Json::Object(pattern.completion.body(&pattern.spec)))
            }
        }
    }

    pub(super) fn find(&self, path: &Path) -> Option<Cow<'_, Json>> {
        match self {
            TriggerData::Pattern(pattern) if pattern.head.get(path.first()).is_some() => {
                path.find(&pattern.head)
            }
            _ => path.find(self.whole()),
        }
    }
}

/// Why rules run: the trigger data and where in the chain they are.
#[derive(Debug)]
pub(super) struct Cause {
    pub data: TriggerData,
    /// What `matched.N` refers to, of temporal patterns.
    pub matched: Vec<Arc<Json>>,
    /// The triggering event, if there is one (`meta.*`).
    pub event: Option<Arc<Event>>,
    pub correlation_id: Option<Arc<str>>,
    /// Id of the event or timer: the `causationId` of events that rules emit.
    pub id: Option<Arc<str>>,
    /// Depth at which the triggered rules run; 1 for a root.
    pub depth: u32,
    pub budget: Arc<Budget>,
}

impl Cause {
    pub(super) fn event(event: &Arc<Event>, depth: u32, budget: &Arc<Budget>) -> Cause {
        Cause {
            data: TriggerData::Plain(Arc::clone(&event.data)),
            matched: Vec::new(),
            event: Some(Arc::clone(event)),
            correlation_id: event.correlation_id.clone(),
            id: Some(Arc::clone(&event.id)),
            depth,
            budget: Arc::clone(budget),
        }
    }

    /// What kind of trigger it was, and its name, for people.
    pub(super) fn described(&self) -> (&'static str, String) {
        if let TriggerData::Pattern(pattern) = &self.data {
            let last = pattern.completion.events.last();
            return ("temporal", last.map(|event| event.topic.to_string()).unwrap_or_default());
        }
        if let Some(event) = &self.event {
            return ("event", event.topic.to_string());
        }
        let whole = self.data.whole();
        let text = |of: Option<&Json>| of.and_then(Json::as_str).unwrap_or_default().to_owned();
        match whole.get("fact") {
            Some(fact) => ("fact", text(fact.get("key"))),
            None => ("timer", text(whole.get("timerName"))),
        }
    }

    /// The data of the N-th matched event. The event that triggers a rule by
    /// itself is the only one.
    pub(super) fn matched(&self, index: usize) -> Option<&Json> {
        match (&self.data, &self.event) {
            (TriggerData::Plain(_), Some(event)) if index == 0 => Some(&event.data),
            _ => self.matched.get(index).map(|data| &**data),
        }
    }

    pub(super) fn fact(fact: Json, depth: u32, budget: &Arc<Budget>) -> Cause {
        let data: Object = [("fact", fact)].into_iter().collect();
        Cause {
            data: TriggerData::Plain(Arc::new(Json::Object(data))),
            matched: Vec::new(),
            event: None,
            correlation_id: None,
            id: None,
            depth,
            budget: Arc::clone(budget),
        }
    }

    pub(super) fn pattern(
        completion: Completion,
        spec: &Arc<TemporalSpec>,
        depth: u32,
        budget: &Arc<Budget>,
    ) -> Cause {
        let last = completion.events.last().cloned();
        Cause {
            matched: completion.events.iter().map(|event| Arc::clone(&event.data)).collect(),
            correlation_id: last.as_ref().and_then(|event| event.correlation_id.clone()),
            id: last.as_ref().map(|event| Arc::clone(&event.id)),
            event: last,
            data: TriggerData::Pattern(Box::new(PatternData {
                head: Json::Object(completion.head(spec)),
                body: OnceLock::new(),
                spec: Arc::clone(spec),
                completion,
            })),
            depth,
            budget: Arc::clone(budget),
        }
    }

    /// The depth of what the triggered rules cause, and its budget.
    pub(super) fn chain(&self, rule: &Arc<str>) -> Chain {
        let depth = self.depth.saturating_add(1);
        Chain { depth, budget: Arc::clone(&self.budget), rule: Arc::clone(rule) }
    }
}
