//! Makes Rust's view of `rsyslog-headers/` (bindgen) and holds the measured facts against it (cc).

use std::env;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=rsyslog-headers");
    // rsyslogd itself provides the functions when it loads a module; a unit test has no rsyslogd
    // around it and calls none of them.
    println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");

    let foreign = env::var_os("CARGO_FEATURE_FOREIGN_LAYOUT").map(|_| "RZMQ_FOREIGN_LAYOUT");

    // Compiling is the test: a size or an offset that differs stops the build.
    let mut asserts = cc::Build::new();
    asserts.file("rsyslog-headers/asserts.c").cargo_metadata(false);
    if let Some(name) = foreign {
        asserts.define(name, None);
    }
    asserts.try_compile("rzmq_asserts")?;

    bindgen::Builder::default()
        .clang_args(foreign.map(|name| format!("-D{name}")))
        .header("rsyslog-headers/rsyslog.h")
        .allowlist_file(".*rsyslog-headers/.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(false)
        .generate()?
        .write_to_file(PathBuf::from(env::var("OUT_DIR")?).join("rsyslog.rs"))?;
    Ok(())
}
