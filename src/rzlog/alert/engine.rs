//! The rules at work: lines, connections and the time go in, alerts come out. Touches no clock, file or
//! socket.
//!
//! Each rule has groups, by the values of its labels, and each group a phase:
//!
//! ```text
//! Quiet --the condition holds--> Pending --for so long--> Firing --calm for keep_firing_for--> Quiet
//!            Pending --it does not hold any more--> Quiet
//! ```
//!
//! Between "the condition holds" and "calm" is room (clear), so that what swings around a limit is one
//! alert. Groups are bounded by the rule's limit: further ones are one group, `(others)`. Their lines count
//! together; silence cannot, so that there are others is told.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use rzlog_client::Line;
use serde::{Deserialize, Serialize};

use super::age::Ages;
use super::clock::{Span, Time};
use super::config::Labels;
use super::pattern;
use super::rule::{Condition, Fit, Rule};
use super::text::{clean, lines};
use super::window::Window;

/// The longest line that is kept, in characters.
const LINE: usize = 400;
/// Slots of a window and of a past.
const RECENT: u32 = 30;
const PAST: u32 = 72;
/// Patterns that a rule knows; beyond that, those that were not seen for longest are forgotten.
const PATTERNS: usize = 50_000;
/// A quiet group that has said too little to be missed, or a pattern whose news is old, is forgotten.
const IDLE: Span = Span::minutes(60);
const DAY: Span = Span::minutes(24 * 60);
/// Between the parts of a key.
const SEPARATOR: char = '\u{1f}';
/// The label of what is beyond a rule's limit; its key, which no values have: controls in them are made visible;
/// and what a label becomes that is called so.
const OTHERS: &str = "(others)";
const OTHERS_KEY: &str = "\u{1e}";
const NOT_OTHERS: &str = "\\x28others)";

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

pub(crate) struct Engine {
    watches: Vec<Watch>,
    /// Publishers that are not connected, and those that are.
    down: BTreeSet<String>,
    up: BTreeSet<String>,
    ticked: Time,
    ages: Ages,
}

struct Watch {
    rule: Rule,
    state: State,
    /// Kept for its room.
    key: String,
    told_full: bool,
}

/// What the rules know, to be kept over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Saved(BTreeMap<String, State>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u64,
    began: Time,
    groups: BTreeMap<String, Group>,
    /// Patterns that were learnt or told, and those of the generation before that were not seen since.
    known: HashSet<u64>,
    #[serde(default)]
    known_before: HashSet<u64>,
    /// Seconds that each publisher was listened to.
    #[serde(default)]
    listened: BTreeMap<String, Window>,
    /// Something was beyond the limit.
    full: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    labels: Labels,
    first: Time,
    seen: Time,
    /// From when on silence counts: the last line, or when its publisher came back.
    heard: Time,
    endpoint: String,
    total: u64,
    /// The total when it became pending.
    before: u64,
    recent: Option<Window>,
    past: Option<Box<Past>>,
    lines: VecDeque<String>,
    phase: Phase,
    /// What was the case when the condition last held: its window may be empty when that is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    what: String,
    /// It is all that is beyond the limit.
    #[serde(default)]
    others: bool,
    /// Its pattern's number, to be known when it is told.
    #[serde(default)]
    pattern: Option<u64>,
    /// Whose lines count, for a count that is compared with its past.
    #[serde(default)]
    endpoints: BTreeSet<String>,
    /// The longest pause between two lines, of this day and of the one before.
    pauses: [u64; 2],
    day: Time,
}

/// The window and the past together, of the lines that are meant and of all; all of the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Past {
    meant: Window,
    all: Window,
    recent_all: Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
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

impl Engine {
    /// With what was known before, if it is of these rules. Time that nobody listened is not silence.
    pub(crate) fn new(rules: Vec<Rule>, mut saved: Saved, now: Time) -> Engine {
        let watch = |rule: Rule| {
            let state = saved.0.remove(&rule.alert).filter(|it| it.version == rule.version);
            let mut watch = Watch::new(rule, now);
            if let Some(state) = state {
                watch.state = state;
            }
            let groups = watch.state.groups.values_mut();
            groups.for_each(|group| group.heard = group.heard.max(now));
            watch
        };
        let watches = rules.into_iter().map(watch).collect();
        let (down, up) = (BTreeSet::new(), BTreeSet::new());
        Engine { watches, down, up, ticked: now, ages: Ages::default() }
    }

