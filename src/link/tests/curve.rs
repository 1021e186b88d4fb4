//! Stories of trust: CURVE servers and clients over loopback, with the `zmq` crate as the
//! stranger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rzmq_link::{Change, LinkError, Notice, Notices, Sent, SocketType};
use support::*;

const ANY: &str = "@tcp://127.0.0.1:*";
const MOMENT: Duration = Duration::from_millis(700);

#[test]
fn an_allowed_key_gets_in_and_is_named() {
    let keys = Keys::new(&["server", "web", "db"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web", "db"])));
    let web = keys.client("server", "web");
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &web));
    send(&push, &[b"hello"]);
    let message = receive(&pull);
    assert_eq!(message.body(), b"hello");
    assert!(message.authenticated());
    let key = message.key().unwrap();
    assert_eq!(key, rzmq_link::load_peer(&keys.path("web")).unwrap().public.to_string());
    assert_eq!(message.sender_name(), Some("web"));
    assert_eq!(message.peer_address(), Some("127.0.0.1"));
    assert_eq!((pull.keys_refused(), pull.handshakes_failed()), (0, 0));
}

#[test]
fn every_frame_of_a_router_and_a_publisher_is_authenticated() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let server = keys.server(&["web"]);
    let client = keys.client("server", "web");
    let router = open(&context, &spec(SocketType::Router, ANY, &server));
    let dealer = open(&context, &spec(SocketType::Dealer, &router.bound()[0], &client));
    send(&dealer, &[b"hello"]);
    let message = receive(&router);
    assert!(message.authenticated() && message.key().is_some());
    assert_eq!(message.body(), b"hello");
    let publisher = open(&context, &spec(SocketType::Pub, ANY, &server));
    let subscriber = open(&context, &spec(SocketType::Sub, &publisher.bound()[0], &client));
    until("subscribed", || {
        assert_eq!(publisher.send(&[b"topic", b"line"]).unwrap(), Sent::Taken);
        match receive_within(&subscriber, Duration::from_millis(20)) {
            // a client knows its server by its key: nothing to check here
            Some(message) => message.authenticated() && message.key().is_none(),
            None => false,
        }
    });
}

/// libzmq compares what travels, which is longer than the frame.
#[test]
fn a_frame_of_maxmsgsize_passes_and_one_byte_more_cuts_its_sender_off() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let mut pull = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    pull.options.maxmsgsize = 1000;
    let log = Log::new();
    let pull = context.open(&pull, log.clone()).unwrap();
    let web = keys.client("server", "web");
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &web));
    for length in 960..=1000 {
        send(&push, &[&vec![b'x'; length]]);
        assert_eq!(receive(&pull).body().len(), length);
    }
    send(&push, &[&[b'x'; 1001]]);
    log.wait_for("connection lost at tcp://127.0.0.1:");
}

#[test]
fn a_strangers_key_is_refused_told_and_counted() {
    let keys = Keys::new(&["server", "web", "stranger"]);
    let context = context();
    let (log, client_log) = (Log::new(), Log::new());
    let pull = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&pull, log.clone()).unwrap();
    let stranger = keys.client("server", "stranger");
    let push = spec(SocketType::Push, &pull.bound()[0], &stranger);
    let push = context.open(&push, client_log.clone()).unwrap();
    let key = rzmq_link::load_peer(&keys.path("stranger")).unwrap().public;
    let told = log.wait_for("refused 127.0.0.1: its key");
    assert!(told.contains(&key.to_string()), "{told}");
    assert_eq!(push.send(&[b"x"]).unwrap(), Sent::Full);
    let told = client_log.wait_for("handshake failed");
    assert!(told.contains("the server refused our key"), "{told}");
    // it tries again and again, and is told of once
    until("refused three times", || pull.keys_refused() >= 3);
    assert!(push.handshakes_failed() >= 1);
    assert_eq!((pull.connections(), push.connections(), pull.handshakes_failed()), (0, 0, 0));
    assert_eq!(log.sentences().len(), 1, "{:?}", log.sentences());
    assert!(receive_within(&pull, MOMENT).is_none());
    // a friend beside it is not disturbed
    let web = keys.client("server", "web");
    let web = open(&context, &spec(SocketType::Push, &pull.bound()[0], &web));
    send(&web, &[b"friend"]);
    assert_eq!(receive(&pull).body(), b"friend");
    assert_eq!(pull.connections(), 1);
}

