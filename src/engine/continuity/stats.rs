//! What `server.stats` says of continuity.

use crate::engine::Engine;
use crate::json::{Json, Object};

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().collect::<Object>())
}

fn number(value: u64) -> Json {
    Json::Number(value as f64)
}

impl Engine {
    /// The member `continuity` of `server.stats` with `details`.
    pub(in crate::engine) fn continuity_stats(&self) -> Json {
        let (ring, sessions) = (self.log.ring(), &self.client_sessions);
        let (owners, records) = self.store.presence();
        let world = self.world.as_ref().map(|ask| ask()).unwrap_or_default();
        let resumes = self.figures.resumes.iter().map(|(what, count)| (*what, number(*count)));
        object([
            ("epoch", Json::from(&*self.epoch())),
            ("commit", number(self.newest_commit())),
            ("durableCommit", number(self.durable_commit())),
            (
                "ring",
                object([
                    ("from", number(ring.from())),
                    ("entries", number(ring.entries() as u64)),
                    ("bytes", number(ring.bytes() as u64)),
                ]),
            ),
            ("resumes", Json::Object(resumes.collect())),
            (
                "sessions",
                object([
                    ("open", number((sessions.len() - sessions.kept()) as u64)),
                    ("kept", number(sessions.kept() as u64)),
                    ("bytes", number(sessions.bytes())),
                ]),
            ),
            (
                "once",
                object([
                    ("executed", number(sessions.once.executed)),
                    ("repeated", number(sessions.once.repeated)),
                    ("conflicts", number(sessions.once.conflicts)),
                    ("withoutData", number(sessions.once.without_data)),
                ]),
            ),
            ("takeovers", number(sessions.takeovers)),
            (
                "probes",
                object([
                    ("evicted", number(world.probes_evicted)),
                    ("refused", number(world.probes_refused)),
                ]),
            ),
            (
                "presence",
                object([("owners", number(owners as u64)), ("records", number(records as u64))]),
            ),
            ("gaps", number(self.figures.event_gaps)),
        ])
    }
}
