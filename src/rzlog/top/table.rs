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

/// A rate is that of the last so many seconds.
pub(super) const WINDOW: u64 = 10;
/// Programs of a host that have rows of their own.
const PROGRAMS: usize = 100;
/// Names are cut behind so many bytes, and the newest lines.
const LONGEST_NAME: usize = 128;
const LONGEST_LINE: usize = 256;
/// A row without a line for so long gives its place away where places are needed.
const IDLE: Duration = Duration::from_secs(600);

/// A host's or a program's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Name {
    /// As lines say it; empty where they do not.
    Own(Rc<[u8]>),
    /// All that have no row of their own.
    Others,
}

/// A severity, or that a line does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Grade(u8);

impl Grade {
    const COUNT: usize = 9;
    const UNSAID: Grade = Grade(8);

    pub(super) fn of(severity: Option<Severity>) -> Grade {
        severity.map_or(Grade::UNSAID, |severity| Grade(severity as u8))
    }

    pub(super) fn all() -> impl Iterator<Item = Grade> {
        (0..=Grade::UNSAID.0).map(Grade)
    }

    pub(super) fn severity(self) -> Option<Severity> {
        Severity::from_number(self.0)
    }

    pub(super) fn is_error(self) -> bool {
        self <= Grade::of(Some(Severity::Error))
    }
}

/// Where a line was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) publisher: usize,
    pub(super) host: Name,
    pub(super) program: Name,
    pub(super) grade: Grade,
}

/// What the lines of an entry have in common; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) publisher: Option<usize>,
    pub(super) host: Option<Name>,
    pub(super) program: Option<Name>,
    pub(super) grade: Option<Grade>,
}

impl Key {
    pub(super) fn fits(&self, place: &Place) -> bool {
        self.publisher.is_none_or(|publisher| publisher == place.publisher)
            && self.host.as_ref().is_none_or(|host| *host == place.host)
            && self.program.as_ref().is_none_or(|program| *program == place.program)
            && self.grade.is_none_or(|grade| grade == place.grade)
    }
}

/// The newest line of something, at most [`LONGEST_LINE`] bytes of it.
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

/// By severity: most rows have one or two.
#[derive(Default)]
struct Row([Option<Box<Cell>>; Grade::COUNT]);

#[derive(Default)]
struct Cell {
    lines: u64,
    recent: Recent,
    at: Duration,
    message: Vec<u8>,
}

/// Lines of the last seconds, each in the place of its number.
#[derive(Default)]
struct Recent {
    second: u64,
    counts: [u32; WINDOW as usize],
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

impl Row {
    fn count(&mut self, grade: Grade, message: &[u8], now: Duration) {
        let Some(cell) = self.0.get_mut(usize::from(grade.0)) else { return };
        let cell = cell.get_or_insert_default();
        cell.lines += 1;
        cell.recent.add(now.as_secs());
        cell.at = now;
        cell.message.clear();
        cell.message.extend_from_slice(&message[..message.len().min(LONGEST_LINE)]);
    }

    fn newest(&self) -> Option<Duration> {
        self.0.iter().flatten().map(|cell| cell.at).max()
    }

    /// Takes what another one has counted.
    fn take(&mut self, from: &mut Row) {
        for (into, from) in self.0.iter_mut().zip(&mut from.0) {
            match (into.as_mut(), from.take()) {
                (_, None) => {}
                (None, from) => *into = from,
                (Some(into), Some(from)) => {
                    into.lines += from.lines;
                    into.recent.take(&from.recent);
                    if from.at > into.at {
                        (into.at, into.message) = (from.at, from.message);
                    }
                }
            }
        }
    }
}

impl Recent {
    fn add(&mut self, second: u64) {
        self.go_on(second);
        let count = &mut self.counts[(second % WINDOW) as usize];
        *count = count.saturating_add(1);
    }

