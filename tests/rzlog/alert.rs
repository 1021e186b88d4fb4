//! `rzlog alert`: lines of a real rsyslogd become notices of a chat, an Alertmanager or a command; once, also
//! when the channel is away or rzlog is killed; and no line can page anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::paths::repository;
use harness::rzlog::Running;
use harness::skip::skipped;
use harness::{Peer, Rzlog, SOON, secs};

use crate::publisher::Publisher;
use crate::webhook::Webhook;

/// Nothing waits, so that a test need not.
const ROUTE: &str = "[route]\nreceiver = \"ops\"\ngroup_wait = \"0s\"\ngroup_interval = \"1s\"\n";
/// A word is one alert for each host.
const RULE: &str = "[[rules]]\nalert = \"Trouble\"\nsummary = \"trouble on {host}\"\nmatch = 'TROUBLE'\n\
    threshold = { count = 2, window = \"2s\" }\nkeep_firing_for = \"1s\"\nlines = 5\n";
const KEY: &str = "s3cr3tk3y";

/// Whether it says that an alert of this host fires.
fn fires(text: &str, host: &str) -> bool {
    text.lines().any(|line| line.starts_with("**FIRING**") && line.contains(host))
}

/// A publisher, a channel, and a folder with a configuration.
struct Stage {
    publisher: Publisher,
    webhook: Webhook,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(receiver: &str) -> Stage {
        Stage::with(receiver, RULE)
    }

    fn with(receiver: &str, rules: &str) -> Stage {
        let (publisher, webhook) = (Publisher::with_topics(), Webhook::start());
        let folder = tempfile::tempdir().expect("folder");
        let receiver = receiver.replace("URL", &webhook.url);
        let text = format!("{ROUTE}[[receivers]]\nname = \"ops\"\n{receiver}\n{rules}");
        fs::write(folder.path().join("alert.toml"), text).expect("written");
        let stage = Stage { publisher, webhook, folder };
        stage.secret("url", &format!("{}/hooks/{KEY}\n", stage.webhook.url));
        stage.secret("token", "t0k3n\n");
        stage
    }

    fn mattermost() -> Stage {
        Stage::new("mattermost = { url_file = \"url\" }")
    }

