//! What is still to be told, a queue a receiver: in order, one at a time, again after a while when the
//! channel is away, and kept over a restart. Touches no clock and no channel.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::{Span, Time};
use super::route::Notification;
use super::rule::hash;

/// Bounds of a queue: notices, and alerts in those behind the first.
const NOTICES: usize = 500;
const ALERTS: usize = 5_000;
/// The first wait after a failure; it doubles up to the last.
const FIRST_WAIT: Span = Span::seconds(1);
const LAST_WAIT: Span = Span::minutes(5);
/// A channel is not believed when it asks for more.
const LONGEST_WAIT: Span = Span::minutes(60);

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    /// It is to be tried again, not before this has passed.
    Later {
        wait: Option<Span>,
        why: String,
    },
    /// The channel will never take this one.
    Refused {
        why: String,
    },
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) notification: Notification,
    /// Without lines: with them it was refused.
    pub(crate) bare: bool,
    /// Notices before it that are lost.
    pub(crate) lost: u64,
}

/// All queues.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outbox {
    next_id: u64,
    queues: BTreeMap<String, Queue>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    entries: VecDeque<Entry>,
    failures: u32,
    lost: u64,
    /// These two are of this process.
    #[serde(skip)]
    not_before: Time,
    #[serde(skip)]
    in_flight: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: u64,
    notification: Notification,
    bare: bool,
}

impl Outbox {
    /// Takes a notice; a repetition is none while an earlier one of its group waits.
    pub(crate) fn push(&mut self, notification: Notification) {
        let queue = self.queues.entry(notification.receiver.clone()).or_default();
        let waits = |entry: &Entry| entry.notification.group == notification.group;
        if notification.repeat && queue.entries.iter().any(waits) {
            return;
        }
        self.next_id += 1;
        queue.entries.push_back(Entry { id: self.next_id, notification, bare: false });
        while queue.entries.len() > 1 && queue.is_too_long() {
            // the one on its way cannot be taken back
            let oldest = usize::from(queue.in_flight.is_some());
            if queue.entries.remove(oldest).is_none() {
                break;
            }
            queue.lost += 1;
        }
    }

    /// What is to be tried now, at most one a receiver. Each must be answered with [`Outbox::done`].
    pub(crate) fn due(&mut self, now: Time) -> Vec<Attempt> {
        let mut due = Vec::new();
        for queue in self.queues.values_mut() {
            if queue.in_flight.is_some() || now < queue.not_before {
                continue;
            }
            let Some(entry) = queue.entries.front() else { continue };
            queue.in_flight = Some(entry.id);
            due.push(Attempt {
                id: entry.id,
                notification: entry.notification.clone(),
                bare: entry.bare,
                lost: queue.lost,
            });
        }
        due
    }

    /// An attempt has ended. What somebody should know of it; `pace` is the least time between two
    /// messages to this channel.
    pub(crate) fn done(
        &mut self,
        now: Time,
        receiver: &str,
        attempt: &Attempt,
        outcome: Outcome,
        pace: Span,
    ) -> Option<String> {
        let queue = self.queues.get_mut(receiver)?;
        if queue.in_flight != Some(attempt.id) {
            return None;
        }
        queue.in_flight = None;
        queue.not_before = now + pace.0;
        match outcome {
            Outcome::Delivered => {
                queue.entries.pop_front();
                queue.lost = queue.lost.saturating_sub(attempt.lost);
                let failures = std::mem::take(&mut queue.failures);
                (failures > 0).then(|| format!("{receiver} takes notices again"))
            }
            Outcome::Later { wait, why } => {
                let doubled = FIRST_WAIT.0 << queue.failures.min(20);
                let own = doubled.min(LAST_WAIT.0);
                // not all at the same moment
                let spread = hash(format!("{receiver}{}{}", attempt.id, queue.failures).as_bytes());
                let own = own + spread % (own / 4);
                let asked = wait.map_or(0, |wait| wait.0.min(LONGEST_WAIT.0));
                queue.failures = queue.failures.saturating_add(1);
                queue.not_before = now + own.max(asked).max(pace.0);
                // the first, and then one in a while
                let told = queue.failures.is_power_of_two();
                told.then(|| {
                    let wait = Span((queue.not_before - now).max(1000));
                    let waiting = queue.entries.len();
                    format!("{receiver}: {why}; {waiting} notices wait, again in {wait}")
                })
            }
            Outcome::Refused { why } if !attempt.bare => {
                if let Some(entry) = queue.entries.front_mut() {
                    entry.bare = true;
                }
                Some(format!("{receiver}: {why}; it is tried without log lines"))
            }
            Outcome::Refused { why } => {
                queue.entries.pop_front();
                queue.lost += 1;
                Some(format!("{receiver}: {why}; this notice is given up"))
            }
        }
    }

    /// Notices that wait, by receiver.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        let all = self.queues.iter().map(|(name, queue)| (name.as_str(), queue.entries.len()));
        all.filter(|(_, waiting)| *waiting > 0)
    }

    /// Takes the queues of receivers that there are no more: how many notices nobody can be told.
    pub(crate) fn forget_all_but(&mut self, is_there: impl Fn(&str) -> bool) -> usize {
        let before: usize = self.waiting().map(|(_, waiting)| waiting).sum();
        self.queues.retain(|name, _| is_there(name));
        before - self.waiting().map(|(_, waiting)| waiting).sum::<usize>()
    }

    /// When something can be tried next, of what is not on its way.
    pub(crate) fn next(&self) -> Option<Time> {
        let idle = self.queues.values().filter(|queue| queue.in_flight.is_none());
        idle.filter(|queue| !queue.entries.is_empty()).map(|queue| queue.not_before).min()
    }

    /// An attempt is on its way.
    pub(crate) fn is_trying(&self) -> bool {
        self.queues.values().any(|queue| queue.in_flight.is_some())
    }
}

impl Queue {
    /// The first may be a large one: that those behind it wait is no reason to drop them.
    fn is_too_long(&self) -> bool {
        let behind = self.entries.iter().skip(1);
        let alerts: usize = behind.map(|it| it.notification.alerts.len()).sum();
        self.entries.len() > NOTICES || alerts > ALERTS
    }
}
