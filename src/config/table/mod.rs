//! The one table of options. Flags, help text, validation and
//! `docs/configuration.md` are all made from it.
//!
//! A row says where an option stands in the file, what it may be, where its
//! value lives in [`Config`] and what it means. Rows of a section follow the row
//! of the section itself, so that working through the table in order finds every
//! section in place before its members.

mod access;
mod server;
mod subsystems;

use super::problem::{shown, shown_kind};
use super::setting::{Setting, alternatives};
use super::{Config, Reader};
use crate::json::Json;

/// Largest value of integers that have no limit of their own: above, JSON
/// numbers are not exact.
pub(crate) const UNLIMITED: u64 = (1 << 53) - 1;

/// Where the value of an option lives; `None` while its section is off.
pub(crate) type Slot = fn(&mut Config) -> Option<&mut dyn Setting>;

/// One option.
pub(crate) struct Row {
    /// Member names joined with `.`.
    pub path: &'static str,
    pub kind: Kind,
    pub slot: Slot,
    /// What it does, in at most a few sentences, without the path.
    pub doc: &'static str,
    pub flag: Option<Flag>,
    /// The flag that says the opposite.
    pub opposite: Option<Flag>,
    /// Environment variable that overrides the file.
    pub env: Option<&'static str>,
    /// Content never appears in a message.
    pub secret: bool,
    /// What this version lacks to do it: only the default is accepted.
    pub missing: Option<&'static str>,
}

pub(crate) use access::{BUILT_IN, EXTERNAL};

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path)
    }
}

/// What a value may be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Boolean,
    Integer {
        min: u64,
        max: u64,
        /// What 0 means where it is allowed beside the range.
        zero: Option<&'static str>,
    },
    /// A number above 0, at most `max`.
    Positive {
        max: f64,
    },
    Text(fn(&str) -> Result<(), &'static str>),
    Choice(&'static [&'static str]),
    Texts(fn(&str) -> Result<(), &'static str>),
    /// An array or object whose form its setting checks.
    Array(&'static str),
    Object(&'static str),
    /// Something with several forms, checked by its setting.
    Any(&'static str),
    /// An object of options; without it all of them have their defaults.
    Section,
    /// As [`Kind::Section`], but nothing happens without it.
    OptionalSection,
    /// `false`, `true`, or an object of options, which is as good as `true`.
    Switch,
    /// As [`Kind::Switch`], or `"auto"`, which is the default.
    AutoSwitch,
    /// `false`, or an object of options: nothing that goes without a word about
    /// how it is to be.
    OffOrSection,
}

/// How an option is given on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub short: &'static str,
    pub long: &'static str,
    pub takes: Takes,
    /// One short line for `--help`.
    pub help: &'static str,
}

/// What stands behind a flag.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    /// A value, shown under this name.
    Value(&'static str),
    /// Nothing: the flag itself sets this.
    Fixed(bool),
}

impl Row {
    const fn new(path: &'static str, kind: Kind, slot: Slot, doc: &'static str) -> Self {
        Row {
            path,
            kind,
            slot,
            doc,
            flag: None,
            opposite: None,
            env: None,
            secret: false,
            missing: None,
        }
    }

    const fn flag(
        mut self,
        short: &'static str,
        long: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        self.flag = Some(Flag { short, long, takes: Takes::Value(value), help });
        self
    }

    const fn switch(mut self, long: &'static str, sets: bool, help: &'static str) -> Self {
        self.flag = Some(Flag { short: "", long, takes: Takes::Fixed(sets), help });
        self
    }

    const fn opposite(mut self, long: &'static str, help: &'static str) -> Self {
        self.opposite = Some(Flag { short: "", long, takes: Takes::Fixed(false), help });
        self
    }

    /// Both.
    pub fn flags(&self) -> impl Iterator<Item = Flag> {
        self.flag.into_iter().chain(self.opposite)
    }

    const fn env(mut self, name: &'static str) -> Self {
        self.env = Some(name);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn missing(mut self, what: &'static str) -> Self {
        self.missing = Some(what);
        self
    }

    const fn missing_without(self, is_there: bool, what: &'static str) -> Self {
        if is_there { self } else { self.missing(what) }
    }

    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The path of the section, empty at the top.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Whether options may stand inside.
    pub fn has_members(&self) -> bool {
        matches!(
            self.kind,
            Kind::Section
                | Kind::OptionalSection
                | Kind::Switch
                | Kind::AutoSwitch
                | Kind::OffOrSection
        )
    }

    /// Checks type and range. What has a form of its own is checked further
    /// when its setting reads it.
    pub fn check(&self, value: &Json, reader: &mut Reader) -> bool {
        let problems = reader.problems.len();
        let got = || if self.secret { shown_kind(value).to_owned() } else { shown(value) };
        match self.kind {
            Kind::Integer { .. } if self.path == "port" => check_port(value, reader),
            Kind::Integer { min, max, zero } => match integer(value) {
                Some(number)
                    if (min as f64..=max as f64).contains(&number)
                        || (number == 0.0 && zero.is_some()) => {}
                Some(_) => reader.problem(format!("expected {}, got {}", self.expected(), got())),
                None => {
                    let least = if zero.is_some() { 0 } else { min };
                    reader.problem(format!("expected integer >= {least}, got {}", got()));
                }
            },
            Kind::Text(check) => match value.as_str() {
                None => reader.problem(format!("expected string, got {}", got())),
                Some(text) => {
                    if let Err(expected) = check(text) {
                        let got =
                            if self.secret { String::new() } else { format!(", got {}", got()) };
                        reader.problem(match expected.contains("{}") {
                            true => expected.replace("{}", &shown(value)),
                            false => format!("{expected}{got}"),
                        });
                    }
                }
            },
            Kind::Texts(check) => {
                if let Some(texts) = reader.texts(value) {
                    for (at, text) in texts.iter().enumerate() {
                        if let Err(expected) = check(text) {
                            reader.problem_at(&format!("[{at}]"), expected);
                        }
                    }
                }
            }
            Kind::Any(_) => {}
            _ if self.fits(value) => {}
            _ => reader.problem(format!("expected {}, got {}", self.expected(), got())),
        }
        reader.problems.len() == problems
    }

    /// Whether a value is of a kind about which there is nothing else to say.
    fn fits(&self, value: &Json) -> bool {
        let is_section = value.as_object().is_some();
        match self.kind {
            Kind::Boolean => value.as_bool().is_some(),
            Kind::Positive { max } => {
                value.as_number().is_some_and(|number| number > 0.0 && number <= max)
            }
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Kind::Array(_) => value.as_array().is_some(),
            Kind::Switch => value.as_bool().is_some() || is_section,
            Kind::AutoSwitch => {
                value.as_bool().is_some() || is_section || value.as_str() == Some("auto")
            }
            Kind::OffOrSection => value.as_bool() == Some(false) || is_section,
            _ => is_section,
        }
    }

    /// What is allowed, for messages and the documentation.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Boolean => "boolean".into(),
            Kind::Integer { min, max, zero } => {
                let zero = zero.map_or(String::new(), |means| format!("0 ({means}) or "));
                match (max, min) {
                    (UNLIMITED, _) => format!("{zero}integer >= {min}"),
                    _ => format!("{zero}integer {min} to {max}"),
                }
            }
            Kind::Positive { max: f64::INFINITY } => "number > 0".into(),
            Kind::Positive { max } => format!("number > 0 and <= {max}"),
            Kind::Text(_) => "string".into(),
            Kind::Choice(words) => alternatives(words),
            Kind::Texts(_) => "array of strings".into(),
            Kind::Array(what) | Kind::Object(what) | Kind::Any(what) => what.into(),
            Kind::Section | Kind::OptionalSection => "object".into(),
            Kind::Switch => "boolean or object".into(),
            Kind::AutoSwitch => "boolean, \"auto\" or object".into(),
            Kind::OffOrSection => "false or object".into(),
        }
    }
}

/// An integer that is not negative; `5.0` is one.
fn integer(value: &Json) -> Option<f64> {
    value.as_number().filter(|number| *number >= 0.0 && number.fract() == 0.0 && number.is_finite())
}

const fn int(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max, zero: None }
}

