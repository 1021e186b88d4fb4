//! `rzlog send`: what it says was acknowledged has arrived, once and in order.

use std::collections::HashSet;
use std::fs;
use std::io::Write;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::ports::free_endpoint;
use harness::{Keys, Oracle, Proxy, Rsyslogd, Rzlog, SOON, Site, secs, wait_until};

fn receiver() -> (Rsyslogd, String) {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\"");
    (Site::new().without_feed().receiving("", &input).start(), endpoint)
}

fn numbers(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|n| (syslog_line(&numbered(n)) + "\n").into_bytes()).collect()
}

#[test]
fn files_and_standard_input_arrive_once_and_are_counted() {
    let (mut receiver, endpoint) = receiver();
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("one.log"), numbers(0..20_000)).expect("written");
    fs::write(folder.path().join("two.log"), numbers(20_000..30_000)).expect("written");
    let ran = Rzlog::of(&format!("send {endpoint} --plaintext one.log - two.log"))
        .in_folder(folder.path())
        .input(b"")
        .run()
        .ended(0);
    assert!(ran.err.contains("30000 lines acknowledged"), "{ran:?}");
    let lines = receiver.wait_lines("out.log", 30_000, secs(30));
    Oracle::judge(0..30_000, &lines).once_in_order();
}

#[test]
fn on_a_terminal_it_shows_how_far_it_is() {
    let (mut receiver, endpoint) = receiver();
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("old.log"), numbers(0..1000)).expect("written");
    let ran = Rzlog::of(&format!("send {endpoint} old.log --plaintext"))
        .in_folder(folder.path())
        .start_on_terminal()
        .wait(SOON)
        .ended(0);
    assert!(ran.out.contains(" under way, "), "{ran:?}");
    assert!(ran.out.ends_with(" 1000 lines acknowledged\r\n"), "{ran:?}");
    receiver.wait_lines("out.log", 1000, SOON);
}

#[test]
fn what_is_in_doubt_after_a_cut_is_settled() {
    let (mut receiver, endpoint) = receiver();
    let proxy = Proxy::before(&endpoint);
    let line = format!("send {} --plaintext", proxy.endpoint());
    let (mut send, mut input) = Rzlog::of(&line).start_with_pipe();
    for round in 0..4 {
        input.write_all(&numbers(round * 5000..(round + 1) * 5000)).expect("written");
        proxy.cut();
    }
    drop(input);
    send.wait_for("the count", secs(30), |send| send.err().contains("20000 lines acknowledged"));
    send.wait(SOON).ended(0);
    let lines = receiver.wait_lines("out.log", 20_000, secs(30));
    Oracle::judge(0..20_000, &lines).once_in_order();
}

#[test]
fn a_receiver_that_is_killed_and_comes_back_has_each_line() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\" ruleset=\"remote\"");
    let site = Site::new().without_feed();
    // a Direct queue: what is acknowledged is in the file
    let site = site.receiving_in_ruleset("queue.type=\"Direct\"", &input);
    let mut receiver = site.start();
    let line = format!("send {endpoint} --plaintext");
    let (mut send, mut input) = Rzlog::of(&line).start_with_pipe();
    for round in 0..3 {
        input.write_all(&numbers(round * 2000..(round + 1) * 2000)).expect("written");
        receiver.wait_lines("out.log", round * 2000 + 1, SOON);
        receiver.kill9();
        receiver = site.start();
    }
    drop(input);
    send.wait_for("the count", secs(30), |send| send.err().contains("6000 lines acknowledged"));
    send.wait(SOON).ended(0);
    let lines = receiver.wait_lines("out.log", 6000, secs(30));
    let oracle = Oracle::judge(0..6000, &lines);
    oracle.nothing_lost();
    // killed between taking a chunk and noting it, it may take that chunk twice
    let doubled: usize = oracle.doubled.iter().map(|(_, times)| times - 1).sum();
    assert!(doubled <= 3 * 128, "{doubled} doubled by three kills");
}

