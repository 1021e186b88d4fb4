//! What an attack costs an honest sender: lines a second without it and with it, one after the other
//! within one run. Not judged here, as a busy machine would fail it: `make hostile` prints the table.
//!
//! In reality an attacker has a machine of its own, and so has each sender. So the receiver has a core of its
//! own here, and sender, feeder and attacker share the others: what the attack takes from the honest is what
//! the receiver does for it, all its threads together. That is harder than reality in that a receiver has more
//! cores than one, and easier in that the kernel's work for packets that come in is done, by the loopback, on
//! the core of whoever sends them. The attacker takes what the honest leave of its cores (nice 19), so that how
//! much it achieved is a part of each row: the attempts that the receiver counted, the bytes that it said.
//!
//! The receiver's core may have time left, from which the attack is served and the honest lose nothing; and a
//! machine that others use has none. So each row has a last ratio: the lines that a millisecond of the
//! receiver's processor time buys. That is the throughput of a receiver that has no such time to spare.

use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{millis, secs};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Attack, Ground, INPUTS, print};

/// How long each measurement lasts, and how often the two take turns.
const PHASE: Duration = secs(2);
const ROUNDS: usize = 3;
/// Lines that may be on their way: enough that the sender always has some.
const AHEAD: usize = 10_000;
/// Who is held off calls again at once, and not when its system would: it misses no moment in which it is let in.
const IMPATIENT: &str = "--call=0.02";
/// An attacker has an address of its own; somebody is connected from the senders'.
const ELSEWHERE: &str = "--source=127.0.0.2";
/// So long an attack has begun before it is measured.
const RISE: Duration = millis(1_500);

#[test]
#[ignore = "a measurement: make hostile"]
fn honest_lines_a_second_without_and_with_each_attack() {
    let only = std::env::var("RZMQ_ATTACKS").ok();
    let seconds = format!("--seconds={}", (RISE + PHASE).as_secs_f64() + 1.0);
    let cores = Cores::share();
    print(
        "| attack | attempts/s, MB/s | acked without, with (lines/s) | ratio | plain without, with (lines/s) \
         | ratio | lines a ms of the receiver's CPU without, with | ratio |",
    );
    print("|---|---|---|---|---|---|---|---|");
    for (kind, options) in [
        ("http", &[][..]),
        ("tls", &[]),
        ("random", &["--at-once=50"]),
        ("half-open", &["--at-once=1000"]),
        ("slow-greeting", &["--at-once=200"]),
        ("slow-handshake", &["--at-once=200"]),
        ("mechanisms", &[]),
        ("versions", &[]),
        ("lengths", &[]),
        ("huge-frames", &[]),
        ("endless-frames", &[]),
        ("huge-metadata", &[]),
        ("stranger-flood", &[]),
        ("flood", &[]),
        ("stranger", &[]),
        ("keys", &[]),
        ("plaintext", &[]),
        ("wrong-server-key", &[]),
        ("not-a-pair", &[]),
        ("half-open", &["--at-once=2600"]),
    ] {
        if only.as_ref().is_none_or(|only| only.split(',').any(|name| name == kind)) {
            measure(kind, &[options, &[&seconds, IMPATIENT, ELSEWHERE]].concat(), cores.as_ref());
        }
    }
}

fn measure(kind: &str, options: &[&str], cores: Option<&Cores>) {
    let mut ground = Ground::new();
    if let Some(cores) = cores {
        pin(ground.receiver.pid(), &cores.receiver);
    }
    let load = Arc::new(Load::default());
    let feeding = feed(&ground, Arc::clone(&load));
    let mut sums = [Sum::default(), Sum::default()];
    let mut did = Did::default();
    for _ in 0..ROUNDS {
        sums[0].add(&load, &ground);
        let Some(mut attack) = Attack::start_aside(&ground, kind, options) else { return };
        thread::sleep(RISE);
        sums[1].add(&load, &ground);
        did.add(&attack.done());
        ground.receiver.assert_alive();
    }
    load.over.store(true, Ordering::Relaxed);
    ground.fed = feeding.join().expect("fed");
    ground.send(100);
    ground.judge();
    // a refused key may also be told as a handshake that failed
    let told = ground.counted("handshakes_failed", 0).max(ground.counted("keys_refused", 0));
    let attempts = told + ground.counted("connections_refused", 0);
    let cell = |rate: &dyn Fn(&Sum) -> f64, digits: usize| {
        let [without, with] = [&sums[0], &sums[1]].map(rate);
        format!("{without:.digits$}, {with:.digits$} | {:.2}", with / without)
    };
    let per_second = |input: usize| move |sum: &Sum| sum.lines[input] as f64 / sum.clock;
    let bought = |sum: &Sum| (sum.lines[0] + sum.lines[1]) as f64 / (sum.processor * 1e3);
    print(&format!(
        "| {kind} {} | {:.0}, {:.1} | {} | {} | {} |",
        options[..options.len() - 3].join(" "),
        attempts as f64 / did.seconds,
        did.bytes / did.seconds / 1e6,
        cell(&per_second(0), 0),
        cell(&per_second(1), 0),
        cell(&bought, 1),
    ));
    ground.end();
}

