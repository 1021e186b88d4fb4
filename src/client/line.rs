//! What a line says of itself: priority, time, host, program, text. For people and filters; never an
//! error, because whatever cannot be read is text.
//!
//! Understood: RFC 5424 and RFC 3164 as rsyslog forwards them, the same without priority as in its files, a
//! topic in front of one of these, and LogTalez's form `host.program[pid]:@cee:{…}`.
//!
//! Host and program are the publisher's where a topic `HOST.PROGRAM.` has a frame of its own: what looks like a
//! header in the text may be a program's words, if the publisher's template writes none. A header that the topic
//! begins with is believed, so that a text names no other host than one that its topic begins with. Priority
//! and time are what the text says in any case, as any program can choose its priority.

/// How grave a line is; the smaller, the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// The facilities by their number.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

impl Severity {
    const ALL: [(Severity, &'static str); 8] = [
        (Severity::Emergency, "emerg"),
        (Severity::Alert, "alert"),
        (Severity::Critical, "crit"),
        (Severity::Error, "err"),
        (Severity::Warning, "warning"),
        (Severity::Notice, "notice"),
        (Severity::Info, "info"),
        (Severity::Debug, "debug"),
    ];

    /// By its number.
    pub fn from_number(number: u8) -> Option<Severity> {
        Severity::ALL.get(usize::from(number)).map(|(severity, _)| *severity)
    }

    /// By its name as syslog, programs and people write it, or its number.
    pub fn from_name(name: &str) -> Option<Severity> {
        let lower = name.to_ascii_lowercase();
        let name = match lower.as_str() {
            "emergency" | "panic" => "emerg",
            "critical" | "fatal" => "crit",
            "error" => "err",
            "warn" => "warning",
            "informational" => "info",
            "trace" => "debug",
            other => other,
        };
        let mut all = Severity::ALL.into_iter();
        let named = all.find(|(_, known)| *known == name).map(|(severity, _)| severity);
        named.or_else(|| name.parse().ok().and_then(Severity::from_number))
    }

    /// As syslog writes it.
    pub fn name(self) -> &'static str {
        Severity::ALL[self as usize].1
    }
}

