//! An open socket: the way every log line takes.
//!
//! Sending and receiving never wait and allocate nothing beyond libzmq's own message;
//! waiting is a call of its own, with a time limit, and ends early at a signal. What came is in received.rs. Calling
//! endpoints anew (calling.rs) and binding them anew (rebinding.rs) may wait, and say for how long.
//!
//! Threads: a socket may move from thread to thread but not be shared. Closing is `drop`: it
//! returns at once, and libzmq goes on delivering for the linger time.

mod calling;
mod rebinding;
mod received;

use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{mem, thread};

use self::received::From;
pub use self::received::Received;
use crate::authenticator::Registration;
use crate::connections::Peers;
use crate::context::Shared;
use crate::endpoint::{Endpoint, Mode};
use crate::error::LinkError;
use crate::notice::Notices;
use crate::numbering::Numbering;
use crate::options::milliseconds;
use crate::owner::Owners;
use crate::raw::{self, Awaited, Errno, Frame};
use crate::roster::Roster;
use crate::security::{Keys, Security};
use crate::socket_type::SocketType;
use crate::spec::{SocketSpec, check_group};
use crate::throttle::Throttle;
use crate::watcher::Watch;

/// An open socket. Dropping it closes it.
pub struct Socket {
    // dropped in this order: the socket, its entries at the threads and its way to the log's, the context
    raw: raw::Socket,
    trust: Trust,
    notices: Arc<dyn Notices>,
    _shared: Arc<Shared>,
    socket_type: SocketType,
    security: Arc<Security>,
    peers: Arc<Peers>,
    /// Of what is told of calls.
    throttle: RefCell<Throttle>,
    linger: i32,
    /// libzmq takes messages for peers that are not there.
    holds: bool,
    /// When there was nothing to receive; of a socket that does not receive, none.
    empty: Option<Cell<Instant>>,
    /// Messages received, and how many of one connection libzmq holds.
    received: Cell<u64>,
    rcv_hwm: u64,
    bound: Vec<String>,
    /// The endpoints of these, and their places among all.
    bound_as: Vec<(Endpoint, usize)>,
    /// The endpoints that it connects to, and their places among all.
    called: Vec<(Endpoint, usize)>,
    numbering: RefCell<Numbering>,
}

/// What a socket of CURVE has beyond others.
#[derive(Default)]
pub(crate) struct Trust {
    /// The keys that its endpoints were bound with.
    pub(crate) keys: Keys,
    /// By which certificate a client knew its server then.
    pub(crate) turn: u64,
    /// Of a server: its entry at the authenticator.
    pub(crate) registration: Option<Registration>,
    /// Its connections.
    pub(crate) roster: Option<Arc<Roster>>,
    /// Of a server: whose the messages are. Each must carry the key of its sender.
    pub(crate) owners: Option<RefCell<Owners>>,
    /// Its entry at the watcher.
    pub(crate) watch: Option<Watch>,
}

/// What became of a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// libzmq has all of it.
    Taken,
    /// libzmq has nothing of it: no peer is there, or all are full.
    Full,
}

/// Why a wait ended; neither: the time was over, or a signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// A message can be received.
    pub message: bool,
    /// The other descriptor is readable.
    pub woken: bool,
}

/// A publisher that is full has no way to say when it no longer is.
const PUBLISHER_PAUSE: Duration = Duration::from_millis(2);

impl Socket {
    pub(crate) fn new(
        shared: Arc<Shared>,
        raw: raw::Socket,
        spec: &SocketSpec,
        (peers, trust): (Arc<Peers>, Trust),
        notices: Arc<dyn Notices>,
    ) -> Socket {
        let receives = SocketType::INPUTS.contains(&spec.socket_type);
        let publishes = spec.socket_type.publishes();
        Socket {
            raw,
            trust,
            _shared: shared,
            socket_type: spec.socket_type,
            security: Arc::clone(&spec.security),
            peers,
            notices,
            throttle: RefCell::new(Throttle::of_strangers()),
            linger: milliseconds(spec.options.linger),
            holds: !spec.options.immediate && !receives && !publishes,
            empty: receives.then(|| Cell::new(Instant::now())),
            received: Cell::new(0),
            rcv_hwm: match spec.options.rcv_hwm {
                0 => u64::MAX,
                messages => messages.unsigned_abs().into(),
            },
            bound: Vec::new(),
            bound_as: Vec::new(),
            called: Vec::new(),
            numbering: RefCell::default(),
        }
    }

    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<(), LinkError> {
        let refused = |topic: &str| {
            let topic = topic.to_owned();
            move |errno: Errno| LinkError::Topic { topic, reason: errno.to_string() }
        };
        match self.socket_type {
            SocketType::Sub if topics.is_empty() => {
                self.raw.set(zmq_sys::ZMQ_SUBSCRIBE, b"").map_err(refused(""))
            }
            SocketType::Sub => topics.iter().try_for_each(|topic| {
                self.raw.set(zmq_sys::ZMQ_SUBSCRIBE, topic.as_bytes()).map_err(refused(topic))
            }),
            SocketType::Dish => {
                topics.iter().try_for_each(|topic| self.raw.join(topic).map_err(refused(topic)))
            }
            _ => Ok(()),
        }
    }

