//! Faults that crash rsyslogd or make it hang.

use harness::skip::skipped;
use harness::valgrind::{Findings, Valgrind};
use harness::{Flavour, Oracle, Peer, SOON, Site, ports::free_endpoint, secs};

use crate::{Pki, STOP, warm_up};

#[test]
fn ruleset_on_an_input_segfaults_at_shutdown() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let site = Site::new().receiving_in_ruleset("", &input);
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    peer.send_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn output_alone_with_authenticator_ignores_sigterm() {
    let site = Site::new();
    Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site);
    let action = format!("endpoints=\"{}\" socktype=\"PUB\"", free_endpoint());
    let mut daemon = site.sending(&parameters, &action).start();
    daemon.stop().clean().within(STOP);
}

#[test]
fn both_modules_with_authenticator_abort_at_start() {
    let (inward, outward) = (free_endpoint(), free_endpoint());
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site);
    let site = site
        .receiving(&parameters, &format!("endpoints=\"{inward}\" socktype=\"PULL\""))
        .sending(&parameters, &format!("endpoints=\"{outward}\" socktype=\"PUB\""));
    let mut daemon = site.start();
    let subscriber = Peer::new(zmq::SUB).subscribed(&[""]).curve_client(&pki.client, &pki.server);
    subscriber.connect(&outward);
    warm_up(&mut daemon, &subscriber);
    let peer = Peer::new(zmq::PUSH).curve_client(&pki.client, &pki.server);
    peer.connect(&inward);
    peer.send_numbers(0..10);
    Oracle::judge(0..10, &subscriber.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn authenticator_without_clientcertpath_segfaults() {
    let site = Site::new();
    Pki::filed_in(&site);
    let parameters = format!(
        "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{}\"",
        site.path("keys/server").display()
    );
    let endpoint = free_endpoint();
    let site = site.receiving(&parameters, &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""));
    let mut daemon = site.start();
    // Not even the wish to send may be understood as permission.
    let peer = Peer::push(&endpoint);
    assert!(!peer.connects(secs(1)), "a plaintext peer was let in");
    daemon.stop().clean().within(STOP);
    site.check().refuses(&["imrzmq", "clientcertpath"]);
}

#[test]
fn authtype_without_servercertpath_aborts() {
    let site = Site::new();
    Pki::filed_in(&site);
    let parameters = format!(
        "authtype=\"CURVESERVER\" authenticator=\"on\" clientcertpath=\"{}\"",
        site.path("allowed").display()
    );
    let endpoint = free_endpoint();
    let site = site
        .sending(&parameters, &format!("endpoints=\"{endpoint}\" socktype=\"PUB\""))
        .file("out.log", "%msg%\\n");
    let mut daemon = site.start();
    daemon.feed(0..3);
    daemon.wait_lines("out.log", 3, SOON);
    daemon.stop().clean().within(STOP);
    site.check().refuses(&["omrzmq", "servercertpath"]);
}

#[test]
fn misspelt_socktype_aborts_at_the_first_message() {
    let action = format!("endpoints=\"{}\" socktype=\"PUSSH\"", free_endpoint());
    let site = Site::sender("", &action).file("out.log", "%msg%\\n");
    let mut daemon = site.start();
    daemon.feed(0..3);
    daemon.wait_lines("out.log", 3, SOON);
    daemon.stop().clean().within(STOP);
    site.check().refuses(&["omrzmq", "socktype", "PUSSH", "PUSH"]);
}

#[test]
fn dynatopic_without_topics_segfaults_in_the_configuration_check() {
    let action = format!("endpoints=\"{}\" socktype=\"PUB\" dynatopic=\"on\"", free_endpoint());
    Site::sender("", &action).check().refuses(&["omrzmq", "dynatopic", "topics"]);
}

#[test]
fn topic_over_255_bytes_overflows_the_stack() {
    let topic = "t".repeat(300);
    let (inward, outward) = (free_endpoint(), free_endpoint());
    let site = Site::new()
        .receiving("", &format!("endpoints=\"{inward}\" socktype=\"SUB\" topics=\"{topic}\""))
        .sending(
            "",
            &format!(
                "endpoints=\"{outward}\" socktype=\"PUB\" topics=\"{topic}\" topicframe=\"on\""
            ),
        );
    site.check().accepts();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&inward);
    let mut daemon = site.start();
    let subscription = publisher.receive(SOON).expect("a subscription");
    assert_eq!(&subscription[0][1..], topic.as_bytes(), "the subscription");
    let subscriber = Peer::sub(&outward, &[&topic]);
    warm_up(&mut daemon, &subscriber);
    daemon.stop().clean().within(STOP);
}

/// Seen by valgrind: what is freed twice is often somebody else's by then, and nothing shows.
#[test]
fn template_is_freed_twice_at_shutdown() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("template_is_freed_twice_at_shutdown", why);
    }
    let (peer, endpoint) = Peer::pull();
    let site = Site::new()
        .with("template(name=\"own\" type=\"string\" string=\"%msg%\")")
        .sending("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\" template=\"own\""));
    let mut daemon = site.valgrind(Valgrind).start();
    daemon.feed(0..3);
    Oracle::judge(0..3, &peer.take_all(3, secs(30))).once_in_order();
    daemon.stop();
    Findings::of(&daemon).no_errors();
}

/// Seen by valgrind as well.
#[test]
fn curve_client_reads_the_server_key_after_freeing_it() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("curve_client_reads_the_server_key_after_freeing_it", why);
    }
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::client_parameters(&site);
    let server = Peer::new(zmq::PULL).curve_server(&pki.server);
    let action = format!("endpoints=\"{}\" socktype=\"PUSH\"", server.bind_free());
    let mut daemon = site.sending(&parameters, &action).valgrind(Valgrind).start();
    daemon.feed(0..3);
    Oracle::judge(0..3, &server.take_all(3, secs(30))).once_in_order();
    daemon.stop();
    Findings::of(&daemon).no_errors();
}

/// The switch itself: a run against the C modules must really load them.
#[test]
fn the_modules_under_test_are_the_ones_named() {
    let name = match Flavour::under_test() {
        Flavour::Rzmq => "imrzmq",
        Flavour::Czmq => "imczmq",
    };
    let endpoint = free_endpoint();
    let daemon = Site::receiver("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\"")).start();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("maps");
    assert!(maps.contains(&format!("{name}.so")), "{name}.so is not loaded");
}
