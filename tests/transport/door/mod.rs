//! The HTTP door of a real server (docs/http.md; operations.md section 9).

mod checks;
mod client;
mod live;
mod rpc;
