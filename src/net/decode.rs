//! Bytes of a client to messages: fragments, control frames in between, the
//! limits of protocol.md section 2, in the order of that section.
//!
//! Owns the message that is arriving. It must not know sockets, time or what a
//! message means; it answers nothing. A message that lies complete in the
//! caller's buffer is unmasked there and never copied; only what arrives in
//! pieces is kept.

use super::frame::{Header, Kind, Violation, is_valid_close_code, unmask};
use super::limits::FRAGMENTS;
use std::borrow::Cow;

/// What the decoder is told by the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `maxPayloadBytes`: the longest message.
    pub max_payload_bytes: u64,
    /// Binary messages are handed out instead of refused.
    pub accept_binary: bool,
}

/// One thing found in the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Nothing more can be done until more bytes arrive.
    NeedMore,
    /// Progress without anything to tell.
    Nothing,
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    /// A complete binary message where none is accepted.
    BinaryRefused,
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(Option<(u16, &'a str)>),
}

/// The state between two pieces of input. Small: most connections are idle.
#[derive(Debug, Default)]
pub struct Decoder {
    frame: Option<Partial>,
    message: Option<Box<Message>>,
    discarding: bool,
}

/// A data frame of which the payload has not arrived completely.
#[derive(Debug)]
struct Partial {
    remaining: u64,
    /// Turned so that it begins with the next byte.
    mask: [u8; 4],
    is_final: bool,
}

/// A message of which not all frames have arrived completely.
#[derive(Debug)]
struct Message {
    is_binary: bool,
    /// Empty and stays so for binary messages that will be refused.
    bytes: Vec<u8>,
    /// How much of `bytes` is known to be UTF-8.
    checked: usize,
    /// Sum of the lengths that the frame headers announced.
    announced: u64,
    fragments: u32,
}

impl Decoder {
    /// From now on only close frames matter; payloads are dropped unseen.
    pub fn discard(&mut self) {
        self.discarding = true;
        if let Some(message) = &mut self.message {
            message.bytes = Vec::new();
        }
    }

    /// Bytes kept of the message that is arriving.
    pub fn kept_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    /// Part of a message is there, and not all of it.
    pub fn is_amid_message(&self) -> bool {
        self.frame.is_some() || self.message.is_some()
    }

    /// Takes one item from the beginning of `input` and tells how many bytes
    /// were used. The caller presents the rest again, with more behind it after
    /// [`Item::NeedMore`]. After a violation the input is out of step: the
    /// decoder must not be asked again.
    pub fn next<'a>(
        &mut self,
        input: &'a mut [u8],
        rules: &Rules,
    ) -> (usize, Result<Item<'a>, Violation>) {
        match self.frame.take() {
            Some(frame) => self.payload(frame, input, rules),
            None => self.frame(input, rules),
        }
    }

    fn frame<'a>(
        &mut self,
        input: &'a mut [u8],
        rules: &Rules,
    ) -> (usize, Result<Item<'a>, Violation>) {
        let header = match Header::parse(input) {
            Ok(Some(header)) => header,
            Ok(None) => return (0, Ok(Item::NeedMore)),
            Err(violation) => return (0, Err(violation)),
        };
        if let Err(violation) = self.admit(&header, rules) {
            return (0, Err(violation));
        }
        let (_, rest) = input.split_at_mut(header.size);
        // A length beyond the address space is never complete.
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let Some(payload) = rest.get_mut(..length) else {
            if header.kind.is_control() {
                return (0, Ok(Item::NeedMore));
            }
            return (header.size, self.begin(&header, rules));
        };
        let used = header.size + length;
        let alone = header.is_final && self.message.is_none();
        if header.kind.is_control() || (alone && !self.discarding) {
            unmask(payload, header.mask);
        }
        let item = match header.kind {
            Kind::Ping => Ok(Item::Ping(payload)),
            Kind::Pong => Ok(Item::Pong(payload)),
            Kind::Close => close(payload),
            _ if alone && self.discarding => Ok(Item::Nothing),
            Kind::Text if alone => match std::str::from_utf8(payload) {
                Ok(text) => Ok(Item::Text(Cow::Borrowed(text))),
                Err(_) => Err(Violation::NotUtf8),
            },
            Kind::Binary if alone && !rules.accept_binary => Ok(Item::BinaryRefused),
            Kind::Binary if alone => Ok(Item::Binary(Cow::Borrowed(payload))),
            Kind::Text | Kind::Binary | Kind::Continuation => {
                return (header.size, self.begin(&header, rules));
            }
        };
        (used, item)
    }

    /// What a header alone decides, before any of its payload has arrived.
    fn admit(&mut self, header: &Header, rules: &Rules) -> Result<(), Violation> {
        if header.kind.is_control() {
            return Ok(());
        }
        let (announced, fragments) = match (&self.message, header.kind) {
            (Some(message), Kind::Continuation) => (message.announced, message.fragments),
            (None, Kind::Text | Kind::Binary) => (0, 0),
            _ => return Err(Violation::Protocol),
        };
        if self.discarding {
            return Ok(());
        }
        if announced.saturating_add(header.length) > rules.max_payload_bytes {
            return Err(Violation::TooLarge);
        }
        if fragments >= FRAGMENTS {
            return Err(Violation::TooManyFragments);
        }
        Ok(())
    }

    /// Begins a data frame that cannot be handed out by itself.
    fn begin<'a>(&mut self, header: &Header, rules: &Rules) -> Result<Item<'a>, Violation> {
        let message = self.message.get_or_insert_with(|| {
            let is_binary = header.kind == Kind::Binary;
            let bytes = Vec::new();
            Box::new(Message { is_binary, bytes, checked: 0, announced: 0, fragments: 0 })
        });
        message.announced = message.announced.saturating_add(header.length);
        message.fragments = message.fragments.saturating_add(1);
        let Header { length: remaining, mask, is_final, .. } = *header;
        if remaining == 0 {
            return if is_final { self.finish(rules) } else { Ok(Item::Nothing) };
        }
        self.frame = Some(Partial { remaining, mask, is_final });
        Ok(Item::Nothing)
    }

    fn payload<'a>(
        &mut self,
        mut frame: Partial,
        input: &'a mut [u8],
        rules: &Rules,
    ) -> (usize, Result<Item<'a>, Violation>) {
        let available = input.len() as u64;
        let used = available.min(frame.remaining) as usize;
        let (bytes, _) = input.split_at_mut(used);
        frame.remaining -= used as u64;
        if let Some(message) = &mut self.message
            && !self.discarding
            && (!message.is_binary || rules.accept_binary)
        {
            unmask(bytes, frame.mask);
            frame.mask.rotate_left(used % 4);
            if let Err(violation) = message.append(bytes) {
                return (used, Err(violation));
            }
        }
        let item = match (frame.remaining, frame.is_final) {
            (0, true) => self.finish(rules),
            (0, false) => Ok(Item::Nothing),
            _ => {
                self.frame = Some(frame);
                Ok(Item::NeedMore)
            }
        };
        (used, item)
    }

    /// The last byte of the last frame has arrived.
    fn finish<'a>(&mut self, rules: &Rules) -> Result<Item<'a>, Violation> {
        let Some(message) = self.message.take() else { return Ok(Item::Nothing) };
        match message.is_binary {
            _ if self.discarding => Ok(Item::Nothing),
            true if rules.accept_binary => Ok(Item::Binary(Cow::Owned(message.bytes))),
            true => Ok(Item::BinaryRefused),
            // What was checked in pieces is checked once more as a whole, and a
            // character that misses its end is found here.
            false => match String::from_utf8(message.bytes) {
                Ok(text) => Ok(Item::Text(Cow::Owned(text))),
                Err(_) => Err(Violation::NotUtf8),
            },
        }
    }
}

impl Message {
    /// Adds a piece of payload. Text is refused at the first byte that no
    /// character can have, not at the end of the message.
    fn append(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let needed = self.bytes.len().saturating_add(piece.len());
        if needed > self.bytes.capacity() {
            // Doubling, but never beyond what was announced: a header that
            // promises much reserves nothing, a message never takes twice its
            // length.
            let announced = usize::try_from(self.announced).unwrap_or(usize::MAX);
            let room = (self.bytes.capacity().saturating_mul(2)).min(announced).max(needed);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        if !self.is_binary {
            let unchecked = self.bytes.get(self.checked..).unwrap_or_default();
            match std::str::from_utf8(unchecked) {
                Ok(_) => self.checked = self.bytes.len(),
                Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
                Err(_) => return Err(Violation::NotUtf8),
            }
        }
        Ok(())
    }
}

fn close(payload: &[u8]) -> Result<Item<'_>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(Item::Close(None)) } else { Err(Violation::Protocol) };
    };
    let code = u16::from_be_bytes(*code);
    if !is_valid_close_code(code) {
        return Err(Violation::Protocol);
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Item::Close(Some((code, reason)))),
        Err(_) => Err(Violation::NotUtf8),
    }
}

#[cfg(test)]
mod tests;
