//! Output modules: the trait a module implements and the entry points rsyslogd calls.
//!
//! Order of calls: modInit, beginCnfLoad, setModCnf, newActInst a statement, endCnfLoad, checkCnf
//! (`rsyslogd -N1` ends here); activateCnfPrePrivDrop before the privileges are dropped, activateCnf
//! after; then, in each worker thread of the action's queue, createWrkrInstance with the first line
//! and beginTransaction, commitTransaction a batch; tryResume after SUSPENDED; freeWrkrInstance a
//! worker, freeInstance an action, freeCnf, modExit.
//!
//! Two workers of one action can be in commit at the same time, also with one worker thread (the
//! memory and the disk part of a queue have a worker each).

use crate::error::Error;
use crate::guard::guard;
use crate::params::{Param, Values};
use crate::registration::{Module, add_statement, answer_query, entry, load, query};
use crate::rsyslogd::Rsyslogd;
use crate::strings::to_malloced;
use crate::sys;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::Arc;

/// An output module: its value is what `module(load=…)` says, with what its actions share.
pub trait OutputModule: Module {
    /// Parameters of `action(type=…)`.
    const ACTION_PARAMS: &'static [Param];

    /// One `action()` statement; shared by its workers.
    type Action: Send + Sync + 'static;
    /// What one worker thread has of its own.
    type Worker: Send + 'static;

    /// Takes one `action()` statement: the action and the names of the templates it wants, the line
    /// itself first (at most five in all).
    fn add_action(
        &mut self,
        rsyslogd: &Arc<Rsyslogd>,
        values: &Values,
    ) -> Result<(Arc<Self::Action>, Vec<String>), Error>;

    /// The whole configuration is known: look for what statements have in common. Logs by itself.
    fn check(&mut self, rsyslogd: &Arc<Rsyslogd>);

    /// Opens what needs privileges; threads may be started from here on. Logs by itself.
    fn activate_privileged(&mut self, rsyslogd: &Arc<Rsyslogd>);

    /// Opens what must belong to the user rsyslogd runs as. Logs by itself.
    fn activate(&mut self, rsyslogd: &Arc<Rsyslogd>);

    /// A worker thread begins to work for the action.
    fn new_worker(action: &Arc<Self::Action>) -> Self::Worker;

    /// A batch is about to come: whether its lines will find their way. An answer of
    /// [`Verdict::Suspended`] here, and not with the commit, is what lets the engine give every line
    /// to an action with execOnlyWhenPreviousIsSuspended.
    fn begin(worker: &mut Self::Worker) -> Verdict;

    /// Sends a batch, or keeps it safe. May block; must look at [`Rsyslogd::is_stopping`] meanwhile.
    fn commit(worker: &mut Self::Worker, batch: Batch<'_>) -> Verdict;

    /// After [`Verdict::Suspended`]: whether a commit would succeed now.
    fn try_resume(worker: &mut Self::Worker) -> Verdict;

    /// The action's workers are gone and rsyslogd lets go of it: end its threads, close its files.
    fn release(action: &Arc<Self::Action>);
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All lines are off rsyslog's queue.
    Done,
    /// The lines stay rsyslog's, which offers them again.
    Suspended,
}

impl Verdict {
    fn code(self) -> sys::rsRetVal {
        match self {
            Self::Done => sys::RS_RET_OK,
            Self::Suspended => sys::RS_RET_SUSPENDED,
        }
    }
}

/// The lines of one commit: each has the text of every template the action asked for.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    params: &'a [sys::actWrkrIParams_t],
    templates: usize,
}

impl<'a> Batch<'a> {
    /// Lines.
    pub fn len(&self) -> usize {
        self.params.len() / self.templates.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Texts of each line: its own, then those of the other templates the action asked for.
    pub fn templates(&self) -> usize {
        self.templates
    }

    /// The text that `template` (0 = the line itself) made of a line; empty beyond the end.
    pub fn text(&self, line: usize, template: usize) -> &'a [u8] {
        let param = self.params.get(line * self.templates + template);
        param.filter(|param| !param.param.is_null()).map_or(&[], |param| {
            // SAFETY: the core's text of this length, unchanged until the commit returns.
            unsafe { std::slice::from_raw_parts(param.param, param.lenStr as usize) }
        })
    }
}

/// Defines `modInit` of an output module.
#[macro_export]
macro_rules! output_module {
    ($module:ty) => {
        $crate::module!($module, output_mod_init);
    };
}

