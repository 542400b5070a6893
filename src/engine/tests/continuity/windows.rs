//! Windows: what a subscriber sees of a part of a result, wherever it looks and
//! whatever happens, is that part of what anybody would be answered.

use super::client::{Held, State};
use super::{at, call, number_at};
use crate::app::{App as _, ConnId};
use crate::engine::EngineOptions;
use crate::engine::tests::Rig;
use crate::engine::tests::durability::dice;
use crate::engine::tests::rows::set_external;
use crate::ids::IdSource;
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
        steps.push(rig.engine.spent.request);
    }
    assert!(steps.iter().all(|cost| *cost == steps[0]), "{steps:?}");
}

struct World {
    rig: Rig,
    dice: IdSource,
    writer: ConnId,
    clients: Vec<Client>,
    next_id: u64,
    moves: u64,
    resets: u64,
    resumed: u64,
}

struct Client {
    user: &'static str,
    conn: ConnId,
    held: Vec<Held>,
    stalled: bool,
}

const SHAPES: [&str; 6] = [
    r#""store.live","bucket":"a","sort":{"n":"asc"}"#,
    r#""store.live","bucket":"a","sort":{"n":"desc"},"fields":["n"]"#,
    r#""store.live","bucket":"a","positions":true"#,
    r#""store.live","bucket":"a","sort":{"n":"asc"},"offset":2,"limit":7"#,
    r#""store.live","bucket":"a","sort":{"free":"asc"},"coalesce":true"#,
    r#""store.live","bucket":"a","sort":{"t":"asc","n":"asc"},"filter":{"n":{"$gte":2}}"#,
];

/// Everybody sees what is his, the moderator all.
const RULED: &str = r#""store.defineBucket","name":"a","config":{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number"},"t":{"type":"string"}},"rows":{"read":{"$or":[{"own":"{{ session.userId }}"},{"own":null}]},"insert":true,"bypass":["moderator"]}}"#;
const AUTH: &str = r#"{"required":false,"tokens":{"ann":{"userId":"ann","roles":["admin"]},"mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;

