//! Listeners and the first moments of a socket.

use super::accepting::Accepted;
use super::address::is_trusted;
use super::entry::Entry;
use super::http::{Method, Refusal};
use super::limits::{ACCEPTS_PER_TURN, SOCKETS_BEYOND_MAXIMUM};
use super::transport::Transport;
use crate::app::{App, ConnId};
use mio::event::Source as _;
use mio::{Interest, Token};
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

impl<A: App + 'static> Transport<A> {
    pub(super) fn accept(&mut self) {
        if self.accepting.paused_until.is_some_and(|until| until <= self.now.mono) {
            self.accepting.paused_until = None;
        }
        if self.accepting.paused_until.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(accepted) = self.accepting.next(self.now.mono) else { return };
            let peer = accepted.1;
            if let Err(error) = self.take_in(accepted) {
                log::debug!("{peer}: {error}");
            }
        }
    }

    fn take_in(&mut self, (mut stream, peer, listener, terms): Accepted) -> io::Result<()> {
        let most = self.options.max_connections.unwrap_or(usize::MAX);
        if self.table.len() >= most.saturating_add(SOCKETS_BEYOND_MAXIMUM) {
            let refusal = Refusal::TooManyConnections;
            self.note_refused(refusal.reason(), peer, refusal.text());
            // Whoever expects TLS would not understand it.
            return match terms.tls {
                true => Ok(()),
                false => stream.write_all(&refusal.answer(Method::Other)),
            };
        }
        stream.set_nodelay()?;
        if terms.proxy && !is_trusted(peer, &self.options.trusted_proxies) {
            self.note_refused("proxy_untrusted", peer, "no proxy that is trusted");
            return Ok(());
        }
        let vacant = self.table.vacant_entry();
        let slot = vacant.key();
        stream.register(self.poll.registry(), Token(slot), Interest::READABLE)?;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let mut entry = Entry::new(stream, generation, peer, self.now.mono);
        entry.listener = listener;
        entry.is_apart = terms.is_apart;
        entry.awaits_header = terms.proxy;
        entry.tls = terms.tls.then(Box::default);
        let deadline = self.now.mono.saturating_add(self.options.handshake_timeout_ms);
        let id = ConnId { slot: slot as u32, generation };
        entry.timer = Some(self.wheel.insert(deadline, id));
        vacant.insert(entry);
        self.counters.sockets.store(self.table.len() as u64, Relaxed);
        Ok(())
    }
}
