//! `noexd export` and `noexd import`: JSON Lines.
//!
//! An export has a line `{"bucket", "definition", "counter"}` for each bucket
//! and a line `{"bucket", "record"}` for each of its records; an import takes
//! such lines, or plain records for one bucket.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::files::{location, now};
use super::{Done, Failed, Tool, noex};
use crate::json::{Json, Object, Raw, parse, write_string};
use crate::private;
use crate::server::Offline;
use crate::storage::{Sqlite, Stored};
use crate::store::Content;

/// Levels of nesting of a line: those of a record, and the line itself.
const MAX_DEPTH: u32 = 1026;

pub(super) fn export(tool: &Tool) -> Result<Done, Failed> {
    let location = location(&tool.persistence)?;
    let mut reader = Sqlite::open_to_read(&location.file)?;
    let mut out: Box<dyn Write> = match &tool.output {
        // Other people's data, perhaps their passwords.
        Some(path) => {
            Box::new(private::create(path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::new(&mut out);
    let mut left = tool.buckets.clone();
    let mut open: Option<String> = None;
    let mut line = Vec::new();
    reader.load(&mut |stored| {
        line.clear();
        match stored {
            Stored::Bucket(entry) => {
                open = None;
                if tool.buckets.is_empty() || tool.buckets.contains(&entry.name) {
                    left.retain(|name| *name != entry.name);
                    begin(&mut line, &entry.name);
                    line.extend_from_slice(b"\"definition\":");
                    line.extend_from_slice(entry.definition.as_bytes());
                    let counter = format!(",\"counter\":{}}}\n", entry.counter);
                    line.extend_from_slice(counter.as_bytes());
                    open = Some(entry.name);
                }
            }
            Stored::Record { row, .. } => {
                if let Some(bucket) = &open {
                    begin(&mut line, bucket);
                    line.extend_from_slice(b"\"record\":");
                    line.extend_from_slice(row.as_bytes());
                    line.extend_from_slice(b"}\n");
                }
            }
            Stored::Document(_) => {}
        }
        out.write_all(&line).map_err(|error| format!("writing failed: {error}"))
    })?;
    out.flush().map_err(|error| format!("writing failed: {error}"))?;
    match left.first() {
        Some(missing) => Err(format!("there is no bucket \"{missing}\"").into()),
        None => Ok(Done::Quiet),
    }
}

fn begin(line: &mut Vec<u8>, bucket: &str) {
    line.extend_from_slice(b"{\"bucket\":");
    write_string(line, bucket);
    line.push(b',');
}

pub(super) fn import(tool: &Tool) -> Result<Done, Failed> {
    let input: Box<dyn BufRead> = match &tool.subject {
        Some(path) => {
            let file = File::open(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(BufReader::new(std::io::stdin())),
    };
    let mut data = Offline::open(&tool.persistence, now())?;
    let mut contents: Vec<Content> = Vec::new();
    let mut records = 0;
    for (number, line) in input.lines().enumerate() {
        let at = |reason: String| format!("line {}: {reason}", number + 1);
        let line = line.map_err(|error| at(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let object = match parse(&line, MAX_DEPTH).map(Raw::to_json) {
            Ok(Json::Object(object)) => object,
            Ok(_) => return Err(at("expected a JSON object".into()).into()),
            Err(error) => return Err(at(error.to_string()).into()),
        };
        match tool.buckets.first() {
            Some(bucket) => {
                data.insert(bucket, &object).map_err(|error| at(error.message.into_owned()))?;
                records += 1;
            }
            None => records += exported(&mut contents, object).map_err(at)?,
        }
    }
    data.replace(&contents).map_err(|error| error.message.into_owned())?;
    data.save()?;
    Ok(Done::Text(format!("{records} records imported\n")))
}

/// Takes over what the reference server has kept; see [`noex`].
pub(super) fn take_over(tool: &Tool, source: &Path) -> Result<Done, Failed> {
    let found = noex::read(source)?;
    let mut data = Offline::open(&tool.persistence, now())?;
    let known: Vec<String> =
        data.bucket_names().chain(tool.configured.keys().map(str::to_owned)).collect();
    let (mut contents, mut said) = (Vec::new(), String::new());
    let mut left = tool.buckets.clone();
    for found in found {
        // The name of a file has lost some characters of the bucket's.
        let mut meant = known.iter().filter(|name| match found.exact {
            true => **name == found.name,
            false => noex::file_name(name) == found.name,
        });
        let name = meant.next().unwrap_or(&found.name).clone();
        if meant.any(|other| *other != name) {
            return Err(format!("{}: it is not clear which bucket this is", found.source).into());
        }
        if !tool.buckets.is_empty() && !tool.buckets.contains(&name) {
            continue;
        }
        left.retain(|wanted| *wanted != name);
        let records = found.records();
        let configured = match tool.configured.get(&name) {
            Some(Json::Object(definition)) => Some(definition.clone()),
            _ => None,
        };
        let (how, definition) = match (data.definition(&name), configured) {
            (Some(definition), _) => ("as it is defined".to_owned(), definition),
            (None, Some(definition)) => ("as it is configured".to_owned(), definition),
            // Of identity and the like: only noexd knows how they have to look.
            (None, None) if name.starts_with('_') => {
                said += &format!("{name}: left out, it is defined by noexd itself when needed\n");
                continue;
            }
            (None, None) if records == 0 => {
                said += &format!("{name}: left out, it is empty and nothing defines it\n");
                continue;
            }
            (None, None) => match found.infer() {
                Some((key, definition)) => {
                    (format!("with the key \"{key}\" and no other field checked"), definition)
                }
                None => {
                    return Err(format!(
                        "{}: no field holds the key of every record; define the bucket first",
                        found.source
                    )
                    .into());
                }
            },
        };
        said += &format!("{name}: {records} records, {how}\n");
        contents.push(found.into_content(&name, definition)?);
    }
    if let Some(missing) = left.first() {
        return Err(format!("{}: there is no bucket \"{missing}\"", source.display()).into());
    }
    data.replace(&contents).map_err(|error| error.message.into_owned())?;
    data.save()?;
    Ok(Done::Text(said))
}

/// Takes one line of an export; returns how many records are in it.
fn exported(contents: &mut Vec<Content>, mut line: Object) -> Result<usize, String> {
    const EXPECTED: &str = "expected a line of `noexd export`; plain records need --bucket NAME";
    let Some(Json::String(name)) = line.remove("bucket") else { return Err(EXPECTED.into()) };
    match (line.remove("definition"), line.remove("record")) {
        (Some(Json::Object(definition)), None) => {
            if contents.iter().any(|content| *content.name == *name) {
                return Err(format!("bucket \"{name}\" is there twice"));
            }
            let counter = line.get("counter").and_then(Json::as_number).unwrap_or_default();
            contents.push(Content {
                name: name.into(),
                definition: Arc::new(definition),
                counter: counter as u64,
                rows: Vec::new(),
            });
            Ok(0)
        }
        (None, Some(record @ Json::Object(_))) => {
            let content = contents.last_mut().filter(|content| *content.name == *name);
            let content = content
                .ok_or_else(|| format!("a record of \"{name}\" without the bucket before it"))?;
            let mut text = Vec::new();
            record.write_lossless(&mut text);
            let text = String::from_utf8(text).map_err(|error| error.to_string())?;
            content.rows.push(text.into());
            Ok(1)
        }
        _ => Err(EXPECTED.into()),
    }
}
