//! Who is told what and when: alerts go in, notifications come out. Alertmanager's model, with its words
//! and times: a route's alerts are grouped, a new group waits group_wait for more of its kind, then
//! group_interval passes between two notices of it, and what still fires is repeated after
//! repeat_interval. What resolves before it was told is never told. Touches no clock.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::clock::{Span, Time};
use super::config::{self, Config, Labels};
use super::engine::Alert;
use super::rule::Matcher;
use crate::error::Error;

/// Alerts of one notice that bring their lines; further ones come without.
const WITH_LINES: usize = 20;
/// An Alertmanager does the grouping itself, and takes an alert for resolved that is not repeated.
const AT_ONCE: Timing =
    Timing { wait: Span(0), interval: Span::seconds(1), repeat: Span::minutes(1) };

/// What a receiver is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notification {
    pub(crate) receiver: String,
    /// The group: receiver, route and labels.
    pub(crate) group: String,
    pub(crate) group_labels: Labels,
    /// Those that fire first, then those that ended.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) at: Time,
    /// Nothing is new, it is said again.
    pub(crate) repeat: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timing {
    wait: Span,
    interval: Span,
    repeat: Span,
}

#[derive(Debug)]
struct Route {
    number: usize,
    matcher: Matcher,
    continues: bool,
    receiver: String,
    by: Vec<String>,
    timing: Timing,
    send_resolved: bool,
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Inhibit {
    source: Matcher,
    target: Matcher,
    equal: Vec<String>,
}

pub(crate) struct Dispatcher {
    root: Route,
    inhibits: Vec<Inhibit>,
    state: State,
}

/// What was told, to be kept over a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// All that fire, told or not.
    firing: BTreeMap<String, Labels>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Group {
    receiver: String,
    labels: Labels,
    alerts: BTreeMap<String, Alert>,
    next: Time,
    /// When it was last told, and which the receiver takes for firing since.
    told: Option<(Time, BTreeSet<String>)>,
}

impl Dispatcher {
    pub(crate) fn new(config: &Config, state: State) -> Result<Dispatcher, Error> {
        let route = config.route.clone().unwrap_or_default();
        let only = match config.receivers.as_slice() {
            [one] => Some(one.name.clone()),
            _ => None,
        };
        let by = vec!["alertname".to_owned()];
        let timing = Timing {
            wait: Span::seconds(30),
            interval: Span::minutes(5),
            repeat: Span::minutes(240),
        };
        if !route.r#match.is_empty() {
            return Err(Error::Usage(
                "[route]: it has no match, because it is for all; its routes have".into(),
            ));
        }
        let mut number = 0;
        let root = Route::new(&route, only.as_deref(), &by, timing, config, &mut number)?;
        let inhibit = |it: &config::Inhibit| {
            Ok(Inhibit {
                source: Matcher::new(&it.source_match)?,
                target: Matcher::new(&it.target_match)?,
                equal: it.equal.clone(),
            })
        };
        let inhibits = config.inhibit_rules.iter().map(inhibit).collect::<Result<_, Error>>()?;
        Ok(Dispatcher { root, inhibits, state })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Goes on where another one was.
    pub(crate) fn take_over(&mut self, other: Dispatcher) {
        self.state = other.state;
    }

    /// An alert began to fire, or ended.
    pub(crate) fn take(&mut self, now: Time, alert: &Alert) {
        if alert.ends.is_some() {
            self.state.firing.remove(&alert.id);
        } else {
            self.state.firing.insert(alert.id.clone(), alert.labels.clone());
        }
        for (route, labels, key) in self.root.places(&alert.labels) {
            let groups = &mut self.state.groups;
            if alert.ends.is_some() && !groups.contains_key(&key) {
                continue;
            }
            let group = groups.entry(key).or_insert_with(|| Group {
                receiver: route.receiver.clone(),
                labels,
                alerts: BTreeMap::new(),
                next: now + route.timing.wait.0,
                told: None,
            });
            group.alerts.insert(alert.id.clone(), alert.clone());
        }
    }

    /// Alerts that fire no more although nobody said so: their rules are gone or were changed.
    pub(crate) fn end_all_but(&mut self, now: Time, fires: &mut dyn FnMut(&str) -> bool) {
        self.state.firing.retain(|id, _| fires(id));
        for alert in self.state.groups.values_mut().flat_map(|group| group.alerts.values_mut()) {
            if alert.ends.is_none() && !fires(&alert.id) {
                alert.ends = Some(now);
            }
        }
    }

