//! Ids that are older than the session: over two hops through a relay that is killed, and rsyslog's own
//! uuid behind a disk queue whose rsyslogd is killed.

use std::collections::HashSet;

use harness::oracle::number_of;
use harness::ports::free_endpoint;
use harness::{Oracle, Rsyslogd, Site, secs};

/// A host that writes what it receives, acknowledged, with these properties in front of each line.
fn archive(endpoint: &str, properties: &str) -> Site {
    let site = Site::new().without_feed();
    let file = format!(
        "action(type=\"omfile\" file=\"{}\" template=\"kept\" flushOnTXEnd=\"on\" asyncWriting=\"off\")",
        site.path("out.log").display()
    );
    site.with("module(load=\"imrzmq\")")
        .with(&format!("template(name=\"kept\" type=\"string\" string=\"{properties} %msg%\\n\")"))
        .with(&format!("ruleset(name=\"remote\" queue.type=\"Direct\") {{ {file} }}"))
        .with(&input(endpoint))
}

fn input(endpoint: &str) -> String {
    format!(
        "input(type=\"imrzmq\" name=\"in\" ruleset=\"remote\" socktype=\"ROUTER\" endpoints=\"{endpoint}\" \
         metadata=\"on\" trustrelays=\"on\")"
    )
}

fn acked(endpoint: &str, more: &str) -> String {
    format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"DEALER\" delivery=\"acked\" \
         action.resumeRetryCount=\"-1\" {more}"
    )
}

/// The first line of each word that stands in front.
fn first_of_each(lines: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let first = |line: &&String| seen.insert(line.split(' ').next().unwrap_or_default().to_owned());
    lines.iter().filter(first).cloned().collect()
}

fn wait_for_all(archive: &mut Rsyslogd, count: usize) {
    archive.wait("all lines in the archive", secs(60), |archive| {
        let seen: HashSet<_> =
            archive.lines("out.log").iter().filter_map(|line| number_of(line)).collect();
        (seen.len() >= count).then_some(())
    });
}

#[test]
fn a_killed_relay_passes_the_first_senders_ids_on_and_they_drop_the_doubles() {
    const LINES: usize = 12_000;
    let (first_hop, second_hop) = (free_endpoint(), free_endpoint());
    let mut archive =
        archive(&second_hop, "%$!rzmq!id% %$!rzmq!origin_address% %$!rzmq!resend%").start();
    let relaying = Site::new()
        .without_feed()
        .with("module(load=\"imrzmq\") module(load=\"omrzmq\")")
        .with(&format!(
            "ruleset(name=\"remote\" queue.type=\"Direct\") {{ action(type=\"omrzmq\" {}) }}",
            acked(&second_hop, "relay=\"on\"")
        ))
        .with(&input(&first_hop));
    let mut relay = relaying.start();
    let mut sender = Site::sender("", &acked(&first_hop, "")).start();
    for round in 0..3 {
        sender.feed(LINES / 3 * round..LINES / 3 * (round + 1));
        archive.wait_lines("out.log", LINES / 3 * round + LINES / 9, secs(60));
        relay.kill9();
        relay = relaying.start();
    }
    wait_for_all(&mut archive, LINES);
    sender.stop().clean();
    relay.stop().clean();
    archive.stop().clean();
    let lines = archive.lines("out.log");
    Oracle::judge(0..LINES, &lines).nothing_lost();
    Oracle::judge(0..LINES, &first_of_each(&lines)).once();
    assert!(lines.iter().all(|line| line.split(' ').nth(1) == Some("127.0.0.1")), "{}", lines[0]);
}

#[test]
fn a_sender_killed_with_a_disk_queue_sends_again_and_the_uuid_drops_it() {
    const LINES: usize = 6_000;
    let endpoint = free_endpoint();
    let mut archive = archive(&endpoint, "%$!rzmq!uuid%").start();
    let sending = Site::new().with("module(load=\"omrzmq\")").with("set $.u = $uuid;").with(&format!(
        "action(type=\"omrzmq\" {})",
        acked(
            &endpoint,
            "ids=\"uuid\" queue.type=\"Disk\" queue.filename=\"q\" queue.checkpointInterval=\"1\" \
             queue.size=\"1000000\" queue.timeoutEnqueue=\"60000\" queue.timeoutShutdown=\"10000\" \
             queue.dequeueBatchSize=\"16\""
        )
    ));
    let mut sender = sending.start();
    sender.feed(0..LINES);
    sender.wait("the main queue to be empty", secs(60), |sender| {
        let enqueued = sender.stats().value("core.queue", "out queue", "enqueued");
        (enqueued == Some(LINES as i64)).then_some(())
    });
    sender.kill9();
    sender = sending.start();
    wait_for_all(&mut archive, LINES);
    sender.stop().clean();
    archive.stop().clean();
    let lines = archive.lines("out.log");
    let oracle = Oracle::judge(0..LINES, &lines);
    oracle.nothing_lost();
    let doubled: usize = oracle.doubled.iter().map(|(_, times)| times - 1).sum();
    assert!(doubled <= 16, "{doubled} doubled by one kill: more than a batch");
    Oracle::judge(0..LINES, &first_of_each(&lines)).once();
    assert!(lines.iter().all(|line| line.split(' ').next().unwrap().len() == 32), "{}", lines[0]);
}
