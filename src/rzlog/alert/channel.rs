//! A receiver's channel: how a notice gets there, and what its answer means. Runs in the receiver's own
//! thread, so that a channel that hangs holds nobody up.
//!
//! Secrets (a webhook's URL, a token) are read anew for each attempt, so that one that was replaced
//! counts, and are in no sentence: what a library or a server says is searched for them.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::clock::{Span, Time, wall};
use super::config;
use super::outbox::{Attempt, Outcome};
use super::payload;
use super::text::{Dialect, Style, clean};
use crate::error::Error;

/// An answer has to be there within this.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where it was not, and the notice may have been taken: rather waited for than told twice.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// Of an answer.
const LONGEST_ANSWER: u64 = 4096;
/// Mattermost's limit of a post; what Slack recommends.
const MATTERMOST: usize = 16_383;
const SLACK: usize = 4_000;
/// What it cuts.
const SLACK_CUTS: usize = 40_000;
/// A part of a URL that is as long may be a key.
const LEAST_SECRET: usize = 6;
/// How often a command is looked after.
const SLICE: Duration = Duration::from_millis(50);

pub(crate) struct Channel {
    pub(crate) name: String,
    kind: Kind,
}

enum Kind {
    Chat { chat: config::Chat, style: Style, url: Secret, http: Agent },
    Alertmanager { url: String, token: Option<Secret>, http: Agent },
    Command(config::Command),
}

/// Where a secret is; never the secret.
enum Secret {
    File(PathBuf),
    Environment(String),
}

