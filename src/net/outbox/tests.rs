use super::*;
use proptest::prelude::*;

fn writable(outbox: &Outbox, durable: CommitSeq) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let (count, bytes) = outbox.slices(durable, &mut slices);
    let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    assert_eq!(all.len(), bytes);
    all
}

fn frame(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, Outgoing::Text, text.len());
    out.extend_from_slice(text);
    out
}

#[test]
fn small_messages_are_one_slice_and_large_bodies_are_shared() {
    let mut outbox = Outbox::default();
    for _ in 0..64 {
        outbox.push_text(b"{", Some(&Arc::from(&b"small"[..])), b"}", 0, 0, &mut Spares::default());
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    assert_eq!(outbox.slices(0, &mut slices).0, 1);
    let large: Arc<[u8]> = vec![b'x'; SHARE_FROM].into();
    outbox.push_text(b"{", Some(&large), b"}", 0, 0, &mut Spares::default());
    assert_eq!(Arc::strong_count(&large), 2);
    let mut slices = [IoSlice::new(&[]); SLICES];
    assert_eq!(outbox.slices(0, &mut slices), (3, outbox.buffered()));
    outbox.consume(outbox.buffered(), &mut Spares::default());
    assert_eq!(Arc::strong_count(&large), 1);
    assert_eq!(outbox.pieces.capacity(), 0, "an empty outbox keeps no memory");
}

#[test]
fn what_is_not_durable_stays_and_holds_back_what_follows() {
    let mut outbox = Outbox::default();
    outbox.push_text(b"free", None, b"", 0, 4, &mut Spares::default());
    outbox.push_text(b"done", None, b"", 4, 4, &mut Spares::default());
    outbox.push_text(b"five", None, b"", 5, 4, &mut Spares::default());
    outbox.push_text(b"six", None, b"", 6, 4, &mut Spares::default());
    outbox.push_text(b"behind", None, b"", 0, 4, &mut Spares::default());
    assert_eq!(writable(&outbox, 4), [frame(b"free"), frame(b"done")].concat());
    assert_eq!(outbox.pieces.len(), 2, "commits of one turn share a piece");
    outbox.seal();
    outbox.push_text(b"next turn", None, b"", 7, 4, &mut Spares::default());
    outbox.consume(writable(&outbox, 4).len(), &mut Spares::default());
    assert_eq!(writable(&outbox, 5), b"", "the batch becomes durable as a whole");
    let batch = [frame(b"five"), frame(b"six"), frame(b"behind")].concat();
    assert_eq!(writable(&outbox, 6), batch);
    outbox.consume(batch.len(), &mut Spares::default());
    assert_eq!(writable(&outbox, 6), b"");
    assert_eq!(writable(&outbox, 7), frame(b"next turn"));
}

/// Whatever the kernel has taken: what stays is a frame to its end.
#[test]
fn only_the_rest_of_a_begun_frame_stays() {
    let large: Arc<[u8]> = vec![b'x'; 70_000].into();
    let fill = || {
        let mut outbox = Outbox::default();
        outbox.push_raw(b"HTTP/1.1 101 ");
        for _ in 0..3 {
            outbox.push_text(b"{", None, b"}", 0, 0, &mut Spares::default());
            outbox.push_text(b"{", Some(&large), b"}", 0, 0, &mut Spares::default());
            outbox.push_text(b"[", None, &[b'y'; 300], 0, 0, &mut Spares::default());
        }
        outbox
    };
    let all = writable(&fill(), 0);
    let mut ends = vec![0, 13];
    for _ in 0..3 {
        for payload in [2, 70_002, 301] {
            let header = if payload > 65_535 {
                10
            } else if payload > 125 {
                4
            } else {
                2
            };
            ends.push(ends[ends.len() - 1] + header + payload);
        }
    }
    assert_eq!(ends[ends.len() - 1], all.len());
    for step in [1, 7, 300, 5_000, 69_999, 100_000] {
        let (mut outbox, mut taken) = (fill(), 0);
        while taken + step < all.len() {
            outbox.consume(step, &mut Spares::default());
            taken += step;
            let mut other = fill();
            other.consume(taken, &mut Spares::default());
            assert!(other.keep_begun());
            let end = ends.iter().copied().find(|end| *end >= taken).unwrap();
            assert_eq!(writable(&other, 0), all[taken..end], "{step} {taken}");
            assert_eq!(other.buffered(), end - taken);
            if step < 300 && taken > 2_000 {
                break;
            }
        }
        let end = ends.iter().copied().find(|end| *end >= taken).unwrap();
        assert!(outbox.keep_begun());
        assert_eq!(writable(&outbox, 0), all[taken..end], "{step} {taken}");
    }
    let huge: Arc<[u8]> = vec![b'x'; MOST_BEGUN + 10].into();
    let mut outbox = Outbox::default();
    outbox.push_text(b"", Some(&huge), b"", 0, 0, &mut Spares::default());
    outbox.consume(15, &mut Spares::default());
    assert!(!outbox.keep_begun() && outbox.is_empty());
}

#[test]
fn what_will_never_be_durable_makes_room_for_the_close() {
    let mut outbox = Outbox::default();
    outbox.push_text(b"sent", None, b"", 4, 4, &mut Spares::default());
    outbox.push_text(b"lost", None, b"", 5, 4, &mut Spares::default());
    outbox.drop_waiting(4);
    outbox.push_frame(Outgoing::Close, b"\x03\xf3storage_failure");
    let written = writable(&outbox, 4);
    assert_eq!(written.len(), outbox.buffered());
    assert!(written.starts_with(&frame(b"sent")));
    assert!(written.ends_with(b"storage_failure"));
    outbox.push_text(b"lost", None, b"", 6, 4, &mut Spares::default());
    outbox.consume(written.len(), &mut Spares::default());
    outbox.drop_waiting(4);
    assert!(outbox.is_empty());
}

proptest! {
    /// Whatever is queued comes out in order, whole, however it is cut.
    #[test]
    fn order_and_bytes(
        messages in prop::collection::vec((0usize..3_000, 0usize..3, 0usize..40, any::<bool>()), 1..80),
        takes in prop::collection::vec(1usize..20_000, 1..200),
    ) {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        let mut taken = Vec::new();
        let mut takes = takes.into_iter().cycle();
        for (length, tail, head, take) in messages {
            let head = vec![b'h'; head];
            let body: Arc<[u8]> = (0..length).map(|i| i as u8).collect();
            let tail = vec![b't'; tail];
            outbox.push_text(&head, Some(&body), &tail, 0, 0, &mut Spares::default());
            expected.extend(frame(&[&head[..], &body, &tail].concat()));
            if take {
                let available = writable(&outbox, 0);
                let count = takes.next().unwrap().min(available.len());
                taken.extend_from_slice(&available[..count]);
                outbox.consume(count, &mut Spares::default());
            }
            prop_assert_eq!(outbox.buffered(), expected.len() - taken.len());
        }
        while !outbox.is_empty() {
            let available = writable(&outbox, 0);
            let count = takes.next().unwrap().min(available.len());
            taken.extend_from_slice(&available[..count]);
            outbox.consume(count, &mut Spares::default());
        }
        prop_assert_eq!(taken, expected);
    }
}
