//! `session.*`: a client that comes back is the one that it was.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::client_sessions::{Digest, Opened, OptedIn, WINDOW, Wanted};
use crate::json::{Json, Object};
use crate::protocol::{OpError, Request};

/// What clients may rely on beyond `session.*` itself.
const FEATURES: [&str; 5] = ["resume", "many", "window", "once", "presence"];

impl Engine {
    pub(super) fn session_open(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Result<Json, OpError> {
        let wanted = wanted(request)?;
        let opened = self.open_client_session(conn, wanted)?;
        self.subscriptions_show_commits(conn);
        Ok(self.opened_answer(opened))
    }

    pub(super) fn session_close(&mut self, conn: ConnId) -> Json {
        let closed = self.close_client_session(conn);
        Json::Object([("closed", Json::Bool(closed))].into_iter().collect())
    }

    fn opened_answer(&self, opened: Opened) -> Json {
        let number = |value: u64| Json::Number(value as f64);
        let session = match opened.known {
            None => Json::Null,
            Some(known) => Json::from(if known { "known" } else { "new" }),
        };
        let keep_ms = self.options.continuity.as_ref().map_or(0, |limits| limits.keep_ms);
        let features = FEATURES.iter().copied().map(Json::from).collect();
        let mut answer: Object = [
            ("epoch", Json::from(&*self.epoch())),
            ("commit", number(self.newest_commit())),
            ("session", session),
            ("replaced", Json::Bool(opened.replaced)),
        ]
        .into_iter()
        .collect();
        if let Some(newest) = opened.newest {
            answer.insert("newest", number(newest));
        }
        let rest = [
            ("keepMs", number(keep_ms)),
            ("window", number(WINDOW)),
            ("heartbeatMs", number(self.options.heartbeat_interval_ms)),
            ("maxPayloadBytes", number(self.options.max_payload_bytes as u64)),
            ("features", Json::Array(features)),
        ];
        for (name, value) in rest {
            answer.insert(name, value);
        }
        Json::Object(answer)
    }
}

/// The fields of `session.open`.
fn wanted(request: &Request<'_>) -> Result<Wanted, OpError> {
    let session = match request.present("session") {
        None => None,
        Some(raw) => Some(raw.as_str().and_then(|id| Digest::of(&id)).ok_or_else(|| {
            OpError::validation(
                "Invalid \"session\": expected 22 to 64 characters of A-Z, a-z, 0-9, \"-\" and \"_\"",
            )
        })?),
    };
    let flag = |name: &str| match request.present(name) {
        None => Ok(false),
        Some(raw) => raw
            .as_bool()
            .ok_or_else(|| OpError::validation(format!("Invalid \"{name}\": expected boolean"))),
    };
    let [commits, events] = [flag("commits")?, flag("events")?];
    let [once, resume] = [flag("once")?, flag("resume")?];
    for (name, is_set) in [("once", once), ("resume", resume)] {
        if is_set && session.is_none() {
            return Err(OpError::validation(format!("\"{name}\" needs \"session\"")));
        }
    }
    Ok(Wanted { session, options: OptedIn { commits, events, once }, resume })
}
