//! What messages say of the state they show, to connections that want to know.

use crate::app::{CommitSeq, ConnId};
use crate::engine::Engine;
use crate::protocol::Reply;
use crate::query::ViewId;
use crate::store::Bucket;

impl Engine {
    /// Whether the messages of a connection say which commit they show.
    pub(in crate::engine) fn shows_commits(&self, conn: ConnId) -> bool {
        let options = self.conns.get(conn).and_then(|conn| conn.opted_in);
        options.is_some_and(|options| options.commits)
    }

    /// Whether every change of what a view reads has a number.
    pub(in crate::engine) fn is_numbered(&self, view: ViewId) -> bool {
        let is_kept =
            |id| self.store.bucket(id).is_some_and(|it: &Bucket| it.definition().keeps_records());
        !self.log.is_on() || self.views.reads_only(view, is_kept)
    }

    /// The commit of the state that a view shows, if that has one.
    pub(in crate::engine) fn commit_shown(&self, view: ViewId) -> Option<CommitSeq> {
        self.is_numbered(view).then(|| self.views.shown(view, self.newest_commit()))
    }

    /// The answer that is being made shows a view; `named`: it says which state.
    pub(in crate::engine) fn answer_shows(&mut self, conn: ConnId, view: ViewId, named: bool) {
        if named || self.shows_commits(conn) {
            self.current.named = self.commit_shown(view);
        }
    }

    /// A request begins, or goes on. The newest commit before it.
    pub(in crate::engine) fn begin_answer(&mut self) -> CommitSeq {
        self.current.named = None;
        self.newest_commit()
    }

    /// What the answer says of commits: the one of the state in it, or the last one
    /// that the request made.
    pub(in crate::engine) fn end_answer(
        &mut self,
        conn: ConnId,
        before: CommitSeq,
        reply: &mut Reply,
    ) {
        let newest = self.newest_commit();
        if self.shows_commits(conn) {
            let made = (newest > before).then_some(newest);
            reply.commit = self.current.named.or(made).or(reply.commit);
        }
    }

    /// Every push of a connection up to this commit stands before the ping that is
    /// about to be queued. Nothing while it is owed one. A ping waits for nothing,
    /// so it is a commit that is durable.
    pub(in crate::engine) fn bookmark(&self, conn: ConnId) -> Option<CommitSeq> {
        let says = self.shows_commits(conn) && !self.is_owed_a_push(conn);
        says.then(|| self.durable_commit())
    }

    /// `session.sync`: everything that was committed before stands in front of this
    /// answer, unless something is owed.
    pub(in crate::engine) fn session_sync(&mut self, conn: ConnId, out: &mut Vec<u8>) {
        let (commit, complete) = (self.newest_commit(), !self.is_owed_a_push(conn));
        let text = format!("{{\"commit\":{commit},\"complete\":{complete}}}");
        out.extend_from_slice(text.as_bytes());
    }
}
