//! An ordered list that knows ranks: a counted B+ tree.
//!
//! Every inner node keeps, for each child, how many entries are below it and
//! the sum of their weights. So the rank of a key, the entry at a rank and the
//! weight of everything before a rank each cost one descent. Views use it for
//! rows in result order, with the length of a row's text as its weight: that
//! gives the place of a row in the serialised result.
//!
//! Counted trees are folklore; see for instance "order-statistic trees" in
//! Cormen et al., *Introduction to Algorithms*, chapter 14, here with wide
//! nodes because a cache line is dearer than a comparison.

mod iter;

#[cfg(test)]
mod tests;

/// Entries of a full leaf.
const LEAF: usize = 64;
/// Children of a full inner node.
const FANOUT: usize = 32;

/// One entry. Keys are unique within a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<K, V> {
    pub key: K,
    pub value: V,
    pub weight: u32,
}

#[derive(Clone, Debug)]
struct Child<K, V> {
    /// Not greater than any key below, and greater than every key below the
    /// children to the left.
    first: K,
    len: usize,
    weight: u64,
    node: Node<K, V>,
}

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(Vec<Entry<K, V>>),
    Inner(Vec<Child<K, V>>),
}

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Tree<K, V> {
    root: Node<K, V>,
    len: usize,
    weight: u64,
    leaves: usize,
}

/// Where a key is, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of entries before it.
    pub rank: usize,
    /// Sum of the weights of the entries before it.
    pub before: u64,
    /// Whether the key is in the tree.
    pub found: bool,
}

impl<K: Ord + Clone, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Clone, V> Tree<K, V> {
    pub fn new() -> Self {
        Tree { root: Node::Leaf(Vec::new()), len: 0, weight: 0, leaves: 1 }
    }

    /// A tree of entries that are in ascending order already. O(n).
    pub fn from_sorted(entries: impl IntoIterator<Item = Entry<K, V>>) -> Self {
        // Not filled to the brim, so that the first insertions do not split
        // every leaf.
        const FILL: usize = LEAF * 7 / 8;
        let mut leaves: Vec<Child<K, V>> = Vec::new();
        let mut leaf: Vec<Entry<K, V>> = Vec::with_capacity(LEAF);
        let (mut len, mut weight) = (0, 0);
        for entry in entries {
            debug_assert!(leaf.last().is_none_or(|last| last.key < entry.key));
            len += 1;
            weight += u64::from(entry.weight);
            leaf.push(entry);
            if leaf.len() == FILL {
                let full = std::mem::replace(&mut leaf, Vec::with_capacity(LEAF));
                leaves.extend(Child::over(Node::Leaf(full)));
            }
        }
        leaves.extend(Child::over(Node::Leaf(leaf)));
        let count = leaves.len().max(1);
        let mut level = leaves;
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len() / FANOUT + 1);
            let mut rest = level.into_iter().peekable();
            while rest.peek().is_some() {
                let children: Vec<_> = rest.by_ref().take(FANOUT * 7 / 8).collect();
                above.extend(Child::over(Node::Inner(children)));
            }
            level = above;
        }
        let root = level.pop().map_or(Node::Leaf(Vec::new()), |only| only.node);
        Tree { root, len, weight, leaves: count }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives back a leaf of a tree that is not used any more; how many entries
    /// it had, `None` if there is none.
    pub fn release(&mut self) -> Option<usize> {
        let released = self.root.release();
        (released > 0).then_some(released)
    }

    /// Sum of all weights.
    #[cfg(test)]
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Bytes of the nodes, about. What keys and values point to is not counted.
    pub fn memory(&self) -> usize {
        let per_leaf = LEAF * size_of::<Entry<K, V>>() + size_of::<Child<K, V>>();
        self.leaves * (per_leaf + per_leaf / FANOUT)
    }

    /// Adds an entry and returns its rank. An entry with the same key is
    /// replaced.
    pub fn insert(&mut self, key: K, value: V, weight: u32) -> usize {
        if self.locate(&key).found {
            self.remove(&key);
        }
        self.len += 1;
        self.weight += u64::from(weight);
        let mut grown = 0;
        let (rank, split) = self.root.insert(Entry { key, value, weight }, &mut grown);
        self.leaves += grown;
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let children: Vec<_> = Child::over(left).into_iter().chain([right]).collect();
            self.root = Node::Inner(children);
        }
        rank
    }

    /// Takes an entry out and returns the rank it had.
    pub fn remove(&mut self, key: &K) -> Option<(usize, Entry<K, V>)> {
        let mut shrunk = 0;
        let (rank, entry) = self.root.remove(key, &mut shrunk)?;
        self.leaves = self.leaves.saturating_sub(shrunk).max(1);
        self.len -= 1;
        self.weight -= u64::from(entry.weight);
        loop {
            match &mut self.root {
                Node::Inner(children) if children.len() <= 1 => {
                    self.root = children.pop().map_or(Node::Leaf(Vec::new()), |only| only.node);
                }
                _ => break,
            }
        }
        Some((rank, entry))
    }

    /// Changes value and weight of an entry in place and returns the old value.
    pub fn replace(&mut self, key: &K, value: V, weight: u32) -> Option<V> {
        let (old, old_weight) = self.root.replace(key, value, weight)?;
        self.weight = self.weight - u64::from(old_weight) + u64::from(weight);
        Some(old)
    }

    pub fn locate(&self, key: &K) -> Place {
        let (mut rank, mut before) = (0, 0);
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(children) => {
                    let at = child_of(children, key);
                    for child in children.iter().take(at) {
                        rank += child.len;
                        before += child.weight;
                    }
                    match children.get(at) {
                        Some(child) => node = &child.node,
                        None => return Place { rank, before, found: false },
                    }
                }
                Node::Leaf(entries) => {
                    let at = entries.partition_point(|entry| entry.key < *key);
                    for entry in entries.iter().take(at) {
                        before += u64::from(entry.weight);
                    }
                    let found = entries.get(at).is_some_and(|entry| entry.key == *key);
                    return Place { rank: rank + at, before, found };
                }
            }
        }
    }

    /// The entry with this many entries before it.
    pub fn at(&self, rank: usize) -> Option<&Entry<K, V>> {
        self.iter_from(rank).next()
    }

    /// Sum of the weights of the first `rank` entries.
    pub fn weight_before(&self, rank: usize) -> u64 {
        if rank >= self.len {
            return self.weight;
        }
        let (mut rest, mut before) = (rank, 0);
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(children) => {
                    let mut next = None;
                    for child in children {
                        if rest < child.len {
                            next = Some(&child.node);
                            break;
                        }
                        rest -= child.len;
                        before += child.weight;
                    }
                    match next {
                        Some(below) => node = below,
                        None => return before,
                    }
                }
                Node::Leaf(entries) => {
                    return before
                        + entries.iter().take(rest).map(|e| u64::from(e.weight)).sum::<u64>();
                }
            }
        }
    }

    pub fn first(&self) -> Option<&Entry<K, V>> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first(),
                Node::Inner(children) => node = &children.first()?.node,
            }
        }
    }

    pub fn last(&self) -> Option<&Entry<K, V>> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.last(),
                Node::Inner(children) => node = &children.last()?.node,
            }
        }
    }

    /// Holds what must always be true. Walks everything.
    #[cfg(test)]
    pub fn check(&self) {
        let (len, weight, leaves) = self.root.check();
        assert_eq!((len, weight, leaves), (self.len, self.weight, self.leaves));
        let keys: Vec<&K> = self.iter().map(|entry| &entry.key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "order");
    }
}

