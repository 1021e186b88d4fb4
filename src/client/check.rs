//! Why a connection does, or does not, come about: one endpoint, one answer.
//!
//! libzmq is asked first, as DEALER, SUB and PUSH in turn, because a peer takes only its counterpart. Only
//! when no handshake succeeds the peer's greeting is read, so that a peer that is fine has nothing to log.
//! An admitted DEALER says hello as an acknowledged sender does; a receiver that does not know the
//! protocol takes that for a line.
//!
//! Own threads and locks: none.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rzmq_delivery::{Frame, Hello, SessionId, decode};
use rzmq_link::{
    Context, HandshakeFailure, LinkError, Mode, Notice, Notices, Options, PublicKey, Received,
    Security, Sent, SocketSpec, SocketType, parse_endpoints, random,
};

use crate::address::needs_ipv6;
use crate::greeting::{self, Heard};
use crate::{ClientError, Credentials};

/// How long a receiver may take to answer a hello.
const WELCOME: Duration = Duration::from_secs(2);

/// What an endpoint is to these credentials. Displayed, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The connection works.
    Fine {
        /// What the peer is: ROUTER, PUB or PULL. A ROUTER that speaks no acknowledged delivery may as well be a
        /// REP or DEALER, which take a DEALER's call too.
        peer: &'static str,
        /// The version of acknowledged delivery that it speaks, if it does.
        acked: Option<u8>,
        /// With CURVE.
        encrypted: bool,
    },
    /// A receiver of acknowledged delivery is there, lets our key in, and takes no session of ours: it speaks
    /// another version, or has too many sessions. Nothing that is sent to it is acknowledged.
    NoSession {
        /// The error's number, as docs/protocol.md has it.
        code: u16,
        /// The receiver's sentence; not to be trusted on a terminal.
        text: String,
    },
    /// Nobody is there.
    NothingListens(String),
    /// Somebody is there who does not speak ZeroMQ.
    NotZeroMq(&'static str),
    /// We have keys, and the peer speaks plaintext.
    PeerIsPlaintext,
    /// The peer asks for keys, and we have none.
    PeerWantsKeys(String),
    /// The peer does not hold the key of this certificate.
    OtherServerKey(PathBuf),
    /// The peer is who it should be, and does not let us in.
    KeyNotAllowed(PublicKey),
    /// None of these, as far as can be seen.
    Unclear(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Fine { peer, acked, encrypted } => {
                let how =
                    if *encrypted { "encrypted, with both keys proven" } else { "in plaintext" };
                write!(f, "fine: a {peer} is there, {how}")?;
                match acked {
                    Some(version) => write!(f, ", and speaks acked version {version}"),
                    None if *peer == "ROUTER" => f.write_str(
                        ", but does not answer as an acked receiver (nor would a REP or DEALER)",
                    ),
                    None => Ok(()),
                }
            }
            Finding::NoSession { code, text } => write!(
                f,
                "a ROUTER is there and lets us in, but takes no session of ours: it answers with error {code}, \
                 \"{text}\""
            ),
            Finding::NothingListens(reason) => {
                write!(f, "nothing listens there, or it cannot be reached: {reason}")
            }
            Finding::NotZeroMq(reason) => {
                write!(f, "something listens there, but it is not ZeroMQ: {reason}")
            }
            Finding::PeerIsPlaintext => f.write_str(
                "the peer speaks plaintext: it has no authtype, and nothing was said to it",
            ),
            Finding::PeerWantsKeys(mechanism) => {
                write!(f, "the peer wants {mechanism}: give --servercertpath and --clientcertpath")
            }
            Finding::OtherServerKey(file) => write!(
                f,
                "the server has another key than the one in {}: take its public certificate anew, or \
                 it is not the server it should be",
                file.display()
            ),
            Finding::KeyNotAllowed(key) => write!(
                f,
                "the server is the right one, but does not let our key in: {key} is not among the \
                 certificates of its clientcertpath"
            ),
            Finding::Unclear(reason) => f.write_str(reason),
        }
    }
}