/// One that writes the id in front of each line, before it is acknowledged.
fn identified(endpoint: &str) -> Site {
    let site = Site::new().without_feed();
    let action = site.file_action("out.log");
    site.file_template("out.log", "%$!rzmq!id% %msg%\\n")
        .with("module(load=\"imrzmq\")")
        .with(&format!("ruleset(name=\"remote\" queue.type=\"Direct\") {{ {action} }}"))
        .with(&format!(
            "input(type=\"imrzmq\" ruleset=\"remote\" socktype=\"ROUTER\" metadata=\"on\" \
             endpoints=\"{endpoint}\")"
        ))
}

fn by_id(lines: &[String]) -> Vec<String> {
    let mut ids = HashSet::new();
    let id = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    lines.iter().filter(|line| ids.insert(id(line))).cloned().collect()
}

#[test]
fn the_next_receiver_takes_over_and_what_was_in_doubt_has_one_id_at_both() {
    let endpoints = [free_endpoint(), free_endpoint()];
    let proxy = Proxy::before(&endpoints[0]);
    let sites = [identified(&endpoints[0]), identified(&endpoints[1])];
    let [mut one, mut two] = [sites[0].start(), sites[1].start()];
    let line = format!("send {},{} --plaintext", proxy.endpoint(), endpoints[1]);
    let (mut send, mut input) = Rzlog::of(&line).start_with_pipe();
    input.write_all(&numbers(0..5_000)).expect("written");
    one.wait_lines("out.log", 5_000, SOON);
    assert!(two.lines("out.log").is_empty(), "the first in order is used");
    // cut off under load, without a word
    input.write_all(&numbers(5_000..10_000)).expect("written");
    proxy.stall();
    input.write_all(&numbers(10_000..15_000)).expect("written");
    send.wait_err(&["going on with"], secs(20));
    two.wait_lines("out.log", 5_000, secs(20));
    // it is back, and is gone back to once nothing is under way
    proxy.come_back();
    send.wait_err(&["is back; going on with"], secs(30));
    let before = one.lines("out.log").len();
    input.write_all(&numbers(15_000..16_000)).expect("written");
    drop(input);
    send.wait_for("the count", secs(30), |send| send.err().contains("16000 lines acknowledged"));
    send.wait(SOON).ended(0);
    assert!(one.lines("out.log").len() >= before + 1_000, "it takes the last thousand");
    let all = [one.lines("out.log"), two.lines("out.log")].concat();
    Oracle::judge(0..16_000, &all).nothing_lost();
    Oracle::judge(0..16_000, &by_id(&all)).once();
}

#[test]
fn packed_lines_arrive_and_fewer_bytes_travel() {
    let (mut receiver, endpoint) = receiver();
    let carried = |more: &str, range: std::ops::Range<usize>| {
        let proxy = Proxy::before(&endpoint);
        let line = format!("send {} --plaintext {more}", proxy.endpoint());
        let ran = Rzlog::of(&line).input(&numbers(range)).run().ended(0);
        assert!(ran.err.contains("5000 lines acknowledged"), "{ran:?}");
        proxy.carried()
    };
    let (raw, packed) = (carried("", 0..5_000), carried("--compress zstd", 5_000..10_000));
    assert!(packed * 3 < raw, "{packed} bytes packed, {raw} bytes as they are");
    let lines = receiver.wait_lines("out.log", 10_000, SOON);
    Oracle::judge(0..10_000, &lines).once_in_order();
    Rzlog::of(&format!("send {endpoint} --plaintext --compress gzip")).run().ended(2);
}

#[test]
fn what_was_read_when_a_signal_comes_is_acknowledged() {
    let (mut receiver, endpoint) = receiver();
    let proxy = Proxy::before(&endpoint);
    let line = format!("send {} --plaintext", proxy.endpoint());
    let (mut send, mut input) = Rzlog::of(&line).start_with_pipe();
    input.write_all(&numbers(0..3)).expect("written");
    receiver.wait_lines("out.log", 3, SOON);
    proxy.stall();
    input.write_all(&numbers(3..1000)).expect("written");
    input.write_all(b"half of o").expect("written");
    let is_read = || (rustix::io::ioctl_fionread(&input).expect("a pipe") == 0).then_some(());
    wait_until("all of the pipe is read", SOON, is_read);
    send.signal("TERM");
    send.wait_err(&["stops, in 5 s at the latest"], SOON);
    proxy.come_back();
    let ran = send.wait(SOON).ended(143);
    assert!(ran.err.ends_with("rzlog: 1000 lines acknowledged\n"), "{ran:?}");
    let lines = receiver.wait_lines("out.log", 1000, SOON);
    Oracle::judge(0..1000, &lines).once_in_order();
}

