//! Ctrl-C and SIGTERM as something to look at, so that what was read is written and counted first. A
//! second one, whichever of them, ends the process at once: whoever stands still in a write looks no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

pub(crate) struct Signals(Vec<(i32, Arc<AtomicBool>)>);

impl Signals {
    pub(crate) fn listen() -> io::Result<Signals> {
        let signals = Signals::of(&[SIGINT, SIGTERM]);
        let any = Arc::<AtomicBool>::default();
        for (signal, came) in &signals.0 {
            flag::register_conditional_shutdown(*signal, 128 + *signal, Arc::clone(&any))?;
            flag::register(*signal, Arc::clone(&any))?;
            flag::register(*signal, Arc::clone(came))?;
        }
        Ok(signals)
    }

    /// For who has taken the terminal: HUP tells that it is lost, and before a second signal ends the
    /// process, `give_back` is called, by a thread.
    pub(crate) fn listen_on_terminal(give_back: fn()) -> io::Result<Signals> {
        let all = [SIGINT, SIGTERM, SIGHUP];
        let signals = Signals::of(&all);
        let came = Signals(signals.0.clone());
        let mut coming = signal_hook::iterator::Signals::new(all)?;
        let watch = move || {
            for signal in coming.forever() {
                if came.came().is_some() {
                    give_back();
                    process::exit(128 + signal);
                }
                let flags = came.0.iter().filter(|(number, _)| *number == signal);
                flags.for_each(|(_, flag)| flag.store(true, Ordering::Relaxed));
            }
        };
        thread::Builder::new().name("rzlog-signals".into()).spawn(watch)?;
        Ok(signals)
    }

    fn of(all: &[i32]) -> Signals {
        Signals(all.iter().map(|signal| (*signal, Arc::default())).collect())
    }

    /// The signal that came, if one did.
    pub(crate) fn came(&self) -> Option<i32> {
        let mut all = self.0.iter();
        all.find(|(_, came)| came.load(Ordering::Relaxed)).map(|(signal, _)| *signal)
    }
}
