//! What foreign bytes make us allocate. Alone in its process: allocations are counted for all of it.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rzmq_delivery::{
    Codec, Data, FRAME_MIN, Frame, Hello, PeerId, Receiver, ReceiverLimits, SessionId, decode,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const EXPANSION: u32 = 16;
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// Bytes with the head of a frame.
fn framed(kind: u8, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.splice(0..0, [0, b'R', b'Z', 1, kind, 0, 0, 0]);
    bytes
}

/// A frame whose block says that it is more than it is.
fn bomb(block: &[u8], raw: u32, count: u32) -> Vec<u8> {
    let (codec, resend) = (Codec::Zstd, false);
    let data = Data { first: 0, count, raw, crc: 0, codec, resend, fields: &[], block };
    let mut bytes = Vec::new();
    data.encode(&mut bytes);
    bytes
}

/// What handing `bytes` in makes a receiver allocate, all in all.
fn allocated(bytes: &[u8]) -> usize {
    let mut limits = ReceiverLimits::default();
    (limits.frames.frame, limits.frames.expansion) = (FRAME_MIN, EXPANSION);
    let mut receiver = Receiver::new("r", limits, []);
    let mut hello = Vec::new();
    let session = SessionId([7; 16]);
    let (number, software, name) = (1, "", "");
    Hello { lowest: 1, highest: 1, number, session, first: 0, next: 0, software, name }
        .encode(&mut hello);
    let _ = receiver.receive(NOW, PeerId(1), None, &hello);
    let region = Region::new(MEMORY);
    let _ = receiver.receive(NOW, PeerId(1), None, bytes);
    region.change().bytes_allocated
}

#[test]
fn foreign_bytes_decide_over_no_memory() {
    let kinds = prop_oneof![0x01..0x04u8, 0x81..0x87u8, any::<u8>()];
    let input = (kinds, vec(any::<u8>(), 0..300), any::<u32>(), any::<u32>(), 0..70_000usize);
    let mut runner = TestRunner::new(Config { cases: 2000, ..Config::default() });
    let result = runner.run(&input, |(kind, bytes, raw, count, zeros)| {
        let packed = zstd::bulk::compress(&vec![0; zeros], 1).unwrap();
        let bombs = [
            bomb(&packed, zeros as u32, 10),
            bomb(&packed, raw, count.max(1)),
            bomb(&packed, raw % FRAME_MIN, 1),
            bomb(&bytes, raw % (bytes.len() as u32 * EXPANSION + 1), 1),
        ];
        let frame = framed(kind, bytes);
        let region = Region::new(MEMORY);
        if let Ok(Frame::Refused(refused)) = decode(&frame) {
            assert!(refused.lines().count() * 16 <= frame.len());
        }
        prop_assert_eq!(region.change().allocations, 0, "decoding allocates nothing");
        for frame in bombs.iter().chain([&frame]) {
            // The unpacked block, a place in the tables, an answer.
            let most = frame.len() * EXPANSION as usize + 4096;
            let bytes = allocated(frame);
            prop_assert!(bytes <= most, "{} bytes for a frame of {}", bytes, frame.len());
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}
