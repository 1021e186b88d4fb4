//! Where a label or a value comes from: a part that the rule's expression captured, a field of the line's
//! JSON, or what the line says of itself.

use std::borrow::Cow;

use regex::bytes::CaptureLocations;
use rzlog_client::{FACILITIES, Line, Severity};
use serde_json::Value;

/// What a line says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Host,
    Program,
    Pid,
    Facility,
    Severity,
    Topic,
    Endpoint,
}

impl Own {
    pub(super) const NAMES: &'static str =
        "host, program, pid, facility, severity, topic and endpoint";

    pub(super) fn from_name(name: &str) -> Option<Own> {
        Some(match name {
            "host" => Own::Host,
            "program" => Own::Program,
            "pid" => Own::Pid,
            "facility" => Own::Facility,
            "severity" => Own::Severity,
            "topic" => Own::Topic,
            "endpoint" => Own::Endpoint,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A group of the expression.
    Capture(usize),
    Own(Own),
    /// Of the JSON, `a.b` for b in a; else what the line says of itself.
    Json(String, Option<Own>),
}

/// All that there is to find something in.
pub(super) struct Fields<'a> {
    pub(super) line: &'a Line<'a>,
    pub(super) endpoint: &'a str,
    pub(super) json: Option<&'a Value>,
    pub(super) captures: Option<&'a CaptureLocations>,
}

impl<'a> Fields<'a> {
    pub(super) fn find(&self, source: &Source) -> Option<Cow<'a, [u8]>> {
        match source {
            Source::Capture(index) => {
                let (start, end) = self.captures?.get(*index)?;
                self.line.message.get(start..end).map(Cow::Borrowed)
            }
            Source::Own(own) => self.own(*own).map(Cow::Borrowed),
            Source::Json(name, own) => {
                let found = self.json.and_then(|value| in_json(value, name));
                found.or_else(|| self.own((*own)?).map(Cow::Borrowed))
            }
        }
    }

    fn own(&self, own: Own) -> Option<&'a [u8]> {
        let line = self.line;
        match own {
            Own::Host => line.host,
            Own::Program => line.program,
            Own::Pid => line.pid,
            Own::Facility => {
                let name = line.facility.and_then(|it| FACILITIES.get(usize::from(it)));
                name.map(|name| name.as_bytes())
            }
            Own::Severity => line.severity.map(Severity::name).map(str::as_bytes),
            Own::Topic => line.topic,
            Own::Endpoint => Some(self.endpoint.as_bytes()),
        }
    }
}

/// A text or a number; objects and lists are neither.
fn in_json<'a>(value: &'a Value, name: &str) -> Option<Cow<'a, [u8]>> {
    let whole = value.get(name);
    match whole.or_else(|| name.split('.').try_fold(value, |at, part| at.get(part)))? {
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Number(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        Value::Bool(yes) => Some(Cow::Borrowed(if *yes { b"true" } else { b"false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A finite number as programs write it.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    let plain = text.len() <= 15 && !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if plain {
        let value = text.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        return Some(value as f64);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite() {
        for (text, expected) in [("0", 0.0), ("1234", 1234.0), ("-1.5e3", -1500.0), (" 7 ", 7.0)] {
            assert_eq!(number(text.as_bytes()), Some(expected), "{text}");
        }
        for bad in ["", "-", "nan", "inf", "-infinity", "1e999", "0x10", "1,5", "12ms", "١"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn json_is_found_by_its_whole_name_first() {
        let value = serde_json::json!({"a.b": 1, "a": {"b": 2, "c": {"d": true}}, "l": [1]});
        let found =
            |name| in_json(&value, name).map(|it| String::from_utf8_lossy(&it).into_owned());
        assert_eq!(found("a.b").as_deref(), Some("1"));
        assert_eq!(found("a.c.d").as_deref(), Some("true"));
        for none in ["a", "a.c", "l", "l.0", "", ".", "a..b"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
