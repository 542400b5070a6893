//! Who subscribed to which view, and what each of them was sent.
//!
//! Owns the connection side of live queries: ids, sequence numbers, the order
//! of pushes, what waits because a push must not leave yet, and the end of
//! subscriptions. The results themselves belong to [`crate::query`].
//!
//! A subscription is *live* as long as every change is pushed to it at once. It
//! is *held* while that may not be: before its first push (a client may not
//! know its id yet), above the high-water mark, while its session is gone, or
//! because it asked for coalescing. What changes meanwhile makes it *dirty*: it
//! is owed one push (or, in delta mode, the deltas in order or one reset) of
//! what is newest when it may be sent to again.

mod first;
mod moved;
mod positions;
mod proof;
mod publish;
mod release;
mod sessions;
mod windows;

#[cfg(test)]
mod tests;

pub(super) use first::{First, PATIENCE_MS};
use proof::Proof;
pub(super) use publish::Kind;
pub(super) use publish::{subscription_id, subscription_not_found, subscription_number};

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Engine;
use crate::app::{CommitSeq, ConnId};
use crate::protocol::{ErrorCode, OpError};
use crate::query::{Body, Program, Span, ViewId, Views, Want};

/// How many ended subscriptions of one connection are remembered, so that their
/// `store.unsubscribe` is answered as if they were still there.
const MAX_ENDED: usize = 4096;

/// How many deltas wait for a held subscription; more become one reset.
const MAX_HELD_DELTAS: usize = 32;

/// One subscription. A view's subscribers lie side by side: a push to a
/// thousand of them walks one piece of memory.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The `n` of `sub-{n}`.
    pub number: u64,
    pub conn: ConnId,
    pub mode: Mode,
    /// Of a view of logic: its pushes go to another channel.
    pub is_logic: bool,
    /// A push that has not left is superseded by a newer one.
    pub coalesce: bool,
    /// Its pushes are events of a stream.
    is_live: bool,
    /// Its pushes say which commit they show.
    commits: bool,
    /// Its client has a token, and may come back with it.
    resumes: bool,
    /// Changes of the result since the response, whether or not they were sent.
    pub seq: u64,
    /// The number of the last news that the response contained.
    since: u64,
    /// Where the last push ends in the output of the connection. With
    /// coalescing, the next one waits until it has left.
    last_push: u64,
    hold: Option<Box<Hold>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Full,
    Delta {
        positions: bool,
    },
    /// With positions, of what a window shows.
    Window(Span),
}

/// How a subscriber is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub mode: Mode,
    pub coalesce: bool,
    /// The response has a token.
    pub resumes: bool,
}

/// Why a subscription is not sent to, and what it is owed.
#[derive(Debug, Default)]
struct Hold {
    first: First,
    /// The connection reads too slowly.
    stale: bool,
    /// The session that it was made in is gone.
    suspended: bool,
    owed: Option<Owed>,
    /// What is owed comes with a new token: the old one names something else.
    token: bool,
}

#[derive(Debug)]
enum Owed {
    /// The newest result, unless it is the one that was sent last.
    Full(Sent),
    /// These, in order.
    Deltas(Vec<Delta>),
    Reset,
}

/// A delta, and the state that it leads to.
#[derive(Clone, Debug)]
struct Delta {
    seq: u64,
    commit: CommitSeq,
    text: Arc<[u8]>,
}

/// The last result that a subscriber was sent.
#[derive(Clone, Debug)]
enum Sent {
    Body(Body),
    /// Length and hash: the text is not kept for those who read slowly.
    Digest(Option<(usize, u64)>),
    Unknown,
}

/// The subscriptions of one connection.
#[derive(Debug, Default)]
struct Owner {
    /// Ascending by number.
    own: Vec<(u64, ViewId)>,
    /// Ended by the server, and not unsubscribed yet.
    /// With [`Subscription::is_logic`].
    ended: VecDeque<(u64, bool)>,
    /// Those that are held.
    held: BTreeMap<u64, ViewId>,
    proof: Proof,
    /// Where the last round of sending what is owed ended for want of room: the
    /// next one begins there, so that the first of many large results does not
    /// take all the room there ever is.
    next: u64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// Those whose push would have been longer than one may be.
    oversized: Vec<(ConnId, u64)>,
    /// Ascending by number.
    of_view: HashMap<ViewId, Vec<Subscription>>,
    of_conn: HashMap<ConnId, Owner>,
    /// Subscriptions that wait for the end of the turn.
    coalescing: Vec<(u64, ConnId)>,
    digests: RandomState,
    /// Bytes of results that were pushed at once.
    pushed: u64,
    /// Reused.
    scratch: Vec<u8>,
}

