//! One connection of a roster: who is at its other end, and whose it may be.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Instant;

use super::Admitted;
use crate::certificate::PublicKey;
use crate::raw;

/// One connection, and what is known of it.
#[derive(Debug)]
pub(super) struct Connection {
    /// None: not by TCP, or gone before it could be asked.
    pub(super) peer: Option<SocketAddr>,
    /// Of one by a socket file: what the system knows it by.
    pub(super) local: Option<u64>,
    /// The peer called, not this side.
    pub(super) accepted: bool,
    pub(super) since: Instant,
    pub(super) keys: Candidates,
    pub(super) past_handshake: bool,
    pub(super) closed_here: bool,
}

/// Whose a connection may be.
#[derive(Debug)]
pub(super) enum Candidates {
    /// As the authenticator let them in.
    Any(Vec<PublicKey>),
    /// More than are remembered, as when a fleet behind one address comes back: it may be anybody's.
    Anybody,
    /// As a message said.
    Proven(PublicKey),
}

/// How many keys a connection is remembered to be perhaps of. All of a fleet's for each of its connections
/// would be the square of it.
pub(super) const CANDIDATES: usize = 64;

impl Candidates {
    pub(super) fn contain(&self, key: &PublicKey) -> bool {
        match self {
            Candidates::Any(keys) => keys.contains(key),
            Candidates::Anybody => true,
            Candidates::Proven(own) => own == key,
        }
    }

    pub(super) fn are_only(&self, key: &PublicKey) -> bool {
        self.only() == Some(*key)
    }

    pub(super) fn are_unknown(&self) -> bool {
        matches!(self, Candidates::Any(keys) if keys.is_empty())
    }

    pub(super) fn only(&self) -> Option<PublicKey> {
        match self {
            Candidates::Any(keys) => match keys.as_slice() {
                [key] => Some(*key),
                _ => None,
            },
            Candidates::Anybody => None,
            Candidates::Proven(own) => Some(*own),
        }
    }
}

impl Connection {
    pub(super) fn new(peer: Option<SocketAddr>, accepted: bool, since: Instant) -> Connection {
        let keys = Candidates::Any(Vec::new());
        let (past_handshake, closed_here) = (false, false);
        Connection { peer, local: None, accepted, since, keys, past_handshake, closed_here }
    }

    /// Makes the key a candidate, and answers whether it is a new one: not on another's connection, nor on
    /// one that was past its handshake, or may have been its, before.
    pub(super) fn may_be_of(&mut self, admitted: &Admitted) -> bool {
        if self.past_handshake || self.peer.map(|peer| peer.ip()) != admitted.address {
            return false;
        }
        match &mut self.keys {
            Candidates::Any(keys) => {
                let is_new = !keys.contains(&admitted.key);
                if is_new {
                    keys.push(admitted.key);
                }
                if keys.len() > CANDIDATES {
                    self.keys = Candidates::Anybody;
                }
                is_new
            }
            Candidates::Anybody => true,
            Candidates::Proven(_) => false,
        }
    }

    /// One that was gone before it could be asked for its peer is left alone: its descriptor may be
    /// another file of rsyslogd's by now. Answers whether there was something to close.
    pub(super) fn close(&mut self, fd: RawFd) -> bool {
        self.closed_here = true;
        match (self.peer, self.local) {
            (Some(peer), _) => raw::shut_down(fd, peer),
            (None, Some(number)) => raw::shut_down_local(fd, number),
            (None, None) => return false,
        }
        true
    }
}
