//! Certificate and key: read, checked, and what there is to say about them.

use super::session::Session;
use super::{BadFile, Files};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use x509_cert::der::Decode as _;

/// The only protocol that is spoken over it.
pub(super) const ALPN: &[u8] = b"http/1.1";

/// `rsaEncryption` (RFC 8017).
const RSA: &str = "1.2.840.113549.1.1.1";

const DAY: u64 = 86_400;

/// An end within so many days is warned of.
const SOON_DAYS: u64 = 14;

/// What sessions are made with. Clones are cheap.
#[derive(Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    /// Keys of tickets, which a new certificate does not change.
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// Unix time, in seconds.
    not_before: u64,
    not_after: u64,
    valid_until: String,
    valid_from: String,
    is_rsa: bool,
    is_alone: bool,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("valid_until", &self.valid_until).finish()
    }
}

fn bad(key: &'static str, path: &Path, reason: impl std::fmt::Display) -> BadFile {
    BadFile { key, reason: format!("{}: {reason}", path.display()) }
}

/// Reads the files. `before`: what was loaded before, for clients that come
/// back with a ticket.
///
/// # Errors
///
/// The first file that is not as it should be.
pub fn load(files: &Files, before: Option<&Certificate>) -> Result<Certificate, BadFile> {
    let provider = Arc::new(ring::default_provider());
    let chain = read_chain(
        "tls.cert",
        &files.cert,
        "no certificate found, expected PEM with the leaf first",
    )?;
    let key = read_key(&files.key)?;
    let facts = Facts::of(&files.cert, &chain)?;
    let signer =
        ring::sign::any_supported_type(&key).map_err(|error| bad("tls.key", &files.key, error))?;
    let is_alone = chain.len() == 1 && !facts.is_self_signed;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let text = format!("does not belong to the certificate in {}", files.cert.display());
            return Err(bad("tls.key", &files.key, text));
        }
        Err(error) => return Err(bad("tls.cert", &files.cert, error)),
    }
    let versions: &[_] = match files.only_1_3 {
        true => &[&rustls::version::TLS13],
        false => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let general = |error: rustls::Error| BadFile { key: "tls", reason: error.to_string() };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(general)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = read_roots(path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| bad("tls.clientCa", path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A handshake with an earlier set of trusted certificates must not count
    // for a later one.
    let tickets = match (&files.client_ca, before.and_then(|before| before.tickets.clone())) {
        (Some(_), _) => None,
        (None, Some(tickets)) => Some(tickets),
        (None, None) => Some(ring::Ticketer::new().map_err(general)?),
    };
    config.send_tls13_tickets = usize::from(tickets.is_some());
    if let Some(tickets) = &tickets {
        config.ticketer = Arc::clone(tickets);
    }
    Ok(Certificate {
        config: Arc::new(config),
        tickets,
        not_before: facts.not_before,
        not_after: facts.not_after,
        valid_until: facts.valid_until,
        valid_from: facts.valid_from,
        is_rsa: facts.is_rsa,
        is_alone,
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, BadFile> {
    std::fs::read(path).map_err(|error| bad(key, path, error))
}

pub(super) fn read_chain(
    key: &'static str,
    path: &Path,
    empty: &str,
) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let text = read(key, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(bad(key, path, empty)),
        Ok(chain) => Ok(chain),
        Err(error) => Err(bad(key, path, error)),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, BadFile> {
    use rustls::pki_types::pem::Error;

    let text = read("tls.key", path)?;
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(bad("tls.key", path, "is encrypted, remove the passphrase"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        Error::NoItemsFound => {
            bad("tls.key", path, "no private key found, expected PEM (PKCS#8, PKCS#1 or SEC1)")
        }
        error => bad("tls.key", path, error),
    })
}

fn read_roots(path: &Path) -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    for root in read_chain("tls.clientCa", path, "no certificate found, expected PEM")? {
        roots.add(root).map_err(|error| bad("tls.clientCa", path, error))?;
    }
    Ok(roots)
}

/// What stands in the leaf.
struct Facts {
    not_before: u64,
    not_after: u64,
    valid_from: String,
    valid_until: String,
    is_rsa: bool,
    is_self_signed: bool,
}

impl Facts {
    fn of(path: &Path, chain: &[CertificateDer<'static>]) -> Result<Self, BadFile> {
        let leaf = chain.first().map(|leaf| &leaf[..]).unwrap_or_default();
        let leaf = x509_cert::Certificate::from_der(leaf)
            .map_err(|error| bad("tls.cert", path, error))?
            .tbs_certificate;
        let day = |time: x509_cert::time::Time| {
            let date = time.to_date_time();
            format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
        };
        Ok(Facts {
            not_before: leaf.validity.not_before.to_unix_duration().as_secs(),
            not_after: leaf.validity.not_after.to_unix_duration().as_secs(),
            valid_from: day(leaf.validity.not_before),
            valid_until: day(leaf.validity.not_after),
            is_rsa: leaf.subject_public_key_info.algorithm.oid.to_string() == RSA,
            is_self_signed: leaf.issuer == leaf.subject,
        })
    }
}

impl Certificate {
    /// The end of its validity, in Unix seconds.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The day of that.
    pub fn valid_until(&self) -> String {
        self.valid_until.clone()
    }

    pub fn is_expired(&self, now: u64) -> bool {
        now > self.not_after
    }

    /// What is legal, but seldom meant.
    pub fn oddities(&self) -> Vec<&'static str> {
        let rsa = "tls.cert: an RSA key costs three times the processor time of ECDSA at every \
                   connect; ask for ECDSA P-256";
        let alone = "tls.cert: holds no intermediate certificate, many clients will refuse it";
        let odd = [self.is_rsa.then_some(rsa), self.is_alone.then_some(alone)];
        odd.into_iter().flatten().collect()
    }

    /// What to say about its end, every day.
    pub fn expiry_warning(&self, now: u64) -> Option<String> {
        if now < self.not_before {
            let from = &self.valid_from;
            return Some(format!("tls.cert: is not valid before {from}, is the clock right?"));
        }
        if let Some(since) = now.checked_sub(self.not_after).filter(|_| self.is_expired(now)) {
            return Some(format!("tls.cert: expired {} days ago", since / DAY));
        }
        let left = self.not_after.saturating_sub(now) / DAY;
        (left < SOON_DAYS).then(|| format!("tls.cert: expires in {left} days"))
    }

    pub(in crate::net) fn session(&self) -> Result<Session, String> {
        Session::new(&self.config)
    }
}
