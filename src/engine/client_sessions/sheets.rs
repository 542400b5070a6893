//! Which receipts are stored together.
//!
//! What one turn enters is one document, a *sheet*: one row of the file, however
//! many requests were answered. It goes when nobody needs any of it; and where too
//! much is kept for the sake of little, what is needed of a sheet is copied into the
//! newest: of the one by which most is gained, as the cleaners of log-structured file
//! systems choose (Rosenblum and Ousterhout, 1992), and not more in all than twice of
//! what is entered, so that no turn copies what others have left.

use std::collections::{BTreeMap, BTreeSet};

use super::SessionNo;
use crate::app::CommitSeq;

/// So much may be stored in vain, whatever else is.
const SLACK: u64 = 256 << 10;

/// Copying that was not needed yet is saved up to here: more than any sheet takes.
const MOST_CREDIT: u64 = 1 << 20;

#[derive(Debug, Default)]
struct Sheet {
    /// Whose receipts are there, in the order of entering.
    sessions: Vec<SessionNo>,
    /// Receipts that somebody may ask for.
    live: usize,
    /// Of those.
    live_bytes: u64,
    /// Of all that were entered.
    bytes: u64,
}

impl Sheet {
    /// How much more would be freed than copied.
    fn gain(&self) -> u64 {
        self.bytes.saturating_sub(self.live_bytes.saturating_mul(2))
    }
}

/// See the module's description. A sheet's number is that of its commit; 0: not
/// stored.
#[derive(Debug, Default)]
pub(crate) struct Sheets {
    table: BTreeMap<CommitSeq, Sheet>,
    /// By what is gained, those by which something is.
    gains: BTreeSet<(u64, CommitSeq)>,
    bytes: u64,
    /// What may be copied.
    credit: u64,
    /// Sheets that were copied because a test wanted that soon.
    #[cfg(test)]
    copied_soon: Option<usize>,
}

impl Sheets {
    pub fn enter(&mut self, number: CommitSeq, no: SessionNo, bytes: u64) {
        if number == 0 {
            return;
        }
        self.note(number, bytes);
        self.change(number, |sheet| {
            sheet.live += 1;
            sheet.live_bytes = sheet.live_bytes.saturating_add(bytes);
            if sheet.sessions.last() != Some(&no) {
                sheet.sessions.push(no);
            }
        });
    }

    /// A sheet has something that nobody asks for.
    pub fn note(&mut self, number: CommitSeq, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.table.entry(number).or_default();
        self.change(number, |sheet| sheet.bytes = sheet.bytes.saturating_add(bytes));
    }

    /// Nobody asks for a receipt any more that is in this sheet.
    pub fn leave(&mut self, number: CommitSeq, bytes: u64) {
        self.change(number, |sheet| {
            sheet.live = sheet.live.saturating_sub(1);
            sheet.live_bytes = sheet.live_bytes.saturating_sub(bytes);
        });
    }

    fn change(&mut self, number: CommitSeq, how: impl FnOnce(&mut Sheet)) {
        let Some(sheet) = self.table.get_mut(&number) else { return };
        let before = sheet.gain();
        how(sheet);
        let after = sheet.gain();
        if before != after {
            self.gains.remove(&(before, number));
            if after > 0 {
                self.gains.insert((after, number));
            }
        }
    }

    /// The sheet, if it is there for nothing: it is forgotten.
    pub fn take(&mut self, number: CommitSeq) -> Option<CommitSeq> {
        (self.table.get(&number)?.live == 0).then(|| self.remove(number))?;
        Some(number)
    }

    fn remove(&mut self, number: CommitSeq) {
        if let Some(sheet) = self.table.remove(&number) {
            self.gains.remove(&(sheet.gain(), number));
            self.bytes = self.bytes.saturating_sub(sheet.bytes);
        }
    }

    /// Those that have nothing anybody asks for, once all were read.
    pub fn take_empty(&mut self) -> Vec<CommitSeq> {
        let empty = self.table.iter().filter(|(_, sheet)| sheet.live == 0);
        let empty: Vec<CommitSeq> = empty.map(|(number, _)| *number).collect();
        empty.iter().for_each(|number| self.remove(*number));
        empty
    }

    /// So much was entered that is no copy.
    pub fn earn(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes.saturating_mul(2)).min(MOST_CREDIT);
    }

    /// So much may be stored in vain beside what is needed.
    fn most_in_vain(&self, live: u64) -> u64 {
        #[cfg(test)]
        if self.copied_soon.is_some() {
            return 0;
        }
        live.max(SLACK)
    }

    /// Which sheet is to be copied next, and whose receipts are there, while more is
    /// stored in vain than what `live` receipts take.
    pub fn take_wasteful(&mut self, live: u64) -> Option<(CommitSeq, Vec<SessionNo>)> {
        if self.bytes.saturating_sub(live) <= self.most_in_vain(live) {
            return None;
        }
        // The newest may still be open: nothing is copied into itself.
        let (newest, _) = self.table.last_key_value()?;
        let (_, number) = self.gains.iter().rev().find(|(_, number)| number != newest)?;
        let sheet = self.table.get(number)?;
        self.credit = self.credit.checked_sub(sheet.live_bytes.max(1))?;
        #[cfg(test)]
        {
            self.copied_soon = self.copied_soon.map(|copied| copied + 1);
        }
        Some((*number, sheet.sessions.clone()))
    }

    /// Holds what must be true between two calls; `live`: the sheets of all
    /// receipts.
    pub fn check_invariants(&self, live: &BTreeMap<CommitSeq, usize>) {
        let counts: BTreeMap<_, _> = self.table.iter().map(|(no, it)| (*no, it.live)).collect();
        assert_eq!(counts, *live, "receipts of each sheet");
        let bytes: u64 = self.table.values().map(|sheet| sheet.bytes).sum();
        assert_eq!(self.bytes, bytes, "what sheets take");
        let gains = self.table.iter().map(|(no, sheet)| (sheet.gain(), *no));
        let gains: BTreeSet<_> = gains.filter(|(gain, _)| *gain > 0).collect();
        assert_eq!(self.gains, gains, "what is gained by copying");
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From now on copies as soon as anything is stored in vain.
    #[cfg(test)]
    pub fn copy_soon(&mut self) {
        self.copied_soon = Some(0);
    }

    #[cfg(test)]
    pub fn copied_soon(&self) -> usize {
        self.copied_soon.unwrap_or_default()
    }
}
