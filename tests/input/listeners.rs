//! Listeners: several, impossible ones, with and without privileges, and what disturbs them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::skip::{is_root, skipped};
use harness::{Keys, Oracle, Peer, SOON, Site, ports::free_endpoint, secs, wait_until};

use crate::{STOP, pull};

#[test]
fn topics_by_comma_and_as_array_subscribe() {
    for topics in ["\"alpha, beta\"", "[\"alpha\", \"beta\"]"] {
        let endpoint = free_endpoint();
        let publisher = Peer::new(zmq::XPUB);
        publisher.bind(&endpoint);
        let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" topics={topics}");
        let daemon = Site::receiver("", &input).start();
        let mut subscriptions: Vec<_> = (0..2)
            .map(|_| publisher.receive(SOON).expect("a subscription"))
            .map(|frames| String::from_utf8_lossy(&frames[0][1..]).into_owned())
            .collect();
        subscriptions.sort();
        assert_eq!(subscriptions, ["alpha", "beta"]);
        drop(daemon);
    }
}

/// More than the 1000 messages that libzmq holds by default, which drops the rest.
#[test]
fn thousands_of_topics_all_subscribe() {
    let topics: Vec<_> = (0..3000).map(|number| format!("topic{number:05}")).collect();
    let endpoint = free_endpoint();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&endpoint);
    // On lines of their own: rsyslogd puts a line break into a line after each 10 KiB.
    let list = topics.join("\",\n\"");
    let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" topics=[\"{list}\"]");
    let daemon = Site::receiver("", &input).start();
    let mut subscriptions: Vec<_> = topics
        .iter()
        .map(|_| publisher.receive(SOON).expect("a subscription"))
        .map(|frames| String::from_utf8_lossy(&frames[0][1..]).into_owned())
        .collect();
    subscriptions.sort();
    let first_wrong = subscriptions.iter().zip(&topics).find(|(found, wanted)| found != wanted);
    assert_eq!(first_wrong, None);
    drop(daemon);
}

