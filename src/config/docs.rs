//! `docs/configuration.md`, made from the table of options.

use std::fmt::Write as _;

use super::table::{Kind, Row, Takes, rows};
use super::{Auth, BuiltIn, Config, External, LoginRateLimit, Metrics, Permissions};
use crate::json::Json;

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the table of options in src/config/table; `NOEXD_BLESS=1 cargo test --test config_docs` writes it anew. -->

`noexd --config FILE` (or the environment variable `NOEXD_CONFIG`) reads one JSON object. Every key is optional, `null` means absent, and without a file everything has its default. Times are in milliseconds, sizes in bytes. `noexd --check --config FILE` checks a file without starting.

A flag overrides the environment, the environment overrides the file. Objects are merged key by key, arrays are replaced. Everything that is wrong is reported at once, with its path and what would be right; unknown and duplicate keys are errors.
";

const LEGACY: &str = "
## Spellings of noex-server

Accepted so that its configuration files work.

| key | meaning |
|---|---|
| `auth: true` with `adminSecret` at the top | `auth: {\"builtIn\": true, \"adminSecret\": ...}` |
| `auth: false` with `adminSecret` at the top | no authentication |
| `persistence: \"memory\"` | nothing is kept, whatever `dataDir` and `db` say |
| `persistence: \"file\"` | `dataDir`, `./data` if it is not there |
| `persistence: \"sqlite\"` | `db`, `./noex.db` if it is not there |
";

/// The whole page.
pub fn page() -> String {
    let mut text = INTRODUCTION.to_owned();
    let groups = [
        ("Server", Group::Server),
        ("Authentication", Group::Access),
        ("Data and subsystems", Group::Data),
    ];
    for (title, wanted) in groups {
        let _ = write!(text, "\n## {title}\n\n| key | value | default | |\n|---|---|---|---|\n");
        for row in rows().filter(|row| group(row) == wanted) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                row.path,
                row.expected().replace('|', "\\|"),
                default_text(row),
                notes(row)
            );
        }
    }
    text.push_str(LEGACY);
    text
}

#[derive(PartialEq)]
enum Group {
    Server,
    Access,
    Data,
}

fn group(row: &Row) -> Group {
    match row.path.split('.').next().unwrap_or_default() {
        "auth" | "access" | "revocation" => Group::Access,
        "buckets"
        | "queries"
        | "store"
        | "dataDir"
        | "db"
        | "durability"
        | "durabilityIntervalMs"
        | "continuity"
        | "rules"
        | "procedures"
        | "logic"
        | "audit" => Group::Data,
        _ => Group::Server,
    }
}

fn notes(row: &Row) -> String {
    let mut text = row.doc.replace('|', "\\|");
    for flag in row.flags() {
        let short =
            if flag.short.is_empty() { String::new() } else { format!("`-{}`, ", flag.short) };
        let value =
            if let Takes::Value(value) = flag.takes { format!(" {value}") } else { String::new() };
        let _ = write!(text, " Flag: {short}`--{}{value}`.", flag.long);
    }
    if let Some(name) = row.env {
        let _ = write!(text, " Environment: `{name}`.");
    }
    if row.missing.is_some() {
        text.push_str(" *Not available in this version.*");
    }
    text
}

/// The default as the file would write it, with every section switched on.
fn default_text(row: &Row) -> String {
    match row.path {
        "host" | "maxConnections" => return "see there".into(),
        // These say themselves whether they are on.
        "health" | "ready" | "client" | "continuity" | "rules" | "procedures" | "logic" => {
            return "`true`".into();
        }
        "console" => return "`\"auto\"`".into(),
        "metrics" | "http" | "audit" | "auth" | "auth.signup" => return "`false`".into(),
        _ => {}
    }
    let required = ["rateLimit.maxRequests", "rateLimit.windowMs", "tls.cert", "tls.key"];
    if required.contains(&row.path) {
        return "required".into();
    }
    let external = External {
        permissions: Some(Permissions::default()),
        login_rate_limit: Some(LoginRateLimit::default()),
        ..External::default()
    };
    let built_in = BuiltIn { signup: Some(Default::default()), ..BuiltIn::new("") };
    let everything = [Auth::BuiltIn(built_in), Auth::External(external)];
    let found = everything.into_iter().find_map(|auth| {
        let mut config = Config {
            auth: Some(auth),
            audit: Some(Default::default()),
            metrics: Some(Metrics::default()),
            http: Some(Default::default()),
            console: Some(Default::default()),
            tls: Some(super::Tls {
                cert: Default::default(),
                key: Default::default(),
                min_version: Default::default(),
                client_ca: None,
            }),
            ..Config::default()
        };
        (row.slot)(&mut config).map(|setting| setting.json())
    });
    match (row.kind, found) {
        (Kind::Section | Kind::OptionalSection, _) | (_, None | Some(Json::Null)) => String::new(),
        (_, Some(value)) if row.secret && value.as_str().is_some() => String::new(),
        (_, Some(value)) => format!("`{value}`"),
    }
}
