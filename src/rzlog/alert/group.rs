//! One group of a rule: what is known of its lines, where it stands, and its alert. It has a phase:
//!
//! ```text
//! Quiet --the condition holds--> Pending --for so long--> Firing --calm for keep_firing_for--> Quiet
//!            Pending --it does not hold any more--> Quiet
//! ```
//!
//! Between "the condition holds" and "calm" is room (clear), so that what swings around a limit is one
//! alert.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::{Span, Time};
use super::config::Labels;
use super::rule::{Condition, Rule};
use super::text::lines;
use super::window::Window;

/// Slots of a window and of a past.
const RECENT: u32 = 30;
pub(super) const PAST: u32 = 72;
/// A quiet group that has said too little to be missed, or a pattern whose news is old, is forgotten.
const IDLE: Span = Span::minutes(60);
const DAY: Span = Span::minutes(24 * 60);
/// Between the parts of a key.
pub(super) const SEPARATOR: char = '\u{1f}';

/// An alert, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// The same for the same rule and labels.
    pub(crate) id: String,
    pub(crate) labels: Labels,
    /// The rule's own text, a template.
    pub(crate) summary: String,
    /// What is the case, in our words.
    pub(crate) what: String,
    pub(crate) starts: Time,
    pub(crate) ends: Option<Time>,
    /// Lines so far, and the newest of them.
    pub(crate) count: u64,
    pub(crate) lines: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) labels: Labels,
    first: Time,
    pub(super) seen: Time,
    /// From when on silence counts: the last line, or when its publisher came back.
    pub(super) heard: Time,
    pub(super) endpoint: String,
    pub(super) total: u64,
    /// The total when it became pending.
    before: u64,
    pub(super) recent: Option<Window>,
    pub(super) past: Option<Box<Past>>,
    pub(super) lines: VecDeque<String>,
    pub(super) phase: Phase,
    /// What was the case when the condition last held: its window may be empty when that is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    what: String,
    /// It is all that is beyond the limit.
    #[serde(default)]
    pub(super) others: bool,
    /// Its pattern's number, to be known when it is told.
    #[serde(default)]
    pub(super) pattern: Option<u64>,
    /// Whose lines count, for a count that is compared with its past.
    #[serde(default)]
    pub(super) endpoints: BTreeSet<String>,
    /// The longest pause between two lines, of this day and of the one before.
    pauses: [u64; 2],
    day: Time,
}

/// The window and the past together, of the lines that are meant and of all; all of the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) meant: Window,
    pub(super) all: Window,
    pub(super) recent_all: Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    Quiet,
    Pending { since: Time },
    Firing { since: Time, calm: Option<Time> },
}

/// Where a group stands.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    /// The condition holds.
    Holds,
    /// Neither: a firing alert goes on, none begins.
    Between,
    Calm,
}

impl Alert {
    /// The clock was wrong by so much: it is earlier.
    pub(crate) fn earlier(&mut self, by: Span) {
        self.starts = self.starts.saturating_sub(by.0);
        self.ends = self.ends.map(|ends| ends.saturating_sub(by.0));
    }
}

impl Group {
    pub(super) fn new(rule: &Rule, now: Time, labels: Labels) -> Group {
        let (mut recent, mut past) = (None, None);
        match &rule.condition {
            Condition::Threshold { window, .. } | Condition::Missed { window } => {
                recent = Some(Window::new(*window, RECENT));
            }
            Condition::NewPattern { .. } => recent = Some(Window::new(IDLE, RECENT)),
            Condition::Baseline { window, past: length, .. } => {
                let whole = Window::new(Span(window.0 + length.0), PAST);
                recent = Some(Window::new(*window, RECENT));
                past = Some(Box::new(Past {
                    meant: whole.clone(),
                    all: whole,
                    recent_all: Window::new(*window, RECENT),
                }));
            }
            Condition::Silent { .. } | Condition::Lost => {}
        }
        Group {
            labels,
            first: now,
            seen: now,
            heard: now,
            endpoint: String::new(),
            total: 0,
            before: 0,
            recent,
            past,
            lines: VecDeque::new(),
            phase: Phase::Quiet,
            what: String::new(),
            others: false,
            pattern: None,
            endpoints: BTreeSet::new(),
            pauses: [0; 2],
            day: now,
        }
    }

