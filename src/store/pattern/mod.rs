//! ECMAScript regular expressions without flags, as `pattern` constraints and
//! rule conditions have them: does the text contain a match?
//!
//! Two engines. What is regular in the strict sense runs on the `regex` crate
//! in time linear in the text, translated so that it means what ECMAScript
//! means (ASCII `\w` and `\d`, JavaScript's white space, UTF-16 code units).
//! Lookaround, backreferences, `\B` and counted repetitions too large for an
//! automaton run on a backtracking matcher with a budget of steps; a text that
//! uses it up counts as not matching, so that no pattern can stall the server.

use crate::budget::{Budget, UNITS_PER_MATCHER_STEP};

mod linear;
mod named;
mod parse;
mod program;
mod vm;

#[cfg(test)]
mod tests;

/// Steps of the backtracking matcher for one text, some milliseconds of work.
pub const MAX_STEPS: u32 = 1_000_000;

/// About as many states as an automaton may have.
const MAX_STATES: u64 = 50_000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    Linear(linear::Linear),
    Backtracking(program::Program),
}

/// Why a pattern is none: what ECMAScript's own error would be about, and
/// where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// In UTF-16 code units.
    pub offset: usize,
    pub reason: &'static str,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}", self.reason, self.offset)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// # Errors
    /// For what is not a regular expression.
    pub fn new(source: &str) -> Result<Pattern, PatternError> {
        let parsed = parse::parse(source)?;
        let engine = match linear::Linear::new(&parsed.node) {
            Some(linear) => Engine::Linear(linear),
            None => Engine::Backtracking(program::Program::new(&parsed)),
        };
        Ok(Pattern { source: source.into(), engine })
    }

    /// The same with what it costs taken from a budget first; `None` where that
    /// has come to its end.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn within(source: &str, budget: &Budget) -> Result<Option<Pattern>, PatternError> {
        match budget.spend(Self::cost(source)) {
            Ok(()) => Pattern::new(source).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Steps that it takes to compile a pattern: a few for each state of its
    /// automaton, of which there are no more than fit.
    pub fn cost(source: &str) -> u64 {
        let states = parse::parse(source).map_or(0, |parsed| parsed.node.states());
        100 + source.len() as u64 + 10 * states.min(MAX_STATES)
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text contains a match. False also where the budget of steps
    /// was used up before that was known: the one for a text, or the one of the
    /// request.
    pub fn is_match(&self, text: &str, budget: &Budget) -> bool {
        if budget.spend_chars(text.len()).is_err() {
            return false;
        }
        match &self.engine {
            Engine::Linear(linear) => linear.is_match(text),
            Engine::Backtracking(program) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                let left = budget.left_units() / UNITS_PER_MATCHER_STEP;
                // One more than there are, so that the budget notices.
                let most = MAX_STEPS.min(u32::try_from(left).unwrap_or(MAX_STEPS)) + 1;
                let (matched, steps) = vm::is_match(program, &units, most);
                let spent = budget.spend_units(u64::from(steps) * UNITS_PER_MATCHER_STEP);
                spent.is_ok() && matched
            }
        }
    }

    /// The same for a pattern that takes time linear in the text, paid for by
    /// the caller; any other matches nothing.
    pub fn is_linear_match(&self, text: &str) -> bool {
        matches!(&self.engine, Engine::Linear(linear) if linear.is_match(text))
    }

    /// Whether matching takes time linear in the text.
    pub fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Linear(_))
    }
}

/// A set of UTF-16 code units: ranges, ascending, not touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct UnitSet {
    ranges: Vec<(u16, u16)>,
}

impl UnitSet {
    fn new(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some((_, end)) if u32::from(low) <= u32::from(*end) + 1 => *end = (*end).max(high),
                _ => merged.push((low, high)),
            }
        }
        UnitSet { ranges: merged }
    }

    fn of(unit: u16) -> Self {
        UnitSet { ranges: vec![(unit, unit)] }
    }

    fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = Some(0u16);
        for &(low, high) in &self.ranges {
            if let Some(from) = next.filter(|from| *from < low) {
                ranges.push((from, low - 1));
            }
            next = high.checked_add(1);
        }
        ranges.extend(next.map(|from| (from, u16::MAX)));
        UnitSet { ranges }
    }

    fn contains(&self, unit: u16) -> bool {
        let at = self.ranges.partition_point(|(low, _)| *low <= unit);
        at.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, high)| unit <= *high)
    }
}
