//! What a configuration must be as a whole, however it came about.

use super::resolve::is_on;
use super::table::{Kind, row, rows};
use super::{Auth, BuiltIn, Config, ConfigError, Console, ConsoleWhen, ListenAddress, Reader};
use crate::json::{Json, Object};

/// Shorter admin secrets draw a warning.
const SHORT_SECRET: usize = 16;

/// Roles of external sessions that have a tier.
const TIER_ROLES: &[&str] = &["reader", "writer", "admin"];

impl Config {
    /// Checks a configuration that was put together in code as one from a file
    /// would be.
    ///
    /// # Errors
    ///
    /// Every problem there is, with the path of its key in the file.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut reader = Reader::default();
        let mut config = self.clone();
        for row in rows() {
            let value = (row.slot)(&mut config).map(|setting| setting.json());
            // A secret that stands in a file is not there yet.
            let pending = row.secret && value.as_ref().and_then(Json::as_str) == Some("");
            if let Some(value) = value.filter(|value| !value.is_null() && !pending) {
                reader.at(row.path, |reader| row.check(&value, reader));
            }
        }
        if let Some(Auth::BuiltIn(auth)) = &self.auth
            && auth.admin_secret.expose().is_empty()
            && auth.admin_secret_file.is_none()
        {
            reader.at("auth.adminSecret", |reader| reader.problem("expected non-empty string"));
        }
        reader.problems.extend(self.placeholders());
        self.check_together(&mut reader);
        match reader.problems {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError { problems }),
        }
    }

    /// Reads what stands in files of its own: the admin secret. Comes before
    /// anything is opened.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no secret.
    pub fn load_secrets(&mut self) -> Result<(), ConfigError> {
        let Some(Auth::BuiltIn(auth)) = &mut self.auth else { return Ok(()) };
        let Some(path) = &auth.admin_secret_file else { return Ok(()) };
        let failed = |reason: String| {
            ConfigError::one("auth.adminSecretFile", format!("{}: {reason}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(failed("the file is empty".into()));
        }
        auth.admin_secret = super::Secret::new(text);
        Ok(())
    }

    /// What no single value shows.
    pub(super) fn check_together(&self, reader: &mut Reader) {
        self.check_available(reader);
        self.check_paths(reader);
        self.check_origins(reader);
        self.check_input(reader);
        self.check_listen(reader);
        let system = matches!(self.auth, Some(Auth::BuiltIn(_)));
        if let Some(Auth::BuiltIn(BuiltIn { signup: Some(signup), .. })) = &self.auth
            && signup.roles.is_empty()
        {
            reader.at("auth.signup.roles", |reader| reader.problem("expected at least one role"));
        }
        check_names("buckets", &self.buckets, system, reader);
        check_names("queries", &self.queries, system, reader);
        check_names("access.sets", &self.access_sets, false, reader);
    }

    /// Asking for what this version cannot do is an error; asking for nothing
    /// out of the ordinary is not.
    fn check_available(&self, reader: &mut Reader) {
        let (mut mine, mut default) = (self.clone(), Config::default());
        for wanted in rows() {
            let section = row(wanted.section());
            let section_on = section.and_then(|section| is_on(&default, section.path));
            let missing = match (wanted.missing, section.and_then(|section| section.missing)) {
                // Reported for the section, once.
                (None, Some(_)) if section_on == Some(false) => None,
                (missing, inherited) => missing.or(inherited),
            };
            let Some(what) = missing else { continue };
            let asked = match is_on(self, wanted.path) {
                Some(on) => on && is_on(&default, wanted.path) == Some(false),
                None => {
                    let json = |config: &mut Config| (wanted.slot)(config).map(|s| s.json());
                    let value = json(&mut mine);
                    value.is_some() && value != json(&mut default)
                }
            };
            if asked {
                let text = format!("{what} is not available in this version");
                reader.at(wanted.path, |reader| reader.problem(text));
            }
        }
    }

    /// A message that may be sent must have room.
    fn check_input(&self, reader: &mut Reader) {
        let least = self.max_payload_bytes;
        if let Some(bytes) = self.limits.max_input_bytes.filter(|bytes| *bytes < least) {
            let text = format!("expected at least maxPayloadBytes ({least}), got {bytes}");
            reader.at("limits.maxInputBytes", |reader| reader.problem(text));
        }
    }

    /// Everybody, and somebody as well, is a mistake.
    fn check_origins(&self, reader: &mut Reader) {
        let list = self.allowed_origins.as_deref().unwrap_or_default();
        for (at, _) in list.iter().enumerate().filter(|(_, one)| list.len() > 1 && *one == "*") {
            let path = format!("allowedOrigins[{at}]");
            reader.at(&path, |reader| reader.problem("\"*\" stands alone"));
        }
    }

    /// The console, if it is served wherever the server is.
    fn console_always(&self) -> Option<&Console> {
        self.console.as_ref().filter(|console| console.when == ConsoleWhen::Always)
    }

    /// Whether something else answers below this path.
    pub fn uses_path(&self, path: &str) -> bool {
        let metrics = self.metrics.as_ref().filter(|metrics| metrics.listen.is_none());
        let others = [
            self.health.as_ref().map(|health| &health.path),
            self.ready.as_ref().map(|ready| &ready.path),
            metrics.map(|metrics| &metrics.path),
            self.client.as_ref().map(|client| &client.path),
            self.http.as_ref().map(|http| &http.rpc),
            self.http.as_ref().map(|http| &http.live),
            Some(&self.path),
        ];
        others.into_iter().flatten().any(|other| other == path)
    }

    /// Two things cannot answer on one path of the listener.
    fn check_paths(&self, reader: &mut Reader) {
        let metrics = self.metrics.as_ref().filter(|metrics| metrics.listen.is_none());
        let paths = [
            ("path", Some(&self.path)),
            ("health.path", self.health.as_ref().map(|health| &health.path)),
            ("ready.path", self.ready.as_ref().map(|ready| &ready.path)),
            ("metrics.path", metrics.map(|metrics| &metrics.path)),
            ("console.path", self.console_always().map(|console| &console.path)),
            ("client.path", self.client.as_ref().map(|client| &client.path)),
            ("http.rpc", self.http.as_ref().map(|http| &http.rpc)),
            ("http.live", self.http.as_ref().map(|http| &http.live)),
        ];
        for (at, (name, path)) in paths.iter().enumerate() {
            let taken = paths.iter().take(at).find(|(_, other)| path.is_some() && other == path);
            if let Some((other, _)) = taken {
                let text = format!("must not be the same path as {other}");
                reader.at(name, |reader| reader.problem(text));
            }
        }
        // The core is this with `.js` behind it. `/` itself is nearly always taken.
        let ends = |path: &str| path != self.path && path.ends_with('/');
        if self.client.as_ref().is_some_and(|client| ends(&client.path)) {
            let text = "must not end with \"/\"".to_string();
            reader.at("client.path", |reader| reader.problem(text));
        }
    }

    /// The keys in which `other` differs, such as a file that was changed since.
    pub fn changed(&self, other: &Config) -> Vec<&'static str> {
        let (mut mine, mut theirs) = (self.clone(), other.clone());
        let changed = rows().filter(|row| {
            let json = |config: &mut Config| (row.slot)(config).map(|setting| setting.json());
            is_on(self, row.path) != is_on(other, row.path) || json(&mut mine) != json(&mut theirs)
        });
        changed.map(|row| row.path).collect()
    }

    /// What differs from the defaults, on one line, without secrets.
    pub fn summary(&self) -> String {
        let (mut mine, mut default) = (self.clone(), Config::default());
        let mut parts = Vec::new();
        for row in rows() {
            match is_on(self, row.path) {
                Some(on) if Some(on) == is_on(&default, row.path) => continue,
                Some(on) => {
                    parts.push(format!("{} {}", row.path, if on { "on" } else { "off" }));
                    continue;
                }
                None => {}
            }
            let json = |config: &mut Config| (row.slot)(config).map(|setting| setting.json());
            let Some(value) = json(&mut mine) else { continue };
            if Some(&value) == json(&mut default).as_ref() || value.is_null() {
                continue;
            }
            let shown = match &value {
                _ if row.secret => "set".to_owned(),
                // Its members are not definitions.
                Json::Object(_) if matches!(row.kind, Kind::Any(_) | Kind::Object("object")) => {
                    "set".to_owned()
                }
                Json::Object(members) => format!("{} defined", members.len()),
                Json::Array(elements) if elements.iter().any(|e| e.as_str().is_none()) => {
                    format!("{} defined", elements.len())
                }
                other => other.to_text(),
            };
            parts.push(format!("{} {shown}", row.path));
        }
        if parts.is_empty() { "all defaults".into() } else { parts.join(", ") }
    }

    /// What is legal, but seldom meant; for the log.
    pub fn oddities(&self) -> Vec<String> {
        let mut reader = Reader::default();
        self.look_for_oddities(&mut reader);
        reader.warnings
    }

    fn look_for_oddities(&self, reader: &mut Reader) {
        self.look_at_exposure(reader);
        for placeholder in self.placeholders() {
            reader.warn(placeholder.to_string());
        }
        let super::Heartbeat { interval_ms, timeout_ms } = self.heartbeat;
        let is_chosen = timeout_ms != super::Heartbeat::default().timeout_ms;
        if is_chosen && interval_ms > 0 && timeout_ms > interval_ms {
            reader.warn(format!(
                "heartbeat.timeoutMs: {timeout_ms} is longer than intervalMs ({interval_ms}), \
                 which counts instead"
            ));
        }
        for origin in self.allowed_origins.iter().flatten().filter(|origin| *origin != "*") {
            if let Some(reason) = odd_origin(origin) {
                reader.warn(format!("allowedOrigins: no browser sends \"{origin}\": {reason}"));
            }
        }
        match &self.auth {
            Some(Auth::BuiltIn(auth)) => {
                // One that stands in a file may not have been read yet.
                let length = auth.admin_secret.expose().chars().count();
                let is_short = (1..SHORT_SECRET).contains(&length);
                if is_short && self.placeholders().is_empty() {
                    let place = match &auth.admin_secret_file {
                        None => "auth.adminSecret",
                        Some(_) => "the secret of auth.adminSecretFile",
                    };
                    reader.warn(format!("{place} is shorter than 16 characters"));
                }
            }
            Some(Auth::External(auth)) => {
                let roles = |roles: &[String]| roles.iter().any(|r| TIER_ROLES.contains(&&**r));
                let tokens = auth.tokens.as_deref().unwrap_or_default();
                let unlimited = auth.custom_role_tier == super::CustomRoleTier::Admin
                    && auth.permissions.is_none();
                if unlimited && tokens.iter().any(|token| !roles(&token.roles)) {
                    reader.warn(
                        "auth.tokens: a token without any of the roles reader, writer and admin \
                         may do everything (set auth.permissions or auth.customRoleTier)",
                    );
                }
                if unlimited && auth.jwt.as_ref().is_some_and(|jwt| !roles(&jwt.default_roles)) {
                    reader.warn(
                        "auth.jwt.defaultRoles: whose token names no roles may do everything (set \
                         auth.permissions or auth.customRoleTier)",
                    );
                }
                if !auth.required && auth.anonymous_roles.is_none() {
                    reader.warn(
                        "auth.required is false and auth.anonymousRoles is not set: whoever does \
                         not log in may do everything",
                    );
                }
                if auth.required && auth.anonymous_roles.is_some() {
                    reader.warn("auth.anonymousRoles has no effect unless auth.required is false");
                }
            }
            None => {}
        }
    }

    fn look_at_exposure(&self, reader: &mut Reader) {
        for (at, entry) in self.listeners().iter().enumerate() {
            let place = match &entry.address {
                ListenAddress::Tcp { host, .. } if self.listen.is_empty() => format!("host {host}"),
                address => format!("listen[{at}]: {address}"),
            };
            if entry.address.is_public() {
                self.exposure(&place).into_iter().for_each(|warning| reader.warn(warning));
            }
        }
    }

    /// What to say of a listener that other machines reach.
    pub(crate) fn exposure(&self, place: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.auth.is_none() {
            warnings.push(format!(
                "{place} is reachable from other machines and auth is not configured: whoever \
                 connects may read and change everything"
            ));
        }
        if self.rate_limit.is_none() {
            warnings.push(format!(
                "{place} is reachable from other machines and rateLimit is not configured"
            ));
        }
        warnings
    }
}

