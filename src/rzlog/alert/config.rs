//! The files of `rzlog alert`, as they are written. Several are read as one: rules may come from here,
//! receivers from there. What they mean is made in rule.rs, route.rs and channel.rs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::clock::Span;
use crate::error::Error;

pub(crate) type Labels = BTreeMap<String, String>;

/// One file, or all of them together.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) route: Option<Route>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) inhibit_rules: Vec<Inhibit>,
    pub(crate) rules: Vec<Rule>,
}

/// Who is told what, and how often; what is not said is the parent's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) receiver: Option<String>,
    pub(crate) r#match: Labels,
    pub(crate) r#continue: bool,
    pub(crate) group_by: Option<Vec<String>>,
    pub(crate) group_wait: Option<Span>,
    pub(crate) group_interval: Option<Span>,
    pub(crate) repeat_interval: Option<Span>,
    pub(crate) routes: Vec<Route>,
}

/// Where one alert fires, others need not be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inhibit {
    pub(crate) source_match: Labels,
    pub(crate) target_match: Labels,
    #[serde(default)]
    pub(crate) equal: Vec<String>,
}

/// Exactly one of the channels is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receiver {
    pub(crate) name: String,
    #[serde(default = "yes")]
    pub(crate) send_resolved: bool,
    pub(crate) template: Option<String>,
    pub(crate) mattermost: Option<Chat>,
    pub(crate) slack: Option<Chat>,
    pub(crate) alertmanager: Option<Alertmanager>,
    pub(crate) command: Option<Command>,
}

impl Receiver {
    /// The variable with its secret, where it is in one.
    pub(crate) fn secret_variable(&self) -> Option<String> {
        let chat = self.mattermost.as_ref().or(self.slack.as_ref());
        let token = self.alertmanager.as_ref().and_then(|it| it.token_env.as_ref());
        chat.and_then(|it| it.url_env.as_ref()).or(token).cloned()
    }
}

/// The URL of an incoming webhook is a secret: who knows it can write there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chat {
    pub(crate) url_file: Option<PathBuf>,
    pub(crate) url_env: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) icon_emoji: Option<String>,
    /// The longest text, in characters.
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alertmanager {
    pub(crate) url: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) token_env: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) arguments: Vec<String>,
    #[serde(default = "thirty_seconds")]
    pub(crate) timeout: Span,
}

/// A rule. At most one of the conditions is there; without any, each line that fits is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) alert: String,
    pub(crate) summary: Option<String>,
    #[serde(default)]
    pub(crate) labels: Labels,
    pub(crate) host: Option<String>,
    pub(crate) program: Option<String>,
    pub(crate) severity: Option<String>,
    #[serde(default)]
    pub(crate) r#match: Words,
    #[serde(default)]
    pub(crate) exclude: Words,
    pub(crate) by: Option<Vec<String>>,
    #[serde(rename = "for", default = "nothing")]
    pub(crate) hold: Span,
    pub(crate) keep_firing_for: Option<Span>,
    pub(crate) at_least: Option<u64>,
    #[serde(default = "three")]
    pub(crate) lines: usize,
    pub(crate) limit: Option<usize>,
    #[serde(default = "ten_minutes")]
    pub(crate) max_age: Span,
    pub(crate) threshold: Option<Threshold>,
    pub(crate) baseline: Option<Baseline>,
    pub(crate) new_pattern: Option<NewPattern>,
    pub(crate) silent: Option<Silent>,
    pub(crate) lost: Option<Lost>,
    pub(crate) missed: Option<Missed>,
}

/// So many lines within a window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    pub(crate) count: u64,
    pub(crate) window: Span,
    /// Calm is what has no more than this.
    pub(crate) clear: Option<u64>,
}

/// So many times what it was in the past.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) window: Span,
    pub(crate) past: Span,
    pub(crate) factor: f64,
    pub(crate) clear: Option<f64>,
    /// The share that the lines have in all lines of the group, and the one below which nothing is said.
    #[serde(default)]
    pub(crate) share: bool,
    pub(crate) floor: Option<f64>,
}

