//! The reader's half of numbered messages (numbering.rs): what is missing between two messages of a topic
//! was dropped before it came here.
//!
//! What a peer says is believed as its lines are, and costs no more than a bounded table. Pure; owned by who
//! reads the socket.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use crate::numbering::{MOST, decode};

/// Bytes of a topic that are kept to be told.
const LONGEST_TOPIC: usize = 128;

/// Lines that did not come, summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many; what a peer makes up may add up to no more than `u64::MAX`.
    pub lines: u64,
    /// Of how many topics; one of a publisher with several sockets may count for each.
    pub topics: u64,
    /// The first of these, 128 bytes at most.
    pub topic: Vec<u8>,
}

/// Finds gaps in what comes from a socket.
#[derive(Debug)]
pub struct Gaps {
    hasher: RandomState,
    /// By the hash of a numbering's id and a topic.
    seen: HashMap<u64, Seen>,
    /// What was found since [`Gaps::take`], and how often that was asked, so that a topic counts once.
    missed: Missed,
    round: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The highest number so far.
    last: u64,
    /// The round of its last gap.
    round: u64,
}

impl Gaps {
    /// Knows nothing yet: the first message of each topic is where its count begins.
    pub fn new() -> Gaps {
        let (hasher, seen) = (RandomState::new(), HashMap::new());
        Gaps { hasher, seen, missed: Missed::default(), round: 1 }
    }

    /// Looks at a message's topic and the frame behind it, in the order in which messages come; answers how
    /// many lines are missing before this one. A frame that is no number means none, and so does a number
    /// that is not above those before it.
    pub fn note(&mut self, topic: &[u8], frame: &[u8]) -> u64 {
        let Some((id, number)) = decode(frame) else { return 0 };
        let key = self.hasher.hash_one((id, topic));
        let Some(seen) = self.seen.get_mut(&key) else {
            if self.seen.len() >= MOST {
                self.seen.clear();
            }
            self.seen.insert(key, Seen { last: number, round: 0 });
            return 0;
        };
        let missing = number.saturating_sub(seen.last).saturating_sub(1);
        seen.last = seen.last.max(number);
        if missing > 0 {
            self.missed.lines = self.missed.lines.saturating_add(missing);
            if seen.round != self.round {
                seen.round = self.round;
                self.missed.topics += 1;
            }
            if self.missed.topic.is_empty() {
                self.missed.topic.extend(topic.iter().take(LONGEST_TOPIC));
            }
        }
        missing
    }

    /// What was found since the last call, if anything was.
    pub fn take(&mut self) -> Option<Missed> {
        if self.missed.lines == 0 {
            return None;
        }
        self.round += 1;
        Some(std::mem::take(&mut self.missed))
    }
}

impl Default for Gaps {
    fn default() -> Gaps {
        Gaps::new()
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missed { lines, topics, topic } = self;
        let topic = String::from_utf8_lossy(topic);
        match topics {
            0 | 1 => write!(f, "{lines} of topic {topic:?}"),
            topics => write!(f, "{lines} of {topics} topics, such as {topic:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbering::Numbering;
    use proptest::prelude::*;

    /// As a publisher with this id would write it.
    fn frame(id: u64, number: u64) -> Vec<u8> {
        [&b"rzn1"[..], &id.to_le_bytes(), &number.to_le_bytes()].concat()
    }

    #[test]
    fn a_gap_is_what_is_between_two_numbers() {
        let mut gaps = Gaps::new();
        let found = [5, 6, 7, 10, 9, 8, 10, 11].map(|number| gaps.note(b"a", &frame(1, number)));
        assert_eq!(found, [0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(gaps.note(b"a", &frame(2, 100)), 0, "another numbering");
        assert_eq!(gaps.note(b"b", &frame(1, 100)), 0, "another topic");
        assert_eq!(gaps.note(b"a", &frame(1, 12)), 0);
        assert_eq!(gaps.note(b"a", &frame(2, 102)), 1);
    }

    #[test]
    fn what_is_missing_is_summed_up_until_it_is_asked_for() {
        let mut gaps = Gaps::new();
        assert_eq!(gaps.take(), None);
        for number in [1, 3, 6] {
            gaps.note(b"a\x1b[2J", &frame(1, number));
            gaps.note(b"b", &frame(1, number));
        }
        let missed = gaps.take().unwrap();
        assert_eq!((missed.lines, missed.topics), (6, 2));
        assert_eq!(missed.to_string(), "6 of 2 topics, such as \"a\\u{1b}[2J\"");
        assert_eq!(gaps.take(), None);
        gaps.note(b"b", &frame(1, 8));
        let missed = gaps.take().unwrap();
        assert_eq!(missed.to_string(), "1 of topic \"b\"");
    }

    #[test]
    fn the_highest_numbers_neither_overflow_nor_wrap() {
        let mut gaps = Gaps::new();
        for id in 0..3 {
            assert_eq!(gaps.note(b"a", &frame(id, 0)), 0);
            assert_eq!(gaps.note(b"a", &frame(id, u64::MAX)), u64::MAX - 1);
            assert_eq!(gaps.note(b"a", &frame(id, u64::MAX)), 0);
            assert_eq!(gaps.note(b"a", &frame(id, 0)), 0);
        }
        assert_eq!(gaps.take().unwrap().lines, u64::MAX);
    }

    #[test]
    fn a_flood_of_ids_does_not_grow_the_table_for_ever() {
        let mut gaps = Gaps::new();
        for id in 0..3 * MOST as u64 {
            assert_eq!(gaps.note(b"a", &frame(id, id)), 0);
            assert!(gaps.seen.len() <= MOST);
        }
        let long = vec![b'x'; 1 << 20];
        gaps.note(&long, &frame(1, 1));
        gaps.note(&long, &frame(1, 3));
        assert_eq!(gaps.take().unwrap().topic.len(), LONGEST_TOPIC);
    }

    proptest! {
        /// Between the first and the last message of a topic that come, each one is seen or missed.
        #[test]
        fn seen_and_missed_are_all(messages in prop::collection::vec((0..5_u8, any::<bool>()), 0..400)) {
            let (mut numbering, mut gaps) = (Numbering::new(), Gaps::new());
            let (mut missed, mut expected, mut dropped) = (0, 0, [None; 5]);
            for (topic, comes) in messages {
                let topic = [topic];
                let next = numbering.next(&topic);
                let of = &mut dropped[usize::from(topic[0])];
                if comes {
                    expected += of.unwrap_or(0);
                    *of = Some(0);
                    missed += gaps.note(&topic, next.frame());
                } else if let Some(dropped) = of {
                    *dropped += 1;
                }
                next.taken();
            }
            prop_assert_eq!(missed, expected);
            prop_assert_eq!(gaps.take().map_or(0, |missed| missed.lines), expected);
        }

        #[test]
        fn any_bytes_are_borne(frames in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>(), 0..4_u64, any::<u64>()), 0..50)) {
            let mut gaps = Gaps::new();
            for (topic, bytes, id, number) in frames {
                prop_assert_eq!(gaps.note(&topic, &bytes), 0);
                gaps.note(b"", &frame(id, number));
            }
            if let Some(missed) = gaps.take() {
                prop_assert!(missed.to_string().chars().all(|sign| !sign.is_control()));
            }
        }
    }
}
