//! Acknowledged delivery: the driver of the sending state machine (src/delivery) over a DEALER socket
//! for each endpoint. docs/protocol.md is the protocol.
//!
//! A batch is done when its last line is settled. What is in flight stays in flight while the peer is
//! slow or busy; nothing is sent again but after a hello. Which of several endpoints is spoken to:
//! targets.rs.

use crate::action::Action;
use crate::carrier::{Advance, Carrier, CarrierError, Context, Rest, SpoolStep, Stuck};
use crate::offered_again::OfferedAgain;
use crate::record::{self, Record};
use crate::refused::{self, Refused};
use crate::statement::AckedOptions;
use crate::targets::Targets;
use rzmq_delivery::{
    COMPRESS_FAST, Event, FRAME_TARGET, Head, RefusedReason, Sender, SenderOptions, SessionId,
};
use rzmq_host::Batch;
use rzmq_link::{LinkError, Received, Sent};
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

/// How long a step waits for an answer; a stop waits as long.
const SLICE: Duration = Duration::from_millis(20);
/// Answers that are taken in one step: a receiver that never stops answering must not keep a commit from
/// seeing a stop.
const ANSWERS: usize = 1024;
/// The longest line that waits for a receiver to say whether it takes it: a record of the spool holds it.
const LONGEST_KEPT: usize = record::LONGEST_BODY as usize / 2;
/// Frames of the spool that are in flight at once.
const SPOOL_AHEAD: usize = 64;

/// A carrier of acknowledged delivery: one session at a time.
pub(crate) struct Acked {
    sender: Sender,
    options: SenderOptions,
    heads: AckedOptions,
    targets: Targets,
    clock: Instant,
    received: Received,
    /// The number of each line of the batch; `None` = it is settled.
    numbers: Vec<Option<u64>>,
    /// Behind the last of them.
    target: u64,
    /// Bytes of each unsettled line, without what acknowledged delivery adds.
    lengths: VecDeque<u32>,
    offered_again: OfferedAgain<Option<u64>>,
    resent: u64,
    /// The session's rest went into the spool, where it is finished: lines to come need another one.
    given_up: bool,
    /// Behind the last line that was answered SUSPENDED: until the receiver has it, it takes nothing more.
    suspended: u64,
    /// Records of the spool that are in flight: behind its last line, its lines, behind it in the file.
    spooled: VecDeque<(u64, u64, u64)>,
    /// The session of the spool that was last gone on with, and the number behind its last line
    /// there: looking through the spool is dear.
    former: Option<(SessionId, u64)>,
}

impl Acked {
    pub(crate) fn new(action: &Action, acked: AckedOptions) -> Self {
        let options = SenderOptions {
            software: concat!("omrzmq ", env!("CARGO_PKG_VERSION")).into(),
            name: action.statement.name().into(),
            compress: acked.compress.then_some(COMPRESS_FAST),
            frame_target: FRAME_TARGET,
        };
        Self {
            sender: Sender::new(options.clone(), SessionId(rzmq_link::random())),
            options,
            heads: acked,
            targets: Targets::new(action, acked.balance),
            clock: Instant::now(),
            received: Received::new(),
            numbers: Vec::new(),
            target: 0,
            lengths: VecDeque::new(),
            offered_again: OfferedAgain::new(),
            resent: 0,
            given_up: false,
            suspended: 0,
            spooled: VecDeque::new(),
            former: None,
        }
    }

