//! Every operator on every type of value, against a naive interpreter.

use super::*;

const VALUES: [&str; 22] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-7.5",
    "1e308",
    "-1e308",
    "9007199254740993",
    "1e999",
    r#""""#,
    r#""a""#,
    r#""\ud83d\ude00""#,
    r#""\uffee""#,
    "[]",
    "[1,2,3]",
    r#"[[1],{"a":1},null]"#,
    "{}",
    r#"{"a":1}"#,
    r#"{"a":1,"b":[2]}"#,
    "missing",
];

/// What the operator makes of a value, `None`: nothing is there. `Err`: the
/// end of the message.
fn naive(
    op: &str,
    v: &Json,
    keep: Option<i64>,
    old: Option<&Json>,
) -> Result<Option<Json>, String> {
    let kind = |value: Option<&Json>| match value {
        None => "missing",
        Some(Json::Null) => "null",
        Some(Json::Bool(_)) => "boolean",
        Some(Json::Number(_)) => "number",
        Some(Json::String(_)) => "string",
        Some(Json::Array(_)) => "array",
        Some(Json::Object(_)) => "object",
    };
    let wrong = |what: &str| Err(format!("expected {what}, found {}", kind(old)));
    let there = old.filter(|value| !value.is_null());
    let finite = |n: f64| match n.is_finite() {
        true => Ok(Some(Json::Number(n))),
        false => Err("the result is no finite number".into()),
    };
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    match op {
        "$inc" => match there {
            None => finite(0.0 + v.as_number().expect("a number")),
            Some(Json::Number(n)) => finite(n + v.as_number().expect("a number")),
            Some(_) => wrong("number"),
        },
        "$mul" => match old {
            Some(Json::Number(n)) => finite(n * v.as_number().expect("a number")),
            _ => wrong("number"),
        },
        "$min" | "$max" => {
            let smaller = match (there, v) {
                (None, _) => return Ok(Some(v.clone())),
                (Some(Json::Number(a)), Json::Number(b)) => (b < a, b > a),
                (Some(Json::String(a)), Json::String(b)) => {
                    (units(b) < units(a), units(b) > units(a))
                }
                (_, Json::Number(_)) => return wrong("number"),
                _ => return wrong("string"),
            };
            let takes = if op == "$min" { smaller.0 } else { smaller.1 };
            Ok(Some(if takes { v.clone() } else { there.expect("there").clone() }))
        }
        "$set" => Ok(Some(v.clone())),
        "$unset" => Ok(None),
        "$now" => Ok(Some(Json::Number(1_800_000_000_000.0))),
        _ => {
            let mut list = match there {
                None => Vec::new(),
                Some(Json::Array(list)) => list.clone(),
                Some(_) => return wrong("array"),
            };
            match op {
                "$push" => list.push(v.clone()),
                "$pushAll" => list.extend(v.as_array().expect("an array").iter().cloned()),
                "$addToSet" if list.iter().all(|have| have != v) => list.push(v.clone()),
                "$addToSet" => {}
                "$pull" => {
                    if there.is_none() {
                        return Ok(old.cloned());
                    }
                    list.retain(|have| have != v);
                }
                other => panic!("{other}"),
            }
            if let Some(keep) = keep {
                while list.len() as u64 > keep.unsigned_abs() {
                    if keep < 0 {
                        list.pop()
                    } else {
                        Some(list.remove(0))
                    };
                }
            }
            Ok(Some(Json::Array(list)))
        }
    }
}

fn json(text: &str) -> Json {
    crate::json::parse(text, 64).expect("JSON").to_json()
}

