//! The connection is cut, stalled, delayed and half-closed, while both sides live: the receiver knows
//! what it has, so nothing is lost and nothing doubled.

use std::time::Instant;

use harness::ports::free_endpoint;
use harness::sums::end;
use harness::{Half, Keys, Proxy, Rsyslogd, Site, millis};

use crate::{
    DIRECT, Figures, ONE_WORKER, Progress, curve_receiver, curve_sender, feed_meanwhile, lines,
    patience, receiver, rounds, sender, wait_for_all,
};

/// Runs a load through a proxy; each round something is done to it.
fn under_load(case: &str, receiving: &Site, sending: &Site, mut harm: impl FnMut(usize)) {
    let (rounds, total) = (4 * rounds(), lines());
    let since = Instant::now();
    let mut receiver = receiving.start();
    let mut sender = sending.start();
    let feeding = feed_meanwhile(&sender, 0..total);
    let mut progress = Progress::of(receiving);
    for round in 0..rounds {
        progress.reaches(total * (2 * round + 1) / (2 * rounds), patience(total));
        harm(round);
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    numbers_add_up(&mut sender, &mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let case = format!("{case}, {rounds} times");
    Figures::of(&case, since, total, &receiver.lines("out.log")).exact();
}

fn numbers_add_up(sender: &mut Rsyslogd, receiver: &mut Rsyslogd, total: usize) {
    let total = total as i64;
    sender.wait_stats("omrzmq", "out", "all lines sent, one connection", |stats| {
        stats["sent"] == total && stats["spooled"] == 0 && stats["connections"] == 1
    });
    receiver.wait_stats("imrzmq", "in", "all lines submitted", |stats| {
        stats["received"] == total && stats["submitted"] == total && stats["protocol_errors"] == 0
    });
}

#[test]
fn connection_reset_again_and_again_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let sending = sender(&proxy.endpoint(), "").with(ONE_WORKER);
    under_load("reset", &receiver(&endpoint, DIRECT), &sending, |_| proxy.cut());
}

#[test]
fn connection_reset_again_and_again_over_curve_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let (server, client) = (Keys::new("server"), Keys::new("web1"));
    let receiving = curve_receiver(&endpoint, DIRECT, &server, &[&client]);
    let sending =
        curve_sender(&proxy.endpoint(), "compress=\"zstd\"", &client, &server).with(ONE_WORKER);
    under_load("reset, CURVE, zstd", &receiving, &sending, |_| proxy.cut());
}

#[test]
fn connection_half_closed_on_either_side_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let sending = sender(&proxy.endpoint(), "").with(ONE_WORKER);
    under_load("half-closed", &receiver(&endpoint, DIRECT), &sending, |round| {
        proxy.half_close(if round % 2 == 0 { Half::Receiver } else { Half::Sender });
    });
}

/// A slow path, cut while much is on its way: late answers of an old connection must not count.
#[test]
fn connection_reset_on_a_slow_path_loses_and_doubles_nothing() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let sending = sender(&proxy.endpoint(), "").with(ONE_WORKER);
    proxy.delay(millis(20));
    under_load("reset on a slow path", &receiver(&endpoint, DIRECT), &sending, |_| {
        proxy.cut();
        proxy.delay(millis(20));
    });
}

/// Nothing arrives any more and nobody is told, until the heartbeats find out; then the path is back.
#[test]
fn stalled_path_is_found_by_heartbeats_and_what_was_in_flight_arrives_once() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let heartbeat = "heartbeativl=\"300\" heartbeattimeout=\"900\" heartbeatttl=\"900\"";
    let site = receiver(&endpoint, DIRECT);
    let total = lines() / 2;
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sender(&proxy.endpoint(), heartbeat).with(ONE_WORKER).start();
    let feeding = feed_meanwhile(&sender, 0..total);
    let mut progress = Progress::of(&site);
    for round in 0..2 {
        progress.reaches(total * (2 * round + 1) / 4, patience(total));
        proxy.stall();
        sender.wait_stats("omrzmq", "out", "no connection", |stats| stats["connections"] == 0);
        proxy.come_back();
    }
    feeding.join().expect("fed");
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    Figures::of("stalled, twice", since, total, &receiver.lines("out.log")).exact();
}

/// The peer is gone for a while, and the sender is stopped and started meanwhile.
#[test]
fn sender_restarted_while_the_path_is_gone_keeps_ids_and_order() {
    let endpoint = free_endpoint();
    let proxy = Proxy::before(&endpoint);
    let site = receiver(&endpoint, DIRECT);
    let sending = sender(&proxy.endpoint(), "")
        .with("main_queue(queue.timeoutShutdown=\"10000\" queue.workerThreads=\"1\" queue.size=\"1000000\")");
    let total = lines();
    let since = Instant::now();
    let mut receiver = site.start();
    let mut sender = sending.start();
    let feeding = feed_meanwhile(&sender, 0..total / 2);
    Progress::of(&site).reaches(total / 8, patience(total));
    proxy.go_away();
    feeding.join().expect("fed");
    sender.end().clean();
    let mut sender = sending.start();
    sender.feed(total / 2..total);
    proxy.come_back();
    wait_for_all(&mut receiver, total);
    end(&mut [&mut sender, &mut receiver]);
    let lines = receiver.lines("out.log");
    Figures::of("cut, sender restarted", since, total, &lines).exact();
}
