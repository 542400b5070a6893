//! How one setting is read from JSON and shown as JSON.
//!
//! The table of options ([`super::table`]) has checked type and range of plain
//! values before [`Setting::read`] sees them; what is left to it are values with
//! a form of their own.

use std::path::PathBuf;

use super::problem::{Reader, shown};
use super::{
    AuditSync, ConsoleWhen, CustomRoleTier, DataLimit, Durability, LogFormat, LoginScope,
    PermissionDefault, Secret, TlsVersion, WalCheckpoint,
};
use crate::json::{Json, Object};
use crate::net::TrustedProxy;
use crate::protocol::Tier;

/// What stands for a secret.
pub(super) const PLACEHOLDER: &str = "(secret)";

/// A value that can be set from the configuration and shown.
pub(crate) trait Setting {
    /// Takes the value over; what is wrong with it goes to the reader.
    fn read(&mut self, value: &Json, reader: &mut Reader);
    /// The value as the file would write it.
    fn json(&self) -> Json;
    /// The same for others to see: with placeholders for secrets.
    fn shown(&self) -> Json {
        self.json()
    }
}

macro_rules! integer_setting {
    ($($integer:ty),*) => { $(
        impl Setting for $integer {
            fn read(&mut self, value: &Json, reader: &mut Reader) {
                // A limit beyond the type's range is as good as none.
                match value.as_number().filter(|number| number.fract() == 0.0 && *number >= 0.0) {
                    Some(number) => *self = number as $integer,
                    None => reader.problem(format!("expected integer, got {}", shown(value))),
                }
            }

            fn json(&self) -> Json {
                Json::Number(*self as f64)
            }
        }
    )* };
}

integer_setting!(u16, u32, u64, usize);

macro_rules! plain_setting {
    ($($kind:ty, $expected:literal, $read:expr, $json:expr;)*) => { $(
        impl Setting for $kind {
            fn read(&mut self, value: &Json, reader: &mut Reader) {
                let read: fn(&Json) -> Option<$kind> = $read;
                match read(value) {
                    Some(value) => *self = value,
                    None => {
                        reader.problem(format!(concat!("expected ", $expected, ", got {}"), shown(value)));
                    }
                }
            }

            fn json(&self) -> Json {
                let json: fn(&$kind) -> Json = $json;
                json(self)
            }
        }
    )* };
}

plain_setting! {
    bool, "boolean", Json::as_bool, |value| Json::Bool(*value);
    f64, "number", Json::as_number, |value| Json::Number(*value);
    String, "string", |value| value.as_str().map(str::to_owned), |text| Json::from(text.as_str());
    PathBuf, "path", |value| value.as_str().map(PathBuf::from),
        |path| Json::from(path.to_string_lossy().into_owned());
    Object, "object", |value| value.as_object().cloned(), |object| Json::Object(object.clone());
    Vec<Json>, "array", |value| value.as_array().map(<[Json]>::to_vec),
        |elements| Json::Array(elements.clone());
}

/// Secrets do not say what they were given.
impl Setting for Secret {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        match value.as_str() {
            Some(text) => *self = Secret::new(text),
            None => reader.problem("expected string"),
        }
    }

    fn json(&self) -> Json {
        Json::from(self.expose())
    }

    fn shown(&self) -> Json {
        if self.expose().is_empty() { Json::Null } else { Json::from(PLACEHOLDER) }
    }
}

/// The word of the default, or what switches it on wherever the server is.
impl Setting for ConsoleWhen {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        match (value.as_str(), value.as_bool()) {
            (Some("auto"), _) => *self = ConsoleWhen::Auto,
            (_, Some(true)) => *self = ConsoleWhen::Always,
            _ => reader.problem(format!("expected true or \"auto\", got {}", shown(value))),
        }
    }

    fn json(&self) -> Json {
        match self {
            ConsoleWhen::Auto => Json::from("auto"),
            ConsoleWhen::Always => Json::Bool(true),
        }
    }
}

