//! From options as given to one [`Config`]: what they mean together.

use super::listen::NOT_BOTH;
use super::options::{Given, Options, Source};
use super::table::{BUILT_IN, EXTERNAL, Kind, Row, rows};
use super::{
    Auth, BuiltIn, Config, ConfigError, External, LoginRateLimit, LoginScope, Permissions,
    RateLimit,
};
use super::{ConsoleWhen, Tls, TlsVersion};
use crate::json::Json;

/// Where the reference's tool puts data when nobody says where.
const LEGACY_DATA_DIR: &str = "./data";
const LEGACY_DB: &str = "./noex.db";

const SECRET: &str = "auth.adminSecret";
const SECRET_FILE: &str = "auth.adminSecretFile";

/// What the reference's tool says; noexd keeps it for its spellings.
/// The second line is about the first.
const SECRET_REQUIRED: &str = "--admin-secret is required when --auth is enabled\n  better use --admin-secret-file FILE, auth.adminSecretFile or NOEXD_ADMIN_SECRET: others see a flag";

/// A configuration with what should be said about it.
#[derive(Debug)]
pub struct Resolved {
    /// What a server is built from.
    pub config: Config,
    /// What was given without effect, and the like; for the log. What is odd
    /// about the configuration itself: [`Config::oddities`].
    pub warnings: Vec<String>,
}

impl Options {
    /// Checks everything that was given together.
    ///
    /// # Errors
    ///
    /// Every problem there is, with its path and what would be right.
    pub fn resolve(self) -> Result<Resolved, ConfigError> {
        self.resolve_over(Config::default())
    }

    /// As [`Options::resolve`], with `config` in place of the defaults.
    ///
    /// # Errors
    ///
    /// As [`Options::resolve`].
    pub fn resolve_over(self, config: Config) -> Result<Resolved, ConfigError> {
        self.resolve_with(config, |_| Ok(()))
    }

    /// As [`Options::resolve_over`]; `definitions` looks at what only the parts
    /// of the server understand, in a configuration that may have other
    /// problems.
    ///
    /// # Errors
    ///
    /// As [`Options::resolve`], with the problems that `definitions` found.
    pub fn resolve_with(
        mut self,
        mut config: Config,
        definitions: impl FnOnce(&Config) -> Result<(), ConfigError>,
    ) -> Result<Resolved, ConfigError> {
        self.translate_persistence();
        self.choose_listeners();
        if self.has("auth") || self.has("auth.builtIn") || config.auth.is_none() {
            config.auth = self.resolve_auth();
        }
        for row in rows() {
            self.resolve_row(row, &mut config);
        }
        self.require("rateLimit", &["rateLimit.maxRequests", "rateLimit.windowMs"]);
        self.require("tls", &["tls.cert", "tls.key"]);
        let durable = self.has("durability") || self.has("durabilityIntervalMs");
        if durable && !config.persistence.is_enabled() {
            self.reader.warn("durability is ignored: without dataDir or db nothing is kept");
        }
        if self.source(SECRET) == Some(Source::Flag) {
            self.reader.warn(
                "--admin-secret: other users of this machine can see it in the list of processes \
                 (use --admin-secret-file or NOEXD_ADMIN_SECRET)",
            );
        }
        if self.has("revocation") && config.auth.is_none() {
            self.reader.warn("revocation has no effect without auth");
        }
        config.check_together(&mut self.reader);
        ConfigError::together(ConfigError::of(self.reader.problems), definitions(&config))?;
        Ok(Resolved { config, warnings: self.reader.warnings })
    }

    fn resolve_row(&mut self, row: &'static Row, config: &mut Config) {
        match row.kind {
            Kind::Switch | Kind::AutoSwitch | Kind::OffOrSection => match self.value(row.path) {
                Some(Json::Bool(on)) => switch(config, row.path, *on),
                // The default says it.
                Some(Json::String(_)) => {}
                Some(_) => switch(config, row.path, true),
                None => {}
            },
            // Flags set members without their section.
            Kind::OptionalSection
                if self.given.keys().any(|path| path.starts_with(row.path))
                    && !self.has_bad(row.path) =>
            {
                switch(config, row.path, true);
            }
            _ => {
                let value = self.given.get(row.path).and_then(|given| given.value.as_ref());
                if let (Some(value), Some(setting)) = (value, (row.slot)(config)) {
                    self.reader.at(row.path, |reader| setting.read(value, reader));
                }
            }
        }
    }

