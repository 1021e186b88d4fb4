//! Lines that are old by the time that they say: are they a backlog, or is their host's clock behind? A backlog
//! comes faster than it was written, so that from line to line its age shrinks, and it would be a burst that
//! never was. Where the age stays, lines come as fast as they were written, and count. Touches no clock.

use std::collections::HashMap;

use super::clock::{Span, Time};
use super::rule::hash;
use super::text::{clean, lines};

/// So long an age has to stay, within so much (a relay's and the network's waits differ by a few seconds).
const STAYS: Span = Span::minutes(1);
const WITHIN: Span = Span::seconds(10);
/// Hosts that are judged, 40 bytes each, and how long one is that says nothing old.
const HOSTS: usize = 10_000;
const KEPT: Span = Span::minutes(24 * 60);
/// How often somebody is told.
const AGAIN: Span = Span::minutes(10);
/// Hosts that are named then.
const NAMED: usize = 5;

/// What is known of old lines.
#[derive(Default)]
pub(crate) struct Ages {
    /// By the hash of the name, which is foreign and may be long.
    hosts: HashMap<u64, Host>,
    /// To be told: hosts whose lines count though they are old, how many more, and the last one's age.
    behind: Vec<String>,
    more: u64,
    /// Lines that did not count, and the last of them.
    lines: u64,
    host: String,
    age: Span,
    told: Option<Time>,
    pruned: Time,
}

struct Host {
    /// The age at this time.
    age: Span,
    since: Time,
    /// It has stayed.
    stays: bool,
}

impl Ages {
    /// A line of this host is so old: how old it is if its host's clock is no reason.
    pub(crate) fn judge(&mut self, now: Time, host: &[u8], age: Span) -> Span {
        let number = hash(host);
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&number) {
            return age;
        }
        let known = self.hosts.entry(number).or_insert(Host { age, since: now, stays: false });
        if known.age.0.abs_diff(age.0) > WITHIN.0 {
            *known = Host { age, since: now, stays: false };
        } else if now.saturating_sub(known.since) >= STAYS.0 {
            let is_new = !known.stays;
            // a clock that is wrong may go wrong, too
            *known = Host { age, since: now, stays: true };
            if is_new && self.behind.len() < NAMED {
                self.behind.push(format!("{} ({age})", clean(host, 60)));
            } else if is_new {
                self.more += 1;
            }
        }
        if known.stays { Span(0) } else { age }
    }

    /// A line did not count.
    pub(crate) fn too_old(&mut self, host: &[u8], age: Span) {
        self.lines += 1;
        self.age = age;
        self.host = clean(host, 60);
    }

    /// What somebody should know, once in a while.
    pub(crate) fn told(&mut self, now: Time) -> Option<String> {
        if now >= self.pruned.saturating_add(AGAIN.0) {
            self.pruned = now;
            self.hosts.retain(|_, host| now < host.since.saturating_add(KEPT.0));
        }
        let told = self.told.is_some_and(|told| now < told.saturating_add(AGAIN.0));
        if told || (self.lines == 0 && self.behind.is_empty()) {
            return None;
        }
        self.told = Some(now);
        let (count, host, age) = (std::mem::take(&mut self.lines), &self.host, self.age);
        let old = (count > 0).then(|| {
            format!(
                "{} too old to count (max_age), by the time that they say; the last is {age} old, of host {host}",
                lines(count)
            )
        });
        let (behind, more) = (std::mem::take(&mut self.behind), std::mem::take(&mut self.more));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let behind = (!behind.is_empty()).then(|| {
            format!("clocks that are behind, whose lines count though: {}{more}", behind.join(", "))
        });
        Some(old.into_iter().chain(behind).collect::<Vec<_>>().join("; "))
    }
}
