//! Upserts and many records at once: as operations, in transactions, in
//! procedures.

use super::*;

const UNIQUE: &str = r#"{"key":"id","schema":{"id":{"type":"string"},"n":{"type":"number","max":99},
    "u":{"type":"number","unique":true},"p":{"type":"string","ref":"b"}}}"#;

fn count(rig: &mut Rig, conn: ConnId) -> String {
    ask(rig, conn, r#""type":"store.count","bucket":"b""#)
}

#[test]
fn an_upsert_inserts_or_updates() {
    let (mut rig, conn) = with_bucket(UNIQUE);
    let mut upsert = |members: &str| {
        bare(&ask(&mut rig, conn, &format!(r#""type":"store.upsert","bucket":"b",{members}"#)))
    };
    let both = r#""data":{"id":"1","s":"x"},"apply":{"n":{"$inc":2},"l":{"$push":1}},"onInsert":{"by":"me"},"detail":true"#;
    assert_eq!(
        upsert(both),
        r#"{"record":{"id":"1","s":"x","by":"me","n":2,"l":[1]},"created":true}"#
    );
    assert_eq!(
        upsert(both),
        r#"{"record":{"id":"1","s":"x","by":"me","n":4,"l":[1,1]},"created":false}"#
    );
    assert_eq!(
        upsert(r#""data":{"id":"1","s":"y"}"#),
        r#"{"id":"1","s":"y","by":"me","n":4,"l":[1,1]}"#
    );
    assert_eq!(
        upsert(
            r#""data":{"id":"2"},"apply":{"n":{"$unset":true},"m":{"$min":3},"k":{"$pull":1}},"detail":false"#
        ),
        r#"{"id":"2","m":3}"#
    );
    for (members, error) in [
        (r#""data":[]"#, r#"VALIDATION_ERROR Missing or invalid "data": expected object"#),
        (r#""data":null"#, r#"UNKNOWN_OPERATION Unknown store operation "store.upsert""#),
        (r#""key":1"#, r#"UNKNOWN_OPERATION Unknown store operation "store.upsert""#),
        (r#""data":{},"onInsert":1"#, r#"VALIDATION_ERROR Invalid "onInsert": expected object"#),
        (r#""data":{},"detail":1"#, r#"VALIDATION_ERROR Invalid "detail": expected boolean"#),
        (
            r#""data":{"a":1},"apply":{"a":{"$inc":1}}"#,
            r#"VALIDATION_ERROR Field "a" is in both data and apply"#,
        ),
        (
            r#""data":{"a":1},"onInsert":{"a":1}"#,
            r#"VALIDATION_ERROR Field "a" is in both data and onInsert"#,
        ),
        (
            r#""data":{},"apply":{"a":{"$inc":1}},"onInsert":{"a":1}"#,
            r#"VALIDATION_ERROR Field "a" is in both apply and onInsert"#,
        ),
        (
            r#""data":{"id":"9"},"apply":{"n":{"$mul":2}}"#,
            r#"VALIDATION_ERROR Cannot apply $mul to field "n": expected number, found missing"#,
        ),
        (
            r#""data":{"n":1}"#,
            r#"VALIDATION_ERROR Validation failed for bucket "b": id: Field is required"#,
        ),
    ] {
        assert_eq!(upsert(members), error, "{members}");
    }
    assert_eq!(count(&mut rig, conn), "2");
    let no_bucket = r#""type":"store.upsert","data":{"id":"1"}"#;
    assert!(ask(&mut rig, conn, no_bucket).starts_with("UNKNOWN_OPERATION"));
}

#[test]
fn many_are_inserted_or_none() {
    let (mut rig, conn) = with_bucket(UNIQUE);
    let mut insert = |data: &str, members: &str| {
        let request = format!(r#""type":"store.insertMany","bucket":"b","data":{data}{members}"#);
        bare(&ask(&mut rig, conn, &request))
    };
    assert_eq!(insert("[]", ""), "[]");
    assert_eq!(insert("[]", r#","answer":"keys""#), "[]");
    let none = r#"{"inserted":0,"skipped":0,"replaced":0}"#;
    assert_eq!(insert("[]", r#","answer":"counts""#), none);
    // Records may refer to each other.
    let two = r#"[{"id":"1","u":1,"p":"2"},{"id":"2","u":2}]"#;
    assert_eq!(insert(two, ""), two);
    let exists = |at: usize, key: &str| {
        format!(
            r#"ALREADY_EXISTS data[{at}]: Record with key "{key}" already exists in bucket "b""#
        )
    };
    for (data, error) in [
        (r#"[{"id":"3"},{"id":"1"}]"#, exists(1, "1")),
        (r#"[{"id":"3"},{"id":"4"},{"id":"3"}]"#, exists(2, "3")),
        (r#"[{"id":"3"},7]"#, "VALIDATION_ERROR data[1]: expected object".to_owned()),
        (
            r#"{"id":"3"}"#,
            "VALIDATION_ERROR Missing or invalid \"data\": expected array".to_owned(),
        ),
        (
            r#"[{"id":"3"},{"id":"4","n":100}]"#,
            "VALIDATION_ERROR data[1]: Validation failed for bucket \"b\": n: Maximum value is 99"
                .to_owned(),
        ),
        (
            r#"[{"id":"3"},{"id":"4","u":2}]"#,
            "ALREADY_EXISTS data[1]: Unique constraint violation in bucket \"b\": field \"u\" already has value \"2\""
                .to_owned(),
        ),
        (
            r#"[{"id":"3","u":7},{"id":"4"},{"id":"5","u":7}]"#,
            "ALREADY_EXISTS data[2]: Unique constraint violation in bucket \"b\": field \"u\" already has value \"7\""
                .to_owned(),
        ),
        (
            r#"[{"id":"3"},{"id":"4","p":"9"}]"#,
            "VALIDATION_ERROR data[1]: Foreign key violation in bucket \"b\": field \"p\" references bucket \"b\" with key \"9\", but no such record exists"
                .to_owned(),
        ),
    ] {
        assert_eq!(insert(data, ""), error, "{data}");
    }
    assert_eq!(
        insert(
            r#"[{"id":"1","n":5},{"id":"3"},{"id":"3","n":1},{"id":"1","n":100}]"#,
            r#","onConflict":"skip","answer":"counts""#
        ),
        r#"{"inserted":1,"skipped":3,"replaced":0}"#
    );
    assert_eq!(
        insert(r#"[{"id":"1","n":1},{"id":"4"}]"#, r#","onConflict":"skip","answer":"keys""#),
        r#"["4"]"#
    );
    assert_eq!(
        insert(
            r#"[{"id":"1","n":6},{"id":"5"},{"id":"5","n":1}]"#,
            r#","onConflict":"replace","answer":"counts""#
        ),
        r#"{"inserted":1,"skipped":0,"replaced":2}"#
    );
    for (members, error) in [
        (
            r#","onConflict":"ignore""#,
            r#"Invalid "onConflict": expected "error", "skip" or "replace""#,
        ),
        (r#","answer":1"#, r#"Invalid "answer": expected "keys" or "counts""#),
    ] {
        assert_eq!(insert("[]", members), format!("VALIDATION_ERROR {error}"));
    }
    let all = bare(&ask(&mut rig, conn, r#""type":"store.all","bucket":"b""#));
    assert_eq!(
        all,
        r#"[{"id":"1","n":6},{"id":"2","u":2},{"id":"3"},{"id":"4"},{"id":"5","n":1}]"#
    );
    let missing = r#""type":"store.insertMany","bucket":"b""#;
    assert!(ask(&mut rig, conn, missing).starts_with("UNKNOWN_OPERATION"));
}

#[test]
fn a_replaced_record_is_a_new_one_in_its_place() {
    for (config, error) in [
        (
            r#"{"key":"id","schema":{"id":{"type":"string"}},"onDuplicateKey":"error"}"#,
            "ALREADY_EXISTS data[0]: Record",
        ),
        (
            r#"{"key":"id","schema":{"id":{"type":"string","unique":true}}}"#,
            "ALREADY_EXISTS data[0]: Unique",
        ),
        (PLAIN, ""),
    ] {
        let (mut rig, conn) = with_bucket(config);
        for id in ["1", "2"] {
            ask(
                &mut rig,
                conn,
                &format!(r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","old":1}}"#),
            );
        }
        ask(&mut rig, conn, r#""type":"store.update","bucket":"b","key":"1","data":{}"#);
        let replace = r#""type":"store.insertMany","bucket":"b","data":[{"id":"1","new":1}],"onConflict":"replace""#;
        let got = ask(&mut rig, conn, replace);
        if error.is_empty() {
            assert!(got.contains(r#""new":1,"_version":1"#), "{got}");
            let all = bare(&ask(&mut rig, conn, r#""type":"store.all","bucket":"b""#));
            assert_eq!(all, r#"[{"id":"1","new":1},{"id":"2","old":1}]"#);
        } else {
            assert!(got.starts_with(error), "{got}");
        }
    }
}

#[test]
fn of_ten_thousand_with_a_bad_one_nothing_is_left() {
    for unique in [false, true] {
        let (mut rig, conn) = with_bucket(
            r#"{"key":"id","schema":{"id":{"type":"number","generated":"autoincrement"},"n":{"type":"number","max":9},"u":{"type":"number","unique":true}}}"#,
        );
        ask(&mut rig, conn, r#""type":"store.defineQuery","name":"q","config":{"bucket":"b"}"#);
        ask(&mut rig, conn, r#""type":"store.subscribe","query":"q""#);
        let records = |bad: usize| -> String {
            let record = |at: usize| {
                let n = if at == bad { 10 } else { 1 };
                let u = if unique { format!(r#","u":{at}"#) } else { String::new() };
                format!(r#"{{"n":{n}{u}}}"#)
            };
            (0..10_000).map(record).collect::<Vec<_>>().join(",")
        };
        let insert = |records: String| {
            format!(
                r#""type":"store.insertMany","bucket":"b","data":[{records}],"answer":"counts""#
            )
        };
        let got = ask(&mut rig, conn, &insert(records(9_998)));
        assert!(got.starts_with("VALIDATION_ERROR data[9998]: Validation failed"), "{got}");
        assert_eq!(count(&mut rig, conn), "0");
        assert!(rig.received(conn).is_empty(), "nothing is pushed");
        rig.send(conn, &format!(r#"{{"id":1,{}}}"#, insert(records(usize::MAX))));
        let got = rig.received(conn);
        assert_eq!(got.len(), 2, "an answer and one push");
        let counts = got[0].get("data").map(Json::to_text);
        assert_eq!(counts.as_deref(), Some(r#"{"inserted":10000,"skipped":0,"replaced":0}"#));
        // A failure uses up no numbers.
        let first = ask(&mut rig, conn, r#""type":"store.first","bucket":"b","n":1"#);
        assert!(first.starts_with(r#"[{"n":1"#) && first.contains(r#""id":1,"#), "{first}");
    }
}

#[test]
fn many_are_changed_and_deleted_by_a_filter() {
    let (mut rig, conn) = with_bucket(UNIQUE);
    let many: Vec<String> =
        (0..10).map(|at| format!(r#"{{"id":"{at}","u":{at},"g":{}}}"#, at % 2)).collect();
    let insert = format!(r#""type":"store.insertMany","bucket":"b","data":[{}]"#, many.join(","));
    ask(&mut rig, conn, &insert);
    let mut run =
        |request: &str| bare(&ask(&mut rig, conn, &format!(r#""type":"store.{request}"#)));
    assert_eq!(run(r#"updateMany","bucket":"b","filter":{"g":1},"data":{"n":1},"limit":3"#), "3");
    assert_eq!(run(r#"count","bucket":"b","filter":{"n":1}"#), "3");
    assert_eq!(
        run(r#"where","bucket":"b","filter":{"n":1}"#),
        r#"[{"id":"1","u":1,"g":1,"n":1},{"id":"3","u":3,"g":1,"n":1},{"id":"5","u":5,"g":1,"n":1}]"#
    );
    // Unique values may be exchanged: the end decides.
    assert_eq!(run(r#"updateMany","bucket":"b","filter":{},"apply":{"u":{"$inc":1}}"#), "10");
    assert_eq!(
        run(r#"updateMany","bucket":"b","filter":{"g":0},"data":{"u":3}"#),
        r#"ALREADY_EXISTS Unique constraint violation in bucket "b": field "u" already has value "3""#
    );
    assert_eq!(
        run(r#"updateMany","bucket":"b","filter":{"n":1},"apply":{"n":{"$inc":99}}"#),
        r#"VALIDATION_ERROR Validation failed for bucket "b": n: Maximum value is 99"#
    );
    assert_eq!(run(r#"sum","bucket":"b","field":"u""#), "55");
    assert_eq!(run(r#"deleteMany","bucket":"b","filter":{"g":0},"limit":2"#), "2");
    assert_eq!(run(r#"deleteMany","bucket":"b","filter":{"g":7}"#), "0");
    assert_eq!(run(r#"deleteMany","bucket":"b","filter":{}"#), "8");
    let data = r#"VALIDATION_ERROR Missing or invalid "data": expected object"#;
    let filter = r#"VALIDATION_ERROR Missing or invalid "filter": expected object"#;
    let limit = r#"VALIDATION_ERROR Invalid "limit": expected positive integer"#;
    for (request, error) in [
        (r#"updateMany","bucket":"b","filter":{}"#, data),
        (r#"updateMany","bucket":"b","filter":{},"data":[]"#, data),
        (r#"updateMany","bucket":"b","data":{}"#, filter),
        (r#"deleteMany","bucket":"b""#, filter),
        (r#"deleteMany","bucket":"b","filter":null"#, filter),
        (r#"deleteMany","bucket":"none","filter":{},"limit":0"#, limit),
        (r#"updateMany","bucket":"none","filter":{},"data":{},"limit":1.5"#, limit),
        (r#"updateMany","bucket":"none","filter":{},"data":{},"limit":"1""#, limit),
        (
            r#"deleteMany","bucket":"none","filter":{}"#,
            r#"BUCKET_NOT_DEFINED Bucket "none" is not defined"#,
        ),
        (
            r#"deleteMany","filter":{}"#,
            r#"VALIDATION_ERROR Missing or invalid "bucket": expected non-empty string"#,
        ),
    ] {
        assert_eq!(run(request), error, "{request}");
    }
}

#[test]
fn old_and_new_steps_of_a_transaction_see_each_other() {
    let (mut rig, conn) = with_bucket(UNIQUE);
    ask(&mut rig, conn, r#""type":"store.insert","bucket":"b","data":{"id":"0","u":0}"#);
    let steps = |last: &str| {
        format!(
            r#""type":"store.transaction","operations":[
            {{"op":"insert","bucket":"b","data":{{"id":"1","u":1}}}},
            {{"op":"insertMany","bucket":"b","data":[{{"id":"2","u":2}},{{"id":"3","u":3}}],"answer":"keys"}},
            {{"op":"upsert","bucket":"b","data":{{"id":"1"}},"apply":{{"u":{{"$set":9}}}},"detail":true}},
            {{"op":"updateMany","bucket":"b","filter":{{"u":{{"$lt":3}}}},"apply":{{"n":{{"$inc":1}}}}}},
            {{"op":"insertMany","bucket":"b","data":[{{"id":"0","u":1}},{{"id":"2","u":0}}],"onConflict":"replace","answer":"counts"}},
            {{"op":"deleteMany","bucket":"b","filter":{{"u":{{"$gt":2}}}},"limit":1}},
            {{"op":"where","bucket":"b","filter":{{}}}}{last}]"#
        )
    };
    let exists = steps(r#",{"op":"insertMany","bucket":"b","data":[{"id":"2"}]}"#);
    assert_eq!(
        ask(&mut rig, conn, &exists),
        r#"ALREADY_EXISTS data[0]: Record with key "2" already exists in bucket "b""#
    );
    assert_eq!(count(&mut rig, conn), "1");
    let got = bare(&ask(&mut rig, conn, &steps("")));
    assert_eq!(
        got,
        r#"{"results":[{"index":0,"data":{"id":"1","u":1}},{"index":1,"data":["2","3"]},{"index":2,"data":{"record":{"id":"1","u":9},"created":false}},{"index":3,"data":2},{"index":4,"data":{"inserted":0,"skipped":0,"replaced":2}},{"index":5,"data":1},{"index":6,"data":[{"id":"2","u":0},{"id":"3","u":3},{"id":"0","u":1}]}]}"#
    );
    let known = "operations[0]: invalid \"op\" — expected one of: get, insert, update, delete, where, findOne, count";
    for step in [
        r#"{"op":"upsert","bucket":"b"}"#,
        r#"{"op":"insertMany","data":[]}"#,
        r#"{"op":"insertMany","bucket":"b","data":null}"#,
        r#"{"op":"updateMany","bucket":"b","filter":{}}"#,
        r#"{"op":"updateMany","bucket":"b","data":{}}"#,
        r#"{"op":"deleteMany","bucket":"b"}"#,
    ] {
        let request = format!(r#""type":"store.transaction","operations":[{step}]"#);
        assert_eq!(ask(&mut rig, conn, &request), format!("VALIDATION_ERROR {known}"), "{step}");
    }
    for (step, error) in [
        (
            r#"{"op":"insertMany","bucket":"b","data":{}}"#,
            r#"Missing or invalid "data": expected array"#,
        ),
        (r#"{"op":"insertMany","bucket":"b","data":[1]}"#, "data[0]: expected object"),
        (
            r#"{"op":"deleteMany","bucket":"b","filter":1}"#,
            r#""deleteMany" requires "filter" object"#,
        ),
        (
            r#"{"op":"deleteMany","bucket":"b","filter":{},"limit":0}"#,
            r#"Invalid "limit": expected positive integer"#,
        ),
    ] {
        let request = format!(r#""type":"store.transaction","operations":[{step}]"#);
        assert_eq!(
            ask(&mut rig, conn, &request),
            format!("VALIDATION_ERROR operations[0]: {error}")
        );
    }
}

#[test]
fn procedures_write_many() {
    for transaction in [false, true] {
        let (mut rig, conn) = with_bucket(UNIQUE);
        let procedure = format!(
            r#""type":"procedures.register","procedure":{{"name":"p","transaction":{transaction},"steps":[
            {{"action":"store.insertMany","bucket":"b","data":"{{{{ input.records }}}}","answer":"counts","as":"in"}},
            {{"action":"store.upsert","bucket":"b","data":{{"id":"{{{{ input.id }}}}"}},"apply":{{"n":{{"$inc":"{{{{ input.by }}}}"}}}},"onInsert":{{"by":"{{{{ input.none }}}}"}},"detail":true,"as":"up"}},
            {{"action":"store.updateMany","bucket":"b","filter":{{"u":{{"$gte":"{{{{ input.from }}}}"}}}},"apply":{{"n":{{"$inc":1}}}},"as":"changed"}},
            {{"action":"store.deleteMany","bucket":"b","filter":{{"u":"{{{{ input.none }}}}"}},"as":"gone"}},
            {{"action":"return","value":["{{{{ in.inserted }}}}","{{{{ up.created }}}}","{{{{ changed }}}}","{{{{ gone }}}}"]}}]}}"#
        );
        ask(&mut rig, conn, &procedure);
        let call = |records: &str| {
            format!(
                r#""type":"procedures.call","name":"p","input":{{"records":{records},"id":"x","by":5,"from":2}}"#
            )
        };
        let got =
            ask(&mut rig, conn, &call(r#"[{"id":"1","u":1},{"id":"2","u":2},{"id":"3","u":3}]"#));
        // What is undefined matches records without the field: the new one.
        assert!(got.contains(r#""result":[3,true,2,1]"#), "{got}");
        let bad = ask(&mut rig, conn, &call(r#"[{"id":"4","u":4},{"id":"5","u":4}]"#));
        assert_eq!(
            bad,
            r#"ALREADY_EXISTS data[1]: Unique constraint violation in bucket "b": field "u" already has value "4""#
        );
        let bad = ask(&mut rig, conn, &call("7"));
        assert_eq!(bad, r#"VALIDATION_ERROR Missing or invalid "data": expected array"#);
        assert_eq!(count(&mut rig, conn), "3");
    }
}
