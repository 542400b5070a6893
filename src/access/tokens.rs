//! Tokens that the configuration lists (`auth.tokens`).

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::Session;
use crate::config::{StaticToken, TokenKey};

/// The SHA-256 of a text.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Sessions by the digest of their token. What a presented token is compared
/// with is its digest, so the time that takes tells nothing about the tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    sessions: HashMap<[u8; 32], Session>,
}

impl Tokens {
    /// The error has one line per token that stands there a second time, be it
    /// plain and hashed: it could not be told which of the two is meant.
    pub fn new(tokens: &[StaticToken]) -> Result<Self, Vec<String>> {
        let mut sessions = HashMap::with_capacity(tokens.len());
        let mut problems = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let key = match &token.key {
                TokenKey::Plain(secret) => digest(secret.expose()),
                TokenKey::Sha256(digest) => *digest,
            };
            let mut session = Session::new(token.user_id.as_str(), token.roles.clone());
            session.metadata = token.metadata.clone().map(Into::into);
            session.expires_at = token.expires_at;
            if let Some((first, _)) = sessions.insert(key, (at, session)) {
                problems.push(format!("auth.tokens[{at}]: the same token as auth.tokens[{first}]"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let sessions = sessions.into_iter().map(|(key, (_, session))| (key, session));
        Ok(Self { sessions: sessions.collect() })
    }

    /// A fresh session for the whole, exact token.
    pub fn find(&self, token: &str) -> Option<Session> {
        self.sessions.get(&digest(token)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn token(key: TokenKey, user_id: &str) -> StaticToken {
        StaticToken {
            key,
            user_id: user_id.into(),
            roles: vec!["writer".into()],
            metadata: None,
            expires_at: Some(5.0),
        }
    }

    #[test]
    fn plain_and_hashed_keys_are_found_by_the_token_alone() {
        let hash = digest("password");
        assert_eq!(
            data_encoding::HEXLOWER.encode(&hash),
            "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
        );
        let tokens = Tokens::new(&[
            token(TokenKey::Plain(Secret::new("k3y")), "till"),
            token(TokenKey::Sha256(hash), "ops"),
        ])
        .expect("two different tokens");
        let user = |token: &str| tokens.find(token).map(|session| session.user_id.to_string());
        assert_eq!(user("k3y").as_deref(), Some("till"));
        assert_eq!(user("password").as_deref(), Some("ops"));
        for wrong in [
            "",
            "k3",
            "k3y ",
            " k3y",
            "K3Y",
            "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
            "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
        ] {
            assert_eq!(user(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_stands_there_once() {
        let tokens = Tokens::new(&[
            token(TokenKey::Plain(Secret::new("a")), "first"),
            token(TokenKey::Plain(Secret::new("b")), "other"),
            token(TokenKey::Sha256(digest("a")), "second"),
        ]);
        let problems = tokens.expect_err("one token, two entries");
        assert_eq!(problems, ["auth.tokens[2]: the same token as auth.tokens[0]"]);
    }
}
