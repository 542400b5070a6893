use super::*;

/// Unix milliseconds of a time in UTC, the slow way.
fn at(text: &str) -> u64 {
    let parts: Vec<u64> =
        text.split(['-', ' ', ':']).map(|part| part.parse().expect("a number")).collect();
    let [year, month, day, hour, minute, second] = parts.as_slice() else { panic!("{text}") };
    let mut days = 0;
    for earlier in 1970..*year as u16 {
        days += if is_leap(earlier) { 366 } else { 365 };
    }
    for earlier in 1..*month as u16 {
        days += u64::from(days_in(*year as u16, earlier));
    }
    ((days + day - 1) * 86_400 + hour * 3600 + minute * 60 + second) * 1000
}

fn runs(expression: &str, from: &str, count: usize) -> Vec<u64> {
    let cron = Cron::parse(expression).expect("valid");
    let mut found = Vec::new();
    let mut time = at(from);
    for _ in 0..count {
        time = cron.next_after(time).expect("a run");
        found.push(time);
    }
    found
}

fn check(expression: &str, from: &str, expected: &[&str]) {
    let expected: Vec<u64> = expected.iter().map(|text| at(text)).collect();
    assert_eq!(runs(expression, from, expected.len()), expected, "{expression}");
}

#[test]
fn the_calendar() {
    for year in 1970..2400u16 {
        assert_eq!(civil(days_before_year(year)), (year, 1, 1));
        assert_eq!(civil(days_before_year(year + 1) - 1), (year, 12, 31));
    }
    assert_eq!(civil(at("2024-02-29 12:00:00") / 86_400_000), (2024, 2, 29));
}

#[test]
fn times_of_the_day() {
    check(
        "*/20 * * * *",
        "2026-03-04 10:05:00",
        &["2026-03-04 10:20:00", "2026-03-04 10:40:00", "2026-03-04 11:00:00"],
    );
    check(
        "10-30/10 9,17 * * *",
        "2026-03-04 09:25:00",
        &["2026-03-04 09:30:00", "2026-03-04 17:10:00", "2026-03-04 17:20:00"],
    );
    check(
        "*/30 59 23 * * *",
        "2026-12-31 23:59:10",
        &["2026-12-31 23:59:30", "2027-01-01 23:59:00"],
    );
    // The run itself is not after itself.
    check("0 12 * * *", "2026-03-04 12:00:00", &["2026-03-05 12:00:00"]);
    check("@hourly", "2026-03-04 12:00:00", &["2026-03-04 13:00:00"]);
    check("@DAILY", "2026-03-04 12:00:00", &["2026-03-05 00:00:00"]);
    assert_eq!(
        Cron::parse("* * * * * *").expect("valid").next_after(at("2026-01-01 00:00:00") + 999),
        Some(at("2026-01-01 00:00:01"))
    );
}

#[test]
fn days_and_months() {
    check("0 0 29 2 *", "2025-01-01 00:00:00", &["2028-02-29 00:00:00", "2032-02-29 00:00:00"]);
    check("0 0 L * ?", "2026-01-31 00:00:00", &["2026-02-28 00:00:00", "2026-03-31 00:00:00"]);
    check("0 0 * JAN,mar *", "2026-01-31 00:00:00", &["2026-03-01 00:00:00"]);
    // 2026-03-01 is a Sunday.
    check("0 0 ? * 7", "2026-03-01 00:00:00", &["2026-03-08 00:00:00"]);
    check("0 0 ? * SAT-7", "2026-03-01 00:00:00", &["2026-03-07 00:00:00", "2026-03-08 00:00:00"]);
    check("0 0 * * MON-FRI", "2026-03-06 00:00:00", &["2026-03-09 00:00:00"]);
    // Either day, or both with a plus.
    check(
        "0 0 13 * 5",
        "2026-03-01 00:00:00",
        &["2026-03-06 00:00:00", "2026-03-13 00:00:00", "2026-03-20 00:00:00"],
    );
    check("0 0 13 * +5", "2026-03-14 00:00:00", &["2026-11-13 00:00:00"]);
    check("0 0 * * 1#2", "2026-03-01 00:00:00", &["2026-03-09 00:00:00", "2026-04-13 00:00:00"]);
    check("0 0 * * FRI#L", "2026-03-01 00:00:00", &["2026-03-27 00:00:00", "2026-04-24 00:00:00"]);
    check("0 0 * * 1#5", "2026-03-01 00:00:00", &["2026-03-30 00:00:00", "2026-06-29 00:00:00"]);
}

