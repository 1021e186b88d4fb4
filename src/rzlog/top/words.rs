//! Foreign texts and numbers as they stand in a table: harmless, and of a known width. Pure.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use super::place::{Grade, Name};
use crate::screen::escape;

/// What a terminal may see of foreign bytes. A tab would move what stands behind it.
pub(super) fn clean(bytes: &[u8]) -> String {
    let mut text = String::new();
    escape(bytes, &mut text);
    text.replace('\t', " ")
}

/// The same of a name. Selectors of pictures, which a text may have, would make two names look alike.
fn clean_name(bytes: &[u8]) -> String {
    let mut name = String::new();
    for sign in clean(bytes).chars() {
        match sign {
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
                name.extend(sign.escape_unicode())
            }
            _ => name.push(sign),
        }
    }
    name
}

/// A name; none of a line's own looks like ours.
pub(super) fn name(name: &Name) -> String {
    match name {
        Name::Others => "(others)".into(),
        Name::Own(name) if name.is_empty() => "-".into(),
        Name::Own(name) => match name.strip_prefix(b"(") {
            Some(rest) => format!("\\x28{}", clean_name(rest)),
            None => clean_name(name),
        },
    }
}

pub(super) fn grade(grade: Grade) -> &'static str {
    grade.severity().map_or("-", |severity| severity.name())
}

/// Cells that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(sign: char) -> usize {
    sign.width().unwrap_or(0)
}

/// The most of a text that has room, and the rest.
fn split(text: &str, room: usize) -> (&str, &str) {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, sign)| {
        taken += width_of(*sign);
        taken > room
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

/// Cut, with a sign that it is.
pub(super) fn fit(text: &str, room: usize) -> Cow<'_, str> {
    match split(text, room) {
        (_, "") => text.into(),
        _ if room == 0 => "".into(),
        _ => format!("{}…", split(text, room - 1).0).into(),
    }
}

/// Filled up with blanks behind, or in front.
pub(super) fn pad(text: &str, room: usize, right: bool) -> String {
    let text = fit(text, room);
    let blanks = " ".repeat(room.saturating_sub(width(&text)));
    if right { blanks + &text } else { text.into_owned() + &blanks }
}

/// In pieces that have room each, as far as there is room for two cells.
pub(super) fn wrap(text: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while pieces.is_empty() || !rest.is_empty() {
        let (mut piece, mut behind) = split(rest, room);
        if let ("", Some(sign)) = (piece, rest.chars().next()) {
            // a sign that is wider than the screen has a piece of its own
            (piece, behind) = rest.split_at(sign.len_utf8());
        }
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// A rate or a count in few signs.
pub(super) fn short(number: f64) -> String {
    match number {
        _ if number <= 0.0 => "0".into(),
        _ if number < 99.95 => format!("{number:.1}"),
        _ if number < 99_999.5 => format!("{number:.0}"),
        _ if number < 9_999_500.0 => format!("{:.0}k", number / 1e3),
        _ if number < 9_999_500_000.0 => format!("{:.0}M", number / 1e6),
        _ => format!("{:.0}G", number / 1e9),
    }
}

/// A whole number; the same in few signs.
pub(super) fn count(number: u64) -> String {
    if number < 100_000 { number.to_string() } else { short(number as f64) }
}

/// How long ago.
pub(super) fn ago(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds}s"),
        seconds @ 100..6000 => format!("{}m", seconds / 60),
        seconds @ 6000..360_000 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_calls_himself_as_we_call_the_others() {
        let own = |text: &str| name(&Name::Own(text.as_bytes().into()));
        assert_eq!(name(&Name::Others), "(others)");
        assert_eq!(own("(others)"), "\\x28others)");
        assert_eq!(own(""), "-");
        assert_eq!(own("web1\u{fe0f}\u{e0100}"), "web1\\u{fe0f}\\u{e0100}");
        assert_eq!(own("a\tb\x1b[2J"), "a b\\x1b[2J");
    }

    #[test]
    fn texts_are_cut_at_cells_not_at_bytes() {
        assert_eq!(fit("äöü", 3), "äöü");
        assert_eq!(fit("äöüß", 3), "äö…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("ab", 0), "");
        assert_eq!(pad("日", 4, true), "  日");
        assert_eq!(wrap("abcde", 2), ["ab", "cd", "e"]);
        assert_eq!(wrap("", 2), [""]);
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (number, expected) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (9.96, "10.0"),
            (99.96, "100"),
            (99_999.0, "99999"),
            (123_456.0, "123k"),
            (12_345_678.0, "12M"),
            (1e19, "10000000000G"),
        ] {
            assert_eq!(short(number), expected);
        }
        assert_eq!((count(7).as_str(), count(1_234_567).as_str()), ("7", "1235k"));
        let times = [0, 99, 100, 5999, 6000, 400_000].map(|it| ago(Duration::from_secs(it)));
        assert_eq!(times, ["0s", "99s", "1m", "99m", "1h", "4d"]);
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_has_its_room(bytes: Vec<u8>, room in 0..40_usize) {
            let text = clean(&bytes);
            prop_assert!(text.chars().all(|sign| !sign.is_control()));
            prop_assert!(width(&fit(&text, room)) <= room);
            prop_assert_eq!(width(&pad(&text, room, false)), room);
            let pieces = wrap(&text, room);
            prop_assert_eq!(pieces.concat(), text.as_str());
            prop_assert!(pieces.iter().all(|piece| width(piece) <= room.max(2)));
        }
    }
}
