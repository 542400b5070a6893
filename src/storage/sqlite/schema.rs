//! The tables of the file. Made to be read with SQLite's own tools.

use crate::storage::checksum::checksum_of;
use crate::storage::{BucketEntry, Document};

/// `noex` in ASCII: tells our files from those of other programs.
pub const APPLICATION_ID: i32 = 0x6e6f_6578;

/// The version of the tables below. A file with a higher one is refused, one
/// with a lower one is brought up to date when it is opened.
pub const FORMAT_VERSION: i32 = 3;

/// The first version with checksums.
pub const SUMS_SINCE: i32 = 2;

/// What makes a file of each version, from 1 on, one of the next. What was
/// written before there were checksums has none.
pub const UPGRADES: [&str; FORMAT_VERSION as usize - 1] = [
    "
ALTER TABLE buckets ADD COLUMN sum INTEGER;
ALTER TABLE records ADD COLUMN sum INTEGER;
ALTER TABLE documents ADD COLUMN sum INTEGER;
",
    "
ALTER TABLE commits ADD COLUMN ends TEXT;
ALTER TABLE commits ADD COLUMN \"check\" INTEGER;
ALTER TABLE commits ADD COLUMN hash BLOB;
ALTER TABLE commits ADD COLUMN sum BLOB;
CREATE TABLE epochs(
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER
);
",
];

/// The first version whose `commits` have checksums.
pub const CHECKS_SINCE: i32 = 3;

/// Created in one transaction.
///
/// `records` has row ids: they ascend with the places, so that inserts append and
/// loading reads from front to back. Clustered by its key instead it would be an
/// index, of which a page takes four records at least: one of little more than
/// 1,000 bytes then needs an overflow page of 4,096 for itself ([`DENSE`]).
///
/// `sum` is a checksum of the texts beside it, of a record also of its place
/// ([`record_sum`] and so on): SQLite finds damage in the structure of the file,
/// this finds it in what the file says. NULL: somebody who changed a row with
/// another program has cleared it. In `commits` the checksum is `check`
/// ([`vouched`]), `ends` says behind which steps a commit ends, and `hash`,
/// `sum` are for a chain over batches that nobody writes yet.
pub const TABLES: &str = "
CREATE TABLE meta(
  name TEXT PRIMARY KEY,
  value
) WITHOUT ROWID;

CREATE TABLE buckets(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  origin TEXT NOT NULL CHECK(origin IN ('file', 'wire')),
  counter INTEGER NOT NULL,
  state TEXT NOT NULL,
  definition TEXT NOT NULL,
  sum INTEGER
);

CREATE TABLE records(
  bucket INTEGER NOT NULL,
  place INTEGER NOT NULL,
  key TEXT NOT NULL,
  row TEXT NOT NULL,
  places TEXT,
  sum INTEGER,
  PRIMARY KEY(bucket, place)
);

CREATE TABLE documents(
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  origin TEXT NOT NULL CHECK(origin IN ('file', 'wire')),
  body TEXT NOT NULL,
  sum INTEGER,
  UNIQUE(kind, name)
);

CREATE TABLE commits(
  last INTEGER PRIMARY KEY,
  first INTEGER NOT NULL,
  at INTEGER NOT NULL,
  ops TEXT,
  ends TEXT,
  \"check\" INTEGER,
  hash BLOB,
  sum BLOB
);

CREATE TABLE epochs(
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER
);

CREATE VIEW data AS
  SELECT buckets.name AS bucket, records.key ->> '$' AS key, records.row AS record
  FROM records JOIN buckets ON buckets.id = records.bucket
  ORDER BY buckets.id, records.place;

CREATE VIEW history AS
  SELECT first, last, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at, ops
  FROM commits ORDER BY last;
";

/// Switched off on noexd's own connections: they fire when another program
/// changes what positions of clients speak of, and make all of them void.
pub const TRIGGERS: &str = "
CREATE TRIGGER records_inserted AFTER INSERT ON records BEGIN DELETE FROM epochs; END;
CREATE TRIGGER records_updated AFTER UPDATE ON records BEGIN DELETE FROM epochs; END;
CREATE TRIGGER records_deleted AFTER DELETE ON records BEGIN DELETE FROM epochs; END;
CREATE TRIGGER buckets_inserted AFTER INSERT ON buckets BEGIN DELETE FROM epochs; END;
CREATE TRIGGER buckets_updated AFTER UPDATE ON buckets BEGIN DELETE FROM epochs; END;
CREATE TRIGGER buckets_deleted AFTER DELETE ON buckets BEGIN DELETE FROM epochs; END;
CREATE TRIGGER documents_inserted AFTER INSERT ON documents BEGIN DELETE FROM epochs; END;
CREATE TRIGGER documents_updated AFTER UPDATE ON documents BEGIN DELETE FROM epochs; END;
CREATE TRIGGER documents_deleted AFTER DELETE ON documents BEGIN DELETE FROM epochs; END;
CREATE TRIGGER commits_inserted AFTER INSERT ON commits BEGIN DELETE FROM epochs; END;
CREATE TRIGGER commits_updated AFTER UPDATE ON commits BEGIN DELETE FROM epochs; END;
CREATE TRIGGER commits_deleted AFTER DELETE ON commits BEGIN DELETE FROM epochs; END;
";

