//! A receiver's channel: what of its configuration leads where, and what a notice looks like there
//! (webhook.rs and command.rs bring it). Runs in the receiver's own thread, so that a channel that hangs
//! holds nobody up.

use std::fs;

use serde_json::Value;
use ureq::Agent;

use super::clock::{Span, Time, wall};
use super::outbox::{Attempt, Outcome};
use super::secret::Secret;
use super::text::{Dialect, Style};
use super::webhook::{agent, post};
use super::{command, config, payload};
use crate::error::Error;

/// Mattermost's limit of a post; what Slack recommends.
const MATTERMOST: usize = 16_383;
const SLACK: usize = 4_000;
/// What it cuts.
const SLACK_CUTS: usize = 40_000;

pub(crate) struct Channel {
    pub(crate) name: String,
    kind: Kind,
}

enum Kind {
    Chat { chat: config::Chat, style: Style, url: Secret, http: Agent },
    Alertmanager { url: String, token: Option<Secret>, http: Agent },
    Command { command: config::Command, hidden: Vec<String> },
}

impl Channel {
    /// `secrets`: the variables that hold those of all receivers.
    pub(crate) fn new(text: &config::Receiver, secrets: &[String]) -> Result<Channel, Error> {
        let wrong = |what: &str| Error::Usage(format!("receiver {}: {what}", text.name));
        let kind = match (&text.mattermost, &text.slack, &text.alertmanager, &text.command) {
            (Some(chat), None, None, None) => {
                Kind::chat(chat, Dialect::Mattermost, MATTERMOST, text)?
            }
            (None, Some(chat), None, None) => Kind::chat(chat, Dialect::Slack, SLACK, text)?,
            (None, None, Some(it), None) => {
                if !it.url.starts_with("http://") && !it.url.starts_with("https://") {
                    return Err(wrong("alertmanager.url is as https://alertmanager.example.org"));
                }
                if it.url.contains('@') {
                    return Err(wrong("alertmanager.url has a password in it; use token_file"));
                }
                let token = Secret::of(&it.token_file, &it.token_env);
                let url = format!("{}/api/v2/alerts", it.url.trim_end_matches('/'));
                Kind::Alertmanager { url, token: token.map_err(wrong)?, http: agent() }
            }
            (None, None, None, Some(command)) => {
                if command.arguments.is_empty() {
                    return Err(wrong("command.arguments is the program and its arguments"));
                }
                Kind::Command { command: command.clone(), hidden: secrets.to_vec() }
            }
            _ => return Err(wrong("one of mattermost, slack, alertmanager and command is needed")),
        };
        let is_chat = matches!(kind, Kind::Chat { .. });
        if text.template.is_some() && !is_chat {
            return Err(wrong("template is for mattermost and slack"));
        }
        Ok(Channel { name: text.name.clone(), kind })
    }

    /// It wants to know of each alert by itself.
    pub(crate) fn groups_itself(text: &config::Receiver) -> bool {
        text.alertmanager.is_some()
    }

    /// The least time between two messages: Slack takes one a second.
    pub(crate) fn pace(&self) -> Span {
        match self.kind {
            Kind::Chat { .. } => Span::seconds(1),
            _ => Span(0),
        }
    }

    /// What would be sent, for people.
    pub(crate) fn preview(&self, attempt: &Attempt, now: Time) -> String {
        match &self.kind {
            Kind::Chat { style, .. } => style.notice(attempt, now),
            Kind::Alertmanager { .. } => pretty(&payload::alertmanager(attempt, now, now)),
            Kind::Command { .. } => pretty(&payload::command(attempt)),
        }
    }

    /// A secret that is not there, that anybody on this machine can read, or that is sent in the clear.
    pub(crate) fn worries(&self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let secret = match &self.kind {
            Kind::Chat { url, .. } => url,
            Kind::Alertmanager { token: Some(token), .. } => token,
            _ => return None,
        };
        let name = &self.name;
        if let Secret::File(path) = secret {
            if fs::metadata(path).is_ok_and(|it| it.mode() & 0o004 != 0) {
                return Some(format!("{name}: anybody can read {}", path.display()));
            }
        }
        let text = match secret.read() {
            Ok(text) => text,
            Err(why) => return Some(format!("{name}: {why}")),
        };
        let is_clear = match &self.kind {
            Kind::Alertmanager { url, .. } => url.starts_with("http://"),
            _ => text.starts_with("http://"),
        };
        is_clear.then(|| format!("{name}: its secret goes over the network unencrypted (http)"))
    }

