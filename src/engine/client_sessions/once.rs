//! Numbered requests: each is executed at most once, and answered again as it
//! was answered (ARCHITECTURE.md, "Client sessions").
//!
//! The receipt of a request is made when its answer is, and logged behind what it
//! committed: both are in one batch, so that both are found after a crash, or
//! neither.

use std::any::Any;
use std::collections::BTreeSet;

use super::SessionNo;
use super::receipts::{Fingerprint, Kept, Known, MAX_NUMBER, Receipt};
use crate::app::{CommitSeq, ConnId};
use crate::engine::{Engine, Outcome};
use crate::json::{Json, Object};
use crate::protocol::{ErrorCode, OpError, Operation, Reply, Request};
use crate::store::BucketId;

/// The numbered request that is being answered.
#[derive(Debug)]
pub(in crate::engine) enum Numbered {
    Runs(Box<Runs>),
    /// It was answered before.
    Repeats,
}

#[derive(Debug)]
pub(in crate::engine) struct Runs {
    session: SessionNo,
    n: u64,
    asked: Fingerprint,
    before: Done,
    /// What was done before a job that it waited for: whether anything, and the
    /// newest commit.
    has_changed: bool,
    commit: Option<CommitSeq>,
    /// With row rules that were looked at.
    buckets: BTreeSet<BucketId>,
}

/// How much has been done to what others can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    commits: u64,
    newest: CommitSeq,
    /// Those that nobody sees, each of which has a number.
    silent: u64,
    events: u64,
}

impl Done {
    /// Whether others can see something new.
    fn differs(&self, before: &Done) -> bool {
        let numbers = |it: &Done| it.newest.saturating_sub(it.silent);
        self.commits != before.commits
            || self.events != before.events
            || numbers(self) != numbers(before)
    }
}

impl Runs {
    /// Takes in what was done since it began or went on.
    fn note_done(&mut self, now: Done) {
        self.has_changed |= now.differs(&self.before);
        self.commit = Some(now.newest).filter(|it| *it > self.before.newest).or(self.commit);
    }
}

impl Numbered {
    /// Row rules of a bucket were looked at.
    pub fn note_rules_used(&mut self, bucket: BucketId) {
        if let Numbered::Runs(runs) = self {
            runs.buckets.insert(bucket);
        }
    }
}

fn conflict(text: impl Into<std::borrow::Cow<'static, str>>) -> OpError {
    OpError::new(ErrorCode::Conflict, text)
}

/// Numbers that say what a conflict is about.
fn with_numbers<const N: usize>(error: OpError, numbers: [(&str, u64); N]) -> OpError {
    let members = numbers.map(|(name, number)| (name, Json::Number(number as f64)));
    error.with_details(Json::Object(members.into_iter().collect::<Object>()))
}

impl Engine {
    /// Looks at the number of a request, if it has one. `None`: it is to be
    /// executed; else it was, and this is its answer.
    pub(in crate::engine) fn begin_numbered(
        &mut self,
        conn: ConnId,
        operation: Operation,
        request: &Request<'_>,
        reply: &mut Reply,
    ) -> Result<Option<Outcome>, OpError> {
        // `session.open` has an option of that name.
        let raw = request.present("once").filter(|_| operation != Operation::SessionOpen);
        let Some(raw) = raw else { return Ok(None) };
        let number = raw.as_number().filter(|n| n.fract() == 0.0 && *n >= 1.0);
        let n = number
            .filter(|n| *n <= MAX_NUMBER as f64)
            .map(|n| n as u64)
            .ok_or_else(|| OpError::validation("Invalid \"once\": expected positive integer"))?;
        if !operation.takes_once() {
            let name = operation.name();
            return Err(OpError::validation(format!("\"once\" is not possible with {name}")));
        }
        let session = self.numbering_session(conn).ok_or_else(|| {
            self.client_sessions.once.conflicts += 1;
            conflict("\"once\" needs a session opened with \"once\"")
        })?;
        let asked = Fingerprint::of(request);
        let numbers = self.client_sessions.get(session).and_then(|it| it.numbers.as_deref());
        let newest = numbers.map_or(0, |numbers| numbers.newest());
        let receipt = match numbers.map_or(Known::New, |numbers| numbers.look_up(n)) {
            Known::New => None,
            Known::Receipt(receipt) => Some(receipt.clone()),
            Known::TooOld => {
                self.client_sessions.once.conflicts += 1;
                let text = format!("Request {n} is too old to be repeated (newest {newest})");
                return Err(with_numbers(conflict(text), [("once", n), ("newest", newest)]));
            }
        };
        match receipt {
            None => {
                let before = self.done();
                let buckets = BTreeSet::new();
                let (has_changed, commit) = (false, None);
                let runs = Runs { session, n, asked, before, has_changed, commit, buckets };
                self.current.numbered = Some(Numbered::Runs(Box::new(runs)));
                Ok(None)
            }
            Some(receipt) if receipt.asked != asked => {
                self.client_sessions.once.conflicts += 1;
                let text = format!("Request {n} was another one");
                Err(with_numbers(conflict(text), [("once", n)]))
            }
            Some(receipt) => self.repeat(conn, receipt, reply).map(Some),
        }
    }

    /// The session whose numbers a connection may use for its present user.
    fn numbering_session(&self, conn: ConnId) -> Option<SessionNo> {
        let opted_in = self.conns.get(conn)?.opted_in?;
        let no = self.client_session(conn).filter(|_| opted_in.once)?;
        let session = self.client_sessions.get(no)?;
        (session.user == self.user_of(conn)).then_some(no)
    }

