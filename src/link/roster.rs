//! The connections of one socket: whose each is, how many there may be, and how one is closed.
//!
//! libzmq tells of a connection in three places, and in none of them all of it: the monitor has the
//! descriptor and the peer's address, the authenticator the key and the address without the port, a
//! message the descriptor and the key. Here they come together. The authenticator's word makes a key
//! a candidate for each connection from that address whose handshake may be under way; the first
//! message proves it. So a connection that never sent anything may have more than one candidate
//! where several peers shook hands at once behind one address, and is closed with any of them: its
//! owner, if still allowed, comes back at once.
//!
//! A connection is closed with shutdown(2), upon which libzmq sees its end and closes the descriptor.
//!
//! Threads: monitor, authenticator, watcher and the socket's own. Locks: one, held for a step.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::certificate::PublicKey;
use crate::notice::Limit;
use crate::raw;

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
}

#[derive(Debug)]
struct Connection {
    /// None: not by TCP, or gone before it could be asked.
    peer: Option<SocketAddr>,
    /// On this host, and not by TCP.
    local: bool,
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
    /// As a message said.
    Proven(PublicKey),
}

/// What is known of a connection at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) age: Duration,
    /// Surely; without this it may have been too.
    pub(crate) past_handshake: bool,
    /// It was closed by this side, which has told why.
    pub(crate) closed_here: bool,
}

impl Candidates {
    fn contain(&self, key: &PublicKey) -> bool {
        match self {
            Candidates::Any(keys) => keys.contains(key),
            Candidates::Proven(own) => own == key,
        }
    }

    fn are_only(&self, key: &PublicKey) -> bool {
        match self {
            Candidates::Any(keys) => keys.as_slice() == [*key],
            Candidates::Proven(own) => own == key,
        }
    }
}

impl Connection {
    fn new(peer: Option<SocketAddr>, accepted: bool, since: Instant) -> Connection {
        let keys = Candidates::Any(Vec::new());
        let (local, past_handshake, closed_here) = (false, false, false);
        Connection { peer, local, accepted, since, keys, past_handshake, closed_here }
    }

    fn is_from(&self, address: Option<IpAddr>) -> bool {
        self.accepted && self.peer.map(|peer| peer.ip()) == address
    }

    /// One that was gone before it could be asked for its peer is left alone: its descriptor may be
    /// another file of rsyslogd's by now.
    fn close(&mut self, fd: RawFd) {
        self.closed_here = true;
        if self.peer.is_some() || self.local {
            raw::shut_down(fd, self.peer);
        }
    }
}

