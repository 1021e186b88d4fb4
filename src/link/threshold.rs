//! What peers say before a handshake is over.
//!
//! libzmq takes frames of up to `maxmsgsize` from anybody who connects, keeps what has come of one until
//! the deadline, and has no option against it: peers without a key could fill the memory. So the
//! connections to a CURVE server are watched beside libzmq (epoll, edge-triggered) until they are past
//! their handshake, and closed when they say more than a handshake has in it. What libzmq has read before
//! the monitor's thread could look is never heard, so that they are looked at now and then as well.
//!
//! How far a handshake has come is seen from the bytes that the kernel counts: the server says its
//! greeting, WELCOME and, once the peer is let in, READY. A peer has no keys for messages before READY,
//! and acknowledges it with its first one at the latest. A client is watched likewise: what its server has
//! said, and what of ours has reached it, tells one that stands still from one that does not let us in.
//!
//! Owned by the monitor, and used by its thread alone.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::{Timespec, epoll};

use crate::raw;

/// Greeting and WELCOME, with the heads of their frames. READY is no shorter than an empty box.
const GREETING: u64 = 64;
const BEFORE_READY: u64 = GREETING + 170;
/// Of a client: greeting and HELLO. INITIATE is no shorter than its cookie, and a box with a key and a vouch.
const BEFORE_INITIATE: u64 = GREETING + 202;
const INITIATE_LEAST: u64 = 2 + 9 + 96 + 8 + 16 + 128;
const READY_LEAST: u64 = 2 + 6 + 8 + 16;
/// A greeting, a HELLO and an INITIATE with more metadata than any ZeroMQ sends.
const MOST: u64 = 16 << 10;

/// The connections that are watched.
pub(crate) struct Threshold(OwnedFd);

/// How far a handshake is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not over yet.
    Under,
    /// Over.
    Past,
    /// Not over yet, and never will be.
    TooMuch,
}

/// How far a server has come with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    /// Not even a whole greeting.
    Nothing,
    /// Its greeting.
    Greeting,
    /// As much as a WELCOME, whatever it is.
    Welcome,
    /// The client's INITIATE has reached it. That is said only to who has shown, by a right WELCOME, that he
    /// has the secret half of the key that the client knows.
    RightWelcome,
}

impl Threshold {
    /// None: the system gives no epoll, and libzmq's own limits must do.
    pub(crate) fn new() -> Option<Threshold> {
        epoll::create(epoll::CreateFlags::CLOEXEC).ok().map(Threshold)
    }

    /// Watches a connection from now on. What it has said before that, it does not tell.
    pub(crate) fn watch(&self, fd: RawFd) {
        raw::tell_of_input(self.0.as_fd(), fd, true);
    }

    /// Watches it no longer; one that is closed is forgotten by itself.
    pub(crate) fn forget(&self, fd: RawFd) {
        raw::tell_of_input(self.0.as_fd(), fd, false);
    }

    /// Some of the connections on which something was said.
    pub(crate) fn heard(&self) -> Vec<RawFd> {
        let mut events = [MaybeUninit::uninit(); 64];
        match epoll::wait(&self.0, &mut events, Some(&Timespec::default())) {
            Ok((events, _)) => events.iter().map(|event| event.data.u64() as RawFd).collect(),
            // a signal: it is told again
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn step(fd: RawFd) -> Step {
        match raw::traffic(fd) {
            Some((acknowledged, _)) if acknowledged >= BEFORE_READY + READY_LEAST => Step::Past,
            Some((_, received)) if received > MOST => Step::TooMuch,
            _ => Step::Under,
        }
    }

    pub(crate) fn said(fd: RawFd) -> Said {
        match raw::traffic(fd) {
            Some((acknowledged, _)) if acknowledged >= BEFORE_INITIATE + INITIATE_LEAST => {
                Said::RightWelcome
            }
            Some((_, received)) if received >= BEFORE_READY => Said::Welcome,
            Some((_, received)) if received >= GREETING => Said::Greeting,
            _ => Said::Nothing,
        }
    }
}

impl AsRawFd for Threshold {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_peer_is_heard_each_time_it_says_something_and_judged_by_what_both_sides_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut near, _) = listener.accept().unwrap();
        let fd = near.as_raw_fd();
        let threshold = Threshold::new().unwrap();
        threshold.watch(fd);
        assert!(threshold.heard().is_empty());
        let mut say = |length: u64| {
            far.write_all(&vec![0; length as usize]).unwrap();
            while threshold.heard() != [fd] {
                std::thread::yield_now();
            }
            Threshold::step(fd)
        };
        assert_eq!(say(MOST), Step::Under);
        assert_eq!(say(1), Step::TooMuch);
        // the same from one that was let in
        near.write_all(&[0; (BEFORE_READY + READY_LEAST) as usize]).unwrap();
        far.read_exact(&mut [0; (BEFORE_READY + READY_LEAST) as usize]).unwrap();
        far.write_all(b"a message").unwrap();
        while Threshold::step(fd) != Step::Past {
            std::thread::yield_now();
        }
        threshold.forget(fd);
        assert_eq!(Threshold::step(-1), Step::Under);
    }

    #[test]
    fn a_server_has_said_what_the_kernel_has_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let fd = near.as_raw_fd();
        for (length, said) in [
            (GREETING - 1, Said::Nothing),
            (1, Said::Greeting),
            (BEFORE_READY - GREETING - 1, Said::Greeting),
            (1, Said::Welcome),
        ] {
            far.write_all(&vec![0; length as usize]).unwrap();
            (&near).read_exact(&mut vec![0; length as usize]).unwrap();
            assert_eq!(Threshold::said(fd), said, "{length} more");
        }
        let ours = (BEFORE_INITIATE + INITIATE_LEAST) as usize;
        (&near).write_all(&vec![0; ours]).unwrap();
        far.read_exact(&mut vec![0; ours]).unwrap();
        far.write_all(b"an answer carries the acknowledgement").unwrap();
        (&near).read_exact(&mut [0]).unwrap();
        assert_eq!(Threshold::said(fd), Said::RightWelcome);
        assert_eq!(Threshold::said(-1), Said::Nothing);
    }
}
