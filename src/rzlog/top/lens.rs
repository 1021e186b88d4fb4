//! How the table is looked at: by what lines are summed, which of them, and in which order. Pure.

use std::cmp::Reverse;

use clap::ValueEnum;
use rzlog_client::Severity;

use super::place::{Grade, Key, Name, Place};
use super::table::Entry;

/// What has a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// Each program of each host
    #[default]
    Both,
    /// Each host
    Host,
    /// Each program, of whichever host
    Program,
    /// Each severity
    Severity,
    /// Each publisher, with its connection
    Publisher,
}

impl By {
    pub(super) const ALL: [By; 5] = [By::Both, By::Host, By::Program, By::Severity, By::Publisher];

    pub(super) fn name(self) -> &'static str {
        match self {
            By::Both => "host and program",
            By::Host => "host",
            By::Program => "program",
            By::Severity => "severity",
            By::Publisher => "publisher",
        }
    }

    pub(super) fn next(self) -> By {
        let behind = By::ALL.into_iter().skip_while(|by| *by != self).nth(1);
        behind.unwrap_or_default()
    }

    /// The row in which the lines of a place are.
    pub(super) fn key(self, place: &Place) -> Key {
        let is = |by: &[By]| by.contains(&self);
        Key {
            publisher: is(&[By::Publisher]).then_some(place.publisher),
            host: is(&[By::Both, By::Host]).then(|| place.host.clone()),
            program: is(&[By::Both, By::Program]).then(|| place.program.clone()),
            grade: is(&[By::Severity]).then_some(place.grade),
        }
    }
}

/// What stands first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Rate,
    Errors,
    Newest,
    Name,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Rate => "lines/s",
            Order::Errors => "errors",
            Order::Newest => "newest line",
            Order::Name => "name",
        }
    }

    pub(super) fn next(self) -> Order {
        match self {
            Order::Rate => Order::Errors,
            Order::Errors => Order::Newest,
            Order::Newest => Order::Name,
            Order::Name => Order::Rate,
        }
    }

    /// Sorts; what is equal stands by name, so that rows stay where they are.
    pub(super) fn sort(self, entries: &mut [Entry<'_>]) {
        entries.sort_unstable_by(|one, other| {
            let newest = |it: &Entry<'_>| Reverse(it.newest.as_ref().map(|newest| newest.at));
            let order = match self {
                Order::Rate => other.rate.total_cmp(&one.rate).then(other.lines.cmp(&one.lines)),
                Order::Errors => {
                    other.error_rate.total_cmp(&one.error_rate).then(other.errors.cmp(&one.errors))
                }
                Order::Newest => newest(one).cmp(&newest(other)),
                Order::Name => std::cmp::Ordering::Equal,
            };
            order.then_with(|| one.key.cmp(&other.key))
        });
    }
}

/// All of it together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lens {
    pub(super) by: By,
    pub(super) order: Order,
    /// Only lines as grave as this.
    pub(super) least: Option<Severity>,
    /// Only rows in whose host, program or publisher this is found, in capitals or not.
    pub(super) find: String,
}

impl Lens {
    pub(super) fn is_grave(&self, grade: Grade) -> bool {
        self.least.is_none_or(|least| grade <= Grade::of(Some(least)))
    }

    /// All, warnings, errors, critical ones.
    pub(super) fn graver(&mut self) {
        self.least = match self.least {
            None => Some(Severity::Warning),
            Some(severity) if severity > Severity::Error => Some(Severity::Error),
            Some(severity) if severity > Severity::Critical => Some(Severity::Critical),
            Some(_) => None,
        };
    }

    /// The text is in this name.
    pub(super) fn finds(&self, name: &[u8]) -> bool {
        let find = self.find.as_bytes();
        find.is_empty() || name.windows(find.len()).any(|part| part.eq_ignore_ascii_case(find))
    }

    /// It is in a name of this place; `(others)` have none to be found by.
    pub(super) fn finds_place(&self, endpoint: &str, place: &Place) -> bool {
        let own = |name: &Name| match name {
            Name::Own(name) => self.finds(name),
            Name::Others => false,
        };
        self.finds(endpoint.as_bytes()) || own(&place.host) || own(&place.program)
    }

    /// A line that was counted there is among what is seen.
    pub(super) fn sees(&self, endpoint: &str, place: &Place) -> bool {
        self.is_grave(place.grade) && self.finds_place(endpoint, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, program: &str) -> Place {
        let own = |name: &str| Name::Own(name.as_bytes().into());
        Place { publisher: 0, host: own(host), program: own(program), grade: Grade::of(None) }
    }

    #[test]
    fn each_way_comes_once_and_then_the_first_again() {
        let mut by = By::default();
        for expected in By::ALL {
            assert_eq!(by, expected);
            by = by.next();
        }
        assert_eq!(by, By::default());
        let orders = std::iter::successors(Some(Order::Rate), |order| Some(order.next()));
        assert_eq!(orders.skip(1).position(|order| order == Order::Rate), Some(3));
    }

    #[test]
    fn a_text_finds_names_and_publishers() {
        let mut lens = Lens::default();
        let found = |lens: &Lens| lens.finds_place("tcp://hub:1", &place("Web1", "nginx"));
        assert!(found(&lens));
        for (find, expected) in
            [("web", true), ("GINX", true), ("hub", true), ("db", false), ("web1nginx", false)]
        {
            lens.find = find.into();
            assert_eq!(found(&lens), expected, "{find}");
        }
        let others = Place { host: Name::Others, program: Name::Others, ..place("", "") };
        lens.find = "o".into();
        assert!(!lens.finds_place("tcp://a:1", &others));
    }

    #[test]
    fn the_gravest_come_after_a_few_steps() {
        let mut lens = Lens::default();
        let seen = |lens: &Lens| Grade::all().filter(|grade| lens.is_grave(*grade)).count();
        let counts = [9, 5, 4, 3, 9].map(|_| {
            let count = seen(&lens);
            lens.graver();
            count
        });
        assert_eq!(counts, [9, 5, 4, 3, 9]);
        lens.least = Some(Severity::Info);
        lens.graver();
        assert_eq!(lens.least, Some(Severity::Error));
    }
}
