//! The connections of one socket: whose each is, how many there may be, and how one is closed.
//!
//! libzmq tells of a connection in three places, and in none of them all of it: the monitor has the
//! descriptor and the peer's address, the authenticator the key and the address without the port, a
//! message the descriptor and the key. Here they come together. The authenticator's word makes a key
//! a candidate for each connection with that address whose handshake may be under way, those that the
//! monitor tells of later included; the first message proves it. So a connection that never sent
//! anything may have more than one candidate where several peers shook hands at once behind one
//! address, and is closed with any of them: its owner, if still allowed, comes back at once.
//!
//! A connection is closed with shutdown(2), upon which libzmq sees its end and closes the descriptor.
//!
//! When there are as many as there may be, one that has been at its handshake for longest makes room
//! for the next: whoever opens connections and says nothing keeps nobody else out.
//!
//! Threads: monitor, authenticator, watcher and the socket's own. Locks: the connections, held for a
//! step; within it the keys let in lately.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::certificate::PublicKey;
use crate::notice::Limit;
use crate::raw;
use crate::threshold::{Step, Threshold};

/// How many connections a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of all peers.
    pub(crate) connections: usize,
    /// Of one key.
    pub(crate) of_one_key: usize,
    /// How long a handshake may take.
    pub(crate) handshake: Duration,
}

/// Who is connected to a socket, or about to be.
#[derive(Debug)]
pub(crate) struct Roster {
    limits: Limits,
    connections: Mutex<HashMap<RawFd, Connection>>,
    /// Keys let in lately. A new one drives out what is too old to matter.
    admitted: Mutex<Vec<Admitted>>,
}

/// A key that was let in, from this address.
#[derive(Debug)]
struct Admitted {
    key: PublicKey,
    address: Option<IpAddr>,
    at: Instant,
    /// How often, each time while the time before was not long ago.
    times: usize,
    /// How many connections are known that may be these.
    found: usize,
    /// Taken off the list since: how many are yet to be known, and closed.
    revoked: usize,
    /// How many of its handshakes may be under way: those whose good end was not told of as its own.
    open: usize,
}

#[derive(Debug)]
struct Connection {
    /// None: not by TCP, or gone before it could be asked.
    peer: Option<SocketAddr>,
    /// Of one by a socket file: what the system knows it by.
    local: Option<u64>,
    /// The peer called, not this side.
    accepted: bool,
    since: Instant,
    keys: Candidates,
    past_handshake: bool,
    closed_here: bool,
}

#[derive(Debug)]
enum Candidates {
    /// As the authenticator let them in.
    Any(Vec<PublicKey>),
    /// More than are remembered, as when a fleet behind one address comes back: it may be anybody's.
    Anybody,
    /// As a message said.
    Proven(PublicKey),
}

/// Where a peer has called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Called<'a> {
    /// A port of this host.
    Port(u16),
    /// A socket file.
    File(&'a str),
    /// Something else.
    Other,
}

impl Called<'_> {
    /// What libzmq calls by this name.
    pub(crate) fn at(endpoint: &str) -> Called<'_> {
        // the name of a socket file may end like a port
        match (endpoint.strip_prefix("tcp://"), endpoint.strip_prefix("ipc://")) {
            (Some(address), _) => {
                let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
                port.map_or(Called::Other, Called::Port)
            }
            (_, Some(path)) => Called::File(path),
            _ => Called::Other,
        }
    }
}

/// What became of a new connection.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It may shake hands.
    Welcome,
    /// There are enough: these are closed, it or another that had yet to shake hands, or both.
    Crowded(Limit, Vec<(RawFd, Option<SocketAddr>)>),
    /// It is closed: as far as can be seen it is of this key, which was taken off the list.
    Revoked(Option<SocketAddr>, PublicKey),
}

/// What is known of a connection at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) peer: Option<SocketAddr>,
    /// The key it had, where that is certain.
    pub(crate) key: Option<PublicKey>,
    pub(crate) age: Duration,
    /// Surely; without this it may have been too.
    pub(crate) past_handshake: bool,
    /// It was closed by this side, which has told why.
    pub(crate) closed_here: bool,
}

/// How many keys a connection is remembered to be perhaps of. All of a fleet's for each of its connections
/// would be the square of it.
const CANDIDATES: usize = 64;

