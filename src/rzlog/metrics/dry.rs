//! `rzlog metrics --test FILE`: what the rules count in files, without a publisher.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rzlog_client::Line;

use super::engine::Engine;
use super::page;
use super::rules::Rules;
use super::shared::Shared;
use super::tally::Tally;
use crate::error::{Error, Exit};
use crate::screen::{escape, notice, say};

/// Lines that no rule matched are shown, up to so many.
const SHOWN: u64 = 3;
/// A line is no longer, in bytes; the rest of it is a line of its own.
const LONGEST: u64 = 1 << 20;

/// What lines are taken for that do not say it.
pub(super) struct Unsaid<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) program: Option<&'a str>,
}

pub(super) fn run(
    rules: Rules,
    files: &[PathBuf],
    unsaid: &Unsaid<'_>,
    max_series: usize,
) -> Result<Exit, Error> {
    let mut tally = Tally::new(&rules, max_series);
    let mut engine = Engine::new(rules);
    for path in files {
        let name = path.display().to_string();
        let mut lines = open(path)?;
        let (mut text, mut count) = (Vec::new(), 0);
        loop {
            text.clear();
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut text);
            if read.map_err(Error::file(path))? == 0 {
                break;
            }
            count += 1;
            let mut line = Line::parse(None, &text);
            line.host = line.host.or(unsaid.host.map(str::as_bytes));
            line.program = line.program.or(unsaid.program.map(str::as_bytes));
            if !engine.count(&line, &name, Duration::ZERO, &mut tally) && tally.unmatched <= SHOWN {
                let text = String::from_utf8_lossy(line.text);
                notice(&format!("{name}, line {count}: no rule matches: {text}"));
            }
        }
        tally.streams.entry(name).or_default().lines += count;
    }
    let lines: u64 = tally.streams.values().map(|stream| stream.lines).sum();
    let unmatched = tally.unmatched;
    show(page::render(&page::registry(Shared::new(tally))).trim_end())?;
    notice(&format!("{lines} lines, {unmatched} of them matched by no rule"));
    Ok(Exit::DONE)
}

/// Labels have values that lines made up: a terminal sees them made harmless, Prometheus as they are.
fn show(page: &str) -> Result<(), Error> {
    if !io::stdout().is_terminal() {
        return say(page);
    }
    let mut harmless = String::new();
    for line in page.lines() {
        harmless.clear();
        escape(line.as_bytes(), &mut harmless);
        say(&harmless)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, Error> {
    let source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(Error::file(path))?),
    };
    Ok(BufReader::with_capacity(1 << 18, source))
}
