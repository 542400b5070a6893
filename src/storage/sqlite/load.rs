//! Reading everything back, in one pass over each table.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::failure::failure;
use super::file::version_of;
use super::meta::last_commit;
use super::schema::{SUMS_SINCE, Vouched, bucket_sum, document_sum, record_sum, vouched};
use crate::app::CommitSeq;
use crate::storage::{
    Batch, BucketEntry, Document, Origin, StorageError, StorageErrorKind, Stored, Visit, VisitPast,
};
use crate::store::BucketId;

/// See [`crate::storage::Storage::load`].
pub fn load(
    connection: &Connection,
    path: &Path,
    visit: Visit<'_>,
) -> Result<CommitSeq, StorageError> {
    let failed = |error: rusqlite::Error| failure("read", path, &error);
    let refused = |text: String| {
        StorageError::new(
            StorageErrorKind::Damaged,
            format!("{} cannot be loaded: {text}; it was left as it is", path.display()),
        )
    };
    // A file that is only read is not brought up to date.
    let has_sums = version_of(connection).map_err(failed)? >= SUMS_SINCE;
    let sum = if has_sums { "sum" } else { "NULL" };
    let mut counts = counts(connection).map_err(failed)?;
    let mut records = connection
        .prepare(&format!(
            "SELECT place, key, row, places, {sum} FROM records WHERE bucket = ?1 ORDER BY place"
        ))
        .map_err(failed)?;
    let entries = buckets(connection, sum).map_err(failed)?;
    let entries: Vec<BucketEntry> =
        entries.into_iter().collect::<Result<_, _>>().map_err(refused)?;
    for entry in &entries {
        counts.remove(&entry.id.0);
    }
    // Records of a bucket that is not there would be dropped silently.
    let stray: u64 = counts.values().sum();
    if stray > 0 {
        return Err(refused(format!("{stray} records belong to no bucket")));
    }
    for entry in entries {
        let (id, name) = (entry.id, entry.name.clone());
        visit(Stored::Bucket(entry)).map_err(refused)?;
        let mut rows = records.query([id.0]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let place: u64 = row.get(0).map_err(failed)?;
            let text = |column: usize| -> Result<&str, StorageError> {
                row.get_ref(column)
                    .map_err(failed)?
                    .as_str()
                    .map_err(|error| refused(format!("bucket \"{name}\", place {place}: {error}")))
            };
            let places = match row.get_ref(3).map_err(failed)? {
                rusqlite::types::ValueRef::Null => None,
                _ => Some(text(3)?),
            };
            let (key, row_text) = (text(1)?, text(2)?);
            let sum: Option<i64> = row.get(4).map_err(failed)?;
            if sum.is_some_and(|sum| sum != record_sum(id.0, place, key, row_text, places)) {
                return Err(refused(changed(&format!("bucket \"{name}\", place {place}"))));
            }
            visit(Stored::Record { place, key, row: row_text, places })
                .map_err(|text| refused(format!("bucket \"{name}\", place {place}: {text}")))?;
        }
    }
    documents(connection, sum, visit, &failed, &refused)?;
    last_commit(connection).map_err(failed)
}

/// Buckets and documents as [`load`] has them, without reading a record.
pub fn definitions(
    connection: &Connection,
    path: &Path,
    visit: Visit<'_>,
) -> Result<(), StorageError> {
    let failed = |error: rusqlite::Error| failure("read", path, &error);
    let refused = |text: String| {
        let text = format!("{} cannot be read: {text}", path.display());
        StorageError::new(StorageErrorKind::Damaged, text)
    };
    let has_sums = version_of(connection).map_err(failed)? >= SUMS_SINCE;
    let sum = if has_sums { "sum" } else { "NULL" };
    for entry in buckets(connection, sum).map_err(failed)? {
        let entry = entry.map_err(refused)?;
        visit(Stored::Bucket(entry)).map_err(refused)?;
    }
    documents(connection, sum, visit, &failed, &refused)
}