    /// Goes on with other rules: one that is still the same knows all it knew.
    pub(crate) fn take_over(&mut self, now: Time, rules: Vec<Rule>) {
        let mut old = std::mem::take(&mut self.watches);
        let watch = |rule: Rule| {
            let is_same =
                |it: &Watch| (&it.rule.alert, it.rule.version) == (&rule.alert, rule.version);
            match old.iter().position(is_same) {
                Some(at) => Watch { rule, ..old.swap_remove(at) },
                None => Watch::new(rule, now),
            }
        };
        self.watches = rules.into_iter().map(watch).collect();
        // new rules have to know of them, too; of who is there they hear with the next line or second
        for endpoint in self.down.clone() {
            self.connection(now, &endpoint, false);
        }
    }

    /// What is to be kept, as it is written.
    pub(crate) fn save(&self) -> impl Serialize + '_ {
        self.watches
            .iter()
            .map(|watch| (&watch.rule.alert, &watch.state))
            .collect::<BTreeMap<_, _>>()
    }

    /// A line came; how old it is by its own time, zero if it does not say.
    pub(crate) fn line(&mut self, now: Time, line: &Line<'_>, endpoint: &str, age: Span) {
        let host = line.host.unwrap_or_default();
        let seems_old = self.watches.iter().any(|watch| age > watch.rule.max_age);
        let age = if seems_old { self.ages.judge(now, host, age) } else { age };
        let mut is_old = false;
        for watch in &mut self.watches {
            is_old |= watch.line(now, line, endpoint, age) == Taken::TooOld;
        }
        if is_old {
            self.ages.too_old(host, age);
        }
    }

    /// Lines that did not count because of their age, or did though they are old: a sentence once in a while.
    pub(crate) fn old(&mut self, now: Time) -> Option<String> {
        self.ages.told(now)
    }

    /// A publisher is there, or is not.
    pub(crate) fn connection(&mut self, now: Time, endpoint: &str, is_there: bool) {
        let (to, from) = match is_there {
            true => (&mut self.up, &mut self.down),
            false => (&mut self.down, &mut self.up),
        };
        from.remove(endpoint);
        to.insert(endpoint.to_owned());
        for watch in &mut self.watches {
            match watch.rule.condition {
                Condition::Lost => {
                    watch.key = endpoint.to_owned();
                    let labels = [("endpoint", endpoint.to_owned())];
                    watch.group(now, &labels);
                }
                Condition::Silent { .. } if is_there => {
                    let groups = watch.state.groups.values_mut();
                    groups.filter(|it| it.endpoint == endpoint).for_each(|it| it.heard = now);
                }
                _ => {}
            }
        }
    }

    /// So many lines of a publisher did not come.
    pub(crate) fn missed(&mut self, now: Time, endpoint: &str, lines: u64) {
        for watch in &mut self.watches {
            if !matches!(watch.rule.condition, Condition::Missed { .. }) {
                continue;
            }
            watch.key = endpoint.to_owned();
            let group = watch.group(now, &[("endpoint", endpoint.to_owned())]);
            group.total = group.total.saturating_add(lines);
            if let Some(recent) = &mut group.recent {
                recent.add(now, u32::try_from(lines).unwrap_or(u32::MAX));
            }
        }
    }

    /// Time went on. The alerts that began to fire, and those that ended.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<Alert> {
        let mut changes = Vec::new();
        let passed = now.saturating_sub(self.ticked) / 1000;
        let step = u32::try_from(passed).unwrap_or(u32::MAX);
        for watch in &mut self.watches {
            watch.listen(now, &self.up, step);
            watch.tick(now, &self.down, &self.up, &mut changes);
        }
        // parts of a second count in the next call
        self.ticked += passed * 1000;
        changes
    }

    /// An alert that fires.
    pub(crate) fn alert(&self, id: &str) -> Option<Alert> {
        let (rule, key) = id.split_once(SEPARATOR)?;
        let watch = self.watches.iter().find(|watch| watch.rule.alert == rule)?;
        let group = watch.state.groups.get(key)?;
        match group.phase {
            Phase::Firing { since, .. } => Some(group.alert(&watch.rule, key, since, None)),
            _ => None,
        }
    }

    /// All that fire.
    pub(crate) fn firing(&self) -> Vec<Alert> {
        let mut ids = Vec::new();
        for watch in &self.watches {
            let groups = watch.state.groups.iter();
            let firing = groups.filter(|(_, it)| matches!(it.phase, Phase::Firing { .. }));
            ids.extend(firing.map(|(key, _)| format!("{}{SEPARATOR}{key}", watch.rule.alert)));
        }
        ids.iter().filter_map(|id| self.alert(id)).collect()
    }

    /// Rules whose limit was reached since the last call: a sentence each.
    pub(crate) fn full(&mut self) -> Vec<String> {
        let full = |watch: &mut Watch| {
            let is_new = watch.state.full && !watch.told_full;
            watch.told_full |= is_new;
            let (rule, limit) = (&watch.rule.alert, watch.rule.limit);
            is_new.then(|| match watch.rule.condition {
                Condition::Silent { .. } | Condition::Lost => {
                    format!("{rule}: over {limit} groups (limit); further ones are not watched")
                }
                _ => format!("{rule}: over {limit} groups (limit); further ones count as {OTHERS}"),
            })
        };
        self.watches.iter_mut().filter_map(full).collect()
    }
}

