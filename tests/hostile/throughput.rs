//! What an attack costs an honest sender: lines a second without it and with it, one after the other
//! within one run. Not judged here, as a busy machine would fail it: `make hostile` prints the table.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{millis, secs};

use super::{Attack, Ground, INPUTS, print};

/// How long each measurement lasts, and how often the two take turns.
const PHASE: Duration = secs(2);
const ROUNDS: usize = 3;
/// Lines that may be on their way: enough that the sender always has some.
const AHEAD: usize = 10_000;
/// So long an attack has begun before it is measured.
const RISE: Duration = millis(700);

#[test]
#[ignore = "a measurement: make hostile"]
fn honest_lines_a_second_without_and_with_each_attack() {
    let only = std::env::var("RZMQ_ATTACKS").ok();
    let seconds = format!("--seconds={}", (RISE + PHASE).as_secs_f64() + 1.0);
    print(
        "| attack | acked without, with (lines/s) | ratio | plain without, with (lines/s) | ratio |",
    );
    print("|---|---|---|---|---|");
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
            measure(kind, &[options, &[&seconds]].concat());
        }
    }
}

fn measure(kind: &str, options: &[&str]) {
    let mut ground = Ground::new();
    let load = Arc::new(Load::default());
    let feeding = feed(&ground, Arc::clone(&load));
    let mut sums = [[0.0; 2]; 2];
    for _ in 0..ROUNDS {
        add(&mut sums[0], load.rates());
        let Some(mut attack) = Attack::start_aside(&ground, kind, options) else { return };
        thread::sleep(RISE);
        add(&mut sums[1], load.rates());
        attack.done();
        ground.receiver.assert_alive();
    }
    load.over.store(true, Ordering::Relaxed);
    ground.fed = feeding.join().expect("fed");
    ground.send(100);
    ground.judge();
    let [without, with] = sums.map(|sum| sum.map(|lines| lines / ROUNDS as f64));
    let cell = |input: usize| {
        format!("{:.0}, {:.0} | {:.2}", without[input], with[input], with[input] / without[input])
    };
    let options = options[..options.len() - 1].join(" ");
    print(&format!("| {kind} {options} | {} | {} |", cell(0), cell(1)));
    ground.end();
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

    /// Lines a second of each input, from now on.
    fn rates(&self) -> [f64; 2] {
        let (since, before) = (Instant::now(), self.arrived());
        thread::sleep(PHASE);
        let (time, after) = (since.elapsed().as_secs_f64(), self.arrived());
        [0, 1].map(|input| (after[input] - before[input]) as f64 / time)
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

fn add(sum: &mut [f64; 2], rates: [f64; 2]) {
    sum.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
}
