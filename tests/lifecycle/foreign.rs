//! A rsyslogd that the modules were not made for: they refuse with a sentence, or do without a part and
//! say so, and rsyslogd goes on.

use harness::oracle::numbered;
use harness::paths::{self, rsyslog_release};
use harness::skip::skipped;
use harness::{Oracle, Peer, SOON, Site, ports::free_endpoint};

use crate::STOP;

/// rsyslogd works without both modules, which are in use, and has said these words of them. Its own word on a
/// statement that it cannot do without them goes to standard error.
#[track_caller]
fn refused(site: Site, words: &str) {
    let to = free_endpoint();
    let site = site
        .sending("", &format!("endpoints=\"{to}\" socktype=\"PUSH\""))
        .receiving("", &format!("endpoints=\"{to}\" socktype=\"PULL\""));
    site.check().refuses(&[words]);
    let mut daemon = site.start();
    for module in ["imrzmq", "omrzmq"] {
        daemon.wait_log(&[module, words], SOON);
    }
    daemon.feed(0..10);
    Oracle::judge(0..10, &daemon.wait_lines("out.log", 10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}

#[test]
fn a_module_for_another_message_layout_refuses_to_load() {
    let folder = paths::foreign_modules();
    assert!(folder.join("omrzmq.so").exists(), "no such modules: `make build-foreign` makes them");
    refused(Site::new().modules_from(folder), "its messages have a layout unknown to this module");
}

fn future(interface: &str) -> Site {
    Site::new().modules_from(paths::fault_modules()).environment("RZMQ_FUTURE", interface)
}

#[test]
fn an_interface_of_the_future_that_is_needed_is_refused() {
    refused(future("glbl"), "glbl");
    refused(future("prop"), "prop");
}

/// Of all members this one alone is elsewhere: all that is looked at before its bit is in place.
#[test]
fn a_module_refuses_to_load_when_the_flags_alone_are_elsewhere() {
    refused(future("msgFlags"), "its messages have a layout unknown to this module");
}

/// Lines arrive all the same; of the statistics it is said that they are not there, and without one of the
/// others all parsing is the core's.
#[test]
fn an_interface_of_the_future_that_is_not_needed_is_done_without() {
    for interface in ["statsobj", "datetime", "parser", "ruleset"] {
        let (peer, outward) = Peer::pull();
        let inward = free_endpoint();
        let site = future(interface)
            .sending("", &format!("name=\"out\" endpoints=\"{outward}\" socktype=\"PUSH\""))
            .receiving_in_ruleset(
                "",
                &format!("name=\"in\" endpoints=\"{inward}\" socktype=\"PULL\""),
            );
        // -n shows errors alone, the check warnings too
        let words = "this rsyslogd's statistics are of a version this module does not know";
        let told = site.check().text.contains(words);
        assert_eq!(told, interface == "statsobj", "{interface}");
        let mut daemon = site.start();
        daemon.feed(0..10);
        Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
        let sender = Peer::new(zmq::PUSH);
        sender.connect(&inward);
        // as the module parses them itself, where it can
        sender.send_texts(
            (0..10).map(|n| format!("<13>2026-11-29T02:43:03Z web1 app: {}", numbered(n))),
        );
        Oracle::judge(0..10, &daemon.wait_lines("out.log", 10, SOON)).once_in_order();
        if interface == "statsobj" {
            assert!(
                daemon.stats().names("imrzmq").is_empty(),
                "{:?}",
                daemon.stats().names("imrzmq")
            );
        } else {
            let counters = daemon.wait_stats("imrzmq", "in", "all", |it| it["received"] == 10);
            assert_eq!(counters["parsed"], 0, "{interface}");
        }
        daemon.stop().clean().within(STOP);
    }
}

/// A line is parsed as it comes in where the core's parsers find the same in every sample; where they find
/// another name, tag, text, time or priority in one of them, all lines are theirs.
#[test]
fn lines_are_left_to_parsers_that_find_something_else() {
    let start = |parses: &str| {
        let endpoint = free_endpoint();
        let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\"");
        let site = Site::new().modules_from(paths::fault_modules()).without_feed();
        let site = site.environment("RZMQ_PARSES", parses).receiving_in_ruleset("", &input);
        (site.start(), endpoint)
    };
    let cases = ["", "web1=web2", "4711=4712", "GET=PUT", "+05:45=+05:46", "<78>=<79>"];
    for (parses, (mut daemon, endpoint)) in cases.into_iter().zip(cases.map(start)) {
        let peer = Peer::push(&endpoint);
        peer.send_texts(["<13>2026-11-29T02:43:03Z web1 app: x"]);
        let parsed = i64::from(parses.is_empty());
        daemon.wait_stats("imrzmq", "in", &format!("parsed={parsed} ({parses})"), |counters| {
            counters["submitted"] == 1 && counters["parsed"] == parsed
        });
        daemon.stop().clean().within(STOP);
    }
}

/// Where it cannot be read whether "strict" forbids plaintext, it is an error: with that rsyslogd starts, and
/// the statement is used, unless it is "strict".
#[test]
fn plaintext_that_strict_may_forbid_is_an_error_and_strict_keeps_rsyslogd_from_starting() {
    let (peer, to) = Peer::pull();
    let site = |global: Option<&str>| {
        let site = future("statsobj")
            .sending("", &format!("name=\"out\" endpoints=\"{to}\" socktype=\"PUSH\""));
        match global {
            Some(value) => site.global(&format!("compatibility.defaults.secure=\"{value}\"")),
            None => site,
        }
    };
    let words = ["omrzmq[out]", "plaintext", "cannot be read in this rsyslogd"];
    if rsyslog_release() < 2608 {
        let check = site(None).check();
        assert!(!check.text.contains(words[2]), "{check}");
        let test =
            "plaintext_that_strict_may_forbid_is_an_error_and_strict_keeps_rsyslogd_from_starting";
        return skipped(test, "this rsyslog has no such setting; `make test-newest` runs it");
    }
    // 2: the configuration is to be clean and is not, which is asked in front of every start
    for (global, status) in [(Some("strict"), 2), (Some("backward-compatible"), 1), (None, 1)] {
        let check = site(global).check();
        check.refuses(&words);
        assert_eq!(check.status.code(), Some(status), "{global:?}: {check}");
    }
    let site = site(None);
    let mut daemon = site.start();
    daemon.wait_log(&words, SOON);
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}