    /// Alerts that other routes, or other groups of the same, are for now go there, with what their receiver
    /// was told of them. One that has another receiver now leaves its group; who fires is to be taken anew.
    pub(crate) fn fit(&mut self) {
        let mut leaving = Vec::new();
        for (key, mut group) in std::mem::take(&mut self.state.groups) {
            let here = |alert: &Alert| {
                self.root.places(&alert.labels).iter().any(|(.., place)| *place == key)
            };
            let alerts = std::mem::take(&mut group.alerts);
            let (stay, leave) = alerts.into_iter().partition(|(_, alert)| here(alert));
            group.alerts = stay;
            let told = group.told.clone();
            leaving.push((group.receiver.clone(), group.next, told, leave));
            group.forget_others();
            if !group.alerts.is_empty() {
                self.state.groups.insert(key, group);
            }
        }
        for (receiver, next, told, alerts) in leaving {
            for (id, alert) in alerts {
                let told =
                    told.as_ref().filter(|(_, known)| known.contains(&id)).map(|(at, _)| *at);
                let places = self.root.places(&alert.labels);
                for (_, labels, key) in
                    places.into_iter().filter(|(it, ..)| it.receiver == receiver)
                {
                    let group = self.state.groups.entry(key).or_insert_with(|| Group {
                        receiver: receiver.clone(),
                        labels,
                        alerts: BTreeMap::new(),
                        next,
                        told: None,
                    });
                    group.alerts.entry(id.clone()).or_insert_with(|| alert.clone());
                    if let Some(at) = told {
                        let (first, known) =
                            group.told.get_or_insert_with(|| (at, BTreeSet::new()));
                        // of several groups that became one, none waits longer for its repetition
                        *first = at.min(*first);
                        known.insert(id.clone());
                    }
                }
            }
        }
    }

    /// Time went on; `current` knows a firing alert as it is now.
    pub(crate) fn tick(
        &mut self,
        now: Time,
        current: &mut dyn FnMut(&str) -> Option<Alert>,
    ) -> Vec<Notification> {
        let (mut notifications, state) = (Vec::new(), &mut self.state);
        if state.groups.values().all(|group| now < group.next) {
            return notifications;
        }
        let firing = &state.firing;
        // looked for once: there may be many of both
        let sources =
            |it: &Inhibit| firing.iter().filter(|(_, labels)| it.source.fits(labels)).collect();
        let inhibits: Vec<(&Inhibit, Vec<_>)> =
            self.inhibits.iter().map(|it| (it, sources(it))).collect();
        let muted = |alert: &Alert| inhibits.iter().any(|(it, sources)| it.mutes(alert, sources));
        let root = &self.root;
        state.groups.retain(|key, group| {
            if now < group.next {
                return true;
            }
            // there is one for each group since `fit`
            let Some(route) = root.of_key(key) else { return false };
            for alert in group.alerts.values_mut().filter(|alert| alert.ends.is_none()) {
                if let Some(newer) = current(&alert.id) {
                    *alert = newer;
                }
            }
            notifications.extend(group.flush(now, key, route, &muted));
            group.next = now + route.timing.interval.0;
            !group.alerts.is_empty()
        });
        notifications
    }

    /// Somebody does not know yet of an alert that began or ended.
    pub(crate) fn has_untold(&self) -> bool {
        self.state.groups.values().any(|group| {
            let told = |id| group.told.as_ref().is_some_and(|(_, firing)| firing.contains(id));
            group.alerts.values().any(|alert| told(&alert.id) == alert.ends.is_some())
        })
    }

    /// When something is to be done next.
    pub(crate) fn next(&self) -> Option<Time> {
        self.state.groups.values().map(|group| group.next).min()
    }
}

impl State {
    /// The clock was wrong by so much: it is earlier.
    pub(crate) fn earlier(&mut self, by: Span) {
        for group in self.groups.values_mut() {
            group.next = group.next.saturating_sub(by.0);
            group.alerts.values_mut().for_each(|alert| alert.earlier(by));
            if let Some((at, _)) = &mut group.told {
                *at = at.saturating_sub(by.0);
            }
        }
    }
}

impl Group {
    fn flush(
        &mut self,
        now: Time,
        key: &str,
        route: &Route,
        muted: &dyn Fn(&Alert) -> bool,
    ) -> Option<Notification> {
        let known = |id: &String| self.told.as_ref().is_some_and(|(_, firing)| firing.contains(id));
        let firing: Vec<&Alert> =
            self.alerts.values().filter(|it| it.ends.is_none() && !muted(it)).collect();
        let ended: Vec<&Alert> =
            self.alerts.values().filter(|it| it.ends.is_some() && known(&it.id)).collect();
        let is_new = firing.iter().any(|alert| !known(&alert.id));
        let has_ended = route.send_resolved && !ended.is_empty();
        let again = self.told.as_ref().is_some_and(|(at, _)| now >= *at + route.timing.repeat.0);
        let repeat = !is_new && !has_ended;
        let mut notification = None;
        if is_new || has_ended || (again && !firing.is_empty()) {
            let ended = if route.send_resolved { ended } else { Vec::new() };
            let mut alerts: Vec<Alert> = firing.iter().copied().chain(ended).cloned().collect();
            alerts.iter_mut().skip(WITH_LINES).for_each(|alert| alert.lines.clear());
            notification = Some(Notification {
                receiver: self.receiver.clone(),
                group: key.to_owned(),
                group_labels: self.labels.clone(),
                alerts,
                at: now,
                repeat,
            });
            let mut told: BTreeSet<_> = firing.iter().map(|alert| alert.id.clone()).collect();
            // who was told of one that is muted now has to be told of its end
            let muted = self.alerts.values().filter(|it| it.ends.is_none() && known(&it.id));
            told.extend(muted.map(|alert| alert.id.clone()));
            self.told = Some((now, told));
        }
        self.alerts.retain(|_, alert| alert.ends.is_none());
        self.forget_others();
        notification
    }

