//! The clock is stepped, forth and back, on either side. libfaketime steps it for one process; the
//! monotonic clock is left alone, as a stepped clock leaves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use harness::Site;
use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::sums::end;

use crate::{
    DIRECT, Figures, ONE_WORKER, Progress, feed_meanwhile, lines, patience, receiver, sender,
    wait_for_all,
};

const STEPS: [&str; 4] = ["+30d", "-30d", "+3600", "+0"];

/// Where Debian's package puts it.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// A site whose clock is what `clock` says, read anew at each look.
fn stepped(site: Site, library: &Path, clock: &Path) -> Site {
    fs::write(clock, "+0\n").expect("clock");
    site.environment("LD_PRELOAD", &library.display().to_string())
        .environment("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

fn clock_of(which: &str) {
    let Some(library) = library() else {
        skipped("clock stepped", "the package faketime is not installed");
        return;
    };
    let endpoint = free_endpoint();
    let (mut receiving, mut sending) =
        (receiver(&endpoint, DIRECT), sender(&endpoint, "").with(ONE_WORKER));
    let clock = receiving.path("clock");
    if which == "receiver" {
        receiving = stepped(receiving, &library, &clock);
    } else {
        sending = stepped(sending, &library, &clock);
    }
    let total = lines();
    let since = Instant::now();
    let mut receiver = receiving.start();
    let mut sender = sending.start();
    let feeding = feed_meanwhile(&sender, 0..total);
    let mut progress = Progress::of(&receiving);
    for (step, time) in STEPS.iter().enumerate() {
        progress.reaches(total * (2 * step + 1) / (2 * STEPS.len()), patience(total));
        // Replaced at once: a file that is half written is no time.
        let new = clock.with_extension("new");
        fs::write(&new, format!("{time}\n")).expect("clock");
        fs::rename(&new, &clock).expect("clock");
        if step == 1 {
            // A restart in the past: the marks are from the future.
            receiver.stop().clean();
            receiver = receiving.start();
        }
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("clock of the {which} stepped");
    Figures::of(&case, since, total, &receiver.lines("out.log")).exact();
}

#[test]
fn receivers_clock_stepped_loses_and_doubles_nothing() {
    clock_of("receiver");
}

#[test]
fn senders_clock_stepped_loses_and_doubles_nothing() {
    clock_of("sender");
}
