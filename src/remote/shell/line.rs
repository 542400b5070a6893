//! A line as it was typed, and what it asks for.

use crate::json::{self, Json, Object};
use crate::protocol::Operation;
use crate::remote::client::MAX_DEPTH;
use crate::spelling::nearest;

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    Nothing,
    /// A message as it is; `has_id`: it says its own.
    Raw {
        text: String,
        has_id: bool,
    },
    Call {
        operation: Operation,
        fields: Object,
    },
    Watch {
        query: String,
        params: Option<Json>,
    },
    Events {
        pattern: String,
    },
    /// All of them, or this one.
    Unwatch(Option<String>),
    Help(Option<String>),
    Json,
    Quit,
}

/// Words that are no operations.
pub(super) const COMMANDS: [&str; 6] = ["watch", "unwatch", "events", ".help", ".json", ".quit"];

/// A piece of a line.
#[derive(Debug, PartialEq)]
pub(super) struct Word {
    /// Of `name=value`.
    pub name: Option<String>,
    pub value: Json,
    /// Where it begins.
    pub start: usize,
}

impl Word {
    /// The value as text: that of a string, else its JSON.
    fn text(&self) -> String {
        self.value.as_str().map_or_else(|| self.value.to_text(), str::to_owned)
    }
}

/// Understands a line.
///
/// # Errors
///
/// What is wrong with it, for people.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    if line.starts_with('{') {
        return raw(line);
    }
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let words = words(rest)?;
    match verb {
        "watch" => watch(&words),
        "events" => match &*words {
            [pattern] if pattern.name.is_none() => Ok(Line::Events { pattern: pattern.text() }),
            _ => Err("events PATTERN".into()),
        },
        "unwatch" => at_most_one("unwatch [SUBSCRIPTION]", &words).map(Line::Unwatch),
        ".help" => at_most_one(".help [OPERATION]", &words).map(Line::Help),
        ".json" | ".quit" if !words.is_empty() => Err(format!("{verb} takes nothing")),
        ".json" => Ok(Line::Json),
        ".quit" => Ok(Line::Quit),
        _ => call(verb, words),
    }
}

fn raw(line: &str) -> Result<Line, String> {
    let message = json::parse(line, MAX_DEPTH).map_err(|error| not_json(line, &error))?;
    let has_id = message.members().any(|(name, _)| name == "id");
    Ok(Line::Raw { text: line.to_owned(), has_id })
}

fn at_most_one(usage: &str, words: &[Word]) -> Result<Option<String>, String> {
    match words {
        [] => Ok(None),
        [word] if word.name.is_none() => Ok(Some(word.text())),
        _ => Err(usage.to_owned()),
    }
}

fn watch(words: &[Word]) -> Result<Line, String> {
    match words {
        [query] if query.name.is_none() => Ok(Line::Watch { query: query.text(), params: None }),
        [query, params] if query.name.is_none() && params.value.as_object().is_some() => {
            Ok(Line::Watch { query: query.text(), params: Some(params.value.clone()) })
        }
        _ => Err("watch QUERY [{\"PARAMETER\": VALUE}]".into()),
    }
}

/// The operation of a name, in which `store.` may be left out.
pub(super) fn operation(name: &str) -> Option<Operation> {
    Operation::from_name(name).or_else(|| Operation::from_name(&format!("store.{name}")))
}

/// As one types it.
pub(super) fn short(operation: Operation) -> &'static str {
    operation.name().strip_prefix("store.").unwrap_or(operation.name())
}

