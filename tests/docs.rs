//! The pages are held to what they say: examples are run, names exist, links lead somewhere.
//! CONTRIBUTING.md, "Documentation", has the conventions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::check::complaints;
use harness::feed::syslog_line;
use harness::oracle::numbered;
use harness::pages::{Stage, code_spans, page, pages};
use harness::paths::{
    has_stock_module, module_path, modules, repository, rsyslog_release, rsyslogd,
};
use harness::skip::{has_program, skipped};
use harness::{Rsyslogd, SOON, Site};

#[test]
fn examples_pass_the_configuration_check() {
    let site = Site::new();
    let stage = Stage::set(&site);
    let config = site.path("example.conf");
    let mut found = 0;
    for block in pages().iter().flat_map(|page| &page.blocks) {
        if block.words.first().is_none_or(|word| word != "rsyslog") {
            continue;
        }
        found += 1;
        if let Some(module) = block.foreign_modules().find(|name| !has_stock_module(name)) {
            skipped(&block.place(), &format!("rsyslog has no {module} here"));
            continue;
        }
        let text = format!(
            "global(workDirectory=\"{}\")\n{}action(type=\"omfile\" file=\"{}\")\n",
            site.work().display(),
            stage.fill(&block.text),
            site.path("rest.log").display()
        );
        fs::write(&config, &text).expect("written");
        let output = Command::new(rsyslogd())
            .args(["-N1", "-M", &module_path(&modules()), "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .output()
            .expect("rsyslogd runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let mut complaints = complaints(&said);
        // Newer ones find searchType needless, and ask the server already now.
        complaints.retain(|line| rsyslog_release() < 2608 || !line.contains(": omelasticsearch: "));
        let warns = block.is(&["rsyslog", "warns"]);
        let expected = complaints.iter().all(|line| line.contains(": warning: "))
            && complaints.is_empty() != warns;
        assert!(
            output.status.success() && expected,
            "{}: {}\n{said}\nThe configuration was:\n{text}",
            block.place(),
            output.status,
        );
    }
    assert!(found >= 5, "only {found} examples found");
}

#[test]
fn sender_and_receiver_of_the_readme_carry_lines() {
    let receiving = Site::new().without_feed();
    let stage = Stage::set(&receiving);
    let mut receiver = receiving.with(&stage.example("receiver")).start();
    let sender = Site::new().with(&stage.example("sender")).start();
    sender.feed(0..100);
    let lines = receiver.wait_lines("log/remote.log", 100, SOON);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&numbered(number)), "line {number}: {line}");
    }
    receiver.wait_stats("imrzmq", "from-hosts", "100 lines", |counters| {
        counters["submitted"] == 100 && counters["connections"] == 1
    });
}

#[test]
fn example_of_the_packages_is_the_readmes() {
    let path = repository().join("packaging/etc/rsyslog.d/60-rzmq-example.conf");
    let example = fs::read_to_string(path).expect("read");
    // "# " is a remark, "#" what is to be in force; nothing is without either.
    assert!(example.lines().all(|line| line.is_empty() || line.starts_with('#')), "{example}");
    let inert = example.lines().filter_map(|line| line.strip_prefix('#'));
    let inert: String = inert
        .filter(|line| !line.starts_with(' ') || line.starts_with("  "))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let readme = page("README.md");
    let blocks = ["sender", "receiver"].map(|name| readme.block(&["rsyslog", name]).to_owned());
    assert_eq!(inert, blocks.concat());
}

#[test]
fn publisher_and_subscriber_of_the_readme_carry_what_was_asked_for() {
    let publishing = Site::new();
    let stage = Stage::set(&publishing);
    let publisher = publishing.with(&stage.example("publisher")).start();
    let subscribing = Site::new().without_feed();
    // The keys are one site's, the log is the other's.
    let own_log = subscribing.path("log").display().to_string();
    let example = stage.example("subscriber");
    let example = example.replace(&stage.log.display().to_string(), &own_log);
    let mut subscriber = subscribing.with(&example).start();
    let line = |program: &str, text: &str| {
        let line = syslog_line(text).replace("feeder app:", &format!("web1 {program}:"));
        line + "\n"
    };
    let both = line("cron", "not asked for") + &line("nginx", "asked for");
    // A publisher's lines go to who is there: so until the first arrives.
    let lines = subscriber.wait("a published line", SOON, |subscriber| {
        publisher.feeder().bytes(both.as_bytes());
        let lines = subscriber.lines("log/nginx-of-web1.log");
        (!lines.is_empty()).then_some(lines)
    });
    for line in lines {
        assert!(line.contains("web1 nginx: asked for"), "{line}");
    }
}