#[test]
fn a_refused_client_gets_in_once_its_key_is_allowed() {
    let keys = Keys::new(&["server", "web", "late"]);
    let context = context();
    let log = Log::new();
    let pull = spec(SocketType::Pull, &lasting(), &keys.server(&["web"]));
    let pull = context.open(&pull, log.clone()).unwrap();
    let address = pull.bound()[0].clone();
    let late = keys.client("server", "late");
    let push = open(&context, &spec(SocketType::Push, &address, &late));
    log.wait_for("refused");
    drop(pull);
    let again = spec(SocketType::Pull, &format!("@{address}"), &keys.server(&["web", "late"]));
    let pull = open_again(&context, &again, &Log::new());
    send(&push, &[b"at last"]);
    assert_eq!(receive(&pull).body(), b"at last");
}

#[test]
fn any_key_gets_in_where_that_is_written() {
    let keys = Keys::new(&["server"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server_for_all()));
    let anonymous = keys.client("server", "*");
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &anonymous));
    send(&push, &[b"hello"]);
    let message = receive(&pull);
    assert!(message.authenticated() && message.key().is_some());
    assert_eq!(message.sender_name(), None);
}

#[test]
fn plaintext_and_curve_do_not_meet() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let server = keys.server_for_all();
    let web = keys.client("server", "web");
    for (ours, theirs) in [(&server, &plaintext()), (&plaintext(), &web)] {
        let (log, other_log) = (Log::new(), Log::new());
        let pull = context.open(&spec(SocketType::Pull, ANY, ours), log.clone()).unwrap();
        let push = spec(SocketType::Push, &pull.bound()[0], theirs);
        let push = context.open(&push, other_log.clone()).unwrap();
        log.wait_for("handshake failed at");
        other_log.wait_for("handshake failed at");
        assert_eq!(push.send(&[b"x"]).unwrap(), Sent::Full);
        assert!(receive_within(&pull, MOMENT).is_none());
        assert!(pull.handshakes_failed() >= 1 && push.handshakes_failed() >= 1);
        assert_eq!((pull.connections(), push.connections()), (0, 0));
        println!("bound: {:?}\nconnected: {:?}", log.sentences(), other_log.sentences());
    }
}

#[test]
fn a_wrong_server_key_is_told_on_both_sides() {
    let keys = Keys::new(&["server", "other", "web"]);
    let context = context();
    let (log, client_log) = (Log::new(), Log::new());
    let pull = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&pull, log.clone()).unwrap();
    let mistaken = keys.client("other", "web");
    let push = spec(SocketType::Push, &pull.bound()[0], &mistaken);
    let push = context.open(&push, client_log.clone()).unwrap();
    let told = client_log.wait_for("handshake failed at");
    assert!(told.contains("the server's key is not the one in"), "{told}");
    // the first connections may be gone before their address can be asked for
    let told = log.wait_for("from 127.0.0.1:");
    assert!(told.contains("another key of this server"), "{told}");
    assert_eq!(push.send(&[b"x"]).unwrap(), Sent::Full);
    assert_eq!(pull.keys_refused(), 0);
}

/// The greeting of a server with this mechanism.
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0".to_vec();
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes[32] = 1;
    bytes
}

