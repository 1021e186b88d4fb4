//! A secret of a receiver: where it is, and how it is kept out of sentences.
//!
//! A webhook's URL or a token is read anew for each attempt, so that one that was replaced counts, and is in no
//! sentence: what a library or a server says is searched for it.

use std::fs;
use std::path::PathBuf;

/// A part of a URL that is as long may be a key.
const LEAST_SECRET: usize = 6;

/// Where a secret is; never the secret.
pub(crate) enum Secret {
    File(PathBuf),
    Environment(String),
}

impl Secret {
    pub(crate) fn of(
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

    pub(crate) fn read(&self) -> Result<String, String> {
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

/// Takes secrets out of a sentence, and the parts of a URL by which one could write there.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
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

#[cfg(test)]
mod tests {
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
}
