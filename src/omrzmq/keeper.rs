//! The keeper of an action: a thread that binds what could not be bound at the start, then sends
//! what a former run left in the spool. Most starts need none. New lines wait until it is done, so
//! that order holds.
//!
//! It ends when it is done or when a stop's grace is over; what it did not send stays in the spool.

use crate::action::{Action, Running};
use rzmq_link::{LinkError, Sent, Socket, spawn_without_signals};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the keeper is deaf to a stop.
const SLICE: Duration = Duration::from_millis(20);

/// Between two attempts to bind.
const BIND_AGAIN: Duration = Duration::from_millis(250);
/// A wait that is longer is told in the log.
const WORTH_TELLING: Duration = Duration::from_secs(2);
/// Lines sent before the keeper looks for a stop, and lets others have the binding socket.
const LINES: usize = 128;

/// Starts the thread; it blocks all signals, as threads in rsyslogd must.
pub(crate) fn start(action: Arc<Action>) -> io::Result<JoinHandle<()>> {
    spawn_without_signals("omrzmq keeper", move || {
        let Some(running) = action.running() else {
            return;
        };
        let mut full_since = Instant::now();
        while !action.stop.grace_is_over() {
            match step(&action, running) {
                Step::Done => return,
                Step::Sent => full_since = Instant::now(),
                Step::Waited if full_since.elapsed() >= WORTH_TELLING => {
                    tell_waiting(&action, running, full_since);
                }
                Step::Waited => {}
            }
        }
    })
}

/// What a short step came to.
enum Step {
    Done,
    Sent,
    Waited,
}

fn step(action: &Action, running: &Running) -> Step {
    if action.statement.binds() {
        if !action.bind(running) {
            thread::sleep(BIND_AGAIN);
            return Step::Waited;
        }
        if !running.is_behind_spool() {
            return Step::Done;
        }
        let binding = running.binding();
        return binding.as_ref().map_or(Step::Waited, |socket| send_some(action, running, socket));
    }
    let Some(socket) = action.connect(running) else {
        thread::sleep(BIND_AGAIN);
        return Step::Waited;
    };
    let step = send_some(action, running, &socket);
    running.leave(socket);
    step
}

/// Sends lines of the spool until the socket is full, or for a while.
fn send_some(action: &Action, running: &Running, socket: &Socket) -> Step {
    for _ in 0..LINES {
        match send_first(action, running, socket) {
            Ok(Some(Sent::Taken)) => {}
            Ok(Some(Sent::Full)) => {
                // Interrupted or not: the next step looks again.
                let _ = socket.wait_writable(SLICE);
                return Step::Waited;
            }
            Ok(None) => {
                running.spool_is_settled();
                action.log.info("all lines of the former run are sent");
                return Step::Done;
            }
            Err(why) => {
                action.tell(running, &format!("{why}; the lines stay in the spool"));
                thread::sleep(SLICE);
                return Step::Waited;
            }
        }
    }
    Step::Sent
}

fn tell_waiting(action: &Action, running: &Running, since: Instant) {
    action.tell(
        running,
        &format!(
            "{} lines of a former run wait in the spool for {} s: {}. Nothing is lost",
            running.counters.in_spool().get(),
            since.elapsed().as_secs(),
            action.why_waiting(running)
        ),
    );
}

#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
}

/// Sends the spool's first line; `None` when there is none.
fn send_first(
    action: &Action,
    running: &Running,
    socket: &Socket,
) -> Result<Option<Sent>, KeeperError> {
    let mut spool = running.spool();
    let Some(spool) = spool.as_mut() else {
        return Ok(None);
    };
    let Some((texts, behind)) = spool.first()? else {
        spool.settle()?;
        return Ok(None);
    };
    let text = |index: usize| texts.get(index).map_or(&[][..], Vec::as_slice);
    let line = text(0);
    let sent = action.statement.outlet.send(socket, line, |topic| text(topic + 1), &mut 0)?;
    if sent == Sent::Taken {
        let held = match action.statement.spec.options.snd_hwm {
            0 => usize::MAX,
            messages => usize::try_from(messages).unwrap_or(usize::MAX),
        };
        spool.sent(behind, held)?;
        running.counters.sent().add(1);
        running.counters.bytes().add(line.len() as u64);
        running.counters.resumed().add(1);
        running.counters.in_spool().set(spool.lines());
    }
    Ok(Some(sent))
}
