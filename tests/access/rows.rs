//! The matrix of row rules over real sockets: every operation that reads or
//! writes a record, on one that is visible, hidden, refused and missing, for
//! users with tokens, built-in users and somebody who is not logged in. A hidden
//! record is answered byte for byte as a missing one, but where that cannot be.

use noexd::server::ServerThread;
use serde_json::{Value, json};

use super::client::{Client, SECRET, create_user, login, start, superadmin};

/// How a request treats the record `K`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    /// It only reads.
    Reads,
    /// It writes, and what may be read but not changed is refused.
    Refuses,
    /// It writes, and passes over what may not be changed.
    Passes,
    /// It inserts: a key that a hidden record has is taken.
    Takes,
    /// It inserts, and leaves what is there.
    Skips,
}

use Case::{Passes, Reads, Refuses, Skips, Takes};

const CASES: &[(Case, &str, &str)] = &[
    (Reads, "store.get", r#"{"key":"K"}"#),
    (Reads, "store.all", "{}"),
    (Reads, "store.where", r#"{"filter":{"id":"K"}}"#),
    (Reads, "store.where", r#"{"filter":{"tag":"K"}}"#),
    (Reads, "store.findOne", r#"{"filter":{"id":"K"}}"#),
    (Reads, "store.count", "{}"),
    (Reads, "store.count", r#"{"filter":{"tag":"K"}}"#),
    (Reads, "store.first", r#"{"n":9}"#),
    (Reads, "store.last", r#"{"n":9}"#),
    (Reads, "store.paginate", r#"{"limit":2}"#),
    (Reads, "store.paginate", r#"{"limit":2,"after":"K"}"#),
    (Reads, "store.sum", r#"{"field":"n","filter":{"id":"K"}}"#),
    (Reads, "store.avg", r#"{"field":"n","filter":{"tag":"K"}}"#),
    (Reads, "store.min", r#"{"field":"n"}"#),
    (Reads, "store.max", r#"{"field":"n"}"#),
    (Reads, "store.groupBy", r#"{"field":"tag","aggregate":{"function":"sum","field":"n"}}"#),
    (Reads, "store.find", r#"{"filter":{"tag":"K"},"sort":{"n":"desc"},"limit":3}"#),
    (Reads, "store.find", r#"{"sort":{"n":"desc"},"limit":1}"#),
    (Reads, "store.find", r#"{"filter":{"text":{"$search":"K"}}}"#),
    (Reads, "store.find", r#"{"aggregate":{"function":"max","field":"n"}}"#),
    (Reads, "store.query", r#"{"query":"tagged","params":{"tag":"K"}}"#),
    (Reads, "store.subscribe", r#"{"query":"tagged","params":{"tag":"K"}}"#),
    (Reads, "store.live", r#"{"filter":{"tag":"K"}}"#),
    (Reads, "store.live", r#"{"filter":{"id":"K"},"mode":"delta"}"#),
    (Reads, "store.explain", r#"{"filter":{"tag":"K"}}"#),
    (Reads, "store.transaction", r#"{"operations":[{"op":"get","bucket":"b","key":"K"}]}"#),
    (
        Reads,
        "store.transaction",
        r#"{"operations":[{"op":"where","bucket":"b","filter":{"id":"K"}},{"op":"findOne","bucket":"b","filter":{"tag":"K"}},
        {"op":"count","bucket":"b"},{"op":"find","bucket":"b","filter":{"id":"K"}}]}"#,
    ),
    (Reads, "procedures.call", r#"{"name":"look","input":{"key":"K"}}"#),
    (Refuses, "store.update", r#"{"key":"K","data":{"n":7}}"#),
    (Refuses, "store.update", r#"{"key":"K","data":{"n":7},"expect":{"n":77}}"#),
    (Refuses, "store.update", r#"{"key":"K","apply":{"n":{"$inc":1}}}"#),
    (Refuses, "store.delete", r#"{"key":"K"}"#),
    (Refuses, "store.delete", r#"{"key":"K","expect":{"n":77}}"#),
    (
        Refuses,
        "store.transaction",
        r#"{"operations":[{"op":"insert","bucket":"b","data":{"id":"t"}},{"op":"update","bucket":"b","key":"K","data":{"n":7}}]}"#,
    ),
    (Refuses, "store.transaction", r#"{"operations":[{"op":"delete","bucket":"b","key":"K"}]}"#),
    (Refuses, "procedures.call", r#"{"name":"change","input":{"key":"K"}}"#),
    (Passes, "store.updateMany", r#"{"filter":{"id":"K"},"data":{"n":7}}"#),
    (Passes, "store.updateMany", r#"{"filter":{"tag":"K"},"apply":{"n":{"$inc":1}},"limit":2}"#),
    (Passes, "store.deleteMany", r#"{"filter":{"tag":"K"}}"#),
    (
        Passes,
        "store.transaction",
        r#"{"operations":[{"op":"deleteMany","bucket":"b","filter":{"id":"K"}}]}"#,
    ),
    (Takes, "store.insert", r#"{"data":{"id":"K"}}"#),
    (Takes, "store.upsert", r#"{"data":{"id":"K"}}"#),
    (Takes, "store.insertMany", r#"{"data":[{"id":"K"}],"onConflict":"replace"}"#),
    (Takes, "store.insertMany", r#"{"data":[{"id":"K"}]}"#),
    (Skips, "store.insertMany", r#"{"data":[{"id":"K"}],"onConflict":"skip","answer":"counts"}"#),
];

/// A user reads his own records and those of the hall, and changes his own.
/// Nobody who is not logged in owns anything.
fn buckets() -> Value {
    json!({"b": {"key": "id",
        "schema": {"id": {"type": "string"}, "owner": {"type": "string"},
            "room": {"type": "string"}, "tag": {"type": "string"}, "n": {"type": "number"},
            "text": {"type": "string", "search": true}},
        "indexes": ["tag", {"field": "n", "ordered": true}],
        "rows": {
            "read": {"$or": [{"owner": "{{ session.userId }}"}, {"room": "hall"}]},
            "insert": {"owner": "{{ session.userId }}"},
            "update": {"owner": "{{ session.userId }}"},
            "set": {"owner": "{{ session.userId }}"},
            "bypass": ["admin"]}}})
}

/// The world of one mode: who asks, and who sees everything.
struct World {
    _server: ServerThread,
    me: Client,
    all: Client,
    /// Whose the visible record is, and the hidden one.
    mine: Value,
    other: &'static str,
}

impl World {
    fn new(mode: &str) -> World {
        let mut config = json!({"buckets": buckets(),
            "queries": {"tagged": {"bucket": "b", "filter": {"tag": "{{ params.tag }}"}}}});
        config["auth"] = match mode {
            "built-in" => json!({"builtIn": true, "adminSecret": SECRET}),
            _ => json!({"required": false, "tokens": {
                "me": {"userId": "me", "roles": ["writer"]},
                "all": {"userId": "all", "roles": ["admin"]}}}),
        };
        let server = start(config);
        let (me, all, mine) = match mode {
            "built-in" => {
                let mut all = superadmin(&server);
                let id = create_user(&mut all, "myself", &["writer"]);
                (login(&server, "myself").0, all, json!(id))
            }
            _ => {
                let mut all = Client::connect(&server);
                all.ok("auth.login", json!({"token": "all"}));
                let mut me = Client::connect(&server);
                let mut mine = Value::Null;
                if mode == "external" {
                    me.ok("auth.login", json!({"token": "me"}));
                    mine = json!("me");
                }
                (me, all, mine)
            }
        };
        let mut world = World { _server: server, me, all, mine, other: "somebody" };
        for (name, action) in [
            (
                "look",
                json!([{"action": "store.get", "bucket": "b", "key": "{{ input.key }}", "as": "got"},
                {"action": "store.count", "bucket": "b", "as": "count"}]),
            ),
            (
                "change",
                json!([{"action": "store.update", "bucket": "b", "key": "{{ input.key }}",
                "data": {"n": 7}, "as": "got"}]),
            ),
        ] {
            let procedure =
                json!({"name": name, "input": {"key": {"type": "string"}}, "steps": action});
            world.all.ok("procedures.register", json!({"procedure": procedure}));
        }
        world
    }

    /// The records as they were in the beginning.
    fn restore(&mut self) {
        self.all.ok("store.clear", json!({"bucket": "b"}));
        let records = json!([
            {"id": "mine", "owner": self.mine, "tag": "mine", "n": 20, "text": "mine"},
            {"id": "hidden", "owner": self.other, "tag": "hidden", "n": 9000, "text": "hidden whisper"},
            {"id": "seen", "owner": self.other, "tag": "seen", "n": 300, "room": "hall", "text": "seen"},
        ]);
        self.all.ok("store.insertMany", json!({"bucket": "b", "data": records}));
    }

    /// The text of the answer, with `K` for the key and without what every
    /// answer has of its own.
    fn told(&mut self, operation: &str, fields: &str, key: &str) -> String {
        let mut fields: Value = serde_json::from_str(&fields.replace('K', key)).expect("JSON");
        if !matches!(
            operation,
            "store.transaction" | "procedures.call" | "store.query" | "store.subscribe"
        ) {
            fields["bucket"] = json!("b");
        }
        let answer = match self.me.call(operation, fields) {
            Ok(data) => {
                if let Some(id) = data.get("subscriptionId") {
                    self.me.ok("store.unsubscribe", json!({"subscriptionId": id}));
                }
                without_own(data).to_string()
            }
            Err(refusal) => format!("{refusal} {}", refusal.details),
        };
        assert!(!answer.contains("whisper") && !answer.contains("9000"), "{operation}: {answer}");
        answer.replace(key, "K")
    }

    fn records(&mut self) -> String {
        self.all.ok("store.all", json!({"bucket": "b"})).to_string()
    }
}

/// An answer without what differs from request to request.
fn without_own(mut data: Value) -> Value {
    if let Value::Object(members) = &mut data {
        for name in ["subscriptionId", "executionId", "durationMs", "duration"] {
            members.remove(name);
        }
    }
    data
}

fn check(mode: &str) {
    let mut world = World::new(mode);
    let mut wrong = Vec::new();
    for &(case, operation, fields) in CASES {
        let at = format!("{mode}: {operation} {fields}");
        world.restore();
        let before = world.records();
        let hidden = world.told(operation, fields, "hidden");
        if world.records() != before {
            wrong.push(format!("{at} has changed something hidden: {hidden}"));
            world.restore();
        }
        if case == Takes && !hidden.starts_with("ALREADY_EXISTS") {
            wrong.push(format!("{at}: {hidden}"));
        }
        let before = world.records();
        let seen = world.told(operation, fields, "seen");
        if case == Refuses && !seen.contains("Row rule \"") {
            wrong.push(format!("{at} is not refused: {seen}"));
        }
        if world.records() != before {
            wrong.push(format!("{at} has changed what it must not: {seen}"));
            world.restore();
        }
        let missing = world.told(operation, fields, "missing");
        if !matches!(case, Takes | Skips) && hidden != missing {
            wrong.push(format!("{at}: hidden {hidden}, missing {missing}"));
        }
        world.restore();
        let before = world.records();
        let mine = world.told(operation, fields, "mine");
        let expects = fields.contains("expect");
        let errs = operation == "store.insertMany" && case == Takes && !fields.contains("replace");
        let changes = !matches!(case, Reads | Skips) && !expects && !errs;
        if (world.records() != before) != changes {
            wrong.push(format!("{at}: of mine {mine}"));
        }
        if expects && !mine.contains("\"record\":") {
            wrong.push(format!("{at}: {mine}"));
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn users_with_tokens() {
    check("external");
}

#[test]
fn built_in_users() {
    check("built-in");
}

/// Whose `session.userId` is null, like the owner of what nobody owns.
#[test]
fn somebody_who_is_not_logged_in() {
    check("anonymous");
}

#[test]
fn what_everybody_may_empty_and_what_only_some() {
    for mode in ["external", "built-in", "anonymous"] {
        let mut world = World::new(mode);
        world.restore();
        let refused = "FORBIDDEN Row rule \"delete\" of bucket \"b\" refuses to clear it";
        assert_eq!(world.me.refused("store.clear", json!({"bucket": "b"})), refused);
        for key in ["hidden", "seen"] {
            world.all.ok("store.delete", json!({"bucket": "b", "key": key}));
        }
        world.me.ok("store.clear", json!({"bucket": "b"}));
        assert_eq!(world.records(), "[]");
    }
}
