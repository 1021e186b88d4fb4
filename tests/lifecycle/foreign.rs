//! A rsyslogd that the modules were not made for: they refuse with a sentence, or do without a part and
//! say so, and rsyslogd goes on.

use harness::{Oracle, Peer, SOON, Site, paths, ports::free_endpoint};

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

/// Lines arrive all the same; of the statistics it is said that they are not there.
#[test]
fn an_interface_of_the_future_that_is_not_needed_is_done_without() {
    for interface in ["statsobj", "datetime"] {
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
        sender.send_numbers(0..10);
        Oracle::judge(0..10, &daemon.wait_lines("out.log", 10, SOON)).once_in_order();
        daemon.stop().clean().within(STOP);
    }
}
