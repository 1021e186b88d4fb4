//! How much there was within the last so many minutes: a ring of slots, so that it has one size however
//! much there is. It is exact to one slot, a thirtieth of its length or less.

use serde::{Deserialize, Serialize};

use super::clock::{Span, Time};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Milliseconds a slot.
    width: u64,
    slots: Vec<u32>,
    /// The newest slot's number since 1970.
    newest: u64,
    sum: u64,
}

impl Window {
    pub(crate) fn new(length: Span, slots: u32) -> Window {
        let slots = slots.max(1);
        let width = length.0.div_ceil(u64::from(slots)).max(1);
        Window { width, slots: vec![0; slots as usize], newest: 0, sum: 0 }
    }

    pub(crate) fn add(&mut self, now: Time, count: u32) {
        self.advance(now);
        let index = self.index(self.newest);
        if let Some(slot) = self.slots.get_mut(index) {
            let before = *slot;
            *slot = slot.saturating_add(count);
            self.sum += u64::from(*slot - before);
        }
    }

    pub(crate) fn sum(&mut self, now: Time) -> u64 {
        self.advance(now);
        self.sum
    }

    /// The clock was wrong by so much: it is earlier. Exact to a slot.
    pub(crate) fn earlier(&mut self, by: Span) {
        let steps = (by.0 / self.width.max(1)).min(self.newest);
        self.newest -= steps;
        // each slot is where its number says
        let turn = self.index(steps);
        self.slots.rotate_left(turn);
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number % self.slots.len().max(1) as u64).unwrap_or(0)
    }

    /// Time that goes back counts as standing still.
    fn advance(&mut self, now: Time) {
        let number = now / self.width.max(1);
        let steps = number.saturating_sub(self.newest);
        for step in 1..=steps.min(self.slots.len() as u64) {
            let index = self.index(self.newest + step);
            if let Some(slot) = self.slots.get_mut(index) {
                self.sum = self.sum.saturating_sub(u64::from(std::mem::take(slot)));
            }
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_counts_what_is_within_its_length_to_a_slot(
            steps in prop::collection::vec((0u64..5_000, 0u32..5), 1..100)
        ) {
            let length = 3_000;
            let mut window = Window::new(Span(length), 30);
            let (mut now, mut all) = (1_000_000, Vec::new());
            for (step, count) in steps {
                now += step;
                window.add(now, count);
                all.push((now, u64::from(count)));
                let within = |age: u64| -> u64 {
                    let young = all.iter().filter(|(at, _)| now - at < age);
                    young.map(|(_, count)| count).sum()
                };
                let sum = window.sum(now);
                prop_assert!(within(length - 100) <= sum && sum <= within(length), "{sum}");
            }
        }
    }

    #[test]
    fn what_was_counted_by_a_clock_that_was_wrong_counts_from_then_on() {
        for by in [0, 100, 12_300, 7_000_000] {
            let mut window = Window::new(Span(1000), 10);
            for step in 0..10 {
                window.add(9_000_000 + step * 100, 1);
            }
            window.earlier(Span(by));
            let now = 9_000_900 - by;
            assert_eq!(window.sum(now), 10, "{by}");
            assert_eq!(window.sum(now + 500), 5, "{by}");
            window.add(now + 500, 7);
            assert_eq!((window.sum(now + 900), window.sum(now + 1400)), (8, 7), "{by}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_neither_fails_nor_forgets() {
        let mut window = Window::new(Span(1000), 10);
        window.add(10_000, u32::MAX);
        window.add(5_000, 5);
        assert_eq!(window.sum(1), u64::from(u32::MAX));
        assert_eq!(window.sum(20_000), 0);
    }
}
