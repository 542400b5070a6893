//! Conditions.

use crate::json::{Json, Object};

use super::super::condition::Operator;
use super::super::regexes;
use super::{Check, Text};

impl Check<'_> {
    pub(super) fn conditions(&mut self, conditions: &Json, at: &str) {
        let Json::Array(conditions) = conditions else {
            return self.error(at, "Conditions must be an array");
        };
        for (index, condition) in conditions.iter().enumerate() {
            self.condition(condition, &format!("{at}[{index}]"));
        }
    }

    pub(super) fn condition(&mut self, condition: &Json, at: &str) {
        let Json::Object(condition) = condition else {
            return self.error(at, "Condition must be an object");
        };
        match condition.get("source") {
            None => {
                self.error(format!("{at}.source"), "Condition must have a \"source\" field");
            }
            Some(Json::Object(source)) => self.source(source, &format!("{at}.source.")),
            Some(_) => {
                self.error(format!("{at}.source"), "Condition source must be an object");
            }
        }
        let operator = self.text(
            condition,
            &format!("{at}."),
            Text {
                name: "operator",
                missing: "Condition must have an \"operator\" field",
                not_a_string: "Condition operator must be a string",
                blank: None,
            },
        );
        let Some(operator) = operator else { return };
        if Operator::from_name(operator).is_none() {
            let names: Vec<&str> = Operator::ALL.iter().map(|(name, _)| *name).collect();
            self.error(
                format!("{at}.operator"),
                format!("Invalid operator: {operator}. Valid operators: {}", names.join(", ")),
            );
        }
        let path = || format!("{at}.value");
        match condition.get("value") {
            None if !matches!(operator, "exists" | "not_exists") => {
                self.error(path(), "Condition must have a \"value\" field");
            }
            Some(Json::String(pattern)) if operator == "matches" => {
                let paid = self.budget.spend(regexes::cost(pattern)).is_ok();
                if paid && let Err(reason) = regexes::compile(pattern) {
                    self.warning(path(), format!("Unsupported pattern: {reason}"));
                }
            }
            _ => {}
        }
    }

    fn source(&mut self, source: &Object, at: &str) {
        let Some(kind) = self.text(
            source,
            at,
            Text {
                name: "type",
                missing: "Condition source must have a \"type\" field",
                not_a_string: "Condition source type must be a string",
                blank: None,
            },
        ) else {
            return;
        };
        match kind {
            "fact" => self.source_text(source, at, "Fact", "pattern"),
            "event" => self.source_text(source, at, "Event", "field"),
            "context" => self.source_text(source, at, "Context", "key"),
            "lookup" => {
                self.source_text(source, at, "Lookup", "name");
                if source.get("field").is_some_and(|value| value.as_str().is_none()) {
                    self.error(format!("{at}field"), "Lookup source field must be a string");
                }
            }
            "baseline" => self.baseline(source, at),
            unknown => self.error(
                format!("{at}type"),
                format!(
                    "Invalid source type: {unknown}. \
                     Valid types: event, fact, context, lookup, baseline"
                ),
            ),
        }
    }

    fn source_text(&mut self, source: &Object, at: &str, kind: &str, name: &str) {
        self.text(
            source,
            at,
            Text {
                name,
                missing: &format!("{kind} source must have a \"{name}\" field"),
                not_a_string: &format!("{kind} source {name} must be a string"),
                blank: None,
            },
        );
    }

    fn baseline(&mut self, source: &Object, at: &str) {
        const COMPARISONS: [&str; 5] =
            ["above", "below", "outside", "above_percentile", "below_percentile"];
        self.text(
            source,
            at,
            Text {
                name: "metric",
                missing: "Baseline source must have a \"metric\" field",
                not_a_string: "Baseline source metric must be a string",
                blank: Some("Baseline source metric cannot be empty"),
            },
        );
        let comparison = self.text(
            source,
            at,
            Text {
                name: "comparison",
                missing: "Baseline source must have a \"comparison\" field",
                not_a_string: "Baseline source comparison must be a string",
                blank: None,
            },
        );
        if let Some(comparison) = comparison.filter(|name| !COMPARISONS.contains(name)) {
            let known = COMPARISONS.join(", ");
            self.error(
                format!("{at}comparison"),
                format!("Invalid baseline comparison: {comparison}. Valid comparisons: {known}"),
            );
        }
        if source
            .get("sensitivity")
            .is_some_and(|value| !value.as_number().is_some_and(|number| number > 0.0))
        {
            self.error(
                format!("{at}sensitivity"),
                "Baseline source sensitivity must be a positive number",
            );
        }
    }
}
