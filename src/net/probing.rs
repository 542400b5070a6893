//! A dead connection does not keep its owner out (continuity.md 11.2).
//!
//! At the limit of an address a newcomer is *parked*: upgraded, unread, without a
//! word. The connections of the address that have been silent for a while are
//! asked for a sign of life, all in one round, which later newcomers join. Who
//! has given none when it is over makes room, the longest silent first; for whom
//! there is none is refused. Knows the connections of an address, not the app's.

use super::entry::{Entry, find};
use super::rounds::Round;
use super::transport::Transport;
use crate::address::Address;
use crate::app::{App, ConnId, Peer};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// The number in the pings: none that the app ever waits for.
const NUMBER: u64 = u64::MAX;

/// It has given a sign of life, or something of it has not been read yet.
fn has_answered(entry: &Entry, asked_at: u64) -> bool {
    entry.input_progress >= asked_at || entry.readable || entry.has_input_work()
}

impl<A: App + 'static> Transport<A> {
    /// Parks a newcomer for whom there is no place; false if nobody could make
    /// room.
    pub(super) fn park(&mut self, id: ConnId, peer: &Peer) -> bool {
        let patience = self.options.per_ip_probe_ms;
        let address = peer.address.client();
        if patience == 0 {
            return false;
        }
        if let Some(round) = self.probing.rounds.get_mut(&address) {
            if round.parked.len() >= self.per_client.connections(address).len() {
                return false;
            }
            round.parked.push((id, peer.clone()));
        } else {
            let silent = self.silent_of(address, patience);
            if silent.is_empty() {
                return false;
            }
            silent.iter().for_each(|id| self.ask(*id));
            let parked = vec![(id, peer.clone())];
            let round = Round { asked_at: self.now.mono, asked: silent, parked };
            self.probing.rounds.insert(address, round);
            self.probing.ends.push_back((self.now.mono.saturating_add(patience), address));
        }
        if let Some(entry) = find(&mut self.table, id) {
            entry.parked = true;
        }
        true
    }

    /// The connections of an address of which nothing was heard for so long, the
    /// longest silent first.
    fn silent_of(&mut self, address: Address, patience: u64) -> VecDeque<ConnId> {
        let mut silent: Vec<(u64, ConnId)> = Vec::new();
        for id in self.per_client.connections(address) {
            // Calls and streams have no pings to answer.
            if let Some(entry) = find(&mut self.table, id)
                && entry.conn.is_open()
                && self.now.mono.saturating_sub(entry.input_progress) >= patience
                && !has_answered(entry, self.now.mono)
            {
                silent.push((entry.input_progress, id));
            }
        }
        silent.sort_unstable();
        silent.into_iter().map(|(_, id)| id).collect()
    }

    fn ask(&mut self, id: ConnId) {
        let durable = self.durable;
        if let Some(entry) = find(&mut self.table, id) {
            entry.conn.outbox.push_probe(NUMBER, 0, durable);
            self.note_output(id.slot);
        }
    }

    /// Rounds whose time is over: who has not answered makes room.
    pub(super) fn end_rounds(&mut self) {
        while let Some((at, address)) = self.probing.ends.front().copied()
            && at <= self.now.mono
        {
            self.probing.ends.pop_front();
            let Some(mut round) = self.probing.rounds.remove(&address) else { continue };
            for (id, peer) in std::mem::take(&mut round.parked) {
                let Some(entry) = find(&mut self.table, id) else { continue };
                entry.parked = false;
                if !self.per_client.has_room(address) {
                    self.evict(&mut round);
                }
                self.admit(id, peer);
                self.enqueue_if_ready(id.slot);
            }
        }
    }

    /// Closes the one that was silent for longest and has not answered.
    fn evict(&mut self, round: &mut Round) {
        while let Some(id) = round.asked.pop_front() {
            let Some(entry) = find(&mut self.table, id) else { continue };
            if !entry.admitted || has_answered(entry, round.asked_at) {
                continue;
            }
            self.tell_closed(id, 4001, "heartbeat_timeout");
            if let Some(entry) = find(&mut self.table, id)
                && entry.conn.is_open()
            {
                entry.conn.close(4001, "heartbeat_timeout");
                self.begin_end(id.slot, 4001);
            }
            self.counters.probes_evicted.fetch_add(1, Relaxed);
            return;
        }
    }
}
