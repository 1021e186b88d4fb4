//! One host: a container of some release, with a volume that outlives it. What a test feeds, and all that it
//! reads, goes through that volume.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use harness::feed::Feeder;
use harness::oracle::numbered;
use harness::stats::{Counters, Stats};
use harness::wait::try_until;
use harness::{Keys, millis, secs, sums, wait_until};

use crate::docker::docker;
use crate::lab::Lab;

/// Lines in one go of the load, and the pause behind it: some 2,000 a second, so that it lasts through what
/// is done meanwhile.
const PORTION: usize = 50;
const PAUSE: u64 = 25;

/// Whose lines are not judged.
pub const NOBODY: &str = "nobody";

/// A host.
pub struct Host<'a> {
    lab: &'a Lab,
    name: String,
    image: String,
    folder: PathBuf,
    keys: Keys,
    load: Option<Load>,
    /// Lines `0..fed` were fed.
    fed: usize,
    /// Bytes of out.log that were read, and the lines in them.
    counted: Cell<(u64, usize)>,
}

/// Lines that are fed until the test has done what it does under load.
struct Load {
    enough: Arc<AtomicBool>,
    feeding: JoinHandle<usize>,
}

impl<'a> Host<'a> {
    /// Not started yet.
    pub fn new(lab: &'a Lab, name: &str, image: &str, folder: PathBuf, keys: Keys) -> Self {
        let (name, image) = (name.to_owned(), image.to_owned());
        Host { lab, name, image, folder, keys, load: None, fed: 0, counted: Cell::default() }
    }

    /// Its name, which its lines and its certificate have too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own key.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A path in its volume.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How many lines it was fed.
    pub fn fed(&self) -> usize {
        self.fed
    }

    fn container(&self) -> String {
        self.lab.container(&self.name)
    }

    /// Writes its configuration for the next start.
    pub fn configure(&self, parts: &[&str]) {
        let text = crate::config::whole(parts);
        fs::write(self.path("rsyslog.conf"), text).expect("configuration written");
    }

    /// The counters of an earlier run are not this one's, nor is its socket.
    fn forget_run(&self) {
        for file in ["stats.json", "feed.sock"] {
            let _ = fs::remove_file(self.path(file));
        }
    }

    #[track_caller]
    fn is_ready(&self) {
        let socket = self.path("feed.sock");
        let ready =
            try_until(secs(30), || std::os::unix::net::UnixStream::connect(&socket).ok().map(drop));
        assert!(ready.is_some(), "rsyslogd of {} is not ready", self.name);
    }

    /// A clean stop, as the service's.
    #[track_caller]
    pub fn stop(&self) {
        stop(&[self]);
    }

    /// The same container again, with the configuration that is there now.
    pub fn start_again(&self) {
        self.forget_run();
        docker(&["start", &self.container()]);
        self.is_ready();
    }

    /// A clean stop; then a container of another image takes the volume over. The old one goes first: Debian
    /// bookworm's docker-compose cannot replace one where the engine is newer.
    pub fn becomes(&mut self, image: &str) {
        self.stop();
        docker(&["rm", &self.container()]);
        image.clone_into(&mut self.image);
        start(&[self]);
    }

    /// kill -9. The kernel ends a killed omfile's write(2) between two pages: what it leaves of a line is cut
    /// off, as the next would be written behind it. That line was not acknowledged, and comes again.
    pub fn kill(&self) {
        docker(&["kill", &self.container()]);
        let Ok(bytes) = fs::read(self.path("out.log")) else { return };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let file = File::options().write(true).open(self.path("out.log")).expect("out.log");
        file.set_len(whole as u64).expect("out.log");
    }

    /// Stands still, with its connections.
    pub fn pause(&self) {
        docker(&["pause", &self.container()]);
    }

    /// Goes on.
    pub fn unpause(&self) {
        docker(&["unpause", &self.container()]);
    }

