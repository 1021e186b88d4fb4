//! What the system is asked to overlook: calls (SYN) from listed addresses, as a program of its packet filter
//! (classic BPF) on a listening socket.
//!
//! The data of a TCP socket's filter begins with the TCP header. Sockets that are accepted have the listening
//! one's filter for ever; what comes on them is no SYN, and passes.

use std::net::IpAddr;

use super::Source;

/// A step of the program. It jumps forwards, by a number of steps.
type Step = libc::sock_filter;

/// The packet is taken as if there were no filter.
const PASS: Step = step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX);
/// The packet is taken for one that never came.
const OVERLOOK: Step = step(libc::BPF_RET | libc::BPF_K, 0, 0, 0);

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
                v4.extend([unless_equal(it.to_bits(), 1), OVERLOOK]);
                continue;
            }
            Source::Address(IpAddr::V6(it)) => (it, 4),
            Source::Network(it) => (it, 2),
        };
        for word in 0..words {
            v6.push(load_word_of_ip(SOURCE_V6 + 4 * word));
            // to behind the last of these steps
            let later = 2 * (words - 1 - word) + 1;
            let value = (address.to_bits() >> (96 - 32 * word)) as u32;
            v6.push(unless_equal(value, later as u8));
        }
        v6.push(OVERLOOK);
    }
    if v4.is_empty() && v6.is_empty() {
        return Vec::new();
    }
    let of_v4 = 1 + v4.len() + 1;
    let mut program = vec![
        load_byte(FLAGS),
        if_any_of(SYN, 1),
        PASS,
        load_byte_of_ip(0),
        shift_right(4),
        // at most 34 steps
        unless_equal(4, of_v4 as u8),
        load_word_of_ip(SOURCE_V4),
    ];
    program.append(&mut v4);
    program.push(PASS);
    program.append(&mut v6);
    program.push(PASS);
    program
}

const fn step(code: u32, jt: u8, jf: u8, k: u32) -> Step {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// A byte of the data.
fn load_byte(at: u32) -> Step {
    step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at)
}

/// A byte of the IP header.
fn load_byte_of_ip(at: u32) -> Step {
    load_byte((libc::SKF_NET_OFF as u32).wrapping_add(at))
}

/// Four bytes of the IP header.
fn load_word_of_ip(at: u32) -> Step {
    let at = (libc::SKF_NET_OFF as u32).wrapping_add(at);
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at)
}

fn shift_right(bits: u32) -> Step {
    step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 0, 0, bits)
}

/// Goes on this many steps later if what was loaded has one of these bits.
fn if_any_of(bits: u32, later: u8) -> Step {
    step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, later, 0, bits)
}

/// Goes on this many steps later if it is something else.
fn unless_equal(value: u32, later: u8) -> Step {
    step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, later, value)
}