    fn has_bad(&self, path: &str) -> bool {
        self.has(path) && self.value(path).is_none()
    }

    /// Members that a section cannot do without.
    fn require(&mut self, section: &str, members: &[&'static str]) {
        let wanted = self.value(section).is_some() || members.iter().any(|path| self.has(path));
        let missing = members.iter().filter(|path| wanted && !self.given.contains_key(*path));
        for path in missing {
            self.reader.at(path, |reader| reader.problem("required"));
        }
    }

    /// `listen` stands in the place of `host` and `port`: it overrides those of
    /// weaker sources and does not go with others.
    fn choose_listeners(&mut self) {
        let Some(listen) = self.source("listen") else { return };
        let mut is_both = false;
        for path in ["host", "port"] {
            is_both |= self.source(path).is_some_and(|source| source >= listen);
            self.given.remove(path);
        }
        if is_both {
            self.reader.at("listen", |reader| reader.problem(NOT_BOTH));
        }
    }

    /// `persistence` of the reference's tool, in terms of `dataDir` and `db`.
    /// What a later source says about those stands.
    fn translate_persistence(&mut self) {
        let Some(Given { source, value }) = self.given.remove("persistence") else { return };
        let Some(kind) = value.as_ref().and_then(Json::as_str) else { return };
        let (keep, default) = match kind {
            "file" => ("dataDir", LEGACY_DATA_DIR),
            "sqlite" => ("db", LEGACY_DB),
            _ => ("", ""),
        };
        for path in ["dataDir", "db"] {
            if path != keep && self.source(path).is_some_and(|given| given <= source) {
                self.given.remove(path);
            }
        }
        if !keep.is_empty() && !self.has("dataDir") && !self.has("db") {
            self.give(keep, source, Some(Json::from(default)));
        }
    }

    /// Decides which kind of authentication there is; its rows then fill it in.
    fn resolve_auth(&mut self) -> Option<Auth> {
        self.translate_secret();
        let flag = self.source("auth.builtIn") == Some(Source::Flag);
        let short = flag || self.value("auth") == Some(&Json::Bool(true));
        let object = matches!(self.value("auth"), Some(Json::Object(_)));
        if !short && !object {
            if !self.has_bad("auth") && (self.has(SECRET) || self.has(SECRET_FILE)) {
                self.reader.warn("the admin secret is unused: auth is not switched on");
            }
            return None;
        }
        let given = |paths: &[&'static str]| -> Vec<&'static str> {
            paths.iter().copied().filter(|path| self.has(path)).collect()
        };
        let external = given(EXTERNAL);
        if short || self.value("auth.builtIn") == Some(&Json::Bool(true)) {
            if flag && !external.is_empty() {
                let text = "the configuration file sets up external tokens instead";
                self.reader.at("--auth", |reader| reader.problem(text));
            } else {
                self.foreign(&external, "built-in users (builtIn)");
            }
            return self.resolve_built_in(short);
        }
        // Secrets from outside the file are there for whoever needs them.
        let mut built_in = given(BUILT_IN);
        built_in.retain(|path| self.source(path) == Some(Source::File));
        if external.iter().any(|path| matches!(*path, "auth.tokens" | "auth.jwt")) {
            self.foreign(&built_in, "external tokens");
            return Some(Auth::External(External::default()));
        }
        if !self.has_bad("auth.builtIn") {
            let text = "expected \"builtIn\": true, \"tokens\" or \"jwt\"";
            self.reader.at("auth", |reader| reader.problem(text));
        }
        None
    }

    fn foreign(&mut self, paths: &[&str], mode: &str) {
        for path in paths {
            self.reader.at(path, |reader| reader.problem(format!("does not go with {mode}")));
        }
    }

    /// `adminSecret` at the top, where the reference's tool has it.
    fn translate_secret(&mut self) {
        let Some(given) = self.given.remove("adminSecret") else { return };
        match self.source(SECRET) {
            None => {
                self.given.insert(SECRET, given);
            }
            Some(Source::File) => {
                let text = "given twice: here and as auth.adminSecret";
                self.reader.at("adminSecret", |reader| reader.problem(text));
            }
            Some(_) => {}
        }
    }

    fn resolve_built_in(&mut self, short: bool) -> Option<Auth> {
        match (self.source(SECRET), self.source(SECRET_FILE)) {
            (None, None) => {
                let (place, text) = match short {
                    true => ("", SECRET_REQUIRED),
                    false => (SECRET, "required (or adminSecretFile, or NOEXD_ADMIN_SECRET)"),
                };
                self.reader.at(place, |reader| reader.problem(text));
                return None;
            }
            (Some(text), Some(file)) if text == file => {
                let text = "expected one of adminSecret and adminSecretFile, got both";
                self.reader.at(SECRET, |reader| reader.problem(text));
            }
            (Some(text), file) if Some(text) > file => {
                self.given.remove(SECRET_FILE);
            }
            (Some(_), _) => {
                self.given.remove(SECRET);
            }
            (None, Some(_)) => {}
        }
        let secret = self.value(SECRET).and_then(Json::as_str).unwrap_or_default();
        Some(Auth::BuiltIn(BuiltIn::new(secret)))
    }
}

/// Switches a section on, with its defaults unless it is on already, or off.
fn switch(config: &mut Config, path: &str, on: bool) {
    if on && is_on(config, path) == Some(true) {
        return;
    }
    match path {
        // The members without defaults are required: nobody sees these.
        "rateLimit" => {
            config.rate_limit = on.then_some(RateLimit { max_requests: 1, window_ms: 1 })
        }
        "tls" => {
            config.tls = on.then(|| Tls {
                cert: Default::default(),
                key: Default::default(),
                min_version: TlsVersion::default(),
                client_ca: None,
            });
        }
        "health" => config.health = on.then(Default::default),
        "ready" => config.ready = on.then(Default::default),
        "metrics" => config.metrics = on.then(Default::default),
        "http" => config.http = on.then(Default::default),
        "console" => config.console = on.then(Default::default),
        "client" => config.client = on.then(Default::default),
        "continuity" => config.continuity = on.then(Default::default),
        "rules" => config.rules = on.then(Default::default),
        "procedures" => config.procedures = on.then(Default::default),
        "logic" => config.logic = on.then(Default::default),
        "audit" => config.audit = on.then(Default::default),
        "auth.signup" => {
            if let Some(Auth::BuiltIn(auth)) = &mut config.auth {
                auth.signup = on.then(Default::default);
            }
        }
        "auth.permissions" => {
            if let Some(Auth::External(auth)) = &mut config.auth {
                auth.permissions = on.then(Permissions::default);
            }
        }
        "auth.loginRateLimit" => {
            match &mut config.auth {
                Some(Auth::External(auth)) => {
                    auth.login_rate_limit = on.then(LoginRateLimit::default);
                }
                // Whoever configures it means what the reference does.
                Some(Auth::BuiltIn(auth)) if on => auth.login_scope = LoginScope::Separate,
                _ => {}
            }
        }
        _ => {}
    }
}

/// Whether a section of [`switch`] is on; `None` for everything else.
pub(super) fn is_on(config: &Config, path: &str) -> Option<bool> {
    let external = match &config.auth {
        Some(Auth::External(auth)) => Some(auth),
        _ => None,
    };
    Some(match path {
        "auth" => config.auth.is_some(),
        "rateLimit" => config.rate_limit.is_some(),
        "tls" => config.tls.is_some(),
        "health" => config.health.is_some(),
        "ready" => config.ready.is_some(),
        "metrics" => config.metrics.is_some(),
        "http" => config.http.is_some(),
        "console" => {
            config.console.as_ref().is_some_and(|console| console.when == ConsoleWhen::Always)
        }
        "client" => config.client.is_some(),
        "continuity" => config.continuity.is_some(),
        "rules" => config.rules.is_some(),
        "procedures" => config.procedures.is_some(),
        "logic" => config.logic.is_some(),
        "audit" => config.audit.is_some(),
        "auth.signup" => match &config.auth {
            Some(Auth::BuiltIn(auth)) => auth.signup.is_some(),
            _ => return None,
        },
        "auth.permissions" => external?.permissions.is_some(),
        "auth.loginRateLimit" => external?.login_rate_limit.is_some(),
        _ => return None,
    })
}
