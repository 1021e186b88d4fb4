//! What may be shown: foreign bytes made harmless for a terminal, colours, and the two ways out
//! (standard output for what was asked for, standard error for everything else).
//!
//! A line is foreign: it may hold escape sequences that move the cursor, change the title, or write
//! over what stands there; bytes that are no UTF-8; or signs that turn the direction of writing. On a
//! terminal each of them becomes visible, so that a line is one line and looks like nothing else.

use std::io::{self, Write};

use rzlog_client::Missed;

use crate::error::Error;

/// Writes a line to standard output.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(Error::output)
}

/// A notice or an error, on standard error. Where that does not work there is nobody to tell.
pub(crate) fn notice(text: &str) {
    let mut harmless = String::new();
    escape(text.as_bytes(), &mut harmless);
    let _ = writeln!(io::stderr(), "rzlog: {harmless}");
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
                _ if changes_the_picture(sign) => {
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

/// C1 controls, which some terminals obey as they do ESC; separators of lines; what turns or hides the
/// signs around it, or cannot be seen itself (Unicode's Default_Ignorable_Code_Point, but for the
/// selectors that pictures are written with).
fn changes_the_picture(sign: char) -> bool {
    matches!(sign,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
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
