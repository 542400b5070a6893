//! Triggers and temporal patterns.

use crate::json::{Json, Object};
use crate::protocol::bounds;

use super::super::duration::DurationError;
use super::{Check, Text, duration_error, shown};

impl Check<'_> {
    pub(super) fn trigger(&mut self, trigger: &Json) {
        let Json::Object(trigger) = trigger else {
            return self.error("trigger", "Trigger must be an object");
        };
        let Some(kind) = self.text(
            trigger,
            "trigger.",
            Text {
                name: "type",
                missing: "Trigger must have a \"type\" field",
                not_a_string: "Trigger type must be a string",
                blank: None,
            },
        ) else {
            return;
        };
        match kind {
            "event" => self.trigger_text(trigger, "topic", "Event"),
            "fact" => self.trigger_text(trigger, "pattern", "Fact"),
            "timer" => self.trigger_text(trigger, "name", "Timer"),
            "temporal" => match trigger.get("pattern") {
                None => {
                    self.error("trigger.pattern", "Temporal trigger must have a \"pattern\" field")
                }
                Some(pattern) => self.temporal(pattern),
            },
            unknown => self.error(
                "trigger.type",
                format!(
                    "Invalid trigger type: {unknown}. Valid types: event, fact, timer, temporal"
                ),
            ),
        }
    }

    fn trigger_text(&mut self, trigger: &Object, name: &str, kind: &str) {
        let text = self.text(
            trigger,
            "trigger.",
            Text {
                name,
                missing: &format!("{kind} trigger must have a \"{name}\" field"),
                not_a_string: &format!("{kind} trigger {name} must be a string"),
                blank: Some(&format!("{kind} trigger {name} cannot be empty")),
            },
        );
        let separator = if name == "topic" { '.' } else { ':' };
        if text.is_some_and(|text| bounds::is_long_topic(text, separator)) {
            self.error(format!("trigger.{name}"), bounds::long_topic(name));
        }
    }

    fn temporal(&mut self, pattern: &Json) {
        const AT: &str = "trigger.pattern.";
        let Json::Object(pattern) = pattern else {
            return self.error("trigger.pattern", "Temporal pattern must be an object");
        };
        let Some(kind) = self.text(
            pattern,
            AT,
            Text {
                name: "type",
                missing: "Temporal pattern must have a \"type\" field",
                not_a_string: "Temporal pattern type must be a string",
                blank: None,
            },
        ) else {
            return;
        };
        match kind {
            "sequence" => self.sequence(pattern),
            "absence" => {
                for name in ["after", "expected"] {
                    match pattern.get(name) {
                        None => self.error(
                            format!("{AT}{name}"),
                            format!("Absence pattern must have an \"{name}\" field"),
                        ),
                        Some(matcher) => self.matcher(matcher, &format!("{AT}{name}")),
                    }
                }
                self.window(pattern, "within");
            }
            "count" => {
                self.counted_event(pattern, "Count");
                match pattern.get("threshold") {
                    None => self.error(
                        format!("{AT}threshold"),
                        "Count pattern must have a \"threshold\" field",
                    ),
                    Some(Json::Number(number)) if *number >= 1.0 => {}
                    Some(_) => self.error(
                        format!("{AT}threshold"),
                        "Count pattern threshold must be a positive number",
                    ),
                }
                self.comparison(pattern);
                self.window(pattern, "window");
            }
            "aggregate" => self.aggregate(pattern),
            unknown => {
                return self.error(
                    format!("{AT}type"),
                    format!(
                        "Invalid temporal pattern type: {unknown}. Valid types: \
                         sequence, absence, count, aggregate"
                    ),
                );
            }
        }
        if pattern.get("groupBy").is_some_and(|value| value.as_str().is_none()) {
            self.error(format!("{AT}groupBy"), "Field \"groupBy\" must be a string");
        }
        let flag = match kind {
            "sequence" => "strict",
            "count" | "aggregate" => "sliding",
            _ => return,
        };
        if pattern.get(flag).is_some_and(|value| value.as_bool().is_none()) {
            self.error(format!("{AT}{flag}"), format!("Field \"{flag}\" must be a boolean"));
        }
    }

    fn sequence(&mut self, pattern: &Object) {
        const AT: &str = "trigger.pattern.events";
        match pattern.get("events") {
            None => self.error(AT, "Sequence pattern must have an \"events\" field"),
            Some(Json::Array(events)) => {
                if events.len() < 2 {
                    self.error(AT, "Sequence pattern must have at least 2 events");
                }
                for (at, matcher) in events.iter().enumerate() {
                    self.matcher(matcher, &format!("{AT}[{at}]"));
                }
            }
            Some(_) => self.error(AT, "Sequence pattern events must be an array"),
        }
        self.window(pattern, "within");
    }

    fn counted_event(&mut self, pattern: &Object, kind: &str) {
        match pattern.get("event") {
            None => self.error(
                "trigger.pattern.event",
                format!("{kind} pattern must have an \"event\" field"),
            ),
            Some(matcher) => self.matcher(matcher, "trigger.pattern.event"),
        }
    }

    fn aggregate(&mut self, pattern: &Object) {
        const AT: &str = "trigger.pattern.";
        self.counted_event(pattern, "Aggregate");
        self.text(
            pattern,
            AT,
            Text {
                name: "field",
                missing: "Aggregate pattern must have a \"field\" field",
                not_a_string: "Aggregate pattern field must be a string",
                blank: None,
            },
        );
        match pattern.get("function") {
            None => self
                .error(format!("{AT}function"), "Aggregate pattern must have a \"function\" field"),
            Some(Json::String(name))
                if ["sum", "avg", "min", "max", "count"].contains(&&**name) => {}
            other => self.error(
                format!("{AT}function"),
                format!(
                    "Invalid aggregate function: {}. Valid values: sum, avg, min, max, count",
                    shown(other)
                ),
            ),
        }
        match pattern.get("threshold") {
            None => self.error(
                format!("{AT}threshold"),
                "Aggregate pattern must have a \"threshold\" field",
            ),
            Some(Json::Number(_)) => {}
            Some(_) => {
                self.error(format!("{AT}threshold"), "Aggregate pattern threshold must be a number")
            }
        }
        self.comparison(pattern);
        self.window(pattern, "window");
    }

    fn comparison(&mut self, pattern: &Object) {
        let Some(comparison) = pattern.get("comparison") else { return };
        if !comparison.as_str().is_some_and(|name| ["gte", "lte", "eq"].contains(&name)) {
            self.error(
                "trigger.pattern.comparison",
                format!(
                    "Invalid comparison: {}. Valid values: gte, lte, eq",
                    shown(Some(comparison))
                ),
            );
        }
    }

    fn window(&mut self, pattern: &Object, name: &str) {
        let path = format!("trigger.pattern.{name}");
        let Some(value) = pattern.get(name) else {
            return self.error(path, format!("Field \"{name}\" is required"));
        };
        match duration_error(value) {
            None => {}
            Some(DurationError::Format) => self.error(
                path,
                format!(
                    "Invalid duration format: {}. Use formats like \"5m\", \"1h\", \"7d\"",
                    shown(Some(value))
                ),
            ),
            Some(DurationError::NotPositive) => self.error(path, "Duration must be positive"),
            Some(DurationError::Type) => self.error(
                path,
                format!(
                    "Field \"{name}\" must be a string (e.g., \"5m\") or number (milliseconds)"
                ),
            ),
        }
    }

    fn matcher(&mut self, matcher: &Json, at: &str) {
        let Json::Object(matcher) = matcher else {
            return self.error(at, "Event matcher must be an object");
        };
        let inside = format!("{at}.");
        self.text(
            matcher,
            &inside,
            Text {
                name: "topic",
                missing: "Event matcher must have a \"topic\" field",
                not_a_string: "Event matcher topic must be a string",
                blank: None,
            },
        );
        if matcher.get("as").is_some_and(|value| value.as_str().is_none()) {
            self.error(format!("{inside}as"), "Event matcher alias must be a string");
        }
        if matcher.get("filter").is_some_and(|value| value.as_object().is_none()) {
            self.error(format!("{inside}filter"), "Event matcher filter must be an object");
        }
    }
}
