//! What one turn changed, as values: the vocabulary between the engine and the
//! storage, and its JSON form, which the table of recent commits keeps.

use crate::app::CommitSeq;
use crate::json::{Json, Object, Raw, parse, write_string};
use crate::store::{BucketId, Key, Row};

/// Where a definition came from: configured definitions that are no longer in
/// the file go away, those of the wire stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    File,
    #[default]
    Wire,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::File => "file",
            Origin::Wire => "wire",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "file" => Some(Origin::File),
            "wire" => Some(Origin::Wire),
            _ => None,
        }
    }
}

/// A bucket without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketEntry {
    pub id: BucketId,
    pub name: String,
    pub origin: Origin,
    /// JSON text of the definition, as it was supplied.
    pub definition: String,
    /// JSON text of what the data in memory wants back with the definition.
    pub state: String,
    pub counter: u64,
}

/// A definition or a piece of state that is no bucket: a query, a rule, a
/// fact, a timer, a procedure, a revocation. The storage knows only that it has
/// a kind, a name and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub kind: String,
    pub name: String,
    pub origin: Origin,
    /// JSON text.
    pub body: String,
}

/// The text of a record: shared with the data in memory, or read back.
#[derive(Clone, Debug)]
pub enum RowText {
    Row(Row),
    Owned(Box<str>),
}

impl RowText {
    pub fn as_str(&self) -> &str {
        match self {
            RowText::Row(row) => row.text(),
            RowText::Owned(text) => text,
        }
    }
}

/// A record and its place.
#[derive(Clone, Debug)]
pub struct RecordEntry {
    pub bucket: BucketId,
    /// Place in the table order; unique within the bucket, never reused.
    pub place: u64,
    pub key: Key,
    pub row: RowText,
    /// JSON text of the record's places among the candidates of index values,
    /// where they are not the one in the table order.
    pub places: Option<Box<str>>,
}

/// One step of a batch.
#[derive(Clone, Debug)]
pub enum Op {
    /// Defines a bucket, or changes the definition of the one with this id. The
    /// counter counts only for a new one.
    Bucket(BucketEntry),
    /// Removes a bucket with everything in it.
    DropBucket(BucketId),
    /// Removes all records of a bucket.
    Clear(BucketId),
    Counter {
        bucket: BucketId,
        value: u64,
    },
    Put(RecordEntry),
    Delete {
        bucket: BucketId,
        place: u64,
        key: Key,
    },
    Document(Document),
    Forget {
        kind: String,
        name: String,
    },
}

/// What one turn of the loop has changed, with the numbers of its commits.
#[derive(Clone, Debug)]
pub struct Batch {
    pub first: CommitSeq,
    pub last: CommitSeq,
    /// Unix time in milliseconds.
    pub at: u64,
    pub ops: Vec<Op>,
    /// Behind so many steps each of the commits ends; empty if that is not known.
    pub ends: Vec<u32>,
}

impl Op {
    /// Roughly what it holds in memory and on disk, in bytes.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 64;
        FIXED
            + match self {
                Op::Bucket(entry) => entry.name.len() + entry.definition.len() + entry.state.len(),
                Op::Put(record) => record.row.as_str().len() + key_weight(&record.key),
                Op::Delete { key, .. } => key_weight(key),
                Op::Document(document) => {
                    document.kind.len() + document.name.len() + document.body.len()
                }
                Op::Forget { kind, name } => kind.len() + name.len(),
                Op::DropBucket(_) | Op::Clear(_) | Op::Counter { .. } => 0,
            }
    }

    /// Appends the JSON form.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Op::Bucket(entry) => {
                open(out, "bucket", Some(entry.id));
                text(out, "name", &entry.name);
                text(out, "origin", entry.origin.as_str());
                number(out, "counter", entry.counter);
                json(out, "state", &entry.state);
                json(out, "definition", &entry.definition);
            }
            Op::DropBucket(bucket) => open(out, "drop", Some(*bucket)),
            Op::Clear(bucket) => open(out, "clear", Some(*bucket)),
            Op::Counter { bucket, value } => {
                open(out, "counter", Some(*bucket));
                number(out, "value", *value);
            }
            Op::Put(record) => {
                open(out, "put", Some(record.bucket));
                number(out, "place", record.place);
                json(out, "key", &key_text(&record.key));
                if let Some(places) = &record.places {
                    json(out, "places", places);
                }
                json(out, "row", record.row.as_str());
            }
            Op::Delete { bucket, place, key } => {
                open(out, "delete", Some(*bucket));
                number(out, "place", *place);
                json(out, "key", &key_text(key));
            }
            Op::Document(document) => {
                open(out, "document", None);
                text(out, "kind", &document.kind);
                text(out, "name", &document.name);
                text(out, "origin", document.origin.as_str());
                json(out, "body", &document.body);
            }
            Op::Forget { kind, name } => {
                open(out, "forget", None);
                text(out, "kind", kind);
                text(out, "name", name);
            }
        }
        out.push(b'}');
    }

    /// Reads the JSON form back; `None` for anything else.
    fn read(raw: Raw<'_>) -> Option<Op> {
        let member = |name| raw.get(name);
        let string = |name| member(name)?.as_str().map(String::from);
        let integer = |name| member(name).and_then(integer);
        let source = |name| member(name).map(|value| value.text().to_owned());
        let bucket = || integer("bucket").and_then(|id| u32::try_from(id).ok()).map(BucketId);
        let origin = || Origin::from_name(&member("origin")?.as_str()?);
        Some(match &*member("op")?.as_str()? {
            "bucket" => Op::Bucket(BucketEntry {
                id: bucket()?,
                name: string("name")?,
                origin: origin()?,
                state: source("state")?,
                definition: source("definition")?,
                counter: integer("counter")?,
            }),
            "drop" => Op::DropBucket(bucket()?),
            "clear" => Op::Clear(bucket()?),
            "counter" => Op::Counter { bucket: bucket()?, value: integer("value")? },
            "put" => Op::Put(RecordEntry {
                bucket: bucket()?,
                place: integer("place")?,
                key: Key::from_raw(member("key")?)?,
                row: RowText::Owned(source("row")?.into()),
                places: source("places").map(String::into),
            }),
            "delete" => Op::Delete {
                bucket: bucket()?,
                place: integer("place")?,
                key: Key::from_raw(member("key")?)?,
            },
            "document" => Op::Document(Document {
                kind: string("kind")?,
                name: string("name")?,
                origin: origin()?,
                body: source("body")?,
            }),
            "forget" => Op::Forget { kind: string("kind")?, name: string("name")? },
            _ => return None,
        })
    }
}

