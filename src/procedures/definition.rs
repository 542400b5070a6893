//! What a procedure is: its definition, checked and read once.

use super::Limits;
use super::parameter::ParameterType;
use super::steps::Step;
use super::validate;
use crate::json::{Json, Object};
use crate::protocol::OpError;

/// A procedure.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// As it was sent: what `procedures.get` shows.
    pub supplied: Object,
    pub name: Box<str>,
    /// `None`: the input is passed on as it is.
    pub input: Option<Vec<Parameter>>,
    pub steps: Vec<Step>,
    pub transaction: bool,
    /// Milliseconds.
    pub timeout_ms: Option<f64>,
    /// Its steps see and change all records, whoever calls.
    pub as_definer: bool,
}

/// One parameter of a procedure.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub name: Box<str>,
    pub kind: ParameterType,
    pub required: bool,
    pub default: Option<Json>,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(supplied: Object, limits: &Limits) -> Result<Definition, OpError> {
        validate::definition(&supplied, limits)?;
        let text = |name: &str| supplied.get(name).and_then(Json::as_str).unwrap_or_default();
        let flag = |name: &str| supplied.get(name).and_then(Json::as_bool).unwrap_or(false);
        let input = supplied.get("input").and_then(Json::as_object).map(|input| {
            let parameter = |(name, definition): (&str, &Json)| Parameter {
                name: name.into(),
                kind: definition
                    .get("type")
                    .and_then(Json::as_str)
                    .and_then(ParameterType::from_name)
                    .unwrap_or(ParameterType::String),
                required: definition.get("required") != Some(&Json::Bool(false)),
                default: definition.get("default").cloned(),
            };
            crate::json::js::js_order(input).into_iter().map(parameter).collect()
        });
        let steps = supplied.get("steps").and_then(Json::as_array).unwrap_or_default();
        Ok(Definition {
            name: text("name").into(),
            input,
            steps: Step::all(steps, "steps"),
            transaction: flag("transaction"),
            timeout_ms: supplied.get("timeoutMs").and_then(Json::as_number),
            as_definer: flag("asDefiner"),
            supplied,
        })
    }

    /// The input of a call, with defaults.
    ///
    /// # Errors
    /// For an input that is no object, or not what the definition asks for.
    pub fn take_input(&self, given: Option<Json>) -> Result<Json, OpError> {
        let mut input = match given {
            None | Some(Json::Null) => Object::new(),
            Some(Json::Object(input)) => input,
            Some(_) => return Err(OpError::validation("Invalid \"input\": expected object")),
        };
        let mut issues = validate::Issues::default();
        for parameter in self.input.iter().flatten() {
            let name = &*parameter.name;
            match input.get(name).filter(|value| !value.is_null()) {
                Some(value) if parameter.kind.accepts(value) => {}
                Some(value) => {
                    let actual = match value {
                        Json::String(_) => "string",
                        Json::Number(_) => "number",
                        Json::Bool(_) => "boolean",
                        Json::Null | Json::Array(_) | Json::Object(_) => "object",
                    };
                    let expected = parameter.kind.as_str();
                    issues.add(format!("Input \"{name}\": expected {expected}, got {actual}"));
                }
                None => match &parameter.default {
                    Some(default) => {
                        input.insert(name, default.clone());
                    }
                    None if parameter.required => {
                        issues.add(format!("Missing required input \"{name}\""));
                    }
                    None => {}
                },
            }
        }
        issues.into_result("Invalid procedure input: ")?;
        Ok(Json::Object(input))
    }

    /// The buckets that its steps name, with their names as written.
    pub fn buckets(&self) -> Vec<&str> {
        let mut buckets = Vec::new();
        let mut open: Vec<&Step> = self.steps.iter().collect();
        while let Some(step) = open.pop() {
            buckets.extend(step.bucket());
            open.extend(step.inner());
        }
        buckets
    }
}
