//! The world: time, what happens next, and the faults. Drivers: sending.rs, receiving.rs. Nothing
//! here knows a real clock, thread or socket; a seed says all.

use crate::network::Connection;
use crate::oracle::Oracle;
use crate::receiving::Inlet;
use crate::schedule::{Fault, Kind, Rng, Schedule, Shape};
use crate::sending::Outlet;
use crate::table::{State, Table};
use rzmq_delivery::{Hello, Key, SessionId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Everything has arrived this long after the last fault is over; and the ways of as many frames
/// as may be left, one after the other.
const PATIENCE: u64 = 60_000;
const FRAMES_LEFT: u64 = 120;
/// The longest a fault lasts.
const LONGEST_FAULT: u64 = 4_000;
/// Steps of a world; more means that somebody keeps everybody busy.
const STEPS_MAX: u64 = 200_000;
const OUTLETS_MAX: usize = 6;

/// A driver that does it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    AcknowledgeBeforeAccept,
    ForgetMarks,
    ReuseNumbers,
    RenumberShrunk,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Next {
    Fault(usize),
    Heal,
    Arrive {
        connection: usize,
        to_receiver: bool,
    },
    Work(usize),
    Pump(usize),
    Connect(usize),
    /// The sender's driver learns that a connection is gone: it is told, and connects again.
    Notice {
        sender: usize,
        connection: usize,
    },
    /// It is told, long after.
    Told {
        sender: usize,
        incarnation: u64,
    },
    StartSender(usize),
    StartReceiver(usize),
    EndReceiver {
        receiver: usize,
        incarnation: u64,
    },
}

/// How a receiver ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Stop,
    Kill,
    LoseMarks,
    TearMark,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) shape: Shape,
    pub(crate) mutation: Mutation,
    pub(crate) connections: Vec<Connection>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) inlets: Vec<Inlet>,
    pub(crate) oracle: Oracle,
    pub(crate) table: Table,
    pub(crate) trace: bool,
    faults: Vec<Fault>,
    next: BinaryHeap<Reverse<(u64, u64, Next)>>,
    order: u64,
    sessions: u64,
    peers: u64,
    keys: u8,
    healed: Option<u64>,
}

/// Says what happens, when a seed is replayed.
macro_rules! trace {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            println!("{:>7} {}", $world.now, format!($($what)*));
        }
    };
}
pub(crate) use trace;

/// Runs a schedule; the table of what happened, and what went wrong.
pub(crate) fn run(schedule: &Schedule, mutation: Mutation, trace: bool) -> (Table, Option<String>) {
    let mut world = World::new(schedule, mutation, trace);
    world.live();
    world.table.doubles = world.oracle.doubles;
    (world.table, world.oracle.wrong)
}

impl World {
    fn new(schedule: &Schedule, mutation: Mutation, trace: bool) -> Self {
        let Schedule { seed, shape, faults } = schedule.clone();
        let mut world = Self {
            now: 0,
            rng: Rng::new(seed.rotate_left(32)),
            mutation,
            connections: Vec::new(),
            outlets: Vec::new(),
            inlets: (0..shape.receivers).map(|index| Inlet::new(index, &shape)).collect(),
            oracle: Oracle::default(),
            table: Table::default(),
            trace,
            faults,
            next: BinaryHeap::new(),
            order: 0,
            sessions: seed << 20,
            peers: 0,
            keys: 0,
            healed: None,
            shape,
        };
        world.table.lines = world.shape.lines;
        world.table.faults = world.faults.len() as u64;
        for index in 0..world.faults.len() {
            world.after(world.faults[index].at, Next::Fault(index));
        }
        let last = world.faults.last().map_or(0, |fault| fault.at);
        world.after(last + LONGEST_FAULT, Next::Heal);
        for index in 0..world.shape.receivers {
            world.start_receiver(index);
        }
        for index in 0..world.shape.senders {
            let key = world.shape.keys.then(|| world.new_key());
            let mut outlet = Outlet::new(key, index % world.shape.receivers);
            let share = world.shape.lines.div_ceil(world.shape.senders as u64);
            outlet.backlog.extend((0..share).map(|_| world.oracle.line()));
            world.outlets.push(outlet);
            world.start_sender(index);
        }
        world
    }

