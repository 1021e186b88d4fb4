//! The socket options a user can set, with the defaults of the design, and how they reach
//! libzmq: an option or value that the running libzmq does not take is an error that names
//! the parameter.

use std::time::Duration;

use crate::error::LinkError;
use crate::raw::{Errno, Socket};
use crate::socket_type::SocketType;

/// One field a parameter; times are rounded up to milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `ipv6`: IPv6 addresses, and names that have them.
    pub ipv6: bool,
    /// `tcpkeepalive`; none: as the system does.
    pub tcp_keepalive: Option<bool>,
    /// `tcpkeepaliveidle` in seconds; none: as the system does.
    pub tcp_keepalive_idle: Option<i32>,
    /// `tcpkeepaliveintvl` in seconds; none: as the system does.
    pub tcp_keepalive_intvl: Option<i32>,
    /// `tcpkeepalivecnt`; none: as the system does.
    pub tcp_keepalive_cnt: Option<i32>,
    /// `heartbeativl`: how often a silent peer is asked whether it lives; zero: never.
    pub heartbeat_ivl: Duration,
    /// `heartbeattimeout`: how long it may take to answer.
    pub heartbeat_timeout: Duration,
    /// `heartbeatttl`: what the peer is told to apply to us; libzmq takes at most 6553.5 s.
    pub heartbeat_ttl: Duration,
    /// `connecttimeout`: zero: as the system does.
    pub connect_timeout: Duration,
    /// `reconnectivl`: the first pause before a new attempt.
    pub reconnect_ivl: Duration,
    /// `reconnectivlmax`: the longest; pauses double up to it.
    pub reconnect_ivl_max: Duration,
    /// `handshakeivl`: how long a handshake may take, and how soon a client that was refused
    /// tries again.
    pub handshake_ivl: Duration,
    /// `maxconnections`: how many a bound socket takes; more are closed at once.
    pub max_connections: usize,
    /// `maxconnectionsperkey`: how many of them may have one key.
    pub max_connections_per_key: usize,
    /// `maxfailuresperaddress`: how many handshakes of one address may fail within a second (door.rs); zero: any number.
    pub max_failures_per_address: usize,
    /// `maxmsgsize` in bytes a frame; a peer that sends more is cut off.
    pub maxmsgsize: u64,
    /// `linger`: how long a closed socket goes on delivering.
    pub linger: Duration,
    /// `sndhwm`: messages held for each peer; zero: no limit.
    pub snd_hwm: i32,
    /// `rcvhwm`: messages held from each peer; zero: no limit.
    pub rcv_hwm: i32,
    /// `immediate`: take messages only for peers that are connected. Never set on a socket that
    /// receives: libzmq would cut a connecting one's pipe at a disconnect with what is unread in
    /// it, and abort where that is half a multipart message (4.3.4, fq.cpp).
    pub immediate: bool,
    /// `pub.nodrop`: a subscriber that is full makes the publisher wait.
    pub pub_nodrop: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ipv6: false,
            tcp_keepalive: None,
            tcp_keepalive_idle: None,
            tcp_keepalive_intvl: None,
            tcp_keepalive_cnt: None,
            heartbeat_ivl: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(15),
            heartbeat_ttl: Duration::from_secs(15),
            connect_timeout: Duration::ZERO,
            reconnect_ivl: Duration::from_millis(100),
            reconnect_ivl_max: Duration::from_secs(2),
            handshake_ivl: Duration::from_secs(3),
            max_connections: 1000,
            max_connections_per_key: 250,
            max_failures_per_address: 50,
            maxmsgsize: 16 * 1024 * 1024,
            linger: Duration::from_millis(500),
            snd_hwm: 1000,
            rcv_hwm: 1000,
            immediate: true,
            pub_nodrop: false,
        }
    }
}

/// Heartbeats that find a cut connection within the time in which another endpoint takes over.
const FAILOVER_HEARTBEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// What CURVE adds to a frame: `\x07MESSAGE`, a nonce, its box's authenticator, and the frame's flags. libzmq
/// compares what travels.
const CURVE_EXTRA: i64 = 8 + 8 + 16 + 1;

impl Options {
    /// Heartbeats as often as is needed where another endpoint is to take over; none where there are none.
    pub fn notice_cuts_early(&mut self) {
        self.heartbeat_ivl = self.heartbeat_ivl.min(FAILOVER_HEARTBEAT.0);
        self.heartbeat_timeout = self.heartbeat_timeout.min(FAILOVER_HEARTBEAT.1);
    }

