//! Filters that no index serves, by bucket and fields, over recent minutes.

use hashbrown::HashMap;

use super::insights::{Insight, Severity};
use crate::engine::Engine;
use crate::json::{Json, Object, Raw};
use crate::protocol::Request;
use crate::store::{Bucket, BucketId};

/// How many kinds of filters are told apart.
const MOST: usize = 256;
/// Over how long they are counted.
const WINDOW_MS: u64 = 5 * 60_000;
/// From so many records a minute on it is worth a word.
const WORTH_A_MINUTE: u64 = 100_000;
/// Bytes of the names of fields.
const MOST_NAMES: usize = 200;
/// Conditions and operations that are looked at for names: no budget pays for it.
const MOST_LOOKED_AT: usize = 1_000;

#[derive(Clone, Debug, Default)]
struct Seen {
    since: u64,
    requests: u64,
    looked_at: u64,
    found: u64,
}

/// The names that a filter asks about, in its order, each once.
type Names = Box<[Box<str>]>;

/// See the module's description.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scans {
    seen: HashMap<(BucketId, Names), Seen>,
}

/// One kind of filter that an index would serve better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Scan {
    pub bucket: BucketId,
    pub fields: Names,
    pub since: u64,
    pub requests: u64,
    pub looked_at: u64,
}

impl Scans {
    fn count(&mut self, key: (BucketId, Names), now: u64, looked_at: u64, found: u64) {
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

/// The fields that a request asks about, as far as it is looked at.
struct Asked {
    names: Vec<Box<str>>,
    left: usize,
}

impl Asked {
    /// Whether one more condition or operation may be looked at.
    fn goes_on(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// Adds the fields of a filter, those of alternatives included.
    fn add(&mut self, filter: Raw<'_>) {
        for (name, value) in filter.members() {
            if !self.goes_on() {
                return;
            }
            if matches!(&*name, "$and" | "$or") {
                for part in value.elements() {
                    if !self.goes_on() {
                        return;
                    }
                    self.add(part);
                }
            } else if !name.starts_with('$') && !self.names.iter().any(|have| **have == *name) {
                let bytes: usize = self.names.iter().map(|name| name.len()).sum();
                if bytes + name.len() > MOST_NAMES {
                    self.left = 0;
                    return;
                }
                self.names.push(name.into());
            }
        }
    }
}

/// The fields by which a request looked for records of a bucket: those of its filter,
/// or of the filters in its transaction.
fn fields_of(request: &Request<'_>, bucket: &str) -> Names {
    let mut asked = Asked { names: Vec::new(), left: MOST_LOOKED_AT };
    if let Some(filter) = request.field("filter") {
        asked.add(filter);
    }
    for operation in request.field("operations").iter().flat_map(|all| all.elements()) {
        if !asked.goes_on() {
            break;
        }
        let is_there = operation.get("bucket").and_then(Raw::as_str).is_some_and(|at| at == bucket);
        if let Some(filter) = operation.get("filter").filter(|_| is_there) {
            asked.add(filter);
        }
    }
    asked.names.into()
}

/// What would serve such filters: a message that adds an index, if one can.
fn cure_of(bucket: &Bucket, fields: &[Box<str>]) -> String {
    let definition = bucket.definition();
    let is_indexed = |field: &str| {
        field == &*definition.key
            || bucket.indexes().iter().any(|index| index.field().name() == field)
    };
    let declared = |field: &str| definition.field(field).is_some();
    if let Some(field) = fields.iter().find(|field| declared(field) && !is_indexed(field)) {
        let updates = Json::Object(
            [("addIndexes", Json::Array(vec![Json::from(&**field)]))].into_iter().collect(),
        );
        let message: Object = [
            ("type", Json::from("store.updateBucket")),
            ("name", Json::from(bucket.name())),
            ("updates", updates),
        ]
        .into_iter()
        .collect();
        return Json::Object(message).to_text();
    }
    match fields.iter().any(|field| is_indexed(field)) {
        true => "look for whole values: an index does not serve these operators".into(),
        false => "declare the fields in the schema, and an index on one of them".into(),
    }
}

impl Engine {
    /// A request has ended: what it walked through is remembered.
    pub(in crate::engine) fn note_scan(&mut self, request: &Request<'_>) {
        let Some(id) = self.budget.scanned().map(BucketId) else { return };
        let Some(bucket) = self.store.bucket(id) else { return };
        let fields = fields_of(request, bucket.name());
        if fields.is_empty() {
            return;
        }
        let (looked_at, found) = (self.budget.looked_at(), self.budget.found());
        self.scans.count((id, fields), self.now.mono, looked_at, found);
    }

    pub(super) fn insights_of_reads(&self, most: usize, found: &mut Vec<Insight>) {
        let wall = |mono: u64| self.now.wall.saturating_sub(self.now.mono.saturating_sub(mono));
        for scan in self.scans.wasteful(self.now.mono).into_iter().take(most) {
            let Some(bucket) = self.store.bucket(scan.bucket) else { continue };
            let (name, fields) = (bucket.name(), scan.fields.join(", "));
            found.push(Insight {
                since: Some(wall(scan.since)),
                count: scan.looked_at,
                ..Insight::new(
                    ("scan", Severity::Warn),
                    name,
                    &format!(
                        "{} filters on {fields} looked at {} records of bucket \"{name}\", of which less than one in a hundred matched",
                        scan.requests, scan.looked_at
                    ),
                    &cure_of(bucket, &scan.fields),
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_looked_at_as_far_as_nobody_has_to_pay_for_it() {
        let looked_at = |parts: usize| {
            let parts: Vec<String> = (0..parts).map(|_| r#"{"a":1}"#.into()).collect();
            let filter = format!(r#"{{"$or":[{}],"z":1}}"#, parts.join(","));
            let mut asked = Asked { names: Vec::new(), left: MOST_LOOKED_AT };
            asked.add(Raw::checked(&filter));
            (asked.names.len(), asked.left)
        };
        assert_eq!(looked_at(100), (2, MOST_LOOKED_AT - 202));
        assert_eq!(looked_at(10_000), (1, 0));
    }

    #[test]
    fn what_looks_at_much_and_finds_little_is_told() {
        let mut scans = Scans::default();
        let key = |at: u32, name: &str| (BucketId(at), Names::from([Box::from(name)]));
        for at in 0..10 {
            scans.count(key(1, "maker"), at * 1_000, 50_000, 3);
            scans.count(key(1, "qty"), at * 1_000, 50_000, 5_000);
            scans.count(key(2, "maker"), at * 1_000, 500, 0);
        }
        let told = scans.wasteful(10_000);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].requests, told[0].looked_at), (10, 500_000));
        assert_eq!(told[0].fields.join(", "), "maker");
        assert_eq!(scans.wasteful(WINDOW_MS), Vec::new());
        for at in 0..1_000 {
            scans.count(key(3, &format!("f{at}")), 20_000, 1, 0);
        }
        assert_eq!(scans.seen.len(), MOST);
    }
}
