//! Containers that grow, and are given back, a piece at a time.
//!
//! A vector or a hash table that doubles moves everything it holds in one go,
//! and stops the loop for as long as that takes. These two never move more than
//! one piece. [`Chunks`] is a vector in pieces of equal length. [`Hashed`] is
//! extendible hashing (Fagin, Nievergelt, Pippenger and Strong, 1979): a
//! directory of small tables, of which one that is full is split in two. It
//! keeps the hash beside each value, so that neither growth nor a split has to
//! look at the key, which lies in a record somewhere else.

use hashbrown::HashTable;

/// Elements of one piece.
const CHUNK: usize = 4096;
const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// A vector that never moves its elements.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunks<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at >> CHUNK_BITS)?.get(at & (CHUNK - 1))
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at >> CHUNK_BITS)?.get_mut(at & (CHUNK - 1))
    }

    pub fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => {
                // By an eighth: most buckets are small, and there are many.
                if last.len() == last.capacity() {
                    last.reserve_exact((last.len() / 8).max(16).min(CHUNK - last.len()));
                }
                last.push(value);
            }
            _ => {
                let capacity = if self.chunks.is_empty() { 16 } else { CHUNK };
                let mut chunk = Vec::with_capacity(capacity);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Gives back the last piece; how many elements it had, `None` if there is
    /// none.
    pub fn release(&mut self) -> Option<usize> {
        let released = self.chunks.pop()?.len();
        self.len = self.len.saturating_sub(released);
        Some(released)
    }

    /// Bytes of memory of the elements themselves.
    pub fn memory(&self) -> usize {
        let elements: usize = self.chunks.iter().map(Vec::capacity).sum();
        elements * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

/// Values of one table; a table of so many is full at this power of two.
const PART: usize = CHUNK / 8 * 7;

/// The directory looks at the bits above those that a table uses.
const DIRECTORY_SHIFT: u32 = CHUNK_BITS + 1;
const MAX_DEPTH: u8 = (u32::BITS - DIRECTORY_SHIFT) as u8;

#[derive(Clone, Debug)]
struct Part<T> {
    table: HashTable<(u32, T)>,
    /// How many bits of the directory's index lead here.
    depth: u8,
}

/// A hash table that grows by splitting one of its parts.
#[derive(Clone, Debug)]
pub(super) struct Hashed<T> {
    parts: Vec<Part<T>>,
    /// Numbers of parts; a power of two of them.
    directory: Vec<u32>,
    len: usize,
}

impl<T> Default for Hashed<T> {
    fn default() -> Self {
        Hashed { parts: Vec::new(), directory: Vec::new(), len: 0 }
    }
}

/// Half of the hash is enough to find a place and to tell most others apart.
pub(super) fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// The tables take the place from the low bits and a mark from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<T> Hashed<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    fn part_of(&self, hash: u32) -> Option<usize> {
        let mask = self.directory.len().checked_sub(1)?;
        self.directory.get((hash >> DIRECTORY_SHIFT) as usize & mask).map(|part| *part as usize)
    }

    pub fn find(&self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let table = &self.parts.get(self.part_of(hash)?)?.table;
        let is_it = |(have, value): &(u32, T)| *have == hash && is_it(value);
        table.find(spread(hash), is_it).map(|(_, value)| value)
    }

    pub fn find_mut(&mut self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let part = self.part_of(hash)?;
        let table = &mut self.parts.get_mut(part)?.table;
        let is_it = |(have, value): &(u32, T)| *have == hash && is_it(value);
        table.find_mut(spread(hash), is_it).map(|(_, value)| value)
    }

    /// Enters a value that is not there yet.
    pub fn insert(&mut self, hash: u32, value: T) {
        if self.parts.is_empty() {
            self.parts.push(Part { table: HashTable::new(), depth: 0 });
            self.directory.push(0);
        }
        let Some(mut at) = self.part_of(hash) else { return };
        while self.parts.get(at).is_some_and(|part| part.table.len() >= PART)
            && self.split(at)
            && let Some(part) = self.part_of(hash)
        {
            at = part;
        }
        if let Some(part) = self.parts.get_mut(at) {
            part.table.insert_unique(spread(hash), (hash, value), |(hash, _)| spread(*hash));
            self.len += 1;
        }
    }

    pub fn remove(&mut self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let part = self.part_of(hash)?;
        let table = &mut self.parts.get_mut(part)?.table;
        let is_it = |(have, value): &(u32, T)| *have == hash && is_it(value);
        let ((_, value), _) = table.find_entry(spread(hash), is_it).ok()?.remove();
        self.len = self.len.saturating_sub(1);
        // What is nearly empty gives most of its memory back.
        if table.capacity() > 64 && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, |(hash, _)| spread(*hash));
        }
        Some(value)
    }

    /// Splits a part in two; false if there are no more bits to tell them apart.
    fn split(&mut self, at: usize) -> bool {
        let Some(part) = self.parts.get_mut(at) else { return false };
        let depth = part.depth;
        if depth >= MAX_DEPTH {
            return false;
        }
        part.depth = depth + 1;
        let bit = 1u32 << (u32::from(depth) + DIRECTORY_SHIFT);
        // Both anew: places of removed values would count as taken.
        let full = std::mem::replace(&mut part.table, HashTable::with_capacity(PART));
        let mut table = HashTable::with_capacity(PART);
        for (hash, value) in full {
            let half = if hash & bit == 0 { &mut part.table } else { &mut table };
            half.insert_unique(spread(hash), (hash, value), |(hash, _)| spread(*hash));
        }
        let new = self.parts.len() as u32;
        self.parts.push(Part { table, depth: depth + 1 });
        if self.directory.len() == 1 << depth {
            self.directory.extend_from_within(..);
        }
        let stride = 1usize << (depth + 1);
        let first = self.directory.iter().position(|part| *part as usize == at).unwrap_or(0);
        let low = first & ((1 << depth) - 1);
        for entry in self.directory.iter_mut().skip(low | (1 << depth)).step_by(stride) {
            *entry = new;
        }
        true
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(|part| &part.table).map(|(_, value)| value)
    }

    /// Gives back one part; how many values it had, `None` if there is none.
    /// Nothing is found any more from then on.
    pub fn release(&mut self) -> Option<usize> {
        self.directory = Vec::new();
        let released = self.parts.pop()?.table.len();
        self.len = self.len.saturating_sub(released);
        Some(released)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let tables: usize = self.parts.iter().map(|part| part.table.allocation_size()).sum();
        tables
            + self.parts.capacity() * size_of::<Part<T>>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// Panics if the directory leads astray.
    pub fn check(&self) {
        let mut seen = 0;
        for (at, part) in self.parts.iter().enumerate() {
            seen += part.table.len();
            for (hash, _) in &part.table {
                assert_eq!(self.part_of(*hash), Some(at), "a hash leads to its part");
            }
        }
        assert_eq!(seen, self.len, "as many values as were entered");
        assert!(self.directory.is_empty() || self.directory.len().is_power_of_two());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;
    use std::collections::HashMap;

    #[test]
    fn chunks_are_a_vector() {
        let mut chunks = Chunks::default();
        let count = CHUNK * 3 + 17;
        for at in 0..count {
            chunks.push(at);
            assert_eq!(chunks.len(), at + 1);
        }
        assert!((0..count).all(|at| chunks.get(at) == Some(&at)));
        assert_eq!(chunks.get(count), None);
        *chunks.get_mut(CHUNK).expect("there") = 7;
        assert_eq!(chunks.iter().copied().filter(|value| *value == 7).count(), 2);
        assert_eq!(chunks.release(), Some(17));
        assert_eq!((chunks.len(), chunks.release()), (CHUNK * 3, Some(CHUNK)));
    }

    #[test]
    fn a_small_vector_is_small() {
        let mut chunks = Chunks::default();
        chunks.push(0u64);
        assert!(chunks.memory() < 512, "{}", chunks.memory());
    }

    /// Against the standard map, through growth and shrinking.
    #[test]
    fn hashed_is_a_map() {
        let mut ids = IdSource::new([7; 32]);
        let mut naive: HashMap<u64, u32> = HashMap::new();
        let mut hashed: Hashed<u64> = Hashed::default();
        // Hashes repeat, values do not.
        let hash = |value: u64| fold((value % 50_000).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for phase in [60_000, 20_000, 90_000, 0usize] {
            while naive.len() != phase {
                let value = ids.next_u64() % 200_000;
                if naive.len() < phase {
                    if naive.insert(value, hash(value)).is_none() {
                        hashed.insert(hash(value), value);
                    }
                } else if let Some(value) = naive.keys().next().copied() {
                    naive.remove(&value);
                    assert_eq!(hashed.remove(hash(value), |have| *have == value), Some(value));
                    assert_eq!(hashed.remove(hash(value), |have| *have == value), None);
                }
            }
            hashed.check();
            assert_eq!(hashed.len(), naive.len());
            for (value, hash) in &naive {
                assert_eq!(hashed.find(*hash, |have| have == value), Some(value));
                assert_eq!(hashed.find_mut(*hash, |have| have == value), Some(&mut { *value }));
            }
            assert_eq!(hashed.iter().count(), naive.len());
        }
        assert!(hashed.memory() < 40 * 1024, "{} bytes for nothing", hashed.memory());
    }

    /// What is moved at once is bounded, whatever is there already.
    #[test]
    fn no_part_is_larger_than_a_piece() {
        let mut ids = IdSource::new([8; 32]);
        let mut hashed: Hashed<u32> = Hashed::default();
        for value in 0..300_000 {
            hashed.insert(fold(ids.next_u64()), value);
        }
        hashed.check();
        assert!(hashed.parts.iter().all(|part| part.table.capacity() <= CHUNK));
        assert!(hashed.parts.len() > 300_000 / PART);
        let mut released = 0;
        while let Some(piece) = hashed.release() {
            assert!(piece <= PART);
            released += piece;
        }
        assert_eq!((released, hashed.len()), (300_000, 0));
    }
}
