//! The counters of an input.
//!
//! Over any run: received = submitted + discarded_empty + discarded_unauthenticated + discarded_host +
//! discarded_ratelimit + refused + failed. (`duplicates` and `missed` are not in `received`.)

rzmq_host::counters! {
    /// One input's numbers.
    InputCounters {
        /// Messages that came from the socket.
        received = "received",
        /// Bytes of their lines.
        bytes = "bytes",
        /// Lines handed to rsyslog's queue.
        submitted = "submitted",
        /// Lines that were parsed as they came in (`earlyparse`); all others by rsyslog's parsers.
        parsed = "parsed",
        /// Messages whose line was empty.
        discarded_empty = "discarded_empty",
        /// Messages without an authenticated sender on a CURVE server.
        discarded_unauthenticated = "discarded_unauthenticated",
        /// Lines of another host than their sender's certificate names (`enforcehost`), of either
        /// kind of delivery.
        discarded_host = "discarded_host",
        /// Lines over a rate limit, the input's or their sender's.
        discarded_ratelimit = "discarded_ratelimit",
        /// Lines that rsyslog's queue answered with an error.
        failed = "failed",
        /// Lines of a publisher that numbers its messages (`pub.numbered`) that were dropped before they
        /// came here.
        missed = "missed",
        /// Lines that came again and were settled already (acknowledged delivery).
        duplicates = "duplicates",
        /// Lines that are never taken because they are too long (acknowledged delivery).
        refused = "refused",
        /// Frames that broke the protocol (acknowledged delivery).
        protocol_errors = "protocol_errors",
        /// Frames of a session that speaks from another connection by now, or of none (acknowledged delivery).
        out_of_turn = "out_of_turn",
        /// Times that a sender was told to wait, because it had handed over what it may in this time
        /// (acknowledged delivery).
        delayed_ratelimit = "delayed_ratelimit",
        /// Times that a sender was told to wait, because there was too little room on the disk (`minfree`;
        /// acknowledged delivery).
        delayed_disk = "delayed_disk",
        /// Hellos refused, because there are enough sessions (acknowledged delivery).
        sessions_refused = "sessions_refused",
        /// Sessions forgotten for others (acknowledged delivery).
        sessions_forgotten = "sessions_forgotten",
        /// Sessions remembered (acknowledged delivery).
        sessions = "=sessions",
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

rzmq_module::peer_counters!(InputCounters);
