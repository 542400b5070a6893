//! What the store costs by itself, in process and without sockets: memory per
//! record, and the rates of the basic operations at growing sizes. Run it
//! through `scripts/bench --store`; arguments are numbers of records
//! (10000 100000 1000000). Rates are per second of processor time where the
//! system tells it, so that a busy machine does not spoil them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use noexd::budget::Budget;
use noexd::ids::IdSource;
use noexd::json::{Json, Object, parse};
use noexd::store::{BucketId, Data, Draft, Filter, Lookup, Mode, Store};

/// Records with the same value of the first and of the second index.
const PER_ROOM: usize = 10;
const PER_OWNER: usize = 100;

const DEFINITION: &str = r#"{"key":"id","indexes":["room","owner"],"schema":{
    "id":{"type":"string"},"room":{"type":"string","required":true},
    "owner":{"type":"string"},"n":{"type":"number","min":0},"text":{"type":"string"}}}"#;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 100_000, 1_000_000] } else { sizes };
    if std::env::var_os("STORE_BENCH_ONE").is_some() {
        sizes.into_iter().for_each(run);
        return;
    }
    println!(
        "{:>9} {:>6} {:>6} {:>7} {:>7} {:>6} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "records",
        "sent",
        "stored",
        "counted",
        "rss",
        "/sent",
        "/stored",
        "insert/s",
        "update/s",
        "get/s",
        "where/s",
        "range/s",
        "scan ms"
    );
    for size in sizes {
        // Each in a process of its own, so that one's memory is not another's.
        let program = std::env::current_exe().expect("the path of this program");
        let one = std::process::Command::new(program)
            .arg(size.to_string())
            .env("STORE_BENCH_ONE", "1")
            .output()
            .expect("runs itself");
        assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
        print!("{}", String::from_utf8_lossy(&one.stdout));
    }
    println!(
        "sent: bytes of JSON of an insert; stored: with metadata; counted, rss: memory per record by our\n\
         own count and by the system's; where: {PER_ROOM} matches through an index; range: {PER_ROOM} matches \
         of\nan index on a number; scan: one pass over all records"
    );
}

/// A record of about 100 bytes of JSON.
fn record(at: usize, out: &mut String) {
    use std::fmt::Write as _;
    out.clear();
    let _ = write!(
        out,
        r#"{{"id":"r{at:08}","room":"room-{:06}","owner":"u{:06}","n":{},"text":"some words {at:07}"}}"#,
        at / PER_ROOM,
        (at * 7919) % (at / PER_OWNER + 1),
        at * 3,
    );
}

/// Numbers without any pattern that a cache could use.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4096
}

/// Processor time of this thread, or time if the system does not tell.
struct Clock {
    began: Instant,
    used: Option<Duration>,
}

impl Clock {
    fn start() -> Self {
        Clock { began: Instant::now(), used: Self::used() }
    }

