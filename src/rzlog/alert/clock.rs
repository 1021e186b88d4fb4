//! Time as the rules see it: milliseconds since 1970, handed in by the driver or read from lines.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::duration;
use crate::show::rfc3339;

/// Milliseconds since 1970, UTC.
pub(crate) type Time = u64;

/// What the system's clock says; it may jump.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// Milliseconds; in files `10s`, `5m`, `4h`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Span(pub(crate) u64);

impl Span {
    pub(crate) const fn seconds(seconds: u64) -> Span {
        Span(seconds * 1000)
    }

    pub(crate) const fn minutes(minutes: u64) -> Span {
        Span::seconds(minutes * 60)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = duration(&text).map_err(serde::de::Error::custom)?;
        // a year and more is a slip of the pen, and sums of them must not overflow
        let most = 366 * 24 * 3_600_000;
        match u64::try_from(length.as_millis()) {
            Ok(length) if length <= most => Ok(Span(length)),
            _ => Err(serde::de::Error::custom(format!("\"{text}\" is over a year"))),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0 / 1000;
        if rest == 0 {
            return write!(f, "0s");
        }
        for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

/// As RFC 3339 has it, UTC.
pub(crate) fn stamp(time: Time) -> String {
    rfc3339(time / 1000, u32::try_from(time % 1000).unwrap_or(0))
}

/// The time a line says. One without a year is the last that is not after `now`; one without a zone is
/// UTC.
pub(crate) fn read(text: &[u8], now: Time) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    if text.as_bytes().get(4) == Some(&b'-') { iso(text) } else { old(text, now) }
}

/// The same of a line that says its zone: one that does not may be of any time of a day.
pub(crate) fn read_exact(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let behind_date = text.get(19..)?;
    behind_date.contains(['Z', '+', '-']).then(|| iso(text)).flatten()
}

fn iso(text: &str) -> Option<Time> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let seconds = second_of_day(number(11, 13)?, number(14, 16)?, number(17, 19)?)?;
    let mut rest = text.get(19..)?;
    let mut milliseconds = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let three = format!("{:0<3}", fraction.get(..digits.min(3))?);
        milliseconds = three.parse().ok()?;
        rest = &fraction[digits..];
    }
    let local = (day * 86_400 + seconds) * 1000 + milliseconds;
    let Some(sign @ (b'+' | b'-')) = rest.as_bytes().first() else { return Some(local) };
    let (hours, minutes) = (rest.get(1..3)?, rest.get(3..)?.trim_start_matches(':'));
    let minutes = minutes.parse().ok().filter(|_| minutes.len() <= 2)?;
    let offset = second_of_day(hours.parse().ok()?, minutes, 0)? * 1000;
    if *sign == b'+' { local.checked_sub(offset) } else { local.checked_add(offset) }
}

fn old(text: &str, now: Time) -> Option<Time> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(text.get(..3)?).filter(|at| at % 3 == 0)? as u64 / 3 + 1;
    let number = |from: usize, to: usize| text.get(from..to)?.trim().parse::<u64>().ok();
    let day = number(4, 6)?;
    let seconds = second_of_day(number(7, 9)?, number(10, 12)?, number(13, 15)?)?;
    let year = stamp(now).get(..4)?.parse::<u64>().ok()?;
    let at = |year| days(year, month, day).map(|days| (days * 86_400 + seconds) * 1000);
    // clocks and zones differ by a day at most
    at(year).filter(|time| *time <= now + 86_400_000).or_else(|| at(year.checked_sub(1)?))
}

fn second_of_day(hour: u64, minute: u64, second: u64) -> Option<u64> {
    (hour < 24 && minute < 60 && second < 61).then_some(hour * 3600 + minute * 60 + second)
}

/// Since 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // years from March on
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_lines_are_read() {
        let now = read(b"2026-01-02T00:00:00Z", 0).unwrap();
        for (text, expected) in [
            ("2026-11-24T10:00:00.123456+01:00", "2026-11-24T09:00:00.123Z"),
            ("2026-11-24T10:00:00-0530", "2026-11-24T15:30:00.000Z"),
            ("2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59.500Z"),
            ("Jan  2 01:02:03", "2026-01-02T01:02:03.000Z"),
            ("Dec 31 23:59:59", "2025-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(read(text.as_bytes(), now).map(stamp).as_deref(), Some(expected), "{text}");
        }
        assert!(read_exact(b"2026-11-24T10:00:00.123456+01:00").is_some());
        assert!(read_exact(b"2026-11-24T10:00:00Z").is_some());
        assert_eq!(read_exact(b"2026-11-24T10:00:00.123"), None);
        assert_eq!(read_exact(b"Jan  2 01:02:03"), None);
        for bad in ["", "2026", "2026-13-01T00:00:00Z", "Foo  2 01:02:03", "Jan 99 01:02:03"] {
            assert_eq!(read(bad.as_bytes(), now), None, "{bad}");
        }
        for zone in ["+24:00", "-05:60", "+01:000", "+01:307445734561825861"] {
            assert_eq!(read_exact(format!("2026-11-24T10:00:00{zone}").as_bytes()), None, "{zone}");
        }
    }

    #[test]
    fn spans_are_written_as_they_are_read() {
        for (milliseconds, text) in
            [(10_000, "10s"), (300_000, "5m"), (5_400_000, "1h30m"), (604_800_000, "7d"), (1, "0s")]
        {
            assert_eq!(Span(milliseconds).to_string(), text);
            assert!(
                milliseconds == 1 || duration(text).unwrap().as_millis() == milliseconds.into()
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_time_or_none(text: Vec<u8>, now in 0u64..4_000_000_000_000) {
            read(&text, now);
            read_exact(&text);
        }

        #[test]
        fn any_zone_is_one_or_none(zone in "[+-][0-9]{2}:[0-9]{1,25}") {
            let minutes = zone.get(4..).unwrap_or_default();
            let exact = read_exact(format!("2026-11-24T10:00:00{zone}").as_bytes());
            prop_assert!(exact.is_none() || minutes.len() <= 2, "{zone}: {exact:?}");
        }

        #[test]
        fn what_is_written_is_read(time in 0u64..4_000_000_000_000) {
            prop_assert_eq!(read(stamp(time).as_bytes(), time), Some(time));
        }
    }
}
