//! Receipts: what a numbered request was, and what it was answered.
//!
//! Owns the window of numbers of one session, the fingerprint of a request and
//! the text that a receipt is stored as. Knows neither connections nor storage.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::WINDOW;
use crate::app::CommitSeq;
use crate::json::{self, Json, Raw, write_string};
use crate::protocol::{ErrorCode, OpError, Request};

/// Largest number of a request.
pub(super) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// What a receipt takes in memory beside its answer.
const RECEIPT_BYTES: u64 = 128;

/// Members that are no part of what was asked: the number of the message, the
/// number of the request, and what nothing derived from may be kept.
const NOT_HASHED: [&str; 5] = ["id", "once", "password", "currentPassword", "newPassword"];

/// The text of a stored answer may be nested this much more deeply than the
/// message that it answers.
pub(super) const MAX_DEPTH: u32 = 1024 + 64;

/// The first half of a SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub fn of_text(text: &[u8]) -> Self {
        let digest = Sha256::digest(text);
        let mut half = Self::default();
        half.0.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
        half
    }

    /// Of what a request asks for, however its members are ordered and its
    /// numbers and strings are written.
    pub fn of(request: &Request<'_>) -> Self {
        let asked = request.fields.iter().filter(|(name, _)| !NOT_HASHED.contains(name));
        // Of a member that is given twice the last one counts.
        let asked: BTreeMap<&str, Raw<'_>> = asked.collect();
        let mut text = Vec::new();
        for (name, raw) in asked {
            write_string(&mut text, name);
            write_sorted(&raw.to_json(), &mut text);
        }
        Self::of_text(&text)
    }

    fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn from_hex(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Fingerprint)
    }
}

/// A value with the members of all its objects in the order of their names.
fn write_sorted(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in members {
                write_string(out, name);
                out.push(b':');
                write_sorted(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Json::Array(elements) => {
            out.push(b'[');
            for element in elements {
                write_sorted(element, out);
                out.push(b',');
            }
            out.push(b']');
        }
        scalar => scalar.write_lossless(out),
    }
}

/// What is known of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    /// The text of `data`; empty if there was none.
    Data(Box<str>),
    /// It went well; the data were too long to be kept.
    Withheld,
    Failed(Box<OpError>),
}

impl Kept {
    /// Without what could not be read again: messages are not nested so deeply, but
    /// what procedures return may be.
    pub fn readable(self) -> Self {
        match self {
            Kept::Data(text) if is_too_deep(&text) => Kept::Withheld,
            Kept::Failed(mut error) => {
                error.details = error.details.filter(|it| !is_too_deep(&it.to_text()));
                Kept::Failed(error)
            }
            kept => kept,
        }
    }
}

/// Whether a value lies too deep once it is in an entry of a sheet.
fn is_too_deep(text: &str) -> bool {
    const MOST: u32 = MAX_DEPTH - 2;
    // Most have no such number of them at all.
    let opened = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    opened > MOST as usize && json::parse(text, MOST).is_err()
}

/// What was remembered of one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Receipt {
    pub asked: Fingerprint,
    /// Unix time.
    pub at: u64,
    /// The last commit that the request made, if that has a number.
    pub commit: Option<u64>,
    pub kept: Kept,
    /// Of the read filters that it was decided with: their buckets, and their
    /// text.
    pub buckets: Box<[Box<str>]>,
    pub filters: Fingerprint,
    /// The sheet that it is stored in; 0: in none.
    pub sheet: CommitSeq,
}

impl Receipt {
    /// What it takes, in memory as on disk.
    pub fn bytes(&self) -> u64 {
        let names: u64 = self.buckets.iter().map(|name| name.len() as u64).sum();
        RECEIPT_BYTES + self.answer_bytes() + names
    }

    /// The length of the answer.
    pub fn answer_bytes(&self) -> u64 {
        let bytes = match &self.kept {
            Kept::Data(text) => text.len(),
            Kept::Withheld => 0,
            Kept::Failed(error) => {
                let details = error.details.as_ref().map_or(0, |details| details.to_text().len());
                error.message.len() + details
            }
        };
        bytes as u64
    }

    /// Without what is too long to be kept.
    pub fn without_data(mut self) -> Self {
        match &mut self.kept {
            Kept::Data(text) if text.is_empty() => {}
            Kept::Data(_) => self.kept = Kept::Withheld,
            Kept::Withheld => {}
            Kept::Failed(error) => error.details = None,
        }
        self
    }

