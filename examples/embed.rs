//! A program with a live database inside: the server runs on a thread of its
//! own, the program works through a handle and hears of changes like any client.
//!
//! `cargo run --example embed`, then connect a client to the printed URL.

use std::time::Duration;

use noexd::Server;
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .bucket(
            "readings",
            json!({
                "key": "id",
                "schema": {
                    "id": {"type": "number", "generated": "autoincrement"},
                    "celsius": {"type": "number", "required": true},
                },
                "ttl": "1h",
            }),
        )
        .start()?;
    println!("clients connect to {}", server.url());

    for step in 0..5 {
        let celsius = 20.0 + f64::from(step) / 2.0;
        let record = server
            .call("store.insert", json!({"bucket": "readings", "data": {"celsius": celsius}}))?;
        println!("wrote {record}");
    }
    let hottest = server.call("store.max", json!({"bucket": "readings", "field": "celsius"}))?;
    println!(
        "the hottest of {} was {hottest}",
        server.call("store.count", json!({"bucket": "readings"}))?
    );

    server.stop_and_wait(Duration::from_secs(1))?;
    Ok(())
}
