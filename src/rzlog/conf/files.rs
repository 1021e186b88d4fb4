//! A configuration's files: the one that is named, and those that it includes, as rsyslog includes them
//! (cnfDoInclude in rsyslog's rainerscript.c). How large, how deep and how many is bounded, so that no
//! configuration keeps us for ever.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};
use rustix::fs::OFlags;

use super::finding::{Finding, Kind, Place};
use super::scan::{Item, Scan, Statement, scan};
use super::tables::Module;
use crate::error::Error;

/// Larger files are no configurations.
const SIZE_MAX: u64 = 4 << 20;
/// Files, all in all.
const FILES_MAX: usize = 1000;
/// Includes within includes.
const DEPTH_MAX: usize = 32;
/// All of them together.
const TOTAL_MAX: usize = 32 << 20;
/// Names looked at for patterns and folders, all in all.
const NAMES_MAX: usize = 20_000;
/// Statements and directives, all in all.
const ITEMS_MAX: usize = 100_000;

/// A file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: Vec<u8>,
    pub(crate) scan: Scan,
}

/// All files of a configuration, each once, the one that was named first.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) sources: Vec<Source>,
    /// Which items of which file follow each other, as rsyslog reads them: what is included stands where
    /// it is included.
    order: Vec<(usize, Range<usize>)>,
    /// What could not be read, and what is included wrongly.
    pub(crate) findings: Vec<Finding>,
}

impl Configuration {
    /// Reads it. What is wrong with an included file is a finding, with the file itself an error.
    pub(crate) fn read(path: &Path) -> Result<Configuration, Error> {
        let text = read(path).map_err(Error::file(path))?;
        let mut reader = Reader::default();
        reader.add(path.to_owned(), text, 0);
        let Reader { sources, order, findings, .. } = reader;
        Ok(Configuration { sources, order, findings })
    }

    /// All that is said, in the order in which rsyslog reads it, with the numbers of the files.
    pub(crate) fn items(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.order.iter().flat_map(|(number, range)| {
            let items = self.sources.get(*number).and_then(|it| it.scan.items.get(range.clone()));
            items.unwrap_or_default().iter().map(|item| (*number, item))
        })
    }

    /// The name of a place's file.
    pub(crate) fn path(&self, place: &Place) -> &Path {
        self.sources.get(place.source).map_or(Path::new(""), |source| &source.path)
    }
}

#[derive(Default)]
struct Reader {
    sources: Vec<Source>,
    order: Vec<(usize, Range<usize>)>,
    findings: Vec<Finding>,
    /// By their real paths; whether they are being read just now.
    known: HashMap<PathBuf, bool>,
    /// Bytes read.
    bytes: usize,
    /// Names looked at.
    names: usize,
    /// Statements and directives.
    items: usize,
    /// A limit of all is reached, and that is told: nothing more is included.
    full: bool,
}

impl Reader {
    fn add(&mut self, path: PathBuf, text: Vec<u8>, depth: usize) {
        self.bytes += text.len();
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        self.known.insert(real.clone(), true);
        let mut scan = scan(&text);
        let source = self.sources.len();
        let room = ITEMS_MAX - self.items;
        if let Some(first) = scan.items.get(room) {
            let line = match first {
                Item::Statement(statement) => statement.line,
                Item::Directive(directive) => directive.line,
            };
            self.full = true;
            let why = "100,000 statements are the most; nothing more is read";
            self.tell(&Place { source, line }, Kind::Unread, why.to_owned());
            scan.items.truncate(room);
        }
        self.items += scan.items.len();
        for item in &scan.items {
            let Item::Statement(statement) = item else { continue };
            if let Some(why) = depends(statement) {
                let place = Place { source, line: statement.line };
                self.tell(&place, Kind::Unread, why);
            }
        }
        let items = scan.items.iter().enumerate();
        let includes: Vec<_> =
            items.filter_map(|(at, item)| Some((at, Include::of(item)?))).collect();
        let count = scan.items.len();
        self.sources.push(Source { path, text, scan });
        let mut read = 0;
        for (at, include) in includes {
            self.order.push((source, read..at));
            read = at;
            if self.full {
                continue;
            }
            let place = Place { source, line: include.line };
            match include.what {
                Ok(pattern) => self.follow(&pattern, include.optional, &place, depth + 1),
                Err(kind_and_why) => self.tell(&place, kind_and_why.0, kind_and_why.1),
            }
        }
        self.order.push((source, read..count));
        self.known.insert(real, false);
    }