    /// What is stored of it in its sheet: the number `n` of the session with the
    /// number `of`.
    pub fn entry(&self, of: CommitSeq, n: u64) -> String {
        let mut text = format!(
            "{{\"of\":{of},\"n\":{n},\"asked\":\"{}\",\"at\":{}",
            self.asked.to_hex(),
            self.at,
        );
        if !self.buckets.is_empty() {
            let names = self.buckets.iter().map(|name| Json::string(&**name)).collect();
            let (names, filters) = (Json::Array(names).to_text(), self.filters.to_hex());
            // Writing to a String cannot fail.
            let _ = write!(text, ",\"buckets\":{names},\"filters\":\"{filters}\"");
        }
        if let Some(commit) = self.commit {
            let _ = write!(text, ",\"commit\":{commit}");
        }
        match &self.kept {
            Kept::Data(data) if data.is_empty() => {}
            Kept::Data(data) => {
                text.push_str(",\"data\":");
                text.push_str(data);
            }
            Kept::Withheld => text.push_str(",\"withheld\":true"),
            Kept::Failed(error) => {
                let message = Json::string(&*error.message).to_text();
                let _ = write!(text, ",\"code\":\"{}\",\"message\":{message}", error.code);
                if let Some(details) = &error.details {
                    text.push_str(",\"details\":");
                    text.push_str(&details.to_text());
                }
            }
        }
        text.push('}');
        text
    }

    /// `None`: not the text of a receipt.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(json::parse(text, MAX_DEPTH).ok()?)
    }

    /// Reads an entry of a sheet, or what was a document of its own.
    pub fn read(raw: Raw<'_>) -> Option<Self> {
        let number = |name: &str| raw.get(name).and_then(Raw::as_number).map(|n| n as u64);
        let print = |name: &str| Fingerprint::from_hex(&raw.get(name)?.as_str()?);
        let kept = match raw.get("code") {
            Some(code) => {
                let code = code.as_str()?;
                let code = ErrorCode::ALL.iter().find(|have| have.as_str() == code)?;
                let mut error = OpError::new(*code, raw.get("message")?.as_str()?.into_owned());
                error.details = raw.get("details").map(|details| Box::new(details.to_json()));
                Kept::Failed(Box::new(error))
            }
            None if raw.get("withheld").is_some() => Kept::Withheld,
            None => Kept::Data(raw.get("data").map(Raw::text).unwrap_or_default().into()),
        };
        let names = raw.get("buckets").into_iter().flat_map(Raw::elements);
        let filters = match raw.get("filters") {
            Some(_) => print("filters")?,
            // Of nothing.
            None => Fingerprint::of_text(b""),
        };
        Some(Receipt {
            asked: print("asked")?,
            at: number("at")?,
            commit: number("commit"),
            kept,
            buckets: names.filter_map(|name| Some(name.as_str()?.into())).collect(),
            filters,
            sheet: 0,
        })
    }
}

/// The numbered requests of one session.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// What receipts call the session where they are stored: the commit that
    /// stored it, so that another life of it does not take them for its own.
    pub stored: CommitSeq,
    /// Ascending; the last is the newest number. Never more than the window.
    receipts: VecDeque<(u64, Receipt)>,
}

// With the room for more that `Numbers` keeps: an eighth.
const _: () = assert!(size_of::<(u64, Receipt)>() * 9 / 8 <= RECEIPT_BYTES as usize);

/// What is known of a number.
#[derive(Debug)]
pub(crate) enum Known<'a> {
    /// It may be executed.
    New,
    Receipt(&'a Receipt),
    /// Whether it was executed is not known any more.
    TooOld,
}

impl Numbers {
    /// The highest number that has a receipt, else 0.
    pub fn newest(&self) -> u64 {
        self.receipts.back().map_or(0, |(n, _)| *n)
    }

    pub fn look_up(&self, n: u64) -> Known<'_> {
        if n.saturating_add(WINDOW) <= self.newest() {
            return Known::TooOld;
        }
        let at = self.receipts.binary_search_by_key(&n, |(n, _)| *n);
        let found = at.ok().and_then(|at| self.receipts.get(at));
        found.map_or(Known::New, |(_, receipt)| Known::Receipt(receipt))
    }

    /// Enters a receipt; returns those that are no longer asked for: what left the
    /// window, and one of the same number.
    pub fn enter(&mut self, n: u64, receipt: Receipt) -> Vec<(u64, Receipt)> {
        let mut left = Vec::new();
        let newest = self.newest().max(n);
        let is_outside = |n: u64| n.saturating_add(WINDOW) <= newest;
        while self.receipts.front().is_some_and(|(n, _)| is_outside(*n)) {
            left.extend(self.receipts.pop_front());
        }
        let place = self.receipts.binary_search_by_key(&n, |(n, _)| *n);
        match place.map(|at| self.receipts.get_mut(at)) {
            Ok(Some(before)) => left.push(std::mem::replace(before, (n, receipt))),
            _ if is_outside(n) => left.push((n, receipt)),
            Ok(None) => {}
            Err(at) => {
                self.fit();
                self.receipts.insert(at, (n, receipt));
            }
        }
        left
    }

    /// Makes room for one more, and keeps little more than is used.
    fn fit(&mut self) {
        let (len, room) = (self.receipts.len(), self.receipts.capacity());
        if len == room {
            self.receipts.reserve_exact(1 + len / 9);
        } else if len + len / 8 + 1 < room {
            self.receipts.shrink_to(len + 1);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Receipt)> {
        self.receipts.iter().map(|(n, receipt)| (*n, receipt))
    }

    pub fn bytes(&self) -> u64 {
        self.receipts.iter().map(|(_, receipt)| receipt.bytes()).sum()
    }
}

