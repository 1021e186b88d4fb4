//! Attempts to get in, or to be taken for somebody else, with bytes that no honest ZeroMQ sends.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use harness::ports::free_endpoint;
use harness::skip::{is_root, skipped};
use harness::{Keys, Peer, SOON, Site, patient, secs};

/// The greeting of ZMTP 3 with this mechanism.
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0".to_vec();
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

/// The command READY of ZMTP 3 with properties of our choice.
fn ready(properties: &[(&str, &str)]) -> Vec<u8> {
    ready_as("PUSH", properties)
}

fn ready_as(kind: &str, properties: &[(&str, &str)]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", kind)].iter().chain(properties) {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    let mut frame = vec![4, body.len() as u8];
    frame.extend_from_slice(&body);
    frame
}

fn message(text: &str) -> Vec<u8> {
    let mut frame = vec![0, text.len() as u8];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Says these pieces, each when the other side has said something; waits until it is hung up on.
fn say_until_hung_up(endpoint: &str, pieces: &[Vec<u8>]) {
    let address = endpoint.trim_start_matches("tcp://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a deadline");
    let mut buffer = [0; 4096];
    for piece in pieces {
        // an error: it has hung up already
        let _ = stream.write_all(piece);
        if matches!(patient::read(&mut stream, &mut buffer), Ok(0) | Err(_)) {
            return;
        }
    }
    loop {
        match patient::read(&mut stream, &mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("not hung up: {error}"),
        }
    }
}

/// A server, one client that it allows, and its parameters.
fn server(site: &Site) -> (Keys, Keys, String) {
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    let own = server.write(&site.path("keys"));
    client.write_public(&site.path("allowed"));
    let parameters = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        own.display(),
        site.path("allowed").display()
    );
    (server, client, parameters)
}

/// Protocol versions from before CURVE, other mechanisms, and names that a peer gives itself.
#[test]
fn no_older_protocol_and_no_other_mechanism_gets_past_curve() {
    let (site, endpoint) = (Site::new(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" handshakeivl=\"500\" {parameters}"
    );
    let mut daemon = site.receiving("", &input).start();
    let claimed = client.public_z85();
    let claims: &[(&str, &str)] = &[("User-Id", &claimed), ("Identity", &claimed)];
    let line = message("<13>1 - intruder app - - - got in");
    let attempts: [Vec<Vec<u8>>; 7] = [
        // ZMTP 1.0 has no greeting: an identity, then messages
        vec![[b"\x01\0".as_slice(), b"\x0a\0<13>got in"].concat()],
        // the same behind the signature of later versions
        vec![b"\xff\0\0\0\0\0\0\0\x01\x7f\0".to_vec(), [b"\x01\0".as_slice(), &line].concat()],
        // ZMTP 2.0: revision, socket type PUSH, an identity, then messages
        vec![b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08".to_vec(), [b"\0\0".as_slice(), &line].concat()],
        vec![greeting("NULL"), ready(claims), line.clone()],
        vec![greeting("PLAIN"), b"\x04\x0a\x05HELLO\x01a\x01b".to_vec(), line.clone()],
        // the right mechanism, and then as if there were none
        vec![greeting("CURVE"), ready(claims), line.clone()],
        vec![greeting("CURVE"), line],
    ];
    for pieces in &attempts {
        say_until_hung_up(&endpoint, pieces);
    }
    let friend = Peer::new(zmq::PUSH).curve_client(&client, &server);
    friend.connect(&endpoint);
    friend.send_numbers(0..3);
    daemon.wait_lines("out.log", 3, SOON);
    let counters = daemon.wait_stats("imrzmq", "in", "three lines", |c| c["submitted"] == 3);
    assert_eq!((counters["received"], counters["discarded_unauthenticated"]), (3, 0));
    assert_eq!(daemon.lines("out.log").len(), 3);
}

/// Without CURVE a peer may call itself what it likes, and is called nothing.
#[test]
fn what_a_plaintext_peer_says_of_itself_is_not_believed() {
    let (site, endpoint) = (Site::new(), free_endpoint());
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" metadata=\"on\"");
    let mut daemon = site
        .without_feed()
        .with("module(load=\"imrzmq\")")
        .with(&format!("input(type=\"imrzmq\" {input})"))
        .file("out.log", "%fromhost-ip%,%$!rzmq!peer%,%$!rzmq!key%,%$!rzmq!address%\\n")
        .start();
    let claimed = Keys::new("somebody").public_z85();
    let claims: &[(&str, &str)] =
        &[("User-Id", &claimed), ("Peer-Address", "192.0.2.66"), ("name", "somebody")];
    let mut stream = TcpStream::connect(endpoint.trim_start_matches("tcp://")).expect("there");
    let mut buffer = [0; 4096];
    for piece in [greeting("NULL"), ready(claims), message("<13>1 - a b - - - c")] {
        stream.write_all(&piece).expect("taken");
        // its greeting, then its READY; nothing comes after the message
        stream.set_read_timeout(Some(secs(1))).expect("a deadline");
        let _ = patient::read(&mut stream, &mut buffer);
    }
    assert_eq!(daemon.wait_lines("out.log", 1, SOON), ["127.0.0.1,,,127.0.0.1"]);
}

/// Peers from before ZMTP 3 may be honest ones. libzmq tells nobody where they are, so they are not said to
/// be on this host.
#[test]
fn a_plaintext_peer_of_an_old_protocol_is_from_nowhere() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" metadata=\"on\" \
         ratelimit.perpeer.interval=\"3600\" ratelimit.perpeer.burst=\"2\""
    );
    let told = format!(
        "if $programname == \"rsyslogd\" then {{ action(type=\"omfile\" file=\"{}\") stop }}",
        site.path("internal.log").display()
    );
    let mut daemon = site
        .global("processInternalMessages=\"on\"")
        .with("module(load=\"imrzmq\")")
        .with(&format!("input(type=\"imrzmq\" {input})"))
        .with(&told)
        .file("out.log", "%fromhost-ip%,%$!rzmq!address%,%hostname%\\n")
        .start();
    let line = message("<13>app: hello");
    let old: [Vec<u8>; 2] = [
        b"\x01\0\x0f\0<13>app: hello".to_vec(),
        [b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08\0\0".as_slice(), &line].concat(),
    ];
    let address = endpoint.trim_start_matches("tcp://");
    let peers: Vec<_> = old
        .iter()
        .map(|bytes| {
            let mut stream = TcpStream::connect(address).expect("there");
            stream.write_all(bytes).expect("taken");
            stream
        })
        .collect();
    for line in daemon.wait_lines("out.log", 2, SOON) {
        assert_eq!(line, "unknown,,unknown");
    }
    daemon.wait("a line about it", SOON, |daemon| {
        let told = daemon.lines("internal.log");
        told.iter().any(|line| line.contains("it speaks ZMTP 1 or 2")).then_some(())
    });
    // they use up nobody else's share
    let friend = Peer::new(zmq::PUSH);
    friend.connect(&endpoint);
    friend.send_texts(["<13>app: hello"]);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    assert_eq!(lines[2], "127.0.0.1,127.0.0.1,127.0.0.1");
    drop(peers);
}

