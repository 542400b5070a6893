//! How many views a change visits.

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
