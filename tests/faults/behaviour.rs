//! Faults that do the wrong thing without losing or crashing.

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::{Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs};

use crate::{Pki, STOP, warm_up};

#[test]
fn connecttimeout_is_documented_but_rejects_the_action() {
    let (peer, endpoint) = Peer::pull();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUSH\" connecttimeout=\"2000\"");
    let site = Site::sender("", &action);
    site.check().accepts();
    let mut daemon = site.start();
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn topicframe_off_still_sends_two_frames() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!("endpoints=\"{endpoint}\" socktype=\"PUB\" topics=\"alpha\" topicframe=\"off\""),
    );
    let mut daemon = site.start();
    let subscriber = Peer::sub(&endpoint, &["alpha"]);
    warm_up(&mut daemon, &subscriber);
    daemon.feed(0..1);
    let frames = subscriber.receive(SOON).expect("a message");
    assert_eq!(frames.len(), 1, "frames");
    let text = String::from_utf8_lossy(&frames[0]).into_owned();
    assert!(text.starts_with("alpha<13>") && text.contains(&numbered(0)), "{text}");
}

#[test]
fn router_identity_becomes_a_message_of_its_own() {
    let endpoint = free_endpoint();
    let site = Site::receiver("", &format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\""))
        .file("raw.log", "%rawmsg%\\n");
    let mut daemon = site.start();
    let peer = Peer::new(zmq::DEALER).identity(b"dealer-one").connected_to(&endpoint);
    peer.send_numbers(0..10);
    daemon.wait("the last line", SOON, |daemon| {
        daemon.lines("raw.log").iter().any(|line| line.contains(&numbered(9))).then_some(())
    });
    Oracle::judge(0..10, &daemon.lines("raw.log")).once_in_order();
}

#[test]
fn topic_frame_becomes_a_message_of_its_own() {
    let endpoint = free_endpoint();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&endpoint);
    let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" topics=\"alpha\"");
    let mut daemon = Site::receiver("", &input).file("raw.log", "%rawmsg%\\n").start();
    publisher.receive(SOON).expect("a subscription");
    for number in 0..10 {
        let line = syslog_line(&numbered(number));
        assert!(publisher.send(&[b"alpha", line.as_bytes()], SOON));
    }
    daemon.wait("the last line", SOON, |daemon| {
        daemon.lines("raw.log").iter().any(|line| line.contains(&numbered(9))).then_some(())
    });
    Oracle::judge(0..10, &daemon.lines("raw.log")).once_in_order();
}

#[test]
fn nul_byte_cuts_the_message() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut daemon = Site::receiver("", &input).start();
    let peer = Peer::push(&endpoint);
    peer.send_texts([syslog_line("before\0after")]);
    let lines = daemon.wait_lines("out.log", 1, SOON);
    assert!(lines[0].contains("before") && lines[0].contains("after"), "{lines:?}");
}

#[test]
fn fromhost_ip_is_always_127_0_0_1() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let site = Site::receiver("", &input).file("from.log", "%fromhost-ip%\\n");
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint.replace("tcp://", "tcp://127.0.0.2:0;"));
    peer.send_numbers(0..1);
    assert_eq!(daemon.wait_lines("from.log", 1, SOON), ["127.0.0.2"]);
}

#[test]
fn authtype_in_lower_case_means_plaintext_without_a_word() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site).replace("CURVESERVER", "curveserver");
    let site = site.receiving(&parameters, &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""));
    site.check().accepts();
    let mut daemon = site.start();
    let stranger = Peer::push(&endpoint);
    assert!(!stranger.connects(secs(1)), "a plaintext peer was let in");
    let friend = Peer::new(zmq::PUSH).curve_client(&pki.client, &pki.server);
    friend.connect(&endpoint);
    friend.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}

#[test]
fn curve_server_without_authenticator_accepts_any_key() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site).replace("authenticator=\"on\" ", "");
    let site = site.receiving(&parameters, &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""));
    let mut daemon = site.start();
    let stranger = Peer::new(zmq::PUSH).curve_client(&pki.stranger, &pki.server);
    stranger.connect(&endpoint);
    assert!(!stranger.connects(secs(1)), "a stranger's key was let in");
    let friend = Peer::new(zmq::PUSH).curve_client(&pki.client, &pki.server);
    friend.connect(&endpoint);
    friend.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}

#[test]
fn refused_key_logs_nothing() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site);
    let site = site.receiving(&parameters, &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""));
    let mut daemon = site.start();
    let stranger = Peer::new(zmq::PUSH).curve_client(&pki.stranger, &pki.server);
    stranger.connect(&endpoint.replace("tcp://", "tcp://127.0.0.9:0;"));
    daemon.wait_log(&["imrzmq", "127.0.0.9", &pki.stranger.public_z85()], SOON);
}

#[test]
fn one_bad_endpoint_stops_all_listeners_while_the_daemon_runs_on() {
    let endpoint = free_endpoint();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let bad = format!("tcp://{}", taken.local_addr().expect("its address"));
    let site = Site::receiver("", &format!("endpoints=\"{bad}\" socktype=\"PULL\""))
        .with(&format!("input(type=\"imrzmq\" endpoints=\"{endpoint}\" socktype=\"PULL\")"));
    let mut daemon = site.start();
    daemon.wait_log(&[&bad], SOON);
    let peer = Peer::push(&endpoint);
    peer.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// Either the check says so, or it gets everything.
#[test]
fn sub_without_topics_receives_nothing_silently() {
    let endpoint = free_endpoint();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&endpoint);
    let site = Site::receiver("", &format!("endpoints=\"{endpoint}\" socktype=\"SUB\""));
    let check = site.check();
    if check.complaints().iter().any(|line| line.contains("topics")) {
        return;
    }
    let mut daemon = site.start();
    assert!(publisher.receive(SOON).is_some(), "no subscription, and no word about it");
    publisher.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}

/// As LogTalez' published configuration has it.
#[test]
fn credentials_on_the_action_mean_plaintext_to_everybody() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site).replace("authenticator=\"on\" ", "");
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUB\" {parameters}");
    let site = site.sending("", &action);
    site.check().accepts();
    let mut daemon = site.start();
    let friend = Peer::new(zmq::SUB).subscribed(&[""]).curve_client(&pki.client, &pki.server);
    friend.connect(&endpoint);
    let anybody = Peer::sub(&endpoint, &[""]);
    warm_up(&mut daemon, &friend);
    assert!(anybody.receive(millis(500)).is_none(), "a plaintext subscriber was served");
}

#[test]
fn credentials_on_the_input_mean_plaintext_from_everybody() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site).replace("authenticator=\"on\" ", "");
    let site =
        site.receiving("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\" {parameters}"));
    site.check().accepts();
    let mut daemon = site.start();
    assert!(!Peer::push(&endpoint).connects(secs(1)), "a plaintext peer was let in");
    let friend = Peer::new(zmq::PUSH).curve_client(&pki.client, &pki.server);
    friend.connect(&endpoint);
    friend.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}
