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
        let entries = self.audit.iter().flat_map(|log| log.query(&filter));
        for (at, entry) in entries.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(entry.json().as_bytes());
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}
