//! The HOSTNAME that rsyslog's own parsers (rsyslog.rfc5424, then rsyslog.rfc3164, with their default
//! settings) find in a raw line.
//!
//! One-directional on purpose: an answer is what the core's `hostname` will be; where the core takes it
//! from elsewhere, where its settings could change it, or where its releases differ, there is none.
//! tests/hostname compiles this file and compares it with a real rsyslogd.

/// Longer names are no host's.
const LONGEST_NAME: usize = 255;
/// Behind a control character rsyslog may cut the line so many bytes before `maxMessageSize`.
const CUT: usize = 4;

/// What rsyslog does with long lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongLines {
    /// `maxMessageSize`.
    pub(crate) longest: usize,
    /// Whether it may make several of a longer one, each with a HOSTNAME of its own.
    pub(crate) split: bool,
}

/// The HOSTNAME of the line: printable ASCII. `None` where the line itself does not determine it.
pub(crate) fn hostname(line: &[u8], long: LongLines) -> Option<&str> {
    // A line that begins with a z is unpacked first.
    if line.first() == Some(&b'z') || long.split && line.len() > long.longest {
        return None;
    }
    let text = behind_priority(line)?;
    let name = match text.strip_prefix(b"1 ") {
        Some(rest) => rfc5424(rest),
        None => {
            let changes = |byte: &u8| !matches!(byte, b' '..=b'~');
            rfc3164(text, line.len() > long.longest || line.iter().any(changes))
        }
    }?;
    let end = name.as_ptr_range().end as usize - line.as_ptr() as usize;
    let fits = name.len() <= LONGEST_NAME && end + CUT <= long.longest;
    let printable = fits && name.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(name).ok().filter(|_| printable)
}

/// The text behind `<PRI>`, or all of it. A priority that is none keeps the core from parsing.
fn behind_priority(line: &[u8]) -> Option<&[u8]> {
    let Some(rest) = line.strip_prefix(b"<") else { return Some(line) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (priority, rest) = number(rest);
    ((1..=3).contains(&digits) && priority <= 191).then(|| rest.strip_prefix(b">"))?
}

/// Behind the version. The name is any word; `-` is none.
fn rfc5424(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"- ").or_else(|| rfc3339_stamp(text))?;
    let name = rest.split(|byte| *byte == b' ').next()?;
    (!name.is_empty() && name != b"-").then_some(name)
}

/// What is no RFC 5424 line: a stamp of either kind, or none, then a word of certain characters. A word
/// with others is taken for the tag.
///
/// A line that `may_change` is cut off, or has bytes dropped, escaped or turned into blanks, before it is
/// parsed. The core may then find a stamp where we find none.
fn rfc3164(text: &[u8], may_change: bool) -> Option<&[u8]> {
    let stamp = rfc3339_stamp(text)
        .map(|rest| (rest, false))
        .or_else(|| rfc3164_stamp(text))
        .or_else(|| rfc3164_stamp(text.strip_prefix(b" ")?));
    let begins_like_one = matches!(text.first()?, b'0'..=b'9' | b'-') || month(text).is_some();
    if stamp.is_none() && begins_like_one && may_change {
        return None;
    }
    let (rest, year_first) = stamp.unwrap_or((text, false));
    let is_of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let length = rest.iter().take_while(|byte| is_of_a_name(byte)).count();
    let (name, rest) = rest.split_at(length);
    let whole = match rest.first() {
        // With the year in front the core miscounts and does not see the line's end.
        None => !year_first,
        Some(next) => *next == b' ' && name.last().is_some_and(u8::is_ascii_alphanumeric),
    };
    (whole && !name.is_empty()).then_some(name)
}

/// What stands behind an RFC 3339 stamp and its blank. One-digit parts, missing hours and the like are
/// as good to the core as to us.
fn rfc3339_stamp(text: &[u8]) -> Option<&[u8]> {
    let rest = within(text, 0, 2099)?.strip_prefix(b"-")?;
    let rest = within(rest, 1, 12)?.strip_prefix(b"-")?;
    let rest = within(rest, 1, 31)?.strip_prefix(b"T")?;
    let rest = time(rest)?;
    let rest = match rest.split_first()? {
        (b'Z', rest) => rest,
        (b'+' | b'-', rest) => within(within(rest, 0, 23)?.strip_prefix(b":")?, 0, 59)?,
        _ => return None,
    };
    behind_blank(rest)
}

/// What stands behind `Mon dd hh:mm:ss` and its blank, with a year before or behind the day or without
/// one, and with a colon at its end or without; and whether the year stood first.
fn rfc3164_stamp(text: &[u8]) -> Option<(&[u8], bool)> {
    let year_first = text.first()?.is_ascii_digit();
    let rest = match year_first {
        true => within(text, 1970, 2100)?.strip_prefix(b" ")?,
        false => text,
    };
    let rest = month(rest)?.strip_prefix(b" ")?;
    let rest = within(rest.strip_prefix(b" ").unwrap_or(rest), 1, 31)?.strip_prefix(b" ")?;
    let rest = match number(rest) {
        (1971..=2099, rest) if !year_first => rest.strip_prefix(b" ")?,
        _ => rest,
    };
    let rest = time(rest)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    Some((behind_blank(rest)?, year_first))
}

/// What stands behind the short name of a month.
fn month(text: &[u8]) -> Option<&[u8]> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let (name, rest) = text.split_first_chunk::<3>()?;
    MONTHS.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(rest)
}

/// What stands behind `hh:mm:ss` and a fraction.
fn time(text: &[u8]) -> Option<&[u8]> {
    let rest = within(text, 0, 23)?.strip_prefix(b":")?;
    let rest = within(rest, 0, 59)?.strip_prefix(b":")?;
    let rest = within(rest, 0, 60)?;
    Some(rest.strip_prefix(b".").map_or(rest, |fraction| number(fraction).1))
}

/// A stamp ends with a blank or with the line.
fn behind_blank(text: &[u8]) -> Option<&[u8]> {
    if text.is_empty() { Some(text) } else { text.strip_prefix(b" ") }
}

/// What stands behind a number of this range.
fn within(text: &[u8], least: u32, most: u32) -> Option<&[u8]> {
    let (value, rest) = number(text);
    (least..=most).contains(&value).then_some(rest)
}

/// The number in front, 0 where there is no digit, and what stands behind it. As in the core one with
/// too many digits ends before its last.
fn number(text: &[u8]) -> (u32, &[u8]) {
    const ENOUGH: u32 = i32::MAX as u32 / 10 - 1;
    let (mut value, mut rest) = (0, text);
    while let Some((digit @ b'0'..=b'9', behind)) = rest.split_first() {
        if value >= ENOUGH {
            break;
        }
        value = value * 10 + u32::from(digit - b'0');
        rest = behind;
    }
    (value, rest)
}
