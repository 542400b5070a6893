//! What one request may cost: a number of steps, and a length of its answer.
//!
//! Made by the engine once per request (or root trigger of rules) and handed
//! down like the time; whatever is proportional to something that a peer chose
//! takes from it. Steps and not a clock, so that every machine and every replay
//! spends the same. Knows nothing of what the work is.
//!
//! A budget that is used up stays so. Walks over records end early then, and
//! filters match nothing: a result that was cut short is never to be used, so
//! whoever can fail asks [`Budget::check`] before it commits or answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::json::{Json, Object};
use crate::protocol::OpError;

/// The smallest thing that is counted: a byte of the answer.
pub const UNITS_PER_STEP: u64 = 256;
/// A step of the backtracking matcher, in units.
pub const UNITS_PER_MATCHER_STEP: u64 = UNITS_PER_STEP / 4;
/// A character that is looked at, in units.
pub const UNITS_PER_CHAR: u64 = UNITS_PER_STEP / 64;
/// Steps of one changed record in a commit.
pub const STEPS_PER_CHANGE: u64 = 8;

/// What a budget that nobody can use up starts with.
const UNLIMITED: i64 = i64::MAX / 2;

/// No bucket was scanned without an index.
const NO_SCAN: u64 = u64::MAX;
/// More than one was.
const SEVERAL_SCANS: u64 = u64::MAX - 1;

/// A request may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverBudget {
    /// It has spent more than so many steps.
    Steps(u64),
    /// Its answer would be longer than so many bytes.
    Reply(usize),
}

impl From<OverBudget> for OpError {
    fn from(over: OverBudget) -> OpError {
        let (text, limit) = match over {
            OverBudget::Steps(steps) => {
                (format!("Request is too costly: more than {steps} steps"), steps as f64)
            }
            OverBudget::Reply(bytes) => {
                (format!("Reply is too large: more than {bytes} bytes"), bytes as f64)
            }
        };
        let details: Object = [("limit", Json::Number(limit))].into_iter().collect();
        OpError::validation(text).with_details(Json::Object(details))
    }
}

/// The budget of what is being done now. Clones spend from the same.
///
/// The numbers are atomic so that whoever holds one may move between threads;
/// they are only ever loaded and stored, which costs what a plain number does.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Meter>);

#[derive(Debug)]
struct Meter {
    /// In units; below zero it is used up.
    left: AtomicI64,
    /// What `left` began with.
    given: i64,
    /// For the text of the error.
    steps: u64,
    reply_bytes: usize,
    /// The length of the answer up to which it is paid for.
    written: AtomicUsize,
    /// What stands in front of it: answers that share the budget.
    in_front: AtomicUsize,
    too_long: std::sync::atomic::AtomicBool,
    scanned: AtomicU64,
    /// Records that a scan found.
    found: AtomicU64,
    /// Records that were looked at, whatever led there.
    looked_at: AtomicU64,
    /// Rows of the answer.
    rows: AtomicU64,
}

impl Meter {
    fn new(steps: u64, reply_bytes: usize) -> Meter {
        let given = match steps {
            0 => UNLIMITED,
            steps => i64::try_from(steps.saturating_mul(UNITS_PER_STEP)).unwrap_or(UNLIMITED),
        };
        Meter {
            left: AtomicI64::new(given),
            given,
            steps,
            reply_bytes,
            written: AtomicUsize::new(0),
            in_front: AtomicUsize::new(0),
            too_long: false.into(),
            scanned: AtomicU64::new(NO_SCAN),
            found: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            rows: AtomicU64::new(0),
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget::unlimited()
    }
}

impl Budget {
    /// `steps` 0: as many as it takes.
    pub fn new(steps: u64, reply_bytes: usize) -> Budget {
        Budget(Arc::new(Meter::new(steps, reply_bytes)))
    }

    /// For what has to be done whatever it costs: the start of the server, the
    /// upkeep of views, the program around it. It still counts.
    pub fn unlimited() -> Budget {
        Budget::new(0, usize::MAX)
    }

    /// The budget of the next request; the memory of this one is used again
    /// where nobody else holds it.
    pub fn renew(&mut self, steps: u64, reply_bytes: usize) {
        let whole = Meter::new(steps, reply_bytes);
        match Arc::get_mut(&mut self.0) {
            Some(meter) => *meter = whole,
            None => self.0 = Arc::new(whole),
        }
    }

    /// A new budget is what is left of one of which so many steps were spent, with
    /// answers of so many bytes.
    pub fn go_on(&self, steps: u64, written: usize) {
        self.0.in_front.store(written, Relaxed);
        // Whoever has spent too much is told so when he spends more.
        let _ = self.spend(steps);
    }

    /// Takes whole steps.
    pub fn spend(&self, steps: u64) -> Result<(), OverBudget> {
        self.spend_units(steps.saturating_mul(UNITS_PER_STEP))
    }

