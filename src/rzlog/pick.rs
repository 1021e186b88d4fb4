//! Which lines are wanted. What can be said by the beginning of a topic is said to the publisher, so that
//! nothing else crosses the network; the rest is decided here.

use std::borrow::Cow;

use clap::Args;
use regex::RegexSet;
use regex::bytes::{Regex, RegexBuilder};
use rzlog_client::{Line, Message, Severity};
use serde_json::Value;

use crate::connect::{self, Target};
use crate::error::Error;

/// Which lines, as options say it.
#[derive(Args, Default)]
pub(crate) struct Lines {
    /// Beginnings of topics, with commas between them
    #[arg(
        short,
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Which lines",
        add = connect::topics()
    )]
    pub(crate) topics: Option<Vec<String>>,
    /// The publisher has no topics: ask for all, and look for host and program in the lines
    #[arg(long, help_heading = "Which lines")]
    pub(crate) everything: bool,
    /// Only lines in which this regular expression is found; can be given again, then any will do
    #[arg(
        short,
        long,
        value_name = "REGEX",
        allow_hyphen_values = true,
        help_heading = "Which lines"
    )]
    pub(crate) include: Vec<String>,
    /// No lines in which this is found; can be given again
    #[arg(
        short = 'x',
        long,
        value_name = "REGEX",
        allow_hyphen_values = true,
        help_heading = "Which lines"
    )]
    pub(crate) exclude: Vec<String>,
    /// Only lines as grave as this: emerg, alert, crit, err, warning, notice, info, debug
    #[arg(short, long, value_name = "SEVERITY", help_heading = "Which lines")]
    pub(crate) severity: Option<String>,
}

impl Lines {
    /// With the host and the program among a target's words, and what its profile says where these options
    /// do not.
    pub(crate) fn pick(&self, target: &Target) -> Result<Pick, Error> {
        let (profile, rest) = (&target.profile, &target.rest);
        if let Some(word) = rest.get(2) {
            return Err(Error::Usage(format!(
                "\"{word}\": a host and a program are the words there can be"
            )));
        }
        let own = !rest.is_empty() || self.topics.is_some();
        let (host, program) = match own {
            true => (rest.first().map(String::as_str), rest.get(1).map(String::as_str)),
            false => (profile.host.as_deref(), profile.program.as_deref()),
        };
        let empty = Vec::new();
        let topics = match &self.topics {
            Some(topics) => topics,
            None if own => &empty,
            None => &profile.topics,
        };
        let all = |of_profile: &[String], own: &[String]| [of_profile, own].concat();
        Pick::new(&Wish {
            host,
            program,
            topics,
            include: &all(&profile.include, &self.include),
            exclude: &all(&profile.exclude, &self.exclude),
            severity: self.severity.as_deref().or(profile.severity.as_deref()),
            everything: self.everything,
        })
    }
}

/// As the command line and a profile say it.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    /// Names or patterns with `*` and `?`, with commas between them.
    pub(crate) host: Option<&'a str>,
    pub(crate) program: Option<&'a str>,
    /// Beginnings of topics.
    pub(crate) topics: &'a [String],
    pub(crate) include: &'a [String],
    pub(crate) exclude: &'a [String],
    pub(crate) severity: Option<&'a str>,
    /// The publisher has no topics: host and program are looked for in the line itself.
    pub(crate) everything: bool,
}

/// The same, ready to be applied.
pub(crate) struct Pick {
    /// What is subscribed to; nothing: everything.
    pub(crate) topics: Vec<String>,
    named: Option<Names>,
    include: Option<RegexSet>,
    exclude: Option<RegexSet>,
    severity: Option<Severity>,
    everything: bool,
    /// Why lines were left out of which one cannot know whether they were meant, each reason once.
    doubts: Vec<&'static str>,
    /// How many of them were told.
    told: usize,
}

const NO_SEVERITY: &str = "lines that do not say how grave they are are left out (--severity)";
const NO_NAMES: &str = "lines are left out whose topics have several parts behind the program and no dot at their end, or \
                        whose text does not begin with the same host and program: --topics HOST.PROGRAM. shows them";

