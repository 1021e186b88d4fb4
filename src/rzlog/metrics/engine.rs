//! Applies rules to lines.
//!
//! Most lines are of no interest to most rules, and these must cost little. Which rules are for a host and a
//! program is decided once for each pair and kept. Of these, each is asked where they are few: an expression
//! that begins at the line's beginning, or has a word in it, says no at once. Where they are many, one made
//! of all says which to ask.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use regex::bytes::{CaptureLocations, RegexSet, RegexSetBuilder};
use rzlog_client::Line;
use serde_json::Value;

use super::fields::{Fields, number};
use super::rules::{Count, Rule, Rules};
use super::tally::{END, Tally};

/// Hosts and programs that are kept; then it is begun anew.
const PAIRS: usize = 4096;
/// Rules from which on one expression made of all is worth it: it costs as much as asking so many.
const MANY: usize = 8;
/// A label's value is not longer, in bytes.
const LONGEST_VALUE: usize = 128;

pub(super) struct Engine {
    rules: Vec<Rule>,
    /// Of each rule's expression.
    locations: Vec<Option<CaptureLocations>>,
    /// By host and program; with one entry alone if no rule asks for these.
    groups: HashMap<Vec<u8>, Rc<Group>>,
    chooses: bool,
    pair: Vec<u8>,
    key: Vec<u8>,
}

/// The rules for a host and a program.
struct Group {
    /// Their places.
    rules: Vec<usize>,
    /// Which of them have a chance; without it, all have.
    set: Option<RegexSet>,
}

/// A line's JSON, looked at when it is first asked for.
enum Json {
    Unread,
    None,
    Broken,
    Value(Value),
}

impl Json {
    fn read(&mut self, line: &Line<'_>) -> &Json {
        if matches!(self, Json::Unread) {
            *self = match line.json().map(serde_json::from_slice) {
                None => Json::None,
                Some(Ok(value @ Value::Object(_))) => Json::Value(value),
                Some(_) => Json::Broken,
            };
        }
        self
    }
}

impl Engine {
    pub(super) fn new(rules: Rules) -> Engine {
        let rules = rules.rules;
        let locations = |rule: &Rule| rule.regex.as_ref().map(regex::bytes::Regex::capture_locations);
        Engine {
            locations: rules.iter().map(locations).collect(),
            groups: HashMap::new(),
            chooses: rules.iter().any(|rule| rule.host.is_some() || rule.program.is_some()),
            rules,
            pair: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Counts a line; whether a rule matched.
    pub(super) fn count(
        &mut self,
        line: &Line<'_>,
        endpoint: &str,
        now: Duration,
        tally: &mut Tally,
    ) -> bool {
        let group = self.group(line);
        let mut json = Json::Unread;
        let mut any = false;
        match &group.set {
            Some(set) => {
                for place in &set.matches(line.message) {
                    let Some(rule) = group.rules.get(place) else { continue };
                    any |= self.apply(*rule, line, endpoint, now, &mut json, tally);
                }
            }
            None => {
                for rule in &group.rules {
                    any |= self.apply(*rule, line, endpoint, now, &mut json, tally);
                }
            }
        }
        if !any {
            tally.unmatched += 1;
        }
        any
    }

    fn group(&mut self, line: &Line<'_>) -> Rc<Group> {
        self.pair.clear();
        if self.chooses {
            self.pair.extend_from_slice(line.host.unwrap_or_default());
            // neither name has a blank in it
            self.pair.push(b' ');
            self.pair.extend_from_slice(line.program.unwrap_or_default());
        }
        if let Some(group) = self.groups.get(&self.pair) {
            return Rc::clone(group);
        }
        if self.groups.len() >= PAIRS {
            self.groups.clear();
        }
        let fits = |pattern: &Option<regex::bytes::Regex>, name: Option<&[u8]>| {
            pattern.as_ref().is_none_or(|it| it.is_match(name.unwrap_or_default()))
        };
        let meant = |rule: &Rule| fits(&rule.host, line.host) && fits(&rule.program, line.program);
        let rules: Vec<_> = (0..self.rules.len()).filter(|at| meant(&self.rules[*at])).collect();
        // pairs for which the rules are the same share what was made of them
        let known = self.groups.values().find(|group| group.rules == rules).map(Rc::clone);
        let group = known.unwrap_or_else(|| Rc::new(Group { set: self.set(&rules), rules }));
        self.groups.insert(self.pair.clone(), Rc::clone(&group));
        group
    }

    fn set(&self, rules: &[usize]) -> Option<RegexSet> {
        if rules.len() < MANY {
            return None;
        }
        // one without an expression always has a chance
        let patterns =
            rules.iter().map(|at| self.rules[*at].regex.as_ref().map_or("", |regex| regex.as_str()));
        // each was built before; all together may be too large, and then each is asked
        RegexSetBuilder::new(patterns).unicode(false).build().ok()
    }

    fn apply(
        &mut self,
        at: usize,
        line: &Line<'_>,
        endpoint: &str,
        now: Duration,
        json: &mut Json,
        tally: &mut Tally,
    ) -> bool {
        let (rule, locations) = (&self.rules[at], &mut self.locations[at]);
        if let (Some(regex), Some(locations)) = (&rule.regex, locations.as_mut()) {
            if regex.captures_read(locations, line.message).is_none() {
                return false;
            }
        }
        let json = match rule.json.then(|| json.read(line)) {
            None => None,
            Some(Json::Value(value)) => Some(value),
            Some(Json::Broken) => {
                tally.rules[at].1.broken += 1;
                return false;
            }
            Some(Json::None | Json::Unread) => return false,
        };
        let fields = Fields { line, endpoint, json, captures: locations.as_ref() };
        let holds = |(source, regex): &(_, regex::bytes::Regex)| {
            fields.find(source).is_some_and(|text| regex.is_match(&text))
        };
        if !rule.conditions.iter().all(holds) {
            return false;
        }
        tally.rules[at].1.matched += 1;
        for count in &rule.counts {
            add(count, &fields, now, &mut self.key, tally);
        }
        true
    }
}

fn add(count: &Count, fields: &Fields<'_>, now: Duration, key: &mut Vec<u8>, tally: &mut Tally) {
    let value = match &count.value {
        None => 1.0,
        Some(source) => {
            let found = fields.find(source);
            let metric = &mut tally.metrics[count.metric];
            match found.as_deref().map(number) {
                Some(Some(number)) => number,
                Some(None) => return metric.broken += 1,
                None => return metric.missing += 1,
            }
        }
    };
    key.clear();
    for label in &count.labels {
        if let Some(text) = fields.find(label) {
            push_value(&text, key);
        }
        key.push(END);
    }
    tally.count(count.metric, key, value * count.scale, now);
}

/// As text, and not too long.
fn push_value(text: &[u8], key: &mut Vec<u8>) {
    let start = key.len();
    let text = &text[..text.len().min(LONGEST_VALUE)];
    for chunk in text.utf8_chunks() {
        key.extend_from_slice(chunk.valid().as_bytes());
        // half a sign at the end is the cut's
        if !chunk.invalid().is_empty() && key.len() - start + 3 <= LONGEST_VALUE {
            key.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}
