//! What publishers dropped before it came to a SUB input: counted at once, and told now and then.
//!
//! Only of publishers that number their messages (`pub.numbered`). Owned by the input's listener.

use rzmq_link::{Gaps, Received};
use std::time::{Duration, Instant};

/// Between two lines in the log: what is missed meanwhile is summed up.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The gaps in an input's lines.
#[derive(Debug, Default)]
pub(crate) struct StreamGaps {
    gaps: Gaps,
    /// From whom the first of what is not told yet was to come, and whether from others, too.
    from: Option<String>,
    others: bool,
    told: Option<Instant>,
}

impl StreamGaps {
    /// Looks at a message in its turn; answers how many lines are missing before it.
    pub(crate) fn note(&mut self, received: &Received) -> u64 {
        let (Some(topic), Some(number)) = (received.topic(), received.number()) else { return 0 };
        let missed = self.gaps.note(topic, number);
        if missed > 0 {
            let name = received.sender_name().or(received.peer_address());
            let name = name.unwrap_or("an unknown peer");
            let first = self.from.get_or_insert_with(|| name.to_owned());
            self.others |= first != name;
        }
        missed
    }

    /// What is to be written to the log, if anything is and it is time.
    pub(crate) fn due(&mut self, now: Instant) -> Option<String> {
        let is_time = self.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN);
        if is_time { self.rest(now) } else { None }
    }

    /// The same, whatever the time is.
    pub(crate) fn rest(&mut self, now: Instant) -> Option<String> {
        let (missed, from) = (self.gaps.take()?, self.from.take()?);
        self.told = Some(now);
        let others = if std::mem::take(&mut self.others) { " and others" } else { "" };
        Some(format!("gap: lines from {from}{others} were dropped before they came here: {missed}"))
    }
}