/// Who listens there and does not answer has refused nothing: a receiver that stands still (the system takes
/// its connections all the same), one that falls silent behind its greeting, something else.
#[test]
fn a_server_that_does_not_answer_is_not_said_to_refuse_our_key() {
    let keys = Keys::new(&["server", "web"]);
    let (context, client) = (context(), keys.client("server", "web"));
    for (said, told) in [
        (Vec::new(), "it does not answer"),
        (greeting("CURVE")[..20].to_vec(), "it does not answer"),
        (greeting("CURVE"), "it does not answer"),
        // an impostor's: as many bytes as a WELCOME has, in a frame that does not end
        (
            [greeting("CURVE"), b"\x06\0\0\0\0\0\0\x10\0\x07WELCOME".to_vec(), vec![0; 300]]
                .concat(),
            "it does not answer",
        ),
        (greeting("NULL"), "one side speaks CURVE and the other plaintext"),
        (b"HTTP/1.1 400 Bad Request\r\n".repeat(20), "it does not speak ZeroMQ"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let log = Log::new();
        let push = context.open(&spec(SocketType::Push, &endpoint, &client), log.clone()).unwrap();
        let mut near = (!said.is_empty()).then(|| listener.accept().unwrap().0);
        if let Some(near) = &mut near {
            near.read_exact(&mut [0; 10]).unwrap();
            near.write_all(&said).unwrap();
        }
        let failed = log.wait_for("handshake failed");
        assert!(failed.contains(told), "{failed}");
        drop((push, near));
        let sentences = log.sentences();
        assert!(!sentences.concat().contains("refused our key"), "{sentences:?}");
    }
}

/// It has shown its key, has taken ours, and is gone: as one that is killed just then.
#[test]
fn a_server_that_breaks_off_in_the_middle_is_said_to_and_not_to_refuse_our_key() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let behind = pull.bound()[0].trim_start_matches("tcp://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    // all that both say before INITIATE goes through, and no READY comes back
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut client, mut server) = (stream.unwrap(), TcpStream::connect(&behind).unwrap());
            let mut carry = |from_client: usize, from_server: usize| {
                let mut bytes = vec![0; from_client];
                client.read_exact(&mut bytes).and_then(|()| server.write_all(&bytes))?;
                let mut bytes = vec![0; from_server];
                server.read_exact(&mut bytes).and_then(|()| client.write_all(&bytes))
            };
            // signatures, versions, the rest of the greetings, HELLO and WELCOME
            let greeted = carry(10, 10).and_then(|()| carry(1, 1)).and_then(|()| carry(53, 53));
            let said = greeted.and_then(|()| carry(202, 170));
            // INITIATE
            let _ = said.and_then(|()| client.read_exact(&mut [0]));
        }
    });
    let log = Log::new();
    let client = spec(SocketType::Push, &endpoint, &keys.client("server", "web"));
    let _push = context.open(&client, log.clone()).unwrap();
    log.wait_for("it hung up in the middle of the handshake");
    let sentences = log.sentences();
    assert!(!sentences.concat().contains("refused our key"), "{sentences:?}");
}

/// Whom a server calls has shown no key either.
#[test]
fn a_stranger_that_a_server_calls_says_no_more_than_a_handshake() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!(">tcp://{}", listener.local_addr().unwrap());
    let pull = spec(SocketType::Pull, &endpoint, &keys.server(&["web"]));
    let _pull = context.open(&pull, log.clone()).unwrap();
    let mut stranger = listener.accept().unwrap().0;
    stranger.write_all(&greeting("CURVE")).unwrap();
    // a frame of 8 MiB that is never whole
    stranger.write_all(b"\x06\0\0\0\0\0\x80\0\0\x05HELLO").unwrap();
    // at once, so that libzmq may have read it before we look
    let _ = stranger.write_all(&[0; 1 << 16]);
    let failed = log.wait_for("handshake failed");
    assert!(failed.contains("it said more than a handshake has in it"), "{failed}");
}

#[test]
fn noise_at_the_port_is_told_and_harmless() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let log = Log::new();
    let pull = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&pull, log.clone()).unwrap();
    let address = pull.bound()[0].strip_prefix("tcp://").unwrap().to_owned();
    for noise in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"", &[0xFF; 100], &[0; 5000]] {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let _ = stream.write_all(noise);
    }
    log.wait_for("handshake failed at");
    let push = spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web"));
    let push = open(&context, &push);
    send(&push, &[b"still here"]);
    assert_eq!(receive(&pull).body(), b"still here");
    until("only the friend is connected", || pull.connections() == 1);
}