    fn tell(&mut self, place: &Place, kind: Kind, sentence: String) {
        self.findings.push(Finding { place: *place, kind, sentence });
    }

    /// A limit of all is reached.
    fn stop(&mut self, place: &Place, pattern: &str, limit: &str) {
        self.full = true;
        let why = format!("includes {pattern}: {limit} are the most; nothing more is read");
        self.tell(place, Kind::Unread, why);
    }

    fn follow(&mut self, pattern: &str, optional: bool, place: &Place, depth: usize) {
        if depth > DEPTH_MAX {
            let why =
                format!("includes {pattern}: {DEPTH_MAX} files within each other are the most");
            return self.tell(place, Kind::Unread, why);
        }
        let found = match expand(pattern, &mut self.names) {
            Ok(Some(found)) => found,
            Ok(None) => return self.stop(place, pattern, "20,000 names"),
            Err(why) => {
                let why = format!("includes {pattern}, which is no pattern: {why}");
                return self.tell(place, Kind::Unread, why);
            }
        };
        if found.is_empty() && !optional && !has_magic(pattern) {
            let why = format!("includes {pattern}, which is not there");
            return self.tell(place, Kind::Broken, why);
        }
        for path in found {
            if self.full {
                return;
            }
            if self.sources.len() >= FILES_MAX {
                return self.stop(place, pattern, "1000 files");
            }
            if self.bytes >= TOTAL_MAX {
                return self.stop(place, pattern, "32 MiB");
            }
            self.include(path, place, depth);
        }
    }

    fn include(&mut self, path: PathBuf, place: &Place, depth: usize) {
        if path.to_str().is_none() {
            let why =
                format!("includes {}, whose name is not UTF-8: it is not read", path.display());
            return self.tell(place, Kind::Unread, why);
        }
        if path.is_dir() {
            // as rsyslog does it: all in it, and below it
            let below = path.join("*");
            return self.follow(&below.to_string_lossy(), true, place, depth + 1);
        }
        // rsyslog passes over what is neither a file nor a folder
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return;
        }
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        match self.known.get(&real) {
            Some(true) => {
                let why = format!("includes {}, in which it is included itself", path.display());
                return self.tell(place, Kind::Ignored, why);
            }
            Some(false) => {
                let why = format!(
                    "includes {}, which is included already: what it says is there twice",
                    path.display()
                );
                return self.tell(place, Kind::Broken, why);
            }
            None => {}
        }
        match read(&path) {
            Ok(text) => self.add(path, text, depth),
            Err(why) => {
                let why = format!("includes {}, which cannot be read: {why}", path.display());
                self.tell(place, Kind::Unread, why);
            }
        }
    }
}

/// What a file includes.
struct Include {
    line: usize,
    /// A name or a pattern, or why it is not followed.
    what: Result<String, (Kind, String)>,
    optional: bool,
}

impl Include {
    fn of(item: &Item) -> Option<Include> {
        match item {
            Item::Directive(directive) if directive.name == "includeconfig" => {
                let argument = directive.argument.as_ref()?;
                let what = Ok(argument.text.clone());
                Some(Include { line: directive.line, what, optional: false })
            }
            Item::Statement(statement) if statement.word == "include" => {
                let enabled = statement.is_enabled();
                if enabled == Some(false) {
                    return None;
                }
                let optional = statement.text("mode") == Some("optional");
                let unread = |what: &str| Err((Kind::Unread, what.to_owned()));
                let what = match (statement.get("file"), statement.get("text")) {
                    _ if enabled.is_none() => unread(
                        "whether this include() counts depends on rsyslogd's environment; it is not followed",
                    ),
                    (Some(file), None) if file.is_evaluated() => unread(
                        "what include(file=`…`) includes depends on rsyslogd's environment; it is not read",
                    ),
                    (Some(file), None) => Ok(file.list()),
                    (None, Some(_)) => unread("include(text=…) is not read"),
                    _ => return None,
                };
                Some(Include { line: statement.line, what, optional })
            }
            _ => None,
        }
    }
}

