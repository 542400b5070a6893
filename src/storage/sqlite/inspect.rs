//! Reading everything to find what is wrong with it: unlike [`super::load`],
//! which a start ends with at the first thing that does not fit, this goes on
//! behind it, so that somebody who has to repair a file sees all of it.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::failure::failure;
use super::file::version_of;
use super::meta::last_commit;
use super::schema::{
    CHECKS_SINCE, SUMS_SINCE, Vouched, bucket_sum, document_sum, record_sum, vouched,
};
use crate::app::CommitSeq;
use crate::storage::{Batch, BucketEntry, Document, Origin, StorageError, Stored, Visit};
use crate::store::BucketId;

/// Problems of the structure of a file; behind so many the rest says no more.
const MAX_STRUCTURE: i64 = 100;

/// Told of each thing that is wrong.
pub type Found<'f> = &'f mut dyn FnMut(String);

/// What differs from what was written. Why may be told from the outside only:
/// who changes a row with another program clears its `sum`.
const CHANGED: &str = "does not match its checksum";

/// One transaction's view of a file.
pub struct Inspection<'c> {
    connection: &'c Connection,
    path: &'c Path,
    version: i32,
}

impl<'c> Inspection<'c> {
    pub fn new(connection: &'c Connection, path: &'c Path) -> Result<Self, StorageError> {
        let version = version_of(connection).map_err(|error| failure("read", path, &error))?;
        Ok(Inspection { connection, path, version })
    }

    /// Reads every page, index and row. What `visit` refuses is found, too.
    ///
    /// # Errors
    ///
    /// What ends the reading.
    pub fn run(&self, visit: Visit<'_>, found: Found<'_>) -> Result<CommitSeq, StorageError> {
        let failed = |error: rusqlite::Error| failure("read", self.path, &error);
        self.structure(found).map_err(failed)?;
        let sum = if self.version >= SUMS_SINCE { "sum" } else { "NULL" };
        self.strays(found).map_err(failed)?;
        self.buckets(sum, visit, found).map_err(failed)?;
        self.documents(sum, visit, found).map_err(failed)?;
        self.commits(found).map_err(failed)?;
        last_commit(self.connection).map_err(failed)
    }

    fn structure(&self, found: Found<'_>) -> rusqlite::Result<()> {
        self.connection.pragma(None, "integrity_check", MAX_STRUCTURE, |row| {
            let problem: String = row.get(0)?;
            if problem != "ok" {
                found(problem);
            }
            Ok(())
        })
    }

    fn strays(&self, found: Found<'_>) -> rusqlite::Result<()> {
        self.each(
            "SELECT bucket, count(*) FROM records \
             WHERE bucket NOT IN (SELECT id FROM buckets) GROUP BY bucket",
            |row| {
                let (bucket, records): (i64, u64) = (row.get(0)?, row.get(1)?);
                Ok(Some(format!("{records} records belong to bucket {bucket}, which is not there")))
            },
            found,
        )
    }

    fn buckets(&self, sum: &str, visit: Visit<'_>, found: Found<'_>) -> rusqlite::Result<()> {
        let mut entries = Vec::new();
        self.each(
            &format!(
                "SELECT id, name, origin, counter, state, definition, {sum} FROM buckets ORDER BY id"
            ),
            |row| {
                let (name, origin): (String, String) = (row.get(1)?, row.get(2)?);
                let Some(origin) = Origin::from_name(&origin) else {
                    return Ok(Some(format!("bucket \"{name}\" has the unknown origin \"{origin}\"")));
                };
                let entry = BucketEntry {
                    id: BucketId(row.get(0)?),
                    name,
                    origin,
                    counter: row.get(3)?,
                    state: row.get(4)?,
                    definition: row.get(5)?,
                };
                let is_changed =
                    row.get::<_, Option<i64>>(6)?.is_some_and(|sum| sum != bucket_sum(&entry));
                let text = format!("the definition of bucket \"{}\" {CHANGED}", entry.name);
                entries.push(entry);
                Ok(is_changed.then_some(text))
            },
            found,
        )?;
        for entry in entries {
            let (id, name) = (entry.id, entry.name.clone());
            // Its records are of no use to somebody who does not know it.
            match visit(Stored::Bucket(entry)) {
                Ok(()) => self.records(sum, id, &name, visit, found)?,
                Err(text) => found(text),
            }
        }
        Ok(())
    }