#[test]
fn a_pipe_without_a_writer_is_waited_for_and_any_second_signal_ends_it() {
    let (mut receiver, endpoint) = receiver();
    let folder = tempfile::tempdir().expect("folder");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|it| it.success()), "mkfifo");
    let line = format!("send {endpoint} --plaintext first.log pipe");
    let start = || {
        fs::write(folder.path().join("first.log"), numbers(0..3)).expect("written");
        Rzlog::of(&line).in_folder(folder.path()).start()
    };
    let send = start();
    receiver.wait_lines("out.log", 3, SOON);
    send.signal("TERM");
    assert!(send.wait(SOON).ended(143).err.ends_with("3 lines acknowledged\n"));
    // a writer that comes late
    let send = start();
    receiver.wait_lines("out.log", 6, SOON);
    fs::write(&pipe, numbers(3..5)).expect("written");
    assert!(send.wait(SOON).ended(0).err.ends_with("5 lines acknowledged\n"));
    // nor does a line without an end keep it from hearing a signal
    let endless = format!("send {endpoint} --plaintext first.log /dev/zero");
    let send = Rzlog::of(&endless).in_folder(folder.path()).start();
    receiver.wait_lines("out.log", 11, SOON);
    send.signal("INT");
    assert!(send.wait(SOON).ended(130).err.ends_with("3 lines acknowledged\n"));
    // with nobody there it stops after a while, or at once
    let line = format!("send {} --plaintext", free_endpoint());
    let (mut send, mut input) = Rzlog::of(&line).start_with_pipe();
    input.write_all(&numbers(0..3)).expect("written");
    send.wait_err(&["nothing listens at"], SOON);
    send.signal("INT");
    send.wait_err(&["stops, in 5 s at the latest"], SOON);
    send.signal("TERM");
    let ran = send.wait(SOON).ended(143);
    assert!(!ran.err.contains("acknowledged,"), "{ran:?}");
    Rzlog::of(&format!("{line} --patience 0")).run().ended(2);
}

#[test]
fn a_line_is_on_its_way_while_the_input_pauses() {
    let (mut receiver, endpoint) = receiver();
    let line =
        format!("send {endpoint} --plaintext --tag backup --host nas --priority cron.warning");
    let (send, mut input) = Rzlog::of(&line).start_with_pipe();
    input.write_all(b"it is done\nhalf a li").expect("written");
    let lines = receiver.wait_lines("out.log", 1, SOON);
    assert_eq!(lines, ["it is done"]);
    input.write_all(b"ne").expect("written");
    drop(input);
    send.wait(SOON).ended(0);
    assert_eq!(receiver.wait_lines("out.log", 2, SOON)[1], "half a line");
}

#[test]
fn refused_lines_are_shown_and_change_the_status() {
    let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
    let (server, web1) = (Keys::new("loghost"), Keys::new("web1"));
    server.write(&site.path("keys"));
    web1.write(&site.path("keys"));
    web1.write_public(&site.path("allowed"));
    let module = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/loghost").display(),
        site.path("allowed").display()
    );
    let input = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\" enforcehost=\"on\"");
    let site = site.receiving(&module, &input);
    let mut receiver = site.start();
    let keys = site.path("keys");
    let line = format!(
        "send {endpoint} --servercertpath {k}/loghost --clientcertpath {k}/web1",
        k = keys.display()
    );
    let own = syslog_line("mine").replace("feeder", "web1");
    let other = syslog_line("forged").replace("feeder", "web2");
    let text = format!("{own}\n{other}\n\n{own}\n");
    let ran = Rzlog::of(&line).input(text.as_bytes()).run().ended(10);
    assert!(ran.err.contains("2 lines acknowledged, 1 refused for good"), "{ran:?}");
    ran.complains(&["refused", "not this host's", "forged"]);
    assert_eq!(receiver.wait_lines("out.log", 2, SOON), [" mine", " mine"]);
}

