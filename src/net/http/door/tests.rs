use super::*;
use crate::net::guard::Guard;

fn request(head: &str) -> Request {
    let head = format!("{head}\r\n\r\n");
    let (request, length) = super::super::parse(head.as_bytes()).unwrap().unwrap();
    assert_eq!(length, head.len());
    *request
}

fn length(fields: &str) -> Result<usize, Denied> {
    let head = format!("POST /rpc HTTP/1.1\r\nHost: x\r\n{fields}");
    length_of_body(&request(&head), Door::Rpc, 100)
}

const JSON: &str = "Content-Type: application/json";

#[test]
fn checks_of_the_head_in_their_order() {
    let get = request("GET /rpc HTTP/1.1\r\nHost: x");
    assert_eq!(length_of_body(&get, Door::Rpc, 100), Err(Denied::Method(Door::Rpc)));
    assert_eq!(length_of_body(&get, Door::Live, 100), Ok(0));
    let post = request("POST /live HTTP/1.1\r\nHost: x");
    assert_eq!(length_of_body(&post, Door::Live, 100), Err(Denied::Method(Door::Live)));
    let rows = [
        ("Content-Length: 5".to_owned(), Err(Denied::NotJson)),
        ("Content-Type: text/plain\r\nContent-Length: 5".to_owned(), Err(Denied::NotJson)),
        (format!("{JSON}, text/plain\r\nContent-Length: 5"), Err(Denied::NotJson)),
        (format!("{JSON}\r\n{JSON}\r\nContent-Length: 5"), Err(Denied::NotJson)),
        (format!("{JSON}x\r\nContent-Length: 5"), Err(Denied::NotJson)),
        (JSON.to_owned(), Err(Denied::NoLength)),
        (format!("{JSON}\r\nTransfer-Encoding: chunked"), Err(Denied::NoLength)),
        (
            format!("{JSON}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"),
            Err(Denied::NoLength),
        ),
        (format!("{JSON}\r\nContent-Length: 5\r\nContent-Length: 5"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length: 5\r\nContent-Length: 9"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length: +5"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length: -5"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length: 0x5"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length:"), Err(Denied::BadLength)),
        (format!("{JSON}\r\nContent-Length: 101"), Err(Denied::TooLong(100))),
        (format!("{JSON}\r\nContent-Length: {}", "9".repeat(30)), Err(Denied::TooLong(100))),
        (format!("{JSON}\r\nContent-Length: 100"), Ok(100)),
        (format!("{JSON}\r\nContent-Length: 0"), Ok(0)),
        ("content-type: Application/JSON ; charset=utf-8\r\ncontent-length: 7".to_owned(), Ok(7)),
    ];
    for (fields, expected) in rows {
        assert_eq!(length(&fields), expected, "{fields}");
    }
}

#[test]
fn what_pages_are_told_of_their_origin() {
    let guard = Guard::default();
    let listed = ["https://app.example".to_owned()];
    let closed = Site { path: "/", allowed_origins: None, is_for_all: false, guard: None };
    let from = |origin: &str| {
        request(&format!("OPTIONS /rpc HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}"))
    };
    let app = "Access-Control-Allow-Origin: https://app.example\r\nVary: Origin\r\n";
    let listed = Site { allowed_origins: Some(&listed), ..closed.clone() };
    assert_eq!(cors(&from("https://app.example"), &listed), app);
    assert_eq!(cors(&request("OPTIONS /rpc HTTP/1.1\r\nHost: localhost"), &listed), "");
    let guarded = Site { guard: Some(&guard), ..closed.clone() };
    let local = "Access-Control-Allow-Origin: http://localhost:3000\r\nVary: Origin\r\n";
    assert_eq!(cors(&from("http://localhost:3000"), &guarded), local);
    let all = Site { is_for_all: true, ..closed.clone() };
    assert_eq!(cors(&from("null"), &all), "Access-Control-Allow-Origin: *\r\n");
    // There is nothing to abuse, and nothing to be read.
    assert_eq!(cors(&from("https://app.example"), &closed), "");
    let text = String::from_utf8(preflight(Door::Rpc, app)).unwrap();
    assert!(text.contains("\r\nAccess-Control-Max-Age: 600\r\n"), "{text}");
    let text = String::from_utf8(preflight(Door::Live, "")).unwrap();
    assert!(!text.contains("Access-Control"), "{text}");
    assert!(text.contains("\r\nAllow: GET, OPTIONS\r\n"), "{text}");
}

#[test]
fn only_clients_that_know_of_it_are_told_to_continue() {
    let expects = |version, value| {
        let head = format!("POST /rpc HTTP/{version}\r\nHost: x\r\nExpect: {value}");
        request(&head).expects_continue
    };
    assert!(expects("1.1", "100-Continue"));
    assert!(!expects("1.0", "100-continue"));
    assert!(!expects("1.1", "200-ok"));
}
