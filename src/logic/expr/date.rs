//! Dates of expressions: numbers, days and instants, always in UTC.

use super::value::Value;

const DAY: f64 = 86_400_000.0;
/// The furthest instant, in milliseconds on either side of 1970.
const FURTHEST: f64 = 8.64e15;

/// How a date was written; what is made of it is written in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Day,
    Instant,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Date {
    kind: Kind,
    /// Milliseconds since 1970.
    at: f64,
}

/// A day of the (proleptic Gregorian) calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    pub fn of(value: &Value<'_>) -> Option<Date> {
        match value {
            Value::Number(at) if at.abs() <= FURTHEST => Some(Date { kind: Kind::Number, at: *at }),
            Value::Text(text) => parse(text),
            _ => None,
        }
    }

    pub fn civil(self) -> Civil {
        Civil::of((self.at / DAY).floor() as i64)
    }

    pub fn days_until(self, other: Date) -> f64 {
        ((other.at - self.at) / DAY).trunc()
    }

    /// The date so many units later. `None`: no such date, or no such unit.
    pub fn plus(self, count: f64, unit: &str) -> Option<Value<'static>> {
        let count = count.trunc();
        let at = match unit {
            "day" => self.at + count * DAY,
            "month" => self.plus_months(count)?,
            "year" => self.plus_months(count * 12.0)?,
            _ => return None,
        };
        if at.is_nan() || at.abs() > FURTHEST {
            return None;
        }
        Date { at, ..self }.value()
    }

    fn plus_months(self, months: f64) -> Option<f64> {
        // Beyond this every result is out of range.
        if months.is_nan() || months.abs() > 1e8 {
            return None;
        }
        let Civil { year, month, day } = self.civil();
        let total = year * 12 + (month - 1) + months as i64;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
        let day = day.min(days_in_month(year, month));
        let time = self.at.rem_euclid(DAY);
        Some(Civil { year, month, day }.days() as f64 * DAY + time)
    }

    fn value(self) -> Option<Value<'static>> {
        if self.kind == Kind::Number {
            return Some(Value::number(self.at));
        }
        let Civil { year, month, day } = self.civil();
        if !(0..=9999).contains(&year) {
            return None;
        }
        let date = format!("{year:04}-{month:02}-{day:02}");
        if self.kind == Kind::Day {
            return Some(Value::Text(date.into()));
        }
        let ms = self.at.rem_euclid(DAY) as u64;
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        Some(Value::Text(format!("{date}T{h:02}:{m:02}:{s:02}.{ms:03}Z").into()))
    }
}

impl Civil {
    /// Days since 1970-01-01. Counts in years that begin with March, so that
    /// the leap day is the last of a year.
    fn days(self) -> i64 {
        let shifted = self.year * 12 + (self.month - 3);
        let (year, month) = (shifted.div_euclid(12), shifted.rem_euclid(12));
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
            - 719_468
    }

    fn of(days: i64) -> Civil {
        // Days since 0000-03-01, in eras of 400 years.
        let days = days + 719_468;
        let (era, rest) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (rest - rest / 1460 + rest / 36_524 - rest / 146_096) / 365;
        let of_year = rest - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let shifted = (year + era * 400) * 12 + month + 2;
        Civil { year: shifted.div_euclid(12), month: shifted.rem_euclid(12) + 1, day }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn literal(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == wanted).then(|| self.0 = rest)
    }

    fn number(&mut self, digits: usize, below: i64) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        let value = head.iter().try_fold(0i64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
        })?;
        self.0 = rest;
        (value < below).then_some(value)
    }

    /// Digits behind a point, as milliseconds; what is finer is dropped.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| count > 0)?;
        self.0 = rest;
        let digits = digits.iter().copied().chain(*b"00").take(3);
        Some(digits.fold(0, |value, byte| value * 10 + i64::from(byte - b'0')))
    }
}

fn parse(text: &str) -> Option<Date> {
    let mut rest = Reader(text.as_bytes());
    let year = rest.number(4, 10_000)?;
    rest.literal(b'-')?;
    let month = rest.number(2, 13).filter(|month| *month > 0)?;
    rest.literal(b'-')?;
    let day = rest.number(2, 32)?;
    if day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = Civil { year, month, day }.days() as f64 * DAY;
    if rest.0.is_empty() {
        return Some(Date { kind: Kind::Day, at: midnight });
    }
    rest.literal(b'T')?;
    let hours = rest.number(2, 24)?;
    rest.literal(b':')?;
    let minutes = rest.number(2, 60)?;
    let (mut seconds, mut ms) = (0, 0);
    if rest.literal(b':').is_some() {
        seconds = rest.number(2, 60)?;
        if rest.literal(b'.').is_some() {
            ms = rest.fraction()?;
        }
    }
    let offset = zone(&mut rest)?;
    let time = ((hours * 60 + minutes - offset) * 60 + seconds) * 1000 + ms;
    Some(Date { kind: Kind::Instant, at: midnight + time as f64 })
}

/// Minutes ahead of UTC; nothing is UTC.
fn zone(rest: &mut Reader<'_>) -> Option<i64> {
    if rest.0.is_empty() || rest.0 == b"Z" {
        return Some(0);
    }
    let sign = match rest.literal(b'+') {
        Some(()) => 1,
        None => rest.literal(b'-').map(|()| -1)?,
    };
    let hours = rest.number(2, 24)?;
    rest.literal(b':')?;
    let minutes = rest.number(2, 60)?;
    rest.0.is_empty().then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        let mut before = Civil::of(-800_001);
        for day in -800_000..800_000 {
            let civil = Civil::of(day);
            assert_eq!(civil.days(), day);
            let next = if before.day < days_in_month(before.year, before.month) {
                Civil { day: before.day + 1, ..before }
            } else if before.month < 12 {
                Civil { month: before.month + 1, day: 1, ..before }
            } else {
                Civil { year: before.year + 1, month: 1, day: 1 }
            };
            assert_eq!(civil, next);
            before = civil;
        }
        assert_eq!(Civil::of(0), Civil { year: 1970, month: 1, day: 1 });
    }
}
