//! noexd: a live data backend in one small binary, and in this library.
//!
//! Buckets of records with a schema, queries that push what changed,
//! transactions, rules, authentication and audit, over one JSON protocol on
//! WebSocket. One thread, one event loop, no async runtime.
//!
//! A program embeds it through [`Server`]: on a thread of its own, between the
//! frames of a loop that the program has already, or until a signal comes. A
//! [`Handle`] works from any thread, as a client without a socket:
//!
//! ```
//! use noexd::Server;
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .host("127.0.0.1")
//!     .port(0)
//!     .bucket("kilns", json!({
//!         "key": "id",
//!         "schema": {
//!             "id": {"type": "string", "generated": "uuid"},
//!             "heat": {"type": "number", "required": true},
//!         },
//!     }))
//!     .query("hot", json!({"bucket": "kilns", "filter": {"heat": {"$gt": 1000}}}))
//!     .start()?;
//!
//! // Programs on this machine connect to ws://127.0.0.1:PORT/; this one need not.
//! let watcher = server.connect()?;
//! watcher.send(r#"{"id":1,"type":"store.subscribe","query":"hot"}"#)?;
//! assert!(watcher.receive()?.contains("\"data\":[]"));
//!
//! server.call("store.insert", json!({"bucket": "kilns", "data": {"heat": 1240}}))?;
//! assert!(watcher.receive()?.contains("1240"));
//! # Ok(())
//! # }
//! ```
//!
//! Settings are those of the configuration file ([`Config`],
//! [`Builder::set`]). What a program can take part in (logins, permissions, audit,
//! rules, queries) are the traits of [`hooks`].
//!
//! Nothing else is public: with the feature `internals` the tests, fuzz targets and
//! benchmarks of this crate see all of its parts, and any of that may change.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// What only tests use is not used without them.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]

pub mod config;
pub mod hooks;
pub mod server;

// What the program `noexd` has besides a server. No part of the API.
#[cfg(feature = "sqlite")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod healthcheck;
#[doc(hidden)]
pub mod logging;
#[doc(hidden)]
pub mod remote;

// The parts inside.

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod access;
#[cfg(not(feature = "internals"))]
mod access;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod address;
#[cfg(not(feature = "internals"))]
mod address;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod app;
#[cfg(not(feature = "internals"))]
mod app;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod audit;
#[cfg(not(feature = "internals"))]
mod audit;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod budget;
#[cfg(not(feature = "internals"))]
mod budget;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod engine;
#[cfg(not(feature = "internals"))]
mod engine;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod identity;
#[cfg(not(feature = "internals"))]
mod identity;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod ids;
#[cfg(not(feature = "internals"))]
mod ids;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod json;
#[cfg(not(feature = "internals"))]
mod json;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod logic;
#[cfg(not(feature = "internals"))]
mod logic;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod names;
#[cfg(not(feature = "internals"))]
mod names;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod net;
#[cfg(not(feature = "internals"))]
mod net;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod private;
#[cfg(not(feature = "internals"))]
mod private;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod procedures;
#[cfg(not(feature = "internals"))]
mod procedures;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod protocol;
#[cfg(not(feature = "internals"))]
mod protocol;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod query;
#[cfg(not(feature = "internals"))]
mod query;
mod recent;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod rules;
#[cfg(not(feature = "internals"))]
mod rules;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod spelling;
#[cfg(not(feature = "internals"))]
mod spelling;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod storage;
#[cfg(not(feature = "internals"))]
mod storage;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod store;
#[cfg(not(feature = "internals"))]
mod store;
#[cfg(test)]
mod testing;
mod tree;
#[cfg(all(feature = "internals", feature = "tools"))]
#[doc(hidden)]
pub mod types;
#[cfg(all(not(feature = "internals"), feature = "tools"))]
mod types;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod wheel;
#[cfg(not(feature = "internals"))]
mod wheel;

pub use config::Config;
pub use protocol::{ErrorCode, OpError};
pub use server::{Builder, Handle, LocalClient, Server, ServerThread};

// The programs in the documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
mod embedding {}
#[cfg(doctest)]
#[doc = include_str!("../docs/rules.md")]
mod rules_page {}
