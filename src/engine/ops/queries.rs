//! `store.subscribe` and its kin, and the administration of queries.

use super::windows::write_window;
use crate::app::ConnId;
use crate::budget::OverBudget;
use crate::engine::Engine;
use crate::engine::continuity::{Asked, Resumption};
use crate::engine::rows::rights;
use crate::engine::scopes::{Defining, Reading};
use crate::engine::subscriptions::{
    How, Mode, subscription_id, subscription_not_found, subscription_number,
};
use crate::json::{Json, Raw, write_number, write_string};
use crate::protocol::{ErrorCode, OpError, Request, bounds};
use crate::query::{AdHoc, ViewId, Want, not_a_query, unknown_members};
use crate::spelling::UnknownMember;

impl Defining<'_> {
    pub(super) fn define_query(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        let config = request.require_object("config")?.to_json();
        let if_missing = flag(request, "ifMissing")?.unwrap_or(false);
        bounds::check_name("Query", &name)?;
        let existed = self.add_query(&name, &config, if_missing)?;
        if !existed {
            self.keep("query", &name, &config);
        }
        let unknown = unknown_members(&config, WARNINGS);
        let warnings = unknown.iter().map(UnknownMember::warning).collect();
        write_defined(out, &name, "defined", existed, warnings);
        Ok(())
    }

    pub(super) fn undefine_query(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let name = request.require_string("name")?;
        self.remove_query(&name)?;
        self.forget("query", &name);
        self.forget_orphan(&name);
        out.extend_from_slice(b"{\"name\":");
        write_string(out, &name);
        out.extend_from_slice(b",\"undefined\":true}");
        Ok(())
    }
}

impl Engine {
    pub(super) fn store_subscribe(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        self.check_subscription_limits(conn)?;
        let query = request.require_string("query")?;
        let wish = self.wish(request)?;
        let number = self.ids.next_subscription();
        // A query of the program has no deltas: it is served without them.
        let has_deltas = !self.views.is_program(&query);
        let mode = wish.mode(has_deltas, || self.views.is_sorted(&query));
        let of_rows = if has_deltas { self.views.is_of_rows(&query) } else { Some(false) };
        let mode = self.windowed(request, mode, of_rows)?;
        let params = request.field("params");
        bounds::check_params(params)?;
        let asked = self.asked_to_resume(request)?;
        let want = wish.want(mode);
        let read = rights!(self, conn).read_of_query(&self.views, &query)?;
        let id = self.views.subscribe(&self.store, &query, params, read, want, &self.budget)?;
        self.answer_subscribed(conn, (id, number), (wish, mode), asked.as_ref(), out)
    }

    /// A subscription to a query without a name.
    pub(super) fn store_live(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        if !self.options.ad_hoc_queries {
            let text = "Ad hoc queries are disabled";
            return Err(OpError::new(ErrorCode::Forbidden, text));
        }
        self.check_subscription_limits(conn)?;
        let bucket = request.require_string("bucket")?;
        request.optional_object("filter")?;
        let query = AdHoc::parse(|name| request.present(name).map(Raw::to_json))?;
        let wish = self.wish(request)?;
        let number = self.ids.next_subscription();
        let mode = wish.mode(true, || query.is_sorted());
        let mode = self.windowed(request, mode, Some(query.is_of_rows()))?;
        let asked = self.asked_to_resume(request)?;
        let read = self.rights(conn).read_filter(&bucket)?;
        let id = self.views.live(&self.store, query, read, wish.want(mode), &self.budget)?;
        self.answer_subscribed(conn, (id, number), (wish, mode), asked.as_ref(), out)
    }

    /// How a subscriber wants to be served.
    fn wish(&self, request: &Request<'_>) -> Result<Wish, OpError> {
        let is_delta = match request.field("mode").map(|mode| mode.as_str()) {
            None => false,
            Some(Some(mode)) if mode == "full" => false,
            Some(Some(mode)) if mode == "delta" => true,
            Some(_) => {
                return Err(OpError::validation(
                    "Invalid \"mode\": expected \"full\" or \"delta\"",
                ));
            }
        };
        let positions = flag(request, "positions")?;
        let coalesce = flag(request, "coalesce")?.unwrap_or(self.options.coalesce_pushes);
        Ok(Wish { is_delta, positions, coalesce })
    }

