//! Stories of plaintext sockets over loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use rzmq_link::{LinkError, Options, Received, Sent, SocketType, parse_endpoints};
use support::*;

const ANY: &str = "@tcp://127.0.0.1:*";

#[test]
fn the_library_can_encrypt() {
    assert!(rzmq_link::has_curve());
    assert_eq!(zmq::has("curve"), Some(true));
    assert!(zmq::version() >= (4, 3, 0));
}

#[test]
fn push_to_pull_and_what_the_receiver_learns() {
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    send(&push, &[b"one\0line"]);
    assert_eq!(push.send_joined(&[b"an", b"other", b""]).unwrap(), Sent::Taken);
    assert_eq!(push.send(&[b""]).unwrap(), Sent::Taken);
    let message = receive(&pull);
    assert_eq!(message.body(), b"one\0line");
    assert_eq!(message.peer_address(), Some("127.0.0.1"));
    assert_eq!((message.topic(), message.key(), message.frames()), (None, None, 1));
    assert!(message.authenticated());
    assert_eq!(receive(&pull).body(), b"another");
    assert_eq!(receive(&pull).body(), b"");
    assert!(!pull.receive(&mut Received::new()).unwrap());
    until("one connection each", || pull.connections() == 1 && push.connections() == 1);
    drop(push);
    until("no connection", || pull.connections() == 0);
}

