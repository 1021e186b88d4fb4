//! A notice as people read it in a chat, from foreign lines and labels.
//!
//! What is foreign stands in code, a block or a span, and nothing in it can end that code: backticks
//! become another sign, and so does the @ of a mention. For Slack & < > are written as it wants them, so
//! that `<!everyone>` and `<https://…|bank>` stay text. Mattermost makes `@here` of `<!here>` and a link of
//! `<https://…|bank>` in all that comes through a webhook, in code, too, before it looks at its length and
//! cuts it into several posts; so its < becomes another sign. Controls were made visible before (clean).

use super::clock::{Span, Time, stamp};
use super::config::Labels;
use super::engine::Alert;
use super::outbox::{Attempt, Detail};
use crate::error::Error;
use crate::screen::escape;
use crate::show::{Form, Piece, template};

/// Whose Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Mattermost,
    Slack,
}

/// How a notice looks.
#[derive(Debug)]
pub(crate) struct Style {
    pub(crate) dialect: Dialect,
    /// The longest text, in characters.
    pub(crate) limit: usize,
    /// Of one alert.
    pub(crate) template: Vec<Piece>,
}

/// As it is without a template of the receiver's.
const DEFAULT: &str = "{status} {alertname} {labels}\n{summary}{what}, {since}{lines}";

/// Bytes as one line of visible signs, at most so many.
pub(crate) fn clean(bytes: &[u8], longest: usize) -> String {
    let cut = bytes.len() > longest.saturating_mul(4);
    let bytes = bytes.get(..longest.saturating_mul(4)).unwrap_or(bytes);
    let mut text = String::new();
    escape(bytes, &mut text);
    match text.char_indices().nth(longest) {
        Some((at, _)) => text.truncate(at),
        None if !cut => return text,
        None => {}
    }
    text.push('…');
    text
}

impl Style {
    pub(crate) fn new(
        dialect: Dialect,
        limit: usize,
        template_text: Option<&str>,
    ) -> Result<Style, Error> {
        let Form::Template(template) = template(template_text.unwrap_or(DEFAULT))? else {
            return Err(Error::Usage("a template is a text".into()));
        };
        Ok(Style { dialect, limit, template })
    }

    /// The whole text. It is never longer than the limit, and never cut within code: alerts that do not
    /// fit are counted.
    pub(crate) fn notice(&self, attempt: &Attempt, now: Time) -> String {
        let notification = &attempt.notification;
        let mut out = String::new();
        if attempt.lost > 0 {
            out.push_str(&format!("{} notices before this one could not be told.\n", attempt.lost));
        }
        if attempt.unsure {
            out.push_str("This may have been told before: no answer came.\n");
        }
        let late = Span(now.saturating_sub(notification.at));
        if late >= Span::seconds(60) {
            out.push_str(&format!("This is of {late} ago: it could not be told before.\n"));
        }
        if attempt.detail == Detail::Names {
            out.push_str("With labels and lines this channel did not take it.\n");
        }
        let all = notification.alerts.len();
        // room for the last sentence
        let room = self.limit.saturating_sub(50);
        let mut used = out.chars().count();
        for (index, alert) in notification.alerts.iter().enumerate() {
            let left = room.saturating_sub(used + 1);
            let text = match attempt.detail {
                Detail::Names => Some(self.name(alert)),
                detail => self.fitting(alert, detail == Detail::Labels, left),
            };
            // of the first there is something in any case
            let text = text.or_else(|| (index == 0).then(|| self.name(alert)));
            let text = text.filter(|text| text.chars().count() <= left);
            let Some(text) = text else {
                out.push_str(&format!("… and {} more alerts", all - index));
                break;
            };
            used += text.chars().count() + 1;
            out.push_str(&text);
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// Nothing foreign.
    fn name(&self, alert: &Alert) -> String {
        let mut out = String::new();
        self.field("status", alert, true, &mut out);
        out.extend([" ", alertname(alert)]);
        out
    }

    /// With as many of its newest lines as there is room for; the others are counted.
    fn fitting(&self, alert: &Alert, bare: bool, room: usize) -> Option<String> {
        let mut alert = alert.clone();
        loop {
            let text = self.alert(&alert, bare);
            if text.chars().count() <= room {
                return Some(text);
            }
            if bare || alert.lines.is_empty() {
                return None;
            }
            alert.lines.remove(0);
        }
    }

    fn alert(&self, alert: &Alert, bare: bool) -> String {
        let mut out = String::new();
        for piece in &self.template {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Field(name) => self.field(name, alert, bare, &mut out),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }

    fn field(&self, name: &str, alert: &Alert, bare: bool, out: &mut String) {
        match name {
            "status" => {
                let bold = if self.dialect == Dialect::Slack { "*" } else { "**" };
                let status = if alert.ends.is_none() { "FIRING" } else { "RESOLVED" };
                out.push_str(&format!("{bold}{status}{bold}"));
            }
            "alertname" => out.push_str(alertname(alert)),
            "labels" => {
                for (index, (label, value)) in own_labels(alert).enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    out.push_str(&format!("{label}={}", self.code(value)));
                }
            }
            "summary" => {
                for piece in pieces(&alert.summary) {
                    match piece {
                        Piece::Literal(text) => out.push_str(&text),
                        // not itself within itself
                        Piece::Field(name) if name == "summary" => {}
                        Piece::Field(name) => self.field(&name, alert, true, out),
                    }
                }
                if !alert.summary.is_empty() {
                    out.push('\n');
                }
            }
            "what" => out.push_str(&what(alert)),
            "since" => out.push_str(&since(alert)),
            "count" => out.push_str(&alert.count.to_string()),
            "more" => out.push_str(&more(alert).to_string()),
            "lines" if bare || alert.ends.is_some() || alert.lines.is_empty() => {}
            "lines" => {
                out.push_str("\n```\n");
                for line in &alert.lines {
                    out.push_str(&self.harmless(line));
                    out.push('\n');
                }
                // a fence that has something behind it ends no block
                out.push_str("```\n");
                if more(alert) > 0 {
                    out.push_str(&format!("and {} more", lines(more(alert))));
                }
            }
            label => match alert.labels.get(label) {
                Some(value) => out.push_str(&self.code(value)),
                None => out.push('-'),
            },
        }
    }

    /// Foreign text within a line. Of blanks that are none of ASCII's, two names could look alike.
    fn code(&self, text: &str) -> String {
        let mut seen = String::with_capacity(text.len());
        for sign in self.harmless(text).trim_matches(' ').chars() {
            match sign {
                _ if sign.is_whitespace() && sign != ' ' => seen.extend(sign.escape_unicode()),
                _ => seen.push(sign),
            }
        }
        if seen.is_empty() { "-".to_owned() } else { format!("`{seen}`") }
    }

    /// Foreign text in code.
    fn harmless(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, sign) in text.char_indices() {
            match sign {
                '`' => out.push('\u{2cb}'),
                '@' => out.push('\u{ff20}'),
                '<' if self.dialect == Dialect::Mattermost && !is_priority(&text[at + 1..]) => {
                    out.push('\u{2039}');
                }
                '&' if self.dialect == Dialect::Slack => out.push_str("&amp;"),
                '<' if self.dialect == Dialect::Slack => out.push_str("&lt;"),
                '>' if self.dialect == Dialect::Slack => out.push_str("&gt;"),
                _ => out.push(sign),
            }
        }
        out
    }
}

/// What follows the < of a syslog priority, which may stay as it is.
fn is_priority(text: &str) -> bool {
    let rest = text.trim_start_matches(|sign: char| sign.is_ascii_digit());
    rest.len() < text.len() && rest.starts_with('>')
}

pub(crate) fn alertname(alert: &Alert) -> &str {
    alert.labels.get("alertname").map_or("", String::as_str)
}

/// What it is, for programs.
pub(crate) fn status(alert: &Alert) -> &'static str {
    if alert.ends.is_some() { "resolved" } else { "firing" }
}

