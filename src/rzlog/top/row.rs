//! A row of the table: lines counted by severity, with their rate and the newest of each.

use std::time::Duration;

use super::place::Grade;

/// A rate is that of the last so many seconds.
pub(super) const WINDOW: u64 = 10;
/// The newest line is cut behind so many bytes.
pub(super) const LONGEST_LINE: usize = 256;

/// By severity: most rows have one or two.
#[derive(Default)]
pub(super) struct Row(pub(super) [Option<Box<Cell>>; Grade::COUNT]);

#[derive(Default)]
pub(super) struct Cell {
    pub(super) lines: u64,
    pub(super) recent: Recent,
    pub(super) at: Duration,
    pub(super) message: Vec<u8>,
}

/// Lines of the last seconds, each in the place of its number.
#[derive(Default)]
pub(super) struct Recent {
    second: u64,
    counts: [u32; WINDOW as usize],
}

impl Row {
    pub(super) fn count(&mut self, grade: Grade, message: &[u8], now: Duration) {
        let Some(cell) = self.0.get_mut(usize::from(grade.0)) else { return };
        let cell = cell.get_or_insert_default();
        cell.lines += 1;
        cell.recent.add(now.as_secs());
        cell.at = now;
        cell.message.clear();
        cell.message.extend_from_slice(&message[..message.len().min(LONGEST_LINE)]);
    }

    pub(super) fn newest(&self) -> Option<Duration> {
        self.0.iter().flatten().map(|cell| cell.at).max()
    }

    /// Takes what another one has counted.
    pub(super) fn take(&mut self, from: &mut Row) {
        for (into, from) in self.0.iter_mut().zip(&mut from.0) {
            match (into.as_mut(), from.take()) {
                (_, None) => {}
                (None, from) => *into = from,
                (Some(into), Some(from)) => {
                    into.lines += from.lines;
                    into.recent.take(&from.recent);
                    if from.at > into.at {
                        (into.at, into.message) = (from.at, from.message);
                    }
                }
            }
        }
    }
}

impl Recent {
    fn add(&mut self, second: u64) {
        self.go_on(second);
        let count = &mut self.counts[(second % WINDOW) as usize];
        *count = count.saturating_add(1);
    }

    fn go_on(&mut self, second: u64) {
        // what lies between was without lines
        for past in 0..second.saturating_sub(self.second).min(WINDOW) {
            self.counts[((second - past) % WINDOW) as usize] = 0;
        }
        self.second = self.second.max(second);
    }

    fn take(&mut self, from: &Recent) {
        self.go_on(from.second);
        let oldest = self.second.saturating_sub(WINDOW - 1);
        for second in oldest..=from.second {
            let place = (second % WINDOW) as usize;
            self.counts[place] = self.counts[place].saturating_add(from.counts[place]);
        }
    }

    pub(super) fn sum(&self, second: u64) -> u64 {
        let oldest = second.saturating_sub(WINDOW - 1);
        let seconds = oldest..=self.second;
        seconds.map(|second| u64::from(self.counts[(second % WINDOW) as usize])).sum()
    }
}
