//! The table: an attack, what is told of it, what counts it.

use super::{Attack, CEILING, Ground, Keys, SOON, print, secs};
use harness::{Peer, alone};

const SILENT: &str = "it said nothing more until the deadline (handshakeivl)";
const BROKEN_OFF: &str =
    "it broke off: it may hold another key of this server, speak no CURVE or no ZeroMQ";
const MECHANISM: &str = "one side speaks CURVE and the other plaintext: check authtype on both";
const KEYS: &str = "the keys do not fit: it may hold another key of this server";
const TOO_MUCH: &str = "it said more than a handshake has in it, and was closed";

/// Attacks both inputs while honest lines go through both, and answers the ground. `least` is for each
/// input: what an attacker with little processor time gets done.
#[track_caller]
fn row(kind: &str, options: &[&str], told: &str, counter: &str, least: i64) -> Option<Ground> {
    let mut ground = Ground::new();
    let before = ground.memory();
    let mut attack = Attack::start(&ground, kind, options)?;
    let fed = ground.fed;
    while !attack.is_over() {
        ground.send(200);
    }
    let did = attack.done();
    ground.receiver.wait_log(&["imrzmq[acked]", told], SOON);
    ground.receiver.wait_log(&["imrzmq[plain]", told], SOON);
    let counted = ground.counted(counter, least);
    ground.send(200);
    ground.judge();
    let grown = ground.peak().saturating_sub(before);
    print(&format!(
        "| {did} | {counter} {counted} | grew {grown} KiB | honest beside it {} lines: lost 0, doubled 0 |",
        ground.fed - fed
    ));
    assert!(grown < CEILING, "the receiver grew by {grown} KiB");
    // whatever came of it, honest connections are not taken for the attacker's
    ground.receiver.wait_stats("imrzmq", "acked", "the honest one", |c| c["connections"] == 1);
    Some(ground)
}

#[track_caller]
fn whole_row(kind: &str, options: &[&str], told: &str, counter: &str, least: i64) {
    if let Some(ground) = row(kind, options, told, counter, least) {
        ground.end();
    }
}

#[test]
fn http() {
    whole_row("http", &[], BROKEN_OFF, "handshakes_broken_off", 10);
}

#[test]
fn tls() {
    whole_row("tls", &[], BROKEN_OFF, "handshakes_broken_off", 10);
}

#[test]
fn random_bytes() {
    let options = ["--total", "400", "--at-once", "50"];
    whole_row("random", &options, "handshake failed at", "handshakes_failed", 200);
}

#[test]
fn half_open() {
    whole_row("half-open", &[], SILENT, "handshakes_silent", 10);
}

#[test]
fn slow_greeting() {
    whole_row("slow-greeting", &[], SILENT, "handshakes_silent", 10);
}

#[test]
fn slow_handshake() {
    whole_row("slow-handshake", &[], SILENT, "handshakes_silent", 10);
}

#[test]
fn other_mechanisms() {
    whole_row("mechanisms", &[], MECHANISM, "handshakes_mechanism", 10);
}

#[test]
fn other_versions() {
    whole_row("versions", &[], "handshake failed at", "handshakes_failed", 10);
}

#[test]
fn lengths_that_are_not_there() {
    whole_row("lengths", &[], "handshake failed at", "handshakes_failed", 10);
}

#[test]
fn huge_frames() {
    let _alone = alone();
    let options = ["--total", "200", "--at-once", "100"];
    whole_row("huge-frames", &options, TOO_MUCH, "handshakes_protocol", 10);
}

/// libzmq sees that it is none of its frames, or the bound of a handshake is met, whichever is first.
#[test]
fn endless_frames() {
    whole_row("endless-frames", &[], "handshake failed at", "handshakes_protocol", 5);
}

#[test]
fn huge_metadata() {
    whole_row("huge-metadata", &["--total", "6"], TOO_MUCH, "handshakes_protocol", 1);
}

#[test]
fn a_flood_behind_a_strangers_handshake() {
    whole_row("stranger-flood", &["--total", "6"], "refused 127.0.0.1", "keys_refused", 1);
}

#[test]
fn connects_and_closes() {
    let options = ["--seconds", "3"];
    whole_row("flood", &options, BROKEN_OFF, "handshakes_broken_off", 100);
}

#[test]
fn a_stranger() {
    whole_row("stranger", &[], "refused 127.0.0.1: its key", "keys_refused", 1);
}

#[test]
fn fresh_keys_without_end() {
    let options = ["--total", "300", "--at-once", "60"];
    whole_row("keys", &options, "refused 127.0.0.1: its key", "keys_refused", 1);
}

/// Whichever side reads the other's greeting first hangs up; the server knows why only if it was itself.
#[test]
fn plaintext() {
    whole_row("plaintext", &[], "handshake failed at", "handshakes_failed", 1);
}

#[test]
fn another_servers_key() {
    whole_row("wrong-server-key", &[], KEYS, "handshakes_keys", 1);
}

#[test]
fn a_secret_of_another_key() {
    whole_row("not-a-pair", &[], KEYS, "handshakes_keys", 1);
}

/// What our own sender refuses to start with, a foreign client may try.
#[test]
fn a_public_key_for_a_secret() {
    let public = Keys::new("foreign").public_z85();
    whole_row("not-a-pair", &[&format!("--own={public},{public}")], KEYS, "handshakes_keys", 1);
}

/// It shows its secret to the server, which does not show it to anybody.
#[test]
fn swapped_halves() {
    let keys = Keys::new("foreign");
    let (public, secret) = (keys.public_z85(), keys.secret_z85());
    if let Some(ground) =
        row("not-a-pair", &[&format!("--own={secret},{public}")], KEYS, "handshakes_keys", 1)
    {
        ground.keeps_secrets(&[&keys]);
        ground.end();
    }
}

/// A certificate that is taken from the folder while its peer is connected.
#[test]
fn expired_from_the_list() {
    let mut ground = Ground::new();
    let leaver = Keys::new("leaver");
    let file = leaver.write_public(&ground.receiving.path("allowed"));
    let peer = Peer::new(zmq::DEALER).curve_client(&leaver, &ground.server);
    peer.connect(&ground.endpoints[0]);
    peer.wait_connected(SOON);
    std::fs::remove_file(file).expect("removed");
    ground.receiver.wait_log(&["no longer allowed: leaver", "connections closed: "], secs(3));
    ground.receiver.wait_log(&["refused 127.0.0.1", &leaver.public_z85()], SOON);
    let cut = |c: &harness::stats::Counters| c["connections_cut"] >= 1 && c["keys_refused"] >= 1;
    ground.receiver.wait_stats("imrzmq", "acked", "one cut", cut);
    ground.send(200);
    ground.judge();
    ground.end();
}
