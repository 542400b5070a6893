//! What built-in mode keeps besides the system buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use subtle::ConstantTimeEq;

use super::directory::Directory;
use super::password;
use crate::access::{LoginLimiter, ReadFile, digest, too_many_attempts};
use crate::config::BuiltIn;
use crate::protocol::OpError;

/// Password jobs that may be queued or running at once. A job takes tens of
/// milliseconds; more would only make everybody wait for seconds.
const MAX_HASHING: usize = 64;

/// Bytes of a session token: it cannot be guessed.
pub const TOKEN_BYTES: usize = 32;

/// Settings, lookups and counters of built-in mode.
#[derive(Debug)]
pub struct Identity {
    pub settings: BuiltIn,
    pub directory: Directory,
    /// Failed logins per user and per address.
    pub logins: LoginLimiter,
    secret: [u8; 32],
    /// Verified against where there is no user.
    pub dummy: Arc<str>,
    hashing: Arc<AtomicUsize>,
}

/// A place in the queue of password jobs, free again when it is dropped.
#[derive(Debug)]
pub struct HashSlot(Arc<AtomicUsize>);

impl Drop for HashSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Identity {
    pub fn new(settings: BuiltIn) -> Self {
        Self {
            directory: Directory::default(),
            logins: LoginLimiter::new(settings.login_rate_limit.clone()),
            secret: digest(settings.admin_secret.expose()),
            dummy: password::dummy().into(),
            hashing: Arc::default(),
            settings,
        }
    }

    /// Compares digests, so the time tells nothing about the secret.
    pub fn is_secret(&self, presented: &str) -> bool {
        self.secret.ct_eq(&digest(presented)).into()
    }

    /// Reads the file with the secret again, if it came from one. On an error
    /// the old one stays.
    pub fn reload(&mut self, read: ReadFile<'_>) -> Result<(), String> {
        let Some(path) = &self.settings.admin_secret_file else { return Ok(()) };
        let problem =
            |reason: String| format!("auth.adminSecretFile: {}: {reason}", path.display());
        let bytes = read(path).map_err(|error| problem(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| problem("expected UTF-8".into()))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(problem("the file is empty".into()));
        }
        self.secret = digest(text);
        Ok(())
    }

    /// A place in the queue of password jobs.
    pub fn hash_slot(&self) -> Result<HashSlot, OpError> {
        let slot = HashSlot(Arc::clone(&self.hashing));
        if self.hashing.fetch_add(1, Ordering::AcqRel) >= MAX_HASHING {
            return Err(too_many_attempts(
                "Too many login attempts in progress. Try again later.",
                1000,
            ));
        }
        Ok(slot)
    }
}

/// The text of a session token.
pub fn token_text(bytes: &[u8; TOKEN_BYTES]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// The key of a token's session record: what is stored is of no use to a thief.
pub fn token_id(token: &str) -> String {
    HEXLOWER.encode(&digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_password_jobs_is_bounded() {
        let identity = Identity::new(BuiltIn::new("a secret of the admin"));
        let slots: Vec<_> = (0..MAX_HASHING).map(|_| identity.hash_slot().expect("free")).collect();
        let refused = identity.hash_slot().expect_err("full");
        assert_eq!(
            refused.details.map(|json| json.to_text()).as_deref(),
            Some("{\"retryAfterMs\":1000}")
        );
        drop(slots);
        assert!(identity.hash_slot().is_ok());
    }

    #[test]
    fn the_secret_is_compared_as_a_whole() {
        let mut identity = Identity::new(BuiltIn::new("s3cret"));
        assert!(identity.is_secret("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret", &"s3cret".repeat(1000)] {
            assert!(!identity.is_secret(wrong));
        }
        identity.settings.admin_secret_file = Some("secret".into());
        let file = |text: &'static str| move |_: &std::path::Path| Ok(text.as_bytes().to_vec());
        assert!(identity.reload(&file("\r\n")).is_err());
        assert!(identity.is_secret("s3cret"));
        identity.reload(&file("other\n")).expect("a secret");
        assert!(identity.is_secret("other") && !identity.is_secret("s3cret"));
    }

    #[test]
    fn tokens_are_43_characters_and_are_stored_as_digests() {
        let token = token_text(&[255; TOKEN_BYTES]);
        assert_eq!(token.len(), 43);
        assert_eq!(token_id(&token).len(), 64);
    }
}
