//! A notice as programs read it: Alertmanager's API, its webhook's form for a command, a chat's webhook.

use serde_json::{Value, json};

use super::clock::{Span, Time, stamp};
use super::config::{self, Labels};
use super::engine::Alert;
use super::outbox::{Attempt, Detail};
use super::rule::hash;
use super::text::{Dialect, more, plain_summary, plain_what, status};

/// An Alertmanager takes an alert for resolved that was not repeated for so long; it is repeated each
/// minute.
const VALID: Span = Span::minutes(5);

/// `POST /api/v2/alerts`. Our clock may be behind the system's, which was set after the start, or slept, or
/// ahead of it: what ends in an Alertmanager's past it takes for resolved without a word, and what ends in its
/// future for one that fires.
pub(crate) fn alertmanager(attempt: &Attempt, now: Time, wall: Time) -> Value {
    let one = |alert: &Alert| {
        let mut value = alert_of(alert, attempt.detail);
        let ends = alert.ends.map(|ends| ends.min(wall));
        value["startsAt"] = stamp(alert.starts.min(ends.unwrap_or(wall))).into();
        value["endsAt"] = stamp(ends.unwrap_or(now.max(wall) + VALID.0)).into();
        value
    };
    attempt.notification.alerts.iter().map(one).collect()
}

/// The form of Alertmanager's own webhook, version 4, with the lines beside.
pub(crate) fn command(attempt: &Attempt) -> Value {
    let notification = &attempt.notification;
    let one = |alert: &Alert| {
        let mut value = alert_of(alert, attempt.detail);
        value["status"] = status(alert).into();
        value["endsAt"] = alert.ends.map_or("0001-01-01T00:00:00Z".into(), stamp).into();
        value["fingerprint"] = format!("{:016x}", hash(alert.id.as_bytes())).into();
        let lines = attempt.detail == Detail::Lines;
        value["lines"] = if lines { json!(alert.lines) } else { json!([]) };
        value["more"] = more(alert).into();
        value
    };
    let mut common = notification.alerts.first().map(|it| it.labels.clone()).unwrap_or_default();
    for alert in &notification.alerts {
        common.retain(|label, value| alert.labels.get(label) == Some(value));
    }
    let fires = notification.alerts.iter().any(|alert| alert.ends.is_none());
    json!({
        "version": "4",
        "groupKey": notification.group.replace('\u{1f}', " "),
        "status": if fires { "firing" } else { "resolved" },
        "receiver": notification.receiver,
        "groupLabels": notification.group_labels,
        "commonLabels": common,
        "commonAnnotations": Labels::new(),
        "externalURL": "",
        "truncatedAlerts": 0,
        "lost": attempt.lost,
        "unsure": attempt.unsure,
        "alerts": notification.alerts.iter().map(one).collect::<Value>(),
    })
}

fn alert_of(alert: &Alert, detail: Detail) -> Value {
    let mut annotations = Labels::from([("description".to_owned(), plain_what(alert))]);
    if !alert.summary.is_empty() {
        annotations.insert("summary".to_owned(), plain_summary(alert));
    }
    if detail == Detail::Lines && !alert.lines.is_empty() {
        annotations.insert("lines".to_owned(), alert.lines.join("\n"));
        annotations.insert("more".to_owned(), more(alert).to_string());
    }
    json!({
        "labels": alert.labels,
        "annotations": annotations,
        "startsAt": stamp(alert.starts),
        "generatorURL": "",
    })
}

/// An incoming webhook.
pub(crate) fn chat(chat: &config::Chat, dialect: Dialect, text: &str) -> Value {
    let mut value = json!({ "text": text });
    let own = [
        ("channel", &chat.channel),
        ("username", &chat.username),
        ("icon_emoji", &chat.icon_emoji),
    ];
    for (name, said) in own {
        if let Some(said) = said {
            value[name] = said.as_str().into();
        }
    }
    if dialect == Dialect::Slack {
        // nothing that stands in a line is to be fetched
        value["unfurl_links"] = false.into();
        value["unfurl_media"] = false.into();
    }
    value
}
