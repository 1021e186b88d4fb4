//! Two rsyslogd that run for hours under mixed load, while everything around them goes wrong: cuts,
//! stalls, restarts of their peers, HUPs, changes of keys, connections that mean no good.
//!
//!     soak [--hours=H | --minutes=M] [--rate=LINES] [--every=SECONDS] [--sample=SECONDS] [--seed=N]
//!          [--csv=FILE]
//!
//! Neither of the two is restarted, so that what they leak adds up. Memory, descriptors and threads of
//! both go to a CSV file. In the end it tells what was lost and doubled, whether the counters add up,
//! and how memory grew; status 1 when a line was lost or doubled, a sum is wrong, or memory, descriptors or
//! threads grew (`growth`), and then the folders stay. `scripts/soak` cleans up when it is interrupted.

mod deeds;
mod growth;
mod junk;
mod ledger;
mod load;
mod options;
mod place;
mod samples;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use harness::Dice;
use load::Load;
use options::Options;
use place::Place;
use samples::Samples;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("soak: {why}");
            return ExitCode::from(64);
        }
    };
    println!("soak: {options}");
    let mut place = Place::new();
    // What fails in between has said so; the daemons go with the place.
    match catch_unwind(AssertUnwindSafe(|| run(&options, &mut place))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => {
            place.keep();
            eprintln!("soak: FAILED (--seed={})", options.seed);
            ExitCode::FAILURE
        }
    }
}

/// The whole run; whether all is well in the end.
fn run(options: &Options, place: &mut Place) -> bool {
    let load = Load::start(options, place);
    let mut dice = Dice(options.seed);
    let mut samples = Samples::new(&options.csv);
    let start = Instant::now();
    let (mut next_deed, mut next_sample) = (options.every, options.sample);
    while start.elapsed() < options.length {
        place.read();
        let now = start.elapsed();
        if now >= next_deed {
            deeds::any(place, &load, &mut dice, start);
            next_deed = start.elapsed() + options.every;
        }
        // Between two deeds: all are connected and nothing is behind.
        if now >= next_sample {
            samples.take(start.elapsed(), place, &load);
            next_sample += options.sample;
        }
        std::thread::sleep(harness::millis(100));
    }
    verdict::of(place, load, samples, start)
}
