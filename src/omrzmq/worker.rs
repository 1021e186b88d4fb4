//! One worker thread of an action's queue: the commit discipline.
//!
//! A commit never answers SUSPENDED to keep lines: stock rsyslog loses such a batch at a stop, or
//! doubles it. It waits for the peer in short polls. When rsyslogd is being stopped and the grace is
//! over, the lines that libzmq has not taken go into the action's spool, and the batch is done. Only
//! where the administrator asked the engine to give up (Patience), or where the spool cannot be
//! written, the answer is SUSPENDED.
//!
//! A worker has its own connecting socket; a binding socket is the action's and is borrowed.

use crate::action::{Action, Running};
use crate::engine::Patience;
use rzmq_host::{Batch, Verdict};
use rzmq_link::{LinkError, Sent, Socket};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The longest time a waiting commit is deaf to a stop.
const SLICE: Duration = Duration::from_millis(20);
/// A wait that is longer is told in the log.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// What one worker thread has of its own.
pub(crate) struct Worker {
    action: Arc<Action>,
    socket: Option<Socket>,
    offered_again: OfferedAgain,
}

/// How far a batch is sent.
#[derive(Debug, Default)]
struct Progress {
    line: usize,
    topics: usize,
    bytes: u64,
    sent: u64,
}

impl Progress {
    fn mark(&self) -> (usize, usize) {
        (self.line, self.topics)
    }
}

/// A commit that makes no progress: since when, and what of it is counted and told.
struct Waiting<'a> {
    action: &'a Action,
    running: &'a Running,
    since: Instant,
    counted: u64,
    told: bool,
}

impl Worker {
    pub(crate) fn new(action: Arc<Action>) -> Self {
        Self { action, socket: None, offered_again: OfferedAgain::default() }
    }

    /// Where the administrator asked for an action that gives up: whether the peer takes lines, or
    /// does before the patience is over. The engine then fails over with every line of the batch; a
    /// peer that goes between this and the commit takes the batch along.
    pub(crate) fn begin(&mut self) -> Verdict {
        let action = Arc::clone(&self.action);
        let (Some(running), Patience::GiveUpAfter(timeout)) =
            (action.running(), action.statement.patience)
        else {
            return Verdict::Done;
        };
        let began = Instant::now();
        loop {
            if self.try_resume() == Verdict::Done {
                return Verdict::Done;
            }
            if began.elapsed() >= timeout {
                running.counters.suspended().add(1);
                return Verdict::Suspended;
            }
            self.wait_for_room(&action, running, SLICE.min(timeout));
        }
    }

    pub(crate) fn commit(&mut self, batch: Batch<'_>) -> Verdict {
        let action = Arc::clone(&self.action);
        // A commit before activation cannot be; if it were, the lines stay rsyslog's.
        let Some(running) = action.running() else {
            return Verdict::Suspended;
        };
        let mut progress = Progress::default();
        let verdict = self.send_all(&action, running, batch, &mut progress);
        running.counters.sent().add(progress.sent);
        running.counters.bytes().add(progress.bytes);
        if verdict == Verdict::Suspended {
            running.counters.suspended().add(1);
            self.offered_again.remember(batch, &progress);
        }
        verdict
    }

    fn send_all(
        &mut self,
        action: &Action,
        running: &Running,
        batch: Batch<'_>,
        progress: &mut Progress,
    ) -> Verdict {
        let mut waiting: Option<Waiting<'_>> = None;
        let mut waited = false;
        if running.is_spooling() {
            return keep_rest(action, running, batch, progress);
        }
        loop {
            let before = progress.mark();
            if !running.is_behind_spool() {
                match self.send_some(action, running, batch, progress) {
                    Ok(Sent::Taken) => return Verdict::Done,
                    Ok(Sent::Full) => {}
                    Err(why) => {
                        action.tell(running, &format!("{why}; the lines wait"));
                        self.socket = None;
                    }
                }
            }
            if progress.mark() != before {
                waiting = None;
            }
            let waiting = waiting.get_or_insert_with(|| Waiting::begin(action, running));
            running.counters.waits().add(u64::from(!waited));
            waited = true;
            if action.stop.grace_is_over() {
                return keep_rest(action, running, batch, progress);
            }
            if waiting.is_over(action.statement.patience) {
                return Verdict::Suspended;
            }
            self.wait_for_room(action, running, SLICE);
            waiting.note(batch.len() - progress.line);
        }
    }

    /// Sends lines until all are taken or the socket is full.
    fn send_some(
        &mut self,
        action: &Action,
        running: &Running,
        batch: Batch<'_>,
        progress: &mut Progress,
    ) -> Result<Sent, LinkError> {
        let binding = action.statement.binds().then(|| running.binding());
        let socket = match &binding {
            Some(binding) => binding.as_ref(),
            None => {
                if self.socket.is_none() {
                    self.socket = action.connect(running);
                }
                self.socket.as_ref()
            }
        };
        let Some(socket) = socket else {
            return Ok(Sent::Full);
        };
        while progress.line < batch.len() {
            let line = batch.text(progress.line, 0);
            if progress.topics == 0 {
                match self.offered_again.recognise(line) {
                    Some(Recognised::Sent) => {
                        progress.line += 1;
                        continue;
                    }
                    Some(Recognised::Topics(topics)) => progress.topics = topics,
                    None => {}
                }
            }
            let topic = |index| batch.text(progress.line, index + 1);
            let mut topics = progress.topics;
            let sent = action.statement.outlet.send(socket, line, topic, &mut topics);
            progress.topics = topics;
            if sent? == Sent::Full {
                return Ok(Sent::Full);
            }
            progress.line += 1;
            progress.sent += 1;
            progress.bytes += line.len() as u64;
        }
        Ok(Sent::Taken)
    }

