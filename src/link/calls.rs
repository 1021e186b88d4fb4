//! The endpoints that one socket calls, as they are written (written.rs): what was shown there, what became
//! of it, and when they are to be called anew.
//!
//! After most mishaps libzmq calls again by itself, and says so (CONNECT_RETRIED), with the keys that it was
//! given when it was told to call. After some it never does: the peer refused our key with a status other
//! than 300, sent a frame over `maxmsgsize`, or said what is no ZeroMQ (libzmq, session_base.cpp: a protocol
//! error ends the session). Called anew from here (socket/calling.rs) is what libzmq has given up, and what it calls
//! with keys that are others by now or that do not fit; after pauses that double while it is in vain.
//!
//! Locks: one, held for a step. The monitor's thread tells what happened, the socket's calls.

use std::collections::HashMap;
use std::mem;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::handshake_failure::HandshakeFailure;
use crate::security::Shown;

/// The first pause.
const PAUSE: Duration = Duration::from_secs(1);
/// libzmq says at once that it calls again, where it does.
const GIVEN_UP: Duration = Duration::from_millis(250);

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
    /// What was shown, with CURVE, and since when.
    shown: Option<(Shown, Instant)>,
    /// How a handshake with that has failed.
    failed: Option<Failed>,
    /// The connection, from before its handshake on.
    open: Option<RawFd>,
    /// It is past its handshake.
    is_up: bool,
    /// When the last one ended, and how many messages had been received when that was first looked at.
    ended: Option<Instant>,
    received: Option<u64>,
    /// libzmq was told to forget it, and not yet to call it again.
    is_forgotten: bool,
    /// It was called anew, and libzmq has yet to tell of the new call.
    is_anew: bool,
    /// What it has told since may still have been of the call before.
    is_doubtful: bool,
}

/// A handshake that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// As it does where the server holds another key than the one we know it by.
    OfServersKey,
    /// In another way.
    Otherwise,
}

/// Why an endpoint is to be called anew, and what is to be shown there.
#[derive(Debug)]
pub(crate) enum Anew {
    /// What was shown has changed.
    Changed(Shown),
    /// The server does not hold the key that it was called with: another certificate's turn.
    InTurn(Shown),
}

/// What a socket asks of its calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) now: Instant,
    /// All that had come until then has been received: a connection that was over by then has left nothing.
    pub(crate) read_until: Instant,
    /// The messages that have been received so far, and of how many no connection has any left: each has
    /// had its turns, and is full with a part of them.
    pub(crate) received: u64,
    pub(crate) enough: u64,
    /// libzmq holds messages for a peer that is not there. They are lost where it is called anew, so that it
    /// must be certain that they would never be delivered.
    pub(crate) holds: bool,
    /// There is another certificate of the server to try.
    pub(crate) has_another: bool,
}

impl Calls {
    /// `longest` is `reconnectivlmax`.
    pub(crate) fn new(longest: Duration) -> Calls {
        Calls { longest: longest.max(PAUSE), endpoints: Mutex::default() }
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<String, Call>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, endpoint: &str, step: impl FnOnce(&mut Call)) {
        if let Some(call) = self.endpoints().get_mut(endpoint) {
            step(call);
        }
    }

    fn pause(&self, in_vain: u32) -> Duration {
        PAUSE.saturating_mul(1 << in_vain.min(16)).min(self.longest)
    }

    /// Whether this side calls there: it has begun to, at least once.
    pub(crate) fn know(&self, endpoint: &str) -> bool {
        self.endpoints().contains_key(endpoint)
    }

    /// Whether all are among these. Another one is an address that several of them may have led to.
    pub(crate) fn are_all(&self, mut known: impl FnMut(&str) -> bool) -> bool {
        self.endpoints().keys().all(|endpoint| known(endpoint))
    }

    /// An endpoint is about to be called, and shown this.
    pub(crate) fn call(&self, endpoint: &str, shown: Option<Shown>, now: Instant) {
        let mut endpoints = self.endpoints();
        let is_anew = endpoints.contains_key(endpoint);
        let call = endpoints.entry(endpoint.to_owned()).or_default();
        (call.shown, call.failed) = (shown.map(|shown| (shown, now)), None);
        (call.due, call.is_anew, call.is_forgotten) = (None, is_anew, false);
    }

