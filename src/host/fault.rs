//! Faults on demand, in test builds only: proves that a panic in a callback leaves rsyslogd alive, and
//! what becomes of a module on a rsyslogd of the future.

/// In a build with the feature `fault-injection`: panics when the environment variable RZMQ_FAULT
/// names this point (such as `omrzmq:commit`). In every other build: nothing, not even a look.
#[inline]
pub fn fault_point(name: &str) {
    #[cfg(feature = "fault-injection")]
    #[allow(clippy::panic)]
    if std::env::var_os("RZMQ_FAULT").is_some_and(|wanted| wanted == name) {
        panic!("fault {name} was asked for by RZMQ_FAULT");
    }
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
}

/// In a build with the feature `fault-injection`: how much newer than those known the interface versions
/// are that are asked for, where RZMQ_FUTURE names this interface. In every other build: 0.
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