/// The receiver's core, while this process and what it starts has the others.
struct Cores {
    receiver: CpuSet,
}

impl Cores {
    fn share() -> Option<Cores> {
        let mut others = sched_getaffinity(None).expect("the cores of this process");
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| others.is_set(*core))?;
        if others.count() < 2 {
            print("one core for all: what the attacker itself uses is counted too");
            return None;
        }
        let mut receiver = CpuSet::new();
        receiver.set(last);
        others.unset(last);
        pin(std::process::id(), &others);
        Some(Cores { receiver })
    }
}

/// All threads of a process run on these cores from now on.
fn pin(process: u32, cores: &CpuSet) {
    for thread in threads(process) {
        sched_setaffinity(Pid::from_raw(thread), cores).expect("the cores of a thread");
    }
}

fn threads(process: u32) -> Vec<i32> {
    let folder = fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    folder.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect()
}

/// Seconds of processor time that the threads of a process have had.
fn processor(process: u32) -> f64 {
    let of = |thread: i32| {
        let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads(process).into_iter().filter_map(of).sum::<f64>() / 1e9
}

/// What was measured without an attack, or with it.
#[derive(Default)]
struct Sum {
    lines: [usize; 2],
    clock: f64,
    processor: f64,
}

impl Sum {
    fn add(&mut self, load: &Load, ground: &Ground) {
        let process = ground.receiver.pid();
        let (since, used, before) = (Instant::now(), processor(process), load.arrived());
        thread::sleep(PHASE);
        self.clock += since.elapsed().as_secs_f64();
        self.processor += processor(process) - used;
        let after = load.arrived();
        self.lines = [0, 1].map(|input| self.lines[input] + after[input] - before[input]);
    }
}

/// What the attacker says that it did.
#[derive(Default)]
struct Did {
    bytes: f64,
    seconds: f64,
}

impl Did {
    fn add(&mut self, text: &str) {
        let number = |name: &str| {
            let value = text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse::<f64>().ok()).expect("a number of the attacker's")
        };
        self.bytes += number("bytes");
        self.seconds += number("seconds");
    }
}

/// Lines that go through a sender, and how many each input has.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    arrived: [AtomicUsize; 2],
}

impl Load {
    fn arrived(&self) -> [usize; 2] {
        [0, 1].map(|input| self.arrived[input].load(Ordering::Relaxed))
    }
}

/// Feeds from another thread until it is over; answers how many lines there were in all.
fn feed(ground: &Ground, load: Arc<Load>) -> thread::JoinHandle<usize> {
    let feeder = ground.sender.feeder();
    let mut fed = ground.fed;
    let mut files = INPUTS.map(|(_, file)| {
        File::open(ground.receiving.path(&format!("{file}.log"))).expect("the receiver's file")
    });
    thread::spawn(move || {
        let mut bytes = Vec::new();
        while !load.over.load(Ordering::Relaxed) {
            for (file, arrived) in files.iter_mut().zip(&load.arrived) {
                bytes.clear();
                file.read_to_end(&mut bytes).expect("the receiver's file");
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
                arrived.fetch_add(lines, Ordering::Relaxed);
            }
            if fed - load.arrived().into_iter().min().unwrap_or(0) < AHEAD {
                feeder.numbers(fed..fed + 500);
                fed += 500;
            } else {
                thread::sleep(millis(1));
            }
        }
        fed
    })
}
