//! Walking a tree from a rank on.

use super::{Child, Entry, Node, Tree};

/// See [`Tree::iter_from`].
#[derive(Debug)]
pub(crate) struct Iter<'t, K, V> {
    stack: Vec<std::slice::Iter<'t, Child<K, V>>>,
    leaf: std::slice::Iter<'t, Entry<K, V>>,
}

impl<K: Ord + Clone, V> Tree<K, V> {
    /// All entries from a rank on, in order.
    pub fn iter_from(&self, rank: usize) -> Iter<'_, K, V> {
        let mut iter = Iter { stack: Vec::new(), leaf: [].iter() };
        let (mut rest, mut node) = (rank, &self.root);
        loop {
            match node {
                Node::Inner(children) => {
                    let mut at = 0;
                    for child in children {
                        if rest < child.len {
                            break;
                        }
                        rest -= child.len;
                        at += 1;
                    }
                    let mut right = children.get(at..).unwrap_or_default().iter();
                    let Some(child) = right.next() else { return iter };
                    iter.stack.push(right);
                    node = &child.node;
                }
                Node::Leaf(entries) => {
                    iter.leaf = entries.get(rest..).unwrap_or_default().iter();
                    return iter;
                }
            }
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.iter_from(0)
    }
}

impl<'t, K, V> Iterator for Iter<'t, K, V> {
    type Item = &'t Entry<K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(entry);
            }
            let mut node = loop {
                match self.stack.last_mut()?.next() {
                    Some(child) => break &child.node,
                    None => drop(self.stack.pop()),
                }
            };
            while let Node::Inner(children) = node {
                let mut children = children.iter();
                node = &children.next()?.node;
                self.stack.push(children);
            }
            if let Node::Leaf(entries) = node {
                self.leaf = entries.iter();
            }
        }
    }
}
