//! `rzlog migrate`: what it prints is what was there with other modules, rsyslogd takes it, and it carries
//! lines.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::ports::free_endpoint;
use harness::rzlog::Ran;
use harness::{Flavour, Keys, Oracle, Rsyslogd, Rzlog, SOON, Site};

use crate::configuration::Host;

fn migrated(host: &Host, text: &str) -> Ran {
    host.write("rsyslog.conf", text);
    Rzlog::of("migrate rsyslog.conf").in_folder(host.folder.path()).run()
}

/// What standard error says, without rzlog's name and the file's.
fn told(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter_map(|line| line.strip_prefix("rzlog: rsyslog.conf:")).collect()
}

/// rsyslogd's own check of a text, with our modules.
#[track_caller]
fn accepted(text: &str) {
    let site = Site::new().without_feed().with(text).file("out.log", "%msg%\\n");
    site.check().accepts();
}

const CLIENT: &str =
    "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/client\"";
const SERVER: &str = "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{k}/server\" \
                      clientcertpath=\"{s}/allowed\"";

/// The old text, the new one (`=`: only the names change), and what is said, by its beginning.
#[track_caller]
fn moves(old: &str, new: &str, notes: &[&str]) {
    let host = Host::new();
    let ran = migrated(&host, old).ended(0);
    let new = if new == "=" {
        old.replace("omczmq", "omrzmq").replace("imczmq", "imrzmq")
    } else {
        new.into()
    };
    assert_eq!(ran.out, host.fill(&new), "{ran:?}");
    let told = told(&ran);
    let as_expected = told.len() == notes.len()
        && told.iter().zip(notes).all(|(told, note)| told.starts_with(&host.fill(note)));
    assert!(as_expected, "expected {notes:#?}: {told:#?}\n{old}");
    accepted(&ran.out);
    // what is moved has nothing to move
    let again = migrated(&host, &ran.out).ended(0);
    assert_eq!(again.out, ran.out);
    assert!(again.err.contains("nothing of omczmq or imczmq"), "{again:?}");
}

/// Nothing changes, and that is said.
#[track_caller]
fn stays(old: &str, notes: &[&str]) {
    let host = Host::new();
    let ran = migrated(&host, old).ended(11);
    assert_eq!(ran.out, host.fill(old), "{ran:?}");
    let told = told(&ran);
    let as_expected = told.len() == notes.len()
        && told.iter().zip(notes).all(|(told, note)| told.starts_with(&host.fill(note)));
    assert!(as_expected, "expected {notes:#?}: {told:#?}\n{old}");
    assert!(ran.err.contains("stays as it is"), "{ran:?}");
}

#[test]
fn every_byte_stays_but_the_names() {
    moves(
        &format!(
            "# omczmq, as it was\r\nmodule(  load = \"omczmq\"{CLIENT} ) # keep\n\n\
             \t/* action(type=\"omczmq\") */\n\
             ruleset(name=\"omczmq-rules\") {{\n\
             \u{a0}# bytes: \u{fffd}\n\
             if $msg contains 'x' then {{ action(name=\"omczmq-out\" Type=\"OMCZMQ\" SockType=\"DEALER\"\n\
             # in the middle\n\
             endpoints=\"tcp://127.0.0.1:5140\" queue.type=\"LinkedList\" queue.timeoutShutdown=\"10000\") }} }}\n\
             *.*  action(type=\"om\\\n   czmq\" socktype=\"PUSH\" endpoints=\"ipc:///run/omczmq.sock\")"
        )
        .replace('\u{a0}', " "),
        &format!(
            "# omczmq, as it was\r\nmodule(  load = \"omrzmq\"{CLIENT} ) # keep\n\n\
             \t/* action(type=\"omczmq\") */\n\
             ruleset(name=\"omczmq-rules\") {{\n\
             \u{a0}# bytes: \u{fffd}\n\
             if $msg contains 'x' then {{ action(name=\"omczmq-out\" Type=\"omrzmq\" SockType=\"DEALER\"\n\
             # in the middle\n\
             endpoints=\"tcp://127.0.0.1:5140\" queue.type=\"LinkedList\" queue.timeoutShutdown=\"10000\") }} }}\n\
             *.*  action(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"ipc:///run/omczmq.sock\")"
        )
        .replace('\u{a0}', " "),
        &[],
    );
}

