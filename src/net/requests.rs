//! Request heads: an upgrade, a call through the HTTP door, a file, a page of the
//! app's, or a refusal. What is checked says [`super::http`]; here it meets the
//! connection, its address and the counters.

use super::address::{client_address, is_untold_proxy};
use super::entry::Entry;
use super::guard::is_loopback;
use super::http::{OPTIONS_ANSWER, Refusal, Request, Site, Verdict, answer, foreign, judge};
use super::transport::Transport;
use crate::address::Address;
use crate::app::{App, ConnId, HttpRequest, Peer};

impl<A: App + 'static> Transport<A> {
    pub(super) fn answer_request(&mut self, id: ConnId, request: &Request) {
        self.note_untold_proxy(id, request.forwarded_for.is_some());
        let slot = id.slot;
        let Some(entry) = self.table.get(slot as usize) else { return };
        let (forwarded_for, real_ip) =
            (request.forwarded_for.as_deref(), request.real_ip.as_deref());
        let trusted = &self.options.trusted_proxies;
        let address = client_address(entry.address, forwarded_for, real_ip, trusted);
        let door = self.options.doors.as_ref().filter(|_| !entry.is_apart);
        if let Some(door) = door.and_then(|doors| doors.of(request)) {
            return self.enter(id, request, door, address);
        }
        match judge(request, &self.site(entry)) {
            Verdict::Upgrade(_) if self.is_full() => {
                self.refuse_request(slot, Refusal::TooManyConnections, request, address);
            }
            Verdict::Upgrade(answer) => {
                let Some(entry) = self.table.get_mut(slot as usize) else { return };
                entry.conn.upgrade(&answer);
                entry.address = address;
                if let Some(timer) = entry.timer.take() {
                    self.wheel.cancel(timer);
                }
                let peer = self.peer(slot, request, address);
                self.connect(id, peer);
            }
            Verdict::Options => {
                self.counters.count_http("other", 204);
                self.answer_plain(slot, OPTIONS_ANSWER);
            }
            Verdict::Refuse(refusal) => {
                if !request.is_upgrade {
                    self.counters.count_http("other", refusal.status());
                }
                self.refuse_request(slot, refusal, request, address);
            }
            Verdict::Page(path) => self.answer_page(id, request, &path, address),
        }
    }

    /// Refuses a request of somebody who may have come through a proxy.
    pub(super) fn refuse_request(
        &mut self,
        slot: u32,
        refusal: Refusal,
        request: &Request,
        address: Address,
    ) {
        if let Some(entry) = self.table.get_mut(slot as usize) {
            entry.address = address;
        }
        self.refuse_because(slot, refusal, request.method, &request.refused(refusal));
    }

    /// What is known of whoever sent a request.
    pub(super) fn peer(&self, slot: u32, request: &Request, address: Address) -> Peer {
        let entry = self.table.get(slot as usize);
        let tls = entry.and_then(|entry| entry.tls.as_ref()).and_then(|tls| tls.peer());
        Peer {
            user_agent: request.user_agent.clone(),
            listener: entry.and_then(|entry| self.accepting.name(entry.listener)),
            tls: tls.map(Box::new),
            ..Peer::of(address)
        }
    }

    /// As many sockets as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.options.max_connections.is_some_and(|most| self.table.len() > most)
    }

    /// What requests of a connection are compared with.
    pub(super) fn site(&self, entry: &Entry) -> Site<'_> {
        let is_apart = entry.is_apart;
        // A listener for machines of the network has a name that we do not know.
        let is_public =
            || entry.stream.local_addr().is_some_and(|address| !is_loopback(address.ip()));
        Site {
            path: if is_apart { "" } else { &self.options.path },
            allowed_origins: self.options.allowed_origins.as_deref(),
            is_for_all: self.options.welcomes_all_origins,
            guard: self.options.guard.as_ref().filter(|_| !is_apart || !is_public()),
        }
    }

    /// A file, or a page of the app's.
    fn answer_page(&mut self, id: ConnId, request: &Request, path: &str, address: Address) {
        let Some(entry) = self.table.get(id.slot as usize) else { return };
        let foreign = foreign(request, &self.site(entry));
        if let Some((door, bytes)) = self.file(entry, request, path, foreign) {
            if let Some(refusal) = foreign.filter(|_| door == "console") {
                self.note_refused(refusal.reason(), address, &request.refused(refusal));
            }
            self.counters.count_http(door, status_of(&bytes));
            return self.answer_plain(id.slot, &bytes);
        }
        let trusted = &self.options.trusted_proxies;
        let forwards = request.forwarded_for.is_some();
        let asked = HttpRequest {
            path,
            address,
            // Whoever is not trusted may pass on anybody's request.
            is_local: address.is_local() && (!forwards || !is_untold_proxy(entry.address, trusted)),
            is_apart: entry.is_apart,
            foreign: foreign.map(Refusal::text),
            authorization: request.authorization.as_deref(),
        };
        match self.app.http(&asked, self.now) {
            None => {
                self.counters.count_http("other", 404);
                self.refuse_request(id.slot, Refusal::NotFound, request, address);
            }
            Some(page) => {
                if let Some(refusal) = foreign.filter(|foreign| foreign.status() == page.status) {
                    self.note_refused(refusal.reason(), address, &request.refused(refusal));
                }
                let bytes = answer(page.status, page.content_type, "", &page.body, request.method);
                self.answer_plain(id.slot, &bytes);
                self.perform_effects();
            }
        }
    }

    /// One of our own files, and of what it is a part.
    #[cfg_attr(not(feature = "console"), allow(unused_variables))]
    fn file(
        &self,
        entry: &Entry,
        request: &Request,
        path: &str,
        foreign: Option<Refusal>,
    ) -> Option<(&'static str, Vec<u8>)> {
        if entry.is_apart {
            return None;
        }
        #[cfg(feature = "console")]
        if let Some(console) = self.console.as_ref().filter(|console| console.is_below(path)) {
            let refused = foreign.map(|refusal| refusal.answer(request.method));
            return refused.or_else(|| console.answer(request)).map(|bytes| ("console", bytes));
        }
        self.client.as_ref()?.answer(request).map(|bytes| ("client", bytes))
    }

    pub(super) fn answer_plain(&mut self, slot: u32, bytes: &[u8]) {
        if let Some(entry) = self.table.get_mut(slot as usize) {
            entry.conn.answer(bytes);
            self.begin_drain(slot);
        }
    }

    /// Says once that somebody forwards requests whose word is not believed.
    fn note_untold_proxy(&mut self, id: ConnId, forwards: bool) {
        let Some(entry) = self.table.get(id.slot as usize) else { return };
        let peer = entry.address;
        if forwards && !self.proxy_told && is_untold_proxy(peer, &self.options.trusted_proxies) {
            self.proxy_told = true;
            log::warn!(
                "{peer} sends X-Forwarded-For and is not in trustedProxies: all its clients count \
                 as one"
            );
        }
    }
}

/// The status of an answer that is written out.
fn status_of(answer: &[u8]) -> u16 {
    let digits = answer.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3));
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}
