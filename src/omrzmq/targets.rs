//! The endpoints of one worker of an acknowledged action, each with its socket, and which of them is
//! spoken to.
//!
//! One at a time. It is left for the next that is connected when it has taken no line for a while: it
//! is gone, does not answer, or answers errors or nonsense. Who only asks to wait because of its rate
//! limit is not left. The preferred one is gone back to when it is up again and nothing is in flight.

use crate::action::Action;
use crate::carrier::Context;
use rzmq_delivery::{Doubt, Event, LaterReason, Sender};
use rzmq_link::{Renewal, Socket, SocketSpec};
use std::time::{Duration, Instant};

/// An endpoint that takes nothing for this long is left for the next one.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the preferred endpoint has to be up before it is used again. It doubles each time that it
/// is left although it is connected.
const BACK: Duration = Duration::from_secs(5);
const BACK_MAX: Duration = Duration::from_secs(80);
/// Heartbeats that find a cut connection within the time in which another endpoint takes over.
const FAILOVER_HEARTBEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// All endpoints; there is one at least.
pub(crate) struct Targets {
    all: Vec<Target>,
    preferred: usize,
    active: usize,
    /// When the active one was last well, or was chosen.
    well: Instant,
    /// When that was last asked: nobody asks while there is nothing to do.
    asked: Instant,
    /// Hellos that the active one has answered since it last took a line.
    welcomes: u32,
    /// What it answered instead of taking lines, since it last took one.
    trouble: Option<String>,
    /// The pause that it asked for is its rate limit's: it does take lines.
    held: bool,
    /// Since when the preferred one is up while another one is active.
    preferred_up: Option<Instant>,
    /// Moves since a line was last settled.
    in_vain: usize,
}

/// An endpoint with its socket.
pub(crate) struct Target {
    spec: SocketSpec,
    pub(crate) socket: Option<Socket>,
    /// Connections that had ended when the sender last looked.
    ended: u64,
    /// Its receiver has answered a hello on this connection: it speaks the protocol.
    welcomed: bool,
    /// How long it has to be up before it is gone back to; a new connection and a settled line make
    /// that short again.
    back: Duration,
}

impl Target {
    pub(crate) fn is_up(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.connections() > 0)
    }

    /// Whether its receiver has answered a hello on this connection.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Opens its socket if need be, and lets go of one that will not be connected as it is, as keys
    /// have changed. Answers whether what went over a connection is in doubt now.
    pub(crate) fn keep_open(&mut self, context: Context<'_>) -> bool {
        let let_go = self.socket.take_if(|socket| socket.renewal() == Renewal::Reopen).is_some();
        if let_go {
            // the next one counts from zero
            (self.ended, self.welcomed, self.back) = (0, false, BACK);
        }
        if self.socket.is_none() {
            self.socket = context.action.open_or_tell(context.running, &self.spec);
        }
        // libzmq may have a new connection by now; what the old one carried is in doubt
        let ended = self.socket.as_ref().map_or(0, Socket::connections_ended);
        if ended == self.ended {
            return let_go;
        }
        (self.ended, self.welcomed, self.back) = (ended, false, BACK);
        true
    }

    fn name(&self) -> String {
        self.spec.endpoints.first().map(ToString::to_string).unwrap_or_default()
    }
}

impl Targets {
    pub(crate) fn new(action: &Action, balance: bool) -> Self {
        let spec = &action.statement.spec;
        let mut all: Vec<_> = spec
            .endpoints
            .iter()
            .map(|endpoint| {
                let spec = SocketSpec { endpoints: vec![endpoint.clone()], ..spec.clone() };
                Target { spec, socket: None, ended: 0, welcomed: false, back: BACK }
            })
            .collect();
        if all.len() > 1 {
            for target in &mut all {
                let options = &mut target.spec.options;
                options.heartbeat_ivl = options.heartbeat_ivl.min(FAILOVER_HEARTBEAT.0);
                options.heartbeat_timeout = options.heartbeat_timeout.min(FAILOVER_HEARTBEAT.1);
            }
        }
        let preferred = match balance {
            true => action.next_worker() % all.len().max(1),
            false => 0,
        };
        Self {
            all,
            preferred,
            active: preferred,
            well: Instant::now(),
            asked: Instant::now(),
            welcomes: 0,
            trouble: None,
            held: false,
            preferred_up: None,
            in_vain: 0,
        }
    }

    /// The one that is spoken to.
    pub(crate) fn active(&mut self) -> &mut Target {
        &mut self.all[self.active]
    }

    /// The same, to look at.
    pub(crate) fn current(&self) -> &Target {
        &self.all[self.active]
    }

