//! What the transport counts. Shared, so that an app can show it; written by
//! the loop only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Upper bounds of the buckets of [`Counters::turn_micros`], in microseconds.
pub const TURN_BOUNDS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// What the transport has counted since the start; read them with any ordering.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sockets, in handshake and closing ones too (a gauge).
    pub sockets: AtomicU64,
    /// Upgrades completed.
    pub connections_total: AtomicU64,
    /// Bytes that were read from sockets.
    pub input_bytes_total: AtomicU64,
    /// Bytes that were written to sockets.
    pub output_bytes_total: AtomicU64,
    /// Bytes queued and not taken by the kernel (a gauge).
    pub outbox_bytes: AtomicU64,
    /// Bytes of messages that have arrived in part (a gauge).
    pub input_bytes: AtomicU64,
    /// Connections that were closed because all together held too much output,
    /// too much input.
    pub output_limit_reached: AtomicU64,
    /// Too much input.
    pub input_limit_reached: AtomicU64,
    /// TLS handshakes by their end, and those that wait for a step (a gauge).
    pub tls_ok: AtomicU64,
    /// Handshakes that failed.
    pub tls_failed: AtomicU64,
    /// Handshakes that took too long.
    pub tls_timeout: AtomicU64,
    /// Handshakes that wait for a step (a gauge).
    pub tls_waiting: AtomicU64,
    /// End of the certificate in Unix seconds; 0 without one.
    pub tls_not_after: AtomicU64,
    /// Reloads of the certificate.
    pub tls_reloaded: AtomicU64,
    /// Reloads that failed: the old certificate stays.
    pub tls_not_reloaded: AtomicU64,
    /// Why the last of them did not go well.
    tls_problem: Mutex<Option<String>>,
    /// Jobs that wait for the worker or are done by it (a gauge).
    pub jobs_waiting: AtomicU64,
    /// Connections that made room for others of their address, and newcomers for
    /// whom there was none.
    pub probes_evicted: AtomicU64,
    /// Newcomers for whom no connection made room.
    pub probes_refused: AtomicU64,
    /// Calls for which their address had no place.
    pub calls_refused: AtomicU64,
    /// Turns of the loop.
    pub turns_total: AtomicU64,
    /// Working time of turns, sleep excluded: counts per bound of
    /// [`TURN_BOUNDS`] (not cumulative) and of longer ones.
    pub turn_micros: [AtomicU64; TURN_BOUNDS.len() + 1],
    /// Working time of all turns, in microseconds.
    pub turn_micros_sum: AtomicU64,
    /// The longest turn since this was last set to 0.
    pub turn_micros_longest: AtomicU64,
    closed: Mutex<BTreeMap<u16, u64>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    http: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Counters {
    /// Connections closed by close code, which is 1006 where no close frame was
    /// exchanged, 1005 for one without a code and 0 for codes that only the
    /// peer gives a meaning to: it must not choose how many counters there are.
    pub fn closed(&self) -> BTreeMap<u16, u64> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the last reload of the certificate did not go well; `None` if it did.
    pub fn tls_problem(&self) -> Option<String> {
        self.tls_problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_tls_problem(&self, problem: Option<String>) {
        *self.tls_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Handshakes refused, by reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers to plain HTTP that the app has not counted, by what was asked and
    /// the first digit of the status.
    pub fn http(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_http(&self, door: &'static str, status: u16) {
        let key = (door, status / 100);
        *self.http.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(0) += 1;
    }

    pub(super) fn count_closed(&self, code: u16) {
        let known = matches!(code, 1000..=1014 | 4001..=4004);
        let code = if known { code } else { 0 };
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_insert(0) += 1;
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_insert(0) +=
            1;
    }

    pub(super) fn count_turn(&self, micros: u64) {
        let bucket = TURN_BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.turn_micros.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.turn_micros_sum.fetch_add(micros, Relaxed);
        self.turn_micros_longest.fetch_max(micros, Relaxed);
        self.turns_total.fetch_add(1, Relaxed);
    }

    /// A gauge that changes from one value of a part to another.
    pub(super) fn replace(gauge: &AtomicU64, old: usize, new: usize) {
        if new == old {
            return;
        }
        if new > old {
            gauge.fetch_add((new - old) as u64, Relaxed);
        } else {
            gauge.fetch_sub((old - new) as u64, Relaxed);
        }
    }
}
