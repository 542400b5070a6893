//! The key order of an `ordered_set`.
//!
//! Two numbers compare as numbers; anything else by the collation of its text:
//! CLDR's root collation, whatever the locale of the process. In a bucket whose
//! keys are all numbers or all texts every question costs O(log n). Keys of
//! both kinds have no consistent order (10 comes before "1z" comes before 9);
//! for them the two sequences are merged anew each time.

use std::collections::BTreeMap;
use std::ops::Bound;

use icu_collator::CollatorBorrowed;
use icu_collator::options::CollatorOptions;

use super::Key;
use super::millis::Millis;
use super::release::release_some;
use super::table::Slot;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderedKeys {
    /// With the place in the table, which decides against an equal text.
    numbers: BTreeMap<Number, (Slot, u64)>,
    /// By sort key; keys that compare equal by their place in the table.
    texts: BTreeMap<(SortKey, u64), Slot>,
}

/// Keys are never NaN, and `-0` was stored as `0`.
type Number = Millis;

/// Bytes that compare as the texts they were made from.
type SortKey = Box<[u8]>;

enum Place {
    Number(Number),
    Text(SortKey),
}

fn sort_key(text: &str) -> SortKey {
    let collator: CollatorBorrowed<'static> =
        CollatorBorrowed::new_root(CollatorOptions::default());
    let mut key = Vec::new();
    let Ok(()) = collator.write_sort_key_to(text, &mut key);
    key.into()
}

fn place(key: &Key) -> Place {
    match key {
        Key::Number(number) => Place::Number(Millis(*number + 0.0)),
        Key::Bool(_) | Key::String(_) => Place::Text(sort_key(&key.to_string())),
    }
}

impl OrderedKeys {
    pub fn insert(&mut self, key: &Key, order: u64, slot: Slot) {
        match place(key) {
            Place::Number(number) => {
                self.numbers.insert(number, (slot, order));
            }
            Place::Text(text) => {
                self.texts.insert((text, order), slot);
            }
        }
    }

    pub fn remove(&mut self, key: &Key, order: u64) {
        match place(key) {
            Place::Number(number) => {
                self.numbers.remove(&number);
            }
            Place::Text(text) => {
                self.texts.remove(&(text, order));
            }
        }
    }

    /// Gives back some of what is not used any more; how many records it was
    /// about.
    pub fn release(&mut self) -> Option<usize> {
        let numbers = release_some(|| self.numbers.pop_first().is_some());
        numbers.or_else(|| release_some(|| self.texts.pop_first().is_some()))
    }

    pub(super) fn is_mixed(&self) -> bool {
        !self.numbers.is_empty() && !self.texts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.numbers.len() + self.texts.len()
    }

    /// The first `n` records.
    pub fn first(&self, n: usize) -> Vec<Slot> {
        if self.is_mixed() {
            return self.merged().into_iter().take(n).map(|(slot, _)| slot).collect();
        }
        self.number_slots().chain(self.texts.values().copied()).take(n).collect()
    }

    /// The last `n` records, in ascending order.
    pub fn last(&self, n: usize) -> Vec<Slot> {
        if self.is_mixed() {
            let all = self.merged();
            return all.iter().skip(all.len().saturating_sub(n)).map(|(slot, _)| *slot).collect();
        }
        let texts = self.texts.values().rev().copied();
        let mut slots: Vec<Slot> = texts.chain(self.number_slots().rev()).take(n).collect();
        slots.reverse();
        slots
    }

    /// At most `n` records behind a key. `there`: the record of that key, if
    /// there is one; else the next greater key is where it goes on.
    pub fn after(&self, key: &Key, there: Option<(Slot, u64)>, n: usize) -> Vec<Slot> {
        let place = place(key);
        let same_kind = match place {
            Place::Number(_) => self.texts.is_empty(),
            Place::Text(_) => self.numbers.is_empty(),
        };
        if !same_kind {
            return self.after_among_both(key, there, n);
        }
        match place {
            Place::Number(number) => {
                let rest = self.numbers.range((Bound::Excluded(number), Bound::Unbounded));
                rest.map(|(_, (slot, _))| *slot).take(n).collect()
            }
            Place::Text(text) => {
                let order = there.map_or(u64::MAX, |(_, order)| order);
                let rest = self.texts.range((Bound::Excluded((text, order)), Bound::Unbounded));
                rest.map(|(_, slot)| *slot).take(n).collect()
            }
        }
    }