impl Roster {
    pub(crate) fn new(limits: Limits) -> Roster {
        Roster { limits, connections: Mutex::default() }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<RawFd, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer has called. It is shown the door if there are enough.
    pub(crate) fn accepted(&self, fd: RawFd, local: bool, now: Instant) -> Result<(), Refused> {
        let peer = raw::peer_of(fd);
        let mut connections = self.connections();
        let limit = if connections.len() >= self.limits.connections {
            Some(Limit::Connections(self.limits.connections))
        } else {
            nearly_out_of_files(fd).then(|| Limit::OpenFiles(connections.len()))
        };
        let mut connection = Connection { local, ..Connection::new(peer, true, now) };
        if limit.is_some() {
            connection.close(fd);
        }
        connections.insert(fd, connection);
        limit.map_or(Ok(()), |limit| Err(Refused { peer, limit }))
    }

    /// This side has called.
    pub(crate) fn connected(&self, fd: RawFd, now: Instant) {
        self.connections().insert(fd, Connection::new(None, false, now));
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, fd: RawFd, now: Instant) -> Option<Ended> {
        let Connection { peer, since, past_handshake, closed_here, .. } =
            self.connections().remove(&fd)?;
        let age = now.saturating_duration_since(since);
        Some(Ended { peer, age, past_handshake, closed_here })
    }

    /// How many connections there are, handshakes included.
    pub(crate) fn len(&self) -> usize {
        self.connections().len()
    }

    /// The authenticator is about to let a key in. `address` is libzmq's: an IP address, or what
    /// it knows of a local peer.
    pub(crate) fn admit(&self, address: &str, key: PublicKey, now: Instant) -> Result<(), Limit> {
        let address = address.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        // libzmq ends a handshake at its deadline; a little more, for it is not this clock's
        let longest = self.limits.handshake + Duration::from_secs(1);
        let mut connections = self.connections();
        let open = connections.values().filter(|connection| connection.keys.are_only(&key)).count();
        if open >= self.limits.of_one_key {
            return Err(Limit::OfOneKey(self.limits.of_one_key, key));
        }
        for connection in connections.values_mut() {
            let may_be = connection.is_from(address)
                && now.saturating_duration_since(connection.since) <= longest;
            match &mut connection.keys {
                Candidates::Any(keys) if may_be && !keys.contains(&key) => keys.push(key),
                _ => {}
            }
        }
        Ok(())
    }

    /// A message came on this connection from the owner of this key.
    pub(crate) fn proven(&self, fd: RawFd, key: PublicKey) {
        if let Some(connection) = self.connections().get_mut(&fd) {
            connection.keys = Candidates::Proven(key);
            connection.past_handshake = true;
        }
    }

    /// This connection is past its handshake.
    pub(crate) fn past_handshake(&self, fd: RawFd) {
        if let Some(connection) = self.connections().get_mut(&fd) {
            connection.past_handshake = true;
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

    /// Closes every connection that is, or may be, of this key; answers how many.
    pub(crate) fn close_all_of(&self, key: &PublicKey) -> usize {
        let mut connections = self.connections();
        let of_key = connections
            .iter_mut()
            .filter(|(_, connection)| connection.keys.contain(key) && !connection.closed_here);
        of_key.map(|(fd, connection)| connection.close(*fd)).count()
    }
}

/// A connection that was closed at once.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) limit: Limit,
}

/// The system gives the lowest number that is free: one that is this high says that few are left of
/// those that the process may have, and rsyslogd needs some for its files.
fn nearly_out_of_files(fd: RawFd) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.is_some_and(|most| u64::try_from(fd).is_ok_and(|fd| fd >= most / 4 * 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

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

        fn is_closed(&mut self, index: usize) -> bool {
            let far = &mut self.ends[index].0;
            far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            matches!(far.read(&mut [0]), Ok(0))
        }
    }

    #[test]
    fn one_too_many_is_closed_and_told_apart() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        for _ in 0..3 {
            assert!(roster.accepted(calls.call(), false, now).is_ok());
        }
        let fourth = calls.call();
        let refused = roster.accepted(fourth, false, now).unwrap_err();
        assert_eq!(refused.limit, Limit::Connections(3));
        assert!(calls.is_closed(3) && !calls.is_closed(0));
        assert!(roster.ended(fourth, now).unwrap().closed_here);
        assert_eq!(roster.len(), 3);
    }

    #[test]
    fn only_connections_of_the_key_are_closed_once_messages_have_proven_whose_they_are() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let (first, second) = (calls.call(), calls.call());
        roster.accepted(first, false, now).unwrap();
        roster.accepted(second, false, now).unwrap();
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
        roster.accepted(early, false, now).unwrap();
        roster.admit("::ffff:127.0.0.1", key(1), now).unwrap();
        let later = now + Duration::from_secs(60);
        let late = calls.call();
        roster.accepted(late, false, later).unwrap();
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
        for second in 0..2 {
            let now = now + Duration::from_secs(60 * second);
            let fd = calls.call();
            roster.accepted(fd, false, now).unwrap();
            roster.admit("127.0.0.1", key(1), now).unwrap();
        }
        let limit = roster.admit("127.0.0.1", key(1), now).unwrap_err();
        assert_eq!(limit, Limit::OfOneKey(2, key(1)));
        roster.admit("127.0.0.1", key(2), now).unwrap();
    }

    #[test]
    fn a_descriptor_that_is_another_connection_by_now_is_left_alone() {
        let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
        let fd = calls.call();
        roster.accepted(fd, false, now).unwrap();
        roster.proven(fd, key(1));
        drop(calls.ends.pop());
        let again = calls.call();
        if again == fd {
            roster.close_all_of(&key(1));
            assert!(!calls.is_closed(0));
        }
    }

    /// A peer that was gone at once: what has its descriptor by now is not ours to close.
    #[test]
    fn a_local_socket_that_took_a_descriptor_is_left_alone() {
        let roster = Roster::new(Limits { connections: 0, ..LIMITS });
        let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
        far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let fd = near.as_raw_fd();
        roster.accepted(fd, false, Instant::now()).unwrap_err();
        assert!(far.read(&mut [0]).is_err(), "it was closed");
        assert!(roster.ended(fd, Instant::now()).unwrap().closed_here);
        roster.accepted(fd, true, Instant::now()).unwrap_err();
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "a local peer too many is closed");
    }
}
