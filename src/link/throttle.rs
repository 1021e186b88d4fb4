//! Lines on their way to the log: a cause speaks once a minute, and the next line says how many it held back.
//!
//! Each kind of line has places of its own, so many causes and no more. So whoever makes one all day, or under
//! many names, hides nothing of another kind, and fills neither the memory nor the log.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Between two lines about the same cause.
const EVERY: Duration = Duration::from_secs(60);
/// The cause of all that find no place within their kind.
const OTHERS: &str = "";

/// What was told when. Owned by whoever tells it.
#[derive(Debug)]
pub struct Throttle {
    /// Causes that are told apart within a kind; those beyond share one place.
    most: usize,
    /// By kind and cause.
    kinds: HashMap<&'static str, HashMap<String, Told>>,
}

#[derive(Debug)]
struct Told {
    when: Instant,
    held_back: u64,
}

/// How many lines were held back before this one: the end of its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack(pub u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more of this kind since the last such message)"),
        }
    }
}

impl Throttle {
    /// For what anybody can cause, who need not be let in.
    pub(crate) fn of_strangers() -> Throttle {
        Throttle { most: 16, kinds: HashMap::new() }
    }

    /// For what peers cause that were let in, or this side itself.
    pub fn of_peers() -> Throttle {
        Throttle { most: 64, kinds: HashMap::new() }
    }

    /// How many were held back, if the cause may be told now; else it is counted. It is empty, where a kind has
    /// but one.
    pub fn admit(&mut self, kind: &'static str, cause: &str, now: Instant) -> Option<u64> {
        let told = self.kinds.entry(kind).or_default();
        let is_due = |it: &Told| now.saturating_duration_since(it.when) >= EVERY;
        if !told.contains_key(cause) && told.len() >= self.most {
            let mut untold = 0;
            told.retain(|cause, it| {
                let stays = cause == OTHERS || !is_due(it);
                untold += if stays { 0 } else { it.held_back };
                stays
            });
            if untold > 0 {
                // told with the next cause that has no place of its own
                let others = Told { when: now, held_back: 0 };
                told.entry(OTHERS.to_owned()).or_insert(others).held_back += untold;
            }
        }
        let has_place = told.contains_key(cause) || told.len() < self.most;
        let cause = if has_place { cause } else { OTHERS };
        match told.get_mut(cause) {
            None => {
                told.insert(cause.to_owned(), Told { when: now, held_back: 0 });
                Some(0)
            }
            Some(it) if is_due(it) => {
                it.when = now;
                Some(std::mem::take(&mut it.held_back))
            }
            Some(it) => {
                it.held_back += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_speaks_once_a_minute_and_counts() {
        let (mut throttle, start) = (Throttle::of_strangers(), Instant::now());
        let mut admit =
            |cause, seconds| throttle.admit("kind", cause, start + Duration::from_secs(seconds));
        assert_eq!(admit("a", 0), Some(0));
        assert_eq!(admit("a", 1), None);
        assert_eq!(admit("b", 2), Some(0));
        assert_eq!(admit("a", 59), None);
        assert_eq!(admit("a", 60), Some(2));
        assert_eq!(admit("a", 200), Some(0));
    }

    #[test]
    fn a_flood_of_causes_is_bounded_and_counted() {
        let (mut throttle, start) = (Throttle::of_peers(), Instant::now());
        let most = throttle.most;
        for minute in 0..3 {
            let now = start + EVERY * minute;
            let causes = (0..10_000).map(|number| number.to_string());
            let told: Vec<_> = causes.filter_map(|it| throttle.admit("rate", &it, now)).collect();
            assert_eq!(told.len(), most + 1);
            assert_eq!(throttle.kinds["rate"].len(), most + 1);
            let held_back = if minute == 0 { 0 } else { 10_000 - told.len() as u64 };
            assert_eq!(told.last(), Some(&held_back));
        }
    }

    #[test]
    fn no_flood_of_causes_hides_a_line_of_another_kind() {
        let (mut throttle, now) = (Throttle::of_strangers(), Instant::now());
        for cause in 0..10_000 {
            throttle.admit("failed", &format!("cause {cause}"), now);
        }
        assert_eq!(throttle.admit("lost", "web1", now), Some(0));
        let told = throttle.admit("lost", "web1", now + EVERY);
        assert_eq!(told, Some(0), "none of its kind was held back");
    }

    /// What one peer did once takes a place for a minute, not for ever.
    #[test]
    fn old_causes_make_room_and_what_they_held_back_is_told() {
        for mut throttle in [Throttle::of_strangers(), Throttle::of_peers()] {
            let mut now = Instant::now();
            let most = throttle.most;
            for cause in 0..most {
                assert_eq!(throttle.admit("kind", &format!("cause {cause}"), now), Some(0));
                assert_eq!(throttle.admit("kind", &format!("cause {cause}"), now), None);
            }
            now += EVERY;
            for cause in 0..most - 1 {
                assert_eq!(throttle.admit("kind", &format!("new cause {cause}"), now), Some(0));
            }
            assert_eq!(throttle.admit("kind", "one too many", now), None);
            now += EVERY;
            assert_eq!(throttle.admit("kind", OTHERS, now), Some(1 + most as u64));
        }
    }

    #[test]
    fn a_sentence_ends_with_what_was_held_back() {
        let sentence = " (2 more of this kind since the last such message)";
        assert_eq!(
            (HeldBack(0).to_string(), HeldBack(2).to_string()),
            ("".into(), sentence.into())
        );
    }
}
