//! What servers have said to a client that have yet to let it in, and from that what a handshake most likely
//! failed of: libzmq does not tell why a server hung up or fell silent.
//!
//! What was said is read off the kernel's counts of bytes (threshold.rs). Owned by the monitor's thread.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::certificate::PublicKey;
use crate::handshake_failure::HandshakeFailure;
use crate::raw;
use crate::threshold::{Said, Threshold};

/// A server that has said nothing for longer than this did not hang up at once, but did not answer.
const SILENCE: Duration = Duration::from_millis(900);

/// The same of one that has our key. It is heard of a little late, and its own deadline may be a second.
const SILENCE_MIDWAY: Duration = Duration::from_millis(500);

/// What one of them has said so far.
pub(crate) struct Server {
    /// This end and the other: another connection that has the descriptor by now has others.
    ends: (u16, SocketAddr),
    said: Said,
    since: Instant,
}

/// Those that are listened to, by the descriptors of the connections.
#[derive(Default)]
pub(crate) struct Servers(HashMap<RawFd, Server>);

impl Servers {
    /// A connection to a server is there.
    pub(crate) fn watch(&mut self, fd: RawFd, threshold: &Threshold, now: Instant) {
        if let Some(ends) = ends_of(fd) {
            threshold.watch(fd);
            self.0.insert(fd, Server { ends, said: Said::Nothing, since: now });
            // what it has said already
            self.listen(fd, now);
        }
    }

    /// It has let us in, or is gone.
    pub(crate) fn remove(&mut self, fd: RawFd) -> Option<Server> {
        self.0.remove(&fd)
    }

    /// Whether it is not known yet of one of them if it has shown its key.
    pub(crate) fn are_strange(&self) -> bool {
        self.0.values().any(|server| server.said < Said::RightWelcome)
    }

    /// Listens to those of which that is not known; `heard` have said something.
    pub(crate) fn look(&mut self, heard: Vec<RawFd>, threshold: &Threshold, now: Instant) {
        let waiting = self.0.iter().filter(|(_, server)| server.said < Said::RightWelcome);
        for fd in waiting.map(|(fd, _)| *fd).collect::<Vec<_>>() {
            self.listen(fd, now);
        }
        // what it says from then on is no matter
        for fd in heard {
            if self.0.get(&fd).is_none_or(|server| server.said >= Said::Welcome) {
                threshold.forget(fd);
            }
        }
    }

    fn listen(&mut self, fd: RawFd, now: Instant) {
        let Some(server) = self.0.get_mut(&fd) else { return };
        let said = Threshold::said(fd);
        if said > server.said && ends_of(fd) == Some(server.ends) {
            (server.said, server.since) = (said, now);
        }
    }
}

fn ends_of(fd: RawFd) -> Option<(u16, SocketAddr)> {
    raw::port_of(fd).zip(raw::peer_of(fd))
}

/// What a handshake without further detail most likely failed of. A server that does not allow a key shows
/// its own and falls silent until a deadline, its own or ours; other mistakes end a handshake at once. What it
/// said is not known where it went too quickly, or by ipc; then the connection's age alone is known.
///
/// `key` is ours, `file` that of the key we know the server by.
pub(crate) fn failure(
    server: Option<&Server>,
    age: Option<Duration>,
    (key, file): (PublicKey, &Path),
    handshake_ivl: Duration,
    now: Instant,
) -> HandshakeFailure {
    let said = server.map(|server| server.said);
    let quiet = server.map(|server| now.saturating_duration_since(server.since)).or(age);
    let silence = if said == Some(Said::RightWelcome) { SILENCE_MIDWAY } else { SILENCE };
    let is_silent = quiet.is_some_and(|quiet| quiet > silence.min(handshake_ivl / 2));
    match (said, is_silent) {
        (Some(Said::RightWelcome) | None, true) => HandshakeFailure::Ignored { key },
        (Some(_), true) => HandshakeFailure::Unanswered,
        (Some(Said::RightWelcome | Said::Welcome), false) => HandshakeFailure::HungUpMidway,
        (Some(Said::Greeting | Said::Nothing) | None, false) => {
            HandshakeFailure::HungUpOnClient { file: file.to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handshake_failed_of_is_told_by_what_the_server_said_and_how_long_it_was_silent() {
        let key = PublicKey::from_bytes([3; 32]);
        let ignored = HandshakeFailure::Ignored { key };
        let other_key = HandshakeFailure::HungUpOnClient { file: "/its/file".into() };
        let (unanswered, midway) = (HandshakeFailure::Unanswered, HandshakeFailure::HungUpMidway);
        // a server's own deadline may be a second, of which 300 ms are over when it is seen how far it has come
        for (said, quiet, expected) in [
            (Some(Said::RightWelcome), 700, &ignored),
            (Some(Said::RightWelcome), 100, &midway),
            (Some(Said::Welcome), 1000, &unanswered),
            (Some(Said::Welcome), 700, &midway),
            (Some(Said::Greeting), 1000, &unanswered),
            (Some(Said::Greeting), 5, &other_key),
            (Some(Said::Nothing), 1000, &unanswered),
            (Some(Said::Nothing), 5, &other_key),
            (None, 1000, &ignored),
            (None, 5, &other_key),
        ] {
            let since = Instant::now();
            let ends = (1, SocketAddr::from(([127, 0, 0, 1], 1)));
            let server = said.map(|said| Server { ends, said, since });
            let quiet = Duration::from_millis(quiet);
            let age = Some(quiet + Duration::from_millis(if said.is_some() { 300 } else { 0 }));
            let ours = (key, Path::new("/its/file"));
            let ivl = Duration::from_secs(3);
            assert_eq!(
                &failure(server.as_ref(), age, ours, ivl, since + quiet),
                expected,
                "{said:?}"
            );
        }
    }
}
