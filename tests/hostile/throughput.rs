//! What an attack costs an honest sender: lines a second without it and with it, one after the other
//! within one run. Not judged here, as a busy machine would fail it: `make hostile` prints the table.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::millis;

use super::{Attack, Ground, INPUTS, print};

/// How long each measurement lasts, and how often the two take turns.
const PHASE: Duration = millis(2_500);
const ROUNDS: usize = 3;
/// So long an attack has begun before it is measured.
const RISE: Duration = millis(700);

#[test]
#[ignore = "a measurement: make hostile"]
fn honest_lines_a_second_without_and_with_each_attack() {
    let seconds = format!("--seconds={}", (RISE + PHASE).as_secs_f64() + 1.0);
    print("| attack | acked without, with (lines/s) | ratio | plain without, with (lines/s) | ratio |");
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
        measure(kind, &[options, &[&seconds]].concat());
    }
}

fn measure(kind: &str, options: &[&str]) {
    let mut ground = Ground::new();
    let over = Arc::new(AtomicBool::new(false));
    let feeding = feed(&ground, Arc::clone(&over));
    let mut sums = [[0.0; 2]; 2];
    for _ in 0..ROUNDS {
        add(&mut sums[0], rates(&ground));
        let Some(mut attack) = Attack::start(&ground, kind, options) else { return };
        thread::sleep(RISE);
        add(&mut sums[1], rates(&ground));
        attack.done();
        ground.receiver.assert_alive();
    }
    over.store(true, Ordering::Relaxed);
    ground.fed = feeding.join().expect("fed");
    ground.send(100);
    ground.judge();
    let [without, with] = sums.map(|sum| sum.map(|lines| lines / ROUNDS as f64));
    let cell = |input: usize| {
        format!("{:.0}, {:.0} | {:.2}", without[input], with[input], with[input] / without[input])
    };
    print(&format!("| {kind} {} | {} | {} |", options[..options.len() - 1].join(" "), cell(0), cell(1)));
    ground.end();
}

/// Feeds from another thread until it is over; answers how many lines there were in all. imptcp takes
/// no more than the sender gets rid of.
fn feed(ground: &Ground, over: Arc<AtomicBool>) -> thread::JoinHandle<usize> {
    let feeder = ground.sender.feeder();
    let mut fed = ground.fed;
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            feeder.numbers(fed..fed + 500);
            fed += 500;
        }
        fed
    })
}

/// Lines a second of each input.
fn rates(ground: &Ground) -> [f64; 2] {
    let sizes = || INPUTS.map(|(_, file)| size(ground, file));
    let (since, before) = (Instant::now(), sizes());
    thread::sleep(PHASE);
    let (time, after) = (since.elapsed().as_secs_f64(), sizes());
    let lines = ground.receiving.lines(&format!("{}.log", INPUTS[0].1));
    let length = lines.last().map_or(1, |line| line.len() + 1) as f64;
    let plain = ground.receiving.lines(&format!("{}.log", INPUTS[1].1));
    let plain = plain.last().map_or(1, |line| line.len() + 1) as f64;
    [(after[0] - before[0]) / time / length, (after[1] - before[1]) / time / plain]
}

fn size(ground: &Ground, file: &str) -> f64 {
    let path = ground.receiving.path(&format!("{file}.log"));
    fs::metadata(path).map_or(0.0, |file| file.len() as f64)
}

fn add(sum: &mut [f64; 2], rates: [f64; 2]) {
    sum.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
}
