//! A running rsyslogd. Killed by its pid on drop; when the test is failing, its configuration and
//! its log are printed first.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::feed::Feeder;
use crate::paths;
use crate::site::{Scratch, Site, lines_of};
use crate::stats::{Counters, Stats};
use crate::sums::add_up;
use crate::wait::try_until;

/// A daemon that ignores SIGTERM this long is killed, and the test learns of it.
const HUNG: Duration = Duration::from_secs(15);

/// How a daemon ended.
#[derive(Debug)]
pub struct Ending {
    /// Its exit status; killed by the harness if `hung`.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub took: Duration,
    /// It did not end by itself.
    pub hung: bool,
}

impl Ending {
    /// It ended by itself, with exit status 0.
    #[track_caller]
    pub fn clean(&self) -> &Self {
        assert!(!self.hung, "rsyslogd ignored SIGTERM for {:?}", self.took);
        assert!(self.status.success(), "rsyslogd ended with {}", self.status);
        self
    }

    /// It took no longer than this.
    #[track_caller]
    pub fn within(&self, limit: Duration) -> &Self {
        assert!(self.took <= limit, "rsyslogd took {:?} to stop, not {limit:?}", self.took);
        self
    }
}

/// A running daemon.
pub struct Rsyslogd {
    child: Child,
    scratch: Arc<Scratch>,
    log: PathBuf,
    config: String,
    feed: Option<PathBuf>,
    ended: Option<ExitStatus>,
}

impl Rsyslogd {
    /// Starts the site's daemon and waits for systemd's READY=1, which it sends once everything is
    /// activated, and for its feed.
    pub(crate) fn start(site: &Site) -> Self {
        site.need_modules();
        let config = site.write_config();
        let socket = site.path("notify.sock");
        let _ = std::fs::remove_file(&socket);
        if let Some(feed) = site.feed_socket() {
            let _ = std::fs::remove_file(feed);
        }
        // The counters of an earlier run are not this one's.
        let _ = std::fs::remove_file(site.path("stats.json"));
        let notify = UnixDatagram::bind(&socket).expect("notify socket");
        // A daemon that has dropped its privileges must be able to write to it.
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).expect("mode");
        notify.set_read_timeout(Some(Duration::from_millis(50))).expect("time-out");

        let log = fresh_log(site);
        let file = File::create(&log).expect("log of rsyslogd");
        let mut command = match &site.valgrind {
            None if !site.netlink => {
                let mut python = Command::new("python3");
                python.arg(paths::repository().join("tests/peers/without_netlink.py"));
                python.arg(paths::rsyslogd());
                python
            }
            None => Command::new(paths::rsyslogd()),
            Some(valgrind) => valgrind.command(&site.path("valgrind.log"), &paths::rsyslogd()),
        };
        command
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(site.path("rsyslogd.pid"))
            .args(["-M", &site.module_path()])
            .env("NOTIFY_SOCKET", &socket)
            .envs(site.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log of rsyslogd"))
            .stderr(file);
        let child = command.spawn().expect("rsyslogd does not run");
        let mut daemon = Rsyslogd {
            child,
            scratch: Arc::clone(&site.scratch),
            log,
            config: site.config(),
            feed: site.feed_socket(),
            ended: None,
        };
        let patience = if site.valgrind.is_some() { 90 } else { 20 };
        daemon.wait_ready(&notify, Duration::from_secs(patience));
        daemon
    }

    fn wait_ready(&mut self, notify: &UnixDatagram, patience: Duration) {
        let start = Instant::now();
        let mut datagram = [0; 512];
        loop {
            if let Ok(length) = notify.recv(&mut datagram) {
                if datagram[..length].starts_with(b"READY=1") {
                    break;
                }
            }
            self.assert_alive();
            assert!(start.elapsed() < patience, "rsyslogd not ready after {patience:?}");
        }
        if let Some(socket) = self.feed.clone() {
            self.wait("imptcp accepts", patience, |_| {
                std::os::unix::net::UnixStream::connect(&socket).ok().map(drop)
            });
        }
    }

    /// A path in its scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The way in.
    pub fn feeder(&self) -> Feeder {
        Feeder::at(self.feed.as_deref().expect("this site has no feed"))
    }

    /// Feeds the lines `n=…` of these numbers; they are submitted when this returns.
    #[track_caller]
    pub fn feed(&self, numbers: Range<usize>) {
        self.feeder().numbers(numbers);
    }

