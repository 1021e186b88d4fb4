//! The judge: given which numbered lines were sent and what arrived, says what was lost, what came
//! twice and what came out of order.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// What marks the number in a line.
const MARK: &str = "n=";

/// A line's text: what [`number_of`] reads back.
pub fn numbered(number: usize) -> String {
    format!("{MARK}{number:08} a line of text as a log has it")
}

/// The number of a line that holds one.
pub fn number_of(line: &str) -> Option<usize> {
    let digits = line.split_once(MARK)?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The finding.
#[derive(Debug, Default)]
pub struct Oracle {
    /// How many lines were looked at.
    pub received: usize,
    /// Sent, never seen.
    pub lost: Vec<usize>,
    /// Seen more than once, and how often.
    pub doubled: Vec<(usize, usize)>,
    /// First sightings that came after a larger number: (the number, the larger one before it).
    pub disordered: Vec<(usize, usize)>,
    /// Lines without a number, or with one that was never sent.
    pub foreign: Vec<String>,
}

impl Oracle {
    /// Judges `received` against the numbers `sent`.
    pub fn judge<S: AsRef<str>>(sent: Range<usize>, received: &[S]) -> Self {
        let mut oracle = Oracle { received: received.len(), ..Oracle::default() };
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut largest = None;
        for line in received.iter().map(AsRef::as_ref) {
            match number_of(line).filter(|number| sent.contains(number)) {
                None => oracle.foreign.push(line.to_owned()),
                Some(number) => {
                    let times = seen.entry(number).or_default();
                    *times += 1;
                    if *times == 1 {
                        match largest {
                            Some(before) if before > number => {
                                oracle.disordered.push((number, before));
                            }
                            _ => largest = Some(number),
                        }
                    }
                }
            }
        }
        oracle.lost = sent.filter(|number| !seen.contains_key(number)).collect();
        oracle.doubled = seen.into_iter().filter(|(_, times)| *times > 1).collect();
        oracle
    }

    /// Each line once and in order, nothing else.
    #[track_caller]
    pub fn once_in_order(&self) {
        assert!(
            self.lost.is_empty()
                && self.doubled.is_empty()
                && self.disordered.is_empty()
                && self.foreign.is_empty(),
            "expected each line once and in order: {self}"
        );
    }

    /// Each line once, in any order, nothing else.
    #[track_caller]
    pub fn once(&self) {
        assert!(
            self.lost.is_empty() && self.doubled.is_empty() && self.foreign.is_empty(),
            "expected each line once: {self}"
        );
    }

    /// Each line at least once.
    #[track_caller]
    pub fn nothing_lost(&self) {
        assert!(
            self.lost.is_empty() && self.foreign.is_empty(),
            "expected each line at least once: {self}"
        );
    }

    /// No line twice.
    #[track_caller]
    pub fn nothing_doubled(&self) {
        assert!(self.doubled.is_empty(), "expected no line twice: {self}");
    }
}

impl std::fmt::Display for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} lines arrived; lost {}{}; doubled {}{}; out of order {}{}; foreign {}{}",
            self.received,
            self.lost.len(),
            runs(&self.lost),
            self.doubled.len(),
            some(&self.doubled),
            self.disordered.len(),
            some(&self.disordered),
            self.foreign.len(),
            some(&self.foreign),
        )
    }
}

/// Numbers as runs: ` (3-7, 9, …)`.
fn runs(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => runs.push((number, number)),
        }
    }
    let mut text = String::new();
    for (start, end) in runs.iter().take(8) {
        let _ = match start == end {
            true => write!(text, ", {start}"),
            false => write!(text, ", {start}-{end}"),
        };
    }
    if runs.len() > 8 {
        text.push_str(", …");
    }
    parenthesised(text.trim_start_matches(", "))
}

/// The first few of a list.
fn some<T: std::fmt::Debug>(list: &[T]) -> String {
    let shown: Vec<String> = list.iter().take(8).map(|item| format!("{item:?}")).collect();
    let more = if list.len() > 8 { ", …" } else { "" };
    parenthesised(&format!("{}{more}", shown.join(", ")))
}

fn parenthesised(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(" ({text})"),
    }
}
