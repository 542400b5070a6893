//! Regular patterns on the `regex` crate.
//!
//! ECMAScript matches UTF-16 code units, the crate matches characters. They are
//! the same thing for text without characters beyond U+FFFF. For other text,
//! each half of a surrogate pair is written as a character of its own from a
//! private plane; real characters of that plane are pairs themselves, so there
//! is no confusion.

use std::borrow::Cow;
use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

use super::UnitSet;
use super::parse::Node;

/// Bytes of a compiled automaton; what does not fit is for the other engine.
const SIZE_LIMIT: usize = 1 << 20;
/// Bytes of the states that are built while matching.
const CACHE_LIMIT: usize = 1 << 18;

/// Where the surrogates U+D800.. are put.
const SURROGATES: u32 = 0xf_0000;

#[derive(Clone, Debug)]
pub(super) struct Linear(Regex);

impl Linear {
    /// `None`: not regular, or too large.
    pub fn new(node: &Node) -> Option<Linear> {
        let mut pattern = String::new();
        write_node(node, &mut pattern)?;
        let regex = RegexBuilder::new(&pattern)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(CACHE_LIMIT)
            .nest_limit(1000)
            .build()
            .ok()?;
        Some(Linear(regex))
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(&split_pairs(text))
    }
}

fn split_pairs(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c <= '\u{ffff}') {
        return Cow::Borrowed(text);
    }
    let units =
        text.encode_utf16().map(|unit| char_of(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
    Cow::Owned(units.collect())
}

fn char_of(unit: u16) -> Option<char> {
    let unit = u32::from(unit);
    char::from_u32(if (0xd800..0xe000).contains(&unit) { unit - 0xd800 + SURROGATES } else { unit })
}

/// `None`: something that an automaton cannot do.
fn write_node(node: &Node, out: &mut String) -> Option<()> {
    match node {
        Node::Empty => {}
        Node::Unit(set) => write_set(set, out),
        Node::Start => out.push_str(r"\A"),
        Node::End => out.push_str(r"\z"),
        Node::WordBoundary { negative: false } => out.push_str(r"(?-u:\b)"),
        // The crate's `\B` for ASCII also matches inside characters.
        Node::WordBoundary { negative: true } => return None,
        Node::Concat(nodes) => nodes.iter().try_for_each(|node| write_node(node, out))?,
        Node::Alternatives(branches) => {
            out.push_str("(?:");
            for (at, branch) in branches.iter().enumerate() {
                if at > 0 {
                    out.push('|');
                }
                write_node(branch, out)?;
            }
            out.push(')');
        }
        Node::Capture(_, node) => {
            out.push_str("(?:");
            write_node(node, out)?;
            out.push(')');
        }
        Node::Repeat(repeat) => {
            // Whether there is a match does not depend on greed.
            out.push_str("(?:");
            write_node(&repeat.node, out)?;
            // Writing to a String cannot fail.
            let _ = match (repeat.min, repeat.max) {
                (0, None) => write!(out, ")*"),
                (1, None) => write!(out, ")+"),
                (min, None) => write!(out, "){{{min},}}"),
                (min, Some(max)) => write!(out, "){{{min},{max}}}"),
            };
        }
        Node::Backreference(_) | Node::Look { .. } => return None,
    }
    Some(())
}

fn write_set(set: &UnitSet, out: &mut String) {
    if set.ranges.is_empty() {
        // Matches nothing.
        out.push_str(r"[^\x{0}-\x{10ffff}]");
        return;
    }
    out.push('[');
    let mut range = |low: u32, high: u32| {
        if low <= high {
            // Writing to a String cannot fail.
            let _ = write!(out, r"\x{{{low:x}}}-\x{{{high:x}}}");
        }
    };
    for &(low, high) in &set.ranges {
        let (low, high) = (u32::from(low), u32::from(high));
        range(low, high.min(0xd7ff));
        let (from, to) = (low.max(0xd800), high.min(0xdfff));
        if from <= to {
            range(from - 0xd800 + SURROGATES, to - 0xd800 + SURROGATES);
        }
        range(low.max(0xe000), high);
    }
    out.push(']');
}
