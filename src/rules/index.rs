//! From a subject (topic, key, timer name) to the patterns that match it, at a
//! cost that does not depend on how many other patterns there are.
//!
//! Patterns without a wildcard are found in a map. The others lie in a trie of
//! segments; a segment such as `eu-*` is found by its literal prefix and suffix.
//! Knows nothing of what the patterns are for.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};
use slab::Slab;

use super::pattern::{End, Glob, Grammar, Pattern, Segment};

/// Patterns with more segments than this are compared one by one: a trie of
/// single characters and dots would cost a hundred times the text of a pattern.
const MAX_TRIE_SEGMENTS: usize = 16;

/// All members of one pattern, in the order of their numbers.
#[derive(Debug)]
pub struct Group<V> {
    /// Grows with every pattern that is new to the index.
    pub created: u64,
    pub members: BTreeMap<u64, V>,
}

/// Values by pattern; see the module's documentation.
#[derive(Debug)]
pub struct PatternIndex<V> {
    grammar: Grammar,
    exact: HashMap<Box<str>, Group<V>>,
    wild: HashMap<Box<str>, usize>,
    groups: Slab<Group<V>>,
    nodes: Slab<Node>,
    root: usize,
    long: Vec<(Box<str>, usize)>,
    created: u64,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    any: Option<usize>,
    any_or_empty: Option<usize>,
    globs: Option<Box<Globs>>,
    /// Patterns that end here; several texts may mean the same.
    ends: Vec<(End, usize)>,
}

impl Node {
    fn is_unused(&self) -> bool {
        self.ends.is_empty()
            && self.literals.is_empty()
            && self.any.is_none()
            && self.any_or_empty.is_none()
            && self.globs.is_none()
    }

    fn child(&self, segment: &Segment) -> Option<usize> {
        match segment {
            Segment::Literal(text) => self.literals.get(text).copied(),
            Segment::Any => self.any,
            Segment::AnyOrEmpty => self.any_or_empty,
            Segment::Glob(glob) => self.globs.as_ref().and_then(|globs| globs.find(glob)),
        }
    }

    fn set_child(&mut self, segment: &Segment, child: Option<usize>) {
        match (segment, child) {
            (Segment::Literal(text), Some(child)) => {
                self.literals.insert(text.clone(), child);
            }
            (Segment::Literal(text), None) => {
                self.literals.remove(text);
            }
            (Segment::Any, child) => self.any = child,
            (Segment::AnyOrEmpty, child) => self.any_or_empty = child,
            (Segment::Glob(glob), Some(child)) => {
                self.globs.get_or_insert_default().insert(glob.clone(), child);
            }
            (Segment::Glob(glob), None) => {
                if let Some(globs) = &mut self.globs {
                    globs.remove(glob);
                    if globs.is_empty() {
                        self.globs = None;
                    }
                }
            }
        }
    }
}

/// Globs of one node, by their literal prefix and suffix together, and by the
/// lengths of the two: a segment is looked up once for each pair of lengths and
/// not once for each glob. Only globs without both (`*x*`) are compared one by
/// one.
#[derive(Debug, Default)]
struct Globs {
    by_lengths: BTreeMap<(usize, usize), ByAffixes>,
}

/// Globs of equal lengths, by prefix and suffix.
type ByAffixes = HashMap<Affixes, Vec<(Glob, usize)>>;

/// A literal prefix and suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Affixes {
    prefix: Box<str>,
    suffix: Box<str>,
}

/// The ends of a segment, to look up affixes without copying them.
#[derive(Clone, Copy, Debug)]
struct Ends<'s> {
    front: &'s str,
    back: &'s str,
}

impl Hash for Ends<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Within a group all have the same lengths: nothing separates the two.
        state.write(self.front.as_bytes());
        state.write(self.back.as_bytes());
    }
}

impl Hash for Affixes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Ends { front: &self.prefix, back: &self.suffix }.hash(state);
    }
}