#[test]
fn both_modules_move_by_every_way_to_load_them() {
    moves(
        "module(load=\"omczmq.so\")\n$ModLoad imczmq # old\n\
         action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\")\n\
         input(type=\"imczmq\" socktype=\"PULL\" endpoints=\"tcp://127.0.0.1:1\" ruleset=\"r\")\n\
         ruleset(name=\"r\") { stop }\n",
        "=",
        &[],
    );
}

#[test]
fn what_is_written_differently_is_rewritten() {
    moves(
        "module(load=\"omczmq\") module(load=\"imczmq\")\n\
         action(type=\"omczmq\" socktype=\"PUB\" endpoints=\"tcp://127.0.0.1:!,@tcp://127.0.0.2:!\" topics=\"a,b,\")\n\
         input(type=\"imczmq\" socktype=\"SUB\" endpoints=\"@tcp://127.0.0.1:*\" topics=\"c,\")\n",
        "module(load=\"omrzmq\") module(load=\"imrzmq\")\n\
         action(type=\"omrzmq\" socktype=\"PUB\" endpoints=\"tcp://127.0.0.1:*,@tcp://127.0.0.2:*\" topics=\"a,b\")\n\
         input(type=\"imrzmq\" socktype=\"SUB\" endpoints=\"@tcp://127.0.0.1:*\" topics=\"c\")\n",
        &[],
    );
}

#[test]
fn what_behaves_differently_is_told() {
    let action = "action(type=\"omczmq\" endpoints=\"tcp://127.0.0.1:1\" socktype=";
    moves(
        &format!(
            "module(load=\"omczmq\")\n\
             {action}\"PUSH\" sendhwm=\"10\"\n connecttimeout=\"100\" ipv6=\"on\")\n\
             {action}\"pub\" topics=\"a, b\" topicframe=\"off\")\n"
        ),
        "=",
        &[
            "2: differs: sendhwm was the time-out of omczmq, in milliseconds",
            "3: differs: ipv6 was unknown to omczmq",
            "3: differs: connecttimeout made omczmq reject the action",
            "4: differs: topics has white space in it",
            "4: differs: socktype=\"pub\" did not work",
            "4: differs: topicframe=\"off\" was two frames",
        ],
    );
    moves(
        "module(load=\"imczmq\" authtype=\"curveserver\" servercertpath=\"{k}/server\"\n\
         clientcertpath=\"{s}/allowed\")\n\
         input(type=\"imczmq\" socktype=\"SUB\" endpoints=\"tcp://127.0.0.1:1\")\n\
         if $inputname == \"imczmq\" then stop\n\
         # imczmq\n\
         template(name=\"imczmq-lines\" type=\"string\" string=\"/var/log/imczmq.log\")\n",
        "module(load=\"imrzmq\" authtype=\"curveserver\" servercertpath=\"{k}/server\"\n\
         clientcertpath=\"{s}/allowed\")\n\
         input(type=\"imrzmq\" socktype=\"SUB\" endpoints=\"tcp://127.0.0.1:1\")\n\
         if $inputname == \"imczmq\" then stop\n\
         # imczmq\n\
         template(name=\"imczmq-lines\" type=\"string\" string=\"/var/log/imczmq.log\")\n",
        &[
            "1: differs: authtype=\"curveserver\" was plaintext with imczmq, and is CURVE with imrzmq",
            "2: differs: clientcertpath was not looked at by imczmq",
            "3: differs: a SUB without topics received nothing",
            "4: differs: imczmq is named here, too, and left",
        ],
    );
    // LogTalez' users
    moves(
        "module(load=\"omczmq\")\n\
         template(name=\"t\" type=\"string\" string=\"%hostname%.%syslogtag%@cee:%$!all-json%\")\n\
         action(type=\"omczmq\" template=\"t\" socktype=\"PUB\" endpoints=\"tcp://127.0.0.1:1\"\n\
         authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed/\")\n",
        "=",
        &["4: differs: authtype is understood here by omrzmq"],
    );
}

