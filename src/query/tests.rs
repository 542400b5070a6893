//! Random commits over random data, watched by every form of query at once.
//!
//! After every commit each view is compared with an evaluation from scratch
//! (`ViewLimits::check`, always on in tests); here, what subscribers are told
//! is replayed: whole results, deltas with positions, deltas of sets.

use std::collections::BTreeMap;

mod places;
mod routing;

use super::*;
use crate::budget::Budget;
use crate::ids::IdSource;
use crate::json::{Json, Object, parse};
use crate::store::{BucketId, Data, Draft, Key, Lookup, Mode, Store};
use crate::testing::cases;
use proptest::prelude::*;

const DEFINITION: &str = r#"{"key":"id","schema":{"id":{"type":"number"},
    "room":{"type":"string"},"n":{"type":"number"},"s":{"type":"string"},"price":{"type":"number"},
    "t":{"type":"string","search":true},"l":{"type":"array","items":{"type":"string"},"search":true}},
    "indexes":["room"]}"#;

/// Every form, with and without parameters, windows and projections.
const QUERIES: &[(&str, &str)] = &[
    ("{}", ""),
    (r#"{"fields":["room"]}"#, ""),
    (r#"{"fields":["s","n"]}"#, ""),
    (r#"{"filter":{"n":{"$gte":2}}}"#, ""),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, r#"{"r":"a"}"#),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, r#"{"r":"b"}"#),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, r#"{"r":null}"#),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, ""),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, r#"{"r":{"$in":["a","b"]}}"#),
    (r#"{"filter":{"room":"{{params.r}}"}}"#, r#"{"r":{"x":1}}"#),
    (r#"{"filter":{"room":"a","n":"{{params.n}}"},"fields":["n"]}"#, r#"{"n":1}"#),
    (r#"{"filter":{"s":"x","n":2}}"#, ""),
    (r#"{"filter":{"$or":[{"room":"a"},{"n":{"$lt":2}}]},"limit":3}"#, ""),
    (r#"{"filter":{"n":{"$in":"{{params.l}}"}}}"#, r#"{"l":[1,3,null]}"#),
    (r#"{"filter":{"n":{"$in":"{{params.l}}"}}}"#, r#"{"l":[1,"2"]}"#),
    (r#"{"filter":{"n":{"$in":"{{params.l}}"}}}"#, r#"{"l":[]}"#),
    (r#"{"filter":{"n":{"$gte":"{{params.a}}","$lt":"{{params.b}}"}}}"#, r#"{"a":1,"b":3}"#),
    (r#"{"filter":{"n":{"$gte":"{{params.a}}","$lt":"{{params.b}}"}}}"#, r#"{"b":2}"#),
    (r#"{"filter":{"mixed":{"$gte":"{{params.a}}","$lt":"{{params.b}}"}}}"#, r#"{"a":1,"b":3}"#),
    (r#"{"filter":{"mixed":{"$gt":"{{params.a}}"}}}"#, r#"{"a":"a"}"#),
    (r#"{"filter":{"mixed":{"$between":["{{params.a}}",2]}}}"#, r#"{"a":"1"}"#),
    (r#"{"filter":{"s":{"$gt":"x"},"n":{"$exists":true}}}"#, ""),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, r#"{"q":"red fox"}"#),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, r#"{"q":"fo"}"#),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, r#"{"q":"FOXES"}"#),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, r#"{"q":"fox fox"}"#),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, r#"{"q":" - "}"#),
    (r#"{"filter":{"t":{"$search":"{{params.q}}"}}}"#, ""),
    (r#"{"filter":{"l":{"$search":"red"},"room":"a"},"limit":3}"#, ""),
    (r#"{"filter":{"l":{"$search":"f"},"t":{"$search":"red é"}},"sort":{"n":"asc"}}"#, ""),
    (r#"{"filter":{"$or":[{"t":{"$search":"fox"}},{"l":{"$search":"red"}}]}}"#, ""),
    (r#"{"filter":{"$and":[{"t":{"$search":"red f"}},{"room":{"$in":["a","b"]}}]}}"#, ""),
    (r#"{"filter":{"t":{"$search":"r","$gt":"s"}},"aggregate":{"function":"count"}}"#, ""),
    (r#"{"limit":4}"#, ""),
    (r#"{"offset":2}"#, ""),
    (r#"{"offset":3,"limit":3,"fields":["n"]}"#, ""),
    (r#"{"filter":{"room":"a"},"limit":2,"offset":1}"#, ""),
    (r#"{"limit":0}"#, ""),
    (r#"{"sort":{"n":"asc"}}"#, ""),
    (r#"{"sort":{"n":"desc"},"limit":3}"#, ""),
    (r#"{"sort":{"n":"desc"},"limit":3,"fields":["n"]}"#, ""),
    (r#"{"sort":{"s":"asc"},"offset":1,"limit":4,"fields":["s","id"]}"#, ""),
    (r#"{"sort":{"room":"desc","n":"asc"},"limit":5}"#, ""),
    (r#"{"sort":{"s":"asc","n":"desc"}}"#, ""),
    (r#"{"sort":{"mixed":"asc"},"limit":6}"#, ""),
    (r#"{"sort":{"mixed":"desc","n":"asc"},"fields":["mixed"]}"#, ""),
    (r#"{"sort":{"n":"asc"},"filter":{"room":"{{params.r}}"},"limit":2}"#, r#"{"r":"a"}"#),
    (r#"{"aggregate":{"function":"count"}}"#, ""),
    (r#"{"filter":{"room":"{{params.r}}"},"aggregate":{"function":"count"}}"#, r#"{"r":"b"}"#),
    (r#"{"aggregate":{"function":"sum","field":"n"}}"#, ""),
    (r#"{"aggregate":{"function":"sum","field":"price"}}"#, ""),
    (r#"{"aggregate":{"function":"avg","field":"price"}}"#, ""),
    (r#"{"filter":{"room":"a"},"aggregate":{"function":"sum","field":"price"}}"#, ""),
    (r#"{"aggregate":{"function":"min","field":"price"}}"#, ""),
    (r#"{"filter":{"room":"b"},"aggregate":{"function":"max","field":"n"}}"#, ""),
    (r#"{"aggregate":{"function":"sum","field":"mixed"}}"#, ""),
    (r#"{"aggregate":{"function":"count","groupBy":"room"}}"#, ""),
    (r#"{"aggregate":{"function":"sum","field":"price","groupBy":"room"}}"#, ""),
    (r#"{"aggregate":{"function":"min","field":"n","groupBy":["room","s"]}}"#, ""),
    (r#"{"aggregate":{"function":"avg","field":"n","groupBy":"mixed"}}"#, ""),
    (r#"{"aggregate":{"function":"max","field":"price","groupBy":[]}}"#, ""),
    (r#"{"filter":{"n":{"$gt":0}},"aggregate":{"function":"count","groupBy":"mixed"}}"#, ""),
];

fn json(text: &str) -> Json {
    parse(text, 64).expect("JSON").to_json()
}

fn object(text: &str) -> Object {
    json(text).as_object().cloned().expect("an object")
}

/// What a subscriber holds.
struct Watcher {
    view: ViewId,
    want: Want,
    /// Full: the text. Delta: applied so far.
    text: Option<String>,
    keys: Vec<String>,
    rows: Vec<Json>,
}

struct Bench {
    store: Store,
    views: Views,
    ids: IdSource,
    bucket: BucketId,
    watchers: Vec<Watcher>,
    now: u64,
}

impl Bench {
    /// That nobody watches.
    fn bare(limits: ViewLimits) -> Bench {
        let mut store = Store::new();
        let set =
            store.prepare_define("t", object(DEFINITION), &Budget::unlimited()).expect("valid");
        store.commit(set);
        let bucket = store.bucket_id("t").expect("defined");
        let views = Views::new(limits);
        let ids = IdSource::new([7; 32]);
        Bench { store, views, ids, bucket, watchers: Vec::new(), now: 1_800_000_000_000 }
    }

    fn new(limits: ViewLimits, start: &[Write]) -> Bench {
        let mut bench = Bench::bare(limits);
        bench.write(start);
        bench.views.take_news();
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for (index, (config, params)) in QUERIES.iter().enumerate() {
            let name = texts.entry(config).or_insert_with(|| format!("q{index}")).clone();
            let mut definition = object(config);
            definition.insert("bucket", Json::from("t"));
            if name == format!("q{index}") {
                let config = Json::Object(definition);
                bench.views.define(&bench.store, &name, &config).expect("valid");
            }
            for want in
                [Want::Full, Want::Delta { positions: true }, Want::Delta { positions: false }]
            {
                bench.watch(&name, params, want);
            }
            if bench.views.is_of_rows(&name) == Some(true) {
                for (offset, limit) in [(0, 2), (1, 3), (5, 4)] {
                    bench.watch(&name, params, Want::Window(Span { offset, limit }));
                }
            }
        }
        bench
    }

    fn watch(&mut self, name: &str, params: &str, want: Want) {
        self.watch_through(name, params, want, None);
    }

    fn watch_through(
        &mut self,
        name: &str,
        params: &str,
        want: Want,
        read: Option<std::sync::Arc<Json>>,
    ) {
        let params = (!params.is_empty()).then(|| parse(params, 64).expect("JSON"));
        let free = Budget::unlimited();
        let subscribed = self.views.subscribe(&self.store, name, params, read, want, &free);
        if let Ok(id) = subscribed {
            self.views.settle(id);
        }
        let view = subscribed.expect("valid");
        let mut watcher = Watcher { view, want, text: None, keys: Vec::new(), rows: Vec::new() };
        match want {
            Want::Window(span) => {
                let mut state = b"{".to_vec();
                self.views.get(view).expect("a view").write_window(span, &mut state);
                state.push(b'}');
                watcher.adopt(None, &json(std::str::from_utf8(&state).expect("UTF-8")));
            }
            _ => {
                let (text, state) = self.state(view);
                watcher.adopt(text, &state);
            }
        }
        self.watchers.push(watcher);
    }

    /// The whole result, and the state in delta mode.
    fn state(&mut self, view: ViewId) -> (Option<String>, Json) {
        let view = self.views.get_mut(view).expect("a view");
        let text =
            view.body(&self.store).map(|body| String::from_utf8(body.to_vec()).expect("UTF-8"));
        let mut state = b"{".to_vec();
        view.write_state(&self.store, "value", &mut state);
        state.push(b'}');
        (text, json(std::str::from_utf8(&state).expect("UTF-8")))
    }

    /// One commit of several writes.
    fn write(&mut self, writes: &[Write]) {
        self.now += 3;
        let bucket = self.bucket;
        let mut draft = Draft::new(Mode::Transaction, self.now, &Budget::unlimited());
        for Write { id, to } in writes {
            let key = Lookup::from(Key::Number(*id as f64));
            let there = draft.get(&self.store, bucket, &key).is_some();
            match to {
                None => draft.delete(&self.store, bucket, &key).expect("no references"),
                Some(Change { fresh, fields }) => {
                    if *fresh && there {
                        draft.delete(&self.store, bucket, &key).expect("no references");
                    }
                    if there && !*fresh {
                        let data = Data::from(fields);
                        drop(draft.update(&self.store, bucket, &key, &data).expect("valid"));
                    } else {
                        let mut fields = fields.clone();
                        fields.insert("id", Json::Number(*id as f64));
                        let data = Data::from(&fields);
                        let row = draft.insert(&self.store, &mut self.ids, bucket, &data);
                        row.expect("valid");
                    }
                }
            }
        }
        let set = draft.finish(&self.store).expect("valid");
        self.commit(set);
    }

    fn commit(&mut self, set: crate::store::ChangeSet) {
        let commit = self.store.commit(set);
        self.views.apply(&self.store, &commit, self.now);
    }

    fn clear(&mut self) {
        let mut draft = Draft::new(Mode::Single, self.now, &Budget::unlimited());
        draft.clear(&self.store, self.bucket).expect("defined");
        let set = draft.finish(&self.store).expect("valid");
        self.commit(set);
    }

    /// Tells the watchers and holds that they know the current result.
    fn settle(&mut self) {
        for item in self.views.take_news() {
            let News::Changed(changed) = item.news else { panic!("{:?}", item.news) };
            for watcher in self.watchers.iter_mut().filter(|watcher| watcher.view == item.view) {
                watcher.hear(&changed);
            }
        }
        self.views.check_invariants(&self.store);
        for index in 0..self.watchers.len() {
            let view = self.watchers[index].view;
            let (text, state) = self.state(view);
            self.watchers[index].compare(text, &state);
        }
    }
}

impl Watcher {
    fn adopt(&mut self, text: Option<String>, state: &Json) {
        self.text = match self.want {
            Want::Full | Want::FullLater => text,
            Want::Delta { .. } | Want::Window(_) => state.get("value").map(Json::to_text),
        };
        let list = |name| state.get(name).and_then(Json::as_array).unwrap_or_default();
        self.keys = list("keys").iter().map(Json::to_text).collect();
        self.rows = list("data").to_vec();
    }

    fn hear(&mut self, changed: &Changed) {
        let delta = match self.want {
            Want::Full | Want::FullLater => {
                if changed.full {
                    let body = changed.body.clone().expect("somebody wants it");
                    let text = body.map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"));
                    assert_ne!(text, self.text, "a push without a change");
                    self.text = text;
                }
                return;
            }
            Want::Delta { positions: true } => &changed.with_positions,
            Want::Delta { positions: false } => &changed.as_set,
            Want::Window(span) => match changed.seen.get(span) {
                Some(delta) => &Some(delta.clone()),
                None => return,
            },
        };
        let delta = delta.as_ref().expect("somebody wants it");
        let delta = json(&format!("{{{}}}", std::str::from_utf8(delta).expect("UTF-8")));
        if delta.get("reset").is_some() {
            self.adopt(None, &delta);
        } else if delta.get("value").is_some() {
            self.text = delta.get("value").map(Json::to_text);
        } else {
            list::tests::apply_delta(&mut self.keys, &mut self.rows, &delta);
        }
    }

    fn compare(&self, text: Option<String>, state: &Json) {
        if let Some(value) = state.get("value") {
            let expected = match self.want {
                Want::Full | Want::FullLater => text,
                Want::Delta { .. } | Want::Window(_) => Some(value.to_text()),
            };
            assert_eq!(self.text, expected);
            return;
        }
        let list = |name| state.get(name).and_then(Json::as_array).expect("a list");
        let keys: Vec<String> = list("keys").iter().map(Json::to_text).collect();
        let pairs = |keys: &[String], rows: &[Json]| -> Vec<(String, String)> {
            keys.iter().cloned().zip(rows.iter().map(Json::to_text)).collect()
        };
        let (mut mine, mut expected) = (pairs(&self.keys, &self.rows), pairs(&keys, list("data")));
        match self.want {
            Want::Full | Want::FullLater => {
                assert_eq!(self.text, text);
                return;
            }
            Want::Delta { positions: true } => {}
            Want::Window(span) => {
                expected = expected.into_iter().skip(span.offset).take(span.limit).collect();
            }
            Want::Delta { positions: false } => {
                mine.sort();
                expected.sort();
            }
        }
        assert_eq!(mine, expected);
    }
}

#[derive(Clone, Debug)]
struct Write {
    id: u64,
    to: Option<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    /// Delete a record of that key first.
    fresh: bool,
    fields: Object,
}

fn value(of: BoxedStrategy<Json>) -> impl Strategy<Value = Option<Json>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Json::Null)), 6 => of.prop_map(Some)]
}

/// Some words.
fn text() -> BoxedStrategy<Json> {
    const WORDS: &[&str] = &["red", "Fox", "foxes", "f", "E\u{301}", "été", "-"];
    let words = prop::collection::vec(prop::sample::select(WORDS), 0..4);
    words.prop_map(|words| Json::from(words.join(" "))).boxed()
}

/// `tame`: the column `mixed` holds numbers only.
fn change(tame: bool) -> impl Strategy<Value = Change> {
    let word =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(Json::from).boxed();
    let price = prop_oneof![
        (0..400i32).prop_map(|cents| f64::from(cents) / 100.0),
        (0..9i32).prop_map(f64::from),
        Just(1e17),
    ];
    let mixed: BoxedStrategy<Json> = if tame {
        (0..4i32).prop_map(|n| Json::Number(f64::from(n))).boxed()
    } else {
        const TEXTS: &[&str] = &["1", "2", "\"1\"", "\"b\"", "true", "null", "[1]", "{}", "1e999"];
        prop::sample::select(TEXTS).prop_map(json).boxed()
    };
    (
        prop::bool::weighted(0.2),
        value(word(&["a", "b", "c"])),
        value((-1..5i32).prop_map(|n| Json::Number(f64::from(n))).boxed()),
        value(word(&["x", "y", "\u{10000}", "\u{ffff}"])),
        value(price.prop_map(Json::Number).boxed()),
        value(mixed),
        value(text()),
        value(prop::collection::vec(text(), 0..3).prop_map(Json::Array).boxed()),
    )
        .prop_map(|(fresh, room, n, s, price, mixed, t, l)| {
            let numbers = [("n", n), ("price", price), ("mixed", mixed)];
            let texts = [("room", room), ("s", s), ("t", t), ("l", l)];
            let fields = numbers.into_iter().chain(texts);
            let given = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
            Change { fresh, fields: given.collect() }
        })
}

fn write(tame: bool) -> impl Strategy<Value = Write> {
    (0..14u64, prop::option::weighted(0.75, change(tame))).prop_map(|(id, to)| Write { id, to })
}

fn batches() -> impl Strategy<Value = (Vec<Write>, Vec<Vec<Write>>)> {
    any::<bool>().prop_flat_map(|tame| {
        (
            prop::collection::vec(write(tame), 0..14),
            prop::collection::vec(prop::collection::vec(write(tame), 1..6), 1..14),
        )
    })
}

fn run(limits: ViewLimits, start: &[Write], batches: &[Vec<Write>], clear_at: usize) {
    let mut bench = Bench::new(limits, start);
    bench.settle();
    for (index, batch) in batches.iter().enumerate() {
        bench.write(batch);
        bench.settle();
        if index == clear_at {
            bench.clear();
            bench.settle();
        }
        if index == clear_at + 2 {
            let updates = object(r#"{"addFields":{"extra":{"type":"number"}},"addIndexes":["s"]}"#);
            let set =
                bench.store.prepare_update("t", &updates, &Budget::unlimited()).expect("valid");
            bench.commit(set);
            bench.settle();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48) as u32))]
    #[test]
    fn what_is_maintained_is_what_an_evaluation_gives(
        (start, batches) in batches(),
        clear_at in 0..30usize,
    ) {
        run(ViewLimits::default(), &start, &batches, clear_at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn without_a_budget_everything_is_evaluated_afresh((start, batches) in batches()) {
        let limits = ViewLimits { view_bytes: 0, ..ViewLimits::default() };
        run(limits, &start, &batches, 99);
    }
}

#[test]
fn decisions_to_evaluate_afresh_are_counted() {
    let mut bench = Bench::new(ViewLimits::default(), &[]);
    let config = json(r#"{"bucket":"t","sort":{"mixed":"asc"},"limit":6}"#);
    bench.views.define(&bench.store, "by-mixed", &config).expect("valid");
    bench.watch("by-mixed", "", Want::Full);
    let put = |id: u64, fields: &str| Write {
        id,
        to: Some(Change { fresh: false, fields: object(fields) }),
    };
    let explain = |bench: &Bench| -> (String, String) {
        let sorted = bench.views.explain("by-mixed");
        let member = |name| sorted.get(name).expect("a member").to_text();
        (member("state"), member("fallbacks"))
    };
    bench.write(&[put(1, r#"{"mixed":1}"#)]);
    assert_eq!(explain(&bench), (r#"{"orderedList":1}"#.into(), "{}".into()));
    bench.write(&[put(2, r#"{"mixed":"x"}"#)]);
    assert_eq!(explain(&bench), (r#"{"rerun":1}"#.into(), r#"{"mixedColumn":1}"#.into()));
    bench.write(&[Write { id: 1, to: None }]);
    assert_eq!(explain(&bench), (r#"{"orderedList":1}"#.into(), "{}".into()));
    bench.settle();
}