/// Asks an endpoint; takes no longer than about three times `patience`.
pub fn check(
    endpoint: &str,
    credentials: &Credentials,
    patience: Duration,
) -> Result<Finding, ClientError> {
    let endpoints = parse_endpoints(endpoint, Mode::Connect)?;
    let [target] = endpoints.as_slice() else {
        return Err(ClientError::OneToCall(endpoint.to_owned()));
    };
    if target.mode != Mode::Connect {
        return Err(ClientError::OneToCall(endpoint.to_owned()));
    }
    let security = credentials.security()?;
    let context = Context::new(1)?;
    let ipv6 = needs_ipv6(target);
    let mut failures = Vec::new();
    for (ours, theirs) in
        [(SocketType::Dealer, "ROUTER"), (SocketType::Sub, "PUB"), (SocketType::Push, "PULL")]
    {
        let (told, notices) = channel();
        let spec = SocketSpec {
            name: "check".into(),
            socket_type: ours,
            endpoints: endpoints.clone(),
            security: Arc::clone(&security),
            options: Options {
                ipv6,
                linger: Duration::ZERO,
                handshake_ivl: patience,
                ..Options::default()
            },
            // a publisher needs not send us anything
            topics: vec!["\0rzlog check".into()],
        };
        let socket = context.open(&spec, Arc::new(Told(told)))?;
        match outcome(&notices, patience * 3 / 2) {
            Outcome::Connected => {
                let acked = match ours {
                    SocketType::Dealer => match answer(&socket)? {
                        Answer::Welcome(version) => Some(version),
                        Answer::Error { code, text } => {
                            return Ok(Finding::NoSession { code, text });
                        }
                        Answer::None => None,
                    },
                    _ => None,
                };
                let encrypted = security.is_curve();
                return Ok(Finding::Fine { peer: theirs, acked, encrypted });
            }
            Outcome::Unreachable => {
                let reason = match greeting::listen(&target.address, patience) {
                    Heard::Nobody(reason) => reason,
                    _ => "the system refuses the connection".to_owned(),
                };
                return Ok(Finding::NothingListens(reason));
            }
            Outcome::Failed(cause) => {
                let is_last = !matches!(
                    cause,
                    HandshakeFailure::HungUpOnClient { .. }
                        | HandshakeFailure::HungUpMidway
                        | HandshakeFailure::HungUpPlain
                        | HandshakeFailure::Protocol { .. }
                );
                failures.push(cause);
                if is_last {
                    break;
                }
            }
            Outcome::Silence => break,
        }
    }
    let heard = greeting::listen(&target.address, patience);
    Ok(explain(heard, &failures, &security))
}

fn explain(heard: Heard, failures: &[HandshakeFailure], security: &Security) -> Finding {
    let mechanism = match heard {
        Heard::Nobody(reason) => return Finding::NothingListens(reason),
        Heard::NotZeroMq(reason) => return Finding::NotZeroMq(reason),
        Heard::Cut => {
            return Finding::Unclear(
                "it takes the call and hangs up or says nothing: it stands still, has as many connections as it \
                 takes, or is not ZeroMQ"
                    .into(),
            );
        }
        Heard::Mechanism(mechanism) => mechanism,
    };
    let refused = |cause: &HandshakeFailure| {
        matches!(cause, HandshakeFailure::Ignored { .. } | HandshakeFailure::Refused { .. })
    };
    let Security::Client { own, servers } = security else {
        return match mechanism.as_str() {
            "CURVE" => Finding::PeerWantsKeys(mechanism),
            "NULL" if failures.iter().any(refused) => {
                Finding::Unclear("it speaks ZeroMQ in plaintext, and does not let us in".into())
            }
            "NULL" => Finding::Unclear(
                "it speaks ZeroMQ in plaintext, but is none of ROUTER, PUB and PULL".into(),
            ),
            other => Finding::Unclear(format!("the peer wants {other}, which rzlog does not have")),
        };
    };
    if mechanism == "NULL" {
        return Finding::PeerIsPlaintext;
    }
    if mechanism != "CURVE" {
        return Finding::Unclear(format!("the peer wants {mechanism}, not CURVE"));
    }
    if failures.iter().any(refused) {
        return Finding::KeyNotAllowed(own.pair().public);
    }
    if let Some(cause) = failures.last() {
        if !matches!(cause, HandshakeFailure::HungUpOnClient { .. }) {
            return Finding::Unclear(format!("the handshake fails: {cause}"));
        }
        let file = servers.current().map(|server| server.path).unwrap_or_default();
        return Finding::OtherServerKey(file);
    }
    Finding::Unclear("it speaks CURVE, but the handshake came to no end in time".into())
}

