//! The backtracking matcher: an explicit stack of alternatives, a trail of
//! register changes to undo, and a budget of steps.

use super::named::is_word;
use super::program::{Inst, Program};

/// The budget is used up.
#[derive(Debug)]
pub(super) struct OutOfSteps;

/// An untouched register: a capture that did not take part.
const NONE: usize = usize::MAX;

struct Machine<'p> {
    program: &'p Program,
    text: &'p [u16],
    registers: Vec<usize>,
    /// Register and old value.
    trail: Vec<(usize, usize)>,
    /// Instruction, position and length of the trail.
    choices: Vec<(usize, usize, usize)>,
    steps: u32,
}

/// Whether a match begins anywhere in the text, as far as the steps reach; and
/// how many were taken.
pub(super) fn is_match(program: &Program, text: &[u16], steps: u32) -> (bool, u32) {
    let registers = vec![NONE; program.registers];
    let mut machine =
        Machine { program, text, registers, trail: Vec::new(), choices: Vec::new(), steps };
    for start in 0..=text.len() {
        match machine.run(0, start) {
            Ok(false) => machine.undo(0),
            Ok(true) => return (true, steps - machine.steps),
            // What was asked for last could not be taken.
            Err(OutOfSteps) => return (false, steps),
        }
    }
    (false, steps - machine.steps)
}

impl Machine<'_> {
    fn register(&self, at: usize) -> usize {
        self.registers.get(at).copied().unwrap_or(NONE)
    }

    fn set(&mut self, at: usize, value: usize) {
        if let Some(register) = self.registers.get_mut(at) {
            self.trail.push((at, *register));
            *register = value;
        }
    }

    fn undo(&mut self, to: usize) {
        while self.trail.len() > to {
            let Some((at, value)) = self.trail.pop() else { break };
            if let Some(register) = self.registers.get_mut(at) {
                *register = value;
            }
        }
    }

    fn choose(&mut self, pc: usize, pos: usize) {
        self.choices.push((pc, pos, self.trail.len()));
    }

    /// Runs from an instruction to its `Match`. Look arounds call it again, as
    /// deep as they are nested in the pattern.
    fn run(&mut self, pc: usize, pos: usize) -> Result<bool, OutOfSteps> {
        let (bottom, entry) = (self.choices.len(), self.trail.len());
        let (mut pc, mut pos) = (pc, pos);
        loop {
            self.steps = self.steps.checked_sub(1).ok_or(OutOfSteps)?;
            match self.step(pc, pos)? {
                Step::To(next, at) => (pc, pos) = (next, at),
                Step::Matched => {
                    // What was not tried yet is no longer of interest.
                    self.choices.truncate(bottom);
                    return Ok(true);
                }
                Step::Failed => {
                    if self.choices.len() == bottom {
                        self.undo(entry);
                        return Ok(false);
                    }
                    let Some((next, at, trail)) = self.choices.pop() else { return Ok(false) };
                    self.undo(trail);
                    (pc, pos) = (next, at);
                }
            }
        }
    }

    fn step(&mut self, pc: usize, pos: usize) -> Result<Step, OutOfSteps> {
        let Some(inst) = self.program.insts.get(pc) else { return Ok(Step::Failed) };
        let holds = |condition: bool| if condition { Step::To(pc + 1, pos) } else { Step::Failed };
        Ok(match inst {
            Inst::Match => Step::Matched,
            Inst::Unit { set, back } => self.unit(*set, *back, pc, pos),
            Inst::Start => holds(pos == 0),
            Inst::End => holds(pos == self.text.len()),
            Inst::WordBoundary { negative } => holds(self.is_boundary(pos) != *negative),
            Inst::Split { first, second } => {
                self.choose(*second, pos);
                Step::To(*first, pos)
            }
            Inst::Jump(to) => Step::To(*to, pos),
            Inst::Mark(register) => {
                self.set(*register, pos);
                Step::To(pc + 1, pos)
            }
            Inst::Clear(registers) => {
                self.steps = self.steps.saturating_sub(registers.len() as u32);
                registers.clone().for_each(|register| self.set(register, NONE));
                Step::To(pc + 1, pos)
            }
            Inst::Backreference { group, back } => self.backreference(*group, *back, pc, pos),
            Inst::Look { negative, after } => {
                let trail = self.trail.len();
                let found = self.run(pc + 1, pos)?;
                if *negative {
                    self.undo(trail);
                }
                if found == *negative { Step::Failed } else { Step::To(*after, pos) }
            }
            Inst::LoopStart { counter } => {
                self.set(*counter, 0);
                Step::To(pc + 1, pos)
            }
            Inst::LoopTest { counter, min, max, greedy, after } => {
                let rounds = self.register(*counter);
                if rounds < *min as usize {
                    Step::To(pc + 1, pos)
                } else if max.is_some_and(|max| rounds >= max as usize) {
                    Step::To(*after, pos)
                } else if *greedy {
                    self.choose(*after, pos);
                    Step::To(pc + 1, pos)
                } else {
                    self.choose(pc + 1, pos);
                    Step::To(*after, pos)
                }
            }
            Inst::LoopNext { counter, mark, min, test } => {
                let (rounds, min) = (self.register(*counter), *min as usize);
                let empty = self.register(*mark) == pos;
                if empty && rounds >= min {
                    return Ok(Step::Failed);
                }
                // A round that took nothing would take nothing again.
                self.set(*counter, if empty { min } else { rounds + 1 });
                Step::To(*test, pos)
            }
        })
    }

    /// One unit of a set, forwards or backwards.
    fn unit(&self, set: usize, back: bool, pc: usize, pos: usize) -> Step {
        let at = if back { pos.checked_sub(1) } else { Some(pos) };
        let unit = at.and_then(|at| self.text.get(at));
        match (unit, self.program.sets.get(set)) {
            (Some(unit), Some(set)) if set.contains(*unit) => {
                Step::To(pc + 1, if back { pos - 1 } else { pos + 1 })
            }
            _ => Step::Failed,
        }
    }

    /// Whether a word begins or ends here.
    fn is_boundary(&self, pos: usize) -> bool {
        let word = |at: Option<usize>| {
            at.and_then(|at| self.text.get(at)).is_some_and(|unit| is_word(*unit))
        };
        word(pos.checked_sub(1)) != word(Some(pos))
    }

    /// The text of a group again; a group that took no part is empty.
    fn backreference(&mut self, group: u32, back: bool, pc: usize, pos: usize) -> Step {
        let (start, end) =
            (self.register(group as usize * 2), self.register(group as usize * 2 + 1));
        let Some(captured) = self.text.get(start..end).filter(|_| end != NONE) else {
            return Step::To(pc + 1, pos);
        };
        let len = captured.len();
        self.steps = self.steps.saturating_sub(len as u32);
        let there = if back { pos.checked_sub(len) } else { Some(pos) };
        let found = there.and_then(|from| self.text.get(from..from + len));
        if found == Some(captured) {
            Step::To(pc + 1, if back { pos - len } else { pos + len })
        } else {
            Step::Failed
        }
    }
}

enum Step {
    To(usize, usize),
    Matched,
    Failed,
}
