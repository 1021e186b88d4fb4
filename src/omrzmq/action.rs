//! One action while rsyslogd runs: its sockets, its spool, its counters.
//!
//! Threads: the workers of its queue, each in its own commit, and at most one keeper (keeper.rs).
//! Locks, each held for one step: the binding socket (some sends or a short wait), the spool (an
//! append, a read or a note of what is settled; taken after the socket where both are needed), the
//! spare carriers, the throttle of lines in the log, and the keeper's handle. A connecting worker
//! takes none of them on the way of a line.

use crate::acked::Acked;
use crate::besteffort::BestEffort;
use crate::carrier::{Carrier, Rest};
use crate::counters::ActionCounters;
use crate::keeper;
use crate::spool::{Finding, Spool};
use crate::statement::{Delivery, Statement};
use crate::stop::{Stop, StopClock};
use rzmq_host::{Log, Rsyslogd};
use rzmq_link::{Context, LinkError, Notices, Socket, SocketSpec, Throttle, few_files};
use rzmq_module::InstanceNotices;
use rzmq_module::statefile::StateFileError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// An action: what its statement says, and from activation on what it runs with.
pub(crate) struct Action {
    pub(crate) statement: Statement,
    pub(crate) log: Log,
    pub(crate) stop: Stop,
    rsyslogd: Arc<Rsyslogd>,
    running: OnceLock<Running>,
    keeper: Mutex<Keeper>,
    workers: AtomicUsize,
}

/// The keeper's thread.
#[derive(Default)]
struct Keeper {
    thread: Option<JoinHandle<()>>,
    /// It will look at the spool once more before it ends.
    at_work: bool,
}

/// What exists from activation on.
pub(crate) struct Running {
    pub(crate) counters: Arc<ActionCounters>,
    context: Arc<Context>,
    notices: Arc<dyn Notices>,
    binding: Mutex<Option<Socket>>,
    spare: Mutex<Vec<Box<dyn Carrier>>>,
    spool: Mutex<Option<Spool>>,
    /// Lines in the spool have to go first.
    behind_spool: AtomicBool,
    /// Lines of a former run were in it when this one began.
    has_former_lines: AtomicBool,
    /// Refusals of our key when they were last looked at.
    refusals: AtomicU64,
    /// There were some since a line last got through.
    key_refused: AtomicBool,
    throttle: Mutex<Throttle>,
    told_loss: AtomicBool,
    /// The stop has put lines into the spool: later ones follow them there, so that order holds.
    spooling: AtomicBool,
}

impl Action {
    pub(crate) fn new(
        rsyslogd: &Arc<Rsyslogd>,
        clock: &Arc<StopClock>,
        statement: Statement,
    ) -> Self {
        Self {
            log: Log::instance("omrzmq", statement.name()),
            stop: Stop::new(Arc::clone(clock), statement.spec.options.linger),
            statement,
            rsyslogd: Arc::clone(rsyslogd),
            running: OnceLock::new(),
            keeper: Mutex::default(),
            workers: AtomicUsize::new(0),
        }
    }

    /// Before privileges are dropped: counters, and the binding socket, which may want a low port.
    pub(crate) fn activate_privileged(&self, context: &Arc<Context>) {
        let name = self.statement.name();
        let running = self.running.get_or_init(|| {
            let counters = Arc::new(ActionCounters::new(&self.rsyslogd, "omrzmq", name));
            let notices = InstanceNotices::new(self.log.clone(), Arc::clone(&counters));
            Running {
                counters,
                context: Arc::clone(context),
                notices: Arc::new(notices),
                binding: Mutex::new(None),
                spare: Mutex::new(Vec::new()),
                spool: Mutex::new(None),
                behind_spool: AtomicBool::new(false),
                has_former_lines: AtomicBool::new(false),
                refusals: AtomicU64::new(0),
                key_refused: AtomicBool::new(false),
                throttle: Mutex::new(Throttle::of_peers()),
                told_loss: AtomicBool::new(false),
                spooling: AtomicBool::new(false),
            }
        });
        if self.statement.binds() {
            if let Some(few) = few_files(&self.statement.spec.endpoints) {
                self.log.warning(few.to_string());
            }
            self.bind(running);
        }
    }

