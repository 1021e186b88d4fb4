use super::super::clock::Span;
use super::super::engine::Alert;
use super::super::outbox::{Attempt, Detail, Outbox, Outcome};
use super::super::route::Notification;
use super::START;

fn notification(group: &str, repeat: bool) -> Notification {
    Notification {
        receiver: "ops".into(),
        group: group.into(),
        group_labels: Default::default(),
        alerts: Vec::new(),
        at: START,
        repeat,
    }
}

fn one(outbox: &mut Outbox, now: u64) -> Option<Attempt> {
    let mut due = outbox.due(now);
    assert!(due.len() <= 1);
    due.pop()
}

fn later(wait: Option<u64>) -> Outcome {
    Outcome::Later { wait: wait.map(Span::seconds), why: "away".into() }
}

#[test]
fn a_channel_that_is_away_is_asked_more_and_more_rarely_and_in_order() {
    let mut outbox = Outbox::default();
    outbox.push(notification("a", false));
    outbox.push(notification("b", false));
    let (mut now, mut waits) = (START, Vec::new());
    for _ in 0..14 {
        let attempt = one(&mut outbox, now).unwrap();
        assert_eq!(attempt.notification.group, "a");
        // one at a time
        assert_eq!(one(&mut outbox, now + 10_000_000), None);
        outbox.done(now, "ops", &attempt, later(None), Span(0));
        let next = outbox.next().unwrap();
        assert_eq!(one(&mut outbox, next - 1), None);
        waits.push((next - now) / 1000);
        now = next;
    }
    assert!(waits[0] == 1 && waits[3] >= 8 && waits.is_sorted_by(|a, b| a <= b || *a >= 300));
    assert!(*waits.iter().max().unwrap() <= 375, "{waits:?}");
    let attempt = one(&mut outbox, now).unwrap();
    let told = outbox.done(now, "ops", &attempt, Outcome::Delivered, Span::seconds(1));
    assert_eq!(told.as_deref(), Some("ops takes notices again"));
    assert_eq!(one(&mut outbox, now + 999), None);
    assert_eq!(one(&mut outbox, now + 1000).unwrap().notification.group, "b");
}

#[test]
fn retry_after_is_kept_and_not_believed_for_ever() {
    for (asked, waited) in [(0, 1), (120, 120), (1_000_000, 3600)] {
        let mut outbox = Outbox::default();
        outbox.push(notification("a", false));
        let attempt = one(&mut outbox, START).unwrap();
        outbox.done(START, "ops", &attempt, later(Some(asked)), Span(0));
        assert_eq!((outbox.next().unwrap() - START) / 1000, waited);
    }
}

#[test]
fn what_is_refused_is_tried_without_lines_and_then_given_up_and_counted() {
    let mut outbox = Outbox::default();
    outbox.push(notification("a", false));
    outbox.push(notification("b", false));
    let refused = || Outcome::Refused { why: "answered 400".into() };
    let attempt = one(&mut outbox, START).unwrap();
    outbox.done(START, "ops", &attempt, refused(), Span(0));
    let attempt = one(&mut outbox, START).unwrap();
    assert_eq!((attempt.detail, attempt.notification.group.as_str()), (Detail::Labels, "a"));
    outbox.done(START, "ops", &attempt, refused(), Span(0));
    let attempt = one(&mut outbox, START).unwrap();
    assert_eq!((attempt.detail, attempt.notification.group.as_str()), (Detail::Names, "a"));
    outbox.done(START, "ops", &attempt, refused(), Span(0));
    let attempt = one(&mut outbox, START).unwrap();
    assert_eq!((attempt.notification.group.as_str(), attempt.lost), ("b", 1));
    outbox.done(START, "ops", &attempt, Outcome::Delivered, Span(0));
    outbox.push(notification("c", false));
    assert_eq!(one(&mut outbox, START).unwrap().lost, 0);
}

#[test]
fn repetitions_do_not_pile_up_and_a_flood_is_bounded_and_counted() {
    let mut outbox = Outbox::default();
    outbox.push(notification("a", false));
    outbox.push(notification("a", true));
    outbox.push(notification("b", true));
    assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 2)]);
    let on_its_way = one(&mut outbox, START).unwrap();
    for number in 0..1000 {
        outbox.push(notification(&format!("{number}"), false));
    }
    assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 500)]);
    outbox.done(START, "ops", &on_its_way, Outcome::Delivered, Span(0));
    let next = one(&mut outbox, START).unwrap();
    assert_eq!((next.notification.group.as_str(), next.lost), ("501", 502));
}

