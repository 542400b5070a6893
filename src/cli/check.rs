//! `noexd check`: reads everything that is kept and says what is wrong with it.
//!
//! Takes no lock and changes nothing, so it may run beside the server.

use std::path::Path;
use std::sync::Arc;

use super::files::location;
use super::{Done, Failed, Tool};
use crate::json::{Json, Object, Raw, parse};
use crate::query::{ViewLimits, Views};
use crate::server::exit;
use crate::storage::{Backups, Document, Location, Sqlite, StorageError, StorageErrorKind, Stored};
use crate::store::{BucketId, Dangling, Defined, Loader};

/// Findings of one file that are told one by one; the rest is a number.
const MAX_FINDINGS: usize = 1000;

/// Levels of nesting of a definition; more than any message can have.
const MAX_DEPTH: u32 = 1024;
/// What is kept of answers is nested a little more deeply.
const MAX_BODY_DEPTH: u32 = 1100;

/// What is known of the data, and of its backups as far as it is wrong.
#[derive(Default)]
struct Report {
    buckets: u64,
    records: u64,
    commit: u64,
    backups: u64,
    /// File and text of each.
    findings: Vec<(String, String)>,
    dangling: Vec<Dangling>,
    /// Why something could not be read at all.
    unread: Vec<String>,
}

pub(super) fn check(tool: &Tool) -> Result<Done, Failed> {
    let location = match location(&tool.persistence) {
        Ok(location) if location.file.exists() => location,
        Ok(location) => return Ok(no_data(&location)),
        Err(failed) => return Err(Failed { code: exit::CONFIG, ..failed }),
    };
    let mut report = Report::default();
    let mut data = Contents::default();
    report.commit = report.examine(&location.file, &mut data);
    (report.buckets, report.records) = (data.buckets, data.records);
    report.dangling = data.dangling;
    report.examine_backups(&location);
    let out = if tool.json { report.json() } else { report.text() };
    let code = match (report.unread.is_empty(), report.findings.is_empty()) {
        (true, true) => return Ok(Done::Text(out)),
        (true, false) => exit::DATA,
        (false, _) => exit::IO,
    };
    Ok(Done::Ended { out, errors: report.unread.join("\n"), code })
}

/// A log without its file is half of the data, and no place without data.
fn no_data(location: &Location) -> Done {
    let shown = location.file.display();
    let log = location.file.with_file_name(format!(
        "{}-wal",
        location.file.file_name().unwrap_or_default().to_string_lossy()
    ));
    if log.exists() {
        let out = format!("{shown}: is missing, but its log {} is there\n", log.display());
        return Done::Ended { out, errors: String::new(), code: exit::DATA };
    }
    let errors = format!("{shown} does not exist");
    Done::Ended { out: String::new(), errors, code: exit::CONFIG }
}

impl Report {
    /// Reads one database file; its newest commit.
    fn examine(&mut self, file: &Path, contents: &mut Contents) -> u64 {
        let shown = file.display().to_string();
        let (mut found, mut more) = (Vec::new(), 0u64);
        let mut find = |text: String| match found.len() < MAX_FINDINGS {
            true => found.push((shown.clone(), text)),
            false => more += 1,
        };
        let read = Sqlite::open_to_read(file)
            .and_then(|mut reader| reader.inspect(&mut |stored| contents.take(stored), &mut find));
        contents.finish(&mut find);
        if more > 0 {
            found.push((shown, format!("and {more} more")));
        }
        self.findings.append(&mut found);
        read.unwrap_or_else(|error| {
            self.failed(file, error);
            0
        })
    }

    fn failed(&mut self, file: &Path, error: StorageError) {
        use StorageErrorKind::{Full, InUse, Io};
        match error.kind {
            Io | Full | InUse => self.unread.push(error.message),
            _ => self.findings.push((file.display().to_string(), error.message)),
        }
    }