impl Saved {
    /// The clock was wrong by so much: it is earlier.
    pub(crate) fn earlier(&mut self, by: Span) {
        self.0.values_mut().for_each(|state| state.earlier(by));
    }
}

impl Alert {
    /// The clock was wrong by so much: it is earlier.
    pub(crate) fn earlier(&mut self, by: Span) {
        self.starts = self.starts.saturating_sub(by.0);
        self.ends = self.ends.map(|ends| ends.saturating_sub(by.0));
    }
}

impl State {
    fn new(rule: &Rule, now: Time) -> State {
        State { version: rule.version, began: now, ..State::default() }
    }

    fn learn(&mut self, pattern: u64) {
        if self.known.insert(pattern) && self.known.len() >= PATTERNS / 2 {
            self.known_before = std::mem::take(&mut self.known);
        }
    }

    fn knows(&mut self, pattern: u64) -> bool {
        let before = self.known_before.contains(&pattern);
        if before {
            self.learn(pattern);
        }
        before || self.known.contains(&pattern)
    }

    fn earlier(&mut self, by: Span) {
        let back = |time: &mut Time| *time = time.saturating_sub(by.0);
        back(&mut self.began);
        self.listened.values_mut().for_each(|window| window.earlier(by));
        for group in self.groups.values_mut() {
            for time in [&mut group.first, &mut group.seen, &mut group.heard, &mut group.day] {
                back(time);
            }
            match &mut group.phase {
                Phase::Quiet => {}
                Phase::Pending { since } => back(since),
                Phase::Firing { since, calm } => {
                    back(since);
                    calm.iter_mut().for_each(back);
                }
            }
            let past = group.past.iter_mut().flat_map(|it| {
                let Past { meant, all, recent_all } = &mut **it;
                [meant, all, recent_all]
            });
            group.recent.iter_mut().chain(past).for_each(|window| window.earlier(by));
        }
    }
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Done,
    TooOld,
}

impl Watch {
    fn new(rule: Rule, now: Time) -> Watch {
        let state = State::new(&rule, now);
        Watch { rule, state, key: String::new(), told_full: false }
    }

