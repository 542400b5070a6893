//! The store through its own API: prepare, commit, look.

use super::*;
use crate::budget::Budget;
use crate::ids::IdSource;
use crate::json::{Json, Object, parse};

pub(super) struct Bench {
    pub store: Store,
    pub ids: IdSource,
    pub now: u64,
}

pub(super) fn object(text: &str) -> Object {
    match parse(text, 64).expect("valid JSON").to_json() {
        Json::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

impl Bench {
    pub fn new() -> Self {
        Bench { store: Store::new(), ids: IdSource::new([7; 32]), now: 1_000 }
    }

    pub fn define(&mut self, name: &str, definition: &str) {
        let set = self
            .store
            .prepare_define(name, object(definition), &Budget::unlimited())
            .expect("a good definition");
        self.store.commit(set);
    }

    pub fn id(&self, name: &str) -> BucketId {
        self.store.bucket_id(name).expect("defined")
    }

    /// One plain operation, committed; the store is checked afterwards.
    pub fn single<T>(
        &mut self,
        run: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
    ) -> Result<(T, Commit), OpError> {
        self.draft(Mode::Single, run)
    }

    pub fn draft<T>(
        &mut self,
        mode: Mode,
        run: impl FnOnce(&mut Draft, &Store, &mut IdSource) -> Result<T, OpError>,
    ) -> Result<(T, Commit), OpError> {
        let mut draft = Draft::new(mode, self.now, &Budget::unlimited());
        let result = run(&mut draft, &self.store, &mut self.ids)
            .and_then(|value| Ok((value, draft.finish(&self.store)?)));
        let result = match result {
            Ok((value, set)) => Ok((value, self.store.commit(set))),
            Err(error) => {
                self.store.commit(draft.abandon());
                Err(error)
            }
        };
        self.store.check_invariants();
        result
    }

    pub fn insert(&mut self, bucket: &str, data: &str) -> Result<Commit, OpError> {
        let (id, data) = (self.id(bucket), object(data));
        let run = |draft: &mut Draft, store: &Store, ids: &mut IdSource| {
            draft.insert(store, ids, id, &Data::from(&data))
        };
        self.single(run).map(|(_, commit)| commit)
    }

    pub fn update(&mut self, bucket: &str, key: Json, data: &str) -> Result<Commit, OpError> {
        let (id, data) = (self.id(bucket), object(data));
        self.single(|draft, store, _| {
            draft.update(store, id, &Lookup::from(&key), &Data::from(&data))
        })
        .map(|(_, commit)| commit)
    }

    pub fn delete(&mut self, bucket: &str, key: Json) -> Result<Commit, OpError> {
        let id = self.id(bucket);
        self.single(|draft, store, _| draft.delete(store, id, &Lookup::from(&key)))
            .map(|(_, commit)| commit)
    }

    /// The values of a field of the records that match, in candidate order.
    pub fn find(&self, bucket: &str, filter: &str, field: &str) -> String {
        let bucket = self.store.bucket_named(bucket).expect("defined");
        let filter = Filter::from_json(bucket.layout(), &Json::Object(object(filter)));
        let filter = filter.expect("a good filter");
        let budget = Budget::unlimited();
        let rows = bucket.select(Some(&filter), &budget);
        let values: Vec<_> =
            rows.map(|(_, row)| row.raw().get(field).map_or("-", |value| value.text())).collect();
        values.join(" ")
    }
}

const NOTES: &str = r#"{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},
    "tag":{"type":"string"},"u":{"type":"string","unique":true}},"indexes":["tag"]}"#;

