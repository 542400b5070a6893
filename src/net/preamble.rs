//! The header of the PROXY protocol in front of a connection: required, never
//! guessed, and believed only from proxies that are trusted (which was seen to
//! when the socket was accepted).

use super::proxy::{self, Header};
use super::serve::{Arrived, Budget, read};
use super::transport::Transport;
use crate::app::App;
use std::sync::atomic::Ordering::Relaxed;

impl<A: App + 'static> Transport<A> {
    /// Reads the header; what follows it is handled as if it came first.
    pub(super) fn read_header(&mut self, slot: u32, budget: &mut Budget) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.read_header_into(slot, &mut buffer, budget);
        self.buffer = buffer;
    }

    fn read_header_into(&mut self, slot: u32, buffer: &mut [u8], budget: &mut Budget) {
        let Some(entry) = self.table.get_mut(slot as usize) else { return };
        let kept = entry.conn.take_kept();
        let room = buffer.len();
        if let Some(front) = buffer.get_mut(..kept.len()) {
            front.copy_from_slice(&kept);
        }
        let count = match read(&mut entry.stream, buffer.get_mut(kept.len()..).unwrap_or_default())
        {
            Arrived::Bytes(count) => count,
            Arrived::Nothing => {
                entry.readable = false;
                entry.conn.keep(&kept, true);
                return;
            }
            Arrived::End | Arrived::Lost => {
                entry.readable = false;
                return self.doom(slot);
            }
        };
        let filled = kept.len() + count;
        entry.input_progress = self.now.mono;
        entry.readable = filled == room || entry.hung_up;
        budget.bytes = budget.bytes.saturating_sub(count);
        self.counters.input_bytes_total.fetch_add(count as u64, Relaxed);
        let input = buffer.get_mut(..filled).unwrap_or_default();
        match proxy::read(input) {
            Header::NeedMore => entry.conn.keep(input, true),
            Header::Bad => {
                let from = entry.address;
                self.note_refused("proxy_header", from, "no header of the PROXY protocol");
                self.doom(slot);
            }
            Header::Found { used, source } => {
                entry.awaits_header = false;
                if let Some(source) = source {
                    entry.address = source.into();
                }
                let is_sealed = entry.tls.is_some();
                let rest = input.get_mut(used..).unwrap_or_default();
                if is_sealed && !rest.is_empty() {
                    self.go_on_shaking(slot, rest);
                } else if !is_sealed {
                    let (used, stalled) = self.handle(slot, rest, budget);
                    if let Some(entry) = self.table.get_mut(slot as usize) {
                        entry.conn.keep(rest.get(used..).unwrap_or_default(), stalled);
                    }
                }
            }
        }
    }
}
