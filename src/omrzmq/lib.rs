//! omrzmq: the output module. Glue of host (rsyslog) and link (ZeroMQ).
//!
//! The walk of a line: rsyslogd's queue worker calls commit with a batch (worker.rs); each line
//! becomes messages (outlet.rs) on a socket of the link. What a stop finds unsent goes into the
//! action's spool (spool.rs), which the next start sends first (keeper.rs). statement.rs is what the
//! configuration says, engine.rs what it asks of rsyslog's engine, action.rs what runs.
//!
//! Threads: those of rsyslog's queues, one keeper an action while its spool is sent or its
//! bind is tried again, the link's authenticator, monitor, watcher of keys (rzmq-keys) and teller
//! (rzmq-log), and libzmq's.
//! Locks: see action.rs; there is none that two actions share.

mod acked;
mod action;
mod besteffort;
mod carrier;
mod counters;
mod engine;
mod keeper;
mod offered_again;
mod outlet;
mod params;
mod record;
mod refused;
mod spool;
mod statement;
mod stop;
mod targets;
mod worker;

use action::Action;
use rzmq_host::{Batch, Error, LoadError, Module, OutputModule, Param, Rsyslogd, Values, Verdict};
use rzmq_link::Context;
use rzmq_module::{Credentials, Hup, unusable};
use statement::Statement;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;
use stop::StopClock;
use worker::Worker;

static HUP: Hup = Hup::new();

/// What `module(load="omrzmq")` says, and its actions.
struct Omrzmq {
    credentials: Credentials,
    io_threads: i32,
    actions: Vec<Arc<Action>>,
    stop: Arc<StopClock>,
}

impl Drop for Omrzmq {
    /// The core frees the actions it uses; one that it rejected after the fact is let go of here.
    fn drop(&mut self) {
        for action in &self.actions {
            action.release();
        }
        HUP.end();
    }
}

rzmq_host::output_module!(Omrzmq);

impl Module for Omrzmq {
    const NAME: &'static CStr = c"omrzmq";
    const MODULE_PARAMS: &'static [Param] = &rzmq_module::MODULE;

    fn requirement() -> Result<(), LoadError> {
        rzmq_module::requirement()
    }

    fn configure(rsyslogd: &Arc<Rsyslogd>, values: &Values) -> Result<Self, Error> {
        let credentials = Credentials::read(values);
        if !credentials.is_empty() {
            credentials.security().map_err(Error::new)?;
        }
        Ok(Self {
            credentials,
            io_threads: values.int("iothreads").unwrap_or(1),
            actions: Vec::new(),
            stop: Arc::new(StopClock::new(Arc::clone(rsyslogd))),
        })
    }

    fn hup() {
        HUP.came();
    }
}

impl OutputModule for Omrzmq {
    const ACTION_PARAMS: &'static [Param] = Statement::PARAMS;
    type Action = Action;
    type Worker = Worker;

    fn add_action(
        &mut self,
        rsyslogd: &Arc<Rsyslogd>,
        values: &Values,
    ) -> Result<(Arc<Action>, Vec<String>), Error> {
        let statement = Statement::read(rsyslogd, &self.credentials, values)?;
        let templates = statement.templates();
        for template in &templates {
            if !rsyslogd.has_template(template) {
                return Err(unusable(vec![format!("there is no template \"{template}\"")]));
            }
        }
        let action = Arc::new(Action::new(rsyslogd, &self.stop, statement));
        self.actions.push(Arc::clone(&action));
        Ok((action, templates))
    }

    /// Two actions must not share a spool.
    fn check(&mut self, _rsyslogd: &Arc<Rsyslogd>) {
        let mut owners: BTreeMap<String, &Action> = BTreeMap::new();
        for action in self.actions.iter().filter(|action| action.statement.spools()) {
            if let Some(other) = owners.insert(action.statement.spool_file(), action) {
                action.log.error(format!(
                    "this action and \"{}\" would share one spool (same type, endpoints and \
                     servercertpath, or the same name): give each a name=\"…\" of its own",
                    other.statement.name()
                ));
            }
        }
    }

    fn activate_privileged(&mut self, _rsyslogd: &Arc<Rsyslogd>) {
        if self.actions.is_empty() {
            return;
        }
        match Context::new(self.io_threads) {
            Ok(context) => {
                let context = Arc::new(context);
                HUP.lead_to(&context);
                for action in &self.actions {
                    action.activate_privileged(&context);
                }
            }
            Err(why) => Self::log().error(format!("{why}; no action of this module works")),
        }
    }

    fn activate(&mut self, rsyslogd: &Arc<Rsyslogd>) {
        for action in &self.actions {
            action.activate();
        }
        if let Some(folder) = rsyslogd.work_directory() {
            self.name_unclaimed(&folder);
        }
    }

    fn new_worker(action: &Arc<Action>) -> Worker {
        Worker::new(Arc::clone(action))
    }

    fn begin(worker: &mut Worker) -> Verdict {
        worker.begin()
    }

    fn commit(worker: &mut Worker, batch: Batch<'_>) -> Verdict {
        worker.commit(batch)
    }

    fn try_resume(worker: &mut Worker) -> Verdict {
        worker.try_resume()
    }

    fn release(action: &Arc<Action>) {
        action.release();
    }
}

impl Omrzmq {
    /// Lines that no action of this configuration will send are named, and never deleted.
    fn name_unclaimed(&self, folder: &Path) {
        let claimed: Vec<_> = self.actions.iter().map(|a| a.statement.spool_file()).collect();
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for file in files {
            let name = file.file_name().to_string_lossy().into_owned();
            let is_spool = name.starts_with("omrzmq-") && name.ends_with(".spool");
            if !is_spool || claimed.contains(&name) {
                continue;
            }
            let path = file.path();
            let Some(lines @ 1..) = spool::count_lines(&path) else {
                continue;
            };
            Self::log().error(format!(
                "the spool {} has {lines} lines that no action of this configuration claims; it is \
                 left alone. An action with the former name (or the former type, endpoints and \
                 servercertpath) sends them",
                path.display()
            ));
        }
    }
}
