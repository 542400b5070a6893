//! Sets: lists of values that follow the data, and what follows them.

use super::*;
use crate::ids::IdSource;

/// Messages of the rooms that one is a member of; moderators put people in.
const MESSAGES: &str = r#"{"key":"id","schema":{"id":{"type":"string"},"room":{"type":"string"},
    "text":{"type":"string"}},
    "rows":{"read":{"room":{"$in":"{{ sets.rooms }}"}},"bypass":["moderator"]}}"#;
const MEMBERS: &str = r#"{"key":"id","schema":{"id":{"type":"string"},"user":{"type":"string"},
    "room":{"type":"string"}},"indexes":["user"],
    "rows":{"read":{"user":"{{ session.userId }}"},"insert":false,"update":false,
    "bypass":["moderator"]}}"#;
const ROOMS: &str = r#""type":"access.defineSet","name":"rooms","bucket":"members","filter":{"user":"{{ session.userId }}"},"field":"room""#;

struct Chat {
    rig: Rig,
    ann: ConnId,
    bob: ConnId,
    moderator: ConnId,
}

fn chat() -> Chat {
    chat_with(MEMBERS)
}

fn chat_with(members: &str) -> Chat {
    let mut rig = external(AUTH);
    let moderator = login(&mut rig, "mod");
    define(&mut rig, moderator, "members", members);
    assert_eq!(ask(&mut rig, moderator, ROOMS), r#"{"name":"rooms","defined":true}"#);
    define(&mut rig, moderator, "messages", MESSAGES);
    let (ann, bob) = (login(&mut rig, "ann"), login(&mut rig, "bob"));
    Chat { rig, ann, bob, moderator }
}

fn join(user: &str, room: &str) -> String {
    format!(
        r#""type":"store.insert","bucket":"members","data":{{"id":"{user}-{room}","user":"{user}","room":"{room}"}}"#
    )
}

fn leave(user: &str, room: &str) -> String {
    format!(r#""type":"store.delete","bucket":"members","key":"{user}-{room}""#)
}

fn say(id: &str, room: &str, text: &str) -> String {
    format!(
        r#""type":"store.insert","bucket":"messages","data":{{"id":"{id}","room":"{room}","text":"{text}"}}"#
    )
}

fn texts(rig: &mut Rig, conn: ConnId) -> String {
    rig.advance(5_000);
    rig.received(conn).iter().map(Json::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_set_follows_its_bucket_and_what_uses_it_follows_the_set() {
    for mode in ["full", "delta"] {
        let Chat { mut rig, ann, bob, moderator } = chat();
        let _ = ask(&mut rig, moderator, &say("1", "red", "red-one"));
        let _ = ask(&mut rig, moderator, &say("2", "blue", "blue-one"));
        let live = format!(r#""type":"store.live","bucket":"messages","mode":"{mode}""#);
        for conn in [ann, bob] {
            let answer = ask(&mut rig, conn, &live);
            assert!(!answer.contains("-one"), "{answer}");
            assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"messages""#), "0");
        }
        let _ = ask(&mut rig, moderator, &join("ann", "red"));
        let seen = texts(&mut rig, ann);
        assert!(seen.contains("red-one") && !seen.contains("blue-one"), "{seen}");
        assert_eq!(seen.matches("push").count(), 1, "{seen}");
        assert_eq!(seen.contains(r#""reset":true"#), mode == "delta", "{seen}");
        assert_eq!(texts(&mut rig, bob), "");
        let _ = ask(&mut rig, moderator, &say("3", "red", "red-two"));
        assert!(texts(&mut rig, ann).contains("red-two"));
        let _ = ask(&mut rig, moderator, &say("4", "blue", "blue-two"));
        assert_eq!(texts(&mut rig, ann), "");
        // One commit takes the room away and says something in it.
        let gone = r#""type":"store.transaction","operations":[
            {"op":"delete","bucket":"members","key":"ann-red"},
            {"op":"insert","bucket":"messages","data":{"id":"5","room":"red","text":"red-three"}}]"#;
        assert!(ask(&mut rig, moderator, gone).contains("red-three"));
        let seen = texts(&mut rig, ann);
        assert!(!seen.contains("red-") && seen.contains("[]"), "{seen}");
        assert_eq!(ask(&mut rig, ann, r#""type":"store.count","bucket":"messages""#), "0");
        // A set is another one: everybody is in the room of his name.
        let _ = ask(&mut rig, moderator, &say("6", "hall", "hall-one"));
        let _ = ask(&mut rig, moderator, &join("everybody", "hall"));
        let other = ROOMS.replace("{{ session.userId }}", "everybody");
        assert!(ask(&mut rig, moderator, &other).contains("true"));
        for conn in [ann, bob] {
            assert!(texts(&mut rig, conn).contains("hall-one"));
        }
        let listed = ask(&mut rig, moderator, r#""type":"access.listSets""#);
        assert_eq!(
            listed,
            r#"{"sets":[{"name":"rooms","bucket":"members","filter":{"user":"everybody"},"field":"room","views":1}]}"#
        );
        rig.engine.check_invariants();
        // Without its bucket nobody is shown anything.
        let drop = r#""type":"store.dropBucket","name":"members""#;
        assert!(ask(&mut rig, moderator, drop).contains("dropped"));
        for conn in [ann, bob] {
            let seen = texts(&mut rig, conn);
            assert!(seen.contains("subscription_cancelled"), "{seen}");
            let asked = ask(&mut rig, conn, r#""type":"store.count","bucket":"messages""#);
            assert_eq!(asked, "BUCKET_NOT_DEFINED Bucket \"members\" is not defined");
        }
        rig.engine.check_invariants();
    }
}

#[test]
fn definitions_of_sets_say_what_is_wrong_with_them() {
    let Chat { mut rig, moderator, .. } = chat();
    let define = |rest: &str| format!(r#""type":"access.defineSet",{rest}"#);
    for (rest, expected) in [
        (r#""name":"""#, "VALIDATION_ERROR Missing or invalid \"name\": expected non-empty string"),
        (
            r#""name":"x","bucket":5"#,
            "VALIDATION_ERROR Missing or invalid \"bucket\": expected non-empty string",
        ),
        (
            r#""name":"x","bucket":"members","filter":[]"#,
            "VALIDATION_ERROR Missing or invalid \"filter\": expected object",
        ),
        (
            r#""name":"x","bucket":"members","filter":{}"#,
            "VALIDATION_ERROR Missing or invalid \"field\": expected non-empty string",
        ),
        (
            r#""name":"x","bucket":"none","filter":{},"field":"a""#,
            "BUCKET_NOT_DEFINED Bucket \"none\" is not defined",
        ),
        (
            r#""name":"x","bucket":"members","filter":{"user":{"$in":"{{ sets.rooms }}"}},"field":"a""#,
            "VALIDATION_ERROR Invalid set \"x\": unknown template \"sets.rooms\"",
        ),
        (
            r#""name":"x","bucket":"members","filter":{"user":{"$gt":"{{ now }}"}},"field":"a""#,
            "VALIDATION_ERROR Invalid set \"x\": unknown template \"now\"",
        ),
    ] {
        assert_eq!(ask(&mut rig, moderator, &define(rest)), expected, "{rest}");
    }
    let drop = |name: &str| format!(r#""type":"access.dropSet","name":"{name}""#);
    assert_eq!(ask(&mut rig, moderator, &drop("x")), r#"{"name":"x","dropped":false}"#);
    assert_eq!(
        ask(&mut rig, moderator, &drop("rooms")),
        "CONFLICT Set \"rooms\" is used by bucket \"messages\""
    );
    for at in 1..100 {
        let rest = format!(r#""name":"s{at}","bucket":"members","filter":{{}},"field":"room""#);
        assert!(ask(&mut rig, moderator, &define(&rest)).contains("true"));
    }
    let rest = r#""name":"s100","bucket":"members","filter":{},"field":"room""#;
    assert_eq!(
        ask(&mut rig, moderator, &define(rest)),
        "VALIDATION_ERROR Too many sets (maximum 100)"
    );
    assert_eq!(ask(&mut rig, moderator, &drop("s7")), r#"{"name":"s7","dropped":true}"#);
}

#[test]
fn a_set_that_grows_past_its_limit_closes() {
    // The check of an index looks at every two records of one value.
    let members = MEMBERS.replace(r#""indexes":["user"],"#, "");
    let Chat { mut rig, ann, moderator, .. } = chat_with(&members);
    let live = r#""type":"store.live","bucket":"messages""#;
    let add = |from: usize, to: usize| {
        let records =
            (from..to).map(|at| format!(r#"{{"id":"m{at}","user":"ann","room":"r{at}"}}"#));
        let records = records.collect::<Vec<_>>().join(",");
        format!(
            r#""type":"store.insertMany","bucket":"members","answer":"counts","data":[{records}]"#
        )
    };
    assert!(ask(&mut rig, moderator, &add(0, 10_000)).contains("10000"));
    assert!(ask(&mut rig, ann, live).contains("sub-"));
    assert!(ask(&mut rig, moderator, &add(10_000, 10_001)).contains("inserted"));
    let seen = texts(&mut rig, ann);
    let reason = r#"Set \"rooms\" has too many values (maximum 10000)"#;
    assert!(seen.contains("subscription_cancelled") && seen.contains(reason), "{seen}");
    let too_many = "VALIDATION_ERROR Set \"rooms\" has too many values (maximum 10000)";
    for request in [live, r#""type":"store.all","bucket":"messages""#, &say("x", "r1", "t")] {
        assert_eq!(ask(&mut rig, ann, request), too_many);
    }
    let less = r#""type":"store.delete","bucket":"members","key":"m10000""#;
    assert!(ask(&mut rig, moderator, less).contains("true"));
    assert!(ask(&mut rig, ann, live).contains("sub-"));
    rig.engine.check_invariants();
}

/// Members come and go, people say things, users change: what each is pushed
/// holds no word of a room that he was not in when it was sent.
#[test]
fn under_random_changes_of_sets_no_byte_of_another_room_leaves() {
    for seed in 0..25u8 {
        let mut dice = IdSource::new([seed; 32]);
        let Chat { mut rig, ann, bob, moderator } = chat();
        let (conns, names, rooms) = ([ann, bob], ["ann", "bob"], ["red", "blue", "green"]);
        let mut member = [[false; 3]; 2];
        let open = |rig: &mut Rig, conn: ConnId| {
            for mode in ["full", "delta"] {
                let live = format!(r#""type":"store.live","bucket":"messages","mode":"{mode}""#);
                assert!(ask(rig, conn, &live).contains("sub-"));
            }
        };
        conns.into_iter().for_each(|conn| open(&mut rig, conn));
        let mut said = 0;
        for turn in 0..80u64 {
            let roll = dice.next_u64();
            let (user, room) = ((roll % 2) as usize, ((roll >> 8) % 3) as usize);
            let request = match (roll >> 16) % 4 {
                0 if member[user][room] => {
                    member[user][room] = false;
                    leave(names[user], rooms[room])
                }
                0 | 1 => {
                    member[user][room] = true;
                    join(names[user], rooms[room])
                }
                _ => {
                    said += 1;
                    say(
                        &format!("m{}", said % 12),
                        rooms[room],
                        &format!("word-of-{}", rooms[room]),
                    )
                }
            };
            rig.send(moderator, &format!(r#"{{"id":1,{request}}}"#));
            if turn % 5 == 0 {
                rig.advance(3_000);
            }
            for at in 0..2 {
                for message in rig.received(conns[at]) {
                    let text = message.to_text();
                    for room in 0..3 {
                        assert!(
                            member[at][room] || !text.contains(&format!("word-of-{}", rooms[room])),
                            "seed {seed}, turn {turn}: {text}"
                        );
                    }
                }
            }
            let _ = rig.received(moderator);
        }
        rig.advance(5_000);
        let _ = rig.received_by_all();
        for at in 0..2 {
            let mine: Vec<String> = (0..3)
                .filter(|room| member[at][*room])
                .map(|room| format!("\"{}\"", rooms[room]))
                .collect();
            let naive = format!(
                r#""type":"store.where","bucket":"messages","filter":{{"room":{{"$in":[{}]}}}}"#,
                mine.join(",")
            );
            let naive = ask(&mut rig, moderator, &naive);
            let own = r#""type":"store.where","bucket":"messages","filter":{}"#;
            assert_eq!(ask(&mut rig, conns[at], own), naive, "seed {seed}");
        }
        rig.engine.check_invariants();
    }
}

/// Members of many rooms: a message visits those whose rooms have it, however
/// many rooms they have.
#[test]
fn long_sets_lead_a_write_to_those_who_have_its_value() {
    let mut chat = chat();
    let add = |user: &str, from: usize, to: usize| {
        let record = |at| format!(r#"{{"id":"{user}{at}","user":"{user}","room":"r{at}"}}"#);
        let records: Vec<String> = (from..to).map(record).collect();
        let records = records.join(",");
        format!(
            r#""type":"store.insertMany","bucket":"members","answer":"counts","data":[{records}]"#
        )
    };
    let Chat { rig, ann, bob, moderator } = &mut chat;
    for (user, from, to) in [("ann", 0, 300), ("bob", 299, 700)] {
        assert!(ask(rig, *moderator, &add(user, from, to)).contains("inserted"));
    }
    for conn in [*ann, *bob] {
        for filter in ["", r#","filter":{"text":"hello"}"#] {
            let live = format!(r#""type":"store.live","bucket":"messages"{filter}"#);
            assert!(ask(rig, conn, &live).contains("sub-"));
        }
    }
    let visits = |rig: &mut Rig, request: &str| {
        let before = rig.engine.views.followed;
        assert!(!ask(rig, *moderator, request).contains("ERROR"));
        rig.engine.check_invariants();
        rig.engine.views.followed - before
    };
    assert_eq!(visits(rig, &say("1", "r5", "hello")), 2);
    assert_eq!(visits(rig, &say("2", "r299", "hello")), 4);
    assert_eq!(visits(rig, &say("3", "r699", "other")), 1);
    assert_eq!(visits(rig, &say("4", "elsewhere", "hello")), 0);
    // One value comes, and one goes.
    let _ = ask(rig, *moderator, &add("bob", 5, 6));
    assert_eq!(visits(rig, &say("5", "r5", "hello")), 4);
    let gone = r#""type":"store.delete","bucket":"members","key":"ann5""#;
    assert!(ask(rig, *moderator, gone).contains("true"));
    assert_eq!(visits(rig, &say("6", "r5", "hello")), 2);
    let seen = [texts(rig, *ann), texts(rig, *bob)];
    let count = |seen: &str, id: &str| seen.contains(&format!(r#""id":"{id}""#));
    for (id, expected) in [("2", [true, true]), ("5", [false, true]), ("4", [false, false])] {
        assert_eq!([count(&seen[0], id), count(&seen[1], id)], expected, "{id}: {seen:?}");
    }
}

/// What follows a change of a long set is more work than that of a short one,
/// and is shared out among the turns.
#[test]
fn of_many_who_share_a_long_set_some_follow_in_each_turn() {
    let options =
        EngineOptions { heartbeat_interval_ms: 0, view_steps: 10_000, ..EngineOptions::default() };
    let mut rig = external_with(AUTH, options);
    let moderator = login(&mut rig, "mod");
    define(&mut rig, moderator, "members", MEMBERS);
    assert!(ask(&mut rig, moderator, ROOMS).contains("true"));
    define(&mut rig, moderator, "messages", MESSAGES);
    let record = |at: usize| format!(r#"{{"id":"m{at}","user":"ann","room":"r{at}"}}"#);
    let records: Vec<String> = (0..500).map(record).collect();
    let insert = format!(
        r#""type":"store.insertMany","bucket":"members","answer":"counts","data":[{}]"#,
        records.join(",")
    );
    assert!(ask(&mut rig, moderator, &insert).contains("500"));
    let conns: Vec<ConnId> = (0..20).map(|_| login(&mut rig, "ann")).collect();
    for conn in &conns {
        assert!(
            ask(&mut rig, *conn, r#""type":"store.live","bucket":"messages""#).contains("sub-")
        );
    }
    rig.advance(5_000);
    let _ = rig.received_by_all();
    let _ = ask(&mut rig, moderator, &join("ann", "new"));
    assert!(rig.engine.rows.waiting.contains(conns[19]), "not all in the turn of the change");
    let _ = ask(&mut rig, moderator, &say("1", "new", "hello"));
    rig.advance(5_000);
    assert!(rig.engine.rows.waiting.is_empty());
    for conn in conns {
        let got: Vec<String> = rig.received(conn).iter().map(Json::to_text).collect();
        assert!(got.iter().any(|text| text.contains("hello")), "{got:?}");
    }
    rig.engine.check_invariants();
}

/// A set that searches is put back whatever has become of its bucket: a server
/// starts, and who uses the set is told what is wrong with it.
#[test]
fn a_stored_set_outlives_the_words_of_its_bucket() {
    let mut rig = external(AUTH);
    let moderator = login(&mut rig, "mod");
    let body = r#"{"bucket":"members","filter":{"user":{"$search":"{{ session.userId }}"}},"field":"room"}"#;
    let stored = crate::json::parse(body, 8).expect("JSON").to_json();
    let stored = stored.as_object().expect("an object");
    let origin = crate::storage::Origin::Wire;
    rig.engine.restore_set("rooms", stored, origin).expect("its bucket is gone");
    define(&mut rig, moderator, "messages", MESSAGES);
    define(&mut rig, moderator, "members", MEMBERS);
    rig.engine.restore_set("rooms", stored, origin).expect("its bucket has no words");
    let _ = ask(&mut rig, moderator, &say("1", "red", "hello"));
    let _ = ask(&mut rig, moderator, &join("ann", "red"));
    let ann = login(&mut rig, "ann");
    let all = r#""type":"store.all","bucket":"messages""#;
    let answer = ask(&mut rig, ann, all);
    assert!(answer.contains("\"$search\" needs a field with \"search\""), "{answer}");
    let _ = ask(&mut rig, moderator, r#""type":"store.dropBucket","name":"members""#);
    let searched =
        MEMBERS.replace(r#""user":{"type":"string"}"#, r#""user":{"type":"string","search":true}"#);
    define(&mut rig, moderator, "members", &searched);
    let _ = ask(&mut rig, moderator, &join("ann", "red"));
    assert!(ask(&mut rig, ann, all).contains("hello"));
    // What never was right is refused.
    let wrong = body.replace("session.userId", "sets.rooms");
    let wrong = crate::json::parse(&wrong, 8).expect("JSON").to_json();
    assert!(rig.engine.restore_set("rooms", wrong.as_object().unwrap(), origin).is_err());
}
