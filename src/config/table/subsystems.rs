//! Buckets, queries, store, persistence, and the families of operations that
//! can be switched off.

use super::{Kind, Row, UNLIMITED, database_path, int, int_or_zero, non_empty};
use crate::config::setting::Setting;
use crate::config::{Config, Durability};

fn nowhere(_: &mut Config) -> Option<&mut dyn Setting> {
    None
}

pub(super) const ROWS: &[Row] = &[
    Row::new("buckets", Kind::Object("object of bucket definitions"), |c| Some(&mut c.buckets),
        "Bucket name to definition, as `store.defineBucket` takes it. Defined in this order; references may point in either direction."),
    Row::new("queries", Kind::Object("object of query definitions"), |c| Some(&mut c.queries),
        "Query name to definition, as `store.defineQuery` takes it. Defined after all buckets."),
    Row::new("store", Kind::Section, nowhere, "The store and its live queries."),
    Row::new("store.coalescePushes", Kind::Boolean, |c| Some(&mut c.store.coalesce_pushes),
        "A push that has not left the server yet is superseded by a newer one of the same subscription."),
    Row::new("store.firstPushDelayMs", int(0, 10_000), |c| Some(&mut c.store.first_push_delay_ms),
        "Least time between the response to a subscribe and its first push, because some clients lose a push that they read together with the response. The push waits also until the client has answered two WebSocket pings behind that response (at most 2 seconds), so that a client that is not being run for a while loses nothing; 0 turns both off."),
    Row::new("store.ttlCheckIntervalMs", int_or_zero("no automatic expiry", 10, 86_400_000),
        |c| Some(&mut c.store.ttl_check_interval_ms),
        "Time between looks for expired records."),
    Row::new("store.adHocQueries", Kind::Boolean, |c| Some(&mut c.store.ad_hoc_queries),
        "`false`: `store.live`, a subscription to a query without a name, is refused (`FORBIDDEN`). `store.find` costs only while it runs, and stays."),
    Row::new("dataDir", Kind::Text(non_empty), |c| Some(&mut c.persistence.data_dir),
        "Directory for the data. Absent (and without `db`), everything lives in memory only.")
        .flag("", "data-dir", "DIR", "keep data in this directory"),
    Row::new("db", Kind::Text(database_path), |c| Some(&mut c.persistence.db),
        "Name of the database file instead of the default one in `dataDir`.")
        .flag("", "db", "FILE", "keep data in this database file"),
    Row::new("durability", Kind::Choice(Durability::WORDS), |c| Some(&mut c.persistence.durability),
        "When the response to a write leaves: when the write is synced to disk, when the operating system has it, or at once.")
        .flag("", "durability", "MODE", "always, interval or none"),
    Row::new("durabilityIntervalMs", int(1, 60_000), |c| Some(&mut c.persistence.durability_interval_ms),
        "Longest time between two syncs with `interval`."),
    Row::new("rules", Kind::Switch, nowhere, "Facts, events and the rule engine.")
        .switch("no-rules", false, "no rule engine"),
    Row::new("rules.definitions", Kind::Array("array of rules"), |c| Some(&mut c.rules.as_mut()?.definitions),
        "Rules registered at start, as `rules.registerRule` takes them."),
    Row::new("rules.groups", Kind::Array("array of groups"), |c| Some(&mut c.rules.as_mut()?.groups),
        "`{\"id\", \"name\", \"description\", \"enabled\"}`: groups that rules may belong to, created before the rules."),
    Row::new("rules.maxForwardDepth", int(1, UNLIMITED), |c| Some(&mut c.rules.as_mut()?.max_forward_depth),
        "Longest chain of events that follow from each other."),
    Row::new("rules.maxCascadeEvents", int(1, UNLIMITED), |c| Some(&mut c.rules.as_mut()?.max_cascade_events),
        "Events that one trigger may produce."),
    Row::new("rules.chainFacts", Kind::Boolean, |c| Some(&mut c.rules.as_mut()?.chain_facts),
        "Whether facts that rules set trigger rules."),
    Row::new("rules.storeEvents", Kind::Any("boolean or {\"buckets\", \"prefix\"}"), |c| Some(&mut c.rules.as_mut()?.store_events),
        "Store changes as events, of all buckets or of these, under the topic `{prefix}.{bucket}.{inserted|updated|deleted|cleared}`."),
    Row::new("procedures", Kind::Switch, nowhere, "Procedures."),
    Row::new("procedures.maxSteps", int(1, UNLIMITED), |c| Some(&mut c.procedures.as_mut()?.max_steps),
        "Steps of one definition, nested ones included."),
    Row::new("procedures.maxConditionDepth", int(0, UNLIMITED), |c| Some(&mut c.procedures.as_mut()?.max_condition_depth),
        "Nesting of `if` steps."),
    Row::new("procedures.defaultTimeoutMs", Kind::Positive { max: f64::INFINITY },
        |c| Some(&mut c.procedures.as_mut()?.default_timeout_ms),
        "Time for procedures without `timeoutMs`."),
    Row::new("procedures.definitions", Kind::Array("array of procedures"), |c| Some(&mut c.procedures.as_mut()?.definitions),
        "Procedures registered at start, as `procedures.register` takes them."),
    Row::new("logic", Kind::Switch, nowhere, "Computed fields, derived views and constraints."),
    Row::new("logic.computed", Kind::Object("object of computed fields"), |c| Some(&mut c.logic.as_mut()?.computed),
        "Bucket to fields, as `logic.defineComputed` takes them."),
    Row::new("logic.views", Kind::Array("array of views"), |c| Some(&mut c.logic.as_mut()?.views), "View definitions."),
    Row::new("logic.constraints", Kind::Array("array of constraints"), |c| Some(&mut c.logic.as_mut()?.constraints),
        "Constraint definitions."),
    Row::new("logic.maxDefinitions", int(1, UNLIMITED), |c| Some(&mut c.logic.as_mut()?.max_definitions),
        "Views, and separately constraints."),
    Row::new("logic.maxExprDepth", int(1, UNLIMITED), |c| Some(&mut c.logic.as_mut()?.max_expr_depth),
        "Nesting of an expression."),
    Row::new("logic.maxExprNodes", int(1, UNLIMITED), |c| Some(&mut c.logic.as_mut()?.max_expr_nodes),
        "Size of an expression."),
    Row::new("logic.maxViewRows", int(1, UNLIMITED), |c| Some(&mut c.logic.as_mut()?.max_view_rows),
        "Joined rows of a view before grouping."),
    Row::new("audit", Kind::Switch, nowhere, "Log of who did what.")
        .switch("audit", true, "audit log"),
    Row::new("audit.tiers", Kind::Array("array of \"admin\", \"write\", \"read\""), |c| Some(&mut c.audit.as_mut()?.tiers),
        "Operations of these tiers are recorded."),
    Row::new("audit.maxEntries", int(1, 10_000_000), |c| Some(&mut c.audit.as_mut()?.max_entries),
        "Entries kept in memory."),
    Row::new("audit.file", Kind::Any("path or {\"path\", \"sync\", \"maxBytes\", \"maxFiles\", \"restore\"}"),
        |c| Some(&mut c.audit.as_mut()?.file),
        "File that every entry is appended to, one JSON object per line. `sync` is `never`, `interval` (the default) or `always`; with `maxBytes` the file is rotated and `maxFiles` (5) old ones are kept; `restore` reads the last entries back at start."),
    Row::new("audit.auth", Kind::Boolean, |c| Some(&mut c.audit.as_mut()?.auth),
        "Whether logins and what the server does to sessions is recorded too."),
];
