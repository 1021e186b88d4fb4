//! Who fails too often is kept from calling for a moment: he alone, and not for good.

use std::fs;

use harness::ports::free_endpoint;
use harness::stats::Counters;
use harness::{Keys, Rsyslogd, SOON};

use super::limits::limit_files;
use super::{Attack, Ground, sending};

/// From here, without end, and without waiting for an answer that does not come.
const FROM: &str = "127.0.0.2";
const WITHOUT_END: [&str; 3] = ["--source=127.0.0.2", "--seconds=600", "--call=0.02"];

/// A sender with a key of its own, which is let in, and a hundred lines.
fn newcomer(ground: &Ground, name: &str, endpoints: &[String]) -> Rsyslogd {
    let keys = Keys::new(name);
    keys.write_public(&ground.receiving.path("allowed"));
    let sender = sending(endpoints, &ground.server, &keys).start();
    sender.feed(ground.fed..ground.fed + 100);
    sender
}

#[test]
fn an_address_that_fails_too_often_waits_and_no_other_does() {
    let mut ground = Ground::new();
    let Some(attack) = Attack::start(&ground, "http", &WITHOUT_END) else { return };
    for (input, endpoint) in ["acked", "plain"].into_iter().zip(ground.endpoints.clone()) {
        let told = format!(
            "imrzmq[{input}]: held off {FROM} at {endpoint} for a second: more than 50 of its handshakes \
             failed within one, as many as maxfailuresperaddress bears"
        );
        ground.receiver.wait_log(&[&told], SOON);
    }
    // again and again; who is connected notices nothing
    ground.counted("addresses_held_off", 3);
    ground.send(500);
    let connects = |c: &Counters| c["connects"] == 1 && c["connections"] == 1;
    ground.receiver.wait_stats("imrzmq", "acked", "one connection", connects);
    let mut honest = newcomer(&ground, "newcomer", &ground.endpoints);
    ground.arrive(100);
    assert!(!ground.receiver.logged(&["held off 127.0.0.1"]));
    // who has the attacker's address waits, at most until he is gone
    let from = |it: &String| it.replace("tcp://", &format!("tcp://{FROM}:0;"));
    let from_there: Vec<_> = ground.endpoints.iter().map(from).collect();
    let mut neighbour = newcomer(&ground, "neighbour", &from_there);
    drop(attack);
    ground.arrive(100);
    ground.send(100);
    ground.judge();
    honest.stop().clean();
    neighbour.stop().clean();
    ground.end();
}

/// The number that the next file of the receiver would have.
fn first_free(ground: &Ground) -> u64 {
    let of = |number: &u64| format!("/proc/{}/fd/{number}", ground.receiver.pid());
    (0..).find(|number| fs::symlink_metadata(of(number)).is_err()).expect("a free number")
}

/// The system is told by a descriptor of our own, and for more than the second there is none.
#[test]
fn who_is_held_off_comes_back_though_no_file_was_left_when_his_time_was_over() {
    let mut ground = Ground::new();
    let options = ["--source=127.0.0.2", "--seconds=4", "--call=0.02"];
    let Some(mut attack) = Attack::start(&ground, "http", &options) else { return };
    for input in ["acked", "plain"] {
        ground.receiver.wait_log(&[&format!("imrzmq[{input}]: held off {FROM}")], SOON);
    }
    let before = limit_files(&ground, Some(first_free(&ground)));
    while !attack.is_over() {
        ground.send(200);
    }
    attack.done();
    limit_files(&ground, before);
    let from = |it: &String| it.replace("tcp://", &format!("tcp://{FROM}:0;"));
    let from_there: Vec<_> = ground.endpoints.iter().map(from).collect();
    let mut neighbour = newcomer(&ground, "neighbour", &from_there);
    ground.arrive(100);
    ground.judge();
    neighbour.stop().clean();
    ground.end();
}

#[test]
fn nobody_is_held_off_without_the_limit() {
    let mut ground = Ground::with("maxfailuresperaddress=\"0\"");
    let options = ["--total=600", "--at-once=50"];
    let Some(mut attack) = Attack::start(&ground, "http", &options) else { return };
    attack.done();
    for (input, least) in [("acked", 250), ("plain", 250)] {
        let all = |c: &Counters| c["handshakes_failed"] >= least;
        let counters = ground.receiver.wait_stats("imrzmq", input, "failed handshakes", all);
        assert_eq!(counters["addresses_held_off"], 0);
    }
    ground.send(100);
    ground.judge();
    ground.end();
}

/// Keys that are refused count too, though libzmq keeps their connections until the deadline; and a publisher
/// has the same limit.
#[test]
fn who_tries_key_after_key_at_a_publisher_is_held_off() {
    let publisher = free_endpoint();
    let mut ground = Ground::on(|site| {
        let (own, allowed) = (site.path("keys/server"), site.path("allowed"));
        site.global("processInternalMessages=\"on\"").sending(
            "",
            &format!(
                "name=\"pub\" endpoints=\"{publisher}\" socktype=\"PUB\" authtype=\"CURVESERVER\" \
                 servercertpath=\"{}\" clientcertpath=\"{}\" maxfailuresperaddress=\"5\"",
                own.display(),
                allowed.display()
            ),
        )
    });
    ground.endpoints = vec![publisher.clone()];
    let options = ["--source=127.0.0.2", "--seconds=600", "--at-once=60"];
    let Some(attack) = Attack::start(&ground, "keys", &options) else { return };
    let told = format!("omrzmq[pub]: held off {FROM} at {publisher} for a second: more than 5 of");
    ground.receiver.wait_log(&[&told], SOON);
    let counted = |c: &Counters| c["addresses_held_off"] >= 1 && c["keys_refused"] >= 6;
    ground.receiver.wait_stats("omrzmq", "pub", "refused keys", counted);
    drop(attack);
    ground.send(100);
    ground.judge();
    ground.end();
}
