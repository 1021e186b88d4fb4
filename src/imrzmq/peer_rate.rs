//! `ratelimit.perpeer`: how many lines each sender may hand over in an interval, so that one that has
//! gone wild takes no more than its share. A sender is its key; without CURVE, its address.
//!
//! Best-effort lines beyond that are discarded; acknowledged ones stay with their sender, which is told
//! to wait.

use rzmq_link::Received;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Senders that are remembered; beyond that the memory begins anew.
const MOST: usize = 65_536;

/// So many lines in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerLimit {
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
}

/// The senders of one input. Owned by its listener.
#[derive(Debug)]
pub(crate) struct PeerRates {
    limit: PeerLimit,
    windows: HashMap<String, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    taken: u32,
}

impl PeerRates {
    pub(crate) fn new(limit: PeerLimit) -> Self {
        Self { limit, windows: HashMap::new() }
    }

    /// What stands for the sender of a message.
    pub(crate) fn sender(received: &Received) -> &str {
        received.key().or(received.peer_address()).unwrap_or_default()
    }

    /// Who that is, for people.
    pub(crate) fn name(received: &Received) -> &str {
        received.sender_name().or(received.peer_address()).unwrap_or("an unknown peer")
    }

    fn window(&mut self, sender: &str, now: Instant) -> &mut Window {
        let fresh = Window { began: now, taken: 0 };
        if !self.windows.contains_key(sender) && self.windows.len() >= MOST {
            self.windows.clear();
        }
        let window = self.windows.entry(sender.to_owned()).or_insert(fresh);
        if now.saturating_duration_since(window.began) >= self.limit.interval {
            *window = fresh;
        }
        window
    }

    /// How many lines may still come in this interval.
    pub(crate) fn left(&mut self, sender: &str, now: Instant) -> u32 {
        let burst = self.limit.burst;
        burst.saturating_sub(self.window(sender, now).taken)
    }

    /// So many lines have come.
    pub(crate) fn take(&mut self, sender: &str, lines: u32, now: Instant) {
        let window = self.window(sender, now);
        window.taken = window.taken.saturating_add(lines);
    }

    /// How long it is until the next interval.
    pub(crate) fn pause(&mut self, sender: &str, now: Instant) -> Duration {
        let interval = self.limit.interval;
        let began = self.window(sender, now).began;
        interval.saturating_sub(now.saturating_duration_since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_has_its_own_interval() {
        let limit = PeerLimit { interval: Duration::from_secs(10), burst: 5 };
        let mut rates = PeerRates::new(limit);
        let start = Instant::now();
        rates.take("a", 3, start);
        assert_eq!((rates.left("a", start), rates.left("b", start)), (2, 5));
        let later = start + Duration::from_secs(4);
        rates.take("a", 2, later);
        assert_eq!((rates.left("a", later), rates.pause("a", later)), (0, Duration::from_secs(6)));
        let next = start + Duration::from_secs(10);
        assert_eq!(rates.left("a", next), 5);
    }

    #[test]
    fn a_flood_of_senders_does_not_grow_the_memory_for_ever() {
        let limit = PeerLimit { interval: Duration::from_secs(10), burst: 5 };
        let mut rates = PeerRates::new(limit);
        let now = Instant::now();
        (0..3 * MOST).for_each(|number| rates.take(&number.to_string(), 1, now));
        assert!(rates.windows.len() <= MOST);
    }
}
