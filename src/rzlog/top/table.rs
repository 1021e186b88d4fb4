//! What there is to show: lines counted by publisher, host, program and severity, with the newest of each.
//! Pure: no clock and no terminal. A time is what has passed since the start.
//!
//! Names are foreign. A publisher has so many rows at most, and a host so many of them; what more there
//! would be is counted as [`Name::Others`], of the host or of the publisher. So a host that makes up
//! programs takes no rows from others, and a publisher that makes up hosts none from other publishers.
//! Rows that have been silent for long make room when there is none.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use rzlog_client::{Line, Severity};

use super::lens::{By, Lens};
use super::place::{Grade, Key, Name, Place};
use super::row::{Cell, Row, WINDOW};

/// Programs of a host that have rows of their own.
const PROGRAMS: usize = 100;
/// Names are cut behind so many bytes.
const LONGEST_NAME: usize = 128;
/// A row without a line for so long gives its place away where places are needed.
const IDLE: Duration = Duration::from_secs(600);

/// The newest line of something, at most [`super::row::LONGEST_LINE`] bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newest<'a> {
    pub(super) at: Duration,
    pub(super) place: Place,
    pub(super) message: &'a [u8],
}

/// A row as it is shown: the sum of all that have its key.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: Key,
    pub(super) lines: u64,
    pub(super) errors: u64,
    /// Lines a second, and those of them that are errors.
    pub(super) rate: f64,
    pub(super) error_rate: f64,
    pub(super) newest: Option<Newest<'a>>,
}

/// The connection to a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// There was none yet.
    Never,
    There,
    /// Since when it is lost.
    Lost(Duration),
}

pub(super) struct Publisher {
    pub(super) endpoint: String,
    pub(super) link: Link,
    /// How often the connection was lost.
    pub(super) gaps: u64,
    /// Lines that it dropped, where it numbers them.
    pub(super) missed: u64,
    hosts: HashMap<Rc<[u8]>, Host>,
    others: Row,
    /// Of all hosts together.
    rows: usize,
}

#[derive(Default)]
struct Host {
    programs: HashMap<Rc<[u8]>, Row>,
    others: Row,
}

pub(super) struct Table {
    publishers: Vec<Publisher>,
    /// Rows of a publisher.
    most: usize,
}

impl Table {
    /// For these publishers, with so many rows for each.
    pub(super) fn new<'a>(endpoints: impl Iterator<Item = &'a str>, most: usize) -> Table {
        let publisher = |endpoint: &str| Publisher {
            endpoint: endpoint.to_owned(),
            link: Link::Never,
            gaps: 0,
            missed: 0,
            hosts: HashMap::new(),
            others: Row::default(),
            rows: 0,
        };
        Table { publishers: endpoints.map(publisher).collect(), most }
    }

    pub(super) fn publishers(&self) -> &[Publisher] {
        &self.publishers
    }

    /// A publisher is there; returned is since when it was lost.
    pub(super) fn connected(&mut self, endpoint: &str) -> Option<Duration> {
        let publisher = self.publishers.iter_mut().find(|it| it.endpoint == endpoint)?;
        match std::mem::replace(&mut publisher.link, Link::There) {
            Link::Lost(since) => Some(since),
            Link::Never | Link::There => None,
        }
    }

    pub(super) fn lost(&mut self, endpoint: &str, now: Duration) {
        if let Some(publisher) = self.publishers.iter_mut().find(|it| it.endpoint == endpoint) {
            publisher.link = Link::Lost(now);
            publisher.gaps += 1;
        }
    }

    /// So many lines more did not come.
    pub(super) fn missed(&mut self, endpoint: &str, lines: u64) {
        if let Some(publisher) = self.publishers.iter_mut().find(|it| it.endpoint == endpoint) {
            publisher.missed = publisher.missed.saturating_add(lines);
        }
    }

    /// Counts a line, whose severity is known from elsewhere if it does not say it itself.
    pub(super) fn count(
        &mut self,
        endpoint: &str,
        line: &Line<'_>,
        severity: Option<Severity>,
        now: Duration,
    ) -> Option<Place> {
        let index = self.publishers.iter().position(|it| it.endpoint == endpoint)?;
        let (host, program) = (name(line.host), name(line.program));
        let grade = Grade::of(severity);
        let (row, host, program) = self.publishers.get_mut(index)?.row(host, program, self.most);
        row.count(grade, line.message, now);
        Some(Place { publisher: index, host, program, grade })
    }

    /// Where there is no room any more, rows that were silent for long become part of the others.
    pub(super) fn make_room(&mut self, now: Duration) {
        for publisher in &mut self.publishers {
            if publisher.rows >= self.most {
                publisher.fold(now);
            }
        }
    }

    /// The sums of what is seen through a lens, in no order.
    pub(super) fn entries(&self, lens: &Lens, now: Duration) -> Vec<Entry<'_>> {
        let window = seconds_of(now);
        let mut entries: HashMap<Key, Entry<'_>> = HashMap::new();
        if lens.by == By::Publisher {
            // one that says nothing is worth a row, too
            for (index, publisher) in self.publishers.iter().enumerate() {
                if lens.finds(publisher.endpoint.as_bytes()) {
                    let key = Key { publisher: Some(index), ..Key::default() };
                    entries.insert(key.clone(), Entry::new(key));
                }
            }
        }
        self.each_cell(lens, |place, cell| {
            let entry = entries.entry(lens.by.key(&place));
            let entry = entry.or_insert_with_key(|key| Entry::new(key.clone()));
            let rate = cell.recent.sum(now.as_secs()) as f64 / window;
            entry.lines += cell.lines;
            entry.rate += rate;
            if place.grade.is_error() {
                entry.errors += cell.lines;
                entry.error_rate += rate;
            }
            if entry.newest.as_ref().is_none_or(|newest| newest.at <= cell.at) {
                entry.newest = Some(Newest { at: cell.at, place, message: &cell.message });
            }
        });
        entries.into_values().collect()
    }

    /// The newest lines of an entry, oldest first: one of each row and severity in it.
    pub(super) fn newest(&self, lens: &Lens, key: &Key) -> Vec<Newest<'_>> {
        let mut newest = Vec::new();
        self.each_cell(lens, |place, cell| {
            if key.fits(&place) {
                newest.push(Newest { at: cell.at, place, message: &cell.message });
            }
        });
        newest.sort_by_key(|line| line.at);
        newest
    }

    /// All hosts and programs that have rows.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.publishers.iter().flat_map(|publisher| &publisher.hosts).flat_map(|(host, rest)| {
            std::iter::once(&**host).chain(rest.programs.keys().map(|program| &**program))
        })
    }

    fn each_cell<'a>(&'a self, lens: &Lens, mut take: impl FnMut(Place, &'a Cell)) {
        for (index, publisher) in self.publishers.iter().enumerate() {
            publisher.each_row(|host, program, row| {
                let mut place = Place { publisher: index, host, program, grade: Grade::UNSAID };
                if !lens.finds_place(&publisher.endpoint, &place) {
                    return;
                }
                for (grade, cell) in Grade::all().zip(&row.0) {
                    place.grade = grade;
                    if let Some(cell) = cell.as_ref().filter(|_| lens.is_grave(grade)) {
                        take(place.clone(), cell);
                    }
                }
            });
        }
    }
}

