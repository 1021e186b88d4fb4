//! `rzlog tail`: the lines of publishers as they come.
//!
//! Lines go to standard output, everything else to standard error. Output is written when nothing more is
//! there to be read, so that each line is out at once and a flood in large pieces; and in a flood that does
//! not end every now and then, because few of its lines may be wanted.

use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rzlog_client::{Event, Line, Subscriber};

use crate::connect::{self, Target, Trust};
use crate::duration::duration;
use crate::error::{Error, Exit};
use crate::flood::Flood;
use crate::pick::{Lines, Pick};
use crate::screen::{dropped, notice};
use crate::seen::Seen;
use crate::show::{Form, Show, put, template};
use crate::signals::Signals;
use crate::stdout::Patient;

/// How soon a signal that came at the wrong moment, or a reader that is gone, is noticed; and how long a
/// line may wait for others in a flood.
const SLICE: Duration = Duration::from_millis(200);
#[derive(Args)]
#[command(
    // of an option that is there twice the last one counts, and lists are joined; for LogTalez the last list counts
    args_override_self = true,
    after_long_help = "Topics: a publisher that is to be asked for hosts and programs has topics of \
    the form HOST.PROGRAM. (template %hostname%.%programname%.); the host is written as there. What can \
    be said by the beginning of a topic is filtered by the publisher, and does not cross the network.\n\n\
    Fields, for --fields and --template: those of the line's JSON, a.b for b in a; else time, host, \
    program, pid, facility, severity, message, text, topic, endpoint, received.\n\n\
    Exit status: 0 ended by --limit, --for, or because nobody reads its output; 1 an option or a file is \
    wrong; 3 --for is over, and no publisher was ever there; 130 Ctrl-C; 143 SIGTERM."
)]
pub(crate) struct Tail {
    /// Endpoints or a @profile, then a host and a program: names, or patterns with * and ?; several
    /// with commas between them
    #[arg(value_name = "@PROFILE | ENDPOINT | HOST [PROGRAM]", add = connect::words())]
    words: Vec<String>,
    /// Endpoints, with commas between them
    #[arg(short, long, value_name = "LIST", value_delimiter = ',')]
    endpoints: Option<Vec<String>>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    lines: Lines,
    /// End after so many lines
    #[arg(short = 'n', long, value_name = "LINES", help_heading = "Which lines")]
    limit: Option<u64>,
    /// End after this time: 10s, 5m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, help_heading = "Which lines")]
    time: Option<Duration>,
    /// A publisher that sends a longer line is cut off
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, help_heading = "Which lines")]
    longest: u64,
    /// The JSON in a line, behind @cee: or plain; lines without any become JSON
    #[arg(short, long, help_heading = "How they look")]
    json: bool,
    /// A JSON object of these fields
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', help_heading = "How they look")]
    fields: Vec<String>,
    /// Text with fields in it: "{time} {host} {message}"
    #[arg(long, conflicts_with_all = ["json", "fields"], allow_hyphen_values = true, help_heading = "How they look")]
    template: Option<String>,
    /// The time of reception, UTC, in front of each line
    #[arg(long, help_heading = "How they look")]
    timestamps: bool,
    /// Colours by severity; always makes control characters visible, too, as on a terminal
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", help_heading = "How they look")]
    color: Colour,
    /// Line breaks within a message stay, as LogTalez leaves them, where no terminal is
    #[arg(long, help_heading = "How they look")]
    verbatim: bool,
    /// No notices but errors and gaps
    #[arg(short, long)]
    quiet: bool,
    /// Called as LogTalez is: the same options are required, and the output is the same
    #[arg(long, hide = true)]
    logtalez: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

/// What a run has come to.
struct Course {
    quiet: bool,
    began: Instant,
    /// When a publisher was lost, by its endpoint.
    lost: HashMap<String, Instant>,
    ever_connected: bool,
    shown: u64,
    read: u64,
    flood: Flood,
}

