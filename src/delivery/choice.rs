//! Which of several receivers a session speaks to: one at a time.
//!
//! It is left for the next that is connected when it has taken no line for a while: it is gone, does not
//! answer, or answers errors or nonsense. Who only asks to wait because of its rate limit is not left.
//! The preferred one is gone back to when it is up again and nothing is in flight. What was in flight is
//! in doubt then: the next one gets it under the same numbers.
//!
//! The driver has the connections: it says which are up, when one has ended, and what the active one
//! answered. All times are of one clock of the driver's, which need not be that of the [`Sender`].

use crate::codes::LaterReason;
use crate::event::{Doubt, Event};
use crate::sender::Sender;
use std::time::Duration;

/// A receiver that takes nothing for this long is left for the next one.
const PATIENCE: Duration = Duration::from_secs(2);
/// It doubles this often, once for each time that all were tried in vain: where all are slow, each would be
/// left before its answer comes.
const SLOWEST: usize = 2;
/// How long the preferred one has to be up before it is used again. It doubles each time that it is left
/// although it is connected.
const BACK: Duration = Duration::from_secs(5);
const BACK_MAX: Duration = Duration::from_secs(80);

/// What people should hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Another receiver is spoken to, or lines go out again.
    News(String),
    /// None of them takes lines. It is said at each turn while that lasts, every two seconds at most.
    InVain(String),
}

/// All receivers of a session; there is one at least.
#[derive(Debug)]
pub struct Choice {
    all: Vec<Candidate>,
    preferred: usize,
    active: usize,
    /// When the active one was last well, or was chosen.
    well: Duration,
    /// When that was last asked: nobody asks while there is nothing to do.
    asked: Duration,
    /// A time in which nobody asked was not held against the active one, and it was not well since: who is
    /// asked seldom is not spared again.
    spared: bool,
    /// Hellos that the active one has answered since it last took a line.
    welcomes: u32,
    /// What it answered instead of taking lines, since it last took one.
    trouble: Option<String>,
    /// The pause that it asked for is its rate limit's: it does take lines.
    held: bool,
    /// Since when the preferred one is up while another one is active.
    preferred_up: Option<Duration>,
    /// Moves since a line was last settled.
    in_vain: usize,
}

#[derive(Debug)]
struct Candidate {
    name: String,
    /// How long it has to be up before it is gone back to; a new connection and a settled line make that
    /// short again.
    back: Duration,
}

impl Choice {
    /// By the names that people know them by, and the place of the preferred one.
    pub fn new(names: Vec<String>, preferred: usize) -> Self {
        Self {
            all: names.into_iter().map(|name| Candidate { name, back: BACK }).collect(),
            preferred,
            active: preferred,
            well: Duration::ZERO,
            asked: Duration::ZERO,
            spared: false,
            welcomes: 0,
            trouble: None,
            held: false,
            preferred_up: None,
            in_vain: 0,
        }
    }

    /// The place of the one that is spoken to.
    pub fn active(&self) -> usize {
        self.active
    }

    /// The place of the one that is gone back to.
    pub fn preferred(&self) -> usize {
        self.preferred
    }

    /// There is nothing to choose from.
    pub fn is_alone(&self) -> bool {
        self.all.len() < 2
    }

    /// A connection with this one has ended, and libzmq may have another one by now.
    pub fn ended(&mut self, place: usize) {
        if let Some(candidate) = self.all.get_mut(place) {
            candidate.back = BACK;
        }
        if place == self.active {
            self.welcomes = 0;
        }
        if place == self.preferred {
            self.preferred_up = None;
        }
    }

    /// What the active one answered, and whether it settled lines by it.
    pub fn note(
        &mut self,
        now: Duration,
        event: &Result<Event, Doubt>,
        settled: bool,
    ) -> Option<Turn> {
        let mut turn = None;
        if settled {
            (self.trouble, self.welcomes) = (None, 0);
            if self.in_vain > self.all.len() {
                let name = self.name(self.active);
                turn = Some(Turn::News(format!("{name} takes lines again; going on with it")));
            }
            self.in_vain = 0;
            self.set_back(BACK);
        }
        match event {
            Ok(Event::Welcome) => {
                // A rate's pause ends with a hello as well.
                self.welcomes += u32::from(!self.held);
                self.held = false;
                if self.welcomes > 1 {
                    self.trouble = Some("it answers, and takes none".into());
                }
            }
            Ok(Event::Later(LaterReason::Rate)) => self.held = true,
            Ok(Event::Later(reason)) => self.trouble = Some(format!("later: {reason}")),
            Ok(Event::Trouble(code, text) | Event::SessionLost(code, text)) => {
                self.trouble = Some(format!("{code}: {text}"));
            }
            Ok(Event::Nothing) => {}
            // An answer, but none that takes a line.
            Err(why) => self.trouble = Some(why.to_string()),
        }
        if self.trouble.is_none() {
            (self.well, self.spared) = (now, false);
        }
        turn
    }

