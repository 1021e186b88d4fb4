//! docs/start.md, command by command, with real rsyslogd: "the first pair of hosts" becomes two folders and two
//! daemons on this machine. `ssh`, `rsync`, `systemctl` and `logger` are stand-ins that end up here; rzlog is
//! the real one. What is run is what the page says, so the page cannot say what does not work.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::pages::page;
use harness::paths::rzlog;
use harness::ports::free_port;
use harness::{Rsyslogd, SOON, Site, wait_until};

/// Asks the test what a host is to do, and waits until it is done.
const ASK: &str = r#"#!/usr/bin/env python3
import os, socket, sys
with socket.socket(socket.AF_UNIX) as test:
    test.connect(os.environ["STAND_INS"] + "/asked")
    test.sendall(f"{os.environ['REMOTE']} {os.path.basename(sys.argv[0])} {' '.join(sys.argv[1:])}\n".encode())
    sys.exit(test.recv(1) != b"y")
"#;
const SSH: &str = r#"#!/bin/sh
REMOTE=${1#root@}; export REMOTE; shift
exec sh -c "$(printf '%s' "$*" | sed "s,/var/log,$STAND_INS/hosts/$REMOTE/log,g")"
"#;
const RSYNC: &str = r#"#!/bin/sh
# rsync -r FOLDER/ root@HOST:/etc/rsyslog.d/
host=${3#root@}
mkdir -p "$STAND_INS/hosts/${host%%:*}" && cp -r "$2." "$STAND_INS/hosts/${host%%:*}/"
"#;
const LOGGER: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin exec logger -u "$STAND_INS/hosts/$REMOTE/log.sock" "$@"
"#;
/// The profile's address is the test's; `tail` is made to end, and something comes meanwhile.
const RZLOG: &str = r#"#!/bin/sh
[ ! -e ~/.config/rzlog/config.toml ] || sed -i "s,loghost:5141,127.0.0.1:$PUBLISH," ~/.config/rzlog/config.toml
[ "$1" = tail ] || exec "$RZLOG" "$@"
"$RZLOG" "$@" --limit 1 & tail=$!
while kill -0 $tail 2>/dev/null; do ssh root@web1 logger -t first again; sleep 0.1; done
wait $tail
"#;

/// A host of the page.
struct Host {
    site: Site,
    daemon: Option<Rsyslogd>,
}

/// The page's world.
struct World {
    folder: tempfile::TempDir,
    ports: [u16; 2],
    hosts: Vec<(&'static str, Host)>,
    asked: UnixListener,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("start-").tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("bin")).expect("folder");
        let ask = ["systemctl", "rsyslogd"].map(|name| (name, ASK));
        let others = [("ssh", SSH), ("rsync", RSYNC), ("logger", LOGGER), ("rzlog", RZLOG)];
        for (name, text) in ask.into_iter().chain(others) {
            let path = at("bin").join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
        }
        let hosts = ["loghost", "web1"].map(|name| {
            let root = at("hosts").join(name);
            fs::create_dir_all(root.join("log")).expect("folder");
            let own = format!(
                "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
                 input(type=\"imuxsock\" Socket=\"{root}/log.sock\")\n\
                 include(file=\"{root}/60-rzmq.conf\")",
                root = root.display()
            );
            let name_of = format!("localHostname=\"{name}\"");
            let site = Site::new().without_feed().global(&name_of).with(&own);
            (name, Host { site, daemon: None })
        });
        let asked = UnixListener::bind(at("asked")).expect("a socket");
        asked.set_nonblocking(true).expect("a socket");
        World { asked, ports: [free_port(), free_port()], hosts: hosts.into(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("hosts/loghost/log/remote.log")).unwrap_or_default()
    }

    /// Runs a block of the page as a shell would; what it said.
    #[track_caller]
    fn run(&mut self, block: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let out = self.path("out");
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", block])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.folder.path())
            .env("STAND_INS", self.folder.path())
            .env("RZLOG", rzlog())
            .env("PUBLISH", self.ports[1].to_string())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).expect("a file"))
            .spawn()
            .expect("bash");
        let status = wait_until("the end of the block", Duration::from_secs(60), || {
            if let Ok((stream, _)) = self.asked.accept() {
                self.answer(stream);
            }
            child.try_wait().expect("its status")
        });
        assert!(status.success(), "{status}:\n{block}");
        fs::read_to_string(out).expect("what it said")
    }

    /// Does what a host was asked to do.
    fn answer(&mut self, stream: UnixStream) {
        let mut line = String::new();
        stream.set_nonblocking(false).expect("a socket");
        BufReader::new(&stream).read_line(&mut line).expect("a line");
        let (name, command) = line.trim().split_once(' ').expect("a host and a command");
        self.settle(name);
        let (_, host) = self.hosts.iter_mut().find(|(it, _)| *it == name).expect("a host");
        match command {
            "rsyslogd -N1" => {
                host.site.check().clean();
            }
            "systemctl restart rsyslog"
            | "systemctl start rsyslog"
            // the service alone would be started again by its socket, with the next line
            | "systemctl stop syslog.socket rsyslog.service" => {
                if let Some(mut daemon) = host.daemon.take() {
                    daemon.stop().clean();
                }
                host.daemon = (!command.contains("stop")).then(|| host.site.start());
            }
            _ => panic!("no stand-in for {line}"),
        }
        (&stream).write_all(b"y").expect("answered");
    }

    /// Its configuration, with this machine's places in it.
    fn settle(&self, name: &str) {
        let root = self.path("hosts").join(name);
        let file = root.join("60-rzmq.conf");
        let text = fs::read_to_string(&file).expect("the configuration that was copied");
        let text = text
            .replace("/etc/rsyslog.d", &root.display().to_string())
            .replace("/var/log", &root.join("log").display().to_string())
            .replace("tcp://loghost:", "tcp://127.0.0.1:")
            .replace("tcp://*:", "tcp://127.0.0.1:")
            .replace(":5140\"", &format!(":{}\"", self.ports[0]))
            .replace(":5141\"", &format!(":{}\"", self.ports[1]));
        fs::write(&file, text).expect("written");
    }

    #[track_caller]
    fn wait_for_line(&self, text: &str) {
        wait_until(text, SOON, || self.log().contains(text).then_some(()));
    }
}

#[test]
fn first_pair_of_hosts_comes_about_as_the_page_says() {
    let page = page("docs/start.md");
    let blocks = page.blocks.iter().filter(|block| block.is(&["sh", "hosts"]));
    let blocks: Vec<_> = blocks.map(|block| block.text.clone()).collect();
    let [keys, copy, line, look, reader, away] = blocks.as_slice() else {
        panic!("{} blocks of commands, not six", blocks.len());
    };
    let mut world = World::new();
    world.run(keys);
    assert!(is_private(&world.path("fleet/web1/rzmq/web1_secret")));
    world.run(copy);
    world.run(line);
    world.wait_for_line("first: hello from web1");
    assert!(world.run(look).contains("web1 first: hello from web1"));
    let said = world.run(reader);
    assert!(said.contains("fine: a PUB") && said.contains("web1 first: again"), "{said}");
    world.run(away);
    world.wait_for_line("first: while nobody listens");
    assert_eq!(world.log().matches("while nobody listens").count(), 1, "{}", world.log());
}

fn is_private(path: &Path) -> bool {
    fs::metadata(path).expect("a secret").permissions().mode() & 0o077 == 0
}
