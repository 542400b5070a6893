//! A build without TLS: the same names, and nothing that could be made.

use super::{BadFile, Files, Opened, Shake};
use crate::app::TlsPeer;
use std::convert::Infallible;

/// There is none.
#[derive(Clone, Debug)]
pub struct Certificate(Infallible);

/// # Errors
///
/// Always.
pub fn load(_: &Files, _: Option<&Certificate>) -> Result<Certificate, BadFile> {
    let reason = "this noexd was built without the feature \"tls\"; use a build that has it, or \
                  a proxy in front";
    Err(BadFile { key: "tls", reason: reason.into() })
}

impl Certificate {
    pub fn not_after(&self) -> u64 {
        match self.0 {}
    }

    pub fn is_expired(&self, _: u64) -> bool {
        match self.0 {}
    }

    pub fn oddities(&self) -> Vec<&'static str> {
        match self.0 {}
    }

    pub fn expiry_warning(&self, _: u64) -> Option<String> {
        match self.0 {}
    }

    pub fn valid_until(&self) -> String {
        match self.0 {}
    }

    pub(in crate::net) fn session(&self) -> Result<Session, String> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Session(Infallible);

impl Session {
    pub fn peer(&self) -> TlsPeer {
        match self.0 {}
    }

    pub fn shake(&mut self, _: &mut Vec<u8>, _: &mut Vec<u8>) -> Shake {
        match self.0 {}
    }

    pub fn open(
        &mut self,
        _: &mut [u8],
        _: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<Opened, String> {
        match self.0 {}
    }

    pub fn seal(&mut self, _: &mut Vec<u8>, _: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
        match self.0 {}
    }

    pub fn close(&mut self, _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<(), String> {
        match self.0 {}
    }
}

#[cfg(feature = "tools")]
pub use client::Client;

#[cfg(feature = "tools")]
mod client {
    use super::super::Trust;
    use super::Infallible;
    use std::io::{self, Read, Write};

    #[derive(Debug)]
    pub struct Client(Infallible);

    impl Client {
        /// # Errors
        ///
        /// Always.
        pub fn connect(_: &str, _: &Trust, _: &mut (impl Read + Write)) -> io::Result<Self> {
            let reason = "wss:// needs a noexd with the feature \"tls\"";
            Err(io::Error::new(io::ErrorKind::Unsupported, reason))
        }

        /// # Errors
        ///
        /// None.
        pub fn open(&mut self, _: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> io::Result<bool> {
            match self.0 {}
        }

        /// # Errors
        ///
        /// None.
        pub fn seal(&mut self, _: &[u8], _: &mut Vec<u8>) -> io::Result<()> {
            match self.0 {}
        }
    }
}