    /// Of alerts that are not here any more nothing is known.
    fn forget_others(&mut self) {
        if let Some((_, told)) = &mut self.told {
            told.retain(|id| self.alerts.contains_key(id));
        }
    }
}

impl Inhibit {
    fn mutes(&self, alert: &Alert, sources: &[(&String, &Labels)]) -> bool {
        // what is a source itself is not muted by its like
        let is_source = self.source.fits(&alert.labels);
        self.target.fits(&alert.labels)
            && sources.iter().any(|(id, source)| {
                **id != alert.id
                    && self.equal.iter().all(|label| alert.labels.get(label) == source.get(label))
                    && !(is_source && self.target.fits(source))
            })
    }
}

impl Route {
    fn new(
        text: &config::Route,
        receiver: Option<&str>,
        by: &[String],
        timing: Timing,
        config: &Config,
        number: &mut usize,
    ) -> Result<Route, Error> {
        let receiver = text.receiver.as_deref().or(receiver).ok_or_else(|| {
            Error::Usage(match config.receivers.len() {
                0 => "there is no receiver in these files: write [[receivers]]".into(),
                _ => "[route]: receiver is missing; there is more than one".to_owned(),
            })
        })?;
        let found = config.receivers.iter().find(|it| it.name == receiver);
        let Some(found) = found else {
            return Err(Error::Usage(format!("route: there is no receiver \"{receiver}\"")));
        };
        let by = text.group_by.as_deref().unwrap_or(by);
        let timing = Timing {
            wait: text.group_wait.unwrap_or(timing.wait),
            interval: text.group_interval.unwrap_or(timing.interval),
            repeat: text.repeat_interval.unwrap_or(timing.repeat),
        };
        if timing.interval < Span::seconds(1) || timing.repeat < timing.interval {
            return Err(Error::Usage(
                "route: group_interval is 1s or more, repeat_interval not less than it".into(),
            ));
        }
        let own = *number;
        *number += 1;
        let route = |it: &config::Route| Route::new(it, Some(receiver), by, timing, config, number);
        let routes = text.routes.iter().map(route).collect::<Result<_, _>>()?;
        Ok(Route {
            number: own,
            matcher: Matcher::new(&text.r#match)?,
            continues: text.r#continue,
            receiver: receiver.to_owned(),
            by: by.to_vec(),
            timing: if Channel::groups_itself(found) { AT_ONCE } else { timing },
            send_resolved: found.send_resolved,
            routes,
        })
    }

    /// The routes of an alert: of each branch that fits, the deepest; the first branch alone unless it
    /// continues.
    fn find<'a>(&'a self, labels: &Labels, found: &mut Vec<&'a Route>) -> bool {
        if !self.matcher.fits(labels) {
            return false;
        }
        let mut deeper = false;
        for route in &self.routes {
            if route.find(labels, found) {
                deeper = true;
                if !route.continues {
                    break;
                }
            }
        }
        if !deeper {
            found.push(self);
        }
        true
    }

    /// The groups that an alert belongs to, by route, labels and key.
    fn places<'a>(&'a self, labels: &Labels) -> Vec<(&'a Route, Labels, String)> {
        let mut routes = Vec::new();
        self.find(labels, &mut routes);
        let place = |route: &'a Route| {
            let labels = route.group_labels(labels);
            let key = route.key(&labels);
            (route, labels, key)
        };
        routes.into_iter().map(place).collect()
    }

    fn group_labels(&self, labels: &Labels) -> Labels {
        let all = self.by.iter().any(|label| label == "...");
        let own = labels.iter().filter(|(label, _)| all || self.by.contains(label));
        own.map(|(label, value)| (label.clone(), value.clone())).collect()
    }

    fn key(&self, labels: &Labels) -> String {
        let mut key = format!("{}/{}", self.number, self.receiver);
        for (label, value) in labels {
            key.push_str(&format!("\u{1f}{label}={value}"));
        }
        key
    }

    fn of_key(&self, key: &str) -> Option<&Route> {
        let head = key.split('\u{1f}').next().unwrap_or_default();
        if head == format!("{}/{}", self.number, self.receiver) {
            return Some(self);
        }
        self.routes.iter().find_map(|route| route.of_key(key))
    }
}
