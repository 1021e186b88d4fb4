//! Who may read and write what a configuration sends, and the keys it names.

use std::fs;

use harness::Keys;
use harness::skip::{is_root, skipped};

use super::{Host, SERVER, finds, mode};

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
