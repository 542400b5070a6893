//! noexd: a live data backend in one small binary.
#![forbid(unsafe_code)]

pub mod access;
pub mod app;
pub mod audit;
#[cfg(feature = "sqlite")]
pub mod cli;
pub mod config;
pub mod engine;
pub mod identity;
pub mod ids;
pub mod json;
pub mod logging;
pub mod net;
pub mod protocol;
pub mod query;
pub mod rules;
pub mod server;
pub mod storage;
pub mod store;
pub mod wheel;

pub use config::Config;
pub use server::{Handle, Server};