/// A choice between words: the first of each pair is the word of the file.
macro_rules! choice_setting {
    ($($kind:ty { $($word:literal => $variant:path),* })*) => { $(
        impl $kind {
            /// The words of the configuration file.
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl Setting for $kind {
            fn read(&mut self, value: &Json, reader: &mut Reader) {
                match value.as_str() {
                    $(Some($word) => *self = $variant,)*
                    _ => reader.problem(one_of(Self::WORDS, value)),
                }
            }

            fn json(&self) -> Json {
                match self { $($variant => Json::from($word)),* }
            }
        }
    )* };
}

/// `expected "a", "b" or "c", got ...`
pub(crate) fn one_of(words: &[&str], value: &Json) -> String {
    format!("expected {}, got {}", alternatives(words), shown(value))
}

/// `"a", "b" or "c"`
pub(crate) fn alternatives(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        match at {
            0 => {}
            at if at + 1 == words.len() => text.push_str(" or "),
            _ => text.push_str(", "),
        }
        text.push_str(&Json::from(*word).to_text());
    }
    text
}

choice_setting! {
    LogFormat {
        "auto" => LogFormat::Auto, "text" => LogFormat::Text, "json" => LogFormat::Json,
        "journal" => LogFormat::Journal
    }
    Durability {
        "always" => Durability::Always, "interval" => Durability::Interval, "none" => Durability::None
    }
    WalCheckpoint { "auto" => WalCheckpoint::Auto, "external" => WalCheckpoint::External }
    TlsVersion { "1.2" => TlsVersion::V1_2, "1.3" => TlsVersion::V1_3 }
    CustomRoleTier {
        "none" => CustomRoleTier::None, "read" => CustomRoleTier::Read,
        "write" => CustomRoleTier::Write, "admin" => CustomRoleTier::Admin
    }
    LoginScope { "separate" => LoginScope::Separate, "pair" => LoginScope::Pair }
    PermissionDefault { "allow" => PermissionDefault::Allow, "deny" => PermissionDefault::Deny }
    AuditSync {
        "never" => AuditSync::Never, "interval" => AuditSync::Interval, "always" => AuditSync::Always
    }
}

impl<T: Setting + Default> Setting for Option<T> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        self.insert(T::default()).read(value, reader);
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::json)
    }

    fn shown(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::shown)
    }
}

impl Default for Secret {
    fn default() -> Self {
        Secret::new("")
    }
}

impl Setting for Vec<String> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        if let Some(texts) = reader.texts(value) {
            *self = texts;
        }
    }

    fn json(&self) -> Json {
        Json::Array(self.iter().map(|text| Json::from(text.as_str())).collect())
    }
}

impl Setting for Vec<TrustedProxy> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        *self = reader.elements(value.as_array().unwrap_or_default(), |reader, element| {
            match element.as_str().map(str::parse::<TrustedProxy>) {
                Some(Ok(proxy)) => return Some(proxy),
                Some(Err(error)) => reader.problem(error.to_string()),
                None => reader.problem(format!("expected string, got {}", shown(element))),
            }
            None
        });
    }

    fn json(&self) -> Json {
        Json::Array(self.iter().map(|proxy| Json::from(proxy.to_string())).collect())
    }
}

impl Setting for DataLimit {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let bytes = value.as_number().filter(|number| {
            number.fract() == 0.0 && (1_048_576.0..=1_099_511_627_776.0).contains(number)
        });
        let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
        let percent = percent.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let percent = percent.and_then(|text| text.parse().ok());
        match (bytes, percent) {
            (Some(bytes), _) => *self = DataLimit::Bytes(bytes as u64),
            (_, Some(percent @ 1..=95)) => *self = DataLimit::Percent(percent),
            _ => reader.problem(format!(
                "expected integer 1048576 to 1099511627776, or \"1%\" to \"95%\", got {}",
                shown(value)
            )),
        }
    }

    fn json(&self) -> Json {
        match self {
            DataLimit::Bytes(bytes) => Json::Number(*bytes as f64),
            DataLimit::Percent(percent) => Json::from(format!("{percent}%")),
        }
    }
}

impl Setting for Vec<Tier> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        const WORDS: &[&str] = &["admin", "write", "read"];
        let tiers =
            reader.elements(value.as_array().unwrap_or_default(), |reader, element| match element
                .as_str()
            {
                Some("admin") => Some(Tier::Admin),
                Some("write") => Some(Tier::Write),
                Some("read") => Some(Tier::Read),
                _ => {
                    reader.problem(one_of(WORDS, element));
                    None
                }
            });
        *self = tiers;
    }

    fn json(&self) -> Json {
        Json::Array(self.iter().map(|tier| Json::from(tier.as_str())).collect())
    }
}
