//! What every module shares: loading, the entry points any type of module has, and the state that
//! goes with a module from modInit to modExit.

use crate::error::Error;
use crate::guard::log_panics;
use crate::log::Log;
use crate::params::{self, Param, Values};
use crate::rsyslogd::Rsyslogd;
use crate::sys;
use std::ffi::{CStr, c_int, c_void};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a module refuses to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The core does not grant an interface in a version whose layout is known.
    #[error("its interface {name} is of a version unknown to this module (known: {known})")]
    Interface {
        /// The interface.
        name: &'static str,
        /// The versions that would do.
        known: &'static str,
    },
    /// A message does not look as the headers say.
    #[error("its messages have a layout unknown to this module (a debug build?)")]
    MessageLayout,
    /// The module was asked for an interface version that does not exist yet.
    #[error("it asks for module interface {0}, this module has 6")]
    ModuleInterface(c_int),
    /// Memory is short.
    #[error("memory is short")]
    Memory,
    /// What the module needs beside rsyslogd is missing.
    #[error("{0}")]
    Requirement(&'static str),
}

/// The static that [`input_module!`](crate::input_module) or
/// [`output_module!`](crate::output_module) defines for a module.
#[derive(Debug)]
pub struct ModuleCell<M>(Mutex<State<M>>);

/// A module between modInit and modExit.
#[derive(Debug)]
pub(crate) struct State<M> {
    pub(crate) rsyslogd: Option<Arc<Rsyslogd>>,
    pub(crate) module: Loaded<M>,
}

/// The module's settings.
#[derive(Debug)]
pub(crate) enum Loaded<M> {
    /// No configuration was loaded yet, or it was freed.
    No,
    /// As `module(load=…)` says.
    Yes(M),
    /// `module(load=…)` is wrong: nothing that depends on it may come to life.
    Broken,
}

