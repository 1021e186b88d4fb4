//! Memory, descriptors and threads of the two that stay, sample by sample, and what they grew by.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use harness::{Rsyslogd, millis};

use crate::growth::Thirds;
use crate::load::Load;
use crate::place::Place;

/// The two, as the file's columns name them.
pub const WHO: [&str; 2] = ["sender", "receiver"];
/// Looks a sample: what comes and goes, like a connection that is being refused, is not in all of them.
const LOOKS: usize = 5;

/// What one daemon has.
#[derive(Clone, Copy)]
pub struct Holdings {
    /// Resident, in KiB.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Holdings {
    /// The least of some looks.
    pub fn of(daemon: &Rsyslogd) -> Holdings {
        let looks = (0..LOOKS).map(|_| {
            std::thread::sleep(millis(50));
            let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("descriptors");
            Holdings {
                memory: daemon.memory(),
                descriptors: open.count() as u64,
                threads: daemon.proc_status("Threads:"),
            }
        });
        let least = |one: Holdings, other: Holdings| Holdings {
            memory: one.memory.min(other.memory),
            descriptors: one.descriptors.min(other.descriptors),
            threads: one.threads.min(other.threads),
        };
        looks.reduce(least).expect("some looks")
    }
}

/// All samples so far; each is in the file as soon as it is taken.
pub struct Samples {
    file: File,
    taken: Vec<(Duration, [Holdings; 2])>,
}

impl Samples {
    /// Begins a file.
    pub fn new(path: &Path) -> Samples {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("the folder of the samples");
        }
        let mut file = File::create(path).expect("the file of the samples");
        let columns = WHO.map(|who| format!("{who}_kib,{who}_descriptors,{who}_threads"));
        writeln!(file, "seconds,deeds,lines,{}", columns.join(",")).expect("the samples");
        Samples { file, taken: Vec::new() }
    }

    /// Takes one.
    pub fn take(&mut self, at: Duration, place: &Place, load: &Load) {
        let both = [&place.sender, &place.receiver].map(|host| Holdings::of(&host.daemon));
        let mut row = format!("{:.0},{},{}", at.as_secs_f64(), place.deeds, load.of_sender());
        for it in both {
            let _ = write!(row, ",{},{},{}", it.memory, it.descriptors, it.threads);
        }
        writeln!(self.file, "{row}").expect("the samples");
        self.taken.push((at, both));
    }

    /// Samples of one of the two after the first quarter, in which all reach their size.
    fn warm(&self, who: usize) -> Vec<(f64, Holdings)> {
        let later = self.taken.iter().skip(self.taken.len() / 4);
        later.map(|(at, both)| (at.as_secs_f64() / 3_600.0, both[who])).collect()
    }

    /// What memory grows by in an hour, in KiB: the straight line nearest to the warm samples.
    pub fn slope(&self, who: usize) -> Option<f64> {
        let points = self.warm(who);
        let count = points.len() as f64;
        let mean =
            |value: fn(&(f64, Holdings)) -> f64| points.iter().map(value).sum::<f64>() / count;
        let (time, memory) = (mean(|it| it.0), mean(|it| it.1.memory as f64));
        let along: f64 =
            points.iter().map(|it| (it.0 - time) * (it.1.memory as f64 - memory)).sum();
        let across: f64 = points.iter().map(|it| (it.0 - time).powi(2)).sum();
        (points.len() >= 3 && across > 0.0).then(|| along / across)
    }

    /// The warm samples of a number, for what it grew by.
    pub fn thirds(&self, who: usize, value: fn(&Holdings) -> u64) -> Option<Thirds> {
        Thirds::of(&self.warm(who).iter().map(|it| value(&it.1)).collect::<Vec<_>>())
    }
}
