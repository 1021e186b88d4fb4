//! Who gets in: strangers, wrong keys, plaintext, and what is said and counted of each.

use harness::oracle::numbered;
use harness::{Keys, Oracle, Peer, SOON, Site, millis, ports::free_endpoint, secs, wait_until};

const STOP: std::time::Duration = secs(2);

/// A CURVE server's keys, those of some clients it knows, and a stranger's.
struct Pki {
    server: Keys,
    clients: Vec<Keys>,
    stranger: Keys,
    parameters: String,
}

impl Pki {
    /// Files everything in the site's folder below `label`.
    fn filed_in(site: &Site, label: &str, clients: &[&str]) -> Self {
        let keys = site.path(&format!("{label}-keys"));
        let allowed = site.path(&format!("{label}-allowed"));
        let server = Keys::new("server");
        server.write(&keys);
        let clients: Vec<_> = clients.iter().map(|name| Keys::new(name)).collect();
        for client in &clients {
            client.write_public(&allowed);
        }
        let parameters = format!(
            "authtype=\"CURVESERVER\" servercertpath=\"{}\" clientcertpath=\"{}\"",
            keys.join("server").display(),
            allowed.display()
        );
        Pki { server, clients, stranger: Keys::new("stranger"), parameters }
    }
}

/// A PUSH peer with these keys at a source address of its own.
fn pusher(endpoint: &str, own: &Keys, server: &Keys, address: &str) -> Peer {
    let peer = Peer::new(zmq::PUSH).curve_client(own, server);
    peer.connect(&endpoint.replace("tcp://", &format!("tcp://{address}:0;")));
    peer
}

fn input(endpoint: &str, more: &str) -> String {
    format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\" {more}")
}

#[test]
fn strangers_key_is_refused_logged_and_counted_by_an_input() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["client"]);
    let mut daemon = site.receiving("", &input(&endpoint, &pki.parameters)).start();
    let stranger = pusher(&endpoint, &pki.stranger, &pki.server, "127.0.0.7");
    stranger.send(&[b"<13>from a stranger"], secs(0));
    let line = daemon.wait_log(&["imrzmq[in]", "127.0.0.7", &pki.stranger.public_z85()], SOON);
    assert!(!line.contains(&pki.stranger.secret_z85()), "a secret in the log");
    daemon.wait_stats("imrzmq", "in", "keys_refused", |c| c["keys_refused"] >= 1);
    assert!(!stranger.connects(millis(300)), "the stranger is connected");
    let friend = pusher(&endpoint, &pki.clients[0], &pki.server, "127.0.0.1");
    friend.send_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.end().clean().within(STOP);
}

#[test]
fn strangers_key_is_refused_logged_and_counted_by_a_publisher() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["client"]);
    let action =
        format!("name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUB\" {}", pki.parameters);
    let mut daemon = site.sending("", &action).start();
    let subscriber = |own: &Keys, address: &str| {
        let peer = Peer::new(zmq::SUB).subscribed(&[""]).curve_client(own, &pki.server);
        peer.connect(&endpoint.replace("tcp://", &format!("tcp://{address}:0;")));
        peer
    };
    let stranger = subscriber(&pki.stranger, "127.0.0.8");
    let friend = subscriber(&pki.clients[0], "127.0.0.1");
    daemon.wait_log(&["omrzmq[out]", "127.0.0.8", &pki.stranger.public_z85()], SOON);
    daemon.wait_stats("omrzmq", "out", "keys_refused", |c| c["keys_refused"] >= 1);
    daemon.wait("a line for the friend", SOON, |daemon| {
        daemon.feeder().texts(["hello"]);
        friend.receive(millis(100))
    });
    assert!(stranger.receive(millis(300)).is_none(), "a stranger was served");
    daemon.end().clean().within(STOP);
}

/// A stranger that tries again and again does not fill the log.
#[test]
fn refusals_are_logged_at_a_bearable_rate() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["client"]);
    let mut daemon = site.receiving("", &input(&endpoint, &pki.parameters)).start();
    for _ in 0..60 {
        // Each peer makes its attempt and goes.
        let peer = pusher(&endpoint, &Keys::new("another"), &pki.server, "127.0.0.1");
        peer.connects(millis(20));
    }
    let counters = daemon.wait_stats("imrzmq", "in", "many refused", |c| c["keys_refused"] >= 30);
    let lines = daemon.log().lines().filter(|line| line.contains("imrzmq[in]")).count();
    assert!(lines >= 1, "not a word");
    assert!(lines <= 30, "{lines} lines about {} refusals", counters["keys_refused"]);
}

