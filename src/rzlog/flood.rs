//! Lines that may come faster than they are read: who reads without a pause may be too slow, and a publisher
//! then drops lines unseen.

use std::time::{Duration, Instant};

/// Without a pause for this long it may be so.
const FLOOD: Duration = Duration::from_secs(5);
/// How often that is said.
const FLOOD_AGAIN: Duration = Duration::from_secs(60);

pub(crate) struct Flood {
    /// When there was last nothing to read.
    idle: Instant,
    told: Option<Instant>,
}

impl Flood {
    pub(crate) fn new() -> Flood {
        Flood { idle: Instant::now(), told: None }
    }

    /// There was nothing to read.
    pub(crate) fn paused(&mut self) {
        self.idle = Instant::now();
    }

    /// It is to be said now, and is taken as said.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.idle.elapsed() >= FLOOD
            && self.told.is_none_or(|told| told.elapsed() >= FLOOD_AGAIN);
        if is_due {
            self.told = Some(Instant::now());
        }
        is_due
    }
}
