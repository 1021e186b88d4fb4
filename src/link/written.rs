//! What an address that libzmq tells was written as in the configuration.
//!
//! libzmq's events name a called peer as it is written until the name was looked up once, and by its
//! address from then on; a bound socket by the address that was called. An administrator looks for what
//! he wrote. Where more than one endpoint can be meant, the address stays as it was told.
//!
//! Owned by the monitor, and used by its thread alone.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses that names had are remembered so many at a time; beyond that the memory begins anew.
const MOST: usize = 256;

/// The endpoints of one socket.
#[derive(Debug, Default)]
pub(crate) struct Written {
    endpoints: Vec<Endpoint>,
    /// Addresses at which a peer was reached, and the place of the endpoint that led there; none: more than
    /// one did.
    reached: HashMap<SocketAddr, Option<usize>>,
}

#[derive(Debug)]
struct Endpoint {
    text: String,
    /// None: no TCP, or any port.
    port: Option<u16>,
    /// None: a name, or any address.
    host: Option<IpAddr>,
    /// Where a peer was reached last.
    at: Option<SocketAddr>,
}

impl Written {
    pub(crate) fn new(endpoints: impl IntoIterator<Item = String>) -> Written {
        let endpoints = endpoints.into_iter().map(Endpoint::new).collect();
        Written { endpoints, reached: HashMap::new() }
    }

    /// As it is written, if one endpoint alone can be meant.
    pub(crate) fn name<'a>(&'a self, told: &'a str) -> &'a str {
        self.find(told).map_or(told, |index| &self.endpoints[index].text)
    }

    /// As it is written, with the address at which the peer was reached, if that is not in it.
    pub(crate) fn with_address(&self, name: &str) -> String {
        let endpoint = self.endpoints.iter().find(|it| it.text == name && it.host.is_none());
        match endpoint.and_then(|it| it.at) {
            Some(address) => format!("{name} ({})", address.ip()),
            None => name.to_owned(),
        }
    }

    /// A peer that is told of like this was reached here.
    pub(crate) fn reached(&mut self, told: &str, peer: Option<SocketAddr>) {
        let (Some(index), Some(peer)) = (self.find(told), peer) else { return };
        if self.reached.len() >= MOST {
            self.reached.clear();
        }
        let led = self.reached.entry(peer).or_insert(Some(index));
        *led = led.filter(|other| *other == index);
        self.endpoints[index].at = Some(peer);
    }

    fn find(&self, told: &str) -> Option<usize> {
        if let Some(index) = self.endpoints.iter().position(|it| it.text == told) {
            return Some(index);
        }
        let address = address_of(told)?;
        if let Some(led) = self.reached.get(&address) {
            return *led;
        }
        let may_be = |it: &Endpoint| {
            it.port == Some(address.port()) && it.host.is_none_or(|host| host == address.ip())
        };
        let mut candidates =
            self.endpoints.iter().enumerate().filter_map(|(index, it)| may_be(it).then_some(index));
        candidates.next().filter(|_| candidates.next().is_none())
    }
}

impl Endpoint {
    fn new(text: String) -> Endpoint {
        let tcp = text.strip_prefix("tcp://").map(|rest| {
            // a source address stands before the peer's
            rest.rsplit_once(';').map_or(rest, |(_, peer)| peer)
        });
        let (host, port) = tcp.and_then(|tcp| tcp.rsplit_once(':')).unzip();
        let port = port.and_then(|port: &str| port.parse().ok()).filter(|port| *port != 0);
        let host = host.and_then(ip_of).filter(|host| !host.is_unspecified());
        Endpoint { text, port, host, at: None }
    }
}

fn address_of(told: &str) -> Option<SocketAddr> {
    let (host, port) = told.strip_prefix("tcp://")?.rsplit_once(':')?;
    Some(SocketAddr::new(ip_of(host)?, port.parse().ok()?))
}

