//! The publisher's half of numbered messages: the frame between topic and line that says which message of
//! its topic this is, so that a reader sees what was dropped before it came (gaps.rs). docs/protocol.md
//! defines the frame.
//!
//! Pure. Owned by a socket, and used by its thread alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::random;

/// Bytes of the frame.
const SIZE: usize = 20;
/// It begins with these.
const MAGIC: [u8; 4] = *b"rzn1";
/// Topics that are remembered, on either side; beyond that the memory begins anew.
pub(crate) const MOST: usize = 65_536;

/// The numbers of a socket's messages, each topic's from 1 on.
#[derive(Debug)]
pub struct Numbering {
    id: u64,
    hasher: RandomState,
    /// The last number of a topic, by its hash.
    last: HashMap<u64, u64>,
}

/// The number of a message that is not sent yet.
#[derive(Debug)]
pub struct Next<'a> {
    frame: [u8; SIZE],
    last: &'a mut u64,
}

impl Numbering {
    /// A numbering that nobody has seen yet.
    pub fn new() -> Numbering {
        Numbering { id: fresh_id(), hasher: RandomState::new(), last: HashMap::new() }
    }

    /// The number of the next message of this topic. It is the same until [`Next::taken`].
    pub fn next(&mut self, topic: &[u8]) -> Next<'_> {
        let key = self.hasher.hash_one(topic);
        if self.last.len() >= MOST && !self.last.contains_key(&key) {
            self.last.clear();
            // numbers that begin again under the old one would be taken for old messages
            self.id = fresh_id();
        }
        let last = self.last.entry(key).or_insert(0);
        Next { frame: encode(self.id, *last + 1), last }
    }
}

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering::new()
    }
}

impl Next<'_> {
    /// The message's second frame.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The message is sent, and the number used.
    pub fn taken(self) {
        *self.last += 1;
    }
}

fn fresh_id() -> u64 {
    u64::from_le_bytes(random())
}

fn encode(id: u64, number: u64) -> [u8; SIZE] {
    let mut frame = [0; SIZE];
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..12].copy_from_slice(&id.to_le_bytes());
    frame[12..].copy_from_slice(&number.to_le_bytes());
    frame
}

/// The numbering's id and the message's number; none: no such frame.
pub(crate) fn decode(frame: &[u8]) -> Option<(u64, u64)> {
    let rest = frame.strip_prefix(&MAGIC)?;
    let (id, rest) = rest.split_first_chunk()?;
    let number = rest.try_into().ok()?;
    Some((u64::from_le_bytes(*id), u64::from_le_bytes(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn send(numbering: &mut Numbering, topic: &[u8]) -> (u64, u64) {
        let next = numbering.next(topic);
        let read = decode(next.frame()).unwrap();
        next.taken();
        read
    }

    #[test]
    fn the_frame_is_that_of_the_protocol() {
        let frame = encode(0x0102_0304_0506_0708, 0x0a0b);
        assert_eq!(&frame[..4], b"rzn1");
        assert_eq!(frame[4..], [8, 7, 6, 5, 4, 3, 2, 1, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0]);
        for other in [&frame[..19], &[&frame[..], b"x"].concat(), b"", b"rzn1", b"RZN1"] {
            assert_eq!(decode(other), None);
        }
        let mut other = frame;
        other[3] = b'2';
        assert_eq!(decode(&other), None);
    }

    #[test]
    fn a_message_that_is_not_sent_uses_no_number() {
        let mut numbering = Numbering::new();
        let id = numbering.id;
        assert_eq!(send(&mut numbering, b"a"), (id, 1));
        for _ in 0..3 {
            assert_eq!(decode(numbering.next(b"a").frame()), Some((id, 2)));
        }
        assert_eq!(send(&mut numbering, b"a"), (id, 2));
        assert_eq!(send(&mut numbering, b"a"), (id, 3));
        assert_ne!(Numbering::new().id, id);
    }

    #[test]
    fn a_flood_of_topics_begins_it_anew_under_another_id() {
        let mut numbering = Numbering::new();
        let first = numbering.id;
        for number in 0..MOST as u64 {
            assert_eq!(send(&mut numbering, &number.to_le_bytes()), (first, 1));
        }
        // a topic that is known needs no room
        assert_eq!(send(&mut numbering, &7_u64.to_le_bytes()), (first, 2));
        let (second, number) = send(&mut numbering, b"one more");
        assert!(second != first && number == 1);
        assert_eq!(send(&mut numbering, &7_u64.to_le_bytes()), (second, 1));
        assert_eq!(numbering.last.len(), 2);
    }

    proptest! {
        #[test]
        fn each_topic_counts_for_itself(topics in prop::collection::vec(0..9_u8, 0..300)) {
            let mut numbering = Numbering::new();
            let mut counts = [0; 9];
            for topic in topics {
                counts[usize::from(topic)] += 1;
                let expected = (numbering.id, counts[usize::from(topic)]);
                prop_assert_eq!(send(&mut numbering, &[topic]), expected);
            }
        }

        #[test]
        fn what_was_written_is_read(id: u64, number: u64) {
            prop_assert_eq!(decode(&encode(id, number)), Some((id, number)));
        }

        #[test]
        fn other_bytes_are_no_frame(bytes: Vec<u8>) {
            prop_assume!(!bytes.starts_with(&MAGIC) || bytes.len() != SIZE);
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
