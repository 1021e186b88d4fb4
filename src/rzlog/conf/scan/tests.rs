use super::*;
use proptest::prelude::*;

/// What is found, in short: `2:action(type=omfile file=/x)`, `1:$modload imtcp`.
fn shown(text: &str) -> Vec<String> {
    let items = scan(text.as_bytes()).items;
    items
        .iter()
        .map(|item| match item {
            Item::Statement(it) => {
                let parameters: Vec<_> =
                    it.parameters.iter().map(|p| format!("{}={}", p.name, p.list())).collect();
                let end = if it.closed { ")" } else { "…" };
                format!("{}:{}({}{end}", it.line, it.word, parameters.join(" "))
            }
            Item::Directive(it) => {
                let argument = it.argument.as_ref().map_or("", |argument| &argument.text);
                format!("{}:${} {argument}", it.line, it.name)
            }
        })
        .collect()
}

#[test]
fn statements_are_found_wherever_they_stand() {
    for (text, found) in [
        ("action(type=\"x\")", "1:action(type=x)"),
        ("\n Action \n (\n TYPE = \"x\" )", "2:action(type=x)"),
        ("*.* action(type=\"x\")", "1:action(type=x)"),
        ("local0.*;mail.none,auth.=info\taction(a=\"x\")", "1:action(a=x)"),
        (":msg, contains, \"a\\\"#b\" action(a=\"x\")", "1:action(a=x)"),
        ("if $msg contains 'a then \"b' then { action(a=\"x\") }", "1:action(a=x)"),
        ("if ($a == \"then\") and not ($!b!then == 1) then action(a=\"x\")", "1:action(a=x)"),
        (
            "ruleset(name=\"r\"){if $a==1 then{action(a=\"x\")}else{stop}}",
            "1:ruleset(name=r)|1:action(a=x)",
        ),
        ("set $.a = \"/* \" & '# then '; action(a=\"x\")", "1:action(a=x)"),
        ("foreach ($.i in $!x) do { action(a=\"x\") }", "1:action(a=x)"),
        ("call rs action(a=\"x\")", "1:action(a=x)"),
        ("reload_lookup_table(\"t\", 'x)') action(a=\"x\")", "1:action(a=x)"),
        ("& action(a=\"x\")\n& ~", "1:action(a=x)"),
        ("!prog\n*.* /dev/null\n+host\naction(a=\"x\")", "4:action(a=x)"),
        ("root,alice\naction(a=\"x\")", "2:action(a=x)"),
        ("/* a */ action(/* b=\"y\" */ a=\"x\" # )\n) stop", "1:action(a=x)"),
        ("action(a=\")\" b=[\"1\", # 2\n \"3\" ] c=\"\")", "1:action(a=) b=1,3 c=)"),
        ("action(a=`echo $X` d)", "1:action(a=echo $X d=)"),
        ("$ModLoad imtcp # x\n$Foo\naction(a=\"x\")", "1:$modload imtcp|2:$foo |3:action(a=x)"),
        (
            "$IncludeConfig\n\n  /a/*.conf action(a=\"x\")",
            "1:$includeconfig /a/*.conf|3:action(a=x)",
        ),
        ("ac\\\n   tion(ty\\  \n\tpe=\"x\")\nb(c=\"y\")", "1:action(type=x)|4:b(c=y)"),
        ("# a \\ b\naction(a=\"x\")\r\nb(c=\"y\")\r\n", "2:action(a=x)|3:b(c=y)"),
        ("action(a=\"x\"", "1:action(a=x…"),
        ("action(a=\"x)\naction(b=\"y\")", "1:action(a=x)\naction(b= y=…"),
    ] {
        assert_eq!(shown(text).join("|"), found, "{text}");
    }
}

#[test]
fn what_rsyslog_takes_for_no_statement_is_none() {
    for text in [
        "# action(a=\"x\")",
        "# goes on \\\n  action(a=\"x\")",
        "#\\ \t\r\n action(a=\"x\")",
        "/* action(a=\"x\") */",
        "/* \n action(a=\"x\")",
        "*.* /var/log/action(a=\"x\")",
        "*.* -/var/log/x;action(a=\"x\")",
        "*.* |/run/pipe action(a=\"x\")",
        "*.* @host:514;action(a=\"x\")",
        "*.* ^/bin/x;action(a=\"x\")",
        "*.* :omusrmsg:action(a=\"x\")",
        "$template t,\"action(a=\\\"x\\\")\"",
        "if $msg contains 'action(a=\"x\")' then stop",
        "set $.a = \"action(a='x')\";",
        "if $x == 1 action(a=\"x\")",
        ":msg, contains, \"action(a='x')\" stop",
        "\0action(a=\"x\")",
    ] {
        let found = shown(text);
        assert!(found.iter().all(|item| item.contains(":$")), "{text}: {found:?}");
    }
}

