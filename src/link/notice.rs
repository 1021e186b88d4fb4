//! What a socket tells about its peers, without knowing where a log is.
//!
//! Notices are given by a thread of this crate's (teller.rs). What peers cause is
//! reported once a minute, kind, cause and socket at most (throttle.rs).

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::certificate::PublicKey;
use crate::credential_notice::CredentialNotice;
use crate::handshake_failure::{FailureKind, HandshakeFailure};
use crate::throttle::HeldBack;

/// Takes the notices of a socket. It is called from other threads than the socket's, so it
/// must neither wait for the thread that closes the socket or the context, nor own one.
pub trait Notices: Send + Sync {
    /// Something happened. This may take its time.
    fn notice(&self, notice: &Notice);

    /// A number changed. Unlike notices, every change is reported, and at once: this must not wait.
    fn count(&self, change: Change) {
        let _ = change;
    }
}

/// What a socket's numbers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One connection more is past its handshake.
    Connected,
    /// One less.
    Disconnected,
    /// Nobody answered, or not to the end; it is tried again.
    Retried,
    /// A handshake failed for another reason than a refused key.
    HandshakeFailed(FailureKind),
    /// The authenticator refused a key.
    KeyRefused,
    /// A connection was one too many.
    ConnectionRefused,
    /// An address is held off for a moment.
    HeldOff,
    /// This many connections were closed, because their key is no longer allowed.
    Cut(usize),
}

/// Gives a notice. A taker that panics must not take the thread along: without the monitor's,
/// libzmq's own threads would wait for ever.
pub(crate) fn give(notices: &dyn Notices, notice: &Notice) {
    // the panic hook has told it, and there is nobody else to tell
    let _ = catch_unwind(AssertUnwindSafe(|| notices.notice(notice)));
}

/// Reports a change, with the same care.
pub(crate) fn count(notices: &dyn Notices, change: Change) {
    let _ = catch_unwind(AssertUnwindSafe(|| notices.count(change)));
}

/// A peer, as far as it is known: `10.0.0.7:52114 (host42, key …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// An address with or without its port.
    pub address: String,
    /// Its key, where it is certain.
    pub key: Option<PublicKey>,
    /// The name on its certificate, while it is allowed.
    pub name: Option<String>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        match (&self.name, &self.key) {
            (Some(name), Some(key)) => write!(f, " ({name}, key {key})"),
            (None, Some(key)) => write!(f, " (key {key})"),
            (_, None) => Ok(()),
        }
    }
}

