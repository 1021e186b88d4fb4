//! Start, work, stop: both modules in one process, panics, memory, and what the built files may and
//! may not contain.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::feed::Feeder;
use harness::oracle::numbered;
use harness::skip::{has_program, skipped};
use harness::valgrind::{Findings, Valgrind};
use harness::{
    Keys, Oracle, Peer, Rsyslogd, SOON, Site, millis, paths, ports::free_endpoint, secs, wait_until,
};

const STOP: std::time::Duration = secs(2);

/// Both modules with CURVE and authenticators: an input and a publisher as servers, and a PUSH action
/// as client of `to`.
struct Both {
    site: Site,
    server: Keys,
    client: Keys,
    inward: String,
    outward: String,
}

impl Both {
    fn new(to: &str) -> Self {
        let site = Site::new();
        let (server, client) = (Keys::new("server"), Keys::new("client"));
        server.write(&site.path("keys"));
        client.write(&site.path("keys"));
        client.write_public(&site.path("allowed"));
        let as_server = format!(
            "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{}\" \
             clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("allowed").display()
        );
        let as_client = format!(
            "authenticator=\"on\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("keys/client").display()
        );
        let (inward, outward) = (free_endpoint(), free_endpoint());
        let input = format!("name=\"in\" endpoints=\"{inward}\" socktype=\"PULL\"");
        let site = site
            .receiving(&as_server, &input)
            .add(&format!("module(load=\"omrzmq\" {as_server})"))
            .add(&format!(
                "action(type=\"omrzmq\" name=\"pub\" endpoints=\"{outward}\" socktype=\"PUB\")"
            ))
            .add(&format!(
                "action(type=\"omrzmq\" name=\"push\" endpoints=\"{to}\" socktype=\"PUSH\" \
                 queue.type=\"LinkedList\" queue.size=\"10000\" \
                 queue.timeoutShutdown=\"10000\" {as_client})"
            ));
        Both {
            site,
            server,
            client,
            inward,
            outward,
        }
    }

    fn source(&self) -> Peer {
        let peer = Peer::new(zmq::PUSH).curve_client(&self.client, &self.server);
        peer.connect(&self.inward);
        peer
    }
}

