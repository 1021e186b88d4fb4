//! Bytes that nobody can guess, for what must be unique among all peers.

use rustix::rand::{GetRandomFlags, getrandom};

/// So many of them, from the system's generator.
pub fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        // An interrupted call is repeated; the system's generator does not fail otherwise.
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(_) => std::thread::yield_now(),
        }
    }
    bytes
}