#[test]
fn one_input_may_have_several_endpoints() {
    let (tcp, connected) = (free_endpoint(), Peer::new(zmq::PUSH));
    let peer_endpoint = connected.bind_free();
    let site = Site::new();
    let ipc = format!("ipc://{}", site.path("in.sock").display());
    let input = format!("endpoints=\"{tcp},@{ipc} , >{peer_endpoint}\" socktype=\"PULL\"");
    let mut daemon = site.receiving("", &input).start();
    let _peer = Peer::push(&tcp).with_numbers(0..10);
    daemon.wait_lines("out.log", 10, SOON);
    let _peer = Peer::push(&ipc).with_numbers(10..20);
    daemon.wait_lines("out.log", 20, SOON);
    connected.send_numbers(20..30);
    let lines = daemon.wait_lines("out.log", 30, SOON);
    Oracle::judge(0..30, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// libzmq ends a process that has no file left for a peer of an `ipc://` path.
#[test]
fn an_ipc_path_and_few_files_draw_a_warning() {
    for (files, is_told) in [(1024, true), (4096, false)] {
        let site = Site::new().without_feed().global("processInternalMessages=\"on\"");
        let internal = site.path("internal.log").display().to_string();
        let ipc = format!("ipc://{}", site.path("in.sock").display());
        let site = site
            .with(&format!("$MaxOpenFiles {files}"))
            .with(&format!("action(type=\"omfile\" file=\"{internal}\")"))
            .receiving("", &format!("name=\"in\" endpoints=\"@{ipc}\" socktype=\"PULL\""));
        let mut daemon = site.start();
        let told = format!("imrzmq[in]: {ipc} is bound, and rsyslogd may open {files} files");
        let is_there = || site.lines("internal.log").iter().any(|line| line.contains(&told));
        if is_told {
            wait_until("the warning", SOON, || is_there().then_some(()));
        }
        daemon.stop().clean().within(STOP);
        assert_eq!(is_there(), is_told, "{files}");
    }
}

#[test]
fn listener_that_cannot_bind_is_named_and_tried_again() {
    let good = free_endpoint();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bad = format!("tcp://{}", taken.local_addr().expect("address"));
    let site = pull(&bad, "").with(&format!(
        "input(type=\"imrzmq\" name=\"good\" endpoints=\"{good}\" socktype=\"PULL\")"
    ));
    let mut daemon = site.start();
    daemon.wait_log(&["imrzmq[in]", &bad, "in use"], SOON);
    let _peer = Peer::push(&good).with_numbers(0..10);
    daemon.wait_lines("out.log", 10, SOON);
    drop(taken);
    let _peer = Peer::push(&bad).with_numbers(10..20);
    let lines = daemon.wait_lines("out.log", 20, secs(20));
    Oracle::judge(0..20, &lines).once_in_order();
    let said = daemon.log().lines().filter(|line| line.contains("imrzmq[in]")).count();
    assert!(said < 20, "said {said} times that it cannot bind");
    daemon.stop().clean().within(STOP);
}

#[test]
fn address_of_no_interface_is_named_and_others_run() {
    let good = free_endpoint();
    let site = pull("tcp://192.0.2.77:5140", "").with(&format!(
        "input(type=\"imrzmq\" name=\"good\" endpoints=\"{good}\" socktype=\"PULL\")"
    ));
    let mut daemon = site.start();
    daemon.wait_log(&["imrzmq[in]", "tcp://192.0.2.77:5140"], SOON);
    let _peer = Peer::push(&good).with_numbers(0..10);
    daemon.wait_lines("out.log", 10, SOON);
    daemon.stop().clean().within(STOP);
}

/// libzmq alone ends the process there. `Site::without_netlink` says where "there" is.
#[test]
fn service_that_may_not_ask_for_addresses_binds_any_and_refuses_others() {
    let wild = free_endpoint().replace("127.0.0.1", "*");
    let near = wild.replace('*', "127.0.0.1");
    let named = free_endpoint();
    let source = format!(">{}", free_endpoint().replace("//", "//127.0.0.1:0;"));
    let site = pull(&wild, "").without_netlink().with(&format!(
        "input(type=\"imrzmq\" name=\"named\" endpoints=\"{named}\" socktype=\"PULL\")
         input(type=\"imrzmq\" name=\"source\" endpoints=\"{source}\" socktype=\"PULL\")"
    ));
    let mut daemon = site.start();
    let why = "may not ask for the host's addresses (Address family not supported by protocol)";
    daemon.wait_log(&["imrzmq[named]", "cannot bind", &named, why, "write *"], SOON);
    daemon.wait_log(&["imrzmq[source]", "cannot connect to", &source, why], SOON);
    let _peer = Peer::push(&near).with_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn hup_in_the_middle_of_a_stream_is_harmless() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").start();
    let peer = Peer::push(&endpoint);
    for part in 0..10 {
        peer.send_numbers(part * 500..(part + 1) * 500);
        daemon.hup();
    }
    let lines = daemon.wait_lines("out.log", 5000, SOON);
    Oracle::judge(0..5000, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// Below 1024 there are few ports and other programs: the first that is free at an address of the
/// test's own.
fn free_low_port(address: &str) -> Option<u16> {
    (700..1000).find(|&port| TcpListener::bind((address, port)).is_ok())
}

/// A low port and a key that root alone can read, with privileges dropped afterwards.
#[test]
fn low_port_and_root_only_key_with_privilege_drop() {
    if !is_root() {
        return skipped("low_port_and_root_only_key_with_privilege_drop", "needs root");
    }
    let Some(port) = free_low_port("127.0.0.5") else {
        return skipped("low_port_and_root_only_key_with_privilege_drop", "no free low port");
    };
    let endpoint = format!("tcp://127.0.0.5:{port}");
    let site = Site::new();
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    server.write(&site.path("keys"));
    client.write_public(&site.path("allowed"));
    let open = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(site.path("keys"), open(0o700)).expect("mode");
    fs::set_permissions(site.path(""), open(0o755)).expect("mode");
    fs::set_permissions(site.work(), open(0o777)).expect("mode");
    fs::create_dir(site.path("logs")).expect("folder");
    fs::set_permissions(site.path("logs"), open(0o777)).expect("mode");
    let trust = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("allowed").display()
    );
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {trust}");
    let site = site
        .without_feed()
        .with("$PrivDropToUser nobody")
        .with("$PrivDropToGroup nogroup")
        .with(&format!("module(load=\"imrzmq\")\ninput(type=\"imrzmq\" {input})"))
        .file("logs/out.log", "%msg%\\n");
    let mut daemon = site.start();
    assert_ne!(daemon.proc_status("Uid:"), 0, "rsyslogd still runs as root");
    let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
    peer.connect(&endpoint);
    peer.send_numbers(0..10);
    let lines = daemon.wait_lines("logs/out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// A key that is replaced after the privileges are gone needs the address anew, and there is no right
/// to a low port any more: the old key stays, and the address too.
#[test]
fn low_port_outlives_a_new_key_with_privileges_dropped() {
    use std::os::unix::fs::chown;
    const NOBODY: u32 = 65_534;
    if !is_root() {
        return skipped("low_port_outlives_a_new_key_with_privileges_dropped", "needs root");
    }
    let Some(port) = free_low_port("127.0.0.6") else {
        return skipped(
            "low_port_outlives_a_new_key_with_privileges_dropped",
            "no low port is free",
        );
    };
    let endpoint = format!("tcp://127.0.0.6:{port}");
    let site = Site::new();
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    let write = |keys: &Keys, folder: &str| {
        keys.write(&site.path(folder));
        chown(site.path(&format!("{folder}/server_secret")), Some(NOBODY), None).expect("chown");
    };
    write(&server, "keys");
    client.write_public(&site.path("allowed"));
    let open = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(site.path(""), open(0o755)).expect("mode");
    fs::set_permissions(site.work(), open(0o777)).expect("mode");
    fs::create_dir(site.path("logs")).expect("folder");
    fs::set_permissions(site.path("logs"), open(0o777)).expect("mode");
    let trust = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("allowed").display()
    );
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {trust}");
    let new = Keys::new("server");
    write(&new, "new");
    let new = site.path("new/server_secret");
    let secret = site.path("keys/server_secret");
    let site = site
        .without_feed()
        .with("$PrivDropToUser nobody")
        .with("$PrivDropToGroup nogroup")
        .with(&format!("module(load=\"imrzmq\")\ninput(type=\"imrzmq\" {input})"))
        .file("logs/out.log", "%msg%\\n");
    let mut daemon = site.start();
    let pusher = || {
        let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
        peer.connect(&endpoint);
        peer
    };
    let early = pusher();
    early.send_numbers(0..10);
    daemon.wait_lines("logs/out.log", 10, SOON);
    fs::rename(new, secret).expect("the new key");
    daemon.wait_log(&["imrzmq[in]", "no right to bind", "stays until a restart"], SOON);
    let late = pusher();
    late.send_numbers(10..20);
    let lines = daemon.wait_lines("logs/out.log", 20, SOON);
    Oracle::judge(0..20, &lines).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// The spool is opened with the rights that remain.
#[test]
fn output_spools_with_privileges_dropped() {
    if !is_root() {
        return skipped("output_spools_with_privileges_dropped", "needs root");
    }
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""))
        .with("$PrivDropToUser nobody")
        .with("$PrivDropToGroup nogroup");
    let open = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(site.path(""), open(0o777)).expect("mode");
    fs::set_permissions(site.work(), open(0o777)).expect("mode");
    let mut daemon = site.start();
    assert_ne!(daemon.proc_status("Uid:"), 0, "rsyslogd still runs as root");
    daemon.feed(0..50);
    daemon.stop().clean().within(STOP);
    assert_eq!(site.spools().len(), 1, "a spool");
    let mut daemon = site.start();
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    Oracle::judge(0..50, &peer.take_all(50, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// What has arrived when the peer closes is still read, whole.
#[test]
fn publisher_that_goes_away_crashes_nothing_and_takes_nothing_along() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" topics=\"log.\"");
    let mut daemon = Site::receiver("", &input).start();
    for round in 0..20 {
        let publisher = Peer::new(zmq::XPUB).lingering();
        publisher.bind(&endpoint);
        publisher.receive(SOON).expect("a subscription");
        for number in round * 500..(round + 1) * 500 {
            let line = syslog_line(&numbered(number));
            assert!(publisher.send(&[b"log.web", line.as_bytes()], SOON));
        }
        drop(publisher);
        daemon.wait_lines("out.log", (round + 1) * 500, SOON);
    }
    Oracle::judge(0..10_000, &daemon.lines("out.log")).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// libzmq never again calls a publisher whose message was too long; the input does.
#[test]
fn publisher_whose_line_was_too_long_is_heard_again() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" maxmsgsize=\"1000\"");
    let mut daemon = Site::receiver("", &input).start();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&endpoint);
    publisher.receive(SOON).expect("a subscription");
    assert!(publisher.send(&[&[b'x'; 2000]], SOON));
    daemon.wait_log(&["connection lost at", &endpoint], SOON);
    let again = |frames: Option<Vec<Vec<u8>>>| frames.is_some_and(|frames| frames[0] == [1]);
    daemon.wait("a subscription again", SOON, |_| {
        again(publisher.receive(harness::millis(100))).then_some(())
    });
    publisher.send_numbers(0..10);
    Oracle::judge(0..10, &daemon.wait_lines("out.log", 10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// A peer that sends garbage instead of ZMTP disturbs nobody.
#[test]
fn garbage_on_the_port_is_harmless() {
    use std::io::Write;
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").start();
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 1000], b"<13>plain syslog\n", b"\xff"] {
        let mut stream = std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://"))
            .expect("connection");
        let _ = stream.write_all(garbage);
    }
    let _peer = Peer::push(&endpoint).with_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.assert_alive();
}

/// A connection that says nothing is given up after the handshake's three seconds.
#[test]
fn silent_connection_is_closed() {
    use std::io::Read;
    let endpoint = free_endpoint();
    let _daemon = pull(&endpoint, "").start();
    let mut stream =
        std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://")).expect("a connection");
    stream.set_read_timeout(Some(secs(8))).expect("time-out");
    let mut greeting = Vec::new();
    assert!(stream.read_to_end(&mut greeting).is_ok(), "a silent connection is kept");
}

/// Peers that come and go, friends and strangers, leave nothing behind.
#[test]
fn peers_that_come_and_go_leave_no_descriptor_behind() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    server.write(&site.path("keys"));
    client.write_public(&site.path("allowed"));
    let trust = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("allowed").display()
    );
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {trust}");
    let mut daemon = site.receiving("", &input).start();
    let descriptors = format!("/proc/{}/fd", daemon.pid());
    let count = || fs::read_dir(&descriptors).expect("descriptors").count();
    let mut settled = 0;
    for round in 0..50 {
        let stranger = Peer::new(zmq::PUSH).curve_client(&Keys::new("stranger"), &server);
        stranger.connect(&endpoint);
        let friend = Peer::new(zmq::PUSH).curve_client(&client, &server);
        friend.connect(&endpoint);
        friend.send_numbers(round..round + 1);
        daemon.wait_lines("out.log", round + 1, SOON);
        if round == 5 {
            settled = count();
        }
    }
    daemon.wait("as many descriptors as before", SOON, |_| (count() <= settled).then_some(()));
    Oracle::judge(0..50, &daemon.lines("out.log")).once_in_order();
}
