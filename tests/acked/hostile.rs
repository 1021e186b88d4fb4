//! Peers that break the protocol, by mistake or by intent: they are told why, logged with address and
//! key name, counted and ignored, and nobody else notices.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Keys, Oracle, Peer, SOON, millis, secs};

use crate::raw::{self, Answer, Claims, Said};
use crate::{DIRECT, curve_receiver, curve_sender, receiver, sender};

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| syslog_line(&numbered(number))).collect()
}

/// Frames that are wrong after a hello, and the code of the error each is answered with.
fn wrong_frames() -> Vec<(&'static str, Vec<u8>, u16)> {
    let block = raw::block(&texts(0..3));
    let of = |first: u64, change: &dyn Fn(&mut Claims)| {
        let mut claims = Claims::of(first, &block, 3);
        change(&mut claims);
        claims.frame(&block)
    };
    let hello = raw::hello(1, raw::session(0));
    let plain = of(0, &|_| {});
    let mut unknown = plain.clone();
    unknown[4] = 0x20;
    let mut version = plain.clone();
    version[3] = 9;
    let mut welcome = plain.clone();
    welcome[4] = 0x81;
    let mut lengths = block.clone();
    lengths[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let lengths = Claims::of(0, &lengths, 3).frame(&lengths);
    let mut field = raw::hello(1, raw::session(0));
    field.extend([1, 0, 0xff, 0xff, 0xff, 0xff, b'x']);
    vec![
        ("a gap", of(5, &|_| {}), raw::GAP),
        ("lines that are not there", of(0, &|claims| claims.count = 4), raw::MALFORMED),
        ("no lines", of(0, &|claims| claims.count = 0), raw::MALFORMED),
        ("4294967295 lines", of(0, &|claims| claims.count = u32::MAX), raw::LIMIT),
        ("4 GiB raw", of(0, &|claims| claims.raw = u32::MAX), raw::LIMIT),
        ("a wrong sum", of(0, &|claims| claims.crc ^= 1), raw::MALFORMED),
        ("an unknown codec", of(0, &|claims| claims.codec = 7), raw::MALFORMED),
        ("not zstd", of(0, &|claims| claims.codec = 1), raw::MALFORMED),
        ("fields beyond the frame", of(0, &|claims| claims.fields = u16::MAX), raw::MALFORMED),
        ("numbers beyond 64 bits", of(u64::MAX, &|_| {}), raw::MALFORMED),
        ("lengths beyond the block", lengths, raw::MALFORMED),
        ("a frame cut off", plain[..20].to_vec(), raw::MALFORMED),
        ("a head cut off", plain[..5].to_vec(), raw::MALFORMED),
        ("an unknown type", unknown, raw::MALFORMED),
        ("an unknown version", version, raw::MALFORMED),
        ("a receiver's frame", welcome, raw::MALFORMED),
        ("a hello cut off", hello[..30].to_vec(), raw::MALFORMED),
        ("a hello with a field beyond it", field, raw::MALFORMED),
        ("next below first", raw::hello_of([1, 1], 1, raw::session(0), 5, 4), raw::MALFORMED),
        ("another version", raw::hello_of([2, 9], 1, raw::session(0), 0, 0), raw::VERSION),
    ]
}

#[test]
fn wrong_frames_are_answered_counted_and_named_and_others_go_on() {
    let endpoint = free_endpoint();
    let (server, good, bad) = (Keys::new("server"), Keys::new("good"), Keys::new("mallory"));
    let site = curve_receiver(&endpoint, DIRECT, &server, &[&good, &bad]);
    let mut receiver = site.start();
    let mut sender = curve_sender(&endpoint, "", &good, &server).start();
    let peer = Peer::new(zmq::DEALER).curve_client(&bad, &server).connected_to(&endpoint);
    raw::refused(&peer, &raw::data(0, &texts(0..3)), raw::NO_SESSION);
    let frames = wrong_frames();
    for (number, (what, frame, code)) in frames.iter().enumerate() {
        println!("{what}");
        let have = raw::greet(&peer, number as u32 + 10, raw::session(number));
        assert_eq!(have, 0, "{what}");
        raw::refused(&peer, frame, *code);
        // Muted until it says hello.
        raw::say(&peer, &raw::data(0, &texts(0..3)));
        sender.feed(number * 100..(number + 1) * 100);
    }
    raw::silent(&peer, millis(100));
    let counters = receiver.wait_stats("imrzmq", "in", "all errors counted", |stats| {
        stats["protocol_errors"] == frames.len() as i64 && stats["out_of_turn"] == 1
    });
    let total = frames.len() * 100;
    Oracle::judge(0..total, &receiver.wait_lines("out.log", total, SOON)).once_in_order();
    receiver.wait_log(&["imrzmq[in]", "127.0.0.1", "mallory", "broke the protocol"], SOON);
    // A hello mends it all.
    assert_eq!(raw::greet(&peer, 1_000, raw::session(999)), 0);
    raw::say(&peer, &raw::data(0, &texts(total..total + 3)));
    raw::acknowledged(&peer, 3);
    let lines = receiver.wait_lines("out.log", total + 3, SOON);
    Oracle::judge(0..total + 3, &lines).once_in_order();
    assert_eq!(counters["discarded_unauthenticated"], 0);
    end(&mut [&mut sender, &mut receiver]);
}

/// Frames of a later minor version are skipped: unknown types from 0x40 on, unknown fields.
#[test]
fn what_may_be_skipped_is_skipped() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
    let mut hello = raw::hello(1, raw::session(1));
    hello.extend([0x34, 0x12, 3, 0, 0, 0, b'a', b'b', b'c']);
    raw::say(&peer, &hello);
    assert_eq!(raw::next(&peer), Answer::Welcome { have: 0 });
    raw::say(&peer, &[0, b'R', b'Z', 1, 0x41, 0, 0, 0, 1, 2, 3]);
    let block = raw::block(&texts(0..2));
    let mut claims = Claims::of(0, &block, 2);
    claims.fields = 8;
    let field = [0x34, 0x12, 2, 0, 0, 0, b'a', b'b'];
    raw::say(&peer, &claims.frame(&[&field[..], &block].concat()));
    raw::acknowledged(&peer, 2);
    Oracle::judge(0..2, &receiver.wait_lines("out.log", 2, SOON)).once_in_order();
    receiver.end().clean();
}

