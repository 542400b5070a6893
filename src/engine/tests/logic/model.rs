//! Random data under live views and group constraints, against nested loops.

use super::*;
use crate::json::Object;
use crate::testing::cases;

/// A generator of numbers that is good enough for tests.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

const JOINED: &str = r#""name":"j","from":{"a":"a","b":"b","c":"c"},"join":{"a.k":"b.k","c.m":"b.m"},
    "where":{"$or":[{"a.n":{"$gte":2}},{"b.n":{"$exists":false}}]},
    "select":{"a":"a.id","b":"b.id","c":"c.id","n":"a.n"},
    "orderBy":[{"field":"n","direction":"desc"},{"field":"b.n"}],"limit":7,"reactive":true"#;

const GROUPED: &str = r#""name":"g","from":{"a":"a","b":"b"},"join":{"a.k":"b.k"},"groupBy":["a.k","b.m"],
    "select":{"k":"a.k","m":"b.m","first":"b.id","n":{"$count":"*"},"sum":{"$sum":"a.n"},
    "avg":{"$avg":"b.n"},"min":{"$min":"a.n"},"max":{"$max":"b.n"}},"reactive":true"#;

type Rows = Vec<Json>;

fn rows(client: &mut Client, bucket: &str) -> Rows {
    let text = client.ask(&format!(r#""type":"store.all","bucket":"{bucket}""#));
    let json = crate::json::parse(&text, 64).expect("JSON").to_json();
    json.as_array().expect("rows").to_vec()
}

fn field<'r>(row: &'r Json, name: &str) -> &'r Json {
    row.get(name).unwrap_or(&Json::Null)
}

fn joins(a: &Json, b: &Json) -> bool {
    matches!(a, Json::Bool(_) | Json::Number(_) | Json::String(_)) && a == b
}

/// The rank of a value among values of an `orderBy`; null is last whatever the
/// direction.
fn compare(a: &Json, b: &Json, descending: bool) -> std::cmp::Ordering {
    let rank = |json: &Json| match json {
        Json::Null => 9,
        Json::Bool(_) => 0,
        Json::Number(_) => 1,
        Json::String(_) => 2,
        _ => 3,
    };
    let order = match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.partial_cmp(b).expect("numbers"),
        (Json::String(a), Json::String(b)) => a.cmp(b),
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    };
    if descending && !a.is_null() && !b.is_null() { order.reverse() } else { order }
}

fn joined(a: &Rows, b: &Rows, c: &Rows) -> Json {
    let mut found: Vec<(Json, Json, Json)> = Vec::new();
    for a in a {
        for b in b {
            for c in c {
                let matches =
                    field(a, "n").as_number().is_some_and(|n| n >= 2.0) || field(b, "n").is_null();
                if joins(field(a, "k"), field(b, "k"))
                    && joins(field(c, "m"), field(b, "m"))
                    && matches
                {
                    let row: Object = [("a", a), ("b", b), ("c", c)]
                        .into_iter()
                        .map(|(name, row)| (name, field(row, "id").clone()))
                        .chain([("n", field(a, "n").clone())])
                        .collect();
                    found.push((field(a, "n").clone(), field(b, "n").clone(), Json::Object(row)));
                }
            }
        }
    }
    found.sort_by(|x, y| compare(&x.0, &y.0, true).then(compare(&x.1, &y.1, false)));
    Json::Array(found.into_iter().take(7).map(|(_, _, row)| row).collect())
}

