//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Asks until the answer is `Some`; panics with `what` once the deadline is over.
pub fn wait_until<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    match try_until(deadline, condition) {
        Some(answer) => answer,
        None => panic!("waited {deadline:?} in vain for: {what}"),
    }
}

/// As [`wait_until`], but a deadline that is over is an answer as well.
pub fn try_until<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return Some(answer);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
