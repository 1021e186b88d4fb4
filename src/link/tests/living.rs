//! Credentials that change while sockets are open: keys that come, go and are replaced, and how many
//! connections there may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Uid, geteuid};
use rzmq_link::{Context, LinkError, Received, Security, Socket, SocketType};
use support::*;

const ANY: &str = "@tcp://127.0.0.1:*";
/// Less than the three seconds in which a removed key must be gone.
const SOON: Duration = Duration::from_millis(2900);

/// A server that lets web and db in, and these two.
struct Served {
    pull: Socket,
    web: Socket,
    db: Socket,
    log: Arc<Log>,
    keys: Keys,
    _context: Context,
}

impl Served {
    fn new() -> Self {
        let keys = Keys::new(&["server", "web", "db"]);
        let (context, log) = (context(), Log::new());
        let server = spec(SocketType::Pull, ANY, &keys.server(&["web", "db"]));
        let pull = context.open(&server, log.clone()).unwrap();
        let client = |own| spec(SocketType::Push, &pull.bound()[0], &keys.client("server", own));
        let (web, db) = (open(&context, &client("web")), open(&context, &client("db")));
        Self { pull, web, db, log, keys, _context: context }
    }

    /// A message may come before the monitor's word of its connection, which is then cut as one that has
    /// just come.
    fn is_heard_of(&self) {
        until("the monitor has heard of both", || self.pull.connections() == 2);
    }
}

#[test]
fn a_certificate_that_comes_lets_its_key_in_at_once() {
    let keys = Keys::new(&["server", "web", "db"]);
    let (context, log) = (context(), Log::new());
    let server = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&server, log.clone()).unwrap();
    let push =
        open(&context, &spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "db")));
    until("refused", || pull.keys_refused() > 0);
    fs::copy(keys.path("db"), keys.path("allowed web").join("db")).unwrap();
    send(&push, &[b"hello"]);
    assert_eq!(receive(&pull).sender_name(), Some("db"));
    log.wait_for("allowed from now on: db");
}

#[test]
fn a_certificate_that_goes_closes_its_connections_and_no_others() {
    let served = Served::new();
    let Served { keys, log, pull, web, db, .. } = &served;
    for push in [web, db] {
        send(push, &[b"hello"]);
        receive(pull);
    }
    served.is_heard_of();
    let file = keys.path("allowed web db").join("web");
    fs::remove_file(&file).unwrap();
    within(SOON, "web is cut", || web.connections() == 0);
    log.wait_for("no longer allowed: web");
    log.wait_for("connections closed: 1");
    assert_eq!(db.connections_ended(), 0, "db was disturbed");
    send(db, &[b"still here"]);
    assert_eq!(receive(pull).sender_name(), Some("db"));
    fs::copy(keys.path("web"), &file).unwrap();
    send(web, &[b"back"]);
    assert_eq!(receive(pull).sender_name(), Some("web"));
}

#[test]
fn a_silent_subscriber_is_closed_too() {
    let keys = Keys::new(&["server", "web", "db"]);
    let context = context();
    let publisher = spec(SocketType::Pub, ANY, &keys.server(&["web", "db"]));
    let publisher = open(&context, &publisher);
    let client = |own| spec(SocketType::Sub, &publisher.bound()[0], &keys.client("server", own));
    let web = open(&context, &client("web"));
    until("web is connected", || web.connections() == 1);
    fs::remove_file(keys.path("allowed web db").join("web")).unwrap();
    within(SOON, "web is cut", || web.connections() == 0);
}

#[test]
fn what_a_removed_key_has_sent_before_is_not_accepted() {
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let web =
        open(&context, &spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web")));
    send(&web, &[b"first"]);
    assert!(receive(&pull).authenticated());
    until("the monitor has heard of it", || web.connections() == 1);
    for _ in 0..10 {
        send(&web, &[b"more"]);
    }
    fs::remove_file(keys.path("allowed web").join("web")).unwrap();
    within(SOON, "web is cut", || web.connections() == 0);
    let late = receive(&pull);
    assert!(!late.authenticated() && late.key().is_none());
}

#[test]
fn a_broken_certificate_is_named_and_disturbs_nobody() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let server = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&server, log.clone()).unwrap();
    let web =
        open(&context, &spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web")));
    until("connected", || web.connections() == 1);
    fs::write(keys.path("allowed web").join("new"), "nonsense here\n").unwrap();
    log.wait_for("not allowed in: ");
    assert_eq!(web.connections_ended(), 0);
    fs::rename(keys.path("allowed web"), keys.path("elsewhere")).unwrap();
    log.wait_for("whoever was allowed stays allowed");
    send(&web, &[b"still"]);
    assert!(receive(&pull).authenticated());
}