#[test]
fn session_of_another_key_is_refused() {
    let endpoint = free_endpoint();
    let (server, one, two) = (Keys::new("server"), Keys::new("one"), Keys::new("two"));
    let mut receiver = curve_receiver(&endpoint, DIRECT, &server, &[&one, &two]).start();
    let connect =
        |keys: &Keys| Peer::new(zmq::DEALER).curve_client(keys, &server).connected_to(&endpoint);
    let (first, second) = (connect(&one), connect(&two));
    raw::greet(&first, 1, raw::session(1));
    raw::say(&first, &raw::data(0, &texts(0..2)));
    raw::acknowledged(&first, 2);
    raw::refused(&second, &raw::hello(1, raw::session(1)), raw::OTHER_KEY);
    receiver.wait_log(&["imrzmq[in]", "127.0.0.1", "two", "another key"], SOON);
    raw::say(&second, &raw::data(2, &texts(9..10)));
    raw::silent(&second, millis(200));
    raw::say(&first, &raw::data(2, &texts(2..4)));
    raw::acknowledged(&first, 4);
    Oracle::judge(0..4, &receiver.wait_lines("out.log", 4, SOON)).once_in_order();
    receiver.end().clean();
}

/// A routing id is what a peer says, and the receiver knows its connections by it.
#[test]
fn routing_id_of_another_opens_no_session() {
    let endpoint = free_endpoint();
    let (server, one, two) = (Keys::new("server"), Keys::new("one"), Keys::new("two"));
    let mut receiver = curve_receiver(&endpoint, DIRECT, &server, &[&one, &two]).start();
    let connect = |keys: &Keys| {
        let peer = Peer::new(zmq::DEALER).identity(b"relay").curve_client(keys, &server);
        peer.connected_to(&endpoint)
    };
    let mut leaves = |peer: Peer| {
        drop(peer);
        receiver.wait_stats("imrzmq", "in", "no connection", |stats| stats["connections"] == 0);
    };
    let first = connect(&one);
    raw::greet(&first, 1, raw::session(1));
    raw::say(&first, &raw::data(0, &texts(0..2)));
    raw::acknowledged(&first, 2);
    leaves(first);
    let second = connect(&two);
    raw::refused(&second, &raw::data(2, &texts(9..10)), raw::OTHER_KEY);
    leaves(second);
    let first = connect(&one);
    assert_eq!(raw::greet(&first, 2, raw::session(1)), 2);
    raw::say(&first, &raw::data(2, &texts(2..4)));
    raw::acknowledged(&first, 4);
    Oracle::judge(0..4, &receiver.wait_lines("out.log", 4, SOON)).once_in_order();
    receiver.end().clean();
}

