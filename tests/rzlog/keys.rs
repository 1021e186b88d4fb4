//! `rzlog keys`: what it writes is what the modules, czmq and pyzmq read, and it gives no secret away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::oracle::numbered;
use harness::ports::{free_endpoint, free_port};
use harness::python::interpreter;
use harness::skip::skipped;
use harness::{Flavour, Keys, Rzlog, SOON, Site};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn new_makes_a_pair_that_others_read_and_never_overwrites() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let new =
        |more: &str| Rzlog::of(&format!("keys new web1 {more}")).in_folder(folder.path()).run();
    let said = new("--email ops@example.org --meta rack=7").ended(0).out;
    assert_eq!((mode(&at("web1")), mode(&at("web1_secret"))), (0o644, 0o600));
    assert!(!text(&at("web1")).contains("secret-key"));
    for words in ["name = \"web1\"", "email = \"ops@example.org\"", "rack = \"7\""] {
        assert!(text(&at("web1")).contains(words), "{}", text(&at("web1")));
    }
    let before = text(&at("web1_secret"));
    new("").ended(1).complains(&["web1 exists", "never overwritten", "--force"]);
    assert_eq!(text(&at("web1_secret")), before);
    // shown: the key, never the secret
    let shown = Rzlog::of("keys show web1").in_folder(folder.path()).run().ended(0).out;
    let secret = before.split("secret-key = \"").nth(1).expect("a secret").split('"').next();
    assert!(!shown.contains(secret.expect("a secret")), "{shown}");
    let key = said.rsplit(' ').next().expect("the key").trim();
    assert!(shown.contains(key) && shown.contains("there, and belongs to it"), "{shown}");
    new("--force").ended(0);
    assert_ne!(text(&at("web1_secret")), before);
    assert_eq!(mode(&at("web1_secret")), 0o600);
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 2);
    if let Some(python) = interpreter() {
        let program =
            "import sys, zmq.auth; print(zmq.auth.load_certificate(sys.argv[1])[0].decode())";
        let read = Command::new(python).args(["-c", program]).arg(at("web1_secret")).output();
        let read = String::from_utf8_lossy(&read.expect("python").stdout).trim().to_owned();
        assert!(text(&at("web1")).contains(&read) && read.len() == 40, "{read}");
    } else {
        skipped("new_makes_a_pair_that_others_read_and_never_overwrites", "no pyzmq");
    }
}

#[test]
fn on_a_terminal_it_asks_what_curvecertgen_asked() {
    let folder = tempfile::tempdir().expect("folder");
    let mut asked = Rzlog::of("keys new me").in_folder(folder.path()).start_on_terminal();
    for (question, answer) in [
        ("Name [me]: ", ""),
        ("Email: ", "me@example.org"),
        ("Organization: ", "Example"),
        ("Version: ", "1"),
    ] {
        asked.wait_out(question, SOON);
        asked.types(&format!("{answer}\n"));
    }
    asked.wait_for("the end", SOON, |_| folder.path().join("me").exists());
    asked.wait(SOON).ended(0);
    let public = text(&folder.path().join("me"));
    for words in ["name = \"me\"", "email = \"me@example.org\"", "organization = \"Example\""] {
        assert!(public.contains(words), "{public}");
    }
}