/// What it is called decides what it may say (`enforcehost`): that changes neither in silence nor for a
/// connection that is up.
#[test]
fn a_key_that_is_given_another_name_is_told_and_cut_and_comes_back() {
    let served = Served::new();
    let Served { keys, log, pull, web, db, .. } = &served;
    send(db, &[b"hello"]);
    assert_eq!(receive(pull).sender_name(), Some("db"));
    send(web, &[b"hello"]);
    let key = receive(pull).key().map(str::to_owned).unwrap();
    let folder = keys.path("allowed web db");
    let text = fs::read_to_string(folder.join("web")).unwrap();
    let mut ended = 0;
    // the same file with another name, and one that comes before it
    for (file, before, name) in [("web", "web", "mail"), ("aaa", "mail", "ftp")] {
        served.is_heard_of();
        fs::write(folder.join(".new"), text.replace("\"web\"", &format!("\"{name}\""))).unwrap();
        fs::rename(folder.join(".new"), folder.join(file)).unwrap();
        within(SOON, "it is cut", || web.connections_ended() > ended);
        ended = web.connections_ended();
        let path = folder.join(file);
        let told = format!("the key {key} is called {name} now, was {before} ({})", path.display());
        assert!(log.wait_for(&told).ends_with("; connections closed: 1"));
        send(web, &[b"again"]);
        assert_eq!(receive(pull).sender_name(), Some(name));
    }
    let shared = format!("{} holds the key {key} too", folder.join("web").display());
    assert!(log.wait_for(&shared).contains("it is called ftp, as in "));
    assert_eq!(db.connections_ended(), 0, "db was disturbed");
}

/// Both halves are there, and each in the other's place.
#[test]
fn a_swapped_certificate_lets_nobody_in_and_its_secret_is_not_told() {
    let keys = Keys::new(&["server", "web", "db"]);
    let (context, log) = (context(), Log::new());
    let server = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let _pull = context.open(&server, log.clone()).unwrap();
    let text = fs::read_to_string(keys.path("db_secret")).unwrap();
    let secret = text.split_once("secret-key = \"").unwrap().1.split('"').next().unwrap();
    let swapped = text
        .replace("public-key", "...")
        .replace("secret-key", "public-key")
        .replace("...", "secret-key");
    fs::write(keys.path("allowed web").join("db"), swapped).unwrap();
    let told = log.wait_for("not allowed in: ");
    assert!(told.contains("db: its public-key does not belong to its secret-key"), "{told}");
    assert!(log.sentences().iter().all(|it| !it.contains(secret)), "a secret in the log");
}

fn replace_key(keys: &Keys, name: &str) {
    let other = Keys::new(&[name]);
    for file in [name.to_owned(), format!("{name}_secret")] {
        fs::copy(other.path(&file), keys.path(&format!("{file}.new"))).unwrap();
        let new = keys.path(&format!("{file}.new"));
        fs::set_permissions(&new, fs::metadata(other.path(&file)).unwrap().permissions()).unwrap();
        fs::rename(new, keys.path(&file)).unwrap();
    }
}

#[test]
fn a_servers_key_is_replaced_and_its_clients_follow() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let server = spec(SocketType::Pull, &lasting(), &keys.server(&["web"]));
    let mut pull = context.open(&server, log.clone()).unwrap();
    let client = spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web"));
    let web = open(&context, &client);
    send(&web, &[b"first"]);
    until("in libzmq's hands", || pull.connections() == 1);
    assert!(!pull.is_bound_with_old_keys());
    replace_key(&keys, "server");
    until("seen", || pull.is_bound_with_old_keys());
    log.wait_for("holds another key now");
    pull.rebind().unwrap();
    assert!(!pull.is_bound_with_old_keys());
    until("web is cut", || web.connections() == 0);
    wait_connected("it has the new key", &web, 1);
    send(&web, &[b"second"]);
    assert_eq!(receive(&pull).body(), b"first", "what had arrived is lost");
    assert_eq!(receive(&pull).body(), b"second");
}

/// Calls again until so many are connected, receiving whatever comes.
#[track_caller]
fn wait_connected(what: &str, socket: &Socket, count: u64) {
    until(what, || {
        // those that send have nothing to receive
        let _ = socket.receive(&mut Received::new());
        socket.call_again();
        socket.connections() == count
    });
}

