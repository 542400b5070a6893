//! Requests that are well formed and mean harm: sizes from a heavy tail,
//! nesting, repetition, products of two lengths, long names and patterns.
//!
//! Knows the operations by name only and nothing else of the crate, because the
//! fuzz target `hostile` includes this file as well.

/// Requests of one connection.
pub const REQUESTS: usize = 40;
/// What a request may take, and how long its answer may be.
pub const STEPS: u64 = 60_000;
pub const REPLY_BYTES: usize = 150_000;
/// Bytes of one request, about.
pub const LENGTH: usize = 60_000;
/// What may be spent at once before anybody looks whether it was there.
pub const OVERSHOOT: u64 = 100_000;
/// What stands around the data of an answer or a push.
pub const ENVELOPE: usize = 500;

/// Where the choices come from: a seed, or what a fuzzer mutates.
pub struct Hostile<D> {
    dice: D,
    /// Bytes that this request may still become longer by, about.
    room: usize,
}

const BUCKETS: [&str; 3] = ["a", "b", "c"];
const FIELDS: [&str; 8] = ["id", "n", "t", "u", "l", "o", "other", "_version"];
const PATTERNS: [&str; 8] = [
    "^(?!x)(a+)+$",
    "(a*)*b",
    "^(a|aa)+$",
    r"(.*)\\1$",
    "[a-z]{1,50}",
    "(?:(?:(?:a?){20}){20}){2}",
    "(?<=a{1,20})b",
    "x",
];

impl<D: FnMut() -> u64> Hostile<D> {
    pub fn new(dice: D) -> Self {
        Hostile { dice, room: 0 }
    }

    pub fn below(&mut self, end: usize) -> usize {
        ((self.dice)() % end.max(1) as u64) as usize
    }

    fn one(&mut self, of: &[&str]) -> String {
        let at = self.below(of.len());
        of.get(at).copied().unwrap_or_default().to_owned()
    }

