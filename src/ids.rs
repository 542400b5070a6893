//! Everything random. Seeded, so that a run can be repeated.

use std::fmt::Write as _;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The source of generated ids. With a seed from the operating system its
/// output cannot be predicted; with a fixed one it is the same in every run.
#[derive(Clone, Debug)]
pub struct IdSource {
    rng: ChaCha12Rng,
    subscriptions: u64,
    jobs: u64,
}

impl IdSource {
    pub fn new(seed: [u8; 32]) -> Self {
        Self { rng: ChaCha12Rng::from_seed(seed), subscriptions: 0, jobs: 0 }
    }

    /// A version 4 UUID in lower case.
    pub fn uuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// `c` and 32 lower-case hex digits.
    pub fn cuid(&mut self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let mut id = String::with_capacity(33);
        id.push('c');
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// The `n` of the next `sub-{n}`: one counter for all kinds of
    /// subscriptions of all connections; never reused.
    pub fn next_subscription(&mut self) -> u64 {
        self.subscriptions += 1;
        self.subscriptions
    }

    /// The id of the next background job; never reused.
    pub fn next_job(&mut self) -> u64 {
        self.jobs += 1;
        self.jobs
    }
}
