//! The database file: what is refused, and what is read back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

/// A directory that is removed when the test ends.
pub(super) struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noexd-{name}-{}", std::process::id()));
        // Left over by a run that was killed, perhaps.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("noexd.sqlite")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn open(path: &Path) -> Result<Sqlite, StorageError> {
    Sqlite::open(path, true)
}

fn refused(path: &Path) -> StorageError {
    let before = fs::read(path).unwrap();
    let error = open(path).unwrap_err();
    assert!(fs::read(path).unwrap() == before, "touched: {error}");
    assert!(error.message.contains(&path.display().to_string()), "{error}");
    assert!(Sqlite::open_to_read(path).is_err());
    error
}

/// A file with some content, closed cleanly.
fn filled(scratch: &Scratch) -> State {
    let mut storage = Box::new(open(&scratch.file()).unwrap());
    let mut load = Load::new(11);
    let history: Vec<Batch> = (0..300).map(|_| load.batch()).collect();
    for unit in history.chunks(7) {
        assert_eq!(storage.append(unit).unwrap(), Written::Synced);
    }
    storage.close().unwrap();
    assert!(!scratch.0.join("noexd.sqlite-wal").exists(), "a clean end leaves one file");
    replay(&history)
}

#[test]
fn everything_is_read_back() {
    let scratch = Scratch::new("read-back");
    let model = filled(&scratch);
    let mut storage = open(&scratch.file()).unwrap();
    assert_eq!(State::of(&mut storage).unwrap().describe(), model.describe());
    Box::new(storage).close().unwrap();
    let mut reader = Sqlite::open_to_read(&scratch.file()).unwrap();
    reader.check().unwrap();
    let mut records = 0;
    let last = reader
        .load(&mut |stored| {
            records += usize::from(matches!(stored, Stored::Record { .. }));
            Ok(())
        })
        .unwrap();
    assert_eq!(last, model.last);
    assert_eq!(records, model.buckets.values().map(|bucket| bucket.records.len()).sum::<usize>());
    drop(reader);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "a reader leaves nothing behind");
}

#[test]
fn a_reader_sees_whole_batches_beside_the_writer() {
    let scratch = Scratch::new("beside");
    let mut storage = open(&scratch.file()).unwrap();
    let mut load = Load::new(12);
    let mut history = Vec::new();
    for _ in 0..20 {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        history.push(batch);
        let mut reader = Sqlite::open_to_read(&scratch.file()).unwrap();
        assert_eq!(reader.load(&mut |_| Ok(())).unwrap(), last_of(&history));
    }
}

#[test]
fn foreign_files_are_refused() {
    let scratch = Scratch::new("foreign");
    let file = scratch.file();
    fs::write(&file, "key,value\n1,2\n".repeat(50)).unwrap();
    assert_eq!(refused(&file).kind, StorageErrorKind::Foreign);
    fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE t(a)").unwrap();
    let error = refused(&file);
    assert_eq!(error.kind, StorageErrorKind::Foreign);
    assert!(error.message.contains("another program"), "{error}");
}

#[test]
fn newer_files_are_refused() {
    let scratch = Scratch::new("newer");
    filled(&scratch);
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    connection.execute_batch(&format!("PRAGMA user_version = {}", FORMAT_VERSION + 1)).unwrap();
    drop(connection);
    let error = refused(&scratch.file());
    assert_eq!(error.kind, StorageErrorKind::Newer);
    assert!(error.message.contains("newer noexd"), "{error}");
}

