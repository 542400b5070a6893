//! A terminal of one's own: keys as they are pressed, a screen that is drawn
//! anew, and everything as it was at the end.

use std::io::{self, Stdin};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::remote::screen;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Escape,
    Char(char),
    /// Nobody is there any more.
    Gone,
}

/// See the module. Dropping it puts things back.
pub(super) struct Terminal {
    stdin: Stdin,
    before: Termios,
}

impl Terminal {
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        let terminal = Terminal { stdin, before };
        screen::write(ENTER)?;
        Ok(terminal)
    }

    /// The next key, if one comes in time. Sequences that are no key here count
    /// as none.
    pub fn key(&mut self, most: Duration) -> io::Result<Option<Key>> {
        let mut polled = [PollFd::new(&self.stdin, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        };
        match poll(&mut polled, Some(&patience)) {
            Ok(0) => Ok(None),
            Ok(_) => {
                let mut bytes = [0; 16];
                // A key's bytes come together.
                let length = rustix::io::read(&self.stdin, &mut bytes)?;
                Ok(decode(bytes.get(..length).unwrap_or_default()))
            }
            // A window that changes its size.
            Err(rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Draws lines that fit.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        screen::write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to put back.
        let _ = screen::write(LEAVE);
        let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
    }
}

fn decode(bytes: &[u8]) -> Option<Key> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    match bytes {
        [] => Some(Key::Gone),
        [0x1b] => Some(Key::Escape),
        [0x1b, b'[' | b'O', b'A', ..] | [b'k', ..] => Some(Key::Up),
        [0x1b, b'[' | b'O', b'B', ..] | [b'j', ..] => Some(Key::Down),
        [0x1b, ..] => None,
        [CTRL_C | CTRL_D, ..] => Some(Key::Char('q')),
        [byte, ..] if byte.is_ascii_graphic() => Some(Key::Char(char::from(*byte))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (bytes, key) in [
            (&b""[..], Some(Key::Gone)),
            (b"q", Some(Key::Char('q'))),
            (b"\x03", Some(Key::Char('q'))),
            (b"\x1b", Some(Key::Escape)),
            (b"\x1b[A", Some(Key::Up)),
            (b"\x1bOB", Some(Key::Down)),
            (b"\x1b[5~", None),
            ("é".as_bytes(), None),
        ] {
            assert_eq!(decode(bytes), key, "{bytes:?}");
        }
    }
}