    /// libzmq has been told to forget it. Answers whether it had been before.
    pub(crate) fn forget(&self, endpoint: &str) -> bool {
        let mut endpoints = self.endpoints();
        endpoints.get_mut(endpoint).is_some_and(|call| mem::replace(&mut call.is_forgotten, true))
    }

    /// What libzmq has given up and has not been told to forget. Until then a later call may get the place in
    /// memory of the one that is gone, and be taken for it (libzmq keeps pointers to sessions that have ended).
    pub(crate) fn given_up(&self, asked: Asked) -> Vec<String> {
        let mut endpoints = self.endpoints();
        let given_up = endpoints.iter_mut().filter_map(|(endpoint, call)| {
            let since = asked.now.saturating_duration_since(call.ended?);
            let is_given_up = call.due.is_some() && !call.is_forgotten && since >= GIVEN_UP;
            (is_given_up && call.is_read(asked)).then(|| endpoint.clone())
        });
        given_up.collect()
    }

    /// What was shown there.
    pub(crate) fn shown(&self, endpoint: &str) -> Option<Shown> {
        self.endpoints().get(endpoint)?.shown.as_ref().map(|(shown, _)| shown.clone())
    }

    /// libzmq calls, or is about to. Answers the connection that calling anew has ended, which libzmq says
    /// nothing of, and whether it was past its handshake.
    pub(crate) fn begun(&self, endpoint: &str) -> Option<(RawFd, bool)> {
        let mut endpoints = self.endpoints();
        let Some(call) = endpoints.get_mut(endpoint) else {
            endpoints.insert(endpoint.to_owned(), Call::default());
            return None;
        };
        // what is forgotten and still says something is on its way out
        if !call.is_forgotten {
            call.due = None;
        }
        let is_anew = mem::take(&mut call.is_anew);
        call.is_doubtful |= is_anew && call.open.is_none();
        let open = call.open.take_if(|_| is_anew)?;
        Some((open, mem::take(&mut call.is_up)))
    }

    /// Somebody is there. Answers as [`Calls::begun`] does, where that had to do with an event of the call before.
    pub(crate) fn opened(&self, endpoint: &str, fd: RawFd) -> Option<(RawFd, bool)> {
        let mut endpoints = self.endpoints();
        let call = endpoints.get_mut(endpoint)?;
        let before = call.open.replace(fd)?;
        if !mem::take(&mut call.is_doubtful) {
            return None;
        }
        Some((before, mem::take(&mut call.is_up)))
    }

    /// The peer is there, and past the handshake.
    pub(crate) fn succeeded(&self, endpoint: &str) {
        self.tell(endpoint, |call| (call.in_vain, call.is_up, call.failed) = (0, true, None));
    }

    /// A handshake has failed.
    pub(crate) fn failed(&self, endpoint: &str, cause: &HandshakeFailure) {
        let how =
            if cause.may_be_of_servers_key() { Failed::OfServersKey } else { Failed::Otherwise };
        self.tell(endpoint, |call| call.failed = Some(how));
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, endpoint: &str, now: Instant) {
        self.tell(endpoint, |call| {
            call.due = Some(now + self.pause(call.in_vain));
            (call.open, call.is_up, call.is_doubtful) = (None, false, false);
            (call.ended, call.received) = (Some(now), None);
        });
    }

    /// It could not be called: later.
    pub(crate) fn postpone(&self, endpoint: &str, now: Instant) {
        self.tell(endpoint, |call| call.due = Some(now + self.pause(call.in_vain)));
    }

    /// The endpoints that libzmq has given up and that have to be called again now, by whoever asks.
    pub(crate) fn due(&self, asked: Asked) -> Vec<String> {
        let mut endpoints = self.endpoints();
        let due = endpoints.iter_mut().filter_map(|(endpoint, call)| {
            let is_due = call.due.is_some_and(|due| due <= asked.now) && call.is_read(asked);
            is_due.then(|| {
                call.due = None;
                call.in_vain = call.in_vain.saturating_add(1);
                endpoint.clone()
            })
        });
        due.collect()
    }