    fn likely(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Mostly small and now and then up to `most`.
    fn size(&mut self, most: usize) -> usize {
        let bits = most.max(1).ilog2() as usize + 1;
        let bits = if self.likely(70) { self.below(bits.min(4)) } else { self.below(bits + 1) };
        self.below(1 << bits).min(most)
    }

    /// `count` pieces with commas, as far as there is room: all made for
    /// themselves, or one again and again.
    fn list(&mut self, most: usize, piece: &mut dyn FnMut(&mut Self) -> String) -> String {
        let count = self.size(most);
        let mut out = String::new();
        let same = self.likely(40).then(|| piece(self));
        for _ in 0..count {
            let next = same.clone().unwrap_or_else(|| piece(self));
            let Some(room) = self.room.checked_sub(next.len() + 1) else { break };
            self.room = room;
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(&next);
        }
        out
    }

    /// Inside of quotes.
    fn letters(&mut self, most: usize) -> String {
        let piece =
            self.one(&["a", "ab", "zq", "é", "ß", "\\n", "\\\"", "😀", "aaaaaaaa", " ", "İ"]);
        let count = self.size(most.min(self.room) / piece.len());
        self.room = self.room.saturating_sub(count * piece.len());
        piece.repeat(count)
    }

    fn name(&mut self) -> String {
        match self.below(10) {
            0 => self.letters(400),
            1 => "q".repeat(255 + self.below(4)),
            _ => self.one(&["a", "b", "c", "q", "p", "r"]),
        }
    }

    fn bucket(&mut self) -> String {
        if self.likely(95) { self.one(&BUCKETS) } else { self.name() }
    }

    fn field(&mut self) -> String {
        match self.below(20) {
            0 => self.letters(300),
            1 => ["o.x", ".y"].concat().repeat(self.size(40).max(1)),
            _ => self.one(&FIELDS),
        }
    }

    fn key(&mut self) -> String {
        match self.below(8) {
            0 => format!("\"{}\"", self.letters(5000)),
            1 => self.value(2),
            _ => format!("{}", self.size(2000)),
        }
    }

    fn number(&mut self) -> String {
        match self.below(6) {
            0 => "-1e308".into(),
            1 => "1e-9".into(),
            2 => "1e999".into(),
            _ => self.size(100_000).to_string(),
        }
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 7 }) {
            0 => self.number(),
            1 => "null".into(),
            2 => "true".into(),
            3 => format!("\"{}\"", self.letters(20_000)),
            4 => format!("[{}]", self.list(3000, &mut |own| own.value(depth - 1))),
            5 => self.object(depth - 1),
            _ => {
                let levels = self.size(40);
                format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
            }
        }
    }

    fn object(&mut self, depth: usize) -> String {
        let mut number = 0;
        let unique = self.likely(30);
        let members = self.list(1000, &mut |own| {
            number += 1;
            let name = if unique { format!("m{number}") } else { own.field() };
            format!("\"{name}\":{}", own.value(depth))
        });
        format!("{{{members}}}")
    }

    /// As one that fits the buckets.
    fn record(&mut self) -> String {
        let mut members = vec![format!("\"id\":{}", self.size(3000))];
        for field in ["n", "t", "u", "l", "o", "other"] {
            if self.likely(40) {
                let value = match (field, self.below(10)) {
                    (_, 0) => self.value(2),
                    ("n", _) => self.number(),
                    ("l", _) => format!("[{}]", self.list(3000, &mut |own| own.value(0))),
                    ("o", _) => self.object(1),
                    _ => format!("\"{}\"", self.letters(20_000)),
                };
                members.push(format!("\"{field}\":{value}"));
            }
        }
        format!("{{{}}}", members.join(","))
    }

    fn condition(&mut self) -> String {
        let operator = self.one(&[
            "$eq",
            "$neq",
            "$gt",
            "$gte",
            "$lt",
            "$lte",
            "$in",
            "$nin",
            "$contains",
            "$startsWith",
            "$endsWith",
            "$exists",
            "$between",
            "$search",
        ]);
        let operand = match &*operator {
            "$in" | "$nin" => format!("[{}]", self.list(5000, &mut |own| own.value(0))),
            "$contains" | "$startsWith" | "$endsWith" => format!("\"{}\"", self.letters(20_000)),
            "$exists" => "true".into(),
            "$search" => {
                format!("\"{}\"", self.list(3000, &mut |own| own.letters(9)).replace(',', " "))
            }
            "$between" => format!("[{},{}]", self.value(0), self.value(1)),
            _ => self.value(1),
        };
        format!("{{\"{operator}\":{operand}}}")
    }

    fn filter(&mut self, depth: usize) -> String {
        let members = match self.below(if depth == 0 { 2 } else { 4 }) {
            0 => format!("\"{}\":{}", self.field(), self.value(0)),
            1 => format!("\"{}\":{}", self.field(), self.condition()),
            2 => format!("\"$or\":[{}]", self.list(3000, &mut |own| own.filter(depth - 1))),
            _ => {
                let all = self.list(300, &mut |own| own.filter(depth - 1));
                format!("\"$and\":[{all}],\"{}\":{}", self.field(), self.condition())
            }
        };
        format!("{{{members}}}")
    }

    fn sort(&mut self) -> String {
        let fields = self.list(6, &mut |own| {
            let order = own.one(&["asc", "desc"]);
            format!("\"{}\":\"{order}\"", own.field())
        });
        format!("{{{fields}}}")
    }

    fn schema_field(&mut self, depth: usize) -> String {
        let kind = match self.below(if depth == 0 { 3 } else { 5 }) {
            0 => "\"type\":\"number\",\"min\":0".into(),
            1 => format!("\"type\":\"string\",\"pattern\":\"{}\"", self.one(&PATTERNS)),
            2 => {
                let values = self.list(5000, &mut |own| format!("\"{}\"", own.letters(200)));
                format!("\"type\":\"string\",\"enum\":[{values}]")
            }
            3 => format!("\"type\":\"array\",\"items\":{}", self.schema_field(depth - 1)),
            _ => format!("\"type\":\"object\",\"properties\":{}", self.schema(depth - 1)),
        };
        let more = self.one(&[
            "",
            ",\"unique\":true",
            ",\"ref\":\"a\"",
            ",\"ref\":\"b\",\"onDelete\":\"cascade\"",
            ",\"format\":\"email\"",
            ",\"required\":true",
            ",\"maxLength\":10",
            ",\"search\":true",
        ]);
        format!("{{{kind}{more}}}")
    }

    fn schema(&mut self, depth: usize) -> String {
        let mut number = 0;
        let fields = self.list(1000, &mut |own| {
            number += 1;
            let name = if own.likely(50) { own.field() } else { format!("f{number}") };
            format!("\"{name}\":{}", own.schema_field(depth))
        });
        format!("{{{fields}}}")
    }

    fn bucket_config(&mut self) -> String {
        let fields = self.schema(2);
        let schema = match fields.len() {
            2 => "{\"id\":{\"type\":\"number\"}}".into(),
            _ => format!("{{\"id\":{{\"type\":\"number\"}},{}", &fields[1..]),
        };
        let indexes = self.list(12, &mut |own| match own.below(3) {
            0 => format!("\"{}\"", own.field()),
            1 => format!("{{\"field\":\"{}\",\"ordered\":true}}", own.field()),
            _ => format!("[{}]", own.list(10, &mut |own| format!("\"{}\"", own.field()))),
        });
        let more = self.one(&["", ",\"maxSize\":5", ",\"ttl\":\"1s\""]);
        format!("{{\"key\":\"id\",\"schema\":{schema},\"indexes\":[{indexes}]{more}}}")
    }

    /// A name, or many of them.
    fn names(&mut self) -> String {
        match self.likely(70) {
            true => format!("\"{}\"", self.field()),
            false => format!("[{}]", self.list(3000, &mut |own| format!("\"{}\"", own.field()))),
        }
    }

    fn aggregate(&mut self, by: &str) -> String {
        let function = self.one(&["count", "sum", "avg", "min", "max"]);
        let of = self.field();
        format!("{{\"function\":\"{function}\",\"field\":\"{of}\"{by}}}")
    }

    fn query_config(&mut self) -> String {
        format!("{{{}}}", self.query_members())
    }

    fn window(&mut self) -> String {
        format!("\"offset\":{},\"limit\":{}", self.size(9000), self.size(12_000))
    }

    fn query_members(&mut self) -> String {
        let mut config = format!("\"bucket\":\"{}\"", self.bucket());
        if self.likely(70) {
            config += &format!(",\"filter\":{}", self.filter(3));
        }
        match self.below(4) {
            0 => {
                let by = format!(",\"groupBy\":{}", self.names());
                config += &format!(",\"aggregate\":{}", self.aggregate(&by));
            }
            1 => {
                let (sort, limit, offset) = (self.sort(), self.size(5000), self.size(5000));
                config += &format!(",\"sort\":{sort},\"limit\":{limit},\"offset\":{offset}");
            }
            2 => {
                let names = self.list(3000, &mut |own| format!("\"{}\"", own.field()));
                config += &format!(",\"fields\":[{names}],\"sort\":{}", self.sort());
            }
            _ => {}
        }
        config
    }

    fn template(&mut self) -> String {
        match self.below(5) {
            0 => self.value(1),
            1 => {
                let reference =
                    self.one(&["{{ x }}", "<{{ l }}>", "{{ input.k }}", "{{ event.data }}"]);
                let count = self.size(400);
                format!("\"{}\"", reference.repeat(count.max(1)))
            }
            2 => format!("[{}]", self.list(300, &mut |_| "\"{{ x }}\"".into())),
            3 => "\"{{ l }}\"".into(),
            _ => "\"{{ input }}\"".into(),
        }
    }

    fn step(&mut self, depth: usize) -> String {
        let (bucket, name) = (self.bucket(), self.one(&["x", "l", "y"]));
        match self.below(if depth == 0 { 9 } else { 10 }) {
            0 => format!(
                "{{\"action\":\"store.insert\",\"bucket\":\"{bucket}\",\"data\":{{\"id\":{},\"t\":{}}},\"as\":\"{name}\"}}",
                self.size(5000),
                self.template()
            ),
            1 => format!(
                "{{\"action\":\"store.where\",\"bucket\":\"{bucket}\",\"filter\":{},\"as\":\"{name}\"}}",
                self.filter(2)
            ),
            2 => format!(
                "{{\"action\":\"store.update\",\"bucket\":\"{bucket}\",\"key\":{},\"data\":{{\"t\":{}}},\"as\":\"{name}\"}}",
                self.size(50),
                self.template()
            ),
            3 => format!(
                "{{\"action\":\"transform\",\"source\":\"{name}\",\"operation\":\"map\",\"args\":{{\"x\":{}}},\"as\":\"x\"}}",
                self.template()
            ),
            4 => format!(
                "{{\"action\":\"rules.setFact\",\"key\":\"k:{{{{ x }}}}\",\"value\":{}}}",
                self.template()
            ),
            5 => format!(
                "{{\"action\":\"rules.emit\",\"topic\":\"t.{{{{ x }}}}\",\"data\":{{\"d\":{}}}}}",
                self.template()
            ),
            6 => format!(
                "{{\"action\":\"aggregate\",\"source\":\"{name}\",\"op\":\"sum\",\"field\":\"{}\",\"as\":\"x\"}}",
                self.field()
            ),
            7 => format!("{{\"action\":\"return\",\"value\":{}}}", self.template()),
            8 => {
                format!("{{\"action\":\"store.count\",\"bucket\":\"{bucket}\",\"as\":\"{name}\"}}")
            }
            _ => {
                let then = self.list(20, &mut |own| own.step(depth - 1));
                format!(
                    "{{\"action\":\"if\",\"condition\":{{\"ref\":\"{name}\",\"operator\":\"exists\"}},\"then\":[{then}]}}"
                )
            }
        }
    }

    fn procedure(&mut self) -> String {
        let (name, transaction) = (self.name(), self.likely(50));
        let steps = self.list(100, &mut |own| own.step(3));
        format!("{{\"name\":\"{name}\",\"transaction\":{transaction},\"steps\":[{steps}]}}")
    }

    fn topic(&mut self) -> String {
        match self.below(6) {
            0 => "s.".repeat(self.size(80)) + "s",
            1 => self.letters(1500),
            2 => "*.".repeat(self.size(40)) + "*",
            _ => self.one(&["t.1", "t.2", "k:1", "t.*", "*", "a"]),
        }
    }

    fn rule(&mut self) -> String {
        let (id, topic, next, bucket) = (self.name(), self.topic(), self.topic(), self.bucket());
        let conditions = self.list(50, &mut |own| {
            let operator = own.one(&["eq", "gt", "contains", "matches", "in", "exists"]);
            format!("{{\"source\":{{\"type\":\"event\",\"field\":\"d\"}},\"operator\":\"{operator}\",\"value\":{}}}", own.value(1))
        });
        let actions = self.list(20, &mut |own| match own.below(4) {
            0 => format!("{{\"type\":\"emit_event\",\"topic\":\"{next}\",\"data\":{{\"d\":{}}}}}", own.template()),
            1 => format!("{{\"type\":\"set_fact\",\"key\":\"k:{}\",\"value\":{}}}", own.size(100), own.template()),
            2 => format!("{{\"type\":\"log\",\"level\":\"info\",\"message\":{}}}", own.template()),
            _ => format!("{{\"type\":\"call_service\",\"service\":\"store\",\"method\":\"insert\",\"args\":[\"{bucket}\",{{\"id\":{}}}]}}", own.size(4000)),
        });
        format!(
            "{{\"id\":\"{id}\",\"name\":\"{id}\",\"priority\":1,\"enabled\":true,\"tags\":[],\"trigger\":{{\"type\":\"event\",\"topic\":\"{topic}\"}},\"conditions\":[{conditions}],\"actions\":[{actions}]}}"
        )
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.likely(30) {
            return self.one(&["1", "\"$n\"", "\"$t\"", "\"$l\"", "null", "\"abc\"", "\"$o.x\""]);
        }
        let operator = self.one(&[
            "$add",
            "$multiply",
            "$concat",
            "$and",
            "$or",
            "$eq",
            "$gt",
            "$cond",
            "$in",
            "$round",
            "$not",
        ]);
        let most = if self.likely(80) { 3 } else { 400 };
        let arguments = self.list(most, &mut |own| own.expression(depth - 1));
        format!("{{\"{operator}\":[{arguments}]}}")
    }

    fn operation_of_transaction(&mut self) -> String {
        let bucket = self.bucket();
        match self.below(7) {
            0 => format!("{{\"op\":\"find\",{}}}", self.query_members()),
            6 => format!("{{\"op\":\"get\",\"bucket\":\"{bucket}\",\"key\":{}}}", self.key()),
            1 => {
                format!("{{\"op\":\"insert\",\"bucket\":\"{bucket}\",\"data\":{}}}", self.record())
            }
            2 => format!(
                "{{\"op\":\"update\",\"bucket\":\"{bucket}\",\"key\":{},\"data\":{}}}",
                self.key(),
                self.record()
            ),
            3 => format!("{{\"op\":\"delete\",\"bucket\":\"{bucket}\",\"key\":{}}}", self.key()),
            4 => format!(
                "{{\"op\":\"where\",\"bucket\":\"{bucket}\",\"filter\":{}}}",
                self.filter(2)
            ),
            _ => format!(
                "{{\"op\":\"count\",\"bucket\":\"{bucket}\",\"filter\":{}}}",
                self.filter(1)
            ),
        }
    }

    /// The fields of a request of this type, with what they need to be looked at
    /// at all; now and then something else in one of them.
    fn fields(&mut self, operation: &str) -> String {
        let (family, verb) = operation.split_once('.').unwrap_or_default();
        let bucket = self.bucket();
        match (family, verb) {
            ("store", "insert") => format!("\"bucket\":\"{bucket}\",\"data\":{}", self.record()),
            ("store", "update") => {
                format!("\"bucket\":\"{bucket}\",\"key\":{},\"data\":{}", self.key(), self.record())
            }
            ("store", "get" | "delete" | "clear") => {
                format!("\"bucket\":\"{bucket}\",\"key\":{}", self.key())
            }
            ("store", "transaction") => {
                let operations = self.list(5000, &mut |own| own.operation_of_transaction());
                format!("\"operations\":[{operations}]")
            }
            ("store", "defineBucket") => {
                format!("\"name\":\"{}\",\"config\":{}", self.name(), self.bucket_config())
            }
            ("store", "updateBucket") => {
                format!("\"name\":\"{bucket}\",\"updates\":{}", self.bucket_config())
            }
            ("store", "dropBucket") => format!("\"name\":\"{}\"", self.name()),
            ("store", "defineQuery") => {
                format!("\"name\":\"{}\",\"config\":{}", self.name(), self.query_config())
            }
            ("store", "find") => self.query_members(),
            ("store", "live") => {
                let mode = self.one(&["full", "delta"]);
                let (count, token) = (self.size(20_000), self.letters(60));
                let keys = self.list(count, &mut |own| own.size(9).to_string());
                let resume =
                    format!("{{\"token\":\"{token}\",\"commit\":{count},\"keys\":[{keys}]}}");
                let window = match self.below(3) {
                    0 => format!(",\"positions\":true,\"window\":{{{}}}", self.window()),
                    _ => String::new(),
                };
                format!("{},\"mode\":\"{mode}\",\"resume\":{resume}{window}", self.query_members())
            }
            ("store", "moveWindow") => {
                format!("\"subscriptionId\":\"sub-{}\",{}", self.size(10), self.window())
            }
            ("store", "subscribeMany") => {
                let count = self.size(120);
                let entries = self.list(count, &mut |own| match own.below(4) {
                    0 => format!("{{\"query\":\"{}\"}}", own.name()),
                    1 => {
                        format!("{{\"type\":\"logic.subscribeView\",\"name\":\"{}\"}}", own.name())
                    }
                    2 => own.object(2),
                    _ => format!("{{\"type\":\"store.live\",{}}}", own.query_members()),
                });
                format!("\"subscriptions\":[{entries}]")
            }
            ("store", "groupBy") => {
                let (field, aggregate) = (self.names(), self.aggregate(""));
                format!(
                    "\"bucket\":\"{bucket}\",\"field\":{field},\"aggregate\":{aggregate},\"filter\":{}",
                    self.filter(3)
                )
            }
            ("store", "subscribe" | "query") => {
                format!("\"query\":\"{}\",\"params\":{}", self.name(), self.object(2))
            }
            ("store", _) => format!(
                "\"bucket\":\"{bucket}\",\"name\":\"{bucket}\",\"subscriptionId\":\"sub-{}\",\"filter\":{},\"field\":\"{}\",\"sort\":{},\"limit\":{},\"n\":{}",
                self.size(10),
                self.filter(3),
                self.field(),
                self.sort(),
                self.size(5000),
                self.size(5000)
            ),
            ("rules", "registerRule" | "validateRule") => format!("\"rule\":{}", self.rule()),
            ("rules", "updateRule") => {
                format!("\"ruleId\":\"{}\",\"updates\":{}", self.name(), self.rule())
            }
            ("rules", _) => {
                let (topic, id) = (self.topic(), self.name());
                let (data, value) = (self.object(2), self.value(2));
                format!(
                    "\"topic\":\"{topic}\",\"key\":\"{topic}\",\"pattern\":\"{topic}\",\"ruleId\":\"{id}\",\"subscriptionId\":\"sub-1\",\"data\":{data},\"value\":{value}"
                )
            }
            ("procedures", "register") => format!("\"procedure\":{}", self.procedure()),
            ("procedures", "update") => {
                format!("\"name\":\"{}\",\"updates\":{}", self.name(), self.procedure())
            }
            ("procedures", _) => {
                format!("\"name\":\"{}\",\"input\":{}", self.name(), self.object(2))
            }
            ("logic", "defineComputed") => {
                let fields = self.list(60, &mut |own| {
                    format!(
                        "\"{}\":{{\"depends\":[\"n\"],\"expr\":{}}}",
                        own.field(),
                        own.expression(5)
                    )
                });
                format!("\"bucket\":\"{bucket}\",\"fields\":{{{fields}}}")
            }
            ("logic", "defineConstraint") => format!(
                "\"constraint\":{{\"name\":\"{}\",\"on\":\"{bucket}\",\"expr\":{},\"message\":\"{}\"}}",
                self.name(),
                self.expression(6),
                self.letters(3000)
            ),
            ("logic", "evaluateExpr") => {
                format!("\"expr\":{},\"record\":{}", self.expression(8), self.record())
            }
            ("access", _) => {
                let (field, filter) = (self.name(), self.filter(6));
                format!(
                    "\"bucket\":\"{bucket}\",\"name\":\"{}\",\"filter\":{filter},\"field\":\"{field}\"",
                    self.name()
                )
            }
            ("logic", _) => format!("\"bucket\":\"{bucket}\",\"name\":\"{}\"", self.name()),
            ("session", "sync") => String::new(),
            ("session", _) => {
                let (id, odd) = (self.one(&["a", "b"]).repeat(22), self.letters(300));
                let id = if self.likely(90) { id } else { odd };
                let flags = ["commits", "events", "once", "resume"];
                let flags = flags.map(|name| format!("\"{name}\":{}", self.likely(50))).join(",");
                format!("\"session\":\"{id}\",{flags}")
            }
            ("audit" | "server", _) => format!("\"details\":true,\"limit\":{}", self.size(100_000)),
            _ => format!("\"token\":\"{}\",\"userId\":\"{}\"", self.letters(5000), self.name()),
        }
    }

    /// One request of at most about `bytes`.
    pub fn request(&mut self, operation: &str, bytes: usize) -> String {
        self.room = bytes;
        let fields = self.fields(operation);
        format!("{{\"id\":7,\"type\":\"{operation}\",{fields}}}")
    }
}