/// A line, taken apart. What it does not say is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its topic: a frame of its own, or the word in front.
    pub topic: Option<&'a [u8]>,
    /// All of it, without the line break at its end.
    pub text: &'a [u8],
    /// The facility's number.
    pub facility: Option<u8>,
    /// How grave it is.
    pub severity: Option<Severity>,
    /// When, as written.
    pub time: Option<&'a [u8]>,
    /// Whose.
    pub host: Option<&'a [u8]>,
    /// Of which program.
    pub program: Option<&'a [u8]>,
    /// Its process.
    pub pid: Option<&'a [u8]>,
    /// What it says, without all of these.
    pub message: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart. `topic` is that of the message, if it has a frame of its own. One of the form
    /// `HOST.PROGRAM.`, with a dot at its end and another before that, says whose the line is. The text's host
    /// and program are kept where the topic begins with them: they tell a dot in a name from one behind it
    /// (`HOST.PROGRAM.SEVERITY.`), and more than it, as `postfix/smtpd` does for `postfix`.
    pub fn parse(topic: Option<&'a [u8]>, text: &'a [u8]) -> Line<'a> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let mut line = Line {
            topic,
            text,
            facility: None,
            severity: None,
            time: None,
            host: None,
            program: None,
            pid: None,
            message: text,
        };
        line.read();
        if let Some((host, program)) = line.topic.and_then(host_and_program) {
            let named = |name: &'a [u8]| (!name.is_empty()).then_some(name);
            match topic.filter(|it| it.ends_with(b".") || it.ends_with(b":")) {
                Some(topic) if line.is_of(topic) => {}
                Some(_) => (line.host, line.program) = (named(host), named(program)),
                None => {
                    line.host = line.host.or(named(host));
                    line.program = line.program.or(named(program));
                }
            }
        }
        line
    }

    /// Whether this topic begins with host and program, as the text has them, each whole; of a program
    /// `postfix/smtpd`, `postfix` will do.
    fn is_of(&self, topic: &[u8]) -> bool {
        let (host, program) = (self.host.unwrap_or_default(), self.program.unwrap_or_default());
        let named = topic.strip_prefix(host).and_then(|rest| rest.strip_prefix(b"."));
        let Some(named) = named.filter(|_| !host.is_empty()) else { return false };
        let same = named.iter().zip(program).take_while(|(one, other)| one == other).count();
        let (behind, more) = (&named[same..], &program[same..]);
        let is_whole = behind.first().is_none_or(|byte| b".[:".contains(byte));
        is_whole && (more.is_empty() || more.starts_with(b"/"))
    }

    fn read(&mut self) {
        let text = self.text;
        if self.priority(text) {
            return;
        }
        if stamp(text).is_some() {
            return self.rfc3164(text);
        }
        // a topic in front
        let end = text.iter().position(|byte| b"<@ [:".contains(byte)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let is_topic = word.contains(&b'.') && word.iter().all(u8::is_ascii_graphic);
        if !is_topic {
            return;
        }
        if rest.starts_with(b"<") {
            if self.priority(rest) {
                self.topic = self.topic.or(Some(word));
            }
        } else if rest.starts_with(b"[") || rest.starts_with(b":") || rest.starts_with(b"@cee:") {
            let names = host_and_program(word);
            if let Some((host @ [_, ..], program @ [_, ..])) = names {
                (self.host, self.program) = (Some(host), Some(program));
                self.topic = self.topic.or(Some(word));
                self.behind_program(rest);
            }
        }
    }

    /// `<PRI>` and what follows it; false: there is none.
    fn priority(&mut self, text: &'a [u8]) -> bool {
        let Some(rest) = text.strip_prefix(b"<") else { return false };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        let number = std::str::from_utf8(number).ok().and_then(|it| it.parse::<u8>().ok());
        let (Some(number @ 0..=191), Some(rest)) = (number, rest.strip_prefix(b">")) else {
            return false;
        };
        self.facility = Some(number / 8);
        self.severity = Severity::from_number(number % 8);
        self.message = rest;
        match rest.strip_prefix(b"1 ") {
            Some(rest) => self.rfc5424(rest),
            None => self.rfc3164(rest),
        }
        true
    }

    fn rfc5424(&mut self, text: &'a [u8]) {
        let mut rest = text;
        let mut word = || {
            let (word, behind) = split_word(rest);
            rest = behind;
            (word != b"-" && !word.is_empty()).then_some(word)
        };
        self.time = word();
        self.host = word();
        self.program = word();
        self.pid = word();
        word();
        let rest = behind_structured_data(rest);
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        self.message = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
    }

    fn rfc3164(&mut self, text: &'a [u8]) {
        let mut rest = text;
        if let Some(behind) = stamp(text) {
            self.time = Some(text[..text.len() - behind.len()].trim_ascii_end());
            rest = behind;
            let (word, behind) = split_word(rest);
            let is_name = !word.is_empty() && !word.contains(&b':') && !word.contains(&b'[');
            if is_name {
                self.host = Some(word);
                rest = behind;
            }
        }
        let end = rest.iter().position(|byte| b" :[".contains(byte)).unwrap_or(rest.len());
        let (program, behind) = rest.split_at(end);
        if !program.is_empty() && (behind.starts_with(b":") || behind.starts_with(b"[")) {
            self.program = Some(program);
            self.behind_program(behind);
        } else {
            self.message = rest;
        }
    }

    /// `[pid]: text`.
    fn behind_program(&mut self, text: &'a [u8]) {
        let mut rest = text;
        if let Some(behind) = rest.strip_prefix(b"[") {
            if let Some(end) = behind.iter().take(64).position(|byte| *byte == b']') {
                self.pid = Some(&behind[..end]);
                rest = &behind[end + 1..];
            }
        }
        rest = rest.strip_prefix(b":").unwrap_or(rest);
        self.message = rest.strip_prefix(b" ").unwrap_or(rest);
    }

    /// The JSON in it: a message or a text that begins like an object, else what follows the first `@cee:`.
    /// Within an object, that is what somebody wrote. Whether it is whole is for a parser to say.
    pub fn json(&self) -> Option<&'a [u8]> {
        let mut texts = [self.message, self.text].into_iter();
        let object = texts.find(|text| begins_object(text));
        object.or_else(|| self.behind_cookie())
    }

    /// What follows the first `@cee:`, wherever it is.
    pub fn behind_cookie(&self) -> Option<&'a [u8]> {
        const COOKIE: &[u8] = b"@cee:";
        let at = self.text.windows(COOKIE.len()).position(|window| window == COOKIE)?;
        Some(&self.text[at + COOKIE.len()..])
    }
}

/// `{"` or `{}`, or an end in between: `{pool-1} …` is none.
fn begins_object(text: &[u8]) -> bool {
    let inside = text.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| matches!(inside.first(), None | Some(b'"' | b'}')))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => text.split_at(text.len()),
    }
}