/// web1, with its own key, says one line in its own name and one in another's.
fn web1_speaks_for_two(example: &str) -> (Rsyslogd, Rsyslogd) {
    let receiving = Site::new().without_feed();
    let stage = Stage::set(&receiving);
    let block = page("docs/operations.md").block(&["rsyslog", example]).to_owned();
    let receiver = receiving.with(&stage.fill(&block)).start();
    let sender = Site::new().with(&stage.example("sender")).start();
    for host in ["web1", "web2"] {
        let line = syslog_line("some text").replace("feeder app:", &format!("{host} app:"));
        sender.feeder().bytes((line + "\n").as_bytes());
    }
    (receiver, sender)
}

#[test]
fn ruleset_by_certificate_puts_every_line_into_its_senders_file() {
    let (mut receiver, _sender) = web1_speaks_for_two("by-certificate");
    let lines = receiver.wait_lines("log/hosts/web1.log", 2, SOON);
    assert!(lines[0].contains("web1 app: some text"), "{lines:?}");
    assert!(lines[1].contains("web2 app: some text"), "{lines:?}");
    assert!(!receiver.path("log/hosts/web2.log").exists());
}

#[test]
fn ruleset_by_hand_keeps_lines_of_others_apart() {
    let (mut receiver, _sender) = web1_speaks_for_two("by-hand");
    let apart = receiver.wait_lines("log/not-their-own.log", 1, SOON);
    let lines = receiver.wait_lines("log/remote.log", 1, SOON);
    assert!(apart.len() == 1 && apart[0].contains("web2 app: some text"), "{apart:?}");
    assert!(lines.len() == 1 && lines[0].contains("web1 app: some text"), "{lines:?}");
}

/// The parameters of a reference page: of the module, and of its statement.
fn reference(module: &str) -> BTreeMap<&'static str, BTreeSet<String>> {
    let page = page(&format!("docs/reference/{module}.md"));
    let mut parameters: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let mut statement = "";
    for (_, line) in &page.prose {
        if let Some(heading) = line.strip_prefix("## `") {
            statement = ["module", "input", "action"]
                .into_iter()
                .find(|word| heading.starts_with(word))
                .expect("a statement");
        } else if let Some(name) = line.strip_prefix("### ") {
            let name = name.trim_matches('`').to_owned();
            parameters.entry(statement).or_default().insert(name);
        }
    }
    assert_eq!(parameters.len(), 2, "{}", page.path.display());
    parameters
}

/// Statements of a configuration: the word in front of the parenthesis, names and values in it.
fn statements(text: &str) -> Vec<(&'static str, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for word in ["module", "input", "action"] {
        for (at, _) in text.match_indices(&format!("{word}(")) {
            let mut rest = &text[at + word.len() + 1..];
            let mut parameters = Vec::new();
            while let Some((name, behind)) = rest.split_once('=') {
                let name = name.trim();
                if name.contains(')') {
                    break;
                }
                let (open, close) = match behind.starts_with('[') {
                    true => ('[', ']'),
                    false => ('"', '"'),
                };
                let value = behind.strip_prefix(open).expect("a value");
                let (value, behind) = value.split_once(close).expect("the value's end");
                parameters.push((name.to_lowercase(), value.to_owned()));
                rest = behind;
            }
            found.push((word, parameters));
        }
    }
    found
}

