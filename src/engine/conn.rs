//! The connection table: what the engine keeps of each connection.

use crate::address::Address;

use std::sync::Arc;

use hashbrown::HashMap;

use super::audited::Look;
use super::bound::{Beneath, Bound};
use super::client_sessions::{OptedIn, SessionNo};
use super::door::Door;
use super::introspection::Meter;
use crate::access::Session;
use crate::app::{ConnId, JobId, Now, Peer, TlsPeer};
use crate::store::Owner;
use crate::wheel::TimerId;

/// Where a connection stands with its heartbeat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heartbeat {
    pub timer: Option<TimerId>,
    /// Wall time in the newest ping; pings are strictly increasing.
    pub pinged: u64,
    /// Monotonic time of the newest ping.
    pub pinged_mono: u64,
    /// Monotonic time at which the next ping is due.
    pub next_ping: u64,
    /// How often the timeout was put off because input had not been read yet.
    pub put_off: u8,
    /// Deadlines in a row that passed amid a transfer.
    pub transfers: u8,
    /// That of the newest ping is one of them: the next one decides.
    pub is_excused: bool,
    /// A pong for the newest ping has arrived, or none was sent yet.
    pub answered: bool,
}

/// One open connection. A few hundred bytes: there may be tens of thousands.
#[derive(Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    /// The `n` of `conn-{n}`; never reused.
    pub number: u64,
    pub address: Address,
    pub connected_at: u64,
    /// Of its handshake.
    pub user_agent: Option<Box<str>>,
    /// Where it came in, and what its handshake has shown.
    pub listener: Option<Arc<str>>,
    pub tls: Option<Box<TlsPeer>>,
    /// It came through the HTTP door.
    pub is_call: bool,
    /// How far it is, if it did.
    pub door: Option<Box<Door>>,
    /// Opened by the program that the server is a part of: it may do everything.
    pub trusted: bool,
    /// Of the program itself: its requests take what they take.
    pub unlimited: bool,
    /// Who it acts for.
    pub session: Option<Bound>,
    /// Its own session, while it acts for somebody else.
    pub beneath: Option<Box<Beneath>>,
    /// The client session that it holds.
    pub client_session: Option<SessionNo>,
    /// It knows what published clients do not (continuity.md).
    pub opted_in: Option<OptedIn>,
    /// It must log in before it is pushed anything again.
    pub suspended: bool,
    /// A response waits for the audit file; results are pushed behind it.
    pub holding: bool,
    pub heartbeat: Heartbeat,
    /// Bytes queued that the socket has not taken, as far as the engine knows.
    pub buffered: usize,
    /// Bytes queued since the start and bytes the socket took: a message is out
    /// when `written` reaches the `queued` of its end.
    pub queued: u64,
    pub written: u64,
    /// The job that the current request waits for.
    pub waiting: Option<JobId>,
    /// Subscribes that did not touch the budget of the user or address.
    pub free_subscribes: usize,
    /// Monotonic time of the last request.
    pub asked_at: u64,
    pub store_subscriptions: u32,
    pub rules_subscriptions: u32,
    /// Where the oldest push whose way to the kernel is being timed ends in the
    /// output, and when it was queued; 0: none is.
    pub timed_push: (u64, u64),
    /// Its messages are not read, because it does not read.
    pub is_paused: bool,
    /// What it has looked at, so that repeats do not fill the audit log.
    pub looks: Vec<Look>,
    /// What it costs, for those who ask.
    pub meter: Meter,
}

impl Conn {
    pub fn new(id: ConnId, number: u64, peer: &Peer, now: Now) -> Self {
        Self {
            id,
            number,
            address: peer.address,
            connected_at: now.wall,
            user_agent: peer.user_agent.as_deref().map(Box::from),
            listener: peer.listener.clone(),
            tls: peer.tls.clone(),
            is_call: false,
            door: None,
            trusted: false,
            unlimited: false,
            session: None,
            beneath: None,
            client_session: None,
            opted_in: None,
            suspended: false,
            holding: false,
            heartbeat: Heartbeat { answered: true, ..Heartbeat::default() },
            buffered: 0,
            queued: 0,
            written: 0,
            waiting: None,
            free_subscribes: 0,
            asked_at: now.mono,
            store_subscriptions: 0,
            rules_subscriptions: 0,
            timed_push: (0, 0),
            is_paused: false,
            looks: Vec::new(),
            meter: Meter::default(),
        }
    }

    /// A request of it is not answered yet, or an answer is being put together.
    pub fn is_busy(&self) -> bool {
        self.waiting.is_some() || matches!(self.door.as_deref(), Some(Door::Rpc(_)))
    }

    /// It is one of those that are shown: a call is gone before anybody looks.
    pub fn is_listed(&self) -> bool {
        self.door.as_deref().is_none_or(Door::is_stream)
    }