#[test]
fn list_and_import_keep_a_folder_of_the_allowed() {
    let folder = tempfile::tempdir().expect("folder");
    let run = |line: &str| Rzlog::of(line).in_folder(folder.path()).run();
    fs::create_dir(folder.path().join("allowed")).expect("folder");
    let (web1, web2) = (Keys::new("web1"), Keys::new("web2"));
    web1.write(folder.path());
    // of a secret file only the public half is taken
    run("keys import web1_secret allowed").ended(0);
    let imported = text(&folder.path().join("allowed/web1"));
    assert!(imported.contains(&web1.public_z85()) && !imported.contains("secret-key"));
    run("keys import web1 allowed").ended(0);
    Rzlog::new(["keys", "import", &web2.public_z85(), "allowed", "--name", "web2"])
        .in_folder(folder.path())
        .run()
        .ended(0);
    let listed = run("keys list allowed").ended(0).out;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains(&format!("{}  web2", web2.public_z85())), "{listed}");
    // another's key under the same name
    Rzlog::new(["keys", "import", &Keys::new("x").public_z85(), "allowed", "--name", "web1"])
        .in_folder(folder.path())
        .run()
        .ended(1)
        .complains(&["allowed/web1 exists"]);
    // neither what leaves the folder, nor what a server would not look at
    for name in ["../x", "x.bak", ".x", "x.orig", "x_secret"] {
        Rzlog::new(["keys", "import", &Keys::new("x").public_z85(), "allowed", "--name", name])
            .in_folder(folder.path())
            .run()
            .ended(1)
            .complains(&["cannot be a file's name"]);
    }
    // a file's name is somebody's text, too
    let odd = folder.path().join("allowed/\u{1b}[2J");
    fs::rename(folder.path().join("allowed/web1"), &odd).expect("renamed");
    let said = run("keys import web1 allowed").ended(0).out;
    assert!(said.ends_with("is there already, in allowed/\\x1b[2J\n"), "{said:?}");
    fs::write(folder.path().join("allowed/junk"), "nonsense here").expect("written");
    run("keys list allowed").ended(1).complains(&["allowed/junk", "line 1"]);
}

/// The secret would be shown, filed and let in as the public key that it stands for.
#[test]
fn no_command_shows_a_secret_that_stands_in_the_public_keys_place() {
    let folder = tempfile::tempdir().expect("folder");
    let keys = Keys::new("web1");
    let (public, secret) = (keys.public_z85(), keys.secret_z85());
    let swapped = format!("curve\n    public-key = \"{secret}\"\n    secret-key = \"{public}\"\n");
    for place in ["in", "out"] {
        fs::create_dir(folder.path().join(place)).expect("folder");
    }
    fs::write(folder.path().join("in/web1"), swapped).expect("written");
    for line in ["keys show in/web1", "keys list in", "keys import in/web1 out"] {
        let end = Rzlog::of(line).in_folder(folder.path()).run().ended(1);
        end.complains(&["in/web1: its public-key does not belong to its secret-key"]);
        assert!(!end.out.contains(&secret) && !end.err.contains(&secret), "{line}: {}", end.out);
    }
    assert_eq!(fs::read_dir(folder.path().join("out")).expect("folder").count(), 0);
}

#[test]
fn the_old_modules_take_its_keys() {
    let folder = tempfile::tempdir().expect("folder");
    for name in ["loghost", "old"] {
        let line = format!("keys new {name} --organization Example");
        Rzlog::of(&line).in_folder(folder.path()).run().ended(0);
    }
    fs::create_dir(folder.path().join("allowed")).expect("folder");
    Rzlog::of("keys import old allowed").in_folder(folder.path()).run().ended(0);
    let (endpoint, keys) = (free_endpoint(), folder.path().display());
    let server = format!(
        "authtype=\"CURVESERVER\" servercertpath=\"{keys}/loghost\" clientcertpath=\"{keys}/allowed\""
    );
    let client = format!(
        "authtype=\"CURVECLIENT\" servercertpath=\"{keys}/loghost\" clientcertpath=\"{keys}/old\""
    );
    let input = format!("endpoints=\"{endpoint}\" socktype=\"ROUTER\"");
    let mut receiver = Site::new().without_feed().receiving(&server, &input).start();
    let action = format!("endpoints=\"{endpoint}\" socktype=\"DEALER\"");
    let sender = Site::of(Flavour::Czmq).sending(&client, &action).start();
    sender.feed(0..10);
    receiver.wait_lines("out.log", 10, SOON);
}