#[test]
fn files_of_the_first_format_are_read_and_brought_up_to_date() {
    let scratch = Scratch::new("older");
    let expected = filled(&scratch);
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    super::epochs::make_format_2(&connection);
    connection
        .execute_batch(
            "ALTER TABLE buckets DROP COLUMN sum; ALTER TABLE records DROP COLUMN sum; \
             ALTER TABLE documents DROP COLUMN sum; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);
    let mut reader = Sqlite::open_to_read(&scratch.file()).unwrap();
    let mut read = 0;
    reader
        .load(&mut |_| {
            read += 1;
            Ok(())
        })
        .unwrap();
    assert!(read > 20, "read as it is: {read}");
    drop(reader);
    for _ in 0..2 {
        let mut storage = Box::new(open(&scratch.file()).unwrap());
        assert_eq!(State::of(&mut *storage).unwrap().describe(), expected.describe());
        storage.close().unwrap();
    }
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    let version: i32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, FORMAT_VERSION);
    for table in ["buckets", "records", "documents"] {
        connection.prepare(&format!("SELECT sum FROM {table}")).unwrap();
    }
}

#[test]
fn truncated_files_are_refused() {
    let scratch = Scratch::new("truncated");
    filled(&scratch);
    let whole = fs::read(scratch.file()).unwrap();
    for length in [1, 50, 99, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(scratch.file(), &whole[..length]).unwrap();
        let error = refused(&scratch.file());
        assert_eq!(error.kind, StorageErrorKind::Damaged, "{length}: {error}");
        assert!(error.message.contains("it ends after"), "{length}: {error}");
    }
    // An empty file is what a crash of `touch` leaves, not ours.
    fs::write(scratch.file(), "").unwrap();
    assert_eq!(refused(&scratch.file()).kind, StorageErrorKind::Damaged);
    fs::write(scratch.file(), &whole).unwrap();
    open(&scratch.file()).unwrap();
}

/// Every page overwritten in turn: refused, or (a page that holds nothing but
/// history or free space) everything is still there.
#[test]
fn damaged_pages_are_found() {
    let scratch = Scratch::new("damaged");
    let model = filled(&scratch);
    let whole = fs::read(scratch.file()).unwrap();
    let mut found = 0;
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(scratch.file(), &bytes).unwrap();
        match open(&scratch.file()).and_then(|mut storage| State::of(&mut storage)) {
            Ok(state) => assert!(state == model, "page {page}: lost silently"),
            Err(error) => {
                assert_eq!(error.kind, StorageErrorKind::Damaged, "page {page}: {error}");
                assert!(error.message.contains("Restore a backup"), "{error}");
                found += 1;
            }
        }
        assert!(fs::read(scratch.file()).unwrap() == bytes, "page {page}: touched");
    }
    assert!(found > 2, "{found} of {} pages", whole.len() / 4096);
}

/// One flipped bit in every stretch of the file: refused, or (in the history of
/// commits, in free space) of no consequence.
#[test]
fn a_flipped_bit_is_found_or_does_not_matter() {
    let scratch = Scratch::new("flipped");
    let model = filled(&scratch);
    let whole = fs::read(scratch.file()).unwrap();
    let (mut found, mut random) = (0, Load::new(13));
    let kept = |state: &State| {
        let mut state = state.clone();
        // Its own row says it, and so does nothing else.
        state.last = 0;
        state.buckets.values_mut().for_each(|bucket| bucket.entry.counter = 0);
        state
    };
    let model = kept(&model);
    for start in (100..whole.len() - 400).step_by(400) {
        let at = start + random.below(400) as usize;
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        fs::write(scratch.file(), &bytes).unwrap();
        match open(&scratch.file()).and_then(|mut storage| State::of(&mut storage)) {
            Ok(state) => assert!(kept(&state) == model, "byte {at}: changed silently"),
            Err(error) => {
                assert_eq!(error.kind, StorageErrorKind::Damaged, "byte {at}: {error}");
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found} of {}", whole.len() / 400);
}

/// A row that somebody changed on purpose, with the word that they meant it.
#[test]
fn rows_changed_by_another_program() {
    let scratch = Scratch::new("changed");
    let model = filled(&scratch);
    let tool = rusqlite::Connection::open(scratch.file()).unwrap();
    let change = |sql: &str| assert_eq!(tool.execute(sql, []).unwrap(), 1, "{sql}");
    let reload = || open(&scratch.file()).and_then(|mut storage| State::of(&mut storage));
    for (table, column) in [("records", "row"), ("documents", "body"), ("buckets", "definition")] {
        let first = "WHERE (SELECT min(sum) FROM";
        change(&format!(
            "UPDATE {table} SET {column} = json_set({column}, '$.more', 1) {first} {table}) = sum"
        ));
        let error = reload().unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Damaged);
        assert!(error.message.contains("set its `sum` to NULL"), "{error}");
        change(&format!("UPDATE {table} SET sum = NULL {first} {table}) = sum"));
    }
    let state = reload().unwrap();
    assert_eq!(state.last, model.last);
    assert!(state != model);
}

#[test]
fn a_log_without_its_file_is_no_fresh_start() {
    let scratch = Scratch::new("log-alone");
    fs::write(scratch.0.join("noexd.sqlite-wal"), "anything").unwrap();
    let error = open(&scratch.file()).unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Damaged);
    assert!(!scratch.file().exists());
}

