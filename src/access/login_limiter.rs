//! Failed logins per user and per address (identity.md section 7).

use super::{AgingMap, RateKey};
use crate::config::LoginRateLimit;
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError};

/// More records than this are never kept; the oldest is forgotten.
const MAX_RECORDS: usize = 100_000;

/// See [`LoginLimiter::of_pairs`].
const PER_ADDRESS: u32 = 20;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    first_at: u64,
}

/// Counts failures in a window that starts at the first one and does not
/// slide. Times are milliseconds on the monotonic clock.
#[derive(Debug)]
pub struct LoginLimiter {
    limit: LoginRateLimit,
    /// How many times the failures of a name an address may have.
    address_factor: u32,
    /// What somebody who is refused is told.
    message: &'static str,
    /// In the order of their first failure: later ones do not touch.
    records: AgingMap<RateKey, Failures>,
}

impl LoginLimiter {
    pub fn new(limit: LoginRateLimit) -> Self {
        Self {
            limit,
            address_factor: 1,
            message: "Too many failed login attempts. Try again later.",
            records: AgingMap::default(),
        }
    }

    /// Where names are counted together with addresses ([`RateKey::Login`]), an
    /// address may fail more often: many people share one (identity.md I27).
    pub fn of_pairs(limit: LoginRateLimit) -> Self {
        Self { address_factor: PER_ADDRESS, ..Self::new(limit) }
    }

    /// Counts sign-ups of addresses, whatever comes of them.
    pub fn of_signups(limit: LoginRateLimit) -> Self {
        Self { message: "Too many sign-ups. Try again later.", ..Self::new(limit) }
    }

    /// Refuses while the key is locked, right password or not.
    pub fn check(&mut self, key: &RateKey, now_mono: u64) -> Result<(), OpError> {
        let Some(&failures) = self.records.get(key) else { return Ok(()) };
        let elapsed = now_mono.saturating_sub(failures.first_at);
        if elapsed > self.limit.window_ms {
            self.records.remove(key);
            return Ok(());
        }
        let factor = if matches!(key, RateKey::Address(_)) { self.address_factor } else { 1 };
        if failures.count < self.limit.max_attempts.saturating_mul(factor) {
            return Ok(());
        }
        let retry_after = self.limit.window_ms.saturating_sub(elapsed);
        Err(too_many_attempts(self.message, retry_after))
    }

    /// Counts one failure.
    pub fn fail(&mut self, key: &RateKey, now_mono: u64) {
        if let Some(failures) = self.records.get_mut(key)
            && now_mono.saturating_sub(failures.first_at) <= self.limit.window_ms
        {
            failures.count = failures.count.saturating_add(1);
            return;
        }
        if self.records.len() >= MAX_RECORDS {
            self.records.pop_oldest();
        }
        self.records.insert(key.clone(), Failures { count: 1, first_at: now_mono });
    }

    /// Forgives the failures of a key.
    pub fn reset(&mut self, key: &RateKey) {
        self.records.remove(key);
    }

    /// The monotonic time at which the next record can be forgotten.
    pub fn next_expiry(&self) -> Option<u64> {
        let (_, failures) = self.records.oldest()?;
        Some(failures.first_at.saturating_add(self.limit.window_ms).saturating_add(1))
    }

    /// Forgets every record whose window is over.
    pub fn expire(&mut self, now_mono: u64) {
        while self.next_expiry().is_some_and(|at| at <= now_mono) {
            self.records.pop_oldest();
        }
    }

    /// The number of keys with failures.
    pub fn records(&self) -> usize {
        self.records.len()
    }
}

/// `RATE_LIMITED` with the time after which it makes sense to try again.
pub fn too_many_attempts(message: &'static str, retry_after_ms: u64) -> OpError {
    let details: Object =
        [("retryAfterMs", Json::Number(retry_after_ms as f64))].into_iter().collect();
    OpError::new(ErrorCode::RateLimited, message).with_details(Json::Object(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(max_attempts: u32, window_ms: u64) -> LoginLimiter {
        LoginLimiter::new(LoginRateLimit { max_attempts, window_ms })
    }

    fn retry_after(result: Result<(), OpError>) -> Option<f64> {
        let error = result.expect_err("locked");
        assert_eq!(error.code, ErrorCode::RateLimited);
        error.details?.get("retryAfterMs")?.as_number()
    }

    #[test]
    fn the_window_starts_at_the_first_failure_and_does_not_slide() {
        let mut limiter = limiter(2, 1000);
        let key = RateKey::User("ann".into());
        limiter.fail(&key, 100);
        assert_eq!(limiter.check(&key, 900), Ok(()));
        limiter.fail(&key, 900);
        assert_eq!(retry_after(limiter.check(&key, 900)), Some(200.0));
        assert_eq!(retry_after(limiter.check(&key, 1100)), Some(0.0));
        assert_eq!(limiter.check(&key, 1101), Ok(()));
        assert_eq!(limiter.records(), 0);
        limiter.fail(&key, 1200);
        assert_eq!(limiter.check(&key, 1200), Ok(()));
    }

    #[test]
    fn an_address_of_pairs_may_fail_twenty_times_as_often() {
        let mut limiter = LoginLimiter::of_pairs(LoginRateLimit { max_attempts: 3, window_ms: 9 });
        let ip = crate::address::Address::from([192, 0, 2, 7]);
        let keys = [RateKey::address(ip), RateKey::Secret(ip), RateKey::Login("ann".into(), ip)];
        for (key, most) in keys.into_iter().zip([60, 3, 3]) {
            for failures in 0..most {
                assert_eq!(limiter.check(&key, 1), Ok(()), "{key:?} {failures}");
                limiter.fail(&key, 1);
            }
            assert!(limiter.check(&key, 1).is_err(), "{key:?}");
        }
    }

    #[test]
    fn success_forgives_one_key_only() {
        let mut limiter = limiter(1, 1000);
        let user = RateKey::User("ann".into());
        let address = RateKey::address([192, 0, 2, 7].into());
        limiter.fail(&user, 0);
        limiter.fail(&address, 0);
        limiter.reset(&user);
        assert_eq!(limiter.check(&user, 1), Ok(()));
        assert!(limiter.check(&address, 1).is_err());
    }

    #[test]
    fn records_are_bounded_and_expire() {
        let mut limiter = limiter(1, 1000);
        for user in 0..MAX_RECORDS as u64 + 10 {
            limiter.fail(&RateKey::User(user.to_string().into()), user / 1000);
        }
        assert_eq!(limiter.records(), MAX_RECORDS);
        assert_eq!(limiter.check(&RateKey::User("9".into()), 100), Ok(()), "the oldest went");
        assert!(limiter.check(&RateKey::User("10".into()), 100).is_err());
        assert_eq!(limiter.next_expiry(), Some(1001));
        limiter.expire(1001);
        assert_eq!(limiter.records(), MAX_RECORDS - 990);
        limiter.expire(5000);
        assert_eq!(limiter.records(), 0);
    }
}
