//! Rounding as people do it on paper: on the shortest decimal text of a number,
//! half away from zero.

/// `number` to `decimals` places, which may be negative (tens). `None` where
/// the number of places is none of -15 to 15.
pub(super) fn round(number: f64, decimals: f64) -> Option<f64> {
    if decimals != decimals.trunc() || decimals.abs() > 15.0 {
        return None;
    }
    let decimals = decimals as i32;
    if !number.is_finite() || number == 0.0 {
        return Some(0.0);
    }
    // `d.ddde-n`: the shortest digits that read back equal.
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    // So many digits stand before the place where it is cut.
    let kept = exponent + 1 + decimals;
    if kept >= digits.len() as i32 {
        return Some(number);
    }
    let Ok(kept) = usize::try_from(kept) else { return Some(0.0) };
    let up = digits.get(kept).is_some_and(|digit| *digit >= 5);
    let head = digits.iter().take(kept).fold(0u64, |value, digit| value * 10 + u64::from(*digit));
    let rounded: f64 = format!("{}e{}", head + u64::from(up), -decimals).parse().ok()?;
    Some(if number < 0.0 { -rounded } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn half_goes_away_from_zero_on_the_decimal_text() {
        for (number, decimals, expected) in [
            (2.5, 0.0, 3.0),
            (-2.5, 0.0, -3.0),
            (1.005, 2.0, 1.01),
            (-1.005, 2.0, -1.01),
            (0.5, 0.0, 1.0),
            (0.4999, 0.0, 0.0),
            (0.05, 0.0, 0.0),
            (9.99, 1.0, 10.0),
            (1234.0, -2.0, 1200.0),
            (1250.0, -2.0, 1300.0),
            (50.0, -2.0, 100.0),
            (49.0, -2.0, 0.0),
            (1e300, 2.0, 1e300),
            (1.5e-10, 10.0, 2e-10),
            (123.456, 15.0, 123.456),
            (8.345, 2.0, 8.35),
            (0.1 + 0.2, 2.0, 0.3),
        ] {
            assert_eq!(round(number, decimals), Some(expected), "{number} to {decimals}");
        }
        for decimals in [0.5, 16.0, -16.0, f64::NAN, f64::INFINITY] {
            assert_eq!(round(1.0, decimals), None, "{decimals}");
        }
    }
}
