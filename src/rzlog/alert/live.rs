//! Rules over publishers: the driver of the pure machine. Reads lines, knows the clock, keeps the state
//! file, and hands attempts to the receivers' threads.
//!
//! The order that nothing is lost by: what is to be told is in the state file before it is tried, and
//! leaves it after the channel took it. A kill in between tells it twice.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rzlog_client::{Event, Line, Subscriber};
use rzmq_link::{Mode, parse_endpoints};

use super::Alert;
use super::channel::Channel;
use super::clock::{Span, Time, wall};
use super::config::{Config, Labels};
use super::core::Core;
use super::engine;
use super::outbox::{Attempt, Outcome};
use super::route::Notification;
use super::state::StateFile;
use crate::error::{Error, Exit};
use crate::reload::{self, Hup};
use crate::screen::{dropped, notice, say};
use crate::signals::Signals;

/// How soon outcomes and signals are noticed.
const SLICE: Duration = Duration::from_millis(200);
/// Between two looks at the groups.
const TICK: u64 = 1000;
/// In a flood, how long lines are taken before that is looked at.
const ROUND: Duration = Duration::from_millis(500);
/// What changed but was told nobody is kept this often.
const SAVE: Duration = Duration::from_secs(30);
/// How long a stop waits for attempts that are on their way.
const GRACE: Duration = Duration::from_secs(5);
/// Without a pause for this long, lines may come faster than they are read; how often that is said.
const FLOOD: Duration = Duration::from_secs(5);
const FLOOD_AGAIN: Duration = Duration::from_secs(60);

/// The wall clock at the start, and what has passed since: it does not jump.
struct Clock {
    start: Time,
    began: Instant,
}

impl Clock {
    fn new() -> Clock {
        Clock { start: wall(), began: Instant::now() }
    }

    fn now(&self) -> Time {
        self.start + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }
}

/// The receivers' threads, and the least time between two attempts of each.
type Tasks = BTreeMap<String, (SyncSender<(Attempt, Time)>, Span)>;

/// The threads, and what comes back from them.
struct Workers {
    tasks: Tasks,
    done: Sender<(String, Attempt, Outcome)>,
    outcomes: Receiver<(String, Attempt, Outcome)>,
}

impl Workers {
    fn start(channels: Vec<Channel>) -> Result<Workers, Error> {
        let (done, outcomes) = channel();
        let mut workers = Workers { tasks: Tasks::new(), done, outcomes };
        workers.tasks = workers.threads(channels)?;
        Ok(workers)
    }

    /// A thread for each receiver. It ends with its place among the tasks, after the attempt that it is at.
    fn threads(&self, channels: Vec<Channel>) -> Result<Tasks, Error> {
        let mut tasks = Tasks::new();
        for channel in channels {
            // one is on its way at most
            let (sender, attempts) = sync_channel(1);
            tasks.insert(channel.name.clone(), (sender, channel.pace()));
            let done = self.done.clone();
            let work = move || {
                for (attempt, now) in attempts {
                    let outcome = channel.deliver(&attempt, now);
                    if done.send((channel.name.clone(), attempt, outcome)).is_err() {
                        break;
                    }
                }
            };
            let thread = thread::Builder::new().name("rzlog-receiver".into()).spawn(work);
            thread.map_err(|error| Error::Usage(format!("no thread for a receiver: {error}")))?;
        }
        Ok(tasks)
    }

    /// Outcomes that have come, or that come within this time; true: something has left the outbox.
    fn finish(&self, core: &mut Core, clock: &Clock, patience: Duration) -> bool {
        let mut changed = false;
        while core.outbox.is_trying() {
            let Ok((receiver, attempt, outcome)) = self.outcomes.recv_timeout(patience) else {
                break;
            };
            changed = true;
            let pace = self.tasks.get(&receiver).map_or(Span(0), |(_, pace)| *pace);
            let told = core.outbox.done(clock.now(), &receiver, &attempt, outcome, pace);
            told.iter().for_each(|told| notice(told));
        }
        changed
    }

    /// Ends the queues of receivers that there are no more.
    fn forget_others(&self, core: &mut Core) {
        let gone = core.outbox.forget_all_but(|name| self.tasks.contains_key(name));
        if gone > 0 {
            notice(&format!(
                "{gone} notices are dropped: their receivers are not in the files any more"
            ));
        }
    }

    fn hand_out(&self, core: &mut Core, now: Time) {
        for attempt in core.outbox.due(now) {
            let receiver = attempt.notification.receiver.clone();
            if let Some((task, _)) = self.tasks.get(&receiver) {
                // the place is free: the outbox gives one at a time
                let _ = task.try_send((attempt, now));
            }
        }
    }
}