    fn line(&mut self, now: Time, line: &Line<'_>, endpoint: &str, age: Span) -> Taken {
        let (meant, labels) = match self.rule.fit(line, endpoint) {
            Fit::No => return Taken::Done,
            Fit::Rest(labels) => (false, labels),
            Fit::Yes(labels) => (true, labels),
        };
        let (is_old, is_silent) =
            (age > self.rule.max_age, matches!(self.rule.condition, Condition::Silent { .. }));
        if is_old && !is_silent {
            return Taken::TooOld;
        }
        let own = |value: String| if value == OTHERS { NOT_OTHERS.to_owned() } else { value };
        let mut labels: Vec<(String, String)> =
            labels.into_iter().map(|(name, value)| (name.to_owned(), own(value))).collect();
        let mut pattern = None;
        if let Condition::NewPattern { learn } = self.rule.condition {
            let kind = pattern::pattern(line.message);
            let number = pattern::number(line.program.unwrap_or_default(), &kind);
            if now < self.state.began.saturating_add(learn.0) {
                self.state.learn(number);
                return Taken::Done;
            }
            labels.push(("pattern".to_owned(), own(kind)));
            self.set_key(&labels);
            let is_told = |group: &Group| group.phase != Phase::Quiet;
            let is_over = !self.state.groups.get(&self.key).is_some_and(is_told);
            if self.state.knows(number) && is_over {
                return Taken::Done;
            }
            pattern = Some(number);
        } else {
            self.set_key(&labels);
        }
        if is_old {
            // a sign of life of who is known, and nobody new
            let Some(group) = self.state.groups.get_mut(&self.key) else { return Taken::TooOld };
            (group.seen, group.heard) = (now, now);
            return Taken::Done;
        }
        let borrowed: Vec<_> =
            labels.iter().map(|(name, it)| (name.as_str(), it.clone())).collect();
        let (kept, condition) = (self.rule.lines, self.rule.condition.clone());
        let group = self.group(now, &borrowed);
        group.pattern = pattern.filter(|_| !group.others);
        if let Condition::Silent { after, .. } = condition {
            group.pause(now, after);
        }
        (group.seen, group.heard) = (now, now);
        if group.endpoint != endpoint {
            group.endpoint = endpoint.to_owned();
        }
        if group.past.is_some() && !group.endpoints.contains(endpoint) {
            group.endpoints.insert(endpoint.to_owned());
        }
        if let Some(past) = &mut group.past {
            past.all.add(now, 1);
            past.recent_all.add(now, 1);
            if meant {
                past.meant.add(now, 1);
            }
        }
        if !meant {
            return Taken::Done;
        }
        group.total += 1;
        if let Some(recent) = &mut group.recent {
            recent.add(now, 1);
        }
        // what was the last line before the silence is worth one
        let kept = if matches!(condition, Condition::Silent { .. }) { kept.min(1) } else { kept };
        if kept > 0 {
            while group.lines.len() >= kept {
                group.lines.pop_front();
            }
            group.lines.push_back(clean(line.text, LINE));
        }
        Taken::Done
    }

    fn set_key(&mut self, labels: &[(String, String)]) {
        self.key.clear();
        for (index, (_, value)) in labels.iter().enumerate() {
            if index > 0 {
                self.key.push(SEPARATOR);
            }
            self.key.push_str(value);
        }
    }

    /// The group of the key, which may be new, or the one of all others.
    fn group(&mut self, now: Time, labels: &[(&str, String)]) -> &mut Group {
        let others = !self.state.groups.contains_key(&self.key)
            && self.state.groups.len() >= self.rule.limit;
        if others {
            self.state.full = true;
            self.key = OTHERS_KEY.to_owned();
        }
        let rule = &self.rule;
        self.state.groups.entry(self.key.clone()).or_insert_with(|| {
            let own = labels.iter().map(|(name, value)| {
                ((*name).to_owned(), if others { OTHERS.to_owned() } else { value.clone() })
            });
            let own = own.filter(|(_, value)| !value.is_empty()).collect();
            Group { others, ..Group::new(rule, now, own) }
        })
    }

    /// Is the past of a count told by the seconds that were listened to? Then how long they are kept.
    fn listens(&self) -> Option<Span> {
        match &self.rule.condition {
            Condition::Baseline { window, past, floor: None, .. } => Some(Span(window.0 + past.0)),
            _ => None,
        }
    }

