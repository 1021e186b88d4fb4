//! What may be shown: foreign bytes made harmless for a terminal, colours, and the two ways out
//! (standard output for what was asked for, standard error for everything else).
//!
//! A line is foreign: it may hold escape sequences that move the cursor, change the title, or write
//! over what stands there; bytes that are no UTF-8; or signs that turn the direction of writing. On a
//! terminal each of them becomes visible, so that a line is one line and looks like nothing else.

use std::io::{self, IsTerminal, Write};

use rzlog_client::Missed;
use rzmq_link::misleads;

use crate::error::Error;

/// Writes a line to standard output.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(Error::output)
}

/// A notice or an error, on standard error. Where that does not work there is nobody to tell. On a terminal
/// it begins in reverse video, which no line can: a line may say the same words.
pub(crate) fn notice(text: &str) {
    let mut harmless = String::new();
    escape(text.as_bytes(), &mut harmless);
    let mut stderr = io::stderr();
    let name = if stderr.is_terminal() { "\x1b[7mrzlog:\x1b[0m" } else { "rzlog:" };
    let _ = writeln!(stderr, "{name} {harmless}");
}

/// The notice of lines that a publisher dropped: it numbers them, so that it is known.
pub(crate) fn dropped(endpoint: &str, missed: &Missed) -> String {
    format!("gap: lines from {endpoint} were dropped before they came here: {missed}")
}

/// Appends bytes as a terminal may see them. Tabs stay.
pub(crate) fn escape(bytes: &[u8], out: &mut String) {
    use std::fmt::Write;
    for chunk in bytes.utf8_chunks() {
        for sign in chunk.valid().chars() {
            match sign {
                '\t' => out.push(sign),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\0'..='\u{1f}' | '\u{7f}' => {
                    let _ = write!(out, "\\x{:02x}", u32::from(sign));
                }
                _ if misleads(sign) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(sign));
                }
                _ => out.push(sign),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(bytes: &[u8]) -> String {
        let mut out = String::new();
        escape(bytes, &mut out);
        out
    }

    #[test]
    fn what_a_terminal_obeys_becomes_visible() {
        assert_eq!(shown("plain text\twith ünï ✓".as_bytes()), "plain text\twith ünï ✓");
        assert_eq!(shown(b"\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
        assert_eq!(shown(b"a\r\nb\x08\x7f\0"), "a\\r\\nb\\x08\\x7f\\x00");
        assert_eq!(shown("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(shown(b"\x9b2J\xff"), "\\x9b2J\\xff");
        assert_eq!(shown("\u{202e}evil\u{2028}".as_bytes()), "\\u{202e}evil\\u{2028}");
        assert_eq!(
            shown("web\u{3164}1\u{180e}\u{e0101}".as_bytes()),
            "web\\u{3164}1\\u{180e}\\u{e0101}"
        );
        assert_eq!(shown("\u{2764}\u{fe0f} é".as_bytes()), "\u{2764}\u{fe0f} é");
    }

    proptest! {
        #[test]
        fn no_bytes_come_through_as_control(bytes: Vec<u8>) {
            let text = shown(&bytes);
            let harmless = |sign: char| sign == '\t' || !sign.is_control();
            prop_assert!(text.chars().all(harmless), "{text:?}");
        }
    }
}