/// See [`crate::storage::Storage::past`]. What is not whole ends it: nobody is to
/// believe that he has seen all of what followed.
pub fn past(connection: &Connection, visit: VisitPast<'_>) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare("SELECT first, last, at, ops, ends, \"check\" FROM commits ORDER BY last DESC")?;
    let mut rows = statement.query([])?;
    let mut expected = None;
    while let Some(row) = rows.next()? {
        let (Ok(first), Ok(last), Ok(at)) = (row.get(0), row.get(1), row.get(2)) else { break };
        let Ok(Some(ops)) = row.get::<_, Option<String>>(3) else { break };
        let (Ok(ends), Ok(Some(sum))) =
            (row.get::<_, Option<String>>(4), row.get::<_, Option<i64>>(5))
        else {
            break;
        };
        let ends = match vouched((first, last, at), &ops, ends.as_deref(), sum) {
            Vouched::Nothing => break,
            Vouched::AllButEnds => None,
            Vouched::All => ends,
        };
        let follows = expected.is_none_or(|expected| expected == last);
        let Some(batch) = Batch::of_parts((first, last, at), &ops, ends.as_deref()) else { break };
        if !follows || !visit(batch) {
            break;
        }
        expected = Some(first.saturating_sub(1));
    }
    Ok(())
}

fn changed(what: &str) -> String {
    format!(
        "{what} does not match its checksum. If it is damaged, restore a backup (`noexd restore`); \
         if you changed it with another program, set its `sum` to NULL"
    )
}

/// How many records each bucket has.
fn counts(connection: &Connection) -> rusqlite::Result<BTreeMap<u32, u64>> {
    connection
        .prepare("SELECT bucket, count(*) FROM records GROUP BY bucket")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

type Entries = Vec<Result<BucketEntry, String>>;

fn buckets(connection: &Connection, sum: &str) -> rusqlite::Result<Entries> {
    connection
        .prepare(&format!(
            "SELECT id, name, origin, counter, state, definition, {sum} FROM buckets ORDER BY id"
        ))?
        .query_map([], |row| {
            let name: String = row.get(1)?;
            let origin: String = row.get(2)?;
            let Some(origin) = Origin::from_name(&origin) else {
                return Ok(Err(format!("bucket \"{name}\" has the unknown origin \"{origin}\"")));
            };
            let entry = BucketEntry {
                id: BucketId(row.get(0)?),
                name,
                origin,
                counter: row.get(3)?,
                state: row.get(4)?,
                definition: row.get(5)?,
            };
            let sum: Option<i64> = row.get(6)?;
            if sum.is_some_and(|sum| sum != bucket_sum(&entry)) {
                return Ok(Err(changed(&format!("the definition of bucket \"{}\"", entry.name))));
            }
            Ok(Ok(entry))
        })?
        .collect()
}

fn documents(
    connection: &Connection,
    sum: &str,
    visit: Visit<'_>,
    failed: &dyn Fn(rusqlite::Error) -> StorageError,
    refused: &dyn Fn(String) -> StorageError,
) -> Result<(), StorageError> {
    let mut statement = connection
        .prepare(&format!(
            "SELECT kind, name, origin, body, {sum} FROM documents ORDER BY position"
        ))
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |column: usize| row.get::<_, String>(column).map_err(failed);
        let (kind, name, origin) = (text(0)?, text(1)?, text(2)?);
        let Some(origin) = Origin::from_name(&origin) else {
            return Err(refused(format!("{kind} \"{name}\" has the unknown origin \"{origin}\"")));
        };
        let document = Document { kind, name, origin, body: text(3)? };
        let sum: Option<i64> = row.get(4).map_err(failed)?;
        if sum.is_some_and(|sum| sum != document_sum(&document)) {
            return Err(refused(changed(&format!("{} \"{}\"", document.kind, document.name))));
        }
        visit(Stored::Document(document)).map_err(refused)?;
    }
    Ok(())
}