#[test]
fn parameters_of_the_examples_are_in_the_reference() {
    let modules = ["imrzmq", "omrzmq"].map(|name| (name.to_owned(), reference(name)));
    let known = BTreeMap::from(modules);
    let engine = |name: &str| name.starts_with("queue.") || name.starts_with("action.");
    let mut checked = 0;
    for page in pages() {
        for block in &page.blocks {
            for (word, parameters) in statements(&block.text) {
                let is_ours = |(name, value): &&(String, String)| {
                    ["load", "type"].contains(&name.as_str()) && known.contains_key(value)
                };
                let Some((_, module)) = parameters.iter().find(is_ours) else {
                    continue;
                };
                for (name, _) in &parameters {
                    checked += 1;
                    let fine = ["load", "type"].contains(&name.as_str())
                        || known[module][word].contains(name)
                        || word == "action" && engine(name);
                    assert!(fine, "{}: {module} has no {name}", block.place());
                }
            }
        }
        for (number, line) in &page.prose {
            for span in code_spans(line) {
                let Some((name, _)) = span.split_once("=\"") else {
                    continue;
                };
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.';
                if !name.chars().all(is_name) || engine(name) || name == "resetCounters" {
                    continue;
                }
                checked += 1;
                let fine =
                    known.values().flat_map(BTreeMap::values).any(|names| names.contains(name));
                let place = page.path.display();
                assert!(fine, "{place}:{number}: no module has {name}");
            }
        }
    }
    assert!(checked > 50, "only {checked} parameters found");
}

/// What blocks are there, and who runs or reads them: CONTRIBUTING.md, "Documentation".
#[test]
fn every_block_is_one_that_a_test_looks_at() {
    // With what looks at it; "" where nothing can.
    let kinds = BTreeMap::from([
        ("", ""), // a picture in letters
        ("ini", "tests/docs.rs"),
        ("text", ""), // what a program said
        ("text check", "tests/rzlog/pages.rs"),
        ("python subscriber", "tests/rzlog/pages.rs"),
        ("rsyslog", "tests/docs.rs"),
        ("rsyslog by-certificate", "tests/docs.rs"),
        ("rsyslog by-hand", "tests/docs.rs"),
        ("rsyslog elasticsearch", "tests/archive.rs"),
        ("rsyslog postgresql", "tests/archive.rs"),
        ("rsyslog publisher", "tests/docs.rs"),
        ("rsyslog receiver", "tests/docs.rs"),
        ("rsyslog sender", "tests/docs.rs"),
        ("rsyslog subscriber", "tests/docs.rs"),
        ("rsyslog warns", "tests/docs.rs"),
        ("rsyslog-czmq publisher", "tests/rzlog/pages.rs"),
        ("rsyslog-czmq sender", "tests/rzlog/pages.rs"),
        ("sh", "tests/rzlog/examples.rs"), // docs/rzlog.md's are run; others are read: they need other hosts, or take long
        ("sh by-hand", "tests/packages/fleet"),
        ("sh by-hand back", "tests/packages/fleet"),
        ("sh fleet", "tests/packages/fleet"),
        ("sh hosts", "tests/start.rs"),
        ("sh import", "tests/packages/fleet"),
        ("sh keys", "tests/harness/pages.rs"),
        ("sh modules", "tests/docs.rs"),
        ("sh newcomer", "scripts/newcomer"),
        ("sh newcomer second", "scripts/newcomer"),
        ("sh packages", "tests/packages/deb"),
        ("sh packages hosts", "tests/packages/fleet"),
        ("sql postgresql", "tests/archive.rs"),
        ("toml", "tests/rzlog/pages.rs"),
        ("toml alert", "tests/rzlog/pages.rs"),
        ("toml metrics", "tests/rzlog/pages.rs"),
        ("zpl", "tests/docs.rs"),
    ]);
    for block in pages().iter().flat_map(|page| &page.blocks) {
        let kind = block.words.join(" ");
        let reader = kinds.get(kind.as_str());
        let reader = reader.unwrap_or_else(|| panic!("{}: nobody reads \"{kind}\"", block.place()));
        assert!(repository().join(reader).exists(), "{reader}");
        // A configuration is in a block that rsyslogd reads, or is typed into a terminal.
        let begins = ["module(", "input(", "action(", "ruleset(", "$ModLoad"];
        let is_statement =
            |line: &str| begins.iter().any(|begin| line.trim_start().starts_with(begin));
        let is_read = kind.starts_with("rsyslog") || kind.starts_with("sh newcomer");
        assert!(
            is_read || !block.text.lines().any(is_statement),
            "{}: no rsyslogd reads this",
            block.place()
        );
    }
}

