//! A TCP proxy between two daemons that cuts, stalls, delays, half-closes, and comes back.
//!
//! One thread accepts and two a connection carry bytes; they look at the shared state at least every
//! few milliseconds and end when the proxy is dropped. The state is behind one mutex.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};

use crate::ports::free_port;
use crate::{SOON, wait_until};

/// What the kernel holds before a slow link.
const HELD: usize = 4 << 10;
/// How long a carrying thread is deaf to a change.
const TICK: Duration = Duration::from_millis(5);

/// What happens to bytes and connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// They go through.
    Open,
    /// Nobody reads: buffers fill, nothing arrives, nobody is told.
    Stalled,
    /// Each piece waits this long.
    Delayed(Duration),
    /// So many bytes a second go to the side that listens.
    Slow(u32),
    /// There are no connections, and new ones are reset.
    Away,
}

/// Which end of a connection is told that no more comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// The side that connected reads an end; what it sends still arrives.
    Sender,
    /// The side that listens reads an end; what it answers still arrives.
    Receiver,
}

/// The proxy; its connections are reset when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    carried: AtomicU64,
    accepted: AtomicU64,
}

struct State {
    mode: Mode,
    /// Connections of an earlier generation end with a reset.
    generation: u64,
    ending: bool,
    /// Which ends are told, and in which generation.
    half: Option<(Half, u64)>,
    live: Vec<Weak<Pair>>,
}

/// The two sockets of a connection. Closing them resets: their linger time is zero.
struct Pair {
    sender: TcpStream,
    receiver: TcpStream,
    generation: u64,
}

impl Proxy {
    /// A proxy on a free port in front of this endpoint.
    pub fn before(endpoint: &str) -> Self {
        let target: SocketAddr =
            endpoint.trim_start_matches("tcp://").parse().expect("tcp://ADDRESS:PORT");
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("proxy's port");
        listener.set_nonblocking(true).expect("listener");
        let state =
            State { mode: Mode::Open, generation: 0, ending: false, half: None, live: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            carried: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, target, &shared)
        });
        Proxy { port, shared, accepting: Some(accepting) }
    }

    /// Where to connect to.
    pub fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Bytes carried so far, both ways.
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Resets all connections; new ones are welcome. Comes back when the old ones are gone.
    #[track_caller]
    pub fn cut(&self) {
        self.shared.change(|state| {
            state.generation += 1;
            state.mode = Mode::Open;
        });
        let generation = self.shared.state().generation;
        self.wait_gone(generation);
    }

    /// Resets all connections, and each new one until [`Proxy::come_back`].
    #[track_caller]
    pub fn go_away(&self) {
        self.shared.change(|state| {
            state.generation += 1;
            state.mode = Mode::Away;
        });
        let generation = self.shared.state().generation;
        self.wait_gone(generation);
    }

    /// Reads nothing any more, without a word to anybody.
    pub fn stall(&self) {
        self.shared.change(|state| state.mode = Mode::Stalled);
    }

    /// Each piece of up to 16 KiB waits this long before it goes on.
    pub fn delay(&self, delay: Duration) {
        self.shared.change(|state| state.mode = Mode::Delayed(delay));
    }

    /// So many bytes a second go to the receiver; answers come as ever. To be set before anybody connects:
    /// what kernels hold is kept small for new connections alone.
    pub fn slow(&self, rate: u32) {
        self.shared.change(|state| state.mode = Mode::Slow(rate));
    }

    /// One end of each present connection reads an end of file.
    pub fn half_close(&self, half: Half) {
        self.shared.change(|state| state.half = Some((half, state.generation)));
        let generation = self.shared.state().generation + 1;
        self.wait_gone(generation);
        self.shared.change(|state| state.half = None);
    }

    /// As in the beginning.
    pub fn come_back(&self) {
        self.shared.change(|state| state.mode = Mode::Open);
    }

    #[track_caller]
    fn wait_gone(&self, generation: u64) {
        wait_until("connections through the proxy are gone", SOON, || {
            let old =
                |pair: &Weak<Pair>| pair.upgrade().is_some_and(|pair| pair.generation < generation);
            (!self.shared.state().live.iter().any(old)).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.generation += 1;
            state.ending = true;
        });
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits while nothing may be read; `false`: this connection is to end.
    fn may_carry(&self, pair: &Pair) -> bool {
        let mut state = self.state();
        while state.mode == Mode::Stalled && state.generation == pair.generation && !state.ending {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.generation == pair.generation && !state.ending
    }

    /// Waits as long as a delay or a rate says for so many bytes; a change ends it.
    fn hold_back(&self, pair: &Pair, told: Half, bytes: usize) {
        let state = self.state();
        let mode = state.mode;
        let delay = match mode {
            Mode::Delayed(delay) => delay,
            Mode::Slow(rate) if told == Half::Receiver => {
                Duration::from_secs_f64(bytes as f64 / f64::from(rate))
            }
            _ => return,
        };
        let _ = self.changed.wait_timeout_while(state, delay, |state| {
            state.mode == mode && state.generation == pair.generation
        });
    }

    fn is_told(&self, pair: &Pair, half: Half) -> bool {
        self.state().half == Some((half, pair.generation))
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    loop {
        let (mode, generation) = {
            let state = shared.state();
            if state.ending {
                return;
            }
            (state.mode, state.generation)
        };
        let taken = (mode != Mode::Stalled).then(|| listener.accept().ok()).flatten();
        let Some((sender, _)) = taken else {
            let _ = shared.changed.wait_timeout(shared.state(), TICK);
            continue;
        };
        let _ = set_socket_linger(&sender, Some(Duration::ZERO));
        if mode == Mode::Away {
            continue;
        }
        if let Mode::Slow(_) = mode {
            let _ = set_socket_recv_buffer_size(&sender, HELD);
        }
        let Ok(receiver) = TcpStream::connect(target) else { continue };
        let _ = set_socket_linger(&receiver, Some(Duration::ZERO));
        for socket in [&sender, &receiver] {
            let _ = socket.set_nonblocking(false);
            let _ = socket.set_nodelay(true);
            let _ = socket.set_read_timeout(Some(TICK));
            let _ = socket.set_write_timeout(Some(TICK));
        }
        let pair = Arc::new(Pair { sender, receiver, generation });
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        {
            let mut state = shared.state();
            state.live.retain(|pair| pair.strong_count() > 0);
            state.live.push(Arc::downgrade(&pair));
        }
        for told in [Half::Receiver, Half::Sender] {
            let (shared, pair) = (Arc::clone(shared), Arc::clone(&pair));
            thread::spawn(move || carry(&shared, &pair, told));
        }
    }
}

/// Carries one direction: the one at whose end `told` reads.
fn carry(shared: &Shared, pair: &Pair, told: Half) {
    let (mut from, mut to) = match told {
        Half::Receiver => (&pair.sender, &pair.receiver),
        Half::Sender => (&pair.receiver, &pair.sender),
    };
    let mut buffer = [0; 16 << 10];
    while shared.may_carry(pair) && !shared.is_told(pair, told) {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(why) if is_patient(why.kind()) => continue,
            Err(_) => break,
        };
        shared.hold_back(pair, told, count);
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if !shared.may_carry(pair) {
                return;
            }
            match to.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(why) if is_patient(why.kind()) => {}
                Err(_) => return,
            }
        }
        shared.carried.fetch_add(count as u64, Ordering::Relaxed);
    }
    if shared.may_carry(pair) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn is_patient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
