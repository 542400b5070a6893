//! One connection's TLS.
//!
//! Owns the state that the library keeps. Whoever drives it keeps what
//! [`Session::open`] has not used and presents it again with more behind it:
//! the library remembers places in it.

use super::{LONGEST_WAIT, Opened, RECORD_BYTES, Shake};
use crate::app::TlsPeer;
use data_encoding::HEXLOWER;
use rustls::ProtocolVersion;
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic,
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Room for what encryption adds to a record, and for an answer to a change of
/// keys that goes in front of it.
const OVERHEAD: usize = 1024;

pub struct Session(UnbufferedServerConnection);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub fn new(config: &Arc<ServerConfig>) -> Result<Self, String> {
        let made = UnbufferedServerConnection::new(Arc::clone(config));
        made.map(Session).map_err(|error| error.to_string())
    }

    /// What the handshake has shown of the peer.
    pub fn peer(&self) -> TlsPeer {
        let version = match self.0.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        let shown = self.0.peer_certificates().and_then(|chain| chain.first());
        let client_certificate = shown.map(|leaf| HEXLOWER.encode(&Sha256::digest(leaf)));
        TlsPeer { version, client_certificate }
    }

    /// Goes on with the handshake as far as `input` leads, and takes away what
    /// it used of it. Slow: with each step may come an operation of public keys.
    pub fn shake(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Shake {
        let mut failure = None;
        loop {
            let UnbufferedStatus { discard, state } = self.0.process_tls_records(input);
            let result = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => match encode(&mut data, output) {
                    Ok(()) => None,
                    Err(reason) => Some(Shake::Failed(reason)),
                },
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Shake::More),
                // What has come behind the handshake stays in there.
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::ReadTraffic(_)) => {
                    Some(Shake::Done)
                }
                Ok(_) => Some(Shake::Failed("the peer has closed".into())),
                // Once more, for the alert that says so to the peer.
                Err(error) => match failure.take() {
                    None => {
                        failure = Some(error.to_string());
                        None
                    }
                    Some(reason) => Some(Shake::Failed(reason)),
                },
            };
            input.drain(..discard.min(input.len()));
            match (result, &failure) {
                (Some(Shake::More), None) if input.len() > LONGEST_WAIT => {
                    return Shake::Failed("a handshake message is too long".into());
                }
                (Some(Shake::More | Shake::Done), Some(reason)) => {
                    return Shake::Failed(reason.clone());
                }
                (Some(result), _) => return result,
                (None, _) => {}
            }
        }
    }

    /// Decrypts `input` behind `plain`. `output` gets what has to be said to the
    /// peer, also when it fails; what was decrypted before that counts.
    pub fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<Opened, String> {
        let mut opened = Opened::default();
        let mut failure: Option<String> = None;
        loop {
            let rest = input.get_mut(opened.used..).unwrap_or_default();
            let length = rest.len();
            let UnbufferedStatus { discard, state } = self.0.process_tls_records(rest);
            let mut discard = discard;
            let mut is_over = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(|error| error.to_string())?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, output)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => opened.ended = true,
                Ok(_) => is_over = true,
                Err(error) => match failure.take() {
                    None => failure = Some(error.to_string()),
                    Some(reason) => return Err(reason),
                },
            }
            opened.used += discard.min(length);
            if is_over {
                return failure.map_or(Ok(opened), Err);
            }
        }
    }

    /// Encrypts at most [`RECORD_BYTES`] as one record. `input` is what
    /// [`Session::open`] has left.
    pub fn seal(
        &mut self,
        input: &mut Vec<u8>,
        plain: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        debug_assert!(plain.len() <= RECORD_BYTES);
        self.write(input, output, |traffic, room| {
            traffic.encrypt(plain, room).map_err(|error| error.to_string())
        })
    }

    /// Says to the peer that nothing more will come.
    pub fn close(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), String> {
        self.write(input, output, |traffic, room| {
            traffic.queue_close_notify(room).map_err(|error| error.to_string())
        })
    }

    fn write(
        &mut self,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
        what: impl FnOnce(&mut Traffic<'_>, &mut [u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        loop {
            // Not without what it remembers places in.
            let UnbufferedStatus { discard, state } = self.0.process_tls_records(input);
            match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, output)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let before = output.len();
                    output.resize(before + RECORD_BYTES + OVERHEAD, 0);
                    let room = output.get_mut(before..).unwrap_or_default();
                    let written = what(&mut traffic, room);
                    output.truncate(before + written.as_ref().copied().unwrap_or(0));
                    input.drain(..discard.min(input.len()));
                    return written.map(drop);
                }
                Ok(ConnectionState::PeerClosed) => {}
                Ok(other) => return Err(format!("not a time to write: {other:?}")),
                Err(error) => return Err(error.to_string()),
            }
            input.drain(..discard.min(input.len()));
        }
    }
}

type Traffic<'a> = WriteTraffic<'a, rustls::server::ServerConnectionData>;

fn encode(
    data: &mut EncodeTlsData<'_, rustls::server::ServerConnectionData>,
    output: &mut Vec<u8>,
) -> Result<(), String> {
    let before = output.len();
    let mut room = 0;
    loop {
        output.resize(before + room, 0);
        match data.encode(output.get_mut(before..).unwrap_or_default()) {
            Ok(written) => {
                output.truncate(before + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) if needed.required_size > room => {
                room = needed.required_size;
            }
            Err(error) => {
                output.truncate(before);
                return Err(error.to_string());
            }
        }
    }
}
