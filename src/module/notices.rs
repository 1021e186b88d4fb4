//! What the link has to say of an instance: lines in rsyslogd's log, and changes of its counters.

use rzmq_host::{Counter, Log};
use rzmq_link::{Change, Notice, Notices};
use std::sync::Arc;

/// The counters of an instance that the link changes.
pub trait PeerCounters: Send + Sync {
    /// Peers connected at present.
    fn connections(&self) -> &Counter;
    /// Handshakes that failed for another reason than a refused key.
    fn handshakes_failed(&self) -> &Counter;
    /// Keys that were not let in.
    fn keys_refused(&self) -> &Counter;
}

/// Writes notices with the instance's prefix (the link limits their rate per cause), and counts.
#[derive(Debug)]
pub struct InstanceNotices<C> {
    log: Log,
    counters: Arc<C>,
}

impl<C: PeerCounters> InstanceNotices<C> {
    /// For the instance with this log and these counters.
    pub fn new(log: Log, counters: Arc<C>) -> Self {
        Self { log, counters }
    }
}

impl<C: PeerCounters> Notices for InstanceNotices<C> {
    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Connected { .. } => self.log.info(notice.to_string()),
            // With `-n` a stock rsyslogd shows errors alone; who was refused and who is gone is what
            // an administrator looks for.
            _ => self.log.error(notice.to_string()),
        }
    }

    fn count(&self, change: Change) {
        match change {
            Change::Connected => self.counters.connections().add(1),
            Change::Disconnected => self.counters.connections().subtract(1),
            Change::HandshakeFailed => self.counters.handshakes_failed().add(1),
            Change::KeyRefused => self.counters.keys_refused().add(1),
        }
    }
}
