//! The rsyslogd that loaded the module: the interfaces it grants and what it says of itself.
//!
//! Interfaces are asked for by exact version, the newest known first; the layout used is that of the
//! version granted. Without glbl or prop the module refuses to load; without statistics of a known
//! version it runs and says that its counters are not shown.

use crate::early::CoreParsers;
use crate::fault;
use crate::layout;
use crate::log::Log;
use crate::registration::LoadError;
use crate::secure_defaults::SecureDefaults;
use crate::strings::{from_c, to_c};
use crate::sys;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The versions of glbl whose beginning is the one described: 8.2302 to 8.2504, 8.2608 to 8.2610.
const GLBL_VERSIONS: [c_int; 2] = [11, 10];
const GLBL_UNKNOWN: LoadError = LoadError::Interface { name: "glbl", known: "10, 11" };
const PROP_UNKNOWN: LoadError = LoadError::Interface { name: "prop", known: "1" };

/// The rsyslogd around us. Shared by the instances of a module; any thread may ask it.
pub struct Rsyslogd {
    stopping: unsafe extern "C" fn() -> c_int,
    max_line: unsafe extern "C" fn(*mut sys::rsconf_t) -> c_int,
    glbl_version: c_int,
    prop: sys::prop_if_t,
    clock: Option<Clock>,
    parsers: Option<CoreParsers>,
    statistics: Option<Statistics>,
    configuration: AtomicPtr<sys::rsconf_t>,
}

/// Tells the time as messages carry it, and as seconds since 1970.
pub(crate) type Clock = unsafe extern "C" fn(*mut sys::syslogTime, *mut sys::time_t, c_int);

/// Makes a limiter of a configuration's policy: the limiter, the configuration, the policy's name, and
/// two names for messages.
pub(crate) type NamedLimiter = unsafe extern "C" fn(
    *mut *mut sys::ratelimit_t,
    *mut sys::rsconf_t,
    *const c_char,
    *const c_char,
    *const c_char,
) -> sys::rsRetVal;

/// When messages were received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) time: sys::syslogTime,
    pub(crate) seconds: sys::time_t,
}

/// The part of the statistics interface that is used, whatever its version.
pub(crate) struct Statistics {
    pub(crate) version: c_int,
    pub(crate) common: sys::statsobj_common_t,
    pub(crate) add_counter: unsafe extern "C" fn(
        *mut sys::statsobj_t,
        *const sys::uchar,
        c_int,
        i8,
        *mut std::ffi::c_void,
    ) -> sys::rsRetVal,
}

impl std::fmt::Debug for Rsyslogd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rsyslogd").finish_non_exhaustive()
    }
}

impl Rsyslogd {
    /// Obtains the interfaces and proves the layout of messages.
    ///
    /// # Safety
    /// `query` is the function that rsyslogd handed to modInit.
    pub(crate) unsafe fn connect(
        module: &str,
        query: sys::query_entry_point_t,
    ) -> Result<Self, LoadError> {
        // SAFETY: by this function's contract.
        let objects = unsafe { Objects::obtain(query) }?;

        let mut glbl: sys::glbl_if_t = zeroed_interface();
        let glbl_version =
            objects.newest(c"glbl", &GLBL_VERSIONS, &mut glbl).ok_or(GLBL_UNKNOWN)?;
        let mut prop: sys::prop_if_t = zeroed_interface();
        let version = sys::propCURR_IF_VERSION as c_int;
        objects.newest(c"prop", &[version], &mut prop).ok_or(PROP_UNKNOWN)?;
        let (Some(stopping), Some(max_line)) = (glbl.GetGlobalInputTermState, glbl.GetMaxLine)
        else {
            return Err(GLBL_UNKNOWN);
        };
        let mut datetime: sys::datetime_if_t = zeroed_interface();
        let version = sys::datetimeCURR_IF_VERSION as c_int;
        let clock = objects.newest(c"datetime", &[version], &mut datetime);
        let clock = clock.and(datetime.getCurrTime).filter(|&clock| layout::time_fits(clock));
        let parsers = clock.and_then(|_| objects.parsers(&datetime));
        let rsyslogd = Self {
            stopping,
            max_line,
            glbl_version,
            prop,
            clock,
            parsers,
            statistics: objects.statistics(),
            configuration: AtomicPtr::new(ptr::null_mut()),
        };
        layout::prove(&rsyslogd)?;
        if rsyslogd.statistics.is_none() {
            Log::module(module).warning(
                "this rsyslogd's statistics are of a version this module does not know (known: 13, \
                 16, 17): the module works, impstats does not show its counters",
            );
        }
        Ok(rsyslogd)
    }