/// The machine's own rsyslogd, with -N1 behind what is typed, so that it ends.
#[test]
fn modules_are_tried_where_they_were_built_as_the_readme_says() {
    let site = Site::new();
    let config = site.path("my.conf");
    let text = "module(load=\"imrzmq\")\nmodule(load=\"omrzmq\")\naction(type=\"omfile\" file=\"/dev/null\")\n";
    fs::write(&config, text).expect("written");
    let typed = page("README.md").block(&["sh", "modules"]).trim_end().to_owned();
    let typed = typed.replace("my.conf", &config.display().to_string());
    let typed = typed.replace("/run/my.pid", &site.path("my.pid").display().to_string());
    let output = Command::new("sh")
        .args(["-c", &format!("PATH=$PATH:/usr/sbin; {typed} -N1")])
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints = complaints(&said);
    assert!(output.status.success() && complaints.is_empty(), "{typed}: {said}");
}

/// A certificate's lines, with every value but web1's name put out.
fn form(certificate: &str) -> Vec<String> {
    let lines = certificate.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|line| match line.split_once(" = ") {
        Some((name, value)) if !value.contains("web1") => format!("{name} = …"),
        _ => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn certificate_of_the_operations_page_has_the_form_of_a_real_one() {
    let site = Site::new();
    let stage = Stage::set(&site);
    let real = fs::read_to_string(stage.keys.join("web1_secret")).expect("a secret");
    assert_eq!(form(page("docs/operations.md").block(&["zpl"])), form(&real));
}

/// Those of the pages, and the one that the packages ship.
#[test]
fn drop_ins_are_read_by_systemd() {
    if !has_program("systemd-analyze") {
        return skipped("drop_ins_are_read_by_systemd", "no systemd-analyze");
    }
    let shipped = repository().join("packaging/systemd/interfaces.conf");
    let shipped = fs::read_to_string(shipped).expect("read");
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.is(&["ini"]));
    let drop_ins = blocks.map(|block| (block.place(), block.text.clone()));
    let folder = tempfile::tempdir().expect("folder");
    let unit = folder.path().join("rzmq-drop-in.service");
    for (place, text) in drop_ins.chain([("interfaces.conf".to_owned(), shipped)]) {
        fs::write(&unit, format!("[Service]\nExecStart=/bin/true\n{text}")).expect("written");
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&unit)
            .output()
            .expect("systemd-analyze");
        let said = String::from_utf8_lossy(&verified.stderr);
        let about = said.lines().any(|line| line.contains("rzmq-drop-in"));
        assert!(verified.status.success() && !about, "{place}: {said}");
    }
}

#[test]
fn configuration_of_the_compose_file_passes_the_check() {
    let site = Site::new();
    let path = repository().join("packaging/compose/rsyslog.conf");
    let text = fs::read_to_string(path).expect("read");
    // what it includes there is what `rzlog keys fleet` wrote, which has a test of its own
    let text = text
        .replace("/var/spool/rsyslog", &site.work().display().to_string())
        .replace("/etc/rsyslog.d/*.conf", &site.path("fleet*.conf").display().to_string())
        + "action(type=\"omfile\" file=\"/dev/null\")\n";
    fs::write(site.path("fleet.conf"), "# nothing\n").expect("written");
    let config = site.path("compose.conf");
    fs::write(&config, &text).expect("written");
    let output = Command::new(rsyslogd())
        .args(["-N1", "-M", &module_path(&modules()), "-f"])
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .expect("rsyslogd runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints(&said).is_empty(), "{said}\n{text}");
}

/// What comes behind `make ` or begins with `scripts/` in a line of commands.
fn own_commands(line: &str) -> Vec<String> {
    let line = line.replace(['`', '\'', '"', '(', ')', ';', ',', '|'], " ");
    let words: Vec<_> = line.split_whitespace().collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
        if *word == "make" && words.get(at + 1).is_some_and(|it| it.chars().all(is_name)) {
            found.push(format!("make {}", words[at + 1]));
        }
        let script = word.trim_end_matches(['.', ':']);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if script.starts_with("scripts/") && script.chars().all(plain) {
            found.push(script.to_owned());
        }
    }
    found
}

