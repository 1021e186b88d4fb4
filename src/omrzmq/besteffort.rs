//! Best-effort delivery: one message a line (outlet.rs), done when libzmq took it.
//!
//! A connecting worker has its own socket; a binding socket is the action's and is borrowed.

use crate::action::Action;
use crate::carrier::{Advance, Carrier, CarrierError, Context, Rest, SpoolStep, Stuck};
use crate::offered_again::OfferedAgain;
use crate::record::{self, Record};
use crate::spool::Held;
use rzmq_delivery::{Head, SpooledFrame};
use rzmq_host::Batch;
use rzmq_link::{LinkError, Mode, Sent, Socket, SocketSpec};
use std::thread;
use std::time::Duration;

/// Records of a spool in one step: between two, the keeper looks for a stop, and others get the binding
/// socket.
const SPOOL_STEP: usize = 128;
/// How long a step that can do nothing waits.
const SLICE: Duration = Duration::from_millis(20);
/// Bytes that libzmq puts together for one write at the most (`out_batch_size`, options.cpp).
const WRITE: u64 = 8192;
/// Bytes of a message beside its text at the least (ZMTP 3.1, 2.2: flags and a short length).
const FRAMING: u64 = 2;

/// A best-effort carrier.
pub(crate) struct BestEffort {
    socket: Option<Socket>,
    /// The line of the batch that is next, and how many of its topics are sent.
    line: usize,
    topics: usize,
    offered_again: OfferedAgain<Carried>,
}

/// What is known of a line that was carried before.
#[derive(Debug, Clone, Copy)]
enum Carried {
    Whole,
    Topics(usize),
}

impl BestEffort {
    pub(crate) fn new() -> Self {
        Self { socket: None, line: 0, topics: 0, offered_again: OfferedAgain::new() }
    }
}

/// Runs `work` with the socket, if there is one; a connecting one is opened if need be.
fn with_socket<T>(
    own: &mut Option<Socket>,
    context: Context<'_>,
    work: impl FnOnce(&Socket) -> T,
) -> Option<T> {
    if context.action.statement.binds() {
        return context.running.binding().as_ref().map(work);
    }
    match own {
        Some(socket) => socket.call_again(),
        None => *own = context.action.open_or_tell(context.running, &context.action.statement.spec),
    }
    own.as_ref().map(work)
}

impl Carrier for BestEffort {
    /// What was carried before is stepped over here: it must not go into the spool either, should the stop
    /// put the whole batch there.
    fn begin(&mut self, _context: Context<'_>, batch: Batch<'_>) {
        (self.line, self.topics) = (0, 0);
        while self.line < batch.len() {
            match self.offered_again.recognise(batch.text(self.line, 0)) {
                Some(Carried::Whole) => self.line += 1,
                Some(Carried::Topics(topics)) => {
                    self.topics = topics;
                    return;
                }
                None => return,
            }
        }
    }

    fn advance(&mut self, context: Context<'_>, batch: Batch<'_>) -> Result<Advance, CarrierError> {
        if self.line == batch.len() {
            return Ok(Advance::Done);
        }
        let before = (self.line, self.topics);
        let Self { socket, line, topics, .. } = self;
        let mut carried = Carry {
            action: context.action,
            batch,
            line,
            topics,
            sent: 0,
            bytes: 0,
            passed_over: None,
        };
        let sent = with_socket(socket, context, |socket| carried.run(socket));
        let counters = &context.running.counters;
        counters.sent().add(carried.sent);
        counters.bytes().add(carried.bytes);
        if let Some(why) = carried.passed_over {
            let text = format!("{why}; a line is not sent under it");
            context.action.tell(context.running, "group", &text);
        }
        match sent {
            Some(Ok(Sent::Taken)) => Ok(Advance::Done),
            Some(Err(why)) => {
                self.socket = None;
                Err(why.into())
            }
            Some(Ok(Sent::Full)) | None if (self.line, self.topics) != before => Ok(Advance::Moved),
            Some(Ok(Sent::Full)) | None => Ok(Advance::Stuck),
        }
    }

    fn wait(&mut self, context: Context<'_>, patience: Duration) -> bool {
        let room = with_socket(&mut self.socket, context, |socket| socket.wait_writable(patience));
        if let Some(Ok(ready)) = room {
            // A publisher cannot say that it is full; the next send does.
            return ready || context.action.statement.spec.socket_type.publishes();
        }
        // There is no socket, or none that works: the next try opens it, or the keeper binds it.
        thread::sleep(patience);
        false
    }

    fn why_stuck(&self, context: Context<'_>) -> Stuck {
        match context.running.counters.connections().get() {
            0 => Stuck::unconnected(context),
            _ => Stuck::Busy,
        }
    }

    fn rest(&self, batch: Batch<'_>) -> Rest {
        let mut records = Vec::new();
        for line in self.line..batch.len() {
            let texts = (0..batch.templates()).map(|text| batch.text(line, text));
            record::encode_line(texts, &mut records);
        }
        Rest { records, lines: (batch.len() - self.line) as u64 }
    }

    fn let_go(&mut self) {}

    fn suspended(&mut self, batch: Batch<'_>) {
        for line in 0..self.line {
            self.offered_again.remember(batch.text(line, 0), Carried::Whole);
        }
        if self.topics > 0 {
            self.offered_again.remember(batch.text(self.line, 0), Carried::Topics(self.topics));
        }
    }

    fn given_up(&mut self) {
        self.offered_again.forget();
    }

