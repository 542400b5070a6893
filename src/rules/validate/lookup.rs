//! Lookups.

use crate::json::Json;

use super::super::duration::DurationError;
use super::{Check, Text, duration_error, shown};

impl Check<'_> {
    pub(super) fn lookups(&mut self, lookups: &Json) {
        let Json::Array(lookups) = lookups else {
            return self.error("lookups", "Lookups must be an array");
        };
        let mut names = std::collections::HashSet::new();
        for (index, lookup) in lookups.iter().enumerate() {
            let at = format!("lookups[{index}]");
            let Json::Object(lookup) = lookup else {
                self.error(at, "Lookup must be an object");
                continue;
            };
            let at = format!("{at}.");
            let name = self.text(
                lookup,
                &at,
                Text {
                    name: "name",
                    missing: "Lookup must have a \"name\" field",
                    not_a_string: "Lookup name must be a string",
                    blank: Some("Lookup name cannot be empty"),
                },
            );
            if let Some(name) = name
                && !names.insert(name)
            {
                self.error(format!("{at}name"), format!("Duplicate lookup name: {name}"));
            }
            for name in ["service", "method"] {
                let text = self.text(
                    lookup,
                    &at,
                    Text {
                        name,
                        missing: &format!("Lookup must have a \"{name}\" field"),
                        not_a_string: &format!("Lookup {name} must be a string"),
                        blank: Some(&format!("Lookup {name} cannot be empty")),
                    },
                );
                if name == "service" {
                    self.service(text, &at);
                }
            }
            if lookup.get("args").is_some_and(|value| value.as_array().is_none()) {
                self.error(format!("{at}args"), "Lookup args must be an array");
            }
            self.cache(lookup.get("cache"), &at);
            match lookup.get("onError") {
                None => {}
                Some(Json::String(strategy)) if matches!(&**strategy, "skip" | "fail") => {}
                Some(Json::String(strategy)) => self.error(
                    format!("{at}onError"),
                    format!("Invalid onError strategy: {strategy}. Valid strategies: skip, fail"),
                ),
                Some(_) => self.error(format!("{at}onError"), "Lookup onError must be a string"),
            }
        }
    }

    fn cache(&mut self, cache: Option<&Json>, at: &str) {
        let cache = match cache {
            None => return,
            Some(Json::Object(cache)) => cache,
            Some(_) => {
                return self.error(format!("{at}cache"), "Lookup cache must be an object");
            }
        };
        let path = format!("{at}cache.ttl");
        let Some(ttl) = cache.get("ttl") else {
            return self.error(path, "Lookup cache must have a \"ttl\" field");
        };
        match duration_error(ttl) {
            None => {}
            Some(DurationError::NotPositive) => {
                self.error(path, "Lookup cache ttl must be a positive number");
            }
            Some(DurationError::Format) => self.error(
                path,
                format!(
                    "Invalid cache ttl duration: {}. \
                     Use a duration like \"5m\", \"1h\", \"30s\" or milliseconds",
                    shown(Some(ttl))
                ),
            ),
            Some(DurationError::Type) => {
                self.error(path, "Lookup cache ttl must be a string or number");
            }
        }
    }
}
