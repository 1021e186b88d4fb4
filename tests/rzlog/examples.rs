//! The commands of docs/rzlog.md, and of README's "See the logs", typed into a terminal as they stand there, on a stage
//! where their names exist: real rsyslogd with the configuration of `rzlog keys fleet`. What comes is what the page
//! says.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::pages::{Block, page};
use harness::paths::{self, repository};
use harness::ports::free_port;
use harness::rzlog::Ran;
use harness::skip::{has_program, skipped};
use harness::{Rsyslogd, Rzlog, Site, secs, wait_until};

use crate::publisher::now;
use crate::webhook::Webhook;

/// Ctrl-C ends it when all that is to come has come.
const CTRL_C: i32 = 130;

/// It asks four questions; Enter is an answer.
const ASKS: &str = "rzlog keys new example";

/// A command as the page has it, what it ends with, what it shows, and what it never does.
type Row = (&'static str, i32, &'static [&'static str], &'static [&'static str]);

/// What no test can run as it stands there, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("rsync ", "other hosts: tests/start.rs runs the same with two rsyslogd"),
    ("ssh ", "the same"),
    ("editor ", "a person edits; tests/rzlog/units.rs has the file"),
    (
        "systemctl ",
        "the machine's own services: scripts/test-machine starts them on a whole machine",
    ),
];

macro_rules! chapters {
    ($($name:ident: $heading:literal, $rows:expr;)*) => {
        const CHAPTERS: &[(&str, &[Row])] = &[$(($heading, $rows)),*];
        $(#[test]
        fn $name() {
            Stage::set().play($heading, $rows);
        })*
    };
}

chapters! {
    ten_minutes: "## Ten minutes", &[
        // the stage has run it before
        ("rzlog keys fleet --server loghost --clients hosts.txt --out fleet", 0,
         &["new keys", "rsync -r fleet/loghost/rzmq/hosts/ root@loghost:"], &[]),
        ("install -d -m 700 ~/.config/rzlog && cp -r fleet/reader/. ~/.config/rzlog/", 0, &[], &[]),
        ("rzlog check @default", 0, &["fine: a PUB is there, encrypted, with both keys proven"], &[]),
        ("rzlog tail web1 nginx", CTRL_C, &["web1 nginx: "], &["cron", "db1"]),
    ];
    keys: "## keys", &[
        ("rzlog keys new web4 --email ops@example.org", 0, &["web4_secret"], &[]),
        ("rzlog keys show web4", 0, &["ops@example.org"], &["secret-key"]),
        ("rzlog keys import web4 /etc/rsyslog-rzmq/hosts", 0, &["web4"], &[]),
        ("rzlog keys list /etc/rsyslog-rzmq/hosts", 0, &["web4"], &[]),
    ];
    check: "## check", &[
        ("rzlog check tcp://loghost:5140 --servercertpath loghost --clientcertpath web1", 0,
         &["fine: a ROUTER is there, encrypted, with both keys proven", "acked version 1"], &[]),
    ];
    configuration: "## A configuration: check and migrate", &[
        ("rzlog check --config /etc/rsyslog.conf", 11, &["60-czmq.conf"], &[]),
        ("rzlog migrate /etc/rsyslog.conf > new.conf", 0, &[], &[]),
        ("rzlog migrate /etc/rsyslog.conf --only /etc/rsyslog.d/60-czmq.conf", 0,
         &["module(load=\"omrzmq\""], &["omczmq"]),
        ("rzlog migrate /etc/rsyslog.conf --out new", 0, &["60-czmq.conf"], &[]),
    ];
    tail: "## tail", &[
        ("rzlog tail web1 nginx", CTRL_C, &["web1 nginx: "], &["cron", "db1"]),
        ("rzlog tail 'web*' nginx,cron --severity warning", CTRL_C,
         &["web1 nginx: ", "web1 cron[7]: "], &["db1", "\" 200 ", "usual"]),
        ("rzlog tail tcp://loghost:5141 --servercertpath loghost --clientcertpath reader --topics web1.,db1.", CTRL_C,
         &["web1 cron[7]: ", "db1 postgres: "], &["mail1"]),
        ("rzlog tail @prod --include 'HTTP/1.1\" 5[0-9][0-9]' --exclude healthcheck --limit 100", 0,
         &["GET /cart HTTP/1.1\" 502"], &["healthcheck", "\" 200 "]),
        ("rzlog tail web1 --json --fields time,host,message --for 10s | jq .message", 0,
         &["\"as JSON\"", "\"late\""], &["disk is full", "parse error"]),
        ("rzlog tail web1 --template '{time} {program}[{pid}]: {message}'", CTRL_C,
         &["+00:00 cron[7]: usual"], &["db1"]),
    ];
    top: "## top", &[
        ("rzlog top @prod", CTRL_C, &["of 2 publishers", "postgres"], &[]),
        ("rzlog top tcp://one:5141 tcp://two:5141 tcp://three:5141 --servercertpath loghost --clientcertpath reader", CTRL_C,
         &["3 publishers", "postgres"], &[]),
        ("rzlog top 'web*' nginx --by host --severity warning", CTRL_C, &["web1"], &["db1"]),
        ("rzlog top @prod --once | awk '$2 > 1 {print $5, $6, $2}'", 0, &["db1 postgres "], &["cron"]),
        ("rzlog top @prod --for 1m --by publisher", 0, &["lines/s", "tcp://"], &[]),
    ];
    logtalez: "## LogTalez and curvecertgen", &[
        ("rzlog -endpoints tcp://loghost:5141 -topics web1.nginx,db1 -servercertpath loghost -clientcertpath '*' -json", CTRL_C,
         &["{\"message\":\"as JSON\"}"], &["cron"]),
        ("rzlog keys new example", 0, &["example_secret"], &[]),
    ];
    profiles: "## Profiles", &[
        ("rzlog tail @errors db1", CTRL_C, &["+00:00 db1 disk is full"], &["web1"]),
    ];
    send: "## send", &[
        ("rzlog send tcp://loghost:5140 --servercertpath loghost --clientcertpath web1 /var/log/syslog.1", 0,
         &["2 lines acknowledged"], &[]),
        ("backup 2>&1 | rzlog send @archive --tag backup --priority cron.info", 0, &["1 lines acknowledged"], &[]),
        ("rzlog send tcp://one:5140,tcp://two:5140 --servercertpath archive --clientcertpath web1 --compress zstd old.log", 0,
         &["2 lines acknowledged"], &[]),
    ];
    metrics: "## metrics", &[
        ("rzlog metrics @prod --rules /etc/rzlog/metrics", CTRL_C, &["counting; see http://"], &[]),
        ("rzlog metrics tcp://one:5141 tcp://two:5141 --servercertpath loghost --clientcertpath reader --rules nginx.toml", CTRL_C,
         &["counting; see http://", "connected to "], &[]),
        ("rzlog metrics @prod 'web*' nginx --rules nginx.toml", CTRL_C, &["counting; see http://"], &[]),
        ("rzlog metrics --rules nginx.toml --test /var/log/syslog", 0,
         &["nginx_http_requests_total{host=\"web1\",method=\"GET\",status=\"502\"} 1"], &[]),
        ("rzlog metrics --rules nginx.toml --test access.log --host web1 --program nginx", 0,
         &["nginx_http_requests_total{host=\"web1\",method=\"GET\",status=\"200\"} 1"], &[]),
    ];
    alert: "## alert", &[
        ("rzlog alert @prod --rules alert.toml --rules /usr/share/rzlog/rules/alert", CTRL_C,
         &["connected to "], &[]),
        ("rzlog alert --rules /etc/rzlog/alert --check", 0, &["fine: "], &[]),
        ("rzlog alert --rules /etc/rzlog/alert --try-receivers", 0, &["ops: fine"], &[]),
        ("rzlog alert --rules /usr/share/rzlog/rules/alert --dry-run /var/log/syslog", 0,
         &["KernelOutOfMemory"], &[]),
    ];
    service: "## As a service", &[
        ("install -m 644 fleet/reader/loghost /etc/rzlog/keys/server", 0, &[], &[]),
        ("install -m 600 fleet/reader/reader_secret /etc/rzlog/keys/client_secret", 0, &[], &[]),
        ("cp /usr/share/rzlog/rules/metrics/nginx.toml /etc/rzlog/metrics/", 0, &[], &[]),
    ];
    completion: "## Completion and manual pages", &[
        ("source <(RZLOG_COMPLETE=bash rzlog)", 0, &[], &[]),
    ];
    program: "## In a program", &[
        ("scripts/cargo run -p rzlog-client --example read tcp://loghost:5141 loghost reader_secret web1.nginx.", CTRL_C,
         &["web1 nginx: "], &["cron"]),
        ("scripts/cargo run -p rzlog-client --example send tcp://loghost:5140 loghost web1_secret '<13>1 - web1 job - - - done'", 0,
         &["1"], &[]),
    ];
    readme: "## See the logs", &[
        ("rzlog keys fleet --server loghost --clients hosts.txt --out fleet", 0, &["new keys"], &[]),
        ("rzlog check tcp://loghost:5140 --servercertpath loghost --clientcertpath web1", 0,
         &["fine: a ROUTER"], &[]),
        ("rzlog tail web1 nginx", CTRL_C, &["web1 nginx: "], &["cron", "db1"]),
        ("rzlog top", CTRL_C, &["postgres"], &[]),
        ("rzlog metrics web1 nginx --rules packaging/rules/metrics/nginx.toml", CTRL_C,
         &["counting; see http://"], &[]),
        ("rzlog send tcp://loghost:5140 --servercertpath loghost --clientcertpath web1 old.log", 0,
         &["2 lines acknowledged"], &[]),
        ("rzlog alert --rules alert.toml --rules packaging/rules/alert", CTRL_C, &["connected to "], &[]),
    ];
}

/// The commands of a page with their headings.
fn commands(name: &str) -> Vec<(String, String)> {
    let page = page(name);
    let blocks = page.blocks.iter().filter(|block| block.is(&["sh"]));
    let named = blocks.flat_map(|block: &Block| {
        let heading = page.heading_of(block).to_owned();
        let lines = block.text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
        lines.map(move |line| (heading.clone(), line.to_owned())).collect::<Vec<_>>()
    });
    named.filter(|(_, line)| !NOT_RUN.iter().any(|(begins, _)| line.starts_with(begins))).collect()
}

#[test]
fn every_command_of_the_page_is_run() {
    let mut there = commands("docs/rzlog.md");
    there.extend(commands("README.md").into_iter().filter(|(it, _)| it == "## See the logs"));
    let rows = |(heading, rows): &(&str, &[Row])| {
        rows.iter().map(|row| (heading.to_string(), row.0.to_owned())).collect::<Vec<_>>()
    };
    let run: Vec<_> = CHAPTERS.iter().flat_map(rows).collect();
    assert_eq!(there, run);
}

/// A command may have to be built first.
const BUILT: Duration = secs(300);

/// Hosts of the page that publish at port 5141 and receive at 5140; the last one lets in any reader, as `'*'` needs it.
const HOSTS: [&str; 5] = ["loghost", "one", "two", "three", "anybody"];

/// What the hosts say: priority, host, program and text.
const SAID: [(u8, &str, &str, &str); 8] = [
    (
        14,
        "web1",
        "nginx:",
        "192.0.2.7 - - [28/Nov/2026:10:00:00 +0000] \"GET /cart HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"",
    ),
    (
        12,
        "web1",
        "nginx:",
        "192.0.2.7 - - [28/Nov/2026:10:00:00 +0000] \"GET /cart HTTP/1.1\" 502 0 \"-\" \"curl/8.5.0\"",
    ),
    (
        12,
        "web1",
        "nginx:",
        "192.0.2.7 - - [28/Nov/2026:10:00:00 +0000] \"GET /healthcheck HTTP/1.1\" 502 0 \"-\" \"curl/8.5.0\"",
    ),
    (14, "web1", "nginx:", "@cee:{\"message\":\"as JSON\"}"),
    (14, "web1", "cron[7]:", "usual"),
    (12, "web1", "cron[7]:", "late"),
    (11, "db1", "postgres:", "disk is full"),
    (14, "mail1", "postfix:", "queued"),
];

/// A folder in which the names of the page exist, and hosts that listen.
struct Stage {
    hosts: Vec<Rsyslogd>,
    folder: tempfile::TempDir,
    ports: Vec<[u16; 2]>,
    chat: Webhook,
}

impl Stage {
    fn set() -> Stage {
        let chat = Webhook::start();
        let ports = HOSTS.map(|_| [free_port(), free_port()]).to_vec();
        let folder = tempfile::Builder::new().prefix("examples-").tempdir().expect("folder");
        let mut stage = Stage { folder, ports, chat, hosts: Vec::new() };
        for name in [
            "bin",
            ".config/rzlog",
            "etc/rsyslog.d",
            "etc/rsyslog-rzmq/hosts",
            "etc/rzlog/alert",
            "etc/rzlog/keys",
            "etc/rzlog/metrics",
            "var/log",
        ] {
            fs::create_dir_all(stage.path(name)).expect("folder");
        }
        symlink(paths::rzlog(), stage.path("bin/rzlog")).expect("a link");
        symlink(repository().join("packaging"), stage.path("packaging")).expect("a link");
        stage.write("bin/backup", "#!/bin/sh\necho saved\n");
        fs::set_permissions(stage.path("bin/backup"), fs::Permissions::from_mode(0o755))
            .expect("mode");
        stage.write("hosts.txt", "web1\nweb2\ndb1\n");
        stage.write_files();
        let fleet = CHAPTERS[0].1[0].0;
        stage.shell(fleet).run().ended(0);
        // copied to where they belong, and beside the command, where the page names them without a folder
        let copy = "cp -r fleet/loghost/rzmq etc/rsyslog.d/; cp fleet/web1/rzmq/* .; cp fleet/reader/* .; \
                    cp loghost archive; cp loghost reader_secret web1_secret .config/rzlog/";
        let copied =
            Command::new("sh").args(["-euc", copy]).current_dir(stage.folder.path()).status();
        assert!(copied.expect("sh").success());
        stage.hosts = (0..HOSTS.len()).map(|number| stage.host(number)).collect();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), self.here(text)).expect("written");
    }

    /// The files that the commands name.
    fn write_files(&self) {
        let said = said();
        let access: String = SAID[0].3.to_owned() + "\n";
        let oom = format!("{} db1 kernel: Out of memory: Killed process 7 (postgres)\n", now());
        let two = said.lines().take(2).map(|line| line.to_owned() + "\n").collect::<String>();
        self.write("var/log/syslog", &(two.clone() + &oom));
        self.write("var/log/syslog.1", &two);
        self.write("old.log", &two);
        self.write("access.log", &access);
        let czmq = page("docs/migration.md");
        self.write("etc/rsyslog.conf", "include(file=\"/etc/rsyslog.d/*.conf\")\n");
        self.write("etc/rsyslog.d/60-czmq.conf", czmq.block(&["rsyslog-czmq", "sender"]));
        let page = page("docs/rzlog.md");
        self.write(".config/rzlog/config.toml", page.block(&["toml"]));
        self.write("etc/rzlog/metrics/rules.toml", page.block(&["toml", "metrics"]));
        let nginx = repository().join("packaging/rules/metrics/nginx.toml");
        fs::copy(nginx, self.path("nginx.toml")).expect("copied");
        for folder in ["", "etc/rzlog/alert/"] {
            self.write(&format!("{folder}alert.toml"), page.block(&["toml", "alert"]));
            let webhook = self.path(&format!("{folder}webhook"));
            fs::write(&webhook, format!("{}/hooks/ops", self.chat.url)).expect("written");
            fs::set_permissions(&webhook, fs::Permissions::from_mode(0o600)).expect("mode");
        }
    }

    /// What the page says, with the places of this stage in it.
    fn here(&self, text: &str) -> String {
        let root = self.folder.path().display();
        let [port, publish] = self.ports[0];
        let anybody = self.ports[HOSTS.len() - 1][1];
        let mut places = vec![
            ("/etc/".to_owned(), format!("{root}/etc/")),
            ("/var/log/".to_owned(), format!("{root}/var/log/")),
            ("/usr/share/rzlog/".to_owned(), format!("{}/packaging/", repository().display())),
            (
                "-endpoints tcp://loghost:5141".to_owned(),
                format!("-endpoints tcp://127.0.0.1:{anybody}"),
            ),
            // the default port may be somebody else's, and a minute is long
            (
                "rzlog metrics ".to_owned(),
                format!("rzlog metrics --listen 127.0.0.1:{} ", free_port()),
            ),
            ("--for 1m".to_owned(), "--for 10s".to_owned()),
            (
                "scripts/cargo run -p rzlog-client --example read".to_owned(),
                env!("CARGO_BIN_EXE_client-read").to_owned(),
            ),
            (
                "scripts/cargo run -p rzlog-client --example send".to_owned(),
                env!("CARGO_BIN_EXE_client-send").to_owned(),
            ),
            (
                "--out fleet".to_owned(),
                format!(
                    "--out fleet --address 127.0.0.1 --port {port} --publish {publish} --install {root}/etc/rsyslog.d \
                 --logfile {root}/var/log/remote.log"
                ),
            ),
        ];
        for (name, [receive, publish]) in HOSTS.iter().zip(&self.ports) {
            places.push((format!("tcp://{name}:5140"), format!("tcp://127.0.0.1:{receive}")));
            places.push((format!("tcp://{name}:5141"), format!("tcp://127.0.0.1:{publish}")));
        }
        places.iter().fold(text.to_owned(), |text, (name, place)| text.replace(name, place))
    }

    /// A rsyslogd with loghost's configuration, at ports of its own.
    fn host(&self, number: usize) -> Rsyslogd {
        let text = fs::read_to_string(self.path("fleet/loghost/60-rzmq.conf")).expect("loghost's");
        let ([port, publish], [receive, own]) = (self.ports[0], self.ports[number]);
        let mut text = text
            .replace(&format!("tcp://*:{port}"), &format!("tcp://127.0.0.1:{receive}"))
            .replace(&format!("tcp://*:{publish}"), &format!("tcp://127.0.0.1:{own}"))
            .replace("remote.log", &format!("{}.log", HOSTS[number]));
        if HOSTS[number] == "anybody" {
            let readers = self.path("etc/rsyslog.d/rzmq/readers").display().to_string();
            text = text.replace(&readers, "*");
        }
        Site::new().feed_parameters("ruleset=\"rzmq-hosts\"").with(&text).start()
    }

    fn speak(&self) {
        for host in &self.hosts {
            host.feeder().bytes(said().as_bytes());
        }
    }

    /// A command in a shell of whoever has this home.
    fn shell(&self, command: &str) -> Rzlog {
        let path = std::env::var("PATH").unwrap_or_default();
        Rzlog::of("")
            // a runner in the background may ignore Ctrl-C, a terminal's shell does not
            .under([
                "env",
                "--default-signal=INT",
                "bash",
                "-euo",
                "pipefail",
                "-c",
                &self.here(command),
            ])
            .in_folder(self.folder.path())
            .environment("PATH", format!("{}:{path}", self.path("bin").display()))
            .environment("HOME", self.folder.path())
            .environment("XDG_CONFIG_HOME", self.path(".config"))
            .environment("NO_COLOR", "1")
    }

    /// Types it, and hosts say something until all that is to come has come.
    fn type_in(&self, (command, status, shows, _): &Row) -> Ran {
        let mut running = self.shell(command).start_on_terminal_of(160, 40);
        if *command == ASKS {
            running.types("\r\r\r\r");
        }
        if *status == CTRL_C {
            running.wait_for(&format!("{command}: {shows:?}"), BUILT, |running| {
                self.speak();
                shows.iter().all(|text| running.out().contains(text))
            });
            running.types("\x03");
        }
        let ended = || {
            self.speak();
            // a terminal that nobody reads stops who writes to it
            running.out();
            running.exited()
        };
        wait_until(command, BUILT, ended);
        running.wait(secs(1))
    }

    fn play(&self, heading: &str, rows: &[Row]) {
        for row in rows {
            let (command, status, shows, hides) = row;
            if command.contains("| jq") && !has_program("jq") {
                skipped(heading, &format!("no jq for: {command}"));
                continue;
            }
            let ran = self.type_in(row);
            assert_eq!(ran.status, *status, "{command}: {ran:?}");
            assert!(shows.iter().all(|text| ran.out.contains(text)), "{command}: {ran:?}");
            assert!(!hides.iter().any(|text| ran.out.contains(text)), "{command}: {ran:?}");
        }
    }
}

/// All of it now, as it stands in a file.
fn said() -> String {
    let now = now();
    let line = |(priority, host, program, text): &(u8, &str, &str, &str)| {
        format!("<{priority}>{now} {host} {program} {text}\n")
    };
    SAID.iter().map(line).collect()
}
