//! `rzlog tail`: which lines it shows, how, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use harness::ports::free_endpoint;
use harness::{Proxy, Rzlog, SOON, secs};

use crate::publisher::{FRAMED, Publisher, without_warm_up};

#[test]
fn one_program_of_one_host_and_nothing_else_crosses_the_network() {
    let publisher = Publisher::with_topics();
    let proxy = Proxy::before(&publisher.endpoint);
    let line = format!("tail {} {} web1 nginx", proxy.endpoint(), publisher.trust("--"));
    let mut tail = Rzlog::of(&line).start();
    publisher.until_shown(&mut tail, "web1", "nginx");
    let before = proxy.carried();
    let many: Vec<_> = (0..500).map(|number| format!("not asked for {number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    publisher.says("web2", "nginx", &many);
    publisher.says("web1", "cron", &many);
    publisher.says("web1", "nginx-proxy", &["begins alike"]);
    publisher.says("web1", "nginx", &["asked for"]);
    let out = tail.wait_out("web1 nginx: asked for", SOON);
    assert_eq!(without_warm_up(&out).len(), 1, "{out}");
    assert!(proxy.carried() - before < 20_000, "{} bytes", proxy.carried() - before);
    assert!(tail.err().contains(&format!("connected to {}", proxy.endpoint())), "{}", tail.err());
}

#[test]
fn patterns_expressions_and_severities_choose() {
    let publisher = Publisher::with_topics();
    let mut tail = publisher.tail("web* nginx,cron --include red|blue|warm --exclude dark").start();
    publisher.until_shown(&mut tail, "web1", "nginx");
    publisher.says("web1", "nginx", &["red", "dark red", "green"]);
    publisher.says("web2", "cron", &["blue"]);
    publisher.says("web2", "sshd", &["blue"]);
    publisher.says("db1", "cron", &["blue"]);
    publisher.says("web3", "nginx", &["the last red"]);
    let out = tail.wait_out("the last red", SOON);
    let texts: Vec<_> =
        without_warm_up(&out).iter().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(texts, ["red", "blue", "the last red"]);
    // 13 is user.notice
    let mut grave = publisher.tail("web1 --severity err").start();
    let mut all = publisher.tail("web1 --severity notice").start();
    publisher.until_shown(&mut all, "web1", "app");
    grave.wait_err(&["connected to"], SOON);
    let line = "<11>Nov 24 10:00:00 web1 app: grave\n";
    grave.wait_for("the grave line", SOON, |grave| {
        publisher.daemon.feeder().bytes(line.as_bytes());
        grave.out().contains("grave")
    });
    assert!(!grave.out().contains("warm-up"), "{}", grave.out());
}

#[test]
fn behind_the_program_a_topic_may_have_several_parts() {
    let topic = "template(name=\"topic\" type=\"string\" \
                 string=\"%hostname%.%programname%.%syslogfacility-text%.%syslogseverity-text%.\")";
    let publisher = Publisher::start(topic, FRAMED);
    let mut tail = publisher.tail("web1 nginx").start();
    publisher.until_shown(&mut tail, "web1", "nginx");
    publisher.says("web1", "nginx-proxy", &["begins alike"]);
    publisher.says("web1.nginx.example.org", "sshd", &["a longer host"]);
    publisher.says("web1", "nginx", &["asked for"]);
    let out = tail.wait_out("web1 nginx: asked for", SOON);
    assert_eq!(without_warm_up(&out).len(), 1, "{out}");
    // a text that has no host and program in it
    let bare = format!("{topic} template(name=\"bare\" type=\"string\" string=\"%msg%\")");
    let publisher = Publisher::start(&bare, &format!("{FRAMED} template=\"bare\""));
    let mut named = publisher.tail("web1 nginx").start();
    let mut topics = publisher.tail("--topics web1.nginx.").start();
    publisher.until_shown(&mut topics, "web1", "nginx");
    named.wait_for("a notice", SOON, |named| {
        publisher.says("web1", "nginx", &["said"]);
        named.err().contains("--topics HOST.PROGRAM. shows them")
    });
    assert_eq!(named.out(), "");
    assert_eq!(named.err().matches("--topics").count(), 1, "{}", named.err());
}

#[test]
fn a_publisher_without_topics_is_searched_here_and_beginnings_of_any_topic_are_asked_for() {
    let publisher = Publisher::start("", "");
    let mut tail = publisher.tail("web1 app --everything --timestamps").start();
    publisher.until_shown(&mut tail, "web1", "app");
    publisher.says("web2", "app", &["of another host"]);
    publisher.says("web1", "app", &["last"]);
    let out = tail.wait_out("last", SOON);
    let lines = without_warm_up(&out);
    assert_eq!(lines.len(), 1, "{out}");
    let (time, text) = lines[0].split_once(' ').expect("a time");
    assert!(time.ends_with('Z') && time.len() == 24 && text.starts_with("<13>"), "{out}");
    // single frames with a fixed topic in front
    let publisher = Publisher::start("", "topics=\"all.\" topicframe=\"off\"");
    let mut asked = publisher.tail("--topics none.,all.").start();
    let mut other = publisher.tail("--topics none.").start();
    other.wait_err(&["connected to"], SOON);
    publisher.until_shown(&mut asked, "web1", "app");
    assert!(asked.out().starts_with("all.<13>"), "{}", asked.out());
    assert_eq!(other.out(), "");
}

/// As LogTalez's page has it: host and tag, then a JSON object.
const LOGTALEZ: &str = r#"template(name="json" type="list") {
    property(name="hostname") constant(value=".") property(name="syslogtag")
    constant(value="@cee:{") property(name="msg" format="jsonf" outname="message") constant(value=",")
    property(name="syslogseverity-text" format="jsonf" outname="severity") constant(value="}")
}"#;

#[test]
fn logtalez_scripts_get_logtalez_output() {
    let publisher = Publisher::start(LOGTALEZ, "template=\"json\"");
    let (endpoint, one, two) = (&publisher.endpoint, publisher.trust("-"), publisher.trust("--"));
    let lines = [
        format!("-endpoints {endpoint} -topics web1.nginx,db1 {one} -json"),
        format!("tail -endpoints={endpoint} -topics=web1.nginx,db1 {one} -json"),
        format!("--endpoints {endpoint} --topics web1.nginx,db1 {two} --json"),
        format!("-endpoints {endpoint} -topics web1.nginx,db1 {one}"),
    ];
    let mut tails: Vec<_> = lines.iter().map(|line| Rzlog::of(line).start()).collect();
    for tail in &mut tails {
        publisher.until_shown(tail, "web1", "nginx");
    }
    publisher.says("web1", "cron", &["not asked for"]);
    publisher.says("web1", "nginx", &["a \"quoted\" @cee: word"]);
    publisher.says("db1", "postgres", &["last"]);
    for (tail, line) in tails.iter_mut().zip(&lines) {
        let out = tail.wait_out("last", SOON);
        let prefix = |host: &str| match line.ends_with("json") {
            true => String::new(),
            false => format!("{host}:@cee:"),
        };
        let expected = [
            prefix("web1.nginx") + r#"{"message":" a \"quoted\" @cee: word","severity":"notice"}"#,
            prefix("db1.postgres") + r#"{"message":" last","severity":"notice"}"#,
        ];
        assert_eq!(without_warm_up(&out), expected, "{line}");
    }
    // "*" is a fresh key: no error before the server says no
    let mut fresh = Rzlog::new(
        format!(
            "-endpoints {endpoint} -topics a -servercertpath {k}/loghost -clientcertpath *",
            k = publisher.site.path("keys").display()
        )
        .split(' '),
    )
    .start();
    fresh.wait_err(&["the server refused our key"], SOON);
    // without topics it shows everything
    let mut all = Rzlog::of(&format!("-endpoints {endpoint} {one}")).start();
    publisher.until_shown(&mut all, "mail1", "postfix");
    // of what is there twice the last one counts
    let twice = format!("-servercertpath /no -json -json -endpoints {endpoint} {one} -topics a");
    Rzlog::of(&twice).start().wait_err(&["connected to"], SOON);
    // what LogTalez requires
    Rzlog::of("tail @prod web1 -json").run().ended(1).complains(&["-endpoints", "one dash"]);
    Rzlog::of("-topics a -endpoints tcp://a:1").run().ended(1).complains(&["-servercertpath"]);
    let wrong = format!("-endpoints {endpoint} -topics a -servercertpath /no -clientcertpath /no");
    Rzlog::of(&wrong).run().ended(1).complains(&["/no"]);
}

/// What LogTalez publishes for rsyslogd, with the module's name replaced: trust on the action, a line's own JSON
/// in the template, and a publisher that is called where there is some. C omczmq publishes it in plaintext, to which rzlog does not connect.
#[test]
fn logtalez_configuration_publishes_with_curve() {
    let publisher = Publisher::configured(|site, endpoint, trust| {
        let endpoint = endpoint.replace("127.0.0.1", "*");
        site.with("module(load=\"mmjsonparse\")").with("module(load=\"omrzmq\")").with(&format!(
            r#"
template(name="host_tag" type="list") {{
  property(name="hostname")
  constant(value=".")
  property(name="syslogtag" position.from="1" position.to="32")
  constant(value="@cee:")
  constant(value="{{")
  constant(value="\"host\":\"")
  property(name="hostname")
  constant(value="\",\"syslogtag\":\"")
  property(name="syslogtag" format="json")
  constant(value="\",")
  property(name="$!all-json" position.from="2")
}}
ruleset(name="out") {{
  action(
    name="publisher"
    template="host_tag"
    type="omrzmq"
    endpoints="{endpoint}"
    socktype="PUB"
    {trust}
  )
}}
action(type="mmjsonparse")
if $parsesuccess == "OK" then {{
  call out
}}
"#
        ))
    });
    let (endpoint, trust) = (&publisher.endpoint, publisher.trust("-"));
    let mut tail =
        Rzlog::of(&format!("-endpoints {endpoint} -topics web1.nginx {trust} -json")).start();
    tail.wait_for("a first line", SOON, |tail| {
        publisher.says("web1", "nginx", &["@cee: {\"text\": \"warm-up\"}"]);
        tail.out().contains("warm-up")
    });
    publisher.says("web1", "nginx", &["no JSON"]);
    publisher.says("web1", "cron", &["@cee: {\"text\": \"not asked for\"}"]);
    publisher.says("web1", "nginx", &["@cee: {\"status\": 502, \"text\": \"last\"}"]);
    let out = tail.wait_out("last", SOON);
    let line = r#"{"host":"web1","syslogtag":"nginx:", "status": 502, "text": "last" }"#;
    assert_eq!(without_warm_up(&out), [line]);
}

#[test]
fn json_fields_and_templates() {
    let publisher = Publisher::with_topics();
    let mut json = publisher.tail("web1 --json").start();
    let mut fields = publisher.tail("web1 --fields status,host,user.name,text").start();
    let mut template = Rzlog::new(
        ["tail", "--template", "{host} {program} {severity} {status} {message}"]
            .into_iter()
            .chain(publisher.trust("--").split(' '))
            .chain([publisher.endpoint.as_str(), "web1"]),
    )
    .start();
    for tail in [&mut json, &mut fields] {
        publisher.until_shown(tail, "web1", "app");
    }
    publisher.until_shown(&mut template, "web1", "app");
    publisher.says(
        "web1",
        "app",
        &["@cee: {\"status\":500,\"user\":{\"name\":\"ann\"}}", "plain", "@cee:{\"broken", "last"],
    );
    let out = json.wait_out("last", SOON);
    let lines = without_warm_up(&out);
    assert_eq!(lines.len(), 4, "{out}");
    assert_eq!(lines[0], "{\"status\":500,\"user\":{\"name\":\"ann\"}}");
    for line in lines {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    }
    assert!(out.contains("\"broken\":\"JSON, but EOF"), "{out}");
    let out = fields.wait_out("\"status\":500", SOON);
    let expected = "{\"status\":500,\"host\":\"web1\",\"user.name\":\"ann\",\"text\":";
    assert!(out.contains(expected), "{out}");
    let out = template.wait_out("last", SOON);
    assert!(out.contains("web1 app notice 500 @cee: {"), "{out}");
    assert!(out.contains("web1 app notice - plain\n"), "{out}");
}

#[test]
fn a_lost_connection_is_a_gap_that_is_told() {
    let publisher = Publisher::with_topics();
    let proxy = Proxy::before(&publisher.endpoint);
    let line = format!("tail {} {} web1 --quiet", proxy.endpoint(), publisher.trust("--"));
    let mut tail = Rzlog::of(&line).start();
    publisher.until_shown(&mut tail, "web1", "app");
    assert!(!tail.err().contains("gap"), "{}", tail.err());
    proxy.cut();
    tail.wait_err(&["gap: ", &proxy.endpoint(), "is lost"], SOON);
    tail.wait_err(&["gap: ", &proxy.endpoint(), "is back after"], SOON);
    tail.wait_for("lines again", SOON, |tail| {
        publisher.says("web1", "app", &["and on"]);
        tail.out().contains("and on")
    });
}

#[test]
fn it_ends_as_it_was_told() {
    let publisher = Publisher::with_topics();
    let tail = publisher.tail("web1 --limit 3").start();
    let mut tail = tail;
    tail.wait_err(&["connected to"], SOON);
    // a subscription takes its time to arrive
    let ended = harness::wait_until("three lines", SOON, || {
        publisher.says("web1", "app", &["one of many"]);
        tail.exited()
    });
    assert_eq!((ended.code(), tail.out().lines().count()), (Some(0), 3));
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let mut tail = publisher.tail("web1").start();
        publisher.until_shown(&mut tail, "web1", "app");
        tail.signal(signal);
        let ran = tail.wait(SOON).ended(status);
        assert!(ran.out.ends_with('\n') && !ran.err.contains("panicked"), "{ran:?}");
    }
    let quiet = publisher.tail("web9 --for 500ms").run();
    assert_eq!((quiet.status, quiet.out.as_str()), (0, ""), "{quiet:?}");
    let nobody = Rzlog::of(&format!("tail {} --plaintext --for 500ms", free_endpoint())).run();
    nobody.ended(3).complains(&["nobody was there"]);
}

