//! The way of one input's lines, from its socket to the queue: frames of acknowledged delivery go to acked.rs,
//! the others are best-effort lines, which are checked here and submitted in batches.
//!
//! The listener's thread alone is in here.

use crate::acked::{Acked, Destination, QUEUE_PAUSE, Rate};
use crate::counters::InputCounters;
use crate::gaps::StreamGaps;
use crate::hostcheck::{Claimant, HostCheck};
use crate::peer_rate::PeerRates;
use crate::statement::Statement;
use rzmq_host::{LineContext, Log, Property, RateLimitError, Rsyslogd, SubmitError, Submitter};
use rzmq_link::{HeldBack, LinkError, Received, Socket, Throttle};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Lines that one frame of acknowledged delivery counts for in a round.
const FRAME_WEIGHT: usize = 1024;
/// Addresses that are remembered; beyond that the memory begins anew.
const MOST_ADDRESSES: usize = 4096;
/// Kinds of trouble: of the socket, a sender over its rate, the queue that lines go to.
const SOCKET: &str = "socket";
const RATE: &str = "rate";
const QUEUE: &str = "queue";
/// What stands for the address of a sender of whom libzmq knows none.
const UNKNOWN: &str = "unknown";

/// The senders' addresses as rsyslog's properties, one each.
pub(crate) struct Addresses {
    known: HashMap<String, Property>,
    unknown: Property,
}

impl Addresses {
    pub(crate) fn new(rsyslogd: &Rsyslogd) -> Result<Self, RateLimitError> {
        let unknown = Property::new(rsyslogd, UNKNOWN).ok_or(RateLimitError::Memory)?;
        Ok(Self { known: HashMap::new(), unknown })
    }

    fn of(&mut self, rsyslogd: &Rsyslogd, address: Option<&str>) -> &Property {
        let Some(address) = address else {
            return &self.unknown;
        };
        if !self.known.contains_key(address) {
            if self.known.len() >= MOST_ADDRESSES {
                self.known.clear();
            }
            if let Some(property) = Property::new(rsyslogd, address) {
                self.known.insert(address.to_string(), property);
            }
        }
        self.known.get(address).unwrap_or(&self.unknown)
    }
}

