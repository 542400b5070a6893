//! Calendar dates as `iso-date` has them.

/// `YYYY-MM-DD`, optionally with `THH:MM:SS`, then an optional fraction and an
/// optional `Z` or `±HH:MM`. The date must be in the (proleptic Gregorian)
/// calendar; the offset and the server's zone play no part.
pub fn is_iso_date(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let date = (|| {
        let year = number(&mut rest, 4)?;
        literal(&mut rest, b'-')?;
        let month = number(&mut rest, 2)?;
        literal(&mut rest, b'-')?;
        Some((year, month, number(&mut rest, 2)?))
    })();
    let Some((year, month, day)) = date else { return false };
    if day == 0 || day > days_in_month(year, month) {
        return false;
    }
    rest.is_empty() || time(&mut rest).is_some()
}

fn time(rest: &mut &[u8]) -> Option<()> {
    literal(rest, b'T')?;
    below(number(rest, 2)?, 24)?;
    literal(rest, b':')?;
    below(number(rest, 2)?, 60)?;
    literal(rest, b':')?;
    below(number(rest, 2)?, 60)?;
    if literal(rest, b'.').is_some() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *rest = rest.get(digits..).filter(|_| digits > 0)?;
    }
    if rest.is_empty() || *rest == b"Z" {
        return Some(());
    }
    literal(rest, b'+').or_else(|| literal(rest, b'-'))?;
    below(number(rest, 2)?, 24)?;
    literal(rest, b':')?;
    below(number(rest, 2)?, 60)?;
    rest.is_empty().then_some(())
}

fn below(value: u32, limit: u32) -> Option<()> {
    (value < limit).then_some(())
}

fn literal(rest: &mut &[u8], wanted: u8) -> Option<()> {
    let (&first, tail) = rest.split_first()?;
    (first == wanted).then(|| *rest = tail)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// 0 for what is not a month.
fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::is_iso_date;

    #[test]
    fn dates_must_be_in_the_calendar() {
        for text in [
            "2024-02-29",
            "0000-01-01",
            "0999-12-31",
            "2000-02-29",
            "2024-01-01T23:30:00-05:00",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.123456789Z",
            "2024-12-31T23:59:59+23:59",
        ] {
            assert!(is_iso_date(text), "{text}");
        }
        for text in [
            "",
            "2024",
            "2024-1-01",
            "2023-02-29",
            "1900-02-29",
            "2024-00-10",
            "2024-13-10",
            "2024-04-31",
            "2024-01-00",
            "2024-01-01 00:00:00",
            "2024-01-01T",
            "2024-01-01T24:00:00",
            "2024-01-01T00:60:00",
            "2024-01-01T00:00:60",
            "2024-01-01T00:00",
            "2024-01-01T00:00:00.",
            "2024-01-01T00:00:00z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00Zx",
            "2024-01-01Z",
            "２024-01-01",
            " 2024-01-01",
        ] {
            assert!(!is_iso_date(text), "{text}");
        }
    }
}