    /// Sets them all; must come before bind and connect.
    pub(crate) fn apply(
        &self,
        socket: &Socket,
        kind: SocketType,
        is_curve: bool,
    ) -> Result<(), LinkError> {
        let keepalive = self.tcp_keepalive.map_or(-1, i32::from);
        let subscribes = matches!(kind, SocketType::Sub | SocketType::Dish);
        // All that such a socket sends are its subscriptions: beyond the mark libzmq drops them
        // without a word.
        let snd_hwm = if subscribes { 0 } else { self.snd_hwm };
        let numbers = [
            ("ipv6", zmq_sys::ZMQ_IPV6, i32::from(self.ipv6)),
            ("tcpkeepalive", zmq_sys::ZMQ_TCP_KEEPALIVE, keepalive),
            ("sndhwm", zmq_sys::ZMQ_SNDHWM, snd_hwm),
            ("rcvhwm", zmq_sys::ZMQ_RCVHWM, self.rcv_hwm),
            (
                "immediate",
                zmq_sys::ZMQ_IMMEDIATE,
                i32::from(self.immediate && !SocketType::INPUTS.contains(&kind)),
            ),
        ];
        for (name, option, value) in numbers {
            socket.set_int(option, value).map_err(refused(name, value))?;
        }
        let if_given = [
            ("tcpkeepaliveidle", zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, self.tcp_keepalive_idle),
            ("tcpkeepaliveintvl", zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, self.tcp_keepalive_intvl),
            ("tcpkeepalivecnt", zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, self.tcp_keepalive_cnt),
        ];
        for (name, option, value) in if_given {
            if let Some(value) = value {
                socket.set_int(option, value).map_err(refused(name, value))?;
            }
        }
        let times = [
            ("heartbeativl", zmq_sys::ZMQ_HEARTBEAT_IVL, self.heartbeat_ivl),
            ("heartbeattimeout", zmq_sys::ZMQ_HEARTBEAT_TIMEOUT, self.heartbeat_timeout),
            ("heartbeatttl", zmq_sys::ZMQ_HEARTBEAT_TTL, self.heartbeat_ttl),
            ("connecttimeout", zmq_sys::ZMQ_CONNECT_TIMEOUT, self.connect_timeout),
            ("reconnectivl", zmq_sys::ZMQ_RECONNECT_IVL, self.reconnect_ivl),
            ("reconnectivlmax", zmq_sys::ZMQ_RECONNECT_IVL_MAX, self.reconnect_ivl_max),
            ("handshakeivl", zmq_sys::ZMQ_HANDSHAKE_IVL, self.handshake_ivl),
            ("linger", zmq_sys::ZMQ_LINGER, self.linger),
        ];
        for (name, option, value) in times {
            let value = milliseconds(value);
            socket.set_int(option, value).map_err(refused(name, value))?;
        }
        let size = i64::try_from(self.maxmsgsize).unwrap_or(i64::MAX);
        let size = if is_curve { size.saturating_add(CURVE_EXTRA) } else { size };
        socket.set_long(zmq_sys::ZMQ_MAXMSGSIZE, size).map_err(refused("maxmsgsize", size))?;
        if self.pub_nodrop && kind.publishes() {
            socket.set_int(zmq_sys::ZMQ_XPUB_NODROP, 1).map_err(refused("pub.nodrop", "on"))?;
        }
        Ok(())
    }
}