/// The way of one input's lines. Owned by its listener.
pub(crate) struct Intake<'a> {
    rsyslogd: &'a Rsyslogd,
    statement: &'a Statement,
    log: &'a Log,
    counters: &'a InputCounters,
    submitter: Submitter,
    acked: Option<Acked>,
    host_check: Option<HostCheck>,
    rates: Option<PeerRates>,
    addresses: Addresses,
    /// Said once: whoever has such senders has them all day.
    told_unknown: bool,
    /// Lines of this drain that the queue answered with an error.
    failed: u64,
    /// It answered one for a best-effort line, and has taken none since.
    is_failing: bool,
    throttle: Throttle,
    gaps: StreamGaps,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        rsyslogd: &'a Rsyslogd,
        statement: &'a Statement,
        (log, counters): (&'a Log, &'a InputCounters),
        (submitter, addresses): (Submitter, Addresses),
        acked: Option<Acked>,
    ) -> Self {
        Self {
            rsyslogd,
            statement,
            log,
            counters,
            submitter,
            acked,
            host_check: statement.enforces_host.then(|| HostCheck::new(rsyslogd, log.clone())),
            rates: statement.peer_limit.map(PeerRates::new),
            addresses,
            told_unknown: false,
            failed: 0,
            is_failing: false,
            throttle: Throttle::of_peers(),
            gaps: StreamGaps::default(),
        }
    }

    /// Whether rsyslogd is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.submitter.is_stopping()
    }

    /// How long nothing is to be taken from the socket, as the queue has answered an error: the senders wait
    /// meanwhile, which loses none.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let failed_at = self.submitter.failed_at().filter(|_| self.is_failing)?;
        QUEUE_PAUSE.checked_sub(failed_at.elapsed()).filter(|left| !left.is_zero())
    }

    /// Tells of lines that publishers dropped, when it is time to.
    pub(crate) fn tell_of_gaps(&mut self) {
        if let Some(gap) = self.gaps.due(Instant::now()) {
            self.log.error(gap);
        }
    }

    /// The socket could not be waited for.
    pub(crate) fn socket_failed(&mut self, why: &LinkError) {
        self.tell(SOCKET, why);
    }

    /// Before the end: what is still to be told, and to be written down.
    pub(crate) fn end(&mut self) {
        if let Some(gap) = self.gaps.rest(Instant::now()) {
            self.log.error(gap);
        }
        if let Some(acked) = &self.acked {
            acked.end();
        }
    }

    /// Takes what is there, up to `most` messages, and submits it: after an error up to a single best-effort line.
    /// Answers whether there may be more.
    pub(crate) fn drain(&mut self, socket: &Socket, received: &mut Received, most: usize) -> bool {
        self.is_failing &= self.submitter.failed_at().is_some();
        let (mut lines, mut frames) = (0, 0);
        let mut bytes = 0;
        let mut submitted = 0;
        let more = loop {
            let has_failed = self.submitter.failed_at().is_some();
            if lines + frames * FRAME_WEIGHT >= most || has_failed && lines > 0 {
                break true;
            }
            match socket.receive(received) {
                Ok(true) => {}
                Ok(false) => break false,
                Err(why) => {
                    self.tell(SOCKET, &why);
                    break false;
                }
            }
            if self.take_frame(socket, received) {
                frames += 1;
                continue;
            }
            lines += 1;
            bytes += received.body().len() as u64;
            submitted += u64::from(self.take(received));
        };
        let counters = self.counters;
        counters.received().add(lines as u64);
        counters.bytes().add(bytes);
        if let Err(why) = self.submitter.flush() {
            self.failed(why);
        }
        // The limiter's own message about repetitions may be among those that failed.
        counters.submitted().add(submitted.saturating_sub(std::mem::take(&mut self.failed)));
        counters.parsed().add(self.submitter.take_parsed());
        more
    }

    /// Takes a message that is a frame of acknowledged delivery; answers whether it was one.
    fn take_frame(&mut self, socket: &Socket, received: &Received) -> bool {
        let is_acked = self.acked.is_some() && rzmq_delivery::is_frame(received.body());
        if !is_acked || !received.authenticated() {
            return false;
        }
        // Lines that nobody acknowledges share no batch with the frame's: their errors are other ones.
        if let Err(why) = self.submitter.flush() {
            self.failed(why);
        }
        let Some(acked) = &mut self.acked else { return false };
        let members = self.statement.metadata.then(|| members(received, None));
        let destination = Destination {
            socket,
            submitter: &mut self.submitter,
            from: self.addresses.of(self.rsyslogd, received.peer_address()),
            metadata: members.as_deref(),
            trusts_relays: self.statement.trusts_relays,
            host_check: self.host_check.as_mut().map(|it| (it, Claimant::of(received))),
            rate: self.rates.as_mut().map(|rates| Rate {
                rates,
                sender: PeerRates::sender(received),
                name: PeerRates::name(received),
            }),
        };
        acked.take(received, destination);
        true
    }

    /// Takes one message; answers whether its line is on its way to the queue.
    fn take(&mut self, received: &Received) -> bool {
        let counters = self.counters;
        let line = received.body();
        if !received.authenticated() {
            counters.discarded_unauthenticated().add(1);
            return false;
        }
        counters.missed().add(self.gaps.note(received));
        if line.is_empty() {
            counters.discarded_empty().add(1);
            return false;
        }
        if let Some(rates) = &mut self.rates {
            let (sender, now) = (PeerRates::sender(received), Instant::now());
            if rates.left(sender, now) == 0 {
                counters.discarded_ratelimit().add(1);
                let name = PeerRates::name(received);
                if let Some(more) = self.throttle.admit(RATE, name, now).map(HeldBack) {
                    self.log.error(format!(
                        "{name} sends more lines than ratelimit.perpeer lets through{more}"
                    ));
                }
                return false;
            }
            rates.take(sender, 1, now);
        }
        let address = received.peer_address();
        if address.is_none() && !std::mem::replace(&mut self.told_unknown, true) {
            self.log.warning(format!(
                "libzmq does not tell the address of a peer: it speaks ZMTP 1 or 2 (libzmq before 4.0), or \
                 came by multicast or tipc; its lines have \"{UNKNOWN}\" as fromhost-ip"
            ));
        }
        if let Some(check) = &mut self.host_check {
            if !check.passes(line, Claimant::of(received)) {
                counters.discarded_host().add(1);
                return false;
            }
        }
        let from = self.addresses.of(self.rsyslogd, address);
        let added = if self.statement.metadata {
            let topic = received.topic().map(String::from_utf8_lossy);
            let members = members(received, topic.as_deref());
            self.submitter.add(line, LineContext { from, metadata: &members })
        } else {
            self.submitter.add(line, LineContext { from, metadata: &[] })
        };
        match added {
            Ok(true) => true,
            Ok(false) => {
                counters.discarded_ratelimit().add(1);
                false
            }
            Err(why) => {
                // The line is one of those that failed: `drain` takes them off what was submitted.
                self.failed(why);
                true
            }
        }
    }

    fn failed(&mut self, why: SubmitError) {
        self.counters.failed().add(why.lines as u64);
        self.failed += why.lines as u64;
        self.is_failing = true;
        self.tell(QUEUE, &why);
    }

    fn tell(&mut self, kind: &'static str, trouble: &dyn Display) {
        if let Some(more) = self.throttle.admit(kind, "", Instant::now()).map(HeldBack) {
            self.log.error(format!("{trouble}{more}"));
        }
    }
}

/// The members of `$!rzmq` that are known of a message.
fn members<'a>(received: &'a Received, topic: Option<&'a str>) -> Vec<(&'static CStr, &'a str)> {
    let members = [
        received.sender_name().map(|name| (c"peer", name)),
        received.key().map(|key| (c"key", key)),
        received.peer_address().map(|address| (c"address", address)),
        topic.map(|topic| (c"topic", topic)),
    ];
    members.into_iter().flatten().collect()
}
