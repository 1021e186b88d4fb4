//! Frames of docs/protocol.md by hand: what a peer says that means no good, or is not ours at all.

use std::time::Duration;

use harness::{Peer, SOON};

/// ERROR codes.
pub const NO_SESSION: u16 = 1;
pub const VERSION: u16 = 2;
pub const OTHER_KEY: u16 = 3;
pub const FENCED: u16 = 4;
pub const MALFORMED: u16 = 5;
pub const CONTENT: u16 = 6;
pub const GAP: u16 = 7;
pub const LIMIT: u16 = 8;
pub const SESSIONS: u16 = 9;

/// Kinds of frames.
const WELCOME: u8 = 0x81;
const ACK: u8 = 0x82;
const REFUSED: u8 = 0x83;
pub const LATER: u8 = 0x84;
const ERROR: u8 = 0x85;

pub type Session = [u8; 16];

/// A session that no other number gives.
pub fn session(number: usize) -> Session {
    let mut session = [0x5e; 16];
    session[..8].copy_from_slice(&(number as u64).to_le_bytes());
    session
}

fn head(kind: u8) -> Vec<u8> {
    vec![0, b'R', b'Z', 1, kind, 0, 0, 0]
}

/// HELLO of versions `lowest` to `highest`.
pub fn hello_of(
    versions: [u8; 2],
    number: u32,
    session: Session,
    first: u64,
    next: u64,
) -> Vec<u8> {
    let mut frame = head(1);
    frame.extend([versions[0], versions[1], 0, 0]);
    frame.extend(number.to_le_bytes());
    frame.extend(session);
    frame.extend(first.to_le_bytes());
    frame.extend(next.to_le_bytes());
    frame
}

/// HELLO of a new session.
pub fn hello(number: u32, session: Session) -> Vec<u8> {
    hello_of([1, 1], number, session, 0, 0)
}

/// A receiver's welcome to this frame, if it is a hello: it has nothing of the session.
pub fn welcome_of(frame: &[u8]) -> Option<Vec<u8>> {
    let said = frame.get(..48).filter(|frame| frame[4] == 1)?;
    let mut welcome = head(WELCOME);
    welcome.extend([1, 1, 0, 0]);
    welcome.extend(&said[12..40]);
    // window, frame, lines, expansion
    welcome.extend([4 << 20, 16 << 20, 4_096, 256].map(u32::to_le_bytes).concat());
    welcome.extend(&said[32..40]);
    welcome.extend([0; 8]);
    Some(welcome)
}

/// A receiver's acknowledgement of all lines below this number, under this hello.
pub fn ack(have: u64, hello: u32) -> Vec<u8> {
    let mut frame = head(ACK);
    frame.extend(have.to_le_bytes());
    frame.extend((4_u32 << 20).to_le_bytes());
    frame.extend(hello.to_le_bytes());
    frame
}

/// A receiver's refusal of line 0 under this hello, so many times.
pub fn refusals(hello: u32, times: u32) -> Vec<u8> {
    let mut frame = head(REFUSED);
    frame.extend(times.to_le_bytes());
    frame.extend(hello.to_le_bytes());
    // number, too long, reserved, bytes
    let line = [&[0; 8][..], &[1, 0, 0, 0], &[0; 4]].concat();
    frame.extend(line.repeat(times as usize));
    frame
}

/// A receiver's error under this hello, without a word.
pub fn error(code: u16, hello: u32) -> Vec<u8> {
    let mut frame = head(ERROR);
    frame.extend(code.to_le_bytes());
    frame.extend([0; 2]);
    frame.extend(hello.to_le_bytes());
    frame
}

/// What a sender says, as far as the tests look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Hello { number: u32, session: Session },
    Data { first: u64, lines: Vec<String> },
}

