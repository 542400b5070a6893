//! JSON Web Tokens (RFC 7519) as a source of sessions (access.md section 3.2).
//!
//! The order of checks is the specification's; the signatures are checked by
//! maintained libraries (`keys`). Why a token is refused goes to the debug log
//! and nowhere else.

mod keys;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::{ReadFile, Session, Verdict};
use crate::config::{Jwt, JwtAlgorithm};
use crate::json::{self, DEFAULT_MAX_DEPTH, Json, Object};
use keys::Keys;

/// A longer token is nobody's.
const MAX_TOKEN_BYTES: usize = 16_384;
/// Integers beyond are not exact in a double.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Settings and loaded keys.
#[derive(Debug)]
pub struct JwtVerifier {
    settings: Jwt,
    keys: Keys,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    Invalid(&'static str),
    Expired,
}

use Refused::Invalid;

impl JwtVerifier {
    /// Loads the keys. The error has one line per problem, each with the path
    /// of the setting in front.
    pub fn load(settings: &Jwt, read: ReadFile<'_>) -> Result<Self, Vec<String>> {
        Ok(Self { keys: Keys::load(settings, read, true)?, settings: settings.clone() })
    }

    /// Reads the key files again; a key that is gone from them verifies nothing
    /// more. On an error the old keys stay.
    pub fn reload(&mut self, read: ReadFile<'_>) -> Result<(), Vec<String>> {
        self.keys = Keys::load(&self.settings, read, false)?;
        Ok(())
    }

    /// Whether the token is a web token, good or bad: three segments, the first
    /// a JSON object.
    pub fn recognises(&self, token: &str) -> bool {
        segments(token).is_some_and(|[header, _, _]| object(header).is_some())
    }

    /// What the token says, if it may be believed. `now_wall` in Unix
    /// milliseconds.
    pub fn verify(&self, token: &str, now_wall: u64) -> Verdict {
        match self.session(token, now_wall as f64) {
            Ok(session) => Verdict::Session(session),
            Err(Refused::Expired) => Verdict::Expired,
            Err(Invalid(reason)) => {
                log::debug!("web token refused: {reason}");
                Verdict::Invalid
            }
        }
    }

    fn session(&self, token: &str, now: f64) -> Result<Session, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Invalid("longer than 16384 bytes"));
        }
        let [header, payload, signature] =
            segments(token).ok_or(Invalid("not three non-empty segments"))?;
        let signed = token.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        let header = object(header).ok_or(Invalid("header is not a JSON object"))?;
        let claims = object(payload).ok_or(Invalid("payload is not a JSON object"))?;
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| Invalid("signature is not base64url"))?;

        let algorithm = header
            .get("alg")
            .and_then(Json::as_str)
            .and_then(JwtAlgorithm::from_name)
            .filter(|algorithm| self.settings.algorithms.contains(algorithm))
            .ok_or(Invalid("algorithm is not allowed"))?;
        if header.contains("crit") {
            return Err(Invalid("critical extensions are not supported"));
        }
        if !self.keys.verify(algorithm, header.get("kid"), signed.as_bytes(), &signature) {
            return Err(Invalid("no key verifies the signature"));
        }
        self.believe(&claims, now)
    }

    /// The claims of a token whose signature is good.
    fn believe(&self, claims: &Object, now: f64) -> Result<Session, Refused> {
        let settings = &self.settings;
        let tolerance = settings.clock_tolerance_ms as f64;
        if let Some(nbf) = claims.get("nbf") {
            let nbf = finite(nbf).ok_or(Invalid("nbf is not a finite number"))?;
            if now + tolerance < nbf * 1000.0 {
                return Err(Invalid("not valid yet"));
            }
        }
        if let Some(issuers) = &settings.issuers {
            let issuer = claims.get("iss").and_then(Json::as_str);
            if !issuer.is_some_and(|issuer| issuers.iter().any(|one| one == issuer)) {
                return Err(Invalid("iss is not accepted"));
            }
        }
        if let Some(audiences) = &settings.audiences {
            let accepted = |json: &Json| {
                json.as_str().is_some_and(|audience| audiences.iter().any(|one| one == audience))
            };
            let holds = match claims.get("aud") {
                Some(Json::Array(list)) => list.iter().any(accepted),
                Some(one) => accepted(one),
                None => false,
            };
            if !holds {
                return Err(Invalid("aud is not accepted"));
            }
        }
        let user_id =
            user_id(claim(claims, &settings.user_id_claim)).ok_or(Invalid("no user id"))?;
        let roles = self.roles(claims)?;
        let metadata = settings
            .metadata_claim
            .as_ref()
            .and_then(|path| claim(claims, path))
            .and_then(Json::as_object)
            .map(|object| Arc::new(object.clone()));
        let mut session = Session { metadata, ..Session::new(user_id, roles) };
        match claims.get("exp") {
            Some(exp) => {
                let exp = finite(exp).ok_or(Invalid("exp is not a finite number"))?;
                if now >= exp * 1000.0 + tolerance {
                    return Err(Refused::Expired);
                }
                session.expires_at = Some((exp * 1000.0).floor() + tolerance);
            }
            None if settings.require_exp => return Err(Invalid("no exp")),
            None => {}
        }
        Ok(session)
    }

    fn roles(&self, claims: &Object) -> Result<Vec<String>, Refused> {
        match claim(claims, &self.settings.roles_claim) {
            None | Some(Json::Null) => Ok(self.settings.default_roles.clone()),
            Some(Json::String(text)) => {
                Ok(text.split(' ').filter(|role| !role.is_empty()).map(String::from).collect())
            }
            Some(Json::Array(list)) => list
                .iter()
                .map(|role| role.as_str().map(String::from))
                .collect::<Option<_>>()
                .ok_or(Invalid("a role is not a string")),
            Some(_) => Err(Invalid("roles are neither a list nor a string")),
        }
    }
}

fn segments(token: &str) -> Option<[&str; 3]> {
    let mut parts = token.split('.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    let whole = parts.next().is_none() && three.iter().all(|part| !part.is_empty());
    whole.then_some(three)
}

/// A segment that is the strict base64url of a JSON object.
fn object(segment: &str) -> Option<Object> {
    let bytes = BASE64URL_NOPAD.decode(segment.as_bytes()).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    match json::parse(text, DEFAULT_MAX_DEPTH).ok()?.to_json() {
        Json::Object(object) => Some(object),
        _ => None,
    }
}

/// The claim of that literal name, else the one at the end of the dotted path.
fn claim<'c>(claims: &'c Object, path: &str) -> Option<&'c Json> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let mut names = path.split('.');
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

fn user_id(claim: Option<&Json>) -> Option<String> {
    match claim? {
        Json::String(text) if !text.is_empty() => Some(text.to_string()),
        Json::Number(number) if *number == number.trunc() && number.abs() <= MAX_SAFE_INTEGER => {
            Some(json::number_text(*number))
        }
        _ => None,
    }
}

fn finite(json: &Json) -> Option<f64> {
    json.as_number().filter(|number| number.is_finite())
}
