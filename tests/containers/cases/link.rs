//! Packages, and encryption in both directions.

use std::time::Duration;

use harness::{secs, wait_until};

use crate::config;
use crate::host::start;
use crate::lab::{Lab, PORT, endpoint};
use crate::place::{Place, counted, end, receiver, sender};
use crate::verdict::{all_arrive, judge};

/// What the package system says of the package, and which files a running rsyslogd has loaded.
pub fn installed(place: &Place) -> String {
    let lab = Lab::new();
    let mut host = sender(&lab, "sender-one", &place.suite, &endpoint("receiver-one"), "");
    let archive = receiver(&lab, "receiver-one", &place.suite, &[&host]);
    start(&[&archive, &host]);
    host.feed(1);
    all_arrive(&[&archive], &[&host]);
    for (daemon, module) in [(&host, "omrzmq"), (&archive, "imrzmq")] {
        let status = daemon.run(&["dpkg-query", "-W", "-f", "${Status}", "rsyslog-rzmq"]);
        assert_eq!(status, "install ok installed");
        assert_eq!(
            daemon.run(&["dpkg", "--verify", "rsyslog-rzmq"]),
            "",
            "files are not the package's"
        );
        let files = daemon.run(&["dpkg", "-L", "rsyslog-rzmq"]);
        let file = files.lines().find(|file| file.ends_with(&format!("/{module}.so")));
        let file = file.expect("the package has the module");
        let loaded = daemon.run(&["cat", "/proc/1/maps"]);
        assert!(loaded.lines().any(|line| line.ends_with(file)), "{file} is not loaded: {loaded}");
    }
    let rsyslog = host.run(&["dpkg-query", "-W", "-f", "${Version}", "rsyslog"]);
    let ours = host.run(&["dpkg-query", "-W", "-f", "${Version}", "rsyslog-rzmq"]);
    end(&[&host], &[&archive]);
    judge(&[&archive], &[&host]).exact();
    format!("rsyslog-rzmq {ours} on rsyslog {rsyslog}")
}

/// The sender is the client: all releases to a receiver of this one, acknowledged.
pub fn curve(place: &Place) -> String {
    let lab = Lab::new();
    let mut senders = place.senders(&lab, &endpoint("receiver-one"));
    let archive = receiver(&lab, "receiver-one", &place.suite, &senders.iter().collect::<Vec<_>>());
    start(&[&archive]);
    start(&senders.iter().collect::<Vec<_>>());
    for sender in &mut senders {
        sender.feed(5_000);
    }
    let senders: Vec<_> = senders.iter().collect();
    all_arrive(&[&archive], &senders);
    counted(&senders, &archive);
    end(&senders, &[&archive]);
    judge(&[&archive], &senders).exact().to_string()
}

/// The sender is the server: a publisher of this release, a subscriber of another.
pub fn publisher(place: &Place) -> String {
    let lab = Lab::new();
    let mut publisher = lab.host("sender-one", &place.suite);
    let subscriber = lab.host("subscriber", place.other());
    lab.introduce(&publisher, &[&subscriber]);
    publisher.configure(&[
        &config::server("omrzmq", "sender-one"),
        "template(name=\"topic\" type=\"string\" string=\"%hostname%.%programname%.\")",
        &format!(
            "action(type=\"omrzmq\" name=\"out\" socktype=\"PUB\" endpoints=\"tcp://*:{PORT}\" \
             topics=\"topic\" dynatopic=\"on\" topicframe=\"on\" pub.nodrop=\"on\")"
        ),
    ]);
    let topics = "topics=\"sender-one.app.,nobody.app.\"";
    subscriber.configure(&[
        &config::client("imrzmq", "subscriber", "sender-one"),
        &config::archive("$!nothing"),
        &format!(
            "input(type=\"imrzmq\" name=\"in\" socktype=\"SUB\" {topics} ruleset=\"remote\" \
             endpoints=\"{}\")",
            endpoint("sender-one")
        ),
    ]);
    let reader = lab.host("reader", place.other());
    lab.introduce(&publisher, &[&reader]);
    reader.configure(&["action(type=\"omfile\" file=\"/dev/null\")"]);
    start(&[&publisher, &subscriber, &reader]);
    reader.run_on(&format!(
        "rzlog tail {} --servercertpath /host/keys/sender-one --clientcertpath /host/keys/reader \
         --template '{{topic}} {{host}} {{message}}' sender-one,nobody >/host/out.log",
        endpoint("sender-one")
    ));
    // A publisher sends only to whom it knows.
    let readers = [&subscriber, &reader];
    wait_until("a first line", secs(30), || {
        publisher.feed_nobody();
        std::thread::sleep(Duration::from_millis(100));
        readers.iter().all(|reader| !reader.lines().is_empty()).then_some(())
    });
    publisher.feed(5_000);
    readers.iter().for_each(|reader| all_arrive(&[reader], &[&publisher]));
    end(&[&publisher], &readers);
    let verdicts = readers.map(|reader| judge(&[reader], &[&publisher]).exact());
    let [subscribed, shown] = verdicts;
    subscribed.and(shown).to_string()
}

/// The command line of this release, with a receiver of another: it looks, and sends a file.
pub fn commands(place: &Place) -> String {
    let lab = Lab::new();
    let mut host = lab.host("reader", &place.suite);
    host.configure(&["action(type=\"omfile\" file=\"/dev/null\")"]);
    let archive = receiver(&lab, "receiver-one", place.other(), &[&host]);
    start(&[&archive, &host]);
    let lines = host.lines_in_a_file(5_000);
    let keys = ["--servercertpath", "/host/keys/archive", "--clientcertpath", "/host/keys/reader"];
    let endpoint = endpoint("receiver-one");
    let said = host.run(&[&["rzlog", "check", &endpoint], &keys[..]].concat());
    host.run(&[&["rzlog", "send", &endpoint, lines], &keys[..]].concat());
    end(&[&host], &[&archive]);
    let verdict = judge(&[&archive], &[&host]).exact();
    let last = said.lines().last().unwrap_or_default();
    format!("{verdict}; {last}")
}
