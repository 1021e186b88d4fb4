//! Bad input: `rsyslogd -N1` finds every mistake in a parameter or a certificate, names the
//! instance, the parameter, the value and what is allowed, and nothing falls back to plaintext.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::ports::free_endpoint;
use harness::{Check, Keys, Peer, Site, secs};

/// Mistakes that both modules must find: parameter, value, a word of what is allowed.
const SHARED: &[(&str, &str, &str)] = &[
    ("heartbeativl", "-1", "0 to"),
    ("heartbeativl", "often", "whole number"),
    ("heartbeativl", "", "whole number"),
    ("heartbeativl", "5s", "whole number"),
    ("heartbeativl", "1e3", "whole number"),
    ("heartbeativl", "0x10", "whole number"),
    ("heartbeativl", "99999999999999999999", "0 to"),
    ("heartbeattimeout", "-2", "0 to"),
    ("heartbeatttl", "99999999", "0 to"),
    ("connecttimeout", "-1", "0 to"),
    ("reconnectivl", "0", "1 to"),
    ("reconnectivl", "-1", "1 to"),
    ("reconnectivlmax", "-1", "0 to"),
    ("tcpkeepalive", "maybe", "on"),
    ("tcpkeepalive", "", "on"),
    ("tcpkeepaliveidle", "0", "1 to"),
    ("tcpkeepaliveidle", "2147483648", "1 to"),
    ("tcpkeepaliveintvl", "-5", "1 to"),
    ("tcpkeepalivecnt", "many", "1 to"),
    ("maxmsgsize", "0", "1 to"),
    ("maxmsgsize", "-1", "1 to"),
    ("maxmsgsize", "16 mebibytes", "bytes"),
    ("maxmsgsize", "99999999999999999999g", "bytes"),
    ("linger", "-1", "0 to"),
    ("linger", "3600000", "0 to"),
    ("ipv6", "six", "on"),
    ("authtype", "CURVE", "CURVESERVER"),
    ("authtype", "PLAIN", "CURVESERVER"),
    ("authtype", "", "authtype"),
    ("authenticator", "perhaps", "on"),
    ("socktype", "REQ", "P"),
    ("socktype", "", "P"),
    ("socktype", "PULL ROUTER", "P"),
    ("socktype", "%s%n%s%n", "P"),
    ("name", "", "name"),
];

const OUTPUT: &[(&str, &str, &str)] = &[
    ("sndhwm", "-1", "0 to"),
    ("sndhwm", "ten", "0 to"),
    ("sendhwm", "-1", "0 to"),
    ("sendhwm", "2147483648", "0 to"),
    ("sendtimeout", "-2", "-1 to"),
    ("sendtimeout", "soon", "-1 to"),
    ("immediate", "later", "on"),
    ("topicframe", "2", "on"),
    ("dynatopic", "maybe", "on"),
    ("pub.nodrop", "?", "on"),
    ("socktype", "PULL", "PUSH"),
    ("socktype", "SUB", "PUB"),
];

const INPUT: &[(&str, &str, &str)] = &[
    ("rcvhwm", "-1", "0 to"),
    ("rcvhwm", "1.5", "0 to"),
    ("flowcontrol", "half", "full"),
    ("flowcontrol", "", "full"),
    ("ratelimit.interval", "-1", "0 to"),
    ("ratelimit.burst", "many", "whole number"),
    ("metadata", "some", "on"),
    ("socktype", "PUSH", "PULL"),
    ("socktype", "PUB", "SUB"),
];

/// Endpoints that cannot work, and a word of the reason.
const ENDPOINTS: &[(&str, &str)] = &[
    ("", "endpoint"),
    ("localhost:5140", "tcp://"),
    ("tcp://127.0.0.1", "port"),
    ("tcp://127.0.0.1:70000", "65535"),
    ("tcp://127.0.0.1:-1", "65535"),
    ("@tcp://127.0.0.1:", "port"),
    ("@>tcp://127.0.0.1:1", "sign"),
    (">tcp://*:5140", "*"),
    ("tcp://127.0.0.1:1,,tcp://127.0.0.1:2", "comma"),
    ("udp://127.0.0.1:5140", "udp"),
    ("inproc://somewhere", "inproc"),
    ("ipc://", "path"),
    ("tcp://300.1.1.1:5140", "IPv4"),
    ("tcp://[::1:5140", "["),
];

