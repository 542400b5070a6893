//! Sessions and receipts as documents of the storage.
//!
//! A session that was opened with `once` is one document. The receipts of one turn
//! are another, a sheet (`sheets.rs`): `[{"of":…,"n":…,…},…]`, where `of` is what
//! the document of the session has as `no`. Before there were sheets each receipt
//! was a document; a start makes sheets of what it finds of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::receipts::{MAX_DEPTH, MAX_NUMBER, Receipt};
use super::table::Session;
use super::{Digest, SessionNo};
use crate::access::RateKey;
use crate::address::Address;
use crate::app::CommitSeq;
use crate::engine::Engine;
use crate::json::{self, Json, Object, Raw};
use crate::storage::{Document, Origin};

/// The kind of sessions.
const SESSION: &str = "session";
/// The kind of sheets.
const RECEIPTS: &str = "receipts";
/// The kind of receipts that have a document each.
const RECEIPT: &str = "receipt";

/// The name of a session's document: of user and id.
fn session_name(session: &Session) -> String {
    let user = match &session.user {
        Some(user) => format!("user {user}"),
        None => "nobody".into(),
    };
    let name = Sha256::new().chain_update(session.id.0).chain_update(user).finalize();
    HEXLOWER.encode(&name)
}

fn body(session: &Session) -> Json {
    let whose = match (&session.user, &session.payer) {
        (Some(user), _) => ("user", Json::string(&**user)),
        (None, RateKey::Address(address)) => ("address", Json::from(address.to_string())),
        (None, _) => ("address", Json::Null),
    };
    let id = ("id", Json::from(HEXLOWER.encode(&session.id.0)));
    let no = session.numbers.as_ref().map_or(0, |numbers| numbers.stored);
    let no = ("no", Json::Number(no as f64));
    Json::Object([id, whose, no].into_iter().collect::<Object>())
}

fn parse_address(text: &str) -> Option<Address> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(ip.into()),
        Err(_) => (text == Address::Unix.to_string()).then_some(Address::Unix),
    }
}

/// What a document says of a session.
struct Stored {
    user: Option<Arc<str>>,
    id: Digest,
    payer: RateKey,
    /// `None`: from before there were sheets.
    no: Option<CommitSeq>,
}

/// `None`: it is none.
fn parse(body: &str) -> Option<Stored> {
    let raw = json::parse(body, json::DEFAULT_MAX_DEPTH).ok()?;
    let text = |name: &str| raw.get(name).and_then(Raw::as_str);
    let id = HEXLOWER.decode(text("id")?.as_bytes()).ok()?;
    let id = Digest(id.try_into().ok()?);
    let no = number(raw, "no").filter(|no| *no > 0);
    Some(match text("user") {
        Some(user) => {
            let user: Arc<str> = (&*user).into();
            Stored { user: Some(Arc::clone(&user)), id, payer: RateKey::User(user), no }
        }
        None => {
            let payer = RateKey::address(parse_address(&text("address")?)?);
            Stored { user: None, id, payer, no }
        }
    })
}

fn number(raw: Raw<'_>, name: &str) -> Option<u64> {
    raw.get(name)?.as_number().filter(|n| *n >= 0.0 && *n <= MAX_NUMBER as f64).map(|n| n as u64)
}

/// The session's name and the number in the name of a receipt.
fn parse_receipt_name(name: &str) -> Option<(&str, u64)> {
    let (session, n) = name.split_once('/')?;
    let n = n.parse().ok().filter(|n| (1..=MAX_NUMBER).contains(n))?;
    Some((session, n))
}

impl Engine {
    /// Has the storage keep a session, whose requests may be numbered now.
    pub(super) fn store_client_session(&mut self, no: SessionNo) {
        // The commit that this step is.
        self.client_sessions.stored_as(no, self.newest_commit() + 1);
        let Some(session) = self.client_sessions.get(no) else { return };
        let (name, body) = (session_name(session), body(session));
        self.log_document(SESSION, &name, Origin::Wire, &body);
    }

    /// Nothing of a session is kept any more; nor of these sheets.
    pub(super) fn unstore_client_session(&mut self, session: &Session, sheets: Vec<CommitSeq>) {
        if session.numbers.is_some() {
            self.forget_sheets(sheets);
            self.log_forget(SESSION, &session_name(session));
        }
    }