#[test]
fn every_operator_on_every_value_does_what_a_naive_interpreter_does() {
    let (mut rig, conn) = with_bucket(PLAIN);
    let mut operators: Vec<(&str, String, Option<i64>)> = Vec::new();
    for operand in VALUES.iter().filter(|text| **text != "missing") {
        let value = json(operand);
        let is_number = value.as_number().is_some();
        let mut add = |op, keep| operators.push((op, (*operand).to_owned(), keep));
        for op in ["$addToSet", "$pull", "$set", "$push"] {
            add(op, None);
        }
        if is_number {
            add("$inc", None);
            add("$mul", None);
        }
        if is_number || value.as_str().is_some() {
            add("$min", None);
            add("$max", None);
        }
        if value.as_array().is_some() {
            for keep in [None, Some(0), Some(1), Some(2), Some(-1), Some(-2), Some(100)] {
                add("$pushAll", keep);
            }
        }
    }
    for keep in [0, 1, 3, -1, -3, 9] {
        operators.push(("$push", "7".into(), Some(keep)));
    }
    operators.push(("$unset", "true".into(), None));
    operators.push(("$now", "true".into(), None));
    let mut compared = 0;
    for old in VALUES {
        let stored = (old != "missing").then(|| json(old));
        for (op, operand, keep) in &operators {
            let member = if old == "missing" { String::new() } else { format!(r#","f":{old}"#) };
            let insert =
                format!(r#""type":"store.insert","bucket":"b","data":{{"id":"1"{member},"z":1}}"#);
            ask(&mut rig, conn, &insert);
            let kept = keep.map_or(String::new(), |keep| format!(r#","$keep":{keep}"#));
            let apply = format!(r#"{{"f":{{"{op}":{operand}{kept}}}}}"#);
            let update = format!(r#""type":"store.update","bucket":"b","key":"1","apply":{apply}"#);
            let got = bare(&ask(&mut rig, conn, &update));
            let want = match naive(op, &json(operand), *keep, stored.as_ref()) {
                Err(reason) => {
                    format!("VALIDATION_ERROR Cannot apply {op} to field \"f\": {reason}")
                }
                Ok(value) => {
                    let mut record: crate::json::Object =
                        [("id", Json::from("1"))].into_iter().collect();
                    let before = stored.is_some();
                    match value {
                        Some(value) if before => {
                            record.insert("f", value);
                            record.insert("z", Json::Number(1.0));
                        }
                        value => {
                            record.insert("z", Json::Number(1.0));
                            value.map(|value| record.insert("f", value));
                        }
                    }
                    Json::Object(record).to_text()
                }
            };
            assert_eq!(json_or(&got), json_or(&want), "{apply} on {old}");
            compared += 1;
        }
    }
    assert!(compared > 3000, "{compared}");
}

/// Members in any order: a new field stands behind the metadata.
fn json_or(text: &str) -> Json {
    match text.starts_with('{') {
        true => json(text),
        false => Json::from(text),
    }
}

#[test]
fn what_is_no_operator_is_refused_before_the_bucket_is_looked_for() {
    let (mut rig, conn) = rig();
    let all = "$inc, $mul, $min, $max, $push, $pushAll, $addToSet, $pull, $set, $unset, $now";
    let unknown = |op: &str| format!("Unknown operator \"{op}\" (expected one of: {all})");
    let one = "Invalid \"apply\": expected one operator for field \"f\"".to_owned();
    let of = |what: &str, op: &str| {
        format!("Invalid \"apply\": expected {what} for {op} of field \"f\"")
    };
    for (apply, message) in [
        ("[]", "Invalid \"apply\": expected object".to_owned()),
        ("1", "Invalid \"apply\": expected object".to_owned()),
        (r#"{"f":1}"#, one.clone()),
        (r#"{"f":null}"#, one.clone()),
        (r#"{"f":[]}"#, one.clone()),
        (r#"{"f":{}}"#, one.clone()),
        (r#"{"f":{"$keep":1}}"#, one.clone()),
        (r#"{"f":{"$inc":1,"$mul":2}}"#, one.clone()),
        (r#"{"f":{"$inc":1,"$keep":2}}"#, one),
        (r#"{"f":{"$add":1}}"#, unknown("$add")),
        (r#"{"f":{"inc":1}}"#, unknown("inc")),
        (r#"{"f":{"$inc":"1"}}"#, of("number", "$inc")),
        (r#"{"f":{"$mul":null}}"#, of("number", "$mul")),
        (r#"{"f":{"$min":true}}"#, of("number or string", "$min")),
        (r#"{"f":{"$max":[]}}"#, of("number or string", "$max")),
        (r#"{"f":{"$pushAll":1}}"#, of("array", "$pushAll")),
        (r#"{"f":{"$push":1,"$keep":1.5}}"#, of("integer", "$keep")),
        (r#"{"f":{"$push":1,"$keep":"1"}}"#, of("integer", "$keep")),
        (r#"{"f":{"$unset":false}}"#, of("true", "$unset")),
        (r#"{"f":{"$now":1}}"#, of("true", "$now")),
    ] {
        let update = format!(r#""type":"store.update","bucket":"none","key":"1","apply":{apply}"#);
        assert_eq!(ask(&mut rig, conn, &update), format!("VALIDATION_ERROR {message}"), "{apply}");
        let step = format!(
            r#""type":"store.transaction","operations":[{{"op":"update","bucket":"none","key":"1","apply":{apply}}}]"#
        );
        let message = format!("VALIDATION_ERROR operations[0]: {message}");
        assert_eq!(ask(&mut rig, conn, &step), message, "{apply}");
    }
    let both = r#""type":"store.update","bucket":"none","key":"1","data":{"a":1,"f":2},"apply":{"f":{"$inc":1}}"#;
    assert_eq!(ask(&mut rig, conn, both), "VALIDATION_ERROR Field \"f\" is in both data and apply");
    for (members, message) in [
        ("", "Missing or invalid \"data\": expected object"),
        (r#","apply":null"#, "Missing or invalid \"data\": expected object"),
        (r#","data":1,"apply":{}"#, "Missing or invalid \"data\": expected object"),
        (r#","data":null,"apply":{}"#, "Bucket \"none\" is not defined"),
    ] {
        let update = format!(r#""type":"store.update","bucket":"none","key":"1"{members}"#);
        assert!(ask(&mut rig, conn, &update).ends_with(message), "{members}");
    }
}

#[test]
fn the_schema_decides_about_what_operators_make() {
    let (mut rig, conn) = with_bucket(
        r#"{"key":"id","schema":{"id":{"type":"string"},"at":{"type":"string"},"ms":{"type":"number"},
            "made":{"type":"number","generated":"timestamp"},"must":{"type":"number","required":true,"max":9},
            "u":{"type":"number","unique":true},"to":{"type":"string","ref":"b"}}}"#,
    );
    for id in 1..=2 {
        let insert = format!(
            r#""type":"store.insert","bucket":"b","data":{{"id":"{id}","must":1,"u":{id},"made":5}}"#
        );
        ask(&mut rig, conn, &insert);
    }
    let mut apply = |apply: &str| {
        let update = format!(r#""type":"store.update","bucket":"b","key":"1","apply":{apply}"#);
        bare(&ask(&mut rig, conn, &update))
    };
    // Passed over: the key, what is generated, what only the store writes.
    assert_eq!(
        apply(
            r#"{"id":{"$set":"9"},"made":{"$inc":1},"_version":{"$set":70},"_createdAt":{"$push":1},"must":{"$inc":1}}"#
        ),
        r#"{"id":"1","must":2,"u":1,"made":5}"#
    );
    assert_eq!(
        apply(r#"{"at":{"$now":true},"ms":{"$now":true},"else":{"$now":true}}"#),
        r#"{"id":"1","must":2,"u":1,"made":5,"at":"2027-01-15T08:00:00.000Z","ms":1800000000000,"else":1800000000000}"#
    );
    for (operators, error) in [
        (r#"{"must":{"$unset":true}}"#, "must: Field is required"),
        (r#"{"must":{"$inc":8}}"#, "must: Maximum value is 9"),
        (r#"{"u":{"$inc":1}}"#, "field \"u\" already has value \"2\""),
        (r#"{"to":{"$set":"3"}}"#, "with key \"3\", but no such record exists"),
        (r#"{"u":{"$push":1}}"#, "Cannot apply $push to field \"u\": expected array, found number"),
    ] {
        let got = apply(operators);
        assert!(got.ends_with(error), "{operators}: {got}");
    }
    assert!(apply(r#"{"to":{"$set":"2"}}"#).contains(r#""to":"2""#));
    let row = ask(
        &mut rig,
        conn,
        r#""type":"store.update","bucket":"b","key":"1","apply":{"_expiresAt":{"$set":1900000000000},"to":{"$unset":true}}"#,
    );
    assert!(row.contains(r#""_expiresAt":1900000000000"#) && !row.contains(r#""to""#), "{row}");
}
