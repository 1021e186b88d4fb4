//! LogTalez's way of writing options: `-endpoints`, with one dash or two, after `rzlog` or `rzlog tail`.
//!
//! They become ours before the command line is read: two dashes, and `tail` where no command is named.

use std::ffi::OsString;

/// All options of LogTalez.
const OPTIONS: [&str; 5] = ["endpoints", "topics", "servercertpath", "clientcertpath", "json"];

/// The arguments, the program's name first, in our way of writing.
pub(crate) fn translate(arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(first) = arguments.get(1).and_then(|first| first.to_str()) else { return arguments };
    let names_no_command = option(first).is_some();
    let is_tail = names_no_command || first == "tail";
    if !is_tail {
        return arguments;
    }
    let old = names_no_command
        || arguments
            .iter()
            .skip(2)
            .filter_map(|it| it.to_str())
            .any(|it| option(it).is_some() && !it.starts_with("--"));
    let mut translated = Vec::with_capacity(arguments.len() + 2);
    let mut rest = arguments.into_iter();
    translated.extend(rest.next());
    if names_no_command {
        translated.push("tail".into());
    } else {
        translated.extend(rest.next());
    }
    if old {
        translated.push("--logtalez".into());
    }
    translated.extend(options(rest, old));
    translated
}

/// In our way of writing. Of an option that is there twice the last one counts for LogTalez; our lists are joined.
fn options(mut arguments: impl Iterator<Item = OsString>, old: bool) -> Vec<OsString> {
    let mut all: Vec<(Option<String>, Vec<OsString>)> = Vec::new();
    while let Some(argument) = arguments.next() {
        let Some(option) = argument.to_str().and_then(option) else {
            all.push((None, vec![argument]));
            continue;
        };
        let name = option.split('=').next().map(str::to_owned);
        let mut words = Vec::from_iter(ours(option));
        if option != "json" && !option.contains('=') {
            words.extend(arguments.next());
        }
        if old {
            all.retain(|(earlier, _)| *earlier != name);
        }
        all.push((name, words));
    }
    all.into_iter().flat_map(|(_, words)| words).collect()
}

/// Go's ways to say yes and no to a switch; no is as if it were not there.
const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const NO: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

fn ours(option: &str) -> Option<OsString> {
    match option.strip_prefix("json=") {
        Some(said) if YES.contains(&said) => Some("--json".into()),
        Some(said) if NO.contains(&said) => None,
        _ => Some(format!("--{option}").into()),
    }
}

/// `endpoints=…` of `-endpoints=…` or `--endpoints=…`, if it is one of LogTalez's.
fn option(argument: &str) -> Option<&str> {
    let text = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    let name = text.split('=').next()?;
    OPTIONS.contains(&name).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from).collect();
        let all = translate(arguments).into_iter().map(|it| it.into_string().unwrap());
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn logtalez_is_understood_with_one_dash_and_two() {
        let ours = "rzlog tail --logtalez --endpoints tcp://a:1,tcp://b:2 --topics h1.p --json";
        for theirs in [
            "rzlog -endpoints tcp://a:1,tcp://b:2 -topics h1.p -json",
            "rzlog --endpoints tcp://a:1,tcp://b:2 --topics h1.p --json",
            "rzlog tail -endpoints tcp://a:1,tcp://b:2 -topics h1.p -json",
            "rzlog tail --endpoints tcp://a:1,tcp://b:2 -topics h1.p -json=true",
        ] {
            assert_eq!(translated(theirs), ours);
        }
        for (theirs, ours) in [("-json=T", " --json"), ("--json=1", " --json"), ("-json=false", "")]
        {
            let line = format!("rzlog -endpoints tcp://a:1 {theirs}");
            let expected = format!("rzlog tail --logtalez --endpoints tcp://a:1{ours}");
            assert_eq!(translated(&line), expected);
        }
        assert_eq!(
            translated("rzlog -endpoints=tcp://a:1 -servercertpath=/s -clientcertpath *"),
            "rzlog tail --logtalez --endpoints=tcp://a:1 --servercertpath=/s --clientcertpath *"
        );
    }

    #[test]
    fn of_an_option_that_is_there_twice_the_last_one_counts() {
        for theirs in [
            "rzlog -endpoints tcp://a:1 -topics h1 -json -topics h2 -endpoints=tcp://b:2",
            "rzlog tail -endpoints tcp://a:1 -topics=h1 -json --topics h2 --endpoints=tcp://b:2",
            "rzlog -endpoints tcp://a:1 -json=false -json -topics h2 -endpoints=tcp://b:2",
        ] {
            let ours = "rzlog tail --logtalez --json --topics h2 --endpoints=tcp://b:2";
            assert_eq!(translated(theirs), ours);
        }
        let no = translated("rzlog -json -topics h1 -json=false");
        assert_eq!(no, "rzlog tail --logtalez --topics h1");
    }

    #[test]
    fn what_is_ours_stays() {
        for line in [
            "rzlog",
            "rzlog --help",
            "rzlog tail @prod -e tcp://a:1",
            "rzlog tail --endpoints tcp://a:1 --json",
            "rzlog tail --topics h1 --topics h2 --endpoints=tcp://a:1 --endpoints tcp://b:2",
            "rzlog keys show -json",
        ] {
            assert_eq!(translated(line), line);
        }
    }
}