    /// Has it ended by itself?
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("rsyslogd's status");
        }
        self.ended
    }

    /// It must still run.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.exited() {
            panic!("rsyslogd is gone: {status}");
        }
    }

    /// Waits for a condition; a daemon that dies meanwhile fails the test at once.
    #[track_caller]
    pub fn wait<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let answer = try_until(deadline, || {
            let answer = condition(self);
            if answer.is_none() {
                self.assert_alive();
            }
            answer
        });
        answer.unwrap_or_else(|| panic!("waited {deadline:?} in vain for: {what}"))
    }

    /// What it printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Is there a line with all of these words?
    pub fn logged(&self, words: &[&str]) -> bool {
        self.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Waits for a line with all of these words; the answer is the line.
    #[track_caller]
    pub fn wait_log(&mut self, words: &[&str], deadline: Duration) -> String {
        self.wait(&format!("a log line with {words:?}"), deadline, |daemon| {
            daemon
                .log()
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        })
    }

    /// The lines of a file in its scratch folder.
    pub fn lines(&self, name: &str) -> Vec<String> {
        lines_of(&self.scratch.path(name))
    }

    /// Waits until a file has that many lines; the answer is all that are there.
    #[track_caller]
    pub fn wait_lines(&mut self, name: &str, count: usize, deadline: Duration) -> Vec<String> {
        let enough = try_until(deadline, || {
            let lines = self.lines(name);
            if lines.len() < count {
                self.assert_alive();
                return None;
            }
            Some(lines)
        });
        enough.unwrap_or_else(|| {
            let have = self.lines(name).len();
            panic!("waited {deadline:?} for {count} lines in {name}; there are {have}")
        })
    }

    /// The counters of the latest report.
    pub fn stats(&self) -> Stats {
        Stats::read(&self.scratch.path("stats.json"))
    }

    /// Waits for a state of one object's counters; impstats reports once a second.
    #[track_caller]
    pub fn wait_stats(
        &mut self,
        origin: &str,
        name: &str,
        what: &str,
        condition: impl Fn(&Counters) -> bool,
    ) -> Counters {
        let deadline = Duration::from_secs(10);
        let reached = try_until(deadline, || {
            self.assert_alive();
            self.stats().get(origin, name).filter(|counters| condition(counters)).cloned()
        });
        reached.unwrap_or_else(|| {
            panic!(
                "waited {deadline:?} for counters {origin}/{name} with {what}; they are {:?}, \
                 the objects of this origin {:?}",
                self.stats().get(origin, name),
                self.stats().names(origin),
            )
        })
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        self.proc_status("VmRSS:")
    }

    /// A number of /proc/PID/status.
    pub fn proc_status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("rsyslogd's /proc entry");
        status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {key} in /proc/PID/status"))
    }

    /// Sends SIGHUP.
    pub fn hup(&self) {
        self.signal("HUP");
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        // A shell's builtin: std has no kill(2), and this package has no unsafe code.
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid())])
            .stderr(Stdio::null())
            .status();
    }

    /// SIGTERM, then waits for the end and measures it.
    pub fn stop(&mut self) -> Ending {
        let start = Instant::now();
        self.terminate();
        self.end_since(start)
    }

    /// As [`Rsyslogd::stop`], after its counters were seen to add up.
    #[track_caller]
    pub fn end(&mut self) -> Ending {
        add_up(&mut [self]);
        self.stop()
    }

    /// SIGTERM alone.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits for the end, measured from now.
    pub fn wait_end(&mut self) -> Ending {
        self.end_since(Instant::now())
    }

    fn end_since(&mut self, start: Instant) -> Ending {
        let ended = try_until(HUNG, || self.exited());
        let hung = ended.is_none();
        let status = ended.unwrap_or_else(|| self.kill9());
        Ending { status, took: start.elapsed(), hung }
    }

    /// SIGKILL; the answer is the status.
    pub fn kill9(&mut self) -> ExitStatus {
        let _ = self.child.kill();
        let status = self.child.wait().expect("rsyslogd's status");
        self.ended = Some(status);
        status
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.kill9();
        }
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}

impl fmt::Display for Rsyslogd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.ended {
            None => "running".to_owned(),
            Some(status) => match status.signal() {
                Some(signal) => format!("ended by signal {signal}"),
                None => status.to_string(),
            },
        };
        let log = self.log();
        // A daemon in a loop can print a lot.
        let tail = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
        write!(
            f,
            "---- rsyslogd {} ({status}), configuration:\n{}---- its log:\n{}----",
            self.child.id(),
            self.config,
            &log[tail..]
        )
    }
}

/// A log file of this start.
fn fresh_log(site: &Site) -> PathBuf {
    (1..)
        .map(|run| site.path(&format!("rsyslogd-{run}.err")))
        .find(|path| !path.exists())
        .expect("a number is free")
}
