//! The tables of the file. Made to be read with SQLite's own tools.

/// `noex` in ASCII: tells our files from those of other programs.
pub const APPLICATION_ID: i32 = 0x6e6f_6578;

/// The version of the tables below. A file with a higher one is refused, one
/// with a lower one is brought up to date when it is opened.
pub const FORMAT_VERSION: i32 = 1;

/// Created in one transaction.
///
/// `records` is clustered by place, so that inserts append, loading reads the
/// table order from front to back, and a record needs no index beside it: every
/// change knows its place.
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
  definition TEXT NOT NULL
);

CREATE TABLE records(
  bucket INTEGER NOT NULL,
  place INTEGER NOT NULL,
  key TEXT NOT NULL,
  row TEXT NOT NULL,
  places TEXT,
  PRIMARY KEY(bucket, place)
) WITHOUT ROWID;

CREATE TABLE documents(
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  origin TEXT NOT NULL CHECK(origin IN ('file', 'wire')),
  body TEXT NOT NULL,
  UNIQUE(kind, name)
);

CREATE TABLE commits(
  last INTEGER PRIMARY KEY,
  first INTEGER NOT NULL,
  at INTEGER NOT NULL,
  ops TEXT
);

CREATE VIEW data AS
  SELECT buckets.name AS bucket, records.key ->> '$' AS key, records.row AS record
  FROM records JOIN buckets ON buckets.id = records.bucket
  ORDER BY buckets.id, records.place;

CREATE VIEW history AS
  SELECT first, last, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000.0, 'unixepoch') AS at, ops
  FROM commits ORDER BY last;
";
