//! One input while rsyslogd runs: a thread that opens the socket, has the intake (intake.rs) drain it, and
//! sleeps until a message comes or the module wakes it for the stop.
//!
//! It owns its socket, its submitter and its counters; nothing is shared with other inputs, so one
//! whose ruleset's queue is full holds up no other.

use crate::acked::Acked;
use crate::counters::InputCounters;
use crate::free_space::FreeSpace;
use crate::intake::{Addresses, Intake};
use crate::marks::Marks;
use crate::statement::Statement;
use rzmq_delivery::{FRAME_MIN, ReceiverLimits};
use rzmq_host::{Log, RateLimitError, Rsyslogd, Submitter};
use rzmq_link::{Context, LinkError, Notices, Received, Socket, few_files};
use rzmq_module::InstanceNotices;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The wait for a message, and between two looks whether keys have changed. The stop ends it early.
const WAIT: Duration = Duration::from_secs(1);
/// The wait before a listener that could not bind tries again; it doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Between two lines in the log about a socket that cannot be opened.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// At a stop, what has arrived already is still taken for this long.
const LAST_CALL: Duration = Duration::from_millis(100);
/// Messages taken before the counters are brought up to date.
const ROUND: usize = 8192;

/// An input with what it needs to work.
pub(crate) struct Listener {
    statement: Statement,
    log: Log,
    counters: Arc<InputCounters>,
    context: Arc<Context>,
    notices: Arc<dyn Notices>,
    rsyslogd: Arc<Rsyslogd>,
    socket: Option<Socket>,
}

impl Listener {
    /// Registers the counters and opens the socket, while rsyslogd still has its privileges. A
    /// failure is logged; the thread tries again, unless all inputs are required.
    pub(crate) fn new(
        rsyslogd: &Arc<Rsyslogd>,
        context: &Arc<Context>,
        statement: Statement,
    ) -> Self {
        let log = statement.log();
        let counters = Arc::new(InputCounters::new(rsyslogd, "imrzmq", &statement.spec.name));
        let mut listener = Self {
            notices: Arc::new(InstanceNotices::new(log.clone(), Arc::clone(&counters))),
            counters,
            log,
            statement,
            context: Arc::clone(context),
            rsyslogd: Arc::clone(rsyslogd),
            socket: None,
        };
        if let Some(few) = few_files(&listener.statement.spec.endpoints) {
            listener.log.warning(few.to_string());
        }
        match listener.open() {
            Ok(socket) => listener.socket = Some(socket),
            Err(why) => listener.log.error(format!("{why}; it is tried again")),
        }
        listener
    }

    /// For who waits for its end.
    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Whether the socket is open.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    fn open(&self) -> Result<Socket, LinkError> {
        self.context.open(&self.statement.spec, Arc::clone(&self.notices))
    }

    /// Works until the stop; `wake` becomes readable then.
    pub(crate) fn run(mut self, wake: UnixStream) {
        let Some(socket) = self.socket.take().or_else(|| self.open_at_last(&wake)) else {
            return;
        };
        let addresses = Addresses::new(&self.rsyslogd);
        let parts = self.submitter().and_then(|submitter| Ok((submitter, addresses?)));
        let (submitter, addresses) = match parts {
            Ok(parts) => parts,
            Err(why) => return self.log.error(format!("{why}; this input does not work")),
        };
        let mut intake = Intake::new(
            &self.rsyslogd,
            &self.statement,
            (&self.log, &self.counters),
            (submitter, addresses),
            self.acked(),
        );
        self.serve(&mut intake, socket, &wake);
        intake.end();
        // no line is on its way any more; to let go of libzmq may take longer
        drop(wake);
    }

    fn submitter(&self) -> Result<Submitter, RateLimitError> {
        let submitter = Submitter::new(
            &self.rsyslogd,
            "imrzmq",
            &self.statement.spec.name,
            self.statement.ruleset,
            self.statement.flow,
            self.statement.limit.as_ref(),
            self.statement.parses_early,
        )?;
        let expected = self.statement.parses_early && self.statement.limit.is_none();
        if expected && !submitter.parses_early() {
            self.log.info(
                "lines are left to rsyslog's parsers: the ruleset names parsers of its own, or this rsyslogd \
                 parses in another way than the one that is known",
            );
        }
        Ok(submitter)
    }

    fn serve(&self, intake: &mut Intake<'_>, mut socket: Socket, wake: &UnixStream) {
        let mut received = Received::new();
        while !intake.is_stopping() {
            intake.drain(&socket, &mut received, ROUND);
            intake.tell_of_gaps();
            if let Some(pause) = intake.pause() {
                if wake.set_read_timeout(Some(pause)).is_err() || !is_quiet(wake) {
                    break;
                }
            }
            match self.with_new_keys(socket, wake) {
                Some(same_or_new) => socket = same_or_new,
                None => return,
            }
            match socket.wait_readable(wake, WAIT) {
                Ok(ready) if ready.woken => break,
                Ok(_) => {}
                Err(why) => {
                    intake.socket_failed(&why);
                    std::thread::sleep(RETRY.0);
                }
            }
        }
        let last_call = Instant::now();
        while intake.pause().is_none()
            && last_call.elapsed() < LAST_CALL
            && intake.drain(&socket, &mut received, 128)
        {}
    }