#[test]
fn every_key_of_the_directory_is_let_in() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let names: Vec<_> = (0..20).map(|n| format!("client-{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let pki = Pki::filed_in(&site, "a", &names);
    let mut daemon = site.receiving("", &input(&endpoint, &pki.parameters)).start();
    for (number, client) in pki.clients.iter().enumerate() {
        let peer = pusher(&endpoint, client, &pki.server, "127.0.0.1");
        peer.send_numbers(number..number + 1);
        daemon.wait_lines("out.log", number + 1, SOON);
    }
    Oracle::judge(0..20, &daemon.lines("out.log")).once_in_order();
}

#[test]
fn star_lets_any_key_in_but_no_plaintext() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["client"]);
    let allowed = site.path("a-allowed").display().to_string();
    let parameters = pki.parameters.replace(&allowed, "*") + " authenticator=\"off\"";
    let site = site.receiving("", &input(&endpoint, &parameters));
    site.check().clean();
    let mut daemon = site.start();
    let plain = Peer::push(&endpoint);
    plain.send(&[b"<13>plaintext"], secs(0));
    let stranger = pusher(&endpoint, &pki.stranger, &pki.server, "127.0.0.1");
    stranger.send_numbers(0..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    assert!(!plain.connects(millis(500)), "a plaintext peer was let in");
}

#[test]
fn plaintext_client_of_a_curve_server_is_refused_and_logged() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["client"]);
    let mut daemon = site.receiving("", &input(&endpoint, &pki.parameters)).start();
    // it does not come again by itself; one that is gone before it can be asked for its address has none
    wait_until("a line with the address of one", SOON, || {
        let plain = Peer::push(&endpoint.replace("tcp://", "tcp://127.0.0.11:0;"));
        plain.send(&[b"<13>plaintext"], secs(0));
        assert!(!plain.connects(millis(300)), "a plaintext peer was let in");
        daemon.logged(&["imrzmq[in]", "127.0.0.11"]).then_some(())
    });
    let friend = pusher(&endpoint, &pki.clients[0], &pki.server, "127.0.0.1");
    friend.send_numbers(0..3);
    let lines = daemon.wait_lines("out.log", 3, SOON);
    Oracle::judge(0..3, &lines).once_in_order();
}

/// A sender as CURVE client of a server with these keys; `server` is what it believes they are.
fn sender_to(site: Site, server: &Keys, endpoint: &str) -> Site {
    let own = Keys::new("sender");
    own.write(&site.path("sender-keys"));
    let public = server.write_public(&site.path("sender-keys"));
    let action = format!(
        "name=\"out\" endpoints=\"{endpoint}\" socktype=\"PUSH\" authtype=\"CURVECLIENT\" \
         servercertpath=\"{}\" clientcertpath=\"{}\"",
        public.display(),
        site.path("sender-keys/sender").display()
    );
    site.sending("", &action)
}

#[test]
fn wrong_server_key_is_an_error_and_nothing_is_sent_or_lost() {
    let (right, wrong) = (Keys::new("right"), Keys::new("wrong"));
    let endpoint = free_endpoint();
    let impostor = Peer::new(zmq::PULL).curve_server(&wrong);
    impostor.bind(&endpoint);
    let mut daemon = sender_to(Site::new(), &right, &endpoint).start();
    daemon.feed(0..10);
    daemon.wait_log(&["omrzmq[out]", &endpoint], SOON);
    assert!(impostor.receive(millis(300)).is_none(), "an impostor was served");
    drop(impostor);
    let peer = Peer::new(zmq::PULL).curve_server(&right);
    peer.bind(&endpoint);
    Oracle::judge(0..10, &peer.take_all(10, SOON)).once_in_order();
    daemon.end().clean().within(STOP);
}

#[test]
fn curve_client_never_talks_to_a_plaintext_server() {
    let right = Keys::new("right");
    let endpoint = free_endpoint();
    let plain = Peer::new(zmq::PULL);
    plain.bind(&endpoint);
    let mut daemon = sender_to(Site::new(), &right, &endpoint).start();
    daemon.feed(0..10);
    daemon.wait_log(&["omrzmq[out]", &endpoint], SOON);
    assert!(plain.receive(millis(500)).is_none(), "sent in plaintext");
    daemon.end().clean().within(STOP);
}

/// The sender learns that its key is refused, keeps its lines, and spools them at the stop.
#[test]
fn refused_sender_says_so_and_keeps_its_lines() {
    let endpoint = free_endpoint();
    let receiver = Site::new();
    let pki = Pki::filed_in(&receiver, "a", &["client"]);
    let mut receiving = receiver.receiving("", &input(&endpoint, &pki.parameters)).start();
    let sender = sender_to(Site::new(), &pki.server, &endpoint);
    let mut sending = sender.start();
    sending.feed(0..10);
    receiving.wait_log(&["imrzmq[in]", "127.0.0.1"], SOON);
    sending.wait_log(&["omrzmq[out]", &endpoint], SOON);
    sending.stop().clean().within(STOP);
    assert_eq!(sender.spools().len(), 1, "the lines are spooled");
    assert!(receiving.lines("out.log").is_empty());
}

