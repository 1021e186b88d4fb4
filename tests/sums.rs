//! Counters against the truth: what was fed, refused, dropped, doubled, spooled and sent again is known,
//! and both sides' numbers say it, over cuts and clean stops, in every format of impstats.

use std::collections::BTreeMap;
use std::fs;

use harness::feed::syslog_line;
use harness::paths::rsyslog_release;
use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::stats::Counters;
use harness::sums::{add_up, handed_over};
use harness::{Keys, Oracle, Peer, Proxy, Rsyslogd, SOON, Site, secs, wait_until};

/// A receiver that knows one sender, `feeder`, and takes its own lines alone.
struct Place {
    site: Site,
    endpoint: String,
    server: Keys,
    feeder: Keys,
}

impl Place {
    fn new(kind: &str, more: &str) -> Self {
        let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
        let (server, feeder) = (Keys::new("server"), Keys::new("feeder"));
        let allowed = site.path("allowed");
        feeder.write_public(&allowed);
        let certificate = server.write(&site.path("keys"));
        let input = format!(
            "name=\"in\" endpoints=\"{endpoint}\" socktype=\"{kind}\" authtype=\"CURVESERVER\" \
             servercertpath=\"{}\" clientcertpath=\"{}\" enforcehost=\"on\" {more}",
            certificate.display(),
            allowed.display()
        );
        let site = site.receiving_in_ruleset("queue.type=\"Direct\"", &input);
        Place { site, endpoint, server, feeder }
    }

    fn sender(&self, endpoint: &str, more: &str) -> Site {
        let site = Site::new();
        let keys = site.path("keys");
        let action = format!(
            "name=\"out\" endpoints=\"{endpoint}\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\" {more}",
            self.server.write_public(&keys).display(),
            self.feeder.write(&keys).display()
        );
        site.global("maxMessageSize=\"256k\"")
            .with(
                "main_queue(queue.workerThreads=\"1\" queue.size=\"1000000\" \
                 queue.timeoutShutdown=\"20000\")",
            )
            .sending("", &action)
    }

    /// Somebody whose key nobody knows, until it is counted.
    fn stranger(&self, receiver: &mut Rsyslogd) {
        let stranger = Peer::new(zmq::DEALER).curve_client(&Keys::new("stranger"), &self.server);
        stranger.connect(&self.endpoint);
        receiver.wait_stats("imrzmq", "in", "a stranger", |c| c["keys_refused"] >= 1);
    }
}

/// Lines of another host.
fn foreign(count: usize) -> String {
    let line = syslog_line("somebody else's").replace(" feeder ", " other ");
    (0..count).map(|_| format!("{line}\n")).collect()
}

/// The sender's counters in a report that is newer than this call and adds up.
fn of_sender(sender: &mut Rsyslogd) -> Counters {
    add_up(&mut [sender]);
    sender.stats().get("omrzmq", "out").cloned().expect("counters")
}

/// What a spool held when its action started.
fn spool_at_start(counters: &Counters) -> i64 {
    counters["in_spool"] - counters["spooled"] + counters["resumed"]
}

const ACKED: &str = "socktype=\"DEALER\" delivery=\"acked\"";

