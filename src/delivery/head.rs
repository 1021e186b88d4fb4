//! What a line may carry in front of its text: an optional head, for ids that are older than the
//! session.
//!
//! A line that begins with a NUL byte has one: `00`, the bytes of the entries (u8), the entries, then the
//! text. An entry is a tag (u8), a length (u8) and its bytes; unknown tags are skipped. A text that
//! itself begins with a NUL byte travels behind an empty head, so every other line travels as it is.

const MARK: u8 = 0;
const UUID: u8 = 1;
const ORIGIN_ID: u8 = 2;
const ORIGIN_NAME: u8 = 3;
const ORIGIN_ADDRESS: u8 = 4;
/// A head has 255 bytes of entries; each of the four keeps within this.
const MOST: usize = 60;

/// The entries this version knows; empty ones are not there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// rsyslog's own uuid of the line, as text.
    pub uuid: &'a str,
    /// The line's id at its first sender, of a line that a relay passes on.
    pub origin_id: &'a str,
    /// That sender's name.
    pub origin_name: &'a str,
    /// That sender's address.
    pub origin_address: &'a str,
}

impl<'a> Head<'a> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the line with its head, or as it is where it needs none.
    pub fn encode(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.is_empty() && text.first() != Some(&MARK) {
            out.extend_from_slice(text);
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[MARK, 0]);
        let entries = [
            (UUID, self.uuid),
            (ORIGIN_ID, self.origin_id),
            (ORIGIN_NAME, self.origin_name),
            (ORIGIN_ADDRESS, self.origin_address),
        ];
        for (tag, value) in entries {
            let mut length = value.len().min(MOST);
            while !value.is_char_boundary(length) {
                length -= 1;
            }
            if length > 0 {
                out.extend_from_slice(&[tag, length as u8]);
                out.extend_from_slice(&value.as_bytes()[..length]);
            }
        }
        out[start + 1] = (out.len() - start - 2) as u8;
        out.extend_from_slice(text);
    }

    /// Takes a line apart. What is no head is text: nothing is lost of a line that a foreign sender
    /// made up.
    pub fn split(line: &'a [u8]) -> (Self, &'a [u8]) {
        Self::parse(line).unwrap_or((Self::default(), line))
    }

    fn parse(line: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[mark, length], rest) = line.split_first_chunk()?;
        if mark != MARK {
            return None;
        }
        let (mut entries, text) = rest.split_at_checked(length.into())?;
        let mut head = Self::default();
        while let Some((&[tag, length], behind)) = entries.split_first_chunk() {
            let (value, behind) = behind.split_at_checked(length.into())?;
            let value = std::str::from_utf8(value).unwrap_or_default();
            match tag {
                UUID => head.uuid = value,
                ORIGIN_ID => head.origin_id = value,
                ORIGIN_NAME => head.origin_name = value,
                ORIGIN_ADDRESS => head.origin_address = value,
                _ => {}
            }
            entries = behind;
        }
        entries.is_empty().then_some((head, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back_with_its_head() {
        let head = Head {
            uuid: "0123456789abcdef0123456789abcdef",
            origin_id: "00112233445566778899aabbccddeeff:18446744073709551615",
            origin_name: "web1",
            origin_address: "2001:db8::1",
        };
        for head in [head, Head { origin_name: "", ..head }, Head::default()] {
            for text in [&b"a line"[..], b"", b"\0begins with NUL", b"\0"] {
                let mut line = Vec::new();
                head.encode(text, &mut line);
                assert_eq!(Head::split(&line), (head, text));
            }
        }
        let mut plain = Vec::new();
        Head::default().encode(b"plain", &mut plain);
        assert_eq!(plain, b"plain", "a line without a head travels as it is");
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_of_any_bytes(line in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let (_, text) = Head::split(&line);
            assert!(line.ends_with(text));
            let mut encoded = Vec::new();
            Head::default().encode(&line, &mut encoded);
            assert_eq!(Head::split(&encoded).1, line);
        }
    }
}
