//! A number of equal operations against the engine alone, to be counted in
//! instructions, which a busy machine does not change: `scripts/gate` runs it
//! under callgrind twice, with and without the operations, and prints the
//! difference.
//!
//!     gate get|update|insert|fanout COUNT

mod driver;

use driver::Driver;
use noexd::engine::EngineOptions;

const RECORDS: usize = 10_000;
const SUBSCRIBERS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().expect("an operation");
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).expect("a count");
    let options = EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() };
    let mut driver = Driver::new(options);
    let conn = driver.connect();
    driver.must(
        conn,
        r#"{"id":1,"type":"store.defineBucket","name":"m","config":{"key":"id","indexes":["room"],"schema":{
            "id":{"type":"string"},"room":{"type":"string","required":true},
            "n":{"type":"number","min":0},"text":{"type":"string"}}}}"#,
    );
    for at in 0..RECORDS {
        driver.must(conn, &insert(at));
    }
    if what == "fanout" {
        driver.must(
            conn,
            r#"{"id":1,"type":"store.defineQuery","name":"q","config":{"bucket":"m","filter":{"room":"room-7"}}}"#,
        );
        for _ in 0..SUBSCRIBERS {
            let subscriber = driver.connect();
            driver.must(subscriber, r#"{"id":1,"type":"store.subscribe","query":"q"}"#);
        }
        driver.pass(1000);
    }
    let before = driver.sent();
    for at in 0..count {
        let request = match &*what {
            "get" => format!(
                r#"{{"id":{at},"type":"store.get","bucket":"m","key":"r{:08}"}}"#,
                spread(at)
            ),
            "update" => update(at, spread(at)),
            "insert" => insert(RECORDS + at),
            "fanout" => update(at, 70 + at % 10),
            other => panic!("{other} is none of get, update, insert, fanout"),
        };
        driver.must(conn, &request);
        driver.pass(1);
    }
    let each = if what == "fanout" { SUBSCRIBERS + 1 } else { 1 };
    assert_eq!(driver.sent() - before, count * each, "messages");
}

fn spread(at: usize) -> usize {
    at * 7919 % RECORDS
}

fn insert(at: usize) -> String {
    format!(
        r#"{{"id":{at},"type":"store.insert","bucket":"m","data":{{"id":"r{at:08}","room":"room-{}","n":{},"text":"some words {at:07}"}}}}"#,
        at / 10,
        at * 3
    )
}

fn update(at: usize, record: usize) -> String {
    format!(
        r#"{{"id":{at},"type":"store.update","bucket":"m","key":"r{record:08}","data":{{"n":{at},"text":"other words {at:07}"}}}}"#
    )
}