    /// Answers as before.
    fn repeat(
        &mut self,
        conn: ConnId,
        receipt: Receipt,
        reply: &mut Reply,
    ) -> Result<Outcome, OpError> {
        self.client_sessions.once.repeated += 1;
        let filters = self.filters_of(conn, receipt.buckets.iter().map(|name| &**name));
        self.current.numbered = Some(Numbered::Repeats);
        self.current.named = receipt.commit;
        match receipt.kept {
            Kept::Failed(error) => return Err(*error),
            Kept::Data(data) if filters == Some(receipt.filters) => {
                reply.data().extend_from_slice(data.as_bytes());
            }
            Kept::Data(_) | Kept::Withheld => self.client_sessions.once.without_data += 1,
        }
        Ok(Outcome::Done)
    }

    fn done(&self) -> Done {
        Done {
            commits: self.metrics.seen_commits(),
            newest: self.newest_commit(),
            silent: self.metrics.silent_commits,
            events: self.rule_engine().map_or(0, |rules| rules.stats().events),
        }
    }

    /// What a connection may read of these buckets, as a fingerprint; `None`
    /// while that cannot be said.
    fn filters_of<'n>(
        &mut self,
        conn: ConnId,
        buckets: impl Iterator<Item = &'n str>,
    ) -> Option<Fingerprint> {
        let mut text = Vec::new();
        for name in buckets {
            let filter = self.rights(conn).readable(name).ok()?;
            Json::from(name).write(&mut text);
            filter.json().map_or(Json::Null, |json| (**json).clone()).write(&mut text);
        }
        Some(Fingerprint::of_text(&text))
    }

    /// The request goes on behind a job: what others have done meanwhile is not
    /// its own.
    pub(in crate::engine) fn go_on_numbered(&mut self, mut numbered: Option<Numbered>) {
        if let Some(Numbered::Runs(runs)) = &mut numbered {
            runs.before = self.done();
        }
        self.current.numbered = numbered;
    }

    /// The request waits for a job from now on.
    pub(in crate::engine) fn pause_numbered(&mut self) -> Option<Numbered> {
        let now = self.done();
        let mut numbered = self.current.numbered.take();
        if let Some(Numbered::Runs(runs)) = &mut numbered {
            runs.note_done(now);
        }
        numbered
    }

    /// The request has its answer: a numbered one that did something gets its
    /// receipt. Whether it is a repetition.
    pub(in crate::engine) fn settle_numbered(
        &mut self,
        conn: ConnId,
        result: &Result<Result<Outcome, OpError>, Box<dyn Any + Send>>,
        reply: &Reply,
    ) -> bool {
        if matches!(result, Ok(Ok(Outcome::Pending))) {
            return false;
        }
        let mut runs = match self.current.numbered.take() {
            None => return false,
            Some(Numbered::Repeats) => return true,
            Some(Numbered::Runs(runs)) => runs,
        };
        runs.note_done(self.done());
        let has_changed = runs.has_changed;
        let most = self.options.continuity.as_ref().map_or(0, |limits| limits.max_answer_bytes);
        let kept = match result {
            Ok(Ok(_)) if reply.written().len() > most => Kept::Withheld,
            Ok(Ok(_)) => match std::str::from_utf8(reply.written()) {
                Ok(text) => Kept::Data(text.into()),
                Err(_) => Kept::Withheld,
            },
            // What has done nothing may be decided anew.
            Ok(Err(_)) | Err(_) if !has_changed => return false,
            Ok(Err(error)) => Kept::Failed(Box::new(error.clone())),
            Err(_) => Kept::Failed(Box::new(OpError::internal())),
        };
        self.remember(conn, *runs, kept);
        false
    }

    fn remember(&mut self, conn: ConnId, runs: Runs, kept: Kept) {
        self.client_sessions.once.executed += 1;
        let names = runs.buckets.iter().filter_map(|id| self.store.bucket(*id));
        let buckets: Box<[Box<str>]> = names.map(|bucket| bucket.name().into()).collect();
        let filters = self.filters_of(conn, buckets.iter().map(|name| &**name));
        let receipt = Receipt {
            asked: runs.asked,
            at: self.now.wall,
            commit: runs.commit,
            kept: kept.readable(),
            buckets,
            filters: filters.unwrap_or_default(),
            sheet: 0,
        };
        let most = self.options.continuity.as_ref().map_or(0, |limits| limits.max_answer_bytes);
        let is_long = receipt.answer_bytes() > most as u64;
        let receipt = match is_long || !self.make_room_for_receipts(receipt.bytes()) {
            true => receipt.without_data(),
            false => receipt,
        };
        self.store_receipt(runs.session, runs.n, receipt);
    }

    /// What sessions and receipts may take.
    pub(super) fn most_bytes(&self) -> u64 {
        self.options.continuity.as_ref().map_or(0, |limits| limits.max_bytes)
    }

    /// Forgets sessions without connection until there is room for so much;
    /// false if there is not.
    pub(super) fn make_room_for_receipts(&mut self, bytes: u64) -> bool {
        let most = self.most_bytes();
        while self.client_sessions.bytes().saturating_add(bytes) > most {
            let Some((oldest, _)) = self.client_sessions.first_left() else { return false };
            self.forget_client_session(oldest);
        }
        true
    }
}