#[test]
fn records_are_written_read_and_deleted() {
    let mut bench = Bench::new();
    bench.define("notes", NOTES);
    for tag in ["a", "b", "a"] {
        bench.insert("notes", &format!(r#"{{"tag":"{tag}","_version":9}}"#)).expect("inserted");
    }
    assert_eq!(bench.find("notes", "{}", "id"), "1 2 3");
    assert_eq!(bench.find("notes", r#"{"tag":"a"}"#, "id"), "1 3");
    assert_eq!(bench.find("notes", r#"{"tag":"a"}"#, "_version"), "1 1");
    bench.now += 5;
    let commit =
        bench.update("notes", Json::Number(1.0), r#"{"tag":"b","id":7}"#).expect("updated");
    let change = &commit.changes[0];
    assert_eq!(change.kind, ChangeKind::Updated);
    assert_eq!(
        change.new.as_ref().map(Row::text),
        Some(r#"{"tag":"b","id":1,"_version":2,"_createdAt":1000,"_updatedAt":1005}"#)
    );
    // Candidates stand in the order in which they acquired the value.
    assert_eq!(bench.find("notes", r#"{"tag":"b"}"#, "id"), "2 1");
    assert_eq!(bench.find("notes", r#"{"tag":{"$eq":"b"}}"#, "id"), "1 2");
    bench.delete("notes", Json::Number(2.0)).expect("deleted");
    assert_eq!(bench.find("notes", "{}", "id"), "1 3");
    let error = bench.update("notes", Json::from("1"), "{}").expect_err("another key");
    assert_eq!(error.message, "Record with key \"1\" not found in bucket \"notes\"");
}

#[test]
fn an_insert_over_a_key_replaces_in_place() {
    let mut bench = Bench::new();
    bench.define("notes", NOTES);
    bench.insert("notes", r#"{"tag":"a","u":"x"}"#).expect("inserted");
    bench.insert("notes", r#"{"tag":"a","u":"y"}"#).expect("inserted");
    bench.insert("notes", r#"{"id":1,"tag":"a","u":"x"}"#).expect("its own unique value");
    assert_eq!(bench.find("notes", "{}", "u"), r#""x" "y""#);
    assert_eq!(bench.find("notes", r#"{"tag":"a"}"#, "u"), r#""y" "x""#);
    let error = bench.insert("notes", r#"{"u":"y"}"#).expect_err("taken");
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    // The attempts above used up numbers, an explicit one raises the counter.
    bench.insert("notes", r#"{"id":10}"#).expect("inserted");
    bench.insert("notes", "{}").expect("inserted");
    assert_eq!(bench.find("notes", "{}", "id"), "1 2 10 11");
}

#[test]
fn references_cascade_in_one_commit_or_not_at_all() {
    let mut bench = Bench::new();
    let bucket = |target: &str, policy: &str| {
        format!(
            r#"{{"key":"id","schema":{{"id":{{"type":"string"}},
               "to":{{"type":"string","ref":"{target}","onDelete":"{policy}"}}}}}}"#
        )
    };
    bench.define("a", r#"{"key":"id","schema":{"id":{"type":"string"}}}"#);
    bench.define("b", &bucket("a", "cascade"));
    bench.define("c", &bucket("b", "restrict"));
    bench.define("d", &bucket("a", "set_null"));
    bench.insert("a", r#"{"id":"1"}"#).expect("inserted");
    bench.insert("d", r#"{"id":"1","to":"1"}"#).expect("inserted");
    bench.insert("b", r#"{"id":"1","to":"1"}"#).expect("inserted");
    bench.insert("c", r#"{"id":"1","to":"1"}"#).expect("inserted");
    let error = bench.insert("c", r#"{"id":"2","to":"2"}"#).expect_err("leads nowhere");
    assert_eq!(error.code, ErrorCode::ValidationError);
    let error = bench.delete("a", Json::from("1")).expect_err("restricted");
    assert_eq!(
        error.message,
        "Cannot delete from bucket \"b\" (key \"1\"): referenced by bucket \"c\" (key \"1\") via field \"to\""
    );
    assert_eq!(bench.find("d", "{}", "to"), "\"1\"", "nothing was changed");
    bench.delete("c", Json::from("1")).expect("nobody refers to it");
    let commit = bench.delete("a", Json::from("1")).expect("cascades");
    let kinds: Vec<_> = commit.changes.iter().map(|change| change.kind).collect();
    use ChangeKind::{Deleted, Updated};
    assert_eq!(kinds, [Updated, Deleted, Deleted]);
    assert_eq!(bench.find("d", "{}", "to"), "null");
    assert_eq!(bench.store.records(), 1);
}

#[test]
fn a_transaction_commits_its_net_effect() {
    let mut bench = Bench::new();
    bench.define("notes", NOTES);
    bench.insert("notes", r#"{"u":"x"}"#).expect("inserted");
    bench.insert("notes", r#"{"u":"y"}"#).expect("inserted");
    let id = bench.id("notes");
    let one = Lookup::from(Key::Number(1.0));
    let data = |text: &str| object(text);
    let (_, commit) = bench
        .draft(Mode::Transaction, |draft, store, ids| {
            draft.update(store, id, &one, &Data::from(&data(r#"{"u":"z"}"#)))?;
            draft.delete(store, id, &one)?;
            draft.insert(store, ids, id, &Data::from(&data(r#"{"u":"x"}"#)))?;
            draft.delete(store, id, &Lookup::from(Key::Number(2.0)))?;
            draft.insert(store, ids, id, &Data::from(&data(r#"{"id":2,"u":"y"}"#)))?;
            assert_eq!(draft.len(store, id), 2);
            Ok(())
        })
        .expect("committed");
    let changes: Vec<_> =
        commit.changes.iter().map(|change| (change.kind, change.key.to_string())).collect();
    assert_eq!(
        changes,
        [
            (ChangeKind::Inserted, "3".into()),
            (ChangeKind::Replaced, "2".into()),
            (ChangeKind::Deleted, "1".into()),
        ]
    );
    assert_eq!(bench.find("notes", "{}", "id"), "3 2");
    let error = bench
        .draft(Mode::Transaction, |draft, store, ids| {
            draft.insert(store, ids, id, &Data::from(&data(r#"{"id":2}"#)))
        })
        .expect_err("exists");
    assert_eq!(
        error.message,
        "Transaction conflict in bucket \"notes\" for key \"2\": Record with key \"2\" already exists"
    );
    assert_eq!(bench.store.bucket(id).map(Bucket::counter), Some(4), "a failure counts nothing");
}

#[test]
fn expired_and_surplus_records_go() {
    let mut bench = Bench::new();
    bench.define("t", r#"{"key":"id","ttl":100,"maxSize":2,"schema":{"id":{"type":"number"}}}"#);
    for id in 1..=3 {
        bench.now += 1;
        bench.insert("t", &format!(r#"{{"id":{id}}}"#)).expect("inserted");
    }
    assert_eq!(bench.find("t", "{}", "id"), "2 3");
    assert_eq!(bench.store.next_expiry(), Some(1102.0));
    assert!(bench.store.prepare_expiry(1101, 9).is_none());
    let set = bench.store.prepare_expiry(1102, 9).expect("one is due");
    bench.store.commit(set);
    assert_eq!(bench.find("t", "{}", "id"), "3");
    bench.store.check_invariants();
}

#[test]
fn a_bucket_is_changed_as_a_whole_or_not_at_all() {
    let mut bench = Bench::new();
    bench.define("b", r#"{"key":"id","schema":{"id":{"type":"number"}}}"#);
    bench.insert("b", r#"{"id":1,"x":"same"}"#).expect("inserted");
    bench.insert("b", r#"{"id":2,"x":"same"}"#).expect("inserted");
    let unique = object(r#"{"addFields":{"x":{"type":"string","unique":true}},"ttl":"1s"}"#);
    let error =
        bench.store.prepare_update("b", &unique, &Budget::unlimited()).expect_err("twice the same");
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    let indexed = object(r#"{"addFields":{"x":{"type":"string"}},"addIndexes":["x"]}"#);
    let set = bench.store.prepare_update("b", &indexed, &Budget::unlimited()).expect("fits");
    bench.store.commit(set);
    bench.store.check_invariants();
    assert_eq!(bench.find("b", r#"{"x":"same"}"#, "id"), "1 2");
    bench.update("b", Json::Number(1.0), r#"{"x":"other"}"#).expect("updated");
    assert_eq!(bench.find("b", r#"{"x":"same"}"#, "id"), "2");
    let set = bench.store.prepare_drop("b").expect("there");
    bench.store.commit(set);
    bench.define("b", r#"{"key":"id","schema":{"id":{"type":"number"}}}"#);
    assert_eq!(bench.find("b", "{}", "id"), "");
    bench.store.check_invariants();
}

/// Text, order and places.
type StoredRecord = (String, u64, Option<Box<str>>);

/// What a log would keep of a series of commits.
#[derive(Default)]
struct Log {
    buckets: std::collections::BTreeMap<BucketId, (Defined, u64)>,
    records: std::collections::BTreeMap<(BucketId, String), StoredRecord>,
}

impl Log {
    fn apply(&mut self, commit: &Commit) {
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(defined) => {
                    self.buckets.insert(defined.bucket, (defined.clone(), 0));
                }
                DefinitionChange::Updated(defined) => {
                    let kept = self.buckets.get_mut(&defined.bucket).expect("defined before");
                    kept.0 = defined.clone();
                }
                DefinitionChange::Dropped { bucket, .. } => {
                    self.buckets.remove(bucket);
                    self.records.retain(|(of, _), _| of != bucket);
                }
            }
        }
        for (bucket, _) in &commit.cleared {
            self.records.retain(|(of, _), _| of != bucket);
        }
        for change in &commit.changes {
            let key = (change.bucket, change.key.text().to_string());
            match &change.new {
                Some(row) => {
                    let stored = (row.text().to_owned(), change.new_order, change.places.clone());
                    self.records.insert(key, stored);
                }
                None => drop(self.records.remove(&key)),
            }
        }
        for (bucket, counter) in &commit.counters {
            self.buckets.get_mut(bucket).expect("defined before").1 = *counter;
        }
    }

    fn restore(&self) -> Store {
        let mut loader = Loader::new();
        for (defined, counter) in self.buckets.values() {
            loader.bucket(defined, *counter).expect("a bucket");
        }
        let mut records: Vec<_> = self.records.iter().collect();
        records.sort_by_key(|(_, (_, order, _))| *order);
        for ((bucket, _), (text, order, places)) in records {
            loader.record(*bucket, text, *order, places.as_deref()).expect("a record");
        }
        loader.finish().expect("a store")
    }
}

#[test]
fn a_restored_store_is_the_same_store() {
    let mut bench = Bench::new();
    let mut log = Log::default();
    let ordered =
        NOTES.replace("\"key\"", "\"etsType\":\"ordered_set\",\"maxSize\":9,\"ttl\":5,\"key\"");
    let referring = r#"{"key":"id","schema":{"id":{"type":"number"},"to":{"type":"number",
        "ref":"notes","onDelete":"set_null"},"x":{"type":"string"}},"indexes":["x"]}"#;
    for (name, definition) in [("notes", &*ordered), ("refs", referring)] {
        let set = bench
            .store
            .prepare_define(name, object(definition), &Budget::unlimited())
            .expect("good");
        log.apply(&bench.store.commit(set));
    }
    for tag in ["a", "b", "a", "c"] {
        log.apply(&bench.insert("notes", &format!(r#"{{"tag":"{tag}"}}"#)).expect("inserted"));
    }
    for id in [3, 1, 2] {
        let data = format!(r#"{{"id":{id},"to":1,"x":"x"}}"#);
        log.apply(&bench.insert("refs", &data).expect("inserted"));
    }
    log.apply(&bench.update("notes", Json::Number(1.0), r#"{"tag":"c"}"#).expect("updated"));
    log.apply(&bench.insert("notes", r#"{"id":2,"tag":"a"}"#).expect("replaced"));
    log.apply(&bench.update("refs", Json::Number(3.0), r#"{"to":2,"x":"y"}"#).expect("updated"));
    log.apply(&bench.update("refs", Json::Number(3.0), r#"{"to":1,"x":"x"}"#).expect("updated"));
    log.apply(&bench.delete("notes", Json::Number(4.0)).expect("deleted"));
    let updates = object(r#"{"addFields":{"more":{"type":"number","ref":"notes"}}}"#);
    let set = bench.store.prepare_update("refs", &updates, &Budget::unlimited()).expect("good");
    log.apply(&bench.store.commit(set));
    log.apply(&bench.insert("refs", r#"{"id":4,"x":"x"}"#).expect("inserted"));
    log.apply(&bench.update("refs", Json::Number(2.0), r#"{"x":"z"}"#).expect("updated"));
    log.apply(&bench.update("refs", Json::Number(2.0), r#"{"x":"x"}"#).expect("updated"));

    let restored = Bench { store: log.restore(), ids: IdSource::new([7; 32]), now: bench.now };
    restored.store.check_invariants();
    assert_eq!(restored.store.sequence, bench.store.sequence);
    for (bucket, filter) in [
        ("notes", "{}"),
        ("notes", r#"{"tag":"a"}"#),
        ("notes", r#"{"tag":"c"}"#),
        ("refs", "{}"),
        ("refs", r#"{"x":"x"}"#),
    ] {
        let found = bench.find(bucket, filter, "id");
        assert_eq!(restored.find(bucket, filter, "id"), found, "{bucket} {filter}");
    }
    assert_eq!(bench.find("refs", r#"{"x":"x"}"#, "id"), "3 1 4 2", "as before the restart");
    // The references are followed in the order in which they were made.
    let order = |bench: &mut Bench| -> Vec<String> {
        let commit = bench.delete("notes", Json::Number(1.0)).expect("deleted");
        commit.changes.iter().map(|change| change.key.to_string()).collect()
    };
    let mut restored = restored;
    assert_eq!(order(&mut restored), order(&mut bench));
    restored.insert("notes", "{}").expect("inserted");
    bench.insert("notes", "{}").expect("inserted");
    assert_eq!(restored.find("notes", "{}", "id"), bench.find("notes", "{}", "id"));
}

#[test]
fn the_way_to_the_candidates_is_the_cheapest_that_keeps_their_order() {
    let mut bench = Bench::new();
    bench.define(
        "b",
        r#"{"key":"id","indexes":["n","g"],"schema":{"id":{"type":"number"},
            "n":{"type":"number"},"g":{"type":"string"},"x":{"type":"string"}}}"#,
    );
    for id in 0..400 {
        let data = format!(r#"{{"id":{id},"n":{},"g":"g{}","x":"x"}}"#, (id * 7) % 400, id % 40);
        bench.insert("b", &data).expect("inserted");
    }
    let explain = |filter: &str| {
        let bucket = bench.store.bucket_named("b").expect("defined");
        let filter = Filter::from_json(bucket.layout(), &Json::Object(object(filter)));
        let filter = filter.expect("a good filter");
        let budget = Budget::unlimited();
        let (access, mut selection) = bucket.explain(Some(&filter), &budget);
        let matched = selection.by_ref().count();
        let word = match access {
            Access::Scan => "scan",
            Access::Nothing => "nothing",
            Access::Keys(_) => "keys",
            Access::Index(0, _) => "index n",
            Access::Index(..) => "index g",
            Access::Values(0, _) => "values n",
            Access::Values(..) => "values g",
            Access::Range(0, _) => "range n",
            Access::Range(..) => "range g",
            Access::Sorted(..) | Access::Words(..) => "ordered",
        };
        (word, selection.looked_at(), matched)
    };
    assert_eq!(explain("{}"), ("scan", 400, 400));
    assert_eq!(explain(r#"{"x":"x"}"#), ("scan", 400, 400));
    assert_eq!(explain(r#"{"x":{}}"#), ("nothing", 0, 0));
    assert_eq!(explain(r#"{"g":"g1","id":1}"#), ("keys", 1, 1));
    assert_eq!(explain(r#"{"id":{"$in":[1,5,"5",900]}}"#), ("keys", 2, 2));
    assert_eq!(explain(r#"{"g":"g1","n":7}"#), ("index g", 10, 1));
    assert_eq!(explain(r#"{"n":7,"g":"g1"}"#), ("index n", 1, 1));
    assert_eq!(explain(r#"{"g":{"$eq":"g1"}}"#), ("values g", 10, 10));
    assert_eq!(explain(r#"{"g":{"$in":["g1","g2"]},"n":{"$lt":10}}"#), ("range n", 11, 1));
    assert_eq!(explain(r#"{"$and":[{"n":{"$gte":10,"$lt":14}},{"x":"x"}]}"#), ("range n", 5, 4));
    assert_eq!(explain(r#"{"n":{"$between":[10,"0x10"]}}"#), ("range n", 7, 7));
    assert_eq!(explain(r#"{"n":{"$gt":10}}"#), ("scan", 400, 389));
    assert_eq!(explain(r#"{"g":{"$gte":"g8"}}"#), ("range g", 20, 20));
    assert_eq!(explain(r#"{"n":null}"#), ("scan", 400, 0));
    assert_eq!(explain(r#"{"$or":[{"n":1}]}"#), ("scan", 400, 1));
}
