//! Any bytes as a frame, as a block and as a line: nothing panics, and what was read is read again as
//! the same when it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_delivery::{Block, Frame, Head, Refused, Welcome, decode};

fuzz_target!(|input: &[u8]| {
    frame(input);
    if let Some((&count, raw)) = input.split_first() {
        block(raw, count);
    }
    head(input);
});

fn frame(input: &[u8]) {
    let Ok(frame) = decode(input) else { return };
    let mut again = Vec::new();
    match &frame {
        Frame::Hello(hello) => hello.encode(&mut again),
        Frame::Data(data) => data.encode(&mut again),
        Frame::Welcome(welcome) => Welcome::encode(welcome, "", &mut again),
        Frame::Ack(ack) => ack.encode(&mut again),
        Frame::Refused(refused) => {
            let lines: Vec<_> = refused.lines().collect();
            Refused::encode(refused.hello, &lines, &mut again);
        }
        Frame::Later(later) => later.encode(&mut again),
        Frame::Error(error) => error.encode(&mut again),
        Frame::Skipped => return,
    }
    assert!(again.len() <= input.len(), "more is written than was read");
    let second = decode(&again).expect("what was written cannot be read");
    match (&frame, &second) {
        // two bytes of each entry are ignored
        (Frame::Refused(first), Frame::Refused(second)) => {
            assert_eq!(first.hello, second.hello);
            assert!(first.lines().eq(second.lines()));
        }
        _ => assert_eq!(frame, second),
    }
}

fn block(raw: &[u8], count: u8) {
    let Ok(mut block) = Block::parse(raw, count.into()) else { return };
    assert_eq!(block.len(), usize::from(count));
    let whole: Vec<_> = block.lines().collect();
    assert_eq!(whole.concat(), &raw[usize::from(count) * 4..]);
    let mut pieces = Vec::new();
    for size in 1.. {
        pieces.extend(block.split(size).lines());
        if block.is_empty() {
            break;
        }
    }
    assert_eq!(pieces, whole, "cut into pieces, they are other lines");
}

fn head(line: &[u8]) {
    let (head, text) = Head::split(line);
    assert!(line.ends_with(text));
    let mut again = Vec::new();
    head.encode(text, &mut again);
    let (second, same) = Head::split(&again);
    assert_eq!(same, text);
    // an entry is written with 60 bytes at most
    assert!(head.uuid.starts_with(second.uuid) && head.origin_id.starts_with(second.origin_id));
}
