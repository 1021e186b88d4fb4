//! IPv4 or IPv6. libzmq takes the first address that a name has, and with IPv6 that is an IPv6 one, while
//! the modules bind to IPv4 unless told otherwise. So IPv6 is spoken where nothing else is there.

use std::net::{SocketAddr, ToSocketAddrs};

use rzmq_link::Endpoint;

/// Whether an endpoint can be reached by IPv6 alone. Asks for a name's addresses.
pub(crate) fn needs_ipv6(endpoint: &Endpoint) -> bool {
    if endpoint.needs_ipv6() {
        return true;
    }
    let Some(target) = target(&endpoint.address) else { return false };
    match target.to_socket_addrs() {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.collect();
            !addresses.is_empty() && addresses.iter().all(SocketAddr::is_ipv6)
        }
        Err(_) => false,
    }
}

/// `host:port` of the peer, without our own address before a semicolon.
pub(crate) fn target(address: &str) -> Option<&str> {
    let behind = address.strip_prefix("tcp://")?;
    Some(behind.rsplit(';').next().unwrap_or(behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rzmq_link::{Mode, parse_endpoints};

    #[test]
    fn ipv4_comes_first() {
        for (text, expected) in [
            ("tcp://127.0.0.1:1", false),
            ("tcp://[::1]:1", true),
            ("tcp://127.0.0.1:0;127.0.0.1:1", false),
            ("tcp://host.invalid:1", false),
            ("ipc:///run/x", false),
        ] {
            let endpoints = parse_endpoints(text, Mode::Connect).unwrap();
            assert_eq!(needs_ipv6(&endpoints[0]), expected, "{text}");
        }
    }
}
