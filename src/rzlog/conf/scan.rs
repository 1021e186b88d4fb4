//! A small lexer of rsyslog's configuration: finds statements such as `action(…)` with their parameters,
//! `$` directives, and comments, and says where they stand. Pure; any bytes are a configuration.
//!
//! It follows rsyslog's own lexer (grammar/lexer.l) in what is a comment, a quoted text, an expression, a
//! filter and an old-style action, so that nothing is taken for a statement that rsyslog does not take for
//! one. Blocks (`ruleset(…) { … }`, `if … then { … }`) need no nesting for that: a statement is one
//! wherever it stands. What is a mistake to rsyslog is passed over.

use std::collections::HashSet;
use std::ops::Range;

#[path = "joined.rs"]
mod joined;

use joined::{Joined, is_space};

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// In order.
    pub(crate) items: Vec<Item>,
    /// The comments, as parts of the file.
    pub(crate) comments: Vec<Range<usize>>,
}

/// One thing that a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// `action(…)` and its like.
    Statement(Statement),
    /// `$ModLoad imtcp`.
    Directive(Directive),
}

/// A word with parameters in parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// In small letters: `action`.
    pub(crate) word: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// From the word to the closing parenthesis.
    pub(crate) span: Range<usize>,
    pub(crate) parameters: Vec<Parameter>,
    /// Whether there is a closing parenthesis.
    pub(crate) closed: bool,
}

impl Statement {
    /// The parameter of this name; of several the last, as rsyslog takes it: its grammar puts each in front
    /// of those before it (grammar.y), and looks from there.
    pub(crate) fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().rfind(|parameter| parameter.name == name)
    }

    /// The parameters whose names are written before already.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = &Parameter> {
        let mut known = HashSet::new();
        self.parameters.iter().filter(move |parameter| !known.insert(parameter.name.as_str()))
    }

    /// Whether rsyslog looks at it: `config.enabled` is not written, or exactly `on`. None: known only when
    /// rsyslogd starts.
    pub(crate) fn is_enabled(&self) -> Option<bool> {
        let Some(parameter) = self.get("config.enabled") else { return Some(true) };
        if parameter.is_evaluated() { None } else { Some(parameter.text() == Some("on")) }
    }

    /// Its text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Parameter::text)
    }
}

/// `name="value"`, or `name=["value", "value"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// In small letters.
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) values: Vec<Value>,
    /// It is a list, in brackets, if of one value only.
    pub(crate) bracketed: bool,
}

impl Parameter {
    /// Its one text, unless it is known only when rsyslogd starts.
    pub(crate) fn text(&self) -> Option<&str> {
        self.value().filter(|value| !value.evaluated).map(|value| value.text.as_str())
    }

    /// Its one value.
    pub(crate) fn value(&self) -> Option<&Value> {
        match self.values.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }

    /// All of it, with commas between the values.
    pub(crate) fn list(&self) -> String {
        let texts: Vec<_> = self.values.iter().map(|value| value.text.as_str()).collect();
        texts.join(",")
    }

    /// Something in it is known only when rsyslogd starts.
    pub(crate) fn is_evaluated(&self) -> bool {
        self.values.iter().any(|value| value.evaluated)
    }
}

/// A quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// What it means. Bytes that are no UTF-8 are replaced.
    pub(crate) text: String,
    /// What stands between the quotes.
    pub(crate) inner: Range<usize>,
    /// It is written as it is meant, byte for byte.
    pub(crate) plain: bool,
    /// In backticks: of the environment, or of a file.
    pub(crate) evaluated: bool,
}

/// A line that begins with `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    /// Without the `$`, in small letters.
    pub(crate) name: String,
    pub(crate) line: usize,
    /// The first word behind it.
    pub(crate) argument: Option<Value>,
}

/// Reads a file's text.
pub(crate) fn scan(text: &[u8]) -> Scan {
    let joined = Joined::of(text);
    let mut scanner =
        Scanner { joined: &joined, text: joined.bytes(), at: 0, scan: Scan::default() };
    while scanner.at < scanner.text.len() {
        let before = scanner.at;
        scanner.statement();
        // whatever a rule overlooked: the next byte is another one
        scanner.at = scanner.at.max(before + 1);
    }
    scanner.scan
}

