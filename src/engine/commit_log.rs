//! What a turn's commits become: a batch for whoever keeps it, and what each
//! answer has to wait for.
//!
//! Knows which buckets are kept and where definitions came from. Must not know
//! files or threads: batches are values, handed to a [`CommitLog`].

use std::sync::Arc;

use hashbrown::HashMap;

use super::Engine;
use crate::app::{CommitSeq, Effect, JobId, Now};
use crate::json::{Json, Raw};
use crate::protocol::{Operation, Request, Resource, Tier};
use crate::storage::{
    Batch, BucketEntry, Document, Op, Origin, RecordEntry, RowText, StorageStats, Task, Writer,
};
use crate::store::{Bucket, BucketId, Change, Commit, Defined, DefinitionChange, Store};

/// Where batches go. Everything up to the number of a batch is durable before
/// output that needs it is released; who does that is no business of the engine.
pub trait CommitLog: Send {
    /// Takes over what one turn has changed.
    fn submit(&self, batch: Batch);
    /// Bytes of batches that are not written yet.
    fn backlog(&self) -> u64;
    /// Runs slow work on what is stored, behind everything submitted so far.
    fn run_task(&self, id: JobId, task: Task);
    /// What it has done so far, if it counts.
    fn stats(&self) -> Option<Arc<StorageStats>> {
        None
    }
}

impl CommitLog for Arc<Writer> {
    fn submit(&self, batch: Batch) {
        Writer::submit(self, batch);
    }

    fn backlog(&self) -> u64 {
        Writer::backlog(self)
    }

    fn run_task(&self, id: JobId, task: Task) {
        Writer::run_task(self, id, task);
    }

    fn stats(&self) -> Option<Arc<StorageStats>> {
        Some(Writer::stats(self))
    }
}

/// The engine's end of the log.
#[derive(Default)]
pub(crate) struct Log {
    sink: Option<Box<dyn CommitLog>>,
    /// Queued bytes from which on no requests are read.
    max_backlog: u64,
    /// What is said of new definitions.
    origin: Origin,
    /// Where the definition of each stored bucket came from.
    origins: HashMap<BucketId, Origin>,
    /// The number of the newest commit that is to be kept.
    last: CommitSeq,
    /// The newest commit that touched a bucket; nothing for those that were
    /// not touched since the start.
    touched: HashMap<BucketId, CommitSeq>,
    /// The batch of this turn.
    ops: Vec<Op>,
    /// Behind so many steps each of its commits ends.
    ends: Vec<u32>,
    /// The first commit in it.
    first: CommitSeq,
    /// What was stored and no area has taken yet.
    documents: Vec<Document>,
}

impl Log {
    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    pub fn sink(&self) -> Option<&dyn CommitLog> {
        self.sink.as_deref()
    }

    pub fn origin_of(&self, bucket: BucketId) -> Option<Origin> {
        self.origins.get(&bucket).copied()
    }

    /// What an answer that may reveal anything waits for.
    pub fn last(&self) -> CommitSeq {
        self.last
    }

    /// What an answer that reveals nothing but this bucket waits for.
    fn last_of(&self, bucket: BucketId) -> CommitSeq {
        self.touched.get(&bucket).copied().unwrap_or_default()
    }

    /// Adds a commit to the batch. `store` is as the commit left it.
    fn add(&mut self, store: &Store, commit: &Commit) {
        if self.sink.is_none() {
            return;
        }
        let before = self.ops.len();
        for definition in &commit.definitions {
            self.add_definition(definition);
        }
        let is_kept = |id: BucketId| store.bucket(id).is_some_and(is_persistent);
        let Commit { definitions: _, cleared, changes, counters } = commit;
        self.ops.extend(cleared.iter().map(|(id, _)| *id).filter(|id| is_kept(*id)).map(Op::Clear));
        for change in changes.iter().filter(|change| is_kept(change.bucket)) {
            add_change(&mut self.ops, change);
        }
        for &(bucket, value) in counters.iter().filter(|(id, _)| is_kept(*id)) {
            self.ops.push(Op::Counter { bucket, value });
        }
        if self.ops.len() == before {
            return;
        }
        self.count();
        let touched = cleared.iter().map(|(id, _)| *id);
        let touched = touched.chain(changes.iter().map(|change| change.bucket));
        let touched = touched.chain(counters.iter().map(|(id, _)| *id));
        for bucket in touched.filter(|id| is_kept(*id)) {
            self.touched.insert(bucket, self.last);
        }
        for definition in &commit.definitions {
            match definition {
                DefinitionChange::Defined(bucket) | DefinitionChange::Updated(bucket) => {
                    self.touched.insert(bucket.bucket, self.last);
                }
                DefinitionChange::Dropped { bucket, .. } => {
                    self.touched.remove(bucket);
                }
            }
        }
    }