    /// How it speaks to us.
    pub fn transport(&self) -> &'static str {
        match self.door.as_deref() {
            Some(Door::Rpc(_)) => "rpc",
            Some(Door::Live(_)) => "live",
            None if self.trusted => "local",
            None => "ws",
        }
    }

    /// Who owns what it inserts.
    pub fn owner(&self) -> Owner {
        match self.client_session {
            Some(no) => no.owner(),
            None => Owner::connection(self.number),
        }
    }

    /// Whether records can be its own: a call is gone before they are read.
    pub fn is_owner(&self) -> bool {
        self.door.is_none()
    }

    /// Subscriptions of all kinds.
    pub fn subscriptions(&self) -> usize {
        self.store_subscriptions as usize + self.rules_subscriptions as usize
    }

    /// Whether pushes are queued for it, with the high-water mark at so many
    /// bytes.
    pub fn has_room(&self, threshold: f64) -> bool {
        !self.suspended && (self.buffered as f64) < threshold
    }

    /// This many bytes were queued, at this monotonic time.
    pub fn note_queued(&mut self, bytes: usize, now: u64) {
        let was_empty = self.buffered == 0;
        self.buffered += bytes;
        self.queued += bytes as u64;
        self.meter.note_queued(now, self.buffered, was_empty);
    }

    /// What was queued last is a push: its way to the kernel is timed, unless that of
    /// one in front of it is.
    pub fn time_push(&mut self, now: u64) {
        if self.timed_push.0 == 0 {
            self.timed_push = (self.queued, now);
        }
    }

    /// How long the socket has taken nothing of what is queued.
    pub fn behind_ms(&self, now: u64) -> u64 {
        match self.buffered {
            0 => 0,
            _ => now.saturating_sub(self.meter.progress),
        }
    }

    /// `conn-{n}`
    pub fn name(&self) -> String {
        format!("conn-{}", self.number)
    }
}

/// All open connections. A connection that is closing is not in it.
///
/// Those of the transport are found by their slots, which are dense; the others
/// (of the program around the server, or of an owner of a slot before) by id.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Option<Box<Conn>>>,
    others: HashMap<ConnId, Box<Conn>>,
    len: usize,
    opened: u64,
}

/// Slots beyond the last one may be left out up to here.
const MOST_SKIPPED: usize = 1024;

impl Conns {
    pub fn open(&mut self, id: ConnId, peer: &Peer, now: Now) -> &mut Conn {
        self.opened += 1;
        self.remove(id);
        self.len += 1;
        let conn = Box::new(Conn::new(id, self.opened, peer, now));
        log::debug!(conn = conn.name(); "connected: {}", conn.address);
        let slot = id.slot as usize;
        if slot >= self.slots.len() && slot - self.slots.len() < MOST_SKIPPED {
            self.slots.resize_with(slot + 1, || None);
        }
        match self.slots.get_mut(slot) {
            Some(free @ None) => free.insert(conn),
            _ => self.others.entry(id).insert(conn).into_mut(),
        }
    }

    pub fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.slot as usize);
        let removed = slot
            .and_then(|slot| slot.take_if(|conn| conn.id == id))
            .or_else(|| self.others.remove(&id))?;
        self.len = self.len.saturating_sub(1);
        Some(removed)
    }

    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        match self.slots.get(id.slot as usize) {
            Some(Some(conn)) if conn.id == id => Some(conn),
            _ => self.others.get(&id).map(|conn| &**conn),
        }
    }

    /// The session of a connection, unless its time is over at this wall time.
    pub fn session(&self, id: ConnId, wall: u64) -> Option<&Session> {
        let bound = self.get(id)?.session.as_ref()?;
        Some(&bound.session).filter(|session| !session.is_expired(wall))
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        match self.slots.get_mut(id.slot as usize) {
            Some(Some(conn)) if conn.id == id => Some(conn),
            _ => self.others.get_mut(&id).map(|conn| &mut **conn),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// In no order.
    pub fn all(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().flatten().chain(self.others.values()).map(|conn| &**conn)
    }

    /// In connect order. Sorts: for administration, not for hot paths.
    pub fn in_order(&self) -> Vec<&Conn> {
        let mut all: Vec<&Conn> = self.all().collect();
        all.sort_unstable_by_key(|conn| conn.number);
        all
    }

    /// Those that are shown, in connect order.
    pub fn listed(&self) -> Vec<&Conn> {
        let mut all = self.in_order();
        all.retain(|conn| conn.is_listed());
        all
    }

    /// The ids in connect order.
    pub fn ids(&self) -> Vec<ConnId> {
        self.in_order().into_iter().map(|conn| conn.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_by_its_slot_and_no_other_owner_of_it_is() {
        let (peer, now) = (Peer::of([127, 0, 0, 1].into()), Now { mono: 1, wall: 1 });
        let mut conns = Conns::default();
        let ids = [(3, 1), (0, 1), (3, 2), (u32::MAX, 1), (u32::MAX, 2)]
            .map(|(slot, generation)| ConnId { slot, generation });
        for (at, id) in ids.into_iter().enumerate() {
            let number = conns.open(id, &peer, now).number;
            assert_eq!((number, conns.len()), (at as u64 + 1, at + 1));
        }
        assert_eq!(conns.ids(), ids);
        for (at, id) in ids.into_iter().enumerate() {
            assert_eq!(conns.get(id).map(|conn| conn.number), Some(at as u64 + 1));
            assert_eq!(conns.get_mut(id).map(|conn| conn.id), Some(id));
            let other = ConnId { generation: 9, ..id };
            assert!(conns.get(other).is_none() && conns.remove(other).is_none());
            assert_eq!(conns.remove(id).map(|conn| conn.id), Some(id));
            assert!(conns.get(id).is_none());
            assert_eq!(conns.all().count(), ids.len() - at - 1);
        }
        assert_eq!(conns.len(), 0);
    }
}
