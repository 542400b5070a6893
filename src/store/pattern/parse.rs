//! The grammar: ECMA-262 22.2.1 with the liberties of its Annex B, which every
//! engine grants to expressions without the `u` flag.

use super::named::{ascii, class_escape, line_terminators, single};
use super::{PatternError, UnitSet};

/// Groups within groups; the parser and the compilers recurse this deep.
const MAX_DEPTH: u32 = 100;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    /// One code unit of the set.
    Unit(UnitSet),
    Start,
    End,
    /// `\b`, or `\B` if negative.
    WordBoundary {
        negative: bool,
    },
    Concat(Vec<Node>),
    Alternatives(Vec<Node>),
    /// Number from 1.
    Capture(u32, Box<Node>),
    Backreference(u32),
    Look {
        behind: bool,
        negative: bool,
        node: Box<Node>,
    },
    Repeat(Box<Repeat>),
}

impl Node {
    /// About how many states its automaton has, repetitions written out.
    pub fn states(&self) -> u64 {
        let sum = |nodes: &[Node]| {
            nodes.iter().fold(1, |sum: u64, node| sum.saturating_add(node.states()))
        };
        match self {
            Node::Empty | Node::Start | Node::End | Node::WordBoundary { .. } => 1,
            // Characters beyond ASCII are several bytes.
            Node::Unit(set) => 1 + set.ranges.len() as u64,
            Node::Backreference(_) => 1,
            Node::Concat(nodes) | Node::Alternatives(nodes) => sum(nodes),
            Node::Capture(_, node) | Node::Look { node, .. } => node.states().saturating_add(1),
            Node::Repeat(repeat) => {
                let rounds = u64::from(repeat.max.unwrap_or(repeat.min).max(1));
                repeat.node.states().saturating_mul(rounds).saturating_add(1)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub node: Node,
    pub min: u32,
    /// `None`: without end.
    pub max: Option<u32>,
    pub greedy: bool,
    /// The captures inside: every round forgets those of the last one.
    pub captures: std::ops::Range<u32>,
}

pub(super) struct Parsed {
    pub node: Node,
    pub captures: u32,
}

pub(super) fn parse(source: &str) -> Result<Parsed, PatternError> {
    let units: Vec<u16> = source.encode_utf16().collect();
    let (groups, names) = scan_groups(&units);
    let mut parser =
        Parser { units: &units, at: 0, groups, names, next_capture: 1, seen: Vec::new() };
    let node = parser.alternatives(0)?;
    if parser.at < units.len() {
        return Err(parser.error("unmatched \")\""));
    }
    Ok(Parsed { node, captures: parser.next_capture })
}

/// Counts the capturing groups and collects their names: what `\1` and `\k`
/// mean depends on groups that may come later.
fn scan_groups(units: &[u16]) -> (u32, Vec<(Vec<u16>, u32)>) {
    let (mut count, mut names) = (0u32, Vec::new());
    let (mut at, mut in_class) = (0, false);
    while let Some(&unit) = units.get(at) {
        let next = |offset: usize| units.get(at + offset).copied().and_then(ascii);
        match ascii(unit) {
            Some('\\') => at += 1,
            Some('[') => in_class = true,
            Some(']') => in_class = false,
            Some('(') if !in_class => match (next(1), next(2), next(3)) {
                (Some('?'), Some('<'), Some('=' | '!')) => {}
                (Some('?'), Some('<'), _) => {
                    count += 1;
                    let name = units.iter().skip(at + 3).copied();
                    let name = name.take_while(|&unit| unit != u16::from(b'>')).collect();
                    names.push((name, count));
                }
                (Some('?'), ..) => {}
                _ => count += 1,
            },
            _ => {}
        }
        at += 1;
    }
    (count, names)
}

struct Parser<'a> {
    units: &'a [u16],
    at: usize,
    groups: u32,
    names: Vec<(Vec<u16>, u32)>,
    next_capture: u32,
    /// Names that were defined so far.
    seen: Vec<Vec<u16>>,
}

impl Parser<'_> {
    fn error(&self, reason: &'static str) -> PatternError {
        PatternError { offset: self.at, reason }
    }

    fn peek_unit(&self) -> Option<u16> {
        self.units.get(self.at).copied()
    }

    /// The next unit if it is an ASCII character.
    fn peek(&self) -> Option<char> {
        self.peek_unit().and_then(ascii)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn eat_text(&mut self, wanted: &str) -> bool {
        let end = self.at + wanted.len();
        let found = self
            .units
            .get(self.at..end)
            .is_some_and(|have| have.iter().copied().eq(wanted.encode_utf16()));
        if found {
            self.at = end;
        }
        found
    }

    fn alternatives(&mut self, depth: u32) -> Result<Node, PatternError> {
        if depth > MAX_DEPTH {
            return Err(self.error("groups nested too deeply"));
        }
        let mut branches = vec![self.sequence(depth)?];
        while self.eat('|') {
            branches.push(self.sequence(depth)?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            Some(last) => {
                branches.push(last);
                Node::Alternatives(branches)
            }
            None => Node::Empty,
        })
    }

    fn sequence(&mut self, depth: u32) -> Result<Node, PatternError> {
        let mut nodes = Vec::new();
        while self.peek_unit().is_some() && !matches!(self.peek(), Some('|' | ')')) {
            nodes.push(self.term(depth)?);
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        })
    }

    fn term(&mut self, depth: u32) -> Result<Node, PatternError> {
        let before = self.next_capture;
        let (node, repeatable) = self.atom(depth)?;
        let captures = before..self.next_capture;
        let Some((min, max)) = self.quantifier()? else { return Ok(node) };
        if !repeatable {
            return Err(self.error("nothing to repeat"));
        }
        let greedy = !self.eat('?');
        Ok(Node::Repeat(Box::new(Repeat { node, min, max, greedy, captures })))
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let bounds = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(bounds))
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else is not a quantifier.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let start = self.at;
        self.at += 1;
        let min = self.decimal();
        let max = if self.eat(',') { self.decimal().map(Some) } else { min.map(Some) };
        let open = max.is_none();
        match min {
            Some(min) if self.eat('}') => {
                let max = if open { None } else { max.flatten() };
                if max.is_some_and(|max| max < min) {
                    return Err(self.error("numbers out of order in {} quantifier"));
                }
                Ok(Some((min, max)))
            }
            _ => {
                self.at = start;
                Ok(None)
            }
        }
    }

