//! Acknowledged delivery between two real rsyslogd: nothing lost and nothing doubled, whoever stops,
//! dies, stalls or lies meanwhile.
//!
//! Each case has a short form that CI runs. RZMQ_ACKED_ROUNDS and RZMQ_ACKED_LINES make the kills,
//! stops and cuts long, RZMQ_ACKED_AWAY the absence (lines fed while nobody is there). Each long case
//! prints its figures past libtest's capture.

mod chaos;
mod clock;
mod cuts;
mod disk;
mod edges;
mod hostile;
mod kills;
mod lines;
mod memory;
mod raw;
mod slow;
mod stalls;
mod stops;
mod targets;

use std::collections::{BTreeSet, HashSet};
use std::env;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::oracle::number_of;
use harness::{Keys, Oracle, Rsyslogd, Site, secs, wait_until};

fn setting(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn rounds() -> usize {
    setting("RZMQ_ACKED_ROUNDS", 3)
}

fn lines() -> usize {
    setting("RZMQ_ACKED_LINES", 30_000)
}

/// An action queue of type Disk that notes each line takes hundreds of lines a second, not thousands.
fn disk_lines() -> usize {
    lines() / 10
}

/// For so many lines, on a busy machine.
fn patience(lines: usize) -> Duration {
    secs(60 + lines as u64 / 2_000)
}

/// Text, id and resend flag of a line.
const WITH_ID: &str = "%$!rzmq!id% %$!rzmq!resend% %msg%\\n";
/// A receiver that has a line in its file before it acknowledges it.
const DIRECT: &str = "queue.type=\"Direct\"";
/// Lines that a receiver takes and acknowledges at once.
const CHUNK: usize = 128;

/// The receiver's parts that stand before its input.
fn receiving(queue: &str) -> Site {
    receiving_as(WITH_ID, queue)
}

/// As [`receiving`], with another text for a line; what an archive would drop doubles by comes first.
fn receiving_as(text: &str, queue: &str) -> Site {
    let site = Site::new().without_feed();
    let file = format!(
        "action(type=\"omfile\" file=\"{}\" template=\"with_id\" flushOnTXEnd=\"on\" asyncWriting=\"off\")",
        site.path("out.log").display()
    );
    site.with(&format!("template(name=\"with_id\" type=\"string\" string=\"{text}\")"))
        .with(&format!("ruleset(name=\"remote\" {queue}) {{ {file} }}"))
}

fn input(endpoint: &str, more: &str) -> String {
    format!(
        "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" \
         endpoints=\"{endpoint}\" metadata=\"on\" {more})"
    )
}

/// A receiver on `endpoint` with metadata, whose ruleset has this queue.
fn receiver(endpoint: &str, queue: &str) -> Site {
    receiving(queue).with("module(load=\"imrzmq\")").with(&input(endpoint, ""))
}

/// One that lets only these in.
fn curve_receiver(endpoint: &str, queue: &str, own: &Keys, allowed: &[&Keys]) -> Site {
    curve_receiver_with(endpoint, queue, own, allowed, "")
}

/// The same, with more parameters of the input.
fn curve_receiver_with(
    endpoint: &str,
    queue: &str,
    own: &Keys,
    allowed: &[&Keys],
    more: &str,
) -> Site {
    let site = receiving(queue);
    let folder = site.path("allowed");
    let certificate = own.write(&site.path("keys"));
    for keys in allowed {
        keys.write_public(&folder);
    }
    let module = format!(
        "module(load=\"imrzmq\" authtype=\"CURVESERVER\" servercertpath=\"{}\" \
         clientcertpath=\"{}\")",
        certificate.display(),
        folder.display()
    );
    site.with(&module).with(&input(endpoint, more))
}

fn action(endpoint: &str, more: &str) -> String {
    format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" \
         action.resumeRetryCount=\"-1\" {more}"
    )
}

fn sender(endpoint: &str, more: &str) -> Site {
    Site::sender("", &action(endpoint, more))
}

/// With a long backlog the main queue would get a second worker, and the lines no order.
const ONE_WORKER: &str = "main_queue(queue.workerThreads=\"1\")";

fn curve_sender(endpoint: &str, more: &str, own: &Keys, server: &Keys) -> Site {
    let site = Site::new();
    let folder = site.path("keys");
    let module = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        server.write_public(&folder).display(),
        own.write(&folder).display()
    );
    site.sending(&module, &action(endpoint, more))
}

/// Counts the lines of a receiver's file as it grows, without reading it again and again.
struct Progress {
    path: PathBuf,
    read: u64,
    count: usize,
}

