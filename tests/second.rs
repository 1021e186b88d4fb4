//! The protocol page proven by a second implementation (tests/peers/acked.py, written from the page
//! alone): it sends to a real imrzmq, takes from a real omrzmq, agrees on the test vectors, and breaks
//! the protocol in every way it knows.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::oracle::numbered;
use harness::paths::repository;
use harness::ports::free_endpoint;
use harness::{Oracle, SOON, Site, python, secs, skip};

/// A run of the second implementation; `None`, loudly, where there is no pyzmq.
fn second(arguments: &[&str]) -> Option<Command> {
    let Some(interpreter) = python::interpreter() else {
        skip::skipped("the second implementation", "there is no Python with pyzmq");
        return None;
    };
    let mut command = Command::new(interpreter);
    command.arg(repository().join("tests/peers/acked.py")).args(arguments);
    Some(command)
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

fn receiver(endpoint: &str) -> Site {
    let site = Site::new().without_feed().with("module(load=\"imrzmq\")");
    site.file("out.log", "%$!rzmq!id% %msg%\\n").with(&format!(
        "input(type=\"imrzmq\" name=\"in\" socktype=\"ROUTER\" endpoints=\"{endpoint}\" metadata=\"on\")"
    ))
}

fn lines_file(site: &Site, count: usize) -> std::path::PathBuf {
    let path = site.path("lines.txt");
    let lines = (0..count).map(|number| format!("<13>Nov 24 10:00:00 h p: {}\n", numbered(number)));
    std::fs::write(&path, lines.collect::<String>()).expect("lines");
    path
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[test]
fn both_agree_on_every_vector() {
    let vectors = repository().join("docs/protocol-vectors.json");
    let Some(mut command) = second(&["vectors", path(&vectors)]) else { return };
    let output = command.output().expect("Python");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_second_implementation_sends_to_a_real_receiver_and_resumes() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint);
    let mut receiver = site.start();
    let lines = lines_file(&site, 2000);
    let session = "00112233445566778899aabbccddeeff";
    for _ in 0..2 {
        // The second time everything is settled already, also for a restarted receiver.
        let Some(mut command) =
            second(&["send", &endpoint, "--file", path(&lines), "--session", session])
        else {
            return;
        };
        let output = command.output().expect("Python");
        assert!(output.status.success(), "{}", text(&output));
        let arrived = receiver.wait_lines("out.log", 2000, SOON);
        Oracle::judge(0..2000, &arrived).once_in_order();
        assert!(arrived[7].starts_with(&format!("{session}:7 ")), "{}", arrived[7]);
        receiver.stop().clean();
        receiver = site.start();
    }
    receiver.stop().clean();
    Oracle::judge(0..2000, &receiver.lines("out.log")).once_in_order();
}

#[test]
fn the_second_implementation_takes_from_a_real_sender() {
    let endpoint = free_endpoint();
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" compress=\"zstd\""
    );
    let Some(mut command) = second(&["receive", &endpoint, "--count", "1500"]) else { return };
    let sending = Site::sender("", &action);
    let taken = sending.path("taken.txt");
    let file = std::fs::File::create(&taken).expect("a file for what is taken");
    let mut child = command.stdout(Stdio::from(file)).spawn().expect("Python");
    let mut sender = sending.start();
    sender.feed(0..1500);
    // It ends with its last line; whether its last acknowledgement still gets away is not the matter.
    assert!(child.wait().expect("Python").success());
    let taken = std::fs::read_to_string(&taken).expect("what was taken");
    let lines: Vec<_> = taken.lines().map(str::to_owned).collect();
    Oracle::judge(0..1500, &lines).once_in_order();
    sender.stop().clean().within(secs(2));
}

#[test]
fn every_way_to_break_the_protocol_is_answered_and_the_receiver_goes_on() {
    let endpoint = free_endpoint();
    let site = receiver(&endpoint);
    let mut receiver = site.start();
    let Some(mut command) = second(&["hostile", &endpoint, "all"]) else { return };
    let output = command.output().expect("Python");
    assert!(output.status.success(), "{}", text(&output));
    let lines = lines_file(&site, 100);
    let Some(mut command) = second(&["send", &endpoint, "--file", path(&lines)]) else { return };
    let output = command.output().expect("Python");
    assert!(output.status.success(), "{}", text(&output));
    let arrived = receiver.wait_lines("out.log", 100, SOON);
    let ours: Vec<_> = arrived.iter().filter(|line| line.contains("n=")).cloned().collect();
    Oracle::judge(0..100, &ours).once_in_order();
    receiver.stop().clean();
}
