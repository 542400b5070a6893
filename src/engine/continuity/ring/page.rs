//! A piece of a shelf: changed keys behind each other in one text, so that one
//! more takes no allocation and one less frees none.

use super::{CHANGE_BYTES, CommitSeq, Key};

/// Changes of one page.
pub const PAGE: usize = 256;

/// Bytes of keys after which a page takes no more.
const PAGE_TEXT: usize = 64 << 10;

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

#[derive(Debug)]
struct Mark {
    commit: CommitSeq,
    /// Where the key ends; it begins where the one before it does.
    end: usize,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Page {
    marks: Vec<Mark>,
    text: Vec<u8>,
    /// The first so many are gone; their bytes go with the page.
    gone: usize,
}

impl Page {
    pub fn is_full(&self) -> bool {
        self.marks.len() >= PAGE || self.text.len() >= PAGE_TEXT
    }

    pub fn push(&mut self, commit: CommitSeq, key: &Key) {
        match key {
            Key::String(text) => {
                self.text.push(STRING);
                self.text.extend_from_slice(text.as_bytes());
            }
            Key::Number(number) => {
                // The two zeros are one key.
                let number = if *number == 0.0 { 0.0 } else { *number };
                self.text.push(NUMBER);
                self.text.extend_from_slice(&number.to_le_bytes());
            }
            Key::Bool(truth) => self.text.extend_from_slice(&[TRUTH, u8::from(*truth)]),
        }
        self.marks.push(Mark { commit, end: self.text.len() });
    }

    /// Nothing more comes: gives back what was kept for it.
    pub fn close(&mut self) {
        self.marks.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.marks.len() - self.gone
    }

    pub fn oldest(&self) -> Option<CommitSeq> {
        self.marks.get(self.gone).map(|mark| mark.commit)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|at| self.marks.get(at)).map_or(0, |mark| mark.end)
    }

    fn key(&self, at: usize) -> KeyText<'_> {
        let end = self.start(at + 1);
        KeyText(self.text.get(self.start(at)..end).unwrap_or_default())
    }

    /// Lets go of the oldest; what it weighed. Its text, which was not looked at for
    /// long, is not looked at now.
    pub fn pop(&mut self) -> usize {
        let len = self.start(self.gone + 1).saturating_sub(self.start(self.gone));
        self.gone += 1;
        // One byte says what kind of key it is.
        CHANGE_BYTES.saturating_add(len.saturating_sub(1))
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (CommitSeq, KeyText<'_>)> {
        let marks = self.marks.iter().enumerate().skip(self.gone);
        marks.map(|(at, mark)| (mark.commit, self.key(at)))
    }

    pub fn weight(&self) -> usize {
        let text = self.start(self.marks.len()).saturating_sub(self.start(self.gone));
        text + (CHANGE_BYTES - 1) * self.len()
    }
}
