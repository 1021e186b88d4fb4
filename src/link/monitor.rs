//! The thread that reads what libzmq's monitor tells of the sockets, and looks after who is at the
//! threshold (connections.rs follows the connections).
//!
//! One thread a context reads the events of all its sockets. libzmq writes them to a PAIR
//! from inside its I/O thread and would wait there for ever if nobody read or the PAIR had
//! no peer; so our end has no limit, is connected before the first event can come, and is
//! closed only after libzmq's end (`MONITOR_STOPPED`, or when all sockets are closed).
//!
//! Owns: the thread, which ends when the `Monitor` is dropped. Locks: the list of new
//! sockets, held to add or take one.

use std::io::{Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::connections::{Connections, Followed};
use crate::error::LinkError;
use crate::events::{Event, Events};
use crate::raw::{self, Awaited, Errno};

const THREAD: &str = "rzmq-monitor";

/// How long, in ms, until it is looked again what became of a handshake, and who has been held off for long
/// enough.
const LOOK: i64 = 100;

/// The events asked for.
const EVENTS: u32 = zmq_sys::ZMQ_EVENT_CONNECTED
    | zmq_sys::ZMQ_EVENT_CONNECT_RETRIED
    | zmq_sys::ZMQ_EVENT_CLOSED
    | zmq_sys::ZMQ_EVENT_CONNECT_DELAYED
    | zmq_sys::ZMQ_EVENT_LISTENING
    | zmq_sys::ZMQ_EVENT_ACCEPTED
    | zmq_sys::ZMQ_EVENT_ACCEPT_FAILED
    | zmq_sys::ZMQ_EVENT_DISCONNECTED
    | zmq_sys::ZMQ_EVENT_MONITOR_STOPPED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

/// The thread that reads the events.
pub(crate) struct Monitor {
    new: Arc<Mutex<Vec<Watched>>>,
    /// A byte wakes the thread; the end of the stream ends it.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(crate) fn start() -> Result<Monitor, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Thread { thread: THREAD, reason: error.to_string() };
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        woken.set_nonblocking(true).map_err(failed)?;
        let new = Arc::new(Mutex::new(Vec::new()));
        let queue = Arc::clone(&new);
        let thread =
            raw::spawn_without_signals(THREAD, move || watch(&woken, &queue)).map_err(failed)?;
        Ok(Monitor { new, wake: Some(wake), thread: Some(thread) })
    }

    /// Watches a socket from now on. Must come before its first bind or connect, and the
    /// socket's `stop_monitor` before its end.
    pub(crate) fn watch(
        &self,
        context: &Arc<raw::Context>,
        socket: &raw::Socket,
        followed: Followed,
    ) -> Result<(), Errno> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let address = format!("inproc://rzmq.monitor.{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let pair = context.socket(zmq_sys::ZMQ_PAIR)?;
        pair.set_int(zmq_sys::ZMQ_LINGER, 0)?;
        pair.set_int(zmq_sys::ZMQ_RCVHWM, 0)?;
        socket.start_monitor(&address, EVENTS)?;
        if let Err(errno) = pair.connect(&address) {
            socket.stop_monitor();
            return Err(errno);
        }
        let connections = Connections::new(followed);
        let watched = Watched { events: Events::new(pair), connections };
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        if let Some(mut wake) = self.wake.as_ref() {
            // a full pipe wakes as well as one byte more
            let _ = wake.write(&[1]);
        }
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // an Err means that it panicked and is over too
            let _ = thread.join();
        }
    }
}

struct Watched {
    events: Events,
    connections: Connections,
}

fn watch(mut woken: &UnixStream, new: &Mutex<Vec<Watched>>) {
    let mut all: Vec<Watched> = Vec::new();
    loop {
        let mut items = vec![Awaited::descriptor(woken.as_raw_fd())];
        items.extend(all.iter().map(|watched| Awaited::message(&watched.events.pair)));
        let thresholds = all.iter().filter_map(|watched| watched.connections.threshold.as_ref());
        items.extend(thresholds.map(|threshold| Awaited::descriptor(threshold.as_raw_fd())));
        let waits = all.iter().any(|watched| watched.connections.look_again());
        match raw::wait(&mut items, if waits { LOOK } else { -1 }) {
            Err(errno) if errno.is_interrupted() => continue,
            Err(_) => return,
            Ok(()) => {}
        }
        if items[0].came() {
            if let Ok(0) = woken.read(&mut [0; 64]) {
                return;
            }
        }
        drop(items);
        all.append(&mut mem::take(&mut *new.lock().unwrap_or_else(PoisonError::into_inner)));
        all.retain_mut(Watched::read);
    }
}

impl Watched {
    /// Reads what is there; false after the last event.
    fn read(&mut self) -> bool {
        loop {
            // between events too: they may be many
            self.connections.look_at_threshold(Instant::now());
            self.connections.look_at_door(Instant::now());
            let Some(Event { kind, value, endpoint }) = self.events.read() else { return true };
            if kind == zmq_sys::ZMQ_EVENT_MONITOR_STOPPED {
                self.connections.forget_all();
                return false;
            }
            let mut is_over = |fd| self.events.tell_the_end_of(fd);
            self.connections.event(kind, value, &endpoint, Instant::now(), &mut is_over);
        }
    }
}
