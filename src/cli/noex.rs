//! `noexd import --from-noex`: the data that the reference server has kept, one
//! JSON document for each bucket, in files or in a table.
//!
//! It keeps no definitions. A bucket that is defined already, by what is stored
//! or by the configuration, takes the records; for another one the least that
//! they fit into is inferred, which anybody can extend afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use crate::json::{Json, Object, Raw, parse};
use crate::store::Content;

/// Levels of nesting of a document: those of a record, and a few around it.
const MAX_DEPTH: u32 = 1100;

/// Between the name of the store and that of the bucket: in the table, and in
/// the names of files, where every character that some system minds is `_`.
const IN_KEY: &str = ":bucket:";
const IN_FILE: &str = "_bucket_";

/// A bucket as it was kept.
#[derive(Debug)]
pub(super) struct Found {
    /// Its name, or what is left of it in a file's name.
    pub name: String,
    pub exact: bool,
    /// For messages: the file, or the key in the table.
    pub source: String,
    keys: Vec<Json>,
    rows: Vec<Object>,
    counter: u64,
}

/// Everything that is kept in a directory of files or in a database.
///
/// # Errors
///
/// For a document that is damaged, with its name; for a place without any.
pub(super) fn read(source: &Path) -> Result<Vec<Found>, String> {
    let found = if source.is_dir() { read_files(source)? } else { read_table(source)? };
    match found.is_empty() {
        true => Err(format!("{}: there is no data of noex", source.display())),
        false => Ok(found),
    }
}

fn read_files(directory: &Path) -> Result<Vec<Found>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut paths = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".json").and_then(|key| key.split_once(IN_FILE));
        if let Some((_, bucket)) = name {
            paths.insert(bucket.to_owned(), path.clone());
        }
    }
    paths
        .into_iter()
        .map(|(bucket, path)| {
            let source = path.display().to_string();
            let at = |reason: String| format!("{source}: {reason}");
            let text = std::fs::read_to_string(&path).map_err(|error| at(error.to_string()))?;
            document(&text, bucket, false, source.clone()).map_err(at)
        })
        .collect()
}

fn read_table(file: &Path) -> Result<Vec<Found>, String> {
    let failed = |error: rusqlite::Error| format!("{}: {error}", file.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
    let mut statement =
        connection.prepare("SELECT key, data FROM noex_state ORDER BY key").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let key: String = row.get(0).map_err(failed)?;
        let text: String = row.get(1).map_err(failed)?;
        if let Some((_, bucket)) = key.split_once(IN_KEY) {
            let read = document(&text, bucket.to_owned(), true, key.clone());
            found.push(read.map_err(|reason| format!("{}: {key}: {reason}", file.display()))?);
        }
    }
    Ok(found)
}

fn document(text: &str, name: String, exact: bool, source: String) -> Result<Found, String> {
    let document = parse(text, MAX_DEPTH).map_err(|error| error.to_string())?;
    let state = document.get("state").ok_or("it has no \"state\"")?;
    if let Some(expected) = document.get("checksum").and_then(Raw::as_str) {
        check(state, &expected)?;
    }
    let records = state.get("records").ok_or("its \"state\" has no \"records\"")?;
    let (mut keys, mut rows) = (Vec::new(), Vec::new());
    for (at, pair) in records.elements().enumerate() {
        let mut pair = pair.elements().map(Raw::to_json);
        match (pair.next(), pair.next(), pair.next()) {
            (Some(key), Some(Json::Object(row)), None) => {
                keys.push(key);
                rows.push(row);
            }
            _ => return Err(format!("records[{at}] is no pair of a key and a record")),
        }
    }
    let counter = state.get("autoincrementCounter").and_then(Raw::as_number).unwrap_or_default();
    Ok(Found { name, exact, source, keys, rows, counter: counter as u64 })
}

/// The checksum is that of the text that JavaScript prints for the state, which
/// is how it stands in the file unless somebody has laid it out anew.
fn check(state: Raw<'_>, expected: &str) -> Result<(), String> {
    let sum = |text: &str| data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    if sum(state.text()) == expected || sum(&state.to_json().to_text()) == expected {
        return Ok(());
    }
    Err("its checksum does not match: the file is damaged, or was changed by hand (then remove \
         its \"checksum\")"
        .into())
}

/// A name as the reference writes it into the name of a file.
pub(super) fn file_name(name: &str) -> String {
    let mut out = String::new();
    for char in name.chars() {
        match char {
            '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | '\0'..='\x1f' => out.push('_'),
            '.' if out.ends_with('.') => {}
            char => out.push(char),
        }
    }
    out.replace('.', "_")
}

impl Found {
    pub fn records(&self) -> usize {
        self.rows.len()
    }

    /// The content for a bucket of this name and definition.
    pub fn into_content(self, name: &str, definition: Object) -> Result<Content, String> {
        let text = |row: Object| {
            let mut out = Vec::new();
            Json::Object(row).write_lossless(&mut out);
            String::from_utf8(out).map(String::into_boxed_str).map_err(|error| error.to_string())
        };
        Ok(Content {
            name: name.to_owned(),
            definition: Arc::new(definition),
            counter: self.counter,
            rows: self.rows.into_iter().map(text).collect::<Result<_, _>>()?,
        })
    }

    /// The least definition that the records fit into: the key, and nothing
    /// else is checked. `None`: no field is the key of every record.
    pub fn infer(&self) -> Option<(String, Object)> {
        let is_key = |field: &str| {
            self.rows.iter().zip(&self.keys).all(|(row, key)| row.get(field) == Some(key))
        };
        let first = self.rows.first()?;
        // Where several are, the usual name of a key is it.
        let key = Some("id").into_iter().chain(first.keys()).find(|field| is_key(field))?;
        let kind = match self.keys.first()? {
            Json::String(_) => "string",
            Json::Number(_) => "number",
            Json::Bool(_) => "boolean",
            _ => return None,
        };
        let mut field = Object::new();
        field.insert("type", Json::from(kind));
        if self.counter > 0 && kind == "number" {
            field.insert("generated", Json::from("autoincrement"));
        }
        let schema: Object = [(key, Json::Object(field))].into_iter().collect();
        let members = [("key", Json::from(key)), ("schema", Json::Object(schema))];
        Some((key.to_owned(), members.into_iter().collect()))
    }
}
