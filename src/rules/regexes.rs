//! The expressions of the `matches` operator: JavaScript's notation, matched in
//! linear time.
//!
//! What JavaScript writes alike and means differently is rewritten: `\d`, `\w`,
//! `\s` and `\b` are ASCII, `.` does not match line ends, and inside brackets
//! there are no set operations. Look-around and back-references need
//! backtracking and are refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// Compiled expressions kept for values that come from events or facts.
const CACHE: usize = 256;
/// Bytes a compiled expression may take.
const SIZE_LIMIT: usize = 1 << 18;

/// Compiles; the error is the reason in one line.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern)).size_limit(SIZE_LIMIT).build().map_err(|error| {
        match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the compiled expression is larger than {limit} bytes")
            }
            // The parser's message draws the expression over several lines and
            // names the reason in the last.
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.trim_start_matches("error: ").to_owned()
            }
        }
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut in_class = false;
    let mut last_in_class = None;
    while let Some(character) = characters.next() {
        if in_class {
            match character {
                ']' => {
                    in_class = false;
                    out.push(']');
                }
                '\\' => match characters.next() {
                    Some('d') => out.push_str("0-9"),
                    Some('D') => out.push_str("[^0-9]"),
                    Some('w') => out.push_str("0-9A-Za-z_"),
                    Some('W') => out.push_str("[^0-9A-Za-z_]"),
                    Some('s') => out.push_str("\\t\\n\\x0B\\x0C\\r "),
                    Some('S') => out.push_str("[^\\t\\n\\x0B\\x0C\\r ]"),
                    // Backspace.
                    Some('b') => out.push_str("\\x08"),
                    Some(other) => {
                        out.push('\\');
                        out.push(other);
                    }
                    None => out.push('\\'),
                },
                '[' | '&' | '~' => {
                    out.push('\\');
                    out.push(character);
                }
                '-' if last_in_class == Some('-') => out.push_str("\\-"),
                _ => out.push(character),
            }
            last_in_class = Some(character);
            continue;
        }
        match character {
            '[' => {
                let negated = characters.next_if_eq(&'^').is_some();
                if characters.next_if_eq(&']').is_some() {
                    // JavaScript's "nothing" and "anything".
                    out.push_str(if negated { "(?s:.)" } else { "[^\\x00-\\x{10FFFF}]" });
                    continue;
                }
                out.push_str(if negated { "[^" } else { "[" });
                in_class = true;
                last_in_class = None;
            }
            '.' => out.push_str("[^\\n\\r\\x{2028}\\x{2029}]"),
            '\\' => match characters.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str("[\\t\\n\\x0B\\x0C\\r ]"),
                Some('S') => out.push_str("[^\\t\\n\\x0B\\x0C\\r ]"),
                Some('b') => out.push_str("(?-u:\\b)"),
                Some('B') => out.push_str("(?-u:\\B)"),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            _ => out.push(character),
        }
    }
    out
}

/// Expressions that are known only when a rule runs.
#[derive(Debug, Default)]
pub(super) struct RegexCache {
    compiled: HashMap<Arc<str>, (u64, Option<Regex>)>,
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

impl RegexCache {
    /// False for an expression that cannot be compiled.
    pub(super) fn is_match(&mut self, pattern: &str, text: &str) -> bool {
        self.uses += 1;
        if let Some((used, regex)) = self.compiled.get_mut(pattern) {
            if let Some(key) = self.by_use.remove(used) {
                self.by_use.insert(self.uses, key);
            }
            *used = self.uses;
            return regex.as_ref().is_some_and(|regex| regex.is_match(text.as_bytes()));
        }
        let regex = compile(pattern).ok();
        let matches = regex.as_ref().is_some_and(|regex| regex.is_match(text.as_bytes()));
        if self.compiled.len() >= CACHE
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.compiled.remove(&oldest);
        }
        let key: Arc<str> = pattern.into();
        self.by_use.insert(self.uses, Arc::clone(&key));
        self.compiled.insert(key, (self.uses, regex));
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).is_ok_and(|regex| regex.is_match(text.as_bytes()))
    }

    #[test]
    fn as_in_javascript() {
        for (pattern, text) in [
            ("b", "abc"),
            ("^a.c$", "aéc"),
            ("\\d+", "x12"),
            ("^[\\d.]+$", "1.5"),
            ("^[^\\s]+$", "a\u{a0}b"),
            ("\\bfoo\\b", "éfooé"),
            ("^[a-z&&b]+$", "a&b"),
            ("^[[a]$", "["),
            ("^[^]$", "\n"),
            ("^\\/a\\-b$", "/a-b"),
            ("(?<year>\\d{4})", "in 2026"),
            ("^[\\w-]+$", "a-b_9"),
            ("^[\\D]$", "x"),
            ("\\u00e9", "é"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in [
            ("^a.c$", "a\nc"),
            ("^.$", "\u{2028}"),
            ("^\\w$", "é"),
            ("\\d", "٣"),
            ("A", "a"),
            ("[]", "a"),
            ("^a$", "a\n"),
            ("^[^\\s]+$", "a b"),
        ] {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused() {
        for pattern in ["(?=a)", "(?<!a)b", "(a)\\1", "(", "a{1000}{1000}{1000}", "[b-a]", "\\"] {
            let reason = compile(pattern).expect_err(pattern);
            assert!(!reason.is_empty() && !reason.contains('\n'), "{pattern}: {reason}");
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = RegexCache::default();
        assert!(cache.is_match("^keep$", "keep"));
        for number in 0..1000 {
            assert!(cache.is_match(&format!("^{number}$"), &number.to_string()));
            assert!(cache.is_match("^keep$", "keep"));
            assert!(!cache.is_match("(", "("));
        }
        assert_eq!((cache.compiled.len(), cache.by_use.len()), (CACHE, CACHE));
        assert!(cache.compiled.contains_key("^keep$"));
    }
}
