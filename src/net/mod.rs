//! The transport: sockets, HTTP, WebSocket frames, clocks.
//!
//! Owns everything between the network and an [`App`](crate::app::App). It must
//! not know the protocol that the messages speak. The state machine of one
//! connection needs no socket and no clock: `frame`, `decode`, `http`.

mod accept;
pub mod address;
mod clock;
pub mod conn;
mod counters;
pub mod decode;
mod entry;
pub mod frame;
pub mod http;
pub mod limits;
mod mailbox;
pub mod outbox;
mod output;
mod serve;
mod signals;
#[cfg(test)]
mod testing;
mod transport;
mod turn;
mod worker;

pub use address::IpNet;
pub use counters::{Counters, TURN_BOUNDS};
pub use mailbox::{Command, Durability, Remote};
pub use transport::{BinaryAnswer, Options, Running, Transport, raise_open_files_limit};
