use super::*;
use crate::json::DEFAULT_MAX_DEPTH;

fn rejected(text: &str) -> (&'static str, String) {
    let error = parse_message(text, DEFAULT_MAX_DEPTH).expect_err(text).error;
    (error.code.as_str(), error.message.into_owned())
}

fn id(text: &str) -> String {
    match parse_message(text, DEFAULT_MAX_DEPTH) {
        Ok(Incoming::Request(request)) => {
            let mut out = Vec::new();
            request.id.write(&mut out);
            String::from_utf8(out).expect("UTF-8")
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn messages_are_checked_in_the_order_of_the_protocol() {
    let json = ("PARSE_ERROR", "Invalid JSON".to_owned());
    for text in ["", " ", "{", "\u{feff}{}", "{} {}", r#"{"id":1,"type":"a","x":"\ud800"}"#] {
        assert_eq!(rejected(text), json, "{text}");
    }
    for text in ["[]", "1", "null", "\"x\"", "[1,2]"] {
        assert_eq!(rejected(text), ("PARSE_ERROR", "Message must be a JSON object".into()));
    }
    let no_type = ("INVALID_REQUEST", "Message must include non-empty string \"type\"".to_owned());
    for text in ["{}", r#"{"id":5}"#, r#"{"id":5,"type":7}"#, r#"{"id":5,"type":""}"#] {
        assert_eq!(rejected(text), no_type, "{text}");
    }
    for text in [r#"{"type":"pong"}"#, r#"{"type":"pong","timestamp":1e400}"#] {
        let (code, message) = rejected(text);
        assert_eq!(code, "INVALID_REQUEST");
        assert_eq!(message, "Pong must include finite numeric \"timestamp\"");
    }
    for text in [r#"{"type":"x"}"#, r#"{"type":"x","id":"1"}"#, r#"{"type":"x","id":1e400}"#] {
        let (code, message) = rejected(text);
        assert_eq!(code, "INVALID_REQUEST");
        assert_eq!(message, "Request must include finite numeric \"id\"");
    }
}

#[test]
fn ids_are_echoed() {
    for (given, echoed) in [
        ("0", "0"),
        ("-5", "-5"),
        ("1.5", "1.5"),
        ("1e2", "100"),
        ("9007199254740991", "9007199254740991"),
        ("1e21", "1e+21"),
        ("-0", "0"),
        ("7", "7"),
    ] {
        assert_eq!(id(&format!(r#"{{"id":{given},"type":"x"}}"#)), echoed);
    }
}

#[test]
fn every_operation_has_a_family_and_is_found_by_its_name() {
    for &operation in Operation::ALL {
        assert_eq!(Operation::from_name(operation.name()), Some(operation));
        assert!(Family::of(operation.name()).is_some(), "{operation:?}");
    }
    for inherited in ["constructor", "toString", "__proto__", "store", "Store.get", "store."] {
        assert_eq!(Operation::from_name(inherited), None);
    }
}

#[test]
fn half_a_surrogate_pair_is_answered_with_the_id_of_its_request() {
    let depth = 8;
    let rejected = |text: &str| {
        let rejected = parse_message(text, depth).expect_err(text);
        assert_eq!(rejected.error.code, ErrorCode::ParseError, "{text}");
        assert_eq!(rejected.error.message, "Invalid JSON", "{text}");
        let mut out = Vec::new();
        rejected.id.write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    for (text, id) in [
        (r#"{"id":7,"type":"a","x":"\ud800"}"#, "7"),
        (r#"{"type":"a","x":["\udc00",{"\ud800":1}],"id":7.5}"#, "7.5"),
        (r#"{"\ud800\ud800\udc00":1,"id":1,"id":2}"#, "2"),
        (r#"{"id":3,"type":"\udfff"}"#, "3"),
        (r#"{"id":4,"type":"pong","timestamp":1,"x":"\ud800x"}"#, "4"),
        // Not otherwise JSON, not an object, no id of its own.
        (r#"{"id":7,"type":"a","x":"\ud800","y":}"#, "0"),
        (r#"{"id":7,"x":"\ud800"} {}"#, "0"),
        (r#"{"id":7,"x":"\ud800\uzzzz"}"#, "0"),
        (r#"[{"id":7,"x":"\ud800"}]"#, "0"),
        (r#"{"x":{"id":7},"y":"\ud800"}"#, "0"),
        (r#"{"id":"7","y":"\ud800"}"#, "0"),
        (r#"{"id":"\ud800"}"#, "0"),
        (r#"{"id":1e999,"y":"\ud800"}"#, "0"),
        (r#"{"id":7,"x":"\ud800","y":[[[[[[[[]]]]]]]]}"#, "0"),
        (r#"{"id":7,"x":"#, "0"),
    ] {
        assert_eq!(rejected(text), id, "{text}");
    }
}
