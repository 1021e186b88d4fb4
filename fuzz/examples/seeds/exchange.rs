//! Short exchanges of a sender and a receiver, recorded for both targets at once: each step is written
//! as its target reads it (fuzz_targets/sender_frames.rs and receiver_frames.rs), the frames as raw
//! bytes.

use crate::Corpus;
use rzmq_delivery::{
    Event, FRAME_TARGET, Key, LaterReason, Limits, Mark, PeerId, Reaction, Receiver,
    ReceiverLimits, RefusedReason, Sender, SenderOptions, SessionId,
};
use std::error::Error;
use std::time::Duration;

/// Lines that the target's receiver takes.
const LONGEST: usize = 12;
const PAUSE: Duration = Duration::from_secs(1);

/// What the receiver's driver does with lines.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    Takes,
    Stops,
}

type Scene = (&'static str, fn(&mut Exchange) -> &mut Exchange);

struct Exchange {
    sender: Sender,
    receiver: Receiver,
    compress: bool,
    sessions: u8,
    made: u8,
    now: Duration,
    replies: Vec<Vec<u8>>,
    marks: Vec<Mark>,
    /// The steps of the sender and of the receiver.
    sends: Vec<u8>,
    takes: Vec<u8>,
}

pub fn record() -> Result<(), Box<dyn Error>> {
    let (mut sends, mut takes) = (Corpus::new("sender_frames"), Corpus::new("receiver_frames"));
    for compress in [false, true] {
        let scenes: [Scene; 14] = [
            ("one line", |x| x.offer(&[5]).twice(0)),
            ("lines that pack", |x| x.offer(&[12; 7]).twice(0).offer(&[39, 39, 39]).twice(0)),
            ("empty lines", |x| x.offer(&[0, 0, 0]).twice(0)),
            ("two batches", |x| x.offer(&[3, 0, 5]).twice(0).offer(&[12, 1]).twice(0)),
            ("long lines", |x| x.offer(&[3, 30, 39, 2]).twice(0).offer(&[1]).twice(0)),
            ("lost on the way", |x| {
                x.offer(&[3, 4]).twice(0).offer(&[5, 6]).send(0, Driver::Takes).lose().twice(0)
            }),
            ("lost before it was there", |x| {
                x.lose().offer(&[3, 4]).send(0, Driver::Takes).lose().twice(0)
            }),
            ("another connection", |x| {
                x.offer(&[3]).twice(0).lose().offer(&[4]).twice(3).offer(&[5]).twice(0)
            }),
            ("a queue that is full", |x| {
                x.offer(&[3, 4])
                    .send(0, Driver::Takes)
                    .answer()
                    .send(0, Driver::Stops)
                    .answer()
                    .wait()
                    .twice(0)
            }),
            ("a receiver that died", |x| {
                x.offer(&[3]).twice(0).kill_receiver(true).offer(&[4]).twice(0).twice(0)
            }),
            ("marks that are gone", |x| {
                x.offer(&[3]).twice(0).kill_receiver(false).offer(&[4]).twice(0).twice(0)
            }),
            ("a sender that stopped", |x| {
                x.offer(&[3, 4]).send(0, Driver::Takes).restart_sender().twice(0)
            }),
            ("another key", |x| x.offer(&[3]).twice(0).lose().offer(&[4]).twice(1).wait().twice(1)),
            ("silence", |x| {
                x.offer(&[3]).twice(0).offer(&[4]).send(0, Driver::Takes).forget().wait().twice(0)
            }),
        ];
        for (title, scene) in scenes {
            let mut exchange = Exchange::new(compress);
            scene(&mut exchange);
            let title = if compress { format!("{title} packed") } else { title.to_owned() };
            sends.add(&title, &exchange.sends)?;
            takes.add(&title, &exchange.takes)?;
        }
    }
    Ok(())
}

impl Exchange {
    fn new(compress: bool) -> Self {
        Self {
            sender: Sender::new(options(compress), SessionId([0; 16])),
            receiver: Receiver::new("fuzz", limits(), []),
            compress,
            sessions: 0,
            made: 0,
            now: Duration::from_secs(1_000_000),
            replies: Vec::new(),
            marks: Vec::new(),
            sends: vec![compress.into()],
            takes: Vec::new(),
        }
    }

    /// Lines of these lengths.
    fn offer(&mut self, lengths: &[u8]) -> &mut Self {
        self.sends.extend_from_slice(&[1, lengths.len() as u8]);
        self.sends.extend_from_slice(lengths);
        let line = |length: &u8| {
            self.made += 1;
            vec![self.made; usize::from(*length)]
        };
        let lines: Vec<_> = lengths.iter().map(line).collect();
        self.sender.offer(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
        self
    }

    /// All that the sender has to say, on connection `peer`.
    fn send(&mut self, peer: u8, driver: Driver) -> &mut Self {
        self.sends.push(10);
        while let Some(frame) = self.sender.transmit(self.now).map(<[u8]>::to_vec) {
            self.sender.transmitted(self.now);
            self.takes.extend_from_slice(&[1, peer]);
            bytes(&frame, &mut self.takes);
            let key = Some(peer % 3).filter(|key| *key > 0).map(|key| Key([key; 32]));
            match self.receiver.receive(self.now, PeerId(peer.into()), key, &frame) {
                Reaction::Nothing => {}
                Reaction::Reply(reply) | Reaction::Wrong(_, _, reply) => self.replies.push(reply),
                Reaction::Lines(incoming) if driver == Driver::Stops => {
                    self.takes.extend_from_slice(&[8, 0]);
                    self.replies.extend(self.receiver.later(
                        &incoming,
                        PAUSE,
                        LaterReason::QueueError,
                    ));
                }
                Reaction::Lines(mut incoming) => loop {
                    self.takes.extend_from_slice(&[7, 0, 3]);
                    let Some((first, block)) = incoming.chunk(4) else { break };
                    let lengths = (first..).zip(block.lines().map(<[u8]>::len));
                    let long = lengths.filter(|(_, length)| *length > LONGEST);
                    let refused: Vec<_> = long
                        .map(|(number, length)| (number, RefusedReason::TooLong, length as u32))
                        .collect();
                    if let Some(accepted) = self.receiver.accepted(self.now, &incoming, &refused) {
                        self.marks.push(accepted.mark);
                        self.replies.extend(Some(accepted.reply).filter(|reply| !reply.is_empty()));
                    }
                    self.replies.extend(self.receiver.acknowledge(&incoming));
                },
            }
        }
        self
    }

    /// The sender reads what was answered.
    fn answer(&mut self) -> &mut Self {
        for reply in std::mem::take(&mut self.replies) {
            self.sends.push(5);
            bytes(&reply, &mut self.sends);
            if let Ok(Event::SessionLost(..)) = self.sender.receive(self.now, &reply) {
                self.sessions += 1;
                self.sender.renumber(SessionId([self.sessions; 16]));
            }
        }
        self
    }

    /// A greeting where one is due, then the lines.
    fn twice(&mut self, peer: u8) -> &mut Self {
        for _ in 0..2 {
            self.send(peer, Driver::Takes).answer();
        }
        self
    }

    fn forget(&mut self) -> &mut Self {
        self.replies.clear();
        self
    }

    fn lose(&mut self) -> &mut Self {
        self.sends.push(9);
        self.sender.lost();
        self.forget()
    }

    /// Longer than any pause of these scenes.
    fn wait(&mut self) -> &mut Self {
        self.sends.extend_from_slice(&[0, 250, 0, 250]);
        self.takes.extend_from_slice(&[0, 20]);
        self.now += Duration::from_secs(20);
        self
    }

    fn kill_receiver(&mut self, with_marks: bool) -> &mut Self {
        if with_marks {
            self.takes.push(9);
        } else {
            // the target's receiver never loses them: another one begins
            self.takes.clear();
            self.marks.clear();
        }
        self.receiver = Receiver::new("fuzz", limits(), self.marks.iter().copied());
        self.lose()
    }

    fn restart_sender(&mut self) -> &mut Self {
        self.sends.push(11);
        let (session, first) = (self.sender.session(), self.sender.settled());
        let spooled = self.sender.take_unsettled();
        self.sender = Sender::resume(options(self.compress), session, first);
        for frame in spooled {
            self.sender.restore(frame);
        }
        self.forget()
    }
}

fn bytes(bytes: &[u8], tape: &mut Vec<u8>) {
    tape.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    tape.extend_from_slice(bytes);
}

fn options(compress: bool) -> SenderOptions {
    SenderOptions {
        software: "fuzz".into(),
        name: "fuzz".into(),
        compress: compress.then_some(1),
        frame_target: FRAME_TARGET,
    }
}

/// Those of the target.
fn limits() -> ReceiverLimits {
    let frames = Limits { window: 1 << 20, frame: 65_536, lines: 8, expansion: 16 };
    let forget_after = Duration::from_secs(100);
    ReceiverLimits { frames, line: LONGEST, sessions: 3, sessions_of_key: 3, forget_after }
}
