//! `rzlog keys`: CURVE certificates in the form of czmq, as files.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rzmq_link::{
    CertificateError, Existing, Metadata, PublicKey, generate, load_directory, load_metadata,
    load_own, load_peer, write_pair, write_public,
};

use crate::error::{Error, Exit};
use crate::fleet::{self, Fleet};
use crate::screen::{escape, notice, say};

/// Make, show and file CURVE keys.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key pair: FILE with the public key, FILE_secret with both
    New(New),
    /// Show a certificate: its key, what it says of itself, and whether it can be used
    Show {
        /// The certificate, with or without _secret at its end
        file: PathBuf,
    },
    /// List the certificates of a folder, as a server that has it as clientcertpath sees them
    List {
        /// The folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// File somebody's public key in a folder of those who are let in
    ///
    /// Only the public half is taken over, whatever the source holds.
    Import(Import),
    /// Make the keys and configurations of a whole fleet: one folder for each host
    ///
    /// Each folder is what that host needs in /etc/rsyslog.d: a configuration and, in rzmq/, keys. The
    /// server receives the lines of all hosts, acknowledged, and publishes them; the folder "reader" is
    /// for `rzlog tail`. What is there already stays as it is: run it again with a longer list to add
    /// hosts, and copy the server's folder anew.
    Fleet(Fleet),
}

/// What a certificate says of its owner.
#[derive(Args)]
pub(crate) struct About {
    /// The owner's name [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// Who to ask about it
    #[arg(long)]
    email: Option<String>,
    /// Whose it is
    #[arg(long)]
    organization: Option<String>,
    /// Which of the owner's keys it is
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// More of the kind; can be given again
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = pair)]
    more: Vec<(String, String)>,
}

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct New {
    /// Where the public key goes
    #[arg(required = true)]
    file: PathBuf,
    #[command(flatten)]
    about: About,
    /// Do not ask for what is not given, on a terminal either
    #[arg(long)]
    no_questions: bool,
    /// Replace a key that is there: who trusts it will not know the new one
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
pub(crate) struct Import {
    /// A certificate of czmq, pyzmq or rzlog, or the 40 characters of a public key
    // one in 85 keys begins with a dash
    #[arg(allow_hyphen_values = true)]
    pub(crate) source: String,
    /// The folder
    folder: PathBuf,
    /// The file's name in the folder, and the owner's where the source has none [default: the source's]
    #[arg(long)]
    name: Option<String>,
    /// Replace a certificate of this name
    #[arg(long)]
    force: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Keep }
}

pub(crate) fn run(command: &Keys) -> Result<Exit, Error> {
    match command {
        Keys::New(new) => make(new),
        Keys::Show { file } => show(file),
        Keys::List { folder } => list(folder),
        Keys::Import(import) => take_over(import),
        Keys::Fleet(fleet) => fleet::run(fleet),
    }
}

fn make(new: &New) -> Result<Exit, Error> {
    let name = file_name(&new.file)?;
    if name.ends_with("_secret") {
        let text = format!(
            "{}: name the public file; the secret one gets _secret at its end by itself",
            new.file.display()
        );
        return Err(Error::Usage(text));
    }
    let metadata = metadata(new, name)?;
    let pair = generate()?;
    write_pair(&new.file, &pair, &metadata, existing(new.force))?;
    say(&format!("{file} (public), {file}_secret: {}", pair.public, file = new.file.display()))?;
    Ok(Exit::DONE)
}

/// A file's last part: what its key is called.
fn file_name(file: &Path) -> Result<&str, Error> {
    file.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty()).ok_or_else(
        || Error::Usage(format!("{}: a key needs a file name, in UTF-8", file.display())),
    )
}

/// From the options; for what is not among them, the questions of curvecertgen on a terminal.
fn metadata(new: &New, name: &str) -> Result<Metadata, Error> {
    let about = &new.about;
    let given = [&about.name, &about.email, &about.organization, &about.version];
    let asks = given.iter().all(|value| value.is_none())
        && about.more.is_empty()
        && !new.no_questions
        && io::stdin().is_terminal()
        && io::stderr().is_terminal();
    let mut metadata = Metadata::new();
    let labels = ["Name", "Email", "Organization", "Version"];
    for (label, value) in labels.into_iter().zip(given) {
        let fallback = if label == "Name" { name } else { "" };
        let value = match value {
            Some(value) => value.clone(),
            None if asks => ask(label, fallback)?,
            None => fallback.to_owned(),
        };
        if !value.is_empty() {
            metadata.push((label.to_lowercase(), value));
        }
    }
    metadata.extend(about.more.iter().cloned());
    Ok(metadata)
}

