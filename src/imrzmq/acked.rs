//! Acknowledged delivery: the driver of the receiving state machine (src/delivery) on a ROUTER socket.
//! docs/protocol.md is the protocol. Frames of all senders come from one socket, which takes turns
//! between them; a message that is no frame of the protocol is a best-effort line (intake.rs).
//!
//! For each chunk of lines: submit, write the mark, acknowledge, in this order; within a frame only now
//! and then, as each acknowledgement wakes threads on both sides. When the queue answers
//! an error, or rsyslogd stops, the sender is told "later" and nothing is acknowledged.

use crate::counters::InputCounters;
use crate::free_space::FreeSpace;
use crate::hostcheck::{Claimant, HostCheck};
use crate::marks::Marks;
use crate::peer_rate::PeerRates;
use rzmq_delivery::{
    Block, ErrorCode, Head, Incoming, Key, LaterReason, PeerId, Reaction, Receiver, ReceiverLimits,
    RefusedReason,
};
use rzmq_host::{LineContext, Log, Property, SubmitError, Submitter};
use rzmq_link::{HeldBack, Received, Sent, Socket, Throttle};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines that are submitted and noted at once.
const CHUNK: u32 = 128;
/// Between two acknowledgements within a frame: only a slow queue comes to a second one.
const ANSWER_AGAIN: Duration = Duration::from_millis(5);
/// What a sender waits when the queue answered an error, or would have no room.
pub(crate) const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// What a sender waits when this side stops.
const STOP_PAUSE: Duration = Duration::from_millis(500);
/// Connections that are remembered; beyond that the memory begins anew and they say hello again.
const MOST_PEERS: usize = 65_536;

/// The acknowledged side of one input. Owned by its listener.
pub(crate) struct Acked {
    receiver: Receiver,
    marks: Option<Marks>,
    free_space: Option<FreeSpace>,
    peers: HashMap<Vec<u8>, PeerId>,
    next_peer: u64,
    log: Log,
    counters: Arc<InputCounters>,
    longest_line: usize,
    throttle: Throttle,
    forgotten: u64,
}

/// Where lines go, and what they bring with them.
pub(crate) struct Destination<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) submitter: &'a mut Submitter,
    pub(crate) from: &'a Property,
    /// Members of `$!rzmq` that all lines of the message share; `None` = no metadata.
    pub(crate) metadata: Option<&'a [(&'static CStr, &'a str)]>,
    /// Heads may say whose line it was first.
    pub(crate) trusts_relays: bool,
    /// How much the sender may hand over; `None` = any number of lines.
    pub(crate) rate: Option<Rate<'a>>,
    /// The check that its lines are the sender's own; `None` = whoever is let in may say anything.
    pub(crate) host_check: Option<(&'a mut HostCheck, Claimant<'a>)>,
}

/// The limit of each sender's lines, and what stands for this one: there, and in the log.
pub(crate) struct Rate<'a> {
    pub(crate) rates: &'a mut PeerRates,
    pub(crate) sender: &'a str,
    pub(crate) name: &'a str,
}

impl Acked {
    pub(crate) fn new(
        log: Log,
        counters: Arc<InputCounters>,
        limits: ReceiverLimits,
        marks: Option<(Marks, Vec<rzmq_delivery::Mark>)>,
        free_space: Option<FreeSpace>,
    ) -> Self {
        let (marks, known) = marks.map_or((None, Vec::new()), |(file, known)| (Some(file), known));
        let software = concat!("imrzmq ", env!("CARGO_PKG_VERSION"));
        let receiver = Receiver::new(software, limits, known);
        counters.sessions().set(receiver.sessions() as u64);
        Self {
            receiver,
            marks,
            free_space,
            peers: HashMap::new(),
            next_peer: 0,
            longest_line: limits.line,
            log,
            counters,
            throttle: Throttle::of_peers(),
            forgotten: 0,
        }
    }