/// `HOST.PROGRAM` or `HOST.PROGRAM.`: a host's name may have dots in it, a program's rarely has. Either may be
/// empty, as a program's name is for rsyslog where the tag begins with a slash.
fn host_and_program(topic: &[u8]) -> Option<(&[u8], &[u8])> {
    let topic = topic.strip_suffix(b".").unwrap_or(topic);
    let dot = topic.iter().rposition(|byte| *byte == b'.')?;
    let (host, program) = (&topic[..dot], &topic[dot + 1..]);
    // of a tag, without `[pid]:`
    let end = program.iter().position(|byte| b"[:".contains(byte)).unwrap_or(program.len());
    Some((host, &program[..end]))
}

/// What stands behind a time stamp, either kind, and its blank.
fn stamp(text: &[u8]) -> Option<&[u8]> {
    let (word, rest) = split_word(text);
    let digits = |range: std::ops::Range<usize>| {
        word.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let is = |text: &[u8], at: usize, byte: u8| text.get(at) == Some(&byte);
    if digits(0..4) && is(word, 4, b'-') && digits(5..7) && is(word, 10, b'T') && digits(11..13) {
        return Some(rest);
    }
    let month = text.get(..3)?;
    let is_stamp = month.iter().all(u8::is_ascii_alphabetic)
        && is(text, 3, b' ')
        && is(text, 6, b' ')
        && is(text, 9, b':')
        && is(text, 12, b':')
        && text.get(13..15)?.iter().all(u8::is_ascii_digit);
    let rest = if is_stamp { text.get(15..)? } else { return None };
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b" ") }
}