/// What of a statement, which may be about ZeroMQ, is known only when rsyslogd starts.
fn depends(statement: &Statement) -> Option<String> {
    let word = statement.word.as_str();
    let name = match word {
        "module" => "load",
        "input" | "action" => "type",
        _ => return None,
    };
    let named = statement.get(name)?;
    if statement.is_enabled() == Some(false) {
        return None;
    }
    if named.is_evaluated() {
        return Some(format!(
            "{name}=`…` depends on rsyslogd's environment: whether this {word}() is about ZeroMQ is not known"
        ));
    }
    let text = named.text()?;
    let module =
        if word == "module" { Module::loaded_as(text) } else { Module::of_type(word, text) };
    let why =
        "config.enabled=`…` depends on rsyslogd's environment: whether this counts is not known";
    (module.is_some() && statement.is_enabled().is_none()).then(|| why.to_owned())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let other = |what: &str| Err(io::Error::other(what.to_owned()));
    if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
        return other("configurations in YAML are not understood here");
    }
    // a pipe would keep us waiting, at once or when it is read
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return other("it is no file");
    }
    let mut text = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        return other("it is larger than 4 MiB");
    }
    Ok(text)
}

/// What glob(3) would expand.
fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// The names that fit a pattern, sorted as the C locale does; none, when too many were looked at.
fn expand(pattern: &str, looked_at: &mut usize) -> Result<Option<Vec<PathBuf>>, PatternError> {
    // rsyslog puts the * behind the name of a folder, whether it ends with a slash or not
    let pattern = match fs::metadata(pattern) {
        Ok(metadata) if metadata.is_dir() => format!("{pattern}*"),
        _ => pattern.to_owned(),
    };
    let top = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![PathBuf::from(top)];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !has_magic(part) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| fs::symlink_metadata(path).is_ok());
            continue;
        }
        let mut pattern = part.to_owned();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        let pattern = Pattern::new(&pattern)?;
        let mut next = Vec::new();
        for folder in found {
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let Ok(entries) = fs::read_dir(listed) else { continue };
            for entry in entries.flatten() {
                *looked_at += 1;
                if *looked_at > NAMES_MAX {
                    return Ok(None);
                }
                let name = entry.file_name();
                // one that is not UTF-8 is told by who includes it
                if pattern.matches_with(&name.to_string_lossy(), AS_A_SHELL) {
                    next.push(folder.join(name));
                }
            }
        }
        next.sort();
        found = next;
    }
    Ok(Some(if pattern.is_empty() { Vec::new() } else { found }))
}

