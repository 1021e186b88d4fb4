//! Troubles on their way to the log: at most one line a minute and cause, with the number of those that were
//! held back.
//!
//! Each kind of trouble has places of its own. So a peer that makes one all day, or many peers that do,
//! hide nothing of another kind: lines that were lost, above all.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Between two lines about the same cause.
const AGAIN: Duration = Duration::from_secs(60);
/// Peers that are told apart within a kind; those beyond share one place.
const MOST_PEERS: usize = 64;
/// The cause of those that share one.
const OTHERS: &str = "";

/// What was told when. Owned by one thread.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// By kind and peer.
    told: HashMap<&'static str, HashMap<String, Told>>,
}

#[derive(Debug)]
struct Told {
    when: Instant,
    held_back: u64,
}

/// How many lines about a cause were held back before this one: the end of its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldBack(u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more of this kind since the last such message)"),
        }
    }
}

impl Troubles {
    /// Whether a trouble is to be told now; else it is counted. `peer`: who makes it; empty, if it is ours.
    pub(crate) fn due(&mut self, kind: &'static str, peer: &str, now: Instant) -> Option<HeldBack> {
        let told = self.told.entry(kind).or_default();
        let is_recent = |it: &Told| now.saturating_duration_since(it.when) < AGAIN;
        if !told.contains_key(peer) && told.len() >= MOST_PEERS {
            told.retain(|cause, it| cause == OTHERS || is_recent(it));
        }
        let has_place = told.contains_key(peer) || told.len() < MOST_PEERS;
        let cause = if has_place { peer } else { OTHERS };
        match told.get_mut(cause) {
            Some(it) if is_recent(it) => {
                it.held_back += 1;
                None
            }
            Some(it) => {
                it.when = now;
                Some(HeldBack(std::mem::take(&mut it.held_back)))
            }
            None => {
                told.insert(cause.to_owned(), Told { when: now, held_back: 0 });
                Some(HeldBack(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_a_minute_with_what_was_held_back() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        let mut due = |seconds| {
            let told = troubles.due("rate", "web1", start + Duration::from_secs(seconds));
            told.map(|it| it.to_string())
        };
        assert_eq!(due(0).as_deref(), Some(""));
        assert_eq!((due(1), due(59)), (None, None));
        let more = " (2 more of this kind since the last such message)";
        assert_eq!(due(60).as_deref(), Some(more));
        assert_eq!((due(119), due(180).is_some()), (None, true));
    }

    #[test]
    fn no_flood_of_peers_hides_a_trouble_of_another_kind() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        for minute in 0..3 {
            let now = start + AGAIN * minute;
            let peers = (0..10_000).map(|number| number.to_string());
            let told: Vec<_> = peers.filter_map(|peer| troubles.due("rate", &peer, now)).collect();
            assert_eq!(told.len(), MOST_PEERS + 1);
            let held_back = if minute == 0 { 0 } else { 10_000 - MOST_PEERS as u64 - 1 };
            assert_eq!(told.last(), Some(&HeldBack(held_back)));
            assert!(troubles.due("queue", "", now).is_some());
        }
        assert!(troubles.told["rate"].len() <= MOST_PEERS + 1);
    }
}
