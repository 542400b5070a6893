//! What is wrong with a configuration, all of it at once.

use crate::json::{Json, Kind as JsonKind, Raw};
use crate::protocol::Operation;
use crate::spelling::nearest;

/// One thing that is wrong: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, or the flag or variable that it came from; empty if the
    /// text says it.
    pub at: String,
    /// What is wrong with it, and what would be right.
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.at, self.text)
        }
    }
}

/// Every problem of a configuration, in the order in which they were found;
/// never empty. Displayed one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// All of them, in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn one(at: impl Into<String>, text: impl Into<String>) -> Self {
        ConfigError { problems: vec![Problem { at: at.into(), text: text.into() }] }
    }

    /// All problems of several errors; no error without problems.
    pub(crate) fn all(errors: Vec<Self>) -> Result<(), Self> {
        Self::of(errors.into_iter().flat_map(|error| error.problems).collect())
    }

    /// No error without problems.
    pub(crate) fn of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// The problems of one look at a configuration and of a later one. What the
    /// later says of something that the first found wrong is left out: it looked
    /// at half of it.
    pub(crate) fn together(first: Result<(), Self>, later: Result<(), Self>) -> Result<(), Self> {
        let mut problems = first.err().map(|error| error.problems).unwrap_or_default();
        let later = later.err().map(|error| error.problems).unwrap_or_default();
        let is_inside = |place: &str, known: &str| {
            // A section as a whole says nothing about its definitions.
            let rest = place.strip_prefix(known).filter(|_| known.contains(['.', '[']));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let known: Vec<String> = problems.iter().map(|problem| problem.at.clone()).collect();
        problems.extend(
            later
                .into_iter()
                .filter(|problem| !known.iter().any(|known| is_inside(&problem.at, known))),
        );
        Self::of(problems)
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects problems while a value is read; knows where in the file it stands.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: String,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

impl Reader {
    /// Where the reader stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(Problem { at: self.path.clone(), text: text.into() });
    }

    /// A problem at a member of the place where the reader stands.
    pub fn problem_at(&mut self, member: &str, text: impl Into<String>) {
        self.inside(member, |reader| reader.problem(text));
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Runs `read` one level deeper: at a member, or at an element (`[3]`).
    pub fn inside<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if !self.path.is_empty() && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(&shown_name(step));
        let result = read(self);
        self.path.truncate(length);
        result
    }

    /// Runs `read` at this place, wherever the reader stood.
    pub fn at<T>(&mut self, place: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.path, place.to_owned());
        let result = read(self);
        self.path = before;
        result
    }

    pub fn elements<T>(
        &mut self,
        elements: &[Json],
        mut read: impl FnMut(&mut Self, &Json) -> Option<T>,
    ) -> Vec<T> {
        let read_one = |(at, element)| self.inside(&format!("[{at}]"), |r| read(r, element));
        elements.iter().enumerate().filter_map(read_one).collect()
    }

    /// The members of an object that may have only the members `known`. A
    /// member that is `null` is as good as absent.
    pub fn object<'a>(&mut self, value: &'a Json, known: &[&str]) -> Option<Members<'a>> {
        let Some(object) = value.as_object() else {
            self.problem(format!("expected object, got {}", shown(value)));
            return None;
        };
        for name in object.keys().filter(|name| !known.contains(name)) {
            self.problem_at(name, unknown_key(name, known.iter().copied()));
        }
        Some(Members(value))
    }

    pub fn text(&mut self, value: &Json) -> Option<String> {
        let text = value.as_str();
        if text.is_none() {
            self.problem(format!("expected string, got {}", shown(value)));
        }
        text.map(str::to_owned)
    }

    pub fn texts(&mut self, value: &Json) -> Option<Vec<String>> {
        match value.as_array() {
            Some(elements) => Some(self.elements(elements, Self::text)),
            None => {
                self.problem(format!("expected array of strings, got {}", shown(value)));
                None
            }
        }
    }
}

/// See [`Reader::object`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members<'a>(&'a Json);

