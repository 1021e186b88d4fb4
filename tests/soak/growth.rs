//! Whether what a daemon holds has grown, by its samples after the warm-up: the rules, and nothing else.

use std::fmt;
use std::time::Duration;

use harness::secs;

/// From this length on a run is judged closely; in a shorter one the samples are few, and a daemon has
/// hardly reached its size.
const LONG: Duration = secs(30 * 60);
/// KiB that memory may grow by all the same: an allocator does not give back all that it was given. Over
/// the lines of some hours the first is less than a byte a line.
const SLACK: u64 = 2 * 1024;
const SLACK_OF_SHORT: u64 = 32 * 1024;

/// The samples of the first third and of the last, each in order of size; neither is empty.
pub struct Thirds {
    first: Vec<u64>,
    last: Vec<u64>,
}

impl Thirds {
    /// Of samples in order of time; `None`: there are none.
    pub fn of(samples: &[u64]) -> Option<Thirds> {
        let third = samples.len().div_ceil(3);
        let sorted = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        };
        (third > 0).then(|| Thirds {
            first: sorted(&samples[..third]),
            last: sorted(&samples[samples.len() - third..]),
        })
    }

    /// Descriptors and threads come and go with connections, and must come back to the same number. A leak,
    /// however slow, lifts the least and the median; a sample without one of the connections, or with
    /// one more, not both.
    pub fn count_grew(&self, length: Duration) -> bool {
        if length < LONG {
            return self.last[0] > self.first[self.first.len() - 1];
        }
        let median = |part: &[u64]| part[part.len() / 2];
        self.last[0] > self.first[0] && median(&self.last) > median(&self.first)
    }

    /// Memory in KiB goes up and down; what it never goes below again has grown.
    pub fn memory_grew(&self, length: Duration) -> bool {
        let slack = if length < LONG { SLACK_OF_SHORT } else { SLACK };
        self.last[0] > self.first[self.first.len() - 1] + slack
    }
}

impl fmt::Display for Thirds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |part: &[u64]| format!("{} to {}", part[0], part[part.len() - 1]);
        write!(f, "{} in the beginning, {} in the end", range(&self.first), range(&self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Duration = secs(4 * 3_600);
    const MINUTE: Duration = secs(60);

    fn of(sample: impl Fn(u64) -> u64, samples: u64) -> Thirds {
        Thirds::of(&(0..samples).map(sample).collect::<Vec<_>>()).expect("samples")
    }

    #[test]
    fn no_samples_are_no_answer() {
        assert!(Thirds::of(&[]).is_none());
        let one = Thirds::of(&[7]).expect("one");
        assert!(!one.count_grew(HOURS) && !one.memory_grew(HOURS));
    }

    /// One in two hours, below the ups and downs of three connections.
    #[test]
    fn a_slow_leak_of_descriptors_is_found_among_connections_that_come_and_go() {
        let noise = |n: u64| n * 7 % 4;
        assert!(of(|n| 40 + noise(n) + n / 100, 180).count_grew(HOURS));
        assert!(!of(|n| 40 + noise(n), 180).count_grew(HOURS));
    }

    #[test]
    fn a_sample_with_one_connection_less_or_a_time_with_one_more_is_no_leak() {
        assert!(!of(|n| if n == 3 { 38 } else { 40 }, 180).count_grew(HOURS), "one less");
        let more = of(|n| 40 + u64::from(n % 5 == 0 || (n > 120 && n % 5 < 4)), 180);
        assert!(!more.count_grew(HOURS), "more of them with one more");
    }

    #[test]
    fn few_samples_are_judged_by_what_is_always_more() {
        assert!(of(|n| 40 + n, 12).count_grew(MINUTE));
        assert!(!of(|n| 40 + n % 3 + n / 6, 12).count_grew(MINUTE));
    }

    /// Of the leaks, the second is 45 KiB a minute: 4 bytes a line at 200 lines a second.
    #[test]
    fn a_leak_of_some_bytes_a_line_is_found() {
        let noise = |n: u64| n * 37 % 900;
        assert!(of(|n| 60_000 + noise(n) + n * 234, 180).memory_grew(HOURS));
        assert!(of(|n| 60_000 + noise(n) + n * 60, 180).memory_grew(HOURS));
        assert!(!of(|n| 60_000 + noise(n), 180).memory_grew(HOURS));
    }

    #[test]
    fn memory_of_a_short_run_may_still_find_its_size() {
        assert!(!of(|n| 60_000 + n * 1_000, 12).memory_grew(MINUTE));
        assert!(of(|n| 60_000 + n * 8_000, 12).memory_grew(MINUTE));
    }
}