impl Channel {
    pub(crate) fn new(text: &config::Receiver) -> Result<Channel, Error> {
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
                Kind::Command(command.clone())
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
            Kind::Command(_) => pretty(&payload::command(attempt)),
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
            Kind::Command(command) => run(command, &payload::command(attempt)),
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

impl Secret {
    fn of(
        file: &Option<PathBuf>,
        variable: &Option<String>,
    ) -> Result<Option<Secret>, &'static str> {
        let file_names = file.as_ref().map(|it| it.to_string_lossy());
        let mut names = file_names.iter().map(AsRef::as_ref).chain(variable.as_deref());
        if names.any(|name| name.contains("://")) {
            return Err(
                "url_file and token_file name a file, url_env and token_env a variable: a secret does not stand \
                 here itself",
            );
        }
        match (file, variable) {
            (Some(_), Some(_)) => Err("a secret is in a file or in the environment, not in both"),
            (Some(path), None) => Ok(Some(Secret::File(path.clone()))),
            (None, Some(name)) => Ok(Some(Secret::Environment(name.clone()))),
            (None, None) => Ok(None),
        }
    }

    fn read(&self) -> Result<String, String> {
        let text = match self {
            Secret::File(path) => {
                fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
            Secret::Environment(name) => {
                std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
            }
        };
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(match self {
                Secret::File(path) => format!("{}: not one word", path.display()),
                Secret::Environment(name) => format!("the variable {name}: not one word"),
            });
        }
        Ok(text.to_owned())
    }
}

/// Trusts whom the system trusts, follows nobody elsewhere.
fn agent() -> Agent {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> =
        roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_resolve(Some(PATIENCE / 4))
        .timeout_connect(Some(PATIENCE / 2))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("rzlog/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

fn post(
    http: &Agent,
    url: &str,
    token: Option<&str>,
    body: &Value,
    secrets: &[&str],
    unsure: bool,
) -> Outcome {
    let mut request = http.post(url).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let patience = if unsure { LONG_PATIENCE } else { PATIENCE };
    let request = request.config().timeout_global(Some(patience)).build();
    let mut answer = match request.send(body.to_string()) {
        Ok(answer) => answer,
        Err(error) => {
            let why = redact(&error.to_string(), secrets);
            return match is_before_the_notice(&error) {
                true => Outcome::Later { wait: None, why },
                false => Outcome::Failed { wait: None, unsure: true, of_text: false, why },
            };
        }
    };
    let status = answer.status().as_u16();
    if (200..300).contains(&status) {
        return Outcome::Delivered;
    }
    let wait = answer.headers().get("Retry-After").and_then(|wait| wait.to_str().ok());
    let wait = wait.and_then(|wait| wait.trim().parse().ok()).map(|it: u64| it.min(86_400));
    let wait = wait.map(Span::seconds);
    let said = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string();
    // redacted before it is cut, so that no part of a secret stays
    let said = clean(redact(&said.unwrap_or_default(), secrets).as_bytes(), 200);
    let why = format!("answered {status}: {said}");
    answered(status, wait, why)
}

/// What a status but success means.
fn answered(status: u16, wait: Option<Span>, why: String) -> Outcome {
    match status {
        400 | 413 | 422 => Outcome::Refused { why },
        // 502: a proxy that has nobody to ask
        429 | 502 | 503 => Outcome::Later { wait, why },
        _ => Outcome::Failed {
            wait,
            // a proxy that waited in vain for whom it asked
            unsure: status == 504,
            // RFC 9110, 6585, 7725: too long, of no use, or not to be said
            of_text: matches!(status, 403 | 406 | 414 | 415 | 431 | 451),
            why,
        },
    }
}

/// Nobody was there to have it: the connection or its handshake did not come about.
fn is_before_the_notice(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;

    use ureq::{Error, Timeout};
    match error {
        Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut
                | ErrorKind::WouldBlock
        ),
        Error::Timeout(timeout) => matches!(timeout, Timeout::Resolve | Timeout::Connect),
        Error::HostNotFound
        | Error::ConnectionFailed
        | Error::BadUri(_)
        | Error::Http(_)
        | Error::Tls(_)
        | Error::Rustls(_) => true,
        _ => false,
    }
}

/// Takes secrets out of a sentence, and the parts of a URL by which one could write there.
fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        let behind_scheme = secret.split_once("://").map_or(*secret, |(_, rest)| rest);
        let host = match secret.contains("://") {
            true => behind_scheme.find(['/', '?']).unwrap_or(behind_scheme.len()),
            false => 0,
        };
        let (host, path) = behind_scheme.split_at(host);
        let path = path.trim_start_matches('/');
        let user = host.rsplit_once('@').map_or("", |(user, _)| user);
        let mut parts: Vec<&str> =
            [*secret, behind_scheme, path, user].into_iter().filter(|it| it.len() >= 4).collect();
        let separators = ['/', '?', '&', '=', ':'];
        let small = path.split(separators).chain(user.split(separators));
        parts.extend(small.filter(|part| part.len() >= LEAST_SECRET));
        // the long ones first: they have the others in them
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for part in parts {
            text = text.replace(part, "(secret)");
        }
    }
    text
}

