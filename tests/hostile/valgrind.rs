//! A receiver below valgrind, and a little of each attack.

use harness::quiet;
use harness::skip::skipped;
use harness::valgrind::{Findings, Valgrind};

use super::{Attack, Ground};

#[test]
fn valgrind_finds_nothing_of_ours_in_a_hostile_run() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("valgrind_finds_nothing_of_ours_in_a_hostile_run", why);
    }
    let _alone = quiet::alone();
    let mut ground = Ground::on(|site| site.valgrind(Valgrind));
    for (kind, options) in [
        ("random", &["--total", "60"][..]),
        ("mechanisms", &["--total", "10"]),
        ("versions", &["--total", "10", "--seconds", "1"]),
        ("lengths", &["--total", "10", "--seconds", "1"]),
        ("huge-frames", &["--total", "4"]),
        ("endless-frames", &["--total", "6"]),
        ("huge-metadata", &["--total", "2"]),
        ("stranger-flood", &["--total", "2"]),
        ("flood", &["--total", "100"]),
        ("keys", &["--total", "20"]),
        ("plaintext", &["--total", "4"]),
        ("not-a-pair", &["--total", "4"]),
    ] {
        let Some(mut attack) = Attack::start(&ground, kind, options) else { return };
        attack.done();
        ground.send(100);
    }
    ground.judge();
    ground.sender.stop().clean();
    ground.receiver.stop();
    let findings = Findings::of(&ground.receiver);
    findings.no_errors();
    findings.no_leaks();
    ground.keeps_secrets(&[]);
}
