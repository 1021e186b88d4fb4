//! What omrzmq does with its sockets while everything runs: several endpoints, binding outputs,
//! publishers, workers, peers that come and go.

use std::io::Write;
use std::net::TcpListener;

use harness::oracle::{number_of, numbered};
use harness::{Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs};

const STOP: std::time::Duration = secs(2);

fn action(endpoint: &str, kind: &str, more: &str) -> Site {
    let action = format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"{kind}\" {more}");
    Site::sender("", &action)
}

fn peer_at(kind: zmq::SocketType, endpoint: &str) -> Peer {
    let peer = Peer::new(kind);
    peer.bind(endpoint);
    peer
}

/// Nothing is put aside for a peer that isn't there.
#[test]
fn absent_one_of_two_endpoints_gets_no_share() {
    let (alive, absent) = (free_endpoint(), free_endpoint());
    let peer = peer_at(zmq::PULL, &alive);
    let mut daemon = action(&format!("{absent},{alive}"), "PUSH", "").start();
    daemon.feed(0..1000);
    Oracle::judge(0..1000, &peer.take_all(1000, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn two_endpoints_share_the_lines() {
    let (left, right) = (Peer::new(zmq::PULL), Peer::new(zmq::PULL));
    let endpoints = format!("{},{}", left.bind_free(), right.bind_free());
    let mut daemon = action(&endpoints, "PUSH", "").start();
    // The socket connects with the first line, to one of the two first.
    daemon.feed(0..1);
    left.wait_connected(SOON);
    right.wait_connected(SOON);
    daemon.feed(1..1001);
    let mut lines = left.rest(millis(500));
    assert!(lines.len() > 100, "the left peer got {} lines", lines.len());
    lines.extend(right.rest(millis(500)));
    Oracle::judge(0..1001, &lines).once();
    daemon.stop().clean().within(STOP);
}

#[test]
fn peer_that_comes_back_gets_the_lines_that_follow() {
    let endpoint = free_endpoint();
    let mut daemon = action(&endpoint, "PUSH", "").start();
    for round in 0..3 {
        let peer = peer_at(zmq::PULL, &endpoint);
        daemon.feed(round * 100..(round + 1) * 100);
        let lines = peer.take_all(100, SOON);
        Oracle::judge(round * 100..(round + 1) * 100, &lines).once_in_order();
        // impstats reports once a second: the end of a connection shows only where its beginning did.
        daemon.wait_stats("omrzmq", "out", "a connection", |c| c["connections"] == 1);
        drop(peer);
        // The module must have seen it go: until then libzmq takes lines for it.
        daemon.wait_stats("omrzmq", "out", "no connection", |c| c["connections"] == 0);
    }
    daemon.stop().clean().within(STOP);
}

#[test]
fn source_address_of_an_endpoint_is_what_the_receiver_sees() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut receiving = Site::receiver("", &input).file("from.log", "%fromhost-ip%\\n").start();
    let source = endpoint.replace("tcp://", "tcp://127.0.0.13:0;");
    let sending = action(&source, "PUSH", "").start();
    sending.feed(0..1);
    assert_eq!(receiving.wait_lines("from.log", 1, SOON), ["127.0.0.13"]);
}

#[test]
fn unix_socket_of_zeromq() {
    let site = Site::new();
    let endpoint = format!("ipc://{}", site.path("out.ipc").display());
    let peer = peer_at(zmq::PULL, &endpoint);
    let mut daemon =
        site.sending("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\"")).start();
    daemon.feed(0..100);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn binding_push_serves_whoever_connects() {
    let endpoint = free_endpoint();
    let mut daemon = action(&format!("@{endpoint}"), "PUSH", "").start();
    daemon.feed(0..100);
    let peer = Peer::new(zmq::PULL).connected_to(&endpoint);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// A socket that binds and calls calls again, too, what libzmq has given up: a peer that wants another
/// mechanism.
#[test]
fn a_binding_socket_calls_again_whoever_was_not_zeromq_before() {
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    let called = format!("tcp://{}", foreign.local_addr().expect("its address"));
    let endpoints = format!("@{},>{called}", free_endpoint());
    let mut daemon = action(&endpoints, "PUSH", "").start();
    let (mut stream, _) = foreign.accept().expect("it calls");
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..17].copy_from_slice(b"PLAIN");
    stream.write_all(&greeting).expect("greeted");
    daemon.wait_log(&["omrzmq[out]", "handshake failed", &called], SOON);
    drop((stream, foreign));
    let peer = Peer::new(zmq::PULL);
    peer.bind(&called);
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn binding_push_keeps_lines_over_a_stop() {
    let endpoint = free_endpoint();
    let site = action(&format!("@{endpoint}"), "PUSH", "");
    let mut daemon = site.start();
    daemon.feed(0..100);
    daemon.stop().clean().within(STOP);
    let mut daemon = site.start();
    let peer = Peer::new(zmq::PULL).connected_to(&endpoint);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
    assert!(site.spools().is_empty(), "a spool is left");
}

#[test]
fn output_that_cannot_bind_is_named_and_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tcp://{}", taken.local_addr().expect("its address"));
    let mut daemon = action(&endpoint, "PUB", "").start();
    daemon.wait_log(&["omrzmq[out]", &endpoint, "in use"], SOON);
    drop(taken);
    let subscriber = Peer::sub(&endpoint, &[""]);
    subscriber.wait_connected(secs(20));
    daemon.wait("a line for the subscriber", SOON, |daemon| {
        daemon.feeder().texts(["hello"]);
        subscriber.receive(millis(100))
    });
    daemon.stop().clean().within(STOP);
}

#[test]
fn publisher_serves_each_subscriber_its_topics() {
    let endpoint = free_endpoint();
    let mut daemon = action(&endpoint, "PUB", "topics=\"a.,b.\" topicframe=\"on\"").start();
    let subscribers = [("a.", 1), ("b.", 1), ("", 2), ("c.", 0)]
        .map(|(topic, copies)| (Peer::sub(&endpoint, &[topic]), topic, copies));
    for (subscriber, topic, _) in &subscribers {
        subscriber.wait_connected(SOON);
        if *topic != "c." {
            daemon.wait("a line for each subscriber", SOON, |daemon| {
                daemon.feeder().texts(["warm-up"]);
                subscriber.receive(millis(100))
            });
        }
    }
    daemon.feed(0..100);
    for (subscriber, topic, copies) in &subscribers {
        let all = subscriber.rest(millis(400));
        let count = all.iter().filter(|line| line.contains("n=")).count();
        assert_eq!(count, 100 * copies, "topic \"{topic}\"");
    }
    daemon.stop().clean().within(STOP);
}

/// The messages with a line of ours in them, up to the last of these numbers.
fn numbered_messages(subscriber: &Peer, last: usize) -> Vec<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    loop {
        let message = subscriber.receive(secs(20)).expect("all messages");
        let number = number_of(&String::from_utf8_lossy(message.last().expect("a frame")));
        messages.extend(number.map(|_| message));
        if number == Some(last) {
            return messages;
        }
    }
}

/// The id and the number in a frame of numbers: docs/protocol.md.
fn id_and_number(frame: &[u8]) -> (u64, u64) {
    assert!(frame.len() == 20 && frame.starts_with(b"rzn1"), "{frame:?}");
    let word = |at: usize| u64::from_le_bytes(frame[at..at + 8].try_into().expect("eight bytes"));
    (word(4), word(12))
}

/// Of the same lines: with numbers there is one frame more, without them all is as ever.
#[test]
fn numbers_are_a_frame_between_topic_and_line_and_off_by_default() {
    let endpoints = [free_endpoint(), free_endpoint(), free_endpoint()];
    let [numbered, off, unsaid] = &endpoints;
    let action = |endpoint: &str, more: &str| {
        format!(
            "action(type=\"omrzmq\" endpoints=\"{endpoint}\" socktype=\"PUB\" topics=\"a.,b.\" \
             topicframe=\"on\" {more})"
        )
    };
    let site = Site::new()
        .with("main_queue(queue.workerThreads=\"1\")")
        .with("module(load=\"omrzmq\")")
        .with(&action(numbered, "pub.numbered=\"on\""))
        .with(&action(off, "pub.numbered=\"off\""))
        .with(&action(unsaid, ""));
    let mut daemon = site.start();
    let subscribers: Vec<_> =
        endpoints.iter().map(|endpoint| Peer::sub(endpoint, &["b."])).collect();
    for subscriber in &subscribers {
        daemon.wait("a line for each subscriber", SOON, |daemon| {
            daemon.feeder().texts(["warm-up"]);
            subscriber.receive(millis(100))
        });
    }
    daemon.feed(0..100);
    let [numbered, off, unsaid] = [0, 1, 2].map(|index| numbered_messages(&subscribers[index], 99));
    assert_eq!(off, unsaid);
    assert!(off.iter().all(|message| message.len() == 2 && message[0] == b"b."), "{off:?}");
    let ids: Vec<_> = numbered.iter().map(|message| id_and_number(&message[1])).collect();
    assert_eq!(ids.len(), 100);
    let (id, first) = ids[0];
    assert!(ids.iter().zip(first..).all(|(it, number)| *it == (id, number)), "{ids:?}");
    let without = numbered.into_iter().map(|mut message| {
        message.remove(1);
        message
    });
    assert_eq!(without.collect::<Vec<_>>(), off);
    daemon.stop().clean().within(STOP);
}

/// The binding socket is shared: so are its numbers.
#[test]
fn numbers_of_several_workers_are_those_of_one_publisher() {
    let endpoint = free_endpoint();
    let more = "topics=\"a.\" topicframe=\"on\" pub.numbered=\"on\" sndhwm=\"0\" \
                queue.type=\"LinkedList\" queue.size=\"100000\" queue.workerThreads=\"4\" \
                queue.workerThreadMinimumMessages=\"10\" queue.dequeueBatchSize=\"10\"";
    let mut daemon = action(&endpoint, "PUB", more).start();
    let subscriber = Peer::new(zmq::SUB).receive_hwm(0).subscribed(&[""]).connected_to(&endpoint);
    let before = daemon.wait("a line for the subscriber", SOON, |daemon| {
        daemon.feeder().texts(["warm-up"]);
        subscriber.receive(millis(100))
    });
    daemon.feed(0..20_000);
    let (id, mut last) = id_and_number(&before[1]);
    let mut lines = Vec::new();
    while lines.len() < 20_000 {
        let message = subscriber.receive(secs(20)).expect("a message");
        last += 1;
        assert_eq!(id_and_number(&message[1]), (id, last));
        let line = String::from_utf8_lossy(&message[2]).into_owned();
        lines.extend(number_of(&line).map(|_| line));
    }
    Oracle::judge(0..20_000, &lines).once();
    daemon.stop().clean().within(STOP);
}

#[test]
fn publisher_without_subscribers_holds_nothing_up() {
    let endpoint = free_endpoint();
    let mut daemon = action(&endpoint, "PUB", "").file("out.log", "%msg%\\n").start();
    daemon.feed(0..5000);
    daemon.wait_lines("out.log", 5000, SOON);
    daemon.stop().clean().within(STOP);
}

#[test]
fn slow_subscriber_loses_nothing_with_nodrop() {
    let endpoint = free_endpoint();
    let more = "pub.nodrop=\"on\" sndhwm=\"10\" queue.type=\"LinkedList\" queue.size=\"10000\" \
                topics=\"a.\" topicframe=\"on\" pub.numbered=\"on\"";
    let site = Site::new()
        .global("maxMessageSize=\"64k\"")
        .sending("", &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUB\" {more}"));
    let mut daemon = site.start();
    let subscriber = Peer::new(zmq::SUB).narrow().subscribed(&[""]).connected_to(&endpoint);
    daemon.wait("a line for the subscriber", SOON, |daemon| {
        daemon.feeder().texts(["warm-up"]);
        subscriber.receive(millis(100))
    });
    subscriber.rest(millis(200));
    let padding = "x".repeat(20_000);
    daemon.feeder().texts((0..500).map(|n| format!("{} {padding}", numbered(n))));
    daemon.wait_stats("omrzmq", "out", "a wait", |c| c["waits"] >= 1);
    // a message that had to wait has the number it would have had
    let messages = numbered_messages(&subscriber, 499);
    let (id, first) = id_and_number(&messages[0][1]);
    let numbers = messages.iter().map(|message| id_and_number(&message[1]));
    assert!(numbers.eq((first..first + 500).map(|number| (id, number))));
    let lines = messages.iter().map(|message| String::from_utf8_lossy(&message[2]));
    Oracle::judge(0..500, &lines.collect::<Vec<_>>()).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// A publisher's lines are not kept over a stop: that is said and counted, not silent.
#[test]
fn stop_with_a_full_subscriber_and_nodrop_says_what_is_lost() {
    let endpoint = free_endpoint();
    let more = "pub.nodrop=\"on\" sndhwm=\"10\"";
    let site = Site::new()
        .global("maxMessageSize=\"64k\"")
        .sending("", &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUB\" {more}"));
    let mut daemon = site.start();
    let subscriber = Peer::new(zmq::SUB).narrow().subscribed(&[""]).connected_to(&endpoint);
    daemon.wait("a line for the subscriber", SOON, |daemon| {
        daemon.feeder().texts(["warm-up"]);
        subscriber.receive(millis(100))
    });
    let padding = "x".repeat(20_000);
    daemon.feeder().texts((0..500).map(|n| format!("{} {padding}", numbered(n))));
    daemon.wait_stats("omrzmq", "out", "a wait", |c| c["waits"] >= 1);
    daemon.stop().clean().within(STOP);
    assert!(daemon.logged(&["omrzmq[out]", "discarded"]), "no word of lines that are lost");
}

