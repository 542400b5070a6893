//! The three pattern grammars: what a subscription, an event trigger and a fact
//! pattern match. They differ on purpose; clients depend on each.
//!
//! `*` is the only wildcard and nothing escapes it; every other character stands
//! for itself, so compiling a pattern cannot fail. All three are reduced to the
//! same form: one [`Segment`] per separated part and an [`End`].

/// Which rules a pattern follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// `rules.subscribe`, separator `.`. A segment `*` accepts any segment; as
    /// the last one it accepts any remainder, also none.
    Subscription,
    /// Event triggers and temporal matchers, separator `.`. `*` is one or more
    /// characters of a segment; a final `.*` accepts any remainder after a dot.
    Topic,
    /// Facts and timers, separator `:`. `*` is one or more characters of a
    /// segment; the last segment of a pattern with no other `*` may be empty.
    Key,
}

impl Grammar {
    pub const fn separator(self) -> char {
        match self {
            Grammar::Subscription | Grammar::Topic => '.',
            Grammar::Key => ':',
        }
    }
}

/// What one segment of a subject must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    /// At least one character.
    Any,
    AnyOrEmpty,
    Glob(Glob),
}

impl Segment {
    fn matches(&self, segment: &str) -> bool {
        match self {
            Segment::Literal(text) => **text == *segment,
            Segment::Any => !segment.is_empty(),
            Segment::AnyOrEmpty => true,
            Segment::Glob(glob) => glob.matches(segment),
        }
    }
}

/// What may follow the last segment of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Exact,
    /// At least one more segment, which may be empty.
    More,
    /// Whatever there is, or nothing.
    Whatever,
}

impl End {
    /// `rest`: what follows, if there is another segment.
    pub(super) fn accepts(self, rest: Option<&str>) -> bool {
        match self {
            End::Exact => rest.is_none(),
            End::More => rest.is_some(),
            End::Whatever => true,
        }
    }
}

/// A segment with a `*` among other characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    text: Box<str>,
}

impl Glob {
    /// The characters in front of the first `*`.
    pub(super) fn prefix(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }

    /// The characters behind the last `*`.
    pub(super) fn suffix(&self) -> &str {
        self.text.rsplit('*').next().unwrap_or_default()
    }

    pub(super) fn matches(&self, segment: &str) -> bool {
        Self::text_matches(&self.text, segment)
    }

    /// Every `*` is one or more characters. The leftmost place of each piece
    /// leaves the most room for the next, so there is no backtracking.
    fn text_matches(glob: &str, segment: &str) -> bool {
        let mut pieces = glob.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| segment.strip_prefix(first)) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            let mut characters = rest.chars();
            if characters.next().is_none() {
                return false;
            }
            rest = characters.as_str();
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.find(piece).and_then(|at| rest.get(at + piece.len()..)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    separator: char,
    pub(super) segments: Box<[Segment]>,
    pub(super) end: End,
}

impl Pattern {
    pub fn new(grammar: Grammar, text: &str) -> Pattern {
        let separator = grammar.separator();
        let Parts { front, end, last_may_be_empty } = Parts::of(grammar, text);
        let mut segments: Vec<Segment> = match front {
            Some(front) => front.split(separator).map(|text| segment(grammar, text)).collect(),
            None => Vec::new(),
        };
        if last_may_be_empty && let Some(last) = segments.last_mut() {
            *last = Segment::AnyOrEmpty;
        }
        Pattern { separator, segments: segments.into_boxed_slice(), end }
    }

    /// Whether a pattern matches, without compiling it: a compiled one takes
    /// many times the memory of its text, which is in the hands of clients.
    pub(super) fn text_matches(grammar: Grammar, pattern: &str, subject: &str) -> bool {
        let separator = grammar.separator();
        let Parts { front, end, last_may_be_empty } = Parts::of(grammar, pattern);
        let mut rest = Some(subject);
        let mut pieces = front.into_iter().flat_map(|front| front.split(separator)).peekable();
        while let Some(piece) = pieces.next() {
            let Some(text) = rest else { return false };
            let (first, behind) = match text.split_once(separator) {
                Some((first, behind)) => (first, Some(behind)),
                None => (text, None),
            };
            let may_be_anything = last_may_be_empty && pieces.peek().is_none();
            let matches = match piece {
                _ if may_be_anything => true,
                "*" => grammar == Grammar::Subscription || !first.is_empty(),
                _ if grammar != Grammar::Subscription && piece.contains('*') => {
                    Glob::text_matches(piece, first)
                }
                _ => piece == first,
            };
            if !matches {
                return false;
            }
            rest = behind;
        }
        end.accepts(rest)
    }

    /// A pattern that matches only the identical text.
    pub fn is_literal(text: &str) -> bool {
        !text.contains('*')
    }

