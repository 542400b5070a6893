//! What a step of the budget takes, for each kind of work: nanoseconds of
//! processor time per step, so that the prices (`src/budget.rs`,
//! docs/limits.md) can be compared. Every kind should be below some 20 ns:
//! then the default budget is below some 0.4 s whatever the work.
//!
//!     cargo run --release --example prices

#[path = "gate/driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use driver::Driver;
use noexd::app::ConnId;
use noexd::engine::EngineOptions;

const RECORDS: usize = 20_000;

struct Prices {
    driver: Driver,
    conn: ConnId,
}

fn main() {
    println!("{:<34} {:>12} {:>9} {:>9}", "work", "steps", "ms", "ns/step");
    let mut prices = Prices::new();
    prices.reads();
    prices.patterns();
    prices.writes();
}

impl Prices {
    fn new() -> Prices {
        let options = EngineOptions {
            heartbeat_interval_ms: 0,
            request_steps: 1 << 40,
            max_reply_bytes: 1 << 30,
            ..EngineOptions::default()
        };
        let mut driver = Driver::new(options);
        let conn = driver.connect();
        driver.must(
            conn,
            r#"{"id":1,"type":"store.defineBucket","name":"b","config":{"key":"id","schema":{
                "id":{"type":"number"},"f":{"type":"string"},"g":{"type":"string"},"n":{"type":"number"}}}}"#,
        );
        for at in 0..RECORDS {
            driver.must(
                conn,
                &format!(
                    r#"{{"id":1,"type":"store.insert","bucket":"b","data":{{"id":{at},"n":{}.5,"f":"abcdefghijklmnopqrstuvwxyzabcdefghijklmn","g":"Straße {at} über \"Land\" und Čas"}}}}"#,
                    at * 7919 % RECORDS
                ),
            );
        }
        Prices { driver, conn }
    }

    /// One request, with what it cost.
    fn price(&mut self, work: &str, request: &str) {
        self.driver.send(self.conn, request);
        let (began, wall) = (used(), Instant::now());
        self.driver.send(self.conn, request);
        let took = used().zip(began).map_or_else(|| wall.elapsed(), |(now, then)| now - then);
        let spent = self.driver.engine.spent();
        let steps = spent.request + spent.after;
        println!(
            "{work:<34} {steps:>12} {:>9.2} {:>9.2}",
            took.as_secs_f64() * 1e3,
            took.as_nanos() as f64 / steps.max(1) as f64
        );
    }

    fn count(&mut self, work: &str, filter: &str) {
        self.price(
            work,
            &format!(r#"{{"id":1,"type":"store.count","bucket":"b","filter":{filter}}}"#),
        );
    }

    fn alternatives(&mut self, work: &str, condition: impl Fn(usize) -> String) {
        let all: Vec<String> = (0..300).map(condition).collect();
        self.count(work, &format!(r#"{{"$or":[{}]}}"#, all.join(",")));
    }

    fn reads(&mut self) {
        self.count("scan, one equality", r#"{"n":-1}"#);
        self.count("scan, a field without a place", r#"{"other":1}"#);
        self.count("scan, a comparison", r#"{"n":{"$lt":-1}}"#);
        self.count("scan, $contains", r#"{"f":{"$contains":"zq"}}"#);
        self.count("scan, $contains beyond ASCII", r#"{"g":{"$contains":"zq"}}"#);
        self.count("scan, $endsWith with escapes", r#"{"g":{"$endsWith":"zq"}}"#);
        self.count("scan, $in of 5", r#"{"n":{"$in":[-1,-2,-3,-4,-5]}}"#);
        let many: Vec<String> = (0..1000).map(|at| format!("\"x{at}\"")).collect();
        self.count("scan, $in of 1000", &format!(r#"{{"f":{{"$in":[{}]}}}}"#, many.join(",")));
        self.alternatives("alternatives, equality", |at| format!(r#"{{"n":-{at}}}"#));
        self.alternatives("alternatives, comparison", |at| format!(r#"{{"n":{{"$lt":-{at}}}}}"#));
        self.alternatives("alternatives, two fields", |at| match at % 2 {
            0 => format!(r#"{{"n":{{"$lt":-{at}}}}}"#),
            _ => format!(r#"{{"f":"{at}"}}"#),
        });
        self.alternatives("alternatives, $contains", |at| {
            format!(r#"{{"f":{{"$contains":"zq{at}"}}}}"#)
        });
        self.alternatives("alternatives, $contains, common", |at| {
            format!(r#"{{"f":{{"$contains":"bq{at}"}}}}"#)
        });
        self.alternatives("alternatives, beyond ASCII", |at| {
            format!(r#"{{"g":{{"$contains":"zq{at}"}}}}"#)
        });
        self.alternatives("alternatives, $endsWith", |at| {
            format!(r#"{{"g":{{"$endsWith":"zq{at}"}}}}"#)
        });
        self.alternatives("alternatives, empty", |_| r#"{"$or":[]}"#.into());
        self.alternatives("alternatives, $and of two", |at| {
            format!(r#"{{"$and":[{{"n":{{"$gte":0}}}},{{"f":"{at}"}}]}}"#)
        });
        self.price(
            "sort",
            r#"{"id":1,"type":"store.paginate","bucket":"b","limit":1,"sort":{"n":"asc"}}"#,
        );
        self.price("reply", r#"{"id":1,"type":"store.all","bucket":"b"}"#);
        self.price("where, all match", r#"{"id":1,"type":"store.where","bucket":"b","filter":{}}"#);
        self.price("aggregate", r#"{"id":1,"type":"store.sum","bucket":"b","field":"n"}"#);
        let op = r#"{"op":"count","bucket":"b","filter":{"f":{"$contains":"zq"}}}"#;
        self.transaction("transaction of 100 counts", &vec![op.to_string(); 100]);
        let op = r#"{"op":"get","bucket":"b","key":7}"#;
        self.transaction("transaction of 10000 gets", &vec![op.to_string(); 10_000]);
    }

    fn transaction(&mut self, work: &str, operations: &[String]) {
        let operations = operations.join(",");
        self.price(
            work,
            &format!(r#"{{"id":1,"type":"store.transaction","operations":[{operations}]}}"#),
        );
    }

    fn patterns(&mut self) {
        for (work, name, pattern) in [
            ("backtracking pattern", "p", "^(?!x)(a+)+$"),
            ("backtracking, back references", "q", r"^(?:(a+)(?=\\1?))+$"),
            ("linear pattern", "r", "^(a+)+$"),
        ] {
            let define = format!(
                r#"{{"id":1,"type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number"}},"t":{{"type":"array","items":{{"type":"string","pattern":"{pattern}"}}}}}}}}}}"#
            );
            self.driver.must(self.conn, &define);
            let texts = vec![format!("\"{}!\"", "a".repeat(30)); 60].join(",");
            let insert = format!(
                r#"{{"id":1,"type":"store.insert","bucket":"{name}","data":{{"id":1,"t":[{texts}]}}}}"#
            );
            self.price(work, &insert);
        }
    }

    fn writes(&mut self) {
        let define = |name: &str, index: &str| {
            format!(
                r#"{{"id":1,"type":"store.defineBucket","name":"{name}","config":{{"key":"id"{index},"schema":{{"id":{{"type":"number","generated":"autoincrement"}},"n":{{"type":"number","min":0}},"t":{{"type":"array"}},"f":{{"type":"string","maxLength":100}}}}}}}}"#
            )
        };
        self.driver.must(self.conn, &define("w", ""));
        self.driver.must(self.conn, &define("x", r#","indexes":["n","f"]"#));
        let insert = |bucket: &str| {
            format!(r#"{{"op":"insert","bucket":"{bucket}","data":{{"n":5,"f":"some words"}}}}"#)
        };
        self.transaction("commit of inserts", &vec![insert("w"); 5000]);
        self.transaction("commit of inserts, two indexes", &vec![insert("x"); 5000]);
        let update = r#"{"op":"update","bucket":"b","key":5,"data":{"f":"some words"}}"#;
        self.transaction("commit of updates", &vec![update.to_string(); 5000]);
        let elements = vec!["1"; 50_000].join(",");
        let array = format!(
            r#"{{"id":1,"type":"store.insert","bucket":"w","data":{{"n":1,"t":[{elements}]}}}}"#
        );
        self.price("an array of 50000 elements", &array);
        self.price("delete of many", r#"{"id":1,"type":"store.clear","bucket":"x"}"#);
        for (work, config) in [
            ("subscribe, all", r#"{"bucket":"b"}"#),
            ("subscribe, sorted", r#"{"bucket":"b","sort":{"n":"asc"},"limit":10}"#),
            (
                "subscribe, groups",
                r#"{"bucket":"b","aggregate":{"function":"count","groupBy":"n"}}"#,
            ),
        ] {
            let define = format!(
                r#"{{"id":1,"type":"store.defineQuery","name":"{work}","config":{config}}}"#
            );
            self.driver.must(self.conn, &define);
            // What it was twice is shared: the second of a pair costs nothing.
            let other = self.driver.connect();
            let (began, wall) = (used(), Instant::now());
            self.driver
                .send(other, &format!(r#"{{"id":1,"type":"store.subscribe","query":"{work}"}}"#));
            let took = used().zip(began).map_or_else(|| wall.elapsed(), |(now, then)| now - then);
            let steps = self.driver.engine.spent().request;
            println!(
                "{work:<34} {steps:>12} {:>9.2} {:>9.2}",
                took.as_secs_f64() * 1e3,
                took.as_nanos() as f64 / steps.max(1) as f64
            );
        }
    }
}

/// Processor time of this thread; `None` where the system does not tell.
fn used() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