    fn advance_spool(&mut self, context: Context<'_>) -> Result<SpoolStep, CarrierError> {
        let resumed = || context.running.counters.resumed().get();
        let before = resumed();
        let step = with_socket(&mut self.socket, context, |socket| {
            for _ in 0..SPOOL_STEP {
                match send_first(context, socket)? {
                    None => return Ok(SpoolStep::Done),
                    Some(Sent::Taken) => {}
                    Some(Sent::Full) => {
                        // Interrupted or not: the next step looks again.
                        let _ = socket.wait_writable(SLICE);
                        let has_moved = resumed() != before;
                        return Ok(if has_moved { SpoolStep::Moved } else { SpoolStep::Waited });
                    }
                }
            }
            Ok(SpoolStep::Moved)
        });
        match step {
            Some(Err(CarrierError::Link(why))) => {
                self.socket = None;
                Err(why.into())
            }
            Some(step) => step,
            None => {
                thread::sleep(SLICE);
                Ok(SpoolStep::Waited)
            }
        }
    }
}

/// One step of carrying a batch.
struct Carry<'a> {
    action: &'a Action,
    batch: Batch<'a>,
    line: &'a mut usize,
    topics: &'a mut usize,
    sent: u64,
    bytes: u64,
    /// What is wrong with the last topic that cannot be a group: nobody can have joined it.
    passed_over: Option<LinkError>,
}

impl Carry<'_> {
    /// Sends lines until all are taken or the socket is full.
    fn run(&mut self, socket: &Socket) -> Result<Sent, LinkError> {
        while *self.line < self.batch.len() {
            let line = self.batch.text(*self.line, 0);
            let number = *self.line;
            let topic = |index| self.batch.text(number, index + 1);
            match self.action.statement.outlet.send(socket, line, topic, self.topics) {
                Ok(Sent::Taken) => {}
                Err(why @ LinkError::Group(_)) => {
                    self.passed_over = Some(why);
                    continue;
                }
                full_or_failed => return full_or_failed,
            }
            *self.line += 1;
            self.sent += 1;
            self.bytes += line.len() as u64;
        }
        Ok(Sent::Taken)
    }
}

/// Sends the spool's first record; `None` when there is none.
fn send_first(context: Context<'_>, socket: &Socket) -> Result<Option<Sent>, CarrierError> {
    let Context { action, running } = context;
    let mut spool = running.spool();
    let Some(spool) = spool.as_mut() else { return Ok(None) };
    let Some((record, behind)) = spool.first()? else {
        spool.settle_or_owe();
        return Ok(None);
    };
    let counters = &running.counters;
    let held = held(&action.statement.spec);
    let lines: Vec<Vec<u8>> = match &record {
        Record::Line(texts) => {
            let text = |index: usize| texts.get(index).map_or(&[][..], Vec::as_slice);
            let topic = |topic| text(topic + 1);
            let sent = action.statement.outlet.send(socket, text(0), topic, &mut 0)?;
            if sent == Sent::Taken {
                let bytes = text(0).len() as u64;
                spool.sent_or_owe(1, bytes + FRAMING, behind, held);
                counters.bytes().add(bytes);
                counters.sent().add(1);
                counters.resumed().add(1);
                counters.in_spool().set(spool.lines());
            }
            return Ok(Some(sent));
        }
        Record::Frame(frame, settled) => unsettled(frame, *settled)?,
    };
    // The action was acknowledged when it spooled and is best-effort now: line by line.
    let (mut count, mut bytes) = (0, 0);
    let mut last = Ok(Sent::Taken);
    for line in &lines {
        let (_, text) = Head::split(line);
        last = socket.send(&[text]);
        if !matches!(last, Ok(Sent::Taken)) {
            break;
        }
        count += 1;
        bytes += text.len() as u64;
    }
    match last {
        Ok(Sent::Taken) => {
            spool.sent_or_owe(record.lines(), bytes + count * FRAMING, behind, held);
        }
        Ok(Sent::Full) | Err(_) => spool.sent_part(count),
    }
    counters.sent().add(count);
    counters.bytes().add(bytes);
    counters.resumed().add(count);
    counters.in_spool().set(spool.lines());
    Ok(Some(last?))
}

/// What may be lost, of the lines that libzmq took, with this process. One peer's pipe gives a bound:
/// `sndhwm` messages in it, one half encoded, one half written, and what stands between them in one write.
/// With several peers an old line may wait at a slow one for as long as another takes lines. Over ipc the
/// peer's libzmq drops what its kernel has, if it is full when we are gone (epoll.cpp: EPOLLHUP).
fn held(spec: &SocketSpec) -> Held {
    match (&spec.endpoints[..], usize::try_from(spec.options.snd_hwm)) {
        ([one], Ok(messages @ 1..)) if one.mode == Mode::Connect && one.is_tcp() => {
            Held::Last { messages: messages + 1, bytes: WRITE }
        }
        _ => Held::Any,
    }
}

/// The lines of a frame that are not settled.
fn unsettled(frame: &SpooledFrame, settled: u64) -> Result<Vec<Vec<u8>>, CarrierError> {
    let lines = frame.lines();
    if lines.len() != frame.count as usize {
        return Err(CarrierError::Frame(frame.session));
    }
    Ok(lines.into_iter().skip(settled as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rzmq_delivery::SessionId;

    #[test]
    fn a_frame_that_does_not_unpack_is_an_error_and_never_empty() {
        let bytes = b"no frame".to_vec();
        let frame = SpooledFrame { session: SessionId([7; 16]), first: 0, count: 3, bytes };
        for settled in [0, 2] {
            assert!(matches!(unsettled(&frame, settled), Err(CarrierError::Frame(_))));
        }
    }
}
