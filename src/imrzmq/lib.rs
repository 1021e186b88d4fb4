//! imrzmq: the input module. Glue of host (rsyslog) and link (ZeroMQ).
//!
//! The walk of a line: libzmq's thread decrypts a message; the input's listener (listener.rs) has the
//! intake (intake.rs) take it from the socket, give it the sender's address, and submit it with its
//! neighbours to the queue of the input's ruleset. statement.rs is what the configuration says.
//!
//! Threads: rsyslog's input thread, which waits for the stop; a listener an input;
//! the link's authenticator, monitor, watcher of keys (rzmq-keys) and teller (rzmq-log); libzmq's own.
//! Locks: none on the way of a line but the queue's.

mod acked;
mod counters;
mod free_space;
mod gaps;
mod hostcheck;
mod hostname;
mod intake;
mod listener;
mod marks;
mod params;
mod peer_rate;
mod statement;

use listener::Listener;
use rustix::event::{Timespec, poll};
use rzmq_host::{Error, InputModule, LoadError, Log, Module, Param, Rsyslogd, Values};
use rzmq_link::{Context, spawn_without_signals};
use rzmq_module::{Credentials, Hup};
use statement::Statement;
use std::ffi::CStr;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long rsyslog's input thread sleeps; the signal of a stop ends it early.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A listener's end that takes longer is told of: a Direct queue waits for its actions.
const PATIENCE: Duration = Duration::from_secs(2);

static HUP: Hup = Hup::new();

/// What `module(load="imrzmq")` says, and its inputs.
#[derive(Default)]
struct Imrzmq {
    credentials: Credentials,
    io_threads: i32,
    statements: Vec<Statement>,
    listeners: Vec<Listener>,
}

impl Drop for Imrzmq {
    fn drop(&mut self) {
        HUP.end();
    }
}

rzmq_host::input_module!(Imrzmq);

impl Module for Imrzmq {
    const NAME: &'static CStr = c"imrzmq";
    const MODULE_PARAMS: &'static [Param] = &rzmq_module::MODULE;

    fn requirement() -> Result<(), LoadError> {
        rzmq_module::requirement()
    }

    fn configure(_rsyslogd: &Arc<Rsyslogd>, values: &Values) -> Result<Self, Error> {
        let credentials = Credentials::read(values);
        if !credentials.is_empty() {
            credentials.security().map_err(Error::new)?;
        }
        let io_threads = values.int("iothreads").unwrap_or(1);
        Ok(Self { credentials, io_threads, statements: Vec::new(), listeners: Vec::new() })
    }

    fn hup() {
        HUP.came();
    }
}

impl InputModule for Imrzmq {
    const INPUT_PARAMS: &'static [Param] = Statement::PARAMS;

    fn add_input(&mut self, rsyslogd: &Arc<Rsyslogd>, values: &Values) -> Result<(), Error> {
        self.statements.push(Statement::read(rsyslogd, &self.credentials, values)?);
        Ok(())
    }

    fn check(&mut self, rsyslogd: &Arc<Rsyslogd>) {
        for statement in &mut self.statements {
            statement.find_names(rsyslogd);
        }
    }

    fn activate(&mut self, rsyslogd: &Arc<Rsyslogd>) -> Result<(), Error> {
        if self.statements.is_empty() {
            return Ok(());
        }
        let context = Arc::new(Context::new(self.io_threads).map_err(Error::new)?);
        HUP.lead_to(&context);
        for statement in self.statements.drain(..) {
            self.listeners.push(Listener::new(rsyslogd, &context, statement));
        }
        if rsyslogd.requires_all_inputs() && !self.listeners.iter().all(Listener::is_open) {
            return Err(Error::new(
                "an input is not open (see above), and global(inputStartupPolicy=\"require-all\") \
                 asks for all of them",
            ));
        }
        Ok(())
    }

    fn run(mut self, rsyslogd: &Arc<Rsyslogd>) {
        let mut running = Vec::new();
        for listener in std::mem::take(&mut self.listeners) {
            let log = listener.log();
            let started = UnixStream::pair().and_then(|(waker, wake)| {
                let thread = spawn_without_signals("imrzmq listener", move || listener.run(wake))?;
                Ok((log, waker, thread))
            });
            match started {
                Ok(started) => running.push(started),
                Err(why) => Log::module("imrzmq").error(format!("an input cannot start: {why}")),
            }
        }
        while !rsyslogd.is_stopping() {
            // EINTR is the signal of the stop; a time-out covers one that came just before.
            let _ = poll(&mut [], Some(&LOOK));
        }
        for (_, waker, _) in &running {
            // That fails where the listener has ended already.
            let _ = waker.shutdown(Shutdown::Write);
        }
        for (log, waker, thread) in running {
            if !has_ended(&waker) {
                log.warning(
                    "rsyslogd cannot end yet: lines that were handed over are not taken. Does an action behind \
                     a Direct queue wait?",
                );
            }
            // A panic in it was logged where it happened.
            let _ = thread.join();
        }
    }
}

/// Whether the listener is done with its lines within [`PATIENCE`]: it then lets go of the other end of its waker's
/// stream.
fn has_ended(mut waker: &UnixStream) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || waker.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match waker.read(&mut [0]) {
            // by the signal of the stop
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            answer => return answer.is_ok(),
        }
    }
}
