//! Random lives of sessions by seed, beside what section 2 of the contract says
//! in the plainest words.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::*;

const SEEDS: u64 = 60;
const STEPS: usize = 120;
const MOST_OF_USER: usize = 3;
const MOST: usize = 5;
const TOKENS: [&str; 2] = ["t-ann", "t-bob"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// User and name.
type Key = (Option<usize>, usize);

#[derive(Default)]
struct Model {
    /// Session by user and name: who holds it, else since when it is left.
    sessions: BTreeMap<Key, Result<ConnId, (u64, u64)>>,
    users: BTreeMap<ConnId, Option<usize>>,
    turns: u64,
}

impl Model {
    fn held_by(&self, conn: ConnId) -> Option<Key> {
        let found = self.sessions.iter().find(|(_, place)| **place == Ok(conn));
        found.map(|(key, _)| *key)
    }

    fn leave(&mut self, conn: ConnId, now: u64) {
        if let Some(key) = self.held_by(conn) {
            self.turns += 1;
            self.sessions.insert(key, Err((now, self.turns)));
        }
    }

    fn expire(&mut self, now: u64) {
        self.sessions.retain(|_, place| place.is_ok() || place.unwrap_err().0 + KEEP_MS > now);
    }

    /// The oldest that was left, of one user or of all.
    fn make_room(&mut self, user: Option<usize>) -> Result<(), String> {
        let of_user = self.sessions.keys().filter(|key| key.0 == user).count();
        let (full, text) = if of_user >= MOST_OF_USER {
            (Some(Some(user)), format!("(max {MOST_OF_USER} per user)"))
        } else {
            ((self.sessions.len() >= MOST).then_some(None), format!("(max {MOST})"))
        };
        let Some(only) = full else { return Ok(()) };
        let left = self.sessions.iter().filter(|(key, _)| only.is_none_or(|user| key.0 == user));
        let oldest = left.filter_map(|(key, place)| Some((place.err()?.1, *key))).min();
        let (_, key) = oldest.ok_or(format!("RATE_LIMITED Session limit reached {text}"))?;
        self.sessions.remove(&key);
        Ok(())
    }

    /// What `session.open` answers, and whom it closes.
    fn open(&mut self, conn: ConnId, name: usize, resume: bool) -> (String, Option<ConnId>) {
        if self.held_by(conn).is_some() {
            return ("CONFLICT A session is bound to this connection already".into(), None);
        }
        let key = (self.users[&conn], name);
        let Some(place) = self.sessions.get(&key).copied() else {
            if resume {
                return ("NOT_FOUND Session not found".into(), None);
            }
            if let Err(refused) = self.make_room(key.0) {
                return (refused, None);
            }
            self.sessions.insert(key, Ok(conn));
            return ("\"new\" false".into(), None);
        };
        self.sessions.insert(key, Ok(conn));
        (format!("\"known\" {}", place.is_ok()), place.ok())
    }
}

fn live(seed: u64) {
    let limits = Continuity { max_sessions: MOST, max_sessions_per_user: MOST_OF_USER, ..limits() };
    let mut rig = external_rig(options(limits));
    let mut dice = ChaCha12Rng::seed_from_u64(seed);
    let mut below = |end: usize| (dice.next_u64() % end as u64) as usize;
    let mut model = Model::default();
    let mut conns: Vec<ConnId> = Vec::new();
    for step in 0..STEPS {
        if conns.is_empty() || below(8) == 0 {
            let conn = rig.connect();
            model.users.insert(conn, None);
            conns.push(conn);
            continue;
        }
        let at = below(conns.len());
        let conn = conns[at];
        match below(9) {
            0 => {
                leave(&mut rig, conn);
                model.leave(conn, rig.now.mono);
                conns.remove(at);
            }
            1 => {
                let user = below(TOKENS.len());
                login(&mut rig, conn, TOKENS[user]);
                if model.users.insert(conn, Some(user)) != Some(Some(user)) {
                    model.leave(conn, rig.now.mono);
                }
            }
            2 => {
                ask(&mut rig, conn, "\"type\":\"auth.logout\"", &[]);
                if model.users.insert(conn, None) != Some(None) {
                    model.leave(conn, rig.now.mono);
                }
            }
            3 => {
                let expected = model.held_by(conn).is_some_and(|key| {
                    model.sessions.remove(&key);
                    true
                });
                assert_eq!(close(&mut rig, conn), expected.to_string(), "seed {seed} step {step}");
            }
            4 => {
                rig.advance(below(KEEP_MS as usize) as u64);
                model.expire(rig.now.mono);
            }
            _ => {
                let (name, resume) = (below(NAMES.len()), below(3) == 0);
                let rest = format!(",\"resume\":{resume}");
                let got = open(&mut rig, conn, NAMES[name], &rest);
                let (expected, closed) = model.open(conn, name, resume);
                assert_eq!(got, expected, "seed {seed} step {step}");
                let is_closed = |conn: &ConnId| rig.is_closed(*conn).is_some();
                conns.retain(|conn| !is_closed(conn));
                assert!(closed.is_none_or(|conn| is_closed(&conn)), "seed {seed} step {step}");
            }
        }
        let kept = model.sessions.values().filter(|place| place.is_err()).count();
        let sessions = &rig.engine.client_sessions;
        assert_eq!(
            (sessions.len(), sessions.kept()),
            (model.sessions.len(), kept),
            "seed {seed} step {step}"
        );
        for conn in &conns {
            let holds = rig.engine.client_session(*conn).is_some();
            assert_eq!(holds, model.held_by(*conn).is_some(), "seed {seed} step {step} {conn:?}");
        }
    }
}

#[test]
fn random_lives_are_those_of_the_model() {
    for seed in 0..SEEDS {
        live(seed);
    }
}
