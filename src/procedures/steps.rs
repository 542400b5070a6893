//! Steps, read once from a definition that was checked.

use super::condition::Condition;
use super::reshape::{Aggregate, Reshape};
use crate::json::{Json, Object};

/// In the order of the messages that list them.
pub(super) const AGGREGATES: &[&str] = &["sum", "avg", "min", "max", "count"];
pub(super) const RESHAPES: &[&str] = &["map", "filter", "pick", "pluck"];
pub(super) const OPERATORS: &[&str] =
    &["eq", "neq", "gt", "gte", "lt", "lte", "exists", "not_exists"];

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Where it stands: `steps[2].then[0]`.
    pub path: Box<str>,
    pub does: Does,
}

#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Something outside. With the name under which its result is kept.
    Act {
        action: Action,
        keep: Option<Box<str>>,
    },
    Aggregate {
        aggregate: Aggregate,
        keep: Box<str>,
    },
    Reshape {
        reshape: Reshape,
        keep: Box<str>,
    },
    If {
        condition: Condition,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    Return(Json),
}

/// What is done to records, facts and events. Members with templates are as
/// they were written.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// The name: `store.get`.
    pub name: Box<str>,
    /// Taken literally; empty for actions on no bucket.
    pub bucket: Box<str>,
    /// The step as it was written.
    pub step: Object,
}

impl Step {
    /// The steps of a list.
    pub fn all(steps: &[Json], path: &str) -> Vec<Step> {
        let step = |(at, step): (usize, &Json)| {
            let step = step.as_object()?;
            Some(Step::parse(step, format!("{path}[{at}]")))
        };
        steps.iter().enumerate().filter_map(step).collect()
    }

    fn parse(step: &Object, path: String) -> Step {
        let text = |name: &str| -> Box<str> {
            step.get(name).and_then(Json::as_str).unwrap_or_default().into()
        };
        let list = |name: &str| {
            let steps = step.get(name).and_then(Json::as_array).unwrap_or_default();
            Step::all(steps, &format!("{path}.{name}"))
        };
        let value = |name: &str| step.get(name).cloned().unwrap_or_default();
        let does = match &*text("action") {
            "if" => Does::If {
                condition: Condition::parse(&value("condition")),
                then: list("then"),
                otherwise: list("else"),
            },
            "return" => Does::Return(value("value")),
            "aggregate" => Does::Aggregate {
                aggregate: Aggregate {
                    source: text("source"),
                    op: text("op"),
                    field: text("field"),
                },
                keep: text("as"),
            },
            "transform" => Does::Reshape {
                reshape: Reshape {
                    source: text("source"),
                    operation: text("operation"),
                    args: value("args"),
                },
                keep: text("as"),
            },
            name => {
                let keep = Some(text("as")).filter(|name| !name.is_empty());
                let action =
                    Action { name: name.into(), bucket: text("bucket"), step: step.clone() };
                // What a delete, an event or a fact gives is not kept.
                let gives = !matches!(name, "store.delete" | "rules.emit" | "rules.setFact");
                Does::Act { action, keep: keep.filter(|_| gives) }
            }
        };
        Step { path: path.into(), does }
    }

    /// The action as the messages name it.
    pub fn action(&self) -> &str {
        match &self.does {
            Does::Act { action, .. } => &action.name,
            Does::Aggregate { .. } => "aggregate",
            Does::Reshape { .. } => "transform",
            Does::If { .. } => "if",
            Does::Return(_) => "return",
        }
    }

    /// Whether it may look at many records and changes none.
    pub fn is_scan(&self) -> bool {
        let scans = ["store.where", "store.findOne", "store.count", "store.find"];
        scans.contains(&self.action())
    }

    /// The bucket that it names.
    pub fn bucket(&self) -> Option<&str> {
        match &self.does {
            Does::Act { action, .. } => Some(&*action.bucket).filter(|name| !name.is_empty()),
            _ => None,
        }
    }

    /// The steps inside it.
    pub fn inner(&self) -> impl Iterator<Item = &Step> {
        let (then, otherwise) = match &self.does {
            Does::If { then, otherwise, .. } => (then.as_slice(), otherwise.as_slice()),
            _ => (&[][..], &[][..]),
        };
        then.iter().chain(otherwise)
    }
}