fn ask(label: &str, fallback: &str) -> Result<String, Error> {
    let mut question = io::stderr().lock();
    let _ = match fallback {
        "" => write!(question, "{label}: "),
        fallback => write!(question, "{label} [{fallback}]: "),
    };
    let _ = question.flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.map_err(Error::file(Path::new("standard input")))? == 0 {
        return Err(Error::Usage("no answer: nothing was written".into()));
    }
    let answer = answer.trim();
    Ok(if answer.is_empty() { fallback } else { answer }.to_owned())
}

fn shown(text: &str) -> String {
    let mut out = String::new();
    escape(text.as_bytes(), &mut out);
    out
}

fn show(file: &Path) -> Result<Exit, Error> {
    let text = file.to_string_lossy();
    let public = PathBuf::from(text.strip_suffix("_secret").unwrap_or(&text));
    let secret = PathBuf::from(format!("{}_secret", public.display()));
    let there = [&public, &secret].into_iter().find(|file| file.exists());
    let there = there.map_or(file, PathBuf::as_path);
    let certificate = load_peer(there)?;
    say(&format!("file        {}", shown(&there.display().to_string())))?;
    say(&format!("public key  {}", certificate.public))?;
    for (name, value) in load_metadata(there)? {
        say(&format!("{:11} {}", shown(&name), shown(&value)))?;
    }
    let (answer, exit) = match load_own(&public) {
        Ok(own) if own.public == certificate.public => {
            ("there, and belongs to it".into(), Exit::DONE)
        }
        Ok(own) => (format!("belongs to another public key, {}", own.public), Exit::FAILED),
        Err(_) if !secret.exists() && there == public => ("not here".into(), Exit::DONE),
        Err(error) => (error.to_string(), Exit::FAILED),
    };
    say(&format!("secret key  {}", shown(&answer)))?;
    Ok(exit)
}

fn list(folder: &Path) -> Result<Exit, Error> {
    let directory = load_directory(folder)?;
    for certificate in &directory.certificates {
        let file = certificate.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = certificate.label();
        let label = if label == file { String::new() } else { format!("  {}", shown(&label)) };
        say(&format!("{}  {}{label}", certificate.public, shown(&file)))?;
    }
    for error in &directory.broken {
        notice(&format!("not usable: {error}"));
    }
    Ok(if directory.broken.is_empty() { Exit::DONE } else { Exit::FAILED })
}

fn take_over(import: &Import) -> Result<Exit, Error> {
    let (key, mut metadata, origin) = source(&import.source)?;
    let named = metadata.iter().find(|(name, _)| name == "name").map(|(_, value)| value.clone());
    let name = import.name.clone().or(origin).or(named.clone());
    let name = name.ok_or_else(|| Error::Usage("a bare key needs --name: whose is it?".into()))?;
    if !fleet::is_file_name(&name) {
        return Err(Error::Usage(format!(
            "\"{}\" cannot be a file's name here: letters, digits, - _ and . are possible, and none that a \
             server passes over, such as x.bak; say --name",
            shown(&name)
        )));
    }
    if named.is_none() {
        metadata.insert(0, ("name".into(), name.clone()));
    }
    let folder = &import.folder;
    let known = load_directory(folder)?;
    if let Some(other) = known.certificates.iter().find(|other| other.public == key) {
        say(&format!("{key} is there already, in {}", shown(&other.path.display().to_string())))?;
        return Ok(Exit::DONE);
    }
    let file = folder.join(&name);
    write_public(&file, &key, &metadata, existing(import.force))?;
    say(&format!("{} (public): {key}", file.display()))?;
    Ok(Exit::DONE)
}

/// The key, what its certificate says, and the name of the file it is in.
fn source(text: &str) -> Result<(PublicKey, Metadata, Option<String>), Error> {
    let path = Path::new(text);
    if !path.exists() {
        if let Some(key) = PublicKey::from_z85(text) {
            return Ok((key, Metadata::new(), None));
        }
    }
    let (key, metadata) = certificate(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // pyzmq's endings, and ours
    let name = name.strip_suffix(".key_secret").or(name.strip_suffix(".key")).unwrap_or(&name);
    let name = name.strip_suffix("_secret").unwrap_or(name);
    Ok((key, metadata, Some(name.to_owned())))
}

fn certificate(path: &Path) -> Result<(PublicKey, Metadata), CertificateError> {
    Ok((load_peer(path)?.public, load_metadata(path)?))
}
