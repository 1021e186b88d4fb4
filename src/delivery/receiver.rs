//! All sessions of one input.
//!
//! The driver hands in each message with the connection it came on and the key it was authenticated
//! with. The answer is nothing, a frame to send back on that connection, or lines. For lines the
//! driver takes chunks, submits them, and calls [`Receiver::accepted`] after each: it answers the mark
//! to write down and the acknowledgement to send, in this order. When the driver's queue answers an
//! error it calls [`Receiver::later`] and takes no further chunk of that message. A driver that hands
//! in other messages between two chunks asks [`Receiver::holds`] before each further chunk.

use crate::block::{self, Block};
use crate::codes::{ErrorCode, LaterReason, RefusedReason};
use crate::marks::Mark;
use crate::wire::{
    Ack, Data, ErrorFrame, Frame, Hello, Later, Limits, Refused, SessionId, VERSION, Welcome,
    decode,
};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
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
    /// The longest line taken; longer ones are refused for good.
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

/// The lines of one DATA frame that are new.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The session.
    pub session: SessionId,
    /// The lines were sent before.
    pub resend: bool,
    /// Lines of the frame that were settled already.
    pub duplicates: u32,
    peer: PeerId,
    welcome: u64,
    frame: u64,
    crc: u32,
    /// First line of the chunk that was given last.
    given_from: u64,
    next: u64,
    raw: Cow<'a, [u8]>,
    /// Lines of `raw` already given out.
    given: u32,
    count: u32,
}

/// What was accepted: first the mark is written, then the frames are sent.
#[derive(Debug)]
pub struct Accepted {
    /// To be written down.
    pub mark: Mark,
    /// To be sent back then, on the same connection.
    pub reply: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Session {
    slot: u32,
    have: u64,
    frame: u64,
    crc: u32,
    count: u32,
    key: Option<Key>,
    owner: Option<PeerId>,
    /// Which welcome it speaks under: what was received under an earlier one is void.
    welcome: u64,
    /// Lines of it were accepted, and a mark written.
    marked: bool,
    heard: Duration,
}

impl Session {
    /// How long it was not heard of. What the clock says of a time to come is of one that was wrong,
    /// and as far away: it is not waited for.
    fn silent(&self, now: Duration) -> Duration {
        now.abs_diff(self.heard)
    }
}

/// The sessions of one key.
#[derive(Debug, Clone, Default)]
struct OfKey {
    sessions: HashSet<SessionId>,
    /// When room among them was last looked for: each key has its own turn.
    swept: Option<Duration>,
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

/// All sessions of one input.
#[derive(Debug, Clone)]
pub struct Receiver {
    software: String,
    limits: ReceiverLimits,
    sessions: HashMap<SessionId, Session>,
    peers: HashMap<PeerId, Peer>,
    free: Vec<u32>,
    slots: u32,
    forgotten: u64,
    welcomes: u64,
    /// When room for sessions was last looked for.
    swept: Option<Duration>,
    of_key: HashMap<Key, OfKey>,
}

/// Between two searches for sessions that can be forgotten.
const SWEEP_AGAIN: Duration = Duration::from_secs(1);
/// A session of which nothing was accepted costs its sender only another hello when it is forgotten.
const FORGET_UNMARKED: Duration = Duration::from_secs(60);
/// A session that is silent for this long gives way where nothing else does.
const GIVE_WAY: Duration = Duration::from_secs(60);
/// Of a full table, so much gives way at once: strangers who take a place with each hello would else
/// take the only one.
const GIVE_WAY_SHARE: usize = 64;
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
        let mut receiver = Self {
            software: software.to_string(),
            limits,
            sessions: HashMap::new(),
            peers: HashMap::new(),
            free: Vec::new(),
            slots: 0,
            forgotten: 0,
            welcomes: 0,
            swept: None,
            of_key: HashMap::new(),
        };
        let mut used = std::collections::BTreeSet::new();
        for mark in marks {
            receiver.slots = receiver.slots.max(mark.slot.saturating_add(1));
            let session = Session {
                slot: mark.slot,
                have: mark.have,
                frame: mark.frame,
                crc: mark.crc,
                count: mark.count,
                key: mark.key,
                owner: None,
                welcome: 0,
                marked: true,
                heard: Duration::from_secs(mark.heard),
            };
            // Twice the same session: the later state counts.
            let known = receiver.sessions.get(&mark.session).is_none_or(|old| old.have < mark.have);
            if known {
                receiver.sessions.insert(mark.session, session);
            }
        }
        for (id, session) in &receiver.sessions {
            if let Some(key) = session.key {
                receiver.of_key.entry(key).or_default().sessions.insert(*id);
            }
        }
        used.extend(receiver.sessions.values().map(|session| session.slot));
        receiver.free = (0..receiver.slots).filter(|slot| !used.contains(slot)).collect();
        receiver
    }