#[test]
fn commands_of_the_pages_are_commands_of_the_project() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile");
    let mut checked = 0;
    for page in pages() {
        let spans = page.prose.iter().flat_map(|(number, line)| {
            let place = format!("{}:{number}", page.path.display());
            code_spans(line).into_iter().map(move |span| (place.clone(), span.to_owned()))
        });
        let shell =
            page.blocks.iter().filter(|block| block.words.first().is_some_and(|it| it == "sh"));
        let lines = shell.flat_map(|block| {
            let read = Command::new("bash").args(["-n", "-c", &block.text]).status().expect("bash");
            assert!(read.success(), "{}: not read by bash", block.place());
            block.text.lines().map(|line| (block.place(), line.to_owned()))
        });
        for (place, line) in spans.chain(lines) {
            for command in own_commands(&line) {
                checked += 1;
                let known = match command.strip_prefix("make ") {
                    Some(target) => makefile.contains(&format!("\n{target}: ")),
                    None => repository().join(&command).exists(),
                };
                assert!(known, "{place}: there is no {command}");
            }
        }
    }
    assert!(checked > 80, "only {checked} commands found");
}

#[test]
fn book_has_every_page() {
    let book = page("docs/SUMMARY.md");
    let links = book.prose.iter().flat_map(|(_, line)| line.split("](").skip(1));
    let links = links.filter_map(|rest| rest.split(')').next());
    let folder = repository().join("docs");
    let listed: BTreeSet<_> =
        links.map(|link| folder.join(link).canonicalize().expect("a page")).collect();
    for page in pages() {
        let path = repository().join(&page.path).canonicalize().expect("a page");
        let is_contents = page.path.ends_with("SUMMARY.md");
        assert!(is_contents || listed.contains(&path), "{} is not in it", page.path.display());
    }
}

/// `make newcomer ARGS=--write` is to be run when README's commands have changed.
#[test]
fn transcript_has_the_commands_of_the_readme() {
    let readme = page("README.md");
    let typed = |second: bool| {
        let blocks = readme.blocks.iter().filter(move |block| {
            block.words.starts_with(&["sh".to_owned(), "newcomer".to_owned()])
                && (block.words.len() == 3) == second
        });
        blocks.flat_map(|block| block.text.lines().map(str::to_owned)).collect::<Vec<_>>()
    };
    let transcript = page("docs/newcomer.md");
    let mut terminal = 0;
    let mut shown = [Vec::new(), Vec::new()];
    let text = fs::read_to_string(repository().join(&transcript.path)).expect("read");
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("Terminal ") {
            terminal = usize::from(number == "2:");
        }
        // Ctrl-C leaves no line of its own; a notice may come behind a prompt.
        let line = line.strip_prefix("^C").unwrap_or(line);
        let typed = line.strip_prefix("$ ").filter(|words| !words.starts_with("rzlog: "));
        let command = typed.or_else(|| line.strip_prefix("> "));
        shown[terminal].extend(command.map(str::to_owned));
        if line == ">" {
            shown[terminal].push(String::new());
        }
    }
    assert_eq!(shown[0], typed(false));
    assert_eq!(shown[1], typed(true));
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for page in pages() {
        for (number, line) in &page.prose {
            for target in line.split("](").skip(1) {
                let target = target.split(')').next().unwrap_or_default();
                if target.contains("://") {
                    continue;
                }
                checked += 1;
                let place = format!("{}:{number}: {target}", page.path.display());
                let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
                let folder = page.path.parent().expect("a file has a folder");
                let file = match file {
                    "" => repository().join(&page.path),
                    file => repository().join(folder).join(file),
                };
                assert!(file.exists(), "{place}: there is no such file");
                if fragment.is_empty() {
                    continue;
                }
                let text = fs::read_to_string(&file).expect("a page");
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|heading| anchor(heading) == fragment),
                    "{place}: there is no such heading"
                );
            }
        }
    }
    assert!(checked > 10, "only {checked} links found");
}

