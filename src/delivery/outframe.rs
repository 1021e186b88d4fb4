//! A frame of lines on the sending side: as it waits for its acknowledgement, and as a spool keeps it.

use crate::block::{Block, unpack};
use crate::wire::{Frame, Limits, SessionId, decode};
use std::borrow::Cow;

/// An unsettled frame as it goes into a spool and comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFrame {
    /// Its session.
    pub session: SessionId,
    /// Number of its first line.
    pub first: u64,
    /// Its lines.
    pub count: u32,
    /// The encoded DATA frame.
    pub bytes: Vec<u8>,
}

impl SpooledFrame {
    /// Its lines; none when the frame is damaged.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        lines(&self.bytes)
    }
}

/// The lines of an encoded DATA frame.
fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(Frame::Data(data)) = decode(bytes) else { return Vec::new() };
    let Ok(raw) = unpack(&data, u32::MAX) else { return Vec::new() };
    let Ok(block) = Block::parse(&raw, data.count) else { return Vec::new() };
    block.lines().map(<[u8]>::to_vec).collect()
}

/// A frame that is unsettled, or not transmitted yet.
#[derive(Debug, Clone)]
pub(crate) struct OutFrame {
    /// Number of its first line.
    pub(crate) first: u64,
    /// Its lines.
    pub(crate) count: u32,
    /// Of its raw block.
    pub(crate) crc: u32,
    /// The encoded DATA frame.
    pub(crate) bytes: Vec<u8>,
}

impl OutFrame {
    /// A frame of a former process, if it is whole.
    pub(crate) fn read(first: u64, count: u32, bytes: Vec<u8>) -> Option<Self> {
        let Ok(Frame::Data(data)) = decode(&bytes) else { return None };
        let raw = unpack(&data, u32::MAX).ok()?;
        Block::parse(&raw, count).ok()?;
        let crc = data.crc;
        (data.first == first && data.count == count).then_some(Self { first, count, crc, bytes })
    }

    /// Whether the receiver takes it.
    pub(crate) fn fits(&self, limits: &Limits) -> bool {
        let Ok(Frame::Data(data)) = decode(&self.bytes) else { return false };
        let expanded = (data.block.len() as u64).saturating_mul(limits.expansion.into());
        self.bytes.len() <= limits.frame as usize
            && data.raw <= limits.frame
            && self.count <= limits.lines
            && u64::from(data.raw) <= expanded
    }

    /// Its lines with their lengths, unpacked.
    pub(crate) fn raw_block(&self) -> Option<Cow<'_, [u8]>> {
        let Ok(Frame::Data(data)) = decode(&self.bytes) else { return None };
        unpack(&data, u32::MAX).ok()
    }

    /// Its lines; none when it is damaged.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        lines(&self.bytes)
    }

    /// Bytes of its lines with their lengths.
    pub(crate) fn raw(&self) -> u32 {
        match decode(&self.bytes) {
            Ok(Frame::Data(data)) => data.raw,
            _ => 0,
        }
    }

    /// The number behind its last line.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}