/// What the core holds of an action.
struct ActionHandle<M: OutputModule> {
    action: Arc<M::Action>,
    templates: usize,
}

/// What the core holds of a worker.
struct WorkerHandle<M: OutputModule> {
    worker: M::Worker,
    templates: usize,
}

/// modInit.
///
/// # Safety
/// Called by rsyslogd, or by the macro's modInit with rsyslogd's arguments.
#[doc(hidden)]
pub unsafe fn mod_init<M: OutputModule>(
    requested: c_int,
    provided: *mut c_int,
    handed_back: *mut sys::query_entry_point_t,
    host: sys::query_entry_point_t,
) -> c_int {
    guard(sys::RS_RET_ERR, || {
        let query: sys::query_entry_point_t = Some(query_entry_point::<M>);
        // SAFETY: by this function's contract.
        unsafe { load::<M>(requested, provided, handed_back, host, query) }
    })
}

unsafe extern "C" fn query_entry_point<M: OutputModule>(
    name: *mut sys::uchar,
    answer: *mut sys::entry_point_t,
) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        let find = |name: &[u8]| output_entry::<M>(name).or_else(|| query::<M>(name));
        // SAFETY: called by rsyslogd as queryEtryPt.
        unsafe { answer_query(name, answer, find) }
    })
}

fn output_entry<M: OutputModule>(name: &[u8]) -> Option<sys::entry_point_t> {
    Some(match name {
        b"getType" => entry(get_type as *const ()),
        b"newActInst" => entry(new_act_inst::<M> as *const ()),
        b"parseSelectorAct" => entry(parse_selector_act as *const ()),
        b"dbgPrintInstInfo" => entry(dbg_print_inst_info as *const ()),
        b"isCompatibleWithFeature" => entry(is_compatible_with_feature as *const ()),
        b"checkCnf" => entry(check_cnf::<M> as *const ()),
        b"activateCnfPrePrivDrop" => entry(activate_cnf_pre_priv_drop::<M> as *const ()),
        b"activateCnf" => entry(activate_cnf::<M> as *const ()),
        b"createWrkrInstance" => entry(create_wrkr_instance::<M> as *const ()),
        b"freeWrkrInstance" => entry(free_wrkr_instance::<M> as *const ()),
        b"freeInstance" => entry(free_instance::<M> as *const ()),
        b"beginTransaction" => entry(begin_transaction::<M> as *const ()),
        b"commitTransaction" => entry(commit_transaction::<M> as *const ()),
        b"tryResume" => entry(try_resume::<M> as *const ()),
        _ => return None,
    })
}

unsafe extern "C" fn get_type(answer: *mut c_int) -> sys::rsRetVal {
    // SAFETY: the core passes a place for the answer.
    unsafe { *answer = sys::eMOD_OUT as c_int };
    sys::RS_RET_OK
}

unsafe extern "C" fn new_act_inst<M: OutputModule>(
    _module_name: *mut sys::uchar,
    list: *mut sys::nvlst,
    answer: *mut *mut c_void,
    request: *mut *mut sys::omodStringRequest_t,
) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        crate::fault_point("omrzmq:newinstance");
        // SAFETY: the core passes places for its answers.
        unsafe { *request = ptr::null_mut() };
        // SAFETY: the list is the one of the action() statement.
        let added =
            unsafe { add_statement::<M, _>(list, "action()", M::ACTION_PARAMS, M::add_action) };
        let (action, templates) = match added {
            Ok(added) => added,
            Err(code) => return code,
        };
        // SAFETY: exported by rsyslogd, called as its header says; the names are copies that the
        // request takes over.
        unsafe {
            let mut wanted = ptr::null_mut();
            let code = sys::OMSRconstruct(&mut wanted, templates.len() as c_int);
            if code != sys::RS_RET_OK {
                return code;
            }
            for (index, template) in (0..).zip(&templates) {
                let options = sys::OMSR_NO_RQD_TPL_OPTS as c_int;
                let code = sys::OMSRsetEntry(wanted, index, to_malloced(template), options);
                if code != sys::RS_RET_OK {
                    sys::OMSRdestruct(wanted);
                    return code;
                }
            }
            *request = wanted;
            let handle = ActionHandle::<M> { action, templates: templates.len() };
            *answer = Box::into_raw(Box::new(handle)).cast();
        }
        sys::RS_RET_OK
    })
}

