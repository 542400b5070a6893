//! Receipts that are stored together: what is found of them at the next start,
//! also of those from before there were sheets.

use sha2::{Digest as _, Sha256};

use super::crash::Life;
use super::*;
use crate::app::{App as _, Now};
use crate::engine::client_sessions::Digest;
use crate::json::parse;
use crate::storage::{Batch, Disk, Document, Op, Policy};

const NOW: Now = Now { mono: 1000, wall: 1_800_000_001_000 };

fn begin(disk: &Disk) -> Life {
    let mut life = Life::begin(disk, Policy::Always, NOW);
    settle(&mut life);
    life
}

/// The whole answer.
fn ask(life: &mut Life, conn: ConnId, request: &str) -> String {
    life.send(conn, &format!("{{\"id\":1,{request}}}"));
    life.waiting.pop().expect("an answer").2.to_text()
}

/// A connection that has opened this session; what it was answered.
fn open(life: &mut Life, name: &str) -> (ConnId, String) {
    let conn = life.connect();
    let session = id(name);
    let answer =
        ask(life, conn, &format!(r#""type":"session.open","session":"{session}","once":true"#));
    (conn, answer)
}

fn insert(life: &mut Life, conn: ConnId, n: u64, who: &str) -> String {
    let request =
        format!(r#""type":"store.insert","bucket":"b","data":{{"who":"{who}"}},"once":{n}"#);
    ask(life, conn, &request)
}

/// The turn ends; what it changed.
fn turn(life: &mut Life) -> Vec<Batch> {
    life.engine.turn_ended(life.now);
    let batches = life.queue.take(u64::MAX);
    life.engine.check_invariants();
    batches
}

/// The turn ends, and is written.
fn settle(life: &mut Life) {
    let batches = turn(life);
    life.journal.write(&batches, life.now.mono).expect("the disk works");
}

fn documents<'b>(batches: &'b [Batch], kind: &str) -> Vec<&'b Document> {
    let ops = batches.iter().flat_map(|batch| &batch.ops);
    let documents = ops.filter_map(|op| match op {
        Op::Document(document) => Some(document),
        _ => None,
    });
    documents.filter(|document| document.kind == kind).collect()
}

/// What the disk has of a kind: the bodies.
fn stored(disk: &Disk, kind: &str) -> Vec<String> {
    let queue = crate::engine::tests::durability::Queue::default();
    let (_, _, documents) =
        crate::engine::tests::durability::recover(disk, Policy::Always, &queue, NOW);
    let documents = documents.into_iter().filter(|document| document.kind == kind);
    documents.map(|document| document.body).collect()
}

/// A batch as it was written before there were sheets.
fn aged(batch: Batch, session: &str) -> Batch {
    let mut ops = Vec::new();
    for op in batch.ops {
        match op {
            Op::Document(mut document) if document.kind == "session" => {
                let Json::Object(mut body) = parse(&document.body, 9).expect("JSON").to_json()
                else {
                    panic!("an object")
                };
                assert!(body.remove("no").is_some());
                document.body = Json::Object(body).to_text();
                ops.push(Op::Document(document));
            }
            Op::Document(document) if document.kind == "receipts" => {
                let list = parse(&document.body, 99).expect("JSON");
                for entry in list.elements() {
                    let text = |name: &str| entry.get(name).map_or("null", |raw| raw.text());
                    let body = format!(
                        r#"{{"asked":{},"at":{},"filters":"e3b0c44298fc1c149afbf4c8996fb924","buckets":[],"commit":{},"data":{}}}"#,
                        text("asked"),
                        text("at"),
                        text("commit"),
                        text("data")
                    );
                    let name = format!("{session}/{}", text("n"));
                    let kind = "receipt".to_owned();
                    ops.push(Op::Document(Document { kind, name, body, ..document.clone() }));
                }
            }
            other => ops.push(other),
        }
    }
    // How many steps a commit has is another number now.
    Batch { ops, ends: Vec::new(), ..batch }
}

#[test]
fn what_has_a_document_for_each_receipt_is_understood() {
    let mut life = begin(&Disk::new());
    let (conn, _) = open(&mut life, "a");
    let answers: Vec<String> =
        (1..=3).map(|n| insert(&mut life, conn, n, &format!("w{n}"))).collect();
    let batches = turn(&mut life);
    let digest = Digest::of(&id("a")).expect("an id");
    let name = Sha256::new().chain_update(digest.0).chain_update("nobody").finalize();
    let name = data_encoding::HEXLOWER.encode(&name);
    assert_eq!(documents(&batches, "session")[0].name, name);

    // The same, written by the program of before.
    let disk = Disk::new();
    let mut old = begin(&disk);
    let aged: Vec<Batch> = batches.into_iter().map(|batch| aged(batch, &name)).collect();
    old.journal.write(&aged, 1).expect("the disk works");
    assert_eq!((stored(&disk, "receipt").len(), stored(&disk, "receipts").len()), (3, 0));

    for _ in 0..2 {
        let mut life = begin(&disk);
        assert_eq!((stored(&disk, "receipt").len(), stored(&disk, "receipts").len()), (0, 1));
        let (conn, opened) = open(&mut life, "a");
        assert!(opened.contains(r#""session":"known""#) && opened.contains(r#""newest":3"#));
        for (n, first) in (1..).zip(&answers) {
            let again = insert(&mut life, conn, n, &format!("w{n}"));
            assert_eq!(again, first.replace("\"result\",", "\"result\",\"repeated\":true,"));
        }
        let other = insert(&mut life, conn, 2, "other");
        assert!(other.contains("Request 2 was another one"), "{other}");
    }
}

#[test]
fn another_life_of_a_session_has_no_receipts_of_the_first() {
    let disk = Disk::new();
    let mut life = begin(&disk);
    let [(a, _), (b, _)] = ["a", "b"].map(|name| open(&mut life, name));
    insert(&mut life, a, 1, "a");
    insert(&mut life, b, 1, "b");
    ask(&mut life, a, r#""type":"session.close""#);
    open(&mut life, "a");
    settle(&mut life);

    let mut life = begin(&disk);
    let [(a, opened), (b, _)] = ["a", "b"].map(|name| open(&mut life, name));
    assert!(opened.contains(r#""session":"known""#) && opened.contains(r#""newest":0"#));
    assert!(!insert(&mut life, a, 1, "a").contains("repeated"), "it was never asked for");
    assert!(insert(&mut life, b, 1, "b").contains("repeated"));
}

#[test]
fn a_sheet_that_goes_in_the_turn_that_began_it_takes_nothing_along() {
    let disk = Disk::new();
    let mut life = begin(&disk);
    let [(a, _), (b, _)] = ["a", "b"].map(|name| open(&mut life, name));
    insert(&mut life, a, 1, "a");
    ask(&mut life, a, r#""type":"session.close""#);
    insert(&mut life, b, 1, "b");
    let batches = turn(&mut life);
    assert_eq!(documents(&batches, "receipts").len(), 2);
    life.journal.write(&batches, 1).expect("the disk works");
    assert_eq!(stored(&disk, "receipts").len(), 1);

    let mut life = begin(&disk);
    let (b, _) = open(&mut life, "b");
    assert!(insert(&mut life, b, 1, "b").contains("repeated"));
}

#[test]
fn the_receipts_of_a_turn_are_one_document_unless_it_is_long() {
    let mut life = begin(&Disk::new());
    let (conn, _) = open(&mut life, "a");
    turn(&mut life);
    for (text, sheets) in [("x".to_owned(), 1), ("x".repeat(2000), 2)] {
        let newest = life.engine.client_sessions.once.executed;
        for n in newest + 1..=newest + 40 {
            insert(&mut life, conn, n, &text);
        }
        let batches = turn(&mut life);
        assert_eq!(documents(&batches, "receipts").len(), sheets);
    }
}

#[test]
fn what_rests_is_kept_and_what_is_stored_in_vain_is_bounded() {
    const RESTING: usize = 4;
    const TURNS: u64 = 20;
    let long = "x".repeat(2000);
    let disk = Disk::new();
    let mut life = begin(&disk);
    let resting: Vec<ConnId> =
        (0..RESTING).map(|at| open(&mut life, &format!("rests{at}")).0).collect();
    let (busy, _) = open(&mut life, "busy");
    let (mut number, mut most) = (0, 0);
    for n in 1..=TURNS {
        for conn in &resting {
            insert(&mut life, *conn, n, "rests");
            for _ in 0..6 {
                number += 1;
                insert(&mut life, busy, number, &long);
            }
            settle(&mut life);
            let sessions = &life.engine.client_sessions;
            let live = sessions.bytes();
            let bytes = sessions.sheets.bytes();
            assert!(bytes <= live + live.max(300 << 10), "{bytes} for {live}");
            most = most.max(bytes);
        }
    }
    assert!(most > 256 << 10, "{most}: there was something to be copied");
    let bodies: usize = stored(&disk, "receipts").iter().map(String::len).sum();
    assert!(bodies < 500 << 10, "{bodies} are stored");
    let sheets = life.engine.client_sessions.sheets.bytes();

    let mut life = begin(&disk);
    assert_eq!(life.engine.client_sessions.sheets.bytes(), sheets, "nothing was forgotten");
    for at in 0..RESTING {
        let (conn, _) = open(&mut life, &format!("rests{at}"));
        for n in 1..=TURNS {
            assert!(insert(&mut life, conn, n, "rests").contains("repeated"), "{at}/{n}");
        }
    }
    let (busy, _) = open(&mut life, "busy");
    assert!(insert(&mut life, busy, number - 63, &long).contains("repeated"));
    assert!(insert(&mut life, busy, number - 64, &long).contains("too old"));
}

/// Many small sheets that rest lie in front of what one busy session leaves behind:
/// what is copied is what most is gained by, not what is oldest.
#[test]
fn small_sheets_that_rest_do_not_protect_large_ones_that_are_waste() {
    const RESTING: usize = 40;
    let long = "x".repeat(30_000);
    let disk = Disk::new();
    let mut life = begin(&disk);
    let resting: Vec<ConnId> =
        (0..RESTING).map(|at| open(&mut life, &format!("rests{at}")).0).collect();
    for n in 1..=40 {
        for conn in &resting {
            insert(&mut life, *conn, n, "rests");
            settle(&mut life);
        }
    }
    let (busy, _) = open(&mut life, "busy");
    let mut number = 0;
    let mut most = 0;
    for n in 0..400 {
        // A sheet of its own, with something small that is needed for long.
        if n < RESTING * 4 {
            insert(&mut life, resting[n % RESTING], 41 + (n / RESTING) as u64, "rests");
        }
        number += 1;
        insert(&mut life, busy, number, &long);
        settle(&mut life);
        let sessions = &life.engine.client_sessions;
        let (live, bytes) = (sessions.bytes(), sessions.sheets.bytes());
        // Beside what is needed as much again, and what one turn brought.
        assert!(bytes <= 2 * live.max(256 << 10) + (64 << 10), "{bytes} for {live} at {n}");
        most = most.max(bytes.saturating_sub(live));
    }
    assert!(most > 256 << 10, "{most}: nothing was to be copied");
    for (at, conn) in resting.iter().enumerate() {
        for n in [1, 40, 44] {
            assert!(insert(&mut life, *conn, n, "rests").contains("repeated"), "{at}/{n}");
        }
    }
}
