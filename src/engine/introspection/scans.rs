//! Filters that no index serves, by bucket and fields, over recent minutes.

use hashbrown::HashMap;

use crate::engine::Engine;
use crate::json::Raw;
use crate::protocol::Request;
use crate::store::BucketId;

/// How many kinds of filters are told apart.
const MOST: usize = 256;
/// Over how long they are counted.
const WINDOW_MS: u64 = 5 * 60_000;
/// From so many records a minute on it is worth a word.
const WORTH_A_MINUTE: u64 = 100_000;
/// Characters of the names of fields.
const MOST_NAMES: usize = 200;

#[derive(Clone, Debug, Default)]
struct Seen {
    since: u64,
    requests: u64,
    looked_at: u64,
    found: u64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scans {
    seen: HashMap<(BucketId, Box<str>), Seen>,
}

/// One kind of filter that an index would serve better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Scan {
    pub bucket: BucketId,
    /// Names, separated by commas.
    pub fields: Box<str>,
    pub since: u64,
    pub requests: u64,
    pub looked_at: u64,
}

impl Scans {
    fn count(&mut self, key: (BucketId, Box<str>), now: u64, looked_at: u64, found: u64) {
        if self.seen.len() >= MOST && !self.seen.contains_key(&key) {
            self.seen.retain(|_, seen| now < seen.since.saturating_add(WINDOW_MS));
            if self.seen.len() >= MOST {
                return;
            }
        }
        let seen = self.seen.entry(key).or_default();
        if seen.requests == 0 || now >= seen.since.saturating_add(WINDOW_MS) {
            *seen = Seen { since: now, ..Seen::default() };
        }
        seen.requests += 1;
        seen.looked_at += looked_at;
        seen.found += found;
    }

    /// Those that have looked at much and found little.
    pub fn wasteful(&self, now: u64) -> Vec<Scan> {
        let worth = self.seen.iter().filter(|(_, seen)| {
            let minutes = now.saturating_sub(seen.since).div_ceil(60_000).max(1);
            now < seen.since.saturating_add(WINDOW_MS)
                && seen.looked_at / minutes >= WORTH_A_MINUTE
                && seen.found.saturating_mul(100) < seen.looked_at
        });
        let mut scans: Vec<Scan> = worth
            .map(|((bucket, fields), seen)| Scan {
                bucket: *bucket,
                fields: fields.clone(),
                since: seen.since,
                requests: seen.requests,
                looked_at: seen.looked_at,
            })
            .collect();
        scans.sort_by(|a, b| b.looked_at.cmp(&a.looked_at).then_with(|| a.fields.cmp(&b.fields)));
        scans
    }
}

/// The fields of a filter by name, in its order.
fn fields_of(filter: Raw<'_>) -> Box<str> {
    let mut names = String::new();
    for (name, _) in filter.members().filter(|(name, _)| !name.starts_with('$')) {
        if names.len() + name.len() > MOST_NAMES {
            break;
        }
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(&name);
    }
    names.into()
}

impl Engine {
    /// A request has ended: what it walked through is remembered.
    pub(in crate::engine) fn note_scan(&mut self, request: &Request<'_>) {
        let Some(bucket) = self.budget.scanned() else { return };
        let Some(filter) = request.field("filter") else { return };
        let fields = fields_of(filter);
        if fields.is_empty() {
            return;
        }
        let (looked_at, found) = (self.budget.spent(), self.budget.found());
        self.scans.count((BucketId(bucket), fields), self.now.mono, looked_at, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_at_much_and_finds_little_is_told() {
        let mut scans = Scans::default();
        let key = |at: u32, name: &str| (BucketId(at), Box::from(name));
        for at in 0..10 {
            scans.count(key(1, "maker"), at * 1_000, 50_000, 3);
            scans.count(key(1, "qty"), at * 1_000, 50_000, 5_000);
            scans.count(key(2, "maker"), at * 1_000, 500, 0);
        }
        let told = scans.wasteful(10_000);
        assert_eq!(told.len(), 1);
        assert_eq!((&*told[0].fields, told[0].requests, told[0].looked_at), ("maker", 10, 500_000));
        assert_eq!(scans.wasteful(WINDOW_MS), Vec::new());
        for at in 0..1_000 {
            scans.count(key(3, &format!("f{at}")), 20_000, 1, 0);
        }
        assert_eq!(scans.seen.len(), MOST);
    }
}