impl Equivalent<Affixes> for Ends<'_> {
    fn equivalent(&self, affixes: &Affixes) -> bool {
        *self.front == *affixes.prefix && *self.back == *affixes.suffix
    }
}

impl Globs {
    fn find(&self, glob: &Glob) -> Option<usize> {
        let (prefix, suffix) = (glob.prefix(), glob.suffix());
        let group = self.by_lengths.get(&(prefix.len(), suffix.len()))?;
        let globs = group.get(&Ends { front: prefix, back: suffix })?;
        globs.iter().find(|(have, _)| have == glob).map(|(_, child)| *child)
    }

    fn insert(&mut self, glob: Glob, child: usize) {
        let (prefix, suffix) = (glob.prefix(), glob.suffix());
        let group = self.by_lengths.entry((prefix.len(), suffix.len())).or_default();
        let affixes = Affixes { prefix: prefix.into(), suffix: suffix.into() };
        group.entry(affixes).or_default().push((glob, child));
    }

    fn remove(&mut self, glob: &Glob) {
        let (prefix, suffix) = (glob.prefix(), glob.suffix());
        let lengths = (prefix.len(), suffix.len());
        let Some(group) = self.by_lengths.get_mut(&lengths) else { return };
        let key = Ends { front: prefix, back: suffix };
        let Some(globs) = group.get_mut(&key) else { return };
        globs.retain(|(have, _)| have != glob);
        if globs.is_empty() {
            group.remove(&key);
        }
        if group.is_empty() {
            self.by_lengths.remove(&lengths);
        }
    }

    fn is_empty(&self) -> bool {
        self.by_lengths.is_empty()
    }

    /// All globs that may match a segment.
    fn candidates<'g>(&'g self, segment: &'g str) -> impl Iterator<Item = &'g (Glob, usize)> {
        self.by_lengths.iter().flat_map(move |((prefix, suffix), group)| {
            // A length may end inside a character of this segment, or leave
            // nothing for the wildcard.
            let rest = segment.len().checked_sub(prefix + suffix).filter(|rest| *rest > 0);
            let found = rest.and_then(|_| {
                let front = segment.get(..*prefix)?;
                let back = segment.get(segment.len() - suffix..)?;
                group.get(&Ends { front, back })
            });
            found.map_or(&[][..], Vec::as_slice)
        })
    }
}

