//! Which numbered lines have arrived in a file, without keeping them: the file is read as it grows, and
//! goes on under its name after a HUP (what was written before is read to its end first).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use harness::oracle::number_of;

/// The lines of one sender in one file.
pub struct Ledger {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
    /// A bit for each number.
    seen: Vec<u64>,
    /// All numbers below this one have arrived.
    complete: usize,
    largest: Option<usize>,
    /// Lines read.
    pub lines: usize,
    /// Different numbers among them.
    pub distinct: usize,
    /// Lines whose number was there before.
    pub doubled: usize,
    /// Numbers that came after a larger one.
    pub disordered: usize,
    /// Lines without a number.
    pub foreign: usize,
}

impl Ledger {
    /// Of the lines in this file, which need not be there yet.
    pub fn of(path: PathBuf) -> Ledger {
        Ledger {
            path,
            file: None,
            begun: Vec::new(),
            seen: Vec::new(),
            complete: 0,
            largest: None,
            lines: 0,
            distinct: 0,
            doubled: 0,
            disordered: 0,
            foreign: 0,
        }
    }

    /// Have all numbers below this one arrived?
    pub fn has(&self, count: usize) -> bool {
        self.complete >= count
    }

    /// How many numbers below this one have not arrived; one that is not below it would be foreign.
    pub fn missing(&self, count: usize) -> usize {
        count.saturating_sub(self.distinct)
    }

    /// Reads on.
    pub fn read(&mut self) {
        loop {
            // Looked at before the old file is read to its end: whoever has made a new one writes
            // nothing more into the old one.
            let new = self.replaced();
            self.read_to_end();
            match new {
                Some(file) => self.file = Some(file),
                None => return,
            }
        }
    }

    /// The file of that name, if it is another one than that being read.
    fn replaced(&self) -> Option<File> {
        let new = File::open(&self.path).ok()?;
        let number = |file: &File| file.metadata().map(|it| it.ino()).ok();
        let same = self.file.as_ref().is_some_and(|old| number(old) == number(&new));
        (!same).then_some(new)
    }

    fn read_to_end(&mut self) {
        let Some(file) = &mut self.file else { return };
        file.read_to_end(&mut self.begun).expect("the file of a receiver");
        let whole = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.begun.split_off(whole);
        let lines = std::mem::replace(&mut self.begun, rest);
        for line in String::from_utf8_lossy(&lines).lines() {
            self.enter(number_of(line));
        }
    }

    fn enter(&mut self, number: Option<usize>) {
        self.lines += 1;
        let Some(number) = number else {
            self.foreign += 1;
            return;
        };
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.doubled += 1;
            return;
        }
        self.seen[word] |= bit;
        self.distinct += 1;
        match self.largest {
            Some(largest) if largest > number => self.disordered += 1,
            _ => self.largest = Some(number),
        }
        while self
            .seen
            .get(self.complete / 64)
            .is_some_and(|it| it >> (self.complete % 64) & 1 == 1)
        {
            self.complete += 1;
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lines, doubled {}, out of order {}, foreign {}",
            self.lines, self.doubled, self.disordered, self.foreign
        )
    }
}