/// After a privilege drop certificates that root alone may read are there and out of reach: a change
/// beside them takes nobody off the list.
#[test]
fn a_certificate_that_can_no_longer_be_read_stays_in_force() {
    if !is_root() {
        return skipped("a_certificate_that_can_no_longer_be_read_stays_in_force", "needs root");
    }
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let place = site.path("");
    let open = |name: &str, mode| {
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(mode)).expect("mode");
    };
    open("allowed/client", 0o600);
    fs::create_dir(site.path("logs")).expect("a folder");
    for folder in ["", "work", "logs"] {
        open(folder, 0o777);
    }
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {parameters}");
    let later = site.path("allowed");
    let gone = site.path("allowed/client");
    let mut daemon = site
        .with("$PrivDropToUser nobody")
        .with("$PrivDropToGroup nogroup")
        .with(&format!("module(load=\"imrzmq\")\ninput(type=\"imrzmq\" {input})"))
        .file("logs/out.log", "%msg%\\n")
        .start();
    assert_ne!(daemon.proc_status("Uid:"), 0, "rsyslogd still runs as root");
    let pusher = |own: &Keys| {
        let peer = Peer::new(zmq::PUSH).curve_client(own, &server);
        peer.connect(&endpoint);
        peer
    };
    let early = pusher(&client);
    early.send_numbers(0..5);
    daemon.wait_lines("logs/out.log", 5, SOON);
    let second = Keys::new("second");
    second.write_public(&later);
    daemon.wait_log(&["imrzmq[in]", "/client: ", "Permission denied", "stays allowed"], SOON);
    let late = pusher(&second);
    late.send_numbers(5..10);
    daemon.wait_lines("logs/out.log", 10, SOON);
    early.send_numbers(10..15);
    daemon.wait_lines("logs/out.log", 15, SOON);
    // the folder can be listed, and nothing in it looked at
    open("allowed", 0o744);
    daemon.wait_log(&["imrzmq[in]", "/second: ", "Permission denied", "stays allowed"], SOON);
    late.send_numbers(15..20);
    daemon.wait_lines("logs/out.log", 20, SOON);
    open("allowed", 0o755);
    assert!(!daemon.logged(&["no longer allowed"]), "{}", daemon.log());
    daemon.wait_stats("imrzmq", "in", "both are connected", |c| c["connections"] == 2);
    fs::remove_file(&gone).expect("removed");
    daemon.wait_log(&["no longer allowed: client", "connections closed: 1"], SOON);
}

