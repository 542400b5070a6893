//! Web tokens that were not issued by whoever holds the key.

use hmac::{Hmac, Mac};
use noexd::server::ServerThread;
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::{Client, start};

const SECRET: &str = "a secret of at least thirty-two bytes";
const RSA: &str = include_str!("../../src/access/jwt/testdata/rsa-spki.pem");
const RSA_TOKEN: &str = include_str!("../../src/access/jwt/testdata/rs256.jwt");
/// In the year 2100.
const LATER: u64 = 4_102_444_800;

fn base64url(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

fn sign(header: &Value, claims: &Value, key: &[u8]) -> String {
    let encode = |json: &Value| base64url(json.to_string().as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    let signature = mac.chain_update(signed.as_bytes()).finalize().into_bytes();
    format!("{signed}.{}", base64url(&signature))
}

fn server() -> ServerThread {
    start(json!({"auth": {"jwt": {
        "algorithms": ["HS256", "RS256"],
        "keys": [{"alg": "HS256", "secret": SECRET}, {"alg": "RS256", "publicKey": RSA}],
        "issuer": "https://issuer.example",
        "audience": ["noexd", "other"],
    }}}))
}

fn claims() -> Value {
    json!({"sub": "ann", "roles": ["reader"], "exp": LATER,
           "iss": "https://issuer.example", "aud": "noexd"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_token_of_the_issuer_is_a_session() {
    let server = server();
    let mut client = Client::connect(&server);
    let token = sign(&json!({"alg": "HS256"}), &claims(), SECRET.as_bytes());
    assert_eq!(
        client.ok("auth.login", json!({"token": token})),
        json!({"userId": "ann", "roles": ["reader"], "expiresAt": LATER * 1000})
    );
    client.ok("store.buckets", json!({}));
    assert_eq!(
        client.refused("server.stats", json!({})),
        "FORBIDDEN Role level insufficient for server.stats (requires admin)"
    );
}

#[test]
fn forged_tokens_are_nobodys() {
    let server = server();
    let hs256 = json!({"alg": "HS256"});
    let good = sign(&hs256, &claims(), SECRET.as_bytes());
    let parts: Vec<&str> = good.split('.').collect();
    let admin = base64url(with("roles", json!(["admin"])).to_string().as_bytes());
    let none = base64url(br#"{"alg":"none"}"#);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let signed = |claims: Value| sign(&hs256, &claims, SECRET.as_bytes());
    let forged = [
        ("alg none, no signature", format!("{none}.{admin}.")),
        ("alg none, the old signature", format!("{none}.{admin}.{}", parts[2])),
        ("alg none, signed", sign(&json!({"alg": "none"}), &claims(), SECRET.as_bytes())),
        ("alg NONE", sign(&json!({"alg": "NONE"}), &claims(), SECRET.as_bytes())),
        ("claims of its own, the old signature", format!("{}.{admin}.{}", parts[0], parts[2])),
        ("the public key as a secret", sign(&hs256, &claims(), RSA.as_bytes())),
        (
            "the public key without its last line break",
            sign(&hs256, &claims(), RSA.trim().as_bytes()),
        ),
        ("an empty secret", sign(&hs256, &claims(), b"")),
        ("another secret", sign(&hs256, &claims(), b"another secret of thirty-two bytes!!")),
        (
            "an algorithm that is not allowed",
            sign(&json!({"alg": "HS512"}), &claims(), SECRET.as_bytes()),
        ),
        (
            "a key in the header",
            sign(&json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "YQ"}}), &claims(), b"a"),
        ),
        (
            "an extension that must be understood",
            sign(&json!({"alg": "HS256", "crit": ["b64"]}), &claims(), SECRET.as_bytes()),
        ),
        ("not valid yet", signed(with("nbf", json!(now + 3600)))),
        ("no end", signed(with("exp", Value::Null))),
        ("an end that is a word", signed(with("exp", json!("never")))),
        ("another issuer", signed(with("iss", json!("https://evil.example")))),
        ("another audience", signed(with("aud", json!(["somebody"])))),
        ("nobody", signed(with("sub", json!("")))),
        ("a list of users", signed(with("sub", json!(["ann", "root"])))),
        ("roles that are no strings", signed(with("roles", json!([["admin"]])))),
        ("the issuer's key, but not its claims", RSA_TOKEN.trim().to_owned()),
        ("padding", format!("{good}=")),
        ("a fourth part", format!("{good}.{}", parts[2])),
        ("a space", format!(" {good}")),
        ("too long", signed(with("x", json!("y".repeat(20_000))))),
    ];
    for (what, token) in forged {
        // A session that is there stays as it is.
        let mut client = Client::connect(&server);
        client.ok("auth.login", json!({"token": good}));
        let refused = client.refused("auth.login", json!({"token": token}));
        assert_eq!(refused, "UNAUTHORIZED Invalid token", "{what}");
        assert_eq!(client.ok("auth.whoami", json!({}))["userId"], "ann", "{what}");
    }
    let mut client = Client::connect(&server);
    let expired = signed(with("exp", json!(now - 1)));
    let refused = client.refused("auth.login", json!({"token": expired}));
    assert_eq!(refused, "UNAUTHORIZED Token has expired");
    assert_eq!(client.refused("store.buckets", json!({})), "UNAUTHORIZED Authentication required");
}