fn check_names(section: &str, definitions: &Object, system: bool, reader: &mut Reader) {
    for (name, definition) in definitions.iter() {
        reader.at(section, |reader| {
            if name.is_empty() {
                reader.problem("names must not be empty");
            } else if system && name.starts_with('_') {
                let text = "names that begin with \"_\" belong to the system with built-in users";
                reader.problem_at(name, text);
            }
            if !matches!(definition, Json::Object(_)) {
                let got = super::problem::shown(definition);
                reader.problem_at(name, format!("expected object, got {got}"));
            } else if system {
                reader.inside(name, |reader| check_references(definition, reader));
            }
        });
    }
}

/// A reference to a bucket of the system would tell which keys exist there, and
/// keep users from being deleted. `place` is a bucket definition or, nested in
/// one, a field.
fn check_references(place: &Json, reader: &mut Reader) {
    let Some(members) = place.as_object() else { return };
    if let Some(target) = members.get("ref").and_then(Json::as_str).filter(|t| t.starts_with('_')) {
        reader.problem_at("ref", format!("Cannot access system bucket \"{target}\" directly"));
    }
    for name in ["schema", "properties"] {
        for (field, body) in
            members.get(name).and_then(Json::as_object).into_iter().flat_map(Object::iter)
        {
            reader.inside(name, |reader| reader.inside(field, |r| check_references(body, r)));
        }
    }
    if let Some(items) = members.get("items") {
        reader.inside("items", |reader| check_references(items, reader));
    }
}

/// Why a browser would never send this as `Origin`.
fn odd_origin(origin: &str) -> Option<&'static str> {
    if origin == "null" {
        return None;
    }
    let Some((scheme, host)) = origin.split_once("://") else {
        return Some("an origin has the form scheme://host or scheme://host:port");
    };
    if host.contains('/') {
        Some("an origin has no path and no slash at the end")
    } else if origin.chars().any(char::is_uppercase) {
        Some("browsers send scheme and host in lower case")
    } else if (scheme == "http" && host.ends_with(":80"))
        || (scheme == "https" && host.ends_with(":443"))
    {
        Some("browsers leave out the default port")
    } else {
        None
    }
}