    fn go_on(&mut self, second: u64) {
        // what lies between was without lines
        for past in 0..second.saturating_sub(self.second).min(WINDOW) {
            self.counts[((second - past) % WINDOW) as usize] = 0;
        }
        self.second = self.second.max(second);
    }

    fn take(&mut self, from: &Recent) {
        self.go_on(from.second);
        let oldest = self.second.saturating_sub(WINDOW - 1);
        for second in oldest..=from.second {
            let place = (second % WINDOW) as usize;
            self.counts[place] = self.counts[place].saturating_add(from.counts[place]);
        }
    }

    fn sum(&self, second: u64) -> u64 {
        let oldest = second.saturating_sub(WINDOW - 1);
        let seconds = oldest..=self.second;
        seconds.map(|second| u64::from(self.counts[(second % WINDOW) as usize])).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(most: usize) -> Table {
        Table::new(["tcp://a:1", "tcp://b:2"].into_iter(), most)
    }

    fn line<'a>(host: &'a str, program: &'a str, message: &'a str) -> Line<'a> {
        let mut line = Line::parse(None, message.as_bytes());
        (line.host, line.program) = (Some(host.as_bytes()), Some(program.as_bytes()));
        line
    }

    fn lens(by: By) -> Lens {
        Lens { by, ..Lens::default() }
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Host, program, lines, sorted.
    fn rows(table: &Table, by: By) -> Vec<(String, String, u64)> {
        let text = |name: &Option<Name>| match name {
            Some(Name::Own(name)) => String::from_utf8_lossy(name).into_owned(),
            Some(Name::Others) => "(others)".into(),
            None => "*".into(),
        };
        let entries = table.entries(&lens(by), Duration::ZERO);
        let row = |it: &Entry<'_>| (text(&it.key.host), text(&it.key.program), it.lines);
        let mut rows: Vec<_> = entries.iter().map(row).collect();
        rows.sort();
        rows
    }

    fn row(host: &str, program: &str, lines: u64) -> (String, String, u64) {
        (host.into(), program.into(), lines)
    }

    #[test]
    fn rows_are_summed_by_what_is_asked_for() {
        let mut table = table(10);
        let error = Some(Severity::Error);
        for (endpoint, host, program, severity, second) in [
            ("tcp://a:1", "web1", "nginx", None, 0.5),
            ("tcp://a:1", "web1", "nginx", error, 1.5),
            ("tcp://b:2", "web1", "cron", None, 2.5),
            ("tcp://b:2", "db1", "cron", error, 3.5),
            ("tcp://b:2", "db1", "cron", None, 4.0),
        ] {
            let message = format!("{program} at {second}");
            table.count(endpoint, &line(host, program, &message), severity, at(second));
        }
        let both = [row("db1", "cron", 2), row("web1", "cron", 1), row("web1", "nginx", 2)];
        assert_eq!(rows(&table, By::Both), both);
        assert_eq!(rows(&table, By::Host), [row("db1", "*", 2), row("web1", "*", 3)]);
        assert_eq!(rows(&table, By::Program), [row("*", "cron", 3), row("*", "nginx", 2)]);
        assert_eq!(rows(&table, By::Publisher), [row("*", "*", 2), row("*", "*", 3)]);
        assert_eq!(rows(&table, By::Severity), [row("*", "*", 2), row("*", "*", 3)]);
        let errors = Lens { least: error, by: By::Host, ..Lens::default() };
        for entry in table.entries(&errors, at(5.0)) {
            assert_eq!((entry.lines, entry.errors), (1, 1));
            assert!((entry.rate - 0.2).abs() < 1e-9, "{entry:?}");
        }
        let by_host = table.entries(&lens(By::Host), at(5.0));
        let db1 = by_host.iter().find(|it| it.key.host == Some(Name::Own((*b"db1").into())));
        assert_eq!(db1.unwrap().newest.as_ref().unwrap().message, b"cron at 4");
        let found = Lens { find: "NGIN".into(), ..lens(By::Severity) };
        assert_eq!(table.entries(&found, at(5.0)).iter().map(|it| it.lines).sum::<u64>(), 2);
        let key = Key { host: Some(Name::Own((*b"web1").into())), ..Key::default() };
        let newest = table.newest(&lens(By::Host), &key);
        let texts: Vec<_> = newest.iter().map(|it| String::from_utf8_lossy(it.message)).collect();
        assert_eq!(texts, ["nginx at 0.5", "nginx at 1.5", "cron at 2.5"]);
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut table = table(10);
        for step in 0..300 {
            table.count("tcp://a:1", &line("h", "p", ""), None, at(f64::from(step) * 0.1));
        }
        let rate = |second: f64| {
            let entries = table.entries(&lens(By::Both), at(second));
            entries.iter().map(|entry| entry.rate).sum::<f64>()
        };
        assert!((rate(29.99) - 10.0).abs() < 0.2, "{}", rate(29.99));
        assert!((rate(34.99) - 5.0).abs() < 0.2, "{}", rate(34.99));
        assert_eq!(rate(40.0), 0.0);
        assert_eq!(rate(1e6), 0.0);
    }

    #[test]
    fn what_has_no_room_is_counted_as_others() {
        let mut table = table(3);
        let mut count = |endpoint, host, program, second| {
            table.count(endpoint, &line(host, program, ""), None, at(second)).unwrap()
        };
        for (host, program) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("b", "2")] {
            count("tcp://a:1", host, program, 0.0);
        }
        // another publisher has room of its own
        let other = count("tcp://b:2", "c", "1", 0.0);
        assert_eq!(other.host, Name::Own((*b"c").into()));
        let others = count("tcp://a:1", "c", "1", 1.0);
        assert_eq!((others.host, others.program), (Name::Others, Name::Others));
        let expected = [
            row("(others)", "(others)", 2),
            row("a", "1", 1),
            row("a", "2", 1),
            row("b", "(others)", 1),
            row("b", "1", 1),
            row("c", "1", 1),
        ];
        assert_eq!(rows(&table, By::Both), expected);
        // silent rows make room, and what they counted stays in the sum
        table.make_room(at(500.0));
        assert_eq!(rows(&table, By::Both), expected);
        table.count("tcp://a:1", &line("a", "1", "still there"), None, at(500.0));
        table.make_room(at(601.0));
        let expected = [
            row("(others)", "(others)", 4),
            row("a", "(others)", 1),
            row("a", "1", 2),
            row("c", "1", 1),
        ];
        assert_eq!(rows(&table, By::Both), expected);
        assert!(table.count("tcp://a:1", &line("d", "1", ""), None, at(602.0)).is_some());
        assert_eq!(rows(&table, By::Host)[2], row("c", "*", 1));
        assert_eq!(rows(&table, By::Host)[3], row("d", "*", 1));
    }

