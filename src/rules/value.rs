//! Small operations on values: paths, text form, size.

use std::borrow::Cow;

use crate::json::{Json, number_text};

/// A dotted path into a value, split once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Box<[Box<str>]>);

impl Path {
    /// The empty text is the path to a member named `""`.
    pub(super) fn parse(text: &str) -> Path {
        Path(text.split('.').map(Box::from).collect())
    }

    /// As it was parsed.
    pub(super) fn text(&self) -> String {
        self.0.join(".")
    }

    /// The first segment.
    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", |segment| segment)
    }

    /// Own members by name, elements by decimal index, `length` of arrays.
    /// `None`: missing, which is not the same as `null`.
    pub(super) fn find<'v>(&self, value: &'v Json) -> Option<Cow<'v, Json>> {
        let mut at = value;
        for (number, segment) in self.0.iter().enumerate() {
            at = match at {
                Json::Object(object) => object.get(segment)?,
                Json::Array(elements) => match element(elements, segment) {
                    Some(element) => element,
                    None if &**segment == "length" && number + 1 == self.0.len() => {
                        return Some(Cow::Owned(Json::Number(elements.len() as f64)));
                    }
                    None => return None,
                },
                _ => return None,
            };
        }
        Some(Cow::Borrowed(at))
    }
}

fn element<'v>(elements: &'v [Json], index: &str) -> Option<&'v Json> {
    // `01` and `+1` name no element.
    let canonical = index == "0" || (!index.starts_with('0') && !index.starts_with('+'));
    index.parse::<usize>().ok().filter(|_| canonical).and_then(|index| elements.get(index))
}

/// The text a value has inside an interpolated string. Missing and `null` are
/// empty; arrays of scalars are joined with commas as in JavaScript; objects
/// and whatever contains one are compact JSON.
pub(super) fn text_of(value: Option<&Json>) -> Cow<'_, str> {
    match value {
        None | Some(Json::Null) => Cow::Borrowed(""),
        Some(Json::Bool(true)) => Cow::Borrowed("true"),
        Some(Json::Bool(false)) => Cow::Borrowed("false"),
        Some(Json::Number(number)) => Cow::Owned(number_text(*number)),
        Some(Json::String(text)) => Cow::Borrowed(text),
        Some(Json::Array(elements)) if elements.iter().any(has_object) => {
            Cow::Owned(Json::to_text(value.unwrap_or(&Json::Null)))
        }
        Some(Json::Array(elements)) => {
            let mut joined = String::new();
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    joined.push(',');
                }
                joined.push_str(&text_of(Some(element)));
            }
            Cow::Owned(joined)
        }
        Some(object @ Json::Object(_)) => Cow::Owned(object.to_text()),
    }
}

fn has_object(value: &Json) -> bool {
    match value {
        Json::Object(_) => true,
        Json::Array(elements) => elements.iter().any(has_object),
        _ => false,
    }
}

/// JavaScript's name for the type of a value.
pub(super) fn type_name(value: Option<&Json>) -> &'static str {
    match value {
        None => "undefined",
        Some(Json::Bool(_)) => "boolean",
        Some(Json::Number(_)) => "number",
        Some(Json::String(_)) => "string",
        Some(Json::Null | Json::Array(_) | Json::Object(_)) => "object",
    }
}

/// Blank as JavaScript's `trim` sees it.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|character| match character {
        '\u{feff}' => true,
        // Unicode calls this white space, JavaScript does not.
        '\u{85}' => false,
        _ => character.is_whitespace(),
    })
}

/// Values that rules make may be this large as text, and this deep. Without a
/// bound a rule that wraps its own trigger data would double it at every turn.
pub(super) const MAX_VALUE_BYTES: usize = 1 << 20;
pub(super) const MAX_VALUE_DEPTH: usize = 128;

/// What a value costs, checked against the bounds while it is counted, so that
/// the work is bounded too.
#[derive(Debug)]
pub(super) struct Measure {
    left: usize,
}

impl Measure {
    pub(super) fn new() -> Self {
        Measure { left: MAX_VALUE_BYTES }
    }

    /// Bytes counted so far.
    pub(super) fn taken(&self) -> usize {
        MAX_VALUE_BYTES - self.left
    }

    /// Counts one more value that lies `depth` levels deep.
    pub(super) fn add(&mut self, value: &Json, depth: usize) -> Result<(), String> {
        let mut cost = 2;
        if depth > MAX_VALUE_DEPTH {
            return Err(format!("value is nested too deeply (max {MAX_VALUE_DEPTH} levels)"));
        }
        match value {
            Json::Null | Json::Bool(_) => cost = 4,
            Json::Number(number) => cost = number_cost(*number),
            Json::String(text) => cost += text.len(),
            Json::Array(elements) => {
                for element in elements {
                    self.add(element, depth + 1)?;
                }
            }
            Json::Object(object) => {
                for (name, value) in object.iter() {
                    self.take(name.len() + 3)?;
                    self.add(value, depth + 1)?;
                }
            }
        }
        self.take(cost)
    }

