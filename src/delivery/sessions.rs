//! The table of an input's sessions: it knows what marks say, and makes room where there is none.
//!
//! Each session has a slot, the place of its mark in the driver's file. A slot is used again when its session is
//! forgotten.

use crate::marks::Mark;
use crate::receiver::{Key, PeerId, ReceiverLimits};
use crate::wire::SessionId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// Between two searches for sessions that can be forgotten.
const SWEEP_AGAIN: Duration = Duration::from_secs(1);
/// A session of which nothing was accepted costs its sender only another hello when it is forgotten.
const FORGET_UNMARKED: Duration = Duration::from_secs(60);
/// A session that is silent for this long gives way where nothing else does.
const GIVE_WAY: Duration = Duration::from_secs(60);
/// Of a full table, so much gives way at once: strangers who take a place with each hello would else
/// take the only one.
const GIVE_WAY_SHARE: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Session {
    slot: u32,
    pub(crate) have: u64,
    pub(crate) frame: u64,
    pub(crate) crc: u32,
    pub(crate) count: u32,
    pub(crate) key: Option<Key>,
    pub(crate) owner: Option<PeerId>,
    /// Which welcome it speaks under: what was received under an earlier one is void.
    pub(crate) welcome: u64,
    /// Lines of it were accepted, and a mark written.
    pub(crate) marked: bool,
    pub(crate) heard: Duration,
}

impl Session {
    /// How long it was not heard of. What the clock says of a time to come is of one that was wrong,
    /// and as far away: it is not waited for.
    fn silent(&self, now: Duration) -> Duration {
        now.abs_diff(self.heard)
    }

    fn of(mark: &Mark) -> Self {
        Self {
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
        }
    }

    /// What is to be written down of it.
    pub(crate) fn mark(&self, id: SessionId) -> Mark {
        Mark {
            slot: self.slot,
            session: id,
            have: self.have,
            frame: self.frame,
            crc: self.crc,
            count: self.count,
            key: self.key,
            heard: self.heard.as_secs(),
        }
    }
}

/// The sessions of one key.
#[derive(Debug, Clone, Default)]
struct OfKey {
    sessions: HashSet<SessionId>,
    /// When room among them was last looked for: each key has its own turn.
    swept: Option<Duration>,
}

/// All sessions of one input.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    /// How many are remembered, and how many of one key.
    most: usize,
    most_of_key: usize,
    /// After how long without a word one is forgotten.
    forget_after: Duration,
    known: HashMap<SessionId, Session>,
    free: Vec<u32>,
    slots: u32,
    forgotten: u64,
    /// When room was last looked for.
    swept: Option<Duration>,
    of_key: HashMap<Key, OfKey>,
}

impl Sessions {
    /// Those of which there are marks.
    pub(crate) fn new(limits: &ReceiverLimits, marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut sessions = Self {
            most: limits.sessions,
            most_of_key: limits.sessions_of_key,
            forget_after: limits.forget_after,
            known: HashMap::new(),
            free: Vec::new(),
            slots: 0,
            forgotten: 0,
            swept: None,
            of_key: HashMap::new(),
        };
        for mark in marks {
            sessions.slots = sessions.slots.max(mark.slot.saturating_add(1));
            // Twice the same session: the later state counts.
            if sessions.known.get(&mark.session).is_none_or(|old| old.have < mark.have) {
                sessions.known.insert(mark.session, Session::of(&mark));
            }
        }
        for (id, session) in &sessions.known {
            if let Some(key) = session.key {
                sessions.of_key.entry(key).or_default().sessions.insert(*id);
            }
        }
        let used: BTreeSet<_> = sessions.known.values().map(|session| session.slot).collect();
        sessions.free = (0..sessions.slots).filter(|slot| !used.contains(slot)).collect();
        sessions
    }

    /// Sessions remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Sessions forgotten so far.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.known.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.known.get_mut(id)
    }

    /// Makes sure that there is this session; a new one begins with line `first`. The error says why there
    /// can be none.
    pub(crate) fn open(
        &mut self,
        now: Duration,
        id: SessionId,
        key: Option<Key>,
        first: u64,
    ) -> Result<(), String> {
        if self.known.contains_key(&id) {
            return Ok(());
        }
        if !self.makes_room_for_own(now, key) {
            let most = self.most_of_key;
            return Err(format!("{most} sessions of this key are remembered here, no more"));
        }
        let Some(slot) = self.slot(now) else {
            return Err(format!("{} sessions are remembered here, no more", self.known.len()));
        };
        let session = Session {
            slot,
            have: first,
            frame: first,
            crc: 0,
            count: 0,
            key,
            owner: None,
            welcome: 0,
            marked: false,
            heard: now,
        };
        self.known.insert(id, session);
        if let Some(key) = key {
            self.of_key.entry(key).or_default().sessions.insert(id);
        }
        Ok(())
    }

    /// Whether a key may have one more session. One that has as many as it may gives up the one it has
    /// not spoken in for longest, if that is a while: a sender makes a session with each start.
    fn makes_room_for_own(&mut self, now: Duration, key: Option<Key>) -> bool {
        let Some(own) = key.and_then(|key| self.of_key.get_mut(&key)) else { return true };
        if own.sessions.len() < self.most_of_key {
            return true;
        }
        if own.swept.is_some_and(|swept| now.abs_diff(swept) < SWEEP_AGAIN) {
            return false;
        }
        own.swept = Some(now);
        let sessions = own.sessions.iter().filter_map(|id| Some((self.known.get(id)?, *id)));
        let silent = sessions.filter(|(session, _)| session.silent(now) >= GIVE_WAY);
        let Some((_, oldest)) = silent.min_by_key(|(session, id)| (session.heard, *id)) else {
            return false;
        };
        self.forget(oldest);
        true
    }

    fn forget(&mut self, id: SessionId) {
        let Some(session) = self.known.remove(&id) else { return };
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
        if self.known.len() < self.most {
            self.slots += 1;
            return Some(self.slots - 1);
        }
        // Looking through all of them is dear, and a stranger's hello costs him nothing.
        if self.swept.is_some_and(|swept| now.abs_diff(swept) < SWEEP_AGAIN) {
            return None;
        }
        self.swept = Some(now);
        let due = |session: &Session| {
            let after = if session.marked { self.forget_after } else { FORGET_UNMARKED };
            session.silent(now) >= after
        };
        let mut gone = self.oldest(due);
        if gone.is_empty() {
            gone = self.oldest(|session| session.silent(now) >= GIVE_WAY);
            gone.truncate((self.most / GIVE_WAY_SHARE).max(1));
        }
        gone.into_iter().for_each(|(_, id)| self.forget(id));
        self.free.pop()
    }

    /// Sessions of this kind, the one not heard of for longest first; the map's own order is another
    /// one in each process, and what follows from the same input is not.
    fn oldest(&self, kind: impl Fn(&Session) -> bool) -> Vec<(Duration, SessionId)> {
        let kind = self.known.iter().filter(|(_, session)| kind(session));
        let mut found: Vec<_> = kind.map(|(id, session)| (session.heard, *id)).collect();
        found.sort_unstable();
        found
    }
}
