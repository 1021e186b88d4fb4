//! The library behind rzlog: its examples do what they say, against real rsyslogd.

use std::fs::{self, File};
use std::process::{Child, Command};

use harness::ports::free_endpoint;
use harness::{Keys, Proxy, SOON, Site, wait_until};

use crate::publisher::Publisher;

/// Ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_reader_has_lines_and_gaps_in_one_stream() {
    let publisher = Publisher::with_topics();
    let proxy = Proxy::before(&publisher.endpoint);
    let keys = publisher.site.path("keys");
    let file = |name: &str| File::create(publisher.site.path(name)).expect("a file");
    let text = |name: &str| fs::read_to_string(publisher.site.path(name)).unwrap_or_default();
    let _reader = Ended(
        Command::new(env!("CARGO_BIN_EXE_client-read"))
            .arg(proxy.endpoint())
            .args([keys.join("loghost"), keys.join("reader_secret")])
            .arg("web1.nginx.")
            .stdout(file("read.out"))
            .stderr(file("read.err"))
            .spawn()
            .expect("the example"),
    );
    wait_until("a line", SOON, || {
        publisher.says("web1", "cron", &["not asked for"]);
        publisher.says("web1", "nginx", &["asked\u{1b}[2J for"]);
        text("read.out").ends_with('\n').then_some(())
    });
    let out = text("read.out");
    assert!(out.lines().all(|line| line == r"web1 nginx: asked#033[2J for"), "{out}");
    proxy.cut();
    let gap = format!("gap: {} is gone", proxy.endpoint());
    wait_until("the gap", SOON, || text("read.err").contains(&gap).then_some(()));
}

#[test]
fn the_sender_says_what_was_acknowledged() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, us) = (Keys::new("loghost"), Keys::new("us"));
    server.write(&site.path("keys"));
    us.write(&site.path("keys"));
    us.write_public(&site.path("allowed"));
    let keys = site.path("keys");
    let module = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        keys.join("loghost").display(),
        site.path("allowed").display()
    );
    let input = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\"");
    let mut receiver = site.receiving(&module, &input).start();
    let lines = ["<13>1 - web1 app - - - one", "<13>1 - web1 app - - - two"];
    let sent = Command::new(env!("CARGO_BIN_EXE_client-send"))
        .arg(&endpoint)
        .args([keys.join("loghost"), keys.join("us_secret")])
        .args(lines)
        .output()
        .expect("the example");
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "2 acknowledged\n", "{sent:?}");
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(receiver.wait_lines("out.log", 2, SOON), ["one", "two"]);
}
