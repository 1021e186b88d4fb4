//! One session on the sending side.
//!
//! The driver offers lines, asks for frames to transmit, hands in what it received and tells when the
//! connection was lost. Law: after every call that changes something, transmit until there is nothing
//! more. Lines are settled when [`Sender::settled`] has passed their number.
//!
//! Time is whatever the driver's clock says since some beginning; it only has to go forward, and if it
//! jumps the worst is a hello too many.

use crate::codes::{ErrorCode, RefusedReason};
use crate::event::{Doubt, Event, RefusedLine};
use crate::frames::{Frames, longest_line};
use crate::outframe::{OutFrame, SpooledFrame};
use crate::wire::{Data, ErrorFrame, Frame, Hello, Limits, SessionId, VERSION, Welcome, decode};
use std::collections::BTreeMap;
use std::time::Duration;

/// Without an answer for this long while lines are in flight, the sender asks where it stands.
const SILENCE: Duration = Duration::from_secs(3);
/// Between two hellos that nobody answers; it doubles up to the second. Only the answer to the latest
/// counts, so this has to become longer than the way there and back.
const HELLO_AGAIN: Duration = Duration::from_secs(1);
const HELLO_AGAIN_MAX: Duration = Duration::from_secs(8);
/// After an error that the other side may not get over soon.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer: a hostile receiver must not make us wait for ever.
const LATER_MAX: Duration = Duration::from_secs(60);
/// Bytes of a raw block that a frame aims at: large enough to share the cost of a frame, small enough
/// to stay in the cache.
pub const FRAME_TARGET: usize = 256 << 10;

/// The zstd level for lines that are on their way: zstd's own default for speed.
pub const COMPRESS_FAST: i32 = 1;

/// What does not change while a session lives.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Software and version, told in HELLO.
    pub software: String,
    /// The sender's name, told in HELLO.
    pub name: String,
    /// zstd level; `None` = blocks travel raw.
    pub compress: Option<i32>,
    /// Bytes of lines that a frame aims at ([`FRAME_TARGET`]); fewer over a slow link.
    pub frame_target: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A hello has to be answered first; `said` is when it was last transmitted.
    Greeting { said: Option<Duration> },
    /// Lines go out.
    Open,
    /// Nothing goes out until then; after that, a hello.
    Pausing { until: Duration },
    /// The lines are in a spool: a hello that begins behind them would have the receiver skip them.
    Spooled,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Sender {
    options: SenderOptions,
    session: SessionId,
    /// Number of the latest hello.
    hello: u32,
    /// Number of the first hello of this session: what a receiver says under an earlier one is about
    /// another session.
    session_from: u32,
    /// When the latest hello went out.
    greeted: Option<Duration>,
    /// How long it waits for its answer.
    repeat: Duration,
    /// How long another who speaks for this session is left to it; it doubles until a line is settled.
    fenced: Duration,
    state: State,
    limits: Limits,
    frames: Frames,
    /// How many of them this connection has carried since the last welcome.
    in_flight: usize,
    in_flight_bytes: usize,
    /// How many of them were ever transmitted: they are sent again with the flag.
    ever_sent: usize,
    /// This connection has carried lines.
    carried: bool,
    /// `have` before it did.
    had: u64,
    /// First line not known to be settled.
    have: u64,
    /// Lines below were sent in an earlier session, under other numbers.
    sent_elsewhere: u64,
    /// Lines below have numbers of a former process, which may have sent them; not all of them need
    /// be back yet.
    promised: u64,
    /// When the receiver last moved, or was last given something to move for.
    moved: Duration,
    /// By their numbers. A refusal comes before its line is settled.
    refused: BTreeMap<u64, RefusedLine>,
    resent: u64,
    /// The hello to be transmitted.
    greeting: Vec<u8>,
}

impl Sender {
    /// A new session, from line 0 on.
    pub fn new(options: SenderOptions, session: SessionId) -> Self {
        Self::resume(options, session, 0)
    }

    /// A session of a former process whose unsettled frames begin at `first`; they follow by
    /// [`Sender::restore`].
    pub fn resume(options: SenderOptions, session: SessionId, first: u64) -> Self {
        // Not from 1 on: what is read late on a socket that another sender used before is not ours.
        let hello = session.0.first_chunk().copied().map_or(0, u32::from_le_bytes);
        let frames = Frames::new(first, &options);
        Self {
            options,
            session,
            hello,
            session_from: next_hello(hello),
            greeted: None,
            repeat: HELLO_AGAIN,
            fenced: HELLO_AGAIN,
            state: State::Greeting { said: None },
            limits: Limits::default(),
            frames,
            in_flight: 0,
            in_flight_bytes: 0,
            ever_sent: 0,
            carried: false,
            had: first,
            have: first,
            sent_elsewhere: first,
            promised: first,
            moved: Duration::ZERO,
            refused: BTreeMap::new(),
            resent: 0,
            greeting: Vec::new(),
        }
    }