    fn add_definition(&mut self, change: &DefinitionChange) {
        match change {
            DefinitionChange::Defined(defined) if defined.persistent => {
                self.add_bucket(defined, self.origin);
            }
            DefinitionChange::Updated(defined) if defined.persistent => {
                let origin = self.origin_of(defined.bucket).unwrap_or(self.origin);
                self.add_bucket(defined, origin);
            }
            DefinitionChange::Defined(_) => {}
            // No longer to be kept, and nothing of it stays.
            DefinitionChange::Updated(Defined { bucket, .. })
            | DefinitionChange::Dropped { bucket, .. } => {
                if self.origins.remove(bucket).is_some() {
                    self.ops.push(Op::DropBucket(*bucket));
                }
            }
        }
    }

    fn add_bucket(&mut self, defined: &Defined, origin: Origin) {
        self.origins.insert(defined.bucket, origin);
        let mut definition = Vec::new();
        Json::Object((*defined.definition).clone()).write_lossless(&mut definition);
        self.ops.push(Op::Bucket(BucketEntry {
            id: defined.bucket,
            name: defined.name.to_string(),
            origin,
            definition: String::from_utf8(definition).unwrap_or_default(),
            state: defined.state.to_string(),
            counter: 0,
        }));
    }

    /// One more commit is in the batch.
    fn count(&mut self) {
        self.last += 1;
        if self.first == 0 {
            self.first = self.last;
        }
        self.ends.push(u32::try_from(self.ops.len()).unwrap_or(u32::MAX));
    }

    /// Adds a step that is a commit of its own.
    fn add_step(&mut self, op: Op) {
        if self.sink.is_some() {
            self.ops.push(op);
            self.count();
        }
    }

    /// Hands over what this turn has changed.
    fn hand_over(&mut self, wall: u64) {
        let Some(sink) = &self.sink else { return };
        if self.ops.is_empty() {
            return;
        }
        let first = std::mem::take(&mut self.first);
        let ops = std::mem::take(&mut self.ops);
        let ends = std::mem::take(&mut self.ends);
        sink.submit(Batch { first, last: self.last, at: wall, ops, ends });
    }
}

fn is_persistent(bucket: &Bucket) -> bool {
    bucket.definition().persistent
}

fn add_change(ops: &mut Vec<Op>, change: &Change) {
    let (bucket, key) = (change.bucket, &change.key);
    // A record is stored under its place: one that moved leaves the old one.
    let moved = change.new.is_none() || change.new_order != change.old_order;
    if change.old.is_some() && moved {
        ops.push(Op::Delete { bucket, place: change.old_order, key: key.clone() });
    }
    if let Some(row) = &change.new {
        ops.push(Op::Put(RecordEntry {
            bucket,
            place: change.new_order,
            key: key.clone(),
            row: RowText::Row(row.clone()),
            places: change.places.clone(),
        }));
    }
}

impl Engine {
    /// From now on commits are handed to `sink`, with numbers above `last`.
    /// `origins`: where the definitions of the buckets that are there came from.
    pub fn set_log(
        &mut self,
        sink: Box<dyn CommitLog>,
        max_backlog: u64,
        last: CommitSeq,
        origins: impl IntoIterator<Item = (BucketId, Origin)>,
    ) {
        self.log = Log {
            sink: Some(sink),
            max_backlog,
            last,
            origins: origins.into_iter().collect(),
            ..Log::default()
        };
    }

