//! HUP: the files of rules are read anew. A mistake in them is told, and the old rules stay in use.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGHUP;

use crate::error::Error;
use crate::screen::notice;

pub(crate) struct Hup(Arc<AtomicBool>);

impl Hup {
    pub(crate) fn listen() -> io::Result<Hup> {
        let came = Arc::default();
        signal_hook::flag::register(SIGHUP, Arc::clone(&came))?;
        Ok(Hup(came))
    }

    /// Whether it came since the last call.
    pub(crate) fn came(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Says how it went: how many rules there are now, or what the mistake is.
pub(crate) fn tell(outcome: &Result<usize, Error>) {
    match outcome {
        Ok(rules) => notice(&format!("{rules} rules were read anew")),
        Err(error) => notice(&format!("{error}; the old rules stay in use")),
    }
}
