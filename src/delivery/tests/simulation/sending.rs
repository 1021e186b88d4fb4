//! The driver of a sender: what omrzmq does. It offers a batch and goes on until it is settled; at a
//! stop it spools what is not; the next process sends the spool first, under the same numbers, and
//! gives new lines a session of their own.

use crate::network::Connection;
use crate::world::{Mutation, Next, World, trace};
use rzmq_delivery::{
    ErrorCode, Event, FRAME_MIN, Key, Sender, SenderOptions, SessionId, SpooledFrame,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Outlet {
    /// `None` = down.
    pub(crate) process: Option<Process>,
    pub(crate) incarnation: u64,
    /// Lines that were not offered yet.
    pub(crate) backlog: VecDeque<u32>,
    pub(crate) spool: Option<Spool>,
    pub(crate) key: Option<Key>,
    pub(crate) receiver: usize,
    pub(crate) connection: Option<usize>,
    /// Frames of the receiver that get lost, come twice, come with a shut window.
    pub(crate) lose_replies: u64,
    pub(crate) repeat_replies: u64,
    pub(crate) shut_windows: u64,
    next_batch: u64,
    next_pump: u64,
}

/// What a stop leaves behind.
#[derive(Clone)]
pub(crate) struct Spool {
    pub(crate) session: SessionId,
    /// What is noted as settled.
    have: u64,
    frames: Vec<SpooledFrame>,
    /// From `have` on.
    lines: VecDeque<u32>,
}

#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) core: Sender,
    /// By how much its clock is ahead of its age.
    pub(crate) ahead: u64,
    /// It sends the spool.
    pub(crate) resumes: bool,
    /// Told to wait.
    pub(crate) pauses: bool,
    born: u64,
    /// Unsettled lines, from the number `base` on.
    lines: VecDeque<u32>,
    base: u64,
    /// In another session than the spool is in.
    renumbered: bool,
    /// A hello is not answered.
    greets: bool,
    /// DATA since the last welcome: the number behind it, its bytes.
    sent: VecDeque<(u64, usize)>,
    /// Lines of each frame that was ever transmitted and is not settled, by the number of its first.
    packed: BTreeMap<u64, u32>,
    hellos: u64,
    /// Reasons to say hello apart from the time.
    reasons: u64,
}

impl Outlet {
    pub(crate) fn new(key: Option<Key>, receiver: usize) -> Self {
        Self {
            process: None,
            incarnation: 0,
            backlog: VecDeque::new(),
            spool: None,
            key,
            receiver,
            connection: None,
            lose_replies: 0,
            repeat_replies: 0,
            shut_windows: 0,
            next_batch: 0,
            next_pump: u64::MAX,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        let idle = self.process.as_ref().is_some_and(|process| process.core.is_idle());
        idle && self.backlog.is_empty() && self.spool.is_none()
    }

    /// What is left, for the message of a failure.
    pub(crate) fn left(&self) -> (usize, bool, Option<(usize, bool)>) {
        let process = self.process.as_ref();
        let process = process.map(|process| (process.lines.len(), process.core.is_open()));
        (self.backlog.len(), self.spool.is_some(), process)
    }

    /// Numbers that the sender, or its next process, may send again.
    pub(crate) fn unsettled(&self) -> Vec<(SessionId, std::ops::Range<u64>)> {
        let process = self.process.as_ref().map(|process| {
            (process.core.session(), process.base..process.base + process.lines.len() as u64)
        });
        let spool = self
            .spool
            .as_ref()
            .map(|spool| (spool.session, spool.have..spool.have + spool.lines.len() as u64));
        process.into_iter().chain(spool).collect()
    }
}

impl Process {
    fn new(core: Sender, now: u64) -> Self {
        Self {
            base: core.settled(),
            core,
            ahead: 0,
            resumes: false,
            pauses: false,
            born: now,
            lines: VecDeque::new(),
            renumbered: false,
            greets: true,
            sent: VecDeque::new(),
            packed: BTreeMap::new(),
            hellos: 0,
            reasons: 2,
        }
    }

