//! One session on the sending side.
//!
//! The driver offers lines, asks for frames to transmit, hands in what it received and tells when the
//! connection was lost. Law: after every call that changes something, transmit until there is nothing
//! more. Lines are settled when [`Sender::settled`] has passed their number.
//!
//! Time is whatever the driver's clock says since some beginning; it only has to go forward, and if it
//! jumps the worst is a hello too many.

use crate::block::Block;
use crate::wire::{
    Codec, Data, ErrorCode, Frame, Hello, LaterReason, Limits, RefusedReason, SessionId, VERSION,
    WireError, decode,
};
use std::collections::VecDeque;
use std::time::Duration;

/// Without an answer for this long while lines are in flight, the sender asks where it stands.
const SILENCE: Duration = Duration::from_secs(3);
/// Between two hellos that nobody answers.
const HELLO_AGAIN: Duration = Duration::from_secs(1);
/// After an error that the other side may not get over soon.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// A hostile receiver must not make us wait for ever.
const LATER_MAX: Duration = Duration::from_secs(60);
/// Bytes of a raw block that a frame aims at: large enough to share the cost of a frame, small enough
/// to stay in the cache.
const FRAME_TARGET: usize = 256 << 10;

/// What does not change while a session lives.
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Software and version, told in HELLO.
    pub software: String,
    /// The sender's name, told in HELLO.
    pub name: String,
    /// zstd level; `None` = blocks travel raw.
    pub compress: Option<i32>,
}

/// A line that the receiver will never take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: RefusedReason,
    /// Its bytes, as the receiver counted them.
    pub bytes: u32,
}

/// What a received frame came to, beyond the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing the driver needs to know.
    Nothing,
    /// The receiver answered a hello: lines go out.
    Welcome,
    /// The receiver does not take lines for a while.
    Later(LaterReason),
    /// The receiver reports an error; the sender will say hello.
    Trouble(ErrorCode, String),
    /// The session is lost to this sender: the driver gives it a new one with
    /// [`Sender::renumber`].
    SessionLost(ErrorCode, String),
}

/// Why a frame of the receiver makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It cannot be read.
    #[error("the receiver sent a frame that cannot be read: {0}")]
    Wire(#[from] WireError),
    /// It is one that only senders send.
    #[error("the receiver sent a frame that only senders send")]
    Direction,
    /// It settles lines that were never sent.
    #[error("the receiver settles lines up to {have}, but only {sent} were sent")]
    Ahead {
        /// What it says.
        have: u64,
        /// What is true.
        sent: u64,
    },
}

/// An unsettled frame as it goes into a spool and comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFrame {
    /// Its session.
    pub session: SessionId,
    /// Number of its first line.
    pub first: u64,
    /// Its lines.
    pub count: u32,
    /// The encoded DATA frame.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
struct OutFrame {
    first: u64,
    count: u32,
    bytes: Vec<u8>,
}

impl OutFrame {
    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A hello has to be answered first; `said` is when it was last transmitted.
    Greeting { said: Option<Duration> },
    /// Lines go out.
    Open,
    /// Nothing goes out until then; after that, a hello.
    Pausing { until: Duration },
}