/// In the middle of frames: what was settled of them is not counted again, by nobody.
#[test]
fn acknowledged_lines_are_counted_once_over_cuts_stops_and_a_spool() {
    const LINES: usize = 40_000;
    let place = Place::new("ROUTER", "");
    let proxy = Proxy::before(&place.endpoint);
    let sending = place.sender(&proxy.endpoint(), ACKED);
    let mut receiver = place.site.start();
    let arrived = |count: usize| {
        wait_until(&format!("{count} lines"), secs(60), || {
            (place.site.lines("out.log").len() >= count).then_some(())
        });
    };
    let (mut left, mut sent, mut bytes) = (0, 0, 0);
    // The path goes away and the sender is stopped: in the middle of its own lines, in the middle of
    // its spool, twice.
    for (run, reached) in [LINES / 5, 2 * LINES / 5, 3 * LINES / 5, LINES].into_iter().enumerate() {
        proxy.come_back();
        let mut sender = sending.start();
        match run {
            0 => {
                proxy.delay(harness::millis(5));
                let feeder = sender.feeder();
                let feeding = std::thread::spawn(move || feeder.numbers(0..LINES));
                arrived(reached / 2);
                proxy.cut();
                arrived(reached);
                proxy.go_away();
                feeding.join().expect("fed");
            }
            3 => arrived(reached),
            _ => {
                arrived(reached);
                proxy.go_away();
            }
        }
        sender.wait_stats("omrzmq", "out", "quiet", |c| {
            c["connections"] == 0 || c["in_spool"] + c["waiting"] == 0
        });
        let counters = of_sender(&mut sender);
        assert_eq!(spool_at_start(&counters), left, "what the run before left: {counters:?}");
        sent += counters["sent"];
        bytes += counters["bytes"];
        if run > 0 {
            assert_eq!(counters["sent"], counters["resumed"], "{counters:?}");
        }
        left = LINES as i64 - sent;
        sender.stop().clean();
    }
    assert_eq!((sent, left), (LINES as i64, 0));
    add_up(&mut [&mut receiver]);
    let counters = receiver.stats().get("imrzmq", "in").cloned().expect("counters");
    assert_eq!(counters["received"], sent, "{counters:?}");
    assert_eq!(counters["submitted"], sent, "{counters:?}");
    assert_eq!(counters["bytes"], bytes, "{counters:?}");
    Oracle::judge(0..LINES, &place.site.lines("out.log")).once_in_order();
    assert!(sending.spools().is_empty(), "spools are left: {:?}", sending.spools());
    receiver.stop().clean();
}

#[test]
fn acknowledged_lines_that_are_refused_or_dropped_are_counted_by_both_sides() {
    let limits = "maxmsgsize=\"65536\" ratelimit.interval=\"300\" ratelimit.burst=\"500\"";
    let place = Place::new("ROUTER", limits);
    let mut receiver = place.site.start();
    let mut sender = place.sender(&place.endpoint, ACKED).start();
    place.stranger(&mut receiver);
    sender.feed(0..600);
    sender.feeder().bytes(foreign(70).as_bytes());
    let total = |counters: &Counters| counters["sent"] == 670;
    let before = sender.wait_stats("omrzmq", "out", "670 sent", total);
    sender.feeder().texts((0..3).map(|_| "x".repeat(100_000)));
    sender.wait_stats("omrzmq", "out", "all refused", |c| c["refused"] == 73);
    add_up(&mut [&mut sender, &mut receiver]);
    let out = sender.stats().get("omrzmq", "out").cloned().expect("counters");
    let counters = receiver.stats().get("imrzmq", "in").cloned().expect("counters");
    let of = |names: &[&str]| names.iter().map(|name| counters[*name]).collect::<Vec<_>>();
    assert_eq!(handed_over(&out), 673, "{out:?}");
    // The three long ones were not even sent.
    assert_eq!(of(&["received", "bytes"]), [670, before["bytes"]], "{counters:?}");
    let parts = of(&["submitted", "discarded_host", "discarded_ratelimit", "refused"]);
    assert_eq!(parts, [500, 70, 100, 0], "{counters:?}");
    assert_eq!(receiver.lines("out.log").len(), 500);
    sender.stop().clean();
    receiver.stop().clean();
}

