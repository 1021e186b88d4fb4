//! What the built files and their sources contain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::skip::{has_program, skipped};
use harness::{paths, ports::free_endpoint};

use crate::Both;

#[test]
fn libzmq_has_curve() {
    assert_eq!(zmq::has("curve"), Some(true));
}

/// The distribution's shared libzmq, with its security updates, and no copy of it.
#[test]
fn modules_use_the_shared_libzmq() {
    let both = Both::new(&free_endpoint());
    let daemon = both.site.start();
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("maps");
    assert!(maps.contains("libzmq.so.5"), "libzmq.so.5 is not loaded");
}

/// Another release runs on its own libc and libzmq, and on nothing of the machine's.
#[test]
fn daemon_has_only_libraries_of_its_own_release() {
    let Some(release) = paths::unpacked_release() else { return };
    let both = Both::new(&free_endpoint());
    let daemon = both.site.start();
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("maps");
    let foreign: BTreeSet<_> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .map(Path::new)
        .filter(|file| file.to_string_lossy().contains(".so"))
        .filter(|file| !file.starts_with(&release) && !file.starts_with(paths::modules()))
        .collect();
    assert!(foreign.is_empty(), "loaded from elsewhere: {foreign:?}");
}

fn modules() -> [PathBuf; 2] {
    ["imrzmq.so", "omrzmq.so"].map(|name| paths::modules().join(name))
}

#[test]
fn modules_are_regular_files() {
    for module in modules() {
        let kind = fs::symlink_metadata(&module).expect("module");
        assert!(kind.file_type().is_file(), "{} is a link", module.display());
    }
}

#[test]
fn mod_init_is_the_only_symbol() {
    if !has_program("nm") {
        return skipped("mod_init_is_the_only_symbol", "no nm (binutils)");
    }
    for module in modules() {
        let output = Command::new("nm").args(["-D", "--defined-only"]).arg(&module).output();
        let output = output.expect("nm runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names: Vec<_> =
            text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["modInit"], "{}", module.display());
    }
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            // A crate's or a file's own tests are no product code.
        } else if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What is compiled into the modules: without comments, and without the items that are for tests alone,
/// wherever in a file they stand.
fn product_lines(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("source");
    let (mut lines, mut is_test, mut above) = (Vec::new(), false, "");
    for (number, line) in text.lines().enumerate() {
        is_test |= line.starts_with("#[cfg(test)]");
        if is_test {
            // An item ends with its brace at the margin, or is one line below its attributes.
            let is_one_line = above.starts_with("#[") && line.ends_with(';');
            is_test = !(line.starts_with('}') || is_one_line);
            above = line;
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        lines.push((number + 1, code.to_owned()));
    }
    lines
}

/// Does the code use this word, as a word?
fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    })
}

/// Is the word here that of the language, and not one of a sentence?
fn is_unsafe(code: &str) -> bool {
    let behind =
        code.match_indices("unsafe").map(|(at, word)| code[at + word.len()..].trim_start());
    let follows = ["{", "fn ", "impl", "extern", "trait", "("];
    uses(code, "unsafe")
        && behind
            .into_iter()
            .any(|rest| rest.is_empty() || follows.iter().any(|next| rest.starts_with(next)))
}

#[test]
fn unsafe_code_lives_in_the_host_layer_and_in_one_file_of_the_link() {
    let src = paths::repository().join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let name = path.strip_prefix(&src).expect("below src").to_owned();
        let allowed = name.starts_with("host") || name == Path::new("link/raw.rs");
        let text = fs::read_to_string(&path).expect("source");
        let all: Vec<_> = text.lines().collect();
        for (number, code) in product_lines(&path) {
            let line = code.trim();
            if !is_unsafe(line) {
                continue;
            }
            if !allowed {
                wrong.push(format!("{}:{number}: {line}", name.display()));
                continue;
            }
            // Declarations and types promise nothing; blocks and impls do.
            let promises = line.contains("unsafe {") || line.starts_with("unsafe impl");
            let above = &all[number.saturating_sub(8)..number];
            if promises && !above.iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{}:{number}: no SAFETY: {line}", name.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// clippy says so too; this holds where nobody ran it.
#[test]
fn product_code_neither_unwraps_nor_panics() {
    let src = paths::repository().join("src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let name = path.strip_prefix(&src).expect("below src").display().to_string();
        if name == "host/fault.rs" {
            // Panics on demand, in test builds alone.
            continue;
        }
        for (number, code) in product_lines(&path) {
            for word in
                [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("]
            {
                if code.contains(word) {
                    wrong.push(format!("{name}:{number}: {}", code.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