    fn live(&mut self) {
        let mut steps = 0;
        while let Some(Reverse((at, _, next))) = self.next.pop() {
            self.now = self.now.max(at);
            self.step(next);
            steps += 1;
            if self.oracle.wrong.is_some() {
                return;
            }
            let patience = PATIENCE + FRAMES_LEFT * 2 * self.shape.latency;
            let late = self.healed.is_some_and(|healed| self.now > healed + patience);
            if late || steps > STEPS_MAX {
                let (now, healed) = (self.now, self.healed);
                let left: Vec<_> = self.outlets.iter().map(Outlet::left).collect();
                return self.oracle.complain(|| {
                    format!(
                        "not everything arrived: {now} ms, healed at {healed:?}, {steps} steps; \
                         left: {left:?}"
                    )
                });
            }
            if self.healed.is_some() && self.outlets.iter().all(Outlet::is_done) {
                return self.oracle.judge();
            }
        }
        self.oracle.complain(|| "nothing happens any more".into());
    }

    /// Time passes while a driver is in the middle of something.
    pub(crate) fn pass(&mut self, until: u64) {
        while self.next.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((at, _, next))) = self.next.pop() else { return };
            self.now = self.now.max(at);
            self.step(next);
            if self.oracle.wrong.is_some() {
                return;
            }
        }
        self.now = self.now.max(until);
    }

    fn step(&mut self, next: Next) {
        match next {
            Next::Fault(index) => self.fault(self.faults[index]),
            Next::Heal => self.heal(),
            Next::Arrive { connection, to_receiver } => self.arrive(connection, to_receiver),
            Next::Work(receiver) => self.work(receiver),
            Next::Pump(sender) => self.pump(sender),
            Next::Connect(sender) => self.connect(sender),
            Next::Notice { sender, connection } => {
                if self.outlets[sender].connection == Some(connection) {
                    self.lose_connection(sender);
                }
            }
            Next::Told { sender, incarnation } => {
                if self.outlets[sender].incarnation == incarnation {
                    self.tell_lost(sender);
                    self.pump(sender);
                }
            }
            Next::StartSender(sender) => self.start_sender(sender),
            Next::StartReceiver(receiver) => self.start_receiver(receiver),
            Next::EndReceiver { receiver, incarnation } => {
                let inlet = &mut self.inlets[receiver];
                if let Some((_, end)) = inlet.ends.filter(|_| inlet.incarnation == incarnation) {
                    self.end_now(receiver, end);
                }
            }
        }
    }

    pub(crate) fn after(&mut self, pause: u64, next: Next) {
        self.at(self.now + pause, next);
    }

    pub(crate) fn at(&mut self, at: u64, next: Next) {
        self.order += 1;
        self.next.push(Reverse((at, self.order, next)));
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let most = self.shape.latency;
        self.rng.between(most / 2, most)
    }

    pub(crate) fn new_session(&mut self) -> SessionId {
        self.sessions += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&Rng::new(self.sessions).next().to_be_bytes());
        id[8..].copy_from_slice(&self.sessions.to_be_bytes());
        SessionId(id)
    }

    fn new_key(&mut self) -> Key {
        self.keys += 1;
        Key([self.keys; 32])
    }

    pub(crate) fn new_peer(&mut self) -> u64 {
        self.peers += 1;
        self.peers
    }

    fn arrive(&mut self, index: usize, to_receiver: bool) {
        while let Some(message) = self.connections[index].arrived(to_receiver, self.now) {
            let connection = &self.connections[index];
            if to_receiver {
                let receiver = connection.receiver;
                let inlet = &mut self.inlets[receiver];
                if inlet.incarnation == connection.inlet && inlet.core.is_some() {
                    inlet.inbox.push_back((index, message));
                    if inlet.busy_until <= self.now {
                        self.at(self.now, Next::Work(receiver));
                    }
                }
            } else if let Some(sender) = connection.sender {
                if self.outlets[sender].incarnation == connection.incarnation {
                    self.deliver(sender, &message);
                }
            }
        }
    }

    /// The end of a connection. Its frames may come late, up to `late` from now.
    pub(crate) fn cut(&mut self, connection: usize, late: u64) {
        let arrivals = self.connections[connection].cut(&mut self.rng, self.now, late);
        for (at, to_receiver) in arrivals {
            self.at(at, Next::Arrive { connection, to_receiver });
        }
    }

    fn heal(&mut self) {
        trace!(self, "the faults are over");
        self.healed = Some(self.now);
        for outlet in &mut self.outlets {
            (outlet.lose_replies, outlet.repeat_replies, outlet.shut_windows) = (0, 0, 0);
        }
        for inlet in &mut self.inlets {
            (inlet.errors, inlet.slow, inlet.ends) = (0, 0, None);
        }
    }

    fn fault(&mut self, fault: Fault) {
        let Fault { kind, target, force, last, .. } = fault;
        let sender = target as usize % self.outlets.len();
        let connection = self.outlets[sender].connection;
        let receiver = match kind {
            Kind::KillReceiver
            | Kind::StopReceiver
            | Kind::LoseMarks
            | Kind::TearMark
            | Kind::SlowReceiver
            | Kind::QueueError
            | Kind::ForgetPeers
            | Kind::WallClock
            | Kind::Garbage => {
                let receiver = target as usize % self.inlets.len();
                for index in 0..self.outlets.len() {
                    if self.outlets[index].receiver == receiver {
                        self.table.count(kind, self.sender_state(index));
                    }
                }
                receiver
            }
            _ => {
                self.table.count(kind, self.sender_state(sender));
                self.outlets[sender].receiver
            }
        };
        self.table.count(kind, self.receiver_state(receiver));
        trace!(self, "FAULT {fault} (sender {sender}, receiver {receiver})");
        match kind {
            Kind::Cut => {
                if let Some(connection) = connection {
                    self.cut(connection, last);
                    self.lose_connection(sender);
                }
            }
            Kind::HalfOpen => {
                if let Some(connection) = connection {
                    self.cut(connection, last);
                    self.after(last, Next::Notice { sender, connection });
                }
            }
            Kind::Stall => {
                if let Some(connection) = connection {
                    self.connections[connection].stalled_until = self.now + last;
                    self.after(last, Next::Pump(sender));
                }
            }
            Kind::LoseReplies => self.outlets[sender].lose_replies += 1 + force % 4,
            Kind::RepeatReplies => self.outlets[sender].repeat_replies += 1 + force % 4,
            Kind::ShutWindow => self.outlets[sender].shut_windows += 1 + force % 4,
            Kind::KillReceiver => self.plan_end(receiver, End::Kill, force, last),
            Kind::StopReceiver => self.plan_end(receiver, End::Stop, force, last),
            Kind::LoseMarks => self.plan_end(receiver, End::LoseMarks, force, last),
            Kind::TearMark => self.plan_end(receiver, End::TearMark, force, last),
            Kind::SlowReceiver => {
                let inlet = &mut self.inlets[receiver];
                inlet.slow = 1 + force * force;
                inlet.slow_until = self.now + last;
            }
            Kind::QueueError => self.inlets[receiver].errors += 1 + force % 3,
            Kind::ForgetPeers => {
                for index in 0..self.connections.len() {
                    if self.connections[index].receiver == receiver {
                        self.connections[index].peer = self.new_peer();
                    }
                }
            }
            Kind::WallClock => {
                let day = 86_400_000;
                let jump = force as i64 * day / 2;
                self.inlets[receiver].wall += if target % 2 == 0 { jump } else { -jump };
            }
            Kind::StopSender => self.stop_sender(sender, last),
            Kind::KillSender => self.kill_sender(sender, last),
            Kind::SenderClock => {
                if let Some(process) = &mut self.outlets[sender].process {
                    process.ahead += force * 1000;
                }
                self.pump(sender);
            }
            Kind::NewKey => {
                self.stop_sender(sender, last);
                let key = self.new_key();
                let outlet = &mut self.outlets[sender];
                outlet.key = Some(key);
                if let Some(spool) = &outlet.spool {
                    let session = spool.session;
                    self.oracle.contest(session);
                }
            }
            Kind::SwitchReceiver => self.switch_receiver(sender),
            Kind::Clone => {
                if self.outlets.len() < OUTLETS_MAX {
                    self.clone_sender(sender);
                }
            }
            Kind::Stranger => self.stranger(sender, receiver),
            Kind::Garbage => {
                let mut bytes: Vec<_> = (0..force * 4).map(|_| self.rng.next() as u8).collect();
                let head = [0, b'R', b'Z', 1, [1, 2, 2, 0x81, 0x7f][force as usize % 5]];
                let known = bytes.len().min(head.len());
                bytes[..known].copy_from_slice(&head[..known]);
                self.say(receiver, Some(Key([0xff; 32])), bytes);
            }
        }
    }

    /// A stranger's hello with a session that the receiver knows as another key's.
    fn stranger(&mut self, sender: usize, receiver: usize) {
        let outlet = &self.outlets[sender];
        let session = match (&outlet.process, &outlet.spool) {
            (Some(process), _) => process.core.session(),
            (None, Some(spool)) => spool.session,
            (None, None) => return,
        };
        if !self.inlets[receiver].keys.contains_key(&session) {
            return;
        }
        let mut bytes = Vec::new();
        let (software, name) = ("stranger", "stranger");
        let hello = Hello {
            lowest: 1,
            highest: 1,
            number: 1,
            session,
            first: 1 << 40,
            next: 1 << 40,
            software,
            name,
        };
        hello.encode(&mut bytes);
        self.say(receiver, Some(Key([0xff; 32])), bytes);
    }

    /// A connection of a stranger says one thing.
    fn say(&mut self, receiver: usize, key: Option<Key>, bytes: Vec<u8>) {
        if self.inlets[receiver].core.is_none() {
            return;
        }
        let peer = self.new_peer();
        let inlet = self.inlets[receiver].incarnation;
        self.connections.push(Connection {
            sender: None,
            incarnation: 0,
            receiver,
            inlet,
            key,
            peer,
            session: None,
            alive: false,
            stalled_until: 0,
            to_receiver: Default::default(),
            to_sender: Default::default(),
        });
        let connection = self.connections.len() - 1;
        self.take(receiver, connection, &bytes, 1);
    }

    fn sender_state(&self, sender: usize) -> State {
        let outlet = &self.outlets[sender];
        match &outlet.process {
            None => State::SenderDown,
            Some(_) if outlet.connection.is_none() => State::SenderAlone,
            Some(process) if process.pauses => State::SenderPauses,
            Some(process) if !process.core.is_open() => State::SenderGreets,
            Some(process) if process.resumes => State::SenderResumes,
            Some(process) if process.core.is_idle() => State::SenderOpen,
            Some(_) => State::SenderInFlight,
        }
    }

    fn receiver_state(&self, receiver: usize) -> State {
        let inlet = &self.inlets[receiver];
        match &inlet.core {
            None => State::ReceiverDown,
            Some(_) if inlet.busy_until <= self.now => State::ReceiverIdle,
            Some(_) if inlet.inbox.is_empty() => State::ReceiverBusy,
            Some(_) => State::ReceiverQueues,
        }
    }
}
