//! A ZeroMQ peer in the test's own process, on libzmq as it is: what a module's behaviour is seen
//! against. It has no authenticator: as a CURVE server it lets any key in.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::keys::Keys;
use crate::ports::free_endpoint;

/// libzmq's monitor events that tests ask for.
const EVENT_HANDSHAKE_SUCCEEDED: u16 = 0x1000;

/// One socket in a context of its own.
pub struct Peer {
    socket: zmq::Socket,
    monitor: zmq::Socket,
    seen: RefCell<Vec<u16>>,
    _context: zmq::Context,
}

impl Peer {
    /// A socket that neither lingers nor waits for ever.
    pub fn new(kind: zmq::SocketType) -> Self {
        let context = zmq::Context::new();
        let socket = context.socket(kind).expect("socket");
        socket.set_linger(0).expect("linger");
        socket.set_sndtimeo(0).expect("time-out");
        socket.set_rcvtimeo(0).expect("time-out");
        socket.monitor("inproc://monitor", i32::from(u16::MAX)).expect("monitor");
        let monitor = context.socket(zmq::PAIR).expect("monitor");
        monitor.set_linger(0).expect("linger");
        monitor.set_rcvtimeo(0).expect("time-out");
        monitor.connect("inproc://monitor").expect("monitor");
        Peer { socket, monitor, seen: RefCell::default(), _context: context }
    }

    /// A PULL socket bound to a free port, and where it is.
    pub fn pull() -> (Self, String) {
        let peer = Peer::new(zmq::PULL);
        let endpoint = peer.bind_free();
        (peer, endpoint)
    }

    /// A PUSH socket connected to this.
    pub fn push(endpoint: &str) -> Self {
        Peer::new(zmq::PUSH).connected_to(endpoint)
    }

    /// A SUB socket connected to this, with these subscriptions.
    pub fn sub(endpoint: &str, topics: &[&str]) -> Self {
        Peer::new(zmq::SUB).subscribed(topics).connected_to(endpoint)
    }

    /// Adds subscriptions.
    pub fn subscribed(self, topics: &[&str]) -> Self {
        for topic in topics {
            self.socket.set_subscribe(topic.as_bytes()).expect("subscription");
        }
        self
    }

    /// A CURVE server with these keys.
    pub fn curve_server(self, own: &Keys) -> Self {
        self.socket.set_curve_server(true).expect("CURVE");
        self.socket.set_curve_secretkey(&own.secret).expect("CURVE");
        self
    }

    /// A CURVE client with these keys, of a server with that public key.
    pub fn curve_client(self, own: &Keys, server: &Keys) -> Self {
        self.socket.set_curve_publickey(&own.public).expect("CURVE");
        self.socket.set_curve_secretkey(&own.secret).expect("CURVE");
        self.socket.set_curve_serverkey(&server.public).expect("CURVE");
        self
    }

    /// High-water marks of one message and small kernel buffers: a peer that is soon full.
    pub fn narrow(self) -> Self {
        self.socket.set_rcvhwm(1).expect("HWM");
        self.socket.set_sndhwm(1).expect("HWM");
        self.socket.set_rcvbuf(16 * 1024).expect("buffer");
        self.socket.set_sndbuf(16 * 1024).expect("buffer");
        self
    }

    /// Closing it waits for what is on its way.
    pub fn lingering(self) -> Self {
        self.socket.set_linger(10_000).expect("linger");
        self
    }

    /// The high-water mark of what it sends.
    pub fn send_hwm(self, messages: i32) -> Self {
        self.socket.set_sndhwm(messages).expect("HWM");
        self
    }

    /// The high-water mark of what it receives; 0 is none.
    pub fn receive_hwm(self, messages: i32) -> Self {
        self.socket.set_rcvhwm(messages).expect("HWM");
        self
    }

    /// A routing id, as a ROUTER sees it.
    pub fn identity(self, identity: &[u8]) -> Self {
        self.socket.set_identity(identity).expect("identity");
        self
    }

    /// Speaks IPv6 too.
    pub fn ipv6(self) -> Self {
        self.socket.set_ipv6(true).expect("IPv6");
        self
    }

    /// Connects.
    pub fn connected_to(self, endpoint: &str) -> Self {
        self.connect(endpoint);
        self
    }

