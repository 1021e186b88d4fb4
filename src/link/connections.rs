//! The connections of one socket, followed by the events that libzmq's monitor tells of it: counted, told,
//! and matched with the roster, which knows whose they are.
//!
//! An event names the endpoint, of a bound socket our own (written.rs has what it was written as); only
//! ACCEPTED, CONNECTED and DISCONNECTED name the connection, by its descriptor. A failed handshake is
//! therefore told when the DISCONNECTED comes that follows it, with the peer's address. Where libzmq has
//! several I/O threads, two failures of one moment may come mixed, and each be told of the other's peer.
//!
//! Owned by the monitor's thread; what others read of it (`Peers`) is atomic.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::certificate::PublicKey;
use crate::notice::{self, Change, HandshakeFailure, Limit, Notice, Notices, Peer, Throttle};
use crate::raw::{self, Errno};
use crate::roster::{Arrival, Called, Ended, Roster};
use crate::security::{Admission, Security};
use crate::servers::{self, Server, Servers};
use crate::threshold::{Step, Threshold};
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

/// libzmq does not say what was wrong; of a peer that was refused and goes on all the same, it says this.
const UNSPECIFIED: HandshakeFailure =
    HandshakeFailure::Protocol { code: zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_UNSPECIFIED };

/// Between two looks at all strangers, as there may be a thousand.
const STRANGERS: Duration = Duration::from_millis(50);

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

enum Failure {
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
    pub(crate) fn new(
        role: Role,
        (security, roster): (Arc<Security>, Arc<Roster>),
        handshake_ivl: Duration,
        notices: Arc<dyn Notices>,
        (peers, written): (Arc<Peers>, Written),
    ) -> Connections {
        let threshold = if role == Role::Plain { None } else { Threshold::new() };
        Connections {
            written,
            threshold,
            strangers: HashMap::new(),
            looked: Instant::now(),
            servers: Servers::default(),
            made: Vec::new(),
            shut_out: HashSet::new(),
            role,
            handshake_ivl,
            notices,
            peers,
            throttle: Throttle::new(),
            security,
            roster,
            explained: HashSet::new(),
            failures: VecDeque::new(),
            refused: 0,
        }
    }

