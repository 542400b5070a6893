//! Recent changes: which key of which bucket, in which commit.
//!
//! Every change above [`Ring::from`] is here, unless a *barrier* of its bucket
//! stands behind it: something that altered its records or their order without
//! naming each. All buckets share one row of pages, in which each change says
//! where the one before it of the same bucket is; so the oldest page goes as a
//! whole, whosever its changes are, and its memory becomes the next one.

mod page;

pub(crate) use page::KeyText;
use page::{Back, Found, Page, weight};

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use crate::app::CommitSeq;
use crate::logic::COMPUTED;
use crate::storage::{Batch, Op};
use crate::store::{BucketId, Commit, DefinitionChange, Key, Store};

/// What one change counts, beside the characters of its key.
pub const CHANGE_BYTES: usize = 48;

/// A ring takes no more, whatever it may: places in it are short.
const MOST: usize = 1 << 31;

/// What a page takes, unless the ring is small.
const PAGE_BYTES: usize = 64 << 10;

/// A page is no larger than this part of the ring: so much may be missing of it.
const SMALLEST_PART: usize = 64;

/// Where a change lies. It may have gone meanwhile.
#[derive(Clone, Copy, Debug)]
struct Place {
    page: u64,
    at: u32,
}

/// What is known of one bucket.
#[derive(Debug, Default)]
struct Shelf {
    /// Its newest change that stands behind the barrier.
    newest: Option<Place>,
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
    /// Oldest first; none of them is empty.
    pages: VecDeque<Page>,
    /// The number of the oldest page.
    oldest: u64,
    /// Memory of a page that is gone.
    spare: Vec<u8>,
    from: CommitSeq,
    /// What it was at the start.
    first_from: CommitSeq,
}

impl Ring {
    /// One that knows nothing of what was before `from`.
    pub fn new(most: usize, from: CommitSeq) -> Ring {
        Ring {
            most: most.min(MOST),
            bytes: 0,
            entries: 0,
            shelves: HashMap::new(),
            pages: VecDeque::new(),
            oldest: 0,
            spare: Vec::new(),
            from,
            first_from: from,
        }
    }

    /// Every change above this is here, or behind it a barrier.
    pub fn from(&self) -> CommitSeq {
        self.from
    }

