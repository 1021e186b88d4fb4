//! Counters of an instance, as impstats shows them in every format the core knows.
//!
//! The numbers live here; the core reads them (and, with `resetCounters`, sets them to 0) from its
//! own thread, so they are atomics. They stay in place until the process ends, and the core's statistics
//! object with them, which `Drop` sees to.

use crate::log::Log;
use crate::rsyslogd::Rsyslogd;
use crate::strings::to_c;
use crate::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number of an instance. Any thread may count.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to a number that only grows.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes from a number that goes up and down.
    pub fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    /// Says how much there is at present.
    pub fn set(&self, amount: u64) {
        self.0.store(amount, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one instance, shown under its name with the module as origin.
#[derive(Debug)]
pub struct Counters {
    numbers: Box<[Counter]>,
    /// The core has a statistics object that points to them.
    shown: bool,
}

/// How the core treats a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    WithOthers,
    Never,
}

impl Counters {
    /// Registers counters with the core: `names` in the order in which [`Counters::of`] finds them;
    /// a name that begins with `=` is a present state that impstats never resets.
    ///
    /// Where the core's statistics are of an unknown version, the numbers are counted and not shown.
    pub fn new(
        rsyslogd: &Arc<Rsyslogd>,
        module: &str,
        instance: &str,
        names: &[&'static str],
    ) -> Self {
        let numbers: Box<[Counter]> = names.iter().map(|_| Counter::default()).collect();
        let shown = Self::show(rsyslogd, module, instance, names, &numbers).is_some();
        Self { numbers, shown }
    }

    /// The counter at `index` in the list of names.
    pub fn of(&self, index: usize) -> &Counter {
        &self.numbers[index]
    }

    fn show(
        rsyslogd: &Arc<Rsyslogd>,
        module: &str,
        instance: &str,
        names: &[&'static str],
        numbers: &[Counter],
    ) -> Option<()> {
        let statistics = rsyslogd.statistics()?;
        let common = &statistics.common;
        let (construct, finalize) = (common.Construct?, common.ConstructFinalize?);
        let (set_name, set_origin) = (common.SetName?, common.SetOrigin?);
        let mut object = std::ptr::null_mut();
        // SAFETY: the functions are those of the granted statsobj interface, called in the order its
        // header asks for: construct, name, counters, finalize. Names are copied by the core. The
        // numbers live in a box that does not move and that `Drop` leaves in place.
        unsafe {
            if construct(&mut object) != sys::RS_RET_OK {
                Log::module(module).error("no memory for the counters: they are not shown");
                return None;
            }
            set_name(object, to_c(instance).as_ptr().cast_mut().cast());
            set_origin(object, to_c(module).as_ptr().cast_mut().cast());
            for (name, number) in names.iter().zip(numbers) {
                let (name, reset) = match name.strip_prefix('=') {
                    Some(name) => (name, Reset::Never),
                    None => (*name, Reset::WithOthers),
                };
                let flags = match reset {
                    Reset::Never => sys::CTR_FLAG_NONE,
                    Reset::WithOthers => sys::CTR_FLAG_RESETTABLE,
                };
                (statistics.add_counter)(
                    object,
                    to_c(name).as_ptr().cast(),
                    sys::ctrType_IntCtr as i32,
                    flags as i8,
                    number.0.as_ptr().cast(),
                );
            }
            finalize(object);
            Some(())
        }
    }
}

impl Drop for Counters {
    /// impstats walks the core's list of objects without its lock (runtime/statsobj.c, getAllStatsLines), in a
    /// thread that lives as long as other inputs: an object that goes meanwhile crashes rsyslogd. So object and
    /// numbers stay until the process ends; an instance ends with it.
    fn drop(&mut self) {
        if self.shown {
            std::mem::forget(std::mem::take(&mut self.numbers));
        }
    }
}

/// Defines the counters of an instance: one table of methods and the names impstats shows.
///
/// A name that begins with `=` is a present state, which impstats never resets.
#[macro_export]
macro_rules! counters {
    ($(#[$about:meta])* $set:ident { $($(#[$what:meta])* $counter:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug)]
        pub(crate) struct $set($crate::Counters);

        #[allow(non_camel_case_types)]
        enum Place { $($counter,)* }

        impl $set {
            /// Registers them with the core.
            pub(crate) fn new(
                rsyslogd: &::std::sync::Arc<$crate::Rsyslogd>,
                module: &str,
                instance: &str,
            ) -> Self {
                Self($crate::Counters::new(rsyslogd, module, instance, &[$($name,)*]))
            }

            $($(#[$what])*
            pub(crate) fn $counter(&self) -> &$crate::Counter {
                self.0.of(Place::$counter as usize)
            })*
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsyslogd::Statistics;
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    /// The core's object is gone.
    static DESTRUCTED: AtomicBool = AtomicBool::new(false);
    /// Where the core finds the numbers.
    static NUMBERS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    /// rsyslogd's own, which `Counters::new` may call, and does not here.
    #[allow(non_snake_case)]
    #[unsafe(no_mangle)]
    extern "C" fn LogError() {}

    unsafe extern "C" fn construct(object: *mut *mut sys::statsobj_t) -> sys::rsRetVal {
        // SAFETY: a place for the answer, which is handed back and never followed.
        unsafe { *object = ptr::dangling_mut() };
        sys::RS_RET_OK
    }

    unsafe extern "C" fn destruct(_object: *mut *mut sys::statsobj_t) -> sys::rsRetVal {
        DESTRUCTED.store(true, Ordering::Relaxed);
        sys::RS_RET_OK
    }

    unsafe extern "C" fn finalize(_object: *mut sys::statsobj_t) -> sys::rsRetVal {
        sys::RS_RET_OK
    }

    unsafe extern "C" fn name(_of: *mut sys::statsobj_t, _name: *mut sys::uchar) -> sys::rsRetVal {
        sys::RS_RET_OK
    }

    unsafe extern "C" fn add_counter(
        _object: *mut sys::statsobj_t,
        _name: *const sys::uchar,
        _kind: i32,
        _flags: i8,
        number: *mut c_void,
    ) -> sys::rsRetVal {
        NUMBERS.lock().unwrap().push(number as usize);
        sys::RS_RET_OK
    }

    /// An input's end beside impstats, which has no lock: see `drop`.
    #[test]
    fn what_impstats_reads_stays_when_its_instance_goes() {
        // SAFETY: functions that are not there, and plain numbers.
        let mut common: sys::statsobj_common_t = unsafe { std::mem::zeroed() };
        common.Construct = Some(construct);
        common.ConstructFinalize = Some(finalize);
        common.Destruct = Some(destruct);
        common.SetName = Some(name);
        common.SetOrigin = Some(name);
        let rsyslogd = Rsyslogd::with_statistics(Statistics { version: 17, common, add_counter });
        let counters = Counters::new(&Arc::new(rsyslogd), "imrzmq", "in", &["lines", "=peers"]);
        counters.of(0).add(7);
        counters.of(1).set(8);
        drop(counters);
        let numbers = NUMBERS.lock().unwrap();
        // SAFETY: what this test is about; they are the counters' own.
        let read = |at: &usize| unsafe { &*(*at as *const AtomicU64) }.load(Ordering::Relaxed);
        assert_eq!(numbers.iter().map(read).collect::<Vec<_>>(), [7, 8]);
        assert!(!DESTRUCTED.load(Ordering::Relaxed), "impstats may be reading the object");
    }
}
