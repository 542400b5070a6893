//! The walk over a definition: everything that is wrong with it, in order.

use super::Limits;
use super::parameter::ParameterType;
use super::steps::{AGGREGATES, OPERATORS, RESHAPES};
use crate::json::{Json, Object};
use crate::protocol::OpError;
use crate::store::schema::{MAX_ISSUES, MAX_MESSAGE, MAX_TEXT, shortened};

/// Texts, of which so many are listed.
#[derive(Debug, Default)]
pub(super) struct Issues {
    texts: Vec<String>,
    more: usize,
}

impl Issues {
    pub fn add(&mut self, text: impl AsRef<str>) {
        if self.texts.len() < MAX_ISSUES {
            self.texts.push(shortened(text.as_ref(), MAX_TEXT).into_owned());
        } else {
            self.more += 1;
        }
    }

    /// # Errors
    /// If there are any: `head` and all of them, and as `details.issues`.
    pub fn into_result(mut self, head: &str) -> Result<(), OpError> {
        if self.texts.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.texts.push(format!("and {} more", self.more));
        }
        let message = format!("{head}{}", self.texts.join("; "));
        let issues = self.texts.into_iter().map(Json::from).collect();
        let details: Object = [("issues", Json::Array(issues))].into_iter().collect();
        Err(OpError::validation(shortened(&message, MAX_MESSAGE).into_owned())
            .with_details(Json::Object(details)))
    }
}

/// # Errors
/// `Procedure validation failed: …`
pub(super) fn definition(supplied: &Object, limits: &Limits) -> Result<(), OpError> {
    let mut check = Check { issues: Issues::default(), limits };
    check.definition(supplied);
    check.issues.into_result("Procedure validation failed: ")
}