    /// `index` is the endpoint's place among all.
    pub(crate) fn attach(&mut self, endpoint: &Endpoint, index: usize) -> Result<(), LinkError> {
        match endpoint.mode {
            Mode::Bind => {
                self.security.show_keys(&self.raw, index, self.trust.turn)?;
                let failed = |errno: Errno, reason| LinkError::Bind {
                    endpoint: endpoint.clone(),
                    errno: errno.0,
                    reason,
                };
                look_for(endpoint).map_err(|errno| failed(errno, no_interfaces(errno)))?;
                self.raw
                    .bind(&endpoint.address)
                    .map_err(|errno| failed(errno, bind_failure(&endpoint.address, errno)))?;
                let address = self.raw.last_endpoint();
                self.bound.push(address.unwrap_or_else(|_| endpoint.address.clone()));
                self.bound_as.push((endpoint.clone(), index));
                Ok(())
            }
            Mode::Connect => {
                let shown = self.security.shown(index, self.security.turn());
                self.call(endpoint, index, shown)?;
                self.called.push((endpoint.clone(), index));
                Ok(())
            }
        }
    }

    /// Sends a message of these frames, without waiting: all of it or nothing. After an
    /// error the socket is good for nothing but to be dropped.
    pub fn send(&self, frames: &[&[u8]]) -> Result<Sent, LinkError> {
        let Some((last, first)) = frames.split_last() else {
            return Ok(Sent::Taken);
        };
        if !first.is_empty() && self.socket_type.is_draft() {
            return Err(LinkError::OneFrame(self.socket_type.name()));
        }
        let mut cut = false;
        for (index, bytes) in first.iter().enumerate() {
            if self.send_frame(&mut joined(&[bytes])?, true)? == Sent::Full {
                if index == 0 {
                    return Ok(Sent::Full);
                }
                // The peer went away within the message. libzmq has rolled it back and now
                // swallows frames until it has seen the message's last.
                cut = true;
            }
        }
        let sent = self.send_frame(&mut joined(&[last])?, false)?;
        Ok(if cut { Sent::Full } else { sent })
    }

    /// Sends a topic, the message's number within it, and a line, as [`Socket::send`] does. What was not
    /// taken has used no number.
    pub fn send_numbered(&self, topic: &[u8], line: &[u8]) -> Result<Sent, LinkError> {
        let mut numbering = self.numbering.borrow_mut();
        let next = numbering.next(topic);
        let sent = self.send(&[topic, next.frame(), line])?;
        if sent == Sent::Taken {
            next.taken();
        }
        Ok(sent)
    }

    /// Sends these parts, one after the other, as one frame: one copy.
    pub fn send_joined(&self, parts: &[&[u8]]) -> Result<Sent, LinkError> {
        self.send_frame(&mut joined(parts)?, false)
    }

    /// Sends a message to a group (RADIO).
    pub fn send_group(&self, group: &str, body: &[u8]) -> Result<Sent, LinkError> {
        check_group(group)?;
        let mut frame = joined(&[body])?;
        frame.set_group(group).map_err(|errno| LinkError::Topic {
            topic: group.to_owned(),
            reason: errno.to_string(),
        })?;
        self.send_frame(&mut frame, false)
    }

    fn send_frame(&self, frame: &mut Frame, more: bool) -> Result<Sent, LinkError> {
        match self.raw.send(frame, more) {
            Ok(()) => Ok(Sent::Taken),
            Err(errno) if errno.is_again() => Ok(Sent::Full),
            Err(errno) => Err(LinkError::Send(errno.to_string())),
        }
    }

    /// Waits until a message may be taken. True does not promise it: try, and wait again.
    pub fn wait_writable(&self, timeout: Duration) -> Result<bool, LinkError> {
        if self.socket_type.publishes() {
            // libzmq calls a publisher writable always
            thread::sleep(timeout.min(PUBLISHER_PAUSE));
            return Ok(timeout > PUBLISHER_PAUSE);
        }
        let mut items = [Awaited::room(&self.raw)];
        wait(&mut items, timeout)?;
        Ok(items[0].came())
    }

