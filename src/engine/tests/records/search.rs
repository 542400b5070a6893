//! Words in texts: against a tokenizer that knows nothing of Unicode, over
//! texts of which it knows what the words are.

use super::*;
use crate::ids::IdSource;

const DEFINE: &str = r#"{"key":"id","schema":{"id":{"type":"number"},"t":{"type":"string","search":true},"l":{"type":"array","items":{"type":"string"},"search":true},"g":{"type":"string"}},"indexes":["g"]}"#;

/// As it is written, and as it is compared.
const WORDS: [(&str, &str); 12] = [
    ("Straße", "strasse"),
    ("CAFÉ", "cafe"),
    ("cafe\u{301}", "cafe"),
    ("Ärger", "arger"),
    ("can't", "can't"),
    ("foo", "foo"),
    ("FOOBAR", "foobar"),
    ("fo", "fo"),
    ("3.14", "3.14"),
    ("Ω", "ω"),
    ("ΣΟΦΟΣ", "σοφοσ"),
    ("Привет", "привет"),
];

const BETWEEN: [&str; 5] = [" ", ", ", "\\n", " — ", "! ("];

/// The words of `t` and those of `l`, and the group.
type Known = (Words, Words, usize);
type Words = Vec<&'static str>;

struct World {
    rig: Rig,
    conn: ConnId,
    dice: IdSource,
    records: Vec<Option<Known>>,
}

impl World {
    fn below(&mut self, end: usize) -> usize {
        (self.dice.next_u64() % end as u64) as usize
    }

    fn text(&mut self) -> (String, Vec<&'static str>) {
        let (mut text, mut words) = (String::new(), Vec::new());
        for _ in 0..self.below(5) {
            let (written, folded) = WORDS[self.below(WORDS.len())];
            text += written;
            text += BETWEEN[self.below(BETWEEN.len())];
            words.push(folded);
        }
        (text, words)
    }

