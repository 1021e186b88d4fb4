//! Makes the inputs that fuzzing begins with: `scripts/cargo run --manifest-path fuzz/Cargo.toml
//! --example seeds`, in the repository's folder, writes fuzz/corpus/TARGET anew. What else is there
//! stays: findings that were mended.
//!
//! Frames and heads are those of docs/protocol-vectors.json; exchange.rs records the two machines;
//! texts.rs has certificates and endpoints.

mod exchange;
mod texts;

// what a spool holds is private to its module
#[path = "../../../src/omrzmq/record.rs"]
#[allow(dead_code)]
mod record;

use rzmq_delivery::{Block, FRAME_TARGET, Key, Mark, Sender, SenderOptions, SessionId};
use rzmq_fuzz::raw_block;
use serde_json::Value;
use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Longer ones make fuzzing slow and add nothing.
const LONGEST: usize = 1024;

/// One target's inputs, as they are written.
struct Corpus {
    target: &'static str,
    known: HashSet<Vec<u8>>,
}

impl Corpus {
    fn new(target: &'static str) -> Self {
        Self { target, known: HashSet::new() }
    }

    /// Writes an input under a name made of `title`, if it is short and new.
    fn add(&mut self, title: &str, input: &[u8]) -> Result<(), Box<dyn Error>> {
        if input.len() > LONGEST || !self.known.insert(input.to_vec()) {
            return Ok(());
        }
        let words =
            title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name = words.collect::<Vec<_>>().join("-").to_lowercase();
        let folder = Path::new("fuzz/corpus").join(self.target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), input)?)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let vectors = fs::read_to_string("docs/protocol-vectors.json")?;
    decode(&serde_json::from_str(&vectors)?)?;
    marks()?;
    records()?;
    exchange::record()?;
    texts::write()
}

fn decode(vectors: &Value) -> Result<(), Box<dyn Error>> {
    let mut corpus = Corpus::new("decode");
    for kind in ["frames", "heads"] {
        for vector in vectors[kind].as_array().into_iter().flatten() {
            let (Some(name), Some(hex)) = (vector["name"].as_str(), vector["hex"].as_str()) else {
                return Err(format!("a vector of {kind} without name or hex").into());
            };
            let pairs =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
            corpus.add(
                &format!("{} {name}", &kind[..kind.len() - 1]),
                &pairs.collect::<Result<Vec<_>, _>>()?,
            )?;
        }
    }
    for (title, lines) in [
        ("block of one line", &[&b"a line"[..]][..]),
        ("block of three lines one empty", &[b"one", b"", b"three"]),
        ("block of empty lines", &[b"", b"", b"", b""]),
        ("block of lines with heads", &[b"\0\x03\x01\x01u", b"\0\0\0text"]),
    ] {
        let raw = raw_block(&lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>());
        let count = lines.len() as u8;
        debug_assert!(Block::parse(&raw, count.into()).is_ok());
        corpus.add(title, &[&[count], &raw[..]].concat())?;
        corpus.add(&format!("{title} one too many"), &[&[count + 1], &raw[..]].concat())?;
    }
    Ok(())
}

fn marks() -> Result<(), Box<dyn Error>> {
    let mut corpus = Corpus::new("marks");
    let mark = |session: u8, have: u64, key: Option<u8>| Mark {
        slot: 0,
        session: SessionId([session; 16]),
        have,
        frame: have.saturating_sub(3),
        crc: 0x1234_5678,
        count: 5,
        key: key.map(|key| Key([key; 32])),
        heard: 1_700_000_000 + have % 1000,
    };
    let (plain, keyed) = (mark(1, 9, None), mark(2, 700, Some(7)));
    let (later, earlier) = (mark(2, 900, Some(7)), mark(2, 100, Some(7)));
    let (foreign, largest) = (mark(2, 900, Some(8)), mark(3, u64::MAX, Some(255)));
    for (title, marks) in [
        ("one", &[plain][..]),
        ("one with a key", &[keyed]),
        ("largest numbers", &[largest]),
        ("several sessions", &[plain, keyed, largest]),
        ("a session twice", &[keyed, later]),
        ("a session twice the later first", &[later, plain, earlier]),
        ("a session of two keys", &[keyed, foreign]),
        (
            "a file of ten",
            &[plain, keyed, later, earlier, foreign, largest, plain, keyed, later, plain],
        ),
    ] {
        let file = marks.iter().flat_map(Mark::encode).collect::<Vec<_>>();
        corpus.add(title, &file)?;
        corpus.add(&format!("{title} torn"), &file[..file.len() - 40])?;
        let mut changed = file;
        changed[17] ^= 0x80;
        corpus.add(&format!("{title} changed"), &changed)?;
    }
    corpus
        .add("an empty place between two", &[plain.encode(), [0; 96], keyed.encode()].concat())?;
    corpus.add("nothing", b"")
}

fn records() -> Result<(), Box<dyn Error>> {
    let mut corpus = Corpus::new("records");
    let line = |texts: &[&[u8]]| {
        let mut out = Vec::new();
        record::encode_line(texts.iter().copied(), &mut out);
        out
    };
    let frames = |compress: Option<i32>, settled: u64, lines: &[&[u8]]| {
        let options = SenderOptions {
            software: String::new(),
            name: String::new(),
            compress,
            frame_target: FRAME_TARGET,
        };
        let mut sender = Sender::new(options, SessionId([7; 16]));
        sender.offer(lines);
        let mut out = Vec::new();
        for frame in sender.take_unsettled() {
            record::encode_frame(&frame, settled, &mut out);
        }
        out
    };
    let long = [b'x'; 300];
    let (one, topics) = (line(&[b"a line"]), line(&[b"a line", b"topic", b""]));
    let (raw, packed) =
        (frames(None, 0, &[b"one", b"", b"three"]), frames(Some(1), 0, &[&long, &long]));
    for (title, file) in [
        ("a line", one.clone()),
        ("an empty line", line(&[b""])),
        ("a line with topics", topics.clone()),
        ("a long line", line(&[&long])),
        ("lines", [&one[..], &topics, &one].concat()),
        ("a frame", raw.clone()),
        ("a packed frame", packed.clone()),
        ("a frame with heads", frames(None, 0, &[b"\0\x03\x01\x01uone", b"\0\0\0two"])),
        ("a frame of which two lines are settled", frames(None, 2, &[b"one", b"", b"three"])),
        ("a frame of which all lines are settled", frames(None, 3, &[b"one", b"", b"three"])),
        ("frames and lines", [&raw[..], &one, &packed, &topics].concat()),
    ] {
        corpus.add(title, &file)?;
        corpus.add(&format!("{title} torn"), &file[..file.len() - 3])?;
        let mut changed = file.clone();
        changed[file.len() / 2] ^= 1;
        corpus.add(&format!("{title} changed"), &changed)?;
        changed = file;
        changed[0] = 0xff;
        corpus.add(&format!("{title} of a wrong length"), &changed)?;
    }
    corpus.add("nothing", b"")
}