fn own_labels(alert: &Alert) -> impl Iterator<Item = (&String, &String)> {
    alert.labels.iter().filter(|(label, _)| *label != "alertname")
}

/// A count of them.
pub(crate) fn lines(count: u64) -> String {
    format!("{count} {}", if count == 1 { "line" } else { "lines" })
}

/// Lines that are not shown.
pub(crate) fn more(alert: &Alert) -> u64 {
    alert.count.saturating_sub(alert.lines.len() as u64)
}

fn what(alert: &Alert) -> String {
    match alert.ends {
        None => alert.what.clone(),
        Some(ends) => {
            let lasted = Span(ends.saturating_sub(alert.starts));
            format!("over after {lasted}, {} in all", lines(alert.count))
        }
    }
}

fn since(alert: &Alert) -> String {
    let stamp = stamp(alert.starts).replace('T', " ");
    format!("since {} UTC", stamp.get(..19).unwrap_or_default())
}

fn pieces(text: &str) -> Vec<Piece> {
    match template(text) {
        Ok(Form::Template(pieces)) => pieces,
        // it was read once when the rule was
        _ => Vec::new(),
    }
}

/// An alert's summary for programs, who quote by themselves.
pub(crate) fn plain_summary(alert: &Alert) -> String {
    let mut out = String::new();
    for piece in pieces(&alert.summary) {
        match piece {
            Piece::Literal(text) => out.push_str(&text),
            Piece::Field(name) => match name.as_str() {
                "count" => out.push_str(&alert.count.to_string()),
                "what" => out.push_str(&what(alert)),
                "since" => out.push_str(&since(alert)),
                "status" => out.push_str(status(alert)),
                "labels" => {
                    let named: Vec<_> = own_labels(alert)
                        .map(|(label, value)| format!("{label}={value}"))
                        .collect();
                    out.push_str(&named.join(" "));
                }
                "more" => out.push_str(&more(alert).to_string()),
                // not itself, and lines stand beside it
                "summary" | "lines" => {}
                label => out.push_str(label_of(&alert.labels, label)),
            },
        }
    }
    out
}

/// What is the case, for programs.
pub(crate) fn plain_what(alert: &Alert) -> String {
    format!("{}, {}", what(alert), since(alert))
}

fn label_of<'a>(labels: &'a Labels, label: &str) -> &'a str {
    labels.get(label).map_or("-", String::as_str)
}
