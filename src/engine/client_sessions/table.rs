//! The table of client sessions, within its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Digest;
use super::SessionNo;
use super::receipts::{Numbers, OnceFigures, Receipt};
use super::sheets::Sheets;
use crate::access::RateKey;
use crate::app::{CommitSeq, ConnId};
use crate::wheel::TimerId;

/// What one session may take.
pub(super) const SESSION_BYTES: u64 = 256;

/// Whose a session is: a user's, or of all who are not logged in.
pub(crate) type User = Option<Arc<str>>;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub user: User,
    pub id: Digest,
    /// Whom it counts for: the user, or without login the address.
    pub payer: RateKey,
    pub place: Place,
    /// Of its requests; `None`: they have none, and the session is not stored.
    pub numbers: Option<Box<Numbers>>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Held(ConnId),
    /// Left by its connection: at this time, and as the so many-th.
    Left {
        at: u64,
        turn: u64,
    },
}

/// What one user or address has.
#[derive(Debug, Default)]
struct Share {
    all: BTreeSet<SessionNo>,
    /// Those without connection by when they were left.
    left: BTreeMap<u64, SessionNo>,
}

/// Why there is no place for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    OfUser,
    OfAll,
}

#[derive(Debug, Default)]
pub(crate) struct ClientSessions {
    table: HashMap<SessionNo, Session>,
    ids: HashMap<(User, Digest), SessionNo>,
    shares: HashMap<RateKey, Share>,
    left: BTreeMap<u64, SessionNo>,
    named: u64,
    turns: u64,
    /// What receipts take.
    receipts: u64,
    /// Where they are stored.
    pub sheets: Sheets,
    pub takeovers: u64,
    pub once: OnceFigures,
    /// Looks for those that have been left for long enough.
    pub look: Option<TimerId>,
}

impl ClientSessions {
    pub fn get(&self, no: SessionNo) -> Option<&Session> {
        self.table.get(&no)
    }

    pub fn find(&self, user: &User, id: Digest) -> Option<SessionNo> {
        self.ids.get(&(user.clone(), id)).copied()
    }