    /// With the rights that remain: the spool, and the keeper if there is something to keep.
    pub(crate) fn activate(self: &Arc<Self>) {
        let Some(running) = self.running.get() else {
            return;
        };
        if self.statement.spools() {
            if let Err(why) = self.open_spool(running) {
                self.log.error(format!(
                    "no spool: {why}; so what a stop of rsyslogd finds unsent may be lost unless that is \
                     mended before, and lines that may be in it are not sent"
                ));
            }
        }
        let unbound = self.statement.binds() && lock(&running.binding).is_none();
        if unbound
            || self.statement.has_to_be_kept()
            || running.behind_spool.load(Ordering::Acquire)
        {
            self.start_keeper(running);
        }
    }

    fn start_keeper(self: &Arc<Self>, running: &Running) {
        let mut keeper = lock(&self.keeper);
        if keeper.at_work && keeper.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        // One that is done has only to return; nobody's code may run when rsyslogd unloads the module.
        let _ = keeper.thread.take().map(JoinHandle::join);
        let started = keeper::start(Arc::clone(self))
            .map(|thread| *keeper = Keeper { thread: Some(thread), at_work: true });
        drop(keeper);
        if let Err(why) = started {
            let trouble = format!(
                "no thread for the spool: {why}; its lines wait for the next start, and so do those of \
                 this run"
            );
            self.tell(running, "keeper", &trouble);
        }
    }

    /// Puts lines into the spool although this is no stop: they go first, from now on.
    pub(crate) fn keep_and_send(
        self: &Arc<Self>,
        running: &Running,
        rest: &Rest,
    ) -> Result<(), Unkept> {
        let kept = self.keep(running, rest, true);
        if running.is_behind_spool() {
            self.start_keeper(running);
        }
        kept
    }

    /// The keeper is done, unless lines came into the spool since it looked. Once this answers `true`
    /// whoever puts lines there starts another one.
    pub(crate) fn keeper_is_done(&self, running: &Running) -> bool {
        let mut keeper = lock(&self.keeper);
        keeper.at_work = running.is_behind_spool() && !self.stop.has_begun();
        !keeper.at_work
    }

    /// `None` only before activation, when there is nothing to send yet.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// Binds, binds anew when the key has been replaced, and calls again what has to be: answers whether
    /// the socket is there now.
    pub(crate) fn bind(&self, running: &Running) -> bool {
        let mut binding = lock(&running.binding);
        if let Some(socket) = binding.as_ref() {
            socket.call_again();
        }
        let old = binding.as_mut().filter(|socket| socket.is_bound_with_old_keys());
        let renewed = old.map(Socket::rebind);
        if matches!(&renewed, Some(Err(why)) if !matches!(why, LinkError::NoRightToRebind(_))) {
            *binding = None;
        }
        let mut opened = Ok(());
        if binding.is_none() {
            opened = self.open(running, &self.statement.spec).map(|socket| *binding = Some(socket));
        }
        let is_bound = binding.is_some();
        // a line in the log may wait for room in a queue that a worker has to make
        drop(binding);
        if let Err(why) = opened {
            self.tell_unopened(running, &why);
        }
        match renewed {
            None => {}
            Some(Ok(())) => {
                self.log.info("bound anew with the new key; its peers come back by themselves");
            }
            Some(Err(why)) => self.log.error(why.to_string()),
        }
        is_bound
    }

    fn open(&self, running: &Running, spec: &SocketSpec) -> Result<Socket, LinkError> {
        running.context.open(spec, Arc::clone(&running.notices))
    }

    /// A socket, or a line in the log.
    pub(crate) fn open_or_tell(&self, running: &Running, spec: &SocketSpec) -> Option<Socket> {
        self.open(running, spec).map_err(|why| self.tell_unopened(running, &why)).ok()
    }

