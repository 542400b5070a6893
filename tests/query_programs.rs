//! Queries in the code of an embedding program: shared namespace, pushes,
//! dependencies, errors, panics, incremental ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use noexd::Server;
use noexd::query::{Effect, IncrementalQuery, QueryCx, RecordChange};
use noexd::server::{LocalClient, QueryExists};
use serde_json::{Value, json};

fn server() -> noexd::server::Builder {
    Server::builder()
        .port(0)
        .set("store.firstPushDelayMs", 0)
        .bucket("t", json!({"key": "id", "schema": {"id": {"type": "number"}}}))
        .bucket("u", json!({"key": "id", "schema": {"id": {"type": "number"}}}))
}

/// A local client and the loop that serves it.
struct Session {
    server: Server,
    client: LocalClient,
    id: u64,
}

impl Session {
    fn new(server: Server) -> Session {
        let client = server.handle().connect().expect("running");
        Session { server, client, id: 0 }
    }

    fn next(&mut self) -> Value {
        loop {
            if let Some(text) = self.client.receive_timeout(Duration::ZERO).expect("open") {
                return serde_json::from_str(&text).expect("JSON");
            }
            assert!(self.server.poll_once(None).expect("polls"));
        }
    }

    fn call(&mut self, mut request: Value) -> Value {
        self.id += 1;
        request["id"] = self.id.into();
        self.client.send(request.to_string()).expect("open");
        loop {
            let message = self.next();
            if message["id"] == self.id {
                return message;
            }
        }
    }

    fn subscribe(&mut self, query: &str, params: Value) -> Value {
        self.call(json!({"type": "store.subscribe", "query": query, "params": params}))
    }

    fn insert(&mut self, bucket: &str, data: Value) {
        let reply = self.call(json!({"type": "store.insert", "bucket": bucket, "data": data}));
        assert_eq!(reply["type"], "result", "{reply}");
    }

    fn costly_views(&mut self) -> u64 {
        let reply = self.call(json!({"type": "server.stats", "details": true}));
        reply["data"]["limits"]["costlyViews"].as_u64().expect("a number")
    }

    /// What is pushed before the answer to the next request.
    fn pushes(&mut self) -> Vec<Value> {
        self.id += 1;
        let request = json!({"id": self.id, "type": "store.count", "bucket": "t"});
        self.client.send(request.to_string()).expect("open");
        let mut pushes = Vec::new();
        loop {
            let mut message = self.next();
            if message["id"] == self.id {
                return pushes;
            }
            pushes.push(message["data"].take());
        }
    }
}

#[test]
fn a_query_runs_again_when_what_it_read_may_have_changed() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let server = server().program_query("sizes", move |cx: &QueryCx<'_>, _: Option<&Value>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Some(json!([cx.bucket("t")?.count(None)?, cx.bucket("u")?.get(&json!(1))])))
    });
    let mut session = Session::new(server.build().expect("builds"));
    assert_eq!(session.subscribe("sizes", json!(null))["data"]["data"], json!([0, null]));
    assert_eq!(runs.load(Ordering::Relaxed), 1, "evaluated once");
    session.insert("t", json!({"id": 5}));
    assert_eq!(session.pushes(), [json!([1, null])]);
    session.insert("u", json!({"id": 2}));
    assert_eq!(runs.load(Ordering::Relaxed), 2, "another record than the one that was read");
    session.insert("u", json!({"id": 1, "x": 1}));
    let pushed = session.pushes();
    assert_eq!((pushed.len(), &pushed[0][1]["x"]), (1, &json!(1)));
    let list = session.call(json!({"type": "store.listQueries"}));
    assert_eq!(
        list["data"]["queries"],
        json!([{"name": "sizes", "type": "programmatic", "activeSubscriptions": 1}])
    );
    // Deltas are not to be had, and the client is told.
    let delta = json!({"type": "store.subscribe", "query": "sizes", "mode": "delta"});
    assert_eq!(session.call(delta)["data"]["mode"], "full");
    // A bucket that it read is dropped: a silent end.
    session.call(json!({"type": "store.dropBucket", "name": "u"}));
    session.insert("t", json!({"id": 6}));
    assert!(session.pushes().is_empty());
    let gone = session.subscribe("sizes", json!(null));
    assert_eq!(
        (&gone["code"], &gone["message"]),
        (&json!("BUCKET_NOT_DEFINED"), &json!("Bucket \"u\" is not defined"))
    );
}

