//! Which messages are lines, and what is in them.

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::{Keys, Oracle, Peer, SOON, Site, ports::free_endpoint};

use crate::{STOP, pull};

#[test]
fn address_of_each_sender_is_in_its_lines() {
    let endpoint = free_endpoint();
    let mut daemon = pull(&endpoint, "").file("from.log", "%fromhost-ip% %msg%\\n").start();
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
        .with(&format!("ruleset(name=\"reference\") {{ {reference} }}"))
        .with(&format!("ruleset(name=\"ours\") {{ {ours} }}"))
        .with("module(load=\"imrzmq\")")
        .with(&format!(
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
        false => line.split('|').enumerate().filter(|(at, _)| *at != 7).map(|(_, f)| f).collect(),
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
        .global(&format!("maxMessageSize=\"1k\" oversizemsg.input.mode=\"{mode}\""))
        .receiving("", &input)
        .file("raw.log", "%rawmsg%\\n")
        .start();
    let line = syslog_line(&"abcdefghij".repeat(300));
    let peer = Peer::push(&endpoint);
    peer.send_texts([&line]);
    peer.send_texts([syslog_line("the next one")]);
    let lines = daemon.wait_lines("raw.log", lengths.len() + 1, SOON);
    let found: Vec<_> = lines.iter().map(String::len).collect();
    assert_eq!(found[..lengths.len()], *lengths, "oversizemsg.input.mode={mode}");
    if mode != "truncate" {
        assert_eq!(lines[..lengths.len()].concat(), line, "oversizemsg.input.mode={mode}");
    }
    assert!(lines[lengths.len()].ends_with("the next one"), "order is kept");
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

/// Documented: the pieces of a line that the core splits do not go where their input says.
#[test]
fn pieces_of_a_split_line_leave_the_ruleset_of_their_input() {
    let endpoint = free_endpoint();
    let mut daemon = Site::new()
        .global("maxMessageSize=\"1k\" oversizemsg.input.mode=\"split\"")
        .receiving_in_ruleset("", &format!("endpoints=\"{endpoint}\" socktype=\"PULL\""))
        .file("default.log", "%rawmsg%\\n")
        .start();
    let peer = Peer::push(&endpoint);
    peer.send_texts([syslog_line(&"abcdefghij".repeat(350)), syslog_line("the next one")]);
    let in_ruleset = daemon.wait_lines("out.log", 1, SOON);
    let by_default = daemon.wait_lines("default.log", 4, SOON);
    assert!(in_ruleset.len() == 1 && in_ruleset[0].ends_with("the next one"), "{in_ruleset:?}");
    assert_eq!(by_default.len(), 4);
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
    let counters =
        daemon.wait_stats("imrzmq", "in", "two empty ones", |c| c["discarded_empty"] == 2);
    assert_eq!((counters["received"], counters["submitted"]), (7, 5), "{counters:?}");
    Oracle::judge(0..5, &daemon.lines("out.log")).once_in_order();
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
    let mut daemon = pull(&endpoint, "").file("name.log", "%inputname%\\n").start();
    let _peer = Peer::push(&endpoint).with_numbers(0..1);
    assert_eq!(daemon.wait_lines("name.log", 1, SOON), ["imrzmq"]);
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
    assert!(!lines[0].contains("\"key\""), "a key without CURVE: {lines:?}");
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
    let discarded: i64 =
        counters.iter().filter(|(name, _)| name.starts_with("discarded")).map(|(_, n)| n).sum();
    assert_eq!(discarded, 0, "{counters:?}");
}

#[test]
fn counters_of_an_instance_without_a_name_are_under_its_endpoints() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut daemon = Site::receiver("", &input).start();
    daemon.wait_stats("imrzmq", &endpoint, "received=0", |c| c["received"] == 0);
}
