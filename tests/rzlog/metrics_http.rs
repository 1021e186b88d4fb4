//! What can be said to `rzlog metrics` over HTTP: one page, nothing else, and nobody keeps it from those who
//! ask for that.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use harness::paths::repository;
use harness::ports::free_port;
use harness::skip::skipped;
use harness::{SOON, secs, wait_until};

use crate::metrics::{Metrics, ask};

const RULES: &str = "[[rule]]\nname = \"all\"\n[[rule.counter]]\nname = \"lines_total\"\n";

fn metrics() -> Metrics {
    Metrics::start(RULES, "tcp://127.0.0.1:1 --plaintext")
}

#[test]
fn one_page_and_nothing_else() {
    let metrics = metrics();
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    let headers = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("GET /metrics?a=b HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
        ("GET /../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", "405"),
        ("DELETE / HTTP/1.1\r\n\r\n", "405"),
        ("hello\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", "400"),
        ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
        (&long, "431"),
        (&headers, "431"),
    ] {
        let answer = ask(&metrics.address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
        assert_eq!(answer.ends_with("# EOF\n"), status == "200", "{request:?}: {answer:?}");
    }
    let head = ask(&metrics.address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head:?}");
}

/// Whether the other side has closed it.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(10))).expect("time-out");
    let mut rest = [0; 4096];
    loop {
        match harness::patient::read(stream, &mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

#[test]
fn who_says_nothing_or_little_is_closed_and_keeps_nobody_out() {
    let metrics = metrics();
    let connect = || TcpStream::connect(&metrics.address).expect("rzlog listens");
    let mut silent: Vec<_> = (0..200).map(|_| connect()).collect();
    // a page comes at once: the oldest made room
    metrics.page();
    let pid = metrics.running.pid();
    // a thread whose connection made room has yet to notice
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).expect("threads").count();
    wait_until("fewer than 40 threads", SOON, || (threads() < 40).then_some(()));
    // one that says a byte now and then has as little time as one that says nothing
    let mut slow = connect();
    let began = std::time::Instant::now();
    wait_until("the slow one is closed", secs(20), || {
        let said = slow.write_all(b"x").is_err();
        (said || is_closed(&mut slow)).then_some(())
    });
    assert!(began.elapsed() > secs(2), "{:?}", began.elapsed());
    wait_until("the silent ones are closed", SOON, || {
        silent.retain_mut(|stream| !is_closed(stream));
        silent.is_empty().then_some(())
    });
    metrics.page();
}

#[test]
fn who_does_not_read_keeps_nobody_out() {
    let metrics = metrics();
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&metrics.address).expect("rzlog listens");
        // as many requests as go in; it may be closed meanwhile
        stream.set_nonblocking(true).expect("not blocking");
        let requests = b"GET /metrics HTTP/1.1\r\n\r\n".repeat(1000);
        let _ = stream.write(&requests);
        deaf.push(stream);
        metrics.page();
    }
}

#[test]
fn a_flood_of_lines_keeps_nobody_out() {
    let peer = harness::Peer::new(zmq::XPUB);
    let endpoint = peer.bind_free();
    let metrics = Metrics::start(RULES, &format!("{endpoint} --plaintext"));
    peer.receive(SOON).expect("a subscription");
    let flood = std::thread::spawn(move || {
        for _ in 0..1_000_000 {
            // a publisher that is full drops
            peer.send(&[b"<13>Nov 24 10:00:00 web1 app: one of very many"], SOON);
        }
        peer
    });
    let mut pages = 0;
    while !flood.is_finished() {
        metrics.page();
        pages += 1;
    }
    assert!(pages > 2, "{pages} pages");
    wait_until("many lines", SOON, || (metrics.number("lines_total") > 1000.0).then_some(()));
}

/// Prometheus itself, if it is there: it takes the page for OpenMetrics, and hostile labels for text.
#[test]
fn prometheus_reads_the_page() {
    let prometheus = repository().join("target/prometheus/prometheus");
    if !prometheus.exists() {
        return skipped("Prometheus reads /metrics", "target/prometheus has none");
    }
    let peer = harness::Peer::new(zmq::XPUB);
    let endpoint = peer.bind_free();
    let rules = r#"
        [[rule]]
        name = "all"
        regex = '(?s)^(?P<all>.*)$'
        [[rule.counter]]
        name = "all_total"
        help = "with a \" and a \\ and a
        line break"
        labels = ["all"]
        [[rule.histogram]]
        name = "size"
        value = "all"
        [[rule.gauge]]
        name = "last"
        value = "all"
    "#;
    let rules = rules.replace(" and a\n        line break", " and a\\nline break");
    let metrics = Metrics::start(&rules, &format!("{endpoint} --plaintext"));
    peer.receive(SOON).expect("a subscription");
    for text in [&b"\"} 1\n# EOF\\"[..], b"\xff\x00\x1b", b"1.5e300", b"12"] {
        assert!(peer.send(&[text], SOON));
    }
    metrics.wait(&["last 12"]);
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: rzlog\n    static_configs:\n      \
         - targets: [\"{}\"]\n",
        metrics.address
    );
    fs::write(&config, text).expect("written");
    let address = format!("127.0.0.1:{}", free_port());
    let mut child = Command::new(prometheus)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stderr(fs::File::create(folder.path().join("log")).expect("a file"))
        .spawn()
        .expect("prometheus does not run");
    let query = |query: &str| {
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let body = answer.split_once("\r\n\r\n")?.1;
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        let result = value["data"]["result"].as_array()?.clone();
        (!result.is_empty()).then_some(result)
    };
    let found = harness::wait::try_until(secs(30), || Some((query("up")?, query("all_total")?)));
    let all = query("count(size_bucket)");
    let _ = child.kill();
    let _ = child.wait();
    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let (up, series) = found.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(up[0]["value"][1], "1", "{log}");
    let mut labels: Vec<_> =
        series.iter().map(|it| it["metric"]["all"].as_str().unwrap_or_default()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["\"} 1\n# EOF\\", "1.5e300", "12", "\u{fffd}\0\u{1b}"], "{log}");
    assert_eq!(all.expect("buckets")[0]["value"][1], "12");
}
