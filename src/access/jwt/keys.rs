//! The keys that verify web tokens: from settings, PEM files or a JWK Set.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ed25519_dalek::VerifyingKey as Ed25519Key;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature as P256Signature, VerifyingKey as P256Key};
use p256::pkcs8::DecodePublicKey;
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::{Document, SubjectPublicKeyInfoRef};
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey, pkcs1};
use sha2::{Digest, Sha256};

use crate::access::ReadFile;
use crate::config::{Jwt, JwtAlgorithm, JwtKeyMaterial};
use crate::json::{self, DEFAULT_MAX_DEPTH, Json, Object};

const MIN_SECRET_BYTES: usize = 32;
const MIN_RSA_BITS: usize = 2048;
/// No use is known of longer ones, and each signature would take the longer.
const MAX_RSA_BITS: usize = 16_384;

/// One key; each kind serves exactly one algorithm, so a public key is never
/// used as a secret.
enum Material {
    Hmac(Hmac<Sha256>),
    Rsa(RsaPublicKey),
    P256(P256Key),
    Ed25519(Ed25519Key),
}

impl Material {
    fn algorithm(&self) -> JwtAlgorithm {
        match self {
            Material::Hmac(_) => JwtAlgorithm::Hs256,
            Material::Rsa(_) => JwtAlgorithm::Rs256,
            Material::P256(_) => JwtAlgorithm::Es256,
            Material::Ed25519(_) => JwtAlgorithm::EdDsa,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            // Compares in constant time.
            Material::Hmac(mac) => mac.clone().chain_update(signed).verify_slice(signature).is_ok(),
            Material::Rsa(key) => {
                let scheme = Pkcs1v15Sign::new::<Sha256>();
                key.verify(scheme, &Sha256::digest(signed), signature).is_ok()
            }
            Material::P256(key) => P256Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            // Strict: no malleable signatures, no weak keys.
            Material::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}

struct Key {
    kid: Option<Box<str>>,
    material: Material,
}

/// All loaded keys.
pub(super) struct Keys(Vec<Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.material.algorithm())).finish()
    }
}

impl Keys {
    /// `is_start`: an algorithm without a key is a mistake of the configuration;
    /// later it is a rotation.
    pub fn load(settings: &Jwt, read: ReadFile<'_>, is_start: bool) -> Result<Self, Vec<String>> {
        let (mut keys, mut problems, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for key in &settings.keys {
            match material(&key.material, read) {
                Ok(material) => {
                    let algorithm = material.algorithm();
                    if key.algorithm.is_some_and(|wanted| wanted != algorithm) {
                        problems.push(format!("{}: is a key for {}", key.path, algorithm.as_str()));
                    } else if !settings.algorithms.contains(&algorithm) {
                        let name = algorithm.as_str();
                        problems.push(format!(
                            "{}: is a key for {name}, which auth.jwt.algorithms does not allow",
                            key.path
                        ));
                    }
                    keys.push(Key { kid: key.kid.as_deref().map(Box::from), material });
                }
                Err(problem) => problems.push(format!("{}: {problem}", key.path)),
            }
        }
        if let Some(path) = &settings.jwks_file {
            let set = read(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))
                .and_then(|bytes| key_set(&bytes, &mut left_out));
            match set {
                Ok(set) => keys.extend(set),
                Err(problem) => problems.push(format!("auth.jwt.jwksFile: {problem}")),
            }
        }
        for algorithm in &settings.algorithms {
            if problems.is_empty() && !keys.iter().any(|key| key.material.algorithm() == *algorithm)
            {
                let name = algorithm.as_str();
                let problem = format!("auth.jwt.algorithms: there is no key for {name}");
                match is_start {
                    true => {
                        problems.push(problem);
                        problems.append(&mut left_out);
                    }
                    false => log::warn!("{problem} any more"),
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for problem in left_out {
            log::warn!("{problem}; the key is left out");
        }
        Ok(Keys(keys))
    }

    /// Whether one of the keys that may be used verifies the signature.
    pub fn verify(
        &self,
        algorithm: JwtAlgorithm,
        kid: Option<&Json>,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        // A `kid` chooses only where somebody has named keys.
        let kid = kid.filter(|_| self.0.iter().any(|key| key.kid.is_some()));
        self.0
            .iter()
            .filter(|key| key.material.algorithm() == algorithm)
            .filter(|key| match kid {
                None => true,
                Some(kid) => kid.as_str().is_some() && kid.as_str() == key.kid.as_deref(),
            })
            .any(|key| key.material.verify(signed, signature))
    }
}

fn material(source: &JwtKeyMaterial, read: ReadFile<'_>) -> Result<Material, String> {
    let file = |path: &std::path::Path| {
        read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    match source {
        JwtKeyMaterial::Secret(secret) => hmac(secret.expose().as_bytes()),
        JwtKeyMaterial::SecretBase64(text) => {
            let secret = BASE64.decode(text.expose().as_bytes());
            hmac(&secret.map_err(|_| "expected base64 with padding".to_owned())?)
        }
        JwtKeyMaterial::SecretFile(path) => {
            let bytes = file(path)?;
            let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            hmac(secret.strip_suffix(b"\r").unwrap_or(secret))
        }
        JwtKeyMaterial::PublicKey(text) => public_key(text),
        JwtKeyMaterial::PublicKeyFile(path) => {
            let text = String::from_utf8(file(path)?).map_err(|_| "expected PEM".to_owned())?;
            public_key(&text)
        }
    }
}

fn hmac(secret: &[u8]) -> Result<Material, String> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(format!("expected a secret of at least {MIN_SECRET_BYTES} bytes"));
    }
    Hmac::new_from_slice(secret).map(Material::Hmac).map_err(|error| error.to_string())
}

fn public_key(text: &str) -> Result<Material, String> {
    let pem = text.trim();
    if pem.contains("PRIVATE KEY") {
        return Err("expected a public key, got a private one".into());
    }
    if let Some((modulus, exponent)) = rsa_of_pem(pem) {
        return rsa(&modulus, &exponent);
    }
    if let Ok(key) = P256Key::from_public_key_pem(pem) {
        return Ok(Material::P256(key));
    }
    Ed25519Key::from_public_key_pem(pem)
        .map(Material::Ed25519)
        .map_err(|_| "expected the PEM of a public key: RSA, P-256 or Ed25519".into())
}

/// Modulus and exponent of an RSA key, as SPKI or PKCS#1. Taken apart here, because
/// the library's own readers refuse what has more than 4096 bits as if it were none.
fn rsa_of_pem(pem: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (label, document) = Document::from_pem(pem).ok()?;
    let parts = |der: &[u8]| {
        let key = pkcs1::RsaPublicKey::try_from(der).ok()?;
        Some((key.modulus.as_bytes().to_vec(), key.public_exponent.as_bytes().to_vec()))
    };
    match label {
        "RSA PUBLIC KEY" => parts(document.as_bytes()),
        "PUBLIC KEY" => {
            let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).ok()?;
            info.algorithm.assert_algorithm_oid(pkcs1::ALGORITHM_OID).ok()?;
            // RFC 8017, A.1: its parameters are NULL.
            info.algorithm.parameters.filter(|parameters| parameters.is_null())?;
            parts(info.subject_public_key.as_bytes()?)
        }
        _ => None,
    }
}

/// A key of big-endian modulus and exponent.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Material, String> {
    let (modulus, exponent) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    let bits = modulus.bits();
    if bits < MIN_RSA_BITS {
        return Err(format!("expected an RSA modulus of at least {MIN_RSA_BITS} bits"));
    }
    if bits > MAX_RSA_BITS {
        return Err(format!("expected an RSA modulus of at most {MAX_RSA_BITS} bits, got {bits}"));
    }
    RsaPublicKey::new_with_max_size(modulus, exponent, MAX_RSA_BITS)
        .map(Material::Rsa)
        .map_err(|_| "not a key for RS256: its modulus or exponent is out of range".into())
}