    /// Adds commits that were made on the store before the engine had it, by
    /// the configuration: their definitions are the file's.
    pub fn log_configured(&mut self, commits: &[Commit]) {
        self.log.origin = Origin::File;
        for commit in commits {
            self.log.add(&self.store, commit);
        }
        self.log.origin = Origin::Wire;
    }

    /// Says where the definition of a stored bucket comes from.
    pub fn log_bucket_origin(&mut self, bucket: BucketId, origin: Origin) {
        let Some(defined) = self.store.bucket(bucket).map(Bucket::defined) else { return };
        if defined.persistent && self.log.is_on() && self.log.origin_of(bucket) != Some(origin) {
            self.log.add_bucket(&defined, origin);
            self.log.count();
        }
    }

    /// Stores a definition or a piece of state that is no bucket, under its
    /// kind and name. Part of the turn's batch; the answer to the request waits
    /// for it. Does nothing without storage.
    pub(crate) fn log_document(&mut self, kind: &str, name: &str, origin: Origin, body: &Json) {
        if !self.log.is_on() {
            return;
        }
        let mut text = Vec::new();
        body.write_lossless(&mut text);
        self.log_text(kind, name, origin, String::from_utf8(text).unwrap_or_default());
    }

    /// As [`Engine::log_document`], for a body that is JSON text already.
    pub(crate) fn log_text(&mut self, kind: &str, name: &str, origin: Origin, body: String) {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.log.add_step(Op::Document(Document { kind, name, origin, body }));
    }

    /// Removes what [`Engine::log_document`] has stored.
    pub(crate) fn log_forget(&mut self, kind: &str, name: &str) {
        self.log.add_step(Op::Forget { kind: kind.to_owned(), name: name.to_owned() });
    }

    /// Ends the recovery: hands over what was stored by
    /// [`Engine::log_document`] before this start, and drops the records whose
    /// time came while nobody was looking.
    pub fn recovered(&mut self, documents: Vec<Document>) {
        self.log.documents = documents;
        self.purge_expired();
        self.publish();
    }

    /// The stored documents of a kind, in the order in which they were first
    /// stored; each kind is taken once, by the area that it belongs to.
    pub(crate) fn take_documents(&mut self, kind: &str) -> Vec<Document> {
        let (taken, left) = std::mem::take(&mut self.log.documents)
            .into_iter()
            .partition(|document| document.kind == kind);
        self.log.documents = left;
        taken
    }

    pub(super) fn log_commit(&mut self, commit: &Commit) {
        self.log.add(&self.store, commit);
    }

    pub(super) fn hand_over_batch(&mut self) {
        self.log.hand_over(self.now.wall);
    }

    /// Whether the log keeps up; see [`crate::app::App::takes_messages`].
    pub(super) fn log_keeps_up(&self) -> bool {
        self.log.sink().is_none_or(|sink| sink.backlog() < self.log.max_backlog)
    }

    /// What the response to a request that went well waits for: a read of one
    /// bucket only for the commits of that bucket, everything else for all.
    pub(super) fn response_needs(&self, request: &Request<'_>) -> CommitSeq {
        if !self.log.is_on() {
            return 0;
        }
        let reads_one = Operation::from_name(&request.operation).is_some_and(|operation| {
            operation.tier() == Some(Tier::Read)
                && operation.resource() == Resource::Bucket("bucket")
        });
        let bucket = || {
            let name = request.fields.get("bucket").and_then(Raw::as_str)?;
            self.store.bucket_id(&name)
        };
        match reads_one.then(bucket).flatten() {
            Some(id) => self.log.last_of(id),
            None => self.log.last(),
        }
    }

    /// The storage cannot keep what it was given: nobody is told anything that
    /// depends on it, and the server ends.
    pub fn storage_failed(&mut self, now: Now) {
        self.take_time(now);
        self.note_storage_failed();
        self.effects.list.push(Effect::StopAccepting);
        for id in self.conns.ids() {
            self.abandon(id, 1011, "storage_failure");
        }
        self.stop_at_once();
    }
}
