//! `global(compatibility.defaults.secure="…")`, where the core has it: what lets anybody in is an error
//! or draws a warning, and what names its peers is neither.

use harness::paths::rsyslog_release;
use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::{Check, Keys, Site};

/// Statements that let anybody in, and the word that the line about each must have.
const OPEN: [(&str, &str); 3] = [
    ("input(type=\"imrzmq\" name=\"plain\" socktype=\"PULL\" endpoints=\"{e}\")", "authtype"),
    (
        "input(type=\"imrzmq\" name=\"any\" socktype=\"PULL\" endpoints=\"{e}\" \
         authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"*\")",
        "clientcertpath=\"*\"",
    ),
    ("action(type=\"omrzmq\" name=\"out\" socktype=\"PUB\" endpoints=\"{e}\")", "authtype"),
];

/// A server with a list and a client with a key made at the start.
const NAMED: [&str; 2] = [
    "input(type=\"imrzmq\" name=\"list\" socktype=\"PULL\" endpoints=\"{e}\" authtype=\"CURVESERVER\" \
     servercertpath=\"{k}/server\" clientcertpath=\"{k}/allowed\")",
    "input(type=\"imrzmq\" name=\"client\" socktype=\"SUB\" endpoints=\"{e}\" \
     authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"*\")",
];

fn check(defaults: Option<&str>, statement: &str) -> Check {
    let mut site = Site::new().without_feed();
    let keys = site.path("keys");
    Keys::new("server").write(&keys);
    Keys::new("client").write_public(&keys.join("allowed"));
    if let Some(defaults) = defaults {
        site = site.global(&format!("compatibility.defaults.secure=\"{defaults}\""));
    }
    let statement = statement.replace("{k}", &keys.display().to_string());
    let statement = statement.replace("{e}", &free_endpoint());
    site.with("module(load=\"imrzmq\")\nmodule(load=\"omrzmq\")")
        .file("out.log", "%msg%\\n")
        .with(&statement)
        .check()
}

/// The lines about the setting.
fn about_it(check: &Check) -> Vec<&str> {
    let ours =
        |line: &&str| line.contains("rzmq[") && line.contains("compatibility.defaults.secure");
    check.text.lines().filter(ours).collect()
}

#[test]
fn open_statements_are_judged_as_the_core_is_told_to() {
    if rsyslog_release() < 2608 {
        for (statement, _) in OPEN {
            let check = check(None, statement);
            check.accepts();
            assert!(about_it(&check).is_empty(), "{check}");
        }
        let why = "this rsyslog has no such setting; `make test-newest` runs it";
        return skipped("open_statements_are_judged_as_the_core_is_told_to", why);
    }
    for (statement, word) in OPEN {
        check(Some("strict"), statement).refuses(&["rzmq[", word, "demands it"]);
        // not written is the same as "warn"
        for defaults in [None, Some("warn")] {
            let check = check(defaults, statement);
            check.accepts();
            let lines = about_it(&check);
            assert!(lines.len() == 1 && lines[0].contains(word), "{lines:?}\n{check}");
            assert!(lines[0].contains("warning: "), "{lines:?}");
        }
        let check = check(Some("backward-compatible"), statement);
        check.accepts();
        assert!(about_it(&check).is_empty(), "{check}");
    }
    for statement in NAMED {
        for defaults in ["strict", "warn", "backward-compatible"] {
            let check = check(Some(defaults), statement);
            assert!(check.status.success() && about_it(&check).is_empty(), "{check}");
        }
    }
}
