//! Every operation that reads or writes a record, on one that is visible, one
//! that is hidden, one that is refused and one that is not there.

use super::*;

struct Three {
    rig: Rig,
    ann: ConnId,
    bob: ConnId,
    moderator: ConnId,
}

/// Ann's own record, Bob's hidden one, and Bob's in the hall, which Ann sees.
fn three() -> Three {
    let mut rig = external(AUTH);
    let ann = login(&mut rig, "ann");
    let bob = login(&mut rig, "bob");
    let moderator = login(&mut rig, "mod");
    define(&mut rig, moderator, "b", OWN);
    for (conn, data) in [
        (ann, r#"{"id":"mine","n":1,"text":"m","code":"c1"}"#),
        (bob, r#"{"id":"hidden","n":20,"text":"secret","code":"c2"}"#),
        (bob, r#"{"id":"seen","n":300,"text":"s","room":"hall","code":"c3"}"#),
    ] {
        let request = format!(r#""type":"store.insert","bucket":"b","data":{data}"#);
        let answer = ask(&mut rig, conn, &request);
        assert!(answer.contains("_version"), "{answer}");
    }
    Three { rig, ann, bob, moderator }
}

const REFUSES: &str = "FORBIDDEN Row rule \"update\" of bucket \"b\" refuses this record";

#[test]
fn reads_show_what_is_there_for_whoever_asks() {
    let Three { mut rig, ann, bob, moderator } = three();
    let nobody = rig.connect();
    let _ = rig.received(nobody);
    let keys = |answer: &str| {
        let mut keys: Vec<&str> = ["mine", "hidden", "seen"].to_vec();
        keys.retain(|key| answer.contains(&format!("\"{key}\"")));
        keys.join(" ")
    };
    for (request, of_ann) in [
        (r#""type":"store.all","bucket":"b""#, "mine seen"),
        (r#""type":"store.where","bucket":"b","filter":{}"#, "mine seen"),
        (r#""type":"store.where","bucket":"b","filter":{"owner":"bob"}"#, "seen"),
        (r#""type":"store.where","bucket":"b","filter":{"id":"hidden"}"#, ""),
        (r#""type":"store.findOne","bucket":"b","filter":{"n":20}"#, ""),
        (r#""type":"store.first","bucket":"b","n":2"#, "mine seen"),
        (r#""type":"store.last","bucket":"b","n":2"#, "mine seen"),
        (r#""type":"store.paginate","bucket":"b","limit":5"#, "mine seen"),
        (r#""type":"store.paginate","bucket":"b","limit":5,"after":"mine""#, "seen"),
        (r#""type":"store.paginate","bucket":"b","limit":5,"after":"hidden""#, ""),
        (r#""type":"store.find","bucket":"b","sort":{"n":"desc"}"#, "mine seen"),
        (r#""type":"store.get","bucket":"b","key":"hidden""#, ""),
        (r#""type":"store.get","bucket":"b","key":"seen""#, "seen"),
    ] {
        let answer = ask(&mut rig, ann, request);
        assert_eq!(keys(&answer), of_ann, "{request}: {answer}");
        assert!(!answer.contains("secret"), "{request}: {answer}");
        let answer = ask(&mut rig, nobody, request);
        assert!(!answer.contains("secret") && !answer.contains("mine\""), "{request}: {answer}");
    }
    for (request, of_ann, of_all) in [
        (r#""type":"store.count","bucket":"b""#, "2", "3"),
        (r#""type":"store.count","bucket":"b","filter":{"n":{"$gt":2}}"#, "1", "2"),
        (r#""type":"store.sum","bucket":"b","field":"n""#, "301", "321"),
        (r#""type":"store.avg","bucket":"b","field":"n""#, "150.5", "107"),
        (r#""type":"store.min","bucket":"b","field":"n""#, "1", "1"),
        (r#""type":"store.max","bucket":"b","field":"n","filter":{"n":{"$lt":300}}"#, "1", "20"),
        (
            r#""type":"store.groupBy","bucket":"b","field":"owner","aggregate":{"function":"count"}"#,
            r#"[{"key":{"owner":"ann"},"value":1},{"key":{"owner":"bob"},"value":1}]"#,
            r#"[{"key":{"owner":"ann"},"value":1},{"key":{"owner":"bob"},"value":2}]"#,
        ),
        (
            r#""type":"store.explain","bucket":"b","filter":{"owner":"bob"}"#,
            r#"{"bucket":"b","access":"index","index":"owner","order":"acquired","rowFilter":true,"matched":1}"#,
            r#"{"bucket":"b","records":3,"access":"index","index":"owner","order":"acquired","lookedAt":2,"matched":2}"#,
        ),
    ] {
        assert_eq!(ask(&mut rig, ann, request), of_ann, "{request}");
        assert_eq!(ask(&mut rig, moderator, request), of_all, "{request}");
    }
    assert_eq!(keys(&ask(&mut rig, bob, r#""type":"store.all","bucket":"b""#)), "hidden seen");
}

#[test]
fn a_hidden_record_is_written_to_like_one_that_is_not_there() {
    for (request, refused) in [
        (r#""type":"store.update","bucket":"b","key":"K","data":{"n":9}"#, Some(REFUSES)),
        (
            r#""type":"store.update","bucket":"b","key":"K","data":{"n":9},"expect":{"_version":7}"#,
            Some(REFUSES),
        ),
        (r#""type":"store.update","bucket":"b","key":"K","apply":{"n":{"$inc":1}}"#, Some(REFUSES)),
        (
            r#""type":"store.delete","bucket":"b","key":"K""#,
            Some("FORBIDDEN Row rule \"delete\" of bucket \"b\" refuses this record"),
        ),
        (
            r#""type":"store.delete","bucket":"b","key":"K","expect":{"_version":7}"#,
            Some("FORBIDDEN Row rule \"delete\" of bucket \"b\" refuses this record"),
        ),
        (r#""type":"store.get","bucket":"b","key":"K""#, None),
        (r#""type":"store.updateMany","bucket":"b","filter":{"id":"K"},"data":{"n":9}"#, None),
        (r#""type":"store.deleteMany","bucket":"b","filter":{"id":"K"}"#, None),
        (r#""type":"store.transaction","operations":[{"op":"get","bucket":"b","key":"K"}]"#, None),
        (
            r#""type":"store.transaction","operations":[{"op":"update","bucket":"b","key":"K","data":{"n":1}}]"#,
            Some(REFUSES),
        ),
        (
            r#""type":"store.transaction","operations":[{"op":"delete","bucket":"b","key":"K"}]"#,
            Some("FORBIDDEN Row rule \"delete\" of bucket \"b\" refuses this record"),
        ),
    ] {
        let Three { mut rig, ann, moderator, .. } = three();
        let everything = r#""type":"store.all","bucket":"b""#;
        let before = ask(&mut rig, moderator, everything);
        let mut told = |key: &str| {
            let answer = ask(&mut rig, ann, &request.replace('K', key));
            answer.replace(key, "K")
        };
        let (hidden, missing) = (told("hidden"), told("missing"));
        assert_eq!(hidden, missing, "{request}");
        if let Some(refused) = refused {
            assert_eq!(told("seen"), refused, "{request}");
            assert_eq!(ask(&mut rig, moderator, everything), before, "{request}");
        }
        assert_eq!(ask(&mut rig, moderator, everything), before, "{request}");
    }
}

#[test]
fn inserts_are_filled_in_checked_and_replace_only_what_may_be_changed() {
    let Three { mut rig, ann, moderator, .. } = three();
    let exists = "ALREADY_EXISTS Record with key \"hidden\" already exists in bucket \"b\"";
    for (request, expected) in [
        (
            r#""type":"store.insert","bucket":"b","data":{"id":"x","owner":"bob"}"#,
            "FORBIDDEN Field \"owner\" of bucket \"b\" is set by the server",
        ),
        (
            r#""type":"store.update","bucket":"b","key":"mine","data":{"owner":"bob"}"#,
            "FORBIDDEN Field \"owner\" of bucket \"b\" is set by the server",
        ),
        (
            r#""type":"store.update","bucket":"b","key":"mine","apply":{"owner":{"$set":"bob"}}"#,
            "FORBIDDEN Field \"owner\" of bucket \"b\" is set by the server",
        ),
        (r#""type":"store.insert","bucket":"b","data":{"id":"hidden","n":1}"#, exists),
        (r#""type":"store.upsert","bucket":"b","data":{"id":"hidden","n":1}"#, exists),
        (r#""type":"store.insert","bucket":"b","data":{"id":"seen","n":1}"#, REFUSES),
        (r#""type":"store.upsert","bucket":"b","data":{"id":"seen","n":1}"#, REFUSES),
        (
            r#""type":"store.insertMany","bucket":"b","data":[{"id":"y"},{"id":"hidden"}]"#,
            "ALREADY_EXISTS data[1]: Record with key \"hidden\" already exists in bucket \"b\"",
        ),
        (
            r#""type":"store.insertMany","bucket":"b","onConflict":"replace","data":[{"id":"hidden"}]"#,
            "ALREADY_EXISTS data[0]: Record with key \"hidden\" already exists in bucket \"b\"",
        ),
        (
            r#""type":"store.insertMany","bucket":"b","onConflict":"skip","answer":"counts","data":[{"id":"hidden"}]"#,
            r#"{"inserted":0,"skipped":1,"replaced":0}"#,
        ),
        (
            r#""type":"store.insert","bucket":"b","data":{"id":"z","code":"c2"}"#,
            "ALREADY_EXISTS Unique constraint violation in bucket \"b\": field \"code\" already has value \"c2\" {\"bucket\":\"b\",\"field\":\"code\",\"value\":\"c2\"}",
        ),
        (
            r#""type":"store.clear","bucket":"b""#,
            "FORBIDDEN Row rule \"delete\" of bucket \"b\" refuses to clear it",
        ),
        (r#""type":"store.updateMany","bucket":"b","filter":{},"data":{"text":"t"}"#, "1"),
        (r#""type":"store.deleteMany","bucket":"b","filter":{}"#, "1"),
    ] {
        assert_eq!(ask(&mut rig, ann, request), expected, "{request}");
    }
    let answer = ask(&mut rig, ann, r#""type":"store.insert","bucket":"b","data":{"id":"new"}"#);
    assert!(answer.contains(r#""owner":"ann""#), "{answer}");
    let same = r#""type":"store.update","bucket":"b","key":"new","data":{"owner":"ann","n":3}"#;
    assert!(ask(&mut rig, ann, same).contains(r#""n":3"#));
    let count = r#""type":"store.count","bucket":"b""#;
    assert_eq!(ask(&mut rig, moderator, count), "3");
    // A middle step that is refused undoes the ones before it.
    let steps = r#""type":"store.transaction","operations":[
        {"op":"insert","bucket":"b","data":{"id":"t1"}},
        {"op":"update","bucket":"b","key":"seen","data":{"n":0}},
        {"op":"insert","bucket":"b","data":{"id":"t2"}}]"#;
    assert_eq!(ask(&mut rig, ann, steps), REFUSES);
    assert_eq!(ask(&mut rig, moderator, count), "3");
    assert_eq!(
        ask(&mut rig, moderator, r#""type":"store.clear","bucket":"b""#),
        r#"{"cleared":true}"#
    );
}

#[test]
fn definitions_say_what_is_wrong_with_them() {
    let mut rig = external(AUTH);
    let conn = login(&mut rig, "mod");
    for (rows, issues) in [
        (r#"[]"#, "rows: expected object"),
        (r#"{"reed":true}"#, "rows: unknown member \"reed\""),
        (r#"{"read":1}"#, "rows.read: expected filter or boolean"),
        (r#"{"read":{"a":"{{ session.user }}"}}"#, "rows.read: unknown template \"session.user\""),
        (r#"{"read":{"a":{"$gt":"{{ now }}"}}}"#, "rows.read: unknown template \"now\""),
        (r#"{"insert":{"a":{"$in":"{{ sets.x }}"}}}"#, "rows.insert: unknown set \"x\""),
        (r#"{"insert":{"a":"{{ sets.x }}"}}"#, "rows.insert: unknown template \"sets.x\""),
        (r#"{"set":{"z":1}}"#, "rows.set: unknown field \"z\""),
        (r#"{"set":{"id":1}}"#, "rows.set: field \"id\" is the key and generated"),
        (r#"{"bypass":"x"}"#, "rows.bypass: expected array of strings"),
        (r#"{"bypass":[1]}"#, "rows.bypass: expected array of strings"),
        (
            r#"{"read":1,"bypass":1}"#,
            "rows.read: expected filter or boolean; rows.bypass: expected array of strings",
        ),
        (
            r#"{"delete":{"$or":"{{ session.roles }}"}}"#,
            "rows.delete: \"$or\" expects an array of filters, got a string",
        ),
    ] {
        let request = format!(
            r#""type":"store.defineBucket","name":"b","config":{{"key":"id","schema":{{"id":{{"type":"string","generated":"uuid"}},"a":{{"type":"string"}}}},"rows":{rows}}}"#
        );
        let expected = format!("VALIDATION_ERROR Invalid schema for bucket \"b\": {issues}");
        assert_eq!(ask(&mut rig, conn, &request), expected);
    }
    let many = vec![r#"{"a":1}"#; 1001].join(",");
    let request = format!(
        r#""type":"store.defineBucket","name":"b","config":{{"key":"id","schema":{{"id":{{"type":"string"}}}},"rows":{{"read":{{"$or":[{many}]}}}}}}"#
    );
    assert!(ask(&mut rig, conn, &request).contains("too many conditions (maximum 1000)"));
}

#[test]
fn a_value_that_is_put_in_stays_a_value() {
    let auth = r#"{"required":false,"tokens":{
        "eve":{"userId":"eve","metadata":{"team":{"$exists":false},"list":"x","n":5,"ok":["a"]}},
        "mod":{"userId":"m","roles":["admin","moderator"]}}}"#;
    let mut rig = external(auth);
    let moderator = login(&mut rig, "mod");
    let eve = login(&mut rig, "eve");
    for (at, (read, count)) in [
        (r#"{"t":"{{ session.metadata.team }}"}"#, "0"),
        (r#"{"t":{"$neq":"{{ session.metadata.team }}"}}"#, "0"),
        (r#"{"t":{"$in":"{{ session.metadata.list }}"}}"#, "0"),
        (r#"{"t":{"$nin":"{{ session.metadata.list }}"}}"#, "0"),
        (r#"{"t":{"$nin":"{{ session.metadata.missing }}"}}"#, "0"),
        (r#"{"t":{"$startsWith":"{{ session.metadata.n }}"}}"#, "0"),
        (r#"{"t":{"$exists":"{{ session.metadata.n }}"}}"#, "0"),
        (r#"{"t":{"$between":"{{ session.metadata.ok }}"}}"#, "0"),
        (r#"{"t":{"$in":"{{ session.metadata.ok }}"}}"#, "1"),
        (r#"{"t":{"$nin":"{{ session.metadata.ok }}"}}"#, "1"),
        (r#"{"$or":[{"t":"{{ session.metadata.team }}"},{"t":"b"}]}"#, "1"),
        ("false", "0"),
        ("true", "2"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("b{at}");
        let config = format!(
            r#"{{"key":"id","schema":{{"id":{{"type":"string"}},"t":{{"type":"string"}}}},"rows":{{"read":{read},"bypass":["moderator"]}}}}"#
        );
        define(&mut rig, moderator, &name, &config);
        for t in ["a", "b"] {
            let insert = format!(
                r#""type":"store.insert","bucket":"{name}","data":{{"id":"{t}","t":"{t}"}}"#
            );
            let _ = ask(&mut rig, moderator, &insert);
        }
        let asked = ask(&mut rig, eve, &format!(r#""type":"store.count","bucket":"{name}""#));
        assert_eq!(asked, count, "{read}");
    }
}

#[test]
fn references_count_hidden_records_and_do_not_name_them() {
    let Three { mut rig, ann, bob, moderator } = three();
    let config = r#"{"key":"id","schema":{"id":{"type":"string"},"to":{"type":"string","ref":"b"},
        "owner":{"type":"string"}},"rows":{"set":{"owner":"{{ session.userId }}"},
        "read":{"owner":"{{ session.userId }}"}}}"#;
    define(&mut rig, moderator, "notes", config);
    let note = |id: &str, to: &str| {
        format!(r#""type":"store.insert","bucket":"notes","data":{{"id":"{id}","to":"{to}"}}"#)
    };
    assert!(ask(&mut rig, bob, &note("bobs", "mine")).contains("bobs"));
    assert!(ask(&mut rig, ann, &note("anns", "hidden")).contains("anns"), "it may be referred to");
    let delete = r#""type":"store.delete","bucket":"b","key":"mine""#;
    let answer = ask(&mut rig, ann, delete);
    let text = "CONFLICT Cannot delete from bucket \"b\" (key \"mine\"): referenced by bucket \"notes\" via field \"to\"";
    assert!(answer.starts_with(text) && !answer.contains("bobs"), "{answer}");
}

#[test]
fn procedures_and_views_have_the_rows_of_whoever_asks_unless_they_are_the_definers() {
    let Three { mut rig, ann, moderator, .. } = three();
    rig.engine.set_procedures(crate::procedures::Limits::default());
    for (name, definer) in [("own", "false"), ("all", "true")] {
        for transaction in ["false", "true"] {
            let register = format!(
                r#""type":"procedures.register","procedure":{{"name":"{name}-{transaction}","asDefiner":{definer},"transaction":{transaction},"steps":[
                {{"action":"store.get","bucket":"b","key":"hidden","as":"got"}},
                {{"action":"store.where","bucket":"b","filter":{{}},"as":"rows"}},
                {{"action":"store.count","bucket":"b","as":"count"}},
                {{"action":"store.find","bucket":"b","aggregate":{{"function":"sum","field":"n"}},"as":"sum"}},
                {{"action":"store.updateMany","bucket":"b","filter":{{}},"data":{{"text":"p"}},"as":"changed"}}]}}"#
            );
            let answer = ask(&mut rig, moderator, &register);
            assert!(answer.contains("registered"), "{answer}");
            let call = format!(r#""type":"procedures.call","name":"{name}-{transaction}""#);
            let answer = ask(&mut rig, ann, &call);
            match definer {
                "false" => {
                    assert!(answer.contains(r#""got":null"#), "{answer}");
                    assert!(answer.contains(r#""count":2,"sum":301,"changed":1"#), "{answer}");
                    assert!(!answer.contains("hidden"), "{answer}");
                }
                _ => assert!(answer.contains(r#""count":3,"sum":321,"changed":3"#), "{answer}"),
            }
        }
        let define = format!(
            r#""type":"logic.defineView","definition":{{"name":"{name}","from":{{"x":"b"}},"select":{{"id":"x.id"}},"reactive":true,"asDefiner":{definer}}}"#
        );
        let answer = ask(&mut rig, moderator, &define);
        assert!(answer.contains("defined"), "{answer}");
        for query in ["queryView", "subscribeView"] {
            let answer = ask(&mut rig, ann, &format!(r#""type":"logic.{query}","name":"{name}""#));
            assert_eq!(answer.contains("hidden"), definer == "true", "{answer}");
            assert!(answer.contains("mine"), "{answer}");
        }
    }
    let listed = ask(&mut rig, ann, r#""type":"logic.listViews""#);
    assert!(
        listed.contains(r#""resultCount":2"#) && listed.contains(r#""resultCount":3"#),
        "{listed}"
    );
}
