//! `server.disconnect` over real sockets.

use tungstenite::Message;

use super::support::{Server, call};

type Socket = tungstenite::WebSocket<std::net::TcpStream>;

/// Reads to the close frame.
fn close_of(socket: &mut Socket) -> (u16, String) {
    loop {
        if let Message::Close(frame) = socket.read().expect("a message") {
            let frame = frame.expect("a code");
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

#[test]
fn connections_are_ended_by_number_and_address() {
    let server = Server::start("{}");
    let mut admin = server.connect();
    let mut other = server.connect();
    let list = call(&mut admin, r#"{"id":1,"type":"server.connections"}"#);
    let name = list["data"][1]["connectionId"].as_str().expect("a name").to_owned();
    let end = format!(r#"{{"id":2,"type":"server.disconnect","connectionId":"{name}"}}"#);
    assert_eq!(call(&mut admin, &end)["data"]["disconnected"], 1);
    assert_eq!(close_of(&mut other), (1012, "disconnected".into()));
    let again = call(&mut admin, &end);
    assert_eq!(again["code"], "NOT_FOUND");
    assert_eq!(again["message"], format!("Connection \"{name}\" not found"));
    for wrong in [
        "",
        r#","connectionId":"a","userId":"b""#,
        r#","connectionId":5"#,
        r#","remoteAddress":"""#,
    ] {
        let text = format!(r#"{{"id":3,"type":"server.disconnect"{wrong}}}"#);
        assert_eq!(call(&mut admin, &text)["code"], "VALIDATION_ERROR", "{wrong}");
    }
    // Whoever ends all of an address is answered before it ends itself.
    let mut third = server.connect();
    let all = r#"{"id":4,"type":"server.disconnect","remoteAddress":"127.0.0.1"}"#;
    assert_eq!(call(&mut admin, all)["data"]["disconnected"], 2);
    assert_eq!(close_of(&mut admin), (1012, "disconnected".into()));
    assert_eq!(close_of(&mut third), (1012, "disconnected".into()));
    // And may come back.
    server.connect();
}

#[test]
fn all_connections_of_a_user() {
    let server = Server::start(
        r#"{"auth":{"tokens":{
            "t-ops":{"userId":"ops","roles":["admin"]},
            "t-ann":{"userId":"ann","roles":["reader"]}}}}"#,
    );
    let login = |token: &str| {
        let mut socket = server.connect();
        let text = format!(r#"{{"id":1,"type":"auth.login","token":"{token}"}}"#);
        assert_eq!(call(&mut socket, &text)["type"], "result");
        socket
    };
    let (mut ops, mut one, mut two) = (login("t-ops"), login("t-ann"), login("t-ann"));
    let end = r#"{"id":2,"type":"server.disconnect","userId":"ann"}"#;
    assert_eq!(call(&mut two, end)["code"], "FORBIDDEN");
    assert_eq!(call(&mut ops, end)["data"]["disconnected"], 2);
    for socket in [&mut one, &mut two] {
        assert_eq!(close_of(socket), (1012, "disconnected".into()));
    }
    assert_eq!(call(&mut ops, end)["data"]["disconnected"], 0);
    login("t-ann");
}