/// One configuration with an instance for each mistake, and one that is fine.
struct Mistakes {
    site: Site,
    module: &'static str,
    statement: &'static str,
    cases: Vec<(String, Vec<String>)>,
}

impl Mistakes {
    fn new(module: &'static str, statement: &'static str) -> Self {
        let site = Site::new().add(&format!("module(load=\"{module}\")"));
        // A configuration without any good action would be refused for that alone.
        let site = site.file("out.log", "%msg%\\n");
        Mistakes {
            site,
            module,
            statement,
            cases: Vec::new(),
        }
    }

    /// An instance with these parameters; its error line must have all of these words.
    fn add(&mut self, parameters: &str, words: &[&str]) {
        let name = format!("case-{}", self.cases.len());
        let (module, statement) = (self.module, self.statement);
        let named = match parameters.contains("name=") {
            true => String::new(),
            false => format!("name=\"{name}\""),
        };
        let part = format!("{statement}(type=\"{module}\" {named} {parameters})");
        let site = std::mem::take(&mut self.site);
        self.site = site.add(&part);
        let mut expected: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        expected.push(match named.is_empty() {
            true => format!("{module}["),
            false => format!("{module}[{name}]"),
        });
        self.cases.push((part, expected));
    }

    /// Runs the check; each case must have its line.
    fn judge(self) -> Check {
        let check = self.site.check();
        let mut missing = Vec::new();
        for (part, words) in &self.cases {
            let found = check
                .complaints()
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word.as_str())));
            if !found {
                missing.push(format!("{part}\n    no line with all of {words:?}"));
            }
        }
        check.refuses(&[]);
        assert!(
            missing.is_empty(),
            "{} of {} mistakes are not named:\n{}\nrsyslogd said:\n{}",
            missing.len(),
            self.cases.len(),
            missing.join("\n"),
            check.text
        );
        check
    }
}

fn value_mistakes(
    module: &'static str,
    statement: &'static str,
    good_type: &str,
    own: &[(&str, &str, &str)],
) {
    let mut mistakes = Mistakes::new(module, statement);
    for (parameter, value, allowed) in SHARED.iter().chain(own) {
        let socktype = match *parameter == "socktype" {
            true => String::new(),
            false => format!("socktype=\"{good_type}\""),
        };
        let parameters =
            format!("endpoints=\"tcp://127.0.0.1:5140\" {socktype} {parameter}=\"{value}\"");
        mistakes.add(&parameters, &[parameter, value, allowed]);
    }
    for (endpoints, reason) in ENDPOINTS {
        let parameters = format!("endpoints=\"{endpoints}\" socktype=\"{good_type}\"");
        let last = endpoints.split(',').next().unwrap_or_default();
        let shown = if reason == &"comma" { "" } else { last };
        mistakes.add(&parameters, &["endpoint", shown, reason]);
    }
    mistakes.judge();
}

#[test]
fn bad_values_of_the_output_are_named() {
    value_mistakes("omrzmq", "action", "PUSH", OUTPUT);
}

#[test]
fn bad_values_of_the_input_are_named() {
    value_mistakes("imrzmq", "input", "PULL", INPUT);
}

#[test]
fn bad_values_of_the_module_statement_are_named() {
    for module in ["imrzmq", "omrzmq"] {
        for (parameter, value) in [
            ("iothreads", "0"),
            ("iothreads", "65"),
            ("iothreads", "two"),
            ("authtype", "NULL"),
            ("authenticator", "2"),
        ] {
            let (statement, kind) = match module {
                "imrzmq" => ("input", "PULL"),
                _ => ("action", "PUSH"),
            };
            let site = Site::new()
                .file("out.log", "%msg%\\n")
                .add(&format!(
                    "module(load=\"{module}\" {parameter}=\"{value}\")"
                ))
                .add(&format!(
                    "{statement}(type=\"{module}\" endpoints=\"tcp://127.0.0.1:5140\" \
                     socktype=\"{kind}\")"
                ));
            site.check().refuses(&[module, parameter, value]);
        }
    }
}

