//! Endpoints in the grammar of the C modules: `@` binds, `>` connects, neither means the
//! socket type's habit; several are separated by commas, with white space where you like it.
//!
//! Everything that can be known without touching the network is checked here, because
//! libzmq answers most mistakes with "Invalid argument", or with silence: it takes a port
//! of 70000 for 4464.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::raw;

/// Which side waits and which side calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Wait for peers at an address of this host.
    Bind,
    /// Call a peer, again and again until it is there.
    Connect,
}

/// One address and what to do with it. Prints as it could have been written: `@tcp://*:5140`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Bind or connect.
    pub mode: Mode,
    /// The address as libzmq wants it, with its transport: `tcp://10.0.0.1:5140`.
    pub address: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.mode {
            Mode::Bind => '@',
            Mode::Connect => '>',
        };
        write!(f, "{sign}{}", self.address)
    }
}

/// An endpoint that cannot work, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint \"{text}\": {reason}")]
pub struct EndpointError {
    /// The item of the list as it was written (shortened, if very long).
    pub text: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Longest path of a Unix socket: `sun_path` less its NUL.
const IPC_PATH_MAX: usize = 107;
/// Longer texts are cut in error messages.
const SHOWN_MAX: usize = 120;

impl Endpoint {
    /// The address is written in IPv6 and works only with the option `ipv6` on.
    pub fn needs_ipv6(&self) -> bool {
        self.address.strip_prefix("tcp://").is_some_and(|rest| {
            rest.split(';').any(|part| {
                split_port(part).is_some_and(|(host, _)| matches!(Host::of(host), Host::V6))
            })
        })
    }

    /// It names an address or interface of this host, to be bound or called from, and not `*`: libzmq
    /// looks for it among all interfaces (`raw::ask_for_interfaces`).
    pub(crate) fn is_looked_for(&self) -> bool {
        let own = self.address.strip_prefix("tcp://").and_then(|rest| match self.mode {
            Mode::Bind => Some(rest),
            Mode::Connect => rest.split_once(';').map(|(source, _)| source),
        });
        own.is_some_and(|own| !own.starts_with("*:"))
    }

    /// All addresses of this host.
    pub(crate) fn is_any(&self) -> bool {
        self.address.starts_with("tcp://*:")
    }

    /// CURVE goes over it, and a connection of a key that is taken off the list can be closed.
    pub fn carries_curve(&self) -> bool {
        self.is_tcp() || self.address.starts_with("ipc://")
    }

    /// The transport is TCP.
    pub fn is_tcp(&self) -> bool {
        self.address.starts_with("tcp://")
    }

    /// The transport has connections, which most socket types need.
    pub fn has_connections(&self) -> bool {
        !self.address.starts_with("pgm://") && !self.address.starts_with("epgm://")
    }
}

/// Reads a comma list of endpoints; `habit` is what an endpoint without a sign does.
pub fn parse_endpoints(text: &str, habit: Mode) -> Result<Vec<Endpoint>, EndpointError> {
    text.split(',')
        .map(|item| {
            parse(item, habit).map_err(|reason| EndpointError { text: shown(item.trim()), reason })
        })
        .collect()
}

fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.escape_debug().to_string();
    }
    let start: String = text.chars().take(SHOWN_MAX).collect();
    format!("{}…", start.escape_debug())
}

