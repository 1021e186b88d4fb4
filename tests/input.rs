//! What imrzmq makes of messages: which are lines, where they came from, what happens when there
//! are too many, and which listeners run.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::skip::{is_root, skipped};
use harness::{Keys, Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs};

const STOP: std::time::Duration = secs(2);

fn pull(endpoint: &str, more: &str) -> Site {
    Site::receiver(
        "",
        &format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {more}"),
    )
}

#[test]
fn address_of_each_sender_is_in_its_lines() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "")
        .file("from.log", "%fromhost-ip% %msg%\\n")
        .start();
    let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let peers: Vec<_> = addresses
        .iter()
        .map(|address| Peer::push(&endpoint.replace("tcp://", &format!("tcp://{address}:0;"))))
        .collect();
    for round in 0..20 {
        for (peer, address) in peers.iter().zip(addresses) {
            peer.send_texts([syslog_line(&format!("{address} {round}"))]);
        }
    }
    let lines = daemon.wait_lines("from.log", 60, SOON);
    for line in &lines {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[0], words[1], "another sender's address: {line}");
    }
}

/// Everything of a line is what imptcp makes of it, NUL bytes and odd lines included.
#[test]
fn lines_are_what_imptcp_makes_of_them() {
    let odd: Vec<Vec<u8>> = vec![
        syslog_line("plain").into_bytes(),
        syslog_line("nul \0 within").into_bytes(),
        syslog_line("nul at the end\0").into_bytes(),
        syslog_line("tab \t and bell \x07").into_bytes(),
        syslog_line("umlaut \u{e4}\u{f6}").into_bytes(),
        b"<13>2026-11-24T10:00:00Z h app: invalid \xff\xfe UTF-8".to_vec(),
        b"no priority at all".to_vec(),
        b"<999>bad priority".to_vec(),
        b"<34>1 2026-11-24T10:00:00Z host app 12 ID [x@1 a=\"b\"] RFC 5424".to_vec(),
        b"<13>Nov 24 10:00:00 host app[12]: RFC 3164".to_vec(),
        b"<13>".to_vec(),
        b" ".to_vec(),
    ];
    let endpoint = free_endpoint();
    let format = "%pri%|%hostname%|%syslogtag%|%app-name%|%procid%|%msgid%|%structured-data%|\
                  %timereported:::date-rfc3339%|%msg%|%rawmsg%\\n";
    let format = format.replace("%hostname%", "%hostname:::lowercase%");
    let site = Site::new().feed_parameters("ruleset=\"reference\"");
    let reference = site.file_action("reference.log");
    let ours = site.file_action("ours.log");
    let site = site
        .file_template("reference.log", &format)
        .file_template("ours.log", &format)
        .add(&format!("ruleset(name=\"reference\") {{ {reference} }}"))
        .add(&format!("ruleset(name=\"ours\") {{ {ours} }}"))
        .add("module(load=\"imrzmq\")")
        .add(&format!(
            "input(type=\"imrzmq\" endpoints=\"{endpoint}\" socktype=\"PULL\" ruleset=\"ours\")"
        ));
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    for line in &odd {
        assert!(peer.send(&[line], SOON));
        let mut bytes = line.clone();
        bytes.push(b'\n');
        daemon.feeder().bytes(&bytes);
    }
    let expected = daemon.wait_lines("reference.log", odd.len(), SOON);
    let found = daemon.wait_lines("ours.log", expected.len(), SOON);
    let cut = |line: &str| line.chars().take(300).collect::<String>();
    // A line without a host gets its sender's name; a unix socket has another than TCP.
    let named = |line: &str| {
        let mut fields: Vec<_> = line.splitn(3, '|').map(str::to_owned).collect();
        if fields[1] != "feeder" && fields[1] != "host" && fields[1] != "h" {
            fields[1] = "(sender)".to_owned();
        }
        cut(&fields.join("|"))
    };
    // Timestamps of lines that have none are those of their arrival.
    let timed = |line: String| match line.contains("|2026-11-24T10:00:00") {
        true => line,
        false => line
            .split('|')
            .enumerate()
            .filter(|(at, _)| *at != 7)
            .map(|(_, f)| f)
            .collect(),
    };
    let expected: Vec<_> = expected.iter().map(|line| timed(named(line))).collect();
    let found: Vec<_> = found.iter().map(|line| timed(named(line))).collect();
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// The core's rule for lines longer than maxMessageSize, which an input that submits in batches must
/// keep by itself.
fn oversize(mode: &str, lengths: &[usize]) {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut daemon = Site::new()
        .global(&format!(
            "maxMessageSize=\"1k\" oversizemsg.input.mode=\"{mode}\""
        ))
        .receiving("", &input)
        .file("raw.log", "%rawmsg%\\n")
        .start();
    let line = syslog_line(&"abcdefghij".repeat(300));
    let peer = Peer::push(&endpoint);
    peer.send_texts([&line]);
    peer.send_texts([syslog_line("the next one")]);
    let lines = daemon.wait_lines("raw.log", lengths.len() + 1, SOON);
    let found: Vec<_> = lines.iter().map(String::len).collect();
    assert_eq!(
        found[..lengths.len()],
        *lengths,
        "oversizemsg.input.mode={mode}"
    );
    if mode != "truncate" {
        assert_eq!(
            lines[..lengths.len()].concat(),
            line,
            "oversizemsg.input.mode={mode}"
        );
    }
    assert!(
        lines[lengths.len()].ends_with("the next one"),
        "order is kept"
    );
}

#[test]
fn oversize_line_is_truncated_where_the_core_is_told_to() {
    oversize("truncate", &[1024]);
}

#[test]
fn oversize_line_is_split_where_the_core_is_told_to() {
    let length = syslog_line(&"abcdefghij".repeat(300)).len();
    oversize("split", &[1024, 1024, length - 2048]);
}

#[test]
fn oversize_line_is_accepted_where_the_core_is_told_to() {
    oversize("accept", &[syslog_line(&"abcdefghij".repeat(300)).len()]);
}

#[test]
fn multipart_message_is_one_line() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").file("raw.log", "%rawmsg%\\n").start();
    let peer = Peer::push(&endpoint);
    for number in 0..10 {
        let line = syslog_line(&numbered(number));
        assert!(peer.send(&[b"first", b"", b"third frame", line.as_bytes()], SOON));
    }
    daemon.wait_lines("raw.log", 10, SOON);
    daemon.stop().clean().within(STOP);
    Oracle::judge(0..10, &daemon.lines("raw.log")).once_in_order();
}