#[test]
fn nearest_week_days() {
    // 2026-08-15 is a Saturday, 2026-08-01 too; 2026-11-15 is a Sunday.
    check("0 0 15W 8 *", "2026-01-01 00:00:00", &["2026-08-14 00:00:00"]);
    check("0 0 1W 8 *", "2026-01-01 00:00:00", &["2026-08-03 00:00:00"]);
    check("0 0 15W 11 *", "2026-01-01 00:00:00", &["2026-11-16 00:00:00"]);
    // 2026-05-31 is a Sunday, 2026-01-31 a Saturday.
    check("0 0 31W 5 *", "2026-01-01 00:00:00", &["2026-05-29 00:00:00"]);
    check("0 0 31W 1 *", "2026-01-01 00:00:00", &["2026-01-30 00:00:00"]);
    check("0 0 4W 3 *", "2026-01-01 00:00:00", &["2026-03-04 00:00:00"]);
    check("0 0 31W * *", "2026-01-31 00:00:00", &["2026-03-31 00:00:00"]);
}

#[test]
fn years_end() {
    check(
        "0 0 0 1 1 * 2030,2040-2050/5",
        "2026-01-01 00:00:00",
        &[
            "2030-01-01 00:00:00",
            "2040-01-01 00:00:00",
            "2045-01-01 00:00:00",
            "2050-01-01 00:00:00",
        ],
    );
    let cron = Cron::parse("0 0 0 1 1 * 2030").expect("valid");
    assert_eq!(cron.next_after(at("2030-01-01 00:00:00")), None);
    let never = Cron::parse("0 0 30 2 *").expect("valid");
    assert_eq!(never.next_after(at("2026-01-01 00:00:00")), None);
    let far = Cron::parse("* * * * *").expect("valid");
    assert_eq!(far.next_after(u64::MAX), None);
}

#[test]
fn what_is_not_in_the_grammar() {
    for bad in [
        "",
        "* * * *",
        "* * * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "5/10 * * * *",
        "10-5 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "* * W * *",
        "* * 0W * *",
        "* * * * 1#6",
        "* * * * 1#0",
        "* * * * #1",
        "@reboot",
        "-1 * * * *",
        "+1 * * * *",
        "1- * * * *",
        "* * * FOO *",
        "*/+5 * * * *",
        "0 0 0 1 1 * 1969",
        "* * L-1 * *",
    ] {
        assert_eq!(Cron::parse(bad), None, "{bad}");
    }
}

proptest::proptest! {
    /// The next run is the first second that matches, found by trying each.
    #[test]
    fn agrees_with_trying_every_second(
        seconds in "(\\*|[0-5]?[0-9]|\\*/1[0-9])",
        minutes in "(\\*|[0-5]?[0-9]|[0-2]-[3-9]/2)",
        hours in "(\\*|1?[0-9])",
        start in 1_700_000_000u64..1_900_000_000,
    ) {
        let cron = Cron::parse(&format!("{seconds} {minutes} {hours} * * *")).expect("valid");
        let matches = |time: u64| {
            cron.seconds >> (time % 60) & 1 == 1
                && cron.minutes >> (time / 60 % 60) & 1 == 1
                && cron.hours >> (time / 3600 % 24) & 1 == 1
        };
        let expected = (start + 1..).find(|time| matches(*time)).map(|time| time * 1000);
        proptest::prop_assert_eq!(cron.next_after(start * 1000), expected);
    }
}
