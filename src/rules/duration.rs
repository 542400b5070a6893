//! Durations in rule definitions: `"90s"`, `"2h"`, `500`.

use crate::json::Json;

/// Why a value is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DurationError {
    /// A text that does not follow the grammar, or an amount beyond 64 bits.
    Format,
    NotPositive,
    /// Neither string nor number.
    Type,
}

/// Milliseconds of a duration: digits and a unit (`ms`, `s`, `m`, `h`, `d`,
/// `w`, `y` of 365 days), bare digits or a positive number, whose fraction is
/// cut off.
pub(super) fn parse(value: &Json) -> Result<u64, DurationError> {
    match value {
        Json::String(text) => parse_text(text).ok_or(DurationError::Format),
        Json::Number(number) if *number <= 0.0 || number.is_nan() => {
            Err(DurationError::NotPositive)
        }
        // 2^64 is the first double that does not fit.
        Json::Number(number) if *number >= 18_446_744_073_709_551_616.0 => {
            Err(DurationError::Format)
        }
        Json::Number(number) => Ok(*number as u64),
        _ => Err(DurationError::Type),
    }
}

fn parse_text(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (amount, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 86_400 * 1000,
        "w" => 7 * 86_400 * 1000,
        "y" => 365 * 86_400 * 1000,
        _ => return None,
    };
    // Without digits there is nothing to parse.
    amount.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        let text = |text: &str| parse(&Json::from(text));
        for (given, expected) in [
            ("0ms", 0),
            ("500", 500),
            ("250ms", 250),
            ("90s", 90_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("1w", 604_800_000),
            ("1y", 31_536_000_000),
            ("007s", 7_000),
        ] {
            assert_eq!(text(given), Ok(expected), "{given}");
        }
        for bad in ["", "s", "-1s", "1.5s", "1 s", " 1s", "1s ", "1h30m", "1M", "1sec", "٣s"] {
            assert_eq!(text(bad), Err(DurationError::Format), "{bad}");
        }
        assert_eq!(text("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(text("18446744073709551616"), Err(DurationError::Format));
        assert_eq!(text("18446744073709551615s"), Err(DurationError::Format));
        assert_eq!(parse(&Json::from(1500.9)), Ok(1500));
        assert_eq!(parse(&Json::from(0.5)), Ok(0));
        assert_eq!(parse(&Json::from(0.0)), Err(DurationError::NotPositive));
        assert_eq!(parse(&Json::from(-5.0)), Err(DurationError::NotPositive));
        assert_eq!(parse(&Json::from(f64::INFINITY)), Err(DurationError::Format));
        assert_eq!(parse(&Json::Null), Err(DurationError::Type));
    }
}