/// A fleet's folders do what they promise on real rsyslogd.
#[test]
fn fleet_is_ready_for_rsyslogd_and_grows() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let (port, publish) = (free_port(), free_port());
    let fleet_at = |hosts: &str, publish: u16| {
        fs::write(at("hosts.txt"), hosts).expect("written");
        let line = format!(
            "keys fleet --server loghost --clients hosts.txt --out fleet --address 127.0.0.1 \
             --port {port} --publish {publish} --install {d}/installed --logfile {d}/remote.log",
            d = folder.path().display()
        );
        Rzlog::of(&line).in_folder(folder.path()).run()
    };
    let fleet = |hosts: &str| fleet_at(hosts, publish);
    fleet("web1\nweb1 # again\n").ended(1).complains(&["web1", "stands twice"]);
    fleet("../web1\n").ended(1).complains(&["../web1", "cannot be a host"]);
    for server in ["hosts", "readers"] {
        let line = format!("keys fleet --server {server} --clients hosts.txt --out fleet");
        Rzlog::of(&line)
            .in_folder(folder.path())
            .run()
            .ended(1)
            .complains(&[server, "cannot be called so"]);
    }
    fleet("web1.orig\n").ended(1).complains(&["web1.orig", "cannot be a host"]);
    assert!(!at("fleet").exists());
    fleet("# the web\nweb1\n\nweb2\n").ended(0);
    let before = text(&at("fleet/web1/rzmq/web1_secret"));
    // half of one, of a run that was killed
    fs::write(at("fleet/web2/60-rzmq.conf.new"), "module(lo").expect("written");
    fs::remove_file(at("fleet/web2/60-rzmq.conf")).expect("removed");
    let grown = fleet("web1\nweb2\nweb3\n").ended(0);
    assert_eq!(grown.err, "");
    let said = grown.out;
    assert!(text(&at("fleet/web2/60-rzmq.conf")).ends_with(")\n"));
    assert!(!at("fleet/web2/60-rzmq.conf.new").exists());
    // what is there stays, and where it is not what was asked for, that is said
    let port_of_another = fleet_at("web1\nweb2\nweb3\n", free_port()).ended(0).err;
    for file in ["loghost/60-rzmq.conf", "reader/config.toml"] {
        let named = format!("fleet/{file} stays as it is, and is not what would be written now");
        assert!(port_of_another.contains(&named), "{port_of_another}");
    }
    assert!(!port_of_another.contains("web1"), "{port_of_another}");
    assert!(said.starts_with("1 new keys"), "{said}");
    // what has been edited on the server stays; -a would give the folder there to who owns the one here
    let copying = "rsync -r fleet/loghost/rzmq/hosts/ root@loghost:";
    assert!(said.contains(copying) && said.contains("/rzmq/hosts/\n"), "{said}");
    assert_eq!(text(&at("fleet/web1/rzmq/web1_secret")), before);
    assert_eq!(mode(&at("fleet/web3/rzmq/web3_secret")), 0o600);
    // Nobody has what is another's secret.
    assert!(!at("fleet/web1/rzmq/loghost_secret").exists());
    assert!(!text(&at("fleet/loghost/rzmq/hosts/web1")).contains("secret-key"));
    // "Copied" to where they belong.
    for host in ["loghost", "web3"] {
        let copied = Command::new("cp")
            .arg("-r")
            .arg(at(&format!("fleet/{host}/.")))
            .arg(at("installed"))
            .status();
        assert!(copied.expect("cp").success());
    }
    let snippet = |host: &str| {
        text(&at(&format!("fleet/{host}/60-rzmq.conf"))).replace("tcp://*", "tcp://127.0.0.1")
    };
    // on Debian its own messages come back through imuxsock; a test has none
    let receiving = Site::new().without_feed().with(&snippet("loghost"));
    let receiving = receiving.global("processInternalMessages=\"on\"");
    receiving.check().clean();
    let sending = Site::new().with(&snippet("web3"));
    sending.check().clean();
    let mut receiver = receiving.start();
    let sender = sending.start();
    sender.feed(0..20);
    receiver.wait("the lines", SOON, |_| {
        text_or_nothing(&at("remote.log")).contains(&numbered(19)).then_some(())
    });
    // The reader's folder, as its profile.
    let config = at("fleet/reader/config.toml");
    let mut tail = Rzlog::of(&format!("tail feeder app --config {}", config.display())).start();
    tail.wait_for("a line", SOON, |tail| {
        sender.feed(20..21);
        tail.out().contains(&numbered(20))
    });
    // What the server says of itself is published, too: the ready rules look for this.
    let stranger = Site::new().with(&snippet("web3").replace("web3_secret", "stranger_secret"));
    Rzlog::of("keys new stranger").in_folder(&at("installed/rzmq")).run().ended(0);
    let mut all = Rzlog::of(&format!("tail --config {}", config.display())).start();
    // a refusal is said once in a while: whoever is to see it is there before
    all.wait_for("a line", SOON, |all| {
        sender.feed(21..22);
        all.out().contains(&numbered(21))
    });
    let stranger = stranger.start();
    all.wait_for("a refusal", SOON, |all| {
        stranger.feed(0..1);
        let out = all.out();
        out.contains("refused 127.0.0.1") && out.contains("is not among those allowed")
    });
    let check = format!("check @default --config {}", config.display());
    let said = Rzlog::of(&check).run().ended(0).out;
    assert!(said.contains("fine: a PUB"), "{said}");
}