    /// Enters a receipt and has the storage keep it, in the batch of this turn.
    pub(super) fn store_receipt(&mut self, no: SessionNo, n: u64, receipt: Receipt) {
        self.client_sessions.sheets.earn(receipt.bytes());
        self.put_receipt(no, n, receipt);
        // What is worth keeping of a sheet that is mostly waste is entered again.
        while let Some(needed) = self.client_sessions.take_wasteful() {
            for (no, n, receipt) in needed {
                self.put_receipt(no, n, receipt);
            }
        }
    }

    fn put_receipt(&mut self, no: SessionNo, n: u64, mut receipt: Receipt) {
        // The request may have ended the session that it was numbered in.
        let Some(session) = self.client_sessions.get(no) else { return };
        let of = session.numbers.as_ref().map_or(0, |numbers| numbers.stored);
        receipt.sheet = self.log_entry(RECEIPTS, &receipt.entry(of, n));
        let empty = self.client_sessions.enter(no, n, receipt);
        self.forget_sheets(empty);
    }

    fn forget_sheets(&mut self, sheets: Vec<CommitSeq>) {
        for sheet in sheets {
            self.log_forget(RECEIPTS, &sheet.to_string());
        }
    }

    /// Takes over the sessions that were stored before this start: all are
    /// without connection, from now on.
    pub(in crate::engine) fn restore_client_sessions(&mut self) {
        if self.options.continuity.is_none() {
            // They wait for a start that knows them.
            return;
        }
        let (mut by_name, mut by_no) = (HashMap::new(), HashMap::new());
        for document in self.take_documents(SESSION) {
            let Some(Stored { user, id, payer, no }) = parse(&document.body) else {
                self.drop_document(&document);
                continue;
            };
            let session = self.client_sessions.restore(user, id, payer, self.now.mono);
            match no {
                Some(no) => self.client_sessions.stored_as(session, no),
                None => self.store_client_session(session),
            }
            by_no.extend(no.map(|no| (no, session)));
            by_name.insert(document.name, session);
        }
        for document in self.take_documents(RECEIPTS) {
            if self.restore_sheet(&document, &by_no).is_none() {
                self.drop_document(&document);
            }
        }
        let empty = self.client_sessions.sheets.take_empty();
        self.forget_sheets(empty);
        self.restore_single_receipts(&by_name);
        self.arm_client_sessions();
    }

    /// `None`: it is none. What belongs to a session that is no longer there is
    /// what a sheet may have.
    fn restore_sheet(
        &mut self,
        document: &Document,
        sessions: &HashMap<CommitSeq, SessionNo>,
    ) -> Option<()> {
        let sheet: CommitSeq = document.name.parse().ok().filter(|number| *number > 0)?;
        let list = json::parse(&document.body, MAX_DEPTH + 1).ok()?;
        let entries: Option<Vec<_>> = list
            .elements()
            .map(|raw| Some((number(raw, "of")?, number(raw, "n")?, Receipt::read(raw)?)))
            .collect();
        for (of, n, receipt) in entries? {
            match sessions.get(&of) {
                Some(no) => {
                    let receipt = Receipt { sheet, ..receipt };
                    self.client_sessions.restore_receipt(*no, n, receipt);
                }
                None => self.client_sessions.sheets.note(sheet, receipt.bytes()),
            }
        }
        Some(())
    }

    /// Those from before there were sheets.
    fn restore_single_receipts(&mut self, sessions: &HashMap<String, SessionNo>) {
        for document in self.take_documents(RECEIPT) {
            let place = parse_receipt_name(&document.name);
            let place = place.and_then(|(name, n)| Some((*sessions.get(name)?, n)));
            match place.zip(Receipt::parse(&document.body)) {
                Some(((no, n), receipt)) => {
                    self.store_receipt(no, n, receipt);
                    self.log_forget(RECEIPT, &document.name);
                }
                None => self.drop_document(&document),
            }
        }
    }

    fn drop_document(&mut self, document: &Document) {
        log::warn!("{} {}: not readable, forgotten", document.kind, document.name);
        self.log_forget(&document.kind, &document.name);
    }
}