    fn tell_unopened(&self, running: &Running, why: &LinkError) {
        self.tell(running, "socket", &format!("{why}; it is tried again"));
    }

    /// A number for each worker: with `target.order="balance"` they begin with another endpoint each.
    pub(crate) fn next_worker(&self) -> usize {
        self.workers.fetch_add(1, Ordering::Relaxed)
    }

    /// A carrier for one thread: one that a former worker left, or a new one.
    pub(crate) fn carrier(&self, running: &Running) -> Box<dyn Carrier> {
        if let Some(carrier) = lock(&running.spare).pop() {
            return carrier;
        }
        match self.statement.delivery {
            Delivery::BestEffort => Box::new(BestEffort::new()),
            Delivery::Acked(options) => Box::new(Acked::new(self, options)),
        }
    }

    /// Writes a trouble to the log, at most once a minute for each kind: most are states that are looked at again and
    /// again, so that how often says nothing. Answers whether it did.
    pub(crate) fn tell(&self, running: &Running, kind: &'static str, trouble: &str) -> bool {
        // not under the lock: a line in the log may wait
        let is_due = lock(&running.throttle).admit(kind, "", Instant::now()).is_some();
        if is_due {
            self.log.error(trouble);
        }
        is_due
    }

    /// The workers are gone: ends the keeper and closes the spool. Once is enough.
    pub(crate) fn release(&self) {
        // Not under the lock: the keeper takes it at its end.
        let keeper = lock(&self.keeper).thread.take();
        // A panic in it was logged where it happened.
        let _ = keeper.map(JoinHandle::join);
        let Some(running) = self.running.get() else { return };
        let Some(mut spool) = lock(&running.spool).take() else { return };
        let (lines, path) = (spool.lines(), spool.path().display().to_string());
        match spool.put_back(&self.statement.digest()) {
            Ok(findings) => self.tell_findings(spool.path(), findings),
            Err(why) => {
                self.log.error(format!(
                    "up to {lines} lines are lost: {path} was removed while rsyslogd ran, and {why}"
                ));
                return;
            }
        }
        if lines > 0 {
            self.log.info(format!("{lines} lines stay in {path}; the next start sends them first"));
        }
        if let Err(why) = spool.close() {
            self.log
                .error(format!(
                "{why}; the next start may send again lines of it that are sent, and after a loss of power miss \
                 unsent ones"
            ));
        }
    }

    /// Writes what a stop loses to the log, once: the engine may ask thousands of times.
    pub(crate) fn tell_loss(&self, running: &Running, loss: &str) {
        if !running.told_loss.swap(true, Ordering::Relaxed) {
            self.log.error(loss);
        }
    }

    fn spool_path(&self) -> Option<PathBuf> {
        self.rsyslogd.work_directory().map(|folder| folder.join(self.statement.spool_file()))
    }

    /// Opens the spool, if there is none or somebody has removed its file: at the start, and when there is something
    /// to put into it.
    fn open_spool(&self, running: &Running) -> Result<(), Unkept> {
        let mut slot = running.spool();
        if slot.as_ref().is_some_and(|spool| !spool.is_gone()) {
            return Ok(());
        }
        let path = self.spool_path().ok_or(Unkept::NoWorkDirectory)?;
        let (spool, findings) = Spool::open(&path, &self.statement.digest())?;
        let lines = spool.lines();
        running.counters.in_spool().set(lines);
        running.behind_spool.store(lines > 0, Ordering::Release);
        running.has_former_lines.store(lines > 0, Ordering::Relaxed);
        *slot = Some(spool);
        // a line in the log may wait
        drop(slot);
        self.tell_findings(&path, findings);
        if lines > 0 {
            self.log.info(format!(
                "{lines} lines of a former run wait in {}; they go first",
                path.display()
            ));
        }
        Ok(())
    }