/// Some programs make the pipes non-blocking that others write to.
#[test]
fn a_reader_that_is_slower_than_the_lines_is_waited_for() {
    let publisher = Publisher::with_topics();
    let (far, mut near) = UnixStream::pair().expect("a pair of sockets");
    far.set_nonblocking(true).expect("non-blocking");
    rustix::net::sockopt::set_socket_send_buffer_size(&far, 1 << 14).expect("a small buffer");
    let (lines, words) = (500, format!("tail {} {}", publisher.endpoint, publisher.trust("--")));
    let mut child = Command::new(harness::paths::rzlog())
        .args(format!("{words} web1 app --limit {lines}").split(' '))
        .stdout(OwnedFd::from(far))
        .stderr(Stdio::null())
        .spawn()
        .expect("rzlog runs");
    let text = format!("the-long-line {}", "x".repeat(4000));
    let texts = vec![text.as_str(); lines];
    harness::wait_until("lines in the pipe", SOON, || {
        publisher.says("web1", "app", &texts);
        (rustix::io::ioctl_fionread(&near).expect("a socket") > 0).then_some(())
    });
    // the first ones may have been published too early
    publisher.says("web1", "app", &texts);
    let mut read = String::new();
    near.read_to_string(&mut read).expect("all lines");
    let ended = harness::wait_until("the end", SOON, || child.try_wait().expect("status"));
    assert_eq!((ended.code(), read.matches("the-long-line").count()), (Some(0), lines));
}

