//! What built-in mode keeps besides the system buckets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use subtle::ConstantTimeEq;

use super::directory::Directory;
use super::password;
use crate::access::{LoginLimiter, RateKey, ReadFile, digest, too_many_attempts};
use crate::address::Address;
use crate::config::{BuiltIn, LoginScope};
use crate::protocol::OpError;

/// Password jobs that may be queued or running at once. A job takes tens of
/// milliseconds; more would only make everybody wait for seconds.
const MAX_HASHING: usize = 64;
/// And those of one address, which leaves room for the others.
const MAX_HASHING_OF_ADDRESS: u32 = 8;

/// Bytes of a session token: it cannot be guessed.
pub const TOKEN_BYTES: usize = 32;

/// Settings, lookups and counters of built-in mode.
#[derive(Debug)]
pub struct Identity {
    pub settings: BuiltIn,
    pub directory: Directory,
    /// Failed logins, see [`Identity::login_key`].
    pub logins: LoginLimiter,
    /// Attempts to sign up; `None` where nobody may.
    pub signups: Option<LoginLimiter>,
    secret: [u8; 32],
    /// Verified against where there is no user.
    pub dummy: Arc<str>,
    hashing: Arc<Mutex<Hashing>>,
}

/// Password jobs that are queued or running.
#[derive(Debug, Default)]
struct Hashing {
    all: usize,
    of_address: HashMap<Address, u32>,
}

fn lock(hashing: &Mutex<Hashing>) -> MutexGuard<'_, Hashing> {
    hashing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the queue of password jobs, free again when it is dropped.
#[derive(Debug)]
pub struct HashSlot(Arc<Mutex<Hashing>>, Address);

impl Drop for HashSlot {
    fn drop(&mut self) {
        let mut hashing = lock(&self.0);
        hashing.all = hashing.all.saturating_sub(1);
        if let Some(count) = hashing.of_address.get_mut(&self.1) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                hashing.of_address.remove(&self.1);
            }
        }
    }
}

impl Identity {
    pub fn new(settings: BuiltIn) -> Self {
        Self {
            directory: Directory::default(),
            logins: match settings.login_scope {
                LoginScope::Separate => LoginLimiter::new(settings.login_rate_limit.clone()),
                LoginScope::Pair => LoginLimiter::of_pairs(settings.login_rate_limit.clone()),
            },
            signups: settings
                .signup
                .as_ref()
                .map(|signup| LoginLimiter::of_signups(signup.rate_limit.clone())),
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

    /// Whether the secret stands in a file.
    pub fn reads_file(&self) -> bool {
        self.settings.admin_secret_file.is_some()
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

    /// Whose failed logins count together.
    pub fn login_key(&self, username: &str, address: Address) -> RateKey {
        match self.settings.login_scope {
            LoginScope::Separate => RateKey::User(username.into()),
            LoginScope::Pair => RateKey::Login(username.into(), address.client()),
        }
    }

    /// Whose wrong secrets count together.
    pub fn secret_key(&self, address: Address) -> RateKey {
        match self.settings.login_scope {
            LoginScope::Separate => RateKey::address(address),
            LoginScope::Pair => RateKey::Secret(address.client()),
        }
    }

    /// A place in the queue of password jobs.
    pub fn hash_slot(&self, address: Address) -> Result<HashSlot, OpError> {
        let address = address.client();
        let mut hashing = lock(&self.hashing);
        let of_address = hashing.of_address.get(&address).copied().unwrap_or_default();
        if hashing.all >= MAX_HASHING || of_address >= MAX_HASHING_OF_ADDRESS {
            return Err(too_many_attempts(
                "Too many login attempts in progress. Try again later.",
                1000,
            ));
        }
        hashing.all += 1;
        hashing.of_address.insert(address, of_address + 1);
        drop(hashing);
        Ok(HashSlot(Arc::clone(&self.hashing), address))
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
        let address = |n: usize| Address::from([192, 0, 2, n as u8]);
        let take = |n: usize| identity.hash_slot(address(n));
        let mut slots: Vec<_> = (0..8).map(|_| take(0).expect("free")).collect();
        assert!(take(0).is_err(), "the ninth of one address");
        let mapped: std::net::IpAddr = "::ffff:192.0.2.0".parse().expect("address");
        assert!(identity.hash_slot(mapped.into()).is_err());
        slots.extend((8..MAX_HASHING).map(|n| take(n / 8).expect("free")));
        let refused = take(99).expect_err("full");
        assert_eq!(
            refused.details.map(|json| json.to_text()).as_deref(),
            Some("{\"retryAfterMs\":1000}")
        );
        drop(slots);
        assert!(take(0).is_ok());
        assert!(lock(&identity.hashing).of_address.is_empty(), "nobody is remembered");
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