    fn after_among_both(&self, key: &Key, there: Option<(Slot, u64)>, n: usize) -> Vec<Slot> {
        let all = self.merged();
        let start = match there {
            Some((slot, _)) => all.iter().position(|(have, _)| *have == slot).map(|at| at + 1),
            None => {
                let text = sort_key(&key.to_string());
                all.iter().position(|(_, have)| match (have, key) {
                    (Place::Number(have), Key::Number(wanted)) => have.0 > *wanted,
                    (Place::Number(have), _) => sort_key(&Key::Number(have.0).to_string()) > text,
                    (Place::Text(have), _) => *have > text,
                })
            }
        };
        all.iter().skip(start.unwrap_or(all.len())).take(n).map(|(slot, _)| *slot).collect()
    }

    fn number_slots(&self) -> impl DoubleEndedIterator<Item = Slot> {
        self.numbers.values().map(|(slot, _)| *slot)
    }

    /// Both kinds, each in its order.
    fn merged(&self) -> Vec<(Slot, Place)> {
        let mut all = Vec::with_capacity(self.len());
        let mut texts = self.texts.iter().peekable();
        for (number, (slot, order)) in &self.numbers {
            let as_text = sort_key(&Key::Number(number.0).to_string());
            while let Some(((text, _), slot)) =
                texts.next_if(|((text, at), _)| (text, at) < (&as_text, order))
            {
                all.push((*slot, Place::Text(text.clone())));
            }
            all.push((*slot, Place::Number(*number)));
        }
        all.extend(texts.map(|((text, _), slot)| (*slot, Place::Text(text.clone()))));
        all
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let texts: usize = self.texts.keys().map(|(text, _)| text.len() + 16).sum();
        texts + self.texts.len() * 48 + self.numbers.len() * 28
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(keys: &[Key]) -> String {
        let mut ordered = OrderedKeys::default();
        for (at, key) in keys.iter().enumerate() {
            ordered.insert(key, at as u64, at as Slot);
        }
        let shown = |slot: &Slot| keys[*slot as usize].to_string();
        let all = ordered.first(usize::MAX);
        assert_eq!(all, ordered.last(usize::MAX));
        // Every page begins where the one before it ended.
        for (at, slot) in all.iter().enumerate() {
            let key = &keys[*slot as usize];
            assert_eq!(
                ordered.after(key, Some((*slot, u64::from(*slot))), 1),
                all[at + 1..].iter().take(1).copied().collect::<Vec<_>>()
            );
        }
        all.iter().map(shown).collect::<Vec<_>>().join("")
    }

    fn texts(keys: &[&str]) -> Vec<Key> {
        keys.iter().map(|key| Key::String((*key).into())).collect()
    }

    #[test]
    fn texts_are_in_the_order_of_the_root_collation() {
        let mut ascii: Vec<String> = (33..127u8).map(|c| char::from(c).to_string()).collect();
        ascii.reverse();
        let ascii: Vec<&str> = ascii.iter().map(String::as_str).collect();
        assert_eq!(
            order(&texts(&ascii)),
            "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ"
        );
        assert_eq!(order(&texts(&["Z", "z", "C", "B", "b", "á", "a", "_"])), "_aábBCzZ");
        assert_eq!(order(&texts(&["9", "10"])), "109");
        // The whole texts by letters first, then by accents, then by case.
        assert_eq!(order(&texts(&["côte", "cote", "Cote", "coté"])), "coteCotecotécôte");
        // Control characters count for nothing: equal keys keep their order.
        assert_eq!(order(&texts(&["a\u{1}", "a", "a\u{2}"])), "a\u{1}aa\u{2}");
    }

    #[test]
    fn numbers_are_in_their_own_order() {
        let keys: Vec<Key> = [10.0, 9.0, -1.0, 0.5].map(Key::Number).to_vec();
        assert_eq!(order(&keys), "-10.5910");
        let mut mixed = keys;
        mixed.extend(texts(&["a", "_"]));
        mixed.push(Key::Bool(true));
        assert_eq!(order(&mixed), "_-10.5910atrue");
        // A number and its text compare equal: which came first comes first.
        let equal = [Key::from("1"), Key::Number(1.0), Key::Number(2.0), Key::from("2")];
        let mut ordered = OrderedKeys::default();
        for (at, key) in equal.iter().enumerate() {
            ordered.insert(key, at as u64, at as Slot);
        }
        assert_eq!(ordered.first(9), [0, 1, 2, 3]);
    }

    #[test]
    fn an_unknown_cursor_goes_on_at_the_next_greater_key() {
        let mut ordered = OrderedKeys::default();
        for (at, key) in texts(&["a", "c", "e"]).iter().enumerate() {
            ordered.insert(key, at as u64, at as Slot);
        }
        let after = |key: Key| ordered.after(&key, None, 9);
        assert_eq!(after(Key::from("b")), [1, 2]);
        assert!(after(Key::from("e")).is_empty());
        assert_eq!(after(Key::Number(5.0)), [0, 1, 2]);
        assert!(after(Key::Bool(true)).is_empty());
    }
}
