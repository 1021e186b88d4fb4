//! Stories of one socket: the events that libzmq tells, and what is counted and told of them.

use super::*;
use crate::allow_list::AllowList;
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
        let connections = Connections::new(Followed {
            role,
            security: Arc::new(Security::Plaintext),
            roster,
            notices: log.clone(),
            peers: Arc::new(Peers::new(ivl)),
            written: Written::default(),
            handshake_ivl: ivl,
            most_failures: 100,
        });
        Story { connections, log, now: Instant::now() }
    }

    fn event(&mut self, event: u32, value: u32) -> u64 {
        self.connections.event(event, value, "tcp://here:1", self.now, &mut |_| false);
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
    story.connections.event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd, &endpoint, story.now, &mut |_| false);
    story.connections.event(
        zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED,
        0,
        &endpoint,
        story.now,
        &mut |_| false,
    );
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

/// libzmq has closed it, and its descriptor is an honest peer's, before the monitor's thread reads of it.
#[test]
fn nobody_is_named_for_the_failure_of_who_had_the_descriptor_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let honest = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    let fd = near.as_raw_fd() as u32;
    for is_over in [true, false] {
        let mut story = Story::new(Role::Server);
        let mut event = |event, value| {
            story.connections.event(event, value, &endpoint, story.now, &mut |_| is_over);
        };
        event(zmq_sys::ZMQ_EVENT_ACCEPTED, fd);
        let mismatch = zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
        event(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL, mismatch);
        event(zmq_sys::ZMQ_EVENT_DISCONNECTED, fd);
        let (told, peer) = (story.told(), honest.local_addr().unwrap());
        assert!(told[0].contains("one side speaks CURVE and the other plaintext"), "{told:?}");
        assert_eq!(told[0].contains(&format!(" from {peer}: ")), !is_over, "{told:?}");
        assert_eq!(told[0].contains(" from "), !is_over, "{told:?}");
    }
}

/// However many strangers fail at their handshake before.
#[test]
fn a_peer_that_is_lost_is_told_whatever_strangers_do() {
    let mut story = Story::new(Role::Server);
    story.event(zmq_sys::ZMQ_EVENT_ACCEPTED, A);
    story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
    story.connections.roster.past_handshake(A as RawFd);
    for number in 0..200 {
        let peer = Some(format!("127.0.0.{number}:1"));
        let cause = HandshakeFailure::HungUpOnServer;
        story.connections.failed("tcp://here:1", peer, cause, story.now);
    }
    story.told();
    story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, A);
    assert_eq!(story.told(), ["connection lost at tcp://here:1"]);
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
        story.connections.event(event, value, endpoint, story.now, &mut |_| false);
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
    story.connections.event(
        zmq_sys::ZMQ_EVENT_ACCEPTED,
        fd as u32,
        &endpoint,
        story.now,
        &mut |_| false,
    );
    assert_eq!(
        story.told(),
        [format!("cut 127.0.0.1 as it connected: its key {key} was no longer among those allowed")]
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
        story.connections.event(
            zmq_sys::ZMQ_EVENT_ACCEPTED,
            fd as u32,
            &endpoint,
            now,
            &mut |_| false,
        );
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
    for (wait, part) in
        [(3000, "the server refused our key"), (5, "the server's key is not the one in /its/file")]
    {
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

/// What happens to a connection before its end.
type Happens<'a> = &'a dyn Fn(&mut Story, RawFd);

/// Whatever it failed of, or where it made room before its time; who was let in, or is cut, has not failed.
#[test]
fn a_connection_that_came_to_nothing_counts_against_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = format!("tcp://{address}");
    let close = |story: &mut Story, fd| {
        story.connections.roster.close(fd);
    };
    let crowd_out = |story: &mut Story, fd| {
        story.connections.crowded_out(fd, None, true, Limit::Connections(1), story.now);
        story.connections.roster.close(fd);
    };
    let tell = |event, value| {
        move |story: &mut Story, _| {
            story.event(event, value);
        }
    };
    let no_detail = tell(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, 104);
    let refused = tell(zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 300);
    let succeeded = tell(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
    let cases: [(Happens<'_>, bool); 6] = [
        (&no_detail, true),
        (&refused, true),
        (&|_, _| {}, true),
        (&crowd_out, true),
        (&succeeded, false),
        (&close, false),
    ];
    for (index, (happens, counts)) in cases.into_iter().enumerate() {
        let mut story = Story::new(Role::Server);
        story.connections.door = Some(Door::new(0));
        let _far = TcpStream::connect(address).unwrap();
        let near = listener.accept().unwrap().0;
        let (fd, now) = (near.as_raw_fd(), story.now);
        let accepted = zmq_sys::ZMQ_EVENT_ACCEPTED;
        story.connections.event(accepted, fd as u32, &endpoint, now, &mut |_| false);
        happens(&mut story, fd);
        story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, fd as u32);
        let held_off = story.log.1.lock().unwrap().contains(&Change::HeldOff);
        assert_eq!(held_off, counts, "case {index}");
        let told = story.told();
        let sentence = "held off 127.0.0.1 at tcp://here:1 for a second: more than 0 of its handshakes failed \
                        within one, as many as maxfailuresperaddress bears";
        assert_eq!(told.iter().any(|it| it == sentence), counts, "{told:?}");
    }
}

/// It may be that of many hosts.
#[test]
fn an_address_from_which_somebody_was_let_in_is_borne_ten_times_as_much() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = format!("tcp://{address}");
    let mut story = Story::new(Role::Server);
    story.connections.door = Some(Door::new(1));
    let comes = |story: &mut Story| {
        let far = TcpStream::connect(address).unwrap();
        let near = listener.accept().unwrap().0;
        let (fd, now) = (near.as_raw_fd(), story.now);
        let accepted = zmq_sys::ZMQ_EVENT_ACCEPTED;
        story.connections.event(accepted, fd as u32, &endpoint, now, &mut |_| false);
        (far, near)
    };
    let honest = comes(&mut story);
    let key = PublicKey::from_bytes([7; 32]);
    story.connections.roster.admit("127.0.0.1", key, story.now).unwrap();
    story.event(zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
    story.connections.roster.proven(honest.1.as_raw_fd(), key);
    let fails = |story: &mut Story, times: usize| {
        for _ in 0..times {
            let (_far, near) = comes(story);
            story.event(zmq_sys::ZMQ_EVENT_DISCONNECTED, near.as_raw_fd() as u32);
        }
        story.log.1.lock().unwrap().contains(&Change::HeldOff)
    };
    assert!(!fails(&mut story, 10));
    assert!(fails(&mut story, 1));
}

/// And a socket without CURVE, or without the limit, has none to hold off.
#[test]
fn the_door_is_a_servers_with_the_limit() {
    for (role, failures, expected) in
        [(Role::Server, 1, true), (Role::Server, 0, false), (Role::Plain, 1, false)]
    {
        let Story { connections, log, .. } = Story::new(Role::Plain);
        let made = Connections::new(Followed {
            role,
            security: connections.security,
            roster: connections.roster,
            notices: log,
            peers: connections.peers,
            written: Written::default(),
            handshake_ivl: Duration::from_secs(3),
            most_failures: failures,
        });
        assert_eq!(made.door.is_some(), expected);
    }
}
