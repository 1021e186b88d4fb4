//! The man pages under packaging/man, made from the tables like the reference pages.

use rzmq_host::Param;
use std::fmt::Write as _;

/// What a man page says beside its tables.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// `imrzmq` or `omrzmq`.
    pub module: &'static str,
    /// The statement that uses it: `input` or `action`.
    pub statement: &'static str,
    /// What it is, for the line under NAME.
    pub summary: &'static str,
    /// What it does, in Markdown without links.
    pub description: &'static str,
    /// The other module's page.
    pub other: &'static str,
}

impl Manual {
    /// The page in section 5, for man(1).
    pub fn page(&self, general: &[Param], instance: &[Param]) -> String {
        let Self { module, statement, summary, description, other } = self;
        let version = env!("CARGO_PKG_VERSION");
        format!(
            ".\\\" Made from the tables in src/{module} and src/module by `make reference`; do not edit.\n\
             .TH {} 5 \"\" \"rsyslog\\-rzmq {version}\" \"rsyslog modules\"\n.nh\n.ad l\n\
             .SH NAME\n{module} \\- {}\n\
             .SH SYNOPSIS\n.nf\n\
             \\fBmodule(load=\"{module}\"\\fR \\fIparameter\\fR=\"\\fIvalue\\fR\" ...\\fB)\\fR\n\
             \\fB{statement}(type=\"{module}\"\\fR \\fIparameter\\fR=\"\\fIvalue\\fR\" ...\\fB)\\fR\n.fi\n\
             .SH DESCRIPTION\n{}\n\
             .SH \"PARAMETERS OF MODULE()\"\n{}\
             .SH \"PARAMETERS OF {}()\"\n{}\
             .SH FILES\n\
             .TP\n.I /etc/rsyslog\\-rzmq\nA place for keys and certificates; the parameters name it.\n\
             .TP\n.I /etc/rsyslog.d/60\\-rzmq\\-example.conf\n\
             Examples: a sender and a receiver, all of it commented out.\n\
             .TP\n.I omrzmq\\-*.spool\n\
             In rsyslog's work directory: what omrzmq could not deliver before a stop.\n\
             .TP\n.I imrzmq\\-*.marks\n\
             In rsyslog's work directory: what imrzmq has taken from each sender of acknowledged delivery.\n\
             .TP\n.I /usr/share/doc/rsyslog\\-rzmq\n\
             What is guaranteed and what is not, counters, log lines, security, examples.\n\
             .SH \"SEE ALSO\"\n.BR {other} (5),\n.BR rzlog (1),\n.BR rsyslog.conf (5),\n.BR rsyslogd (8)\n",
            module.to_uppercase(),
            roff(summary),
            roff(description),
            parameters(general),
            statement.to_uppercase(),
            parameters(instance),
        )
    }
}

/// One paragraph a parameter; the core's own ones are left out, as in the reference.
fn parameters(table: &[Param]) -> String {
    let mut text = String::new();
    for param in table.iter().filter(|param| !param.help.is_empty()) {
        let default = match (param.required, param.default) {
            (true, _) => "required".to_string(),
            (false, "") => "default: not set".to_string(),
            (false, default) => format!("default: `{default}`"),
        };
        let allowed = format!("{}; {default}", param.kind.allowed());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ".TP\n\\fB{}\\fR\n{}\n.br\n{}\n",
            escaped(param.name),
            roff(&allowed),
            roff(param.help)
        );
    }
    text
}

/// Markdown of the tables as roff: code becomes bold, a link its text and the name of its page.
fn roff(markdown: &str) -> String {
    let mut text = String::new();
    for (index, part) in markdown.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(text, "\\fB{}\\fR", escaped(part));
        } else {
            text += &escaped(&without_links(part));
        }
    }
    // A dot or an apostrophe at a line's beginning would be a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// `[text](folder/page.md#part)` as `text (page.md)`.
fn without_links(markdown: &str) -> String {
    let Some((before, rest)) = markdown.split_once('[') else { return markdown.to_string() };
    match rest.split_once("](").and_then(|(text, rest)| Some((text, rest.split_once(')')?))) {
        Some((text, (target, after))) => {
            let page = target.split('#').next().unwrap_or_default();
            let name = page.rsplit('/').next().unwrap_or_default();
            format!("{before}{text} ({name}){}", without_links(after))
        }
        None => format!("{before}[{}", without_links(rest)),
    }
}

/// What roff would read as its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::roff;

    #[test]
    fn markdown_becomes_roff() {
        assert_eq!(roff("a `b-c` d"), "a \\fBb\\-c\\fR d");
        assert_eq!(roff("[More](../x/y.md#z). `[::1]`"), "More (y.md). \\fB[::1]\\fR");
        assert_eq!(roff("a [b c"), "a [b c");
        assert_eq!(roff(".a \\"), "\\&.a \\e");
    }
}
