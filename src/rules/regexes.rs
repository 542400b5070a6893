//! The expressions of the `matches` operator: those of `pattern` constraints,
//! as far as they run in linear time. Look-around and back-references need
//! backtracking and match nothing here: events come from anybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::store::pattern::Pattern as Expression;

/// Compiled expressions kept for values that come from events or facts.
const CACHE: usize = 256;

/// Compiles; the error is the reason.
pub(super) fn compile(pattern: &str) -> Result<Expression, String> {
    let expression = Expression::new(pattern).map_err(|error| error.to_string())?;
    if !expression.is_linear() {
        return Err("it needs backtracking (look-around, a back-reference or a very large \
                    repetition)"
            .to_owned());
    }
    Ok(expression)
}

/// Steps that compiling takes.
pub(super) fn cost(pattern: &str) -> u64 {
    Expression::cost(pattern)
}

/// Expressions that are known only when a rule runs.
#[derive(Debug, Default)]
pub(super) struct RegexCache {
    compiled: HashMap<Arc<str>, (u64, Option<Expression>)>,
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

impl RegexCache {
    /// Whether it need not be compiled.
    pub(super) fn knows(&self, pattern: &str) -> bool {
        self.compiled.contains_key(pattern)
    }

    /// False for an expression that cannot be compiled.
    pub(super) fn is_match(&mut self, pattern: &str, text: &str) -> bool {
        self.uses += 1;
        if let Some((used, expression)) = self.compiled.get_mut(pattern) {
            if let Some(key) = self.by_use.remove(used) {
                self.by_use.insert(self.uses, key);
            }
            *used = self.uses;
            return expression.as_ref().is_some_and(|expression| expression.is_linear_match(text));
        }
        let expression = compile(pattern).ok();
        let matches =
            expression.as_ref().is_some_and(|expression| expression.is_linear_match(text));
        if self.compiled.len() >= CACHE
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.compiled.remove(&oldest);
        }
        let key: Arc<str> = pattern.into();
        self.by_use.insert(self.uses, Arc::clone(&key));
        self.compiled.insert(key, (self.uses, expression));
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).is_ok_and(|expression| expression.is_linear_match(text))
    }

    #[test]
    fn as_in_javascript() {
        for (pattern, text) in [
            ("b", "abc"),
            ("^a.c$", "aéc"),
            ("\\d+", "x12"),
            ("^[\\d.]+$", "1.5"),
            ("\\bfoo\\b", "éfooé"),
            ("^[a-z&&b]+$", "a&b"),
            ("^[[a]$", "["),
            ("^[^]$", "\n"),
            ("(?<year>\\d{4})", "in 2026"),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in [
            ("^a.c$", "a\nc"),
            ("^\\w$", "é"),
            ("\\d", "٣"),
            ("A", "a"),
            ("[]", "a"),
            ("^a$", "a\n"),
        ] {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused() {
        for pattern in ["(?=a)", "(?<!a)b", "(a)\\1", "(", "a{1000}{1000}", "[b-a]", "\\"] {
            assert!(!matches(pattern, "a"), "{pattern}");
            assert!(!compile(pattern).expect_err(pattern).is_empty());
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
