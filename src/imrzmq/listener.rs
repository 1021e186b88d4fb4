//! One input while rsyslogd runs: a thread that drains the socket and submits lines in batches.
//!
//! It owns its socket, its submitter and its counters; nothing is shared with other inputs, so one
//! whose ruleset's queue is full holds up no other. It sleeps until a message comes or the module
//! wakes it for the stop.

use crate::acked::{self, Acked};
use crate::counters::InputCounters;
use crate::free_space::FreeSpace;
use crate::gaps::StreamGaps;
use crate::hostcheck::{HostCheck, Sender};
use crate::marks::Marks;
use crate::peer_rate::PeerRates;
use crate::statement::Statement;
use rzmq_delivery::{FRAME_MIN, ReceiverLimits};
use rzmq_host::{LineContext, Log, Property, RateLimitError, Rsyslogd, SubmitError, Submitter};
use rzmq_link::{Context, HeldBack, LinkError, Notices, Received, Socket, Throttle, few_files};
use rzmq_module::InstanceNotices;
use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::Display;
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

    /// Whether the socket is open.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    fn open(&self) -> Result<Socket, LinkError> {
        self.context.open(&self.statement.spec, Arc::clone(&self.notices))
    }

    /// Works until the stop; `wake` becomes readable then.
    pub(crate) fn run(mut self, wake: &UnixStream) {
        let Some(socket) = self.socket.take().or_else(|| self.open_at_last(wake)) else {
            return;
        };
        let submitter = Submitter::new(
            &self.rsyslogd,
            "imrzmq",
            &self.statement.spec.name,
            self.statement.ruleset,
            self.statement.flow,
            self.statement.limit.as_ref(),
            self.statement.parses_early,
        );
        let unknown = Property::new(&self.rsyslogd, UNKNOWN);
        let unknown = unknown.ok_or(RateLimitError::Memory);
        let (submitter, unknown) = match submitter.and_then(|it| unknown.map(|no| (it, no))) {
            Ok(both) => both,
            Err(why) => return self.log.error(format!("{why}; this input does not work")),
        };
        let expected = self.statement.parses_early && self.statement.limit.is_none();
        if expected && !submitter.parses_early() {
            self.log.info(
                "lines are left to rsyslog's parsers: the ruleset names parsers of its own, or this rsyslogd \
                 parses in another way than the one that is known",
            );
        }
        let addresses = Addresses { known: HashMap::new(), unknown };
        let acked = self.acked();
        let mut intake = Intake {
            listener: &self,
            submitter,
            acked,
            host_check: self.host_check(),
            rates: self.statement.peer_limit.map(PeerRates::new),
            addresses,
            told_unknown: false,
            failed: 0,
            throttle: Throttle::of_peers(),
            gaps: StreamGaps::default(),
        };
        intake.run(socket, wake);
        if let Some(gap) = intake.gaps.rest(Instant::now()) {
            self.log.error(gap);
        }
        if let Some(acked) = &intake.acked {
            acked.end();
        }
    }

    fn host_check(&self) -> Option<HostCheck> {
        let enforces = self.statement.enforces_host;
        enforces.then(|| HostCheck::new(&self.rsyslogd, self.log.clone()))
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

/// The senders' addresses as rsyslog's properties, one each.
struct Addresses {
    known: HashMap<String, Property>,
    unknown: Property,
}

impl Addresses {
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

/// The way of the lines.
struct Intake<'a> {
    listener: &'a Listener,
    submitter: Submitter,
    acked: Option<Acked>,
    host_check: Option<HostCheck>,
    rates: Option<PeerRates>,
    addresses: Addresses,
    /// Said once: whoever has such senders has them all day.
    told_unknown: bool,
    /// Lines of this drain that the queue answered with an error.
    failed: u64,
    throttle: Throttle,
    gaps: StreamGaps,
}

impl Intake<'_> {
    fn run(&mut self, mut socket: Socket, wake: &UnixStream) {
        let mut received = Received::new();
        while !self.submitter.is_stopping() {
            self.drain(&socket, &mut received, ROUND);
            if let Some(gap) = self.gaps.due(Instant::now()) {
                self.listener.log.error(gap);
            }
            match self.with_new_keys(socket, wake) {
                Some(same_or_new) => socket = same_or_new,
                None => return,
            }
            match socket.wait_readable(wake, WAIT) {
                Ok(ready) if ready.woken => break,
                Ok(_) => {}
                Err(why) => {
                    self.tell(SOCKET, &why);
                    std::thread::sleep(RETRY.0);
                }
            }
        }
        let last_call = Instant::now();
        while last_call.elapsed() < LAST_CALL && self.drain(&socket, &mut received, 128) {}
    }

    /// Takes over keys that have changed: what is bound is bound anew for them, and whoever is called is
    /// called anew. What has to be opened anew is closed first, for it may hold an address that the next one
    /// wants. None: the stop came meanwhile.
    fn with_new_keys(&mut self, mut socket: Socket, wake: &UnixStream) -> Option<Socket> {
        let log = &self.listener.log;
        socket.call_again();
        if !socket.is_bound_with_old_keys() {
            return Some(socket);
        }
        match socket.rebind() {
            Ok(()) => {
                log.info("bound anew with the new key; its peers come back by themselves");
                return Some(socket);
            }
            Err(why @ LinkError::NoRightToRebind(_)) => {
                log.error(why.to_string());
                return Some(socket);
            }
            Err(why) => log.error(format!("{why}; the socket is opened anew")),
        }
        drop(socket);
        self.listener.open().ok().or_else(|| self.listener.open_at_last(wake))
    }

    /// Takes what is there, up to `most` messages, and submits it. Answers whether there may be more.
    fn drain(&mut self, socket: &Socket, received: &mut Received, most: usize) -> bool {
        let (mut lines, mut frames) = (0, 0);
        let mut bytes = 0;
        let mut submitted = 0;
        let more = loop {
            if lines + frames * FRAME_WEIGHT >= most {
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
        let listener = self.listener;
        let counters = &listener.counters;
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
        let address = received.peer_address();
        let key = received.key();
        let members: [Option<(&'static CStr, &str)>; 3] = [
            received.sender_name().map(|name| (c"peer", name)),
            key.map(|key| (c"key", key)),
            address.map(|address| (c"address", address)),
        ];
        let members: Vec<_> = members.into_iter().flatten().collect();
        let intake = acked::Intake {
            socket,
            submitter: &mut self.submitter,
            from: self.addresses.of(&self.listener.rsyslogd, address),
            metadata: self.listener.statement.metadata.then_some(members.as_slice()),
            trusts_relays: self.listener.statement.trusts_relays,
            host_check: self.host_check.as_mut().map(|it| (it, Sender::of(received))),
            rate: self.rates.as_mut().map(|rates| acked::Rate {
                rates,
                sender: PeerRates::sender(received),
                name: PeerRates::name(received),
            }),
        };
        acked.take(received, intake);
        true
    }

    /// Takes one message; answers whether its line is on its way to the queue.
    fn take(&mut self, received: &Received) -> bool {
        let listener = self.listener;
        let counters = &listener.counters;
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
                    listener.log.error(format!(
                        "{name} sends more lines than ratelimit.perpeer lets through{more}"
                    ));
                }
                return false;
            }
            rates.take(sender, 1, now);
        }
        let address = received.peer_address();
        if address.is_none() && !std::mem::replace(&mut self.told_unknown, true) {
            listener.log.warning(format!(
                "libzmq does not tell the address of a peer: it speaks ZMTP 1 or 2 (libzmq before 4.0), or \
                 came by multicast or tipc; its lines have \"{UNKNOWN}\" as fromhost-ip"
            ));
        }
        if let Some(check) = &mut self.host_check {
            if !check.passes(line, Sender::of(received)) {
                counters.discarded_host().add(1);
                return false;
            }
        }
        let from = self.addresses.of(&self.listener.rsyslogd, address);
        let added = if self.listener.statement.metadata {
            let key = received.key();
            let topic = received.topic().map(String::from_utf8_lossy);
            let members: [Option<(&'static CStr, &str)>; 4] = [
                received.sender_name().map(|name| (c"peer", name)),
                key.map(|key| (c"key", key)),
                address.map(|address| (c"address", address)),
                topic.as_deref().map(|topic| (c"topic", topic)),
            ];
            let members: Vec<_> = members.into_iter().flatten().collect();
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
        self.listener.counters.failed().add(why.lines as u64);
        self.failed += why.lines as u64;
        self.tell(QUEUE, &why);
    }

    fn tell(&mut self, kind: &'static str, trouble: &dyn Display) {
        if let Some(more) = self.throttle.admit(kind, "", Instant::now()).map(HeldBack) {
            self.listener.log.error(format!("{trouble}{more}"));
        }
    }
}
