//! Which of many intervals contain a value.
//!
//! The intervals lie in an array sorted by their lower ends, read as a balanced
//! search tree (the root of a range is its middle), and beside each stands the
//! greatest upper end below it: an interval tree as in Cormen et al.,
//! *Introduction to Algorithms*, chapter 14, without pointers. New intervals
//! wait in a short unsorted list, removed ones are blanked; when either becomes
//! a sixteenth or a half of the whole, the array is made anew. So a search costs
//! O(log n + hits) and a change O(log n) amortised.

/// An end of an interval; ends belong to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End<K> {
    BelowAll,
    At(K),
    AboveAll,
}

#[derive(Clone, Debug)]
struct Interval<K, V> {
    low: End<K>,
    high: End<K>,
    value: V,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Intervals<K, V> {
    sorted: Vec<Interval<K, V>>,
    /// The greatest upper end in the range of which this is the middle.
    most: Vec<End<K>>,
    recent: Vec<Interval<K, V>>,
    removed: usize,
}

impl<K, V> Default for Intervals<K, V> {
    fn default() -> Self {
        Intervals { sorted: Vec::new(), most: Vec::new(), recent: Vec::new(), removed: 0 }
    }
}

impl<K: Ord + Clone, V: Ord + Copy> Intervals<K, V> {
    pub fn insert(&mut self, low: End<K>, high: End<K>, value: V) {
        self.recent.push(Interval { low, high, value });
        if self.recent.len() > 64 + self.sorted.len() / 16 {
            self.rebuild();
        }
    }

    /// Takes out an interval by its lower end and its value.
    pub fn remove(&mut self, low: &End<K>, value: V) {
        let is_it = |have: &Interval<K, V>| have.value == value && have.low == *low;
        if let Some(at) = self.recent.iter().position(is_it) {
            self.recent.swap_remove(at);
            return;
        }
        let before = |have: &Interval<K, V>| (&have.low, have.value) < (low, value);
        let at = self.sorted.partition_point(before);
        if let Some(have) = self.sorted.get_mut(at).filter(|have| is_it(have)) {
            // Contains nothing. What stands in `most` is too much at worst.
            have.high = End::BelowAll;
            self.removed += 1;
        }
        if self.removed > 64 + self.sorted.len() / 2 {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        self.sorted.retain(|have| have.high != End::BelowAll);
        self.sorted.append(&mut self.recent);
        self.sorted.sort_unstable_by(|a, b| (&a.low, a.value).cmp(&(&b.low, b.value)));
        self.removed = 0;
        self.most = vec![End::BelowAll; self.sorted.len()];
        self.measure(0, self.sorted.len());
    }

    fn measure(&mut self, from: usize, to: usize) -> End<K> {
        if from >= to {
            return End::BelowAll;
        }
        let middle = from + (to - from) / 2;
        let below = self.measure(from, middle).max(self.measure(middle + 1, to));
        let own = self.sorted.get(middle).map_or(End::BelowAll, |have| have.high.clone());
        let most = below.max(own);
        if let Some(place) = self.most.get_mut(middle) {
            place.clone_from(&most);
        }
        most
    }

    /// Calls `visit` with the value of every interval that contains `key`.
    pub fn stab(&self, key: &K, visit: &mut impl FnMut(V)) {
        let key = End::At(key.clone());
        for have in &self.recent {
            if have.low <= key && key <= have.high {
                visit(have.value);
            }
        }
        self.search(0, self.sorted.len(), &key, visit);
    }

    fn search(&self, from: usize, to: usize, key: &End<K>, visit: &mut impl FnMut(V)) {
        let middle = from + (to.saturating_sub(from)) / 2;
        let (Some(have), Some(most)) = (self.sorted.get(middle), self.most.get(middle)) else {
            return;
        };
        if from >= to || most < key {
            return;
        }
        self.search(from, middle, key, visit);
        if have.low <= *key {
            if *key <= have.high {
                visit(have.value);
            }
            self.search(middle + 1, to, key, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(text: Option<u32>, none: End<u32>) -> End<u32> {
        text.map_or(none, End::At)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_what_a_walk_finds(steps in prop::collection::vec(
            (prop::option::of(0..50u32), prop::option::of(0..50u32), any::<prop::sample::Index>(), 0..3u8),
            1..900,
        )) {
            let mut intervals = Intervals::default();
            let mut model: Vec<(End<u32>, End<u32>, usize)> = Vec::new();
            for (number, (low, high, which, step)) in steps.into_iter().enumerate() {
                if step == 0 && !model.is_empty() {
                    let (low, _, value) = model.swap_remove(which.index(model.len()));
                    intervals.remove(&low, value);
                } else {
                    let (low, high) = (end(low, End::BelowAll), end(high, End::AboveAll));
                    intervals.insert(low.clone(), high.clone(), number);
                    model.push((low, high, number));
                }
                if number % 16 == 0 {
                    let key = number as u32 * 7 % 50;
                    let mut found = Vec::new();
                    intervals.stab(&key, &mut |value| found.push(value));
                    found.sort_unstable();
                    let at = End::At(key);
                    let mut expected: Vec<usize> = model
                        .iter()
                        .filter(|(low, high, _)| *low <= at && at <= *high)
                        .map(|(_, _, value)| *value)
                        .collect();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