#[test]
fn a_large_message_and_many_small_ones() {
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, &lasting(), &plaintext()));
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    let large = vec![b'x'; 4 << 20];
    send(&push, &[&large]);
    assert_eq!(receive(&pull).body(), large);
    let sender = thread::spawn(move || {
        for number in 0..20_000_u32 {
            send(&push, &[&number.to_be_bytes()]);
        }
        push
    });
    for number in 0..20_000_u32 {
        assert_eq!(receive(&pull).body(), number.to_be_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn ipv6_and_ipc_peers() {
    let folder = tempfile::tempdir().unwrap();
    let ipc = format!("ipc://{}", folder.path().join("s").display());
    let context = context();
    let mut both = spec(SocketType::Pull, &format!("tcp://[::1]:*,{ipc}"), &plaintext());
    let error = context.open(&both, Log::new()).err().unwrap();
    assert_eq!(error.to_string(), "@tcp://[::1]:* is an IPv6 address: it needs ipv6=\"on\"");
    both.options.ipv6 = true;
    let pull = match context.open(&both, Log::new()) {
        Err(LinkError::Bind { errno: libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT, .. }) => {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        other => other.unwrap(),
    };
    let mut six = spec(SocketType::Push, &pull.bound()[0], &plaintext());
    six.options.ipv6 = true;
    let six = open(&context, &six);
    send(&six, &[b"6"]);
    assert_eq!(receive(&pull).peer_address(), Some("::1"));
    let local = open(&context, &spec(SocketType::Push, &ipc, &plaintext()));
    send(&local, &[b"ipc"]);
    let message = receive(&pull);
    assert_eq!((message.body(), message.peer_address()), (b"ipc".as_slice(), Some("127.0.0.1")));
}

#[test]
fn an_ipv4_peer_of_an_ipv6_listener_has_an_ipv4_address() {
    let context = context();
    let mut all = spec(SocketType::Pull, "tcp://*:*", &plaintext());
    all.options.ipv6 = true;
    let Ok(pull) = context.open(&all, Log::new()) else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let port = pull.bound()[0].rsplit_once(':').unwrap().1.to_owned();
    let push = spec(SocketType::Push, &format!("tcp://127.0.0.1:{port}"), &plaintext());
    let push = open(&context, &push);
    send(&push, &[b"4"]);
    assert_eq!(receive(&pull).peer_address(), Some("127.0.0.1"));
}

/// libzmq names a peer by its address once it has looked the name up; an administrator has written the
/// name.
#[test]
fn endpoints_are_named_as_they_are_written_with_the_address_beside_a_name() {
    let (context, log, pull_log) = (context(), Log::new(), Log::new());
    let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let port = pull.bound()[0].rsplit_once(':').unwrap().1.to_owned();
    let written = format!("tcp://localhost:{port}");
    let push = spec(SocketType::Push, &written, &plaintext());
    let push = context.open(&push, log.clone()).unwrap();
    log.wait_for(&format!("connected at {written} (127.0.0.1)"));
    drop(pull);
    log.wait_for(&format!("connection lost at {written} (127.0.0.1)"));
    log.wait_for(&format!("nothing listens at {written},"));
    let again = spec(SocketType::Pull, &format!("@tcp://*:{port}"), &plaintext());
    let _pull = open_again(&context, &again, &pull_log);
    until("it is there again", || push.connections() == 1);
    pull_log.wait_for(&format!("connected at tcp://*:{port}"));
    drop(push);
    pull_log.wait_for(&format!("connection lost at tcp://*:{port} from 127.0.0.1:"));
    let sentences = log.sentences();
    assert!(sentences.iter().all(|it| it.contains(&written)), "{sentences:?}");
}

#[test]
fn a_source_address_is_used() {
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let target = pull.bound()[0].replace("tcp://", "tcp://127.0.0.9:0;");
    let push = open(&context, &spec(SocketType::Push, &target, &plaintext()));
    send(&push, &[b"x"]);
    assert_eq!(receive(&pull).peer_address(), Some("127.0.0.9"));
}

#[test]
fn topics_select_and_stay_out_of_the_line() {
    let context = context();
    let publisher = open(&context, &spec(SocketType::Pub, ANY, &plaintext()));
    let mut wish = spec(SocketType::Sub, &publisher.bound()[0], &plaintext());
    wish.topics = vec!["host1.".into(), "host2.nginx".into()];
    let chosen = open(&context, &wish);
    wish.topics.clear();
    let all = open(&context, &wish);
    until("both subscribed", || {
        assert_eq!(publisher.send(&[b"host1.", b"?"]).unwrap(), Sent::Taken);
        receive_within(&chosen, Duration::from_millis(20)).is_some()
            && receive_within(&all, Duration::from_millis(20)).is_some()
    });
    let send = |frames: &[&[u8]]| assert_eq!(publisher.send(frames).unwrap(), Sent::Taken);
    send(&[b"host3.", b"nobody's"]);
    send(&[b"host1.cron", b"two frames"]);
    assert_eq!(publisher.send_joined(&[b"host2.nginx", b"one frame"]).unwrap(), Sent::Taken);
    let next = || loop {
        let message = receive(&chosen);
        if message.body() != b"?" {
            return message;
        }
    };
    let message = next();
    assert_eq!(message.topic(), Some(b"host1.cron".as_slice()));
    assert_eq!((message.body(), message.frames()), (b"two frames".as_slice(), 2));
    let message = next();
    assert_eq!((message.topic(), message.body()), (None, b"host2.nginxone frame".as_slice()));
    let mut others = 0;
    while let Some(message) = receive_within(&all, Duration::from_millis(200)) {
        others += usize::from(message.body() == b"nobody's");
    }
    assert_eq!(others, 1);
}

#[test]
fn a_router_identity_is_no_line() {
    let context = context();
    let router = open(&context, &spec(SocketType::Router, ANY, &plaintext()));
    let dealer = open(&context, &spec(SocketType::Dealer, &router.bound()[0], &plaintext()));
    send(&dealer, &[b"line"]);
    send(&dealer, &[b"topic", b"", b"last"]);
    let message = receive(&router);
    assert_eq!((message.body(), message.frames()), (b"line".as_slice(), 2));
    assert_eq!(message.topic(), None);
    assert_eq!(message.peer_address(), Some("127.0.0.1"));
    let message = receive(&router);
    assert_eq!((message.body(), message.frames()), (b"last".as_slice(), 4));
}

#[test]
fn nothing_is_taken_for_an_absent_peer() {
    let context = context();
    let push = spec(SocketType::Push, "tcp://127.0.0.1:1", &plaintext());
    let log = Log::new();
    let push = context.open(&push, log.clone()).unwrap();
    assert_eq!(push.send(&[b"x"]).unwrap(), Sent::Full);
    assert_eq!(push.send(&[b"x", b"y"]).unwrap(), Sent::Full);
    let start = Instant::now();
    assert!(!push.wait_writable(Duration::from_millis(100)).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(100));
    log.wait_for("nothing listens at tcp://127.0.0.1:1, or it cannot be reached; trying again");
    assert_eq!(push.connections(), 0);
}

#[test]
fn a_full_peer_is_full_and_no_frame_is_lost_or_torn() {
    let context = context();
    let mut small = spec(SocketType::Pull, ANY, &plaintext());
    small.options.rcv_hwm = 1;
    let pull = open(&context, &small);
    let mut small = spec(SocketType::Push, &pull.bound()[0], &plaintext());
    small.options.snd_hwm = 1;
    let push = open(&context, &small);
    let body = vec![b'x'; 100_000];
    send(&push, &[b"0", &body]);
    let mut taken: u32 = 1;
    // until the kernel's buffers are full too
    while push.wait_writable(Duration::from_millis(300)).unwrap() {
        if push.send(&[taken.to_string().as_bytes(), &body]).unwrap() == Sent::Taken {
            taken += 1;
        }
    }
    assert_eq!(push.send(&[b"none", &body]).unwrap(), Sent::Full);
    for _ in 0..taken {
        let message = receive(&pull);
        assert_eq!((message.body().len(), message.frames()), (body.len(), 2));
    }
    assert!(receive_within(&pull, Duration::from_millis(100)).is_none());
}

#[test]
fn a_cut_within_a_message_tears_no_message() {
    let context = context();
    let pull_spec = spec(SocketType::Pull, &lasting(), &plaintext());
    let mut pull = open(&context, &pull_spec);
    let address = format!("@{}", pull.bound()[0]);
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    let body = vec![b'x'; 2000];
    let mut arrived = 0;
    for round in 0..10 {
        let end = Instant::now() + Duration::from_millis(30);
        while Instant::now() < end {
            if push.send(&[b"topic", &body, b"last"]).unwrap() == Sent::Full {
                push.wait_writable(Duration::from_millis(1)).unwrap();
            }
            let mut message = Received::new();
            while pull.receive(&mut message).unwrap() {
                assert_eq!((message.frames(), message.body()), (3, b"last".as_slice()), "{round}");
                arrived += 1;
            }
        }
        drop(pull);
        let again = spec(SocketType::Pull, &address, &plaintext());
        let start = Instant::now();
        pull = loop {
            match context.open(&again, Log::new()) {
                Ok(socket) => break socket,
                Err(LinkError::Bind { errno: libc::EADDRINUSE, .. }) => {
                    assert!(start.elapsed() < PATIENCE);
                    let _ = push.send(&[b"topic", &body, b"last"]).unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        };
    }
    assert!(arrived > 0);
}

#[test]
fn a_publisher_drops_or_waits_as_told() {
    let context = context();
    for nodrop in [false, true] {
        let mut publisher = spec(SocketType::Pub, ANY, &plaintext());
        publisher.options.snd_hwm = 10;
        publisher.options.pub_nodrop = nodrop;
        let publisher = open(&context, &publisher);
        let mut slow = spec(SocketType::Sub, &publisher.bound()[0], &plaintext());
        slow.options.rcv_hwm = 10;
        let slow = open(&context, &slow);
        until("subscribed", || {
            let _ = publisher.send(&[b"?"]).unwrap();
            receive_within(&slow, Duration::from_millis(20)).is_some()
        });
        let body = vec![b'x'; 1 << 20];
        let taken = (0..200).filter(|_| publisher.send(&[b"topic", &body]).unwrap() == Sent::Taken);
        assert_eq!(taken.count() < 200, nodrop);
        if nodrop {
            let start = Instant::now();
            assert!(publisher.wait_writable(Duration::from_secs(5)).unwrap());
            assert!(start.elapsed() < Duration::from_secs(1));
            while receive_within(&slow, Duration::from_millis(300)).is_some() {}
            send(&publisher, &[b"topic", b"on it goes"]);
        }
    }
}

#[test]
fn a_message_too_large_cuts_its_sender_off() {
    let context = context();
    let mut pull = spec(SocketType::Pull, ANY, &plaintext());
    pull.options.maxmsgsize = 1000;
    let log = Log::new();
    let pull = context.open(&pull, log.clone()).unwrap();
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    send(&push, &[&[b'x'; 1000]]);
    assert_eq!(receive(&pull).body().len(), 1000);
    send(&push, &[&[b'x'; 1001]]);
    log.wait_for("connection lost at tcp://127.0.0.1:");
    // what the sender put into the connection that was cut is lost
    until("it is connected again", || {
        send(&push, &[b"small again"]);
        receive_within(&pull, Duration::from_millis(20))
            .is_some_and(|message| message.body() == b"small again")
    });
}

#[test]
fn a_wait_ends_with_a_message_or_a_wake_up_or_the_time() {
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let push = open(&context, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    let (wake, waker) = UnixStream::pair().unwrap();
    let nothing = pull.wait_readable(&wake, Duration::from_millis(20)).unwrap();
    assert!(!nothing.message && !nothing.woken);
    send(&push, &[b"x"]);
    let message = pull.wait_readable(&wake, PATIENCE).unwrap();
    assert!(message.message && !message.woken);
    receive(&pull);
    drop(waker);
    let woken = pull.wait_readable(&wake, PATIENCE).unwrap();
    assert!(!woken.message && woken.woken);
}

#[test]
fn what_cannot_be_bound_is_named_and_nothing_stays_open() {
    let context = context();
    let first = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let taken = first.bound()[0].clone();
    let fails = |endpoints: &str, part: &str| {
        let error = context
            .open(&spec(SocketType::Pull, endpoints, &plaintext()), Log::new())
            .err()
            .unwrap();
        assert!(matches!(error, LinkError::Bind { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(part), "{error}");
    };
    let free = lasting();
    fails(&format!("{free},{taken}"), &format!("cannot bind @{taken}: Address already in use (an"));
    fails("tcp://192.0.2.1:5140", "Cannot assign requested address (no interface of this host");
    fails("tcp://no-such-host.invalid:5140", "host names cannot be bound");
    fails("ipc:///no/such/folder/s", "No such file or directory");
    fails("ipc:///dev/null/s", "Not a directory");
    // the first of the two was released
    until("the address is free", || {
        context.open(&spec(SocketType::Pull, &free, &plaintext()), Log::new()).is_ok()
    });
}

#[test]
fn contradictions_are_found_before_anything_is_opened() {
    let check = |kind, endpoints: &str| {
        spec(kind, endpoints, &plaintext()).check().err().map(|error| error.to_string())
    };
    assert_eq!(check(SocketType::Push, "tcp://a:1"), None);
    let none = {
        let mut none = spec(SocketType::Pull, ANY, &plaintext());
        none.endpoints.clear();
        none.check().err().unwrap().to_string()
    };
    assert_eq!(none, "no endpoint given");
    let multicast = "pgm://eth0;239.192.1.1:5555";
    if parse_endpoints(multicast, SocketType::Pub.habit()).is_ok() {
        let error = check(SocketType::Push, multicast).unwrap();
        assert!(error.contains("cannot be used with socktype PUSH"), "{error}");
    }
    // not a transport whose connections cannot be closed when a key is removed
    let keys = Keys::new(&["server"]);
    for (transport, curve) in [("tipc://<1.1.1:5>", false), (multicast, false), ("ipc://x", true)] {
        let mut server = spec(SocketType::Pub, ANY, &keys.server_for_all());
        server.endpoints[0].address = transport.to_owned();
        let refused = matches!(server.check(), Err(LinkError::NoCurveOver(_)));
        assert_ne!(refused, curve, "{transport}");
    }
    assert!(check(SocketType::Dish, "tcp://a:1").unwrap().contains("without topics"));
    for threads in [0, -1, 65] {
        let error = rzmq_link::Context::new(threads).err().unwrap().to_string();
        assert!(error.contains("1 to 64"), "{error}");
    }
}

#[test]
fn a_context_ends_promptly() {
    for linger in [0, 500] {
        let context = context();
        let mut absent = spec(SocketType::Push, "tcp://127.0.0.1:1", &plaintext());
        absent.options.immediate = false;
        absent.options.linger = Duration::from_millis(linger);
        let push = open(&context, &absent);
        let publisher = open(&context, &spec(SocketType::Pub, ANY, &plaintext()));
        assert_eq!(push.send(&[b"never delivered"]).unwrap(), Sent::Taken);
        let start = Instant::now();
        drop(context);
        drop(publisher);
        drop(push);
        let time = start.elapsed();
        assert!(time < Duration::from_millis(linger + 1000), "{time:?}");
    }
}

#[test]
fn linger_delivers_what_was_taken() {
    let receiver = context();
    let pull = open(&receiver, &spec(SocketType::Pull, ANY, &plaintext()));
    let sender = context();
    let push = open(&sender, &spec(SocketType::Push, &pull.bound()[0], &plaintext()));
    for number in 0..500_u32 {
        send(&push, &[&number.to_be_bytes()]);
    }
    drop(push);
    drop(sender);
    for number in 0..500_u32 {
        assert_eq!(receive(&pull).body(), number.to_be_bytes());
    }
}

#[test]
fn opening_and_closing_again_and_again() {
    let context = Arc::new(context());
    let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
    let address = pull.bound()[0].clone();
    let workers: Vec<_> = (0..2)
        .map(|worker| {
            let (context, address) = (Arc::clone(&context), address.clone());
            thread::spawn(move || {
                for round in 0..100 {
                    let endpoints = format!("{address},tcp://127.0.0.1:1");
                    let mut push = spec(SocketType::Push, &endpoints, &plaintext());
                    push.options = Options { linger: Duration::ZERO, ..push.options };
                    let push = open(&context, &push);
                    if round % 3 == worker {
                        send(&push, &[b"x"]);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    until("everybody is gone", || pull.connections() == 0);
    let start = Instant::now();
    drop(pull);
    drop(context);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn contexts_come_and_go() {
    let start = Instant::now();
    for round in 0..100 {
        let context = context();
        let pull = open(&context, &spec(SocketType::Pull, ANY, &plaintext()));
        let mut push = spec(SocketType::Push, &pull.bound()[0], &plaintext());
        push.options.linger = Duration::ZERO;
        let push = open(&context, &push);
        if round % 2 == 0 {
            send(&push, &[b"x"]);
            receive(&pull);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// libzmq's own limit would be met by 341.
#[test]
fn four_hundred_sockets_can_be_open() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let context = context();
    let nobody = spec(SocketType::Push, "ipc:///nobody-is-here", &plaintext());
    let all: Vec<_> = (0..400).map(|_| open(&context, &nobody)).collect();
    assert_eq!(all.len(), 400);
}