/// The right to a socket file's folder is gone with the privileges: nothing is given up that cannot be had
/// again.
#[test]
fn a_socket_file_that_cannot_be_replaced_stays_bound_with_the_old_key() {
    if !geteuid().is_root() {
        eprintln!("not root: privileges cannot be dropped here");
        return;
    }
    let keys = Keys::new(&["server", "web"]);
    let context = context();
    let endpoint = format!("@ipc://{}", keys.path("in").display());
    let mut pull = open(&context, &spec(SocketType::Pull, &endpoint, &keys.server(&["web"])));
    let web = spec(SocketType::Push, &pull.bound()[0], &keys.client("server", "web"));
    let web = open(&context, &web);
    until("connected", || web.connections() == 1);
    replace_key(&keys, "server");
    until("seen", || pull.is_bound_with_old_keys());
    // of this thread alone
    let become_user = |user| rustix::thread::set_thread_res_uid(user, user, Uid::ROOT).unwrap();
    become_user(Uid::from_raw(65534));
    let answer = pull.rebind();
    become_user(Uid::ROOT);
    assert!(matches!(answer, Err(LinkError::NoRightToRebind(_))), "{answer:?}");
    assert!(!pull.is_bound_with_old_keys(), "it would be tried for ever");
    send(&web, &[b"hello"]);
    assert_eq!(receive(&pull).body(), b"hello");
    assert_eq!(web.connections_ended(), 0);
}

/// Each of several servers may hold another key of the two.
#[test]
fn one_of_several_servers_whose_key_is_replaced_is_followed_and_the_others_are_not_disturbed() {
    let keys = Keys::new(&["server", "next", "web"]);
    let context = context();
    let publisher = |endpoint: &str, own: &str| {
        keys.server(&["web"]);
        open(&context, &spec(SocketType::Pub, endpoint, &keys.server_with(own, "allowed web")))
    };
    let (rotated, calm) = (publisher(&lasting(), "server"), publisher(ANY, "server"));
    let endpoint = rotated.bound()[0].clone();
    let both = format!("{},{}", keys.path("server").display(), keys.path("next").display());
    let endpoints = format!("{endpoint},{}", calm.bound()[0]);
    let sub = open(&context, &spec(SocketType::Sub, &endpoints, &keys.client(&both, "web")));
    until("both are connected", || sub.connections() == 2);
    drop(rotated);
    until("one is gone", || sub.connections() == 1);
    let server = keys.server_with("next", "allowed web");
    let again = spec(SocketType::Pub, &format!("@{endpoint}"), &server);
    let rotated = open_again(&context, &again, &Log::new());
    wait_connected("the other key is found", &sub, 2);
    assert_eq!(sub.connections_ended(), 1, "the other publisher was disturbed");
    for publisher in [&rotated, &calm] {
        until("a line comes", || {
            let _ = publisher.send(&[b"hello"]).unwrap();
            receive_within(&sub, Duration::from_millis(50)).is_some()
        });
        while receive_within(&sub, Duration::from_millis(200)).is_some() {}
    }
}

/// Who is refused has seen the server's key: the other certificate would not help, and the log would say so
/// a hundred times.
#[test]
fn a_server_that_refuses_our_key_is_not_taken_for_another() {
    let keys = Keys::new(&["server", "next", "web", "db"]);
    let (context, log) = (context(), Log::new());
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["db"])));
    let both = format!("{},{}", keys.path("server").display(), keys.path("next").display());
    let client = spec(SocketType::Push, &pull.bound()[0], &keys.client(&both, "web"));
    let push = context.open(&client, log.clone()).unwrap();
    until("refused again and again", || {
        push.call_again();
        push.handshakes_failed() >= 4
    });
    log.wait_for("the server refused our key");
    let told = log.sentences();
    assert_eq!(told.iter().filter(|it| it.contains("handshake failed")).count(), 1, "{told:#?}");
}

/// A CURVE server may be the side that calls.
#[test]
fn a_server_that_calls_shows_its_new_key_at_the_next_connection() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let push = spec(SocketType::Push, &lasting(), &keys.client("server", "web"));
    let push = open(&context, &push);
    let server = spec(SocketType::Pull, &format!(">{}", push.bound()[0]), &keys.server(&["web"]));
    let pull = context.open(&server, log.clone()).unwrap();
    send(&push, &[b"first"]);
    assert_eq!(receive(&pull).body(), b"first");
    replace_key(&keys, "server");
    let (address, known) = (push.bound()[0].clone(), keys.client("server", "web"));
    drop(push);
    let again = spec(SocketType::Push, &format!("@{address}"), &known);
    let push = open_again(&context, &again, &Log::new());
    // the gauge knows of it when the monitor has heard of it
    until("the old connection is gone", || pull.connections_ended() > 0);
    wait_connected("the new key is shown", &pull, 1);
    log.wait_for("anew, with other keys");
    send(&push, &[b"second"]);
    assert_eq!(receive(&pull).body(), b"second");
}

