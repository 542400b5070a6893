//! Fields of requests that look inside.

use std::ops::RangeInclusive;

use crate::protocol::{OpError, Request};

/// `Invalid "{field}": expected {what}`
pub(super) fn invalid(field: &str, what: &str) -> OpError {
    OpError::validation(format!("Invalid \"{field}\": expected {what}"))
}

/// An integer within bounds, or the default.
pub(super) fn integer(
    request: &Request<'_>,
    field: &str,
    range: RangeInclusive<u64>,
    default: u64,
) -> Result<u64, OpError> {
    let Some(raw) = request.present(field) else { return Ok(default) };
    let number = raw.as_number().filter(|number| number.fract() == 0.0 && *number >= 0.0);
    let number = number.map(|number| number as u64).filter(|number| range.contains(number));
    number.ok_or_else(|| {
        invalid(field, &format!("integer from {} to {}", range.start(), range.end()))
    })
}

/// One of some words, or the first.
pub(super) fn word<T: Copy>(
    request: &Request<'_>,
    field: &str,
    words: &[(&'static str, T)],
) -> Result<T, OpError> {
    let wanted = match request.present(field) {
        None => words.first(),
        Some(raw) => {
            let text = raw.as_str();
            words.iter().find(|(word, _)| text.as_deref() == Some(*word))
        }
    };
    wanted.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        invalid(field, &format!("one of {}", names.join(", ")))
    })
}

/// Some text that is not empty, or none.
pub(super) fn text(request: &Request<'_>, field: &str) -> Result<Option<String>, OpError> {
    let Some(raw) = request.present(field) else { return Ok(None) };
    let text = raw.as_str().filter(|text| !text.is_empty());
    text.map(|text| Some(text.into_owned())).ok_or_else(|| invalid(field, "non-empty string"))
}
