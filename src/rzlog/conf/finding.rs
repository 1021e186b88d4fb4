//! What there is to say of a configuration, and where.

use std::fmt;

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the file in the configuration.
    pub(crate) source: usize,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Others can read the lines, or write some.
    Unsafe,
    /// It does not work, crashes rsyslogd, or loses lines.
    Broken,
    /// It is written, and has no effect.
    Ignored,
    /// It could not be looked at.
    Unread,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Unsafe => "unsafe",
            Kind::Broken => "broken",
            Kind::Ignored => "ignored",
            Kind::Unread => "not read",
        })
    }
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) sentence: String,
}

/// Findings about one file, as they come.
pub(crate) struct Report<'a> {
    pub(crate) source: usize,
    pub(crate) findings: &'a mut Vec<Finding>,
}

impl Report<'_> {
    pub(crate) fn tell(&mut self, line: usize, kind: Kind, sentence: impl Into<String>) {
        let place = Place { source: self.source, line };
        self.tell_at(place, kind, sentence);
    }

    /// What is said twice of the same place is said once.
    pub(crate) fn tell_at(&mut self, place: Place, kind: Kind, sentence: impl Into<String>) {
        let finding = Finding { place, kind, sentence: sentence.into() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}
