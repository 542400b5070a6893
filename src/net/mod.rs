//! The transport: sockets, HTTP, WebSocket frames, clocks.
//!
//! Owns everything between the network and an [`App`](crate::app::App). It must
//! not know the protocol that the messages speak. The state machine of one
//! connection needs no socket and no clock: `frame`, `decode`, `http`.

pub mod address;
pub mod decode;
pub mod frame;
pub mod http;
pub mod limits;
#[cfg(test)]
mod testing;
