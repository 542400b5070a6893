//! From a configuration to the parts of a server.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::definitions::{self, Met};
use super::durable::{self, Durable};
use super::hosted::{Hosted, read_file};
use super::service::Loading;
use super::start_error::StartError;
use super::world::{self, Probe};
use super::{logic, procedures, rules, sets};
use crate::access::External;
use crate::app::Now;
use crate::audit::{AuditFile, AuditLog};
use crate::config::{AuditSync, Auth, Config, ConfigError, Durability, Problem};
use crate::engine::{Engine, EngineOptions, Exposure, MetricsPage};
use crate::json::Json;
use crate::net::http::door::Doors;
use crate::net::{self, Remote, Transport};
use crate::query::{self, ViewLimits, Views};
use crate::spelling::UnknownMember;
use crate::storage::{Document, MAX_BACKLOG_BYTES, Origin};
use crate::store::schema::{Definition, DefinitionError, MAX_ISSUES, unknown_members, warnings};
use crate::store::{BucketId, Commit, Store};

/// Descriptors that are not for connections: listeners, files, the rest of the
/// process.
const RESERVED_FILES: u64 = 64;

/// The configured queries and those that were defined over the wire.
fn views(met: &Met, store: &Store) -> Result<Views, ConfigError> {
    let mut views = Views::new(ViewLimits::default());
    let mut problems = Vec::new();
    for definitions::Definition { name, body, origin, .. } in &met.definitions {
        // The bucket of a stored one may have been dropped since.
        let defined = match origin {
            Origin::File => {
                problems.extend(unknown_in_query(name, body));
                views.define(store, name, body)
            }
            Origin::Wire => views.restore(name, body),
        };
        if let Err(error) = defined {
            problems.push(query_problem(name, body, &error.message));
        }
    }
    ConfigError::of(problems).map(|()| views)
}

/// Why a query cannot be defined, under the path of the setting.
pub(super) fn query_problem(name: &str, body: &Json, message: &str) -> Problem {
    // The protocol's word for what is not there is "undefined".
    if body.as_object().is_some_and(|members| members.get("bucket").is_none())
        && message.contains("\"undefined\"")
    {
        return Problem { at: format!("queries.{name}.bucket"), text: "required".into() };
    }
    let prefix = format!("Invalid query \"{name}\": ");
    let text = message.strip_prefix(&*prefix).unwrap_or(message);
    Problem { at: format!("queries.{name}"), text: text.to_owned() }
}

/// Members that mean nothing: over the wire a warning, here a mistake to be
/// corrected. Each under its own path.
fn unknown_problems(at: &str, members: Vec<UnknownMember>) -> Vec<Problem> {
    let problem = |member: UnknownMember| {
        let steps = [at, &*member.place, &*member.name];
        let steps: Vec<&str> = steps.into_iter().filter(|step| !step.is_empty()).collect();
        Problem { at: steps.join("."), text: member.problem() }
    };
    members.into_iter().map(problem).collect()
}

pub(super) fn unknown_in_query(name: &str, body: &Json) -> Vec<Problem> {
    unknown_problems(&format!("queries.{name}"), query::unknown_members(body, MAX_ISSUES))
}

/// Defines the configured buckets; those that are wrong are left out. One that is stored with another definition
/// gets the configured one and keeps its records.
pub(super) fn configure(store: &mut Store, config: &Config) -> Result<Vec<Commit>, ConfigError> {
    let mut commits = Vec::new();
    let mut problems = Vec::new();
    for (name, definition) in config.buckets.iter() {
        let at = format!("buckets.{name}");
        let definition = definition.as_object().cloned().unwrap_or_default();
        problems.extend(unknown_problems(&at, unknown_members(&definition, MAX_ISSUES)));
        match Definition::parse(name, definition.clone()) {
            Err(DefinitionError { path: Some(path), reason, .. }) => {
                problems.push(Problem { at: format!("{at}.{path}"), text: reason });
            }
            Err(DefinitionError { path: None, reason, .. }) => {
                problems.push(Problem { at, text: reason });
            }
            Ok(_) => {
                for warning in definition.get("schema").map(warnings).unwrap_or_default() {
                    log::warn!("{at}: {warning}");
                }
                let stored = store.bucket_named(name).map(|bucket| bucket.definition().supplied());
                let is_stored = stored.is_some();
                if stored == Some(&definition) {
                    continue;
                }
                let prepared = if is_stored {
                    log::info!("bucket \"{name}\": the configuration differs from what is stored");
                    store.prepare_redefine(name, definition)
                } else {
                    store.prepare_define(name, definition, &crate::budget::Budget::unlimited())
                };
                match prepared {
                    Ok(set) => commits.push(store.commit(set)),
                    Err(error) if is_stored => {
                        let text = format!("stored data conflicts: {}", error.message);
                        problems.push(Problem { at, text });
                    }
                    Err(error) => problems.push(Problem { at, text: error.message.into_owned() }),
                }
            }
        }
    }
    ConfigError::of(problems).map(|()| commits)
}