fn parse(item: &str, habit: Mode) -> Result<Endpoint, String> {
    let item = item.trim();
    let (mode, address) = match item.as_bytes().first() {
        None => return Err("is empty (a comma too many?)".into()),
        Some(b'@') => (Mode::Bind, item[1..].trim_start()),
        Some(b'>') => (Mode::Connect, item[1..].trim_start()),
        Some(_) => (habit, item),
    };
    if address.is_empty() {
        return Err("has no address after its sign".into());
    }
    if address.starts_with(['@', '>']) {
        return Err("has two signs: one of @ (bind) and > (connect) is enough".into());
    }
    if address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has white space or a control character inside".into());
    }
    let (transport, rest) = address.split_once("://").ok_or_else(|| {
        format!("has no transport: write tcp://{} (or ipc:// and a path)", shown(address))
    })?;
    match transport {
        "tcp" => check_tcp(rest, mode)?,
        "ipc" => check_ipc(rest, mode)?,
        "pgm" | "epgm" if raw::has(c"pgm") => check_multicast(rest)?,
        "tipc" if raw::has(c"tipc") => {
            if rest.is_empty() {
                return Err("has no address after tipc://".into());
            }
        }
        "inproc" => {
            return Err("inproc joins threads of one program, not two programs: \
                        use ipc:// or tcp://127.0.0.1:PORT"
                .into());
        }
        _ => {
            let known: &[&str] = match (raw::has(c"pgm"), raw::has(c"tipc")) {
                (true, true) => &["tcp", "ipc", "pgm", "epgm", "tipc"],
                (true, false) => &["tcp", "ipc", "pgm", "epgm"],
                (false, true) => &["tcp", "ipc", "tipc"],
                (false, false) => &["tcp", "ipc"],
            };
            return Err(format!(
                "the transport {} is not supported here; supported: {}",
                shown(transport),
                known.join(", ")
            ));
        }
    }
    Ok(Endpoint { mode, address: address.to_owned() })
}

/// What stands before the port.
enum Host {
    Any,
    V4,
    V6,
    Name,
    Bad(&'static str),
}

impl Host {
    fn of(text: &str) -> Host {
        if text == "*" {
            return Host::Any;
        }
        let bracketed = text.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let bare = match bracketed {
            Some(None) => return Host::Bad("has a [ without its ]"),
            Some(Some(inner)) => inner,
            None => text,
        };
        let (address, zone) = match bare.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (bare, None),
        };
        if address.parse::<Ipv6Addr>().is_ok() {
            return if zone == Some("") {
                Host::Bad("has an empty zone after %")
            } else {
                Host::V6
            };
        }
        if bracketed.is_some() || address.contains(':') {
            return Host::Bad("has no valid IPv6 address (as in tcp://[fe80::1%eth0]:5140)");
        }
        if zone.is_some() {
            return Host::Bad("has a zone (%), which only IPv6 addresses have");
        }
        if address.parse::<Ipv4Addr>().is_ok() {
            return Host::V4;
        }
        if address.is_empty() {
            return Host::Bad("has no host");
        }
        if address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Host::Bad("has no valid IPv4 address");
        }
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !address.chars().all(fine) {
            return Host::Bad("has a character that no host name and no interface has");
        }
        Host::Name
    }
}

fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    // the last colon of a lone [::1] belongs to the address
    (!port.ends_with(']')).then_some((host, port))
}

fn check_tcp(rest: &str, mode: Mode) -> Result<(), String> {
    let (source, target) = match rest.split_once(';') {
        Some((source, target)) => (Some(source), target),
        None => (None, rest),
    };
    if let Some(source) = source {
        if mode == Mode::Bind {
            return Err("has a source address (before the ;): only connecting takes one".into());
        }
        if target.contains(';') {
            return Err("has more than one source address (before a ;)".into());
        }
        // libzmq binds the source as it binds a listener, with 0 or * for any port
        check_host_and_port(source, "source ", Mode::Bind)?;
    }
    check_host_and_port(target, "", mode)
}

fn check_host_and_port(text: &str, which: &str, mode: Mode) -> Result<(), String> {
    let (host, port) = split_port(text).ok_or_else(|| {
        format!("the {which}address \"{}\" has no port (as in HOST:5140)", shown(text))
    })?;
    match (Host::of(host), mode) {
        (Host::Bad(reason), _) => return Err(format!("the {which}address {reason}")),
        (Host::Any, Mode::Connect) => {
            return Err("connects to *, which means \"all addresses of this host\": \
                        name the peer's host, or write @ in front to bind"
                .into());
        }
        _ => {}
    }
    match (port, mode) {
        ("", _) => Err(format!("the {which}address ends with a colon but has no port")),
        ("*" | "0", Mode::Bind) => Ok(()),
        ("!", Mode::Bind) => Err("has ! as port: write * for any free port".into()),
        ("*" | "!" | "0", Mode::Connect) => {
            Err(format!("has {port} as port: the peer's port must be named to connect to it"))
        }
        _ => {
            let number =
                port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>());
            match number {
                Some(Ok(number)) if number > 0 => Ok(()),
                _ => Err(format!("has \"{}\" as port: 1 to 65535 are possible", shown(port))),
            }
        }
    }
}

