//! Where a case happens: the release it is about, and those around it.

use crate::config;
use crate::host::{Host, add_up, stop};
use crate::lab::{ARCHIVE, Lab};

/// The release a case is about, and the others of this run.
pub struct Place {
    /// The suite whose column this is.
    pub suite: String,
    /// All suites of the run, oldest first.
    pub suites: Vec<String>,
}

/// The senders of the topology.
const SENDERS: [&str; 4] = ["sender-one", "sender-two", "sender-three", "sender-four"];

impl Place {
    /// Another release of this run: the next, and behind the last the first.
    pub fn other(&self) -> &str {
        &self.suites[(self.at() + 1) % self.suites.len()]
    }

    /// The release to upgrade to, if the run has a newer one.
    pub fn newer(&self) -> Option<&str> {
        self.suites.get(self.at() + 1).map(String::as_str)
    }

    fn at(&self) -> usize {
        self.suites.iter().position(|suite| *suite == self.suite).expect("one of the run's suites")
    }

    /// A sender of each release of the run, to these receivers.
    pub fn senders<'a>(&self, lab: &'a Lab, endpoints: &str) -> Vec<Host<'a>> {
        let all = self.suites.iter().zip(SENDERS);
        all.map(|(suite, name)| sender(lab, name, suite, endpoints, "")).collect()
    }
}

/// An acknowledged sender.
pub fn sender<'a>(lab: &'a Lab, name: &str, suite: &str, endpoints: &str, more: &str) -> Host<'a> {
    let host = lab.host(name, suite);
    let module = config::client("omrzmq", name, ARCHIVE);
    host.configure(&[&module, &config::acked(endpoints, more)]);
    host
}

/// An archive that lets these in.
pub fn receiver<'a>(lab: &'a Lab, name: &str, suite: &str, guests: &[&Host]) -> Host<'a> {
    let host = lab.host(name, suite);
    lab.introduce(&host, guests);
    receives(&host, "$!rzmq!id");
    host
}

/// As an archive that keeps lines by this property.
pub fn receives(host: &Host, id: &str) {
    let input = config::router("trustrelays=\"on\"");
    host.configure(&[&config::server("imrzmq", ARCHIVE), &config::archive(id), &input]);
}

/// What both sides count is what was fed; for daemons that ran all the time.
#[track_caller]
pub fn counted(senders: &[&Host], receiver: &Host) {
    for sender in senders {
        let fed = sender.fed() as i64;
        sender.wait_stats("omrzmq", "out", "each line sent", |counters| counters["sent"] == fed);
    }
    let fed: i64 = senders.iter().map(|sender| sender.fed() as i64).sum();
    receiver.wait_stats("imrzmq", "in", "each line received and submitted", |counters| {
        counters["received"] == fed && counters["submitted"] == fed
    });
}

/// All that was to happen has happened: the counters of these senders and receivers add up, and each ends
/// by itself, the senders first.
#[track_caller]
pub fn end(senders: &[&Host], receivers: &[&Host]) {
    add_up(&[senders, receivers].concat());
    stop(senders);
    stop(receivers);
}
