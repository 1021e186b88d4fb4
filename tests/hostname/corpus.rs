//! The reader against a real rsyslogd: tests/data/hostnames.txt, long lines, and mutations of both.
//!
//! One-directional: what the reader answers must be what the core says; that it answers is asked for
//! the common forms alone, which the file marks. RZMQ_HOSTNAMES says how many mutations a run makes,
//! RZMQ_SEED which.

use std::env;

use harness::paths::repository;
use harness::ports::free_endpoint;
use harness::{Dice, Peer, SOON, Site, secs};
use proptest::prelude::*;

use crate::hostname::{LongLines, hostname};

/// A line, and the name that must be read from it; empty: whatever the core says, or none; `-`: none.
pub(crate) struct Sample {
    required: String,
    pub(crate) line: Vec<u8>,
}

impl Sample {
    /// A line of which nothing is asked for.
    pub(crate) fn of(line: &[u8]) -> Self {
        Sample { required: String::new(), line: line.to_vec() }
    }
}

/// The host of the lines that stand between the others.
const MARKER: &str = "marker.of.the.test.";

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub(crate) fn mutated() -> usize {
    setting("RZMQ_HOSTNAMES", 4_000) as usize
}

pub(crate) fn seed() -> u64 {
    setting("RZMQ_SEED", 20_261_124)
}

/// The bytes that the file's notation stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.as_bytes()[at + 1];
        let mut used = 2;
        bytes.push(match code {
            b'0' => 0,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                used = 4;
                u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two digits")
            }
            b'\\' => b'\\',
            other => panic!("\\{} stands for nothing: {text}", char::from(other)),
        });
        rest = &rest[at + used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

pub(crate) fn samples() -> Vec<Sample> {
    let path = repository().join("tests/data/hostnames.txt");
    let text = std::fs::read_to_string(path).expect("the corpus");
    let lines = text.lines().filter(|line| !line.starts_with("# "));
    let mut samples: Vec<_> = lines
        .map(|line| {
            let (required, line) = line.split_once('\t').expect("a tab");
            Sample { required: required.to_owned(), line: unescaped(line) }
        })
        .collect();
    // Long names and texts, with and without something to escape behind them.
    for (length, end) in [32, 63, 120, 255, 256, 510, 511, 512, 600, 2000, 9000]
        .into_iter()
        .flat_map(|length| [(length, ""), (length, " app: text"), (length, " app: \x01")])
    {
        for head in ["<13>Oct 11 22:14:15 ", "<13>1 2026-11-24T10:00:00Z ", "<13>", "1 - "] {
            let line = format!("{head}{}{end}", "n".repeat(length)).into_bytes();
            let required = if length == 63 { "n".repeat(63) } else { String::new() };
            samples.push(Sample { required, line });
        }
        for between in ["0", " "] {
            let line = format!("<13>Oct {}1 22:14:15 web1{end}", between.repeat(length));
            samples.push(Sample { required: String::new(), line: line.into_bytes() });
        }
        let piece = "<13>Oct 11 22:14:15 web2 app: ".repeat(length / 10);
        let line = format!("<13>Oct 11 22:14:15 web1 app: {piece}{end}").into_bytes();
        samples.push(Sample { required: String::new(), line });
    }
    // A stamp that ends where the line is cut off, or where the first escaped byte is.
    let (head, tail) = ("<13>Oct ", "1 22:14:15");
    for cut in 240..=270 {
        for behind in ["X app", "\x01 app", "\u{e4} app", "", "\n"] {
            let zeros = "0".repeat(cut - head.len() - tail.len());
            let line = format!("{head}{zeros}{tail}{behind}{}", "x".repeat(20)).into_bytes();
            samples.push(Sample { required: String::new(), line });
        }
    }
    samples
}

/// Mutations of these lines: bytes that mean something to a parser put in, over or in front of others,
/// bytes left out or doubled, lines cut off, and one line's head before another's end.
pub(crate) fn mutations(samples: &[Sample], count: usize, seed: u64) -> Vec<Sample> {
    const TELLING: &[u8] =
        b"  :::..--__[]{}<>/@\\#\"'0123456789TZz+aA\t\n\r\0\x01\x7f\x80\xa0\xe4\xff";
    let mut dice = Dice(seed);
    let short: Vec<_> = samples.iter().filter(|sample| sample.line.len() < 300).collect();
    let mutated = |dice: &mut Dice| {
        let mut line = short[dice.roll(short.len())].line.clone();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(line.len() + 1).min(dice.roll(line.len() + 1));
            let telling = TELLING[dice.roll(TELLING.len())];
            match dice.roll(8) {
                0 | 1 => line.insert(at, telling),
                2 | 3 if at < line.len() => line[at] = telling,
                4 if at < line.len() => drop(line.remove(at)),
                5 if at < line.len() => line.insert(at, line[at]),
                6 => line.truncate(dice.roll(line.len() + 1)),
                _ => {
                    let other = &short[dice.roll(short.len())].line;
                    line.truncate(at);
                    line.extend_from_slice(&other[dice.roll(other.len().max(1))..]);
                }
            }
        }
        line
    };
    let lines = std::iter::repeat_with(|| mutated(&mut dice));
    let lines = lines.filter(|line| !line.is_empty()).take(count);
    lines.map(|line| Sample { required: String::new(), line }).collect()
}

