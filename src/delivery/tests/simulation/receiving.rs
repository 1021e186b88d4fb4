//! The driver of a receiver: what imrzmq does. Submit, write the mark, acknowledge, in this order;
//! it may end behind any of these steps.

use crate::network::Connection;
use crate::schedule::Shape;
use crate::sending::line_of;
use crate::world::{End, Mutation, Next, World, trace};
use rzmq_delivery::{
    ErrorCode, FRAME_MIN, Incoming, Key, LaterReason, MARK_BYTES, Mark, PeerId, Reaction, Receiver,
    ReceiverLimits, RefusedReason, SessionId,
};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// 2024, in milliseconds since 1970.
const WALL: i64 = 1_704_000_000_000;

pub(crate) struct Inlet {
    pub(crate) core: Option<Receiver>,
    pub(crate) incarnation: u64,
    /// Messages that have arrived, with their connections.
    pub(crate) inbox: VecDeque<(usize, Vec<u8>)>,
    /// `u64::MAX` in the middle of a frame.
    pub(crate) busy_until: u64,
    /// What a chunk takes, and how long that goes on.
    pub(crate) slow: u64,
    pub(crate) slow_until: u64,
    /// Chunks that the queue answers with an error.
    pub(crate) errors: u64,
    /// The end, and how many steps are left before it.
    pub(crate) ends: Option<(u64, End)>,
    /// Lines that are submitted and not noted yet.
    doubt: Vec<(SessionId, u64)>,
    /// By how much the wall clock is wrong.
    pub(crate) wall: i64,
    /// Sessions that this process knows, with their keys.
    pub(crate) keys: HashMap<SessionId, Option<Key>>,
    /// The file.
    marks: Vec<[u8; MARK_BYTES]>,
    limits: ReceiverLimits,
    down: u64,
}

impl Inlet {
    pub(crate) fn new(index: usize, shape: &Shape) -> Self {
        let mut limits = ReceiverLimits { line: shape.longest, ..ReceiverLimits::default() };
        limits.frames.window = shape.window;
        limits.frames.lines = shape.frame_lines;
        limits.frames.frame = if shape.giants { FRAME_MIN } else { limits.frames.frame };
        // Two receivers need not be alike.
        limits.frames.lines -= index as u32;
        Self {
            core: None,
            incarnation: 0,
            inbox: VecDeque::new(),
            busy_until: 0,
            slow: 0,
            slow_until: 0,
            errors: 0,
            ends: None,
            doubt: Vec::new(),
            wall: 0,
            keys: HashMap::new(),
            marks: Vec::new(),
            limits,
            down: 0,
        }
    }

    fn known_marks(&self) -> Vec<Mark> {
        let slots = self.marks.iter().enumerate();
        slots.filter_map(|(slot, bytes)| Mark::decode(slot as u32, bytes)).collect()
    }

    fn write_mark(&mut self, mark: &Mark) {
        let slot = mark.slot as usize;
        if self.marks.len() <= slot {
            self.marks.resize(slot + 1, [0; MARK_BYTES]);
        }
        self.marks[slot] = mark.encode();
    }
}

impl World {
    pub(crate) fn start_receiver(&mut self, receiver: usize) {
        let inlet = &mut self.inlets[receiver];
        let mut marks = inlet.known_marks();
        if self.mutation == Mutation::ForgetMarks {
            marks.clear();
        }
        inlet.incarnation += 1;
        inlet.keys = marks.iter().map(|mark| (mark.session, mark.key)).collect();
        inlet.core = Some(Receiver::new("simulated", inlet.limits, marks));
        inlet.busy_until = self.now;
        trace!(self, "receiver {receiver} starts");
    }

    /// The receiver ends now, or within the chunks that come.
    pub(crate) fn plan_end(&mut self, receiver: usize, end: End, force: u64, last: u64) {
        let inlet = &mut self.inlets[receiver];
        if inlet.core.is_none() {
            return;
        }
        let incarnation = inlet.incarnation;
        inlet.down = last;
        if force % 3 == 0 {
            self.end_now(receiver, end);
        } else {
            inlet.ends = Some((force / 2 % 5, end));
            self.after(last, Next::EndReceiver { receiver, incarnation });
        }
    }

