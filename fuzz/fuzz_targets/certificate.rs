//! Any bytes as a certificate file, read as a peer's and as an own one: both see the same key, and it
//! stands in the file; a mistake is one line of text that names the file. A peer alone has to have a name that
//! reads as what it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_link::{CertificateError, PublicKey, load_own, load_peer};
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::LazyLock;

/// A file without a name: nothing is left behind, however the run ends.
static FILE: LazyLock<(File, PathBuf)> = LazyLock::new(|| {
    // in memory, where there is a place for it: a disk is ten times slower
    let file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile());
    let file = file.expect("a scratch file");
    file.set_permissions(Permissions::from_mode(0o600)).expect("its mode");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
});

fuzz_target!(|input: &[u8]| {
    let (file, path) = &*FILE;
    file.write_all_at(input, 0).expect("room");
    file.set_len(input.len() as u64).expect("its length");
    let peer = load_peer(path).map_err(|why| understood(&why));
    let own = load_own(path).map_err(|why| understood(&why));
    if let Ok(peer) = &peer {
        let text = peer.public.to_string();
        assert_eq!(PublicKey::from_z85(&text), Some(peer.public));
        assert!(input.windows(text.len()).any(|window| window == text.as_bytes()));
    }
    if let Ok(own) = own {
        match peer {
            Ok(peer) => assert_eq!(peer.public, own.public),
            Err(why) => assert!(why.contains(": name "), "{why}"),
        }
    }
});

fn understood(why: &CertificateError) -> String {
    let text = why.to_string();
    assert!(text.starts_with("/proc/self/fd/"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    text
}