    /// All sessions of one user.
    pub fn of_user(&self, user: &str) -> Vec<SessionNo> {
        let share = self.shares.get(&RateKey::User(user.into()));
        share.map(|share| share.all.iter().copied().collect()).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many have no connection.
    pub fn kept(&self) -> usize {
        self.left.len()
    }

    /// What all of them may take of memory.
    pub fn bytes(&self) -> u64 {
        self.receipts.saturating_add(self.table.len() as u64 * SESSION_BYTES)
    }

    /// Which session has to go so that there is a place for one more, if any
    /// has: the one that was left longest ago.
    pub fn room(
        &self,
        payer: &RateKey,
        most_of_user: usize,
        most: usize,
    ) -> Result<Option<SessionNo>, Full> {
        let share = self.shares.get(payer);
        if share.is_some_and(|share| share.all.len() >= most_of_user) {
            let left = share.and_then(|share| share.left.values().next());
            return left.map(|no| Some(*no)).ok_or(Full::OfUser);
        }
        if self.table.len() >= most {
            return self.left.values().next().map(|no| Some(*no)).ok_or(Full::OfAll);
        }
        Ok(None)
    }

    /// A session that is not there yet, held by a connection.
    pub fn begin(&mut self, user: User, id: Digest, payer: RateKey, conn: ConnId) -> SessionNo {
        self.named += 1;
        let no = SessionNo::new(self.named);
        self.ids.insert((user.clone(), id), no);
        self.shares.entry(payer.clone()).or_default().all.insert(no);
        self.table.insert(no, Session { user, id, payer, place: Place::Held(conn), numbers: None });
        no
    }

    /// A stored session, without connection since now.
    pub fn restore(&mut self, user: User, id: Digest, payer: RateKey, now: u64) -> SessionNo {
        // Nobody: it is left at once.
        let no = self.begin(user, id, payer, ConnId { slot: u32::MAX, generation: u32::MAX });
        self.number(no);
        self.leave(no, now);
        no
    }

    /// A connection holds a session from now on.
    pub fn hold(&mut self, no: SessionNo, conn: ConnId) {
        let Some(session) = self.table.get_mut(&no) else { return };
        let before = std::mem::replace(&mut session.place, Place::Held(conn));
        let payer = session.payer.clone();
        self.not_left(before, &payer);
    }

    /// Its connection does not hold it any more.
    pub fn leave(&mut self, no: SessionNo, now: u64) {
        let Some(session) = self.table.get_mut(&no) else { return };
        if let Place::Left { .. } = session.place {
            return;
        }
        self.turns += 1;
        session.place = Place::Left { at: now, turn: self.turns };
        self.left.insert(self.turns, no);
        if let Some(share) = self.shares.get_mut(&session.payer) {
            share.left.insert(self.turns, no);
        }
    }

    /// What there was of it, and the sheets that were needed for it alone.
    pub fn forget(&mut self, no: SessionNo) -> Option<(Session, Vec<CommitSeq>)> {
        let session = self.table.remove(&no)?;
        let mut empty = Vec::new();
        for (_, receipt) in session.numbers.iter().flat_map(|numbers| numbers.iter()) {
            self.receipts = self.receipts.saturating_sub(receipt.bytes());
            self.sheets.leave(receipt.sheet, receipt.bytes());
            empty.extend(self.sheets.take(receipt.sheet));
        }
        self.ids.remove(&(session.user.clone(), session.id));
        self.not_left(session.place, &session.payer);
        if let Some(share) = self.shares.get_mut(&session.payer) {
            share.all.remove(&no);
            if share.all.is_empty() {
                self.shares.remove(&session.payer);
            }
        }
        Some((session, empty))
    }

    /// From now on its requests may be numbered; false if they may already.
    pub fn number(&mut self, no: SessionNo) -> bool {
        let Some(session) = self.table.get_mut(&no) else { return false };
        let is_new = session.numbers.is_none();
        session.numbers.get_or_insert_default();
        is_new
    }

    /// What receipts call a session where they are stored, from now on.
    pub fn stored_as(&mut self, no: SessionNo, name: CommitSeq) {
        let session = self.table.get_mut(&no);
        if let Some(numbers) = session.and_then(|session| session.numbers.as_mut()) {
            numbers.stored = name;
        }
    }

    /// Enters a receipt; returns the sheets that nobody needs any more.
    pub fn enter(&mut self, no: SessionNo, n: u64, receipt: Receipt) -> Vec<CommitSeq> {
        let left = self.restore_receipt(no, n, receipt);
        left.into_iter().filter_map(|sheet| self.sheets.take(sheet)).collect()
    }

    /// Enters a receipt that was found in its sheet, of which there may be more;
    /// returns the sheets of those that are no longer asked for.
    pub fn restore_receipt(&mut self, no: SessionNo, n: u64, receipt: Receipt) -> Vec<CommitSeq> {
        let numbers = self.table.get_mut(&no).and_then(|session| session.numbers.as_mut());
        let Some(numbers) = numbers else { return Vec::new() };
        self.receipts = self.receipts.saturating_add(receipt.bytes());
        self.sheets.enter(receipt.sheet, no, receipt.bytes());
        let mut sheets = Vec::new();
        for (_, left) in numbers.enter(n, receipt) {
            self.receipts = self.receipts.saturating_sub(left.bytes());
            self.sheets.leave(left.sheet, left.bytes());
            sheets.push(left.sheet);
        }
        sheets
    }

    /// What is still needed of the sheet that is to be copied next, if one is.
    pub fn take_wasteful(&mut self) -> Option<Vec<(SessionNo, u64, Receipt)>> {
        let (sheet, sessions) = self.sheets.take_wasteful(self.receipts)?;
        let sessions: BTreeSet<SessionNo> = sessions.into_iter().collect();
        let numbers = sessions.into_iter().filter_map(|no| {
            let numbers = self.table.get(&no)?.numbers.as_deref()?;
            Some(numbers.iter().map(move |(n, receipt)| (no, n, receipt)))
        });
        let needed = numbers.flatten().filter(|(.., receipt)| receipt.sheet == sheet);
        Some(needed.map(|(no, n, receipt)| (no, n, receipt.clone())).collect())
    }

    fn not_left(&mut self, place: Place, payer: &RateKey) {
        let Place::Left { turn, .. } = place else { return };
        self.left.remove(&turn);
        if let Some(share) = self.shares.get_mut(payer) {
            share.left.remove(&turn);
        }
    }

    /// The session that was left longest ago, and when.
    pub fn first_left(&self) -> Option<(SessionNo, u64)> {
        let no = *self.left.values().next()?;
        match self.table.get(&no)?.place {
            Place::Left { at, .. } => Some((no, at)),
            Place::Held(_) => None,
        }
    }

    /// Holds what must be true between two calls; `held`: what the connections
    /// say that they hold.
    pub fn check_invariants(&self, held: &HashMap<SessionNo, ConnId>) {
        assert_eq!(self.ids.len(), self.table.len(), "each session has one id");
        let numbers = self.table.values().filter_map(|session| session.numbers.as_ref());
        let receipts: u64 = numbers.map(|numbers| numbers.bytes()).sum();
        assert_eq!(self.receipts, receipts, "what receipts take");
        let mut sheets: BTreeMap<CommitSeq, usize> = BTreeMap::new();
        let numbers = self.table.values().filter_map(|session| session.numbers.as_ref());
        for (_, receipt) in numbers.flat_map(|it| it.iter()).filter(|(_, it)| it.sheet > 0) {
            *sheets.entry(receipt.sheet).or_default() += 1;
        }
        self.sheets.check_invariants(&sheets);
        let mut by_payer: HashMap<&RateKey, (usize, usize)> = HashMap::new();
        for (no, session) in &self.table {
            let by_id = self.ids.get(&(session.user.clone(), session.id));
            assert_eq!(by_id, Some(no), "a session is found by its id");
            let count = by_payer.entry(&session.payer).or_default();
            count.0 += 1;
            match session.place {
                Place::Held(conn) => assert_eq!(held.get(no), Some(&conn), "who holds a session"),
                Place::Left { turn, .. } => {
                    assert_eq!(self.left.get(&turn), Some(no), "a session that was left");
                    assert_eq!(held.get(no), None, "it was left");
                    count.1 += 1;
                }
            }
        }
        assert!(held.keys().all(|no| self.table.contains_key(no)), "a session that is not there");
        assert_eq!(by_payer.len(), self.shares.len(), "who pays for sessions");
        for (payer, (sessions, left)) in by_payer {
            let share = self.shares.get(payer).map(|share| (share.all.len(), share.left.len()));
            assert_eq!(share, Some((sessions, left)), "what {payer:?} has");
        }
    }
}