    /// Time went on. The alert, if it begins to fire or ends.
    pub(super) fn tick(
        &mut self,
        now: Time,
        rule: &Rule,
        key: &str,
        seconds: &BTreeMap<String, u64>,
        down: &BTreeSet<String>,
    ) -> Option<Alert> {
        let observed = self.observed(seconds);
        let standing = self.standing(now, rule, observed, down);
        // a former version kept no words; a silence grows also while its publisher is away
        let silent = matches!(rule.condition, Condition::Silent { .. });
        let is_old = self.what.is_empty() || (silent && standing == Standing::Between);
        if standing == Standing::Holds || (is_old && self.phase != Phase::Quiet) {
            self.what = self.what(now, rule, observed);
        }
        match (self.phase, standing) {
            (Phase::Quiet, Standing::Holds) => {
                let recent = self.recent.as_mut().map_or(0, |it| it.sum(now));
                self.before = self.total.saturating_sub(recent);
                self.phase = Phase::Pending { since: now };
            }
            (Phase::Pending { .. }, Standing::Between | Standing::Calm) => {
                self.phase = Phase::Quiet;
            }
            (Phase::Firing { since, calm }, standing) => {
                let calm = match standing {
                    Standing::Calm => Some(calm.unwrap_or(now)),
                    _ => None,
                };
                self.phase = Phase::Firing { since, calm };
            }
            (Phase::Quiet | Phase::Pending { .. }, _) => {}
        }
        match self.phase {
            Phase::Pending { since } if now.saturating_sub(since) >= rule.hold.0 => {
                self.phase = Phase::Firing { since: now, calm: None };
                Some(self.alert(rule, key, now, None))
            }
            Phase::Firing { since, calm: Some(calm) }
                if now.saturating_sub(calm) >= rule.keep_firing_for.0 =>
            {
                let alert = self.alert(rule, key, since, Some(now));
                self.phase = Phase::Quiet;
                self.before = self.total;
                Some(alert)
            }
            _ => None,
        }
    }

    /// The clock was wrong by so much: it is earlier.
    pub(super) fn earlier(&mut self, by: Span) {
        let back = |time: &mut Time| *time = time.saturating_sub(by.0);
        for time in [&mut self.first, &mut self.seen, &mut self.heard, &mut self.day] {
            back(time);
        }
        match &mut self.phase {
            Phase::Quiet => {}
            Phase::Pending { since } => back(since),
            Phase::Firing { since, calm } => {
                back(since);
                calm.iter_mut().for_each(back);
            }
        }
        let past = self.past.iter_mut().flat_map(|it| {
            let Past { meant, all, recent_all } = &mut **it;
            [meant, all, recent_all]
        });
        self.recent.iter_mut().chain(past).for_each(|window| window.earlier(by));
    }

    /// Seconds of the past in which all of its publishers that are there now were listened to.
    fn observed(&self, seconds: &BTreeMap<String, u64>) -> u64 {
        let own = self.endpoints.iter().filter_map(|endpoint| seconds.get(endpoint));
        own.min().copied().unwrap_or(0)
    }

    /// Learns how long it usually says nothing. A silence that was told of counts only so far: else the
    /// next one would hardly be seen.
    pub(super) fn pause(&mut self, now: Time, after: Span) {
        let mut pause = now.saturating_sub(self.heard);
        if matches!(self.phase, Phase::Firing { .. }) {
            pause = pause.min(2 * after.0);
        }
        if now.saturating_sub(self.day) >= DAY.0 {
            (self.day, self.pauses) = (now, [0, self.pauses[0]]);
        }
        self.pauses[0] = self.pauses[0].max(pause);
    }

    /// Silence is more than was asked for, and twice the usual.
    fn silence(&self, after: Span) -> u64 {
        after.0.max(self.pauses.iter().max().map_or(0, |pause| pause.saturating_mul(2)))
    }

    fn standing(
        &mut self,
        now: Time,
        rule: &Rule,
        observed: u64,
        down: &BTreeSet<String>,
    ) -> Standing {
        let recent = self.recent.as_mut().map_or(0, |it| it.sum(now));
        let either = |holds: bool, calm: bool| match (holds, calm) {
            (true, _) => Standing::Holds,
            (false, true) => Standing::Calm,
            (false, false) => Standing::Between,
        };
        match &rule.condition {
            Condition::Threshold { clear, .. } => either(recent >= rule.at_least, recent <= *clear),
            Condition::NewPattern { .. } => {
                let fresh = now.saturating_sub(self.seen) < 60_000;
                either(recent >= rule.at_least && fresh, true)
            }
            Condition::Silent { .. } if self.others => {
                let there_are = now.saturating_sub(self.seen) < IDLE.0;
                either(there_are, !there_are)
            }
            Condition::Silent { after, forget } => {
                let least = self.silence(*after);
                // a silence of ours is none of the host's
                let is_ours = down.contains(&self.endpoint);
                let silent = !is_ours && now.saturating_sub(self.heard) >= least;
                let enough = self.total >= rule.at_least;
                // a host that was taken away is not missed for ever
                let age = now.saturating_sub(self.seen);
                let gone = age >= forget.0;
                either(silent && enough && !gone, gone || age < least)
            }
            Condition::Lost => {
                let lost = self.labels.get("endpoint").is_some_and(|it| down.contains(it));
                either(lost, !lost)
            }
            Condition::Missed { .. } => either(recent >= rule.at_least, recent == 0),
            Condition::Baseline { factor, clear, floor, .. } => {
                let few = recent * 2 < rule.at_least;
                match self.compare(now, rule, recent, observed) {
                    None => Standing::Calm,
                    Some((is, was)) => {
                        let limit = (was * factor).max(floor.unwrap_or(0.0));
                        let calm = (was * clear).max(floor.unwrap_or(0.0) * clear / factor);
                        either(recent >= rule.at_least && is > limit, few || is <= calm)
                    }
                }
            }
        }
    }

