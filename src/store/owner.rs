//! Who owns records, in buckets with a `lifetime`.

/// Names one owner for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(u64);

impl Owner {
    /// The connection with this number, which has no session.
    pub const fn connection(number: u64) -> Owner {
        Owner(number << 1)
    }

    /// The client session with this number.
    pub const fn session(number: u64) -> Owner {
        Owner(number << 1 | 1)
    }
}

/// For whom a draft writes to buckets with a `lifetime`. Nobody, if none is given:
/// records cannot be inserted then, and all can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Whose the records are that it inserts.
    pub owner: Owner,
    /// Whether it inserts any.
    pub inserts: bool,
    /// Whether it changes the records of others.
    pub any: bool,
    /// How many records the owner may have, all buckets together.
    pub most: usize,
}
