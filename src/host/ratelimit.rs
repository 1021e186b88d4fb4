//! rsyslog's rate limiter on an input: how many lines it lets pass, and the way through it into a batch.

use crate::message::multi_submit;
use crate::rsyslogd::Rsyslogd;
use crate::strings::to_c;
use crate::sys;
use std::ptr;

/// rsyslog's own rate limiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateLimit {
    /// At most so many lines in so many seconds.
    Lines {
        /// Seconds.
        interval: u32,
        /// Lines.
        burst: u32,
    },
    /// As a `ratelimit()` object of this name says.
    Policy(String),
}

/// A rate limiter could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    /// The release has no named policies.
    #[error(
        "this release of rsyslog has no ratelimit() objects; write ratelimit.interval and ratelimit.burst"
    )]
    NoPolicies,
    /// There is none of this name.
    #[error("there is no ratelimit(name=\"{0}\")")]
    Unknown(String),
    /// Memory is short.
    #[error("memory is short")]
    Memory,
}

impl RateLimit {
    /// Whether `module` can have this limiter, now that the whole configuration is known.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self, rsyslogd: &Rsyslogd, module: &str) -> Result<(), RateLimitError> {
        Limiter::new(rsyslogd, module, "check", self).map(drop)
    }
}

/// The core's rate limiter; what it lets pass it adds to the batch, as only a batch's submission tells
/// of a queue's error. A line longer than `maxMessageSize` it submits itself, by the oversize rule.
#[derive(Debug)]
pub(crate) struct Limiter(*mut sys::ratelimit_t);

impl Limiter {
    pub(crate) fn new(
        rsyslogd: &Rsyslogd,
        module: &str,
        name: &str,
        limit: &RateLimit,
    ) -> Result<Self, RateLimitError> {
        let mut limiter = ptr::null_mut();
        let (module, name) = (to_c(module), to_c(name));
        let made = match limit {
            RateLimit::Lines { interval, burst } => {
                // SAFETY: exported by rsyslogd; it copies the names.
                let code =
                    unsafe { sys::ratelimitNew(&mut limiter, module.as_ptr(), name.as_ptr()) };
                if code == sys::RS_RET_OK && !limiter.is_null() {
                    // SAFETY: exported by rsyslogd; the limiter was just made.
                    unsafe { sys::ratelimitSetLinuxLike(limiter, *interval, *burst) };
                }
                (code == sys::RS_RET_OK).then_some(()).ok_or(RateLimitError::Memory)
            }
            RateLimit::Policy(policy) => {
                let make = rsyslogd.named_limiter().ok_or(RateLimitError::NoPolicies)?;
                let text = to_c(policy);
                let configuration = rsyslogd.configuration();
                // SAFETY: the function has this signature; it copies the names, and the
                // configuration is the one that rsyslogd handed us.
                let code = unsafe {
                    make(&mut limiter, configuration, text.as_ptr(), module.as_ptr(), name.as_ptr())
                };
                (code == sys::RS_RET_OK)
                    .then_some(())
                    .ok_or(RateLimitError::Unknown(policy.clone()))
            }
        };
        made?;
        if limiter.is_null() { Err(RateLimitError::Memory) } else { Ok(Self(limiter)) }
    }

    /// `pending` holds less than a batch, and has the room that it was made with. Answers the core's code.
    pub(crate) fn add(
        &self,
        pending: &mut Vec<*mut sys::smsg_t>,
        message: *mut sys::smsg_t,
    ) -> sys::rsRetVal {
        let mut batch = multi_submit(pending);
        // SAFETY: the limiter is used by this thread only; the message is handed over: to the batch, to
        // the queue, or to its end. Of the room behind the batch's messages ADDED places are used at
        // most, and `nElem` says how many messages are ours now.
        unsafe {
            let code = sys::ratelimitAddMsg(self.0, &mut batch, message);
            pending.set_len(batch.nElem as usize);
            code
        }
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        // SAFETY: made by ratelimitNew, destructed once.
        unsafe { sys::ratelimitDestruct(self.0) };
    }
}
