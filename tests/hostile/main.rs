//! Who holds no key that is let in, against a real receiver with honest senders beside it: each attack
//! is refused, told and counted as docs/operations.md says, grows the receiver's memory by no more
//! than 64 MiB, and costs the honest neither a line nor its order.
//!
//! The attacks are `tests/peers/hostile.py`. Each case prints a row of a table past libtest's capture.

mod files;
mod held_off;
mod limits;
mod secrets;
mod table;
mod throughput;
mod valgrind;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::ports::free_endpoint;
use harness::{Keys, Oracle, Rsyslogd, SOON, Site, paths, python, secs, skip, wait_until};

/// What an attack may make the receiver grow by, in KiB.
const CEILING: u64 = 64 << 10;

/// The two kinds of input, and the files their lines go to.
const INPUTS: [(&str, &str); 2] = [("ROUTER", "acked"), ("PULL", "plain")];

/// A receiver with an acknowledged and a best-effort input, and a sender with a key for both.
struct Ground {
    receiver: Rsyslogd,
    sender: Rsyslogd,
    receiving: Site,
    endpoints: Vec<String>,
    server: Keys,
    honest: Keys,
    fed: usize,
}

impl Ground {
    fn new() -> Ground {
        Ground::on(|site| site)
    }

    /// With a receiver that is changed by this.
    fn on(change: impl FnOnce(Site) -> Site) -> Ground {
        Ground::of(change, "")
    }

    /// With more parameters of both inputs.
    fn with(parameters: &str) -> Ground {
        Ground::of(|site| site, parameters)
    }

    fn of(change: impl FnOnce(Site) -> Site, parameters: &str) -> Ground {
        let (server, honest) = (Keys::new("server"), Keys::new("honest"));
        let endpoints: Vec<_> = INPUTS.iter().map(|_| free_endpoint()).collect();
        let receiving = change(receiving(&endpoints, &server, &[&honest], parameters));
        let sender = sending(&endpoints, &server, &honest).start();
        receiving.check().accepts();
        let receiver = receiving.start();
        let mut ground = Ground { receiver, sender, receiving, endpoints, server, honest, fed: 0 };
        ground.send(2_000);
        for (_, file) in INPUTS {
            let lines = ground.receiving.lines(&format!("{file}.log"));
            assert!(lines.iter().all(|line| line.contains("honest")), "no $!rzmq in {file}.log");
        }
        ground
    }

    /// Feeds so many lines, and waits until both inputs have them.
    #[track_caller]
    fn send(&mut self, lines: usize) {
        self.sender.feed(self.fed..self.fed + lines);
        self.arrive(lines);
    }

    /// Waits until both inputs have the lines that were fed, and so many more.
    #[track_caller]
    fn arrive(&mut self, lines: usize) {
        self.fed += lines;
        for (_, file) in INPUTS {
            // a line is counted by its end, and not read again and again
            let path = self.receiving.path(&format!("{file}.log"));
            let (mut size, fed) = (0, self.fed);
            self.receiver.wait("the honest lines", secs(60), |receiver| {
                let now = fs::metadata(&path).map_or(0, |file| file.len());
                let grown = std::mem::replace(&mut size, now) != now;
                (grown && receiver.lines(&format!("{file}.log")).len() >= fed).then_some(())
            });
        }
    }

    /// Each honest line came once, in order, by both inputs.
    #[track_caller]
    fn judge(&self) {
        for (_, file) in INPUTS {
            Oracle::judge(0..self.fed, &self.receiving.lines(&format!("{file}.log")))
                .once_in_order();
        }
    }

    /// Resident memory now, in KiB; its peak is measured from now on.
    fn memory(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.receiver.pid()), "5").expect("clear_refs");
        self.receiver.memory()
    }

    fn peak(&self) -> u64 {
        self.receiver.proc_status("VmHWM:")
    }

    /// A counter of each input, once it is this high.
    #[track_caller]
    fn counted(&mut self, counter: &str, least: i64) -> i64 {
        let counts = INPUTS.map(|(_, name)| {
            let enough = |counters: &harness::stats::Counters| counters[counter] >= least;
            self.receiver.wait_stats("imrzmq", name, counter, enough)[counter]
        });
        counts.iter().sum()
    }

    /// Nothing that either daemon wrote has one of these secrets in it, as text or as bytes.
    #[track_caller]
    fn keeps_secrets(&self, more: &[&Keys]) {
        let keys = [&self.server, &self.honest].into_iter().chain(more.iter().copied());
        let secrets: Vec<_> =
            keys.flat_map(|keys| [keys.secret.to_vec(), keys.secret_z85().into_bytes()]).collect();
        for folder in [self.receiver.path(""), self.sender.path("")] {
            assert!(search(&folder, &secrets) >= 3, "no logs in {}", folder.display());
        }
    }

    #[track_caller]
    fn end(mut self) {
        harness::sums::end(&mut [&mut self.sender, &mut self.receiver]);
        self.keeps_secrets(&[]);
    }
}

