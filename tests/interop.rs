//! Old and new modules and pyzmq talk to each other, and put the same frames on the wire.

use std::path::PathBuf;

use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::python::{PyPeer, hex, interpreter};
use harness::skip::skipped;
use harness::{Flavour, Keys, Oracle, SOON, Site, millis, ports::free_endpoint, secs};
use serde_json::json;

/// The socket types of both sides.
#[derive(Clone, Copy, PartialEq)]
enum Pattern {
    PubSub,
    PushPull,
    DealerRouter,
}

impl Pattern {
    fn sender(self) -> &'static str {
        match self {
            Pattern::PubSub => "socktype=\"PUB\" topics=\"log.\"",
            Pattern::PushPull => "socktype=\"PUSH\"",
            Pattern::DealerRouter => "socktype=\"DEALER\"",
        }
    }

    fn receiver(self) -> &'static str {
        match self {
            Pattern::PubSub => "socktype=\"SUB\" topics=\"log.\"",
            Pattern::PushPull => "socktype=\"PULL\"",
            Pattern::DealerRouter => "socktype=\"ROUTER\"",
        }
    }
}

/// Module parameters of both sides: the binding one is the server.
fn trust(pattern: Pattern, sender: &Site, receiver: &Site) -> (String, String) {
    let (binds, connects) = match pattern {
        Pattern::PubSub => (sender, receiver),
        _ => (receiver, sender),
    };
    let (server, client) = (Keys::new("server"), Keys::new("client"));
    server.write(&binds.path("keys"));
    client.write_public(&binds.path("allowed"));
    client.write(&connects.path("keys"));
    server.write_public(&connects.path("keys"));
    let as_server = format!(
        "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{}\" \
         clientcertpath=\"{}\"",
        binds.path("keys/server").display(),
        binds.path("allowed").display()
    );
    let as_client = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
        connects.path("keys/server").display(),
        connects.path("keys/client").display()
    );
    match pattern {
        Pattern::PubSub => (as_server, as_client),
        _ => (as_client, as_server),
    }
}

/// The same two configurations, with the modules' names replaced.
fn talk(from: Flavour, to: Flavour, pattern: Pattern, encrypted: bool) {
    let endpoint = free_endpoint();
    let (sender, receiver) = (Site::of(from), Site::of(to));
    let (sender_trust, receiver_trust) = match encrypted {
        true => trust(pattern, &sender, &receiver),
        false => Default::default(),
    };
    let input = format!("endpoints=\"{endpoint}\" {}", pattern.receiver());
    let action = format!("endpoints=\"{endpoint}\" {}", pattern.sender());
    let mut receiving =
        receiver.receiving(&receiver_trust, &input).file("raw.log", "%rawmsg%\\n").start();
    let mut sending = sender.sending(&sender_trust, &action).start();
    if pattern == Pattern::PubSub {
        // A PUB sends only to whom it knows.
        sending.wait("a first line", secs(20), |sending| {
            sending.feeder().texts(["warm-up"]);
            std::thread::sleep(millis(50));
            let seen = receiving.lines("raw.log");
            seen.iter().any(|line| line.contains("warm-up")).then_some(())
        });
    }
    sending.feed(0..500);
    receiving.wait("the last line", secs(20), |receiving| {
        let last = numbered(499);
        receiving.lines("raw.log").iter().any(|line| line.contains(&last)).then_some(())
    });
    let lines: Vec<_> = receiving
        .lines("raw.log")
        .into_iter()
        .filter(|line| !line.contains("warm-up"))
        // The old input makes lines of the identities of a ROUTER.
        .filter(|line| to == Flavour::Rzmq || line.contains("n="))
        .collect();
    Oracle::judge(0..500, &lines).once_in_order();
}

fn talk_all(from: Flavour, to: Flavour) {
    for pattern in [Pattern::PubSub, Pattern::PushPull, Pattern::DealerRouter] {
        for encrypted in [false, true] {
            talk(from, to, pattern, encrypted);
        }
    }
}

#[test]
fn configuration_of_the_old_modules_works_with_names_replaced() {
    talk_all(Flavour::Rzmq, Flavour::Rzmq);
}

#[test]
fn old_output_to_new_input() {
    talk_all(Flavour::Czmq, Flavour::Rzmq);
}

#[test]
fn new_output_to_old_input() {
    talk_all(Flavour::Rzmq, Flavour::Czmq);
}

/// The harness itself: what it asks of a pair of modules the old ones can do.
#[test]
fn old_output_to_old_input() {
    talk_all(Flavour::Czmq, Flavour::Czmq);
}

/// pyzmq, or a word that it is missing.
fn python(test: &str) -> Option<PathBuf> {
    let python = interpreter();
    if python.is_none() {
        skipped(test, "no Python with pyzmq (scripts/setup test makes target/venv)");
    }
    python
}

