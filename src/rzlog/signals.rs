//! Ctrl-C and SIGTERM as something to look at, so that what was read is written and counted first. A
//! second one ends the process at once: whoever stands still in a write looks no more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

pub(crate) struct Signals([(i32, Arc<AtomicBool>); 2]);

impl Signals {
    pub(crate) fn listen() -> io::Result<Signals> {
        let signals = Signals([SIGINT, SIGTERM].map(|signal| (signal, Arc::default())));
        for (signal, came) in &signals.0 {
            flag::register_conditional_shutdown(*signal, 128 + *signal, Arc::clone(came))?;
            flag::register(*signal, Arc::clone(came))?;
        }
        Ok(signals)
    }

    /// The signal that came, if one did.
    pub(crate) fn came(&self) -> Option<i32> {
        let mut all = self.0.iter();
        all.find(|(_, came)| came.load(Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}