/// Those on the table that [`DENSE`] makes anew, and that go with the old one.
pub const RECORD_TRIGGERS: &str = "
CREATE TRIGGER records_inserted AFTER INSERT ON records BEGIN DELETE FROM epochs; END;
CREATE TRIGGER records_updated AFTER UPDATE ON records BEGIN DELETE FROM epochs; END;
CREATE TRIGGER records_deleted AFTER DELETE ON records BEGIN DELETE FROM epochs; END;
";

/// How a file of before is laid out that has `records` as an index
/// ([`SPARSE`]): the same rows in the table that it has now. Not a version of its
/// own, because whoever reads one reads the other.
pub const DENSE: &str = "
DROP VIEW data;
ALTER TABLE records RENAME TO sparse;
CREATE TABLE records(
  bucket INTEGER NOT NULL,
  place INTEGER NOT NULL,
  key TEXT NOT NULL,
  row TEXT NOT NULL,
  places TEXT,
  sum INTEGER,
  PRIMARY KEY(bucket, place)
);
INSERT INTO records(bucket, place, key, row, places, sum)
  SELECT bucket, place, key, row, places, sum FROM sparse ORDER BY place, bucket;
DROP TABLE sparse;
CREATE VIEW data AS
  SELECT buckets.name AS bucket, records.key ->> '$' AS key, records.row AS record
  FROM records JOIN buckets ON buckets.id = records.bucket
  ORDER BY buckets.id, records.place;
";

/// Asks whether that is to be done.
pub const SPARSE: &str = "
SELECT count(*) FROM sqlite_schema
  WHERE name = 'records' AND type = 'table' AND sql LIKE '%WITHOUT ROWID%'
";

/// The checksum of a row of `records`.
pub fn record_sum(bucket: u32, place: u64, key: &str, row: &str, places: Option<&str>) -> i64 {
    let (mut id, mut number) = ([0; 20], [0; 20]);
    checksum_of(&[
        digits(&mut id, u64::from(bucket)),
        digits(&mut number, place),
        key,
        row,
        places.unwrap_or("-"),
    ])
}

/// The checksum of a row of `buckets`; without the counter, which changes often
/// and by itself.
pub fn bucket_sum(entry: &BucketEntry) -> i64 {
    checksum_of(&[&entry.name, entry.origin.as_str(), &entry.state, &entry.definition])
}

/// The checksum of a row of `documents`.
pub fn document_sum(document: &Document) -> i64 {
    let Document { kind, name, origin, body } = document;
    checksum_of(&[kind, name, origin.as_str(), body])
}

/// The checksum of a row of `commits`: who catches up must not be told less than
/// has happened, nor that it happened earlier.
pub fn commit_sum((first, last, at): (u64, u64, u64), ops: &str, ends: &str) -> i64 {
    let (mut from, mut to, mut time) = ([0; 20], [0; 20], [0; 20]);
    let (from, to) = (digits(&mut from, first), digits(&mut to, last));
    checksum_of(&[from, to, digits(&mut time, at), ops, ends])
}

/// What the checksum of a row of `commits` vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    Nothing,
    /// It was written before `ends` was covered: where its commits end is not known.
    AllButEnds,
    All,
}

/// See [`commit_sum`].
pub fn vouched(
    (first, last, at): (u64, u64, u64),
    ops: &str,
    ends: Option<&str>,
    check: i64,
) -> Vouched {
    if ends.is_some_and(|ends| commit_sum((first, last, at), ops, ends) == check) {
        return Vouched::All;
    }
    let (mut from, mut to, mut time) = ([0; 20], [0; 20], [0; 20]);
    let (from, to) = (digits(&mut from, first), digits(&mut to, last));
    match checksum_of(&[from, to, digits(&mut time, at), ops]) == check {
        true => Vouched::AllButEnds,
        false => Vouched::Nothing,
    }
}

/// A number as text, without memory of its own.
fn digits(buffer: &mut [u8; 20], mut number: u64) -> &str {
    let mut from = buffer.len();
    for (at, digit) in buffer.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        from = at;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.get(from..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
}
