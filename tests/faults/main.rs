//! Each fault of Debian's imczmq and omczmq as a test named after it. It asserts what a user relies
//! on, so it fails on the C modules and must pass on ours.
//!
//! `make test-czmq` runs this file against the C modules, one process a test, and compares with
//! `czmq-expected.txt`, which also gives the reason for each test that passes there.

mod behaviour;
mod crash;
mod loss;
mod missing;
mod wishes;

use std::time::Duration;

use harness::{Keys, Peer, Rsyslogd, Site};

/// rsyslogd stops in this time, whatever its peers do.
const STOP: Duration = harness::secs(2);

/// The keys of a CURVE server and of the one client it knows, filed in a site's folder.
struct Pki {
    server: Keys,
    client: Keys,
    stranger: Keys,
}

impl Pki {
    /// `server` and `client` with their secrets in `keys/`, the client's public one in `allowed/`.
    fn filed_in(site: &Site) -> Self {
        let pki = Pki {
            server: Keys::new("server"),
            client: Keys::new("client"),
            stranger: Keys::new("stranger"),
        };
        pki.server.write(&site.path("keys"));
        pki.client.write(&site.path("keys"));
        pki.client.write_public(&site.path("allowed"));
        pki
    }

    /// Parameters of a CURVE server that knows the client.
    fn server_parameters(site: &Site) -> String {
        format!(
            "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{}\" \
             clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("allowed").display(),
        )
    }

    /// Parameters of the client.
    fn client_parameters(site: &Site) -> String {
        format!(
            "authtype=\"CURVECLIENT\" servercertpath=\"{}\" clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("keys/client").display(),
        )
    }
}

/// Feeds lines until the subscriber gets one: a PUB only sends to whom it knows, and the C module's
/// binds only at its first line.
fn warm_up(daemon: &mut Rsyslogd, subscriber: &Peer) {
    daemon.wait("a line for the subscriber", harness::SOON, |daemon| {
        daemon.feeder().texts(["warm-up"]);
        subscriber.receive(harness::millis(100))
    });
    subscriber.rest(harness::millis(200));
}
