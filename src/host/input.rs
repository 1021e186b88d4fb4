//! Input modules: the trait a module implements and the entry points rsyslogd calls.
//!
//! Order of calls: modInit, then per configuration beginCnfLoad, setModCnf, newInpInst a statement,
//! endCnfLoad, checkCnf (`rsyslogd -N1` ends here); activateCnfPrePrivDrop and activateCnf; then
//! willRun, and runInput in a thread of its own, which the core wakes with SIGTTIN when it stops;
//! afterRun, freeCnf, modExit.

use crate::error::Error;
use crate::guard::guard;
use crate::params::{Param, Values};
use crate::registration::{
    Loaded, Module, add_statement, answer_query, entry, load, query, report,
};
use crate::rsyslogd::Rsyslogd;
use crate::sys;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// An input module: its value is what `module(load=…)` says, with all its `input()` statements.
pub trait InputModule: Module {
    /// Parameters of `input(type=…)`.
    const INPUT_PARAMS: &'static [Param];

    /// Takes one `input()` statement; the error tells all that is wrong with it. No network.
    fn add_input(&mut self, rsyslogd: &Arc<Rsyslogd>, values: &Values) -> Result<(), Error>;

    /// The whole configuration is known: look for what statements have in common. Logs by itself.
    fn check(&mut self, rsyslogd: &Arc<Rsyslogd>);

    /// Opens what needs privileges; threads may be started from here on. An error here stops
    /// nothing but is logged.
    fn activate(&mut self, rsyslogd: &Arc<Rsyslogd>) -> Result<(), Error>;

    /// Works until rsyslogd is being stopped, in the input's own thread. `SIGTTIN` interrupts waits
    /// of this thread (EINTR) when it is time to look.
    fn run(self, rsyslogd: &Arc<Rsyslogd>);
}

/// Defines `modInit` of an input module.
#[macro_export]
macro_rules! input_module {
    ($module:ty) => {
        $crate::module!($module, input_mod_init);
    };
}

/// modInit.
///
/// # Safety
/// Called by rsyslogd, or by the macro's modInit with rsyslogd's arguments.
#[doc(hidden)]
pub unsafe fn mod_init<M: InputModule>(
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

unsafe extern "C" fn query_entry_point<M: InputModule>(
    name: *mut sys::uchar,
    answer: *mut sys::entry_point_t,
) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        // SAFETY: called by rsyslogd as queryEtryPt.
        unsafe {
            answer_query(name, answer, |name| input_entry::<M>(name).or_else(|| query::<M>(name)))
        }
    })
}

fn input_entry<M: InputModule>(name: &[u8]) -> Option<sys::entry_point_t> {
    Some(match name {
        b"getType" => entry(get_type as *const ()),
        b"newInpInst" => entry(new_inp_inst::<M> as *const ()),
        b"checkCnf" => entry(check_cnf::<M> as *const ()),
        b"activateCnfPrePrivDrop" => entry(activate_cnf_pre_priv_drop::<M> as *const ()),
        b"activateCnf" => entry(activate_cnf as *const ()),
        b"isCompatibleWithFeature" => entry(is_compatible_with_feature as *const ()),
        b"willRun" => entry(will_run::<M> as *const ()),
        b"runInput" => entry(run_input::<M> as *const ()),
        b"afterRun" => entry(after_run as *const ()),
        _ => return None,
    })
}

unsafe extern "C" fn get_type(answer: *mut c_int) -> sys::rsRetVal {
    // SAFETY: the core passes a place for the answer.
    unsafe { *answer = sys::eMOD_IN as c_int };
    sys::RS_RET_OK
}

unsafe extern "C" fn new_inp_inst<M: InputModule>(list: *mut sys::nvlst) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        crate::fault_point("imrzmq:newinstance");
        // SAFETY: the list is the one of the input() statement.
        let added =
            unsafe { add_statement::<M, _>(list, "input()", M::INPUT_PARAMS, M::add_input) };
        added.err().unwrap_or(sys::RS_RET_OK)
    })
}

unsafe extern "C" fn check_cnf<M: InputModule>(_configuration: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        let mut state = M::cell().state();
        if let Ok((rsyslogd, module)) = state.configured() {
            module.check(&Arc::clone(rsyslogd));
        }
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn activate_cnf_pre_priv_drop<M: InputModule>(
    _configuration: *mut c_void,
) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        crate::fault_point("imrzmq:activate");
        let mut state = M::cell().state();
        let activated = state
            .configured()
            .and_then(|(rsyslogd, module)| module.activate(&Arc::clone(rsyslogd)));
        match activated {
            Ok(()) => sys::RS_RET_OK,
            Err(error) => report(&M::log(), &error, sys::RS_RET_ERR),
        }
    })
}

unsafe extern "C" fn activate_cnf(_configuration: *mut c_void) -> sys::rsRetVal {
    sys::RS_RET_OK
}

/// rsyslogd need not cancel the input's thread: it ends by itself.
unsafe extern "C" fn is_compatible_with_feature(feature: c_int) -> sys::rsRetVal {
    if feature == sys::sFEATURENonCancelInputTermination as c_int {
        sys::RS_RET_OK
    } else {
        sys::RS_RET_INCOMPATIBLE
    }
}

extern "C" fn will_run<M: InputModule>() -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || match M::cell().state().module {
        Loaded::Yes(_) => sys::RS_RET_OK,
        Loaded::No | Loaded::Broken => sys::RS_RET_NO_RUN,
    })
}

unsafe extern "C" fn run_input<M: InputModule>(_thread: *mut c_void) -> sys::rsRetVal {
    guard(sys::RS_RET_ERR, || {
        crate::fault_point("imrzmq:run");
        // The module moves into this thread, so that nothing is locked while it works.
        let taken = {
            let mut state = M::cell().state();
            let module = std::mem::replace(&mut state.module, Loaded::No);
            state.rsyslogd.clone().zip(match module {
                Loaded::Yes(module) => Some(module),
                Loaded::No | Loaded::Broken => None,
            })
        };
        let Some((rsyslogd, module)) = taken else {
            return sys::RS_RET_NO_RUN;
        };
        module.run(&rsyslogd);
        sys::RS_RET_OK
    })
}

extern "C" fn after_run() -> sys::rsRetVal {
    sys::RS_RET_OK
}