/// Says of every stored bucket whether the configuration defines it. One that
/// it does not define any more stays, with its data.
fn settle_origins(engine: &mut Engine, config: &Config, origins: &[(BucketId, Origin)]) {
    for &(id, origin) in origins {
        let Some(name) = engine.store().bucket(id).map(|bucket| bucket.name().to_owned()) else {
            continue;
        };
        if config.buckets.contains(&name) {
            engine.log_bucket_origin(id, Origin::File);
        } else if origin == Origin::File {
            log::info!("bucket \"{name}\" is no longer configured; it stays, with its data");
            engine.log_bucket_origin(id, Origin::Wire);
        }
    }
}

fn failed(step: &str, error: &dyn std::fmt::Display) -> StartError {
    StartError::Failed { step: step.into(), reason: error.to_string() }
}

/// What is configured beside buckets, and what of it was stored.
struct Everything {
    buckets: Vec<Commit>,
    sets: Met,
    queries: Met,
    procedures: Met,
    logic: logic::AllMet,
    /// Stored documents that are none of these.
    others: Vec<Document>,
}

impl Everything {
    fn meet(
        config: &Config,
        store: &mut Store,
        mut documents: Vec<Document>,
    ) -> Result<(Everything, Views), ConfigError> {
        let buckets = configure(store, config)?;
        let sets = sets::meet(config, store, &mut documents)?;
        let queries = definitions::meet("query", &config.queries, &mut documents)?;
        let views = views(&queries, store)?;
        let procedures = procedures::meet(config, &mut documents)?;
        let logic = logic::meet(config, &mut documents)?;
        let met = Everything { buckets, sets, queries, procedures, logic, others: documents };
        Ok((met, views))
    }

    /// What differs from what was stored is stored.
    fn log(&mut self, engine: &mut Engine, config: &Config, origins: &[(BucketId, Origin)]) {
        engine.log_configured(&self.buckets);
        settle_origins(engine, config, origins);
        self.sets.log(engine);
        self.queries.log(engine);
        self.procedures.log(engine);
        self.logic.iter().for_each(|(_, met)| met.log(engine));
        engine.recovered(std::mem::take(&mut self.others));
    }

    /// Switches on what is told apart from its definitions.
    fn start(&self, config: &Config, engine: &mut Engine) -> Result<(), StartError> {
        sets::start(config, &self.sets, engine)?;
        logic::start(config, &self.logic, engine)?;
        rules::start(config, engine)?;
        Ok(procedures::start(config, &self.procedures, engine)?)
    }
}

/// The engine with everything that is configured, and the transport around it.
pub(super) fn transport(
    config: &Config,
    loading: Loading,
) -> Result<(Transport<Hosted>, Option<Durable>), StartError> {
    let max_connections = most_connections(config)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| failed("randomness", &error))?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The transport's monotonic time begins with the transport.
    let now = Now { mono: 0, wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) };
    // Key files come before anything that is opened to be written.
    let external = external(config)?;
    let mut recovered =
        durable::open(&config.persistence, Some(config.store.history_bytes), loading)?;
    let (mut store, documents) = match &mut recovered {
        Some(found) => (std::mem::take(&mut found.store), std::mem::take(&mut found.documents)),
        None => Default::default(),
    };
    let (mut met, views) = Everything::meet(config, &mut store, documents)?;
    let mut engine = Engine::new(engine_options(config, max_connections, seed), store, now);
    engine.set_views(views);
    engine.limit_data(config.limits.max_data_bytes.and_then(super::memory::bytes_of));
    let gate_output = recovered.is_some() && config.persistence.durability != Durability::None;
    let options = net_options(config, max_connections, gate_output);
    let mut transport = Transport::new(options, Hosted::new(engine))
        .map_err(|error| failed("transport", &error))?;
    let location = recovered.as_ref().map(|found| &found.location);
    let probe = Probe::new(location.map(|it| it.file.clone()), location.map(|it| it.backups()));
    let durable = match recovered {
        Some(recovered) => Some(write_on(&mut transport, recovered, config, &mut met)?),
        None => None,
    };
    watch(&mut transport, durable.as_ref(), probe, config);
    let remote = transport.remote();
    let hosted = transport.app_mut();
    authentication(config, external, &mut hosted.engine)?;
    met.start(config, &mut hosted.engine)?;
    hosted.audit_file = audit(config, &mut hosted.engine, remote)?;
    Ok((transport, durable))
}