impl Candidates {
    fn contain(&self, key: &PublicKey) -> bool {
        match self {
            Candidates::Any(keys) => keys.contains(key),
            Candidates::Anybody => true,
            Candidates::Proven(own) => own == key,
        }
    }

    fn are_only(&self, key: &PublicKey) -> bool {
        self.only() == Some(*key)
    }

    fn are_unknown(&self) -> bool {
        matches!(self, Candidates::Any(keys) if keys.is_empty())
    }

    fn only(&self) -> Option<PublicKey> {
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
    fn new(peer: Option<SocketAddr>, accepted: bool, since: Instant) -> Connection {
        let keys = Candidates::Any(Vec::new());
        let (past_handshake, closed_here) = (false, false);
        Connection { peer, local: None, accepted, since, keys, past_handshake, closed_here }
    }

    /// Makes the key a candidate, and answers whether it is a new one: not on another's connection, nor on
    /// one that was past its handshake, or may have been its, before.
    fn may_be_of(&mut self, admitted: &Admitted) -> bool {
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
    fn close(&mut self, fd: RawFd) -> bool {
        self.closed_here = true;
        match (self.peer, self.local) {
            (Some(peer), _) => raw::shut_down(fd, peer),
            (None, Some(number)) => raw::shut_down_local(fd, number),
            (None, None) => return false,
        }
        true
    }
}

impl Roster {
    pub(crate) fn new(limits: Limits) -> Roster {
        Roster { limits, connections: Mutex::default(), admitted: Mutex::default() }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<RawFd, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admitted(&self) -> MutexGuard<'_, Vec<Admitted>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one handshake may have been under way both then and now. libzmq ends it at its
    /// deadline; a little more, for it is not this clock's.
    fn is_recent(&self, then: Instant, now: Instant) -> bool {
        now.saturating_duration_since(then) <= self.limits.handshake + Duration::from_secs(1)
    }

    /// The authenticator may have heard of this connection first. Answers the key it may be of that was
    /// taken off the list since, when its connections were looked for and this one not known.
    fn catch_up(&self, connection: &mut Connection) -> Option<PublicKey> {
        let now = connection.since;
        let mut admitted = self.admitted();
        for it in admitted.iter_mut().filter(|it| self.is_recent(it.at, now)) {
            it.found += usize::from(connection.may_be_of(it));
        }
        let revoked = |it: &&mut Admitted| it.revoked > 0 && connection.keys.contain(&it.key);
        let found = admitted.iter_mut().find(revoked)?;
        // one handshake, one connection: whoever calls next from there is another
        found.revoked -= 1;
        Some(found.key)
    }

    /// Closes the connection that has been at its handshake for longest.
    fn make_room(
        connections: &mut HashMap<RawFd, Connection>,
    ) -> Option<(RawFd, Option<SocketAddr>)> {
        loop {
            let half_open = connections.iter_mut().filter(|(_, it)| {
                it.accepted && !it.past_handshake && !it.closed_here && it.peer.is_some()
            });
            let (fd, oldest) = half_open.min_by_key(|(_, it)| it.since)?;
            if Threshold::step(*fd) == Step::Past {
                // it has said nothing since, so that the kernel alone knows
                oldest.past_handshake = true;
                continue;
            }
            oldest.close(*fd);
            return Some((*fd, oldest.peer));
        }
    }

    /// A peer has called. If the descriptor is another's by now, as one that was gone at once leaves it,
    /// its peer is not known.
    /// `is_server`: connections shake hands by CURVE, so that it can be seen which have yet to.
    pub(crate) fn accepted(
        &self,
        fd: RawFd,
        called: Called<'_>,
        is_server: bool,
        now: Instant,
    ) -> Arrival {
        let (peer, local) = match called {
            Called::Port(port) if raw::port_of(fd) == Some(port) => (raw::peer_of(fd), None),
            Called::File(path) => (None, raw::local_at(fd, path)),
            Called::Port(_) | Called::Other => (None, None),
        };
        let mut connections = self.connections();
        let open = connections.values().filter(|it| !it.closed_here).count();
        let limit = if open >= self.limits.connections {
            Some(Limit::Connections(self.limits.connections))
        } else {
            nearly_out_of_files(fd).then_some(Limit::OpenFiles(open))
        };
        let mut connection = Connection { local, ..Connection::new(peer, true, now) };
        let revoked = self.catch_up(&mut connection);
        let arrival = match (revoked, limit) {
            (Some(key), _) => Arrival::Revoked(peer, key),
            (None, None) => Arrival::Welcome,
            (None, Some(limit)) => {
                let room = is_server.then(|| Self::make_room(&mut connections)).flatten();
                let mut closed: Vec<_> = room.into_iter().collect();
                // One that has a high descriptor keeps it: the room is for the next.
                if closed.is_empty() || matches!(limit, Limit::OpenFiles(_)) {
                    closed.push((fd, peer));
                }
                Arrival::Crowded(limit, closed)
            }
        };
        let is_closed = match &arrival {
            Arrival::Welcome => false,
            Arrival::Crowded(_, closed) => closed.iter().any(|(closed, _)| *closed == fd),
            Arrival::Revoked(..) => true,
        };
        if is_closed {
            connection.past_handshake = is_server && Threshold::step(fd) == Step::Past;
            connection.close(fd);
        }
        connections.insert(fd, connection);
        arrival
    }

    /// This side has called, and this peer is there. If the connection is closed at once, as one that was
    /// accepted would be ([`Arrival::Revoked`]), the answer is the key.
    pub(crate) fn connected(
        &self,
        fd: RawFd,
        (peer, local): (Option<SocketAddr>, Option<u64>),
        now: Instant,
    ) -> Option<PublicKey> {
        let mut connection = Connection { local, ..Connection::new(peer, false, now) };
        let mut connections = self.connections();
        let revoked = self.catch_up(&mut connection);
        if revoked.is_some() {
            connection.close(fd);
        }
        connections.insert(fd, connection);
        revoked
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, fd: RawFd, now: Instant) -> Option<Ended> {
        let Connection { peer, accepted, since, keys, past_handshake, closed_here, .. } =
            self.connections().remove(&fd)?;
        // where this side has called, the endpoint says who it is
        let peer = peer.filter(|_| accepted);
        let age = now.saturating_duration_since(since);
        Some(Ended { peer, key: keys.only(), age, past_handshake, closed_here })
    }

    /// How many connections there are, handshakes included.
    pub(crate) fn len(&self) -> usize {
        self.connections().len()
    }

    /// The authenticator is about to let a key in. `address` is libzmq's: an IP address, or what
    /// it knows of a local peer.
    pub(crate) fn admit(&self, address: &str, key: PublicKey, now: Instant) -> Result<(), Limit> {
        // a link-local address has its interface behind it
        let address = address.split('%').next().unwrap_or_default();
        let address = address.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let mut connections = self.connections();
        let mut admitted = self.admitted();
        admitted.retain(|it| self.is_recent(it.at, now));
        // Whoever has only called from this address looks like this key's own: of those whose handshake
        // may be under way, no more can be its than it was let in times.
        let of_key = || connections.values().filter(|it| !it.closed_here && it.keys.contain(&key));
        let recent = of_key().filter(|it| self.is_recent(it.since, now)).count();
        let old = of_key().filter(|it| !self.is_recent(it.since, now));
        let handshakes = admitted.iter().filter(|it| it.key == key).map(|it| it.times).sum();
        let open = old.filter(|it| it.keys.are_only(&key)).count() + recent.min(handshakes);
        if open >= self.limits.of_one_key {
            return Err(Limit::OfOneKey(self.limits.of_one_key, key));
        }
        let is_same = |it: &Admitted| (it.key, it.address) == (key, address);
        let before = admitted.iter().position(is_same).map(|index| admitted.swap_remove(index));
        let (times, open, found) =
            before.map_or((1, 1, 0), |it| (it.times + 1, it.open + 1, it.found));
        // a key that is let in is on the list, or is again
        let mut new = Admitted { key, address, at: now, times, found, revoked: 0, open };
        for connection in connections.values_mut().filter(|it| self.is_recent(it.since, now)) {
            new.found += usize::from(connection.may_be_of(&new));
        }
        admitted.push(new);
        Ok(())
    }

    /// A message came on this connection from the owner of this key. It may have waited, and the
    /// descriptor be another's by now: a connection that cannot be of this key stays as it is.
    pub(crate) fn proven(&self, fd: RawFd, key: PublicKey) {
        let mut connections = self.connections();
        if let Some(connection) = connections.get_mut(&fd).filter(|it| it.keys.contain(&key)) {
            connection.keys = Candidates::Proven(key);
            connection.past_handshake = true;
        }
    }

    /// Whether a descriptor is still that TCP connection's.
    pub(crate) fn is_still(&self, fd: RawFd) -> bool {
        let connections = self.connections();
        let peer = connections.get(&fd).and_then(|connection| connection.peer);
        peer.is_some() && peer == raw::peer_of(fd)
    }

    /// This connection is past its handshake.
    pub(crate) fn past_handshake(&self, fd: RawFd) {
        if let Some(connection) = self.connections().get_mut(&fd) {
            connection.past_handshake = true;
        }
    }

    /// Of a connection all of whose candidates are refused by now: one of them. Unless it is past its
    /// handshake its owner may have yet to be let in.
    pub(crate) fn refused(
        &self,
        fd: RawFd,
        is_refused: impl Fn(&PublicKey) -> bool,
    ) -> Option<PublicKey> {
        match &self.connections().get(&fd).filter(|it| !it.closed_here)?.keys {
            Candidates::Any(keys) => keys.first().filter(|_| keys.iter().all(is_refused)).copied(),
            Candidates::Anybody | Candidates::Proven(_) => None,
        }
    }

    /// Closes one connection; answers its peer.
    pub(crate) fn close(&self, fd: RawFd) -> Option<SocketAddr> {
        let mut connections = self.connections();
        let connection = connections.get_mut(&fd)?;
        connection.close(fd);
        connection.peer
    }

    /// Closes every connection on which a peer has called.
    pub(crate) fn close_accepted(&self) {
        let mut connections = self.connections();
        for (fd, connection) in connections.iter_mut().filter(|(_, it)| it.accepted) {
            connection.close(*fd);
        }
    }

    /// A handshake has come to its good end: whose, if only one can be meant. Where two may be, both stay
    /// open until the time for a handshake is over: nobody is named who may have given up, or was named.
    pub(crate) fn newcomer(&self, now: Instant) -> Option<(IpAddr, PublicKey)> {
        let mut admitted = self.admitted();
        let mut open = admitted.iter_mut().filter(|it| it.open > 0 && self.is_recent(it.at, now));
        let (first, None) = (open.next()?, open.next()) else { return None };
        first.open -= 1;
        first.address.map(|address| (address, first.key))
    }

    /// Closes every connection that is, or may be, of this key; answers how many. One that nothing is known
    /// of, though the time for its handshake is over, may be anybody's: where the monitor heard of it too late.
    pub(crate) fn close_all_of(&self, key: &PublicKey) -> usize {
        let now = Instant::now();
        let mut connections = self.connections();
        // the monitor may have yet to tell of one
        let mut admitted = self.admitted();
        for it in admitted.iter_mut().filter(|it| it.key == *key) {
            it.revoked = it.times.saturating_sub(it.found);
        }
        let may_be_of_key = |it: &Connection| {
            let is_anybodys = it.keys.are_unknown() && it.peer.is_some();
            it.keys.contain(key) || (is_anybodys && !self.is_recent(it.since, now))
        };
        let of_key = connections.iter_mut().filter(|(_, connection)| may_be_of_key(connection));
        let mut closed = 0;
        for (fd, connection) in of_key.filter(|(_, connection)| !connection.closed_here) {
            closed += usize::from(connection.close(*fd));
        }
        closed
    }
}

/// What rsyslogd needs for its own files, and for connections that libzmq accepts, a hundred and more,
/// before the first of them can be closed.
const RESERVE: u64 = 256;

/// The system gives the lowest number that is free: one that is this high says that few are left of
/// those that the process may have.
fn nearly_out_of_files(fd: RawFd) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.is_some_and(|most| u64::try_from(fd).is_ok_and(|fd| fd >= room(most)))
}

/// How many of so many files may be in use before a connection is one too many.
fn room(most: u64) -> u64 {
    let quarter = most / 4;
    most - quarter.max(RESERVE.min(quarter * 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::net::{UnixListener, UnixStream};

    const LIMITS: Limits =
        Limits { connections: 3, of_one_key: 2, handshake: Duration::from_secs(3) };

    fn key(number: u8) -> PublicKey {
        PublicKey::from_bytes([number; 32])
    }

    /// Connections to a listener: the far ends, and those that the roster is to know.
    struct Calls {
        listener: TcpListener,
        ends: Vec<(TcpStream, TcpStream)>,
    }

    impl Calls {
        fn new() -> Calls {
            Calls { listener: TcpListener::bind("127.0.0.1:0").unwrap(), ends: Vec::new() }
        }

        fn call(&mut self) -> RawFd {
            let far = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let (near, _) = self.listener.accept().unwrap();
            let fd = near.as_raw_fd();
            self.ends.push((far, near));
            fd
        }

        fn port(&self) -> Called<'static> {
            Called::Port(self.listener.local_addr().unwrap().port())
        }

        fn is_closed(&mut self, index: usize) -> bool {
            let far = &mut self.ends[index].0;
            far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            matches!(far.read(&mut [0]), Ok(0))
        }
    }

    fn welcome(roster: &Roster, fd: RawFd, called: Called<'_>, now: Instant) {
        let arrival = roster.accepted(fd, called, true, now);
        assert!(matches!(arrival, Arrival::Welcome), "{arrival:?}");
    }

    fn too_many(roster: &Roster, fd: RawFd, called: Called<'_>) {
        let arrival = roster.accepted(fd, called, true, Instant::now());
        assert!(
            matches!(&arrival, Arrival::Crowded(_, closed) if closed.iter().any(|it| it.0 == fd)),
            "{arrival:?}"
        );
    }

    #[test]
    fn one_too_many_is_closed_and_told_apart() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        for _ in 0..3 {
            welcome(&roster, calls.call(), calls.port(), now);
        }
        let fourth = calls.call();
        let arrival = roster.accepted(fourth, calls.port(), false, now);
        let Arrival::Crowded(limit, closed) = arrival else { panic!("{arrival:?}") };
        assert_eq!((limit, closed[0].0, closed.len()), (Limit::Connections(3), fourth, 1));
        assert!(calls.is_closed(3) && !calls.is_closed(0));
        assert!(roster.ended(fourth, now).unwrap().closed_here);
        assert_eq!(roster.len(), 3);
    }

    #[test]
    fn whoever_is_slowest_at_its_handshake_makes_room() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let open: Vec<_> = (0..3).map(|_| calls.call()).collect();
        for (age, fd) in open.iter().enumerate() {
            welcome(&roster, *fd, calls.port(), now + Duration::from_secs(age as u64));
        }
        roster.past_handshake(open[0]);
        let arrival = roster.accepted(calls.call(), calls.port(), true, now);
        let Arrival::Crowded(limit, closed) = arrival else { panic!("{arrival:?}") };
        assert_eq!((closed.len(), closed[0].0), (1, open[1]));
        assert_eq!(limit, Limit::Connections(3));
        assert!(calls.is_closed(1));
        assert!(!calls.is_closed(0) && !calls.is_closed(2) && !calls.is_closed(3));
        assert!(roster.ended(open[1], now).unwrap().closed_here);
        // nobody is at a handshake: the next is one too many
        roster.past_handshake(open[2]);
        roster.past_handshake(calls.ends[3].1.as_raw_fd());
        too_many(&roster, calls.call(), calls.port());
    }

    /// The monitor hears of the connection only after its key was let in and taken off the list.
    #[test]
    fn a_key_taken_off_before_its_connection_is_known_keeps_none() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        roster.admit("127.0.0.1", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 0);
        let arrival = roster.accepted(calls.call(), calls.port(), true, now);
        assert!(matches!(arrival, Arrival::Revoked(Some(_), it) if it == key(1)), "{arrival:?}");
        assert!(calls.is_closed(0));
        // it was that one; a neighbour behind the same address is welcome
        welcome(&roster, calls.call(), calls.port(), now);
        assert!(!calls.is_closed(1));
    }

