//! One batch as statements of a transaction.

use std::collections::VecDeque;

use rusqlite::{Connection, Transaction, params};

use super::schema::{bucket_sum, commit_sum, document_sum, record_sum};
use crate::app::CommitSeq;
use crate::storage::batch::key_text;
use crate::storage::{Batch, BucketEntry, Op, RecordEntry};

/// Bytes of recent commits that are kept, unless something else is wanted.
const HISTORY_BYTES: u64 = 16 << 20;
/// What a row takes beside its steps.
const ROW_BYTES: u64 = 64;
/// Most bytes that are forgotten in one go.
const MAX_PIECE: u64 = 1 << 20;

/// The bounded table of recent commits: what is in it, to know what has to go.
#[derive(Debug)]
pub struct History {
    /// Bytes that are kept. A batch that is larger than this by itself leaves only
    /// its number, and ends what can be caught up from.
    limit: u64,
    /// Rows behind each other, forgotten together: so that what is remembered of
    /// them is little, however many they are.
    pieces: VecDeque<Piece>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The newest commit in it.
    last: CommitSeq,
    bytes: u64,
}

impl History {
    /// Whoever does not say how much is to be kept, keeps what there is and the usual
    /// amount beside it.
    pub fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut history = History { limit: HISTORY_BYTES, pieces: VecDeque::new(), bytes: 0 };
        let mut statement = connection
            .prepare("SELECT last, coalesce(octet_length(ops), 0) FROM commits ORDER BY last")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            history.push(row.get(0)?, row.get(1)?);
        }
        history.limit = history.limit.saturating_add(history.bytes);
        Ok(history)
    }

    /// From now on so much is kept.
    pub fn keep(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// A batch whose steps have this length.
    fn push(&mut self, last: CommitSeq, bytes: u64) {
        let bytes = bytes.saturating_add(ROW_BYTES);
        self.bytes = self.bytes.saturating_add(bytes);
        let most = (self.limit / 256).min(MAX_PIECE);
        match self.pieces.back_mut() {
            Some(piece) if piece.bytes.saturating_add(bytes) <= most => {
                piece.last = last;
                piece.bytes += bytes;
            }
            _ => self.pieces.push_back(Piece { last, bytes }),
        }
    }

    /// Forgets the oldest until the rest fits; returns the newest forgotten.
    fn shrink(&mut self) -> Option<CommitSeq> {
        let mut forgotten = None;
        // The newest stays whatever its size: its number is the state's.
        while self.pieces.len() > 1 && self.bytes > self.limit {
            let Piece { last, bytes } = self.pieces.pop_front()?;
            self.bytes = self.bytes.saturating_sub(bytes);
            forgotten = Some(last);
        }
        forgotten
    }

    /// Nothing is kept but the newest, of which only the number is.
    fn begin_anew(&mut self, last: CommitSeq) {
        self.pieces.clear();
        self.bytes = 0;
        self.push(last, 0);
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
    let fits = |ops: &String| ops.len() as u64 <= history.limit;
    let ops = String::from_utf8(ops).ok().filter(fits);
    let ends = ends_text(batch);
    let numbers = (batch.first, batch.last, batch.at);
    let check = ops.as_deref().map(|ops| commit_sum(numbers, ops, &ends));
    match &ops {
        Some(ops) => history.push(batch.last, ops.len() as u64),
        None => history.begin_anew(batch.last),
    }
    transaction
        .prepare_cached(
            "INSERT INTO commits(last, first, at, ops, ends, \"check\") \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![batch.last, batch.first, batch.at, ops, ends, check])?;
    if ops.is_none() {
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