impl World {
    fn new(seed: u64) -> World {
        let mut options = EngineOptions {
            heartbeat_interval_ms: 0,
            first_push_delay_ms: [0, 10][(seed % 2) as usize],
            max_buffered_bytes: 3_000,
            ..EngineOptions::default()
        };
        options.seed[0] = (seed % 251) as u8;
        let mut rig = Rig::new(options);
        set_external(&mut rig.engine, AUTH);
        let mut world = World {
            dice: dice(seed),
            writer: rig.connect(),
            clients: Vec::new(),
            next_id: 10,
            moves: 0,
            resets: 0,
            resumed: 0,
            rig,
        };
        let writer = world.writer;
        call(&mut world.rig, writer, r#""auth.login","token":"mod""#);
        call(&mut world.rig, writer, RULED);
        for user in ["ann", "mod", "ann"] {
            let conn = world.login(user);
            world.clients.push(Client { user, conn, held: Vec::new(), stalled: false });
        }
        world
    }

    fn login(&mut self, user: &str) -> ConnId {
        let conn = self.rig.connect();
        self.rig.send(conn, &format!(r#"{{"id":1,"type":"auth.login","token":"{user}"}}"#));
        conn
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.dice.next_u64() % bound as u64) as usize
    }

    /// One commit of some writes.
    fn write(&mut self) {
        let body = match self.below(24) {
            0 => r#""store.clear","bucket":"a""#.into(),
            1 => r#""store.updateBucket","name":"a","updates":{"addIndexes":["n"]}"#.into(),
            _ => {
                let mut operations = Vec::new();
                for key in 0..14 {
                    if self.below(4) > 0 {
                        continue;
                    }
                    let (n, own) = (self.below(8), self.below(3));
                    let free = ["1", "2", "\"x\"", "null", "true"][self.below(5)];
                    let own = ["\"ann\"", "\"mod\"", "null"][own];
                    operations.push(match self.below(3) {
                        0 => format!(r#"{{"op":"deleteMany","bucket":"a","filter":{{"id":"k{key}"}}}}"#),
                        _ => format!(
                            r#"{{"op":"upsert","bucket":"a","data":{{"id":"k{key}","n":{n},"t":"t{}","free":{free},"own":{own}}}}}"#,
                            n % 3
                        ),
                    });
                }
                format!(r#""store.transaction","operations":[{}]"#, operations.join(","))
            }
        };
        self.rig.send(self.writer, &format!(r#"{{"id":1,"type":{body}}}"#));
        self.rig.received(self.writer);
    }

    /// Everybody takes what was sent, in its order.
    fn look(&mut self) {
        for at in 0..self.clients.len() {
            for message in self.rig.received(self.clients[at].conn) {
                self.take(at, &message);
            }
        }
    }

    fn take(&mut self, at: usize, message: &Json) {
        let client = &mut self.clients[at];
        let hides = client.user == "ann" && message.to_text().contains(r#""own":"mod""#);
        assert!(!hides, "a row that ann may not see: {message}");
        if message.get("type").and_then(Json::as_str) != Some("push") {
            return;
        }
        let id = message.get("subscriptionId").and_then(Json::as_str);
        let held = client.held.iter_mut().find(|held| Some(&*held.id) == id);
        let before = held.as_ref().map(|held| held.state.clone());
        let held = held.unwrap_or_else(|| panic!("{message}"));
        assert!(held.pushed(message), "{message}");
        let is_delta = message.get("data").is_some_and(|data| data.get("reset").is_none());
        assert!(!is_delta || before.as_ref() != Some(&held.state), "nothing changed: {message}");
    }

    /// Sends a request, and takes what comes until its answer.
    fn ask(&mut self, at: usize, body: &str, answered: impl Fn(&mut Held, &Json)) {
        self.next_id += 1;
        let (number, conn) = (self.next_id as f64, self.clients[at].conn);
        self.rig.send(conn, &format!(r#"{{"id":{number},"type":{body}}}"#));
        self.clients[at].stalled = false;
        self.rig.stall(conn, false);
        for message in self.rig.received(conn) {
            if message.get("id").and_then(Json::as_number) != Some(number) {
                self.take(at, &message);
                continue;
            }
            assert_eq!(message.get("type").and_then(Json::as_str), Some("result"), "{message}");
            let id = text(at_of(&message, "subscriptionId"));
            self.resets += u64::from(at_of(&message, "reset").is_some());
            self.resumed += u64::from(at_of(&message, "resumed") == Some(&Json::Bool(true)));
            let client = &mut self.clients[at];
            let held = client.held.iter_mut().find(|held| format!("\"{}\"", held.id) == id);
            let held = match held {
                Some(held) => held,
                None => client.held.last_mut().expect("the one that subscribes"),
            };
            answered(held, &message);
            self.take(at, &message);
            self.check(at, &message);
        }
    }

    /// What the client has after an answer is what somebody new is answered.
    fn check(&mut self, at: usize, message: &Json) {
        let id = text(at_of(message, "subscriptionId"));
        let client = &self.clients[at];
        let held = client.held.iter().find(|held| format!("\"{}\"", held.id) == id).cloned();
        let total = number_at(message, "data.total");
        self.compare(at, &held.expect("held"), Some(total));
    }

    fn compare(&mut self, at: usize, held: &Held, total: Option<f64>) {
        let conn = self.login(self.clients[at].user);
        self.rig.received(conn);
        let answer = call(&mut self.rig, conn, &held.request);
        let mut fresh = Held::new(&held.request);
        fresh.answered(&answer);
        assert_eq!(held.state, fresh.state, "{}", held.request);
        let now = number_at(&answer, "data.total");
        assert!(total.is_none_or(|total| total == now), "{now}: {}", held.request);
        // And of the whole result it is this part.
        let (whole, rest) = held.request.split_once(",\"window\"").expect("a window");
        assert!(rest.contains('}'));
        let answer = call(&mut self.rig, conn, whole);
        let mut all = Held::new(whole);
        all.answered(&answer);
        let (State::List { keys, .. }, State::List { keys: all, .. }) = (&held.state, &all.state)
        else {
            panic!("lists");
        };
        assert_eq!(now, all.len() as f64);
        let span: Vec<f64> = rest
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse().ok())
            .collect();
        let shown: Vec<&String> =
            all.iter().skip(span[0] as usize).take(span[1] as usize).collect();
        assert_eq!(keys.iter().collect::<Vec<_>>(), shown, "{}", held.request);
        self.rig.engine.closed(conn, self.rig.now);
        self.rig.drain();
    }

    fn step(&mut self) {
        let at = self.below(self.clients.len());
        let (conn, stalled) = (self.clients[at].conn, self.clients[at].stalled);
        let count = self.clients[at].held.len();
        match self.below(20) {
            0..=6 => self.write(),
            7..=9 if count < 5 => {
                let shape = SHAPES[self.below(SHAPES.len())];
                let request = window(shape, self.below(9), self.below(6) + 1);
                self.clients[at].held.push(Held::new(&request));
                self.subscribe(at, &Held::new(&request));
            }
            10..=13 if count > 0 => {
                let which = self.below(count);
                let id = self.clients[at].held[which].id.clone();
                let body = shift(&id, self.below(14), self.below(6) + 1);
                self.moves += 1;
                self.ask(at, &body, |held, answer| held.moved(answer.get("data").expect("data")));
            }
            14 if count > 0 => {
                let which = self.below(count);
                let id = self.clients[at].held[which].id.clone();
                let body = format!(r#""store.resync","subscriptionId":"{id}""#);
                self.ask(at, &body, |held, answer| {
                    held.resynced(answer.get("data").expect("data"));
                });
            }
            15 | 16 => {
                self.clients[at].stalled = !stalled;
                self.rig.stall(conn, !stalled);
            }
            17 => {
                self.rig.engine.closed(conn, self.rig.now);
                self.rig.drain();
                if self.below(2) == 0 {
                    self.write();
                }
                self.clients[at].conn = self.login(self.clients[at].user);
                self.clients[at].stalled = false;
                for held in std::mem::take(&mut self.clients[at].held) {
                    self.clients[at].held.push(held.clone());
                    self.subscribe(at, &held);
                }
            }
            _ => self.rig.advance(30),
        }
        self.look();
    }

    /// The last of the client's, with what it has.
    fn subscribe(&mut self, at: usize, held: &Held) {
        if let Some(last) = self.clients[at].held.last_mut() {
            last.id = String::new();
        }
        let body = format!("{},{}", held.request, held.resume());
        self.ask(at, &body, |held, answer| drop(held.answered(answer)));
    }

    fn rest(&mut self) {
        for at in 0..self.clients.len() {
            self.clients[at].stalled = false;
            self.rig.stall(self.clients[at].conn, false);
        }
        self.rig.advance(3_000);
        self.look();
        for at in 0..self.clients.len() {
            for held in self.clients[at].held.clone() {
                self.compare(at, &held, None);
            }
        }
    }
}

fn at_of<'m>(message: &'m Json, member: &str) -> Option<&'m Json> {
    message.get("data")?.get(member)
}

#[test]
fn a_window_is_a_part_of_the_result_whatever_happens() {
    let (mut moves, mut resets, mut resumed) = (0, 0, 0);
    for seed in 0..70 {
        let mut world = World::new(seed);
        for _ in 0..70 {
            world.step();
        }
        world.rest();
        moves += world.moves;
        resets += world.resets;
        resumed += world.resumed;
    }
    println!("{moves} moves, {resets} resets, {resumed} resumed");
    assert!(moves > 500 && resets > 20 && resumed > 20, "{moves}, {resets}, {resumed}");
}
