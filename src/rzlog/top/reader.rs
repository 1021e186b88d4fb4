//! Lines of publishers on their way into the table, and what happens to the connections as sentences.
//! Shared by the live view and the table that is printed once.

use std::time::{Duration, Instant};

use rzlog_client::{Event, Line, Message, Subscriber};

use super::place::Place;
use super::table::Table;
use super::words::ago;
use crate::connect::Target;
use crate::error::Error;
use crate::flood::Flood;
use crate::pick::{Pick, severity_in_json};
use crate::screen::dropped;

/// Lines that are taken before anything else is looked at, and how long that may take: keys wait.
const BURST: usize = 4096;
const BURST_TIME: Duration = Duration::from_millis(50);

pub(super) struct Reader {
    pub(super) table: Table,
    subscriber: Subscriber,
    pick: Pick,
    began: Instant,
    flood: Flood,
    /// When rows last had to make room.
    looked: Instant,
    /// Somebody was there, now or before.
    pub(super) ever_connected: bool,
}

impl Reader {
    pub(super) fn connect(target: &Target, pick: Pick, rows: usize) -> Result<Reader, Error> {
        let subscriber = Subscriber::connect(&target.endpoints, &target.credentials, &pick.topics)?;
        let now = Instant::now();
        Ok(Reader {
            table: Table::new(subscriber.endpoints(), rows),
            subscriber,
            pick,
            began: now,
            flood: Flood::new(),
            looked: now,
            ever_connected: false,
        })
    }

    /// What has passed since the start: the table's time.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What happened to the connections.
    pub(super) fn notices(&mut self) -> Vec<String> {
        let events: Vec<_> = self.subscriber.events().collect();
        let mut told = self.notes(events);
        if self.flood.is_due() {
            told.push(
                "gap possible: lines come as fast as they can be counted, and a publisher drops what is \
                 not taken. Ask for less: a host, a program, a topic"
                    .into(),
            );
        }
        told.extend(self.pick.take_doubt().map(str::to_owned));
        told
    }

    /// The same, with all lines that are missing so far: nothing is read any more.
    pub(super) fn last_notices(&mut self) -> Vec<String> {
        let events: Vec<_> = self.subscriber.last_events().collect();
        self.notes(events)
    }

    fn notes(&mut self, events: Vec<Event>) -> Vec<String> {
        let now = self.now();
        events.into_iter().filter_map(|event| self.note(event, now)).collect()
    }

    fn note(&mut self, event: Event, now: Duration) -> Option<String> {
        match event {
            Event::Connected { endpoint } => {
                self.ever_connected = true;
                Some(match self.table.connected(&endpoint) {
                    Some(since) => format!(
                        "gap: {endpoint} is back after {}; what it published meanwhile is not counted",
                        ago(now.saturating_sub(since))
                    ),
                    None => format!("connected to {endpoint}"),
                })
            }
            Event::Lost { endpoint } => {
                self.table.lost(&endpoint, now);
                Some(format!(
                    "gap: the connection to {endpoint} is lost; what it publishes until it is there again \
                     is not counted"
                ))
            }
            Event::Missed { endpoint, missed } => {
                self.table.missed(&endpoint, missed.lines);
                Some(dropped(&endpoint, &missed))
            }
            Event::Notice(what) => Some(what.to_string()),
            _ => None,
        }
    }

    /// It was not read for a while, on purpose: that says nothing of how fast lines come.
    pub(super) fn paused(&mut self) {
        self.flood.paused();
    }

    /// Counts what comes within this time, and no more than a burst; told is where each line was counted.
    pub(super) fn read(
        &mut self,
        patience: Duration,
        mut told: impl FnMut(&Message<'_>, &Line<'_>, Place),
    ) -> Result<(), Error> {
        if self.looked.elapsed() >= Duration::from_secs(1) {
            self.looked = Instant::now();
            self.table.make_room(self.began.elapsed());
        }
        let mut patience = patience;
        let mut until = None;
        for _ in 0..BURST {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let Some(message) = self.subscriber.receive(patience)? else {
                self.flood.paused();
                break;
            };
            patience = Duration::ZERO;
            until.get_or_insert_with(|| Instant::now() + BURST_TIME);
            self.ever_connected = true;
            let line = Line::parse(message.topic, message.text);
            if !self.pick.wants(&message, &line) {
                continue;
            }
            let severity = line.severity.or_else(|| severity_in_json(&line));
            let now = self.began.elapsed();
            if let Some(place) = self.table.count(message.endpoint, &line, severity, now) {
                told(&message, &line, place);
            }
        }
        Ok(())
    }
}
