//! From what has happened to views to pushes.

use std::sync::Arc;

use super::{Delta, First, Hold, MAX_HELD_DELTAS, Mode, Owed, Sent, Subscription};
use crate::app::{CommitSeq, ConnId};
use crate::engine::continuity::TokenText;
use crate::engine::{Engine, Timer};
use crate::json::write_integer;
use crate::protocol::OpError;
use crate::query::{Body, Changed, EndReason, News, NewsItem, ViewId};

/// A push up to the number in the id of its subscription.
const HEAD: &[u8] = br#"{"type":"push","channel":"subscription","subscriptionId":"sub-"#;
const LOGIC_HEAD: &[u8] = br#"{"type":"push","channel":"logic","subscriptionId":"sub-"#;

/// What became of one subscriber's share of a change.
enum Next<'c> {
    /// Nothing to send.
    Nothing,
    Push(&'c Body),
    Delta(&'c Arc<[u8]>),
    /// It must wait: remember what it is owed.
    Hold,
}

impl Engine {
    /// Tells subscribers what the commits since the last call have changed:
    /// commit by commit, within a commit in the order of their subscriptions.
    pub(in crate::engine) fn publish_views(&mut self) {
        self.responses_queued();
        if !self.views.has_news() {
            return;
        }
        let news = self.views.take_news();
        let mut rest = news.as_slice();
        while let Some(first) = rest.first() {
            let len = rest.iter().take_while(|item| item.commit == first.commit).count();
            let (batch, later) = rest.split_at(len);
            self.publish_batch(batch);
            rest = later;
        }
    }

    /// The news of one commit.
    fn publish_batch(&mut self, batch: &[NewsItem]) {
        let mut held = Vec::new();
        let mut taken = Vec::with_capacity(batch.len());
        for item in batch {
            let subscribers = self.subscriptions.of_view.remove(&item.view);
            taken.push((item, subscribers.unwrap_or_default()));
        }
        if let [(item, subscribers)] = taken.as_mut_slice() {
            let before = self.subscriptions.pushed;
            for subscription in subscribers {
                self.tell(subscription, item, &mut held);
            }
            let bytes = self.subscriptions.pushed.wrapping_sub(before);
            self.views.note_pushed(item.view, bytes);
        } else {
            // Several views: each connection gets its pushes in the order of
            // its subscriptions.
            let mut order: Vec<(u64, usize, usize)> = Vec::new();
            for (list, (_, subscribers)) in taken.iter().enumerate() {
                let places = subscribers.iter().enumerate();
                order.extend(places.map(|(at, subscription)| (subscription.number, list, at)));
            }
            order.sort_unstable();
            for (_, list, at) in order {
                let Some((item, subscribers)) = taken.get_mut(list) else { continue };
                if let Some(subscription) = subscribers.get_mut(at) {
                    let before = self.subscriptions.pushed;
                    self.tell(subscription, item, &mut held);
                    let bytes = self.subscriptions.pushed.wrapping_sub(before);
                    self.views.note_pushed(item.view, bytes);
                }
            }
        }
        let mut failed = Vec::new();
        for (item, subscribers) in taken {
            self.put_back(item, subscribers, &mut failed);
        }
        self.keep_held(held);
        for conn in failed {
            self.close(conn, 1011, "internal_error");
        }
    }

    /// Subscribers of a view that goes on return to their place; the others are
    /// forgotten.
    fn put_back(
        &mut self,
        item: &NewsItem,
        subscribers: Vec<Subscription>,
        failed: &mut Vec<ConnId>,
    ) {
        if let News::Changed(_) = item.news {
            if !subscribers.is_empty() {
                self.subscriptions.of_view.insert(item.view, subscribers);
            }
            return;
        }
        for Subscription { conn, number, is_logic, .. } in subscribers {
            if let Some(owner) = self.subscriptions.of_conn.get_mut(&conn) {
                if let Ok(at) = owner.own.binary_search_by_key(&number, |(have, _)| *have) {
                    owner.own.remove(at);
                }
                owner.held.remove(&number);
                owner.remember_ended(number, is_logic);
            }
            self.count_store_subscriptions(conn, -1);
            if matches!(item.news, News::Failed) {
                failed.push(conn);
            }
        }
    }

    /// One subscriber, one piece of news.
    fn tell(&mut self, subscription: &mut Subscription, item: &NewsItem, held: &mut Vec<Held>) {
        if subscription.since >= item.number {
            return;
        }
        let changed = match &item.news {
            News::Changed(changed) => changed,
            News::Ended(reason) => return self.push_end(subscription, *reason),
            News::Failed => return,
        };
        let (conn, number) = (subscription.conn, subscription.number);
        let over = |hold: &Hold| hold.is_over(self.now.mono, self.subscriptions.proven(conn));
        if subscription.hold.as_deref().is_some_and(over) {
            subscription.hold = None;
            self.subscriptions.let_go(conn, number);
        }
        let pushed = match share(subscription, changed) {
            Next::Nothing => true,
            Next::Push(body) => {
                let kind = self.kind_of_news(subscription, item);
                self.try_push(conn, number, Kind { seq: None, ..kind }, body.as_ref())
            }
            Next::Delta(text) => {
                let kind = self.kind_of_news(subscription, item);
                self.try_push(conn, number, kind, Some(text))
            }
            Next::Hold => false,
        };
        if !pushed {
            held.push(Held {
                view: item.view,
                conn,
                number,
                previous: changed.previous.clone(),
                delta: delta_of(subscription, changed).map(|text| Delta {
                    seq: subscription.seq,
                    commit: item.at,
                    text: Arc::clone(text),
                }),
            });
        }
    }

    fn kind_of_news(&self, subscription: &Subscription, item: &NewsItem) -> Kind {
        let says = subscription.commits && self.is_numbered(item.view);
        let commit = says.then_some(item.at);
        let Subscription { is_logic, is_live, seq, .. } = *subscription;
        Kind { is_logic, is_live, seq: Some(seq), commit, token: None }
    }

    /// Queues one push, unless the connection takes none.
    fn try_push(
        &mut self,
        conn: ConnId,
        number: u64,
        kind: Kind,
        text: Option<&Arc<[u8]>>,
    ) -> bool {
        if self.is_oversized(conn, number, text) {
            return true;
        }
        let mut head = std::mem::take(&mut self.subscriptions.scratch);
        let tail = self.write_ends(conn, number, kind, text, &mut head);
        let pushed = self.send_if_taken(conn, &head, text, tail);
        self.subscriptions.scratch = head;
        self.metrics.pushes += u64::from(pushed);
        self.figures.subscription_pushes += u64::from(pushed);
        if pushed {
            let bytes = text.map_or(0, |text| text.len()) as u64;
            self.subscriptions.pushed = self.subscriptions.pushed.wrapping_add(bytes);
            self.trace_result(conn, number, kind.is_logic, text);
        }
        pushed
    }

    /// Remembers what those are owed who could not be sent to.
    fn keep_held(&mut self, held: Vec<Held>) {
        // A thousand slow readers of one view share one text, and its digest.
        let mut digested: Option<(Body, Sent)> = None;
        for Held { view, conn, number, previous, delta } in held {
            let takes = self.takes_pushes(conn);
            let subscriptions = &mut self.subscriptions;
            let Some(subscription) = subscriptions.find(view, number) else { continue };
            let coalesce = subscription.coalesce;
            let hold = subscription.hold.as_deref();
            let suspended = hold.is_some_and(|hold| hold.suspended);
            let is_first_debt = hold.is_none_or(|hold| hold.owed.is_none());
            let supersedes =
                hold.is_some_and(|hold| matches!(hold.owed, Some(Owed::Full(_) | Owed::Reset)));
            let sent = match previous {
                None => Sent::Unknown,
                Some(body) if takes && !suspended => Sent::Body(body),
                Some(body) => match &digested {
                    Some((of, sent)) if same_body(of, &body) => sent.clone(),
                    _ => {
                        let sent = subscriptions.digest(&body);
                        digested = Some((body, sent.clone()));
                        sent
                    }
                },
            };
            let (mut wake, mut is_newly_stale) = (None, false);
            subscriptions.hold(view, number, |hold| {
                is_newly_stale = !takes && !hold.stale;
                hold.stale |= !takes;
                hold.owe(sent, delta, coalesce);
                wake = Some(hold.first);
            });
            if supersedes && let Some(conn) = self.conns.get_mut(conn) {
                conn.meter.skipped = conn.meter.skipped.saturating_add(1);
                self.figures.pushes_skipped += 1;
            }
            if is_newly_stale {
                self.trace_stale(conn, number, "stale");
            }
            match wake {
                Some(First::At { at, .. }) if is_first_debt => {
                    self.wheel.insert(at, Timer::FirstPush(conn, number));
                }
                Some(First::Over) if is_first_debt && coalesce => {
                    if self.subscriptions.coalescing.is_empty() {
                        self.wheel.insert(self.now.mono, Timer::CoalescedPushes);
                    }
                    self.subscriptions.coalescing.push((number, conn));
                }
                _ => {}
            }
        }
    }

    /// A push that is longer than one may be is not sent: it ends its
    /// subscription, as soon as nothing walks over them.
    fn is_oversized(&mut self, conn: ConnId, number: u64, text: Option<&Arc<[u8]>>) -> bool {
        let oversized = text.is_some_and(|text| text.len() > self.options.max_reply_bytes);
        if oversized {
            self.subscriptions.oversized.push((conn, number));
        }
        oversized
    }

    /// Queues one push; with a sequence number in delta mode, where the text
    /// goes on behind it.
    pub(super) fn push_result(
        &mut self,
        conn: ConnId,
        number: u64,
        kind: Kind,
        text: Option<&Arc<[u8]>>,
    ) {
        if self.is_oversized(conn, number, text) {
            return;
        }
        let mut head = std::mem::take(&mut self.subscriptions.scratch);
        let tail = self.write_ends(conn, number, kind, text, &mut head);
        self.send_event(conn, &head, text, tail, self.log.last());
        self.subscriptions.scratch = head;
        self.metrics.pushes += 1;
        self.trace_result(conn, number, kind.is_logic, text);
    }

    /// What stands in front of the text of a push, and what behind it.
    fn write_ends(
        &mut self,
        conn: ConnId,
        number: u64,
        kind: Kind,
        text: Option<&Arc<[u8]>>,
        head: &mut Vec<u8>,
    ) -> &'static [u8] {
        if kind.is_live {
            return self.write_event_head(conn, kind, text, head);
        }
        write_head(number, text.is_some(), kind, head);
        if kind.seq.is_some() { b"}}" } else { b"}" }
    }

    fn trace_result(
        &mut self,
        conn: ConnId,
        number: u64,
        is_logic: bool,
        text: Option<&Arc<[u8]>>,
    ) {
        if self.is_tracing() {
            let channel = if is_logic { "logic" } else { "subscription" };
            let id = subscription_id(number, &mut [0; 24]).to_owned();
            self.trace_push(conn, channel, &id, text.map_or(0, |text| text.len()));
        }
    }

    /// The last push of a subscription in delta mode. Never suppressed.
    pub(super) fn push_end(&mut self, subscription: &Subscription, reason: EndReason) {
        if subscription.is_live {
            return self.end_stream_later(subscription.conn, reason.as_str());
        }
        if subscription.mode == Mode::Full {
            return;
        }
        let mut head = std::mem::take(&mut self.subscriptions.scratch);
        let (is_logic, seq) = (subscription.is_logic, Some(subscription.seq));
        let kind = Kind { is_logic, is_live: false, seq, commit: None, token: None };
        write_head(subscription.number, true, kind, &mut head);
        head.extend_from_slice(b"\"closed\":\"");
        head.extend_from_slice(reason.as_str().as_bytes());
        head.push(b'"');
        self.send(subscription.conn, &head, None, b"}}");
        self.subscriptions.scratch = head;
        self.metrics.pushes += 1;
    }
}

