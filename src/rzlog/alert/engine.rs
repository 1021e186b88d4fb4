//! The rules at work: lines, connections and the time go in, alerts come out. Touches no clock, file or
//! socket.
//! Each rule has groups (group.rs), by the values of its labels. They are bounded by the rule's limit: further
//! ones are one group, `(others)`. Their lines count together; silence cannot, so that there are others is told.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rzlog_client::Line;
use serde::{Deserialize, Serialize};

use super::age::Ages;
use super::clock::{Span, Time};
pub(crate) use super::group::Alert;
use super::group::{Group, PAST, Phase, SEPARATOR};
use super::pattern;
use super::rule::{Condition, Fit, Rule};
use super::text::clean;
use super::window::Window;

/// The longest line that is kept, in characters.
const LINE: usize = 400;
/// Patterns that a rule knows; beyond that, those that were not seen for longest are forgotten.
const PATTERNS: usize = 50_000;
/// The label of what is beyond a rule's limit; its key, which no values have: controls in them are made visible;
/// and what a label becomes that is called so.
const OTHERS: &str = "(others)";
const OTHERS_KEY: &str = "\u{1e}";
const NOT_OTHERS: &str = "\\x28others)";

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
        self.groups.values_mut().for_each(|group| group.earlier(by));
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
            let mut group = Group::new(rule, now, own);
            group.others = others;
            group
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
            let change = group.tick(now, rule, key, &observed, down);
            if change.as_ref().is_some_and(|alert| alert.ends.is_none()) {
                told.extend(group.pattern);
            }
            changes.extend(change);
            group.phase != Phase::Quiet || !group.is_idle(now, rule)
        });
        told.into_iter().for_each(|pattern| self.state.learn(pattern));
    }
}
