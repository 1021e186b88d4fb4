//! Two real rsyslogd, one of them with a stolen key: what it says in another host's name is dropped or
//! refused, counted and logged, and what it says in its own passes.

use std::fs;

use harness::ports::free_endpoint;
use harness::{Keys, Peer, SOON, Site, secs};

/// The archive's keys and those of two hosts, both allowed.
struct Pki {
    server: Keys,
    web1: Keys,
    web2: Keys,
}

impl Pki {
    fn new() -> Self {
        Pki { server: Keys::new("archive"), web1: Keys::new("web1"), web2: Keys::new("web2") }
    }

    /// The archive: one input, and its lines' hosts and texts in `out.log`.
    fn archive(&self, endpoint: &str, kind: &str) -> Site {
        let site = Site::new().without_feed();
        let allowed = site.path("allowed");
        for host in [&self.web1, &self.web2] {
            host.write_public(&allowed);
        }
        let own = self.server.write(&site.path("keys"));
        site.with("module(load=\"imrzmq\")").file("out.log", "%hostname% %msg%\\n").with(&format!(
            "input(type=\"imrzmq\" name=\"in\" endpoints=\"{endpoint}\" socktype=\"{kind}\" \
             enforcehost=\"on\" authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\")",
            own.display(),
            allowed.display()
        ))
    }

    /// A host with the keys of web1.
    fn host(&self, endpoint: &str, more: &str) -> Site {
        let site = Site::new();
        let keys = site.path("keys");
        let action = format!(
            "name=\"out\" endpoints=\"{endpoint}\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\" {more}",
            self.server.write_public(&keys).display(),
            self.web1.write(&keys).display()
        );
        site.sending("", &action)
    }
}

/// A line as a program on this host writes it.
fn line_of(host: &str, text: &str) -> String {
    format!("<13>2026-11-24T10:00:00.123456+00:00 {host} app: {text}\n")
}

fn own_and_foreign() -> String {
    let pair = |n| line_of("web1", &format!("own {n}")) + &line_of("web2", &format!("foreign {n}"));
    (0..100).map(pair).collect()
}

#[test]
fn a_key_of_one_host_does_not_speak_for_another() {
    let (pki, endpoint) = (Pki::new(), free_endpoint());
    let mut archive = pki.archive(&endpoint, "PULL").start();
    let mut host = pki.host(&endpoint, "socktype=\"PUSH\"").start();
    host.feeder().bytes(own_and_foreign().as_bytes());
    host.feeder().bytes(line_of("WEB1", "in capitals").as_bytes());
    let lines = archive.wait_lines("out.log", 101, SOON);
    archive.wait_log(&["imrzmq[in]", "127.0.0.1", "(web1)", "HOSTNAME \"web2\""], SOON);
    // No name at all, a name that is not printed as it is, one that is endless: of the same key.
    let raw = Peer::new(zmq::PUSH).curve_client(&pki.web1, &pki.server);
    raw.connect(&endpoint);
    let endless = format!("<13>1 - {} app - - - endless", "web1".repeat(1000));
    for line in ["<13>app: no host", "<13>1 - \x1b[2J - - - -", &endless, "<13>1 - - - - - -"] {
        assert!(raw.send(&[line.as_bytes()], SOON));
    }
    // Another key is told of at once, whatever was told of the first.
    let second = Peer::new(zmq::PUSH).curve_client(&pki.web2, &pki.server);
    second.connect(&endpoint);
    second.send_texts(["<13>1 - web1\x1b - - - - for web1", "<13>1 - web2 app - - - for web2"]);
    archive.wait_log(&["(web2)", "cannot be determined", "web1\\x1b"], SOON);
    let all = archive.wait_lines("out.log", 102, SOON);
    let counters = archive.wait_stats("imrzmq", "in", "all received", |c| c["received"] == 207);
    assert_eq!(counters["submitted"], 102);
    assert_eq!(counters["discarded_host"], 105);
    let own = |line: &&String| line.starts_with("web1 ") || line.starts_with("WEB1 ");
    assert_eq!(lines.iter().filter(own).count(), 101, "{lines:?}");
    assert!(all[101].starts_with("web2 ") && all[101].contains("for web2"), "{all:?}");
    let told = archive.log().lines().filter(|line| line.contains("(web1)")).count();
    assert_eq!(told, 1, "once a minute for each certificate");
    host.stop().clean();
    archive.end().clean().within(secs(2));
}