/// A kind of line that was never there before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPattern {
    pub(crate) learn: Span,
}

/// Nothing for so long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Silent {
    pub(crate) after: Span,
    #[serde(default = "week")]
    pub(crate) forget: Span,
}

/// A publisher is not connected.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lost {}

/// So many lines of a publisher did not come, within a window.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missed {
    pub(crate) count: u64,
    pub(crate) window: Span,
}

/// One text or a list of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "OneOrMany")]
pub(crate) struct Words(pub(crate) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Words {
    fn from(words: OneOrMany) -> Words {
        match words {
            OneOrMany::One(word) => Words(vec![word]),
            OneOrMany::Many(words) => Words(words),
        }
    }
}

fn yes() -> bool {
    true
}
fn three() -> usize {
    3
}
fn ten_minutes() -> Span {
    Span::minutes(10)
}
fn nothing() -> Span {
    Span(0)
}
fn thirty_seconds() -> Span {
    Span::seconds(30)
}
fn week() -> Span {
    Span::minutes(7 * 24 * 60)
}

impl Config {
    /// Reads files, and the files `*.toml` of folders, as one.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Config, Error> {
        let mut whole = Config::default();
        for path in paths {
            if path.is_dir() {
                let mut files = Vec::new();
                for entry in fs::read_dir(path).map_err(Error::file(path))? {
                    let file = entry.map_err(Error::file(path))?.path();
                    if file.extension().is_some_and(|extension| extension == "toml") {
                        files.push(file);
                    }
                }
                files.sort();
                files.iter().try_for_each(|file| whole.add(file))?;
            } else {
                whole.add(path)?;
            }
        }
        if whole.rules.is_empty() {
            return Err(Error::Usage("there is no rule in these files: write [[rules]]".into()));
        }
        Ok(whole)
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        let mut file: Config = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let what = without_urls(error.message());
            Error::Usage(format!("{}, line {line}: {what}", path.display()))
        })?;
        let wrong = |what: String| Err(Error::Usage(format!("{}: {what}", path.display())));
        if file.route.is_some() && self.route.is_some() {
            return wrong("[route] is in another of the files, too; there is one".into());
        }
        for receiver in &file.receivers {
            if self.receivers.iter().any(|other| other.name == receiver.name) {
                return wrong(format!("there are two receivers \"{}\"", receiver.name));
            }
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for receiver in &mut file.receivers {
            let chats = [&mut receiver.mattermost, &mut receiver.slack].into_iter().flatten();
            let secrets = chats.map(|chat| &mut chat.url_file);
            let token = receiver.alertmanager.iter_mut().map(|it| &mut it.token_file);
            for file in secrets.chain(token).flatten() {
                *file = folder.join(&*file);
            }
        }
        for rule in &file.rules {
            let twice = self.rules.iter().any(|other| other.alert == rule.alert)
                || file.rules.iter().filter(|other| other.alert == rule.alert).count() > 1;
            if twice {
                return wrong(format!("there are two rules \"{}\"", rule.alert));
            }
        }
        self.route = self.route.take().or(file.route);
        self.receivers.append(&mut file.receivers);
        self.inhibit_rules.append(&mut file.inhibit_rules);
        self.rules.append(&mut file.rules);
        Ok(())
    }
}

/// A mistake is quoted, and one is to write a webhook's URL, a secret, where a table belongs.
fn without_urls(text: &str) -> String {
    let words = text.split(' ').map(|word| if word.contains("://") { "(a URL)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_wrong_place_is_not_in_the_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alert.toml");
        for receiver in
            ["slack = \"URL\"", "slack = { url_file = [\"URL\"] }", "slack = { url = \"URL\" }"]
        {
            let receiver = receiver.replace("URL", "https://hooks.example.org/services/s3cr3t");
            fs::write(&path, format!("[[receivers]]\nname = \"ops\"\n{receiver}\n")).unwrap();
            let error = Config::read(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(error.contains("alert.toml, line 3: ") && !error.contains("s3cr3t"), "{error}");
        }
    }
}
