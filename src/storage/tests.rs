use super::*;
use crate::store::{BucketId, Key};

#[cfg(feature = "sqlite")]
mod damage;
#[cfg(feature = "sqlite")]
mod damaged_past;
#[cfg(feature = "sqlite")]
mod epochs;
#[cfg(feature = "sqlite")]
mod external;
#[cfg(feature = "sqlite")]
mod files;
#[cfg(feature = "sqlite")]
mod history;
#[cfg(feature = "sqlite")]
mod power;
#[cfg(feature = "sqlite")]
mod replaced;
mod thread;

/// Deterministic batches: inserts, updates, deletes, counters, definitions.
pub(super) struct Load {
    random: u64,
    next_bucket: u32,
    next_place: u64,
    seq: CommitSeq,
    live: Vec<(BucketId, u64)>,
    buckets: Vec<BucketId>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        Load {
            random: seed.wrapping_mul(2).wrapping_add(1),
            next_bucket: 1,
            next_place: 1,
            seq: 0,
            live: Vec::new(),
            buckets: Vec::new(),
        }
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        // xorshift64* (Vigna 2016).
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn key(place: u64) -> Key {
        match place % 4 {
            0 => Key::Number(place as f64 / 2.0),
            1 => Key::String(format!("k\"{place}").into()),
            2 => Key::Number(if place == 2 { f64::INFINITY } else { -(place as f64) }),
            _ => Key::String(place.to_string().into()),
        }
    }

    fn record(&mut self, bucket: BucketId, place: u64) -> Op {
        let pad = "x".repeat(self.below(80) as usize);
        let key = batch::key_text(&Self::key(place));
        let places =
            (self.below(4) == 0).then(|| format!("{{\"index\":{{\"p\":{}}}}}", self.seq).into());
        Op::Put(RecordEntry {
            bucket,
            place,
            key: Self::key(place),
            row: RowText::Owned(
                format!("{{\"id\":{key},\"seq\":{},\"p\":\"{pad}\"}}", self.seq).into(),
            ),
            places,
        })
    }

    fn define(&mut self) -> Op {
        let id = BucketId(self.next_bucket);
        self.next_bucket += 1;
        self.buckets.push(id);
        Op::Bucket(BucketEntry {
            id,
            name: format!("bucket \"{}\"", id.0),
            origin: if id.0.is_multiple_of(2) { Origin::Wire } else { Origin::File },
            definition: "{\"key\":\"id\",\"schema\":{\"id\":{\"type\":\"string\"}}}".to_owned(),
            state: "{}".to_owned(),
            counter: 0,
        })
    }

    fn op(&mut self) -> Op {
        let choice = self.below(100);
        if self.buckets.is_empty() || choice == 0 {
            return self.define();
        }
        let at = self.below(self.buckets.len() as u64) as usize;
        let bucket = self.buckets[at];
        match choice {
            1 if self.buckets.len() > 2 => {
                self.buckets.remove(at);
                self.live.retain(|(have, _)| *have != bucket);
                Op::DropBucket(bucket)
            }
            2 => {
                self.live.retain(|(have, _)| *have != bucket);
                Op::Clear(bucket)
            }
            3..10 => Op::Counter { bucket, value: self.seq },
            10..15 => Op::Document(Document {
                kind: "query".to_owned(),
                name: format!("q{}", self.below(5)),
                origin: Origin::Wire,
                body: format!("{{\"seq\":{}}}", self.seq),
            }),
            15..18 => Op::Forget { kind: "query".to_owned(), name: format!("q{}", self.below(5)) },
            18..35 if !self.live.is_empty() => {
                let at = self.below(self.live.len() as u64) as usize;
                let (bucket, place) = self.live.swap_remove(at);
                Op::Delete { bucket, place, key: Self::key(place) }
            }
            35..60 if !self.live.is_empty() => {
                let at = self.below(self.live.len() as u64) as usize;
                let (bucket, place) = self.live[at];
                self.record(bucket, place)
            }
            _ => {
                let place = self.next_place;
                self.next_place += 1;
                self.live.push((bucket, place));
                self.record(bucket, place)
            }
        }
    }

    pub fn batch(&mut self) -> Batch {
        let first = self.seq + 1;
        self.seq += 1 + self.below(3);
        let ops = (0..1 + self.below(12)).map(|_| self.op()).collect();
        Batch { first, last: self.seq, at: 1_700_000_000_000 + self.seq, ops, ends: Vec::new() }
    }
}

/// The state that batches amount to.
fn replay(history: &[Batch]) -> State {
    let mut state = State::default();
    history.iter().for_each(|batch| state.apply(batch));
    state
}

fn last_of(history: &[Batch]) -> CommitSeq {
    history.last().map_or(0, |batch| batch.last)
}

#[test]
fn a_batch_reads_back_from_its_text() {
    let mut load = Load::new(1);
    let (mut direct, mut reread) = (State::default(), State::default());
    for _ in 0..300 {
        let batch = load.batch();
        let mut text = Vec::new();
        batch.write(&mut text);
        let text = String::from_utf8(text).unwrap();
        direct.apply(&batch);
        reread.apply(&Batch::read(&text).unwrap_or_else(|| panic!("not readable: {text}")));
    }
    assert_eq!(direct, reread);
    assert!(direct.buckets.values().any(|bucket| bucket.records.len() > 10));
    assert_eq!(
        Batch::read("{\"first\":1,\"last\":1,\"at\":1,\"ops\":[{\"op\":\"x\"}]}").map(|b| b.last),
        None
    );
}

#[test]
fn memory_keeps_what_batches_amount_to() {
    let memory = Memory::new();
    let mut storage = memory.clone();
    let (mut load, mut model) = (Load::new(2), State::default());
    for _ in 0..100 {
        let batch = load.batch();
        storage.append(std::slice::from_ref(&batch)).unwrap();
        model.apply(&batch);
    }
    assert_eq!(State::of(&mut storage).unwrap(), model);
}

impl Load {
    /// Goes on from a state that was recovered.
    pub fn forget_after(&mut self, state: &State) {
        self.seq = state.last;
        self.buckets = state.buckets.keys().copied().collect();
        let places = |bucket: &state::BucketState| {
            let id = bucket.entry.id;
            bucket.records.keys().map(move |&place| (id, place)).collect::<Vec<_>>()
        };
        self.live = state.buckets.values().flat_map(places).collect();
    }
}
