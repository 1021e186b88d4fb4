//! A sequence of frames, good and bad, of several connections and keys against one receiver, with a
//! driver that interleaves chunks as it likes and is killed now and then. A small model says what must
//! hold: each line is given once and in order, to the session's own key; what is answered is true.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_delivery::{
    Codec, Data, Frame, Hello, Incoming, Key, LaterReason, Limits, Mark, PeerId, Reaction,
    Receiver, ReceiverLimits, RefusedReason, SessionId, decode,
};
use rzmq_fuzz::{Tape, raw_block};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

const STEPS: usize = 96;
const SESSIONS: usize = 3;
const LONGEST: usize = 12;
const FORGET: Duration = Duration::from_secs(100);

fn limits() -> ReceiverLimits {
    let frames = Limits { window: 1 << 20, frame: 65_536, lines: 8, expansion: 16 };
    ReceiverLimits {
        frames,
        line: LONGEST,
        sessions: SESSIONS,
        sessions_of_key: SESSIONS - 1,
        forget_after: FORGET,
    }
}

#[derive(Clone, Copy)]
struct Known {
    have: u64,
    key: Option<Key>,
    /// The receiver forgot some session since this one was last heard of: perhaps this one.
    perhaps: bool,
    /// It may have been forgotten at some time: the mark of then may be further, in another place.
    was_perhaps: bool,
}

struct Pending<'a> {
    incoming: Incoming<'a>,
    peer: u8,
    first: u64,
    lines: Vec<Vec<u8>>,
}

struct World<'a> {
    receiver: Receiver,
    now: Duration,
    /// Connections of earlier lives of the receiver have other numbers.
    life: u64,
    sessions: HashMap<SessionId, Known>,
    spoken: HashMap<u8, SessionId>,
    muted: HashSet<u8>,
    file: BTreeMap<u32, Mark>,
    pending: Vec<Pending<'a>>,
}

fuzz_target!(|input: &[u8]| {
    // frames live as long as the run: chunks borrow from them
    let frames: [OnceCell<Vec<u8>>; STEPS] = [const { OnceCell::new() }; STEPS];
    let mut tape = Tape::new(input);
    let mut world = World {
        receiver: Receiver::new("fuzz", limits(), []),
        now: Duration::from_secs(1_000_000),
        life: 0,
        sessions: HashMap::new(),
        spoken: HashMap::new(),
        muted: HashSet::new(),
        file: BTreeMap::new(),
        pending: Vec::new(),
    };
    for frame in &frames {
        if !tape.is_left() {
            break;
        }
        match tape.below(10) {
            0 => world.now += Duration::from_secs(tape.byte().into()),
            1 => {
                let (peer, key) = sender(&mut tape);
                let bytes = frame.get_or_init(|| tape.bytes().to_vec());
                world.receive(peer, key, bytes);
            }
            2 | 3 => {
                let (peer, key) = sender(&mut tape);
                let bytes = frame.get_or_init(|| hello(&mut tape, &world));
                world.receive(peer, key, bytes);
            }
            4..=6 => {
                let (peer, key) = sender(&mut tape);
                let bytes = frame.get_or_init(|| data(&mut tape, &world, peer));
                world.receive(peer, key, bytes);
            }
            7 => world.take(&mut tape),
            8 => world.later(&mut tape),
            _ => world.restart(),
        }
    }
});

/// A connection, and the key of the message: the connection's own, mostly.
fn sender(tape: &mut Tape<'_>) -> (u8, Option<Key>) {
    let choice = tape.byte();
    let peer = choice % 4;
    let key = if choice >= 0xf0 { choice % 3 } else { peer % 3 };
    (peer, (key > 0).then_some(Key([key; 32])))
}

fn session(tape: &mut Tape<'_>) -> SessionId {
    SessionId([tape.below(5); 16])
}

fn hello(tape: &mut Tape<'_>, world: &World<'_>) -> Vec<u8> {
    let session = session(tape);
    let first = match tape.below(3) {
        0 => world.sessions.get(&session).map_or(0, |known| known.have),
        1 => 0,
        _ => tape.number(),
    };
    let hello = Hello {
        lowest: 1,
        highest: 1,
        number: tape.byte().into(),
        session,
        first,
        next: first.saturating_add(9),
        software: "fuzz",
        name: "",
    };
    let mut frame = Vec::new();
    hello.encode(&mut frame);
    frame
}

