//! Is the log whole? SQLite itself takes a frame whose checksum is wrong for
//! the end of the log, and forgets what follows: right for the tail of an
//! interrupted write, a silent loss where the damage lies before frames that
//! had been synced. This reads the log, without touching it, and tells the two
//! apart (SQLite's "Database File Format", section 4, "The Write-Ahead Log").
//!
//! A frame's checksum goes on from that of the frame before it. So a frame
//! behind damage can still be known for whole: its checksum follows from the
//! one that its predecessor carries. Frames of an earlier round of the log lie
//! behind the current one and are no part of it; their salts are others.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The checksums are computed over words in this byte order.
const MAGIC_LITTLE: u32 = 0x377f_0682;
const MAGIC_BIG: u32 = 0x377f_0683;

/// Where a log stops to be readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Number of the first frame that is not whole, from 1.
    pub frame: u64,
    /// Its place in the file.
    pub offset: u64,
    /// Transactions that end in this frame or behind it.
    ///
    /// One may be the transaction that was being written when the power went:
    /// its pages reach the disk in any order. The next is begun only when the
    /// one before it is on disk, so a second one proves that what cannot be
    /// read had been there.
    pub ends: u64,
}

/// Reads a log. `None`: it is whole up to its end, or there is none.
///
/// # Errors
///
/// What the file system answers.
pub fn scan(path: &Path) -> std::io::Result<Option<Stop>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    read(&mut BufReader::with_capacity(1 << 20, file))
}

fn read(log: &mut impl Read) -> std::io::Result<Option<Stop>> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    // With a header that is not whole there is nothing to compare frames with:
    // a log that was about to start its next round looks like this, too, and
    // then everything in it is in the database file.
    let Some(round) = Round::read(&header) else { return Ok(None) };
    let mut frame = vec![0; FRAME_HEADER + round.page_bytes];
    let mut number = 0;
    let mut before = round.sum;
    let mut stop: Option<Stop> = None;
    while fill(log, &mut frame)? {
        number += 1;
        let ours = frame.get(8..16) == Some(round.salts.as_slice());
        let ends = word(&frame, 4) != 0;
        let carried = (word(&frame, 16), word(&frame, 20));
        let whole = ours && round.sum_of(before, &frame) == carried;
        match &mut stop {
            None if whole => {}
            None => {
                let offset = HEADER as u64 + (number - 1) * frame.len() as u64;
                stop = Some(Stop { frame: number, offset, ends: u64::from(ours && ends) });
            }
            Some(stop) => stop.ends += u64::from(whole && ends),
        }
        before = carried;
    }
    Ok(stop)
}

/// What all frames between two resets of the log have in common.
struct Round {
    page_bytes: usize,
    salts: [u8; 8],
    big_endian: bool,
    sum: (u32, u32),
}

impl Round {
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match word(header, 0) {
            MAGIC_LITTLE => false,
            MAGIC_BIG => true,
            _ => return None,
        };
        let round = Round {
            page_bytes: usize::try_from(word(header, 8)).ok()?,
            salts: header.get(16..24)?.try_into().ok()?,
            big_endian,
            sum: (word(header, 24), word(header, 28)),
        };
        let plausible = (512..=65_536).contains(&round.page_bytes);
        let sum = round.add((0, 0), header.get(..24)?);
        (plausible && round.page_bytes.is_power_of_two() && sum == round.sum).then_some(round)
    }

    /// The checksum that a frame has to carry behind one that carries `before`.
    fn sum_of(&self, before: (u32, u32), frame: &[u8]) -> (u32, u32) {
        let sum = self.add(before, frame.get(..8).unwrap_or_default());
        self.add(sum, frame.get(FRAME_HEADER..).unwrap_or_default())
    }

    fn add(&self, sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
        bytes.as_chunks::<8>().0.iter().fold(sum, |(a, b), &[p, q, r, s, t, u, v, w]| {
            let (first, second) = ([p, q, r, s], [t, u, v, w]);
            let (first, second) = if self.big_endian {
                (u32::from_be_bytes(first), u32::from_be_bytes(second))
            } else {
                (u32::from_le_bytes(first), u32::from_le_bytes(second))
            };
            let a = a.wrapping_add(first).wrapping_add(b);
            (a, b.wrapping_add(second).wrapping_add(a))
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

/// Whether the buffer could be filled; a file that ends before has a tail.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match log.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}