impl<M> ModuleCell<M> {
    /// Nothing loaded.
    pub const fn new() -> Self {
        Self(Mutex::new(State { rsyslogd: None, module: Loaded::No }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State<M>> {
        // A panic while the state was held was reported; what it left is still of valid shape.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Default for ModuleCell<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// Ties a module's type to its static; implemented by the macros.
pub trait Registered: Sized + Send + 'static {
    /// The module's static.
    fn cell() -> &'static ModuleCell<Self>;
}

/// What both types of module have in common.
pub trait Module: Registered {
    /// The name in the configuration, such as `imrzmq`.
    const NAME: &'static CStr;
    /// Parameters of `module(load=…)`.
    const MODULE_PARAMS: &'static [Param];

    /// What must hold beside rsyslogd's interfaces before the module may be loaded.
    fn requirement() -> Result<(), LoadError>;

    /// Takes the module's settings. Must not start anything: `rsyslogd -N1` comes here, and a
    /// rsyslogd that goes to the background forks after this.
    fn configure(rsyslogd: &Arc<Rsyslogd>, values: &Values) -> Result<Self, Error>;

    /// rsyslogd was sent SIGHUP. Called in its main thread, while everything goes on; for an output
    /// once an action.
    fn hup();

    /// The name as text.
    fn name() -> &'static str {
        Self::NAME.to_str().unwrap_or("rzmq")
    }

    /// The log of the module itself.
    fn log() -> Log {
        Log::module(Self::name())
    }
}

/// What [`input_module!`](crate::input_module) and [`output_module!`](crate::output_module) share: the
/// module's static and its one exported symbol.
#[doc(hidden)]
#[macro_export]
macro_rules! module {
    ($module:ty, $init:ident) => {
        static CELL: $crate::ModuleCell<$module> = $crate::ModuleCell::new();

        impl $crate::Registered for $module {
            fn cell() -> &'static $crate::ModuleCell<Self> {
                &CELL
            }
        }

        /// What rsyslogd looks for; its arguments are those of runtime/module-template.h.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, missing_docs)]
        pub unsafe extern "C" fn modInit(
            requested: ::std::ffi::c_int,
            provided: *mut ::std::ffi::c_int,
            query: *mut $crate::entry::QueryEntryPoint,
            host: $crate::entry::QueryEntryPoint,
            _module: *mut ::std::ffi::c_void,
        ) -> ::std::ffi::c_int {
            // SAFETY: the arguments come from rsyslogd as they are.
            unsafe { $crate::entry::$init::<$module>(requested, provided, query, host) }
        }
    };
}

/// modInit of any module. `query` is what it hands back to the core.
///
/// # Safety
/// The arguments are those of modInit as rsyslogd calls it.
pub(crate) unsafe fn load<M: Module>(
    requested: c_int,
    provided: *mut c_int,
    handed_back: *mut sys::query_entry_point_t,
    host: sys::query_entry_point_t,
    query: sys::query_entry_point_t,
) -> sys::rsRetVal {
    if provided.is_null() || handed_back.is_null() {
        return sys::RS_RET_PARAM_ERROR;
    }
    log_panics(M::name());
    let connected = || {
        let own = sys::CURR_MOD_IF_VERSION as c_int;
        if requested > own {
            return Err(LoadError::ModuleInterface(requested));
        }
        M::requirement()?;
        // SAFETY: `host` is the function that rsyslogd handed to modInit.
        unsafe { Rsyslogd::connect(M::name(), host) }
    };
    match connected() {
        Ok(rsyslogd) => {
            // A copy of the module that stayed in memory starts anew as well.
            *M::cell().state() = State { rsyslogd: Some(Arc::new(rsyslogd)), module: Loaded::No };
            // SAFETY: checked above not to be null; valid for the call as modInit's contract says.
            unsafe {
                *provided = sys::CURR_MOD_IF_VERSION as c_int;
                *handed_back = query;
            }
            sys::RS_RET_OK
        }
        Err(why) => {
            M::log().error(format!(
                "cannot work with this rsyslogd ({}): {why}. Releases 8.2302 to 8.2610 are known; \
                 use one of them, or a newer release of rsyslog-rzmq",
                version_of_rsyslogd()
            ));
            sys::RS_RET_INTERFACE_NOT_SUPPORTED
        }
    }
}

/// The version as the running binary tells it; no interface of the core does. Only asked for when
/// the module refuses to load.
fn version_of_rsyslogd() -> String {
    let answer = Command::new("/proc/self/exe").arg("-v").output();
    let answer = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let first = answer.ok().and_then(|text| text.lines().next().map(str::to_string));
    let version = first.and_then(|line| line.split_whitespace().nth(1).map(str::to_string));
    version.map_or_else(|| "version unknown".to_string(), |version| format!("rsyslog {version}"))
}

/// Entry points that every module has here.
pub(crate) fn query<M: Module>(name: &[u8]) -> Option<sys::entry_point_t> {
    Some(match name {
        b"getKeepType" => entry(get_keep_type as *const ()),
        b"modGetID" => entry(mod_get_id::<M> as *const ()),
        b"modExit" => entry(mod_exit::<M> as *const ()),
        b"getModCnfName" => entry(get_mod_cnf_name::<M> as *const ()),
        b"beginCnfLoad" => entry(begin_cnf_load::<M> as *const ()),
        b"setModCnf" => entry(set_mod_cnf::<M> as *const ()),
        b"endCnfLoad" => entry(end_cnf_load as *const ()),
        b"freeCnf" => entry(free_cnf::<M> as *const ()),
        b"doHUP" => entry(do_hup::<M> as *const ()),
        _ => return None,
    })
}

/// An entry point as the core receives it: it knows each name's real type and casts it back.
pub(crate) fn entry(function: *const ()) -> sys::entry_point_t {
    // SAFETY: a pointer to a function; called only through the type its name has (module.h).
    Some(unsafe { std::mem::transmute::<*const (), unsafe extern "C" fn() -> c_int>(function) })
}

/// Answers a name with an entry point.
///
/// # Safety
/// The arguments are those of queryEtryPt as rsyslogd calls it.
pub(crate) unsafe fn answer_query(
    name: *mut sys::uchar,
    answer: *mut sys::entry_point_t,
    query: fn(&[u8]) -> Option<sys::entry_point_t>,
) -> sys::rsRetVal {
    if name.is_null() || answer.is_null() {
        return sys::RS_RET_PARAM_ERROR;
    }
    // SAFETY: a NUL-terminated name by contract.
    let found = query(unsafe { CStr::from_ptr(name.cast_const().cast()) }.to_bytes());
    // SAFETY: not null, and valid for the call by contract.
    unsafe { *answer = found.flatten() };
    if found.is_some() { sys::RS_RET_OK } else { sys::RS_RET_MODULE_ENTRY_POINT_NOT_FOUND }
}

unsafe extern "C" fn get_keep_type(answer: *mut c_int) -> sys::rsRetVal {
    // SAFETY: the core passes a place for the answer. Not kept: the module can be unloaded.
    unsafe { *answer = sys::eMOD_NOKEEP as c_int };
    sys::RS_RET_OK
}

unsafe extern "C" fn mod_get_id<M: Module>(answer: *mut *mut c_void) -> sys::rsRetVal {
    // SAFETY: the core passes a place for the answer; the static's address is unique in the process.
    unsafe { *answer = std::ptr::from_ref(M::cell()).cast_mut().cast() };
    sys::RS_RET_OK
}

unsafe extern "C" fn get_mod_cnf_name<M: Module>(answer: *mut *const sys::uchar) -> sys::rsRetVal {
    // SAFETY: the core passes a place for the answer and reads the static name only.
    unsafe { *answer = M::NAME.as_ptr().cast() };
    sys::RS_RET_OK
}

extern "C" fn mod_exit<M: Module>() -> sys::rsRetVal {
    crate::guard::guard(sys::RS_RET_ERR, || {
        *M::cell().state() = State { rsyslogd: None, module: Loaded::No };
        drop(std::panic::take_hook());
        sys::RS_RET_OK
    })
}

/// The argument is an action's data, or null.
unsafe extern "C" fn do_hup<M: Module>(_instance: *mut c_void) -> sys::rsRetVal {
    crate::guard::guard(sys::RS_RET_ERR, || {
        M::hup();
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn begin_cnf_load<M: Module>(
    answer: *mut *mut c_void,
    configuration: *mut sys::rsconf_t,
) -> sys::rsRetVal {
    crate::guard::guard(sys::RS_RET_ERR, || {
        let mut state = M::cell().state();
        let Some(rsyslogd) = state.rsyslogd.clone() else {
            return sys::RS_RET_ERR;
        };
        rsyslogd.set_configuration(configuration);
        state.module = Loaded::No;
        // SAFETY: a place for the answer. The core hands it back in calls on the configuration; the
        // state is in the static, so the static's address stands for it.
        unsafe { *answer = std::ptr::from_ref(M::cell()).cast_mut().cast() };
        sys::RS_RET_OK
    })
}

unsafe extern "C" fn set_mod_cnf<M: Module>(list: *mut sys::nvlst) -> sys::rsRetVal {
    crate::guard::guard(sys::RS_RET_ERR, || {
        let mut state = M::cell().state();
        let Some(rsyslogd) = state.rsyslogd.clone() else {
            return sys::RS_RET_ERR;
        };
        state.module = Loaded::Broken;
        // SAFETY: the list is the one of the module() statement.
        let Some(statement) = (unsafe { params::read(list, M::MODULE_PARAMS) }) else {
            M::log().error("the parameters of module(load=…) cannot be used; see the line above");
            return sys::RS_RET_MISSING_CNFPARAMS;
        };
        let values = statement.values.map_err(Error::from);
        let configured = values.and_then(|values| M::configure(&rsyslogd, &values));
        match configured {
            Ok(module) => {
                state.module = Loaded::Yes(module);
                sys::RS_RET_OK
            }
            Err(error) => report(&M::log(), &error, sys::RS_RET_CONFIG_ERROR),
        }
    })
}

unsafe extern "C" fn end_cnf_load(_configuration: *mut c_void) -> sys::rsRetVal {
    sys::RS_RET_OK
}

unsafe extern "C" fn free_cnf<M: Module>(_configuration: *mut c_void) -> sys::rsRetVal {
    crate::guard::guard(sys::RS_RET_ERR, || {
        M::cell().state().module = Loaded::No;
        sys::RS_RET_OK
    })
}

impl<M: Module> State<M> {
    /// The module's settings, made from nothing when the configuration has no statement for it
    /// (the old `$ModLoad`); an error when its statement is wrong.
    pub(crate) fn configured(&mut self) -> Result<(&Arc<Rsyslogd>, &mut M), Error> {
        let rsyslogd =
            self.rsyslogd.as_ref().ok_or_else(|| Error::new("the module is not loaded"))?;
        if matches!(self.module, Loaded::No) {
            self.module = Loaded::Yes(M::configure(rsyslogd, &Values::none())?);
        }
        match &mut self.module {
            Loaded::Yes(module) => Ok((rsyslogd, module)),
            Loaded::No | Loaded::Broken => Err(Error::new(
                "not used, because module(load=…) above is wrong; nothing falls back to plaintext",
            )),
        }
    }
}

impl From<Vec<params::ParamError>> for Error {
    fn from(mistakes: Vec<params::ParamError>) -> Self {
        Self::from_list(mistakes.iter().map(ToString::to_string).collect())
    }
}

/// Reads a statement of this kind (such as `input()`) and has the module add it. What is wrong is in the log,
/// and the error is what the core gets for an answer.
///
/// # Safety
/// `list` is the name-value list of the statement, as the core handed it to the entry point.
pub(crate) unsafe fn add_statement<M: Module, T>(
    list: *mut sys::nvlst,
    kind: &str,
    known: &'static [Param],
    add: impl FnOnce(&mut M, &Arc<Rsyslogd>, &Values) -> Result<T, Error>,
) -> Result<T, sys::rsRetVal> {
    // SAFETY: by this function's contract.
    let Some(statement) = (unsafe { params::read(list, known) }) else {
        M::log().error(format!("an {kind} statement cannot be used; see the line above"));
        return Err(sys::RS_RET_MISSING_CNFPARAMS);
    };
    let mut state = M::cell().state();
    let added = statement.values.map_err(Error::from).and_then(|values| {
        let (rsyslogd, module) = state.configured()?;
        add(module, &Arc::clone(rsyslogd), &values)
    });
    added.map_err(|error| {
        report(&statement_log::<M>(&statement.label), &error, sys::RS_RET_CONFIG_ERROR)
    })
}

/// Writes each sentence of an error to a log, and answers `code`.
pub(crate) fn report(log: &Log, error: &Error, code: sys::rsRetVal) -> sys::rsRetVal {
    for sentence in error.sentences() {
        log.error(sentence);
    }
    code
}

/// The log of a statement, from its label on.
fn statement_log<M: Module>(label: &str) -> Log {
    if label.is_empty() { M::log() } else { Log::instance(M::name(), label) }
}
