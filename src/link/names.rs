//! Patterns of names: which of the certificates in a folder are meant.
//!
//! The names are those in the certificates that the administrator keeps in the folder, or of their files; a
//! peer says none when it connects. A certificate's name was written by whoever made it, the host itself as a
//! rule, and is right only if whoever put it into the folder has looked at it.

use std::fmt;

use crate::certificate::Certificate;

/// What a certificate may be called: exact names, or with `*` for any run of characters; in any case of
/// letters (ASCII), as host names are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(Option<Vec<String>>);

/// A list with an item that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allowednames=\"{0}\" has an empty name in it (a comma too many?)")]
pub struct NamesError(String);

impl Names {
    /// Reads a list with commas; `*` among them means everybody, as no list does.
    pub fn parse(text: &str) -> Result<Names, NamesError> {
        let patterns: Vec<_> = text.split(',').map(|it| it.trim().to_owned()).collect();
        if patterns.iter().any(String::is_empty) {
            return Err(NamesError(text.to_owned()));
        }
        let everybody = patterns.iter().any(|it| it == "*");
        Ok(Names((!everybody).then_some(patterns)))
    }

    /// Whether nobody is left out.
    pub fn are_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this certificate is meant.
    pub(crate) fn have(&self, certificate: &Certificate) -> bool {
        let Some(patterns) = &self.0 else { return true };
        let name = certificate.label();
        patterns.iter().any(|pattern| fits(pattern.as_bytes(), name.as_bytes()))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("*"),
            Some(patterns) => f.write_str(&patterns.join(",")),
        }
    }
}

/// Only the last `*` is ever tried again, so that no pattern takes long.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, from));
                at += 1;
            }
            (Some(byte), _) if byte.eq_ignore_ascii_case(&name[from]) => {
                at += 1;
                from += 1;
            }
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                at = place + 1;
                from = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PublicKey;

    fn certificate(name: Option<&str>, file: &str) -> Certificate {
        let public = PublicKey::from_bytes([1; 32]);
        Certificate { public, name: name.map(str::to_owned), path: file.into() }
    }

    #[test]
    fn a_pattern_is_met_by_the_whole_name_in_any_case_of_letters() {
        let list = "Web*.example.com, archive,*-db-*";
        let names = Names::parse(list).unwrap();
        for (name, expected) in [
            ("web1.example.com", true),
            ("WEB.Example.COM", true),
            ("web.a.b.example.com", true),
            ("web1.example.com.evil.org", false),
            ("xweb1.example.com", false),
            ("web1-example.com", false),
            ("archive", true),
            ("archive2", false),
            ("old-db-1", true),
            ("-db-", true),
            ("-db", false),
            ("", false),
            ("*", false),
        ] {
            assert_eq!(names.have(&certificate(Some(name), "archive")), expected, "{name}");
        }
        assert!(names.have(&certificate(None, "/etc/keys/web7.example.com")), "its file's name");
        assert_eq!(names.to_string(), "Web*.example.com,archive,*-db-*");
    }

    #[test]
    fn everybody_is_meant_without_a_list_and_by_a_star() {
        for names in [Names::default(), Names::parse("*").unwrap(), Names::parse("a,*").unwrap()] {
            assert!(names.are_all() && names.have(&certificate(Some("anybody"), "x")));
        }
        let stars = Names::parse("**").unwrap();
        assert!(!stars.are_all() && stars.have(&certificate(Some("anybody"), "x")));
        for list in ["", " ", "a,", ",a", "a,,b"] {
            let error = Names::parse(list).unwrap_err().to_string();
            assert!(error.contains(&format!("allowednames=\"{list}\"")), "{error}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let names = Names::parse(&"*a".repeat(20_000)).unwrap();
        assert!(!names.have(&certificate(Some(&format!("{}b", "a".repeat(20_000))), "x")));
    }
}