fn data(tape: &mut Tape<'_>, world: &World<'_>, peer: u8) -> Vec<u8> {
    let have = world.spoken.get(&peer).and_then(|session| world.sessions.get(session));
    let have = have.map_or(0, |known| known.have);
    let first = match tape.below(4) {
        0 | 1 => have,
        2 => have.saturating_sub(tape.below(6).into()),
        _ => tape.number(),
    };
    let count = tape.below(9);
    let lines: Vec<Vec<u8>> =
        (0..count).map(|_| vec![tape.byte(); usize::from(tape.below(16))]).collect();
    let raw = raw_block(&lines);
    let damage = tape.byte();
    let zstd = damage & 1 == 1;
    let packed = if zstd { zstd::bulk::compress(&raw, 1).expect("zstd") } else { raw.clone() };
    let mut data = Data {
        first,
        count: count.into(),
        raw: raw.len() as u32,
        crc: crc32fast::hash(&raw),
        codec: if zstd { Codec::Zstd } else { Codec::Raw },
        resend: damage & 2 == 2,
        fields: &[],
        block: &packed,
    };
    match damage >> 2 {
        1 => data.crc ^= 1,
        2 => data.count = tape.u32(),
        3 => data.raw = tape.u32(),
        4 => data.block = tape.bytes(),
        5 => data.fields = tape.bytes(),
        _ => {}
    }
    let mut frame = Vec::new();
    data.encode(&mut frame);
    frame
}

impl<'a> World<'a> {
    fn peer(&self, peer: u8) -> PeerId {
        PeerId(self.life << 8 | u64::from(peer))
    }

    fn receive(&mut self, peer: u8, key: Option<Key>, bytes: &'a [u8]) {
        let frame = decode(bytes);
        let muted = self.muted.contains(&peer);
        let forgotten = self.receiver.forgotten();
        let id = self.peer(peer);
        let reaction = self.receiver.receive(self.now, id, key, bytes);
        if self.receiver.forgotten() > forgotten {
            for known in self.sessions.values_mut() {
                (known.perhaps, known.was_perhaps) = (true, true);
            }
        }
        assert!(self.receiver.sessions() <= SESSIONS, "more sessions than there is room for");
        let greets = matches!(frame, Ok(Frame::Hello(_)));
        if muted && !greets {
            assert!(matches!(reaction, Reaction::Nothing), "an answer to a muted connection");
        }
        match (reaction, frame) {
            (Reaction::Nothing, _) => {}
            (Reaction::Wrong(code, _, reply), _) => {
                let Ok(Frame::Error(error)) = decode(&reply) else { panic!("no ERROR: {reply:?}") };
                assert_eq!(error.code, code);
                self.muted.insert(peer);
            }
            (Reaction::Reply(reply), Ok(Frame::Hello(hello))) => {
                self.welcome(peer, key, &hello, &reply);
            }
            (Reaction::Reply(reply), _) => self.acknowledged(peer, &reply),
            (Reaction::Lines(incoming), Ok(Frame::Data(data))) => {
                self.pend(peer, key, incoming, &data);
            }
            (Reaction::Lines(_), frame) => panic!("lines of {frame:?}"),
        }
    }

    fn welcome(&mut self, peer: u8, key: Option<Key>, hello: &Hello<'_>, reply: &[u8]) {
        let Ok(Frame::Welcome(welcome)) = decode(reply) else { panic!("no WELCOME") };
        assert_eq!((welcome.number, welcome.session), (hello.number, hello.session));
        let known = self.sessions.get(&hello.session).copied();
        let was_perhaps = known.is_some_and(|known| known.was_perhaps);
        let fresh = Known { have: hello.first, key, perhaps: false, was_perhaps };
        let (wanted, allowed) = match known {
            None => (hello.first, hello.first),
            Some(known) if known.perhaps => (known.have.max(hello.first), hello.first),
            Some(known) => (known.have.max(hello.first), known.have.max(hello.first)),
        };
        assert!(welcome.have == wanted || welcome.have == allowed, "{welcome:?}, not {wanted}");
        if let Some(known) = known.filter(|known| !known.perhaps) {
            assert_eq!(known.key, key, "a session was opened to another key");
        }
        self.sessions.insert(hello.session, Known { have: welcome.have, ..fresh });
        self.spoken.insert(peer, hello.session);
        self.muted.remove(&peer);
    }

    fn acknowledged(&self, peer: u8, reply: &[u8]) {
        let Ok(Frame::Ack(ack)) = decode(reply) else { panic!("no ACK") };
        let have = self.sessions[&self.spoken[&peer]].have;
        assert_eq!(ack.have, have, "what is acknowledged was not accepted");
    }

