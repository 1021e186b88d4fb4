//! What is printed for a line: its text, its JSON, fields of it, or a template.
//!
//! One message is one line of output. On a terminal nothing foreign reaches the terminal but visible
//! signs; elsewhere bytes stay as they are, but for line breaks within a message. Only `verbatim`
//! (LogTalez's output) leaves these, too, where no terminal is.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use rzlog_client::{FACILITIES, Line, Message, Severity};
use serde_json::{Value, json};

use crate::error::Error;
use crate::screen::escape;

/// How a line is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    /// JSON that stands there plainly, or behind the first `@cee:`; else an object of what the line says of
    /// itself.
    Json,
    /// The same as LogTalez finds it: the first `@cee:` comes first.
    Cookie,
    /// An object of these.
    Fields(Vec<String>),
    Template(Vec<Piece>),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Field(String),
}

pub(crate) struct Show {
    pub(crate) form: Form,
    pub(crate) foreign: Foreign,
    pub(crate) colour: bool,
    /// When it was received stands in front.
    pub(crate) timestamps: bool,
}

/// What others wrote, on its way out.
#[derive(Default)]
pub(crate) struct Foreign {
    /// As LogTalez: the frame as it is, and a line break.
    pub(crate) verbatim: bool,
    /// A terminal shows it.
    pub(crate) terminal: bool,
    /// Kept for its room.
    escaped: String,
}

/// Reads `text {field} text`; braces themselves are written twice.
pub(crate) fn template(text: &str) -> Result<Form, Error> {
    let (mut pieces, mut literal) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let brace = &rest[at..=at];
        if let Some(behind) = behind.strip_prefix(brace) {
            literal.push_str(brace);
            rest = behind;
            continue;
        }
        let (name, behind) = match (brace, behind.split_once('}')) {
            ("{", Some((name, behind))) if !name.trim().is_empty() => (name.trim(), behind),
            _ => {
                return Err(Error::Usage(format!(
                    "template \"{text}\": write {{field}}, and {{{{ or }}}} for a brace"
                )));
            }
        };
        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        pieces.push(Piece::Field(name.to_owned()));
        rest = behind;
    }
    literal.push_str(rest);
    pieces.push(Piece::Literal(literal));
    Ok(Form::Template(pieces))
}

impl Show {
    pub(crate) fn new(form: Form) -> Show {
        Show { form, foreign: Foreign::default(), colour: false, timestamps: false }
    }

    /// Appends a line's output, with the line break at its end.
    pub(crate) fn render(&mut self, message: &Message<'_>, line: &Line<'_>, out: &mut Vec<u8>) {
        let colour = if self.colour { line.severity.and_then(colour) } else { None };
        if let Some(colour) = colour {
            out.extend_from_slice(colour);
        }
        if self.timestamps {
            out.extend_from_slice(now().as_bytes());
            out.push(b' ');
        }
        let foreign = &mut self.foreign;
        match &self.form {
            Form::Text if foreign.verbatim => foreign.put(message.text, out),
            Form::Text => foreign.put(line.text, out),
            Form::Json | Form::Cookie => {
                let cookie = if self.form == Form::Cookie { line.behind_cookie() } else { None };
                match cookie.or_else(|| line.json()) {
                    // LogTalez does not look at it either
                    Some(payload) if foreign.verbatim => foreign.put(payload, out),
                    payload => foreign.json(payload, message, line, out),
                }
            }
            Form::Fields(names) => {
                let (value, _) = value(line);
                out.push(b'{');
                for (index, name) in names.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    let field = field(name, value.as_ref(), message, line).unwrap_or(Value::Null);
                    let pair = format!("{separator}{}:{field}", Value::from(name.as_str()));
                    foreign.put(pair.as_bytes(), out);
                }
                out.push(b'}');
            }
            Form::Template(pieces) => {
                let (value, _) = value(line);
                for piece in pieces {
                    match piece {
                        // the user's own
                        Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Field(name) => match field(name, value.as_ref(), message, line) {
                            None | Some(Value::Null) => out.push(b'-'),
                            Some(Value::String(text)) => foreign.put(text.as_bytes(), out),
                            Some(other) => foreign.put(other.to_string().as_bytes(), out),
                        },
                    }
                }
            }
        }
        if colour.is_some() {
            out.extend_from_slice(b"\x1b[0m");
        }
        out.push(b'\n');
    }
}

