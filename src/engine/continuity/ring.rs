//! Recent changes: which key of which bucket, in which commit.
//!
//! Every change above [`Ring::from`] is here, unless a *barrier* of its bucket
//! stands behind it: something that altered its records or their order without
//! naming each. What is evicted, or stands before a barrier, is given back a page
//! at a time.

mod page;

pub(crate) use page::KeyText;
use page::{Page, weight};

use std::collections::{BTreeSet, VecDeque};

use hashbrown::{HashMap, HashSet};

use crate::app::CommitSeq;
use crate::logic::COMPUTED;
use crate::storage::{Batch, Op};
use crate::store::{BucketId, Commit, DefinitionChange, Key, Store};

/// What one change counts, beside the characters of its key.
pub const CHANGE_BYTES: usize = 48;

/// Pages that are given back for each commit.
const PAGES_A_COMMIT: usize = 4;

/// The changes of one bucket, ascending.
#[derive(Debug, Default)]
struct Shelf {
    /// None of them is empty.
    pages: VecDeque<Page>,
    /// The newest change or barrier.
    touched: CommitSeq,
    barrier: CommitSeq,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Bytes of what is kept.
    most: usize,
    bytes: usize,
    entries: usize,
    shelves: HashMap<BucketId, Shelf>,
    /// The oldest change of each shelf that has one.
    fronts: BTreeSet<(CommitSeq, BucketId)>,
    /// What nobody asks for any more.
    discarded: Vec<Page>,
    from: CommitSeq,
    /// What it was at the start.
    first_from: CommitSeq,
}

impl Shelf {
    fn oldest(&self) -> Option<CommitSeq> {
        self.pages.front()?.oldest()
    }

    fn push(&mut self, commit: CommitSeq, key: &Key) {
        if self.pages.back().is_none_or(Page::is_full) {
            self.pages.back_mut().into_iter().for_each(Page::close);
            self.pages.push_back(Page::default());
        }
        if let Some(page) = self.pages.back_mut() {
            page.push(commit, key);
        }
    }

    /// Lets go of the oldest; what it weighed.
    fn pop(&mut self) -> Option<usize> {
        let page = self.pages.front_mut()?;
        let weight = page.pop();
        if page.len() == 0 {
            self.pages.pop_front();
        }
        Some(weight)
    }

    /// The newest first, down to those of `commit`, which are not among them.
    fn newer(&self, commit: CommitSeq) -> impl Iterator<Item = KeyText<'_>> {
        let changes = self.pages.iter().rev().flat_map(|page| page.iter().rev());
        changes.take_while(move |(at, _)| *at > commit).map(|(_, key)| key)
    }
}

impl Ring {
    /// One that knows nothing of what was before `from`.
    pub fn new(most: usize, from: CommitSeq) -> Ring {
        Ring {
            most,
            bytes: 0,
            entries: 0,
            shelves: HashMap::new(),
            fronts: BTreeSet::new(),
            discarded: Vec::new(),
            from,
            first_from: from,
        }
    }

    /// Every change above this is here, or behind it a barrier.
    pub fn from(&self) -> CommitSeq {
        self.from
    }

    /// Changes that can be asked for.
    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest change of a bucket that is kept, nothing if that was before
    /// what is known.
    pub fn known_touch(&self, bucket: BucketId) -> Option<CommitSeq> {
        self.shelves.get(&bucket).map(|shelf| shelf.touched)
    }

    /// No change of the bucket is newer.
    pub fn touched(&self, bucket: BucketId) -> CommitSeq {
        self.known_touch(bucket).unwrap_or(self.first_from)
    }

    /// The newest barrier of a bucket.
    pub fn barrier(&self, bucket: BucketId) -> CommitSeq {
        self.shelves.get(&bucket).map_or(0, |shelf| shelf.barrier)
    }

