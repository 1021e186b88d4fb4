//! Certificates as czmq and pyzmq wrote them, and what else may be in a file or at its place.

use super::*;
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use tempfile::TempDir;

// as zcert_save of czmq 4.2.1 wrote it
const CZMQ_PUBLIC: &str = "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s";
const CZMQ_SECRET: &str = "gE&]$Q4pwiB5l5RDRRu}pX{Fepw*KRnB6<$slRrQ";
const CZMQ_FILE: &str = r#"#   ****  Generated on 2026-11-24 19:19:12 by CZMQ  ****

metadata
    name = "web1 # main"
    email = "a@b"
curve
    public-key = "w6]9pS3Q>*1>&j1G*qo@Hk{/6O.EM}6wVCuQg[{s"
    secret-key = "gE&]$Q4pwiB5l5RDRRu}pX{Fepw*KRnB6<$slRrQ"
"#;
// as zmq.auth of pyzmq 27 wrote it: metadata without quotes
const PYZMQ_PUBLIC: &str = "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:";
const PYZMQ_FILE: &str = r#"#   ****  Generated on 2026-11-24 19:19:23.674320 by pyzmq  ****

metadata
    name = py one
    role = log
curve
    public-key = "MaT]u(P:?XQi{Gc^F.@00@sbewGy+)s}z?rU/i.:"
    secret-key = "GvNI}3uNU2}PGygvAFed1KnX60)$$FH(pZv.Biq1"
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap().write_all(text.as_ref()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

#[test]
fn czmq_and_pyzmq_certificates_are_read() {
    let folder = Folder::new();
    let web = folder.file("web", 0o600, CZMQ_FILE);
    let certificate = load_peer(&web).unwrap();
    assert_eq!(certificate.public.to_string(), CZMQ_PUBLIC);
    assert_eq!(certificate.label(), "web1 # main");
    let own = load_own(&web).unwrap();
    assert_eq!(own.public, certificate.public);
    assert_eq!(z85::encode(own.secret()), CZMQ_SECRET.as_bytes());
    let py = folder.file("py.key_secret", 0o400, PYZMQ_FILE.replace('\n', "\r\n"));
    assert_eq!(load_own(&folder.path("py.key")).unwrap().public.to_string(), PYZMQ_PUBLIC);
    assert_eq!(load_own(&py).unwrap().public.to_string(), PYZMQ_PUBLIC);
    let certificate = load_peer(&py).unwrap();
    assert_eq!(certificate.label(), "py one");
}

#[test]
fn a_certificate_without_a_name_has_its_files() {
    let folder = Folder::new();
    let text = CZMQ_FILE.replace("    name = \"web1 # main\"\n", "");
    let certificate = load_peer(&folder.file("web7.cert", 0o644, text)).unwrap();
    assert_eq!((certificate.name.as_deref(), certificate.label().as_str()), (None, "web7.cert"));
}

#[test]
fn secrets_are_not_printed() {
    let folder = Folder::new();
    let own = load_own(&folder.file("web", 0o600, CZMQ_FILE)).unwrap();
    let text = format!("{own:?}");
    assert!(text.contains(CZMQ_PUBLIC) && !text.contains(CZMQ_SECRET), "{text}");
}

#[test]
fn a_peers_certificate_whose_secret_was_blanked_is_one() {
    let folder = Folder::new();
    for blank in ["", "removed"] {
        let path = folder.file("web", 0o600, CZMQ_FILE.replace(CZMQ_SECRET, blank));
        assert_eq!(load_peer(&path).unwrap().public.to_string(), CZMQ_PUBLIC);
    }
}

/// As a peer's certificate it would be told with its key.
#[test]
fn a_secret_in_a_public_ones_place_is_not_taken_for_it() {
    let folder = Folder::new();
    let swapped = CZMQ_FILE
        .replace(CZMQ_PUBLIC, "...")
        .replace(CZMQ_SECRET, CZMQ_PUBLIC)
        .replace("...", CZMQ_SECRET);
    let path = folder.file("web", 0o600, swapped);
    for error in [load_peer(&path).unwrap_err(), load_own(&path).unwrap_err()] {
        let error = format!("{error} {error:?}");
        assert!(error.contains("web: its public-key does not belong to its secret-key"), "{error}");
        assert!(!error.contains(CZMQ_SECRET) && !error.contains(CZMQ_PUBLIC), "{error}");
    }
}

#[test]
fn what_is_secret_is_wiped_when_it_goes() {
    let mut secret = [7; 32];
    drop(Wiped(&mut secret));
    assert_eq!(secret, [0; 32]);
}

#[test]
fn the_secret_file_comes_first() {
    let folder = Folder::new();
    let public = CZMQ_FILE.lines().filter(|line| !line.contains("secret-key"));
    let public: String = public.map(|line| format!("{line}\n")).collect();
    let name = folder.file("web", 0o644, &public);
    let error = load_own(&name).unwrap_err().to_string();
    assert!(error.contains("web: holds no secret-key, and there is no"), "{error}");
    assert!(error.contains("web_secret"), "{error}");
    folder.file("web_secret", 0o600, CZMQ_FILE);
    assert_eq!(load_own(&name).unwrap().public, load_peer(&name).unwrap().public);
    // even a broken one: falling back would hide the mistake
    folder.file("web_secret", 0o600, "");
    assert!(load_own(&name).is_err());
}

#[test]
fn errors_name_file_line_and_cause() {
    let folder = Folder::new();
    let public = format!("    public-key = \"{CZMQ_PUBLIC}\"\n");
    let other = generate().unwrap().public.to_string();
    for (text, part) in [
        ("".to_owned(), ": holds no secret-key"),
        ("curve\n".to_owned(), ": holds no secret-key"),
        (CZMQ_FILE.replace(&public, ""), ": holds no public-key"),
        (CZMQ_FILE.replace("$slRrQ", ""), ", line 8: secret-key has 34 characters"),
        (CZMQ_FILE.replace("w6]9", "w6~9"), ", line 7: public-key has '~' as character 3"),
        (CZMQ_FILE.replace("$slRrQ\"", "$slRrQ"), ", line 8: has a quote that is not closed"),
        (CZMQ_FILE.replace("curve\n", ""), ", line 6: public-key must stand, indented, below"),
        (CZMQ_FILE.replace("    public", "public"), ", line 7: public-key must stand"),
        (
            CZMQ_FILE.replace(&public, &public.repeat(2)),
            ", line 8: public-key was already given in line 7",
        ),
        (CZMQ_FILE.replace(CZMQ_PUBLIC, &other), "public-key does not belong to its secret-key"),
        ("-----BEGIN PRIVATE KEY-----\n".to_owned(), ", line 1: is not a section"),
    ] {
        let path = folder.file("own", 0o600, &text);
        let error = load_own(&path).unwrap_err().to_string();
        let start = path.display().to_string();
        assert!(error.starts_with(&start) && error.contains(part), "{part}: {error}");
    }
    for (text, part) in [
        (
            CZMQ_FILE.replace("curve", "metadata\n    name = db1\ncurve"),
            ", line 7: name was already given in line 4",
        ),
        (CZMQ_FILE.replace("web1", "we\u{1b}[1Db1"), ", line 4: name has a control character"),
        (CZMQ_FILE.replace("web1", "\u{202e}1bew"), ", line 4: name has a control character"),
        (CZMQ_FILE.replace("web1", "web\u{200b}1"), ", line 4: name has a control character"),
        (CZMQ_FILE.replace("web1", "web1\u{fe0f}"), ", line 4: name has a control character"),
    ] {
        let error = load_peer(&folder.file("peer", 0o644, &text)).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    // the name of a file that has no other
    let nameless = CZMQ_FILE.replace("name =", "nickname =");
    for name in ["web1\nrsyslogd: all is well", "\u{202e}1bew", "we\u{2066}b"] {
        let error = load_peer(&folder.file(name, 0o644, &nameless)).unwrap_err().to_string();
        assert!(error.contains("has no name in it, and its file's"), "{error}");
        load_peer(&folder.file(name, 0o644, CZMQ_FILE)).unwrap();
    }
    assert_eq!(load_peer(&folder.file("wéb1", 0o644, &nameless)).unwrap().label(), "wéb1");
    let error = load_peer(&folder.file("peer", 0o600, "metadata\n")).unwrap_err().to_string();
    assert!(error.contains("peer: holds no public-key (a line public-key ="), "{error}");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = Folder::new();
    for mode in [0o640, 0o604, 0o660, 0o620, 0o601] {
        let path = folder.file("own", mode, CZMQ_FILE);
        let error = load_own(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("(mode 0{mode:o}): chmod 600 {}", path.display())),
            "{error}"
        );
        assert!(load_peer(&path).is_ok());
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = Folder::new();
    fs::create_dir(folder.path("dir")).unwrap();
    let _socket = UnixListener::bind(folder.path("socket")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(folder.path("fifo")).status();
    assert!(fifo.unwrap().success());
    for (path, part) in [
        (folder.path("dir"), "is a directory, not a certificate file"),
        (folder.path("socket"), "is a socket, not"),
        (folder.path("fifo"), "is a named pipe, not"),
        (PathBuf::from("/dev/zero"), "is a device, not"),
        (folder.path("none"), "cannot be read: No such file or directory"),
        (folder.path("x\0y"), "cannot be read: "),
        // a file system may also call such a name not there
        (folder.path(&"x".repeat(300)), "cannot be read: "),
        (folder.file("big", 0o600, vec![b'\n'; 70_000]), "is too large: 65536 bytes at most"),
    ] {
        for error in [load_own(&path).unwrap_err(), load_peer(&path).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn fresh_keys_are_pairs_and_differ() {
    let (one, two) = (generate().unwrap(), generate().unwrap());
    assert_ne!(one.public, two.public);
    assert_eq!(public_of(one.secret()).unwrap(), one.public);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_it_panic(text: Vec<u8>, start in 0..CZMQ_FILE.len()) {
        let folder = Folder::new();
        for text in [text.clone(), [&CZMQ_FILE.as_bytes()[start..], &text].concat()] {
            let path = folder.file("x", 0o600, &text);
            let _ = load_own(&path);
            let _ = load_peer(&path);
        }
    }
}
