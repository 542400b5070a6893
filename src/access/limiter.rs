//! The request budget of a user or an address (protocol.md section 9).

use std::collections::VecDeque;
use std::sync::Arc;

use super::aging::AgingMap;
use crate::address::Address;

/// More keys than this are never kept; the one used longest ago is forgotten.
/// A key costs a few hundred bytes, so this bounds the table to some hundred
/// megabytes under an attack from a million addresses within one window.
const MAX_KEYS: usize = 1_000_000;

/// Whose budget a request uses. Users and addresses never share one, whatever
/// a user is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    User(Arc<str>),
    /// As [`Address::client`] has it.
    Address(Address),
    /// A name that somebody from an address wants to log in with.
    Login(Arc<str>, Address),
    /// Somebody from an address who says to know the admin's secret.
    Secret(Address),
}

impl RateKey {
    pub fn address(address: Address) -> Self {
        RateKey::Address(address.client())
    }
}

/// The accepted requests of one key inside the window: how many arrived in
/// which millisecond, oldest first. Runs instead of single times, so a flood
/// costs memory per millisecond and not per request.
#[derive(Debug, Default)]
struct Accepted {
    runs: VecDeque<(u64, u32)>,
    count: u32,
}

/// A sliding log per key. Times are milliseconds on the monotonic clock.
///
/// A request at `now` is accepted if fewer than `max_requests` accepted ones
/// lie in `(now - window, now]`. Refused requests leave no trace.
#[derive(Debug)]
pub struct RateLimiter {
    max_requests: u32,
    window_ms: u64,
    keys: AgingMap<RateKey, Accepted>,
}

impl RateLimiter {
    pub fn new(max_requests: u32, window_ms: u64) -> Self {
        Self { max_requests, window_ms, keys: AgingMap::default() }
    }

    /// Takes one request from the budget of `key`, or tells in how many
    /// milliseconds (at least 1) there will be room for one. O(1) amortised.
    pub fn check(&mut self, key: &RateKey, now_mono: u64) -> Result<(), u64> {
        self.check_many(key, 1, now_mono)
    }

    /// As [`RateLimiter::check`], for so many requests: all of them or none. More
    /// than a window takes are refused until they are asked for in parts.
    pub fn check_many(&mut self, key: &RateKey, cost: u32, now_mono: u64) -> Result<(), u64> {
        if self.max_requests == 0 {
            return Err(0);
        }
        self.expire(now_mono);
        if let Some(accepted) = self.keys.get_mut(key) {
            while let Some(&(time, count)) = accepted.runs.front() {
                if time.saturating_add(self.window_ms) > now_mono {
                    break;
                }
                accepted.runs.pop_front();
                accepted.count = accepted.count.saturating_sub(count);
            }
            if accepted.count.saturating_add(cost) > self.max_requests {
                let oldest = accepted.runs.front().map_or(now_mono, |(time, _)| *time);
                return Err(oldest.saturating_add(self.window_ms).saturating_sub(now_mono).max(1));
            }
            accepted.count += cost;
            match accepted.runs.back_mut() {
                Some((time, count)) if *time >= now_mono => *count += cost,
                _ => accepted.runs.push_back((now_mono, cost)),
            }
            self.keys.touch(key);
            return Ok(());
        }
        if cost > self.max_requests {
            return Err(self.window_ms.max(1));
        }
        if self.keys.len() >= MAX_KEYS {
            self.keys.pop_oldest();
        }
        let accepted = Accepted { runs: VecDeque::from([(now_mono, cost)]), count: cost };
        self.keys.insert(key.clone(), accepted);
        Ok(())
    }

    /// The monotonic time at which the next key can be forgotten.
    pub fn next_expiry(&self) -> Option<u64> {
        let (_, accepted) = self.keys.oldest()?;
        let newest = accepted.runs.back().map_or(0, |(time, _)| *time);
        Some(newest.saturating_add(self.window_ms))
    }

    /// Forgets every key whose newest request has left the window.
    pub fn expire(&mut self, now_mono: u64) {
        while self.next_expiry().is_some_and(|at| at <= now_mono) {
            self.keys.pop_oldest();
        }
    }

    /// The number of keys that are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> RateKey {
        RateKey::User(name.into())
    }

    #[test]
    fn the_window_slides_and_refusals_cost_nothing() {
        let mut limiter = RateLimiter::new(2, 100);
        let key = user("ann");
        assert_eq!(limiter.check(&key, 1000), Ok(()));
        assert_eq!(limiter.check(&key, 1040), Ok(()));
        assert_eq!(limiter.check(&key, 1040), Err(60));
        assert_eq!(limiter.check(&key, 1099), Err(1));
        // An entry at exactly `now - window` is outside.
        assert_eq!(limiter.check(&key, 1100), Ok(()));
        assert_eq!(limiter.check(&key, 1100), Err(40));
        assert_eq!(limiter.check(&key, 1140), Ok(()));
    }

    #[test]
    fn many_requests_in_one_millisecond_are_one_run() {
        let mut limiter = RateLimiter::new(1000, 50);
        let key = user("ann");
        for _ in 0..1000 {
            assert_eq!(limiter.check(&key, 7), Ok(()));
        }
        assert_eq!(limiter.check(&key, 8), Err(49));
        assert_eq!(limiter.keys.get(&key).map(|accepted| accepted.runs.len()), Some(1));
        assert_eq!(limiter.check(&key, 57), Ok(()));
    }

    #[test]
    fn users_and_addresses_are_kept_apart() {
        let mut limiter = RateLimiter::new(1, 100);
        let address = Address::from([10, 0, 0, 7]);
        assert_eq!(limiter.check(&user("10.0.0.7"), 0), Ok(()));
        assert_eq!(limiter.check(&RateKey::address(address), 0), Ok(()));
        assert_eq!(limiter.check(&user("10.0.0.7"), 0), Err(100));
        assert_eq!(limiter.check(&RateKey::address(address), 0), Err(100));
    }

    #[test]
    fn keys_are_forgotten_when_their_window_is_over() {
        let mut limiter = RateLimiter::new(3, 1000);
        for at in 0..100_000u64 {
            let key = RateKey::Address((at as u32).to_be_bytes().into());
            assert_eq!(limiter.check(&key, at / 200), Ok(()));
        }
        assert_eq!(limiter.keys(), 100_000);
        assert_eq!(limiter.next_expiry(), Some(1000));
        limiter.expire(1000);
        assert_eq!(limiter.keys(), 100_000 - 200);
        limiter.expire(1499);
        assert_eq!(limiter.keys(), 0);
        assert_eq!(limiter.next_expiry(), None);
    }

    #[test]
    fn a_clock_that_stands_still_or_steps_back_does_no_harm() {
        let mut limiter = RateLimiter::new(2, 100);
        let key = user("ann");
        assert_eq!(limiter.check(&key, 500), Ok(()));
        assert_eq!(limiter.check(&key, 400), Ok(()));
        assert_eq!(limiter.check(&key, 400), Err(200));
        assert_eq!(limiter.check(&key, 600), Ok(()));
        assert_eq!(RateLimiter::new(0, 100).check(&key, 1), Err(0));
    }
}