impl Foreign {
    fn json(
        &mut self,
        payload: Option<&[u8]>,
        message: &Message<'_>,
        line: &Line<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut object = json!({});
        match value(line) {
            (Some(Value::Object(_)), _) => {
                // Line breaks can stand between its parts only.
                let payload = payload.unwrap_or_default().trim_ascii();
                let flat: Vec<_> = payload
                    .iter()
                    .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte })
                    .collect();
                return self.put(&flat, out);
            }
            (Some(_), _) => object["broken"] = "JSON, but no object".into(),
            (None, Some(why)) => object["broken"] = why.into(),
            (None, None) => {}
        }
        for name in ["time", "host", "program", "pid", "severity", "message"] {
            if let Some(value) = field(name, None, message, line) {
                object[name] = value;
            }
        }
        self.put(object.to_string().as_bytes(), out);
    }

    /// Appends what others wrote.
    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.terminal {
            self.escaped.clear();
            escape(bytes, &mut self.escaped);
            out.extend_from_slice(self.escaped.as_bytes());
        } else if self.verbatim || !bytes.contains(&b'\n') {
            out.extend_from_slice(bytes);
        } else {
            for (index, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
                if index > 0 {
                    out.extend_from_slice(b"\\n");
                }
                out.extend_from_slice(part);
            }
        }
    }
}

/// The line's JSON, or why it is none.
fn value(line: &Line<'_>) -> (Option<Value>, Option<String>) {
    match line.json().map(serde_json::from_slice) {
        None => (None, None),
        Some(Ok(value)) => (Some(value), None),
        Some(Err(why)) => (None, Some(format!("JSON, but {why}"))),
    }
}

/// A field by its name: of the line's JSON (`a.b` is b in a), else what the line says of itself.
fn field(
    name: &str,
    value: Option<&Value>,
    message: &Message<'_>,
    line: &Line<'_>,
) -> Option<Value> {
    if let Some(value) = value {
        let whole = value.get(name);
        let found = whole.or_else(|| name.split('.').try_fold(value, |at, part| at.get(part)));
        if let Some(found) = found {
            return Some(found.clone());
        }
    }
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    match name {
        "topic" => line.topic.map(text),
        "endpoint" => Some(message.endpoint.into()),
        "received" => Some(now().into()),
        "facility" => {
            line.facility.and_then(|it| FACILITIES.get(usize::from(it))).map(|it| (*it).into())
        }
        "severity" => line.severity.map(|severity| severity.name().into()),
        "time" => line.time.map(text),
        "host" => line.host.map(text),
        "program" => line.program.map(text),
        "pid" => line.pid.map(text),
        "message" => Some(text(line.message)),
        "text" => Some(text(line.text)),
        _ => None,
    }
}

fn colour(severity: Severity) -> Option<&'static [u8]> {
    match severity {
        Severity::Emergency | Severity::Alert | Severity::Critical => Some(b"\x1b[1;31m"),
        Severity::Error => Some(b"\x1b[31m"),
        Severity::Warning => Some(b"\x1b[33m"),
        Severity::Debug => Some(b"\x1b[2m"),
        Severity::Notice | Severity::Info => None,
    }
}

/// Now, in UTC, as RFC 3339 has it.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_millis())
}