/// Gives the engine its past, and a log that goes on where the stored one ends.
fn write_on(
    transport: &mut Transport<Hosted>,
    mut recovered: durable::Recovered,
    config: &Config,
    met: &mut Everything,
) -> Result<Durable, StartError> {
    let storage = |error: &dyn std::fmt::Display| failed("storage", error);
    let past = transport
        .app()
        .engine
        .recall(recovered.last, |visit| recovered.journal.past(visit))
        .map_err(|error| storage(&error))?;
    let epochs = recovered.journal.epochs();
    let started = Durable::start(
        recovered.journal,
        recovered.lock,
        transport.durability(),
        (transport.remote(), crate::storage::directory_of(&recovered.location.file)),
    )
    .map_err(|error| storage(&error))?;
    transport.durability().raise(recovered.last).map_err(|error| storage(&error))?;
    let engine = &mut transport.app_mut().engine;
    let writer = Box::new(started.writer());
    engine.set_log(writer, MAX_BACKLOG_BYTES, recovered.last, recovered.origins.clone());
    engine.set_past(epochs, past);
    #[cfg(feature = "sqlite")]
    engine.set_backups(crate::storage::Backups::of_own(&recovered.location));
    met.log(engine, config, &recovered.origins);
    engine.restore_orphans(|query| config.queries.get(query).is_some());
    Ok(started)
}

/// What the engine may ask about the world around it.
fn watch(
    transport: &mut Transport<Hosted>,
    durable: Option<&Durable>,
    probe: Arc<Probe>,
    config: &Config,
) {
    let (held, counters) = (transport.held(), transport.counters());
    let engine = &mut transport.app_mut().engine;
    engine.set_held(held);
    let look = Arc::clone(&probe);
    engine.set_probe(Arc::new(move || look.look()), config.metrics.is_some());
    if crate::logging::is_installed() {
        engine.set_log_filter(Box::new(crate::logging::set_filter));
    }
    let storage = durable.map(|durable| durable.writer().stats());
    engine.set_world(Box::new(move || world::ask(&counters, storage.as_deref(), &probe)));
}

/// As many as descriptors allow, unless it is configured.
fn most_connections(config: &Config) -> Result<Option<usize>, StartError> {
    if config.max_connections.is_some() {
        return Ok(config.max_connections);
    }
    let files = net::raise_open_files_limit().map_err(|error| StartError::Failed {
        step: "limit of open files".into(),
        reason: error.to_string(),
    })?;
    let connections = files.saturating_sub(RESERVED_FILES).max(1);
    Ok(Some(usize::try_from(connections).unwrap_or(usize::MAX)))
}

fn net_options(config: &Config, max_connections: Option<usize>, gate_output: bool) -> net::Options {
    net::Options {
        path: config.path.clone(),
        doors: config
            .http
            .as_ref()
            .map(|http| Doors { rpc: http.rpc.clone(), live: http.live.clone() }),
        welcomes_all_origins: config.allows_all_origins(),
        client_path: config.client.as_ref().map(|client| client.path.clone()),
        max_payload_bytes: config.max_payload_bytes,
        handshake_timeout_ms: config.handshake_timeout_ms,
        close_timeout_ms: config.close_timeout_ms,
        max_buffered_bytes: config.backpressure.max_buffered_bytes,
        high_water_mark: config.backpressure.high_water_mark,
        allowed_origins: config.allowed_origins.clone().filter(|_| !config.allows_all_origins()),
        max_output_bytes: config.limits.max_output_bytes,
        max_input_bytes: config.max_input_bytes(),
        max_connections,
        max_connections_per_ip: config
            .max_connections_per_ip
            .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        per_ip_probe_ms: config.per_ip_probe_ms,
        trusted_proxies: config.trusted_proxies.clone(),
        gate_output,
        ..net::Options::default()
    }
}

/// External tokens with their keys, if they are configured.
fn external(config: &Config) -> Result<Option<External>, ConfigError> {
    let Some(Auth::External(settings)) = &config.auth else { return Ok(None) };
    External::new(settings, &read_file).map(Some).map_err(access_problems)
}

/// Switches on what `auth` asks for.
fn authentication(
    config: &Config,
    external: Option<External>,
    engine: &mut Engine,
) -> Result<(), StartError> {
    if let Some(external) = external {
        engine.set_external_auth(external, config.revocation.blacklist_ttl_ms);
    }
    let Some(Auth::BuiltIn(settings)) = &config.auth else { return Ok(()) };
    engine
        .set_built_in_auth(settings.clone(), config.revocation.blacklist_ttl_ms)
        .map_err(|error| failed("auth.builtIn", &error.message))?;
    // Only the data know which roles there are.
    match engine.missing_signup_role() {
        Some(name) => {
            let text = format!("there is no role \"{name}\"");
            Err(ConfigError::one("auth.signup.roles", text).into())
        }
        None => Ok(()),
    }
}

