//! A message that was received: its frames, and whom it is from.

use std::ffi::CStr;
use std::sync::Arc;

use crate::owner::Owner;
use crate::raw::Frame;
use crate::socket_type::SocketType;

/// What rsyslog calls the address of a peer on this host that came by no network.
const LOCAL: &str = "127.0.0.1";

/// One received message; made once and used again and again.
pub struct Received {
    pub(super) first: Frame,
    pub(super) second: Frame,
    pub(crate) body: Frame,
    pub(super) frames: usize,
    pub(super) sender: From,
    pub(super) socket_type: SocketType,
}

/// Whom a message is from.
pub(super) enum From {
    /// The socket is no CURVE server, so that nothing is known.
    Anybody,
    /// Somebody who was let in.
    Owner(Arc<Owner>),
    /// Somebody who is not allowed, at least not any more.
    Nobody,
}

impl Received {
    /// Room for a message.
    pub fn new() -> Received {
        Received {
            first: Frame::new(),
            second: Frame::new(),
            body: Frame::new(),
            frames: 0,
            sender: From::Anybody,
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

    /// The frame between topic and line (SUB), where [`Gaps`](crate::Gaps) may find a number.
    pub fn number(&self) -> Option<&[u8]> {
        (self.socket_type == SocketType::Sub && self.frames == 3).then(|| self.second.bytes())
    }

    /// The peer's IP address as text, an IPv4 address as such even over IPv6; 127.0.0.1 of a peer
    /// on this host that came by ipc. None, where libzmq knows none, as of peers that speak ZMTP 1 or 2.
    pub fn peer_address(&self) -> Option<&str> {
        let address = self.body.property(c"Peer-Address")?.to_str().ok()?;
        // what libzmq makes of an ipc peer: localhost:UID:GID:PID
        if address.starts_with("localhost:") {
            return Some(LOCAL);
        }
        Some(address.strip_prefix("::ffff:").unwrap_or(address))
    }

    /// The key the sender proved to have, in Z85; only on a CURVE server. Elsewhere a peer could say
    /// anything.
    pub fn key(&self) -> Option<&str> {
        match &self.sender {
            From::Owner(owner) => Some(&owner.key),
            From::Anybody | From::Nobody => None,
        }
    }

    /// The name on the sender's certificate, or of its file; none where any key is let in.
    pub fn sender_name(&self) -> Option<&str> {
        match &self.sender {
            From::Owner(owner) => owner.name.as_deref(),
            From::Anybody | From::Nobody => None,
        }
    }

    /// False, if the message came to a CURVE server from nobody it allows, now: such a message must
    /// be dropped.
    pub fn authenticated(&self) -> bool {
        !matches!(self.sender, From::Nobody)
    }
}

impl Default for Received {
    fn default() -> Received {
        Received::new()
    }
}
