use super::super::config::Labels;
use super::super::engine::Alert;
use super::super::route::{Dispatcher, State};
use super::{START, config, shown};

fn alert(id: &str, labels: &[(&str, &str)], ends: Option<u64>) -> Alert {
    let labels: Labels =
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    Alert {
        id: id.into(),
        labels,
        summary: String::new(),
        what: String::new(),
        starts: START,
        ends,
        count: 1,
        lines: vec!["line".into()],
    }
}

const RECEIVERS: &str = "[[receivers]]\nname = \"ops\"\ncommand = { arguments = [\"true\"] }\n\
    [[receivers]]\nname = \"db\"\ncommand = { arguments = [\"true\"] }\n";

fn dispatcher(text: &str) -> Dispatcher {
    Dispatcher::new(&config(&format!("{text}\n{RECEIVERS}")), State::default()).unwrap()
}

/// What is told at this second: receiver and alerts.
fn told(dispatcher: &mut Dispatcher, second: u64) -> String {
    let all = dispatcher.tick(START + second * 1000, &mut |_| None);
    let one = |it: super::super::route::Notification| {
        let alerts: Vec<_> = it.alerts.iter().map(shown).collect();
        format!("{}{} {}", it.receiver, if it.repeat { " again" } else { "" }, alerts.join(", "))
    };
    all.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn groups_wait_and_repeat_as_alertmanagers_do() {
    let mut it = dispatcher("route = { receiver = \"ops\" }");
    let web = |host, ends| alert(host, &[("alertname", "A"), ("host", host)], ends);
    it.take(START, &web("web1", None));
    assert_eq!(told(&mut it, 29), "");
    it.take(START + 29_000, &web("web2", None));
    assert_eq!(told(&mut it, 30), "ops FIRING host=web1, FIRING host=web2");
    it.take(START + 40_000, &web("web3", None));
    assert_eq!(told(&mut it, 329), "");
    assert_eq!(told(&mut it, 330), "ops FIRING host=web1, FIRING host=web2, FIRING host=web3");
    // nothing new is said again after four hours
    let mut second = 330;
    let said = loop {
        second += 300;
        let said = told(&mut it, second);
        if !said.is_empty() {
            break said;
        }
    };
    assert_eq!(second, 330 + 4 * 3600);
    assert!(said.starts_with("ops again FIRING"), "{said}");
    for host in ["web1", "web2", "web3"] {
        it.take(START + second * 1000, &web(host, Some(START)));
    }
    assert!(told(&mut it, second + 300).starts_with("ops RESOLVED host=web1, RES"));
    assert_eq!((told(&mut it, second + 9000), it.next()), (String::new(), None));
}

#[test]
fn what_ends_before_it_was_told_is_never_told() {
    let mut it = dispatcher("route = { receiver = \"ops\" }");
    it.take(START, &alert("a", &[("alertname", "A")], None));
    it.take(START + 20_000, &alert("a", &[("alertname", "A")], Some(START + 20_000)));
    assert_eq!(told(&mut it, 30), "");
    assert_eq!(it.next(), None);
    // one that ends and comes back between two notices is one
    it.take(START + 60_000, &alert("a", &[("alertname", "A")], None));
    assert_eq!(told(&mut it, 90), "ops FIRING ");
    it.take(START + 100_000, &alert("a", &[("alertname", "A")], Some(START + 100_000)));
    it.take(START + 110_000, &alert("a", &[("alertname", "A")], None));
    assert_eq!(told(&mut it, 390), "");
}

#[test]
fn routes_are_gone_down_and_go_on_where_they_say_so() {
    let mut it = dispatcher(
        "[route]\nreceiver = \"ops\"\ngroup_by = [\"host\"]\ngroup_wait = \"0s\"\n\
         [[route.routes]]\nmatch = { host = \"db*\" }\nreceiver = \"db\"\ncontinue = true\n\
         [[route.routes]]\nmatch = { severity = \"critical\" }\ngroup_by = [\"...\"]\n",
    );
    it.take(START, &alert("1", &[("host", "web1")], None));
    it.take(START, &alert("2", &[("host", "web1"), ("alertname", "B")], None));
    it.take(START, &alert("3", &[("host", "db1")], None));
    it.take(START, &alert("4", &[("host", "db2"), ("severity", "critical")], None));
    let said = told(&mut it, 0);
    let mut parts: Vec<_> = said.split("; ").collect();
    parts.sort_unstable();
    let expected = [
        "db FIRING host=db1",
        "db FIRING host=db2 severity=critical",
        "ops FIRING host=db2 severity=critical",
        "ops FIRING host=web1, FIRING host=web1",
    ];
    assert_eq!(parts, expected);
}

#[test]
fn an_alert_mutes_what_follows_from_it() {
    let mut it = dispatcher(
        "[route]\nreceiver = \"ops\"\ngroup_by = [\"alertname\"]\n\
         [[inhibit_rules]]\nsource_match = { alertname = \"Silent\" }\n\
         target_match = { alertname = \"Errors\" }\nequal = [\"host\"]\n",
    );
    let silent = |ends| alert("s", &[("alertname", "Silent"), ("host", "a")], ends);
    it.take(START, &silent(None));
    it.take(START, &alert("e1", &[("alertname", "Errors"), ("host", "a")], None));
    it.take(START, &alert("e2", &[("alertname", "Errors"), ("host", "b")], None));
    assert_eq!(told(&mut it, 30), "ops FIRING host=b; ops FIRING host=a");
    it.take(START + 60_000, &silent(Some(START + 60_000)));
    assert_eq!(told(&mut it, 330), "ops FIRING host=a, FIRING host=b; ops RESOLVED host=a");
}

#[test]
fn an_alert_that_was_told_and_then_muted_is_told_to_have_ended() {
    let mut it = dispatcher(
        "[route]\nreceiver = \"ops\"\ngroup_by = [\"alertname\"]\n\
         [[inhibit_rules]]\nsource_match = { alertname = \"Loud\" }\n\
         target_match = { alertname = \"Errors\", host = \"a\" }\n",
    );
    let errors = |host, ends| alert(host, &[("alertname", "Errors"), ("host", host)], ends);
    it.take(START, &errors("a", None));
    assert_eq!(told(&mut it, 30), "ops FIRING host=a");
    it.take(START + 31_000, &alert("l", &[("alertname", "Loud")], None));
    it.take(START + 31_000, &errors("b", None));
    assert_eq!(told(&mut it, 330), "ops FIRING host=b; ops FIRING ");
    it.take(START + 331_000, &errors("a", Some(START + 331_000)));
    assert_eq!(told(&mut it, 630), "ops FIRING host=b, RESOLVED host=a");
}

#[test]
fn mistakes_are_sentences() {
    for (text, words) in [
        ("", "receiver is missing"),
        ("route = { receiver = \"nobody\" }", "no receiver \"nobody\""),
        ("route = { receiver = \"ops\", group_interval = \"0s\" }", "group_interval"),
        ("route = { receiver = \"ops\", match = { a = \"b\" } }", "no match"),
    ] {
        let config = config(&format!("{text}\n{RECEIVERS}"));
        let error = Dispatcher::new(&config, State::default()).err().unwrap().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}
