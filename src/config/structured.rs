//! Settings with a form of their own: read member by member, every problem with
//! its path.

use super::print::placeholder;
use super::problem::{Members, Reader, shown, shown_kind, unknown_operation};
use super::setting::{Setting, one_of};
use super::{
    AuditFile, Jwt, JwtAlgorithm, JwtKey, JwtKeyMaterial, PermissionRule, RuleGroup, Secret,
    StaticToken, StoreEvents, TokenKey,
};
use crate::json::{Json, Object};

/// `"file": "x"` is short for `"file": {"path": "x"}`.
impl Setting for Option<AuditFile> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        if value.as_str().is_some() {
            *self = non_empty(reader, value).map(AuditFile::new);
            return;
        }
        if value.as_object().is_none() {
            reader.problem(format!("expected string or object, got {}", shown(value)));
            return;
        }
        let known = ["path", "sync", "maxBytes", "maxFiles", "restore"];
        let Some(members) = reader.object(value, &known) else { return };
        let path = members.require(reader, "path", non_empty);
        let mut file = AuditFile::new(path.unwrap_or_default());
        set(&members, reader, "sync", &mut file.sync);
        file.max_bytes = members.read(reader, "maxBytes", |r, value| integer(r, value, 4096));
        if let Some(files) = members.read(reader, "maxFiles", |r, value| integer(r, value, 1)) {
            file.max_files = usize::try_from(files).unwrap_or(usize::MAX);
        }
        set(&members, reader, "restore", &mut file.restore);
        *self = Some(file);
    }

    fn json(&self) -> Json {
        let Some(file) = self else { return Json::Null };
        let mut object = Object::new();
        object.insert("path", file.path.json());
        object.insert("sync", file.sync.json());
        object.insert("maxBytes", file.max_bytes.json());
        object.insert("maxFiles", file.max_files.json());
        object.insert("restore", Json::Bool(file.restore));
        Json::Object(object)
    }
}

fn set(members: &Members<'_>, reader: &mut Reader, name: &str, setting: &mut dyn Setting) {
    members.read(reader, name, |reader, value| {
        setting.read(value, reader);
        Some(())
    });
}

/// An integer of at least `min`.
fn integer(reader: &mut Reader, value: &Json, min: u64) -> Option<u64> {
    let fits = |number: &f64| number.fract() == 0.0 && *number >= min as f64;
    let number = value.as_number().filter(fits);
    if number.is_none() {
        reader.problem(format!("expected integer >= {min}, got {}", shown(value)));
    }
    number.map(|number| number as u64)
}

/// `false`, `true` or `{buckets, prefix}`.
impl Setting for Option<StoreEvents> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        *self = match value {
            Json::Bool(false) => None,
            Json::Bool(true) => Some(StoreEvents::default()),
            Json::Object(_) => {
                let mut events = StoreEvents::default();
                if let Some(members) = reader.object(value, &["buckets", "prefix"]) {
                    set(&members, reader, "buckets", &mut events.buckets);
                    if let Some(prefix) = members.read(reader, "prefix", non_empty) {
                        events.prefix = prefix;
                    }
                }
                Some(events)
            }
            other => {
                reader.problem(format!("expected boolean or object, got {}", shown(other)));
                None
            }
        };
    }

    fn json(&self) -> Json {
        let Some(events) = self else { return Json::Bool(false) };
        let mut object = Object::new();
        object.insert("buckets", events.buckets.json());
        object.insert("prefix", events.prefix.json());
        Json::Object(object)
    }
}

fn non_empty(reader: &mut Reader, value: &Json) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    if text.is_none() {
        reader.problem(format!("expected non-empty string, got {}", shown(value)));
    }
    text.map(str::to_owned)
}

impl Setting for Vec<RuleGroup> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let groups = reader.elements(value.as_array().unwrap_or_default(), |reader, element| {
            let members = reader.object(element, &["id", "name", "description", "enabled"])?;
            let id = members.require(reader, "id", non_empty);
            let name = members.require(reader, "name", non_empty);
            let description = members.read(reader, "description", Reader::text);
            let mut enabled = true;
            set(&members, reader, "enabled", &mut enabled);
            Some(RuleGroup { id: id?, name: name?, description, enabled })
        });
        for (at, group) in groups.iter().enumerate() {
            if groups.iter().take(at).any(|earlier| earlier.id == group.id) {
                reader.problem_at(&format!("[{at}]"), format!("duplicate id \"{}\"", group.id));
            }
        }
        *self = groups;
    }

    fn json(&self) -> Json {
        let group = |group: &RuleGroup| {
            let mut object = Object::new();
            object.insert("id", group.id.json());
            object.insert("name", group.name.json());
            object.insert("description", group.description.json());
            object.insert("enabled", group.enabled.json());
            Json::Object(object)
        };
        Json::Array(self.iter().map(group).collect())
    }
}

