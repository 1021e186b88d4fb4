//! The tally between the thread that counts and those that show it.
//!
//! The one that counts takes it again as soon as it has let go, when lines come in floods. A plain lock would
//! go to it each time, and who shows the page would wait for ever. So there are two: who waits for the
//! tally holds the door, and everybody goes through the door.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::tally::Tally;

#[derive(Clone)]
pub(super) struct Shared(Arc<(Mutex<()>, Mutex<Tally>)>);

impl Shared {
    pub(super) fn new(tally: Tally) -> Shared {
        Shared(Arc::new((Mutex::new(()), Mutex::new(tally))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        let (door, tally) = &*self.0;
        let _door = door.lock().unwrap_or_else(PoisonError::into_inner);
        tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
