use proptest::prelude::*;

use super::*;

fn text(source: &str) -> String {
    parse(source, DEFAULT_MAX_DEPTH).expect(source).to_json().to_text()
}

#[test]
fn numbers_print_as_javascript_prints_them() {
    for (source, printed) in [
        ("0", "0"),
        ("-0", "0"),
        ("5.0", "5"),
        ("1e2", "100"),
        ("0.1", "0.1"),
        ("1.5e-7", "1.5e-7"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("-1.25e+22", "-1.25e+22"),
        ("123456789012345680000", "123456789012345680000"),
        ("9007199254740993", "9007199254740992"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("123456789.125", "123456789.125"),
        ("1e400", "null"),
        ("-1e400", "null"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ] {
        assert_eq!(text(source), printed, "{source}");
    }
}

#[test]
fn infinities_are_numbers_and_survive_storage() {
    let json = parse("[1e400,-1e400]", 8).expect("valid").to_json();
    assert!(json.has_non_finite());
    let mut stored = Vec::new();
    json.write_lossless(&mut stored);
    let stored = String::from_utf8(stored).expect("UTF-8");
    assert_eq!(stored, "[1e999,-1e999]");
    assert_eq!(parse(&stored, 8).expect("valid").to_json(), json);
}

#[test]
fn strings_are_decoded_and_printed_with_the_fewest_escapes() {
    for (source, printed) in [
        (r#""a\/b""#, r#""a/b""#),
        (r#""\u0041\u00e9""#, "\"Aé\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""\u0000\u001f\b\f\n\r\t""#, r#""\u0000\u001f\b\f\n\r\t""#),
        (r#""\"\\""#, r#""\"\\""#),
        ("\"\u{2028}\"", "\"\u{2028}\""),
    ] {
        assert_eq!(text(source), printed, "{source}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for source in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{,}",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "nul",
        "truex",
        "\"",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "[1] 2",
        "\u{feff}{}",
        "'a'",
        "NaN",
        "Infinity",
        "[1 2]",
        "{\"a\" 1}",
    ] {
        assert!(
            matches!(parse(source, 8), Err(JsonError::Syntax { .. })),
            "{source:?} was accepted"
        );
    }
    for source in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
        assert!(matches!(parse(source, 8), Err(JsonError::LoneSurrogate { .. })), "{source}");
    }
}

#[test]
fn depth_is_bounded_without_using_the_stack() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&nested(128), 128).is_ok());
    assert_eq!(parse(&nested(129), 128).err(), Some(JsonError::TooDeep { max: 128 }));
    assert_eq!(parse(&"[".repeat(1_000_000), 128).err(), Some(JsonError::TooDeep { max: 128 }));
    // The message object is level 1.
    let message = |levels: usize| format!("{{\"a\":{}}}", nested(levels));
    assert!(parse_fields(&message(127), 128).is_ok());
    assert_eq!(parse_fields(&message(128), 128).err(), Some(JsonError::TooDeep { max: 128 }));
}

#[test]
fn the_last_of_two_equal_members_wins_at_the_place_of_the_first() {
    assert_eq!(text(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    let fields = parse_fields(r#"{"a":1,"\u0061":{"x":[]}}"#, 8).expect("valid");
    assert_eq!(fields.get("a").map(Raw::text), Some(r#"{"x":[]}"#));
    assert_eq!(
        parse_strict(r#"{"x":{"a":1,"a":2}}"#, 8),
        Err(JsonError::DuplicateKey { offset: 16, key: "a".into() })
    );
}

#[test]
fn members_and_elements_are_found_in_text_with_white_space() {
    let raw = parse(" { \"a\" : [ 1 , \"x,]\\\"\" , { } ] , \"b\":null } ", 8).expect("valid");
    let names: Vec<_> = raw.members().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["a", "b"]);
    let elements: Vec<_> =
        raw.get("a").expect("a").elements().map(|element| element.text().to_owned()).collect();
    assert_eq!(elements, ["1", r#""x,]\"""#, "{ }"]);
}

#[test]
fn large_objects_find_their_members() {
    let mut object: Object =
        (0..1000).map(|n| (format!("k{n}"), Json::from(f64::from(n)))).collect();
    assert_eq!(object.get("k999"), Some(&Json::Number(999.0)));
    assert_eq!(object.remove("k500"), Some(Json::Number(500.0)));
    assert_eq!(object.get("k999"), Some(&Json::Number(999.0)));
    assert_eq!(object.insert("k0", Json::Null), Some(Json::Number(0.0)));
    assert_eq!(object.keys().next(), Some("k0"));
    object.retain(|name, _| name == "k7");
    assert_eq!(object.len(), 1);
    assert!(object.get("k8").is_none());
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".*", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_another_library_writes_and_the_other_way_round(value in tree()) {
        for source in [value.to_string(), serde_json::to_string_pretty(&value).expect("printable")] {
            let ours = parse(&source, 128).expect("valid").to_json();
            prop_assert_eq!(&ours, &Json::from(value.clone()));
            // Our text reads back equal, here and there.
            let printed = ours.to_text();
            prop_assert_eq!(&parse(&printed, 128).expect("valid").to_json(), &ours);
            let theirs: serde_json::Value = serde_json::from_str(&printed).expect("valid");
            prop_assert_eq!(&Json::from(theirs), &ours);
        }
    }

    #[test]
    fn agrees_on_what_is_json(source in "[\\[\\]{}\",:0-9eE.+\\-a\\\\u ntrue]{0,24}") {
        let theirs = serde_json::from_str::<serde_json::Value>(&source);
        match parse(&source, 128) {
            Ok(_) => prop_assert!(
                theirs.is_ok() || theirs.is_err_and(|e| e.to_string().contains("out of range"))
            ),
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }
}
