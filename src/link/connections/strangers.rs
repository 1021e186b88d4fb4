//! Connections that have yet to shake hands: of a server its strangers, of a client the servers that have yet
//! to let it in. They are looked at when the threshold tells of bytes, and now and then.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::{Connections, Role};
use crate::certificate::PublicKey;
use crate::door::Door;
use crate::handshake_failure::HandshakeFailure;
use crate::security::Admission;
use crate::threshold::{Step, Threshold};

/// Between two looks at all strangers, as there may be a thousand.
const STRANGERS: Duration = Duration::from_millis(50);

impl Connections {
    /// Of a server: a TCP connection is there, whose peer has yet to be let in.
    pub(super) fn watch_stranger(&mut self, fd: RawFd, endpoint: &str, now: Instant) {
        let Some(threshold) = self.threshold.as_ref().filter(|_| self.role == Role::Server) else {
            return;
        };
        threshold.watch(fd);
        self.strangers.insert(fd, endpoint.to_owned());
        // what it has said already
        self.judge(fd, now);
    }

    /// Of a client: a connection to a server is there.
    pub(super) fn watch_server(&mut self, fd: RawFd, now: Instant) {
        if let (Role::Client { .. }, Some(threshold)) = (&self.role, &self.threshold) {
            self.servers.watch(fd, threshold, now);
        }
    }

    /// Whether there are some of whom it is not known yet how far their handshake is. The system does not
    /// tell of itself what of ours has reached them, nor what libzmq has read faster than this thread could
    /// look: it is to be looked for again. So is who is held off.
    pub(crate) fn look_again(&self) -> bool {
        let is_held = self.door.as_ref().is_some_and(Door::is_held);
        is_held || !self.strangers.is_empty() || self.servers.are_strange()
    }

    /// Judges those who have said something and have yet to shake hands.
    pub(crate) fn look_at_threshold(&mut self, now: Instant) {
        let Some(threshold) = &self.threshold else { return };
        let heard = threshold.heard();
        if self.role == Role::Server {
            let mut all = heard;
            if now.saturating_duration_since(self.looked) >= STRANGERS {
                self.looked = now;
                all = self.strangers.keys().copied().collect();
            }
            all.into_iter().for_each(|fd| self.judge(fd, now));
        } else {
            self.servers.look(heard, threshold, now);
        }
    }

    fn judge(&mut self, fd: RawFd, now: Instant) {
        let step = Threshold::step(fd);
        // a descriptor may be another connection's before this thread hears of the end of this one
        if step == Step::Under || !self.roster.is_still(fd) {
            return;
        }
        if let Some(threshold) = &self.threshold {
            threshold.forget(fd);
        }
        match (self.strangers.remove(&fd), step) {
            (Some(endpoint), Step::TooMuch) => {
                let peer = self.roster.close(fd).map(|peer| peer.to_string());
                self.shut_out.insert(fd);
                self.failed(&endpoint, peer, HandshakeFailure::TooMuch, now);
            }
            (Some(_), _) => {
                self.roster.past_handshake(fd);
                // its key may have been taken off the list before the connection was known
                if let Some(key) = self.refused(fd) {
                    let peer = self.roster.close(fd);
                    self.late(peer, key, now);
                }
            }
            (None, _) => {}
        }
    }

    /// The key of a connection that can only be of keys that are refused.
    fn refused(&self, fd: RawFd) -> Option<PublicKey> {
        let is_refused =
            |key: &PublicKey| matches!(self.security.admission(key), Admission::Refused);
        self.roster.refused(fd, is_refused)
    }
}