struct Scanner<'a> {
    joined: &'a Joined<'a>,
    text: &'a [u8],
    at: usize,
    scan: Scan,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// How many bytes from here on fulfil this.
    fn run(&self, from: usize, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.iter().position(|byte| !is(*byte)).unwrap_or(rest.len())
    }

    /// Nothing but blanks stands before here in the line.
    fn begins_line(&self) -> bool {
        let before = self.text[..self.at].iter().rev();
        before.copied().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|byte| byte == b'\n')
    }

    fn skip_line(&mut self) {
        self.at += self.run(self.at, |byte| byte != b'\n');
    }

    fn comment(&mut self, end: usize) {
        self.scan.comments.push(self.joined.in_file(self.at..end));
        self.at = end;
    }

    /// Passes a comment, if there is one here.
    fn passes_comment(&mut self, hash_too: bool) -> bool {
        match (self.peek(0), self.peek(1)) {
            (Some(b'#'), _) if hash_too => {
                self.comment(self.at + self.run(self.at, |byte| byte != b'\n'));
            }
            (Some(b'/'), Some(b'*')) => {
                let inside = self.text.get(self.at + 2..).unwrap_or_default();
                let length = inside.windows(2).position(|pair| pair == b"*/");
                self.comment(length.map_or(self.text.len(), |length| self.at + length + 4));
            }
            _ => return false,
        }
        true
    }

    /// What may begin where a statement may.
    fn statement(&mut self) {
        if self.passes_comment(true) {
            return;
        }
        let Some(byte) = self.peek(0) else { return };
        match byte {
            b'$' if self.peek(1).is_some_and(|byte| byte.is_ascii_alphabetic()) => self.directive(),
            b':' => self.property_filter(),
            // a program or a host: the rest of the file is about it
            b'!' | b'+' => self.selector(),
            // old-style actions: files, pipes, hosts, programs
            b'/' | b'|' | b'.' | b'-' | b'@' | b'^' | b'?' | b'~' | b'>'
                if self.peek(1).is_some_and(|next| next != b'\n') =>
            {
                self.skip_line();
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' if self.passes_priority_filter() => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => self.word(),
            _ => self.at += 1,
        }
    }

    fn directive(&mut self) {
        let line = self.joined.line_of(self.at);
        let name =
            self.at + 1..self.at + 1 + self.run(self.at + 1, |byte| byte.is_ascii_alphabetic());
        let includes = self.text[name.clone()].eq_ignore_ascii_case(b"includeconfig");
        // the name of a file to include may stand in a line further down
        let gap = |byte: u8| matches!(byte, b' ' | b'\t') || (includes && byte == b'\n');
        let start = name.end + self.run(name.end, gap);
        let argument = start..start + self.run(start, |byte| !is_space(byte));
        let behind = argument.end;
        let argument = (!argument.is_empty()).then(|| self.value(argument, Quotes::None));
        let name = self.lower(name);
        self.scan.items.push(Item::Directive(Directive { name, line, argument }));
        self.at = behind;
        if !includes {
            self.skip_line();
        }
    }

    /// `:msg, contains, "text"`, an action such as `:omusrmsg:*`, or a mistake.
    fn property_filter(&mut self) {
        if self.begins_line() {
            if let Some(end) = self.property_filter_end() {
                self.at = end;
                return;
            }
        }
        let name = self.run(self.at + 1, |byte| byte.is_ascii_alphanumeric());
        match self.text.get(self.at + 1 + name) {
            Some(b':') if name > 0 => self.skip_line(),
            _ => self.at += 1,
        }
    }

    fn property_filter_end(&self) -> Option<usize> {
        let mut at = self.at + 1;
        let blanks = |at: usize| at + self.run(at, |byte| byte == b' ');
        for sign in [b'$', b'!'] {
            if self.text.get(at) == Some(&sign) {
                at += 1;
            }
            let word =
                self.run(at, |byte| byte.is_ascii_alphabetic() || (byte == b'-' && sign == b'$'));
            at = blanks(at + word);
            if word == 0 || self.text.get(at) != Some(&b',') {
                return None;
            }
            at = blanks(at + 1);
        }
        (self.text.get(at) == Some(&b'"')).then_some(())?;
        at += 1;
        loop {
            match self.text.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' if self.text.get(at + 1) == Some(&b'"') => at += 2,
                _ => at += 1,
            }
        }
    }

    /// `!program`, `+host`: alone in the rest of the line.
    fn selector(&mut self) {
        let name = self.run(self.at + 1, |byte| !is_space(byte));
        let end = self.at + 1 + name;
        let end = end + self.run(end, |byte| matches!(byte, b' ' | b'\t'));
        let alone = matches!(self.text.get(end), None | Some(b'\n' | b'#'));
        if name > 0 && alone { self.at = end } else { self.at += 1 }
    }

    /// `*.info;mail.none`, at the beginning of a line.
    fn passes_priority_filter(&mut self) -> bool {
        let facility = self.run(self.at, |byte| byte == b'*' || byte.is_ascii_alphabetic());
        let digits = self.at + facility;
        let digits = digits + self.run(digits, |byte| matches!(byte, b'0'..=b'7'));
        let rest = self.run(digits + 1, |byte| {
            byte.is_ascii_alphabetic()
                || matches!(byte, b',' | b'!' | b'=' | b';' | b'.' | b'*' | b'0'..=b'7')
        });
        let is = matches!(self.text.get(digits), Some(b'.' | b','))
            && facility > 0
            && rest > 0
            && self.begins_line();
        if is {
            self.at = digits + 1 + rest;
        }
        is
    }

    /// A keyword, the word of a statement, or the name of somebody who gets lines.
    fn word(&mut self) {
        let start = self.at;
        let is_part = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b',' | b';')
        };
        let end = start + self.run(start, is_part);
        let word = self.lower(start..end);
        self.at = end;
        match word.as_str() {
            "if" | "foreach" | "set" | "reset" | "unset" | "call_indirect" => self.expression(),
            "reload_lookup_table" => self.parentheses(),
            "call" => {
                let gap = self.run(self.at, is_space);
                self.at += gap;
                self.at += self.run(self.at, |byte| !is_space(byte) && byte != b'}');
            }
            "else" | "stop" | "continue" => {}
            _ => {
                let open = end + self.run(end, is_space);
                if self.text.get(open) == Some(&b'(') {
                    self.at = open + 1;
                    self.parameters(word, start);
                }
            }
        }
    }

    /// Up to `then`, `do` or `;`.
    fn expression(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' | b'\'' | b'`' => {
                    self.quoted(byte);
                }
                b';' => {
                    self.at += 1;
                    return;
                }
                b'$' => {
                    self.at += 1;
                    self.at += self.run(self.at, |byte| {
                        byte.is_ascii_alphanumeric()
                            || matches!(
                                byte,
                                b'$' | b'!' | b'.' | b'/' | b'@' | b'_' | b'-' | b'[' | b']'
                            )
                    });
                }
                _ if byte.is_ascii_alphabetic() => {
                    let word = self.at
                        ..self.at
                            + self
                                .run(self.at, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                    self.at = word.end;
                    if matches!(self.lower(word).as_str(), "then" | "do") {
                        return;
                    }
                }
                _ if self.passes_comment(false) => {}
                _ => self.at += 1,
            }
        }
    }

    /// Up to the next closing parenthesis.
    fn parentheses(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' | b'\'' => {
                    self.quoted(byte);
                }
                b')' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn parameters(&mut self, word: String, start: usize) {
        let mut statement = Statement {
            word,
            line: self.joined.line_of(start),
            span: 0..0,
            parameters: Vec::new(),
            closed: false,
        };
        while let Some(byte) = self.peek(0) {
            if self.passes_comment(true) {
                continue;
            }
            if byte.is_ascii_alphabetic() {
                let parameter = self.parameter();
                statement.parameters.push(parameter);
                continue;
            }
            if matches!(byte, b'"' | b'`') {
                // of no name: a mistake, but what is in it is no end
                self.quoted(byte);
                continue;
            }
            self.at += 1;
            if byte == b')' {
                statement.closed = true;
                break;
            }
        }
        statement.span = self.joined.in_file(start..self.at);
        self.scan.items.push(Item::Statement(statement));
    }

    fn parameter(&mut self) -> Parameter {
        let line = self.joined.line_of(self.at);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let name = self.at..self.at + self.run(self.at, is_part);
        self.at = name.end;
        let name = self.lower(name);
        let mut parameter = Parameter { name, line, values: Vec::new(), bracketed: false };
        self.gap();
        if self.peek(0) != Some(b'=') {
            return parameter;
        }
        self.at += 1;
        self.gap();
        match self.peek(0) {
            Some(quote @ (b'"' | b'`')) => parameter.values.push(self.quoted(quote)),
            Some(b'[') => {
                self.at += 1;
                parameter.bracketed = true;
                self.array(&mut parameter.values);
            }
            _ => {}
        }
        parameter
    }

    fn array(&mut self, values: &mut Vec<Value>) {
        loop {
            self.gap();
            match self.peek(0) {
                Some(quote @ (b'"' | b'`')) => values.push(self.quoted(quote)),
                Some(b')') | None => return,
                Some(b']') => {
                    self.at += 1;
                    return;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// White space and comments between the parts of a statement.
    fn gap(&mut self) {
        while self.peek(0).is_some_and(is_space) || self.passes_comment(true) {
            self.at += self.run(self.at, is_space);
        }
    }

    /// A text in these quotes, which is here; one that is not closed goes to the end.
    fn quoted(&mut self, quote: u8) -> Value {
        let start = self.at + 1;
        let mut end = start;
        while let Some(byte) = self.text.get(end).filter(|byte| **byte != quote) {
            end += if *byte == b'\\' { 2 } else { 1 };
        }
        let end = end.min(self.text.len());
        self.at = (end + 1).min(self.text.len());
        self.value(start..end, if quote == b'`' { Quotes::Back } else { Quotes::Usual })
    }

    fn value(&self, part: Range<usize>, quotes: Quotes) -> Value {
        let written = &self.text[part.clone()];
        let meant = if quotes == Quotes::None { written.to_vec() } else { unescaped(written) };
        let inner = self.joined.in_file(part);
        let text = String::from_utf8_lossy(&meant).into_owned();
        let plain = self.joined.file_has(&inner, &text);
        Value { text, inner, plain, evaluated: quotes == Quotes::Back }
    }

    fn lower(&self, part: Range<usize>) -> String {
        String::from_utf8_lossy(&self.text[part]).to_ascii_lowercase()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Usual,
    Back,
}

/// A text without its escapes, as rsyslog understands them.
fn unescaped(written: &[u8]) -> Vec<u8> {
    let mut meant = Vec::with_capacity(written.len());
    let mut at = 0;
    while let Some(&byte) = written.get(at) {
        at += 1;
        if byte != b'\\' {
            meant.push(byte);
            continue;
        }
        let Some(&escape) = written.get(at) else {
            meant.push(b'\\');
            break;
        };
        at += 1;
        match escape {
            b'a' => meant.push(7),
            b'b' => meant.push(8),
            b'f' => meant.push(12),
            b'n' => meant.push(b'\n'),
            b'r' => meant.push(b'\r'),
            b't' => meant.push(b'\t'),
            b'\'' | b'"' | b'?' | b'$' | b'\\' | b'`' => meant.push(escape),
            b'x' | b'0'..=b'7' => match number(&written[at - 1..]) {
                Some(value) => {
                    meant.push(value);
                    at += 2;
                }
                None => meant.extend([b'\\', escape]),
            },
            _ => meant.push(b'?'),
        }
    }
    meant
}

/// `x41` or `101`.
fn number(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    let (digits, base) = digits.strip_prefix(b"x").map_or((digits, 8), |digits| (digits, 16));
    digits.iter().try_fold(0_u8, |number, digit| {
        let digit = char::from(*digit).to_digit(base)?;
        // rsyslog keeps the lower eight bits, too
        Some(number.wrapping_mul(base as u8).wrapping_add(digit as u8))
    })
}

#[cfg(test)]
#[path = "scan/tests.rs"]
mod tests;