/// Looks through all files but those in `keys`; answers how many there are.
#[track_caller]
fn search(folder: &Path, secrets: &[Vec<u8>]) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("its kind"));
        if kind.is_dir() && entry.file_name() != "keys" {
            files += search(&path, secrets);
        } else if kind.is_file() {
            files += 1;
            let text = fs::read(&path).unwrap_or_default();
            for secret in secrets {
                let found = text.windows(secret.len()).any(|window| window == secret.as_slice());
                assert!(!found, "a secret key in {}", path.display());
            }
        }
    }
    files
}

/// Lines go to a file for each input, with all that the input tells of their sender.
fn receiving(endpoints: &[String], server: &Keys, allowed: &[&Keys], parameters: &str) -> Site {
    let site = Site::new().without_feed();
    let certificate = server.write(&site.path("keys"));
    let folder = site.path("allowed");
    allowed.iter().for_each(|keys| drop(keys.write_public(&folder)));
    let trust = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        certificate.display(),
        folder.display()
    );
    let mut site = site
        .with("template(name=\"line\" type=\"string\" string=\"%msg% %$!rzmq%\\n\")")
        .with(&format!("module(load=\"imrzmq\" {trust})"));
    for ((kind, name), endpoint) in INPUTS.iter().zip(endpoints) {
        let file = site.path(&format!("{name}.log")).display().to_string();
        site = site
            .with(&format!(
                "ruleset(name=\"{name}\" queue.type=\"Direct\") {{ action(type=\"omfile\" file=\"{file}\" \
                 template=\"line\" flushOnTXEnd=\"on\" asyncWriting=\"off\") }}"
            ))
            .with(&format!(
                "input(type=\"imrzmq\" name=\"{name}\" ruleset=\"{name}\" socktype=\"{kind}\" \
                 endpoints=\"{endpoint}\" metadata=\"on\" {parameters})"
            ));
    }
    site
}

fn sending(endpoints: &[String], server: &Keys, own: &Keys) -> Site {
    let site = Site::new();
    let keys = site.path("keys");
    let (server, own) = (server.write_public(&keys), own.write(&keys));
    site.with("main_queue(queue.workerThreads=\"1\" queue.size=\"1000000\")")
        .with(&format!(
            "module(load=\"omrzmq\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\")",
            server.display(),
            own.display()
        ))
        .with(&format!(
            "action(type=\"omrzmq\" name=\"acked\" endpoints=\"{}\" socktype=\"DEALER\" \
             delivery=\"acked\")",
            endpoints[0]
        ))
        .with(&format!(
            "action(type=\"omrzmq\" name=\"plain\" endpoints=\"{}\" socktype=\"PUSH\")",
            endpoints[1]
        ))
}

/// A running `tests/peers/hostile.py`.
struct Attack(Child);

impl Attack {
    /// None: no Python that can import zmq, which was said.
    fn start(ground: &Ground, kind: &str, options: &[&str]) -> Option<Attack> {
        let Some(python) = python::interpreter() else {
            skip::skipped(kind, "no Python with pyzmq");
            return None;
        };
        Attack::run(Command::new(python), ground, kind, options)
    }

    /// As [`Attack::start`], but it takes what processor time others leave of the cores it may run on.
    fn start_aside(ground: &Ground, kind: &str, options: &[&str]) -> Option<Attack> {
        let python = python::interpreter()?;
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(python);
        Attack::run(nice, ground, kind, options)
    }

    fn run(mut python: Command, ground: &Ground, kind: &str, options: &[&str]) -> Option<Attack> {
        let child = python
            .arg(paths::repository().join("tests/peers/hostile.py"))
            .arg(kind)
            .args(&ground.endpoints)
            .args([&format!("--server-key={}", ground.server.public_z85())])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python does not run");
        Some(Attack(child))
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("the attacker's status").is_some()
    }

    /// What it did.
    #[track_caller]
    fn done(&mut self) -> String {
        wait_until("the attacker's end", secs(120), || self.is_over().then_some(()));
        let mut text = String::new();
        let output = self.0.stdout.as_mut().expect("its output");
        output.read_to_string(&mut text).expect("its output");
        assert!(self.0.wait().expect("its status").success(), "the attacker failed: {text}");
        text.trim().to_owned()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn print(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
