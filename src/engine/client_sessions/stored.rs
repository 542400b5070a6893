//! Sessions and receipts as documents of the storage.
//!
//! A session that was opened with `once` is one document, each receipt another:
//! a request writes what is new and removes what left the window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::receipts::{MAX_NUMBER, Receipt};
use super::table::Session;
use super::{Digest, SessionNo};
use crate::access::RateKey;
use crate::address::Address;
use crate::engine::Engine;
use crate::json::{self, Json, Object, Raw};
use crate::storage::{Document, Origin};

/// The kind of sessions.
const SESSION: &str = "session";
/// The kind of receipts.
pub(super) const RECEIPT: &str = "receipt";

/// The name of a session's document: of user and id.
pub(super) fn session_name(session: &Session) -> String {
    let user = match &session.user {
        Some(user) => format!("user {user}"),
        None => "nobody".into(),
    };
    let name = Sha256::new().chain_update(session.id.0).chain_update(user).finalize();
    HEXLOWER.encode(&name)
}

/// The name of the document of one of its receipts.
pub(super) fn receipt_name(session: &str, n: u64) -> String {
    format!("{session}/{n}")
}

fn body(session: &Session) -> Json {
    let whose = match (&session.user, &session.payer) {
        (Some(user), _) => ("user", Json::string(&**user)),
        (None, RateKey::Address(address)) => ("address", Json::from(address.to_string())),
        (None, _) => ("address", Json::Null),
    };
    let id = ("id", Json::from(HEXLOWER.encode(&session.id.0)));
    Json::Object([id, whose].into_iter().collect::<Object>())
}

fn parse_address(text: &str) -> Option<Address> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(ip.into()),
        Err(_) => (text == Address::Unix.to_string()).then_some(Address::Unix),
    }
}

/// Whose session a document is; `None`: it is none.
fn parse(body: &str) -> Option<(Option<Arc<str>>, Digest, RateKey)> {
    let raw = json::parse(body, json::DEFAULT_MAX_DEPTH).ok()?;
    let text = |name: &str| raw.get(name).and_then(Raw::as_str);
    let id = HEXLOWER.decode(text("id")?.as_bytes()).ok()?;
    let id = Digest(id.try_into().ok()?);
    Some(match text("user") {
        Some(user) => {
            let user: Arc<str> = (&*user).into();
            (Some(Arc::clone(&user)), id, RateKey::User(user))
        }
        None => (None, id, RateKey::address(parse_address(&text("address")?)?)),
    })
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
        let Some(session) = self.client_sessions.get(no) else { return };
        let (name, body) = (session_name(session), body(session));
        self.log_document(SESSION, &name, Origin::Wire, &body);
    }

    /// Nothing of a session is kept any more.
    pub(super) fn unstore_client_session(&mut self, session: &Session) {
        let Some(numbers) = &session.numbers else { return };
        let name = session_name(session);
        for (n, _) in numbers.iter() {
            self.log_forget(RECEIPT, &receipt_name(&name, n));
        }
        self.log_forget(SESSION, &name);
    }

    /// Takes over the sessions that were stored before this start: all are
    /// without connection, from now on.
    pub(in crate::engine) fn restore_client_sessions(&mut self) {
        if self.options.continuity.is_none() {
            // They wait for a start that knows them.
            return;
        }
        let mut known: HashMap<String, SessionNo> = HashMap::new();
        for document in self.take_documents(SESSION) {
            let Some((user, id, payer)) = parse(&document.body) else {
                self.drop_document(&document);
                continue;
            };
            let no = self.client_sessions.restore(user, id, payer, self.now.mono);
            known.insert(document.name, no);
        }
        for document in self.take_documents(RECEIPT) {
            let place = parse_receipt_name(&document.name);
            let place = place.and_then(|(name, n)| Some((*known.get(name)?, n)));
            match place.zip(Receipt::parse(&document.body)) {
                Some(((no, n), receipt)) => drop(self.client_sessions.enter(no, n, receipt)),
                None => self.drop_document(&document),
            }
        }
        self.arm_client_sessions();
    }

    fn drop_document(&mut self, document: &Document) {
        log::warn!("{} {}: not readable, forgotten", document.kind, document.name);
        self.log_forget(&document.kind, &document.name);
    }
}