#[test]
fn errors_and_panics_answer_a_subscribe_and_keep_the_last_result_later() {
    let server = server().program_query("picky", |cx: &QueryCx<'_>, params: Option<&Value>| {
        let rows = cx.bucket("t")?.all();
        assert!(params != Some(&json!("panic")), "as told");
        if rows.iter().any(|row| row["id"] == 13) {
            cx.bucket("nowhere")?;
        }
        Ok((!rows.is_empty()).then(|| json!(rows.len())))
    });
    let mut session = Session::new(server.build().expect("builds"));
    let panicked = session.subscribe("picky", json!("panic"));
    assert_eq!(panicked["message"], "An unexpected error occurred");
    let made = session.subscribe("picky", json!(null));
    assert_eq!(made["data"].get("data"), None, "undefined");
    for (id, expected) in [(1, vec![json!(1)]), (13, vec![])] {
        session.insert("t", json!({"id": id}));
        assert_eq!(session.pushes(), expected, "{id}");
    }
    session.call(json!({"type": "store.delete", "bucket": "t", "key": 13}));
    assert!(session.pushes().is_empty(), "the last good result again");
    session.insert("t", json!({"id": 2}));
    assert_eq!(session.pushes(), [json!(2)]);
}

/// Counts records by hand.
struct Counter;

impl IncrementalQuery for Counter {
    type State = (i64, usize);

    fn init(
        &self,
        cx: &QueryCx<'_>,
        params: Option<&Value>,
    ) -> Result<Self::State, noexd::protocol::OpError> {
        assert!(params.is_none());
        Ok((cx.bucket("t")?.count(None)? as i64, 0))
    }

    fn apply(&self, state: &mut Self::State, changes: &[RecordChange<'_>]) -> Effect {
        if changes.iter().any(|change| change.field_after("lost").is_some()) {
            return Effect::Rerun;
        }
        let before = state.0;
        for change in changes {
            assert_eq!(change.bucket(), "t");
            state.0 += i64::from(change.after().is_some()) - i64::from(change.before().is_some());
        }
        state.1 += 1;
        if state.0 == before { Effect::Unchanged } else { Effect::Changed }
    }

    fn result(&self, state: &Self::State) -> Option<Value> {
        Some(json!({"records": state.0, "followed": state.1}))
    }
}

#[test]
fn an_incremental_query_follows_by_itself() {
    let mut server = server().build().expect("builds");
    assert_eq!(server.define_incremental_query("counter", Counter), Ok(()));
    assert_eq!(server.define_incremental_query("counter", Counter), Err(QueryExists));
    let mut session = Session::new(server);
    session.insert("t", json!({"id": 1}));
    let made = session.subscribe("counter", json!(null));
    assert_eq!(made["data"]["data"], json!({"records": 1, "followed": 0}));
    session.insert("t", json!({"id": 2}));
    assert_eq!(session.pushes(), [json!({"records": 2, "followed": 1})]);
    session.call(json!({"type": "store.update", "bucket": "t", "key": 2, "data": {"n": 1}}));
    assert!(session.pushes().is_empty(), "unchanged");
    session.insert("t", json!({"id": 3, "lost": true}));
    assert_eq!(session.pushes(), [json!({"records": 3, "followed": 0})], "initialised anew");
    session.call(json!({"type": "store.clear", "bucket": "t"}));
    assert_eq!(session.pushes(), [json!({"records": 0, "followed": 0})]);
}

#[test]
fn names_are_taken_once() {
    let query = |_: &QueryCx<'_>, _: Option<&Value>| Ok(None);
    let built = server().query("q", json!({"bucket": "t"})).program_query("q", query).build();
    let error = built.expect_err("taken").to_string();
    assert_eq!(error, "queries.q: Query \"q\" is already defined");
}

#[test]
fn a_program_reads_what_the_operations_read() {
    let server = server().program_query("reads", |cx: &QueryCx<'_>, _: Option<&Value>| {
        let t = cx.bucket("t")?;
        let big = json!({"n": {"$gt": 1}});
        let page = t.paginate(2, Some(&json!(1)));
        let groups = t.group_by(&["g"], "sum", Some("n"), Some(&json!({"n": {"$lt": 4}})))?;
        Ok(Some(json!({
            "filter": t.filter(&big)?.len(),
            "findOne": t.find_one(&big)?.map(|row| row["id"].clone()),
            "count": t.count(Some(&big))?,
            "first": t.first(1)[0]["id"],
            "last": t.last(2)[0]["id"],
            "page": [page.records.len(), page.has_more, page.next_cursor],
            "sum": t.sum("n", None)?, "avg": t.avg("n", Some(&big))?,
            "min": t.min("n", None)?, "max": t.max("none", None)?,
            "groups": groups.iter().map(|g| json!([g.key, g.value])).collect::<Vec<_>>(),
            "bad": t.filter(&json!({"n": {"$in": 5}})).is_err(),
        })))
    });
    let mut session = Session::new(server.build().expect("builds"));
    for (id, n, g) in [(1, 1, "a"), (2, 2, "b"), (3, 3, "a"), (4, 4, "a")] {
        session.insert("t", json!({"id": id, "n": n, "g": g}));
    }
    assert_eq!(
        session.subscribe("reads", json!(null))["data"]["data"],
        json!({
            "filter": 3, "findOne": 2, "count": 3, "first": 1, "last": 3,
            "page": [2, true, 3], "sum": 10, "avg": 3, "min": 1, "max": null,
            "groups": [[{"g": "a"}, 4], [{"g": "b"}, 2]], "bad": true,
        })
    );
}

