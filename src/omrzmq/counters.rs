//! The counters of an action.
//!
//! Over any run that no kill ended, of the commits that were not answered SUSPENDED:
//! lines committed = sent − resumed + spooled + discarded.

rzmq_host::counters! {
    /// One action's numbers.
    ActionCounters {
        /// Lines that libzmq took, from a commit or from the spool.
        sent = "sent",
        /// Their bytes.
        bytes = "bytes",
        /// Lines put into the spool.
        spooled = "spooled",
        /// Lines sent from the spool; they are in `sent` too.
        resumed = "resumed",
        /// Lines transmitted again after a reconnect (acknowledged delivery).
        resent = "resent",
        /// Lines that the receiver never takes (acknowledged delivery).
        refused = "refused",
        /// Lines of a publisher that a stop found unsent.
        discarded = "discarded",
        /// Commits answered SUSPENDED.
        suspended = "suspended",
        /// Commits that had to wait.
        waits = "waits",
        /// Milliseconds they waited.
        wait_ms = "wait_ms",
        /// Of these, while nobody was connected.
        wait_absent_ms = "wait_absent_ms",
        /// Of these, while nobody was connected and a server refused our key.
        wait_refused_ms = "wait_refused_ms",
        /// Of these, while the peer was connected but did not answer the hello.
        wait_unanswered_ms = "wait_unanswered_ms",
        /// Of these, while the peer took nothing.
        wait_busy_ms = "wait_busy_ms",
        /// Of these, while the lines of a former run had to go first.
        wait_spool_ms = "wait_spool_ms",
        /// Workers that wait at present.
        waiting = "=waiting",
        /// Lines in the spool at present.
        in_spool = "=in_spool",
        /// Peers connected at present.
        connections = "=connections",
        /// Connections that were past their handshake, since the start.
        connects = "connects",
        /// Attempts to connect that came to nothing and are made again.
        connects_retried = "connects_retried",
        /// Connections closed because there were enough.
        connections_refused = "connections_refused",
        /// Times that an address was held off, as its handshakes failed too often.
        addresses_held_off = "addresses_held_off",
        /// Connections closed because their key was no longer allowed.
        connections_cut = "connections_cut",
        /// Handshakes that failed for another reason than a refused key; the sum of the next six.
        handshakes_failed = "handshakes_failed",
        /// The peer broke off and kept the reason to itself.
        handshakes_broken_off = "handshakes_broken_off",
        /// The peer said nothing more until the deadline.
        handshakes_silent = "handshakes_silent",
        /// One side speaks CURVE, the other plaintext.
        handshakes_mechanism = "handshakes_mechanism",
        /// The keys do not fit: the wrong key of a server.
        handshakes_keys = "handshakes_keys",
        /// The peer does not speak ZeroMQ.
        handshakes_protocol = "handshakes_protocol",
        /// The server refused our key.
        handshakes_refused = "handshakes_refused",
        /// Keys that were not let in.
        keys_refused = "keys_refused",
    }
}

rzmq_module::peer_counters!(ActionCounters);
