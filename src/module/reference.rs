//! The reference pages under docs/reference, made from the tables.
//!
//! A unit test of each module compares its pages with its tables; `make reference` writes it anew
//! (UPDATE_REFERENCE=1).

use rzmq_host::{Param, reference};
use std::path::PathBuf;
use std::{env, fs, io};

/// The page of a module: `statement` is `input` or `action`.
pub fn page(module: &str, statement: &str, general: &[Param], instance: &[Param]) -> String {
    format!(
        "# Parameters of {module}\n\n\
         Made from the tables in `src/{module}` and `src/module` by `make reference`; do not edit.\n\n\
         ## `module(load=\"{module}\" …)`\n\n{}\
         ## `{statement}(type=\"{module}\" …)`\n\n{}",
        reference(general),
        reference(instance)
    )
}

/// Whether a file of the repository, such as `docs/reference/imrzmq.md`, holds this page; writes it when
/// UPDATE_REFERENCE is set.
///
/// # Errors
/// When the file cannot be read or written.
pub fn is_up_to_date(file: &str, page: &str) -> io::Result<bool> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, page)?;
    }
    Ok(fs::read_to_string(path)? == page)
}
