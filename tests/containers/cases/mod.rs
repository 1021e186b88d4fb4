//! The cases: the rows of the table.

mod link;

use crate::place::Place;
use crate::verdict::Verdict;

/// A row: its name on the command line, what it shows, and the case.
pub struct Case {
    /// For `--only`.
    pub name: &'static str,
    /// The row's title.
    pub title: &'static str,
    /// None where the release has nothing to try there.
    pub run: fn(&Place) -> Option<Verdict>,
}

/// All rows.
pub const CASES: &[Case] = &[Case {
    name: "curve",
    title: "CURVE, acknowledged, from senders of all releases",
    run: |place| Some(link::curve_acked(place)),
}];