#[test]
fn what_must_be_decided_first_stays() {
    let action = "action(type=\"omczmq\" endpoints=\"tcp://127.0.0.1:1\" socktype=";
    let module =
        |parameters: &str| format!("module(load=\"omczmq\" {parameters})\n{action}\"PUSH\")\n");
    for (old, notes) in [
        (
            module("authtype=\"CURVESERVER\" servercertpath=\"{k}/server\""),
            &["1: stays: authtype=\"CURVESERVER\" needs clientcertpath"][..],
        ),
        (
            module(&SERVER.replace("\"on\"", "\"off\"")),
            &[
                "1: stays: authenticator=\"off\" beside authtype=\"CURVESERVER\" would let anybody in",
            ],
        ),
        (
            module(&SERVER.replace("CURVESERVER", "CURVESERVERS")),
            &["1: stays: authtype=\"CURVESERVERS\" is not known"],
        ),
        (
            module("servercertpath=\"{k}/server\""),
            &["1: stays: servercertpath is given, but authtype is not"],
        ),
        (
            module("authenticator=\"on\""),
            &["1: stays: authenticator=\"on\" is given, but authtype is not"],
        ),
        (module("authtype=`echo $X`"), &["2: stays: its trust depends on rsyslogd's environment"]),
        (
            module("")
                + action
                + "\"PUSSH\")\n"
                + action
                + "\"PUSH\" topcis=\"a\" sendhwm=\"ten\")\n",
            &[
                "3: stays: socktype \"PUSSH\" is not known here; possible: PUB, PUSH, DEALER; did you mean PUSH?",
                "4: stays: topcis is not a parameter of omrzmq; did you mean topics?",
                "4: stays: sendhwm=\"ten\": a whole number from 0",
            ],
        ),
        (
            module("")
                + action
                + "\"PUB\" dynatopic=\"on\")\n"
                + action
                + "\"PUB\" dynatopic=\"on\" topics=\"a,b,c,d,e\" template=\"\")\n",
            &[
                "3: stays: dynatopic=\"on\" needs topics",
                "4: stays: template is empty",
                "4: stays: dynatopic=\"on\" allows 4 topics at most",
            ],
        ),
        (
            module("") + "action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"inproc://x\")\n",
            &["3: stays: endpoint \"inproc://x\": inproc joins threads of one program"],
        ),
        (
            module("")
                + "action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\"\n",
            &["3: stays: the statement has no closing parenthesis"],
        ),
        (
            module("") + action + "\"PUB\" topics=\"a\\\\,\")\n",
            &["3: stays: topics is written with escapes"],
        ),
        (
            module("") + action + "\"PUB\" topics=\"a\\\"b,\")\n",
            &["3: stays: topics is written with escapes"],
        ),
        (
            module("") + action + "\"PUSH\"\n socktype=\"DEALER\")\n",
            &["4: stays: socktype is written twice"],
        ),
        (
            module("config.enabled=`echo $X`"),
            &["1: not read: config.enabled=`…`", "1: stays: whether it is enabled depends"],
        ),
        (
            module("") + action + "\"PUB\" topics=[\"a\"])\n",
            &["3: stays: topics is a list in brackets"],
        ),
        (
            "global(compatibility.defaults.secure=\"strict\")\n".to_owned() + &module(""),
            &["3: stays: plaintext, which global("],
        ),
        (
            "global(compatibility.defaults.secure=\"strict\")\n".to_owned()
                + &module(&SERVER.replace("{s}/allowed", "*")),
            &["3: stays: clientcertpath=\"*\" lets any key in, which global("],
        ),
        // what omczmq ignores would let any key in
        (
            module(SERVER) + action + "\"PUSH\" clientcertpath=\"*\")\n",
            &["3: stays: clientcertpath was ignored here by omczmq"],
        ),
        (
            module("") + "module(load=\"omrzmq\")\n",
            &["1: stays: omrzmq is loaded already, at rsyslog.conf:3"],
        ),
    ] {
        stays(&old, notes);
    }
    // the other module moves
    let host = Host::new();
    let old = module("authenticator=\"on\"")
        + "module(load=\"imczmq\")\ninput(type=\"imczmq\" socktype=\"PULL\" endpoints=\"tcp://127.0.0.1:1\")\n";
    let ran = migrated(&host, &old).ended(11);
    assert_eq!(ran.out, old.replace("imczmq", "imrzmq"));
}

