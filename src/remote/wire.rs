//! A connection that one thread reads and others write: bytes, with or without
//! TLS.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::Socket;
use crate::net::tls;

const READ_BYTES: usize = 16 * 1024;

#[derive(Debug)]
struct Shared {
    socket: Socket,
    /// Held while something is written, so that frames do not mix. Taken before
    /// `tls`, and never needed to read.
    writing: Mutex<()>,
    tls: Option<Mutex<Tls>>,
}

#[derive(Debug)]
struct Tls {
    client: tls::Client,
    /// Encrypted, in the order in which it has to leave.
    sealed: Vec<u8>,
}

impl Shared {
    fn send(&self, plain: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tls) = &self.tls else { return (&self.socket).write_all(plain) };
        let sealed = {
            let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
            let Tls { client, sealed } = &mut *tls;
            client.seal(plain, sealed)?;
            std::mem::take(sealed)
        };
        (&self.socket).write_all(&sealed)
    }
}

/// One holder's end. What is written leaves as a whole with `flush`.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    out: Vec<u8>,
    /// Decrypted, not read yet from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    is_over: bool,
}

impl Wire {
    pub fn new(socket: Socket, tls: Option<tls::Client>) -> Self {
        let tls = tls.map(|client| Mutex::new(Tls { client, sealed: Vec::new() }));
        Wire::of(Arc::new(Shared { socket, writing: Mutex::new(()), tls }))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Wire { shared, out: Vec::new(), plain: Vec::new(), taken: 0, is_over: false }
    }

    /// Another end of the same connection, for writing.
    pub fn writer(&self) -> Self {
        Wire::of(Arc::clone(&self.shared))
    }

    pub fn socket(&self) -> &Socket {
        &self.shared.socket
    }

    /// Decrypts more.
    fn decrypt(&mut self, tls: &Mutex<Tls>, input: &[u8]) -> io::Result<()> {
        let (opened, is_owed) = {
            let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
            let Tls { client, sealed } = &mut *tls;
            (client.open(input, &mut self.plain, sealed), !sealed.is_empty())
        };
        if is_owed {
            self.shared.send(&[])?;
        }
        self.is_over |= opened?;
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = Arc::clone(&self.shared);
        let Some(tls) = &shared.tls else { return (&shared.socket).read(buffer) };
        let mut input = vec![0; READ_BYTES];
        // What came with the end of the handshake is in there already.
        self.decrypt(tls, &[])?;
        while self.taken == self.plain.len() && !self.is_over {
            self.plain.clear();
            self.taken = 0;
            // Nobody is kept from writing meanwhile.
            let length = (&shared.socket).read(&mut input)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decrypt(tls, input.get(..length).unwrap_or_default())?;
        }
        let rest = self.plain.get(self.taken..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(room), Some(bytes)) = (buffer.get_mut(..length), rest.get(..length)) {
            room.copy_from_slice(bytes);
        }
        self.taken += length;
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.send(&std::mem::take(&mut self.out))
    }
}