/// Each instance has its own list: a key of one is a stranger to the other.
#[test]
fn instances_do_not_share_their_lists() {
    let (left, right) = (free_endpoint(), free_endpoint());
    let site = Site::new();
    let a = Pki::filed_in(&site, "a", &["alice"]);
    let b = Pki::filed_in(&site, "b", &["bob"]);
    let mut daemon = site
        .receiving("", &input(&left, &a.parameters))
        .with(&format!(
            "input(type=\"imrzmq\" name=\"right\" endpoints=\"{right}\" socktype=\"PULL\" {})",
            b.parameters
        ))
        .start();
    let astray = pusher(&right, &a.clients[0], &b.server, "127.0.0.12");
    daemon.wait_log(&["imrzmq[right]", "127.0.0.12", &a.clients[0].public_z85()], SOON);
    assert!(!astray.connects(millis(200)), "a key of another instance was let in");
    let _peer = pusher(&left, &a.clients[0], &a.server, "127.0.0.1").with_numbers(0..5);
    daemon.wait_lines("out.log", 5, SOON);
    let _peer = pusher(&right, &b.clients[0], &b.server, "127.0.0.1").with_numbers(5..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
}

/// One folder for all, of which an input takes some by name: whoever is renamed is out.
#[test]
fn allowednames_choose_among_the_certificates_of_a_folder() {
    let endpoint = free_endpoint();
    let site = Site::new();
    let pki = Pki::filed_in(&site, "a", &["web1.example.org", "db1.example.org"]);
    let names = format!("{} allowednames=\"archive, WEB*.example.org\"", pki.parameters);
    let mut daemon = site.receiving("", &input(&endpoint, &names)).start();
    let [web, db] = [&pki.clients[0], &pki.clients[1]];
    let outsider = pusher(&endpoint, db, &pki.server, "127.0.0.13");
    daemon.wait_log(&["imrzmq[in]", "refused 127.0.0.13", &db.public_z85()], SOON);
    let insider = pusher(&endpoint, web, &pki.server, "127.0.0.1");
    insider.send_numbers(0..5);
    daemon.wait_lines("out.log", 5, SOON);
    assert!(!outsider.connects(millis(200)), "a name that is not chosen was let in");
    // the same two keys, with their names exchanged
    let folder = daemon.path("a-allowed");
    for (keys, file, name) in
        [(db, "db1.example.org", "web2.example.org"), (web, "web1.example.org", "db2.example.org")]
    {
        let renamed = Keys { name: name.to_owned(), ..keys.clone() };
        let written = renamed.write_public(&daemon.path("renamed"));
        std::fs::rename(written, folder.join(file)).expect("renamed");
    }
    daemon.wait_log(&["no longer allowed: web1.example.org", "connections closed: 1"], secs(3));
    outsider.send_numbers(5..10);
    let lines = daemon.wait_lines("out.log", 10, SOON);
    Oracle::judge(0..10, &lines).once_in_order();
    daemon.end().clean().within(STOP);
}

/// A fresh key is as good as none where keys are listed.
#[test]
fn anonymous_client_is_a_stranger_to_a_list() {
    let endpoint = free_endpoint();
    let receiver = Site::new();
    let pki = Pki::filed_in(&receiver, "a", &["client"]);
    let mut receiving = receiver.receiving("", &input(&endpoint, &pki.parameters)).start();
    let sender = Site::new();
    let public = pki.server.write_public(&sender.path("keys"));
    let action = format!(
        "endpoints=\"{endpoint}\" socktype=\"PUSH\" authtype=\"CURVECLIENT\" \
         servercertpath=\"{}\" clientcertpath=\"*\"",
        public.display()
    );
    let mut sending = sender.sending("", &action).start();
    sending.feed(0..1);
    receiving.wait_log(&["imrzmq[in]", "127.0.0.1"], SOON);
    receiving.wait_stats("imrzmq", "in", "keys_refused", |c| c["keys_refused"] >= 1);
    assert!(receiving.lines("out.log").is_empty());
    sending.end().clean().within(STOP);
}

/// Nothing on the wire can be read: a line that is known is looked for in what passes a relay.
#[test]
fn nothing_readable_on_the_wire() {
    use std::io::{Read, Write};
    use std::sync::{Arc, Mutex};

    let server = Keys::new("server");
    let behind = free_endpoint();
    let peer = Peer::new(zmq::PULL).curve_server(&server);
    peer.bind(&behind);
    let front = free_endpoint();
    let listener = std::net::TcpListener::bind(front.trim_start_matches("tcp://")).expect("port");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let target = behind.trim_start_matches("tcp://").to_owned();
            let Ok(upstream) = std::net::TcpStream::connect(target) else {
                continue;
            };
            for (mut from, mut to) in [
                (client.try_clone().expect("clone"), upstream.try_clone().expect("clone")),
                (upstream, client),
            ] {
                let log = Arc::clone(&log);
                std::thread::spawn(move || {
                    let mut buffer = [0; 65536];
                    while let Ok(length) = from.read(&mut buffer) {
                        log.lock().expect("log").extend_from_slice(&buffer[..length]);
                        if length == 0 || to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    let mut daemon = sender_to(Site::new(), &server, &front).start();
    daemon.feed(0..100);
    Oracle::judge(0..100, &peer.take_all(100, SOON)).once_in_order();
    let seen = seen.lock().expect("log");
    assert!(seen.len() > 5_000, "the relay saw only {} bytes", seen.len());
    for word in [numbered(42), "feeder".to_owned(), "a line of text".to_owned()] {
        let found = seen.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "\"{word}\" was readable");
    }
    daemon.assert_alive();
}
