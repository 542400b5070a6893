//! What comes before the WebSocket: any bytes as the beginning of a connection,
//! whole and cut into pieces.
//!
//! The result must not depend on the cuts, and no answer may carry anything
//! that the peer could use to smuggle in a header field of its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use noexd::net::http::door::{Door, Doors, cors, length_of_body, preflight};
use noexd::net::http::{HeadReader, Method, Refusal, Request, Site, Verdict, foreign, judge};

type Outcome = Result<Option<(Box<Request>, usize)>, Refusal>;

/// Feeds `input` in pieces; the first byte of each piece's length comes from
/// `cuts`, over and over.
fn in_pieces(input: &[u8], cuts: &[u8]) -> Outcome {
    let mut reader = HeadReader::default();
    let mut arrived = 0;
    for cut in cuts.iter().cycle() {
        arrived = input.len().min(arrived + usize::from(*cut).max(1));
        match reader.read(&input[..arrived]) {
            Ok(None) if arrived < input.len() => {}
            outcome => return outcome,
        }
    }
    unreachable!("there is at least one cut")
}

fn check_answer(answer: &[u8], method: Method) {
    let text = std::str::from_utf8(answer).expect("answers are text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head that ends");
    let mut lines = head.split("\r\n");
    let status = lines.next().expect("a status line");
    assert!(status.starts_with("HTTP/1.1 "), "{status:?}");
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header field");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{line:?}");
        assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
        if name == "Content-Length" {
            length = Some(value.parse::<usize>().expect("a length"));
        }
    }
    match length {
        Some(_) if method == Method::Head => assert_eq!(body, ""),
        Some(length) => assert_eq!(body.len(), length),
        None => {
            let is_bare = ["HTTP/1.1 101", "HTTP/1.1 204"].iter().any(|it| status.starts_with(it));
            assert!(is_bare && body.is_empty(), "{text:?}");
        }
    }
}

/// What the HTTP door makes of it.
fn check_door(request: &Request, site: &Site<'_>) {
    const MOST: usize = 1 << 20;
    let doors = Doors { rpc: "/rpc".into(), live: "/live".into() };
    // Whoever is not let in is not answered with his own words.
    if foreign(request, site).is_some() {
        return;
    }
    let cors = cors(request, site);
    for door in [Door::Rpc, Door::Live] {
        check_answer(&preflight(door, &cors), Method::Options);
        match length_of_body(request, door, MOST) {
            Ok(length) => assert!(length <= MOST && request.method != Method::Other),
            Err(denied) => check_answer(&denied.answer(&cors, request.method), request.method),
        }
    }
    if let Some(door) = doors.of(request) {
        assert_eq!(
            request.path.as_deref(),
            Some(["/rpc", "/live"][usize::from(door == Door::Live)])
        );
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&count, rest)) = data.split_first() else { return };
    let cuts = rest.len().min(usize::from(count % 8) + 1);
    let (cuts, input) = rest.split_at(cuts);
    if cuts.is_empty() {
        return;
    }
    let whole = HeadReader::default().read(input);
    let pieces = in_pieces(input, cuts);
    let request = match (whole, pieces) {
        (Ok(Some(one)), Ok(Some(other))) => {
            assert_eq!(one, other, "the cuts matter");
            one.0
        }
        (Ok(None), Ok(None)) => return,
        // Which of several mistakes is noticed first may depend on the cuts.
        (Err(one), Err(other)) => {
            check_answer(&one.answer(Method::Other), Method::Other);
            check_answer(&other.answer(Method::Other), Method::Other);
            return;
        }
        // A head in small pieces is looked at now and then, and at its end.
        (Err(_), Ok(None)) => {
            // Empty lines in front of a request are skipped.
            let start = input.iter().position(|byte| !b"\r\n".contains(byte));
            let start = start.unwrap_or(input.len());
            let ends = |end: &[u8]| input[start..].windows(end.len()).any(|bytes| bytes == end);
            assert!(!ends(b"\n\n") && !ends(b"\n\r\n"), "a bad head was not refused");
            return;
        }
        (one, other) => panic!("whole: {one:?}, in pieces: {other:?}"),
    };

    let origins = ["https://benches.example".to_string()];
    for allowed_origins in [None, Some(&origins[..])] {
        let site = Site { path: "/ws", allowed_origins, is_for_all: false, guard: None };
        check_door(&request, &site);
        match judge(&request, &site) {
            Verdict::Upgrade(answer) => {
                assert!(request.is_upgrade && request.path.as_deref() == Some("/ws"));
                check_answer(&answer, request.method);
            }
            Verdict::Page(path) => {
                assert!(path.starts_with('/') && path != "/ws", "{path:?}");
                assert!(!path.split('/').any(|part| part == "..") && !path.contains(['?', '#']));
            }
            Verdict::Options => assert_eq!(request.method, Method::Options),
            Verdict::Refuse(refusal) => {
                check_answer(&refusal.answer(request.method), request.method)
            }
        }
    }
});