#[test]
fn several_workers_share_one_publisher() {
    let endpoint = free_endpoint();
    let more = "sndhwm=\"0\" queue.type=\"LinkedList\" queue.size=\"100000\" \
                queue.workerThreads=\"4\" queue.workerThreadMinimumMessages=\"10\" \
                queue.dequeueBatchSize=\"10\"";
    let mut daemon = action(&endpoint, "PUB", more).start();
    let subscriber = Peer::new(zmq::SUB).receive_hwm(0).subscribed(&[""]).connected_to(&endpoint);
    daemon.wait("a line for the subscriber", SOON, |daemon| {
        daemon.feeder().texts(["warm-up"]);
        subscriber.receive(millis(100))
    });
    subscriber.rest(millis(200));
    daemon.feed(0..20_000);
    Oracle::judge(0..20_000, &subscriber.take_all(20_000, secs(20))).once();
    daemon.stop().clean().within(STOP);
}

#[test]
fn several_workers_with_a_socket_each() {
    let (peer, endpoint) = Peer::pull();
    let more = "queue.type=\"LinkedList\" queue.size=\"100000\" queue.workerThreads=\"4\" \
                queue.workerThreadMinimumMessages=\"10\" queue.dequeueBatchSize=\"10\" \
                queue.timeoutShutdown=\"10000\"";
    let mut daemon = action(&endpoint, "PUSH", more).start();
    daemon.feed(0..20_000);
    Oracle::judge(0..20_000, &peer.take_all(20_000, secs(20))).once();
    daemon.stop().clean().within(STOP);
}

