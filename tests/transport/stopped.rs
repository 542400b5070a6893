//! The program, stopped for a while as a busy or suspended machine does it.

use crate::program::{Program, ping, pong};
use crate::support::*;
use std::time::Duration;

/// Enough to stop a process after a ping, even on a busy machine.
const TIMEOUT_MS: u64 = 400;

#[test]
fn a_pong_that_came_while_the_server_stood_still_is_in_time() {
    let program = Program::start("stopped", TIMEOUT_MS);
    let mut client = Client::open(program.address, "", "");
    for _ in 0..3 {
        let time = ping(&mut client);
        program.signal("STOP");
        pong(&mut client, time);
        // Not to wait for something: so long does the server stand still.
        std::thread::sleep(Duration::from_millis(TIMEOUT_MS + 100));
        program.signal("CONT");
    }
    ping(&mut client);
}
