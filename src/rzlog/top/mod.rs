//! `rzlog top`: how many lines of which host, program and severity come from publishers, and the newest of
//! each.
//!
//! reader.rs counts lines in table.rs, whose rows are in row.rs, by place.rs; lens.rs says how that is looked
//! at. On a terminal live.rs asks state.rs what keys mean, picture.rs what there is to see, and terminal.rs
//! paints it; pane.rs are the lines of one row. Elsewhere plain.rs prints the table once. Table, row, place,
//! lens, state, pane, picture and words are pure.

mod lens;
mod live;
mod pane;
mod picture;
mod place;
mod plain;
mod reader;
mod row;
mod state;
mod table;
mod terminal;
mod words;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use self::lens::{By, Lens};
use self::reader::Reader;
use crate::connect::{self, Trust};
use crate::duration::duration;
use crate::error::{Error, Exit};
use crate::pick::Lines;
use crate::screen::notice;
use crate::signals::Signals;

/// How soon a signal that came at the wrong moment is noticed.
const SLICE: Duration = Duration::from_millis(200);
/// What `--once` counts.
const ONCE: Duration = Duration::from_secs(row::WINDOW);

#[derive(Args)]
#[command(
    after_long_help = "On the screen: 1 to 5 or tab by what, arrows to choose a row, enter for its lines, / to find a \
    name, s for severities, o for the order, n for notices, ? for help, q to quit.\n\n\
    Exit status: 0 ended by q, --for or --once; 1 an option or a file is wrong; 3 --for or \
    --once is over, and no publisher was ever there; 129 the terminal is gone; 130 Ctrl-C; 143 \
    SIGTERM."
)]
pub(crate) struct Top {
    /// Endpoints or a @profile, then a host and a program: names, or patterns with * and ?; several
    /// with commas between them. Without, all lines
    #[arg(value_name = "@PROFILE | ENDPOINT | HOST [PROGRAM]", add = connect::words())]
    words: Vec<String>,
    /// Endpoints, with commas between them
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    endpoints: Vec<String>,
    /// What has a row at the beginning
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    by: By,
    /// Hosts and programs of a publisher that have rows of their own; what there is more is counted in
    /// (others)
    #[arg(long, value_name = "NUMBER", default_value_t = 5000, value_parser = rows())]
    rows: u64,
    /// Count so long (10s, 5m, 2h), print the table once and end
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// The same as --for 10s
    #[arg(long, conflicts_with = "time")]
    once: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    lines: Lines,
}

/// A row takes a few hundred bytes, rarely three thousand.
fn rows() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1_000_000)
}

pub(crate) fn run(top: &Top) -> Result<Exit, Error> {
    let time = top.time.or(top.once.then_some(ONCE));
    if time.is_none() && !io::stdout().is_terminal() {
        return Err(Error::Usage(
            "standard output is no terminal. --once or --for 10s print the table once, and rzlog tail \
             prints lines"
                .into(),
        ));
    }
    let target = top.trust.resolve(&top.words, &top.endpoints)?;
    let pick = top.lines.pick(&target)?;
    let rows = usize::try_from(top.rows).unwrap_or(usize::MAX);
    let reader = Reader::connect(&target, pick, rows)?;
    let lens = Lens { by: top.by, ..Lens::default() };
    match time {
        Some(time) => once(reader, &lens, time, &target.endpoints),
        None => live::run(reader, lens),
    }
}

/// Counts for a time, then prints the table; a signal ends that early.
fn once(mut reader: Reader, lens: &Lens, time: Duration, endpoints: &str) -> Result<Exit, Error> {
    let signals = Signals::listen().map_err(Error::Output)?;
    let signal = loop {
        reader.notices().iter().for_each(|told| notice(told));
        let left = time.saturating_sub(reader.now());
        let signal = signals.came();
        if signal.is_some() || left.is_zero() {
            break signal;
        }
        reader.read(left.min(SLICE), |_, _, _| ())?;
    };
    reader.last_notices().iter().for_each(|told| notice(told));
    let mut out = io::stdout().lock();
    let text = plain::text(&reader.table, lens, reader.now());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::output)?;
    match signal {
        Some(signal) => Ok(Exit::signal(signal)),
        None if reader.ever_connected => Ok(Exit::DONE),
        None => {
            notice(&format!("nobody was there: {endpoints}"));
            Ok(Exit::NOBODY)
        }
    }
}
