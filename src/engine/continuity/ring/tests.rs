use std::collections::BTreeSet;

use super::*;
use crate::app::CommitSeq;
use crate::budget::Budget;
use crate::engine::tests::durability::dice;
use crate::ids::IdSource;
use crate::json::{Json, Object, parse};
use crate::storage::{BucketEntry, Document, Origin, RecordEntry, RowText};
use crate::store::{Change, ChangeKind, Defined};

const BUCKETS: u64 = 3;

/// What happened to one bucket in one commit.
#[derive(Clone, Debug, PartialEq)]
enum Happened {
    Key(String),
    Barrier,
    Gone,
}

/// All of it, for ever.
#[derive(Default)]
struct Model(Vec<(CommitSeq, BucketId, Happened)>);

impl Model {
    fn after(&self, bucket: BucketId, commit: CommitSeq) -> impl Iterator<Item = &Happened> {
        let all = self.0.iter().filter(move |(at, of, _)| *of == bucket && *at > commit);
        all.map(|(.., what)| what)
    }

    fn keys_after(&self, bucket: BucketId, commit: CommitSeq) -> BTreeSet<String> {
        let keys = self.after(bucket, commit).filter_map(|what| match what {
            Happened::Key(key) => Some(key.clone()),
            Happened::Barrier | Happened::Gone => None,
        });
        keys.collect()
    }

    fn is_barred(&self, bucket: BucketId, commit: CommitSeq) -> bool {
        self.after(bucket, commit).any(|what| !matches!(what, Happened::Key(_)))
    }

    /// Holds that the ring says nothing wrong about any position, and that what
    /// it cannot answer is older than `from`.
    fn check(&self, ring: &Ring, newest: CommitSeq, seed: u64) {
        ring.check_invariants();
        for bucket in (1..=BUCKETS as u32).map(BucketId) {
            for commit in 0..=newest {
                let at = format!("seed {seed}, {bucket:?} after {commit} of {newest}");
                let untouched = self.after(bucket, commit).next().is_none();
                assert!(untouched || ring.touched(bucket) > commit, "{at}: touched");
                if commit < ring.from() {
                    continue;
                }
                assert_eq!(ring.touched(bucket) <= commit, untouched, "{at}: untouched");
                // A bucket that is gone is asked for by nobody.
                let gone = self.after(bucket, commit).any(|what| *what == Happened::Gone);
                let barred = self.is_barred(bucket, commit);
                assert!(gone || (ring.barrier(bucket) > commit) == barred, "{at}: barrier");
                if !barred {
                    let keys = ring.changed(bucket, commit);
                    let keys = keys.map(|it| it.key().expect("a key").to_string()).collect();
                    assert_eq!(self.keys_after(bucket, commit), keys, "{at}: keys");
                }
            }
        }
    }
}

fn key(dice: &mut IdSource) -> String {
    let n = dice.next_u64() % 9;
    "k".repeat(n as usize + 1)
}

fn changed(bucket: BucketId, key: &str) -> Change {
    Change {
        bucket,
        kind: ChangeKind::Inserted,
        key: Key::from(key),
        old: None,
        new: None,
        old_order: 0,
        new_order: 0,
        candidates: Vec::new(),
        places: None,
        written: 0,
        by_reference: false,
    }
}

fn defined(bucket: BucketId) -> Defined {
    Defined {
        bucket,
        name: "b".into(),
        persistent: true,
        definition: std::sync::Arc::new(Object::new()),
        state: "{}".into(),
    }
}

/// A random commit, and what it means to the model.
fn commit(dice: &mut IdSource, number: CommitSeq, model: &mut Model) -> Commit {
    let mut commit = Commit::default();
    let mut note = |bucket, what| model.0.push((number, bucket, what));
    let bucket = BucketId((dice.next_u64() % BUCKETS) as u32 + 1);
    match dice.next_u64() % 24 {
        0 => {
            commit.cleared.push((bucket, 3));
            note(bucket, Happened::Barrier);
        }
        1 => {
            commit.definitions.push(DefinitionChange::Updated(defined(bucket)));
            note(bucket, Happened::Barrier);
        }
        2 => {
            let dropped = DefinitionChange::Dropped { bucket, name: "b".into(), persistent: true };
            // Ids are never used again in one run; here the bucket comes back.
            let again = DefinitionChange::Defined(defined(bucket));
            commit.definitions.extend([dropped, again]);
            note(bucket, Happened::Barrier);
        }
        _ => {}
    }
    for _ in 0..dice.next_u64() % 4 {
        let bucket = BucketId((dice.next_u64() % BUCKETS) as u32 + 1);
        let key = key(dice);
        commit.changes.push(changed(bucket, &key));
        note(bucket, Happened::Key(key));
    }
    commit
}