struct Told(Sender<Notice>);

impl Notices for Told {
    fn notice(&self, notice: &Notice) {
        // nobody listens any more once the answer is found
        let _ = self.0.send(notice.clone());
    }
}

enum Outcome {
    Connected,
    Unreachable,
    Failed(HandshakeFailure),
    Silence,
}

fn outcome(notices: &Receiver<Notice>, patience: Duration) -> Outcome {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match notices.recv_timeout(left) {
            Ok(Notice::Connected { .. }) => return Outcome::Connected,
            Ok(Notice::Unreachable { .. }) => return Outcome::Unreachable,
            Ok(Notice::HandshakeFailed { cause, .. }) => return Outcome::Failed(cause),
            Ok(_) => {}
            Err(_) => return Outcome::Silence,
        }
    }
}

/// What comes back for a hello.
enum Answer {
    /// This version of acknowledged delivery.
    Welcome(u8),
    Error {
        code: u16,
        text: String,
    },
    /// Nothing of that protocol, in time.
    None,
}

fn answer(socket: &rzmq_link::Socket) -> Result<Answer, ClientError> {
    let hello = Hello {
        lowest: 1,
        highest: 1,
        number: 1,
        session: SessionId(random()),
        first: 0,
        next: 0,
        software: concat!("rzlog ", env!("CARGO_PKG_VERSION")),
        name: "rzlog check",
    };
    let mut frame = Vec::new();
    hello.encode(&mut frame);
    let until = Instant::now() + WELCOME;
    let left = || until.saturating_duration_since(Instant::now());
    while socket.send(&[&frame])? == Sent::Full {
        if left().is_zero() {
            return Ok(Answer::None);
        }
        socket.wait_writable(left())?;
    }
    let mut received = Received::new();
    while !left().is_zero() {
        match socket.receive(&mut received) {
            Ok(true) => {}
            Ok(false) => {
                socket.wait_message(left())?;
                continue;
            }
            // whoever it is, it is no receiver of acknowledged delivery
            Err(LinkError::ManyFrames) => return Ok(Answer::None),
            Err(why) => return Err(why.into()),
        }
        match decode(received.body()) {
            Ok(Frame::Welcome(welcome)) if is_ours(&welcome.session, &hello.session) => {
                return Ok(Answer::Welcome(welcome.version));
            }
            Ok(Frame::Error(error)) => {
                let (code, text) = (error.code.number(), error.text.to_owned());
                return Ok(Answer::Error { code, text });
            }
            _ => {}
        }
    }
    Ok(Answer::None)
}

fn is_ours(session: &SessionId, ours: &SessionId) -> bool {
    session.0 == ours.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_peer_that_refuses_and_one_that_wants_a_password_are_told_apart() {
        let said = |mechanism: &str, failures: &[HandshakeFailure]| {
            let heard = Heard::Mechanism(mechanism.to_owned());
            explain(heard, failures, &Security::Plaintext).to_string()
        };
        let refused = HandshakeFailure::Refused { key: None, status: 400 };
        assert!(said("NULL", &[refused]).ends_with("in plaintext, and does not let us in"));
        assert!(said("NULL", &[]).ends_with("none of ROUTER, PUB and PULL"));
        assert_eq!(said("PLAIN", &[]), "the peer wants PLAIN, which rzlog does not have");
        assert!(said("CURVE", &[]).contains("--servercertpath"));
    }
}
