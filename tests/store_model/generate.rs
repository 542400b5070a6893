//! Requests out of bytes: small domains, so that keys, values and references
//! meet often. Fewer and smaller bytes give simpler requests, which is what
//! shrinking a failure looks for.

use noexd::json::{Json, Object};

use super::object;

pub const BUCKETS: [&str; 3] = ["a", "b.c", "d"];

/// Choices read from bytes; 0 for ever when they are used up.
pub struct Bytes<'b>(pub &'b [u8]);

impl Bytes<'_> {
    pub fn below(&mut self, limit: usize) -> usize {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                usize::from(first) % limit
            }
            None => 0,
        }
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

fn text(value: &str) -> Json {
    Json::from(value)
}

/// What references lead to: mostly one bucket, so that it has many referrers.
const TARGETS: [&str; 5] = ["a", "a", "a", "b.c", "d"];

/// The type of a bucket's keys.
pub fn key_type(bucket: &str) -> &'static str {
    if bucket == "d" { "number" } else { "string" }
}

pub fn definition(bucket: &str, bytes: &mut Bytes<'_>) -> Object {
    let mut key = Object::new();
    key.insert("type", text(key_type(bucket)));
    if bucket == "d" && bytes.below(2) == 0 {
        key.insert("generated", text("autoincrement"));
    }
    if bytes.chance(6) {
        key.insert("unique", Json::Bool(true));
    }
    let mut schema = Object::new();
    schema.insert("id", Json::Object(key));
    for name in ["n", "s", "g", "r"] {
        if bytes.below(5) != 4 {
            schema.insert(name, Json::Object(field(name, bytes)));
        }
    }
    if bytes.chance(4) {
        let stamp = [("type", text("number")), ("generated", text("timestamp"))];
        schema.insert("t", object(stamp));
    }
    let mut definition = Object::new();
    definition.insert("key", text("id"));
    let indexes: Vec<Json> = schema.keys().filter(|_| bytes.below(2) == 1).map(text).collect();
    if !indexes.is_empty() {
        definition.insert("indexes", Json::Array(indexes));
    }
    if bytes.chance(3) {
        definition.insert("etsType", text("ordered_set"));
    }
    if bytes.chance(5) {
        definition.insert("ttl", Json::Number(30.0));
    }
    if bytes.chance(5) {
        definition.insert("maxSize", Json::Number(bytes.below(4) as f64));
    }
    if bytes.chance(8) {
        definition.insert("onDuplicateKey", text("error"));
    }
    definition.insert("schema", Json::Object(schema));
    definition
}

fn field(name: &str, bytes: &mut Bytes<'_>) -> Object {
    let mut field = Object::new();
    let mut set = |name: &str, value: Json| drop(field.insert(name, value));
    match name {
        "n" => {
            set("type", text("number"));
            if bytes.chance(4) {
                set("min", Json::Number(0.0));
            }
            if bytes.chance(4) {
                set("default", Json::Number(1.0));
            }
            if bytes.chance(4) {
                set("unique", Json::Bool(true));
            }
        }
        "s" => {
            set("type", text("string"));
            if bytes.chance(4) {
                set("enum", Json::Array(["", "a", "B", "10"].map(text).to_vec()));
            }
            if bytes.chance(4) {
                set("maxLength", Json::Number(1.0));
            }
            if bytes.chance(6) {
                set("required", Json::Bool(true));
            }
        }
        "g" => {
            set("type", bytes.pick(&[text("string"), text("date")]));
            if bytes.chance(4) {
                set("unique", Json::Bool(true));
            }
        }
        _ => {
            let target = bytes.pick(&TARGETS);
            set("type", text(key_type(target)));
            set("ref", text(target));
            let policy = bytes.below(4);
            if policy < 3 {
                set("onDelete", text(["restrict", "cascade", "set_null"][policy]));
            }
        }
    }
    field
}

pub fn key(bucket: &str, bytes: &mut Bytes<'_>) -> Json {
    if bytes.below(16) == 15 {
        // Only ASCII: the model knows no other collation.
        let strange = value(bytes);
        let ascii = strange.as_str().is_none_or(str::is_ascii);
        return if ascii { strange } else { text("_x") };
    }
    match key_type(bucket) {
        "string" => text(bytes.pick(&["a", "b", "10", "9"])),
        _ => Json::Number(1.0 + bytes.below(4) as f64),
    }
}

