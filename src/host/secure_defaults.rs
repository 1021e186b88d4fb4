//! `global(compatibility.defaults.secure="…")`, which rsyslog has since 8.2606: whether what is insecure
//! may be used in silence, with a warning, or not at all.
//!
//! There is no getter. The setting is a number in the configuration; behind it stand
//! `systemdNotifyReadyDelay` and the two ids that privileges are dropped to (runtime/rsconf.h of
//! 8.2608; the same order was found in the binary of 8.2610). Where they stand differs between
//! releases. So the place is found, and never guessed: the core's own functions that read the
//! neighbours are asked about a configuration of ours, in which one number after the other is set.
//! Where these three are not side by side, or the release is none whose order is known, the answer is
//! [`SecureDefaults::Unknown`] if the release has the setting, and [`SecureDefaults::Off`] if it has not.

use crate::rsyslogd::Rsyslogd;
use crate::sys;
use std::ffi::{CStr, c_int};

/// What the administrator wants of settings that are not secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureDefaults {
    /// Nothing, or this rsyslog does not have the setting.
    Off,
    /// This rsyslog has the setting, and it cannot be read.
    Unknown,
    /// A warning; the core's own default where it has the setting.
    Warn,
    /// An error.
    Strict,
}

/// The versions of the statistics interface by which the releases with this order are known: 8.2608
/// and 8.2610.
const KNOWN: [c_int; 2] = [16, 17];

/// A function that the releases with the setting export: it warns of what is not secure.
const SETTING: &CStr = c"glblWarnIfInsecureDefault";

/// A function of the core that answers whether some numbers of a configuration are not 0.
type Reader = unsafe extern "C" fn(*mut sys::rsconf_t) -> c_int;

/// The beginning of a configuration: the core's own is larger in each known release, and what the
/// readers look at lies in its first 128 bytes.
#[repr(C, align(16))]
struct Beginning([c_int; 256]);

impl SecureDefaults {
    pub(crate) fn of(rsyslogd: &Rsyslogd) -> Self {
        if reader(SETTING).is_none() {
            return Self::Off;
        }
        let known = rsyslogd.statistics().is_some_and(|it| KNOWN.contains(&it.version));
        let configuration = rsyslogd.configuration();
        if !known || configuration.is_null() {
            return Self::Unknown;
        }
        let Some(place) = place() else { return Self::Unknown };
        // SAFETY: the number stands in front of one that the core itself reads there as part of a
        // configuration; this configuration is the one it handed us. The setting is made by the
        // thread that reads the configuration, which is the one that calls us.
        match unsafe { configuration.cast::<c_int>().add(place).read() } {
            0 => Self::Strict,
            1 => Self::Off,
            2 => Self::Warn,
            _ => Self::Unknown,
        }
    }
}

/// Where the setting stands, counted in ints.
fn place() -> Option<usize> {
    let delay = places_read_by(reader(c"rsconfShouldDelayReadyNotify")?);
    let ids = places_read_by(reader(c"rsconfNeedDropPriv")?);
    match delay.as_slice() {
        &[delay] if ids == [delay + 1, delay + 2] => delay.checked_sub(1),
        _ => None,
    }
}

fn reader(name: &CStr) -> Option<Reader> {
    // SAFETY: looks a name up in the running program.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the two that are called have had this signature in each known release
    // (runtime/rsconf.c); a null pointer is None.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<Reader>>(function) }
}

fn places_read_by(reader: Reader) -> Vec<usize> {
    let mut beginning = Box::new(Beginning([0; 256]));
    let all = 0..beginning.0.len();
    all.filter(|&place| {
        beginning.0[place] = 1;
        // SAFETY: in each known release the function reads one or two ints of the beginning and does
        // nothing else.
        let answer = unsafe { reader((&raw mut *beginning).cast()) };
        beginning.0[place] = 0;
        answer != 0
    })
    .collect()
}