    fn answer_subscribed(
        &mut self,
        conn: ConnId,
        (id, number): (ViewId, u64),
        (wish, mode): (Wish, Mode),
        asked: Option<&Asked>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let without_deltas = wish.is_delta && mode == Mode::Full;
        let written = match asked.map(|asked| self.resume(conn, id, mode, asked)).transpose() {
            Err(over) => Err(over),
            Ok(resumption) => {
                let resumption = resumption.flatten();
                let written =
                    self.write_subscribed(id, number, (mode, without_deltas), &resumption, out);
                written.map(|()| resumption.is_some())
            }
        };
        self.views.settle(id);
        let resumes = match written {
            Ok(resumes) => resumes,
            Err(over) => {
                self.views.unsubscribe(id, wish.want(mode));
                return Err(over);
            }
        };
        let how = How { mode, coalesce: wish.coalesce, resumes };
        self.add_subscription(conn, number, id, how);
        self.answer_shows(conn, id, resumes);
        Ok(())
    }

    /// The response to a subscribe, with the first result.
    fn write_subscribed(
        &mut self,
        id: ViewId,
        number: u64,
        (mode, without_deltas): (Mode, bool),
        resumption: &Option<Resumption>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let keeps = resumption.as_ref().is_some_and(Resumption::keeps);
        let Some(view) = self.views.get_mut(id) else { return Err(OpError::internal()) };
        out.extend_from_slice(b"{\"subscriptionId\":\"");
        out.extend_from_slice(subscription_id(number, &mut [0; 24]).as_bytes());
        out.push(b'"');
        if without_deltas {
            out.extend_from_slice(b",\"mode\":\"full\"");
        }
        if !keeps {
            let shown = match mode {
                Mode::Window(span) => view.rows().map(|rows| span.of(rows).len()),
                _ => view.rows(),
            };
            self.budget.note_rows(shown.unwrap_or_default());
        }
        match mode {
            Mode::Full if keeps => {}
            Mode::Full => {
                if let Some(body) = view.body(&self.store) {
                    out.extend_from_slice(b",\"data\":");
                    out.extend_from_slice(&body);
                }
            }
            Mode::Delta { .. } | Mode::Window(_) => {
                let positions = mode != Mode::Delta { positions: false };
                let shape = view.shape().unwrap_or("value");
                out.extend_from_slice(b",\"mode\":\"delta\",\"shape\":\"");
                out.extend_from_slice(shape.as_bytes());
                out.extend_from_slice(b"\",\"seq\":0");
                if shape != "value" {
                    out.extend_from_slice(b",\"positions\":");
                    out.extend_from_slice(if positions { b"true" } else { b"false" });
                }
                if shape == "rows" {
                    out.extend_from_slice(b",\"key\":");
                    write_string(out, view.key_field(&self.store));
                }
                if let Mode::Window(span) = mode {
                    out.push(b',');
                    write_window(span, view.total(), out);
                }
                if !keeps {
                    out.push(b',');
                    match mode {
                        Mode::Window(span) => view.write_window(span, out),
                        _ => view.write_first_state(&self.store, "data", out),
                    }
                }
            }
        }
        if let Some(resumption) = resumption {
            resumption.write(out);
        }
        out.push(b'}');
        self.budget.check()?;
        Ok(self.budget.reply(out.len() + 1)?)
    }

    pub(super) fn store_unsubscribe(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        let known =
            subscription_number(&id).is_some_and(|number| self.unsubscribe(conn, number, false));
        if !known {
            return Err(subscription_not_found(&id));
        }
        out.extend_from_slice(b"{\"unsubscribed\":true}");
        Ok(())
    }