fn grouped(a: &Rows, b: &Rows) -> Json {
    type Members<'r> = Vec<(&'r Json, &'r Json)>;
    let mut groups: Vec<((&Json, &Json), Members<'_>)> = Vec::new();
    for a in a {
        for b in b.iter().filter(|b| joins(field(a, "k"), field(b, "k"))) {
            let key = (field(a, "k"), field(b, "m"));
            match groups.iter_mut().find(|(have, _)| *have == key) {
                Some((_, members)) => members.push((a, b)),
                None => groups.push((key, vec![(a, b)])),
            }
        }
    }
    let rows = groups.into_iter().map(|((k, m), members)| {
        let numbers = |of: &dyn Fn(&(&Json, &Json)) -> Json| -> Vec<f64> {
            members.iter().filter_map(|member| of(member).as_number()).collect()
        };
        let a_n = numbers(&|(a, _)| field(a, "n").clone());
        let b_n = numbers(&|(_, b)| field(b, "n").clone());
        let mut all: Vec<Json> = members.iter().map(|(a, _)| field(a, "n").clone()).collect();
        all.retain(|value| matches!(value, Json::Number(_) | Json::String(_)));
        all.sort_by(|a, b| compare(a, b, false));
        let mut others: Vec<Json> = members.iter().map(|(_, b)| field(b, "n").clone()).collect();
        others.retain(|value| matches!(value, Json::Number(_) | Json::String(_)));
        others.sort_by(|a, b| compare(a, b, false));
        let average = match b_n.len() {
            0 => Json::Null,
            len => Json::Number(b_n.iter().sum::<f64>() / len as f64),
        };
        let row: Object = [
            ("k", k.clone()),
            ("m", m.clone()),
            ("first", field(members[0].1, "id").clone()),
            ("n", Json::Number(members.len() as f64)),
            ("sum", Json::Number(a_n.iter().fold(0.0, |sum, n| sum + n))),
            ("avg", average),
            ("min", all.first().cloned().unwrap_or_default()),
            ("max", others.last().cloned().unwrap_or_default()),
        ]
        .into_iter()
        .collect();
        Json::Object(row)
    });
    Json::Array(rows.collect())
}

fn step(client: &mut Client, random: &mut Random) {
    let data = |random: &mut Random, id: u64| {
        let n = random.pick(&["0", "1", "2.5", "0.1", "3", "null", "\"x\"", "true", "1e300"]);
        let k = random.pick(&["1", "2", "\"1\"", "true", "null", "[1]"]);
        let m = random.pick(&["1", "2", "\"y\"", "null"]);
        let absent = random.below(4) == 0;
        let n = if absent { String::new() } else { format!(r#","n":{n}"#) };
        format!(r#"{{"id":{id},"k":{k},"m":{m}{n}}}"#)
    };
    let operation = |random: &mut Random| {
        let (bucket, id) = (random.pick(&["a", "b", "c"]), random.below(6));
        let record = data(random, id);
        match random.below(4) {
            0 => format!(r#"{{"op":"delete","bucket":"{bucket}","key":{id}}}"#),
            1 => format!(r#"{{"op":"update","bucket":"{bucket}","key":{id},"data":{record}}}"#),
            _ => format!(r#"{{"op":"insert","bucket":"{bucket}","data":{record}}}"#),
        }
    };
    match random.below(20) {
        0 => {
            let bucket = random.pick(&["a", "b", "c"]);
            client.ask(&format!(r#""type":"store.clear","bucket":"{bucket}""#));
        }
        1 => {
            let bucket = random.pick(&["a", "b"]);
            client.ask(&format!(r#""type":"store.dropBucket","name":"{bucket}""#));
            client.bucket(bucket, "");
        }
        2..=6 => {
            let all: Vec<String> = (0..3).map(|_| operation(random)).collect();
            let all = all.join(",");
            client.ask(&format!(r#""type":"store.transaction","operations":[{all}]"#));
        }
        7..=9 => {
            let (bucket, id) = (random.pick(&["a", "b", "c"]), random.below(6));
            client.delete(bucket, id as u32);
        }
        _ => {
            let (bucket, id) = (random.pick(&["a", "b", "c"]), random.below(6));
            let record = data(random, id);
            client.insert(bucket, &record);
        }
    }
}

#[test]
fn live_views_are_what_nested_loops_find() {
    for seed in 0..cases(25) {
        let mut random = Random(seed * 7 + 1);
        let mut client = Client::new();
        for bucket in ["a", "b", "c"] {
            client.bucket(bucket, "");
        }
        for view in [JOINED, GROUPED] {
            let answer =
                client.ask(&format!(r#""type":"logic.defineView","definition":{{{view}}}"#));
            assert!(answer.contains("defined"), "{answer}");
        }
        for name in ["j", "g"] {
            client.ask(&format!(r#""type":"logic.subscribeView","name":"{name}""#));
        }
        client.rig.advance(20);
        let mut shown = ["[]".to_owned(), "[]".to_owned()];
        for _ in 0..60 {
            client.rig.received(client.conn);
            step(&mut client, &mut random);
            for message in client.rig.received(client.conn) {
                let id = message.get("subscriptionId").and_then(Json::as_str);
                let at = usize::from(id == Some("sub-2"));
                let data = message.get("data").map(Json::to_text);
                if id.is_some() {
                    assert_ne!(data.as_ref(), Some(&shown[at]), "a push without a change");
                    shown[at] = data.unwrap_or_default();
                }
            }
            let [a, b, c] = ["a", "b", "c"].map(|bucket| rows(&mut client, bucket));
            let expected = [joined(&a, &b, &c), grouped(&a, &b)];
            for (at, name) in ["j", "g"].iter().enumerate() {
                let text = client.ask(&format!(r#""type":"logic.queryView","name":"{name}""#));
                assert_eq!(text, expected[at].to_text(), "seed {seed}, view {name}");
            }
        }
    }
}

#[test]
fn a_group_is_refused_exactly_when_a_fresh_sum_says_so() {
    let constraint = r#""type":"logic.defineConstraint","constraint":{"name":"c","on":"a","scope":"group",
        "groupBy":"k","operations":["insert","update","delete"],"message":"No",
        "expr":{"$and":[{"$lte":[{"$sum":"n"},5]},{"$lte":[{"$count":"*"},3]}]}}"#;
    for seed in 0..25 {
        let mut random = Random(seed * 13 + 5);
        let mut client = Client::new();
        client.bucket("a", "");
        assert!(client.ask(constraint).contains("defined"));
        for _ in 0..80 {
            let before = rows(&mut client, "a");
            let (id, k) = (random.below(8), random.pick(&["1", "2", "null"]));
            let n = random.pick(&["1", "0.1", "2.7", "-1", "null", "4"]);
            let record = format!(r#"{{"id":{id},"k":{k},"n":{n}}}"#);
            let answer = match random.below(4) {
                0 => client.delete("a", id as u32),
                1 => client.update("a", id as u32, &record),
                _ => client.insert("a", &record),
            };
            // Whatever was accepted is within the bounds, group by group.
            let after = rows(&mut client, "a");
            let key = |row: &Json| field(row, "k").to_text();
            for group in ["1", "2", "null"] {
                let members: Vec<&Json> = after.iter().filter(|row| key(row) == group).collect();
                let sum: f64 = members.iter().filter_map(|row| field(row, "n").as_number()).sum();
                assert!(sum <= 5.0 && members.len() <= 3, "seed {seed}: {group} {members:?}");
            }
            if answer.starts_with("VALIDATION_ERROR No") {
                assert_eq!(before, after, "refused, nothing has changed");
            }
        }
    }
}
