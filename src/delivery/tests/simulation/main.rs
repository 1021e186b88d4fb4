//! Deterministic simulation of acknowledged delivery: several senders, one or two receivers, a
//! network and faults, all from a seed; one oracle (oracle.rs) judges each schedule.
//!
//! `RZMQ_SCHEDULES=200000` says how many, `RZMQ_FIRST=1000000` from which seed on; `RZMQ_SEED=7`
//! replays one and tells what happens. In a release build a minute is enough for 200,000.
//!
//! Not modelled: what libzmq itself may do wrong; a clone together with lost marks, a chunk in doubt, a
//! line too long for any frame, or a second receiver (nobody could tell whose line a number was); a
//! full table of sessions, other versions and hostile peers (tests/properties).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod network;
mod oracle;
mod receiving;
mod schedule;
mod sending;
mod table;
mod world;

use schedule::{Schedule, shrink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use table::Table;
use world::{Mutation, run};

/// What runs when nothing is said: about a minute on two cores.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 2_000 } else { 200_000 };
/// Below this a cell of the table may be empty by chance.
const ENOUGH: u64 = 20_000;

#[test]
fn every_schedule_keeps_the_promise() {
    if let Some(seed) = number("RZMQ_SEED") {
        let schedule = Schedule::generate(seed);
        println!("{:#?}", schedule.shape);
        let (_, wrong) = run(&schedule, Mutation::None, true);
        if let Some(wrong) = wrong {
            panic!("seed {seed}: {wrong}\n{}", smallest(&schedule, Mutation::None));
        }
        return;
    }
    let schedules = number("RZMQ_SCHEDULES").unwrap_or(SCHEDULES);
    let begin = Instant::now();
    let (table, failed) = many(schedules, Mutation::None);
    if let Some((seed, wrong)) = failed {
        let schedule = Schedule::generate(seed);
        panic!("RZMQ_SEED={seed}: {wrong}\n{}", smallest(&schedule, Mutation::None));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rate = schedules as f64 / seconds * 60.0;
    println!("{table}\n{schedules} schedules in {seconds:.0} s, {rate:.0} a minute");
    let zeros = table.zeros();
    assert!(schedules < ENOUGH || zeros.is_empty(), "never happened: {zeros:?}");
}

#[test]
fn a_schedule_says_the_same_twice() {
    for seed in 0..50 {
        let schedule = Schedule::generate(seed);
        let (first, second) =
            (run(&schedule, Mutation::None, false), run(&schedule, Mutation::None, false));
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
    }
}

#[test]
fn acknowledging_before_accepting_is_caught() {
    is_caught(Mutation::AcknowledgeBeforeAccept);
}

#[test]
fn forgetting_the_marks_is_caught() {
    is_caught(Mutation::ForgetMarks);
}

#[test]
fn reusing_a_number_is_caught() {
    is_caught(Mutation::ReuseNumbers);
}

#[test]
fn another_number_for_a_frame_that_shrinks_is_caught() {
    is_caught(Mutation::RenumberShrunk);
}

fn is_caught(mutation: Mutation) {
    let (seed, wrong) = many(1000, mutation).1.expect("1000 schedules do not show it");
    let schedule = Schedule::generate(seed);
    println!("{mutation:?}: seed {seed}: {wrong}\n{}", smallest(&schedule, mutation));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

/// Runs schedules on all cores; the sum of their tables, and one that failed.
fn many(schedules: u64, mutation: Mutation) -> (Table, Option<(u64, String)>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let first = number("RZMQ_FIRST").unwrap_or(0);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let sum = Mutex::new((Table::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut table = Table::default();
                let mut failed = None;
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + schedules {
                        break;
                    }
                    match outcome(&Schedule::generate(seed), mutation) {
                        Ok(one) => table.add(&one),
                        Err(wrong) => {
                            stop.store(true, Ordering::Relaxed);
                            failed = Some((seed, wrong));
                        }
                    }
                }
                let mut sum = sum.lock().unwrap();
                sum.0.add(&table);
                sum.1 = sum.1.take().or(failed);
            });
        }
    });
    sum.into_inner().unwrap()
}

/// A panic of the machines is a failure of the schedule.
fn outcome(schedule: &Schedule, mutation: Mutation) -> Result<Table, String> {
    match catch_unwind(AssertUnwindSafe(|| run(schedule, mutation, false))) {
        Ok((table, None)) => Ok(table),
        Ok((_, Some(wrong))) => Err(wrong),
        Err(panic) => Err(panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic".into())),
    }
}

/// The faults that the failure needs.
fn smallest(schedule: &Schedule, mutation: Mutation) -> String {
    // The same failure: the same words but for the numbers.
    let kind = |schedule: &Schedule| {
        let wrong = outcome(schedule, mutation).err()?;
        let has_digit = |word: &&str| word.contains(|char: char| char.is_ascii_digit());
        Some(wrong.split_whitespace().filter(|word| !has_digit(word)).collect::<String>())
    };
    let failure = kind(schedule);
    let small = shrink(schedule.clone(), |schedule| kind(schedule) == failure);
    let wrong = outcome(&small, mutation).err().unwrap_or_default();
    let faults: Vec<_> = small.faults.iter().map(ToString::to_string).collect();
    format!("these faults are enough for: {wrong}\n{}", faults.join("\n"))
}
