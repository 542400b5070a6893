//! Windows: subscriptions to a part of a result, and `store.moveWindow`.

use crate::app::ConnId;
use crate::config::Continuity;
use crate::engine::Engine;
use crate::engine::subscriptions::{Mode, subscription_not_found, subscription_number};
use crate::json::{Raw, write_number, write_string};
use crate::protocol::{OpError, Request};
use crate::query::Span;

/// The largest number that counts rows: numbers have no gaps up to here.
const MOST: f64 = 9_007_199_254_740_991.0;

/// Appends the members that say what is looked at.
pub(super) fn write_window(Span { offset, limit }: Span, total: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"window\":{\"offset\":");
    write_number(out, offset as f64);
    out.extend_from_slice(b",\"limit\":");
    write_number(out, limit as f64);
    out.extend_from_slice(b"},\"total\":");
    write_number(out, total as f64);
}

impl Engine {
    /// How a subscriber is served who may have asked for a window. `of_rows`:
    /// whether the result is rows, if that is known.
    pub(super) fn windowed(
        &self,
        request: &Request<'_>,
        mode: Mode,
        of_rows: Option<bool>,
    ) -> Result<Mode, OpError> {
        let Some(window) = request.optional_object("window")? else { return Ok(mode) };
        // That there is no such query is said when it is looked for.
        let Some(of_rows) = of_rows else { return Ok(mode) };
        if !of_rows || mode != (Mode::Delta { positions: true }) {
            let text = "\"window\" needs mode \"delta\", rows and positions";
            return Err(OpError::validation(text));
        }
        Ok(Mode::Window(self.span(|name| window.get(name))?))
    }

    fn span<'r>(&self, member: impl Fn(&str) -> Option<Raw<'r>>) -> Result<Span, OpError> {
        let whole = |name| {
            let number = member(name).and_then(Raw::as_number)?;
            (number.trunc() == number && (0.0..=MOST).contains(&number)).then_some(number as usize)
        };
        let offset = whole("offset").ok_or_else(|| {
            OpError::validation("Missing or invalid \"offset\": expected non-negative integer")
        })?;
        let most = match &self.options.continuity {
            Some(limits) => limits.max_window_rows,
            None => Continuity::default().max_window_rows,
        };
        let limit = whole("limit").filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
            OpError::validation(format!(
                "Missing or invalid \"limit\": expected integer from 1 to {most}"
            ))
        })?;
        Ok(Span { offset, limit })
    }

    pub(super) fn store_move_window(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        let to = self.span(|name| request.field(name))?;
        self.follow_before_request(conn);
        let found = subscription_number(&id)
            .and_then(|number| Some((number, self.subscription(conn, number)?)));
        let (number, (view_id, mode, seq)) = found.ok_or_else(|| subscription_not_found(&id))?;
        let Mode::Window(from) = mode else {
            return Err(OpError::validation(format!("Subscription \"{id}\" has no window")));
        };
        let Some(view) = self.views.get(view_id) else { return Err(OpError::internal()) };
        let total = view.total();
        self.budget.spend((from.of(total).len() + to.of(total).len()) as u64)?;
        out.extend_from_slice(b"{\"subscriptionId\":");
        write_string(out, &id);
        out.push(b',');
        write_window(to, total, out);
        out.extend_from_slice(b",\"seq\":");
        write_number(out, (seq + 1) as f64);
        out.push(b',');
        let owed = self.is_subscription_owed(view_id, number);
        if owed {
            // What the client has is not what it is to have of the old window.
            out.extend_from_slice(b"\"reset\":true,");
            view.write_window(to, out);
            out.push(b',');
        } else {
            let before = out.len();
            view.write_move(from, to, out);
            if out.len() > before {
                out.push(b',');
            }
        }
        let resumes = self.subscription_resumes(view_id, number);
        match self.position_of(conn, view_id, Mode::Window(to)).filter(|_| resumes) {
            Some(position) => position.write(out),
            None => drop(out.pop()),
        }
        out.push(b'}');
        self.budget.check()?;
        self.budget.reply(out.len() + 1)?;
        self.subscription_moved(view_id, number, to);
        if owed {
            self.subscription_resynced(view_id, number);
        }
        self.answer_shows(conn, view_id, resumes);
        Ok(())
    }
}
