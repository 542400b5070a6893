//! The life of client sessions: what opens, takes over, leaves and ends them
//! (ARCHITECTURE.md, "Client sessions").

use std::sync::Arc;

use super::table::{Full, Place, SESSION_BYTES};
use super::{Digest, OptedIn, SessionNo, User};
use crate::access::RateKey;
use crate::app::ConnId;
use crate::engine::presence::Stay;
use crate::engine::{Engine, Timer};
use crate::protocol::{ErrorCode, OpError};

/// Sessions that are forgotten in one turn, each with up to a window of receipts.
pub(super) const FORGOTTEN_PER_TURN: usize = 256;

/// What is asked of `session.open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Wanted {
    pub session: Option<Digest>,
    pub options: OptedIn,
    /// The session must be known.
    pub resume: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Opened {
    /// `None`: no session was asked for.
    pub known: Option<bool>,
    /// Another connection had it, and is closed.
    pub replaced: bool,
    /// The highest number that has a receipt; `None` without numbers.
    pub newest: Option<u64>,
}

impl Engine {
    /// Binds a session to a connection. Nothing has changed if it fails.
    pub(in crate::engine) fn open_client_session(
        &mut self,
        conn: ConnId,
        wanted: Wanted,
    ) -> Result<Opened, OpError> {
        if self.client_session(conn).is_some() {
            let text = "A session is bound to this connection already";
            return Err(OpError::new(ErrorCode::Conflict, text));
        }
        let mut opened = Opened::default();
        if let Some(id) = wanted.session {
            let user = self.user_of(conn);
            let known = self.client_sessions.find(&user, id);
            if known.is_none() && wanted.resume {
                return Err(OpError::not_found("Session not found"));
            }
            if wanted.options.once {
                self.check_room_for_numbers(known)?;
            }
            let no = match known {
                Some(no) => {
                    opened.replaced = self.take_over(no, conn);
                    no
                }
                None => self.begin_client_session(conn, user, id)?,
            };
            opened.known = Some(known.is_some());
            self.owner_opens_session(conn, no);
            if let Some(conn) = self.conns.get_mut(conn) {
                conn.client_session = Some(no);
            }
            if wanted.options.once {
                opened.newest = Some(self.number_client_session(no));
            }
        }
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.opted_in = Some(wanted.options);
        }
        Ok(opened)
    }

    /// Refuses to number the requests of one more session when there is no room
    /// for its receipts.
    fn check_room_for_numbers(&mut self, known: Option<SessionNo>) -> Result<(), OpError> {
        let known = known.and_then(|no| self.client_sessions.get(no));
        let has_room = match known {
            Some(session) if session.numbers.is_some() => true,
            // It must not be what makes room for itself.
            Some(_) => self.client_sessions.bytes() < self.most_bytes(),
            None => self.make_room_for_receipts(SESSION_BYTES),
        };
        if has_room {
            return Ok(());
        }
        let text = format!("Session limit reached (max {} bytes)", self.most_bytes());
        Err(OpError::new(ErrorCode::RateLimited, text))
    }

    /// The requests of a session may be numbered from now on; returns the newest
    /// number.
    fn number_client_session(&mut self, no: SessionNo) -> u64 {
        if self.client_sessions.number(no) {
            self.store_client_session(no);
        }
        let numbers = self.client_sessions.get(no).and_then(|it| it.numbers.as_deref());
        numbers.map_or(0, |numbers| numbers.newest())
    }

    fn begin_client_session(
        &mut self,
        conn: ConnId,
        user: User,
        id: Digest,
    ) -> Result<SessionNo, OpError> {
        let limits = self.options.continuity.as_ref();
        let (of_user, of_all) =
            limits.map_or((0, 0), |limits| (limits.max_sessions_per_user, limits.max_sessions));
        let payer = match (&user, self.conns.get(conn)) {
            (Some(user), _) => RateKey::User(Arc::clone(user)),
            (None, Some(conn)) => RateKey::address(conn.address),
            (None, None) => return Err(OpError::internal()),
        };
        let limited = |text| OpError::new(ErrorCode::RateLimited, text);
        let over = self.client_sessions.room(&payer, of_user, of_all).map_err(|full| {
            limited(match full {
                Full::OfUser => format!("Session limit reached (max {of_user} per user)"),
                Full::OfAll => format!("Session limit reached (max {of_all})"),
            })
        })?;
        if let Some(no) = over {
            self.forget_client_session(no);
        }
        Ok(self.client_sessions.begin(user, id, payer, conn))
    }

    /// A connection holds a known session; whoever else does is closed.
    fn take_over(&mut self, no: SessionNo, conn: ConnId) -> bool {
        let before = self.client_sessions.get(no).map(|session| session.place);
        let Some(Place::Held(old)) = before else {
            self.client_sessions.hold(no, conn);
            return false;
        };
        if let Some(old) = self.conns.get_mut(old) {
            // It takes nothing of the session with it.
            old.client_session = None;
        }
        self.client_sessions.hold(no, conn);
        self.client_sessions.takeovers += 1;
        let user = self.client_sessions.get(no).and_then(|session| session.user.clone());
        self.audit_session_event("session.replaced", old, user.as_deref());
        self.close(old, 4004, "session_replaced");
        true
    }

    /// `session.close`: whether there was one. The connection stays opted in.
    pub(in crate::engine) fn close_client_session(&mut self, conn: ConnId) -> bool {
        if self.client_session(conn).is_none() {
            return false;
        }
        self.end_owner_of(conn);
        let Some(no) = self.unbind_client_session(conn) else { return false };
        self.forget_client_session(no);
        true
    }

    /// The session that a connection holds.
    pub(crate) fn client_session(&self, conn: ConnId) -> Option<SessionNo> {
        self.conns.get(conn)?.client_session
    }

    /// Whether a connection has opened a session, with or without an id.
    pub(crate) fn has_opted_in(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|conn| conn.opted_in.is_some())
    }

    /// Whom the requests of a connection are of.
    pub(crate) fn user_of(&self, conn: ConnId) -> User {
        self.session(conn).map(|session| Arc::clone(&session.user_id))
    }

    /// Whose login a connection has, whoever it acts for.
    fn person_of(&self, conn: ConnId) -> User {
        let conn = self.conns.get(conn)?;
        let beneath = conn.beneath.as_deref().map(|beneath| &beneath.bound);
        let bound = beneath.or(conn.session.as_ref())?;
        let is_over = bound.session.is_expired(self.now.wall);
        (!is_over).then(|| Arc::clone(&bound.session.user_id))
    }

    fn unbind_client_session(&mut self, conn: ConnId) -> Option<SessionNo> {
        let conn = self.conns.get_mut(conn)?;
        if let Some(options) = &mut conn.opted_in {
            options.once = false;
        }
        conn.client_session.take()
    }

    /// A connection acts for this user from now on: a session of somebody else
    /// does not stay with it, nor do records. Comes before the login changes.
    pub(in crate::engine) fn client_user_is(&mut self, conn: ConnId, user: Option<&str>) {
        let Some(no) = self.client_session(conn) else {
            if self.person_of(conn).as_deref() != user {
                self.end_owner_of(conn);
            }
            return;
        };
        let session = self.client_sessions.get(no);
        if session.is_some_and(|session| session.user.as_deref() == user) {
            self.owner_stays(no);
            return;
        }
        self.end_owner_of(conn);
        self.unbind_client_session(conn);
        self.leave_client_session(no);
    }

    /// A session has no connection any more, and is kept for a while.
    pub(in crate::engine) fn leave_client_session(&mut self, no: SessionNo) {
        self.owner_leaves(no.owner(), Stay::Grace);
        self.client_sessions.leave(no, self.now.mono);
        self.arm_client_sessions();
    }

    /// The rights of a connection have ended: nothing of its session is kept.
    pub(in crate::engine) fn end_client_session(&mut self, conn: ConnId) {
        if let Some(no) = self.unbind_client_session(conn) {
            self.forget_client_session(no);
        }
    }

    /// A user was revoked, disabled or deleted: nothing is kept of what has no
    /// connection; the rest goes with the connections.
    pub(in crate::engine) fn forget_client_sessions_of(&mut self, user: &str) {
        for no in self.client_sessions.of_user(user) {
            let place = self.client_sessions.get(no).map(|session| session.place);
            if let Some(Place::Held(conn)) = place {
                self.unbind_client_session(conn);
            }
            self.forget_client_session(no);
        }
    }

    /// The session is over. No connection holds it.
    pub(super) fn forget_client_session(&mut self, no: SessionNo) {
        self.owner_leaves(no.owner(), Stay::Not);
        if let Some((session, sheets)) = self.client_sessions.forget(no) {
            self.unstore_client_session(&session, sheets);
        }
    }

    /// Sessions that have been without connection for too long are forgotten: some in
    /// this turn, the rest in the following ones. After a restart all are due at once.
    pub(in crate::engine) fn client_sessions_due(&mut self) {
        self.client_sessions.look = None;
        let keep = self.options.continuity.as_ref().map_or(0, |limits| limits.keep_ms);
        for _ in 0..FORGOTTEN_PER_TURN {
            match self.client_sessions.first_left() {
                Some((no, at)) if at.saturating_add(keep) <= self.now.mono => {
                    self.forget_client_session(no);
                }
                _ => break,
            }
        }
        self.arm_client_sessions();
    }

    pub(super) fn arm_client_sessions(&mut self) {
        let keep = self.options.continuity.as_ref().map_or(0, |limits| limits.keep_ms);
        if self.client_sessions.look.is_none()
            && let Some((_, at)) = self.client_sessions.first_left()
        {
            // What is due by now waits for the next turn.
            let next = at.saturating_add(keep).max(self.now.mono.saturating_add(1));
            let timer = self.wheel.insert(next, Timer::ClientSessions);
            self.client_sessions.look = Some(timer);
        }
    }

    /// Holds what must be true between two calls.
    pub(in crate::engine) fn check_client_sessions(&self) {
        let held = self.conns.all().filter_map(|conn| Some((conn.client_session?, conn.id)));
        self.client_sessions.check_invariants(&held.collect());
        let waits = self.client_sessions.first_left().is_some();
        assert!(!waits || self.client_sessions.look.is_some(), "what was left has a timer");
    }
}
