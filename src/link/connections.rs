//! The connections of one socket, followed by the events that libzmq's monitor tells of it: counted, told,
//! and matched with the roster, which knows whose they are. Those at their handshake are in strangers.rs, what
//! comes of an end in ended.rs, and who fails too often in held_off.rs.
//!
//! An event names the endpoint, of a bound socket our own (written.rs has what it was written as); only
//! ACCEPTED, CONNECTED and DISCONNECTED name the connection, by its descriptor. A failed handshake is
//! therefore told when the DISCONNECTED comes that follows it, with the peer's address. Where libzmq has
//! several I/O threads, two failures of one moment may come mixed, and each be told of the other's peer.
//!
//! Owned by the monitor's thread; what others read of it (`Peers`) is atomic.

mod ended;
mod held_off;
mod strangers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::ended::{Failure, protocol_failure};
use crate::calls::Calls;
use crate::certificate::PublicKey;
use crate::door::Door;
use crate::handshake_failure::HandshakeFailure;
use crate::notice::{self, Change, Limit, Notice, Notices, Peer};
use crate::raw::{self, Errno};
use crate::roster::{Arrival, Called, Roster};
use crate::security::{Admission, Security};
use crate::servers::Servers;
use crate::threshold::Threshold;
use crate::throttle::Throttle;
use crate::written::Written;

/// What the monitor knows of a socket, readable at any time.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Connections past their handshake.
    pub(crate) connected: AtomicU64,
    /// Connections that ended, since the socket is open.
    pub(crate) ended: AtomicU64,
    /// Handshakes that failed, but for keys refused by the authenticator.
    pub(crate) failed: AtomicU64,
    /// Endpoints that this side calls.
    pub(crate) calls: Calls,
}

impl Peers {
    /// `longest` is the longest pause before an endpoint is called again.
    pub(crate) fn new(longest: Duration) -> Peers {
        let zero = || AtomicU64::new(0);
        Peers { connected: zero(), ended: zero(), failed: zero(), calls: Calls::new(longest) }
    }
}

/// The side of the handshake a socket is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    Server,
    Client {
        /// Our key.
        key: PublicKey,
        /// The file of the key we know the server by.
        server: PathBuf,
    },
}

/// A socket whose connections are to be followed.
pub(crate) struct Followed {
    pub(crate) role: Role,
    pub(crate) security: Arc<Security>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) notices: Arc<dyn Notices>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) written: Written,
    pub(crate) handshake_ivl: Duration,
    /// Of a server: failed handshakes of one address within a second that are borne; 0: any number.
    pub(crate) most_failures: usize,
}

/// The connections of one socket, followed by its events.
pub(crate) struct Connections {
    role: Role,
    handshake_ivl: Duration,
    notices: Arc<dyn Notices>,
    peers: Arc<Peers>,
    throttle: Throttle,
    security: Arc<Security>,
    roster: Arc<Roster>,
    written: Written,
    /// With CURVE: watches the connections that have yet to shake hands.
    pub(crate) threshold: Option<Threshold>,
    /// Of a server: those, and the endpoints of ours that they called, or of theirs.
    strangers: HashMap<RawFd, String>,
    /// When all of these were looked at, whether they were heard or not.
    looked: Instant,
    /// Of a client: those that have yet to let it in.
    servers: Servers,
    /// Of a server, unless no address is ever held off: who is.
    door: Option<Door>,
    /// The connections that this side has made and that have yet to shake hands, with libzmq's names for the
    /// endpoints.
    made: Vec<(String, RawFd)>,
    /// Those of them who said too much, and are being closed.
    shut_out: HashSet<RawFd>,
    /// Endpoints that this side calls, where the end of the last connection, or attempt, was told.
    explained: HashSet<String>,
    /// Failures whose DISCONNECTED is about to come.
    failures: VecDeque<Failure>,
    /// Connections that the authenticator refused; libzmq cuts them when their handshake
    /// time is over.
    refused: u64,
}

impl Connections {
    pub(crate) fn new(followed: Followed) -> Connections {
        let Followed {
            role,
            security,
            roster,
            notices,
            peers,
            written,
            handshake_ivl,
            most_failures,
        } = followed;
        let has_door = role == Role::Server && most_failures > 0;
        let threshold = if role == Role::Plain { None } else { Threshold::new() };
        Connections {
            written,
            threshold,
            strangers: HashMap::new(),
            looked: Instant::now(),
            servers: Servers::default(),
            door: has_door.then(|| Door::new(most_failures)),
            made: Vec::new(),
            shut_out: HashSet::new(),
            role,
            handshake_ivl,
            notices,
            peers,
            throttle: Throttle::of_strangers(),
            security,
            roster,
            explained: HashSet::new(),
            failures: VecDeque::new(),
            refused: 0,
        }
    }