    /// The lines of a batch with their heads, one behind the other, and where each ends. `None` where
    /// lines travel as they are: without heads, unless one begins with a NUL byte.
    fn with_heads(&self, batch: Batch<'_>) -> Option<(Vec<u8>, Vec<usize>)> {
        let lines = 0..batch.len();
        let plain = !self.heads.uuid && !self.heads.relay;
        if plain && lines.clone().all(|line| batch.text(line, 0).first() != Some(&0)) {
            return None;
        }
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(batch.len()));
        for line in lines {
            let mut head = Head::default();
            let mut text = 1;
            let utf8 = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
            if self.heads.uuid {
                head.uuid = utf8(batch.text(line, text));
                text += 1;
            }
            if self.heads.relay {
                let mut fields = utf8(batch.text(line, text)).split('\t');
                let mut next = || fields.next().unwrap_or_default();
                head.origin_id = next();
                let (origin_name, origin_address) = (next(), next());
                let (name, address) = (next(), next());
                let relayed = !origin_address.is_empty();
                head.origin_name = if relayed { origin_name } else { name };
                head.origin_address = if relayed { origin_address } else { address };
            }
            head.encode(batch.text(line, 0), &mut bytes);
            ends.push(bytes.len());
        }
        Some((bytes, ends))
    }

    /// Transmits what may be transmitted and takes what is there; waits for an answer for `patience`
    /// at the most. A socket that does not work is closed, and what went over it is in doubt.
    fn drive(&mut self, context: Context<'_>, patience: Duration) -> Result<(), LinkError> {
        let driven = self.exchange(context, patience);
        if driven.is_err() {
            self.targets.close();
            self.sender.lost();
            thread::sleep(patience);
        }
        driven
    }

    fn exchange(&mut self, context: Context<'_>, patience: Duration) -> Result<(), LinkError> {
        if self.targets.keep_open(context) {
            self.sender.lost();
        }
        // First what has come since the last step: it answers a hello before another one is due, and is
        // no silence that an endpoint is left for.
        let heard = self.listen(context)?;
        self.targets.choose(context, &mut self.sender);
        if !self.transmit(context)? {
            thread::sleep(patience);
            return Ok(());
        }
        if !self.listen(context)? && !heard && !patience.is_zero() {
            let now = self.clock.elapsed();
            let wake = self.sender.wake_at().map_or(patience, |at| at.saturating_sub(now));
            if let Some(socket) = &self.targets.current().socket {
                socket.wait_message(patience.min(wake.max(Duration::from_millis(1))))?;
            }
            self.listen(context)?;
            self.transmit(context)?;
        }
        let resent = self.sender.resent();
        context.running.counters.resent().add(resent - self.resent);
        self.resent = resent;
        Ok(())
    }

    /// Answers whether the peer took everything that may be transmitted now.
    fn transmit(&mut self, context: Context<'_>) -> Result<bool, LinkError> {
        let Some(socket) = &self.targets.current().socket else { return Ok(false) };
        let now = self.clock.elapsed();
        let before = self.sender.settled();
        let mut taken = Ok(true);
        while let Some(frame) = self.sender.transmit(now) {
            match socket.send(&[frame]) {
                Ok(Sent::Taken) => self.sender.transmitted(now),
                Ok(Sent::Full) => {
                    if socket.connections() == 0 {
                        self.sender.lost();
                    }
                    taken = Ok(false);
                    break;
                }
                Err(why) => {
                    taken = Err(why);
                    break;
                }
            }
        }
        // A line that fits into no frame of this receiver is settled here: refused.
        if self.sender.settled() != before {
            self.targets.passed_over();
            self.count_settled(context, before);
            self.note_refused(context);
        }
        taken
    }

    /// Takes the answers that are there; says whether there were any.
    fn listen(&mut self, context: Context<'_>) -> Result<bool, LinkError> {
        let mut heard = false;
        for _ in 0..ANSWERS {
            let Some(socket) = &self.targets.current().socket else { return Ok(heard) };
            if !socket.receive(&mut self.received)? {
                return Ok(heard);
            }
            heard = true;
            let before = self.sender.settled();
            let event = self.sender.receive(self.clock.elapsed(), self.received.body());
            self.count_settled(context, before);
            let settled = self.sender.settled() > before;
            self.targets.note(context, &event, settled);
            match event {
                Ok(event) => self.note(context, &event),
                Err(why) => {
                    context.action.tell(context.running, "protocol", &why.to_string());
                }
            }
            self.note_refused(context);
        }
        Ok(heard)
    }

    /// Counts what is settled since so much was.
    fn count_settled(&mut self, context: Context<'_>, before: u64) {
        let settled = self.sender.settled() - before;
        let lengths = self.lengths.drain(..self.lengths.len().min(settled as usize));
        context.running.counters.bytes().add(lengths.map(u64::from).sum());
        context.running.counters.sent().add(settled);
    }

    fn note(&mut self, context: Context<'_>, event: &Event) {
        let kind = match event {
            Event::Nothing | Event::Welcome => return,
            Event::Later(_) => "later",
            Event::Trouble(..) => "protocol",
            Event::SessionLost(..) => "session",
        };
        if let Some(trouble) = event.sentence(Some(self.sender.session())) {
            context.action.tell(context.running, kind, &trouble);
        }
        if matches!(event, Event::SessionLost(..)) {
            self.renumber();
        }
    }

    /// What is unsettled goes on in a session of another name.
    fn renumber(&mut self) {
        let shift = self.sender.renumber(SessionId(rzmq_link::random()));
        self.target = self.target.saturating_sub(shift);
        self.suspended = self.suspended.saturating_sub(shift);
        for number in self.numbers.iter_mut().chain(self.offered_again.known()) {
            *number = number.and_then(|number| number.checked_sub(shift));
        }
        for (end, ..) in &mut self.spooled {
            *end = end.saturating_sub(shift);
        }
    }

    fn note_refused(&mut self, context: Context<'_>) {
        for line in self.sender.take_refused() {
            let refused = Refused {
                session: self.sender.session(),
                number: Some(line.number),
                reason: &line.reason,
                text: Head::split(&line.text).1,
                bytes: line.bytes as usize,
            };
            refused::note(context, &refused);
        }
    }

    /// Takes records of the spool into flight, as far as they belong to one session.
    fn fill_from_spool(&mut self, context: Context<'_>) -> Result<bool, CarrierError> {
        let mut spool = context.running.spool();
        let Some(spool) = spool.as_mut() else { return Ok(false) };
        loop {
            let next = match self.spooled.back() {
                Some((_, _, behind)) => spool.at(*behind)?,
                None => spool.first()?,
            };
            let Some((record, behind)) = next else {
                if self.spooled.is_empty() {
                    spool.settle_or_owe();
                    return Ok(false);
                }
                return Ok(true);
            };
            let lines = record.lines();
            match record {
                Record::Frame(frame, settled) => {
                    let follows = frame.session == self.sender.session()
                        && frame.first == self.sender.next()
                        && settled == 0;
                    if !follows && !self.spooled.is_empty() {
                        return Ok(true);
                    }
                    if !follows {
                        let (options, session) = (self.options.clone(), frame.session);
                        self.sender =
                            Sender::resume(options, session, frame.first.saturating_add(settled));
                        let known = self.former.filter(|(known, _)| *known == session);
                        let end = match known {
                            Some((_, end)) => end,
                            None => spool.end_of_first_session()?,
                        };
                        self.former = Some((session, end));
                        self.sender.promise(end);
                        self.lengths.clear();
                        self.resent = 0;
                    }
                    let session = frame.session;
                    for line in frame.lines().iter().skip(settled as usize) {
                        self.lengths.push_back(length(Head::split(line).1));
                    }
                    if !self.sender.restore(frame) {
                        return Err(CarrierError::Frame(session));
                    }
                }
                // The action was best-effort when it spooled.
                Record::Line(texts) => {
                    let mut line = Vec::new();
                    let text = texts.first().map_or(&[][..], Vec::as_slice);
                    Head::default().encode(text, &mut line);
                    self.lengths.push_back(length(text));
                    self.sender.offer(&[&line]);
                }
            }
            self.spooled.push_back((self.sender.next(), lines, behind));
            if self.spooled.len() >= SPOOL_AHEAD {
                return Ok(true);
            }
        }
    }

    /// The session may be finished in the spool; lines to come then get another one. So they do when a
    /// keeper left it half sent: the numbers behind those in flight are of lines that wait in the spool.
    fn renew_if_left(&mut self, context: Context<'_>) {
        let is_half_sent = !self.spooled.is_empty();
        if is_half_sent || self.given_up && !context.running.is_spooling() {
            self.renew();
        }
    }

    /// A session of their own for lines to come.
    fn renew(&mut self) {
        self.sender = Sender::new(self.options.clone(), SessionId(rzmq_link::random()));
        self.spooled.clear();
        self.lengths.clear();
        self.resent = 0;
        self.given_up = false;
        self.suspended = 0;
    }

    /// Lets go of the lines of the spool that are settled; answers how many.
    fn settle_spool(&mut self, context: Context<'_>) -> u64 {
        let mut spool = context.running.spool();
        let Some(spool) = spool.as_mut() else { return 0 };
        let mut gone = 0;
        while let Some((end, lines, behind)) = self.spooled.front_mut() {
            let left = end.saturating_sub(self.sender.settled()).min(*lines);
            let settled = *lines - left;
            if left == 0 {
                spool.settled(settled, *behind);
                self.spooled.pop_front();
            } else if settled > 0 {
                spool.sent_part(settled);
                *lines = left;
            }
            context.running.counters.resumed().add(settled);
            gone += settled;
            if left > 0 {
                break;
            }
        }
        context.running.counters.in_spool().set(spool.lines());
        if gone > 0 {
            spool.note_or_owe();
        }
        gone
    }
}

