//! The two protocols a benchmark speaks, as seen by a client: WebSocket frames
//! around JSON texts, and the Redis protocol. Turns bytes into messages and
//! messages into bytes; knows no socket.
//!
//! Only what a load generator meets is here: server frames are not masked,
//! and the accept key of the handshake is the one of RFC 6455's own example.

use std::ops::Range;

/// The key of the example in RFC 6455, section 1.3, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Longer messages than this are taken for a framing error.
const MAX_MESSAGE: usize = 256 << 20;

/// What the bytes at the front of the input are.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The upgrade was accepted.
    Open,
    /// A whole message, at this place in the input.
    Message(Range<usize>),
    /// The last part of a message in several frames: take it with
    /// [`Wire::take_fragments`].
    Assembled,
    /// A ping frame with its payload.
    Ping(Range<usize>),
    /// Nothing for the user: a pong, or a fragment.
    Nothing,
}

/// The protocol of one connection and what it has to remember.
#[derive(Debug)]
pub enum Wire {
    WebSocket { open: bool, fragments: Vec<u8> },
    Redis,
}

impl Wire {
    pub fn web_socket() -> Wire {
        Wire::WebSocket { open: false, fragments: Vec::new() }
    }

    /// The item at the front of `input` and its length, or `None` when it is
    /// not complete yet.
    pub fn next(&mut self, input: &[u8]) -> Result<Option<(Item, usize)>, String> {
        match self {
            Wire::WebSocket { open: true, fragments } => frame(input, fragments),
            Wire::WebSocket { open, .. } => {
                let Some(end) = find(input, b"\r\n\r\n") else { return Ok(None) };
                let head = String::from_utf8_lossy(&input[..end]);
                if !head.starts_with("HTTP/1.1 101") || !head.contains(ACCEPT) {
                    let line = head.lines().next().unwrap_or_default();
                    return Err(format!("the upgrade was refused: {line}"));
                }
                *open = true;
                Ok(Some((Item::Open, end + 4)))
            }
            Wire::Redis => {
                Ok(reply_length(input)?.map(|length| (Item::Message(0..length), length)))
            }
        }
    }

    pub fn take_fragments(&mut self) -> Vec<u8> {
        match self {
            Wire::WebSocket { fragments, .. } => std::mem::take(fragments),
            Wire::Redis => Vec::new(),
        }
    }
}

/// The request for the upgrade.
pub fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Appends `payload` as one masked frame; `opcode` 1 is text, 10 is pong.
pub fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    // Not secret, but different bits in every byte, so that the server has its
    // ordinary work with it.
    const MASK: [u8; 4] = [0x5a, 0xc3, 0x96, 0x1e];
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    let wide = u64::from_ne_bytes([
        MASK[0], MASK[1], MASK[2], MASK[3], MASK[0], MASK[1], MASK[2], MASK[3],
    ]);
    let mut chunks = out[start..].chunks_exact_mut(8);
    for chunk in &mut chunks {
        let word = u64::from_ne_bytes(chunk.try_into().expect("eight bytes")) ^ wide;
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= mask;
    }
}

pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_frame(out, 1, text);
}

/// Appends a Redis command.
pub fn put_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    use std::io::Write;
    // Writing into a vector cannot fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// One frame of a server.
fn frame(input: &[u8], fragments: &mut Vec<u8>) -> Result<Option<(Item, usize)>, String> {
    let [first, second, ..] = *input else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("the server masked a frame".into());
    }
    let (head, length) = match second {
        126 => match input.get(2..4) {
            Some(bytes) => (4, u16::from_be_bytes([bytes[0], bytes[1]]) as usize),
            None => return Ok(None),
        },
        127 => match input.get(2..10) {
            Some(bytes) => {
                let length = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
                (10, usize::try_from(length).unwrap_or(usize::MAX))
            }
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    if length > MAX_MESSAGE {
        return Err(format!("the server announced a frame of {length} bytes"));
    }
    let whole = head + length;
    if input.len() < whole {
        return Ok(None);
    }
    let last = first & 0x80 != 0;
    let item = match first & 0x7f {
        1 if last => Item::Message(head..whole),
        0 | 1 => {
            fragments.extend_from_slice(&input[head..whole]);
            if last { Item::Assembled } else { Item::Nothing }
        }
        8 => return Err(closed(&input[head..whole])),
        9 => Item::Ping(head..whole),
        10 => Item::Nothing,
        other => return Err(format!("the server sent a frame with opcode and flags {other:#x}")),
    };
    Ok(Some((item, whole)))
}

fn closed(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => format!(
            "the server closed the connection: {} {:?}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(reason)
        ),
        _ => "the server closed the connection".into(),
    }
}

