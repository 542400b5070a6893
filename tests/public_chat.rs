//! The example `examples/chat`, attacked over real sockets by each kind
//! of user that it has.

use std::net::TcpStream;
use std::time::Duration;

use noexd::Server;
use noexd::server::ServerThread;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const SECRET: &str = "the secret of the test";

fn server() -> ServerThread {
    let config = include_str!("../examples/chat/noexd.json");
    let mut config: Value = serde_json::from_str(config).expect("JSON");
    config["auth"]["adminSecret"] = json!(SECRET);
    let mut builder = Server::builder().host("127.0.0.1").port(0);
    for (key, value) in config.as_object().expect("an object") {
        builder = builder.set(key, value.clone());
    }
    builder.start().expect("the server starts")
}

struct Client {
    socket: WebSocket<TcpStream>,
    /// Everything that was ever received.
    seen: String,
    id: u64,
}

impl Client {
    fn connect(server: &ServerThread) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let (socket, _) = tungstenite::client("ws://127.0.0.1/", stream).expect("a handshake");
        Client { socket, seen: String::new(), id: 0 }
    }

    /// The answer to a request: its data, or `CODE`.
    fn ask(&mut self, operation: &str, mut request: Value) -> Value {
        self.id += 1;
        request["id"] = json!(self.id);
        request["type"] = json!(operation);
        self.socket.send(Message::text(request.to_string())).expect("sent");
        loop {
            match self.socket.read().expect("a message") {
                Message::Text(text) => {
                    self.seen.push_str(&text);
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["id"] == json!(self.id) {
                        let is_error = message["type"] == "error";
                        return if is_error {
                            message["code"].clone()
                        } else {
                            message["data"].clone()
                        };
                    }
                }
                Message::Ping(_) => self.socket.flush().expect("a pong"),
                other => panic!("{other:?}"),
            }
        }
    }

    fn insert(&mut self, bucket: &str, data: Value) -> Value {
        self.ask("store.insert", json!({"bucket": bucket, "data": data}))
    }

    fn sign_up(server: &ServerThread, name: &str) -> (Client, String) {
        let mut client = Client::connect(server);
        let answer =
            client.ask("identity.signup", json!({"username": name, "password": "long enough"}));
        let id = answer["user"]["id"].as_str().expect("a user").to_owned();
        (client, id)
    }
}

#[test]
fn each_kind_of_user_gets_what_is_his_and_nothing_else() {
    let server = server();
    let mut admin = Client::connect(&server);
    admin.ask("identity.loginWithSecret", json!({"secret": SECRET}));
    let (mut ann, ann_id) = Client::sign_up(&server, "ann");
    let (mut eve, _) = Client::sign_up(&server, "eve");
    let mut nobody = Client::connect(&server);

    assert!(ann.insert("rooms", json!({"id": "open", "name": "Open"})).is_object());
    let hidden = json!({"id": "secret", "name": "Hidden room", "public": false});
    assert!(ann.insert("rooms", hidden).is_object());
    assert!(ann.insert("members", json!({"room": "open"})).is_object());
    assert_eq!(ann.insert("members", json!({"room": "secret"})), "FORBIDDEN", "it is not public");
    let join = json!({"id": "ann-secret", "user": ann_id, "room": "secret"});
    assert!(admin.insert("members", join).is_object());
    let live = eve.ask("store.live", json!({"bucket": "messages", "mode": "delta"}));
    assert_eq!(live["data"], json!([]));
    eve.ask("store.live", json!({"bucket": "messages"}));
    let said = ann.insert("messages", json!({"id": "m1", "room": "secret", "text": "whisper"}));
    assert_eq!(said["author"], json!(ann_id));
    assert!(
        ann.insert("messages", json!({"id": "m2", "room": "open", "text": "hello"})).is_object()
    );

    // Somebody who is not logged in.
    for bucket in ["rooms", "members", "messages"] {
        assert_eq!(nobody.ask("store.all", json!({"bucket": bucket})), "UNAUTHORIZED");
    }
    // Eve, who has signed up and is in no room.
    assert_eq!(eve.ask("store.all", json!({"bucket": "messages"})), json!([]));
    assert_eq!(eve.ask("store.get", json!({"bucket": "messages", "key": "m1"})), Value::Null);
    assert_eq!(eve.ask("store.count", json!({"bucket": "messages"})), json!(0));
    assert_eq!(eve.insert("messages", json!({"room": "secret", "text": "hi"})), "FORBIDDEN");
    assert_eq!(eve.insert("members", json!({"room": "secret"})), "FORBIDDEN");
    assert_eq!(eve.insert("members", json!({"room": "open", "user": ann_id})), "FORBIDDEN");
    let steal = json!({"bucket": "rooms", "key": "secret", "data": {"public": true}});
    assert_eq!(eve.ask("store.update", steal), "NOT_FOUND");
    let steal = json!({"bucket": "rooms", "key": "open", "data": {"name": "Mine"}});
    assert_eq!(eve.ask("store.update", steal), "FORBIDDEN");
    assert_eq!(eve.ask("store.clear", json!({"bucket": "messages"})), "FORBIDDEN");
    let all = json!({"bucket": "messages", "filter": {}});
    assert_eq!(eve.ask("store.deleteMany", all), json!(0));
    for operation in
        ["store.updateBucket", "access.defineSet", "access.explain", "store.dropBucket"]
    {
        let request = json!({"name": "messages", "updates": {"rows": null}, "operation": "x"});
        assert_eq!(eve.ask(operation, request), "FORBIDDEN", "{operation}");
    }
    // She joins, and reads and writes as far as that goes.
    assert!(eve.insert("members", json!({"id": "eve-open", "room": "open"})).is_object());
    let read = eve.ask("store.find", json!({"bucket": "messages", "fields": ["text"]}));
    assert_eq!(read, json!([{"text": "hello"}]));
    let change = json!({"bucket": "messages", "key": "m2", "data": {"text": "changed"}});
    assert_eq!(eve.ask("store.update", change.clone()), "FORBIDDEN");
    assert!(eve.insert("messages", json!({"id": "m3", "room": "open", "text": "eve"})).is_object());
    let move_away = json!({"bucket": "messages", "key": "m3", "data": {"room": "secret"}});
    assert_eq!(eve.ask("store.update", move_away), "FORBIDDEN");
    // A moderator may.
    let role = admin.ask(
        "identity.createRole",
        json!({"name": "moderator", "permissions": [{"allow": "store.*"}]}),
    );
    let (mut moderator, id) = Client::sign_up(&server, "mod");
    assert_eq!(moderator.ask("store.count", json!({"bucket": "messages"})), json!(0));
    admin.ask(
        "identity.assignRole",
        json!({"userId": id, "roleId": role["id"], "roleName": "moderator"}),
    );
    assert_eq!(moderator.ask("store.count", json!({"bucket": "messages"})), json!(3));
    assert!(moderator.ask("store.update", change).is_object());
    // Whoever leaves sees nothing more.
    let leave = json!({"bucket": "members", "key": "eve-open"});
    assert_eq!(eve.ask("store.delete", leave), json!({"deleted": true}));
    assert_eq!(eve.ask("store.count", json!({"bucket": "messages"})), json!(0));
    assert!(ann.insert("messages", json!({"room": "open", "text": "behind her back"})).is_object());
    eve.ask("store.count", json!({"bucket": "messages"}));
    for word in ["whisper", "Hidden room", "behind her back"] {
        assert!(!eve.seen.contains(word), "{word} left the server");
    }
    server.stop_and_wait(Duration::ZERO).expect("stopped");
}

