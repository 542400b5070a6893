//! Random clients against the engine, replayable by seed: requests, panics,
//! disconnects, peers that stop reading, time that jumps. A naive model, written
//! from the protocol's words, predicts every response; in the end every live
//! subscription must hold what the model computes from scratch.

use std::collections::{HashMap, VecDeque};

use super::Rig;
use crate::app::{App, ConnId};
use crate::engine::EngineOptions;
use crate::ids::IdSource;
use crate::json::{Json, parse};
use crate::testing::cases;

const SEEDS: u64 = 200;
const STEPS: usize = 120;

/// What the model keeps of a record.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: String,
    n: f64,
    t: String,
    version: f64,
}

impl Row {
    fn text(&self) -> String {
        format!(
            r#"{{"id":"{}","n":{},"t":"{}","_version":{}}}"#,
            self.id, self.n, self.t, self.version
        )
    }

    fn projected(&self) -> Json {
        json(&format!(r#"{{"id":"{}","n":{},"t":"{}"}}"#, self.id, self.n, self.t))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Query {
    All,
    OfTag(u64),
    Top,
    Window,
    Count,
    Sum(u64),
    Groups,
    /// By a word of the text, or by how it begins.
    Search(u64),
}

impl Query {
    fn request(self) -> (&'static str, String) {
        match self {
            Query::All => ("all", "null".into()),
            Query::OfTag(tag) => ("of-tag", format!(r#"{{"t":"t{tag}"}}"#)),
            Query::Top => ("top", "null".into()),
            Query::Window => ("window", "null".into()),
            Query::Count => ("count", "null".into()),
            Query::Sum(tag) => ("sum", format!(r#"{{"t":"t{tag}"}}"#)),
            Query::Groups => ("groups", "null".into()),
            Query::Search(tag) => ("search", format!(r#"{{"q":"{}"}}"#, words(tag))),
        }
    }

    fn result(self, rows: &[Row]) -> Json {
        let list = |rows: Vec<&Row>| Json::Array(rows.into_iter().map(Row::projected).collect());
        let by_rank = |a: &&Row, b: &&Row| b.n.total_cmp(&a.n).then_with(|| a.id.cmp(&b.id));
        match self {
            Query::All => list(rows.iter().collect()),
            Query::OfTag(tag) => {
                list(rows.iter().filter(|row| row.t == format!("t{tag}")).collect())
            }
            Query::Search(tag) => {
                let found = |row: &&Row| row.t.starts_with(words(tag).trim());
                list(rows.iter().filter(found).collect())
            }
            Query::Top => {
                let mut sorted: Vec<&Row> = rows.iter().collect();
                sorted.sort_by(by_rank);
                sorted.truncate(3);
                list(sorted)
            }
            Query::Window => list(rows.iter().skip(1).take(2).collect()),
            Query::Count => Json::Number(rows.len() as f64),
            Query::Sum(tag) => Json::Number(
                rows.iter().filter(|row| row.t == format!("t{tag}")).map(|row| row.n).sum::<f64>(),
            ),
            Query::Groups => {
                let mut groups: Vec<(&str, f64)> = Vec::new();
                for row in rows {
                    match groups.iter_mut().find(|(tag, _)| *tag == row.t) {
                        Some((_, count)) => *count += 1.0,
                        None => groups.push((&row.t, 1.0)),
                    }
                }
                let text: Vec<String> = groups
                    .iter()
                    .map(|(tag, count)| format!(r#"{{"key":{{"t":"{tag}"}},"value":{count}}}"#))
                    .collect();
                json(&format!("[{}]", text.join(",")))
            }
        }
    }
}

/// The last one has no word in it.
fn words(tag: u64) -> &'static str {
    ["t0", "t1", "t", " "][(tag % 4) as usize]
}

const QUERIES: &str = r#"[
    ["all", {"bucket":"a","fields":["id","n","t"]}],
    ["of-tag", {"bucket":"a","filter":{"t":"{{ params.t }}"},"fields":["id","n","t"]}],
    ["top", {"bucket":"a","sort":{"n":"desc","id":"asc"},"limit":3,"fields":["id","n","t"]}],
    ["window", {"bucket":"a","offset":1,"limit":2,"fields":["id","n","t"]}],
    ["count", {"bucket":"a","aggregate":{"function":"count"}}],
    ["sum", {"bucket":"a","filter":{"t":"{{ params.t }}"},"aggregate":{"function":"sum","field":"n"}}],
    ["groups", {"bucket":"a","aggregate":{"function":"count","groupBy":"t"}}],
    ["search", {"bucket":"a","filter":{"t":{"$search":"{{ params.q }}"}},"fields":["id","n","t"]}]
]"#;

fn json(text: &str) -> Json {
    parse(text, 64).expect(text).to_json()
}

/// What a response must be.
#[derive(Debug)]
enum Expected {
    Data(Json),
    Error(&'static str),
    /// `data.data` of a subscribe; its id becomes known with the response.
    Subscribed(Query, Json),
    Unsubscribed(String),
}

#[derive(Default)]
struct Client {
    expected: VecDeque<(f64, Expected)>,
    /// Subscription id to what it was last told.
    subscriptions: HashMap<String, (Query, Json)>,
    stalled: bool,
}

struct Simulation {
    rig: Rig,
    dice: IdSource,
    rows: Vec<Row>,
    clients: Vec<(ConnId, Client)>,
    next_id: f64,
}

/// Rows of `OfTag` may come in the order in which an index acquired them, which
/// the model does not follow: they are compared as a set.
fn comparable(query: Query, data: &Json) -> Json {
    let mut data = data.clone();
    if let (Query::OfTag(_), Json::Array(rows)) = (query, &mut data) {
        rows.sort_by_key(Json::to_text);
    }
    data
}

/// Members the model cannot know.
fn without_times(mut value: Json) -> Json {
    match &mut value {
        Json::Object(object) => {
            object.remove("_createdAt");
            object.remove("_updatedAt");
            for (_, member) in object.iter_mut() {
                *member = without_times(std::mem::take(member));
            }
        }
        Json::Array(elements) => {
            for element in elements {
                *element = without_times(std::mem::take(element));
            }
        }
        _ => {}
    }
    value
}

/// Views of logic with a subscriber of their own: after every step the engine
/// holds what they show against a fresh evaluation.
fn watch_views(rig: &mut Rig) {
    let watcher = rig.connect();
    for (name, view) in [
        (
            "groups",
            r#""from":{"a":"a"},"groupBy":"t","select":{"t":"t","n":{"$count":"*"},"sum":{"$sum":"n"},"most":{"$max":"n"}}"#,
        ),
        (
            "pairs",
            r#""from":{"a":"a","b":"a"},"join":{"a.t":"b.t"},"where":{"$lt":["$a.n","$b.n"]},"select":{"a":"a.id","b":"b.id"},"orderBy":[{"field":"a.n","direction":"desc"}],"limit":5"#,
        ),
        (
            "found",
            r#""from":{"a":"a"},"where":{"a.t":{"$search":"t1"}},"select":{"a":"a.id","n":"a.n"},"orderBy":[{"field":"a.n"}]"#,
        ),
    ] {
        let define = format!(
            r#"{{"id":1,"type":"logic.defineView","definition":{{"name":"{name}",{view},"reactive":true}}}}"#
        );
        assert!(rig.call(watcher, &define).get("data").is_some());
        let subscribe = format!(r#"{{"id":2,"type":"logic.subscribeView","name":"{name}"}}"#);
        assert!(rig.call(watcher, &subscribe).get("data").is_some());
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut dice = IdSource::new(bytes);
        let options = EngineOptions {
            // Small, so that a stalled peer is soon over the mark.
            max_buffered_bytes: 400 + (dice.next_u64() % 4000) as usize,
            first_push_delay_ms: dice.next_u64() % 3 * 10,
            coalesce_pushes: dice.next_u64().is_multiple_of(4),
            heartbeat_interval_ms: 0,
            seed: bytes,
            ..EngineOptions::default()
        };
        let mut rig = Rig::new(options);
        let admin = rig.connect();
        let index = if dice.next_u64().is_multiple_of(2) { r#","indexes":["t"]"# } else { "" };
        let bucket = format!(
            r#"{{"key":"id","schema":{{"id":{{"type":"string"}},"n":{{"type":"number","max":90}},"t":{{"type":"string","search":true}}}}{index}}}"#
        );
        rig.call(
            admin,
            &format!(r#"{{"id":1,"type":"store.defineBucket","name":"a","config":{bucket}}}"#),
        );
        for query in json(QUERIES).as_array().expect("list") {
            let (name, config) =
                (&query.as_array().expect("pair")[0], &query.as_array().expect("pair")[1]);
            let reply = rig.call(
                admin,
                &format!(
                    r#"{{"id":2,"type":"store.defineQuery","name":{name},"config":{config}}}"#
                ),
            );
            assert!(reply.get("data").is_some(), "{reply}");
        }
        rig.engine.set_procedures(crate::procedures::Limits::default());
        for (name, transaction) in [("all-or-none", true), ("step-by-step", false)] {
            let reply = rig.call(
                admin,
                &format!(
                    r#"{{"id":3,"type":"procedures.register","procedure":{{"name":"{name}","transaction":{transaction},"steps":[{{"action":"store.delete","bucket":"a","key":"{{{{ input.gone }}}}"}},{{"action":"store.insert","bucket":"a","data":{{"id":"{{{{ input.new }}}}","n":"{{{{ input.n }}}}","t":"t0"}},"as":"row"}},{{"action":"store.count","bucket":"a","as":"count"}}]}}}}"#
                ),
            );
            assert!(reply.get("data").is_some(), "{reply}");
        }
        rig.engine.closed(admin, rig.now);
        watch_views(&mut rig);
        Self { rig, dice, rows: Vec::new(), clients: Vec::new(), next_id: 0.0 }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn request(&mut self, client: usize, body: &str, expected: Expected) {
        self.next_id += 1.0;
        let text = format!(r#"{{"id":{},{body}}}"#, self.next_id);
        let (conn, state) = &mut self.clients[client];
        state.expected.push_back((self.next_id, expected));
        let conn = *conn;
        self.rig.send(conn, &text);
        self.read(client);
    }

    /// Checks what has arrived at a client since the last look.
    fn read(&mut self, client: usize) {
        let (conn, state) = &mut self.clients[client];
        for message in self.rig.received(*conn) {
            let text = message.to_text();
            match message.get("type").and_then(Json::as_str) {
                Some("push") => {
                    let id = message.get("subscriptionId").and_then(Json::as_str).expect("id");
                    let data = message.get("data").cloned().expect("data");
                    let (_, last) = state.subscriptions.get_mut(id).unwrap_or_else(|| {
                        panic!("a push for a subscription that is not known: {text}")
                    });
                    assert_ne!(*last, data, "a push without a change");
                    *last = data;
                }
                Some("welcome") => {}
                _ => {
                    let (id, expected) = state.expected.pop_front().expect(&text);
                    assert_eq!(message.get("id").and_then(Json::as_number), Some(id), "{text}");
                    match expected {
                        Expected::Data(data) => {
                            let got = message.get("data").cloned().map(without_times);
                            assert_eq!(got, Some(data), "{text}");
                        }
                        Expected::Error(code) => {
                            let got = message.get("code").and_then(Json::as_str);
                            assert_eq!(got, Some(code), "{text}");
                        }
                        Expected::Subscribed(query, data) => {
                            let got = message.get("data").expect(&text);
                            let first = got.get("data").cloned().expect(&text);
                            assert_eq!(
                                comparable(query, &first),
                                comparable(query, &data),
                                "{query:?} {text}"
                            );
                            let id = got.get("subscriptionId").and_then(Json::as_str).expect(&text);
                            state.subscriptions.insert(id.into(), (query, first));
                        }
                        Expected::Unsubscribed(id) => {
                            assert!(message.get("data").is_some(), "{text}");
                            state.subscriptions.remove(&id);
                        }
                    }
                }
            }
        }
    }

    fn id(&mut self) -> String {
        format!("k{}", self.roll(9))
    }

    fn step(&mut self) {
        if self.clients.is_empty() || (self.clients.len() < 6 && self.roll(20) == 0) {
            let conn = self.rig.connect();
            self.clients.push((conn, Client::default()));
        }
        let client = self.roll(self.clients.len() as u64) as usize;
        match self.roll(40) {
            0 => self.leave(client, false),
            1 => self.leave(client, true),
            2..=3 => {
                let ms = self.roll(40);
                self.rig.advance(ms);
            }
            4..=6 => {
                let (conn, state) = &mut self.clients[client];
                state.stalled = !state.stalled;
                let (conn, stalled) = (*conn, state.stalled);
                self.rig.stall(conn, stalled);
            }
            7 => {
                let count = self.roll(5) as usize;
                let conn = self.clients[client].0;
                self.rig.take_output(conn, count);
            }
            8..=12 => self.subscribe(client),
            13 => self.unsubscribe(client),
            14 => {
                self.rows.clear();
                self.request(
                    client,
                    r#""type":"store.clear","bucket":"a""#,
                    Expected::Data(json(r#"{"cleared":true}"#)),
                );
            }
            15..=19 => {
                let id = self.id();
                self.rows.retain(|row| row.id != id);
                let body = format!(r#""type":"store.delete","bucket":"a","key":"{id}""#);
                self.request(client, &body, Expected::Data(json(r#"{"deleted":true}"#)));
            }
            20..=25 => self.update(client),
            26 => self.transaction(client),
            39 => self.procedure(client),
            27 => {
                let count = Json::Number(self.rows.len() as f64);
                self.request(client, r#""type":"store.count","bucket":"a""#, Expected::Data(count));
            }
            28 => {
                let rows: Vec<String> = self.rows.iter().map(Row::text).collect();
                let all = json(&format!("[{}]", rows.join(",")));
                self.request(client, r#""type":"store.all","bucket":"a""#, Expected::Data(all));
            }
            _ => self.insert(client),
        }
        for client in 0..self.clients.len() {
            self.read(client);
        }
        self.rig.engine.check_invariants();
    }

    /// The peer disconnects, or its request panics.
    fn leave(&mut self, client: usize, panic: bool) {
        let (conn, _) = self.clients.swap_remove(client);
        if panic {
            self.rig.send(conn, r#"{"id":0,"type":"test.panicInWrite","bucket":"a"}"#);
            assert_eq!(self.rig.is_closed(conn), Some((1011, "internal_error")));
        } else {
            self.rig.engine.closed(conn, self.rig.now);
            self.rig.drain();
        }
        self.rig.received(conn);
    }

    fn subscribe(&mut self, client: usize) {
        let tag = self.roll(3);
        let query = [
            Query::All,
            Query::OfTag(tag),
            Query::Top,
            Query::Window,
            Query::Count,
            Query::Sum(tag),
            Query::Groups,
            Query::Search(self.roll(4)),
        ][self.roll(8) as usize];
        let (name, params) = query.request();
        let body = format!(r#""type":"store.subscribe","query":"{name}","params":{params}"#);
        let result = query.result(&self.rows);
        self.request(client, &body, Expected::Subscribed(query, result));
    }

    fn unsubscribe(&mut self, client: usize) {
        let mut known: Vec<String> = self.clients[client].1.subscriptions.keys().cloned().collect();
        known.sort();
        let pending: Vec<&String> = self.clients[client]
            .1
            .expected
            .iter()
            .filter_map(|(_, expected)| match expected {
                Expected::Unsubscribed(id) => Some(id),
                _ => None,
            })
            .collect();
        known.retain(|id| !pending.contains(&id));
        if known.is_empty() {
            return;
        }
        let id = known.swap_remove(self.roll(known.len() as u64) as usize);
        let body = format!(r#""type":"store.unsubscribe","subscriptionId":"{id}""#);
        self.request(client, &body, Expected::Unsubscribed(id));
    }

    fn insert(&mut self, client: usize) {
        let (id, n, tag) = (self.id(), self.roll(100) as f64, self.roll(3));
        let body = format!(
            r#""type":"store.insert","bucket":"a","data":{{"id":"{id}","n":{n},"t":"t{tag}"}}"#
        );
        if n > 90.0 {
            self.request(client, &body, Expected::Error("VALIDATION_ERROR"));
            return;
        }
        let row = Row { id, n, t: format!("t{tag}"), version: 1.0 };
        let expected = Expected::Data(json(&row.text()));
        match self.rows.iter_mut().find(|have| have.id == row.id) {
            Some(have) => *have = row,
            None => self.rows.push(row),
        }
        self.request(client, &body, expected);
    }

    fn update(&mut self, client: usize) {
        let (id, n) = (self.id(), self.roll(80) as f64);
        let body = format!(r#""type":"store.update","bucket":"a","key":"{id}","data":{{"n":{n}}}"#);
        let expected = match self.rows.iter_mut().find(|row| row.id == id) {
            Some(row) => {
                row.n = n;
                row.version += 1.0;
                Expected::Data(json(&row.text()))
            }
            None => Expected::Error("NOT_FOUND"),
        };
        self.request(client, &body, expected);
    }

    /// Inserts a new record and deletes another, or fails as a whole.
    fn transaction(&mut self, client: usize) {
        let (new, gone, n) = (self.id(), self.id(), self.roll(100) as f64);
        if new == gone {
            return;
        }
        let body = format!(
            r#""type":"store.transaction","operations":[{{"op":"delete","bucket":"a","key":"{gone}"}},{{"op":"insert","bucket":"a","data":{{"id":"{new}","n":{n},"t":"t0"}}}},{{"op":"count","bucket":"a"}}]"#
        );
        let exists = self.rows.iter().any(|row| row.id == new);
        if n > 90.0 {
            self.request(client, &body, Expected::Error("VALIDATION_ERROR"));
        } else if exists {
            self.request(client, &body, Expected::Error("CONFLICT"));
        } else {
            self.rows.retain(|row| row.id != gone);
            let row = Row { id: new, n, t: "t0".into(), version: 1.0 };
            self.rows.push(row.clone());
            let expected = format!(
                r#"{{"results":[{{"index":0,"data":{{"deleted":true}}}},{{"index":1,"data":{}}},{{"index":2,"data":{}}}]}}"#,
                row.text(),
                self.rows.len()
            );
            self.request(client, &body, Expected::Data(json(&expected)));
        }
    }

    /// The same as steps of a procedure, where an insert replaces.
    fn procedure(&mut self, client: usize) {
        let (new, gone, n) = (self.id(), self.id(), self.roll(100) as f64);
        let transaction = self.roll(2) == 0;
        let name = if transaction { "all-or-none" } else { "step-by-step" };
        let body = format!(
            r#""type":"procedures.call","name":"{name}","input":{{"new":"{new}","gone":"{gone}","n":{n}}}"#
        );
        if n <= 90.0 || !transaction {
            self.rows.retain(|row| row.id != gone);
        }
        if n > 90.0 {
            self.request(client, &body, Expected::Error("VALIDATION_ERROR"));
            return;
        }
        let row = Row { id: new, n, t: "t0".into(), version: 1.0 };
        match self.rows.iter_mut().find(|have| have.id == row.id) {
            Some(have) => *have = row.clone(),
            None => self.rows.push(row.clone()),
        }
        let count = self.rows.len();
        let expected =
            format!(r#"{{"success":true,"results":{{"row":{},"count":{count}}}}}"#, row.text());
        self.request(client, &body, Expected::Data(json(&expected)));
    }

    fn finish(mut self) {
        for client in 0..self.clients.len() {
            let conn = self.clients[client].0;
            self.rig.stall(conn, false);
        }
        self.rig.advance(100);
        for client in 0..self.clients.len() {
            self.read(client);
            let (_, state) = &self.clients[client];
            assert!(state.expected.is_empty(), "unanswered: {:?}", state.expected);
            for (id, (query, last)) in &state.subscriptions {
                let right = query.result(&self.rows);
                assert_eq!(comparable(*query, last), comparable(*query, &right), "{id} {query:?}");
            }
        }
        while let Some((conn, _)) = self.clients.pop() {
            self.rig.engine.closed(conn, self.rig.now);
        }
        self.rig.engine.check_invariants();
        // The watcher of the views.
        assert_eq!(self.rig.engine.connection_count(), 1);
    }
}

#[test]
fn every_response_and_every_final_state_is_what_the_model_says() {
    for seed in 0..cases(SEEDS) {
        let run = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            for _ in 0..STEPS {
                simulation.step();
            }
            simulation.finish();
        });
        if let Err(panic) = run {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