#[test]
fn both_modules_with_authenticators_start_work_and_stop() {
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let mut daemon = both.site.start();
    let subscriber = Peer::new(zmq::SUB)
        .subscribed(&[""])
        .curve_client(&both.client, &both.server);
    subscriber.connect(&both.outward);
    subscriber.wait_connected(SOON);
    let source = both.source();
    source.send_numbers(0..1000);
    Oracle::judge(0..1000, &sink.take_all(1000, SOON)).once_in_order();
    Oracle::judge(0..1000, &daemon.wait_lines("out.log", 1000, SOON)).once_in_order();
    assert!(
        !subscriber.rest(millis(200)).is_empty(),
        "the subscriber got nothing"
    );
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
    daemon
        .feeder()
        .texts((0..3000).map(|n| format!("{} {padding}", numbered(n))));
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
        let modules = format!(
            "{}:{}",
            paths::stock_modules().display(),
            paths::modules().display()
        );
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
        let background = Background {
            pid,
            socket: site.path("feed.sock"),
        };
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
    for entry in fs::read_dir(format!("/proc/{}/task", daemon.pid()))
        .expect("tasks")
        .flatten()
    {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap_or_default()
                .trim()
        };
        if field("Pid:") == daemon.pid().to_string() {
            continue;
        }
        let blocked = u64::from_str_radix(field("SigBlk:"), 16).expect("a mask");
        for (signal, name) in [
            (1, "HUP"),
            (2, "INT"),
            (15, "TERM"),
            (10, "USR1"),
            (17, "CHLD"),
        ] {
            let thread = field("Name:");
            assert!(
                blocked & (1 << (signal - 1)) != 0,
                "thread {thread} does not block {name}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} threads");
}

/// A build in which a callback panics on demand.
fn faulty(fault: &str) -> Site {
    let folder = paths::fault_modules();
    assert!(
        folder.join("omrzmq.so").exists(),
        "{} is missing: `make build-fault` makes it",
        folder.display()
    );
    Site::new()
        .modules_from(folder)
        .environment("RZMQ_FAULT", fault)
}

/// The panic is a line in the log, and rsyslogd goes on.
fn survives(site: Site, module: &str, fault: &str) -> Rsyslogd {
    let mut daemon = site.file("out.log", "%msg%\\n").start();
    daemon.feed(0..10);
    daemon.wait_log(&[module, fault], SOON);
    daemon.feed(10..20);
    let lines = daemon.wait_lines("out.log", 20, SOON);
    Oracle::judge(0..20, &lines).once_in_order();
    daemon
}

#[test]
fn panic_in_a_commit_is_a_log_line() {
    let (_peer, endpoint) = Peer::pull();
    let action = format!(
        "endpoints=\"{endpoint}\" socktype=\"PUSH\" queue.type=\"LinkedList\" \
         action.resumeInterval=\"1\""
    );
    let site = faulty("omrzmq:commit").sending("", &action);
    let mut daemon = survives(site, "omrzmq", "internal error");
    // rsyslog offers the lines again; that must be no busy loop.
    std::thread::sleep(secs(2));
    let lines = daemon.log().lines().count();
    assert!(lines < 100, "{lines} lines in two seconds");
    daemon.stop().clean().within(secs(4));
}

#[test]
fn panic_in_a_new_action_is_a_log_line() {
    let action = format!("endpoints=\"{}\" socktype=\"PUSH\"", free_endpoint());
    let site = faulty("omrzmq:newinstance").sending("", &action);
    survives(site, "omrzmq", "internal error")
        .stop()
        .clean()
        .within(STOP);
}

#[test]
fn panic_in_a_new_input_is_a_log_line() {
    let site = faulty("imrzmq:newinstance")
        .add("module(load=\"imrzmq\")")
        .add(&format!(
            "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
            free_endpoint()
        ));
    survives(site, "imrzmq", "internal error")
        .stop()
        .clean()
        .within(STOP);
}

#[test]
fn panic_at_activation_is_a_log_line() {
    let site = faulty("imrzmq:activate")
        .add("module(load=\"imrzmq\")")
        .add(&format!(
            "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
            free_endpoint()
        ));
    survives(site, "imrzmq", "internal error")
        .stop()
        .clean()
        .within(STOP);
}

#[test]
fn panic_in_the_input_thread_is_a_log_line() {
    let site = faulty("imrzmq:run")
        .add("module(load=\"imrzmq\")")
        .add(&format!(
            "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
            free_endpoint()
        ));
    survives(site, "imrzmq", "internal error")
        .stop()
        .clean()
        .within(STOP);
}

/// The fault build without a fault is the ordinary one.
#[test]
fn fault_build_works_when_no_fault_is_asked_for() {
    let (peer, endpoint) = Peer::pull();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUSH\"");
    let mut daemon = faulty("").sending("", &action).start();
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

/// Load, HUP and shutdown below valgrind, every line through both modules with CURVE.
#[test]
fn valgrind_finds_nothing_of_ours() {
    if !has_program("valgrind") {
        return skipped("valgrind_finds_nothing_of_ours", "no valgrind");
    }
    let _alone = harness::quiet::alone();
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let stranger = Keys::new("stranger");
    let mut daemon = both.site.valgrind(Valgrind).start();
    let subscriber = Peer::new(zmq::SUB)
        .subscribed(&[""])
        .curve_client(&both.client, &both.server);
    subscriber.connect(&both.outward);
    let refused = Peer::new(zmq::PUSH).curve_client(&stranger, &both.server);
    refused.connect(&both.inward);
    let source = Peer::new(zmq::PUSH).curve_client(&both.client, &both.server);
    source.connect(&both.inward);
    source.send_numbers(0..1000);
    daemon.hup();
    source.send_numbers(1000..2000);
    Oracle::judge(0..2000, &sink.take_all(2000, secs(60))).once_in_order();
    daemon.stop();
    let findings = Findings::of(&daemon);
    findings.no_errors();
    findings.no_leaks();
}

/// An absent peer, a spool written, read and removed, a configuration with mistakes.
#[test]
fn valgrind_finds_nothing_of_ours_with_a_spool() {
    if !has_program("valgrind") {
        return skipped("valgrind_finds_nothing_of_ours_with_a_spool", "no valgrind");
    }
    let _alone = harness::quiet::alone();
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""))
        .add("action(type=\"omrzmq\" endpoints=\"tcp://127.0.0.1:1\" socktype=\"NONE\")")
        .add("action(type=\"omrzmq\" endpoints=\"nonsense\" socktype=\"PUSH\" linger=\"x\")")
        .valgrind(Valgrind);
    let mut daemon = site.start();
    daemon.feed(0..200);
    daemon.stop();
    Findings::of(&daemon).no_errors();
    Findings::of(&daemon).no_leaks();
    assert_eq!(site.spools().len(), 1, "a spool");
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    let mut daemon = site.start();
    Oracle::judge(0..200, &peer.take_all(200, secs(30))).once_in_order();
    daemon.stop();
    Findings::of(&daemon).no_errors();
    Findings::of(&daemon).no_leaks();
}