#[test]
fn required_parameters_are_asked_for() {
    for (module, statement) in [("imrzmq", "input"), ("omrzmq", "action")] {
        for (written, missing) in [
            ("socktype=\"PULL\"", "endpoints"),
            ("endpoints=\"tcp://127.0.0.1:1\"", "socktype"),
        ] {
            let site = Site::new()
                .file("out.log", "%msg%\\n")
                .add(&format!("module(load=\"{module}\")"))
                .add(&format!("{statement}(type=\"{module}\" {written})"));
            site.check().refuses(&[missing]);
        }
    }
}

/// Long, binary, with quotes and format characters: an error of a bearable length, and no crash.
#[test]
fn hostile_values_end_in_a_short_error() {
    let long = "A".repeat(20_000);
    for value in [
        long.as_str(),
        "%n%n%n%n%s%s%s%s%1000000d",
        "\u{1b}[2J\u{202e}evil",
        "\\\"quoted\\\" and 'quoted'",
        "$(reboot)`reboot`",
        "../../../../etc/passwd",
    ] {
        for parameter in [
            "heartbeativl",
            "socktype",
            "authtype",
            "endpoints",
            "maxmsgsize",
        ] {
            let mut parameters = vec![
                ("endpoints", "tcp://127.0.0.1:5140"),
                ("socktype", "PUSH"),
                (parameter, value),
            ];
            if let Some(at) = parameters[..2]
                .iter()
                .position(|(name, _)| *name == parameter)
            {
                parameters.remove(at);
            }
            let text: Vec<_> = parameters
                .iter()
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            let site = Site::new()
                .file("out.log", "%msg%\\n")
                .sending("", &text.join(" "));
            let check = site.check();
            check.refuses(&["omrzmq", parameter]);
            let longest = check
                .complaints()
                .iter()
                .map(|line| line.len())
                .max()
                .unwrap_or(0);
            assert!(
                longest < 1_000,
                "a line of {longest} bytes about {parameter}"
            );
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error_and_no_crash() {
    let site = Site::sender(
        "",
        "endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PU\u{fffd}SH\"",
    );
    let check = site.check();
    check.refuses(&["omrzmq", "socktype"]);
}

#[test]
fn a_configuration_with_every_parameter_is_fine() {
    let site = Site::new();
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    server.write(&site.path("keys"));
    client.write(&site.path("keys"));
    client.write_public(&site.path("allowed"));
    let shared = "ipv6=\"off\" tcpkeepalive=\"on\" tcpkeepaliveidle=\"60\" \
                  tcpkeepaliveintvl=\"10\" tcpkeepalivecnt=\"5\" heartbeativl=\"5000\" \
                  heartbeattimeout=\"15000\" heartbeatttl=\"15000\" connecttimeout=\"2000\" \
                  reconnectivl=\"100\" reconnectivlmax=\"2000\" maxmsgsize=\"16m\" linger=\"500\"";
    let as_server = format!(
        "authtype=\"curveServer\" authenticator=\"on\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("allowed").display()
    );
    let as_client = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        site.path("keys/server").display(),
        site.path("keys/client").display()
    );
    let work = site.work().display().to_string();
    let site = site
        .add(&format!(
            "module(load=\"imrzmq\" iothreads=\"2\" {as_server})"
        ))
        .add(&format!(
            "module(load=\"omrzmq\" iothreads=\"1\" {as_client})"
        ))
        .add("template(name=\"t1\" type=\"string\" string=\"%hostname%.\")")
        .add("ruleset(name=\"remote\" queue.type=\"LinkedList\") { stop }")
        .add(&format!(
            "input(type=\"imrzmq\" name=\"in\" endpoints=\"@tcp://127.0.0.1:5140, \
             ipc://{work}/in.sock\" socktype=\"PULL\" ruleset=\"remote\" rcvhwm=\"500\" \
             flowcontrol=\"light\" ratelimit.interval=\"5\" ratelimit.burst=\"1000\" \
             metadata=\"on\" {shared})"
        ))
        .add(&format!(
            "input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5141\" socktype=\"SUB\" \
             topics=[\"a\", \"b\"] ruleset=\"remote\" {as_client})"
        ))
        .add(&format!(
            "action(type=\"omrzmq\" name=\"out\" endpoints=\"tcp://127.0.0.1:5142\" \
             socktype=\"PUSH\" template=\"RSYSLOG_ForwardFormat\" sndhwm=\"500\" \
             sendtimeout=\"-1\" immediate=\"on\" queue.type=\"Disk\" queue.filename=\"q\" \
             queue.size=\"100000\" queue.checkpointInterval=\"1\" queue.timeoutShutdown=\"10000\" \
             {shared})"
        ))
        .add(&format!(
            "action(type=\"omrzmq\" name=\"pub\" endpoints=\"tcp://*:5143\" socktype=\"PUB\" \
             topics=\"t1\" dynatopic=\"on\" topicframe=\"on\" pub.nodrop=\"off\" {as_server})"
        ));
    site.check().clean();
}

#[test]
fn draft_socket_types_on_a_stock_libzmq_say_what_is_missing() {
    if zmq::has("draft") == Some(true) {
        return harness::skip::skipped("draft_socket_types…", "this libzmq has its draft API");
    }
    let mut mistakes = Mistakes::new("omrzmq", "action");
    for kind in ["RADIO", "SCATTER", "CLIENT"] {
        let parameters = format!("endpoints=\"tcp://127.0.0.1:1\" socktype=\"{kind}\"");
        mistakes.add(&parameters, &["socktype", kind, "draft", "PUSH"]);
    }
    mistakes.judge();
    let mut mistakes = Mistakes::new("imrzmq", "input");
    for kind in ["DISH", "GATHER", "SERVER"] {
        let parameters = format!("endpoints=\"tcp://127.0.0.1:1\" socktype=\"{kind}\"");
        mistakes.add(&parameters, &["socktype", kind, "draft", "PULL"]);
    }
    mistakes.judge();
}

#[test]
fn more_dynamic_topics_than_the_engine_takes_are_an_error() {
    let mut mistakes = Mistakes::new("omrzmq", "action");
    mistakes.add(
        "endpoints=\"tcp://127.0.0.1:1\" socktype=\"PUB\" dynatopic=\"on\" topics=\"a,b,c,d,e\"",
        &["topics"],
    );
    mistakes.judge();
}

#[test]
fn ruleset_that_does_not_exist_is_an_error() {
    let mut mistakes = Mistakes::new("imrzmq", "input");
    mistakes.add(
        "endpoints=\"tcp://127.0.0.1:1\" socktype=\"PULL\" ruleset=\"nowhere\"",
        &["ruleset", "nowhere"],
    );
    mistakes.judge();
}

#[test]
fn ipv6_address_without_ipv6_is_an_error() {
    for (module, statement, kind) in [("omrzmq", "action", "PUSH"), ("imrzmq", "input", "PULL")] {
        let mut mistakes = Mistakes::new(module, statement);
        let parameters = format!("endpoints=\"tcp://[::1]:5140\" socktype=\"{kind}\"");
        mistakes.add(&parameters, &["ipv6"]);
        mistakes.judge();
    }
}

/// Keys filed in `keys/` (server, client) and `allowed/` (client), and some broken ones.
fn file_keys(site: &Site) {
    let keys = site.path("keys");
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    server.write(&keys);
    client.write(&keys);
    client.write_public(&site.path("allowed"));
    Keys::new("public-only").write_public(&keys);
    fs::create_dir(site.path("nobody")).expect("folder");
    let own = Keys::new("exposed");
    own.write(&keys);
    let secret = keys.join("exposed_secret");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o644)).expect("mode");
    let write = |name: &str, text: &str| {
        let path = keys.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    };
    write("empty", "");
    write(
        "short",
        "curve\n    public-key = \"tooshort\"\n    secret-key = \"tooshort\"\n",
    );
    let mixed = format!(
        "curve\n    public-key = \"{}\"\n    secret-key = \"{}\"\n",
        server.public_z85(),
        client.secret_z85()
    );
    write("mixed", &mixed);
    fs::write(keys.join("binary"), [0, 159, 146, 150, 255, 10].repeat(50)).expect("written");
}

