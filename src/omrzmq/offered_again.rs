//! Which of the lines that the engine offers were carried before.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Lines of a batch that was answered SUSPENDED after they were carried: the engine offers them again,
/// one by one and in the same order (measured on four releases), and they must not be carried twice.
/// What is known of each is a `T`.
///
/// Recognised by what they are, not by where they stand: two equal lines are two lines, those that the engine
/// passes over may come later, and the first line that is another one ends it. So does the engine's giving up.
#[derive(Debug)]
pub(crate) struct OfferedAgain<T> {
    hasher: RandomState,
    lines: VecDeque<(u64, T)>,
}

impl<T> OfferedAgain<T> {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), lines: VecDeque::new() }
    }

    pub(crate) fn remember(&mut self, line: &[u8], what: T) {
        self.lines.push_back((self.hasher.hash_one(line), what));
    }

    pub(crate) fn forget(&mut self) {
        self.lines.clear();
    }

    /// What is known of the lines, to be changed.
    pub(crate) fn known(&mut self) -> impl Iterator<Item = &mut T> {
        self.lines.iter_mut().map(|(_, what)| what)
    }

    /// What is known of a line that is offered; it is then no longer remembered.
    pub(crate) fn recognise(&mut self, line: &[u8]) -> Option<T> {
        let offered = self.hasher.hash_one(line);
        let Some(place) = self.lines.iter().position(|(remembered, _)| *remembered == offered)
        else {
            self.lines.clear();
            return None;
        };
        self.lines.remove(place).map(|(_, what)| what)
    }
}
