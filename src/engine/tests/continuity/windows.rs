//! Windows: what a subscriber sees of a part of a result, wherever it looks and
//! whatever happens, is that part of what anybody would be answered.

mod random;

use super::{at, call, number_at};
use crate::app::ConnId;
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::json::Json;

const DEFINE: &str = r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}}}"#;

fn rig() -> (Rig, ConnId) {
    let options = EngineOptions { first_push_delay_ms: 0, ..EngineOptions::default() };
    let mut rig = Rig::new(options);
    let conn = rig.connect();
    call(&mut rig, conn, DEFINE);
    (rig, conn)
}

fn insert(rig: &mut Rig, conn: ConnId, id: &str, n: f64) {
    let body = format!(r#""store.upsert","bucket":"a","data":{{"id":"{id}","n":{n}}}"#);
    rig.send(conn, &format!(r#"{{"id":1,"type":{body}}}"#));
}

fn window(request: &str, offset: usize, limit: usize) -> String {
    format!(r#"{request},"mode":"delta","window":{{"offset":{offset},"limit":{limit}}}"#)
}

fn shift(id: &str, offset: usize, limit: usize) -> String {
    format!(r#""store.moveWindow","subscriptionId":"{id}","offset":{offset},"limit":{limit}"#)
}

const SORTED: &str = r#""store.live","bucket":"a","sort":{"n":"asc"},"fields":["n"]"#;

fn text(data: Option<&Json>) -> String {
    data.map(Json::to_text).unwrap_or_default()
}

#[test]
fn a_window_is_moved_by_what_differs() {
    let (mut rig, writer) = rig();
    for (n, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        insert(&mut rig, writer, id, n as f64);
    }
    let conn = rig.connect();
    rig.received(conn);
    let answer = call(&mut rig, conn, &window(SORTED, 0, 2));
    let expected = r#"{"subscriptionId":"sub-1","mode":"delta","shape":"rows","seq":0,"positions":true,"key":"id","window":{"offset":0,"limit":2},"total":5,"keys":["a","b"],"data":[{"n":0},{"n":1}]}"#;
    assert_eq!(text(answer.get("data")), expected);
    for (offset, limit, expected) in [
        (
            2,
            2,
            r#""total":5,"seq":1,"removed":["a","b"],"added":[{"key":"c","at":0,"row":{"n":2}},{"key":"d","at":1,"row":{"n":3}}]}"#,
        ),
        (2, 2, r#""total":5,"seq":2}"#),
        (1, 3, r#""total":5,"seq":3,"added":[{"key":"b","at":0,"row":{"n":1}}]}"#),
        (
            3,
            9,
            r#""total":5,"seq":4,"removed":["b","c"],"added":[{"key":"e","at":1,"row":{"n":4}}]}"#,
        ),
        (9, 1, r#""total":5,"seq":5,"removed":["d","e"]}"#),
        (0, 1, r#""total":5,"seq":6,"added":[{"key":"a","at":0,"row":{"n":0}}]}"#),
    ] {
        let answer = call(&mut rig, conn, &shift("sub-1", offset, limit));
        let head = format!(
            r#"{{"subscriptionId":"sub-1","window":{{"offset":{offset},"limit":{limit}}},"#
        );
        assert_eq!(text(answer.get("data")), head + expected);
    }
    // Pushes go on from there, and only of what the window shows.
    insert(&mut rig, writer, "f", 9.0);
    assert!(rig.received(conn).is_empty());
    insert(&mut rig, writer, "g", -1.0);
    let push = rig.received(conn).remove(0);
    let expected = r#"{"seq":7,"removed":["a"],"added":[{"key":"g","at":0,"row":{"n":-1}}]}"#;
    assert_eq!(text(push.get("data")), expected);
    let answer = call(&mut rig, conn, r#""store.resync","subscriptionId":"sub-1""#);
    let expected = r#"{"subscriptionId":"sub-1","window":{"offset":0,"limit":1},"total":7,"seq":7,"keys":["g"],"data":[{"n":-1}]}"#;
    assert_eq!(text(answer.get("data")), expected);
}

#[test]
fn a_window_does_not_reach_beyond_the_query() {
    let (mut rig, writer) = rig();
    for n in 0..9 {
        insert(&mut rig, writer, &format!("k{n}"), f64::from(n));
    }
    let query = format!(r#"{SORTED},"offset":2,"limit":5"#);
    let answer = call(&mut rig, writer, &window(&query, 3, 100));
    assert_eq!(text(at(&answer, "data.keys")), r#"["k5","k6"]"#);
    assert_eq!(number_at(&answer, "data.total"), 5.0);
    // What comes into the result from behind it comes into the window.
    call(&mut rig, writer, r#""store.live","bucket":"a","limit":1"#);
    rig.received(writer);
    rig.send(writer, r#"{"id":1,"type":"store.delete","bucket":"a","key":"k0"}"#);
    let push = rig.received(writer).remove(1);
    let expected = r#"{"seq":1,"removed":["k5"],"added":[{"key":"k7","at":1,"row":{"n":7}}]}"#;
    assert_eq!(text(push.get("data")), expected);
}

#[test]
fn every_mistake_is_named() {
    let (mut rig, conn) = rig();
    call(&mut rig, conn, r#""store.defineQuery","name":"q","config":{"bucket":"a"}"#);
    call(
        &mut rig,
        conn,
        r#""store.defineQuery","name":"s","config":{"bucket":"a","sort":{"n":"asc"}}"#,
    );
    call(
        &mut rig,
        conn,
        r#""store.defineQuery","name":"c","config":{"bucket":"a","aggregate":{"function":"count"}}"#,
    );
    call(
        &mut rig,
        conn,
        r#""store.defineQuery","name":"g","config":{"bucket":"a","aggregate":{"function":"count","groupBy":"t"}}"#,
    );
    let needs = r#""window" needs mode "delta", rows and positions"#;
    let offset = r#"Missing or invalid "offset": expected non-negative integer"#;
    let limit = r#"Missing or invalid "limit": expected integer from 1 to 10000"#;
    let ok = r#""window":{"offset":0,"limit":1}"#;
    let mut cases: Vec<(String, String)> = Vec::new();
    let mut case = |body: String, expected: &str| cases.push((body, expected.into()));
    for wrong in ["1", "[]", r#""x""#, "true"] {
        case(
            format!(r#""store.subscribe","query":"s","mode":"delta","window":{wrong}"#),
            r#"Invalid "window": expected object"#,
        );
    }
    case(format!(r#""store.subscribe","query":"s",{ok}"#), needs);
    case(format!(r#""store.subscribe","query":"s","mode":"full",{ok}"#), needs);
    case(format!(r#""store.subscribe","query":"q","mode":"delta",{ok}"#), needs);
    case(format!(r#""store.subscribe","query":"s","mode":"delta","positions":false,{ok}"#), needs);
    for name in ["c", "g"] {
        let more = r#""mode":"delta","positions":true"#;
        case(format!(r#""store.subscribe","query":"{name}",{more},{ok}"#), needs);
    }
    let count = r#""aggregate":{"function":"count"}"#;
    case(
        format!(r#""store.live","bucket":"a",{count},"mode":"delta","positions":true,{ok}"#),
        needs,
    );
    case(
        format!(r#""store.subscribe","query":"nope","mode":"delta",{ok}"#),
        r#"Query "nope" is not defined"#,
    );
    for (members, expected) in [
        (r#""limit":1"#, offset),
        (r#""offset":-1,"limit":1"#, offset),
        (r#""offset":1.5,"limit":1"#, offset),
        (r#""offset":1e300,"limit":1"#, offset),
        (r#""offset":"0","limit":1"#, offset),
        (r#""offset":null,"limit":0"#, offset),
        (r#""offset":0"#, limit),
        (r#""offset":0,"limit":0"#, limit),
        (r#""offset":0,"limit":10001"#, limit),
        (r#""offset":0,"limit":2.5"#, limit),
    ] {
        let window = format!(r#""mode":"delta","window":{{{members}}}"#);
        case(format!(r#""store.subscribe","query":"s",{window}"#), expected);
        case(format!(r#""store.moveWindow","subscriptionId":"sub-1",{members}"#), expected);
    }
    let fits = r#""offset":0,"limit":1"#;
    case(
        format!(r#""store.moveWindow",{fits}"#),
        r#"Missing or invalid "subscriptionId": expected non-empty string"#,
    );
    for id in ["sub-99", "sub-01", "x"] {
        let expected = format!(r#"Subscription "{id}" not found"#);
        case(format!(r#""store.moveWindow","subscriptionId":"{id}",{fits}"#), &expected);
    }
    let whole = call(&mut rig, conn, r#""store.subscribe","query":"s","mode":"delta""#);
    let id = text(at(&whole, "data.subscriptionId"));
    let expected = format!("Subscription {id} has no window");
    case(format!(r#""store.moveWindow","subscriptionId":{id},{fits}"#), &expected);
    for (body, expected) in cases {
        let answer = rig.call(conn, &format!(r#"{{"id":1,"type":{body}}}"#));
        assert_eq!(answer.get("message").and_then(Json::as_str), Some(&*expected), "{body}");
    }
    // As many as may be, and as far as numbers count.
    let far = r#""window":{"offset":9007199254740991,"limit":10000}"#;
    let answer =
        call(&mut rig, conn, &format!(r#""store.subscribe","query":"s","mode":"delta",{far}"#));
    assert_eq!(text(at(&answer, "data.window")), &far[9..]);
}

/// Of a thousand windows, those that show a change are told, and a window takes
/// little beside the list.
#[test]
fn windows_of_one_view_share_its_list() {
    let (mut rig, writer) = rig();
    let rows: Vec<String> = (0..3000).map(|n| format!(r#"{{"id":"k{n}","n":{n}}}"#)).collect();
    let rows = rows.join(",");
    call(
        &mut rig,
        writer,
        &format!(r#""store.insertMany","bucket":"a","answer":"counts","data":[{rows}]"#),
    );
    let mut conns = Vec::new();
    let mut before = 0;
    for at in 0..1000 {
        if at % 100 == 0 {
            conns.push(rig.connect());
        }
        let conn = *conns.last().expect("connected");
        call(&mut rig, conn, &window(SORTED, at * 3, 3));
        if at == 0 {
            before = rig.engine.views.memory();
        }
    }
    assert_eq!(rig.engine.views.count(), 1);
    assert!(rig.engine.views.memory() - before <= 999 * 256);
    let told = |rig: &mut Rig| {
        rig.received_by_all().values().flatten().filter(|it| it.get("channel").is_some()).count()
    };
    told(&mut rig);
    insert(&mut rig, writer, "k1500", 1500.5);
    assert_eq!(told(&mut rig), 1, "the window that shows it");
    insert(&mut rig, writer, "last", 9999.0);
    assert_eq!(told(&mut rig), 0, "nobody looks there");
    insert(&mut rig, writer, "late", 2990.5);
    assert_eq!(told(&mut rig), 3, "those that are pushed on");
    // A change costs what it shows, and a move what differs, wherever they are.
    let conn = conns[0];
    let mut steps = Vec::new();
    for offset in [0, 1500, 2990] {
        call(&mut rig, conn, &shift("sub-1", offset, 5));
        call(&mut rig, conn, &shift("sub-1", offset + 1, 5));
        steps.push(rig.engine.current.spent.request);
    }
    assert!(steps.iter().all(|cost| *cost == steps[0]), "{steps:?}");
}

#[test]
fn a_window_that_was_moved_is_resumed_where_it_looks() {
    let (mut rig, writer) = rig();
    for n in 0..5 {
        insert(&mut rig, writer, &format!("k{n}"), f64::from(n));
    }
    let conn = rig.connect();
    rig.received(conn);
    let ask = |rig: &mut Rig, conn, offset, resume: &str| {
        call(rig, conn, &format!("{},\"resume\":{resume}", window(SORTED, offset, 2)))
    };
    let first = ask(&mut rig, conn, 0, "{}");
    let moved = call(&mut rig, conn, &shift("sub-1", 2, 2));
    let position = |answer: &Json| text(at(answer, "data.resume"));
    assert_ne!(position(&first), position(&moved));
    let back = rig.connect();
    rig.received(back);
    let answer = ask(&mut rig, back, 2, &position(&moved));
    assert_eq!(text(at(&answer, "data.resumed")), "true");
    assert!(at(&answer, "data.keys").is_none() && at(&answer, "data.data").is_none(), "{answer}");
    assert_eq!(text(at(&answer, "data.window")), r#"{"offset":2,"limit":2}"#);
    assert_eq!(number_at(&answer, "data.total"), 5.0);
    // The token of one window says nothing of another, and a change sends all.
    let answer = ask(&mut rig, back, 0, &position(&moved));
    assert_eq!(text(at(&answer, "data.reason")), r#""definition""#);
    insert(&mut rig, writer, "k9", 9.0);
    rig.received(back);
    let other = rig.connect();
    rig.received(other);
    let answer = ask(&mut rig, other, 2, &position(&moved));
    assert_eq!(text(at(&answer, "data.reason")), r#""whole""#);
    assert_eq!(text(at(&answer, "data.keys")), r#"["k2","k3"]"#);
}