#[test]
fn included_files_are_printed_by_name_and_written_below_a_folder() {
    let host = Host::new();
    host.write("rsyslog.conf", "include(file=\"{s}/d/*.conf\")\n*.* /var/log/all\n");
    host.write("d/a.conf", "module(load=\"omczmq\")\n");
    host.write(
        "d/b.conf",
        "action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"tcp://127.0.0.1:1\")\n",
    );
    host.write("d/c.conf", "# nothing of it\n");
    fs::set_permissions(host.at("d/b.conf"), fs::Permissions::from_mode(0o640)).expect("mode");
    let run = |more: &str| {
        let line = host.fill(&format!("migrate rsyslog.conf {more}"));
        Rzlog::of(&line).in_folder(host.folder.path()).run()
    };
    let ran = run("").ended(0);
    assert_eq!(ran.out, host.fill("include(file=\"{s}/d/*.conf\")\n*.* /var/log/all\n"));
    let changed: Vec<_> = ran.err.lines().filter(|line| line.contains("changes, too")).collect();
    assert_eq!(changed.len(), 2, "{ran:?}");
    assert_eq!(run("--only {s}/d/a.conf").ended(0).out, "module(load=\"omrzmq\")\n");
    assert_eq!(run("--only d/c.conf").ended(0).out, "# nothing of it\n");
    run("--only keys/server").complains(&["keys/server is not included in rsyslog.conf"]);
    let names = run("--out {s}/new").ended(0).out;
    let real = fs::canonicalize(host.folder.path()).expect("a path");
    let below = host.at("new").join(real.strip_prefix("/").expect("absolute"));
    let expected = ["d/a.conf", "d/b.conf"].map(|name| format!("{}\n", below.join(name).display()));
    assert_eq!(names, expected.concat());
    let new = fs::read_to_string(below.join("d/b.conf")).expect("written");
    assert!(new.starts_with("action(type=\"omrzmq\""), "{new}");
    let mode = fs::metadata(below.join("d/b.conf")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!below.join("d/c.conf").exists() && !below.join("rsyslog.conf").exists());
    // what is there is kept
    run("--out {s}/new").complains(&["d/a.conf", "exists"]);
}

/// A sender and a receiver of the C modules, whose configurations are moved, one and both.
struct Pair {
    host: Host,
    endpoint: String,
}

impl Pair {
    fn new() -> Pair {
        let (host, endpoint) = (Host::new(), free_endpoint());
        // the client's key is in the folder of allowed ones already
        Keys::new("other").write_public(&host.at("allowed"));
        Pair { host, endpoint }
    }

    fn text(&self, old: &str, flavour: Flavour) -> String {
        let text = self.host.fill(&old.replace("ENDPOINT", &self.endpoint));
        match flavour {
            Flavour::Czmq => text,
            Flavour::Rzmq => migrated(&self.host, &text).ended(0).out,
        }
    }

    fn receiver(&self, flavour: Flavour) -> Rsyslogd {
        let old = format!(
            "module(load=\"imczmq\" {SERVER})\n\
             input(type=\"imczmq\" socktype=\"PULL\" endpoints=\"@ENDPOINT\")\n"
        );
        let site = Site::of(flavour).without_feed().with(&self.text(&old, flavour));
        site.file("out.log", "%msg:::drop-last-lf%\\n").start()
    }

    fn sender(&self, flavour: Flavour) -> Rsyslogd {
        let old = format!(
            "module(load=\"omczmq\" {CLIENT})\n\
             *.* action(type=\"omczmq\" socktype=\"PUSH\" endpoints=\"ENDPOINT\")\n"
        );
        Site::of(flavour).with(&self.text(&old, flavour)).start()
    }

    fn carries_lines(&self, from: Flavour, to: Flavour) {
        let mut receiver = self.receiver(to);
        let mut sender = self.sender(from);
        sender.feed(0..500);
        let lines = receiver.wait_lines("out.log", 500, SOON);
        Oracle::judge(0..500, &lines).once_in_order();
        sender.stop();
        receiver.stop();
    }
}

#[test]
fn a_migrated_pair_carries_lines_over_curve() {
    Pair::new().carries_lines(Flavour::Rzmq, Flavour::Rzmq);
}

#[test]
fn a_migrated_sender_reaches_an_old_receiver() {
    Pair::new().carries_lines(Flavour::Rzmq, Flavour::Czmq);
}

#[test]
fn a_migrated_receiver_takes_lines_of_an_old_sender() {
    Pair::new().carries_lines(Flavour::Czmq, Flavour::Rzmq);
}

/// It is CURVE, and for those who are let in: a stranger's key is not.
#[test]
fn a_migrated_receiver_lets_in_who_is_allowed() {
    let pair = Pair::new();
    fs::remove_file(pair.host.at("allowed/client")).expect("removed");
    let mut receiver = pair.receiver(Flavour::Rzmq);
    let sender = pair.sender(Flavour::Rzmq);
    sender.feed(0..10);
    receiver.wait_log(&["imrzmq", "is not among those allowed"], SOON);
    assert!(receiver.lines("out.log").is_empty());
}
