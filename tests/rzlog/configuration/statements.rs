//! What is wrong with a statement, of the C modules and of ours.

use super::{CLIENT, Host, finds};

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
