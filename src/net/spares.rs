//! Buffers for output that go from turn to turn.
//!
//! A turn that pushes to thousands fills as many buffers at once and empties
//! them all at its end. Given back to the allocator they would be returned to
//! the system and faulted in again, page by page, in every turn: a sixth of the
//! cost of such a push. What was not needed for a second is given back.

/// What a kept buffer holds.
pub const SPARE_BYTES: usize = 16 * 1024;

/// Kept buffers: 16 MiB in all.
const MOST: usize = 1_024;

/// Milliseconds between two looks at how many were needed.
const LOOK_MS: u64 = 1_000;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Spares {
    free: Vec<Vec<u8>>,
    /// The fewest that were free since the last look.
    least: usize,
    /// Monotonic time of the last look.
    looked: u64,
}

impl Spares {
    /// An empty buffer of [`SPARE_BYTES`] at least, if there is one.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.free.pop();
        self.least = self.least.min(self.free.len());
        buffer
    }

    /// Keeps a buffer that is used no more, if it is of the right size.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let fits = (SPARE_BYTES..=4 * SPARE_BYTES).contains(&buffer.capacity());
        if fits && self.free.len() < MOST {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    /// Gives back what was not needed lately.
    pub fn look(&mut self, now: u64) {
        if self.deadline().is_none_or(|at| now < at) {
            return;
        }
        self.free.truncate(self.free.len().saturating_sub(self.least));
        if self.free.is_empty() {
            self.free = Vec::new();
        }
        self.least = self.free.len();
        self.looked = now;
    }

    /// When the next look is due.
    pub fn deadline(&self) -> Option<u64> {
        (!self.free.is_empty()).then(|| self.looked.saturating_add(LOOK_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_given_back() {
        let mut spares = Spares::default();
        assert!(spares.take().is_none());
        assert_eq!(spares.deadline(), None);
        for _ in 0..5 {
            spares.give(Vec::with_capacity(SPARE_BYTES));
        }
        spares.give(vec![0; 10]);
        spares.give(Vec::with_capacity(1 << 20));
        assert_eq!(spares.free.len(), 5, "too small and too large ones are not kept");
        spares.look(5_000);
        assert_eq!(spares.free.len(), 5, "they were just made");
        let taken: Vec<_> = (0..3).filter_map(|_| spares.take()).collect();
        taken.into_iter().for_each(|buffer| spares.give(buffer));
        spares.look(5_999);
        assert_eq!(spares.free.len(), 5);
        spares.look(6_000);
        assert_eq!(spares.free.len(), 3, "three were needed at once");
        spares.look(7_000);
        assert_eq!((spares.free.len(), spares.deadline()), (0, None));
        for _ in 0..2 * MOST {
            spares.give(Vec::with_capacity(SPARE_BYTES));
        }
        assert_eq!(spares.free.len(), MOST);
    }
}
