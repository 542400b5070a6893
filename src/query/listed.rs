//! What operators are shown of views: who they are for, what they hold and what
//! they cost.

use super::entry::{Entry, Lately, SlowView};
use super::ids::ViewId;
use super::live::Live;
use super::views::Views;
use crate::store::Store;

/// Characters of parameters that are shown.
const MOST_PARAMS: usize = 256;

/// What is worth remembering until somebody asks.
const SLOW_MICROS: u64 = 1_000;

/// Which views are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WantedViews<'w> {
    pub query: Option<&'w str>,
    pub bucket: Option<&'w str>,
}

/// One view.
#[derive(Clone, Debug)]
pub(crate) struct ViewRow {
    pub id: ViewId,
    pub number: u64,
    /// Of one without a name, what people are told about it.
    pub query: Box<str>,
    pub buckets: Vec<Box<str>>,
    pub params: Box<str>,
    pub has_read_filter: bool,
    pub state: &'static str,
    pub routed_by: Vec<Box<str>>,
    pub fallback: Option<&'static str>,
    pub commits: u64,
    pub changes: u64,
    pub reruns: u64,
    pub refills: u64,
    pub rows: Option<usize>,
    pub result_bytes: Option<usize>,
    pub bytes: usize,
    pub subscribers: usize,
    pub is_costly: bool,
    pub micros: u64,
    pub largest_micros: u64,
    pub last_micros: u64,
    pub pushed_bytes: u64,
    pub lately: Lately,
    pub created_at: u64,
}

/// As somebody gave them who subscribed.
fn params_of(entry: &Entry) -> Box<str> {
    match &entry.live {
        Live::Declared(view) => view.described_params().to_text().into(),
        Live::Program(..) | Live::Derived(..) => entry.key.params.clone(),
    }
}

impl Views {
    /// One has followed a commit.
    pub(super) fn count_followed(&mut self, id: ViewId, micros: u64) {
        let now = self.now;
        let Some(entry) = self.entry_mut(id) else { return };
        entry.upkeep.count(micros);
        let reruns = entry.live.stats().reruns;
        let more = reruns.saturating_sub(std::mem::replace(&mut entry.upkeep.reruns, reruns));
        let lately = Lately {
            commits: 1,
            reruns: u32::try_from(more).unwrap_or(u32::MAX),
            ..Lately::default()
        };
        entry.upkeep.recent.add(now, lately);
        let reason = entry.live.fallback();
        self.followed += 1;
        if more > 0 {
            *self.reruns.entry(reason.unwrap_or("rebuild")).or_default() += more;
        }
        if micros < SLOW_MICROS || self.slow.as_ref().is_some_and(|slow| slow.micros >= micros) {
            return;
        }
        let Some(entry) = self.entry(id) else { return };
        let query = self.name_of(entry).unwrap_or_default().into();
        self.slow = Some(SlowView { query, micros, fallback: entry.live.fallback() });
    }

    /// The slowest since the last call, if one was slow.
    pub fn take_slow(&mut self) -> Option<SlowView> {
        self.slow.take()
    }

    /// So many bytes of its results were queued for subscribers.
    pub fn note_pushed(&mut self, id: ViewId, bytes: u64) {
        let now = self.now;
        if let Some(entry) = self.entry_mut(id) {
            entry.upkeep.pushed_bytes = entry.upkeep.pushed_bytes.saturating_add(bytes);
            let lately = Lately { pushed_bytes: bytes, ..Lately::default() };
            entry.upkeep.recent.add(now, lately);
        }
    }

    /// The views that are wanted; `now` in monotonic milliseconds.
    pub fn listed(&self, store: &Store, wanted: WantedViews<'_>, now: u64) -> Vec<ViewRow> {
        let bucket = wanted.bucket.and_then(|name| store.bucket_id(name));
        let all = self.views.iter().filter(|(_, entry)| {
            bucket.is_none_or(|bucket| entry.live.reads(bucket))
                && wanted.query.is_none_or(|query| self.name_of(entry) == Some(query))
        });
        all.map(|(slot, entry)| self.row(store, ViewId::numbered(slot), entry, now)).collect()
    }

    /// Of a query without a name, what people are told about it.
    fn name_of(&self, entry: &Entry) -> Option<&str> {
        self.queries.get(&entry.query).map(|query| &*query.name)
    }

    fn row(&self, store: &Store, id: ViewId, entry: &Entry, now: u64) -> ViewRow {
        let query = self.queries.get(&entry.query);
        let (live, upkeep) = (&entry.live, &entry.upkeep);
        let buckets = live.buckets().into_iter().filter_map(|bucket| store.bucket(bucket));
        let routes = entry.routes.iter().flat_map(|(_, route)| route.fields());
        let stats = live.stats();
        let (rows, result_bytes) = live.size();
        ViewRow {
            id,
            number: upkeep.number,
            query: self.name_of(entry).unwrap_or_default().into(),
            buckets: buckets.map(|bucket| bucket.name().into()).collect(),
            params: params_of(entry).chars().take(MOST_PARAMS).collect(),
            has_read_filter: entry.key.read_filter.is_some(),
            state: live.describe(),
            routed_by: routes.map(Box::from).collect(),
            fallback: live.fallback(),
            commits: stats.commits,
            changes: stats.changes,
            reruns: stats.reruns,
            refills: live.refills(),
            rows,
            result_bytes,
            bytes: live.memory(),
            subscribers: live.subscribers(),
            is_costly: query.is_some_and(|query| query.costly.is_some()),
            micros: upkeep.micros,
            largest_micros: upkeep.largest_micros,
            last_micros: upkeep.last_micros,
            pushed_bytes: upkeep.pushed_bytes,
            lately: upkeep.recent.sum(now),
            created_at: upkeep.created_at,
        }
    }
}
