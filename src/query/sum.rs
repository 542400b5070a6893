//! Sums that are exactly what adding from left to right gives.
//!
//! Clients can see the rounding of an IEEE sum, and it depends on the order of
//! addition. A full re-run adds the members in candidate order, starting from
//! zero; what is maintained here is bit for bit the same number.
//!
//! - While all values are integers and the sum of their magnitudes stays within
//!   2^53, no addition rounds and the order is irrelevant: one subtraction and
//!   one addition per change ([`Sum::Exact`]).
//! - Otherwise the values are kept as a column in candidate order, cut into
//!   blocks, with the partial sum at the end of each block ([`Column`]). A
//!   change re-adds its own block. For the blocks behind it there is a short
//!   cut. While a partial sum `s` stays within one binade, it is an integer
//!   multiple of that binade's unit in the last place, and adding `v` rounds to
//!   `s` plus a number of units that depends on `v` alone (or, when `v` is
//!   exactly between two multiples, also on whether `s` is even). So a whole
//!   block moves `s` by a number of units that can be remembered, as long as no
//!   partial sum inside it leaves the binade.

pub(crate) use crate::store::ordered_bits;
use crate::tree::Tree;

/// 2^53: all integers up to here are doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The sum and the number of values, each with its place.
#[derive(Debug)]
pub(crate) enum Sum {
    /// Integers only: `magnitude`, the sum of the absolute values, is at most
    /// 2^53, so that every partial sum in any order is exact.
    Exact {
        total: f64,
        magnitude: f64,
        count: usize,
    },
    Column(Column),
}

/// The values do not fit into an exact sum: build a column of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeedsColumn;

impl Sum {
    pub fn exact() -> Self {
        Sum::Exact { total: 0.0, magnitude: 0.0, count: 0 }
    }

    pub fn column() -> Self {
        Sum::Column(Column::default())
    }

    /// Adds a value at a place where there is none.
    pub fn insert(&mut self, place: u64, value: f64) -> Result<(), NeedsColumn> {
        match self {
            Sum::Exact { total, magnitude, count } => {
                let wider = *magnitude + value.abs();
                // Also false for NaN and infinities.
                if !(value.trunc() == value && wider <= EXACT) {
                    return Err(NeedsColumn);
                }
                *magnitude = wider;
                *total += value;
                *count += 1;
            }
            Sum::Column(column) => column.insert(place, value),
        }
        Ok(())
    }

    /// Takes out the value at a place.
    pub fn remove(&mut self, place: u64, value: f64) {
        match self {
            Sum::Exact { total, magnitude, count } => {
                *magnitude -= value.abs();
                *total -= value;
                *count = count.saturating_sub(1);
            }
            Sum::Column(column) => column.remove(place),
        }
    }

    /// The sum; 0 of nothing.
    pub fn total(&mut self) -> f64 {
        match self {
            // Subtraction can leave -0.
            Sum::Exact { total, .. } => *total + 0.0,
            Sum::Column(column) => column.total(),
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Sum::Exact { count, .. } => *count,
            Sum::Column(column) => column.len,
        }
    }

    /// Bytes beside the value itself, about.
    pub fn memory(&self) -> usize {
        match self {
            Sum::Exact { .. } => 0,
            Sum::Column(column) => column.blocks.len() * (BLOCK * 16 + size_of::<Block>()),
        }
    }
}

/// Values of a full block.
const BLOCK: usize = 512;

/// Values in order of their places. See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Column {
    blocks: Vec<Block>,
    len: usize,
    /// Blocks from here on may have wrong partial sums.
    dirty: usize,
}

#[derive(Debug, Default)]
struct Block {
    /// Never empty.
    values: Vec<(u64, f64)>,
    /// The partial sum at the end of this block.
    after: f64,
    jump: Option<Jump>,
}

impl Column {
    fn block_of(&self, place: u64) -> usize {
        let starts_before = |block: &Block| block.values.first().is_some_and(|v| v.0 <= place);
        self.blocks.partition_point(starts_before).saturating_sub(1)
    }

