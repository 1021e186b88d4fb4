//! Signs of foreign text that must not reach a reader as they are: who reads a log line or a name is to
//! see what stands there. One list, for the log (this crate) and for certificates and terminals (the link).

/// Whether a sign cannot be seen, or changes how those around it look: controls, which a terminal
/// obeys (C1 as ESC, by some); separators of lines; what turns or hides its neighbours, or cannot be
/// seen itself (Unicode's Default_Ignorable_Code_Point, but for the selectors that pictures are written
/// with; and Braille without a dot).
pub fn misleads(sign: char) -> bool {
    sign.is_control()
        || matches!(sign,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}
