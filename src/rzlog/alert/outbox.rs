//! What is still to be told, a queue a receiver: in order, one at a time, again after a while when the
//! channel is away, and kept over a restart. Touches no clock and no channel.
//!
//! An error may be the channel's, and then all wait, or one notice's (a proxy that does not like its text),
//! and then nobody else may wait for it. So a notice that is answered with errors stands aside after a while:
//! others go before it. Where the error speaks of the text, or the channel has taken others since, it is tried
//! with less and less of what is foreign in it, and is given up when that does not help either.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::{Span, Time};
use super::route::Notification;
use super::rule::hash;

/// Bounds of a queue: notices, and alerts in those between the first and the newest.
const NOTICES: usize = 500;
const ALERTS: usize = 5_000;
/// The first wait after a failure; it doubles up to the last.
const FIRST_WAIT: Span = Span::seconds(1);
const LAST_WAIT: Span = Span::minutes(5);
/// A channel is not believed when it asks for more.
const LONGEST_WAIT: Span = Span::minutes(60);
/// Errors until a notice stands aside. Where they are of its text: with lines, and then once without, and once
/// with names alone.
const ROUND: u32 = 5;
/// So often a notice is sent that may have been taken, without an answer. Then it is sent this rarely, or
/// when the channel has taken another one.
const UNSURE: u32 = 3;
const RARELY: Span = Span::minutes(30);

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    /// The channel is away or busy. It is to be tried again, not before this has passed.
    Later {
        wait: Option<Span>,
        why: String,
    },
    /// It did not work, perhaps because of this notice; `unsure`: perhaps it did; `of_text`: the error speaks of
    /// what stands in it.
    Failed {
        wait: Option<Span>,
        unsure: bool,
        of_text: bool,
        why: String,
    },
    /// The channel will never take this one.
    Refused {
        why: String,
    },
}

/// How much of a notice is told: with more it was refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Detail {
    #[default]
    Lines,
    Labels,
    /// Nothing that is foreign.
    Names,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) notification: Notification,
    pub(crate) detail: Detail,
    /// Notices before it that are lost.
    pub(crate) lost: u64,
    /// It may have been told before.
    pub(crate) unsure: bool,
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
    /// Notices that the channel has taken.
    #[serde(default)]
    taken: u64,
    /// Kept: after a kill it may have been taken.
    #[serde(default)]
    in_flight: Option<u64>,
    /// These are of this process.
    #[serde(skip)]
    not_before: Time,
    /// The same for what stands aside.
    #[serde(skip)]
    aside: Aside,
}