    /// Tries it.
    pub(crate) fn deliver(&self, attempt: &Attempt, now: Time) -> Outcome {
        match &self.kind {
            Kind::Chat { chat, style, url, http } => {
                let url = match url.read() {
                    Ok(url) => url,
                    Err(why) => return Outcome::Later { wait: None, why },
                };
                let body = payload::chat(chat, style.dialect, &style.notice(attempt, now));
                post(http, &url, None, &body, &[&url], attempt.unsure)
            }
            Kind::Alertmanager { url, token, http } => {
                let token = match token.as_ref().map(Secret::read).transpose() {
                    Ok(token) => token,
                    Err(why) => return Outcome::Later { wait: None, why },
                };
                let secrets: Vec<&str> = token.iter().map(String::as_str).collect();
                let body = payload::alertmanager(attempt, now, wall());
                post(http, url, token.as_deref(), &body, &secrets, attempt.unsure)
            }
            Kind::Command { command, hidden } => {
                command::run(command, hidden, &payload::command(attempt))
            }
        }
    }
}

impl Kind {
    fn chat(
        chat: &config::Chat,
        dialect: Dialect,
        limit: usize,
        text: &config::Receiver,
    ) -> Result<Kind, Error> {
        let wrong = |what: &str| Error::Usage(format!("receiver {}: {what}", text.name));
        let url = Secret::of(&chat.url_file, &chat.url_env).map_err(wrong)?;
        let url = url.ok_or_else(|| {
            wrong(
                "url_file, a file with the webhook's URL, or url_env, a variable's name, is needed",
            )
        })?;
        let longest = chat.limit.unwrap_or(limit);
        let most = if dialect == Dialect::Slack { SLACK_CUTS } else { limit };
        if !(200..=most).contains(&longest) {
            return Err(wrong(&format!("limit is 200 to {most} characters")));
        }
        let style = Style::new(dialect, longest, text.template.as_deref())
            .map_err(|error| wrong(&error.to_string()))?;
        Ok(Kind::Chat { chat: chat.clone(), style, url, http: agent() })
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::super::clock::read;
    use super::super::config::Labels;
    use super::super::engine::Alert;
    use super::super::outbox::Detail;
    use super::super::route::Notification;
    use super::*;

    #[test]
    fn a_secret_in_the_place_of_its_file_or_variable_is_not_shown() {
        for receiver in [
            "mattermost = { url_file = \"https://chat.example.org/hooks/S3cret\" }",
            "slack = { url_env = \"https://chat.example.org/hooks/S3cret\" }",
            "alertmanager = { url = \"http://a\", token_file = \"https://x/S3cret\" }",
            "alertmanager = { url = \"http://a\", token_env = \"https://x/S3cret\" }",
        ] {
            let text = toml::from_str(&format!("name = \"ops\"\n{receiver}")).unwrap();
            let error = Channel::new(&text, &[]).err().map(|it| it.to_string()).unwrap_or_default();
            assert!(error.contains("receiver ops: ") && !error.contains("S3cret"), "{error}");
        }
    }

    fn an_alert() -> Alert {
        Alert {
            id: "A".into(),
            labels: Labels::from([("alertname".into(), "A".into())]),
            summary: String::new(),
            what: String::new(),
            starts: 1000,
            ends: None,
            count: 1,
            lines: Vec::new(),
        }
    }

    fn attempt_of(alert: Alert) -> Attempt {
        let notification = Notification {
            receiver: "am".into(),
            group: "A".into(),
            group_labels: Labels::new(),
            alerts: vec![alert],
            at: 1000,
            repeat: false,
        };
        Attempt { id: 1, notification, detail: Detail::Lines, lost: 0, unsure: false }
    }

    /// Takes one request, and answers its body.
    fn body_of_one(listener: &TcpListener) -> Value {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let lower = line.to_ascii_lowercase();
            if let Some(said) = lower.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.get_mut().write_all(answer).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn what_fires_ends_in_an_alertmanagers_future_though_our_clock_is_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!(
            "name = \"am\"\nalertmanager = {{ url = \"http://{}\" }}",
            listener.local_addr().unwrap()
        );
        let channel = Channel::new(&toml::from_str(&text).unwrap(), &[]).unwrap();
        let attempt = attempt_of(an_alert());
        let before = wall();
        let taken = thread::spawn(move || body_of_one(&listener));
        assert_eq!(channel.deliver(&attempt, 2000), Outcome::Delivered);
        let ends = taken.join().unwrap()[0]["endsAt"].as_str().unwrap().to_owned();
        assert!(read(ends.as_bytes(), before).unwrap() > before, "{ends}");
    }

    #[test]
    fn what_ended_by_a_clock_that_is_ahead_ends_in_no_future() {
        let wall = 1_800_000_000_000;
        let mut alert = an_alert();
        (alert.starts, alert.ends) = (wall + 3_600_000, Some(wall + 7_200_000));
        let value = payload::alertmanager(&attempt_of(alert.clone()), wall + 7_300_000, wall);
        assert_eq!(value[0]["endsAt"], super::super::clock::stamp(wall));
        assert_eq!(value[0]["startsAt"], super::super::clock::stamp(wall));
        alert.ends = None;
        let value = payload::alertmanager(&attempt_of(alert), wall - 1000, wall);
        assert_eq!(value[0]["startsAt"], super::super::clock::stamp(wall));
    }
}