    /// Takes the step of a record that is looked at.
    pub fn look(&self) -> Result<(), OverBudget> {
        self.0.looked_at.store(self.0.looked_at.load(Relaxed).wrapping_add(1), Relaxed);
        self.spend(1)
    }

    /// How many records were looked at.
    pub fn looked_at(&self) -> u64 {
        self.0.looked_at.load(Relaxed)
    }

    /// The answer has so many more rows.
    pub fn note_rows(&self, rows: usize) {
        let before = self.0.rows.load(Relaxed);
        self.0.rows.store(before.wrapping_add(rows as u64), Relaxed);
    }

    /// How many rows the answer has.
    pub fn rows(&self) -> u64 {
        self.0.rows.load(Relaxed)
    }

    /// Takes parts of steps.
    pub fn spend_units(&self, units: u64) -> Result<(), OverBudget> {
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        let left = self.0.left.load(Relaxed).saturating_sub(units);
        self.0.left.store(left, Relaxed);
        if left < 0 { Err(OverBudget::Steps(self.0.steps)) } else { Ok(()) }
    }

    /// Looking at so many characters, or comparing texts of that length; the
    /// first ones are part of whatever looks.
    pub fn spend_text(&self, chars: usize) -> Result<(), OverBudget> {
        match chars / 64 {
            0 => Ok(()),
            steps => self.spend(steps as u64),
        }
    }

    /// A step of an automaton for each character.
    pub fn spend_chars(&self, chars: usize) -> Result<(), OverBudget> {
        self.spend_units((chars as u64).saturating_mul(UNITS_PER_CHAR))
    }

    /// The same for bytes that are copied, or an answer.
    pub fn spend_text_bytes(&self, bytes: usize) -> Result<(), OverBudget> {
        match bytes / 256 {
            0 => Ok(()),
            steps => self.spend(steps as u64),
        }
    }

    /// Copying bytes of a value or of a text.
    pub fn spend_bytes(&self, bytes: usize) -> Result<(), OverBudget> {
        self.spend_units(bytes as u64)
    }

    /// Sorting so many things: n × ⌈log2 n⌉ / 4.
    pub fn spend_sort(&self, things: usize) -> Result<(), OverBudget> {
        let depth = u64::from(usize::BITS - things.saturating_sub(1).leading_zeros());
        let units = (things as u64).saturating_mul(depth).saturating_mul(UNITS_PER_STEP / 4);
        self.spend_units(units)
    }

    /// Changes of so many records in one commit.
    pub fn spend_changes(&self, records: usize) -> Result<(), OverBudget> {
        self.spend((records as u64).saturating_mul(STEPS_PER_CHANGE))
    }

    /// The answer is so long by now. Asked while it is being written, after
    /// each part of it whose length a peer may have chosen.
    pub fn reply(&self, length: usize) -> Result<(), OverBudget> {
        if length.saturating_add(self.0.in_front.load(Relaxed)) > self.0.reply_bytes {
            self.0.too_long.store(true, Relaxed);
            return Err(OverBudget::Reply(self.0.reply_bytes));
        }
        let before = self.0.written.load(Relaxed);
        self.0.written.store(length, Relaxed);
        // Whole steps: a short answer is free.
        self.spend((length / 256).saturating_sub(before / 256) as u64)
    }

    /// A bucket (its number) is walked from end to end for a filter, because no
    /// index serves it.
    pub fn note_scan(&self, bucket: u32) {
        let bucket = u64::from(bucket);
        let noted = match self.0.scanned.load(Relaxed) {
            NO_SCAN => bucket,
            same if same == bucket => return,
            _ => SEVERAL_SCANS,
        };
        self.0.scanned.store(noted, Relaxed);
    }