    /// One of the key's connections is known, and silent; the second is not known yet.
    #[test]
    fn a_key_with_a_silent_connection_keeps_no_second_one() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        welcome(&roster, calls.call(), calls.port(), now);
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 1);
        let arrival = roster.accepted(calls.call(), calls.port(), true, now);
        assert!(matches!(arrival, Arrival::Revoked(Some(_), it) if it == key(1)), "{arrival:?}");
        assert!(calls.is_closed(0) && calls.is_closed(1));
        // a message that had been waiting costs no neighbour his
        assert_eq!(roster.close_all_of(&key(1)), 0);
        welcome(&roster, calls.call(), calls.port(), now);
    }

    /// A connection that was known and is gone leaves no guilt to whoever calls next.
    #[test]
    fn a_key_whose_connection_is_gone_costs_no_neighbour_his() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let fd = calls.call();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        welcome(&roster, fd, calls.port(), now);
        assert_eq!(roster.close_all_of(&key(1)), 1);
        roster.ended(fd, now).unwrap();
        // a message that had been waiting
        assert_eq!(roster.close_all_of(&key(1)), 0);
        welcome(&roster, calls.call(), calls.port(), now);
    }

    /// A key that is taken off before one of its connections is known keeps it no more than the others.
    #[test]
    fn a_key_with_an_old_connection_keeps_no_new_one_either() {
        let (roster, mut calls, then) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let old = calls.call();
        welcome(&roster, old, calls.port(), then);
        roster.admit("127.0.0.1", key(1), then).unwrap();
        roster.proven(old, key(1));
        let now = then + Duration::from_secs(60);
        roster.admit("127.0.0.1", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 1);
        let arrival = roster.accepted(calls.call(), calls.port(), true, now);
        assert!(matches!(arrival, Arrival::Revoked(Some(_), it) if it == key(1)), "{arrival:?}");
        assert!(calls.is_closed(0) && calls.is_closed(1));
    }

    #[test]
    fn a_newcomer_is_named_only_where_one_alone_can_be_meant() {
        let (roster, now) = (Roster::new(LIMITS), Instant::now());
        assert_eq!(roster.newcomer(now), None);
        roster.admit("127.0.0.1", key(1), now).unwrap();
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(roster.newcomer(now), Some((address, key(1))));
        assert_eq!(roster.newcomer(now), None, "it is one handshake");
        roster.admit("127.0.0.1", key(2), now).unwrap();
        roster.admit("127.0.0.1", key(3), now).unwrap();
        for _ in 0..2 {
            assert_eq!(roster.newcomer(now), None, "either may be meant");
        }
        // one of them may have given up: a third is not taken for it, nor it for the third
        roster.admit("127.0.0.1", key(4), now).unwrap();
        assert_eq!(roster.newcomer(now), None);
        let later = now + Duration::from_secs(60);
        roster.admit("127.0.0.2", key(4), later).unwrap();
        assert_eq!(roster.newcomer(later), Some(("127.0.0.2".parse().unwrap(), key(4))));
    }

    /// Two handshakes of one key are two, and whoever comes meanwhile is not taken for the second.
    #[test]
    fn a_newcomer_is_not_taken_for_one_that_was_admitted_before() {
        let (roster, now) = (Roster::new(LIMITS), Instant::now());
        let address = "127.0.0.1".parse().unwrap();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        assert_eq!(roster.newcomer(now), Some((address, key(1))));
        roster.admit("127.0.0.1", key(2), now).unwrap();
        assert_eq!(roster.newcomer(now), None, "it may be the second of the first key");
    }

    #[test]
    fn only_connections_of_the_key_are_closed_once_messages_have_proven_whose_they_are() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let (first, second) = (calls.call(), calls.call());
        welcome(&roster, first, calls.port(), now);
        welcome(&roster, second, calls.port(), now);
        // both shake hands at once, from one address
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.admit("127.0.0.1", key(2), now).unwrap();
        roster.proven(first, key(1));
        roster.proven(second, key(2));
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert!(calls.is_closed(0) && !calls.is_closed(1));
        assert_eq!(roster.close_all_of(&key(1)), 0, "it is closed already");
        assert_eq!(roster.close_all_of(&key(3)), 0);
    }

    #[test]
    fn a_silent_connection_is_known_by_its_address_and_time() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let early = calls.call();
        welcome(&roster, early, calls.port(), now);
        roster.admit("::ffff:127.0.0.1", key(1), now).unwrap();
        let later = now + Duration::from_secs(60);
        let late = calls.call();
        welcome(&roster, late, calls.port(), later);
        roster.admit("10.0.0.1", key(3), later).unwrap();
        roster.admit("127.0.0.1", key(2), later).unwrap();
        assert_eq!(roster.close_all_of(&key(3)), 0);
        assert_eq!(roster.close_all_of(&key(2)), 1);
        assert!(!calls.is_closed(0) && calls.is_closed(1));
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert!(calls.is_closed(0));
    }

    #[test]
    fn a_key_has_so_many_connections() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        for _ in 0..2 {
            let fd = calls.call();
            welcome(&roster, fd, calls.port(), now);
            roster.admit("127.0.0.1", key(1), now).unwrap();
            roster.past_handshake(fd);
        }
        welcome(&roster, calls.call(), calls.port(), now);
        let limit = roster.admit("127.0.0.1", key(1), now).unwrap_err();
        assert_eq!(limit, Limit::OfOneKey(2, key(1)));
        roster.admit("127.0.0.1", key(2), now).unwrap();
    }

    #[test]
    fn a_keys_connections_are_those_it_was_let_in_with() {
        let roster = Roster::new(Limits { connections: 100, ..LIMITS });
        let (mut calls, now) = (Calls::new(), Instant::now());
        for _ in 0..5 {
            welcome(&roster, calls.call(), calls.port(), now);
        }
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.admit("127.0.0.2", key(1), now).unwrap_err();
        // the others' handshakes were over by now, and the silent two are here
        for (_, near) in &calls.ends[2..] {
            roster.ended(near.as_raw_fd(), now);
        }
        let later = now + Duration::from_secs(60);
        roster.admit("127.0.0.2", key(1), later).unwrap_err();
        roster.admit("127.0.0.2", key(2), later).unwrap();
    }

    #[test]
    fn a_descriptor_that_is_another_connection_by_now_is_left_alone() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let fd = calls.call();
        welcome(&roster, fd, calls.port(), now);
        roster.admit("127.0.0.1", key(1), now).unwrap();
        roster.proven(fd, key(1));
        drop(calls.ends.pop());
        let again = calls.call();
        if again == fd {
            roster.close_all_of(&key(1));
            assert!(!calls.is_closed(0));
        }
    }

    #[test]
    fn a_key_that_was_let_in_before_the_monitor_told_of_its_connection_is_cut_too() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let fd = calls.call();
        roster.admit("127.0.0.1", key(1), now).unwrap();
        welcome(&roster, fd, calls.port(), now + Duration::from_secs(1));
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert!(calls.is_closed(0));
    }

    /// What is remembered of them does not grow with the square of their number, and each is cut that may be
    /// the one.
    #[test]
    fn a_fleet_that_comes_at_once_behind_one_address_is_remembered_in_bounds() {
        let roster = Roster::new(Limits { connections: 100, ..LIMITS });
        let (mut calls, now) = (Calls::new(), Instant::now());
        let fds: Vec<_> = (0..3).map(|_| calls.call()).collect();
        for fd in &fds {
            welcome(&roster, *fd, calls.port(), now);
        }
        for number in 0..=CANDIDATES {
            roster.admit("127.0.0.1", key(number as u8), now).unwrap();
        }
        assert!(roster.connections().values().all(|it| matches!(it.keys, Candidates::Anybody)));
        roster.proven(fds[0], key(7));
        assert_eq!(roster.close_all_of(&key(8)), 2);
        assert!(!calls.is_closed(0) && calls.is_closed(1) && calls.is_closed(2));
    }

    /// The monitor heard of it so late that the key was let in too long ago to be its.
    #[test]
    fn a_connection_that_nothing_is_known_of_is_cut_with_any_key() {
        let (roster, mut calls) = (Roster::new(LIMITS), Calls::new());
        let now = Instant::now();
        let Some(then) = now.checked_sub(Duration::from_secs(60)) else { return };
        welcome(&roster, calls.call(), calls.port(), then);
        welcome(&roster, calls.call(), calls.port(), now);
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert!(calls.is_closed(0) && !calls.is_closed(1), "the second may yet shake hands");
    }

    #[test]
    fn a_peer_that_this_side_has_called_is_cut_too() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        calls.call();
        let fd = calls.ends[0].0.as_raw_fd();
        assert_eq!(roster.connected(fd, (raw::peer_of(fd), None), now), None);
        roster.admit("127.0.0.1", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert!(calls.is_closed(0));
        assert_eq!(roster.ended(fd, now).unwrap().peer, None);
        // and one whose key was taken off before it was known
        roster.admit("127.0.0.1", key(2), now).unwrap();
        assert_eq!(roster.close_all_of(&key(2)), 0);
        calls.call();
        let fd = calls.ends[1].0.as_raw_fd();
        assert_eq!(roster.connected(fd, (raw::peer_of(fd), None), now), Some(key(2)));
    }

    #[test]
    fn a_local_peer_that_this_side_has_called_is_cut_too() {
        let (roster, now) = (Roster::new(LIMITS), Instant::now());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs").display().to_string();
        let listener = UnixListener::bind(&path).unwrap();
        let near = UnixStream::connect(&path).unwrap();
        let (mut far, fd) = (listener.accept().unwrap().0, near.as_raw_fd());
        far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(raw::local_at(fd, "another"), None);
        roster.connected(fd, (raw::peer_of(fd), raw::local_at(fd, &path)), now);
        roster.admit("localhost:0:0:1", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 1);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }

    /// Whom the system does not name cannot be closed, and is not said to be.
    #[test]
    fn what_cannot_be_closed_is_not_counted() {
        let (roster, now) = (Roster::new(LIMITS), Instant::now());
        roster.connected(-1, (None, None), now);
        roster.admit("somewhere", key(1), now).unwrap();
        assert_eq!(roster.close_all_of(&key(1)), 0);
    }

    /// A message of the first has waited until the second had the descriptor.
    #[test]
    fn a_message_does_not_make_anothers_connection_its_senders() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let fd = calls.call();
        welcome(&roster, fd, calls.port(), now);
        roster.admit("127.0.0.1", key(2), now).unwrap();
        roster.proven(fd, key(1));
        assert_eq!(roster.close_all_of(&key(1)), 0);
        assert_eq!(roster.close_all_of(&key(2)), 1);
        assert!(calls.is_closed(0));
    }

    /// A peer that was gone at once: what has its descriptor by now is not ours to close, be it a port or a
    /// socket file that was called.
    #[test]
    fn a_local_socket_that_took_a_descriptor_is_left_alone() {
        let roster = Roster::new(Limits { connections: 0, ..LIMITS });
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let listeners = ["ours", "others"].map(|name| UnixListener::bind(path(name)).unwrap());
        let [(mut far, near), _] = listeners.map(|listener| {
            let address = listener.local_addr().unwrap();
            let far = UnixStream::connect(address.as_pathname().unwrap()).unwrap();
            far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            (far, listener.accept().unwrap().0)
        });
        let fd = near.as_raw_fd();
        for called in [Called::Port(1), Called::File(&path("others")), Called::Other] {
            too_many(&roster, fd, called);
            assert!(far.read(&mut [0]).is_err(), "it was closed: {called:?}");
            assert!(roster.ended(fd, Instant::now()).unwrap().closed_here);
        }
        too_many(&roster, fd, Called::File(&path("ours")));
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "a local peer too many is closed");
    }

    /// A local peer that has gone since, and another file that has its descriptor.
    #[test]
    fn what_took_the_descriptor_of_a_local_peer_later_is_left_alone() {
        let roster = Roster::new(LIMITS);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in").display().to_string();
        let listener = UnixListener::bind(&path).unwrap();
        let call = || {
            let far = UnixStream::connect(&path).unwrap();
            far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            (far, listener.accept().unwrap().0)
        };
        let (_far, near) = call();
        let fd = near.as_raw_fd();
        welcome(&roster, fd, Called::File(&path), Instant::now());
        let (mut far, other) = call();
        let mut near = OwnedFd::from(near);
        rustix::io::dup2(&other, &mut near).unwrap();
        roster.close(fd);
        assert!(far.read(&mut [0]).is_err(), "another's connection was closed");
    }

    /// The same, where it is a connection of another input of rsyslogd's.
    #[test]
    fn a_connection_of_others_that_took_a_descriptor_is_left_alone() {
        let roster = Roster::new(Limits { connections: 0, ..LIMITS });
        let (mut others, ours) = (Calls::new(), Calls::new());
        let fd = others.call();
        too_many(&roster, fd, ours.port());
        assert!(!others.is_closed(0), "another's connection was closed");
    }

    #[test]
    fn rsyslogd_keeps_files_for_itself() {
        for (most, expected) in [(65_536, 49_152), (1_024, 768), (600, 344), (256, 64), (0, 0)] {
            assert_eq!(room(most), expected, "{most}");
        }
    }
}
