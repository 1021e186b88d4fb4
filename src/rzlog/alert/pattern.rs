//! The kind of a line: what is left of its text when the parts that change (numbers, addresses, ids,
//! quoted texts, values) are taken out. Lines of one kind have one pattern.

use super::rule::hash;
use super::text::clean;

/// What is looked at of a line, and kept of its pattern.
const BYTES: usize = 1024;
const WORDS: usize = 24;
const LONGEST: usize = 160;

/// The pattern of a message.
pub(crate) fn pattern(message: &[u8]) -> String {
    let message = message.get(..BYTES).unwrap_or(message);
    let mut masked = Vec::with_capacity(message.len());
    let mut quote = None;
    let mut before = b' ';
    for byte in message {
        match quote {
            // what is quoted is somebody's text
            Some(end) if *byte == end => quote = None,
            Some(_) => continue,
            None if matches!(byte, b'"' | b'\'') && !before.is_ascii_alphanumeric() => {
                quote = Some(*byte);
            }
            None => {}
        }
        masked.push(*byte);
        before = *byte;
    }
    let mut out = String::new();
    for word in masked.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(WORDS) {
        if !out.is_empty() {
            out.push(' ');
        }
        let (name, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) if at > 0 => (&word[..=at], &word[at + 1..]),
            _ => (&b""[..], word),
        };
        out.push_str(&clean(name, 40));
        let changes = !name.is_empty() || value.iter().any(u8::is_ascii_digit);
        if changes && !(value.is_empty() || value.starts_with(b"\"")) {
            out.push('#');
        } else {
            out.push_str(&clean(value, 40));
        }
    }
    clean(out.as_bytes(), LONGEST)
}

/// A number for it, as it is kept in the state.
pub(crate) fn number(program: &[u8], pattern: &str) -> u64 {
    hash(&[program, b"\0", pattern.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_changes_is_taken_out() {
        for (text, expected) in [
            ("Accepted key for bob from 10.0.0.1 port 22", "Accepted key for bob from # port #"),
            ("user=bob uid=0 failed", "user=# uid=# failed"),
            ("open \"/etc/a b\" (errno 13)", "open \"\" (errno #"),
            ("it's fine, isn't it", "it's fine, isn't it"),
            ("  a   b\t\x1b[2J ", "a b #"),
            ("", ""),
        ] {
            assert_eq!(pattern(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_short_and_harmless(text: Vec<u8>) {
            let pattern = pattern(&text);
            prop_assert!(pattern.chars().count() <= LONGEST + 1);
            prop_assert!(!pattern.contains(|sign: char| sign.is_control()));
        }
    }
}
