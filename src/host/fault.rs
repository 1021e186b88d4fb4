//! Faults on demand, in test builds only: proves that a panic in a callback leaves rsyslogd alive.

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
