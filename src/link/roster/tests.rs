//! Whose a connection is taken for, and which are closed: on real sockets, whose far ends see it.

use super::connection::CANDIDATES;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

const LIMITS: Limits = Limits { connections: 3, of_one_key: 2, handshake: Duration::from_secs(3) };

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

fn accepted(
    roster: &Roster,
    fd: RawFd,
    called: Called<'_>,
    is_server: bool,
    now: Instant,
) -> Arrival {
    roster.accepted(fd, called.peer_of(fd), is_server, now)
}

fn welcome(roster: &Roster, fd: RawFd, called: Called<'_>, now: Instant) {
    let arrival = accepted(roster, fd, called, true, now);
    assert!(matches!(arrival, Arrival::Welcome), "{arrival:?}");
}

fn too_many(roster: &Roster, fd: RawFd, called: Called<'_>) {
    let arrival = accepted(roster, fd, called, true, Instant::now());
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
    let arrival = accepted(&roster, fourth, calls.port(), false, now);
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
    let arrival = accepted(&roster, calls.call(), calls.port(), true, now);
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

/// Its descriptor is another connection's, of one that is past its handshake, before the monitor hears of its end.
#[test]
fn one_that_has_gone_is_not_taken_for_past_its_handshake_by_whoever_took_its_place() {
    let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
    let fd = calls.call();
    welcome(&roster, fd, calls.port(), now);
    let other = calls.call();
    let (far, near) = &mut calls.ends[1];
    near.write_all(&[0; 300]).unwrap();
    far.read_exact(&mut [0; 300]).unwrap();
    far.write_all(b"it acknowledges").unwrap();
    near.read_exact(&mut [0]).unwrap();
    assert!(is_past(other, raw::peer_of(other)));
    let mut gone = OwnedFd::from(calls.ends[0].1.try_clone().unwrap());
    rustix::io::dup2(&calls.ends[1].1, &mut gone).unwrap();
    assert!(!is_past(gone.as_raw_fd(), raw::peer_of(fd)), "another's handshake counted for it");
    assert!(!is_past(other, None));
}

/// The monitor hears of the connection only after its key was let in and taken off the list.
#[test]
fn a_key_taken_off_before_its_connection_is_known_keeps_none() {
    let (roster, mut calls, now) = (Roster::new(LIMITS), Calls::new(), Instant::now());
    roster.admit("127.0.0.1", key(1), now).unwrap();
    assert_eq!(roster.close_all_of(&key(1)), 0);
    let arrival = accepted(&roster, calls.call(), calls.port(), true, now);
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
    let arrival = accepted(&roster, calls.call(), calls.port(), true, now);
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
    let arrival = accepted(&roster, calls.call(), calls.port(), true, now);
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
