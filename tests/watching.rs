//! packaging/examples for Prometheus and Grafana: the exporter shows what impstats writes, the alerts and
//! the dashboard ask for metrics that there are, and both are well-formed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::paths::repository;
use harness::ports::free_endpoint;
use harness::skip::skipped;
use harness::{Peer, SOON, Site, wait_until};
use serde_json::Value;

fn examples() -> PathBuf {
    repository().join("packaging/examples")
}

/// The exporter on a file; killed on drop.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn on(file: &Path) -> Self {
        let mut child = Command::new("python3")
            .arg(examples().join("prometheus/rsyslog-exporter"))
            .args(["--listen", "127.0.0.1:0", "--stale", "10"])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 does not run");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("its address");
        let address = line.trim().trim_start_matches("http://").trim_end_matches("/metrics");
        Exporter { address: address.to_owned(), child }
    }

    /// Status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the exporter listens");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names after `# TYPE`, with the type.
fn types(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let parts = lines.filter_map(|line| line.split_once(' '));
    parts.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// What the exporter shows of an rsyslogd with both modules, an action queue and three lines.
fn shown() -> String {
    let (endpoint, other) = (free_endpoint(), free_endpoint());
    let site = Site::new()
        .without_feed()
        .receiving_in_ruleset(
            "",
            &format!("name=\"in\" endpoints=\"{endpoint}\" socktype=\"PULL\""),
        )
        .sending(
            "",
            &format!(
                "name=\"out\\\\\\\"q\\\"\" endpoints=\"{other}\" socktype=\"PUB\" \
                 queue.type=\"LinkedList\""
            ),
        );
    let stats = site.path("stats.json");
    let exporter = Exporter::on(&stats);
    assert_eq!(exporter.get("/metrics").0, 503, "there is no report yet");
    assert_eq!(exporter.get("/").0, 404);
    let mut daemon = site.start();
    let peer = Peer::push(&endpoint);
    peer.send_numbers(0..3);
    let text = wait_until("three lines in /metrics", SOON, || {
        let (status, text) = exporter.get("/metrics");
        let whole = text.contains("rsyslog_imrzmq_received_total{name=\"in\"} 3\n");
        (status == 200 && whole).then_some(text)
    });
    daemon.stop().clean();
    text
}

#[test]
fn the_exporter_shows_every_counter_and_the_examples_ask_for_what_it_shows() {
    let text = shown();
    let types = types(&text);
    for module in ["imrzmq", "omrzmq"] {
        let path = repository().join(format!("src/{module}/counters.rs"));
        let table = fs::read_to_string(path).expect("the table of counters");
        let names =
            table.lines().filter_map(|line| line.split_once(" = \"")?.1.strip_suffix("\","));
        for name in names {
            let shown = match name.strip_prefix('=') {
                Some(state) => (format!("rsyslog_{module}_{state}"), "gauge".to_owned()),
                None => (format!("rsyslog_{module}_{name}_total"), "counter".to_owned()),
            };
            assert!(types.contains(&shown), "{shown:?} is not in {text}");
        }
    }
    assert!(text.contains("{name=\"out\\\\\\\"q\\\"\"} "), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(plain), "{line}");
    }
    let known: BTreeSet<_> = types.into_iter().map(|(name, _)| name).collect();
    let mut asked = BTreeSet::new();
    for file in ["grafana/rsyslog-rzmq.json", "prometheus/alerts.yml"] {
        let text = fs::read_to_string(examples().join(file)).expect("an example");
        let expressions = text.lines().filter(|line| {
            let is = |key: &str| line.trim_start().starts_with(key);
            is("\"expr\"")
                || is("\"definition\"")
                || is("- alert")
                || is("expr:")
                || is("or ")
                || is("increase")
        });
        for line in expressions {
            let names = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            asked.extend(names.filter(|name| name.starts_with("rsyslog_")).map(str::to_owned));
        }
    }
    assert!(asked.len() > 30, "{asked:?}");
    let missing: Vec<_> = asked.difference(&known).collect();
    assert!(missing.is_empty(), "no such metrics: {missing:?}");
}

