//! Hosts that are cut off, stand still or are killed under load, and a second receiver that takes over.

use crate::config::{self, DISK};
use crate::host::{Host, start};
use crate::lab::{ARCHIVE, Lab, endpoint};
use crate::place::{Place, counted, end, receiver, receives, sender};
use crate::verdict::{Verdict, all_arrive, judge};

/// How often a host is killed.
const KILLS: usize = 3;
/// What a kill of a receiver may double: lines that are taken and marked at once.
const CHUNK: usize = 128;
/// What a kill of a sender may double: lines that the engine takes out of a queue at once.
const BATCH: usize = 128;

/// Waits until the sender has, or has no longer, a connection.
fn connected(sender: &Host, is: bool) {
    let what = if is { "connected" } else { "connection given up" };
    sender.wait_stats("omrzmq", "out", what, |counters| (counters["connections"] > 0) == is);
}

/// Senders of all releases under load to a receiver of this one. `fault` happens meanwhile, `finally` when all
/// lines are there.
fn under_load(
    place: &Place,
    fault: impl Fn(&Host, &[Host]),
    finally: impl Fn(&[&Host], &Host),
) -> Verdict {
    let lab = Lab::new();
    let mut senders = place.senders(&lab, &endpoint("receiver-one"));
    let archive = receiver(&lab, "receiver-one", &place.suite, &senders.iter().collect::<Vec<_>>());
    start(&[&archive]);
    start(&senders.iter().collect::<Vec<_>>());
    for sender in &mut senders {
        sender.begin_load();
    }
    archive.gets(1_000);
    senders.iter().for_each(|sender| connected(sender, true));
    fault(&archive, &senders);
    archive.gets(1_000);
    for sender in &mut senders {
        sender.end_load();
    }
    let senders: Vec<_> = senders.iter().collect();
    all_arrive(&[&archive], &senders);
    finally(&senders, &archive);
    end(&senders, &[&archive]);
    judge(&[&archive], &senders)
}

/// Each host off the network until its peers have given it up.
pub fn cuts(place: &Place) -> String {
    let fault = |archive: &Host, senders: &[Host]| {
        for sender in senders {
            let address = sender.unplug();
            connected(sender, false);
            sender.plug(&address);
            connected(sender, true);
        }
        let address = archive.unplug();
        senders.iter().for_each(|sender| connected(sender, false));
        archive.plug(&address);
        senders.iter().for_each(|sender| connected(sender, true));
    };
    under_load(place, fault, counted).exact().to_string()
}

/// Each host stands still until its peers have given it up.
pub fn pauses(place: &Place) -> String {
    let fault = |archive: &Host, senders: &[Host]| {
        let connections = |what: &str, count: usize| {
            archive.wait_stats("imrzmq", "in", what, |counters| {
                counters["connections"] == count as i64
            });
        };
        for sender in senders {
            connections("all connected", senders.len());
            sender.pause();
            connections("connection given up", senders.len() - 1);
            sender.unpause();
        }
        connections("all connected", senders.len());
        archive.pause();
        senders.iter().for_each(|sender| connected(sender, false));
        archive.unpause();
        senders.iter().for_each(|sender| connected(sender, true));
    };
    under_load(place, fault, counted).exact().to_string()
}

/// kill -9 of the receiver, again and again, while it works off what has piled up at the senders.
pub fn receiver_killed(place: &Place) -> String {
    let fault = |archive: &Host, senders: &[Host]| {
        for _ in 0..KILLS {
            archive.pause();
            for sender in senders {
                let piled = "lines that pile up";
                sender
                    .wait_stats("core.queue", "main Q", piled, |counters| counters["size"] > 3_000);
            }
            archive.unpause();
            archive.gets(500);
            archive.kill();
            archive.start_again();
            archive.gets(1_000);
        }
    };
    let verdict = under_load(place, fault, |_, _| {});
    // One input takes one chunk at a time.
    verdict.at_most_doubled(CHUNK * KILLS).in_order().to_string()
}

/// kill -9 of a sender of this release while it sends what is in its disk queue.
pub fn sender_killed(place: &Place) -> String {
    const LINES: usize = 1_000;
    let lab = Lab::new();
    let mut killed = lab.host("sender-one", &place.suite);
    let action = config::acked(&endpoint("receiver-one"), &format!("ids=\"uuid\" {DISK}"));
    // A line keeps its uuid over the disk queue when it was asked for before.
    killed.configure(&[
        &config::client("omrzmq", "sender-one", ARCHIVE),
        "set $.u = $uuid;",
        &action,
    ]);
    let archive = receiver(&lab, "receiver-one", place.other(), &[&killed]);
    receives(&archive, "$!rzmq!uuid");
    start(&[&archive, &killed]);
    for _ in 0..KILLS {
        archive.pause();
        killed.feed(LINES);
        // What the main queue holds in memory is lost with it.
        killed.wait_stats("core.queue", "main Q", "an empty main queue", |counters| {
            counters["size"] == 0 && counters["enqueued"] >= LINES as i64
        });
        // before it goes on: it may have them all when Docker has said so
        let some = archive.count() + LINES / 8;
        archive.unpause();
        archive.reaches(some);
        killed.kill();
        killed.start_again();
        all_arrive(&[&archive], &[&killed]);
    }
    end(&[&killed], &[&archive]);
    judge(&[&archive], &[&killed]).at_most_doubled(BATCH * KILLS).to_string()
}

/// The first of two receivers is killed, comes back, is cut off, comes back.
pub fn failover(place: &Place) -> String {
    let lab = Lab::new();
    let endpoints = [endpoint("receiver-one"), endpoint("receiver-two")].join(",");
    let mut host = sender(&lab, "sender-one", &place.suite, &endpoints, "");
    let one = receiver(&lab, "receiver-one", &place.suite, &[&host]);
    let two = receiver(&lab, "receiver-two", place.other(), &[&host]);
    start(&[&one, &two]);
    start(&[&host]);
    host.begin_load();
    one.gets(1_000);
    assert!(two.lines().is_empty(), "the first in order is used");
    one.kill();
    two.gets(1_000);
    one.start_again();
    one.gets(1_000);
    let address = one.unplug();
    two.gets(1_000);
    one.plug(&address);
    one.gets(1_000);
    host.end_load();
    all_arrive(&[&one, &two], &[&host]);
    end(&[&host], &[&one, &two]);
    // What was in doubt at a change may be at both, under one id.
    judge(&[&one, &two], &[&host]).at_most_doubled(2 * 4_096).to_string()
}