/// `rzlog tail … | head -n 1`, and a publisher that says nothing more.
#[test]
fn it_ends_when_nobody_reads_any_more() {
    let publisher = Publisher::with_topics();
    ends_without_a_reader(&publisher, Stdio::piped(), None);
    let (far, near) = UnixStream::pair().expect("a pair of sockets");
    ends_without_a_reader(&publisher, OwnedFd::from(far).into(), Some(near));
}

/// With a pipe, or with the other end of this socket.
fn ends_without_a_reader(publisher: &Publisher, stdout: Stdio, socket: Option<UnixStream>) {
    let words = format!("tail {} {} web1", publisher.endpoint, publisher.trust("--"));
    let mut child = Command::new(harness::paths::rzlog())
        .args(words.split(' '))
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()
        .expect("rzlog runs");
    let near: Box<dyn Read + Send> = match socket {
        Some(socket) => Box::new(socket),
        None => Box::new(child.stdout.take().expect("a pipe")),
    };
    let mut reader = BufReader::new(near);
    let feeding = std::thread::scope(|scope| {
        let line = scope.spawn(|| {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            line
        });
        harness::wait_until("a line in the pipe", SOON, || {
            publisher.says("web1", "app", &["out at once"]);
            line.is_finished().then_some(())
        });
        line.join().expect("a line")
    });
    assert!(feeding.contains("out at once"), "{feeding}");
    // nothing is on its way any more, so that the end is not seen by writing
    publisher.says("web1", "app", &["the last"]);
    let is_last = |line: &str| line.contains("the last");
    assert!(reader.by_ref().lines().any(|line| is_last(&line.expect("a line"))));
    drop(reader);
    let ended = harness::wait_until("the end", SOON, || child.try_wait().expect("status"));
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn profiles_say_what_is_always_the_same() {
    let publisher = Publisher::with_topics();
    let keys = publisher.site.path("keys");
    let config = keys.join("config.toml");
    let profile = format!(
        "[profiles.prod]\nendpoints = [\"{}\"]\nservercertpath = \"loghost\"\nclientcertpath = \
         \"reader\"\nhost = \"web1\"\nfields = [\"host\", \"message\"]\n",
        publisher.endpoint
    );
    fs::write(&config, &profile).expect("written");
    let mut tail = Rzlog::of(&format!("tail @prod --config {}", config.display())).start();
    publisher.until_shown(&mut tail, "web1", "app");
    publisher.says("web2", "app", &["another host"]);
    publisher.says("web1", "app", &["last"]);
    let out = tail.wait_out("last", SOON);
    let expected = ["{\"host\":\"web1\",\"message\":\"last\"}"];
    assert_eq!(without_warm_up(&out), expected);
    // where XDG says, and found by completion; the command line comes first
    let xdg = keys.join("xdg");
    fs::create_dir_all(xdg.join("rzlog")).expect("folder");
    let absolute =
        profile.replace("\"loghost\"", &format!("\"{}\"", keys.join("loghost").display()));
    let absolute =
        absolute.replace("\"reader\"", &format!("\"{}\"", keys.join("reader").display()));
    fs::write(xdg.join("rzlog/config.toml"), absolute.replace("prod", "default")).expect("written");
    let mut tail = Rzlog::of("tail web2").environment("XDG_CONFIG_HOME", &xdg).start();
    publisher.until_shown(&mut tail, "web2", "app");
    assert!(!tail.out().contains("web1"), "{}", tail.out());
    let completed = Rzlog::new(["--", "rzlog", "tail", "@"])
        .environment("XDG_CONFIG_HOME", &xdg)
        .environment("RZLOG_COMPLETE", "bash")
        .environment("_CLAP_COMPLETE_INDEX", "2")
        .run()
        .ended(0);
    assert!(completed.out.contains("@default"), "{completed:?}");
    fs::write(&config, "[profiles.prod]\nendpoint = \"x\"\n").expect("written");
    Rzlog::of(&format!("tail @prod --config {}", config.display()))
        .run()
        .ended(1)
        .complains(&["config.toml", "endpoint"]);
}

/// Bash takes the @ for a word of its own.
#[test]
fn bash_completes_profiles_and_files() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    symlink(harness::paths::rzlog(), path("rzlog")).expect("a link");
    fs::create_dir(path("certificates")).expect("folder");
    fs::write(path("certificates/loghost"), "").expect("written");
    fs::create_dir(path("xdg")).expect("folder");
    fs::create_dir(path("xdg/rzlog")).expect("folder");
    fs::write(path("xdg/rzlog/config.toml"), "[profiles.second]\nendpoints = [\"tcp://a:1\"]\n")
        .expect("written");
    let file = harness::paths::repository().join("packaging/completion/bash/rzlog");
    let rc = format!("PATH=$PWD:$PATH\nPS1='> '\nsource {}\n", file.display());
    fs::write(path("rc"), rc).expect("written");
    let shell = ["sh", "-c", "exec bash --noprofile --rcfile rc -i"];
    let mut bash = Rzlog::of("")
        .in_folder(folder.path())
        .environment("XDG_CONFIG_HOME", path("xdg"))
        .environment("TERM", "dumb")
        .under(shell)
        .start_on_terminal();
    bash.wait_out("> ", SOON);
    for (typed, completed) in [
        ("rzlog send @s", "econd"),
        ("rzlog check @", "second"),
        ("rzlog tail @sec", "ond"),
        ("rzlog send @second --servercertpath cert", "ificates/"),
        ("rzlog send @second --clientcertpath certificates/l", "oghost"),
    ] {
        let before = bash.out().len();
        bash.types(&format!("{typed}\t"));
        let whole = format!("{typed}{completed}");
        bash.wait_for(&whole, SOON, |bash| bash.out()[before..].contains(&whole));
        // ^U takes the line away
        bash.types("\u{15}");
    }
    // in rzlog's own order
    bash.types("complete -p rzlog\r");
    bash.wait_for("nosort", SOON, |bash| bash.out().contains(" -o nosort "));
}

