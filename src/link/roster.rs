//! The connections of one socket: whose each is, how many there may be, and how one is closed.
//!
//! libzmq tells of a connection in three places, and in none of them all of it: the monitor has the
//! descriptor and the peer's address, the authenticator the key and the address without the port, a
//! message the descriptor and the key. Here they come together. The authenticator's word makes a key
//! a candidate for each connection with that address whose handshake may be under way, those that the
//! monitor tells of later included; the first message after the monitor's word proves it. So a
//! connection that has sent nothing since may have more than one candidate where several peers shook
//! hands at once behind one address, and is closed with any of them: its owner, if still allowed, comes
//! back at once.
//!
//! A connection is closed with shutdown(2), upon which libzmq sees its end and closes the descriptor.
//!
//! When there are as many as there may be, one over TCP that has been at its handshake for longest makes
//! room for the next: whoever opens such and says nothing keeps nobody else out.
//!
//! Threads: monitor, authenticator, watcher and the socket's own. Locks: the connections, held for a
//! step; within it the keys let in lately.

mod connection;
mod files;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::connection::{Candidates, Connection};
use self::files::nearly_out_of_files;
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

    /// Who has called here: an address, or what the system knows a local peer by. If the descriptor is another's
    /// by now that called elsewhere, the peer is not known.
    pub(crate) fn peer_of(&self, fd: RawFd) -> (Option<SocketAddr>, Option<u64>) {
        match self {
            Called::Port(port) if raw::port_of(fd) == Some(*port) => (raw::peer_of(fd), None),
            _ => (None, self.local_at(fd)),
        }
    }

    /// Of a local peer, what the system knows it by.
    pub(crate) fn local_at(&self, fd: RawFd) -> Option<u64> {
        match self {
            Called::File(path) => raw::local_at(fd, path),
            Called::Port(_) | Called::Other => None,
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
            if is_past(*fd, oldest.peer) {
                // it has said nothing since, so that the kernel alone knows
                oldest.past_handshake = true;
                continue;
            }
            oldest.close(*fd);
            return Some((*fd, oldest.peer));
        }
    }

    /// A peer has called, that was gone at once if none is known.
    /// `is_server`: connections shake hands by CURVE, so that it can be seen which have yet to.
    pub(crate) fn accepted(
        &self,
        fd: RawFd,
        (peer, local): (Option<SocketAddr>, Option<u64>),
        is_server: bool,
        now: Instant,
    ) -> Arrival {
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
            connection.past_handshake = is_server && is_past(fd, peer);
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
    /// descriptor be another's by now: a connection that cannot be of this key stays as it is. Answers
    /// whether there is a connection: the monitor may have yet to tell of it.
    pub(crate) fn proven(&self, fd: RawFd, key: PublicKey) -> bool {
        let mut connections = self.connections();
        let Some(connection) = connections.get_mut(&fd) else { return false };
        if connection.keys.contain(&key) {
            connection.keys = Candidates::Proven(key);
            connection.past_handshake = true;
        }
        true
    }

    /// Whether a descriptor is still that TCP connection's.
    pub(crate) fn is_still(&self, fd: RawFd) -> bool {
        let connections = self.connections();
        let peer = connections.get(&fd).and_then(|connection| connection.peer);
        peer.is_some() && peer == raw::peer_of(fd)
    }

    /// Whether somebody who was let in is connected from this address.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        let is_there = |it: &Connection| it.peer.is_some_and(|peer| peer.ip() == address);
        let connections = self.connections();
        let mut let_in =
            connections.values().filter(|it| !it.closed_here && !it.keys.are_unknown());
        let_in.any(is_there)
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

/// Whether a connection is past its handshake. Its descriptor may be another's before the monitor has told of its
/// end: that says nothing of it.
fn is_past(fd: RawFd, peer: Option<SocketAddr>) -> bool {
    Threshold::step(fd) == Step::Past && peer.is_some() && raw::peer_of(fd) == peer
}

#[cfg(test)]
mod tests;
