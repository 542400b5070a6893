//! The transport: sockets, HTTP, WebSocket frames, clocks.
//!
//! Owns everything between the network and an [`App`](crate::app::App). It must
//! not know the protocol that the messages speak.
//!
//! - [`frame`], [`decode`], [`http`], [`outbox`] and [`conn`] are one connection
//!   as a state machine: bytes in, steps and bytes out, no socket and no clock.
//!   Tests and fuzzers drive it as the loop does.
//! - `turn` lists the steps of the loop in order; `accept`, `serve` and `output`
//!   are its parts, `entry` is what it remembers of a connection.
//! - `mailbox`, `worker` and `signals` are the ways into the loop from other
//!   threads.
//! - [`limits`] has every bound that is not configurable.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `address`, `clock`, `counters`, `guard`, `http/client`, `http/door`, `http/target`,
//!    `limits`, `proxy`, `refusals`, `rounds`, `signals`, `socket`, `spares`, `tls`,
//!    `tls/absent`, `tls/session`
//! 2. `accepting`, `certificates`, `frame`, `http`, `http/console`, `shake`, `tls/certificate`
//! 3. `decode`, `mailbox`, `outbox`, `tls/client`
//! 4. `conn`, `worker`
//! 5. `handshakes`, `sealing`
//! 6. `entry`
//! 7. `transport`
//! 8. `accept`, `calls`, `memory`, `output`, `probing`, `requests`, `serve`, `turn`
//! 9. `preamble`, `sealed`

mod accept;
mod accepting;
pub mod address;
mod calls;
mod certificates;
mod clock;
pub mod conn;
mod counters;
pub mod decode;
mod entry;
pub mod frame;
pub mod guard;
mod handshakes;
pub mod http;
pub mod limits;
mod mailbox;
mod memory;
pub mod outbox;
mod output;
mod preamble;
mod probing;
pub mod proxy;
mod refusals;
mod requests;
mod rounds;
mod sealed;
mod sealing;
mod serve;
mod shake;
mod signals;
mod socket;
pub mod spares;
#[cfg(test)]
mod testing;
pub mod tls;
mod transport;
mod turn;
mod worker;

pub use accepting::Terms;
pub use address::{IpNet, TrustedProxy};
pub use certificates::{Loaded, unix_seconds};
pub use counters::{Counters, TURN_BOUNDS};
pub use mailbox::{Command, Durability, Remote};
pub use socket::Listening;
pub use transport::{BinaryAnswer, Options, Running, Transport, raise_open_files_limit};
