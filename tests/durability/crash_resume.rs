//! `kill -9` under clients that count with numbered requests, follow results of
//! every shape, and come back to each with what they have: at rest every counter is
//! exact, and every subscription is what somebody new is answered.
//!
//! A few rounds by default; `scripts/crash --resume` runs hundreds. The same people
//! are there when a server is stopped in order: then nothing has to be repeated
//! either, because every answer leaves before the close.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::held::Held;
use crate::support::{Client, Gone, Random, Scratch, Server, kill_while_starting, setting};

const PEOPLE: u64 = 4;
/// Numbered requests that are not answered.
const IN_FLIGHT: usize = 8;
const KEYS: u64 = 40;

/// What the answer to a request is for.
#[derive(Clone, Debug)]
enum Asked {
    Open,
    Back,
    Number(u64),
    Move(String),
    Resync(String),
    Sync,
}

/// A client across its connections.
struct Person {
    name: u64,
    random: Random,
    connection: Option<Client>,
    /// By the id of the request, on this connection.
    waiting: HashMap<u64, Asked>,
    /// Its session has been opened once.
    is_known: bool,
    next: u64,
    unanswered: VecDeque<(u64, &'static str, Value)>,
    held: Vec<Held>,
    /// What its counter and its log will be when everything was executed.
    sum: u64,
    log: Vec<u64>,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    repeated: u64,
    resumed: u64,
    moves: u64,
    pushes: u64,
    synced: u64,
    /// Shutdowns that said when to come back.
    announced: u64,
    reasons: BTreeMap<String, u64>,
}

fn subscriptions(name: u64) -> Vec<Held> {
    let live = |members: Value| {
        let mut request = json!({"type": "store.live"});
        request.as_object_mut().expect("an object").extend(members.as_object().cloned().unwrap());
        request
    };
    let all = [
        live(json!({"bucket": "items", "mode": "delta"})),
        live(json!({"bucket": "items"})),
        live(
            json!({"bucket": "items", "filter": {"n": {"$gte": 40}}, "sort": {"n": "asc"}, "mode": "delta"}),
        ),
        live(json!({"bucket": "items", "sort": {"n": "desc"}, "limit": 4, "mode": "delta"})),
        live(json!({"bucket": "items", "sort": {"n": "asc"}, "mode": "delta",
            "window": {"offset": 3, "limit": 5}})),
        live(json!({"bucket": "log", "mode": "delta", "positions": true,
            "window": {"offset": 0, "limit": 5}})),
        live(json!({"bucket": "log", "filter": {"client": name},
            "aggregate": {"function": "count"}, "mode": "delta"})),
        live(json!({"bucket": "sums", "aggregate": {"function": "sum", "field": "sum"}})),
        live(json!({"bucket": "log", "aggregate": {"function": "count", "groupBy": "client"},
            "mode": "delta", "positions": true})),
        json!({"type": "store.subscribe", "query": "of", "params": {"by": name}, "mode": "delta"}),
        json!({"type": "logic.subscribeView", "name": "perClient"}),
    ];
    all.into_iter().map(Held::new).collect()
}

impl Person {
    fn new(name: u64, seed: u64) -> Person {
        Person {
            name,
            random: Random(seed),
            connection: None,
            waiting: HashMap::new(),
            is_known: false,
            next: 1,
            unanswered: VecDeque::new(),
            held: subscriptions(name),
            sum: 0,
            log: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn send(&mut self, asked: Asked, operation: &str, fields: Value) -> Result<(), Gone> {
        let connection = self.connection.as_mut().ok_or(Gone(None))?;
        let Ok(id) = connection.send(operation, fields) else {
            // What came in before the end is there to be read.
            loop {
                self.hear()?;
            }
        };
        self.waiting.insert(id, asked);
        Ok(())
    }

    /// Session and subscriptions in one burst; what was not answered behind the
    /// answer to the first.
    fn come_back(&mut self, url: &str) -> Result<(), Gone> {
        self.waiting.clear();
        self.connection = Some(Client::connect(url)?);
        let session = format!("a-client-that-comes-back-{}", self.name);
        let open =
            json!({"session": session, "commits": true, "once": true, "resume": self.is_known});
        self.send(Asked::Open, "session.open", open)?;
        let entries: Vec<Value> = self.held.iter().map(Held::entry).collect();
        self.send(Asked::Back, "store.subscribeMany", json!({"subscriptions": entries}))?;
        while !self.waiting.is_empty() {
            self.hear()?;
        }
        for (number, operation, fields) in self.unanswered.clone() {
            self.send(Asked::Number(number), operation, fields)?;
        }
        Ok(())
    }

    /// Takes one message.
    fn hear(&mut self) -> Result<(), Gone> {
        let connection = self.connection.as_mut().ok_or(Gone(None))?;
        let message = connection.receive()?;
        match message["type"].as_str().unwrap_or_default() {
            "push" => {
                self.seen.pushes += 1;
                let id = message["subscriptionId"].as_str().unwrap_or_default();
                let held = self.held.iter_mut().find(|held| held.id == id);
                let held = held.unwrap_or_else(|| panic!("nobody's: {message}"));
                assert!(message["commit"].is_u64() && held.pushed(&message), "{message}");
            }
            "ping" => {
                connection.pong(&message)?;
                if let Some(commit) = message["commit"].as_u64() {
                    self.held.iter_mut().for_each(|held| held.bookmark(commit));
                }
            }
            "result" | "error" => {
                let asked = message["id"].as_u64().and_then(|id| self.waiting.remove(&id));
                self.answered(asked.unwrap_or_else(|| panic!("nobody asked: {message}")), &message);
            }
            other => {
                assert_eq!(other, "system", "{message}");
                let says_when = message["event"] == "shutdown" && message["retryAfterMs"].is_u64();
                self.seen.announced += u64::from(says_when);
            }
        }
        Ok(())
    }

    fn answered(&mut self, asked: Asked, message: &Value) {
        let data = &message["data"];
        if !matches!(asked, Asked::Number(_)) {
            assert_eq!(message["type"], "result", "{asked:?}: {message}");
        }
        match asked {
            Asked::Open => self.is_known = true,
            Asked::Back => {
                let results = data["results"].as_array().expect("results");
                for (held, result) in self.held.iter_mut().zip(results) {
                    self.seen.resumed += u64::from(held.answered(result));
                    let Some(reason) = result["reason"].as_str() else { continue };
                    // A process that is killed loses no commit and no name.
                    let is_plain = ["whole", "size", "cleared", "evicted"].contains(&reason);
                    assert!(is_plain, "{reason}: {}", held.request);
                    *self.seen.reasons.entry(reason.into()).or_default() += 1;
                }
            }
            Asked::Number(number) => {
                let (first, operation, _) = self.unanswered.pop_front().expect("one that waits");
                assert_eq!(number, first, "answers in order");
                self.seen.answers += 1;
                self.seen.repeated += u64::from(message["repeated"] == json!(true));
                // Somebody else was faster.
                let is_gone = operation == "store.delete" && message["code"] == "NOT_FOUND";
                assert!(message["type"] == "result" || is_gone, "{operation}: {message}");
            }
            Asked::Move(id) => {
                self.seen.moves += 1;
                self.held(&id).moved(data);
            }
            Asked::Resync(id) => self.held(&id).resynced(data),
            Asked::Sync if data["complete"] == json!(true) => {
                self.seen.synced += 1;
                let commit = data["commit"].as_u64().expect("a number");
                self.held.iter_mut().for_each(|held| held.bookmark(commit));
            }
            Asked::Sync => {}
        }
    }

    fn held(&mut self, id: &str) -> &mut Held {
        self.held.iter_mut().find(|held| held.id == id).expect("a subscription")
    }

    /// One more request that changes something.
    fn count(&mut self) -> Result<(), Gone> {
        let number = self.next;
        self.next += 1;
        let (key, n, name) = (self.random.below(KEYS), self.random.below(80), self.name);
        let add = json!({"sum": {"$inc": number}});
        let (operation, mut fields) = match self.random.below(100) {
            0..30 => {
                self.sum += number;
                ("store.update", json!({"bucket": "sums", "key": name, "data": {}, "apply": add}))
            }
            30..50 => {
                self.sum += number;
                self.log.push(number);
                let entry = json!({"client": name, "n": number});
                (
                    "store.transaction",
                    json!({"operations": [
                    {"op": "insert", "bucket": "log", "data": entry},
                    {"op": "update", "bucket": "sums", "key": name, "data": {}, "apply": add}]}),
                )
            }
            50..80 => {
                let data = json!({"id": key, "n": n, "by": name});
                ("store.upsert", json!({"bucket": "items", "data": data}))
            }
            80..98 => ("store.delete", json!({"bucket": "items", "key": key})),
            98 => (
                "store.updateMany",
                json!({"bucket": "items", "filter": {"n": n}, "data": {"n": n / 2}}),
            ),
            _ => ("store.clear", json!({"bucket": "items"})),
        };
        fields["once"] = json!(number);
        self.unanswered.push_back((number, operation, fields.clone()));
        self.send(Asked::Number(number), operation, fields)
    }

    /// Looks elsewhere, or asks how far it is.
    fn look(&mut self) -> Result<(), Gone> {
        let which = self.random.below(self.held.len() as u64) as usize;
        let held = &self.held[which];
        let (id, is_delta) = (held.id.clone(), held.request["mode"] == json!("delta"));
        let fields = json!({"subscriptionId": id});
        if held.has_window() {
            let (offset, limit) = (self.random.below(KEYS), self.random.below(7) + 1);
            let fields = json!({"subscriptionId": id, "offset": offset, "limit": limit});
            return self.send(Asked::Move(id), "store.moveWindow", fields);
        }
        match is_delta && self.random.below(2) == 0 {
            true => self.send(Asked::Resync(id), "store.resync", fields),
            false => self.send(Asked::Sync, "session.sync", json!({})),
        }
    }

    /// Writes and follows until the connection is gone.
    fn work(&mut self, url: &str, answers: &Sender<()>) -> Gone {
        let mut work = || {
            self.come_back(url)?;
            loop {
                while self.unanswered.len() < IN_FLIGHT {
                    self.count()?;
                    if self.random.below(5) == 0 {
                        self.look()?;
                    }
                }
                let before = self.seen.answers;
                self.hear()?;
                if self.seen.answers > before {
                    // The other end has what it wanted to hear, perhaps.
                    let _ = answers.send(());
                }
            }
        };
        let ended: Result<(), Gone> = work();
        // As a client does whose server has said goodbye.
        self.connection = None;
        ended.expect_err("only the end of the connection ends it")
    }

    /// Asks for nothing new, and waits for what was asked.
    fn settle(&mut self, url: &str) -> Result<(), Gone> {
        self.come_back(url)?;
        while !self.unanswered.is_empty() {
            self.hear()?;
        }
        Ok(())
    }

    /// Everything that others have done is here when this returns.
    fn sync(&mut self) -> Result<(), Gone> {
        let before = self.seen.synced;
        while self.seen.synced == before {
            self.send(Asked::Sync, "session.sync", json!({}))?;
            while !self.waiting.is_empty() {
                self.hear()?;
            }
        }
        Ok(())
    }
}

fn set_up(client: &mut Client) {
    let number = json!({"type": "number"});
    let log = json!({"key": "id", "indexes": ["client"], "schema": {
        "id": {"type": "number", "generated": "autoincrement"}, "client": number, "n": number}});
    let sums = json!({"key": "id", "schema": {"id": number, "sum": number}});
    let items = json!({"key": "id", "indexes": ["by"],
        "schema": {"id": number, "n": number, "by": number}});
    for (name, config) in [("log", log), ("sums", sums), ("items", items)] {
        client.call("store.defineBucket", json!({"name": name, "config": config}));
    }
    let of = json!({"bucket": "items", "filter": {"by": "{{ params.by }}"}});
    client.call("store.defineQuery", json!({"name": "of", "config": of}));
    let view = json!({"name": "perClient", "from": {"l": "log"}, "groupBy": ["l.client"],
        "select": {"client": "l.client", "most": {"$max": "l.n"}}, "reactive": true});
    client.call("logic.defineView", json!({"definition": view}));
    for name in 0..PEOPLE {
        client.call("store.insert", json!({"bucket": "sums", "data": {"id": name, "sum": 0}}));
    }
}

/// Everybody works until the server ends, which `end` sees to behind so many
/// answers. How the connections ended.
fn under_load(
    server: Server,
    people: &mut [Person],
    answers: u64,
    end: impl FnOnce(Server),
) -> Vec<Gone> {
    let (sender, heard) = channel();
    std::thread::scope(|scope| {
        let work = people.iter_mut().map(|person| {
            let (sender, url) = (sender.clone(), server.url.clone());
            scope.spawn(move || person.work(&url, &sender))
        });
        let work: Vec<_> = work.collect();
        drop(sender);
        for _ in 0..answers {
            heard.recv().expect("people who work");
        }
        end(server);
        work.into_iter().map(|person| person.join().expect("people who work")).collect()
    })
}

/// Everybody is back and nobody writes: what they have is what there is.
fn at_rest(server: &Server, people: &mut [Person], when: &str) {
    std::thread::scope(|scope| {
        for person in people.iter_mut() {
            let url = server.url.clone();
            scope.spawn(move || person.settle(&url).expect("a server that is there"));
        }
    });
    let mut other = server.client();
    for person in people.iter_mut() {
        person.sync().expect("a server that is there");
        for held in &person.held {
            let mut request = held.request.clone();
            let operation = request["type"].take();
            let fresh = other.call(operation.as_str().expect("a name"), request);
            held.check(&fresh, &format!("{when}, client {}", person.name));
        }
        let name = person.name;
        let counter = other.call("store.get", json!({"bucket": "sums", "key": name}));
        assert_eq!(counter["sum"], person.sum, "{when}: the counter of client {name}");
        let log = other.call("store.where", json!({"bucket": "log", "filter": {"client": name}}));
        let log = log.as_array().expect("entries").iter().map(|entry| entry["n"].as_u64());
        let log: Vec<u64> = log.map(|n| n.expect("a number")).collect();
        assert_eq!(log, person.log, "{when}: the log of client {name}, in its order");
    }
}

fn rounds(mode: &str, rounds: u64, seed: u64) {
    let scratch = Scratch::new(&format!("crash-resume-{mode}"));
    let arguments = ["--durability", mode];
    let start = || Server::start(&scratch.data(), &arguments);
    let mut random = Random(seed);
    let server = start();
    set_up(&mut server.client());
    server.kill();
    let mut people: Vec<Person> =
        (0..PEOPLE).map(|name| Person::new(name, random.below(u64::MAX))).collect();
    for round in 0..rounds {
        if random.below(4) == 0 {
            kill_while_starting(&scratch.data(), &mut random);
        }
        // Also before anybody is quite back.
        let answers = random.below(200);
        under_load(start(), &mut people, answers, Server::kill);
        if random.below(2) == 0 || round + 1 == rounds {
            let server = start();
            at_rest(&server, &mut people, &format!("seed {seed}, round {round}"));
            server.kill();
        }
    }
    let all = seen_by(people);
    eprintln!("{mode}: {rounds} rounds (seed {seed}), {all:?}");
    assert!(all.answers > rounds && all.resumed > 2 * rounds && all.repeated > 0, "{all:?}");
}

fn seen_by(people: Vec<Person>) -> Seen {
    let mut all = Seen::default();
    for Seen { answers, repeated, resumed, moves, pushes, synced, announced, reasons } in
        people.into_iter().map(|person| person.seen)
    {
        all.announced += announced;
        all.answers += answers;
        all.repeated += repeated;
        all.resumed += resumed;
        all.moves += moves;
        all.pushes += pushes;
        all.synced += synced;
        for (reason, count) in reasons {
            *all.reasons.entry(reason).or_default() += count;
        }
    }
    all
}

/// SIGTERM under load: with a grace period and without, spread and not.
#[test]
fn a_drain_under_load_loses_nothing_and_leaves_nothing_to_be_repeated() {
    let scratch = Scratch::new("drain-resume");
    let config = scratch.0.join("config.json");
    let start = |grace: u64, spread: bool| {
        let text = json!({"shutdownGraceMs": grace, "shutdownSpread": spread,
            "shutdownDelayMs": 50, "reconnectsPerSecond": 1});
        std::fs::write(&config, text.to_string()).expect("a configuration");
        let config = config.to_str().expect("a path");
        Server::start(&scratch.data(), &["--durability", "always", "--config", config])
    };
    set_up(&mut start(0, false).client());
    let mut random = Random(setting("NOEXD_CRASH_SEED", 5));
    let mut people: Vec<Person> =
        (0..PEOPLE).map(|name| Person::new(name, random.below(u64::MAX))).collect();
    let rounds = [(0, false), (400, false), (400, true), (0, true), (400, true)];
    for (round, (grace, spread)) in rounds.into_iter().enumerate() {
        let answers = 50 + random.below(200);
        let ended = under_load(start(grace, spread), &mut people, answers, |server| {
            assert!(server.stop().success());
        });
        for Gone(code) in ended {
            assert_eq!(code.map(|(code, _)| code), Some(1000), "round {round}: closed in order");
        }
        let server = start(0, false);
        at_rest(&server, &mut people, &format!("drain {round}"));
        assert!(server.stop().success());
    }
    let all = seen_by(people);
    eprintln!("drains: {all:?}");
    assert_eq!(all.repeated, 0, "what was executed was answered");
    assert_eq!(all.announced, PEOPLE * rounds.len() as u64, "{all:?}");
}

#[test]
fn always_nothing_is_missed_and_nothing_done_twice() {
    rounds("always", setting("NOEXD_CRASH_ROUNDS", 10), setting("NOEXD_CRASH_SEED", 3));
}

#[test]
fn interval_nothing_is_missed_and_nothing_done_twice_by_the_death_of_the_process() {
    rounds("interval", setting("NOEXD_CRASH_ROUNDS", 10), setting("NOEXD_CRASH_SEED", 4));
}
