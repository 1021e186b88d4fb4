//! The unsettled lines of a session as frames: packed, packed anew, looked into. How large a frame is: as
//! the receiver takes it, and as small as the link needs it.

use crate::block::Block;
use crate::outframe::OutFrame;
use crate::sender::SenderOptions;
use crate::wire::{Codec, DATA_HEAD, Data, Limits};
use std::collections::VecDeque;

/// Over a slow link a frame must be whole before anybody loses patience: it aims at half as much after
/// each connection that carried lines in vain, so often at the most.
const HALVINGS: u32 = 6;
/// After so many settled frames it aims at twice as much again: often enough to get over a cut soon, and
/// too seldom to waste much time where the link is just too slow for that.
const FRAMES_TO_GROW: u32 = 64;

/// The frames of one session.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    /// In the order of their numbers.
    pub(crate) queue: VecDeque<OutFrame>,
    /// The number that the next line gets.
    pub(crate) next: u64,
    compress: Option<i32>,
    /// Bytes of a raw block that frames aim at where the link is good.
    largest: usize,
    /// Those that they aim at now.
    target: usize,
    /// Frames that were settled since that changed.
    proven: u32,
}

/// The longest line that fits into a frame within these limits.
pub(crate) fn longest_line(limits: &Limits) -> usize {
    (limits.frame as usize).saturating_sub(DATA_HEAD + 4)
}

impl Frames {
    pub(crate) fn new(first: u64, options: &SenderOptions) -> Self {
        let SenderOptions { compress, frame_target, .. } = *options;
        let queue = VecDeque::new();
        Self {
            queue,
            next: first,
            compress,
            largest: frame_target,
            target: frame_target,
            proven: 0,
        }
    }

    /// Gives numbers to lines and packs them.
    pub(crate) fn offer(&mut self, lines: &[&[u8]], limits: &Limits) {
        let mut rest = lines;
        while !rest.is_empty() {
            let mut bytes = 0;
            let most = (limits.lines.max(1) as usize).min(rest.len());
            let target = self.target.min(longest_line(limits));
            let fits = |line: &&&[u8]| {
                bytes += 4 + line.len();
                bytes <= target
            };
            let count = rest[..most].iter().take_while(fits).count().max(1);
            let (front, behind) = rest.split_at(count);
            self.pack(front, limits);
            rest = behind;
        }
    }

    fn pack(&mut self, lines: &[&[u8]], limits: &Limits) {
        // The lines are copied once, to where a raw block lies in its frame.
        let size: usize = lines.iter().map(|line| 4 + line.len()).sum();
        let mut bytes = Vec::with_capacity(DATA_HEAD + size);
        bytes.resize(DATA_HEAD, 0);
        Block::encode(lines, &mut bytes);
        let raw = &bytes[DATA_HEAD..];
        let packed = self.compress.and_then(|level| {
            let packed = zstd::bulk::compress(raw, level).ok()?;
            let most = packed.len().saturating_mul(limits.expansion as usize);
            (packed.len() < raw.len() && raw.len() <= most).then_some(packed)
        });
        let data = Data {
            first: self.next,
            count: lines.len() as u32,
            raw: raw.len() as u32,
            crc: crc32fast::hash(raw),
            codec: if packed.is_some() { Codec::Zstd } else { Codec::Raw },
            resend: false,
            fields: &[],
            block: packed.as_deref().unwrap_or_default(),
        };
        let mut head = Vec::with_capacity(DATA_HEAD + data.block.len());
        data.encode(&mut head);
        let Data { first, count, crc, .. } = data;
        if packed.is_some() {
            bytes = head;
        } else {
            bytes[..DATA_HEAD].copy_from_slice(&head);
        }
        self.queue.push_back(OutFrame { first, count, crc, bytes });
        self.next += u64::from(count);
    }

    /// Packs all frames anew, from the line `have` on, which gets the number `first`.
    pub(crate) fn repack(&mut self, first: u64, have: u64, limits: &Limits) {
        let frames = std::mem::take(&mut self.queue);
        self.next = first;
        for frame in frames {
            let Some(raw) = frame.raw_block() else { continue };
            let Ok(mut block) = Block::parse(&raw, frame.count) else { continue };
            block.split(have.saturating_sub(frame.first) as usize);
            let lines: Vec<_> = block.lines().collect();
            self.offer(&lines, limits);
        }
    }

    /// A connection carried lines and settled none.
    pub(crate) fn shrink(&mut self) {
        self.target = (self.target / 2).max(self.largest >> HALVINGS);
        self.proven = 0;
    }

    /// A frame was settled.
    pub(crate) fn prove(&mut self) {
        self.proven += 1;
        if self.proven == FRAMES_TO_GROW {
            self.target = (self.target * 2).min(self.largest);
            self.proven = 0;
        }
    }

    /// Whether one has more in it than frames aim at now.
    pub(crate) fn are_too_large(&self) -> bool {
        let too_large = |frame: &OutFrame| frame.count > 1 && frame.raw() as usize > self.target;
        self.queue.iter().any(too_large)
    }

    /// Whether `count` lines from `frame` on, packed as one, have this sum.
    pub(crate) fn have_content(&self, frame: u64, count: u32, crc: u32) -> bool {
        let end = frame.saturating_add(count.into());
        let ours = |own: &&OutFrame| own.first < end && own.end() > frame;
        let mut blocks = Vec::new();
        for own in self.queue.iter().filter(ours) {
            if (own.first, own.count) == (frame, count) {
                return own.crc == crc;
            }
            let Some(raw) = own.raw_block() else { return false };
            blocks.push((own, raw));
        }
        let mut lines = Vec::new();
        for (own, raw) in &blocks {
            let Ok(block) = Block::parse(raw, own.count) else { return false };
            let numbered = block.lines().zip(own.first..);
            lines.extend(numbered.filter(|(_, number)| (frame..end).contains(number)));
        }
        let lines: Vec<_> = lines.into_iter().map(|(line, _)| line).collect();
        let mut raw = Vec::new();
        Block::encode(&lines, &mut raw);
        crc32fast::hash(&raw) == crc
    }

    /// Lines that are not settled, by their numbers; empty where there is none. A frame is unpacked once
    /// for all of its lines that are asked for one behind the other.
    pub(crate) fn lines(&self, numbers: impl Iterator<Item = u64>) -> Vec<Vec<u8>> {
        let mut unpacked: Option<(&OutFrame, Vec<Vec<u8>>)> = None;
        let mut line = |number: u64| {
            let holds = |frame: &&OutFrame| (frame.first..frame.end()).contains(&number);
            if !unpacked.as_ref().is_some_and(|(frame, _)| holds(frame)) {
                let frame = self.queue.iter().find(holds)?;
                unpacked = Some((frame, frame.lines()));
            }
            let (frame, lines) = unpacked.as_mut()?;
            lines.get_mut((number - frame.first) as usize).map(std::mem::take)
        };
        numbers.map(|number| line(number).unwrap_or_default()).collect()
    }
}