    /// Changes that are kept, those before a barrier too.
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
        let mut next = self.shelves.get(&bucket).and_then(|shelf| shelf.newest);
        std::iter::from_fn(move || {
            let place = next.take()?;
            let found = self.get(place).filter(|found| found.commit > commit)?;
            next = place.back(found.back);
            Some(found.key)
        })
    }

    fn get(&self, place: Place) -> Option<Found<'_>> {
        let page = usize::try_from(place.page.checked_sub(self.oldest)?).ok()?;
        self.pages.get(page)?.get(place.at)
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
        // No result depends on a counter: what an insert that was refused uses up
        // touches nothing.
        for change in commit.changes.iter().filter(|change| is_kept(change.bucket)) {
            self.add(change.bucket, number, &change.key);
        }
    }

    fn touch(&mut self, bucket: BucketId, number: CommitSeq) -> &mut Shelf {
        let shelf = self.shelves.entry(bucket).or_default();
        shelf.touched = shelf.touched.max(number);
        shelf
    }

    fn add(&mut self, bucket: BucketId, number: CommitSeq, key: &Key) {
        let weight = weight(key);
        while self.bytes.saturating_add(weight) > self.most && self.evict() {}
        if weight > self.most {
            self.touch(bucket, number);
            self.from = self.from.max(number);
            return;
        }
        self.push(bucket, number, key, weight);
    }

    /// What a page weighs when it is full.
    fn page_bytes(&self) -> usize {
        PAGE_BYTES.min(self.most / SMALLEST_PART)
    }

    /// Adds a change for which there is room.
    fn push(&mut self, bucket: BucketId, number: CommitSeq, key: &Key, weight: usize) {
        let usual = self.page_bytes();
        if self.pages.back().is_none_or(|page| page.weight() >= usual) {
            self.pages.back_mut().into_iter().for_each(Page::close);
            self.pages.push_back(Page::within(std::mem::take(&mut self.spare)));
        }
        let last = self.oldest.saturating_add(self.pages.len() as u64).saturating_sub(1);
        let Some(page) = self.pages.back_mut() else { return };
        let shelf = self.shelves.entry(bucket).or_default();
        shelf.touched = shelf.touched.max(number);
        let back = shelf.newest.map_or(Back::NONE, |newest| newest.seen_from(last));
        let at = page.push((number, key, weight), back, usual);
        shelf.newest = Some(Place { page: last, at });
        self.bytes = self.bytes.saturating_add(weight);
        self.entries += 1;
    }

    /// Something of the bucket changed that is not named.
    pub fn bar(&mut self, bucket: BucketId, number: CommitSeq) {
        let shelf = self.touch(bucket, number);
        shelf.barrier = shelf.barrier.max(number);
        // What is before it goes when its page does.
        shelf.newest = None;
    }

    fn forget(&mut self, bucket: BucketId) {
        self.shelves.remove(&bucket);
    }

    /// Lets go of the oldest page. False if there is none.
    fn evict(&mut self) -> bool {
        let Some(page) = self.pages.pop_front() else { return false };
        self.oldest += 1;
        self.from = self.from.max(page.newest());
        self.bytes = self.bytes.saturating_sub(page.weight());
        self.entries = self.entries.saturating_sub(page.len());
        let bytes = page.into_bytes();
        // Memory that a long key has made larger is not kept.
        if bytes.capacity() <= self.page_bytes() && bytes.capacity() > self.spare.capacity() {
            self.spare = bytes;
        }
        true
    }

    /// Holds what must be true between two calls.
    ///
    /// # Panics
    /// When it is not.
    pub fn check_invariants(&self) {
        assert_eq!(self.entries, self.pages.iter().map(Page::len).sum::<usize>(), "changes");
        assert_eq!(self.bytes, self.pages.iter().map(Page::weight).sum::<usize>(), "bytes");
        assert!(self.bytes <= self.most, "the ring is within its bounds");
        for (at, page) in (1..).zip(&self.pages) {
            page.check_invariants((at == self.pages.len()).then(|| self.page_bytes()));
        }
        let all = self.pages.iter().flat_map(|page| page.iter().map(|(_, found)| found.commit));
        assert!(all.is_sorted(), "changes ascend");
        let mut found = 0;
        for shelf in self.shelves.values() {
            assert!(shelf.barrier <= shelf.touched, "the newest");
            let (mut next, mut before) = (shelf.newest, shelf.touched);
            while let Some((place, change)) = next.and_then(|it| Some((it, self.get(it)?))) {
                assert!(change.commit <= before, "changes of a bucket descend");
                assert!(change.commit >= shelf.barrier, "all behind the barrier");
                (next, before) = (place.back(change.back), change.commit);
                found += 1;
            }
        }
        assert!(found <= self.entries, "no change is of two buckets");
    }
}

impl Place {
    /// From a place in a page with this number, or a later one.
    fn seen_from(self, page: u64) -> Back {
        // What is further back than this has gone long ago.
        match u32::try_from(page.saturating_sub(self.page)) {
            Ok(pages) => Back { pages, at: self.at },
            Err(_) => Back::NONE,
        }
    }

    fn back(self, back: Back) -> Option<Place> {
        let page = self.page.checked_sub(u64::from(back.pages)).filter(|_| back != Back::NONE)?;
        Some(Place { page, at: back.at })
    }
}

/// A ring that is filled from stored batches, newest first.
#[derive(Debug)]
pub(crate) struct Past {
    /// What it will have, but for the changes, which it counts.
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
        self.ring.bytes = bytes;
        self.ring.touch(bucket, number);
        self.changes.push((number, bucket, key.clone()));
        true
    }

    pub fn into_ring(self) -> Ring {
        let Past { mut ring, changes, reached, .. } = self;
        (ring.from, ring.first_from) = (reached, reached);
        ring.bytes = 0;
        for (number, bucket, key) in changes.into_iter().rev() {
            ring.push(bucket, number, &key, weight(&key));
        }
        ring
    }
}

#[cfg(test)]
mod tests;
