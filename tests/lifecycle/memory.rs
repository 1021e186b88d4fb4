//! valgrind over whole runs; whether AddressSanitizer sees anything.

use harness::skip::skipped;
use harness::valgrind::{Findings, Valgrind};
use harness::{Keys, Oracle, Peer, Site, ports::free_endpoint, secs};

use crate::Both;
use crate::panics::faulty;

/// Load, HUP and shutdown below valgrind, every line through both modules with CURVE.
#[test]
fn valgrind_finds_nothing_of_ours() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("valgrind_finds_nothing_of_ours", why);
    }
    let _alone = harness::alone();
    let to = free_endpoint();
    let both = Both::new(&to);
    let sink = Peer::new(zmq::PULL).curve_server(&both.server);
    sink.bind(&to);
    let stranger = Keys::new("stranger");
    let mut daemon = both.site.valgrind(Valgrind).start();
    let subscriber = Peer::new(zmq::SUB).subscribed(&[""]).curve_client(&both.client, &both.server);
    subscriber.connect(&both.outward);
    let refused = Peer::new(zmq::PUSH).curve_client(&stranger, &both.server);
    refused.connect(&both.inward);
    let source = Peer::new(zmq::PUSH).curve_client(&both.client, &both.server);
    source.connect(&both.inward);
    source.send_numbers(0..1000);
    daemon.hup();
    source.send_numbers(1000..2000);
    Oracle::judge(0..2000, &sink.take_all(2000, secs(60))).once_in_order();
    daemon.stop();
    let findings = Findings::of(&daemon);
    findings.no_errors();
    findings.no_leaks();
}

/// An absent peer, a spool written, read and removed, a configuration with mistakes.
#[test]
fn valgrind_finds_nothing_of_ours_with_a_spool() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("valgrind_finds_nothing_of_ours_with_a_spool", why);
    }
    let _alone = harness::alone();
    let endpoint = free_endpoint();
    let site = Site::sender("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""))
        .with("action(type=\"omrzmq\" endpoints=\"tcp://127.0.0.1:1\" socktype=\"NONE\")")
        .with("action(type=\"omrzmq\" endpoints=\"nonsense\" socktype=\"PUSH\" linger=\"x\")")
        .valgrind(Valgrind);
    let mut daemon = site.start();
    daemon.feed(0..200);
    daemon.stop();
    Findings::of(&daemon).no_errors();
    Findings::of(&daemon).no_leaks();
    assert_eq!(site.spools().len(), 1, "a spool");
    let peer = Peer::new(zmq::PULL);
    peer.bind(&endpoint);
    let mut daemon = site.start();
    Oracle::judge(0..200, &peer.take_all(200, secs(30))).once_in_order();
    daemon.stop();
    Findings::of(&daemon).no_errors();
    Findings::of(&daemon).no_leaks();
}

/// Both modules are what AddressSanitizer looks at: a mistake of theirs ends rsyslogd.
#[test]
#[ignore = "needs a build with AddressSanitizer: make test-asan"]
fn address_sanitizer_finds_a_mistake_made_on_purpose() {
    let endpoint = free_endpoint();
    for (module, statement) in [
        ("imrzmq", format!("input(type=\"imrzmq\" endpoints=\"{endpoint}\" socktype=\"PULL\")")),
        ("omrzmq", format!("action(type=\"omrzmq\" endpoints=\"{endpoint}\" socktype=\"PUSH\")")),
    ] {
        faulty(&format!("{module}:newinstance:use-after-free"))
            .environment("ASAN_OPTIONS", "log_path=stderr")
            .with(&format!("module(load=\"{module}\")"))
            .with(&statement)
            .check()
            .refuses(&["AddressSanitizer: heap-use-after-free"]);
    }
}