/// Problems as lines with the path of the setting in front.
pub(super) fn access_problems(lines: Vec<String>) -> ConfigError {
    let problems = lines.into_iter().map(|line| match line.split_once(": ") {
        Some((at, text)) => Problem { at: at.into(), text: text.into() },
        None => Problem { at: "auth".into(), text: line },
    });
    ConfigError { problems: problems.collect() }
}

/// Switches the audit log on; its file, if it has one.
fn audit(
    config: &Config,
    engine: &mut Engine,
    remote: Remote<Hosted>,
) -> Result<Option<AuditFile>, StartError> {
    let Some(settings) = &config.audit else { return Ok(None) };
    let mut log = AuditLog::new(settings);
    let mut file = None;
    if let Some(settings) = &settings.file {
        let failed = |error: std::io::Error| StartError::Failed {
            step: "audit.file".into(),
            reason: format!("{}: {error}", settings.path.display()),
        };
        if settings.restore {
            let lines = AuditFile::tail(&settings.path, log.capacity()).map_err(failed)?;
            log.restore(lines.iter().map(String::as_str));
        }
        let holds = settings.sync == AuditSync::Always;
        let reopened = remote.clone();
        let on_reopened = Box::new(move |good| {
            let counted =
                reopened.run(move |app: &mut Hosted, _| app.engine.count_reload("audit", good));
            if counted.is_err() {
                log::debug!("nobody counts reloads any more");
            }
        });
        let on_synced = Box::new(move |entries| {
            if holds && remote.run(move |app, now| app.audit_synced(entries, now)).is_err() {
                log::debug!("nobody waits for the audit file any more");
            }
        });
        let opened = AuditFile::open(settings, on_synced, on_reopened).map_err(failed)?;
        if holds {
            log.hold_responses(opened.watch());
        }
        log.add_sink(opened.sink());
        file = Some(opened);
    }
    engine.set_audit(log);
    Ok(file)
}

/// Who may reach the server.
fn exposure(config: &Config) -> Exposure {
    let listeners = config.listeners();
    let mut public = listeners.iter().filter(|entry| entry.address.is_public()).peekable();
    Exposure {
        is_public: public.peek().is_some(),
        is_encrypted: !config.trusted_proxies.is_empty()
            || public.all(|entry| config.speaks_tls(entry)),
    }
}

fn engine_options(
    config: &Config,
    max_connections: Option<usize>,
    seed: [u8; 32],
) -> EngineOptions {
    EngineOptions {
        name: config.name.clone(),
        max_payload_bytes: config.max_payload_bytes,
        max_json_depth: config.max_json_depth,
        expose_error_details: config.expose_error_details,
        heartbeat_interval_ms: config.heartbeat.interval_ms,
        heartbeat_timeout_ms: config.heartbeat.timeout_ms,
        max_buffered_bytes: config.backpressure.max_buffered_bytes,
        high_water_mark: config.backpressure.high_water_mark,
        max_subscriptions_per_connection: config.connection_limits.max_subscriptions_per_connection,
        max_total_subscriptions: config.connection_limits.max_total_subscriptions,
        rate_limit: config.rate_limit.as_ref().map(|limit| (limit.max_requests, limit.window_ms)),
        durability: config.persistence.is_enabled().then(|| config.persistence.durability.word()),
        request_steps: config.limits.request_steps,
        expiry_batch: config.limits.expiry_batch,
        max_reply_bytes: config.limits.max_reply_bytes,
        view_steps: config.limits.view_steps,
        costly_view_ms: config.limits.costly_view_ms,
        health_path: config.health.as_ref().map(|health| health.path.clone()),
        ready_path: config.ready.as_ref().map(|ready| ready.path.clone()),
        shutdown_delay_ms: config.shutdown_delay_ms,
        shutdown_spread: config.shutdown_spread,
        reconnects_per_second: config.reconnects_per_second,
        metrics: config.metrics.as_ref().map(|metrics| MetricsPage {
            path: metrics.path.clone(),
            is_apart: metrics.listen.is_some(),
            token: metrics.token.as_ref().map(|token| token.expose().to_owned()),
        }),
        ttl_check_interval_ms: config.store.ttl_check_interval_ms,
        first_push_delay_ms: config.store.first_push_delay_ms,
        continuity: config.continuity.clone(),
        stopwatch: Some(super::stopwatch),
        coalesce_pushes: config.store.coalesce_pushes,
        ad_hoc_queries: config.store.ad_hoc_queries,
        exposure: exposure(config),
        min_free_bytes: config.persistence.min_free_bytes,
        slow_request_ms: config.slow_request_ms,
        slow_view_ms: config.slow_view_ms,
        max_connections,
        ring_bytes: config.continuity.as_ref().map_or(0, |continuity| continuity.ring_bytes),
        seed,
    }
}