impl Setting for Vec<PermissionRule> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let rules = reader.elements(value.as_array().unwrap_or_default(), |reader, element| {
            let members = reader.object(element, &["role", "allow", "buckets", "topics"])?;
            let role = members.require(reader, "role", non_empty);
            let allow = members.require(reader, "allow", |reader, value| match value {
                Json::String(pattern) => Some(vec![String::from(&**pattern)]),
                Json::Array(_) => reader.texts(value),
                other => {
                    let text = "expected string or array of strings";
                    reader.problem(format!("{text}, got {}", shown(other)));
                    None
                }
            });
            for (at, pattern) in allow.iter().flatten().enumerate() {
                if let Some(problem) = unknown_operation(pattern) {
                    let list = members.is_list("allow");
                    let path = if list { format!("allow[{at}]") } else { "allow".to_owned() };
                    reader.problem_at(&path, problem);
                }
            }
            let buckets = members.read(reader, "buckets", Reader::texts);
            let topics = members.read(reader, "topics", Reader::texts);
            Some(PermissionRule { role: role?, allow: allow?, buckets, topics })
        });
        *self = rules;
    }

    fn json(&self) -> Json {
        let rule = |rule: &PermissionRule| {
            let mut object = Object::new();
            object.insert("role", rule.role.json());
            object.insert("allow", rule.allow.json());
            object.insert("buckets", rule.buckets.json());
            object.insert("topics", rule.topics.json());
            Json::Object(object)
        };
        Json::Array(self.iter().map(rule).collect())
    }
}

const DIGEST: &str = "sha256:";

/// Tokens are named by their number in messages: their text is a secret.
impl Setting for Vec<StaticToken> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let Some(object) = value.as_object() else {
            reader.problem(format!("expected object, got {}", shown_kind(value)));
            return;
        };
        *self = object
            .iter()
            .enumerate()
            .filter_map(|(at, (token, entry))| {
                reader.inside(&format!("[{at}]"), |reader| read_token(token, entry, reader))
            })
            .collect();
    }

    fn json(&self) -> Json {
        tokens_json(self, |secret, _| secret.expose().to_owned())
    }

    fn shown(&self) -> Json {
        tokens_json(self, |_, at| placeholder(at))
    }
}

/// `name` gives the names of tokens whose text is known, by their places.
fn tokens_json(tokens: &[StaticToken], name: impl Fn(&Secret, usize) -> String) -> Json {
    let mut object = Object::new();
    for (at, token) in tokens.iter().enumerate() {
        let key = match &token.key {
            TokenKey::Plain(secret) => name(secret, at),
            TokenKey::Sha256(digest) => {
                let hex = digest.iter().map(|byte| format!("{byte:02x}"));
                hex.fold(DIGEST.to_owned(), |text, byte| text + &byte)
            }
        };
        let mut entry = Object::new();
        entry.insert("userId", token.user_id.json());
        entry.insert("roles", token.roles.json());
        entry.insert("metadata", token.metadata.json());
        entry.insert("expiresAt", token.expires_at.json());
        object.insert(key, Json::Object(entry));
    }
    Json::Object(object)
}

fn read_token(token: &str, entry: &Json, reader: &mut Reader) -> Option<StaticToken> {
    let key = match token.strip_prefix(DIGEST) {
        _ if token.is_empty() => {
            reader.problem("the token must not be empty");
            None
        }
        None => Some(TokenKey::Plain(Secret::new(token))),
        Some(hex) => {
            let digest = read_digest(hex);
            if digest.is_none() {
                reader.problem("expected 64 hex digits after \"sha256:\"");
            }
            digest.map(TokenKey::Sha256)
        }
    };
    let members = reader.object(entry, &["userId", "roles", "metadata", "expiresAt"])?;
    let user_id = members.require(reader, "userId", non_empty);
    let roles = members.read(reader, "roles", Reader::texts).unwrap_or_default();
    let metadata = members.read(reader, "metadata", |reader, value| {
        if value.as_object().is_none() {
            reader.problem(format!("expected object, got {}", shown(value)));
        }
        value.as_object().cloned()
    });
    let expires_at = members.read(reader, "expiresAt", |reader, value| {
        let time = value.as_number().filter(|time| time.is_finite());
        if time.is_none() {
            reader.problem(format!("expected Unix time in milliseconds, got {}", shown(value)));
        }
        time
    });
    Some(StaticToken { key: key?, user_id: user_id?, roles, metadata, expires_at })
}

