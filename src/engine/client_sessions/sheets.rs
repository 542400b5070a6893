//! Which receipts are stored together.
//!
//! What one turn enters is one document, a *sheet*: one row of the file, however
//! many requests were answered. It goes when nobody needs any of it; and where too
//! much is kept for the sake of little, the oldest is copied into the newest.

use std::collections::BTreeMap;

use super::SessionNo;
use crate::app::CommitSeq;

/// So much may be stored in vain, whatever else is.
const SLACK: u64 = 256 << 10;

#[derive(Debug, Default)]
struct Sheet {
    /// Whose receipts are there, in the order of entering.
    sessions: Vec<SessionNo>,
    /// Receipts that somebody may ask for.
    live: usize,
    /// Of all that were entered.
    bytes: u64,
}

/// See the module's description. A sheet's number is that of its commit; 0: not
/// stored.
#[derive(Debug, Default)]
pub(crate) struct Sheets {
    table: BTreeMap<CommitSeq, Sheet>,
    bytes: u64,
}

impl Sheets {
    pub fn enter(&mut self, sheet: CommitSeq, no: SessionNo, bytes: u64) {
        if sheet == 0 {
            return;
        }
        self.note(sheet, bytes);
        let Some(sheet) = self.table.get_mut(&sheet) else { return };
        sheet.live += 1;
        if sheet.sessions.last() != Some(&no) {
            sheet.sessions.push(no);
        }
    }

    /// A sheet has something that nobody asks for.
    pub fn note(&mut self, sheet: CommitSeq, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let sheet = self.table.entry(sheet).or_default();
        sheet.bytes = sheet.bytes.saturating_add(bytes);
    }

    /// Nobody asks for a receipt any more that is in this sheet.
    pub fn leave(&mut self, number: CommitSeq) {
        if let Some(sheet) = self.table.get_mut(&number) {
            sheet.live = sheet.live.saturating_sub(1);
        }
    }

    /// The sheet, if it is there for nothing: it is forgotten.
    pub fn take(&mut self, number: CommitSeq) -> Option<CommitSeq> {
        let sheet = self.table.get(&number)?;
        let bytes = (sheet.live == 0).then_some(sheet.bytes)?;
        self.remove(number, bytes);
        Some(number)
    }

    fn remove(&mut self, number: CommitSeq, bytes: u64) {
        self.table.remove(&number);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Those that have nothing anybody asks for, once all were read.
    pub fn take_empty(&mut self) -> Vec<CommitSeq> {
        let empty = self.table.iter().filter(|(_, sheet)| sheet.live == 0);
        let empty: Vec<(CommitSeq, u64)> = empty.map(|(no, sheet)| (*no, sheet.bytes)).collect();
        empty.iter().for_each(|(number, bytes)| self.remove(*number, *bytes));
        empty.into_iter().map(|(number, _)| number).collect()
    }

    /// Which sheet is to be copied, and whose receipts are there, when more is
    /// stored in vain than what `live` receipts take.
    pub fn wasteful(&self, live: u64) -> Option<(CommitSeq, Vec<SessionNo>)> {
        let wasted = self.bytes.saturating_sub(live);
        if wasted <= live.max(SLACK) || self.table.len() < 2 {
            return None;
        }
        let (number, sheet) = self.table.first_key_value()?;
        Some((*number, sheet.sessions.clone()))
    }

    /// Holds what must be true between two calls; `live`: the sheets of all
    /// receipts.
    pub fn check_invariants(&self, live: &BTreeMap<CommitSeq, usize>) {
        let counts: BTreeMap<_, _> = self.table.iter().map(|(no, it)| (*no, it.live)).collect();
        assert_eq!(counts, *live, "receipts of each sheet");
        let bytes: u64 = self.table.values().map(|sheet| sheet.bytes).sum();
        assert_eq!(self.bytes, bytes, "what sheets take");
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
