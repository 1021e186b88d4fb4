//! One worker thread of an action's queue: the commit discipline.
//!
//! A commit never answers SUSPENDED to keep lines: stock rsyslog loses such a batch at a stop, or
//! doubles it. It waits for the peer in short polls. When rsyslogd is being stopped and the grace is
//! over, the lines that are not with the peer go into the action's spool, and the batch is done. Only
//! where the administrator asked the engine to give up (Patience), or where the spool cannot be
//! written, the answer is SUSPENDED.

use crate::action::{Action, Running};
use crate::carrier::{Advance, Carrier, Context, Stuck};
use crate::engine::Patience;
use rzmq_host::{Batch, Verdict};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The longest time a waiting commit is deaf to a stop.
const SLICE: Duration = Duration::from_millis(20);
/// How long a peer that is connected has to say that it takes lines, when the engine asks.
const ANSWER: Duration = Duration::from_millis(200);
/// After less than this it goes on asking; the shortest interval between two attempts is a second.
const ASKS_AGAIN: Duration = Duration::from_millis(500);
/// A wait that is longer is told in the log.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// What one worker thread has of its own.
pub(crate) struct Worker {
    action: Arc<Action>,
    carrier: Option<Box<dyn Carrier>>,
    /// Answers of SUSPENDED since the last batch that was done: the patience is spent, and is not
    /// spent again on each line that the engine offers singly.
    refusals: u32,
    /// The last answer was not SUSPENDED.
    is_ready: bool,
    /// The engine has asked so often that it gives the batch up.
    given_up: bool,
    /// When it was last asked whether a commit would succeed.
    asked: Option<Instant>,
}

impl Worker {
    pub(crate) fn new(action: Arc<Action>) -> Self {
        Self { action, carrier: None, refusals: 0, is_ready: true, given_up: false, asked: None }
    }

    /// Runs `work` with the carrier; `None` only before activation, when nothing can be committed.
    fn with_carrier<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Carrier, Context<'_>) -> T,
    ) -> Option<T> {
        let Self { action, carrier, .. } = self;
        let running = action.running()?;
        let carrier = carrier.get_or_insert_with(|| action.carrier(running));
        Some(work(&mut **carrier, Context { action, running }))
    }

    /// Where the administrator asked for an action that gives up: whether the peer takes lines, or
    /// does before the patience is over. The engine then fails over with every line of the batch; a
    /// peer that goes between this and the commit takes the batch along.
    pub(crate) fn begin(&mut self) -> Verdict {
        let Patience::GiveUp { after, .. } = self.action.statement.patience else {
            return Verdict::Done;
        };
        let patience = if self.refusals > 0 { Duration::ZERO } else { after };
        let ready = self.with_carrier(|carrier, context| {
            let ready = becomes_ready(carrier, context, patience);
            context.running.counters.suspended().add(u64::from(!ready));
            ready
        });
        self.note_ready(ready == Some(true))
    }

    pub(crate) fn commit(&mut self, batch: Batch<'_>) -> Verdict {
        let patience = match self.action.statement.patience {
            // Told that the first line of a batch is not taken again yet, the engine offers the others without
            // asking (measured). They are with the carrier as that one is. Within a stop it does so at once, and as
            // often as it can.
            Patience::GiveUp { .. } if !self.is_ready && !self.action.stop.grace_is_over() => {
                if self.action.stop.has_begun() {
                    thread::sleep(SLICE);
                }
                // it still has the batch, and will ask as often again
                (self.given_up, self.refusals) = (false, 1);
                return Verdict::Suspended;
            }
            Patience::GiveUp { retries, .. } if self.refusals > 0 => {
                Patience::GiveUp { after: Duration::ZERO, retries }
            }
            patience => patience,
        };
        // a batch that the engine asked for anew is another one, also where its lines look the same
        let is_another = self.is_ready && std::mem::take(&mut self.given_up);
        let verdict = self.with_carrier(|carrier, context| {
            if is_another {
                carrier.given_up();
            }
            carrier.begin(context, batch);
            let verdict = carry(carrier, context, batch, patience);
            if verdict == Verdict::Suspended {
                context.running.counters.suspended().add(1);
                carrier.suspended(batch);
            }
            verdict
        });
        self.is_ready = verdict == Some(Verdict::Done);
        match verdict {
            Some(Verdict::Done) => self.refusals = 0,
            Some(Verdict::Suspended) => self.refusals = self.refusals.max(1),
            // A commit before activation cannot be; if it were, the lines stay rsyslog's.
            None => {}
        }
        verdict.unwrap_or(Verdict::Suspended)
    }

    /// The truth: whether a commit would succeed now. A peer that is there has the time to say so.
    pub(crate) fn try_resume(&mut self) -> Verdict {
        // of a batch it asks for one line after the other: the first asking waits for all of them
        let asks_again = self.asked.is_some_and(|at| at.elapsed() < ASKS_AGAIN);
        let ready = self.with_carrier(|carrier, context| {
            let patience = match carrier.why_stuck(context) {
                Stuck::Unanswered | Stuck::Busy if !asks_again => ANSWER,
                _ => Duration::ZERO,
            };
            becomes_ready(carrier, context, patience)
        });
        self.asked = Some(Instant::now());
        self.note_ready(ready == Some(true))
    }

    /// Once the engine has asked as often as it was told to, the batch is given up.
    fn note_ready(&mut self, ready: bool) -> Verdict {
        self.is_ready = ready;
        if ready {
            return Verdict::Done;
        }
        self.refusals = self.refusals.saturating_add(1);
        if let Patience::GiveUp { retries, .. } = self.action.statement.patience {
            self.given_up |= self.refusals > retries.saturating_add(1);
        }
        Verdict::Suspended
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let (Some(mut carrier), Some(running)) = (self.carrier.take(), self.action.running()) {
            if self.given_up {
                carrier.given_up();
            }
            running.leave(carrier);
        }
    }
}