fn read_digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let text = std::str::from_utf8(digits).ok()?;
        // `from_str_radix` would take a sign.
        let plain = digits.iter().all(u8::is_ascii_hexdigit);
        *byte = u8::from_str_radix(text, 16).ok().filter(|_| plain)?;
    }
    Some(digest)
}

/// Where a key may stand: in `auth.jwt` itself, or in an element of its `keys`.
const MATERIAL: [&str; 5] = ["secret", "secretBase64", "secretFile", "publicKey", "publicKeyFile"];

impl Setting for Option<Box<Jwt>> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let mut known = vec![
            "algorithms",
            "keys",
            "jwksFile",
            "issuer",
            "audience",
            "clockToleranceMs",
            "requireExp",
            "userIdClaim",
            "rolesClaim",
            "defaultRoles",
            "metadataClaim",
        ];
        known.extend(MATERIAL);
        let Some(members) = reader.object(value, &known) else { return };
        let algorithms = members.require(reader, "algorithms", read_algorithms).unwrap_or_default();
        let mut jwt = Jwt::new(algorithms, Vec::new());
        jwt.keys = read_keys(&members, reader);
        jwt.jwks_file = members.read(reader, "jwksFile", non_empty).map(Into::into);
        let given = MATERIAL.iter().chain(&["keys", "jwksFile"]).any(|name| members.has(name));
        if !given {
            reader.problem(format!("expected a key: {}, keys or jwksFile", MATERIAL.join(", ")));
        }
        jwt.issuers = members.read(reader, "issuer", one_or_several);
        jwt.audiences = members.read(reader, "audience", one_or_several);
        if let Some(time) = members.read(reader, "clockToleranceMs", |r, v| integer(r, v, 0)) {
            jwt.clock_tolerance_ms = time;
        }
        set(&members, reader, "requireExp", &mut jwt.require_exp);
        if let Some(claim) = members.read(reader, "userIdClaim", non_empty) {
            jwt.user_id_claim = claim;
        }
        if let Some(claim) = members.read(reader, "rolesClaim", non_empty) {
            jwt.roles_claim = claim;
        }
        jwt.metadata_claim = members.read(reader, "metadataClaim", non_empty);
        set(&members, reader, "defaultRoles", &mut jwt.default_roles);
        *self = Some(Box::new(jwt));
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, |jwt| jwt_json(jwt, Secret::json))
    }

    fn shown(&self) -> Json {
        self.as_ref().map_or(Json::Null, |jwt| jwt_json(jwt, Secret::shown))
    }
}

fn jwt_json(jwt: &Jwt, secret: fn(&Secret) -> Json) -> Json {
    let mut object = Object::new();
    let names = jwt.algorithms.iter().map(|algorithm| Json::from(algorithm.as_str()));
    object.insert("algorithms", Json::Array(names.collect()));
    match &*jwt.keys {
        [] => {}
        // A key that is for all algorithms stands for itself.
        [key] if key.algorithm.is_none() => insert_material(&mut object, key, secret),
        keys => {
            let keys = keys.iter().map(|key| key_json(key, secret));
            object.insert("keys", Json::Array(keys.collect()));
        }
    }
    object.insert("jwksFile", jwt.jwks_file.json());
    object.insert("issuer", jwt.issuers.json());
    object.insert("audience", jwt.audiences.json());
    object.insert("clockToleranceMs", jwt.clock_tolerance_ms.json());
    object.insert("requireExp", jwt.require_exp.json());
    object.insert("userIdClaim", jwt.user_id_claim.json());
    object.insert("rolesClaim", jwt.roles_claim.json());
    object.insert("metadataClaim", jwt.metadata_claim.json());
    object.insert("defaultRoles", jwt.default_roles.json());
    Json::Object(object)
}

