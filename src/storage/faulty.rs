//! A disk that fails, tears and reorders what was not synced, and a storage on
//! it. For tests and simulations; replayable by seed.
//!
//! The storage is a log of checksummed frames, one per batch, and its recovery
//! replays the frames up to the first that is not whole. What a power cut
//! leaves of the part that was not synced is decided sector by sector.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::checksum::checksum;
use super::{
    Batch, EpochId, Epochs, State, Storage, StorageError, StorageErrorKind, Visit, VisitPast,
    Written,
};
use crate::app::CommitSeq;

/// What a disk writes as a unit.
const SECTOR: usize = 64;

/// Length and checksum in front of a frame.
const FRAME_HEADER: usize = 16;

/// When the disk is to fail; counted from the moment at which it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The write with this number fails half-way.
    pub fail_write: Option<u64>,
    /// The sync with this number fails and loses what it was to write.
    pub fail_sync: Option<u64>,
    /// Writes fail once the file would have more bytes.
    pub capacity: Option<usize>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes from here on are lost or torn by a power cut.
    synced: usize,
    faults: Faults,
    writes: u64,
    syncs: u64,
    /// Synced when they are begun, before the log grows.
    epochs: Epochs,
    opened: u64,
}

/// A simulated file. Clones are the same file.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    content: Arc<Mutex<Content>>,
}

impl Disk {
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the disk fails as told.
    pub fn set_faults(&self, faults: Faults) {
        let mut content = self.content();
        content.faults = faults;
        content.writes = 0;
        content.syncs = 0;
    }

    /// Syncs that succeeded since the faults were set.
    pub fn syncs(&self) -> u64 {
        self.content().syncs
    }

    /// The power goes: of what was not synced each sector is there, or is
    /// zeroes, or is half there, and the file may end anywhere.
    pub fn cut_power(&self, seed: u64) {
        let mut random = Random(seed);
        let mut content = self.content();
        let from = content.synced;
        let unsynced = content.bytes.len() - from;
        let keep = from + random.below(unsynced as u64 + 1) as usize;
        content.bytes.truncate(keep);
        let tail = content.bytes.get_mut(from..).unwrap_or_default();
        for sector in tail.chunks_mut(SECTOR) {
            match random.below(8) {
                0 => sector.fill(0),
                1 => {
                    let half = random.below(sector.len() as u64) as usize;
                    sector.iter_mut().skip(half).for_each(|byte| *byte = 0);
                }
                2 => {
                    let at = random.below(sector.len() as u64) as usize;
                    if let Some(byte) = sector.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
                _ => {}
            }
        }
        content.synced = content.bytes.len();
        content.faults = Faults::default();
    }

    /// The process dies, the system goes on: everything that was handed over
    /// is there.
    pub fn kill(&self) {
        let mut content = self.content();
        content.synced = content.bytes.len();
        content.faults = Faults::default();
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut content = self.content();
        content.writes += 1;
        if content.faults.capacity.is_some_and(|max| content.bytes.len() + bytes.len() > max) {
            let room = content.faults.capacity.unwrap_or_default();
            let part = room.saturating_sub(content.bytes.len()).min(bytes.len());
            content.bytes.extend_from_slice(bytes.get(..part).unwrap_or_default());
            return Err(StorageError::new(StorageErrorKind::Full, "the simulated disk is full"));
        }
        if content.faults.fail_write == Some(content.writes) {
            content.bytes.extend_from_slice(bytes.get(..bytes.len() / 2).unwrap_or_default());
            return Err(StorageError::new(StorageErrorKind::Io, "the simulated disk failed"));
        }
        content.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        let mut content = self.content();
        if content.faults.fail_sync == Some(content.syncs + 1) {
            // What real kernels do: the error is told once and the pages are
            // dropped, so that the next sync "succeeds".
            let synced = content.synced;
            content.bytes.truncate(synced);
            return Err(StorageError::new(StorageErrorKind::Io, "the simulated sync failed"));
        }
        content.syncs += 1;
        content.synced = content.bytes.len();
        Ok(())
    }

    /// A process begins over what has been recovered.
    fn begin_epoch(&self, last: CommitSeq) {
        let mut content = self.content();
        content.opened = content.opened.wrapping_add(1);
        let mut id = [0; 16];
        id.iter_mut().zip(content.opened.to_le_bytes()).for_each(|(to, from)| *to = from);
        content.epochs.begin(EpochId(id), last);
    }

    /// The whole batches, oldest first.
    fn batches(&self) -> Vec<Batch> {
        let content = self.content();
        let (mut at, mut batches) = (0, Vec::new());
        while let Some((batch, length)) = read_frame(content.bytes.get(at..).unwrap_or_default()) {
            batches.push(batch);
            at += length;
        }
        batches
    }

    /// The whole batches from the start; cuts off what follows them.
    fn recover(&self) -> State {
        let mut content = self.content();
        let mut state = State::default();
        let mut at = 0;
        while let Some((batch, length)) = read_frame(content.bytes.get(at..).unwrap_or_default()) {
            state.apply(&batch);
            at += length;
        }
        content.bytes.truncate(at);
        content.synced = content.synced.min(at);
        state
    }
}

/// A storage on a [`Disk`].
#[derive(Clone, Debug)]
pub struct Faulty {
    disk: Disk,
}

impl Faulty {
    pub fn new(disk: Disk) -> Self {
        Self { disk }
    }
}

impl Storage for Faulty {
    fn load(&mut self, visit: Visit<'_>) -> Result<CommitSeq, StorageError> {
        let last = self.disk.recover().visit(visit)?;
        self.disk.begin_epoch(last);
        Ok(last)
    }

    fn epochs(&self) -> Epochs {
        self.disk.content().epochs.clone()
    }

    fn past(&mut self, visit: VisitPast<'_>) -> Result<(), StorageError> {
        let _ = self.disk.batches().into_iter().rev().all(visit);
        Ok(())
    }

    fn append(&mut self, batches: &[Batch]) -> Result<Written, StorageError> {
        for batch in batches {
            let mut payload = Vec::new();
            batch.write(&mut payload);
            let mut frame = Vec::with_capacity(FRAME_HEADER + payload.len());
            frame.extend_from_slice(&(payload.len() as u64).to_le_bytes());
            frame.extend_from_slice(&checksum(&payload).to_le_bytes());
            frame.extend_from_slice(&payload);
            self.disk.write(&frame)?;
        }
        Ok(Written::Handed)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.disk.sync()
    }

    fn close(mut self: Box<Self>) -> Result<(), StorageError> {
        self.sync()
    }
}

fn read_frame(bytes: &[u8]) -> Option<(Batch, usize)> {
    let word = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    };
    let length = usize::try_from(word(0)?).ok()?;
    let end = FRAME_HEADER.checked_add(length)?;
    let payload = bytes.get(FRAME_HEADER..end)?;
    if checksum(payload) != word(8)? {
        return None;
    }
    Some((Batch::read(std::str::from_utf8(payload).ok()?)?, end))
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for deciding about sectors.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
