//! JavaScript's conversions and its `<`, for filters, sorting and rule
//! conditions (ECMA-262: ToString, ToNumber, IsLessThan), and its order of
//! members. `null` stands for an absent value too; callers decide before they
//! get here.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Json, Kind, Object, Raw, number_text};

/// A value after ToPrimitive: what `<` compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Primitive<'a> {
    Null,
    Bool(bool),
    Number(f64),
    String(Cow<'a, str>),
}

impl<'a> Primitive<'a> {
    pub fn of(value: Raw<'a>) -> Self {
        match value.kind() {
            Kind::Null => Primitive::Null,
            Kind::Bool => Primitive::Bool(value.text() == "true"),
            Kind::Number => Primitive::Number(value.as_number().unwrap_or(f64::NAN)),
            Kind::String | Kind::Array | Kind::Object => Primitive::String(string_of(value)),
        }
    }

    pub fn of_json(value: &'a Json) -> Self {
        match value {
            Json::Null => Primitive::Null,
            Json::Bool(value) => Primitive::Bool(*value),
            Json::Number(value) => Primitive::Number(*value),
            Json::String(text) => Primitive::String(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Primitive::String(string_of_json(value)),
        }
    }

    /// Without the lifetime of what it was taken from.
    pub fn into_owned(self) -> Primitive<'static> {
        match self {
            Primitive::Null => Primitive::Null,
            Primitive::Bool(value) => Primitive::Bool(value),
            Primitive::Number(value) => Primitive::Number(value),
            Primitive::String(text) => Primitive::String(Cow::Owned(text.into_owned())),
        }
    }

    /// `Number(value)`.
    pub fn to_number(&self) -> f64 {
        match self {
            Primitive::Null => 0.0,
            Primitive::Bool(value) => f64::from(u8::from(*value)),
            Primitive::Number(value) => *value,
            Primitive::String(text) => number_of(text),
        }
    }

    /// How two values compare under `<`, `<=`, `>` and `>=`; `None` where all
    /// four are false (one side is not a number).
    pub fn compare(&self, other: &Primitive<'_>) -> Option<Ordering> {
        match (self, other) {
            (Primitive::String(a), Primitive::String(b)) => Some(compare_utf16(a, b)),
            _ => self.to_number().partial_cmp(&other.to_number()),
        }
    }
}

/// The order of UTF-16 code units. It differs from the order of code points
/// where a character beyond U+FFFF (a surrogate pair, 0xD800..) meets one in
/// U+E000..U+FFFF.
pub fn compare_utf16(a: &str, b: &str) -> Ordering {
    let (x, y) = (a.as_bytes(), b.as_bytes());
    let same = common_prefix(x, y);
    match (x.get(same), y.get(same)) {
        // Where characters of that length and of that region begin; the bytes
        // inside a character are above none of these.
        (Some(0xee | 0xef), Some(0xf0..)) => Ordering::Greater,
        (Some(0xf0..), Some(0xee | 0xef)) => Ordering::Less,
        (x, y) => x.cmp(&y),
    }
}

/// How many bytes both begin with.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (chunks, _) = a.as_chunks::<16>();
    let (others, _) = b.as_chunks::<16>();
    let whole = 16 * chunks.iter().zip(others).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(whole..).unwrap_or_default(), b.get(whole..).unwrap_or_default());
    whole + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// `String(value)`.
pub fn string_of(value: Raw<'_>) -> Cow<'_, str> {
    match value.kind() {
        Kind::String => value.as_str().unwrap_or_default(),
        Kind::Number => Cow::Owned(number_text(value.as_number().unwrap_or(f64::NAN))),
        Kind::Null | Kind::Bool => Cow::Borrowed(value.text()),
        Kind::Object => Cow::Borrowed("[object Object]"),
        Kind::Array => {
            let mut out = String::new();
            join(value, &mut out);
            Cow::Owned(out)
        }
    }
}

fn join(array: Raw<'_>, out: &mut String) {
    for (at, element) in array.elements().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match element.kind() {
            Kind::Null => {}
            Kind::Array => join(element, out),
            _ => out.push_str(&string_of(element)),
        }
    }
}

/// `String(value)`.
pub fn string_of_json(value: &Json) -> Cow<'_, str> {
    match value {
        Json::Null => Cow::Borrowed("null"),
        Json::Bool(true) => Cow::Borrowed("true"),
        Json::Bool(false) => Cow::Borrowed("false"),
        Json::Number(number) => Cow::Owned(number_text(*number)),
        Json::String(text) => Cow::Borrowed(text),
        Json::Object(_) => Cow::Borrowed("[object Object]"),
        Json::Array(elements) => {
            let mut out = String::new();
            join_json(elements, &mut out);
            Cow::Owned(out)
        }
    }
}

fn join_json(elements: &[Json], out: &mut String) {
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match element {
            Json::Null => {}
            Json::Array(inner) => join_json(inner, out),
            _ => out.push_str(&string_of_json(element)),
        }
    }
}