impl<'a> Members<'a> {
    pub fn is_list(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_array().is_some())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Reads a member that is there.
    pub fn read<T>(
        &self,
        reader: &mut Reader,
        name: &str,
        read: impl FnOnce(&mut Reader, &'a Json) -> Option<T>,
    ) -> Option<T> {
        let value = self.0.get(name).filter(|value| !value.is_null())?;
        reader.inside(name, |reader| read(reader, value))
    }

    /// Reads a member that must be there.
    pub fn require<T>(
        &self,
        reader: &mut Reader,
        name: &str,
        read: impl FnOnce(&mut Reader, &'a Json) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            reader.problem_at(name, "required");
            return None;
        }
        self.read(reader, name, read)
    }
}

/// Reports every member that an object has twice, with its path. Parsing alone
/// would keep the last one and hide that the file says two things.
pub(crate) fn find_duplicates(raw: Raw<'_>, reader: &mut Reader) {
    let mut seen = std::collections::HashSet::new();
    for (at, (name, value)) in raw.members().enumerate() {
        let again = !seen.insert(name.clone());
        // The names of tokens are secrets.
        let tokens = reader.path() == "auth.tokens";
        let name = if tokens { format!("[{at}]").into() } else { name };
        if again {
            reader.problem_at(&name, "duplicate key");
        }
        if matches!(value.kind(), JsonKind::Array | JsonKind::Object) {
            reader.inside(&name, |reader| find_duplicates(value, reader));
        }
    }
    for (at, value) in raw.elements().enumerate() {
        if matches!(value.kind(), JsonKind::Array | JsonKind::Object) {
            reader.inside(&format!("[{at}]"), |reader| find_duplicates(value, reader));
        }
    }
}

/// A value as messages show it: short, on one line.
pub(crate) fn shown(value: &Json) -> String {
    const LONGEST: usize = 60;
    match value {
        Json::Array(_) => "array".into(),
        Json::Object(_) => "object".into(),
        Json::String(text) if text.chars().count() > LONGEST => {
            let start: String = text.chars().take(LONGEST).collect();
            format!("{}...", Json::from(start))
        }
        other => other.to_text(),
    }
}

/// The kind of a value whose content must not be shown.
pub(crate) fn shown_kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// A member name as a part of a path: it comes from the file, so it could be
/// long or contain line breaks.
fn shown_name(name: &str) -> String {
    name.chars().take(128).flat_map(char::escape_debug).collect()
}

/// `unknown key`, with the known key that was probably meant.
pub(crate) fn unknown_key<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(meant) => format!("unknown key (did you mean \"{meant}\"?)"),
        None => "unknown key".into(),
    }
}

/// Longer than any operation's name.
const LONG: usize = 64;

/// What is wrong with a pattern of operations that matches none: it has no `*`
/// and is no name.
pub(crate) fn unknown_operation(pattern: &str) -> Option<String> {
    if pattern.contains('*') || Operation::from_name(pattern).is_some() {
        return None;
    }
    let known = Operation::ALL.iter().filter(|_| pattern.len() <= LONG);
    let name: String = pattern.chars().take(LONG).collect();
    Some(match nearest(&name, known.map(|operation| operation.name())) {
        Some(meant) => format!("unknown operation \"{name}\" (did you mean \"{meant}\"?)"),
        None => format!("unknown operation \"{name}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_look_adds_what_the_first_did_not_see() {
        let problem = |at: &str| Problem { at: at.into(), text: "wrong".into() };
        let error =
            |places: &[&str]| ConfigError::of(places.iter().map(|at| problem(at)).collect());
        let first = error(&["", "zz", "buckets", "buckets.a", "rules.definitions[1]"]);
        let later = error(&[
            "buckets.a",
            "buckets.a.key",
            "buckets.ab",
            "rules.definitions[1].name",
            "rules.definitions[10].name",
        ]);
        let problems = ConfigError::together(first, later).expect_err("seven problems").problems;
        let places: Vec<&str> = problems.iter().map(|problem| &*problem.at).collect();
        let added = ["buckets.ab", "rules.definitions[10].name"];
        let first = ["", "zz", "buckets", "buckets.a", "rules.definitions[1]"];
        assert_eq!(places, [&first[..], &added[..]].concat());
        assert_eq!(ConfigError::together(Ok(()), Ok(())), Ok(()));
    }

    #[test]
    fn the_nearest_known_key_is_suggested_and_only_a_near_one() {
        let known = ["allowedOrigins", "host", "port"];
        let text = |name| unknown_key(name, known.iter().copied());
        assert_eq!(text("allowedOrigin"), "unknown key (did you mean \"allowedOrigins\"?)");
        assert_eq!(text("PORT"), "unknown key (did you mean \"port\"?)");
        assert_eq!(text("colour"), "unknown key");
    }

    #[test]
    fn names_from_the_file_cannot_break_a_line() {
        let mut reader = Reader::default();
        reader.problem_at("a\nb", "unknown key");
        assert_eq!(reader.problems[0].to_string(), "a\\nb: unknown key");
    }
}
