use super::support::Server;

#[test]
fn a_drain_shows_in_readiness_and_nowhere_else() {
    let mut server = Server::start(r#"{"shutdownDelayMs":600000,"shutdownGraceMs":0}"#);
    server.line_with("shutdownDelayMs 600000");
    assert_eq!(server.get("/readyz"), (200, "ready".into()));
    let mut before = server.connect();
    server.signal("TERM");
    // The signal is an event of the loop like others.
    while server.get("/readyz").0 == 200 {}
    assert_eq!(server.get("/readyz"), (503, "not ready: draining".into()));
    assert_eq!(server.get("/healthz"), (200, "ok".into()));
    let mut after = server.connect();
    for socket in [&mut before, &mut after] {
        let answer = super::support::call(socket, r#"{"id":1,"type":"server.stats"}"#);
        assert_eq!(answer["type"], "result");
    }
    server.signal("TERM");
    let (status, _) = server.end();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn probes_have_paths_of_their_own_or_none() {
    let server = Server::start(r#"{"ready":{"path":"/in"},"health":false}"#);
    assert_eq!(server.get("/in"), (200, "ready".into()));
    assert_eq!(server.get("/readyz").0, 404);
    assert_eq!(server.get("/healthz").0, 404);
    let answer = server.ask("OPTIONS /any HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.contains("\r\nAllow: "), "{answer}");
}
