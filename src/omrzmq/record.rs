//! What a spool holds: lines as they were committed, and unsettled frames of acknowledged delivery.
//!
//! A record is the length of its body (u32), the CRC-32 of its body (u32), and the body. The body
//! begins with a number (u16). From 1 on it is that of the texts of a line: for each its length (u32)
//! and its bytes, the line itself first, then its dynamic topics. 0 is a frame: how many of its lines,
//! from the first on, are settled (u16), its session (16), the number of its first line (u64), its lines
//! (u32), and the encoded DATA frame to the end. All numbers are little endian.

use rzmq_delivery::{SessionId, SpooledFrame};
use std::io::Read;

/// Bytes before a body.
pub(crate) const HEAD: u64 = 8;
/// A body longer than this is not one of ours (maxMessageSize and frames are far below).
pub(crate) const LONGEST_BODY: u32 = 256 << 20;

/// One line as it was committed: its text, then its dynamic topics.
pub(crate) type Texts = Vec<Vec<u8>>;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A line of best-effort delivery.
    Line(Texts),
    /// A frame of acknowledged delivery, and how many of its lines are settled.
    Frame(SpooledFrame, u64),
}

impl Record {
    /// Lines in it that are not settled.
    pub(crate) fn lines(&self) -> u64 {
        match self {
            Self::Line(_) => 1,
            Self::Frame(frame, settled) => u64::from(frame.count).saturating_sub(*settled),
        }
    }
}

/// Appends the record of a line.
pub(crate) fn encode_line<'a>(texts: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let start = begin(out);
    out.extend_from_slice(&[0; 2]);
    let mut number: u16 = 0;
    for text in texts {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
        number += 1;
    }
    let body = start + HEAD as usize;
    out[body..body + 2].copy_from_slice(&number.to_le_bytes());
    finish(start, out);
}

/// Appends the record of a frame whose first lines are settled.
pub(crate) fn encode_frame(frame: &SpooledFrame, settled: u64, out: &mut Vec<u8>) {
    let start = begin(out);
    out.extend_from_slice(&[0; 2]);
    // A frame holds 65,536 lines at the most, and one of them is not settled.
    out.extend_from_slice(&u16::try_from(settled).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&frame.session.0);
    out.extend_from_slice(&frame.first.to_le_bytes());
    out.extend_from_slice(&frame.count.to_le_bytes());
    out.extend_from_slice(&frame.bytes);
    finish(start, out);
}

fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; HEAD as usize]);
    out.len() - HEAD as usize
}

fn finish(start: usize, out: &mut [u8]) {
    let body = start + HEAD as usize;
    let length = (out.len() - body) as u32;
    let checksum = crc32fast::hash(&out[body..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads one whole record whose checksum holds, and answers the bytes it takes; `None` at the end and
/// where the rest is none.
pub(crate) fn read(reader: &mut impl Read, body: &mut Vec<u8>) -> Option<(Record, u64)> {
    let mut head = [0; HEAD as usize];
    reader.read_exact(&mut head).ok()?;
    let [a, b, c, d, e, f, g, h] = head;
    let (length, checksum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if length > LONGEST_BODY {
        return None;
    }
    body.clear();
    // As much as is there, not as much as the length claims.
    reader.by_ref().take(length.into()).read_to_end(body).ok()?;
    if body.len() != length as usize || crc32fast::hash(body) != checksum {
        return None;
    }
    Some((decode(body)?, HEAD + u64::from(length)))
}

fn decode(body: &[u8]) -> Option<Record> {
    let (number, rest) = body.split_first_chunk()?;
    match u16::from_le_bytes(*number) {
        0 => frame(rest),
        number => texts(number, rest).map(Record::Line),
    }
}

fn frame(rest: &[u8]) -> Option<Record> {
    let (settled, rest) = rest.split_first_chunk()?;
    let settled = u16::from_le_bytes(*settled);
    let (session, rest) = rest.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (count, bytes) = rest.split_first_chunk()?;
    let count = u32::from_le_bytes(*count);
    let frame = || SpooledFrame {
        session: SessionId(*session),
        first: u64::from_le_bytes(*first),
        count,
        bytes: bytes.to_vec(),
    };
    (count > settled.into()).then(|| Record::Frame(frame(), settled.into()))
}

fn texts(number: u16, mut rest: &[u8]) -> Option<Texts> {
    let mut texts = Vec::new();
    for _ in 0..number {
        let (length, behind) = rest.split_first_chunk()?;
        let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(text.to_vec());
        rest = behind;
    }
    rest.is_empty().then_some(texts)
}