#[test]
fn empty_messages_are_no_lines_and_are_counted() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").start();
    let peer = Peer::push(&endpoint);
    assert!(peer.send(&[b""], SOON) && peer.send(&[b"topic", b""], SOON));
    peer.send_numbers(0..5);
    daemon.wait_lines("out.log", 5, SOON);
    let counters = daemon.wait_stats("imrzmq", "in", "two empty ones", |c| {
        c["discarded_empty"] == 2
    });
    assert_eq!(
        (counters["received"], counters["submitted"]),
        (7, 5),
        "{counters:?}"
    );
    Oracle::judge(0..5, &daemon.lines("out.log")).once_in_order();
}

#[test]
fn full_queue_holds_the_sender_back() {
    let endpoint = free_endpoint();
    let site = Site::new().receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"200\" queue.timeoutEnqueue=\"0\" \
         queue.dequeueBatchSize=\"20\" queue.dequeueSlowdown=\"300\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""),
    );
    let mut daemon = site.start();
    let peers = [Peer::push(&endpoint), Peer::push(&endpoint)];
    for part in 0..20 {
        for (which, peer) in peers.iter().enumerate() {
            let start = part * 200 + which * 100;
            peer.send_numbers(start..start + 100);
        }
    }
    let lines = daemon.wait_lines("out.log", 4000, secs(30));
    Oracle::judge(0..4000, &lines).once();
}