    pub(super) fn store_resync(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let id = request.require_string("subscriptionId")?;
        self.follow_before_request(conn);
        let found = subscription_number(&id)
            .and_then(|number| Some((number, self.subscription(conn, number)?)));
        let (number, (view_id, mode, seq)) = found.ok_or_else(|| subscription_not_found(&id))?;
        if mode == Mode::Full {
            return Err(OpError::validation(format!("Subscription \"{id}\" is not in delta mode")));
        }
        self.views.charge(view_id, &self.budget);
        let Some(view) = self.views.get_mut(view_id) else { return Err(OpError::internal()) };
        out.extend_from_slice(b"{\"subscriptionId\":");
        write_string(out, &id);
        if let Mode::Window(span) = mode {
            out.push(b',');
            write_window(span, view.total(), out);
        }
        out.extend_from_slice(b",\"seq\":");
        write_number(out, seq as f64);
        out.push(b',');
        match mode {
            Mode::Window(span) => view.write_window(span, out),
            _ => view.write_state(&self.store, "value", out),
        }
        let resumes = self.subscription_resumes(view_id, number);
        if resumes && let Some(position) = self.position_of(conn, view_id, mode) {
            out.push(b',');
            position.write(out);
        }
        out.push(b'}');
        self.views.settle(view_id);
        self.budget.check()?;
        self.budget.reply(out.len() + 1)?;
        self.subscription_resynced(view_id, number);
        self.answer_shows(conn, view_id, resumes);
        Ok(())
    }
}

impl Reading<'_> {
    /// `store.explain` with `query`: docs/explain.md.
    pub(super) fn explain_query(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let bucket = request.require_string("bucket")?;
        let query = request.require_string("query")?;
        self.store.require(&bucket)?;
        if !self.views.is_defined(&query) {
            return Err(not_a_query(&query));
        }
        if self.views.source(&query).is_some_and(|source| source != bucket) {
            return Err(OpError::validation(format!(
                "Query \"{query}\" does not read bucket \"{bucket}\""
            )));
        }
        let hides = self.rights.read_filter(&bucket)?.is_some();
        let mut explained = self.views.explain(&query);
        if let Json::Object(members) = &mut explained
            && hides
        {
            // They count what happens to records of others.
            for name in ["commits", "changes", "reruns", "refills", "memoryBytes"] {
                members.remove(name);
            }
            members.insert("rowFilter", Json::Bool(true));
        }
        explained.write(out);
        Ok(())
    }

    pub(super) fn list_queries(&self, out: &mut Vec<u8>) -> Result<(), OverBudget> {
        out.extend_from_slice(b"{\"queries\":[");
        for (at, query) in self.views.list().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            write_string(out, query.name);
            let kind = if query.config.is_some() { "declarative" } else { "programmatic" };
            out.extend_from_slice(b",\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"activeSubscriptions\":");
            write_number(out, query.subscribers as f64);
            if let Some(config) = query.config {
                out.extend_from_slice(b",\"config\":");
                config.write(out);
            }
            out.push(b'}');
            self.budget.spend(1)?;
            self.budget.reply(out.len())?;
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}

/// Unknown members that an answer names at most.
pub(super) const WARNINGS: usize = 10;

/// `{"name": …, "…": true}`, with what else there is to say of a definition.
pub(super) fn write_defined(
    out: &mut Vec<u8>,
    name: &str,
    done: &str,
    existed: bool,
    warnings: Vec<String>,
) {
    out.extend_from_slice(b"{\"name\":");
    write_string(out, name);
    out.push(b',');
    write_string(out, done);
    out.extend_from_slice(b":true");
    if existed {
        out.extend_from_slice(b",\"existed\":true");
    }
    if !warnings.is_empty() {
        out.extend_from_slice(b",\"warnings\":");
        Json::Array(warnings.into_iter().map(Json::from).collect()).write(out);
    }
    out.push(b'}');
}

/// How a subscriber wants to be served.
#[derive(Clone, Copy, Debug)]
struct Wish {
    is_delta: bool,
    positions: Option<bool>,
    coalesce: bool,
}

impl Wish {
    fn mode(self, has_deltas: bool, is_sorted: impl FnOnce() -> bool) -> Mode {
        match self.is_delta && has_deltas {
            false => Mode::Full,
            true => Mode::Delta { positions: self.positions.unwrap_or_else(is_sorted) },
        }
    }

    fn want(self, mode: Mode) -> Want {
        match mode {
            Mode::Delta { positions } => Want::Delta { positions },
            Mode::Window(span) => Want::Window(span),
            Mode::Full if self.coalesce => Want::FullLater,
            Mode::Full => Want::Full,
        }
    }
}

/// A field that must be a boolean if it is there.
pub(super) fn flag(request: &Request<'_>, name: &str) -> Result<Option<bool>, OpError> {
    let invalid = || OpError::validation(format!("Invalid \"{name}\": expected boolean"));
    request.field(name).map(|raw: Raw<'_>| raw.as_bool().ok_or_else(invalid)).transpose()
}
