//! Handshakes of TLS, on a thread of their own: each is an operation of public
//! keys, and in the loop hundreds of them would keep everybody waiting; behind
//! passwords they would wait themselves.
//!
//! Owns the queue: how long it may be, and whose turn is next. Must not know
//! connections beyond their ids.

use super::certificates::{Look, Looked};
use super::mailbox::{Mail, Mailbox};
use super::shake::{Shaken, Step};
use super::tls::Shake;
use super::worker::yield_to_the_loop;
use crate::address::Address;
use crate::app::ConnId;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Steps that wait for the thread or are done by it.
const MOST: usize = 256;

/// Those of one client, so that nobody fills the queue alone.
const MOST_OF_CLIENT: u32 = 8;

enum Task {
    Shake(Box<Step>),
    Look(Box<Look>),
}

pub(super) struct Handshakes<A> {
    mailbox: Arc<Mailbox<A>>,
    queue: Option<Sender<Task>>,
    pub line: Line,
}

impl<A: 'static> Handshakes<A> {
    pub fn new(mailbox: Arc<Mailbox<A>>) -> Self {
        Handshakes { mailbox, queue: None, line: Line::default() }
    }

    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn submit(&mut self, step: Step) -> io::Result<()> {
        self.send(Task::Shake(Box::new(step)))
    }

    /// Has the certificate's files looked at.
    ///
    /// # Errors
    ///
    /// As [`Handshakes::submit`].
    pub fn look(&mut self, look: Look) -> io::Result<()> {
        self.send(Task::Look(Box::new(look)))
    }

    fn send(&mut self, task: Task) -> io::Result<()> {
        let queue = match &mut self.queue {
            Some(queue) => queue,
            empty => {
                let (sender, receiver) = channel();
                let mailbox = self.mailbox.clone();
                thread::Builder::new()
                    .name("tls".to_owned())
                    .spawn(move || work(&receiver, &mailbox))?;
                empty.insert(sender)
            }
        };
        queue.send(task).map_err(|_| io::Error::other("the thread for TLS has ended"))
    }
}

/// Ends when the queue's other side is dropped.
fn work<A>(tasks: &Receiver<Task>, mailbox: &Mailbox<A>) {
    yield_to_the_loop();
    for task in tasks {
        let mail = match task {
            Task::Shake(step) => Mail::Shaken(Box::new(shake(*step))),
            Task::Look(look) => Mail::Looked(Box::new(Looked::of(*look))),
        };
        if let Err(error) = mailbox.post(mail) {
            log::debug!("nobody waits for TLS any more: {error}");
        }
    }
}

fn shake(step: Step) -> Shaken {
    let Step { id, client, session, certificate, mut input } = step;
    let mut output = Vec::new();
    let made = match session {
        Some(session) => Ok(session),
        None => certificate.session(),
    };
    let (session, result) = match made {
        Ok(mut session) => {
            let result = session.shake(&mut input, &mut output);
            (Some(session), result)
        }
        Err(reason) => (None, Shake::Failed(reason)),
    };
    Shaken { id, client, session, input, output, result }
}

/// Who may hand in a step, and who waits: clients take turns.
#[derive(Debug, Default)]
pub(super) struct Line {
    busy: usize,
    clients: HashMap<Address, Client>,
    /// Clients that wait and have a place left, each once.
    turns: VecDeque<Address>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Client {
    busy: u32,
    waiting: VecDeque<ConnId>,
}

impl Line {
    /// Whether a connection may hand in its step now; otherwise it waits for
    /// [`Line::next`].
    pub fn enter(&mut self, client: Address, id: ConnId) -> bool {
        let place = self.clients.entry(client).or_default();
        if place.waiting.is_empty() && self.busy < MOST && place.busy < MOST_OF_CLIENT {
            place.busy += 1;
            self.busy += 1;
            return true;
        }
        if place.waiting.is_empty() && place.busy < MOST_OF_CLIENT {
            self.turns.push_back(client);
        }
        place.waiting.push_back(id);
        self.waiting += 1;
        false
    }

    /// A step is done.
    pub fn leave(&mut self, client: Address) {
        self.busy = self.busy.saturating_sub(1);
        let Some(place) = self.clients.get_mut(&client) else { return };
        if place.busy == MOST_OF_CLIENT && !place.waiting.is_empty() {
            self.turns.push_back(client);
        }
        place.busy = place.busy.saturating_sub(1);
        if place.busy == 0 && place.waiting.is_empty() {
            self.clients.remove(&client);
        }
    }

    /// Who hands in the next step, which it has entered with; it may be gone by
    /// now.
    pub fn next(&mut self) -> Option<(Address, ConnId)> {
        if self.busy >= MOST {
            return None;
        }
        let client = self.turns.pop_front()?;
        let place = self.clients.get_mut(&client)?;
        let id = place.waiting.pop_front()?;
        place.busy += 1;
        self.busy += 1;
        self.waiting = self.waiting.saturating_sub(1);
        if !place.waiting.is_empty() && place.busy < MOST_OF_CLIENT {
            self.turns.push_back(client);
        }
        Some((client, id))
    }

    /// Steps that are not done.
    pub fn len(&self) -> usize {
        self.busy + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> Address {
        [192, 0, 2, n].into()
    }

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn a_client_has_eight_places_and_the_others_theirs() {
        let mut line = Line::default();
        let admitted = (0..500).filter(|slot| line.enter(client(1), id(*slot))).count();
        assert_eq!(admitted, 8);
        assert!(line.enter(client(2), id(900)), "somebody else does not wait");
        assert_eq!((line.next(), line.len()), (None, 501));
        line.leave(client(2));
        assert_eq!(line.next(), None, "that place is not for the first one");
        for slot in 8..500 {
            line.leave(client(1));
            assert_eq!(line.next(), Some((client(1), id(slot))));
            assert_eq!(line.next(), None);
        }
        (0..8).for_each(|_| line.leave(client(1)));
        assert_eq!((line.len(), line.clients.len(), line.turns.len()), (0, 0, 0));
    }

    #[test]
    fn with_all_places_taken_clients_take_turns() {
        let mut line = Line::default();
        for n in 0..32 {
            assert!((0..8).all(|slot| line.enter(client(n), id(slot))));
        }
        assert!(!line.enter(client(100), id(1)) && !line.enter(client(100), id(2)));
        assert!(!line.enter(client(101), id(3)));
        assert_eq!(line.next(), None);
        let mut order = Vec::new();
        for _ in 0..3 {
            line.leave(client(0));
            order.extend(line.next().map(|(_, id)| id.slot));
        }
        assert_eq!(order, [1, 3, 2]);
        for (n, count) in [(100, 2), (101, 1), (0, 5)].into_iter().chain((1..32).map(|n| (n, 8))) {
            (0..count).for_each(|_| line.leave(client(n)));
        }
        assert_eq!((line.len(), line.clients.len(), line.turns.len()), (0, 0, 0));
    }
}