#[test]
fn the_ring_knows_what_a_list_of_everything_knows() {
    let mut evicted = 0;
    for seed in 0..150 {
        let mut dice = dice(seed);
        let most = [0, 100, 700, 3000, 1 << 20][(dice.next_u64() % 5) as usize];
        let start = dice.next_u64() % 3 * 5;
        let (mut ring, mut model) = (Ring::new(most, start), Model::default());
        for number in start + 1..start + 60 {
            let commit = commit(&mut dice, number, &mut model);
            ring.follow(number, &commit, |_| true);
            model.check(&ring, number, seed);
            assert!(most == 0 || ring.entries() > 0 || ring.bytes() == 0, "seed {seed}");
        }
        evicted += u64::from(ring.from() > start);
    }
    assert!(evicted > 50, "{evicted} rings were full");
}

#[test]
fn nothing_is_evicted_while_there_is_room() {
    let key = |n: u64| format!("{n:04}");
    let mut ring = Ring::new(10 * (CHANGE_BYTES + 4), 0);
    for number in 1..=10 {
        let commit =
            Commit { changes: vec![changed(BucketId(1), &key(number))], ..Commit::default() };
        ring.follow(number, &commit, |_| true);
    }
    assert_eq!((ring.from(), ring.entries()), (0, 10));
    // One more costs exactly the oldest, of whichever bucket.
    let commit = Commit { changes: vec![changed(BucketId(2), &key(11))], ..Commit::default() };
    ring.follow(11, &commit, |_| true);
    assert_eq!((ring.from(), ring.entries()), (1, 10));
    // What is not kept is not there.
    let commit = Commit { changes: vec![changed(BucketId(3), &key(12))], ..Commit::default() };
    ring.follow(12, &commit, |id| id != BucketId(3));
    assert_eq!((ring.from(), ring.touched(BucketId(3)), ring.entries()), (1, 0, 10));
}

#[test]
fn what_a_barrier_makes_worthless_goes_in_its_turn() {
    let mut ring = Ring::new(100 * PAGE_BYTES, 0);
    let mut number = 0;
    let mut follow = |ring: &mut Ring, commit: Commit| {
        number += 1;
        ring.follow(number, &commit, |_| true);
        number
    };
    let change = |bucket: u32| Commit {
        changes: vec![changed(BucketId(bucket), "a-key-of-a-usual-length")],
        ..Commit::default()
    };
    while ring.bytes() < 50 * PAGE_BYTES {
        follow(&mut ring, change(1));
    }
    let clear = Commit { cleared: vec![(BucketId(1), 1)], ..Commit::default() };
    let cleared = follow(&mut ring, clear);
    let worthless = ring.entries();
    assert_eq!(ring.changed(BucketId(1), 0).count(), 0);
    while ring.from() < cleared - 1 {
        let newest = follow(&mut ring, change(2));
        assert!(ring.entries() <= worthless * 2 && newest < 3 * cleared, "nothing was let go of");
    }
    follow(&mut ring, change(1));
    assert_eq!(ring.changed(BucketId(1), cleared).count(), 1);
    assert_eq!(ring.changed(BucketId(2), cleared).count(), ring.entries() - 1);
    ring.check_invariants();
}

#[test]
fn pages_take_no_more_than_they_weigh_whatever_the_keys_are() {
    let mut dice = dice(7);
    let most = 40 * PAGE_BYTES;
    let mut ring = Ring::new(most, 0);
    for number in 1..20_000 {
        // Long stretches of equal lengths, and now and then one of another.
        let usual = [1, 36, 700, 5][number as usize / 2_000 % 4];
        let long = dice.next_u64().is_multiple_of(500);
        let length = if long { dice.next_u64() as usize % most } else { usual };
        let commit = Commit {
            changes: vec![changed(BucketId(1), &"k".repeat(length))],
            ..Commit::default()
        };
        ring.follow(number, &commit, |_| true);
        if number % 97 == 0 {
            ring.check_invariants();
        }
        assert!(ring.spare.capacity() <= PAGE_BYTES, "what is kept for later");
        assert!(ring.entries() > 0 || ring.from() == number);
    }
    // Longer than the ring: nothing is kept.
    let long =
        Commit { changes: vec![changed(BucketId(1), &"k".repeat(most))], ..Commit::default() };
    ring.follow(20_000, &long, |_| true);
    assert_eq!((ring.from(), ring.entries(), ring.touched(BucketId(1))), (20_000, 0, 20_000));
    ring.check_invariants();
}

/// A store with the buckets 1 to 3.
fn store() -> Store {
    let mut store = Store::default();
    for name in ["a", "b", "c"] {
        let text = r#"{"key":"id","schema":{"id":{"type":"string"}}}"#;
        let Ok(Json::Object(definition)) = parse(text, 9).map(|raw| raw.to_json()) else {
            panic!("a definition")
        };
        let set = store.prepare_define(name, definition, &Budget::unlimited()).expect("defined");
        store.commit(set);
    }
    assert!((1..=3).all(|id| store.bucket(BucketId(id)).is_some()), "their ids");
    store
}

