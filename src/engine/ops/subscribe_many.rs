//! `store.subscribeMany`: many subscriptions in one request, at one commit.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::{Kind, Raw, parse_fields};
use crate::protocol::{OpError, Operation, Request, RequestId, write_error_object};

impl Engine {
    pub(super) fn store_subscribe_many(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let list = request.field("subscriptions").filter(|raw| raw.kind() == Kind::Array);
        let list = list.ok_or_else(|| {
            OpError::validation("Missing or invalid \"subscriptions\": expected array")
        })?;
        let most = self.options.max_subscriptions_per_connection;
        let entries: Vec<Raw<'_>> = list.elements().take(most.saturating_add(1)).collect();
        if entries.is_empty() || entries.len() > most {
            let text = format!("\"subscriptions\" must contain 1 to {most} entries");
            return Err(OpError::validation(text));
        }
        out.extend_from_slice(b"{\"results\":[");
        let (mut over, mut names_states) = (None, self.shows_commits(conn));
        for (at, entry) in entries.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            // Nothing is left for this one, nor for those behind it.
            let begin = out.len();
            let answered = match &over {
                Some(error) => Err(OpError::clone(error)),
                None => self.subscribe_entry(conn, request.id, entry, out),
            };
            names_states |= answered.is_ok() && self.current.named.is_some();
            let Err(mut error) = answered else { continue };
            out.truncate(begin);
            if over.is_none() && self.budget.is_over() {
                error = self.too_costly();
                over = Some(error.clone());
            }
            self.metrics.errors += 1;
            self.figures.count_error(error.code);
            out.extend_from_slice(b"{\"error\":");
            write_error_object(out, &error, self.options.expose_error_details);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        self.current.named = names_states.then(|| self.newest_commit());
        Ok(())
    }

    /// One entry, as the operation that it names: what it may, then what it says.
    fn subscribe_entry(
        &mut self,
        conn: ConnId,
        id: RequestId,
        entry: Raw<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        if entry.kind() != Kind::Object {
            return Err(OpError::validation("Expected object"));
        }
        self.budget.spend_text(entry.text().len())?;
        let fields = parse_fields(entry.text(), self.options.max_json_depth)
            .map_err(|_| OpError::internal())?;
        let operation = match fields.get("type").map(Raw::as_str) {
            None => Operation::StoreSubscribe,
            Some(name) => match name.as_deref().and_then(Operation::from_name) {
                Some(
                    operation @ (Operation::StoreSubscribe
                    | Operation::StoreLive
                    | Operation::LogicSubscribeView),
                ) => operation,
                _ => return Err(OpError::validation("Invalid \"type\"")),
            },
        };
        let request =
            Request { id, operation: operation.name().into(), known: Some(operation), fields };
        if !self.conns.get(conn).is_some_and(|conn| conn.trusted) {
            self.authorise(conn, &request)?;
        }
        self.family_available(operation.family())?;
        if !self.conns.get(conn).is_some_and(|conn| conn.trusted) {
            self.guard(conn, operation, &request)?;
        }
        match operation {
            Operation::StoreSubscribe => self.store_subscribe(conn, &request, out),
            Operation::StoreLive => self.store_live(conn, &request, out),
            Operation::LogicSubscribeView => self.subscribe_view(conn, &request, out),
            _ => Err(OpError::internal()),
        }
    }
}