    /// A walk over a whole bucket has come upon a record that matches.
    pub fn note_found(&self) {
        self.0.found.store(self.0.found.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How many records such walks have found.
    pub fn found(&self) -> u64 {
        self.0.found.load(Relaxed)
    }

    /// The one bucket that was scanned without an index.
    pub fn scanned(&self) -> Option<u32> {
        u32::try_from(self.0.scanned.load(Relaxed)).ok()
    }

    pub fn is_over(&self) -> bool {
        self.0.left.load(Relaxed) < 0 || self.0.too_long.load(Relaxed)
    }

    /// `Err` for ever, once it is used up.
    pub fn check(&self) -> Result<(), OverBudget> {
        if self.0.too_long.load(Relaxed) {
            Err(OverBudget::Reply(self.0.reply_bytes))
        } else if self.0.left.load(Relaxed) < 0 {
            Err(OverBudget::Steps(self.0.steps))
        } else {
            Ok(())
        }
    }

    /// The units that are left for work that keeps a count of its own.
    pub fn left_units(&self) -> u64 {
        u64::try_from(self.0.left.load(Relaxed)).unwrap_or(0)
    }

    /// What was taken so far, in whole steps.
    pub fn spent(&self) -> u64 {
        let spent = self.0.given.saturating_sub(self.0.left.load(Relaxed));
        u64::try_from(spent).unwrap_or(0) / UNITS_PER_STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_is_allowed_and_the_next_is_not() {
        let budget = Budget::new(10, usize::MAX);
        assert_eq!(budget.spend(10), Ok(()));
        assert_eq!(budget.check(), Ok(()));
        assert_eq!(budget.spent(), 10);
        assert_eq!(budget.spend_units(1), Err(OverBudget::Steps(10)));
        // It stays so.
        assert_eq!(budget.check(), Err(OverBudget::Steps(10)));
        assert_eq!(budget.spend(0), Err(OverBudget::Steps(10)));
        assert!(budget.is_over());
    }

    #[test]
    fn records_that_are_looked_at_are_steps_with_a_count() {
        let mut budget = Budget::new(2, usize::MAX);
        budget.look().expect("a step");
        budget.spend(1).expect("a step");
        budget.note_rows(3);
        budget.note_rows(4);
        assert_eq!((budget.spent(), budget.looked_at(), budget.rows()), (2, 1, 7));
        assert_eq!(budget.look(), Err(OverBudget::Steps(2)));
        budget.renew(2, usize::MAX);
        assert_eq!((budget.looked_at(), budget.rows()), (0, 0));
    }

    #[test]
    fn parts_of_steps_add_up() {
        let budget = Budget::new(3, usize::MAX);
        for _ in 0..64 {
            budget.spend_chars(1).expect("one step of characters");
        }
        for _ in 0..4 {
            budget.spend_units(UNITS_PER_MATCHER_STEP).expect("one step of the matcher");
        }
        budget.spend_bytes(256).expect("one step of bytes");
        assert_eq!(budget.spent(), 3);
        assert!(budget.spend_bytes(1).is_err());
    }

    #[test]
    fn sorting_takes_a_quarter_of_the_comparisons() {
        let spent = |things| {
            let budget = Budget::unlimited();
            budget.spend_sort(things).expect("no limit");
            budget.spent()
        };
        assert_eq!([spent(0), spent(1), spent(2)], [0, 0, 0]);
        assert_eq!([spent(4), spent(1000), spent(1024)], [2, 2500, 2560]);
    }

    #[test]
    fn a_reply_is_paid_for_once_and_has_an_end() {
        let budget = Budget::new(1000, 1000);
        budget.reply(512).expect("short enough");
        budget.reply(1000).expect("just short enough");
        assert_eq!(budget.spent(), 3);
        assert_eq!(budget.reply(1001), Err(OverBudget::Reply(1000)));
        assert_eq!(budget.check(), Err(OverBudget::Reply(1000)));
    }

    #[test]
    fn what_shares_a_budget_has_what_is_left() {
        let mut budget = Budget::new(100, 1000);
        budget.go_on(90, 600);
        budget.reply(400).expect("together just short enough");
        assert_eq!(budget.reply(401), Err(OverBudget::Reply(1000)));
        budget.renew(100, 1000);
        budget.go_on(90, 0);
        budget.spend(10).expect("together just little enough");
        assert_eq!(budget.spend(1), Err(OverBudget::Steps(100)));
        budget.renew(100, 1000);
        assert_eq!((budget.spent(), budget.reply(1000)), (0, Ok(())));
    }

    #[test]
    fn a_hint_needs_one_bucket() {
        let budget = Budget::new(1, 1);
        assert_eq!(budget.scanned(), None);
        budget.note_scan(7);
        budget.note_scan(7);
        assert_eq!(budget.scanned(), Some(7));
        budget.note_scan(8);
        assert_eq!(budget.scanned(), None);
    }

    #[test]
    fn a_renewed_budget_is_whole_and_an_unlimited_one_counts() {
        let mut budget = Budget::new(5, 10);
        let other = budget.clone();
        assert!(other.spend(6).is_err() && budget.is_over(), "clones share");
        budget.renew(5, 10);
        assert!(!budget.is_over() && other.is_over());
        assert!(budget.reply(11).is_err());
        budget.note_scan(1);
        budget.renew(5, 10);
        assert_eq!((budget.check(), budget.spent(), budget.scanned()), (Ok(()), 0, None));
        let unlimited = Budget::unlimited();
        unlimited.spend(1 << 40).expect("no limit");
        unlimited.reply(usize::MAX >> 8).expect("no limit");
        assert!(unlimited.spent() >= 1 << 40);
    }

    #[test]
    fn the_errors_are_the_protocols() {
        let error = OpError::from(OverBudget::Steps(20_000_000));
        assert_eq!(
            error.to_string(),
            "VALIDATION_ERROR: Request is too costly: more than 20000000 steps"
        );
        assert_eq!(error.details.expect("details").to_text(), r#"{"limit":20000000}"#);
        let error = OpError::from(OverBudget::Reply(65536));
        assert_eq!(
            error.to_string(),
            "VALIDATION_ERROR: Reply is too large: more than 65536 bytes"
        );
    }
}
