//! What arrived against what was fed, sender by sender.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use harness::oracle::number_of;
use harness::wait::try_until;
use harness::{Oracle, secs};

use crate::host::{Host, NOBODY};

/// The finding over all senders.
#[derive(Debug, Default)]
pub struct Verdict {
    lines: usize,
    lost: usize,
    doubled: usize,
    doubled_by_id: usize,
    /// Lines that went with another one of the same id, or that have none.
    lost_by_id: usize,
    /// Unknown where there are two archives.
    disordered: Option<usize>,
    foreign: usize,
    /// What was not as it should be, in words.
    details: Vec<String>,
}

/// The lines of each sender at these archives.
fn by_sender(archives: &[&Host]) -> BTreeMap<String, Vec<String>> {
    let mut senders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in archives.iter().flat_map(|archive| archive.lines()) {
        let sender = line.split(' ').nth(1).unwrap_or_default().to_owned();
        senders.entry(sender).or_default().push(line);
    }
    senders.remove(NOBODY);
    senders
}

/// Waits until every line of these senders is at one of the archives.
#[track_caller]
pub fn all_arrive(archives: &[&Host], senders: &[&Host]) {
    let mut size = 0u64;
    let total: usize = senders.iter().map(|sender| sender.fed()).sum();
    let arrived = try_until(secs(90 + total as u64 / 500), || {
        // Read again only when something came.
        let files = archives.iter().map(|archive| std::fs::metadata(archive.path("out.log")));
        let now = files.map(|file| file.map_or(0, |it| it.len())).sum();
        if now == size {
            return None;
        }
        size = now;
        if now < 40 * total as u64 {
            return None;
        }
        let arrived = by_sender(archives);
        let complete = senders.iter().all(|sender| {
            let lines = arrived.get(sender.name()).map_or(&[][..], Vec::as_slice);
            let numbers: HashSet<_> = lines.iter().filter_map(|line| number_of(line)).collect();
            numbers.len() >= sender.fed()
        });
        complete.then_some(())
    });
    if arrived.is_none() {
        let verdict = judge(archives, senders);
        panic!("not all lines arrived: {verdict}: {:#?}", verdict.details);
    }
}

/// Judges all that is at the archives.
pub fn judge(archives: &[&Host], senders: &[&Host]) -> Verdict {
    let disordered = (archives.len() == 1).then_some(0);
    let mut verdict = Verdict { disordered, ..Verdict::default() };
    let mut arrived = by_sender(archives);
    for sender in senders {
        let lines = arrived.remove(sender.name()).unwrap_or_default();
        let all = Oracle::judge(0..sender.fed(), &lines);
        let mut ids = HashSet::new();
        let first =
            |line: &&String| ids.insert(line.split(' ').next().unwrap_or_default().to_owned());
        let kept: Vec<_> = lines.iter().filter(first).collect();
        let by_id = Oracle::judge(0..sender.fed(), &kept);
        verdict.lines += sender.fed();
        verdict.lost += all.lost.len();
        verdict.doubled += doubled(&all);
        verdict.doubled_by_id += doubled(&by_id);
        verdict.lost_by_id += by_id.lost.len();
        verdict.disordered = verdict.disordered.map(|count| count + all.disordered.len());
        verdict.foreign += all.foreign.len();
        verdict.details.push(format!("{}: {all}", sender.name()));
    }
    // Of nobody who was fed.
    for (sender, lines) in arrived {
        verdict.foreign += lines.len();
        verdict.details.push(format!(
            "{sender}: {} foreign lines: {:?}",
            lines.len(),
            lines.first()
        ));
    }
    verdict
}

fn doubled(oracle: &Oracle) -> usize {
    oracle.doubled.iter().map(|(_, times)| times - 1).sum()
}

impl Verdict {
    /// Each line once and, for each sender, in order.
    #[track_caller]
    pub fn exact(self) -> Self {
        self.at_most_doubled(0).in_order()
    }

    /// None lost, so many doubled at most; and where any may be, none doubled or lost after dropping by id.
    #[track_caller]
    pub fn at_most_doubled(self, most: usize) -> Self {
        let right = self.lost == 0
            && self.foreign == 0
            && self.doubled <= most
            && (most == 0 || (self.doubled_by_id == 0 && self.lost_by_id == 0));
        let by_id = self.lost_by_id;
        assert!(right, "{self}, lost by id {by_id}, {most} may be doubled: {:#?}", self.details);
        self
    }

    /// For each sender, in order at first sight.
    #[track_caller]
    pub fn in_order(self) -> Self {
        assert!(self.disordered == Some(0), "{self}: {:#?}", self.details);
        self
    }

    /// Together with another one.
    pub fn and(mut self, other: Verdict) -> Self {
        self.lines += other.lines;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.doubled_by_id += other.doubled_by_id;
        self.lost_by_id += other.lost_by_id;
        self.disordered = self.disordered.zip(other.disordered).map(|(one, two)| one + two);
        self.foreign += other.foreign;
        self.details.extend(other.details);
        self
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { lines, lost, doubled, doubled_by_id, .. } = self;
        write!(f, "{lines} lines, lost {lost}, doubled {doubled}, by id {doubled_by_id}")?;
        if let Some(disordered) = self.disordered {
            write!(f, ", out of order {disordered}")?;
        }
        match self.foreign {
            0 => Ok(()),
            foreign => write!(f, ", foreign {foreign}"),
        }
    }
}
