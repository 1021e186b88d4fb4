//! Who is kept from calling for a moment, as too many of its handshakes have just failed.
//!
//! A handshake that fails costs its server far more than the peer, and most of that is spent by libzmq, before
//! a module hears of the connection. So the system is asked to overlook those who call from such an address
//! (filter.rs): their systems try again by themselves, after a second at first, and what is connected stays so.
//!
//! An address may be that of many hosts, good and bad (NAT, a proxy). Where somebody is connected from it, ten times
//! as much is borne. So it is of a network of IPv6, whose owner may have any number of addresses there, but whose
//! other hosts may be our own.
//!
//! So many are watched and no more; a new one takes the place of the one that has failed least. What comes from
//! very many addresses is not kept off.
//!
//! Owned by the monitor's thread, and used by it alone.

mod filter;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use self::filter::program;
use crate::raw::{self, Errno};

/// Failures are counted for so long at a time.
const WINDOW: Duration = Duration::from_secs(1);
/// The wait of those who are held off. A system whose first call is overlooked calls again after a second.
const HOLD: Duration = Duration::from_secs(1);
/// Addresses and networks that are watched at a time, those that are held off among them.
const PLACES: usize = 16;
/// What may be many hosts is borne so many times as much.
const MANY: usize = 10;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Not of IPv4 within IPv6.
    Address(IpAddr),
    /// The first half of an address of IPv6.
    Network(Ipv6Addr),
}

impl Source {
    /// The network whose addresses are one owner's to choose.
    fn network(address: IpAddr) -> Option<Source> {
        let IpAddr::V6(address) = address else { return None };
        // of the link or the host, and the whole of IPv4 (RFC 6052, RFC 8215)
        let is_of_none = address.is_unicast_link_local()
            || address.is_loopback()
            || address.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0])
            || address.segments().starts_with(&[0x64, 0xff9b, 1]);
        let network = Ipv6Addr::from_bits(address.to_bits() & u128::MAX << 64);
        (!is_of_none).then_some(Source::Network(network))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Address(it) => it.fmt(f),
            Source::Network(it) => write!(f, "{it}/64"),
        }
    }
}

/// Somebody who is held off from now on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) source: Source,
    /// As many failures within a second were borne.
    pub(crate) most: usize,
}

/// The way into one socket.
pub(crate) struct Door {
    watched: Watched,
    /// Where it listens: a descriptor, which may be another file's by now, and its port.
    listeners: Vec<(RawFd, u16)>,
    /// The system does not yet know of all that has changed: the process had no descriptor left to tell it by.
    is_owed: bool,
}

impl Door {
    /// `most`: failures of one address within a second that are borne.
    pub(crate) fn new(most: usize) -> Door {
        let watched = Watched { most, places: Vec::new() };
        Door { watched, listeners: Vec::new(), is_owed: false }
    }

    /// The socket listens at this port by this descriptor.
    pub(crate) fn opened(&mut self, fd: RawFd, port: u16) -> Result<(), Errno> {
        self.listeners.retain(|(listener, _)| *listener != fd);
        self.listeners.push((fd, port));
        if self.is_held() { self.keep_off() } else { Ok(()) }
    }

    /// No longer, unless this was told late, and the descriptor is that of the next listener there.
    pub(crate) fn closed(&mut self, fd: RawFd) {
        let is_over = |port| matches!(raw::listener(fd, port), Ok(None));
        self.listeners.retain(|(listener, port)| *listener != fd || !is_over(*port));
    }