    fn clock(&self, now: u64) -> Duration {
        Duration::from_millis(now - self.born + self.ahead)
    }
}

impl World {
    fn options(&self) -> SenderOptions {
        let compress = self.shape.compress.then_some(1);
        let frame_target = self.shape.frame_target;
        SenderOptions {
            software: "simulated".into(),
            name: "sender".into(),
            compress,
            frame_target,
        }
    }

    pub(crate) fn start_sender(&mut self, sender: usize) {
        let options = self.options();
        let fresh = self.new_session();
        let outlet = &mut self.outlets[sender];
        outlet.incarnation += 1;
        let mut process = match &outlet.spool {
            None => Process::new(Sender::new(options, fresh), self.now),
            Some(spool) => {
                let core = Sender::resume(options, spool.session, spool.have);
                let mut process = Process::new(core, self.now);
                process.resumes = true;
                process.lines = spool.lines.clone();
                process
            }
        };
        let spool = outlet.spool.as_ref();
        if self.mutation == Mutation::ReuseNumbers && process.resumes {
            // The spool's lines get their numbers anew, in another order.
            process.lines.make_contiguous().reverse();
            let texts: Vec<_> = process.lines.iter().map(|line| text(*line, false)).collect();
            process.core.offer(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        } else {
            for frame in spool.iter().flat_map(|spool| &spool.frames) {
                if !process.core.restore(frame.clone()) {
                    self.oracle.complain(|| format!("{frame:?} is not taken back"));
                }
            }
        }
        trace!(self, "sender {sender} starts with {}", process.core.session());
        self.outlets[sender].process = Some(process);
        self.outlets[sender].next_pump = u64::MAX;
        let pause = self.rng.below(50);
        self.after(pause, Next::Connect(sender));
    }

    pub(crate) fn stop_sender(&mut self, sender: usize, down: u64) {
        let outlet = &mut self.outlets[sender];
        let Some(mut process) = outlet.process.take() else { return };
        let session = process.core.session();
        let frames = process.core.take_unsettled();
        outlet.spool = (!frames.is_empty()).then_some(Spool {
            session,
            have: process.base,
            frames,
            lines: process.lines,
        });
        self.leave(sender, down);
    }

    pub(crate) fn kill_sender(&mut self, sender: usize, down: u64) {
        let outlet = &mut self.outlets[sender];
        let Some(process) = outlet.process.take() else { return };
        match &outlet.spool {
            // Its lines are in the file; under other numbers now, if they were renumbered.
            Some(spool) => {
                for line in spool.lines.iter().filter(|_| process.renumbered) {
                    self.oracle.allow_id(*line);
                }
            }
            // The queue offers them again.
            None => {
                for line in process.lines.iter().rev() {
                    self.oracle.allow_id(*line);
                    outlet.backlog.push_front(*line);
                }
            }
        }
        self.leave(sender, down);
    }

    fn leave(&mut self, sender: usize, down: u64) {
        trace!(self, "sender {sender} is down");
        if let Some(connection) = self.outlets[sender].connection.take() {
            self.cut(connection, down);
        }
        self.after(down.max(1), Next::StartSender(sender));
    }

    /// A second sender that believes to be the first.
    pub(crate) fn clone_sender(&mut self, sender: usize) {
        let mut clone = self.outlets[sender].clone();
        let mut inherited: Vec<_> = match (&clone.process, &clone.spool) {
            (Some(process), _) => {
                self.oracle.contest(process.core.session());
                process.lines.iter().copied().collect()
            }
            (None, Some(spool)) => spool.lines.iter().copied().collect(),
            (None, None) => return,
        };
        if let Some(spool) = &clone.spool {
            self.oracle.contest(spool.session);
        }
        clone.backlog = (0..8).map(|_| self.oracle.line()).collect();
        (clone.connection, clone.next_pump) = (None, u64::MAX);
        for line in inherited.drain(..) {
            self.oracle.allow_id(line);
        }
        let down = clone.process.is_none();
        self.outlets.push(clone);
        let next = self.outlets.len() - 1;
        trace!(self, "sender {next} is a clone of {sender}");
        self.after(1, if down { Next::StartSender(next) } else { Next::Connect(next) });
    }

    pub(crate) fn switch_receiver(&mut self, sender: usize) {
        let receivers = self.inlets.len();
        let outlet = &mut self.outlets[sender];
        outlet.receiver = (outlet.receiver + 1) % receivers;
        // What is under way to the other one still arrives there.
        if let Some(connection) = outlet.connection.take() {
            self.connections[connection].alive = false;
        }
        self.tell_lost(sender);
        self.after(1, Next::Connect(sender));
    }

    pub(crate) fn connect(&mut self, sender: usize) {
        let outlet = &self.outlets[sender];
        if outlet.process.is_none() || outlet.connection.is_some() {
            return;
        }
        let (receiver, incarnation, key) = (outlet.receiver, outlet.incarnation, outlet.key);
        if self.inlets[receiver].core.is_none() {
            let pause = self.rng.between(50, 300);
            return self.after(pause, Next::Connect(sender));
        }
        let peer = self.new_peer();
        self.outlets[sender].connection = Some(self.connections.len());
        self.connections.push(Connection {
            sender: Some(sender),
            incarnation,
            receiver,
            inlet: self.inlets[receiver].incarnation,
            key,
            peer,
            session: None,
            alive: true,
            stalled_until: 0,
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
        });
        trace!(
            self,
            "sender {sender} is connected to {receiver} by {}",
            self.connections.len() - 1
        );
        self.pump(sender);
    }

    /// The driver sees that its connection is gone: at once, late, or never.
    pub(crate) fn lose_connection(&mut self, sender: usize) {
        let outlet = &mut self.outlets[sender];
        outlet.connection = None;
        let incarnation = outlet.incarnation;
        let pause = self.rng.below(300);
        self.after(pause, Next::Connect(sender));
        match self.rng.below(4) {
            0 => {}
            1 => {
                let pause = self.rng.below(2000);
                self.after(pause, Next::Told { sender, incarnation });
            }
            _ => self.tell_lost(sender),
        }
    }

    pub(crate) fn tell_lost(&mut self, sender: usize) {
        if let Some(process) = &mut self.outlets[sender].process {
            process.core.lost();
            process.reasons += 1;
        }
    }

    /// A frame of the receiver.
    pub(crate) fn deliver(&mut self, sender: usize, frame: &[u8]) {
        let now = self.now;
        let Some(process) = &mut self.outlets[sender].process else { return };
        let event = process.core.receive(process.clock(now), frame);
        trace!(self, "sender {sender} hears {:?}: {event:?}", rzmq_delivery::decode(frame));
        match event {
            Ok(Event::Nothing) => {}
            Ok(Event::Welcome) => (process.greets, process.pauses) = (false, false),
            Ok(Event::Later(_)) => {
                process.pauses = !process.core.is_open();
                process.reasons += 1;
            }
            Ok(Event::Trouble(code @ (ErrorCode::NoSession | ErrorCode::Fenced), _)) => {
                process.pauses = code == ErrorCode::Fenced;
            }
            Ok(Event::Trouble(code, text)) => {
                self.oracle.complain(|| format!("sender {sender} is in trouble: {code:?} {text}"));
            }
            Ok(Event::SessionLost(code, text)) => self.lose_session(sender, code, &text),
            Err(doubt) => self.oracle.complain(|| format!("sender {sender} doubts: {doubt}")),
        }
        self.note_settled(sender);
        self.pump(sender);
    }

    fn lose_session(&mut self, sender: usize, code: ErrorCode, text: &str) {
        let fresh = self.new_session();
        let Some(process) = &mut self.outlets[sender].process else { return };
        let old = process.core.session();
        if !self.oracle.is_contested(old) {
            self.oracle.complain(|| format!("{old} is given up without need: {code:?} {text}"));
        }
        self.table.sessions_lost += 1;
        note_settled(&mut self.oracle, process);
        // The old session may have them under the old key; nothing tells.
        if code == ErrorCode::Key {
            for line in &process.lines {
                self.oracle.allow_id(*line);
            }
        }
        let shift = process.core.renumber(fresh);
        if shift != process.base {
            let base = process.base;
            self.oracle.complain(|| format!("renumbered by {shift} instead of {base}"));
        }
        (process.base, process.renumbered, process.greets) = (0, true, true);
        process.reasons += 1;
        process.sent.clear();
        process.packed.clear();
    }

    fn note_settled(&mut self, sender: usize) {
        let noted = self.rng.one_in(2);
        let outlet = &mut self.outlets[sender];
        let Some(process) = &mut outlet.process else { return };
        note_settled(&mut self.oracle, process);
        let Some(spool) = outlet.spool.as_mut().filter(|_| noted && !process.renumbered) else {
            return;
        };
        while spool.have < process.base && spool.lines.pop_front().is_some() {
            spool.have += 1;
        }
        spool.frames.retain(|frame| frame.first + u64::from(frame.count) > spool.have);
    }

    /// Does all that a sender can do now.
    pub(crate) fn pump(&mut self, sender: usize) {
        let mut all_taken = true;
        // Twice: a line that the sender refused itself may have been the last of its batch.
        for _ in 0..2 {
            self.next_batch(sender);
            all_taken = self.transmit(sender);
            self.note_settled(sender);
        }
        if self.outlets[sender].connection.is_none() {
            // One that comes begins with a pump.
            return;
        }
        let (now, again) = (self.now, self.rng.between(5, 50));
        let outlet = &mut self.outlets[sender];
        let Some(process) = &outlet.process else { return };
        let wake = process.core.wake_at().map(|at| {
            let at = at.as_millis() as u64;
            (at + process.born).saturating_sub(process.ahead).max(now + 1)
        });
        let batch = (process.core.is_idle() && !outlet.backlog.is_empty())
            .then_some(outlet.next_batch.max(now + 1));
        let next = [wake, batch].into_iter().flatten().min().unwrap_or(u64::MAX);
        let next = if all_taken { next } else { now + again };
        if next != u64::MAX && (outlet.next_pump <= now || next < outlet.next_pump) {
            outlet.next_pump = next;
            self.at(next, Next::Pump(sender));
        }
    }

    /// Begins the next batch when the last one is settled.
    fn next_batch(&mut self, sender: usize) {
        let options = self.options();
        let (now, pause) = (self.now, self.rng.below(self.shape.pause));
        let size = self.rng.between(1, self.shape.batch) as usize;
        let needs_session = self.outlets[sender].process.as_ref().is_some_and(|p| p.resumes);
        let fresh = needs_session.then(|| self.new_session());
        let outlet = &mut self.outlets[sender];
        let Some(process) = &mut outlet.process else { return };
        if !process.core.is_idle() {
            return;
        }
        if let Some(fresh) = fresh {
            trace!(self, "sender {sender}: the spool is settled, {fresh} is next");
            outlet.spool = None;
            let mut next = Process::new(Sender::new(options, fresh), process.born);
            (next.ahead, next.hellos) = (process.ahead, process.hellos);
            next.reasons = process.reasons + 1;
            *process = next;
        }
        if now < outlet.next_batch || outlet.backlog.is_empty() {
            return;
        }
        outlet.next_batch = now + pause;
        let lines: Vec<_> = outlet.backlog.drain(..size.min(outlet.backlog.len())).collect();
        let texts: Vec<_> = lines.iter().map(|line| text(*line, self.shape.giants)).collect();
        trace!(self, "sender {sender} offers {} +{}", process.core.next(), lines.len());
        process.lines.extend(lines);
        process.core.offer(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    /// Answers whether the transport took all.
    fn transmit(&mut self, sender: usize) -> bool {
        let now = self.now;
        let window = self.shape.window as usize;
        loop {
            let outlet = &mut self.outlets[sender];
            let Some(process) = &mut outlet.process else { return true };
            let clock = process.clock(now);
            let Some(frame) = process.core.transmit(clock) else { return true };
            let mut frame = frame.to_vec();
            let Some(index) = outlet.connection else { return true };
            let connection = &mut self.connections[index];
            let full = connection.to_receiver.len() >= self.shape.high_water;
            if full || connection.stalled_until > now {
                return false;
            }
            process.core.transmitted(clock);
            trace!(self, "sender {sender} says {:?}", Brief(&frame));
            if frame[4] == 1 {
                process.hellos += 1;
                (process.greets, process.pauses) = (true, false);
                process.sent.clear();
                let hellos = process.hellos;
                let allowed = clock.as_secs() + process.reasons;
                if hellos > allowed {
                    self.oracle.complain(|| format!("{hellos} hellos, {allowed} had a reason"));
                }
            } else {
                let settled = process.core.settled();
                process.sent.retain(|(end, _)| *end > settled);
                let first = frame[8..16].try_into().map_or(0, u64::from_le_bytes);
                let count = frame[16..20].try_into().map_or(0, u32::from_le_bytes);
                process.sent.push_back((first + u64::from(count), frame.len()));
                process.packed = process.packed.split_off(&settled);
                // With one receiver, whose limits stay: only a frame that shrinks has fewer lines than before.
                let before = process.packed.insert(first, count);
                if self.shape.receivers == 1 && before.is_some_and(|before| before > count) {
                    self.table.shrunk += 1;
                    if self.mutation == Mutation::RenumberShrunk {
                        frame[8..16].copy_from_slice(&first.saturating_sub(1).to_le_bytes());
                    }
                }
                let bytes: usize = process.sent.iter().map(|(_, bytes)| bytes).sum();
                if process.greets {
                    self.oracle.complain(|| "lines are sent before the welcome".into());
                }
                if process.sent.len() > 1 && bytes > window {
                    self.oracle.complain(|| format!("{bytes} bytes unsettled, window {window}"));
                }
            }
            let latency = self.latency();
            if let Some(at) = self.connections[index].send(true, now, latency, frame) {
                self.at(at, Next::Arrive { connection: index, to_receiver: true });
            }
        }
    }
}

fn note_settled(oracle: &mut crate::oracle::Oracle, process: &mut Process) {
    let session = process.core.session();
    for refused in process.core.take_refused() {
        // What a receiver refused it has told the oracle itself.
        let index = refused.number.checked_sub(process.base);
        let line = index.and_then(|index| process.lines.get(index as usize)).copied();
        if let Some(line) = line.filter(|_| refused.bytes > FRAME_MIN) {
            oracle.refused_by_sender(session, refused.number, line);
            process.reasons += 1;
        }
    }
    while process.base < process.core.settled() {
        let Some(line) = process.lines.pop_front() else {
            return oracle.complain(|| "lines are settled that were never offered".into());
        };
        oracle.settled(session, process.base, line);
        process.base += 1;
    }
}

/// A line's text: its identity, and something that differs in length.
fn text(line: u32, giants: bool) -> Vec<u8> {
    let giant = giants && line % 97 == 13;
    let bytes = if giant { FRAME_MIN as usize + 10 } else { 4 + (line as usize * 7) % 50 };
    let mut text = vec![b'x'; bytes];
    text[..4].copy_from_slice(&line.to_le_bytes());
    text
}

/// The identity of a text.
pub(crate) fn line_of(text: &[u8]) -> u32 {
    text.first_chunk().copied().map_or(u32::MAX, u32::from_le_bytes)
}

/// A frame without its block.
struct Brief<'a>(&'a [u8]);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match rzmq_delivery::decode(self.0) {
            Ok(rzmq_delivery::Frame::Data(data)) => {
                write!(
                    f,
                    "DATA {} +{}{}",
                    data.first,
                    data.count,
                    if data.resend { " again" } else { "" }
                )
            }
            other => write!(f, "{other:?}"),
        }
    }
}
