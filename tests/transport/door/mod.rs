//! The HTTP door (docs/http.md; operations.md section 9): of a real server, and
//! of the transport alone.

mod attack;
mod calls;
mod checks;
mod client;
mod live;
mod pages;
mod rpc;
#[cfg(feature = "tls")]
mod tls;
