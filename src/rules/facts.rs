//! The fact store: key to value, with versions and the order of insertion.
//!
//! Owns the facts and finds them by key or pattern. Knows nothing of rules.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use crate::json::{Json, Object, Raw, write_number, write_string};

use super::pattern::{Grammar, Pattern};

/// Who wrote a fact or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The wire or a procedure.
    Api,
    Rule,
    Timer,
    Store,
}

impl Source {
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Api => "api",
            Source::Rule => "rule",
            Source::Timer => "timer",
            Source::Store => "store",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Source> {
        [Source::Api, Source::Rule, Source::Timer, Source::Store]
            .into_iter()
            .find(|source| source.as_str() == name)
    }
}

/// One fact. The value is kept as text: it is written more often than read.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// JSON in storage form (infinities as `1e999`). Empty: no value at all,
    /// which is what a rule writes when its reference leads nowhere.
    value: Box<str>,
    non_finite: bool,
    pub timestamp: u64,
    pub source: Source,
    pub version: u64,
    /// Place in the order of insertion.
    pub order: u64,
}

impl Fact {
    /// The value as clients see it; without one, `null`.
    pub fn write_value(&self, out: &mut Vec<u8>) {
        match self.value() {
            Some(value) if self.non_finite => value.write(out),
            Some(_) => out.extend_from_slice(self.value.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }

    pub fn value(&self) -> Option<Json> {
        (!self.value.is_empty()).then(|| Raw::checked(&self.value).to_json())
    }

    /// Bytes of the value.
    pub(super) fn size(&self) -> usize {
        self.value.len()
    }

    /// The value in storage form.
    pub(super) fn stored_value(&self) -> &str {
        &self.value
    }

    /// The fact object of the protocol. Without a value it has no such member.
    pub fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"key\":");
        write_string(out, key);
        if !self.value.is_empty() {
            out.extend_from_slice(b",\"value\":");
            self.write_value(out);
        }
        out.extend_from_slice(b",\"timestamp\":");
        write_number(out, self.timestamp as f64);
        out.extend_from_slice(b",\"source\":\"");
        out.extend_from_slice(self.source.as_str().as_bytes());
        out.extend_from_slice(b"\",\"version\":");
        write_number(out, self.version as f64);
        out.push(b'}');
    }

    pub(super) fn to_json(&self, key: &str) -> Json {
        let mut members = Object::with_capacity(5);
        members.insert("key", Json::from(key));
        if let Some(value) = self.value() {
            members.insert("value", value);
        }
        members.insert("timestamp", Json::Number(self.timestamp as f64));
        members.insert("source", Json::from(self.source.as_str()));
        members.insert("version", Json::Number(self.version as f64));
        Json::Object(members)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Sorted, so that a pattern reads only the keys with its literal prefix.
    by_key: BTreeMap<Box<str>, Fact>,
    /// Keys by insertion.
    order: BTreeMap<u64, Box<str>>,
    next_order: u64,
}

impl Facts {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Fact> {
        self.by_key.get(key)
    }

    /// Writes a fact; an existing one keeps its place in the order.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Option<&Json>,
        timestamp: u64,
        source: Source,
    ) -> &Fact {
        let old = self.by_key.get(key).map(|fact| (fact.version.saturating_add(1), fact.order));
        let (version, order) = old.unwrap_or((1, self.next_order));
        self.put(key, value, timestamp, source, version, order)
    }

    /// Writes a fact as it was.
    pub(super) fn put(
        &mut self,
        key: &str,
        value: Option<&Json>,
        timestamp: u64,
        source: Source,
        version: u64,
        order: u64,
    ) -> &Fact {
        let mut text = Vec::new();
        if let Some(value) = value {
            value.write_lossless(&mut text);
        }
        let value_text = String::from_utf8(text).unwrap_or_default().into();
        let non_finite = value.is_some_and(Json::has_non_finite);
        let fact = Fact { value: value_text, non_finite, timestamp, source, version, order };
        self.next_order = self.next_order.max(order.saturating_add(1));
        match self.by_key.entry(key.into()) {
            Entry::Occupied(slot) => {
                let slot = slot.into_mut();
                *slot = fact;
                slot
            }
            Entry::Vacant(slot) => {
                self.order.insert(order, slot.key().clone());
                slot.insert(fact)
            }
        }
    }