    /// What the active one answered, and whether it settled lines by it.
    pub(crate) fn note(
        &mut self,
        context: Context<'_>,
        event: &Result<Event, Doubt>,
        settled: bool,
    ) {
        if settled {
            (self.trouble, self.welcomes) = (None, 0);
            if self.in_vain > self.all.len() {
                let name = self.current().name();
                context.action.log.error(format!("{name} takes lines again; going on with it"));
            }
            self.in_vain = 0;
            self.active().back = BACK;
        }
        match event {
            Ok(Event::Welcome) => {
                // A rate's pause ends with a hello as well.
                self.welcomes += u32::from(!self.held);
                (self.active().welcomed, self.held) = (true, false);
                if self.welcomes > 1 {
                    self.trouble = Some("it answers, and takes none".into());
                }
            }
            Ok(Event::Later(LaterReason::Rate)) => self.held = true,
            Ok(Event::Later(reason)) => self.trouble = Some(format!("later: {reason:?}")),
            Ok(Event::Trouble(code, text) | Event::SessionLost(code, text)) => {
                self.trouble = Some(format!("{code:?}: {text}"));
            }
            Ok(Event::Nothing) => {}
            // An answer, but none that takes a line.
            Err(why) => self.trouble = Some(why.to_string()),
        }
        if self.trouble.is_none() {
            self.well = Instant::now();
        }
    }

    /// Leaves the active endpoint when it is time to, for the next one that is up.
    pub(crate) fn choose(&mut self, context: Context<'_>, sender: &mut Sender) {
        if self.all.len() < 2 {
            return;
        }
        for (index, target) in self.all.iter_mut().enumerate() {
            if target.keep_open(context) && index == self.active {
                sender.lost();
                self.welcomes = 0;
            }
        }
        if self.asked.elapsed() > PATIENCE {
            self.well = Instant::now();
        }
        self.asked = Instant::now();
        let is_up = self.current().is_up();
        // Once the pause is over, it has to answer like any other.
        if is_up && self.held && sender.is_pausing() {
            self.well = Instant::now();
        }
        let works = is_up && sender.is_open() && self.trouble.is_none();
        if works || self.well.elapsed() < PATIENCE {
            return;
        }
        let mut others = (1..self.all.len()).map(|step| (self.active + step) % self.all.len());
        if let Some(next) = others.find(|other| self.all[*other].is_up()) {
            self.tell_leaving(context, next);
            if is_up {
                let back = &mut self.active().back;
                *back = (*back * 2).min(BACK_MAX);
            }
            self.in_vain += 1;
            self.go_to(next, sender);
        }
    }

    /// Each move is told, until all endpoints were tried in vain; then only that.
    fn tell_leaving(&self, context: Context<'_>, next: usize) {
        let (gone, next) = (self.current(), self.all[next].name());
        let name = gone.name();
        let why = match &self.trouble {
            _ if !gone.is_up() => "is not connected".to_string(),
            Some(trouble) => format!("takes no lines ({trouble})"),
            None => "does not answer".to_string(),
        };
        if self.in_vain < self.all.len() {
            context.action.log.error(format!("{name} {why}; going on with {next}"));
        } else {
            let vain = format!(
                "none of the endpoints takes lines, they are tried in turn; of late {name} {why}"
            );
            context.action.tell(context.running, "in turn", &vain);
        }
    }

    /// A new batch, and nothing in flight: time spent idle is not held against the active endpoint,
    /// and the preferred one is gone back to once it has been up for a while.
    pub(crate) fn begin(&mut self, context: Context<'_>, sender: &mut Sender) {
        if self.all.len() < 2 || !sender.is_idle() {
            return;
        }
        self.well = Instant::now();
        if self.active == self.preferred {
            return;
        }
        let preferred = &mut self.all[self.preferred];
        // a connection of its own that was lost meanwhile begins its time anew
        if preferred.keep_open(context) {
            self.preferred_up = None;
        }
        if !preferred.is_up() {
            self.preferred_up = None;
            return;
        }
        if self.preferred_up.get_or_insert_with(Instant::now).elapsed() >= preferred.back {
            let name = preferred.name();
            context.action.log.error(format!("{name} is back; going on with {name}"));
            self.go_to(self.preferred, sender);
        }
    }

    fn go_to(&mut self, target: usize, sender: &mut Sender) {
        self.active = target;
        (self.well, self.welcomes) = (Instant::now(), 0);
        (self.trouble, self.held, self.preferred_up) = (None, false, None);
        sender.turned();
    }
}