    #[test]
    fn a_rate_stays_where_a_row_becomes_part_of_the_others() {
        let mut table = table(1);
        table.count("tcp://a:1", &line("a", "1", ""), None, at(0.0));
        for second in 601..=610 {
            table.count("tcp://a:1", &line("a", "2", ""), None, at(f64::from(second)));
            table.count("tcp://a:1", &line("b", "1", ""), None, at(f64::from(second) - 5.0));
        }
        let rates = |table: &Table| {
            let entries = table.entries(&lens(By::Publisher), at(610.999));
            entries.iter().map(|entry| entry.rate).sum::<f64>()
        };
        let before = rates(&table);
        table.make_room(at(610.999));
        assert_eq!(rows(&table, By::Both), [row("(others)", "(others)", 21)]);
        assert!((rates(&table) - before).abs() < 1e-9 && before > 1.0, "{before}");
    }

    #[test]
    fn a_host_that_makes_up_programs_takes_no_rows_from_others() {
        let mut table = table(1000);
        for number in 0..10_000 {
            let program = format!("p{number}");
            table.count("tcp://a:1", &line("evil", &program, ""), None, Duration::ZERO);
        }
        let honest = table.count("tcp://a:1", &line("honest", "p", ""), None, Duration::ZERO);
        assert_eq!(honest.unwrap().host, Name::Own((*b"honest").into()));
        assert_eq!(table.publishers[0].rows, PROGRAMS + 1);
        assert_eq!(rows(&table, By::Host), [row("evil", "*", 10_000), row("honest", "*", 1)]);
    }

