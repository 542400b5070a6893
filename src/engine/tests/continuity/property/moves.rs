//! Clients that look at another part of a result, or ask for all of it.

use super::World;
use crate::app::ConnId;
use crate::json::Json;

impl World {
    /// Also by one that has not read for long: it reads on to the answer.
    pub(super) fn move_window(&mut self, at: usize, conn: ConnId, id: &str) {
        self.look();
        self.next_id += 1;
        let number = self.next_id as f64;
        let (offset, limit) = (self.below(16), self.below(6) + 1);
        self.rig.send(conn, &format!(
            r#"{{"id":{number},"type":"store.moveWindow","subscriptionId":"{id}","offset":{offset},"limit":{limit}}}"#
        ));
        self.clients[at].stalled = false;
        self.rig.stall(conn, false);
        for message in self.rig.received(conn) {
            let is_answer = message.get("id").and_then(Json::as_number) == Some(number);
            let found = self.clients[at].held.iter_mut().find(|held| held.id == id);
            match (message.get("data"), found) {
                (Some(data), Some(held)) if is_answer => {
                    self.seen.moves += 1;
                    self.seen.resets += u64::from(data.get("reset").is_some());
                    held.moved(data);
                }
                _ => self.take(conn, &message),
            }
        }
        let user = self.clients[at].user;
        let found = self.clients[at].held.iter().find(|held| held.id == id).cloned();
        if let Some(held) = found.filter(|_| self.rig.engine.views.costly_queries() == 0) {
            self.check_fresh(user, &held, "after a move");
        }
    }

    pub(super) fn resync(&mut self, at: usize, conn: ConnId, id: &str) {
        let answer = self.ask(conn, &format!(r#""store.resync","subscriptionId":"{id}""#));
        let Some(data) = answer.get("data") else { return };
        let Some(held) = self.clients[at].held.iter_mut().find(|held| held.id == id) else {
            return;
        };
        held.resynced(data);
    }
}