    /// Connects.
    #[track_caller]
    pub fn connect(&self, endpoint: &str) {
        self.socket.connect(endpoint).unwrap_or_else(|e| panic!("connect to {endpoint}: {e}"));
    }

    /// Binds; a port that a predecessor has just left is waited for.
    #[track_caller]
    pub fn bind(&self, endpoint: &str) {
        crate::wait_until(&format!("bind {endpoint}"), crate::SOON, || {
            self.socket.bind(endpoint).ok()
        });
    }

    /// Binds to a free port; the answer is where.
    pub fn bind_free(&self) -> String {
        let endpoint = free_endpoint();
        self.bind(&endpoint);
        endpoint
    }

    /// Waits until a handshake has succeeded.
    #[track_caller]
    pub fn wait_connected(&self, deadline: Duration) {
        assert!(self.connects(deadline), "no peer within {deadline:?}");
    }

    /// Does a handshake succeed in this time?
    pub fn connects(&self, deadline: Duration) -> bool {
        crate::wait::try_until(deadline, || {
            self.read_monitor();
            self.seen.borrow().contains(&EVENT_HANDSHAKE_SUCCEEDED).then_some(())
        })
        .is_some()
    }

    fn read_monitor(&self) {
        while let Ok(frames) = self.monitor.recv_multipart(zmq::DONTWAIT) {
            if let Some(&[low, high, ..]) = frames.first().map(Vec::as_slice) {
                self.seen.borrow_mut().push(u16::from_ne_bytes([low, high]));
            }
        }
    }

    /// Sends one message; false when the socket is full or has no peer for this long.
    pub fn send(&self, frames: &[&[u8]], deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            match self.socket.send_multipart(frames, zmq::DONTWAIT) {
                Ok(()) => return true,
                Err(zmq::Error::EAGAIN) => {}
                Err(error) => panic!("sending: {error}"),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let _ = self.socket.poll(zmq::POLLOUT, left.as_millis().min(100) as i64);
        }
    }

    /// Sends each text as a message of one frame.
    #[track_caller]
    pub fn send_texts<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        for text in texts {
            assert!(self.send(&[text.as_ref().as_bytes()], crate::secs(20)), "peer takes no more");
        }
    }

    /// Sends the lines `n=…` of these numbers as syslog lines.
    #[track_caller]
    pub fn send_numbers(&self, numbers: std::ops::Range<usize>) {
        self.send_texts(numbers.map(|n| crate::feed::syslog_line(&crate::oracle::numbered(n))));
    }

    /// As [`Peer::send_numbers`]. The peer must live until the lines have arrived: it does not
    /// linger.
    #[must_use]
    pub fn with_numbers(self, numbers: std::ops::Range<usize>) -> Self {
        self.send_numbers(numbers);
        self
    }

    /// The next message, all its frames.
    pub fn receive(&self, deadline: Duration) -> Option<Vec<Vec<u8>>> {
        let end = Instant::now() + deadline;
        loop {
            match self.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(frames) => return Some(frames),
                Err(zmq::Error::EAGAIN) => {}
                Err(error) => panic!("receiving: {error}"),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let _ = self.socket.poll(zmq::POLLIN, left.as_millis().clamp(1, 100) as i64);
        }
    }

    /// Up to `count` messages within the deadline, the last frame of each as text.
    pub fn take(&self, count: usize, deadline: Duration) -> Vec<String> {
        let end = Instant::now() + deadline;
        let mut texts = Vec::new();
        while texts.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Some(frames) => texts.push(last_text(&frames)),
                None => break,
            }
        }
        texts
    }

    /// Everything that comes until nothing has come for `quiet`.
    pub fn rest(&self, quiet: Duration) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(frames) = self.receive(quiet) {
            texts.push(last_text(&frames));
        }
        texts
    }

    /// `count` messages and whatever follows them at once: what an oracle judges.
    pub fn take_all(&self, count: usize, deadline: Duration) -> Vec<String> {
        let mut texts = self.take(count, deadline);
        texts.extend(self.rest(crate::millis(300)));
        texts
    }
}

/// The last frame as text.
fn last_text(frames: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(frames.last().map_or(&[], Vec::as_slice)).into_owned()
}
