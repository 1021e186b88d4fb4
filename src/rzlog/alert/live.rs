//! Rules over publishers: the driver of the pure machine. Reads lines, knows the clock, has the state
//! written, and hands attempts to the receivers' threads.
//!
//! The order that nothing is lost by: what is to be told is in the state file before it is tried, and
//! leaves it after the channel took it. A kill in between tells it twice. Attempts wait for the disk, lines do
//! not.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rzlog_client::{Event, Line, Subscriber};
use rzmq_link::{Mode, parse_endpoints};

use super::Alert;
use super::channel::Channel;
use super::clock::{Span, Time, read_exact, wall};
use super::config::{Config, Labels};
use super::core::Core;
use super::engine;
use super::outbox::{Attempt, Detail, Outcome};
use super::route::Notification;
use super::state::{Keeper, StateFile, WITHOUT};
use crate::error::{Error, Exit};
use crate::flood::Flood;
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

    fn hand_out(&self, attempts: Vec<Attempt>, now: Time) {
        for attempt in attempts {
            if let Some((task, _)) = self.tasks.get(&attempt.notification.receiver) {
                // the place is free: the outbox gives one at a time
                let _ = task.try_send((attempt, now));
            }
        }
    }
}

/// The state on its way to the disk, and the attempts that wait for it to be there.
struct Keeping {
    keeper: Keeper,
    held: Vec<Attempt>,
    changed: bool,
    saved: Instant,
    /// Somebody was told that it does not work.
    told: bool,
}

impl Keeping {
    fn new(keeper: Keeper, told: bool) -> Keeping {
        Keeping { keeper, held: Vec::new(), changed: true, saved: Instant::now(), told }
    }

    /// Never waits.
    fn go_on(&mut self, core: &mut Core, workers: &Workers, now: Time) {
        if let Some(result) = self.keeper.written(Duration::ZERO) {
            self.tell(result);
            workers.hand_out(std::mem::take(&mut self.held), now);
        }
        let (idle, late) = (self.keeper.is_idle(), self.keeper.is_late());
        if idle || late {
            self.held.extend(core.outbox.due(now));
        }
        if late {
            // a disk that hangs is no reason not to tell
            self.tell(Err(Error::Usage("the disk takes no state any more".into())));
            workers.hand_out(std::mem::take(&mut self.held), now);
        }
        if idle && (self.changed || !self.held.is_empty() || self.saved.elapsed() >= SAVE) {
            (self.changed, self.saved) = (false, Instant::now());
            if let Err(error) = self.keeper.write(&core.keep(now)) {
                self.tell(Err(error));
            }
        }
    }

    fn tell(&mut self, result: Result<(), Error>) {
        if let (Err(error), false) = (&result, self.told) {
            notice(&format!("{error}; {WITHOUT}"));
        }
        self.told = result.is_err();
    }

    /// What waits for the disk is not tried any more.
    fn withdraw(&mut self, core: &mut Core) {
        self.held.drain(..).for_each(|attempt| core.outbox.withdraw(&attempt));
    }

    /// The last state.
    fn end(mut self, core: &Core, now: Time) {
        if !self.keeper.is_idle() {
            let _ = self.keeper.written(GRACE);
        }
        let result = match self.keeper.is_idle() {
            true => self.keeper.write(&core.keep(now)).and_then(|()| {
                let late = || Err(Error::Usage("the disk takes no state any more".into()));
                self.keeper.written(GRACE).unwrap_or_else(late)
            }),
            false => Err(Error::Usage("the disk takes no state any more".into())),
        };
        if let Err(error) = result {
            notice(&format!("{error}; what happened since it was kept last is forgotten"));
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
    let (state, unwritable) = StateFile::open(alert.state.as_deref())?;
    let (mut kept, unusable) = state.load();
    let clock = Clock::new();
    let shifted = kept.fit_clock(clock.now());
    [&unwritable, &unusable, &shifted].into_iter().flatten().for_each(|told| notice(told));
    let mut core = Core::new(&config, kept, clock.now())?;
    channels.iter().filter_map(Channel::worries).for_each(|worry| notice(&worry));
    let mut workers = Workers::start(channels)?;
    workers.forget_others(&mut core);
    // the first is written at once: who cannot keep it is told so now, not when it is needed
    let mut keeping = Keeping::new(Keeper::start(state)?, unwritable.is_some());
    let signals = Signals::listen().map_err(Error::Output)?;
    let endpoints = parse_endpoints(&target.endpoints, Mode::Connect)
        .map_err(|error| Error::Usage(error.to_string()))?;
    let mut subscriber =
        Subscriber::with_longest(&target.endpoints, &target.credentials, topics, alert.longest)?;
    for endpoint in &endpoints {
        core.engine.connection(clock.now(), &endpoint.address, false);
    }
    let mut ticked = 0;
    let mut flood = Flood::new();
    let signal = loop {
        for event in subscriber.events() {
            note(&mut core, clock.now(), event, alert.quiet);
        }
        if let Some(signal) = signals.came() {
            break signal;
        }
        if read_round(&mut subscriber, &mut core, &clock)? {
            flood.paused();
        } else if flood.is_due() {
            notice(
                "gap possible: lines come as fast as they can be read, and a publisher drops what is not \
                 taken. Ask for less: --topics",
            );
        }
        let now = clock.now();
        keeping.changed |= workers.finish(&mut core, &clock, Duration::ZERO);
        if hup.came() {
            reload::tell(&reload_files(alert, &mut core, &mut workers, now));
            keeping.changed = true;
        }
        if now >= ticked + TICK {
            ticked = now;
            keeping.changed |= core.tick(now);
            core.engine.full().iter().chain(&core.engine.old(now)).for_each(|what| notice(what));
        }
        keeping.go_on(&mut core, &workers, now);
    };
    for event in subscriber.last_events() {
        note(&mut core, clock.now(), event, alert.quiet);
    }
    keeping.withdraw(&mut core);
    workers.finish(&mut core, &clock, GRACE);
    keeping.end(&core, clock.now());
    for (receiver, waiting) in core.outbox.waiting() {
        notice(&format!("{waiting} notices for {receiver} wait in the state file"));
    }
    Ok(Exit::signal(signal))
}

/// Takes lines until there are none, or for a round; answers whether there were none.
fn read_round(subscriber: &mut Subscriber, core: &mut Core, clock: &Clock) -> Result<bool, Error> {
    let (round, mut patience) = (Instant::now(), SLICE);
    while let Some(message) = subscriber.receive(patience)? {
        let line = Line::parse(message.topic, message.text);
        // by the system's clock, which may have been set since the start
        let said = line.time.and_then(read_exact);
        let age = Span(said.map_or(0, |said| wall().saturating_sub(said)));
        core.engine.line(clock.now(), &line, message.endpoint, age);
        patience = Duration::ZERO;
        if round.elapsed() >= ROUND {
            return Ok(false);
        }
    }
    Ok(true)
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
        let attempt =
            Attempt { id: 0, notification, detail: Detail::Lines, lost: 0, unsure: false };
        let name = &channel.name;
        match channel.deliver(&attempt, now) {
            Outcome::Delivered => say(&format!("{name}: fine"))?,
            Outcome::Later { why, .. } | Outcome::Failed { why, .. } | Outcome::Refused { why } => {
                notice(&format!("{name}: {why}"));
                exit = Exit::FAILED;
            }
        }
    }
    Ok(exit)
}