    /// Waits until a send is worth trying, or until `patience` is over; answers whether it is.
    fn wait_for_room(&self, action: &Action, running: &Running, patience: Duration) -> bool {
        if running.is_behind_spool() {
            thread::sleep(patience);
            return !running.is_behind_spool();
        }
        let binding = action.statement.binds().then(|| running.binding());
        let socket = match &binding {
            Some(binding) => binding.as_ref(),
            None => self.socket.as_ref(),
        };
        if let Some(Ok(ready)) = socket.map(|socket| socket.wait_writable(patience)) {
            // A publisher cannot say that it is full; the next send does.
            return ready || action.statement.spec.socket_type.publishes();
        }
        // There is no socket, or none that works: the next try opens it, or the keeper binds it.
        drop(binding);
        thread::sleep(patience);
        false
    }

    /// The truth: whether a commit would succeed now.
    pub(crate) fn try_resume(&mut self) -> Verdict {
        let action = Arc::clone(&self.action);
        let Some(running) = action.running() else {
            return Verdict::Suspended;
        };
        if !action.statement.binds() && self.socket.is_none() {
            self.socket = action.connect(running);
        }
        if self.wait_for_room(&action, running, Duration::ZERO) || action.stop.grace_is_over() {
            Verdict::Done
        } else {
            Verdict::Suspended
        }
    }
}

impl<'a> Waiting<'a> {
    fn begin(action: &'a Action, running: &'a Running) -> Self {
        running.counters.waiting().add(1);
        Self { action, running, since: Instant::now(), counted: 0, told: false }
    }

    fn is_over(&self, patience: Patience) -> bool {
        match patience {
            Patience::Wait => false,
            Patience::GiveUpAfter(timeout) => self.since.elapsed() >= timeout,
        }
    }

    /// Counts the time that went by, and tells when it is worth telling.
    fn note(&mut self, lines: usize) {
        let elapsed = self.since.elapsed();
        let milliseconds = elapsed.as_millis() as u64;
        self.running.counters.wait_ms().add(milliseconds - self.counted);
        self.counted = milliseconds;
        if elapsed >= WORTH_TELLING {
            let why = self.action.why_waiting(self.running);
            self.told |= self.action.tell(
                self.running,
                &format!(
                    "waiting for {} s: {why}. {lines} lines of this batch wait, nothing is lost",
                    elapsed.as_secs()
                ),
            );
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.running.counters.waiting().subtract(1);
        if self.told {
            let seconds = self.since.elapsed().as_secs();
            self.action.log.info(format!("the wait is over after {seconds} s"));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let (Some(socket), Some(running)) = (self.socket.take(), self.action.running()) {
            running.leave(socket);
        }
    }
}

/// The stop's grace is over: what is not sent goes into the spool, or, for a publisher, nowhere.
fn keep_rest(
    action: &Action,
    running: &Running,
    batch: Batch<'_>,
    progress: &mut Progress,
) -> Verdict {
    let first = progress.line;
    let left = (batch.len() - first) as u64;
    if !action.statement.spools() {
        running.counters.discarded().add(left);
        let loss = "lines that were not published before the stop are discarded: a publisher's lines are \
                    not kept (see the counter)";
        action.tell_loss(running, loss);
        return Verdict::Done;
    }
    let texts = 1 + action.statement.outlet.topic_templates().len();
    let lines = (first..batch.len()).map(|line| (0..texts).map(move |text| batch.text(line, text)));
    match running.keep(lines) {
        Ok(_) => Verdict::Done,
        Err(why) => {
            let loss = format!(
                "{left} lines and more are unsent and cannot be kept for the next start: {why}. They \
                 are given back to rsyslog, which may lose them at this stop"
            );
            action.tell_loss(running, &loss);
            // Some releases ask again at once, and as often as they can.
            thread::sleep(SLICE);
            Verdict::Suspended
        }
    }
}

/// Lines that were sent in a batch which was then answered SUSPENDED: the engine offers them again,
/// one by one and in the same order (measured on four releases), and they must not be sent twice.
///
/// Recognised by what they are, not by where they stand: two equal lines are two lines, and the first
/// line that is another one ends it. Where the engine gave the batch up instead, as it was asked to,
/// the next line is another one, for a line has its time in it.
#[derive(Debug, Default)]
struct OfferedAgain {
    hasher: RandomState,
    sent: VecDeque<u64>,
    partly: Option<(u64, usize)>,
}

/// What is known of a line that is offered again.
#[derive(Debug, PartialEq, Eq)]
enum Recognised {
    /// It is sent.
    Sent,
    /// It is sent under so many of its topics.
    Topics(usize),
}

impl OfferedAgain {
    fn remember(&mut self, batch: Batch<'_>, progress: &Progress) {
        let lines = (0..progress.line).map(|line| self.hasher.hash_one(batch.text(line, 0)));
        let lines: Vec<_> = lines.collect();
        self.sent.extend(lines);
        if progress.topics > 0 {
            let hash = self.hasher.hash_one(batch.text(progress.line, 0));
            self.partly = Some((hash, progress.topics));
        }
    }

    fn recognise(&mut self, line: &[u8]) -> Option<Recognised> {
        if self.sent.is_empty() && self.partly.is_none() {
            return None;
        }
        let hash = self.hasher.hash_one(line);
        if self.sent.front() == Some(&hash) {
            self.sent.pop_front();
            return Some(Recognised::Sent);
        }
        self.sent.clear();
        let partly = self.partly.take_if(|(partly, _)| *partly == hash);
        self.partly = None;
        partly.map(|(_, topics)| Recognised::Topics(topics))
    }
}
