//! Rules over a file: what would be sent, and when, by the time that the lines say. Nothing is sent or
//! kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use rzlog_client::Line;

use super::channel::Channel;
use super::clock::{Span, Time, read, read_exact, stamp, wall};
use super::config::{self, Config};
use super::core::{Core, Kept};
use super::outbox::Outcome;
use crate::error::{Error, Exit};
use crate::screen::say;

/// Between two looks at the groups.
const TICK: u64 = 1000;
/// A gap between two lines is gone through in so many steps at most.
const STEPS: u64 = 3600;
/// How long after the last line is waited for groups that have not been told.
const END: Span = Span::minutes(60);
const LONGEST: u64 = 1 << 20;

/// Stands in for the receivers that there are none of.
pub(crate) fn receiver() -> config::Receiver {
    config::Receiver {
        name: "dry-run".into(),
        send_resolved: true,
        template: None,
        mattermost: Some(config::Chat {
            url_file: None,
            url_env: Some("RZLOG_DRY_RUN".into()),
            channel: None,
            username: None,
            icon_emoji: None,
            limit: None,
        }),
        slack: None,
        alertmanager: None,
        command: None,
    }
}

pub(crate) fn run(path: &Path, config: &Config, channels: &[Channel]) -> Result<Exit, Error> {
    let mut file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(Error::file(path))?))
    };
    let wall = wall();
    let mut core = Core::new(config, Kept::default(), 0)?;
    let (mut began, mut now, mut lines, mut told) = (None, 0, 0_u64, 0_u64);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let count = (&mut file).take(LONGEST).read_until(b'\n', &mut bytes);
        if count.map_err(Error::file(path))? == 0 {
            break;
        }
        lines += 1;
        let line = Line::parse(None, &bytes);
        let time = line.time.and_then(|time| read(time, wall));
        if let (None, Some(time)) = (began, time) {
            (began, now) = (Some(time), time);
            core = Core::new(config, Kept::default(), time)?;
            core.engine.connection(now, "", true);
        }
        if let Some(time) = time.filter(|time| began.is_some() && *time > now) {
            let step = ((time - now) / STEPS).max(TICK);
            while now + step <= time {
                now += step;
                core.tick(now);
                told += show(&mut core, now, channels)?;
            }
        }
        let said = line.time.and_then(read_exact);
        let age = Span(said.map_or(0, |said| now.saturating_sub(said)));
        core.engine.line(now, &line, "", age);
    }
    core.tick(now);
    let end = now;
    while let Some(next) = core.dispatcher.next().filter(|it| *it <= end + END.0) {
        if !core.dispatcher.has_untold() {
            break;
        }
        now = next.max(now);
        core.tell(now);
        told += show(&mut core, now, channels)?;
    }
    told += show(&mut core, now, channels)?;
    core.engine.full().iter().chain(&core.engine.old(now)).try_for_each(|what| say(what))?;
    let from = began.map_or("no line says when it was".into(), |began| {
        format!("from {} to {}", stamp(began), stamp(end))
    });
    say(&format!("{lines} lines, {from}; {told} notices would be sent"))?;
    Ok(Exit::DONE)
}

fn show(core: &mut Core, now: Time, channels: &[Channel]) -> Result<u64, Error> {
    let mut shown = 0;
    let mut at = now;
    loop {
        let due = core.outbox.due(at);
        if due.is_empty() {
            match core.outbox.next() {
                Some(next) => at = next.max(at),
                None => return Ok(shown),
            }
        }
        for attempt in due {
            let receiver = attempt.notification.receiver.clone();
            if let Some(channel) = channels.iter().find(|it| it.name == receiver) {
                say(&format!("---- {} to {receiver}", stamp(now)))?;
                say(&channel.preview(&attempt, now))?;
                shown += 1;
            }
            core.outbox.done(at, &receiver, &attempt, Outcome::Delivered, Span(0));
        }
    }
}