/// What distinguishes the heads of pushes.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Kind {
    pub is_logic: bool,
    /// An event of a stream.
    pub is_live: bool,
    /// In delta mode.
    pub seq: Option<u64>,
    /// Of the state that it leads to, for those who want to know.
    pub commit: Option<CommitSeq>,
    /// From now on the client's token is this one.
    pub token: Option<TokenText>,
}

fn write_head(number: u64, has_data: bool, kind: Kind, head: &mut Vec<u8>) {
    let Kind { is_logic, seq, commit, token, .. } = kind;
    head.clear();
    head.extend_from_slice(if is_logic { LOGIC_HEAD } else { HEAD });
    write_integer(head, signed(number));
    if has_data && seq.is_none() && commit.is_none() && token.is_none() {
        // What most are.
        head.extend_from_slice(b"\",\"data\":");
        return;
    }
    head.push(b'"');
    if let Some(commit) = commit {
        head.extend_from_slice(b",\"commit\":");
        write_integer(head, signed(commit));
    }
    if let Some(token) = token {
        head.extend_from_slice(b",\"token\":\"");
        head.extend_from_slice(&token);
        head.push(b'"');
    }
    if has_data {
        head.extend_from_slice(b",\"data\":");
    }
    if let Some(seq) = seq {
        head.extend_from_slice(b"{\"seq\":");
        write_integer(head, signed(seq));
        head.push(b',');
    }
}