#[test]
fn completion_knows_hosts_and_programs_seen_on_a_terminal() {
    let publisher = Publisher::with_topics();
    let state = publisher.site.path("state");
    let start = |more: &str| publisher.tail(more).environment("XDG_STATE_HOME", &state);
    let mut watched = start("web1").start_on_terminal();
    let mut piped = start("db1").start();
    publisher.until_shown(&mut watched, "web1", "nginx");
    publisher.until_shown(&mut piped, "db1", "postgres");
    for running in [watched, piped] {
        running.signal("INT");
        running.wait(SOON).ended(130);
    }
    let completed = Rzlog::new(["--", "rzlog", "tail", ""])
        .environment("XDG_STATE_HOME", &state)
        .environment("RZLOG_COMPLETE", "bash")
        .environment("_CLAP_COMPLETE_INDEX", "2")
        .run()
        .ended(0)
        .out;
    let has = |word: &str| completed.split_whitespace().any(|it| it == word);
    assert!(has("web1") && has("nginx") && !has("db1"), "{completed}");
    // topics are for --topics
    assert!(!has("web1.nginx."), "{completed}");
    let completed = Rzlog::new(["--", "rzlog", "tail", "--topics", "web"])
        .environment("XDG_STATE_HOME", &state)
        .environment("RZLOG_COMPLETE", "bash")
        .environment("_CLAP_COMPLETE_INDEX", "3")
        .run()
        .ended(0)
        .out;
    assert_eq!(completed.split_whitespace().collect::<Vec<_>>(), ["web1.nginx."]);
}

