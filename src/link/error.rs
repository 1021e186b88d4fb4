//! What can go wrong between opening a socket and using it.

use crate::endpoint::Endpoint;

/// Why a socket could not be opened or used. Each sentence names the endpoint, option or
/// topic it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The number of I/O threads is out of range.
    #[error("iothreads={0}: 1 to 64 are possible")]
    IoThreads(i32),
    /// libzmq could not make a context.
    #[error("libzmq could not start: {0}")]
    Context(String),
    /// The system gave no thread or no wake-up descriptor.
    #[error("could not start the {thread} thread: {reason}")]
    Thread {
        /// Which thread.
        thread: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The loaded libzmq was built without CURVE.
    #[error(
        "this libzmq ({0}) was built without CURVE: install the distribution's libzmq, which has it"
    )]
    NoCurve(String),
    /// The authenticator could not take its place in the context.
    #[error("the authenticator could not start: {0}")]
    Authenticator(String),
    /// libzmq could not make a socket of this type.
    #[error("could not make a {socket_type} socket: {reason}")]
    Socket {
        /// The type's name.
        socket_type: &'static str,
        /// libzmq's reason.
        reason: String,
    },
    /// libzmq refused an option or its value.
    #[error("this libzmq ({version}) does not take {option}={value}: {reason}")]
    Option {
        /// The rsyslog parameter, or libzmq's name where there is none.
        option: &'static str,
        /// The value.
        value: String,
        /// Which libzmq.
        version: String,
        /// libzmq's reason.
        reason: String,
    },
    /// An IPv6 address, and IPv6 is off.
    #[error("{0} is an IPv6 address: it needs ipv6=\"on\"")]
    Ipv6Off(Endpoint),
    /// A transport that cannot be encrypted or authenticated, or whose connections cannot be closed.
    #[error("{0} cannot be used with authtype: CURVE needs tcp:// or ipc://")]
    NoCurveOver(Endpoint),
    /// A multicast transport and a socket type that needs connections.
    #[error("{endpoint} cannot be used with socktype {socket_type}: only PUB and SUB can")]
    Multicast {
        /// The endpoint.
        endpoint: Endpoint,
        /// The type's name.
        socket_type: &'static str,
    },
    /// No endpoint was given.
    #[error("no endpoint given")]
    NoEndpoint,
    /// A DISH socket receives only the groups it joined.
    #[error("a DISH socket receives nothing without topics: name the groups to join")]
    NoGroups,
    /// A topic that cannot be the name of a group.
    #[error("topic \"{0}\" cannot be a group of RADIO and DISH: at most 255 bytes, and no NUL")]
    Group(String),
    /// libzmq refused a subscription or group.
    #[error("topic \"{topic}\" was refused: {reason}")]
    Topic {
        /// The topic or group.
        topic: String,
        /// libzmq's reason.
        reason: String,
    },
    /// The address cannot be bound (now).
    #[error("cannot bind {endpoint}: {reason}")]
    Bind {
        /// The endpoint.
        endpoint: Endpoint,
        /// The system's errno, or libzmq's.
        errno: i32,
        /// What it means, and what to do where that is known.
        reason: String,
    },
    /// The address was bound with rights that are gone since.
    #[error("no right to bind {0} again: the key read before stays until a restart")]
    NoRightToRebind(String),
    /// The address could not be taken again after the key had been replaced.
    #[error("cannot bind {address} again with the new key: {reason}")]
    Rebind {
        /// The address.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The address cannot be connected to.
    #[error("cannot connect to {endpoint}: {reason}")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// The system's errno, or libzmq's.
        errno: i32,
        /// What it means.
        reason: String,
    },
    /// Several frames were given to a socket type that has one a message.
    #[error("a {0} message is one frame: topicframe needs PUB, PUSH or DEALER")]
    OneFrame(&'static str),
    /// Sending failed, and not for want of room.
    #[error("sending failed: {0}")]
    Send(String),
    /// A peer answered in several frames.
    #[error("the peer's answer has several frames: it does not speak the protocol")]
    ManyFrames,
    /// Receiving failed, and not for want of a message.
    #[error("receiving failed: {0}")]
    Receive(String),
    /// Waiting failed.
    #[error("waiting for the socket failed: {0}")]
    Wait(String),
}
