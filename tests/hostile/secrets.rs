//! What rsyslogd's memory has of the secret keys once they are read: libzmq keeps the bytes for its
//! handshakes, and nobody the text of the file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use harness::Rsyslogd;

use super::Ground;

/// How often these bytes are in the memory that the process can write to.
fn count(daemon: &Rsyslogd, bytes: &[u8]) -> usize {
    let of = |name: &str| format!("/proc/{}/{name}", daemon.pid());
    let maps = fs::read_to_string(of("maps")).expect("its maps");
    let mut memory = File::open(of("mem")).expect("its memory");
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (start, end) = range.expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (number(start), number(end));
        let mut part = vec![0; (end - start) as usize];
        // what cannot be read is none of the heap and the stacks
        if memory.seek(SeekFrom::Start(start)).is_ok() && memory.read_exact(&mut part).is_ok() {
            found += part.windows(bytes.len()).filter(|window| *window == bytes).count();
        }
    }
    found
}

#[test]
fn the_text_of_no_secret_key_stays_in_memory() {
    let mut ground = Ground::new();
    // the key of a server is read again
    ground.server.write(&ground.receiving.path("keys"));
    ground.receiver.hup();
    ground.send(200);
    for (daemon, keys) in [(&ground.receiver, &ground.server), (&ground.sender, &ground.honest)] {
        assert!(count(daemon, &keys.public) > 0, "this finds nothing at all");
        assert_eq!(count(daemon, keys.secret_z85().as_bytes()), 0, "a secret key as text");
    }
    ground.receiver.wait_stats("imrzmq", "acked", "the honest one", |c| c["connections"] == 1);
    ground.judge();
    ground.end();
}