/// A stop does not wait for a full queue, and loses nothing that was submitted before.
#[test]
fn stop_with_a_full_queue_is_quick() {
    let endpoint = free_endpoint();
    let site = Site::new().receiving_in_ruleset(
        "queue.type=\"LinkedList\" queue.size=\"100\" queue.dequeueBatchSize=\"1\" \
         queue.dequeueSlowdown=\"500000\"",
        &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""),
    );
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    for number in 0..2000 {
        let line = syslog_line(&numbered(number));
        if !peer.send(&[line.as_bytes()], millis(300)) {
            break;
        }
    }
    let ending = daemon.stop();
    ending.clean();
    // rsyslog itself waits up to queue.timeoutShutdown and timeoutActionCompletion.
    ending.within(secs(4));
}

#[test]
fn flow_control_can_be_chosen() {
    for kind in ["full", "light", "no", "FULL"] {
        let endpoint = free_endpoint();
        let site = pull(&endpoint, &format!("flowcontrol=\"{kind}\""));
        site.check().clean();
        let mut daemon = site.start();
        let _peer = Peer::push(&endpoint).with_numbers(0..10);
        let lines = daemon.wait_lines("out.log", 10, SOON);
        Oracle::judge(0..10, &lines).once_in_order();
    }
}

#[test]
fn rate_limit_lets_the_burst_pass_and_counts_the_rest() {
    let endpoint = free_endpoint();
    let more = "ratelimit.interval=\"300\" ratelimit.burst=\"50\"";
    let mut daemon = pull(&endpoint, more).start();
    let _peer = Peer::push(&endpoint).with_numbers(0..500);
    let counters = daemon.wait_stats("imrzmq", "in", "all 500", |c| c["received"] == 500);
    assert_eq!(counters["discarded_ratelimit"], 450, "{counters:?}");
    let lines = daemon.wait_lines("out.log", 50, SOON);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("n=")).collect();
    Oracle::judge(0..50, &lines).once_in_order();
}

#[test]
fn ruleset_gets_the_lines_and_no_other() {
    let endpoint = free_endpoint();
    let site = Site::new()
        .receiving_in_ruleset("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""))
        .file("main.log", "%msg%\\n");
    let mut daemon = site.start();
    let _peer = Peer::push(&endpoint).with_numbers(0..10);
    daemon.feed(100..110);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    let lines = daemon.wait_lines("main.log", 10, SOON);
    Oracle::judge(100..110, &lines).once_in_order();
}

#[test]
fn input_name_is_a_property_of_the_line() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "")
        .file("name.log", "%inputname%\\n")
        .start();
    let _peer = Peer::push(&endpoint).with_numbers(0..1);
    assert_eq!(daemon.wait_lines("name.log", 1, SOON), ["imrzmq"]);
}

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

#[test]
fn listener_that_cannot_bind_is_named_and_tried_again() {
    let good = free_endpoint();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bad = format!("tcp://{}", taken.local_addr().expect("address"));
    let site = pull(&bad, "").add(&format!(
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
    let said = daemon
        .log()
        .lines()
        .filter(|line| line.contains("imrzmq[in]"))
        .count();
    assert!(said < 20, "said {said} times that it cannot bind");
    daemon.stop().clean().within(STOP);
}

#[test]
fn address_of_no_interface_is_named_and_others_run() {
    let good = free_endpoint();
    let site = pull("tcp://192.0.2.77:5140", "").add(&format!(
        "input(type=\"imrzmq\" name=\"good\" endpoints=\"{good}\" socktype=\"PULL\")"
    ));
    let mut daemon = site.start();
    daemon.wait_log(&["imrzmq[in]", "tcp://192.0.2.77:5140"], SOON);
    let _peer = Peer::push(&good).with_numbers(0..10);
    daemon.wait_lines("out.log", 10, SOON);
    daemon.stop().clean().within(STOP);
}

#[test]
fn metadata_is_there_when_asked_for() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let (server, client) = (Keys::new("server"), Keys::new("web-7"));
    server.write(&site.path("keys"));
    client.write_public(&site.path("allowed"));
    let trust = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("allowed").display()
    );
    let mut daemon = site
        .receiving(
            "",
            &format!("endpoints=\"{endpoint}\" socktype=\"PULL\" metadata=\"on\" {trust}"),
        )
        .file("meta.log", "%$!rzmq!peer% %$!rzmq!address% %$!rzmq!key%\\n")
        .start();
    let peer = Peer::new(zmq::PUSH).curve_client(&client, &server);
    peer.connect(&endpoint.replace("tcp://", "tcp://127.0.0.6:0;"));
    peer.send_numbers(0..1);
    let expected = format!("web-7 127.0.0.6 {}", client.public_z85());
    assert_eq!(daemon.wait_lines("meta.log", 1, SOON), [expected]);
}