#[test]
fn counters_add_up() {
    let (peer, endpoint) = Peer::pull();
    let mut daemon = action(&endpoint, "PUSH", "").start();
    daemon.feed(0..1234);
    let lines = peer.take_all(1234, SOON);
    Oracle::judge(0..1234, &lines).once_in_order();
    let bytes: usize = lines.iter().map(String::len).sum();
    let counters = daemon.wait_stats("omrzmq", "out", "sent=1234", |c| c["sent"] == 1234);
    assert_eq!(counters["bytes"], bytes as i64, "{counters:?}");
    assert_eq!(counters["connections"], 1, "{counters:?}");
    assert_eq!((counters["spooled"], counters["discarded"], counters["suspended"]), (0, 0, 0));
}

/// The main job at speed: two daemons, CURVE, PUSH to PULL.
#[test]
fn hundred_thousand_lines_arrive_once_and_in_order() {
    let _alone = harness::alone();
    let endpoint = free_endpoint();
    // With more than one worker for its main queue, rsyslog itself gives up the order.
    let one_worker = "main_queue(queue.workerThreads=\"1\")";
    let receiver = Site::new().with(one_worker);
    let (server, client) = (harness::Keys::new("server"), harness::Keys::new("client"));
    server.write(&receiver.path("keys"));
    client.write(&receiver.path("keys"));
    client.write_public(&receiver.path("allowed"));
    let keys = receiver.path("keys").display().to_string();
    let allowed = receiver.path("allowed").display().to_string();
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" authtype=\"CURVESERVER\" \
         servercertpath=\"{keys}/server\" clientcertpath=\"{allowed}\""
    );
    let mut receiving = receiver.receiving("", &input).start();
    let trust = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{keys}/server\" \
         clientcertpath=\"{keys}/client\""
    );
    let mut sending = action(&endpoint, "PUSH", &trust).with(one_worker).start();
    sending.feed(0..100_000);
    let lines = receiving.wait_lines("out.log", 100_000, secs(60));
    Oracle::judge(0..100_000, &lines).once_in_order();
    sending.stop().clean().within(STOP);
    receiving.stop().clean().within(STOP);
}