    /// Whether rsyslogd is being stopped. 1 from the first signal on, 0 at HUP.
    pub fn is_stopping(&self) -> bool {
        // SAFETY: glbl.GetGlobalInputTermState of the granted interface; callable from any thread.
        unsafe { (self.stopping)() != 0 }
    }

    /// The longest message in bytes, as `maxMessageSize` sets it.
    pub fn max_message_size(&self) -> usize {
        // SAFETY: glbl.GetMaxLine of the granted interface with the configuration the core gave us.
        let bytes = unsafe { (self.max_line)(self.configuration()) };
        usize::try_from(bytes).unwrap_or(0)
    }

    /// Whether a line longer than that may become several messages
    /// (`global(oversizemsg.input.mode="split")`).
    pub fn may_split_lines(&self) -> bool {
        const SPLIT: c_int = 1;
        // SAFETY: looks a name up in the running program.
        let mode =
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"glblGetOversizeMsgInputMode".as_ptr()) };
        if mode.is_null() {
            return true;
        }
        // SAFETY: the function has had this signature and these values from 8.2302 to 8.2610
        // (runtime/glbl.h); the configuration is the one that rsyslogd handed us.
        unsafe {
            let mode: unsafe extern "C" fn(*mut sys::rsconf_t) -> c_int = std::mem::transmute(mode);
            mode(self.configuration()) == SPLIT
        }
    }

    /// The time, as messages carry it; `None`: this release tells it only to each message.
    pub(crate) fn time(&self) -> Option<Received> {
        let clock = self.clock?;
        let mut received = Received { time: sys::syslogTime { parts: [0; 6] }, seconds: 0 };
        // SAFETY: datetime.getCurrTime of the granted interface; it fills both in, on any thread.
        unsafe {
            clock(&mut received.time, &mut received.seconds, sys::TIME_IN_LOCALTIME as c_int);
        }
        Some(received)
    }

    /// What parses messages; `None`: this release has it in a version that is not known.
    pub(crate) fn parsers(&self) -> Option<CoreParsers> {
        self.parsers
    }

    /// The function that makes a rate limiter from a `ratelimit()` object of the configuration, where
    /// the release has them.
    pub(crate) fn named_limiter(&self) -> Option<NamedLimiter> {
        // SAFETY: looks a name up in the running program.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"ratelimitNewFromConfig".as_ptr()) };
        if found.is_null() {
            return None;
        }
        // SAFETY: the function has had this signature in every release that exports it
        // (runtime/ratelimit.h; 8.2608, 8.2610).
        Some(unsafe { std::mem::transmute::<*mut c_void, NamedLimiter>(found) })
    }

    /// The work directory of the configuration, if one is set.
    pub fn work_directory(&self) -> Option<PathBuf> {
        // SAFETY: exported by rsyslogd; answers a string that belongs to the configuration, or null.
        let text = unsafe { from_c(sys::glblGetWorkDirRaw(self.configuration()).cast()) };
        text.filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// Whether the configuration, as far as it is read, has a template of this name.
    pub fn has_template(&self, name: &str) -> bool {
        let (text, length) = (to_c(name), c_int::try_from(name.len()).unwrap_or(c_int::MAX));
        // SAFETY: exported by rsyslogd; the configuration is the one it handed us, and the name is only read.
        !unsafe { sys::tplFind(self.configuration(), text.as_ptr().cast_mut(), length) }.is_null()
    }

    /// Defines a template of the module's own, once; `format` as `$template` has it, without quotes.
    /// Answers whether it is there.
    pub fn define_template(&self, name: &str, format: &str) -> bool {
        if self.has_template(name) {
            return true;
        }
        let (name, format) = (to_c(name), to_c(&format!("\"{format}\"\n")));
        let mut rest: *mut sys::uchar = format.as_ptr().cast_mut().cast();
        // SAFETY: exported by rsyslogd; it reads the format up to the closing quote, moves `rest` on, and
        // copies what it keeps.
        !unsafe { sys::tplAddLine(self.configuration(), name.as_ptr(), &mut rest) }.is_null()
    }

    /// Whether an action queue keeps a batch that was refused at a stop. Releases up to 8.2504
    /// (glbl 10) do not; 8.2608 and later (glbl 11) do.
    pub fn requeues_at_stop(&self) -> bool {
        self.glbl_version >= 11
    }

    /// Whether the administrator wants no rsyslogd that lacks one of its inputs
    /// (`global(inputStartupPolicy="require-all")`). Releases that are not known to have the setting
    /// answer no.
    pub fn requires_all_inputs(&self) -> bool {
        let is_8_2610 = self.statistics.as_ref().is_some_and(|known| known.version == 17);
        let configuration = self.configuration().cast::<sys::rsconf_8_2610_t>();
        if !is_8_2610 || configuration.is_null() || cfg!(not(target_arch = "x86_64")) {
            return false;
        }
        // SAFETY: in this release the configuration is larger than this (interfaces.h), and the
        // field is set once, before modules are activated.
        unsafe { (*configuration).inputStartupPolicy == 1 }
    }

    /// What the administrator wants of settings that are not secure, as far as the configuration is read.
    pub fn secure_defaults(&self) -> SecureDefaults {
        SecureDefaults::of(self)
    }

    /// The configuration that is being loaded or runs.
    pub(crate) fn configuration(&self) -> *mut sys::rsconf_t {
        self.configuration.load(Ordering::Acquire)
    }

    pub(crate) fn set_configuration(&self, configuration: *mut sys::rsconf_t) {
        self.configuration.store(configuration, Ordering::Release);
    }

    pub(crate) fn prop(&self) -> &sys::prop_if_t {
        &self.prop
    }

    pub(crate) fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }
}