impl Carrier for Acked {
    fn begin(&mut self, context: Context<'_>, batch: Batch<'_>) {
        self.renew_if_left(context);
        self.targets.begin(context, &mut self.sender);
        self.numbers.clear();
        let with_heads = self.with_heads(batch);
        let mut lines = Vec::with_capacity(batch.len());
        // What a receiver took that has gone says nothing of the next one.
        if self.targets.keep_open(context) {
            self.sender.lost();
        }
        let is_there = self.sender.is_open() && self.targets.current().is_up();
        let longest = if is_there { self.sender.longest_line() } else { LONGEST_KEPT };
        let mut target = self.sender.settled();
        for index in 0..batch.len() {
            let line = match &with_heads {
                None => batch.text(index, 0),
                Some((bytes, ends)) => {
                    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
                    &bytes[start..ends[index]]
                }
            };
            let text = batch.text(index, 0);
            let number = match self.offered_again.recognise(text) {
                Some(number) => number,
                None if line.len() > longest => {
                    let refused = Refused {
                        session: self.sender.session(),
                        number: None,
                        reason: &RefusedReason::TooLong,
                        text,
                        bytes: line.len(),
                    };
                    refused::note(context, &refused);
                    context.running.counters.sent().add(1);
                    context.running.counters.bytes().add(text.len() as u64);
                    None
                }
                None => {
                    lines.push(line);
                    self.lengths.push_back(length(text));
                    Some(self.sender.next() + lines.len() as u64 - 1)
                }
            };
            target = number.map_or(target, |number| target.max(number + 1));
            self.numbers.push(number);
        }
        self.sender.offer(&lines);
        self.target = target;
    }

