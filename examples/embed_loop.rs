//! A program with a loop of its own (a game, an emulator, a control system)
//! that serves clients between its frames, on one thread.
//!
//! `cargo run --example embed_loop [FRAMES]`

use std::time::{Duration, Instant};

use noexd::Server;
use serde_json::json;

const FRAME: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let frames: u32 = std::env::args().nth(1).map_or(Ok(50), |text| text.parse())?;
    let world = json!({
        "key": "id",
        "schema": {"id": {"type": "string"}, "x": {"type": "number"}},
    });
    let mut server = Server::builder().host("127.0.0.1").port(0).bucket("world", world).build()?;
    println!("clients connect to {}", server.url());

    for frame in 0..frames {
        let end = Instant::now() + FRAME;
        // The program's own work. It is a client on the same thread.
        let ball = json!({"id": "ball", "x": f64::from(frame) * 0.1});
        let request = json!({"id": 1, "type": "store.insert", "bucket": "world", "data": ball});
        let response = server.request(request.to_string())?;
        if response.contains("\"error\"") {
            return Err(response.into());
        }
        // What is left of the frame belongs to the clients.
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            server.poll_once(Some(left))?;
        }
    }
    println!("{}", server.request(r#"{"id":1,"type":"store.get","bucket":"world","key":"ball"}"#)?);
    Ok(())
}