/// Counters never come near the difference.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A subscriber that must wait, and what it would have been sent.
struct Held {
    view: ViewId,
    conn: ConnId,
    number: u64,
    previous: Option<Body>,
    delta: Option<Delta>,
}

fn delta_of<'c>(subscription: &Subscription, changed: &'c Changed) -> Option<&'c Arc<[u8]>> {
    match subscription.mode {
        Mode::Full => None,
        Mode::Delta { positions: true } => changed.with_positions.as_ref(),
        Mode::Delta { positions: false } => changed.as_set.as_ref(),
        Mode::Window(span) => changed.seen.get(span),
    }
}

/// What a change means to one subscriber. Counts it.
fn share<'c>(subscription: &mut Subscription, changed: &'c Changed) -> Next<'c> {
    let concerns = match subscription.mode {
        Mode::Full => changed.full,
        Mode::Delta { .. } => true,
        Mode::Window(span) => changed.seen.get(span).is_some(),
    };
    if !concerns {
        return Next::Nothing;
    }
    if subscription.mode != Mode::Full {
        subscription.seq += 1;
    }
    if subscription.hold.is_some() || subscription.coalesce {
        return Next::Hold;
    }
    match subscription.mode {
        Mode::Full => changed.body.as_ref().map_or(Next::Hold, Next::Push),
        Mode::Delta { .. } | Mode::Window(_) => match delta_of(subscription, changed) {
            Some(text) => Next::Delta(text),
            None => Next::Hold,
        },
    }
}

