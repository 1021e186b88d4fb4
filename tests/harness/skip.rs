//! A test that needs what this machine lacks says so aloud.

use std::io::Write;

/// Tells why a test is not run. Written past libtest's capture, so that it is seen although the
/// test counts as passed.
pub fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Is this root? Asked of /proc, which belongs to the process.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Is there a program of this name on PATH?
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}
