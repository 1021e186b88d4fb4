//! Both modules below valgrind, and a little of each attack: on inputs, on a publisher, and by servers that
//! are none on an action that calls them.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::valgrind::{Findings, Valgrind};
use harness::{Site, alone, millis, patient, secs, wait_until};

use super::{Attack, Ground, Keys};

#[test]
fn valgrind_finds_nothing_of_ours_in_a_hostile_run() {
    if let Some(why) = Valgrind::unusable() {
        return skipped("valgrind_finds_nothing_of_ours_in_a_hostile_run", why);
    }
    let _alone = alone();
    let (liar, publisher) = (Liar::new(), free_endpoint());
    let mut ground =
        Ground::on(|site| outputs(site, &publisher, &liar.endpoint).valgrind(Valgrind));
    ground.endpoints.push(publisher);
    for (kind, options) in [
        ("random", &["--total", "60"][..]),
        ("mechanisms", &["--total", "12"]),
        ("versions", &["--total", "12", "--seconds", "1"]),
        ("lengths", &["--total", "12", "--seconds", "1"]),
        ("huge-frames", &["--total", "6"]),
        ("endless-frames", &["--total", "6"]),
        ("huge-metadata", &["--total", "3"]),
        ("stranger-flood", &["--total", "3"]),
        ("flood", &["--total", "100"]),
        ("keys", &["--total", "21"]),
        ("plaintext", &["--total", "6"]),
        ("not-a-pair", &["--total", "6"]),
    ] {
        let Some(mut attack) = Attack::start(&ground, kind, options) else { return };
        attack.done();
        ground.send(100);
    }
    ground.receiver.wait_stats("omrzmq", "pub", "refused keys", |c| c["keys_refused"] >= 1);
    wait_until("each lie was told", secs(90), || liar.told_all().then_some(()));
    ground.judge();
    ground.sender.stop().clean();
    ground.receiver.stop();
    let findings = Findings::of(&ground.receiver);
    findings.no_errors();
    findings.no_leaks();
    ground.keeps_secrets(&[]);
}

/// A publisher with CURVE, and an action that calls a server which is none. Their lines are rsyslogd's own
/// messages.
fn outputs(site: Site, publisher: &str, liar: &str) -> Site {
    let (keys, allowed) = (site.path("keys"), site.path("allowed"));
    // the attackers know the inputs' key
    let own = keys.join("server");
    let (server, client) = (Keys::new("other").write_public(&keys), Keys::new("us").write(&keys));
    let queue = "queue.type=\"LinkedList\" queue.timeoutShutdown=\"10000\"";
    site.global("processInternalMessages=\"on\"")
        .sending(
            "",
            &format!(
                "name=\"pub\" endpoints=\"{publisher}\" socktype=\"PUB\" authtype=\"CURVESERVER\" \
                 servercertpath=\"{}\" clientcertpath=\"{}\" {queue}",
                own.display(),
                allowed.display()
            ),
        )
        .with(&format!(
            "action(type=\"omrzmq\" name=\"calls\" endpoints=\"{liar}\" socktype=\"DEALER\" \
             delivery=\"acked\" authtype=\"CURVECLIENT\" servercertpath=\"{}\" \
             clientcertpath=\"{}\" reconnectivlmax=\"1000\" {queue})",
            server.display(),
            client.display()
        ))
}

/// Listens as a server does, and says something else each time, in turn.
struct Liar {
    endpoint: String,
    over: Arc<AtomicBool>,
    told: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    fn new() -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("not to wait");
        let endpoint = format!("tcp://{}", listener.local_addr().expect("its address"));
        let (over, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = thread::spawn({
            let (over, told) = (Arc::clone(&over), Arc::clone(&told));
            move || tell(&listener, &over, &told)
        });
        Liar { endpoint, over, told, thread: Some(thread) }
    }

    fn told_all(&self) -> bool {
        self.told.load(Ordering::Relaxed) >= lies().len()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lies() -> Vec<Vec<u8>> {
    let greeting = |mechanism: &str| {
        let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0".to_vec();
        bytes.extend_from_slice(mechanism.as_bytes());
        bytes.resize(64, 0);
        bytes[32] = 1;
        bytes
    };
    let curve = |more: &[u8]| [&greeting("CURVE"), more].concat();
    vec![
        Vec::new(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        greeting("NULL"),
        greeting("PLAIN"),
        curve(b""),
        curve(&[b"\x04\xa8\x07WELCOME".as_slice(), &[0; 160]].concat()),
        curve(b"\x04\xa8\x07WELCOME"),
        curve(b"\x04\x0a\x05ERROR\x03300"),
        curve(b"\x04\x06\x05ERROR"),
        curve(b"\x06\xff\xff\xff\xff\xff\xff\xff\xff"),
        curve(&[0xff; 100_000]),
        curve(&[0; 100_000]),
        vec![0xff; 100_000],
        b"\x01\0\x04\0text".to_vec(),
    ]
}

fn tell(listener: &TcpListener, over: &AtomicBool, told: &AtomicUsize) {
    for lie in lies().iter().cycle() {
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if over.load(Ordering::Relaxed) => return,
                Err(_) => thread::sleep(millis(5)),
            }
        };
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_write_timeout(Some(secs(1)));
        let _ = stream.set_read_timeout(Some(millis(200)));
        let _ = stream.write_all(lie);
        // whatever it answers, until it says nothing more
        let mut answer = [0; 4096];
        while matches!(patient::read(&mut stream, &mut answer), Ok(1..)) {}
        told.fetch_add(1, Ordering::Relaxed);
    }
}