    /// `told` is the endpoint as libzmq calls it.
    pub(crate) fn event(&mut self, event: u32, value: u32, told: &str, now: Instant) {
        let endpoint = self.written.name(told).to_owned();
        let endpoint = endpoint.as_str();
        match event {
            zmq_sys::ZMQ_EVENT_ACCEPTED => self.accepted(value as RawFd, (told, endpoint), now),
            zmq_sys::ZMQ_EVENT_CONNECT_DELAYED => self.begun(endpoint, now),
            zmq_sys::ZMQ_EVENT_CONNECTED => self.called(value as RawFd, (told, endpoint), now),
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
            zmq_sys::ZMQ_EVENT_CLOSED if self.peers.calls.know(endpoint) => {
                self.unreachable(endpoint, now);
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
                self.tell(&format!("accept {endpoint} {reason}"), now, |held_back| {
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
        let cause = format!("connected {endpoint} {from}");
        let endpoint = self.written.with_address(endpoint);
        self.tell(&cause, now, |held_back| Notice::Connected { endpoint, peer, held_back });
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
        let Some((fd, was_up)) = self.peers.calls.begun(endpoint) else { return };
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
    fn called(&mut self, fd: RawFd, (told, endpoint): (&str, &str), now: Instant) {
        self.begun(endpoint, now);
        self.peers.calls.opened(endpoint, fd);
        let peer = raw::peer_of(fd);
        self.written.reached(told, peer);
        self.made.retain(|(_, made)| *made != fd);
        self.made.push((told.to_owned(), fd));
        let local = match Called::at(told) {
            Called::File(path) => raw::local_at(fd, path),
            Called::Port(_) | Called::Other => None,
        };
        match (self.roster.connected(fd, (peer, local), now), peer) {
            (Some(key), _) => self.late(peer, key, now),
            (None, Some(_)) => self.watch_stranger(fd, endpoint, now),
            (None, None) => {}
        }
        self.watch_server(fd, now);
    }

    /// Of a client: a connection to a server is there.
    fn watch_server(&mut self, fd: RawFd, now: Instant) {
        if let (Role::Client { .. }, Some(threshold)) = (&self.role, &self.threshold) {
            self.servers.watch(fd, threshold, now);
        }
    }

    /// Whether there are some of whom it is not known yet how far their handshake is. The system does not
    /// tell of itself what of ours has reached them, nor what libzmq has read faster than this thread could
    /// look: it is to be looked for again.
    pub(crate) fn look_again(&self) -> bool {
        !self.strangers.is_empty() || self.servers.are_strange()
    }

    /// A connection was closed, as its key was taken off the list while it shook hands.
    fn late(&mut self, peer: Option<SocketAddr>, key: PublicKey, now: Instant) {
        notice::count(&*self.notices, Change::Cut(1));
        let address = peer.map_or("a local peer".into(), |it| it.ip().to_string());
        self.tell(&format!("late {address} {key}"), now, |held_back| Notice::CutLate {
            address,
            key,
            held_back,
        });
    }

    /// Somebody has called.
    fn accepted(&mut self, fd: RawFd, (told, endpoint): (&str, &str), now: Instant) {
        let called = Called::at(told);
        let mut is_closed = false;
        let is_server = self.role == Role::Server && self.threshold.is_some();
        match self.roster.accepted(fd, called, is_server, now) {
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
            if matches!(called, Called::Port(_)) {
                self.watch_stranger(fd, endpoint, now);
            }
            self.watch_server(fd, now);
        }
    }

    /// Of a server: a TCP connection is there, whose peer has yet to be let in.
    fn watch_stranger(&mut self, fd: RawFd, endpoint: &str, now: Instant) {
        let Some(threshold) = self.threshold.as_ref().filter(|_| self.role == Role::Server) else {
            return;
        };
        threshold.watch(fd);
        self.strangers.insert(fd, endpoint.to_owned());
        // what it has said already
        self.judge(fd, now);
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
        self.tell("too many", now, |held_back| Notice::TooMany {
            peer,
            half_open,
            limit,
            held_back,
        });
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

    fn unreachable(&mut self, endpoint: &str, now: Instant) {
        self.explained.insert(endpoint.to_owned());
        self.tell(&format!("unreachable {endpoint}"), now, |held_back| Notice::Unreachable {
            endpoint: endpoint.to_owned(),
            held_back,
        });
    }

    fn disconnected(&mut self, fd: RawFd, endpoint: &str, now: Instant) {
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
        let peer = peer.map(|peer| peer.to_string());
        // of a handshake libzmq would have said at its deadline that it failed
        let deadline = self.handshake_ivl + Duration::from_secs(1);
        let was_connected = past_handshake
            || age.is_some_and(|age| age > deadline)
            || self.peers.connected.load(Ordering::Relaxed) > self.may_be_connected();
        let takes = self.failures.front().is_some_and(|it| !past_handshake || it.may_come_later());
        let failure = if takes { self.failures.pop_front() } else { None };
        if closed_here {
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
            self.refused -= 1;
        } else if was_connected {
            self.lost(endpoint, peer, key, now);
        } else {
            // It never was past its handshake: some mistakes of a peer end in no other event.
            let cause = match self.role {
                // that libzmq has ended it itself is all that is known
                Role::Client { .. } => UNSPECIFIED,
                Role::Server | Role::Plain => self.guess(endpoint, (age, None), now),
            };
            self.failed(endpoint, peer, cause, now);
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
        let cause = format!("disconnected {endpoint} {from} {whose}");
        let peer = peer.map(|address| self.peer(address, key));
        let endpoint = self.written.with_address(endpoint);
        self.tell(&cause, now, |held_back| Notice::Disconnected { endpoint, peer, held_back });
    }

    /// Open connections that the authenticator did not refuse: more than these cannot be past their
    /// handshake.
    fn may_be_connected(&self) -> u64 {
        (self.roster.len() as u64).saturating_sub(self.refused)
    }

    fn failed(
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
        let kind = format!("failed {endpoint} {from} {cause}");
        let endpoint = self.written.with_address(endpoint);
        self.tell(&kind, now, |held_back| Notice::HandshakeFailed {
            endpoint,
            peer,
            cause,
            held_back,
        });
    }

    fn count_down(&self) {
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

    fn tell(&mut self, cause: &str, now: Instant, notice: impl FnOnce(u64) -> Notice) {
        if let Some(held_back) = self.throttle.admit(cause, now) {
            notice::give(&*self.notices, &notice(held_back));
        }
    }
}

/// A cause of notices does not hold the peer's port, which is another each time.
fn host_of(peer: Option<&str>) -> &str {
    peer.and_then(|peer| peer.rsplit_once(':')).map_or("", |(host, _)| host)
}

fn protocol_failure(code: u32) -> HandshakeFailure {
    match code {
        zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH => HandshakeFailure::Mechanism,
        zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC => HandshakeFailure::Cryptographic,
        code => HandshakeFailure::Protocol { code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::AllowList;
    use crate::names::Names;
    use crate::roster::Limits;
    use crate::security::Allowed;
    use std::io::{Read, Write};
    use std::mem;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::sync::Mutex;

    struct Log(Mutex<Vec<String>>, Mutex<Vec<Change>>);

    impl Notices for Log {
        fn notice(&self, notice: &Notice) {
            self.0.lock().unwrap().push(notice.to_string());
        }

        fn count(&self, change: Change) {
            self.1.lock().unwrap().push(change);
        }
    }

    /// Both ends of a connection that is past its handshake, as far as the kernel has counted.
    fn past_handshake(listener: &std::net::TcpListener) -> (TcpStream, TcpStream) {
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut near = listener.accept().unwrap().0;
        near.write_all(&[0; 300]).unwrap();
        far.read_exact(&mut [0; 300]).unwrap();
        far.write_all(b"a subscription carries the acknowledgement").unwrap();
        near.read_exact(&mut [0]).unwrap();
        (far, near)
    }

    fn is_closed(far: &mut TcpStream) -> bool {
        far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        matches!(far.read(&mut [0]), Ok(0))
    }

    struct Story {
        connections: Connections,
        log: Arc<Log>,
        now: Instant,
    }

    impl Story {
        fn new(role: Role) -> Story {
            let log = Arc::new(Log(Mutex::default(), Mutex::default()));
            let ivl = Duration::from_secs(3);
            let limits = Limits { connections: 100, of_one_key: 100, handshake: ivl };
            let roster = Arc::new(Roster::new(limits));
            let trust = (Arc::new(Security::Plaintext), roster);
            let peers = (Arc::new(Peers::new(ivl)), Written::default());
            let connections = Connections::new(role, trust, ivl, log.clone(), peers);
            Story { connections, log, now: Instant::now() }
        }

        fn event(&mut self, event: u32, value: u32) -> u64 {
            self.connections.event(event, value, "tcp://here:1", self.now);
            self.connections.peers.connected.load(Ordering::Relaxed)
        }

        /// As the monitor's thread does, until a stranger is none any more.
        fn look_until_known(&mut self, fd: u32) {
            assert!(self.connections.look_again());
            while self.connections.strangers.contains_key(&(fd as RawFd)) {
                self.connections.look_at_threshold(Instant::now());
            }
        }

        fn told(&self) -> Vec<String> {
            mem::take(&mut *self.log.0.lock().unwrap())
        }
    }

    // descriptors that are not open: their peer is not known
    const A: u32 = 601;
    const B: u32 = 602;
    const C: u32 = 603;

    #[test]
    fn connections_are_counted_and_told_once() {
        let mut story = Story::new(Role::Plain);
        for fd in [A, B] {
            story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd);
            story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        }
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 1);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 0);
        assert_eq!(story.told(), ["connected at tcp://here:1", "connection lost at tcp://here:1"]);
        story.now += Duration::from_secs(61);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        assert!(story.told()[0].ends_with("(1 more of this kind since the last such message)"));
    }

    #[test]
    fn a_failed_handshake_was_no_connection() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        story.event(
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
            zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH,
        );
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 1);
        let told = story.told();
        assert!(told[1].contains("one side speaks CURVE"), "{told:?}");
    }

    #[test]
    fn a_refused_key_is_no_connection_and_told_by_the_authenticator_alone() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.now += Duration::from_secs(100);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 300);
        story.now += Duration::from_secs(1);
        // an old connection that ends meanwhile is not taken for the refused one
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, C);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 1);
        story.now += Duration::from_secs(2);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 0);
        let told = story.told();
        assert_eq!(told.len(), 3, "{told:?}");
    }