/// With immediate="off" libzmq holds lines for a server that is not there, and tells nobody when it gives up.
#[test]
fn what_was_held_for_a_server_that_is_called_anew_is_told_as_lost() {
    let keys = Keys::new(&["server", "next", "web"]);
    let (context, log) = (context(), Log::new());
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let known = keys.path("next");
    let mut client = spec(SocketType::Push, &pull.bound()[0], &keys.client("next", "web"));
    client.options.immediate = false;
    let push = context.open(&client, log.clone()).unwrap();
    send(&push, &[b"held"]);
    until("its key does not fit", || push.handshakes_failed() > 0);
    fs::copy(keys.path("server"), &known).unwrap();
    wait_connected("the right key is shown", &push, 1);
    let told = log.wait_for("is lost");
    assert!(told.contains(&pull.bound()[0]), "{told}");
    assert!(push.connections_ended() > 0, "acknowledged delivery would wait for ever");
    send(&push, &[b"sent"]);
    assert_eq!(receive(&pull).body(), b"sent");
}

#[test]
fn of_two_certificates_the_one_that_fits_is_found() {
    let keys = Keys::new(&["server", "next", "web"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let both = format!("{}, {}", keys.path("next").display(), keys.path("server").display());
    let client = spec(SocketType::Push, &pull.bound()[0], &keys.client(&both, "web"));
    let web = open(&context, &client);
    wait_connected("the other one is tried", &web, 1);
    send(&web, &[b"hello"]);
    assert_eq!(receive(&pull).body(), b"hello");
}

#[test]
fn a_key_that_cannot_be_read_again_stays() {
    let keys = Keys::new(&["server", "web"]);
    let (context, log) = (context(), Log::new());
    let server = spec(SocketType::Pull, ANY, &keys.server(&["web"]));
    let pull = context.open(&server, log.clone()).unwrap();
    fs::set_permissions(keys.path("server_secret"), fs::Permissions::from_mode(0o644)).unwrap();
    log.wait_for("the key read before stays");
    let text = fs::read_to_string(keys.path("server_secret")).unwrap();
    let secret = text.split("secret-key = ").nth(1).unwrap().trim().replace('"', "");
    assert!(!pull.is_bound_with_old_keys());
    assert!(!log.sentences().concat().contains(&secret));
}

#[test]
fn connections_are_limited_in_all_and_for_a_key() {
    let keys = Keys::new(&["server", "web", "db"]);
    let (context, log) = (context(), Log::new());
    let mut server = spec(SocketType::Pull, ANY, &keys.server(&["web", "db"]));
    server.options.max_connections = 4;
    server.options.max_connections_per_key = 2;
    let pull = context.open(&server, log.clone()).unwrap();
    let client = |own| spec(SocketType::Push, &pull.bound()[0], &keys.client("server", own));
    let pushers: Vec<_> = (0..2).map(|_| open(&context, &client("web"))).collect();
    for push in &pushers {
        send(push, &[b"hello"]);
        receive(&pull);
    }
    let third = open(&context, &client("web"));
    log.wait_for("as many as maxconnectionsperkey allows");
    let db = open(&context, &client("db"));
    send(&db, &[b"hello"]);
    receive(&pull);
    let more: Vec<_> = (0..3).map(|_| open(&context, &client("db"))).collect();
    log.wait_for("4 connections are open, as many as maxconnections allows");
    assert_eq!(third.connections(), 0);
    assert_eq!(pushers.iter().map(|push| push.connections_ended()).sum::<u64>(), 0);
    drop(more);
}

#[test]
fn a_certificate_that_comes_later_is_tried_too() {
    let keys = Keys::new(&["server", "old", "web"]);
    let context = context();
    let pull = open(&context, &spec(SocketType::Pull, ANY, &keys.server(&["web"])));
    let next = keys.path("next");
    let both = format!("{},{}", keys.path("old").display(), next.display());
    let client = spec(SocketType::Push, &pull.bound()[0], &keys.client(&both, "web"));
    let web = open(&context, &client);
    until("the old one does not fit", || web.handshakes_failed() > 0);
    fs::copy(keys.path("server"), &next).unwrap();
    wait_connected("another is tried", &web, 1);
    send(&web, &[b"hello"]);
    assert_eq!(receive(&pull).body(), b"hello");
}

#[test]
fn two_endpoints_have_two_keys_of_one_server() {
    let keys = Keys::new(&["server", "next", "web"]);
    let context = context();
    keys.server(&["web"]); // files the folder
    let both = format!("{},{}", keys.path("server").display(), keys.path("next").display());
    let security = keys.server_with(&both, "allowed web");
    let two = "@tcp://127.0.0.1:*,@tcp://127.0.0.1:*";
    let pull = open(&context, &spec(SocketType::Pull, two, &security));
    for (endpoint, server) in pull.bound().iter().zip(["server", "next"]) {
        let push = spec(SocketType::Push, endpoint, &keys.client(server, "web"));
        let push = open(&context, &push);
        send(&push, &[server.as_bytes()]);
        assert_eq!(receive(&pull).body(), server.as_bytes());
    }
}

/// A foreign server whose authenticator answers as it is told.
fn foreign_server(keys: &Keys, status: Arc<Mutex<&'static str>>) -> (zmq::Socket, String) {
    let context = zmq::Context::new();
    let handler = context.socket(zmq::REP).unwrap();
    handler.bind("inproc://zeromq.zap.01").unwrap();
    std::thread::spawn(move || {
        while let Ok(request) = handler.recv_multipart(0) {
            let status = status.lock().unwrap().as_bytes().to_vec();
            let id = request[1].clone();
            let answer = [b"1.0".to_vec(), id, status, vec![], b"user".to_vec(), vec![]];
            if handler.send_multipart(answer, 0).is_err() {
                return;
            }
        }
    });
    let text = fs::read_to_string(keys.path("server_secret")).unwrap();
    let secret = text.split("secret-key = \"").nth(1).unwrap();
    let socket = context.socket(zmq::PULL).unwrap();
    socket.set_curve_server(true).unwrap();
    socket.set_curve_secretkey(&zmq::z85_decode(&secret[..40]).unwrap()).unwrap();
    socket.set_zap_domain("foreign").unwrap();
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let endpoint = socket.get_last_endpoint().unwrap().unwrap();
    (socket, endpoint)
}

/// libzmq itself would never try again.
#[test]
fn a_server_that_refuses_for_good_is_asked_again() {
    let keys = Keys::new(&["server", "web"]);
    let status = Arc::new(Mutex::new("400"));
    let (pull, endpoint) = foreign_server(&keys, status.clone());
    let (context, log) = (context(), Log::new());
    let client = spec(SocketType::Push, &endpoint, &keys.client("server", "web"));
    let push = context.open(&client, log.clone()).unwrap();
    let told = log.wait_for("the server refused our key");
    assert!(told.contains("(status 400)"), "{told}");
    *status.lock().unwrap() = "200";
    until("it is asked again", || {
        push.call_again();
        push.connections() > 0
    });
    send(&push, &[b"at last"]);
    assert_eq!(pull.recv_bytes(0).unwrap(), b"at last");
}

/// Nor would it after a message over maxmsgsize. The other peers of the socket notice nothing.
#[test]
fn a_peer_that_said_too_much_is_called_again_and_the_others_stay() {
    let foreign = zmq::Context::new();
    let publisher = || {
        let socket = foreign.socket(zmq::XPUB).unwrap();
        socket.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = socket.get_last_endpoint().unwrap().unwrap();
        (socket, endpoint)
    };
    let ((loud, one), (calm, two)) = (publisher(), publisher());
    let mut wanted = spec(SocketType::Sub, &format!("{one},{two}"), &Arc::new(Security::Plaintext));
    wanted.options.maxmsgsize = 1000;
    let sub = open(&context(), &wanted);
    for socket in [&loud, &calm] {
        assert_eq!(socket.recv_bytes(0).unwrap(), [1], "a subscription");
    }
    loud.send(vec![0; 2000], 0).unwrap();
    assert_eq!(loud.recv_bytes(0).unwrap(), [0], "cut off");
    loud.set_rcvtimeo(0).unwrap();
    until("it is called again", || {
        assert!(!sub.receive(&mut Received::new()).unwrap());
        sub.call_again();
        loud.recv_bytes(0).is_ok()
    });
    calm.set_rcvtimeo(0).unwrap();
    assert!(calm.recv_bytes(0).is_err(), "the other was cut, too");
    loud.send("again", 0).unwrap();
    assert_eq!(receive(&sub).body(), b"again");
    calm.send("still", 0).unwrap();
    assert_eq!(receive(&sub).body(), b"still");
}
