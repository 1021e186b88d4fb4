//! Lines as RSYSLOG_ForwardFormat makes them, read where it is plain what rsyslog's parsers find in them:
//! `<PRI>`, an RFC 3339 stamp, a HOSTNAME, a TAG and the text.
//!
//! One-directional on purpose: an answer is what `rsyslog.rfc3164` finds, whatever the parser's global
//! settings are; for every line that is the least unusual there is none. tests/hostname holds it against a
//! real rsyslogd.

use std::ops::Range;

/// Longer names and tags are the core's, which cuts them somewhere.
const LONGEST: usize = 255;

/// Where a line's parts are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Facility × 8 + severity, at most 191.
    pub(crate) priority: u16,
    /// The stamp, with the blank behind it.
    pub(crate) stamp: Range<usize>,
    pub(crate) hostname: Range<usize>,
    /// With its colon.
    pub(crate) tag: Range<usize>,
    /// Where the text begins: with its blank, as the core has it.
    pub(crate) text: usize,
}

/// The parts of the line; `None` where the core has to say.
pub(crate) fn read(line: &[u8]) -> Option<Parts> {
    // What is not printable ASCII is escaped, dropped or kept, as the administrator wishes.
    if !line.iter().fold(true, |all, byte| all & (byte.wrapping_sub(b' ') < 95)) {
        return None;
    }
    let (priority, start) = priority(line)?;
    let hostname = start + stamp(&line[start..])?;
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let length = line[hostname..].iter().take_while(|byte| of_a_name(byte)).count();
    let end = hostname + length;
    if !(1..=LONGEST).contains(&length)
        || !line[end - 1].is_ascii_alphanumeric()
        || line.get(end) != Some(&b' ')
    {
        return None;
    }
    let tag = end + 1;
    let length = line[tag..].iter().position(|byte| matches!(byte, b':' | b' '))?;
    let tag_end = tag + length + usize::from(line[tag + length] == b':');
    ((1..=LONGEST).contains(&length) && tag_end < line.len()).then_some(Parts {
        priority,
        stamp: start..hostname,
        hostname: hostname..end,
        tag: tag..tag_end,
        text: tag_end,
    })
}

/// `<PRI>` and where it ends.
fn priority(line: &[u8]) -> Option<(u16, usize)> {
    let end = line.iter().take(5).position(|byte| *byte == b'>')?;
    let digits = line.get(1..end).filter(|digits| line[0] == b'<' && !digits.is_empty())?;
    let priority = digits.iter().try_fold(0, |value: u16, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0'))
    })?;
    (priority <= 191).then_some((priority, end + 1))
}

/// The length of a stamp like `2026-11-29T02:43:03.123456+01:00 `. Whether there is such a time is for the
/// core's own reader to say.
fn stamp(text: &[u8]) -> Option<usize> {
    const SECONDS: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    const ZONE: &[u8] = b"sdd:dd";
    let at = SECONDS.len();
    let fraction = match text.get(at)? {
        b'.' => 1 + text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = at + fraction;
    let end = match text.get(zone)? {
        b'Z' => zone + 1,
        _ => zone + ZONE.len(),
    };
    let looks_right = looks_like(text.get(..at)?, SECONDS)
        && (fraction == 0 || (2..=7).contains(&fraction))
        && (end == zone + 1 || looks_like(text.get(zone..end)?, ZONE))
        && text.get(end) == Some(&b' ');
    looks_right.then_some(end + 1)
}

/// `d` is a digit, `s` a sign, anything else itself.
fn looks_like(text: &[u8], pattern: &[u8]) -> bool {
    text.iter().zip(pattern).all(|(byte, kind)| match kind {
        b'd' => byte.is_ascii_digit(),
        b's' => matches!(byte, b'+' | b'-'),
        _ => byte == kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Option<(u16, &str, &str, &str, &str)> {
        let read = read(line.as_bytes())?;
        let part = |range| &line[range];
        Some((
            read.priority,
            part(read.stamp),
            part(read.hostname),
            part(read.tag),
            &line[read.text..],
        ))
    }

    #[test]
    fn a_common_line_has_its_parts() {
        let common = "<191>2026-11-29T02:43:03.123456+01:00 web-1.example nginx[12]: GET / 200";
        let stamp = "2026-11-29T02:43:03.123456+01:00 ";
        assert_eq!(parts(common), Some((191, stamp, "web-1.example", "nginx[12]:", " GET / 200")));
        let short = "<0>2026-11-29T02:43:03Z h t x";
        assert_eq!(parts(short), Some((0, "2026-11-29T02:43:03Z ", "h", "t", " x")));
    }

    #[test]
    fn the_unusual_is_left_to_the_core() {
        for line in [
            "",
            "<",
            "<>2026-11-29T02:43:03Z h t: x",
            "<192>2026-11-29T02:43:03Z h t: x",
            "<13 2026-11-29T02:43:03Z h t: x",
            "<0013>2026-11-29T02:43:03Z h t: x",
            "<13>1 2026-11-29T02:43:03Z h a p m - x",
            "<13>Nov 29 02:43:03 h t: x",
            "<13>2026-11-29T02:43:03 h t: x",
            "<13>2026-11-29T02:43:03. h t: x",
            "<13>2026-11-29T02:43:03.Z h t: x",
            "<13>2026-11-29T02:43:03.1234567Z h t: x",
            "<13>2026-11-29T02:43:03+1:00 h t: x",
            "<13>2026-11-29T02:43:03Zh t: x",
            "<13>2026-11-29T02:43:03Z",
            "<13>2026-11-29T02:43:03Z ",
            "<13>2026-11-29T02:43:03Z h",
            "<13>2026-11-29T02:43:03Z h ",
            "<13>2026-11-29T02:43:03Z h t",
            "<13>2026-11-29T02:43:03Z h t:",
            "<13>2026-11-29T02:43:03Z h : x",
            "<13>2026-11-29T02:43:03Z h  t: x",
            "<13>2026-11-29T02:43:03Z h- t: x",
            "<13>2026-11-29T02:43:03Z t[1]: x",
            "<13>2026-11-29T02:43:03Z  h t: x",
            "<13>2026-11-29T02:43:03Z h t: x\n",
            "<13>2026-11-29T02:43:03Z h t: \u{e4}",
            "z<13>2026-11-29T02:43:03Z h t: x",
        ] {
            assert_eq!(parts(line), None, "{line:?}");
        }
        let long = "n".repeat(256);
        assert_eq!(parts(&format!("<13>2026-11-29T02:43:03Z {long} t: x")), None);
        assert_eq!(parts(&format!("<13>2026-11-29T02:43:03Z h {long}: x")), None);
    }
}
