//! Why a handshake failed: as a sentence, and as what it is counted by.

use std::fmt;
use std::path::PathBuf;

use crate::certificate::PublicKey;

/// Why a handshake failed, as far as this side can know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The server showed its key and did not answer ours until the deadline: what a server does that
    /// does not allow it.
    Ignored {
        /// The key we showed.
        key: PublicKey,
    },
    /// The server has not even shown its key, and did not hang up either.
    Unanswered,
    /// The server hung up on us at once, but not before it had answered our key with as much as it should.
    HungUpMidway,
    /// The peer hung up at once, on a CURVE client.
    HungUpOnClient {
        /// The file of the key we know the server by.
        file: PathBuf,
    },
    /// The peer hung up, on a CURVE server.
    HungUpOnServer,
    /// The peer hung up, without CURVE.
    HungUpPlain,
    /// The peer said nothing more until the deadline.
    Silent,
    /// The peer said more than a handshake has in it.
    TooMuch,
    /// One side speaks CURVE and the other does not.
    Mechanism,
    /// The keys don't fit: the peer takes us for another server.
    Cryptographic,
    /// The server said no.
    Refused {
        /// The key we showed.
        key: Option<PublicKey>,
        /// The server's ZAP status.
        status: u32,
    },
    /// The peer speaks no ZeroMQ that libzmq understands.
    Protocol {
        /// libzmq's number for what was wrong.
        code: u32,
    },
}

impl HandshakeFailure {
    /// Whether a server that holds another key than the one it is known by looks like this. One that has
    /// answered our key has shown its own, whatever it thinks of ours.
    pub(crate) fn may_be_of_servers_key(&self) -> bool {
        matches!(
            self,
            HandshakeFailure::HungUpOnClient { .. }
                | HandshakeFailure::Unanswered
                | HandshakeFailure::Cryptographic
        )
    }

    /// What it is counted by.
    pub fn kind(&self) -> FailureKind {
        match self {
            HandshakeFailure::HungUpOnServer
            | HandshakeFailure::HungUpPlain
            | HandshakeFailure::HungUpMidway => FailureKind::BrokenOff,
            HandshakeFailure::Silent | HandshakeFailure::Unanswered => FailureKind::Silent,
            HandshakeFailure::Mechanism => FailureKind::Mechanism,
            HandshakeFailure::HungUpOnClient { .. } | HandshakeFailure::Cryptographic => {
                FailureKind::Keys
            }
            HandshakeFailure::Ignored { .. } | HandshakeFailure::Refused { .. } => {
                FailureKind::Refused
            }
            HandshakeFailure::Protocol { .. } | HandshakeFailure::TooMuch => FailureKind::Protocol,
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFailure::Ignored { key } => write!(
                f,
                "the server refused our key {key}: it does not answer it, as a server does that has \
                 no certificate of it, or as many connections of it as it takes"
            ),
            HandshakeFailure::HungUpOnClient { file } => write!(
                f,
                "the server's key is not the one in {}: it hung up at once (so does a server without \
                 CURVE, one that is just being stopped, or one that has as many connections as it takes)",
                file.display()
            ),
            HandshakeFailure::Unanswered => f.write_str(
                "it does not answer: it stands still, is only about to start, or speaks no ZeroMQ",
            ),
            HandshakeFailure::HungUpMidway => f.write_str(
                "it hung up in the middle of the handshake: the two socket types do not match, it does \
                 not let us in, or it is just being stopped",
            ),
            HandshakeFailure::HungUpOnServer => f.write_str(
                "it broke off: it may hold another key of this server, speak no CURVE or no ZeroMQ",
            ),
            HandshakeFailure::HungUpPlain => {
                f.write_str("it broke off: it may ask for CURVE, or speak no ZeroMQ")
            }
            HandshakeFailure::Silent => {
                f.write_str("it said nothing more until the deadline (handshakeivl)")
            }
            HandshakeFailure::TooMuch => {
                f.write_str("it said more than a handshake has in it, and was closed")
            }
            HandshakeFailure::Mechanism => {
                f.write_str("one side speaks CURVE and the other plaintext: check authtype on both")
            }
            HandshakeFailure::Cryptographic => {
                f.write_str("the keys do not fit: it may hold another key of this server")
            }
            HandshakeFailure::Refused { key: Some(key), status } => {
                write!(f, "the server refused our key {key} (status {status})")
            }
            HandshakeFailure::Refused { key: None, status } => {
                write!(f, "the server refused us (status {status})")
            }
            HandshakeFailure::Protocol { code } => {
                write!(f, "it does not speak ZeroMQ as libzmq does (protocol error {code:#x})")
            }
        }
    }
}

/// What failed handshakes are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The peer broke off, for a reason it kept to itself.
    BrokenOff,
    /// The peer fell silent until the deadline.
    Silent,
    /// One side speaks CURVE, the other does not.
    Mechanism,
    /// The keys do not fit.
    Keys,
    /// What was said is not ZeroMQ, or not as libzmq speaks it.
    Protocol,
    /// The server refused our key.
    Refused,
}
