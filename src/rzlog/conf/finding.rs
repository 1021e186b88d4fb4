//! What there is to say of a configuration, and where.

use std::collections::HashSet;
use std::fmt;

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The number of the file in the configuration.
    pub(crate) source: usize,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Finding {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) sentence: String,
}

/// Findings, as they come; each once.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Finding>,
    known: HashSet<Finding>,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.known.insert(finding.clone()) {
            self.list.push(finding);
        }
    }
}

/// Findings about one file.
pub(crate) struct Report<'a> {
    pub(crate) source: usize,
    pub(crate) findings: &'a mut Findings,
}

impl Report<'_> {
    pub(crate) fn tell(&mut self, line: usize, kind: Kind, sentence: impl Into<String>) {
        let place = Place { source: self.source, line };
        self.tell_at(place, kind, sentence);
    }

    pub(crate) fn tell_at(&mut self, place: Place, kind: Kind, sentence: impl Into<String>) {
        self.findings.push(Finding { place, kind, sentence: sentence.into() });
    }
}
