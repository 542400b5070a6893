//! A subscribe that says what its client has: whether it may keep that, and what
//! it has to change in it (docs/continuity.md; ARCHITECTURE.md, "Continuity").
//!
//! What is answered is what a subscribe of anybody would answer, or what leads
//! there from the state that the token names. Rights were decided before; here is
//! only looked after that no key is told that the client was never shown.

use std::collections::HashSet;
use std::sync::Arc;

use super::reason::Reason;
use super::ring::KeyText;
use super::shared::{Came, Verdict};
use super::token::{Token, TokenText, fingerprint};
use crate::app::{CommitSeq, ConnId};
use crate::engine::Engine;
use crate::engine::subscriptions::Mode;
use crate::json::{Kind, Raw, write_number};
use crate::protocol::{OpError, Operation, Request};
use crate::query::ViewId;
use crate::storage::Unknown;
use crate::store::{BucketId, Key};

/// Changed keys that are always told one by one, however short the result.
const FEW_KEYS: usize = 64;

/// The field `resume` of a request.
#[derive(Debug)]
pub(in crate::engine) struct Asked {
    /// What the client has; `None`: nothing.
    has: Option<Has>,
}

#[derive(Debug)]
struct Has {
    /// `None`: what came is none.
    token: Option<(Token, CommitSeq)>,
    keys: Option<HashSet<Key>>,
}

/// What a subscribe answers about it.
#[derive(Debug)]
pub(in crate::engine) struct Resumption {
    verdict: Result<Arc<[u8]>, Option<Reason>>,
    position: Position,
}

/// The position of an answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Position {
    token: TokenText,
    commit: CommitSeq,
    /// The client is to say which keys it has when it comes back.
    keys: bool,
}

impl Position {
    /// Appends `"resume":{…}`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"resume\":{\"token\":\"");
        out.extend_from_slice(&self.token);
        out.extend_from_slice(b"\",\"commit\":");
        write_number(out, self.commit as f64);
        out.extend_from_slice(if self.keys { b",\"keys\":true}" } else { b"}" });
    }
}

impl Resumption {
    /// Whether the client keeps what it has.
    pub fn keeps(&self) -> bool {
        self.verdict.is_ok()
    }

    /// Appends the members of the answer, a comma in front of each.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.verdict {
            Ok(changes) => {
                out.extend_from_slice(b",\"resumed\":true");
                out.extend_from_slice(changes);
            }
            Err(reason) => {
                out.extend_from_slice(b",\"resumed\":false");
                if let Some(reason) = reason {
                    out.extend_from_slice(b",\"reason\":\"");
                    out.extend_from_slice(reason.as_str().as_bytes());
                    out.push(b'"');
                }
            }
        }
        out.push(b',');
        self.position.write(out);
    }
}

/// A whole number that a double holds.
fn commit_of(raw: Raw<'_>) -> Option<CommitSeq> {
    let number = raw.as_number()?;
    (number >= 0.0 && number.trunc() == number && number.is_finite()).then_some(number as CommitSeq)
}

fn invalid_keys(most: usize) -> OpError {
    OpError::validation(format!("Invalid \"resume.keys\": expected array of at most {most} keys"))
}

impl Engine {
    /// The field `resume`, if there is one and it counts.
    pub(in crate::engine) fn asked_to_resume(
        &self,
        request: &Request<'_>,
    ) -> Result<Option<Asked>, OpError> {
        let Some(most) = self.max_resume_keys() else { return Ok(None) };
        let Some(resume) = request.optional_object("resume")? else { return Ok(None) };
        let keys = match resume.get("keys").filter(|keys| !keys.is_null()) {
            None => None,
            Some(keys) if keys.kind() != Kind::Array => return Err(invalid_keys(most)),
            Some(list) => {
                let mut keys = HashSet::new();
                for (at, key) in list.elements().enumerate() {
                    self.budget.spend(1)?;
                    let key = Key::from_raw(key).filter(|_| at < most);
                    keys.insert(key.ok_or_else(|| invalid_keys(most))?);
                }
                Some(keys)
            }
        };
        let has = resume.get("token").map(|token| {
            let token = token.as_str().and_then(|text| Token::read(&text));
            let commit = resume.get("commit").and_then(commit_of);
            Has { token: token.zip(commit), keys }
        });
        Ok(Some(Asked { has }))
    }

    /// The present position of a view; `None`: its states have no names.
    pub(in crate::engine) fn position_of(
        &mut self,
        conn: ConnId,
        view: ViewId,
        mode: Mode,
    ) -> Option<Position> {
        let token = self.token_of(view, mode)?.text();
        let (commit, keys) = (self.commit_shown(view)?, self.asks_for_keys(conn, view, mode));
        Some(Position { token, commit, keys })
    }

    /// The token of a view; `None`: its states have no names.
    pub(in crate::engine) fn token_of(&self, view: ViewId, mode: Mode) -> Option<Token> {
        let question = self.views.question(view).filter(|_| self.is_numbered(view))?;
        Some(Token {
            epoch: self.log.epochs().present(),
            fingerprint: fingerprint(&question, mode),
        })
    }

    /// Whether a key could be told that the client was never shown: where not all
    /// records are shown, or may be asked for.
    fn asks_for_keys(&mut self, conn: ConnId, view: ViewId, mode: Mode) -> bool {
        // The others keep what they have, or are told everything.
        if !matches!(mode, Mode::Delta { .. }) || self.views.rows_of(view).is_none() {
            return false;
        }
        let hides = self.views.question(view).is_some_and(|it| it.read_filter.is_some());
        let Some(bucket) = self.views.bucket_of(view).map(str::to_owned) else { return false };
        let trusted = self.conns.get(conn).is_some_and(|conn| conn.trusted);
        hides || !(trusted || self.may(conn, Operation::StoreGet, &bucket))
    }

