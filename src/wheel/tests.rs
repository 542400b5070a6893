//! The wheel against a list that is sorted for every question.

use super::*;
use proptest::prelude::*;

/// What is waiting, in order of insertion.
#[derive(Default)]
struct Model {
    waiting: Vec<(u64, u32)>,
}

impl Model {
    fn advance(&mut self, now: u64) -> Vec<u32> {
        let mut due: Vec<(u64, u32)> =
            self.waiting.iter().copied().filter(|(deadline, _)| *deadline <= now).collect();
        self.waiting.retain(|(deadline, _)| *deadline > now);
        due.sort_by_key(|(deadline, _)| *deadline);
        due.into_iter().map(|(_, item)| item).collect()
    }

    fn cancel(&mut self, item: u32) -> Option<u32> {
        let position = self.waiting.iter().position(|(_, other)| *other == item)?;
        Some(self.waiting.remove(position).1)
    }

    fn earliest(&self) -> Option<u64> {
        self.waiting.iter().map(|(deadline, _)| *deadline).min()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Deadline relative to the time; negative ones are overdue.
    Insert(i64),
    InsertAt(u64),
    /// Cancel one of the timers ever made.
    Cancel(prop::sample::Index),
    Advance(u64),
    /// Sleep exactly until the wheel's own bound.
    AdvanceToBound,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..24, -3i64..64).prop_map(|(shift, n)| Step::Insert(n << shift)),
        2 => (-20i64..200).prop_map(Step::Insert),
        1 => any::<u64>().prop_map(Step::InsertAt),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        4 => (0u32..24, 0u64..64).prop_map(|(shift, n)| Step::Advance(n << shift)),
        3 => Just(Step::AdvanceToBound),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_list(start in prop_oneof![Just(0), 0..1u64 << 45], steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = Wheel::new(start);
        let mut model = Model::default();
        let mut ids = Vec::new();
        let mut now = start;
        for step in steps {
            match step {
                Step::Insert(_) | Step::InsertAt(_) => {
                    let deadline = match step {
                        Step::Insert(delta) => now.saturating_add_signed(delta),
                        Step::InsertAt(deadline) => deadline,
                        _ => unreachable!(),
                    };
                    let item = ids.len() as u32;
                    ids.push(wheel.insert(deadline, item));
                    model.waiting.push((deadline, item));
                }
                Step::Cancel(which) => {
                    if !ids.is_empty() {
                        let item = which.index(ids.len());
                        prop_assert_eq!(wheel.cancel(ids[item]), model.cancel(item as u32));
                    }
                }
                Step::Advance(_) | Step::AdvanceToBound => {
                    let bound = wheel.next_deadline();
                    now = match step {
                        Step::Advance(delta) => now + delta,
                        _ => bound.unwrap_or(now).max(now),
                    };
                    let mut expired = Vec::new();
                    wheel.advance(now, &mut expired);
                    prop_assert_eq!(expired, model.advance(now));
                }
            }
            prop_assert_eq!(wheel.len(), model.waiting.len());
            match (wheel.next_deadline(), model.earliest()) {
                (None, None) => {}
                (Some(bound), Some(earliest)) => {
                    prop_assert!(bound <= earliest, "late: {} for {}", bound, earliest);
                    if earliest > now {
                        let slot = 1u64 << (((now ^ earliest) | 63).ilog2() / BITS * BITS);
                        prop_assert!(earliest - bound < slot, "{} is too early for {}", bound, earliest);
                    }
                }
                (bound, earliest) => prop_assert!(false, "{:?} for {:?}", bound, earliest),
            }
        }
        // Sleeping from bound to bound reaches every deadline in few wake-ups.
        let mut wakes = 0;
        while let Some(bound) = wheel.next_deadline() {
            let count = wheel.len();
            now = now.max(bound);
            let mut expired = Vec::new();
            wheel.advance(now, &mut expired);
            prop_assert_eq!(expired, model.advance(now));
            wakes = if wheel.len() < count { 0 } else { wakes + 1 };
            prop_assert!(wakes <= LEVELS);
        }
        prop_assert!(model.waiting.is_empty());
    }
}

#[test]
fn a_stale_id_cancels_nothing() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(5, 'a');
    assert_eq!(wheel.cancel(first), Some('a'));
    let second = wheel.insert(5, 'b');
    assert_eq!(wheel.cancel(first), None, "the slot belongs to another timer now");
    let mut expired = Vec::new();
    wheel.advance(5, &mut expired);
    assert_eq!(expired, ['b']);
    assert_eq!(wheel.cancel(second), None);
    assert!(wheel.is_empty());
}

#[test]
fn the_whole_range_of_times_is_usable() {
    let mut wheel = Wheel::new(0);
    wheel.insert(u64::MAX, "end");
    wheel.insert(u64::MAX - 1, "before");
    wheel.insert(0, "now");
    let mut expired = Vec::new();
    wheel.advance(u64::MAX - 1, &mut expired);
    assert_eq!(expired, ["now", "before"]);
    wheel.advance(u64::MAX, &mut expired);
    assert_eq!(expired, ["now", "before", "end"]);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn nodes_are_reused() {
    let mut wheel = Wheel::new(0);
    let mut expired = Vec::new();
    for now in 0..10_000u64 {
        let short = wheel.insert(now + 1_000, 0);
        wheel.insert(now + 1, 1);
        wheel.cancel(short);
        wheel.advance(now, &mut expired);
    }
    assert!(wheel.nodes.len() <= 4, "{} nodes for two timers", wheel.nodes.len());
}