    /// So many seconds more of the publishers that are there.
    fn listen(&mut self, now: Time, up: &BTreeSet<String>, seconds: u32) {
        let Some(length) = self.listens() else { return };
        let listened = &mut self.state.listened;
        for endpoint in up {
            let new = || Window::new(length, PAST);
            listened.entry(endpoint.clone()).or_insert_with(new).add(now, seconds);
        }
        listened.retain(|endpoint, window| up.contains(endpoint) || window.sum(now) > 0);
    }

    /// Seconds of the past that the publishers that are there were listened to, without the window.
    fn observed(&mut self, now: Time, up: &BTreeSet<String>) -> BTreeMap<String, u64> {
        let Condition::Baseline { window, .. } = &self.rule.condition else {
            return BTreeMap::new();
        };
        let there = self.state.listened.iter_mut().filter(|(endpoint, _)| up.contains(*endpoint));
        let seconds = |it: &mut Window| it.sum(now).saturating_sub(window.0 / 1000);
        there.map(|(endpoint, it)| (endpoint.clone(), seconds(it))).collect()
    }

    fn tick(
        &mut self,
        now: Time,
        down: &BTreeSet<String>,
        up: &BTreeSet<String>,
        changes: &mut Vec<Alert>,
    ) {
        let observed = self.observed(now, up);
        let (rule, mut told) = (&self.rule, Vec::new());
        self.state.groups.retain(|key, group| {
            let observed = group.observed(&observed);
            let standing = group.standing(now, rule, observed, down);
            // a former version kept no words; a silence grows also while its publisher is away
            let silent = matches!(rule.condition, Condition::Silent { .. });
            let is_old = group.what.is_empty() || (silent && standing == Standing::Between);
            if standing == Standing::Holds || (is_old && group.phase != Phase::Quiet) {
                group.what = group.what(now, rule, observed);
            }
            match (group.phase, standing) {
                (Phase::Quiet, Standing::Holds) => {
                    let recent = group.recent.as_mut().map_or(0, |it| it.sum(now));
                    group.before = group.total.saturating_sub(recent);
                    group.phase = Phase::Pending { since: now };
                }
                (Phase::Pending { .. }, Standing::Between | Standing::Calm) => {
                    group.phase = Phase::Quiet;
                }
                (Phase::Firing { since, calm }, standing) => {
                    let calm = match standing {
                        Standing::Calm => Some(calm.unwrap_or(now)),
                        _ => None,
                    };
                    group.phase = Phase::Firing { since, calm };
                }
                (Phase::Quiet | Phase::Pending { .. }, _) => {}
            }
            match group.phase {
                Phase::Pending { since } if now.saturating_sub(since) >= rule.hold.0 => {
                    group.phase = Phase::Firing { since: now, calm: None };
                    told.extend(group.pattern);
                    changes.push(group.alert(rule, key, now, None));
                }
                Phase::Firing { since, calm: Some(calm) }
                    if now.saturating_sub(calm) >= rule.keep_firing_for.0 =>
                {
                    changes.push(group.alert(rule, key, since, Some(now)));
                    group.phase = Phase::Quiet;
                    group.before = group.total;
                }
                _ => {}
            }
            group.phase != Phase::Quiet || !group.is_idle(now, rule)
        });
        told.into_iter().for_each(|pattern| self.state.learn(pattern));
    }
}

impl Group {
    fn new(rule: &Rule, now: Time, labels: Labels) -> Group {
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

    /// Seconds of the past in which all of its publishers that are there now were listened to.
    fn observed(&self, seconds: &BTreeMap<String, u64>) -> u64 {
        let own = self.endpoints.iter().filter_map(|endpoint| seconds.get(endpoint));
        own.min().copied().unwrap_or(0)
    }

    /// Learns how long it usually says nothing. A silence that was told of counts only so far: else the
    /// next one would hardly be seen.
    fn pause(&mut self, now: Time, after: Span) {
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
    fn is_idle(&mut self, now: Time, rule: &Rule) -> bool {
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

    fn alert(&self, rule: &Rule, key: &str, starts: Time, ends: Option<Time>) -> Alert {
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