    fn tell_findings(&self, path: &Path, findings: Vec<Finding>) {
        for finding in findings {
            self.log.error(match finding {
                Finding::TornTail(bytes) => format!(
                    "the spool {} was damaged at its end; {bytes} bytes are cut off, the lines before them \
                     are sent",
                    path.display()
                ),
                Finding::StuckTail(bytes, why) => format!(
                    "the spool {} is damaged at its end, and the {bytes} bytes there cannot be kept \
                     elsewhere: {why}; the lines before them are sent, and none can be added until there is \
                     room",
                    path.display()
                ),
                Finding::Foreign(aside) => format!(
                    "the spool {} was not this action's; it is kept as {}",
                    path.display(),
                    aside.display()
                ),
            });
        }
    }

    /// Puts what is left of a batch into the spool: all of it or nothing. It may have to go before any
    /// new line of this run. A spool that could not be made at the start is tried again, and one whose file was
    /// removed since is made anew.
    pub(crate) fn keep(
        &self,
        running: &Running,
        rest: &Rest,
        goes_first: bool,
    ) -> Result<(), Unkept> {
        self.open_spool(running)?;
        let mut spool = running.spool();
        let spool = spool.as_mut().ok_or(Unkept::Ended)?;
        spool.append(&rest.records, rest.lines)?;
        if goes_first {
            // under the lock: who finds the spool empty lets commits go on
            running.behind_spool.store(true, Ordering::Release);
        }
        running.counters.spooled().add(rest.lines);
        running.counters.in_spool().set(spool.lines());
        Ok(())
    }
}

impl Running {
    /// Whether lines of a former run have to go before any new one.
    pub(crate) fn is_behind_spool(&self) -> bool {
        self.behind_spool.load(Ordering::Acquire)
    }

    /// A line got through: refusals of our key before that are over.
    pub(crate) fn got_through(&self) {
        self.is_key_refused();
        self.key_refused.store(false, Ordering::Relaxed);
    }

    /// Whether a server has refused our key since a line last got through.
    pub(crate) fn is_key_refused(&self) -> bool {
        let refusals = self.counters.handshakes_refused().get();
        // impstats may have set it to 0 since
        if refusals != self.refusals.swap(refusals, Ordering::Relaxed) && refusals > 0 {
            self.key_refused.store(true, Ordering::Relaxed);
        }
        self.key_refused.load(Ordering::Relaxed)
    }

    /// The stop has put lines into the spool: those that come follow them there.
    pub(crate) fn spool_takes_all(&self) {
        self.spooling.store(true, Ordering::Release);
    }

    /// Whether this stop has begun to put lines into the spool.
    pub(crate) fn is_spooling(&self) -> bool {
        self.spooling.load(Ordering::Acquire)
    }

    /// Commits go on if the spool is empty; answers whether it is.
    pub(crate) fn spool_is_settled(&self) -> bool {
        let spool = self.spool();
        let waits = spool.as_ref().is_some_and(|spool| spool.lines() > 0);
        self.behind_spool.store(waits, Ordering::Release);
        !waits
    }

    /// Whether the lines of a former run are worth a word; only once.
    pub(crate) fn former_lines_are_sent(&self) -> bool {
        self.has_former_lines.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn binding(&self) -> MutexGuard<'_, Option<Socket>> {
        lock(&self.binding)
    }

    pub(crate) fn spool(&self) -> MutexGuard<'_, Option<Spool>> {
        lock(&self.spool)
    }

    /// Keeps a carrier whose thread ends: libzmq may still hold lines of it, which closing its socket
    /// would lose after `linger`.
    pub(crate) fn leave(&self, carrier: Box<dyn Carrier>) {
        lock(&self.spare).push(carrier);
    }
}

/// Why there is no spool, or lines are not in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unkept {
    /// The module is being unloaded.
    #[error("rsyslogd has ended")]
    Ended,
    /// There is no folder for it.
    #[error("global(workDirectory=…) is not set")]
    NoWorkDirectory,
    /// It cannot be opened or written.
    #[error(transparent)]
    Spool(#[from] StateFileError),
}

/// A panic under a lock was logged; what the lock guards is whole between two steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
