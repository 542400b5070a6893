use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use hmac::{Hmac, Mac};
use p256::pkcs8::EncodePublicKey;
use sha2::Sha256;

use std::io;
use std::path::Path;

use super::*;
use crate::config::{JwtKey, JwtKeyMaterial, Secret};

const SECRET: &str = "a secret of at least thirty-two bytes";
/// Signed with a key that no longer exists; `exp` is in the year 2100.
const RS256: &str = include_str!("testdata/rs256.jwt");
const RSA_SPKI: &str = include_str!("testdata/rsa-spki.pem");
const RSA_PKCS1: &str = include_str!("testdata/rsa-pkcs1.pem");
const RSA_5120_SPKI: &str = include_str!("testdata/rsa-5120-spki.pem");
const RSA_5120_PKCS1: &str = include_str!("testdata/rsa-5120-pkcs1.pem");
/// Signed by the key of both.
const RSA_5120_JWT: &str = include_str!("testdata/rs256-5120.jwt");
const RSA_1024: &str = include_str!("testdata/rsa-1024.pem");
/// Wall time of most tests, ms.
const NOW: u64 = 1_800_000_000_000;

fn key(material: JwtKeyMaterial) -> JwtKey {
    JwtKey { path: "auth.jwt.key".into(), kid: None, algorithm: None, material }
}

fn secret(text: &str) -> JwtKey {
    key(JwtKeyMaterial::Secret(Secret::new(text)))
}

fn public(pem: &str) -> JwtKey {
    key(JwtKeyMaterial::PublicKey(pem.into()))
}

