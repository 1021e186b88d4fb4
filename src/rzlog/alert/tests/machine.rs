//! The whole machine under whatever happens: lines, time, channels that are away, restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rzlog_client::Line;

use super::super::clock::Span;
use super::super::config::Config;
use super::super::core::{Core, Kept};
use super::super::outbox::Outcome;
use super::{START, config};

const CONFIG: &str = r#"
route = { group_by = ["alertname"], group_wait = "5s", group_interval = "20s", repeat_interval = "5m" }
[[receivers]]
name = "ops"
command = { arguments = ["true"] }
[[rules]]
alert = "Burst"
threshold = { count = 3, window = "30s", clear = 1 }
keep_firing_for = "10s"
[[rules]]
alert = "Silent"
silent = { after = "60s", forget = "1h" }
at_least = 3
[[inhibit_rules]]
source_match = { alertname = "Silent" }
target_match = { alertname = "Burst" }
equal = ["host"]
"#;

const MORE: &str = "[[rules]]\nalert = \"Any\"\nkeep_firing_for = \"20s\"\n";

#[derive(Debug, Clone)]
enum Step {
    Line(u8),
    Passes(u8),
    /// The channel takes notices, or it does not.
    Channel(bool),
    /// A kill; true: with an attempt that the channel took and nobody noted.
    Kill(bool),
    /// The files are read anew, with a rule more or less.
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8).prop_map(Step::Line),
        6 => (1..40u8).prop_map(Step::Passes),
        1 => any::<bool>().prop_map(Step::Channel),
        1 => any::<bool>().prop_map(Step::Kill),
        1 => Just(Step::Reload),
    ]
}

struct Model {
    config: Config,
    core: Core,
    now: u64,
    is_there: bool,
    /// What the receiver knows: the state of each alert.
    known: BTreeMap<String, bool>,
    /// Attempts it has seen.
    seen: BTreeSet<u64>,
    kills: usize,
    doubles: usize,
}

impl Model {
    fn line(&mut self, host: u8) {
        let text = format!("<13>Nov 24 10:00:00 web{host} app: x");
        self.core.engine.line(self.now, &Line::parse(None, text.as_bytes()), "tcp://a:1");
    }

    /// What the driver does each second.
    fn second(&mut self) {
        self.now += 1000;
        self.core.tick(self.now);
        self.attempt(true);
    }

    fn attempt(&mut self, noted: bool) {
        for attempt in self.core.outbox.due(self.now) {
            let outcome = if self.is_there {
                self.receives(attempt.id, &attempt);
                Outcome::Delivered
            } else {
                Outcome::Later { wait: None, why: "away".into() }
            };
            if noted {
                self.core.outbox.done(self.now, "ops", &attempt, outcome, Span::seconds(1));
            }
        }
    }

    fn receives(&mut self, id: u64, attempt: &super::super::outbox::Attempt) {
        if !self.seen.insert(id) {
            self.doubles += 1;
            return;
        }
        let mut news = false;
        for alert in &attempt.notification.alerts {
            let fires = alert.ends.is_none();
            let before = self.known.insert(alert.id.clone(), fires);
            assert!(fires || before == Some(true), "{} ended, and was never told", alert.id);
            news |= before.unwrap_or(false) != fires;
        }
        assert!(news || attempt.notification.repeat, "nothing new, and it is no repetition");
        assert_eq!(attempt.lost, 0);
    }

    /// From what was kept after the last second.
    fn kill(&mut self, in_flight: bool) {
        let kept = serde_json::to_string(&self.core.keep(self.now)).unwrap();
        if in_flight {
            self.attempt(false);
        }
        let kept: Kept = serde_json::from_str(&kept).unwrap();
        self.now += 3000;
        self.core = Core::new(&self.config, kept, self.now).unwrap();
        self.kills += 1;
    }

    fn reload(&mut self) {
        match self.config.rules.len() {
            2 => self.config.rules.push(config(MORE).rules.remove(0)),
            _ => drop(self.config.rules.pop()),
        }
        self.core.reload(&self.config, self.now).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nobody_is_told_nothing_and_everything_is_told(steps in prop::collection::vec(step(), 1..120)) {
        let config = config(CONFIG);
        let core = Core::new(&config, Kept::default(), START).unwrap();
        let mut model = Model {
            config,
            core,
            now: START,
            is_there: true,
            known: BTreeMap::new(),
            seen: BTreeSet::new(),
            kills: 0,
            doubles: 0,
        };
        for step in steps {
            match step {
                Step::Line(host) => model.line(host),
                Step::Passes(seconds) => (0..seconds).for_each(|_| model.second()),
                Step::Channel(is_there) => model.is_there = is_there,
                Step::Kill(in_flight) => model.kill(in_flight),
                Step::Reload => model.reload(),
            }
        }
        // the channel comes back, and the hosts say something now and then
        model.is_there = true;
        for _ in 0..60 {
            (0..3).for_each(|host| model.line(host));
            (0..30).for_each(|_| model.second());
        }
        let firing: BTreeSet<_> =
            model.core.engine.firing(model.now).into_iter().map(|alert| alert.id).collect();
        let known: BTreeSet<_> =
            model.known.iter().filter(|(_, fires)| **fires).map(|(id, _)| id.clone()).collect();
        prop_assert_eq!(known, firing);
        prop_assert_eq!(model.core.outbox.waiting().count(), 0);
        prop_assert!(model.doubles <= model.kills);
    }
}

#[test]
fn a_state_of_a_clock_that_was_wrong_does_not_stand_in_the_way() {
    let config = config(CONFIG);
    let mut core = Core::new(&config, Kept::default(), START).unwrap();
    let text = b"<13>Nov 24 10:00:00 web1 app: x";
    let burst = |core: &mut Core, now| {
        (0..3).for_each(|_| core.engine.line(now, &Line::parse(None, text), "tcp://a:1"));
        core.tick(now);
        core.tick(now + 5000);
    };
    burst(&mut core, START);
    let kept = serde_json::to_string(&core.keep(START)).unwrap();
    // ten years back
    let now = START - 315_360_000_000;
    let mut core = Core::new(&config, serde_json::from_str(&kept).unwrap(), now).unwrap();
    burst(&mut core, now);
    // what was to be told still is, and so is what is new
    assert_eq!(core.outbox.waiting().collect::<Vec<_>>(), [("ops", 2)]);
}