/// One session.
#[derive(Debug, Clone)]
pub struct Sender {
    options: SenderOptions,
    session: SessionId,
    hello: u32,
    state: State,
    limits: Limits,
    /// Unsettled frames in the order of their numbers.
    frames: VecDeque<OutFrame>,
    /// How many of them this connection has carried since the last welcome.
    in_flight: usize,
    in_flight_bytes: usize,
    /// How many of them were ever transmitted: they are sent again with the flag.
    ever_sent: usize,
    /// First line not known to be settled.
    have: u64,
    next: u64,
    /// When the receiver last moved, or was last given something to move for.
    moved: Duration,
    refused: Vec<RefusedLine>,
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
        Self {
            options,
            session,
            hello: 0,
            state: State::Greeting { said: None },
            limits: Limits::default(),
            frames: VecDeque::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            ever_sent: 0,
            have: first,
            next: first,
            moved: Duration::ZERO,
            refused: Vec::new(),
            greeting: Vec::new(),
        }
    }

    /// Takes back a frame of a former process; `false` if it does not follow the last one.
    pub fn restore(&mut self, frame: SpooledFrame) -> bool {
        if frame.session != self.session || frame.first != self.next {
            return false;
        }
        let SpooledFrame { first, count, bytes, .. } = frame;
        let frame = OutFrame { first, count, bytes };
        self.next = frame.end();
        self.frames.push_back(frame);
        // The former process may have sent it.
        self.ever_sent += 1;
        true
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
        self.next
    }

    /// Whether the receiver has answered and lines go out.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// The longest line that fits into a frame the receiver takes.
    pub fn longest_line(&self) -> usize {
        (self.limits.frame as usize).saturating_sub(crate::wire::DATA_HEAD + 4)
    }

    /// Gives numbers to lines and packs them into frames. A line longer than
    /// [`Sender::longest_line`] must not be offered.
    pub fn offer(&mut self, lines: &[&[u8]]) {
        let mut rest = lines;
        while !rest.is_empty() {
            let mut bytes = 0;
            let most = (self.limits.lines.max(1) as usize).min(rest.len());
            let target = FRAME_TARGET.min(self.longest_line());
            let fits = |line: &&&[u8]| {
                bytes += 4 + line.len();
                bytes <= target
            };
            let count = rest[..most].iter().take_while(fits).count().max(1);
            let (front, behind) = rest.split_at(count);
            self.pack(front);
            rest = behind;
        }
    }

    fn pack(&mut self, lines: &[&[u8]]) {
        let bytes: usize = lines.iter().map(|line| 4 + line.len()).sum();
        let mut raw = Vec::with_capacity(bytes);
        Block::encode(lines, &mut raw);
        let packed = self.options.compress.and_then(|level| {
            let packed = zstd::bulk::compress(&raw, level).ok()?;
            let most = packed.len().saturating_mul(self.limits.expansion as usize);
            (packed.len() < raw.len() && raw.len() <= most).then_some(packed)
        });
        let data = Data {
            first: self.next,
            count: lines.len() as u32,
            raw: raw.len() as u32,
            crc: crc32fast::hash(&raw),
            codec: if packed.is_some() { Codec::Zstd } else { Codec::Raw },
            resend: false,
            fields: &[],
            block: packed.as_deref().unwrap_or(&raw),
        };
        let mut frame = Vec::with_capacity(crate::wire::DATA_HEAD + data.block.len());
        data.encode(&mut frame);
        self.frames.push_back(OutFrame { first: self.next, count: data.count, bytes: frame });
        self.next += u64::from(data.count);
    }

    /// The connection is gone, or was never there: what was sent on it is in doubt.
    pub fn lost(&mut self) {
        if self.state == State::Open {
            self.greet();
        }
    }

    fn greet(&mut self) {
        self.state = State::Greeting { said: None };
    }

    /// The next frame to transmit now, if there is one. When the transport took it, call
    /// [`Sender::transmitted`].
    pub fn transmit(&mut self, now: Duration) -> Option<&[u8]> {
        match self.state {
            State::Pausing { until } if now < until => return None,
            State::Pausing { .. } => self.greet(),
            State::Open if self.in_flight > 0 && now.saturating_sub(self.moved) >= SILENCE => {
                self.greet();
            }
            State::Open | State::Greeting { .. } => {}
        }
        match self.state {
            State::Greeting { said: Some(said) } if now.saturating_sub(said) < HELLO_AGAIN => None,
            State::Greeting { .. } => {
                self.greeting.clear();
                let hello = Hello {
                    lowest: VERSION,
                    highest: VERSION,
                    number: self.hello.wrapping_add(1),
                    session: self.session,
                    first: self.have,
                    next: self.next,
                    software: &self.options.software,
                    name: &self.options.name,
                };
                hello.encode(&mut self.greeting);
                Some(&self.greeting)
            }
            State::Pausing { .. } => None,
            State::Open => {
                let frame = self.frames.get_mut(self.in_flight)?;
                let bytes = self.in_flight_bytes + frame.bytes.len();
                if self.limits.window == 0
                    || (self.in_flight > 0 && bytes > self.limits.window as usize)
                {
                    return None;
                }
                if self.in_flight < self.ever_sent {
                    Data::mark_resent(&mut frame.bytes);
                }
                Some(&frame.bytes)
            }
        }
    }

    /// The transport took the frame that [`Sender::transmit`] answered.
    pub fn transmitted(&mut self, now: Duration) {
        match self.state {
            State::Greeting { .. } => {
                self.hello = self.hello.wrapping_add(1);
                self.state = State::Greeting { said: Some(now) };
            }
            State::Open => {
                if let Some(frame) = self.frames.get(self.in_flight) {
                    if self.in_flight == 0 {
                        self.moved = now;
                    }
                    self.in_flight_bytes += frame.bytes.len();
                    self.in_flight += 1;
                    self.ever_sent = self.ever_sent.max(self.in_flight);
                }
            }
            State::Pausing { .. } => {}
        }
    }

    /// When [`Sender::transmit`] may have something that it does not have now, though nothing was
    /// received and nothing was offered.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.state {
            State::Greeting { said } => said.map(|said| said + HELLO_AGAIN),
            State::Pausing { until } => Some(until),
            State::Open => (self.in_flight > 0).then_some(self.moved + SILENCE),
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
            Frame::Welcome(welcome) => {
                let awaited = matches!(self.state, State::Greeting { said: Some(_) })
                    && welcome.number == self.hello
                    && welcome.session == self.session;
                if !awaited {
                    return Ok(Event::Nothing);
                }
                if welcome.have > self.next {
                    return Ok(Event::SessionLost(
                        ErrorCode::Fenced,
                        "the receiver knows lines that this sender never gave".into(),
                    ));
                }
                self.settle(welcome.have.max(self.have));
                self.limits = welcome.limits;
                self.in_flight = 0;
                self.in_flight_bytes = 0;
                self.moved = now;
                self.state = State::Open;
                Ok(Event::Welcome)
            }
            Frame::Ack(ack) => {
                let sent = self.sent_up_to();
                if ack.have > sent {
                    return Err(Doubt::Ahead { have: ack.have, sent });
                }
                if self.state == State::Open {
                    self.limits.window = ack.window;
                    self.moved = now;
                    self.settle(ack.have);
                }
                Ok(Event::Nothing)
            }
            Frame::Refused(refused) => {
                // Bounded by what was sent: a number that was not, or is settled, is nonsense.
                let sent = self.sent_up_to();
                let own = refused.lines().filter(|(number, ..)| (self.have..sent).contains(number));
                let own = own.map(|(number, reason, bytes)| RefusedLine { number, reason, bytes });
                let lines: Vec<_> = own.take((sent - self.have) as usize).collect();
                self.refused.extend(lines);
                Ok(Event::Nothing)
            }
            Frame::Later(later) => {
                if self.state == State::Open {
                    let sent = self.sent_up_to();
                    if later.have > sent {
                        return Err(Doubt::Ahead { have: later.have, sent });
                    }
                    self.settle(later.have);
                    let pause = Duration::from_millis(later.milliseconds.into()).min(LATER_MAX);
                    self.state = State::Pausing { until: now + pause };
                }
                Ok(Event::Later(later.reason))
            }
            Frame::Error(error) => Ok(self.error(now, error.code, error.text.to_string())),
            Frame::Skipped => Ok(Event::Nothing),
            Frame::Hello(_) | Frame::Data(_) => Err(Doubt::Direction),
        }
    }

    fn error(&mut self, now: Duration, code: ErrorCode, text: String) -> Event {
        let pause = match code {
            ErrorCode::Key | ErrorCode::Fenced | ErrorCode::Content => {
                self.state = State::Pausing { until: now + HELLO_AGAIN };
                return Event::SessionLost(code, text);
            }
            ErrorCode::NoSession | ErrorCode::Gap => Duration::ZERO,
            ErrorCode::Version | ErrorCode::Sessions => LONG_PAUSE,
            ErrorCode::Malformed | ErrorCode::Limit | ErrorCode::Other(_) => HELLO_AGAIN,
        };
        match self.state {
            // An answer to something sent before the hello that is under way.
            State::Greeting { said: Some(_) } if pause.is_zero() => {}
            _ if pause.is_zero() => self.greet(),
            _ => self.state = State::Pausing { until: now + pause },
        }
        Event::Trouble(code, text)
    }

    /// Behind the last line that this connection carried, or that an earlier one did.
    fn sent_up_to(&self) -> u64 {
        match self.ever_sent.checked_sub(1).and_then(|last| self.frames.get(last)) {
            Some(frame) => frame.end(),
            None => self.have,
        }
    }

    fn settle(&mut self, have: u64) {
        self.have = self.have.max(have);
        while self.frames.front().is_some_and(|frame| frame.end() <= self.have) {
            let Some(frame) = self.frames.pop_front() else { break };
            self.ever_sent = self.ever_sent.saturating_sub(1);
            if self.in_flight > 0 {
                self.in_flight -= 1;
                self.in_flight_bytes -= frame.bytes.len();
            }
        }
    }

    /// Lines that the receiver refused since the last call; they are settled by numbers.
    pub fn take_refused(&mut self) -> Vec<RefusedLine> {
        std::mem::take(&mut self.refused)
    }

    /// What is unsettled, for the spool: whole frames, in order. The session and its numbers stay
    /// with them.
    pub fn unsettled(&self) -> impl Iterator<Item = SpooledFrame> + '_ {
        self.frames.iter().map(|frame| SpooledFrame {
            session: self.session,
            first: frame.first,
            count: frame.count,
            bytes: frame.bytes.clone(),
        })
    }

    /// Whether nothing is unsettled.
    pub fn is_idle(&self) -> bool {
        self.frames.is_empty()
    }

    /// Gives the unsettled lines new numbers in a new session. What the receiver may have taken of
    /// them under the old numbers it takes again: only after [`Event::SessionLost`].
    ///
    /// Answers how far the numbers of unsettled lines moved down.
    pub fn renumber(&mut self, session: SessionId) -> u64 {
        let frames = std::mem::take(&mut self.frames);
        let shift = frames.front().map_or(self.next, |frame| frame.first.max(self.have));
        let partly = frames.front().map_or(0, |frame| self.have.saturating_sub(frame.first));
        let options = self.options.clone();
        *self = Self::new(options, session);
        for (index, frame) in frames.into_iter().enumerate() {
            let Ok(Frame::Data(data)) = decode(&frame.bytes) else { continue };
            let Ok(raw) = crate::block::unpack(&data, u32::MAX) else { continue };
            let Ok(mut block) = Block::parse(&raw, frame.count) else { continue };
            if index == 0 {
                block.split(partly as usize);
            }
            let lines: Vec<_> = block.lines().collect();
            if !lines.is_empty() {
                self.pack(&lines);
            }
        }
        shift
    }
}
