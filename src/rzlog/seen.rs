//! Hosts, programs and topics that were seen on a terminal, for completion: a file of words in XDG_STATE_HOME
//! (`~/.local/state`). What ends with a dot there is a topic.
//!
//! The words come from foreign lines and end in a shell, so only such as need no quotes are kept, and not
//! many. That it cannot be read or written is no trouble: completion then knows less.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

/// Words that are kept, and topics.
const MOST: usize = 1000;
const LONGEST: usize = 100;

#[derive(Default)]
pub(crate) struct Seen {
    words: BTreeSet<String>,
    topics: BTreeSet<String>,
    is_new: bool,
}

fn place() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    Some(state?.join("rzlog/seen"))
}

fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !word.is_empty() && word.len() <= LONGEST && !word.starts_with('-') && word.bytes().all(plain)
}

impl Seen {
    pub(crate) fn load() -> Seen {
        let text = place().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let mut seen = Seen::default();
        text.lines().for_each(|word| seen.note(Some(word.as_bytes())));
        seen.is_new = false;
        seen
    }

    /// Hosts and programs.
    pub(crate) fn words(self) -> impl Iterator<Item = String> {
        self.words.into_iter()
    }

    /// Topics.
    pub(crate) fn topics(self) -> impl Iterator<Item = String> {
        self.topics.into_iter()
    }

    /// Keeps a word or a topic, while there is room.
    pub(crate) fn note(&mut self, word: Option<&[u8]>) {
        let word = word.and_then(|word| std::str::from_utf8(word).ok());
        let Some(word) = word.filter(|word| is_plain(word)) else { return };
        let kind = if word.ends_with('.') { &mut self.topics } else { &mut self.words };
        if kind.len() < MOST && !kind.contains(word) {
            kind.insert(word.to_owned());
            self.is_new = true;
        }
    }

    pub(crate) fn save(&self) {
        let Some(path) = place().filter(|_| self.is_new) else { return };
        let mut text = String::new();
        let all = self.words.iter().chain(&self.topics);
        all.for_each(|word| text.extend([word.as_str(), "\n"]));
        let beside = path.with_extension(std::process::id().to_string());
        let folder = path.parent().map(fs::create_dir_all);
        let written =
            folder.map(|_| fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)));
        if let Some(Err(_)) = written {
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_a_shell_takes_as_they_are() {
        let mut seen = Seen::default();
        let words = ["web1", "a.b-c_d", "-rf", "$(id)", "a b", "", "ünï", "`x`", "web1", "w.ng."];
        words.iter().for_each(|word| seen.note(Some(word.as_bytes())));
        seen.note(Some(b"\xff"));
        seen.note(None);
        assert_eq!(seen.topics, ["w.ng.".to_owned()].into());
        assert_eq!(seen.words().collect::<Vec<_>>(), ["a.b-c_d", "web1"]);
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..10_000 {
            seen.note(Some(format!("host{number}.app.").as_bytes()));
            seen.note(Some(format!("host{number}").as_bytes()));
        }
        assert_eq!((seen.topics.len(), seen.words().count()), (MOST, MOST));
    }
}
