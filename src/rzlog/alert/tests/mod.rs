//! The pure machine, tried with times that are made up: what each kind of rule finds, who is told when,
//! and what holds whatever happens.

mod engine;
mod machine;
mod outbox;
mod route;
mod text;

use rzlog_client::Line;

use super::clock::Span;
use super::config::Config;
use super::engine::{Alert, Engine, Saved};
use super::rule::Rule;

/// Some day, in milliseconds.
pub(super) const START: u64 = 1_800_000_000_000;

pub(super) fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

/// An engine with a clock.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: u64,
    /// `FIRING labels` or `RESOLVED labels`, as they came.
    pub(super) changes: Vec<String>,
    rule: String,
}

impl Bench {
    pub(super) fn new(rule: &str) -> Bench {
        let mut bench = Bench {
            engine: Engine::new(Vec::new(), Saved::default(), START),
            now: START,
            changes: Vec::new(),
            rule: format!("[[rules]]\nalert = \"A\"\n{rule}"),
        };
        bench.engine = bench.with(Saved::default());
        bench
    }

    fn rules(&self) -> Vec<Rule> {
        config(&self.rule).rules.iter().map(|rule| Rule::new(rule).unwrap()).collect()
    }

    fn with(&self, saved: Saved) -> Engine {
        let mut engine = Engine::new(self.rules(), saved, self.now);
        engine.connection(self.now, "tcp://a:1", true);
        engine
    }

    /// Other rules from now on.
    pub(super) fn edit(&mut self, from: &str, to: &str) {
        assert!(self.rule.contains(from));
        self.rule = self.rule.replace(from, to);
        self.engine.take_over(self.now, self.rules());
    }

    /// The rules are read anew, with more of them.
    pub(super) fn reload(&mut self, more: &str) {
        self.rule.push_str(more);
        self.engine.take_over(self.now, self.rules());
    }

    /// A restart, after a time in which nobody listened.
    pub(super) fn restart(&mut self, away: u64) {
        self.restart_from(away, |saved| saved);
    }

    /// The same, with a state that was changed meanwhile.
    pub(super) fn restart_from(&mut self, away: u64, edit: impl Fn(String) -> String) {
        let saved = edit(serde_json::to_string(&self.engine.save()).unwrap());
        self.now += away * 1000;
        self.engine = self.with(serde_json::from_str(&saved).unwrap());
    }

    /// Lines of a host, one after the other at this moment.
    pub(super) fn says(&mut self, host: &str, severity: u8, text: &str, times: usize) {
        let text = format!("<{severity}>Nov 24 10:00:00 {host} app: {text}");
        for _ in 0..times {
            self.engine.line(self.now, &Line::parse(None, text.as_bytes()), "tcp://a:1", Span(0));
        }
    }

    /// A line of another publisher, or of another time.
    pub(super) fn hears(&mut self, endpoint: &str, age: Span, host: &str, text: &str) {
        let text = format!("<14>Nov 24 10:00:00 {host} app: {text}");
        self.engine.line(self.now, &Line::parse(None, text.as_bytes()), endpoint, age);
    }

    /// Lets seconds pass.
    pub(super) fn passes(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1000;
            for alert in self.engine.tick(self.now) {
                self.changes.push(shown(&alert));
            }
        }
    }

    /// What changed since the last call.
    pub(super) fn changed(&mut self) -> String {
        std::mem::take(&mut self.changes).join("; ")
    }
}

pub(super) fn shown(alert: &Alert) -> String {
    let own = alert.labels.iter().filter(|(label, _)| *label != "alertname");
    let labels: Vec<_> = own.map(|(label, value)| format!("{label}={value}")).collect();
    let status = if alert.ends.is_some() { "RESOLVED" } else { "FIRING" };
    format!("{status} {}", labels.join(" "))
}
