//! The receiving side of one input: what it answers to the frames of all its senders.
//!
//! The driver hands in each message with the connection it came on and the key it was authenticated
//! with. The answer is nothing, a frame to send back on that connection, or lines. For lines the
//! driver takes chunks, submits them, and calls [`Receiver::accepted`] after each: it answers the mark
//! to write down and the acknowledgement to send, in this order. When the driver's queue answers an
//! error it calls [`Receiver::later`] and takes no further chunk of that message. A driver that hands
//! in other messages between two chunks asks [`Receiver::holds`] before each further chunk.

use crate::block::{self, Block};
use crate::codes::{ErrorCode, LaterReason, RefusedReason};
use crate::incoming::Incoming;
use crate::marks::Mark;
use crate::sessions::{Session, Sessions};
use crate::wire::{
    Ack, Data, ErrorFrame, Frame, Hello, Later, Limits, Refused, SessionId, VERSION, Welcome,
    decode,
};
use std::collections::HashMap;
use std::time::Duration;

/// A connection, as the driver numbers them; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// The public key a connection was authenticated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// Bounds of a receiver.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverLimits {
    /// What a sender is told.
    pub frames: Limits,
    /// Bytes of the longest line taken; longer ones are refused for good.
    pub line: usize,
    /// Sessions remembered.
    pub sessions: usize,
    /// Of these, sessions of one key. Without keys there is no such limit.
    pub sessions_of_key: usize,
    /// A session that was not heard of for this long is forgotten when its place is needed.
    pub forget_after: Duration,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            frames: Limits::default(),
            line: 16 << 20,
            sessions: 65_536,
            sessions_of_key: 1024,
            forget_after: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What a message came to.
#[derive(Debug)]
pub enum Reaction<'a> {
    /// Nothing to do.
    Nothing,
    /// To be sent back on the same connection.
    Reply(Vec<u8>),
    /// The peer did something wrong: logged by the driver, and answered.
    Wrong(ErrorCode, String, Vec<u8>),
    /// Lines to be submitted, chunk by chunk.
    Lines(Incoming<'a>),
}

/// What was accepted: first the mark is written, then the frames are sent.
#[derive(Debug)]
pub struct Accepted {
    /// To be written down.
    pub mark: Mark,
    /// To be sent back then, on the same connection.
    pub reply: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    session: Option<SessionId>,
    /// Number of the hello it was last welcomed with.
    hello: u32,
    heard: Duration,
    /// After an error: ignored until it says hello.
    muted: bool,
}

/// The receiving side of one input.
#[derive(Debug, Clone)]
pub struct Receiver {
    software: String,
    limits: ReceiverLimits,
    sessions: Sessions,
    peers: HashMap<PeerId, Peer>,
    welcomes: u64,
}

const OTHER_KEY: &str = "the session belongs to another key";
/// Connections remembered; more are forgotten, the longest silent first, and say hello again.
const PEERS_MAX: usize = 65_536;

impl Receiver {
    /// A receiver that knows what `marks` say.
    pub fn new(
        software: &str,
        limits: ReceiverLimits,
        marks: impl IntoIterator<Item = Mark>,
    ) -> Self {
        Self {
            software: software.to_string(),
            limits,
            sessions: Sessions::new(&limits, marks),
            peers: HashMap::new(),
            welcomes: 0,
        }
    }

    /// Sessions remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions forgotten so far, because they were not heard of for too long.
    pub fn forgotten(&self) -> u64 {
        self.sessions.forgotten()
    }