/// The notice is on its standard input. Its arguments are the configuration's alone: nothing foreign is
/// in them.
fn run(command: &config::Command, notice: &Value) -> Outcome {
    let later = |why: String| Outcome::Later { wait: None, why };
    let failed = |why, unsure| Outcome::Failed { wait: None, unsure, of_text: false, why };
    let Some((program, arguments)) = command.arguments.split_first() else {
        return later("no command".into());
    };
    let started = process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return later(format!("{program}: {error}")),
    };
    let text = notice.to_string();
    let input = child.stdin.take();
    // it may read late or never
    let write = move || input.map(|mut input| input.write_all(text.as_bytes()));
    let writer = thread::Builder::new().name("rzlog-input".into()).spawn(write);
    let began = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if began.elapsed() < Duration::from_millis(command.timeout.0) => {
                thread::sleep(SLICE);
            }
            _ => break None,
        }
    };
    let Some(status) = ended else {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
        let _ = child.kill();
        let _ = child.wait();
        return failed(format!("{program} took more than {}", command.timeout), true);
    };
    // what it did not read it did not want
    drop(writer);
    if status.success() {
        Outcome::Delivered
    } else {
        failed(format!("{program}: {status}"), false)
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;

    use super::super::clock::read;
    use super::super::config::Labels;
    use super::super::engine::Alert;
    use super::super::outbox::Detail;
    use super::super::route::Notification;
    use super::*;

    #[test]
    fn secrets_are_in_no_sentence() {
        let url = "https://chat.example.org/hooks/xyz123abc";
        for text in [
            "cannot connect to https://chat.example.org/hooks/xyz123abc: refused",
            "no such hook: /hooks/xyz123abc",
            "no hook xyz123abc",
            "no hook xyz123abc for (team=red)",
        ] {
            let redacted = redact(text, &[url]);
            assert!(!redacted.contains("xyz123abc") && redacted.contains("(secret)"), "{redacted}");
        }
        // what is one name of several in it, with a query
        let url = "https://bob:pa55word@api.example.org/v1/k3yk3y/post?token=S3cret-9&x=1";
        for (text, expected) in [
            ("token S3cret-9 is not valid", "token (secret) is not valid"),
            ("unknown key k3yk3y at api.example.org", "unknown key (secret) at api.example.org"),
            ("no user bob:pa55word", "no user (secret)"),
            ("the password pa55word", "the password (secret)"),
        ] {
            assert_eq!(redact(text, &[url]), expected);
        }
        assert_eq!(redact("half of it: c2VjcmV0", &["c2VjcmV0/dG9rZW4="]), "half of it: (secret)");
        assert_eq!(redact("plain", &["t0ken"]), "plain");
        assert_eq!(redact("Bearer t0ken", &["t0ken"]), "Bearer (secret)");
    }

    #[test]
    fn a_secret_in_the_place_of_its_file_or_variable_is_not_shown() {
        for receiver in [
            "mattermost = { url_file = \"https://chat.example.org/hooks/S3cret\" }",
            "slack = { url_env = \"https://chat.example.org/hooks/S3cret\" }",
            "alertmanager = { url = \"http://a\", token_file = \"https://x/S3cret\" }",
            "alertmanager = { url = \"http://a\", token_env = \"https://x/S3cret\" }",
        ] {
            let text = toml::from_str(&format!("name = \"ops\"\n{receiver}")).unwrap();
            let error = Channel::new(&text).err().map(|it| it.to_string()).unwrap_or_default();
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
        let channel = Channel::new(&toml::from_str(&text).unwrap()).unwrap();
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

    #[test]
    fn what_a_proxy_answers_that_restarts_is_not_about_the_notice() {
        let meaning = |status| match answered(status, None, String::new()) {
            Outcome::Refused { .. } => "refused",
            Outcome::Later { .. } => "later",
            Outcome::Failed { unsure: true, of_text: false, .. } => "unsure",
            Outcome::Failed { unsure: false, of_text: true, .. } => "of its text",
            Outcome::Failed { unsure: false, of_text: false, .. } => "failed",
            _ => "",
        };
        for (statuses, words) in [
            (&[400, 413, 422][..], "refused"),
            (&[429, 502, 503], "later"),
            (&[504], "unsure"),
            (&[403, 406, 414, 431], "of its text"),
            (&[302, 401, 404, 500], "failed"),
        ] {
            statuses.iter().for_each(|status| assert_eq!(meaning(*status), words, "{status}"));
        }
    }

    #[test]
    fn a_command_gets_the_notice_and_its_status_counts() {
        let command = |arguments: &[&str], timeout| config::Command {
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            timeout: Span(timeout),
        };
        let notice = serde_json::json!({ "text": "$(touch /nowhere)".repeat(100_000) });
        assert_eq!(run(&command(&["grep", "-q", "touch"], 10_000), &notice), Outcome::Delivered);
        for (arguments, timeout, words) in [
            (&["false"][..], 10_000, "false: exit status: 1, false"),
            (&["sleep", "600"], 100, "sleep took more than 0s, true"),
        ] {
            match run(&command(arguments, timeout), &notice) {
                Outcome::Failed { why, unsure, .. } => {
                    assert_eq!(format!("{why}, {unsure}"), words)
                }
                other => panic!("{other:?}"),
            }
        }
        match run(&command(&["/nowhere"], 100), &notice) {
            Outcome::Later { why, .. } => assert!(why.contains("No such file"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
