//! What the link has to say of an instance: lines in rsyslogd's log, and changes of its counters.

use rzmq_host::{Counter, Log};
use rzmq_link::{Change, FailureKind, Notice, Notices};
use std::sync::Arc;

/// The counters of an instance that the link changes.
pub trait PeerCounters: Send + Sync {
    /// Peers connected at present.
    fn connections(&self) -> &Counter;
    /// Connections that were past their handshake, since the start.
    fn connects(&self) -> &Counter;
    /// Attempts to connect that came to nothing and are made again.
    fn connects_retried(&self) -> &Counter;
    /// Connections closed because there were enough.
    fn connections_refused(&self) -> &Counter;
    /// Times that an address was held off, as its handshakes failed too often.
    fn addresses_held_off(&self) -> &Counter;
    /// Connections closed because their key was no longer allowed.
    fn connections_cut(&self) -> &Counter;
    /// Handshakes that failed for another reason than a refused key.
    fn handshakes_failed(&self) -> &Counter;
    /// Of these, those of one kind.
    fn handshakes_failed_of(&self, kind: FailureKind) -> &Counter;
    /// Keys that were not let in.
    fn keys_refused(&self) -> &Counter;
}

/// Implements [`PeerCounters`] for a type that `rzmq_host::counters!` has made with these names.
#[macro_export]
macro_rules! peer_counters {
    ($counters:ident) => {
        impl $crate::PeerCounters for $counters {
            fn connections(&self) -> &rzmq_host::Counter {
                $counters::connections(self)
            }

            fn connects(&self) -> &rzmq_host::Counter {
                $counters::connects(self)
            }

            fn connects_retried(&self) -> &rzmq_host::Counter {
                $counters::connects_retried(self)
            }

            fn connections_refused(&self) -> &rzmq_host::Counter {
                $counters::connections_refused(self)
            }

            fn addresses_held_off(&self) -> &rzmq_host::Counter {
                $counters::addresses_held_off(self)
            }

            fn connections_cut(&self) -> &rzmq_host::Counter {
                $counters::connections_cut(self)
            }

            fn handshakes_failed(&self) -> &rzmq_host::Counter {
                $counters::handshakes_failed(self)
            }

            fn handshakes_failed_of(&self, kind: rzmq_link::FailureKind) -> &rzmq_host::Counter {
                match kind {
                    rzmq_link::FailureKind::BrokenOff => self.handshakes_broken_off(),
                    rzmq_link::FailureKind::Silent => self.handshakes_silent(),
                    rzmq_link::FailureKind::Mechanism => self.handshakes_mechanism(),
                    rzmq_link::FailureKind::Keys => self.handshakes_keys(),
                    rzmq_link::FailureKind::Protocol => self.handshakes_protocol(),
                    rzmq_link::FailureKind::Refused => self.handshakes_refused(),
                }
            }

            fn keys_refused(&self) -> &rzmq_host::Counter {
                $counters::keys_refused(self)
            }
        }
    };
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
    /// With `-n` a stock rsyslogd shows errors alone; who was refused and who is gone is what an
    /// administrator looks for.
    fn notice(&self, notice: &Notice) {
        match notice.is_trouble() {
            true => self.log.error(notice.to_string()),
            false => self.log.info(notice.to_string()),
        }
    }

    fn count(&self, change: Change) {
        let counters = &self.counters;
        match change {
            Change::Connected => {
                counters.connections().add(1);
                counters.connects().add(1);
            }
            Change::Disconnected => counters.connections().subtract(1),
            Change::Retried => counters.connects_retried().add(1),
            Change::HandshakeFailed(kind) => {
                counters.handshakes_failed().add(1);
                counters.handshakes_failed_of(kind).add(1);
            }
            Change::KeyRefused => counters.keys_refused().add(1),
            Change::ConnectionRefused => counters.connections_refused().add(1),
            Change::HeldOff => counters.addresses_held_off().add(1),
            Change::Cut(count) => counters.connections_cut().add(count as u64),
        }
    }
}