    /// Receives one message, without waiting; false: none is there.
    ///
    /// # Errors
    /// [`LinkError::ManyFrames`] of a DEALER, that is to be closed then: where a connection ends within such a
    /// message, libzmq ends the process at the next frame that is asked for (`fq_t::recvpipe`, with
    /// ZMQ_IMMEDIATE). What answers a sender is one frame, and only the first is looked at.
    pub fn receive(&self, into: &mut Received) -> Result<bool, LinkError> {
        match self.raw.receive(&mut into.body) {
            Ok(()) => {}
            Err(errno) if errno.is_again() => {
                if let Some(empty) = &self.empty {
                    empty.set(Instant::now());
                }
                return Ok(false);
            }
            Err(errno) => return Err(LinkError::Receive(errno.to_string())),
        }
        self.received.set(self.received.get() + 1);
        into.socket_type = self.socket_type;
        into.frames = 1;
        if into.body.more() {
            if self.socket_type == SocketType::Dealer {
                return Err(LinkError::ManyFrames);
            }
            mem::swap(&mut into.first, &mut into.body);
            loop {
                // libzmq hands out a message once it has all of its frames
                let result = self.raw.receive(&mut into.body);
                result.map_err(|errno| LinkError::Receive(errno.to_string()))?;
                into.frames += 1;
                if !into.body.more() {
                    break;
                }
                if into.frames == 2 {
                    mem::swap(&mut into.second, &mut into.body);
                }
            }
        }
        into.sender = match &self.trust.owners {
            None => From::Anybody,
            Some(owners) => owners.borrow_mut().of(&into.body).map_or(From::Nobody, From::Owner),
        };
        Ok(true)
    }

    /// Whether a message that was received here is still of the sender that it was of then: the list of the
    /// allowed may have changed since.
    pub fn still_knows(&self, received: &Received) -> bool {
        match (&self.trust.owners, &received.sender) {
            (None, _) => true,
            (Some(owners), From::Owner(owner)) => {
                owners.borrow_mut().of(&received.body).is_some_and(|now| now == *owner)
            }
            (Some(_), _) => false,
        }
    }

    /// Waits until a message is there; answers whether it is.
    pub fn wait_message(&self, timeout: Duration) -> Result<bool, LinkError> {
        let mut items = [Awaited::message(&self.raw)];
        wait(&mut items, timeout)?;
        Ok(items[0].came())
    }

    /// Waits until a message is there, or `wake` is readable.
    pub fn wait_readable(
        &self,
        wake: &impl AsRawFd,
        timeout: Duration,
    ) -> Result<Readiness, LinkError> {
        let mut items = [Awaited::message(&self.raw), Awaited::descriptor(wake.as_raw_fd())];
        wait(&mut items, timeout)?;
        Ok(Readiness { message: items[0].came(), woken: items[1].came() })
    }

    /// Connections past their handshake, as the monitor last heard: a gauge for people.
    /// Whether a message finds a peer, only `send` knows.
    pub fn connections(&self) -> u64 {
        self.peers.connected.load(Ordering::Relaxed)
    }

    /// Connections that ended since the socket is open: what was sent on one is in doubt.
    pub fn connections_ended(&self) -> u64 {
        self.peers.ended.load(Ordering::Acquire)
    }

    /// Handshakes that failed for another reason than a refused key.
    pub fn handshakes_failed(&self) -> u64 {
        self.peers.failed.load(Ordering::Relaxed)
    }

    /// How many times the authenticator refused a key here.
    pub fn keys_refused(&self) -> u64 {
        self.trust.registration.as_ref().map_or(0, Registration::refused)
    }

    /// The addresses it is bound to, with wildcards resolved.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // before the socket closes, as the monitor module explains
        self.raw.stop_monitor();
    }
}

fn joined(parts: &[&[u8]]) -> Result<Frame, LinkError> {
    Frame::joined(parts).map_err(|errno| LinkError::Send(errno.to_string()))
}

/// Waits until one of these has a message; answers whether there is one. A signal ends it early.
pub fn wait_any<'a>(
    sockets: impl IntoIterator<Item = &'a Socket>,
    timeout: Duration,
) -> Result<bool, LinkError> {
    let mut items: Vec<_> =
        sockets.into_iter().map(|socket| Awaited::message(&socket.raw)).collect();
    wait(&mut items, timeout)?;
    Ok(items.iter().any(Awaited::came))
}

fn wait(items: &mut [Awaited<'_>], timeout: Duration) -> Result<(), LinkError> {
    match raw::wait(items, milliseconds(timeout).into()) {
        Err(errno) if !errno.is_interrupted() => Err(LinkError::Wait(errno.to_string())),
        _ => Ok(()),
    }
}

/// Whether libzmq can look for what this endpoint names.
fn look_for(endpoint: &Endpoint) -> Result<(), Errno> {
    if endpoint.is_looked_for() { raw::ask_for_interfaces() } else { Ok(()) }
}

fn no_interfaces(errno: Errno) -> String {
    format!(
        "this process may not ask for the host's addresses ({errno}), as libzmq does for all but *: \
         write * in place of the address, or allow AF_NETLINK to the service"
    )
}

/// The system's sentence, and what it means for an address that is to be bound.
fn bind_failure(address: &str, errno: Errno) -> String {
    let hint = match errno.0 {
        libc::EADDRINUSE => " (another program, or another input or action, has it)",
        libc::EADDRNOTAVAIL => " (no interface of this host has this address now)",
        libc::ENODEV => {
            " (neither an address nor an interface of this host; host names cannot be bound)"
        }
        libc::EACCES if address.starts_with("tcp://") => {
            " (ports below 1024 need root or CAP_NET_BIND_SERVICE)"
        }
        _ => "",
    };
    format!("{errno}{hint}")
}
