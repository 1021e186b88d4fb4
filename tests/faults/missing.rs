//! What the C modules lack altogether.

use std::io::Read;
use std::net::TcpListener;
use std::time::Instant;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::{Keys, Oracle, Peer, Rsyslogd, SOON, Site, millis, ports::free_port, secs};

use crate::{STOP, warm_up};

#[test]
fn no_statistics() {
    let endpoint = free_endpoint();
    let (peer, outward) = Peer::pull();
    let site = Site::new()
        .receiving("", &format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\""))
        .sending("", &format!("name=\"out\" endpoints=\"{outward}\" socktype=\"PUSH\""));
    let mut daemon = site.start();
    let source = Peer::push(&endpoint);
    source.send_numbers(0..100);
    let received = peer.take_all(100, SOON);
    let bytes: usize = received.iter().map(String::len).sum();
    let counters = daemon.wait_stats("imrzmq", "in", "received=100", |c| c["received"] == 100);
    assert_eq!(counters["submitted"], 100);
    let counters = daemon.wait_stats("omrzmq", "out", "sent=100", |c| c["sent"] == 100);
    assert_eq!(counters["bytes"], bytes as i64);
}

#[test]
fn no_hup() {
    let endpoint = free_endpoint();
    let (peer, outward) = Peer::pull();
    let site = Site::new()
        .receiving("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""))
        .sending("", &format!("endpoints=\"{outward}\" socktype=\"PUSH\""));
    let mut daemon = site.start();
    let source = Peer::push(&endpoint);
    for part in 0..5 {
        source.send_numbers(part * 200..(part + 1) * 200);
        daemon.hup();
    }
    Oracle::judge(0..1000, &peer.take_all(1000, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn no_rate_limit() {
    let endpoint = free_endpoint();
    let site = Site::receiver(
        "",
        &format!(
            "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" ratelimit.interval=\"60\" \
             ratelimit.burst=\"10\""
        ),
    );
    site.check().accepts();
    let mut daemon = site.start();
    let _peer = Peer::push(&endpoint).with_numbers(0..100);
    let counters = daemon.wait_stats("imrzmq", "in", "all accounted for", |c| c["received"] == 100);
    assert_eq!(counters["discarded_ratelimit"], 90);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    assert_eq!(lines.iter().filter(|line| line.contains("n=")).count(), 10);
}

/// Told by rsyslog's own debug log: the ways a batch goes have words of their own there.
#[test]
fn no_batches() {
    let endpoint = free_endpoint();
    let (peer, outward) = Peer::pull();
    let site = Site::new()
        .receiving("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""))
        .sending("", &format!("endpoints=\"{outward}\" socktype=\"PUSH\""));
    let log = site.path("debug.log");
    let site = site
        .environment("RSYSLOG_DEBUG", "Debug NoStdOut")
        .environment("RSYSLOG_DEBUGLOG", &log.display().to_string());
    let mut daemon = site.start();
    let source = Peer::push(&endpoint);
    source.send_numbers(0..200);
    Oracle::judge(0..200, &peer.take_all(200, SOON)).once_in_order();
    daemon.stop().clean();
    let log = String::from_utf8_lossy(&std::fs::read(&log).expect("debug log")).into_owned();
    assert!(!log.contains("isTransactional 0"), "the output takes line after line");
    assert!(log.contains("MultiEnqObj advised worker start"), "the input submits line after line");
}

#[test]
fn no_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return harness::skip::skipped("no_ipv6", "this machine has no ::1");
    }
    let endpoint = format!("tcp://[::1]:{}", free_port());
    let (outward, sink) = (format!("tcp://[::1]:{}", free_port()), Peer::new(zmq::PULL).ipv6());
    sink.bind(&outward);
    let site = Site::new()
        .receiving("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\" ipv6=\"on\""))
        .file("from.log", "%fromhost-ip%\\n")
        .sending("", &format!("endpoints=\"{outward}\" socktype=\"PUSH\" ipv6=\"on\""));
    site.check().accepts();
    let mut daemon = site.start();
    let source = Peer::new(zmq::PUSH).ipv6().connected_to(&endpoint);
    source.send_numbers(0..3);
    Oracle::judge(0..3, &sink.take_all(3, SOON)).once_in_order();
    assert_eq!(daemon.wait_lines("from.log", 3, SOON)[0], "::1");
}

/// Large lines, so that what the kernels hold is few of them.
#[test]
fn no_receive_high_water_mark() {
    let endpoint = free_endpoint();
    let site = Site::new().global("maxMessageSize=\"64k\"").receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"20\" queue.timeoutEnqueue=\"60000\" \
         queue.dequeueBatchSize=\"1\" queue.dequeueSlowdown=\"1000000\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\" rcvhwm=\"10\""),
    );
    site.check().accepts();
    let mut daemon = site.start();
    let peer = Peer::new(zmq::PUSH).narrow().connected_to(&endpoint);
    let line = syslog_line(&"x".repeat(60_000));
    let mut taken = 0;
    while taken < 1000 && peer.send(&[line.as_bytes()], secs(1)) {
        taken += 1;
    }
    assert!(taken < 300, "took {taken} lines of 60 kB before it blocked");
    daemon.kill9();
}

