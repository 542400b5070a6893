//! Random filters with words, lists and values, through random row filters: come
//! and gone while the bucket gets fields that records had without being in its
//! schema. Whoever is filed under something that a change does not lead to would be
//! told nothing of it.

use std::sync::Arc;

use super::*;

struct Dice(IdSource);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

/// Long ones are filed by their beginning, which ends between characters.
const WORDS: &[&str] = &[
    "red",
    "Rêd",
    "reds",
    "STRASSE",
    "straße",
    "E\u{301}te\u{301}",
    "été",
    "abcdefghijklmnopqrstuvwxyz01234ж56789",
    "abcdefghijklmnopqrstuvwxyz01234жэюя",
    "abcdefghijklmnopqrstuvwxyz01234",
    "abcdefghijklmnopqrstuvwxyz012345x",
    "жжжжжжжжжжжжжжжжжж",
    "жжжжжжжжжжжжжжжж",
    "ﬁne",
    "fine",
    "中文",
    "中",
    "it's",
    "3.5",
    "-",
];

fn words(dice: &mut Dice, most: usize) -> String {
    let words: Vec<&str> = (0..dice.below(most + 1)).map(|_| dice.pick(WORDS)).collect();
    words.join(" ")
}

/// A word, or what it begins with.
fn beginning(dice: &mut Dice) -> String {
    let word = dice.pick(WORDS);
    let most = 1 + dice.below(word.chars().count() + 1);
    word.chars().take(most).collect()
}

fn scalar(dice: &mut Dice) -> String {
    dice.pick(&[
        "1",
        "1.0",
        "-0",
        "0",
        "\"1\"",
        "\"a\"",
        "\"b\"",
        "true",
        "null",
        "2e0",
        "\"\\u0061\"",
    ])
    .into()
}

fn list(dice: &mut Dice) -> String {
    let length = dice.pick(&["0", "1", "2", "5", "20"]).parse().expect("a number");
    let mut values: Vec<String> = (0..length)
        .map(|at| if at < 4 { scalar(dice) } else { format!("\"other{at}\"") })
        .collect();
    // No index has `null`.
    if dice.below(5) > 0 {
        values.retain(|value| value != "null");
    }
    format!("[{}]", values.join(","))
}

/// `searched`: fields with words.
fn condition(dice: &mut Dice, searched: &[&str]) -> String {
    let field = dice.pick(&["room", "mixed", "u", "w"]);
    match dice.below(6) {
        0 => format!(r#""{field}":{}"#, scalar(dice)),
        1 | 2 => format!(r#""{field}":{{"$in":{}}}"#, list(dice)),
        3 => format!(r#""n":{{"$gte":{}}}"#, dice.below(4)),
        _ => {
            let (field, text) = (dice.pick(searched), words(dice, 3));
            format!(r#""{field}":{{"$search":"{text}"}}"#)
        }
    }
}

fn filter(dice: &mut Dice, searched: &[&str], depth: usize) -> String {
    let mut members: Vec<String> = (0..dice.below(3)).map(|_| condition(dice, searched)).collect();
    if depth > 0 && dice.below(3) == 0 {
        let inner = |dice: &mut Dice| filter(dice, searched, depth - 1);
        let (one, other) = (inner(dice), inner(dice));
        members.push(format!(r#""{}":[{one},{other}]"#, dice.pick(&["$and", "$or"])));
    }
    format!("{{{}}}", members.join(","))
}

fn record(dice: &mut Dice) -> Object {
    let mut members = Vec::new();
    for field in ["room", "t", "l", "u", "w", "mixed", "n"] {
        let value = match (field, dice.below(5)) {
            (_, 0) => continue,
            (_, 1) => "null".into(),
            ("room", _) => dice.pick(&["\"a\"", "\"b\"", "\"1\""]).into(),
            ("n" | "w", _) => dice.below(5).to_string(),
            ("t", _) => format!("\"{}\"", words(dice, 4)),
            ("l", _) => format!(r#"["{}","{}"]"#, words(dice, 2), words(dice, 2)),
            ("u", 2 | 3) => format!("\"{}\"", words(dice, 3)),
            ("u", _) => dice.pick(&["\"a\"", "\"b\"", "\"1\""]).into(),
            (_, 2) => format!("[{}]", scalar(dice)),
            _ => scalar(dice),
        };
        members.push(format!("\"{field}\":{value}"));
    }
    object(&format!("{{{}}}", members.join(",")))
}

/// `plain`: he waits for a word and nothing else.
fn come(bench: &mut Bench, dice: &mut Dice, (searched, plain): (&[&str], bool), at: usize) {
    let name = format!("p{at}");
    let asked = match plain {
        true => format!(r#"{{"t":{{"$search":"{}"}}}}"#, beginning(dice)),
        false => filter(dice, searched, 2),
    };
    let config = format!(r#"{{"bucket":"t","filter":{asked}}}"#);
    bench.views.define(&bench.store, &name, &json(&config)).expect(&config);
    for _ in 0..=dice.below(2) {
        let read = match dice.below(3) {
            _ if plain => None,
            0 => None,
            1 => Some(json(&filter(dice, searched, 1))),
            _ => Some(json(&format!(
                r#"{{"{}":{{"$in":{}}}}}"#,
                dice.pick(&["room", "u"]),
                list(dice)
            ))),
        };
        let want = [Want::Full, Want::Delta { positions: true }][dice.below(2)];
        bench.watch_through(&name, "", want, read.map(Arc::new));
    }
}

fn go(bench: &mut Bench, dice: &mut Dice) {
    let watcher = bench.watchers.swap_remove(dice.below(bench.watchers.len()));
    bench.views.unsubscribe(watcher.view, watcher.want);
}

fn update(bench: &mut Bench, updates: &str) {
    let updates = object(updates);
    let set = bench.store.prepare_update("t", &updates, &Budget::unlimited()).expect("valid");
    bench.commit(set);
}

#[test]
fn every_change_finds_the_views_that_it_concerns() {
    for seed in 0..4 {
        let mut dice = Dice(IdSource::new([seed; 32]));
        let mut bench = Bench::bare(ViewLimits::default());
        let mut searched = vec!["t", "l"];
        // More who wait for words than a record has.
        let plain = seed % 2 == 1;
        for at in 0..120 {
            match at {
                // Records have it already.
                40 => {
                    update(&mut bench, r#"{"addFields":{"u":{"type":"string","search":true}}}"#);
                    searched.push("u");
                }
                80 => update(
                    &mut bench,
                    r#"{"addFields":{"w":{"type":"number"}},"addIndexes":["w","u"]}"#,
                ),
                100 => bench.clear(),
                _ => {}
            }
            bench.settle();
            come(&mut bench, &mut dice, (&searched, plain), at);
            if bench.watchers.len() > 40 {
                go(&mut bench, &mut dice);
                go(&mut bench, &mut dice);
            }
            for _ in 0..4 {
                let writes: Vec<Write> = (0..=dice.below(3))
                    .map(|_| {
                        let fields = record(&mut dice);
                        let fresh = dice.below(4) == 0;
                        let to = (dice.below(5) > 0).then_some(Change { fresh, fields });
                        Write { id: dice.below(12) as u64, to }
                    })
                    .collect();
                bench.write(&writes);
                bench.settle();
            }
        }
        while !bench.watchers.is_empty() {
            go(&mut bench, &mut dice);
        }
        assert_eq!(bench.views.memory(), 0, "nobody is filed any more");
    }
}