    pub fn insert(&mut self, place: u64, value: f64) {
        let at = self.block_of(place);
        self.dirty = self.dirty.min(at);
        let Some(block) = self.blocks.get_mut(at) else {
            let values = vec![(place, value)];
            self.blocks.push(Block { values, ..Block::default() });
            self.len = 1;
            return;
        };
        let index = block.values.partition_point(|have| have.0 < place);
        match block.values.get_mut(index).filter(|have| have.0 == place) {
            Some(have) => have.1 = value,
            None => {
                block.values.insert(index, (place, value));
                self.len += 1;
            }
        }
        block.jump = None;
        if block.values.len() > BLOCK {
            // New records come last: leave a full block behind.
            let cut = if index == BLOCK { BLOCK } else { BLOCK / 2 };
            let mut values = Vec::with_capacity(BLOCK + 1);
            values.extend(block.values.drain(cut..));
            self.blocks.insert(at + 1, Block { values, ..Block::default() });
        }
    }

    pub fn remove(&mut self, place: u64) {
        let at = self.block_of(place);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(index) = block.values.binary_search_by_key(&place, |have| have.0) else { return };
        block.values.remove(index);
        block.jump = None;
        self.len -= 1;
        self.dirty = self.dirty.min(at);
        if block.values.is_empty() {
            self.blocks.remove(at);
        } else if block.values.len() < BLOCK / 4
            && self.blocks.get(at + 1).is_some_and(|next| next.values.len() < BLOCK / 2)
        {
            let next = self.blocks.remove(at + 1);
            if let Some(block) = self.blocks.get_mut(at) {
                block.values.extend(next.values);
            }
        }
    }

    pub fn total(&mut self) -> f64 {
        let before = self.dirty.checked_sub(1).and_then(|at| self.blocks.get(at));
        let mut sum = before.map_or(0.0, |block| block.after);
        for block in self.blocks.iter_mut().skip(self.dirty) {
            sum = block.add_to(sum);
            block.after = sum;
        }
        self.dirty = self.blocks.len();
        sum
    }
}

impl Block {
    /// The sum after adding all values of this block to `start`, one by one.
    fn add_to(&mut self, start: f64) -> f64 {
        if let Some(end) = self.jump.as_ref().and_then(|jump| jump.apply(start)) {
            return end;
        }
        let end = self.values.iter().fold(start, |sum, (_, value)| sum + value);
        self.jump = Jump::over(&self.values, start);
        debug_assert!(
            self.jump.as_ref().and_then(|jump| jump.apply(start)).is_none_or(|to| to == end)
        );
        end
    }
}

/// The units by which a block moves a sum that begins in one binade, for a sum
/// that begins with an even number of units and for one that begins odd.
#[derive(Clone, Copy, Debug)]
struct Jump {
    binade: Binade,
    moves: [Move; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Move {
    by: i64,
    /// The range of the partial sums on the way, relative to the start.
    least: i64,
    most: i64,
}

/// The doubles of one sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Binade {
    /// The unit in the last place is two to this power.
    unit: i32,
    negative: bool,
}

/// Two to a power within the range of normal doubles.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

impl Binade {
    /// The binade of a sum, and the sum in units of it. `None` near zero and
    /// near infinity, where scaling would not be exact.
    fn of(sum: f64) -> Option<(Binade, i64)> {
        let biased = (sum.to_bits() >> 52 & 0x7ff) as i32;
        if !(200..=1800).contains(&biased) {
            return None;
        }
        let binade = Binade { unit: biased - 1023 - 52, negative: sum < 0.0 };
        Some((binade, (sum * power_of_two(-binade.unit)) as i64))
    }