    /// The keys that changed after `commit`, newest first; one may come often.
    pub fn changed(
        &self,
        bucket: BucketId,
        commit: CommitSeq,
    ) -> impl Iterator<Item = KeyText<'_>> {
        self.shelves.get(&bucket).into_iter().flat_map(move |shelf| shelf.newer(commit))
    }

    /// Follows a commit, as far as its buckets are kept.
    pub fn follow(
        &mut self,
        number: CommitSeq,
        commit: &Commit,
        is_kept: impl Fn(BucketId) -> bool,
    ) {
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(defined) | DefinitionChange::Updated(defined) => {
                    match is_kept(defined.bucket) {
                        true => self.bar(defined.bucket, number),
                        false => self.forget(defined.bucket),
                    }
                }
                DefinitionChange::Dropped { bucket, .. } => self.forget(*bucket),
            }
        }
        for (bucket, _) in commit.cleared.iter().filter(|(id, _)| is_kept(*id)) {
            self.bar(*bucket, number);
        }
        for (bucket, _) in commit.counters.iter().filter(|(id, _)| is_kept(*id)) {
            self.touch(*bucket, number);
        }
        for change in commit.changes.iter().filter(|change| is_kept(change.bucket)) {
            self.add(change.bucket, number, &change.key);
        }
        self.give_back();
    }

    fn touch(&mut self, bucket: BucketId, number: CommitSeq) -> &mut Shelf {
        let shelf = self.shelves.entry(bucket).or_default();
        shelf.touched = shelf.touched.max(number);
        shelf
    }

    fn add(&mut self, bucket: BucketId, number: CommitSeq, key: &Key) {
        let most = self.most;
        let shelf = self.touch(bucket, number);
        if most == 0 {
            self.from = self.from.max(number);
            return;
        }
        let is_first = shelf.pages.is_empty();
        shelf.push(number, key);
        if is_first {
            self.fronts.insert((number, bucket));
        }
        self.bytes = self.bytes.saturating_add(weight(key));
        self.entries += 1;
        while self.bytes > self.most && self.evict() {}
    }

    /// Something of the bucket changed that is not named.
    pub fn bar(&mut self, bucket: BucketId, number: CommitSeq) {
        let shelf = self.touch(bucket, number);
        shelf.barrier = shelf.barrier.max(number);
        let (oldest, pages) = (shelf.oldest(), std::mem::take(&mut shelf.pages));
        self.discard(bucket, oldest, pages);
    }

    fn forget(&mut self, bucket: BucketId) {
        if let Some(shelf) = self.shelves.remove(&bucket) {
            self.discard(bucket, shelf.oldest(), shelf.pages);
        }
    }

    fn discard(&mut self, bucket: BucketId, oldest: Option<CommitSeq>, pages: VecDeque<Page>) {
        if let Some(oldest) = oldest {
            self.fronts.remove(&(oldest, bucket));
        }
        self.entries = self.entries.saturating_sub(pages.iter().map(Page::len).sum());
        self.discarded.extend(pages);
    }

    /// Frees some of what was discarded.
    fn give_back(&mut self) {
        for _ in 0..PAGES_A_COMMIT {
            let Some(page) = self.discarded.pop() else { return };
            self.bytes = self.bytes.saturating_sub(page.weight());
        }
    }

    /// Lets go of the oldest change of all. False if there is none.
    fn evict(&mut self) -> bool {
        if !self.discarded.is_empty() {
            self.give_back();
            return true;
        }
        let Some((commit, bucket)) = self.fronts.pop_first() else { return false };
        self.from = self.from.max(commit);
        let Some(shelf) = self.shelves.get_mut(&bucket) else { return true };
        if let Some(weight) = shelf.pop() {
            self.bytes = self.bytes.saturating_sub(weight);
            self.entries = self.entries.saturating_sub(1);
        }
        if let Some(oldest) = shelf.oldest() {
            self.fronts.insert((oldest, bucket));
        }
        true
    }

    /// Holds what must be true between two calls.
    ///
    /// # Panics
    /// When it is not.
    pub fn check_invariants(&self) {
        let pages = || self.shelves.values().flat_map(|shelf| &shelf.pages);
        assert_eq!(self.entries, pages().map(Page::len).sum::<usize>(), "changes");
        let bytes: usize = pages().chain(&self.discarded).map(Page::weight).sum();
        assert_eq!(self.bytes, bytes, "bytes of changes");
        assert!(self.bytes <= self.most, "the ring is within its bounds");
        let mut fronts = BTreeSet::new();
        for (bucket, shelf) in &self.shelves {
            let changes = shelf.pages.iter().flat_map(|page| page.iter().map(|(at, _)| at));
            let all: Vec<CommitSeq> = changes.collect();
            assert!(all.is_sorted(), "changes ascend");
            let all = all.into_iter();
            assert!(all.clone().all(|commit| commit >= shelf.barrier), "all behind the barrier");
            assert!(all.max().unwrap_or(0).max(shelf.barrier) <= shelf.touched, "the newest");
            assert!(shelf.pages.iter().all(|page| page.len() > 0), "no empty page");
            fronts.extend(shelf.oldest().map(|oldest| (oldest, *bucket)));
        }
        assert_eq!(self.fronts, fronts, "the oldest of each bucket");
    }
}

