use proptest::prelude::*;

use super::super::config::Labels;
use super::super::engine::Alert;
use super::super::outbox::{Attempt, Detail};
use super::super::route::Notification;
use super::super::text::{Dialect, Style, clean, plain_summary};
use super::START;

const HOSTILE: [&str; 8] = [
    "@channel @here @all @everyone",
    "<!everyone> <!here> <@U123> <https://evil.example.org|your bank>",
    "``` @channel [bank](https://evil.example.org) ```",
    "`@here`",
    "~~~\n# big\n> quoted",
    "\u{202e}lennahc@\u{2066}",
    "\x1b[2J\x00\r\n```\n@channel",
    "&lt;!everyone&gt; \\` \\",
];

fn attempt(label: &str, lines: &[&str], alerts: usize) -> Attempt {
    let alert = Alert {
        id: "A".into(),
        labels: Labels::from([
            ("alertname".into(), "A".into()),
            ("host".into(), clean(label.as_bytes(), 200)),
        ]),
        summary: "trouble on {host}: {what} {summary} {lines}".into(),
        what: "3 lines within 5m, limit 3".into(),
        starts: START,
        ends: None,
        count: 10,
        lines: lines.iter().map(|line| clean(line.as_bytes(), 400)).collect(),
    };
    let notification = Notification {
        receiver: "ops".into(),
        group: "g".into(),
        group_labels: Labels::new(),
        alerts: vec![alert; alerts],
        at: START,
        repeat: false,
    };
    Attempt { id: 1, notification, detail: Detail::Lines, lost: 0, unsure: false }
}

/// What is left when code is taken out, as Mattermost and Slack take it out.
fn without_code(text: &str) -> String {
    let outside_blocks = text.split("```").step_by(2).collect::<String>();
    outside_blocks.split('`').step_by(2).collect()
}

/// What is outside of blocks as Mattermost reads them, line by line: only a fence of its own line ends one.
fn outside_fences(text: &str) -> Result<String, String> {
    let (mut inside, mut outside) = (false, String::new());
    for line in text.lines() {
        match inside {
            true if line.trim_matches([' ', '`']).is_empty() && line.contains("```") => {
                inside = false;
            }
            true => {}
            false if line.trim_start().starts_with("```") => inside = true,
            false => outside.extend([line, "\n"]),
        }
    }
    if inside { Err(format!("a block is open: {text}")) } else { Ok(outside) }
}

#[track_caller]
fn is_harmless(text: &str, dialect: Dialect) {
    assert_eq!(text.matches("```").count() % 2, 0, "{text}");
    assert!(!text.contains('@'), "{text}");
    assert!(!text.contains(|sign: char| sign.is_control() && sign != '\n'), "{text:?}");
    // Mattermost's webhooks understand Slack's <!here> and <link|text>, in code, too
    assert!(!text.contains('<'), "{text}");
    if dialect == Dialect::Slack {
        assert!(!text.contains('>'), "{text}");
        assert!(
            text.split('&')
                .skip(1)
                .all(|it| it.starts_with("amp;") || it.starts_with("lt;") || it.starts_with("gt;")),
            "{text}"
        );
    }
    let rest = without_code(text);
    for word in ["http", "everyone", "here", "channel", "evil", "big", "#", ">"] {
        assert!(!rest.contains(word), "{word} in {rest}");
    }
}

#[test]
fn hostile_lines_and_labels_stay_in_their_code() {
    for dialect in [Dialect::Mattermost, Dialect::Slack] {
        let style = Style::new(dialect, 4000, None).unwrap();
        for text in HOSTILE {
            let said = style.notice(&attempt(text, &[text, text, text], 2), START);
            is_harmless(&said, dialect);
        }
        let own = "@channel {host}: {lines} {more} {nothing}";
        let style = Style::new(dialect, 4000, Some(own)).unwrap();
        let said = style.notice(&attempt("web1", &["x"], 1), START);
        // what the administrator wrote is meant
        assert_eq!(said, "@channel `web1`: \n```\nx\n```\nand 9 lines more 9 -");
    }
}

#[test]
fn a_summary_for_programs_has_the_fields_that_one_for_people_has() {
    let mut attempt = attempt("web1", &["x"], 1);
    let alert = &mut attempt.notification.alerts[0];
    alert.labels.insert("site".into(), "a`b".into());
    alert.summary =
        "{status} {alertname} {labels}: {count}, {more} more{summary}{lines} {host} {none}".into();
    assert_eq!(plain_summary(alert), "firing A host=web1 site=a`b: 10, 9 more web1 -");
    alert.ends = Some(START + 1000);
    assert!(plain_summary(alert).starts_with("resolved A "), "{alert:?}");
}

#[test]
fn what_a_template_has_behind_its_lines_is_behind_their_block() {
    let own = "{alertname}{lines} (runbook: {host})";
    let style = Style::new(Dialect::Mattermost, 4000, Some(own)).unwrap();
    let mut whole = attempt("web1", &["x"], 2);
    whole.notification.alerts.iter_mut().for_each(|alert| alert.count = 1);
    let said = style.notice(&whole, START);
    assert_eq!(said, ["A\n```\nx\n```\n (runbook: `web1`)"; 2].join("\n"));
    let style = Style::new(Dialect::Mattermost, 4000, None).unwrap();
    assert!(style.notice(&whole, START).ends_with("\n```\nx\n```"));
}

