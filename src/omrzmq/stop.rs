//! The stop of rsyslogd, as an action sees it: a signal, then a short grace, then no more waiting.

use rzmq_host::Rsyslogd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Shared by the workers and the keeper of one action.
#[derive(Debug)]
pub(crate) struct Stop {
    rsyslogd: Arc<Rsyslogd>,
    grace: Duration,
    seen: OnceLock<Instant>,
}

impl Stop {
    pub(crate) fn new(rsyslogd: Arc<Rsyslogd>, grace: Duration) -> Self {
        Self { rsyslogd, grace, seen: OnceLock::new() }
    }

    /// Whether the stop has begun and its grace is over: what is unsent now stays unsent.
    pub(crate) fn grace_is_over(&self) -> bool {
        self.rsyslogd.is_stopping() && self.seen.get_or_init(Instant::now).elapsed() >= self.grace
    }
}
