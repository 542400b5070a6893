//! Row rules in live queries.

use super::*;
use crate::ids::IdSource;

/// The texts that a connection was sent since the last look.
fn texts(rig: &mut Rig, conn: ConnId) -> String {
    rig.advance(5_000);
    rig.received(conn).iter().map(Json::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_login_moves_subscriptions_and_nothing_of_the_old_view_leaves() {
    for mode in ["full", "delta"] {
        let mut rig = external(AUTH);
        let (ann, moderator) = (login(&mut rig, "ann"), login(&mut rig, "mod"));
        define(&mut rig, moderator, "b", OWN);
        let query = r#""type":"store.defineQuery","name":"all","config":{"bucket":"b"}"#;
        assert!(ask(&mut rig, moderator, query).contains("defined"));
        let subscribe = format!(r#""type":"store.subscribe","query":"all","mode":"{mode}""#);
        let live = format!(r#""type":"store.live","bucket":"b","mode":"{mode}""#);
        let (a, b) = (ask(&mut rig, ann, &subscribe), ask(&mut rig, ann, &live));
        assert!(a.contains(r#""data":[]"#) && b.contains(r#""data":[]"#), "{a} {b}");
        let insert = |id: &str, text: &str| {
            format!(r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","text":"{text}"}}"#)
        };
        send(&mut rig, ann, &insert("a1", "anns-secret"));
        let seen = texts(&mut rig, ann);
        assert_eq!(seen.matches("anns-secret").count(), 3, "{seen}");
        let _ = ask(&mut rig, moderator, &insert("m1", "mods-secret"));
        assert_eq!(texts(&mut rig, ann), "");
        // The same connection is another user now.
        send(&mut rig, ann, r#""type":"auth.login","token":"bob""#);
        let seen = texts(&mut rig, ann);
        assert!(!seen.contains("secret"), "{seen}");
        assert_eq!(seen.matches(r#""type":"push""#).count(), 2, "{seen}");
        assert_eq!(seen.matches(r#""reset":true"#).count(), if mode == "delta" { 2 } else { 0 });
        let mut other = login(&mut rig, "ann");
        let _ = ask(&mut rig, other, &insert("a2", "anns-secret"));
        assert_eq!(texts(&mut rig, ann), "");
        // A moderator sees everything.
        send(&mut rig, ann, r#""type":"auth.login","token":"mod""#);
        let seen = texts(&mut rig, ann);
        assert_eq!(seen.matches("mods-secret").count(), 2, "{seen}");
        assert_eq!(seen.matches("anns-secret").count(), 4, "{seen}");
        // Rows are taken from the definition, and put back.
        other = login(&mut rig, "bob");
        let _ = ask(&mut rig, other, &subscribe);
        let update = r#""type":"store.updateBucket","name":"b","updates":{"rows":null}"#;
        assert!(ask(&mut rig, moderator, update).contains("updated"));
        let seen = texts(&mut rig, other);
        assert_eq!(seen.matches("mods-secret").count(), 1, "{mode}: {seen}");
        let update = r#""type":"store.updateBucket","name":"b","updates":{"rows":{"read":false}}"#;
        assert!(ask(&mut rig, moderator, update).contains("updated"));
        let seen = texts(&mut rig, other);
        assert!(!seen.contains("secret") && seen.contains("[]"), "{seen}");
        rig.engine.check_invariants();
    }
}

/// Sends a request; what comes with its answer stays for the next look.
fn send(rig: &mut Rig, conn: ConnId, request: &str) {
    rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
}

/// Two users side by side under random writes, in both modes, against a naive
/// filter of what is stored; no byte of a hidden record leaves.
#[test]
fn under_random_writes_each_sees_what_a_naive_filter_leaves() {
    for seed in 0..30u8 {
        let mut dice = IdSource::new([seed; 32]);
        let mut rig = external(AUTH);
        let moderator = login(&mut rig, "mod");
        define(&mut rig, moderator, "b", OWN);
        let names = ["ann", "bob"];
        let conns = names.map(|name| login(&mut rig, name));
        let sort = if seed % 2 == 0 { r#","sort":{"n":"asc"}"# } else { "" };
        for conn in conns {
            for mode in ["full", "delta"] {
                let live = format!(r#""type":"store.live","bucket":"b","mode":"{mode}"{sort}"#);
                assert!(ask(&mut rig, conn, &live).contains("sub-"));
            }
        }
        for turn in 0..60u64 {
            let roll = dice.next_u64();
            let (who, id) = (conns[(roll % 2) as usize], (roll >> 8) % 6);
            // A word that is in records of one user outside of the hall only.
            let room = if (roll >> 16).is_multiple_of(3) { "hall" } else { "own" };
            let word = format!("{room}-of-{}-", names[(roll % 2) as usize]);
            let write = match (roll >> 24) % 5 {
                0 => format!(r#""type":"store.delete","bucket":"b","key":"k{id}""#),
                1 => format!(
                    r#""type":"store.updateMany","bucket":"b","filter":{{}},"data":{{"room":"{room}","text":"{word}"}}"#
                ),
                _ => format!(
                    r#""type":"store.upsert","bucket":"b","data":{{"id":"k{id}","n":{turn},"room":"{room}","text":"{word}"}}"#
                ),
            };
            send(&mut rig, who, &write);
            if turn % 7 == 0 {
                rig.advance(3_000);
            }
            for (at, conn) in conns.into_iter().enumerate() {
                let other = format!("own-of-{}-", names[1 - at]);
                for message in rig.received(conn) {
                    let text = message.to_text();
                    assert!(!text.contains(&other), "seed {seed}, turn {turn}: {text}");
                }
            }
        }
        rig.advance(5_000);
        for (at, conn) in conns.into_iter().enumerate() {
            let other = format!("own-of-{}-", names[1 - at]);
            for message in rig.received(conn) {
                assert!(!message.to_text().contains(&other), "seed {seed}: {}", message.to_text());
            }
            let filter = format!(r#"{{"$or":[{{"owner":"{}"}},{{"room":"hall"}}]}}"#, names[at]);
            let naive = format!(r#""type":"store.find","bucket":"b","filter":{filter}{sort}"#);
            let own = format!(r#""type":"store.find","bucket":"b"{sort}"#);
            assert_eq!(ask(&mut rig, conn, &own), ask(&mut rig, moderator, &naive), "seed {seed}");
            rig.engine.check_invariants();
        }
    }
}

#[test]
fn of_many_whose_rights_change_some_follow_in_each_turn_and_nothing_old_leaves() {
    let options =
        EngineOptions { heartbeat_interval_ms: 0, view_steps: 500, ..EngineOptions::default() };
    let mut rig = external_with(AUTH, options);
    let moderator = login(&mut rig, "mod");
    define(&mut rig, moderator, "b", OWN);
    let conns: Vec<ConnId> = (0..40).map(|_| login(&mut rig, "ann")).collect();
    for conn in &conns {
        for mode in ["full", "delta"] {
            let live = format!(r#""type":"store.live","bucket":"b","mode":"{mode}""#);
            assert!(ask(&mut rig, *conn, &live).contains("sub-"));
        }
    }
    rig.advance(5_000);
    let _ = rig.received_by_all();
    // The rules are others, and directly behind that comes a record of Ann.
    let update = r#""type":"store.updateBucket","name":"b","updates":{"rows":{"set":{"owner":"{{ session.userId }}"},"read":{"room":"hall"},"insert":true,"update":true}}"#;
    rig.send(moderator, &format!(r#"{{"id":1,{update}}}"#));
    let insert =
        r#""type":"store.insert","bucket":"b","data":{"id":"s","text":"secret","room":"x"}"#;
    rig.send(conns[0], &format!(r#"{{"id":2,{insert}}}"#));
    let _ = rig.received(conns[0]);
    let seen =
        r#""type":"store.insert","bucket":"b","data":{"id":"v","text":"shown","room":"hall"}"#;
    rig.send(moderator, &format!(r#"{{"id":3,{seen}}}"#));
    rig.advance(5_000);
    rig.engine.check_invariants();
    for conn in conns {
        let got: Vec<String> = rig.received(conn).iter().map(Json::to_text).collect();
        assert!(got.iter().all(|text| !text.contains("secret")), "{got:?}");
        let last = got.iter().filter(|text| text.contains("shown")).count();
        assert_eq!(last, 2, "{got:?}");
    }
}

#[test]
fn a_write_is_led_to_the_views_of_those_who_may_read_it() {
    let mut rig = external(AUTH);
    let moderator = login(&mut rig, "mod");
    let config = r#"{"key":"id","schema":{"id":{"type":"string"},"owner":{"type":"string"},
        "state":{"type":"string"}},"rows":{"read":{"owner":"{{ session.userId }}"},"bypass":["moderator"]}}"#;
    define(&mut rig, moderator, "b", config);
    let query = r#""type":"store.defineQuery","name":"open","config":{"bucket":"b","filter":{"state":"open"}}"#;
    assert!(ask(&mut rig, moderator, query).contains("defined"));
    for name in ["ann", "bob"] {
        let conn = login(&mut rig, name);
        assert!(ask(&mut rig, conn, r#""type":"store.subscribe","query":"open""#).contains("sub-"));
        // Whoever is restricted is told no numbers about the records of others.
        let told = ask(&mut rig, conn, r#""type":"store.explain","bucket":"b","query":"open""#);
        assert!(told.contains(r#""rowFilter":true"#) && !told.contains("commits"), "{told}");
    }
    for at in 0..20 {
        let insert = format!(
            r#""type":"store.insert","bucket":"b","data":{{"id":"{at}","owner":"ann","state":"open"}}"#
        );
        assert!(ask(&mut rig, moderator, &insert).contains("_version"));
    }
    let told = ask(&mut rig, moderator, r#""type":"store.explain","bucket":"b","query":"open""#);
    // One view of two has followed each commit.
    assert!(told.contains(r#""views":2"#) && told.contains(r#""commits":20"#), "{told}");
    assert!(told.contains(r#""routedBy":["owner","state"]"#), "{told}");
}

/// Whose rule is a search is led to by words, as is a set whose filter is one.
#[test]
fn words_lead_a_write_to_those_whose_rule_searches_for_them() {
    let auth = r#"{"required":false,"tokens":{
        "ann":{"userId":"ann","roles":["admin"],"metadata":{"about":"tea"}},
        "ann-of-pots":{"userId":"ann","roles":["admin"],"metadata":{"about":"pot"}},
        "bob":{"userId":"bob","roles":["admin"],"metadata":{"about":"coffee pot"}},
        "mod":{"userId":"mod","roles":["admin","moderator"]}}}"#;
    let mut rig = external(auth);
    let moderator = login(&mut rig, "mod");
    let schema =
        r#""key":"id","schema":{"id":{"type":"string"},"text":{"type":"string","search":true}}"#;
    define(&mut rig, moderator, "notes", &format!("{{{schema}}}"));
    let set = r#""type":"access.defineSet","name":"known","bucket":"notes","filter":{"text":{"$search":"{{ session.userId }}"}},"field":"id""#;
    assert!(ask(&mut rig, moderator, set).contains("defined"));
    let rows = r#""rows":{"read":{"text":{"$search":"{{ session.metadata.about }}"},"id":{"$nin":"{{ sets.known }}"}},"bypass":["moderator"]}"#;
    define(&mut rig, moderator, "b", &format!("{{{schema},{rows}}}"));
    let query = r#""type":"store.defineQuery","name":"all","config":{"bucket":"b"}"#;
    assert!(ask(&mut rig, moderator, query).contains("defined"));
    let readers = [("ann", "tea"), ("bob", "coffee")].map(|(name, word)| {
        let conn = login(&mut rig, name);
        for mode in ["full", "delta"] {
            let subscribe = format!(r#""type":"store.subscribe","query":"all","mode":"{mode}""#);
            assert!(ask(&mut rig, conn, &subscribe).contains("sub-"));
        }
        (conn, word)
    });
    let told = ask(&mut rig, moderator, r#""type":"store.explain","bucket":"b","query":"all""#);
    assert!(told.contains(r#""routedBy":["text"]"#), "{told}");
    let insert = |bucket: &str, id: &str, text: &str| {
        format!(
            r#""type":"store.insert","bucket":"{bucket}","data":{{"id":"{id}","text":"{text}"}}"#
        )
    };
    for (id, text, led) in [
        ("1", "The Teapot", 1),
        ("2", "of nothing", 0),
        ("3", "coffee alone: Bob's view is led to, and does not show it", 1),
        ("4", "pots of coffee", 1),
        ("1", "coffee and pot, tea before", 2),
    ] {
        let before = rig.engine.views.followed;
        assert!(ask(&mut rig, moderator, &insert("b", id, text)).contains("_version"));
        assert_eq!(rig.engine.views.followed - before, led, "{text}");
        rig.advance(3_000);
        for (conn, word) in readers {
            for message in rig.received(conn) {
                let seen = message.to_text().to_lowercase();
                let texts = seen.split(r#""text":"#).skip(1);
                assert!(texts.clone().all(|text| text.contains(word)), "{seen}");
            }
        }
    }
    let count = r#""type":"store.count","bucket":"b""#;
    assert_eq!(readers.map(|(conn, _)| ask(&mut rig, conn, count)), ["1", "2"].map(String::from));
    // The set follows its words.
    assert!(ask(&mut rig, moderator, &insert("notes", "4", "Bobby knows")).contains("_version"));
    assert_eq!(ask(&mut rig, readers[1].0, count), "1");
    assert!(ask(&mut rig, moderator, &insert("notes", "4", "nobody knows")).contains("_version"));
    assert_eq!(ask(&mut rig, readers[1].0, count), "2");
    // Other metadata are other rights, of the same user: his views move.
    let ann = readers[0].0;
    let _ = texts(&mut rig, ann);
    send(&mut rig, ann, r#""type":"auth.login","token":"ann-of-pots""#);
    let seen = texts(&mut rig, ann).to_lowercase();
    assert_eq!(seen.matches(r#""type":"push""#).count(), 2, "{seen}");
    assert!(seen.split(r#""text":"#).skip(1).all(|text| text.contains("pot")), "{seen}");
    let _ = ask(&mut rig, moderator, &insert("b", "5", "tea for two"));
    assert_eq!(texts(&mut rig, ann), "");
    assert_eq!(ask(&mut rig, ann, count), "2");
    rig.engine.check_invariants();
}
