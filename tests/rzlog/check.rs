//! `rzlog check`: each trouble has its sentence and its exit status.

use std::io::{Read, Write};
use std::net::TcpListener;

use harness::ports::free_endpoint;
use harness::rzlog::Ran;
use harness::{Flavour, Keys, Peer, Rsyslogd, Rzlog, SOON, Site};

/// An imrzmq with CURVE that lets `us` in, and what a client of it has.
struct Server {
    site: Site,
    endpoint: String,
}

impl Server {
    fn new() -> Self {
        let (site, endpoint) = (Site::new().without_feed(), free_endpoint());
        let (server, us) = (Keys::new("loghost"), Keys::new("us"));
        server.write(&site.path("keys"));
        us.write(&site.path("keys"));
        us.write_public(&site.path("allowed"));
        Keys::new("stranger").write(&site.path("keys"));
        Keys::new("impostor").write(&site.path("keys"));
        Server { site, endpoint }
    }

    fn trust(&self) -> String {
        format!(
            "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
            self.site.path("keys/loghost").display(),
            self.site.path("allowed").display()
        )
    }

    /// With these certificates.
    fn check(&self, server: &str, client: &str) -> Ran {
        let keys = self.site.path("keys");
        Rzlog::of(&format!(
            "check {} --servercertpath {k}/{server} --clientcertpath {k}/{client}",
            self.endpoint,
            k = keys.display()
        ))
        .run()
    }
}

fn started(server: Server, socktype: &str) -> (Server, Rsyslogd) {
    let module = server.trust();
    let Server { site, endpoint } = server;
    let input = format!("endpoints=\"{endpoint}\" socktype=\"{socktype}\"");
    let site = site.receiving(&module, &input);
    let daemon = site.start();
    (Server { site, endpoint }, daemon)
}

#[track_caller]
fn says(ran: Ran, status: i32, words: &[&str]) {
    let ran = ran.ended(status);
    assert_eq!(ran.out.lines().count(), 1, "not one sentence: {ran:?}");
    assert!(words.iter().all(|word| ran.out.contains(word)), "no {words:?} in {ran:?}");
}

#[test]
fn an_imrzmq_is_fine_and_its_troubles_are_told_apart() {
    let (server, daemon) = started(Server::new(), "ROUTER");
    says(server.check("loghost", "us"), 0, &["fine: a ROUTER", "acked version 1"]);
    says(server.check("impostor", "us"), 7, &["another key than the one in", "impostor"]);
    says(server.check("loghost", "stranger"), 8, &["does not let our key in"]);
    // without keys
    let plain = Rzlog::of(&format!("check {} --plaintext", server.endpoint)).run();
    says(plain, 6, &["the peer wants CURVE"]);
    // A look leaves no line behind.
    assert_eq!(daemon.lines("out.log").len(), 0);
}

/// Who is let in and gets no session does not have lines acknowledged.
#[test]
fn a_receiver_that_takes_no_session_is_not_fine() {
    let server = Server::new();
    let module = server.trust();
    let Server { site, endpoint } = server;
    let few = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\" maxsessionsperkey=\"1\"");
    let site = site.receiving(&module, &few);
    let mut daemon = site.start();
    let keys = site.path("keys");
    let line = format!(
        "send {endpoint} --servercertpath {k}/loghost --clientcertpath {k}/us",
        k = keys.display()
    );
    let (_send, mut input) = Rzlog::of(&line).start_with_pipe();
    input.write_all(b"<13>Nov 24 10:00:00 web1 app: its session is the one\n").expect("written");
    daemon.wait_lines("out.log", 1, SOON);
    // nor are those of who sends them, which have not left
    let ran = Rzlog::of(&format!("{line} --patience 1")).input(b"<13>x\n").run().ended(3);
    ran.complains(&["the receiver answers an error"]);
    ran.complains(&["no receiver opened a session, so none of them was sent"]);
    let server = Server { site, endpoint };
    says(
        server.check("loghost", "us"),
        13,
        &["takes no session", "error 9", "1 sessions of this key"],
    );
}

#[test]
fn other_socket_types_are_known() {
    let (server, _daemon) = started(Server::new(), "PULL");
    says(server.check("loghost", "us"), 0, &["fine: a PULL"]);
    says(server.check("loghost", "stranger"), 8, &["does not let our key in"]);
    let server = Server::new();
    let module = server.trust();
    let action = format!("endpoints=\"{}\" socktype=\"PUB\"", server.endpoint);
    let Server { site, endpoint } = server;
    let site = site.sending(&module, &action);
    let _daemon = site.start();
    let server = Server { site, endpoint };
    says(server.check("loghost", "us"), 0, &["fine: a PUB"]);
    says(server.check("impostor", "us"), 7, &["another key"]);
}

#[test]
fn nobody_and_others_than_zeromq() {
    let server = Server::new();
    says(server.check("loghost", "us"), 3, &["nothing listens there", "refused"]);
    // who says nothing may be an imrzmq that stands still
    for (answer, status, words) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], 4, ["it is not ZeroMQ", "answers something else"]),
        (b"", 9, ["hangs up or says nothing", "stands still"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("tcp://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let _ = stream.write_all(answer);
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
        let server = Server { endpoint, ..Server::new() };
        says(server.check("loghost", "us"), status, &words);
    }
}

#[test]
fn a_plaintext_peer_is_named_and_not_spoken_to() {
    let (peer, endpoint) = Peer::pull();
    let server = Server { endpoint: endpoint.clone(), ..Server::new() };
    says(server.check("loghost", "us"), 5, &["the peer speaks plaintext"]);
    says(Rzlog::of(&format!("check {endpoint} --plaintext")).run(), 0, &["a PULL", "in plaintext"]);
    assert!(peer.rest(harness::millis(100)).is_empty());
}

#[test]
fn an_input_of_the_old_modules_is_fine_and_speaks_no_acked() {
    let endpoint = free_endpoint();
    let site = Site::of(Flavour::Czmq).without_feed();
    let site = site.receiving("", &format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\""));
    let _daemon = site.start();
    let ran = Rzlog::of(&format!("check {endpoint} --plaintext")).run();
    says(ran, 0, &["fine: a ROUTER", "does not answer as an acked receiver"]);
}

#[test]
fn wrong_words_are_sentences() {
    Rzlog::of("check loghost:5140 --plaintext")
        .run()
        .complains(&["\"loghost:5140\" is no endpoint"]);
    Rzlog::of("check tcp://loghost --plaintext").run().complains(&["has no port"]);
    Rzlog::of("check tcp://loghost:1").run().complains(&["--servercertpath", "--plaintext"]);
    Rzlog::of("check tcp://loghost:1 --servercertpath /nowhere --clientcertpath *")
        .run()
        .complains(&["/nowhere", "No such file"]);
    Rzlog::of("check @prod").run().complains(&["@prod", "no file of profiles"]);
}