#[derive(Debug, Default)]
struct Aside {
    failures: u32,
    not_before: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: u64,
    notification: Notification,
    #[serde(default)]
    detail: Detail,
    /// Of this round.
    #[serde(default)]
    errors: u32,
    /// Those of them that are of its text.
    #[serde(default)]
    disliked: u32,
    /// How often it may have been taken.
    #[serde(default)]
    unsure: u32,
    /// Something in it may have been told by another that it took over.
    #[serde(default)]
    told: bool,
    /// Others go before it; how many the channel had taken when this round began.
    #[serde(default)]
    aside: Option<u64>,
    /// Of this process, while it stands aside.
    #[serde(skip)]
    not_before: Time,
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
        let mut newest = Entry {
            id: self.next_id,
            notification,
            detail: Detail::Lines,
            errors: 0,
            disliked: 0,
            unsure: 0,
            told: false,
            aside: None,
            not_before: 0,
        };
        let in_flight = queue.in_flight;
        queue.entries.retain_mut(|entry| {
            entry.aside.is_none() || Some(entry.id) == in_flight || !newest.takes_over(entry)
        });
        queue.entries.push_back(newest);
        while queue.is_too_long() {
            // the one on its way cannot be taken back, and the newest knows best
            let stays =
                |entry: &Entry| Some(entry.id) == queue.in_flight || entry.id == self.next_id;
            let oldest = queue.entries.iter().position(|entry| !stays(entry));
            if oldest.and_then(|oldest| queue.entries.remove(oldest)).is_none() {
                break;
            }
            queue.lost += 1;
        }
    }

    /// What is to be tried now, at most one a receiver. Each must be answered with [`Outbox::done`].
    pub(crate) fn due(&mut self, now: Time) -> Vec<Attempt> {
        let mut due = Vec::new();
        for queue in self.queues.values_mut() {
            if queue.next().is_none_or(|next| now < next) {
                continue;
            }
            let fresh = queue.entries.iter().find(|entry| entry.aside.is_none());
            let mut aside = queue.entries.iter().filter(|entry| entry.not_before <= now);
            let Some(entry) = fresh.or_else(|| aside.next()) else { continue };
            let detail = match ROUND - entry.disliked.min(ROUND) {
                0 | 1 => Detail::Names,
                2 => Detail::Labels,
                _ => Detail::Lines,
            };
            queue.in_flight = Some(entry.id);
            due.push(Attempt {
                id: entry.id,
                notification: entry.notification.clone(),
                detail: detail.max(entry.detail),
                lost: queue.lost,
                unsure: entry.told || entry.unsure > 0,
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
        let said = queue.ended(now, receiver, attempt, outcome);
        queue.settle(attempt.id);
        said
    }

    /// An attempt was not made.
    pub(crate) fn withdraw(&mut self, attempt: &Attempt) {
        let queue = self.queues.get_mut(&attempt.notification.receiver);
        let queue = queue.filter(|queue| queue.in_flight == Some(attempt.id));
        if let Some(queue) = queue {
            queue.in_flight = None;
            queue.settle(attempt.id);
        }
    }

    /// After a restart: what was on its way may have been taken.
    pub(crate) fn resume(&mut self) {
        for queue in self.queues.values_mut() {
            let Some(id) = queue.in_flight.take() else { continue };
            let entries = queue.entries.iter_mut().filter(|entry| entry.id == id);
            entries.for_each(|entry| entry.unsure = entry.unsure.saturating_add(1));
            queue.settle(id);
        }
    }

    /// The clock was wrong by so much: it is earlier.
    pub(crate) fn earlier(&mut self, by: Span) {
        let entries = self.queues.values_mut().flat_map(|queue| queue.entries.iter_mut());
        for notification in entries.map(|entry| &mut entry.notification) {
            notification.at = notification.at.saturating_sub(by.0);
            notification.alerts.iter_mut().for_each(|alert| alert.earlier(by));
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
        self.queues.values().filter_map(Queue::next).min()
    }

    /// An attempt is on its way.
    pub(crate) fn is_trying(&self) -> bool {
        self.queues.values().any(|queue| queue.in_flight.is_some())
    }
}

impl Queue {
    fn next(&self) -> Option<Time> {
        if self.in_flight.is_some() || self.entries.is_empty() {
            return None;
        }
        if self.entries.iter().any(|entry| entry.aside.is_none()) {
            return Some(self.not_before);
        }
        let first = self.entries.iter().map(|entry| entry.not_before).min()?;
        Some(self.not_before.max(self.aside.not_before).max(first))
    }

    /// An attempt has ended so.
    fn ended(
        &mut self,
        now: Time,
        receiver: &str,
        attempt: &Attempt,
        outcome: Outcome,
    ) -> Option<String> {
        let index = self.entries.iter().position(|entry| entry.id == attempt.id)?;
        match outcome {
            Outcome::Delivered => {
                self.entries.remove(index);
                self.lost = self.lost.saturating_sub(attempt.lost);
                // the errors of those aside may have been the channel's: it is well again
                let taken = self.taken;
                let first = |entry: &&mut Entry| entry.aside == Some(taken);
                self.entries.iter_mut().filter(first).for_each(Entry::begins_anew);
                self.entries.iter_mut().for_each(|entry| entry.not_before = 0);
                self.taken += 1;
                let failures = std::mem::take(&mut self.failures) + self.aside.failures;
                self.aside = Aside::default();
                (failures > 0).then(|| format!("{receiver} takes notices again"))
            }
            Outcome::Later { wait, why } => self.all_wait(now, receiver, attempt.id, wait, &why),
            Outcome::Failed { wait, unsure, of_text, why } => {
                let taken = self.taken;
                let entry = self.entries.get_mut(index)?;
                entry.errors = entry.errors.saturating_add(1);
                let others_are_taken = entry.aside.is_some_and(|before| taken > before);
                let disliked = u32::from(of_text || others_are_taken);
                entry.disliked = entry.disliked.saturating_add(disliked);
                entry.unsure = entry.unsure.saturating_add(u32::from(unsure));
                let goes_on = entry.errors < ROUND && entry.unsure < UNSURE;
                match (goes_on, entry.aside) {
                    (true, None) => self.all_wait(now, receiver, attempt.id, wait, &why),
                    (false, Some(_)) if others_are_taken => {
                        self.entries.remove(index);
                        self.lost += 1;
                        Some(format!(
                            "{receiver}: {why}; this notice is given up, because others are taken"
                        ))
                    }
                    (_, was) => {
                        if !goes_on {
                            entry.begins_anew();
                            entry.aside = Some(taken);
                        }
                        self.stands_aside(now, receiver, index, wait);
                        let told = was.is_none();
                        told.then(|| {
                            format!("{receiver}: {why}; other notices go before this one now")
                        })
                    }
                }
            }
            Outcome::Refused { why } if attempt.detail < Detail::Names => {
                let (less, words) = match attempt.detail {
                    Detail::Lines => (Detail::Labels, "without log lines"),
                    _ => (Detail::Names, "with names of rules alone"),
                };
                self.entries.get_mut(index)?.detail = less;
                Some(format!("{receiver}: {why}; it is tried {words}"))
            }
            Outcome::Refused { why } => {
                self.entries.remove(index);
                self.lost += 1;
                Some(format!("{receiver}: {why}; this notice is given up"))
            }
        }
    }

    /// It is tried again after a while, and all others after it.
    fn all_wait(
        &mut self,
        now: Time,
        receiver: &str,
        id: u64,
        wait: Option<Span>,
        why: &str,
    ) -> Option<String> {
        let own = back_off(receiver, id, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.not_before = self.not_before.max(now + own.max(asked(wait)));
        // the first, and then one in a while
        let told = self.failures.is_power_of_two();
        told.then(|| {
            let wait = Span((self.not_before - now).max(1000));
            let waiting = self.entries.len();
            format!("{receiver}: {why}; {waiting} notices wait, again in {wait}")
        })
    }

    /// It goes behind all others, who need not wait.
    fn stands_aside(&mut self, now: Time, receiver: &str, index: usize, wait: Option<Span>) {
        let Some(mut entry) = self.entries.remove(index) else { return };
        self.not_before = self.not_before.max(now + asked(wait));
        let own = back_off(receiver, entry.id, self.aside.failures);
        self.aside.failures = self.aside.failures.saturating_add(1);
        (self.failures, self.aside.not_before) = (0, now + own);
        if entry.unsure >= UNSURE {
            entry.not_before = now + RARELY.0;
        }
        self.entries.push_back(entry);
    }

    /// It is not on its way any more: if it stands aside, newer ones take over what they know better, which go
    /// before it.
    fn settle(&mut self, id: u64) {
        let stands = |entry: &Entry| entry.id == id && entry.aside.is_some();
        let Some(index) = self.entries.iter().position(stands) else { return };
        let Some(mut entry) = self.entries.remove(index) else { return };
        let mut newer = self.entries.iter_mut().filter(|newer| newer.id > id);
        if !newer.any(|newer| newer.takes_over(&mut entry)) {
            self.entries.insert(index, entry);
        }
    }

    /// The first and the newest may be large ones, and that is no reason to drop others.
    fn is_too_long(&self) -> bool {
        let between = self.entries.iter().skip(1).rev().skip(1);
        let alerts: usize = between.map(|it| it.notification.alerts.len()).sum();
        self.entries.len() > NOTICES || alerts > ALERTS
    }
}

impl Entry {
    fn begins_anew(&mut self) {
        (self.errors, self.disliked) = (0, 0);
    }

    /// What it tells of an alert is newer than what one that stands aside would tell after it; and it tells what
    /// that one had to tell, if it is of the same group. True: nothing is left of the other.
    fn takes_over(&mut self, earlier: &mut Entry) -> bool {
        let alerts = &mut self.notification.alerts;
        let others = &mut earlier.notification.alerts;
        let had = others.len();
        others.retain(|other| alerts.iter().all(|alert| alert.id != other.id));
        let all_known = had > 0 && others.is_empty();
        let is_same = self.notification.group == earlier.notification.group;
        if is_same {
            alerts.append(others);
            alerts.sort_by_key(|alert| alert.ends.is_some());
            // as this one it was not tried yet
            self.told |= earlier.told || earlier.unsure > 0 || self.unsure > 0;
            self.unsure = 0;
        }
        is_same || all_known
    }
}

/// The wait after so many failures, in milliseconds; not all at the same moment.
fn back_off(receiver: &str, id: u64, failures: u32) -> u64 {
    let own = (FIRST_WAIT.0 << failures.min(20)).min(LAST_WAIT.0);
    own + hash(format!("{receiver}{id}{failures}").as_bytes()) % (own / 4)
}

fn asked(wait: Option<Span>) -> u64 {
    wait.map_or(0, |wait| wait.0.min(LONGEST_WAIT.0))
}
