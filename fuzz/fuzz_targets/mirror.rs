//! What a client makes of a subscription: the first result and every push,
//! applied by the rules for clients. Checks those rules on the way.

use noexd::json::Json;

/// One subscription as its client sees it.
pub struct Mirror {
    pub query: String,
    /// As sent, `null` for none.
    pub params: Json,
    state: State,
    /// Offset and limit of what it sees, if that is not all.
    window: Option<(usize, usize)>,
}

enum State {
    Full(Option<Json>),
    Value {
        seq: f64,
        value: Json,
    },
    List {
        seq: f64,
        positions: bool,
        entries: Vec<(Json, Json)>,
    },
    /// The server has said that this is the end.
    Ended,
}

fn number(json: &Json, name: &str) -> f64 {
    json.get(name).and_then(Json::as_number).unwrap_or_else(|| panic!("no {name}: {json:?}"))
}

fn list<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json.get(name).and_then(Json::as_array).unwrap_or_default()
}

fn entries(json: &Json) -> Vec<(Json, Json)> {
    let (keys, rows) = (list(json, "keys"), list(json, "data"));
    assert_eq!(keys.len(), rows.len(), "keys are parallel to data: {json:?}");
    keys.iter().cloned().zip(rows.iter().cloned()).collect()
}

fn window(data: &Json) -> Option<(usize, usize)> {
    let window = data.get("window")?;
    Some((number(window, "offset") as usize, number(window, "limit") as usize))
}

impl Mirror {
    /// From a `store.subscribe` and the data of its response.
    pub fn new(query: String, params: Json, data: &Json) -> Mirror {
        let mode = data.get("mode").and_then(Json::as_str);
        let state = match (mode, data.get("shape").and_then(Json::as_str)) {
            (Some("delta"), Some("value")) => State::Value {
                seq: number(data, "seq"),
                value: data.get("data").cloned().unwrap_or_default(),
            },
            (Some("delta"), Some("rows" | "groups")) => State::List {
                seq: number(data, "seq"),
                positions: data.get("positions").and_then(Json::as_bool).expect("positions"),
                entries: entries(data),
            },
            (Some("delta"), shape) => panic!("unknown shape {shape:?}"),
            _ => State::Full(data.get("data").cloned()),
        };
        Mirror { query, params, state, window: window(data) }
    }

    /// The answer to `store.moveWindow`.
    pub fn moved(&mut self, data: &Json) {
        assert!(self.window.is_some(), "moved without a window: {data:?}");
        self.window = window(data);
        self.push(Some(data), false);
    }

    /// A push, or the answer to `store.resync`.
    pub fn push(&mut self, data: Option<&Json>, resync: bool) {
        let whole = |data: &Json| resync || data.get("reset").and_then(Json::as_bool) == Some(true);
        match (&mut self.state, data) {
            (State::Ended, data) => panic!("{data:?} behind the end"),
            (State::Full(state), data) => *state = data.cloned(),
            (_, None) => panic!("a push without data in delta mode"),
            (state, Some(data)) if data.get("closed").is_some() => *state = State::Ended,
            (State::Value { seq, value }, Some(data)) => {
                advance(seq, number(data, "seq"), whole(data), resync);
                *value = data.get("value").cloned().expect("a value");
            }
            (State::List { seq, positions, entries: have }, Some(data)) => {
                advance(seq, number(data, "seq"), whole(data), resync);
                if whole(data) {
                    *have = entries(data);
                } else {
                    apply(have, data, *positions);
                }
            }
        }
    }

    /// Whether this is what a fresh subscription to the same query says.
    pub fn agrees(&self, fresh: Option<&Json>) -> bool {
        match &self.state {
            State::Ended => true,
            State::Full(state) => state.as_ref() == fresh,
            State::Value { value, .. } => value == fresh.unwrap_or(&Json::Null),
            State::List { positions, entries, .. } => {
                let rows = fresh.and_then(Json::as_array).unwrap_or_default();
                let (offset, limit) = self.window.unwrap_or((0, usize::MAX));
                let rows = rows.iter().skip(offset).take(limit);
                let mut have: Vec<&Json> = entries.iter().map(|(_, row)| row).collect();
                let mut want: Vec<&Json> = rows.collect();
                if !positions {
                    have.sort_by_key(|row| row.to_text());
                    want.sort_by_key(|row| row.to_text());
                }
                have == want
            }
        }
    }

    pub fn shown(&self) -> String {
        match &self.state {
            State::Ended => "ended".into(),
            State::Full(state) => format!("{:?}", state.as_ref().map(Json::to_text)),
            State::Value { seq, value } => format!("{} at {seq}", value.to_text()),
            State::List { seq, entries, .. } => {
                let rows: Vec<String> = entries.iter().map(|(_, row)| row.to_text()).collect();
                format!("{rows:?} at {seq}")
            }
        }
    }
}

/// The number of the state that a push leads to.
fn advance(seq: &mut f64, next: f64, whole: bool, resync: bool) {
    match whole {
        false => assert_eq!(next, *seq + 1.0, "a gap"),
        true => assert!(next >= *seq || resync, "back from {seq} to {next}"),
    }
    *seq = next;
}

/// Section 10.3 of the specification of queries.
fn apply(entries: &mut Vec<(Json, Json)>, data: &Json, positions: bool) {
    let at = |entry: &Json| entry.get("at").and_then(Json::as_number);
    let key = |entry: &Json| entry.get("key").cloned().expect("a key");
    let row = |entry: &Json| entry.get("row").cloned().expect("a row");
    let mut touched: Vec<Json> = list(data, "removed").to_vec();
    for name in ["added", "changed"] {
        let places: Vec<f64> = list(data, name).iter().filter_map(at).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{name} ascends: {data:?}");
        touched.extend(list(data, name).iter().map(key));
    }
    for (number, one) in touched.iter().enumerate() {
        assert!(!touched[number + 1..].contains(one), "a key twice: {data:?}");
    }
    let known = |entries: &[(Json, Json)], key: &Json| entries.iter().any(|(have, _)| have == key);
    for key in list(data, "removed") {
        assert!(known(entries, key), "removed what was not there: {data:?}");
    }
    for entry in list(data, "added") {
        assert!(!known(entries, &key(entry)), "added what was there: {data:?}");
        assert_eq!(at(entry).is_some(), positions, "{data:?}");
    }
    for entry in list(data, "changed") {
        assert!(known(entries, &key(entry)), "changed what was not there: {data:?}");
    }
    let moved: Vec<&Json> =
        list(data, "changed").iter().filter(|entry| at(entry).is_some()).collect();
    let gone: Vec<Json> =
        list(data, "removed").iter().cloned().chain(moved.iter().map(|entry| key(entry))).collect();
    entries.retain(|(have, _)| !gone.contains(have));
    let mut inserted: Vec<&Json> = list(data, "added").iter().chain(moved).collect();
    if positions {
        inserted.sort_by(|one, other| at(one).partial_cmp(&at(other)).expect("numbers"));
    }
    for entry in inserted {
        match at(entry) {
            Some(place) => entries.insert(place as usize, (key(entry), row(entry))),
            None => entries.push((key(entry), row(entry))),
        }
    }
    for entry in list(data, "changed").iter().filter(|entry| at(entry).is_none()) {
        let key = key(entry);
        let place = entries.iter_mut().find(|(have, _)| *have == key).expect("checked");
        place.1 = row(entry);
    }
}