#[test]
fn one_process_per_directory() {
    let scratch = Scratch::new("lock");
    let directory = scratch.0.join("a/b");
    let mut location = Location::find(Some(&directory), None).unwrap().unwrap();
    let lock = location.claim().unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let error = location.claim().unwrap_err();
    assert_eq!(
        (error.kind, &*error.message),
        (StorageErrorKind::InUse, "in use by another process")
    );
    drop(lock);
    location.claim().unwrap();
    assert!(free_bytes(&directory).unwrap() > 0);
}

#[test]
fn where_the_file_lies() {
    let file = |data_dir: Option<&str>, db: Option<&str>| {
        let found = Location::find(data_dir.map(Path::new), db.map(Path::new));
        found.unwrap().map(|location| location.file)
    };
    assert_eq!(file(None, None), None);
    assert_eq!(file(Some("/d"), None), Some("/d/noexd.sqlite".into()));
    assert_eq!(file(Some("/d"), Some("x.db")), Some("/d/x.db".into()));
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(file(None, Some("x.db")), Some(here.join("x.db")));
}

/// What a user types into the `sqlite3` tool.
#[test]
fn the_views_read_well() {
    let scratch = Scratch::new("views");
    let mut storage = open(&scratch.file()).unwrap();
    let bucket = BucketId(1);
    let entry = BucketEntry {
        id: bucket,
        name: "parts".to_owned(),
        origin: Origin::Wire,
        definition: "{}".to_owned(),
        state: "{}".to_owned(),
        counter: 0,
    };
    let put = |place: u64, key: Key, row: &str| {
        let row = RowText::Owned(row.into());
        Op::Put(RecordEntry { bucket, place, key, row, places: None })
    };
    let ops = vec![
        Op::Bucket(entry),
        put(2, Key::String("M4".into()), "{\"sku\":\"M4\",\"qty\":1e999}"),
        put(1, Key::Number(5.0), "{\"sku\":5}"),
    ];
    storage
        .append(&[Batch { first: 1, last: 2, at: 1_700_000_000_123, ops, ends: vec![1] }])
        .unwrap();
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    let rows: Vec<(String, String, String)> = connection
        .prepare("SELECT bucket, CAST(key AS TEXT), record FROM data")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let row = |key: &str, record: &str| ("parts".to_owned(), key.to_owned(), record.to_owned());
    assert_eq!(rows, [row("5", "{\"sku\":5}"), row("M4", "{\"sku\":\"M4\",\"qty\":1e999}")]);
    let at: String = connection.query_row("SELECT at FROM history", [], |row| row.get(0)).unwrap();
    assert_eq!(at, "2023-11-14T22:13:20.123Z");
}