/// Documented: under `enforcehost` it is the name that counts, so two keys of one name speak for one
/// host.
#[test]
fn two_certificates_of_one_name_both_speak_for_it() {
    let (site, endpoint) = (Site::new(), free_endpoint());
    let (server, _, parameters) = server(&site);
    let (first, second) = (Keys::new("web1"), Keys::new("web1"));
    first.write_public(&site.path("allowed"));
    let written = second.write_public(&site.path("second"));
    fs::rename(written, site.path("allowed/web1.next")).expect("beside the first");
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" enforcehost=\"on\" {parameters}"
    );
    let mut daemon = site.receiving("", &input).start();
    let peers = [&first, &second].map(|own| {
        let peer = Peer::new(zmq::PUSH).curve_client(own, &server);
        peer.connect(&endpoint);
        peer.send_texts(["<13>1 - web1 app - - - own", "<13>1 - web2 app - - - foreign"]);
        peer
    });
    daemon.wait_stats("imrzmq", "in", "four lines", |c| c["received"] == 4);
    let counters = daemon.wait_stats("imrzmq", "in", "two taken", |c| c["submitted"] == 2);
    assert_eq!(counters["discarded_host"], 2);
    drop(peers);
}

/// Whoever opens connections and says nothing keeps nobody out: the slowest makes room for the next.
#[test]
fn half_open_connections_keep_nobody_out() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" maxconnections=\"10\" \
         handshakeivl=\"60000\" {parameters}"
    );
    let internal = site.path("internal.log");
    let told = format!(
        "if $programname == \"rsyslogd\" then action(type=\"omfile\" file=\"{}\")",
        internal.display()
    );
    let site = site.global("processInternalMessages=\"on\"").with(&told);
    let mut daemon = site.receiving("", &input).start();
    let address = endpoint.trim_start_matches("tcp://");
    let mut silent: Vec<_> =
        (0..10).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let friend = Peer::new(zmq::PUSH).curve_client(&client, &server);
    friend.connect(&endpoint);
    friend.send_numbers(0..3);
    daemon.wait_lines("out.log", 3, SOON);
    let crowded = |c: &harness::stats::Counters| c["connections_refused"] == 1;
    let counters = daemon.wait_stats("imrzmq", "in", "one made room", crowded);
    assert_eq!((counters["connects"], counters["submitted"]), (1, 3));
    let told = |words: &[&str]| {
        harness::wait_until(&format!("a line with {words:?}"), SOON, || {
            let text = fs::read_to_string(&internal).unwrap_or_default();
            text.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    };
    told(&["closed a connection from 127.0.0.1:", "had yet to shake hands", "maxconnections"]);
    let name = format!("from 127.0.0.1 (client, key {})", client.public_z85());
    told(&["imrzmq[in]", "connected at", &name]);
    // it was the first to come; the others are there
    let first = &mut silent[0];
    first.set_read_timeout(Some(SOON)).expect("a deadline");
    let mut greeting = [0; 4096];
    while matches!(patient::read(first, &mut greeting), Ok(1..)) {}
    for other in &silent[1..] {
        other.set_nonblocking(true).expect("not to wait");
        let mut other = other;
        let end = loop {
            match patient::read(&mut other, &mut greeting) {
                Ok(1..) => {}
                end => break end,
            }
        };
        assert!(end.is_err(), "one that was not the slowest is closed");
    }
    drop(friend);
    let gone = |c: &harness::stats::Counters| c["connections"] == 0;
    daemon.wait_stats("imrzmq", "in", "the friend is gone", gone);
    let name = format!("(client, key {})", client.public_z85());
    told(&["imrzmq[in]", "connection lost at", &name]);
    daemon.end().clean();
}

/// A key has so many connections and no more, from wherever it calls and though it says nothing.
#[test]
fn a_key_has_no_more_connections_from_several_addresses() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" maxconnectionsperkey=\"2\" \
         {parameters}"
    );
    let mut daemon = site.receiving("", &input).start();
    let there = endpoint.trim_start_matches("tcp://");
    let peers: Vec<_> = (2..8)
        .map(|host| {
            let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
            peer.connect(&format!("tcp://127.0.0.{host}:0;{there}"));
            peer
        })
        .collect();
    let all = |c: &harness::stats::Counters| c["connects"] + c["connections_refused"] >= 6;
    let counters = daemon.wait_stats("imrzmq", "in", "six calls", all);
    assert_eq!((counters["connects"], counters["connections"]), (2, 2));
    drop(peers);
}

