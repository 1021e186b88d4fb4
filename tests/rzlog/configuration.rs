//! `rzlog check --config`: what is unsafe, broken or ignored in a configuration, with file and line; and
//! that it sees the statements that rsyslogd sees.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use harness::rzlog::Ran;
use harness::skip::{is_root, skipped};
use harness::{Keys, Rzlog, Site};

/// A folder with a configuration and what it names.
pub struct Host {
    pub folder: tempfile::TempDir,
}

impl Host {
    /// Keys in `keys/` (server, client, exposed, stranger's public half), allowed ones in `allowed/`.
    pub fn new() -> Host {
        let host = Host { folder: tempfile::tempdir().expect("folder") };
        let keys = host.at("keys");
        for name in ["server", "client", "exposed"] {
            Keys::new(name).write(&keys);
        }
        mode(&keys.join("exposed_secret"), 0o644);
        Keys::new("stranger").write_public(&keys);
        fs::create_dir(host.at("allowed")).expect("folder");
        fs::create_dir(host.at("nobody")).expect("folder");
        fs::copy(keys.join("client"), host.at("allowed/client")).expect("a certificate");
        host
    }

    pub fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// With `{k}` for the keys' folder and `{s}` for this one.
    pub fn fill(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        text.replace("{k}", &format!("{folder}/keys")).replace("{s}", &folder)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, self.fill(text)).expect("written");
    }

    /// Of the file `rsyslog.conf`.
    pub fn check(&self) -> Ran {
        Rzlog::of("check --config rsyslog.conf").in_folder(self.folder.path()).run()
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

/// The findings of a configuration, one a line, without the name of the file.
#[track_caller]
fn finds(host: &Host, text: &str, expected: &[&str]) {
    host.write("rsyslog.conf", text);
    let ran = host.check();
    let found: Vec<_> = ran.out.lines().filter_map(|it| it.strip_prefix("rsyslog.conf:")).collect();
    let expected: Vec<_> = expected.iter().map(|line| host.fill(line)).collect();
    assert_eq!(found, expected, "\n{text}\n{ran:?}");
    let status = match expected.iter().all(|line| line.contains(": not read: ")) {
        _ if expected.is_empty() => 0,
        true => 12,
        false => 11,
    };
    assert_eq!(ran.status, status, "{text}\n{ran:?}");
}

const SERVER: &str = "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{k}/server\" \
                      clientcertpath=\"{s}/allowed\"";
const CLIENT: &str =
    "authtype=\"CURVECLIENT\" servercertpath=\"{k}/stranger\" clientcertpath=\"{k}/client\"";

#[test]
fn the_example_of_the_c_module_does_not_end_on_sigterm() {
    let host = Host::new();
    let example = "\
module(
  load=\"omczmq\"
  servercertpath=\"{k}/server\"
  clientcertpath=\"{s}/allowed\"
  authtype=\"CURVESERVER\"
  authenticator=\"on\"
)
template(name=\"host_first\" type=\"list\") {
  property(name=\"hostname\") constant(value=\".\") property(name=\"programname\")
}
template(name=\"program_first\" type=\"string\" string=\"%programname%.%hostname%\")
action(
  name=\"publish\"
  type=\"omczmq\"
  socktype=\"PUB\"
  endpoints=\"@tcp://*:31338\"
  topics=\"host_first,program_first\"
  dynatopic=\"on\"
  topicframe=\"on\"
)
";
    finds(
        &host,
        example,
        &["6: broken: authenticator=\"on\": rsyslogd with omczmq does not end on SIGTERM"],
    );
    // without it anybody is let in
    finds(
        &host,
        &example.replace("  authenticator=\"on\"\n", "\n"),
        &[
            "5: unsafe: CURVESERVER without authenticator=\"on\": omczmq lets any key in, and does not look \
           at clientcertpath",
        ],
    );
}

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

/// As our modules refuse it on releases that have the setting.
#[test]
fn strict_defaults_make_open_statements_broken() {
    let host = Host::new();
    let strict = "global(compatibility.defaults.secure=\"strict\")\nmodule(load=\"imrzmq\")\n";
    let input = "input(type=\"imrzmq\" socktype=\"PULL\" endpoints=\"tcp://127.0.0.1:1\"";
    let why = "which global(compatibility.defaults.secure=\"strict\") does not allow: the statement is not used";
    finds(&host, &format!("{strict}{input})\n"), &[&format!("3: broken: plaintext, {why}")]);
    finds(
        &host,
        &format!("{strict}{input} {})\n", SERVER.replace("{s}/allowed", "*")),
        &[
            "3: unsafe: clientcertpath=\"*\" lets any key in",
            &format!("3: broken: clientcertpath=\"*\" lets any key in, {why}"),
        ],
    );
    finds(&host, &format!("{strict}{input} {SERVER})\n"), &[]);
    finds(&host, &format!("{}{input})\n", strict.replace("strict", "warn")), &[]);
}

/// As LogTalez' published configuration has it.
#[test]
fn logtalez_publishes_in_plaintext() {
    let host = Host::new();
    finds(
        &host,
        "\
module(load=\"omczmq\")
module(load=\"mmjsonparse\")
template(name=\"t\" type=\"list\") {
  property(name=\"hostname\")
  constant(value=\"\\\"@timestamp\\\":\\\"\")
  property(name=\"$!all-json\" position.from=\"2\")
}
ruleset(name=\"publisher\") {
\taction(
\t\tname=\"curve_server_socket\"
\t\ttemplate=\"t\"
\t\ttype=\"omczmq\"
\t\tendpoints=\"tcp://127.0.0.1:44444\"
\t\tsocktype=\"PUB\"
\t\tauthtype=\"CURVESERVER\"
\t\tclientcertpath=\"{s}/allowed/\"
\t\tservercertpath=\"{k}/server\"
\t)
}
action(name=\"json_parse\" type=\"mmjsonparse\")
if $parsesuccess == \"OK\" then {
\tcall publisher
}
",
        &[
            "11: broken: template makes rsyslogd crash at each stop (freed twice)",
            "15: unsafe: authtype is not a parameter of omczmq's action(): it speaks plaintext, with \
             everybody. omczmq has it on module(load=\"omczmq\" …) only; omrzmq on both",
        ],
    );
}

#[test]
fn what_the_c_modules_ignore_or_die_of_is_told() {
    let host = Host::new();
    // `M` is the module's parameters, `A` the action's: what is found of them
    let action = "endpoints=\"tcp://127.0.0.1:1\" socktype=";
    for (module, more, expected) in [
        ("", "\"PUSH\"", &[][..]),
        (
            "",
            "\"PUSSH\"",
            &[
                "2: broken: socktype=\"PUSSH\" is not known to omczmq: rsyslogd aborts at the first line; did you mean PUSH?",
            ],
        ),
        (
            "",
            "\"push\"",
            &[
                "2: broken: socktype=\"push\" is not known to omczmq: rsyslogd aborts at the first line; did you mean PUSH?",
            ],
        ),
        (
            "",
            "\"PULL\"",
            &[
                "2: broken: socktype=\"PULL\" is not known to omczmq: rsyslogd aborts at the first line",
            ],
        ),
        (
            "",
            "\"PUSH\" topics=\"a\" ipv6=\"on\" topcis=\"b\"",
            &[
                "2: ignored: ipv6 is not a parameter of omczmq; omrzmq has it",
                "2: ignored: topcis is not a parameter of omczmq; did you mean topics?",
                "2: ignored: topics: only PUB sockets have topics",
            ],
        ),
        (
            "",
            "\"PUB\" dynatopic=\"on\"",
            &["2: broken: dynatopic without topics makes rsyslogd crash, with -N1 too"],
        ),
        (
            "",
            "\"PUB\" topics=\"a\" topicframe=\"off\"",
            &[
                "2: ignored: topicframe=\"off\": omczmq sends two frames all the same, nearly always",
            ],
        ),
        (
            "",
            "\"PUSH\" sendhwm=\"10\" connecttimeout=\"5\"",
            &[
                "2: broken: connecttimeout makes omczmq reject the action: nothing is sent",
                "2: broken: sendhwm: omczmq takes it for sendtimeout, in milliseconds, and not for a high-water mark: each time the action is suspended, what the socket holds is thrown away, and counts as sent",
            ],
        ),
        (
            "",
            "\"PUSH\" sendhwm=\"10\" sendtimeout=\"-1\" heartbeativl=\"5\"",
            &[
                "2: ignored: heartbeativl: omczmq never applies heartbeats",
                "2: ignored: sendhwm: omczmq takes it for sendtimeout, and that is written, too",
            ],
        ),
        // of what is written twice the last counts
        (
            "",
            "\"PUSSH\" socktype=\"PUSH\"",
            &["2: broken: socktype is written twice: rsyslogd takes the last one"],
        ),
        (
            "",
            "\"PUB\" topics=[\"a\"]",
            &[
                "2: broken: topics is a list in brackets; omczmq needs one text, with commas if there are several",
            ],
        ),
        (
            "",
            "\"PUB\" topics=\"a, b\"",
            &["2: broken: topics has white space in it: rsyslogd refuses the statement"],
        ),
        ("", "\"PUSH\" sendtimeout=\"-1\"", &[]),
        (
            "",
            "\"PUSH\" sendtimeout=\"100\"",
            &[
                "2: broken: sendtimeout: each time the action is suspended, what the socket holds is thrown away, and counts as sent",
            ],
        ),
        (
            "",
            "\"PUSH\" sendtimeout=\"soon\"",
            &["2: ignored: sendtimeout=\"soon\" is no number: it means 0"],
        ),
        (
            "authtype=\"curveserver\" servercertpath=\"{k}/server\"",
            "\"PUSH\"",
            &[
                "1: unsafe: authtype=\"curveserver\" is not known to omczmq, which then speaks plaintext, with everybody; it knows CURVESERVER in capitals only",
            ],
        ),
        (
            "authtype=\"CURVECLIENTS\"",
            "\"PUSH\"",
            &[
                "1: unsafe: authtype=\"CURVECLIENTS\" is not known to omczmq, which then speaks plaintext, with everybody; did you mean CURVECLIENT?",
            ],
        ),
        (
            "servercertpath=\"{k}/server\"",
            "\"PUSH\"",
            &[
                "1: unsafe: servercertpath without authtype: omczmq speaks plaintext, with everybody",
            ],
        ),
        (
            "authtype=\"CURVESERVER\" authenticator=\"on\"",
            "\"PUSH\"",
            &[
                "1: broken: authtype without servercertpath makes rsyslogd abort",
                "1: broken: authenticator=\"on\" without clientcertpath crashes rsyslogd",
            ],
        ),
        (
            "authtype=\"CURVECLIENT\" servercertpath=\"{k}/stranger\" clientcertpath=\"*\"",
            "\"PUSH\"",
            &[
                "1: broken: clientcertpath=\"*\" is the name of a file to omczmq; omrzmq and imrzmq make a fresh key for it",
            ],
        ),
        (CLIENT, "\"PUSH\"", &[]),
        (
            CLIENT,
            "\"PUSH\" authtype=\"CURVESERVER\"",
            &[
                "2: ignored: authtype is not a parameter of omczmq's action(): what module(load=\"omczmq\" …) says counts",
            ],
        ),
    ] {
        let text =
            format!("module(load=\"omczmq\" {module})\naction(type=\"omczmq\" {action}{more})\n");
        finds(&host, &text, expected);
    }
    for (more, expected) in [
        ("socktype=\"PULL\"", &[][..]),
        ("socktype=\"SUB\"", &["3: broken: a SUB without topics receives nothing, without a word"]),
        (
            "socktype=\"SUB\" topics=\"\"",
            &["3: broken: a SUB without topics receives nothing, without a word"],
        ),
        (
            "socktype=\"SUB\" topics=\"a\" ruleset=\"r\"",
            &["3: broken: ruleset makes rsyslogd crash at each stop"],
        ),
        ("", &["3: broken: socktype is missing"]),
    ] {
        let text = format!(
            "module(load=\"imczmq\")\n\ninput(type=\"imczmq\" endpoints=\"@tcp://127.0.0.1:1\" {more})\n"
        );
        finds(&host, &text, expected);
    }
    let long = "t".repeat(256);
    finds(
        &host,
        &format!(
            "$ModLoad omczmq\naction(type=\"omczmq\" endpoints=\"tcp://127.0.0.1:1\" socktype=\"PUB\" \
             topics=\"{long}\")\n"
        ),
        &["2: broken: a topic of more than 255 bytes makes rsyslogd crash"],
    );
}

#[test]
fn plaintext_that_leaves_the_host_is_unsafe() {
    let host = Host::new();
    finds(
        &host,
        "\
module(load=\"omczmq\") module(load=\"omrzmq\") module(load=\"imrzmq\")
action(type=\"omczmq\" socktype=\"PUSH\"
       endpoints=\"tcp://127.0.0.1:1,tcp://loghost:1,ipc:///run/x\")
action(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"tcp://[::1]:1,tcp://10.0.0.1:1\" ipv6=\"on\")
input(type=\"imrzmq\" socktype=\"PULL\" endpoints=\"tcp://*:2\")
",
        &[
            "3: unsafe: tcp://loghost:1 in plaintext: whoever is on the way reads and writes lines",
            "4: unsafe: tcp://10.0.0.1:1 in plaintext: whoever is on the way reads and writes lines. \
             Write authtype, servercertpath and clientcertpath",
            "5: unsafe: tcp://*:2 in plaintext: whoever is on the way reads and writes lines. \
             Write authtype, servercertpath and clientcertpath",
        ],
    );
}

#[test]
fn curve_on_one_side_only_is_told() {
    let host = Host::new();
    finds(
        &host,
        &format!(
            "module(load=\"imczmq\" {SERVER})\n\
             input(type=\"imczmq\" socktype=\"PULL\" endpoints=\"tcp://127.0.0.1:5140\")\n\
             module(load=\"omrzmq\")\n\
             action(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"tcp://localhost:5140\")\n"
        ),
        &[
            "4: broken: speaks plaintext to tcp://localhost:5140, where rsyslog.conf:2 speaks CURVE: no line \
           gets through",
        ],
    );
}

/// Of both kinds of modules.
#[test]
fn keys_that_are_named_are_looked_at() {
    let host = Host::new();
    let keys = host.at("keys");
    Keys::new("loose").write(&keys);
    mode(&keys.join("loose"), 0o666);
    Keys::new("open").write_public(&host.at("open"));
    mode(&host.at("open"), 0o777);
    fs::create_dir(host.at("secrets")).expect("folder");
    fs::copy(keys.join("client_secret"), host.at("secrets/client")).expect("a copy");
    // beside its public half it is passed over
    Keys::new("whole").write(&host.at("alone"));
    fs::copy(keys.join("client_secret"), host.at("alone/client_secret")).expect("a copy");
    let secret = "holds the secret key of another party: only the public half belongs here, and who has \
                  read it can take that party's place";
    for (server, client, expected) in [
        (
            "{k}/absent",
            "{s}/allowed",
            "servercertpath: {k}/absent: cannot be read: No such file or directory",
        ),
        (
            "{k}/exposed",
            "{s}/allowed",
            "servercertpath: {k}/exposed_secret holds a secret key and can be read by others than its owner (mode 0644): chmod 600 {k}/exposed_secret",
        ),
        (
            "{k}/stranger",
            "{s}/allowed",
            "servercertpath: {k}/stranger: holds no secret-key, and there is no {k}/stranger_secret: an own key needs one",
        ),
        (
            "{k}/server",
            "{k}/client",
            "clientcertpath: {k}/client is not a directory: it must be one, with a certificate file for each key allowed",
        ),
        (
            "{k}/server",
            "{s}/open",
            "clientcertpath: everybody on this host may write to {s}/open and let keys in: chmod o-w",
        ),
        ("{k}/server", "{s}/secrets", &format!("clientcertpath: {{s}}/secrets/client {secret}")),
        (
            "{k}/server",
            "{s}/alone",
            "clientcertpath: not let in: {s}/alone/client_secret is by its name (_secret) the file of a secret key, which lets nobody in: put the public half of the key here",
        ),
        ("{k}/server", "*", "clientcertpath=\"*\" lets any key in"),
    ] {
        for (module, on) in [("imczmq", "authenticator=\"on\""), ("imrzmq", "")] {
            let kind = if ["exposed", "open", "secrets", "alone", "*"]
                .iter()
                .any(|it| server.contains(it) || client.contains(it))
            {
                "unsafe"
            } else {
                "broken"
            };
            finds(
                &host,
                &format!(
                    "module(load=\"{module}\" authtype=\"CURVESERVER\" {on}\nservercertpath=\"{server}\"\n\
                     clientcertpath=\"{client}\")\n\
                     input(type=\"{module}\" socktype=\"PULL\" endpoints=\"tcp://*:1\")\n"
                ),
                &[&format!(
                    "{}: {kind}: {expected}",
                    if expected.starts_with("server") { 2 } else { 3 }
                )],
            );
        }
    }
    for (server, client, expected) in [
        ("{k}/server_secret", "{k}/client", format!("2: unsafe: servercertpath: {{k}}/server_secret {secret}")),
        ("{k}/loose", "{k}/client", "2: unsafe: servercertpath: everybody on this host may change {k}/loose: chmod o-w".into()),
        ("{k}/stranger", "{k}/stranger", "3: broken: clientcertpath: {k}/stranger: holds no secret-key, and there is no {k}/stranger_secret: an own key needs one".into()),
    ] {
        for module in ["omczmq", "omrzmq"] {
            finds(
                &host,
                &format!(
                    "module(load=\"{module}\" authtype=\"CURVECLIENT\"\nservercertpath=\"{server}\"\n\
                     clientcertpath=\"{client}\")\n\
                     action(type=\"{module}\" socktype=\"PUSH\" endpoints=\"tcp://loghost:1\")\n"
                ),
                &[&expected],
            );
        }
    }
    // one half beside the other is how czmq files them
    finds(
        &host,
        "module(load=\"omrzmq\")\naction(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"tcp://loghost:1\" \
         authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/client_secret\")\n",
        &[],
    );
}

#[test]
fn keys_that_may_not_be_read_are_told_as_such() {
    if is_root() {
        return skipped("keys_that_may_not_be_read_are_told_as_such", "root may read all of them");
    }
    let host = Host::new();
    mode(&host.at("keys/server_secret"), 0o000);
    finds(
        &host,
        &format!(
            "module(load=\"imrzmq\" {SERVER})\n\
             input(type=\"imrzmq\" socktype=\"PULL\" endpoints=\"tcp://*:1\")\n"
        ),
        &["1: not read: servercertpath: {k}/server_secret: cannot be read: Permission denied"],
    );
}

#[test]
fn our_own_statements_are_looked_at_too() {
    let host = Host::new();
    for (more, expected) in [
        ("socktype=\"PULL\"", &[][..]),
        (
            "socktype=\"PUL\"",
            &[
                "2: broken: socktype \"PUL\" is not known here; possible: SUB, PULL, ROUTER; did you mean PULL?",
            ],
        ),
        (
            "socktype=\"PULL\" metdata=\"on\" config.enabled=\"on\"",
            &["2: ignored: metdata is not a parameter of imrzmq; did you mean metadata?"],
        ),
        ("socktype=\"PULL\" metdata=\"on\" config.enabled=\"off\"", &[]),
        (
            "socktype=\"PULL\" authtype=\"CURVESERVER\" servercertpath=\"{k}/server\"",
            &[
                "2: broken: authtype=\"CURVESERVER\" needs clientcertpath: the directory of the allowed clients' public certificates, or \"*\" to let any key in; the statement is not used",
            ],
        ),
        (
            "socktype=\"PULL\" clientcertpath=\"{s}/allowed\"",
            &[
                "2: broken: clientcertpath is given, but authtype is not: without authtype=\"CURVESERVER\" or authtype=\"CURVECLIENT\" everything would travel in plaintext; the statement is not used",
            ],
        ),
        (
            "socktype=\"PULL\" authtype=`echo $HOME`",
            &["2: not read: its trust depends on rsyslogd's environment"],
        ),
    ] {
        let text = format!(
            "module(load=\"imrzmq\")\ninput(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:1\" {more})\n"
        );
        finds(&host, &text, expected);
    }
    finds(
        &host,
        "action(type=\"omrzmq\" socktype=\"PUSH\" endpoints=\"localhost:1\")\n",
        &[
            "1: broken: nothing loads omrzmq: module(load=\"omrzmq\") is missing",
            "1: broken: endpoint \"localhost:1\": has no transport: write tcp://localhost:1 (or ipc:// and a \
             path)",
        ],
    );
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
