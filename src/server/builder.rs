//! Putting a server together in code.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::hooks::Hooks;
use super::start_error::StartError;
use super::{Server, ServerThread, check_definitions};
use crate::access::{PermissionCheck, TokenValidator};
use crate::audit::AuditSink;
use crate::config::{Auth, Config, ConfigError, Durability, External, Options, Resolved};
use crate::json::{Json, Object};
use crate::query::{Incremental, IncrementalQuery, Plain, Query};
use crate::rules::RuleService;

/// Puts a server together: settings as in the configuration file, one by one or
/// as a whole [`Config`], definitions of buckets and queries. Made by
/// [`Server::builder`].
///
/// ```
/// use noexd::Server;
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder()
///     .host("127.0.0.1")
///     .port(0)
///     .set("rateLimit", json!({"maxRequests": 200, "windowMs": 10_000}))
///     .build()?;
/// assert_ne!(server.local_addr().port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    base: Config,
    options: Options,
    buckets: Object,
    queries: Object,
    unreadable: Option<ConfigError>,
    signals: bool,
    hooks: Hooks,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Starts from `config` instead of the defaults.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.base = config;
        self
    }

    /// Takes over what a configuration file with this text says. Text that is
    /// not JSON is an error of [`Builder::build`].
    #[must_use]
    pub fn json(mut self, text: &str) -> Self {
        if let Err(error) = self.options.read_file(text) {
            self.unreadable.get_or_insert(error);
        }
        self
    }

    /// Sets what the key `path` of the configuration file sets
    /// (`heartbeat.intervalMs`). A wrong path or value is an error of
    /// [`Builder::build`].
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.options.set(path, Json::from(value.into()));
        self
    }

    /// Sets the IP address or name to listen on.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.set("host", host)
    }

    /// Sets the port; 0 takes any free one.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.set("port", port)
    }

    /// Keeps the data in this directory, which is created if it is missing.
    /// Without it everything is gone when the server ends. Needs the feature
    /// `sqlite`.
    ///
    /// ```
    /// use noexd::Server;
    /// use noexd::config::Durability;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("noexd-doc-{}", std::process::id()));
    /// let server = Server::builder()
    ///     .host("127.0.0.1")
    ///     .port(0)
    ///     .data_dir(&directory)
    ///     .durability(Durability::Interval)
    ///     .start()?;
    /// server.stop_and_wait(std::time::Duration::ZERO)?;
    /// assert!(directory.join("noexd.sqlite").exists());
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn data_dir(mut self, directory: impl AsRef<Path>) -> Self {
        let directory = directory.as_ref();
        match directory.to_str() {
            Some(text) => self.set("dataDir", text),
            None => {
                let text = format!("{} is not UTF-8", directory.display());
                self.unreadable.get_or_insert(ConfigError::one("dataDir", text));
                self
            }
        }
    }

    /// Sets what a response to a write waits for; [`Durability::Always`] if it
    /// is not called. Says nothing without a directory for the data.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        self.set("durability", durability.word())
    }

    /// Defines a bucket, as `store.defineBucket` does, behind those of the
    /// configuration.
    #[must_use]
    pub fn bucket(mut self, name: &str, definition: impl Into<Value>) -> Self {
        self.buckets.insert(name, Json::from(definition.into()));
        self
    }

    /// Defines a query, as `store.defineQuery` does, behind those of the
    /// configuration.
    #[must_use]
    pub fn query(mut self, name: &str, definition: impl Into<Value>) -> Self {
        self.queries.insert(name, Json::from(definition.into()));
        self
    }

    /// Lets rules call `service` under this name, with `call_service` and in
    /// lookups. The name `store` is taken by the built-in service.
    #[must_use]
    pub fn rule_service(mut self, name: &str, service: Box<dyn RuleService>) -> Self {
        self.hooks.rule_services.push((name.to_owned(), service));
        self
    }

    /// Names a query of the program: see [`crate::query::Query`]. A name that
    /// is taken is an error of [`Builder::build`].
    #[must_use]
    pub fn program_query(mut self, name: &str, query: impl Query + 'static) -> Self {
        self.hooks.queries.push((name.into(), Arc::new(Plain(query))));
        self
    }

    /// As [`Builder::program_query`], for a query that follows the data at the
    /// cost of the change: see [`IncrementalQuery`].
    #[must_use]
    pub fn incremental_query(mut self, name: &str, query: impl IncrementalQuery + 'static) -> Self {
        self.hooks.queries.push((name.into(), Arc::new(Incremental(query))));
        self
    }

    /// Lets SIGTERM and SIGINT stop the server, with the configured
    /// `shutdownGraceMs`; a second one cuts the grace period short. Without
    /// this the program's own handling stays as it is.
    #[must_use]
    pub fn signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// Calls `told` after every reload that a signal asked for, on the loop's
    /// thread. Needs [`Builder::signals`].
    #[must_use]
    pub fn on_reload(mut self, told: impl FnMut() + Send + 'static) -> Self {
        self.hooks.reloaded = Some(Box::new(told));
        self
    }

    /// Asks `validator` about tokens that neither `auth.tokens` nor `auth.jwt`
    /// knows. Without `auth` in the settings, connections must log in then.
    #[must_use]
    pub fn token_validator(mut self, validator: impl TokenValidator + 'static) -> Self {
        self.hooks.validator = Some(Box::new(validator));
        self
    }

    /// Asks `check` about every request of an external session, after its tier
    /// and before `auth.permissions`.
    #[must_use]
    pub fn permission_check(mut self, check: impl PermissionCheck + 'static) -> Self {
        self.hooks.permission_check = Some(Box::new(check));
        self
    }

    /// Tells `sink` every entry of the audit log, which has to be switched on.
    #[must_use]
    pub fn audit_sink(mut self, sink: impl AuditSink + 'static) -> Self {
        self.hooks.audit_sinks.push(Box::new(sink));
        self
    }

    /// Checks everything, opens what has to be opened, and listens.
    ///
    /// Raises the soft limit of open files of the process to the hard one, and
    /// logs what is legal but seldom meant.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with settings and definitions, or the step that
    /// failed. Nothing is left half open.
    pub fn build(self) -> Result<Server, StartError> {
        if let Some(error) = self.unreadable {
            return Err(error.into());
        }
        let Resolved { mut config, warnings } = self.options.resolve_over(self.base)?;
        for (name, definition) in self.buckets {
            config.buckets.insert(name, definition);
        }
        for (name, definition) in self.queries {
            config.queries.insert(name, definition);
        }
        if self.hooks.validator.is_some() && config.auth.is_none() {
            config.auth = Some(Auth::External(External::default()));
        }
        ConfigError::together(config.check(), check_definitions(&config))?;
        config.load_secrets()?;
        for warning in warnings.into_iter().chain(config.oddities()) {
            log::warn!("{warning}");
        }
        super::launch(config, self.signals, self.hooks)
    }

    /// Builds the server on a thread of its own and runs it there.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`], or there is no thread to be had.
    pub fn start(self) -> Result<ServerThread, StartError> {
        ServerThread::spawn(|| self.build())
    }
}
