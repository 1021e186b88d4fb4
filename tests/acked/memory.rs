//! The peer is away for long: memory stays flat, and everything arrives when it is back.
//! RZMQ_ACKED_AWAY lines are fed meanwhile.

use std::io::Write;
use std::time::Instant;

use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Rsyslogd, SOON};

use crate::{
    DIRECT, Figures, Progress, feed_meanwhile, patience, receiver, sender, setting, wait_for_all,
};

/// KiB that a process may grow by, once it is warm: far below what the lines are.
const FLAT: u64 = 8 << 10;

fn away() -> usize {
    setting("RZMQ_ACKED_AWAY", 60_000)
}

/// Memory of the process at points of a load.
struct Memory {
    points: Vec<(String, u64)>,
}

impl Memory {
    fn note(&mut self, what: &str, daemon: &Rsyslogd) {
        self.points.push((what.to_owned(), daemon.memory()));
    }

    /// Prints them; no point is far above the first.
    #[track_caller]
    fn is_flat(&self, case: &str) {
        let _ = std::io::stderr()
            .write_all(format!("{case}: resident KiB {:?}\n", self.points).as_bytes());
        let (_, first) = self.points.first().expect("a point");
        for (what, memory) in &self.points {
            assert!(*memory <= first + FLAT, "{what}: {memory} KiB, {first} in the beginning");
        }
    }
}

#[test]
fn memory_is_flat_while_the_peer_is_away_and_everything_arrives_when_it_is_back() {
    let endpoint = free_endpoint();
    let disk = "queue.type=\"Disk\" queue.filename=\"q\" queue.size=\"100000000\" \
                queue.timeoutEnqueue=\"600000\" queue.timeoutShutdown=\"10000\"";
    let total = away();
    let since = Instant::now();
    let main = "main_queue(queue.workerThreads=\"1\" queue.type=\"LinkedList\" queue.size=\"5000\" \
                queue.timeoutEnqueue=\"600000\")";
    let mut sender = sender(&endpoint, disk).with(main).start();
    let mut memory = Memory { points: Vec::new() };
    const PARTS: usize = 8;
    for part in 0..PARTS {
        let end = total * (part + 1) / PARTS;
        for start in (total * part / PARTS..end).step_by(5_000) {
            sender.feed(start..end.min(start + 5_000));
        }
        memory.note(&format!("{end} away"), &sender);
    }
    sender.wait_log(&["omrzmq[out]", "no peer is connected"], SOON);
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    let mut progress = Progress::of(&site);
    for part in 1..=4 {
        progress.reaches(total * part / 4, patience(total));
        memory.note(&format!("{} delivered", total * part / 4), &sender);
    }
    wait_for_all(&mut receiver, total);
    Figures::of("peer away", since, total, &receiver.lines("out.log")).exact();
    memory.is_flat("peer away, sender");
    end(&mut [&mut sender, &mut receiver]);
}

/// A queue in memory that is bounded: the feed waits, nothing grows.
#[test]
fn bounded_queue_holds_the_feed_back_while_the_peer_is_away() {
    let endpoint = free_endpoint();
    let main = "main_queue(queue.workerThreads=\"1\" queue.type=\"LinkedList\" queue.size=\"5000\" \
                queue.timeoutShutdown=\"10000\")";
    let total = away() / 2;
    let since = Instant::now();
    let mut sender = sender(&endpoint, "").with(main).start();
    let feeding = feed_meanwhile(&sender, 0..total);
    // imptcp slows down from 70 % on, to a line a second.
    sender.wait_stats("core.queue", "main Q", "a full queue", |stats| stats["size"] >= 3_000);
    let mut memory = Memory { points: Vec::new() };
    memory.note("full", &sender);
    sender.wait_stats("omrzmq", "out", "a wait", |stats| stats["wait_absent_ms"] >= 3_000);
    memory.note("three seconds later", &sender);
    let site = receiver(&endpoint, DIRECT);
    let mut receiver = site.start();
    feeding.join().expect("fed");
    memory.note("fed", &sender);
    wait_for_all(&mut receiver, total);
    memory.note("delivered", &sender);
    Figures::of("bounded queue", since, total, &receiver.lines("out.log")).exact();
    memory.is_flat("bounded queue, sender");
    end(&mut [&mut sender, &mut receiver]);
}
