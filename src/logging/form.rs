//! How a record becomes a line.

use std::fmt::Write as _;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};

use super::{now, printable};
use crate::config::LogFormat;
use crate::json::{write_number, write_string};

/// A form of lines; nothing about the surroundings is open any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Text,
    Json,
    Journal,
}

/// Whether standard error is the journal: systemd says which file it gave.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

impl Form {
    pub fn of(format: LogFormat) -> Form {
        match format {
            LogFormat::Text => Form::Text,
            LogFormat::Json => Form::Json,
            LogFormat::Journal => Form::Journal,
            LogFormat::Auto if is_journal() => Form::Journal,
            LogFormat::Auto => Form::Text,
        }
    }

    pub fn line(self, record: &Record<'_>, module: &str, text: &str) -> String {
        match self {
            Form::Text => {
                let (time, level) = (now(), record.level());
                format!("{time} {level} {module}: {}{}\n", printable(text), Pairs::of(record))
            }
            Form::Journal => {
                let level = match record.level() {
                    Level::Error => 3,
                    Level::Warn => 4,
                    Level::Info => 6,
                    Level::Debug | Level::Trace => 7,
                };
                format!("<{level}>{module}: {}{}\n", printable(text), Pairs::of(record))
            }
            Form::Json => {
                let mut out = Vec::with_capacity(128);
                let mut member = |name: &str, value: &str| {
                    out.push(if out.is_empty() { b'{' } else { b',' });
                    write_string(&mut out, name);
                    out.push(b':');
                    write_string(&mut out, value);
                };
                member("ts", &now());
                member("level", &record.level().as_str().to_lowercase());
                member("module", module);
                member("msg", &printable(text));
                // A visitor that collects does not fail.
                let _ = record.key_values().visit(&mut Members(&mut out));
                out.extend_from_slice(b"}\n");
                String::from_utf8(out).unwrap_or_default()
            }
        }
    }
}

/// ` key=value` for each.
struct Pairs(String);

impl Pairs {
    fn of(record: &Record<'_>) -> String {
        let mut pairs = Pairs(String::new());
        let _ = record.key_values().visit(&mut pairs);
        pairs.0
    }
}

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let _ = write!(self.0, " {key}={}", printable(&value.to_string()));
        Ok(())
    }
}

struct Members<'o>(&'o mut Vec<u8>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push(b',');
        write_string(self.0, key.as_str());
        self.0.push(b':');
        match value.to_f64() {
            Some(number) => write_number(self.0, number),
            None => write_string(self.0, &printable(&value.to_string())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(form: Form) -> String {
        let pairs = [("conn", Value::from("conn-7")), ("ms", Value::from(412_u64))];
        let record = Record::builder().level(Level::Warn).key_values(&pairs).build();
        form.line(&record, "noexd::engine", "slow\nrequest")
    }

    #[test]
    fn a_line_says_the_same_in_every_form() {
        let text = line(Form::Text);
        assert!(
            text.ends_with(" WARN noexd::engine: slow\\nrequest conn=conn-7 ms=412\n"),
            "{text}"
        );
        assert_eq!(line(Form::Journal), "<4>noexd::engine: slow\\nrequest conn=conn-7 ms=412\n");
        let json = line(Form::Json);
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["level"], "warn");
        assert_eq!(read["msg"], "slow\\nrequest");
        assert_eq!(read["conn"], "conn-7");
        assert_eq!(read["ms"], 412.0);
        assert_eq!(read["module"], "noexd::engine");
        assert!(read["ts"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
    }
}
