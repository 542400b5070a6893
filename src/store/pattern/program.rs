//! Instructions of the backtracking matcher. Counted repetitions are loops with
//! a register, so that a program is never much larger than its pattern.

use super::UnitSet;
use super::parse::{Node, Parsed, Repeat};

#[derive(Clone, Debug)]
pub(super) enum Inst {
    /// Takes one unit of the set, in front of the position or behind it.
    Unit {
        set: usize,
        back: bool,
    },
    Start,
    End,
    WordBoundary {
        negative: bool,
    },
    /// Goes on at `first`; on failure at `second`.
    Split {
        first: usize,
        second: usize,
    },
    Jump(usize),
    /// Stores the position in a register.
    Mark(usize),
    /// Forgets captures: clears registers.
    Clear(std::ops::Range<usize>),
    Backreference {
        group: u32,
        back: bool,
    },
    /// A look around from here; its instructions follow and end with
    /// [`Inst::Match`], the pattern goes on at `after`.
    Look {
        negative: bool,
        after: usize,
    },
    /// Starts to count rounds.
    LoopStart {
        counter: usize,
    },
    /// Decides on another round.
    LoopTest {
        counter: usize,
        min: u32,
        max: Option<u32>,
        greedy: bool,
        after: usize,
    },
    /// Ends a round that began at the marked position.
    LoopNext {
        counter: usize,
        mark: usize,
        min: u32,
        test: usize,
    },
    Match,
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    pub insts: Vec<Inst>,
    pub sets: Vec<UnitSet>,
    /// Two for every capture, the others for loops.
    pub registers: usize,
}

impl Program {
    pub fn new(parsed: &Parsed) -> Program {
        let mut program = Program {
            insts: Vec::new(),
            sets: Vec::new(),
            registers: parsed.captures as usize * 2,
        };
        program.node(&parsed.node, false);
        program.insts.push(Inst::Match);
        program
    }

    fn push(&mut self, inst: Inst) -> usize {
        self.insts.push(inst);
        self.insts.len() - 1
    }

    fn here(&self) -> usize {
        self.insts.len()
    }

    fn register(&mut self) -> usize {
        self.registers += 1;
        self.registers - 1
    }

    fn patch(&mut self, at: usize, inst: Inst) {
        if let Some(hole) = self.insts.get_mut(at) {
            *hole = inst;
        }
    }

    /// `back`: the pattern of a look behind, which is matched from its end.
    fn node(&mut self, node: &Node, back: bool) {
        match node {
            Node::Empty => {}
            Node::Unit(set) => {
                let at = self.sets.iter().position(|have| have == set).unwrap_or_else(|| {
                    self.sets.push(set.clone());
                    self.sets.len() - 1
                });
                self.push(Inst::Unit { set: at, back });
            }
            Node::Start => drop(self.push(Inst::Start)),
            Node::End => drop(self.push(Inst::End)),
            Node::WordBoundary { negative } => {
                self.push(Inst::WordBoundary { negative: *negative });
            }
            Node::Concat(nodes) if back => {
                nodes.iter().rev().for_each(|node| self.node(node, back))
            }
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node, back)),
            Node::Alternatives(branches) => self.alternatives(branches, back),
            Node::Capture(number, node) => {
                let (start, end) = (*number as usize * 2, *number as usize * 2 + 1);
                self.push(Inst::Mark(if back { end } else { start }));
                self.node(node, back);
                self.push(Inst::Mark(if back { start } else { end }));
            }
            Node::Backreference(group) => {
                self.push(Inst::Backreference { group: *group, back });
            }
            Node::Look { behind, negative, node } => {
                let look = self.push(Inst::Match);
                self.node(node, *behind);
                self.push(Inst::Match);
                let after = self.here();
                self.patch(look, Inst::Look { negative: *negative, after });
            }
            Node::Repeat(repeat) => self.repeat(repeat, back),
        }
    }

    fn alternatives(&mut self, branches: &[Node], back: bool) {
        let mut ends = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            if at + 1 == branches.len() {
                self.node(branch, back);
                break;
            }
            let split = self.push(Inst::Match);
            self.node(branch, back);
            ends.push(self.push(Inst::Match));
            let second = self.here();
            self.patch(split, Inst::Split { first: split + 1, second });
        }
        let after = self.here();
        ends.into_iter().for_each(|end| self.patch(end, Inst::Jump(after)));
    }

    fn repeat(&mut self, repeat: &Repeat, back: bool) {
        let (counter, mark) = (self.register(), self.register());
        self.push(Inst::LoopStart { counter });
        let test = self.push(Inst::Match);
        self.push(Inst::Mark(mark));
        if !repeat.captures.is_empty() {
            let (from, to) = (repeat.captures.start as usize, repeat.captures.end as usize);
            self.push(Inst::Clear(from * 2..to * 2));
        }
        self.node(&repeat.node, back);
        let Repeat { min, max, greedy, .. } = *repeat;
        self.push(Inst::LoopNext { counter, mark, min, test });
        let after = self.here();
        self.patch(test, Inst::LoopTest { counter, min, max, greedy, after });
    }
}
