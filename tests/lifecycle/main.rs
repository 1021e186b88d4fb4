//! Start, work, stop: both modules in one process, panics, memory, and what the built files may and
//! may not contain.

mod artefacts;
mod foreign;
mod memory;
mod panics;
mod process;

use harness::{Keys, Peer, Site, ports::free_endpoint, secs};

const STOP: std::time::Duration = secs(2);

/// Both modules with CURVE and authenticators: an input and a publisher as servers, and a PUSH action
/// as client of `to`.
struct Both {
    site: Site,
    server: Keys,
    client: Keys,
    inward: String,
    outward: String,
}

impl Both {
    fn new(to: &str) -> Self {
        let site = Site::new();
        let (server, client) = (Keys::new("server"), Keys::new("client"));
        server.write(&site.path("keys"));
        client.write(&site.path("keys"));
        client.write_public(&site.path("allowed"));
        let as_server = format!(
            "authtype=\"CURVESERVER\" authenticator=\"on\" servercertpath=\"{}\" \
             clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("allowed").display()
        );
        let as_client = format!(
            "authenticator=\"on\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\"",
            site.path("keys/server").display(),
            site.path("keys/client").display()
        );
        let (inward, outward) = (free_endpoint(), free_endpoint());
        let input = format!("name=\"in\" endpoints=\"{inward}\" socktype=\"PULL\"");
        let site = site
            .receiving(&as_server, &input)
            .with(&format!("module(load=\"omrzmq\" {as_server})"))
            .with(&format!(
                "action(type=\"omrzmq\" name=\"pub\" endpoints=\"{outward}\" socktype=\"PUB\")"
            ))
            .with(&format!(
                "action(type=\"omrzmq\" name=\"push\" endpoints=\"{to}\" socktype=\"PUSH\" \
                 queue.type=\"LinkedList\" queue.size=\"10000\" \
                 queue.timeoutShutdown=\"10000\" {as_client})"
            ));
        Both { site, server, client, inward, outward }
    }

    fn source(&self) -> Peer {
        let peer = Peer::new(zmq::PUSH).curve_client(&self.client, &self.server);
        peer.connect(&self.inward);
        peer
    }
}
