//! One connection as a state machine: bytes in, steps and output out.
//!
//! Owns the phases of a connection (handshake, open, closing, draining), its
//! unfinished input and its outbox. It must not know the socket, the clock, the
//! app or any other connection; whoever drives it performs the steps.
//!
//! ```text
//! Handshake --upgrade--> Open --close--> Closing --peer's close--> Draining
//!     |                   |                 |                         |
//!     |                   +---- close frame or violation of the peer->|
//!     +------------------------- HTTP answer ------------------------>+--> dropped
//!     |                                                               |
//!     +--door--> Body --> Calling -------------- answer ------------->+
//!                            +--> Streaming --- close ---------------->+
//! ```

use super::decode::{Decoder, Item, Rules};
use super::frame::Outgoing;
use super::http::door::{CONTINUE, Denied, Door, answer_head, stream_head};
use super::http::{HeadReader, Method, Refusal, Request};
use super::outbox::Outbox;
use crate::app::{CallAnswer, CommitSeq, Peer};
use std::borrow::Cow;

#[derive(Debug)]
pub struct Conn {
    phase: Phase,
    decoder: Decoder,
    /// Input that is not handled: the beginning of a head or frame, or what
    /// follows a message that everything else must wait for.
    kept: Vec<u8>,
    /// `kept` is of no use without more bytes.
    stalled: bool,
    pub outbox: Outbox,
}

#[derive(Debug)]
enum Phase {
    Handshake(HeadReader),
    /// The body of a call is arriving.
    Body(Box<Body>),
    /// The app works on a call. Nothing that arrives matters.
    Calling(Box<Answering>),
    /// It is answered by a stream, until either side ends it.
    Streaming,
    Open,
    /// Our close frame is queued; the peer's is awaited.
    Closing,
    /// Nothing that arrives matters; when the outbox is empty the sending side
    /// is closed, and with the end of the input the connection.
    Draining,
}

/// A call whose body has not arrived completely.
#[derive(Debug)]
struct Body {
    caller: Caller,
    answering: Answering,
    /// Bytes that are still to come.
    left: usize,
    bytes: Vec<u8>,
}

/// Who calls.
#[derive(Debug)]
pub struct Caller {
    pub peer: Peer,
    pub authorization: Option<Vec<u8>>,
}

/// How a call is to be answered.
#[derive(Debug)]
pub struct Answering {
    pub door: Door,
    /// Header fields about the origin, which every answer has.
    pub cors: String,
}

/// What the driver of a connection has to do next.
#[derive(Debug)]
pub enum Step<'a> {
    /// The input is used up, except for what needs more bytes.
    NeedMore,
    /// Done; go on.
    Nothing,
    /// A request head: answer with [`Conn::upgrade`] or [`Conn::answer`].
    Request(Box<Request>),
    /// The head was refused; the answer is queued.
    Refused(Refusal),
    /// The body of a call is complete: tell the app.
    Call(Caller, Vec<u8>),
    /// A call was refused; the answer is queued.
    Denied(Door, Denied),
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    /// A pong that carries a number.
    Pong(u64),
    /// The peer closed or broke the protocol; a close frame is queued. The code
    /// is what the connection was closed with.
    Ended(u16),
}

/// The code under which a connection without a close frame is counted.
pub const NO_CLOSE_FRAME: u16 = 1006;

/// The code of a close frame without a code.
pub const NO_CODE: u16 = 1005;

impl Conn {
    pub fn new() -> Self {
        Conn {
            phase: Phase::Handshake(HeadReader::default()),
            decoder: Decoder::default(),
            kept: Vec::new(),
            stalled: false,
            outbox: Outbox::default(),
        }
    }

