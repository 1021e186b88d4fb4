//! The sums that docs/operations.md promises of the counters, asked of a running daemon: in a report
//! that came after the question they must hold, for every imrzmq and omrzmq instance.

use crate::rsyslogd::Rsyslogd;
use crate::stats::{Counters, Stats};
use crate::wait::try_until;
use crate::{SOON, millis};

/// What failed of the handshakes, by reason.
const HANDSHAKES: (&str, &[&str]) = (
    "handshakes_failed",
    &[
        "handshakes_broken_off",
        "handshakes_silent",
        "handshakes_mechanism",
        "handshakes_keys",
        "handshakes_protocol",
        "handshakes_refused",
    ],
);

/// A number that is the sum of others, by origin.
const SUMS: [(&str, (&str, &[&str])); 4] = [
    (
        "imrzmq",
        (
            "received",
            &[
                "submitted",
                "discarded_empty",
                "discarded_unauthenticated",
                "discarded_host",
                "discarded_ratelimit",
                "refused",
                "failed",
            ],
        ),
    ),
    ("imrzmq", HANDSHAKES),
    (
        "omrzmq",
        (
            "wait_ms",
            &[
                "wait_absent_ms",
                "wait_refused_ms",
                "wait_unanswered_ms",
                "wait_busy_ms",
                "wait_spool_ms",
            ],
        ),
    ),
    ("omrzmq", HANDSHAKES),
];

/// A number that is never above another one, by origin.
const WITHIN: [(&str, &str, &str); 4] = [
    ("imrzmq", "connections", "connects"),
    ("omrzmq", "connections", "connects"),
    ("omrzmq", "resumed", "sent"),
    ("omrzmq", "refused", "sent"),
];

/// Waits for a report of each daemon that is newer than this call and in which all adds up. A daemon
/// that still works may need some reports; one in which they never add up fails the test.
#[track_caller]
pub fn add_up(daemons: &mut [&mut Rsyslogd]) {
    let before: Vec<_> = daemons.iter().map(|daemon| daemon.stats().reports()).collect();
    for (daemon, before) in daemons.iter_mut().zip(before) {
        let mut wrong = vec!["no report came".to_owned()];
        let right = try_until(SOON, || {
            daemon.assert_alive();
            let stats = daemon.stats();
            if stats.reports() <= before {
                std::thread::sleep(millis(20));
                return None;
            }
            wrong = violations(&stats);
            wrong.is_empty().then_some(())
        });
        assert!(right.is_some(), "the counters do not add up: {wrong:#?}");
    }
}

/// All that was to happen has happened: what the daemons count adds up, and they stop, one by one.
#[track_caller]
pub fn end(daemons: &mut [&mut Rsyslogd]) {
    add_up(daemons);
    for daemon in daemons {
        daemon.stop().clean();
    }
}

/// What does not add up in the latest report.
pub fn violations(stats: &Stats) -> Vec<String> {
    let mut wrong = Vec::new();
    for origin in ["imrzmq", "omrzmq"] {
        for name in stats.names(origin) {
            let history = stats.history(origin, &name);
            let Some(now) = history.last() else { continue };
            let mut found = of_one(origin, now);
            if origin == "omrzmq" {
                found.extend(of_spool(history));
                found.extend(of_core(stats, &name, now));
            }
            wrong
                .extend(found.into_iter().map(|what| format!("{origin}[{name}]: {what}: {now:?}")));
        }
    }
    wrong
}

fn of_one(origin: &str, now: &Counters) -> Vec<String> {
    let mut wrong = Vec::new();
    for (_, (total, parts)) in SUMS.iter().filter(|(of, _)| *of == origin) {
        let sum: i64 = parts.iter().map(|part| now[*part]).sum();
        if now[*total] != sum {
            wrong.push(format!("{total} is {}, its parts make {sum}", now[*total]));
        }
    }
    for (_, less, more) in WITHIN.iter().filter(|(of, ..)| *of == origin) {
        if now[*less] > now[*more] {
            wrong.push(format!("{less} is above {more}"));
        }
    }
    wrong.extend(now.iter().filter(|(_, value)| **value < 0).map(|it| format!("{it:?}")));
    wrong
}

/// Lines that an action answered OK for.
pub fn handed_over(now: &Counters) -> i64 {
    now["sent"] - now["resumed"] + now["spooled"] + now["discarded"]
}

/// in_spool at the end = in_spool at the start + spooled − resumed: so what it was at the start is the
/// same in every report of a run. One may have come in the middle of a step.
fn of_spool(history: &[Counters]) -> Vec<String> {
    let at_start = |it: &Counters| it["in_spool"] - it["spooled"] + it["resumed"];
    let starts: Vec<_> = history.iter().map(at_start).collect();
    let (last, others) = starts.split_last().expect("a report");
    let differ = others.iter().filter(|start| *start != last).count();
    match *last < 0 || differ > 1 {
        true => vec![format!("in_spool at the start, from each report: {starts:?}")],
        false => Vec::new(),
    }
}

/// What the core gave the action: where nothing waits and the engine was refused nothing, all of it was
/// answered. (A disk queue of an earlier run adds lines that the core does not count again.)
fn of_core(stats: &Stats, name: &str, now: &Counters) -> Vec<String> {
    let Some(processed) = stats.value("core.action", name, "processed") else { return Vec::new() };
    let queued = stats.value("core.queue", &format!("{name} queue"), "size").unwrap_or(0);
    let rests = now["waiting"] == 0 && now["suspended"] == 0 && queued == 0;
    match rests && handed_over(now) < processed {
        true => vec![format!("the core gave {processed} lines, answered {}", handed_over(now))],
        false => Vec::new(),
    }
}
