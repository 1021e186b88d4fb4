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
[[rules]]
alert = "Loud"
threshold = { count = 6, window = "30s", clear = 1 }
keep_firing_for = "10s"
[[inhibit_rules]]
source_match = { alertname = "Loud" }
target_match = { alertname = "Burst" }
[[inhibit_rules]]
source_match = { alertname = "Silent" }
target_match = { alertname = "Burst" }
equal = ["host"]
"#;

const MORE: &str = "[[rules]]\nalert = \"Any\"\nkeep_firing_for = \"20s\"\n";

/// The second stays when the first goes.
const ROUTES: &str = r#"
route = { routes = [{ match = { host = "web0" } }, { match = { alertname = "Burst" }, group_by = ["host"] }] }
[[receivers]]
name = "ops"
command = { arguments = ["true"] }
"#;

#[derive(Debug, Clone)]
enum Step {
    Line(u8),
    Passes(u8),
    Channel(Way),
    /// A kill; true: with an attempt that the channel took and nobody noted.
    Kill(bool),
    /// The files are read anew, after an edit.
    Reload(Edit),
}

/// What a channel does with notices.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Takes,
    Away,
    /// It answers with errors.
    Fails,
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    /// A rule more, or less.
    Rule,
    /// The root's group_by.
    Groups,
    /// A route before the others, or not.
    Route,
}

impl Edit {
    fn apply(self, to: &mut Config) {
        let route = to.route.get_or_insert_with(Default::default);
        match self {
            Edit::Rule if to.rules.len() == 3 => to.rules.push(config(MORE).rules.remove(0)),
            Edit::Rule => drop(to.rules.pop()),
            Edit::Groups if route.group_by.as_ref().is_some_and(|by| by.len() == 1) => {
                route.group_by = Some(vec!["alertname".into(), "host".into()]);
            }
            Edit::Groups => route.group_by = Some(vec!["alertname".into()]),
            Edit::Route => {
                let more = config(ROUTES).route.unwrap_or_default().routes;
                match route.routes.len() {
                    count if count == more.len() => drop(route.routes.remove(0)),
                    _ => route.routes = more,
                }
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8).prop_map(Step::Line),
        6 => (1..40u8).prop_map(Step::Passes),
        1 => prop::sample::select(&[Way::Takes, Way::Away, Way::Fails][..]).prop_map(Step::Channel),
        1 => any::<bool>().prop_map(Step::Kill),
        1 => prop::sample::select(&[Edit::Rule, Edit::Groups, Edit::Route][..]).prop_map(Step::Reload),
    ]
}

struct Model {
    config: Config,
    core: Core,
    now: u64,
    way: Way,
    /// It has answered with errors: a newer notice may have an earlier one in it.
    failed: bool,
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
        self.core.engine.line(self.now, &Line::parse(None, text.as_bytes()), "tcp://a:1", Span(0));
    }

    /// What the driver does each second.
    fn second(&mut self) {
        self.now += 1000;
        self.core.tick(self.now);
        self.attempt(true);
    }

