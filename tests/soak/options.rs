//! What is asked for on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use harness::{paths, secs};

/// The words of the command line as numbers.
pub struct Options {
    /// How long the load goes on.
    pub length: Duration,
    /// Lines a second, on the average.
    pub rate: usize,
    /// Between the end of a deed and the next one.
    pub every: Duration,
    /// Between two samples.
    pub sample: Duration,
    /// The order of the deeds.
    pub seed: u64,
    /// Where the samples go.
    pub csv: PathBuf,
}

impl Options {
    /// Reads them; the error is a sentence.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            length: secs(600),
            rate: 200,
            every: secs(10),
            sample: secs(60),
            seed: u64::from(std::process::id()),
            csv: paths::repository().join("target/soak.csv"),
        };
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word}: options are written --name=value"))?;
            match name {
                "--hours" => options.length = time(name, value, 3_600.0)?,
                "--minutes" => options.length = time(name, value, 60.0)?,
                "--every" => options.every = time(name, value, 1.0)?,
                "--sample" => options.sample = time(name, value, 1.0)?,
                "--rate" => options.rate = number(name, value, |it| (10..=20_000).contains(it))?,
                "--seed" => options.seed = number(name, value, |_| true)?,
                "--csv" => options.csv = value.into(),
                _ => {
                    return Err(format!(
                        "{name} is none of --hours, --minutes, --rate, --every, --sample, --seed, --csv"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn time(name: &str, value: &str, unit: f64) -> Result<Duration, String> {
    let sane = |it: &f64| it.is_finite() && *it > 0.0 && *it * unit <= 1e6;
    number(name, value, sane).map(|it: f64| Duration::from_secs_f64(it * unit))
}

fn number<T: FromStr>(name: &str, value: &str, allowed: impl Fn(&T) -> bool) -> Result<T, String> {
    let number = value.parse().ok().filter(|it| allowed(it));
    number.ok_or_else(|| format!("{name}={value} is not a number that makes sense there"))
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} min, {} lines/s, a deed every {:.0} s, a sample every {:.0} s to {}, --seed={}",
            self.length.as_secs_f64() / 60.0,
            self.rate,
            self.every.as_secs_f64(),
            self.sample.as_secs_f64(),
            self.csv.display(),
            self.seed
        )
    }
}