fn check_ipc(path: &str, mode: Mode) -> Result<(), String> {
    match path {
        "" => Err("has no path after ipc://".into()),
        "@" => Err("has no name after ipc://@ (an abstract socket)".into()),
        "*" if mode == Mode::Connect => {
            Err("connects to ipc://*: the peer's path must be named".into())
        }
        _ if path.len() > IPC_PATH_MAX => Err(format!(
            "the path has {} bytes: a Unix socket's has at most {IPC_PATH_MAX}",
            path.len()
        )),
        _ => Ok(()),
    }
}

fn check_multicast(rest: &str) -> Result<(), String> {
    match rest.rsplit_once(':') {
        Some((group, port))
            if !group.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(())
        }
        _ => Err("is no multicast address (as in epgm://eth0;239.192.1.1:5555)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str, habit: Mode) -> String {
        match parse_endpoints(text, habit) {
            Ok(endpoints) => {
                endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn good_ones() {
        for (text, habit, expected) in [
            ("tcp://*:5140", Mode::Bind, "@tcp://*:5140"),
            ("tcp://log.example.net:5140", Mode::Connect, ">tcp://log.example.net:5140"),
            ("@tcp://*:1", Mode::Connect, "@tcp://*:1"),
            (">tcp://10.0.0.1:65535", Mode::Bind, ">tcp://10.0.0.1:65535"),
            (
                " > tcp://a:1 ,@tcp://*:2,\ttcp://c:3\n",
                Mode::Connect,
                ">tcp://a:1 @tcp://*:2 >tcp://c:3",
            ),
            ("@tcp://eth0:5140", Mode::Connect, "@tcp://eth0:5140"),
            ("@tcp://*:*", Mode::Connect, "@tcp://*:*"),
            ("@tcp://127.0.0.1:0", Mode::Connect, "@tcp://127.0.0.1:0"),
            ("tcp://[::1]:5140", Mode::Connect, ">tcp://[::1]:5140"),
            ("tcp://::1:5140", Mode::Connect, ">tcp://::1:5140"),
            ("tcp://[fe80::1%eth0]:5140", Mode::Connect, ">tcp://[fe80::1%eth0]:5140"),
            ("tcp://10.0.0.9:0;10.0.0.1:5140", Mode::Connect, ">tcp://10.0.0.9:0;10.0.0.1:5140"),
            ("tcp://eth1:*;host:5140", Mode::Connect, ">tcp://eth1:*;host:5140"),
            ("ipc:///run/rzmq/in", Mode::Bind, "@ipc:///run/rzmq/in"),
            ("@ipc://@abstract", Mode::Connect, "@ipc://@abstract"),
        ] {
            assert_eq!(parsed(text, habit), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_this_host_are_looked_for() {
        for (text, expected) in [
            ("@tcp://*:5140", false),
            ("@tcp://0.0.0.0:5140", true),
            ("@tcp://127.0.0.1:*", true),
            ("@tcp://[::]:5140", true),
            ("@tcp://eth0:5140", true),
            (">tcp://10.0.0.1:5140", false),
            (">tcp://*:0;10.0.0.1:5140", false),
            (">tcp://eth0:0;10.0.0.1:5140", true),
            ("@ipc:///run/rzmq/in", false),
        ] {
            let endpoints = parse_endpoints(text, Mode::Bind).unwrap();
            assert_eq!(endpoints[0].is_looked_for(), expected, "{text}");
        }
    }

    #[test]
    fn bad_ones_say_why() {
        for (text, habit, part) in [
            ("", Mode::Bind, "endpoint \"\": is empty"),
            ("tcp://*:1,,tcp://*:2", Mode::Bind, "a comma too many"),
            ("@", Mode::Bind, "no address after its sign"),
            ("@>tcp://a:1", Mode::Bind, "two signs"),
            ("localhost:5140", Mode::Connect, "write tcp://localhost:5140"),
            ("tcp://a b:1", Mode::Connect, "white space"),
            ("tcp://a\0:1", Mode::Connect, "control character"),
            ("tcp://host", Mode::Connect, "has no port"),
            ("tcp://", Mode::Connect, "has no port"),
            ("tcp://host:", Mode::Connect, "ends with a colon"),
            ("tcp://host:70000", Mode::Connect, "\"70000\" as port: 1 to 65535"),
            ("tcp://host:0", Mode::Connect, "must be named"),
            ("tcp://host:*", Mode::Connect, "must be named"),
            ("tcp://host:+5", Mode::Connect, "1 to 65535"),
            ("tcp://host:5140x", Mode::Connect, "1 to 65535"),
            ("@tcp://*:!", Mode::Connect, "write * for any free port"),
            ("tcp://*:5140", Mode::Connect, "write @ in front to bind"),
            ("tcp://:5140", Mode::Connect, "has no host"),
            ("tcp://256.1.1.1:5140", Mode::Connect, "no valid IPv4"),
            ("tcp://[::1:5140", Mode::Connect, "[ without its ]"),
            ("tcp://[::1]", Mode::Connect, "has no port"),
            ("tcp://[host]:5140", Mode::Connect, "no valid IPv6"),
            ("tcp://[fe80::1%]:5140", Mode::Connect, "empty zone"),
            ("tcp://ho/st:5140", Mode::Connect, "character"),
            ("@tcp://10.0.0.9:0;10.0.0.1:1", Mode::Connect, "only connecting takes one"),
            ("tcp://10.0.0.9;10.0.0.1:1", Mode::Connect, "source address \"10.0.0.9\" has no port"),
            ("tcp://a:0;b:0;c:1", Mode::Connect, "more than one source"),
            ("ipc://", Mode::Bind, "no path"),
            ("ipc://@", Mode::Bind, "no name"),
            ("ipc://*", Mode::Connect, "must be named"),
            ("inproc://x", Mode::Bind, "two programs"),
            (
                "udp://a:1",
                Mode::Connect,
                "transport udp is not supported here; supported: tcp, ipc",
            ),
            ("TCP://a:1", Mode::Connect, "transport TCP is not supported"),
        ] {
            let message = parsed(text, habit);
            assert!(message.contains(part), "{text:?} gave: {message}");
        }
        let long = format!("ipc:///{}", "x".repeat(200));
        let message = parsed(&long, Mode::Bind);
        assert!(message.contains("201 bytes") && message.contains('…'), "{message}");
    }

    #[test]
    fn ipv6_is_recognised() {
        for (text, expected) in [
            ("tcp://[::1]:1", true),
            ("tcp://fe80::1%eth0:1", true),
            ("tcp://[::1]:0;[::2]:1", true),
            ("tcp://127.0.0.1:1", false),
            ("tcp://host:1", false),
            ("ipc://[::1]:1", false),
        ] {
            let endpoints = parse_endpoints(text, Mode::Connect).unwrap();
            assert_eq!(endpoints[0].needs_ipv6(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".*") {
            let _ = parse_endpoints(&text, Mode::Bind);
        }

        #[test]
        fn nearly_good_input_does_not_panic(text in "[@>]?(tcp|ipc)://[\\[\\]:;%*0-9a-f.,@]*") {
            for mode in [Mode::Bind, Mode::Connect] {
                if let Ok(endpoints) = parse_endpoints(&text, mode) {
                    for endpoint in endpoints {
                        endpoint.needs_ipv6();
                    }
                }
            }
        }
    }
}
