//! Connections as ZeroMQ makes them: whole messages, in order, none twice. A connection that ends
//! loses a suffix of both pipes; what is left of it may be read after the next one has begun.

use crate::schedule::Rng;
use rzmq_delivery::{Key, SessionId};
use std::collections::VecDeque;

/// One direction: messages with the time of their arrival.
pub(crate) type Pipe = VecDeque<(u64, Vec<u8>)>;

pub(crate) struct Connection {
    /// `None` = a stranger.
    pub(crate) sender: Option<usize>,
    /// Which process of the sender: messages for a former one are lost.
    pub(crate) incarnation: u64,
    pub(crate) receiver: usize,
    /// Which process of the receiver.
    pub(crate) inlet: u64,
    pub(crate) key: Option<Key>,
    /// As the receiver's driver numbers it.
    pub(crate) peer: u64,
    /// What the last hello on it was about.
    pub(crate) session: Option<SessionId>,
    /// Whether what is sent now arrives.
    pub(crate) alive: bool,
    pub(crate) stalled_until: u64,
    pub(crate) to_receiver: Pipe,
    pub(crate) to_sender: Pipe,
}

impl Connection {
    pub(crate) fn pipe(&mut self, to_receiver: bool) -> &mut Pipe {
        if to_receiver { &mut self.to_receiver } else { &mut self.to_sender }
    }

    /// Puts a message on its way; answers when it arrives, `None` when it never does.
    pub(crate) fn send(
        &mut self,
        to_receiver: bool,
        now: u64,
        latency: u64,
        message: Vec<u8>,
    ) -> Option<u64> {
        if !self.alive {
            return None;
        }
        let pipe = self.pipe(to_receiver);
        let behind = pipe.back().map_or(0, |(arrival, _)| *arrival);
        let arrival = behind.max(now + latency);
        pipe.push_back((arrival, message));
        Some(arrival)
    }

    /// The message that has arrived.
    pub(crate) fn arrived(&mut self, to_receiver: bool, now: u64) -> Option<Vec<u8>> {
        let pipe = self.pipe(to_receiver);
        let there = pipe.front().is_some_and(|(arrival, _)| *arrival <= now);
        if there { pipe.pop_front().map(|(_, message)| message) } else { None }
    }

    /// The end. A prefix of both pipes still arrives, up to `late` after now; the arrival times of
    /// what is left are answered, with their direction.
    pub(crate) fn cut(&mut self, rng: &mut Rng, now: u64, late: u64) -> Vec<(u64, bool)> {
        self.alive = false;
        let mut arrivals = Vec::new();
        for to_receiver in [true, false] {
            let pipe = self.pipe(to_receiver);
            let kept = rng.below(pipe.len() as u64 + 1) as usize;
            pipe.truncate(kept);
            let mut behind = now;
            for (arrival, _) in pipe {
                behind = behind.max(now + rng.below(late + 1));
                *arrival = behind;
                arrivals.push((behind, to_receiver));
            }
        }
        arrivals
    }
}