    pub(super) fn take(&mut self, cost: usize) -> Result<(), String> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(format!("value is too large (max {MAX_VALUE_BYTES} bytes)")),
        }
    }
}

/// About the length of a value as text, without a bound.
pub(super) fn size(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 4,
        Json::String(text) => text.len() + 2,
        Json::Array(elements) => elements.iter().map(size).sum::<usize>() + 2,
        Json::Object(object) => {
            object.iter().map(|(name, value)| name.len() + 3 + size(value)).sum::<usize>() + 2
        }
    }
}

/// The length of a number as text, with the comma behind it: whatever fits into
/// a message of the default size can be passed on by a rule.
fn number_cost(number: f64) -> usize {
    let magnitude = number.abs();
    if number.fract() == 0.0 && magnitude < 1e15 {
        let digits = (magnitude as u64).checked_ilog10().unwrap_or(0) as usize + 1;
        digits + 1 + usize::from(number < 0.0)
    } else {
        number_text(number).len() + 1
    }
}

/// Appends a value with the members of objects in the order of their names:
/// equal values have equal texts.
pub(super) fn write_canonical(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Array(elements) => {
            out.push(b'[');
            for element in elements {
                write_canonical(out, element);
                out.push(b',');
            }
            out.push(b']');
        }
        Json::Object(object) => {
            let mut members: Vec<(&str, &Json)> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in members {
                crate::json::write_string(out, name);
                out.push(b':');
                write_canonical(out, value);
                out.push(b',');
            }
            out.push(b'}');
        }
        scalar => scalar.write_lossless(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn json(text: &str) -> Json {
        parse(text, 200).expect("valid").to_json()
    }

    #[test]
    fn paths() {
        let value = json(r#"{"a":{"b":[{"c":1},null,5]},"":7,"length":{"x":1},"s":"text"}"#);
        let find = |path: &str| Path::parse(path).find(&value).map(|found| found.to_text());
        assert_eq!(find("a.b.0.c").as_deref(), Some("1"));
        assert_eq!(find("a.b.1").as_deref(), Some("null"));
        assert_eq!(find("a.b.length").as_deref(), Some("3"));
        assert_eq!(find("").as_deref(), Some("7"));
        assert_eq!(find("length.x").as_deref(), Some("1"));
        for missing in ["a.b.3", "a.b.1.x", "a.b.00", "a.b.+1", "a.b.-1", "x", "a.", "s.length"] {
            assert_eq!(find(missing), None, "{missing}");
        }
        for inherited in ["toString", "a.b.map", "constructor", "a.b.length.x"] {
            assert_eq!(find(inherited), None, "{inherited}");
        }
    }

    #[test]
    fn texts() {
        for (value, expected) in [
            ("null", ""),
            ("true", "true"),
            ("1.50", "1.5"),
            ("3.0", "3"),
            ("1e21", "1e+21"),
            (r#""x y""#, "x y"),
            ("[1,null,\"a\",[2,3]]", "1,,a,2,3"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"[1,{"a":2}]"#, r#"[1,{"a":2}]"#),
            (r#"[[{}]]"#, "[[{}]]"),
            ("[]", ""),
        ] {
            assert_eq!(text_of(Some(&json(value))), expected, "{value}");
        }
        assert_eq!(text_of(None), "");
    }

    #[test]
    fn values_are_bounded() {
        let deep = |levels: usize| json(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        assert!(Measure::new().add(&deep(128), 1).is_ok());
        let error = Measure::new().add(&deep(129), 1).expect_err("too deep");
        assert_eq!(error, "value is nested too deeply (max 128 levels)");
        for number in [0.0, 9.0, 10.0, -99.0, 0.5, -1.25, 1e14, 1e15, 1e21, 5e-324, f64::MAX] {
            assert_eq!(number_cost(number), number_text(number).len() + 1, "{number}");
        }
        // Half a million digits with their commas, as in a message of 1 MiB.
        let digits = Json::Array(vec![Json::Number(7.0); MAX_VALUE_BYTES / 2 - 1]);
        assert_eq!(Measure::new().add(&digits, 1), Ok(()));
        let long = Json::string("x".repeat(MAX_VALUE_BYTES));
        let error = Measure::new().add(&long, 1).expect_err("too large");
        assert_eq!(error, "value is too large (max 1048576 bytes)");
    }

    #[test]
    fn canonical_texts_do_not_depend_on_the_order_of_members() {
        let text = |source: &str| {
            let mut out = Vec::new();
            write_canonical(&mut out, &json(source));
            out
        };
        assert_eq!(
            text(r#"{"b":[1,{"y":1,"x":2}],"a":0}"#),
            text(r#"{"a":0,"b":[1,{"x":2,"y":1}]}"#)
        );
        assert_ne!(text(r#"{"a":"1"}"#), text(r#"{"a":1}"#));
        assert_ne!(text("[[1],2]"), text("[[1,2]]"));
    }
}
