//! Hosts that become something else while lines flow: another release, this project's modules instead of
//! the C modules; and what lives beside them.

use crate::config::{self, DISK};
use crate::host::{Host, start};
use crate::lab::{ARCHIVE, Lab, PORT, endpoint};
use crate::place::{Place, end, receiver, receives, sender};
use crate::verdict::{all_arrive, judge};

/// The receiver becomes the next release while senders of all releases are under load.
pub fn receiver_upgraded(place: &Place) -> Option<String> {
    let newer = place.newer()?;
    let lab = Lab::new();
    let mut senders = place.senders(&lab, &endpoint("receiver-one"));
    let mut archive =
        receiver(&lab, "receiver-one", &place.suite, &senders.iter().collect::<Vec<_>>());
    start(&[&archive]);
    start(&senders.iter().collect::<Vec<_>>());
    for sender in &mut senders {
        sender.begin_load();
    }
    archive.gets(1_000);
    archive.becomes(newer);
    archive.gets(1_000);
    for sender in &mut senders {
        sender.end_load();
    }
    let senders: Vec<_> = senders.iter().collect();
    all_arrive(&[&archive], &senders);
    end(&senders, &[&archive]);
    Some(format!("to {newer}: {}", judge(&[&archive], &senders).exact()))
}

/// Two senders become the next release with lines in hand that nobody has acknowledged: one has them in its
/// spool, the other in its disk queue.
pub fn sender_upgraded(place: &Place) -> Option<String> {
    let newer = place.newer()?;
    let lab = Lab::new();
    let to = endpoint("receiver-one");
    let mut spool = sender(&lab, "sender-one", &place.suite, &to, "");
    let mut disk = sender(&lab, "sender-two", &place.suite, &to, DISK);
    let archive = receiver(&lab, "receiver-one", &place.suite, &[&spool, &disk]);
    start(&[&archive, &spool, &disk]);
    for upgraded in [&mut spool, &mut disk] {
        upgraded.begin_load();
        archive.gets(500);
        // In the middle of the load, and for good as far as this sender knows.
        let address = archive.unplug();
        upgraded.wait_stats("omrzmq", "out", "a wait", |counters| counters["waiting"] > 0);
        upgraded.end_load();
        upgraded.becomes(newer);
        archive.plug(&address);
        upgraded.feed(500);
        all_arrive(&[&archive], &[upgraded]);
    }
    spool.wait_stats("omrzmq", "out", "lines from the spool", |counters| counters["resumed"] > 0);
    end(&[&spool, &disk], &[&archive]);
    let verdict = judge(&[&archive], &[&spool, &disk]).exact();
    Some(format!("to {newer}: {verdict}"))
}

/// Both modules in one rsyslogd of this release, which is killed, between two hosts of another.
pub fn relay(place: &Place) -> String {
    const KILLS: usize = 2;
    let lab = Lab::new();
    let mut host = lab.host("sender-one", place.other());
    let relay = lab.host("relay", &place.suite);
    let archive = receiver(&lab, "receiver-one", place.other(), &[&relay]);
    lab.introduce(&relay, &[&host]);
    let to_relay = config::acked(&endpoint("relay"), "");
    host.configure(&[&config::client("omrzmq", "sender-one", "relay"), &to_relay]);
    let passes_on = config::acked(&endpoint("receiver-one"), "relay=\"on\"");
    relay.configure(&[
        &config::client("omrzmq", "relay", ARCHIVE),
        &config::server("imrzmq", "relay"),
        &format!("ruleset(name=\"remote\" queue.type=\"Direct\") {{ {passes_on} }}"),
        &config::router(""),
    ]);
    start(&[&archive, &relay, &host]);
    host.begin_load();
    archive.gets(1_000);
    for _ in 0..KILLS {
        relay.kill();
        relay.start_again();
        archive.gets(1_000);
    }
    host.end_load();
    all_arrive(&[&archive], &[&host]);
    end(&[&host], &[&relay]);
    end(&[], &[&archive]);
    judge(&[&archive], &[&host]).at_most_doubled(KILLS * 1_024).to_string()
}

/// A best-effort action, ours or the C module's.
fn dealer(module: &str) -> String {
    let to = endpoint("receiver-one");
    format!("action(type=\"{module}\" name=\"out\" socktype=\"DEALER\" endpoints=\"{to}\")")
}

/// A sender with a module of either kind that knows nothing of acknowledgements.
fn best_effort<'a>(lab: &'a Lab, name: &str, image: &str, module: &str) -> Host<'a> {
    let host = lab.host(name, image);
    host.configure(&[&config::client(module, name, ARCHIVE), &dealer(module)]);
    host
}

/// A receiver that has the C module.
fn old_receiver<'a>(lab: &'a Lab, image: &str, guests: &[&Host]) -> Host<'a> {
    let host = lab.host("receiver-one", image);
    lab.introduce(&host, guests);
    host.configure(&[
        &config::server("imczmq", ARCHIVE),
        &config::archive("$!nothing"),
        &format!(
            "input(type=\"imczmq\" ruleset=\"remote\" socktype=\"ROUTER\" endpoints=\"@tcp://*:{PORT}\")"
        ),
    ]);
    host
}

/// The C modules of this release with ours on another one: omczmq to imrzmq, omrzmq to imczmq.
pub fn neighbours(place: &Place) -> String {
    let lab = Lab::new();
    let mut old = best_effort(&lab, "sender-one", &format!("{}-stock", place.suite), "omczmq");
    let new = receiver(&lab, "receiver-one", place.other(), &[&old]);
    start(&[&new, &old]);
    old.feed(800);
    all_arrive(&[&new], &[&old]);
    end(&[&old], &[&new]);
    let to_ours = judge(&[&new], &[&old]).exact();

    let lab = Lab::new();
    let mut new = best_effort(&lab, "sender-one", place.other(), "omrzmq");
    let old = old_receiver(&lab, &format!("{}-stock", place.suite), &[&new]);
    start(&[&old, &new]);
    new.feed(800);
    all_arrive(&[&old], &[&new]);
    end(&[&new], &[&old]);
    to_ours.and(judge(&[&old], &[&new]).exact()).to_string()
}

/// Hosts with the C modules get the package and its modules one at a time, the receiver first. Lines flow
/// between the moves and not during one: the C modules lose what they hold at a stop.
pub fn migration(place: &Place) -> String {
    let lab = Lab::new();
    let stock = format!("{}-stock", place.suite);
    let mut senders =
        ["sender-one", "sender-two"].map(|name| best_effort(&lab, name, &stock, "omczmq"));
    let mut archive = old_receiver(&lab, &stock, &senders.iter().collect::<Vec<_>>());
    start(&[&archive]);
    start(&senders.iter().collect::<Vec<_>>());
    let flow = |archive: &Host, senders: &mut [Host]| {
        for sender in senders.iter_mut() {
            sender.feed(500);
        }
        all_arrive(&[archive], &senders.iter().collect::<Vec<_>>());
    };
    flow(&archive, &mut senders);
    receives(&archive, "$!rzmq!id");
    archive.becomes(&place.suite);
    flow(&archive, &mut senders);
    for at in 0..senders.len() {
        let name = senders[at].name().to_owned();
        let action = config::acked(&endpoint("receiver-one"), "");
        senders[at].configure(&[&config::client("omrzmq", &name, ARCHIVE), &action]);
        senders[at].becomes(&place.suite);
        flow(&archive, &mut senders);
    }
    let senders: Vec<_> = senders.iter().collect();
    end(&senders, &[&archive]);
    // Lines of the C modules have no id.
    judge(&[&archive], &senders).exact().to_string()
}
