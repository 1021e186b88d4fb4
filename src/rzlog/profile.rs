//! The file of profiles: what would otherwise be written on the command line each time.
//!
//! `--config`, else `rzlog/config.toml` in XDG_CONFIG_HOME (or `~/.config`), else
//! `/etc/rzlog/config.toml`. Relative paths in it begin at its own folder.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;

/// The profile that is used where neither a profile nor an endpoint is named.
pub(crate) const DEFAULT: &str = "default";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One of them. The command line comes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) endpoints: Vec<String>,
    pub(crate) servercertpath: Option<String>,
    pub(crate) clientcertpath: Option<String>,
    pub(crate) plaintext: bool,
    pub(crate) host: Option<String>,
    pub(crate) program: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) severity: Option<String>,
    pub(crate) json: bool,
    pub(crate) fields: Vec<String>,
    pub(crate) template: Option<String>,
}

/// The file's place: the one named, or the first of the usual ones that is there.
fn place(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    // relative ones do not count, says the specification
    let xdg = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = xdg.or(home.map(|home| home.join(".config")));
    let usual = [own, Some(PathBuf::from("/etc"))];
    usual
        .into_iter()
        .flatten()
        .map(|folder| folder.join("rzlog/config.toml"))
        .find(|it| it.exists())
}

/// All profiles; none where there is no file.
fn all(named: Option<&Path>) -> Result<(PathBuf, BTreeMap<String, Profile>), Error> {
    let Some(path) = place(named) else { return Ok(Default::default()) };
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::Usage(format!("{}, line {line}: {}", path.display(), error.message()))
    })?;
    Ok((path, file.profiles))
}

/// The profile of this name, which must be there.
pub(crate) fn find(named: Option<&Path>, name: &str) -> Result<Profile, Error> {
    let (path, mut profiles) = all(named)?;
    if path.as_os_str().is_empty() {
        return Err(Error::Usage(format!(
            "@{name}: there is no file of profiles, neither ~/.config/rzlog/config.toml nor \
             /etc/rzlog/config.toml"
        )));
    }
    let Some(profile) = profiles.remove(name) else {
        let known: Vec<_> = profiles.keys().map(|name| format!("@{name}")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let path = path.display();
        return Err(Error::Usage(format!("@{name} is not in {path}; there: {known}")));
    };
    Ok(resolved(profile, &path))
}

/// The profile that is used where none is named, if there is one.
pub(crate) fn default(named: Option<&Path>) -> Result<Option<Profile>, Error> {
    let (path, mut profiles) = all(named)?;
    Ok(profiles.remove(DEFAULT).map(|profile| resolved(profile, &path)))
}

/// The names, for completion: a broken file has none.
pub(crate) fn names() -> Vec<String> {
    all(None).map(|(_, profiles)| profiles.into_keys().collect()).unwrap_or_default()
}

fn resolved(mut profile: Profile, file: &Path) -> Profile {
    let folder = file.parent().unwrap_or(Path::new(""));
    for path in [&mut profile.servercertpath, &mut profile.clientcertpath].into_iter().flatten() {
        let full = |part: &str| match (part.strip_prefix("~/"), env::var_os("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest).display().to_string(),
            _ => folder.join(part).display().to_string(),
        };
        if path != "*" {
            // two files of a server whose key is being replaced
            *path = path.split(',').map(|part| full(part.trim())).collect::<Vec<_>>().join(",");
        }
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn paths_begin_at_the_files_folder() {
        let (folder, path) = file(
            "[profiles.prod]\nendpoints = [\"tcp://a:1\"]\nservercertpath = \"s,/abs\"\n\
             clientcertpath = \"*\"\n",
        );
        let profile = find(Some(&path), "prod").unwrap();
        let expected = format!("{}/s,/abs", folder.path().display());
        assert_eq!(profile.servercertpath, Some(expected));
        assert_eq!(profile.clientcertpath.as_deref(), Some("*"));
    }

    #[test]
    fn mistakes_name_file_and_place() {
        let (_folder, path) = file("[profiles.prod]\nendpoint = \"tcp://a:1\"\n");
        let error = find(Some(&path), "prod").unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("line 2"), "{error}");
        assert!(error.contains("`endpoint`"), "{error}");
        let (_folder, path) = file("[profiles.a]\n[profiles.b]\n");
        let error = find(Some(&path), "prod").unwrap_err().to_string();
        assert!(error.contains("@prod is not in") && error.contains("@a, @b"), "{error}");
    }
}
