//! `audit.query` (audit.md section 4).

use crate::audit::AuditFilter;
use crate::engine::Engine;
use crate::protocol::{OpError, Request};

impl Engine {
    pub(super) fn audit_query(
        &self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let filter = AuditFilter::of(request)?;
        out.extend_from_slice(b"{\"entries\":[");
        let (mut rest, mut skipped) = (filter.limit.unwrap_or(usize::MAX), 0);
        let begin = out.len();
        for entry in self.audit.iter().flat_map(|log| log.newest_first()) {
            if rest == 0 {
                break;
            }
            self.budget.spend(1)?;
            if !filter.matches(entry) {
                continue;
            }
            if skipped < filter.offset {
                skipped += 1;
                continue;
            }
            rest -= 1;
            if out.len() > begin {
                out.push(b',');
            }
            out.extend_from_slice(entry.json().as_bytes());
            self.budget.reply(out.len())?;
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}