/// Mistakes in trust, with the word that must be named. `{k}` is the keys' folder, `{s}` the site's.
const TRUST_AS_SERVER: &[(&str, &[&str])] = &[
    ("authtype=\"CURVESERVER\"", &["servercertpath"]),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\"",
        &["clientcertpath"],
    ),
    (
        "authtype=\"CURVESERVER\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath"],
    ),
    ("authenticator=\"on\"", &["authtype"]),
    (
        "authenticator=\"on\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &["authtype"],
    ),
    (
        "servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &["authtype"],
    ),
    (
        "authtype=\"CURVESERVER\" authenticator=\"off\" servercertpath=\"{k}/server\" \
         clientcertpath=\"{s}/allowed\"",
        &["authenticator", "*"],
    ),
    (
        "authtype=\"CURVESERVERS\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &["authtype", "CURVESERVERS", "CURVESERVER, CURVECLIENT"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/absent\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/absent", "No such file"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/public-only\" \
         clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "secret-key"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/exposed\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/exposed_secret", "0644"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/empty\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/empty"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/short\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/short", "line"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/mixed\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/mixed"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/binary\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "{k}/binary"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}\" clientcertpath=\"{s}/allowed\"",
        &["servercertpath", "directory"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/nobody\"",
        &["clientcertpath", "{s}/nobody"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/absent\"",
        &["clientcertpath", "{s}/absent", "No such file"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/client\"",
        &["clientcertpath", "{k}/client", "directory"],
    ),
];

const TRUST_AS_CLIENT: &[(&str, &[&str])] = &[
    ("authtype=\"CURVECLIENT\"", &["servercertpath"]),
    (
        "authtype=\"CURVECLIENT\" clientcertpath=\"{k}/client\"",
        &["servercertpath"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\"",
        &["clientcertpath"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"*\" clientcertpath=\"{k}/client\"",
        &["servercertpath"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/absent\" clientcertpath=\"{k}/client\"",
        &["servercertpath", "{k}/absent", "No such file"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/absent\"",
        &["clientcertpath", "{k}/absent", "No such file"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" \
         clientcertpath=\"{k}/public-only\"",
        &["clientcertpath", "secret-key"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/exposed\"",
        &["clientcertpath", "{k}/exposed_secret", "0644"],
    ),
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/short\" clientcertpath=\"{k}/client\"",
        &["servercertpath", "{k}/short", "line"],
    ),
];

fn filled(text: &str, site: &Site) -> String {
    text.replace("{k}", &site.path("keys").display().to_string())
        .replace(
            "{s}",
            &site
                .path("")
                .display()
                .to_string()
                .trim_end_matches('/')
                .to_owned(),
        )
}

fn trust_mistakes(module: &'static str, statement: &'static str, kinds: [&str; 2]) {
    let mut mistakes = Mistakes::new(module, statement);
    file_keys(&mistakes.site);
    for (cases, kind) in [(TRUST_AS_SERVER, kinds[0]), (TRUST_AS_CLIENT, kinds[1])] {
        for (parameters, words) in cases {
            let words: Vec<_> = words
                .iter()
                .map(|word| filled(word, &mistakes.site))
                .collect();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let parameters = filled(parameters, &mistakes.site);
            mistakes.add(
                &format!("endpoints=\"tcp://127.0.0.1:5140\" socktype=\"{kind}\" {parameters}"),
                &words,
            );
        }
    }
    mistakes.judge();
}

#[test]
fn mistakes_in_trust_on_an_action_are_named() {
    trust_mistakes("omrzmq", "action", ["PUB", "PUSH"]);
}

#[test]
fn mistakes_in_trust_on_an_input_are_named() {
    trust_mistakes("imrzmq", "input", ["PULL", "SUB"]);
}

#[test]
fn mistakes_in_trust_on_the_module_are_named() {
    for (parameters, words) in TRUST_AS_SERVER {
        let site = Site::new().file("out.log", "%msg%\\n");
        file_keys(&site);
        let parameters = filled(parameters, &site);
        let words: Vec<_> = words.iter().map(|word| filled(word, &site)).collect();
        let mut words: Vec<_> = words.iter().map(String::as_str).collect();
        words.push("imrzmq");
        let site = site
            .add(&format!("module(load=\"imrzmq\" {parameters})"))
            .add("input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PULL\")");
        site.check().refuses(&words);
    }
}

/// rsyslogd starts in spite of a mistake; the instance must not.
#[test]
fn a_mistake_in_trust_never_means_plaintext() {
    let site = Site::new()
        .add("module(load=\"imrzmq\")")
        .file("out.log", "%msg%\\n");
    file_keys(&site);
    let mut endpoints = Vec::new();
    let mut parts = Vec::new();
    for (cases, kind) in [(TRUST_AS_SERVER, "PULL"), (TRUST_AS_CLIENT, "PULL")] {
        for (parameters, _) in cases {
            let endpoint = free_endpoint();
            let parameters = filled(parameters, &site);
            parts.push(format!(
                "input(type=\"imrzmq\" endpoints=\"{endpoint}\" socktype=\"{kind}\" {parameters})"
            ));
            endpoints.push((endpoint, parameters));
        }
    }
    let mut daemon = site.add(&parts.join("\n")).start();
    let peers: Vec<_> = endpoints
        .iter()
        .map(|(endpoint, what)| (Peer::push(endpoint), what))
        .collect();
    for (peer, _) in &peers {
        peer.send(&[b"<13>plaintext"], secs(0));
    }
    std::thread::sleep(secs(1)); // that nothing comes takes time
    for (peer, what) in &peers {
        assert!(
            !peer.connects(secs(0)),
            "a plaintext peer was let in by {what}"
        );
    }
    assert!(
        daemon.lines("out.log").is_empty(),
        "a plaintext line was taken"
    );
    daemon.assert_alive();
}

/// The instance's own words win over the module's, each of the four for itself.
#[test]
fn an_instance_overrides_the_module_word_by_word() {
    let site = Site::new().file("out.log", "%msg%\\n");
    file_keys(&site);
    let module = filled(
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &site,
    );
    let absent = filled("servercertpath=\"{k}/absent\"", &site);
    let fine = site
        .add(&format!("module(load=\"imrzmq\" {module})"))
        .add("input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PULL\")");
    fine.check().clean();
    let broken = fine.add(&format!(
        "input(type=\"imrzmq\" name=\"own\" endpoints=\"tcp://127.0.0.1:5141\" \
         socktype=\"PULL\" {absent})"
    ));
    broken
        .check()
        .refuses(&["imrzmq[own]", "servercertpath", "absent"]);
}

/// A broken certificate among the allowed ones is named, and the others count.
#[test]
fn a_broken_certificate_among_the_allowed_is_named_and_harmless() {
    let site = Site::new().file("out.log", "%msg%\\n");
    file_keys(&site);
    fs::write(
        site.path("allowed/broken"),
        "curve\n    public-key = \"x\"\n",
    )
    .expect("written");
    let trust = filled(
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &site,
    );
    let site = site.add("module(load=\"imrzmq\")").add(&format!(
        "input(type=\"imrzmq\" name=\"in\" endpoints=\"tcp://127.0.0.1:5140\" \
         socktype=\"PULL\" {trust})"
    ));
    site.check()
        .says(&["imrzmq[in]", "allowed/broken", "line 2"]);
}
