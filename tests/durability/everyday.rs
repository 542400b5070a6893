//! What everyday operations have written, indexes that have an order or words,
//! row rules and sets: a restart brings all of it back.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server, noexd, with_data};

fn start(scratch: &Scratch) -> Server {
    let path = scratch.0.join("config.json");
    let tokens = json!({
        "ann": {"userId": "ann", "roles": ["writer"]},
        "mod": {"userId": "mod", "roles": ["admin", "moderator"]}});
    let config = json!({"auth": {"required": false, "tokens": tokens}});
    fs::write(&path, config.to_string()).expect("a place for it");
    Server::run(with_data(noexd(), &scratch.data()).arg("--config").arg(path))
}

fn login(server: &Server, token: &str) -> Client {
    let mut client = server.client();
    client.call("auth.login", json!({"token": token}));
    client
}

fn define(client: &mut Client) {
    let schema = json!({"id": {"type": "number"}, "room": {"type": "string"},
        "n": {"type": "number"}, "l": {"type": "array", "items": {"type": "string"}},
        "text": {"type": "string", "search": true}});
    let indexes = json!(["room", {"field": "n", "ordered": true}, ["room", "n"]]);
    let rows = json!({"read": {"room": {"$in": "{{ sets.mine }}"}}, "insert": true,
        "bypass": ["moderator"]});
    let members = json!({"key": "id", "schema": {"id": {"type": "string"},
        "user": {"type": "string"}, "room": {"type": "string"}},
        "rows": {"insert": false, "bypass": ["moderator"]}});
    client.call("store.defineBucket", json!({"name": "members", "config": members}));
    let set = json!({"name": "mine", "bucket": "members", "field": "room",
        "filter": {"user": "{{ session.userId }}"}});
    client.call("access.defineSet", set);
    let config = json!({"key": "id", "schema": schema, "indexes": indexes, "rows": rows});
    client.call("store.defineBucket", json!({"name": "b", "config": config}));
    let query = json!({"bucket": "b", "filter": {"text": {"$search": "{{ params.q }}"}},
        "sort": {"n": "desc"}, "fields": ["id", "n"]});
    client.call("store.defineQuery", json!({"name": "found", "config": query}));
}

fn write(client: &mut Client) {
    let records: Vec<Value> = (0..40)
        .map(|id| {
            let text = format!("Record number{id} of Café {}", id % 3);
            json!({"id": id, "room": format!("r{}", id % 4), "n": id * 7 % 40, "text": text})
        })
        .collect();
    client.call("store.insertMany", json!({"bucket": "b", "data": records, "answer": "keys"}));
    for room in ["r1", "r2", "r9"] {
        let data = json!({"id": room, "user": "ann", "room": room});
        client.call("store.insert", json!({"bucket": "members", "data": data}));
    }
    let apply = json!({"n": {"$inc": 100}, "l": {"$push": "x"}});
    client
        .call("store.updateMany", json!({"bucket": "b", "filter": {"room": "r1"}, "apply": apply}));
    client.call("store.deleteMany", json!({"bucket": "b", "filter": {"n": {"$lt": 4}}}));
    // Another place among the candidates, and one in the table.
    client.call(
        "store.update",
        json!({"bucket": "b", "key": 5, "data": {"room": "r2"}, "expect": {"room": "r1"}}),
    );
    let replaced = json!([{"id": 9, "room": "r2", "text": "instead"}]);
    client.call(
        "store.insertMany",
        json!({"bucket": "b", "data": replaced, "onConflict": "replace"}),
    );
    let upserts = [json!({"id": 10, "text": "a Cafe again"}), json!({"id": 77, "room": "r9"})];
    for data in upserts {
        client.call("store.upsert", json!({"bucket": "b", "data": data, "onInsert": {"n": 5}}));
    }
    let steps = json!([
        {"op": "upsert", "bucket": "b", "data": {"id": 78, "room": "r1", "text": "in a transaction"}},
        {"op": "update", "bucket": "b", "key": 78, "apply": {"l": {"$addToSet": "y"}, "n": {"$max": 3}}},
        {"op": "deleteMany", "bucket": "b", "filter": {"text": {"$search": "number3"}}}]);
    client.call("store.transaction", json!({"operations": steps}));
}

/// What somebody is answered who asks in every way.
fn answers(server: &Server, token: &str) -> Vec<Value> {
    let mut client = login(server, token);
    let ways = [
        ("store.all", json!({"bucket": "b"})),
        ("store.where", json!({"bucket": "b", "filter": {"room": "r2"}})),
        ("store.find", json!({"bucket": "b", "sort": {"n": "desc"}, "limit": 9})),
        ("store.find", json!({"bucket": "b", "filter": {"room": "r1"}, "sort": {"n": "asc"}})),
        ("store.find", json!({"bucket": "b", "filter": {"n": {"$between": [20, 120]}}})),
        ("store.find", json!({"bucket": "b", "filter": {"text": {"$search": "cafe 1"}}})),
        ("store.query", json!({"query": "found", "params": {"q": "number1"}})),
        (
            "store.groupBy",
            json!({"bucket": "b", "field": "room", "aggregate": {"function": "sum", "field": "n"}}),
        ),
        ("store.explain", json!({"bucket": "b", "filter": {"text": {"$search": "cafe"}}})),
    ];
    let definition = ("store.getBucketSchema", json!({"name": "b"}));
    let definition = (token == "mod").then_some(definition);
    ways.into_iter().chain(definition).map(|(what, of)| client.call(what, of)).collect()
}

#[test]
fn what_applications_ask_for_every_day_comes_back() {
    let scratch = Scratch::new("everyday");
    let server = start(&scratch);
    let mut moderator = login(&server, "mod");
    define(&mut moderator);
    write(&mut moderator);
    let sets = moderator.call("access.listSets", json!({}));
    let all = |server: &Server| ["ann", "mod"].map(|token| answers(server, token));
    let before = all(&server);
    let [of_ann, of_moderator] = &before;
    let shown = |answers: &[Value]| answers[0].as_array().map(Vec::len);
    assert!(shown(of_ann) > Some(10) && shown(of_ann) < shown(of_moderator));
    server.kill();
    let server = start(&scratch);
    assert_eq!(all(&server), before, "after a kill");
    assert!(server.stop().success());
    let server = start(&scratch);
    assert_eq!(all(&server), before, "after a clean end");
    let mut moderator = login(&server, "mod");
    let mut listed = moderator.call("access.listSets", json!({}));
    assert_eq!(listed["sets"][0]["views"], 0, "nobody of now has asked");
    listed["sets"][0]["views"] = sets["sets"][0]["views"].clone();
    assert_eq!(listed, sets);
    // And goes on: a room more shows what is in it.
    let join = json!({"bucket": "members", "data": {"id": "r0", "user": "ann", "room": "r0"}});
    moderator.call("store.insert", join);
    assert!(shown(&answers(&server, "ann")) > shown(of_ann));
}