#[test]
fn values_are_what_rsyslog_makes_of_them() {
    let text = r#"a(b="x\"y\\z\t\101\x41\?\q" c="om\
        czmq" d="plain")"#;
    let items = scan(text.as_bytes()).items;
    let Item::Statement(statement) = &items[0] else { panic!() };
    assert_eq!(statement.text("b"), Some("x\"y\\z\tAA??"));
    assert_eq!(statement.text("c"), Some("omczmq"));
    let value = |name| statement.get(name).and_then(Parameter::value).cloned().unwrap();
    assert!(!value("b").plain && !value("c").plain && value("d").plain);
    assert_eq!(&text[value("d").inner], "plain");
    assert_eq!(&text[value("c").inner], "om\\\n        czmq");
    assert_eq!(statement.get("d").unwrap().line, 2);
}

#[test]
fn a_long_line_is_several() {
    let long = format!("#{}{}", "x".repeat(10_238), "action(a=\"x\")\nb(c=\"y\")");
    assert_eq!(shown(&long), ["1:action(a=x)", "2:b(c=y)"]);
    let inside = format!("{}a(b=\"{}\" c=\"d\")", " ".repeat(10_230), "x".repeat(10));
    assert_eq!(shown(&inside), ["1:a(b=xxxx\nxxxxxx c=d)"]);
    holds(inside.as_bytes());
}

/// Found by fuzzing: a blank, or a backslash, at the end of the file.
#[test]
fn a_text_that_is_not_closed_is_as_it_stands() {
    holds(b"a(b=\"c ");
    holds(b"a(b=\"\\");
}

#[test]
fn comments_are_known() {
    let text = "a(b=\"#\" # one\n) /* two */ # three\nif $a == '/*' then /**/ stop";
    let comments: Vec<_> =
        scan(text.as_bytes()).comments.iter().map(|it| &text[it.clone()]).collect();
    assert_eq!(comments, ["# one", "/* two */", "# three", "/**/"]);
}

/// Whatever the text is: what was found stands there, in order.
fn holds(text: &[u8]) {
    let Scan { items, comments } = scan(text);
    let mut before = 0;
    for item in &items {
        let Item::Statement(statement) = item else { continue };
        assert!(statement.span.start >= before && statement.span.end <= text.len());
        before = statement.span.start;
        let lines = text[..statement.span.start].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(statement.line, lines + 1);
        let mut at = statement.span.start;
        for value in statement.parameters.iter().flat_map(|parameter| &parameter.values) {
            assert!(at <= value.inner.start && value.inner.end <= statement.span.end);
            at = value.inner.end;
            if value.plain {
                assert_eq!(&text[value.inner.clone()], value.text.as_bytes());
            }
        }
    }
    assert!(
        comments.iter().all(|comment| comment.start < comment.end && comment.end <= text.len())
    );
    assert!(comments.is_sorted_by(|a, b| a.end <= b.start));
}

/// Pieces that go together, with what is found in them.
fn piece() -> impl Strategy<Value = (&'static str, usize)> {
    prop_oneof![
        Just(("action(type=\"omczmq\" a=[\"1\",\"2\"])\n", 1)),
        Just(("# action(type=\"omczmq\")\n", 0)),
        Just(("/* action( */\n", 0)),
        Just(("*.* /var/log/action(x)\n", 0)),
        Just(("*.info\tmodule(load=\"x\" # )\n )\n", 1)),
        Just((":msg, contains, \"(\" action(\\\n  a=\"\\\"\")\n", 1)),
        Just(("if $a == 'then (' then { input(a=\"}\") }\n", 1)),
        Just(("set $.a = \"x;\" & \"(\";\n", 0)),
        Just(("$template t,\"%msg%\\n\" \\\n  action(a=\"x\")\n", 0)),
        Just(("ruleset(name=\"r\") { stop }\n", 1)),
        Just(("call rs\n", 0)),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration(text: Vec<u8>) {
        holds(&text);
    }

    #[test]
    fn nearly_a_configuration_is_one(
        text in "([ \\n\\\\\"'`#/*(){}\\[\\]=,;:.!+-]|a|\\$a|\\*\\.\\*|if|then|action\\(|b=\"x\"|\\\\\n|\0|\r)*"
    ) {
        holds(text.as_bytes());
    }

    #[test]
    fn no_statement_hides_another(pieces in prop::collection::vec(piece(), 0..20)) {
        let text: String = pieces.iter().map(|(text, _)| *text).collect();
        let items = scan(text.as_bytes()).items;
        let found = items.iter().filter(|item| matches!(item, Item::Statement(_))).count();
        prop_assert_eq!(found, pieces.iter().map(|(_, count)| count).sum::<usize>(), "{}", text);
        holds(text.as_bytes());
    }
}