#[test]
fn no_maximum_message_size() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\" maxmsgsize=\"10000\"");
    let site = Site::receiver("", &input);
    site.check().accepts();
    let mut daemon = site.start();
    let (hostile, honest) = (Peer::push(&endpoint), Peer::push(&endpoint));
    hostile.wait_connected(SOON);
    let huge = vec![b'x'; 10_001];
    assert!(hostile.send(&[&huge], SOON));
    honest.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}

/// /proc/net/tcp tells which timer a connection has: 2 is keep-alive.
#[test]
fn no_keep_alive() {
    let port = free_port();
    let input = format!(
        "endpoints=\"tcp://127.0.0.1:{port}\" socktype=\"PULL\" tcpkeepalive=\"on\" \
         tcpkeepaliveidle=\"100\" tcpkeepaliveintvl=\"10\" tcpkeepalivecnt=\"3\""
    );
    let site = Site::receiver("", &input);
    site.check().accepts();
    let mut daemon = site.start();
    let peer = Peer::push(&format!("tcp://127.0.0.1:{port}"));
    peer.wait_connected(SOON);
    daemon.wait("a connection with the keep-alive timer", SOON, |_| {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
        let local = format!("0100007F:{port:04X}");
        table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .any(|row| {
                row.get(1) == Some(&local.as_str()) && row[3] == "01" && row[5].starts_with("02:")
            })
            .then_some(())
    });
}

/// With doubling, the tries come 0.2, 0.6, 1.4, 3.0 and 6.2 s after the first (and some tenths):
/// a peer that comes at 4 s is found some 2 s later. Without, a fifth of a second later.
#[test]
fn no_reconnect_back_off() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!(
            "endpoints=\"{endpoint}\" socktype=\"PUSH\" reconnectivl=\"200\" \
             reconnectivlmax=\"20000\""
        ),
    );
    site.check().accepts();
    let daemon = site.start();
    daemon.feed(0..1);
    std::thread::sleep(secs(4));
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    let start = Instant::now();
    Oracle::judge(0..1, &peer.take_all(1, secs(20))).once_in_order();
    let waited = start.elapsed();
    assert!(waited > secs(1), "tried again after {waited:?}: no back-off");
}