#[test]
fn another_binding_of_libzmq_is_a_peer() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let own = |key: &str| {
        let text = std::fs::read_to_string(keys.path("web_secret")).unwrap();
        let line = text.lines().find(|line| line.contains(key)).unwrap();
        // libzmq takes keys in Z85 as well
        line.split('"').nth(1).unwrap().as_bytes().to_owned()
    };
    let server = rzmq_link::load_peer(&keys.path("server")).unwrap().public;
    let foreign = zmq::Context::new();
    let peer = foreign.socket(zmq::PUSH).unwrap();
    peer.set_curve_serverkey(server.as_bytes()).unwrap();
    peer.set_curve_publickey(&own("public-key")).unwrap();
    peer.set_curve_secretkey(&own("secret-key")).unwrap();
    peer.connect(&pull.bound()[0]).unwrap();
    peer.send("from afar", 0).unwrap();
    assert_eq!(receive(&pull).body(), b"from afar");
}

#[test]
fn two_instances_have_lists_of_their_own() {
    let keys = Keys::new(&["server", "web", "db"]);
    let context = context();
    let for_web = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let for_db = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["db"])));
    let web = keys.client("server", "web");
    let wrong = open(&context, &spec(SocketType::Push, &for_db.bound()[0], &web));
    let right = open(&context, &spec(SocketType::Push, &for_web.bound()[0], &web));
    send(&right, &[b"x"]);
    receive(&for_web);
    until("refused there", || for_db.keys_refused() > 0);
    assert_eq!(for_web.keys_refused(), 0);
    assert_eq!(wrong.send(&[b"x"]).unwrap(), Sent::Full);
}

#[test]
fn two_contexts_in_one_process_have_an_authenticator_each() {
    let keys = Keys::new(&["server", "web", "db"]);
    let (one, two) = (context(), context());
    let server_one = open(&one, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let server_two = open(&two, &spec(SocketType::Pub, ANY, &keys.server(&["db"])));
    let web = keys.client("server", "web");
    let db = keys.client("server", "db");
    let push = open(&two, &spec(SocketType::Push, &server_one.bound()[0], &web));
    let sub = open(&one, &spec(SocketType::Sub, &server_two.bound()[0], &db));
    send(&push, &[b"x"]);
    receive(&server_one);
    until("subscribed", || {
        let _ = server_two.send(&[b"y"]).unwrap();
        receive_within(&sub, Duration::from_millis(20)).is_some()
    });
    let start = Instant::now();
    drop((server_one, sub, one));
    drop((server_two, push, two));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_context_ends_promptly_with_strangers_at_the_door() {
    let keys = Keys::new(&["server", "web", "stranger"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let stranger = keys.client("server", "stranger");
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &stranger));
    let absent = open(&context, &spec(SocketType::Dealer, "tcp://127.0.0.1:1", &stranger));
    until("refused", || pull.keys_refused() > 0);
    let start = Instant::now();
    drop((context, absent, push, pull));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_taker_of_notices_that_panics_disturbs_nobody() {
    struct Panics;
    impl Notices for Panics {
        fn notice(&self, notice: &Notice) {
            panic!("on purpose, at: {notice}");
        }

        fn count(&self, change: Change) {
            panic!("on purpose, at: {change:?}");
        }
    }
    let keys = Keys::new(&["server", "web", "stranger"]);
    let context = context();
    let pull = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&pull, Arc::new(Panics)).unwrap();
    let stranger = keys.client("server", "stranger");
    let stranger = spec(SocketType::Push, &pull.bound()[0], &stranger);
    let _stranger = context.open(&stranger, Arc::new(Panics)).unwrap();
    until("refused twice", || pull.keys_refused() >= 2);
    let web = spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web"));
    let web = context.open(&web, Arc::new(Panics)).unwrap();
    send(&web, &[b"friend"]);
    assert_eq!(receive(&pull).body(), b"friend");
    until("connected", || pull.connections() == 1 && web.connections() == 1);
}

#[test]
fn a_bad_bind_leaves_no_trace_at_the_authenticator() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let server = keys.server(&["web"]);
    for _ in 0..50 {
        let result = context.open(&spec(SocketType::Pull, "ipc:///no/such/s", &server), Log::new());
        assert!(matches!(result, Err(LinkError::Bind { errno: libc::ENOENT, .. })));
    }
    let pull = open(&context, &spec(SocketType::Pull, ANY, &server));
    let web = keys.client("server", "web");
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &web));
    send(&push, &[b"x"]);
    receive(&pull);
}

