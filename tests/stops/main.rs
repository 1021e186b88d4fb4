//! Lines survive a stop: absent peers, restarts, the spool and what may happen to it, and what the
//! administrator asks of the engine.

mod disk;
mod engine;
mod restarts;
mod spool;

use harness::{Peer, Rsyslogd, Site, secs};

/// rsyslogd stops in this time, whatever its peers do.
const STOP: std::time::Duration = secs(2);

/// A sender with one PUSH action named `out`.
fn pusher(endpoint: &str, more: &str) -> Site {
    Site::sender("", &format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\" {more}"))
}

/// The peer that was away.
fn peer_at(endpoint: &str) -> Peer {
    let peer = Peer::new(zmq::PULL);
    peer.bind(endpoint);
    peer
}

/// The site's lines 0..`count` lie in its spool, rsyslogd is stopped.
fn spooled(site: &Site, count: usize) {
    let mut daemon = site.start();
    daemon.feed(0..count);
    daemon.end().clean().within(STOP);
    assert_eq!(site.spools().len(), 1, "one spool: {:?}", site.spools());
}

/// The spool that is sent is gone once everything is settled and rsyslogd has stopped.
fn ends_without_spool(site: &Site, daemon: &mut Rsyslogd) {
    daemon.end().clean().within(STOP);
    assert!(site.spools().is_empty(), "spools are left: {:?}", site.spools());
}