    /// Takes one frame of the protocol.
    pub(crate) fn take(&mut self, received: &Received, destination: Destination<'_>) {
        let Some(routing_id) = received.routing_id() else { return };
        let peer = self.peer(routing_id);
        let key = received.key().and_then(key_of);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.receiver.receive(now, peer, key, received.body()) {
            Reaction::Nothing => {}
            Reaction::Reply(reply) => {
                self.counters.sessions().set(self.receiver.sessions() as u64);
                let forgotten = self.receiver.forgotten();
                self.counters.sessions_forgotten().add(forgotten - self.forgotten);
                self.forgotten = forgotten;
                self.answer(destination.socket, routing_id, &reply);
            }
            Reaction::Wrong(code, text, reply) => {
                let address = received.peer_address().unwrap_or("an unknown peer");
                let name = received.sender_name();
                let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
                let who = format!("{address}{name}");
                let (counter, kind, trouble) = match code {
                    ErrorCode::Sessions => (
                        self.counters.sessions_refused(),
                        "sessions",
                        format!("{who} gets no session: {text} (maxsessions, maxsessionsperkey)"),
                    ),
                    // so do frames that were on their way when a connection was cut
                    ErrorCode::NoSession | ErrorCode::Fenced => (
                        self.counters.out_of_turn(),
                        "turn",
                        format!("{who} sent lines out of turn ({code}): {text}"),
                    ),
                    _ => (
                        self.counters.protocol_errors(),
                        "protocol",
                        format!("{who} broke the protocol ({code}): {text}"),
                    ),
                };
                counter.add(1);
                self.tell(kind, &who, &trouble);
                self.answer(destination.socket, routing_id, &reply);
            }
            Reaction::Lines(mut incoming) => {
                self.lines(now, (received, routing_id), &mut incoming, destination);
            }
        }
    }

    /// Before the end: marks that could not be written are tried again.
    pub(crate) fn end(&self) {
        if let Some(Err(why)) = self.marks.as_ref().map(Marks::write_owed) {
            self.log.error(format!("{why}; after the restart, lines may arrive twice"));
        }
    }

    fn lines(
        &mut self,
        now: Duration,
        (received, routing_id): (&Received, &[u8]),
        incoming: &mut Incoming<'_>,
        mut destination: Destination<'_>,
    ) {
        let socket = destination.socket;
        self.counters.duplicates().add(incoming.duplicates.into());
        let session = destination.metadata.map(|_| incoming.session.to_string());
        let resend = if incoming.resend { "1" } else { "0" };
        let mut refused = Vec::new();
        let mut answered = Instant::now();
        loop {
            // a slow queue takes long over a frame
            if incoming.has_more() && !socket.still_knows(received) {
                // Its connection is closed, so that it would not hear this.
                let _ = self.receiver.later(incoming, STOP_PAUSE, LaterReason::Stopping);
                return;
            }
            let most = match self.may_take(incoming.has_more(), &mut destination) {
                Ok(most) => most,
                Err((pause, reason)) => {
                    let later = self.receiver.later(incoming, pause, reason);
                    return self.answer_if(socket, routing_id, later);
                }
            };
            let Some((first, block)) = incoming.chunk(most) else { return };
            let count = block.len() as u64;
            self.counters.received().add(count);
            let ids = session.as_deref().map(|session| (session, resend));
            let (tally, submitted) = self.submit(first, block, ids, &mut destination, &mut refused);
            if let Err(why) = submitted {
                self.queue_failed(&why, count);
                let later = self.receiver.later(incoming, QUEUE_PAUSE, LaterReason::QueueError);
                return self.answer_if(socket, routing_id, later);
            }
            tally.count(&self.counters, count);
            if let Some(Rate { rates, sender, .. }) = &mut destination.rate {
                rates.take(sender, count as u32, Instant::now());
            }
            let Some(accepted) = self.receiver.accepted(now, incoming, &refused) else { return };
            refused.clear();
            if let Some(Err(why)) = self.marks.as_mut().map(|marks| marks.write(&accepted.mark)) {
                self.tell(
                    "marks",
                    "",
                    &format!("{why}; if rsyslogd is killed now, lines may arrive twice"),
                );
            }
            if !accepted.reply.is_empty() {
                self.answer(socket, routing_id, &accepted.reply);
            }
            if !incoming.has_more() || answered.elapsed() >= ANSWER_AGAIN {
                answered = Instant::now();
                let acknowledgement = self.receiver.acknowledge(incoming);
                self.answer_if(socket, routing_id, acknowledgement);
            }
        }
    }