    /// Whether a sum of so many units lies inside, the bounds excluded: there a
    /// rounding may belong to the neighbour.
    fn contains(self, units: i64) -> bool {
        const LEAST: i64 = (1 << 52) + 1;
        const MOST: i64 = (1 << 53) - 1;
        (LEAST..=MOST).contains(&if self.negative { -units } else { units })
    }
}

impl Jump {
    /// `None` if a sum that begins at `start` does not stay in its binade.
    fn over(values: &[(u64, f64)], start: f64) -> Option<Jump> {
        let (binade, units) = Binade::of(start)?;
        let scale = power_of_two(-binade.unit);
        let moves = [Move::over(values, scale, false)?, Move::over(values, scale, true)?];
        let jump = Jump { binade, moves };
        // Only worth keeping if it serves the place where the block is.
        jump.units_after(units).map(|_| jump)
    }

    fn units_after(&self, units: i64) -> Option<i64> {
        let step = if units & 1 == 0 { &self.moves[0] } else { &self.moves[1] };
        let inside = self.binade.contains(units.checked_add(step.least)?)
            && self.binade.contains(units.checked_add(step.most)?);
        inside.then(|| units + step.by)
    }

    fn apply(&self, start: f64) -> Option<f64> {
        let (binade, units) = Binade::of(start)?;
        if binade != self.binade {
            return None;
        }
        // Fewer than 2^53 units: exact.
        self.units_after(units).map(|units| units as f64 * power_of_two(binade.unit))
    }
}

impl Move {
    fn over(values: &[(u64, f64)], scale: f64, odd: bool) -> Option<Move> {
        let mut step = Move::default();
        for (_, value) in values {
            let exact = value * scale;
            // Larger values leave the binade anyway, and NaN is not smaller.
            if exact.abs() >= EXACT / 2.0 || (exact == 0.0 && *value != 0.0) {
                // Too small a value underflows when it is scaled down; it is
                // also too rare to think about.
                return None;
            }
            if exact.is_nan() {
                return None;
            }
            let floor = exact.floor();
            let rest = exact - floor;
            let up = if rest == 0.5 {
                // To even, counting from a start of this parity.
                (step.by + floor as i64 + i64::from(odd)) & 1 != 0
            } else {
                rest > 0.5
            };
            step.by = step.by.checked_add(floor as i64 + i64::from(up))?;
            step.least = step.least.min(step.by);
            step.most = step.most.max(step.by);
        }
        Some(step)
    }
}

/// The smallest and the largest of a changing set of numbers.
#[derive(Debug, Default)]
pub(crate) struct Extremes {
    /// Number and how often it occurs. Numbers are keyed by bits that sort like
    /// them.
    values: Tree<u64, usize>,
}

fn from_ordered_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

impl Extremes {
    pub fn insert(&mut self, value: f64) {
        let key = ordered_bits(value);
        let place = self.values.locate(&key);
        match self.values.at(place.rank).filter(|_| place.found).map(|entry| entry.value) {
            Some(times) => drop(self.values.replace(&key, times + 1, 0)),
            None => drop(self.values.insert(key, 1, 0)),
        }
    }

    pub fn remove(&mut self, value: f64) {
        let key = ordered_bits(value);
        let place = self.values.locate(&key);
        match self.values.at(place.rank).filter(|_| place.found).map(|entry| entry.value) {
            Some(times) if times > 1 => drop(self.values.replace(&key, times - 1, 0)),
            Some(_) => drop(self.values.remove(&key)),
            None => debug_assert!(false, "removed a number that is not there"),
        }
    }

    pub fn min(&self) -> Option<f64> {
        self.values.first().map(|entry| from_ordered_bits(entry.key))
    }

    pub fn max(&self) -> Option<f64> {
        self.values.last().map(|entry| from_ordered_bits(entry.key))
    }

