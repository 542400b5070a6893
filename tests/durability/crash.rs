//! Random load from several clients, `kill -9` at random moments, restart, and
//! the data compared with what each client knows: every acknowledged write is
//! there, in the order of its client, no other is half there.
//!
//! A few rounds by default; `scripts/crash` runs hundreds.

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::support::{Client, Gone, Random, Scratch, Server, kill_while_starting, setting};

const CLIENTS: usize = 4;
/// Requests that a client sends before it reads a response.
const IN_FLIGHT: usize = 6;
const KEYS: u64 = 12;

/// What a client's records look like: value and version by key.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    docs: BTreeMap<String, (u64, u64)>,
    /// Balance and version of two accounts; each transfer changes both and adds
    /// to the ledger, in one transaction.
    accounts: [(i64, u64); 2],
    transfers: u64,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(u64, u64),
    Update(u64, u64),
    Delete(u64),
    Transfer(i64),
}

impl Op {
    fn random(random: &mut Random, client: usize, state: &State) -> Op {
        let (key, value) = (random.below(KEYS), random.below(1_000_000));
        let exists = state.docs.contains_key(&doc(client, key));
        match random.below(10) {
            0..4 => Op::Transfer(value as i64 % 50 - 25),
            4..7 if exists => Op::Update(key, value),
            7 => Op::Delete(key),
            _ => Op::Put(key, value),
        }
    }

    fn apply(self, client: usize, state: &mut State) {
        match self {
            Op::Put(key, value) => {
                state.docs.insert(doc(client, key), (value, 1));
            }
            Op::Update(key, value) => {
                let record = state.docs.entry(doc(client, key)).or_default();
                *record = (value, record.1 + 1);
            }
            Op::Delete(key) => {
                state.docs.remove(&doc(client, key));
            }
            Op::Transfer(amount) => {
                let [from, to] = &mut state.accounts;
                *from = (from.0 - amount, from.1 + 1);
                *to = (to.0 + amount, to.1 + 1);
                state.transfers += 1;
            }
        }
    }

    /// The request, given the state after it.
    fn request(self, client: usize, after: &State) -> (&'static str, Value) {
        match self {
            Op::Put(key, value) => {
                let data = json!({"id": doc(client, key), "client": client, "value": value});
                ("store.insert", json!({"bucket": "docs", "data": data}))
            }
            Op::Update(key, value) => {
                let key = doc(client, key);
                ("store.update", json!({"bucket": "docs", "key": key, "data": {"value": value}}))
            }
            Op::Delete(key) => ("store.delete", json!({"bucket": "docs", "key": doc(client, key)})),
            Op::Transfer(_) => {
                let account = |at: usize| {
                    json!({"op": "update", "bucket": "accounts", "key": format!("{client}/{at}"),
                        "data": {"balance": after.accounts[at].0}})
                };
                let entry = json!({"op": "insert", "bucket": "ledger",
                    "data": {"client": client, "n": after.transfers}});
                ("store.transaction", json!({"operations": [account(0), entry, account(1)]}))
            }
        }
    }
}

fn doc(client: usize, key: u64) -> String {
    format!("{client}-{key}")
}

/// What a client has sent, as the states after each request, and how many of
/// the requests were answered.
struct History {
    states: Vec<State>,
    answered: usize,
}

/// Sends until the connection is gone.
fn run(
    url: &str,
    client: usize,
    state: State,
    mut random: Random,
    answered: &Sender<u64>,
) -> History {
    let mut history = History { states: vec![state], answered: 0 };
    let Ok(mut connection) = Client::connect(url) else { return history };
    loop {
        while history.states.len() - 1 - history.answered < IN_FLIGHT {
            let mut state = history.states.last().cloned().expect("at least the first");
            let op = Op::random(&mut random, client, &state);
            op.apply(client, &mut state);
            let (operation, fields) = op.request(client, &state);
            history.states.push(state);
            if connection.send(operation, fields).is_err() {
                // Perhaps it arrived all the same; and responses may wait.
                break;
            }
        }
        match connection.response() {
            Ok(response) => {
                assert_eq!(response["type"], "result", "client {client}: {response}");
                history.answered += 1;
                // The other end has what it wanted to hear, perhaps.
                let _ = answered
                    .send(response["data"]["results"][1]["data"]["id"].as_u64().unwrap_or(0));
            }
            Err(Gone(_)) => return history,
        }
    }
}