#[test]
fn binding_to_the_key_outlives_the_receiver() {
    let endpoint = free_endpoint();
    let (server, one, two) = (Keys::new("server"), Keys::new("one"), Keys::new("two"));
    let site = curve_receiver(&endpoint, DIRECT, &server, &[&one, &two]);
    let mut receiver = site.start();
    let connect =
        |keys: &Keys| Peer::new(zmq::DEALER).curve_client(keys, &server).connected_to(&endpoint);
    let first = connect(&one);
    raw::greet(&first, 1, raw::session(1));
    raw::say(&first, &raw::data(0, &texts(0..2)));
    raw::acknowledged(&first, 2);
    receiver.kill9();
    let mut receiver = site.start();
    let second = connect(&two);
    raw::refused(&second, &raw::hello(1, raw::session(1)), raw::OTHER_KEY);
    assert_eq!(raw::greet(&connect(&one), 1, raw::session(1)), 2);
    receiver.end().clean();
}

/// Two connections name one session: the later one has it.
#[test]
fn second_connection_of_a_session_fences_the_first() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let connect = || Peer::new(zmq::DEALER).connected_to(&endpoint);
    let (first, second) = (connect(), connect());
    raw::greet(&first, 1, raw::session(1));
    raw::say(&first, &raw::data(0, &texts(0..2)));
    raw::acknowledged(&first, 2);
    assert_eq!(raw::greet(&second, 2, raw::session(1)), 2);
    raw::refused(&first, &raw::data(2, &texts(7..9)), raw::FENCED);
    raw::say(&second, &raw::data(2, &texts(2..4)));
    raw::acknowledged(&second, 4);
    Oracle::judge(0..4, &receiver.wait_lines("out.log", 4, SOON)).once_in_order();
    receiver.end().clean();
}

/// Hellos as fast as they go, and answers that nobody reads.
#[test]
fn flood_of_hellos_holds_nobody_up() {
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..100);
    receiver.wait_lines("out.log", 100, SOON);
    let memory = receiver.memory();
    let peer = Peer::new(zmq::DEALER).receive_hwm(1).connected_to(&endpoint);
    let flood = |from: u32| {
        for number in from..from + 20_000 {
            // Its session is another one every hundred hellos.
            let session = raw::session(number as usize / 100);
            assert!(peer.send(&[&raw::hello(number, session)], SOON), "the receiver takes nothing");
        }
    };
    flood(1);
    let began = Instant::now();
    sender.feed(100..5_000);
    flood(20_001);
    let lines = receiver.wait_lines("out.log", 5_000, SOON);
    assert!(began.elapsed() < secs(8), "others waited {:?}", began.elapsed());
    Oracle::judge(0..5_000, &lines).once_in_order();
    let grown = receiver.memory().saturating_sub(memory);
    assert!(grown < 64 << 10, "the receiver grew by {grown} KiB");
    end(&mut [&mut sender, &mut receiver]);
}

/// A thousand sessions, remembered over a kill: what they send again is known.
#[test]
fn thousand_sessions_are_remembered_over_a_kill() {
    const SESSIONS: usize = 1_000;
    let endpoint = free_endpoint();
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    let run = |again: bool| {
        let peer = Peer::new(zmq::DEALER).connected_to(&endpoint);
        for number in 0..SESSIONS {
            let have = raw::greet(&peer, number as u32 + 1, raw::session(number));
            assert_eq!(have, u64::from(again), "session {number}");
            raw::say(&peer, &raw::data(0, &texts(number..number + 1)));
            raw::acknowledged(&peer, 1);
        }
    };
    run(false);
    receiver.wait_stats("imrzmq", "in", "a thousand sessions", |stats| {
        stats["sessions"] == SESSIONS as i64 && stats["submitted"] == SESSIONS as i64
    });
    receiver.kill9();
    let mut receiver = site.start();
    run(true);
    receiver.wait_stats("imrzmq", "in", "nothing new", |stats| {
        stats["sessions"] == SESSIONS as i64 && stats["submitted"] == 0
    });
    Oracle::judge(0..SESSIONS, &receiver.lines("out.log")).once_in_order();
    receiver.end().clean();
}