impl Owner {
    /// The server has ended one; its client may still unsubscribe.
    fn remember_ended(&mut self, number: u64, is_logic: bool) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((number, is_logic));
    }
}

impl Subscription {
    fn is_stale(&self) -> bool {
        self.hold.as_deref().is_some_and(|hold| hold.stale)
    }

    pub fn want(&self) -> Want {
        match self.mode {
            Mode::Delta { positions } => Want::Delta { positions },
            Mode::Window(span) => Want::Window(span),
            Mode::Full if self.coalesce => Want::FullLater,
            Mode::Full => Want::Full,
        }
    }
}

impl Subscriptions {
    fn find(&mut self, view: ViewId, number: u64) -> Option<&mut Subscription> {
        let all = self.of_view.get_mut(&view)?;
        let at = all.binary_search_by_key(&number, |have| have.number).ok()?;
        all.get_mut(at)
    }

    fn look(&self, view: ViewId, number: u64) -> Option<&Subscription> {
        let all = self.of_view.get(&view)?;
        let at = all.binary_search_by_key(&number, |have| have.number).ok()?;
        all.get(at)
    }

    fn view_of(&self, conn: ConnId, number: u64) -> Option<ViewId> {
        let own = &self.of_conn.get(&conn)?.own;
        let at = own.binary_search_by_key(&number, |(have, _)| *have).ok()?;
        own.get(at).map(|(_, view)| *view)
    }

    fn digest(&self, body: &Body) -> Sent {
        Sent::Digest(body.as_ref().map(|text| (text.len(), self.digests.hash_one(text))))
    }

    /// Whether a result is the one that was sent last.
    fn is_same(&self, sent: &Sent, body: &Body) -> bool {
        match sent {
            Sent::Body(sent) => sent == body,
            Sent::Digest(_) => match (sent, self.digest(body)) {
                (Sent::Digest(a), Sent::Digest(b)) => *a == b,
                _ => false,
            },
            Sent::Unknown => false,
        }
    }

    /// How many subscriptions of a connection are owed something because it
    /// reads too slowly.
    pub fn stale_of(&self, conn: ConnId) -> usize {
        let Some(owner) = self.of_conn.get(&conn) else { return 0 };
        let held = owner.held.iter().filter_map(|(number, view)| {
            let all = self.of_view.get(view)?;
            all.get(all.binary_search_by_key(number, |have| have.number).ok()?)
        });
        held.filter(|subscription| subscription.is_stale()).count()
    }

    /// How many subscriptions of all connections are so. Looks at those that are
    /// held back.
    pub fn stale_in_all(&self) -> usize {
        let held = self.of_conn.iter().filter(|(_, owner)| !owner.held.is_empty());
        held.map(|(conn, _)| self.stale_of(*conn)).sum()
    }

    /// How many there are to views for which this holds. Looks at the views.
    pub fn count_of_views(&self, wanted: impl Fn(ViewId) -> bool) -> usize {
        self.of_view.iter().filter(|(view, _)| wanted(**view)).map(|(_, all)| all.len()).sum()
    }

    /// Of the subscribers of a view, those in delta mode and the stale ones.
    pub fn kinds_of(&self, view: ViewId) -> (usize, usize) {
        let all = self.of_view.get(&view).map(Vec::as_slice).unwrap_or_default();
        let delta = all.iter().filter(|subscription| subscription.mode != Mode::Full).count();
        (delta, all.iter().filter(|subscription| subscription.is_stale()).count())
    }

    /// Takes a subscription out of both tables.
    fn remove(&mut self, conn: ConnId, number: u64) -> Option<(ViewId, Subscription)> {
        let owner = self.of_conn.get_mut(&conn)?;
        let at = owner.own.binary_search_by_key(&number, |(have, _)| *have).ok()?;
        let (_, view) = owner.own.remove(at);
        let all = self.of_view.get_mut(&view)?;
        let at = all.binary_search_by_key(&number, |have| have.number).ok()?;
        let subscription = all.remove(at);
        if all.is_empty() {
            self.of_view.remove(&view);
        }
        if subscription.hold.is_some() {
            owner.held.remove(&number);
        }
        Some((view, subscription))
    }

