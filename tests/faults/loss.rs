//! Faults that lose lines without a word.

use std::time::Instant;

use harness::{Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs};

use crate::{Pki, STOP, warm_up};

#[test]
fn suspend_then_resume_throws_away_what_the_socket_held() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!(
            "endpoints=\"{endpoint}\" socktype=\"PUSH\" sendtimeout=\"100\" \
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" queue.type=\"LinkedList\" queue.size=\"10000\""
        ),
    );
    let mut daemon = site.start();
    daemon.feed(0..1500);
    std::thread::sleep(secs(3)); // the fault needs time to happen in: three sendtimeouts and a resume
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    Oracle::judge(0..1500, &peer.take_all(1500, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn shutdown_throws_away_everything_unsent() {
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""));
    let mut daemon = site.start();
    daemon.feed(0..500);
    daemon.stop().clean().within(STOP);
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    let mut daemon = site.start();
    // The C modules make a socket with the first line only: give them one.
    daemon.feed(500..501);
    Oracle::judge(0..501, &peer.take_all(501, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn wrong_certificate_path_lets_everything_succeed_into_nothing() {
    let site = Site::new();
    Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site).replace("keys/server", "keys/nobody");
    let action = format!("endpoints=\"{}\" socktype=\"PUB\"", free_endpoint());
    let path = site.path("keys/nobody").display().to_string();
    let site = site.sending(&parameters, &action);
    site.check().refuses(&["omrzmq", "servercertpath", &path]);
}

#[test]
fn pub_binds_only_at_the_first_message_and_loses_it() {
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUB\""));
    let mut daemon = site.start();
    let subscriber = Peer::sub(&endpoint, &[""]);
    subscriber.wait_connected(SOON);
    // The subscription is on its way right behind the handshake; nothing tells when it is there.
    std::thread::sleep(millis(200));
    daemon.feed(0..1);
    Oracle::judge(0..1, &subscriber.take_all(1, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn one_blocked_action_stalls_all_others() {
    let (peer, alive) = Peer::pull();
    let absent = free_endpoint();
    let queue = "queue.type=\"LinkedList\" queue.size=\"10000\"";
    let site = Site::sender("", &format!("endpoints=\"{absent}\" socktype=\"PUSH\" {queue}"))
        .with(&format!("action(type=\"omrzmq\" endpoints=\"{alive}\" socktype=\"PUSH\" {queue})"));
    let mut daemon = site.start();
    // In portions: the socket without a peer is full long before the last, whichever worker goes
    // first.
    for part in 0..30 {
        let portion = part * 100..(part + 1) * 100;
        daemon.feed(portion.clone());
        Oracle::judge(portion, &peer.take_all(100, SOON)).once_in_order();
    }
    daemon.stop().clean().within(STOP);
}

/// The action's queue has room for 100 lines and drops the others, so what arrives in the end is
/// what the queue, a batch and the socket had taken while there was no peer.
#[test]
fn sendhwm_is_parsed_but_never_applied() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!(
            "endpoints=\"{endpoint}\" socktype=\"PUSH\" sendhwm=\"10\" immediate=\"off\" \
             queue.type=\"LinkedList\" queue.size=\"100\" queue.timeoutEnqueue=\"0\" \
             queue.dequeueBatchSize=\"10\""
        ),
    );
    let mut daemon = site.start();
    for part in 0..18 {
        daemon.feed(part * 50..(part + 1) * 50);
        std::thread::sleep(millis(30)); // for a worker that takes them, more than it needs
    }
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    let found = Oracle::judge(0..900, &peer.take_all(900, secs(3)));
    found.nothing_doubled();
    assert!(found.received <= 200, "the socket took {} lines with no peer there", found.received);
    daemon.stop().clean().within(STOP);
}

#[test]
fn failing_within_a_topic_list_sends_the_earlier_topics_again() {
    let endpoint = free_endpoint();
    let site = Site::new().global("maxMessageSize=\"64k\"").sending(
        "",
        &format!(
            "endpoints=\"{endpoint}\" socktype=\"PUB\" topics=\"a:,b:,c:\" pub.nodrop=\"on\" \
             sendhwm=\"5\""
        ),
    );
    let mut daemon = site.start();
    let subscriber = Peer::new(zmq::SUB).narrow().subscribed(&[""]).connected_to(&endpoint);
    warm_up(&mut daemon, &subscriber);
    let padding = "x".repeat(20_000);
    let texts = (0..300).map(|n| format!("{} {padding}", harness::oracle::numbered(n)));
    daemon.feeder().texts(texts);
    // Slower than the publisher, so that its pipe is full again and again.
    let end = Instant::now() + secs(20);
    let mut received = Vec::new();
    while received.len() < 900 && Instant::now() < end {
        match subscriber.receive(secs(1)) {
            Some(frames) => received.push(String::from_utf8_lossy(&frames[0]).into_owned()),
            None => break,
        }
    }
    received.extend(subscriber.rest(millis(300)));
    for topic in ["a:", "b:", "c:"] {
        let lines: Vec<_> = received.iter().filter(|text| text.starts_with(topic)).collect();
        Oracle::judge(0..300, &lines).nothing_doubled();
    }
    daemon.stop().clean().within(STOP);
}

#[test]
fn input_has_no_flow_control() {
    let endpoint = free_endpoint();
    let site = Site::new().receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"100\" queue.timeoutEnqueue=\"0\" \
         queue.dequeueBatchSize=\"10\" queue.dequeueSlowdown=\"500\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""),
    );
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    peer.send_numbers(0..3000);
    let lines = daemon.wait_lines("out.log", 3000, secs(20));
    Oracle::judge(0..3000, &lines).once_in_order();
}