/// Something that happened to a socket, as a sentence (`Display`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The authenticator let nobody in with this key.
    RefusedKey {
        /// The peer's address: an IP address, or what libzmq knows of a local peer.
        address: String,
        /// The key it showed.
        key: PublicKey,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// A connection was made, but the two sides did not come to terms.
    HandshakeFailed {
        /// The endpoint it happened at: ours if bound, the peer's if connected.
        endpoint: String,
        /// The peer, where it is known and not the endpoint.
        peer: Option<String>,
        /// Why.
        cause: HandshakeFailure,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// A peer is there and past the handshake.
    Connected {
        /// The endpoint it happened at.
        endpoint: String,
        /// The peer, where it is known and not the endpoint.
        peer: Option<Peer>,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// A peer that was connected is gone.
    Disconnected {
        /// The endpoint it happened at.
        endpoint: String,
        /// The peer, where it is known and not the endpoint.
        peer: Option<Peer>,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// Nobody answers at an address; it is tried again.
    Unreachable {
        /// The endpoint that is called.
        endpoint: String,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// An endpoint was called anew, as keys have changed, or as it would not have been otherwise.
    CalledAnew {
        /// The endpoint.
        endpoint: String,
        /// What is shown there has changed.
        changed: bool,
        /// What libzmq held for it is lost.
        loses: bool,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// A connection was closed: its key was taken off the list while it shook hands.
    CutLate {
        /// The peer's address.
        address: String,
        /// The key.
        key: PublicKey,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// Notices were not given, as those before them took too long.
    Missed {
        /// How many.
        notices: u64,
    },
    /// A connection was closed, because there are enough.
    TooMany {
        /// The peer.
        peer: String,
        /// It had been at its handshake for longest, and made room for another.
        half_open: bool,
        /// Of what there are enough.
        limit: Limit,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// Too many handshakes of an address have failed, and it is kept from calling for a moment.
    HeldOff {
        /// The endpoint where the last one failed.
        endpoint: String,
        /// The address, or the network (IPv6, /64).
        address: String,
        /// As many may fail within a second.
        most: usize,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
    /// The system does not keep an address from calling; no other will be held off.
    NoDoor {
        /// The endpoint.
        endpoint: String,
        /// The system's reason.
        reason: String,
    },
    /// A key or an allow list has changed.
    Credentials(CredentialNotice),
    /// A peer called and could not be taken: no file descriptors left, mostly.
    AcceptFailed {
        /// The endpoint it happened at.
        endpoint: String,
        /// The system's reason.
        reason: String,
        /// Notices of this kind not given since the last.
        held_back: u64,
    },
}

/// Of what a socket takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of all peers.
    Connections(usize),
    /// Connections of one key.
    OfOneKey(usize, PublicKey),
    /// The files that this process may have open; this many of them are connections.
    OpenFiles(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Connections(most) => {
                write!(f, "{most} connections are open, as many as maxconnections allows")
            }
            Limit::OfOneKey(most, key) => write!(
                f,
                "{most} connections with the key {key} are open, as many as maxconnectionsperkey allows"
            ),
            Limit::OpenFiles(open) => write!(
                f,
                "{open} connections are open, as many as this rsyslogd's limit of open files has room \
                 for (LimitNOFILE in its systemd unit)"
            ),
        }
    }
}

impl Notice {
    /// Whether an administrator should hear of it where only errors are shown.
    pub fn is_trouble(&self) -> bool {
        match self {
            Notice::Connected { .. } => false,
            Notice::CalledAnew { loses, .. } => *loses,
            Notice::Credentials(notice) => notice.is_trouble(),
            _ => true,
        }
    }

    fn held_back(&self) -> u64 {
        match self {
            Notice::RefusedKey { held_back, .. }
            | Notice::HandshakeFailed { held_back, .. }
            | Notice::Connected { held_back, .. }
            | Notice::Disconnected { held_back, .. }
            | Notice::Unreachable { held_back, .. }
            | Notice::CalledAnew { held_back, .. }
            | Notice::TooMany { held_back, .. }
            | Notice::HeldOff { held_back, .. }
            | Notice::CutLate { held_back, .. }
            | Notice::AcceptFailed { held_back, .. } => *held_back,
            Notice::Credentials(_) | Notice::NoDoor { .. } | Notice::Missed { .. } => 0,
        }
    }
}

/// `" from PEER"`, where the peer is known.
struct From<'a, P>(&'a Option<P>);

impl<P: fmt::Display> fmt::Display for From<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|peer| write!(f, " from {peer}"))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::RefusedKey { address, key, .. } => {
                write!(f, "refused {address}: its key {key} is not among those allowed")?;
            }
            Notice::HandshakeFailed { endpoint, peer, cause, .. } => {
                write!(f, "handshake failed at {endpoint}{}: {cause}", From(peer))?;
            }
            Notice::Connected { endpoint, peer, .. } => {
                write!(f, "connected at {endpoint}{}", From(peer))?;
            }
            Notice::Disconnected { endpoint, peer, .. } => {
                write!(f, "connection lost at {endpoint}{}", From(peer))?;
            }
            Notice::Unreachable { endpoint, .. } => {
                write!(f, "nothing listens at {endpoint}, or it cannot be reached; trying again")?;
            }
            Notice::TooMany { peer, half_open, limit, .. } => {
                let which = if *half_open { ", which had yet to shake hands" } else { "" };
                write!(f, "closed a connection from {peer}{which}: {limit}")?;
            }
            Notice::HeldOff { endpoint, address, most, .. } => write!(
                f,
                "held off {address} at {endpoint} for a second: more than {most} of its handshakes failed \
                 within one, as many as maxfailuresperaddress bears"
            )?,
            Notice::NoDoor { endpoint, reason } => write!(
                f,
                "nobody is held off at {endpoint}, whatever maxfailuresperaddress says: the system takes \
                 no filter: {reason}"
            )?,
            Notice::CalledAnew { endpoint, changed, loses, .. } => {
                match changed {
                    true => write!(f, "called {endpoint} anew, with other keys")?,
                    false => write!(f, "called {endpoint} anew")?,
                }
                if *loses {
                    f.write_str(
                        ": what libzmq held for it, as immediate=\"off\" wants it, is lost (sndhwm lines at \
                         most)",
                    )?;
                }
            }
            Notice::CutLate { address, key, .. } => write!(
                f,
                "cut {address} as it connected: its key {key} was no longer among those allowed"
            )?,
            Notice::Credentials(notice) => write!(f, "{notice}")?,
            Notice::Missed { notices } => write!(
                f,
                "{notices} messages about peers were not written: the log took too long for those \
                 before them"
            )?,
            Notice::AcceptFailed { endpoint, reason, .. } => {
                write!(f, "a connection at {endpoint} could not be accepted: {reason}")?;
            }
        }
        HeldBack(self.held_back()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_sentences() {
        let notice = Notice::RefusedKey {
            address: "10.0.0.7".into(),
            key: PublicKey::from_bytes([0; 32]),
            held_back: 3,
        };
        assert_eq!(
            notice.to_string(),
            "refused 10.0.0.7: its key 0000000000000000000000000000000000000000 is not among \
             those allowed (3 more of this kind since the last such message)"
        );
        let notice = Notice::HandshakeFailed {
            endpoint: "tcp://127.0.0.1:1".into(),
            peer: Some("127.0.0.1:2".into()),
            cause: HandshakeFailure::Mechanism,
            held_back: 0,
        };
        assert_eq!(
            notice.to_string(),
            "handshake failed at tcp://127.0.0.1:1 from 127.0.0.1:2: one side speaks CURVE and \
             the other plaintext: check authtype on both"
        );
    }
}