/// What an output of this flavour puts on the wire for ten lines.
fn frames(
    python: &std::path::Path,
    flavour: Flavour,
    kind: &str,
    action: &str,
) -> Vec<Vec<Vec<u8>>> {
    let endpoint = free_endpoint();
    let (peer, task) = match kind {
        "PUB" => ("SUB", json!({"connect": [endpoint], "subscribe": [""]})),
        "PUSH" => ("PULL", json!({"bind": [endpoint]})),
        _ => ("ROUTER", json!({"bind": [endpoint]})),
    };
    let mut task = task;
    task["type"] = json!(peer);
    task["count"] = json!(100_000);
    let capture = PyPeer::start(python, &task);
    let site = Site::of(flavour)
        .with("template(name=\"own\" type=\"string\" string=\"%programname%>%msg%\")")
        .with("template(name=\"host\" type=\"string\" string=\"%hostname%.\")")
        .with("template(name=\"tag\" type=\"string\" string=\"%syslogtag%\")")
        .sending("", &format!("endpoints=\"{endpoint}\" socktype=\"{kind}\" {action}"));
    let mut daemon = site.start();
    if kind == "PUB" {
        daemon.wait("a first line", secs(20), |daemon| {
            daemon.feeder().texts(["warm-up"]);
            capture.line(millis(100))
        });
    }
    daemon.feed(0..10);
    let topics = action
        .split_once("topics=\"")
        .map_or(1, |(_, rest)| rest.split('"').next().unwrap_or_default().split(',').count());
    let mut messages = Vec::new();
    while messages.len() < 10 * topics {
        let mut next = capture.messages(1, SOON);
        assert!(!next.is_empty(), "{flavour} {kind} {action}: only {} messages", messages.len());
        let mut message = next.remove(0);
        if peer == "ROUTER" {
            // The sender's routing id is random.
            message.remove(0);
        }
        let body = String::from_utf8_lossy(message.last().map_or(&[], Vec::as_slice)).into_owned();
        if body.contains("n=") {
            messages.push(message);
        }
    }
    messages
}