#[test]
fn an_acknowledged_sender_is_told_which_lines_are_not_its_own() {
    let (pki, endpoint) = (Pki::new(), free_endpoint());
    let mut archive = pki.archive(&endpoint, "ROUTER").start();
    let kept = tempfile::tempdir().expect("a folder");
    let refused = kept.path().join("refused.log");
    let more =
        format!("socktype=\"DEALER\" delivery=\"acked\" refusedfile=\"{}\"", refused.display());
    let mut host = pki.host(&endpoint, &more).start();
    host.feeder().bytes(own_and_foreign().as_bytes());
    let lines = archive.wait_lines("out.log", 100, SOON);
    assert!(lines.iter().all(|line| line.starts_with("web1 ")), "{lines:?}");
    archive.wait_log(&["imrzmq[in]", "127.0.0.1", "(web1)", "HOSTNAME \"web2\""], SOON);
    let counters = archive.wait_stats("imrzmq", "in", "all received", |c| c["received"] == 200);
    assert_eq!((counters["submitted"], counters["discarded_host"]), (100, 100));
    assert_eq!(counters["refused"], 0, "counted once");
    host.wait_stats("omrzmq", "out", "100 refused", |c| c["refused"] == 100 && c["sent"] == 200);
    host.wait_log(&["omrzmq[out]", "the receiver never takes a line", "not this host's"], SOON);
    let kept = fs::read_to_string(&refused).expect("refused lines");
    assert_eq!(kept.lines().filter(|line| line.contains("web2 app: foreign")).count(), 100);
    assert!(!kept.contains("own"), "its own lines are not refused");
    host.stop().clean().within(secs(2));
    archive.end().clean().within(secs(2));
}

/// A line that rsyslog would split into several messages could bring a second HOSTNAME.
#[test]
fn a_line_that_would_be_split_speaks_for_nobody() {
    let (pki, endpoint) = (Pki::new(), free_endpoint());
    let site = pki.archive(&endpoint, "PULL");
    let mut archive =
        site.global("maxMessageSize=\"256\" oversizemsg.input.mode=\"split\"").start();
    let peer = Peer::new(zmq::PUSH).curve_client(&pki.web1, &pki.server);
    peer.connect(&endpoint);
    let head = "<13>1 - web1 app - - - ";
    let split =
        format!("{head}{}{}", "x".repeat(256 - head.len()), "<13>1 - web2 app - - - forged");
    peer.send_texts([split, format!("{head}whole")]);
    let lines = archive.wait_lines("out.log", 1, SOON);
    archive.wait_log(&["(web1)", "cannot be determined"], SOON);
    archive.end().clean();
    assert_eq!(lines, ["web1 whole"]);
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let pki = Pki::new();
    let site = pki.archive("tcp://127.0.0.1:5140", "ROUTER");
    site.check().clean();
    let fine = site.config();
    let allowed = format!("clientcertpath=\"{}\"", site.path("allowed").display());
    let input = fine.lines().find(|line| line.starts_with("input(type=\"imrzmq\"")).expect("it");
    let as_written = |input: &str| {
        Site::new().with("module(load=\"imrzmq\")").with(input).file("out.log", "%msg%\\n").check()
    };
    as_written(input).clean();
    as_written(&input.replace(&allowed, "clientcertpath=\"*\"")).refuses(&[
        "imrzmq",
        "enforcehost",
        "clientcertpath",
        "\"*\"",
    ]);
    as_written(&input.replace("enforcehost=", "trustrelays=\"on\" enforcehost=")).refuses(&[
        "imrzmq",
        "enforcehost",
        "trustrelays",
        "relay",
    ]);
    let plain = input.split(" authtype").next().expect("a beginning").to_owned() + ")";
    as_written(&plain).refuses(&["imrzmq", "enforcehost", "CURVESERVER", "clientcertpath"]);
}
