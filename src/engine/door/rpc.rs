//! The messages of one `POST`: what is to be handled, and what was answered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Failure, status};
use crate::app::{CallAnswer, CommitSeq};
use crate::json::{JsonError, Kind, Raw, parse};
use crate::protocol::{ErrorCode, OpError, Rejected, RequestId, id_of, parse_message_at};

/// Most messages of one call.
const MOST_MESSAGES: usize = 100;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Rpc {
    /// The message that logs in, if that is still to be done.
    login: Option<String>,
    /// A login is being answered.
    logs_in: bool,
    rest: VecDeque<Arc<str>>,
    /// The one that is being handled.
    current: Option<Arc<str>>,
    is_array: bool,
    /// How many have been answered.
    answered: u64,
    total: u64,
    answers: Vec<u8>,
    /// The last one that failed; of a login, the answer of all.
    failure: Option<Failure>,
    login_failed: bool,
    /// What the messages have spent so far, in steps.
    spent: u64,
    /// The budget is used up.
    over: Option<OpError>,
    /// The newest commit that an answer reveals.
    needs: CommitSeq,
}

fn reject(code: ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Rejected {
    Rejected { id: RequestId::Integer(0), error: OpError::new(code, message) }
}

/// The messages in a body, and whether they are in an array.
fn messages(text: &str, max_depth: u32) -> Result<(VecDeque<Arc<str>>, bool), Rejected> {
    if !text.trim_start().starts_with('[') {
        parse_message_at(text, max_depth, Some(0))?;
        return Ok((VecDeque::from([text.into()]), false));
    }
    // The array is one level more.
    let array = parse(text, max_depth.saturating_add(1)).map_err(|error| match error {
        JsonError::TooDeep { .. } => reject(
            ErrorCode::ParseError,
            format!("Message is nested too deeply (max {max_depth} levels)"),
        ),
        _ => reject(ErrorCode::ParseError, "Invalid JSON"),
    })?;
    debug_assert_eq!(array.kind(), Kind::Array);
    let elements = array.elements().take(MOST_MESSAGES + 1);
    let messages: VecDeque<Arc<str>> = elements.map(|message| message.text().into()).collect();
    if messages.is_empty() || messages.len() > MOST_MESSAGES {
        let text = format!("Expected 1 to {MOST_MESSAGES} messages");
        return Err(reject(ErrorCode::InvalidRequest, text));
    }
    Ok((messages, true))
}

impl Rpc {
    pub fn new(login: Option<String>, body: Vec<u8>, max_depth: u32) -> Result<Rpc, Rejected> {
        let text =
            String::from_utf8(body).map_err(|_| reject(ErrorCode::ParseError, "Invalid JSON"))?;
        let (rest, is_array) = messages(&text, max_depth)?;
        Ok(Rpc {
            login,
            logs_in: false,
            total: rest.len() as u64,
            rest,
            current: None,
            is_array,
            answered: 0,
            answers: Vec::new(),
            failure: None,
            login_failed: false,
            spent: 0,
            over: None,
            needs: 0,
        })
    }

    /// The next message to be handled.
    pub fn next(&mut self) -> Option<Arc<str>> {
        if self.is_answered() {
            return None;
        }
        if let Some(login) = self.login.take() {
            self.logs_in = true;
            return Some(login.into());
        }
        self.current = self.rest.pop_front();
        self.current.clone()
    }

    /// The place of the message that is being handled.
    pub fn place(&self) -> u64 {
        self.answered
    }

    /// The id of the message that is to be answered next, whether or not it was
    /// begun; it will not be.
    pub fn skip(&mut self) -> RequestId {
        self.logs_in = false;
        let place = RequestId::Integer(i64::try_from(self.answered).unwrap_or(0));
        let text = self.current.take().or_else(|| self.rest.pop_front());
        text.and_then(|text| id_of(Raw::checked(&text))).unwrap_or(place)
    }

    fn answer(&mut self, text: &[u8]) {
        match self.answered {
            0 if self.is_array => self.answers.push(b'['),
            0 => {}
            _ => self.answers.push(b','),
        }
        self.answers.extend_from_slice(text);
        self.answered += 1;
        self.current = None;
    }

    pub fn succeed(&mut self, text: &[u8], needs: CommitSeq) {
        self.needs = self.needs.max(needs);
        if std::mem::take(&mut self.logs_in) {
            return;
        }
        self.failure = None;
        self.answer(text);
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if std::mem::take(&mut self.logs_in) {
            self.login_failed = true;
        } else {
            self.answer(&failure.body);
        }
        self.failure = Some(failure);
    }

    pub fn is_answered(&self) -> bool {
        self.login_failed || self.answered >= self.total
    }

    /// Steps, and bytes of answers.
    pub fn spent(&self) -> (u64, usize) {
        match self.logs_in {
            true => (0, 0),
            false => (self.spent, self.answers.len()),
        }
    }

    pub fn note_spent(&mut self, steps: u64, over: Option<OpError>) {
        if !self.logs_in {
            self.spent = steps;
            self.over = self.over.take().or(over);
        }
    }

    pub fn over(&self) -> Option<&OpError> {
        self.over.as_ref()
    }

    /// What the call is answered, and the newest commit that it reveals.
    pub fn into_answer(self) -> (CallAnswer, CommitSeq) {
        let needs = self.needs;
        let status = match &self.failure {
            Some(failure) if self.login_failed => status::status_of_login(failure.code),
            Some(failure) if !self.is_array => status::status(failure.code),
            _ => 200,
        };
        let answer = match (status, self.failure) {
            (200, _) | (_, None) => {
                let mut body = self.answers;
                if self.is_array {
                    body.push(b']');
                }
                CallAnswer { status, fields: String::new(), body }
            }
            (status, Some(failure)) => failure.answer(status),
        };
        (answer, needs)
    }
}
