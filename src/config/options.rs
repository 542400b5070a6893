//! Options as they were given: by the file, the environment and the command
//! line, each checked by itself. What they mean together is decided in
//! [`super::resolve`].

use std::collections::BTreeMap;

use super::problem::{find_duplicates, shown, unknown_key};
use super::table::{Flag, Kind, Row, Takes, names_in, row, rows};
use super::{ConfigError, Reader};
use crate::json::{self, Json, JsonError, Object};

/// Deepest nesting in a configuration file.
const MAX_DEPTH: u32 = 128;

/// Where a value came from; a later one overrides an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    File,
    Environment,
    Flag,
}

/// A value that fits its option by itself, or a note that one was given and
/// did not fit (and has been reported).
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub source: Source,
    pub value: Option<Json>,
}

/// Everything that was given, by path.
#[derive(Debug, Default)]
pub struct Options {
    pub(super) given: BTreeMap<&'static str, Given>,
    pub(super) reader: Reader,
}

/// Keys of the reference's tool that have no row of their own.
const LEGACY: &[&str] = &["adminSecret", "persistence"];

impl Options {
    /// Nothing yet: the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a configuration file says. Its problems are kept for
    /// [`Options::resolve`]; only text that is not JSON is an error at once.
    ///
    /// # Errors
    ///
    /// The text is not a JSON object.
    pub fn read_file(&mut self, text: &str) -> Result<(), ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // An empty file says nothing, like no file.
        if text.trim().is_empty() {
            return Ok(());
        }
        let raw = json::parse(text, MAX_DEPTH)
            .map_err(|error| ConfigError::one("", syntax_text(text, &error)))?;
        let value = raw.to_json();
        let Some(object) = value.as_object() else {
            return Err(ConfigError::one("", format!("expected object, got {}", shown(&value))));
        };
        find_duplicates(raw, &mut self.reader);
        self.read_members("", object);
        Ok(())
    }

    fn read_members(&mut self, section: &'static str, object: &Object) {
        for (name, value) in object.iter() {
            let found = rows().find(|row| row.section() == section && row.name() == name);
            let is_legacy = section.is_empty() && LEGACY.contains(&name);
            match found {
                // As good as absent; a name that nobody knows is wrong all the same.
                _ if value.is_null() && (found.is_some() || is_legacy) => {}
                Some(row) => self.read_value(row, value),
                None if is_legacy => self.read_legacy(name, value),
                None => {
                    let text = unknown_key(name, names_in(section));
                    self.reader.at(section, |reader| reader.problem_at(name, text));
                }
            }
        }
    }

    fn read_value(&mut self, row: &'static Row, value: &Json) {
        let fits = self.reader.at(row.path, |reader| row.check(value, reader));
        match value {
            Json::Object(members) if fits && row.has_members() => {
                self.give(row.path, Source::File, Some(Json::Object(Object::new())));
                self.read_members(row.path, members);
            }
            value => self.give(row.path, Source::File, fits.then(|| value.clone())),
        }
    }

    fn read_legacy(&mut self, name: &str, value: &Json) {
        if name == "adminSecret" {
            // Anything but a string is reported under the name that was used.
            match value.as_str() {
                Some(text) if !text.is_empty() => {
                    self.give("adminSecret", Source::File, Some(value.clone()));
                }
                _ => {
                    self.reader.at(name, |reader| reader.problem("expected non-empty string"));
                    self.give("adminSecret", Source::File, None);
                }
            }
        } else {
            let given = value.as_str().map_or_else(|| shown(value), str::to_owned);
            self.give_persistence(&given, Source::File);
        }
    }

    fn give_persistence(&mut self, kind: &str, source: Source) {
        let known = matches!(kind, "memory" | "file" | "sqlite");
        if !known {
            let text =
                format!("Unknown persistence type: {kind} (must be memory, file, or sqlite)");
            self.reader.at("", |reader| reader.problem(text));
        }
        self.give("persistence", source, known.then(|| Json::from(kind)));
    }

    /// Adds what a flag of the command line says. `text` is `None` for flags
    /// that take no value.
    pub(super) fn read_flag(&mut self, row: &'static Row, flag: Flag, text: Option<&str>) {
        let value = match (flag.takes, text) {
            (Takes::Fixed(sets), _) => Json::Bool(sets),
            (Takes::Value(_), text) => flag_value(row, text.unwrap_or_default()),
        };
        let place = format!("--{}", flag.long);
        let fits = self.reader.at(&place, |reader| row.check(&value, reader));
        // A flag that switches a section on leaves its members alone.
        let keep = matches!(flag.takes, Takes::Fixed(true))
            && matches!(self.value(row.path), Some(Json::Object(_)));
        if !keep {
            self.give(row.path, Source::Flag, fits.then_some(value));
        }
    }

    /// Adds `--persistence`, which has no option of its own.
    pub(super) fn read_persistence_flag(&mut self, kind: &str) {
        self.give_persistence(kind, Source::Flag);
    }

    /// Adds what the environment says; `get` looks up a variable.
    pub fn read_environment(&mut self, get: impl Fn(&str) -> Option<String>) {
        for row in rows() {
            let Some(name) = row.env else { continue };
            let Some(text) = get(name).filter(|text| !text.is_empty()) else { continue };
            let value = flag_value(row, &text);
            let fits = self.reader.at(name, |reader| row.check(&value, reader));
            self.give(row.path, Source::Environment, fits.then_some(value));
        }
    }

    /// Sets one option from code, as the file would; `path` is its path in the
    /// file.
    pub fn set(&mut self, path: &str, value: Json) {
        if value.is_null() {
            return;
        }
        match row(path) {
            Some(row) => {
                // A member brings its section along.
                let section = super::table::row(row.section());
                if let Some(section) = section.filter(|s| !self.given.contains_key(s.path)) {
                    self.set(section.path, Json::Object(Object::new()));
                }
                self.read_value(row, &value);
            }
            None => {
                let text = unknown_key(path, rows().map(|row| row.path));
                self.reader.at(path, |reader| reader.problem(text));
            }
        }
    }

    pub(super) fn give(&mut self, path: &'static str, source: Source, value: Option<Json>) {
        self.given.insert(path, Given { source, value });
    }

    /// A value that was given and fits.
    pub(super) fn value(&self, path: &str) -> Option<&Json> {
        self.given.get(path)?.value.as_ref()
    }

    pub(super) fn source(&self, path: &str) -> Option<Source> {
        self.given.get(path).map(|given| given.source)
    }

    /// Whether a value was given, fitting or not.
    pub(super) fn has(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }
}

/// The text of a flag as the file would have it.
fn flag_value(row: &Row, text: &str) -> Json {
    match row.kind {
        Kind::Integer { .. } if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Json::Number(text.parse().unwrap_or(f64::INFINITY))
        }
        Kind::Texts(_) | Kind::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Json::Array(parts.map(Json::from).collect())
        }
        _ => Json::from(text),
    }
}

/// Line and column are what an editor shows; bytes are not.
fn syntax_text(text: &str, error: &JsonError) -> String {
    let (offset, what) = match error {
        JsonError::Syntax { offset, expected } => (*offset, format!("expected {expected}")),
        JsonError::LoneSurrogate { offset } => (*offset, "lone surrogate escape".to_owned()),
        other => return other.to_string(),
    };
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {what}")
}
