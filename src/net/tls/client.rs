//! TLS from the other side, for the tools: one server is talked to, and it must
//! show that it is the one whose name was given.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::der::Decode as _;

use super::Trust;
use super::certificate::{ALPN, read_chain};

/// The client's end of one connection.
pub struct Client(ClientConnection);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

fn broken(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl Client {
    /// Shakes hands with `host` over a socket that blocks.
    ///
    /// # Errors
    ///
    /// The name, the file of trusted certificates, the socket, or the server's
    /// certificate.
    pub fn connect(
        host: &str,
        trust: &Trust,
        socket: &mut (impl Read + Write),
    ) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(broken)?;
        let trusted = match trust {
            Trust::Roots(path) => Some(Trusted::load(path, Arc::clone(&provider))?),
            Trust::Anybody => None,
        };
        let verifier = Arc::new(Verifier { provider, trusted });
        let mut config =
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(broken)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(broken)?;
        while connection.is_handshaking() {
            connection.complete_io(socket)?;
        }
        Ok(Client(connection))
    }

    /// Decrypts what has come behind `plain`, and puts what is to be said to the
    /// peer into `output`. `true`: it will say no more.
    ///
    /// # Errors
    ///
    /// What came is not what the peer can have sent.
    pub fn open(
        &mut self,
        mut input: &[u8],
        plain: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut is_over = false;
        loop {
            let taken = self.0.read_tls(&mut input)?;
            let state = self.0.process_new_packets();
            while self.0.wants_write() {
                self.0.write_tls(output)?;
            }
            let state = state.map_err(broken)?;
            is_over |= state.peer_has_closed();
            let had = plain.len();
            plain.resize(had + state.plaintext_bytes_to_read(), 0);
            if let Some(room) = plain.get_mut(had..) {
                self.0.reader().read_exact(room)?;
            }
            if taken == 0 || input.is_empty() {
                return Ok(is_over);
            }
        }
    }

    /// Encrypts `plain` behind `output`.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn seal(&mut self, plain: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = plain;
        while !rest.is_empty() {
            let taken = self.0.writer().write(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            while self.0.wants_write() {
                self.0.write_tls(output)?;
            }
        }
        Ok(())
    }
}

/// Who is believed to be the server. Whoever he is, that he has the key of his
/// certificate is checked.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: anybody.
    trusted: Option<Trusted>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trusted = self.trusted.as_ref();
        trusted.map_or(Ok(()), |trusted| trusted.verify(leaf, chain, name, ocsp, now))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes what chains to a trusted certificate, and trusted certificates
/// themselves: those that somebody has made to try things are their own
/// authority, which the library does not take from a server.
#[derive(Debug)]
struct Trusted {
    roots: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn load(path: &Path, provider: Arc<CryptoProvider>) -> io::Result<Self> {
        let certificates = read_chain("ca", path, "no certificate found, expected PEM")
            .map_err(|bad| broken(bad.reason))?;
        let mut roots = RootCertStore::empty();
        // Bundles of a system may hold some that are too old to be understood.
        let (understood, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if understood == 0 {
            return Err(broken(format!("{}: no certificate that can be used", path.display())));
        }
        let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(broken)?;
        Ok(Trusted { roots, certificates })
    }
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = self.roots.verify_server_cert(leaf, chain, name, ocsp, now);
        let is_trusted = self.certificates.iter().any(|known| known == leaf);
        match (verified, is_trusted) {
            (Ok(_), _) => return Ok(()),
            // It is an authority that nobody knows.
            (Err(Error::InvalidCertificate(CertificateError::Other(_))), false) => {
                return Err(CertificateError::UnknownIssuer.into());
            }
            (Err(error), false) => return Err(error),
            (Err(_), true) => {}
        }
        let x509 = x509_cert::Certificate::from_der(leaf)
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let validity = &x509.tbs_certificate.validity;
        let at = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        if now.as_secs() > at(validity.not_after) {
            return Err(CertificateError::Expired.into());
        }
        if now.as_secs() < at(validity.not_before) {
            return Err(CertificateError::NotValidYet.into());
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
    }
}
