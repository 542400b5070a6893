//! How a decision came about, written down by whoever decides.

use crate::json::{Json, Object};

/// Steps of a decision; most decisions are not written down.
#[derive(Debug, Default)]
pub struct Trace {
    steps: Option<Vec<Json>>,
}

impl Trace {
    /// Nothing is written down.
    pub fn off() -> Self {
        Trace::default()
    }

    pub fn on() -> Self {
        Trace { steps: Some(Vec::new()) }
    }

    /// `result`: `pass`, `allow` or `deny`. `members` are asked for only if
    /// somebody reads them.
    pub fn note(
        &mut self,
        step: &str,
        result: &str,
        members: impl FnOnce() -> Vec<(&'static str, Json)>,
    ) {
        let Some(steps) = &mut self.steps else { return };
        let mut noted: Object =
            [("step", Json::from(step)), ("result", Json::from(result))].into_iter().collect();
        for (name, value) in members() {
            noted.insert(name, value);
        }
        steps.push(Json::Object(noted));
    }

    pub fn plain(&mut self, step: &str, result: &str) {
        self.note(step, result, Vec::new);
    }

    /// What was written down, and the step that decided: the last one.
    pub fn finish(self) -> (Json, Json) {
        let steps = self.steps.unwrap_or_default();
        let last = steps.last().and_then(|step| step.get("step")).cloned().unwrap_or_default();
        (last, Json::Array(steps))
    }
}
