//! The new lines of one frame, which the driver takes in chunks.

use crate::block::Block;
use crate::receiver::PeerId;
use crate::wire::SessionId;
use std::borrow::Cow;

/// The lines of one DATA frame that are new.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The session.
    pub session: SessionId,
    /// The lines were sent before.
    pub resend: bool,
    /// Lines of the frame that were settled already.
    pub duplicates: u32,
    pub(crate) peer: PeerId,
    pub(crate) welcome: u64,
    pub(crate) frame: u64,
    pub(crate) crc: u32,
    /// First line of the chunk that was given last.
    pub(crate) given_from: u64,
    pub(crate) next: u64,
    pub(crate) raw: Cow<'a, [u8]>,
    /// Lines of `raw` already given out.
    pub(crate) given: u32,
    pub(crate) count: u32,
}

impl Incoming<'_> {
    /// Whether there is another chunk.
    pub fn has_more(&self) -> bool {
        self.given < self.count
    }

    /// The next lines, up to `most` of them, with the number of the first; `None` when all are given.
    pub fn chunk(&mut self, most: u32) -> Option<(u64, Block<'_>)> {
        let left = self.count - self.given;
        if left == 0 {
            return None;
        }
        let mut block = Block::parse(&self.raw, self.count).ok()?;
        block.split(self.given as usize);
        let taken = left.min(most);
        let chunk = block.split(taken as usize);
        self.given_from = self.next;
        self.given += taken;
        self.next += u64::from(taken);
        Some((self.given_from, chunk))
    }
}
