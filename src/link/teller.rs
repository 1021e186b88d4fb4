//! Gives notices in a thread of its own. Whoever takes them may have to wait, as rsyslogd's log does
//! for room in a full queue; the threads that let peers in, follow them and cut them never do. Of what
//! peers cause, what finds no room in the queue here is counted, and the count told with the next. What
//! became of credentials always has room: each is a change that an administrator made, and a fleet's
//! certificates may change at once.
//!
//! Owns: one thread a context, started with the first socket; it ends when the `Teller` and all
//! sockets' takers are dropped, after it has given what is left. No locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::error::LinkError;
use crate::notice::{self, Change, Notice, Notices};
use crate::raw;

const THREAD: &str = "rzmq-log";
/// Notices that wait, beyond which there is no room for what peers cause. Rates are limited by cause
/// where they come about.
const WAITING: usize = 256;

/// The thread.
pub(crate) struct Teller {
    queue: Option<Sender<(Arc<Taker>, Notice)>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Who takes the notices of one socket, and how many found no room.
struct Taker {
    notices: Arc<dyn Notices>,
    missed: AtomicU64,
}

/// The way to a taker, for threads that must not wait.
struct Queued {
    queue: Sender<(Arc<Taker>, Notice)>,
    waiting: Arc<AtomicUsize>,
    taker: Arc<Taker>,
}

impl Teller {
    pub(crate) fn start() -> Result<Teller, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Thread { thread: THREAD, reason: error.to_string() };
        let (queue, notices) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread =
            raw::spawn_without_signals(THREAD, move || tell(&notices, &left)).map_err(failed)?;
        Ok(Teller { queue: Some(queue), waiting, thread: Some(thread) })
    }

    /// The same notices, given by the thread. Changes are counted at once.
    pub(crate) fn queued(&self, notices: Arc<dyn Notices>) -> Arc<dyn Notices> {
        match &self.queue {
            None => notices,
            Some(queue) => Arc::new(Queued {
                queue: queue.clone(),
                waiting: Arc::clone(&self.waiting),
                taker: Arc::new(Taker { notices, missed: AtomicU64::new(0) }),
            }),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // an Err means that it panicked and is over too
            let _ = thread.join();
        }
    }
}

impl Notices for Queued {
    fn notice(&self, notice: &Notice) {
        let is_full = self.waiting.load(Ordering::Relaxed) >= WAITING;
        if is_full && !matches!(notice, Notice::Credentials(_)) {
            self.taker.missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // an Err means that the thread has panicked: nobody is left to tell it
        let _ = self.queue.send((Arc::clone(&self.taker), notice.clone()));
    }

    fn count(&self, change: Change) {
        self.taker.notices.count(change);
    }
}

fn tell(notices: &Receiver<(Arc<Taker>, Notice)>, waiting: &AtomicUsize) {
    for (taker, notice) in notices {
        waiting.fetch_sub(1, Ordering::Relaxed);
        let missed = taker.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            notice::give(&*taker.notices, &Notice::Missed { notices: missed });
        }
        notice::give(&*taker.notices, &notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential_notice::CredentialNotice;
    use std::sync::Mutex;

    /// A log that takes its first line only when it may.
    struct Slow {
        began: Sender<()>,
        may: Mutex<Receiver<()>>,
        log: Mutex<Vec<String>>,
        counted: AtomicU64,
    }

    impl Notices for Slow {
        fn notice(&self, notice: &Notice) {
            let _ = self.began.send(());
            let _ = self.may.lock().unwrap().recv();
            self.log.lock().unwrap().push(notice.to_string());
        }

        fn count(&self, _change: Change) {
            self.counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn notice(number: usize) -> Notice {
        Notice::Unreachable { endpoint: format!("tcp://there:{number}"), held_back: 0 }
    }

    #[test]
    fn a_log_that_waits_delays_nobody_and_what_finds_no_room_is_counted() {
        let (began, has_begun) = channel();
        let (allow, may) = channel();
        let slow = Arc::new(Slow {
            began,
            may: Mutex::new(may),
            log: Mutex::default(),
            counted: AtomicU64::new(0),
        });
        let teller = Teller::start().unwrap();
        let queued = teller.queued(slow.clone());
        queued.notice(&notice(0));
        has_begun.recv().unwrap();
        // the log waits, and this thread does not
        (1..=WAITING + 7).for_each(|number| queued.notice(&notice(number)));
        let why = "what an administrator did".to_owned();
        queued.notice(&Notice::Credentials(CredentialNotice::KeyKept { why }));
        queued.count(Change::KeyRefused);
        assert_eq!(slow.counted.load(Ordering::Relaxed), 1);
        drop(allow);
        drop(queued);
        drop(teller);
        let log = slow.log.lock().unwrap();
        assert_eq!(log.len(), WAITING + 3, "all that found room, and the number of the rest");
        assert!(log[1].starts_with("7 messages"), "{}", log[1]);
        let last = &log[WAITING + 1];
        assert!(last.contains(&format!("tcp://there:{WAITING},")), "{last}");
        assert!(log[WAITING + 2].starts_with("what an administrator did"));
    }
}
