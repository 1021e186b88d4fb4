//! An archive behind acknowledged delivery has each line once, whoever is killed: the examples of
//! docs/guarantees.md, as they stand there, with a PostgreSQL of the test's own and with a stand-in
//! for Elasticsearch.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use harness::oracle::numbered;
use harness::pages::{Stage, page};
use harness::paths::{has_stock_module, repository};
use harness::skip::{has_program, is_root, skipped};
use harness::wait::try_until;
use harness::{Oracle, Peer, Rsyslogd, SOON, Site, secs, wait_until};

const LINES: usize = 6_000;
const KILLS: usize = 3;
/// Lines that a receiver takes and acknowledges at once.
const CHUNK: usize = 128;
/// Where the example has the database.
const SOCKETS: &str = "/run/postgresql";

/// The newest PostgreSQL server's programs, which Debian keeps out of PATH.
fn postgresql() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").exists()).max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok()).unwrap_or(0)
    })
}

/// User and group `nobody`, for what refuses to run as root.
fn nobody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("nobody:")).expect("a user nobody");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a user id"), numbers.next().expect("a group id"))
}

/// A PostgreSQL with a folder of its own and no network, gone when it is dropped.
struct Database {
    folder: tempfile::TempDir,
    programs: PathBuf,
    server: Option<Child>,
}

impl Database {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("rzmq-pg-").tempdir().expect("folder");
        let mut database = Database { folder, programs, server: None };
        if is_root() {
            let (user, group) = nobody();
            chown(database.folder.path(), Some(user), Some(group)).expect("nobody's folder");
        }
        let made = database
            .program("initdb")
            .args([
                "-U",
                "rsyslog",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
                "data",
            ])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{made:?}");
        let log = File::create(database.folder.path().join("log")).expect("log");
        let server = database
            .program("postgres")
            .args(["-D", "data", "-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(database.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        database.server = Some(server);
        wait_until("PostgreSQL", secs(30), || {
            database.psql("postgres", "CREATE DATABASE logs").status.success().then_some(())
        });
        database
    }

    /// One of its programs, in its folder; PostgreSQL refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if is_root() {
            let (user, group) = nobody();
            command.uid(user).gid(group);
        }
        command
    }

    fn psql(&self, database: &str, statement: &str) -> Output {
        self.program("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "rsyslog", "-h"])
            .arg(self.folder.path())
            .args(["-d", database, "-c", statement])
            .stdin(Stdio::null())
            .output()
            .expect("psql runs")
    }

    /// What a statement answers, as lines.
    fn ask(&self, statement: &str) -> Vec<String> {
        let output = self.psql("logs", statement);
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    fn number(&self, statement: &str) -> usize {
        self.ask(statement)[0].parse().expect("a number")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let stop = format!("kill -s INT {}", server.id());
        let _ = Command::new("sh").args(["-c", &stop]).status();
        if try_until(SOON, || server.try_wait().ok().flatten()).is_none() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("---- PostgreSQL's log:\n{}----", String::from_utf8_lossy(&log));
        }
    }
}

/// The block of the guarantee page with these words.
fn example(words: &[&str]) -> String {
    page("docs/guarantees.md").block(words).to_owned()
}

/// README's sender against a receiver that is killed under load; `count` says how many lines the
/// archive has.
fn kill_under_load(site: &Site, stage: &Stage, count: impl Fn() -> usize) -> (Rsyslogd, Rsyslogd) {
    let mut receiver = site.start();
    let sender = Site::new().with(&stage.example("sender")).start();
    let feeder = sender.feeder();
    let feeding = std::thread::spawn(move || feeder.numbers(0..LINES));
    for kill in 0..KILLS {
        let enough = LINES * (2 * kill + 1) / (2 * KILLS);
        wait_until(&format!("{enough} lines"), secs(60), || (count() >= enough).then_some(()));
        receiver.kill9();
        receiver = site.start();
    }
    feeding.join().expect("fed");
    wait_until("all lines", secs(60), || (count() >= LINES).then_some(()));
    (sender, receiver)
}

