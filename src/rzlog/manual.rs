//! The manual pages in packaging/man, made from the definition of the command line. A unit test compares
//! them; `make reference` writes them anew (UPDATE_REFERENCE=1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::CommandFactory;

use crate::cli::Cli;

fn pages(folder: &Path) -> BTreeMap<PathBuf, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().into(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn reference_of_the_manual_says_what_the_command_line_says() {
    let made = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(Cli::command(), made.path()).unwrap();
    let made = pages(made.path());
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man");
    if env::var_os("UPDATE_REFERENCE").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        made.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    assert!(pages(&folder) == made, "packaging/man is not of these options: run `make reference`");
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}
