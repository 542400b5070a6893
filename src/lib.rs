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
//! [`server::Builder::set`]). What is below `server` in the list of modules is
//! public for tests, tools and the curious, and may change.
#![forbid(unsafe_code)]

pub mod access;
pub mod address;
pub mod app;
pub mod audit;
pub mod budget;
#[cfg(feature = "sqlite")]
pub mod cli;
pub mod config;
pub mod engine;
pub mod healthcheck;
pub mod identity;
pub mod ids;
pub mod json;
pub mod logging;
pub mod logic;
pub mod names;
pub mod net;
pub mod private;
pub mod procedures;
pub mod protocol;
pub mod query;
pub mod remote;
pub mod rules;
pub mod server;
pub mod spelling;
pub mod storage;
pub mod store;
mod tree;
#[cfg(feature = "tools")]
pub mod types;
pub mod wheel;

pub use config::Config;
pub use server::{Handle, Server};
