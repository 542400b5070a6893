//! The certificate of the listeners: loaded before anything is opened.

use crate::config::{Config, ConfigError, Tls, TlsVersion};
use crate::net::tls::Files;
use crate::net::{Loaded, unix_seconds};

/// Loads what `tls` names; `None` if nothing is configured.
pub(super) fn load(config: &Config) -> Result<Option<Loaded>, ConfigError> {
    let Some(Tls { cert, key, min_version, client_ca }) = &config.tls else { return Ok(None) };
    let files = Files {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: client_ca.clone(),
        only_1_3: *min_version == TlsVersion::V1_3,
    };
    Loaded::from(files).map(Some).map_err(|bad| ConfigError::one(bad.key, bad.reason))
}

/// What is legal, but seldom meant.
fn oddities(loaded: &Loaded) -> Vec<String> {
    let certificate = &loaded.certificate;
    let mut odd: Vec<String> = certificate.oddities().into_iter().map(str::to_owned).collect();
    odd.extend(certificate.expiry_warning(unix_seconds()));
    odd
}

/// Says what is odd about it in the log.
pub(super) fn warn(config: &Config, loaded: &Loaded) {
    for oddity in oddities(loaded) {
        log::warn!("{oddity}");
    }
    if let Some(tls) = &config.tls {
        crate::private::warn_of_mode(&tls.key);
    }
}

/// Looks at the files that the configuration names, as a start would.
///
/// # Errors
///
/// What a start would fail with.
pub fn check_files(config: &Config) -> Result<Vec<String>, ConfigError> {
    let loaded = load(config)?;
    Ok(loaded.map(|loaded| oddities(&loaded)).unwrap_or_default())
}
