//! Calls through the HTTP door (docs/http.md): connections whose requests and
//! answers are carried by plain HTTP.
//!
//! Owns what a call asks for, in which order, and what its answers become. A
//! request of a call is handled like any other: this is only where its text comes
//! from and where its response goes. It must not know sockets or header fields of
//! requests but the one with the token.

mod live;
mod rpc;
mod status;
#[cfg(test)]
mod tests;

use live::Live;
use rpc::Rpc;

use super::Engine;
use super::client_sessions::OptedIn;
use crate::app::{Asked, Call, CallAnswer, CommitSeq, ConnId, Effect, Flow, Now};
use crate::json::write_string;
use crate::protocol::{ErrorCode, OpError, Operation, RequestId, write_error};

/// Operations that need somebody who stays.
const NEED_A_SOCKET: [&str; 9] = [
    Operation::StoreSubscribe.name(),
    Operation::StoreLive.name(),
    Operation::StoreSubscribeMany.name(),
    Operation::RulesSubscribe.name(),
    Operation::LogicSubscribeView.name(),
    Operation::ServerTrace.name(),
    Operation::AuthImpersonate.name(),
    "server.tail",
    "pong",
];

/// How a connection came in that is no WebSocket, and how far it is.
#[derive(Debug)]
pub(crate) enum Door {
    Rpc(Rpc),
    Live(Live),
}

impl Door {
    /// It has become a stream of events.
    pub fn is_stream(&self) -> bool {
        matches!(self, Door::Live(live) if live.streams)
    }
}

/// A response that failed.
#[derive(Debug)]
struct Failure {
    code: ErrorCode,
    /// When to come again, ms.
    retry_after: Option<u64>,
    body: Vec<u8>,
}

impl Failure {
    fn answer(self, status: u16) -> CallAnswer {
        CallAnswer { status, fields: status::fields(status, self.retry_after), body: self.body }
    }
}

/// The message that a call begins with if it brings a token.
fn login(authorization: Option<&[u8]>) -> Option<String> {
    let (scheme, token) = authorization?.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let mut text = b"{\"id\":0,\"type\":\"auth.login\",\"token\":".to_vec();
    write_string(&mut text, &String::from_utf8_lossy(token.trim_ascii()));
    text.push(b'}');
    String::from_utf8(text).ok()
}

/// Connections that came through the door.
#[derive(Debug, Default)]
pub(in crate::engine) struct Calls {
    /// How many are open: mostly there are none, and nothing is to be asked.
    pub open: usize,
    /// Streams that have been sent their last event.
    pub ended_streams: Vec<ConnId>,
}

impl Engine {
    /// A call has arrived.
    pub(super) fn begin_call(&mut self, id: ConnId, call: Call<'_>, now: Now) {
        self.take_time(now);
        if !self.serves_newcomers() {
            let error = OpError::new(ErrorCode::Backpressure, "The server is shutting down");
            let failure = self.failure(RequestId::Integer(0), &error);
            return self.refuse_call(id, failure.answer(503));
        }
        let login = login(call.authorization);
        let depth = self.options.max_json_depth;
        let door = match call.what {
            Asked::Messages(body) => Rpc::new(login, body, depth).map(Door::Rpc),
            Asked::Events { query, last_event_id } => {
                Live::new(login, query, last_event_id, depth).map(Door::Live)
            }
        };
        let door = match door {
            Ok(door) => Box::new(door),
            Err(rejected) => {
                let failure = self.failure(rejected.id, &rejected.error);
                return self.refuse_call(id, failure.answer(400));
            }
        };
        let most = self.options.max_subscriptions_per_connection;
        let conn = self.conns.open(id, &call.peer, now);
        match &*door {
            // Nothing here is a subscription that comes back.
            Door::Rpc(_) => conn.free_subscribes = most,
            // It takes events in their order and wants to know of which state each is.
            Door::Live(_) => {
                conn.opted_in = Some(OptedIn { commits: true, ..OptedIn::default() });
            }
        }
        (conn.door, conn.is_call) = (Some(door), true);
        self.calls.open += 1;
    }

    /// Answers a call that has become no connection.
    fn refuse_call(&mut self, conn: ConnId, answer: CallAnswer) {
        self.effects.list.push(Effect::Answer { conn, answer: Box::new(answer), needs: 0 });
    }

    fn failure(&mut self, id: RequestId, error: &OpError) -> Failure {
        let mut body = Vec::new();
        write_error(&mut body, id, error, self.options.expose_error_details, false);
        self.metrics.errors += 1;
        self.figures.count_error(error.code);
        Failure { code: error.code, retry_after: status::retry_after(error), body }
    }

    /// How far a call is; `None`: the connection is none.
    fn door(&self, id: ConnId) -> Option<&Door> {
        // Every request comes by here.
        match self.calls.open {
            0 => None,
            _ => self.conns.get(id)?.door.as_deref(),
        }
    }

    fn door_mut(&mut self, id: ConnId) -> Option<&mut Door> {
        match self.calls.open {
            0 => None,
            _ => self.conns.get_mut(id)?.door.as_deref_mut(),
        }
    }

    /// Whether a connection takes responses and nothing else as it is.
    pub(super) fn is_call(&self, id: ConnId) -> bool {
        self.door(id).is_some()
    }