    fn examine_backups(&mut self, location: &Location) {
        let backups = Backups::new(location);
        let mut names = match backups.names() {
            Ok(names) => names,
            Err(error) => return self.failed(&location.backups(), error),
        };
        names.sort();
        for name in names {
            self.backups += 1;
            self.examine(&backups.path(&name), &mut Contents::default());
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (file, finding) in &self.findings {
            // A line is one finding, whatever is in the data. What the storage
            // says names the file already.
            let line = match finding.contains(file.as_str()) {
                true => finding.clone(),
                false => format!("{file}: {finding}"),
            };
            text.push_str(&crate::logging::printable(&line));
            text.push('\n');
        }
        for Dangling { bucket, field, target, records } in &self.dangling {
            let line = format!(
                "note: {records} records of bucket \"{bucket}\" refer in \"{field}\" to records of \
                 \"{target}\" that are not there"
            );
            text.push_str(&crate::logging::printable(&line));
            text.push('\n');
        }
        if self.findings.is_empty() && self.unread.is_empty() {
            text.push_str(&format!(
                "{} buckets, {} records, commit {}: no damage found\n",
                self.buckets, self.records, self.commit
            ));
        }
        text
    }

    fn json(&self) -> String {
        let number = |number: u64| Json::Number(number as f64);
        let object = |members: Vec<(&str, Json)>| Json::Object(members.into_iter().collect());
        let texts = |(file, text): &(String, String)| {
            object(vec![("file", Json::from(file.as_str())), ("text", Json::from(text.as_str()))])
        };
        let dangling = |dangling: &Dangling| {
            object(vec![
                ("bucket", Json::from(dangling.bucket.as_str())),
                ("field", Json::from(dangling.field.as_str())),
                ("target", Json::from(dangling.target.as_str())),
                ("records", number(dangling.records)),
            ])
        };
        let unread = self.unread.iter().map(|text| Json::from(text.as_str()));
        let report = object(vec![
            ("buckets", number(self.buckets)),
            ("records", number(self.records)),
            ("commit", number(self.commit)),
            ("backups", number(self.backups)),
            ("findings", Json::Array(self.findings.iter().map(texts).collect())),
            ("dangling", Json::Array(self.dangling.iter().map(dangling).collect())),
            ("unread", Json::Array(unread.collect())),
        ]);
        format!("{}\n", report.to_text())
    }
}

/// The content of one file, understood as a start would understand it.
#[derive(Default)]
struct Contents {
    loader: Loader,
    open: Option<BucketId>,
    buckets: u64,
    records: u64,
    dangling: Vec<Dangling>,
}

impl Contents {
    fn take(&mut self, stored: Stored<'_>) -> Result<(), String> {
        match stored {
            Stored::Bucket(entry) => {
                self.buckets += 1;
                self.open = Some(entry.id);
                let definition = object(&entry.definition)
                    .map_err(|reason| format!("the definition of \"{}\": {reason}", entry.name))?;
                let stored = Defined {
                    bucket: entry.id,
                    name: entry.name.into(),
                    persistent: true,
                    definition: Arc::new(definition),
                    state: entry.state.into(),
                };
                self.loader.bucket(&stored, entry.counter).map_err(|error| error.to_string())
            }
            Stored::Record { place, row, places, .. } => {
                self.records += 1;
                let open = self.open.ok_or("a record in front of every bucket")?;
                self.loader.record(open, row, place, places).map_err(|error| error.to_string())
            }
            Stored::Document(document) => understand(&document),
        }
    }

    /// Unique values and references: what only all of it together tells.
    fn finish(&mut self, found: &mut dyn FnMut(String)) {
        match std::mem::take(&mut self.loader).finish() {
            Ok(store) => self.dangling = store.dangling(),
            Err(error) => found(error.to_string()),
        }
    }
}

fn object(text: &str) -> Result<Object, String> {
    match parse(text, MAX_DEPTH).map(Raw::to_json) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err("it is no JSON object".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Definitions and state of other kinds: JSON, and a query is a query.
fn understand(document: &Document) -> Result<(), String> {
    let body = parse(&document.body, MAX_BODY_DEPTH).map_err(|error| error.to_string())?;
    if document.kind == "query" {
        let mut views = Views::new(ViewLimits::default());
        views
            .restore(&document.name, &body.to_json())
            .map_err(|error| error.message.into_owned())?;
    }
    Ok(())
}