    /// How many lines may be taken now, or how long the sender has to wait, and why.
    fn may_take(
        &mut self,
        has_more: bool,
        destination: &mut Destination<'_>,
    ) -> Result<u32, (Duration, LaterReason)> {
        if destination.submitter.is_stopping() {
            return Err((STOP_PAUSE, LaterReason::Stopping));
        }
        let failed_at = destination.submitter.failed_at();
        let is_pausing = failed_at.is_some_and(|at| at.elapsed() < QUEUE_PAUSE);
        if has_more && (is_pausing || self.has_no_room()) {
            return Err((QUEUE_PAUSE, LaterReason::QueueError));
        }
        let most = if failed_at.is_some() { 1 } else { CHUNK };
        let Some(Rate { rates, sender, name }) = &mut destination.rate else { return Ok(most) };
        let now = Instant::now();
        let most = most.min(rates.left(sender, now));
        if most == 0 && has_more {
            self.counters.delayed_ratelimit().add(1);
            let pause = rates.pause(sender, now);
            if let Some(more) = self.throttle.admit("rate", name, now).map(HeldBack) {
                self.log.warning(format!(
                    "{name} has more lines than ratelimit.perpeer lets through: it keeps them and \
                     waits{more}"
                ));
            }
            return Err((pause, LaterReason::Rate));
        }
        Ok(most)
    }

    /// Submits the lines from number `first` on, up to the first that the queue answers an error for, and
    /// notes those that are refused. `ids` is what their metadata says: of which session, and whether they
    /// were sent before.
    fn submit(
        &self,
        first: u64,
        block: Block<'_>,
        ids: Option<(&str, &str)>,
        destination: &mut Destination<'_>,
        refused: &mut Vec<(u64, RefusedReason, u32)>,
    ) -> (Tally, Result<(), SubmitError>) {
        let Destination { submitter, from, metadata, trusts_relays, host_check, .. } = destination;
        let (mut tally, mut submitted) = (Tally::default(), Ok(()));
        let mut id = String::new();
        for (line, number) in block.lines().zip(first..) {
            let (mut head, line) = Head::split(line);
            if !*trusts_relays {
                head = Head { uuid: head.uuid, ..Head::default() };
            }
            let bytes = u32::try_from(line.len()).unwrap_or(u32::MAX);
            tally.bytes += u64::from(bytes);
            if line.is_empty() {
                tally.empty += 1;
                continue;
            }
            if line.len() > self.longest_line {
                tally.too_long += 1;
                refused.push((number, RefusedReason::TooLong, bytes));
                continue;
            }
            if host_check.as_mut().is_some_and(|(check, claimant)| !check.passes(line, *claimant)) {
                tally.of_others += 1;
                refused.push((number, RefusedReason::Host, bytes));
                continue;
            }
            // It would go ahead of lines before it that the queue refuses, and that come again.
            let before = if submitter.goes_alone(line) { submitter.flush() } else { Ok(()) };
            if let Err(why) = before {
                submitted = Err(why);
                break;
            }
            let added = match (*metadata, ids) {
                (Some(shared), Some((session, resend))) => {
                    id.clear();
                    // Writing to a String cannot fail.
                    let _ = write!(id, "{session}:{number}");
                    let context = LineContext { from, metadata: shared };
                    add_with_id(submitter, line, context, head, (&id, resend))
                }
                _ => submitter.add(line, LineContext { from, metadata: &[] }),
            };
            match added {
                Ok(true) => {}
                Ok(false) => tally.over_rate += 1,
                // What follows comes again with these, and in order.
                Err(why) => {
                    submitted = Err(why);
                    break;
                }
            }
        }
        let flushed = submitter.flush();
        (tally, submitted.and(flushed))
    }