pub(crate) fn run(alert: &Alert) -> Result<Exit, Error> {
    // before anything else: until then a HUP ends it
    let hup = Hup::listen().map_err(Error::Output)?;
    let config = Config::read(&alert.rules)?;
    let channels = super::channels(&config)?;
    let target = alert.trust.resolve(&alert.words, &[])?;
    if let Some(word) = target.rest.first() {
        return Err(Error::Usage(format!(
            "\"{word}\" is neither an endpoint nor a @profile; hosts and programs are for rules"
        )));
    }
    let topics = alert.topics.as_ref().unwrap_or(&target.profile.topics);
    let state = StateFile::open(alert.state.as_deref())?;
    let (kept, told) = state.load()?;
    told.iter().for_each(|told| notice(told));
    let clock = Clock::new();
    let mut core = Core::new(&config, kept, clock.now())?;
    channels.iter().filter_map(Channel::worries).for_each(|worry| notice(&worry));
    let mut workers = Workers::start(channels)?;
    workers.forget_others(&mut core);
    // who cannot keep the state is told so now, not when it is needed
    state.save(&core.keep(clock.now()))?;
    let signals = Signals::listen().map_err(Error::Output)?;
    let endpoints = parse_endpoints(&target.endpoints, Mode::Connect)
        .map_err(|error| Error::Usage(error.to_string()))?;
    let mut subscriber =
        Subscriber::with_longest(&target.endpoints, &target.credentials, topics, alert.longest)?;
    for endpoint in &endpoints {
        core.engine.connection(clock.now(), &endpoint.address, false);
    }
    let (mut ticked, mut saved, mut cannot_save) = (0, Instant::now(), false);
    let (mut idle, mut flood_told) = (Instant::now(), None::<Instant>);
    let signal = loop {
        for event in subscriber.events() {
            note(&mut core, clock.now(), event, alert.quiet);
        }
        if let Some(signal) = signals.came() {
            break signal;
        }
        let (round, mut patience) = (Instant::now(), SLICE);
        let paused = loop {
            let Some(message) = subscriber.receive(patience)? else { break true };
            let line = Line::parse(message.topic, message.text);
            core.engine.line(clock.now(), &line, message.endpoint);
            patience = Duration::ZERO;
            if round.elapsed() >= ROUND {
                break false;
            }
        };
        if paused {
            idle = Instant::now();
        } else if idle.elapsed() >= FLOOD
            && flood_told.is_none_or(|told| told.elapsed() >= FLOOD_AGAIN)
        {
            flood_told = Some(Instant::now());
            notice(
                "gap possible: lines come as fast as they can be read, and a publisher drops what is not \
                 taken. Ask for less: --topics",
            );
        }
        let now = clock.now();
        let mut changed = workers.finish(&mut core, &clock, Duration::ZERO);
        if hup.came() {
            reload::tell(&reload_files(alert, &mut core, &mut workers, now));
            changed = true;
        }
        if now >= ticked + TICK {
            ticked = now;
            changed |= core.tick(now);
            core.engine.full().iter().for_each(|what| notice(what));
        }
        if changed || saved.elapsed() >= SAVE {
            saved = Instant::now();
            let result = state.save(&core.keep(clock.now()));
            if let (Err(error), false) = (&result, cannot_save) {
                notice(&format!("{error}; alerts go on, and are forgotten by a restart"));
            }
            cannot_save = result.is_err();
        }
        workers.hand_out(&mut core, now);
    };
    for event in subscriber.last_events() {
        note(&mut core, clock.now(), event, alert.quiet);
    }
    workers.finish(&mut core, &clock, GRACE);
    state.save(&core.keep(clock.now()))?;
    for (receiver, waiting) in core.outbox.waiting() {
        notice(&format!("{waiting} notices for {receiver} wait in the state file"));
    }
    Ok(Exit::signal(signal))
}

/// Rules, routes and receivers as the files have them now; answers how many rules. A mistake changes
/// nothing. An attempt that is on its way ends as it began.
fn reload_files(
    alert: &Alert,
    core: &mut Core,
    workers: &mut Workers,
    now: Time,
) -> Result<usize, Error> {
    let config = Config::read(&alert.rules)?;
    let channels = super::channels(&config)?;
    let worries: Vec<_> = channels.iter().filter_map(Channel::worries).collect();
    let tasks = workers.threads(channels)?;
    core.reload(&config, now)?;
    workers.tasks = tasks;
    workers.forget_others(core);
    worries.iter().for_each(|worry| notice(worry));
    Ok(config.rules.len())
}

fn note(core: &mut Core, now: Time, event: Event, quiet: bool) {
    match event {
        Event::Connected { endpoint } => {
            core.engine.connection(now, &endpoint, true);
            if !quiet {
                notice(&format!("connected to {endpoint}"));
            }
        }
        Event::Lost { endpoint } => {
            core.engine.connection(now, &endpoint, false);
            notice(&format!(
                "gap: the connection to {endpoint} is lost; what it publishes until it is there again \
                 will be missing"
            ));
        }
        Event::Missed { endpoint, missed } => {
            core.engine.missed(now, &endpoint, missed.lines);
            notice(&dropped(&endpoint, &missed));
        }
        Event::Notice(what) if !quiet => notice(&what.to_string()),
        _ => {}
    }
}

/// A word to each.
pub(crate) fn try_receivers(channels: &[Channel]) -> Result<Exit, Error> {
    let mut exit = Exit::DONE;
    for channel in channels {
        let now = Clock::new().now();
        let labels = Labels::from([("alertname".into(), "Trial".into())]);
        let alert = engine::Alert {
            id: "Trial".into(),
            labels: labels.clone(),
            summary: "somebody tries whether notices arrive".into(),
            what: "nothing is the case".into(),
            starts: now,
            ends: None,
            count: 1,
            lines: vec!["a line would stand here".into()],
        };
        let notification = Notification {
            receiver: channel.name.clone(),
            group: "trial".into(),
            group_labels: labels,
            alerts: vec![alert],
            at: now,
            repeat: false,
        };
        let attempt = Attempt { id: 0, notification, bare: false, lost: 0 };
        let name = &channel.name;
        match channel.deliver(&attempt, now) {
            Outcome::Delivered => say(&format!("{name}: fine"))?,
            Outcome::Later { why, .. } | Outcome::Refused { why } => {
                notice(&format!("{name}: {why}"));
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}
