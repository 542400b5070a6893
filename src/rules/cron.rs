//! Cron expressions in UTC: parsing and the next run.
//!
//! Five fields (`min hour dom month dow`), six with leading seconds, seven with
//! a trailing year. A field is `*`, `?`, numbers, ranges, lists and the steps
//! `*/n` and `a-b/n`; month and day names; `L` and `nW` as day of the month;
//! `d#n` and `d#L` as day of the week; `+` in front of the day of the week asks
//! for both days instead of either.

/// Years beyond this have no runs; it bounds the search.
const LAST_YEAR: u16 = 2999;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    month_days: MonthDays,
    week_days: WeekDays,
    /// Both days must match; without it either suffices if both are restricted.
    both_days: bool,
    /// `None`: every year.
    years: Option<Vec<(u16, u16, u16)>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MonthDays {
    restricted: bool,
    days: u64,
    last: bool,
    /// The week days nearest to these days of the month.
    nearest: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct WeekDays {
    restricted: bool,
    days: u64,
    /// `nth[d]`: bit `n` for the n-th such day of the month, bit 0 for the last.
    nth: [u8; 7],
}

struct Field {
    low: u16,
    high: u16,
    names: &'static [&'static str],
    /// Number of the first name.
    first: u16,
}

const SECONDS: Field = Field { low: 0, high: 59, names: &[], first: 0 };
const HOURS: Field = Field { low: 0, high: 23, names: &[], first: 0 };
const MONTH_DAYS: Field = Field { low: 1, high: 31, names: &[], first: 0 };
const MONTH: Field = Field { low: 1, high: 12, names: &MONTHS, first: 1 };
const WEEK: Field = Field { low: 0, high: 7, names: &DAYS, first: 0 };
const YEAR: Field = Field { low: 1970, high: LAST_YEAR, names: &[], first: 0 };

impl Field {
    fn number(&self, text: &str) -> Option<u16> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(at) => self.first + at as u16,
            None if !text.is_empty() && text.len() <= 4 => {
                text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??
            }
            None => return None,
        };
        (self.low..=self.high).contains(&value).then_some(value)
    }

    /// One element of a list as first, last and step.
    fn range(&self, text: &str) -> Option<(u16, u16, u16)> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
                let step = step.parse::<u16>().ok().filter(|step| digits && *step > 0)?;
                (range, Some(step))
            }
            None => (text, None),
        };
        let (first, last) = match range {
            "*" | "?" => (self.low, self.high),
            _ => match range.split_once('-') {
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                // `a/n` is not in the grammar.
                None if step.is_none() => self.number(range).map(|value| (value, value))?,
                None => return None,
            },
        };
        (first <= last).then_some((first, last, step.unwrap_or(1)))
    }

    fn add(&self, text: &str, bits: &mut u64) -> Option<()> {
        let (first, last, step) = self.range(text)?;
        for value in (first..=last).step_by(usize::from(step)) {
            *bits |= 1 << value;
        }
        Some(())
    }

    fn set(&self, text: &str) -> Option<u64> {
        let mut bits = 0;
        text.split(',').try_for_each(|element| self.add(element, &mut bits))?;
        Some(bits)
    }
}

impl Cron {
    /// `None` if the expression does not follow the grammar.
    pub fn parse(text: &str) -> Option<Cron> {
        let text = text.trim();
        let expanded = match text.to_ascii_lowercase().as_str() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => text,
        };
        let fields: Vec<&str> = expanded.split_ascii_whitespace().collect();
        let (seconds, rest, years) = match fields.as_slice() {
            rest @ [_, _, _, _, _] => ("0", rest, None),
            [seconds, rest @ ..] if rest.len() == 5 => (*seconds, rest, None),
            [seconds, rest @ .., year] if rest.len() == 5 => (*seconds, rest, Some(*year)),
            _ => return None,
        };
        let [minutes, hours, month_days, months, week_days] = rest else { return None };
        let (both_days, week_days) = match week_days.strip_prefix('+') {
            Some(week_days) => (true, week_days),
            None => (false, *week_days),
        };
        let years = match years {
            None | Some("*" | "?") => None,
            Some(years) => {
                Some(years.split(',').map(|element| YEAR.range(element)).collect::<Option<_>>()?)
            }
        };
        Some(Cron {
            seconds: SECONDS.set(seconds)?,
            minutes: SECONDS.set(minutes)?,
            hours: HOURS.set(hours)?,
            months: MONTH.set(months)?,
            month_days: MonthDays::parse(month_days)?,
            week_days: WeekDays::parse(week_days)?,
            both_days,
            years,
        })
    }

    /// The first run after `wall` (Unix milliseconds), if there is one before
    /// the year 3000.
    pub fn next_after(&self, wall: u64) -> Option<u64> {
        let start = wall / 1000 + 1;
        let mut day = start / 86_400;
        let mut from = start % 86_400;
        loop {
            let (year, month, month_day) = civil(day);
            if year > LAST_YEAR {
                return None;
            }
            if !self.year_matches(year) {
                day = days_before_year(year + 1);
            } else if self.months >> month & 1 == 0 {
                day += u64::from(days_in(year, month) - month_day + 1);
            } else {
                if self.day_matches(year, month, month_day, day)
                    && let Some(second) = self.time_from(from)
                {
                    return Some((day * 86_400 + second) * 1000);
                }
                day += 1;
            }
            from = 0;
        }
    }

    fn year_matches(&self, year: u16) -> bool {
        self.years.as_ref().is_none_or(|ranges| {
            ranges.iter().any(|(first, last, step)| {
                (*first..=*last).contains(&year) && (year - first).is_multiple_of(*step)
            })
        })
    }

    fn day_matches(&self, year: u16, month: u16, month_day: u16, day: u64) -> bool {
        // 1970-01-01 was a Thursday.
        let week_day = ((day + 4) % 7) as u16;
        let last = days_in(year, month);
        let by_month = || self.month_days.matches(month_day, last, week_day);
        let by_week = || self.week_days.matches(week_day, month_day, last);
        match (self.month_days.restricted, self.week_days.restricted) {
            (true, true) if !self.both_days => by_month() || by_week(),
            _ => by_month() && by_week(),
        }
    }

    /// The first second of the day at or after `from` that matches.
    fn time_from(&self, from: u64) -> Option<u64> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let next = |bits: u64, at: u64| {
            let ahead = bits.checked_shr(at as u32).unwrap_or(0);
            (ahead != 0).then(|| at + u64::from(ahead.trailing_zeros()))
        };
        let first = |bits: u64| u64::from(bits.trailing_zeros());
        let build = |hour: u64, minute: u64, second: u64| hour * 3600 + minute * 60 + second;
        let found = next(self.hours, hour)?;
        if found == hour {
            if let Some(at) = next(self.minutes, minute) {
                if at > minute {
                    return Some(build(hour, at, first(self.seconds)));
                }
                if let Some(second) = next(self.seconds, second) {
                    return Some(build(hour, minute, second));
                }
                if let Some(at) = next(self.minutes, minute + 1) {
                    return Some(build(hour, at, first(self.seconds)));
                }
            }
            let later = next(self.hours, hour + 1)?;
            return Some(build(later, first(self.minutes), first(self.seconds)));
        }
        Some(build(found, first(self.minutes), first(self.seconds)))
    }
}

