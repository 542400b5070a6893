//! Ordered indexes against a bucket that has none: the same answers, whatever
//! is asked.

use super::*;
use crate::ids::IdSource;
use crate::testing::cases;

/// What the two buckets differ in; the ordinary indexes are the same.
const PLAIN_INDEXES: &str = r#"["room","score"]"#;
const ORDERED: &str =
    r#"["room",{"field":"score","ordered":true},["room","at"],["at","tag"],["room","score","at"]]"#;

struct Dice(IdSource);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn likely(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const ROOMS: [&str; 5] = [r#""a""#, r#""b""#, r#""\u0000""#, r#""ab""#, "null"];
const SCORES: [&str; 8] = ["-0", "0", "1", "1.5", "-3", "1e300", "1e999", "null"];
const TIMES: [&str; 6] = [r#""x""#, r#""xy""#, r#""\ue000""#, r#""😀""#, r#""""#, "null"];
const MIXED: [&str; 10] =
    ["1", r#""1""#, "true", "false", r#""b""#, "[1]", "{}", "null", "3", r#""a""#];

/// The fields of a record; `mixed`: of any kind.
fn fields(dice: &mut Dice, mixed: bool) -> String {
    let mut out = String::new();
    for (name, values) in
        [("room", &ROOMS[..]), ("score", &SCORES), ("at", &TIMES), ("tag", &["1", "2", "3"])]
    {
        if dice.likely(80) {
            let values = if mixed && dice.likely(50) { &MIXED } else { values };
            out += &format!(r#","{name}":{}"#, dice.one(values));
        }
    }
    out
}

fn condition(dice: &mut Dice) -> String {
    let field = dice.one(&["room", "room", "score", "at", "at", "tag"]);
    let value = |dice: &mut Dice| match field {
        _ if dice.likely(15) => dice.one(&MIXED[..5]),
        "room" => dice.one(&ROOMS),
        "score" => dice.one(&SCORES[..7]),
        "at" => dice.one(&TIMES),
        _ => dice.one(&["1", "2"]),
    };
    let a = value(dice);
    let b = value(dice);
    match dice.below(9) {
        0..=3 => format!(r#""{field}":{a}"#),
        4 => format!(r#""{field}":{{"$gt":{a}}}"#),
        5 => format!(r#""{field}":{{"$gte":{a},"$lt":{b}}}"#),
        6 => format!(r#""{field}":{{"$lte":{a}}}"#),
        7 => format!(r#""{field}":{{"$between":[{a},{b}]}}"#),
        _ => format!(r#""{field}":{{"$in":[{a},{b}]}}"#),
    }
}

fn filter(dice: &mut Dice) -> String {
    let count = dice.below(4);
    let mut conditions: Vec<String> = (0..count).map(|_| condition(dice)).collect();
    if dice.likely(15) {
        let inner = condition(dice);
        conditions.push(format!(r#""$and":[{{{inner}}}]"#));
    }
    if dice.likely(10) {
        let (a, b) = (condition(dice), condition(dice));
        conditions.push(format!(r#""$or":[{{{a}}},{{{b}}}]"#));
    }
    if dice.likely(5) {
        // Which nothing matches.
        conditions.push(r#""$or":[]"#.into());
    }
    format!("{{{}}}", conditions.join(","))
}

/// The sort and the window of a query.
fn order(dice: &mut Dice) -> String {
    let orders =
        ["score", "at", "room,at", "at,tag", "score,at", "room,score,at", "room", "room,score"];
    let sort: Vec<String> = dice
        .one(&orders)
        .split(',')
        .map(|name| format!(r#""{name}":"{}""#, dice.one(&["asc", "desc"])))
        .collect();
    let offset = match dice.likely(60) {
        true => format!(r#","offset":{}"#, dice.below(50)),
        false => String::new(),
    };
    format!(r#""sort":{{{}}},"limit":{}{offset}"#, sort.join(","), dice.below(9))
}

struct Pair {
    rig: Rig,
    conn: ConnId,
    live: usize,
}

impl Pair {
    fn new(seed: u8) -> (Pair, Dice) {
        let (rig, conn) = rig();
        (Pair { rig, conn, live: 0 }, Dice(IdSource::new([seed; 32])))
    }

    fn define(&mut self) {
        let schema = r#"{"id":{"type":"number"},"room":{"type":"string"},"score":{"type":"number"},"at":{"type":"string"},"tag":{"type":"number"}}"#;
        for (name, indexes) in [("p", PLAIN_INDEXES), ("s", ORDERED)] {
            let define = format!(
                r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{schema},"indexes":{indexes}}}"#
            );
            assert!(ask(&mut self.rig, self.conn, &define).contains("created"));
        }
    }

    /// Records of all kinds that are there before their fields are declared.
    fn define_late(&mut self, dice: &mut Dice) {
        for name in ["p", "s"] {
            let define = format!(
                r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number"}}}}}}"#
            );
            assert!(ask(&mut self.rig, self.conn, &define).contains("created"));
        }
        for id in 0..40 {
            let data = fields(dice, true);
            self.both(&format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id}{data}}}"#));
        }
        let added = r#"{"room":{"type":"string"},"score":{"type":"number"},"at":{"type":"string"},"tag":{"type":"number"}}"#;
        for (name, indexes) in [("p", PLAIN_INDEXES), ("s", ORDERED)] {
            let update = format!(
                r#""type":"store.updateBucket","name":"{name}","updates":{{"addFields":{added},"addIndexes":{indexes}}}"#
            );
            assert!(ask(&mut self.rig, self.conn, &update).contains("updated"));
        }
    }

    /// Asks both buckets, which answer alike.
    fn both(&mut self, request: &str) -> String {
        let mut of = |name: &str| {
            let request = request.replace(r#""bucket":"b""#, &format!(r#""bucket":"{name}""#));
            let answer = ask(&mut self.rig, self.conn, &request);
            answer.replace(&format!("bucket \"{name}\""), "bucket \"b\"")
        };
        let (plain, ordered) = (of("p"), of("s"));
        assert_eq!(plain, ordered, "{request}");
        plain
    }

    fn write(&mut self, dice: &mut Dice) {
        let (id, data) = (dice.below(60), fields(dice, false));
        let request = match dice.below(10) {
            0..=2 => format!(r#""type":"store.insert","bucket":"b","data":{{"id":{id}{data}}}"#),
            3..=7 => {
                let data = data.strip_prefix(',').unwrap_or_default();
                format!(r#""type":"store.update","bucket":"b","key":{id},"data":{{{data}}}"#)
            }
            8 => format!(r#""type":"store.delete","bucket":"b","key":{id}"#),
            _ => {
                let filter = filter(dice);
                format!(
                    r#""type":"store.updateMany","bucket":"b","filter":{filter},"apply":{{"tag":{{"$inc":1}}}},"limit":3"#
                )
            }
        };
        self.both(&request);
    }

    fn ask(&mut self, dice: &mut Dice) {
        let (filter, order) = (filter(dice), order(dice));
        self.both(&format!(r#""type":"store.find","bucket":"b","filter":{filter},{order}"#));
        let all = self.both(&format!(r#""type":"store.where","bucket":"b","filter":{filter}"#));
        self.window(dice, &filter, &all);
        self.both(&format!(r#""type":"store.findOne","bucket":"b","filter":{filter}"#));
        self.both(&format!(r#""type":"store.count","bucket":"b","filter":{filter}"#));
        // Every change of a live query is compared with an evaluation.
        if self.live < 8 {
            self.live += 1;
            let request = format!(r#""type":"store.live","bucket":"s","filter":{filter},{order}"#);
            let answer = ask(&mut self.rig, self.conn, &request);
            assert!(answer.starts_with('{'), "{request}: {answer}");
        }
    }
    /// A window of what no `sort` orders is a piece of the whole.
    fn window(&mut self, dice: &mut Dice, filter: &str, all: &str) {
        let Ok(all) = serde_json::from_str::<Vec<serde_json::Value>>(all) else { return };
        let (offset, limit) = (dice.below(70), 1 + dice.below(9));
        let filter = match dice.likely(50) {
            true => format!(r#""filter":{filter},"#),
            false => String::new(),
        };
        let all = match filter.is_empty() {
            false => all,
            true => {
                let all = self.both(r#""type":"store.all","bucket":"b""#);
                serde_json::from_str(&all).expect("a list")
            }
        };
        let answer = self.both(&format!(
            r#""type":"store.find","bucket":"b",{filter}"offset":{offset},"limit":{limit}"#
        ));
        let found: Vec<serde_json::Value> = serde_json::from_str(&answer).expect("a list");
        let expected: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        assert_eq!(found, expected, "{filter} {offset} {limit}");
    }
}

#[test]
fn ordered_indexes_answer_as_a_scan_does() {
    for seed in 0..cases(6) as u8 {
        let (mut pair, mut dice) = Pair::new(seed);
        if seed % 3 == 0 {
            pair.define_late(&mut dice)
        } else {
            pair.define()
        }
        for _ in 0..80 {
            pair.write(&mut dice);
            pair.ask(&mut dice);
        }
        pair.rig.engine.check_invariants();
        if seed % 2 == 0 {
            for name in ["p", "s"] {
                let clear = format!(r#""type":"store.clear","bucket":"{name}""#);
                ask(&mut pair.rig, pair.conn, &clear);
            }
        }
        for _ in 0..30 {
            pair.write(&mut dice);
            pair.ask(&mut dice);
        }
        pair.rig.engine.check_invariants();
    }
}

/// What is looked at are the first of very many, and a range, and not the rest.
#[test]
fn the_first_of_very_many_are_cheap() {
    let mut rig = Rig::new(options());
    let conn = rig.connect();
    rig.received(conn);
    for (name, indexes) in [
        ("plain", r#"["room"]"#),
        ("b", r#"["room",{"field":"score","ordered":true},["room","at"]]"#),
    ] {
        let define = format!(
            r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number"}},"room":{{"type":"string"}},"score":{{"type":"number"}},"at":{{"type":"number"}}}},"indexes":{indexes}}}"#
        );
        assert!(ask(&mut rig, conn, &define).contains("created"));
        for part in 0..6 {
            let records: Vec<String> = (part * 500..(part + 1) * 500)
                .map(|id| {
                    format!(
                        r#"{{"id":{id},"room":"r{}","score":{},"at":{id}}}"#,
                        id % 20,
                        (id * 7919) % 3000
                    )
                })
                .collect();
            let insert = format!(
                r#""type":"store.insertMany","bucket":"{name}","data":[{}],"answer":"counts""#,
                records.join(",")
            );
            let answer = ask(&mut rig, conn, &insert);
            assert!(answer.contains(r#""inserted":500"#), "{answer}");
        }
    }
    let cost = |rig: &mut Rig, name: &str, query: &str| {
        let text = format!(r#"{{"bucket":"{name}",{query}}}"#);
        let query = crate::json::parse(&text, 9).expect("JSON").to_json();
        let query = crate::query::AdHoc::parse(|name| query.get(name).cloned());
        let (budget, mut out) = (crate::budget::Budget::unlimited(), Vec::new());
        let bucket = rig.engine.store.bucket_named(name).expect("a bucket");
        let query = query.expect("a query");
        query.answer(bucket, None, (&budget, usize::MAX), &mut out).expect("an answer");
        (String::from_utf8(out).expect("text"), budget.spent())
    };
    for query in [
        r#""sort":{"score":"asc"},"limit":3"#,
        r#""sort":{"score":"desc"},"limit":3"#,
        r#""filter":{"score":{"$gt":1500}},"sort":{"score":"asc"},"limit":1"#,
        r#""sort":{"score":"asc"},"limit":3,"offset":1500"#,
        r#""sort":{"score":"desc"},"limit":3,"offset":2900"#,
        r#""filter":{"room":"r1"},"sort":{"at":"desc"},"limit":5,"offset":2"#,
        r#""filter":{"room":"r1"},"sort":{"at":"desc"},"limit":5,"offset":140"#,
        r#""filter":{"room":"r1","at":{"$between":[2000,2100]}}"#,
    ] {
        let (found, spent) = cost(&mut rig, "b", query);
        let (same, scanned) = cost(&mut rig, "plain", query);
        assert_eq!(found, same, "{query}");
        assert!(found.len() > 30, "{query}: {found}");
        assert!(spent < 60, "{query}: {spent}");
        assert!(scanned > 150, "{query}: {scanned}");
    }
    // What no `sort` orders is passed by from the nearer end.
    let (last, spent) = cost(&mut rig, "plain", r#""limit":3,"offset":2996"#);
    assert!(last.starts_with(r#"[{"id":2996,"#) && last.contains(r#"{"id":2998,"#), "{last}");
    assert!(spent < 10, "{spent}");
    let (_, spent) = cost(&mut rig, "plain", r#""limit":3,"offset":1500"#);
    assert!((150..250).contains(&spent), "{spent}");
    let explain = |rig: &mut Rig, filter: &str| {
        ask(rig, conn, &format!(r#""type":"store.explain","bucket":"b","filter":{filter}"#))
    };
    assert_eq!(
        explain(&mut rig, r#"{"room":"r1","at":{"$gte":2900}}"#),
        r#"{"bucket":"b","records":3000,"access":"ordered","index":["room","at"],"order":"acquired","lookedAt":5,"matched":5}"#
    );
    assert_eq!(
        explain(&mut rig, r#"{"score":{"$lt":4}}"#),
        r#"{"bucket":"b","records":3000,"access":"ordered","index":"score","order":"table","lookedAt":5,"matched":4}"#
    );
}

#[test]
fn definitions_of_ordered_indexes() {
    let (mut rig, conn) = rig();
    let mut define = |indexes: &str| {
        let request = format!(
            r#""type":"store.defineBucket","name":"b","config":{{"key":"id","schema":{{"id":{{"type":"string"}},"a":{{"type":"number"}}}},"indexes":{indexes}}}"#
        );
        ask(&mut rig, conn, &request)
    };
    let invalid = |path: &str, reason: &str| {
        format!(r#"VALIDATION_ERROR Invalid schema for bucket "b": {path}: {reason}"#)
    };
    let many = "Index needs 1 to 8 different fields";
    assert_eq!(define("[[]]"), invalid("indexes[0]", many));
    assert_eq!(define(r#"["a",["a","a"]]"#), invalid("indexes[1]", many));
    assert_eq!(
        define(r#"[["a",5]]"#),
        r#"VALIDATION_ERROR Index field "5" does not exist in schema for bucket "b""#
    );
    assert_eq!(
        define(r#"[{"field":"x","ordered":true}]"#),
        r#"VALIDATION_ERROR Index field "x" does not exist in schema for bucket "b""#
    );
    assert_eq!(
        define(r#"[["a","x"]]"#),
        r#"VALIDATION_ERROR Index field "x" does not exist in schema for bucket "b""#
    );
    assert_eq!(define("[{}]"), invalid("indexes[0]", "expected a field name, got null"));
    assert_eq!(
        define(r#"[{"field":"a","ordered":1}]"#),
        invalid("indexes[0].ordered", "expected true or false, got number")
    );
    assert_eq!(
        define(r#"[{"field":"a","ordered":true},["id","a"],"a"]"#),
        r#"{"name":"b","created":true}"#
    );
    // The same, said in another way, and something else.
    let mut again = |indexes: &str| {
        let request = format!(
            r#""type":"store.defineBucket","ifMissing":true,"name":"b","config":{{"key":"id","schema":{{"id":{{"type":"string"}},"a":{{"type":"number"}}}},"indexes":{indexes}}}"#
        );
        ask(&mut rig, conn, &request)
    };
    assert!(again(r#"["a",["a"],["id","a"]]"#).contains(r#""existed":true"#));
    assert!(again(r#"["a",["id","a"]]"#).starts_with("ALREADY_EXISTS"));
    let schema = ask(&mut rig, conn, r#""type":"store.getBucketSchema","name":"b""#);
    assert!(
        schema.contains(r#""indexes":[{"field":"a","ordered":true},["id","a"],"a"]"#),
        "{schema}"
    );
}