    fn secret(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rzlog(&self, more: &str) -> Rzlog {
        let (endpoint, trust) = (&self.publisher.endpoint, self.publisher.trust("--"));
        let line = format!("alert {endpoint} {trust} --rules alert.toml --state state.json {more}");
        Rzlog::of(&line).in_folder(self.folder.path()).environment("HOOK", self.hook())
    }

    fn hook(&self) -> String {
        format!("{}/hooks/{KEY}", self.webhook.url)
    }

    /// Starts it, and waits until lines arrive: the publisher has nothing for who is not there.
    fn start(&self) -> Running {
        let mut running = self.rzlog("").start();
        running.wait_err(&["connected to"], SOON);
        running
    }

    /// Says something twice until the channel hears of it.
    fn trouble(&self, host: &str, text: &str) {
        let text = format!("TROUBLE {text}");
        self.publisher.says_now(host, "app", &[&text, &text]);
    }

    /// The subscription reaches the publisher after the connection: trouble of this host is repeated
    /// until it is told.
    #[track_caller]
    fn until_told(&self, running: &mut Running, host: &str) {
        running.wait_for("a first notice", secs(20), |_| {
            self.trouble(host, "at first");
            let told = |it: &serde_json::Value| it["body"]["text"].to_string().contains(host);
            self.webhook.has(told)
        });
    }
}

#[test]
fn a_burst_is_told_and_its_end_and_no_line_pages_anybody() {
    let hostile = [
        "@channel @all [your bank](https://evil.example.org)".to_owned(),
        "<!everyone> <!channel> <!here> <https://evil.example.org|your bank>".to_owned(),
        "``` @channel `` ` ```` https://evil.example.org".to_owned(),
        "\u{202e}\u{200b}@\u{200b}here ~~~ # | x | \u{1b}[2J".to_owned(),
        "x".repeat(5000) + "@channel",
    ];
    for receiver in [
        "mattermost = { url_file = \"url\", username = \"rzlog\", channel = \"ops\" }",
        "slack = { url_env = \"SLACK\" }",
    ] {
        let stage = Stage::new(receiver);
        let slack = format!("{}/services/T0/B0/{KEY}", stage.webhook.url);
        let mut alert = stage.rzlog("").environment("SLACK", slack).start();
        alert.wait_err(&["connected to"], SOON);
        stage.until_told(&mut alert, "web0");
        stage.webhook.wait_text(&["RESOLVED", "Trouble host=`web0`"], secs(20));
        let texts: Vec<_> = hostile.iter().map(|text| format!("TROUBLE {text}")).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        stage.publisher.says_now("web1", "app", &texts);
        // webhook.py holds each to the documented form
        let told = stage.webhook.wait_text(&["RESOLVED", "host=`web1`"], secs(20));
        let texts = told.iter().filter_map(|it| it["body"]["text"].as_str());
        let firing: String = texts.filter(|it| it.contains("FIRING")).collect();
        for words in ["\u{ff20}channel", "your bank", "evil.example.org", "xxxx…", "\\u{202e}"] {
            assert!(firing.contains(words), "{words} in {firing}");
        }
        alert.signal("TERM");
        alert.wait(SOON).ended(143);
    }
}

#[test]
fn a_channel_that_is_away_is_told_later_and_its_secret_is_in_no_sentence() {
    let mut stage = Stage::mattermost();
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED"], secs(20));
    for order in ["500", "429 2", "hang", "404", "302"] {
        stage.webhook.answers(order);
        let host = format!("away{}", &order[..1]);
        stage.trouble(&host, "while the channel is away");
        let status = order.split(' ').next().unwrap_or_default();
        stage.webhook.wait(order, SOON, |request| request["status"] == status);
        let words = if order == "hang" { "ops: " } else { status };
        alert.wait_err(&["ops: ", words, "notices wait, again in"], SOON);
        stage.webhook.answers("200");
        stage.webhook.wait_text(&["FIRING", &host], secs(20));
        stage.webhook.wait_text(&["RESOLVED", &host], secs(20));
    }
    // what the channel will never take is tried without lines
    stage.webhook.answers("400");
    stage.trouble("refused", "these words");
    let refused = stage.webhook.wait("a refusal", SOON, |request| request["status"] == "400");
    assert!(refused.last().is_some_and(|it| it.to_string().contains("these words")), "{refused:?}");
    alert.wait_err(&["answered 400", "tried without log lines"], SOON);
    let again = stage.webhook.wait("the second", SOON, |request| request["status"] == "400");
    assert!(again.iter().all(|it| !it.to_string().contains("these words")), "{again:?}");
    let err = alert.err();
    assert!(!err.contains(KEY) && err.contains("(secret)"), "{err}");
    assert!(!fs::read_to_string(stage.path("state.json")).expect("state").contains(KEY));
}

#[test]
fn a_kill_neither_loses_nor_doubles() {
    let mut stage = Stage::mattermost();
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED", "web0"], secs(20));
    // killed while the channel is away: it is told after the restart
    stage.webhook.answers("500");
    stage.trouble("web1", "before the kill");
    stage.webhook.wait("an attempt", SOON, |request| request["status"] == "500");
    let mode = fs::metadata(stage.path("state.json")).expect("state").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    alert.signal("KILL");
    alert.wait(SOON).ended(137);
    stage.webhook.answers("200");
    let mut alert = stage.start();
    let told = stage.webhook.wait_text(&["RESOLVED", "web1"], secs(20));
    let firing = |all: &[serde_json::Value], host: &str| {
        let texts = all.iter().filter(|it| it["status"] == "200");
        let texts = texts.filter_map(|it| it["body"]["text"].as_str());
        texts.filter(|it| it.contains("FIRING") && it.contains(host)).count()
    };
    assert_eq!(firing(&told, "web1"), 1, "{told:?}");
    // killed after it was told: it is not told again, and its end is
    stage.until_told(&mut alert, "web2");
    let before = stage.webhook.wait_text(&["FIRING", "web2"], SOON);
    alert.wait_for("it is noted", SOON, |_| {
        let state = fs::read_to_string(stage.path("state.json")).unwrap_or_default();
        state.contains("\"ops\":{\"entries\":[]")
    });
    alert.signal("KILL");
    alert.wait(SOON).ended(137);
    let alert = stage.start();
    let after = stage.webhook.wait_text(&["RESOLVED", "web2"], secs(20));
    assert_eq!((firing(&before, "web2"), firing(&after, "web2")), (1, 0), "{before:?} {after:?}");
    // one process a state
    stage.rzlog("").run().ended(1).complains(&["state.json", "another rzlog alert uses it"]);
    alert.signal("INT");
    alert.wait(SOON).ended(130);
}

#[test]
fn kills_while_it_is_being_told_lose_nothing_and_double_one_at_most() {
    let stage = Stage::mattermost();
    // a notice for each host: what is told twice is told for no other reason
    let path = stage.path("alert.toml");
    let text = fs::read_to_string(&path).expect("read");
    let by_host = format!("{ROUTE}group_by = [\"host\"]\n");
    fs::write(&path, text.replace(ROUTE, &by_host)).expect("written");
    let rounds = 5;
    for round in 0..rounds {
        let host = format!("kill{round}");
        let mut alert = stage.start();
        alert.wait_for("an alert in the state", secs(20), |_| {
            stage.trouble(&host, "before the kill");
            let state = fs::read_to_string(stage.path("state.json")).unwrap_or_default();
            // among what fires, and not only counted
            state.split("\"told\":").nth(1).is_some_and(|told| told.contains(&host))
        });
        alert.signal("KILL");
        alert.wait(SOON).ended(137);
    }
    let mut alert = stage.start();
    stage.until_told(&mut alert, "last");
    let told = stage.webhook.wait_text(&["RESOLVED", "last"], secs(20));
    for round in 0..rounds {
        let host = format!("kill{round}");
        let texts = told.iter().filter_map(|it| it["body"]["text"].as_str());
        let firing: Vec<_> = texts.filter(|text| fires(text, &host)).collect();
        assert!((1..=2).contains(&firing.len()), "{host}: {told:#?}");
        // what may be a repetition says so
        let marked = |text: &&str| text.starts_with("This may have been told before");
        assert!(firing.iter().skip(1).all(marked), "{firing:#?}");
    }
}

#[test]
fn a_line_that_a_channel_does_not_like_silences_nobody() {
    let mut stage = Stage::mattermost();
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED"], secs(20));
    // a proxy that refuses a text for a word in a line
    stage.webhook.answers("403 dropped");
    stage.trouble("web1", "all tables are dropped");
    let told = stage.webhook.wait_text(&["FIRING", "`web1`"], secs(30));
    let tries = told.iter().filter(|it| it["status"] == "403").count();
    assert_eq!(tries, 3, "{told:#?}");
    stage.webhook.wait_text(&["RESOLVED", "web1"], secs(20));
    // and for a name: nothing foreign is in what is told then
    stage.webhook.answers("403 web2");
    stage.trouble("web2", "of a host with a strange name");
    let last = stage.webhook.wait_text(&["FIRING"], secs(30)).pop().expect("a request");
    let text = last["body"]["text"].as_str().expect("a text");
    let expected = "With labels and lines this channel did not take it.\n**FIRING** Trouble";
    assert_eq!(text, expected);
    stage.webhook.answers("200");
    stage.trouble("web3", "of another");
    stage.webhook.wait_text(&["FIRING", "web3"], secs(30));
}

#[test]
fn a_channel_is_not_asked_before_it_wants_to_be() {
    let mut stage = Stage::mattermost();
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED"], secs(20));
    // longer than the own first wait, of a second and a quarter at most
    stage.webhook.answers("429 4");
    stage.trouble("web1", "too often");
    let at = |all: &[serde_json::Value]| all.last().and_then(|it| it["at"].as_f64());
    let asked = at(&stage.webhook.wait("a refusal", SOON, |request| request["status"] == "429"));
    stage.webhook.answers("200");
    let told = at(&stage.webhook.wait_text(&["FIRING", "web1"], secs(30)));
    let waited = told.zip(asked).map(|(told, asked)| told - asked).expect("two times");
    assert!((4.0..20.0).contains(&waited), "{waited} s");
}

#[test]
fn where_the_state_cannot_be_written_alerts_go_on() {
    let stage = Stage::mattermost();
    let (endpoint, trust) = (&stage.publisher.endpoint, stage.publisher.trust("--"));
    // no folder, in which there is no room either
    let line = format!("alert {endpoint} {trust} --rules alert.toml --state alert.toml/state.json");
    let mut alert = Rzlog::of(&line).in_folder(stage.folder.path()).start();
    alert.wait_err(&["alert.toml", "alerts go on, and are forgotten by a restart"], SOON);
    alert.wait_err(&["connected to"], SOON);
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED", "web0"], secs(20));
    assert_eq!(alert.err().matches("alerts go on").count(), 1, "{}", alert.err());
    alert.signal("TERM");
    alert.wait(SOON).ended(143).complains(&["is forgotten"]);
}

#[test]
fn lines_of_long_ago_are_no_trouble_of_now() {
    let stage = Stage::mattermost();
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.webhook.wait_text(&["RESOLVED", "web0"], secs(20));
    // Publisher::says has a time of its own
    stage.publisher.says("old1", "app", &["TROUBLE of then"; 50]);
    alert.wait_err(&["50 lines too old to count (max_age)", "of host old1"], SOON);
    stage.until_told(&mut alert, "web1");
    let all = stage.webhook.wait_text(&["RESOLVED", "web1"], secs(20));
    assert!(!all.iter().any(|it| it.to_string().contains("old1")), "{all:#?}");
}

#[test]
fn three_publishers_are_watched_by_one() {
    let lost = "[[rules]]\nalert = \"Gone\"\nlost = {}\nfor = \"1s\"\n";
    let stage = Stage::with("mattermost = { url_file = \"url\" }", &format!("{RULE}{lost}"));
    let mut others = [0, 1].map(|_| stage.publisher.another_with_its_keys());
    let endpoints = [&stage.publisher, &others[0], &others[1]].map(|it| it.endpoint.clone());
    let trust = stage.publisher.trust("--");
    let line =
        format!("alert {} {trust} --rules alert.toml --state state.json", endpoints.join(","));
    let mut alert = Rzlog::of(&line).in_folder(stage.folder.path()).start();
    endpoints.iter().for_each(|endpoint| alert.wait_err(&["connected to", endpoint], SOON));
    let trouble = |of: &Publisher, host| of.says_now(host, "app", &["TROUBLE", "TROUBLE"]);
    alert.wait_for("each of them is heard", secs(30), |_| {
        trouble(&stage.publisher, "host0");
        trouble(&others[0], "host1");
        trouble(&others[1], "host2");
        ["host0", "host1", "host2"].iter().all(|host| {
            stage.webhook.has(|it| fires(it["body"]["text"].as_str().unwrap_or_default(), host))
        })
    });
    others[1].daemon.stop();
    let gone = stage.webhook.wait_text(&["FIRING", "Gone"], secs(20)).pop().expect("a request");
    let text = gone["body"]["text"].to_string();
    assert!(text.contains(&endpoints[2]) && !text.contains(&endpoints[1]), "{text}");
    trouble(&others[0], "host3");
    stage.webhook.wait_text(&["FIRING", "host3"], secs(20));
}

#[test]
fn hup_keeps_what_is_known_and_a_mistake_keeps_the_old_files() {
    let slow = "[[rules]]\nalert = \"Slow\"\nmatch = 'SLOW'\n\
        threshold = { count = 3, window = \"10m\" }\n";
    let stage = Stage::with("mattermost = { url_file = \"url\" }", &format!("{RULE}{slow}"));
    let path = stage.path("alert.toml");
    let text = fs::read_to_string(&path).expect("read");
    let mut alert = stage.start();
    stage.until_told(&mut alert, "web0");
    stage.publisher.says_now("web1", "app", &["SLOW", "SLOW"]);
    stage.trouble("web1", "behind them");
    stage.webhook.wait_text(&["FIRING", "Trouble", "web1"], secs(20));

    fs::write(&path, text.replace("threshold", "treshold")).expect("written");
    alert.signal("HUP");
    alert.wait_err(&["alert.toml, line", "treshold", "the old rules stay in use"], SOON);
    stage.trouble("web2", "with the old rules");
    stage.webhook.wait_text(&["FIRING", "Trouble", "web2"], secs(20));

    // one is new, and told to somebody new; the lines that were counted before still count
    let more = "[[rules]]\nalert = \"Novel\"\nmatch = 'NOVEL'\n\
        [[receivers]]\nname = \"more\"\nmattermost = { url_file = \"url\", username = \"more\" }\n";
    let route = ROUTE.to_owned()
        + "[[route.routes]]\nreceiver = \"more\"\nmatch = { alertname = \"Novel\" }\n";
    fs::write(&path, text.replace(ROUTE, &route) + more).expect("written");
    alert.signal("HUP");
    alert.wait_err(&["3 rules were read anew"], SOON);
    stage.publisher.says_now("web1", "app", &["SLOW"]);
    stage.webhook.wait_text(&["FIRING", "Slow", "web1"], secs(20));
    stage.publisher.says_now("web1", "app", &["NOVEL"]);
    stage.webhook.wait("the new one", secs(20), |request| {
        let text = request["body"]["text"].to_string();
        request["body"]["username"] == "more" && text.contains("Novel")
    });

    // a rule that is gone: its alert ends
    fs::write(&path, text.replace(slow, "")).expect("written");
    alert.signal("HUP");
    alert.wait_err(&["1 rules were read anew"], SOON);
    stage.webhook.wait_text(&["RESOLVED", "Slow", "web1"], secs(20));
    alert.signal("TERM");
    alert.wait(SOON).ended(143);
}

#[test]
fn an_alertmanager_and_a_command_get_what_they_document() {
    let stage = Stage::new("alertmanager = { url = \"URL\", token_file = \"token\" }");
    let mut alert = stage.start();
    let of = |host: &'static str, what: &'static str| {
        move |request: &serde_json::Value| {
            let all = request["body"].as_array().cloned().unwrap_or_default();
            all.iter().any(|it| it["labels"]["host"] == host && it.to_string().contains(what))
        }
    };
    alert.wait_for("an alert", secs(20), |_| {
        stage.trouble("web1", "@channel");
        stage.webhook.has(of("web1", "trouble on web1"))
    });
    let told = stage.webhook.wait("it fires", SOON, of("web1", "trouble on web1"));
    let last = told.last().expect("a request");
    assert_eq!(last["authorization"], "Bearer t0k3n");
    let alert_told = &last["body"][0];
    assert_eq!(alert_told["labels"]["alertname"], "Trouble");
    assert!(alert_told["annotations"]["lines"].to_string().contains("TROUBLE @channel"));
    stage.webhook.wait("its end", secs(20), of("web1", "over after"));
    drop(alert);

    let script = "import sys, json; n = json.load(sys.stdin); open('told', 'a').write(\
        ' '.join([n['version'], n['status'], n['receiver'], n['groupLabels']['alertname'], \
        n['alerts'][0]['labels']['host'], n['alerts'][0]['lines'][-1][-2:]]) + chr(10))";
    let command = format!("command = {{ arguments = [\"python3\", \"-c\", \"{script}\"] }}");
    let stage = Stage::new(&command);
    let mut alert = stage.start();
    alert.wait_for("both notices", secs(20), |_| {
        let told = fs::read_to_string(stage.path("told")).unwrap_or_default();
        if told.is_empty() {
            stage.trouble("web1", "$(touch here); `id`");
        }
        let expected = "4 firing ops Trouble web1 d`\n4 resolved ops Trouble web1 d`\n";
        told.starts_with(expected)
    });
    assert!(!stage.path("here").exists());
}

#[test]
fn hostile_streams_are_lived_through_and_trouble_is_still_told() {
    let stage = Stage::with(
        "mattermost = { url_file = \"url\" }",
        &format!(
            "{RULE}[[rules]]\nalert = \"New\"\nseverity = \"err\"\nby = [\"host\", \"program\"]\n\
            new_pattern = {{ learn = \"0s\" }}\nlimit = 10\n"
        ),
    );
    let peer = Peer::new(zmq::XPUB);
    let endpoint = peer.bind_free();
    let line = format!("alert {endpoint} --plaintext --rules alert.toml --state state.json");
    let mut alert = Rzlog::of(&line).in_folder(stage.folder.path()).start();
    peer.receive(SOON).expect("a subscription");
    let deep = format!("@cee:{}", "[{\"a\":".repeat(100_000));
    let mut long = b"<11>Nov 24 10:00:00 web1 app: ".to_vec();
    long.resize(1 << 20, b'\xff');
    let many: Vec<&[u8]> = vec![b"frame"; 10_000];
    assert!(peer.send(&[deep.as_bytes()], SOON) && peer.send(&[&long], SOON));
    assert!(peer.send(&many, SOON) && peer.send(&[b""], SOON));
    for number in 0..20_000 {
        // hosts, programs and kinds of lines without end
        let text = format!("<11>Nov 24 10:00:00 h{number} p{number}: \x1b[2J `@here` {number:b}x");
        assert!(peer.send(&[text.as_bytes()], SOON));
    }
    alert.wait_err(&["New: over 10 groups"], secs(20));
    assert!(!alert.err().contains('\u{1b}'), "{}", alert.err());
    // one that is too long cuts the publisher off, and rzlog comes back
    assert!(peer.send(&[&vec![b'x'; 2 << 20]], SOON));
    alert.wait_err(&["gap: ", "is lost"], SOON);
    alert.wait_for("trouble", secs(20), |_| {
        peer.send(&[b"<13>Nov 24 10:00:00 web1 app: TROUBLE again"], SOON);
        stage.webhook.has(|it| it["body"]["text"].to_string().contains("TROUBLE again"))
    });
    stage.webhook.wait_text(&["TROUBLE again"], SOON);
    let status = fs::read_to_string(format!("/proc/{}/status", alert.pid())).expect("its status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 100_000, "{kib} KiB");
}

#[test]
fn receivers_can_be_tried_and_files_are_checked() {
    let mut stage = Stage::new("mattermost = { url_env = \"HOOK\" }");
    let tried = |stage: &Stage| stage.rzlog("--try-receivers").run();
    assert_eq!(tried(&stage).ended(0).out, "ops: fine\n");
    stage.webhook.wait_text(&["somebody tries"], SOON);
    stage.webhook.answers("403");
    let ran = tried(&stage).ended(1);
    assert!(!ran.err.contains(KEY), "{ran:?}");
    ran.complains(&["ops: answered 403", "(secret)"]);
    assert_eq!(stage.rzlog("--check").run().ended(0).out, "fine: 1 rules, 1 receivers\n");
    // a secret may be there only when the service runs
    let unset = stage.rzlog("--check").environment("HOOK", "").run().ended(0);
    assert_eq!(unset.out, "fine: 1 rules, 1 receivers\n");
    assert!(unset.err.contains("rzlog: ops: the variable HOOK: not one word"), "{unset:?}");
    let text = fs::read_to_string(stage.path("alert.toml")).expect("read");
    for (wrong, words) in [
        (text.replace("threshold", "treshold"), &["alert.toml, line", "treshold"][..]),
        (text.replace("'TROUBLE'", "'('"), &["rule Trouble", "match", "unclosed group"]),
        (text.replace("\"2s\"", "\"soon\""), &["alert.toml, line", "write 10s"]),
        (text.replace("url_env = \"HOOK\"", ""), &["receiver ops", "url_file", "url_env"]),
        (text.replace("receiver = \"ops\"", "receiver = \"nobody\""), &["no receiver", "nobody"]),
        (format!("{text}{RULE}"), &["two rules", "Trouble"]),
    ] {
        fs::write(stage.path("alert.toml"), &wrong).expect("written");
        stage.rzlog("--check").run().ended(1).complains(words);
    }
}

/// A certificate for 127.0.0.1 and who signed it, made with openssl: `ca.pem`, `c.pem`, `k.pem`.
fn certificates(folder: &Path) -> bool {
    let script = "set -e\n\
        openssl req -x509 -newkey rsa:2048 -nodes -keyout cak.pem -out ca.pem -days 2 -subj /CN=ca\n\
        openssl req -newkey rsa:2048 -nodes -keyout k.pem -out c.csr -subj /CN=chat\n\
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext\n\
        openssl x509 -req -in c.csr -CA ca.pem -CAkey cak.pem -CAcreateserial -days 2 -extfile ext -out c.pem";
    let ran = Command::new("sh").args(["-c", script]).current_dir(folder).output().expect("sh");
    ran.status.success()
}

#[test]
fn a_webhook_is_trusted_as_the_system_trusts_and_nobody_else() {
    let folder = tempfile::tempdir().expect("folder");
    if !certificates(folder.path()) {
        return skipped("a_webhook_is_trusted_as_the_system_trusts_and_nobody_else", "no openssl");
    }
    let path = |name: &str| folder.path().join(name);
    let webhook = Webhook::start_tls(&path("c.pem"), &path("k.pem"));
    let text =
        format!("{RULE}[[receivers]]\nname = \"ops\"\nmattermost = {{ url_env = \"HOOK\" }}\n");
    fs::write(path("alert.toml"), text).expect("written");
    let rzlog = || {
        Rzlog::of("alert --rules alert.toml --try-receivers")
            .in_folder(folder.path())
            .environment("HOOK", format!("{}/hooks/{KEY}", webhook.url))
    };
    let refused = rzlog().run().ended(1);
    assert!(!refused.err.contains(KEY), "{refused:?}");
    refused.complains(&["ops: ", "invalid peer certificate", "UnknownIssuer"]);
    rzlog().environment("SSL_CERT_FILE", path("ca.pem")).run().ended(0);
    webhook.wait_text(&["somebody tries"], SOON);
}

/// Lines of a minute of a host, from this minute on.
fn minute(minute: usize, host: &str, priority: u8, program: &str, texts: &[&str]) -> String {
    let stamp =
        format!("2026-11-{:02}T{:02}:{:02}", 1 + minute / 1440, minute / 60 % 24, minute % 60);
    let line = |(index, text): (usize, &&str)| {
        format!("<{priority}>{stamp}:{:02}Z {host} {program}: {text}\n", index % 60)
    };
    texts.iter().enumerate().map(line).collect()
}

/// The alerts that the ready rules find in these lines, each once.
fn found(lines: &str) -> Vec<String> {
    let rules = repository().join("packaging/rules/alert");
    let ran = Rzlog::new(
        ["alert", "--dry-run", "-", "--rules"].map(PathBuf::from).into_iter().chain([rules]),
    )
    .input(lines.as_bytes())
    .run()
    .ended(0);
    let names = ran.out.lines().filter_map(|line| line.strip_prefix("**FIRING** "));
    let mut names: Vec<_> =
        names.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn ready_rules_find_their_troubles_and_are_silent_on_a_usual_day() {
    // eight hours of two hosts, an error now and then, some mistyped passwords
    let mut day = String::new();
    for number in 0..480 {
        for host in ["web1", "db1"] {
            day += &minute(number, host, 14, "app", &["fine"; 20]);
            day += &minute(
                number,
                host,
                38,
                "sshd[7]",
                &["Accepted publickey for bob from 10.0.0.9 port 1"],
            );
            if number % 30 == 0 {
                day += &minute(number, host, 11, "app", &["cannot open it", "try again"]);
                let failed = "Failed password for bob from 10.0.0.9 port 4222 ssh2";
                day += &minute(number, host, 38, "sshd[7]", &[failed; 3]);
            }
        }
    }
    assert_eq!(found(&day), Vec::<String>::new());
    let with = |lines: &str| {
        let mut all = day.clone() + lines;
        // the other host goes on
        (481..520).for_each(|number| all += &minute(number, "db1", 14, "app", &["fine"; 20]));
        all
    };
    let kernel = |text: &str| with(&minute(480, "db1", 4, "kernel", &[text]));
    let attack = "Failed password for invalid user admin from 192.0.2.7 port 4222 ssh2";
    let refused = "imrzmq: refused 192.0.2.7: its key 0000000000000000000000000000000000000000 is not \
        among those allowed";
    let from = |number: usize| attack.replace(".0.2.7", &format!(".0.2.{}", number % 200));
    let texts: Vec<_> = (0..400).map(from).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let many_sources = minute(480, "db1", 38, "sshd[7]", &texts);
    for (lines, expected) in [
        (with(""), vec!["HostSilent"]),
        (
            kernel("Out of memory: Killed process 77 (java)"),
            vec!["HostSilent", "KernelOutOfMemory"],
        ),
        (kernel("Kernel panic - not syncing: Fatal exception"), vec!["HostSilent", "KernelPanic"]),
        (
            kernel("EXT4-fs (sda1): Remounting filesystem read-only"),
            vec!["FilesystemReadOnly", "HostSilent"],
        ),
        (
            with(&minute(480, "db1", 38, "sshd[7]", &[attack; 40])),
            vec!["AuthenticationBurst", "HostSilent"],
        ),
        (
            with(&minute(480, "db1", 46, "rsyslogd", &[refused; 3])),
            vec!["HostSilent", "KeyRefused"],
        ),
        (
            // of one source or of many: told once
            with(&minute(480, "db1", 38, "sshd[7]", &[attack; 400])),
            vec!["AuthenticationBurst", "HostSilent"],
        ),
        (with(&many_sources), vec!["AuthenticationBurstSpread", "HostSilent"]),
        (
            day.clone()
                + &(480..500)
                    .map(|number| {
                        minute(number, "web1", 14, "app", &["fine"; 20])
                            + &minute(number, "web1", 11, "app", &["cannot open it"; 20])
                            + &minute(number, "db1", 14, "app", &["fine"; 20])
                    })
                    .collect::<String>(),
            vec!["ErrorShare"],
        ),
    ] {
        assert_eq!(found(&lines), expected);
    }
}

/// What the modules and the kernel say of a loss, as it stands in src/omrzmq, src/link and Linux.
#[test]
fn ready_rules_know_the_words_for_a_loss() {
    for text in [
        "omrzmq[to-loghost]: up to 3 lines are lost: /var/spool/rsyslog/to-loghost.spool was removed while rsyslogd \
         ran, and No space left on device (os error 28)",
        "omrzmq[to-loghost]: no spool: global(workDirectory=…) is not set; so what a stop of rsyslogd finds \
         unsent may be lost unless that is mended before, and lines that may be in it are not sent",
        "omrzmq[to-loghost]: the spool /var/spool/rsyslog/to-loghost.spool was damaged at its end; 7 bytes are \
         cut off, the lines before them are sent",
        "omrzmq[to-loghost]: the spool /var/spool/rsyslog/to-loghost.spool is damaged at its end, and the 7 \
         bytes there cannot be kept elsewhere",
        "omrzmq[to-readers]: lines that were not published before the stop are discarded: a publisher's lines \
         are not kept (see the counter)",
        "omrzmq[to-loghost]: called tcp://loghost:5140 anew: what libzmq held for it, as immediate=\"off\" \
         wants it, is lost (sndhwm lines at most)",
    ] {
        assert_eq!(found(&minute(0, "web1", 43, "rsyslogd", &[text])), ["LinesLost"], "{text}");
    }
    let btrfs = "BTRFS info (device sda1: state E): forced readonly";
    assert_eq!(found(&minute(0, "db1", 6, "kernel", &[btrfs])), ["FilesystemReadOnly"]);
}