/// Whether a commit would find its way within `patience`.
fn becomes_ready(carrier: &mut dyn Carrier, context: Context<'_>, patience: Duration) -> bool {
    let began = Instant::now();
    while !is_ready(carrier, context, Duration::ZERO) {
        if began.elapsed() >= patience {
            return false;
        }
        is_ready(carrier, context, SLICE.min(patience));
    }
    true
}

/// Whether a commit would find its way; answers after `patience` at the latest.
fn is_ready(carrier: &mut dyn Carrier, context: Context<'_>, patience: Duration) -> bool {
    let Context { action, running } = context;
    if action.stop.grace_is_over() {
        return true;
    }
    if running.is_behind_spool() {
        thread::sleep(patience);
        return !running.is_behind_spool();
    }
    carrier.wait(context, patience)
}

fn carry(
    carrier: &mut dyn Carrier,
    context: Context<'_>,
    batch: Batch<'_>,
    patience: Patience,
) -> Verdict {
    let Context { action, running } = context;
    if running.is_spooling() {
        return keep_rest(carrier, context, batch);
    }
    let mut waiting: Option<Waiting<'_>> = None;
    let mut waited = false;
    loop {
        if !running.is_behind_spool() {
            match carrier.advance(context, batch) {
                Ok(Advance::Done) => {
                    running.got_through();
                    return Verdict::Done;
                }
                Ok(Advance::Moved) => {
                    running.got_through();
                    waiting = None;
                }
                Ok(Advance::Stuck) => {}
                Err(why) => {
                    action.tell(running, "carrier", &format!("{why}; the lines wait"));
                }
            }
        }
        let waiting = waiting.get_or_insert_with(|| Waiting::begin(context));
        running.counters.waits().add(u64::from(!waited));
        waited = true;
        if action.stop.grace_is_over() {
            return keep_rest(carrier, context, batch);
        }
        if waiting.is_over(patience) {
            return Verdict::Suspended;
        }
        if waiting.since.elapsed() >= action.stop.grace() && is_main_thread() {
            return keep_for_keeper(carrier, context, batch);
        }
        is_ready(carrier, context, SLICE);
        waiting.note(&*carrier, context, batch.len(), patience);
    }
}

