//! What may come from the wire: frames as they should be, frames that lie, and anything else.

use proptest::collection::vec;
use proptest::prelude::*;
use rzmq_delivery::{
    Ack, Codec, Data, ErrorCode, ErrorFrame, FRAME_MIN, Frame, Hello, Later, LaterReason, Limits,
    Refused, RefusedReason, SessionId, Welcome, decode,
};

use crate::{SESSION, encoded};

/// The number of the first hello of a [`crate::sender`].
const FIRST_HELLO: u32 = 0x0707_0708;

prop_compose! {
    fn limits()(
        window in any::<u32>(),
        frame in FRAME_MIN..=u32::MAX,
        lines in 1..=u32::MAX,
        expansion in 1..=u32::MAX,
    ) -> Limits {
        Limits { window, frame, lines, expansion }
    }
}

prop_compose! {
    pub(crate) fn welcome()(
        number in any::<u32>(),
        session in any::<[u8; 16]>(),
        have in any::<u64>(),
        frame in any::<u64>(),
        crc in any::<u32>(),
        count in any::<u32>(),
        limits in limits(),
    ) -> Welcome {
        let session = SessionId(session);
        Welcome { version: 1, meaning: 1, number, session, have, frame, crc, count, limits }
    }
}

pub(crate) fn code() -> impl Strategy<Value = ErrorCode> {
    (1u16..20).prop_map(|number| {
        let frame = [&b"\0RZ\x01\x85\0\0\0"[..], &number.to_le_bytes(), &[0; 6]].concat();
        match decode(&frame) {
            Ok(Frame::Error(error)) => error.code,
            other => panic!("{other:?}"),
        }
    })
}

/// A frame as a receiver may send it, honest or not: numbers near those that matter.
pub(crate) fn from_receiver() -> impl Strategy<Value = Vec<u8>> {
    let near = prop_oneof![0u64..40, any::<u64>()];
    let hello = prop_oneof![FIRST_HELLO - 1..FIRST_HELLO + 6, any::<u32>()];
    prop_oneof![
        (welcome(), near.clone(), hello.clone(), any::<bool>()).prop_map(
            |(mut welcome, have, number, honest)| {
                (welcome.have, welcome.number, welcome.session) = (have, number, SESSION);
                if honest {
                    welcome.frame = have;
                }
                encoded(|out| welcome.encode("r", out))
            }
        ),
        (near.clone(), any::<u32>(), hello.clone()).prop_map(|(have, window, hello)| encoded(
            |out| Ack { have, window, hello }.encode(out)
        )),
        (vec((near.clone(), any::<u32>()), 0..50), hello.clone()).prop_map(|(lines, hello)| {
            let lines: Vec<_> = lines
                .into_iter()
                .map(|(number, bytes)| (number, RefusedReason::TooLong, bytes))
                .collect();
            encoded(|out| Refused::encode(hello, &lines, out))
        }),
        (near, any::<u32>(), hello.clone()).prop_map(|(have, milliseconds, hello)| {
            let reason = LaterReason::QueueError;
            encoded(|out| Later { have, milliseconds, reason, hello }.encode(out))
        }),
        (code(), hello).prop_map(|(code, hello)| encoded(|out| ErrorFrame {
            code,
            hello,
            text: "no"
        }
        .encode(out))),
        anything(),
    ]
}

/// Bytes, most of them with the head of a frame.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..200), any::<bool>()).prop_map(|(mut bytes, framed)| {
        if framed && bytes.len() > 4 {
            bytes[..4].copy_from_slice(b"\0RZ\x01");
            bytes[4] = [1, 2, 0x81, 0x82, 0x83, 0x84, 0x85, 0x41][bytes[4] as usize % 8];
        }
        bytes
    })
}

/// A DATA frame whose fields need not fit its block.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let small = prop_oneof![0u32..6, any::<u32>()];
    let lines = vec(vec(any::<u8>(), 0..20), 1..6);
    (lines, 0u64..12, small.clone(), small, 0u8..6).prop_map(|(lines, first, raw, crc, lie)| {
        let mut block = Vec::new();
        lines.iter().for_each(|line| block.extend_from_slice(&(line.len() as u32).to_le_bytes()));
        lines.iter().for_each(|line| block.extend_from_slice(line));
        let packed = zstd::bulk::compress(&block, 1).unwrap();
        let data = Data {
            first,
            count: if lie == 1 { raw.max(1) } else { lines.len() as u32 },
            raw: if lie == 2 { raw } else { block.len() as u32 },
            crc: if lie == 3 { crc } else { crc32fast::hash(&block) },
            codec: if lie == 4 { Codec::Zstd } else { Codec::Raw },
            resend: false,
            fields: &[],
            block: if lie >= 4 { &packed } else { &block },
        };
        encoded(|out| data.encode(out))
    })
}

pub(crate) fn from_sender() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => (0u64..12, 0u64..12, 0u8..2).prop_map(|(first, more, session)| {
            let session = SessionId([session; 16]);
            let hello = Hello {
                lowest: 1,
                highest: 1,
                number: 3,
                session,
                first,
                next: first + more,
                software: "s",
                name: "n",
            };
            encoded(|out| hello.encode(out))
        }),
        4 => data(),
        1 => anything(),
    ]
}