fn same_body(a: &Body, b: &Body) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

impl Hold {
    /// Whether nothing holds back any more, and nothing is owed.
    pub(super) fn is_over(&self, now: u64, proven: u64) -> bool {
        !self.first.waits(now, proven) && !self.stale && !self.suspended && self.owed.is_none()
    }

    /// Adds to what is owed. `previous` counts only if nothing was owed before.
    fn owe(&mut self, previous: Sent, delta: Option<Delta>, coalesce: bool) {
        // Whoever reads slowly gets one reset in the end.
        let reset = self.stale || self.suspended;
        self.owed = Some(match (self.owed.take(), delta) {
            (Some(Owed::Full(sent)), _) => Owed::Full(sent),
            (None, None) => Owed::Full(previous),
            (None, Some(delta)) if !reset => Owed::Deltas(vec![delta]),
            (Some(Owed::Deltas(mut deltas)), Some(delta))
                if !reset && !coalesce && deltas.len() < MAX_HELD_DELTAS =>
            {
                deltas.push(delta);
                Owed::Deltas(deltas)
            }
            _ => Owed::Reset,
        });
    }
}

/// `sub-{n}`
pub(in crate::engine) fn subscription_id(number: u64, buffer: &mut [u8; 24]) -> &str {
    let mut at = buffer.len();
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(place) = buffer.get_mut(at) {
            *place = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    at -= 4;
    if let Some(place) = buffer.get_mut(at..at + 4) {
        place.copy_from_slice(b"sub-");
    }
    // Digits and letters.
    buffer.get(at..).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
}

/// The `n` of `sub-{n}` in its only spelling: no signs, no leading zeros.
pub(in crate::engine) fn subscription_number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("sub-")?;
    let canonical = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| canonical)
}

/// What an id answers that is nobody's, or somebody else's.
pub(in crate::engine) fn subscription_not_found(id: &str) -> OpError {
    OpError::not_found(format!("Subscription \"{id}\" not found"))
}