#[test]
fn libzmq_has_curve() {
    assert_eq!(zmq::has("curve"), Some(true));
}

/// The distribution's shared libzmq, with its security updates, and no copy of it.
#[test]
fn modules_use_the_shared_libzmq() {
    let both = Both::new(&free_endpoint());
    let daemon = both.site.start();
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("maps");
    assert!(maps.contains("libzmq.so.5"), "libzmq.so.5 is not loaded");
}

fn modules() -> [PathBuf; 2] {
    ["imrzmq.so", "omrzmq.so"].map(|name| paths::modules().join(name))
}

#[test]
fn modules_are_regular_files() {
    for module in modules() {
        let kind = fs::symlink_metadata(&module).expect("module");
        assert!(kind.file_type().is_file(), "{} is a link", module.display());
    }
}

#[test]
fn mod_init_is_the_only_symbol() {
    if !has_program("nm") {
        return skipped("mod_init_is_the_only_symbol", "no nm (binutils)");
    }
    for module in modules() {
        let output = Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(&module)
            .output();
        let output = output.expect("nm runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(names, ["modInit"], "{}", module.display());
    }
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            // A crate's own tests are no product code.
            if path.file_name().is_none_or(|name| name != "tests") {
                files.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What is compiled into the modules: without comments and without the unit tests, which stand at the
/// end of a file.
fn product_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("source");
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        lines.push((number + 1, code.to_owned()));
    }
    lines
}

/// Does the code use this word, as a word?
fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    })
}

#[test]
fn unsafe_code_lives_in_the_host_layer_and_in_one_file_of_the_link() {
    let src = paths::repository().join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let name = path.strip_prefix(&src).expect("below src").to_owned();
        let allowed = name.starts_with("host") || name == Path::new("link/raw.rs");
        let text = fs::read_to_string(&path).expect("source");
        let all: Vec<_> = text.lines().collect();
        for (number, code) in product_lines(&path) {
            let line = code.trim();
            if !uses(line, "unsafe") || line.contains("unsafe_code") || line.contains("unsafe_op") {
                continue;
            }
            if !allowed {
                wrong.push(format!("{}:{number}: {line}", name.display()));
                continue;
            }
            // Declarations and types promise nothing; blocks and impls do.
            let promises = line.contains("unsafe {") || line.starts_with("unsafe impl");
            let above = &all[number.saturating_sub(8)..number];
            if promises && !above.iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{}:{number}: no SAFETY: {line}", name.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// clippy says so too; this holds where nobody ran it.
#[test]
fn product_code_neither_unwraps_nor_panics() {
    let src = paths::repository().join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let name = path
            .strip_prefix(&src)
            .expect("below src")
            .display()
            .to_string();
        if name == "host/fault.rs" {
            // Panics on demand, in test builds alone.
            continue;
        }
        for (number, code) in product_lines(&path) {
            for word in [
                ".unwrap()",
                ".expect(",
                "panic!(",
                "todo!(",
                "unimplemented!(",
                "unreachable!(",
            ] {
                if code.contains(word) {
                    wrong.push(format!("{name}:{number}: {}", code.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
