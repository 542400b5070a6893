//! What a turn's commits become: their numbers, a batch for whoever keeps it, and
//! what each answer has to wait for.
//!
//! Knows which buckets are kept and where definitions came from. Must not know
//! files or threads: batches are values, handed to a [`CommitLog`].

use std::sync::Arc;

use hashbrown::HashMap;

use sha2::{Digest as _, Sha256};

use super::continuity::{Past, Ring};
use super::{Engine, EngineOptions};
use crate::app::{CommitSeq, Effect, JobId, Now};
use crate::json::{Json, Raw};
use crate::logic::COMPUTED;
use crate::protocol::{Operation, Request, Resource, Tier};
use crate::storage::{
    Batch, BucketEntry, Document, EpochId, Epochs, Op, Origin, RecordEntry, RowText, StorageError,
    StorageStats, Task, VisitPast, Writer,
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
pub(crate) struct Log {
    sink: Option<Box<dyn CommitLog>>,
    /// Queued bytes from which on no requests are read.
    max_backlog: u64,
    /// What is said of new definitions.
    origin: Origin,
    /// Where the definition of each stored bucket came from.
    origins: HashMap<BucketId, Origin>,
    /// The number of the newest commit: with storage, of those that are to be
    /// kept, else of all.
    newest: CommitSeq,
    /// What changed recently.
    ring: Ring,
    /// The runs whose numbers mean something.
    epochs: Epochs,
    /// The batch of this turn.
    ops: Vec<Op>,
    /// Behind so many steps each of its commits ends.
    ends: Vec<u32>,
    /// The first commit in it.
    first: CommitSeq,
    /// In the batch of this turn: the step that takes entries, and its commit.
    entries: Option<(usize, CommitSeq)>,
    /// What was stored and no area has taken yet.
    documents: Vec<Document>,
}

/// A document that takes entries is closed when it is so long.
const ENTRIES_BYTES: usize = 64 << 10;

/// The present run of a server that keeps nothing: as random as its seed, which
/// it tells nothing of.
fn epoch_of(seed: &[u8; 32]) -> EpochId {
    let digest = Sha256::new().chain_update(b"noexd epoch").chain_update(seed).finalize();
    let mut id = EpochId::default();
    id.0.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
    id
}

impl Log {
    /// One that keeps nothing: commits are counted from 1.
    pub fn new(options: &EngineOptions) -> Log {
        Log {
            sink: None,
            max_backlog: 0,
            origin: Origin::default(),
            origins: HashMap::new(),
            newest: 0,
            ring: Ring::new(options.ring_bytes, 0),
            epochs: Epochs::begun(epoch_of(&options.seed)),
            ops: Vec::new(),
            ends: Vec::new(),
            first: 0,
            entries: None,
            documents: Vec::new(),
        }
    }

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
        if self.is_on() { self.newest } else { 0 }
    }

    /// The number of the newest commit that has one.
    pub fn newest(&self) -> CommitSeq {
        self.newest
    }

    /// What an answer that reveals nothing but this bucket waits for.
    fn last_of(&self, bucket: BucketId) -> CommitSeq {
        // What was before the start is durable.
        self.ring.known_touch(bucket).unwrap_or_default()
    }

    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    pub fn check_invariants(&self) {
        self.ring.check_invariants();
    }

    /// Gives a commit its number, if it has one, and adds it to the batch. `store`
    /// is as the commit left it.
    fn add(&mut self, store: &Store, commit: &Commit) {
        let is_on = self.is_on();
        if is_on && !self.add_steps(store, commit) {
            return;
        }
        self.count();
        let is_kept = |id: BucketId| !is_on || store.bucket(id).is_some_and(keeps_records);
        self.ring.follow(self.newest, commit, is_kept);
    }

    /// Whether there is anything to be stored.
    fn add_steps(&mut self, store: &Store, commit: &Commit) -> bool {
        let before = self.ops.len();
        for definition in &commit.definitions {
            self.add_definition(definition);
        }
        let is_kept = |id: BucketId| store.bucket(id).is_some_and(keeps_records);
        let Commit { definitions: _, cleared, changes, counters } = commit;
        self.ops.extend(cleared.iter().map(|(id, _)| *id).filter(|id| is_kept(*id)).map(Op::Clear));
        for change in changes.iter().filter(|change| is_kept(change.bucket)) {
            add_change(&mut self.ops, change);
        }
        for &(bucket, value) in counters.iter().filter(|(id, _)| is_kept(*id)) {
            self.ops.push(Op::Counter { bucket, value });
        }
        self.ops.len() > before
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

    /// One more commit; with storage, it ends here in the batch.
    fn count(&mut self) {
        self.newest += 1;
        if self.sink.is_none() {
            return;
        }
        if self.first == 0 {
            self.first = self.newest;
        }
        self.ends.push(u32::try_from(self.ops.len()).unwrap_or(u32::MAX));
    }

    /// Stores a definition or a piece of state that is no bucket, under its kind and
    /// name. Part of the turn's batch; the answer to the request waits for it. Without
    /// storage it is merely counted.
    pub fn document(
        &mut self,
        store: &Store,
        (kind, name): (&str, &str),
        origin: Origin,
        body: &Json,
    ) {
        let text = || {
            let mut text = Vec::new();
            body.write_lossless(&mut text);
            String::from_utf8(text).unwrap_or_default()
        };
        self.step(store, (kind, name), |kind, name| {
            Op::Document(Document { kind, name, origin, body: text() })
        });
    }

    /// Adds a JSON text to the list that takes those of this turn: one document of
    /// this kind, whose name is the number of its commit, which is returned. 0 without
    /// storage.
    fn entry(&mut self, kind: &str, entry: &str) -> CommitSeq {
        if !self.is_on() {
            self.count();
            return 0;
        }
        if let Some((at, number)) = self.entries
            && let Some(Op::Document(list)) = self.ops.get_mut(at)
            && list.kind == kind
            && list.body.len() < ENTRIES_BYTES
        {
            list.body.pop();
            list.body.extend([",", entry, "]"]);
            return number;
        }
        let number = self.newest + 1;
        self.entries = Some((self.ops.len(), number));
        let (kind, name, body) = (kind.to_owned(), number.to_string(), format!("[{entry}]"));
        self.ops.push(Op::Document(Document { kind, name, origin: Origin::Wire, body }));
        self.count();
        number
    }

    /// Removes what [`Log::document`] has stored.
    pub fn forget(&mut self, store: &Store, kind: &str, name: &str) {
        // What comes behind this step is not added to what it removes.
        self.entries = self.entries.filter(|(_, number)| name.parse() != Ok(*number));
        self.step(store, (kind, name), |kind, name| Op::Forget { kind, name });
    }

    /// A step that is a commit of its own.
    fn step(
        &mut self,
        store: &Store,
        (kind, name): (&str, &str),
        op: impl FnOnce(String, String) -> Op,
    ) {
        if self.is_on() {
            self.ops.push(op(kind.to_owned(), name.to_owned()));
        }
        self.count();
        // What is computed is not looked at record by record.
        if kind == COMPUTED
            && let Some(bucket) = store.bucket_id(name)
        {
            self.ring.bar(bucket, self.newest);
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
        self.entries = None;
        sink.submit(Batch { first, last: self.newest, at: wall, ops, ends });
    }
}

fn keeps_records(bucket: &Bucket) -> bool {
    bucket.definition().keeps_records()
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
            newest: last,
            ring: Ring::new(self.options.ring_bytes, last),
            origins: origins.into_iter().collect(),
            ..Log::new(&self.options)
        };
        self.note_durable(last);
    }

    /// What changed before this start, as far as that is stored: `past` visits
    /// it (see [`crate::storage::Storage::past`]), `last` is the newest of it.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn recall(
        &self,
        last: CommitSeq,
        past: impl FnOnce(VisitPast<'_>) -> Result<(), StorageError>,
    ) -> Result<Past, StorageError> {
        let mut known = Past::before(self.options.ring_bytes, last);
        past(&mut |batch| known.take(&batch, &self.store))?;
        Ok(known)
    }

    /// Goes on with the runs before this one. Comes after [`Engine::set_log`] and
    /// before anything changes.
    pub(crate) fn set_past(&mut self, epochs: Epochs, past: Past) {
        (self.log.epochs, self.log.ring) = (epochs, past.into_ring());
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

    /// See [`Log::document`].
    pub(crate) fn log_document(&mut self, kind: &str, name: &str, origin: Origin, body: &Json) {
        self.log.document(&self.store, (kind, name), origin, body);
    }

    /// As [`Engine::log_document`], for a body that is JSON text already.
    pub(crate) fn log_text(&mut self, kind: &str, name: &str, origin: Origin, body: String) {
        self.log.step(&self.store, (kind, name), |kind, name| {
            Op::Document(Document { kind, name, origin, body })
        });
    }

    /// See [`Log::entry`].
    pub(crate) fn log_entry(&mut self, kind: &str, entry: &str) -> CommitSeq {
        self.log.entry(kind, entry)
    }

    /// See [`Log::forget`].
    pub(crate) fn log_forget(&mut self, kind: &str, name: &str) {
        self.log.forget(&self.store, kind, name);
    }

    /// Ends the recovery: hands over what was stored by
    /// [`Engine::log_document`] before this start, and drops the records whose
    /// time came while nobody was looking.
    pub fn recovered(&mut self, documents: Vec<Document>) {
        self.log.documents = documents;
        // What is made from now on shows everything up to here, and is not older.
        self.views.number = self.log.newest();
        self.restore_client_sessions();
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
    /// bucket only for the commits of that bucket, a look at the process for none
    /// (who finds out why it stands still must not wait), everything else for all.
    pub(super) fn response_needs(&self, request: &Request<'_>) -> CommitSeq {
        if !self.log.is_on() {
            return 0;
        }
        if request.known.is_some_and(Operation::is_about_the_process) {
            return 0;
        }
        let reads_one = request.known.is_some_and(|operation| {
            operation.tier() == Some(Tier::Read)
                && operation.resource() == Resource::Bucket("bucket")
        });
        let bucket = || {
            let name = request.fields.get("bucket").and_then(Raw::as_str)?;
            self.store.bucket_id(&name)
        };
        // A state with a name is one of everything.
        match reads_one.then(bucket).flatten().filter(|_| self.current.named.is_none()) {
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
