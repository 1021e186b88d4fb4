//! A configuration's text as rsyslog's lexer gets it, and where each byte of it stands in the file.
//!
//! rsyslog joins lines before it reads them, within comments and quotes too: a line that ends with a
//! backslash goes on in the next one, whose leading white space is dropped. White space at the end of a
//! line is dropped, and so is what follows a NUL. A line of more than 10,239 bytes is several lines to it,
//! so that a long comment ends before its line does (readConfFile in rsyslog's rainerscript.c; 8.2302 was
//! asked).

use std::ops::Range;

/// As much as rsyslog reads at once.
const PIECE_MAX: usize = 10_239;

/// The joined text. Offsets into it and into the file are different things: [`Joined::in_file`].
#[derive(Debug)]
pub(super) struct Joined<'a> {
    file: &'a [u8],
    bytes: Vec<u8>,
    /// Where each byte stands in the file.
    at: Vec<usize>,
    /// Where the file's lines end.
    ends: Vec<usize>,
}

impl<'a> Joined<'a> {
    pub(super) fn of(text: &'a [u8]) -> Joined<'a> {
        let mut joined = Joined { file: text, bytes: Vec::new(), at: Vec::new(), ends: Vec::new() };
        let mut start = 0;
        let mut goes_on = false;
        while start < text.len() {
            let length = text[start..].iter().take(PIECE_MAX).position(|byte| *byte == b'\n');
            let end = length.map_or(text.len().min(start + PIECE_MAX), |length| start + length);
            goes_on = joined.line(text, start..end, goes_on);
            start = end;
            if length.is_some() {
                joined.ends.push(end);
                start += 1;
            }
        }
        joined
    }

    /// Adds a line, which ends with a newline or because it is long; answers whether it goes on in the next
    /// one.
    fn line(&mut self, text: &[u8], line: Range<usize>, continues: bool) -> bool {
        let newline = if text.get(line.end) == Some(&b'\n') { line.end } else { line.end - 1 };
        let seen = &text[line.clone()];
        let seen = &seen[..seen.iter().position(|byte| *byte == 0).unwrap_or(seen.len())];
        let mut start = line.start;
        let mut end = start + seen.len();
        while continues && start < end && is_space(text[start]) {
            start += 1;
        }
        while start < end && is_space(text[end - 1]) {
            end -= 1;
        }
        let goes_on = start < end && text[end - 1] == b'\\';
        if goes_on {
            end -= 1;
        }
        self.bytes.extend_from_slice(&text[start..end]);
        self.at.extend(start..end);
        if !goes_on {
            self.bytes.push(b'\n');
            self.at.push(newline);
        }
        goes_on
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part of the file that a part of the joined text comes from.
    pub(super) fn in_file(&self, part: Range<usize>) -> Range<usize> {
        let start = self.offset(part.start);
        let last = part.end.checked_sub(1).filter(|last| *last >= part.start);
        start..last.map_or(start, |last| self.offset(last) + 1).max(start)
    }

    /// Whether the file has this text there.
    pub(super) fn file_has(&self, part: &Range<usize>, text: &str) -> bool {
        self.file.get(part.clone()) == Some(text.as_bytes())
    }

    fn offset(&self, place: usize) -> usize {
        let behind = || self.at.last().map_or(0, |last| last + 1);
        self.at.get(place).copied().unwrap_or_else(behind)
    }

    /// The line of the file, counted from 1, in which a byte of the joined text stands.
    pub(super) fn line_of(&self, place: usize) -> usize {
        let offset = self.offset(place);
        self.ends.partition_point(|end| *end < offset) + 1
    }
}

/// C's isspace.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
