//! The counters of an input.
//!
//! Over any run: received = submitted + discarded_empty + discarded_unauthenticated + discarded_host +
//! discarded_ratelimit + refused + failed. (`duplicates` are not in `received`.)

use rzmq_host::Counter;
use rzmq_module::PeerCounters;

rzmq_host::counters! {
    /// One input's numbers.
    InputCounters {
        /// Messages that came from the socket.
        received = "received",
        /// Bytes of their lines.
        bytes = "bytes",
        /// Lines handed to rsyslog's queue.
        submitted = "submitted",
        /// Messages whose line was empty.
        discarded_empty = "discarded_empty",
        /// Messages without an authenticated sender on a CURVE server.
        discarded_unauthenticated = "discarded_unauthenticated",
        /// Lines of another host than their sender's certificate names (`enforcehost`), of either
        /// kind of delivery.
        discarded_host = "discarded_host",
        /// Lines over the rate limit.
        discarded_ratelimit = "discarded_ratelimit",
        /// Lines that rsyslog's queue answered with an error.
        failed = "failed",
        /// Lines that came again and were settled already (acknowledged delivery).
        duplicates = "duplicates",
        /// Lines that are never taken because they are too long (acknowledged delivery).
        refused = "refused",
        /// Frames that broke the protocol (acknowledged delivery).
        protocol_errors = "protocol_errors",
        /// Sessions remembered (acknowledged delivery).
        sessions = "=sessions",
        /// Peers connected at present.
        connections = "=connections",
        /// Handshakes that failed for another reason than a refused key.
        handshakes_failed = "handshakes_failed",
        /// Keys that were not let in.
        keys_refused = "keys_refused",
    }
}

impl PeerCounters for InputCounters {
    fn connections(&self) -> &Counter {
        InputCounters::connections(self)
    }

    fn handshakes_failed(&self) -> &Counter {
        InputCounters::handshakes_failed(self)
    }

    fn keys_refused(&self) -> &Counter {
        InputCounters::keys_refused(self)
    }
}