/// A thousand connections, a session each.
#[test]
fn many_connections_with_a_session_each_are_served() {
    const CONNECTIONS: usize = 200;
    let endpoint = free_endpoint();
    let mut receiver = receiver(&endpoint, DIRECT).start();
    let peers: Vec<_> =
        (0..CONNECTIONS).map(|_| Peer::new(zmq::DEALER).connected_to(&endpoint)).collect();
    for (number, peer) in peers.iter().enumerate() {
        raw::greet(peer, 1, raw::session(number));
    }
    for round in 0..5 {
        for (number, peer) in peers.iter().enumerate() {
            let text = round * CONNECTIONS + number;
            raw::say(peer, &raw::data(round as u64, &texts(text..text + 1)));
        }
    }
    for peer in &peers {
        raw::acknowledged(peer, 5);
    }
    let total = 5 * CONNECTIONS;
    Oracle::judge(0..total, &receiver.wait_lines("out.log", total, SOON)).once();
    receiver.end().clean();
}

/// A message of ZMTP 3.
fn message(body: &[u8]) -> Vec<u8> {
    const LONG: u8 = 2;
    [&[LONG][..], &(body.len() as u64).to_be_bytes(), body].concat()
}

/// The body of the next message, or command, of ZMTP 3.
fn next_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("what it says");
        byte[0]
    };
    let is_long = byte() & 2 != 0;
    let size = (0..if is_long { 8 } else { 1 }).fold(0, |size, _| size << 8 | usize::from(byte()));
    let mut body = vec![0; size];
    stream.read_exact(&mut body).expect("what it says");
    body
}

/// Welcomes the sender that calls, and refuses its first line, a thousand times in each answer: reading them
/// takes longer than sending them. Adds up the bytes; ends when the sender is gone.
fn answer_without_end(listener: &TcpListener, told: &AtomicU64) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    stream.write_all(&greeting).expect("greeting");
    stream.read_exact(&mut [0; 64]).expect("their greeting");
    let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER";
    stream.write_all(&[&[4, ready.len() as u8], &ready[..]].concat()).expect("ready");
    next_message(&mut stream);
    let hello = next_message(&mut stream);
    let welcome = raw::welcome_of(&hello).expect("a hello");
    stream.write_all(&message(&welcome)).expect("welcome");
    let Said::Hello { number, .. } = raw::said(&hello) else { panic!("no hello: {hello:?}") };
    let answers = message(&raw::refusals(number, 1_000)).repeat(10);
    while stream.write_all(&answers).is_ok() {
        told.fetch_add(answers.len() as u64, Ordering::Relaxed);
    }
}

/// A receiver that answers without end makes the sender neither larger nor deaf to a stop.
#[test]
fn receiver_that_answers_without_end_holds_nobody_and_fills_no_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("address"));
    let told = Arc::new(AtomicU64::new(0));
    let telling = Arc::clone(&told);
    let flood = thread::spawn(move || answer_without_end(&listener, &telling));
    let sending = sender(&endpoint, "linger=\"100\"");
    let mut sender = sending.start();
    sender.feed(0..10);
    let mut reach = |megabytes: u64| {
        let what = format!("{megabytes} MB of answers");
        sender.wait(&what, secs(60), |_| {
            (told.load(Ordering::Relaxed) >= megabytes * 1_000_000).then_some(())
        });
        sender.memory()
    };
    // what libzmq holds by its mark, 16 MB, is full by then
    let (early, late) = (reach(40), reach(200));
    assert!(late < early + (32 << 10), "from {early} KiB to {late}");
    sender.stop().clean().within(secs(5));
    flood.join().expect("the receiver");
    assert_eq!(sending.spools().len(), 1, "its lines are kept");
}

