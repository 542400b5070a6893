use super::Definition;
use crate::json::{Json, parse};

fn refusal(definition: &str) -> String {
    match parse(definition, 64).expect("valid JSON").to_json() {
        Json::Object(supplied) => {
            let error = Definition::parse("b", supplied).expect_err(definition);
            error.into_error("b").message.into_owned()
        }
        other => panic!("not an object: {other}"),
    }
}

#[test]
fn the_checks_of_the_protocol_come_in_its_order_and_before_all_others() {
    let broken =
        r#""f":{"type":"text","onDelete":"set_null","required":true},"id":{"type":"string"}"#;
    assert_eq!(
        refusal(&format!(r#"{{"key":"k","schema":{{{broken}}},"indexes":["i"],"ttl":"x"}}"#)),
        "Key field \"k\" does not exist in schema for bucket \"b\""
    );
    assert_eq!(
        refusal(&format!(r#"{{"key":"id","schema":{{{broken}}},"indexes":["id",5],"ttl":"x"}}"#)),
        "Index field \"5\" does not exist in schema for bucket \"b\""
    );
    assert_eq!(
        refusal(&format!(r#"{{"key":"id","schema":{{{broken}}},"ttl":"x"}}"#)),
        "Invalid schema for bucket \"b\": field \"f\" has onDelete \"set_null\" but is required"
    );
    let unknown_type = r#""f":{"type":"text"},"id":{"type":"string"}"#;
    assert_eq!(
        refusal(&format!(r#"{{"key":"id","schema":{{{unknown_type}}},"ttl":0}}"#)),
        "TTL must be a positive finite number, got 0"
    );
    assert!(
        refusal(&format!(r#"{{"key":"id","schema":{{{unknown_type}}}}}"#))
            .starts_with("Invalid schema for bucket \"b\": schema.f.type: unknown type \"text\"")
    );
}

#[test]
fn an_index_is_named_by_a_string_even_if_a_field_is_called_alike() {
    assert_eq!(
        refusal(r#"{"key":"5","schema":{"5":{"type":"string"}},"indexes":[5]}"#),
        "Invalid schema for bucket \"b\": indexes[0]: expected a field name, got number"
    );
}

#[test]
fn auto_with_the_name_of_a_generator_is_read_as_generated() {
    let schema = |text: &str| parse(text, 64).expect("valid JSON").to_json();
    let fields = r#"{"id":{"type":"string","auto":"uuid"},"n":{"type":"number","auto":"counter"},
        "t":{"type":"number","auto":"uuid","generated":"timestamp"}}"#;
    let supplied = schema(&format!(r#"{{"key":"id","schema":{fields}}}"#));
    let supplied = supplied.as_object().expect("an object").clone();
    let definition = Definition::parse("b", supplied).expect("accepted");
    let generated = |name: &str| definition.field(name).and_then(|field| field.generated);
    assert_eq!(generated("id"), Some(super::Generated::Uuid));
    assert_eq!(generated("n"), None, "no generator");
    assert_eq!(generated("t"), Some(super::Generated::Timestamp));
    assert_eq!(
        super::warnings(&schema(fields)),
        ["field \"id\": \"auto\" is read as \"generated\""]
    );
}
