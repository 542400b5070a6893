//! Times to live.

use crate::json::{Json, js::string_of_json, number_text};

/// Milliseconds of a `ttl`: a positive number, or digits, an optional fraction,
/// optional spaces and a unit `s`, `m`, `h` or `d`. `Err` is the message.
pub fn parse_ttl(ttl: &Json) -> Result<f64, String> {
    let text = match ttl {
        Json::Number(ms) if ms.is_finite() && *ms > 0.0 => return Ok(*ms),
        Json::Number(ms) => {
            return Err(format!("TTL must be a positive finite number, got {}", number_text(*ms)));
        }
        Json::String(text) => text,
        other => return Err(invalid(&string_of_json(other))),
    };
    let ms = parse_text(text).ok_or_else(|| invalid(text))?;
    if ms > 0.0 { Ok(ms) } else { Err(format!("TTL value must be positive, got \"{text}\"")) }
}

fn invalid(text: &str) -> String {
    format!(
        "Invalid TTL format \"{text}\". Expected a number (ms) or string like \"30s\", \"5m\", \"1h\", \"7d\"."
    )
}

fn parse_text(text: &str) -> Option<f64> {
    let mut chars = text.chars();
    let unit = match chars.next_back()? {
        's' => 1_000.0,
        'm' => 60_000.0,
        'h' => 3_600_000.0,
        'd' => 86_400_000.0,
        _ => return None,
    };
    let number = chars.as_str().trim_end_matches(crate::json::js::is_white_space);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let plain = match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    };
    // A number too large for a double never expires, and says so.
    plain.then(|| number.parse::<f64>().ok()).flatten().map(|value| value * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_times_to_live() {
        for (text, ms) in [
            ("30s", 30_000.0),
            ("5m", 300_000.0),
            ("1.5 h", 5_400_000.0),
            ("7  d", 604_800_000.0),
            ("0.0005s", 0.5),
        ] {
            assert_eq!(parse_ttl(&Json::from(text)), Ok(ms), "{text}");
        }
        assert_eq!(parse_ttl(&Json::Number(0.5)), Ok(0.5));
        for text in
            ["", "s", "5", "5 ", " 5s", "5s ", "5S", "5ms", "-5s", "+5s", "5.s", ".5s", "1e3s"]
        {
            let error = parse_ttl(&Json::from(text)).expect_err(text);
            assert_eq!(error, invalid(text));
        }
        assert_eq!(
            parse_ttl(&Json::from("0s")),
            Err("TTL value must be positive, got \"0s\"".into())
        );
        assert_eq!(
            parse_ttl(&Json::Number(-1.0)),
            Err("TTL must be a positive finite number, got -1".into())
        );
        assert_eq!(
            parse_ttl(&Json::Number(f64::INFINITY)),
            Err("TTL must be a positive finite number, got Infinity".into())
        );
        assert_eq!(parse_ttl(&Json::Null), Err(invalid("null")));
    }
}
