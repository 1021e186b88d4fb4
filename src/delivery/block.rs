//! The lines of a DATA frame: the length of each, then their bytes. Read in place, nothing is copied.

use crate::wire::{Codec, Data};
use std::borrow::Cow;

/// Why a block cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Its size is not what the frame says.
    #[error("the block has {found} bytes, the frame says {said}")]
    Size {
        /// What the frame says.
        said: u32,
        /// What is there.
        found: usize,
    },
    /// Its checksum is not what the frame says.
    #[error("the block's checksum is wrong")]
    Checksum,
    /// The lengths do not fit the bytes.
    #[error("the lengths of the lines do not add up to the block")]
    Lengths,
    /// It does not unpack, or into more than is allowed.
    #[error("the block does not unpack into {0} bytes")]
    Packed(u32),
}

/// A raw block whose lengths have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    lengths: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads a raw block of `count` lines.
    pub fn parse(raw: &'a [u8], count: u32) -> Result<Self, BlockError> {
        let bytes = (count as usize).checked_mul(4).ok_or(BlockError::Lengths)?;
        let (lengths, bytes) = raw.split_at_checked(bytes).ok_or(BlockError::Lengths)?;
        let block = Self { lengths, bytes };
        let sum: u64 = block.lengths().map(u64::from).sum();
        if sum == bytes.len() as u64 { Ok(block) } else { Err(BlockError::Lengths) }
    }

    /// Lines.
    pub fn len(&self) -> usize {
        self.lengths.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn lengths(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.lengths.chunks_exact(4).map(|four| match *four {
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        })
    }

    /// Takes up to `lines` lines off the front.
    pub fn split(&mut self, lines: usize) -> Self {
        let lines = lines.min(self.len());
        let (lengths, rest) = self.lengths.split_at(lines * 4);
        self.lengths = rest;
        let front = Self { lengths, bytes: self.bytes };
        let bytes: usize = front.lengths().map(|length| length as usize).sum();
        // Checked in `parse`: the lengths add up to the bytes.
        let (bytes, rest) = self.bytes.split_at(bytes.min(self.bytes.len()));
        self.bytes = rest;
        Self { lengths, bytes }
    }

    /// The lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.bytes;
        self.lengths().map(move |length| {
            let (line, behind) = rest.split_at(rest.len().min(length as usize));
            rest = behind;
            line
        })
    }

    /// Appends the raw block of these lines.
    pub(crate) fn encode(lines: &[&[u8]], out: &mut Vec<u8>) {
        for line in lines {
            out.extend_from_slice(&(line.len() as u32).to_le_bytes());
        }
        for line in lines {
            out.extend_from_slice(line);
        }
    }
}

/// The raw block of a frame, unpacked if it was packed; `most` bounds what it may become.
pub(crate) fn unpack<'a>(data: &Data<'a>, most: u32) -> Result<Cow<'a, [u8]>, BlockError> {
    let raw = match data.codec {
        Codec::Raw => Cow::Borrowed(data.block),
        Codec::Zstd if data.raw > most => return Err(BlockError::Packed(most)),
        Codec::Zstd => {
            let unpacked = zstd::bulk::decompress(data.block, data.raw as usize);
            Cow::Owned(unpacked.map_err(|_| BlockError::Packed(data.raw))?)
        }
    };
    if raw.len() != data.raw as usize {
        return Err(BlockError::Size { said: data.raw, found: raw.len() });
    }
    if crc32fast::hash(&raw) != data.crc {
        return Err(BlockError::Checksum);
    }
    Ok(raw)
}