    /// Takes a message of a connection. `now` is the time since 1970.
    pub fn receive<'a>(
        &mut self,
        now: Duration,
        peer: PeerId,
        key: Option<Key>,
        bytes: &'a [u8],
    ) -> Reaction<'a> {
        self.make_room_for_peer(peer);
        let stranger = Peer { session: None, hello: 0, heard: now, muted: false };
        let state = self.peers.entry(peer).or_insert(stranger);
        state.heard = now;
        let muted = state.muted;
        match decode(bytes) {
            Ok(Frame::Hello(hello)) => self.hello(now, peer, key, hello),
            Ok(_) | Err(_) if muted => Reaction::Nothing,
            Ok(Frame::Data(data)) => self.data(now, peer, key, data, bytes.len()),
            Ok(Frame::Skipped) => Reaction::Nothing,
            Ok(_) => {
                self.wrong(peer, ErrorCode::Malformed, "a frame that only receivers send".into())
            }
            Err(why) => self.wrong(peer, ErrorCode::Malformed, why.to_string()),
        }
    }

    fn make_room_for_peer(&mut self, peer: PeerId) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            return;
        }
        // Half at a time, so that it is seldom.
        let mut heard: Vec<_> = self.peers.values().map(|peer| peer.heard).collect();
        heard.sort_unstable();
        let median = heard.get(heard.len() / 2).copied().unwrap_or_default();
        self.peers.retain(|_, peer| peer.heard > median);
    }

    fn wrong<'a>(&mut self, peer: PeerId, code: ErrorCode, text: String) -> Reaction<'a> {
        let hello = self.peers.get(&peer).map_or(0, |peer| peer.hello);
        self.refuse(peer, hello, code, text)
    }

    fn refuse<'a>(
        &mut self,
        peer: PeerId,
        hello: u32,
        code: ErrorCode,
        text: String,
    ) -> Reaction<'a> {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.muted = true;
        }
        let mut reply = Vec::new();
        ErrorFrame { code, hello, text: &text }.encode(&mut reply);
        Reaction::Wrong(code, text, reply)
    }

    fn hello<'a>(
        &mut self,
        now: Duration,
        peer: PeerId,
        key: Option<Key>,
        hello: Hello<'_>,
    ) -> Reaction<'a> {
        if !(hello.lowest..=hello.highest).contains(&VERSION) {
            let text = format!(
                "versions {} to {} are spoken there, {VERSION} here",
                hello.lowest, hello.highest
            );
            return self.refuse(peer, hello.number, ErrorCode::Version, text);
        }
        if let Err(text) = self.sessions.open(now, hello.session, key, hello.first) {
            return self.refuse(peer, hello.number, ErrorCode::Sessions, text);
        }
        let Some(session) = self.sessions.get_mut(&hello.session) else { return Reaction::Nothing };
        if session.key != key {
            return self.refuse(peer, hello.number, ErrorCode::Key, OTHER_KEY.into());
        }
        self.welcomes += 1;
        session.welcome = self.welcomes;
        session.owner = Some(peer);
        session.heard = now;
        // The sender knows that these are settled; the marks were lost.
        if session.have < hello.first {
            session.have = hello.first;
            session.frame = hello.first;
            (session.crc, session.count) = (0, 0);
        }
        let welcome = Welcome {
            version: VERSION,
            meaning: 1,
            number: hello.number,
            session: hello.session,
            have: session.have,
            frame: session.frame,
            crc: session.crc,
            count: session.count,
            limits: self.limits.frames,
        };
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.session = Some(hello.session);
            peer.hello = hello.number;
            peer.muted = false;
        }
        let mut reply = Vec::new();
        welcome.encode(&self.software, &mut reply);
        Reaction::Reply(reply)
    }

    fn data<'a>(
        &mut self,
        now: Duration,
        peer: PeerId,
        key: Option<Key>,
        data: Data<'a>,
        bytes: usize,
    ) -> Reaction<'a> {
        let known = self.peers.get(&peer);
        let hello = known.map_or(0, |peer| peer.hello);
        let id = known.and_then(|peer| peer.session);
        let Some((id, session)) = id.and_then(|id| Some((id, self.sessions.get_mut(&id)?))) else {
            return self.wrong(peer, ErrorCode::NoSession, "lines before a hello".into());
        };
        if session.owner != Some(peer) {
            let text = "the session speaks from another connection now".to_string();
            return self.wrong(peer, ErrorCode::Fenced, text);
        }
        // A driver knows a connection by a name that its peer chose: another peer can choose it too.
        if session.key != key {
            return self.wrong(peer, ErrorCode::Key, OTHER_KEY.into());
        }
        session.heard = now;
        let limits = &self.limits.frames;
        if let Some((code, text)) = objection(&data, bytes, limits, session) {
            return self.wrong(peer, code, text);
        }
        let Session { have, welcome, .. } = *session;
        if data.end() <= have {
            return Reaction::Reply(self.ack(have, hello));
        }
        let raw = match block::unpack(&data, limits.frame) {
            Ok(raw) => raw,
            Err(why) => return self.wrong(peer, ErrorCode::Malformed, why.to_string()),
        };
        if let Err(why) = Block::parse(&raw, data.count) {
            return self.wrong(peer, ErrorCode::Malformed, why.to_string());
        }
        let duplicates = (have - data.first) as u32;
        Reaction::Lines(Incoming {
            session: id,
            resend: data.resend,
            duplicates,
            peer,
            welcome,
            frame: data.first,
            crc: data.crc,
            given_from: have,
            next: have,
            raw,
            given: duplicates,
            count: data.count,
        })
    }

    fn ack(&self, have: u64, hello: u32) -> Vec<u8> {
        let mut reply = Vec::new();
        Ack { have, window: self.limits.frames.window, hello }.encode(&mut reply);
        reply
    }

    /// Whether the connection that `incoming` came on still speaks for its session, has not said hello
    /// since, and no other frame brought the same lines. If not, its lines may come again elsewhere, and
    /// an answer would be read as one about another session: none of them is submitted.
    pub fn holds(&self, incoming: &Incoming<'_>) -> bool {
        let Incoming { session, peer, welcome, given_from, next, .. } = incoming;
        let speaks = self.peers.get(peer).is_some_and(|peer| peer.session == Some(*session));
        let follows = |session: &Session| [*given_from, *next].contains(&session.have);
        let session = self.sessions.get(session).filter(|session| session.welcome == *welcome);
        speaks && session.is_some_and(follows)
    }

    fn hello_of(&self, incoming: &Incoming<'_>) -> u32 {
        self.peers.get(&incoming.peer).map_or(0, |peer| peer.hello)
    }

    /// The lines of `incoming` up to the last chunk taken were accepted, but for those in `refused`
    /// (number, reason and bytes), which are never taken. `None` when the session is no longer this
    /// connection's.
    pub fn accepted(
        &mut self,
        now: Duration,
        incoming: &Incoming<'_>,
        refused: &[(u64, RefusedReason, u32)],
    ) -> Option<Accepted> {
        if !self.holds(incoming) {
            return None;
        }
        let hello = self.hello_of(incoming);
        let session = self.sessions.get_mut(&incoming.session)?;
        if session.have != incoming.given_from {
            return None;
        }
        session.have = incoming.next;
        session.frame = incoming.frame;
        session.crc = incoming.crc;
        session.count = incoming.count;
        session.marked = true;
        session.heard = now;
        let mark = session.mark(incoming.session);
        let mut reply = Vec::new();
        if !refused.is_empty() {
            Refused::encode(hello, refused, &mut reply);
        }
        Some(Accepted { mark, reply })
    }

    /// The acknowledgement of what a session has. `None` as with [`Receiver::accepted`].
    pub fn acknowledge(&self, incoming: &Incoming<'_>) -> Option<Vec<u8>> {
        let session = self.sessions.get(&incoming.session).filter(|_| self.holds(incoming))?;
        Some(self.ack(session.have, self.hello_of(incoming)))
    }

    /// The driver cannot take more of `incoming` now: the frame to send back. The connection is
    /// ignored until it says hello. `None` as with [`Receiver::accepted`].
    pub fn later(
        &mut self,
        incoming: &Incoming<'_>,
        pause: Duration,
        reason: LaterReason,
    ) -> Option<Vec<u8>> {
        let session = self.sessions.get(&incoming.session).filter(|_| self.holds(incoming))?;
        let have = session.have;
        let hello = self.hello_of(incoming);
        if let Some(peer) = self.peers.get_mut(&incoming.peer) {
            peer.muted = true;
        }
        let milliseconds = u32::try_from(pause.as_millis()).unwrap_or(u32::MAX);
        let mut reply = Vec::new();
        Later { have, milliseconds, reason, hello }.encode(&mut reply);
        Some(reply)
    }
}

/// What is wrong with a frame of `bytes` that its session sends now.
fn objection(
    data: &Data<'_>,
    bytes: usize,
    limits: &Limits,
    session: &Session,
) -> Option<(ErrorCode, String)> {
    let Session { have, frame, crc, .. } = *session;
    if bytes > limits.frame as usize || data.count > limits.lines || data.raw > limits.frame {
        let text = format!("a frame of {bytes} bytes, {} lines, {} raw", data.count, data.raw);
        return Some((ErrorCode::Limit, text));
    }
    let expanded = data.block.len() as u64 * u64::from(limits.expansion);
    if u64::from(data.raw) > expanded {
        let text = format!("{} bytes unpack into {}", data.block.len(), data.raw);
        return Some((ErrorCode::Limit, text));
    }
    if data.first > have {
        let text = format!("line {have} is awaited, the frame begins at {}", data.first);
        return Some((ErrorCode::Gap, text));
    }
    // A frame that is partly settled must be the one in which `have` lies, if that one is known.
    let partly = data.first < have && have < data.end() && frame < have;
    if partly && (data.first != frame || data.crc != crc) {
        let text = format!("line {} comes again with other content", data.first);
        return Some((ErrorCode::Content, text));
    }
    None
}
