//! Who is held off, by given times; and what real sockets notice of it.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

fn source(address: &str) -> Source {
    Source::of(address.parse().unwrap())
}

fn watched(most: usize) -> Watched {
    Watched { most, places: Vec::new() }
}

fn held(watched: &Watched) -> Vec<String> {
    watched.held().map(|it| it.to_string()).collect()
}

#[test]
fn who_fails_too_often_within_a_second_is_held_off_for_a_second() {
    let (mut it, start) = (watched(3), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    let (mallory, honest) = (source("192.0.2.7"), source("192.0.2.8"));
    for (ms, who, expected) in [
        (0, mallory, false),
        (100, mallory, false),
        (200, honest, false),
        (200, mallory, false),
        (1_000, mallory, false),
        (1_100, mallory, false),
        (1_900, mallory, false),
        (1_999, mallory, true),
        // what was on its way
        (2_000, mallory, false),
        (2_000, honest, false),
    ] {
        assert_eq!(it.failed(who, at(ms)), expected, "{who} after {ms} ms");
    }
    assert_eq!(held(&it), ["192.0.2.7"]);
    assert!(!it.lift(at(2_998)));
    assert!(it.lift(at(2_999)) && held(&it).is_empty());
    assert!(!it.lift(at(9_000)));
    for _ in 0..3 {
        assert!(!it.failed(mallory, at(2_999)));
    }
    assert!(it.failed(mallory, at(2_999)));
}

#[test]
fn addresses_of_one_network_of_ipv6_are_one_source() {
    let mut it = watched(1);
    let now = Instant::now();
    assert!(!it.failed(source("2001:db8:0:1::7"), now));
    assert!(!it.failed(source("2001:db8:0:2::7"), now));
    assert!(it.failed(source("2001:db8:0:1:ffff::8"), now));
    assert!(!it.failed(source("::ffff:192.0.2.7"), now));
    assert!(it.failed(source("192.0.2.7"), now));
    assert_eq!(held(&it), ["2001:db8:0:1::/64", "192.0.2.7"]);
}

#[test]
fn places_are_few_and_the_least_active_gives_way() {
    let (mut it, now) = (watched(10), Instant::now());
    let of = |number: u32| Source(IpAddr::V4(number.into()));
    let fail = |it: &mut Watched, number, times| {
        (0..times).map(|_| it.failed(of(number), now)).filter(|held| *held).count()
    };
    // one that fails often keeps its place among any number of others
    assert_eq!(fail(&mut it, 1, 10), 0);
    for number in 2..10_000 {
        assert_eq!(fail(&mut it, number, 1), 0);
    }
    assert_eq!(it.places.len(), PLACES);
    assert_eq!(fail(&mut it, 1, 1), 1);
    // those that are held off keep theirs
    for number in 2..=PLACES as u32 {
        assert_eq!(fail(&mut it, number, 20), 1);
    }
    assert_eq!(fail(&mut it, 50_000, 1_000), 0);
    assert_eq!((it.places.len(), it.held().count()), (PLACES, PLACES));
    assert!(it.lift(now + HOLD));
    assert!(it.places.is_empty());
}

/// Jumps go as far as one byte says.
#[test]
fn the_longest_programs_fit() {
    assert!(program(std::iter::empty()).is_empty());
    let v4 = (0..PLACES as u32).map(|it| Source(IpAddr::V4(it.into())));
    assert_eq!(program(v4).len(), 7 + 2 * PLACES + 2);
    let v6 = (0..PLACES as u128).map(|it| Source(IpAddr::V6((it << 64).into())));
    assert_eq!(program(v6).len(), 7 + 5 * PLACES + 2);
}

/// A connection from this address; none within a short time: its call was overlooked.
fn calls_at_once(to: SocketAddr) -> Option<TcpStream> {
    // on this host a call that is not overlooked is answered before it returns
    TcpStream::connect_timeout(&to, Duration::from_millis(100)).ok()
}

/// A connection, however long it takes.
fn call_from(from: &str, to: SocketAddr) -> TcpStream {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    connect(&socket, &to).unwrap();
    TcpStream::from(socket)
}

fn talk(one: &mut TcpStream, other: &mut TcpStream) {
    one.write_all(b"a line").unwrap();
    other.read_exact(&mut [0; 6]).unwrap();
    other.write_all(b"its answer").unwrap();
    one.read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn the_system_overlooks_calls_of_those_who_are_held_off_and_nothing_else() {
    for (local, at, own, other) in [
        ("127.0.0.1:0", "127.0.0.1", "127.0.0.1", Some("127.0.0.2")),
        // a socket of IPv6 that IPv4 addresses call
        ("[::]:0", "127.0.0.1", "127.0.0.1", Some("127.0.0.2")),
        ("[::1]:0", "::1", "::1", None),
    ] {
        let Ok(listener) = TcpListener::bind(local) else { continue };
        let port = listener.local_addr().unwrap().port();
        let to = SocketAddr::new(at.parse().unwrap(), port);
        let mut door = Door::new(1);
        door.opened(listener.as_raw_fd(), port).unwrap();
        let (mut far, mut near) = (TcpStream::connect(to).unwrap(), listener.accept().unwrap().0);
        let (address, now) = (own.parse().unwrap(), Instant::now());
        assert_eq!(door.failed(address, now).unwrap(), None);
        assert_eq!(door.failed(address, now).unwrap(), Some(Source::of(address)));
        assert!(calls_at_once(to).is_none(), "{local} was called from {own}");
        // what is connected stays so, also if it was about to be accepted and has the filter too
        talk(&mut far, &mut near);
        raw::filter(&near, &program(door.watched.held())).unwrap();
        talk(&mut far, &mut near);
        let waiting = thread::spawn(move || TcpStream::connect(to).unwrap());
        let mut neighbour = other.map(|other| {
            let far = call_from(other, to);
            (far, listener.accept().unwrap().0)
        });
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
        listener.set_nonblocking(false).unwrap();
        door.lift(now + HOLD).unwrap();
        assert!(!door.is_held());
        // its system has called again
        let (mut near, mut far) = (listener.accept().unwrap().0, waiting.join().unwrap());
        talk(&mut far, &mut near);
        assert!(calls_at_once(to).is_some());
        if let Some((far, near)) = &mut neighbour {
            talk(far, near);
        }
    }
}

#[test]
fn one_that_listens_while_an_address_is_held_off_overlooks_it_too() {
    let mut door = Door::new(0);
    let address = "127.0.0.1".parse().unwrap();
    door.failed(address, Instant::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    door.opened(listener.as_raw_fd(), to.port()).unwrap();
    assert!(calls_at_once(to).is_none());
    // and is told of no more once it is closed
    door.closed(listener.as_raw_fd());
    door.lift(Instant::now() + HOLD).unwrap();
    assert!(calls_at_once(to).is_none());
}

/// As libzmq's does whose port is bound anew, or one where no descriptor was left to tell the system of.
#[test]
fn a_listener_that_has_no_filter_may_be_told_to_have_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    raw::filter(&listener, &[]).unwrap();
}

/// libzmq has closed the one, and the system given its number to another.
#[test]
fn another_socket_with_the_number_of_a_closed_one_is_left_alone() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let (fd, port) = (closed.as_raw_fd(), closed.local_addr().unwrap().port());
    assert!(raw::listener(fd, port).unwrap().is_some());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    assert!(raw::listener(listener.as_raw_fd(), port).unwrap().is_none());
    // of one port, but not the one that listens
    let (far, near) = (TcpStream::connect(to).unwrap(), listener.accept().unwrap().0);
    assert!(raw::listener(near.as_raw_fd(), to.port()).unwrap().is_none());
    assert!(raw::listener(far.as_raw_fd(), to.port()).unwrap().is_none());
    assert!(raw::listener(-1, port).unwrap().is_none());
    let mut door = Door::new(0);
    door.opened(listener.as_raw_fd(), port).unwrap();
    let held = door.failed("127.0.0.1".parse().unwrap(), Instant::now());
    assert!(held.unwrap().is_some());
    assert!(calls_at_once(to).is_some());
}

#[test]
fn without_a_filter_nobody_is_held_off() {
    let [first, locked] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [to, _] = [&first, &locked].map(|it| it.local_addr().unwrap());
    raw::lock_filter(&locked);
    let mut door = Door::new(0);
    for listener in [&first, &locked] {
        door.opened(listener.as_raw_fd(), listener.local_addr().unwrap().port()).unwrap();
    }
    assert!(door.failed("127.0.0.1".parse().unwrap(), Instant::now()).is_err());
    assert!(!door.is_held() && calls_at_once(to).is_some());
}
