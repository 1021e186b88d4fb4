//! The pages say what is so of rzlog: its commands are understood, its profiles can be read, its Python runs.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use harness::pages::{page, pages};
use harness::paths::repository;
use harness::python::interpreter;
use harness::skip::skipped;
use harness::{Rzlog, SOON};

use crate::publisher::Publisher;

/// The words of a command in a shell, up to a pipe, another command or a comment.
fn words(command: &str) -> Vec<String> {
    let end = [" | ", " # ", " && ", " &"].iter().filter_map(|sign| command.find(sign)).min();
    // a variable of the page stands for itself; a command within stays one
    let command = &command[..end.unwrap_or(command.len())];
    let command = command.replace("\"$(", "\"\0").replace("\"$", "\"").replace('\0', "$(");
    let script = format!("for word in {command}; do printf '%s\\n' \"$word\"; done");
    let output = Command::new("sh").args(["-fc", &script]).output().expect("sh");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn commands_of_the_pages_are_understood() {
    let mut found = 0;
    for page in pages() {
        let name = page.path.display();
        let is_shell = |word: &String| word == "sh";
        for block in page.blocks.iter().filter(|block| block.words.first().is_some_and(is_shell)) {
            for line in block.text.lines() {
                let Some(at) = line.find("rzlog ").filter(|at| {
                    *at == 0 || line[..*at].ends_with("| ") || line[..*at].ends_with("&& ")
                }) else {
                    continue;
                };
                found += 1;
                let words = words(&line[at + "rzlog ".len()..]);
                // help comes only when everything before it was understood
                let ran = Rzlog::new(words.iter().map(String::as_str).chain(["--help"])).run();
                assert_eq!(ran.status, 0, "{name}: {line}: {ran:?}");
            }
        }
    }
    assert!(found > 10, "only {found} commands found");
}

#[test]
fn profiles_of_the_page_can_be_read() {
    let folder = tempfile::tempdir().expect("folder");
    let page = page("docs/rzlog.md");
    let text = page.block(&["toml"]);
    fs::write(folder.path().join("config.toml"), text).expect("written");
    for (profile, file) in [("default", "loghost"), ("errors", "loghost")] {
        // It is read, and then its certificates are missing.
        let ran = Rzlog::of(&format!("tail @{profile} --config config.toml"))
            .in_folder(folder.path())
            .run();
        ran.ended(1).complains(&[file, "No such file"]);
    }
}

#[test]
fn rules_of_the_page_can_be_read() {
    let folder = tempfile::tempdir().expect("folder");
    let text = page("docs/rzlog.md").block(&["toml", "alert"]).to_owned();
    fs::write(folder.path().join("alert.toml"), text).expect("written");
    let rules = repository().join("packaging/rules/alert");
    let line = format!("alert --check --rules alert.toml --rules {}", rules.display());
    let ran = Rzlog::of(&line).in_folder(folder.path()).run().ended(0);
    assert!(ran.out.starts_with("fine: "), "{ran:?}");
}

#[test]
fn rules_of_the_page_count() {
    let folder = tempfile::tempdir().expect("folder");
    let page = page("docs/rzlog.md");
    fs::write(folder.path().join("rules.toml"), page.block(&["toml", "metrics"])).expect("written");
    let lines = "<13>Nov 24 10:00:00 web1 job: job backup ok in 1500 ms\n\
        <13>Nov 24 10:00:00 web1 app: @cee:{\"http\":{\"status\":503,\"bytes\":7,\"queue\":2},\"level\":\"err\"}\n";
    let ran = Rzlog::of("metrics --rules rules.toml --test -")
        .in_folder(folder.path())
        .input(lines.as_bytes())
        .run()
        .ended(0);
    for counted in [
        "jobs_total{host=\"web1\",job=\"backup\",result=\"ok\"} 1",
        "job_duration_seconds_sum{job=\"backup\"} 1.5",
        "failed_bytes_total{host=\"web1\",status=\"503\"} 7",
        "request_queue 2",
    ] {
        assert!(ran.out.lines().any(|line| line == counted), "{counted}: {ran:?}");
    }
    // the table has what rzlog says of itself, and nothing else
    let rows = page.section("## metrics");
    let rows = rows.iter().filter_map(|row| row.strip_prefix("| `rzlog_")?.split('`').next());
    let written: BTreeSet<_> = rows.map(|row| row.trim_end_matches("_total")).collect();
    let types = ran.out.lines().filter_map(|line| line.strip_prefix("# TYPE rzlog_"));
    let shown: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(written, shown);
}

#[test]
fn old_sender_of_the_page_becomes_the_new_one() {
    let folder = tempfile::tempdir().expect("folder");
    let page = page("docs/migration.md");
    let old = page.block(&["rsyslog-czmq", "sender"]);
    fs::write(folder.path().join("old.conf"), old).expect("written");
    let ran = Rzlog::of("migrate old.conf").in_folder(folder.path()).run().ended(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (page.block(&["rsyslog"]), ""));
}

#[test]
fn findings_of_the_page_are_what_check_says() {
    let folder = tempfile::tempdir().expect("folder");
    let page = page("docs/migration.md");
    let old = page.block(&["rsyslog-czmq", "publisher"]);
    fs::write(folder.path().join("60-publish.conf"), old).expect("written");
    let ran = Rzlog::of("check --config 60-publish.conf").in_folder(folder.path()).run().ended(11);
    assert_eq!(ran.out, page.block(&["text", "check"]));
}

#[test]
fn python_of_the_page_reads_what_rzlog_reads() {
    let Some(python) = interpreter() else {
        return skipped("python_of_the_page_reads_what_rzlog_reads", "no Python with pyzmq");
    };
    let publisher = Publisher::with_topics();
    let keys = publisher.site.path("keys");
    let script = keys.join("subscriber.py");
    fs::write(&script, page("docs/rzlog.md").block(&["python", "subscriber"])).expect("written");
    let out = keys.join("out");
    let mut child = Command::new(python)
        .arg(&script)
        .arg(&publisher.endpoint)
        .args([keys.join("loghost"), keys.join("reader_secret")])
        .arg("web1.nginx.")
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(Stdio::inherit())
        .spawn()
        .expect("python");
    let shown = harness::wait::try_until(SOON, || {
        publisher.says("web1", "cron", &["not asked for"]);
        publisher.says("web1", "nginx", &["asked for"]);
        let text = fs::read_to_string(&out).unwrap_or_default();
        text.ends_with('\n').then_some(text)
    });
    let _ = child.kill();
    let _ = child.wait();
    let shown = shown.expect("a line");
    assert!(shown.lines().all(|line| line.contains("web1 nginx: asked for")), "{shown}");
}
