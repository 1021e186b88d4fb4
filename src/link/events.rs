//! What libzmq's monitor tells of one socket, read ahead where a descriptor is asked for what it is.
//!
//! An event names a connection by its descriptor, which libzmq may have closed by the time the event is read,
//! and the system have given to the next that called: asked for its peer, it would name that one. libzmq tells
//! of a connection's end before it closes it. So an answer is the connection's own unless its end has been told
//! by then.
//!
//! Owned by the monitor's thread.

use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;

use crate::raw::{self, Frame};

/// Something that libzmq tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: u32,
    /// Most often a descriptor.
    pub(crate) value: u32,
    /// As libzmq calls it.
    pub(crate) endpoint: String,
}

/// The events of one socket.
pub(crate) struct Events {
    pub(crate) pair: raw::Socket,
    ahead: VecDeque<Event>,
    /// How many of those ahead tell of an end, by descriptor.
    ends: HashMap<u32, usize>,
}

impl Events {
    pub(crate) fn new(pair: raw::Socket) -> Events {
        Events { pair, ahead: VecDeque::new(), ends: HashMap::new() }
    }

    /// The next; none: there is none yet.
    pub(crate) fn read(&mut self) -> Option<Event> {
        let Some(event) = self.ahead.pop_front() else { return self.receive() };
        if let Some(ends) = self.ends.get_mut(&event.value).filter(|_| is_end(&event)) {
            *ends -= 1;
            if *ends == 0 {
                self.ends.remove(&event.value);
            }
        }
        Some(event)
    }

    /// Whether the connection with this descriptor that the last event told of has ended: what the system has
    /// answered of the descriptor before may be another's.
    pub(crate) fn tell_the_end_of(&mut self, fd: RawFd) -> bool {
        while let Some(event) = self.receive() {
            if is_end(&event) {
                *self.ends.entry(event.value).or_default() += 1;
            }
            self.ahead.push_back(event);
        }
        self.ends.contains_key(&(fd as u32))
    }

    fn receive(&self) -> Option<Event> {
        let (mut event, mut endpoint) = (Frame::new(), Frame::new());
        loop {
            self.pair.receive(&mut event).ok()?;
            if !event.more() || self.pair.receive(&mut endpoint).is_err() {
                continue;
            }
            let [a, b, c, d, e, f] = *event.bytes() else {
                continue;
            };
            let (kind, value) = (u16::from_ne_bytes([a, b]), u32::from_ne_bytes([c, d, e, f]));
            let endpoint = String::from_utf8_lossy(endpoint.bytes()).into_owned();
            return Some(Event { kind: kind.into(), value, endpoint });
        }
    }
}

fn is_end(event: &Event) -> bool {
    event.kind == zmq_sys::ZMQ_EVENT_DISCONNECTED
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: u32 = zmq_sys::ZMQ_EVENT_ACCEPTED;
    const DISCONNECTED: u32 = zmq_sys::ZMQ_EVENT_DISCONNECTED;

    #[test]
    fn an_end_that_is_told_by_now_is_seen_and_all_events_stay_in_order() {
        let context = raw::Context::new().unwrap();
        let [far, near] = [(); 2].map(|()| context.socket(zmq_sys::ZMQ_PAIR).unwrap());
        far.bind("inproc://events").unwrap();
        near.connect("inproc://events").unwrap();
        let tell = |kind: u32, value: u32| {
            let (kind, value) = ((kind as u16).to_ne_bytes(), value.to_ne_bytes());
            far.send(&mut Frame::joined(&[&kind, &value]).unwrap(), true).unwrap();
            far.send(&mut Frame::joined(&[b"tcp://here:1"]).unwrap(), false).unwrap();
        };
        let mut events = Events::new(near);
        let next = |events: &mut Events| events.read().map(|it| (it.kind, it.value));
        assert_eq!(next(&mut events), None);
        // 7 is a connection, is closed, and then another's
        for (kind, value) in [(ACCEPTED, 7), (ACCEPTED, 8), (DISCONNECTED, 7), (ACCEPTED, 7)] {
            tell(kind, value);
        }
        assert_eq!(next(&mut events), Some((ACCEPTED, 7)));
        assert!(events.tell_the_end_of(7) && !events.tell_the_end_of(8));
        assert_eq!(next(&mut events), Some((ACCEPTED, 8)));
        assert!(!events.tell_the_end_of(8));
        tell(DISCONNECTED, 8);
        assert!(events.tell_the_end_of(8));
        assert_eq!(next(&mut events), Some((DISCONNECTED, 7)));
        assert_eq!(next(&mut events), Some((ACCEPTED, 7)));
        assert!(!events.tell_the_end_of(7));
        assert_eq!(next(&mut events), Some((DISCONNECTED, 8)));
        assert_eq!(next(&mut events), None);
        assert!(events.ends.is_empty());
    }
}
