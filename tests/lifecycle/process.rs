//! Both modules in one rsyslogd, in the foreground and in the background.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::feed::Feeder;
use harness::oracle::numbered;
use harness::{Oracle, Peer, SOON, Site, millis, paths, ports::free_endpoint, secs, wait_until};

use crate::{Both, STOP};

#[test]
fn both_modules_with_authenticators_start_work_and_stop() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let mut daemon = both.site.start();
    let subscriber = Peer::new(zmq::SUB).subscribed(&[""]).curve_client(&both.client, &both.server);
    subscriber.connect(&both.outward);
    subscriber.wait_connected(SOON);
    let source = both.source();
    source.send_numbers(0..1000);
    Oracle::judge(0..1000, &sink.take_all(1000, SOON)).once_in_order();
    Oracle::judge(0..1000, &daemon.wait_lines("out.log", 1000, SOON)).once_in_order();
    assert!(!subscriber.rest(millis(200)).is_empty(), "the subscriber got nothing");
    daemon.stop().clean().within(STOP);
}

#[test]
fn both_modules_stop_in_time_without_any_peer() {
    let both = Both::new(&free_endpoint());
    both.site.start().stop().clean().within(STOP);
}

#[test]
fn both_modules_stop_in_time_with_lines_for_an_absent_peer() {
    let both = Both::new(&free_endpoint());
    let mut daemon = both.site.start();
    daemon.feed(0..3000);
    daemon.stop().clean().within(STOP);
}

/// A peer that accepts the connection and never says a word.
#[test]
fn both_modules_stop_in_time_with_a_mute_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let to = format!("tcp://{}", listener.local_addr().expect("address"));
    let both = Both::new(&to);
    let mut daemon = both.site.start();
    daemon.feed(0..3000);
    let (stream, _) = listener.accept().expect("a connection");
    daemon.stop().clean().within(STOP);
    drop(stream);
}

/// A peer that is connected and does not read.
#[test]
fn both_modules_stop_in_time_with_a_full_peer() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server).narrow();
    sink.bind(&to);
    let mut daemon = both.site.start();
    let padding = "x".repeat(7_000);
    daemon.feeder().texts((0..3000).map(|n| format!("{} {padding}", numbered(n))));
    sink.wait_connected(SOON);
    daemon.stop().clean().within(secs(3));
}

/// A stop that comes at once, while everything is still starting.
#[test]
fn stop_right_after_the_start() {
    let both = Both::new(&free_endpoint());
    for _ in 0..5 {
        both.site.start().stop().clean().within(STOP);
    }
}

#[test]
fn hup_again_and_again_is_harmless() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let mut daemon = both.site.start();
    let source = both.source();
    for part in 0..20 {
        source.send_numbers(part * 100..(part + 1) * 100);
        daemon.hup();
    }
    Oracle::judge(0..2000, &sink.take_all(2000, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// As packages start it: rsyslogd goes to the background, and loads its configuration in a process
/// that ends before the work begins.
#[test]
fn works_in_the_background_too() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let daemon = Background::start(&both.site);
    let feeder = daemon.feeder();
    feeder.numbers(0..1000);
    Oracle::judge(0..1000, &sink.take_all(1000, SOON)).once_in_order();
    let source = both.source();
    source.send_numbers(1000..1100);
    Oracle::judge(1000..1100, &sink.take_all(100, SOON)).once_in_order();
    daemon.stop();
}

/// An rsyslogd that forks; killed by the pid in its file.
struct Background {
    pid: u32,
    socket: PathBuf,
}

impl Background {
    fn start(site: &Site) -> Self {
        let config = site.path("background.conf");
        fs::write(&config, site.config()).expect("configuration");
        let pid_file = site.path("background.pid");
        let modules =
            format!("{}:{}", paths::stock_modules().display(), paths::modules().display());
        let status = Command::new(paths::rsyslogd())
            .arg("-f")
            .arg(&config)
            .arg("-i")
            .arg(&pid_file)
            .args(["-M", &modules])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("rsyslogd");
        assert!(status.success(), "rsyslogd did not start: {status}");
        let pid = wait_until("a pid file", SOON, || {
            fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
        });
        let background = Background { pid, socket: site.path("feed.sock") };
        wait_until("imptcp accepts", SOON, || {
            std::os::unix::net::UnixStream::connect(&background.socket).ok()
        });
        background
    }

    fn feeder(&self) -> Feeder {
        Feeder::at(&self.socket)
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid)])
            .stderr(Stdio::null())
            .status();
    }

    fn stop(&self) {
        self.signal("TERM");
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        wait_until("the end of the background rsyslogd", secs(3), || {
            // A zombie is nobody's child here but init's.
            let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

/// Signals belong to rsyslogd's main thread: every other thread in the process blocks them.
#[test]
fn threads_of_the_modules_block_signals() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let daemon = both.site.start();
    daemon.feed(0..10);
    assert_eq!(sink.take(10, SOON).len(), 10);
    let mut seen = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("tasks").flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |key: &str| {
            status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim()
        };
        if field("Pid:") == daemon.pid().to_string() {
            continue;
        }
        let blocked = u64::from_str_radix(field("SigBlk:"), 16).expect("a mask");
        for (signal, name) in [(1, "HUP"), (2, "INT"), (15, "TERM"), (10, "USR1"), (17, "CHLD")] {
            let thread = field("Name:");
            assert!(blocked & (1 << (signal - 1)) != 0, "thread {thread} does not block {name}");
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} threads");
}
