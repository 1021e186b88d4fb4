//! Connections that have ended: whether a peer that was connected is gone or a handshake failed, and of what.
//! libzmq tells the one as the other; what it said before, what the roster knows and the time decide.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Connections, Role};
use crate::certificate::PublicKey;
use crate::handshake_failure::HandshakeFailure;
use crate::notice::{self, Change, Notice};
use crate::roster::Ended;
use crate::servers::{self, Server};

/// libzmq does not say what was wrong; of a peer that was refused and goes on all the same, it says this.
const UNSPECIFIED: HandshakeFailure =
    HandshakeFailure::Protocol { code: zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_UNSPECIFIED };

/// How libzmq told that a handshake failed.
pub(super) enum Failure {
    /// The peer broke off, or the time was over.
    NoDetail,
    Known(HandshakeFailure),
}

impl Failure {
    /// libzmq tells a frame that cannot be decrypted or is none of CURVE's as a failed handshake also where
    /// the handshake was over (libzmq, curve_mechanism_base.cpp); any other failure is never one's that is
    /// past it.
    fn may_come_later(&self) -> bool {
        matches!(
            self,
            Failure::Known(HandshakeFailure::Cryptographic | HandshakeFailure::Protocol { .. })
        )
    }
}

impl Connections {
    pub(super) fn disconnected(&mut self, fd: RawFd, endpoint: &str, now: Instant) {
        if self.peers.calls.know(endpoint) {
            self.explained.insert(endpoint.to_owned());
            self.peers.calls.ended(endpoint, now);
        }
        self.strangers.remove(&fd);
        self.made.retain(|(_, made)| *made != fd);
        let server = self.servers.remove(fd);
        let shut_out = self.shut_out.remove(&fd);
        let ended = self.roster.ended(fd, now);
        let closed_here = ended.as_ref().is_some_and(|ended| ended.closed_here);
        let past_handshake = ended.as_ref().is_some_and(|ended| ended.past_handshake);
        let age = ended.as_ref().map(|ended| ended.age);
        let (peer, key) = ended.map_or((None, None), |Ended { peer, key, .. }| (peer, key));
        let address = peer.map(|peer| peer.ip());
        let peer = peer.map(|peer| peer.to_string());
        // of a handshake libzmq would have said at its deadline that it failed
        let deadline = self.handshake_ivl + Duration::from_secs(1);
        let was_connected = past_handshake
            || age.is_some_and(|age| age > deadline)
            || self.peers.connected.load(Ordering::Relaxed) > self.may_be_connected();
        let takes = self.failures.front().is_some_and(|it| !past_handshake || it.may_come_later());
        let failure = if takes { self.failures.pop_front() } else { None };
        let mut came_to_nothing = false;
        if closed_here {
            came_to_nothing = shut_out && !past_handshake;
            // Whoever closed it has told why. libzmq tells of a handshake as failed, of one that it
            // has told of as refused not again, and of one that was over not at all.
            match failure {
                Some(_) => {}
                None if past_handshake || self.refused == 0 => self.count_down(),
                None if shut_out => self.refused -= 1,
                None if was_connected || key.is_some() => self.count_down(),
                None => self.refused -= 1,
            }
        } else if past_handshake {
            self.lost(endpoint, peer, key, now);
        } else if let Some(failure) = failure {
            came_to_nothing = true;
            let cause = match failure {
                Failure::Known(cause) => {
                    if cause == UNSPECIFIED {
                        self.refused = self.refused.saturating_sub(1);
                    }
                    cause
                }
                Failure::NoDetail => self.guess(endpoint, (age, server), now),
            };
            self.failed(endpoint, peer, cause, now);
        } else if self.refused > 0 && age.is_none_or(|age| age <= self.handshake_ivl * 2) {
            came_to_nothing = true;
            self.refused -= 1;
        } else if was_connected {
            self.lost(endpoint, peer, key, now);
        } else {
            came_to_nothing = true;
            // It never was past its handshake: some mistakes of a peer end in no other event.
            let cause = match self.role {
                // that libzmq has ended it itself is all that is known
                Role::Client { .. } => UNSPECIFIED,
                Role::Server | Role::Plain => self.guess(endpoint, (age, None), now),
            };
            self.failed(endpoint, peer, cause, now);
        }
        if let Some(address) = address.filter(|_| came_to_nothing) {
            self.came_to_nothing(address, endpoint, now);
        }
        if self.roster.len() == 0 {
            // whatever was misjudged above is put right when nobody is left
            self.forget_all();
            self.refused = 0;
            self.failures.clear();
        }
    }