    /// The receiver ends; a stop waits for the end of a chunk.
    pub(crate) fn end_now(&mut self, receiver: usize, end: End) {
        let inlet = &mut self.inlets[receiver];
        let submits = inlet.busy_until == u64::MAX;
        if submits && end == End::Stop {
            inlet.ends = Some((0, end));
        } else {
            let step = if inlet.doubt.is_empty() { 4 } else { 1 };
            self.end_receiver(receiver, end, step);
        }
    }

    /// A step is done: does the receiver end here?
    fn ends_here(&mut self, receiver: usize, step: usize) -> Option<End> {
        let inlet = &mut self.inlets[receiver];
        let (left, end) = inlet.ends?;
        if left > 0 {
            inlet.ends = Some((left - 1, end));
            return None;
        }
        // A stop is obeyed before a chunk.
        if end == End::Stop && step != 0 {
            return None;
        }
        inlet.ends = None;
        Some(end)
    }

    pub(crate) fn end_receiver(&mut self, receiver: usize, end: End, step: usize) {
        trace!(self, "receiver {receiver} ends: {end:?} at step {step}");
        self.table.ends[usize::from(end == End::Stop)][step] += 1;
        let inlet = &mut self.inlets[receiver];
        inlet.core = None;
        inlet.inbox.clear();
        inlet.ends = None;
        inlet.keys.clear();
        inlet.busy_until = self.now;
        for (session, number) in std::mem::take(&mut inlet.doubt) {
            self.oracle.allow_again(receiver, session, number);
        }
        let inlet = &mut self.inlets[receiver];
        let down = inlet.down;
        match end {
            End::Stop | End::Kill => {}
            End::LoseMarks => {
                inlet.marks.clear();
                self.allow_unsettled_again(receiver, None);
            }
            End::TearMark if inlet.marks.is_empty() => {}
            End::TearMark => {
                let slot = self.rng.below(inlet.marks.len() as u64) as usize;
                let torn = Mark::decode(slot as u32, &inlet.marks[slot]);
                inlet.marks[slot][40..].fill(0xa5);
                if let Some(mark) = torn {
                    self.allow_unsettled_again(receiver, Some(mark.session));
                }
            }
        }
        for connection in 0..self.connections.len() {
            let Some(sender) = self.connections[connection].sender else { continue };
            if self.connections[connection].receiver == receiver
                && self.connections[connection].alive
            {
                self.cut(connection, 300);
                let pause = self.rng.below(1000);
                self.after(pause, Next::Notice { sender, connection });
            }
        }
        self.after(down.max(1), Next::StartReceiver(receiver));
    }

    /// The receiver forgot: what its senders do not know to be settled comes again.
    fn allow_unsettled_again(&mut self, receiver: usize, only: Option<SessionId>) {
        let unsettled: Vec<_> = self.outlets.iter().flat_map(|outlet| outlet.unsettled()).collect();
        for (session, numbers) in unsettled {
            if only.is_none_or(|only| only == session) {
                for number in numbers {
                    self.oracle.allow_again(receiver, session, number);
                }
            }
        }
    }

    /// Takes a message, if there is one and the receiver has the time.
    pub(crate) fn work(&mut self, receiver: usize) {
        let now = self.now;
        let inlet = &mut self.inlets[receiver];
        if inlet.core.is_none() || inlet.busy_until > now || inlet.inbox.is_empty() {
            return;
        }
        // Fair queueing: the oldest message of any connection.
        let any = self.rng.below(inlet.inbox.len() as u64) as usize;
        let connection = inlet.inbox[any].0;
        let Some((connection, message)) = self.oldest(receiver, |other| other == connection) else {
            return;
        };
        let incarnation = self.inlets[receiver].incarnation;
        self.inlets[receiver].busy_until = u64::MAX;
        self.take(receiver, connection, &message, 0);
        let inlet = &mut self.inlets[receiver];
        if inlet.incarnation != incarnation || inlet.core.is_none() {
            return;
        }
        inlet.busy_until = self.now;
        match inlet.ends {
            Some((0, End::Stop)) => self.end_receiver(receiver, End::Stop, 4),
            _ if inlet.inbox.is_empty() => {}
            _ => self.at(self.now, Next::Work(receiver)),
        }
    }

