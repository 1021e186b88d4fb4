//! The one guard that every callback from C passes.
//!
//! While Rust runs, rsyslogd must not cancel the thread: pthread_cancel inside Rust frames aborts
//! the process or skips destructors. And a panic must not unwind into C: it becomes a line in
//! rsyslogd's log and an error code.

use crate::log::Log;
use crate::sys;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// PTHREAD_CANCEL_DISABLE of pthread.h (glibc and musl).
const CANCEL_DISABLE: c_int = 1;

/// Runs one callback; `on_panic` is what rsyslog is answered when it panicked.
pub(crate) fn guard(
    on_panic: sys::rsRetVal,
    callback: impl FnOnce() -> sys::rsRetVal,
) -> sys::rsRetVal {
    let _uncancelled = Uncancelled::enter();
    // What the callback touched may be half changed after a panic: a batch that was being sent may come
    // twice, or be answered for by the lines before it. Its memory is whole, for nothing behind the entry
    // points that is safe code can break that.
    catch_unwind(AssertUnwindSafe(callback)).unwrap_or(on_panic)
}

/// Panics of any thread of this module go to rsyslogd's log, with their place, instead of to the
/// standard error, which may be somebody else's file.
pub(crate) fn log_panics(module: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.payload();
        let what = what
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| what.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        Log::module(module).error(format!(
            "internal error at {place}: {what}; rsyslogd goes on. Please report this line to the \
             maintainers of rsyslog-rzmq"
        ));
    }));
}

/// Thread cancellation is off as long as this lives.
struct Uncancelled {
    former: c_int,
}

impl Uncancelled {
    fn enter() -> Self {
        let mut former = 0;
        // SAFETY: concerns the calling thread alone; `former` is valid for the call.
        unsafe { sys::pthread_setcancelstate(CANCEL_DISABLE, &mut former) };
        Self { former }
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: puts back what pthread itself answered for this thread.
        unsafe { sys::pthread_setcancelstate(self.former, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_code_and_the_thread_is_cancellable_again() {
        std::panic::set_hook(Box::new(|_| {}));
        assert_eq!(guard(-3000, || panic!("forced")), -3000);
        let _ = std::panic::take_hook();
        assert_eq!(guard(-3000, || 0), 0);
        let mut state = 7;
        // SAFETY: concerns this thread alone.
        unsafe { sys::pthread_setcancelstate(0, &mut state) };
        assert_eq!(state, 0, "cancellation was on before and is on again");
    }
}