impl Pick {
    pub(crate) fn new(wish: &Wish<'_>) -> Result<Pick, Error> {
        let severity = wish.severity.map(|text| {
            Severity::from_name(text).ok_or_else(|| {
                let names = "emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7";
                Error::Usage(format!("severity \"{text}\": possible are {names}"))
            })
        });
        let pairs = pairs(wish);
        let mut topics = wish.topics.to_vec();
        topics.extend(pairs.iter().map(|(host, program)| beginning(host, *program)));
        if wish.everything || topics.iter().any(String::is_empty) {
            topics.clear();
        }
        Ok(Pick {
            topics,
            named: Names::new(&pairs)?,
            include: expressions("include", wish.include)?,
            exclude: expressions("exclude", wish.exclude)?,
            severity: severity.transpose()?,
            everything: wish.everything,
            doubts: Vec::new(),
            told: 0,
        })
    }

    /// A reason for which lines were left out that might have been meant; each is told once.
    pub(crate) fn take_doubt(&mut self) -> Option<&'static str> {
        let doubt = self.doubts.get(self.told).copied();
        self.told += usize::from(doubt.is_some());
        doubt
    }

    fn doubt(&mut self, why: &'static str) {
        if !self.doubts.contains(&why) {
            self.doubts.push(why);
        }
    }

    pub(crate) fn wants(&mut self, message: &Message<'_>, line: &Line<'_>) -> bool {
        if let Some(named) = &self.named {
            let is_meant = match message.topic {
                _ if self.everything => {
                    let (host, program) = (line.host.unwrap_or(b""), line.program.unwrap_or(b""));
                    named.line.is_match(&[host, b" ", program].concat())
                }
                // what the publisher compared: the first frame
                Some(topic) => named.frame.is_match(topic) || named.is_of(topic, line),
                None => named.text.is_match(message.text),
            };
            if !is_meant {
                if message.topic.is_some_and(|topic| named.longer.is_match(topic)) {
                    self.doubt(NO_NAMES);
                }
                return false;
            }
        }
        let found = |set: &Option<RegexSet>| set.as_ref().map(|it| it.is_match(&signs(line.text)));
        if found(&self.include) == Some(false) || found(&self.exclude) == Some(true) {
            return false;
        }
        let Some(least) = self.severity else { return true };
        match line.severity.or_else(|| severity_in_json(line)) {
            Some(severity) => severity <= least,
            None => {
                self.doubt(NO_SEVERITY);
                false
            }
        }
    }
}

/// Bytes as expressions see them. One that is no UTF-8 is a sign, too: else it would fit nothing, not even a
/// dot, and hide its line.
pub(crate) fn signs(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn expressions(option: &str, patterns: &[String]) -> Result<Option<RegexSet>, Error> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mistake = |pattern: &str, error: regex::Error| {
        // the lines before the last one draw a picture
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        Error::Usage(format!("--{option} \"{pattern}\": {why}"))
    };
    for pattern in patterns {
        regex::Regex::new(pattern).map_err(|error| mistake(pattern, error))?;
    }
    RegexSet::new(patterns).map(Some).map_err(|error| mistake(&patterns.join(" "), error))
}

/// What programs call it in JSON.
pub(crate) fn severity_in_json(line: &Line<'_>) -> Option<Severity> {
    let value: Value = serde_json::from_slice(line.json()?).ok()?;
    let names = ["severity", "syslogseverity-text", "syslogseverity", "level", "PRIORITY"];
    names.into_iter().filter_map(|name| value.get(name)).find_map(|value| match value {
        Value::String(text) => Severity::from_name(text),
        Value::Number(number) => {
            u8::try_from(number.as_u64()?).ok().and_then(Severity::from_number)
        }
        _ => None,
    })
}

fn pairs<'a>(wish: &Wish<'a>) -> Vec<(&'a str, Option<&'a str>)> {
    if wish.host.is_none() && wish.program.is_none() {
        return Vec::new();
    }
    let hosts = wish.host.unwrap_or("*").split(',').map(str::trim);
    hosts
        .flat_map(|host| match wish.program {
            None => vec![(host, None)],
            Some(programs) => programs.split(',').map(|it| (host, Some(it.trim()))).collect(),
        })
        .collect()
}

