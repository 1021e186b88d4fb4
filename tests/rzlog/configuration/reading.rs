//! What is read of a configuration, and how: modules, included files, hostile texts, and the statements that
//! rsyslogd sees.

use std::fs;
use std::os::unix::fs::symlink;

use harness::{Rzlog, Site};

use super::{CLIENT, Host, finds};

/// Which module() counts: the first that is enabled, in the order of reading; and what is not known of it.
#[test]
fn the_first_load_that_counts_is_the_one_that_rsyslogd_takes() {
    let host = Host::new();
    let action = "action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"tcp://loghost:1\")\n";
    // rsyslogd takes "on" alone for enabled
    for off in ["off", "yes", "ON", ""] {
        let text = format!(
            "module(load=\"omczmq\" config.enabled=\"{off}\")\nmodule(load=\"omczmq\" {CLIENT})\n{action}\
             include(file=\"{{s}}/none\" config.enabled=\"{off}\")\n"
        );
        finds(&host, &text, &[]);
    }
    host.write("keyed.conf", &format!("module(load=\"omczmq\" {CLIENT})\n"));
    let include = "include(file=\"{s}/keyed.conf\")\n";
    finds(&host, &format!("{include}module(load=\"omczmq\")\n{action}"), &[]);
    finds(
        &host,
        &format!("module(load=\"omczmq\")\n{include}{action}"),
        &["3: unsafe: tcp://loghost:1 in plaintext: whoever is on the way reads and writes lines"],
    );
    for (text, line) in [
        ("module(load=`echo $X`)\n", "1: not read: load=`…`"),
        ("action(type=`echo $X`)\n", "1: not read: type=`…`"),
        (
            "include(file=\"/none\" config.enabled=`echo $X`)\n",
            "1: not read: whether this include()",
        ),
        (
            "module(load=\"omrzmq\")\naction(type=\"omrzmq\" socktype=\"PUSH\" endpoints=`echo $X`)\n",
            "2: not read: endpoints=`…`",
        ),
        (
            "module(load=\"omczmq\")\naction(type=\"omczmq\" socktype=\"PUSH\" endpoints=`echo $X`)\n",
            "2: not read: endpoints=`…`",
        ),
        (
            "module(load=\"omrzmq\")\naction(type=\"omrzmq\" socktype=`echo $X` endpoints=\"tcp://127.0.0.1:1\")\n",
            "2: not read: socktype=`…`",
        ),
        (
            "module(load=\"imczmq\")\ninput(type=\"imczmq\" socktype=`echo $X` endpoints=\"tcp://127.0.0.1:1\")\n",
            "2: not read: socktype=`…`",
        ),
        (
            "module(load=\"omczmq\")\naction(type=\"omczmq\" socktype=\"PUB\" dynatopic=\"on\" topics=`echo $X` endpoints=\"tcp://127.0.0.1:1\")\n",
            "2: not read: topics=`…`",
        ),
    ] {
        host.write("rsyslog.conf", text);
        let ran = host.check();
        assert!(ran.out.starts_with(&format!("rsyslog.conf:{line}")), "{text}: {ran:?}");
        assert_eq!((ran.status, ran.out.lines().count()), (12, 1), "{text}: {ran:?}");
    }
}

#[test]
fn included_files_are_read_and_named() {
    let host = Host::new();
    host.write("rsyslog.conf", "$IncludeConfig {s}/d/*.conf\ninclude(file=\"{s}/rules/\")\n");
    host.write("d/a.conf", "module(load=\"omczmq\")\n");
    host.write("d/b.conf", "\n$IncludeConfig {s}/rsyslog.conf\n");
    host.write(
        "rules/deep/c",
        "ruleset(name=\"r\") {\n if $msg contains 'x' then {\n  /* action( */ action(type=\"omczmq\" \
         socktype=\"PUSH\"\n endpoints=\"tcp://loghost:1\") } }\n",
    );
    symlink(host.at("rsyslog.conf"), host.at("rules/self")).expect("a link");
    let ran = host.check().ended(11);
    let expected = host.fill(
        "{s}/d/b.conf:2: ignored: includes {s}/rsyslog.conf, in which it is included itself\n\
         {s}/rules/deep/c:4: unsafe: tcp://loghost:1 in plaintext: whoever is on the way reads and writes lines\n",
    );
    assert!(ran.out.ends_with(&expected), "{ran:?}");
    assert!(ran.out.starts_with("rsyslog.conf:2: ignored: includes "), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 3, "{ran:?}");
    assert!(ran.err.contains("statements of omczmq and imczmq: 1."), "{ran:?}");
}