#[test]
fn a_query_may_ask_for_the_rows_of_somebody() {
    let mine = |cx: &QueryCx<'_>, params: Option<&Value>| {
        let text = |name: &str| params.and_then(|params| params[name].as_str()).unwrap_or_default();
        let session = noexd::access::Session::new(text("user"), vec![text("role").into()]);
        let cx = cx.rows_of(&session);
        let notes = cx.bucket("notes")?;
        let ids = |records: Vec<Value>| records.iter().map(|row| row["id"].clone()).collect();
        let all: Vec<Value> = ids(notes.all());
        let page = notes.paginate(1, None);
        Ok(Some(json!({
            "all": all,
            "first": ids(notes.first(1)) as Vec<Value>,
            "last": ids(notes.last(1)) as Vec<Value>,
            "page": ids(page.records) as Vec<Value>, "more": page.has_more,
            "count": notes.count(None)?,
            "big": ids(notes.filter(&json!({"id": {"$gte": 3}}))?) as Vec<Value>,
            "one": notes.get(&json!(1)).is_some(),
            "sum": notes.sum("id", None)?,
            "groups": notes.group_by(&["room"], "count", None, None)?.len(),
        })))
    };
    let schema = |fields: &[&str]| -> Value {
        let fields = fields.iter().map(|name| ((*name).to_owned(), json!({"type": "string"})));
        let mut fields: serde_json::Map<String, Value> = fields.collect();
        fields.insert("id".into(), json!({"type": "number"}));
        Value::Object(fields)
    };
    let rows = json!({"read": {"room": {"$in": "{{ sets.rooms }}"}}, "bypass": ["auditor"]});
    let server = Server::builder()
        .port(0)
        .set("store.firstPushDelayMs", 0)
        .bucket("t", json!({"key": "id", "schema": {"id": {"type": "number"}}}))
        .bucket("members", json!({"key": "id", "schema": schema(&["user", "room"])}))
        .bucket("notes", json!({"key": "id", "schema": schema(&["room"]), "rows": rows}))
        .set(
            "access.sets",
            json!({"rooms": {"bucket": "members", "filter": {"user": "{{ session.userId }}"}, "field": "room"}}),
        )
        .program_query("mine", mine)
        .build()
        .expect("starts");
    let mut session = Session::new(server);
    for (id, room) in [(1, "a"), (2, "b"), (3, "b"), (4, "c")] {
        session.insert("notes", json!({"id": id, "room": room}));
    }
    session.insert("members", json!({"id": 1, "user": "ann", "room": "b"}));
    let auditor = session.subscribe("mine", json!({"user": "joe", "role": "auditor"}));
    assert_eq!(auditor["data"]["data"]["all"], json!([1, 2, 3, 4]));
    let ann = session.subscribe("mine", json!({"user": "ann", "role": "reader"}));
    let expected = json!({"all": [2, 3], "first": [2], "last": [3], "page": [2], "more": true,
        "count": 2, "big": [3], "one": false, "sum": 5, "groups": 1});
    assert_eq!(ann["data"]["data"], expected);
    // The result follows the records, the set's bucket and the set itself.
    session.insert("members", json!({"id": 2, "user": "ann", "room": "a"}));
    assert_eq!(session.pushes()[0]["all"], json!([1, 2, 3]));
    let redefined = session.call(json!({"type": "access.defineSet", "name": "rooms",
        "bucket": "members", "filter": {"user": "{{ session.userId }}", "id": 1}, "field": "room"}));
    assert_eq!(redefined["type"], "result", "{redefined}");
    assert_eq!(session.pushes()[0]["all"], json!([2, 3]));
}

#[test]
fn what_a_query_reads_is_paid_for() {
    let all = |cx: &QueryCx<'_>, _: Option<&Value>| {
        let bucket = cx.bucket("t")?;
        // What it makes of what was cut short is not used.
        Ok(Some(json!((0..50).map(|_| bucket.all().len()).max())))
    };
    let builder = server().set("limits.requestSteps", 10_000).set("limits.viewSteps", 5_000);
    let mut session = Session::new(builder.program_query("all", all).build().expect("starts"));
    for id in 0..80 {
        session.insert("t", json!({"id": id}));
    }
    let cheap = session.subscribe("all", json!({"n": 1}));
    assert_eq!(cheap["data"]["data"], 80, "{cheap}");
    assert_eq!(session.costly_views(), 0);
    for id in 80..199 {
        session.insert("t", json!({"id": id}));
    }
    // Those that are subscribed to are kept, but not after each commit.
    assert_eq!(session.costly_views(), 1);
    let dear = session.subscribe("all", json!({"n": 2}));
    assert_eq!(dear["message"], "Request is too costly: more than 10000 steps", "{dear}");
    let once = session.call(json!({"type": "store.query", "query": "all"}));
    assert_eq!(once["message"], "Request is too costly: more than 10000 steps", "{once}");
}
