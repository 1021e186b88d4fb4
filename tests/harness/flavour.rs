//! Which modules a site loads: ours, or Debian's C modules, for which the same tests were written
//! to fail. Configurations are written for ours; moving one over is replacing one word.

use std::fmt;

/// A pair of modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// imrzmq and omrzmq from `target/modules`.
    Rzmq,
    /// imczmq and omczmq from the package rsyslog-czmq.
    Czmq,
}

impl Flavour {
    /// The pair that `RZMQ_TEST_FLAVOUR` asks for; ours if it is not set.
    pub fn under_test() -> Self {
        match std::env::var("RZMQ_TEST_FLAVOUR").as_deref() {
            Ok("czmq") => Flavour::Czmq,
            Ok("rzmq") | Err(_) => Flavour::Rzmq,
            Ok(other) => panic!("RZMQ_TEST_FLAVOUR is \"{other}\": rzmq or czmq"),
        }
    }

    /// `text`, with our modules' names replaced by this pair's.
    pub fn translate(self, text: &str) -> String {
        match self {
            Flavour::Rzmq => text.to_owned(),
            Flavour::Czmq => text.replace("imrzmq", "imczmq").replace("omrzmq", "omczmq"),
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavour::Rzmq => "rzmq",
            Flavour::Czmq => "czmq",
        })
    }
}
