//! What a client keeps of a subscription, by the words of docs/delta.md and
//! docs/continuity.md and nothing else.

use crate::json::Json;

/// One subscription and the state that its client has.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The request without `resume`.
    pub request: String,
    pub id: String,
    pub state: State,
    pub position: Option<Position>,
    pub seq: f64,
    /// The newest commit that a message of this subscription named.
    pub newest: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// A whole result, as text; `None`: undefined.
    Whole(Option<String>),
    /// A list in pieces: identities and rows.
    List { keys: Vec<String>, rows: Vec<String>, is_ordered: bool },
    #[default]
    Lost,
}

#[derive(Clone, Debug)]
pub struct Position {
    pub token: String,
    pub commit: f64,
    pub asks_for_keys: bool,
}

fn texts(list: Option<&Json>) -> Vec<String> {
    list.and_then(Json::as_array).unwrap_or_default().iter().map(Json::to_text).collect()
}

fn number(json: &Json, name: &str) -> Option<f64> {
    json.get(name).and_then(Json::as_number)
}

impl State {
    /// The state of an answer or a reset.
    fn of(data: &Json, value: &str, is_ordered: bool) -> State {
        match data.get("keys") {
            Some(keys) => {
                State::List { keys: texts(Some(keys)), rows: texts(data.get("data")), is_ordered }
            }
            None => State::Whole(data.get(value).map(Json::to_text)),
        }
    }

    /// As results are compared: a list without positions is a set.
    pub fn comparable(&self) -> State {
        match self {
            State::List { keys, rows, is_ordered: false } => {
                let mut both: Vec<_> = keys.iter().cloned().zip(rows.iter().cloned()).collect();
                both.sort();
                let (keys, rows) = both.into_iter().unzip();
                State::List { keys, rows, is_ordered: false }
            }
            other => other.clone(),
        }
    }

    /// `is_resumed`: what is not there need not be removed, and may be changed.
    fn apply(&mut self, data: &Json, is_resumed: bool) {
        if let Some(value) = data.get("value") {
            *self = State::Whole(Some(value.to_text()));
            return;
        }
        let State::List { keys, rows, .. } = self else { panic!("{data} for {self:?}") };
        let entries = |name: &str| -> Vec<Json> {
            data.get(name).and_then(Json::as_array).unwrap_or_default().to_vec()
        };
        let take = |keys: &mut Vec<String>, rows: &mut Vec<String>, key: &str| {
            let at = keys.iter().position(|have| have == key)?;
            keys.remove(at);
            rows.remove(at);
            Some(())
        };
        for key in entries("removed") {
            let was = take(keys, rows, &key.to_text());
            assert!(is_resumed || was.is_some(), "{key} was not there");
        }
        let (added, changed) = (entries("added"), entries("changed"));
        let at = |entry: &Json| number(entry, "at");
        let key = |entry: &Json| entry.get("key").expect("a key").to_text();
        let row = |entry: &Json| entry.get("row").expect("a row").to_text();
        for entry in changed.iter().filter(|entry| at(entry).is_some()) {
            let was = take(keys, rows, &key(entry));
            assert!(is_resumed || was.is_some(), "{entry} was not there");
        }
        let mut placed: Vec<&Json> =
            added.iter().chain(&changed).filter(|entry| at(entry).is_some()).collect();
        placed.sort_by(|a, b| at(a).partial_cmp(&at(b)).expect("numbers"));
        for entry in placed {
            let place = at(entry).expect("a place") as usize;
            keys.insert(place, key(entry));
            rows.insert(place, row(entry));
        }
        for entry in changed.iter().filter(|entry| at(entry).is_none()) {
            match keys.iter().position(|have| *have == key(entry)) {
                Some(place) => rows[place] = row(entry),
                None => {
                    assert!(is_resumed, "{entry} was not there");
                    keys.push(key(entry));
                    rows.push(row(entry));
                }
            }
        }
        for entry in added.iter().filter(|entry| at(entry).is_none()) {
            keys.push(key(entry));
            rows.push(row(entry));
        }
    }
}

impl Held {
    pub fn new(request: &str) -> Held {
        Held { request: request.into(), ..Held::default() }
    }