    /// `told` is the endpoint as libzmq calls it. `is_over` says whether libzmq has told of this connection's end
    /// by now: what the system answers of its descriptor may be another's then.
    pub(crate) fn event(
        &mut self,
        event: u32,
        value: u32,
        told: &str,
        now: Instant,
        is_over: &mut dyn FnMut(RawFd) -> bool,
    ) {
        let endpoint = self.written.name(told).to_owned();
        let endpoint = endpoint.as_str();
        match event {
            zmq_sys::ZMQ_EVENT_LISTENING => self.listens(value as RawFd, (told, endpoint)),
            zmq_sys::ZMQ_EVENT_ACCEPTED => {
                let fd = value as RawFd;
                let asked = Called::at(told).peer_of(fd);
                let peer = if is_over(fd) { (None, None) } else { asked };
                self.accepted(fd, peer, (told, endpoint), now);
            }
            zmq_sys::ZMQ_EVENT_CONNECT_DELAYED => self.begun(endpoint, now),
            zmq_sys::ZMQ_EVENT_CONNECTED => {
                let fd = value as RawFd;
                let asked = (raw::peer_of(fd), Called::at(told).local_at(fd));
                let peer = if is_over(fd) { (None, None) } else { asked };
                self.called(fd, peer, (told, endpoint), now);
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => {
                // where two names lead to one address, it is not known which of the two it is
                let mut called_so = self.made.iter().filter(|(name, _)| name == told);
                if let (Some((_, fd)), None) = (called_so.next(), called_so.next()) {
                    let fd = *fd;
                    self.roster.past_handshake(fd);
                    self.servers.remove(fd);
                    self.made.retain(|(_, made)| *made != fd);
                }
                self.connected(endpoint, now);
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => {
                self.failures.push_back(Failure::NoDetail);
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL => {
                self.failures.push_back(Failure::Known(protocol_failure(value)));
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => match self.role {
                // the authenticator has told it already
                Role::Server => self.refused += 1,
                Role::Client { .. } => {
                    let key = self.shown(endpoint).map(|(key, _)| key);
                    self.failures.push_back(Failure::Known(HandshakeFailure::Refused {
                        key,
                        status: value,
                    }));
                }
                Role::Plain => self.failures.push_back(Failure::Known(HandshakeFailure::Refused {
                    key: None,
                    status: value,
                })),
            },
            zmq_sys::ZMQ_EVENT_DISCONNECTED => self.disconnected(value as RawFd, endpoint, now),
            // also said of our own endpoints, when they are closed
            zmq_sys::ZMQ_EVENT_CLOSED => {
                if let Some(door) = &mut self.door {
                    door.closed(value as RawFd);
                }
                if self.peers.calls.know(endpoint) {
                    self.unreachable(endpoint, now);
                }
            }
            zmq_sys::ZMQ_EVENT_CONNECT_RETRIED => {
                notice::count(&*self.notices, Change::Retried);
                self.begun(endpoint, now);
                // said after each of these, and alone where a name cannot be resolved
                if !self.explained.remove(endpoint) {
                    self.unreachable(endpoint, now);
                    self.explained.remove(endpoint);
                }
            }
            zmq_sys::ZMQ_EVENT_ACCEPT_FAILED => {
                let reason = Errno(value as i32).to_string();
                self.tell("accept", &format!("{endpoint} {reason}"), now, |held_back| {
                    Notice::AcceptFailed { endpoint: endpoint.to_owned(), reason, held_back }
                });
            }
            _ => {}
        }
    }

    /// Somebody is past the handshake.
    fn connected(&mut self, endpoint: &str, now: Instant) {
        self.peers.connected.fetch_add(1, Ordering::Relaxed);
        notice::count(&*self.notices, Change::Connected);
        self.peers.calls.succeeded(endpoint);
        let peer = match self.role {
            Role::Server => self.roster.newcomer(now),
            Role::Plain | Role::Client { .. } => None,
        };
        let peer = peer.map(|(address, key)| self.peer(address.to_string(), Some(key)));
        let from = peer.as_ref().map(|peer| peer.address.as_str()).unwrap_or_default();
        let cause = format!("{endpoint} {from}");
        let endpoint = self.written.with_address(endpoint);
        self.tell("connected", &cause, now, |held_back| Notice::Connected {
            endpoint,
            peer,
            held_back,
        });
    }

    /// What is known of a peer with this address and key.
    fn peer(&self, address: String, key: Option<PublicKey>) -> Peer {
        let name = key.and_then(|key| match self.security.admission(&key) {
            Admission::Known(certificate) => Some(certificate.label()),
            Admission::Anybody | Admission::Refused => None,
        });
        Peer { address, key, name }
    }

    /// This side calls.
    fn begun(&mut self, endpoint: &str, now: Instant) {
        let before = self.peers.calls.begun(endpoint);
        self.ended_unheard(before, now);
    }

    /// A connection is gone that calling its endpoint anew has ended.
    fn ended_unheard(&mut self, before: Option<(RawFd, bool)>, now: Instant) {
        let Some((fd, was_up)) = before else { return };
        self.strangers.remove(&fd);
        self.servers.remove(fd);
        self.shut_out.remove(&fd);
        self.made.retain(|(_, made)| *made != fd);
        self.roster.ended(fd, now);
        if was_up {
            self.count_down();
        }
    }

    /// What was shown at an endpoint: our key, and the file of the server's.
    fn shown(&self, endpoint: &str) -> Option<(PublicKey, PathBuf)> {
        match (self.peers.calls.shown(endpoint), &self.role) {
            (Some(shown), _) => shown.server.map(|(_, file)| (shown.own, file)),
            (None, Role::Client { key, server }) => Some((*key, server.clone())),
            (None, Role::Plain | Role::Server) => None,
        }
    }

    /// This side has called, and somebody is there.
    fn called(
        &mut self,
        fd: RawFd,
        (peer, local): (Option<SocketAddr>, Option<u64>),
        (told, endpoint): (&str, &str),
        now: Instant,
    ) {
        self.begun(endpoint, now);
        let before = self.peers.calls.opened(endpoint, fd);
        self.ended_unheard(before, now);
        self.written.reached(told, peer);
        self.made.retain(|(_, made)| *made != fd);
        self.made.push((told.to_owned(), fd));
        match (self.roster.connected(fd, (peer, local), now), peer) {
            (Some(key), _) => self.late(peer, key, now),
            (None, Some(_)) => self.watch_stranger(fd, endpoint, now),
            (None, None) => {}
        }
        self.watch_server(fd, now);
    }

    /// A connection was closed, as its key was taken off the list while it shook hands.
    fn late(&mut self, peer: Option<SocketAddr>, key: PublicKey, now: Instant) {
        notice::count(&*self.notices, Change::Cut(1));
        let address = peer.map_or("a local peer".into(), |it| it.ip().to_string());
        self.tell("late", &format!("{address} {key}"), now, |held_back| Notice::CutLate {
            address,
            key,
            held_back,
        });
    }

    /// Somebody has called.
    fn accepted(
        &mut self,
        fd: RawFd,
        peer: (Option<SocketAddr>, Option<u64>),
        (told, endpoint): (&str, &str),
        now: Instant,
    ) {
        let mut is_closed = false;
        let is_server = self.role == Role::Server && self.threshold.is_some();
        match self.roster.accepted(fd, peer, is_server, now) {
            Arrival::Welcome => {}
            Arrival::Crowded(limit, closed) => {
                for (closed, peer) in closed {
                    is_closed |= closed == fd;
                    self.crowded_out(closed, peer, closed != fd, limit, now);
                }
            }
            Arrival::Revoked(peer, key) => {
                self.late(peer, key, now);
                is_closed = true;
            }
        }
        if !is_closed {
            if matches!(Called::at(told), Called::Port(_)) {
                self.watch_stranger(fd, endpoint, now);
            }
            self.watch_server(fd, now);
        }
    }

    /// A connection was closed, as there are enough.
    fn crowded_out(
        &mut self,
        fd: RawFd,
        peer: Option<SocketAddr>,
        half_open: bool,
        limit: Limit,
        now: Instant,
    ) {
        notice::count(&*self.notices, Change::ConnectionRefused);
        if half_open {
            self.strangers.remove(&fd);
            self.shut_out.insert(fd);
        }
        let peer = peer.map_or("a local peer".into(), |it| it.to_string());
        // whoever calls again and again has another port each time
        self.tell("too many", "", now, |held_back| Notice::TooMany {
            peer,
            half_open,
            limit,
            held_back,
        });
    }

    fn unreachable(&mut self, endpoint: &str, now: Instant) {
        self.explained.insert(endpoint.to_owned());
        self.tell("unreachable", endpoint, now, |held_back| Notice::Unreachable {
            endpoint: endpoint.to_owned(),
            held_back,
        });
    }

    fn tell(
        &mut self,
        kind: &'static str,
        cause: &str,
        now: Instant,
        notice: impl FnOnce(u64) -> Notice,
    ) {
        if let Some(held_back) = self.throttle.admit(kind, cause, now) {
            notice::give(&*self.notices, &notice(held_back));
        }
    }
}

#[cfg(test)]
mod tests;