    fn write(&mut self) {
        let id = self.below(self.records.len());
        if self.below(8) == 0 {
            let delete = format!(r#""type":"store.delete","bucket":"b","key":{id}"#);
            ask(&mut self.rig, self.conn, &delete);
            self.records[id] = None;
            return;
        }
        let ((t, t_words), (a, mut l_words), (b, more)) = (self.text(), self.text(), self.text());
        l_words.extend(more);
        let group = self.below(2);
        let data = format!(r#"{{"id":{id},"t":"{t}","l":["{a}","{b}"],"g":"g{group}"}}"#);
        let updates = self.below(2) == 0;
        let request = match self.records[id] {
            Some(_) if updates => {
                format!(r#""type":"store.update","bucket":"b","key":{id},"data":{data}"#)
            }
            _ => format!(r#""type":"store.insert","bucket":"b","data":{data}"#),
        };
        assert!(ask(&mut self.rig, self.conn, &request).starts_with('{'));
        self.records[id] = Some((t_words, l_words, group));
    }

    /// Asks for words, in full or their beginnings, and compares.
    fn search(&mut self) {
        let field = ["t", "l"][self.below(2)];
        let count = 1 + self.below(3);
        let asked: Vec<(&str, &str)> = (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect();
        let text: Vec<&str> = asked.iter().map(|(written, _)| *written).collect();
        let mut beginning = asked[count - 1].1.to_owned();
        let mut text = text.join(" ");
        if self.below(3) == 0 {
            beginning.pop();
            if beginning.is_empty() || beginning.ends_with(['.', '\'']) {
                return;
            }
            let all: Vec<&str> =
                asked.iter().take(count - 1).map(|(written, _)| *written).collect();
            text = format!("{} {beginning}", all.join(" "));
        }
        let group = (self.below(2) == 0).then(|| self.below(2));
        let grouped = group.map(|group| format!(r#","g":"g{group}""#)).unwrap_or_default();
        let request = format!(
            r#""type":"store.count","bucket":"b","filter":{{"{field}":{{"$search":"{text}"}}{grouped}}}"#
        );
        let answer = ask(&mut self.rig, self.conn, &request);
        let matches = |words: &[&str]| {
            let whole = asked.iter().take(count - 1);
            whole.clone().all(|(_, word)| words.contains(word))
                && words.iter().any(|word| word.starts_with(&beginning))
        };
        let expected = self.records.iter().flatten().filter(|(t, l, g)| {
            matches(if field == "t" { t } else { l }) && group.is_none_or(|group| group == *g)
        });
        assert_eq!(answer, expected.count().to_string(), "{request}");
    }
}

#[test]
fn searching_is_as_a_naive_tokenizer_has_it() {
    for seed in 0..4 {
        let (rig, conn) = with_bucket(DEFINE);
        let records = vec![None; 50];
        let mut world = World { rig, conn, dice: IdSource::new([seed; 32]), records };
        // Compared with an evaluation after every change.
        for text in ["caf", "foo strasse", "привет", ""] {
            let live = format!(
                r#""type":"store.live","bucket":"b","filter":{{"t":{{"$search":"{text}"}}}}"#
            );
            assert!(ask(&mut world.rig, conn, &live).starts_with('{'));
        }
        for _ in 0..150 {
            world.write();
            world.search();
        }
        world.rig.engine.check_invariants();
    }
}

/// What the commit does to the index of words, it does at once: whoever writes,
/// and whoever removes, pays for it before.
#[test]
fn words_are_paid_for_when_they_are_filed_and_when_they_are_taken_out() {
    let (mut rig, conn) = with_bucket(DEFINE);
    let text = |of: usize| {
        let words: Vec<String> = (0..500).map(|word| format!("w{of}x{word}")).collect();
        words.join(" ")
    };
    for id in 0..4 {
        let insert = format!(
            r#""type":"store.insert","bucket":"b","data":{{"id":{id},"t":"{}","g":"a"}}"#,
            text(id)
        );
        assert!(ask(&mut rig, conn, &insert).contains("_version"));
    }
    // Enough for two records' words, not for four.
    rig.engine.options.request_steps = 40_000;
    let refused = "VALIDATION_ERROR Request is too costly: more than 40000 steps";
    let delete = r#""type":"store.deleteMany","bucket":"b","filter":{}"#;
    assert_eq!(ask(&mut rig, conn, delete), refused);
    let rewrite = format!(
        r#""type":"store.updateMany","bucket":"b","filter":{{}},"data":{{"t":"{}"}}"#,
        text(9)
    );
    assert_eq!(ask(&mut rig, conn, &rewrite), refused);
    // Words that stay cost nothing.
    let other = r#""type":"store.updateMany","bucket":"b","filter":{},"data":{"g":"c"}"#;
    assert_eq!(ask(&mut rig, conn, other), "4");
    let one = r#""type":"store.deleteMany","bucket":"b","filter":{"id":0}"#;
    assert_eq!(ask(&mut rig, conn, one), "1");
    assert_eq!(ask(&mut rig, conn, r#""type":"store.count","bucket":"b""#), "3");
}

#[test]
fn what_a_search_finds_and_what_it_is_refused() {
    let (mut rig, conn) = with_bucket(DEFINE);
    let insert = r#""type":"store.insertMany","bucket":"b","data":[{"id":1,"t":"The quick brown Fox"},{"id":2,"t":"Quickly, foxes!"},{"id":3,"t":""},{"id":4,"t":null},{"id":5,"l":["a fox"]}],"answer":"counts""#;
    assert!(ask(&mut rig, conn, insert).contains(r#""inserted":5"#));
    let mut ids = |filter: &str| {
        let request =
            format!(r#""type":"store.find","bucket":"b","filter":{filter},"fields":["id"]"#);
        ask(&mut rig, conn, &request).replace(r#"{"id":"#, "").replace('}', "")
    };
    assert_eq!(ids(r#"{"t":{"$search":"quick fox"}}"#), "[1]");
    assert_eq!(ids(r#"{"t":{"$search":"fox"}}"#), "[1,2]");
    assert_eq!(ids(r#"{"t":{"$search":"fox quick"}}"#), "[1]");
    assert_eq!(ids(r#"{"t":{"$search":"QUICK"}}"#), "[1,2]");
    assert_eq!(ids(r#"{"t":{"$search":"dog"}}"#), "[]");
    assert_eq!(ids(r#"{"t":{"$search":" - "}}"#), "[1,2,3]");
    assert_eq!(ids(r#"{"l":{"$search":"fox"}}"#), "[5]");
    assert_eq!(ids(r#"{"$or":[{"l":{"$search":"fox"}},{"t":{"$search":"brown"}}]}"#), "[1,5]");
    for (filter, reason) in [
        (r#"{"g":{"$search":"a"}}"#, r#""$search" needs a field with "search""#),
        (r#"{"x":{"$search":"a"}}"#, r#""$search" needs a field with "search""#),
        (r#"{"t":{"$search":5}}"#, r#""$search" of "t" expects a string, got a number"#),
    ] {
        let request = format!(r#""type":"store.where","bucket":"b","filter":{filter}"#);
        let expected = format!("VALIDATION_ERROR Invalid filter: {reason}");
        assert_eq!(ask(&mut rig, conn, &request), expected);
    }
    let explain = r#""type":"store.explain","bucket":"b","filter":{"t":{"$search":"quick fox"}}"#;
    assert_eq!(
        ask(&mut rig, conn, explain),
        r#"{"bucket":"b","records":5,"access":"words","index":"t","order":"table","lookedAt":1,"matched":1}"#
    );
    let update = r#""type":"store.updateBucket","name":"b","updates":{"addFields":{"x":{"type":"string","search":true}}}"#;
    assert!(ask(&mut rig, conn, update).contains("updated"));
    let filter = r#""type":"store.where","bucket":"b","filter":{"x":{"$search":"a"}}"#;
    assert_eq!(ask(&mut rig, conn, filter), "[]");
    for (field, reason) in [
        (
            r#"{"type":"number","search":true}"#,
            "schema.f.search: needs type string, or array of strings",
        ),
        (
            r#"{"type":"array","items":{"type":"number"},"search":true}"#,
            "schema.f.search: needs type string, or array of strings",
        ),
        (r#"{"type":"string","search":1}"#, "schema.f.search: expected boolean, got number"),
    ] {
        let request = format!(
            r#""type":"store.defineBucket","name":"c","config":{{"key":"id","schema":{{"id":{{"type":"string"}},"f":{field}}}}}"#
        );
        let expected = format!("VALIDATION_ERROR Invalid schema for bucket \"c\": {reason}");
        assert_eq!(ask(&mut rig, conn, &request), expected);
    }
}