    /// Sessions remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions forgotten so far, because they were not heard of for too long.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
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
        if !self.sessions.contains_key(&hello.session) {
            if !self.makes_room_for_own(now, key) {
                let most = self.limits.sessions_of_key;
                let text = format!("{most} sessions of this key are remembered here, no more");
                return self.refuse(peer, hello.number, ErrorCode::Sessions, text);
            }
            let Some(slot) = self.slot(now) else {
                let text = format!("{} sessions are remembered here, no more", self.sessions.len());
                return self.refuse(peer, hello.number, ErrorCode::Sessions, text);
            };
            let session = Session {
                slot,
                have: hello.first,
                frame: hello.first,
                crc: 0,
                count: 0,
                key,
                owner: None,
                welcome: 0,
                marked: false,
                heard: now,
            };
            self.sessions.insert(hello.session, session);
            if let Some(key) = key {
                self.of_key.entry(key).or_default().sessions.insert(hello.session);
            }
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

    /// Whether a key may have one more session. One that has as many as it may gives up the one it has
    /// not spoken in for longest, if that is a while: a sender makes a session with each start.
    fn makes_room_for_own(&mut self, now: Duration, key: Option<Key>) -> bool {
        let Some(own) = key.and_then(|key| self.of_key.get_mut(&key)) else { return true };
        if own.sessions.len() < self.limits.sessions_of_key {
            return true;
        }
        if own.swept.is_some_and(|swept| now.abs_diff(swept) < SWEEP_AGAIN) {
            return false;
        }
        own.swept = Some(now);
        let sessions = own.sessions.iter().filter_map(|id| Some((self.sessions.get(id)?, *id)));
        let silent = sessions.filter(|(session, _)| session.silent(now) >= GIVE_WAY);
        let Some((_, oldest)) = silent.min_by_key(|(session, id)| (session.heard, *id)) else {
            return false;
        };
        self.forget(oldest);
        true
    }

    fn forget(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.forgotten += 1;
        self.free.push(session.slot);
        let Some(key) = session.key else { return };
        if let Some(own) = self.of_key.get_mut(&key) {
            own.sessions.remove(&id);
            if own.sessions.is_empty() {
                self.of_key.remove(&key);
            }
        }
    }

    /// A place for one more session: a free one, or that of a session not heard of for too long. Where
    /// there is none, those that were silent for longest give way: what they had in doubt may come
    /// twice, but without a session a sender delivers nothing.
    fn slot(&mut self, now: Duration) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        if self.sessions.len() < self.limits.sessions {
            self.slots += 1;
            return Some(self.slots - 1);
        }
        // Looking through all of them is dear, and a stranger's hello costs him nothing.
        if self.swept.is_some_and(|swept| now.abs_diff(swept) < SWEEP_AGAIN) {
            return None;
        }
        self.swept = Some(now);
        let due = |session: &Session| {
            let after = if session.marked { self.limits.forget_after } else { FORGET_UNMARKED };
            session.silent(now) >= after
        };
        let mut gone = self.oldest(due);
        if gone.is_empty() {
            gone = self.oldest(|session| session.silent(now) >= GIVE_WAY);
            gone.truncate((self.limits.sessions / GIVE_WAY_SHARE).max(1));
        }
        gone.into_iter().for_each(|(_, id)| self.forget(id));
        self.free.pop()
    }

    /// Sessions of this kind, the one not heard of for longest first; the map's own order is another
    /// one in each process, and what follows from the same input is not.
    fn oldest(&self, kind: impl Fn(&Session) -> bool) -> Vec<(Duration, SessionId)> {
        let kind = self.sessions.iter().filter(|(_, session)| kind(session));
        let mut found: Vec<_> = kind.map(|(id, session)| (session.heard, *id)).collect();
        found.sort_unstable();
        found
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
        let Session { have, frame, crc, welcome, .. } = *session;
        let limits = &self.limits.frames;
        let expanded = data.block.len() as u64 * u64::from(limits.expansion);
        if bytes > limits.frame as usize || data.count > limits.lines || data.raw > limits.frame {
            let text = format!("a frame of {bytes} bytes, {} lines, {} raw", data.count, data.raw);
            return self.wrong(peer, ErrorCode::Limit, text);
        }
        if u64::from(data.raw) > expanded {
            let text = format!("{} bytes unpack into {}", data.block.len(), data.raw);
            return self.wrong(peer, ErrorCode::Limit, text);
        }
        if data.first > have {
            let text = format!("line {have} is awaited, the frame begins at {}", data.first);
            return self.wrong(peer, ErrorCode::Gap, text);
        }
        let end = data.first + u64::from(data.count);
        if end <= have {
            return Reaction::Reply(self.ack(have, hello));
        }
        // A frame that is partly settled must be the one in which `have` lies, if that one is known.
        let partly = data.first < have && frame < have;
        if partly && (data.first != frame || data.crc != crc) {
            let text = format!("line {} comes again with other content", data.first);
            return self.wrong(peer, ErrorCode::Content, text);
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
        let mark = Mark {
            slot: session.slot,
            session: incoming.session,
            have: session.have,
            frame: session.frame,
            crc: session.crc,
            count: session.count,
            key: session.key,
            heard: now.as_secs(),
        };
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

impl Incoming<'_> {
    /// Whether there is another chunk.
    pub fn has_more(&self) -> bool {
        self.given < self.count
    }

    /// The next lines, up to `most` of them, with the number of the first; `None` when all are given.
    pub fn chunk(&mut self, most: u32) -> Option<(u64, Block<'_>)> {
        let left = self.count - self.given;
        if left == 0 {
            return None;
        }
        let mut block = Block::parse(&self.raw, self.count).ok()?;
        block.split(self.given as usize);
        let taken = left.min(most);
        let chunk = block.split(taken as usize);
        self.given_from = self.next;
        self.given += taken;
        self.next += u64::from(taken);
        Some((self.given_from, chunk))
    }
}