#[test]
fn a_notice_of_very_many_alerts_does_not_push_out_the_next() {
    let with = |group: &str, alerts: usize| {
        let alerts = vec![alert("A", None); alerts];
        Notification { alerts, ..notification(group, false) }
    };
    let mut outbox = Outbox::default();
    outbox.push(with("a", 9_000));
    let on_its_way = one(&mut outbox, START).unwrap();
    outbox.push(with("b", 1));
    outbox.done(START, "ops", &on_its_way, Outcome::Delivered, Span(0));
    let next = one(&mut outbox, START).unwrap();
    assert_eq!((next.notification.group.as_str(), next.lost), ("b", 0));
    // those behind it are bounded, and the newest is not counted
    (0..10).for_each(|_| outbox.push(with("c", 1_000)));
    assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 7)]);
    outbox.push(with("newest", 9_000));
    let answer = |_: &Attempt| Outcome::Delivered;
    outbox.done(START, "ops", &next, Outcome::Delivered, Span(0));
    let taken = runs(&mut outbox, &mut { START }, START + 60_000, answer);
    assert_eq!(taken.last().unwrap().0, "newest");
}

#[test]
fn a_restart_tries_again_what_was_on_its_way() {
    let mut outbox = Outbox::default();
    outbox.push(notification("a", false));
    let first = one(&mut outbox, START).unwrap();
    let kept = serde_json::to_string(&outbox).unwrap();
    let mut outbox: Outbox = serde_json::from_str(&kept).unwrap();
    outbox.resume();
    // it may have been taken
    assert_eq!(one(&mut outbox, START), Some(Attempt { unsure: true, ..first.clone() }));
    outbox.withdraw(&first);
    let kept = serde_json::to_string(&outbox).unwrap();
    let mut outbox: Outbox = serde_json::from_str(&kept).unwrap();
    outbox.resume();
    assert!(one(&mut outbox, START).is_some());
}

/// A channel that answers each attempt, for so long; what it took, when, and with how much.
fn runs(
    outbox: &mut Outbox,
    now: &mut u64,
    until: u64,
    answer: impl Fn(&Attempt) -> Outcome,
) -> Vec<(String, Detail, u64)> {
    let mut taken = Vec::new();
    while let Some(next) = outbox.next().filter(|next| *next <= until) {
        *now = next.max(*now);
        let attempt = one(outbox, *now).unwrap();
        let outcome = answer(&attempt);
        if outcome == Outcome::Delivered {
            let after = (*now - START) / 1000;
            taken.push((attempt.notification.group.clone(), attempt.detail, after));
        }
        outbox.done(*now, "ops", &attempt, outcome, Span::seconds(1));
    }
    *now = until.max(*now);
    taken
}

fn failed(unsure: bool) -> Outcome {
    Outcome::Failed { wait: None, unsure, of_text: false, why: "answered 500".into() }
}

fn alert(id: &str, ends: Option<u64>) -> Alert {
    Alert {
        id: id.into(),
        labels: Default::default(),
        summary: String::new(),
        what: String::new(),
        starts: START,
        ends,
        count: 1,
        lines: Vec::new(),
    }
}

#[test]
fn a_notice_that_a_channel_does_not_like_holds_nobody_up() {
    // a proxy that dislikes lines of this group, or all of it
    let kinds = [(Detail::Labels, "lines"), (Detail::Names, "labels"), (Detail::Lines, "")];
    for ((least, words), of_text) in kinds.into_iter().flat_map(|it| [(it, true), (it, false)]) {
        let (mut outbox, mut now) = (Outbox::default(), START);
        for group in ["a", "hostile", "b", "c"] {
            outbox.push(notification(group, false));
        }
        let answer = |attempt: &Attempt| {
            let liked = attempt.detail >= least && !words.is_empty();
            let hostile = attempt.notification.group == "hostile" && !liked;
            let why = String::new();
            let failed = Outcome::Failed { wait: None, unsure: false, of_text, why };
            if hostile { failed } else { Outcome::Delivered }
        };
        let taken = runs(&mut outbox, &mut now, START + 3_600_000, answer);
        let groups: Vec<_> = taken.iter().map(|it| it.0.as_str()).collect();
        let last = taken.iter().map(|it| it.2).max().unwrap();
        match words {
            "" => {
                assert_eq!(groups, ["a", "b", "c"]);
                outbox.push(notification("d", false));
                assert_eq!(one(&mut outbox, now).unwrap().lost, 1);
            }
            _ if of_text => {
                assert_eq!(groups, ["a", "hostile", "b", "c"]);
                assert_eq!(taken[1].1, least);
            }
            _ => {
                // that it is its text shows when the others are taken
                assert_eq!(groups, ["a", "b", "c", "hostile"]);
                assert_eq!(taken[3].1, least);
            }
        }
        assert!(last < 120, "{taken:?}");
    }
}

#[test]
fn a_channel_that_answers_everything_with_errors_for_hours_loses_nothing() {
    let (mut outbox, mut now) = (Outbox::default(), START);
    for number in 0..20 {
        outbox.push(notification(&format!("{number}"), false));
    }
    let hours = START + 6 * 3_600_000;
    assert!(runs(&mut outbox, &mut now, hours, |_| failed(false)).is_empty());
    assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 20)]);
    outbox.push(notification("new", false));
    let taken = runs(&mut outbox, &mut now, hours + 600_000, |attempt| {
        assert_eq!(attempt.lost, 0);
        Outcome::Delivered
    });
    // what is new does not wait for what failed
    assert_eq!(taken[0].0, "new");
    let mut groups: Vec<u32> = taken.iter().skip(1).map(|it| it.0.parse().unwrap()).collect();
    groups.sort_unstable();
    assert_eq!(groups, (0..20).collect::<Vec<u32>>());
    assert!(taken.iter().all(|it| it.1 == Detail::Lines), "{taken:?}");
}

