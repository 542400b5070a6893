//! Who subscribed to which events.
//!
//! Finds the subscriptions of a topic in the order in which pushes are
//! delivered. Knows nothing of connections beyond the value they gave.

use std::collections::HashMap;

use super::index::{Group, PatternIndex};
use super::pattern::Grammar;

/// Event subscriptions by their number, which grows with every subscription.
#[derive(Debug)]
pub struct Subscriptions<T> {
    index: PatternIndex<T>,
    patterns: HashMap<u64, Box<str>>,
}

impl<T> Default for Subscriptions<T> {
    fn default() -> Self {
        Self { index: PatternIndex::new(Grammar::Subscription), patterns: HashMap::new() }
    }
}

impl<T> Subscriptions<T> {
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn add(&mut self, number: u64, pattern: &str, value: T) {
        self.index.insert(pattern, number, value);
        self.patterns.insert(number, pattern.into());
    }

    pub fn remove(&mut self, number: u64) -> Option<T> {
        let pattern = self.patterns.remove(&number)?;
        self.index.remove(&pattern, number)
    }

    /// The pattern of a subscription.
    pub fn pattern(&self, number: u64) -> Option<&str> {
        self.patterns.get(&number).map(|pattern| &**pattern)
    }

    /// Those whose pattern is the topic itself, in order; then those of each
    /// wildcard pattern, patterns in the order in which they came to have
    /// subscriptions. One that loses its first subscription keeps its place as
    /// long as another is left.
    pub fn matching<'s>(&'s self, topic: &str) -> impl Iterator<Item = (u64, &'s T)> {
        let mut groups: Vec<&Group<T>> = Vec::new();
        self.index.each_wild(topic, |group| groups.push(group));
        groups.sort_unstable_by_key(|group| group.created);
        self.index
            .exact(topic)
            .into_iter()
            .chain(groups)
            .flat_map(|group| group.members.iter().map(|(number, value)| (*number, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(subscriptions: &Subscriptions<&str>, topic: &str) -> Vec<u64> {
        subscriptions.matching(topic).map(|(number, _)| number).collect()
    }

    #[test]
    fn delivery_order() {
        let mut all = Subscriptions::default();
        for (number, pattern) in
            [(1, "x.*"), (2, "*"), (3, "x.y"), (4, "x.*"), (5, "x.y"), (6, "*.y"), (7, "z")]
        {
            all.add(number, pattern, pattern);
        }
        assert_eq!(order(&all, "x.y"), [3, 5, 1, 4, 2, 6]);
        assert_eq!(order(&all, "x"), [1, 4, 2]);
        assert_eq!(order(&all, "q"), [2]);
        assert_eq!(all.remove(1), Some("x.*"));
        assert_eq!(all.remove(1), None);
        assert_eq!(order(&all, "x.y"), [3, 5, 4, 2, 6]);
        assert_eq!(all.len(), 6);
        // With its last subscription the pattern loses its place.
        assert_eq!(all.remove(4), Some("x.*"));
        all.add(8, "x.*", "again");
        assert_eq!(order(&all, "x.y"), [3, 5, 2, 6, 8]);
    }
}
