//! A sender and any answers, made up or nearly right, with losses, restarts and new sessions between
//! them. What must hold: nothing is settled that was not sent, a number keeps its line, frames keep to
//! what the receiver takes, and a sender with something to say always wants to be called again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_delivery::{
    Ack, Block, Codec, ErrorCode, ErrorFrame, Event, FRAME_TARGET, Frame, Later, LaterReason,
    Limits, Refused, RefusedReason, Sender, SenderOptions, SessionId, Welcome, decode,
};
use rzmq_fuzz::{Tape, raw_block};
use std::collections::BTreeMap;
use std::time::Duration;

const STEPS: usize = 128;

struct World {
    sender: Sender,
    now: Duration,
    compress: bool,
    session: u8,
    /// Lines of this session that are not settled yet, by their numbers.
    lines: BTreeMap<u64, Vec<u8>>,
    settled: u64,
    /// Behind the last line that was transmitted in this session.
    sent: u64,
    limits: Option<Limits>,
    hello: u32,
    /// When a hello went out that no new connection and no new session asked for.
    greeted: Option<Duration>,
    /// The sender itself refused a line since the last hello: the next may come at once, and begins behind it.
    passed_over: bool,
    made: u8,
    /// Lines that are too long for the least frame: few, because they are slow.
    giants: u8,
}

fuzz_target!(|input: &[u8]| {
    let mut tape = Tape::new(input);
    let compress = tape.below(2) == 1;
    let mut world = World {
        sender: Sender::new(options(compress), SessionId([0; 16])),
        now: Duration::ZERO,
        compress,
        session: 0,
        lines: BTreeMap::new(),
        settled: 0,
        sent: 0,
        limits: None,
        hello: 0,
        greeted: None,
        passed_over: false,
        made: 0,
        giants: 0,
    };
    for step in 1..=STEPS {
        if !tape.is_left() {
            break;
        }
        match tape.below(12) {
            0 => world.now += Duration::from_millis(u64::from(tape.byte()) * 40),
            1 | 2 => world.offer(&mut tape),
            3 | 4 => world.transmit(1 + usize::from(tape.below(4))),
            5 => world.receive(tape.bytes()),
            6..=8 => {
                let frame = world.answer(&mut tape);
                world.receive(&frame);
            }
            9 => {
                world.sender.lost();
                world.greeted = None;
            }
            10 => world.transmit(64),
            _ => world.restart(),
        }
        world.holds();
        // dear: now and then
        if step % 16 == 0 {
            world.keeps_its_lines();
        }
    }
    world.keeps_its_lines();
});

fn options(compress: bool) -> SenderOptions {
    SenderOptions {
        software: "fuzz".into(),
        name: "fuzz".into(),
        compress: compress.then_some(1),
        frame_target: FRAME_TARGET,
    }
}