/// What `String.prototype.trim` and `\s` take for white space.
pub fn is_white_space(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r'
            | ' '
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

/// `Number(text)`; NaN if it is not a numeric literal.
pub fn number_of(text: &str) -> f64 {
    let text = text.trim_matches(is_white_space);
    if text.is_empty() {
        return 0.0;
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(digits) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return radix_number(digits, radix);
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "Infinity" {
        return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    if is_decimal(unsigned) { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// Digits with at most one point and at least one digit, then perhaps an
/// exponent. Rust's own parser accepts a few words more (`inf`).
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_ok = digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0;
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_ok && exponent_ok
}

/// The nearest double, ties to even, however many digits there are.
fn radix_number(digits: &str, radix: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    let bits = radix.trailing_zeros() as i32;
    let (mut value, mut dropped, mut sticky) = (0u128, 0i32, false);
    for c in digits.chars() {
        let Some(digit) = c.to_digit(radix) else { return f64::NAN };
        if value >> 120 == 0 {
            value = value << bits | u128::from(digit);
        } else {
            dropped = dropped.saturating_add(bits);
            sticky |= digit != 0;
        }
    }
    // 120 kept bits are far beyond a mantissa: one bit more tells a tie from
    // what is just above it.
    (value | u128::from(sticky)) as f64 * 2f64.powi(dropped)
}

/// The members in the order in which JavaScript enumerates them: names that
/// look like array indexes first, ascending, the others as they came.
pub fn js_order(object: &Object) -> Vec<(&str, &Json)> {
    let mut members: Vec<_> = object.iter().collect();
    if members.iter().any(|(name, _)| array_index(name).is_some()) {
        // Stable: `u64::MAX` keeps all other names behind, in their order.
        members.sort_by_key(|(name, _)| array_index(name).map_or(u64::MAX, u64::from));
    }
    members
}

/// The number that an array-index-like name stands for: `0`, `7`, `4294967294`,
/// but not `07` or `4294967295`.
fn array_index(name: &str) -> Option<u32> {
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'));
    if !plain {
        return None;
    }
    name.parse().ok().filter(|&index| index != u32::MAX)
}

/// A time as `toISOString` gives it: RFC 3339 in UTC with milliseconds.
///
/// The calendar is Howard Hinnant's `civil_from_days` (chrono-Compatible
/// Low-Level Date Algorithms): years begin in March, so that the leap day is
/// the last of its year.
pub fn iso_text(millis: u64) -> String {
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::parse;

    proptest! {
        #[test]
        fn texts_are_ordered_by_their_units(
            same in "[a-c\u{e9}\u{fffd}\u{1f600}]{0,40}",
            a in "[ab\u{e9}\u{d7ff}\u{e000}\u{fffd}\u{1f600}\u{10ffff}]{0,3}",
            b in "[ab\u{e9}\u{d7ff}\u{e000}\u{fffd}\u{1f600}\u{10ffff}]{0,3}",
        ) {
            let (a, b) = (same.clone() + &a, same + &b);
            prop_assert_eq!(compare_utf16(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }
    }

    fn raw(text: &str) -> Raw<'_> {
        parse(text, 64).expect("valid JSON")
    }

    #[test]
    fn strings_of_values() {
        for (source, text) in [
            ("null", "null"),
            ("true", "true"),
            ("1.50", "1.5"),
            ("1e400", "Infinity"),
            (r#""a\n""#, "a\n"),
            (r#"{"a":1}"#, "[object Object]"),
            (r#"[1,null,[2,[]],{"a":1},"x",true]"#, "1,,2,,[object Object],x,true"),
            ("[]", ""),
            ("[null]", ""),
        ] {
            assert_eq!(string_of(raw(source)), text, "{source}");
            assert_eq!(string_of_json(&raw(source).to_json()), text, "{source}");
        }
    }

    #[test]
    fn numbers_of_strings() {
        for (text, number) in [
            ("", 0.0),
            (" \u{feff}\n12\u{2003}", 12.0),
            ("-1.5e2", -150.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+7", 7.0),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("0O17", 15.0),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            ("0x20000000000003", 9_007_199_254_740_996.0),
            ("1e400", f64::INFINITY),
            ("007", 7.0),
        ] {
            assert_eq!(number_of(text), number, "{text:?}");
        }
        let long = format!("0x1{}", "0".repeat(300));
        assert_eq!(number_of(&long), f64::INFINITY);
        for text in [
            "a", "1a", "1 2", ".", "e5", "1e", "+-1", "-0x1", "0x", "0b2", "inf", "nan", "1_0",
            "infinity",
        ] {
            assert!(number_of(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn comparison_is_that_of_javascript() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            ("1", "2", Some(Less)),
            (r#""10""#, "9", Some(Greater)),
            (r#""10""#, r#""9""#, Some(Less)),
            ("[2]", "1", Some(Greater)),
            ("true", "1", Some(Equal)),
            ("null", "0", Some(Equal)),
            ("false", r#""""#, Some(Equal)),
            (r#""b""#, "1", None),
            ("[1,2]", "1", None),
            (r#"{"a":1}"#, r#""[object""#, Some(Greater)),
            ("\"\u{1f600}\"", "\"\u{e000}\"", Some(Less)),
            ("\"\u{ffff}\"", "\"\u{1f600}\"", Some(Greater)),
            ("\"\u{1f600}\"", "\"\u{d7ff}\"", Some(Greater)),
            (r#""a""#, r#""ab""#, Some(Less)),
        ] {
            let (x, y) = (raw(a), raw(b));
            assert_eq!(Primitive::of(x).compare(&Primitive::of(y)), expected, "{a} {b}");
            let (x, y) = (x.to_json(), y.to_json());
            assert_eq!(Primitive::of_json(&x).compare(&Primitive::of_json(&y)), expected);
        }
    }

    #[test]
    fn timestamps_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_251_200_001, "2024-03-01T00:00:00.001Z"),
            (1_767_225_600_123, "2026-01-01T00:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(iso_text(millis), text);
        }
    }
}
