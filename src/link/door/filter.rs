//! What the system is asked to overlook: calls (SYN) from listed addresses, as a program of its packet filter
//! (classic BPF) on a listening socket.
//!
//! The data of a TCP socket's filter begins with the TCP header. Sockets that are accepted have the listening
//! one's filter for ever; what comes on them is no SYN, and passes.

use std::net::IpAddr;

use super::Source;
use crate::raw::FilterStep as Step;

/// Where the flags are in a TCP header, and SYN among them.
const FLAGS: u32 = 13;
const SYN: u32 = 2;
/// Where the source is in a packet's IP header, by version.
const SOURCE_V4: u32 = 12;
const SOURCE_V6: u32 = 8;

/// Overlooks calls from these; empty: from nobody.
pub(super) fn program(held: impl Iterator<Item = Source>) -> Vec<Step> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for source in held {
        let (address, words) = match source {
            Source::Address(IpAddr::V4(it)) => {
                v4.extend([Step::unless_equal(it.to_bits(), 1), Step::OVERLOOK]);
                continue;
            }
            Source::Address(IpAddr::V6(it)) => (it, 4),
            Source::Network(it) => (it, 2),
        };
        for word in 0..words {
            v6.push(Step::load_word_of_ip(SOURCE_V6 + 4 * word));
            // to behind the last of these steps
            let later = 2 * (words - 1 - word) + 1;
            let value = (address.to_bits() >> (96 - 32 * word)) as u32;
            v6.push(Step::unless_equal(value, later as u8));
        }
        v6.push(Step::OVERLOOK);
    }
    if v4.is_empty() && v6.is_empty() {
        return Vec::new();
    }
    let of_v4 = 1 + v4.len() + 1;
    let mut program = vec![
        Step::load_byte(FLAGS),
        Step::if_any_of(SYN, 1),
        Step::PASS,
        Step::load_byte_of_ip(0),
        Step::shift_right(4),
        // at most 34 steps
        Step::unless_equal(4, of_v4 as u8),
        Step::load_word_of_ip(SOURCE_V4),
    ];
    program.append(&mut v4);
    program.push(Step::PASS);
    program.append(&mut v6);
    program.push(Step::PASS);
    program
}