    fn pend(&mut self, peer: u8, key: Option<Key>, incoming: Incoming<'a>, data: &Data<'_>) {
        let known = self.sessions[&incoming.session];
        assert_eq!(self.spoken[&peer], incoming.session);
        assert_eq!(known.key, key, "lines of another key were taken into a session");
        assert!(data.first <= known.have && data.count <= 8, "beyond the limits");
        assert_eq!(u64::from(incoming.duplicates), known.have - data.first);
        let raw = match data.codec {
            Codec::Raw => data.block.to_vec(),
            Codec::Zstd => zstd::bulk::decompress(data.block, data.raw as usize).expect("zstd"),
        };
        assert_eq!(crc32fast::hash(&raw), data.crc, "a block with a wrong checksum was taken");
        let block = rzmq_delivery::Block::parse(&raw, data.count).expect("a block");
        let lines = block.lines().map(<[u8]>::to_vec).collect();
        self.pending.push(Pending { incoming, peer, first: data.first, lines });
    }

    fn choose(&mut self, tape: &mut Tape<'_>) -> Option<Pending<'a>> {
        let count = self.pending.len().min(usize::from(u8::MAX)) as u8;
        (count > 0).then(|| self.pending.remove(tape.below(count).into()))
    }

    /// The driver submits the next chunk of some message, unless the session went elsewhere.
    fn take(&mut self, tape: &mut Tape<'_>) {
        let Some(mut pending) = self.choose(tape) else { return };
        if !self.receiver.holds(&pending.incoming) {
            assert!(self.receiver.accepted(self.now, &pending.incoming, &[]).is_none());
            assert!(self.receiver.acknowledge(&pending.incoming).is_none());
            return;
        }
        let session = pending.incoming.session;
        let most = 1 + u32::from(tape.below(4));
        let Some((number, block)) = pending.incoming.chunk(most) else { return };
        let known = self.sessions.get_mut(&session).expect("lines of a session nobody knows");
        assert_eq!(number, known.have, "lines are given twice, or out of order");
        let count = block.len() as u64;
        let mut refused = Vec::new();
        for (line, number) in block.lines().zip(number..) {
            assert_eq!(line, pending.lines[(number - pending.first) as usize], "another line");
            if line.len() > LONGEST {
                refused.push((number, RefusedReason::TooLong, line.len() as u32));
            }
        }
        known.have += count;
        known.perhaps = false;
        let Some(accepted) = self.receiver.accepted(self.now, &pending.incoming, &refused) else {
            panic!("what holds is not accepted")
        };
        let mark = accepted.mark;
        assert_eq!((mark.session, mark.have, mark.key), (session, known.have, known.key));
        assert!((mark.slot as usize) < SESSIONS, "a place beyond the file's end");
        self.file.insert(mark.slot, mark);
        let copies = self.file.values().filter(|other| other.session == session);
        assert!(
            known.was_perhaps || copies.filter(|other| other.have >= mark.have).count() == 1,
            "two marks are latest"
        );
        if !refused.is_empty() {
            let Ok(Frame::Refused(frame)) = decode(&accepted.reply) else { panic!("no REFUSED") };
            assert_eq!(frame.lines().count(), refused.len());
        }
        let reply = self.receiver.acknowledge(&pending.incoming).expect("it still holds");
        self.acknowledged(pending.peer, &reply);
        self.pending.push(pending);
    }

    fn later(&mut self, tape: &mut Tape<'_>) {
        let Some(pending) = self.choose(tape) else { return };
        let pause = Duration::from_secs(1);
        let later = self.receiver.later(&pending.incoming, pause, LaterReason::QueueError);
        let Some(reply) = later else { return };
        let Ok(Frame::Later(later)) = decode(&reply) else { panic!("no LATER") };
        assert_eq!(later.have, self.sessions[&pending.incoming.session].have);
        self.muted.insert(pending.peer);
    }

    /// The receiver was killed: it knows what was written down, and no connection.
    fn restart(&mut self) {
        self.life += 1;
        self.pending.clear();
        self.spoken.clear();
        self.muted.clear();
        self.receiver = Receiver::new("fuzz", limits(), self.file.values().copied());
        self.sessions.clear();
        for mark in self.file.values() {
            let Mark { have, key, session, .. } = *mark;
            let was_perhaps =
                self.file.values().filter(|other| other.session == session).count() > 1;
            let known = Known { have, key, perhaps: false, was_perhaps };
            let old = self.sessions.insert(session, known);
            if let Some(old) = old.filter(|old| old.have >= have) {
                self.sessions.insert(session, old);
            }
        }
        assert_eq!(self.receiver.sessions(), self.sessions.len());
    }
}
