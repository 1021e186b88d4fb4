//! HUP comes to a module as a whole, from rsyslogd's main thread, and means the module's context,
//! which others own.

use rzmq_link::Context;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The way from HUP to a module's context. A static of the module's.
#[derive(Debug)]
pub struct Hup(Mutex<Weak<Context>>);

impl Hup {
    /// Leads nowhere yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    fn context(&self) -> MutexGuard<'_, Weak<Context>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads to this context from now on.
    pub fn lead_to(&self, context: &Arc<Context>) {
        *self.context() = Arc::downgrade(context);
    }

    /// Leads nowhere any more.
    pub fn end(&self) {
        *self.context() = Weak::new();
    }

    /// HUP: files may have changed.
    pub fn came(&self) {
        let context = self.context().upgrade();
        if let Some(context) = context {
            context.look_at_credentials();
        }
    }
}

impl Default for Hup {
    fn default() -> Self {
        Self::new()
    }
}
