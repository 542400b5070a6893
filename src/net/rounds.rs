//! The rounds in which connections of an address are asked whether they live.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::address::Address;
use crate::app::{ConnId, Peer};

/// One round of an address.
#[derive(Debug)]
pub(super) struct Round {
    pub asked_at: u64,
    /// The longest silent first.
    pub asked: VecDeque<ConnId>,
    pub parked: Vec<(ConnId, Peer)>,
}

/// The rounds that are going on.
#[derive(Debug, Default)]
pub(super) struct Probing {
    pub rounds: HashMap<Address, Round>,
    /// Their ends, ascending: all take the same time.
    pub ends: VecDeque<(u64, Address)>,
}

impl Probing {
    pub fn next_deadline(&self) -> Option<u64> {
        self.ends.front().map(|(at, _)| *at)
    }
}