    pub fn matches(&self, subject: &str) -> bool {
        let mut rest = Some(subject);
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            let (first, behind) = match text.split_once(self.separator) {
                Some((first, behind)) => (first, Some(behind)),
                None => (text, None),
            };
            if !segment.matches(first) {
                return false;
            }
            rest = behind;
        }
        self.end.accepts(rest)
    }
}

fn segment(grammar: Grammar, text: &str) -> Segment {
    match (grammar, text) {
        (Grammar::Subscription, "*") => Segment::AnyOrEmpty,
        (Grammar::Subscription, _) => Segment::Literal(text.into()),
        (_, "*") => Segment::Any,
        _ if text.contains('*') => Segment::Glob(Glob { text: text.into() }),
        _ => Segment::Literal(text.into()),
    }
}

/// A pattern taken apart.
struct Parts<'p> {
    /// Everything but what is meant by `end`; `None`: no segments.
    front: Option<&'p str>,
    end: End,
    /// The last segment of `front` is a `*` that accepts the empty segment too.
    last_may_be_empty: bool,
}

impl<'p> Parts<'p> {
    fn of(grammar: Grammar, text: &'p str) -> Self {
        let mut parts = Parts { front: Some(text), end: End::Exact, last_may_be_empty: false };
        match grammar {
            // A `*` that is not last is followed by a literal or by another `*`:
            // it may stand for a missing segment only if nothing but `*`
            // follows. So a run of `*` at the end is one "whatever there is",
            // and all others need a segment.
            Grammar::Subscription => {
                while let Some(front) = parts.front {
                    parts.front = match front {
                        "*" => None,
                        _ => match front.strip_suffix(".*") {
                            Some(front) => Some(front),
                            None => break,
                        },
                    };
                    parts.end = End::Whatever;
                }
            }
            Grammar::Topic => {
                if let Some(front) = text.strip_suffix(".*") {
                    parts.front = Some(front);
                    parts.end = End::More;
                }
            }
            Grammar::Key => {
                let front = text.strip_suffix(":*");
                parts.last_may_be_empty = front.is_some_and(|front| !front.contains('*'));
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(grammar: Grammar, pattern: &str, yes: &[&str], no: &[&str]) {
        let compiled = Pattern::new(grammar, pattern);
        for subject in yes {
            assert!(compiled.matches(subject), "{grammar:?} {pattern} should match {subject}");
        }
        for subject in no {
            assert!(!compiled.matches(subject), "{grammar:?} {pattern} should not match {subject}");
        }
    }

    #[test]
    fn subscriptions() {
        let check = |pattern, yes: &[&str], no: &[&str]| {
            check(Grammar::Subscription, pattern, yes, no);
        };
        check("*", &["", "o", "o.c", "a.b.c", ".", "*"], &[]);
        check("o.*", &["o.c", "o.a.b.c", "o.", "o"], &["oc", "", "p.c", "oo.c"]);
        check("o.*.x", &["o.a.x", "o..x", "o.*.x"], &["o.x", "o.a.b.x", "o", "o.a", "o.a.x."]);
        check("*.c", &["x.c", ".c"], &["c", "a.x.c", "x.cc"]);
        check("o.*.*", &["o", "o.c", "o.a.x", "o.a.b.c.d"], &["p", "oo"]);
        check("*.*", &["o", "o.c", "", "a.b.c"], &[]);
        check("o.c*", &["o.c*"], &["o.cc", "o.c"]);
        check("**", &["**"], &["oc", "*"]);
        check("a.b", &["a.b"], &["a", "a.b.", "a.b.c", "a.*"]);
        check("a.*.c.*", &["a.x.c", "a.x.c.d.e", "a..c"], &["a.c", "a", "a.x"]);
    }

    #[test]
    fn event_triggers() {
        let check = |pattern, yes: &[&str], no: &[&str]| check(Grammar::Topic, pattern, yes, no);
        check("*", &["o", "oc", "é"], &["o.c", "", "."]);
        check("o.*", &["o.c", "o.a.b.c", "o."], &["o", "oc", "p.c"]);
        check("o.*.x", &["o.a.x"], &["o.x", "o.a.b.x", "o..x"]);
        check("*.c", &["x.c"], &["c", "a.x.c", ".c"]);
        check("o.c*", &["o.cc", "o.c*"], &["o.c", "o.c.c", "o.cc.d"]);
        check("**", &["oc", "abc"], &["o", ""]);
        // All but the last segment are patterns too.
        check("o.*.*", &["o.a.b", "o.a.", "o.a.b.c"], &["o.a", "o..b", "o"]);
        check("*.x.*", &["a.x.b", "a.x."], &["x.b", "a.x", ".x.b"]);
        check("a*b*c", &["axbxc", "abbbbc"], &["abc", "axbc", "abbc", "axbxd"]);
        check(".*", &[".", ".a", ".a.b"], &["", "a"]);
        check("a.(*", &["a.(b"], &["a.(", "a.b"]);
        check("a.b", &["a.b"], &["aXb", "a.b.c"]);
    }

    #[test]
    fn facts_and_timers() {
        let check = |pattern, yes: &[&str], no: &[&str]| check(Grammar::Key, pattern, yes, no);
        check("*", &["a", "a.b"], &["b:1", ""]);
        check("b:*", &["b:1", "b:", "b:x.y"], &["b", "b:2:x", "bb:1"]);
        check("c:*:x", &["c:1:x"], &["c::x", "c:1:2:x", "c:1:y"]);
        check("*:*", &["b:1"], &["b:", "a", "b:2:x", ":1"]);
        check("c:1*:x", &["c:12:x"], &["c:1:x", "c:2:x"]);
        check("a:b:*", &["a:b:", "a:b:c"], &["a:b", "a:b:c:d"]);
        check("a:*:*", &["a:b:c"], &["a:b:", "a::c"]);
        check("se*:x", &["sea:x", "search:x"], &["se:x", "a:x"]);
        check("b:(*", &["b:(1"], &["b:(", "b:1"]);
        check("a:b", &["a:b"], &["a", "a:b:c"]);
    }

    /// The definition of `**`-like globs by trying every split.
    fn naive_glob(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', behind)) => {
                (1..=text.len()).any(|taken| naive_glob(behind, text.get(taken..).expect("in")))
            }
            Some((literal, behind)) => text
                .split_first()
                .is_some_and(|(first, rest)| first == literal && naive_glob(behind, rest)),
        }
    }

    /// The whole text, every `*` one or more characters but the separator.
    fn naive_whole(pattern: &[char], text: &[char], separator: char) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', behind)) => (1..=text.len())
                .take_while(|taken| text.get(taken - 1) != Some(&separator))
                .any(|taken| naive_whole(behind, text.get(taken..).expect("in"), separator)),
            Some((literal, behind)) => text.split_first().is_some_and(|(first, rest)| {
                first == literal && naive_whole(behind, rest, separator)
            }),
        }
    }

    /// The matchers as the specification words them.
    fn naive(grammar: Grammar, pattern: &str, subject: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<char>>();
        match grammar {
            Grammar::Subscription => {
                if pattern == "*" {
                    return true;
                }
                let (pattern, subject): (Vec<&str>, Vec<&str>) =
                    (pattern.split('.').collect(), subject.split('.').collect());
                for (at, segment) in pattern.iter().enumerate() {
                    if *segment == "*" {
                        if at + 1 == pattern.len() {
                            return true;
                        }
                    } else if subject.get(at) != Some(segment) {
                        return false;
                    }
                }
                pattern.len() == subject.len()
            }
            Grammar::Topic => match pattern.strip_suffix(".*") {
                Some(front) => subject.match_indices('.').any(|(at, _)| {
                    naive_whole(&chars(front), &chars(subject.get(..at).expect("in")), '.')
                }),
                None => naive_whole(&chars(pattern), &chars(subject), '.'),
            },
            Grammar::Key => match pattern.strip_suffix('*') {
                Some(front) if front.ends_with(':') && !front.contains('*') => {
                    subject.strip_prefix(front).is_some_and(|rest| !rest.contains(':'))
                }
                _ => naive_whole(&chars(pattern), &chars(subject), ':'),
            },
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(4096))]

        #[test]
        fn patterns_agree_with_their_definition(
            grammar in 0..3usize,
            pattern in "[ab*]{0,3}([.:][ab*]{0,2}){0,4}",
            subject in "[ab]{0,3}([.:][ab]{0,2}){0,4}",
        ) {
            let grammar = [Grammar::Subscription, Grammar::Topic, Grammar::Key]
                .into_iter().nth(grammar).expect("three");
            let expected = naive(grammar, &pattern, &subject);
            let matches = match Pattern::is_literal(&pattern) {
                true => pattern == subject,
                false => Pattern::new(grammar, &pattern).matches(&subject),
            };
            proptest::prop_assert_eq!(matches, expected);
            proptest::prop_assert_eq!(Pattern::text_matches(grammar, &pattern, &subject), expected);
        }

        #[test]
        fn globs_agree_with_their_definition(pattern in "[ab*é]{1,6}", text in "[abé]{0,8}") {
            let characters: Vec<char> = pattern.chars().collect();
            let subject: Vec<char> = text.chars().collect();
            let expected = naive_glob(&characters, &subject);
            for grammar in [Grammar::Topic, Grammar::Key] {
                proptest::prop_assert_eq!(Pattern::new(grammar, &pattern).matches(&text), expected);
            }
        }
    }
}
