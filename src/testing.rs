//! How much the random tests try.

/// Of so many cases of a random test, those that are tried: all of them, or with
/// `NOEXD_CASES=10` in the environment a tenth, at least one. `scripts/test --fast`
/// does that for the few tests that take longest.
pub(crate) fn cases(all: u64) -> u64 {
    (all * percent() / 100).max(1)
}

/// Whether all are tried, so that what they have met together can be judged.
pub(crate) fn are_all() -> bool {
    percent() >= 100
}

fn percent() -> u64 {
    match std::env::var("NOEXD_CASES") {
        Ok(text) => text.parse().expect("NOEXD_CASES is a number of per cent"),
        Err(_) => 100,
    }
}
