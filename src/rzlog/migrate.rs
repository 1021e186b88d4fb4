//! `rzlog migrate`: a configuration of omczmq and imczmq, rewritten for omrzmq and imrzmq.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::conf::{Configuration, Kind, Migration, rewritten};
use crate::error::{Error, Exit};
use crate::screen::{escape, notice, say};

#[derive(Args)]
#[command(
    after_help = "Exit status: 0 all of it moves; 1 a file cannot be read or written; 11 a module \
    stays as it is, because something must be decided first; 12 all that was read moves, but not all could \
    be read."
)]
pub(crate) struct Migrate {
    /// rsyslog's configuration. What it includes is read, too
    #[arg(default_value = "/etc/rsyslog.conf")]
    configuration: PathBuf,
    /// Print this file, which is included, instead
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    only: Option<PathBuf>,
    /// Write each file that changes to its own place below this folder, and print the names
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: &Migrate) -> Result<Exit, Error> {
    let configuration = Configuration::read(&command.configuration)?;
    let migration = Migration::of(&configuration);
    let printed = command.printed(&configuration)?;
    for finding in &configuration.findings {
        let path = configuration.path(&finding.place).display();
        notice(&format!("{path}:{}: {}: {}", finding.place.line, finding.kind, finding.sentence));
    }
    for note in &migration.notes {
        let path = configuration.path(&note.place).display();
        let word = if note.stops { "stays" } else { "differs" };
        notice(&format!("{path}:{}: {word}: {}", note.place.line, note.sentence));
    }
    for (module, statements) in &migration.stayed {
        notice(&format!(
            "{module} stays as it is, with its statements ({statements}), until what is said above is settled"
        ));
    }
    if migration.moved == 0 && migration.stayed.is_empty() {
        notice("there is nothing of omczmq or imczmq in it");
    }
    match (&command.out, printed) {
        (Some(folder), _) => write_all(folder, &configuration, &migration)?,
        (None, printed) => print(printed, &configuration, &migration)?,
    }
    Ok(if !migration.stayed.is_empty() {
        Exit::FINDINGS
    } else if configuration.findings.iter().any(|finding| finding.kind == Kind::Unread) {
        Exit::NOT_READ
    } else {
        Exit::DONE
    })
}

impl Migrate {
    /// The number of the file to print.
    fn printed(&self, configuration: &Configuration) -> Result<usize, Error> {
        let Some(only) = &self.only else { return Ok(0) };
        let real = fs::canonicalize(only).map_err(Error::file(only))?;
        let mut sources = configuration.sources.iter();
        let found =
            sources.position(|source| fs::canonicalize(&source.path).is_ok_and(|it| it == real));
        found.ok_or_else(|| {
            let (only, whole) = (only.display(), self.configuration.display());
            Error::Usage(format!("{only} is not included in {whole}"))
        })
    }
}

fn print(number: usize, configuration: &Configuration, migration: &Migration) -> Result<(), Error> {
    for (other, edits) in migration.edits.iter().enumerate() {
        if other != number && !edits.is_empty() {
            let path = configuration.sources[other].path.display();
            notice(&format!("{path} changes, too: --only {path} prints it, --out DIR writes all"));
        }
    }
    let text = rewritten(&configuration.sources[number].text, &migration.edits[number]);
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(Error::output)
}

fn write_all(
    folder: &Path,
    configuration: &Configuration,
    migration: &Migration,
) -> Result<(), Error> {
    for (source, edits) in configuration.sources.iter().zip(&migration.edits) {
        if edits.is_empty() {
            continue;
        }
        let real = fs::canonicalize(&source.path).map_err(Error::file(&source.path))?;
        let path = folder.join(real.strip_prefix("/").unwrap_or(&real));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::file(parent))?;
        }
        write_new(&path, &real, &rewritten(&source.text, edits)).map_err(Error::file(&path))?;
        let mut name = String::new();
        escape(path.display().to_string().as_bytes(), &mut name);
        say(&name)?;
    }
    Ok(())
}

/// Nothing that is there is overwritten. Who may read the old file may read the new one.
fn write_new(path: &Path, old: &Path, text: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(old)?.permissions().mode() & 0o777;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text)
}
