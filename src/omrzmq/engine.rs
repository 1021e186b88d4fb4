//! What the statement asks of rsyslog's engine: how patient the action is, and which settings lose
//! lines in the engine itself, where no module can help.
//!
//! The facts behind the warnings were measured on 8.2302, 8.2504, 8.2608 and 8.2610.

use rzmq_host::Values;
use std::time::Duration;

/// The wait for a peer when only a retry count is written.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do while the peer is absent or full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Wait inside the commit as long as it takes: the lines stay in rsyslog's queue.
    Wait,
    /// Suspend the action after this time, as the administrator asked, so that the engine gives up
    /// or fails over.
    GiveUp {
        /// How long a batch waits.
        after: Duration,
        /// How often the engine asks again before it gives the batch up.
        retries: u32,
    },
}

impl Patience {
    /// What is written counts; the core's own default of 0 retries would throw lines away.
    pub(crate) fn of(values: &Values) -> Self {
        let retries = retry_count(values);
        let timeout = values.number("sendtimeout");
        let after = match (retries, timeout) {
            (Some(-1), _) | (_, Some(..0)) | (None, None) => return Self::Wait,
            (_, Some(timeout)) => Duration::from_millis(timeout.unsigned_abs()),
            (Some(_), None) => DEFAULT_TIMEOUT,
        };
        let retries = retries.and_then(|retries| u32::try_from(retries).ok()).unwrap_or(0);
        Self::GiveUp { after, retries }
    }

    /// What is wrong with the retry count, if it is.
    pub(crate) fn mistake(values: &Values) -> Option<String> {
        let text = values.text("action.resumeretrycount")?;
        let wrong = text.trim().parse::<i64>().is_ok_and(|number| number < -1);
        wrong.then(|| {
            format!(
                "parameter action.resumeRetryCount=\"{text}\": -1 or a number from 0 up is allowed"
            )
        })
    }
}

fn retry_count(values: &Values) -> Option<i64> {
    values.text("action.resumeretrycount").and_then(|text| text.trim().parse().ok())
}

/// The action's queue, as far as the warnings need it.
struct Queue<'a> {
    kind: String,
    values: &'a Values,
}

impl<'a> Queue<'a> {
    fn of(values: &'a Values) -> Self {
        let kind = values.text("queue.type").unwrap_or("direct").to_ascii_lowercase();
        Self { kind, values }
    }

    fn is_direct(&self) -> bool {
        self.kind == "direct"
    }

    fn is_disk(&self) -> bool {
        self.kind.ends_with("disk")
    }

    fn is_disk_assisted(&self) -> bool {
        !self.is_direct() && !self.is_disk() && self.values.is_written("queue.filename")
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.values.text(name).and_then(|text| text.trim().parse().ok())
    }

    fn is_off(&self, name: &str) -> bool {
        self.values.text(name).is_some_and(|text| text.eq_ignore_ascii_case("off"))
    }
}

/// The sentences `rsyslogd -N1` shows for an action; `waits` tells whether its socket can be full.
/// `requeues` is false on releases that lose a batch of a disk-assisted queue at each stop.
pub(crate) fn warnings(values: &Values, waits: bool, requeues: bool) -> Vec<String> {
    let queue = Queue::of(values);
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_string());
    if waits && queue.is_direct() && Patience::of(values) == Patience::Wait {
        warn(
            "this action waits for its peer and has no queue of its own: while it waits, everything \
             that shares its queue waits too. Give it a queue (queue.type=\"Disk\" \
             queue.checkpointInterval=\"1\" queue.timeoutShutdown=\"10000\"), or a ruleset with a queue",
        );
    }
    let shutdown = queue.number("queue.timeoutshutdown").unwrap_or(10);
    if !queue.is_direct() && !queue.is_disk() && !queue.is_disk_assisted() && shutdown < 1_500 {
        warn(
            "the action's queue is in memory: what waits in it when rsyslogd stops is lost after \
             queue.timeoutShutdown (10 ms unless written). Write queue.timeoutShutdown=\"10000\", or \
             use a disk queue",
        );
    }
    if queue.is_disk_assisted() {
        if queue.is_off("queue.saveonshutdown") {
            warn(
                "with queue.saveOnShutdown=\"off\" what waits in the memory of the action's queue when \
                 rsyslogd stops is lost",
            );
        }
        if !requeues && shutdown < 8_000 {
            warn(
                "on this release of rsyslog a disk-assisted action queue whose disk part is in use \
                 loses one batch at each stop, in the engine itself. Write \
                 queue.timeoutShutdown=\"10000\", or use queue.type=\"Disk\"",
            );
        }
    }
    if queue.is_disk() && queue.number("queue.checkpointinterval").unwrap_or(0) != 1 {
        warn(
            "a disk queue without queue.checkpointInterval=\"1\" loses (or sends again) what waits in \
             it when rsyslogd is killed",
        );
    }
    if (queue.is_disk() || queue.is_disk_assisted()) && !values.is_written("queue.size") {
        warn(
            "an action queue that is full when rsyslogd stops loses what the main queue still holds: \
             write a queue.size far above any backlog (the default is 1000 lines)",
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(written: &[(&'static str, &str)]) -> Values {
        Values::of(&crate::params::ACTION, written).unwrap()
    }

    #[test]
    fn patience_is_what_is_written() {
        let after = |milliseconds, retries| Patience::GiveUp {
            after: Duration::from_millis(milliseconds),
            retries,
        };
        for (written, expected) in [
            (&[][..], Patience::Wait),
            (&[("action.resumeretrycount", "-1")], Patience::Wait),
            (&[("action.resumeretrycount", "-1"), ("sendtimeout", "10")], Patience::Wait),
            (&[("sendtimeout", "-1")], Patience::Wait),
            (&[("sendtimeout", "250")], after(250, 0)),
            (&[("action.resumeretrycount", "0")], after(5_000, 0)),
            (&[("action.resumeretrycount", "3"), ("sendtimeout", "0")], after(0, 3)),
            (&[("action.resumeretrycount", "0"), ("sendtimeout", "-1")], Patience::Wait),
        ] {
            assert_eq!(Patience::of(&values(written)), expected, "{written:?}");
        }
    }

    #[test]
    fn settings_that_lose_lines_are_named() {
        let of = |written: &[(&'static str, &str)], requeues| {
            warnings(&values(written), true, requeues).join("\n")
        };
        assert!(of(&[], true).contains("no queue of its own"));
        assert!(of(&[("queue.type", "LinkedList")], true).contains("in memory"));
        let disk = of(&[("queue.type", "Disk")], true);
        assert!(disk.contains("checkpointInterval") && disk.contains("queue.size"), "{disk}");
        let assisted =
            [("queue.type", "LinkedList"), ("queue.filename", "q"), ("queue.size", "1000000")];
        assert_eq!(of(&assisted, true), "");
        let thrown_away = [&assisted[..], &[("queue.saveonshutdown", "off")]].concat();
        assert!(of(&thrown_away, true).contains("saveOnShutdown"));
        assert!(of(&assisted, false).contains("loses one batch at each stop"));
        let good = [
            ("queue.type", "Disk"),
            ("queue.filename", "q"),
            ("queue.checkpointinterval", "1"),
            ("queue.size", "1000000"),
        ];
        assert_eq!(of(&good, false), "");
    }
}
