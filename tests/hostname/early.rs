//! `earlyparse`: a line that imrzmq parses as it comes in has just the properties that rsyslog's parsers
//! give it; tests/data/hostnames.txt, lines in RSYSLOG_ForwardFormat, and mutations of both, through two
//! and more inputs of one rsyslogd.

use harness::ports::free_endpoint;
use harness::{Peer, SOON, Site, secs};

use crate::corpus::{mutated, mutations, samples, seed};

/// The host of the lines that stand between the others; RFC 5424, so never parsed early.
const MARKER: &str = "marker.of.the.test.";

/// Every property that comes of a line, but for two that make rsyslogd crash, whoever parses the line:
/// rawmsg-after-pri where it is cut off in its priority, and the name of the day in the year 0.
const PROPERTIES: [&str; 20] = [
    "timegenerated:::date-rfc3339",
    "timereported:::date-rfc3339",
    "timereported:::date-rfc3164",
    "timereported:::date-subseconds",
    "timereported:::date-unixtimestamp",
    "pri",
    "syslogfacility-text",
    "syslogseverity-text",
    "hostname",
    "syslogtag",
    "programname",
    "app-name",
    "procid",
    "msgid",
    "structured-data",
    "protocol-version",
    "parsesuccess",
    "msg:::json",
    "rawmsg:::json",
    "fromhost-ip",
];

/// Lines in RSYSLOG_ForwardFormat, common and not so common.
fn forwarded() -> Vec<Vec<u8>> {
    let stamps = [
        "2026-11-29T02:43:03.123456+01:00",
        "2026-11-29T02:43:03Z",
        "1999-02-28T23:59:59.1-11:30",
        "2024-02-29T00:00:00.000000Z",
        "2026-13-29T02:43:03Z",
        "2026-02-31T24:00:00Z",
        "2026-11-29T02:43:60.999999+14:00",
        "0000-01-01T00:00:00Z",
        "2026-11-29T02:43:03+23:59",
        "2026-11-29T02:43:03-24:60",
    ];
    let hosts = ["web1", "web-1.example.com", "10.1.2.3", "w_1", "2001", &"h".repeat(40), "a"];
    let tags = [
        "nginx:",
        "nginx[4711]:",
        "CRON[1]",
        "a/b.c[12]:",
        &format!("{}[1]:", "t".repeat(40)),
        "-",
        "kernel:",
        "[x]:",
        "%ASA-6-302013:",
    ];
    let texts =
        [" GET /index.html 200", "no blank", " ", "  two", ": colons: 1", " @cee: {\"a\":1}"];
    let mut lines = Vec::new();
    for (number, stamp) in stamps.iter().enumerate() {
        for host in &hosts {
            for (other, tag) in tags.iter().enumerate() {
                let text = texts[(number + other) % texts.len()];
                let priority = (number * 23 + other * 7) % 192;
                lines.push(format!("<{priority}>{stamp} {host} {tag}{text}").into_bytes());
            }
        }
    }
    lines
}

/// All lines of a run: the forwarded ones, the corpus, and mutations of both.
fn all_lines() -> Vec<Vec<u8>> {
    let forwarded = forwarded();
    let mut corpus = samples();
    let corpus_lines = corpus.iter().map(|sample| sample.line.clone()).collect::<Vec<_>>();
    let mutated_corpus = mutations(&corpus, mutated() / 4, seed());
    corpus.clear();
    corpus.extend(forwarded.iter().map(|line| crate::corpus::Sample::of(line)));
    let mutated_forwarded = mutations(&corpus, mutated(), seed() + 1);
    let mutated = mutated_corpus.into_iter().chain(mutated_forwarded).map(|sample| sample.line);
    let mut lines = [forwarded, corpus_lines].concat();
    lines.extend(mutated);
    // What is no packed line but begins like one has memory of rsyslogd's in it when it is unpacked, and a
    // rsyslogd with parser.spaceLFOnReceive dies of it (up to 8.2608).
    lines.retain(|line| line.first() != Some(&b'z'));
    lines
}

/// Sends the lines to a rsyslogd with these globals, to one input for each pair: the input's parameters and
/// its ruleset's. Answers what became of them at each, and how many were parsed early.
fn made(
    globals: &str,
    properties: &[&str],
    inputs: &[(&str, &str)],
    lines: &[Vec<u8>],
) -> Vec<(Vec<String>, i64)> {
    let format: String = properties.iter().map(|name| format!("%{name}%|")).collect();
    let mut site = Site::new().without_feed().global(globals).with("module(load=\"imrzmq\")");
    let mut endpoints = Vec::new();
    for (number, (input, ruleset)) in inputs.iter().enumerate() {
        let (file, endpoint) = (format!("{number}.log"), free_endpoint());
        let action = site.file_action(&file);
        site = site
            .file_template(&file, &format!("{format}\\n"))
            .with(&format!("ruleset(name=\"r{number}\" {ruleset}) {{ {action} }}"))
            .with(&format!(
                "input(type=\"imrzmq\" name=\"in{number}\" endpoints=\"{endpoint}\" socktype=\"PULL\" \
                 ruleset=\"r{number}\" {input})"
            ));
        endpoints.push(endpoint);
    }
    let mut daemon = site.start();
    let peers: Vec<_> = endpoints.iter().map(|endpoint| Peer::push(endpoint)).collect();
    let last = format!("{MARKER}{}|", lines.len() - 1);
    for (number, line) in lines.iter().enumerate() {
        let marker = format!("<13>1 2026-11-29T02:43:03Z {MARKER}{number} app - - -");
        for peer in &peers {
            assert!(peer.send(&[line], SOON), "line {number} is not taken");
            assert!(peer.send(&[marker.as_bytes()], SOON), "line {number} is not taken");
        }
    }
    let made = (0..inputs.len())
        .map(|number| {
            let file = format!("{number}.log");
            let made = daemon.wait("the last line", secs(60), |daemon| {
                let made = daemon.lines(&file);
                made.last().is_some_and(|line| line.contains(&last)).then_some(made)
            });
            let sent = 2 * lines.len() as i64;
            let counters = daemon.wait_stats("imrzmq", &format!("in{number}"), "all", |counters| {
                counters["received"] == sent
            });
            (made, counters["parsed"])
        })
        .collect();
    daemon.stop().clean();
    made
}

