//! The engine over a disk that fails, tears and loses what was not synced:
//! random requests, crashes between any two steps, recovery, replayable by seed.
//!
//! After every crash the recovered state must be one that existed, and nothing
//! that was released to a client may say more than it.

use std::sync::{Arc, Mutex};

use super::*;
use crate::app::Effect;
use crate::app::JobId;
use crate::budget::Budget;
use crate::ids::IdSource;
use crate::json::{Object, Raw, parse};
use crate::storage::{Batch, Disk, Document, Faults, Faulty, Journal, Policy, Stored, Task};
use crate::store::{BucketId, Defined, Filter, Loader};

const SEEDS: u64 = 250;
const LIVES: u64 = 3;
const STEPS: u64 = 60;

/// The log's queue, as the storage thread would have it.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<Vec<Batch>>>);

impl Queue {
    /// The next batches, for the storage thread.
    pub(crate) fn take(&self, count: u64) -> Vec<Batch> {
        let mut queue = self.0.lock().expect("the queue");
        let count = count.min(queue.len() as u64) as usize;
        queue.drain(..count).collect()
    }
}

impl CommitLog for Queue {
    fn submit(&self, batch: Batch) {
        self.0.lock().expect("the queue").push(batch);
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn run_task(&self, _: JobId, _: Task) {}
}

/// Everything that has to survive, as text: equal for equal states, the order
/// of index candidates included.
fn dump(engine: &Engine) -> Vec<(String, String)> {
    let kept = engine.store.buckets().filter(|bucket| bucket.definition().persistent);
    let mut all: Vec<(String, String)> = kept
        .map(|bucket| {
            let mut text = format!(
                "{} {} {}",
                bucket.name(),
                Json::Object(bucket.definition().supplied().clone()).to_text(),
                bucket.counter()
            );
            for (_, row) in bucket.iter() {
                text.push('\n');
                text.push_str(row.text());
            }
            for tag in ["x", "y", "z"] {
                let filter = parse(&format!("{{\"tag\":\"{tag}\"}}"), 4).expect("JSON").to_json();
                let filter = Filter::from_json(bucket.layout(), &filter).expect("a filter");
                text.push_str("\n?");
                for (_, row) in bucket.select(Some(&filter), &Budget::unlimited()) {
                    text.push_str(row.raw().get("id").map_or("-", Raw::text));
                }
            }
            (bucket.name().to_owned(), text)
        })
        .collect();
    for query in engine.views.list() {
        all.push((
            format!("query {}", query.name),
            query.config.map_or_else(String::new, Json::to_text),
        ));
    }
    all
}

type Dump = Vec<(String, String)>;

pub(crate) fn recover(
    disk: &Disk,
    policy: Policy,
    queue: &Queue,
    now: Now,
) -> (Engine, Journal, Vec<Document>) {
    recover_with(EngineOptions::default(), disk, policy, queue, now)
}

pub(crate) fn recover_with(
    options: EngineOptions,
    disk: &Disk,
    policy: Policy,
    queue: &Queue,
    now: Now,
) -> (Engine, Journal, Vec<Document>) {
    let mut journal = Journal::new(Box::new(Faulty::new(disk.clone())), policy);
    let (mut loader, mut open) = (Loader::new(), BucketId(0));
    let (mut origins, mut documents) = (Vec::new(), Vec::<Document>::new());
    let object = |text: &str| -> Object {
        match parse(text, 100).expect("stored JSON").to_json() {
            Json::Object(object) => object,
            other => panic!("{other:?}"),
        }
    };
    let last = journal
        .load(&mut |stored| {
            match stored {
                Stored::Bucket(entry) => {
                    origins.push((entry.id, entry.origin));
                    open = entry.id;
                    let defined = Defined {
                        bucket: entry.id,
                        name: entry.name.into(),
                        persistent: true,
                        definition: Arc::new(object(&entry.definition)),
                        state: entry.state.into(),
                    };
                    loader.bucket(&defined, entry.counter).map_err(|error| error.to_string())?;
                }
                Stored::Record { place, row, places, .. } => {
                    loader.record(open, row, place, places).map_err(|error| error.to_string())?;
                }
                Stored::Document(document) => documents.push(document),
            }
            Ok(())
        })
        .expect("loaded");
    let store = loader.finish().expect("a store");
    store.check_invariants();
    let mut engine = Engine::new(options, store, now);
    for query in documents.iter().filter(|document| document.kind == "query") {
        let config = Json::Object(object(&query.body));
        engine.views.restore(&query.name, &config).expect("a query");
    }
    let past = engine.recall(last, |visit| journal.past(visit)).expect("the past");
    engine.set_log(Box::new(queue.clone()), u64::MAX, last, origins);
    engine.set_past(journal.epochs(), past);
    (engine, journal, documents)
}

/// A random request, most of which make sense.
fn request(ids: &mut IdSource, id: u64) -> String {
    let mut below = |bound: u64| ids.next_u64() % bound;
    let bucket = ["a", "b", "c", "p"][below(4) as usize];
    let key = below(8);
    let tag = ["x", "y", "z"][below(3) as usize];
    let body = match below(30) {
        0..10 => format!(
            r#""store.insert","bucket":"{bucket}","data":{{"id":{key},"tag":"{tag}","n":{id}}}"#
        ),
        10..14 => {
            format!(r#""store.update","bucket":"{bucket}","key":{key},"data":{{"tag":"{tag}"}}"#)
        }
        14..16 => format!(r#""store.delete","bucket":"{bucket}","key":{key}"#),
        16 => format!(r#""store.clear","bucket":"{bucket}""#),
        17..20 => format!(
            r#""store.transaction","operations":[{{"op":"delete","bucket":"a","key":{key}}},
               {{"op":"insert","bucket":"a","data":{{"id":{key},"tag":"{tag}"}}}},
               {{"op":"insert","bucket":"{bucket}","data":{{"id":{},"tag":"{tag}"}}}}]"#,
            below(8)
        ),
        20 => format!(r#""store.dropBucket","name":"{bucket}""#),
        21 => format!(
            r#""store.updateBucket","name":"{bucket}","updates":{{"addIndexes":["{}"]}}"#,
            if below(2) == 0 { "tag" } else { "n" }
        ),
        22..25 => {
            let extra = match bucket {
                "a" => r#","indexes":["tag"]"#,
                "b" => r#","maxSize":5"#,
                "c" => r#","ttl":400"#,
                _ => r#","persistent":false"#,
            };
            let reference = if bucket == "b" { r#","ref":"a","onDelete":"cascade""# } else { "" };
            format!(
                r#""store.defineBucket","name":"{bucket}","config":{{"key":"id","schema":{{
                   "id":{{"type":"number","generated":"autoincrement"}},"tag":{{"type":"string"}},
                   "n":{{"type":"number"}},"r":{{"type":"number"{reference}}}}}{extra}}}"#
            )
        }
        25 => format!(
            r#""store.defineQuery","name":"q{key}","config":{{"bucket":"{bucket}","limit":{id}}}"#
        ),
        26 => format!(r#""store.undefineQuery","name":"q{key}""#),
        _ => format!(r#""store.all","bucket":"{bucket}""#),
    };
    format!(r#"{{"id":{id},"type":{body}}}"#)
}

/// Randomness of one seed.
pub(crate) fn dice(seed: u64) -> IdSource {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    IdSource::new(bytes)
}

/// One run of the server until it crashes.
struct Life {
    engine: Engine,
    journal: Journal,
    queue: Queue,
    conn: ConnId,
    now: Now,
    /// The state after every step, with the newest commit in it.
    states: Vec<(CommitSeq, Dump)>,
    /// What each answer waits for.
    needs: Vec<CommitSeq>,
    /// Answers that held one bucket: the bucket, its state, what it waits for.
    reads: Vec<(String, String, CommitSeq)>,
}

impl Life {
    fn begin(disk: &Disk, policy: Policy, now: Now) -> Life {
        let queue = Queue::default();
        let (mut engine, journal, _) = recover(disk, policy, &queue, now);
        let conn = ConnId { slot: 0, generation: 0 };
        let peer = Peer::of([127, 0, 0, 1].into());
        engine.connected(conn, &peer, now);
        // The welcome reveals nothing.
        engine.effects().clear();
        let states = vec![(engine.log.last(), dump(&engine))];
        Life { engine, journal, queue, conn, now, states, needs: vec![], reads: vec![] }
    }

    fn step(&mut self, ids: &mut IdSource) {
        self.now.mono += ids.next_u64() % 90;
        self.now.wall = 1_800_000_000_000 + self.now.mono;
        let text = request(ids, ids.clone().next_u64() % 1000 + 100);
        let _ = self.engine.message(self.conn, &text, self.now);
        self.engine.check_invariants();
        let effects = std::mem::take(self.engine.effects());
        let state = dump(&self.engine);
        for effect in effects.list {
            let Effect::Send { needs, .. } = effect else { continue };
            assert!(needs <= self.engine.log.last());
            self.needs.push(needs);
            let bucket = text.split_once(r#""store.all","bucket":""#).map(|(_, rest)| &rest[..1]);
            let held = bucket.and_then(|name| state.iter().find(|(have, _)| have == name));
            if let Some((name, text)) = held {
                self.reads.push((name.clone(), text.clone(), needs));
            }
        }
        self.states.push((self.engine.log.last(), state));
        if ids.next_u64().is_multiple_of(3) {
            self.engine.turn_ended(self.now);
        }
    }

    /// The storage thread does some of its work; false when the disk failed.
    fn write(&mut self, ids: &mut IdSource) -> bool {
        let unit = self.queue.take(ids.next_u64() % 4);
        if self.journal.write(&unit, self.now.mono).is_err() {
            return false;
        }
        let is_due = self.journal.sync_due().is_some_and(|due| due <= self.now.mono);
        !is_due || self.journal.sync().is_ok()
    }

    /// Checks what was found after the crash against what was released.
    fn check(&self, seed: u64, found: &(CommitSeq, Dump), acknowledged: CommitSeq) {
        let (last, state) = found;
        let before = self.states.iter().rposition(|(seq, _)| seq <= last);
        let expected = before.and_then(|at| self.states.get(at));
        assert!(
            expected == Some(found),
            "seed {seed}: commit {last} was not like this:\n{state:#?}\nbut\n{expected:#?}"
        );
        let released = self.needs.iter().filter(|needs| **needs <= acknowledged);
        assert!(released.max() <= Some(last), "seed {seed}: released and gone");
        for (bucket, text, needs) in self.reads.iter().filter(|read| read.2 <= acknowledged) {
            // What was read was there already after the step with the commit that
            // it waits for, or when this life began.
            let at = self.states.iter().position(|(seq, _)| seq >= needs).expect("that commit");
            let then = self.states[at].1.iter().find(|(have, _)| have == bucket);
            assert_eq!(then.map(|(_, text)| text), Some(text), "seed {seed}: {bucket} at {needs}");
        }
    }
}

#[test]
fn whatever_happens_to_the_disk_what_was_released_is_there() {
    let (mut commits, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let mut ids = dice(seed);
        let disk = Disk::new();
        let policy = match seed % 3 {
            0 => Policy::Always,
            1 => Policy::Interval(200),
            _ => Policy::Never,
        };
        let mut now = Now { mono: 1000, wall: 1_800_000_001_000 };
        for life in 0..LIVES {
            let mut run = Life::begin(&disk, policy, now);
            match ids.next_u64() % 4 {
                0 => disk.set_faults(Faults {
                    fail_write: Some(ids.next_u64() % 20 + 1),
                    ..Faults::default()
                }),
                1 => disk.set_faults(Faults {
                    fail_sync: Some(ids.next_u64() % 20 + 1),
                    ..Faults::default()
                }),
                _ => {}
            }
            let mut alive = true;
            for _ in 0..ids.next_u64() % STEPS {
                run.step(&mut ids);
                alive = run.write(&mut ids);
                if !alive {
                    break;
                }
            }
            // A failed disk is no better than a loss of power.
            let killed = alive && ids.next_u64().is_multiple_of(2);
            if killed {
                disk.kill();
            } else {
                disk.cut_power(seed * 16 + life);
            }
            let acknowledged = match policy {
                Policy::Always => run.journal.acknowledged(),
                _ if killed => run.journal.acknowledged(),
                _ => run.journal.synced(),
            };
            let (engine, ..) = recover(&disk, policy, &Queue::default(), run.now);
            let found = (engine.log.last(), dump(&engine));
            assert!(found.0 >= acknowledged, "seed {seed}: {acknowledged} is gone");
            run.check(seed, &found, acknowledged);
            commits += found.0;
            lost += run.engine.log.last() - found.0;
            now = run.now;
        }
    }
    assert!(commits > SEEDS * 10 && lost > SEEDS, "{commits} commits, {lost} lost");
}
