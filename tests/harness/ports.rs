//! TCP ports nobody uses.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A free port, given out once in this process.
///
/// Not one that the kernel picks: those come from the range that outgoing connections use as well,
/// so another test's connection could sit on it before rsyslogd binds it.
pub fn free_port() -> u16 {
    let mut taken = TAKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let taken = taken.get_or_insert_with(HashSet::new);
    let mut seed = fresh_seed();
    for _ in 0..10_000 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let port = 10_000 + (seed >> 33) as u16 % 20_000;
        if !taken.contains(&port) && TcpListener::bind(("0.0.0.0", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
    panic!("no free TCP port between 10000 and 30000");
}

/// `tcp://127.0.0.1:PORT` with a free port.
pub fn free_endpoint() -> String {
    format!("tcp://127.0.0.1:{}", free_port())
}

/// Differs between processes and calls: std's hash keys are random.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