    fn records(
        &self,
        sum: &str,
        bucket: BucketId,
        name: &str,
        visit: Visit<'_>,
        found: Found<'_>,
    ) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT place, key, row, places, {sum} FROM records WHERE bucket = {} ORDER BY place",
            bucket.0
        );
        self.each(
            &sql,
            |row| {
                let place: u64 = row.get(0)?;
                let (key, text) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
                let places = row.get_ref(3)?.as_str_or_null()?;
                let sum: Option<i64> = row.get(4)?;
                let at = || format!("bucket \"{name}\", place {place}: key {key}");
                if sum.is_some_and(|sum| sum != record_sum(bucket.0, place, key, text, places)) {
                    return Ok(Some(format!("{} {CHANGED}", at())));
                }
                Ok(visit(Stored::Record { place, key, row: text, places }).err())
            },
            &mut |text| match text.starts_with("bucket ") {
                true => found(text),
                false => found(format!("bucket \"{name}\": {text}")),
            },
        )
    }

    fn documents(&self, sum: &str, visit: Visit<'_>, found: Found<'_>) -> rusqlite::Result<()> {
        self.each(
            &format!("SELECT kind, name, origin, body, {sum} FROM documents ORDER BY position"),
            |row| {
                let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
                let origin: String = row.get(2)?;
                let at = format!("{kind} \"{name}\"");
                let Some(origin) = Origin::from_name(&origin) else {
                    return Ok(Some(format!("{at} has the unknown origin \"{origin}\"")));
                };
                let document = Document { kind, name, origin, body: row.get(3)? };
                let sum: Option<i64> = row.get(4)?;
                if sum.is_some_and(|sum| sum != document_sum(&document)) {
                    return Ok(Some(format!("{at} {CHANGED}")));
                }
                Ok(visit(Stored::Document(document)).err().map(|text| format!("{at}: {text}")))
            },
            found,
        )
    }

    /// What clients that come back are told of. A start leaves out what is not
    /// whole, and such a client begins afresh.
    fn commits(&self, found: Found<'_>) -> rusqlite::Result<()> {
        if self.version < CHECKS_SINCE {
            return Ok(());
        }
        self.each(
            "SELECT first, last, at, ops, ends, \"check\" FROM commits ORDER BY last",
            |row| {
                let (first, last, at): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                // Of old ones only the numbers are kept.
                let Some(ops) = row.get_ref(3)?.as_str_or_null()? else { return Ok(None) };
                let ends = row.get_ref(4)?.as_str_or_null()?;
                let sum: Option<i64> = row.get(5)?;
                let commits = format!("commits {first} to {last}");
                let vouches = |sum| vouched((first, last, at), ops, ends, sum);
                if sum.is_some_and(|sum| vouches(sum) == Vouched::Nothing) {
                    return Ok(Some(format!("{commits}: what they changed {CHANGED}")));
                }
                let is_whole = Batch::of_parts((first, last, at), ops, ends).is_some();
                Ok((!is_whole).then(|| format!("{commits}: what they changed cannot be read")))
            },
            found,
        )
    }

    /// Visits the rows of a statement. A value of a type that noexd does not
    /// write there is found like anything else.
    fn each(
        &self,
        sql: &str,
        mut look: impl FnMut(&Row<'_>) -> rusqlite::Result<Option<String>>,
        found: Found<'_>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match look(row) {
                Ok(None) => {}
                Ok(Some(text)) => found(text),
                Err(error) if error.sqlite_error_code().is_some() => return Err(error),
                Err(error) => found(error.to_string()),
            }
        }
        Ok(())
    }
}