/// The child whose range holds the key.
fn child_of<K: Ord, V>(children: &[Child<K, V>], key: &K) -> usize {
    children.partition_point(|child| child.first <= *key).saturating_sub(1)
}

impl<K: Ord + Clone, V> Child<K, V> {
    /// `None` for an empty node.
    fn over(node: Node<K, V>) -> Option<Self> {
        let (first, len, weight) = match &node {
            Node::Leaf(entries) => (
                entries.first()?.key.clone(),
                entries.len(),
                entries.iter().map(|entry| u64::from(entry.weight)).sum(),
            ),
            Node::Inner(children) => (
                children.first()?.first.clone(),
                children.iter().map(|child| child.len).sum(),
                children.iter().map(|child| child.weight).sum(),
            ),
        };
        Some(Child { first, len, weight, node })
    }
}

impl<K: Ord + Clone, V> Node<K, V> {
    /// Returns the rank and, if this node became too large, its right half.
    fn insert(&mut self, entry: Entry<K, V>, grown: &mut usize) -> (usize, Option<Child<K, V>>) {
        match self {
            Node::Leaf(entries) => {
                let at = entries.partition_point(|have| have.key < entry.key);
                entries.insert(at, entry);
                if entries.len() <= LEAF {
                    return (at, None);
                }
                // Appending is the common case (new records come last): leave a
                // full leaf behind and not one that is half empty for ever.
                let cut = if at + 1 == entries.len() { LEAF } else { entries.len() / 2 };
                *grown += 1;
                let mut right = Vec::with_capacity(LEAF + 1);
                right.extend(entries.drain(cut..));
                (at, Child::over(Node::Leaf(right)))
            }
            Node::Inner(children) => {
                let at = child_of(children, &entry.key);
                let before: usize = children.iter().take(at).map(|child| child.len).sum();
                let Some(child) = children.get_mut(at) else { return (before, None) };
                if entry.key < child.first {
                    child.first = entry.key.clone();
                }
                child.len += 1;
                child.weight += u64::from(entry.weight);
                let (rank, split) = child.node.insert(entry, grown);
                if let Some(right) = split {
                    child.len -= right.len;
                    child.weight -= right.weight;
                    children.insert(at + 1, right);
                }
                if children.len() <= FANOUT {
                    return (before + rank, None);
                }
                let cut = if at + 2 >= children.len() { FANOUT } else { children.len() / 2 };
                let mut right = Vec::with_capacity(FANOUT + 1);
                right.extend(children.drain(cut..));
                (before + rank, Child::over(Node::Inner(right)))
            }
        }
    }