/// One that has another name now must not keep an alert firing.
#[test]
fn what_is_not_reported_any_more_is_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stats.json");
    let report =
        |name: &str| format!("{{\"origin\":\"omrzmq\",\"name\":\"{name}\",\"waiting\":1}}\n");
    let cycle = report("one") + &report("two");
    fs::write(&file, report("renamed") + &cycle + &cycle).expect("reports");
    let exporter = Exporter::on(&file);
    let names = || {
        let text = exporter.get("/metrics").1;
        let lines = text.lines().filter(|line| line.starts_with("rsyslog_omrzmq_waiting{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names().len(), 3, "it may be in the next report");
    fs::write(&file, report("renamed") + &cycle + &cycle + &cycle).expect("reports");
    let left = ["one", "two"].map(|name| format!("rsyslog_omrzmq_waiting{{name=\"{name}\"}} 1"));
    assert_eq!(names(), left);
}

/// The members of a dashboard, of a panel, of a row and of the fields' defaults in Grafana's schema
/// (kinds/dashboard/dashboard_kind.cue in its source). All four are closed: another member is a mistake.
const DASHBOARD: &str = "id uid title description revision gnetId tags style timezone editable \
    graphTooltip time timepicker fiscalYearStartMonth liveNow weekStart refresh schemaVersion version \
    panels templating annotations links snapshot";
const PANEL: &str = "type id pluginVersion tags targets title description transparent datasource gridPos \
    links repeat repeatDirection repeatPanelId maxDataPoints thresholds timeRegions transformations \
    interval timeFrom timeShift libraryPanel options fieldConfig";
const ROW: &str = "type collapsed title datasource gridPos id panels repeat";
const FIELDS: &str = "displayName displayNameFromDS description path writeable filterable unit decimals \
    min max mappings thresholds color links noValue custom";

#[track_caller]
fn has_only(value: &Value, known: &str) {
    for member in value.as_object().expect("an object").keys() {
        let is_known = known.split_whitespace().any(|it| it == member);
        assert!(is_known, "Grafana's schema has no {member} in {value}");
    }
}

/// No Grafana is in Debian: what its schema asks of a dashboard is asked here.
#[test]
fn the_dashboard_is_one() {
    let file = examples().join("grafana/rsyslog-rzmq.json");
    let text = fs::read_to_string(&file).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    has_only(&dashboard, DASHBOARD);
    for (member, is_right) in [
        ("title", dashboard["title"].is_string()),
        ("uid", dashboard["uid"].as_str().is_some_and(|uid| (8..=40).contains(&uid.len()))),
        ("schemaVersion", dashboard["schemaVersion"].as_i64().is_some_and(|it| it >= 36)),
        ("tags", dashboard["tags"].is_array()),
        ("time", dashboard["time"]["from"].is_string() && dashboard["time"]["to"].is_string()),
        ("id", dashboard.get("id").is_none()),
    ] {
        assert!(is_right, "{member}: {}", dashboard[member]);
    }
    let variables: Vec<_> = array(&dashboard["templating"]["list"])
        .iter()
        .map(|it| (it["name"].as_str().expect("a name"), it["type"].as_str().expect("a type")))
        .collect();
    assert_eq!(variables, [("datasource", "datasource"), ("instance", "query")]);
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in array(&dashboard["panels"]) {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another's");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        let (x, y) = (place("x"), place("y"));
        assert!(x + place("w") <= 24 && place("h") > 0, "{title} is not on the page");
        for cell in (x..x + place("w")).flat_map(|x| (y..y + place("h")).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} lies over another panel");
        }
        match panel["type"].as_str() {
            Some("row") => {
                has_only(panel, ROW);
                assert!(panel["collapsed"].is_boolean(), "{title}");
                assert!(array(&panel["panels"]).is_empty(), "{title}");
            }
            Some("timeseries") => targets(title, panel),
            other => panic!("{title}: a panel of the type {other:?}"),
        }
    }
    assert!(ids.len() > 10, "only {} panels", ids.len());
}

fn targets(title: &str, panel: &Value) {
    has_only(panel, PANEL);
    has_only(&panel["gridPos"], "h w x y static");
    has_only(&panel["datasource"], "type uid");
    has_only(&panel["fieldConfig"], "defaults overrides");
    has_only(&panel["fieldConfig"]["defaults"], FIELDS);
    assert!(panel["options"].is_object(), "{title}");
    assert_eq!(panel["datasource"]["type"], "prometheus", "{title}");
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
    assert!(array(&panel["fieldConfig"]["overrides"]).is_empty(), "{title}");
    let mut letters = BTreeSet::new();
    for target in array(&panel["targets"]) {
        assert!(letters.insert(target["refId"].as_str().expect("a letter")), "{title}: {target}");
        let expression = target["expr"].as_str().expect("an expression");
        assert!(expression.contains("{instance=~\"$instance\"}"), "{title}: {expression}");
        assert!(target["legendFormat"].is_string(), "{title}: {target}");
    }
    assert!(!letters.is_empty(), "{title} shows nothing");
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

#[test]
fn prometheus_accepts_its_configuration_and_the_alerts() {
    let promtool = repository().join("target/prometheus/promtool");
    if !promtool.exists() {
        return skipped("Prometheus' own check", "target/prometheus has no promtool");
    }
    let output = Command::new(promtool)
        .args(["check", "config"])
        .arg(examples().join("prometheus/prometheus.yml"))
        .output()
        .expect("promtool does not run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("rules found"), "{said}");
}
