//! Rules, groups and what is still to be told, as one machine: lines and the time go in, attempts come out.
//! Pure; the driver (live.rs) and the dry run (dry.rs) feed it.

use serde::{Deserialize, Serialize};

use super::clock::{Span, Time};
use super::config::Config;
use super::engine::{Engine, Saved};
use super::outbox::Outbox;
use super::route::{self, Dispatcher};
use super::rule::Rule;
use crate::error::Error;

pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) outbox: Outbox,
}

/// What is kept over a restart.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Kept {
    version: u32,
    at: Time,
    rules: Saved,
    told: route::State,
    outbox: Outbox,
}

/// The same, borrowed.
#[derive(Serialize)]
struct Keep<'a, S> {
    version: u32,
    at: Time,
    rules: S,
    told: &'a route::State,
    outbox: &'a Outbox,
}

/// Of the state file.
const VERSION: u32 = 1;
/// A clock that is wrong by more is worth a word.
const WRONG: Span = Span::minutes(1);

impl Kept {
    /// Another version's, whose words may mean something else.
    pub(crate) fn is_foreign(&self) -> bool {
        self.version != VERSION
    }

    /// It cannot be of the future: this clock or the one before was wrong. What was known stays known, as of
    /// now. A sentence, if there is something to say.
    pub(crate) fn fit_clock(&mut self, now: Time) -> Option<String> {
        let by = Span(self.at.saturating_sub(now));
        if by.0 == 0 {
            return None;
        }
        self.rules.earlier(by);
        self.told.earlier(by);
        self.outbox.earlier(by);
        self.at = now;
        (by > WRONG).then(|| {
            format!(
                "the state is of {by} in the future: the clock is wrong or was; its times are taken for that \
                 much earlier"
            )
        })
    }
}

fn rules(config: &Config) -> Result<Vec<Rule>, Error> {
    config.rules.iter().map(Rule::new).collect()
}

impl Core {
    pub(crate) fn new(config: &Config, kept: Kept, now: Time) -> Result<Core, Error> {
        let mut kept = kept;
        kept.outbox.resume();
        let engine = Engine::new(rules(config)?, kept.rules, now);
        let dispatcher = Dispatcher::new(config, kept.told)?;
        let mut core = Core { engine, dispatcher, outbox: kept.outbox };
        core.fit_routes(now);
        Ok(core)
    }

    /// Goes on with other rules and routes; a mistake in them changes nothing.
    pub(crate) fn reload(&mut self, config: &Config, now: Time) -> Result<(), Error> {
        let rules = rules(config)?;
        let dispatcher = Dispatcher::new(config, route::State::default())?;
        self.engine.take_over(now, rules);
        let old = std::mem::replace(&mut self.dispatcher, dispatcher);
        self.dispatcher.take_over(old);
        self.fit_routes(now);
        Ok(())
    }

    /// What was told was told by former rules and routes.
    fn fit_routes(&mut self, now: Time) {
        let engine = &mut self.engine;
        self.dispatcher.end_all_but(now, &mut |id| engine.alert(id).is_some());
        self.dispatcher.fit();
        for alert in engine.firing() {
            // it may have a receiver more
            self.dispatcher.take(now, &alert);
        }
    }

    /// Time went on; true: something happened that must not be forgotten.
    pub(crate) fn tick(&mut self, now: Time) -> bool {
        let changes = self.engine.tick(now);
        changes.iter().for_each(|alert| self.dispatcher.take(now, alert));
        self.tell(now) || !changes.is_empty()
    }

    /// Groups whose time has come are told of.
    pub(crate) fn tell(&mut self, now: Time) -> bool {
        let engine = &mut self.engine;
        let notifications = self.dispatcher.tick(now, &mut |id| engine.alert(id));
        let any = !notifications.is_empty();
        notifications.into_iter().for_each(|it| self.outbox.push(it));
        any
    }

    /// As it is written.
    pub(crate) fn keep(&self, now: Time) -> impl Serialize + '_ {
        Keep {
            version: VERSION,
            at: now,
            rules: self.engine.save(),
            told: self.dispatcher.state(),
            outbox: &self.outbox,
        }
    }
}
