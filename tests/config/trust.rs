//! Mistakes in the five parameters of trust and in the certificates they name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::ports::free_endpoint;
use harness::{Keys, Peer, Site, secs};

use crate::Mistakes;

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
    write("short", "curve\n    public-key = \"tooshort\"\n    secret-key = \"tooshort\"\n");
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
    ("authtype=\"CURVESERVER\" servercertpath=\"{k}/server\"", &["clientcertpath"]),
    ("authtype=\"CURVESERVER\" clientcertpath=\"{s}/allowed\"", &["servercertpath"]),
    ("authenticator=\"on\"", &["authtype"]),
    (
        "authenticator=\"on\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &["authtype"],
    ),
    ("servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"", &["authtype"]),
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
    ("allowednames=\"web1\"", &["allowednames", "authtype"]),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"*\" \
         allowednames=\"web1\"",
        &["allowednames", "web1", "clientcertpath"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\" \
         allowednames=\"web1,\"",
        &["allowednames", "web1,", "empty name"],
    ),
    (
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\" \
         allowednames=\"web*\"",
        &["allowednames", "web*", "{s}/allowed"],
    ),
];

const TRUST_AS_CLIENT: &[(&str, &[&str])] = &[
    ("authtype=\"CURVECLIENT\"", &["servercertpath"]),
    ("authtype=\"CURVECLIENT\" clientcertpath=\"{k}/client\"", &["servercertpath"]),
    ("authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\"", &["clientcertpath"]),
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
    (
        "authtype=\"CURVECLIENT\" servercertpath=\"{k}/server\" clientcertpath=\"{k}/client\" \
         allowednames=\"web1\"",
        &["allowednames", "web1", "CURVESERVER"],
    ),
];

fn filled(text: &str, site: &Site) -> String {
    text.replace("{k}", &site.path("keys").display().to_string())
        .replace("{s}", site.path("").display().to_string().trim_end_matches('/'))
}

fn trust_mistakes(module: &'static str, statement: &'static str, kinds: [&str; 2]) {
    let mut mistakes = Mistakes::new(module, statement);
    file_keys(&mistakes.site);
    for (cases, kind) in [(TRUST_AS_SERVER, kinds[0]), (TRUST_AS_CLIENT, kinds[1])] {
        for (parameters, words) in cases {
            let words: Vec<_> = words.iter().map(|word| filled(word, &mistakes.site)).collect();
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
            .with(&format!("module(load=\"imrzmq\" {parameters})"))
            .with("input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PULL\")");
        site.check().refuses(&words);
    }
}

/// rsyslogd starts in spite of a mistake; the instance must not.
#[test]
fn a_mistake_in_trust_never_means_plaintext() {
    let site = Site::new().with("module(load=\"imrzmq\")").file("out.log", "%msg%\\n");
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
    let mut daemon = site.with(&parts.join("\n")).start();
    let peers: Vec<_> =
        endpoints.iter().map(|(endpoint, what)| (Peer::push(endpoint), what)).collect();
    for (peer, _) in &peers {
        peer.send(&[b"<13>plaintext"], secs(0));
    }
    std::thread::sleep(secs(1)); // that nothing comes takes time
    for (peer, what) in &peers {
        assert!(!peer.connects(secs(0)), "a plaintext peer was let in by {what}");
    }
    assert!(daemon.lines("out.log").is_empty(), "a plaintext line was taken");
    daemon.assert_alive();
}

/// The instance's own words win over the module's, each of the five for itself.
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
        .with(&format!("module(load=\"imrzmq\" {module})"))
        .with("input(type=\"imrzmq\" endpoints=\"tcp://127.0.0.1:5140\" socktype=\"PULL\")");
    fine.check().clean();
    let broken = fine.with(&format!(
        "input(type=\"imrzmq\" name=\"own\" endpoints=\"tcp://127.0.0.1:5141\" \
         socktype=\"PULL\" {absent})"
    ));
    broken.check().refuses(&["imrzmq[own]", "servercertpath", "absent"]);
}

/// A broken certificate among the allowed ones is named, and the others count.
#[test]
fn a_broken_certificate_among_the_allowed_is_named_and_harmless() {
    let site = Site::new().file("out.log", "%msg%\\n");
    file_keys(&site);
    fs::write(site.path("allowed/broken"), "curve\n    public-key = \"x\"\n").expect("written");
    let trust = filled(
        "authtype=\"CURVESERVER\" servercertpath=\"{k}/server\" clientcertpath=\"{s}/allowed\"",
        &site,
    );
    let site = site.with("module(load=\"imrzmq\")").with(&format!(
        "input(type=\"imrzmq\" name=\"in\" endpoints=\"tcp://127.0.0.1:5140\" \
         socktype=\"PULL\" {trust})"
    ));
    site.check().says(&["imrzmq[in]", "allowed/broken", "line 2"]);
}

/// A second key that no endpoint has would never be served, and nobody would know.
#[test]
fn a_key_without_an_endpoint_is_named() {
    for (endpoints, is_idle) in
        [("@tcp://127.0.0.1:1", true), ("@tcp://127.0.0.1:1,@tcp://127.0.0.1:2", false)]
    {
        let site = Site::new().file("out.log", "%msg%\\n");
        file_keys(&site);
        let module = "module(load=\"imrzmq\" authtype=\"CURVESERVER\" \
                      servercertpath=\"{k}/server,{k}/client\" clientcertpath=\"{s}/allowed\")";
        let module = filled(module, &site);
        let check = site
            .with(&module)
            .with(&format!(
                "input(type=\"imrzmq\" name=\"in\" socktype=\"PULL\" endpoints=\"{endpoints}\")"
            ))
            .check();
        let said = check.text.lines().any(|line| {
            line.contains("imrzmq[in]")
                && line.contains("no endpoint for")
                && line.contains("/keys/client")
        });
        assert_eq!(said, is_idle, "{check}");
        assert!(check.status.success(), "{check}");
    }
}