impl Batch {
    /// Roughly what it holds in memory and on disk, in bytes.
    pub fn weight(&self) -> usize {
        self.ops.iter().map(Op::weight).sum()
    }

    /// Appends the steps as a JSON array.
    pub fn write_ops(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, op) in self.ops.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            op.write(out);
        }
        out.push(b']');
    }

    /// Appends [`Batch::ends`] as a JSON array.
    pub fn write_ends(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, end) in self.ends.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(end.to_string().as_bytes());
        }
        out.push(b']');
    }

    /// The steps, each with the number of its commit: the last one's where the
    /// ends are not known.
    pub fn numbered(&self) -> impl Iterator<Item = (CommitSeq, &Op)> {
        let commits = self.last.saturating_sub(self.first).saturating_add(1);
        let known = self.ends.len() as u64 == commits;
        self.ops.iter().enumerate().map(move |(at, op)| {
            let before = self.ends.partition_point(|end| *end as usize <= at) as u64;
            let number = self.first.saturating_add(before).min(self.last);
            (if known { number } else { self.last }, op)
        })
    }

    /// Appends the whole batch as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!(
                "{{\"first\":{},\"last\":{},\"at\":{},\"ops\":",
                self.first, self.last, self.at
            )
            .as_bytes(),
        );
        self.write_ops(out);
        out.extend_from_slice(b",\"ends\":");
        self.write_ends(out);
        out.push(b'}');
    }

    /// Reads what is stored of a batch: its steps, and where its commits end.
    pub fn of_parts(
        (first, last, at): (CommitSeq, CommitSeq, u64),
        ops: &str,
        ends: Option<&str>,
    ) -> Option<Batch> {
        let ops = parse(ops, MAX_DEPTH).ok()?;
        let ends = ends.and_then(|ends| read_ends(parse(ends, MAX_DEPTH).ok()?));
        Some(Batch {
            first,
            last,
            at,
            ops: ops.elements().map(Op::read).collect::<Option<Vec<Op>>>()?,
            ends: ends.unwrap_or_default(),
        })
    }

    /// Reads the JSON form back; `None` for anything else.
    pub fn read(source: &str) -> Option<Batch> {
        let raw = parse(source, MAX_DEPTH).ok()?;
        Some(Batch {
            first: integer(raw.get("first")?)?,
            last: integer(raw.get("last")?)?,
            at: integer(raw.get("at")?)?,
            ops: raw.get("ops")?.elements().map(Op::read).collect::<Option<Vec<Op>>>()?,
            ends: raw.get("ends").and_then(read_ends).unwrap_or_default(),
        })
    }
}

fn read_ends(raw: Raw<'_>) -> Option<Vec<u32>> {
    raw.elements().map(|end| u32::try_from(integer(end)?).ok()).collect()
}

/// Deeper than any record can be: messages are bounded by 1024 levels, and a
/// record lies a few levels below its batch.
pub(super) const MAX_DEPTH: u32 = 1100;

/// The JSON text of a key that reads back as the same key, infinities included.
pub(super) fn key_text(key: &Key) -> String {
    let mut out = Vec::new();
    key.to_json().write_lossless(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// An integer that was written in full: larger ones than a double holds are
/// kept exactly.
pub(super) fn integer(raw: Raw<'_>) -> Option<u64> {
    raw.text().parse().ok()
}

fn key_weight(key: &Key) -> usize {
    match key {
        Key::String(text) => text.len(),
        Key::Bool(_) | Key::Number(_) => 8,
    }
}

fn open(out: &mut Vec<u8>, op: &str, bucket: Option<BucketId>) {
    out.extend_from_slice(b"{\"op\":");
    write_string(out, op);
    if let Some(BucketId(id)) = bucket {
        number(out, "bucket", u64::from(id));
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    write_string(out, name);
    out.push(b':');
}

fn text(out: &mut Vec<u8>, member: &str, value: &str) {
    name(out, member);
    write_string(out, value);
}

fn number(out: &mut Vec<u8>, member: &str, value: u64) {
    json(out, member, &value.to_string());
}

fn json(out: &mut Vec<u8>, member: &str, source: &str) {
    name(out, member);
    out.extend_from_slice(source.as_bytes());
}

/// The description of a batch for people: how many steps of which kind.
impl std::fmt::Display for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "commits {}..={} ({} steps)", self.first, self.last, self.ops.len())
    }
}

/// A JSON object as text, for bodies of documents.
pub fn body_text(object: Object) -> String {
    let mut out = Vec::new();
    Json::Object(object).write_lossless(&mut out);
    String::from_utf8(out).unwrap_or_default()
}