/// The length of the Redis reply at the front of `input`.
fn reply_length(input: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = find(input, b"\r\n") else { return Ok(None) };
    let line = end + 2;
    let number = || {
        std::str::from_utf8(&input[1..end])
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| format!("bad Redis reply: {}", String::from_utf8_lossy(&input[..end])))
    };
    match input[0] {
        b'+' | b':' => Ok(Some(line)),
        b'-' => Err(format!("Redis answered {}", String::from_utf8_lossy(&input[1..end]))),
        b'$' => match usize::try_from(number()?) {
            Ok(length) if length > MAX_MESSAGE => Err("oversized Redis reply".into()),
            Ok(length) => Ok(Some(line + length + 2).filter(|&whole| whole <= input.len())),
            Err(_) => Ok(Some(line)),
        },
        b'*' => {
            let mut whole = line;
            for _ in 0..number()?.max(0) {
                match reply_length(&input[whole..])? {
                    Some(length) => whole += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(whole))
        }
        other => Err(format!("bad Redis reply, it begins with byte {other}")),
    }
}

/// Where `needle` first occurs.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, rest) = needle.split_first()?;
    let mut from = 0;
    while let Some(place) = haystack[from..].iter().position(|&byte| byte == first) {
        let start = from + place;
        if haystack[start + 1..].starts_with(rest) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// The unsigned number directly behind the first `label`.
pub fn number_after(text: &[u8], label: &[u8]) -> Option<u64> {
    let start = find(text, label)? + label.len();
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[start..start + digits]).ok()?.parse().ok()
}

/// Checks that `message` is the result of request `id` and returns what
/// follows `"type":"result"`, which is `,"data":…}` for every server so far.
pub fn result_of(message: &[u8], id: u64) -> Result<&[u8], String> {
    const MIDDLE: &[u8] = br#","type":"result""#;
    if let Some(rest) = message.strip_prefix(br#"{"id":"#) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let found = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
        if found == Some(id) && rest[digits..].starts_with(MIDDLE) {
            return Ok(&rest[digits + MIDDLE.len()..]);
        }
    }
    // Another order of members, or not what was asked for.
    let value: serde_json::Value = serde_json::from_slice(message)
        .map_err(|error| format!("not JSON ({error}): {}", excerpt(message)))?;
    if value["type"] != "result" || value["id"].as_u64() != Some(id) {
        return Err(format!("request {id} was answered with {}", excerpt(message)));
    }
    let start = find(message, br#""data""#).map_or(message.len(), |place| place.saturating_sub(1));
    Ok(&message[start..])
}

/// The beginning of a message, for people.
pub fn excerpt(message: &[u8]) -> String {
    let cut = &message[..message.len().min(300)];
    String::from_utf8_lossy(cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server has to make of a frame of ours.
    fn unmasked(frame: &[u8], head: usize) -> Vec<u8> {
        let (mask, payload) = frame[head..].split_at(4);
        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    }

    #[test]
    fn frames_of_every_length_are_masked_whole() {
        for length in [0, 1, 7, 8, 13, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut frame = Vec::new();
            put_text(&mut frame, &payload);
            let head = match length {
                0..=125 => 2,
                126..=65_535 => 4,
                _ => 10,
            };
            assert_eq!(unmasked(&frame, head), payload, "length {length}");
        }
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut input = b"\x81\x02hi\x89\x01p\x01\x03par\x80\x02ts".to_vec();
        let mut wire = Wire::WebSocket { open: true, fragments: Vec::new() };
        let mut items = Vec::new();
        let mut seen = Vec::new();
        for byte in std::mem::take(&mut input) {
            seen.push(byte);
            while let Some((item, used)) = wire.next(&seen).expect("valid frames") {
                items.push(item);
                seen.drain(..used);
            }
        }
        assert_eq!(items, [Item::Message(2..4), Item::Ping(2..3), Item::Nothing, Item::Assembled]);
        assert_eq!(wire.take_fragments(), b"parts");
        assert!(wire.next(b"\x88\x02\x03\xe8").unwrap_err().contains("1000"));
    }

    #[test]
    fn replies_of_redis_are_measured() {
        for reply in
            ["+OK\r\n", ":12\r\n", "$-1\r\n", "$5\r\nab\r\nc\r\n", "*2\r\n:1\r\n$1\r\nx\r\n"]
        {
            let bytes = reply.as_bytes();
            assert_eq!(reply_length(bytes), Ok(Some(bytes.len())), "{reply:?}");
            for cut in 0..bytes.len() {
                assert_eq!(reply_length(&bytes[..cut]), Ok(None), "{reply:?} cut at {cut}");
            }
        }
        assert!(reply_length(b"-ERR no\r\n").is_err());
    }

    #[test]
    fn only_the_result_of_the_request_will_do() {
        let result = br#"{"id":12,"type":"result","data":{"a":1}}"#;
        assert_eq!(result_of(result, 12), Ok(&br#","data":{"a":1}}"#[..]));
        assert!(result_of(result, 1).is_err());
        assert!(result_of(br#"{"id":12,"type":"error","code":"X","message":""}"#, 12).is_err());
        let reordered = br#"{"type":"result","id":12,"data":{"a":1}}"#;
        assert_eq!(result_of(reordered, 12), Ok(&br#","data":{"a":1}}"#[..]));
    }
}
