//! The one place that knows what is right. The drivers report what they did; the oracle keeps the
//! first thing that must not be.
//!
//! - Nothing is lost: at the end every line was accepted or refused, and settled.
//! - Nothing is doubled: a line has one id, and each id is accepted once by a receiver. More is
//!   allowed only by what the page allows, and the world says each time which lines that concerns:
//!   the chunk in doubt at a kill, unsettled lines of lost marks, lines that a killed sender's queue
//!   offers again, lines of a session that another key or a clone took.
//! - Order: within a session a receiver accepts the numbers in order, and leaves out only what was
//!   accepted or refused before.
//! - Nothing is settled before it was accepted or refused.

use rzmq_delivery::SessionId;
use std::collections::HashMap;

pub(crate) const RECEIVERS: usize = 2;

/// What became of one number of a session.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    line: Option<u32>,
    refused: bool,
    accepted: [u8; RECEIVERS],
    allowed: [u8; RECEIVERS],
}

#[derive(Debug, Default)]
struct Session {
    fates: Vec<Fate>,
    next: [u64; RECEIVERS],
    /// Another key or a clone took it: its sender may make a new one.
    contested: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Under how many ids it was accepted, and may be.
    ids: u8,
    ids_allowed: u8,
    refused: bool,
    settled: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    sessions: HashMap<SessionId, Session>,
    lines: Vec<Line>,
    /// Lines accepted more than once under the same id, as allowed.
    pub(crate) doubles: u64,
    pub(crate) wrong: Option<String>,
}

impl Oracle {
    /// A new line; its identity.
    pub(crate) fn line(&mut self) -> u32 {
        self.lines.push(Line { ids_allowed: 1, ..Line::default() });
        self.lines.len() as u32 - 1
    }

    pub(crate) fn complain(&mut self, wrong: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            self.wrong = Some(wrong());
        }
    }

    fn fate(&mut self, session: SessionId, number: u64) -> &mut Fate {
        let fates = &mut self.sessions.entry(session).or_default().fates;
        let index = number as usize;
        if fates.len() <= index {
            fates.resize(index + 1, Fate::default());
        }
        &mut fates[index]
    }

    /// Notes the line of a number, and that it comes in its turn.
    fn in_turn(&mut self, receiver: usize, session: SessionId, number: u64, line: u32) {
        let known = *self.fate(session, number).line.get_or_insert(line);
        if known != line {
            self.complain(|| format!("{session}:{number} is line {line}, and was line {known}"));
        }
        let entry = self.sessions.entry(session).or_default();
        let next = entry.next[receiver];
        let gap = (next..number).find(|gap| {
            entry.fates.get(*gap as usize).is_none_or(|fate| {
                !fate.refused && fate.accepted.iter().all(|accepted| *accepted == 0)
            })
        });
        entry.next[receiver] = next.max(number + 1);
        if let Some(gap) = gap {
            self.complain(|| format!("{session}:{number} is taken before {gap}"));
        }
    }

    /// A receiver submitted a line.
    pub(crate) fn accepted(&mut self, receiver: usize, session: SessionId, number: u64, line: u32) {
        if line as usize >= self.lines.len() {
            return self.complain(|| format!("line {line} was never sent"));
        }
        let next = self.sessions.get(&session).map_or(0, |session| session.next[receiver]);
        self.in_turn(receiver, session, number, line);
        let fate = self.fate(session, number);
        let first = fate.accepted.iter().all(|accepted| *accepted == 0);
        fate.accepted[receiver] += 1;
        let Fate { accepted, allowed, .. } = *fate;
        if accepted[receiver] > 1 {
            self.doubles += 1;
        }
        if accepted[receiver] > 1 + allowed[receiver] {
            self.complain(|| {
                format!("{session}:{number} (line {line}) is accepted twice by receiver {receiver}")
            });
        } else if number < next && accepted[receiver] == 1 {
            self.complain(|| format!("{session}:{number} is taken out of its turn"));
        }
        let state = &mut self.lines[line as usize];
        state.ids += u8::from(first);
        if state.ids > state.ids_allowed {
            self.complain(|| {
                format!("line {line} is accepted under a second id {session}:{number}")
            });
        }
    }

    /// A receiver refused a line for good.
    pub(crate) fn refused(&mut self, receiver: usize, session: SessionId, number: u64, line: u32) {
        self.in_turn(receiver, session, number, line);
        self.fate(session, number).refused = true;
        self.refused_by_sender(session, number, line);
    }

    /// A sender refused a line in the receiver's place.
    pub(crate) fn refused_by_sender(&mut self, session: SessionId, number: u64, line: u32) {
        let fate = self.fate(session, number);
        fate.refused = true;
        fate.line = Some(line);
        self.lines[line as usize].refused = true;
    }

    /// A sender was told that a line is settled.
    pub(crate) fn settled(&mut self, session: SessionId, number: u64, line: u32) {
        let state = &mut self.lines[line as usize];
        state.settled = true;
        if state.ids == 0 && !state.refused {
            self.complain(|| {
                format!("{session}:{number} (line {line}) is settled, and nobody accepted it")
            });
        }
    }

    /// Whether a receiver has accepted or refused a number.
    fn is_taken(&self, receiver: usize, session: SessionId, number: u64) -> bool {
        let fate = self.sessions.get(&session).and_then(|s| s.fates.get(number as usize));
        fate.is_some_and(|fate| fate.accepted[receiver] > 0)
    }

    /// A receiver died before it wrote this line's mark, or lost it: it may take it once more.
    pub(crate) fn allow_again(&mut self, receiver: usize, session: SessionId, number: u64) {
        if self.is_taken(receiver, session, number) {
            self.fate(session, number).allowed[receiver] += 1;
        }
    }

    /// A line may be accepted under one more id.
    pub(crate) fn allow_id(&mut self, line: u32) {
        self.lines[line as usize].ids_allowed += 1;
    }

    pub(crate) fn contest(&mut self, session: SessionId) {
        self.sessions.entry(session).or_default().contested = true;
    }

    pub(crate) fn is_contested(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.contested)
    }

    /// After the end: is everything there?
    pub(crate) fn judge(&mut self) {
        let bad = |line: &Line| !line.settled || (line.ids == 0 && !line.refused);
        if let Some(lost) = self.lines.iter().position(bad) {
            let state = self.lines[lost];
            self.complain(|| format!("line {lost} is lost: {state:?}"));
        }
    }
}
