//! How the targets read their input: a tape of small choices and of foreign bytes. Short and plain, so
//! that a recorded exchange (examples/seeds) is an input, and a finding can be read.

/// The input of one run; what is behind its end reads as 0.
pub struct Tape<'a> {
    rest: &'a [u8],
}

impl<'a> Tape<'a> {
    /// From its beginning.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Whether anything is left.
    pub fn is_left(&self) -> bool {
        !self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    /// Mostly a small number, sometimes one of the largest.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=0xef => u64::from(small),
            0xf0 => self.u64(),
            near => u64::MAX - u64::from(near - 0xf1),
        }
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// Some bytes, after their length (u16, little endian).
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        bytes
    }
}

/// The raw block of these lines: docs/protocol.md, DATA.
pub fn raw_block(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut raw = Vec::new();
    for line in lines {
        raw.extend_from_slice(&(line.len() as u32).to_le_bytes());
    }
    raw.extend(lines.iter().flatten());
    raw
}
