//! The codec: what is written comes back, and what is torn, cut short or made up is no panic.

use proptest::collection::vec;
use proptest::prelude::*;
use rzmq_delivery::{
    Ack, Block, ErrorCode, ErrorFrame, Frame, Hello, Key, Later, LaterReason, MARK_BYTES, Mark,
    Refused, RefusedReason, SessionId, decode, is_frame,
};

use crate::encoded;
use crate::generators::{from_receiver, from_sender, welcome};

proptest! {
    #[test]
    fn frames_come_back_as_they_went(
        hello in (any::<u32>(), any::<[u8; 16]>(), any::<u64>(), 0u64..1000),
        texts in ("[a-z ]{0,300}", "[äöü]{0,300}"),
        welcome in welcome(),
        numbers in (any::<u64>(), any::<u32>(), any::<u32>()),
        lines in vec((any::<u64>(), any::<u32>()), 0..100),
    ) {
        let (number, session, first, more) = hello;
        let hello = Hello {
            lowest: 1,
            highest: 9,
            number,
            session: SessionId(session),
            first,
            next: first.saturating_add(more),
            software: &texts.0,
            name: &texts.1,
        };
        let bytes = encoded(|out| hello.encode(out));
        prop_assert!(is_frame(&bytes));
        let Ok(Frame::Hello(back)) = decode(&bytes) else { panic!() };
        // Texts are cut at 255 bytes, between characters.
        prop_assert!(texts.0.starts_with(back.software) && texts.1.starts_with(back.name));
        prop_assert!(back.name.len() >= texts.1.len().min(254));
        prop_assert_eq!(Hello { software: "", name: "", ..back }, Hello { software: "", name: "", ..hello });

        let bytes = encoded(|out| welcome.encode(&texts.0, out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Welcome(welcome)));

        let (have, window, hello) = numbers;
        let ack = Ack { have, window, hello };
        let bytes = encoded(|out| ack.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Ack(ack)));

        let later = Later { have, milliseconds: window, reason: LaterReason::Stopping, hello };
        let bytes = encoded(|out| later.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Later(later)));

        let error = ErrorFrame { code: ErrorCode::Gap, hello, text: "a sentence" };
        let bytes = encoded(|out| error.encode(out));
        prop_assert_eq!(decode(&bytes), Ok(Frame::Error(error)));

        let lines: Vec<_> =
            lines.into_iter().map(|(n, bytes)| (n, RefusedReason::TooLong, bytes)).collect();
        let bytes = encoded(|out| Refused::encode(hello, &lines, out));
        let Ok(Frame::Refused(back)) = decode(&bytes) else { panic!() };
        prop_assert_eq!((back.hello, back.lines().collect::<Vec<_>>()), (hello, lines));
    }

    #[test]
    fn a_frame_cut_short_is_an_error_and_no_panic(frame in from_receiver(), other in from_sender()) {
        for frame in [frame, other] {
            for end in 0..frame.len() {
                let _ = decode(&frame[..end]);
            }
        }
    }

    #[test]
    fn a_block_is_its_lines(lines in vec(vec(any::<u8>(), 0..30), 0..20), split in 0usize..25) {
        let mut raw = Vec::new();
        lines.iter().for_each(|line| raw.extend_from_slice(&(line.len() as u32).to_le_bytes()));
        lines.iter().for_each(|line| raw.extend_from_slice(line));
        let mut block = Block::parse(&raw, lines.len() as u32).unwrap();
        prop_assert_eq!(block.len(), lines.len());
        let front = block.split(split);
        let back: Vec<_> = front.lines().chain(block.lines()).collect();
        prop_assert_eq!(front.len(), split.min(lines.len()));
        prop_assert_eq!(back, lines);
    }

    #[test]
    fn a_block_of_anything_is_read_within_its_bytes(raw in vec(any::<u8>(), 0..100), count: u32) {
        for count in [count, count % 30] {
            if let Ok(block) = Block::parse(&raw, count) {
                let bytes: usize = block.lines().map(<[u8]>::len).sum();
                prop_assert_eq!(bytes + 4 * block.len(), raw.len());
            }
        }
    }

    #[test]
    fn a_mark_comes_back_and_a_torn_one_does_not(
        session: [u8; 16], numbers: (u64, u64, u32, u32, u64), key: Option<[u8; 32]>,
        at in 0..MARK_BYTES, change in 1u8..,
    ) {
        let (have, frame, crc, count, heard) = numbers;
        let (session, key) = (SessionId(session), key.map(Key));
        let mark = Mark { slot: 3, session, have, frame, crc, count, key, heard };
        let mut bytes = mark.encode();
        prop_assert_eq!(Mark::decode(3, &bytes), Some(mark));
        bytes[at] ^= change;
        prop_assert_eq!(Mark::decode(3, &bytes), None);
    }
}