/// Connections of a stranger behind the same address are not counted as those of an honest key.
#[test]
fn half_open_connections_of_a_neighbour_use_up_no_keys_limit() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let input = format!(
        "name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" maxconnectionsperkey=\"3\" \
         handshakeivl=\"20000\" {parameters}"
    );
    let mut daemon = site.receiving("", &input).start();
    let address = endpoint.trim_start_matches("tcp://");
    let silent: Vec<_> =
        (0..10).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let friends: Vec<_> = (0..3)
        .map(|number| {
            let friend = Peer::new(zmq::PUSH).curve_client(&client, &server);
            friend.connect(&endpoint);
            friend.send_numbers(number..number + 1);
            daemon.wait_lines("out.log", number + 1, SOON);
            friend
        })
        .collect();
    let counters = daemon.wait_stats("imrzmq", "in", "three", |c| c["connections"] == 3);
    assert_eq!(counters["connections_refused"], 0);
    drop((silent, friends));
}

/// A peer that comes and goes has another port each time, and is one cause all the same.
#[test]
fn a_peer_that_comes_and_goes_is_told_once_a_minute() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, client, parameters) = server(&site);
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {parameters}");
    let mut daemon = site.receiving("", &input).start();
    for number in 0..10 {
        let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
        peer.connect(&endpoint);
        peer.send_numbers(number..number + 1);
        daemon.wait_lines("out.log", number + 1, SOON);
    }
    let gone = |c: &harness::stats::Counters| c["connects"] == 10 && c["connections"] == 0;
    daemon.wait_stats("imrzmq", "in", "all are gone", gone);
    daemon.end().clean();
    let log = daemon.log();
    let told = log.lines().filter(|line| line.contains("connection lost")).count();
    assert_eq!(told, 1, "{log}");
}

/// A socket file's name may end like a port; a removed key's connection there is closed all the same.
#[test]
fn a_removed_key_is_cut_at_a_socket_file_whatever_its_name() {
    for name in ["in", "in:5140"] {
        let site = Site::new().without_feed();
        let (server, client, parameters) = server(&site);
        Keys::new("other").write_public(&site.path("allowed"));
        let certificate = site.path("allowed/client");
        let endpoint = format!("ipc://{}", site.path(name).display());
        let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {parameters}");
        let mut daemon = site.receiving("", &input).start();
        let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
        peer.connect(&endpoint);
        peer.send_numbers(0..3);
        daemon.wait_lines("out.log", 3, SOON);
        daemon.wait_stats("imrzmq", "in", "it is connected", |c| c["connections"] == 1);
        fs::remove_file(certificate).expect("removed");
        daemon.wait_log(&["no longer allowed: client", "connections closed: 1"], SOON);
        daemon.wait_stats("imrzmq", "in", "nobody is there", |c| c["connections"] == 0);
    }
}

/// A publisher keeps what its subscribers ask for, byte by byte: a topic of a megabyte costs memory, and
/// neither it nor its end takes rsyslogd along.
#[test]
fn a_topic_of_a_megabyte_takes_no_publisher_along() {
    let (site, endpoint) = (Site::new(), free_endpoint());
    let action = format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUB\"");
    let mut daemon = site.sending("", &action).start();
    let friend = Peer::sub(&endpoint, &[""]);
    let serves = |daemon: &mut harness::Rsyslogd| {
        daemon.wait("a line for the friend", SOON, |daemon| {
            daemon.feeder().texts(["hello"]);
            friend.receive(harness::millis(100))
        });
    };
    serves(&mut daemon);
    let before = daemon.memory();
    // not libzmq's own subscriber: it keeps its topics likewise
    let mut greedy = TcpStream::connect(endpoint.trim_start_matches("tcp://")).expect("there");
    let topic = vec![b'x'; 1 << 20];
    let ask = |what: u8| {
        let head = [&[2][..], &(topic.len() as u64 + 1).to_be_bytes(), &[what]].concat();
        [head, topic.clone()].concat()
    };
    let mut said = [0; 4096];
    for piece in [greeting("NULL"), ready_as("SUB", &[])] {
        greedy.write_all(&piece).expect("taken");
        patient::read(&mut greedy, &mut said).expect("its greeting, its READY");
    }
    greedy.write_all(&ask(1)).expect("taken");
    let most = daemon.wait("the topic is kept", SOON, |daemon| {
        daemon.feeder().texts(["hello"]);
        let memory = daemon.memory();
        (memory > before + 10 * 1024).then_some(memory)
    });
    println!("a topic of a MiB: {} KiB more", most - before);
    serves(&mut daemon);
    greedy.write_all(&ask(0)).expect("taken");
    greedy.write_all(&ask(1)).expect("taken");
    serves(&mut daemon);
    drop(greedy);
    daemon.wait_stats("omrzmq", "out", "the friend alone", |c| c["connections"] == 1);
    serves(&mut daemon);
    daemon.end().clean();
}
