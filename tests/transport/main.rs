//! The transport over real sockets: what it answers, in which order, within
//! which bounds. No test measures time; a timeout only ends a test that would
//! hang.

mod descriptors;
mod door;
mod flow;
mod frames;
mod http;
mod memory;
mod places;
mod program;
mod slow_peer;
mod stop;
#[cfg(unix)]
mod stopped;
mod support;
mod turns;