const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn names(configuration: &Configuration) -> Vec<String> {
        let names = configuration.sources.iter().map(|source| source.path.file_name());
        names.map(|name| name.unwrap_or_default().to_string_lossy().into_owned()).collect()
    }

    fn told(configuration: &Configuration) -> Vec<String> {
        let findings = configuration.findings.iter();
        findings
            .map(|it| format!("{} {}: {}", it.place.source, it.place.line, it.sentence))
            .collect()
    }

    fn told_of(configuration: &Configuration) -> String {
        told(configuration).join("\n")
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("{d}", folder.path().to_str().unwrap())).unwrap();
        }
        folder
    }

    #[test]
    fn includes_are_followed_in_both_forms_in_order() {
        let folder = folder(&[
            (
                "main.conf",
                "$IncludeConfig {d}/d/*.conf # all\nruleset(name=\"a\") { if $msg == 'x' then {\n\
                 include(file=\"{d}/more/\" mode=\"optional\") } }\ninclude(file=\"{d}/[x-z]?.conf\")\n\
                 # include(file=\"{d}/hidden.conf\")\ninclude(file=\"{d}/none\" mode=\"optional\")\n",
            ),
            ("d/b.conf", "include(file=\"{d}/deep.conf\")"),
            ("d/a.conf", ""),
            ("d/.hidden.conf", ""),
            ("d/other.txt", ""),
            ("deep.conf", ""),
            ("more/c", ""),
            ("more/below/d", ""),
            ("y1.conf", ""),
            ("hidden.conf", ""),
        ]);
        let configuration = Configuration::read(&folder.path().join("main.conf")).unwrap();
        assert_eq!(
            names(&configuration),
            ["main.conf", "a.conf", "b.conf", "deep.conf", "d", "c", "y1.conf"]
        );
        assert!(configuration.findings.is_empty(), "{:?}", told(&configuration));
    }

    #[test]
    fn circles_doubles_and_what_is_not_there_are_told() {
        let folder = folder(&[
            (
                "main.conf",
                "\n$IncludeConfig {d}/a\n$IncludeConfig {d}/a\n$IncludeConfig {d}/none\n",
            ),
            (
                "a",
                "include(file=\"{d}/main.conf\")\ninclude(file=`echo $HOME`)\ninclude(text=\"x\")",
            ),
        ]);
        let configuration = Configuration::read(&folder.path().join("main.conf")).unwrap();
        let told = told(&configuration);
        assert_eq!(told.len(), 5, "{told:?}");
        for (told, words) in told.iter().zip([
            "1 1: includes|in which it is included itself",
            "1 2: what include(file=`…`)|environment",
            "1 3: include(text=…)",
            "0 3: includes|there twice",
            "0 4: includes|/none, which is not there",
        ]) {
            assert!(words.split('|').all(|word| told.contains(word)), "{told}");
        }
    }

    #[test]
    fn hostile_includes_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let path = |name: &str| at(name).display().to_string();
        for number in 0..40 {
            let next = path(&format!("c{}", number + 1));
            fs::write(at(&format!("c{number}")), format!("$IncludeConfig {next}\n")).unwrap();
        }
        fs::create_dir(at("many")).unwrap();
        for number in 0..FILES_MAX + 10 {
            fs::write(at(&format!("many/{number}")), "").unwrap();
        }
        fs::write(at("large"), vec![b'#'; 5 << 20]).unwrap();
        std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let main = format!(
            "$IncludeConfig {}\n$IncludeConfig {}\n$IncludeConfig {}\n$IncludeConfig {}\n$IncludeConfig\n",
            path("c0"),
            path("large"),
            path("socket"),
            path("many/*"),
        );
        fs::write(at("main"), main).unwrap();
        let configuration = Configuration::read(&at("main")).unwrap();
        assert_eq!(configuration.sources.len(), FILES_MAX);
        let told = told(&configuration).join("\n");
        for words in ["32 files within", "larger than 4 MiB", "1000 files are the most"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        fs::write(at("statements"), "a()\n".repeat(ITEMS_MAX + 10)).unwrap();
        let configuration = Configuration::read(&at("statements")).unwrap();
        assert_eq!(configuration.items().count(), ITEMS_MAX);
        assert!(told_of(&configuration).contains("0 100001: 100,000 statements are the most"));
        for everything in ["/".to_owned(), "/*".repeat(30)] {
            fs::write(at("all"), format!("$IncludeConfig {everything}\n").repeat(10)).unwrap();
            let configuration = Configuration::read(&at("all")).unwrap();
            assert!(configuration.sources.len() <= FILES_MAX);
        }
        let name = std::ffi::OsStr::from_bytes(b"x\xff.strange");
        fs::write(folder.path().join(name), "").unwrap();
        fs::write(at("named"), format!("$IncludeConfig {}\n", path("*.strange"))).unwrap();
        let configuration = Configuration::read(&at("named")).unwrap();
        assert!(told_of(&configuration).contains("not UTF-8"), "{configuration:?}");
        assert!(Configuration::read(&at("large")).is_err());
        assert!(Configuration::read(&at("many")).is_err());
        assert!(Configuration::read(&at("none.yaml")).is_err());
    }
}
