//! Values as bytes that compare as the values do, so that several fields one
//! behind the other are one key.

use crate::json::{Kind, Raw};

/// The values that an ordered index distinguishes, in the order of their bytes.
/// Numbers have the eight bytes of [`ordered_bits`], which lie between
/// `00 0f…` (-Infinity) and `ff f0…` (Infinity); two bytes outside of that say
/// what else it is.
const BOOLEAN: [u8; 2] = [0x00, 0x01];
const STRING: [u8; 2] = [0xff, 0xf8];
const STRUCTURED: [u8; 2] = [0xff, 0xfa];
/// `null` and absent values: behind everything.
pub(super) const NOTHING: [u8; 2] = [0xff, 0xff];

/// Where the kinds end, in their order: what is at or above the next.
pub(super) const AFTER_BOOLEANS: [u8; 2] = [0x00, 0x02];
pub(super) const AFTER_NUMBERS: [u8; 2] = [0xff, 0xf4];
pub(super) const AFTER_STRINGS: [u8; 2] = [0xff, 0xf9];
pub(super) const AFTER_STRUCTURED: [u8; 2] = [0xff, 0xfb];

/// Bits that sort like the numbers (NaN excepted, which JSON cannot say); `-0`
/// and `0` are one number.
pub(crate) fn ordered_bits(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Appends bytes that sort like the string among strings: none of them is 0xff,
/// and the last one, only, is 0.
pub(crate) fn encode_text(text: &str, out: &mut Vec<u8>) {
    // UTF-16 puts the characters beyond U+FFFF, as surrogates, before U+E000 to
    // U+FFFF; UTF-8 puts them behind. The first bytes of these sequences trade
    // places. One is added so that the end, a zero, comes before everything.
    out.extend(text.bytes().map(|byte| match byte {
        0xee | 0xef => byte + 5 + 1,
        0xf0..=0xf4 => byte - 2 + 1,
        other => other + 1,
    }));
    out.push(0);
}

pub(super) fn encode_number(number: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&ordered_bits(number).to_be_bytes());
}

pub(super) fn encode_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&STRING);
    encode_text(text, out);
}

/// Appends the value of one field. No encoding is the beginning of another one.
pub(super) fn encode(value: Option<Raw<'_>>, out: &mut Vec<u8>) {
    let kind = value.map_or(Kind::Null, Raw::kind);
    match (kind, value) {
        (Kind::Null, _) | (_, None) => out.extend_from_slice(&NOTHING),
        (Kind::Bool, Some(value)) => {
            out.extend_from_slice(&BOOLEAN);
            out.push(u8::from(value.as_bool() == Some(true)));
        }
        (Kind::Number, Some(value)) => encode_number(value.as_number().unwrap_or(0.0), out),
        (Kind::String, Some(value)) => encode_string(&value.as_str().unwrap_or_default(), out),
        (Kind::Array | Kind::Object, Some(_)) => out.extend_from_slice(&STRUCTURED),
    }
}

/// How many bytes the first `fields` values of a key take.
pub(super) fn length_of(bytes: &[u8], fields: usize) -> usize {
    let mut length = 0;
    for _ in 0..fields {
        let rest = bytes.get(length..).unwrap_or_default();
        length += match *rest {
            [a, b, ..] if [a, b] == NOTHING || [a, b] == STRUCTURED => 2,
            [a, b, ..] if [a, b] == BOOLEAN => 3,
            [a, b, ref text @ ..] if [a, b] == STRING => {
                2 + text.iter().position(|byte| *byte == 0).map_or(text.len(), |end| end + 1)
            }
            _ => 8,
        };
    }
    length.min(bytes.len())
}
