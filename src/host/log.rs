//! rsyslogd's own log. What goes here never passes the rules, unless the administrator asked for it
//! with `global(processInternalMessages="on")`.
//!
//! Standard output and error are not used: in a rsyslogd that went to the background these
//! descriptors belong to somebody else. One exception: while a configuration is checked
//! (`rsyslogd -N1`), which happens at a terminal, our warnings about settings are printed. The core
//! prints errors alone there, or (8.2608 and later) warnings without that word.

use crate::signs::misleads;
use crate::strings::to_c;
use crate::sys;
use std::ffi::c_int;
use std::io::Write as _;

/// "No code": rsyslog then adds no link to its error pages (runtime/rsyslog.h, NO_ERRCODE).
const NO_ERRCODE: c_int = -1;
const LOG_WARNING: c_int = 4;
const LOG_INFO: c_int = 6;

/// Writes to rsyslogd's log with a prefix that names the instance: `omrzmq[archive]: …`.
///
/// Cheap to clone; any thread may use it.
#[derive(Debug, Clone)]
pub struct Log {
    prefix: String,
}

impl Log {
    /// The log of one instance of a module.
    pub fn instance(module: &str, instance: &str) -> Self {
        Self { prefix: format!("{module}[{instance}]: ") }
    }

    /// The log of the module itself.
    pub fn module(module: &str) -> Self {
        Self { prefix: format!("{module}: ") }
    }

    /// An error. While the configuration is checked (`rsyslogd -N1`) it makes the check fail.
    pub fn error(&self, sentence: impl AsRef<str>) {
        let text = to_c(&self.line(sentence.as_ref()));
        // SAFETY: LogError formats with "%s" and one NUL-terminated string; any thread may call it.
        unsafe { sys::LogError(0, NO_ERRCODE, c"%s".as_ptr(), text.as_ptr()) };
    }

    /// Something the administrator should know that stops nothing.
    pub fn warning(&self, sentence: impl AsRef<str>) {
        if is_configuration_check() {
            // Nobody is left to tell when the terminal is gone.
            let _ =
                writeln!(std::io::stderr(), "rsyslogd: warning: {}", self.line(sentence.as_ref()));
        } else {
            self.message(LOG_WARNING, sentence.as_ref());
        }
    }

    /// Something worth a line in the log.
    pub fn info(&self, sentence: impl AsRef<str>) {
        self.message(LOG_INFO, sentence.as_ref());
    }

    /// One line, whatever a peer or a file had to say: a line feed would begin another, an escape
    /// sequence speak to the terminal, and a sign that turns the direction of writing show other words.
    fn line(&self, sentence: &str) -> String {
        let mut line = String::with_capacity(self.prefix.len() + sentence.len());
        for character in self.prefix.chars().chain(sentence.chars()) {
            match misleads(character) {
                true => line.extend(character.escape_default()),
                false => line.push(character),
            }
        }
        line
    }

    fn message(&self, severity: c_int, sentence: &str) {
        let text = to_c(&self.line(sentence));
        // SAFETY: as for LogError in `error`.
        unsafe { sys::LogMsg(0, NO_ERRCODE, severity, c"%s".as_ptr(), text.as_ptr()) };
    }
}

/// Whether this rsyslogd only checks its configuration. The core's flag is exported by 8.2302 to
/// 8.2610 but is no interface (tools/rsyslogd.c), so it is looked up, and its absence means no.
fn is_configuration_check() -> bool {
    // SAFETY: looks a name up in the running program.
    let flag = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"iConfigVerify".as_ptr()) };
    // SAFETY: where the name exists it is an int that is set once, before modules are loaded.
    !flag.is_null() && unsafe { flag.cast::<c_int>().read() } != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_one_line() {
        let line =
            Log::instance("omrzmq", "a").line("it says: ü\nrsyslogd: all is well\x1b[2J\u{9b}");
        assert_eq!(line, "omrzmq[a]: it says: ü\\nrsyslogd: all is well\\u{1b}[2J\\u{9b}");
        let turned =
            Log::module("omrzmq").line("no longer allowed: \u{202e}1bd\u{2066}we\u{200b}b");
        assert_eq!(turned, "omrzmq: no longer allowed: \\u{202e}1bd\\u{2066}we\\u{200b}b");
    }
}