#[test]
fn a_newer_notice_of_a_group_tells_what_the_one_aside_would_have_told() {
    let with = |alerts: Vec<Alert>| Notification { alerts, ..notification("a", false) };
    for newer_first in [false, true] {
        let (mut outbox, mut now) = (Outbox::default(), START);
        let newer = with(vec![alert("3", None), alert("2", Some(START))]);
        outbox.push(with(vec![alert("1", Some(START)), alert("2", None)]));
        if newer_first {
            outbox.push(newer.clone());
        }
        runs(&mut outbox, &mut now, START + 40_000, |_| failed(false));
        if !newer_first {
            outbox.push(newer);
        }
        assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 1)]);
        now += 10_000_000;
        let alerts = one(&mut outbox, now).unwrap().notification.alerts;
        let told: Vec<_> = alerts.iter().map(|it| (it.id.as_str(), it.ends.is_some())).collect();
        assert_eq!(told, [("3", false), ("2", true), ("1", true)]);
    }
}

#[test]
fn where_no_answer_comes_it_is_said_and_repeated_rarely() {
    let (mut outbox, mut now) = (Outbox::default(), START);
    outbox.push(notification("a", false));
    let sent = std::cell::Cell::new(0);
    let answer = |attempt: &Attempt| {
        assert_eq!(attempt.unsure, sent.get() > 0);
        sent.set(sent.get() + 1);
        failed(true)
    };
    runs(&mut outbox, &mut now, START + 3 * 3_600_000, answer);
    assert!((5..10).contains(&sent.get()), "{}", sent.get());
    // another one is taken, and this one is tried once more, and not for ever
    outbox.push(notification("b", false));
    sent.set(0);
    let answer = |attempt: &Attempt| match attempt.notification.group.as_str() {
        "b" => Outcome::Delivered,
        _ => {
            sent.set(sent.get() + 1);
            failed(true)
        }
    };
    let end = now + 24 * 3_600_000;
    assert_eq!(runs(&mut outbox, &mut now, end, answer).len(), 1);
    assert_eq!((sent.get(), outbox.waiting().count()), (1, 0));
}

#[test]
fn a_proxy_that_restarts_costs_a_notice_nothing_that_it_tells() {
    let (mut outbox, mut now) = (Outbox::default(), START);
    outbox.push(notification("a", false));
    runs(&mut outbox, &mut now, START + 120_000, |_| failed(false));
    let taken = runs(&mut outbox, &mut now, START + 600_000, |_| Outcome::Delivered);
    assert_eq!((taken.len(), taken[0].1), (1, Detail::Lines));
}

#[test]
fn the_end_of_an_alert_is_never_told_before_its_beginning() {
    let with = |ends| Notification { alerts: vec![alert("1", ends)], ..notification("a", false) };
    // it began, that is on its way again, and it ends
    for way in ["killed", "stopped", "away"] {
        let (mut outbox, mut now) = (Outbox::default(), START);
        outbox.push(with(None));
        runs(&mut outbox, &mut now, START + 40_000, |_| failed(false));
        now = outbox.next().unwrap();
        let attempt = one(&mut outbox, now).unwrap();
        outbox.push(with(Some(START)));
        match way {
            "killed" => outbox.resume(),
            "stopped" => outbox.withdraw(&attempt),
            _ => drop(outbox.done(now, "ops", &attempt, later(None), Span(0))),
        }
        assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 1)], "{way}");
        now += 10_000_000;
        let last = one(&mut outbox, now).unwrap();
        assert!(last.notification.alerts[0].ends.is_some(), "{way}");
    }
}

#[test]
fn what_may_have_been_told_holds_up_nothing_that_was_not() {
    let (mut outbox, mut now) = (Outbox::default(), START);
    let with = |id| Notification { alerts: vec![alert(id, None)], ..notification("a", false) };
    outbox.push(with("1"));
    outbox.push(notification("b", false));
    let answer = |attempt: &Attempt| failed(attempt.notification.group == "a");
    runs(&mut outbox, &mut now, START + 60_000, answer);
    // both stand aside; the one that may have been taken waits for half an hour, the other one does not
    let next = outbox.next().unwrap();
    assert!(next < START + 600_000);
    let attempt = one(&mut outbox, next).unwrap();
    assert_eq!((attempt.notification.group.as_str(), attempt.unsure), ("b", false));
    outbox.done(next, "ops", &attempt, failed(false), Span(0));
    // something new of its group was never tried
    outbox.push(with("2"));
    for _ in 0..2 {
        now = outbox.next().unwrap();
        let attempt = one(&mut outbox, now).unwrap();
        assert_eq!((attempt.notification.alerts.len(), attempt.unsure), (2, true));
        outbox.done(now, "ops", &attempt, failed(true), Span(0));
        assert!(outbox.next().unwrap() < now + 10_000);
    }
}