/// The core's object interface, by which all others are had.
struct Objects {
    interface: sys::obj_if_t,
}

impl Objects {
    /// # Safety
    /// `query` is the function that rsyslogd handed to modInit.
    unsafe fn obtain(query: sys::query_entry_point_t) -> Result<Self, LoadError> {
        const MISSING: LoadError = LoadError::Interface { name: "obj", known: "2" };
        let query = query.ok_or(MISSING)?;
        let mut entry: sys::entry_point_t = None;
        // SAFETY: by contract; the name is NUL-terminated and `entry` valid for the call.
        let code = unsafe { query(c"objGetObjInterface".as_ptr().cast_mut().cast(), &mut entry) };
        let Some(entry) = entry.filter(|_| code == sys::RS_RET_OK) else {
            return Err(MISSING);
        };
        // SAFETY: "objGetObjInterface" names a function of this type (runtime/obj.h).
        let get: unsafe extern "C" fn(*mut sys::obj_if_t) -> sys::rsRetVal =
            unsafe { std::mem::transmute(entry) };
        let mut interface: sys::obj_if_t = zeroed_interface();
        interface.head.ifVersion = sys::objCURR_IF_VERSION as c_int;
        // SAFETY: the struct is at least as large as the core's of this version (asserts.c).
        if unsafe { get(&mut interface) } != sys::RS_RET_OK || interface.UseObj.is_none() {
            return Err(MISSING);
        }
        Ok(Self { interface })
    }