fn key_json(key: &JwtKey, secret: fn(&Secret) -> Json) -> Json {
    let mut object = Object::new();
    object.insert("kid", key.kid.json());
    object.insert("alg", key.algorithm.map_or(Json::Null, |alg| Json::from(alg.as_str())));
    insert_material(&mut object, key, secret);
    Json::Object(object)
}

fn insert_material(object: &mut Object, key: &JwtKey, secret: fn(&Secret) -> Json) {
    match &key.material {
        JwtKeyMaterial::Secret(text) => object.insert("secret", secret(text)),
        JwtKeyMaterial::SecretBase64(text) => object.insert("secretBase64", secret(text)),
        JwtKeyMaterial::SecretFile(path) => object.insert("secretFile", path.json()),
        JwtKeyMaterial::PublicKey(pem) => object.insert("publicKey", pem.json()),
        JwtKeyMaterial::PublicKeyFile(path) => object.insert("publicKeyFile", path.json()),
    };
}

fn read_algorithms(reader: &mut Reader, value: &Json) -> Option<Vec<JwtAlgorithm>> {
    let Some(elements) = value.as_array().filter(|elements| !elements.is_empty()) else {
        reader.problem(format!("expected non-empty array of algorithms, got {}", shown(value)));
        return None;
    };
    Some(reader.elements(elements, read_algorithm))
}

fn read_algorithm(reader: &mut Reader, value: &Json) -> Option<JwtAlgorithm> {
    let algorithm = value.as_str().and_then(JwtAlgorithm::from_name);
    if algorithm.is_none() {
        reader.problem(one_of(&JwtAlgorithm::ALL.map(JwtAlgorithm::as_str), value));
    }
    algorithm
}

fn one_or_several(reader: &mut Reader, value: &Json) -> Option<Vec<String>> {
    match value {
        Json::String(text) => Some(vec![String::from(&**text)]),
        Json::Array(_) => reader.texts(value),
        other => {
            reader.problem(format!("expected string or array of strings, got {}", shown(other)));
            None
        }
    }
}

/// The single key of `auth.jwt`, or the elements of its `keys`.
fn read_keys(members: &Members<'_>, reader: &mut Reader) -> Vec<JwtKey> {
    let single = MATERIAL.iter().any(|name| members.has(name));
    if single && members.has("keys") {
        reader.problem_at("keys", "expected either keys or a single key, got both");
    }
    let mut keys = Vec::new();
    if single {
        keys.extend(read_key(members, reader, None, None));
    }
    let several = members.read(reader, "keys", |reader, value| {
        let Some(elements) = value.as_array() else {
            reader.problem(format!("expected array of keys, got {}", shown_kind(value)));
            return None;
        };
        Some(reader.elements(elements, |reader, element| {
            let mut known = vec!["kid", "alg"];
            known.extend(MATERIAL);
            let members = reader.object(element, &known)?;
            let kid = members.read(reader, "kid", non_empty);
            let algorithm = members.require(reader, "alg", read_algorithm);
            read_key(&members, reader, kid, Some(algorithm?))
        }))
    });
    keys.extend(several.unwrap_or_default());
    keys
}

/// The one key that these members give.
fn read_key(
    members: &Members<'_>,
    reader: &mut Reader,
    kid: Option<String>,
    algorithm: Option<JwtAlgorithm>,
) -> Option<JwtKey> {
    let mut given = MATERIAL.iter().filter(|name| members.has(name));
    let (Some(&name), None) = (given.next(), given.next()) else {
        reader.problem(format!("expected exactly one of {}", MATERIAL.join(", ")));
        return None;
    };
    members.read(reader, name, |reader, value| {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
            reader.problem(format!("expected non-empty string, got {}", shown_kind(value)));
            return None;
        };
        let material = match name {
            "secret" => JwtKeyMaterial::Secret(Secret::new(text)),
            "secretBase64" => JwtKeyMaterial::SecretBase64(Secret::new(text)),
            "secretFile" => JwtKeyMaterial::SecretFile(text.into()),
            "publicKey" => JwtKeyMaterial::PublicKey(text.to_owned()),
            _ => JwtKeyMaterial::PublicKeyFile(text.into()),
        };
        Some(JwtKey { path: reader.path().to_owned(), kid, algorithm, material })
    })
}