/// What a rsyslogd with these globals says of each line: a HOSTNAME, or several where it made several
/// messages of it, or none where it made none.
fn said_by_the_core(globals: &str, samples: &[Sample]) -> Vec<Vec<String>> {
    let endpoint = free_endpoint();
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\"");
    // The default ruleset: there the core puts what it makes of a line that it splits.
    let site = Site::new().without_feed().global(globals);
    let site = site.with("main_queue(queue.type=\"Direct\")").with("module(load=\"imrzmq\")");
    let site = site.with(&format!("input(type=\"imrzmq\" {input})"));
    let mut daemon = site.file("hosts.log", "%hostname%\\n").start();
    let peer = Peer::push(&endpoint);
    for (number, sample) in samples.iter().enumerate() {
        assert!(peer.send(&[&sample.line], SOON), "line {number} is not taken");
        let marker = format!("<13>1 - {MARKER}{number} app - - -");
        assert!(peer.send(&[marker.as_bytes()], SOON), "line {number} is not taken");
    }
    let last = format!("{MARKER}{}", samples.len() - 1);
    let lines = daemon.wait("the last line", secs(60), |daemon| {
        let lines = daemon.lines("hosts.log");
        lines.last().is_some_and(|line| *line == last).then_some(lines)
    });
    let mut said = vec![Vec::new()];
    for line in lines {
        match line.strip_prefix(MARKER) {
            Some(number) => {
                assert_eq!(number, (said.len() - 1).to_string(), "lines overtook each other");
                said.push(Vec::new());
            }
            None => said.last_mut().expect("never empty").push(line),
        }
    }
    daemon.stop().clean();
    said.truncate(samples.len());
    said
}

/// Compares reader and core; the globals are what the core is told, `long` what the reader is.
fn compare(globals: &str, long: LongLines, samples: &[Sample], asked: bool) {
    let said = said_by_the_core(globals, samples);
    assert_eq!(said.len(), samples.len());
    let (mut read, mut own) = (0, 0);
    let mut wrong = Vec::new();
    for (sample, said) in samples.iter().zip(&said) {
        let line = sample.line.escape_ascii().to_string();
        let answer = hostname(&sample.line, long);
        // A sender without a name of its own is its address.
        own += usize::from(said.iter().any(|host| host != "127.0.0.1" && host != "-"));
        if let Some(answer) = answer {
            read += 1;
            if said.iter().any(|host| host != answer) {
                wrong.push(format!("read {answer:?}, the core says {said:?}: {line:.200}"));
            }
        }
        let required = Some(sample.required.as_str()).filter(|name| *name != "-");
        if asked && !sample.required.is_empty() && answer != required {
            wrong.push(format!("read {answer:?}, not {:?}: {line:.200}", sample.required));
        }
    }
    eprintln!("{globals}: {} lines, the core found {own} names, read {read}", samples.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(read > samples.len() / 6, "only {read} names read of {} lines", samples.len());
}

const STOCK: LongLines = LongLines { longest: 8192, split: false };

#[test]
fn what_is_read_is_what_the_core_says() {
    let samples = samples();
    assert!(samples.len() > 400, "only {} lines in the corpus", samples.len());
    compare("maxMessageSize=\"8k\"", STOCK, &samples, true);
}

#[test]
fn what_is_read_of_mutated_lines_is_what_the_core_says() {
    let samples = mutations(&samples(), mutated(), seed());
    compare("maxMessageSize=\"8k\"", STOCK, &samples, false);
}

/// Under every rule for long lines: none of the messages that one becomes has another host.
#[test]
fn what_is_read_of_long_lines_holds_for_all_that_the_core_makes_of_them() {
    let samples = samples();
    for (mode, split) in [("split", true), ("truncate", false), ("accept", false)] {
        for escaped in ["off", "on"] {
            let globals = format!(
                "maxMessageSize=\"256\" oversizemsg.input.mode=\"{mode}\" \
                 parser.escape8BitCharactersOnReceive=\"{escaped}\""
            );
            compare(&globals, LongLines { longest: 256, split }, &samples, false);
        }
    }
}

/// The settings of what is escaped change no answer.
#[test]
fn what_is_read_holds_under_other_settings_of_the_parser() {
    let mut samples = samples();
    samples.extend(mutations(&samples, mutated() / 4, seed()));
    // Up to 8.2608 a rsyslogd with parser.spaceLFOnReceive dies of a packed line of no text.
    samples.retain(|sample| sample.line.first() != Some(&b'z'));
    for globals in [
        "parser.escapeControlCharactersOnReceive=\"off\"",
        "parser.spaceLFOnReceive=\"on\"",
        "parser.dropTrailingLFOnReception=\"off\" parser.escapeControlCharacterTab=\"off\"",
        "parser.escape8BitCharactersOnReceive=\"on\" parser.escapeControlCharactersCStyle=\"on\"",
        "parser.permitSlashInProgramName=\"on\" parser.supportCompressionExtension=\"off\"",
    ] {
        let globals = format!("maxMessageSize=\"8k\" {globals}");
        compare(&globals, STOCK, &samples, true);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_the_answer_is_theirs(
        line in proptest::collection::vec(any::<u8>(), 0..300),
        head in "(<[0-9]{0,4}>)?(1 )?([A-Z][a-z]{2} [0-9 ]{1,3})?([0-9:.TZ +-]{0,25} )?",
        longest in 0..400_usize,
        split: bool,
    ) {
        let line = [head.as_bytes(), &line].concat();
        if let Some(name) = hostname(&line, LongLines { longest, split }) {
            prop_assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(line.windows(name.len()).any(|part| part == name.as_bytes()));
        }
    }
}
