//! What users asked for upstream.

use harness::{Keys, Oracle, Peer, SOON, Site, ports::free_endpoint, secs};

use crate::{Pki, STOP};

#[test]
fn client_with_a_fresh_key_at_each_start() {
    let site = Site::new();
    let server = Keys::new("server");
    let public = server.write_public(&site.path("keys"));
    let peer = Peer::new(zmq::PULL).curve_server(&server);
    let parameters = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"*\"",
        public.display()
    );
    let action = format!("endpoints=\"{}\" socktype=\"PUSH\"", peer.bind_free());
    let site = site.sending(&parameters, &action);
    site.check().accepts();
    let mut daemon = site.start();
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// A socket type and credentials for each socket of one module.
#[test]
fn encrypted_and_plain_sockets_in_one_daemon() {
    let (inside, outside) = (free_endpoint(), free_endpoint());
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::server_parameters(&site);
    let site = site.receiving("", &format!("endpoints=\"{inside}\" socktype=\"PULL\"")).with(
        &format!("input(type=\"imrzmq\" endpoints=\"{outside}\" socktype=\"PULL\" {parameters})"),
    );
    site.check().accepts();
    let mut daemon = site.start();
    let _peer = Peer::push(&inside).with_numbers(0..10);
    daemon.wait_lines("out.log", 10, SOON);
    let friend = Peer::new(zmq::PUSH).curve_client(&pki.client, &pki.server);
    friend.connect(&outside);
    friend.send_numbers(10..20);
    let lines = daemon.wait_lines("out.log", 20, SOON);
    Oracle::judge(0..20, &lines).once_in_order();
}

/// An action queue that has room for 100 lines must not make the socket take the others.
#[test]
fn memory_does_not_grow_without_a_peer() {
    let action = format!(
        "endpoints=\"{}\" socktype=\"PUSH\" queue.type=\"LinkedList\" queue.size=\"100\" \
         queue.timeoutEnqueue=\"0\"",
        free_endpoint()
    );
    let mut daemon = Site::new().global("maxMessageSize=\"64k\"").sending("", &action).start();
    let padding = "x".repeat(60_000);
    daemon.feeder().texts((0..20).map(|n| format!("{n} {padding}")));
    let before = daemon.memory();
    daemon.feeder().texts((0..1200).map(|n| format!("{n} {padding}")));
    let grown = daemon.memory().saturating_sub(before) / 1024;
    assert!(grown < 40, "grew by {grown} MiB with 70 MiB of lines and no peer");
    daemon.stop().clean().within(STOP);
}

/// A client with the wrong server key.
#[test]
fn it_connects_and_nothing_arrives_and_no_error() {
    let site = Site::new();
    let pki = Pki::filed_in(&site);
    let parameters = Pki::client_parameters(&site);
    let peer = Peer::new(zmq::PULL).curve_server(&pki.stranger);
    let endpoint = peer.bind_free();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUSH\"");
    let mut daemon = site.sending(&parameters, &action).start();
    daemon.feed(0..1);
    daemon.wait_log(&["omrzmq", &endpoint], secs(10));
    daemon.stop().clean().within(STOP);
}