#[test]
fn best_effort_lines_are_counted_once_over_a_spool() {
    let place = Place::new("PULL", "ratelimit.interval=\"300\" ratelimit.burst=\"500\"");
    let sending = place.sender(&place.endpoint, "socktype=\"PUSH\"");
    let mut sender = sending.start();
    sender.feed(0..400);
    sender.wait_stats("omrzmq", "out", "a wait", |c| c["waiting"] == 1);
    let before = of_sender(&mut sender);
    assert_eq!((before["sent"], before["connections"]), (0, 0), "{before:?}");
    sender.stop().clean();
    let mut receiver = place.site.start();
    let mut sender = sending.start();
    place.stranger(&mut receiver);
    sender.feed(400..600);
    sender.feeder().bytes(foreign(70).as_bytes());
    let friend = Peer::new(zmq::PUSH).curve_client(&place.feeder, &place.server);
    friend.connect(&place.endpoint);
    friend.send_texts(["", "", ""]);
    let counters = receiver.wait_stats("imrzmq", "in", "all", |c| c["received"] == 673);
    add_up(&mut [&mut sender, &mut receiver]);
    let out = sender.stats().get("omrzmq", "out").cloned().expect("counters");
    assert_eq!((spool_at_start(&out), out["resumed"], out["in_spool"]), (400, 400, 0), "{out:?}");
    assert_eq!((out["sent"], handed_over(&out)), (670, 270), "{out:?}");
    let of = |names: &[&str]| names.iter().map(|name| counters[*name]).collect::<Vec<_>>();
    let parts = of(&["submitted", "discarded_host", "discarded_ratelimit", "discarded_empty"]);
    assert_eq!(parts, [500, 70, 100, 3], "{counters:?}");
    assert_eq!(counters["bytes"], out["bytes"], "{counters:?}");
    assert_eq!(receiver.lines("out.log").len(), 500);
    sender.stop().clean();
    receiver.stop().clean();
}

/// One run of the same traffic; the answer is what impstats wrote at its end.
fn report(format: &str) -> String {
    let endpoint = free_endpoint();
    let input = format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let site = Site::receiver("", &input).without_feed().statistics(format);
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    peer.send_texts(["<13>Nov 24 10:00:00 h a: one", "", "<13>Nov 24 10:00:00 h a: two"]);
    daemon.wait_lines("out.log", 2, SOON);
    // The last number of the object, in a report that knows the lines.
    let file = site.path("stats.json");
    let text = daemon.wait("a whole report", SOON, |_| {
        let text = fs::read_to_string(&file).ok()?;
        let knows =
            text.matches("submitted").count() > 1 && counters_of(format, &text)["received"] == 3;
        let whole = counters_of(format, &text).contains_key("keys_refused");
        (knows && whole).then_some(text)
    });
    daemon.stop().clean();
    text
}

/// The latest counters of the input `in`, read in each format as its readers do.
fn counters_of(format: &str, text: &str) -> BTreeMap<String, i64> {
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in complete.lines() {
        match format {
            "prometheus" => {
                let sample = line.strip_prefix("in_").and_then(|rest| rest.split_once("_total "));
                let sample = sample.and_then(|(name, value)| Some((name, value.parse().ok()?)));
                found.extend(sample.map(|(name, value)| (name.to_owned(), value)));
            }
            "legacy" => {
                let Some((_, words)) = line.split_once("in: origin=imrzmq ") else { continue };
                let words = words.split_whitespace().filter_map(|word| word.split_once('='));
                found.extend(
                    words.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))),
                );
            }
            _ => {
                assert_eq!(line.contains("@cee:"), format == "cee", "{line}");
                let json = line.find('{').map_or("", |start| &line[start..]);
                let Ok(object) = serde_json::from_str::<serde_json::Value>(json) else { continue };
                if object["origin"] != "imrzmq" {
                    continue;
                }
                let members = object.as_object().into_iter().flatten();
                found.extend(
                    members.filter_map(|(name, value)| Some((name.clone(), value.as_i64()?))),
                );
            }
        }
    }
    found.entry("received".to_owned()).or_default();
    found
}

#[test]
fn every_format_of_impstats_shows_the_same_names_and_values() {
    let json = counters_of("json", &report("json"));
    assert_eq!((json["received"], json["submitted"], json["discarded_empty"]), (3, 2, 1));
    assert!(json.len() > 20, "{json:?}");
    for format in ["cee", "legacy"] {
        assert_eq!(counters_of(format, &report(format)), json, "{format}");
    }
    if rsyslog_release() < 2608 {
        return skipped("impstats in Prometheus' format", "this rsyslog does not write it");
    }
    let text = report("prometheus");
    assert_eq!(counters_of("prometheus", &text), json, "prometheus");
}