/// What became of a line, without the times that no other can have: the one of reception, and the line's
/// own where that is the same, as it has none.
fn timeless(made: &str) -> String {
    let fields: Vec<_> = made.splitn(6, '|').collect();
    match &fields[..] {
        [received, reported, .., rest] if received == reported => format!("none|{rest}"),
        [_, reported @ ..] => reported.join("|"),
        [] => String::new(),
    }
}

/// The first of these lines that became another.
fn assert_same(theirs: &[String], ours: &[String], what: &str) {
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert_eq!(timeless(theirs), timeless(ours), "{what}");
    }
    assert_eq!(theirs.len(), ours.len(), "{what}");
}

const LATE: (&str, &str) = ("earlyparse=\"off\"", "queue.type=\"Direct\"");
const EARLY: (&str, &str) = ("", "queue.type=\"Direct\"");

#[test]
fn a_line_has_the_properties_that_the_core_gives_it() {
    let late_disk = (LATE.0, "queue.type=\"Disk\" queue.filename=\"late\"");
    let disk = (EARLY.0, "queue.type=\"Disk\" queue.filename=\"early\"");
    let lines = all_lines();
    let made = made("maxMessageSize=\"8k\"", &PROPERTIES, &[LATE, EARLY, late_disk, disk], &lines);
    let [(theirs, none), (early, parsed), (late_disk, _), (disk, on_disk)] = &made[..] else {
        unreachable!()
    };
    assert_same(theirs, early, "parsed early");
    assert_same(late_disk, disk, "parsed early, through a disk queue");
    assert_eq!(*none, 0, "earlyparse is off");
    assert!(*parsed > lines.len() as i64 / 10, "only {parsed} of {} parsed early", lines.len());
    assert_eq!(parsed, on_disk);
    eprintln!("{} lines, {parsed} of them parsed early", lines.len());
}

#[test]
fn the_raw_line_behind_its_priority_is_the_same() {
    let properties = [&PROPERTIES[..], &["rawmsg-after-pri:::json"]].concat();
    let made = made("maxMessageSize=\"8k\"", &properties, &[LATE, EARLY], &forwarded());
    assert_same(&made[0].0, &made[1].0, "parsed early");
    assert!(made[1].1 > 100, "{}", made[1].1);
}

/// Settings of the parsers that a line may meet.
#[test]
fn a_line_has_them_under_other_settings_too() {
    let mut lines = all_lines();
    lines.truncate(lines.len() / 2);
    for globals in [
        "maxMessageSize=\"8k\" parser.escapeControlCharactersOnReceive=\"off\"",
        "maxMessageSize=\"8k\" parser.spaceLFOnReceive=\"on\"",
        "maxMessageSize=\"8k\" parser.escape8BitCharactersOnReceive=\"on\"",
        "maxMessageSize=\"8k\" parser.permitSlashInProgramName=\"on\"",
        "maxMessageSize=\"256\" oversizemsg.input.mode=\"truncate\"",
        "maxMessageSize=\"256\" oversizemsg.input.mode=\"accept\"",
    ] {
        let made = made(globals, &PROPERTIES, &[LATE, EARLY], &lines);
        assert_same(&made[0].0, &made[1].0, globals);
        assert!(made[1].1 > 0, "{globals}: nothing is parsed early");
    }
}

/// A ruleset's own parsers rule, and the log says so.
#[test]
fn a_ruleset_with_parsers_of_its_own_parses() {
    let parsers =
        "parser(name=\"brackets\" type=\"pmrfc3164\" permit.squareBracketsInHostname=\"on\")";
    let endpoint = free_endpoint();
    let site = Site::new().without_feed().global("processInternalMessages=\"on\"");
    let site = site.with("module(load=\"imrzmq\")").with(parsers);
    let action = site.file_action("out.log");
    let mut daemon = site
        .file("own.log", "%msg%\\n")
        .file_template("out.log", "%hostname%|%syslogtag%\\n")
        .with(&format!("ruleset(name=\"own\" parser=\"brackets\") {{ {action} }}"))
        .with(&format!(
            "input(type=\"imrzmq\" name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" ruleset=\"own\")"
        ))
        .start();
    let peer = Peer::push(&endpoint);
    peer.send_texts([
        "<13>2026-11-29T02:43:03Z [web1] app: x",
        "<13>2026-11-29T02:43:03Z web1 app: x",
    ]);
    assert_eq!(daemon.wait_lines("out.log", 2, SOON), ["[web1]|app:", "web1|app:"]);
    daemon.wait("the line about it", SOON, |daemon| {
        let left = "imrzmq[in]: lines are left to rsyslog's parsers";
        daemon.lines("own.log").iter().any(|line| line.contains(left)).then_some(())
    });
    let counters = daemon.wait_stats("imrzmq", "in", "received", |c| c["received"] == 2);
    assert_eq!(counters["parsed"], 0);
    daemon.stop().clean();
}
