//! One text message of a client, against `serde_json` and against the checks of
//! the protocol written down a second time.
//!
//! Where the two parsers are meant to differ: a literal too large for a double
//! is an infinity here and an error there, and the depth is limited elsewhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::json::{Json, JsonError, Raw, parse};
use noexd::protocol::{ErrorCode, Incoming, parse_message};
use serde_json::Value;

/// Below the oracle's own limit of 128.
const DEPTH: u32 = 100;

/// Panics unless both are the same value, members in the same order.
fn same(ours: &Json, theirs: &Value) {
    match (ours, theirs) {
        (Json::Null, Value::Null) => {}
        (Json::Bool(one), Value::Bool(other)) => assert_eq!(one, other),
        (Json::Number(one), Value::Number(other)) => {
            assert_eq!(Some(*one), other.as_f64(), "{other}");
        }
        (Json::String(one), Value::String(other)) => assert_eq!(&**one, other),
        (Json::Array(ones), Value::Array(others)) => {
            assert_eq!(ones.len(), others.len());
            ones.iter().zip(others).for_each(|(one, other)| same(one, other));
        }
        (Json::Object(ones), Value::Object(others)) => {
            assert_eq!(ones.iter().count(), others.len());
            for ((name, one), (other_name, other)) in ones.iter().zip(others) {
                assert_eq!(name, other_name);
                same(one, other);
            }
        }
        _ => panic!("{ours:?} is not {theirs:?}"),
    }
}

/// Whether a literal in there is too large for a double; also one of a member
/// that a later one of the same name replaces.
fn has_infinity(value: Raw<'_>) -> bool {
    value.as_number().is_some_and(f64::is_infinite)
        || value.elements().any(has_infinity)
        || value.members().any(|(_, value)| has_infinity(value))
}

/// Section 3.1 of the protocol over the oracle's value: the code of the error,
/// or the type of the message.
fn verdict(value: &Value) -> Result<&str, ErrorCode> {
    let message = value.as_object().ok_or(ErrorCode::ParseError)?;
    let kind = message.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty());
    let kind = kind.ok_or(ErrorCode::InvalidRequest)?;
    let number = if kind == "pong" { "timestamp" } else { "id" };
    match message.get(number).and_then(Value::as_f64) {
        Some(number) if number.is_finite() => Ok(kind),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fuzz_target!(|text: &str| {
    let ours = parse(text, DEPTH);
    let theirs = serde_json::from_str::<Value>(text);
    let incoming = parse_message(text, DEPTH);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => {
            let ours = ours.to_json();
            same(&ours, theirs);
            // Printing and reading again is the identity.
            let printed = ours.to_text();
            let again = parse(&printed, DEPTH).expect("what was printed is JSON").to_json();
            assert_eq!(again, ours);
            assert_eq!(again.to_text(), printed);
        }
        (Err(JsonError::TooDeep { .. }), _) => {}
        (Ok(ours), Err(error)) => {
            assert!(has_infinity(*ours), "only they refuse it: {error}");
        }
        (Err(error), Ok(_)) => panic!("only we refuse it: {error}"),
        (Err(_), Err(_)) => {}
    }
    match (&incoming, &theirs) {
        (Ok(message), Ok(theirs)) => match (message, verdict(theirs)) {
            (Incoming::Pong { timestamp }, Ok("pong")) => {
                assert_eq!(theirs["timestamp"].as_f64(), Some(*timestamp));
            }
            (Incoming::Request(request), Ok(kind)) => {
                assert_eq!(request.operation, kind);
                let mut id = Vec::new();
                request.id.write(&mut id);
                let id: f64 = std::str::from_utf8(&id).expect("text").parse().expect("a number");
                assert_eq!(theirs["id"].as_f64(), Some(id));
                for (name, value) in theirs.as_object().expect("checked") {
                    same(&request.field(name).expect("a member").to_json(), value);
                }
            }
            (message, verdict) => panic!("{message:?}, but {verdict:?}"),
        },
        (Err(error), Ok(theirs)) if !matches!(ours, Err(JsonError::TooDeep { .. })) => {
            assert_eq!(verdict(theirs), Err(error.error.code), "{}", error.error.message);
        }
        (Err(error), Err(_)) if ours.is_err() => {
            assert_eq!(error.error.code, ErrorCode::ParseError)
        }
        _ => {}
    }
});
