use super::super::clock::Span;
use super::super::engine::Alert;
use super::super::outbox::{Attempt, Outbox, Outcome};
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
    assert!(attempt.bare && attempt.notification.group == "a");
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
    let alert = Alert {
        id: "A".into(),
        labels: Default::default(),
        summary: String::new(),
        what: String::new(),
        starts: START,
        ends: None,
        count: 1,
        lines: Vec::new(),
    };
    let with = |group: &str, alerts: usize| {
        let alerts = vec![alert.clone(); alerts];
        Notification { alerts, ..notification(group, false) }
    };
    let mut outbox = Outbox::default();
    outbox.push(with("a", 9_000));
    let on_its_way = one(&mut outbox, START).unwrap();
    outbox.push(with("b", 1));
    outbox.done(START, "ops", &on_its_way, Outcome::Delivered, Span(0));
    let next = one(&mut outbox, START).unwrap();
    assert_eq!((next.notification.group.as_str(), next.lost), ("b", 0));
    // those behind it are bounded
    (0..10).for_each(|_| outbox.push(with("c", 1_000)));
    assert_eq!(outbox.waiting().collect::<Vec<_>>(), [("ops", 6)]);
}

#[test]
fn a_restart_tries_again_what_was_on_its_way() {
    let mut outbox = Outbox::default();
    outbox.push(notification("a", false));
    let first = one(&mut outbox, START).unwrap();
    let kept = serde_json::to_string(&outbox).unwrap();
    let mut outbox: Outbox = serde_json::from_str(&kept).unwrap();
    assert_eq!(one(&mut outbox, START), Some(first));
}