    #[test]
    fn nothing_long_is_kept() {
        let mut table = table(10);
        let long = "x".repeat(1 << 20);
        let place = table.count("tcp://a:1", &line(&long, &long, &long), None, Duration::ZERO);
        let Name::Own(host) = place.unwrap().host else { panic!("a row of its own") };
        assert_eq!(host.len(), LONGEST_NAME);
        let entries = table.entries(&lens(By::Both), Duration::ZERO);
        assert_eq!(entries[0].newest.as_ref().unwrap().message.len(), LONGEST_LINE);
        assert!(table.count("tcp://elsewhere:1", &line("a", "b", ""), None, at(0.0)).is_none());
    }

    #[test]
    fn connections_come_and_go() {
        let mut table = table(10);
        assert_eq!(table.connected("tcp://a:1"), None);
        table.lost("tcp://a:1", at(3.0));
        table.lost("tcp://elsewhere:1", at(3.0));
        assert_eq!(table.publishers()[0].link, Link::Lost(at(3.0)));
        assert_eq!(table.connected("tcp://a:1"), Some(at(3.0)));
        assert_eq!((table.publishers()[0].gaps, table.publishers()[1].link), (1, Link::Never));
        for lines in [7, 8, u64::MAX] {
            table.missed("tcp://b:2", lines);
            table.missed("tcp://elsewhere:1", lines);
        }
        let missed: Vec<_> = table.publishers().iter().map(|it| it.missed).collect();
        assert_eq!(missed, [0, u64::MAX]);
    }

    proptest! {
        /// Whatever comes, no line is lost or counted twice, and the number of rows is bounded.
        #[test]
        fn each_line_is_in_each_sum_once(
            steps in prop::collection::vec((0..2_usize, 0..9_u8, 0..150_u8, 0..10_u8, 0..400_u32), 0..400),
            most in 1..40_usize,
        ) {
            let mut table = table(most);
            let endpoints = ["tcp://a:1", "tcp://b:2"];
            let (mut now, mut places) = (Duration::ZERO, Vec::new());
            for (publisher, host, program, severity, pause) in steps.iter().copied() {
                now += Duration::from_millis(u64::from(pause) * u64::from(pause) * 10);
                let (host, program) = (host.to_string(), program.to_string());
                let line = line(&host, &program, "text");
                let severity = Severity::from_number(severity);
                table.make_room(now);
                places.push(table.count(endpoints[publisher], &line, severity, now).unwrap());
                prop_assert!(table.publishers.iter().all(|it| it.rows <= most));
                for publisher in &table.publishers {
                    let rows: usize = publisher.hosts.values().map(|it| it.programs.len()).sum();
                    prop_assert_eq!(rows, publisher.rows);
                    prop_assert!(publisher.hosts.len() <= most);
                }
            }
            for by in [By::Both, By::Host, By::Program, By::Severity, By::Publisher] {
                let entries = table.entries(&lens(by), now);
                prop_assert_eq!(entries.iter().map(|it| it.lines).sum::<u64>(), steps.len() as u64);
                prop_assert!(entries.iter().all(|it| it.rate >= it.error_rate && it.error_rate >= 0.0));
                let mut keys: Vec<_> = entries.iter().map(|it| it.key.clone()).collect();
                keys.sort();
                keys.dedup();
                prop_assert_eq!(keys.len(), entries.len());
                if let Some(place) = places.last() {
                    prop_assert_eq!(keys.iter().filter(|key| key.fits(place)).count(), 1);
                }
            }
        }
    }
}
