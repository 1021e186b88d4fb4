//! The keeper of an action: a thread that binds what could not be bound at the start, then sends
//! what a former run left in the spool. Most starts need none. New lines wait until it is done, so
//! that order holds. A binding action keeps it with CURVE, to bind anew when its key is replaced, and where
//! it also connects, to call again what libzmq has given up.
//!
//! It ends when it is done, or when a stop's grace is over; what it did not send stays in the spool.

use crate::action::Action;
use crate::carrier::{Carrier, Context, SpoolStep};
use crate::spool::Spool;
use rzmq_link::spawn_without_signals;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two attempts to bind, and after a step that failed.
const AGAIN: Duration = Duration::from_millis(250);
/// A wait that is longer is told in the log.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// Starts the thread; it blocks all signals, as threads in rsyslogd must.
pub(crate) fn start(action: Arc<Action>) -> io::Result<JoinHandle<()>> {
    spawn_without_signals("omrzmq keeper", move || {
        let Some(running) = action.running() else { return };
        loop {
            let bound = !action.statement.binds() || action.bind(running);
            if bound && running.is_behind_spool() {
                send_spool(Context { action: &action, running });
            }
            let is_done = bound && !action.statement.has_to_be_kept();
            let stops = action.stop.has_begun() && (bound || action.stop.grace_is_over());
            if stops || is_done && action.keeper_is_done(running) {
                return;
            }
            thread::sleep(AGAIN);
        }
    })
}

fn send_spool(context: Context<'_>) {
    let Context { action, running } = context;
    let mut carrier = action.carrier(running);
    let (mut moved, mut looked) = (Instant::now(), Instant::now());
    while !action.stop.grace_is_over() {
        // the peer that the spool waits for may be one that libzmq calls no more, or wants another key
        if action.statement.binds() && looked.elapsed() >= AGAIN {
            action.bind(running);
            looked = Instant::now();
        }
        match carrier.advance_spool(context) {
            Ok(SpoolStep::Done) if running.spool_is_settled() => {
                running.leave(carrier);
                tell_owed(context);
                // Not of this run's: with a main queue of type Direct this line is one more for it.
                if running.former_lines_are_sent() {
                    action.log.info("all lines of the former run are sent");
                }
                return;
            }
            Ok(step @ (SpoolStep::Done | SpoolStep::Moved)) => {
                if step == SpoolStep::Moved {
                    running.got_through();
                }
                moved = Instant::now();
            }
            Ok(SpoolStep::Waited) if moved.elapsed() >= WORTH_TELLING => {
                tell_waiting(&*carrier, context, moved);
            }
            Ok(SpoolStep::Waited) => {}
            Err(why) => {
                action.tell(running, "spool", &format!("{why}; the lines stay in the spool"));
                thread::sleep(AGAIN);
            }
        }
        tell_owed(context);
    }
    running.leave(carrier);
}

/// The file could not be told what is sent. Not told of under the spool's lock: a line in the log may wait for
/// room in a queue that a worker has to make.
fn tell_owed(context: Context<'_>) {
    let Context { action, running } = context;
    let owed = running.spool().as_mut().and_then(Spool::take_owed);
    if let Some(why) = owed {
        action.tell(
            running,
            "spool note",
            &format!(
                "{why}; unless the file can be written when rsyslogd ends, lines that are sent may be sent \
                 again by the next start, and lines that are unsent not be kept"
            ),
        );
    }
}

fn tell_waiting(carrier: &dyn Carrier, context: Context<'_>, since: Instant) {
    let Context { action, running } = context;
    action.tell(
        running,
        "wait",
        &format!(
            "{} lines that go first wait in the spool for {} s: {}. Nothing is lost",
            running.counters.in_spool().get(),
            since.elapsed().as_secs(),
            carrier.why_stuck(context).sentence(&action.statement.endpoints_text)
        ),
    );
}