    fn decimal(&mut self) -> Option<u32> {
        let mut value = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            value = Some(value.unwrap_or(0u32).saturating_mul(10).saturating_add(digit));
            self.at += 1;
        }
        value
    }

    /// The atom, and whether it may be repeated.
    fn atom(&mut self, depth: u32) -> Result<(Node, bool), PatternError> {
        let unit = self.peek_unit().unwrap_or_default();
        let node = match ascii(unit) {
            Some('^') => return self.assertion(Node::Start),
            Some('$') => return self.assertion(Node::End),
            Some('(') => return self.group(depth),
            Some('*' | '+' | '?') => return Err(self.error("nothing to repeat")),
            Some('{') if self.braces()?.is_some() => return Err(self.error("nothing to repeat")),
            Some('.') => {
                self.at += 1;
                Node::Unit(line_terminators().complement())
            }
            Some('[') => {
                self.at += 1;
                Node::Unit(self.class()?)
            }
            Some('\\') => {
                self.at += 1;
                return self.atom_escape();
            }
            _ => {
                self.at += 1;
                Node::Unit(UnitSet::of(unit))
            }
        };
        Ok((node, true))
    }

    fn assertion(&mut self, node: Node) -> Result<(Node, bool), PatternError> {
        self.at += 1;
        Ok((node, false))
    }

    fn group(&mut self, depth: u32) -> Result<(Node, bool), PatternError> {
        self.at += 1;
        let look =
            [("?=", false, false), ("?!", false, true), ("?<=", true, false), ("?<!", true, true)];
        for (opening, behind, negative) in look {
            if self.eat_text(opening) {
                let node = Box::new(self.group_body(depth)?);
                return Ok((Node::Look { behind, negative, node }, !behind));
            }
        }
        if self.eat_text("?:") {
            return Ok((self.group_body(depth)?, true));
        }
        if self.eat_text("?<") {
            let name = self.name()?;
            if self.seen.contains(&name) {
                return Err(self.error("duplicate capture group name"));
            }
            self.seen.push(name);
        } else if self.peek() == Some('?') {
            return Err(self.error("invalid group"));
        }
        let number = self.next_capture;
        self.next_capture += 1;
        let node = self.group_body(depth)?;
        Ok((Node::Capture(number, Box::new(node)), true))
    }

    fn group_body(&mut self, depth: u32) -> Result<Node, PatternError> {
        let node = self.alternatives(depth + 1)?;
        if self.eat(')') { Ok(node) } else { Err(self.error("unterminated group")) }
    }

    /// The rest of `<name>`.
    fn name(&mut self) -> Result<Vec<u16>, PatternError> {
        let mut name = Vec::new();
        while let Some(unit) = self.peek_unit() {
            self.at += 1;
            match ascii(unit) {
                Some('>') if !name.is_empty() => return Ok(name),
                Some(c) if c == '_' || c == '$' || c.is_ascii_alphabetic() => name.push(unit),
                Some(c) if c.is_ascii_digit() && !name.is_empty() => name.push(unit),
                None => name.push(unit),
                Some(_) => break,
            }
        }
        Err(self.error("invalid capture group name"))
    }

    fn atom_escape(&mut self) -> Result<(Node, bool), PatternError> {
        let unit = match self.peek() {
            Some('b') => return self.assertion(Node::WordBoundary { negative: false }),
            Some('B') => return self.assertion(Node::WordBoundary { negative: true }),
            Some('1'..='9') => match self.backreference() {
                Some(number) => return Ok((Node::Backreference(number), true)),
                None => self.character_escape()?,
            },
            Some('k') if !self.names.is_empty() => {
                self.at += 1;
                let name = if self.eat('<') { self.name()? } else { Vec::new() };
                let found = self.names.iter().find(|(have, _)| *have == name);
                let number = found.map(|(_, number)| *number);
                let number = number.ok_or_else(|| self.error("invalid named reference"))?;
                return Ok((Node::Backreference(number), true));
            }
            Some(c) => match class_escape(c) {
                Some(set) => {
                    self.at += 1;
                    return Ok((Node::Unit(set), true));
                }
                None => self.character_escape()?,
            },
            None => self.character_escape()?,
        };
        Ok((Node::Unit(UnitSet::of(unit)), true))
    }

    /// The number after a backslash, if there are that many groups.
    fn backreference(&mut self) -> Option<u32> {
        let start = self.at;
        let number = self.decimal().filter(|&number| number <= self.groups);
        if number.is_none() {
            self.at = start;
        }
        number
    }

    /// The unit that an escape stands for, after the backslash.
    fn character_escape(&mut self) -> Result<u16, PatternError> {
        let Some(unit) = self.peek_unit() else {
            return Err(self.error("\\ at end of pattern"));
        };
        let c = ascii(unit);
        let simple = match c {
            Some('f') => Some(0x0c),
            Some('n') => Some(0x0a),
            Some('r') => Some(0x0d),
            Some('t') => Some(0x09),
            Some('v') => Some(0x0b),
            _ => None,
        };
        if let Some(unit) = simple {
            self.at += 1;
            return Ok(unit);
        }
        match c {
            Some('c') => Ok(self.control_escape(|c| c.is_ascii_alphabetic())),
            Some('x') => Ok(self.hex_escape(2).unwrap_or(unit)),
            Some('u') => Ok(self.hex_escape(4).unwrap_or(unit)),
            Some('0'..='7') => Ok(self.octal_escape()),
            _ => {
                self.at += 1;
                Ok(unit)
            }
        }
    }

    /// `c` and a letter; else the backslash stands for itself.
    fn control_escape(&mut self, letter: impl Fn(char) -> bool) -> u16 {
        let next = self.units.get(self.at + 1).copied();
        match next.filter(|&unit| ascii(unit).is_some_and(&letter)) {
            Some(unit) => {
                self.at += 2;
                unit % 32
            }
            None => u16::from(b'\\'),
        }
    }

    /// Hex digits behind the letter; without them the letter stands for itself.
    fn hex_escape(&mut self, digits: usize) -> Option<u16> {
        self.at += 1;
        let text = self.units.get(self.at..self.at + digits)?;
        let value = text
            .iter()
            .try_fold(0u32, |value, &unit| Some(value << 4 | ascii(unit)?.to_digit(16)?))?;
        self.at += digits;
        u16::try_from(value).ok()
    }

    /// Up to three octal digits, at most `\377`.
    fn octal_escape(&mut self) -> u16 {
        let mut value = 0;
        for _ in 0..3 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            let next = value * 8 + digit as u16;
            if next > 0o377 {
                break;
            }
            value = next;
            self.at += 1;
        }
        value
    }

    /// What is between `[` and `]`.
    fn class(&mut self) -> Result<UnitSet, PatternError> {
        let negative = self.eat('^');
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        loop {
            if self.peek_unit().is_none() {
                return Err(self.error("unterminated character class"));
            }
            if self.eat(']') {
                break;
            }
            let low = self.class_atom()?;
            let dash = self.peek() == Some('-')
                && self.units.get(self.at + 1).is_some_and(|&unit| ascii(unit) != Some(']'));
            if !dash {
                ranges.extend(low.ranges);
                continue;
            }
            self.at += 1;
            let high = self.class_atom()?;
            match (single(&low), single(&high)) {
                (Some(low), Some(high)) if low > high => {
                    return Err(self.error("range out of order in character class"));
                }
                (Some(low), Some(high)) => ranges.push((low, high)),
                // With a class like \d on either side the dash is a dash.
                _ => {
                    ranges.extend(low.ranges);
                    ranges.extend(high.ranges);
                    ranges.push((u16::from(b'-'), u16::from(b'-')));
                }
            }
        }
        let set = UnitSet::new(ranges);
        Ok(if negative { set.complement() } else { set })
    }

    fn class_atom(&mut self) -> Result<UnitSet, PatternError> {
        let Some(unit) = self.peek_unit() else {
            return Err(self.error("unterminated character class"));
        };
        self.at += 1;
        if ascii(unit) != Some('\\') {
            return Ok(UnitSet::of(unit));
        }
        let unit = match self.peek() {
            Some('b') => {
                self.at += 1;
                0x08
            }
            Some('c') => self.control_escape(|c| c.is_ascii_alphanumeric() || c == '_'),
            Some('k') if !self.names.is_empty() => return Err(self.error("invalid escape")),
            Some(c) => match class_escape(c) {
                Some(set) => {
                    self.at += 1;
                    // More than one unit, so that it cannot bound a range.
                    return Ok(set);
                }
                None => self.character_escape()?,
            },
            None => self.character_escape()?,
        };
        Ok(UnitSet::of(unit))
    }
}
