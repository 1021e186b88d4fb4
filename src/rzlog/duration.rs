//! Times as options and files have them.

use std::time::Duration;

/// A time with its unit, as options have it; several are added up, as in 1h30m.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (mut rest, mut whole) = (text, Duration::ZERO);
    loop {
        let is_unit = |sign: char| sign.is_ascii_alphabetic();
        let (digits, behind) = rest.split_at(rest.find(is_unit).unwrap_or(rest.len()));
        let next = behind.find(|sign| !is_unit(sign)).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(next);
        let number: f64 = digits.parse().map_err(|_| "write 10s, 5m or 2h".to_owned())?;
        let unit = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "" if rest == text => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            other => return Err(format!("\"{other}\": ms, s, m, h, d and w are possible")),
        };
        let part = Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())?;
        whole = whole.checked_add(part).ok_or("that is too long")?;
        if behind.is_empty() {
            return Ok(whole);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in
            [("10s", 10_000), ("5m", 300_000), ("0.5", 500), ("2h", 7_200_000), ("250ms", 250)]
                .into_iter()
                .chain([("1h30m", 5_400_000), ("1w", 604_800_000), ("1m2s500ms", 62_500)])
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for bad in ["", "s", "-1s", "1y", "ten", "1e400", "1h30", "1h-1m", "1h m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