#[test]
fn no_two_names_look_alike_by_their_blanks() {
    let style = Style::new(Dialect::Mattermost, 4000, Some("{host}")).unwrap();
    for (host, shown) in [
        ("db1", "`db1`"),
        ("db1\u{a0}", "`db1\\u{a0}`"),
        ("\u{2003}", "`\\u{2003}`"),
        ("db1\u{2800}", "`db1\\u{2800}`"),
        (" ", "-"),
    ] {
        assert_eq!(style.notice(&attempt(host, &[], 1), START), shown, "{host:?}");
    }
}

#[test]
fn mattermost_is_left_a_priority_and_no_link() {
    let style = Style::new(Dialect::Mattermost, 4000, Some("{lines}")).unwrap();
    let said = style.notice(&attempt("web1", &["<13>Nov 24 <!here> <a|b> <1|2> <>"], 1), START);
    let line = said.lines().nth(2);
    assert_eq!(line, Some("<13>Nov 24 ‹!here> ‹a|b> ‹1|2> ‹>"), "{said}");
}

#[test]
fn the_limit_is_kept_and_what_does_not_fit_is_counted() {
    let style = Style::new(Dialect::Mattermost, 1000, None).unwrap();
    let said = style.notice(&attempt("web1", &[&"x".repeat(200)], 100), START);
    assert!(said.chars().count() <= 1000 && said.ends_with(" more alerts"), "{said}");
    assert!(said.contains("… and 97 more alerts"), "{said}");
    let mut late = attempt("web1", &["x"], 1);
    late.lost = 7;
    let said = style.notice(&late, START + 600_000);
    assert!(said.starts_with("7 notices before this one could not be told.\n"), "{said}");
    assert!(said.contains("This is of 10m ago"), "{said}");
    late.detail = Detail::Labels;
    let said = style.notice(&late, START);
    assert!(!said.contains("```") && said.contains("web1"), "{said}");
    (late.detail, late.unsure) = (Detail::Names, true);
    let said = style.notice(&late, START);
    assert!(said.contains("This may have been told before") && !said.contains("web1"), "{said}");
    assert!(said.ends_with("**FIRING** A"), "{said}");
}

#[test]
fn lines_that_do_not_fit_are_counted_and_the_newest_stay() {
    let style = Style::new(Dialect::Mattermost, 600, None).unwrap();
    let lines = ["a", "b", "c"].map(|it| it.repeat(150));
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let said = style.notice(&attempt("web1", &lines, 1), START);
    assert!(!said.contains("aaa") && said.contains("bbb") && said.contains("ccc"), "{said}");
    assert!(said.ends_with("and 8 lines more"), "{said}");
}

#[test]
fn foreign_bytes_are_one_line_of_visible_signs() {
    assert_eq!(clean(b"a\nb\x1b[2J\xff\xe2\x80\xae", 100), "a\\nb\\x1b[2J\\xff\\u{202e}");
    assert_eq!(clean(b"abcdef", 3), "abc…");
    assert_eq!(clean(b"abc", 3), "abc");
    assert_eq!(clean(&[b'x'; 1 << 20], 3), "xxx…");
}

proptest! {
    #[test]
    fn no_line_leaves_its_code_and_no_text_is_too_long(
        label in "[`~@<>|&#a!\n\\[\\]() \u{202e}]{0,40}",
        lines in prop::collection::vec("[`~@<>|&#a!\n\\[\\]() \u{202e}]{0,600}", 0..4),
        alerts in 1usize..5,
        limit in 200usize..3000,
        slack: bool,
        more: bool,
        own in prop::option::of(Just("{alertname}{lines} of {host}{lines}, {count}")),
    ) {
        let dialect = if slack { Dialect::Slack } else { Dialect::Mattermost };
        let style = Style::new(dialect, limit, own).unwrap();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let mut attempt = attempt(&label, &lines, alerts);
        if !more {
            let count = lines.len() as u64;
            attempt.notification.alerts.iter_mut().for_each(|alert| alert.count = count);
        }
        let said = style.notice(&attempt, START);
        prop_assert!(said.chars().count() <= limit);
        prop_assert_eq!(said.matches("```").count() % 2, 0);
        prop_assert_eq!(said.replace("```", "").matches('`').count() % 2, 0);
        prop_assert!(!said.contains('@'));
        prop_assert!(!said.contains('<') && (!slack || !said.contains('>')));
        let rest = without_code(&said);
        let outside = outside_fences(&said);
        prop_assert!(outside.is_ok(), "{:?}", outside);
        let outside = outside.unwrap();
        prop_assert!(!outside.split('`').step_by(2).collect::<String>().contains(['!', '[', '~', '|']));
        prop_assert!(!rest.contains(['!', '[', '~', '|']), "{}", rest);
    }

    #[test]
    fn any_bytes_become_short(bytes: Vec<u8>, longest in 1usize..50) {
        let text = clean(&bytes, longest);
        prop_assert!(text.chars().count() <= longest + 1);
        prop_assert!(!text.contains(|sign: char| sign.is_control() && sign != '\t'));
    }
}
