//! Mistakes in single values, and a configuration without any.

use harness::{Keys, Site};

use crate::Mistakes;

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
    ("maxfailuresperaddress", "-1", "0 to"),
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
    ("pub.numbered", "5", "on"),
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
    ("enforcehost", "yes please", "on"),
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
                .with(&format!("module(load=\"{module}\" {parameter}=\"{value}\")"))
                .with(&format!(
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
        for (written, missing) in
            [("socktype=\"PULL\"", "endpoints"), ("endpoints=\"tcp://127.0.0.1:1\"", "socktype")]
        {
            let site = Site::new()
                .file("out.log", "%msg%\\n")
                .with(&format!("module(load=\"{module}\")"))
                .with(&format!("{statement}(type=\"{module}\" {written})"));
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
        for parameter in ["heartbeativl", "socktype", "authtype", "endpoints", "maxmsgsize"] {
            let mut parameters = vec![
                ("endpoints", "tcp://127.0.0.1:5140"),
                ("socktype", "PUSH"),
                (parameter, value),
            ];
            if let Some(at) = parameters[..2].iter().position(|(name, _)| *name == parameter) {
                parameters.remove(at);
            }
            let text: Vec<_> =
                parameters.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let site = Site::new().file("out.log", "%msg%\\n").sending("", &text.join(" "));
            let check = site.check();
            check.refuses(&["omrzmq", parameter]);
            let longest = check.complaints().iter().map(|line| line.len()).max().unwrap_or(0);
            assert!(longest < 1_000, "a line of {longest} bytes about {parameter}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error_and_no_crash() {
    let site = Site::sender("", "endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PU\u{fffd}SH\"");
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
        "authtype=\"curveServer\" authenticator=\"on\" servercertpath=\"{}\" clientcertpath=\"{}\" \
         allowednames=\"client,web*\"",
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
        .with(&format!("module(load=\"imrzmq\" iothreads=\"2\" {as_server})"))
        .with(&format!("module(load=\"omrzmq\" iothreads=\"1\" {as_client})"))
        .with("template(name=\"t1\" type=\"string\" string=\"%hostname%.\")")
        .with("ruleset(name=\"remote\" queue.type=\"LinkedList\") { stop }")
        .with(&format!(
            "input(type=\"imrzmq\" name=\"in\" endpoints=\"@tcp://127.0.0.1:5140, \
             ipc://{work}/in.sock\" socktype=\"PULL\" ruleset=\"remote\" rcvhwm=\"500\" \
             flowcontrol=\"light\" ratelimit.interval=\"5\" ratelimit.burst=\"1000\" \
             metadata=\"on\" enforcehost=\"on\" {shared})"
        ))
        .with(&format!(
            "input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5141\" socktype=\"SUB\" \
             topics=[\"a\", \"b\"] ruleset=\"remote\" {as_client} allowednames=\"*\")"
        ))
        .with(&format!(
            "action(type=\"omrzmq\" name=\"out\" endpoints=\"tcp://127.0.0.1:5142\" \
             socktype=\"PUSH\" template=\"RSYSLOG_ForwardFormat\" sndhwm=\"500\" \
             sendtimeout=\"-1\" immediate=\"on\" queue.type=\"Disk\" queue.filename=\"q\" \
             queue.size=\"100000\" queue.checkpointInterval=\"1\" queue.timeoutShutdown=\"10000\" \
             {shared})"
        ))
        .with(&format!(
            "action(type=\"omrzmq\" name=\"pub\" endpoints=\"tcp://*:5143\" socktype=\"PUB\" \
             topics=\"t1\" dynatopic=\"on\" topicframe=\"on\" pub.nodrop=\"off\" \
             pub.numbered=\"on\" {as_server})"
        ));
    site.check().clean();
}

#[test]
fn numbers_need_a_publisher_with_topics_in_frames_of_their_own() {
    let mut mistakes = Mistakes::new("omrzmq", "action");
    for parameters in [
        "socktype=\"PUB\"",
        "socktype=\"PUB\" topicframe=\"on\"",
        "socktype=\"PUB\" topics=\"a.\"",
        "socktype=\"PUB\" topics=\"a.\" topicframe=\"off\"",
        "socktype=\"PUSH\" topics=\"a.\" topicframe=\"on\"",
        "socktype=\"DEALER\" delivery=\"acked\"",
    ] {
        let parameters =
            format!("endpoints=\">tcp://127.0.0.1:1\" pub.numbered=\"on\" {parameters}");
        mistakes.add(&parameters, &["pub.numbered", "topicframe", "topics"]);
    }
    mistakes.judge();
}

#[test]
fn draft_socket_types_on_a_stock_libzmq_say_what_is_missing() {
    if zmq::has("draft") == Some(true) {
        // nothing is missing: `make test-drafts` runs what this libzmq has
        return;
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
fn input_with_two_mistakes_of_its_own_is_told_of_both() {
    let parameters = "endpoints=\"tcp://127.0.0.1:1\" socktype=\"PULL\" enforcehost=\"on\" \
                      ratelimit.name=\"x\" ratelimit.interval=\"5\"";
    let mut mistakes = Mistakes::new("imrzmq", "input");
    mistakes.add(parameters, &["enforcehost", "CURVESERVER"]);
    mistakes.add(parameters, &["ratelimit.name", "ratelimit.interval"]);
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

/// The check runs on production machines, beside the daemon that is at work.
#[test]
fn check_touches_neither_the_network_nor_the_disk() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tcp://{}", taken.local_addr().expect("its address"));
    taken.set_nonblocking(true).expect("non-blocking");
    let site = Site::new()
        .with("module(load=\"imrzmq\")")
        .with(&format!("input(type=\"imrzmq\" endpoints=\"@{endpoint}\" socktype=\"PULL\")"))
        .sending("", &format!("endpoints=\"{endpoint}\" socktype=\"PUSH\""));
    site.check().accepts();
    assert!(taken.accept().is_err(), "the check connected to the peer");
    assert_eq!(std::fs::read_dir(site.work()).expect("folder").count(), 0, "the check wrote");
}