    fn oldest(&mut self, receiver: usize, of: impl Fn(usize) -> bool) -> Option<(usize, Vec<u8>)> {
        let inbox = &mut self.inlets[receiver].inbox;
        let index = inbox.iter().position(|(connection, _)| of(*connection))?;
        inbox.remove(index)
    }

    fn wall(&self, receiver: usize) -> Duration {
        Duration::from_millis((WALL + self.now as i64 + self.inlets[receiver].wall) as u64)
    }

    /// Handles a message.
    pub(crate) fn take(&mut self, receiver: usize, connection: usize, bytes: &[u8], depth: u32) {
        let wall = self.wall(receiver);
        let peer = PeerId(self.connections[connection].peer);
        let key = self.connections[connection].key;
        let Some(core) = &mut self.inlets[receiver].core else { return };
        if let Ok(rzmq_delivery::Frame::Hello(hello)) = rzmq_delivery::decode(bytes) {
            self.connections[connection].session = Some(hello.session);
        }
        match core.receive(wall, peer, key, bytes) {
            Reaction::Nothing => {}
            Reaction::Reply(reply) => {
                self.check_welcome(receiver, key, &reply);
                self.reply(connection, reply);
            }
            Reaction::Wrong(code, text, reply) => {
                trace!(self, "receiver {receiver} answers {code:?} ({text}) to {connection}");
                self.check_error(connection, code, &text);
                self.reply(connection, reply);
            }
            Reaction::Lines(mut incoming) => {
                self.take_lines(receiver, connection, &mut incoming, depth);
            }
        }
    }

    fn check_welcome(&mut self, receiver: usize, key: Option<Key>, reply: &[u8]) {
        let Ok(rzmq_delivery::Frame::Welcome(welcome)) = rzmq_delivery::decode(reply) else {
            return;
        };
        let known = *self.inlets[receiver].keys.entry(welcome.session).or_insert(key);
        if known != key {
            let session = welcome.session;
            self.oracle.complain(|| format!("{session} is given to another key"));
        }
    }

    fn check_error(&mut self, connection: usize, code: ErrorCode, text: &str) {
        let Connection { sender: Some(_), session, .. } = self.connections[connection] else {
            return;
        };
        let contested = session.is_some_and(|session| self.oracle.is_contested(session));
        let fair = match code {
            ErrorCode::NoSession | ErrorCode::Fenced => true,
            ErrorCode::Key | ErrorCode::Content => contested,
            _ => false,
        };
        if !fair {
            self.oracle.complain(|| format!("an honest sender is answered {code:?}: {text}"));
        }
    }

    fn take_lines(
        &mut self,
        receiver: usize,
        connection: usize,
        incoming: &mut Incoming<'_>,
        depth: u32,
    ) {
        let session = incoming.session;
        let incarnation = self.inlets[receiver].incarnation;
        loop {
            if let Some(end) = self.ends_here(receiver, 0) {
                if end == End::Stop {
                    self.say_later(receiver, connection, incoming, LaterReason::Stopping);
                }
                return self.end_receiver(receiver, end, 0);
            }
            let Some((first, block)) = incoming.chunk(self.shape.chunk) else { return };
            let lines: Vec<_> = (first..)
                .zip(block.lines())
                .map(|(number, line)| (number, line_of(line), line.len()))
                .collect();
            trace!(self, "receiver {receiver} takes {session}:{first} +{}", lines.len());
            let early = (self.mutation == Mutation::AcknowledgeBeforeAccept)
                .then(|| self.settle_chunk(receiver, connection, incoming, &lines));
            let inlet = &mut self.inlets[receiver];
            if inlet.errors > 0 {
                inlet.errors -= 1;
                return self.say_later(receiver, connection, incoming, LaterReason::QueueError);
            }
            self.submit(receiver, session, &lines);
            let inlet = &self.inlets[receiver];
            let slow = if self.now < inlet.slow_until { inlet.slow } else { 0 };
            let pause = slow + self.rng.below(self.shape.pace + 1);
            self.pass(self.now + pause);
            if self.inlets[receiver].incarnation != incarnation
                || self.inlets[receiver].core.is_none()
                || self.oracle.wrong.is_some()
            {
                return;
            }
            if let Some(end) = self.ends_here(receiver, 1) {
                return self.end_receiver(receiver, end, 1);
            }
            let ended =
                early.unwrap_or_else(|| self.settle_chunk(receiver, connection, incoming, &lines));
            if ended || self.oracle.wrong.is_some() {
                return;
            }
            if depth == 0 && self.shape.takes_turns {
                if let Some((other, message)) = self.oldest(receiver, |other| other != connection) {
                    self.take(receiver, other, &message, depth + 1);
                }
                let inlet = &self.inlets[receiver];
                let same = inlet.incarnation == incarnation;
                if !same || !inlet.core.as_ref().is_some_and(|core| core.holds(incoming)) {
                    return;
                }
            }
        }
    }