    fn used() -> Option<Duration> {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    /// How many a second.
    fn rate(&self, count: usize) -> f64 {
        let used = Self::used().zip(self.used).map(|(now, then)| now.saturating_sub(then));
        count as f64 / used.unwrap_or_else(|| self.began.elapsed()).as_secs_f64()
    }
}

fn object(text: &str) -> Object {
    match parse(text, 16).expect("JSON").to_json() {
        Json::Object(object) => object,
        _ => Object::new(),
    }
}

fn write(
    store: &mut Store,
    ids: &mut IdSource,
    prepare: impl FnOnce(&mut Draft, &Store, &mut IdSource),
) {
    let mut draft = Draft::new(Mode::Single, 1_767_225_600_000, &Budget::unlimited());
    prepare(&mut draft, store, ids);
    let set = draft.finish(store).expect("nothing is in the way");
    black_box(store.commit(set));
}

fn run(size: usize) {
    let before = resident();
    let mut store = Store::new();
    let mut ids = IdSource::new([1; 32]);
    let set = store
        .prepare_define("bench", object(DEFINITION), &Budget::unlimited())
        .expect("a good definition");
    store.commit(set);
    let bucket = store.bucket_id("bench").expect("defined");
    let (mut text, mut sent) = (String::new(), 0);
    let began = Clock::start();
    for at in 0..size {
        record(at, &mut text);
        sent += text.len();
        insert(&mut store, &mut ids, bucket, &text);
    }
    let inserts = began.rate(size);
    let rss = resident().saturating_sub(before);
    let (memory, stored) = {
        let bucket = store.bucket(bucket).expect("defined");
        (bucket.memory(), bucket.iter().map(|(_, row)| row.text().len()).sum::<usize>())
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let updates = updates(&mut store, &mut ids, bucket, size, &mut random);
    let gets = gets(&store, bucket, size, &mut random);
    let free = Budget::unlimited();
    let mut out = Vec::new();
    let mut wheres = |filter: &dyn Fn(usize) -> String, count: usize| {
        let bucket = store.bucket(bucket).expect("defined");
        let began = Clock::start();
        for _ in 0..count {
            let source = filter(random.below(size));
            let raw = parse(&source, 16).expect("JSON");
            let filter = Filter::compile(bucket.layout(), raw).expect("a good filter");
            out.clear();
            bucket.select(Some(&filter), &free).for_each(|(_, row)| row.write(&mut out));
            black_box(&out);
        }
        began.rate(count)
    };
    let indexed = wheres(&|at| format!(r#"{{"room":"room-{:06}"}}"#, at / PER_ROOM), 200_000);
    let scans = wheres(&|at| format!(r#"{{"n":{}}}"#, at * 3), (20_000_000 / size).clamp(5, 500));
    let updates_of_bucket = object(r#"{"addIndexes":["n"]}"#);
    let set = store.prepare_update("bench", &updates_of_bucket, &free).expect("an index");
    store.commit(set);
    let ranges = {
        let bucket = store.bucket(bucket).expect("defined");
        let select = |at: usize| {
            let source = format!(r#"{{"n":{{"$gte":{},"$lt":{}}}}}"#, at * 3, (at + PER_ROOM) * 3);
            let filter = Filter::compile(bucket.layout(), parse(&source, 16).expect("JSON"));
            bucket.select(Some(&filter.expect("a good filter")), &free).count()
        };
        // The first one builds the ordered form.
        black_box(select(0));
        let began = Clock::start();
        for _ in 0..100_000 {
            black_box(select(random.below(size)));
        }
        began.rate(100_000)
    };
    let per = |bytes: usize| bytes as f64 / size as f64;
    println!(
        "{size:>9} {:>6.1} {:>6.1} {:>7.1} {:>7.1} {:>6.2} {:>7.2} {inserts:>9.0} {updates:>9.0} {gets:>9.0} \
         {indexed:>9.0} {ranges:>9.0} {:>9.3}",
        per(sent),
        per(stored),
        per(memory),
        per(rss),
        rss as f64 / sent as f64,
        rss as f64 / stored as f64,
        1000.0 / scans,
    );
}

fn insert(store: &mut Store, ids: &mut IdSource, bucket: BucketId, text: &str) {
    let data = Data::from(parse(text, 16).expect("JSON"));
    write(store, ids, |draft, store, ids| {
        draft.insert(store, ids, bucket, &data).expect("inserted");
    });
}

fn updates(
    store: &mut Store,
    ids: &mut IdSource,
    bucket: BucketId,
    size: usize,
    random: &mut Random,
) -> f64 {
    const COUNT: usize = 200_000;
    let began = Clock::start();
    for at in 0..COUNT {
        let source = format!(r#"{{"n":{at}}}"#);
        let data = Data::from(parse(&source, 16).expect("JSON"));
        let key = Lookup::from(format!("r{:08}", random.below(size)).as_str());
        write(store, ids, |draft, store, _| {
            draft.update(store, bucket, &key, &data).expect("updated");
        });
    }
    began.rate(COUNT)
}

fn gets(store: &Store, bucket: BucketId, size: usize, random: &mut Random) -> f64 {
    const COUNT: usize = 1_000_000;
    let bucket = store.bucket(bucket).expect("defined");
    let (began, mut out, mut key) = (Clock::start(), Vec::new(), String::new());
    for _ in 0..COUNT {
        use std::fmt::Write as _;
        key.clear();
        let _ = write!(key, "\"r{:08}\"", random.below(size));
        let lookup = Lookup::from(parse(&key, 16).expect("JSON"));
        out.clear();
        let row = lookup.key().and_then(|key| bucket.get(key)).expect("there");
        row.write(&mut out);
        black_box(&out);
    }
    began.rate(COUNT)
}
