//! Which fault met which state, over all schedules.

use crate::schedule::{KINDS, Kind};
use std::fmt;

/// States of a sender and of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    SenderDown,
    SenderAlone,
    SenderGreets,
    SenderOpen,
    SenderInFlight,
    SenderPauses,
    SenderResumes,
    ReceiverDown,
    ReceiverIdle,
    ReceiverQueues,
    ReceiverBusy,
}

pub(crate) const STATES: [State; 11] = [
    State::SenderDown,
    State::SenderAlone,
    State::SenderGreets,
    State::SenderOpen,
    State::SenderInFlight,
    State::SenderPauses,
    State::SenderResumes,
    State::ReceiverDown,
    State::ReceiverIdle,
    State::ReceiverQueues,
    State::ReceiverBusy,
];

/// Where in a chunk a receiver ended.
pub(crate) const STEPS: [&str; 5] =
    ["before a chunk", "submitted", "mark written", "acknowledged", "between messages"];

#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    cells: [[u64; STATES.len()]; KINDS.len()],
    /// Ends of receivers: kills, stops.
    pub(crate) ends: [[u64; STEPS.len()]; 2],
    pub(crate) lines: u64,
    pub(crate) faults: u64,
    pub(crate) doubles: u64,
    pub(crate) sessions_lost: u64,
    /// Frames that were sent again with fewer lines, as over a slow link.
    pub(crate) shrunk: u64,
}

impl Table {
    pub(crate) fn count(&mut self, kind: Kind, state: State) {
        self.cells[kind as usize][state as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = self.cells.iter_mut().flatten().zip(other.cells.iter().flatten());
        let ends = self.ends.iter_mut().flatten().zip(other.ends.iter().flatten());
        for (own, more) in pairs.chain(ends) {
            *own += more;
        }
        self.lines += other.lines;
        self.faults += other.faults;
        self.doubles += other.doubles;
        self.sessions_lost += other.sessions_lost;
        self.shrunk += other.shrunk;
    }

    /// The cells that nothing hit, and what else never happened.
    pub(crate) fn zeros(&self) -> Vec<String> {
        let cells = KINDS.iter().flat_map(|kind| STATES.iter().map(move |state| (kind, state)));
        let zeros =
            cells.filter(|(kind, state)| self.cells[**kind as usize][**state as usize] == 0);
        let mut zeros: Vec<_> =
            zeros.map(|(kind, state)| format!("{kind:?} × {state:?}")).collect();
        // A stop is obeyed before a chunk or between messages, nowhere else.
        let steps = [(0, 0..5), (1, 0..1), (1, 4..5)];
        for (row, range) in steps {
            for step in range.filter(|step| self.ends[row][*step] == 0) {
                zeros.push(format!("{} × {}", ["kill", "stop"][row], STEPS[step]));
            }
        }
        if self.shrunk == 0 {
            zeros.push("a frame that shrinks".into());
        }
        zeros
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "fault × state")?;
        for state in STATES {
            write!(f, "{:>16}", format!("{state:?}"))?;
        }
        writeln!(f)?;
        for kind in KINDS {
            write!(f, "{:<16}", format!("{kind:?}"))?;
            for cell in self.cells[kind as usize] {
                write!(f, "{cell:>16}")?;
            }
            writeln!(f)?;
        }
        for (row, ends) in ["receiver killed", "receiver stopped"].iter().zip(self.ends) {
            write!(f, "{row}:")?;
            for (step, count) in STEPS.iter().zip(ends) {
                write!(f, "  {step} {count}")?;
            }
            writeln!(f)?;
        }
        let Self { lines, faults, doubles, sessions_lost, shrunk, .. } = self;
        write!(
            f,
            "{lines} lines, {faults} faults, {doubles} lines accepted again as allowed, \
             {sessions_lost} sessions given up as allowed, {shrunk} frames sent again with fewer lines"
        )
    }
}