/// What became of numbered requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnceFigures {
    pub executed: u64,
    pub repeated: u64,
    /// Refused for their number.
    pub conflicts: u64,
    /// Of those that were repeated.
    pub without_data: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Incoming, parse_message};

    fn asked(text: &str) -> Fingerprint {
        match parse_message(text, 100) {
            Ok(Incoming::Request(request)) => Fingerprint::of(&request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fingerprint_is_of_what_is_asked_for() {
        let one = asked(r#"{"id":1,"type":"store.insert","once":7,"data":{"a":1,"b":"x"}}"#);
        let spelt = r#"{"once":9,"data": {"b":"\u0078","a":1.0}, "type":"store.insert","id":2}"#;
        assert_eq!(one, asked(spelt));
        let other = r#"{"id":1,"type":"store.insert","once":7,"data":{"a":1,"b":"y"}}"#;
        assert_ne!(one, asked(other));
        let nested = |list: &str| asked(&format!(r#"{{"id":1,"type":"x.y","l":{list}}}"#));
        assert_ne!(nested("[[1],2]"), nested("[[1,2]]"));
        // Nothing that is kept tells two passwords apart.
        let secret = |word: &str| {
            asked(&format!(
                r#"{{"id":1,"type":"identity.createUser","username":"u","password":"{word}"}}"#
            ))
        };
        assert_eq!(secret("a"), secret("b"));
    }

    fn receipt(kept: Kept) -> Receipt {
        Receipt {
            asked: Fingerprint::of_text(b"a"),
            at: 5,
            commit: Some(9),
            kept,
            buckets: ["b\"".into()].into(),
            filters: Fingerprint::of_text(b"f"),
            sheet: 0,
        }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let failed = |details: Option<Json>| {
            let mut error = OpError::new(ErrorCode::Conflict, "no \"way\"");
            error.details = details.map(Box::new);
            Kept::Failed(Box::new(error))
        };
        let deep = format!("{}1{}", "[".repeat(1024), "]".repeat(1024));
        for kept in [
            Kept::Data(r#"{"a":[1,"x"]}"#.into()),
            Kept::Data("".into()),
            Kept::Data(deep.into()),
            Kept::Withheld,
            failed(None),
            failed(Some(Json::from("why"))),
        ] {
            let receipt = receipt(kept);
            assert_eq!(Receipt::parse(&receipt.entry(3, 7)).as_ref(), Some(&receipt));
        }
        let filters = Fingerprint::of_text(b"");
        let plain =
            Receipt { commit: None, buckets: [].into(), filters, ..receipt(Kept::Withheld) };
        assert_eq!(Receipt::parse(&plain.entry(3, 7)), Some(plain));
        for text in ["", "{}", "[]", r#"{"asked":"00","at":1}"#, r#"{"code":"NO_SUCH_CODE"}"#] {
            assert_eq!(Receipt::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_window_is_of_the_newest_numbers() {
        let mut numbers = Numbers::default();
        let new = |numbers: &Numbers, n| matches!(numbers.look_up(n), Known::New);
        let old = |numbers: &Numbers, n| matches!(numbers.look_up(n), Known::TooOld);
        assert_eq!((numbers.newest(), new(&numbers, 1)), (0, true));
        assert_eq!(numbers.enter(100, receipt(Kept::Withheld)), []);
        let again = numbers.enter(100, receipt(Kept::Data("1".into())));
        assert_eq!(again, [(100, receipt(Kept::Withheld))], "the one before it");
        assert!(old(&numbers, 36) && new(&numbers, 37));
        assert_eq!(numbers.enter(37, receipt(Kept::Withheld)), []);
        assert!(matches!(numbers.look_up(37), Known::Receipt(_)));
        let left = numbers.enter(101, receipt(Kept::Withheld));
        assert_eq!(left.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [37]);
        assert!(old(&numbers, 37) && new(&numbers, 38));
        // A number from the end of the range ends everything before it.
        assert_eq!(numbers.enter(MAX_NUMBER, receipt(Kept::Withheld)).len(), 2);
        assert!(old(&numbers, MAX_NUMBER - 64) && new(&numbers, MAX_NUMBER - 63));
    }

    #[test]
    fn receipts_take_the_memory_that_they_count() {
        let mut numbers = Numbers::default();
        let mut n = 0;
        for step in 0..2000u64 {
            // Now and then most of the window is left behind.
            n += if step % 150 == 149 { 60 } else { 1 };
            numbers.enter(n, receipt(Kept::Withheld));
            let taken = numbers.receipts.capacity() * size_of::<(u64, Receipt)>();
            let counted = RECEIPT_BYTES as usize * numbers.receipts.len();
            assert!(taken <= counted, "{taken} for {counted}, {} receipts", numbers.receipts.len());
        }
        assert_eq!(numbers.iter().count(), 51, "those since the last leap");
    }
}
