//! Definitions, templates, conditions and the steps over results, without a
//! server.

mod definitions;
mod templates;

use super::*;
use crate::budget::Budget;
use crate::json::parse;

fn json(text: &str) -> Json {
    parse(text, 100).expect("valid JSON").to_json()
}

fn object(text: &str) -> Object {
    json(text).as_object().expect("an object").clone()
}

/// A host without records or facts: every action gives what stands in `gives`.
struct Nothing;

impl Host for Nothing {
    fn act(&mut self, action: &Action, scope: &mut Scope) -> Result<Json, OpError> {
        let given = action.step.get("gives").cloned().unwrap_or_default();
        Ok(json_of(&scope.fill(&given)?).unwrap_or_default())
    }

    fn is_late(&mut self) -> bool {
        false
    }
}

/// `code message` of what a call fails with, or its outcome as JSON.
fn run(steps: &str, input: &str) -> String {
    let supplied = object(&format!(r#"{{"name":"p","steps":{steps}}}"#));
    let limits = Limits::default();
    let definition = Definition::parse(supplied, &limits).expect("a valid definition");
    let input = definition.take_input(Some(json(input))).expect("a valid input");
    let caller = Caller { user_id: Some("u-1".into()), roles: vec!["writer".into()] };
    let budget = Budget::new(1_000_000, 1 << 20);
    let call = Call { definition: &definition, input, caller: &caller, budget: &budget };
    match call.run(&mut Nothing) {
        Ok(Outcome { result, results }) => {
            let mut out = Object::new();
            if let Some(result) = result {
                out.insert("result", result);
            }
            out.insert("results", Json::Object(results));
            Json::Object(out).to_text()
        }
        Err(StepError::Failed { path, error, .. }) => {
            format!("{path} {} {}", error.code.as_str(), error.message)
        }
        Err(StepError::Late) => "late".into(),
    }
}

/// What `return` of a value gives; `undefined` where there is no result.
fn returned(value: &str, input: &str) -> String {
    let gives = r#"{"action":"store.get","bucket":"b","key":"k","as":"r","gives":{"list":[10,{"x":null}],"s":"text","n":-0.0,"o":{"__proto__":1,"a.b":2}}}"#;
    let steps = format!(r#"[{gives},{{"action":"return","value":{value}}}]"#);
    let text = run(&steps, input);
    match text.strip_prefix("{\"result\":").and_then(|rest| rest.split_once(",\"results\":")) {
        Some((result, _)) => result.to_owned(),
        None if text.starts_with("{\"results\":") => "undefined".into(),
        None => text,
    }
}