    /// The lines of the window and those that the past would make expect, or their shares. None as long
    /// as too little of the past is known.
    fn compare(
        &mut self,
        now: Time,
        rule: &Rule,
        recent: u64,
        observed: u64,
    ) -> Option<(f64, f64)> {
        let Condition::Baseline { window, past: length, floor, .. } = &rule.condition else {
            return None;
        };
        let past = self.past.as_mut()?;
        let meant = past.meant.sum(now).saturating_sub(recent) as f64;
        let enough = length.0 / 1000 * 9 / 10;
        if floor.is_none() {
            let windows = observed as f64 * 1000.0 / window.0 as f64;
            return (observed >= enough).then(|| (recent as f64, meant / windows.max(1.0)));
        }
        let recent_all = past.recent_all.sum(now);
        let all = past.all.sum(now).saturating_sub(recent_all) as f64;
        let known = now.saturating_sub(self.first) >= length.0;
        (known && all > 0.0 && recent_all > 0)
            .then(|| (recent as f64 / recent_all as f64, meant / all))
    }

    /// Nothing is lost when it is forgotten.
    pub(super) fn is_idle(&mut self, now: Time, rule: &Rule) -> bool {
        let age = now.saturating_sub(self.seen);
        match &rule.condition {
            Condition::Threshold { .. } | Condition::Missed { .. } => {
                self.recent.as_mut().is_none_or(|it| it.sum(now) == 0)
            }
            Condition::NewPattern { .. } => age >= IDLE.0,
            Condition::Baseline { .. } => self.past.as_mut().is_none_or(|it| it.all.sum(now) == 0),
            Condition::Silent { .. } if self.others => age >= IDLE.0,
            Condition::Silent { forget, .. } => {
                age >= if self.total < rule.at_least { IDLE.0.min(forget.0) } else { forget.0 }
            }
            Condition::Lost => false,
        }
    }

    pub(super) fn alert(&self, rule: &Rule, key: &str, starts: Time, ends: Option<Time>) -> Alert {
        let mut labels = self.labels.clone();
        labels.extend(rule.labels.clone());
        labels.insert("alertname".to_owned(), rule.alert.clone());
        Alert {
            id: format!("{}{SEPARATOR}{key}", rule.alert),
            labels,
            summary: rule.summary.clone(),
            what: self.what.clone(),
            starts,
            ends,
            count: match rule.condition {
                Condition::Silent { .. } | Condition::Lost | Condition::Missed { .. } => {
                    self.lines.len() as u64
                }
                _ => self.total.saturating_sub(self.before),
            },
            lines: self.lines.iter().cloned().collect(),
        }
    }

    fn what(&mut self, now: Time, rule: &Rule, observed: u64) -> String {
        let recent = self.recent.as_mut().map_or(0, |it| it.sum(now));
        match &rule.condition {
            Condition::Threshold { window, .. } => {
                format!("{} within {window}, limit {}", lines(recent), rule.at_least)
            }
            Condition::NewPattern { .. } if self.others => {
                format!("{} within {IDLE} of further kinds, not seen before", lines(recent))
            }
            Condition::NewPattern { .. } => "not seen before".to_owned(),
            Condition::Silent { .. } if self.others => {
                format!("there are more than {} (limit): further ones are not watched", rule.limit)
            }
            Condition::Silent { .. } => {
                let silent = Span(now.saturating_sub(self.seen));
                format!("no line for {silent}, {} before", self.total)
            }
            Condition::Lost => "no connection to this publisher: its lines are missing".to_owned(),
            Condition::Missed { window } => {
                format!("{} within {window} were dropped before they came here", lines(recent))
            }
            Condition::Baseline { window, past, floor, .. } => {
                match (self.compare(now, rule, recent, observed), floor) {
                    (Some((is, was)), Some(_)) => format!(
                        "{:.1} % of the lines within {window}, {:.1} % in the {past} before",
                        is * 100.0,
                        was * 100.0
                    ),
                    (Some((is, was)), None) => format!(
                        "{is} lines within {window}, {was:.1} were usual in the {past} before"
                    ),
                    (None, _) => format!("{} within {window}", lines(recent)),
                }
            }
        }
    }
}