/// The part of a pattern that is the same for all that it fits.
fn literal(pattern: &str) -> (&str, bool) {
    match pattern.find(['*', '?']) {
        Some(at) => (&pattern[..at], false),
        None => (pattern, true),
    }
}

fn beginning(host: &str, program: Option<&str>) -> String {
    let (host, whole) = literal(host);
    if !whole {
        return host.to_owned();
    }
    format!("{host}.{}", program.map_or("", |program| literal(program).0))
}

/// The expression of a name's pattern with `*` and `?`.
pub(crate) fn glob(pattern: &str) -> String {
    glob_of("[^ ]", pattern)
}

/// The same, with what `?` fits.
fn glob_of(one: &str, pattern: &str) -> String {
    let sign = |sign: char| match sign {
        '*' => format!("{one}*"),
        '?' => one.to_owned(),
        _ => regex::escape(&sign.to_string()),
    };
    pattern.chars().map(sign).collect()
}

/// One expression for all pairs, by where the names stand. A program ends there: `nginx` is neither
/// `nginx-proxy` nor a part of a host's name. `postfix` is `postfix/smtpd`, too, as it is for the publisher.
struct Names {
    /// Of a topic in a frame of its own: the host, a dot, and the program. One part more may follow, such as a
    /// severity; with more of them, it is a longer host's, unless the text says otherwise.
    frame: Regex,
    /// The same, with more parts behind them.
    longer: Regex,
    /// Of a topic in front of a text. It ends where the text begins, which a pattern does not reach into: a text
    /// has whatever somebody writes.
    text: Regex,
    /// Of a line's host and program with a blank between them.
    line: Regex,
}

impl Names {
    fn new(pairs: &[(&str, Option<&str>)]) -> Result<Option<Names>, Error> {
        if pairs.is_empty() {
            return Ok(None);
        }
        // `sign` is what fits `?`
        let regex = |sign: &str, host_end: &str, between: &str, program_end: &str| {
            // or a byte that is no UTF-8
            let sign = format!("(?:(?u:{sign})|{sign})");
            let one = |(host, program): &(&str, Option<&str>)| {
                let host = glob_of(&sign, host);
                match program.map(|it| glob_of(&sign, it)) {
                    None => format!("{host}{host_end}"),
                    Some(program) => format!("{host}{between}{program}(?:/{sign}*)?{program_end}"),
                }
            };
            let all = pairs.iter().map(one).collect::<Vec<_>>().join("|");
            let regex = RegexBuilder::new(&format!("^(?:{all})")).unicode(false).build();
            regex.map_err(|error| Error::Usage(format!("host or program: {error}")))
        };
        Ok(Some(Names {
            frame: regex("[^ ]", r"\.", r"\.", r"(?:\.[^ .]+)?\.?(?:[ <@\[:]|$)")?,
            longer: regex("[^ ]", r"\.", r"\.", r"\.")?,
            text: regex(r"[^ <@\[:]", r"\.", r"\.", r"\.?(?:[ <@\[:]|$)")?,
            line: regex("[^ ]", r"(?:\.[^ ]*)? ", " ", "$")?,
        }))
    }