    /// Who is refused and goes on saying something does not make an honest peer look gone.
    #[test]
    fn a_refused_peer_that_goes_on_is_forgotten_with_its_connection() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        for _ in 0..3 {
            story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
            story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 300);
            story.event(
                zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
                zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_UNSPECIFIED,
            );
            assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        }
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, C);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, C), 1);
    }

    /// A peer that is known to be past its handshake is lost, however many others are about to.
    #[test]
    fn one_that_is_past_its_handshake_is_no_failed_handshake() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        story.connections.roster.past_handshake(A as RawFd);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 0);
        assert_eq!(story.told().last().unwrap(), "connection lost at tcp://here:1");
    }

    /// The system tells nothing of the acknowledgement of the server's last word.
    #[test]
    fn one_that_is_let_in_and_says_nothing_is_not_taken_for_a_refused_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 300);
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut near = listener.accept().unwrap().0;
        let fd = near.as_raw_fd() as u32;
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        story.connections.event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd, &endpoint, story.now);
        story.connections.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, &endpoint, story.now);
        near.write_all(&[0; 300]).unwrap();
        far.read_exact(&mut [0; 300]).unwrap();
        story.look_until_known(fd);
        drop(near);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, fd), 0);
        assert_eq!(story.connections.refused, 1);
        let told = story.told();
        assert!(told[told.len() - 1].starts_with("connection lost at"), "{told:?}");
    }

    /// A plaintext peer's bytes do not tell that it is past its handshake; its time does.
    #[test]
    fn one_that_is_there_for_longer_than_a_handshake_takes_is_no_failed_handshake() {
        let mut story = Story::new(Role::Plain);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.now += Duration::from_secs(5);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 0);
        assert_eq!(story.told().last().unwrap(), "connection lost at tcp://here:1");
        // nor is the next taken for it
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 104);
        story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 1);
    }

    /// With several I/O threads the events of two connections may come mixed.
    #[test]
    fn one_that_is_past_its_handshake_takes_no_others_failure() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        story.connections.roster.past_handshake(A as RawFd);
        story.event(
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
            zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH,
        );
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B);
        let told = story.told();
        assert_eq!(told[1], "connection lost at tcp://here:1");
        assert!(told[2].contains("one side speaks CURVE"), "{told:?}");
        // its own is not left to the next
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, C);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.connections.roster.past_handshake(A as RawFd);
        story.event(
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
            zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC,
        );
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        assert!(story.connections.failures.is_empty());
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 1);
    }

    /// However many others are at their handshake meanwhile.
    #[test]
    fn one_that_was_connected_and_is_closed_here_is_counted_down() {
        let mut story = Story::new(Role::Server);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, B);
        story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, C);
        story.connections.roster.close(A as RawFd);
        story.connections.roster.close(B as RawFd);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 104);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
    }

    #[test]
    fn the_gauge_is_right_again_when_nobody_is_left() {
        let mut story = Story::new(Role::Plain);
        story.event(zmq_sys::ZMQ_EVENT_CONNECTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
        // two failures told for one connection, as libzmq does without an authenticator
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 14);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 14);
        story.event(zmq_sys::ZMQ_EVENT_CONNECTED, B);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
    }

    /// Two connections of this side, one in the middle of its handshake: which of them ends is known by
    /// what it is called.
    #[test]
    fn of_two_connections_that_this_side_made_the_one_that_ends_is_known() {
        let key = PublicKey::from_bytes([3; 32]);
        let mut story = Story::new(Role::Client { key, server: "/its/file".into() });
        let event = |story: &mut Story, event, value, endpoint: &str| {
            story.connections.event(event, value, endpoint, story.now);
            story.connections.peers.connected.load(Ordering::Relaxed)
        };
        let (one, two) = ("tcp://one:1", "tcp://two:1");
        event(&mut story, zmq_sys::ZMQ_EVENT_CONNECTED, A, one);
        event(&mut story, zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, one);
        event(&mut story, zmq_sys::ZMQ_EVENT_CONNECTED, B, two);
        assert_eq!(event(&mut story, zmq_sys::ZMQ_EVENT_DISCONNECTED, A, one), 0);
        assert_eq!(event(&mut story, zmq_sys::ZMQ_EVENT_DISCONNECTED, B, two), 0);
        let told = story.told();
        assert_eq!(told[..2], ["connected at tcp://one:1", "connection lost at tcp://one:1"]);
        assert!(told[2].starts_with("handshake failed at tcp://two:1: it does not speak ZeroMQ"));
    }

    /// Two names that lead to one address: the end of one's handshake is not the other's.
    #[test]
    fn of_two_connections_of_one_name_neither_is_taken_for_the_other() {
        let key = PublicKey::from_bytes([3; 32]);
        let mut story = Story::new(Role::Client { key, server: "/its/file".into() });
        story.event(zmq_sys::ZMQ_EVENT_CONNECTED, A);
        story.event(zmq_sys::ZMQ_EVENT_CONNECTED, B);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0), 1);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 104);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, B), 1);
        assert_eq!(story.connections.peers.failed.load(Ordering::Relaxed), 1);
        assert_eq!(story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A), 0);
        let told = story.told();
        assert!(
            told[1].contains("handshake failed") && told[2].contains("connection lost"),
            "{told:?}"
        );
    }

    /// The authenticator has let it in, and its certificate is gone, before the monitor hears of it.
    #[test]
    fn a_connection_of_a_key_that_is_gone_already_is_cut_counted_and_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _far = std::net::TcpStream::connect(address).unwrap();
        let near = listener.accept().unwrap().0;
        let mut story = Story::new(Role::Server);
        let key = PublicKey::from_bytes([3; 32]);
        story.connections.roster.admit("127.0.0.1", key, story.now).unwrap();
        assert_eq!(story.connections.roster.close_all_of(&key), 0);
        let (fd, endpoint) = (std::os::fd::AsRawFd::as_raw_fd(&near), format!("tcp://{address}"));
        story.connections.event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd as u32, &endpoint, story.now);
        assert_eq!(
            story.told(),
            [format!(
                "cut 127.0.0.1 as it connected: its key {key} was no longer among those allowed"
            )]
        );
        assert_eq!(*story.log.1.lock().unwrap(), [Change::Cut(1)]);
    }

    /// Its owner has opened another before, which looked like the one that was let in.
    #[test]
    fn a_connection_of_refused_keys_alone_is_cut_once_it_is_past_its_handshake() {
        let folder = tempfile::tempdir().unwrap();
        let allowed = crate::certificate::generate().unwrap().public;
        let certificate = format!("curve\n    public-key = \"{allowed}\"\n");
        std::fs::write(folder.path().join("neighbour"), certificate).unwrap();
        let list = AllowList::load(folder.path(), Names::default()).unwrap();
        let security = Security::Server { own: Vec::new(), allowed: Allowed::Folder(list) };
        let mut story = Story::new(Role::Server);
        story.connections.security = Arc::new(security);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let accepted = |story: &mut Story, fd: RawFd| {
            let now = story.now;
            story.connections.event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd as u32, &endpoint, now);
        };
        let mut decoy = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        accepted(&mut story, near.as_raw_fd());
        let removed = PublicKey::from_bytes([3; 32]);
        story.connections.roster.admit("127.0.0.1", removed, story.now).unwrap();
        assert_eq!(story.connections.roster.close_all_of(&removed), 1);
        let cut = format!(
            "cut 127.0.0.1 as it connected: its key {removed} was no longer among those allowed"
        );
        let (mut far, near) = past_handshake(&listener);
        accepted(&mut story, near.as_raw_fd());
        assert!(is_closed(&mut decoy) && is_closed(&mut far));
        assert_eq!(story.told(), [cut.as_str()]);
        // one that says nothing: what has reached it tells
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut near = listener.accept().unwrap().0;
        accepted(&mut story, near.as_raw_fd());
        assert!(!is_closed(&mut far));
        near.write_all(&[0; 300]).unwrap();
        far.read_exact(&mut [0; 300]).unwrap();
        story.look_until_known(near.as_raw_fd() as u32);
        assert!(is_closed(&mut far));
        assert_eq!(story.log.1.lock().unwrap().len(), 2);
        story.told();
        // one that may be an allowed key's stays
        let (mut far, neighbour) = past_handshake(&listener);
        story.connections.roster.admit("127.0.0.1", allowed, story.now).unwrap();
        accepted(&mut story, neighbour.as_raw_fd());
        assert!(!is_closed(&mut far) && story.told().is_empty());
    }

    #[test]
    fn a_client_tells_silence_from_a_hang_up() {
        let key = PublicKey::from_bytes([3; 32]);
        for (wait, part) in [
            (3000, "the server refused our key"),
            (5, "the server's key is not the one in /its/file"),
        ] {
            let mut story = Story::new(Role::Client { key, server: "/its/file".into() });
            story.event(zmq_sys::ZMQ_EVENT_CONNECTED, A);
            story.now += Duration::from_millis(wait);
            story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32);
            story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A);
            let told = story.told();
            assert!(told[0].contains(part), "{told:?}");
        }
        let mut story = Story::new(Role::Client { key, server: "/its/file".into() });
        story.event(zmq_sys::ZMQ_EVENT_CONNECTED, A);
        story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400);
        story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A);
        let told = story.told();
        assert!(
            told[0].contains(&format!("the server refused our key {key} (status 400)")),
            "{told:?}"
        );
    }
}