/// The kinds of checks of a step's members.
#[derive(Clone, Copy)]
enum Member {
    /// A string that is not empty.
    Text(&'static str),
    /// A key: as a text, or a number.
    Key(&'static str),
    Object(&'static str),
    /// Anything, `null` too.
    Value(&'static str),
    /// Only if it is there.
    MaybeText(&'static str),
    MaybeObject(&'static str),
    OneOf(&'static str, &'static [&'static str]),
}

use Member::{Key, MaybeObject, MaybeText, OneOf, Text, Value};

/// What is checked of each action, in this order.
fn members(action: &str, step: &Object) -> Option<Vec<Member>> {
    let objekt = Member::Object;
    Some(match action {
        "store.get" => vec![Text("bucket"), Key("key"), Text("as")],
        "store.where" | "store.findOne" => vec![Text("bucket"), objekt("filter"), Text("as")],
        "store.insert" => vec![Text("bucket"), objekt("data"), MaybeText("as")],
        "store.update" => {
            let data = if step.contains("apply") { MaybeObject("data") } else { objekt("data") };
            vec![
                Text("bucket"),
                Key("key"),
                data,
                MaybeObject("expect"),
                MaybeObject("apply"),
                MaybeText("as"),
            ]
        }
        "store.delete" => vec![Text("bucket"), Key("key"), MaybeObject("expect")],
        "store.count" => vec![Text("bucket"), MaybeObject("filter"), Text("as")],
        "aggregate" => {
            let mut all = vec![Text("source"), Text("as"), OneOf("op", AGGREGATES)];
            if step.get("op").and_then(Json::as_str) != Some("count") {
                all.push(Text("field"));
            }
            all
        }
        "rules.emit" => vec![Text("topic"), MaybeObject("data")],
        "rules.setFact" => vec![Text("key"), Value("value")],
        "rules.getFact" => vec![Text("key"), Text("as")],
        "transform" => {
            vec![Text("source"), Text("as"), OneOf("operation", RESHAPES), Value("args")]
        }
        "return" => vec![Value("value")],
        "store.upsert" => vec![
            Text("bucket"),
            objekt("data"),
            MaybeObject("apply"),
            MaybeObject("onInsert"),
            MaybeText("as"),
        ],
        "store.insertMany" => vec![Text("bucket"), Value("data"), MaybeText("as")],
        "store.updateMany" => vec![
            Text("bucket"),
            objekt("filter"),
            MaybeObject("data"),
            MaybeObject("apply"),
            MaybeText("as"),
        ],
        "store.deleteMany" => vec![Text("bucket"), objekt("filter"), MaybeText("as")],
        "store.find" => vec![Text("bucket"), MaybeObject("filter"), Text("as")],
        "if" => Vec::new(),
        _ => return None,
    })
}

struct Check<'l> {
    issues: Issues,
    limits: &'l Limits,
}

fn is_text(value: Option<&Json>) -> bool {
    value.and_then(Json::as_str).is_some_and(|text| !text.is_empty())
}

impl Check<'_> {
    fn definition(&mut self, supplied: &Object) {
        if !is_text(supplied.get("name")) {
            self.issues.add("Missing or invalid \"name\": expected non-empty string");
        }
        if supplied.get("description").is_some_and(|value| value.as_str().is_none()) {
            self.issues.add("\"description\" must be a string");
        }
        self.input(supplied.get("input"));
        let flag = |name| supplied.get(name).is_some_and(|value| value.as_bool().is_none());
        if flag("transaction") {
            self.issues.add("\"transaction\" must be a boolean");
        }
        let timeout = supplied.get("timeoutMs");
        if timeout.is_some_and(|value| value.as_number().is_none_or(|ms| ms <= 0.0)) {
            self.issues.add("\"timeoutMs\" must be a positive number");
        }
        if flag("asDefiner") {
            self.issues.add("\"asDefiner\" must be a boolean");
        }
        match supplied.get("steps").and_then(Json::as_array) {
            None => self.issues.add("Missing or invalid \"steps\": expected array"),
            Some([]) => self.issues.add("\"steps\" must contain at least one step"),
            Some(steps) => {
                let (count, most) = (count(steps), self.limits.max_steps);
                if count > most {
                    let text = format!("Total step count ({count}) exceeds maximum ({most})");
                    self.issues.add(text);
                }
                self.steps(steps, "steps", 0);
            }
        }
    }

    fn input(&mut self, input: Option<&Json>) {
        let Some(input) = input else { return };
        let Some(parameters) = input.as_object() else {
            return self.issues.add("\"input\" must be an object");
        };
        for (name, parameter) in crate::json::js::js_order(parameters) {
            if parameter.as_object().is_none() {
                self.issues.add(format!("input.{name}: expected field definition object"));
                continue;
            }
            let kind = parameter.get("type").and_then(Json::as_str);
            if kind.and_then(ParameterType::from_name).is_none() {
                self.issues.add(format!(
                    "input.{name}.type: expected one of: string, number, boolean, object, array"
                ));
            }
        }
    }

    fn steps(&mut self, steps: &[Json], path: &str, depth: usize) {
        for (at, step) in steps.iter().enumerate() {
            self.step(step, &format!("{path}[{at}]"), depth);
        }
    }

    fn step(&mut self, step: &Json, path: &str, depth: usize) {
        let Some(step) = step.as_object() else {
            return self.issues.add(format!("{path}: expected step object"));
        };
        let action = step.get("action").and_then(Json::as_str).unwrap_or_default();
        let Some(members) = members(action, step) else {
            return self.issues.add(format!(
                "{path}.action: expected one of: store.get, store.where, store.findOne, store.insert, store.update, store.delete, store.count, aggregate, rules.emit, rules.setFact, rules.getFact, if, transform, return"
            ));
        };
        if action == "if" {
            return self.branch(step, path, depth);
        }
        for member in members {
            self.member(member, step, path);
        }
    }

    fn member(&mut self, member: Member, step: &Object, path: &str) {
        let is_object = |name| step.get(name).is_some_and(|value| value.as_object().is_some());
        let (name, is_good, expected) = match member {
            Text(name) => (name, is_text(step.get(name)), "expected non-empty string"),
            Key(name) => {
                let value = step.get(name);
                let is_number = value.is_some_and(|value| value.as_number().is_some());
                (name, is_number || is_text(value), "expected non-empty string")
            }
            Member::Object(name) => (name, is_object(name), "expected object"),
            Value(name) => (name, step.contains(name), "required"),
            MaybeText(name) => {
                let is_good = !step.contains(name) || is_text(step.get(name));
                (name, is_good, "expected non-empty string")
            }
            MaybeObject(name) => (name, !step.contains(name) || is_object(name), "expected object"),
            OneOf(name, names) => {
                let value = step.get(name).and_then(Json::as_str);
                if !value.is_some_and(|value| names.contains(&value)) {
                    let names = names.join(", ");
                    self.issues.add(format!("{path}.{name}: expected one of: {names}"));
                }
                return;
            }
        };
        if !is_good {
            self.issues.add(format!("{path}.{name}: {expected}"));
        }
    }

    fn branch(&mut self, step: &Object, path: &str, depth: usize) {
        let most = self.limits.max_condition_depth;
        if depth >= most {
            let text = format!("{path}: condition nesting depth exceeds maximum ({most})");
            return self.issues.add(text);
        }
        match step.get("condition").and_then(Json::as_object) {
            None => self.issues.add(format!("{path}.condition: expected object")),
            Some(condition) => {
                if !is_text(condition.get("ref")) {
                    let text = format!("{path}.condition.ref: expected non-empty string");
                    self.issues.add(text);
                }
                let operator = condition.get("operator").and_then(Json::as_str);
                if !operator.is_some_and(|name| OPERATORS.contains(&name)) {
                    let names = OPERATORS.join(", ");
                    let text = format!("{path}.condition.operator: expected one of: {names}");
                    self.issues.add(text);
                }
            }
        }
        for name in ["then", "else"] {
            if name == "else" && !step.contains(name) {
                continue;
            }
            match step.get(name).and_then(Json::as_array) {
                None | Some([]) => {
                    self.issues.add(format!("{path}.{name}: expected non-empty array of steps"));
                }
                Some(steps) => self.steps(steps, &format!("{path}.{name}"), depth + 1),
            }
        }
    }
}

/// Steps of all levels.
fn count(steps: &[Json]) -> usize {
    let mut count = 0usize;
    let mut open = vec![steps];
    while let Some(steps) = open.pop() {
        count = count.saturating_add(steps.len());
        for step in
            steps.iter().filter(|step| step.get("action").and_then(Json::as_str) == Some("if"))
        {
            let branches = ["then", "else"].into_iter();
            open.extend(branches.filter_map(|name| step.get(name)?.as_array()));
        }
    }
    count
}