    /// Takes the host off the network, without a word to anybody; the answer is its address.
    pub fn unplug(&self) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "-f", format, &self.container()]);
        docker(&["network", "disconnect", self.lab.network(), &self.container()]);
        address
    }

    /// Back, under the same name and address.
    pub fn plug(&self, address: &str) {
        let (network, container) = (self.lab.network(), self.container());
        let name = &self.name;
        docker(&["network", "connect", "--ip", address, "--alias", name, network, &container]);
    }

    /// Runs a command in it; the answer is what it said.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> String {
        let container = self.container();
        docker(&[&["exec", &container], command].concat())
    }

    /// Starts a program in it that goes on, and says what it has to say where rsyslogd does.
    pub fn run_on(&self, command: &str) {
        let command = format!("exec {command} 2>/proc/1/fd/2");
        docker(&["exec", "-d", &self.container(), "sh", "-c", &command]);
    }

    /// Begins to feed lines.
    pub fn begin_load(&mut self) {
        let (enough, from) = (Arc::new(AtomicBool::new(false)), self.fed);
        let (until, host, socket) =
            (Arc::clone(&enough), self.name.clone(), self.path("feed.sock"));
        let feeding = thread::spawn(move || {
            let mut next = from;
            while !until.load(Ordering::Relaxed) {
                feed(&socket, &host, next..next + PORTION);
                next += PORTION;
                thread::sleep(millis(PAUSE));
            }
            next
        });
        self.load = Some(Load { enough, feeding });
    }

    /// Ends the load.
    pub fn end_load(&mut self) {
        let load = self.load.take().expect("a load was begun");
        load.enough.store(true, Ordering::Relaxed);
        self.fed = load.feeding.join().expect("the load was fed");
    }

    /// Feeds so many lines at once.
    pub fn feed(&mut self, lines: usize) {
        feed(&self.path("feed.sock"), &self.name, self.fed..self.fed + lines);
        self.fed += lines;
    }

    /// Writes so many lines to a file of its volume, for a program of its own; the answer is the file's path
    /// in the container.
    pub fn lines_in_a_file(&mut self, count: usize) -> &'static str {
        let lines = lines_of(&self.name, self.fed..self.fed + count);
        fs::write(self.path("lines"), lines).expect("lines written");
        self.fed += count;
        "/host/lines"
    }

    /// Feeds a line that nobody judges, of the host [`NOBODY`].
    pub fn feed_nobody(&self) {
        feed(&self.path("feed.sock"), NOBODY, 0..1);
    }

    /// The latest counters.
    pub fn stats(&self) -> Stats {
        Stats::read(&self.path("stats.json"))
    }

    /// Waits until these counters of an object say so.
    #[track_caller]
    pub fn wait_stats(&self, origin: &str, name: &str, what: &str, is: impl Fn(&Counters) -> bool) {
        let found = |stats: Stats| stats.get(origin, name).cloned();
        let reached = try_until(secs(60), || found(self.stats()).filter(|counters| is(counters)));
        let host = &self.name;
        assert!(
            reached.is_some(),
            "waited in vain for {what} at {host}: {:?}",
            found(self.stats())
        );
    }

    /// Waits until so many lines more are in its file.
    #[track_caller]
    pub fn gets(&self, more: usize) {
        self.reaches(self.count() + more);
    }

    /// Waits until so many lines are in its file.
    #[track_caller]
    pub fn reaches(&self, count: usize) {
        let what = format!("{count} lines at {}", self.name);
        wait_until(&what, secs(60), || (self.count() >= count).then_some(()));
    }

    /// How many lines are in its file, without reading all of them again and again.
    pub fn count(&self) -> usize {
        let (mut read, mut count) = self.counted.get();
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(self.path("out.log")) {
            file.seek(SeekFrom::Start(read)).expect("out.log");
            file.read_to_end(&mut bytes).expect("out.log");
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        read += whole as u64;
        count += bytes.iter().filter(|byte| **byte == b'\n').count();
        self.counted.set((read, count));
        count
    }

    /// What it received, whole lines.
    pub fn lines(&self) -> Vec<String> {
        let bytes = fs::read(self.path("out.log")).unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Host<'_> {
    /// A case that failed in the middle of a load.
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            load.enough.store(true, Ordering::Relaxed);
            let _ = load.feeding.join();
        }
    }
}

/// Starts these hosts' containers, new ones where there are none.
#[track_caller]
pub fn start(hosts: &[&Host]) {
    let Some(first) = hosts.first() else { return };
    for host in hosts {
        host.forget_run();
    }
    let images: Vec<_> = hosts.iter().map(|host| (host.name(), host.image.as_str())).collect();
    first.lab.up(&images);
    for host in hosts {
        host.is_ready();
    }
}

/// Stops them all at once. Each must end by itself, with exit status 0; but for hosts that have only the C
/// modules, as a stop can be a crash there (imczmq on forky, seen twice).
#[track_caller]
pub fn stop(hosts: &[&Host]) {
    if hosts.is_empty() {
        return;
    }
    let containers: Vec<_> = hosts.iter().map(|host| host.container()).collect();
    let mut command = vec!["stop", "-t", "40"];
    command.extend(containers.iter().map(String::as_str));
    docker(&command);
    for host in hosts.iter().filter(|host| !host.image.ends_with("-stock")) {
        let status = docker(&["inspect", "-f", "{{.State.ExitCode}}", &host.container()]);
        assert_eq!(status, "0", "rsyslogd of {} ended with {status}", host.name);
    }
}

/// Waits for a report of each that is newer than this call and in which all sums hold.
#[track_caller]
pub fn add_up(hosts: &[&Host]) {
    let before: Vec<_> = hosts.iter().map(|host| host.stats().reports()).collect();
    for (host, before) in hosts.iter().zip(before) {
        let mut wrong = vec!["no report came".to_owned()];
        let right = try_until(secs(20), || {
            let stats = host.stats();
            if stats.reports() <= before {
                return None;
            }
            wrong = sums::violations(&stats);
            wrong.is_empty().then_some(())
        });
        assert!(right.is_some(), "counters of {} do not add up: {wrong:#?}", host.name);
    }
}

fn feed(socket: &Path, host: &str, numbers: Range<usize>) {
    Feeder::at(socket).bytes(lines_of(host, numbers).as_bytes());
}

fn lines_of(host: &str, numbers: Range<usize>) -> String {
    let line =
        |number| format!("<13>2026-11-24T10:00:00.123456+00:00 {host} app: {}\n", numbered(number));
    numbers.map(line).collect()
}