    /// The field `resume` of the request that comes back.
    pub fn resume(&self) -> String {
        let Some(position) = &self.position else { return r#""resume":{}"#.into() };
        let keys = match &self.state {
            State::List { keys, .. } if position.asks_for_keys => {
                format!(r#","keys":[{}]"#, keys.join(","))
            }
            _ => String::new(),
        };
        let Position { token, commit, .. } = position;
        format!(r#""resume":{{"token":"{token}","commit":{commit}{keys}}}"#)
    }

    /// The result of a subscribe. Whether it was resumed.
    pub fn answered(&mut self, answer: &Json) -> bool {
        let data = answer.get("data").expect("data");
        let named = number(answer, "commit");
        self.id = data.get("subscriptionId").and_then(Json::as_str).expect("an id").into();
        self.seq = 0.0;
        let resumed = data.get("resumed").and_then(Json::as_bool) == Some(true);
        let is_ordered = data.get("positions").and_then(Json::as_bool) == Some(true);
        if resumed {
            assert!(data.get("keys").is_none() && data.get("data").is_none(), "{data}");
            if data.get("removed").is_some() || data.get("changed").is_some() {
                self.state.apply(data, true);
            }
        } else {
            self.state = State::of(data, "data", is_ordered);
        }
        self.position = data.get("resume").map(|resume| {
            let commit = number(resume, "commit").expect("a commit");
            assert!(named.is_none_or(|named| named == commit), "{answer}");
            Position {
                token: resume.get("token").and_then(Json::as_str).expect("a token").into(),
                commit,
                asks_for_keys: resume.get("keys").is_some(),
            }
        });
        self.newest = named.unwrap_or(0.0);
        resumed
    }

    /// A push. False: the subscription is over.
    pub fn pushed(&mut self, push: &Json) -> bool {
        let data = push.get("data");
        if data.and_then(|data| data.get("closed")).is_some() {
            return false;
        }
        match (data.and_then(|data| number(data, "seq")), data) {
            (Some(seq), Some(data)) => {
                if data.get("reset").is_some() {
                    let State::List { is_ordered, .. } = self.state else {
                        self.state = State::of(data, "value", false);
                        self.seq = seq;
                        self.note(push);
                        return true;
                    };
                    self.state = State::of(data, "value", is_ordered);
                } else {
                    assert_eq!(seq, self.seq + 1.0, "{push} after {}", self.seq);
                    self.state.apply(data, false);
                }
                self.seq = seq;
            }
            _ => self.state = State::Whole(data.map(Json::to_text)),
        }
        self.note(push);
        true
    }

    /// The answer of `store.resync`.
    pub fn resynced(&mut self, data: &Json) {
        let is_ordered = matches!(self.state, State::List { is_ordered: true, .. });
        self.state = State::of(data, "value", is_ordered);
        self.seq = number(data, "seq").expect("a number");
        self.take_position(data);
    }

    fn take_position(&mut self, data: &Json) {
        if let (Some(resume), Some(position)) = (data.get("resume"), &mut self.position) {
            position.token = resume.get("token").and_then(Json::as_str).expect("a token").into();
            position.commit = number(resume, "commit").expect("a commit");
        }
    }

    /// The answer of `store.moveWindow`. Whoever asks anew asks for this window.
    pub fn moved(&mut self, data: &Json) {
        let window = data.get("window").expect("a window");
        let (before, rest) = self.request.split_once("\"window\":").expect("a window");
        let (_, behind) = rest.split_once('}').expect("an object");
        self.request = format!("{before}\"window\":{window}{behind}");
        let seq = number(data, "seq").expect("a number");
        if data.get("reset").is_some() {
            assert!(seq > self.seq, "{data} after {}", self.seq);
            return self.resynced(data);
        }
        assert_eq!(seq, self.seq + 1.0, "{data} after {}", self.seq);
        self.state.apply(data, false);
        self.seq = seq;
        self.take_position(data);
    }

    /// What a message says of its state.
    fn note(&mut self, push: &Json) {
        if let Some(commit) = number(push, "commit") {
            self.bookmark(commit);
            assert!(commit >= self.newest, "{push} after {}", self.newest);
            self.newest = commit;
        }
        if let (Some(token), Some(position)) = (push.get("token"), &mut self.position) {
            position.token = token.as_str().expect("a token").into();
        }
    }

    /// Everything up to this commit has been sent.
    pub fn bookmark(&mut self, commit: f64) {
        if let Some(position) = &mut self.position {
            position.commit = position.commit.max(commit);
        }
    }
}
