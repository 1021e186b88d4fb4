//! The endpoints of one worker of an acknowledged action, each with its socket. Which of them is spoken
//! to, and when another one takes over: src/delivery/choice.rs.

use crate::action::Action;
use crate::carrier::Context;
use rzmq_delivery::{Choice, Doubt, Event, Sender, Turn};
use rzmq_link::{Socket, SocketSpec};
use std::time::Instant;

/// All endpoints; there is one at least.
pub(crate) struct Targets {
    all: Vec<Target>,
    choice: Choice,
    clock: Instant,
}

/// An endpoint with its socket.
pub(crate) struct Target {
    spec: SocketSpec,
    pub(crate) socket: Option<Socket>,
    /// Connections that had ended when the sender last looked.
    ended: u64,
    /// Its receiver has answered a hello on this connection: it speaks the protocol.
    welcomed: bool,
}

impl Target {
    pub(crate) fn is_up(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.connections() > 0)
    }

    /// Whether its receiver has answered a hello on this connection.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Opens its socket if need be, and has it call again. Answers whether what went over a connection is
    /// in doubt now.
    fn keep_open(&mut self, context: Context<'_>) -> bool {
        match &self.socket {
            Some(socket) => socket.call_again(),
            None => self.socket = context.action.open_or_tell(context.running, &self.spec),
        }
        // libzmq may have a new connection by now; what the old one carried is in doubt
        let ended = self.socket.as_ref().map_or(0, Socket::connections_ended);
        if ended == self.ended {
            return false;
        }
        (self.ended, self.welcomed) = (ended, false);
        true
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
                Target { spec, socket: None, ended: 0, welcomed: false }
            })
            .collect();
        if all.len() > 1 {
            all.iter_mut().for_each(|target| target.spec.options.notice_cuts_early());
        }
        let preferred = match balance {
            true => action.next_worker() % all.len().max(1),
            false => 0,
        };
        let names = spec.endpoints.iter().map(ToString::to_string).collect();
        Self { all, choice: Choice::new(names, preferred), clock: Instant::now() }
    }

    /// The one that is spoken to.
    pub(crate) fn current(&self) -> &Target {
        &self.all[self.choice.active()]
    }

    /// Sees to the active one's socket. Answers whether what went over it is in doubt now.
    pub(crate) fn keep_open(&mut self, context: Context<'_>) -> bool {
        self.keep(context, self.choice.active())
    }

    fn keep(&mut self, context: Context<'_>, place: usize) -> bool {
        let in_doubt = self.all[place].keep_open(context);
        if in_doubt {
            self.choice.ended(place);
        }
        in_doubt
    }

    /// Closes the active one's socket, which does not work; the next step opens it anew.
    pub(crate) fn close(&mut self) {
        let target = &mut self.all[self.choice.active()];
        (target.socket, target.ended, target.welcomed) = (None, 0, false);
    }

    /// What the active one answered, and whether it settled lines by it.
    pub(crate) fn note(
        &mut self,
        context: Context<'_>,
        event: &Result<Event, Doubt>,
        settled: bool,
    ) {
        if matches!(event, Ok(Event::Welcome)) {
            self.all[self.choice.active()].welcomed = true;
        }
        tell(context, self.choice.note(self.clock.elapsed(), event, settled));
    }

    /// The sender refused a line that fits into no frame of the active one.
    pub(crate) fn passed_over(&mut self) {
        self.choice.passed_over();
    }

    /// Leaves the active endpoint when it is time to, for the next one that is up.
    pub(crate) fn choose(&mut self, context: Context<'_>, sender: &mut Sender) {
        if self.choice.is_alone() {
            return;
        }
        for place in 0..self.all.len() {
            if self.keep(context, place) && place == self.choice.active() {
                sender.lost();
            }
        }
        let is_up = |place: usize| self.all[place].is_up();
        tell(context, self.choice.choose(self.clock.elapsed(), is_up, sender));
    }

    /// A new batch: the preferred one may be gone back to.
    pub(crate) fn begin(&mut self, context: Context<'_>, sender: &mut Sender) {
        if self.choice.is_alone() || !sender.is_idle() {
            return;
        }
        let preferred = self.choice.preferred();
        if preferred != self.choice.active() {
            self.keep(context, preferred);
        }
        let is_up = |place: usize| self.all[place].is_up();
        tell(context, self.choice.go_back(self.clock.elapsed(), is_up, sender));
    }
}

fn tell(context: Context<'_>, turn: Option<Turn>) {
    match turn {
        Some(Turn::News(text)) => context.action.log.error(text),
        Some(Turn::InVain(text)) => {
            context.action.tell(context.running, "in turn", &text);
        }
        None => {}
    }
}