#[test]
fn sets_and_row_rules_defined_over_the_wire_survive_a_restart() {
    let directory = std::env::temp_dir().join(format!("noexd-rows-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let start = || {
        Server::builder()
            .host("127.0.0.1")
            .port(0)
            .set("dataDir", json!(directory))
            .set(
                "auth",
                json!({"builtIn": true, "adminSecret": SECRET, "signup": {"roles": ["writer"]}}),
            )
            .start()
            .expect("the server starts")
    };
    let server = start();
    let mut admin = Client::connect(&server);
    admin.ask("identity.loginWithSecret", json!({"secret": SECRET}));
    let fields =
        json!({"id": {"type": "string"}, "user": {"type": "string"}, "room": {"type": "string"}});
    admin.ask(
        "store.defineBucket",
        json!({"name": "members", "config": {"key": "id", "schema": fields}}),
    );
    let set = json!({"name": "mine", "bucket": "members", "filter": {"user": "{{ session.userId }}"}, "field": "room"});
    assert_eq!(admin.ask("access.defineSet", set), json!({"name": "mine", "defined": true}));
    let rows = json!({"read": {"room": {"$in": "{{ sets.mine }}"}}});
    let config = json!({"key": "id", "schema": fields, "rows": rows});
    admin.ask("store.defineBucket", json!({"name": "notes", "config": config}));
    assert!(admin.insert("notes", json!({"id": "1", "room": "a"})).is_object());
    let (_, id) = Client::sign_up(&server, "ann");
    server.stop_and_wait(Duration::ZERO).expect("stopped");

    let server = start();
    let mut admin = Client::connect(&server);
    admin.ask("identity.loginWithSecret", json!({"secret": SECRET}));
    let mut ann = Client::connect(&server);
    ann.ask("identity.login", json!({"username": "ann", "password": "long enough"}));
    assert_eq!(ann.ask("store.count", json!({"bucket": "notes"})), json!(0));
    assert!(admin.insert("members", json!({"id": "1", "user": id, "room": "a"})).is_object());
    assert_eq!(ann.ask("store.count", json!({"bucket": "notes"})), json!(1));
    assert_eq!(admin.ask("access.dropSet", json!({"name": "mine"})), "CONFLICT");
    assert_eq!(admin.ask("access.listSets", json!({}))["sets"][0]["name"], "mine");
    server.stop_and_wait(Duration::ZERO).expect("stopped");
    std::fs::remove_dir_all(&directory).expect("removed");
}
