//! Parameters: declared once in a table a module, from which the core's parameter block, the typed
//! values, the error messages and the reference page are made.

use crate::sys;
use std::ffi::{CString, c_int};
use std::fmt::Write as _;
use std::ptr;

/// One parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// As it is written in the configuration: lower case, dotted groups.
    pub name: &'static str,
    /// What values are allowed.
    pub kind: Kind,
    /// What holds when it is not written, as the reference shows it; empty for required ones.
    pub default: &'static str,
    /// Whether a statement without it is an error.
    pub required: bool,
    /// One sentence or two for the reference; empty for the core's own parameters, which a module
    /// names to read what the statement says and which the reference leaves out.
    pub help: &'static str,
}

/// One table of two: what modules share, and what one has of its own.
///
/// `N` must be the sum of both lengths; a wrong one does not compile.
pub const fn join<const N: usize>(first: &[Param], second: &[Param]) -> [Param; N] {
    assert!(first.len() + second.len() == N, "N is the sum of both lengths");
    let mut table = [first[0]; N];
    let mut index = 0;
    while index < N {
        table[index] = if index < first.len() { first[index] } else { second[index - first.len()] };
        index += 1;
    }
    table
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// `on` or `off` (also yes/no, true/false, 1/0), in any case of letters.
    Switch,
    /// A whole number in this range, both ends included.
    Number(i64, i64),
    /// Bytes, with rsyslog's suffixes (k, m, g = powers of 1024; K, M, G = powers of 1000), in this
    /// range.
    Size(i64, i64),
    /// One of these words, in any case of letters.
    Choice(&'static [&'static str]),
    /// A list: an array, or text with commas.
    List,
}

impl Kind {
    /// What is allowed, as an error message says it.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text => "a text that is not empty".into(),
            Self::Switch => "\"on\" or \"off\"".into(),
            Self::Number(least, i64::MAX) => format!("a whole number from {least} up"),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Size(least, most) => {
                format!("bytes from {least} to {most}, with k, m or g for 1024, 1024² or 1024³")
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List => "an array or a comma-separated list".into(),
        }
    }
}

/// A value that its parameter does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name}=\"{value}\": {allowed} is allowed")]
pub struct ParamError {
    /// The parameter.
    pub name: String,
    /// What was written, shortened where it is long.
    pub value: String,
    /// What would be right.
    pub allowed: String,
}

impl ParamError {
    /// The error for `value` of `name`, with what is allowed.
    pub fn new(name: &str, value: &str, allowed: impl Into<String>) -> Self {
        Self { name: name.into(), value: shortened(value), allowed: allowed.into() }
    }
}

/// At most 80 characters of a value, so that one hostile value does not fill the log.
fn shortened(value: &str) -> String {
    const MOST: usize = 80;
    if value.chars().count() <= MOST {
        return value.to_string();
    }
    let beginning: String = value.chars().take(MOST).collect();
    format!("{beginning}… ({} bytes)", value.len())
}

/// What a statement says, checked against its table.
#[derive(Debug, Clone)]
pub struct Values {
    values: Vec<(&'static str, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(i64),
    Switch(bool),
    List(Vec<String>),
}

impl Values {
    /// No parameter is written.
    pub const fn none() -> Self {
        Self { values: Vec::new() }
    }