pub(crate) fn run(tail: &Tail) -> Result<Exit, Error> {
    tail.check_logtalez()?;
    let endpoints = tail.endpoints.clone().unwrap_or_default();
    let target = tail.trust.resolve(&tail.words, &endpoints)?;
    let mut pick = tail.lines.pick(&target)?;
    let mut show = tail.show(&target)?;
    let signals = Signals::listen().map_err(Error::Output)?;
    let mut subscriber = Subscriber::with_longest(
        &target.endpoints,
        &target.credentials,
        &pick.topics,
        tail.longest,
    )?;
    let mut course = Course::new(tail.quiet);
    // what is watched by a program is of no interest to who completes words
    let mut seen = io::stdout().is_terminal().then(Seen::load);
    let mut out = BufWriter::with_capacity(1 << 16, Patient(io::stdout().lock()));
    let mut bytes = Vec::new();
    let mut waits_since = None;
    let exit = loop {
        for event in subscriber.events() {
            course.note(event);
        }
        if let Some(signal) = signals.came() {
            break Exit::signal(signal);
        }
        if tail.limit.is_some_and(|limit| course.shown >= limit) {
            break Exit::DONE;
        }
        let left = tail.time.map(|time| time.saturating_sub(course.began.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            break if course.ever_connected { Exit::DONE } else { Exit::NOBODY };
        }
        if waits_since.is_some_and(|since: Instant| since.elapsed() >= SLICE) {
            out.flush().map_err(Error::output)?;
            waits_since = None;
        }
        let mut message = subscriber.receive(Duration::ZERO)?;
        if message.is_none() {
            course.flood.paused();
            out.flush().map_err(Error::output)?;
            waits_since = None;
            if nobody_reads() {
                break Exit::DONE;
            }
            message = subscriber.receive(left.unwrap_or(SLICE).min(SLICE))?;
        }
        let Some(message) = message else { continue };
        course.read += 1;
        course.ever_connected = true;
        let line = Line::parse(message.topic, message.text);
        if pick.wants(&message, &line) {
            bytes.clear();
            show.render(&message, &line, &mut bytes);
            put(&mut out, &bytes)?;
            waits_since = waits_since.or_else(|| Some(Instant::now()));
            course.shown += 1;
            if let Some(seen) = &mut seen {
                seen.note(line.host);
                seen.note(line.program);
                seen.note(line.topic);
            }
        }
        course.tell_of_flood();
        course.tell_of_doubt(&mut pick);
    };
    if let Some(seen) = seen {
        seen.save();
    }
    for event in subscriber.last_events() {
        course.note(event);
    }
    out.flush().map_err(Error::output)?;
    if exit == Exit::NOBODY {
        notice(&format!("nobody was there: {}", target.endpoints));
    }
    Ok(exit)
}

impl Tail {
    fn check_logtalez(&self) -> Result<(), Error> {
        let given = [
            ("endpoints", self.endpoints.is_some()),
            ("servercertpath", self.trust.servercertpath.is_some()),
            ("clientcertpath", self.trust.clientcertpath.is_some()),
        ];
        match given.iter().find(|(_, given)| self.logtalez && !given) {
            Some((option, _)) => Err(Error::Usage(format!(
                "-{option} is required where options are written as LogTalez's are, with one dash; rzlog's \
                 own have two"
            ))),
            None => Ok(()),
        }
    }

    fn show(&self, target: &Target) -> Result<Show, Error> {
        let profile = &target.profile;
        let form = match (&self.template, self.json, self.fields.as_slice()) {
            (Some(text), ..) => template(text)?,
            (None, _, [_, ..]) => Form::Fields(self.fields.clone()),
            (None, true, []) if self.logtalez => Form::Cookie,
            (None, true, []) => Form::Json,
            (None, false, []) => match (&profile.template, profile.fields.as_slice()) {
                (Some(text), _) => template(text)?,
                (None, [_, ..]) => Form::Fields(profile.fields.clone()),
                (None, []) if profile.json => Form::Json,
                (None, []) => Form::Text,
            },
        };
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let mut show = Show::new(form);
        show.foreign.verbatim = self.verbatim || self.logtalez;
        show.foreign.terminal = terminal || self.color == Colour::Always;
        show.colour = match self.color {
            Colour::Auto => terminal && !no_colour,
            Colour::Always => true,
            Colour::Never => false,
        };
        show.timestamps = self.timestamps;
        Ok(show)
    }
}

impl Course {
    fn new(quiet: bool) -> Course {
        Course {
            quiet,
            began: Instant::now(),
            lost: HashMap::new(),
            ever_connected: false,
            shown: 0,
            read: 0,
            flood: Flood::new(),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected { endpoint } => {
                self.ever_connected = true;
                if let Some(since) = self.lost.remove(&endpoint) {
                    notice(&format!(
                        "gap: {endpoint} is back after {:.1} s; what it published meanwhile is \
                         missing",
                        since.elapsed().as_secs_f64()
                    ));
                } else if !self.quiet {
                    notice(&format!("connected to {endpoint}"));
                }
            }
            Event::Lost { endpoint } => {
                notice(&format!(
                    "gap: the connection to {endpoint} is lost; what it publishes until it is there \
                     again will be missing"
                ));
                self.lost.insert(endpoint, Instant::now());
            }
            Event::Missed { endpoint, missed } => notice(&dropped(&endpoint, &missed)),
            Event::Notice(what) if !self.quiet => notice(&what.to_string()),
            _ => {}
        }
    }

    fn tell_of_flood(&mut self) {
        if self.read % 1024 == 0 && self.flood.is_due() {
            notice(
                "gap possible: lines come as fast as they can be written, and a publisher drops what is \
                 not taken. Ask for less: a host, a program, a topic",
            );
        }
    }

    fn tell_of_doubt(&self, pick: &mut Pick) {
        if let Some(doubt) = pick.take_doubt().filter(|_| !self.quiet) {
            notice(doubt);
        }
    }
}

/// The other end of a pipe or a socket is closed: seen without writing to it.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let asked = poll(&mut fds, Some(&Timespec::default()));
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    asked.is_ok() && fds[0].revents().intersects(gone)
}