const fn int_or_zero(means: &'static str, min: u64, max: u64) -> Kind {
    Kind::Integer { min, max, zero: Some(means) }
}

fn any_text(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn non_empty(text: &str) -> Result<(), &'static str> {
    if text.is_empty() { Err("expected non-empty string") } else { Ok(()) }
}

fn database_path(text: &str) -> Result<(), &'static str> {
    non_empty(text)?;
    match crate::storage::is_file_name(std::path::Path::new(text)) {
        true => Ok(()),
        false => Err(crate::storage::NO_FILE_NAME),
    }
}

fn url_path(text: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if text.starts_with('/') && text.bytes().all(plain) {
        Ok(())
    } else {
        Err(
            "expected a path that begins with \"/\", in printable ASCII without space, \"?\" or \"#\"",
        )
    }
}

/// All rows, in the order of the documentation.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    server::ROWS.iter().chain(access::ROWS).chain(subsystems::ROWS)
}

/// The row of a path.
pub(crate) fn row(path: &str) -> Option<&'static Row> {
    rows().find(|row| row.path == path)
}

/// The names that may stand in a section.
pub(crate) fn names_in(section: &str) -> impl Iterator<Item = &'static str> {
    rows().filter(move |row| row.section() == section).map(Row::name)
}

/// In the reference's own words, which name the key themselves.
fn check_port(value: &Json, reader: &mut Reader) {
    if integer(value).is_some_and(|port| port <= 65_535.0) {
        return;
    }
    let given = value.as_str().map_or_else(|| shown(value), str::to_owned);
    // The number is right: it is the quotes that are not. A flag has none.
    let is_quoted =
        reader.path() == "port" && value.as_str().is_some_and(|text| text.parse::<u16>().is_ok());
    let text = match is_quoted {
        true => format!(
            "Invalid port: \"{given}\" is a string (must be integer 0-65535, without quotes)"
        ),
        false => format!("Invalid port: {given} (must be integer 0-65535)"),
    };
    reader.at("", |reader| reader.problem(text));
}