impl MonthDays {
    fn parse(text: &str) -> Option<Self> {
        let mut parsed = MonthDays { restricted: !matches!(text, "*" | "?"), ..Self::default() };
        for element in text.split(',') {
            if element.eq_ignore_ascii_case("L") {
                parsed.last = true;
            } else if let Some(day) = element.strip_suffix(['W', 'w']) {
                parsed.nearest |= 1 << MONTH_DAYS.number(day)?;
            } else {
                MONTH_DAYS.add(element, &mut parsed.days)?;
            }
        }
        Some(parsed)
    }

    fn matches(&self, day: u16, last: u16, week_day: u16) -> bool {
        if self.days >> day & 1 == 1 || (self.last && day == last) {
            return true;
        }
        if self.nearest == 0 || week_day == 0 || week_day == 6 {
            return false;
        }
        let wants = |day: Option<u16>| {
            day.is_some_and(|day| (1..=last).contains(&day) && self.nearest >> day & 1 == 1)
        };
        // The day itself; Saturday's substitute is Friday and Sunday's is
        // Monday, except over the end of the month.
        wants(Some(day))
            || (week_day == 5 && wants(day.checked_add(1)))
            || (week_day == 1 && wants(day.checked_sub(1)))
            || (week_day == 1 && day == 3 && wants(Some(1)))
            || (week_day == 5 && day + 2 == last && wants(Some(last)))
    }
}

impl WeekDays {
    fn parse(text: &str) -> Option<Self> {
        let mut parsed = WeekDays { restricted: !matches!(text, "*" | "?"), ..Self::default() };
        for element in text.split(',') {
            let Some((day, nth)) = element.split_once('#') else {
                WEEK.add(element, &mut parsed.days)?;
                continue;
            };
            let nth = match nth {
                "L" | "l" => 0,
                "1" | "2" | "3" | "4" | "5" => nth.parse::<u8>().ok()?,
                _ => return None,
            };
            let day = usize::from(WEEK.number(day)? % 7);
            *parsed.nth.get_mut(day)? |= 1 << nth;
        }
        // 7 is Sunday too.
        parsed.days |= parsed.days >> 7 & 1;
        Some(parsed)
    }

    fn matches(&self, week_day: u16, month_day: u16, last: u16) -> bool {
        if self.days >> week_day & 1 == 1 {
            return true;
        }
        let nth = self.nth.get(usize::from(week_day)).copied().unwrap_or_default();
        let number = (month_day - 1) / 7 + 1;
        nth >> number & 1 == 1 || (nth & 1 == 1 && month_day + 7 > last)
    }
}

fn is_leap(year: u16) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

fn days_in(year: u16, month: u16) -> u16 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first day of the year.
fn days_before_year(year: u16) -> u64 {
    let before = u64::from(year) - 1;
    let leaps = |years: u64| years / 4 - years / 100 + years / 400;
    (before - 1969) * 365 + leaps(before) - leaps(1969)
}

/// Year, month and day of the month of a day since 1970-01-01.
fn civil(day: u64) -> (u16, u16, u16) {
    // A year is at most 366 days, so this is never too late a year.
    let mut year = 1970 + (day / 366).min(u64::from(u16::MAX - 1970 - 1)) as u16;
    while year < LAST_YEAR + 1 && days_before_year(year + 1) <= day {
        year += 1;
    }
    let mut rest = day.saturating_sub(days_before_year(year)).min(366) as u16;
    let mut month = 1;
    while month < 12 && rest >= days_in(year, month) {
        rest -= days_in(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests;