fn call(verb: &str, words: Vec<Word>) -> Result<Line, String> {
    let Some(operation) = operation(verb) else {
        let known = Operation::ALL.iter().copied().map(short).chain(COMMANDS);
        return Err(match nearest(verb, known) {
            Some(meant) => format!("unknown operation \"{verb}\" (did you mean {meant}?)"),
            None => format!("unknown operation \"{verb}\"; .help lists them"),
        });
    };
    let mut free = operation.fields().iter();
    let mut fields = Object::new();
    let mut is_twice = None;
    for word in words {
        let name = match &word.name {
            Some(name) => name.as_str(),
            None => match free.next() {
                Some(name) => name,
                None => return Err(usage(operation)),
            },
        };
        if fields.insert(name, word.value).is_some() {
            is_twice = Some(name.to_owned());
        }
    }
    match is_twice {
        Some(name) => Err(format!("{name} is given twice")),
        None => Ok(Line::Call { operation, fields }),
    }
}

/// What an operation takes.
pub(super) fn usage(operation: Operation) -> String {
    let fields = operation.fields();
    match fields.is_empty() {
        true => format!("{} takes only FIELD=VALUE", short(operation)),
        false => format!("{} {}, and FIELD=VALUE", short(operation), fields.join(" ")),
    }
}

fn not_json(text: &str, error: &json::JsonError) -> String {
    use json::JsonError::{LoneSurrogate, Syntax};
    match error {
        Syntax { offset, expected } => {
            let before = text.get(..*offset).unwrap_or(text).chars().count();
            format!("not JSON at character {}: expected {expected}", before + 1)
        }
        LoneSurrogate { .. } => "not JSON: half of a surrogate pair".into(),
        other => format!("not JSON: {other}"),
    }
}

/// Takes a line apart.
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(start) = next_start(line, at) {
        let rest = line.get(start..).unwrap_or_default();
        let name = name_of(rest);
        let from = start + name.map_or(0, |name| name.len() + 1);
        let value = line.get(from..).unwrap_or_default();
        let length = length_of_value(value);
        let text = value.get(..length).unwrap_or_default();
        at = from + length;
        let behind = line.get(at..).unwrap_or_default();
        if !behind.is_empty() && !behind.starts_with(char::is_whitespace) {
            return Err(format!("expected a space in front of {behind}"));
        }
        words.push(Word { name: name.map(str::to_owned), value: value_of(text)?, start });
    }
    Ok(words)
}

fn next_start(line: &str, at: usize) -> Option<usize> {
    let rest = line.get(at..)?;
    rest.find(|c: char| !c.is_whitespace()).map(|skip| at + skip)
}

/// The name of `name=value`.
fn name_of(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(name)
}

