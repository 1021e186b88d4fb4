//! The stop of rsyslogd, as the module sees it: a signal, then a short grace, then no more waiting.

use rzmq_host::Rsyslogd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// When the stop was first seen. One for all actions: those behind one queue are asked one after the
/// other, and must not each wait a grace of their own.
#[derive(Debug)]
pub(crate) struct StopClock {
    rsyslogd: Arc<Rsyslogd>,
    seen: OnceLock<Instant>,
}

impl StopClock {
    pub(crate) fn new(rsyslogd: Arc<Rsyslogd>) -> Self {
        Self { rsyslogd, seen: OnceLock::new() }
    }
}

/// The stop for one action: the module's clock, and the action's grace.
#[derive(Debug)]
pub(crate) struct Stop {
    clock: Arc<StopClock>,
    grace: Duration,
}

impl Stop {
    pub(crate) fn new(clock: Arc<StopClock>, grace: Duration) -> Self {
        Self { clock, grace }
    }

    /// How long is still waited once the stop has begun.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether rsyslogd is being stopped.
    pub(crate) fn has_begun(&self) -> bool {
        self.clock.rsyslogd.is_stopping()
    }

    /// Whether the stop has begun and its grace is over: what is unsent now stays unsent.
    pub(crate) fn grace_is_over(&self) -> bool {
        self.clock.rsyslogd.is_stopping()
            && self.clock.seen.get_or_init(Instant::now).elapsed() >= self.grace
    }
}