    fn attempt(&mut self, noted: bool) {
        for attempt in self.core.outbox.due(self.now) {
            let why = String::new();
            let outcome = match self.way {
                Way::Takes => {
                    self.receives(attempt.id, &attempt);
                    Outcome::Delivered
                }
                Way::Away => Outcome::Later { wait: None, why },
                Way::Fails => {
                    self.failed = true;
                    Outcome::Failed { wait: None, unsure: false, of_text: false, why }
                }
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
            let joined = self.failed;
            assert!(
                fires || joined || before == Some(true),
                "{} ended, and was never told",
                alert.id
            );
            news |= before.unwrap_or(false) != fires;
        }
        assert!(
            news || self.failed || attempt.notification.repeat,
            "nothing new, and it is no repetition"
        );
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

    /// The receiver knows just what fires.
    fn all_is_told(&mut self) -> bool {
        let firing = self.core.engine.firing().into_iter().map(|alert| alert.id);
        let known = self.known.iter().filter(|(_, fires)| **fires).map(|(id, _)| id.clone());
        self.core.outbox.waiting().count() == 0
            && firing.collect::<BTreeSet<_>>() == known.collect::<BTreeSet<_>>()
    }

    fn reload(&mut self, edit: Edit) {
        edit.apply(&mut self.config);
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
            way: Way::Takes,
            failed: false,
            known: BTreeMap::new(),
            seen: BTreeSet::new(),
            kills: 0,
            doubles: 0,
        };
        for step in steps {
            match step {
                Step::Line(host) => model.line(host),
                Step::Passes(seconds) => (0..seconds).for_each(|_| model.second()),
                Step::Channel(way) => model.way = way,
                Step::Kill(in_flight) => model.kill(in_flight),
                Step::Reload(edit) => model.reload(edit),
            }
        }
        // the channel comes back, and the hosts say something now and then
        model.way = Way::Takes;
        for _ in 0..60 {
            (0..3).for_each(|host| model.line(host));
            (0..30).for_each(|_| model.second());
        }
        // a group's interval, and a second for each notice
        let settled = (0..30).any(|_| model.all_is_told() || { model.second(); false });
        prop_assert!(settled, "known: {:?}", model.known);
        prop_assert!(model.doubles <= model.kills);
    }
}

#[test]
fn a_state_of_a_clock_that_was_wrong_is_taken_for_that_much_earlier() {
    let config = config(CONFIG);
    let mut core = Core::new(&config, Kept::default(), START).unwrap();
    let text = b"<13>Nov 24 10:00:00 web1 app: x";
    let line = |core: &mut Core, now| {
        core.engine.line(now, &Line::parse(None, text), "tcp://a:1", Span(0));
    };
    (0..3).for_each(|_| line(&mut core, START));
    core.tick(START);
    core.tick(START + 5000);
    assert_eq!(core.outbox.due(START + 5000).len(), 1);
    let kept = serde_json::to_string(&core.keep(START + 5000)).unwrap();
    for (back, told) in [(0, None), (2000, None), (315_360_000_000, Some("10 years"))] {
        let now = START + 5000 - back;
        let mut kept: Kept = serde_json::from_str(&kept).unwrap();
        let sentence = kept.fit_clock(now);
        assert_eq!(sentence.is_some(), told.is_some(), "{sentence:?}");
        let mut core = Core::new(&config, kept, now).unwrap();
        let firing = core.engine.firing();
        assert_eq!((firing.len(), firing[0].starts), (1, now - 5000));
        // a line more within the window that began before, and it goes on; then it ends, and that is told
        core.tick(now + 20_000);
        line(&mut core, now + 20_000);
        line(&mut core, now + 20_000);
        let mut ended = 0;
        for second in 20..120 {
            let now = now + second * 1000;
            core.tick(now);
            for attempt in core.outbox.due(now) {
                ended += attempt.notification.alerts.iter().filter(|it| it.ends.is_some()).count();
                core.outbox.done(now, "ops", &attempt, Outcome::Delivered, Span(0));
            }
        }
        assert_eq!(ended, 1);
    }
}

/// What the receiver is told within these seconds: how many alerts fire, and how many have ended.
fn told(core: &mut Core, seconds: std::ops::Range<u64>) -> Vec<(usize, usize)> {
    let mut told = Vec::new();
    for now in seconds.map(|second| START + second * 1000) {
        core.tick(now);
        for attempt in core.outbox.due(now) {
            let alerts = &attempt.notification.alerts;
            let fire = alerts.iter().filter(|alert| alert.ends.is_none()).count();
            told.push((fire, alerts.len() - fire));
            core.outbox.done(now, "ops", &attempt, Outcome::Delivered, Span::seconds(1));
        }
    }
    told
}

#[test]
fn an_alert_is_told_once_and_ends_although_the_routes_were_edited_in_between() {
    for edit in [Edit::Groups, Edit::Route] {
        for restarts in [false, true] {
            let mut config = config(CONFIG);
            config.rules.truncate(1);
            let mut core = Core::new(&config, Kept::default(), START).unwrap();
            let text = b"<13>Nov 24 10:00:00 web1 app: x";
            let line = Line::parse(None, text);
            (0..3).for_each(|_| core.engine.line(START, &line, "tcp://a:1", Span(0)));
            assert_eq!(told(&mut core, 0..8), [(1, 0)]);
            edit.apply(&mut config);
            let now = START + 8000;
            if restarts {
                let kept = serde_json::to_string(&core.keep(now)).unwrap();
                core = Core::new(&config, serde_json::from_str(&kept).unwrap(), now).unwrap();
            } else {
                core.reload(&config, now).unwrap();
            }
            // for longer than it takes until all is repeated
            assert_eq!(told(&mut core, 8..1200), [(0, 1)], "{edit:?}, restarts: {restarts}");
        }
    }
}