/// How long the time is that a rate is of.
fn seconds_of(now: Duration) -> f64 {
    let window = WINDOW as f64 - 1.0 + f64::from(now.subsec_nanos()) / 1e9;
    now.as_secs_f64().min(window).max(0.1)
}

fn name(name: Option<&[u8]>) -> &[u8] {
    let name = name.unwrap_or_default();
    &name[..name.len().min(LONGEST_NAME)]
}

impl<'a> Entry<'a> {
    fn new(key: Key) -> Entry<'a> {
        Entry { key, lines: 0, errors: 0, rate: 0.0, error_rate: 0.0, newest: None }
    }
}

impl Publisher {
    /// The row for this host and program, and whose it is.
    fn row(&mut self, host: &[u8], program: &[u8], most: usize) -> (&mut Row, Name, Name) {
        let is_full = self.rows >= most;
        let host: Rc<[u8]> = match self.hosts.get_key_value(host) {
            Some((known, _)) => Rc::clone(known),
            None if is_full => return (&mut self.others, Name::Others, Name::Others),
            None => host.into(),
        };
        let of_host = self.hosts.entry(Rc::clone(&host)).or_default();
        let program: Rc<[u8]> = match of_host.programs.get_key_value(program) {
            Some((known, _)) => Rc::clone(known),
            None if is_full || of_host.programs.len() >= PROGRAMS => {
                return (&mut of_host.others, Name::Own(host), Name::Others);
            }
            None => {
                self.rows += 1;
                program.into()
            }
        };
        let row = of_host.programs.entry(Rc::clone(&program)).or_default();
        (row, Name::Own(host), Name::Own(program))
    }

    fn each_row<'a>(&'a self, mut take: impl FnMut(Name, Name, &'a Row)) {
        for (host, of_host) in &self.hosts {
            for (program, row) in &of_host.programs {
                take(Name::Own(Rc::clone(host)), Name::Own(Rc::clone(program)), row);
            }
            take(Name::Own(Rc::clone(host)), Name::Others, &of_host.others);
        }
        take(Name::Others, Name::Others, &self.others);
    }

    fn fold(&mut self, now: Duration) {
        let (others, rows) = (&mut self.others, &mut self.rows);
        let is_idle =
            |row: &Row| row.newest().is_none_or(|newest| now.saturating_sub(newest) > IDLE);
        self.hosts.retain(|_, host| {
            host.programs.retain(|_, row| {
                let goes = is_idle(row);
                if goes {
                    host.others.take(row);
                    *rows -= 1;
                }
                !goes
            });
            let goes = host.programs.is_empty();
            if goes {
                // even where these are not idle: hosts are bounded by their rows
                others.take(&mut host.others);
            }
            !goes
        });
    }
}

#[cfg(test)]
mod tests;