fn no_files(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn load(settings: &Jwt) -> JwtVerifier {
    JwtVerifier::load(settings, &no_files).expect("good keys")
}

fn hs256() -> Jwt {
    Jwt::new(vec![JwtAlgorithm::Hs256], vec![secret(SECRET)])
}

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn mac(secret: &[u8], signed: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    mac.chain_update(signed.as_bytes()).finalize().into_bytes().to_vec()
}

fn sign(header: &str, claims: &str, signer: impl FnOnce(&str) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = BASE64URL_NOPAD.encode(&signer(&signed));
    format!("{signed}.{signature}")
}

fn hs(header: &str, claims: &str) -> String {
    sign(header, claims, |signed| mac(SECRET.as_bytes(), signed))
}

fn token(claims: &str) -> String {
    hs(r#"{"alg":"HS256"}"#, claims)
}

fn session(settings: &Jwt, claims: &str) -> Option<Session> {
    match load(settings).verify(&token(claims), NOW) {
        Verdict::Session(session) => Some(session),
        Verdict::Invalid | Verdict::Expired | Verdict::Failed => None,
    }
}

fn verdict(settings: &Jwt, token: &str) -> &'static str {
    match load(settings).verify(token, NOW) {
        Verdict::Session(_) => "session",
        Verdict::Invalid => "invalid",
        Verdict::Expired => "expired",
        Verdict::Failed => "failed",
    }
}

#[test]
fn a_good_token_is_a_session() {
    let mut settings = hs256();
    settings.metadata_claim = Some("app".into());
    settings.clock_tolerance_ms = 5;
    let claims = r#"{"sub":"ann","roles":["b","a"],"exp":1900000000.0019,"app":{"x":1}}"#;
    let session = session(&settings, claims).expect("good");
    assert_eq!(&*session.user_id, "ann");
    assert_eq!(session.roles.iter().map(|role| &**role).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(session.expires_at, Some(1_900_000_000_001.0 + 5.0));
    assert_eq!(session.metadata.expect("metadata").get("x"), Some(&Json::Number(1.0)));
}

#[test]
fn each_algorithm_verifies_its_own_signatures() {
    let claims = r#"{"sub":"ann","exp":1900000000}"#;
    let ed = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let ec = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a scalar");
    let ed_pem = ed25519_dalek::pkcs8::EncodePublicKey::to_public_key_pem(
        &ed.verifying_key(),
        LineEnding::LF,
    );
    let ec_pem = ec.verifying_key().to_public_key_pem(LineEnding::LF);
    let all = Jwt::new(
        JwtAlgorithm::ALL.to_vec(),
        vec![
            secret(SECRET),
            public(RSA_SPKI),
            public(&ec_pem.expect("PEM")),
            public(&ed_pem.expect("PEM")),
        ],
    );
    let by_ed = sign(r#"{"alg":"EdDSA"}"#, claims, |text| ed.sign(text.as_bytes()).to_vec());
    let by_ec = sign(r#"{"alg":"ES256"}"#, claims, |text| {
        let signature: p256::ecdsa::Signature = ec.sign(text.as_bytes());
        signature.to_vec()
    });
    let by_hmac = token(claims);
    for good in [&by_ed, &by_ec, &by_hmac, RS256.trim()] {
        assert_eq!(verdict(&all, good), "session", "{good}");
        // One flipped bit in the payload or the signature.
        for at in [good.find('.').expect("segments") + 3, good.len() - 4] {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(verdict(&all, &forged), "invalid", "{forged}");
        }
    }
    let pkcs1 = Jwt::new(vec![JwtAlgorithm::Rs256], vec![public(RSA_PKCS1)]);
    assert_eq!(verdict(&pkcs1, RS256.trim()), "session");
}

#[test]
fn keys_come_from_a_set_as_well() {
    let spki = |name: &str| BASE64URL_NOPAD.encode(name.as_bytes());
    let ed = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let ec = p256::ecdsa::SigningKey::from_slice(&[9; 32]).expect("a scalar");
    let point = ec.verifying_key().to_encoded_point(false);
    let part =
        |bytes: Option<_>| BASE64URL_NOPAD.encode(bytes.map_or(&[], |b: &p256::FieldBytes| b));
    let set = format!(
        r#"{{"keys":[
            {{"kty":"oct","k":"{}","kid":"h","alg":"HS256","use":"sig"}},
            {{"kty":"RSA","kid":"broken for encryption","use":"enc","n":"!","e":"!"}},
            {{"kty":"EC","crv":"P-384","x":"","y":""}},
            {{"kty":"unheard of"}},
            {{"kty":"EC","crv":"P-256","x":"{}","y":"{}","kid":"ec"}},
            {{"kty":"OKP","crv":"Ed25519","x":"{}","kid":"ed"}}]}}"#,
        spki(SECRET),
        part(point.x()),
        part(point.y()),
        BASE64URL_NOPAD.encode(ed.verifying_key().as_bytes()),
    );
    let mut settings =
        Jwt::new(vec![JwtAlgorithm::Hs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa], vec![]);
    settings.jwks_file = Some("keys.json".into());
    let load = |set: &str| {
        let bytes = set.as_bytes().to_vec();
        JwtVerifier::load(&settings, &move |path: &Path| {
            assert_eq!(path, Path::new("keys.json"));
            Ok(bytes.clone())
        })
    };
    let verifier = load(&set).expect("good keys");
    let claims = r#"{"sub":"ann","exp":1900000000}"#;
    let by_ec = |kid: &str| {
        sign(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), claims, |text| {
            let signature: p256::ecdsa::Signature = ec.sign(text.as_bytes());
            signature.to_vec()
        })
    };
    let by_ed =
        sign(r#"{"alg":"EdDSA","kid":"ed"}"#, claims, |text| ed.sign(text.as_bytes()).to_vec());
    for good in [by_ec("ec"), by_ed, hs(r#"{"alg":"HS256","kid":"h"}"#, claims), token(claims)] {
        assert!(matches!(verifier.verify(&good, NOW), Verdict::Session(_)), "{good}");
    }
    assert_eq!(verifier.verify(&by_ec("other"), NOW), Verdict::Invalid);

    for (broken, problem) in [
        ("", "expected"),
        ("[]", "JWK Set"),
        (r#"{"keys":[1]}"#, "keys[0]: expected object"),
        (r#"{"keys":[{"kty":"oct"}]}"#, "keys[0]: k: expected string"),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "at least 32 bytes"),
        (r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#, "not a key for EdDSA"),
        (r#"{"keys":[]}"#, "there is no key for HS256"),
    ] {
        let problems = load(broken).expect_err("broken");
        assert!(problems.concat().contains(problem), "{broken}: {problems:?}");
    }
}

#[test]
fn what_is_not_exactly_a_token_is_refused() {
    let settings = hs256();
    let verifier = load(&settings);
    let good = token(r#"{"sub":"ann","exp":1900000000}"#);
    assert!(verifier.recognises(&good));
    let (head, signature) = good.rsplit_once('.').expect("three segments");
    let payload = head.split_once('.').expect("two segments").1;
    let header = encode(r#"{"alg":"HS256"}"#);
    for (bad, recognised) in [
        (String::new(), false),
        ("k3y".into(), false),
        ("a.b.c".into(), false),
        (head.to_owned(), false),
        (format!("{head}."), false),
        (format!("{good}.x"), false),
        (format!(".{payload}.{signature}"), false),
        (format!("{good}="), true),
        (format!("{head}. {signature}"), true),
        (format!("{header}=.{payload}.{signature}"), false),
        (format!("{}.{payload}.{signature}", encode("[1]")), false),
        (format!("{}.{payload}.{signature}", encode("{")), false),
        (format!("{header}.{}.{signature}", encode("null")), true),
        (format!("{header}.{}.{signature}", encode(&"[".repeat(5000))), true),
        (
            hs(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"ann","x":"{}"}}"#, "y".repeat(13_000))),
            true,
        ),
        // Trailing bits that strict base64url does not have.
        (format!("{head}.{}", trailing_bits(signature)), true),
    ] {
        assert_eq!(verifier.recognises(&bad), recognised, "{bad}");
        assert_eq!(verifier.verify(&bad, NOW), Verdict::Invalid, "{bad}");
    }
}

/// The same bytes, spelt with other unused bits in the last character.
fn trailing_bits(segment: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = segment.split_at(segment.len() - 1);
    let at = ALPHABET.find(last).expect("base64url");
    format!("{rest}{}", &ALPHABET[at + 1..at + 2])
}

#[test]
fn the_header_cannot_choose_how_it_is_checked() {
    let claims = r#"{"sub":"ann","exp":1900000000}"#;
    let settings = hs256();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
    ] {
        assert_eq!(verdict(&settings, &hs(header, claims)), "invalid", "{header}");
        assert_eq!(verdict(&settings, &sign(header, claims, |_| vec![0])), "invalid", "{header}");
    }
    assert_eq!(
        verdict(&settings, &hs(r#"{"alg":"HS256","typ":"x","jku":"y"}"#, claims)),
        "session"
    );
    // A public key is not a secret: the classic confusion of RS256 with HS256.
    let both = Jwt::new(
        vec![JwtAlgorithm::Hs256, JwtAlgorithm::Rs256],
        vec![secret(SECRET), public(RSA_SPKI)],
    );
    for pem in [RSA_SPKI, RSA_SPKI.trim()] {
        let confused = sign(r#"{"alg":"HS256"}"#, claims, |signed| mac(pem.as_bytes(), signed));
        assert_eq!(verdict(&both, &confused), "invalid");
    }
    // An allowed list without HS256 refuses a good HS256 signature.
    let rsa_only = Jwt::new(vec![JwtAlgorithm::Rs256], vec![public(RSA_SPKI)]);
    assert_eq!(verdict(&rsa_only, &token(claims)), "invalid");
}

#[test]
fn key_ids_choose_among_named_keys() {
    let other = "another secret of at least thirty-two bytes";
    let named = |kid: &str, text: &str| JwtKey { kid: Some(kid.into()), ..secret(text) };
    let claims = r#"{"sub":"ann","exp":1900000000}"#;
    let with = |kid: &str| format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
    let mut settings = hs256();
    assert_eq!(verdict(&settings, &hs(&with("\"any\""), claims)), "session", "no key has a name");
    settings.keys = vec![named("new", SECRET), named("old", other)];
    assert_eq!(verdict(&settings, &hs(&with("\"new\""), claims)), "session");
    assert_eq!(verdict(&settings, &hs(&with("\"old\""), claims)), "invalid");
    assert_eq!(verdict(&settings, &hs(&with("\"none\""), claims)), "invalid");
    assert_eq!(verdict(&settings, &hs(&with("1"), claims)), "invalid");
    let by_old = sign(r#"{"alg":"HS256"}"#, claims, |signed| mac(other.as_bytes(), signed));
    assert_eq!(verdict(&settings, &by_old), "session", "without a name each is tried");
}

#[test]
fn times_are_checked_with_the_tolerance() {
    let mut settings = hs256();
    let at =
        |settings: &Jwt, claims: &str, now: u64| match load(settings).verify(&token(claims), now) {
            Verdict::Session(_) => "session",
            Verdict::Expired => "expired",
            _ => "invalid",
        };
    let claims = r#"{"sub":"ann","nbf":1000,"exp":2000}"#;
    assert_eq!(at(&settings, claims, 999_999), "invalid");
    assert_eq!(at(&settings, claims, 1_000_000), "session");
    assert_eq!(at(&settings, claims, 1_999_999), "session");
    assert_eq!(at(&settings, claims, 2_000_000), "expired");
    settings.clock_tolerance_ms = 500;
    assert_eq!(at(&settings, claims, 999_499), "invalid");
    assert_eq!(at(&settings, claims, 999_500), "session");
    assert_eq!(at(&settings, claims, 2_000_499), "session");
    assert_eq!(at(&settings, claims, 2_000_500), "expired");
    for bad in [
        r#"{"sub":"ann"}"#,
        r#"{"sub":"ann","exp":"2000"}"#,
        r#"{"sub":"ann","exp":null}"#,
        r#"{"sub":"ann","exp":1e400}"#,
        r#"{"sub":"ann","exp":2000,"nbf":"0"}"#,
        r#"{"sub":"ann","exp":2000,"nbf":null}"#,
        r#"{"sub":"ann","exp":2000,"nbf":1e400}"#,
    ] {
        assert_eq!(at(&settings, bad, 1_000_000), "invalid", "{bad}");
    }
    // Everything else is wrong before the token can be called expired.
    assert_eq!(at(&settings, r#"{"exp":1}"#, 1_000_000), "invalid");
    settings.require_exp = false;
    assert_eq!(at(&settings, r#"{"sub":"ann"}"#, 1_000_000), "session");
}

#[test]
fn issuer_and_audience() {
    let mut settings = hs256();
    let check = |settings: &Jwt, rest: &str| {
        session(settings, &format!(r#"{{"sub":"ann","exp":1900000000{rest}}}"#)).is_some()
    };
    assert!(check(&settings, r#","iss":1,"aud":"whoever""#));
    settings.issuers = Some(vec!["a".into(), "b".into()]);
    assert!(check(&settings, r#","iss":"b""#));
    for wrong in ["", r#","iss":"c""#, r#","iss":["a"]"#, r#","iss":null"#] {
        assert!(!check(&settings, wrong), "{wrong}");
    }
    settings.issuers = None;
    settings.audiences = Some(vec!["x".into(), "y".into()]);
    assert!(check(&settings, r#","aud":"y""#));
    assert!(check(&settings, r#","aud":["z","x"]"#));
    for wrong in ["", r#","aud":"z""#, r#","aud":[]"#, r#","aud":[["x"]]"#, r#","aud":null"#] {
        assert!(!check(&settings, wrong), "{wrong}");
    }
}

#[test]
fn user_ids_and_roles() {
    let mut settings = hs256();
    settings.default_roles = vec!["reader".into()];
    let claims = |text: &str| {
        session(&hs256(), &format!(r#"{{"exp":1900000000,{text}}}"#))
            .map(|session| session.user_id.to_string())
    };
    assert_eq!(claims(r#""sub":42"#).as_deref(), Some("42"));
    assert_eq!(claims(r#""sub":-9007199254740991"#).as_deref(), Some("-9007199254740991"));
    for wrong in [
        r#""sub":"""#,
        r#""sub":9007199254740992"#,
        r#""sub":1.5"#,
        r#""sub":null"#,
        r#""sub":["a"]"#,
        r#""x":"ann""#,
    ] {
        assert_eq!(claims(wrong), None, "{wrong}");
    }
    let roles = |settings: &Jwt, text: &str| {
        session(settings, &format!(r#"{{"exp":1900000000,"sub":"ann"{text}}}"#))
            .map(|session| session.roles.join(","))
    };
    assert_eq!(roles(&settings, "").as_deref(), Some("reader"));
    assert_eq!(roles(&settings, r#","roles":null"#).as_deref(), Some("reader"));
    assert_eq!(roles(&settings, r#","roles":[]"#).as_deref(), Some(""));
    assert_eq!(roles(&settings, r#","roles":" a  b ""#).as_deref(), Some("a,b"));
    for wrong in [r#","roles":["a",1]"#, r#","roles":{}"#, r#","roles":1"#] {
        assert_eq!(roles(&settings, wrong), None, "{wrong}");
    }
    settings.roles_claim = "realm_access.roles".into();
    assert_eq!(roles(&settings, r#","realm_access":{"roles":["a"]}"#).as_deref(), Some("a"));
    let literal = r#","realm_access":{"roles":["a"]},"realm_access.roles":["b"]"#;
    assert_eq!(roles(&settings, literal).as_deref(), Some("b"));
    assert_eq!(roles(&settings, r#","realm_access":"x""#).as_deref(), Some("reader"));
}

#[test]
fn rsa_keys_may_be_long() {
    let claims = RSA_5120_JWT.trim();
    let (spki, pkcs1) = (public(RSA_5120_SPKI), public(RSA_5120_PKCS1));
    for key in [spki, pkcs1] {
        let settings = Jwt::new(vec![JwtAlgorithm::Rs256], vec![key]);
        assert_eq!(verdict(&settings, claims), "session");
        assert_eq!(verdict(&settings, RS256.trim()), "invalid");
    }
    // In a set, and up to a length that is told.
    let load = |bytes: usize| {
        let n = BASE64URL_NOPAD.encode(&vec![0xff; bytes]);
        let set = format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"AQAB"}}]}}"#);
        let mut settings = Jwt::new(vec![JwtAlgorithm::Rs256], Vec::new());
        settings.jwks_file = Some("keys.json".into());
        JwtVerifier::load(&settings, &|_: &Path| Ok(set.clone().into_bytes()))
            .map(drop)
            .map_err(|problems| problems.concat())
    };
    assert_eq!(load(2_048), Ok(()));
    let refused = load(2_049).expect_err("too long");
    assert!(refused.contains("at most 16384 bits, got 16392"), "{refused}");
}

#[test]
fn bad_keys_stop_the_start() {
    let with = |algorithm, key: JwtKey| {
        let settings = Jwt::new(vec![algorithm], vec![key]);
        JwtVerifier::load(&settings, &no_files).expect_err("bad key").concat()
    };
    let rs256 = JwtAlgorithm::Rs256;
    assert!(with(JwtAlgorithm::Hs256, secret("short")).contains("at least 32 bytes"));
    assert!(with(rs256, public(RSA_1024)).contains("at least 2048 bits"));
    assert!(with(rs256, public("nonsense")).contains("expected the PEM"));
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    assert!(with(rs256, public(private)).contains("got a private one"));
    assert!(with(rs256, secret(SECRET)).contains("HS256, which auth.jwt.algorithms"));
    let file = key(JwtKeyMaterial::SecretFile("gone".into()));
    assert!(with(JwtAlgorithm::Hs256, file).contains("cannot read gone"));
    let base64 = key(JwtKeyMaterial::SecretBase64(Secret::new("????")));
    assert!(with(JwtAlgorithm::Hs256, base64).contains("base64"));
    let mut wrong = public(RSA_SPKI);
    wrong.algorithm = Some(JwtAlgorithm::EdDsa);
    assert!(with(rs256, wrong).contains("is a key for RS256"));
}

#[test]
fn key_files_are_read_again() {
    let settings =
        Jwt::new(vec![JwtAlgorithm::Hs256], vec![key(JwtKeyMaterial::SecretFile("secret".into()))]);
    let file = |content: &'static str| move |_: &Path| Ok(content.as_bytes().to_vec());
    let mut verifier = JwtVerifier::load(&settings, &file("0123456789abcdef0123456789abcdef\n"))
        .expect("without the line break it is long enough");
    let good = token(r#"{"sub":"ann","exp":1900000000}"#);
    assert_eq!(verifier.verify(&good, NOW), Verdict::Invalid);
    assert!(verifier.reload(&file("short")).is_err());
    verifier.reload(&file("a secret of at least thirty-two bytes\n")).expect("good");
    assert!(matches!(verifier.verify(&good, NOW), Verdict::Session(_)));
}

#[test]
fn one_odd_key_of_a_set_does_not_cost_the_others() {
    let mut settings = Jwt::new(vec![JwtAlgorithm::Hs256], vec![]);
    settings.jwks_file = Some("keys.json".into());
    let good =
        format!(r#"{{"kty":"oct","kid":"h","k":"{}"}}"#, BASE64URL_NOPAD.encode(SECRET.as_bytes()));
    let claims = r#"{"sub":"ann","exp":1900000000}"#;
    let signed = hs(r#"{"alg":"HS256","kid":"h"}"#, claims);
    for odd in [
        "1",
        "null",
        "{}",
        r#"{"kty":5}"#,
        r#"{"kty":"oct"}"#,
        r#"{"kty":"oct","k":"short"}"#,
        r#"{"kty":"oct","k":"not base64url!"}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","e":"AQAB"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#,
        r#"{"kty":"RSA","use":"enc"}"#,
        r#"{"kty":"oct","key_ops":["sign"]}"#,
        r#"{"kty":"AKP","alg":"ML-DSA-44"}"#,
    ] {
        for set in [format!("[{odd},{good}]"), format!("[{good},{odd}]")] {
            let bytes = format!(r#"{{"keys":{set}}}"#).into_bytes();
            let verifier = JwtVerifier::load(&settings, &move |_: &Path| Ok(bytes.clone()));
            let verdict = verifier.expect(odd).verify(&signed, NOW);
            assert!(matches!(verdict, Verdict::Session(_)), "{odd}");
        }
    }
    let whole = |text: &str| {
        let bytes = text.as_bytes().to_vec();
        JwtVerifier::load(&settings, &move |_: &Path| Ok(bytes.clone()))
    };
    for broken in ["", "{", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#]
    {
        assert!(whole(broken).is_err(), "{broken}");
    }
    // Rotated: the old key is gone, whatever else is in the file now.
    let file = |text: String| move |_: &Path| Ok(text.clone().into_bytes());
    let mut verifier = whole(&format!(r#"{{"keys":[{good}]}}"#)).expect("a good set");
    assert!(verifier.reload(&file("half a fi".into())).is_err());
    assert!(matches!(verifier.verify(&signed, NOW), Verdict::Session(_)), "the old set stays");
    for left in ["[]", "[{}]"] {
        verifier.reload(&file(format!(r#"{{"keys":[{good}]}}"#))).expect("a set");
        assert!(matches!(verifier.verify(&signed, NOW), Verdict::Session(_)));
        verifier.reload(&file(format!(r#"{{"keys":{left}}}"#))).expect("a set without keys");
        assert_eq!(verifier.verify(&signed, NOW), Verdict::Invalid);
    }
}