/// Milliseconds, rounded up, as much as an int holds.
pub(crate) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// The error for an option that libzmq does not take.
pub(crate) fn refused(
    option: &'static str,
    value: impl ToString,
) -> impl FnOnce(Errno) -> LinkError {
    move |errno| LinkError::Option {
        option,
        value: value.to_string(),
        version: crate::version_text(),
        reason: errno.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw;

    fn applied(options: &Options, kind: SocketType) -> Result<Socket, LinkError> {
        let socket = raw::Context::new().unwrap().socket(kind.number()).unwrap();
        options.apply(&socket, kind, false)?;
        Ok(socket)
    }

    #[test]
    fn defaults_reach_libzmq() {
        let socket = applied(&Options::default(), SocketType::Push).unwrap();
        for (option, expected) in [
            (zmq_sys::ZMQ_IPV6, 0),
            (zmq_sys::ZMQ_TCP_KEEPALIVE, -1),
            (zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, -1),
            (zmq_sys::ZMQ_HEARTBEAT_IVL, 5000),
            (zmq_sys::ZMQ_HEARTBEAT_TIMEOUT, 15000),
            (zmq_sys::ZMQ_HEARTBEAT_TTL, 15000),
            (zmq_sys::ZMQ_CONNECT_TIMEOUT, 0),
            (zmq_sys::ZMQ_RECONNECT_IVL, 100),
            (zmq_sys::ZMQ_RECONNECT_IVL_MAX, 2000),
            (zmq_sys::ZMQ_HANDSHAKE_IVL, 3000),
            (zmq_sys::ZMQ_LINGER, 500),
            (zmq_sys::ZMQ_SNDHWM, 1000),
            (zmq_sys::ZMQ_RCVHWM, 1000),
            (zmq_sys::ZMQ_IMMEDIATE, 1),
        ] {
            assert_eq!(socket.get_int(option).unwrap(), expected, "option {option}");
        }
    }

    #[test]
    fn a_subscriber_has_room_for_all_its_subscriptions() {
        for kind in [SocketType::Sub, SocketType::Dish] {
            let socket = applied(&Options::default(), kind).unwrap();
            assert_eq!(socket.get_int(zmq_sys::ZMQ_SNDHWM).unwrap(), 0, "{}", kind.name());
        }
    }

    #[test]
    fn every_parameter_reaches_libzmq() {
        let options = Options {
            ipv6: true,
            tcp_keepalive: Some(true),
            tcp_keepalive_idle: Some(11),
            tcp_keepalive_intvl: Some(12),
            tcp_keepalive_cnt: Some(13),
            heartbeat_ivl: Duration::from_millis(14),
            heartbeat_timeout: Duration::from_millis(15),
            heartbeat_ttl: Duration::from_millis(1600),
            connect_timeout: Duration::from_millis(17),
            reconnect_ivl: Duration::from_millis(18),
            reconnect_ivl_max: Duration::from_millis(19),
            handshake_ivl: Duration::from_millis(20),
            max_connections: 1,
            max_connections_per_key: 1,
            max_failures_per_address: 1,
            maxmsgsize: 21,
            linger: Duration::from_micros(21_001),
            snd_hwm: 23,
            rcv_hwm: 24,
            immediate: false,
            pub_nodrop: true,
        };
        let socket = applied(&options, SocketType::Pub).unwrap();
        for (option, expected) in [
            (zmq_sys::ZMQ_IPV6, 1),
            (zmq_sys::ZMQ_TCP_KEEPALIVE, 1),
            (zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, 11),
            (zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, 12),
            (zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, 13),
            (zmq_sys::ZMQ_HEARTBEAT_IVL, 14),
            (zmq_sys::ZMQ_HEARTBEAT_TIMEOUT, 15),
            (zmq_sys::ZMQ_HEARTBEAT_TTL, 1600),
            (zmq_sys::ZMQ_CONNECT_TIMEOUT, 17),
            (zmq_sys::ZMQ_RECONNECT_IVL, 18),
            (zmq_sys::ZMQ_RECONNECT_IVL_MAX, 19),
            (zmq_sys::ZMQ_HANDSHAKE_IVL, 20),
            (zmq_sys::ZMQ_LINGER, 22),
            (zmq_sys::ZMQ_SNDHWM, 23),
            (zmq_sys::ZMQ_RCVHWM, 24),
            (zmq_sys::ZMQ_IMMEDIATE, 0),
        ] {
            assert_eq!(socket.get_int(option).unwrap(), expected, "option {option}");
        }
    }

    #[test]
    fn a_refused_value_names_its_parameter() {
        for (options, part) in [
            (Options { snd_hwm: -1, ..Options::default() }, "sndhwm=-1"),
            (Options { tcp_keepalive_cnt: Some(-7), ..Options::default() }, "tcpkeepalivecnt=-7"),
            (
                Options { heartbeat_ttl: Duration::from_secs(10_000), ..Options::default() },
                "heartbeatttl=10000000",
            ),
        ] {
            let error = applied(&options, SocketType::Push).err().unwrap().to_string();
            assert!(error.contains(part) && error.contains("does not take"), "{error}");
        }
    }
}