#[test]
fn servers_and_clients_come_and_go() {
    let keys = Keys::new(&["server", "web", "stranger"]);
    let context = Arc::new(context());
    let server = keys.server(&["web"]);
    let pull = open(&context, &spec(SocketType::Pull, ANY, &server));
    let address = pull.bound()[0].clone();
    let clients = [keys.client("server", "web"), keys.client("server", "stranger")];
    let workers = clients.map(|client| {
        let (context, address, server) = (context.clone(), address.clone(), server.clone());
        thread::spawn(move || {
            for round in 0..100 {
                let mut push = spec(SocketType::Push, &address, &client);
                push.options.linger = Duration::ZERO;
                let push = open(&context, &push);
                let other = open(&context, &spec(SocketType::Pull, ANY, &server));
                if round % 4 == 0 {
                    push.wait_writable(Duration::from_millis(50)).unwrap();
                    let _ = push.send(&[b"x"]).unwrap();
                }
                drop(other);
            }
        })
    });
    for worker in workers {
        worker.join().unwrap();
    }
    let start = Instant::now();
    drop(pull);
    drop(context);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Keeps the monitor's thread at the first failure until it may go on.
struct Late {
    log: Arc<Log>,
    held: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Notices for Late {
    fn notice(&self, notice: &Notice) {
        self.log.notice(notice);
    }

    fn count(&self, change: Change) {
        if matches!(change, Change::HandshakeFailed(_)) {
            let _ = self.held.send(());
            let _ = self.go_on.lock().unwrap().recv();
        }
    }
}

/// The descriptor of a connection that libzmq has closed is soon another's, and the monitor may read of it later.
#[test]
fn no_honest_peer_is_named_for_a_strangers_failure_however_late_it_is_heard_of() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let ((held, is_held), (go_on, may_go_on)) = (channel(), channel());
    let late = Late { log: log.clone(), held, go_on: Mutex::new(may_go_on) };
    let spec = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&spec, Arc::new(late)).unwrap();
    // dropped before the socket, whose end waits for the monitor's thread
    let go_on = go_on;
    let address = pull.bound()[0].strip_prefix("tcp://").unwrap();
    // from a process of its own: a socket of this one would take the descriptor itself
    let script =
        format!("read; exec 3<>/dev/tcp/{}; head -c 10 <&3; read", address.replace(':', "/"));
    let mut honest = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(TcpStream::connect(address).unwrap());
    is_held.recv_timeout(Duration::from_secs(30)).unwrap();
    let mut stranger = TcpStream::connect(address).unwrap();
    let greeting = [b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL".as_slice(), &[0; 48]].concat();
    stranger.write_all(&greeting).unwrap();
    let _ = stranger.read_to_end(&mut Vec::new());
    honest.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    // libzmq greets whom it has accepted
    honest.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).unwrap();
    go_on.send(()).unwrap();
    drop(go_on);
    let told = log.wait_for("one side speaks CURVE and the other plaintext");
    drop(honest.stdin.take());
    honest.wait().unwrap();
    let strangers = format!(" from {}: ", stranger.local_addr().unwrap());
    assert!(!told.contains(" from ") || told.contains(&strangers), "{told}");
}