/// Any value; the last ones are seldom equal to anything.
fn value(bytes: &mut Bytes<'_>) -> Json {
    match bytes.below(20) {
        0 => Json::Number(1.0),
        1 => text("a"),
        2 => Json::Number(0.0),
        3 => Json::Null,
        4 => text(""),
        5 => Json::Number(2.0),
        6 => text("10"),
        7 => Json::Number(-1.0),
        8 => text("B"),
        9 => Json::Bool(true),
        10 => text("é"),
        11 => Json::Number(1.5),
        12 => Json::Bool(false),
        13 => text("\u{1f600}"),
        14 => text("\u{e000}"),
        15 => Json::Array(vec![Json::Number(2.0)]),
        16 => Json::Number(10.0),
        17 => Json::Array(vec![text("a"), Json::Null]),
        18 => object([("a", Json::Number(1.0))]),
        _ => Json::Number(1e21),
    }
}

fn fitting(name: &str, bytes: &mut Bytes<'_>) -> Json {
    match (name, bytes.below(12)) {
        (_, 11) => value(bytes),
        (_, 10) => Json::Null,
        ("n", _) => Json::Number(bytes.below(6) as f64),
        ("s", _) => text(bytes.pick(&["a", "", "B", "10", "b"])),
        ("g", _) => text(bytes.pick(&["x", "y", "z", "\u{1f600}"])),
        ("r", _) => {
            let target = bytes.pick(&TARGETS);
            key(target, bytes)
        }
        _ => value(bytes),
    }
}

fn data(bucket: &str, insert: bool, bytes: &mut Bytes<'_>) -> Json {
    let mut data = Object::new();
    if insert && bytes.below(8) != 7 || !insert && bytes.chance(8) {
        data.insert("id", key(bucket, bytes));
    }
    for name in ["n", "s", "g", "r", "x"] {
        if bytes.below(3) > 0 {
            data.insert(name, fitting(name, bytes));
        }
    }
    if bytes.chance(10) {
        data.insert("_expiresAt", Json::Number(1_800_000_000_000.0 + bytes.below(200) as f64));
    }
    if bytes.chance(20) {
        data.insert("_version", Json::Number(7.0));
    }
    Json::Object(data)
}

const FIELDS: [&str; 8] = ["n", "s", "g", "r", "x", "id", "_version", "missing"];

pub fn filter(depth: usize, bytes: &mut Bytes<'_>) -> Object {
    let mut filter = Object::new();
    for _ in 0..1 + bytes.below(2) {
        if depth > 0 && bytes.chance(4) {
            let name = bytes.pick(&["$or", "$and"]);
            let parts = (0..bytes.below(3)).map(|_| Json::Object(self::filter(depth - 1, bytes)));
            let parts = Json::Array(parts.collect());
            filter.insert(name, parts);
            continue;
        }
        let field = bytes.pick(&FIELDS);
        let condition = match bytes.below(3) {
            0 => fitting(field, bytes),
            1 => value(bytes),
            _ => Json::Object(operators(field, bytes)),
        };
        filter.insert(field, condition);
    }
    filter
}

fn operators(field: &str, bytes: &mut Bytes<'_>) -> Object {
    let mut operators = Object::new();
    for _ in 0..1 + bytes.below(2) {
        let operand = |bytes: &mut Bytes<'_>| {
            if bytes.below(3) == 0 { value(bytes) } else { fitting(field, bytes) }
        };
        let name = bytes.pick(&[
            "$eq",
            "$neq",
            "$gt",
            "$gte",
            "$lt",
            "$lte",
            "$in",
            "$nin",
            "$between",
            "$exists",
            "$contains",
            "$startsWith",
            "$endsWith",
            "$like",
        ]);
        let operand = match name {
            "$in" | "$nin" => Json::Array((0..bytes.below(4)).map(|_| operand(bytes)).collect()),
            "$between" => Json::Array(vec![operand(bytes), operand(bytes)]),
            "$exists" => Json::Bool(bytes.below(2) == 1),
            "$contains" | "$startsWith" | "$endsWith" => {
                if bytes.chance(12) {
                    value(bytes)
                } else {
                    text(bytes.pick(&["", "A", "1", "É"]))
                }
            }
            // Not an operator: most filters should have none of these.
            "$like" if !bytes.chance(4) => {
                operators.insert("$gte", operand(bytes));
                continue;
            }
            _ => operand(bytes),
        };
        operators.insert(name, operand);
    }
    operators
}

fn request<const N: usize>(operation: &str, members: [(&str, Json); N]) -> Object {
    let mut request: Object = members.into_iter().collect();
    request.insert("type", Json::from(format!("store.{operation}")));
    request
}