/// What the module took for a peer that is there is flushed within `linger`.
#[test]
fn no_linger() {
    let endpoint = free_endpoint();
    let site = Site::new()
        .global("maxMessageSize=\"64k\"")
        .sending("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\" linger=\"1500\""));
    site.check().accepts();
    let peer = Peer::new(zmq::PULL).narrow();
    peer.bind(&endpoint);
    let mut daemon = site.start();
    let padding = "x".repeat(20_000);
    let texts = (0..200).map(|n| format!("{} {padding}", numbered(n)));
    daemon.feeder().texts(texts);
    peer.wait_connected(SOON);
    std::thread::sleep(millis(300)); // the pipe fills while nobody reads
    daemon.terminate();
    let received = peer.take_all(200, SOON);
    daemon.wait_end().clean();
    Oracle::judge(0..200, &received).once_in_order();
}

#[test]
fn no_credentials_of_an_action_s_own() {
    let site = Site::new();
    let own = Keys::new("own");
    own.write(&site.path("keys"));
    let servers = [Keys::new("one"), Keys::new("two")];
    let mut parts = Vec::new();
    let mut peers = Vec::new();
    for server in &servers {
        let public = server.write_public(&site.path("keys"));
        let peer = Peer::new(zmq::PULL).curve_server(server);
        parts.push(format!(
            "action(type=\"omrzmq\" endpoints=\"{}\" socktype=\"PUSH\" authtype=\"CURVECLIENT\" \
             servercertpath=\"{}\" clientcertpath=\"{}\")",
            peer.bind_free(),
            public.display(),
            site.path("keys/own").display(),
        ));
        peers.push(peer);
    }
    let site = site.with("module(load=\"omrzmq\")").with(&parts.join("\n"));
    site.check().accepts();
    let mut daemon = site.start();
    daemon.feed(0..10);
    for peer in &peers {
        Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    }
    daemon.stop().clean().within(STOP);
}

/// A peer that is cut off without a word is noticed by the heartbeat, which is on by default.
#[test]
fn no_heartbeat_unless_asked() {
    let endpoint = free_endpoint();
    let listener = TcpListener::bind(endpoint.trim_start_matches("tcp://")).expect("listener");
    let site = Site::sender(
        "",
        &format!(
            "endpoints=\"{endpoint}\" socktype=\"PUSH\" heartbeativl=\"200\" \
             heartbeattimeout=\"400\" heartbeatttl=\"400\""
        ),
    );
    let mut daemon = site.start();
    daemon.feed(0..1);
    // Plays a PULL by hand up to READY, then says nothing more.
    let (mut stream, _) = listener.accept().expect("a connection");
    shake_hands(&mut stream);
    stream.set_read_timeout(Some(secs(10))).expect("time-out");
    let mut sink = [0; 4096];
    let mut heard = 0;
    let end = loop {
        match harness::patient::read(&mut stream, &mut sink) {
            Ok(0) => break None,
            Ok(bytes) => heard += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(end.is_none(), "a peer that answers no heartbeat was kept: {heard} bytes, {end:?}");
    daemon.assert_alive();
}

/// ZMTP 3.0, NULL mechanism, as a PULL socket.
fn shake_hands(stream: &mut std::net::TcpStream) {
    use std::io::Write;
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    stream.write_all(&greeting).expect("greeting");
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).expect("their greeting");
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0\x04PULL".to_vec();
    ready.splice(0..0, [4, ready.len() as u8]);
    stream.write_all(&ready).expect("ready");
}

/// Several subscribers with a topic each, and an unsubscribed one: topics as a list.
#[test]
fn no_topics_as_an_array() {
    let endpoint = free_endpoint();
    let site = Site::sender(
        "",
        &format!("endpoints=\"{endpoint}\" socktype=\"PUB\" topics=[\"one\", \"two\"]"),
    );
    site.check().accepts();
    let mut daemon: Rsyslogd = site.start();
    let subscriber = Peer::sub(&endpoint, &["two"]);
    warm_up(&mut daemon, &subscriber);
    daemon.feed(0..3);
    let lines = subscriber.take_all(3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
    assert!(lines.iter().all(|line| line.starts_with("two<13>")), "{lines:?}");
}
