//! One step of a handshake, on its way to the thread and back.

use super::tls::{Certificate, Session, Shake};
use crate::address::Address;
use crate::app::ConnId;

/// One step of a handshake.
pub(super) struct Step {
    pub id: ConnId,
    pub client: Address,
    /// `None` begins one, with this certificate.
    pub session: Option<Session>,
    pub certificate: Certificate,
    pub input: Vec<u8>,
}

/// What came of it.
pub(super) struct Shaken {
    pub id: ConnId,
    pub client: Address,
    pub session: Option<Session>,
    /// What it did not use.
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub result: Shake,
}
