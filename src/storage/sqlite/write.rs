//! One batch as statements of a transaction.

use std::collections::VecDeque;

use rusqlite::{Connection, Transaction, params};

use super::schema::{bucket_sum, commit_sum, document_sum, record_sum};
use crate::app::CommitSeq;
use crate::storage::batch::key_text;
use crate::storage::{Batch, BucketEntry, Op, RecordEntry};

/// Batches whose steps are kept for readers that catch up.
const HISTORY_BATCHES: usize = 10_000;
/// Bytes of steps that are kept. A batch that is larger than this by itself
/// leaves only its number, and ends what can be caught up from.
const HISTORY_BYTES: usize = 16 << 20;

/// The bounded table of recent commits: what is in it, to know what has to go.
#[derive(Debug, Default)]
pub struct History {
    kept: VecDeque<(CommitSeq, usize)>,
    bytes: usize,
}

impl History {
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut history = History::default();
        let mut statement = connection.prepare(
            "SELECT last, coalesce(length(CAST(ops AS BLOB)), 0) FROM commits ORDER BY last",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            history.push(row.get(0)?, row.get(1)?);
        }
        Ok(history)
    }

    fn push(&mut self, last: CommitSeq, bytes: usize) {
        self.kept.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Forgets the oldest until the rest fits; returns the newest forgotten.
    fn shrink(&mut self) -> Option<CommitSeq> {
        let mut forgotten = None;
        // The newest stays whatever its size: its number is the state's.
        while self.kept.len() > 1
            && (self.kept.len() > HISTORY_BATCHES || self.bytes > HISTORY_BYTES)
        {
            let (last, bytes) = self.kept.pop_front()?;
            self.bytes -= bytes;
            forgotten = Some(last);
        }
        forgotten
    }
}

/// Writes everything of a batch. `history` is ahead of the file if the
/// transaction fails, which nobody survives.
pub fn batch(
    transaction: &Transaction<'_>,
    batch: &Batch,
    history: &mut History,
) -> rusqlite::Result<()> {
    for op in &batch.ops {
        write_op(transaction, op)?;
    }
    let mut ops = Vec::new();
    batch.write_ops(&mut ops);
    let ops = String::from_utf8(ops).ok().filter(|ops| ops.len() <= HISTORY_BYTES);
    let check = ops.as_deref().map(|ops| commit_sum(batch.first, batch.last, batch.at, ops));
    history.push(batch.last, ops.as_ref().map_or(0, String::len));
    transaction
        .prepare_cached(
            "INSERT INTO commits(last, first, at, ops, ends, \"check\") \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![batch.last, batch.first, batch.at, ops, ends_text(batch), check])?;
    if ops.is_none() {
        history.kept.drain(..history.kept.len().saturating_sub(1));
        history.bytes = 0;
        transaction.execute("DELETE FROM commits WHERE last < ?1", params![batch.last])?;
    }
    if let Some(last) = history.shrink() {
        transaction
            .prepare_cached("DELETE FROM commits WHERE last <= ?1")?
            .execute(params![last])?;
    }
    Ok(())
}

/// `[2,5]`: behind which steps a commit ends.
fn ends_text(batch: &Batch) -> String {
    let mut ends = Vec::new();
    batch.write_ends(&mut ends);
    String::from_utf8(ends).unwrap_or_default()
}

fn write_op(transaction: &Transaction<'_>, op: &Op) -> rusqlite::Result<()> {
    match op {
        Op::Put(record) => put_record(transaction, record)?,
        Op::Delete { bucket, place, .. } => {
            transaction
                .prepare_cached("DELETE FROM records WHERE bucket = ?1 AND place = ?2")?
                .execute(params![bucket.0, place])?;
        }
        Op::Counter { bucket, value } => {
            transaction
                .prepare_cached("UPDATE buckets SET counter = ?2 WHERE id = ?1")?
                .execute(params![bucket.0, value])?;
        }
        Op::Clear(bucket) => {
            transaction
                .prepare_cached("DELETE FROM records WHERE bucket = ?1")?
                .execute(params![bucket.0])?;
        }
        Op::Bucket(entry) => put_bucket(transaction, entry)?,
        Op::DropBucket(bucket) => {
            for sql in
                ["DELETE FROM records WHERE bucket = ?1", "DELETE FROM buckets WHERE id = ?1"]
            {
                transaction.prepare_cached(sql)?.execute(params![bucket.0])?;
            }
        }
        Op::Document(document) => {
            transaction
                .prepare_cached(
                    "INSERT INTO documents(kind, name, origin, body, sum) \
                     VALUES(?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT(kind, name) DO UPDATE SET \
                     origin = excluded.origin, body = excluded.body, sum = excluded.sum",
                )?
                .execute(params![
                    document.kind,
                    document.name,
                    document.origin.as_str(),
                    document.body,
                    document_sum(document)
                ])?;
        }
        Op::Forget { kind, name } => {
            transaction
                .prepare_cached("DELETE FROM documents WHERE kind = ?1 AND name = ?2")?
                .execute(params![kind, name])?;
        }
    }
    Ok(())
}

fn put_record(transaction: &Transaction<'_>, record: &RecordEntry) -> rusqlite::Result<()> {
    let (bucket, key) = (record.bucket.0, key_text(&record.key));
    let (row, places) = (record.row.as_str(), record.places.as_deref());
    let sum = record_sum(bucket, record.place, &key, row, places);
    transaction
        .prepare_cached(
            "INSERT INTO records(bucket, place, key, row, places, sum) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT(bucket, place) DO UPDATE SET key = excluded.key, \
             row = excluded.row, places = excluded.places, sum = excluded.sum",
        )?
        .execute(params![bucket, record.place, key, row, places, sum])?;
    Ok(())
}

fn put_bucket(transaction: &Transaction<'_>, entry: &BucketEntry) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO buckets(id, name, origin, counter, state, definition, sum) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT(id) DO UPDATE SET name = excluded.name, \
             origin = excluded.origin, state = excluded.state, \
             definition = excluded.definition, sum = excluded.sum",
        )?
        .execute(params![
            entry.id.0,
            entry.name,
            entry.origin.as_str(),
            entry.counter,
            entry.state,
            entry.definition,
            bucket_sum(entry)
        ])?;
    Ok(())
}
