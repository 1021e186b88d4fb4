//! Faults on demand, in test builds only: proves that a panic in a callback leaves rsyslogd alive, that
//! AddressSanitizer looks at the modules (`make test-asan`), and what becomes of a module on a rsyslogd
//! of the future, or on one that parses in another way.

use std::borrow::Cow;

/// In a build with the feature `fault-injection`: panics when the environment variable RZMQ_FAULT
/// names this point (such as `omrzmq:commit`), and reads freed memory when it names the point and
/// `:use-after-free` behind it. In every other build: nothing, not even a look.
#[inline]
pub fn fault_point(name: &str) {
    #[cfg(feature = "fault-injection")]
    #[allow(clippy::panic)]
    if let Some(wanted) = std::env::var_os("RZMQ_FAULT") {
        let wanted = wanted.to_string_lossy();
        if wanted == name {
            panic!("fault {name} was asked for by RZMQ_FAULT");
        }
        if wanted.strip_suffix(":use-after-free") == Some(name) {
            use_after_free();
        }
    }
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
}

/// One byte is read that is no longer ours: nobody notices but a sanitizer.
#[cfg(feature = "fault-injection")]
fn use_after_free() {
    let byte = std::hint::black_box(Box::into_raw(Box::new(0_u8)));
    // SAFETY: the box was made above and nobody else has it.
    unsafe { drop(Box::from_raw(byte)) };
    // SAFETY: none, on purpose: this is the mistake that is to be found.
    std::hint::black_box(unsafe { byte.read_volatile() });
}

/// In a build with the feature `fault-injection`: how much newer than those known the interface versions
/// are that are asked for, where RZMQ_FUTURE names this interface; or not 0, where it names this member of a
/// message, which is looked for in another place. In every other build: 0.
pub(crate) fn future(interface: &std::ffi::CStr) -> std::ffi::c_int {
    #[cfg(feature = "fault-injection")]
    if std::env::var_os("RZMQ_FUTURE").is_some_and(|wanted| {
        std::os::unix::ffi::OsStrExt::as_bytes(wanted.as_os_str()) == interface.to_bytes()
    }) {
        return 100;
    }
    #[cfg(not(feature = "fault-injection"))]
    let _ = interface;
    0
}

/// In a build with the feature `fault-injection`: the line in which the core's parsers find what they would
/// find in this one if they parsed in another way, by RZMQ_PARSES (`web1=web2`: they read the one as the
/// other). In every other build: this line.
pub(crate) fn parsed_as(line: &str) -> Cow<'_, str> {
    #[cfg(feature = "fault-injection")]
    if let Ok(wanted) = std::env::var("RZMQ_PARSES") {
        if let Some((from, to)) = wanted.split_once('=') {
            return line.replace(from, to).into();
        }
    }
    line.into()
}
