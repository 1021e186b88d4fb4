//! Where a line is counted, and what lines have in common.

use std::rc::Rc;

use rzlog_client::Severity;

/// A host's or a program's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Name {
    /// As lines say it; empty where they do not.
    Own(Rc<[u8]>),
    /// All that have no row of their own.
    Others,
}

/// A severity, or that a line does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Grade(pub(super) u8);

impl Grade {
    pub(super) const COUNT: usize = 9;
    pub(super) const UNSAID: Grade = Grade(8);

    pub(super) fn of(severity: Option<Severity>) -> Grade {
        severity.map_or(Grade::UNSAID, |severity| Grade(severity as u8))
    }

    pub(super) fn all() -> impl Iterator<Item = Grade> {
        (0..=Grade::UNSAID.0).map(Grade)
    }

    pub(super) fn severity(self) -> Option<Severity> {
        Severity::from_number(self.0)
    }

    pub(super) fn is_error(self) -> bool {
        self <= Grade::of(Some(Severity::Error))
    }
}

/// Where a line was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) publisher: usize,
    pub(super) host: Name,
    pub(super) program: Name,
    pub(super) grade: Grade,
}

/// What the lines of an entry have in common; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) publisher: Option<usize>,
    pub(super) host: Option<Name>,
    pub(super) program: Option<Name>,
    pub(super) grade: Option<Grade>,
}

impl Key {
    pub(super) fn fits(&self, place: &Place) -> bool {
        self.publisher.is_none_or(|publisher| publisher == place.publisher)
            && self.host.as_ref().is_none_or(|host| *host == place.host)
            && self.program.as_ref().is_none_or(|program| *program == place.program)
            && self.grade.is_none_or(|grade| grade == place.grade)
    }
}