/// What the sender says next, and its routing id.
fn next_said(peer: &Peer, deadline: Instant) -> (Vec<u8>, Vec<u8>) {
    loop {
        assert!(Instant::now() < deadline, "the sender says nothing more");
        let Some(frames) = peer.receive(millis(50)) else { continue };
        let [id, frame] = <[Vec<u8>; 2]>::try_from(frames).expect("a routing id and a frame");
        return (id, frame);
    }
}

/// libzmq would end rsyslogd where such a receiver hangs up while its answer is read: the connection is given
/// up at the first of the frames, and the next one is asked.
#[test]
fn answer_of_several_frames_costs_its_receiver_the_connection() {
    let peer = Peer::new(zmq::ROUTER);
    let endpoint = peer.bind_free();
    let mut sender = sender(&endpoint, "").start();
    sender.feed(0..10);
    let deadline = Instant::now() + secs(30);
    let (id, hello) = next_said(&peer, deadline);
    let welcome = raw::welcome_of(&hello).expect("a hello");
    let mut answer = vec![&id[..]];
    answer.resize(10_001, &[]);
    answer.push(&welcome);
    assert!(peer.send(&answer, SOON), "the sender is gone");
    sender.wait_log(&["omrzmq[out]", "several frames", "the lines wait"], SOON);
    let (mut taken, mut said) = (Vec::new(), 0);
    while taken.len() < 10 {
        let (other, frame) = next_said(&peer, deadline);
        if other == id {
            continue;
        }
        match raw::said(&frame) {
            Said::Hello { number, .. } => {
                said = number;
                let welcome = raw::welcome_of(&frame).expect("a hello");
                assert!(peer.send(&[&other, &welcome], SOON), "the sender is gone");
            }
            Said::Data { lines, .. } => {
                taken.extend(lines);
                let have = raw::ack(taken.len() as u64, said);
                assert!(peer.send(&[&other, &have], SOON), "the sender is gone");
            }
        }
    }
    Oracle::judge(0..10, &taken).once_in_order();
    sender.stop().clean();
}

/// A receiver that acknowledges line by line, without end, does not make a sender deaf to a stop.
#[test]
fn receiver_that_acknowledges_line_by_line_holds_up_no_stop() {
    let peer = Peer::new(zmq::ROUTER);
    let endpoint = peer.bind_free();
    let queue = "main_queue(queue.workerThreads=\"1\" queue.dequeueBatchSize=\"4000\")";
    let sending = sender(&endpoint, "linger=\"100\"").with(queue);
    let mut sender = sending.start();
    sender.feed(0..1);
    // lines that it has of a large batch, and has acknowledged
    let slow = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::clone(&slow);
    let (begin, may_begin) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel::<()>();
    let receiver = thread::spawn(move || {
        let (mut id, mut said, mut have, mut came, mut begins) = (Vec::new(), 0, 0, 0, false);
        // until the sender has ended; a line in two milliseconds, which is the point
        while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let Some(frames) = peer.receive(millis(2)) else {
                begins |= may_begin.try_recv().is_ok();
                if begins && have < came && peer.send(&[&id, &raw::ack(have + 1, said)], millis(0))
                {
                    have += 1;
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                continue;
            };
            let [from, frame] = <[Vec<u8>; 2]>::try_from(frames).expect("id and frame");
            match raw::said(&frame) {
                Said::Hello { number, .. } => {
                    let welcome = raw::welcome_of(&frame).expect("a hello");
                    peer.send(&[&from, &welcome], SOON);
                    (id, said) = (from, number);
                }
                Said::Data { first, lines } => came = first + lines.len() as u64,
            }
        }
    });
    sender.feed(1..4_000);
    sender.wait_stats("core.queue", "main Q", "all wait in the queue", |queue| {
        queue["size"] >= 3_999
    });
    begin.send(()).expect("the receiver");
    sender.wait("some lines", secs(30), |_| (slow.load(Ordering::Relaxed) > 20).then_some(()));
    sender.stop().clean().within(secs(5));
    drop(done);
    receiver.join().expect("the receiver");
    assert_eq!(sending.spools().len(), 1, "its lines are kept");
}