    /// What a subscribe answers to somebody who asked to resume. The view has been
    /// joined and shows the newest state.
    ///
    /// # Errors
    /// Of the budget.
    pub(in crate::engine) fn resume(
        &mut self,
        conn: ConnId,
        view: ViewId,
        mode: Mode,
        asked: &Asked,
    ) -> Result<Option<Resumption>, OpError> {
        let Some(position) = self.position_of(conn, view, mode) else { return Ok(None) };
        let verdict = match &asked.has {
            None => Err(None),
            Some(has) => self.judge(view, mode, has, position.keys)?.map_err(Some),
        };
        if asked.has.is_some() {
            self.figures.count_resume(match &verdict {
                Ok(changes) if changes.is_empty() => "unchanged",
                Ok(_) => "delta",
                Err(reason) => reason.map_or("whole", Reason::as_str),
            });
        }
        Ok(Some(Resumption { verdict, position }))
    }

    /// The steps of continuity.md 4: the members that lead from what the client
    /// has to what is there, or why it needs everything.
    fn judge(
        &mut self,
        view: ViewId,
        mode: Mode,
        has: &Has,
        needs_keys: bool,
    ) -> Result<Verdict, OpError> {
        let Some((token, commit)) = has.token else { return Ok(Err(Reason::Token)) };
        match self.log.epochs().check(token.epoch, commit, self.newest_commit()) {
            Ok(()) => {}
            Err(Unknown::Epoch) => return Ok(Err(Reason::Epoch)),
            Err(Unknown::Ahead) => return Ok(Err(Reason::Ahead)),
        }
        let now = self.token_of(view, mode).map(|token| token.fingerprint);
        if now != Some(token.fingerprint) {
            return Ok(Err(Reason::Definition));
        }
        if self.is_unchanged(view, commit) {
            return Ok(Ok(Arc::default()));
        }
        let Mode::Delta { positions } = mode else { return Ok(Err(Reason::Whole)) };
        let Some(bucket) = self.views.rows_of(view) else { return Ok(Err(Reason::Whole)) };
        let ring = self.log.ring();
        if commit < ring.from() {
            return Ok(Err(Reason::Evicted));
        }
        if ring.barrier(bucket) > commit {
            return Ok(Err(Reason::Cleared));
        }
        let came = Came { token, commit, needs_keys };
        let known = has.keys.as_ref().filter(|_| needs_keys);
        self.told_since((view, bucket), came, known, positions)
    }

    /// The changes since a commit, made once for all who came with the same.
    fn told_since(
        &mut self,
        (view, bucket): (ViewId, BucketId),
        came: Came,
        known: Option<&HashSet<Key>>,
        positions: bool,
    ) -> Result<Verdict, OpError> {
        let at = self.views.followed_to();
        self.budget.spend(1)?;
        if known.is_none()
            && let Some(verdict) = self.shared_answers.get(at, &came)
        {
            return Ok(verdict);
        }
        let verdict = match self.changed_keys(view, bucket, came.commit)? {
            None => Err(Reason::Size),
            Some(keys) => {
                let keys = keys.into_iter().filter_map(KeyText::key).collect();
                self.changes_of(view, keys, known, (came.needs_keys, positions))?.map(Arc::from)
            }
        };
        if known.is_none() {
            self.shared_answers.keep(at, came, &verdict);
        }
        Ok(verdict)
    }

    /// Whether the result is that of a commit.
    fn is_unchanged(&self, view: ViewId, commit: CommitSeq) -> bool {
        let untouched = |bucket| self.log.ring().touched(bucket) <= commit;
        self.views.is_lasting(view)
            && (self.views.changed_at(view) <= commit || self.views.reads_only(view, untouched))
    }

    /// The keys of the bucket that changed after a commit; `None`: too many.
    fn changed_keys(
        &self,
        view: ViewId,
        bucket: BucketId,
        commit: CommitSeq,
    ) -> Result<Option<HashSet<KeyText<'_>>>, OpError> {
        let most = self.max_resume_keys().unwrap_or_default();
        let mut keys = HashSet::new();
        for key in self.log.ring().changed(bucket, commit) {
            self.budget.spend(1)?;
            keys.insert(key);
            if keys.len() > most {
                return Ok(None);
            }
        }
        let is_short = keys.len() <= FEW_KEYS
            || keys.len() <= self.views.count_rows(&self.store, view, keys.len());
        self.budget.check()?;
        Ok(is_short.then_some(keys))
    }

    /// What became of each key: in the result now, or to be removed.
    fn changes_of(
        &self,
        view: ViewId,
        mut keys: Vec<Key>,
        known: Option<&HashSet<Key>>,
        (needs_keys, positions): (bool, bool),
    ) -> Result<Result<Vec<u8>, Reason>, OpError> {
        // The same text for the same question.
        keys.sort_by_cached_key(Key::text);
        let (mut standing, mut removed) = (Vec::new(), Vec::new());
        for key in keys {
            self.budget.spend(1)?;
            match self.views.standing(&self.store, view, &key) {
                Some(record) => standing.push(record),
                None if !needs_keys => removed.push(key),
                None => match known {
                    None => return Ok(Err(Reason::Whole)),
                    Some(known) if known.contains(&key) => removed.push(key),
                    Some(_) => {}
                },
            }
        }
        self.budget.check()?;
        let mut out = Vec::new();
        for (at, key) in removed.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"removed\":[" } else { b"," });
            key.write(&mut out);
        }
        if !removed.is_empty() {
            out.push(b']');
        }
        if !standing.is_empty() {
            out.push(b',');
            self.views.write_changed(view, standing, positions, &mut out);
        }
        Ok(Ok(out))
    }
}