impl<V> PatternIndex<V> {
    pub fn new(grammar: Grammar) -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        Self {
            grammar,
            exact: HashMap::new(),
            wild: HashMap::new(),
            groups: Slab::new(),
            nodes,
            root,
            long: Vec::new(),
            created: 0,
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// Adds a member to a pattern. `number` orders the members and names this
    /// one for [`PatternIndex::remove`].
    pub fn insert(&mut self, pattern: &str, number: u64, value: V) {
        self.insert_at(pattern, number, value, self.created + 1);
    }

    /// Adds a member to a pattern which, if it is new, takes this place among
    /// the patterns; what is the place of the pattern now.
    pub fn insert_at(&mut self, pattern: &str, number: u64, value: V, place: u64) -> u64 {
        if let Some(group) = self.group_mut(pattern) {
            group.members.insert(number, value);
            return group.created;
        }
        self.created = self.created.max(place);
        self.insert_new(pattern, number, value, place);
        place
    }

    /// The place that the next new pattern takes.
    pub fn next_place(&self) -> u64 {
        self.created + 1
    }

    fn insert_new(&mut self, pattern: &str, number: u64, value: V, created: u64) {
        let group = Group { created, members: BTreeMap::from([(number, value)]) };
        if Pattern::is_literal(pattern) {
            self.exact.insert(pattern.into(), group);
            return;
        }
        let slot = self.groups.insert(group);
        self.wild.insert(pattern.into(), slot);
        if self.is_long(pattern) {
            self.long.push((pattern.into(), slot));
        } else {
            self.plant(&Pattern::new(self.grammar, pattern), slot);
        }
    }

    fn is_long(&self, pattern: &str) -> bool {
        pattern.split(self.grammar.separator()).nth(MAX_TRIE_SEGMENTS).is_some()
    }

    fn group_mut(&mut self, pattern: &str) -> Option<&mut Group<V>> {
        if Pattern::is_literal(pattern) {
            self.exact.get_mut(pattern)
        } else {
            self.wild.get(pattern).and_then(|slot| self.groups.get_mut(*slot))
        }
    }

    fn plant(&mut self, pattern: &Pattern, slot: usize) {
        let mut at = self.root;
        for segment in &pattern.segments {
            let child = self.nodes.get(at).and_then(|node| node.child(segment));
            at = match child {
                Some(child) => child,
                None => {
                    let child = self.nodes.insert(Node::default());
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.set_child(segment, Some(child));
                    }
                    child
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push((pattern.end, slot));
        }
    }

    /// Takes a member out, and the pattern with its last member.
    pub fn remove(&mut self, pattern: &str, number: u64) -> Option<V> {
        let group = self.group_mut(pattern)?;
        let value = group.members.remove(&number)?;
        if !group.members.is_empty() {
            return Some(value);
        }
        if self.exact.remove(pattern).is_some() {
            return Some(value);
        }
        if let Some(slot) = self.wild.remove(pattern) {
            self.groups.try_remove(slot);
            if self.is_long(pattern) {
                self.long.retain(|(_, have)| *have != slot);
            } else {
                self.uproot(&Pattern::new(self.grammar, pattern), slot);
            }
        }
        Some(value)
    }

    fn uproot(&mut self, pattern: &Pattern, slot: usize) {
        let mut path = vec![self.root];
        for segment in &pattern.segments {
            let last = path.last().copied().unwrap_or(self.root);
            let Some(child) = self.nodes.get(last).and_then(|node| node.child(segment)) else {
                return;
            };
            path.push(child);
        }
        if let Some(node) = path.last().and_then(|last| self.nodes.get_mut(*last)) {
            node.ends.retain(|(_, have)| *have != slot);
        }
        for segment in pattern.segments.iter().rev() {
            let Some(node) = path.pop() else { return };
            if !self.nodes.get(node).is_some_and(Node::is_unused) {
                return;
            }
            self.nodes.try_remove(node);
            if let Some(parent) = path.last().and_then(|parent| self.nodes.get_mut(*parent)) {
                parent.set_child(segment, None);
            }
        }
    }

    /// The group of the pattern that is the subject itself, without wildcards.
    pub fn exact(&self, subject: &str) -> Option<&Group<V>> {
        self.exact.get(subject)
    }

    /// Hands out the groups of all wildcard patterns that match, in no order.
    pub fn each_wild<'s>(&'s self, subject: &str, mut found: impl FnMut(&'s Group<V>)) {
        if self.wild.is_empty() {
            return;
        }
        self.walk(self.root, Some(subject), &mut found);
        for (pattern, slot) in &self.long {
            if Pattern::text_matches(self.grammar, pattern, subject)
                && let Some(group) = self.groups.get(*slot)
            {
                found(group);
            }
        }
    }

    /// As deep as the trie, which is bounded.
    fn walk<'s>(&'s self, at: usize, rest: Option<&str>, found: &mut impl FnMut(&'s Group<V>)) {
        let Some(node) = self.nodes.get(at) else { return };
        for (end, slot) in &node.ends {
            if end.accepts(rest)
                && let Some(group) = self.groups.get(*slot)
            {
                found(group);
            }
        }
        let Some(rest) = rest else { return };
        let (segment, behind) = match rest.split_once(self.grammar.separator()) {
            Some((segment, behind)) => (segment, Some(behind)),
            None => (rest, None),
        };
        if let Some(child) = node.literals.get(segment) {
            self.walk(*child, behind, found);
        }
        if let Some(child) = node.any_or_empty {
            self.walk(child, behind, found);
        }
        if segment.is_empty() {
            return;
        }
        if let Some(child) = node.any {
            self.walk(child, behind, found);
        }
        if let Some(globs) = &node.globs {
            for (glob, child) in globs.candidates(segment) {
                if glob.matches(segment) {
                    self.walk(*child, behind, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &PatternIndex<&'static str>, subject: &str) -> Vec<u64> {
        let mut numbers = Vec::new();
        if let Some(group) = index.exact(subject) {
            numbers.extend(group.members.keys());
        }
        index.each_wild(subject, |group| numbers.extend(group.members.keys()));
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn nothing_is_left_when_everything_is_removed() {
        let mut index = PatternIndex::new(Grammar::Topic);
        let deep = vec!["*"; 40].join(".");
        let patterns = ["a.b", "a.*", "*.b", "a*.b", "*z.b", "*m*.b", "a*.c", "a.*", &deep];
        for (number, pattern) in (0..).zip(patterns) {
            index.insert(pattern, number, "x");
        }
        assert_eq!(found(&index, "a.b"), [0, 1, 2, 7]);
        assert_eq!(found(&index, "amz.b"), [2, 3, 4, 5]);
        assert_eq!(found(&index, &vec!["q"; 40].join(".")), [8]);
        for (number, pattern) in (0..).zip(patterns) {
            assert_eq!(index.remove(pattern, number), Some("x"), "{pattern}");
            assert_eq!(index.remove(pattern, number), None, "{pattern}");
        }
        assert!(index.is_empty() && index.groups.is_empty() && index.long.is_empty());
        assert_eq!(index.nodes.len(), 1);
    }

    #[test]
    fn a_pattern_keeps_its_place_while_it_has_members() {
        let mut index = PatternIndex::new(Grammar::Topic);
        index.insert("x.*", 1, "");
        index.insert("*.y", 2, "");
        index.insert("x.*", 3, "");
        index.remove("x.*", 1);
        let mut order = Vec::new();
        index.each_wild("x.y", |group| order.push((group.created, group.members.len())));
        order.sort_unstable();
        assert_eq!(order, [(1, 1), (2, 1)]);
        index.remove("x.*", 3);
        index.insert("x.*", 4, "");
        order.clear();
        index.each_wild("x.y", |group| order.push((group.created, group.members.len())));
        order.sort_unstable();
        assert_eq!(order, [(2, 1), (3, 1)]);
    }

    proptest::proptest! {
        /// Whatever is registered and removed again, the index finds exactly
        /// the patterns that match by themselves.
        #[test]
        fn agrees_with_comparing_one_by_one(
            grammar in 0..3usize,
            patterns in proptest::collection::vec("[ab*é]{0,3}([.:][ab*]{0,3}){0,3}", 1..30),
            removed in proptest::collection::vec(0..30usize, 0..20),
            subjects in proptest::collection::vec("[abé]{0,4}([.:][ab]{0,3}){0,4}", 1..20),
        ) {
            let grammar = [Grammar::Subscription, Grammar::Topic, Grammar::Key]
                .into_iter().nth(grammar).expect("three");
            let mut index = PatternIndex::new(grammar);
            for (number, pattern) in (0..).zip(&patterns) {
                index.insert(pattern, number, "");
            }
            for &number in &removed {
                if let Some(pattern) = patterns.get(number) {
                    index.remove(pattern, number as u64);
                }
            }
            for subject in &subjects {
                let expected: Vec<u64> = (0..)
                    .zip(&patterns)
                    .filter(|(number, _)| !removed.contains(&(*number as usize)))
                    .filter(|(_, pattern)| Pattern::new(grammar, pattern).matches(subject))
                    .map(|(number, _)| number)
                    .collect();
                proptest::prop_assert_eq!(found(&index, subject), expected);
            }
        }
    }
}
