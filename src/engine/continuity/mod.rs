//! Nothing missed: what changed recently, positions in the order of commits, and
//! what somebody who comes back has to be told (docs/continuity.md).
//!
//! Owns the ring of recent changes and what messages say of positions. Must not know files,
//! or how results are kept: those are asked (`crate::query`). Nothing is kept for
//! a subscription whose client is away.

mod position;
mod reason;
mod resume;
mod ring;
mod shared;
mod stats;
mod token;

pub(in crate::engine) use resume::{Asked, Resumption};
pub(crate) use ring::{Past, Ring};
pub(in crate::engine) use shared::SharedAnswers;
pub(in crate::engine) use token::{Token, TokenText};

use super::Engine;
use crate::app::CommitSeq;

impl Engine {
    /// How many keys a resumed answer may be about; `None`: nothing is resumed.
    fn max_resume_keys(&self) -> Option<usize> {
        self.options.continuity.as_ref().map(|limits| limits.max_resume_keys)
    }

    /// The name of this run, in hexadecimal digits. With the number of a commit it
    /// names one state for ever.
    pub(crate) fn epoch(&self) -> String {
        self.log.epochs().present().to_hex()
    }

    /// The newest commit that has a number.
    pub(crate) fn newest_commit(&self) -> CommitSeq {
        self.log.newest()
    }

    /// The newest commit that is as durable as the mode promises; without storage
    /// nothing is promised.
    pub(crate) fn durable_commit(&self) -> CommitSeq {
        if self.log.is_on() { self.last_durable() } else { self.newest_commit() }
    }
}