impl World {
    fn offer(&mut self, tape: &mut Tape<'_>) {
        let count = tape.below(7);
        let mut lines = Vec::new();
        for _ in 0..count {
            self.made = self.made.wrapping_add(1);
            let length = match tape.byte() {
                0xff if self.giants < 2 => {
                    self.giants += 1;
                    70_000
                }
                small => usize::from(small % 40),
            };
            lines.push(vec![self.made; length]);
        }
        let first = self.sender.next();
        self.lines.extend((first..).zip(lines.iter().cloned()));
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        self.sender.offer(&lines);
        assert_eq!(self.sender.next(), first + u64::from(count));
    }

    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            let Some(frame) = self.sender.transmit(self.now) else { break };
            let frame = frame.to_vec();
            // a line that fits into no frame is settled on the way
            self.passed_over |= self.moved();
            match decode(&frame) {
                Ok(Frame::Hello(hello)) => {
                    assert_ne!(hello.number, 0);
                    assert_eq!(hello.session, self.sender.session());
                    assert_eq!((hello.first, hello.next), (self.settled, self.sender.next()));
                    let gap = self.greeted.map(|greeted| self.now - greeted);
                    let is_early = gap.is_some_and(|gap| gap < Duration::from_secs(1));
                    assert!(!is_early || self.passed_over, "hellos in a row");
                    self.passed_over = false;
                    self.hello = hello.number;
                    self.greeted = Some(self.now);
                    self.limits = None;
                }
                Ok(Frame::Data(data)) => {
                    let limits = self.limits.expect("lines before a WELCOME");
                    assert!(frame.len() <= limits.frame as usize && data.raw <= limits.frame);
                    assert!(data.count <= limits.lines && limits.window > 0);
                    let raw = match data.codec {
                        Codec::Raw => data.block.to_vec(),
                        Codec::Zstd => {
                            zstd::bulk::decompress(data.block, data.raw as usize).expect("zstd")
                        }
                    };
                    assert!(raw.len() <= data.block.len() * limits.expansion as usize);
                    assert_eq!(crc32fast::hash(&raw), data.crc);
                    let block = Block::parse(&raw, data.count).expect("a block");
                    for (number, line) in (data.first..).zip(block.lines()) {
                        let own = self.lines.get(&number);
                        assert!(number < self.settled || own.is_some_and(|own| own == line));
                    }
                    let end = data.first + u64::from(data.count);
                    assert!(data.first <= self.sent.max(self.settled), "a gap");
                    assert!(self.sent <= data.first || data.resend, "sent again without the flag");
                    self.sent = self.sent.max(end);
                }
                frame => panic!("a sender sends {frame:?}"),
            }
            self.sender.transmitted(self.now);
        }
        self.passed_over |= self.moved();
    }

    /// An answer as a receiver could give it, or nearly.
    fn answer(&self, tape: &mut Tape<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        let hello = match tape.below(8) {
            0 => 0,
            1 => tape.u32(),
            2 => self.hello.wrapping_sub(1),
            _ => self.hello,
        };
        let have = match tape.below(6) {
            0 => tape.number(),
            1 => self.sent,
            2 => self.settled,
            _ => self.settled + (self.sent.max(self.settled) - self.settled) / 2,
        };
        match tape.below(8) {
            0..=2 => self.welcome(tape, hello, have).encode("fuzz", &mut frame),
            3 | 4 => {
                let window = if tape.below(4) == 0 { 0 } else { 1 << 20 };
                Ack { have, window, hello }.encode(&mut frame);
            }
            5 => {
                let entries = [
                    (have, RefusedReason::TooLong, 9),
                    (tape.number(), RefusedReason::Other(7), 0),
                ];
                Refused::encode(hello, &entries, &mut frame);
            }
            6 => {
                let milliseconds = tape.u32();
                Later { have, milliseconds, reason: LaterReason::QueueError, hello }
                    .encode(&mut frame);
            }
            _ => {
                let codes = [
                    ErrorCode::NoSession,
                    ErrorCode::Version,
                    ErrorCode::Key,
                    ErrorCode::Fenced,
                    ErrorCode::Malformed,
                    ErrorCode::Content,
                    ErrorCode::Gap,
                    ErrorCode::Limit,
                    ErrorCode::Sessions,
                    ErrorCode::Other(77),
                ];
                let code = codes[usize::from(tape.below(10))];
                ErrorFrame { code, hello, text: "fuzz" }.encode(&mut frame);
            }
        }
        frame
    }

    fn welcome(&self, tape: &mut Tape<'_>, number: u32, have: u64) -> Welcome {
        let small = tape.byte();
        let limits = Limits {
            window: if small & 1 == 1 { 1 << 20 } else { u32::from(small) << 6 },
            frame: if small & 2 == 2 { 16 << 20 } else { 65_536 },
            lines: if small & 4 == 4 { 4096 } else { 1 + u32::from(small >> 6) },
            expansion: if small & 8 == 8 { 256 } else { 1 },
        };
        // the frame that `have` lies in: unknown, ours, or somebody's
        let (frame, count) = match tape.below(3) {
            0 => (have, 0),
            _ => (have.saturating_sub(tape.below(4).into()), u32::from(tape.below(8))),
        };
        let lines: Vec<_> = (frame..frame.saturating_add(count.into()))
            .filter_map(|at| self.lines.get(&at).cloned())
            .collect();
        let crc = if tape.below(4) == 0 { tape.u32() } else { crc32fast::hash(&raw_block(&lines)) };
        let session = self.sender.session();
        Welcome { version: 1, meaning: 1, number, session, have, frame, crc, count, limits }
    }

    fn receive(&mut self, frame: &[u8]) {
        let event = self.sender.receive(self.now, frame);
        if event == Ok(Event::Welcome) {
            let Ok(Frame::Welcome(welcome)) = decode(frame) else { panic!("welcome to nothing") };
            assert_eq!(welcome.number, self.hello, "the answer to an earlier hello counts");
            assert_eq!(welcome.version, 1, "a version that was not offered");
            assert!(
                welcome.have <= self.sent.max(self.settled),
                "lines settled that were never sent"
            );
            self.limits = Some(welcome.limits);
        }
        if let Ok(Frame::Ack(ack)) = decode(frame) {
            if let Some(limits) =
                self.limits.as_mut().filter(|_| ack.hello == self.hello && self.sender.is_open())
            {
                limits.window = ack.window;
            }
        }
        self.moved();
        if matches!(event, Ok(Event::SessionLost(..))) {
            self.renumber();
        }
    }

    fn renumber(&mut self) {
        self.session = self.session.wrapping_add(1);
        let shift = self.sender.renumber(SessionId([self.session; 16]));
        assert_eq!(shift, self.settled, "the numbers moved by something else");
        let lines = std::mem::take(&mut self.lines);
        self.lines = lines.into_iter().map(|(number, line)| (number - shift, line)).collect();
        self.settled = 0;
        self.sent = 0;
        self.limits = None;
    }

    /// Into the spool, and out of it in a new process.
    fn restart(&mut self) {
        let session = self.sender.session();
        let spooled = self.sender.take_unsettled();
        let first = self.settled;
        assert!(self.sender.transmit(self.now).is_none(), "it speaks of lines that it gave away");
        self.sender = Sender::resume(options(self.compress), session, first);
        for frame in spooled {
            assert!(self.sender.restore(frame), "its own frame is not taken back");
        }
        // The process before may have sent all of it.
        self.sent = self.sender.next();
        self.limits = None;
        self.greeted = None;
        self.hello = 0;
    }

    /// Follows what the sender settled; answers whether a line of it was refused.
    fn moved(&mut self) -> bool {
        let settled = self.sender.settled();
        assert!(settled >= self.settled && settled <= self.sender.next());
        let all_refused = self.sender.take_refused();
        for refused in &all_refused {
            // one that fits into no frame was never sent, and is settled nevertheless
            if refused.number >= self.sent {
                self.sent = self.sent.max(refused.number + 1);
            }
        }
        assert!(settled <= self.sent.max(self.settled), "lines settled that were never sent");
        self.settled = settled;
        self.lines = self.lines.split_off(&settled);
        !all_refused.is_empty()
    }

    /// Every number has the line that it was given to.
    fn keeps_its_lines(&self) {
        for frame in self.sender.clone().take_unsettled() {
            for (number, line) in (frame.first..).zip(frame.lines()) {
                let own = self.lines.get(&number);
                assert!(number < self.settled || own == Some(&line), "a number has another line");
            }
        }
    }

    /// Whatever happened, the sender is not stuck and has every line.
    fn holds(&mut self) {
        let open = self.sender.is_open();
        let next = self.sender.next();
        assert_eq!(next, self.settled + self.lines.len() as u64, "a line went missing");
        if self.lines.is_empty() {
            assert!(self.sender.is_idle());
            return;
        }
        let speaks = self.sender.transmit(self.now).is_some();
        self.passed_over |= self.moved();
        let waits = self.sender.wake_at();
        assert!(speaks || waits.is_some() || self.lines.is_empty(), "stuck, open: {open}");
    }
}
