//! The load of bench/scale: many senders, or subscribers of many topics, in one process that is not
//! rsyslog, so that its CPU time is not that of the rsyslogd it works on.
//!
//!     rzmq-load senders     PORT KEYS COUNT LINES IN_FLIGHT
//!     rzmq-load subscribers PORT KEYS COUNT LINES TOPICS
//!
//! KEYS holds the server's certificate `server` and one for each of COUNT peers: `0_secret`, `1_secret`, …
//! It says "ready" when every peer has got through, begins with the first line on its standard input,
//! and says "done" when all lines are settled, or arrived.

mod peers;
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
        other => Err(format!("{other} is neither senders nor subscribers").into()),
    }
}

/// Tells bench/scale how far this is.
fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{word}")?;
    out.flush()
}

/// Waits until bench/scale says that it may begin.
fn wait_for_go() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}