    /// Takes back a frame of a former process; `false` if it does not follow the last one, or is not
    /// what it says. The first line to be settled may lie within the first frame.
    pub fn restore(&mut self, frame: SpooledFrame) -> bool {
        let SpooledFrame { session, first, count, bytes } = frame;
        let follows =
            first == self.frames.next || (self.frames.queue.is_empty() && first < self.have);
        let Some(frame) = OutFrame::read(first, count, bytes) else { return false };
        if session != self.session || !follows || frame.end() <= self.have {
            return false;
        }
        self.frames.next = frame.end();
        self.frames.queue.push_back(frame);
        // The former process may have sent it.
        self.ever_sent = self.frames.queue.len();
        true
    }

    /// Lines of a former process up to this number will come back by [`Sender::restore`]: a receiver
    /// may have them already.
    pub fn promise(&mut self, next: u64) {
        self.promised = self.promised.max(next);
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Every line below this number is settled.
    pub fn settled(&self) -> u64 {
        self.have
    }

    /// The number that the next line gets.
    pub fn next(&self) -> u64 {
        self.frames.next
    }

    /// Whether the receiver has answered and lines go out.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the receiver asked for a pause that is not over.
    pub fn is_pausing(&self) -> bool {
        matches!(self.state, State::Pausing { .. })
    }

    /// The longest line that fits into a frame the receiver takes.
    pub fn longest_line(&self) -> usize {
        longest_line(&self.limits)
    }

    /// Gives numbers to lines and packs them into frames. A line longer than
    /// [`Sender::longest_line`] is refused in the receiver's place when it is the oldest.
    pub fn offer(&mut self, lines: &[&[u8]]) {
        self.frames.offer(lines, &self.limits);
    }

    /// Packs what is unsettled anew, under the same numbers. Nothing is in flight.
    fn repack_unsettled(&mut self) {
        let sent = self.sent_up_to();
        self.frames.repack(self.have, self.have, &self.limits);
        self.ever_sent = self.frames.queue.iter().take_while(|frame| frame.end() <= sent).count();
    }

    /// The connection is gone, or was never there: what was sent on it is in doubt.
    pub fn lost(&mut self) {
        self.leave();
        match self.state {
            // Hellos under way are lost too, or are answered by a receiver that we left.
            State::Open | State::Greeting { .. } => self.greet(),
            State::Pausing { .. } | State::Spooled => {}
        }
    }

    /// From now on another receiver is spoken to: a pause that the last one asked for is not this
    /// one's.
    pub fn turned(&mut self) {
        self.leave();
        self.forget_open_refusals();
        if self.state != State::Spooled {
            self.greet();
        }
    }

    /// Where a connection carried lines and settled none, no frame was whole in time, perhaps.
    fn leave(&mut self) {
        if std::mem::take(&mut self.carried) && self.have == self.had {
            self.frames.shrink();
        }
    }

    fn greet(&mut self) {
        self.repeat = HELLO_AGAIN;
        self.state = State::Greeting { said: None };
    }

    /// Says hello, but not more often than once a second: a receiver that answers nonsense to each
    /// must not keep us busy.
    fn greet_slowly(&mut self, now: Duration) {
        match self.greeted.map(|greeted| greeted + HELLO_AGAIN) {
            Some(until) if now < until => self.state = State::Pausing { until },
            _ => self.greet(),
        }
    }

    /// Whether an answer is due: something is in flight, or waits behind a closed window.
    fn is_waiting(&self) -> bool {
        self.in_flight > 0 || (self.limits.window == 0 && !self.frames.queue.is_empty())
    }

    /// The next frame to transmit now, if there is one. When the transport took it, call
    /// [`Sender::transmitted`].
    pub fn transmit(&mut self, now: Duration) -> Option<&[u8]> {
        match self.state {
            State::Pausing { until } if now < until => return None,
            State::Pausing { .. } => self.greet(),
            State::Open if self.is_waiting() && now.saturating_sub(self.moved) >= SILENCE => {
                self.greet();
            }
            State::Open if self.in_flight == 0 => self.keep_to_limits(),
            State::Open | State::Greeting { .. } | State::Spooled => {}
        }
        match self.state {
            State::Greeting { said: Some(said) } if now.saturating_sub(said) < self.repeat => None,
            State::Greeting { .. } => {
                self.greeting.clear();
                let hello = Hello {
                    lowest: VERSION,
                    highest: VERSION,
                    number: next_hello(self.hello),
                    session: self.session,
                    first: self.have,
                    next: self.frames.next.max(self.promised),
                    software: &self.options.software,
                    name: &self.options.name,
                };
                hello.encode(&mut self.greeting);
                Some(&self.greeting)
            }
            State::Pausing { .. } | State::Spooled => None,
            State::Open => {
                let frame = self.frames.queue.get_mut(self.in_flight)?;
                if !frame.fits(&self.limits) {
                    return None;
                }
                let bytes = self.in_flight_bytes + frame.bytes.len();
                if self.limits.window == 0
                    || (self.in_flight > 0 && bytes > self.limits.window as usize)
                {
                    return None;
                }
                if self.in_flight < self.ever_sent || frame.first < self.sent_elsewhere {
                    Data::mark_resent(&mut frame.bytes);
                }
                Some(&frame.bytes)
            }
        }
    }

    /// Packs anew what is beyond the receiver's limits. A line that none of its frames holds is
    /// settled when it is the oldest; the hello then tells the receiver to begin behind it, at once: each costs a
    /// line, so that no receiver keeps us busy with them.
    fn keep_to_limits(&mut self) {
        while let Some(frame) = self.frames.queue.front().filter(|frame| !frame.fits(&self.limits))
        {
            let (number, end) = (frame.first, frame.end());
            let bytes = frame.raw().saturating_sub(4);
            // Made before the receiver told its limits. One line may be packed too well for them.
            if frame.count > 1 || bytes as usize <= self.longest_line() {
                self.repack_unsettled();
                continue;
            }
            let text = self.frames.lines(std::iter::once(number)).pop().unwrap_or_default();
            let reason = RefusedReason::TooLong;
            self.refused.insert(number, RefusedLine { number, reason, bytes, text });
            self.settle(end);
            self.greet();
        }
    }

    /// The transport took the frame that [`Sender::transmit`] answered.
    pub fn transmitted(&mut self, now: Duration) {
        match self.state {
            State::Greeting { said } => {
                if said.is_some() {
                    self.repeat = (self.repeat * 2).min(HELLO_AGAIN_MAX);
                }
                self.hello = next_hello(self.hello);
                self.greeted = Some(now);
                self.state = State::Greeting { said: Some(now) };
            }
            State::Open => {
                if let Some(frame) = self.frames.queue.get(self.in_flight) {
                    if self.in_flight == 0 {
                        self.moved = now;
                    }
                    if self.in_flight < self.ever_sent {
                        self.resent += u64::from(frame.count);
                    }
                    self.in_flight_bytes += frame.bytes.len();
                    self.in_flight += 1;
                    self.ever_sent = self.ever_sent.max(self.in_flight);
                    self.carried = true;
                }
            }
            State::Pausing { .. } | State::Spooled => {}
        }
    }

    /// When [`Sender::transmit`] may have something that it does not have now, though nothing was
    /// received and nothing was offered.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.state {
            State::Greeting { said } => said.map(|said| said + self.repeat),
            State::Pausing { until } => Some(until),
            State::Open => self.is_waiting().then_some(self.moved + SILENCE),
            State::Spooled => None,
        }
    }

    /// Takes a message of the receiver. After a [`Doubt`] the sender says hello.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) -> Result<Event, Doubt> {
        let event = self.understand(now, bytes);
        if event.is_err() && self.state == State::Open {
            // Not at once: a receiver that answers nonsense to each hello must not keep us busy.
            self.state = State::Pausing { until: now + HELLO_AGAIN };
        }
        event
    }

    fn understand(&mut self, now: Duration, bytes: &[u8]) -> Result<Event, Doubt> {
        match decode(bytes)? {
            Frame::Welcome(welcome) => Ok(self.welcome(now, &welcome)),
            Frame::Ack(ack) if self.is_of_now(ack.hello) => {
                self.settle_sent(ack.have)?;
                self.limits.window = ack.window;
                self.moved = now;
                Ok(Event::Nothing)
            }
            Frame::Refused(refused) if self.is_of_session(refused.hello) => {
                // Bounded by what was sent: a number that was not, or is settled, is nonsense.
                let open = self.have..self.sent_up_to();
                let mut new = BTreeMap::new();
                for (number, reason, bytes) in refused.lines() {
                    if open.contains(&number) && !self.refused.contains_key(&number) {
                        new.entry(number).or_insert((reason, bytes));
                    }
                }
                let texts = self.frames.lines(new.keys().copied());
                for ((number, (reason, bytes)), text) in new.into_iter().zip(texts) {
                    self.refused.insert(number, RefusedLine { number, reason, bytes, text });
                }
                Ok(Event::Nothing)
            }
            Frame::Later(later) if self.is_of_now(later.hello) => {
                self.settle_sent(later.have)?;
                let pause = Duration::from_millis(later.milliseconds.into()).min(LATER_MAX);
                let soonest = self.greeted.map_or(now, |greeted| greeted + HELLO_AGAIN);
                self.state = State::Pausing { until: soonest.max(now + pause) };
                Ok(Event::Later(later.reason))
            }
            // A connection that ended may be read to its end late. What it says is not even used
            // when it is about this session: the hello that is under way says where we stand, and
            // its receiver expects us to go on there.
            Frame::Ack(_) | Frame::Refused(_) | Frame::Later(_) => Ok(Event::Nothing),
            Frame::Error(error) => Ok(self.error(now, &error)),
            Frame::Skipped => Ok(Event::Nothing),
            Frame::Hello(_) | Frame::Data(_) => Err(Doubt::Direction),
        }
    }

    fn welcome(&mut self, now: Duration, welcome: &Welcome) -> Event {
        let greeting = matches!(self.state, State::Greeting { said: Some(_) });
        let answers = welcome.number == self.hello && welcome.session == self.session;
        // Of a version that was not offered nobody knows what it means.
        if !greeting || !answers || welcome.version != VERSION {
            return Event::Nothing;
        }
        if welcome.have > self.may_be_settled() || !self.recognises(welcome) {
            self.state = State::Pausing { until: now + HELLO_AGAIN };
            let text = "the receiver knows lines of this session that this sender never sent";
            return Event::SessionLost(ErrorCode::Fenced, text.into());
        }
        self.settle(welcome.have.min(self.frames.next));
        if !self.carried {
            self.had = self.have;
        }
        self.forget_open_refusals();
        self.limits = welcome.limits;
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        self.moved = now;
        self.state = State::Open;
        // A frame that it has a part of has to be the one that it knows, or to begin behind that part.
        let known = |front: &OutFrame| {
            front.first >= self.have
                || welcome.frame >= welcome.have
                || (front.first, front.crc) == (welcome.frame, welcome.crc)
        };
        if !self.frames.queue.front().is_none_or(known) || self.frames.are_too_large() {
            self.repack_unsettled();
        }
        Event::Welcome
    }

    /// Whether what a welcome would settle is ours, as far as that can be told: the lines of the
    /// frame that `have` lies in. Here they may be packed otherwise.
    fn recognises(&self, welcome: &Welcome) -> bool {
        let Welcome { have, frame, crc, count, .. } = *welcome;
        let oldest = self.frames.queue.front().map_or(self.frames.next, |front| front.first);
        if have <= self.have || frame >= have || frame < oldest {
            return true;
        }
        let end = frame.saturating_add(count.into());
        if have > end || end > self.frames.next.max(self.promised) {
            return false;
        }
        end > self.frames.next || self.frames.have_content(frame, count, crc)
    }

    /// Whether a receiver speaks of this session, on whatever connection.
    fn is_of_session(&self, hello: u32) -> bool {
        let hellos = next_hello(self.hello).wrapping_sub(self.session_from);
        self.hello.wrapping_sub(hello) < hellos
    }

    /// Whether a receiver speaks of what goes out now.
    fn is_of_now(&self, hello: u32) -> bool {
        self.state == State::Open && hello == self.hello
    }

    fn settle_sent(&mut self, have: u64) -> Result<(), Doubt> {
        let sent = self.may_be_settled();
        if have > sent {
            return Err(Doubt::Ahead { have, sent });
        }
        self.settle(have.min(self.frames.next));
        Ok(())
    }

    fn error(&mut self, now: Duration, error: &ErrorFrame<'_>) -> Event {
        let code = error.code;
        let concerns_us = match self.state {
            // Without a hello on its connection: that is new, and the loss of the old one is not
            // noticed yet.
            State::Open => error.hello == self.hello || error.hello == 0,
            // What is said of the time before this greeting is settled by its welcome.
            State::Greeting { said: Some(_) } => {
                error.hello == self.hello || (error.hello == 0 && code != ErrorCode::NoSession)
            }
            State::Greeting { said: None } | State::Pausing { .. } | State::Spooled => false,
        };
        if !concerns_us {
            return Event::Nothing;
        }
        let text = error.text.to_string();
        let pause = match code {
            ErrorCode::NoSession | ErrorCode::Gap => {
                self.greet_slowly(now);
                return Event::Trouble(code, text);
            }
            ErrorCode::Version | ErrorCode::Sessions => LONG_PAUSE,
            ErrorCode::Fenced => {
                let pause = self.fenced;
                self.fenced = (pause * 2).min(LATER_MAX);
                pause
            }
            _ => HELLO_AGAIN,
        };
        self.state = State::Pausing { until: now + pause };
        match code {
            ErrorCode::Key | ErrorCode::Content => Event::SessionLost(code, text),
            _ => Event::Trouble(code, text),
        }
    }

    /// Behind the last line that this connection carried, or that an earlier one did.
    fn sent_up_to(&self) -> u64 {
        match self.ever_sent.checked_sub(1).and_then(|last| self.frames.queue.get(last)) {
            Some(frame) => frame.end(),
            None => self.have,
        }
    }

    /// The same, with what a former process may have sent and is not back yet.
    fn may_be_settled(&self) -> u64 {
        self.sent_up_to().max(self.promised)
    }

    fn settle(&mut self, have: u64) {
        if have > self.have {
            self.fenced = HELLO_AGAIN;
        }
        self.have = self.have.max(have);
        while self.frames.queue.front().is_some_and(|frame| frame.end() <= self.have) {
            let Some(frame) = self.frames.queue.pop_front() else { break };
            self.ever_sent = self.ever_sent.saturating_sub(1);
            self.frames.prove();
            if self.in_flight > 0 {
                self.in_flight -= 1;
                self.in_flight_bytes -= frame.bytes.len();
            }
        }
    }

    /// Lines that were settled since the last call by the receiver's refusing them.
    pub fn take_refused(&mut self) -> Vec<RefusedLine> {
        let open = self.refused.split_off(&self.have);
        std::mem::replace(&mut self.refused, open).into_values().collect()
    }

    /// Lines that come to a receiver anew are refused anew, or taken: it may be another one.
    fn forget_open_refusals(&mut self) {
        self.refused.retain(|number, _| *number < self.have);
    }

    /// Hands over what is unsettled, for the spool: whole frames, in order, with their session and
    /// numbers. They are no longer this sender's, which falls silent; a line that is still offered gets the next
    /// number.
    pub fn take_unsettled(&mut self) -> Vec<SpooledFrame> {
        let session = self.session;
        self.forget_open_refusals();
        self.have = self.frames.next;
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        self.ever_sent = 0;
        self.state = State::Spooled;
        let frames = self.frames.queue.drain(..);
        let spooled =
            |OutFrame { first, count, bytes, .. }| SpooledFrame { session, first, count, bytes };
        frames.map(spooled).collect()
    }

    /// Lines that were transmitted again so far.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Whether nothing is unsettled.
    pub fn is_idle(&self) -> bool {
        self.frames.queue.is_empty()
    }

    /// Gives the unsettled lines new numbers in a new session. What the receiver may have taken of
    /// them under the old numbers it takes again: only after [`Event::SessionLost`].
    ///
    /// Answers how far the numbers of unsettled lines moved down.
    pub fn renumber(&mut self, session: SessionId) -> u64 {
        let shift = self.have;
        self.sent_elsewhere = self.sent_up_to().max(self.sent_elsewhere).saturating_sub(shift);
        self.session = session;
        self.session_from = next_hello(self.hello);
        self.frames.repack(0, self.have, &self.limits);
        self.have = 0;
        self.had = 0;
        self.promised = 0;
        self.ever_sent = 0;
        self.in_flight = 0;
        self.in_flight_bytes = 0;
        self.refused.clear();
        // A pause goes on: a receiver that refuses each session must not keep us busy.
        if !matches!(self.state, State::Pausing { .. } | State::Spooled) {
            self.greet();
        }
        shift
    }
}

/// 0 means none.
fn next_hello(hello: u32) -> u32 {
    hello.wrapping_add(1).max(1)
}