/// Where the value that `text` begins with ends: JSON with brackets or quotes
/// where they close, everything else at a space.
fn length_of_value(text: &str) -> usize {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut is_escaped = false;
    let is_json = text.starts_with(['{', '[', '"']);
    for (at, c) in text.char_indices() {
        if in_string {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            if !in_string && depth == 0 {
                return at + 1;
            }
            continue;
        }
        match c {
            '"' if is_json => in_string = true,
            '{' | '[' if is_json => depth += 1,
            '}' | ']' if is_json => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            c if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Words that are no JSON are strings, but what begins like it is meant so.
fn value_of(text: &str) -> Result<Json, String> {
    match json::parse(text, MAX_DEPTH) {
        Ok(value) => Ok(value.to_json()),
        Err(error) if text.starts_with(['{', '[', '"']) => Err(not_json(text, &error)),
        Err(_) => Ok(Json::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> (&'static str, String) {
        match parse(line).expect(line) {
            Line::Call { operation, fields } => (operation.name(), Json::Object(fields).to_text()),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn arguments_fill_the_fields_in_order() {
        let is = |line: &str, name: &str, text: &str| {
            assert_eq!(fields(line), (Operation::from_name(name).expect(name).name(), text.into()));
        };
        is("get parts M4", "store.get", r#"{"bucket":"parts","key":"M4"}"#);
        is("store.get parts 7", "store.get", r#"{"bucket":"parts","key":7}"#);
        is(r#"get parts "7""#, "store.get", r#"{"bucket":"parts","key":"7"}"#);
        is("buckets", "store.buckets", "{}");
        is("  stats  ", "store.stats", "{}");
        is(
            r#"insert parts {"sku": "M 4", "tags": ["a } b"]}"#,
            "store.insert",
            r#"{"bucket":"parts","data":{"sku":"M 4","tags":["a } b"]}}"#,
        );
        is(
            r#"find parts {} limit=5 sort={"qty": "desc"}"#,
            "store.find",
            r#"{"bucket":"parts","filter":{},"limit":5,"sort":{"qty":"desc"}}"#,
        );
        is("get bucket=parts key=null", "store.get", r#"{"bucket":"parts","key":null}"#);
        is("rules.setFact a:b true", "rules.setFact", r#"{"key":"a:b","value":true}"#);
        // Quotes make a string of what looks like a name.
        is(r#"get parts "a=b""#, "store.get", r#"{"bucket":"parts","key":"a=b"}"#);
        is("get parts 1=2", "store.get", r#"{"bucket":"parts","key":"1=2"}"#);
        is("get teile ä=ö", "store.get", r#"{"bucket":"teile","key":"ä=ö"}"#);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |line: &str| parse(line).expect_err(line);
        assert_eq!(problem("inser parts {}"), "unknown operation \"inser\" (did you mean insert?)");
        assert_eq!(problem("xyzzyxyzzy"), "unknown operation \"xyzzyxyzzy\"; .help lists them");
        assert_eq!(problem("get a b c"), "get bucket key, and FIELD=VALUE");
        assert_eq!(problem("buckets a"), "buckets takes only FIELD=VALUE");
        assert_eq!(problem("get a bucket=b"), "bucket is given twice");
        assert_eq!(problem("get a {b}"), "not JSON at character 2: expected a member name");
        assert_eq!(problem("get a {\"b\":1}c"), "expected a space in front of c");
        assert_eq!(problem("{\"type\""), "not JSON at character 8: expected \":\"");
        assert_eq!(problem("watch"), "watch QUERY [{\"PARAMETER\": VALUE}]");
        assert_eq!(problem("watch q 5"), "watch QUERY [{\"PARAMETER\": VALUE}]");
        assert_eq!(problem("events"), "events PATTERN");
        assert_eq!(problem(".quit now"), ".quit takes nothing");
    }

    #[test]
    fn commands_and_messages() {
        assert_eq!(parse("   "), Ok(Line::Nothing));
        assert_eq!(parse(".quit"), Ok(Line::Quit));
        assert_eq!(parse(".json"), Ok(Line::Json));
        assert_eq!(parse(".help get"), Ok(Line::Help(Some("get".into()))));
        assert_eq!(parse("unwatch"), Ok(Line::Unwatch(None)));
        assert_eq!(parse("unwatch sub-1"), Ok(Line::Unwatch(Some("sub-1".into()))));
        assert_eq!(parse("events a.*"), Ok(Line::Events { pattern: "a.*".into() }));
        assert_eq!(parse("watch q"), Ok(Line::Watch { query: "q".into(), params: None }));
        let Ok(Line::Watch { params: Some(params), .. }) = parse(r#"watch q {"a": 1}"#) else {
            panic!("watch with parameters")
        };
        assert_eq!(params.to_text(), r#"{"a":1}"#);
        let raw = |text: &str, has_id| Ok(Line::Raw { text: text.to_owned(), has_id });
        assert_eq!(parse(r#" {"type":"x"} "#), raw(r#"{"type":"x"}"#, false));
        assert_eq!(parse(r#"{"id":7,"type":"x"}"#), raw(r#"{"id":7,"type":"x"}"#, true));
    }

    #[test]
    fn any_line_is_taken_apart_or_refused() {
        let pieces = ["get ", "a=", "{", "}", "[", "\"", "\\", "é", " ", "\t", "null", "=", ","];
        let mut seed = 7u64;
        for _ in 0..crate::testing::cases(20_000) {
            let mut line = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                line.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            if let Ok(words) = words(&line) {
                assert!(words.iter().all(|word| line.is_char_boundary(word.start)), "{line}");
            }
            let _ = parse(&line);
        }
    }
}
