//! Rsyslog in containers: packages installed on stock releases, hosts of several releases on one network,
//! and what befalls them. Prints a table release × case.
//!
//!     containers SUITE... [--only=CASE]...
//!
//! `scripts/test-containers` makes the images, says which suites there are, and cleans up in the end.

mod cases;
mod config;
mod docker;
mod host;
mod lab;
mod place;
mod verdict;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use cases::{CASES, Case};
use place::Place;

fn main() -> ExitCode {
    let (only, suites): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--only="));
    let wanted = |case: &&Case| {
        only.is_empty() || only.iter().any(|it| it.trim_start_matches("--only=") == case.name)
    };
    let cases: Vec<_> = CASES.iter().filter(wanted).collect();
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    let is_known = |it: &String| names.contains(&it.trim_start_matches("--only="));
    if suites.is_empty() || !only.iter().all(is_known) {
        eprintln!("containers: which suites, which cases? For --only=…: {}", names.join(", "));
        return ExitCode::from(64);
    }
    let rows: Vec<(&str, Vec<Cell>)> = cases
        .iter()
        .map(|case| (case.title, suites.iter().map(|suite| run(case, suite, &suites)).collect()))
        .collect();
    print(&suites, &rows);
    match rows.iter().any(|(_, cells)| cells.contains(&Cell::Failed)) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// What the table says of one case on one release.
#[derive(PartialEq)]
enum Cell {
    Passed,
    Failed,
    Nothing,
}

/// Runs it and says how it went.
fn run(case: &Case, suite: &str, suites: &[String]) -> Cell {
    let since = Instant::now();
    let place = Place { suite: suite.to_owned(), suites: suites.to_vec() };
    let (cell, said) = match catch_unwind(|| (case.run)(&place)) {
        Ok(Some(said)) => (Cell::Passed, said),
        Ok(None) => (Cell::Nothing, "nothing to try".to_owned()),
        Err(_) => (Cell::Failed, "FAILED".to_owned()),
    };
    println!("{suite:<9} {:<17} {said}; {:.0} s", case.name, since.elapsed().as_secs_f64());
    cell
}

fn print(suites: &[String], rows: &[(&str, Vec<Cell>)]) {
    println!();
    let line = |title: &str, cells: Vec<&str>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:<9}")).collect();
        println!("{title:<70}{}", cells.trim_end());
    };
    line("", suites.iter().map(String::as_str).collect());
    for (title, cells) in rows {
        let words = cells.iter().map(|cell| match cell {
            Cell::Passed => "ok",
            Cell::Failed => "FAILED",
            Cell::Nothing => "-",
        });
        line(title, words.collect());
    }
}
