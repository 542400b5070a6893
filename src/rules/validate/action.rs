//! Actions, nested ones included.

use crate::json::{Json, Object};

use super::super::cron::Cron;
use super::super::duration::{self, DurationError};
use super::{Check, Text, duration_error, shown};

/// Levels of nested actions. Definitions are walked recursively.
const MAX_NESTING: usize = 32;

impl Check<'_> {
    pub(super) fn top_actions(&mut self, actions: &Json) {
        match actions {
            Json::Array(actions) if actions.is_empty() => {
                self.warning("actions", "Rule has no actions");
            }
            Json::Array(actions) => self.each_action(actions, "actions", 1),
            _ => self.error("actions", "Actions must be an array"),
        }
    }

    fn each_action(&mut self, actions: &[Json], at: &str, level: usize) {
        for (index, action) in actions.iter().enumerate() {
            self.action(action, &format!("{at}[{index}]"), level);
        }
    }

    fn action(&mut self, action: &Json, at: &str, level: usize) {
        if level > MAX_NESTING {
            return self.error(at, "Actions are nested too deeply");
        }
        let Json::Object(action) = action else {
            return self.error(at, "Action must be an object");
        };
        let inside = format!("{at}.");
        let Some(kind) = self.text(
            action,
            &inside,
            Text {
                name: "type",
                missing: "Action must have a \"type\" field",
                not_a_string: "Action type must be a string",
                blank: None,
            },
        ) else {
            return;
        };
        match kind {
            "set_fact" => {
                self.action_text(action, &inside, kind, "key");
                if !action.contains("value") {
                    self.error(
                        format!("{inside}value"),
                        "set_fact action must have a \"value\" field",
                    );
                }
            }
            "delete_fact" => self.action_text(action, &inside, kind, "key"),
            "emit_event" => {
                self.action_text(action, &inside, kind, "topic");
                self.action_object(action, &inside, kind, "data");
            }
            "set_timer" => {
                if let Some(timer) = self.action_object(action, &inside, kind, "timer") {
                    self.timer(timer, &format!("{inside}timer."));
                }
            }
            "cancel_timer" => self.action_text(action, &inside, kind, "name"),
            "call_service" => {
                self.action_text(action, &inside, kind, "service");
                self.service(action.get("service").and_then(Json::as_str), &inside);
                self.action_text(action, &inside, kind, "method");
                if action.get("args").is_some_and(|value| value.as_array().is_none()) {
                    self.error(
                        format!("{inside}args"),
                        "call_service action args must be an array",
                    );
                }
            }
            "log" => self.log(action, &inside),
            "conditional" => self.conditional(action, &inside, level),
            "for_each" => self.for_each(action, &inside, level),
            "try_catch" => self.try_catch(action, at, level),
            unknown => self.error(
                format!("{inside}type"),
                format!(
                    "Invalid action type: {unknown}. Valid types: set_fact, delete_fact, \
                     emit_event, set_timer, cancel_timer, call_service, log, conditional, \
                     for_each, try_catch"
                ),
            ),
        }
    }

    fn action_text(&mut self, action: &Object, at: &str, kind: &str, name: &str) {
        self.text(
            action,
            at,
            Text {
                name,
                missing: &format!("{kind} action must have a \"{name}\" field"),
                not_a_string: &format!("{kind} action {name} must be a string"),
                blank: None,
            },
        );
    }

    fn action_object<'j>(
        &mut self,
        action: &'j Object,
        at: &str,
        kind: &str,
        name: &str,
    ) -> Option<&'j Object> {
        match action.get(name) {
            None => self.error(
                format!("{at}{name}"),
                format!("{kind} action must have a \"{name}\" field"),
            ),
            Some(Json::Object(object)) => return Some(object),
            Some(_) => {
                self.error(format!("{at}{name}"), format!("{kind} action {name} must be an object"))
            }
        }
        None
    }

    fn timer(&mut self, timer: &Object, at: &str) {
        self.text(
            timer,
            at,
            Text {
                name: "name",
                missing: "Timer must have a \"name\" field",
                not_a_string: "Timer name must be a string",
                blank: None,
            },
        );
        let cron = timer.get("cron").and_then(Json::as_str);
        match timer.get("duration") {
            None if cron.is_none() => {
                self.error(format!("{at}duration"), "Timer must have a \"duration\" field");
            }
            None => {}
            Some(duration) => {
                if let Some(error) = duration_error(duration) {
                    self.timer_duration(error, Some(duration), format!("{at}duration"));
                }
            }
        }
        if let Some(cron) = cron
            && Cron::parse(cron).is_none()
        {
            self.error(format!("{at}cron"), format!("Invalid cron expression: {cron}"));
        }
        match timer.get("onExpire") {
            None => self.error(format!("{at}onExpire"), "Timer must have an \"onExpire\" field"),
            Some(Json::Object(expire)) => {
                for name in ["topic", "data"] {
                    if !expire.contains(name) {
                        self.error(
                            format!("{at}onExpire.{name}"),
                            format!("Timer onExpire must have a \"{name}\" field"),
                        );
                    }
                }
            }
            Some(_) => self.error(format!("{at}onExpire"), "Timer onExpire must be an object"),
        }
        if let Some(repeat) = timer.get("repeat").filter(|repeat| !repeat.is_null()) {
            let interval = repeat.get("interval");
            let error = match interval.map(duration::parse) {
                None => Some(DurationError::Format),
                Some(Ok(0)) => Some(DurationError::NotPositive),
                Some(parsed) => parsed.err(),
            };
            // Anything else than a string or a number is a format nobody knows.
            let error = error.map(|error| match error {
                DurationError::Type => DurationError::Format,
                other => other,
            });
            if let Some(error) = error {
                self.timer_duration(error, interval, format!("{at}repeat.interval"));
            }
        }
    }

    fn timer_duration(&mut self, error: DurationError, value: Option<&Json>, path: String) {
        match error {
            DurationError::Format => {
                self.error(path, format!("Invalid duration format: {}", shown(value)));
            }
            DurationError::NotPositive => self.error(path, "Timer duration must be positive"),
            DurationError::Type => self.error(path, "Timer duration must be a string or number"),
        }
    }

    fn log(&mut self, action: &Object, at: &str) {
        match action.get("level") {
            None => self.error(format!("{at}level"), "log action must have a \"level\" field"),
            Some(Json::String(level)) if ["debug", "info", "warn", "error"].contains(&&**level) => {
            }
            other => self.error(
                format!("{at}level"),
                format!(
                    "Invalid log level: {}. Valid levels: debug, info, warn, error",
                    shown(other)
                ),
            ),
        }
        self.action_text(action, at, "log", "message");
    }

    /// A list that must be there and must have elements.
    fn required_list<'j>(
        &mut self,
        object: &'j Object,
        at: &str,
        speaker: &str,
        name: &str,
    ) -> Option<&'j [Json]> {
        let article = if name == "actions" { "an" } else { "a" };
        let path = format!("{at}{name}");
        match object.get(name) {
            None => self.error(path, format!("{speaker} must have {article} \"{name}\" field")),
            Some(Json::Array(list)) if list.is_empty() => {
                self.error(path, format!("{speaker} {name} must not be empty"));
            }
            Some(Json::Array(list)) => return Some(list),
            Some(_) => self.error(path, format!("{speaker} {name} must be an array")),
        }
        None
    }

    /// A list that may be absent.
    fn optional_actions(
        &mut self,
        object: &Object,
        at: &str,
        kind: &str,
        name: &str,
        level: usize,
    ) {
        let path = format!("{at}{name}");
        match object.get(name) {
            None => {}
            Some(Json::Array(list)) if list.is_empty() => {
                self.warning(path, format!("{kind} action {name} is empty"));
            }
            Some(Json::Array(list)) => self.each_action(list, &path, level),
            Some(_) => self.error(path, format!("{kind} action {name} must be an array")),
        }
    }

    fn conditional(&mut self, action: &Object, at: &str, level: usize) {
        const KIND: &str = "conditional action";
        if let Some(conditions) = self.required_list(action, at, KIND, "conditions") {
            for (index, condition) in conditions.iter().enumerate() {
                self.condition(condition, &format!("{at}conditions[{index}]"));
            }
        }
        if let Some(then) = self.required_list(action, at, KIND, "then") {
            self.each_action(then, &format!("{at}then"), level + 1);
        }
        self.optional_actions(action, at, "conditional", "else", level + 1);
    }

    fn for_each(&mut self, action: &Object, at: &str, level: usize) {
        if !action.contains("collection") {
            self.error(
                format!("{at}collection"),
                "for_each action must have a \"collection\" field",
            );
        }
        self.text(
            action,
            at,
            Text {
                name: "as",
                missing: "for_each action must have an \"as\" field",
                not_a_string: "for_each action as must be a string",
                blank: None,
            },
        );
        match action.get("actions") {
            None => {
                self.error(format!("{at}actions"), "for_each action must have an \"actions\" field")
            }
            Some(Json::Array(list)) => {
                self.each_action(list, &format!("{at}actions"), level + 1);
            }
            Some(_) => {
                self.error(format!("{at}actions"), "for_each action actions must be an array");
            }
        }
        let positive = |number: f64| number >= 1.0 && number.fract() == 0.0;
        if action.get("maxIterations").is_some_and(|value| !value.as_number().is_some_and(positive))
        {
            self.error(
                format!("{at}maxIterations"),
                "for_each action maxIterations must be a positive integer",
            );
        }
    }

    fn try_catch(&mut self, action: &Object, at: &str, level: usize) {
        let inside = format!("{at}.");
        if let Some(list) = self.required_list(action, &inside, "try_catch action", "try") {
            self.each_action(list, &format!("{inside}try"), level + 1);
        }
        if !action.contains("catch") && !action.contains("finally") {
            self.error(at, "try_catch action must have at least \"catch\" or \"finally\"");
        }
        match action.get("catch") {
            None => {}
            Some(Json::Object(catch)) => {
                let at = format!("{inside}catch.");
                if let Some(list) = self.required_list(catch, &at, "try_catch catch", "actions") {
                    self.each_action(list, &format!("{at}actions"), level + 1);
                }
                if catch.get("as").is_some_and(|value| value.as_str().is_none()) {
                    self.error(format!("{at}as"), "try_catch catch as must be a string");
                }
            }
            Some(_) => {
                self.error(format!("{inside}catch"), "try_catch action catch must be an object");
            }
        }
        self.optional_actions(action, &inside, "try_catch", "finally", level + 1);
    }
}