/// Random batches as they are stored, oldest first.
fn batches(dice: &mut IdSource, model: &mut Model) -> Vec<Batch> {
    let (mut batches, mut last) = (Vec::new(), 0);
    for _ in 0..12 {
        let (first, mut ops, mut ends) = (last + 1, Vec::new(), Vec::new());
        let knows_ends = !dice.next_u64().is_multiple_of(4);
        let commits = dice.next_u64() % 3 + 1;
        for number in first..first + commits {
            // Where the ends are not known, all belong to the last.
            let told = if knows_ends { number } else { first + commits - 1 };
            for _ in 0..dice.next_u64() % 3 + 1 {
                let bucket = BucketId((dice.next_u64() % BUCKETS) as u32 + 1);
                let (op, what) = step(dice, bucket);
                model.0.extend(what.map(|what| (told, bucket, what)));
                ops.push(op);
            }
            ends.push(ops.len() as u32);
        }
        last = first + commits - 1;
        let ends = if knows_ends { ends } else { Vec::new() };
        batches.push(Batch { first, last, at: 0, ops, ends });
    }
    batches
}

fn step(dice: &mut IdSource, bucket: BucketId) -> (Op, Option<Happened>) {
    let name = ["a", "b", "c"][bucket.0 as usize - 1].to_owned();
    let text = key(dice);
    let (key, origin) = (Key::from(&*text), Origin::Wire);
    let computed = |name| Document { kind: COMPUTED.into(), name, origin, body: "{}".into() };
    match dice.next_u64() % 20 {
        0 => (Op::Clear(bucket), Some(Happened::Barrier)),
        1 => (Op::DropBucket(bucket), Some(Happened::Barrier)),
        2 => {
            let (definition, state) = ("{}".into(), "{}".into());
            let entry = BucketEntry { id: bucket, name, origin, definition, state, counter: 0 };
            (Op::Bucket(entry), Some(Happened::Barrier))
        }
        3 => (Op::Document(computed(name)), Some(Happened::Barrier)),
        4 => (Op::Forget { kind: COMPUTED.into(), name }, Some(Happened::Barrier)),
        5 => (Op::Counter { bucket, value: 1 }, None),
        6 => (Op::Document(Document { kind: "query".into(), ..computed(name) }), None),
        7..12 => (Op::Delete { bucket, place: 1, key }, Some(Happened::Key(text))),
        _ => {
            let row = RowText::Owned("{}".into());
            let record = RecordEntry { bucket, place: 1, key, row, places: None };
            (Op::Put(record), Some(Happened::Key(text)))
        }
    }
}

#[test]
fn a_ring_that_is_filled_from_what_is_stored_knows_the_same() {
    let store = store();
    let (mut whole, mut partly) = (0, 0);
    for seed in 0..300 {
        let mut dice = dice(seed);
        let mut model = Model::default();
        let batches = batches(&mut dice, &mut model);
        let newest = batches.last().expect("some").last;
        let most = [0, 300, 1500, 1 << 20][(dice.next_u64() % 4) as usize];
        // A damaged row ends what is visited.
        let readable = dice.next_u64() as usize % (2 * batches.len());
        let mut past = Past::before(most, newest);
        let _ = batches.iter().rev().take(readable).all(|batch| past.take(batch, &store));
        let mut ring = past.into_ring();
        model.check(&ring, newest, seed);
        whole += u64::from(ring.from() == 0);
        partly += u64::from(ring.from() > 0 && ring.from() < newest);
        for number in newest + 1..newest + 20 {
            let commit = commit(&mut dice, number, &mut model);
            ring.follow(number, &commit, |_| true);
            model.check(&ring, number, seed);
        }
    }
    assert!(whole > 20 && partly > 40, "{whole} whole, {partly} partly");
}

#[test]
fn batches_with_a_gap_are_not_taken() {
    let store = store();
    let batch = |first, last| Batch { first, last, at: 0, ops: vec![], ends: vec![] };
    let mut past = Past::before(1000, 9);
    assert!(past.take(&batch(7, 9), &store) && !past.take(&batch(3, 5), &store));
    assert_eq!(past.into_ring().from(), 6);
    // Not even the newest fits.
    let mut past = Past::before(1000, 9);
    assert!(!past.take(&batch(3, 8), &store));
    assert_eq!(past.into_ring().from(), 9);
}

#[test]
fn keys_are_what_they_were_and_equal_as_keys_are() {
    let keys = [
        Key::from(""),
        Key::from("1"),
        Key::Number(1.0),
        Key::Number(0.0),
        Key::Number(f64::INFINITY),
        Key::Bool(true),
        Key::Bool(false),
        Key::from("é\"t"),
    ];
    let mut ring = Ring::new(1 << 20, 0);
    for (number, key) in (1..).zip(keys.iter().chain([&Key::Number(-0.0)])) {
        let change = Change { key: key.clone(), ..changed(BucketId(1), "") };
        ring.follow(number, &Commit { changes: vec![change], ..Commit::default() }, |_| true);
    }
    let found: HashSet<KeyText<'_>> = ring.changed(BucketId(1), 0).collect();
    let found: HashSet<Key> = found.into_iter().filter_map(KeyText::key).collect();
    assert_eq!(found, keys.into_iter().collect());
}