    /// A peer that was connected is gone.
    fn lost(&mut self, endpoint: &str, peer: Option<String>, key: Option<PublicKey>, now: Instant) {
        self.count_down();
        let from = host_of(peer.as_deref());
        let whose = key.map(|key| key.to_string()).unwrap_or_default();
        let cause = format!("{endpoint} {from} {whose}");
        let peer = peer.map(|address| self.peer(address, key));
        let endpoint = self.written.with_address(endpoint);
        self.tell("lost", &cause, now, |held_back| Notice::Disconnected {
            endpoint,
            peer,
            held_back,
        });
    }

    /// Open connections that the authenticator did not refuse: more than these cannot be past their
    /// handshake.
    fn may_be_connected(&self) -> u64 {
        (self.roster.len() as u64).saturating_sub(self.refused)
    }

    pub(super) fn failed(
        &mut self,
        endpoint: &str,
        peer: Option<String>,
        cause: HandshakeFailure,
        now: Instant,
    ) {
        self.peers.failed.fetch_add(1, Ordering::Relaxed);
        self.peers.calls.failed(endpoint, &cause);
        notice::count(&*self.notices, Change::HandshakeFailed(cause.kind()));
        let from = host_of(peer.as_deref());
        let why = format!("{endpoint} {from} {cause}");
        let endpoint = self.written.with_address(endpoint);
        self.tell("failed", &why, now, |held_back| Notice::HandshakeFailed {
            endpoint,
            peer,
            cause,
            held_back,
        });
    }

    pub(super) fn count_down(&self) {
        // this thread alone writes, so the two steps are one
        let connected = self.peers.connected.load(Ordering::Relaxed);
        if connected > 0 {
            self.peers.connected.store(connected - 1, Ordering::Relaxed);
            self.peers.ended.fetch_add(1, Ordering::Release);
            notice::count(&*self.notices, Change::Disconnected);
        }
    }

    /// Nobody is connected any more.
    pub(crate) fn forget_all(&self) {
        for _ in 0..self.peers.connected.swap(0, Ordering::Relaxed) {
            self.peers.ended.fetch_add(1, Ordering::Release);
            notice::count(&*self.notices, Change::Disconnected);
        }
    }

    /// What a handshake without further detail most likely failed of.
    fn guess(
        &self,
        endpoint: &str,
        (age, server): (Option<Duration>, Option<Server>),
        now: Instant,
    ) -> HandshakeFailure {
        if let Some((key, file)) = self.shown(endpoint) {
            return servers::failure(server.as_ref(), age, (key, &file), self.handshake_ivl, now);
        }
        match &self.role {
            // whoever breaks off does so early; this thread may have heard late of its beginning
            _ if age.is_some_and(|age| age * 2 >= self.handshake_ivl) => HandshakeFailure::Silent,
            Role::Plain => HandshakeFailure::HungUpPlain,
            _ => HandshakeFailure::HungUpOnServer,
        }
    }
}

/// A cause of notices does not hold the peer's port, which is another each time.
fn host_of(peer: Option<&str>) -> &str {
    peer.and_then(|peer| peer.rsplit_once(':')).map_or("", |(host, _)| host)
}

pub(super) fn protocol_failure(code: u32) -> HandshakeFailure {
    match code {
        zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH => HandshakeFailure::Mechanism,
        zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC => HandshakeFailure::Cryptographic,
        code => HandshakeFailure::Protocol { code },
    }
}