    /// Takes a subscription from one view to another.
    fn transfer(&mut self, conn: ConnId, number: u64, from: ViewId, to: ViewId) {
        let Some(all) = self.of_view.get_mut(&from) else { return };
        let Ok(at) = all.binary_search_by_key(&number, |have| have.number) else { return };
        let subscription = all.remove(at);
        if all.is_empty() {
            self.of_view.remove(&from);
        }
        let held = subscription.hold.is_some();
        let others = self.of_view.entry(to).or_default();
        let at = others.partition_point(|have| have.number < number);
        others.insert(at, subscription);
        let Some(owner) = self.of_conn.get_mut(&conn) else { return };
        if let Ok(at) = owner.own.binary_search_by_key(&number, |(have, _)| *have)
            && let Some(own) = owner.own.get_mut(at)
        {
            own.1 = to;
        }
        if held {
            owner.held.insert(number, to);
        }
    }

    /// Nothing holds this one back any more.
    fn let_go(&mut self, conn: ConnId, number: u64) {
        if let Some(owner) = self.of_conn.get_mut(&conn) {
            owner.held.remove(&number);
        }
    }

    /// How many pings a connection has answered.
    pub(super) fn proven(&self, conn: ConnId) -> u64 {
        self.of_conn.get(&conn).map_or(0, |owner| owner.proof.rounds)
    }

    /// Sets or clears what holds a subscription back, and keeps count.
    fn hold(&mut self, view: ViewId, number: u64, change: impl FnOnce(&mut Hold)) {
        let Some(subscription) = self.find(view, number) else { return };
        let before = subscription.hold.is_some();
        let mut hold = subscription.hold.take().unwrap_or_default();
        change(&mut hold);
        let keep = hold.first != First::Over || hold.stale || hold.suspended || hold.owed.is_some();
        subscription.hold = keep.then_some(hold);
        let conn = subscription.conn;
        if let Some(owner) = self.of_conn.get_mut(&conn) {
            match (before, keep) {
                (false, true) => {
                    owner.held.insert(number, view);
                }
                (true, false) => {
                    owner.held.remove(&number);
                }
                _ => {}
            }
        }
    }
}

impl Engine {
    /// Refuses one more subscription, of whatever kind, at the limits.
    pub(crate) fn check_subscription_limits(&self, conn: ConnId) -> Result<(), OpError> {
        let limited = |message| Err(OpError::new(ErrorCode::RateLimited, message));
        let own = self.conns.get(conn).map_or(0, super::Conn::subscriptions);
        let most = self.options.max_subscriptions_per_connection;
        if own >= most {
            return limited(format!("Subscription limit reached (max {most} per connection)"));
        }
        let most = self.options.max_total_subscriptions;
        if self.total_subscriptions >= most {
            return limited(format!("Global subscription limit reached (max {most})"));
        }
        Ok(())
    }

    /// Enters a subscription whose response is about to be queued.
    pub(super) fn add_subscription(
        &mut self,
        conn: ConnId,
        number: u64,
        view: ViewId,
        How { mode, coalesce, resumes }: How,
    ) {
        let since = self.views.news_number();
        let commits = self.shows_commits(conn);
        let is_live = self.conns.get(conn).is_some_and(|conn| conn.door.is_some());
        let subscription = Subscription {
            number,
            conn,
            mode,
            is_logic: self.views.is_derived(view),
            coalesce,
            is_live,
            commits,
            resumes,
            seq: 0,
            since,
            last_push: 0,
            hold: None,
        };
        let subscriptions = &mut self.subscriptions;
        // Numbers ascend, so both lists stay in order.
        subscriptions.of_view.entry(view).or_default().push(subscription);
        subscriptions.of_conn.entry(conn).or_default().own.push((number, view));
        if self.options.first_push_delay_ms > 0 {
            subscriptions.hold(view, number, |hold| hold.first = First::Answering);
            self.current.answering.push((conn, number));
        }
        self.count_store_subscriptions(conn, 1);
    }