#[test]
fn the_history_of_commits_is_bounded() {
    let scratch = Scratch::new("history");
    let mut storage = open(&scratch.file()).unwrap();
    let batch = |last: CommitSeq, bytes: usize| {
        let body = format!("\"{}\"", "x".repeat(bytes));
        let name = "n".to_owned();
        let document = Document { kind: "k".to_owned(), name, origin: Origin::Wire, body };
        Batch { first: last, last, at: last, ops: vec![Op::Document(document)], ends: vec![1] }
    };
    let numbers = || -> Vec<(u64, bool)> {
        rusqlite::Connection::open(scratch.file())
            .unwrap()
            .prepare("SELECT last, ops IS NOT NULL FROM commits ORDER BY last")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    for last in 1..=6 {
        storage.append(&[batch(last, 4 << 20)]).unwrap();
    }
    assert_eq!(numbers(), [(4, true), (5, true), (6, true)]);
    storage.append(&[batch(7, 20 << 20)]).unwrap();
    assert_eq!(numbers(), [(7, false)]);
    storage.append(&[batch(8, 10)]).unwrap();
    assert_eq!(numbers(), [(7, false), (8, true)]);
}

/// Bytes of the file for each byte of its records, without its history.
fn spread(scratch: &Scratch, bytes: usize) -> f64 {
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    connection.execute_batch("DELETE FROM commits; VACUUM").unwrap();
    connection.close().unwrap();
    fs::metadata(scratch.file()).unwrap().len() as f64 / bytes as f64
}

fn put(at: u64, bytes: usize) -> Batch {
    let row = RowText::Owned(format!("{{\"id\":{at},\"t\":\"{}\"}}", "x".repeat(bytes)).into());
    let (bucket, key) = (BucketId(1), Key::Number(at as f64));
    let ops = vec![Op::Put(RecordEntry { bucket, place: at, key, row, places: None })];
    Batch { first: at, last: at, at, ops, ends: vec![] }
}

fn bucket_entry() -> Batch {
    let entry = BucketEntry {
        id: BucketId(1),
        name: "b".to_owned(),
        origin: Origin::Wire,
        definition: "{}".to_owned(),
        state: "{}".to_owned(),
        counter: 0,
    };
    Batch { first: 1, last: 1, at: 1, ops: vec![Op::Bucket(entry)], ends: vec![1] }
}

#[test]
fn records_of_every_size_are_dense_and_sparse_files_become_so() {
    // Two to a page of 4,096 is the worst.
    for (bytes, most) in
        [(900, 1.6), (1_000, 1.6), (1_100, 1.6), (2_100, 2.1), (4_200, 1.6), (9_000, 1.4)]
    {
        let scratch = Scratch::new("dense");
        let mut storage = open(&scratch.file()).unwrap();
        let batches: Vec<Batch> =
            [bucket_entry()].into_iter().chain((2..502).map(|at| put(at, bytes))).collect();
        storage.append(&batches).unwrap();
        Box::new(storage).close().unwrap();
        let now = spread(&scratch, 500 * bytes);
        assert!(now < most, "{bytes}: {now}");
        if bytes != 1_100 {
            continue;
        }
        // As versions before this one laid it out.
        let connection = rusqlite::Connection::open(scratch.file()).unwrap();
        let sparse = crate::storage::sqlite::schema::DENSE.replace(
            "PRIMARY KEY(bucket, place)\n)",
            "PRIMARY KEY(bucket, place)\n) WITHOUT ROWID",
        );
        connection.execute_batch(&sparse).unwrap();
        connection.close().unwrap();
        let before_it = spread(&scratch, 500 * bytes);
        assert!(before_it > 3.0, "{before_it}");
        let mut storage = open(&scratch.file()).unwrap();
        let after = State::of(&mut storage).unwrap();
        assert_eq!(after.buckets.values().next().map(|bucket| bucket.records.len()), Some(500));
        Box::new(storage).close().unwrap();
        assert!(spread(&scratch, 500 * bytes) < most);
    }
}