    /// Whether the host and the program of the line fit. Where a topic ends in a dot, a line has none but those that
    /// the topic begins with, or has in all.
    fn is_of(&self, topic: &[u8], line: &Line<'_>) -> bool {
        let (Some(host), Some(program)) = (line.host, line.program) else { return false };
        topic.ends_with(b".") && self.frame.is_match(&[host, b".", program].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(host: &str, program: Option<&str>) -> Pick {
        Pick::new(&Wish { host: Some(host), program, ..Wish::default() }).unwrap()
    }

    fn wants(pick: &mut Pick, topic: Option<&str>, text: &str) -> bool {
        let (topic, text) = (topic.map(str::as_bytes), text.as_bytes());
        let message = Message { endpoint: "", topic, text };
        let line = Line::parse(topic, text);
        pick.wants(&message, &line)
    }

    #[test]
    fn the_publisher_gets_the_longest_beginning() {
        for (host, program, topics) in [
            ("web1", None, vec!["web1."]),
            ("web1", Some("nginx"), vec!["web1.nginx"]),
            ("web1", Some("ngi*"), vec!["web1.ngi"]),
            ("web?", Some("nginx"), vec!["web"]),
            ("web1,db1", Some("cron,sshd"), vec!["web1.cron", "web1.sshd", "db1.cron", "db1.sshd"]),
            ("*", Some("nginx"), vec![]),
        ] {
            assert_eq!(pick(host, program).topics, topics, "{host} {program:?}");
        }
    }

    #[test]
    fn a_program_is_not_one_that_begins_like_it() {
        let mut nginx = pick("web1", Some("nginx"));
        for (topic, expected) in [
            ("web1.nginx.", true),
            ("web1.nginx", true),
            ("web1.nginx[12]:", true),
            ("web1.nginx/worker.", true),
            ("web1.nginx.info.", true),
            ("web1.nginx-proxy.", false),
            ("web1.nginx-proxy.info.", false),
            ("web10.nginx.", false),
        ] {
            assert_eq!(wants(&mut nginx, Some(topic), "x"), expected, "{topic}");
        }
        // LogTalez's form, and a topic before the text
        assert!(wants(&mut nginx, None, "web1.nginx[12]:@cee:{}"));
        assert!(wants(&mut nginx, None, "web1.nginx. any text"));
        assert!(wants(&mut nginx, None, "web1.nginx/worker.<13>x"));
        let mut all = pick("web*", Some("nginx"));
        assert!(wants(&mut all, Some("web1.example.org.nginx."), ""));
        assert!(!wants(&mut all, Some("db1.nginx."), ""));
        assert!(wants(&mut pick("web1.*", Some("nginx")), Some("web1.example.org.nginx."), ""));
        assert!(!wants(&mut nginx, Some("web1.example.org.nginx."), ""));
    }

    #[test]
    fn neither_a_longer_host_nor_a_text_is_taken_for_what_was_asked_for() {
        let mut nginx = pick("web1", Some("nginx"));
        assert!(!wants(&mut nginx, Some("web1.nginx.example.org.sshd."), "x"));
        assert!(!wants(&mut nginx, None, "web1.nginx.example.org.sshd. x"));
        // host and program of the text do not count, with a topic in front of it or without
        for pattern in ["*", "db*", "*db1"] {
            let mut kernel = pick(pattern, Some("kernel"));
            for text in [
                "web1.app.<13>db1.kernel. x",
                "web1.app: db1.kernel. x",
                "web1.app[7]:db1.kernel. x",
                "web1.app:@cee:{\"a\":\"db1.kernel. \"}",
                "<13>db1.kernel. x",
            ] {
                assert!(!wants(&mut kernel, None, text), "{pattern}: {text}");
            }
        }
        assert!(wants(&mut pick("*", Some("kernel")), None, "db1.kernel.<13>x"));
        for host in ["2001:db8::1", "2001:db8::?", "2001:*", "*"] {
            assert!(wants(&mut pick(host, Some("app")), Some("2001:db8::1.app."), "x"), "{host}");
        }
    }

    #[test]
    fn behind_several_parts_the_text_says_whose_the_line_is() {
        let (mut nginx, mut postfix) = (pick("web1", Some("nginx")), pick("m*", Some("postfix")));
        let topic = Some("web1.nginx.daemon.info.");
        assert!(wants(&mut nginx, topic, "<30>Nov 24 10:00:00 web1 nginx[7]: x"));
        assert!(wants(
            &mut postfix,
            Some("m1.postfix.mail.info."),
            "<22>1 - m1 postfix/smtpd - - - x"
        ));
        assert_eq!((nginx.take_doubt(), postfix.take_doubt()), (None, None));
        // nothing but what the topic begins with is believed
        let forged = "<2>Nov 24 10:00:00 db1 kernel: x";
        let mut kernel = pick("*", Some("kernel"));
        for topic in ["web1.app.daemon.crit.", "web1.app.daemon.crit"] {
            assert!(!wants(&mut kernel, Some(topic), forged), "{topic}");
        }
        assert!(!wants(
            &mut nginx,
            Some("web1.nginx.example.org.sshd."),
            "<6>1 - web1 ssh - - - x"
        ));
        // nothing to know it by
        assert!(!wants(&mut nginx, topic, "x"));
        assert_eq!(nginx.take_doubt(), Some(NO_NAMES));
        let mut other = pick("web1", Some("nginx"));
        assert!(!wants(&mut other, Some("web1.nginx-proxy.daemon.info."), "x"));
        assert_eq!(other.take_doubt(), None);
    }

    #[test]
    fn lines_themselves_are_asked_where_there_are_no_topics() {
        let wish =
            Wish { host: Some("web1"), program: Some("app"), everything: true, ..Wish::default() };
        let mut pick = Pick::new(&wish).unwrap();
        assert!(pick.topics.is_empty());
        assert!(wants(&mut pick, None, "<13>Nov 24 10:00:00 web1 app: x"));
        assert!(!wants(&mut pick, None, "<13>Nov 24 10:00:00 web2 app: x"));
        // a dot in a host's name ends no host
        assert!(!wants(&mut pick, None, "<13>Nov 24 10:00:00 web1.app cron: x"));
        assert!(!wants(&mut pick, None, "<13>Nov 24 10:00:00 web1.app: x"));
        assert!(wants(&mut pick, None, "<13>Nov 24 10:00:00 web1 app/worker[7]: x"));
        assert!(!wants(&mut pick, None, "<13>Nov 24 10:00:00 web1 app-worker: x"));
    }

    #[test]
    fn a_byte_that_is_no_utf_8_hides_no_line() {
        let include = ["(?i)für .* from".to_owned()];
        let mut include = Pick::new(&Wish { include: &include, ..Wish::default() }).unwrap();
        let sees = |pick: &mut Pick, topic: Option<&[u8]>, text: &[u8]| {
            let message = Message { endpoint: "", topic, text };
            pick.wants(&message, &Line::parse(topic, text))
        };
        assert!(sees(&mut include, None, b"F\xc3\x9cR \xff\xe2 from"));
        assert!(!sees(&mut include, None, b"F\xc3 \xff from"));
        // no expression names the byte, but for a dot
        let latin = ["f.r from".to_owned()];
        let mut latin = Pick::new(&Wish { include: &latin, ..Wish::default() }).unwrap();
        assert!(sees(&mut latin, None, b"f\xfcr from"));
        let byte = ["(?-u:\\xfc)".to_owned()];
        assert!(Pick::new(&Wish { include: &byte, ..Wish::default() }).is_err());
        let mut named = pick("web?", Some("app*"));
        assert!(sees(&mut named, Some(b"web\xff.app\xfe.info."), b"x"));
        assert!(sees(&mut named, None, b"web\xff.app\xfe. x"));
        let wish = Wish { everything: true, host: Some("web?"), ..Wish::default() };
        assert!(sees(&mut Pick::new(&wish).unwrap(), None, b"<13>Nov 24 10:00:00 web\xff app: x"));
    }

    #[test]
    fn a_mistake_names_its_pattern() {
        let include = ["fine".to_owned(), "(open".to_owned()];
        let wish = Wish { include: &include, ..Wish::default() };
        let error = Pick::new(&wish).err().unwrap().to_string();
        assert_eq!(error, "--include \"(open\": error: unclosed group");
    }

    #[test]
    fn severities_of_lines_and_of_json_are_compared() {
        let mut pick = Pick::new(&Wish { severity: Some("warning"), ..Wish::default() }).unwrap();
        assert!(wants(&mut pick, None, "<11>Nov 24 10:00:00 web1 app: x"));
        assert!(!wants(&mut pick, None, "<14>Nov 24 10:00:00 web1 app: x"));
        assert!(wants(&mut pick, None, "h.p:@cee:{\"severity\":\"err\"}"));
        assert!(!wants(&mut pick, None, "h.p:@cee:{\"level\":\"info\"}"));
        assert_eq!(pick.take_doubt(), None);
        assert!(!wants(&mut pick, None, "who knows"));
        assert!(!wants(&mut pick, None, "nobody knows"));
        assert_eq!((pick.take_doubt(), pick.take_doubt()), (Some(NO_SEVERITY), None));
    }
}