    /// Whether the file system has too little room for what comes.
    fn has_no_room(&mut self) -> bool {
        let Some(space) = &self.free_space else { return false };
        match space.too_little() {
            Ok(None) => false,
            Ok(Some(free)) => {
                let trouble = space.trouble(free);
                self.counters.delayed_disk().add(1);
                self.tell("disk", "", &trouble);
                true
            }
            // a folder that is gone holds nobody up
            Err(why) => {
                self.tell("no disk", "", &format!("minfree is not looked at: {why}"));
                false
            }
        }
    }

    fn queue_failed(&mut self, why: &SubmitError, count: u64) {
        self.counters.failed().add(count);
        self.tell(
            "queue",
            "",
            &format!("{why} Here none is: they are not acknowledged and come again."),
        );
    }

    fn answer_if(&mut self, socket: &Socket, routing_id: &[u8], reply: Option<Vec<u8>>) {
        if let Some(reply) = reply {
            self.answer(socket, routing_id, &reply);
        }
    }

    /// A peer that does not read loses its answers, and nothing else: it says hello.
    fn answer(&mut self, socket: &Socket, routing_id: &[u8], reply: &[u8]) {
        match socket.send(&[routing_id, reply]) {
            Ok(Sent::Taken | Sent::Full) => {}
            Err(why) => self.tell("answer", "", &why.to_string()),
        }
    }

    fn peer(&mut self, routing_id: &[u8]) -> PeerId {
        if let Some(peer) = self.peers.get(routing_id) {
            return *peer;
        }
        if self.peers.len() >= MOST_PEERS {
            self.peers.clear();
        }
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        self.peers.insert(routing_id.to_vec(), peer);
        peer
    }

    fn tell(&mut self, kind: &'static str, peer: &str, trouble: &str) {
        if let Some(more) = self.throttle.admit(kind, peer, Instant::now()).map(HeldBack) {
            let text = format!("{trouble}{more}");
            match kind {
                "turn" => self.log.info(text),
                _ => self.log.error(text),
            }
        }
    }
}

/// What became of the lines of a chunk. Counted when it is settled: one that failed comes again.
#[derive(Default)]
struct Tally {
    bytes: u64,
    empty: u64,
    too_long: u64,
    /// Of another host than their sender's.
    of_others: u64,
    over_rate: u64,
}

impl Tally {
    fn count(&self, counters: &InputCounters, lines: u64) {
        let Self { bytes, empty, too_long, of_others, over_rate } = self;
        counters.bytes().add(*bytes);
        counters.discarded_empty().add(*empty);
        counters.refused().add(*too_long);
        counters.discarded_host().add(*of_others);
        counters.discarded_ratelimit().add(*over_rate);
        counters.submitted().add(lines - empty - too_long - of_others - over_rate);
    }
}

/// Submits a line with its id: the first sender's, where a relay passed it on.
fn add_with_id(
    submitter: &mut Submitter,
    line: &[u8],
    context: LineContext<'_>,
    head: Head<'_>,
    (own, resend): (&str, &str),
) -> Result<bool, SubmitError> {
    let id = if head.origin_id.is_empty() { own } else { head.origin_id };
    let entries = [
        (c"id", id),
        (c"resend", resend),
        (c"uuid", head.uuid),
        (c"origin_peer", head.origin_name),
        (c"origin_address", head.origin_address),
    ];
    let mut metadata = Vec::with_capacity(context.metadata.len() + entries.len());
    metadata.extend_from_slice(context.metadata);
    metadata.extend(entries.into_iter().filter(|(_, value)| !value.is_empty()));
    submitter.add(line, LineContext { from: context.from, metadata: &metadata })
}

/// The key as bytes; it came from the authenticator as text.
fn key_of(text: &str) -> Option<Key> {
    rzmq_link::PublicKey::from_z85(text).map(|key| Key(*key.as_bytes()))
}
