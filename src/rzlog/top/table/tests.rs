//! What is counted where, and that no line is lost or counted twice whatever comes.

use super::super::row::LONGEST_LINE;
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