    /// Whether an endpoint where nobody is has to be called anew to show something else there; `shows` says
    /// what is shown now, in which turn. Whoever asks calls it.
    pub(crate) fn anew(
        &self,
        endpoint: &str,
        asked: Asked,
        shows: impl Fn(u64) -> Option<Shown>,
    ) -> Option<Anew> {
        let mut endpoints = self.endpoints();
        let call = endpoints.get_mut(endpoint)?;
        let stays = call.is_up || !call.is_read(asked);
        let (shown, since) = call.shown.as_ref()?;
        if stays || asked.holds && call.failed.is_none() {
            return None;
        }
        let pause = asked.now.saturating_duration_since(*since);
        let now = shows(shown.turn)?;
        if !now.is(shown) {
            return (pause >= PAUSE).then_some(Anew::Changed(now));
        }
        let in_turn = asked.has_another && call.failed == Some(Failed::OfServersKey);
        if !in_turn || pause < self.pause(call.in_vain) {
            return None;
        }
        let next = shows(shown.turn.wrapping_add(1))?;
        call.in_vain = call.in_vain.saturating_add(1);
        Some(Anew::InTurn(next))
    }
}

impl Call {
    /// Whether nothing of its connections is left to be received: libzmq would drop that, and abort where
    /// it is half a message that has been received (fq.cpp).
    fn is_read(&mut self, asked: Asked) -> bool {
        let Some(ended) = self.ended else { return true };
        let since = self.received.get_or_insert(asked.received);
        ended < asked.read_until || asked.received.saturating_sub(*since) >= asked.enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PublicKey;

    const THERE: &str = "tcp://there:1";

    fn asked(now: Instant) -> Asked {
        let (received, enough) = (0, 1000);
        Asked { now, read_until: now, received, enough, holds: false, has_another: true }
    }

    fn shown(own: u8, turn: u64) -> Option<Shown> {
        let key = |number: u8| PublicKey::from_bytes([number; 32]);
        Some(Shown { own: key(own), server: Some((key(turn as u8), "file".into())), turn })
    }

    #[test]
    fn what_libzmq_gives_up_is_called_again_after_pauses_that_double() {
        let (calls, start) = (Calls::new(Duration::from_secs(5)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let due = |seconds| calls.due(asked(at(seconds)));
        calls.ended(THERE, start);
        assert!(!calls.know(THERE) && due(100).is_empty(), "not ours to call");
        calls.begun(THERE);
        for (pause, more) in [1, 2, 4, 5, 5].into_iter().zip((0..).step_by(100)) {
            calls.ended(THERE, at(more));
            assert!(due(more + pause - 1).is_empty(), "{pause}");
            assert_eq!(due(more + pause), [THERE], "{pause}");
            assert!(due(more + 90).is_empty(), "once is enough");
            calls.begun(THERE);
        }
        calls.succeeded(THERE);
        calls.ended(THERE, at(1000));
        assert_eq!(due(1001), [THERE]);
    }

    #[test]
    fn what_libzmq_calls_again_is_left_to_it() {
        let (calls, now) = (Calls::new(Duration::from_secs(2)), Instant::now());
        calls.begun(THERE);
        calls.ended(THERE, now);
        calls.begun(THERE);
        assert!(calls.due(asked(now + Duration::from_secs(60))).is_empty());
    }

    #[test]
    fn what_has_not_been_received_is_waited_for() {
        let (calls, now) = (Calls::new(Duration::from_secs(2)), Instant::now());
        calls.begun(THERE);
        calls.ended(THERE, now);
        let later = asked(now + Duration::from_secs(60));
        let busy = |received| Asked { read_until: now, received, ..later };
        for received in [5_000, 5_999] {
            assert!(
                calls.due(busy(received)).is_empty() && calls.given_up(busy(received)).is_empty()
            );
        }
        assert_eq!(calls.given_up(later), [THERE]);
        assert_eq!(calls.due(busy(6_000)), [THERE], "its turn has come often enough");
        calls.ended(THERE, now);
        assert_eq!(calls.due(later), [THERE]);
    }

    /// What libzmq has given up it is told to forget at once, and its last words change nothing.
    #[test]
    fn what_libzmq_gives_up_is_forgotten_before_anything_is_called() {
        let (calls, now) = (Calls::new(Duration::from_secs(2)), Instant::now());
        let at = |ms| asked(now + Duration::from_millis(ms));
        calls.begun(THERE);
        calls.ended(THERE, now);
        assert!(calls.given_up(at(100)).is_empty(), "it may call again by itself");
        assert_eq!(calls.given_up(at(300)), [THERE]);
        assert!(!calls.forget(THERE) && calls.forget(THERE));
        assert!(calls.given_up(at(301)).is_empty(), "once is enough");
        calls.begun(THERE);
        assert_eq!(calls.due(at(2000)), [THERE]);
        calls.call(THERE, None, now);
        assert!(!calls.forget(THERE));
    }

    /// An event of the call before, which is said to be anew no more, hides no connection that is gone.
    #[test]
    fn a_connection_in_the_place_of_another_ends_that() {
        let (calls, now) = (Calls::new(Duration::from_secs(2)), Instant::now());
        calls.call(THERE, None, now);
        calls.call(THERE, None, now);
        assert_eq!(calls.begun(THERE), None, "of the call before");
        assert_eq!(calls.opened(THERE, 7), None);
        calls.succeeded(THERE);
        assert_eq!(calls.begun(THERE), None);
        assert_eq!(calls.opened(THERE, 9), Some((7, true)));
        assert_eq!(calls.opened(THERE, 11), None, "another name for the same address");
    }

    /// The server's other certificate is tried at once after a long time, then after pauses that double; not
    /// where the server has shown its key, nor while somebody is there.
    #[test]
    fn another_certificate_is_tried_after_pauses_that_double() {
        let (calls, start) = (Calls::new(Duration::from_secs(60)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let anew = |seconds| calls.anew(THERE, asked(at(seconds)), |turn| shown(1, turn));
        let hung_up = HandshakeFailure::HungUpOnClient { file: "file".into() };
        calls.call(THERE, shown(1, 0), start);
        assert!(anew(10).is_none(), "nothing has failed");
        calls.failed(THERE, &HandshakeFailure::Ignored { key: PublicKey::from_bytes([1; 32]) });
        assert!(anew(10).is_none(), "it has shown its key");
        let mut now = 10;
        for (turn, pause) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
            calls.failed(THERE, &hung_up);
            if turn > 1 {
                assert!(anew(now + pause - 1).is_none(), "{pause}");
                now += pause;
            }
            let Some(Anew::InTurn(next)) = anew(now) else { panic!("{turn}") };
            assert_eq!(next.turn, turn);
            calls.call(THERE, Some(next), at(now));
        }
        calls.failed(THERE, &hung_up);
        calls.opened(THERE, 7);
        calls.succeeded(THERE);
        assert!(anew(1000).is_none(), "somebody is there");
        calls.ended(THERE, at(1000));
        assert!(anew(1100).is_none(), "what it was called with last did fit");
        calls.failed(THERE, &hung_up);
        assert!(matches!(anew(1101), Some(Anew::InTurn(_))), "it was not in vain");
    }

    #[test]
    fn other_keys_are_shown_where_nobody_is_and_once_the_old_ones_fail_where_lines_are_held() {
        let (calls, start) = (Calls::new(Duration::from_secs(60)), Instant::now());
        let later = asked(start + Duration::from_secs(2));
        let anew = |asked| calls.anew(THERE, asked, |turn| shown(2, turn));
        calls.call(THERE, shown(1, 0), start);
        assert!(anew(asked(start)).is_none(), "not so soon");
        assert!(matches!(anew(later), Some(Anew::Changed(_))));
        let holds = Asked { holds: true, ..later };
        assert!(anew(holds).is_none(), "the old ones may do");
        calls.failed(THERE, &HandshakeFailure::Silent);
        assert!(matches!(anew(holds), Some(Anew::Changed(_))));
        calls.opened(THERE, 7);
        assert!(
            matches!(anew(later), Some(Anew::Changed(_))),
            "it may be refused until its deadline"
        );
        calls.succeeded(THERE);
        assert!(anew(later).is_none(), "somebody is there");
    }

    /// libzmq says nothing of a connection that a disconnect ends.
    #[test]
    fn a_connection_that_calling_anew_has_ended_is_told_by_the_next_call() {
        let (calls, start) = (Calls::new(Duration::from_secs(60)), Instant::now());
        calls.call(THERE, shown(1, 0), start);
        assert_eq!(calls.begun(THERE), None);
        calls.opened(THERE, 7);
        calls.succeeded(THERE);
        assert_eq!(calls.begun(THERE), None, "it is the same call");
        calls.call(THERE, shown(1, 0), start);
        assert_eq!(calls.begun(THERE), Some((7, true)));
        assert_eq!(calls.begun(THERE), None);
    }
}
