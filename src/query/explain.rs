//! What `store.explain` says of the live queries over a bucket: how each is
//! kept, how changes find it, and what it fell back to.

use std::collections::BTreeMap;

use super::live::Live;
use super::views::Views;
use crate::json::{Json, Object};

#[derive(Default)]
struct Totals<'v> {
    views: usize,
    subscribers: usize,
    commits: u64,
    changes: u64,
    reruns: u64,
    refills: u64,
    failures: u64,
    memory: usize,
    routed_by: Vec<&'v str>,
    state: BTreeMap<&'static str, usize>,
    fallbacks: BTreeMap<&'static str, usize>,
}

impl Views {
    /// How the views of a query are kept. All numbers are sums over its views,
    /// one per set of parameters that somebody subscribed with:
    ///
    /// - `routedBy`: the fields whose values lead a change to the views; empty:
    ///   every change of the bucket is looked at;
    /// - `state`: what is kept, with the number of views; `rerun` means that
    ///   they are evaluated afresh at every change, and `fallbacks` says why;
    /// - `commits` that touched a matching record, `changes` of the result,
    ///   `reruns` from scratch, `refills` of lists of which only the beginning
    ///   is kept, `failures` of programs' queries, `memoryBytes` of state.
    pub fn explain(&self, query: &str) -> Json {
        let mut totals = Totals::default();
        for (routes, view) in self.views_of(query) {
            totals.add(view);
            totals.routed_by = routes.iter().flat_map(|(_, route)| route.fields()).collect();
        }
        totals.into_json(query)
    }
}

impl Totals<'_> {
    fn add(&mut self, view: &Live) {
        self.views += 1;
        self.subscribers += view.subscribers();
        let stats = view.stats();
        self.commits += stats.commits;
        self.changes += stats.changes;
        self.reruns += stats.reruns;
        self.failures += view.failures();
        self.refills += view.refills();
        self.memory += view.memory();
        *self.state.entry(view.describe()).or_default() += 1;
        if let Some(fallback) = view.fallback() {
            *self.fallbacks.entry(fallback).or_default() += 1;
        }
    }

    fn into_json(self, name: &str) -> Json {
        let number = |value: usize| Json::Number(value as f64);
        let count = |value: u64| Json::Number(value as f64);
        let counts = |map: BTreeMap<&'static str, usize>| {
            Json::Object(map.into_iter().map(|(name, n)| (name, number(n))).collect())
        };
        let fields = self.routed_by.into_iter().map(Json::from).collect();
        let members: Object = [
            ("query", Json::from(name)),
            ("views", number(self.views)),
            ("subscribers", number(self.subscribers)),
            ("routedBy", Json::Array(fields)),
            ("state", counts(self.state)),
            ("fallbacks", counts(self.fallbacks)),
            ("commits", count(self.commits)),
            ("changes", count(self.changes)),
            ("reruns", count(self.reruns)),
            ("refills", count(self.refills)),
            ("failures", count(self.failures)),
            ("memoryBytes", number(self.memory)),
        ]
        .into_iter()
        .collect();
        Json::Object(members)
    }
}
