//! Which numbers of commits mean something here.
//!
//! An epoch is one run of a process over its data. Epoch and number together
//! name one state for ever: a number that was given out and lost lies above the
//! `last` of its epoch, and what was added to another copy of the data has an
//! epoch that is unknown here.

use crate::app::CommitSeq;

/// Epochs that are remembered.
pub const MAX_EPOCHS: usize = 4096;

/// The name of an epoch: random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EpochId(pub [u8; 16]);

impl EpochId {
    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 16 || !rest.is_empty() {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(pairs) {
            let digits = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(EpochId(id))
    }
}

/// One run, as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub id: EpochId,
    pub first: CommitSeq,
    /// `None`: the present one.
    pub last: Option<CommitSeq>,
}

/// Why a position is no state of this data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No such epoch.
    Epoch,
    /// The epoch did not come so far, or what it added has been lost.
    Ahead,
}

/// The table, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(Vec<Epoch>);

impl Epochs {
    pub fn new(rows: Vec<Epoch>) -> Self {
        Epochs(rows)
    }

    /// A run that nothing precedes.
    pub fn begun(id: EpochId) -> Self {
        Epochs(vec![Epoch { id, first: 1, last: None }])
    }

    pub fn rows(&self) -> &[Epoch] {
        &self.0
    }

    /// A process begins over data whose newest commit is `newest`.
    pub fn begin(&mut self, id: EpochId, newest: CommitSeq) {
        for epoch in self.0.iter_mut().filter(|epoch| epoch.last.is_none()) {
            epoch.last = Some(newest);
        }
        self.0.push(Epoch { id, first: newest.saturating_add(1), last: None });
        let over = self.0.len().saturating_sub(MAX_EPOCHS);
        self.0.drain(..over);
    }

    /// The present one.
    pub fn present(&self) -> EpochId {
        self.0.last().map(|epoch| epoch.id).unwrap_or_default()
    }

    /// Whether a position names a state that this data has been in; `newest`:
    /// its newest commit.
    pub fn check(&self, id: EpochId, commit: CommitSeq, newest: CommitSeq) -> Result<(), Unknown> {
        let epoch = self.0.iter().find(|epoch| epoch.id == id).ok_or(Unknown::Epoch)?;
        if commit > epoch.last.unwrap_or(newest) { Err(Unknown::Ahead) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_hold_within_their_epoch() {
        let [a, b, c] = [1, 2, 3].map(|n| EpochId([n; 16]));
        let mut epochs = Epochs::begun(a);
        assert_eq!(epochs.check(a, 7, 7), Ok(()));
        assert_eq!(epochs.check(a, 8, 7), Err(Unknown::Ahead));
        // 9 was given out, 7 is what was found after the crash.
        epochs.begin(b, 7);
        assert_eq!(epochs.check(a, 7, 20), Ok(()));
        assert_eq!(epochs.check(a, 8, 20), Err(Unknown::Ahead));
        assert_eq!(epochs.check(b, 20, 20), Ok(()));
        assert_eq!(epochs.check(c, 1, 20), Err(Unknown::Epoch));
        assert_eq!(epochs.present(), b);
        for _ in 0..MAX_EPOCHS {
            epochs.begin(c, 20);
        }
        assert_eq!(epochs.rows().len(), MAX_EPOCHS);
        assert_eq!(epochs.check(a, 7, 20), Err(Unknown::Epoch));
    }

    #[test]
    fn names_are_hexadecimal() {
        let id = EpochId(*b"0123456789abcdef");
        assert_eq!(EpochId::from_hex(&id.to_hex()), Some(id));
        for wrong in ["", "00", &"g".repeat(32), &"0".repeat(31), &"0".repeat(34)] {
            assert_eq!(EpochId::from_hex(wrong), None, "{wrong}");
        }
    }
}