/// A ring that is filled from stored batches, newest first.
#[derive(Debug)]
pub(crate) struct Past {
    /// What it will have, but for the changes.
    ring: Ring,
    /// Newest first.
    changes: Vec<(CommitSeq, BucketId, Key)>,
    /// Everything above is known.
    reached: CommitSeq,
    /// Buckets of which nothing older matters.
    barred: HashSet<BucketId>,
}

impl Past {
    /// `newest`: the last commit that is stored.
    pub fn before(most: usize, newest: CommitSeq) -> Past {
        let (ring, changes) = (Ring::new(most, newest), Vec::new());
        Past { ring, changes, reached: newest, barred: HashSet::new() }
    }

    /// Takes the batch before those that were taken. Whether it wants another.
    pub fn take(&mut self, batch: &Batch, store: &Store) -> bool {
        if batch.last != self.reached || self.ring.most == 0 {
            return false;
        }
        let steps: Vec<(CommitSeq, &Op)> = batch.numbered().collect();
        for (number, op) in steps.into_iter().rev() {
            if !self.step(number, op, store) {
                // The rest of that commit is not known.
                self.reached = number;
                return false;
            }
        }
        self.reached = batch.first.saturating_sub(1);
        true
    }

    /// One step further back. False: there is no room for it.
    fn step(&mut self, number: CommitSeq, op: &Op, store: &Store) -> bool {
        let barred = match op {
            Op::Bucket(entry) => Some(entry.id),
            Op::DropBucket(bucket) | Op::Clear(bucket) => Some(*bucket),
            Op::Document(document) if document.kind == COMPUTED => store.bucket_id(&document.name),
            Op::Forget { kind, name } if kind == COMPUTED => store.bucket_id(name),
            Op::Put(record) => return self.change(record.bucket, number, &record.key, store),
            Op::Delete { bucket, key, .. } => return self.change(*bucket, number, key, store),
            Op::Counter { .. } | Op::Document(_) | Op::Forget { .. } => None,
        };
        if let Some(bucket) = barred.filter(|bucket| store.bucket(*bucket).is_some())
            && self.barred.insert(bucket)
        {
            let shelf = self.ring.touch(bucket, number);
            shelf.barrier = number;
        }
        true
    }

    fn change(&mut self, bucket: BucketId, number: CommitSeq, key: &Key, store: &Store) -> bool {
        if store.bucket(bucket).is_none() || self.barred.contains(&bucket) {
            return true;
        }
        let bytes = self.ring.bytes.saturating_add(weight(key));
        if bytes > self.ring.most {
            return false;
        }
        (self.ring.bytes, self.ring.entries) = (bytes, self.ring.entries + 1);
        self.ring.touch(bucket, number);
        self.changes.push((number, bucket, key.clone()));
        true
    }

    pub fn into_ring(self) -> Ring {
        let Past { mut ring, changes, reached, .. } = self;
        (ring.from, ring.first_from) = (reached, reached);
        for (number, bucket, key) in changes.into_iter().rev() {
            ring.shelves.entry(bucket).or_default().push(number, &key);
        }
        let oldest = |(bucket, shelf): (&BucketId, &Shelf)| Some((shelf.oldest()?, *bucket));
        ring.fronts = ring.shelves.iter().filter_map(oldest).collect();
        ring
    }
}

#[cfg(test)]
mod tests;