/// Reads a frame of a sender that does not pack its lines.
pub fn said(bytes: &[u8]) -> Said {
    assert!(bytes.starts_with(&head(0)[..4]), "a frame of another kind: {bytes:?}");
    match bytes[4] {
        1 => Said::Hello {
            number: u32_at(bytes, 12),
            session: bytes[16..32].try_into().expect("a session"),
        },
        2 => {
            let (count, fields) =
                (u32_at(bytes, 16) as usize, u16::from_le_bytes([bytes[30], bytes[31]]));
            let lengths = 32 + usize::from(fields);
            let mut at = lengths + 4 * count;
            let line = |index: usize| {
                let start = at;
                at += u32_at(bytes, lengths + 4 * index) as usize;
                String::from_utf8_lossy(&bytes[start..at]).into_owned()
            };
            Said::Data { first: u64_at(bytes, 8), lines: (0..count).map(line).collect() }
        }
        other => panic!("a frame of type {other} from a sender"),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A frame of a type that nobody knows, and that must not be skipped.
pub fn unknown() -> Vec<u8> {
    head(0x20)
}

/// What a DATA frame says of itself, true or not.
pub struct Claims {
    pub first: u64,
    pub count: u32,
    pub raw: u32,
    pub crc: u32,
    pub codec: u8,
    pub fields: u16,
}

impl Claims {
    pub fn of(first: u64, block: &[u8], count: usize) -> Self {
        Claims {
            first,
            count: count as u32,
            raw: block.len() as u32,
            crc: crc32(block),
            codec: 0,
            fields: 0,
        }
    }

    pub fn frame(&self, block: &[u8]) -> Vec<u8> {
        let mut frame = head(2);
        frame.extend(self.first.to_le_bytes());
        frame.extend(self.count.to_le_bytes());
        frame.extend(self.raw.to_le_bytes());
        frame.extend(self.crc.to_le_bytes());
        frame.extend([self.codec, 0]);
        frame.extend(self.fields.to_le_bytes());
        frame.extend(block);
        frame
    }
}

/// The raw block of lines.
pub fn block(lines: &[String]) -> Vec<u8> {
    let mut block: Vec<u8> =
        lines.iter().flat_map(|line| (line.len() as u32).to_le_bytes()).collect();
    block.extend(lines.iter().flat_map(|line| line.bytes()));
    block
}

/// DATA with these lines, as it should be.
pub fn data(first: u64, lines: &[String]) -> Vec<u8> {
    let block = block(lines);
    Claims::of(first, &block, lines.len()).frame(&block)
}

/// CRC-32 as zlib has it, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// What a receiver answers, as far as the tests look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Welcome { have: u64 },
    Ack { have: u64 },
    Error { code: u16, text: String },
    Other(u8),
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
}

/// Reads a frame of a receiver.
pub fn answer(bytes: &[u8]) -> Answer {
    assert!(bytes.starts_with(&head(0)[..4]), "a frame of another kind: {bytes:?}");
    match bytes[4] {
        WELCOME => Answer::Welcome { have: u64_at(bytes, 32) },
        ACK => Answer::Ack { have: u64_at(bytes, 8) },
        ERROR => Answer::Error {
            code: u16::from_le_bytes([bytes[8], bytes[9]]),
            text: String::from_utf8_lossy(&bytes[16..]).into_owned(),
        },
        other => Answer::Other(other),
    }
}

/// The next answer.
#[track_caller]
pub fn next(peer: &Peer) -> Answer {
    let frames = peer.receive(SOON).expect("an answer");
    answer(frames.last().map_or(&[], Vec::as_slice))
}

/// No answer comes.
#[track_caller]
pub fn silent(peer: &Peer, time: Duration) {
    let frames = peer.receive(time);
    assert!(frames.is_none(), "an answer to a muted peer: {frames:?}");
}

#[track_caller]
pub fn say(peer: &Peer, frame: &[u8]) {
    assert!(peer.send(&[frame], SOON), "the receiver takes nothing");
}

/// Says hello; the answer is what the receiver has.
#[track_caller]
pub fn greet(peer: &Peer, number: u32, session: Session) -> u64 {
    say(peer, &hello(number, session));
    match next(peer) {
        Answer::Welcome { have } => have,
        other => panic!("{other:?} to a hello"),
    }
}

/// Sends a frame that is refused with this code.
#[track_caller]
pub fn refused(peer: &Peer, frame: &[u8], code: u16) {
    say(peer, frame);
    match next(peer) {
        Answer::Error { code: answered, text } => {
            assert_eq!(answered, code, "{text}");
            assert!(!text.is_empty(), "an error without a word");
        }
        other => panic!("{other:?} instead of the error {code}"),
    }
}

/// Waits for the acknowledgement of everything below this number.
#[track_caller]
pub fn acknowledged(peer: &Peer, up_to: u64) {
    loop {
        match next(peer) {
            Answer::Ack { have } if have >= up_to => return,
            Answer::Ack { .. } => {}
            other => panic!("{other:?} instead of an acknowledgement"),
        }
    }
}