/// There is no legacy configuration syntax for this module.
unsafe extern "C" fn parse_selector_act(
    _line: *mut *mut sys::uchar,
    _action: *mut *mut c_void,
    _request: *mut *mut sys::omodStringRequest_t,
) -> sys::rsRetVal {
    sys::RS_RET_LEGA_ACT_NOT_SUPPORTED
}

unsafe extern "C" fn dbg_print_inst_info(_action: *mut c_void) -> sys::rsRetVal {
    sys::RS_RET_OK
}

unsafe extern "C" fn is_compatible_with_feature(feature: c_int) -> sys::rsRetVal {
    if feature == sys::sFEATURERepeatedMsgReduction as c_int {
        sys::RS_RET_OK
    } else {
        sys::RS_RET_INCOMPATIBLE
    }
}

unsafe extern "C" fn check_cnf<M: OutputModule>(_configuration: *mut c_void) -> sys::rsRetVal {
    with_module::<M>(|module, rsyslogd| module.check(rsyslogd))
}

unsafe extern "C" fn activate_cnf_pre_priv_drop<M: OutputModule>(
    _configuration: *mut c_void,
) -> sys::rsRetVal {
    with_module::<M>(|module, rsyslogd| module.activate_privileged(rsyslogd))
}

unsafe extern "C" fn activate_cnf<M: OutputModule>(_configuration: *mut c_void) -> sys::rsRetVal {
    with_module::<M>(|module, rsyslogd| module.activate(rsyslogd))
}

/// Runs a step that reports its troubles by itself and never stops rsyslogd.
fn with_module<M: OutputModule>(step: impl FnOnce(&mut M, &Arc<Rsyslogd>)) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        let mut state = M::cell().state();
        if let Ok((rsyslogd, module)) = state.configured() {
            let rsyslogd = Arc::clone(rsyslogd);
            step(module, &rsyslogd);
        }
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn create_wrkr_instance<M: OutputModule>(
    answer: *mut *mut c_void,
    action: *mut c_void,
) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        // SAFETY: `action` is what new_act_inst answered and lives until free_instance.
        let handle = unsafe { &*action.cast::<ActionHandle<M>>() };
        let worker = M::new_worker(&handle.action);
        let worker = WorkerHandle::<M> { worker, templates: handle.templates };
        // SAFETY: the core passes a place for the answer.
        unsafe { *answer = Box::into_raw(Box::new(worker)).cast() };
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn free_wrkr_instance<M: OutputModule>(worker: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        if !worker.is_null() {
            // SAFETY: made in create_wrkr_instance; the core frees a worker once.
            drop(unsafe { Box::from_raw(worker.cast::<WorkerHandle<M>>()) });
        }
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn free_instance<M: OutputModule>(action: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        if !action.is_null() {
            // SAFETY: made in new_act_inst; the core frees an action once, after its workers.
            let handle = unsafe { Box::from_raw(action.cast::<ActionHandle<M>>()) };
            M::release(&handle.action);
        }
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn begin_transaction<M: OutputModule>(worker: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_SUSPENDED, || {
        // SAFETY: made in create_wrkr_instance and used by one thread at a time.
        let handle = unsafe { &mut *worker.cast::<WorkerHandle<M>>() };
        M::begin(&mut handle.worker).code()
    })
}

unsafe extern "C" fn commit_transaction<M: OutputModule>(
    worker: *mut c_void,
    params: *const sys::actWrkrIParams_t,
    lines: c_uint,
) -> sys::rsRetVal {
    // After a panic the lines stay rsyslog's: any other answer would lose them.
    guard(sys::RS_RET_SUSPENDED, || {
        crate::fault_point("omrzmq:commit");
        if params.is_null() || lines == 0 {
            return sys::RS_RET_OK;
        }
        // SAFETY: made in create_wrkr_instance and used by one thread at a time.
        let handle = unsafe { &mut *worker.cast::<WorkerHandle<M>>() };
        let texts = lines as usize * handle.templates;
        // SAFETY: the core passes `lines` × the number of templates asked for.
        let params = unsafe { std::slice::from_raw_parts(params, texts) };
        M::commit(&mut handle.worker, Batch { params, templates: handle.templates }).code()
    })
}

unsafe extern "C" fn try_resume<M: OutputModule>(worker: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_SUSPENDED, || {
        // SAFETY: made in create_wrkr_instance and used by one thread at a time.
        let handle = unsafe { &mut *worker.cast::<WorkerHandle<M>>() };
        M::try_resume(&mut handle.worker).code()
    })
}
