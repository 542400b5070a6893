use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern)
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
        .is_match(text, &Budget::unlimited())
}

#[test]
fn expressions_match_as_in_ecmascript() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("b", "abc", true),
        ("^b", "abc", false),
        ("^[A-Z]{2}-\\d{3}$", "AB-123", true),
        ("^[A-Z]{2}-\\d{3}$", "AB-1234", false),
        // ASCII digits and word characters only.
        ("\\d", "\u{661}", false),
        ("\\w", "é", false),
        ("\\s", "\u{a0}", true),
        ("\\s", "\u{feff}", true),
        ("\\s", "\u{85}", false),
        // `$` is the end, not the place before a last line break.
        ("a$", "a\n", false),
        (".", "\n", false),
        (".", "\r", false),
        (".", "\u{2028}", false),
        (".", "\u{85}", true),
        // Code units: a pair is two of them.
        ("^.$", "\u{1f600}", false),
        ("^..$", "\u{1f600}", true),
        ("\u{1f600}", "x\u{1f600}", true),
        ("^[^a]$", "\u{1f600}", false),
        ("\\ud83d\\ude00", "\u{1f600}", true),
        ("^[\u{1f600}]+$", "\u{1f600}", true),
        ("^\\W{2}$", "\u{1f600}", true),
        // The liberties of Annex B.
        ("a{", "a{", true),
        ("a{,5}", "a{,5}", true),
        ("]", "]", true),
        ("}", "}", true),
        ("\\_", "_", true),
        ("\\c", "\\c", true),
        ("\\cA", "\u{1}", true),
        ("[\\c_]", "\u{1f}", true),
        ("\\8", "8", true),
        ("\\1", "\u{1}", true),
        ("\\07", "\u{7}", true),
        ("\\k", "k", true),
        ("\\u{2}", "uu", true),
        ("\\x1", "x1", true),
        ("[\\b]", "\u{8}", true),
        ("[\\d-x]", "-", true),
        ("[a-]", "-", true),
        ("[]", "a", false),
        ("[^]", "\n", true),
        ("(?=a)*b", "b", true),
        // What automata cannot do.
        ("^(?!.*bad).*$", "good", true),
        ("^(?!.*bad).*$", "a bad one", false),
        ("(?<=\\$)\\d+", "$42", true),
        ("(?<!\\$)\\b\\d+", "$42", false),
        ("^(a+)b\\1$", "aabaa", true),
        ("^(a+)b\\1$", "aaba", false),
        ("(?<q>['\"]).*\\k<q>", "'x'", true),
        ("(?<q>['\"]).*\\k<q>", "'x\"", false),
        ("(?:(a)|b)*\\1c", "abc", true),
        ("(?<=(\\d+)(\\d+))$", "1053", true),
        ("\\Bb", "ab", true),
        ("\\Bb", "éb", false),
        ("^\\B$", "", true),
        ("\\B", "aéa", false),
        // Empty rounds end.
        ("(a*)*b\\1", "b", true),
        ("(?:\\1){1000000000}(x)", "x", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "/{pattern}/ on {text:?}");
    }
}

#[test]
fn what_is_no_expression_is_refused() {
    for pattern in [
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "*",
        "a**",
        "+a",
        "?",
        "{1}",
        "a{2,1}",
        "[b-a]",
        "\\",
        "(?",
        "(?a)",
        "(?<n>a)(?<n>b)",
        "(?<n",
        "(?<1>a)",
        "(?<n>a)\\k",
        "(?<n>a)\\k<m>",
        "^*",
        "\\b+",
        "(?<=a)*",
    ] {
        assert!(Pattern::new(pattern).is_err(), "/{pattern}/ was accepted");
    }
    let deep = format!("{}{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Pattern::new(&deep).is_err());
}

#[test]
fn no_pattern_stalls_the_server() {
    let text = "a".repeat(50_000);
    for (pattern, linear) in [
        ("^(a+)+$", true),
        ("^(a|a)*b$", true),
        ("^(?=(a+)+$)(a+)+b", false),
        ("(a*)*\\1b", false),
        ("(?:a{0,30000}){0,30000}b", false),
        ("(((((((a{9}){9}){9}){9}){9}){9}){9})b", false),
    ] {
        let pattern = Pattern::new(pattern).expect(pattern);
        assert_eq!(pattern.is_linear(), linear, "/{}/", pattern.source());
        // With a step limit this is a matter of milliseconds; without, of years.
        pattern.is_match(&text, &Budget::unlimited());
    }
}

/// Expressions built from their grammar; most of them mean something.
fn expression() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        "[ab1_ é-]",
        Just(".".to_owned()),
        Just("\\d".to_owned()),
        Just("\\w".to_owned()),
        Just("\\s".to_owned()),
        Just("\\W".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
        Just("\\b".to_owned()),
        Just("\\B".to_owned()),
        Just("\\1".to_owned()),
        Just("[^a-b]".to_owned()),
        Just("[a\\d-]".to_owned()),
    ];
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            (inner.clone(), "[*+?]|\\{[0-2]\\}|\\{1,3\\}|\\{2,\\}", any::<bool>()).prop_map(
                |(inner, quantifier, lazy)| {
                    format!("(?:{inner}){quantifier}{}", if lazy { "?" } else { "" })
                }
            ),
            inner.clone().prop_map(|inner| format!("({inner})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            ("=|!|<=|<!", inner).prop_map(|(look, inner)| format!("(?{look}{inner})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn agrees_with_another_implementation(pattern in expression(), texts in prop::collection::vec("[ab1_ é\n-]{0,8}", 4)) {
        let ours = Pattern::new(&pattern).expect("well-formed");
        let theirs = regress::Regex::new(&pattern).expect("well-formed");
        for text in texts {
            prop_assert_eq!(ours.is_match(&text, &Budget::unlimited()), theirs.find(&text).is_some(), "/{}/ on {:?}", pattern, text);
        }
    }

    #[test]
    fn both_engines_agree(pattern in expression(), texts in prop::collection::vec("[ab1_ é😀\n-]{0,8}", 4)) {
        let parsed = parse::parse(&pattern).expect("well-formed");
        if let Some(linear) = linear::Linear::new(&parsed.node) {
            let program = program::Program::new(&parsed);
            for text in texts {
                let units: Vec<u16> = text.encode_utf16().collect();
                let (slow, _) = vm::is_match(&program, &units, MAX_STEPS);
                prop_assert_eq!(linear.is_match(&text), slow, "/{}/ on {:?}", pattern, text);
            }
        }
    }

    // The other implementation is more lenient (`\\b*`), so that only what both
    // accept is compared.
    #[test]
    fn agrees_on_any_text_that_is_an_expression(
        pattern in "[()\\[\\]{}*+?|^$.\\\\a-c0-3<>=!:,k -]{0,16}",
        text in "[abc01()-]{0,8}",
    ) {
        if let (Ok(ours), Ok(theirs)) = (Pattern::new(&pattern), regress::Regex::new(&pattern)) {
            let found = theirs.find(&text).is_some();
            prop_assert_eq!(ours.is_match(&text, &Budget::unlimited()), found, "/{}/ on {:?}", pattern, text);
        }
    }
}
