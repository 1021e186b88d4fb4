//! Who connects and means no good: `tests/peers/hostile.py`, one kind after the other.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{paths, python, secs, wait_until};

use crate::place::Place;

/// What speaks TCP alone, and what needs pyzmq.
const KINDS: [&str; 18] = [
    "http",
    "stranger",
    "tls",
    "keys",
    "random",
    "half-open",
    "plaintext",
    "slow-greeting",
    "wrong-server-key",
    "slow-handshake",
    "mechanisms",
    "not-a-pair",
    "versions",
    "lengths",
    "huge-metadata",
    "huge-frames",
    "endless-frames",
    "stranger-flood",
];
const TIME: Duration = secs(3);

/// Some seconds of one kind against the receiver; comes back when it is over.
pub fn knock(place: &Place, turn: usize) -> &'static str {
    let kind = KINDS[turn % KINDS.len()];
    // It takes what processor time others leave.
    let child = Command::new("nice")
        .args(["-n", "19"])
        .arg(python::interpreter().expect("Python with pyzmq: scripts/setup test"))
        .arg(paths::repository().join("tests/peers/hostile.py"))
        .args([kind, &place.endpoint])
        .arg(format!("--server-key={}", place.server.public_z85()))
        .args([&format!("--seconds={}", TIME.as_secs()), "--at-once=5"])
        .arg(format!("--seed={turn}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("python runs");
    let mut knocking = Knocking(child);
    wait_until("the end of an attack", secs(60), || {
        knocking.0.try_wait().expect("the attacker's status")
    });
    kind
}

struct Knocking(Child);

impl Drop for Knocking {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
