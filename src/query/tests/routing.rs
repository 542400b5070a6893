//! How many views a change visits.

use std::sync::Arc;

use super::*;

/// A query that many watch, each with parameters of his own.
fn watched(filter: &str, params: impl IntoIterator<Item = String>) -> Bench {
    let mut bench = Bench::bare(ViewLimits::default());
    watch(&mut bench, filter, params);
    bench
}

fn watch(bench: &mut Bench, filter: &str, params: impl IntoIterator<Item = String>) {
    let name = format!("q{}", bench.watchers.len());
    let config = json(&format!(r#"{{"bucket":"t","filter":{filter}}}"#));
    bench.views.define(&bench.store, &name, &config).expect("valid");
    params.into_iter().for_each(|params| bench.watch(&name, &params, Want::Full));
}

/// How many views a write visits; whatever they show is what it should be.
fn put(bench: &mut Bench, id: u64, fields: &str) -> u64 {
    visits(bench, Write { id, to: Some(Change { fresh: false, fields: object(fields) }) })
}

fn delete(bench: &mut Bench, id: u64) -> u64 {
    visits(bench, Write { id, to: None })
}

fn visits(bench: &mut Bench, write: Write) -> u64 {
    let before = bench.views.followed;
    bench.write(&[write]);
    bench.settle();
    bench.views.followed - before
}

/// Of the query that is watched first.
fn routed_by(bench: &Bench) -> String {
    bench.views.explain("q0").get("routedBy").map(Json::to_text).expect("a list")
}

fn texts(texts: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    texts.into_iter().map(|text| format!(r#"{{"q":"{text}"}}"#))
}

const SEARCH: &str = r#"{"t":{"$search":"{{params.q}}"}}"#;

#[test]
fn a_value_leads_to_the_views_that_demand_it() {
    let params = (0..1000).map(|at| format!(r#"{{"s":"{at}"}}"#));
    let mut bench = watched(r#"{"s":"{{params.s}}"}"#, params);
    assert_eq!(put(&mut bench, 1, r#"{"s":"77","n":5001}"#), 1);
    assert_eq!(put(&mut bench, 1, r#"{"s":"78"}"#), 2);
    assert_eq!(put(&mut bench, 1, r#"{"n":5}"#), 1);
    assert_eq!(routed_by(&bench), r#"["s"]"#);
    let many = bench.views.explain("q0");
    assert_eq!(many.get("views"), Some(&Json::Number(1000.0)));
}

#[test]
fn a_value_leads_to_the_views_within_whose_bounds_it_is() {
    let within = r#"{"n":{"$between":["{{params.a}}","{{params.b}}"]}}"#;
    let params = (0..1000).map(|at| format!(r#"{{"a":{},"b":{}}}"#, at * 10, at * 10 + 15));
    let mut bench = watched(within, params);
    assert_eq!(put(&mut bench, 1, r#"{"s":"77","n":5001}"#), 2);
    assert_eq!(routed_by(&bench), r#"["n"]"#);
}

/// With more views than a record has words, and with fewer.
#[test]
fn words_lead_to_the_views_that_search_for_them() {
    for views in [1000, 3] {
        let mut bench = watched(SEARCH, texts((0..views).map(|at| format!("word{at} mor"))));
        assert_eq!(routed_by(&bench), r#"["t"]"#);
        // Whoever waits for a word of the text is visited. The rest of what he
        // searches for does not lead to him.
        assert_eq!(put(&mut bench, 1, r#"{"t":"A word1, more; and word2 word2"}"#), 2);
        // Those of the old text and those of the new one.
        assert_eq!(put(&mut bench, 1, r#"{"t":"word1 and word0"}"#), 3);
        // Another field of a record with that text is a change of it, too.
        assert_eq!(put(&mut bench, 1, r#"{"n":5}"#), 2);
        assert_eq!(put(&mut bench, 2, r#"{"t":"nothing of it","l":["word1"]}"#), 0);
        assert_eq!(put(&mut bench, 3, r#"{"t":null}"#), 0);
        assert_eq!(delete(&mut bench, 2), 0);
        assert_eq!(delete(&mut bench, 1), 2);
    }
}

#[test]
fn words_lead_to_the_views_that_search_for_their_beginnings() {
    for views in [1000, 3] {
        let mut bench = watched(SEARCH, texts((0..views).map(|at| format!("begin{at}"))));
        // Each once, however many words lead to it.
        assert_eq!(put(&mut bench, 1, r#"{"t":"begin2go begin2gone Begin2 or begi"}"#), 1);
        assert_eq!(put(&mut bench, 1, r#"{"t":"begin2 begin1"}"#), 2);
        // Of many lengths, with characters of more than one byte.
        let lengths = (1..=views.min(12)).map(|at| "ж".repeat(at));
        let mut bench = watched(SEARCH, texts(lengths));
        assert_eq!(put(&mut bench, 1, r#"{"t":"жя жжю a"}"#), 2);
        assert_eq!(
            put(&mut bench, 2, r#"{"t":"a b c d e f g h i j k l m n o p Жжжж"}"#),
            views.min(4) as u64
        );
    }
}

#[test]
fn a_long_beginning_is_filed_under_what_it_begins_with() {
    let long = |end: &str| format!("{}{end}", "ж".repeat(40));
    let mut bench = watched(SEARCH, texts(["a", "b", ""].map(long)));
    assert_eq!(put(&mut bench, 1, &format!(r#"{{"t":"{}"}}"#, long("a"))), 3);
    assert_eq!(put(&mut bench, 2, r#"{"t":"жжжжж"}"#), 0);
}

/// Of several words the one that fewest records have leads to the view.
#[test]
fn the_rarest_word_leads_to_a_search() {
    let mut bench = Bench::bare(ViewLimits::default());
    for id in 10..20 {
        put(&mut bench, id, r#"{"t":"everybody"}"#);
    }
    put(&mut bench, 20, r#"{"t":"few"}"#);
    let both = r#"{"$and":[{"t":{"$search":"everybody few x"}},{"l":{"$search":"-"}}]}"#;
    watch(&mut bench, both, [String::new()]);
    for (id, text, visited) in [(1, "everybody", 0), (2, "few", 1), (3, "x", 0)] {
        let written = format!(r#"{{"t":"{text}"}}"#);
        assert_eq!(put(&mut bench, id, &written), visited, "{text}");
    }
}

#[test]
fn a_search_goes_with_what_else_is_asked_for() {
    let rooms = (0..100).map(|at| format!(r#"{{"r":"r{at}"}}"#));
    let mut bench = watched(r#"{"room":"{{params.r}}","t":{"$search":"tea"}}"#, rooms);
    assert_eq!(routed_by(&bench), r#"["room","t"]"#);
    let words = (0..100).map(|at| format!("word{at} x"));
    watch(&mut bench, r#"{"room":"r1","t":{"$search":"{{params.q}}"}}"#, texts(words));
    assert_eq!(put(&mut bench, 1, r#"{"room":"r1","t":"teas and word7"}"#), 2);
    assert_eq!(put(&mut bench, 2, r#"{"room":"r2","t":"word8"}"#), 0);
    // From one room to another, with other words.
    assert_eq!(put(&mut bench, 1, r#"{"room":"r2","t":"tea"}"#), 3);
}

/// Only one of several ways to match, and a search without a word in it.
#[test]
fn what_demands_no_word_sees_every_change() {
    let or = r#"{"$or":[{"t":{"$search":"{{params.q}}"}},{"n":1}]}"#;
    for (filter, words) in [(or, ["a", "b"]), (SEARCH, [" - ", ""])] {
        let mut bench = watched(filter, texts(words.map(String::from)));
        assert_eq!(routed_by(&bench), "[]");
        assert_eq!(put(&mut bench, 1, r#"{"n":2}"#), 2);
        assert_eq!(put(&mut bench, 1, r#"{"t":"c"}"#), 2);
    }
}

/// Views come and go; who is left is found, and nobody else.
#[test]
fn whoever_leaves_is_not_visited_any_more() {
    let mut bench = watched(SEARCH, texts(["fo", "foo", "foo x", "foobar"].map(String::from)));
    let text = r#"{"t":"foobar foo x"}"#;
    assert_eq!(put(&mut bench, 1, text), 4);
    for still in (0..4).rev() {
        let watcher = bench.watchers.remove(0);
        bench.views.unsubscribe(watcher.view, watcher.want);
        assert_eq!(put(&mut bench, 1, text), still);
    }
    assert!(bench.views.routes.is_empty());
}

/// `[from, …, from + count]` as JSON.
fn numbers(from: usize, count: usize) -> String {
    let numbers: Vec<String> = (from..from + count).map(|number| number.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

const LISTED: &str = r#"{"n":{"$in":"{{params.l}}"}}"#;

fn lists(lists: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
    lists.into_iter().map(|list| format!(r#"{{"l":{list}}}"#))
}

/// However long the lists are.
#[test]
fn a_value_leads_to_the_views_in_whose_list_it_is() {
    for (views, length) in [(300, 2), (100, 65), (5, 9_999)] {
        let each = (0..views).map(|at| numbers(at * length, length + 1));
        let mut bench = watched(LISTED, lists(each));
        assert_eq!(routed_by(&bench), r#"["n"]"#);
        // The last of one list is the first of the next.
        assert_eq!(put(&mut bench, 1, &format!(r#"{{"n":{}}}"#, 2 * length)), 2);
        assert_eq!(put(&mut bench, 2, &format!(r#"{{"n":{}}}"#, 2 * length + 1)), 1);
        assert_eq!(put(&mut bench, 2, &format!(r#"{{"n":{}}}"#, 3 * length + 1)), 2);
        assert_eq!(put(&mut bench, 2, r#"{"n":null}"#), 1);
        assert_eq!(put(&mut bench, 3, r#"{"s":"x"}"#), 0);
        assert_eq!(put(&mut bench, 3, r#"{"n":-1}"#), 0);
        let before = bench.views.memory();
        watch(&mut bench, LISTED, lists([numbers(0, length + 1)]));
        let more = bench.views.memory() - before;
        assert!(more < 4_000, "a list is filed once for all who have it: {more} bytes");
        for watcher in std::mem::take(&mut bench.watchers) {
            bench.views.unsubscribe(watcher.view, watcher.want);
        }
        assert_eq!((bench.views.routes.is_empty(), bench.views.memory()), (true, 0));
    }
}

/// Longer ones than a set may be are no way to a view, and an empty one leads
/// nowhere.
#[test]
fn a_list_beyond_all_measure_sees_every_change() {
    let mut bench = watched(LISTED, lists([numbers(0, 10_001)]));
    assert_eq!(routed_by(&bench), "[]");
    assert_eq!(put(&mut bench, 1, r#"{"n":-1}"#), 1);
    let mut bench = watched(LISTED, lists(["[]".into()]));
    assert_eq!(put(&mut bench, 1, r#"{"n":-1}"#), 0);
}

/// Who may read what tells those apart who ask for the same.
#[test]
fn the_list_of_a_read_filter_goes_with_what_is_asked_for() {
    let mut bench = watched(r#"{"room":"a","t":{"$search":"tea"}}"#, []);
    for at in 0..100 {
        let read = json(&format!(r#"{{"n":{{"$in":{}}}}}"#, numbers(at * 100, 100)));
        bench.watch_through("q0", "", Want::Full, Some(Arc::new(read)));
    }
    assert_eq!(routed_by(&bench), r#"["room","n","t"]"#);
    assert_eq!(put(&mut bench, 1, r#"{"room":"a","n":177,"t":"teas"}"#), 1);
    assert_eq!(put(&mut bench, 1, r#"{"room":"a","n":277,"t":"teas"}"#), 2);
    assert_eq!(put(&mut bench, 1, r#"{"room":"b","n":277,"t":"teas"}"#), 1);
    assert_eq!(put(&mut bench, 2, r#"{"room":"a","n":277,"t":"coffee"}"#), 0);
    assert_eq!(put(&mut bench, 3, r#"{"room":"a","n":-1,"t":"tea"}"#), 0);
}

/// Views with values, words and lists of all lengths come and go under random
/// writes: what each shows is what an evaluation gives, so none was passed over.
#[test]
fn no_view_is_passed_over_that_a_change_concerns() {
    const WORDS: [&str; 6] = ["red", "fox", "foxes", "f", "été", "-"];
    const FILTERS: [&str; 6] = [
        r#"{"t":{"$search":"{{params.q}}"}}"#,
        r#"{"room":"{{params.r}}","t":{"$search":"{{params.q}}"}}"#,
        r#"{"n":{"$in":"{{params.l}}"}}"#,
        r#"{"n":{"$in":"{{params.l}}"},"t":{"$search":"{{params.q}}"}}"#,
        r#"{"room":"{{params.r}}"}"#,
        r#"{}"#,
    ];
    for seed in 0..6 {
        let mut dice = IdSource::new([seed; 32]);
        let mut below = |end: usize| (dice.next_u64() % end as u64) as usize;
        let mut bench = Bench::bare(ViewLimits::default());
        for (at, filter) in FILTERS.iter().enumerate() {
            let config = json(&format!(r#"{{"bucket":"t","filter":{filter}}}"#));
            bench.views.define(&bench.store, &format!("q{at}"), &config).expect("valid");
        }
        for _ in 0..400 {
            let text = format!("{} {}", WORDS[below(6)], WORDS[below(6)]);
            let room = ["a", "b", "c"][below(3)];
            let list = numbers(below(200), [0, 1, 3, 100][below(4)]);
            match below(6) {
                0 | 1 => {
                    let params = format!(r#"{{"q":"{text}","r":"{room}","l":{list}}}"#);
                    let read = json(&format!(r#"{{"n":{{"$in":{list}}}}}"#));
                    let read = (below(3) == 0).then(|| Arc::new(read));
                    let name = format!("q{}", below(6));
                    bench.watch_through(&name, &params, Want::Full, read);
                }
                2 if !bench.watchers.is_empty() => {
                    let watcher = bench.watchers.swap_remove(below(bench.watchers.len()));
                    bench.views.unsubscribe(watcher.view, watcher.want);
                }
                3 => drop(delete(&mut bench, below(20) as u64)),
                _ => {
                    let fields = format!(r#"{{"t":"{text}","room":"{room}","n":{}}}"#, below(300));
                    put(&mut bench, below(20) as u64, &fields);
                }
            }
        }
        for watcher in std::mem::take(&mut bench.watchers) {
            bench.views.unsubscribe(watcher.view, watcher.want);
        }
        assert_eq!((bench.views.routes.is_empty(), bench.views.memory()), (true, 0));
    }
}
