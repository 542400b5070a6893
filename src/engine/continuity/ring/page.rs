//! A piece of the ring: changes behind each other in one buffer, so that one more
//! takes no allocation, and all of them go at once without being looked at.

use super::{CHANGE_BYTES, CommitSeq, Key};

/// What one change counts.
pub fn weight(key: &Key) -> usize {
    let text = match key {
        Key::String(text) => text.len(),
        Key::Number(_) => size_of::<f64>(),
        Key::Bool(_) => 1,
    };
    CHANGE_BYTES.saturating_add(text)
}

/// A key as it lies in a page: equal keys, and only those, are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyText<'p>(&'p [u8]);

const STRING: u8 = b'"';
const NUMBER: u8 = b'0';
const TRUTH: u8 = b't';

impl KeyText<'_> {
    pub fn key(self) -> Option<Key> {
        let (kind, rest) = self.0.split_first()?;
        Some(match *kind {
            STRING => Key::String(std::str::from_utf8(rest).ok()?.into()),
            NUMBER => Key::Number(f64::from_le_bytes(rest.try_into().ok()?)),
            _ => Key::Bool(rest == [1]),
        })
    }
}

/// Where the change before one of the same bucket is: so many pages back, at so
/// many bytes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back {
    pub pages: u32,
    pub at: u32,
}

impl Back {
    /// There is none.
    pub const NONE: Back = Back { pages: u32::MAX, at: u32::MAX };
}

/// A change as it lies in a page.
#[derive(Clone, Copy, Debug)]
pub struct Found<'p> {
    pub commit: CommitSeq,
    pub back: Back,
    pub key: KeyText<'p>,
}

/// What stands in front of a key: [`Back`], the commit, the length of the key and
/// its kind. Less than a change counts, which is what keeps the pages' memory
/// below what they weigh.
const HEAD: usize = 21;

const _: () = assert!(HEAD < CHANGE_BYTES, "a change takes no more than it counts");

/// See the module's description.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    changes: usize,
    weight: usize,
    newest: CommitSeq,
}

impl Page {
    /// One in the memory of a page that is gone.
    pub fn within(mut bytes: Vec<u8>) -> Page {
        bytes.clear();
        Page { bytes, ..Page::default() }
    }

    /// Its memory, for another one.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn len(&self) -> usize {
        self.changes
    }

    /// What its changes count.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The commit of its last change.
    pub fn newest(&self) -> CommitSeq {
        self.newest
    }

    /// Adds a change of this weight; where it lies. `usual`: what a page takes.
    pub fn push(
        &mut self,
        (commit, key, weight): (CommitSeq, &Key, usize),
        back: Back,
        usual: usize,
    ) -> u32 {
        let at = self.bytes.len();
        // The key is what is above the fixed count.
        self.make_room(HEAD + weight.saturating_sub(CHANGE_BYTES), usual);
        match key {
            Key::String(text) => {
                self.head(commit, back, text.len(), STRING);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Key::Number(number) => {
                // The two zeros are one key.
                let number = if *number == 0.0 { 0.0 } else { *number };
                self.head(commit, back, size_of::<f64>(), NUMBER);
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            Key::Bool(truth) => {
                self.head(commit, back, 1, TRUTH);
                self.bytes.push(u8::from(*truth));
            }
        }
        self.changes += 1;
        self.weight = self.weight.saturating_add(weight);
        self.newest = commit;
        short(at)
    }

    fn head(&mut self, commit: CommitSeq, back: Back, len: usize, kind: u8) {
        let mut head = [0; HEAD];
        let (pages, rest) = head.split_at_mut(4);
        let (at, rest) = rest.split_at_mut(4);
        let (number, rest) = rest.split_at_mut(8);
        let (length, last) = rest.split_at_mut(4);
        pages.copy_from_slice(&back.pages.to_le_bytes());
        at.copy_from_slice(&back.at.to_le_bytes());
        number.copy_from_slice(&commit.to_le_bytes());
        length.copy_from_slice(&short(len).to_le_bytes());
        last.copy_from_slice(&[kind]);
        self.bytes.extend_from_slice(&head);
    }

    /// Doubles the memory where it is needed, up to what a page takes.
    fn make_room(&mut self, bytes: usize, usual: usize) {
        let needed = self.bytes.len().saturating_add(bytes);
        if needed > self.bytes.capacity() {
            let wanted = self.bytes.capacity().saturating_mul(2).min(usual).max(needed);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    /// Nothing more comes: its memory is no more than its weight.
    pub fn close(&mut self) {
        if self.bytes.capacity() > self.weight {
            self.bytes.shrink_to_fit();
        }
    }

    /// The change that lies there.
    pub fn get(&self, at: u32) -> Option<Found<'_>> {
        let entry = self.bytes.get(usize::try_from(at).ok()?..)?;
        let (pages, rest) = entry.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (commit, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let back = Back { pages: u32::from_le_bytes(*pages), at: u32::from_le_bytes(*at) };
        let key = KeyText(rest.get(..len.checked_add(1)?)?);
        Some(Found { commit: CommitSeq::from_le_bytes(*commit), back, key })
    }

    /// All of them, as they were added, with where they lie.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Found<'_>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = self.get(at)?;
            let place = at;
            at = at.saturating_add(short(HEAD - 1 + found.key.0.len()));
            Some((place, found))
        })
    }

    /// Holds what must be true between two calls; `open`: more may come, up to so
    /// many bytes.
    ///
    /// # Panics
    /// When it is not.
    pub fn check_invariants(&self, open: Option<usize>) {
        let changes: Vec<Found<'_>> = self.iter().map(|(_, found)| found).collect();
        assert_eq!(self.changes, changes.len(), "changes of a page");
        let keys: usize = changes.iter().map(|found| found.key.0.len() - 1).sum();
        assert_eq!(self.weight, keys + CHANGE_BYTES * changes.len(), "weight of a page");
        assert!(changes.is_sorted_by_key(|found| found.commit), "changes ascend");
        assert_eq!(Some(self.newest), changes.last().map(|found| found.commit), "the newest");
        let most = open.unwrap_or(0).max(self.weight);
        assert!(self.bytes.capacity() <= most, "memory of a page");
    }
}

/// A place or a length within a page, which is less than the ring may take
/// ([`super::MOST`]).
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