#[test]
fn where_words_that_were_seen_cannot_be_kept_tail_is_as_ever() {
    let publisher = Publisher::with_topics();
    // a file where the folder should be
    let state = publisher.site.path("state");
    fs::write(&state, "").expect("written");
    let mut tail = publisher.tail("web1").environment("XDG_STATE_HOME", &state).start_on_terminal();
    publisher.until_shown(&mut tail, "web1", "nginx");
    tail.signal("INT");
    let ran = tail.wait(SOON).ended(130);
    assert!(!ran.err.contains("state"), "{ran:?}");
}

#[test]
fn several_publishers_at_once_and_one_with_another_key() {
    let one = Publisher::with_topics();
    let two = one.another_with_its_keys();
    let stranger = Publisher::with_topics();
    let line = format!(
        "tail -e {},{} {} {} --fields endpoint,host,text",
        one.endpoint,
        two.endpoint,
        stranger.endpoint,
        one.trust("--")
    );
    let mut tail = Rzlog::of(&line).start();
    one.until_shown(&mut tail, "web1", "app");
    tail.wait_for("a line of the second", SOON, |tail| {
        two.says("web2", "app", &["of the second"]);
        tail.out().contains("of the second")
    });
    let expected = format!("{{\"endpoint\":\"{}\",\"host\":\"web2\"", two.endpoint);
    assert!(tail.out().contains(&expected), "{}", tail.out());
    let words = ["handshake failed at", &stranger.endpoint, "key is not the one in"];
    tail.wait_err(&words, secs(10));
}
