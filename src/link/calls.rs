//! The endpoints that one socket calls, as they are written (written.rs). After most mishaps libzmq calls again by itself, and says so
//! (CONNECT_RETRIED). After some it never does: the peer refused our key with a status other than 300,
//! sent a frame over `maxmsgsize`, or said what is no ZeroMQ (libzmq, session_base.cpp: a protocol error
//! ends the session). Those are called again from here, after a pause that doubles.
//!
//! Locks: one, held for a step. The monitor's thread tells what happened, the socket's calls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The first pause.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of the calls of one socket.
#[derive(Debug)]
pub(crate) struct Calls {
    /// The longest pause.
    longest: Duration,
    endpoints: Mutex<HashMap<String, Call>>,
}

#[derive(Debug, Default)]
struct Call {
    /// When it is to be made again, unless libzmq does it.
    due: Option<Instant>,
    /// Made again in vain so often.
    in_vain: u32,
}

impl Calls {
    /// `longest` is `reconnectivlmax`.
    pub(crate) fn new(longest: Duration) -> Calls {
        Calls { longest: longest.max(PAUSE), endpoints: Mutex::default() }
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<String, Call>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this side calls there: it has begun to, at least once.
    pub(crate) fn know(&self, endpoint: &str) -> bool {
        self.endpoints().contains_key(endpoint)
    }

    /// libzmq calls, or is about to.
    pub(crate) fn begun(&self, endpoint: &str) {
        let mut endpoints = self.endpoints();
        match endpoints.get_mut(endpoint) {
            Some(call) => call.due = None,
            None => drop(endpoints.insert(endpoint.to_owned(), Call::default())),
        }
    }

    /// The peer is there, and past the handshake.
    pub(crate) fn succeeded(&self, endpoint: &str) {
        if let Some(call) = self.endpoints().get_mut(endpoint) {
            call.in_vain = 0;
        }
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, endpoint: &str, now: Instant) {
        if let Some(call) = self.endpoints().get_mut(endpoint) {
            let pause = PAUSE.saturating_mul(1 << call.in_vain.min(16));
            call.due = Some(now + pause.min(self.longest));
        }
    }

    /// The endpoints that have to be called again now, by whoever asks.
    pub(crate) fn due(&self, now: Instant) -> Vec<String> {
        let mut endpoints = self.endpoints();
        let due = endpoints.iter_mut().filter(|(_, call)| call.due.is_some_and(|due| due <= now));
        due.map(|(endpoint, call)| {
            call.due = None;
            call.in_vain = call.in_vain.saturating_add(1);
            endpoint.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: &str = "tcp://there:1";

    #[test]
    fn what_libzmq_gives_up_is_called_again_after_pauses_that_double() {
        let (calls, start) = (Calls::new(Duration::from_secs(5)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        calls.ended(THERE, start);
        assert!(!calls.know(THERE) && calls.due(at(100)).is_empty(), "not ours to call");
        calls.begun(THERE);
        for (pause, more) in [1, 2, 4, 5, 5].into_iter().zip((0..).step_by(100)) {
            calls.ended(THERE, at(more));
            assert!(calls.due(at(more + pause - 1)).is_empty(), "{pause}");
            assert_eq!(calls.due(at(more + pause)), [THERE], "{pause}");
            assert!(calls.due(at(more + 90)).is_empty(), "once is enough");
            calls.begun(THERE);
        }
        calls.succeeded(THERE);
        calls.ended(THERE, at(1000));
        assert_eq!(calls.due(at(1001)), [THERE]);
    }

    #[test]
    fn what_libzmq_calls_again_is_left_to_it() {
        let (calls, now) = (Calls::new(Duration::from_secs(2)), Instant::now());
        calls.begun(THERE);
        calls.ended(THERE, now);
        calls.begun(THERE);
        assert!(calls.due(now + Duration::from_secs(60)).is_empty());
    }
}
