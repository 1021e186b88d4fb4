//! Any bytes as a mark, and a receiver that begins with such marks. With a right checksum too, which
//! no fuzzer finds by itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_delivery::{
    Frame, Hello, Key, MARK_BYTES, Mark, PeerId, Reaction, Receiver, ReceiverLimits, decode,
};
use std::time::Duration;

fuzz_target!(|input: &[u8]| {
    let mut marks = Vec::new();
    for (slot, place) in (0u32..).zip(input.chunks(MARK_BYTES)) {
        let mut bytes = [0; MARK_BYTES];
        bytes[..place.len()].copy_from_slice(place);
        assert!(Mark::decode(slot, &bytes).is_none_or(|mark| reads_again(&mark)));
        let crc = crc32fast::hash(&bytes[..MARK_BYTES - 4]);
        bytes[MARK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        let mark = Mark::decode(slot, &bytes).expect("a mark with a right checksum");
        assert!(reads_again(&mark));
        marks.push(mark);
    }
    remembered(&marks);
});

fn reads_again(mark: &Mark) -> bool {
    Mark::decode(mark.slot, &mark.encode()) == Some(*mark)
}

/// Each session is welcomed with the latest of its marks, whatever else is in the file.
fn remembered(marks: &[Mark]) {
    let limits = ReceiverLimits { sessions: 1024, ..ReceiverLimits::default() };
    let mut receiver = Receiver::new("", limits, marks.iter().copied());
    let sessions: std::collections::HashSet<_> = marks.iter().map(|mark| mark.session).collect();
    assert_eq!(receiver.sessions(), sessions.len());
    for (number, session) in (1u32..).zip(sessions) {
        let have = marks.iter().filter(|mark| mark.session == session).map(|mark| mark.have).max();
        let hello = Hello {
            lowest: 1,
            highest: 1,
            number,
            session,
            first: 0,
            next: 0,
            software: "",
            name: "",
        };
        let mut frame = Vec::new();
        hello.encode(&mut frame);
        let keys = marks.iter().filter(|mark| mark.session == session && Some(mark.have) == have);
        let mut keys: Vec<Option<Key>> = keys.map(|mark| mark.key).collect();
        keys.dedup();
        let [key] = keys[..] else { continue };
        let now = Duration::from_secs(u64::MAX / 2);
        let Reaction::Reply(reply) = receiver.receive(now, PeerId(number.into()), key, &frame)
        else {
            panic!("a session that was written down is not welcome")
        };
        let Ok(Frame::Welcome(welcome)) = decode(&reply) else { panic!("no WELCOME") };
        assert_eq!(Some(welcome.have), have);
    }
}