/// The source of the modules, with the texts in it as they are printed.
fn source() -> String {
    fn add(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("src") {
            let path = entry.expect("src").path();
            if path.is_dir() {
                add(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("source"));
            }
        }
    }
    let mut text = String::new();
    add(&repository().join("src"), &mut text);
    let mut pieces = text.split("\\\n");
    let mut joined = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        joined.push_str(piece.trim_start());
    }
    joined.replace("\\\"", "\"")
}

/// Whether the pieces stand in the text one behind the other, close together.
fn stands_in(text: &str, pieces: &[&str]) -> bool {
    let Some((first, others)) = pieces.split_first() else {
        return false;
    };
    text.match_indices(first).any(|(at, _)| {
        let near = text[at + first.len()..].chars().take(400);
        let near: String = near.collect();
        let mut rest = near.as_str();
        others.iter().all(|piece| {
            let found = rest.find(piece);
            rest = found.map_or("", |at| &rest[at + piece.len()..]);
            found.is_some()
        })
    })
}

/// Page, section, the column of its tables that has log lines, and how many at the least.
const LOG_LINES: [(&str, &str, usize, usize); 4] = [
    ("docs/operations.md", "## What the log lines mean", 0, 100),
    ("docs/operations.md", "## Who is not let in", 1, 8),
    ("docs/operations.md", "## It connects, nothing arrives", 0, 12),
    ("docs/security.md", "## Attack by attack", 2, 20),
];

#[test]
fn log_lines_of_the_pages_are_in_the_source() {
    let source = source();
    for (name, section, column, least) in LOG_LINES {
        let page = page(name);
        let rows = page.section(section);
        let cells = rows.iter().filter_map(|row| row.strip_prefix("| ")?.split(" | ").nth(column));
        // Counters, parameters and options are one word each.
        let lines = cells.flat_map(code_spans).filter(|span| span.contains(' '));
        let lines: Vec<_> = lines.collect();
        let missing: Vec<_> = lines
            .iter()
            .filter(|line| {
                let pieces = line.split('…').filter(|piece| !piece.trim().is_empty());
                !stands_in(&source, &pieces.collect::<Vec<_>>())
            })
            .collect();
        assert!(missing.is_empty(), "{section}: not in the source: {missing:#?}");
        assert!(lines.len() >= least, "{section}: only {} log lines found", lines.len());
    }
}