fn step(bytes: &mut Bytes<'_>) -> Json {
    let bucket = bytes.pick(&BUCKETS);
    let (op, more) = match bytes.below(12) {
        0..=3 => ("insert", vec![("data", data(bucket, true, bytes))]),
        4..=6 => {
            let key = key(bucket, bytes);
            ("update", vec![("key", key), ("data", data(bucket, false, bytes))])
        }
        7..=8 => ("delete", vec![("key", key(bucket, bytes))]),
        9 => ("get", vec![("key", key(bucket, bytes))]),
        10 => (bytes.pick(&["where", "findOne"]), vec![("filter", Json::Object(filter(1, bytes)))]),
        _ => ("count", Vec::new()),
    };
    let more = more.into_iter().map(|(name, value)| {
        // A transaction's own checks want a key.
        let value = if name == "key" && value.is_null() { Json::Number(1.0) } else { value };
        (name, value)
    });
    let step: Object =
        [("op", text(op)), ("bucket", text(bucket))].into_iter().chain(more).collect();
    Json::Object(step)
}

pub fn any_request(bytes: &mut Bytes<'_>) -> Object {
    let bucket = bytes.pick(&BUCKETS);
    let name = text(bucket);
    let key = |bytes: &mut Bytes<'_>| match key(bucket, bytes) {
        Json::Null => Json::from("a"),
        key => key,
    };
    match bytes.below(32) {
        0..=8 => request("insert", [("bucket", name), ("data", data(bucket, true, bytes))]),
        9..=12 => {
            let key = key(bytes);
            let data = data(bucket, false, bytes);
            request("update", [("bucket", name), ("key", key), ("data", data)])
        }
        13..=15 => request("delete", [("bucket", name), ("key", key(bytes))]),
        16..=19 => {
            let steps = (0..1 + bytes.below(6)).map(|_| step(bytes)).collect();
            request("transaction", [("operations", Json::Array(steps))])
        }
        20..=23 => {
            let operation = bytes.pick(&["where", "findOne", "count"]);
            request(operation, [("bucket", name), ("filter", Json::Object(filter(2, bytes)))])
        }
        24 => request("get", [("bucket", name), ("key", key(bytes))]),
        25 => {
            let operation = bytes.pick(&["first", "last"]);
            let n = Json::Number(1.0 + bytes.below(4) as f64);
            request(operation, [("bucket", name), ("n", n)])
        }
        26..=27 => {
            let limit = Json::Number(1.0 + bytes.below(3) as f64);
            let mut page = request("paginate", [("bucket", name), ("limit", limit)]);
            if bytes.below(3) > 0 {
                page.insert("after", key(bytes));
            }
            page
        }
        28 => {
            let operation = bytes.pick(&["sum", "avg", "min", "max"]);
            let field = text(bytes.pick(&["n", "x", "_version"]));
            let mut aggregate = request(operation, [("bucket", name), ("field", field)]);
            if bytes.below(2) == 1 {
                aggregate.insert("filter", Json::Object(filter(1, bytes)));
            }
            aggregate
        }
        29 => administration(bucket, bytes),
        30 => request("clear", [("bucket", name)]),
        _ => request("all", [("bucket", name)]),
    }
}

fn administration(bucket: &str, bytes: &mut Bytes<'_>) -> Object {
    let name = text(bucket);
    match bytes.below(8) {
        0..=1 => {
            let config = Json::Object(definition(bucket, bytes));
            request("defineBucket", [("name", name), ("config", config)])
        }
        2 => request("dropBucket", [("name", name)]),
        3..=5 => {
            let mut updates = Object::new();
            if bytes.below(2) == 0 {
                let field = bytes.pick(&["n", "s", "g", "r", "x"]);
                let definition = self::field(if field == "x" { "n" } else { field }, bytes);
                let added = object([(field, Json::Object(definition))]);
                updates.insert("addFields", added);
            }
            if bytes.below(2) == 0 {
                let index = text(bytes.pick(&["n", "s", "g", "r", "x", "t"]));
                updates.insert("addIndexes", Json::Array(vec![index]));
            }
            match bytes.below(4) {
                0 => drop(updates.insert("ttl", Json::Null)),
                1 => drop(updates.insert("ttl", Json::Number(40.0))),
                _ => {}
            }
            request("updateBucket", [("name", name), ("updates", Json::Object(updates))])
        }
        6 => request("getBucketSchema", [("name", name)]),
        _ => request("buckets", []),
    }
}
