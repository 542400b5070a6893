//! Every row of protocol.md 1.1 to 1.4, in its order.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn site() -> Site<'static> {
    Site { path: "/ws", allowed_origins: None, guard: None, is_for_all: false }
}

fn read(head: &str) -> Result<Option<(Box<Request>, usize)>, Refusal> {
    HeadReader::default().read(head.as_bytes())
}

/// Status of the answer; 101 for an upgrade, 200 for a page.
fn status(head: &str, site: &Site<'_>) -> u16 {
    match read(head) {
        Err(refusal) => refusal.status(),
        Ok(None) => panic!("incomplete: {head:?}"),
        Ok(Some((request, _))) => match judge(&request, site) {
            Verdict::Upgrade(_) => 101,
            Verdict::Page(_) => 200,
            Verdict::Options => 204,
            Verdict::Refuse(refusal) => refusal.status(),
        },
    }
}

/// A good upgrade with some header fields replaced (or removed by an empty
/// value) and others added.
fn upgrade(line: &str, changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("Host", "example.org"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, value) in changes {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields.retain(|(_, value)| !value.is_empty());
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{fields}\r\n")
}

#[test]
fn rows_of_1_1() {
    let get = "GET /ws HTTP/1.1";
    let long = "x".repeat(17_000);
    let rows: &[(&str, String, u16)] = &[
        ("a good upgrade", upgrade(get, &[]), 101),
        ("version 8", upgrade(get, &[("Sec-WebSocket-Version", "8")]), 101),
        ("no HTTP", "what is this\r\n\r\n".into(), 400),
        ("HTTP/1.0", upgrade("GET /ws HTTP/1.0", &[]), 400),
        ("HTTP/2.0", upgrade("GET /ws HTTP/2.0", &[]), 400),
        ("no target", upgrade("GET HTTP/1.1", &[]), 400),
        ("a target that is none", upgrade("GET ws HTTP/1.1", &[]), 400),
        ("no Host", upgrade(get, &[("Host", "")]), 400),
        ("space in a name", upgrade(get, &[("a b", "c")]), 400),
        ("Host: a b", upgrade(get, &[("Host", "a b")]), 101),
        ("Host: [", upgrade(get, &[("Host", "[")]), 101),
        ("Host: %", upgrade(get, &[("Host", "%")]), 101),
        ("a port that is none", upgrade(get, &[("Host", "a:99999")]), 101),
        ("an empty Host", upgrade(get, &[("Host", " ")]), 101),
        ("target //", upgrade("GET // HTTP/1.1", &[]), 404),
        ("head of 17 KiB", upgrade(get, &[("X", &long)]), 431),
        ("other path", upgrade("GET /other HTTP/1.1", &[]), 404),
        ("other case", upgrade("GET /WS HTTP/1.1", &[]), 404),
        ("trailing slash", upgrade("GET /ws/ HTTP/1.1", &[]), 404),
        ("path before method", upgrade("POST /other HTTP/1.1", &[]), 404),
        ("POST", upgrade("POST /ws HTTP/1.1", &[]), 405),
        ("HEAD", upgrade("HEAD /ws HTTP/1.1", &[]), 405),
        ("method before Upgrade", upgrade("POST /ws HTTP/1.1", &[("Upgrade", "x")]), 405),
        ("Upgrade: WebSocket", upgrade(get, &[("Upgrade", "WebSocket")]), 101),
        ("Upgrade: h2c", upgrade(get, &[("Upgrade", "h2c")]), 400),
        ("two upgrades", upgrade(get, &[("Upgrade", "websocket, h2c")]), 400),
        ("no key", upgrade(get, &[("Sec-WebSocket-Key", "")]), 400),
        ("short key", upgrade(get, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZQ==")]), 400),
        (
            "a key that is not base64",
            upgrade(get, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ!==")]),
            400,
        ),
        ("no version", upgrade(get, &[("Sec-WebSocket-Version", "")]), 400),
        ("version 12", upgrade(get, &[("Sec-WebSocket-Version", "12")]), 400),
        ("a subprotocol", upgrade(get, &[("Sec-WebSocket-Protocol", "a, b")]), 101),
        ("an empty element", upgrade(get, &[("Sec-WebSocket-Protocol", "a,,b")]), 400),
        ("no token", upgrade(get, &[("Sec-WebSocket-Protocol", "a b")]), 400),
        ("the same twice", upgrade(get, &[("Sec-WebSocket-Protocol", "a, a")]), 400),
        ("Connection lists", upgrade(get, &[("Connection", "keep-alive, UPGRADE")]), 101),
        (
            "extensions are ignored",
            upgrade(get, &[("Sec-WebSocket-Extensions", "permessage-deflate")]),
            101,
        ),
    ];
    for (what, head, expected) in rows {
        assert_eq!(status(head, &site()), *expected, "{what}");
    }
}

#[test]
fn rows_of_1_4() {
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    let rows: &[(&str, String, u16)] = &[
        ("GET of the socket's path", plain("GET /ws"), 426),
        ("HEAD of the socket's path", plain("HEAD /ws"), 426),
        ("another page", plain("GET /healthz"), 200),
        ("another page, HEAD", plain("HEAD /healthz"), 200),
        ("POST", plain("POST /ws"), 405),
        ("POST elsewhere", plain("POST /nowhere"), 405),
        ("OPTIONS *", plain("OPTIONS *"), 204),
        ("OPTIONS of a page", plain("OPTIONS /healthz"), 204),
        ("HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n".into(), 200),
        ("HTTP/1.0 with Host", "GET /ws HTTP/1.0\r\nHost: x\r\n\r\n".into(), 426),
        ("HTTP/1.1 without Host", "GET /healthz HTTP/1.1\r\n\r\n".into(), 200),
        ("CONNECT", plain("CONNECT example.org:80"), 405),
        ("GET *", plain("GET *"), 404),
        ("Connection without Upgrade", upgrade("GET /ws HTTP/1.1", &[("Upgrade", "")]), 426),
        ("Upgrade without Connection", upgrade("GET /ws HTTP/1.1", &[("Connection", "")]), 426),
        ("Connection: close", upgrade("GET /ws HTTP/1.1", &[("Connection", "close")]), 426),
    ];
    for (what, head, expected) in rows {
        assert_eq!(status(head, &site()), *expected, "{what}");
    }
}

#[test]
fn origins() {
    let get = "GET /ws HTTP/1.1";
    let allowed = ["https://app.example".to_owned()];
    let site = |allowed| Site {
        path: "/ws",
        allowed_origins: Some(allowed),
        guard: None,
        is_for_all: false,
    };
    let with = |origin| upgrade(get, &[("Origin", origin)]);
    assert_eq!(status(&with("https://app.example"), &site(&allowed)), 101);
    assert_eq!(status(&with("https://APP.example"), &site(&allowed)), 403);
    assert_eq!(status(&with("https://app.example:443"), &site(&allowed)), 403);
    assert_eq!(status(&upgrade(get, &[]), &site(&allowed)), 101);
    assert_eq!(status(&upgrade(get, &[]), &site(&[])), 101);
    assert_eq!(status(&with("https://app.example"), &site(&[])), 403);
    let post = upgrade("POST /ws HTTP/1.1", &[("Origin", "https://evil.example")]);
    assert_eq!(status(&post, &site(&allowed)), 403, "origin before method");
}

#[test]
fn the_guard_of_an_open_server() {
    let guard = Guard::new(["localhost"].into_iter(), &[]);
    let open = Site { path: "/ws", allowed_origins: None, guard: Some(&guard), is_for_all: false };
    let get = "GET /ws HTTP/1.1";
    let of = |fields: &[(&str, &str)], site: &Site<'_>| status(&upgrade(get, fields), site);
    let local = ("Host", "127.0.0.1:8080");
    assert_eq!(of(&[local], &open), 101, "clients that are no browsers send no Origin");
    assert_eq!(of(&[local, ("Origin", "http://localhost:3000")], &open), 101);
    assert_eq!(of(&[local, ("Origin", "https://evil.example")], &open), 403);
    assert_eq!(of(&[local, ("Origin", "null")], &open), 403);
    assert_eq!(of(&[("Host", "evil.example:8080")], &open), 403, "rebinding");
    // A list says which origins; the name is looked at all the same.
    let allowed = ["https://app.example".to_owned()];
    let guard = Guard::new(["127.0.0.1"].into_iter(), &allowed);
    let listed = Site {
        path: "/ws",
        allowed_origins: Some(&allowed),
        guard: Some(&guard),
        is_for_all: false,
    };
    let app = ("Origin", "https://app.example");
    assert_eq!(of(&[local, app], &listed), 101);
    assert_eq!(of(&[("Host", "app.example"), app], &listed), 101);
    assert_eq!(of(&[local, ("Origin", "http://localhost")], &listed), 403);
    assert_eq!(of(&[("Host", "evil.example")], &listed), 403);
}

#[test]
fn paths() {
    let rows = [
        ("/ws", "/ws"),
        ("/ws?token=1", "/ws"),
        ("/ws#x?y", "/ws"),
        ("/?", "/"),
        ("/a/../ws", "/ws"),
        ("/./ws", "/ws"),
        ("/../../ws", "/ws"),
        ("/ws/.", "/ws/"),
        ("/ws/..", "/"),
        ("/a/b/../../ws", "/ws"),
        ("/%77s", "/%77s"),
        ("/%2e%2e/ws", "/%2e%2e/ws"),
        ("//", "//"),
        ("//ws", "//ws"),
        ("http://example.org/ws", "/ws"),
        ("ws://example.org:99999/ws?x", "/ws"),
        ("http://[/ws", "/ws"),
        ("http://example.org", "/"),
        ("http://example.org?x", "/"),
    ];
    for (target, path) in rows {
        assert_eq!(comparable_path(target).as_deref(), Some(path), "{target}");
    }
    for target in ["*", "", "ws", "example.org:80", "://x", "1a://x/"] {
        assert_eq!(comparable_path(target), None, "{target}");
    }
}

#[test]
fn the_answer_to_an_upgrade() {
    let head = upgrade("GET /ws HTTP/1.1", &[("Sec-WebSocket-Protocol", "noex.1 , noex.2")]);
    let (request, length) = read(&format!("{head}early")).unwrap().unwrap();
    assert_eq!(length, head.len());
    let Verdict::Upgrade(answer) = judge(&request, &site()) else { panic!() };
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: noex.1\r\n\r\n"
    );
}

#[test]
fn refusals_say_what_would_be_right() {
    let text = |refusal: Refusal, method| String::from_utf8(refusal.answer(method)).unwrap();
    let version = text(Refusal::BadVersion, Method::Get);
    assert!(version.contains("\r\nSec-WebSocket-Version: 13, 8\r\n"), "{version}");
    assert!(text(Refusal::UpgradeRequired, Method::Get).contains("\r\nUpgrade: websocket\r\n"));
    assert!(text(Refusal::MethodNotAllowed, Method::Other).contains("\r\nAllow: GET, HEAD\r\n"));
    let head = text(Refusal::NotFound, Method::Head);
    assert!(head.ends_with("\r\nContent-Length: 10\r\n\r\n"), "{head}");
    assert!(head.contains("\r\nConnection: close\r\n"));
}

#[test]
fn a_head_in_pieces() {
    let head = upgrade("GET /ws HTTP/1.1", &[("User-Agent", &"ü".repeat(300))]);
    let mut reader = HeadReader::default();
    let mut result = None;
    for end in 1..=head.len() {
        assert!(result.is_none(), "complete too early");
        result = reader.read(&head.as_bytes()[..end]).unwrap();
    }
    let (request, length) = result.unwrap();
    assert_eq!(length, head.len());
    assert_eq!(request.user_agent.unwrap(), "ü".repeat(256));
}

#[test]
fn sizes_of_heads() {
    let fill = |length: usize| {
        let head = upgrade("GET /ws HTTP/1.1", &[]);
        let head = &head[..head.len() - 2];
        format!("{head}X: {}\r\n\r\n", "y".repeat(length - head.len() - 7))
    };
    assert_eq!(fill(HEAD_BYTES).len(), HEAD_BYTES);
    assert_eq!(status(&fill(HEAD_BYTES), &site()), 101);
    assert_eq!(status(&fill(HEAD_BYTES + 1), &site()), 431);
    let many: String = (0..3_000).map(|_| "a:\r\n").collect();
    let head = upgrade("GET /ws HTTP/1.1", &[]).replace("\r\n\r\n", &format!("\r\n{many}\r\n"));
    assert_eq!(status(&head, &site()), 101, "many fields are only a matter of size");
    let endless = "x".repeat(HEAD_BYTES + 1);
    assert_eq!(read(&endless[..HEAD_BYTES]), Ok(None));
    assert_eq!(read(&endless), Err(Refusal::HeadTooLarge));
    assert_eq!(read("\x16\x03\x01\x02\0\x01").unwrap_err().status(), 400, "TLS");
}