#[test]
fn hostile_configurations_come_to_an_end_and_forge_nothing() {
    let host = Host::new();
    let evil = "\x1b[2J\u{202e}\x07";
    finds(
        &host,
        &format!(
            "module(load=\"omrzmq\")\naction(type=\"omrzmq\" socktype=\"{evil}\" endpoints=\"{evil}\" \
             name=\"x\" {})\n",
            "(".repeat(10_000)
        ),
        &[
            "2: broken: socktype \"\\u{1b}[2J\\u{202e}\\u{7}\" is not known here; possible: PUB, PUSH, DEALER",
            "2: broken: endpoint \"\\u{1b}[2J\\u{202e}\\u{7}\": has white space or a control character inside",
        ],
    );
    for text in [
        "\"".repeat(100_000),
        "action(".repeat(100_000),
        "action(type=\"omczmq\" endpoints=[".repeat(10_000),
        "/*".repeat(100_000),
        "if \"".repeat(100_000),
        ":a,b,\"".repeat(50_000),
        "\\\n".repeat(100_000),
        "$IncludeConfig /\n".to_owned() + &"x".repeat(1 << 20),
        "action(type=\"omczmq\" topics=\"".to_owned() + &",".repeat(1 << 20) + "\")",
        String::from_utf8_lossy(&[0, 159, 146, 150, 255, b'"', b'(', b'\\'].repeat(20_000))
            .into_owned(),
    ] {
        fs::write(host.at("rsyslog.conf"), &text).expect("written");
        let ran = host.check();
        assert!([0, 11, 12].contains(&ran.status), "{}: {}", text.len(), ran.err);
        let ran = Rzlog::of("migrate rsyslog.conf").in_folder(host.folder.path()).run();
        assert!([0, 11, 12].contains(&ran.status), "{}: {}", text.len(), ran.err);
    }
}

#[test]
fn wrong_words_are_sentences() {
    let host = Host::new();
    let run = |line: &str| Rzlog::of(line).in_folder(host.folder.path()).run();
    run("check --config none.conf").complains(&["none.conf", "No such file"]);
    run("check --config keys").complains(&["keys", "no file"]);
    run("check").ended(2);
    run("check --config none.conf --plaintext").complains(&["--plaintext", "endpoint"]);
    host.write("rsyslog.conf", "*.* /var/log/all\n");
    let ran = host.check().ended(0);
    assert_eq!(ran.out, "fine: files read: 1; statements of rzmq: 0, of czmq: 0\n");
}

/// In each text `MARK` is a statement, or it is within a comment, a quoted text or an old-style action.
/// rsyslogd says which, by its complaint of a parameter that is none; rzlog must say the same.
#[test]
fn rzlog_sees_the_statements_that_rsyslogd_sees() {
    let mark =
        "action(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\" nosuch=\"1\")";
    let escaped = mark.replace('"', "\\\"");
    let mut seen = 0;
    // rsyslog reads so much at once
    let (long, longer) = ("#".repeat(10_238), "#".repeat(10_239));
    let texts = [
        "LONG MARK",
        "LONGERMARK",
        "MARK",
        "*.* MARK",
        "local0.*;mail.none,auth.=info\tMARK",
        "  *.info  MARK",
        ":msg, contains, \"#\" MARK",
        ":msg, contains, \"a\\\" MARK\" /dev/null",
        "if $msg contains 'a then b' then { MARK }",
        "if $msg contains \"/*\" then MARK /* */",
        "if ($a == \"then\") and not ($!b!then == 1) then MARK else stop",
        "ruleset(name=\"r\" queue.type=\"LinkedList\") { if $msg == \"x\" then { *.* MARK } }",
        "set $.a = \"/* \" & '# then '; MARK",
        "foreach ($.i in $!x) do { MARK }",
        "template(name=\"t\" type=\"list\") { constant(value=\")\\\"\") property(name=\"msg\") } MARK",
        "template(name=\"t\" type=\"string\" string=\"ESCAPED\")",
        "action(type=\"omfile\" file=\"/dev/null\" # )\n name=\"a\" /* ) */ ) MARK",
        "*.* /dev/null\n& MARK",
        "!prog\n*.* /dev/null\n+host\n*.* MARK",
        "# MARK",
        "# a \\ b\nMARK",
        "# goes on \\\n  MARK",
        "# goes on \\  \n  MARK",
        "*.* \\\n  MARK",
        "/* MARK */",
        "/* \n * MARK\n **/ MARK",
        "*.* /dev/null MARK",
        "*.* -/dev/null;MARK",
        "*.* |/dev/null MARK",
        "*.* ~ MARK",
        "$template t,\"MARK\"",
        "$template t,\"%msg%\" MARK",
        "$MaxMessageSize 8k\nMARK",
        "set $.a = 'MARK';",
        "if $msg contains 'MARK' then stop",
        "call rs\nruleset(name=\"rs\") { MARK }",
        "ACTION (\n\tTYPE = \"omrzmq\" SockType=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\" NoSuch=\"1\" )",
        "action(type=\"om\\162zmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\" nosuch=\"1\")",
        "action(type=\"om\\\n   rzmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\" nosuch=\"1\")",
        "root\nMARK",
        "*.*\tMARK\r\n",
    ];
    for text in texts {
        let text = text.replace("MARK", mark).replace("ESCAPED", &escaped);
        let text = text.replace("LONGER", &longer).replace("LONG", &long);
        let site = Site::new().without_feed().with("module(load=\"omrzmq\")").with(&text);
        let site = site.file("out.log", "%msg%\\n");
        let said = site.check().text;
        let theirs = said.to_lowercase().contains("parameter 'nosuch' not known");
        let ran = Rzlog::of("check --config rsyslog.conf").in_folder(&site.path("")).run();
        let ours = ran.out.contains("nosuch is not a parameter of omrzmq");
        assert_eq!(ours, theirs, "{text}\n{ran:?}\nrsyslogd: {said}");
        seen += usize::from(theirs);
    }
    assert!(seen > texts.len() / 2 && seen < texts.len() - 10, "{seen} of {}", texts.len());
}