    pub fn is_in_handshake(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_))
    }

    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub fn is_reading_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }

    /// The app works on a call.
    pub fn is_calling(&self) -> bool {
        matches!(self.phase, Phase::Calling(_))
    }

    pub fn is_streaming(&self) -> bool {
        matches!(self.phase, Phase::Streaming)
    }

    /// Something may still be asked or said.
    pub fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Closing | Phase::Draining)
    }

    /// Through which door the call came that is not answered yet.
    pub fn door(&self) -> Option<Door> {
        match &self.phase {
            Phase::Body(body) => Some(body.answering.door),
            Phase::Calling(answering) => Some(answering.door),
            _ => None,
        }
    }

    pub fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining)
    }

    /// Takes one step with the beginning of `input`; tells how much was used.
    /// What was not is presented again, after [`Step::NeedMore`] with more
    /// behind it.
    pub fn step<'a>(&mut self, input: &'a mut [u8], rules: &Rules) -> (usize, Step<'a>) {
        match &mut self.phase {
            Phase::Handshake(reader) => match reader.read(input) {
                Ok(None) => (0, Step::NeedMore),
                Ok(Some((request, used))) => (used, Step::Request(request)),
                Err(refusal) => {
                    self.refuse(refusal, Method::Other);
                    (input.len(), Step::Refused(refusal))
                }
            },
            Phase::Body(_) => self.step_body(input),
            Phase::Open => self.step_open(input, rules),
            Phase::Closing => self.step_closing(input, rules),
            Phase::Calling(_) | Phase::Streaming | Phase::Draining => (input.len(), Step::NeedMore),
        }
    }

    fn step_body<'a>(&mut self, input: &[u8]) -> (usize, Step<'a>) {
        let Phase::Body(body) = &mut self.phase else { return (0, Step::NeedMore) };
        let used = body.left.min(input.len());
        body.left -= used;
        body.bytes.extend_from_slice(input.get(..used).unwrap_or_default());
        if body.left > 0 {
            return (used, Step::NeedMore);
        }
        let Phase::Body(body) = std::mem::replace(&mut self.phase, Phase::Draining) else {
            return (used, Step::NeedMore);
        };
        let Body { caller, answering, bytes, .. } = *body;
        self.phase = Phase::Calling(Box::new(answering));
        (used, Step::Call(caller, bytes))
    }

    fn step_open<'a>(&mut self, input: &'a mut [u8], rules: &Rules) -> (usize, Step<'a>) {
        let (used, item) = self.decoder.next(input, rules);
        let step = match item {
            Ok(Item::NeedMore) => Step::NeedMore,
            Ok(Item::Nothing) => Step::Nothing,
            Ok(Item::Text(text)) => Step::Text(text),
            Ok(Item::Binary(bytes)) => Step::Binary(bytes),
            Ok(Item::Ping(payload)) => {
                self.outbox.push_frame(Outgoing::Pong, payload);
                Step::Nothing
            }
            Ok(Item::Pong(payload)) => match payload.try_into() {
                Ok(number) => Step::Pong(u64::from_be_bytes(number)),
                // Not the answer to a probe: peers may send pongs unasked.
                Err(_) => Step::Nothing,
            },
            Ok(Item::BinaryRefused) => {
                self.close(1003, "binary_not_supported");
                Step::Ended(1003)
            }
            Ok(Item::Close(None)) => {
                self.outbox.push_frame(Outgoing::Close, b"");
                self.drain();
                Step::Ended(NO_CODE)
            }
            Ok(Item::Close(Some((code, reason)))) => {
                self.close(code, reason);
                self.drain();
                Step::Ended(code)
            }
            Err(violation) => {
                // Out of step with the peer: its close frame cannot be found.
                self.close(violation.code(), "");
                self.drain();
                Step::Ended(violation.code())
            }
        };
        (used, step)
    }

    fn step_closing<'a>(&mut self, input: &'a mut [u8], rules: &Rules) -> (usize, Step<'a>) {
        let (used, item) = self.decoder.next(input, rules);
        match item {
            Ok(Item::NeedMore) => (used, Step::NeedMore),
            Ok(Item::Close(_)) | Err(_) => {
                self.drain();
                (used, Step::Nothing)
            }
            Ok(_) => (used, Step::Nothing),
        }
    }

    /// No more input will come. Called when all complete messages are handled.
    pub fn end_of_input(&mut self) -> Step<'static> {
        match self.phase {
            Phase::Handshake(_) if !self.kept.is_empty() => {
                let refusal = Refusal::Malformed("incomplete HTTP request");
                self.refuse(refusal, Method::Other);
                Step::Refused(refusal)
            }
            Phase::Body(_) => self.deny(Denied::Incomplete),
            Phase::Open | Phase::Streaming => {
                self.drain();
                Step::Ended(NO_CLOSE_FRAME)
            }
            _ => {
                self.drain();
                Step::Nothing
            }
        }
    }

    /// Completes the handshake with the bytes of a 101 answer.
    pub fn upgrade(&mut self, answer: &[u8]) {
        self.outbox.push_raw(answer);
        self.phase = Phase::Open;
    }

    /// A call has so many bytes of body, which the peer may wait to send.
    pub fn read_body(&mut self, caller: Caller, answering: Answering, length: usize, waits: bool) {
        if waits && length > 0 {
            self.outbox.push_raw(CONTINUE);
        }
        let body = Body { caller, answering, left: length, bytes: Vec::new() };
        self.phase = Phase::Body(Box::new(body));
    }

    /// A call without a body: the app is told at once.
    pub fn begin_call(&mut self, answering: Answering) {
        self.phase = Phase::Calling(Box::new(answering));
    }

    /// Refuses a call that has not been answered.
    pub fn deny(&mut self, denied: Denied) -> Step<'static> {
        let answering = match std::mem::replace(&mut self.phase, Phase::Draining) {
            Phase::Body(body) => body.answering,
            Phase::Calling(answering) => *answering,
            other => {
                self.phase = other;
                return Step::Nothing;
            }
        };
        self.answer(&denied.answer(&answering.cors, Method::Post));
        Step::Denied(answering.door, denied)
    }

    /// What the app answers to a call; through which door that came.
    pub fn answer_call(
        &mut self,
        answer: CallAnswer,
        needs: CommitSeq,
        durable: CommitSeq,
    ) -> Option<Door> {
        let Phase::Calling(answering) = &self.phase else { return None };
        let door = answering.door;
        let CallAnswer { status, fields, body } = answer;
        let head = answer_head(status, &fields, &answering.cors, body.len());
        self.outbox.push_answer(head, body, needs, durable);
        self.drain();
        Some(door)
    }

    /// The answer to a call is a stream; through which door that came.
    pub fn begin_stream(&mut self) -> Option<Door> {
        let Phase::Calling(answering) = &self.phase else { return None };
        let (door, head) = (answering.door, stream_head(&answering.cors));
        self.outbox.push_raw(&head);
        self.phase = Phase::Streaming;
        Some(door)
    }

    /// Nothing more comes in a stream.
    pub fn end_stream(&mut self) {
        debug_assert!(self.is_streaming());
        self.drain();
    }

    /// Answers the request for good.
    pub fn answer(&mut self, answer: &[u8]) {
        self.outbox.push_raw(answer);
        self.drain();
    }

    pub fn refuse(&mut self, refusal: Refusal, method: Method) {
        self.answer(&refusal.answer(method));
    }

    /// Queues a close frame behind everything else; no message is read or sent
    /// any more.
    pub fn close(&mut self, code: u16, reason: &str) {
        debug_assert!(self.is_open());
        // A control frame has 125 bytes; ours are short, a peer's reason came in one.
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
        self.outbox.push_frame(Outgoing::Close, &payload);
        self.decoder.discard();
        self.phase = Phase::Closing;
    }

    fn drain(&mut self) {
        self.phase = Phase::Draining;
        self.decoder = Decoder::default();
        self.kept = Vec::new();
    }

    /// Input is kept that can be handled without more bytes.
    pub fn has_handleable_input(&self) -> bool {
        !self.kept.is_empty() && !self.stalled
    }

    /// Keeps `rest`; `stalled` as the last step said.
    pub fn keep(&mut self, rest: &[u8], stalled: bool) {
        self.stalled = stalled;
        self.kept = if self.is_draining() { Vec::new() } else { rest.to_vec() };
    }

    /// Like [`Conn::keep`] for the end of a buffer that may be kept itself.
    pub fn keep_from(&mut self, mut input: Vec<u8>, used: usize, stalled: bool) {
        let rest = input.len().saturating_sub(used);
        if rest < input.capacity() / 2 {
            return self.keep(input.get(used..).unwrap_or_default(), stalled);
        }
        input.drain(..used);
        self.stalled = stalled;
        self.kept = input;
    }

    /// Bytes of input that wait to be completed.
    pub fn unfinished_bytes(&self) -> usize {
        let body = match &self.phase {
            Phase::Body(body) => body.bytes.len(),
            _ => 0,
        };
        self.kept.len().saturating_add(self.decoder.kept_bytes()).saturating_add(body)
    }

    /// A frame of a message has arrived in part, or a message without its end.
    pub fn is_amid_message(&self) -> bool {
        self.is_open()
            && (self.decoder.is_amid_message() || (self.stalled && !self.kept.is_empty()))
    }

    /// Hands out what is kept.
    pub fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

impl Default for Conn {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