#[test]
fn what_was_read_before_a_file_that_cannot_be_is_sent_and_counted() {
    let (mut receiver, endpoint) = receiver();
    let folder = tempfile::tempdir().expect("folder");
    let second = folder.path().join("second.log");
    fs::write(&second, numbers(10..20)).expect("written");
    let line = format!("send {endpoint} --plaintext --quiet - second.log third.log");
    // a wrong name, or no file, is found before anything is sent
    let send = || Rzlog::of(&line).in_folder(folder.path());
    send().input(&numbers(0..5)).run().ended(1).complains(&["third.log: No such file"]);
    fs::create_dir(folder.path().join("third.log")).expect("a folder");
    send().input(&numbers(0..5)).run().ended(1).complains(&["third.log: is a directory"]);
    fs::remove_dir(folder.path().join("third.log")).expect("removed");
    fs::write(folder.path().join("third.log"), numbers(20..30)).expect("written");
    let (send, mut input) = send().start_with_pipe();
    input.write_all(&numbers(0..5)).expect("written");
    receiver.wait_lines("out.log", 5, SOON);
    fs::remove_file(&second).expect("removed");
    input.write_all(&numbers(5..10)).expect("written");
    drop(input);
    let ran = send.wait(SOON).ended(1);
    assert!(ran.err.contains("rzlog: 10 lines acknowledged\n"), "{ran:?}");
    ran.complains(&["second.log: No such file", "nothing more is read"]);
    let lines = receiver.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
}

#[test]
fn nobody_there_is_said_in_time_and_ctrl_c_counts() {
    let endpoint = free_endpoint();
    let none = "0 lines acknowledged, 3 not acknowledged (no receiver opened a session, so none of them was sent)";
    let line = format!("send {endpoint} --plaintext --patience 1");
    let ran = Rzlog::of(&line).input(&numbers(0..3)).run().ended(3);
    assert!(ran.err.contains("nothing listens at"), "{ran:?}");
    ran.complains(&[none]);
    // a name that nobody has
    let unknown = "send tcp://nobody.invalid:5140 --plaintext --patience 1";
    Rzlog::of(unknown).input(&numbers(0..3)).run().ended(3).complains(&[none]);
    // stopped before anybody was there, with input that goes on
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let (mut send, mut input) =
            Rzlog::of(&format!("send {endpoint} --plaintext")).start_with_pipe();
        input.write_all(&numbers(0..3)).expect("written");
        send.wait_err(&["nothing listens at"], SOON);
        // a signal that comes before the lines are read finds none
        let is_read = || (rustix::io::ioctl_fionread(&input).expect("a pipe") == 0).then_some(());
        wait_until("all of the pipe is read", SOON, is_read);
        send.signal(signal);
        send.wait_for("the count", SOON, |send| send.err().contains(none));
        send.wait(SOON).ended(status);
    }
    // nothing to send
    for input in ["", "\n\r\n"] {
        let ran = Rzlog::of(&line).input(input.as_bytes()).run().ended(0);
        assert!(ran.err.ends_with("rzlog: 0 lines acknowledged\n"), "{ran:?}");
    }
    let (mut receiver, endpoint) = receiver();
    let (mut send, mut input) =
        Rzlog::of(&format!("send {endpoint} --plaintext")).start_with_pipe();
    input.write_all(&numbers(0..3)).expect("written");
    receiver.wait_lines("out.log", 3, SOON);
    send.signal("INT");
    // the acknowledgement may still be on its way
    let counts = [
        "3 lines acknowledged",
        "0 lines acknowledged, 3 not acknowledged (they may have arrived)",
    ];
    send.wait_for("the count", SOON, |send| counts.iter().any(|it| send.err().contains(it)));
    send.wait(SOON).ended(130);
    Rzlog::of("send file.log --plaintext").run().ended(1).complains(&["is no endpoint"]);
    let line = format!("send {endpoint} /nowhere --plaintext");
    Rzlog::of(&line).run().ended(1).complains(&["/nowhere"]);
}