    /// The sender refused a line itself, as it fits into no frame of the active one, and says hello again for
    /// that: two welcomes without a line taken between them are no trouble then.
    pub fn passed_over(&mut self) {
        self.welcomes = 0;
    }

    /// Leaves the active one when it is time to, for the next that is up.
    pub fn choose(
        &mut self,
        now: Duration,
        is_up: impl Fn(usize) -> bool,
        sender: &mut Sender,
    ) -> Option<Turn> {
        if self.is_alone() {
            return None;
        }
        let active_is_up = is_up(self.active);
        if now.saturating_sub(self.asked) > PATIENCE && active_is_up && !self.spared {
            (self.well, self.spared) = (now, true);
        }
        self.asked = now;
        // Once the pause is over, it has to answer like any other.
        if active_is_up && self.held && sender.is_pausing() {
            self.well = now;
        }
        let works = active_is_up && sender.is_open() && self.trouble.is_none();
        if works || now.saturating_sub(self.well) < self.patience(active_is_up) {
            return None;
        }
        let mut others = (1..self.all.len()).map(|step| (self.active + step) % self.all.len());
        let next = others.find(|other| is_up(*other))?;
        let turn = self.leaving(active_is_up, next);
        if active_is_up {
            let back = self.all.get(self.active).map_or(BACK, |active| active.back);
            self.set_back((back * 2).min(BACK_MAX));
        }
        self.in_vain += 1;
        self.go_to(now, next, sender);
        Some(turn)
    }

    /// How long the active one may take nothing. One that is gone, or answers errors, is not slow.
    fn patience(&self, is_up: bool) -> Duration {
        if !is_up || self.trouble.is_some() {
            return PATIENCE;
        }
        let rounds = self.in_vain / self.all.len().max(1);
        PATIENCE * (1 << rounds.min(SLOWEST))
    }

    /// Each move is told, until all were tried in vain; then only that.
    fn leaving(&self, is_up: bool, next: usize) -> Turn {
        let (name, next) = (self.name(self.active), self.name(next));
        let why = match &self.trouble {
            _ if !is_up => "is not connected".to_string(),
            Some(trouble) => format!("takes no lines ({trouble})"),
            None => "does not answer".to_string(),
        };
        if self.in_vain < self.all.len() {
            return Turn::News(format!("{name} {why}; going on with {next}"));
        }
        Turn::InVain(format!(
            "none of the endpoints takes lines, they are tried in turn; of late {name} {why}"
        ))
    }

    /// Lines are about to be offered, or there are none: where nothing is in flight, time spent idle is
    /// not held against the active one, and the preferred one is gone back to once it has been up for a
    /// while.
    pub fn go_back(
        &mut self,
        now: Duration,
        is_up: impl Fn(usize) -> bool,
        sender: &mut Sender,
    ) -> Option<Turn> {
        if self.is_alone() || !sender.is_idle() {
            return None;
        }
        self.well = now;
        if self.active == self.preferred {
            return None;
        }
        if !is_up(self.preferred) {
            self.preferred_up = None;
            return None;
        }
        let preferred = self.all.get(self.preferred)?;
        let since = *self.preferred_up.get_or_insert(now);
        if now.saturating_sub(since) < preferred.back {
            return None;
        }
        let turn =
            Turn::News(format!("{name} is back; going on with {name}", name = preferred.name));
        self.go_to(now, self.preferred, sender);
        Some(turn)
    }

    fn go_to(&mut self, now: Duration, place: usize, sender: &mut Sender) {
        self.active = place;
        (self.well, self.spared, self.welcomes) = (now, false, 0);
        (self.trouble, self.held, self.preferred_up) = (None, false, None);
        sender.turned();
    }

    fn set_back(&mut self, back: Duration) {
        if let Some(active) = self.all.get_mut(self.active) {
            active.back = back;
        }
    }

    fn name(&self, place: usize) -> &str {
        self.all.get(place).map_or("", |it| &it.name)
    }
}
