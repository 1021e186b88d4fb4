//! The load of bench/scale and bench/tail: many senders, subscribers of many topics, or a publisher of many
//! lines, in one process that is not rsyslog, so that its CPU time is not that of what it works on.
//!
//!     rzmq-load senders     PORT KEYS COUNT LINES IN_FLIGHT
//!     rzmq-load subscribers PORT KEYS COUNT LINES TOPICS
//!     rzmq-load publisher   PORT KEYS TOPICS LINES RATE      (lines a second; 0: as many as it can)
//!
//! KEYS holds the server's certificate `server` and one for each of COUNT peers: `0_secret`, `1_secret`, …;
//! for a publisher `server_secret`. It says "ready" when every peer has got through, or it listens, begins
//! with the first line on its standard input, and says "done" when all lines are settled, arrived, or
//! published.

mod peers;
mod publisher;
mod senders;
mod subscribers;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, port, keys, count, lines, last] = words.as_slice() else {
        return Err("six words, please: see bench/load/main.rs".into());
    };
    let (port, keys) = (port.parse()?, Path::new(keys));
    let (count, lines) = (count.parse()?, lines.parse()?);
    match what.as_str() {
        "senders" => senders::run(port, keys, count, lines, last.parse()?),
        "subscribers" => subscribers::run(port, keys, count, lines, last.parse()?),
        "publisher" => publisher::run(port, keys, count, lines, last.parse()?),
        other => Err(format!("{other} is no load: see bench/load/main.rs").into()),
    }
}

/// Tells the benchmark how far this is.
fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{word}")?;
    out.flush()
}

/// Waits until the benchmark says that it may begin.
fn wait_for_go() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}
