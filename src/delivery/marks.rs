//! What a receiver writes down of a session: one mark of fixed size, at a place of its own in the
//! file, so that one positioned write replaces it.
//!
//! | bytes | |
//! |---|---|
//! | 0–15 | session |
//! | 16–23 | `have` |
//! | 24–31 | first number of the frame that `have` lies in |
//! | 32–35 | CRC of that frame's raw block |
//! | 36 | 1 = the session has a key |
//! | 37–39 | zero |
//! | 40–71 | the key |
//! | 72–79 | when the session was last heard of, seconds since 1970 |
//! | 80–83 | lines of the frame that `have` lies in |
//! | 84–91 | zero |
//! | 92–95 | CRC-32 of bytes 0–91 |

use crate::receiver::Key;
use crate::wire::SessionId;

/// Bytes of a mark.
pub const MARK_BYTES: usize = 96;

/// A session as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its place in the file.
    pub slot: u32,
    /// The session.
    pub session: SessionId,
    /// First line that is not settled.
    pub have: u64,
    /// First number of the frame that `have` lies in, or ends.
    pub frame: u64,
    /// That frame's CRC.
    pub crc: u32,
    /// That frame's lines.
    pub count: u32,
    /// Whose session it is.
    pub key: Option<Key>,
    /// When it was last heard of, seconds since 1970.
    pub heard: u64,
}

impl Mark {
    /// The bytes for its place.
    pub fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..16].copy_from_slice(&self.session.0);
        bytes[16..24].copy_from_slice(&self.have.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.frame.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.crc.to_le_bytes());
        if let Some(key) = self.key {
            bytes[36] = 1;
            bytes[40..72].copy_from_slice(&key.0);
        }
        bytes[72..80].copy_from_slice(&self.heard.to_le_bytes());
        bytes[80..84].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the bytes of a place; `None` when they are not a mark.
    pub fn decode(slot: u32, bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let u32_at = |at: usize| content.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let u64_at = |at: usize| content.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let key = content.get(40..)?.first_chunk().copied().map(Key);
        Some(Self {
            slot,
            session: SessionId(*content.first_chunk()?),
            have: u64_at(16)?,
            frame: u64_at(24)?,
            crc: u32_at(32)?,
            count: u32_at(80)?,
            key: key.filter(|_| content.get(36) == Some(&1)),
            heard: u64_at(72)?,
        })
    }
}