/// Whoever could have put a key there would have the server's, or be let in.
#[test]
fn fleet_takes_no_folder_that_others_can_write() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let allow = |name: &str, mode: u32| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("another mode");
    };
    let fleet = || {
        Rzlog::of("keys fleet --server loghost --clients - --out fleet")
            .in_folder(folder.path())
            .input(b"web1\n")
            .run()
    };
    fs::create_dir(at("fleet")).expect("a folder");
    for mode in [0o777, 0o770] {
        allow("fleet", mode);
        fleet().ended(1).complains(&["others can write fleet,", "chmod go-w", "--out"]);
    }
    allow("fleet", 0o755);
    fleet().ended(0);
    let secret = "fleet/web1/rzmq/web1_secret";
    allow(secret, 0o622);
    fleet().ended(1).complains(&["others can write", secret]);
    allow(secret, 0o600);
    for folder in ["fleet/web1/rzmq", "fleet/loghost/rzmq/hosts", "fleet/loghost/rzmq/readers"] {
        allow(folder, 0o777);
        fleet().ended(1).complains(&["others can write", folder]);
        allow(folder, 0o755);
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(at(secret), Some(65_534), None).expect("another's");
        fleet().ended(1).complains(&[secret, "is user 65534's, and you are 0"]);
    }
}

#[test]
fn fleet_has_its_own_modes_names_who_left_and_speaks_ipv6() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join("fleet").join(name);
    let fleet = |hosts: &str| {
        Rzlog::of("keys fleet --server loghost --clients - --out fleet --address 2001:db8::5")
            .in_folder(folder.path())
            .input(hosts.as_bytes())
            .under(["sh", "-c", "umask 077; exec \"$@\"", "sh"])
            .run()
            .ended(0)
    };
    fleet("web1\nweb2\n");
    assert_eq!(mode(&at("")), 0o700);
    for (path, expected) in [
        ("loghost", 0o755),
        ("loghost/rzmq/hosts", 0o755),
        ("web1/rzmq", 0o755),
        ("web1/60-rzmq.conf", 0o644),
        ("web1/rzmq/web1", 0o644),
        ("web1/rzmq/web1_secret", 0o600),
    ] {
        assert_eq!(mode(&at(path)), expected, "{path}");
    }
    for (host, times) in [("web1", 1), ("loghost", 2)] {
        let text = text(&at(&format!("{host}/60-rzmq.conf")));
        assert_eq!(text.matches("\" ipv6=\"on\"").count(), times, "{text}");
    }
    let said = fleet("web1\n").err;
    let named = "rzlog: web2 is let in and not in the list, which is of all hosts: if it is to go, remove \
                 fleet/loghost/rzmq/hosts/web2 here and on the server\n";
    assert_eq!(said, named);
}

fn text_or_nothing(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
