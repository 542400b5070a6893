//! What a client keeps of a subscription: by the words of docs/delta.md and
//! docs/continuity.md and nothing else. The fuzzed clients keep the same.

use serde_json::{Value, json};

/// A subscription across connections, and what its client has of it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The request without `resume`, with its `type`.
    pub request: Value,
    pub id: String,
    state: State,
    seq: u64,
    /// Token, commit, and perhaps that keys are asked for; `{}` at first.
    resume: Value,
    /// The newest commit that a message of this subscription named.
    newest: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum State {
    /// Nothing, or a result as a whole.
    #[default]
    Nothing,
    Whole(Value),
    /// Identities and rows.
    List {
        entries: Vec<(Value, Value)>,
        is_ordered: bool,
    },
}

fn list<'v>(data: &'v Value, name: &str) -> &'v [Value] {
    data[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn take(entries: &mut Vec<(Value, Value)>, key: &Value) -> bool {
    let at = entries.iter().position(|(have, _)| have == key);
    at.map(|at| entries.remove(at)).is_some()
}

impl State {
    /// The state in an answer or a reset, where a value has this name.
    fn of(data: &Value, value: &str, is_ordered: bool) -> State {
        if data["keys"].is_null() {
            return State::Whole(data[value].clone());
        }
        let (keys, rows) = (list(data, "keys").iter(), list(data, "data").iter());
        State::List { entries: keys.cloned().zip(rows.cloned()).collect(), is_ordered }
    }

    /// A delta; `is_resumed`: of what was missed, which need not be there.
    fn apply(&mut self, data: &Value, is_resumed: bool) {
        if let Some(value) = data.get("value") {
            *self = State::Whole(value.clone());
            return;
        }
        let State::List { entries, .. } = self else { panic!("{data} for {self:?}") };
        for key in list(data, "removed") {
            assert!(take(entries, key) || is_resumed, "{key} was not there: {data}");
        }
        let is_placed = |entry: &&Value| !entry["at"].is_null();
        let changed = list(data, "changed");
        for entry in changed.iter().filter(is_placed) {
            assert!(take(entries, &entry["key"]) || is_resumed, "{entry} was not there");
        }
        let added = list(data, "added").iter();
        let mut placed: Vec<&Value> = added.clone().chain(changed).filter(is_placed).collect();
        placed.sort_by_key(|entry| entry["at"].as_u64());
        for entry in placed {
            let at = entry["at"].as_u64().expect("a place") as usize;
            entries.insert(at, (entry["key"].clone(), entry["row"].clone()));
        }
        for entry in changed.iter().filter(|entry| !is_placed(entry)) {
            let (key, row) = (entry["key"].clone(), entry["row"].clone());
            match entries.iter_mut().find(|(have, _)| *have == key) {
                Some((_, have)) => *have = row,
                None => {
                    assert!(is_resumed, "{entry} was not there");
                    entries.push((key, row));
                }
            }
        }
        for entry in added.filter(|entry| !is_placed(entry)) {
            entries.push((entry["key"].clone(), entry["row"].clone()));
        }
    }

    /// As results are compared: a list without positions is a set.
    fn comparable(&self) -> State {
        let mut state = self.clone();
        if let State::List { entries, is_ordered: false } = &mut state {
            entries.sort_by_key(|(key, _)| key.to_string());
        }
        state
    }
}

impl Held {
    pub fn new(request: Value) -> Held {
        Held {
            request,
            id: String::new(),
            state: State::Nothing,
            seq: 0,
            resume: json!({}),
            newest: 0,
        }
    }

    /// The field `resume` with which its client comes back.
    pub fn position(&self) -> Value {
        let mut position = self.resume.clone();
        if let (Value::Bool(true), State::List { entries, .. }) = (&position["keys"], &self.state) {
            position["keys"] = entries.iter().map(|(key, _)| key.clone()).collect();
        }
        position
    }

    /// The entry of `store.subscribeMany` with which its client comes back.
    pub fn entry(&self) -> Value {
        let mut entry = self.request.clone();
        entry["resume"] = self.position();
        entry
    }

    /// The result of a subscribe: whether it was resumed.
    pub fn answered(&mut self, data: &Value) -> bool {
        let is_resumed = data["resumed"] == json!(true);
        let is_ordered = data["positions"] == json!(true);
        match is_resumed {
            true if data["removed"].is_null() && data["changed"].is_null() => {}
            true => self.state.apply(data, true),
            false => self.state = State::of(data, "data", is_ordered),
        }
        self.id = data["subscriptionId"].as_str().expect("an id").to_owned();
        self.seq = 0;
        self.resume = data["resume"].clone();
        self.newest = self.resume["commit"].as_u64().unwrap_or(0);
        is_resumed
    }

    /// Whether it goes on.
    pub fn pushed(&mut self, push: &Value) -> bool {
        let data = &push["data"];
        if !data["closed"].is_null() {
            return false;
        }
        let is_ordered = matches!(self.state, State::List { is_ordered: true, .. });
        match data.get("seq").and_then(Value::as_u64) {
            None => self.state = State::Whole(data.clone()),
            Some(seq) if data["reset"] == json!(true) => {
                self.state = State::of(data, "value", is_ordered);
                self.seq = seq;
            }
            Some(seq) => {
                assert_eq!(seq, self.seq + 1, "{push}");
                self.state.apply(data, false);
                self.seq = seq;
            }
        }
        if !push["token"].is_null() {
            self.resume["token"] = push["token"].clone();
        }
        if let Some(commit) = push["commit"].as_u64() {
            assert!(commit >= self.newest, "{push} after {}", self.newest);
            self.newest = commit;
            self.bookmark(commit);
        }
        true
    }

    /// Everything up to this commit was sent.
    pub fn bookmark(&mut self, commit: u64) {
        if let Some(have) = self.resume["commit"].as_u64() {
            self.resume["commit"] = json!(have.max(commit));
        }
    }

    /// The answer of `store.resync`.
    pub fn resynced(&mut self, data: &Value) {
        let is_ordered = matches!(self.state, State::List { is_ordered: true, .. });
        self.state = State::of(data, "value", is_ordered);
        self.seq = data["seq"].as_u64().expect("a number");
        self.resume = data["resume"].clone();
    }

    /// The answer of `store.moveWindow`: whoever comes back asks for this window.
    pub fn moved(&mut self, data: &Value) {
        let seq = data["seq"].as_u64().expect("a number");
        self.request["window"] = data["window"].clone();
        if data["reset"] == json!(true) {
            return self.resynced(data);
        }
        assert_eq!(seq, self.seq + 1, "{data}");
        self.state.apply(data, false);
        self.seq = seq;
        self.resume = data["resume"].clone();
    }

    pub fn has_window(&self) -> bool {
        !self.request["window"].is_null()
    }

    /// Holds that this is what somebody new is answered.
    pub fn check(&self, fresh: &Value, when: &str) {
        let mut new = Held::new(self.request.clone());
        new.state = State::of(fresh, "data", fresh["positions"] == json!(true));
        assert_eq!(self.state.comparable(), new.state.comparable(), "{when}: {}", self.request);
    }
}