/// The keys of a JWK Set (RFC 7517) that verify signatures. Those for other uses
/// and of kinds that noexd does not have are skipped, and so are those that lack
/// something or are out of range, as section 5 of the RFC asks: one odd key must
/// not cost all the others.
fn key_set(bytes: &[u8], left_out: &mut Vec<String>) -> Result<Vec<Key>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "expected UTF-8".to_owned())?;
    let set = json::parse(text, DEFAULT_MAX_DEPTH).map_err(|error| error.to_string())?.to_json();
    let list = set
        .get("keys")
        .and_then(Json::as_array)
        .ok_or_else(|| "expected a JWK Set: an object with an array \"keys\"".to_owned())?;
    let mut keys = Vec::new();
    for (at, jwk) in list.iter().enumerate() {
        let Some(jwk) = jwk.as_object() else {
            left_out.push(format!("auth.jwt.jwksFile: keys[{at}]: expected object"));
            continue;
        };
        match jwk_material(jwk) {
            Ok(Some(material)) => {
                let kid = jwk.get("kid").and_then(Json::as_str).map(Box::from);
                keys.push(Key { kid, material });
            }
            Ok(None) => {}
            Err(problem) => left_out.push(format!("auth.jwt.jwksFile: keys[{at}]: {problem}")),
        }
    }
    Ok(keys)
}

fn jwk_material(jwk: &Object) -> Result<Option<Material>, String> {
    let text = |name: &str| jwk.get(name).and_then(Json::as_str);
    let bytes = |name: &str| {
        let value = text(name).ok_or_else(|| format!("{name}: expected string"))?;
        BASE64URL_NOPAD
            .decode(value.as_bytes())
            .map_err(|_| format!("{name}: expected base64url without padding"))
    };
    if jwk.get("use").is_some_and(|purpose| purpose.as_str() != Some("sig")) {
        return Ok(None);
    }
    let verifies = |list: &Json| {
        list.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
    };
    if jwk.get("key_ops").is_some_and(|list| !verifies(list)) {
        return Ok(None);
    }
    let algorithm = match (text("kty"), text("crv")) {
        (Some("oct"), _) => JwtAlgorithm::Hs256,
        (Some("RSA"), _) => JwtAlgorithm::Rs256,
        (Some("EC"), Some("P-256")) => JwtAlgorithm::Es256,
        (Some("OKP"), Some("Ed25519")) => JwtAlgorithm::EdDsa,
        _ => return Ok(None),
    };
    if jwk.get("alg").is_some_and(|alg| alg.as_str() != Some(algorithm.as_str())) {
        return Ok(None);
    }
    let malformed = |what: &str| format!("not a key for {what}");
    Ok(Some(match algorithm {
        JwtAlgorithm::Hs256 => hmac(&bytes("k")?)?,
        JwtAlgorithm::Rs256 => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            rsa(&n, &e)?
        }
        JwtAlgorithm::Es256 => {
            // The uncompressed form of SEC 1.
            let point = [&[4u8][..], &bytes("x")?, &bytes("y")?].concat();
            Material::P256(P256Key::from_sec1_bytes(&point).map_err(|_| malformed("ES256"))?)
        }
        JwtAlgorithm::EdDsa => {
            let point = bytes("x")?.try_into().map_err(|_| malformed("EdDSA"))?;
            Material::Ed25519(Ed25519Key::from_bytes(&point).map_err(|_| malformed("EdDSA"))?)
        }
    }))
}