/// What stands behind `-` or `[id name="value"]…`.
fn behind_structured_data(text: &[u8]) -> &[u8] {
    if let Some(rest) = text.strip_prefix(b"-") {
        return rest;
    }
    let mut rest = text;
    while rest.first() == Some(&b'[') {
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b']' => return !quoted,
                _ => {}
            }
            false
        });
        let Some(end) = end else { return text };
        rest = &rest[end + 1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// host, program, pid, severity, message
    fn read(topic: Option<&str>, text: &str) -> String {
        let line = Line::parse(topic.map(str::as_bytes), text.as_bytes());
        let shown =
            |field: Option<&[u8]>| String::from_utf8_lossy(field.unwrap_or(b"?")).into_owned();
        format!(
            "{} {} {} {} |{}",
            shown(line.host),
            shown(line.program),
            shown(line.pid),
            line.severity.map_or("?", Severity::name),
            shown(Some(line.message))
        )
    }

    #[test]
    fn the_forms_that_rsyslog_writes() {
        for (topic, text, expected) in [
            (
                None,
                "<13>2026-11-24T10:00:00.123456+00:00 web1 app: some text",
                "web1 app ? notice |some text",
            ),
            (None, "<11>Nov 24 10:00:00 web1 app[12]: x\n", "web1 app 12 err |x"),
            (
                None,
                "<14>1 2026-11-24T10:00:00Z web1 app 7 ID [a b=\"]\\\"\"][c] hello  there",
                "web1 app 7 info |hello  there",
            ),
            (None, "<14>1 - - - - - -", "? ? ? info |"),
            (None, "Nov  4 10:00:00 web1 app[12]: x", "web1 app 12 ? |x"),
            (None, "2026-11-24T10:00:00Z web1 kernel: oops", "web1 kernel ? ? |oops"),
            (Some("web1.nginx."), "GET /", "web1 nginx ? ? |GET /"),
            (Some("web1.example.org.nginx[3]:"), " text", "web1.example.org nginx ? ? | text"),
            (None, "web1.nginx[12]:@cee:{\"a\":1}", "web1 nginx 12 ? |@cee:{\"a\":1}"),
            (None, "web1.nginx.<12>Nov  4 10:00:00 web1 nginx: x", "web1 nginx ? warning |x"),
            (None, "no structure at all", "? ? ? ? |no structure at all"),
            (None, "see example.org: it is", "? ? ? ? |see example.org: it is"),
            (None, "<999>x", "? ? ? ? |<999>x"),
            (None, "", "? ? ? ? |"),
        ] {
            assert_eq!(read(topic, text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_does_not_say_whose_it_is_where_the_topic_does() {
        let forged = "<2>Nov 24 10:00:00 db1 kernel: Kernel panic";
        for (topic, text, expected) in [
            ("web1.app.", forged, "web1 app ? crit |Kernel panic"),
            ("web1.app[7]:", forged, "web1 app ? crit |Kernel panic"),
            ("web1.app.", "db1.kernel[1]: x", "web1 app 1 ? |x"),
            ("web1.app.", "<2>1 - db1 kernel - - - x", "web1 app ? crit |x"),
            ("web1.app.", "<2>1 - - - - - - x", "web1 app ? crit |x"),
            // the host is the same, the program is not; and one that begins like it
            ("web1.app.", "<2>Nov 24 10:00:00 web1 kernel: x", "web1 app ? crit |x"),
            ("web1.app.", "<2>Nov 24 10:00:00 web1 apples: x", "web1 app ? crit |x"),
            ("web1.app.", "<2>Nov 24 10:00:00 web app: x", "web1 app ? crit |x"),
            // the same, or more of it
            ("web1.app.", "<3>Nov 24 10:00:00 web1 app[7]: x", "web1 app 7 err |x"),
            ("web1.rc.local.", "<3>Nov 24 10:00:00 web1 rc.local: x", "web1 rc.local ? err |x"),
            ("m.postfix.", "<3>Nov 24 10:00:00 m postfix/smtpd[7]: x", "m postfix/smtpd 7 err |x"),
            // with something more behind it
            ("web1.app.info.", "<6>Nov 24 10:00:00 web1 app[7]: x", "web1 app 7 info |x"),
            ("m.cron.info.", "<6>Nov 24 10:00:00 m cron/job: x", "m cron/job ? info |x"),
            ("web1.app.info.", forged, "web1.app info ? crit |Kernel panic"),
            // a program without a name
            ("web1..", "<2>Nov 24 10:00:00 db1 kernel: x", "web1 ? ? crit |x"),
            ("web1..", "<2>Nov 24 10:00:00 web1 kernel: x", "web1 ? ? crit |x"),
            ("web1..", "<6>Nov 24 10:00:00 web1 /bin/app[7]: x", "web1 /bin/app 7 info |x"),
            ("web1..info.", "<6>Nov 24 10:00:00 web1 [7]: x", "web1 ? ? info |[7]: x"),
            ("..", forged, "? ? ? crit |Kernel panic"),
            // a name of one's own that is like such a form is taken for it
            ("nginx.access.", "<6>Nov 24 10:00:00 web1 nginx: x", "nginx access ? info |x"),
            // no such form: another purpose
            ("prod.logs", "<3>Nov 24 10:00:00 web1 app: x", "web1 app ? err |x"),
            ("all.", "<3>Nov 24 10:00:00 web1 app: x", "web1 app ? err |x"),
        ] {
            assert_eq!(read(Some(topic), text), expected, "{topic} {text}");
        }
    }

    #[test]
    fn json_is_found_behind_the_cookie_or_as_the_whole_text() {
        let json = |text: &'static str| Line::parse(None, text.as_bytes()).json();
        assert_eq!(json("h.p:@cee:{\"a\":\"@cee:\"}"), Some(&b"{\"a\":\"@cee:\"}"[..]));
        assert_eq!(json("<13>Nov 24 10:00:00 h p: @cee: {}"), Some(&b" {}"[..]));
        assert_eq!(json("<13>Nov 24 10:00:00 h p: {\"a\":1}"), Some(&b"{\"a\":1}"[..]));
        assert_eq!(json("{\"a\":1}"), Some(&b"{\"a\":1}"[..]));
        // a cookie within a value is what somebody wrote
        let forged = "{\"status\":500,\"agent\":\"@cee:x\"}";
        assert_eq!(json(forged), Some(forged.as_bytes()));
        let behind = "<13>Nov 24 10:00:00 h p: {\"status\":500,\"agent\":\"@cee:x\"}";
        assert_eq!(json(behind), Some(forged.as_bytes()));
        assert_eq!(json("nothing here {"), None);
        // what begins with a brace and is no object hides none
        let pool = "<13>Nov 24 10:00:00 h p: {pool-1} @cee:{\"severity\":\"err\"}";
        assert_eq!(json(pool), Some(&b"{\"severity\":\"err\"}"[..]));
        assert_eq!(json("{pool-1} @cee:{}"), Some(&b"{}"[..]));
        assert_eq!(json("{pool-1} and more"), None);
        let spaced = " { \"a\":\"@cee:x\"}";
        assert_eq!(json(spaced), Some(spaced.as_bytes()));
    }

    #[test]
    fn severities_have_names_and_numbers() {
        for (name, severity) in
            [("err", 3), ("ERROR", 3), ("warn", 4), ("4", 4), ("Emergency", 0), ("debug", 7)]
        {
            assert_eq!(Severity::from_name(name), Severity::from_number(severity), "{name}");
        }
        assert_eq!(Severity::from_name("loud"), None);
        assert_eq!(Severity::from_name("8"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line(topic: Option<Vec<u8>>, text: Vec<u8>) {
            Line::parse(topic.as_deref(), &text).json();
        }

        #[test]
        fn nearly_lines_are_lines(
            text in "(<1[0-9]{0,2}>|1 |[a-b.]{0,3}|Nov 2[0-9] 1[0-9]:00:00 |[\\[\\]:@ ]|@cee:|\\{){0,9}"
        ) {
            Line::parse(None, text.as_bytes()).json();
        }
    }
}
