//! Stories of the draft socket types, which need a libzmq built with them: `make test-drafts`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use rzmq_link::{LinkError, Sent, SocketType};
use support::*;

const ANY: &str = "@tcp://127.0.0.1:*";

/// False, said aloud, where the loaded libzmq lacks the draft API.
fn drafts() -> bool {
    let there = rzmq_link::has_drafts();
    if !there {
        let required = std::env::var_os("RZMQ_TEST_DRAFTS").is_some();
        assert!(!required, "the loaded libzmq has no draft API");
        eprintln!("skipped: the loaded libzmq has no draft API (make test-drafts brings one)");
    }
    there
}

#[test]
fn draft_types_are_refused_without_the_api_and_only_then() {
    let usable = SocketType::parse("radio", SocketType::OUTPUTS).is_ok();
    assert_eq!(usable, rzmq_link::has_drafts());
    assert_eq!(zmq::has("draft"), Some(rzmq_link::has_drafts()));
}

#[test]
fn draft_radio_to_dish() {
    if !drafts() {
        return;
    }
    let keys = Keys::new(&["server", "web"]);
    let server = keys.server(&["web"]);
    let client = keys.client("server", "web");
    for (ours, theirs) in [(&plaintext(), &plaintext()), (&server, &client)] {
        let context = context();
        let radio = open(&context, &spec(SocketType::Radio, ANY, ours));
        let mut wish = spec(SocketType::Dish, &radio.bound()[0], theirs);
        wish.topics = vec!["cron".into(), "mail".into()];
        let dish = open(&context, &wish);
        until("joined", || {
            assert_eq!(radio.send_group("cron", b"?").unwrap(), Sent::Taken);
            receive_within(&dish, Duration::from_millis(20)).is_some()
        });
        assert_eq!(radio.send_group("other", b"nobody's").unwrap(), Sent::Taken);
        assert_eq!(radio.send_group("mail", b"line").unwrap(), Sent::Taken);
        let message = std::iter::repeat_with(|| receive(&dish))
            .find(|message| message.body() != b"?")
            .unwrap();
        assert_eq!(message.body(), b"line");
        assert_eq!(message.topic(), Some(b"mail".as_slice()));
        assert_eq!(message.peer_address(), Some("127.0.0.1"));
        let error = radio.send_group(&"x".repeat(300), b"line").unwrap_err().to_string();
        assert!(error.contains("at most 255 bytes"), "{error}");
        assert!(radio.send_group("a\0b", b"line").is_err());
    }
}

#[test]
fn draft_a_radio_that_must_not_drop_is_full() {
    if !drafts() {
        return;
    }
    let context = context();
    let mut radio = spec(SocketType::Radio, ANY, &plaintext());
    radio.options.snd_hwm = 10;
    radio.options.pub_nodrop = true;
    let radio = open(&context, &radio);
    let mut slow = spec(SocketType::Dish, &radio.bound()[0], &plaintext());
    slow.options.rcv_hwm = 10;
    slow.topics = vec!["g".into()];
    let slow = open(&context, &slow);
    until("joined", || {
        let _ = radio.send_group("g", b"?").unwrap();
        receive_within(&slow, Duration::from_millis(20)).is_some()
    });
    let body = vec![b'x'; 1 << 20];
    let taken = (0..200).filter(|_| radio.send_group("g", &body).unwrap() == Sent::Taken);
    assert!(taken.count() < 200);
}

#[test]
fn draft_scatter_to_gather_and_client_to_server() {
    if !drafts() {
        return;
    }
    let keys = Keys::new(&["server", "web", "stranger"]);
    let server = keys.server(&["web"]);
    let client = keys.client("server", "web");
    for (output, input) in
        [(SocketType::Scatter, SocketType::Gather), (SocketType::Client, SocketType::Server)]
    {
        for (ours, theirs) in [(&plaintext(), &plaintext()), (&server, &client)] {
            let context = context();
            let receiver = open(&context, &spec(input, ANY, ours));
            let sender = open(&context, &spec(output, &receiver.bound()[0], theirs));
            for number in 0..1000_u32 {
                send(&sender, &[&number.to_be_bytes()]);
            }
            for number in 0..1000_u32 {
                let message = receive(&receiver);
                assert_eq!(message.body(), number.to_be_bytes());
                assert_eq!(message.frames(), 1);
                assert_eq!(message.key().is_some(), ours.is_curve());
                assert!(message.authenticated());
                assert_eq!(message.peer_address(), Some("127.0.0.1"));
            }
            until("connected", || receiver.connections() == 1 && sender.connections() == 1);
            let error = sender.send(&[b"two", b"frames"]).unwrap_err();
            assert!(matches!(error, LinkError::OneFrame(_)), "{error}");
        }
    }
}

#[test]
fn draft_sockets_wait_and_refuse_as_the_others() {
    if !drafts() {
        return;
    }
    let keys = Keys::new(&["server", "web", "stranger"]);
    let context = context();
    let absent = open(&context, &spec(SocketType::Scatter, "tcp://127.0.0.1:1", &plaintext()));
    assert_eq!(absent.send(&[b"x"]).unwrap(), Sent::Full);
    assert!(!absent.wait_writable(Duration::from_millis(50)).unwrap());
    let log = Log::new();
    let gather = spec(SocketType::Gather, ANY, &keys.server(&["web"]));
    let gather = context.open(&gather, log.clone()).unwrap();
    let stranger = keys.client("server", "stranger");
    let scatter = open(&context, &spec(SocketType::Scatter, &gather.bound()[0], &stranger));
    log.wait_for("refused 127.0.0.1");
    assert_eq!(scatter.send(&[b"x"]).unwrap(), Sent::Full);
    assert!(receive_within(&gather, Duration::from_millis(100)).is_none());
}
