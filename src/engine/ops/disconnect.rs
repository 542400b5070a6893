//! `server.disconnect`: an operator ends connections; their clients may come
//! back.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::write_number;
use crate::protocol::{OpError, Request};

const TARGETS: [&str; 3] = ["connectionId", "userId", "remoteAddress"];

impl Engine {
    pub(super) fn server_disconnect(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let mut given = TARGETS.iter().filter(|name| request.present(name).is_some());
        let (Some(&name), None) = (given.next(), given.next()) else {
            let names = TARGETS.map(|name| format!("\"{name}\"")).join(", ");
            return Err(OpError::validation(format!("Expected exactly one of {names}")));
        };
        let wanted = request
            .str_field(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                OpError::validation(format!("Invalid \"{name}\": expected non-empty string"))
            })?
            .into_owned();
        let targets = self.connections_with(name, &wanted);
        if targets.is_empty() && name == "connectionId" {
            return Err(OpError::not_found(format!("Connection \"{wanted}\" not found")));
        }
        for id in &targets {
            self.disconnect_later(*id);
        }
        out.extend_from_slice(b"{\"disconnected\":");
        write_number(out, targets.len() as f64);
        out.push(b'}');
        Ok(())
    }

    /// In connect order, without those of the program itself.
    fn connections_with(&self, name: &str, wanted: &str) -> Vec<ConnId> {
        match name {
            "userId" => self.connections_of(wanted),
            _ => {
                let matches = |conn: &&crate::engine::Conn| match name {
                    "connectionId" => conn.name() == wanted,
                    _ => conn.address.to_string() == wanted,
                };
                let all = self.conns.in_order().into_iter().filter(|conn| !conn.trusted);
                all.filter(matches).map(|conn| conn.id).collect()
            }
        }
    }
}