    /// The acknowledged side of a ROUTER, with what it knows of a former run.
    fn acked(&self) -> Option<Acked> {
        const AT_STAKE: &str =
            "after a restart, acknowledged lines that were in doubt may arrive twice";
        let file = self.statement.marks_file()?;
        let frame = u32::try_from(self.statement.spec.options.maxmsgsize).unwrap_or(u32::MAX);
        if frame < FRAME_MIN {
            self.log.error(format!(
                "maxmsgsize is below {FRAME_MIN} bytes: no acknowledged sender can be served here"
            ));
        }
        let (sessions, sessions_of_key) = self.statement.sessions;
        let mut limits = ReceiverLimits { sessions, sessions_of_key, ..ReceiverLimits::default() };
        limits.frames.frame = limits.frames.frame.min(frame);
        let marks = match self.rsyslogd.work_directory() {
            None => {
                self.log.error(format!(
                    "no file of marks: global(workDirectory=…) is not set; {AT_STAKE}"
                ));
                None
            }
            Some(folder) => match Marks::open(&folder.join(file), &self.statement.digest()) {
                Ok((marks, found)) => {
                    if let Some(aside) = found.foreign {
                        self.log.error(format!(
                            "the file of marks was not this input's; it is kept as {}; {AT_STAKE}",
                            aside.display()
                        ));
                    }
                    if found.damaged > 0 {
                        self.log.error(format!(
                            "{} marks are damaged and not trusted; {AT_STAKE}",
                            found.damaged
                        ));
                    }
                    Some((marks, found.marks))
                }
                Err(why) => {
                    self.log.error(format!("no file of marks: {why}; {AT_STAKE}"));
                    None
                }
            },
        };
        let free_space = self.free_space();
        Some(Acked::new(self.log.clone(), Arc::clone(&self.counters), limits, marks, free_space))
    }

    fn free_space(&self) -> Option<FreeSpace> {
        let (least, folder) = self.statement.least_free.as_ref()?;
        let Some(folder) = folder.clone().or_else(|| self.rsyslogd.work_directory()) else {
            self.log.error(
                "minfree is not looked at: neither minfree.path nor global(workDirectory=…) is set",
            );
            return None;
        };
        match FreeSpace::new(&folder, *least) {
            Ok(space) => Some(space),
            Err(why) => {
                self.log.error(format!("minfree is not looked at: {why}"));
                None
            }
        }
    }

    /// Takes over keys that have changed: what is bound is bound anew for them, and whoever is called is
    /// called anew. What has to be opened anew is closed first, for it may hold an address that the next one
    /// wants. None: the stop came meanwhile.
    fn with_new_keys(&self, mut socket: Socket, wake: &UnixStream) -> Option<Socket> {
        socket.call_again();
        if !socket.is_bound_with_old_keys() {
            return Some(socket);
        }
        match socket.rebind() {
            Ok(()) => {
                self.log.info("bound anew with the new key; its peers come back by themselves");
                return Some(socket);
            }
            Err(why @ LinkError::NoRightToRebind(_)) => {
                self.log.error(why.to_string());
                return Some(socket);
            }
            Err(why) => self.log.error(format!("{why}; the socket is opened anew")),
        }
        drop(socket);
        self.open().ok().or_else(|| self.open_at_last(wake))
    }

    /// Tries again until the socket is open or the stop comes.
    fn open_at_last(&self, wake: &UnixStream) -> Option<Socket> {
        let (mut pause, longest) = RETRY;
        let mut told = Instant::now();
        // A read that times out is the pause; anything else is the stop.
        loop {
            if wake.set_read_timeout(Some(pause)).is_err() || !is_quiet(wake) {
                return None;
            }
            match self.open() {
                Ok(socket) => {
                    self.log.info("the socket is open now");
                    return Some(socket);
                }
                Err(why) if told.elapsed() >= TELL_AGAIN => {
                    told = Instant::now();
                    self.log.error(format!("{why}; it is tried again"));
                }
                Err(_) => {}
            }
            pause = (pause * 2).min(longest);
        }
    }
}

/// Waits for the stop as long as the stream's time-out says; answers whether it did not come.
fn is_quiet(mut wake: &UnixStream) -> bool {
    let arrived = wake.read(&mut [0]);
    matches!(
        arrived.map_err(|why| why.kind()),
        Err(ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
    )
}
