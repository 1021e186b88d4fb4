//! Credential files that are wrong: our own sender says so at -N1 and sends nothing, not even in
//! plaintext; the folder of a receiver goes on without the broken file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Site, ports::free_endpoint, secs};

use super::{Ground, Keys, SOON};

/// Writes a file as its owner's alone.
fn file(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

#[test]
fn a_sender_with_wrong_files_is_refused_by_n1_and_says_nothing_on_the_wire() {
    let (server, own) = (Keys::new("server"), Keys::new("own"));
    let (public, secret) = (own.public_z85(), own.secret_z85());
    let certificate = |public: &str, secret: &str| {
        format!("curve\n    public-key = \"{public}\"\n    secret-key = \"{secret}\"\n")
    };
    for (what, text, words) in [
        ("absent", None, "cannot be read"),
        (
            "its public file",
            Some(format!("curve\n    public-key = \"{public}\"\n")),
            "no secret-key",
        ),
        (
            "public as secret",
            Some(certificate(&public, &public)),
            "does not belong to its secret-key",
        ),
        (
            "swapped halves",
            Some(certificate(&secret, &public)),
            "does not belong to its secret-key",
        ),
        ("truncated", Some(certificate(&public, &secret[..30])), "secret-key has 30 characters"),
        ("cut off", Some(certificate(&public, &secret)[..90].to_owned()), "not closed"),
    ] {
        let endpoint = free_endpoint();
        let peer = harness::Peer::new(zmq::PULL);
        peer.bind(&endpoint);
        let site = Site::new();
        let keys = site.path("keys");
        let server = server.write_public(&keys);
        let path = keys.join("own");
        if let Some(text) = &text {
            file(&path, text);
        }
        let site = site.file("out.log", "%msg%\\n").sending(
            "",
            &format!(
                "name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\" authtype=\"CURVECLIENT\" \
                 servercertpath=\"{}\" clientcertpath=\"{}\"",
                server.display(),
                path.display()
            ),
        );
        let check = site.check();
        check.refuses(&["omrzmq[out]", "clientcertpath", words]);
        assert!(!check.text.contains(&secret), "{what}: a secret in {check}");
        let mut daemon = site.start();
        daemon.wait_log(&["omrzmq[out]", "nothing falls back to plaintext"], SOON);
        daemon.feed(0..10);
        assert!(peer.receive(harness::millis(200)).is_none(), "{what}: something was sent");
        assert!(!daemon.log().contains(&secret), "{what}: a secret in the log");
        daemon.stop().clean().within(secs(5));
    }
}

#[test]
fn a_truncated_certificate_in_the_folder_is_named_and_disturbs_nobody() {
    let mut ground = Ground::new();
    let known = Keys::new("known");
    let path = known.write_public(&ground.receiving.path("allowed"));
    let text = fs::read_to_string(&path).expect("a certificate");
    fs::write(&path, text.replace(&known.public_z85()[30..], "")).expect("truncated");
    ground.receiver.wait_log(&["not allowed in: ", "known", "has 30 characters"], SOON);
    ground.send(200);
    ground.judge();
    ground.end();
}
