//! The name of what somebody has of a result: which run numbered its commits,
//! and what was asked. Texts only, so that any server with the same data makes the
//! same; it grants nothing.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};

use crate::engine::subscriptions::Mode;
use crate::query::{Question, Span};
use crate::storage::EpochId;

/// The meaning of results: whoever changes what a definition answers raises it.
const SEMANTICS: u8 = 1;

/// Characters of a token.
pub(in crate::engine) const TOKEN_LENGTH: usize = 43;

/// A token as it is written.
pub(in crate::engine) type TokenText = [u8; TOKEN_LENGTH];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Token {
    pub epoch: EpochId,
    pub fingerprint: [u8; 16],
}

impl Token {
    pub fn read(text: &str) -> Option<Token> {
        if text.len() != TOKEN_LENGTH {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (epoch, fingerprint) = bytes.split_first_chunk::<16>()?;
        Some(Token { epoch: EpochId(*epoch), fingerprint: fingerprint.try_into().ok()? })
    }

    pub fn text(self) -> TokenText {
        let mut bytes = [0; 32];
        let (epoch, fingerprint) = bytes.split_at_mut(16);
        epoch.copy_from_slice(&self.epoch.0);
        fingerprint.copy_from_slice(&self.fingerprint);
        let mut text = [0; TOKEN_LENGTH];
        BASE64URL_NOPAD.encode_mut(&bytes, &mut text);
        text
    }
}

/// What is different for different questions.
pub(super) fn fingerprint(question: &Question<'_>, mode: Mode) -> [u8; 16] {
    let window;
    let mode = match mode {
        Mode::Full => "full",
        Mode::Delta { positions: true } => "delta, positions",
        Mode::Delta { positions: false } => "delta",
        Mode::Window(Span { offset, limit }) => {
            window = format!("window, {offset}, {limit}");
            &window
        }
    };
    let mut digest = Sha256::new().chain_update([SEMANTICS]);
    let Question { kind, definition, params, read_filter } = question;
    for text in [kind, mode, definition, params] {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    // One that hides nothing is not one that there is not.
    digest.update([u8::from(read_filter.is_some())]);
    digest.update(read_filter.unwrap_or_default());
    let digest = digest.finalize();
    let mut short = [0; 16];
    short.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        let token = Token { epoch: EpochId([0xfb; 16]), fingerprint: *b"0123456789abcdef" };
        let text = token.text();
        let text = std::str::from_utf8(&text).expect("letters");
        assert_eq!(Token::read(text), Some(token));
        assert!(text.len() <= 64 && !text.contains(['=', '+', '/']));
        for wrong in ["", "x", &text[1..], &format!("{text}A"), &"=".repeat(43), &"é".repeat(22)] {
            assert_eq!(Token::read(wrong), None, "{wrong}");
        }
        // The last character has four bits only.
        assert_eq!(Token::read(&format!("{}_", &text[..42])), None);
    }

    #[test]
    fn whatever_is_asked_otherwise_has_another_fingerprint() {
        let question = |kind, definition: &str, params, read_filter| Question {
            kind,
            definition: definition.into(),
            params,
            read_filter,
        };
        let positions = Mode::Delta { positions: true };
        let window = |offset, limit| Mode::Window(Span { offset, limit });
        let all = [
            fingerprint(&question("a", "b", "c", None), Mode::Full),
            fingerprint(&question("a", "b", "c", None), positions),
            fingerprint(&question("a", "b", "c", None), Mode::Delta { positions: false }),
            fingerprint(&question("a", "b", "c", Some("")), positions),
            fingerprint(&question("a", "b", "c", Some("d")), positions),
            fingerprint(&question("ab", "", "c", None), positions),
            fingerprint(&question("a", "b", "c", None), window(1, 2)),
            fingerprint(&question("a", "b", "c", None), window(2, 1)),
            fingerprint(&question("a", "b", "c", None), window(0, 2)),
            fingerprint(&question("a", "bc", "", None), positions),
            fingerprint(&question("x", "b", "c", None), positions),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
    }
}
