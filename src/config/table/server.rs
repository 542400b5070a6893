//! The server itself: address, limits, heartbeat, slow readers, TLS, HTTP.

use super::{Kind, Row, UNLIMITED, any_text, int, int_or_zero, non_empty, url_path};
use crate::config::setting::Setting;
use crate::config::{Config, TlsVersion};

/// The slot of a section: nothing is stored at the section itself.
fn nowhere(_: &mut Config) -> Option<&mut dyn Setting> {
    None
}

fn name(text: &str) -> Result<(), &'static str> {
    match text.chars().count() {
        1..=128 => Ok(()),
        _ => Err("expected string of 1 to 128 characters"),
    }
}

fn log_filter(text: &str) -> Result<(), &'static str> {
    match crate::logging::is_filter(text) {
        true => Ok(()),
        false => Err("expected a filter as in RUST_LOG, like \"info\" or \"noexd=debug\""),
    }
}

fn host(text: &str) -> Result<(), &'static str> {
    if text.starts_with('[') {
        Err("expected IPv6 address without brackets")
    } else if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Err("expected IP address or host name")
    } else {
        Ok(())
    }
}

pub(super) const ROWS: &[Row] = &[
    Row::new("name", Kind::Text(name), |c| Some(&mut c.name),
        "Name of the server in `server.stats` and of the store in `store.stats`; 1 to 128 characters.")
        .flag("", "name", "NAME", "name shown in server.stats"),
    Row::new("host", Kind::Text(host), |c| Some(&mut c.host),
        "IP address to listen on (IPv6 without brackets), or a name that resolves at start. The default is `0.0.0.0` with `auth` and `127.0.0.1` without.")
        .flag("H", "host", "ADDR", "address to listen on"),
    Row::new("port", int(0, 65_535), |c| Some(&mut c.port),
        "TCP port; 0 takes any free one, which is printed at start.")
        .flag("p", "port", "PORT", "port to listen on, 0 for any free one"),
    Row::new("listen", Kind::Array("array of 1 to 16 strings or objects"), |c| Some(&mut c.listen),
        "The listeners, in place of `host` and `port`. A string is short for `{address}`; `address`: `IP:PORT`, `[IPv6]:PORT`, `NAME:PORT` (every address it resolves to), `unix:PATH` or `systemd:NAME` (the sockets that are passed on under this name). `tls`: whether it speaks TLS (over TCP `true` if `tls` is set). `proxyProtocol`: whether every connection begins with a header of the PROXY protocol (`false`; needs `trustedProxies`). `mode`: who may connect to a Unix socket (`\"0660\"`). See [operations](operations.md).")
        .flag("", "listen", "LIST", "addresses to listen on, comma-separated").env("NOEXD_LISTEN"),
    Row::new("logFormat", Kind::Choice(&["auto", "text", "json", "journal"]), |c| Some(&mut c.log_format),
        "Lines of the log on standard error: `text`; `json`, an object per line; `journal`, with the levels of the systemd journal and without times; `auto` is `journal` where standard error is the journal, else `text`.")
        .flag("", "log-format", "FORM", "text, json, journal or auto").env("NOEXD_LOG_FORMAT"),
    Row::new("logLevel", Kind::Text(log_filter), |c| Some(&mut c.log_level),
        "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or per module (`noexd=debug,noexd::net=trace`). The environment variable `RUST_LOG` overrides it; `server.setLogLevel` changes it for a while."),
    Row::new("slowRequestMs", int(0, 60_000), |c| Some(&mut c.slow_request_ms),
        "Requests that hold up the loop for longer are logged, the worst of each second; 0 logs none."),
    Row::new("slowViewMs", int(0, 60_000), |c| Some(&mut c.slow_view_ms),
        "Live queries that need longer for one commit are logged, the worst of each second; 0 logs none."),
    Row::new("path", Kind::Text(url_path), |c| Some(&mut c.path),
        "Path of the WebSocket endpoint.")
        .flag("", "path", "PATH", "path of the WebSocket endpoint"),
    Row::new("maxPayloadBytes", int(1, 1 << 30), |c| Some(&mut c.max_payload_bytes),
        "Longest message of a client; a longer one closes its connection with 1009."),
    Row::new("maxJsonDepth", int(8, 1024), |c| Some(&mut c.max_json_depth),
        "Deepest nesting in a message; the message itself is level 1."),
    Row::new("handshakeTimeoutMs", int(100, 600_000), |c| Some(&mut c.handshake_timeout_ms),
        "Time for a complete request head."),
    Row::new("closeTimeoutMs", int(0, 60_000), |c| Some(&mut c.close_timeout_ms),
        "Time for the closing handshake; then the socket is dropped."),
    Row::new("shutdownGraceMs", int(0, 3_600_000), |c| Some(&mut c.shutdown_grace_ms),
        "Time that clients have to leave after SIGTERM or SIGINT.")
        .flag("", "shutdown-grace", "MS", "time for clients to leave on SIGTERM"),
    Row::new("shutdownDelayMs", int(0, 600_000), |c| Some(&mut c.shutdown_delay_ms),
        "Time before the shutdown in which the readiness check answers `503` and everything is served as before, for balancers that have to notice."),
    Row::new("shutdownSpread", Kind::Boolean, |c| Some(&mut c.shutdown_spread),
        "Whether connections are closed evenly over the grace period, for several servers behind a balancer; those of which nothing was heard for longest are first."),
    Row::new("reconnectsPerSecond", int(1, 1_000_000), |c| Some(&mut c.reconnects_per_second),
        "How many clients may come back in a second after a shutdown: what `retryAfterMs` of its announcement is computed from."),
    Row::new("exposeErrorDetails", Kind::Boolean, |c| Some(&mut c.expose_error_details),
        "`false` removes `details` from all errors.")
        .switch("no-error-details", false, "leave details out of errors"),
    Row::new("allowedOrigins", Kind::Texts(non_empty), |c| Some(&mut c.allowed_origins),
        "Origins that browsers may connect from, compared byte for byte. `[]` refuses every request with an `Origin`, `[\"*\"]` none. Absent, nothing is checked, but for a server without `auth` that listens on loopback addresses only: it lets in pages of this machine (and, whatever this key says, requests that name this machine).")
        .flag("", "allowed-origins", "LIST", "origins of browsers, comma-separated"),
    Row::new("trustedProxies", Kind::Array("array of IP addresses, CIDR ranges and \"unix\""), |c| Some(&mut c.trusted_proxies),
        "Peers whose `X-Forwarded-For` (its rightmost entry that is not trusted itself) or `X-Real-IP` gives the client address; `\"unix\"` is every peer on a Unix socket. From everybody else these headers are ignored."),
    Row::new("maxConnections", int(1, UNLIMITED), |c| Some(&mut c.max_connections),
        "Sockets at once, in handshake and closing ones too; more are answered with HTTP 503. The default is the limit of open files minus 64."),
    Row::new("maxConnectionsPerIp", int(1, UNLIMITED), |c| Some(&mut c.max_connections_per_ip),
        "Connections at once from one IPv4 address or IPv6 /64 network; more are closed with 4003. Absent, there is no limit.")
        .flag("", "max-connections-per-ip", "N", "connections of one client address"),
    Row::new("perIpProbeMs", int_or_zero("off", 100, 10_000), |c| Some(&mut c.per_ip_probe_ms),
        "At `maxConnectionsPerIp`, connections of the address that have been silent for so long are asked for a sign of life and have so long to give one; those that give none make room for newcomers."),
    Row::new("connectionLimits", Kind::Section, nowhere, "Limits on subscriptions of all kinds together."),
    Row::new("connectionLimits.maxSubscriptionsPerConnection", int(0, UNLIMITED),
        |c| Some(&mut c.connection_limits.max_subscriptions_per_connection),
        "Subscriptions of one connection; 0 forbids them."),
    Row::new("connectionLimits.maxTotalSubscriptions", int(0, UNLIMITED),
        |c| Some(&mut c.connection_limits.max_total_subscriptions),
        "Subscriptions of all connections."),
    Row::new("rateLimit", Kind::OptionalSection, nowhere,
        "Limit on the requests of one user or address; off unless it is there. Both members are required."),
    Row::new("rateLimit.maxRequests", int(1, 1_000_000), |c| Some(&mut c.rate_limit.as_mut()?.max_requests),
        "Requests in any window."),
    Row::new("rateLimit.windowMs", int(1, 86_400_000), |c| Some(&mut c.rate_limit.as_mut()?.window_ms),
        "Length of the window."),
    Row::new("limits", Kind::Section, nowhere, "What one request may cost, and how much memory may be used; see [limits](limits.md)."),
    Row::new("limits.requestSteps", int_or_zero("none", 10_000, 1_000_000_000_000), |c| Some(&mut c.limits.request_steps),
        "Steps of work that one request may take; a record looked at is one."),
    Row::new("limits.expiryBatch", int(1, 1_000_000), |c| Some(&mut c.limits.expiry_batch),
        "Records that expire in one turn of the loop; the others are hidden until their turn comes."),
    Row::new("limits.viewSteps", int_or_zero("none", 1_000, 1_000_000_000_000), |c| Some(&mut c.limits.view_steps),
        "Steps of work that the live views of one query may take for one commit; above, they are costly."),
    Row::new("limits.costlyViewMs", int(10, 60_000), |c| Some(&mut c.limits.costly_view_ms),
        "Least time between two updates of costly views."),
    Row::new("limits.maxDataBytes", Kind::Any("integer 1048576 to 1099511627776, or \"1%\" to \"95%\""), |c| Some(&mut c.limits.max_data_bytes),
        "Memory for records, indexes and views, in bytes or as a share of what the process may use; at it, writes that need more are refused. Absent, there is no limit."),
    Row::new("limits.maxOutputBytes", int(1 << 20, 1 << 40), |c| Some(&mut c.limits.max_output_bytes),
        "Unsent output of all connections together. Above it those whose output has not moved for a second are closed with 1013, the largest first, until it is below 7/8."),
    Row::new("limits.maxInputBytes", int(1, 1 << 40), |c| Some(&mut c.limits.max_input_bytes),
        "Messages received in part, of all connections together, at least `maxPayloadBytes`. Above it the connection with the largest is closed with 1013. Absent, 268435456, or `maxPayloadBytes` if that is larger."),
    Row::new("limits.maxReplyBytes", int(65_536, 1 << 30), |c| Some(&mut c.limits.max_reply_bytes),
        "Longest answer or push; what would be longer is refused."),
    Row::new("heartbeat", Kind::Section, nowhere, "Pings of the protocol, by which dead connections are found."),
    Row::new("heartbeat.intervalMs", int_or_zero("off", 10, 86_400_000), |c| Some(&mut c.heartbeat.interval_ms),
        "Time between two pings to a connection."),
    Row::new("heartbeat.timeoutMs", int(1, 86_400_000), |c| Some(&mut c.heartbeat.timeout_ms),
        "Time for the answer, at most `intervalMs`; then the connection is closed with 4001."),
    Row::new("backpressure", Kind::Section, nowhere, "What happens to clients that read more slowly than they are sent to."),
    Row::new("backpressure.maxBufferedBytes", int(1, 1 << 30), |c| Some(&mut c.backpressure.max_buffered_bytes),
        "Output of one connection that the kernel has not taken, from which on the connection is not read any more."),
    Row::new("backpressure.highWaterMark", Kind::Positive { max: 1.0 }, |c| Some(&mut c.backpressure.high_water_mark),
        "Share of `maxBufferedBytes` from which on subscriptions get only the newest state, once the client has caught up."),
    Row::new("tls", Kind::OptionalSection, nowhere, "Certificate of the listeners; clients then use `wss://`. Its files are read again on SIGHUP and when they change."),
    Row::new("tls.cert", Kind::Text(non_empty), |c| Some(&mut c.tls.as_mut()?.cert),
        "PEM file with the certificate, leaf first, then the chain.")
        .flag("", "tls-cert", "FILE", "certificate chain (PEM), for wss://"),
    Row::new("tls.key", Kind::Text(non_empty), |c| Some(&mut c.tls.as_mut()?.key),
        "PEM file with the private key (PKCS#8, PKCS#1 or SEC1).")
        .flag("", "tls-key", "FILE", "private key of the certificate (PEM)"),
    Row::new("tls.minVersion", Kind::Choice(TlsVersion::WORDS), |c| Some(&mut c.tls.as_mut()?.min_version),
        "Oldest version of TLS that is spoken."),
    Row::new("tls.clientCa", Kind::Text(non_empty), |c| Some(&mut c.tls.as_mut()?.client_ca),
        "PEM file; clients must show a certificate that chains to one of these. Who they are is still said by a login.")
        .flag("", "tls-client-ca", "FILE", "clients must show a certificate of these"),
    Row::new("health", Kind::Switch, nowhere, "Liveness check over HTTP on the same port: `200` `ok` as long as the server turns, during shutdown too."),
    Row::new("health.path", Kind::Text(url_path), |c| Some(&mut c.health.as_mut()?.path), "Its path."),
    Row::new("ready", Kind::Switch, nowhere, "Readiness check over HTTP on the same port: `200` `ready`, or `503` `not ready: ` with the reasons."),
    Row::new("ready.path", Kind::Text(url_path), |c| Some(&mut c.ready.as_mut()?.path), "Its path."),
    Row::new("metrics", Kind::Switch, nowhere, "Metrics in the text format of Prometheus. On the main listener and without `token` they are served to loopback peers only."),
    Row::new("metrics.path", Kind::Text(url_path), |c| Some(&mut c.metrics.as_mut()?.path), "Their path."),
    Row::new("metrics.listen", Kind::Text(any_text), |c| Some(&mut c.metrics.as_mut()?.listen),
        "A listener of their own, `IP:PORT`, `unix:PATH` or `systemd:NAME`, with the probes and nothing else, open to the end.")
        .flag("", "metrics-listen", "ADDR", "listener for metrics and probes"),
    Row::new("metrics.token", Kind::Text(non_empty), |c| Some(&mut c.metrics.as_mut()?.token),
        "What `Authorization: Bearer` must carry.").secret().env("NOEXD_METRICS_TOKEN"),
    Row::new("http", Kind::Switch, nowhere, "[Requests over HTTP](http.md): messages by `POST`, live queries as server-sent events.")
        .switch("http", true, "serve requests over HTTP (/rpc, /live)"),
    Row::new("http.rpc", Kind::Text(url_path), |c| Some(&mut c.http.as_mut()?.rpc), "Path of `POST`: one message or an array of them."),
    Row::new("http.live", Kind::Text(url_path), |c| Some(&mut c.http.as_mut()?.live), "Path of live queries."),
    Row::new("console", Kind::AutoSwitch, |c| Some(&mut c.console.as_mut()?.when), "The [web console](console.md). `\"auto\"`: where there is no `auth` and only this machine can connect.")
        .switch("console", true, "serve the web console")
        .opposite("no-console", "do not serve the web console")
        .missing_without(cfg!(feature = "console"), "the web console"),
    Row::new("console.path", Kind::Text(url_path), |c| Some(&mut c.console.as_mut()?.path), "Its path."),
    Row::new("console.readOnly", Kind::Boolean, |c| Some(&mut c.console.as_mut()?.read_only),
        "Whether the console changes nothing, whoever uses it: its lock cannot be opened."),
    Row::new("client", Kind::Switch, nowhere, "The JavaScript client as files that any page may import."),
    Row::new("client.path", Kind::Text(url_path), |c| Some(&mut c.client.as_mut()?.path),
        "Where: with `/client` the core is `/client.js`, and `/client/NAME` each file. Without a slash at its end."),
];