    /// Asks for `versions` in turn; the first that is granted fills `table` and is answered.
    fn newest<T: Interface>(
        &self,
        name: &'static CStr,
        versions: &[c_int],
        table: &mut T,
    ) -> Option<c_int> {
        for &version in versions {
            *table = zeroed_interface();
            let version = version + fault::future(name);
            let head = ptr::from_mut(table).cast::<sys::interface_t>();
            // SAFETY: every table begins with interface_t (trait Interface) and is at least as large
            // as the core's of the versions asked for (asserts.c). UseObj was checked in `obtain`.
            let code = unsafe {
                (*head).ifVersion = version;
                self.interface.UseObj.map_or(sys::RS_RET_ERR, |use_object| {
                    use_object(
                        c"rzmq".as_ptr(),
                        name.as_ptr().cast_mut().cast(),
                        ptr::null_mut(),
                        head,
                    )
                })
            };
            if code == sys::RS_RET_OK {
                return Some(version);
            }
        }
        None
    }

    fn parsers(&self, datetime: &sys::datetime_if_t) -> Option<CoreParsers> {
        let mut parser: sys::parser_if_t = zeroed_interface();
        self.newest(c"parser", &[sys::parserCURR_IF_VERSION as c_int], &mut parser)?;
        let mut ruleset: sys::ruleset_if_t = zeroed_interface();
        self.newest(c"ruleset", &[sys::rulesetCURR_IF_VERSION as c_int], &mut ruleset)?;
        Some(CoreParsers {
            read_stamp: datetime.ParseTIMESTAMP3339?,
            parse: parser.ParseMsg?,
            of_ruleset: ruleset.GetParserList?,
        })
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut v17: sys::statsobj_if_v17_t = zeroed_interface();
        if self.newest(c"statsobj", &[17], &mut v17).is_some() {
            return Some(Statistics {
                version: 17,
                common: v17.common,
                add_counter: v17.AddCounter?,
            });
        }
        let mut v16: sys::statsobj_if_v16_t = zeroed_interface();
        if self.newest(c"statsobj", &[16], &mut v16).is_some() {
            return Some(Statistics {
                version: 16,
                common: v16.common,
                add_counter: v16.AddCounter?,
            });
        }
        let mut v13: sys::statsobj_if_v13_t = zeroed_interface();
        self.newest(c"statsobj", &[13], &mut v13)?;
        Some(Statistics { version: 13, common: v13.common, add_counter: v13.AddCounter? })
    }
}

/// A table of function pointers that begins with `interface_t`.
///
/// # Safety
/// The type is a C struct of that shape: all bytes zero is a valid value (no function is there).
unsafe trait Interface {}
// SAFETY: rsyslog-headers/interfaces.h; bindgen makes each member an Option of a function or a
// plain pointer.
unsafe impl Interface for sys::obj_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::glbl_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::datetime_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::prop_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::parser_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::ruleset_if_t {}
// SAFETY: as above.
unsafe impl Interface for sys::statsobj_if_v13_t {}
// SAFETY: as above.
unsafe impl Interface for sys::statsobj_if_v16_t {}
// SAFETY: as above.
unsafe impl Interface for sys::statsobj_if_v17_t {}

fn zeroed_interface<T: Interface>() -> T {
    // SAFETY: by the trait's contract zero bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

// SAFETY: the tables are read-only after `connect`, the core's functions in them may be called from
// any thread, and the configuration pointer is an atomic.
unsafe impl Send for Rsyslogd {}
// SAFETY: as above.
unsafe impl Sync for Rsyslogd {}

#[cfg(test)]
impl Rsyslogd {
    /// One that has these statistics, and nothing else that could be asked for.
    pub(crate) fn with_statistics(statistics: Statistics) -> Self {
        unsafe extern "C" fn stopping() -> c_int {
            0
        }
        unsafe extern "C" fn max_line(_configuration: *mut sys::rsconf_t) -> c_int {
            0
        }
        Self {
            stopping,
            max_line,
            glbl_version: 0,
            prop: zeroed_interface(),
            clock: None,
            parsers: None,
            statistics: Some(statistics),
            configuration: AtomicPtr::new(ptr::null_mut()),
        }
    }
}