/// An address, in brackets and with an interface behind it or without.
fn ip_of(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = bare.split('%').next().unwrap_or_default();
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(endpoints: &[&str]) -> Written {
        Written::new(endpoints.iter().map(|it| (*it).to_owned()))
    }

    #[test]
    fn an_address_is_what_was_written_where_one_endpoint_alone_can_be_meant() {
        let endpoints = [
            "tcp://loghost:5140",
            "tcp://10.0.0.1:5141",
            "tcp://other:5141",
            "tcp://*:5142",
            "tcp://127.0.0.9:0;backup:5143",
            "tcp://[::0:1]:5144",
            "tcp://127.0.0.1:*",
            "ipc:///run/a:5140",
        ];
        let it = written(&endpoints);
        for (told, name) in [
            ("tcp://loghost:5140", "tcp://loghost:5140"),
            ("tcp://192.0.2.7:5140", "tcp://loghost:5140"),
            ("tcp://10.0.0.1:5141", "tcp://10.0.0.1:5141"),
            ("tcp://[::ffff:10.0.0.1]:5141", "tcp://[::ffff:10.0.0.1]:5141"),
            ("tcp://10.0.0.2:5141", "tcp://other:5141"),
            ("tcp://192.0.2.1:5142", "tcp://*:5142"),
            ("tcp://192.0.2.1:5143", "tcp://127.0.0.9:0;backup:5143"),
            ("tcp://[::1]:5144", "tcp://[::0:1]:5144"),
            ("tcp://[::2]:5144", "tcp://[::2]:5144"),
            ("tcp://127.0.0.1:40001", "tcp://127.0.0.1:40001"),
            ("ipc:///run/a:5140", "ipc:///run/a:5140"),
            ("ipc:///run/b:5140", "ipc:///run/b:5140"),
            ("", ""),
            ("tcp://", "tcp://"),
            ("tcp://:", "tcp://:"),
        ] {
            assert_eq!(it.name(told), name, "{told}");
        }
    }

    #[test]
    fn names_with_one_port_are_told_apart_by_where_they_led() {
        let mut it = written(&["tcp://one:5140", "tcp://two:5140"]);
        let address = |text: &str| text.parse::<SocketAddr>().ok();
        assert_eq!(it.name("tcp://192.0.2.1:5140"), "tcp://192.0.2.1:5140");
        it.reached("tcp://one:5140", address("192.0.2.1:5140"));
        it.reached("tcp://two:5140", address("[2001:db8::2]:5140"));
        it.reached("tcp://nobody:1", address("192.0.2.9:1"));
        it.reached("tcp://two:5140", None);
        assert_eq!(it.name("tcp://192.0.2.1:5140"), "tcp://one:5140");
        assert_eq!(it.name("tcp://[2001:db8::2]:5140"), "tcp://two:5140");
        assert_eq!(it.with_address("tcp://one:5140"), "tcp://one:5140 (192.0.2.1)");
        // the name leads elsewhere by now
        it.reached("tcp://192.0.2.1:5140", address("192.0.2.3:5140"));
        assert_eq!(it.name("tcp://192.0.2.3:5140"), "tcp://one:5140");
        assert_eq!(it.with_address("tcp://one:5140"), "tcp://one:5140 (192.0.2.3)");
        // both names lead to one peer: which of the two is told of is not known
        it.reached("tcp://two:5140", address("192.0.2.3:5140"));
        assert_eq!(it.name("tcp://192.0.2.3:5140"), "tcp://192.0.2.3:5140");
        assert_eq!(it.name("tcp://one:5140"), "tcp://one:5140");
        for number in 0..10_000_u16 {
            it.reached("tcp://one:5140", address(&format!("192.0.2.1:{}", number + 1)));
        }
        assert!(it.reached.len() <= MOST);
    }

    #[test]
    fn an_address_that_is_written_is_not_said_twice() {
        let mut it = written(&["tcp://192.0.2.1:5140"]);
        it.reached("tcp://192.0.2.1:5140", "192.0.2.1:5140".parse().ok());
        assert_eq!(it.with_address("tcp://192.0.2.1:5140"), "tcp://192.0.2.1:5140");
    }
}
