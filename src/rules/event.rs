//! Events, and what sets rules off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::budget::Budget as Work;
use crate::json::{Json, write_number, write_string};

use super::facts::Source;

/// One event. Immutable: subscribers, rules and windows share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Arc<str>,
    pub topic: Arc<str>,
    /// Always an object.
    pub data: Arc<Json>,
    /// Unix milliseconds.
    pub timestamp: u64,
    pub correlation_id: Option<Arc<str>>,
    pub causation_id: Option<Arc<str>>,
    pub source: Source,
}

impl Event {
    /// Appends the event object of the protocol.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        write_string(out, &self.id);
        out.extend_from_slice(b",\"topic\":");
        write_string(out, &self.topic);
        out.extend_from_slice(b",\"data\":");
        self.data.write(out);
        out.extend_from_slice(b",\"timestamp\":");
        write_number(out, self.timestamp as f64);
        if let Some(id) = &self.correlation_id {
            out.extend_from_slice(b",\"correlationId\":");
            write_string(out, id);
        }
        if let Some(id) = &self.causation_id {
            out.extend_from_slice(b",\"causationId\":");
            write_string(out, id);
        }
        out.extend_from_slice(b",\"source\":\"");
        out.extend_from_slice(self.source.as_str().as_bytes());
        out.extend_from_slice(b"\"}");
    }

    /// What `meta.*` refers to.
    pub(super) fn meta(&self, name: &str) -> Option<Json> {
        Some(match name {
            "topic" => Json::from(&*self.topic),
            "id" => Json::from(&*self.id),
            "timestamp" => Json::Number(self.timestamp as f64),
            "correlationId" => Json::from(&**self.correlation_id.as_ref()?),
            "source" => Json::from(self.source.as_str()),
            _ => return None,
        })
    }
}

/// An id in the form of the protocol: milliseconds in base 36, `-`, nine random
/// characters of base 36.
pub(super) fn make_id(wall: u64, random: u64) -> Arc<str> {
    let mut text = String::with_capacity(20);
    push_base36(&mut text, wall, 0);
    text.push('-');
    push_base36(&mut text, random % 36u64.pow(9), 9);
    text.into()
}

fn push_base36(out: &mut String, mut value: u64, width: usize) {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // Thirteen digits hold every 64-bit number.
    let mut digits = [b'0'; 13];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        if value == 0 && used >= width.max(1) {
            break;
        }
        *place = DIGITS.get((value % 36) as usize).copied().unwrap_or(b'0');
        value /= 36;
        used += 1;
    }
    let digits = digits.get(digits.len() - used..).unwrap_or_default();
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

/// What one root trigger may still do. Shared by everything it causes, also by
/// what waits for a service and by the changes of records that it makes.
#[derive(Debug)]
pub struct Budget {
    events: AtomicU32,
    steps: AtomicU32,
    warned: AtomicU32,
    /// Of the request, or whatever else set it off.
    work: Work,
}

/// Rule evaluations, actions and loop rounds that one root trigger may cost.
/// Nested loops would otherwise hold up the event loop for minutes.
pub const MAX_STEPS: u32 = 1_000_000;

impl Budget {
    pub(super) fn new(max_events: u32, work: &Work) -> Arc<Budget> {
        Arc::new(Budget {
            events: AtomicU32::new(max_events),
            steps: AtomicU32::new(MAX_STEPS),
            warned: AtomicU32::new(0),
            work: work.clone(),
        })
    }

    fn take(counter: &AtomicU32, amount: u32) -> bool {
        let left = counter.load(Ordering::Relaxed);
        counter.store(left.saturating_sub(amount), Ordering::Relaxed);
        left >= amount
    }

    pub(super) fn take_event(&self) -> bool {
        Self::take(&self.events, 1)
    }

    pub(super) fn take_steps(&self, steps: usize) -> bool {
        let own = Self::take(&self.steps, u32::try_from(steps).unwrap_or(u32::MAX));
        self.work.spend(steps as u64).is_ok() && own
    }

    /// Takes what it costs to make, read or search so many bytes: a step for
    /// each KiB. Otherwise a million steps on large values would hold up the
    /// event loop for hours.
    pub(super) fn take_bytes(&self, bytes: usize) {
        self.take_steps(bytes / 1024);
    }

    /// Takes what it costs to look at so many keys or elements: a fraction of a
    /// step each.
    pub(super) fn take_looks(&self, count: usize) {
        self.take_steps(count / 16);
    }

    #[cfg(test)]
    pub(super) fn steps_left(&self) -> u32 {
        self.steps.load(Ordering::Relaxed)
    }

    /// True the first time it is asked for this kind of warning.
    pub(super) fn warn_once(&self, kind: Warning) -> bool {
        let bit = 1 << kind as u32;
        self.warned.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

/// What a root trigger is warned of once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Warning {
    Events,
    Steps,
}

/// Where something stands in a chain of causes that leads through the outside:
/// a rule has changed a record, whose change is bridged back as an event.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(super) depth: u32,
    pub(super) budget: Arc<Budget>,
    /// The rule that acts.
    pub rule: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_the_protocol() {
        assert_eq!(&*make_id(0, 0), "0-000000000");
        assert_eq!(&*make_id(1_795_385_475_318, 35), "mwse5muu-00000000z");
        let id = make_id(u64::MAX, u64::MAX);
        let (time, random) = id.split_once('-').expect("two parts");
        assert_eq!((time, random.len()), ("3w5e11264sgsf", 9));
    }

    #[test]
    fn absent_members_are_omitted() {
        let mut event = Event {
            id: "e".into(),
            topic: "a\"b".into(),
            data: Arc::new(Json::Object(crate::json::Object::new())),
            timestamp: 7,
            correlation_id: None,
            causation_id: None,
            source: Source::Api,
        };
        let text = |event: &Event| {
            let mut out = Vec::new();
            event.write(&mut out);
            String::from_utf8(out).expect("text")
        };
        let expected = r#"{"id":"e","topic":"a\"b","data":{},"timestamp":7,"source":"api"}"#;
        assert_eq!(text(&event), expected);
        event.correlation_id = Some("c".into());
        event.causation_id = Some("d".into());
        let expected = concat!(
            r#"{"id":"e","topic":"a\"b","data":{},"timestamp":7,"#,
            r#""correlationId":"c","causationId":"d","source":"api"}"#
        );
        assert_eq!(text(&event), expected);
    }

    #[test]
    fn budgets_end() {
        let budget = Budget::new(2, &Work::unlimited());
        assert!(budget.take_event() && budget.take_event() && !budget.take_event());
        assert!(budget.take_steps(MAX_STEPS as usize) && !budget.take_steps(1));
        assert!(budget.warn_once(Warning::Events) && !budget.warn_once(Warning::Events));
        assert!(budget.warn_once(Warning::Steps));
    }
}