impl Progress {
    fn of(site: &Site) -> Self {
        Progress { path: site.path("out.log"), read: 0, count: 0 }
    }

    fn count(&mut self) -> usize {
        let Ok(mut file) = File::open(&self.path) else { return self.count };
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_ok() && file.read_to_end(&mut bytes).is_ok() {
            // A line that is still being written is not one yet.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.read += whole as u64;
            self.count += bytes.iter().filter(|byte| **byte == b'\n').count();
        }
        self.count
    }

    /// Waits until that many lines are in the file.
    #[track_caller]
    fn reaches(&mut self, count: usize, deadline: Duration) {
        let what = format!("{count} lines in the file");
        wait_until(&what, deadline, || (self.count() >= count).then_some(()));
    }
}

/// Kills a receiver and starts it again. The kernel ends a killed omfile's write(2) between two pages:
/// what it leaves of a line is cut off, as the next line would be written behind it. That line was not
/// acknowledged, and comes again.
fn kill_and_start(receiver: &mut Rsyslogd, site: &Site) {
    receiver.kill9();
    cut_torn_line(site);
    *receiver = site.start();
}

fn cut_torn_line(site: &Site) {
    let path = site.path("out.log");
    let bytes = std::fs::read(&path).unwrap_or_default();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        let file = File::options().write(true).open(&path).expect("the receiver's file");
        file.set_len(whole as u64).expect("the receiver's file");
    }
}

/// Feeds a sender from another thread, so that what happens meanwhile happens under load.
#[must_use]
fn feed_meanwhile(sender: &Rsyslogd, numbers: Range<usize>) -> JoinHandle<()> {
    let feeder = sender.feeder();
    std::thread::spawn(move || {
        let mut start = numbers.start;
        while start < numbers.end {
            let end = numbers.end.min(start + 1_000);
            feeder.numbers(start..end);
            start = end;
        }
    })
}

/// Waits until every number below `count` is in the file.
#[track_caller]
fn wait_for_all(receiver: &mut Rsyslogd, count: usize) {
    let mut lines = Vec::new();
    let mut size = 0;
    let path = receiver.path("out.log");
    receiver.wait("all lines in the file", patience(count), |receiver| {
        // Read again only when something came.
        let now = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        if now == size {
            return None;
        }
        size = now;
        if now < 40 * count as u64 {
            return None;
        }
        lines = receiver.lines("out.log");
        let seen: HashSet<_> = lines.iter().filter_map(|line| number_of(line)).collect();
        (seen.len() >= count).then_some(())
    });
}

/// The lines that an archive keeps: the first of each id.
fn by_id(lines: &[String]) -> Vec<String> {
    let mut ids = HashSet::new();
    let first = |line: &&String| ids.insert(line.split(' ').next().unwrap_or_default().to_owned());
    lines.iter().filter(first).cloned().collect()
}

/// The sessions that lines came in.
fn sessions(lines: &[String]) -> BTreeSet<String> {
    lines.iter().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// What a case came to, as it is printed and judged.
struct Figures {
    all: Oracle,
    by_id: Oracle,
}

impl Figures {
    /// Judges the lines and prints what they came to.
    fn of(case: &str, since: Instant, total: usize, lines: &[String]) -> Self {
        let figures = Figures {
            all: Oracle::judge(0..total, lines),
            by_id: Oracle::judge(0..total, &by_id(lines)),
        };
        let text = format!(
            "{case}: {total} lines, {:.1} s: lost {}, doubled {}, after dropping by id {}, out of order \
             {}, sessions {}\n",
            since.elapsed().as_secs_f64(),
            figures.all.lost.len(),
            figures.doubled(),
            doubled(&figures.by_id),
            figures.all.disordered.len(),
            sessions(lines).len(),
        );
        let _ = std::io::stderr().write_all(text.as_bytes());
        figures
    }

    /// Lines too many.
    fn doubled(&self) -> usize {
        doubled(&self.all)
    }

    /// Each line once and in order, and nothing had to be dropped for that.
    #[track_caller]
    fn exact(&self) {
        self.all.once_in_order();
    }

    /// Nothing lost, so many doubled at most, none of them for an archive.
    #[track_caller]
    fn once_by_id(&self, most: usize) {
        self.all.nothing_lost();
        self.by_id.once();
        assert!(self.doubled() <= most, "{} doubled, {most} are allowed", self.doubled());
    }
}

fn doubled(oracle: &Oracle) -> usize {
    oracle.doubled.iter().map(|(_, times)| times - 1).sum()
}
