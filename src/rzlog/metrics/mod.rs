//! `rzlog metrics`: counts the lines of publishers by rules, for Prometheus.
//!
//! The main thread reads lines and counts; http.rs shows what was counted, with threads of its own. Between
//! them is shared.rs.

mod dry;
mod engine;
mod fields;
mod file;
mod http;
mod page;
mod rules;
mod shared;
mod tally;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rzlog_client::{Event, Line, Message, Subscriber};

use self::dry::Unsaid;
use self::engine::Engine;
use self::rules::Rules;
pub(crate) use self::rules::RulesError;
use self::shared::Shared;
use self::tally::{Stream, Tally};
use crate::connect::{self, Trust};
use crate::error::{Error, Exit};
use crate::pick::Lines;
use crate::reload::{self, Hup};
use crate::screen::{dropped, notice};
use crate::signals::Signals;

/// How soon a signal that came at the wrong moment is noticed.
const SLICE: Duration = Duration::from_millis(200);
/// How often it is looked what is too old.
const TICK: Duration = Duration::from_secs(1);
/// Lines that are counted at once, before others may look at the tally.
const BATCH: usize = 500;

#[derive(Args)]
#[command(
    after_long_help = "HUP reads the rules anew: metrics that are the same go on, and if there is a \
    mistake in them, the old ones stay in use.\n\n\
    Exit status: 0 done (--test); 1 an option or a file is wrong; 130 Ctrl-C; 143 SIGTERM."
)]
pub(crate) struct Metrics {
    /// Endpoints or a @profile, then a host and a program: names, or patterns with * and ?; several
    /// with commas between them. Without, all lines
    #[arg(value_name = "@PROFILE | ENDPOINT | HOST [PROGRAM]", add = connect::words())]
    words: Vec<String>,
    /// A file of rules, or a folder whose files end with .toml; can be given again
    #[arg(short, long, value_name = "PATH", required = true)]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// The publisher has no topics: ask for all, and look for host and program in the lines
    #[arg(long)]
    everything: bool,
    /// Where /metrics is shown
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9514")]
    listen: String,
    /// Series of all metrics together; what would need more is not counted, but how often is
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    max_series: usize,
    /// Count a file's lines instead, print the counts and end; - is standard input; can be given again
    #[arg(long, value_name = "FILE", conflicts_with = "words", help_heading = "Try rules")]
    test: Vec<PathBuf>,
    /// With --test: the host of lines that name none
    #[arg(long, value_name = "NAME", requires = "test", help_heading = "Try rules")]
    host: Option<String>,
    /// With --test: the program of lines that name none
    #[arg(long, value_name = "NAME", requires = "test", help_heading = "Try rules")]
    program: Option<String>,
}

pub(crate) fn run(command: &Metrics) -> Result<Exit, Error> {
    if command.test.is_empty() {
        return command.watch();
    }
    let rules = Rules::read(&command.rules)?;
    let unsaid = Unsaid { host: command.host.as_deref(), program: command.program.as_deref() };
    dry::run(rules, &command.test, &unsaid, command.max_series)
}

impl Metrics {
    fn watch(&self) -> Result<Exit, Error> {
        // before anything else: until then a HUP ends it
        let hup = Hup::listen().map_err(Error::Output)?;
        let rules = Rules::read(&self.rules)?;
        let target = self.trust.resolve(&self.words, &[])?;
        let lines = Lines { everything: self.everything, ..Lines::default() };
        let mut pick = lines.pick(&target)?;
        let signals = Signals::listen().map_err(Error::Output)?;
        let mut subscriber =
            Subscriber::connect(&target.endpoints, &target.credentials, &pick.topics)?;
        let mut tally = Tally::new(&rules, self.max_series);
        for endpoint in subscriber.endpoints() {
            tally.streams.insert(endpoint.to_owned(), Stream::default());
        }
        let shared = Shared::new(tally);
        self.show(&shared)?;
        let mut engine = Engine::new(rules);
        let began = Instant::now();
        let (mut ticked, mut idle) = (began, true);
        loop {
            if let Some(signal) = signals.came() {
                subscriber.last_events().for_each(|event| note(event, &shared));
                return Ok(Exit::signal(signal));
            }
            if hup.came() {
                reload::tell(&self.reload(&shared, &mut engine));
            }
            let events: Vec<_> = subscriber.events().collect();
            for event in events {
                note(event, &shared);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                let mut tally = shared.lock();
                tally.busy += u64::from(!idle);
                tally.expire(began.elapsed());
                idle = false;
            }
            // waited for without the tally, counted with it
            let Some(first) = subscriber.receive(SLICE)?.map(|message| message.to_owned()) else {
                idle = true;
                continue;
            };
            let mut tally = shared.lock();
            let now = began.elapsed();
            let mut count = |message: &Message<'_>| {
                let line = Line::parse(message.topic, message.text);
                if pick.wants(message, &line) {
                    if let Some(stream) = tally.streams.get_mut(message.endpoint) {
                        stream.lines += 1;
                    }
                    engine.count(&line, message.endpoint, now, &mut tally);
                }
            };
            count(&Message {
                endpoint: &first.endpoint,
                topic: first.topic.as_deref(),
                text: &first.text,
            });
            for _ in 1..BATCH {
                match subscriber.receive(Duration::ZERO)? {
                    Some(message) => count(&message),
                    None => {
                        idle = true;
                        break;
                    }
                }
            }
            drop(tally);
            if let Some(doubt) = pick.take_doubt() {
                notice(doubt);
            }
        }
    }

    fn show(&self, shared: &Shared) -> Result<(), Error> {
        let listen = &self.listen;
        let refused = |error| {
            Error::Usage(format!(
                "--listen {listen}: {error}. Name an address of this machine and a free port, such as \
                 127.0.0.1:9514"
            ))
        };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        http::serve(listener, page::registry(shared.clone())).map_err(refused)?;
        notice(&format!("counting; see http://{address}/metrics"));
        Ok(())
    }

    /// Reads the rules anew; answers how many there are.
    fn reload(&self, shared: &Shared, engine: &mut Engine) -> Result<usize, Error> {
        let read = Rules::read(&self.rules);
        let mut tally = shared.lock();
        let read = read.and_then(|rules| match rules.rules.is_empty() && !tally.rules.is_empty() {
            true => Err(RulesError::AllGone { path: self.rules[0].clone() }),
            false => Ok(rules),
        });
        let rules = read.inspect_err(|_| tally.reloads_failed += 1)?;
        tally.take_over(&rules);
        tally.reloads += 1;
        let count = rules.rules.len();
        *engine = Engine::new(rules);
        Ok(count)
    }
}

/// What happened to a connection.
fn note(event: Event, shared: &Shared) {
    match event {
        Event::Connected { endpoint } => {
            if let Some(stream) = shared.lock().streams.get_mut(&endpoint) {
                stream.connected = true;
            }
            notice(&format!("connected to {endpoint}"));
        }
        Event::Lost { endpoint } => {
            if let Some(stream) = shared.lock().streams.get_mut(&endpoint) {
                stream.connected = false;
                stream.gaps += 1;
            }
            notice(&format!(
                "gap: the connection to {endpoint} is lost; what it publishes until it is there again \
                 is not counted"
            ));
        }
        Event::Missed { endpoint, missed } => {
            if let Some(stream) = shared.lock().streams.get_mut(&endpoint) {
                stream.missed = stream.missed.saturating_add(missed.lines);
            }
            notice(&dropped(&endpoint, &missed));
        }
        Event::Notice(what) => notice(&what.to_string()),
        _ => {}
    }
}
