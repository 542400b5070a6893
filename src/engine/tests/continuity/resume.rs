//! Every way in which a subscribe with a token ends, each at its border.

use super::client::{Held, State};
use super::{at, call, number_at};
use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::Json;

const DEFINE: &str = r#""store.defineBucket","name":"a","config":{"key":"id","indexes":["tag"],
    "schema":{"id":{"type":"number"},"tag":{"type":"string"},"n":{"type":"number"}}}"#;
const DELTA: &str = r#""store.live","bucket":"a","mode":"delta""#;

struct World {
    rig: Rig,
    writer: ConnId,
    conn: ConnId,
}

impl World {
    fn new() -> World {
        World::with(EngineOptions::default())
    }

    fn with(options: EngineOptions) -> World {
        let options = EngineOptions { first_push_delay_ms: 0, ..options };
        let mut rig = Rig::new(options);
        let (writer, conn) = (rig.connect(), rig.connect());
        call(&mut rig, writer, DEFINE);
        World { rig, writer, conn }
    }

    fn write(&mut self, body: &str) {
        let answer = self.rig.call(self.writer, &format!(r#"{{"id":1,"type":{body}}}"#));
        assert_eq!(answer.get("type").and_then(Json::as_str), Some("result"), "{body}: {answer}");
    }

    fn insert(&mut self, id: usize) {
        self.write(&format!(
            r#""store.insert","bucket":"a","data":{{"id":{id},"tag":"x","n":{}}}"#,
            100 - id
        ));
    }

    fn update(&mut self, id: usize, fields: &str) {
        self.write(&format!(r#""store.update","bucket":"a","key":{id},"data":{{{fields}}}"#));
    }

    /// The client goes away: what it has is what it has.
    fn leave(&mut self) {
        self.rig.engine.closed(self.conn, self.rig.now);
        self.conn = self.rig.connect();
        self.rig.received(self.conn);
    }

    fn subscribe(&mut self, held: &mut Held) -> Json {
        let body = format!("{},{}", held.request, held.resume());
        let answer = call(&mut self.rig, self.conn, &body);
        held.answered(&answer);
        answer
    }

    /// Subscribes, goes, lets something happen, comes back: the outcome.
    fn come_back(&mut self, request: &str, meanwhile: impl FnOnce(&mut World)) -> String {
        let mut held = Held::new(request);
        let first = self.subscribe(&mut held);
        assert_eq!(at(&first, "data.resumed"), Some(&Json::Bool(false)), "{first}");
        assert!(at(&first, "data.reason").is_none(), "{first}");
        self.leave();
        meanwhile(self);
        let answer = self.subscribe(&mut held);
        self.check(&held);
        outcome(&answer)
    }

    /// What the client has is what anybody would be answered.
    fn check(&mut self, held: &Held) {
        let other = self.rig.connect();
        let mut fresh = Held::new(&held.request);
        let answer = call(&mut self.rig, other, &held.request);
        assert!(at(&answer, "data.resume").is_none() && at(&answer, "data.resumed").is_none());
        fresh.answered(&answer);
        assert_eq!(held.state.comparable(), fresh.state.comparable(), "{}", held.request);
        self.rig.engine.closed(other, self.rig.now);
    }
}

/// `resumed`, with what changed; or the reason.
fn outcome(answer: &Json) -> String {
    let data = answer.get("data").expect("data");
    match data.get("reason").and_then(Json::as_str) {
        Some(reason) => reason.into(),
        None => {
            assert_eq!(data.get("resumed"), Some(&Json::Bool(true)), "{answer}");
            let list = |name| data.get(name).map(|it| format!(" {name} {it}")).unwrap_or_default();
            format!("resumed{}{}", list("removed"), list("changed"))
        }
    }
}

const SHAPES: [&str; 6] = [
    r#""store.live","bucket":"a""#,
    r#""store.live","bucket":"a","mode":"delta""#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"limit":2,"mode":"delta""#,
    r#""store.live","bucket":"a","aggregate":{"function":"count"}"#,
    r#""store.live","bucket":"a","aggregate":{"function":"sum","field":"n"},"mode":"delta""#,
    r#""store.live","bucket":"a","aggregate":{"function":"count","groupBy":"tag"},"mode":"delta""#,
];

#[test]
fn what_was_not_touched_is_kept_in_every_shape() {
    for shape in SHAPES {
        let mut world = World::new();
        (1..4).for_each(|id| world.insert(id));
        assert_eq!(world.come_back(shape, |_| {}), "resumed", "{shape}");
        // Others may change.
        let elsewhere = |world: &mut World| {
            world.write(r#""store.defineBucket","name":"b","config":{"key":"id","schema":{"id":{"type":"number"}}}"#);
            world.write(r#""store.insert","bucket":"b","data":{"id":1}"#);
        };
        assert_eq!(world.come_back(shape, elsewhere), "resumed", "{shape}");
        // What was refused has changed nothing, though it has a commit.
        let refused = |world: &mut World| {
            let insert = r#"{"id":1,"type":"store.insert","bucket":"a","data":{"id":9,"n":"x"}}"#;
            let before = world.rig.engine.newest_commit();
            let answer = world.rig.call(world.writer, insert);
            assert_eq!(answer.get("type").and_then(Json::as_str), Some("error"), "{answer}");
            assert!(world.rig.engine.newest_commit() > before);
        };
        assert_eq!(world.come_back(shape, refused), "resumed", "{shape}");
    }
}

#[test]
fn a_result_that_did_not_change_is_kept_while_somebody_watches_it() {
    let shape =
        r#""store.live","bucket":"a","filter":{"tag":"y"},"aggregate":{"function":"count"}"#;
    let mut world = World::new();
    world.insert(1);
    // The view goes with its last subscriber, and with it what it knows.
    assert_eq!(world.come_back(shape, |world| world.insert(2)), "whole");
    let other = world.rig.connect();
    call(&mut world.rig, other, shape);
    assert_eq!(world.come_back(shape, |world| world.insert(3)), "resumed");
    assert_eq!(world.come_back(shape, |world| world.update(3, r#""tag":"y""#)), "whole");
}

#[test]
fn everything_but_plain_rows_is_sent_whole() {
    for (shape, at) in SHAPES.iter().zip(0..) {
        let mut world = World::new();
        (1..4).for_each(|id| world.insert(id));
        let came = world.come_back(shape, |world| world.update(1, r#""tag":"z","n":0"#));
        assert_eq!(came.starts_with("resumed changed"), at == 1, "{shape}: {came}");
        assert!(at == 1 || came == "whole", "{shape}: {came}");
    }
    let mut world = World::new();
    for shape in [
        r#""store.live","bucket":"a","mode":"delta","offset":1"#,
        r#""store.live","bucket":"a","mode":"delta","limit":100"#,
    ] {
        assert_eq!(world.come_back(shape, |world| world.insert(50)), "whole", "{shape}");
        world.write(r#""store.clear","bucket":"a""#);
    }
    // Values that do not compare are not maintained.
    world.insert(1);
    let mixed = r#""store.defineBucket","name":"m","config":{"key":"id","schema":{"id":{"type":"number"}}}"#;
    world.write(mixed);
    world.write(r#""store.insert","bucket":"m","data":{"id":1,"v":1}"#);
    world.write(r#""store.insert","bucket":"m","data":{"id":2,"v":"1"}"#);
    let sorted = r#""store.live","bucket":"m","mode":"delta","sort":{"v":"asc"}"#;
    let more =
        |world: &mut World| world.write(r#""store.insert","bucket":"m","data":{"id":3,"v":2}"#);
    assert_eq!(world.come_back(sorted, more), "whole");
}

#[test]
fn rows_are_resumed_by_what_became_of_each() {
    let with_positions = r#""store.live","bucket":"a","mode":"delta","positions":true"#;
    let sorted = r#""store.live","bucket":"a","mode":"delta","sort":{"n":"asc"},"fields":["n"]"#;
    let tagged =
        r#""store.live","bucket":"a","mode":"delta","filter":{"tag":"x"},"positions":true"#;
    let bounded = r#""store.live","bucket":"a","mode":"delta","filter":{"n":{"$gt":95}}"#;
    for (shape, expected) in [
        (
            DELTA,
            r#"resumed removed [2] changed [{"key":1,"row":{"id":1,"tag":"y","n":99,"_version":2}},{"key":9,"row":{"id":9,"tag":"x","n":91,"_version":1}}]"#,
        ),
        (
            with_positions,
            r#"resumed removed [2] changed [{"key":1,"at":0,"row":{"id":1,"tag":"y","n":99,"_version":2}},{"key":9,"at":3,"row":{"id":9,"tag":"x","n":91,"_version":1}}]"#,
        ),
        (
            sorted,
            r#"resumed removed [2] changed [{"key":9,"at":0,"row":{"n":91}},{"key":1,"at":3,"row":{"n":99}}]"#,
        ),
        (
            tagged,
            r#"resumed removed [1,2] changed [{"key":9,"at":2,"row":{"id":9,"tag":"x","n":91,"_version":1}}]"#,
        ),
        (
            bounded,
            r#"resumed removed [2,9] changed [{"key":1,"row":{"id":1,"tag":"y","n":99,"_version":2}}]"#,
        ),
    ] {
        let mut world = World::new();
        (1..5).for_each(|id| world.insert(id));
        let came = world.come_back(shape, |world| {
            world.update(1, r#""tag":"y""#);
            world.write(r#""store.delete","bucket":"a","key":2"#);
            world.insert(9);
        });
        let came = without_times(&came);
        assert_eq!(came, expected, "{shape}");
    }
}

#[test]
fn a_row_that_was_away_comes_back_behind_those_that_stayed() {
    // By an index the order is that in which the value was acquired, and not that
    // of the table.
    let indexed = r#""store.live","bucket":"a","mode":"delta","filter":{"tag":"x"},"positions":true,"fields":["id"]"#;
    let mut world = World::new();
    (1..4).for_each(|id| world.insert(id));
    let came = world.come_back(indexed, |world| {
        world.update(1, r#""tag":"y""#);
        world.update(1, r#""tag":"x""#);
    });
    assert_eq!(came, r#"resumed changed [{"key":1,"at":2,"row":{"id":1}}]"#);
    let came = world.come_back(indexed, |world| world.update(1, r#""n":7"#));
    assert_eq!(came, r#"resumed changed [{"key":1,"at":2,"row":{"id":1}}]"#);
    // Ties of a sort stand in the order of the table.
    let tied = r#""store.live","bucket":"a","mode":"delta","sort":{"tag":"asc"},"fields":["id"]"#;
    let came = world.come_back(tied, |world| world.update(2, r#""n":7"#));
    assert_eq!(came, r#"resumed changed [{"key":2,"at":1,"row":{"id":2}}]"#);
}

/// Rows without the members that have the time in them.
fn without_times(text: &str) -> String {
    let mut rest = text.to_owned();
    for name in [",\"_createdAt\":", ",\"_updatedAt\":"] {
        while let Some(at) = rest.find(name) {
            let digits = rest[at + name.len()..].bytes().take_while(u8::is_ascii_digit).count();
            rest.replace_range(at..at + name.len() + digits, "");
        }
    }
    rest
}

#[test]
fn what_is_no_position_of_this_data_is_told_as_such() {
    let mut world = World::new();
    world.insert(1);
    let mut held = Held::new(DELTA);
    world.subscribe(&mut held);
    let token = held.position.as_ref().expect("a position").token.clone();
    let resume = |world: &mut World, resume: &str| {
        let answer = call(&mut world.rig, world.conn, &format!("{DELTA},\"resume\":{resume}"));
        match at(&answer, "data.reason") {
            Some(reason) => reason.as_str().unwrap_or_default().to_owned(),
            None => at(&answer, "data.resumed").expect("resumed").to_text(),
        }
    };
    let newest = world.rig.engine.newest_commit();
    let alien = format!("A{}", &token[1..]);
    let alien = if alien == token { format!("B{}", &token[1..]) } else { alien };
    let other = format!("{}A{}", &token[..30], &token[31..]);
    let other = if other == token { format!("{}B{}", &token[..30], &token[31..]) } else { other };
    for (text, expected) in [
        ("{}".into(), "false"),
        (r#"{"commit":3}"#.into(), "false"),
        ("null".into(), "none"),
        (r#"{"token":7,"commit":1}"#.into(), "token"),
        (r#"{"token":"","commit":1}"#.into(), "token"),
        (format!(r#"{{"token":"{}","commit":1}}"#, &token[1..]), "token"),
        (format!(r#"{{"token":"{token}"}}"#), "token"),
        (format!(r#"{{"token":"{token}","commit":-1}}"#), "token"),
        (format!(r#"{{"token":"{token}","commit":1.5}}"#), "token"),
        (format!(r#"{{"token":"{token}","commit":"1"}}"#), "token"),
        (format!(r#"{{"token":"{token}","commit":1e400}}"#), "token"),
        (format!(r#"{{"token":"{alien}","commit":1}}"#), "epoch"),
        (format!(r#"{{"token":"{token}","commit":{}}}"#, newest + 1), "ahead"),
        (format!(r#"{{"token":"{token}","commit":1e300}}"#), "ahead"),
        (format!(r#"{{"token":"{other}","commit":1}}"#), "definition"),
        (format!(r#"{{"token":"{token}","commit":{newest}}}"#), "true"),
    ] {
        let came = match expected {
            "none" => {
                let answer =
                    call(&mut world.rig, world.conn, &format!("{DELTA},\"resume\":{text}"));
                assert!(at(&answer, "data.resumed").is_none(), "{answer}");
                "none".into()
            }
            _ => resume(&mut world, &text),
        };
        assert_eq!(came, expected, "{text}");
    }
    for (text, expected) in [
        ("1", "Invalid \"resume\": expected object"),
        (r#"{"keys":1}"#, "Invalid \"resume.keys\": expected array of at most 10000 keys"),
        (r#"{"keys":[null]}"#, "Invalid \"resume.keys\": expected array of at most 10000 keys"),
        (r#"{"keys":[{}]}"#, "Invalid \"resume.keys\": expected array of at most 10000 keys"),
    ] {
        let request = format!("{{\"id\":1,\"type\":{DELTA},\"resume\":{text}}}");
        let answer = world.rig.call(world.conn, &request);
        assert_eq!(answer.get("message").and_then(Json::as_str), Some(expected), "{text}");
    }
    let keys = |count: usize| vec!["1"; count].join(",");
    assert_eq!(resume(&mut world, &format!(r#"{{"keys":[{}]}}"#, keys(10_000))), "false");
    let request =
        format!("{{\"id\":1,\"type\":{DELTA},\"resume\":{{\"keys\":[{}]}}}}", keys(10_001));
    assert_eq!(
        world.rig.call(world.conn, &request).get("code"),
        Some(&Json::from("VALIDATION_ERROR"))
    );
}

#[test]
fn another_question_is_another_definition() {
    let mut world = World::new();
    world.write(r#""store.defineQuery","name":"q","config":{"bucket":"a","filter":{"tag":"{{ params.t }}"}}"#);
    let ask = |params: &str, mode: &str| {
        format!(r#""store.subscribe","query":"q","params":{{"t":"{params}"}},"mode":"{mode}""#)
    };
    let mut held = Held::new(&ask("x", "delta"));
    world.subscribe(&mut held);
    for (request, expected) in [
        (ask("x", "delta"), "resumed"),
        (ask("y", "delta"), "definition"),
        (ask("x", "full"), "definition"),
        (format!("{},\"positions\":true", ask("x", "delta")), "definition"),
        (r#""store.live","bucket":"a","filter":{"tag":"x"},"mode":"delta""#.into(), "definition"),
        // What changes nothing about the result.
        (format!("{},\"coalesce\":true", ask("x", "delta")), "resumed"),
        (
            r#""store.subscribe","query":"q","params":{"t":"x","u":1},"mode":"delta""#.into(),
            "resumed",
        ),
    ] {
        let mut other = Held { request: request.clone(), ..held.clone() };
        assert_eq!(outcome(&world.subscribe(&mut other)), expected, "{request}");
    }
    // The same words are the same question; others are not.
    world.write(r#""store.undefineQuery","name":"q""#);
    world.write(r#""store.defineQuery","name":"q","config":{"bucket":"a","filter":{"tag":"{{ params.t }}"},"limit":null}"#);
    assert_eq!(outcome(&world.subscribe(&mut held.clone())), "resumed");
    world.write(r#""store.undefineQuery","name":"q""#);
    world.write(r#""store.defineQuery","name":"q","config":{"bucket":"a","filter":{"tag":"{{ params.t }}"},"limit":5}"#);
    assert_eq!(outcome(&world.subscribe(&mut held)), "definition");
}

#[test]
fn barriers_and_what_is_no_longer_known_stand_in_the_way() {
    let mut world = World::new();
    (1..4).for_each(|id| world.insert(id));
    for meanwhile in [
        r#""store.clear","bucket":"a""#,
        r#""store.updateBucket","name":"a","updates":{"addIndexes":["n"]}"#,
        r#""logic.defineComputed","bucket":"a","fields":{"m":{"depends":["n"],"expr":{"$multiply":["$n",2]}}}"#,
        r#""logic.dropComputed","bucket":"a""#,
    ] {
        let came = world.come_back(DELTA, |world| {
            world.write(meanwhile);
            world.insert(9);
        });
        assert_eq!(came, "cleared", "{meanwhile}");
        world.insert(7);
        assert!(world.come_back(DELTA, |world| world.insert(8)).starts_with("resumed changed"));
        world.write(r#""store.clear","bucket":"a""#);
    }
    let anew = |world: &mut World| {
        world.write(r#""store.dropBucket","name":"a""#);
        world.write(DEFINE);
    };
    assert_eq!(world.come_back(DELTA, anew), "cleared");
    // Room for two changes and a half.
    let mut world = World::with(EngineOptions { ring_bytes: 120, ..EngineOptions::default() });
    assert!(
        world
            .come_back(DELTA, |world| (1..3).for_each(|id| world.insert(id)))
            .starts_with("resumed")
    );
    assert_eq!(world.come_back(DELTA, |world| (3..6).for_each(|id| world.insert(id))), "evicted");
    let mut world = World::with(EngineOptions { ring_bytes: 0, ..EngineOptions::default() });
    assert_eq!(world.come_back(DELTA, |_| {}), "resumed");
    assert_eq!(world.come_back(DELTA, |world| world.insert(1)), "evicted");
}

#[test]
fn too_many_changes_are_sent_whole() {
    // Up to 64 of a short result, as many as it has rows of a long one.
    for (rows, changed, expected) in
        [(0, 64, true), (0, 65, false), (70, 70, true), (69, 70, false), (200, 200, true)]
    {
        for shape in [DELTA, r#""store.live","bucket":"a","mode":"delta","sort":{"n":"asc"}"#] {
            let mut world = World::new();
            let insert = |world: &mut World, from: usize, count: usize| {
                let rows = (from..from + count).map(|id| format!(r#"{{"id":{id},"n":{id}}}"#));
                let rows = rows.collect::<Vec<_>>().join(",");
                world.write(&format!(r#""store.insertMany","bucket":"a","data":[{rows}]"#));
            };
            insert(&mut world, 0, rows.max(1));
            let came = world.come_back(shape, |world| {
                // What went changed too, and is not in the result.
                insert(world, 1000, changed);
                let all = r#""store.deleteMany","bucket":"a","filter":{"id":{"$gte":1000}}"#;
                world.write(all);
            });
            let is_resumed = came.starts_with("resumed");
            assert_eq!(is_resumed, expected, "{rows} rows, {changed} changed, {shape}: {came}");
            assert!(is_resumed || came == "size", "{came}");
        }
    }
}

#[test]
fn an_older_position_of_the_epoch_is_safe() {
    let mut world = World::new();
    let mut held = Held::new(r#""store.live","bucket":"a","mode":"delta","positions":true"#);
    world.subscribe(&mut held);
    let old = held.position.clone();
    for id in 1..6 {
        world.insert(id);
        for push in world.rig.received(world.conn) {
            assert!(held.pushed(&push));
        }
    }
    // It has seen the pushes, and comes back with where it began.
    held.position = old;
    world.leave();
    world.write(r#""store.delete","bucket":"a","key":2"#);
    let answer = world.subscribe(&mut held);
    assert!(outcome(&answer).starts_with("resumed removed [2] changed [{\"key\":1,"), "{answer}");
    world.check(&held);
}

#[test]
fn views_of_logic_are_resumed_while_nothing_touches_them() {
    let mut world = World::new();
    let view = |name: &str, column: &str| {
        format!(
            r#""logic.defineView","definition":{{"name":"{name}","from":{{"a":"a"}},"select":{{"n":{column}}},"reactive":true}}"#
        )
    };
    world.write(&view("v", r#""a.n""#));
    world.write(&view("w", r#"{"$now":true}"#));
    world.insert(1);
    let subscribe = |name: &str| format!(r#""logic.subscribeView","name":"{name}""#);
    assert_eq!(world.come_back(&subscribe("v"), |_| {}), "resumed");
    assert_eq!(world.come_back(&subscribe("v"), |world| world.insert(2)), "whole");
    // What the clock changes is never the same.
    assert_eq!(world.come_back(&subscribe("w"), |_| {}), "whole");
    let otherwise = |world: &mut World| {
        world.write(r#""logic.dropView","name":"v""#);
        world.write(&view("v", r#""a.id""#));
    };
    assert_eq!(world.come_back(&subscribe("v"), otherwise), "definition");
}

#[test]
fn outcomes_are_counted() {
    let mut world = World::new();
    world.insert(1);
    world.come_back(DELTA, |_| {});
    world.come_back(DELTA, |world| world.insert(2));
    world.come_back(DELTA, |world| world.write(r#""store.clear","bucket":"a""#));
    let stats = call(&mut world.rig, world.conn, r#""server.stats","details":true"#);
    for outcome in ["unchanged", "delta", "cleared"] {
        assert_eq!(number_at(&stats, &format!("data.continuity.resumes.{outcome}")), 1.0);
    }
    let state = Held::new(DELTA).state;
    assert_eq!(state, State::Lost);
}
