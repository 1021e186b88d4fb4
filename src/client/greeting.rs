//! What a peer says first: the greeting of ZMTP 3 (ZeroMQ RFC 23), 64 bytes in the clear, which name the
//! mechanism that it wants. libzmq tells none of this where a handshake fails.
//!
//! Own threads and locks: none.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::address::target;

const GREETING: usize = 64;
const VERSION_AT: usize = 10;
const MECHANISM_AT: usize = 12;
const MECHANISM: usize = 20;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There is nobody, for the system's reason.
    Nobody(String),
    /// Somebody who speaks something else.
    NotZeroMq(&'static str),
    /// Nothing, or the beginning of a greeting: whoever it is says no more.
    Cut,
    /// The mechanism's name: NULL is plaintext.
    Mechanism(String),
}

/// Greets and listens. `address` is as ZeroMQ writes it.
pub(crate) fn listen(address: &str, patience: Duration) -> Heard {
    let until = Instant::now() + patience;
    let heard = if let Some(path) = address.strip_prefix("ipc://") {
        local(path).and_then(|mut stream| {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(converse(&mut stream, until))
        })
    } else {
        call(target(address).unwrap_or(address), patience).and_then(|mut stream| {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(converse(&mut stream, until))
        })
    };
    heard.unwrap_or_else(|error| Heard::Nobody(error.to_string()))
}

fn local(path: &str) -> io::Result<UnixStream> {
    match path.strip_prefix('@') {
        None => UnixStream::connect(path),
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            UnixStream::connect_addr(&address)
        }
    }
}

fn call(target: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in target.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The beginning of a greeting, up to the version. It is enough for the peer to say all of its own, and a
/// mechanism that is not the peer's would have it hang up before that.
const OURS: [u8; VERSION_AT + 1] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3];

fn converse(stream: &mut (impl Read + Write), until: Instant) -> Heard {
    if stream.write_all(&OURS).is_err() {
        return Heard::Cut;
    }
    let mut said = [0; GREETING];
    let mut length = 0;
    while length < GREETING && Instant::now() < until {
        match stream.read(&mut said[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        if !could_be_a_greeting(&said[..length]) {
            break;
        }
    }
    understand(&said[..length])
}

fn could_be_a_greeting(said: &[u8]) -> bool {
    said.first().is_none_or(|byte| *byte == 0xFF)
        && said.get(9).is_none_or(|byte| *byte == 0x7F)
        && said.get(VERSION_AT).is_none_or(|version| *version >= 3)
}

fn understand(said: &[u8]) -> Heard {
    if !could_be_a_greeting(said) {
        return match said {
            [0xFF, ..] if said.get(9) == Some(&0x7F) => {
                Heard::NotZeroMq("it speaks a version of ZeroMQ before 4, which cannot encrypt")
            }
            _ => Heard::NotZeroMq("it answers something else"),
        };
    }
    if said.len() < GREETING {
        return Heard::Cut;
    }
    let name = &said[MECHANISM_AT..MECHANISM_AT + MECHANISM];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Heard::Mechanism(name.escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting() -> [u8; GREETING] {
        let mut greeting = [0; GREETING];
        greeting[..OURS.len()].copy_from_slice(&OURS);
        greeting[MECHANISM_AT..MECHANISM_AT + 4].copy_from_slice(b"NULL");
        greeting
    }

    #[test]
    fn greetings_and_other_words_are_told_apart() {
        assert_eq!(understand(&greeting()), Heard::Mechanism("NULL".into()));
        let mut curve = greeting();
        curve[12..17].copy_from_slice(b"CURVE");
        assert_eq!(understand(&curve), Heard::Mechanism("CURVE".into()));
        curve[12] = 0x1b;
        assert_eq!(understand(&curve), Heard::Mechanism("\\x1bURVE".into()));
        let mut old = greeting();
        old[VERSION_AT] = 1;
        for other in [&b"HTTP/1.1 400 Bad Request"[..], b"SSH-2.0-OpenSSH", &old] {
            assert!(matches!(understand(other), Heard::NotZeroMq(_)), "{other:?}");
        }
        for cut in [&b""[..], b"\xff", &greeting()[..40]] {
            assert_eq!(understand(cut), Heard::Cut, "{cut:?}");
        }
    }
}
