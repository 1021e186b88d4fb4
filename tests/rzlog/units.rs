//! The systemd units of packaging/systemd, with the examples of packaging/etc/rzlog: what they start works,
//! systemd finds nothing wrong with them, and what they forbid rzlog does not need.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::paths::{self, repository};
use harness::rzlog::Running;
use harness::skip::skipped;
use harness::{Rzlog, SOON, secs};

use crate::publisher::{Publisher, now};
use crate::webhook::Webhook;

const UNITS: [&str; 2] = ["rzlog-metrics", "rzlog-alert"];

fn unit(name: &str) -> String {
    let path = repository().join(format!("packaging/systemd/{name}.service"));
    fs::read_to_string(path).expect("a unit").replace("\\\n", " ")
}

/// The values of a setting, in order.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// The one value that a setting has.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let values = settings(unit, name);
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0]
}

/// What systemd would have prepared: /etc/rzlog with the examples, and what the unit is handed.
struct Machine {
    publisher: Publisher,
    folder: tempfile::TempDir,
}

impl Machine {
    /// The examples in force, with keys of this publisher, and a channel's URL.
    fn new(webhook: &str) -> Machine {
        let machine = Machine {
            publisher: Publisher::with_topics(),
            folder: tempfile::tempdir().expect("folder"),
        };
        for name in ["keys", "secrets", "credentials", "state"] {
            fs::create_dir(machine.path(name)).expect("folder");
        }
        let keys = machine.publisher.site.path("keys");
        for (from, to) in [("loghost", "keys/server"), ("reader_secret", "keys/client_secret")] {
            fs::copy(keys.join(from), machine.path(to)).expect("a key");
        }
        fs::write(machine.path("secrets/webhook"), webhook).expect("written");
        machine.put_examples(&repository().join("packaging/etc/rzlog"), machine.folder.path());
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// "# " is a remark, "#" what is to be in force; nothing is without either.
    fn put_examples(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("folder");
        for entry in fs::read_dir(from).expect("examples") {
            let path = entry.expect("an example").path();
            let to = to.join(path.file_name().expect("a name"));
            if path.is_dir() {
                self.put_examples(&path, &to);
                continue;
            }
            let text = fs::read_to_string(&path).expect("an example");
            assert!(text.lines().all(|line| line.starts_with('#')), "{}", path.display());
            let inert = text.lines().filter_map(|line| line.strip_prefix('#'));
            let inert =
                inert.filter(|line| !line.starts_with(' ')).map(|line| line.to_owned() + "\n");
            let text = inert.collect::<String>();
            let text = text.replace("tcp://loghost:5141", &self.publisher.endpoint);
            fs::write(to, self.here(&text)).expect("written");
        }
    }

    /// Where the places that a unit or an example names are in this test.
    fn here(&self, text: &str) -> String {
        let credentials = self.path("credentials").display().to_string();
        text.replace("/etc/rzlog", &self.folder.path().display().to_string())
            .replace("${CREDENTIALS_DIRECTORY}", &credentials)
            .replace("/run/credentials/rzlog-alert.service", &credentials)
    }

    /// Hands over what the unit asks for, as systemd does: a folder's files by the folder's name and theirs,
    /// readable by an access control list, which is shown as the group's right.
    fn hand_over(&self, unit: &str) {
        for credential in settings(unit, "LoadCredential") {
            let (id, from) = credential.split_once(':').expect("ID:PATH");
            let from = PathBuf::from(self.here(from));
            let files: Vec<(String, PathBuf)> = if from.is_dir() {
                let files = fs::read_dir(&from).expect("a folder");
                let names = files.map(|file| file.expect("a file").file_name());
                names.map(|it| (format!("{id}_{}", it.to_string_lossy()), from.join(&it))).collect()
            } else {
                vec![(id.to_owned(), from)]
            };
            for (id, from) in files {
                let to = self.path("credentials").join(id);
                let _ = fs::remove_file(&to);
                fs::copy(&from, &to).expect("a credential");
                fs::set_permissions(&to, fs::Permissions::from_mode(0o440)).expect("mode");
            }
        }
    }

    /// The words that the unit starts, without the program.
    fn words(&self, unit: &str) -> Vec<String> {
        let line = self.here(setting(unit, "ExecStart"));
        let words = line.strip_prefix("/usr/bin/rzlog ").expect("rzlog");
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn rzlog(&self, unit: &str, more: &[&str]) -> Rzlog {
        self.hand_over(unit);
        let words = self.words(unit);
        Rzlog::new(words.iter().map(String::as_str).chain(more.iter().copied()))
            .environment("CREDENTIALS_DIRECTORY", self.path("credentials"))
            .environment("STATE_DIRECTORY", self.path("state"))
    }

    /// As `systemctl reload` does it.
    fn reload(&self, unit: &str, running: &Running) {
        let command = setting(unit, "ExecReload").strip_prefix("/bin/sh -c '").expect("a shell");
        let command = command.strip_suffix('\'').expect("a quote");
        let ran = Command::new("/bin/sh")
            .args(["-c", command])
            .env("MAINPID", running.pid().to_string())
            .status();
        assert!(ran.expect("a shell").success());
    }

    /// As `systemctl stop` does it; systemd takes the status for a usual end.
    fn stop(&self, unit: &str, running: Running) {
        running.signal("TERM");
        let status = running.wait(SOON).status;
        assert_eq!(setting(unit, "SuccessExitStatus"), status.to_string());
    }
}

/// The address that it says, and what is there.
fn page(running: &Running) -> String {
    let err = running.err();
    let url = err.split("see ").nth(1).and_then(|rest| rest.lines().next()).expect("an address");
    let output = Command::new("python3")
        .args([
            "-c",
            "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())",
            url,
        ])
        .output()
        .expect("python3");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn metrics_counts_as_the_examples_say() {
    let machine = Machine::new("");
    let unit = unit("rzlog-metrics");
    let mut running = machine.rzlog(&unit, &["--listen=127.0.0.1:0"]).start();
    running.wait_err(&["counting; see"], SOON);
    running.wait_for("a count", SOON, |running| {
        machine.publisher.says("web1", "nginx", &["x"]);
        page(running).contains("log_lines_total{host=\"web1\",program=\"nginx\"}")
    });
    machine.reload(&unit, &running);
    running.wait_err(&["1 rules were read anew"], SOON);
    machine.stop(&unit, running);
}

#[test]
fn alert_tells_as_the_examples_say_and_keeps_its_state() {
    let webhook = Webhook::start();
    let machine = Machine::new(&format!("{}/hooks/s3cr3tk3y\n", webhook.url));
    // an alert waits for others of its kind for half a minute; who runs this test does not
    let route = "[route]\ngroup_wait = \"0s\"\n";
    fs::write(machine.path("alert/route.toml"), route).expect("written");
    let unit = unit("rzlog-alert");
    let mut running = machine.rzlog(&unit, &[]).start();
    running.wait_err(&["connected to"], SOON);
    running.wait_for("a notice", secs(20), |_| {
        let line = format!("<8>{} web1 app: the house is on fire\n", now());
        machine.publisher.daemon.feeder().bytes(line.as_bytes());
        webhook.has(|it| it["body"]["text"].to_string().contains("the house is on fire"))
    });
    webhook.wait_text(&["FIRING", "Emergency", "web1"], SOON);
    machine.reload(&unit, &running);
    running.wait_err(&["1 rules were read anew"], SOON);
    machine.stop(&unit, running);
    assert_eq!(setting(&unit, "StateDirectory"), "rzlog-alert");
    // nobody would hear that it was given up
    assert_eq!(setting(&unit, "StartLimitIntervalSec"), "0");
    assert!(machine.path("state/alert.json").exists());
}

#[test]
fn a_secret_that_others_can_read_is_refused_unless_systemd_handed_it_over() {
    let machine = Machine::new("");
    let unit = unit("rzlog-metrics");
    let elsewhere = machine.rzlog(&unit, &["--listen=127.0.0.1:0"]);
    elsewhere
        .environment("CREDENTIALS_DIRECTORY", machine.path("state"))
        .run()
        .ended(1)
        .complains(&["credentials/client", "440"]);
    let way_out = "/etc/rzlog/state/../credentials/client";
    let beside = machine.rzlog(
        &unit.replace("${CREDENTIALS_DIRECTORY}/client", way_out),
        &["--listen=127.0.0.1:0"],
    );
    beside
        .environment("CREDENTIALS_DIRECTORY", machine.path("state"))
        .run()
        .ended(1)
        .complains(&["credentials/client", "440"]);
    let client = machine.path("credentials/client");
    let rzlog = machine.rzlog(&unit, &["--listen=127.0.0.1:0"]);
    fs::set_permissions(&client, fs::Permissions::from_mode(0o444)).expect("mode");
    rzlog.run().ended(1).complains(&["credentials/client", "444"]);
}

#[test]
fn a_reload_in_the_first_moments_ends_nothing() {
    let machine = Machine::new("https://chat.example.org/hooks/x\n");
    let rules = machine.path("late.toml");
    for (name, example) in [("metrics", "metrics/rules.toml"), ("alert", "alert/alert.toml")] {
        let unit = unit(&format!("rzlog-{name}"));
        // systemd takes a HUP for a usual end, too
        assert_eq!(setting(&unit, "Restart"), "always");
        let unit =
            unit.replace(&format!("--rules=/etc/rzlog/{name}"), "--rules=/etc/rzlog/late.toml");
        let made = Command::new("mkfifo").arg(&rules).status();
        assert!(made.is_ok_and(|it| it.success()), "mkfifo");
        let more: &[&str] = if name == "metrics" { &["--listen=127.0.0.1:0"] } else { &[] };
        let mut running = machine.rzlog(&unit, more).start();
        // opened when rzlog reads it, which then waits
        let mut late = fs::File::options().write(true).open(&rules).expect("a reader");
        machine.reload(&unit, &running);
        fs::rename(machine.path(example), &rules).expect("in its place");
        late.write_all(&fs::read(&rules).expect("an example")).expect("written");
        drop(late);
        // the reload that came early is made up for
        running.wait_err(&["1 rules were read anew"], SOON);
        machine.stop(&unit, running);
        fs::remove_file(&rules).expect("removed");
    }
}

fn systemd_analyze(arguments: &[&str], path: &Path) -> Option<Output> {
    Command::new("systemd-analyze").args(arguments).arg(path).output().ok()
}

#[test]
fn systemd_finds_nothing_wrong_and_little_that_is_open() {
    let folder = tempfile::tempdir().expect("folder");
    for name in UNITS {
        // not installed here
        let program = paths::rzlog().display().to_string();
        let path = folder.path().join(format!("{name}.service"));
        let text =
            fs::read_to_string(repository().join(format!("packaging/systemd/{name}.service")));
        fs::write(&path, text.expect("a unit").replace("/usr/bin/rzlog", &program))
            .expect("written");
        let Some(verified) = systemd_analyze(&["verify", "--man=no"], &path) else {
            return skipped(
                "systemd_finds_nothing_wrong_and_little_that_is_open",
                "no systemd-analyze",
            );
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        let own: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(verified.status.success() && own.is_empty(), "{said}");
        // of 100, by systemd's own count; a unit without any of this has 96
        let options = ["security", "--offline=yes", "--threshold=15", "--no-pager"];
        let secure = systemd_analyze(&options, &path).expect("it runs");
        let text = String::from_utf8_lossy(&secure.stdout);
        assert!(secure.status.success(), "{text}");
    }
}

/// The system calls of a set of systemd's, with those of the sets in it.
fn system_calls(set: &str, all: &mut BTreeSet<String>) {
    let output = Command::new("systemd-analyze").args(["syscall-filter", set]).output();
    let text = output.expect("systemd-analyze").stdout;
    for line in String::from_utf8_lossy(&text).lines().skip(1).map(str::trim) {
        match line.as_bytes().first() {
            Some(b'@') => system_calls(line, all),
            None | Some(b'#') => {}
            Some(_) => drop(all.insert(line.to_owned())),
        }
    }
}

/// What the unit's filters let through.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for filter in settings(unit, "SystemCallFilter") {
        let mut calls = BTreeSet::new();
        for set in filter.trim_start_matches('~').split_whitespace() {
            system_calls(set, &mut calls);
        }
        assert!(!calls.is_empty(), "{filter}");
        match filter.starts_with('~') {
            true => allowed.retain(|call| !calls.contains(call)),
            false => allowed.extend(calls),
        }
    }
    allowed
}

/// `123 openat(…`: the calls in a trace of strace's.
fn called(trace: &str) -> BTreeSet<String> {
    let call = |line: &str| {
        let (_, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_').then(|| name.to_owned())
    };
    trace.lines().filter_map(call).collect()
}

/// As long as it does what it is for, is reloaded and stopped; with this machine's libc and libzmq.
#[test]
fn what_the_units_forbid_is_not_called() {
    let test = "what_the_units_forbid_is_not_called";
    let works = |command: &[&str]| {
        let ran = Command::new(command[0]).args(&command[1..]).output();
        ran.is_ok_and(|it| it.status.success())
    };
    if !works(&["systemd-analyze", "syscall-filter"])
        || !works(&["strace", "-f", "-o", "/dev/null", "true"])
    {
        return skipped(test, "no systemd-analyze, or no strace that may trace");
    }
    let webhook = Webhook::start();
    for name in UNITS {
        let machine = Machine::new(&format!("{}/hooks/s3cr3tk3y\n", webhook.url));
        fs::write(machine.path("alert/route.toml"), "[route]\ngroup_wait = \"0s\"\n")
            .expect("written");
        let (unit, trace) = (unit(name), machine.path("trace"));
        let more: &[&str] = if name == "rzlog-metrics" { &["--listen=127.0.0.1:0"] } else { &[] };
        let strace = ["strace", "-D", "-f", "-qq", "-o", &trace.display().to_string()];
        let mut running = machine.rzlog(&unit, more).under(strace).start();
        running.wait_err(&["connected to"], secs(20));
        running.wait_for("what it is for", secs(60), |running| {
            let line = format!("<8>{} web1 app: the house is on fire\n", now());
            machine.publisher.daemon.feeder().bytes(line.as_bytes());
            match name {
                "rzlog-metrics" => page(running).contains("log_lines_total{"),
                _ => webhook
                    .has(|it| it["body"]["text"].to_string().contains("the house is on fire")),
            }
        });
        machine.reload(&unit, &running);
        running.wait_err(&["1 rules were read anew"], secs(20));
        running.signal("TERM");
        running.wait(SOON).ended(143);
        let read = || fs::read_to_string(&trace).ok().filter(|it| it.contains("exit_group("));
        let trace = harness::wait_until("the end of the trace", SOON, read);
        let (called, allowed) = (called(&trace), allowed(&unit));
        assert!(called.contains("sendto") && called.len() > 20, "{called:?}");
        let forbidden: Vec<_> = called.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{name} calls {forbidden:?}");
    }
}