    pub(super) fn delete(&mut self, key: &str) -> bool {
        match self.by_key.remove(key) {
            Some(fact) => {
                self.order.remove(&fact.order);
                true
            }
            None => false,
        }
    }

    /// All facts in the order of insertion.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.order.values().filter_map(|key| self.by_key.get_key_value(key)).map(|(k, f)| (&**k, f))
    }

    /// The facts that match a pattern, in the order of insertion.
    pub(super) fn query(&self, pattern: &str) -> Vec<(&str, &Fact)> {
        let mut found = Vec::new();
        self.scan(pattern, |key, fact| found.push((key, fact)));
        found.sort_unstable_by_key(|(_, fact)| fact.order);
        found
    }

    /// The first fact in the order of insertion that matches, and how many keys
    /// were looked at.
    pub(super) fn first(&self, pattern: &str) -> (Option<&Fact>, usize) {
        let mut first: Option<&Fact> = None;
        let looked_at = self.scan(pattern, |_, fact| {
            if first.is_none_or(|have| fact.order < have.order) {
                first = Some(fact);
            }
        });
        (first, looked_at)
    }

    fn scan<'f>(&'f self, pattern: &str, mut found: impl FnMut(&'f str, &'f Fact)) -> usize {
        if Pattern::is_literal(pattern) {
            if let Some((key, fact)) = self.by_key.get_key_value(pattern) {
                found(key, fact);
            }
            return 1;
        }
        let prefix = pattern.split('*').next().unwrap_or_default();
        let compiled = Pattern::new(Grammar::Key, pattern);
        let mut looked_at = 0;
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (key, fact) in self.by_key.range::<str, _>(from) {
            if !key.starts_with(prefix) {
                break;
            }
            looked_at += 1;
            if compiled.matches(key) {
                found(key, fact);
            }
        }
        looked_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(facts: &mut Facts, key: &str, value: f64) -> u64 {
        facts.set(key, Some(&Json::Number(value)), 5, Source::Api).version
    }

    fn keys<'f>(found: Vec<(&'f str, &Fact)>) -> Vec<&'f str> {
        found.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn versions_and_order() {
        let mut facts = Facts::default();
        assert_eq!(set(&mut facts, "b:1", 1.0), 1);
        assert_eq!(set(&mut facts, "a:1", 1.0), 1);
        assert_eq!(set(&mut facts, "b:1", 1.0), 2);
        assert_eq!(keys(facts.iter().collect()), ["b:1", "a:1"]);
        assert!(facts.delete("b:1"));
        assert!(!facts.delete("b:1"));
        assert_eq!(set(&mut facts, "b:1", 1.0), 1);
        assert_eq!(keys(facts.iter().collect()), ["a:1", "b:1"]);
        assert_eq!(keys(facts.query("*:1")), ["a:1", "b:1"]);
        assert_eq!(keys(facts.query("b:1")), ["b:1"]);
        assert_eq!(facts.first("*:1").0.map(|fact| fact.order), Some(1));
        assert_eq!(facts.len(), 2);
    }

    #[test]
    fn fact_objects() {
        let mut facts = Facts::default();
        facts.set("__proto__", Some(&Json::Number(f64::INFINITY)), 12, Source::Rule);
        let mut out = Vec::new();
        facts.get("__proto__").expect("set").write("__proto__", &mut out);
        let expected =
            r#"{"key":"__proto__","value":null,"timestamp":12,"source":"rule","version":1}"#;
        assert_eq!(String::from_utf8(out).expect("text"), expected);
        assert_eq!(facts.get("__proto__").and_then(Fact::value), Some(Json::Number(f64::INFINITY)));
    }

    proptest::proptest! {
        #[test]
        fn queries_agree_with_looking_at_every_fact(
            keys in proptest::collection::vec("[ab]{0,2}(:[ab1]{0,2}){0,2}", 1..25),
            pattern in "[ab*]{0,2}(:[ab1*]{0,2}){0,2}",
        ) {
            let mut facts = Facts::default();
            for key in &keys {
                set(&mut facts, key, 0.0);
            }
            let compiled = Pattern::new(Grammar::Key, &pattern);
            let expected: Vec<&str> =
                facts.iter().map(|(key, _)| key).filter(|key| compiled.matches(key)).collect();
            proptest::prop_assert_eq!(super::tests::keys(facts.query(&pattern)), expected.clone());
            let first = expected.first().and_then(|key| facts.get(key));
            proptest::prop_assert_eq!(facts.first(&pattern).0, first);
        }
    }
}