pub(crate) fn rfc3339(seconds: u64, milliseconds: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // days since 0000-03-01, in eras of 400 years
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Writes what was rendered; a reader that is gone is an error of its own.
pub(crate) fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes).map_err(Error::output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(show: &mut Show, text: &[u8]) -> String {
        let topic = Some(&b"web1.app."[..]);
        let message = Message { endpoint: "tcp://a:1", topic, text };
        let mut out = Vec::new();
        show.render(&message, &Line::parse(topic, text), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_message_is_one_line_and_verbatim_is_logtalez() {
        let mut show = Show::new(Form::Text);
        assert_eq!(shown(&mut show, b"a\nb\n"), "a\\nb\n");
        show.foreign.verbatim = true;
        assert_eq!(shown(&mut show, b"a\nb\n"), "a\nb\n\n");
        show.foreign.terminal = true;
        assert_eq!(shown(&mut show, b"a\x1b[2J\nb"), "a\\x1b[2J\\nb\n");
    }

    #[test]
    fn json_is_shown_whole_and_what_is_none_becomes_some() {
        let mut show = Show::new(Form::Json);
        assert_eq!(shown(&mut show, b"h.p:@cee: {\"b\":1,\n\"a\":2}"), "{\"b\":1, \"a\":2}\n");
        let plain = shown(&mut show, b"<11>Nov 24 10:00:00 web1 app[7]: text");
        let plain: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!((&plain["host"], &plain["severity"]), (&"web1".into(), &"err".into()));
        assert_eq!((&plain["message"], &plain["broken"]), (&"text".into(), &Value::Null));
        for broken in [&b"h.p:@cee:{\"a\":"[..], b"h.p:@cee:[1]", b"h.p:@cee:\xff"] {
            let shown: Value = serde_json::from_str(&shown(&mut show, broken)).unwrap();
            assert!(shown["broken"].is_string() && shown["message"].is_string(), "{shown}");
        }
        let deep = format!("@cee:{}", "[".repeat(100_000));
        let shown: Value = serde_json::from_str(&shown(&mut show, deep.as_bytes())).unwrap();
        assert!(shown["broken"].is_string());
    }

    #[test]
    fn logtalez_prints_what_follows_the_cookie() {
        let mut show = Show::new(Form::Cookie);
        show.foreign.verbatim = true;
        assert_eq!(shown(&mut show, b"h.p:@cee: {\"a\":1}"), " {\"a\":1}\n");
        assert_eq!(shown(&mut show, b"h.p:@cee:{broken"), "{broken\n");
        // the first one, wherever it is
        assert_eq!(shown(&mut show, b"{\"a\":\"@cee:x\"}"), "x\"}\n");
    }

    #[test]
    fn fields_come_from_json_first_and_in_the_order_asked_for() {
        let fields = ["z", "a.b", "host", "nothing"].map(str::to_owned).to_vec();
        let mut show = Show::new(Form::Fields(fields));
        let text = b"@cee:{\"a\":{\"b\":[1]},\"z\":\"\\u001b\"}";
        let expected = "{\"z\":\"\\u001b\",\"a.b\":[1],\"host\":\"web1\",\"nothing\":null}\n";
        assert_eq!(shown(&mut show, text), expected);
    }

    #[test]
    fn templates_are_filled_and_foreign_text_is_made_harmless() {
        let mut show = Show::new(template("{host}/{program} {severity} {{{message}}}").unwrap());
        assert_eq!(shown(&mut show, b"a\nb"), "web1/app - {a\\nb}\n");
        show.foreign.terminal = true;
        assert_eq!(shown(&mut show, b"\x1b[2J"), "web1/app - {\\x1b[2J}\n");
        for bad in ["{host", "host}", "{}", "{ }"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0, 7), "1970-01-01T00:00:00.007Z");
        assert_eq!(rfc3339(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_863_907, 999), "2026-11-28T11:05:07.999Z");
        assert_eq!(rfc3339(4_107_542_399, 0), "2100-02-28T23:59:59.000Z");
        assert_eq!(rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn nothing_foreign_moves_a_terminal(text: Vec<u8>, form in 0..4) {
            let form = match form {
                0 => Form::Text,
                1 => Form::Json,
                2 => Form::Fields(vec!["message".into(), "text".into()]),
                _ => template("{message} {topic}").unwrap(),
            };
            let mut show = Show::new(form);
            show.foreign.terminal = true;
            let shown = shown(&mut show, &text);
            let line = shown.strip_suffix('\n').unwrap();
            prop_assert!(line.chars().all(|sign| sign == '\t' || !sign.is_control()), "{line:?}");
        }

        #[test]
        fn json_is_always_json(text in "(@cee:)?[\\PC\\n]*") {
            let shown = shown(&mut Show::new(Form::Json), text.as_bytes());
            prop_assert_eq!(shown.matches('\n').count(), 1);
            prop_assert!(serde_json::from_str::<Value>(&shown).is_ok_and(|value| value.is_object()));
        }
    }
}