fn tell(archive: &str, offered: usize, kept: usize) {
    let text = format!(
        "{archive}: receiver killed {KILLS} times, {LINES} lines: {offered} offered, {kept} kept\n"
    );
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[test]
fn postgresql_has_each_line_once_although_the_receiver_is_killed() {
    let test = "postgresql_has_each_line_once_although_the_receiver_is_killed";
    let Some(programs) = postgresql() else {
        return skipped(test, "no initdb: install postgresql (scripts/setup test does)");
    };
    if !has_stock_module("ompgsql") {
        return skipped(test, "rsyslog has no ompgsql here: scripts/setup test unpacks it");
    }
    let database = Database::start(programs);
    database.ask(&example(&["sql", "postgresql"]));
    // Every attempt to insert, also one that comes to nothing.
    database.ask(
        "CREATE TABLE attempts (id text); \
         CREATE FUNCTION attempt() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO attempts VALUES (NEW.id); RETURN NEW; END'; \
         CREATE TRIGGER attempt BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION attempt()",
    );
    let site = Site::new().without_feed();
    let stage = Stage::set(&site);
    let sockets = database.folder.path().display().to_string();
    let config = stage.fill(&example(&["rsyslog", "postgresql"])).replace(SOCKETS, &sockets);
    let site = site.with(&config);
    let count = || database.number("SELECT count(*) FROM lines");
    let (mut sender, mut receiver) = kill_under_load(&site, &stage, count);

    // Text that means something in SQL, and bytes that are none.
    let hard: [&[u8]; 3] =
        [b"it's \"quoted\" '' \\' $$", b"'); DROP TABLE lines; --", b"cut \xc3( off"];
    for text in hard {
        let line = [b"<13>2026-11-24T10:00:00+00:00 feeder app: ", text, b"\n"].concat();
        sender.feeder().bytes(&line);
    }
    wait_until("hard lines", SOON, || (count() >= LINES + hard.len()).then_some(()));
    sender.stop().clean();
    receiver.stop().clean();

    let messages = database.ask("SELECT message FROM lines ORDER BY received, id");
    let (hard, plain): (Vec<_>, Vec<_>) =
        messages.into_iter().partition(|message| !message.contains("n="));
    Oracle::judge(0..LINES, &plain).once();
    assert!(hard.contains(&"it's \"quoted\" '' \\' $$".to_owned()), "{hard:?}");
    assert!(hard.contains(&"'); DROP TABLE lines; --".to_owned()), "{hard:?}");
    let hosts = database.ask("SELECT DISTINCT host || ' ' || tag FROM lines");
    assert_eq!(hosts, ["feeder app:"]);
    let offered = database.number("SELECT count(*) FROM attempts") - hard.len();
    tell("PostgreSQL", offered, plain.len());
    assert!(offered <= LINES + KILLS * CHUNK, "{offered} inserts of {LINES} lines");
}

/// A best-effort line has no id; the example gives it one, so that equal lines stay two lines.
#[test]
fn lines_without_an_id_are_all_kept() {
    let test = "lines_without_an_id_are_all_kept";
    let (Some(programs), true) = (postgresql(), has_stock_module("ompgsql")) else {
        return skipped(test, "no PostgreSQL or no ompgsql: see scripts/setup");
    };
    let database = Database::start(programs);
    database.ask(&example(&["sql", "postgresql"]));
    let site = Site::new().without_feed();
    let endpoint = harness::ports::free_endpoint();
    let sockets = database.folder.path().display().to_string();
    let config = Stage::set(&site).fill(&example(&["rsyslog", "postgresql"]));
    // The foreign peer has no key.
    let plain: Vec<_> = config.replace(SOCKETS, &sockets).lines().map(str::to_owned).collect();
    let plain: Vec<_> = plain
        .iter()
        .filter(|line| !line.contains("servercertpath"))
        .map(|line| line.replace(" authtype=\"CURVESERVER\"", ")"))
        .map(|line| match line.split_once("endpoints=\"") {
            Some((before, _)) => format!("{before}endpoints=\"{endpoint}\""),
            None => line,
        })
        .collect();
    let mut receiver = site.with(&plain.join("\n")).start();
    let peer = Peer::new(zmq::DEALER);
    peer.connect(&endpoint);
    let line = "<13>2026-11-24T10:00:00+00:00 feeder app: the same twice".to_owned();
    peer.send_texts([line.clone(), line]);
    wait_until("both lines", SOON, || {
        (database.number("SELECT count(*) FROM lines") == 2).then_some(())
    });
    receiver.stop().clean();
}

/// The stand-in, killed when it is dropped.
struct Bulk(Child);

impl Drop for Bulk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn elasticsearch_gets_each_line_under_one_id_although_the_receiver_is_killed() {
    let test = "elasticsearch_gets_each_line_under_one_id_although_the_receiver_is_killed";
    if !has_stock_module("omelasticsearch") || !has_program("python3") {
        return skipped(test, "no omelasticsearch (package rsyslog-elasticsearch) or no python3");
    }
    let site = Site::new().without_feed();
    let stage = Stage::set(&site);
    let config = stage.fill(&example(&["rsyslog", "elasticsearch"]));
    let port = config.split("server=\"127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
    let documents = site.path("documents");
    let _bulk = Bulk(
        Command::new("python3")
            .arg(repository().join("tests/peers/bulk.py"))
            .arg(port.expect("the server's port"))
            .arg(&documents)
            .spawn()
            .expect("python runs"),
    );
    let site = site.with(&config);
    // An index keeps one document under an id; here the last one, as Elasticsearch does.
    let read = || {
        let lines = site.lines("documents");
        let pairs = lines.iter().filter_map(|line| line.split_once('\t'));
        let kept: BTreeMap<_, _> =
            pairs.clone().map(|(id, document)| (id.to_owned(), document.to_owned())).collect();
        (lines.len(), kept)
    };
    let (mut sender, mut receiver) = kill_under_load(&site, &stage, || read().1.len());
    sender.stop().clean();
    receiver.stop().clean();
    let (offered, kept) = read();
    let messages: Vec<_> = kept.values().map(|document| message(document)).collect();
    Oracle::judge(0..LINES, &messages).once();
    assert!(messages.contains(&numbered(0)), "a message is the line's text: {messages:?}");
    tell("Elasticsearch", offered, kept.len());
    assert!(offered <= LINES + KILLS * CHUNK, "{offered} documents of {LINES} lines");
}

/// The text in a document.
fn message(document: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(document).expect("JSON");
    json["message"].as_str().expect("a message").to_owned()
}
