//! The command line as a whole. Help, the manual pages in packaging/man and the files for shells in
//! packaging/completion are made from it. Unit tests compare these; `make reference` writes them anew
//! (UPDATE_REFERENCE=1).

use clap::{Parser, Subcommand};

/// See and hear the logs.
///
/// The other end of rsyslog's modules omrzmq and imrzmq: makes keys, says why a connection does not
/// work, shows the lines that publishers have, counts them, tells a chat when something is wrong, and
/// sends lines that are acknowledged.
#[derive(Parser)]
#[command(name = "rzlog", version, about, max_term_width = 100)]
#[command(
    after_long_help = "Exit status: 0 done; 1 it failed, and a sentence on standard error says why; \
    2 wrong usage; 130 Ctrl-C; 143 SIGTERM. `check`, `migrate`, `tail`, `top`, `send` and `alert` have more, see their help."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What there is to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make, show and file CURVE keys
    #[command(subcommand)]
    Keys(crate::keys::Keys),
    /// Say in one sentence whether a connection works, and if not, why
    ///
    /// Looks like DEALER, SUB and PUSH in turn, as far as that is needed. A ROUTER that is not an imrzmq
    /// may take the greeting of acknowledged delivery for a line.
    ///
    /// Without an endpoint, `--config /etc/rsyslog.conf` says what is unsafe, broken or silently ignored in
    /// the statements of omczmq, imczmq, omrzmq and imrzmq there, each with file and line.
    Check(crate::check::Check),
    /// Show the lines of publishers as they come
    ///
    /// `rzlog tail web1 nginx` with a default profile, `rzlog tail tcp://loghost:5141 web1` without.
    /// Lines go to standard output, notices to standard error. LogTalez's options are understood, with
    /// one dash or two, here and without `tail`.
    Tail(Box<crate::tail::Tail>),
    /// Send lines to an imrzmq, each acknowledged
    ///
    /// From files or standard input. Loads old logs, and makes a sender of anything that prints lines.
    Send(crate::send::Send),
    /// Watch the lines of publishers: how many, whose, how grave, and the newest of each
    ///
    /// A live table of hosts, programs, severities or publishers, with the lines of a row at the press of
    /// a key. `--once` and `--for 10s` print the table once, for scripts.
    Top(Box<crate::top::Top>),
    /// Count lines by rules, and show the counts to Prometheus
    ///
    /// Rules are in TOML files: counters, gauges and histograms from parts of lines or fields of JSON. HUP
    /// reads them anew. `--test FILE` prints what they count in a file.
    Metrics(Box<crate::metrics::Metrics>),
    /// Tell a chat, an Alertmanager or a command what is wrong, by rules over lines
    ///
    /// Rules and receivers are in files: so many lines within a window, more than in the past, a kind of
    /// line that is new, a host that is silent, a publisher that is lost.
    Alert(Box<crate::alert::Alert>),
    /// Rewrite a configuration from omczmq and imczmq to omrzmq and imrzmq
    ///
    /// Prints it. Only what must change does; everything else stays byte for byte, comments too. Standard
    /// error says what then behaves differently and what has to stay, with file and line. A module moves
    /// with all its statements, or not at all.
    Migrate(crate::migrate::Migrate),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// The pages of rzlog in a folder; it may have others.
    fn pages(folder: &Path) -> BTreeMap<PathBuf, String> {
        let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
        let names = entries.map(|entry| entry.unwrap().file_name());
        let ours = names.filter(|name| name.to_string_lossy().starts_with("rzlog"));
        ours.map(|name| {
            let text = fs::read_to_string(folder.join(&name)).unwrap();
            (name.into(), text)
        })
        .collect()
    }

    /// An empty date is lost on its way to man, and with it what stands behind has another meaning.
    fn titled(name: &Path, text: &str) -> String {
        let name = name.with_extension("");
        let name = name.display();
        let title = format!(".TH {name} 1 \"\" \"rzlog {}\" \"rzlog\"", env!("CARGO_PKG_VERSION"));
        let lines = text.lines().map(|line| if line.starts_with(".TH ") { &title } else { line });
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn reference_of_the_manual_says_what_the_command_line_says() {
        let made = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), made.path()).unwrap();
        let mut made = pages(made.path());
        made.iter_mut().for_each(|(name, text)| *text = titled(name, text));
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/man");
        if env::var_os("UPDATE_REFERENCE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            pages(&folder).keys().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
            made.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        }
        assert!(
            pages(&folder) == made,
            "packaging/man is not of these options: run `make reference`"
        );
    }

    /// A file for each shell asks the `rzlog` that is installed beside it: both are of one build.
    #[test]
    fn reference_of_completion_asks_the_program_as_it_answers() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completion");
        let shells = crate::completion::SHELLS;
        for (shell, name) in [("bash", "rzlog"), ("zsh", "_rzlog"), ("fish", "rzlog.fish")] {
            let mut made = Vec::new();
            let shell = shells.completer(shell).unwrap();
            let var = crate::COMPLETE;
            shell.write_registration(var, "rzlog", "rzlog", "rzlog", &mut made).unwrap();
            if shell.name() == "zsh" {
                // on the first TAB, zsh takes the file itself for the function that completes
                made.extend_from_slice(
                    b"if [[ ${funcstack[1]} == _rzlog ]]; then\n    \
                      _clap_dynamic_completer_rzlog \"$@\"\nfi\n",
                );
            }
            let path = folder.join(shell.name()).join(name);
            if env::var_os("UPDATE_REFERENCE").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &made).unwrap();
            }
            assert!(
                fs::read(&path).unwrap_or_default() == made,
                "{} is not of this build: run `make reference`",
                path.display()
            );
        }
    }

    /// They are not taken for options.
    #[test]
    fn texts_may_begin_with_a_dash() {
        let line =
            ["rzlog", "tail", "web1", "--template", "- {host}", "-x", "-- MARK --", "-i", "-5"];
        assert!(Cli::try_parse_from(line).is_ok());
        let key = "vSdQ:2>wRw]=U2JWTE(B<zJbr<oAL@7QYcT8P4v";
        for dash in ["-", "-h", "-V", "--", "---", "--="] {
            let key = format!("{dash}{key}");
            let line = ["rzlog", "keys", "import", &key, "allowed", "--name", "web1"];
            let cli = Cli::try_parse_from(line).map_err(|it| it.to_string());
            let Ok(Cli { command: Command::Keys(crate::keys::Keys::Import(import)) }) = cli else {
                panic!("{key}: {:?}", cli.err());
            };
            assert_eq!(import.source, key);
        }
        let forced = ["rzlog", "keys", "import", "--force", "web1", "allowed", "--name", "web2"];
        assert!(Cli::try_parse_from(forced).is_ok());
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