    /// Keeps the counts of a connection and of all.
    fn count_store_subscriptions(&mut self, conn: ConnId, change: i32) {
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.store_subscriptions = conn.store_subscriptions.saturating_add_signed(change);
        }
        self.total_subscriptions = self.total_subscriptions.saturating_add_signed(change as isize);
    }

    /// `store.unsubscribe` and `logic.unsubscribeView`: also true for one that
    /// the server has ended.
    pub(super) fn unsubscribe(&mut self, conn: ConnId, number: u64, is_logic: bool) -> bool {
        let view = self.subscriptions.view_of(conn, number);
        let found = view.and_then(|view| self.subscriptions.find(view, number));
        if found.is_some_and(|found| found.is_logic != is_logic) {
            return false;
        }
        if let Some((view, subscription)) = self.subscriptions.remove(conn, number) {
            self.views.unsubscribe(view, subscription.want());
            self.count_store_subscriptions(conn, -1);
            return true;
        }
        let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) else { return false };
        let ended = owner.ended.iter().position(|have| *have == (number, is_logic));
        ended.is_some_and(|at| owner.ended.remove(at).is_some())
    }

    /// Forgets all subscriptions of a connection that has ended.
    pub(super) fn drop_subscriptions(&mut self, conn: ConnId) {
        let own = self.subscriptions.of_conn.get(&conn).map(|owner| owner.own.clone());
        for (number, _) in own.unwrap_or_default() {
            if let Some((view, subscription)) = self.subscriptions.remove(conn, number) {
                self.views.unsubscribe(view, subscription.want());
                self.count_store_subscriptions(conn, -1);
            }
        }
        self.subscriptions.of_conn.remove(&conn);
    }

    /// The view and the mode of one of a connection's subscriptions.
    pub(super) fn subscription(
        &mut self,
        conn: ConnId,
        number: u64,
    ) -> Option<(ViewId, Mode, u64)> {
        let view = self.subscriptions.view_of(conn, number)?;
        let subscription = self.subscriptions.find(view, number)?;
        Some((view, subscription.mode, subscription.seq))
    }

    /// Takes over the queries that are configured. Before anybody subscribes.
    pub(crate) fn set_views(&mut self, views: Views) {
        self.views = views.measured_by(self.options.stopwatch);
        let limits = self.options.view_limits();
        self.views.set_limits(limits);
    }

    /// Names a query of the program.
    pub(crate) fn define_program(
        &mut self,
        name: &str,
        program: Arc<dyn Program>,
    ) -> Result<(), OpError> {
        self.views.define_program(name, program)
    }

    /// Holds what must be true between two calls.
    pub(super) fn check_subscriptions(&self) {
        let Subscriptions { of_view, of_conn, coalescing, .. } = &self.subscriptions;
        let mut counted = 0;
        for (conn, owner) in of_conn {
            let store = self.conns.get(*conn).map(|conn| conn.store_subscriptions as usize);
            assert_eq!(store, Some(owner.own.len()), "subscriptions of a connection");
            assert!(owner.own.is_sorted(), "in the order of their numbers");
            counted += owner.own.len();
            let mut held = BTreeMap::new();
            for (number, view) in &owner.own {
                let all = of_view.get(view).map(Vec::as_slice).unwrap_or_default();
                let found = all.iter().find(|have| have.number == *number);
                let found = found.expect("a subscription is among those of its view");
                assert_eq!(found.conn, *conn, "the connection of a subscription");
                held.extend(found.hold.is_some().then_some((*number, *view)));
            }
            assert_eq!(held, owner.held, "held subscriptions");
        }
        let of_views: usize = of_view.values().map(Vec::len).sum();
        assert_eq!(counted, of_views, "subscriptions of views and of connections");
        assert_eq!(counted, self.views.subscribers(), "subscribers of views");
        assert!(coalescing.is_empty() || !self.wheel.is_empty(), "coalesced pushes have a timer");
        let held = |conn: &ConnId| self.conns.get(*conn).is_none_or(|conn| conn.holding);
        assert!(
            self.current.answering.iter().all(|(conn, _)| held(conn)),
            "every subscribe was answered"
        );
        self.views.check_invariants(&self.store);
    }
}