    /// A handshake has failed; answers whom it holds off from now on because of that. `is_shared`: whether somebody is
    /// connected from this address.
    pub(crate) fn failed(
        &mut self,
        address: IpAddr,
        is_shared: impl FnOnce() -> bool,
        now: Instant,
    ) -> Result<Option<Held>, Errno> {
        let address = address.to_canonical();
        let (source, network) = (Source::Address(address), Source::network(address));
        // what was on its way
        if self.watched.held().any(|it| it == source || Some(it) == network) {
            return Ok(None);
        }
        let most = self.watched.most;
        let many = most.saturating_mul(MANY);
        let failures = self.watched.failed(source, now);
        let bound = match failures {
            Some(failures) if failures > many => Some(many),
            Some(failures) if failures > most && !is_shared() => Some(most),
            _ => None,
        };
        // no address counts for more of its network than is borne of it
        let of_network = network
            .filter(|_| failures.is_none_or(|it| it <= most))
            .filter(|it| self.watched.failed(*it, now).is_some_and(|it| it > many));
        let held = bound
            .map(|most| Held { source, most })
            .or(of_network.map(|source| Held { source, most: many }));
        if let Some(Held { source, .. }) = held {
            self.watched.hold(source, now);
            self.keep_off()?;
        }
        Ok(held)
    }

    /// Lets those in who have waited for long enough.
    pub(crate) fn lift(&mut self, now: Instant) -> Result<(), Errno> {
        if self.watched.lift(now) || self.is_owed { self.keep_off() } else { Ok(()) }
    }

    /// Whether somebody is held off, or may be.
    pub(crate) fn is_held(&self) -> bool {
        self.is_owed || self.watched.held().next().is_some()
    }

    /// Has the system overlook those who are held off, and no others. After an error nobody is ever held off.
    fn keep_off(&mut self) -> Result<(), Errno> {
        let program = program(self.watched.held());
        self.is_owed = false;
        for at in 0..self.listeners.len() {
            let (fd, port) = self.listeners[at];
            let listener = match raw::listener(fd, port) {
                Ok(Some(listener)) => listener,
                // one that is closed by now keeps nobody off
                Ok(None) => continue,
                Err(_) => {
                    self.is_owed = true;
                    continue;
                }
            };
            match raw::filter(&listener, &program) {
                // one that takes none has none to take away
                Err(errno) if !program.is_empty() => {
                    self.watched = Watched { most: usize::MAX, places: Vec::new() };
                    self.keep_off()?;
                    return Err(errno);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Who has failed of late.
struct Watched {
    /// Failures of one address within a second that are borne.
    most: usize,
    places: Vec<Place>,
}

struct Place {
    source: Source,
    /// When its failures began to be counted, or it to be held off.
    since: Instant,
    failures: usize,
    is_held: bool,
}

impl Watched {
    /// Counts one; answers how many there were within this second. None of one that is held off, or not watched.
    fn failed(&mut self, source: Source, now: Instant) -> Option<usize> {
        let is_new = |since: Instant| now.saturating_duration_since(since) < WINDOW;
        let known = self.places.iter().position(|it| it.source == source);
        let index = match known {
            Some(index) => index,
            None => {
                if self.places.len() >= PLACES {
                    let free = self.places.iter().enumerate().filter(|(_, it)| !it.is_held);
                    let recent = |it: &Place| if is_new(it.since) { it.failures } else { 0 };
                    let (least, _) = free.min_by_key(|(_, it)| recent(it))?;
                    self.places.swap_remove(least);
                }
                self.places.push(Place { source, since: now, failures: 0, is_held: false });
                self.places.len() - 1
            }
        };
        let place = &mut self.places[index];
        if place.is_held {
            return None;
        }
        if !is_new(place.since) {
            (place.since, place.failures) = (now, 0);
        }
        place.failures += 1;
        Some(place.failures)
    }

    /// This one is held off from now on.
    fn hold(&mut self, source: Source, now: Instant) {
        for place in self.places.iter_mut().filter(|it| it.source == source) {
            (place.since, place.is_held) = (now, true);
        }
    }

    /// Whether some have waited for long enough, and are forgotten.
    fn lift(&mut self, now: Instant) -> bool {
        let before = self.places.len();
        let is_over = |it: &Place| it.is_held && now.saturating_duration_since(it.since) >= HOLD;
        self.places.retain(|it| !is_over(it));
        self.places.len() < before
    }

    fn held(&self) -> impl Iterator<Item = Source> {
        self.places.iter().filter(|it| it.is_held).map(|it| it.source)
    }
}

#[cfg(test)]
mod tests;
