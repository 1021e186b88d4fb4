//! Who is kept from calling for a moment, as too many of its handshakes have just failed.
//!
//! A handshake that fails costs its server far more than the peer, and most of that is spent by libzmq, before
//! a module hears of the connection. So the system is asked to overlook those who call from such an address
//! (filter.rs): their systems try again by themselves, after a second at first, and what is connected stays so.
//! Where honest hosts have the same address, those who call meanwhile wait.
//!
//! So many addresses are watched and no more; a new one takes the place of the one that has failed least. What comes from
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
/// Addresses that are watched at a time, those that are held off among them.
const PLACES: usize = 16;

/// Whose failures are counted together: an address, of IPv6 its first half, as whoever has one address there may
/// have all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V4(it) => IpAddr::V4(it),
            IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & u128::MAX << 64)),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(it) => it.fmt(f),
            IpAddr::V6(it) => write!(f, "{it}/64"),
        }
    }
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
        self.closed(fd);
        self.listeners.push((fd, port));
        if self.is_held() { self.keep_off() } else { Ok(()) }
    }

    /// No longer.
    pub(crate) fn closed(&mut self, fd: RawFd) {
        self.listeners.retain(|(listener, _)| *listener != fd);
    }

    /// A handshake has failed; answers whom it holds off from now on because of that.
    pub(crate) fn failed(
        &mut self,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Source>, Errno> {
        let source = Source::of(address);
        if !self.watched.failed(source, now) {
            return Ok(None);
        }
        self.keep_off().map(|()| Some(source))
    }

    /// Lets those in who have waited for long enough.
    pub(crate) fn lift(&mut self, now: Instant) -> Result<(), Errno> {
        if self.watched.lift(now) || self.is_owed { self.keep_off() } else { Ok(()) }
    }

    /// As many failures of one address within a second are borne.
    pub(crate) fn most(&self) -> usize {
        self.watched.most
    }

    /// Whether somebody is held off, or may be.
    pub(crate) fn is_held(&self) -> bool {
        self.is_owed || self.watched.held().next().is_some()
    }

    /// Has the system overlook those who are held off, and no others. After an error nobody is held off.
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
            if let Err(errno) = raw::filter(&listener, &program) {
                self.watched.places.clear();
                let all = self.listeners.iter();
                let all = all.filter_map(|(fd, port)| raw::listener(*fd, *port).ok().flatten());
                all.for_each(|listener| raw::filter(&listener, &[]).unwrap_or_default());
                return Err(errno);
            }
        }
        Ok(())
    }
}

/// Who has failed of late.
struct Watched {
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
    /// Whether this one is to be held off from now on.
    fn failed(&mut self, source: Source, now: Instant) -> bool {
        let is_new = |since: Instant| now.saturating_duration_since(since) < WINDOW;
        let known = self.places.iter().position(|it| it.source == source);
        let index = match known {
            Some(index) => index,
            None => {
                if self.places.len() >= PLACES {
                    let free = self.places.iter().enumerate().filter(|(_, it)| !it.is_held);
                    let recent = |it: &Place| if is_new(it.since) { it.failures } else { 0 };
                    let Some((least, _)) = free.min_by_key(|(_, it)| recent(it)) else {
                        return false;
                    };
                    self.places.swap_remove(least);
                }
                self.places.push(Place { source, since: now, failures: 0, is_held: false });
                self.places.len() - 1
            }
        };
        let place = &mut self.places[index];
        if place.is_held {
            return false;
        }
        if !is_new(place.since) {
            (place.since, place.failures) = (now, 0);
        }
        place.failures += 1;
        if place.failures <= self.most {
            return false;
        }
        (place.since, place.is_held) = (now, true);
        true
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
