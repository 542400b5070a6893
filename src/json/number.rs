//! Numbers in JavaScript's notation.

use std::io::Write as _;

/// Integers up to here are exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends `value` as JavaScript's `JSON.stringify` prints it: the shortest
/// digits that read back equal, no fraction for integral values, exponents from
/// `1e+21` up and below `1e-6`; infinities and NaN are `null`.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
    } else {
        write_finite(out, value);
    }
}

/// As [`write_number`], but infinities keep their value as literals that
/// overflow again when read (`1e999`). For storage; never sent to a client.
pub(super) fn write_number_lossless(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"null");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"1e999".as_slice() } else { b"-1e999" });
    } else {
        write_finite(out, value);
    }
}

fn write_finite(out: &mut Vec<u8>, value: f64) {
    if value == value.trunc() && value.abs() <= MAX_EXACT {
        // `-0` becomes `0` here, as it should.
        write_integer(out, value as i64);
        return;
    }
    let magnitude = value.abs();
    // Writing to a Vec cannot fail.
    let _ = if (1e-6..1e21).contains(&magnitude) {
        write!(out, "{value}")
    } else {
        let start = out.len();
        let result = write!(out, "{value:e}");
        // Rust prints `1e21`, JavaScript `1e+21`.
        let exponent = out.iter().skip(start).position(|&byte| byte == b'e');
        if let Some(at) = exponent.map(|offset| start + offset + 1)
            && out.get(at).is_some_and(u8::is_ascii_digit)
        {
            out.insert(at, b'+');
        }
        result
    };
}

/// Appends the decimal digits of an integer.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut rest = value.unsigned_abs();
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    let start = digits.len() - used;
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// The text of [`write_number`] on its own, but with `Infinity` and `NaN`
/// spelt out, as `String(value)` has them.
pub fn number_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let mut out = Vec::with_capacity(24);
    write_finite(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// Reads a literal that is known to follow the grammar of JSON numbers.
pub(super) fn read_number(text: &str) -> f64 {
    // Up to 15 digits are exact without the general algorithm.
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) {
        let value = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let value = value as f64;
        return if negative { -value } else { value };
    }
    // Correctly rounded; a literal beyond the range of doubles gives an infinity.
    text.parse().unwrap_or(f64::NAN)
}
