//! What indexes with an order and of words cost and save, in process and
//! without sockets. Run it through `scripts/bench --order`; arguments are
//! numbers of records (1000 1000000).

use std::hint::black_box;
use std::time::{Duration, Instant};

use noexd::budget::Budget;
use noexd::ids::IdSource;
use noexd::json::{Json, Object, parse};
use noexd::store::{BucketId, Data, Draft, Filter, Mode, Store};

/// What a query shows.
const LIMIT: usize = 20;

/// Name, indexes, and whether the text is searched.
const KINDS: [(&str, &str, bool); 5] = [
    ("none", "[]", false),
    ("plain", r#"["n"]"#, false),
    ("ordered", r#"[{"field":"n","ordered":true}]"#, false),
    ("fields", r#"[["room","n"]]"#, false),
    ("search", "[]", true),
];

fn object(text: &str) -> Object {
    match parse(text, 16).expect("JSON").to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

/// Processor time of this thread, or time if the system does not tell.
fn used(began: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let used = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    used.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

/// Nanoseconds for each of `count`.
fn each(count: usize, mut work: impl FnMut(usize)) -> f64 {
    let began = Instant::now();
    let before = used(began);
    (0..count).for_each(&mut work);
    used(began).saturating_sub(before).as_nanos() as f64 / count as f64
}

fn filled(size: usize, indexes: &str, searched: bool) -> (Store, BucketId, f64) {
    let definition = format!(
        r#"{{"key":"id","indexes":{indexes},"schema":{{"id":{{"type":"number"}},"room":{{"type":"string"}},
            "n":{{"type":"number"}},"text":{{"type":"string","search":{searched}}}}}}}"#
    );
    let mut store = Store::new();
    let set = store.prepare_define("b", object(&definition), &Budget::unlimited());
    store.commit(set.expect("a good definition"));
    let bucket = store.bucket_id("b").expect("defined");
    let mut ids = IdSource::new([1; 32]);
    let nanos = each(size, |at| {
        let text = format!(
            r#"{{"id":{at},"room":"room-{:03}","n":{},"text":"words number {} and {}"}}"#,
            at % 100,
            at.wrapping_mul(7_919) % size.max(1),
            at % 1000,
            at / 10
        );
        let raw = parse(&text, 16).expect("JSON");
        let mut draft = Draft::new(Mode::Single, 1_767_225_600_000, &Budget::unlimited());
        draft.insert(&store, &mut ids, bucket, &Data::from(raw)).expect("inserted");
        let set = draft.finish(&store).expect("nothing is in the way");
        black_box(store.commit(set));
    });
    (store, bucket, nanos)
}

/// Nanoseconds of the first records of a sort, or of a filter.
fn ask(store: &Store, id: BucketId, filter: &str, sort: Option<&str>) -> Option<f64> {
    let bucket = store.bucket(id)?;
    let filter = Filter::from_json(bucket.layout(), &Json::Object(object(filter))).ok()?;
    let budget = Budget::unlimited();
    let Some(sort) = sort else {
        return Some(each(200, |_| {
            black_box(bucket.select(Some(&filter), &budget).take(LIMIT).count());
        }));
    };
    bucket.in_order(&filter, &[(sort, true)])?;
    Some(each(20_000, |_| {
        let way = bucket.in_order(&filter, &[(sort, true)]).expect("there is a way");
        let mut shown = 0;
        bucket.walk(&way, (&filter, false), &budget, |_, row| {
            black_box(row);
            shown += 1;
            shown < LIMIT
        });
    }))
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 1_000_000] } else { sizes };
    println!(
        "{:>9} {:>8} {:>10} {:>13} {:>10} {:>10} {:>10}",
        "records", "index", "insert ns", "bytes/record", "top ns", "room ns", "words ns"
    );
    for (name, indexes, searched) in KINDS {
        for size in &sizes {
            let (store, id, insert) = filled(*size, indexes, searched);
            let memory = store.bucket(id).map_or(0, |bucket| bucket.index_memory());
            let shown = |nanos: Option<f64>| nanos.map_or("-".into(), |it| format!("{it:.0}"));
            let top = ask(&store, id, "{}", Some("n"));
            let room = ask(&store, id, r#"{"room":"room-007"}"#, Some("n"));
            let words = ask(&store, id, r#"{"text":{"$search":"words 77 12"}}"#, None);
            println!(
                "{size:>9} {name:>8} {insert:>10.0} {:>13} {:>10} {:>10} {:>10}",
                memory / size.max(&1),
                shown(top),
                shown(room),
                shown(words)
            );
        }
    }
    println!(
        "top: the first {LIMIT} of a sort; room: the same of one of 100 rooms; words: the first {LIMIT} with three words"
    );
}