    /// Checks texts against the table: the values, or every mistake.
    pub(crate) fn check(
        table: &'static [Param],
        written: impl Fn(usize) -> Option<Vec<String>>,
    ) -> Result<Self, Vec<ParamError>> {
        let mut values = Vec::new();
        let mut mistakes = Vec::new();
        for (index, param) in table.iter().enumerate() {
            let Some(texts) = written(index) else {
                continue;
            };
            match Value::parse(param, texts) {
                Ok(value) => values.push((param.name, value)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(Self { values }) } else { Err(mistakes) }
    }

    /// Values as a statement would give them, for tests of what a module makes of them.
    pub fn of(
        table: &'static [Param],
        written: &[(&'static str, &str)],
    ) -> Result<Self, Vec<ParamError>> {
        Self::check(table, |index| {
            let found = written.iter().find(|(name, _)| *name == table[index].name);
            found.map(|(_, text)| vec![(*text).to_string()])
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether the statement says anything of this parameter.
    pub fn is_written(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text or a word of a choice (which is in the case of the table).
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number or a size in bytes.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A number that the table's range keeps within 32 bits.
    pub fn int(&self, name: &str) -> Option<i32> {
        self.number(name).and_then(|number| i32::try_from(number).ok())
    }

    /// A switch.
    pub fn switch(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Switch(on)) => Some(*on),
            _ => None,
        }
    }

    /// A list; items are trimmed of white space.
    pub fn list(&self, name: &str) -> Option<&[String]> {
        match self.get(name) {
            Some(Value::List(items)) => Some(items),
            _ => None,
        }
    }
}

impl Value {
    fn parse(param: &Param, texts: Vec<String>) -> Result<Self, ParamError> {
        if param.kind == Kind::List {
            let items = texts.iter().flat_map(|text| text.split(','));
            return Ok(Self::List(items.map(|item| item.trim().to_string()).collect()));
        }
        let text = texts.into_iter().next().unwrap_or_default();
        let mistake = || ParamError::new(param.name, &text, param.kind.allowed());
        let value = match param.kind {
            Kind::Text => (!text.is_empty()).then(|| Self::Text(text.clone())),
            Kind::Switch => switch(&text).map(Self::Switch),
            Kind::Number(least, most) => {
                let number = text.trim().parse().ok();
                number.filter(|number| (least..=most).contains(number)).map(Self::Number)
            }
            Kind::Size(least, most) => {
                let bytes = size(text.trim());
                bytes.filter(|bytes| (least..=most).contains(bytes)).map(Self::Number)
            }
            Kind::Choice(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
                word.map(|word| Self::Text((*word).to_string()))
            }
            Kind::List => None,
        };
        value.ok_or_else(mistake)
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// A size as rsyslog writes it (doc: "size" parameters): small letters are powers of 1024, capital
/// ones of 1000.
fn size(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: i64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// A statement as it was read.
#[derive(Debug)]
pub(crate) struct Statement {
    /// What the statement is called in log lines, also when it cannot be used: its name, else its
    /// endpoints.
    pub(crate) label: String,
    /// The values, or every mistake.
    pub(crate) values: Result<Values, Vec<ParamError>>,
}

/// Reads a statement's parameters through the core. `None` when the core itself has complained (an
/// unknown parameter, a required one missing).
///
/// # Safety
/// `list` is the name-value list that the core handed to the entry point.
pub(crate) unsafe fn read(list: *mut sys::nvlst, table: &'static [Param]) -> Option<Statement> {
    let names: Vec<CString> =
        table.iter().map(|p| CString::new(p.name).unwrap_or_default()).collect();
    let mut descriptions: Vec<sys::cnfparamdescr> = table
        .iter()
        .zip(&names)
        .map(|(param, name)| sys::cnfparamdescr {
            name: name.as_ptr(),
            type_: match param.kind {
                Kind::List => sys::eCmdHdlrArray as c_int,
                _ => sys::eCmdHdlrString as c_int,
            },
            flags: if param.required { sys::CNFPARAM_REQUIRED } else { 0 },
        })
        .collect();
    let mut block = sys::cnfparamblk {
        version: sys::CNFPARAMBLK_VERSION as u16,
        nParams: descriptions.len() as u16,
        descr: descriptions.as_mut_ptr(),
    };
    // SAFETY: `list` is the core's own; the block and all it points to live until the values are
    // destructed below.
    let read = unsafe { sys::nvlstGetParams(list, &mut block, ptr::null_mut()) };
    if read.is_null() {
        return None;
    }
    let written: Vec<Option<Vec<String>>> = (0..table.len())
        .map(|index| {
            // SAFETY: the core answers one element for each description.
            let value = unsafe { &*read.add(index) };
            // SAFETY: the value is of the kind that its datatype says.
            (value.bUsed != 0).then(|| unsafe { texts(&value.val) })
        })
        .collect();
    // SAFETY: made by nvlstGetParams with this block, and not used after this.
    unsafe { sys::cnfparamvalsDestruct(read, &block) };
    let text = |name| {
        let index = table.iter().position(|param| param.name == name)?;
        written[index].as_ref()?.first().filter(|text| !text.is_empty())
    };
    Some(Statement {
        label: shortened(text("name").or_else(|| text("endpoints")).map_or("", String::as_str)),
        values: Values::check(table, |index| written[index].clone()),
    })
}

/// # Safety
/// `value` was filled in by the core.
unsafe fn texts(value: &sys::svar) -> Vec<String> {
    // SAFETY: the datatype says which member of the union is the valid one; strings and arrays are
    // complete objects of libestr and the core.
    unsafe {
        match value.datatype as u8 {
            b'S' => vec![text(value.d.estr)],
            b'A' if !value.d.ar.is_null() => {
                let array = &*value.d.ar;
                let members = usize::try_from(array.nmemb).unwrap_or(0);
                (0..members).map(|index| text(*array.arr.add(index))).collect()
            }
            _ => vec![value.d.n.to_string()],
        }
    }
}

/// # Safety
/// `string` is null or a libestr string: length, buffer length, then the bytes.
unsafe fn text(string: *const sys::es_str_t) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the bytes follow the header (libestr.h), as many as lenStr says.
    let bytes = unsafe {
        std::slice::from_raw_parts(string.add(1).cast::<u8>(), (*string).lenStr as usize)
    };
    String::from_utf8_lossy(bytes).into_owned()
}

/// The reference of a table as a Markdown list, for the page that a test keeps up to date.
pub fn reference(table: &[Param]) -> String {
    let mut page = String::new();
    for param in table.iter().filter(|param| !param.help.is_empty()) {
        let default = match (param.required, param.default) {
            (true, _) => "required".to_string(),
            (false, "") => "default: not set".to_string(),
            (false, default) => format!("default: `{default}`"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "### `{}`\n", param.name);
        let _ = writeln!(page, "{} · {default}\n", param.kind.allowed());
        let _ = writeln!(page, "{}\n", param.help);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Param] = &[
        param("text", Kind::Text),
        param("switch", Kind::Switch),
        param("number", Kind::Number(-1, 10)),
        param("size", Kind::Size(0, 1 << 30)),
        param("choice", Kind::Choice(&["full", "light"])),
        param("list", Kind::List),
    ];

    const fn param(name: &'static str, kind: Kind) -> Param {
        Param { name, kind, default: "", required: false, help: "" }
    }

    fn one(name: &str, text: &str) -> Result<Values, Vec<ParamError>> {
        Values::check(TABLE, |index| (TABLE[index].name == name).then(|| vec![text.to_string()]))
    }

    #[test]
    fn values_are_typed() {
        assert_eq!(one("text", "a b").unwrap().text("text"), Some("a b"));
        assert_eq!(one("switch", "On").unwrap().switch("switch"), Some(true));
        assert_eq!(one("number", " -1 ").unwrap().int("number"), Some(-1));
        assert_eq!(one("size", "2k").unwrap().number("size"), Some(2048));
        assert_eq!(one("size", "2M").unwrap().number("size"), Some(2_000_000));
        assert_eq!(one("choice", "FULL").unwrap().text("choice"), Some("full"));
        assert_eq!(one("list", "a, b,,c").unwrap().list("list").unwrap(), ["a", "b", "", "c"]);
        assert!(!one("list", "a").unwrap().is_written("text"));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let huge = "9".repeat(100_000);
        for (name, text) in [
            ("text", ""),
            ("switch", "maybe"),
            ("switch", ""),
            ("number", "11"),
            ("number", "1.5"),
            ("number", ""),
            ("number", huge.as_str()),
            ("size", "-1"),
            ("size", "9223372036854775807g"),
            ("size", "k"),
            ("size", "²k"),
            ("choice", "ful"),
        ] {
            let mistakes = one(name, text).unwrap_err();
            assert_eq!(mistakes.len(), 1);
            let sentence = mistakes[0].to_string();
            assert!(sentence.starts_with(&format!("parameter {name}=\"")), "{sentence}");
            assert!(sentence.ends_with("is allowed") && sentence.len() < 400, "{sentence}");
        }
    }

    #[test]
    fn every_mistake_of_a_statement_is_told() {
        let mistakes = Values::check(TABLE, |_| Some(vec![String::new()])).unwrap_err();
        assert_eq!(mistakes.len(), 5, "all but the list: {mistakes:?}");
    }
}