    fn advance(
        &mut self,
        context: Context<'_>,
        _batch: Batch<'_>,
    ) -> Result<Advance, CarrierError> {
        let before = self.sender.settled();
        if before >= self.target {
            // all of it was refused, or settled before
            return Ok(Advance::Done);
        }
        loop {
            let settled = self.sender.settled();
            self.drive(context, SLICE)?;
            if self.sender.settled() >= self.target {
                return Ok(Advance::Done);
            }
            // a receiver may acknowledge line by line, without end
            if self.sender.settled() == settled || context.action.stop.grace_is_over() {
                return Ok(if settled == before { Advance::Stuck } else { Advance::Moved });
            }
        }
    }

    fn wait(&mut self, context: Context<'_>, patience: Duration) -> bool {
        // A finished session would never be open again.
        self.renew_if_left(context);
        if let Err(why) = self.drive(context, patience) {
            context.action.tell(context.running, "carrier", &format!("{why}; the lines wait"));
        }
        self.sender.is_open() && self.sender.settled() >= self.suspended
    }

    fn why_stuck(&self, context: Context<'_>) -> Stuck {
        let target = self.targets.current();
        match target.is_up() {
            false => Stuck::unconnected(context),
            // Once it has answered, silence means that its queue is full.
            true if target.is_welcomed() || self.sender.is_open() => Stuck::Busy,
            true => Stuck::Unanswered,
        }
    }

    fn rest(&self, _batch: Batch<'_>) -> Rest {
        let settled = self.sender.settled();
        let mut rest = Rest { records: Vec::new(), lines: self.sender.next() - settled };
        // Of a copy: the spool may not take them.
        for frame in self.sender.clone().take_unsettled() {
            let settled = settled.saturating_sub(frame.first);
            record::encode_frame(&frame, settled, &mut rest.records);
        }
        rest
    }

    fn let_go(&mut self) {
        self.given_up = true;
        self.lengths.clear();
        self.sender.take_unsettled();
        // Those that the engine still offers again are in the spool too.
        for number in self.offered_again.known() {
            *number = None;
        }
    }

    fn suspended(&mut self, batch: Batch<'_>) {
        self.suspended = self.sender.next();
        for (index, number) in self.numbers.iter().enumerate() {
            self.offered_again.remember(batch.text(index, 0), *number);
        }
    }

    fn given_up(&mut self) {
        self.offered_again.forget();
    }

    fn advance_spool(&mut self, context: Context<'_>) -> Result<SpoolStep, CarrierError> {
        // Its worker is gone, and the spool's sessions take the place of the worker's.
        self.offered_again.forget();
        if !self.fill_from_spool(context)? {
            self.renew();
            return Ok(SpoolStep::Done);
        }
        let driven = self.drive(context, SLICE);
        // also what was acknowledged before the socket failed
        let settled = self.settle_spool(context);
        driven?;
        Ok(if settled > 0 { SpoolStep::Moved } else { SpoolStep::Waited })
    }
}

fn length(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
