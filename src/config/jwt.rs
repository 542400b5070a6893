//! Settings of JSON Web Tokens (`auth.jwt`).

use std::path::PathBuf;

use super::Secret;

/// A signature algorithm; there are no others, `none` least of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: one secret signs and verifies.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them.
    pub const ALL: [JwtAlgorithm; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in the head of a token, such as `RS256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            JwtAlgorithm::Hs256 => "HS256",
            JwtAlgorithm::Rs256 => "RS256",
            JwtAlgorithm::Es256 => "ES256",
            JwtAlgorithm::EdDsa => "EdDSA",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Settings of JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Nothing else is ever accepted; not empty.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The keys that may have signed a token.
    pub keys: Vec<JwtKey>,
    /// A JWK Set (RFC 7517) to take keys from.
    pub jwks_file: Option<PathBuf>,
    /// If given, `iss` must be one of them.
    pub issuers: Option<Vec<String>>,
    /// If given, `aud` must contain one of them.
    pub audiences: Option<Vec<String>>,
    /// For `exp` and `nbf`.
    pub clock_tolerance_ms: u64,
    /// Whether a token without `exp` is invalid.
    pub require_exp: bool,
    /// Claim paths: a literal name, else names separated by dots.
    pub user_id_claim: String,
    /// The claim that holds the roles.
    pub roles_claim: String,
    /// The claim that becomes the metadata of the session.
    pub metadata_claim: Option<String>,
    /// Roles of a token that has no roles claim.
    pub default_roles: Vec<String>,
}

impl Jwt {
    /// The defaults with these algorithms and keys.
    pub fn new(algorithms: Vec<JwtAlgorithm>, keys: Vec<JwtKey>) -> Self {
        Self {
            algorithms,
            keys,
            jwks_file: None,
            issuers: None,
            audiences: None,
            clock_tolerance_ms: 0,
            require_exp: true,
            user_id_claim: "sub".into(),
            roles_claim: "roles".into(),
            metadata_claim: None,
            default_roles: Vec::new(),
        }
    }
}

/// One key and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtKey {
    /// Where it stands in the configuration, for messages: `auth.jwt.secret`.
    pub path: String,
    /// Its name in the head of a token; `None` fits every token.
    pub kid: Option<String>,
    /// What it must be for; `None`: whatever it is.
    pub algorithm: Option<JwtAlgorithm>,
    /// The key itself.
    pub material: JwtKeyMaterial,
}

/// A key or the file it is in. Files are read at start and on `SIGHUP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeyMaterial {
    /// The UTF-8 bytes are the HS256 key.
    Secret(Secret),
    /// Base64 of the HS256 key.
    SecretBase64(Secret),
    /// The file's content without one trailing line break is the HS256 key.
    SecretFile(PathBuf),
    /// PEM of a public key: RSA, P-256 or Ed25519.
    PublicKey(String),
    /// A public key in PEM, in a file.
    PublicKeyFile(PathBuf),
}
