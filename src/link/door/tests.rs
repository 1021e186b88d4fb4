//! Who is held off, by given times; and what real sockets notice of it.

use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn held(door: &Door) -> Vec<String> {
    door.watched.held().map(|it| it.to_string()).collect()
}

/// One failure more of this address, from which nobody is connected: whether somebody is held off because of it.
fn fails(door: &mut Door, from: &str, now: Instant) -> bool {
    door.failed(address(from), || false, now).unwrap().is_some()
}

#[test]
fn who_fails_too_often_within_a_second_is_held_off_for_a_second() {
    let (mut door, start) = (Door::new(3), Instant::now());
    let at = |ms| start + Duration::from_millis(ms);
    let (mallory, honest) = ("192.0.2.7", "192.0.2.8");
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
        assert_eq!(fails(&mut door, who, at(ms)), expected, "{who} after {ms} ms");
    }
    assert_eq!(held(&door), ["192.0.2.7"]);
    door.lift(at(2_998)).unwrap();
    assert!(door.is_held());
    door.lift(at(2_999)).unwrap();
    assert!(!door.is_held());
    for _ in 0..3 {
        assert!(!fails(&mut door, mallory, at(2_999)));
    }
    assert!(fails(&mut door, "::ffff:192.0.2.7", at(2_999)));
}

#[test]
fn an_address_from_which_somebody_is_connected_is_borne_ten_times_as_much() {
    let (mut door, now) = (Door::new(3), Instant::now());
    let mallory = address("192.0.2.7");
    for _ in 0..30 {
        assert_eq!(door.failed(mallory, || true, now), Ok(None));
    }
    let expected = Held { source: Source::Address(mallory), most: 30 };
    assert_eq!(door.failed(mallory, || true, now), Ok(Some(expected)));
}

#[test]
fn a_network_of_ipv6_is_borne_ten_times_as_much_as_an_address_of_it() {
    let (mut door, now) = (Door::new(1), Instant::now());
    assert!(!fails(&mut door, "2001:db8:0:1::7", now) && !fails(&mut door, "2001:db8:0:1::8", now));
    assert!(fails(&mut door, "2001:db8:0:1::7", now));
    assert_eq!(held(&door), ["2001:db8:0:1::7"]);
    for host in 9..0x11 {
        assert!(!fails(&mut door, &format!("2001:db8:0:1::{host:x}"), now));
    }
    assert!(!fails(&mut door, "2001:db8:0:2::7", now));
    assert!(fails(&mut door, "2001:db8:0:1:ffff::7", now));
    assert_eq!(held(&door), ["2001:db8:0:1::7", "2001:db8:0:1::/64"]);
    // of the link, and of all IPv4
    for network in ["fe80::", "64:ff9b::"] {
        for host in 1..100 {
            assert!(!fails(&mut door, &format!("{network}{host:x}"), now));
        }
    }
}

#[test]
fn one_address_does_not_hold_off_its_network_nor_a_network_its_addresses_one_by_one() {
    let now = Instant::now();
    for (is_shared, hosts, expected) in [
        (false, 1, "2001:db8::7"),
        (true, 1, "2001:db8::7"),
        (false, 15, "2001:db8::/64"),
        (true, 15, "2001:db8::/64"),
    ] {
        let mut door = Door::new(100);
        let mut told = 0;
        for number in 0..3_000 {
            let host = address(&format!("2001:db8::{:x}", 7 + number % hosts));
            told += usize::from(door.failed(host, || is_shared, now).unwrap().is_some());
        }
        assert_eq!((told, held(&door)), (1, vec![expected.to_owned()]));
    }
}

#[test]
fn places_are_few_and_the_least_active_gives_way() {
    let (mut door, now) = (Door::new(10), Instant::now());
    let fail = |door: &mut Door, number: u32, times| {
        let address = IpAddr::V4(number.into());
        let failed = (0..times).map(|_| door.failed(address, || false, now).unwrap());
        failed.flatten().count()
    };
    // one that fails often keeps its place among any number of others
    assert_eq!(fail(&mut door, 1, 10), 0);
    for number in 2..10_000 {
        assert_eq!(fail(&mut door, number, 1), 0);
    }
    assert_eq!(door.watched.places.len(), PLACES);
    assert_eq!(fail(&mut door, 1, 1), 1);
    // those that are held off keep theirs
    for number in 2..=PLACES as u32 {
        assert_eq!(fail(&mut door, number, 20), 1);
    }
    assert_eq!(fail(&mut door, 50_000, 1_000), 0);
    assert_eq!((door.watched.places.len(), held(&door).len()), (PLACES, PLACES));
    door.lift(now + HOLD).unwrap();
    assert!(door.watched.places.is_empty());
}

/// Jumps go as far as one byte says.
#[test]
fn the_longest_programs_fit() {
    assert!(program(std::iter::empty()).is_empty());
    let v4 = (0..PLACES as u32).map(|it| Source::Address(IpAddr::V4(it.into())));
    assert_eq!(program(v4).len(), 7 + 2 * PLACES + 2);
    let v6 = (0..PLACES as u128).map(|it| Source::Address(IpAddr::V6(it.into())));
    assert_eq!(program(v6).len(), 7 + 9 * PLACES + 2);
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

/// Whether the system lets this process filter: some ask for CAP_NET_ADMIN (seen: Linux 6.18), which a build in a
/// container has not.
fn may_filter() -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut door = Door::new(0);
    door.opened(listener.as_raw_fd(), listener.local_addr().unwrap().port()).unwrap();
    let result = door.failed(address("127.0.0.1"), || false, Instant::now());
    let may = result != Err(Errno(libc::EPERM));
    if !may {
        eprintln!(
            "SKIPPED: this system lets nobody without CAP_NET_ADMIN filter what a socket receives"
        );
    }
    may
}

#[test]
fn the_system_overlooks_calls_of_those_who_are_held_off_and_nothing_else() {
    if !may_filter() {
        return;
    }
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
        let now = Instant::now();
        assert!(!fails(&mut door, own, now) && fails(&mut door, own, now));
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
    if !may_filter() {
        return;
    }
    let mut door = Door::new(0);
    assert!(fails(&mut door, "127.0.0.1", Instant::now()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    door.opened(listener.as_raw_fd(), to.port()).unwrap();
    assert!(calls_at_once(to).is_none());
    // libzmq tells late of the one that had its number before
    door.closed(listener.as_raw_fd());
    door.lift(Instant::now() + HOLD).unwrap();
    assert!(calls_at_once(to).is_some());
    let fd = listener.as_raw_fd();
    drop(listener);
    door.closed(fd);
    assert!(door.listeners.is_empty());
}

#[test]
fn calls_of_a_network_are_overlooked_and_of_its_neighbours_not() {
    if !may_filter() {
        return;
    }
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let to = listener.local_addr().unwrap();
    let [others, own] = ["2001:db8::", "::"].map(|it| Source::Network(it.parse().unwrap()));
    let other = Source::Address(address("2001:db8::1"));
    raw::filter(&listener, &program([other, own].into_iter())).unwrap();
    assert!(calls_at_once(to).is_none());
    raw::filter(&listener, &program([other, others].into_iter())).unwrap();
    assert!(calls_at_once(to).is_some());
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
    assert!(fails(&mut door, "127.0.0.1", Instant::now()));
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
    let mut fail = || door.failed(address("127.0.0.1"), || false, Instant::now());
    assert!(fail().is_err());
    // told once
    assert_eq!(fail(), Ok(None));
    assert!(!fails(&mut door, "2001:db8::1", Instant::now()));
    assert!(!door.is_held() && calls_at_once(to).is_some());
}