    /// The next step of a call.
    pub(super) fn step_call(&mut self, id: ConnId, now: Now) -> Flow {
        self.take_time(now);
        let Some(door) = self.door_mut(id) else { return Flow::Continue };
        let next = match door {
            Door::Rpc(rpc) => rpc.next(),
            Door::Live(live) => live.next().map(Into::into),
        };
        if let Some(text) = next
            && self.handle_message(id, &text) == Flow::Wait
        {
            return Flow::Wait;
        }
        self.finish_call(id);
        Flow::Continue
    }

    /// Answers a call that has all its responses.
    fn finish_call(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match conn.door.take().map(|door| *door) {
            Some(Door::Rpc(rpc)) if rpc.is_answered() => {
                let (answer, needs) = rpc.into_answer();
                self.answer_and_forget(id, answer, needs);
            }
            Some(Door::Live(mut live)) => match live.take_refusal() {
                None => conn.door = Some(Box::new(Door::Live(live))),
                Some((failure, is_login)) => {
                    let status = match is_login {
                        true => status::status_of_login(failure.code),
                        false => status::status(failure.code),
                    };
                    self.answer_and_forget(id, failure.answer(status), 0);
                }
            },
            door => conn.door = door.map(Box::new),
        }
    }

    fn answer_and_forget(&mut self, conn: ConnId, answer: CallAnswer, needs: CommitSeq) {
        // In front of what its end may bring about.
        self.effects.list.push(Effect::Answer { conn, answer: Box::new(answer), needs });
        self.forget(conn, (1000, "answered"));
    }

    /// Ends a call from this side; false if the connection is none.
    pub(super) fn close_call(&mut self, id: ConnId, code: u16) -> bool {
        if self.streams(id) {
            self.end_stream_with(id, code);
            return true;
        }
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let error = match code {
            4002 => OpError::new(ErrorCode::SessionRevoked, "Session has been revoked"),
            1011 => OpError::internal(),
            _ => OpError::new(ErrorCode::Backpressure, "Not executed: disconnected"),
        };
        match conn.door.take().map(|door| *door) {
            None => false,
            Some(Door::Live(_)) => {
                let failure = self.failure(RequestId::Integer(0), &error);
                let status = status::status(failure.code);
                self.answer_and_forget(id, failure.answer(status), 0);
                true
            }
            Some(Door::Rpc(mut rpc)) => {
                while !rpc.is_answered() {
                    let failure = self.failure(rpc.skip(), &error);
                    rpc.fail(failure);
                }
                let (answer, needs) = rpc.into_answer();
                self.answer_and_forget(id, answer, needs);
                true
            }
        }
    }

    /// A response: where it goes depends on the connection.
    pub(super) fn send_response(
        &mut self,
        id: ConnId,
        text: &[u8],
        error: Option<&OpError>,
        needs: CommitSeq,
    ) {
        let Some(door) = self.door_mut(id) else {
            return self.send_event(id, text, None, b"", needs);
        };
        let failed = |error: &OpError| Failure {
            code: error.code,
            retry_after: status::retry_after(error),
            body: text.to_vec(),
        };
        match door {
            Door::Rpc(rpc) => match error {
                Some(error) => rpc.fail(failed(error)),
                None => rpc.succeed(text, needs),
            },
            Door::Live(live) => match error {
                Some(error) => live.fail(failed(error)),
                None if live.logged_in() => {}
                None => self.begin_stream(id, text, needs),
            },
        }
    }

    /// What the message of a call has for an id if it has none of its own.
    pub(super) fn place_in_call(&self, id: ConnId) -> Option<u64> {
        match self.door(id)? {
            Door::Rpc(rpc) => Some(rpc.place()),
            Door::Live(_) => None,
        }
    }

    /// Refuses what nobody could go on with.
    pub(super) fn check_door(&self, id: ConnId, operation: &str) -> Result<(), OpError> {
        let needs_socket =
            || NEED_A_SOCKET.contains(&operation) || operation.starts_with("session.");
        match self.door(id) {
            Some(Door::Rpc(_)) if needs_socket() => Err(OpError::new(
                ErrorCode::InvalidRequest,
                format!("\"{operation}\" needs a WebSocket"),
            )),
            _ => Ok(()),
        }
    }

    /// The budget of a message in a call: what those before it have left.
    pub(super) fn go_on_with_budget(&mut self, id: ConnId) {
        if let Some(Door::Rpc(rpc)) = self.door(id) {
            let (spent, written) = rpc.spent();
            self.budget.go_on(spent, written);
        }
    }

    /// What a message has spent of the budget of its call, and whether that is used
    /// up with it.
    pub(super) fn note_spent(&mut self, id: ConnId, error: Option<&OpError>) {
        let (spent, check) = (self.budget.spent(), self.budget.check());
        if let Some(Door::Rpc(rpc)) = self.door_mut(id) {
            let over = check.err().map(OpError::from);
            // The one that was answered may say what helps.
            let same = |over: &OpError| error.filter(|error| error.message == over.message);
            let over = over.map(|over| same(&over).cloned().unwrap_or(over));
            rpc.note_spent(spent, over);
        }
    }

    /// Why no further message of a call is handled.
    pub(super) fn call_is_over(&self, id: ConnId) -> Option<OpError> {
        match self.door(id)? {
            Door::Rpc(rpc) => rpc.over().cloned(),
            Door::Live(_) => None,
        }
    }

    /// What a message is answered that is no request.
    pub(super) fn refuse_pong(&mut self, id: ConnId, place: Option<u64>) {
        let place = place.and_then(|place| i64::try_from(place).ok()).unwrap_or(0);
        if let Err(error) = self.check_door(id, "pong") {
            self.send_error(id, RequestId::Integer(place), &error);
        }
    }
}