/// The stop's grace is over: what is not sent goes into the spool, or, for a publisher, nowhere.
fn keep_rest(carrier: &mut dyn Carrier, context: Context<'_>, batch: Batch<'_>) -> Verdict {
    let Context { action, running } = context;
    let rest = carrier.rest(batch);
    let lines = rest.lines;
    if lines == 0 {
        return Verdict::Done;
    }
    if !action.statement.spools() {
        running.counters.discarded().add(lines);
        let loss = "lines that were not published before the stop are discarded: a publisher's lines are \
                    not kept (see the counter)";
        action.tell_loss(running, loss);
        return Verdict::Done;
    }
    match action.keep(running, &rest, false) {
        Ok(()) => {
            carrier.let_go();
            running.spool_takes_all();
            Verdict::Done
        }
        Err(why) => {
            let loss = format!(
                "{lines} lines and more are unsent and cannot be kept for the next start: {why}. They \
                 are given back to rsyslog, which may lose them at this stop, or send them twice"
            );
            action.tell_loss(running, &loss);
            // Some releases ask again at once, and as often as they can.
            thread::sleep(SLICE);
            // What is in flight stays so: its acknowledgement may come before rsyslogd ends. Nothing new goes
            // past lines that are in the spool.
            if !running.is_behind_spool() && !running.is_spooling() {
                if let Ok(Advance::Done) = carrier.advance(context, batch) {
                    return Verdict::Done;
                }
            }
            Verdict::Suspended
        }
    }
}

/// rsyslogd's main thread commits itself (its own messages, with a main queue of type Direct). It must
/// not wait: it is the thread that a stop needs. The rest goes into the spool, and the keeper sends it.
fn keep_for_keeper(carrier: &mut dyn Carrier, context: Context<'_>, batch: Batch<'_>) -> Verdict {
    let Context { action, running } = context;
    if !action.statement.spools() {
        return keep_rest(carrier, context, batch);
    }
    match action.keep_and_send(running, &carrier.rest(batch)) {
        Ok(()) => {
            carrier.let_go();
            Verdict::Done
        }
        Err(why) => {
            action.tell(running, "spool", &format!("rsyslogd's main thread cannot wait: {why}"));
            Verdict::Suspended
        }
    }
}

/// Whether this is the thread that the process began with.
fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// A commit that makes no progress: since when, and what of it is counted and told.
struct Waiting<'a> {
    action: &'a Action,
    running: &'a Running,
    since: Instant,
    counted: u64,
    told: bool,
}

impl<'a> Waiting<'a> {
    fn begin(context: Context<'a>) -> Self {
        let Context { action, running } = context;
        running.counters.waiting().add(1);
        Self { action, running, since: Instant::now(), counted: 0, told: false }
    }

    fn is_over(&self, patience: Patience) -> bool {
        match patience {
            Patience::Wait => false,
            Patience::GiveUp { after, .. } => self.since.elapsed() >= after,
        }
    }

    /// Counts the time that went by, by its reason, and tells when it is worth telling.
    fn note(
        &mut self,
        carrier: &dyn Carrier,
        context: Context<'_>,
        lines: usize,
        patience: Patience,
    ) {
        let Self { action, running, .. } = self;
        let elapsed = self.since.elapsed();
        let milliseconds = elapsed.as_millis() as u64;
        let passed = milliseconds - self.counted;
        self.counted = milliseconds;
        let counters = &running.counters;
        counters.wait_ms().add(passed);
        let stuck = (!running.is_behind_spool()).then(|| carrier.why_stuck(context));
        match stuck {
            None => counters.wait_spool_ms().add(passed),
            Some(Stuck::Absent) => counters.wait_absent_ms().add(passed),
            Some(Stuck::Refused) => counters.wait_refused_ms().add(passed),
            Some(Stuck::Unanswered) => counters.wait_unanswered_ms().add(passed),
            Some(Stuck::Busy) => counters.wait_busy_ms().add(passed),
        }
        if elapsed >= WORTH_TELLING {
            let endpoints = &action.statement.endpoints_text;
            let why = stuck.map_or_else(
                || "the lines of a former run go first".to_string(),
                |stuck| stuck.sentence(endpoints),
            );
            let then = match patience {
                Patience::Wait => "nothing is lost".to_string(),
                Patience::GiveUp { after, .. } => {
                    format!("until the action is suspended after {} s", after.as_secs_f32())
                }
            };
            self.told |= action.tell(
                running,
                "wait",
                &format!(
                    "waiting for {} s: {why}. {lines} lines of this batch wait, {then}",
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
