//! The load, in a thread of its own: short lines, some long ones, bursts and lulls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use harness::feed::Feeder;
use harness::millis;
use harness::oracle::numbered;

use crate::options::Options;
use crate::place::Place;

/// Feeds a second.
const FEEDS: usize = 10;
/// Feeds until the same begins anew: a burst, a lull, and the common pace between them.
const ROUND: usize = 200;

/// The running load.
pub struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    over: AtomicBool,
    sender: AtomicUsize,
    visitor: AtomicUsize,
    /// Held while the visitor is fed; nobody is there while it is restarted.
    door: Mutex<Option<Feeder>>,
}

impl Load {
    /// Begins to feed the sender and the visitor.
    pub fn start(options: &Options, place: &Place) -> Load {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            sender: AtomicUsize::new(0),
            visitor: AtomicUsize::new(0),
            door: Mutex::new(Some(place.visitor.daemon.feeder())),
        });
        let (sender, rate) = (place.sender.daemon.feeder(), options.rate);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&sender, rate)
        });
        Load { shared, thread }
    }

    /// How many lines the sender has taken.
    pub fn of_sender(&self) -> usize {
        self.shared.sender.load(Ordering::Relaxed)
    }

    /// How many lines the visitor has taken.
    pub fn of_visitor(&self) -> usize {
        self.shared.visitor.load(Ordering::Relaxed)
    }

    /// The visitor goes: it has taken what it was fed.
    pub fn leave_visitor(&self) {
        *self.shared.door() = None;
    }

    /// It is there again.
    pub fn visit(&self, place: &Place) {
        *self.shared.door() = Some(place.visitor.daemon.feeder());
    }

    /// No more lines; the answer is how many the sender and the visitor have taken.
    pub fn end(self) -> (usize, usize) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load");
        (self.shared.sender.load(Ordering::Relaxed), self.shared.visitor.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn door(&self) -> MutexGuard<'_, Option<Feeder>> {
        self.door.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&self, sender: &Feeder, rate: usize) {
        for feed in (0..ROUND).cycle() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let count = match feed {
                0..10 => 8 * rate / FEEDS,
                150..=199 => 1,
                _ => rate / FEEDS,
            };
            // The visitor has a quarter of what the sender has.
            self.feed(sender, &self.sender, count);
            if let Some(visitor) = &*self.door() {
                self.feed(visitor, &self.visitor, count.div_ceil(4));
            }
            std::thread::sleep(millis(1_000 / FEEDS as u64));
        }
    }

    fn feed(&self, feeder: &Feeder, fed: &AtomicUsize, count: usize) {
        let first = fed.load(Ordering::Relaxed);
        feeder.texts((first..first + count).map(line));
        fed.store(first + count, Ordering::Relaxed);
    }
}

/// Most lines have 50 to 150 bytes, one in 50 has 4 KB, one in 1000 has 30 KB.
fn line(number: usize) -> String {
    let more = match number {
        it if it % 1_000 == 999 => 30_000,
        it if it % 50 == 49 => 4_000,
        it => it % 7 * 16,
    };
    format!("{} {}", numbered(number), "x".repeat(more))
}
