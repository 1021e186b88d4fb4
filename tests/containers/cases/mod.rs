//! The cases: the rows of the table.

mod faults;
mod link;
mod moves;

use crate::place::Place;

/// A row: its name on the command line, what it shows, and the case.
pub struct Case {
    /// For `--only`.
    pub name: &'static str,
    /// The row's title.
    pub title: &'static str,
    /// The answer says what came to pass; none where the release has nothing to try there.
    pub run: fn(&Place) -> Option<String>,
}

/// All rows.
pub const CASES: &[Case] = &[
    Case {
        name: "installed",
        title: "the package is installed, its modules are what is loaded",
        run: |place| Some(link::installed(place)),
    },
    Case {
        name: "curve",
        title: "CURVE, senders of all releases to a receiver of this one, acked",
        run: |place| Some(link::curve(place)),
    },
    Case {
        name: "publisher",
        title: "CURVE the other way: publisher; subscriber, rzlog tail of another",
        run: |place| Some(link::publisher(place)),
    },
    Case {
        name: "rzlog",
        title: "rzlog check, and rzlog send to a receiver of another release",
        run: |place| Some(link::commands(place)),
    },
    Case {
        name: "cuts",
        title: "acked: each sender, then the receiver, off the network",
        run: |place| Some(faults::cuts(place)),
    },
    Case {
        name: "pauses",
        title: "acked: each sender, then the receiver, stands still",
        run: |place| Some(faults::pauses(place)),
    },
    Case {
        name: "receiver-killed",
        title: "acked: kill -9 of the receiver under load",
        run: |place| Some(faults::receiver_killed(place)),
    },
    Case {
        name: "sender-killed",
        title: "acked: kill -9 of a sender with a disk queue",
        run: |place| Some(faults::sender_killed(place)),
    },
    Case {
        name: "failover",
        title: "acked: the first of two receivers is killed, is cut off",
        run: |place| Some(faults::failover(place)),
    },
    Case {
        name: "receiver-upgraded",
        title: "acked: the receiver becomes the next release under load",
        run: moves::receiver_upgraded,
    },
    Case {
        name: "sender-upgraded",
        title: "acked: senders with lines in hand become the next release",
        run: moves::sender_upgraded,
    },
    Case {
        name: "relay",
        title: "both modules in one rsyslogd: a relay, killed under load",
        run: |place| Some(moves::relay(place)),
    },
    Case {
        name: "neighbours",
        title: "this release's C modules with ours of another: both ways, CURVE",
        run: |place| Some(moves::neighbours(place)),
    },
    Case {
        name: "migration",
        title: "from the C modules to ours, one host at a time",
        run: |place| Some(moves::migration(place)),
    },
];
