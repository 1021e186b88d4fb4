//! Any bytes as the records of a spool, as they are and with the checksums made right, which no fuzzer
//! finds by itself: what was read is written again byte for byte, and a frame that a sender takes back
//! is the one it gives away.
#![no_main]

#[path = "../../src/omrzmq/record.rs"]
mod record;

use libfuzzer_sys::fuzz_target;
use record::{HEAD, Record};
use rzmq_delivery::{FRAME_TARGET, Sender, SenderOptions, SpooledFrame};

fuzz_target!(|input: &[u8]| {
    walk(input);
    walk(&repaired(input));
});

/// The same records, their lengths within the bytes and their checksums right.
fn repaired(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut rest = &mut bytes[..];
    while let Some((head, behind)) = rest.split_first_chunk_mut::<{ HEAD as usize }>() {
        let said = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (body, behind) = behind.split_at_mut(said.min(behind.len()));
        head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        rest = behind;
    }
    bytes
}

fn walk(mut rest: &[u8]) {
    let (mut reader, mut body) = (rest, Vec::new());
    while let Some((record, bytes)) = record::read(&mut reader, &mut body) {
        let (own, behind) = rest.split_at(bytes as usize);
        assert_eq!(reader, behind, "more or less was read than was said");
        rest = behind;
        assert!(record.lines() > 0);
        let mut again = Vec::new();
        match record {
            Record::Line(texts) => {
                record::encode_line(texts.iter().map(Vec::as_slice), &mut again);
                assert_eq!(again, own);
            }
            Record::Frame(frame, settled) => {
                record::encode_frame(&frame, settled, &mut again);
                assert_eq!(again, own);
                taken_back(frame, settled);
            }
        }
    }
}

fn taken_back(frame: SpooledFrame, settled: u64) {
    let options = SenderOptions {
        software: String::new(),
        name: String::new(),
        compress: None,
        frame_target: FRAME_TARGET,
    };
    let mut sender = Sender::resume(options, frame.session, frame.first.saturating_add(settled));
    if sender.restore(frame.clone()) {
        assert_eq!(frame.lines().len(), frame.count as usize);
        assert_eq!(sender.next() - sender.settled(), u64::from(frame.count) - settled);
        let again = sender.take_unsettled();
        assert!(
            matches!(&again[..], [one] if one.bytes == frame.bytes && one.first == frame.first)
        );
    }
}
