//! Every limit of the transport that is not configurable, with its reason.
//!
//! What an operator may change is in [`Options`](super::Options).

/// Longest request head of the handshake, in bytes. Part of the contract
/// (protocol.md 1.1, row 2): one byte more is answered with 431.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Most header fields that fit into a head of [`HEAD_BYTES`] (`a:` and a line
/// feed each), so that the size is the only limit on them.
pub const HEADER_FIELDS: usize = HEAD_BYTES / 3;

/// Header fields that are parsed without an allocation. Browsers send about 20.
pub const COMMON_HEADER_FIELDS: usize = 64;

/// Characters of `User-Agent` that are kept.
pub const USER_AGENT_CHARS: usize = 256;

/// Most frames of one message. Part of the contract (protocol.md section 2):
/// one more is answered with 1008. Bounds what a message of empty frames costs.
pub const FRAGMENTS: u32 = 16_384;

/// Longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD: u64 = 125;

/// Bytes asked of a socket at a time, into one buffer that all connections
/// share. A burst of 64 pipelined requests fits; larger reads gain nothing that
/// shows against the work on their content.
pub const READ_BYTES: usize = 64 * 1024;

/// Messages of one connection and turn. More than a deep pipeline, so that an
/// ordinary burst is answered in one write; fewer than would be noticed by the
/// other connections.
pub const MESSAGES_PER_CONNECTION: usize = 128;

/// Bytes read from one connection in one turn, with the same reason.
pub const BYTES_PER_CONNECTION: usize = 4 * READ_BYTES;

/// Messages of all connections in one turn: bounds what piles up in outboxes
/// before anything is written.
pub const MESSAGES_PER_TURN: usize = 2_048;

/// Microseconds spent on messages in one turn, looked at between connections.
/// The turn works with the time at which it began, and timers wait for its end.
pub const MICROS_PER_TURN: u64 = 10_000;

/// Output that one connection may cause in its share of a turn. Then it is the
/// next one's turn, and its own in a line of those that cost much.
pub const OUTPUT_PER_CONNECTION: usize = 256 * 1024;

/// Input that one connection may bring in its share of a turn, with the same
/// consequence: a thousand uploads do not keep those waiting who ask for little.
/// A deep pipeline is shorter.
pub const INPUT_PER_CONNECTION: usize = READ_BYTES / 2;

/// Milliseconds of one connection's share of a turn, with the same consequence.
/// Above the resolution of the clock that is looked at after every message.
pub const MILLIS_PER_CONNECTION: u64 = 4;

/// Sockets accepted in one turn, so that a storm of connects does not stop
/// those that are connected.
pub const ACCEPTS_PER_TURN: usize = 128;

/// Readiness events taken from the kernel at a time. When all are used the
/// kernel is asked again before anything is handled.
pub const EVENTS: usize = 1_024;

/// Times in a row that the kernel is asked for more events: then what is known
/// is handled first, however many peers go on sending.
pub const POLLS: u32 = 64;

/// A shared body of at least this many bytes is queued by reference, a smaller
/// one is copied behind its head. Measured on loopback: one message costs the
/// same either way up to 4 KiB (the call is 3.5 microseconds of it); of eight in
/// one write, each by reference costs 0.1 microseconds more than a copy of 1 KiB.
/// But a push to ten thousand subscribers is copied ten thousand times before
/// the turn's end, so memory sets the limit lower than time would.
pub const SHARE_FROM: usize = 1_024;

/// An owned piece of an outbox takes no further message beyond this many bytes;
/// then the next piece begins. Bounds what growing it copies.
pub const PIECE_BYTES: usize = 32 * 1024;

/// Slices per `writev`. Linux takes 1,024; a full socket buffer is reached
/// with far fewer.
pub const SLICES: usize = 64;

/// Sockets beyond `maxConnections` that still may say what they want, so that
/// their upgrade is refused with 503 in its place among the checks and
/// `/healthz` is answered when the server is full. They fit into the 64
/// descriptors which the default of `maxConnections` leaves free. Anybody
/// beyond them gets 503 unheard.
pub const SOCKETS_BEYOND_MAXIMUM: usize = 32;

/// Milliseconds without `accept` after the process or the system ran out of
/// descriptors. Long enough not to spin, short enough not to be felt once one
/// is free.
pub const ACCEPT_PAUSE_MS: u64 = 50;

/// Room kept in the buffers that are reused by every turn. What a burst needed
/// beyond it is given back.
pub const KEPT_BYTES: usize = 256 * 1024;
