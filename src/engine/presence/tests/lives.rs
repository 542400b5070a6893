//! Random lives of owners against a model.

use super::{done, insert, keys, leave, open, rig_with};
use crate::app::ConnId;

/// A client that comes and goes, as the model has it.
#[derive(Default)]
struct Peer {
    conn: Option<ConnId>,
    has_session: bool,
    /// When its records go, if it does not come back.
    due: Option<u64>,
    keys: Vec<String>,
}

/// Random lives of owners: the records that are there are those of the model.
fn random_lives(seed: u64) {
    let (mut rig, _) = rig_with(1_000);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut peers: Vec<Peer> = (0..5).map(|_| Peer::default()).collect();
    for step in 0..60 {
        let at = below(5) as usize;
        let now = rig.now.mono;
        let peer = &mut peers[at];
        match (below(6), peer.conn) {
            (0, Some(conn)) => {
                leave(&mut rig, conn);
                let grace = if peer.has_session { 1_000 } else { 0 };
                peer.due = Some((now + grace) / 100 * 100 + 100);
                peer.conn = None;
            }
            (1, Some(conn)) if peer.has_session => {
                done(&mut rig, conn, r#""type":"session.close""#);
                (peer.has_session, peer.keys) = (false, Vec::new());
            }
            (2, Some(conn)) if !peer.has_session => {
                open(&mut rig, conn, &format!("p{at}"));
                peer.has_session = true;
            }
            (3, Some(conn)) if peer.has_session => {
                // It is there twice for a moment.
                let again = rig.connect();
                open(&mut rig, again, &format!("p{at}"));
                assert_eq!(rig.is_closed(conn), Some((4004, "session_replaced")));
                peer.conn = Some(again);
            }
            (_, Some(conn)) => {
                let key = format!("{at}-{step}");
                insert(&mut rig, conn, &key);
                peer.keys.push(key);
            }
            // What it left is still there, and no longer its own.
            (_, None) if !peer.has_session && peer.due.is_some() => {}
            (_, None) => {
                let conn = rig.connect();
                peer.conn = Some(conn);
                if peer.has_session {
                    open(&mut rig, conn, &format!("p{at}"));
                    peer.due = None;
                }
            }
        }
        rig.advance(below(400));
        let now = rig.now.mono;
        for peer in &mut peers {
            if peer.due.is_some_and(|due| due <= now) {
                (peer.due, peer.keys) = (None, Vec::new());
            }
        }
        let mut expected: Vec<String> = peers.iter().flat_map(|it| it.keys.clone()).collect();
        expected.sort();
        assert_eq!(keys(&rig), expected, "seed {seed}, step {step}");
    }
}

#[test]
fn random_owners_have_the_records_of_the_model() {
    (1..=120).for_each(random_lives);
}
