//! An open socket: the way every log line takes.
//!
//! Sending and receiving never wait and allocate nothing beyond libzmq's own message;
//! waiting is a call of its own, with a time limit, and ends early at a signal.
//!
//! Threads: a socket may move from thread to thread but not be shared. Closing is `drop`: it
//! returns at once, and libzmq goes on delivering for the linger time.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{mem, thread};

use crate::authenticator::Registration;
use crate::context::{Shared, SocketSpec};
use crate::endpoint::{Endpoint, Mode};
use crate::error::LinkError;
use crate::monitor::Peers;
use crate::options::milliseconds;
use crate::raw::{self, Awaited, Errno, Frame};
use crate::security::{Allowed, Security};
use crate::socket_type::SocketType;

/// An open socket. Dropping it closes it.
pub struct Socket {
    // dropped in this order: the socket, its entry at the authenticator, the context
    raw: raw::Socket,
    registration: Option<Registration>,
    _shared: Arc<Shared>,
    socket_type: SocketType,
    /// A CURVE server: each message must carry the key of its sender.
    checks_keys: bool,
    /// The names of the allowed certificates by their key.
    names: HashMap<String, String>,
    peers: Arc<Peers>,
    bound: Vec<String>,
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
        peers: Arc<Peers>,
        registration: Option<Registration>,
    ) -> Socket {
        let mut names = HashMap::new();
        if let Security::Server { allowed: Allowed::Keys(certificates), .. } = &*spec.security {
            names.extend(certificates.iter().map(|it| (it.public.to_string(), it.label())));
        }
        Socket {
            raw,
            _shared: shared,
            socket_type: spec.socket_type,
            checks_keys: registration.is_some(),
            names,
            peers,
            registration,
            bound: Vec::new(),
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

    pub(crate) fn attach(&mut self, endpoint: &Endpoint) -> Result<(), LinkError> {
        match endpoint.mode {
            Mode::Bind => {
                self.raw.bind(&endpoint.address).map_err(|errno| LinkError::Bind {
                    endpoint: endpoint.clone(),
                    errno: errno.0,
                    reason: bind_failure(&endpoint.address, errno),
                })?;
                let address = self.raw.last_endpoint();
                self.bound.push(address.unwrap_or_else(|_| endpoint.address.clone()));
                Ok(())
            }
            Mode::Connect => {
                self.raw.connect(&endpoint.address).map_err(|errno| LinkError::Connect {
                    endpoint: endpoint.clone(),
                    errno: errno.0,
                    reason: errno.to_string(),
                })
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
    pub fn receive(&self, into: &mut Received) -> Result<bool, LinkError> {
        match self.raw.receive(&mut into.body) {
            Ok(()) => {}
            Err(errno) if errno.is_again() => return Ok(false),
            Err(errno) => return Err(LinkError::Receive(errno.to_string())),
        }
        into.checks_keys = self.checks_keys;
        into.socket_type = self.socket_type;
        into.frames = 1;
        if into.body.more() {
            mem::swap(&mut into.first, &mut into.body);
            loop {
                // libzmq hands out a message once it has all of its frames
                let result = self.raw.receive(&mut into.body);
                result.map_err(|errno| LinkError::Receive(errno.to_string()))?;
                into.frames += 1;
                if !into.body.more() {
                    break;
                }
            }
        }
        Ok(true)
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
        self.registration.as_ref().map_or(0, Registration::refused)
    }

    /// The addresses it is bound to, with wildcards resolved.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// The name on the certificate of an allowed key (in Z85, as [`Received::key`] has it).
    pub fn certificate_name(&self, key: &str) -> Option<&str> {
        self.names.get(key).map(String::as_str)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // before the socket closes, as the monitor module explains
        self.raw.stop_monitor();
    }
}

/// One received message; made once and used again and again.
pub struct Received {
    first: Frame,
    body: Frame,
    frames: usize,
    checks_keys: bool,
    socket_type: SocketType,
}

impl Received {
    /// Room for a message.
    pub fn new() -> Received {
        Received {
            first: Frame::new(),
            body: Frame::new(),
            frames: 0,
            checks_keys: false,
            socket_type: SocketType::Pull,
        }
    }

    /// The log line: the message's last frame.
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// The routing id of the connection it came on (ROUTER): the first frame of an answer.
    pub fn routing_id(&self) -> Option<&[u8]> {
        (self.socket_type == SocketType::Router && self.frames > 1).then(|| self.first.bytes())
    }

    /// How many frames the message had, with identity and topic.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The topic, where it came in a frame of its own (SUB), or the group (DISH).
    pub fn topic(&self) -> Option<&[u8]> {
        match self.socket_type {
            SocketType::Sub if self.frames > 1 => Some(self.first.bytes()),
            SocketType::Dish => self.body.group().map(CStr::to_bytes),
            _ => None,
        }
    }

    /// The peer's IP address as text, an IPv4 address as such even over IPv6; none of a peer
    /// on this host that came by ipc.
    pub fn peer_address(&self) -> Option<&str> {
        let address = self.body.property(c"Peer-Address")?.to_str().ok()?;
        // what libzmq makes of an ipc peer: localhost:UID:GID:PID
        let local = address.is_empty() || address.starts_with("localhost:");
        (!local).then(|| address.strip_prefix("::ffff:").unwrap_or(address))
    }

    /// The key the sender proved to have, in Z85; only on a CURVE server. Elsewhere a peer could say
    /// anything.
    pub fn key(&self) -> Option<&str> {
        if !self.checks_keys {
            return None;
        }
        self.body.property(c"User-Id")?.to_str().ok()
    }

    /// False, if the message came to a CURVE server but without the key of its sender: such
    /// a message must be dropped.
    pub fn authenticated(&self) -> bool {
        !self.checks_keys || self.body.property(c"User-Id").is_some()
    }
}

impl Default for Received {
    fn default() -> Received {
        Received::new()
    }
}

/// libzmq takes more than this, but cuts it off without a word.
pub(crate) fn check_group(group: &str) -> Result<(), LinkError> {
    const GROUP_MAX: usize = 255; // ZMQ_GROUP_MAX_LENGTH since libzmq 4.3.3
    if group.len() > GROUP_MAX || group.contains('\0') {
        return Err(LinkError::Group(group.escape_debug().take(GROUP_MAX).collect()));
    }
    Ok(())
}

fn joined(parts: &[&[u8]]) -> Result<Frame, LinkError> {
    Frame::joined(parts).map_err(|errno| LinkError::Send(errno.to_string()))
}

fn wait(items: &mut [Awaited<'_>], timeout: Duration) -> Result<(), LinkError> {
    match raw::wait(items, milliseconds(timeout).into()) {
        Err(errno) if !errno.is_interrupted() => Err(LinkError::Wait(errno.to_string())),
        _ => Ok(()),
    }
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