fn read(connection: &mut Client, client: usize) -> State {
    let mut state = State::default();
    let mine = json!({"client": client});
    let docs = connection.call("store.where", json!({"bucket": "docs", "filter": mine}));
    let live = connection.call("store.subscribe", json!({"query": "mine", "params": mine}));
    assert_eq!(live["data"], docs, "client {client}: a subscriber sees what is there");
    let number = |record: &Value, name: &str| record[name].as_u64().expect("a number");
    for record in docs.as_array().expect("records") {
        let key = record["id"].as_str().expect("a key").to_owned();
        state.docs.insert(key, (number(record, "value"), number(record, "_version")));
    }
    for (at, account) in state.accounts.iter_mut().enumerate() {
        let key = format!("{client}/{at}");
        let record = connection.call("store.get", json!({"bucket": "accounts", "key": key}));
        let balance = record["balance"].as_i64().expect("a balance");
        *account = (balance, number(&record, "_version"));
    }
    let ledger = connection.call("store.where", json!({"bucket": "ledger", "filter": mine}));
    let entries = ledger.as_array().expect("entries");
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry["n"], at + 1, "client {client}: the ledger in table order");
    }
    state.transfers = entries.len() as u64;
    state
}

fn set_up(connection: &mut Client) {
    let id = json!({"type": "string", "required": true});
    let number = json!({"type": "number"});
    let docs = json!({"key": "id", "schema": {"id": id, "client": number, "value": number},
        "indexes": ["client"]});
    let accounts = json!({"key": "id", "schema": {"id": id, "balance": number}});
    let ledger = json!({"key": "id", "indexes": ["client"], "schema": {
        "id": {"type": "number", "generated": "autoincrement"}, "client": number, "n": number}});
    for (name, config) in [("docs", docs), ("accounts", accounts), ("ledger", ledger)] {
        connection.call("store.defineBucket", json!({"name": name, "config": config}));
    }
    let query = json!({"bucket": "docs", "filter": {"client": "{{ params.client }}"}});
    connection.call("store.defineQuery", json!({"name": "mine", "config": query}));
    for client in 0..CLIENTS {
        for at in 0..2 {
            let data = json!({"id": format!("{client}/{at}"), "balance": 100});
            connection.call("store.insert", json!({"bucket": "accounts", "data": data}));
        }
    }
}

fn rounds(mode: &str, rounds: u64, seed: u64) {
    let scratch = Scratch::new(&format!("crash-{mode}"));
    let arguments = ["--durability", mode];
    let mut random = Random(seed);
    let server = Server::start(&scratch.data(), &arguments);
    set_up(&mut server.client());
    server.kill();
    let first = State { accounts: [(100, 1); 2], ..State::default() };
    let mut states = vec![first; CLIENTS];
    let (mut writes, mut unanswered) = (0, 0);
    let mut last_entry = 0;
    for round in 0..rounds {
        if random.below(4) == 0 {
            kill_while_starting(&scratch.data(), &mut random);
        }
        let server = Server::start(&scratch.data(), &arguments);
        let (sender, answers) = channel();
        let clients: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(client, state)| {
                let (url, state, sender) = (server.url.clone(), state.clone(), sender.clone());
                let random = Random(random.below(u64::MAX));
                std::thread::spawn(move || run(&url, client, state, random, &sender))
            })
            .collect();
        for _ in 0..random.below(300) {
            last_entry = answers.recv().expect("clients that go on").max(last_entry);
        }
        server.kill();
        let histories: Vec<History> =
            clients.into_iter().map(|client| client.join().expect("a client")).collect();
        last_entry = answers.try_iter().max().unwrap_or(0).max(last_entry);
        let server = Server::start(&scratch.data(), &arguments);
        let mut connection = server.client();
        for (client, (history, state)) in histories.iter().zip(&mut states).enumerate() {
            let found = read(&mut connection, client);
            let possible = history.states.get(history.answered..).unwrap_or_default();
            assert!(
                possible.contains(&found),
                "seed {seed}, round {round}, client {client}: {} of {} requests were answered, \
                 but there is\n{found:#?}\nand not one of\n{possible:#?}",
                history.answered,
                history.states.len() - 1
            );
            writes += history.answered;
            unanswered += possible.len() - 1;
            *state = found;
        }
        let ledger = connection.call("store.all", json!({"bucket": "ledger"}));
        let ids: Vec<u64> =
            ledger.as_array().expect("entries").iter().filter_map(|e| e["id"].as_u64()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "numbers of the ledger: {ids:?}");
        assert!(ids.last().copied().unwrap_or(0) >= last_entry, "the last entry is lost");
        server.kill();
    }
    eprintln!(
        "{mode}: {rounds} rounds (seed {seed}), {writes} acknowledged writes all there, \
         {unanswered} unanswered ones whole or not there"
    );
    assert!(writes > rounds as usize);
}

#[test]
fn always_loses_nothing() {
    rounds("always", setting("NOEXD_CRASH_ROUNDS", 15), setting("NOEXD_CRASH_SEED", 1));
}

#[test]
fn interval_survives_the_death_of_the_process() {
    rounds("interval", setting("NOEXD_CRASH_ROUNDS", 15), setting("NOEXD_CRASH_SEED", 2));
}