    fn remove(&mut self, key: &K, shrunk: &mut usize) -> Option<(usize, Entry<K, V>)> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.binary_search_by(|entry| entry.key.cmp(key)).ok()?;
                Some((at, entries.remove(at)))
            }
            Node::Inner(children) => {
                let at = child_of(children, key);
                let before: usize = children.iter().take(at).map(|child| child.len).sum();
                let child = children.get_mut(at)?;
                let (rank, entry) = child.node.remove(key, shrunk)?;
                child.len -= 1;
                child.weight -= u64::from(entry.weight);
                if child.len == 0 {
                    *shrunk += child.node.leaves();
                    children.remove(at);
                } else if child.node.size() < child.node.capacity() / 4 {
                    // Small neighbours become one. Together they fill at most
                    // three quarters, so the next insertion does not split again.
                    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
                    *shrunk += usize::from(merge(children, left));
                }
                Some((before + rank, entry))
            }
        }
    }

    fn replace(&mut self, key: &K, value: V, weight: u32) -> Option<(V, u32)> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.binary_search_by(|entry| entry.key.cmp(key)).ok()?;
                let entry = entries.get_mut(at)?;
                let old = std::mem::replace(&mut entry.value, value);
                Some((old, std::mem::replace(&mut entry.weight, weight)))
            }
            Node::Inner(children) => {
                let at = child_of(children, key);
                let child = children.get_mut(at)?;
                let (old, old_weight) = child.node.replace(key, value, weight)?;
                child.weight = child.weight - u64::from(old_weight) + u64::from(weight);
                Some((old, old_weight))
            }
        }
    }

    /// Drops the last leaf; how many entries it had.
    fn release(&mut self) -> usize {
        match self {
            Node::Leaf(entries) => std::mem::take(entries).len(),
            Node::Inner(children) => loop {
                let Some(last) = children.last_mut() else { return 0 };
                match last.node.release() {
                    0 => drop(children.pop()),
                    released => return released,
                }
            },
        }
    }

    fn size(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF,
            Node::Inner(_) => FANOUT,
        }
    }

    fn leaves(&self) -> usize {
        match self {
            Node::Leaf(_) => 1,
            Node::Inner(children) => children.iter().map(|child| child.node.leaves()).sum(),
        }
    }

    #[cfg(test)]
    fn check(&self) -> (usize, u64, usize) {
        match self {
            Node::Leaf(entries) => {
                assert!(entries.len() <= LEAF);
                (entries.len(), entries.iter().map(|e| u64::from(e.weight)).sum(), 1)
            }
            Node::Inner(children) => {
                assert!(!children.is_empty() && children.len() <= FANOUT);
                let mut sums = (0, 0, 0);
                for child in children {
                    let (len, weight, leaves) = child.node.check();
                    assert_eq!((len, weight), (child.len, child.weight));
                    sums = (sums.0 + len, sums.1 + weight, sums.2 + leaves);
                }
                sums
            }
        }
    }
}

/// Joins a child with the one to its right if they fit into three quarters of
/// a node. Returns whether that freed a leaf.
fn merge<K: Ord + Clone, V>(children: &mut Vec<Child<K, V>>, left: usize) -> bool {
    let fits = match (children.get(left), children.get(left + 1)) {
        (Some(a), Some(b)) => a.node.size() + b.node.size() <= a.node.capacity() * 3 / 4,
        _ => false,
    };
    if !fits {
        return false;
    }
    let right = children.remove(left + 1);
    let Some(child) = children.get_mut(left) else { return false };
    child.len += right.len;
    child.weight += right.weight;
    match (&mut child.node, right.node) {
        (Node::Leaf(entries), Node::Leaf(more)) => {
            entries.extend(more);
            true
        }
        (Node::Inner(below), Node::Inner(more)) => {
            below.extend(more);
            false
        }
        // All leaves are on one level.
        (_, _) => unreachable!("siblings of different kinds"),
    }
}
