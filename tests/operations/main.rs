//! The program as an operator and a service manager meet it.

mod contrib;
mod disconnect;
mod exit_codes;
mod listeners;
mod logs;
mod metrics;
mod probes;
mod reload;
mod service;
mod support;
#[cfg(feature = "tls")]
mod tls;