/// Messages without the borders of their frames, readable in a failure.
fn bytes_of(messages: &[Vec<Vec<u8>>]) -> Vec<String> {
    let whole = messages.iter().map(|frames| frames.concat());
    whole.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[test]
fn outputs_put_the_same_frames_on_the_wire() {
    let Some(python) = python("outputs_put_the_same_frames_on_the_wire") else {
        return;
    };
    for (kind, action) in [
        ("PUSH", ""),
        ("PUSH", "template=\"own\""),
        ("DEALER", ""),
        ("PUB", ""),
        ("PUB", "topics=\"alpha\""),
        ("PUB", "topics=\"alpha,beta\" template=\"own\""),
        ("PUB", "topics=\"alpha,beta\" topicframe=\"on\""),
        ("PUB", "topics=\"host,tag\" dynatopic=\"on\""),
        ("PUB", "topics=\"host,tag\" dynatopic=\"on\" topicframe=\"on\""),
        ("PUSH", "topics=\"alpha\""),
    ] {
        let old = frames(&python, Flavour::Czmq, kind, action);
        let new = frames(&python, Flavour::Rzmq, kind, action);
        if action.contains("topicframe") {
            // Whether the C module makes two frames hangs on the address of a string (it reads the
            // parameter's text as a number): the bytes are the same, ours are always two frames.
            assert!(new.iter().all(|message| message.len() == 2), "{kind} {action}");
            assert_eq!(bytes_of(&old), bytes_of(&new), "{kind} {action}");
        } else {
            assert_eq!(old, new, "{kind} {action}");
        }
    }
}

/// pyzmq as sender: the lines that come out of the new input, as text and in order.
#[test]
fn pyzmq_to_the_new_input() {
    let Some(python) = python("pyzmq_to_the_new_input") else {
        return;
    };
    for (kind, input, encrypted) in [
        ("PUSH", "socktype=\"PULL\"", false),
        ("PUSH", "socktype=\"PULL\"", true),
        ("DEALER", "socktype=\"ROUTER\"", false),
        ("DEALER", "socktype=\"ROUTER\"", true),
        ("PUB", "socktype=\"SUB\" topics=\"log.\"", false),
        ("PUB", "socktype=\"SUB\" topics=\"log.\"", true),
    ] {
        let endpoint = free_endpoint();
        let site = Site::of(Flavour::Rzmq);
        let (server, client) = (Keys::new("server"), Keys::new("client"));
        server.write(&site.path("keys"));
        client.write(&site.path("keys"));
        client.write_public(&site.path("allowed"));
        let messages: Vec<Vec<String>> = (0..200)
            .map(|n| {
                let line = hex(syslog_line(&numbered(n)).as_bytes());
                match kind {
                    "PUB" => vec![hex(b"log.web"), line],
                    _ => vec![line],
                }
            })
            .collect();
        let mut task = json!({"type": kind, "send": messages});
        let parameters;
        if kind == "PUB" {
            task["bind"] = json!([endpoint]);
            parameters = format!(
                "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                site.path("keys/server").display(),
                site.path("keys/client").display()
            );
            if encrypted {
                task["server"] =
                    json!({"public": server.public_z85(), "secret": server.secret_z85()});
            }
        } else {
            task["connect"] = json!([endpoint]);
            parameters = format!(
                "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                site.path("keys/server").display(),
                site.path("allowed").display()
            );
            if encrypted {
                task["client"] = json!({"public": client.public_z85(),
                    "secret": client.secret_z85(), "serverkey": server.public_z85()});
            }
        }
        let parameters = if encrypted { parameters } else { String::new() };
        let mut daemon = site
            .receiving(&parameters, &format!("endpoints=\"{endpoint}\" {input}"))
            .file("raw.log", "%rawmsg%\\n")
            .start();
        let _peer = PyPeer::start(&python, &task);
        let lines = daemon.wait_lines("raw.log", 200, SOON);
        Oracle::judge(0..200, &lines).once_in_order();
        let expected: Vec<_> = (0..200).map(|n| syslog_line(&numbered(n))).collect();
        assert_eq!(lines, expected, "{kind} {input}");
    }
}

/// pyzmq as receiver behind CURVE.
#[test]
fn new_output_to_pyzmq_with_curve() {
    let Some(python) = python("new_output_to_pyzmq_with_curve") else {
        return;
    };
    for (kind, peer) in [("PUSH", "PULL"), ("DEALER", "ROUTER"), ("PUB", "SUB")] {
        let endpoint = free_endpoint();
        let site = Site::of(Flavour::Rzmq);
        let (server, client) = (Keys::new("server"), Keys::new("client"));
        server.write(&site.path("keys"));
        client.write(&site.path("keys"));
        client.write_public(&site.path("allowed"));
        let mut task = json!({"type": peer, "count": 100_000});
        let parameters;
        if kind == "PUB" {
            task["connect"] = json!([endpoint]);
            task["subscribe"] = json!([""]);
            task["client"] = json!({"public": client.public_z85(),
                "secret": client.secret_z85(), "serverkey": server.public_z85()});
            parameters = format!(
                "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                site.path("keys/server").display(),
                site.path("allowed").display()
            );
        } else {
            task["bind"] = json!([endpoint]);
            task["server"] = json!({"public": server.public_z85(), "secret": server.secret_z85()});
            parameters = format!(
                "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
                site.path("keys/server").display(),
                site.path("keys/client").display()
            );
        }
        let capture = PyPeer::start(&python, &task);
        let action = format!("endpoints=\"{endpoint}\" socktype=\"{kind}\" {parameters}");
        let mut daemon = site.sending("", &action).start();
        if kind == "PUB" {
            daemon.wait("a first line", secs(20), |daemon| {
                daemon.feeder().texts(["warm-up"]);
                capture.line(millis(100))
            });
        }
        daemon.feed(0..100);
        let mut lines = Vec::new();
        while lines.len() < 100 {
            let message = capture.messages(1, SOON).pop().expect("a message");
            let body = message.last().expect("a frame");
            let text = String::from_utf8_lossy(body).into_owned();
            if !text.contains("warm-up") {
                lines.push(text);
            }
        }
        Oracle::judge(0..100, &lines).once_in_order();
    }
}

/// One receiver that both an old and a new sender feed at once: hosts are replaced one by one.
#[test]
fn old_and_new_senders_share_one_receiver() {
    let endpoint = free_endpoint();
    let input = format!("endpoints=\"{endpoint}\" socktype=\"PULL\"");
    let mut receiving = Site::of(Flavour::Rzmq).receiving("", &input).start();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"PUSH\"");
    let old = Site::of(Flavour::Czmq).sending("", &action).start();
    let new = Site::of(Flavour::Rzmq).sending("", &action).start();
    old.feed(0..500);
    new.feed(500..1000);
    let lines = receiving.wait_lines("out.log", 1000, SOON);
    Oracle::judge(0..1000, &lines).once();
}

/// A binding output and connecting inputs of both kinds: lines are dealt out, none is lost.
#[test]
fn binding_push_deals_out_to_old_and_new_inputs() {
    let endpoint = free_endpoint();
    let action = format!("endpoints=\"@{endpoint}\" socktype=\"PUSH\"");
    let input = format!("endpoints=\">{endpoint}\" socktype=\"PULL\"");
    let mut sending = Site::of(Flavour::Rzmq).sending("", &action).start();
    let new = Site::of(Flavour::Rzmq).receiving("", &input).start();
    let old = Site::of(Flavour::Czmq).receiving("", &input).start();
    // Both must be connected before the first line, or one gets them all: which is no fault.
    sending.feed(0..1000);
    sending.wait("all lines", SOON, |_| {
        let all = new.lines("out.log").len() + old.lines("out.log").len();
        (all >= 1000).then_some(())
    });
    let lines: Vec<_> = [new.lines("out.log"), old.lines("out.log")].concat();
    Oracle::judge(0..1000, &lines).once();
}