#[test]
fn topic_is_metadata() {
    let endpoint = free_endpoint();
    let publisher = Peer::new(zmq::XPUB);
    publisher.bind(&endpoint);
    let input = format!("endpoints=\"{endpoint}\" socktype=\"SUB\" topics=\"web\" metadata=\"on\"");
    let site = Site::receiver("", &input).file("meta.log", "%$!rzmq!topic%|%$!rzmq%\\n");
    let mut daemon = site.start();
    publisher.receive(SOON).expect("a subscription");
    let line = syslog_line(&numbered(0));
    assert!(publisher.send(&[b"web.nginx", line.as_bytes()], SOON));
    let lines = daemon.wait_lines("meta.log", 1, SOON);
    assert!(lines[0].starts_with("web.nginx|{"), "{lines:?}");
    assert!(
        !lines[0].contains("\"key\""),
        "a key without CURVE: {lines:?}"
    );
}

#[test]
fn metadata_is_off_by_default() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").file("meta.log", "%$!%.\\n").start();
    let _peer = Peer::push(&endpoint).with_numbers(0..1);
    assert_eq!(daemon.wait_lines("meta.log", 1, SOON), ["."]);
}

#[test]
fn counters_add_up() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").start();
    let peer = Peer::push(&endpoint);
    let lines: Vec<_> = (0..1000).map(|n| syslog_line(&numbered(n))).collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    peer.send_texts(&lines);
    let counters = daemon.wait_stats("imrzmq", "in", "1000 lines", |c| c["received"] == 1000);
    assert_eq!(counters["bytes"], bytes as i64, "{counters:?}");
    assert_eq!(counters["submitted"], 1000, "{counters:?}");
    let discarded: i64 = counters
        .iter()
        .filter(|(name, _)| name.starts_with("discarded"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(discarded, 0, "{counters:?}");
}

#[test]
fn counters_of_an_instance_without_a_name_are_under_its_endpoints() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut daemon = Site::receiver("", &input).start();
    daemon.wait_stats("imrzmq", &endpoint, "received=0", |c| c["received"] == 0);
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

/// A low port and a key that root alone can read, with privileges dropped afterwards.
#[test]
fn low_port_and_root_only_key_with_privilege_drop() {
    if !is_root() {
        return skipped(
            "low_port_and_root_only_key_with_privilege_drop",
            "needs root",
        );
    }
    // Below 1024 there are few ports and other programs: take the first that is free.
    let Some(port) = (700..1000).find(|&port| TcpListener::bind(("127.0.0.5", port)).is_ok())
    else {
        return skipped(
            "low_port_and_root_only_key_with_privilege_drop",
            "no free low port",
        );
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
        .add("$PrivDropToUser nobody")
        .add("$PrivDropToGroup nogroup")
        .add(&format!(
            "module(load=\"imrzmq\")\ninput(type=\"imrzmq\" {input})"
        ))
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

/// The spool is opened with the rights that remain.
#[test]
fn output_spools_with_privileges_dropped() {
    if !is_root() {
        return skipped("output_spools_with_privileges_dropped", "needs root");
    }
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""))
        .add("$PrivDropToUser nobody")
        .add("$PrivDropToGroup nogroup");
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

/// A peer that sends garbage instead of ZMTP disturbs nobody.
#[test]
fn garbage_on_the_port_is_harmless() {
    use std::io::Write;
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").start();
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        &[0xff; 1000],
        b"<13>plain syslog\n",
        b"\xff",
    ] {
        let mut stream = std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://"))
            .expect("connection");
        let _ = stream.write_all(garbage);
    }
    let _peer = Peer::push(&endpoint).with_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.assert_alive();
}