    /// The archive.
    fn submit(&mut self, receiver: usize, session: SessionId, lines: &[(u64, u32, usize)]) {
        for (number, line, bytes) in lines.iter().copied() {
            if bytes > self.shape.longest {
                self.oracle.refused(receiver, session, number, line);
            } else {
                self.oracle.accepted(receiver, session, number, line);
            }
            self.inlets[receiver].doubt.push((session, number));
        }
    }

    /// Notes and acknowledges a chunk; answers whether the receiver ended there.
    fn settle_chunk(
        &mut self,
        receiver: usize,
        connection: usize,
        incoming: &Incoming<'_>,
        lines: &[(u64, u32, usize)],
    ) -> bool {
        let wall = self.wall(receiver);
        let longest = self.shape.longest;
        let refused = lines.iter().filter(|(.., bytes)| *bytes > longest);
        let refused: Vec<_> = refused
            .map(|(number, _, bytes)| (*number, RefusedReason::TooLong, *bytes as u32))
            .collect();
        let inlet = &mut self.inlets[receiver];
        let Some(core) = &mut inlet.core else { return true };
        let accepted = core.accepted(wall, incoming, &refused);
        let acknowledgement = core.acknowledge(incoming);
        let (Some(accepted), Some(acknowledgement)) = (accepted, acknowledgement) else {
            self.oracle.complain(|| "what was held a moment ago is not accepted".into());
            return true;
        };
        inlet.write_mark(&accepted.mark);
        inlet.doubt.clear();
        if let Some(end) = self.ends_here(receiver, 2) {
            self.end_receiver(receiver, end, 2);
            return true;
        }
        if !accepted.reply.is_empty() {
            self.reply(connection, accepted.reply);
        }
        self.reply(connection, acknowledgement);
        if let Some(end) = self.ends_here(receiver, 3) {
            self.end_receiver(receiver, end, 3);
            return true;
        }
        false
    }

    fn say_later(
        &mut self,
        receiver: usize,
        connection: usize,
        incoming: &Incoming<'_>,
        reason: LaterReason,
    ) {
        let pause = Duration::from_millis(self.rng.between(20, 1000));
        let Some(core) = &mut self.inlets[receiver].core else { return };
        match core.later(incoming, pause, reason) {
            Some(reply) => self.reply(connection, reply),
            None => self.oracle.complain(|| "later is not said of what was held".into()),
        }
    }

    /// Sends a frame back, with what goes wrong on the way.
    fn reply(&mut self, connection: usize, mut frame: Vec<u8>) {
        let Some(sender) = self.connections[connection].sender else { return };
        let outlet = &mut self.outlets[sender];
        if outlet.lose_replies > 0 {
            outlet.lose_replies -= 1;
            return;
        }
        if outlet.shut_windows > 0 {
            outlet.shut_windows -= 1;
            match frame[4] {
                0x81 => frame[40..44].fill(0),
                0x82 => frame[16..20].fill(0),
                _ => {}
            }
        }
        let times = if outlet.repeat_replies > 0 {
            outlet.repeat_replies -= 1;
            2
        } else {
            1
        };
        for _ in 0..times {
            let (now, latency) = (self.now, self.latency());
            let at = self.connections[connection].send(false, now, latency, frame.clone());
            if let Some(at) = at {
                self.at(at, Next::Arrive { connection, to_receiver: false });
            }
        }
    }
}