    pub fn memory(&self) -> usize {
        self.values.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn naive(values: &BTreeMap<u64, f64>) -> f64 {
        values.values().fold(0.0, |sum, value| sum + value)
    }

    /// Numbers that round in every way: money, halves of units, huge and tiny.
    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0..1_000_000i64).prop_map(|cents| cents as f64 / 100.0),
            2 => (-1_000_000..1_000_000i64).prop_map(|n| n as f64 / 8.0),
            2 => any::<i32>().prop_map(f64::from),
            1 => (0..64i32, any::<i16>()).prop_map(|(e, m)| f64::from(m) * 2f64.powi(e - 40)),
            1 => prop::num::f64::NORMAL,
        ]
    }

    fn steps(most: usize) -> impl Strategy<Value = Vec<(u64, Option<f64>)>> {
        prop::collection::vec((0..6000u64, prop::option::weighted(0.7, number())), 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_column_adds_from_left_to_right(
            unit in prop_oneof![Just(0.01), Just(0.5), Just(1.0), Just(1e-9), Just(-3.7)],
            start in 0..5000u64,
            steps in steps(200),
        ) {
            let mut model: BTreeMap<u64, f64> =
                (0..start).map(|i| (i, ((i * 7919) % 10_007) as f64 * unit)).collect();
            let mut sum = Sum::column();
            for (&place, &value) in &model {
                sum.insert(place, value).expect("a column takes everything");
            }
            prop_assert_eq!(sum.total().to_bits(), naive(&model).to_bits());
            for (place, value) in steps {
                if let Some(old) = model.remove(&place) {
                    sum.remove(place, old);
                }
                if let Some(value) = value {
                    model.insert(place, value);
                    sum.insert(place, value).expect("a column takes everything");
                }
                prop_assert_eq!(sum.total().to_bits(), naive(&model).to_bits());
                prop_assert_eq!(sum.count(), model.len());
            }
        }

        #[test]
        fn an_exact_sum_gives_up_in_time(steps in prop::collection::vec(
            (0..50u64, prop_oneof![
                6 => (-1000..1000i64).prop_map(|n| n as f64),
                1 => (1i64 << 49..1i64 << 53).prop_map(|n| n as f64),
                1 => Just(0.5), 1 => Just(-0.0), 1 => Just(f64::INFINITY),
            ]), 0..200))
        {
            let mut model: BTreeMap<u64, f64> = BTreeMap::new();
            let mut sum = Sum::exact();
            for (place, value) in steps {
                if let Some(old) = model.remove(&place) {
                    sum.remove(place, old);
                }
                if sum.insert(place, value).is_ok() {
                    model.insert(place, value);
                }
                prop_assert_eq!(sum.total().to_bits(), naive(&model).to_bits());
                prop_assert_eq!(sum.count(), model.len());
            }
        }

        #[test]
        fn extremes_are_those_of_the_set(steps in prop::collection::vec(-20..20i32, 0..300)) {
            let mut model: Vec<f64> = Vec::new();
            let mut extremes = Extremes::default();
            for step in steps {
                let value = f64::from(step) / 2.0;
                match model.iter().position(|have| *have == value).filter(|_| step % 3 == 0) {
                    Some(at) => extremes.remove(model.swap_remove(at)),
                    None => {
                        model.push(value);
                        extremes.insert(value);
                    }
                }
                let fold = |f: fn(f64, f64) -> f64| model.iter().copied().reduce(f);
                prop_assert_eq!(extremes.min(), fold(f64::min));
                prop_assert_eq!(extremes.max(), fold(f64::max));
            }
        }
    }

    #[test]
    fn blocks_behind_a_change_are_jumped_over() {
        let mut column = Column::default();
        for place in 0..100_000u64 {
            column.insert(place, (place % 1000) as f64 / 100.0);
        }
        column.total();
        let jumps = column.blocks.iter().filter(|block| block.jump.is_some()).count();
        // Only the few blocks in which the sum enters a new binade have none.
        assert!(jumps + 12 > column.blocks.len(), "{jumps} of {}", column.blocks.len());
    }

    #[test]
    fn infinities_and_their_difference() {
        let mut sum = Sum::column();
        for (place, value) in [(1, 1.5), (2, f64::INFINITY), (3, 2.0)] {
            sum.insert(place, value).expect("a column takes everything");
        }
        assert_eq!(sum.total(), f64::INFINITY);
        sum.insert(4, f64::NEG_INFINITY).expect("a column takes everything");
        assert!(sum.total().is_nan());
        sum.remove(2, f64::INFINITY);
        sum.remove(4, f64::NEG_INFINITY);
        assert_eq!(sum.total(), 3.5);
    }
}
