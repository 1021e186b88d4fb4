//! A panic forced in a callback (a build for tests alone) is a line in the log, and no more.

use harness::{Oracle, Peer, Rsyslogd, SOON, Site, paths, ports::free_endpoint, secs};

use crate::STOP;

/// A build in which a callback goes wrong on demand.
pub(crate) fn faulty(fault: &str) -> Site {
    let folder = paths::fault_modules();
    assert!(
        folder.join("omrzmq.so").exists(),
        "{} is missing: `make build-fault` makes it",
        folder.display()
    );
    Site::new().modules_from(folder).environment("RZMQ_FAULT", fault)
}

/// The panic is a line in the log, and rsyslogd goes on.
fn survives(site: Site, module: &str, fault: &str) -> Rsyslogd {
    let mut daemon = site.file("out.log", "%msg%\\n").start();
    daemon.feed(0..10);
    daemon.wait_log(&[module, fault], SOON);
    daemon.feed(10..20);
    let lines = daemon.wait_lines("out.log", 20, SOON);
    Oracle::judge(0..20, &lines).once_in_order();
    daemon
}

#[test]
fn panic_in_a_commit_is_a_log_line() {
    let (_peer, endpoint) = Peer::pull();
    let action = format!(
        "endpoints=\"{endpoint}\" socktype=\"PUSH\" queue.type=\"LinkedList\" \
         action.resumeInterval=\"1\""
    );
    let site = faulty("omrzmq:commit").sending("", &action);
    let mut daemon = survives(site, "omrzmq", "internal error");
    // rsyslog offers the lines again; that must be no busy loop.
    std::thread::sleep(secs(2));
    let lines = daemon.log().lines().count();
    assert!(lines < 100, "{lines} lines in two seconds");
    daemon.stop().clean().within(secs(4));
}

#[test]
fn panic_in_a_new_action_is_a_log_line() {
    let action = format!("endpoints=\"{}\" socktype=\"PUSH\"", free_endpoint());
    let site = faulty("omrzmq:newinstance").sending("", &action);
    survives(site, "omrzmq", "internal error").stop().clean().within(STOP);
}

#[test]
fn panic_in_a_new_input_is_a_log_line() {
    let site = faulty("imrzmq:newinstance").with("module(load=\"imrzmq\")").with(&format!(
        "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
        free_endpoint()
    ));
    survives(site, "imrzmq", "internal error").stop().clean().within(STOP);
}

#[test]
fn panic_at_activation_is_a_log_line() {
    let site = faulty("imrzmq:activate").with("module(load=\"imrzmq\")").with(&format!(
        "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
        free_endpoint()
    ));
    survives(site, "imrzmq", "internal error").stop().clean().within(STOP);
}

#[test]
fn panic_in_the_input_thread_is_a_log_line() {
    let site = faulty("imrzmq:run").with("module(load=\"imrzmq\")").with(&format!(
        "input(type=\"imrzmq\" endpoints=\"{}\" socktype=\"PULL\")",
        free_endpoint()
    ));
    survives(site, "imrzmq", "internal error").stop().clean().within(STOP);
}

/// The fault build without a fault is the ordinary one.
#[test]
fn fault_build_works_when_no_fault_is_asked_for() {
    let (peer, endpoint) = Peer::pull();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUSH\"");
    let mut daemon = faulty("").sending("", &action).start();
    daemon.feed(0..10);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.stop().clean().within(STOP);
}