/// What the pages repeat of the run of `make bench` whose results are kept.
#[test]
fn figures_of_speed_are_those_of_the_run() {
    let path = repository().join("bench/results/speed.json");
    let run: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).expect("read")).expect("JSON");
    let summary = run["summary"].as_array().expect("rows");
    let row = |name: &str| {
        summary.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let figure = |name: &str, of: &str| row(name)[of].as_f64().expect("a number");
    let words = |name: &str| {
        let text = fs::read_to_string(repository().join(name)).expect("a page");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let says = |name: &str, what: &str| {
        assert!(words(name).contains(what), "{name} does not say \"{what}\"");
    };

    // The tables of docs/speed.md and README.md.
    let both = |transport: &str| [1, 2].map(|workers| format!("{transport}/{workers}"));
    let of_tcp = |transport: &str| {
        let speed = both(transport).map(|it| figure(&it, "speed_vs_tcp"));
        format!("{:.2} / {:.2} |", speed[0], speed[1])
    };
    for transport in summary.iter().filter_map(|row| row["name"].as_str()?.strip_suffix("/1")) {
        let thousands = both(transport).map(|it| figure(&it, "lines_per_second") / 1e3);
        let used = ["sender_us", "receiver_us"].map(|of| figure(&both(transport)[1], of));
        let cells = format!("| {:.0} / {:.0} | {}", thousands[0], thousands[1], of_tcp(transport));
        says("docs/speed.md", &format!("{cells} {:.2} + {:.2} |", used[0], used[1]));
    }
    for transport in ["tls", "relp-tls", "czmq-curve", "acked-curve"] {
        says("README.md", &of_tcp(transport));
    }

    // The sentence of both.
    let floors = run["floors"].as_array().expect("floors");
    let times = |peer: &str| {
        let floor = floors.iter().find(|it| it["peer"] == peer).expect("a floor");
        floor["found"].as_f64().expect("a number")
    };
    let tcp = format!("{:.2} × plain TCP, {:.2} × TLS,", times("tcp/1"), times("tls/1"));
    let others = ["czmq-curve/1", "relp/1", "relp-tls/1"].map(times);
    let others = format!(
        "{:.1} × the C modules with CURVE, {:.1} × RELP and {:.1} × RELP over TLS",
        others[0], others[1], others[2]
    );
    for page in ["README.md", "docs/speed.md"] {
        says(page, &format!("{tcp} {others}"));
    }

    // What docs/tuning.md makes of them.
    let [one, two] = both("acked-curve");
    let [meta_one, meta_two] = both("acked-meta");
    let sender = figure(&one, "sender_us");
    let receiver = [&one, &two].map(|it| figure(it, "receiver_us"));
    let meta = [&meta_one, &meta_two].map(|it| figure(it, "receiver_us"));
    let lines = [&one, &two].map(|it| figure(it, "lines_per_second") / 1e3);
    let speed = [&one, &two].map(|it| figure(it, "speed_vs_tcp"));
    for said in [
        format!("{:.1} to {sender:.1} µs a line with CURVE", figure(&two, "sender_us")),
        format!("10,000 lines a second are {sender:.1} % of such a core"),
        format!("{:.1} to {:.1} µs a line of one sender", receiver[1], receiver[0]),
        format!("{:.1} to {:.1} µs with `metadata=\"on\"`", meta[1], meta[0]),
        format!("{:.0},000 for {:.0},000 lines a second", lines[1], lines[0]),
        format!("{:.2} for {:.2} × plain TCP", speed[1], speed[0]),
        format!("{:.1} for {:.1} µs a line with two workers", receiver[1], meta[1]),
        format!("{:.1} for {:.1} µs with one", receiver[0], meta[0]),
    ] {
        says("docs/tuning.md", &said);
    }
}

/// A test that is named as the source of a promise must be there.
#[test]
fn tests_that_the_pages_of_promises_name_exist() {
    fn add(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("tests") {
            let path = entry.expect("tests").path();
            if path.is_dir() {
                add(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("tests"));
            }
        }
    }
    let mut tests = String::new();
    add(&repository().join("tests"), &mut tests);
    for folder in ["src/delivery/tests", "src/link"] {
        add(&repository().join(folder), &mut tests);
    }
    for page in ["docs/guarantees.md", "docs/security.md"] {
        tests_that_it_names_exist(page, &tests);
    }
}

fn tests_that_it_names_exist(name: &str, tests: &str) {
    let page = page(name);
    let spans = page.prose.iter().flat_map(|(_, line)| code_spans(line));
    let is_name = |span: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        span.matches('_').count() >= 2 && span.chars().all(plain)
    };
    let counters = ["imrzmq", "omrzmq"].map(|module| {
        let path = repository().join(format!("src/{module}/counters.rs"));
        fs::read_to_string(path).expect("the table of counters")
    });
    let is_counter = |name: &&str| counters.iter().any(|it| it.contains(&format!("= \"{name}\"")));
    let names: BTreeSet<_> = spans.filter(is_name).filter(|it| !is_counter(it)).collect();
    let missing: Vec<_> =
        names.iter().filter(|name| !tests.contains(&format!("fn {name}()"))).collect();
    assert!(missing.is_empty(), "{name}: no such tests: {missing:#?}");
    assert!(names.len() > 20, "{name}: only {} tests are named", names.len());
}

#[test]
fn counters_of_the_operations_page_are_those_of_the_modules() {
    let page = page("docs/operations.md");
    for module in ["imrzmq", "omrzmq"] {
        let path = repository().join(format!("src/{module}/counters.rs"));
        let table = fs::read_to_string(path).expect("the table of counters");
        let names = table.lines().filter_map(|line| line.split_once(" = \""));
        let declared: BTreeSet<_> =
            names.map(|(_, rest)| rest.trim_end_matches("\",").trim_start_matches('=')).collect();
        let rows = page.section(&format!("### {module}"));
        let rows = rows.iter().filter_map(|row| row.strip_prefix("| `"));
        let written: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(declared, written, "{module}");
    }
}
