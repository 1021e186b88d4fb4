//! `rzlog metrics`: what it counts of real publishers, what a reload keeps, what hostile lines do.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use harness::rzlog::Running;
use harness::{Peer, Proxy, Rzlog, SOON, wait_until};

use crate::publisher::Publisher;

/// It runs, with a file of rules of its own.
pub struct Metrics {
    pub running: Running,
    pub address: String,
    folder: tempfile::TempDir,
}

impl Metrics {
    /// With these rules, and words of the command line.
    pub fn start(rules: &str, words: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("rules.toml");
        fs::write(&path, rules).expect("written");
        let line = format!("metrics --listen 127.0.0.1:0 --rules {} {words}", path.display());
        let mut running = Rzlog::of(&line).start();
        running.wait_err(&["http://127.0.0.1:", "/metrics"], SOON);
        let err = running.err();
        let behind = err.split_once("http://").expect("an address").1;
        let address = behind.split('/').next().expect("an address").to_owned();
        Metrics { running, address, folder }
    }

    /// Of this publisher.
    pub fn of(publisher: &Publisher, rules: &str) -> Self {
        let words = format!("{} {}", publisher.endpoint, publisher.trust("--"));
        Metrics::start(rules, &words)
    }

    pub fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.toml")
    }

    /// The page's lines, without comments.
    #[track_caller]
    pub fn page(&self) -> Vec<String> {
        let answer = ask(&self.address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0"));
        assert!(body.ends_with("\n# EOF\n"), "{body}");
        body.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// Waits until the page has all of these lines.
    #[track_caller]
    pub fn wait(&self, expected: &[&str]) -> Vec<String> {
        let mut page = Vec::new();
        let came = harness::wait::try_until(SOON, || {
            page = self.page();
            let has = |line: &&str| page.iter().any(|it| it == line);
            expected.iter().all(has).then_some(())
        });
        assert!(came.is_some(), "no {expected:#?} in {page:#?}");
        page
    }

    /// The number behind this name and its labels; 0 if it is not there.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        let page = self.page();
        let found = page.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Publishes this until it is counted.
    #[track_caller]
    pub fn until_counted(&self, publisher: &Publisher, host: &str, program: &str, text: &str) {
        let lines = format!("rzlog_lines_total{{endpoint=\"{}\"}}", publisher.endpoint);
        wait_until("a first line that is counted", SOON, || {
            publisher.says(host, program, &[text]);
            (self.number(&lines) > 0.0).then_some(())
        });
    }
}

/// Sends bytes and reads the answer.
pub fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("rzlog listens");
    stream.set_read_timeout(Some(SOON)).expect("time-out");
    stream.write_all(request).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Everything by program, requests by their status, durations in JSON.
const RULES: &str = r#"
[[rule]]
name = "all"
[[rule.counter]]
name = "lines_total"
labels = ["program"]

[[rule]]
name = "requests"
program = "nginx"
host = "web*"
regex = 'status=(?P<status>[0-9]+)(?: bytes=(?P<bytes>[^ ]+))?'
[[rule.counter]]
name = "requests_total"
labels = ["host", "status", "endpoint"]
[[rule.counter]]
name = "bytes_total"
labels = ["host"]
value = "bytes"

[[rule]]
name = "jobs"
program = "job"
json = true
[[rule.histogram]]
name = "job_seconds"
labels = ["result=job.result"]
value = "job.ms"
scale = 0.001
buckets = [0.1, 1]
[[rule.gauge]]
name = "job_queue"
value = "queue"
"#;

#[test]
fn lines_of_several_publishers_are_counted() {
    let one = Publisher::with_topics();
    let two = one.another_with_its_keys();
    let three = one.another_with_its_keys();
    let (first, second, third) = (&one.endpoint, &two.endpoint, &three.endpoint);
    let words = format!("{first} {second} {third} {}", one.trust("--"));
    let metrics = Metrics::start(RULES, &words);
    metrics.until_counted(&one, "web1", "warm-up", "x");
    metrics.until_counted(&two, "web2", "warm-up", "x");
    metrics.until_counted(&three, "web3", "warm-up", "x");
    one.says("web1", "nginx", &["status=200 bytes=10", "status=200 bytes=5", "status=500"]);
    one.says("db1", "nginx", &["status=200 bytes=10"]);
    two.says("web2", "nginx", &["status=404 bytes=none"]);
    // the same host by another way
    three.says("web1", "nginx", &["status=200 bytes=100"]);
    let jobs = [
        "@cee: {\"job\":{\"result\":\"ok\",\"ms\":50},\"queue\":7}",
        "@cee: {\"job\":{\"result\":\"ok\",\"ms\":500},\"queue\":2.5}",
        "@cee: {\"job\":",
    ];
    two.says("web2", "job", &jobs);
    metrics.wait(&[
        "lines_total{program=\"nginx\"} 6",
        "lines_total{program=\"job\"} 3",
        &format!("requests_total{{host=\"web1\",status=\"200\",endpoint=\"{first}\"}} 2"),
        &format!("requests_total{{host=\"web1\",status=\"500\",endpoint=\"{first}\"}} 1"),
        &format!("requests_total{{host=\"web2\",status=\"404\",endpoint=\"{second}\"}} 1"),
        &format!("requests_total{{host=\"web1\",status=\"200\",endpoint=\"{third}\"}} 1"),
        "bytes_total{host=\"web1\"} 115",
        "job_seconds_bucket{le=\"0.1\",result=\"ok\"} 1",
        "job_seconds_bucket{le=\"+Inf\",result=\"ok\"} 2",
        "job_seconds_sum{result=\"ok\"} 0.55",
        "job_queue 2.5",
        "rzlog_lines_unmatched_total 0",
        "rzlog_metric_broken_total{metric=\"bytes_total\"} 1",
        "rzlog_metric_missing_total{metric=\"bytes_total\"} 1",
        "rzlog_rule_lines_broken_total{rule=\"jobs\"} 1",
        &format!("rzlog_stream_connected{{endpoint=\"{first}\"}} 1"),
        &format!("rzlog_stream_connected{{endpoint=\"{second}\"}} 1"),
        &format!("rzlog_stream_connected{{endpoint=\"{third}\"}} 1"),
    ]);
}

#[test]
fn a_lost_connection_is_a_gap_that_is_counted() {
    let publisher = Publisher::with_topics();
    let proxy = Proxy::before(&publisher.endpoint);
    let metrics = Metrics::start(RULES, &format!("{} {}", proxy.endpoint(), publisher.trust("--")));
    let at = format!("{{endpoint=\"{}\"}}", proxy.endpoint());
    metrics.wait(&[
        &format!("rzlog_stream_connected{at} 1"),
        &format!("rzlog_stream_gaps_total{at} 0"),
    ]);
    proxy.cut();
    metrics.wait(&[
        &format!("rzlog_stream_connected{at} 1"),
        &format!("rzlog_stream_gaps_total{at} 1"),
    ]);
    assert!(metrics.running.err().contains("gap: "), "{}", metrics.running.err());
}

#[test]
fn hosts_and_programs_are_chosen_at_the_publisher() {
    let publisher = Publisher::with_topics();
    let proxy = Proxy::before(&publisher.endpoint);
    let words = format!("{} {} web1 nginx", proxy.endpoint(), publisher.trust("--"));
    let metrics = Metrics::start(RULES, &words);
    wait_until("a first line", SOON, || {
        publisher.says("web1", "nginx", &["status=200"]);
        (metrics.number("lines_total{program=\"nginx\"}") > 0.0).then_some(())
    });
    let before = proxy.carried();
    let many: Vec<_> = (0..500).map(|number| format!("not asked for {number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    publisher.says("web2", "nginx", &many);
    publisher.says("web1", "nginx", &["status=418"]);
    let endpoint = proxy.endpoint();
    metrics.wait(&[&format!(
        "requests_total{{host=\"web1\",status=\"418\",endpoint=\"{endpoint}\"}} 1"
    )]);
    assert!(proxy.carried() - before < 20_000, "{} bytes", proxy.carried() - before);
}

/// Topics of many parts before a text without a header: whose a line is cannot be known.
#[test]
fn lines_that_may_be_meant_are_not_left_out_without_a_word() {
    let templates = "template(name=\"bare\" type=\"string\" string=\"%msg%\")\n\
                     template(name=\"topic\" type=\"string\" \
                     string=\"%hostname%.%programname%.%syslogfacility-text%.%syslogseverity-text%.\")";
    let publisher =
        Publisher::start(templates, &format!("template=\"bare\" {}", crate::publisher::FRAMED));
    let words = format!("{} {} web1 nginx", publisher.endpoint, publisher.trust("--"));
    let mut metrics = Metrics::start(RULES, &words);
    metrics.running.wait_for("a word about it", SOON, |running| {
        publisher.says("web1", "nginx", &["status=200"]);
        running.err().contains("lines are left out whose topics have several parts")
    });
    assert_eq!(metrics.number("lines_total{program=\"nginx\"}"), 0.0);
}

#[test]
fn hup_keeps_what_is_the_same_and_a_mistake_keeps_the_old_rules() {
    let publisher = Publisher::with_topics();
    let mut metrics = Metrics::of(&publisher, RULES);
    metrics.until_counted(&publisher, "web1", "warm-up", "x");
    publisher.says("web1", "nginx", &["status=200 bytes=7"]);
    metrics.wait(&["bytes_total{host=\"web1\"} 7", "lines_total{program=\"nginx\"} 1"]);

    fs::write(metrics.rules(), RULES.replace("'status=", "'(status=")).expect("written");
    metrics.running.signal("HUP");
    metrics.running.wait_err(
        &["rules.toml, line 12, rule \"requests\"", "unclosed group", "the old rules stay in use"],
        SOON,
    );
    publisher.says("web1", "nginx", &["status=200 bytes=7"]);
    metrics.wait(&[
        "bytes_total{host=\"web1\"} 14",
        "rzlog_reloads_total{result=\"ok\"} 0",
        "rzlog_reloads_total{result=\"failed\"} 1",
    ]);

    // an editor has emptied the file and not written it yet
    fs::write(metrics.rules(), "").expect("written");
    metrics.running.signal("HUP");
    metrics.running.wait_err(&["rules.toml: there is no rule in it any more"], SOON);
    metrics.wait(&["bytes_total{host=\"web1\"} 14", "rzlog_reloads_total{result=\"failed\"} 2"]);

    // one is counted by other labels now, one is new, one is gone, the rest is as it was
    let (rules, _) = RULES.split_once("[[rule.gauge]]").expect("a gauge");
    let rules = rules.replace("labels = [\"program\"]", "labels = [\"program\", \"host\"]")
        + "[[rule]]\nname = \"new\"\n[[rule.counter]]\nname = \"new_total\"\n";
    fs::write(metrics.rules(), rules).expect("written");
    metrics.running.signal("HUP");
    metrics.running.wait_err(&["4 rules were read anew"], SOON);
    publisher.says("web1", "nginx", &["status=200 bytes=7"]);
    let page = metrics.wait(&[
        "bytes_total{host=\"web1\"} 21",
        "lines_total{program=\"nginx\",host=\"web1\"} 1",
        "new_total 1",
        "rzlog_rule_lines_total{rule=\"requests\"} 3",
        "rzlog_reloads_total{result=\"ok\"} 1",
    ]);
    assert!(!page.iter().any(|line| line.starts_with("job_queue")), "{page:#?}");
}

#[test]
fn series_have_a_most_and_a_time_to_live() {
    let publisher = Publisher::with_topics();
    let rules = r#"
        [[rule]]
        name = "users"
        regex = 'user=(?P<user>[^ ]+)'
        [[rule.counter]]
        name = "users_total"
        labels = ["user"]
        max_series = 3
        ttl = "2s"
        [[rule.counter]]
        name = "every_total"
    "#;
    let metrics = Metrics::of(&publisher, rules);
    metrics.until_counted(&publisher, "web1", "warm-up", "x");
    let many: Vec<_> = (0..100).map(|number| format!("user={number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    publisher.says("web1", "app", &many);
    metrics.wait(&[
        "every_total 100",
        "users_total{user=\"0\"} 1",
        "rzlog_metric_capped_total{metric=\"users_total\"} 97",
        "rzlog_metric_series{metric=\"users_total\"} 3",
    ]);
    metrics.wait(&[
        "every_total 100",
        "rzlog_metric_expired_total{metric=\"users_total\"} 3",
        "rzlog_metric_series{metric=\"users_total\"} 0",
    ]);
    publisher.says("web1", "app", &["user=late"]);
    metrics.wait(&["users_total{user=\"late\"} 1"]);
    // all metrics together
    let words = format!("{} {} --max-series 1", publisher.endpoint, publisher.trust("--"));
    let metrics = Metrics::start(rules, &words);
    metrics.until_counted(&publisher, "web1", "app", "user=1");
    metrics.wait(&["rzlog_metric_series{metric=\"users_total\"} 1"]);
    assert!(metrics.number("rzlog_metric_capped_total{metric=\"every_total\"}") > 0.0);
}

#[test]
fn hostile_lines_stay_within_their_label() {
    let peer = Peer::new(zmq::XPUB);
    let endpoint = peer.bind_free();
    let rules = r#"
        [[rule]]
        name = "all"
        regex = '(?s)^(?P<all>.*)$'
        [[rule.counter]]
        name = "all_total"
        labels = ["all", "host", "program"]
        [[rule]]
        name = "json"
        json = true
        [[rule.counter]]
        name = "json_total"
        labels = ["a"]
    "#;
    let metrics = Metrics::start(rules, &format!("{endpoint} --plaintext"));
    peer.receive(SOON).expect("a subscription");
    let long = vec![b'x'; 1 << 20];
    let deep = format!("@cee:{}", "{\"a\":".repeat(100_000));
    let many: Vec<&[u8]> = vec![b"frame"; 10_000];
    let texts: [&[u8]; 8] = [
        b"\"} 1\nforged_total 7\n# EOF",
        b"\\\"} 1\\nforged_total 7",
        b"\xff\xfe\x00\x1b[2J\xc3",
        b"",
        b"<13>Nov 24 10:00:00 h\"} p\\: x",
        &long,
        deep.as_bytes(),
        "@cee:{\"a\":\"\\\"} 1\\nforged_total 7\"}".as_bytes(),
    ];
    for text in texts {
        assert!(peer.send(&[text], SOON));
    }
    assert!(peer.send(&many, SOON));
    let page = metrics.wait(&[
        &format!("rzlog_lines_total{{endpoint=\"{endpoint}\"}} 9"),
        "rzlog_rule_lines_broken_total{rule=\"json\"} 1",
        "json_total{a=\"\\\"} 1\\nforged_total 7\"} 1",
    ]);
    for line in page {
        assert!(!line.starts_with("forged"), "{line}");
        let known = ["all_total{all=\"", "json_total{a=\"", "rzlog_"];
        assert!(known.iter().any(|start| line.starts_with(start)), "{line:?}");
        assert!(line.len() < 500, "{} bytes", line.len());
    }
    // One that is too long cuts the publisher off, and rzlog comes back.
    assert!(peer.send(&[&vec![b'x'; 2 << 20]], SOON));
    let at = format!("{{endpoint=\"{endpoint}\"}}");
    metrics.wait(&[
        &format!("rzlog_stream_gaps_total{at} 1"),
        &format!("rzlog_stream_connected{at} 1"),
    ]);
}

#[test]
fn ready_rules_count_their_samples() {
    let repository = harness::paths::repository();
    let mut programs = Vec::new();
    for entry in fs::read_dir(repository.join("packaging/rules/metrics")).expect("rules") {
        let rules = entry.expect("rules").path();
        let name = rules.file_stem().expect("a name").to_string_lossy().into_owned();
        let sample = repository.join(format!("tests/data/rules/{name}.log"));
        let words = ["metrics", "--rules"].map(PathBuf::from).into_iter();
        let ran = Rzlog::new(words.chain([rules, "--test".into(), sample])).run().ended(0);
        let numbers = |start: &str| -> Vec<(String, f64)> {
            let lines = ran.out.lines().filter(|line| line.starts_with(start));
            let pairs = lines.filter_map(|line| line.rsplit_once(' '));
            pairs.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
        };
        for rule in numbers("rzlog_rule_lines_total{") {
            assert!(rule.1 > 0.0, "{name}: {rule:?} has no sample: {ran:?}");
        }
        for metric in numbers("rzlog_metric_series{") {
            assert!(metric.1 > 0.0, "{name}: {metric:?} has no sample: {ran:?}");
        }
        let broken = numbers("rzlog_metric_broken_total{");
        assert!(broken.iter().all(|metric| metric.1 == 0.0), "{name}: {broken:?}");
        let unmatched = [("rzlog_lines_unmatched_total".to_owned(), 0.0)];
        assert_eq!(numbers("rzlog_lines_unmatched_total"), unmatched, "{name}: {}", ran.err);
        programs.push(name);
    }
    programs.sort();
    assert_eq!(programs, ["apache", "kernel", "nginx", "postfix", "sshd", "systemd"]);
    // all at once
    let folder = repository.join("packaging/rules/metrics").display().to_string();
    let ran = Rzlog::of(&format!("metrics --rules {folder} --test -"))
        .input(b"<38>Nov 24 10:00:00 web1 sshd[7]: Invalid user x from 192.0.2.8 port 1\n")
        .run()
        .ended(0);
    assert!(ran.out.contains("\nsshd_unknown_users_total{host=\"web1\"} 1\n"), "{ran:?}");
    // more is said of it than that it is a bug
    let rules = repository.join("packaging/rules/metrics/kernel.toml").display().to_string();
    let ran = Rzlog::of(&format!("metrics --rules {rules} --test -"))
        .input(
            b"<0>Nov 24 10:00:02 db1 kernel: watchdog: BUG: soft lockup - CPU#1 stuck for 22s!\n",
        )
        .run()
        .ended(0);
    let counted = "\nkernel_faults_total{host=\"db1\",kind=\"soft lockup\"} 1\n";
    assert!(ran.out.contains(counted), "{ran:?}");
    // what the other server says is none of Postfix's own words
    let bounced = b"<22>Nov 24 10:00:02 mail1 postfix/smtp[21]: 4F1D2C3B: to=<bob@example.com>, \
        relay=mx[192.0.2.10]:25, delay=30, delays=0/0/30/0, dsn=5.0.0, status=bounced (host mx said: \
        550 5.0.0 no, delay=9, status=sent (250 Ok))\n";
    let ran =
        Rzlog::of(&format!("metrics --rules {folder} --test -")).input(bounced).run().ended(0);
    for counted in ["postfix_deliveries_total", "postfix_delivery_delay_seconds_count"] {
        let counted = format!("\n{counted}{{host=\"mail1\",status=\"bounced\"}} 1\n");
        assert!(ran.out.contains(&counted), "{ran:?}");
    }
    assert!(ran.out.contains("status=\"bounced\"} 30") && !ran.out.contains("\"sent\""), "{ran:?}");
}

#[test]
fn test_says_what_would_be_counted_and_what_no_rule_matches() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("rules.toml"), RULES).expect("written");
    fs::write(folder.path().join("log"), "status=200 bytes=3\nstatus=200 bytes=4")
        .expect("written");
    let run = |words: &str| {
        let line = format!("metrics --rules rules.toml {words}");
        Rzlog::of(&line).in_folder(folder.path()).run()
    };
    let ran = run("--test log --host web1 --program nginx").ended(0);
    assert!(ran.out.contains("\nbytes_total{host=\"web1\"} 7\n"), "{ran:?}");
    assert!(ran.out.ends_with("# EOF\n"), "{ran:?}");
    assert!(ran.err.contains("2 lines, 0 of them matched by no rule"), "{ran:?}");
    run("--test nothing").ended(1).complains(&["nothing: No such file"]);

    let only = RULES.replace("name = \"all\"", "name = \"all\"\nregex = '\\x1b?never'");
    fs::write(folder.path().join("rules.toml"), only).expect("written");
    fs::write(folder.path().join("log"), b"\x1b[2Jforeign\n").expect("written");
    let ran = run("--test log").ended(0);
    assert!(ran.err.contains("log, line 1: no rule matches: \\x1b[2Jforeign"), "{ran:?}");
}

#[test]
fn a_tried_file_does_not_forge_the_terminal() {
    let folder = tempfile::tempdir().expect("folder");
    let rules = "[[rule]]\nname = \"r\"\nregex = '(?P<all>x.*)'\n[[rule.counter]]\nname = \"c\"\n\
        labels = [\"all\"]\n";
    fs::write(folder.path().join("rules.toml"), rules).expect("written");
    fs::write(folder.path().join("log"), "x\u{1b}[2J\u{9b}2J\u{202e}\rz").expect("written");
    let line = "metrics --rules rules.toml --test log";
    let ran = Rzlog::of(line).in_folder(folder.path()).start_on_terminal().wait(SOON).ended(0);
    assert!(ran.out.contains(r#"{all="x\x1b[2J\u{9b}2J\u{202e}\rz"} 1"#), "{ran:?}");
    let ran = Rzlog::of(line).in_folder(folder.path()).run().ended(0);
    // Prometheus has it as it is
    assert!(ran.out.contains("{all=\"x\u{1b}[2J"), "{ran:?}");
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("rules.toml"), RULES).expect("written");
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    let run = |words: &str| Rzlog::of(&format!("metrics {words}")).in_folder(folder.path()).run();
    let there = "tcp://127.0.0.1:1 --plaintext";
    run(there).ended(2);
    run(&format!("{there} --rules no.toml")).ended(1).complains(&["no.toml: No such file"]);
    run(&format!("{there} --rules empty")).ended(1).complains(&["empty: no file", ".toml"]);
    run("tcp://127.0.0.1:1 --rules rules.toml").ended(1).complains(&["--plaintext"]);
    run(&format!("{there} --rules rules.toml --listen here"))
        .ended(1)
        .complains(&["--listen here:", "such as 127.0.0.1:9514"]);
    run(&format!("{there} a b c --rules rules.toml")).ended(1).complains(&["\"c\"", "a host"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    run(&format!("{there} --rules rules.toml --listen {address}"))
        .ended(1)
        .complains(&[&format!("--listen {address}: Address already in use")]);
}

#[test]
fn it_ends_as_it_was_told() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let metrics = Metrics::start(RULES, "tcp://127.0.0.1:1 --plaintext");
        metrics.running.signal(signal);
        metrics.running.wait(SOON).ended(status);
    }
}
