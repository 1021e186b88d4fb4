use super::super::clock::Span;
use super::{Bench, START};

#[test]
fn a_threshold_has_a_hold_time_and_room_to_swing() {
    let mut bench = Bench::new(
        "match = 'bad'\nfor = \"10s\"\nkeep_firing_for = \"20s\"\n\
         threshold = { count = 10, window = \"60s\", clear = 3 }",
    );
    bench.says("web1", 14, "bad", 9);
    bench.says("web1", 14, "good", 9);
    bench.passes(30);
    assert_eq!(bench.changed(), "");
    bench.says("web1", 14, "bad", 1);
    bench.passes(9);
    // not for long enough yet
    assert_eq!(bench.changed(), "");
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
    // below the limit and above clear: it goes on
    for _ in 0..30 {
        bench.passes(10);
        bench.says("web1", 14, "bad", 1);
    }
    assert_eq!(bench.changed(), "");
    // calm, but not for long enough, again and again
    for _ in 0..5 {
        bench.passes(40);
        bench.says("web1", 14, "bad", 5);
    }
    assert_eq!(bench.changed(), "");
    let alert = bench.engine.alert("A\u{1f}web1").unwrap();
    assert_eq!((alert.count, alert.lines.len()), (10 + 30 + 25, 3));
    bench.passes(90);
    assert_eq!(bench.changed(), "RESOLVED host=web1");
}

#[test]
fn a_burst_that_ends_within_the_hold_time_is_none() {
    let mut bench = Bench::new(
        "for = \"2m\"\nthreshold = { count = 10, window = \"60s\" }\nseverity = \"err\"",
    );
    bench.says("web1", 11, "x", 10);
    bench.says("web2", 14, "not grave", 100);
    bench.passes(300);
    assert_eq!(bench.changed(), "");
}

#[test]
fn a_rate_is_compared_with_its_past() {
    let mut bench = Bench::new(
        "at_least = 50\nbaseline = { window = \"1m\", past = \"30m\", factor = 3 }\n\
         keep_firing_for = \"1m\"",
    );
    // too little is known yet
    bench.says("web1", 14, "x", 1000);
    bench.passes(60);
    // twenty a minute for an hour, then thirty, then a hundred
    for per_minute in std::iter::repeat_n(20, 60).chain(std::iter::repeat_n(30, 5)) {
        bench.says("web1", 14, "x", per_minute);
        bench.passes(60);
    }
    assert_eq!(bench.changed(), "");
    bench.says("web1", 14, "x", 100);
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
    let alert = bench.engine.alert("A\u{1f}web1").unwrap();
    assert!(alert.what.starts_with("100 lines within 1m, 2"), "{}", alert.what);
    for _ in 0..5 {
        bench.passes(60);
        bench.says("web1", 14, "x", 20);
    }
    assert_eq!(bench.changed(), "RESOLVED host=web1");
    // few lines are never much
    let mut bench =
        Bench::new("at_least = 50\nbaseline = { window = \"1m\", past = \"30m\", factor = 3 }");
    bench.passes(3600);
    bench.says("web1", 14, "x", 49);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
}

#[test]
fn a_past_is_known_in_time_whatever_the_clock_s_steps_are() {
    let mut bench =
        Bench::new("at_least = 50\nbaseline = { window = \"1m\", past = \"5m\", factor = 3 }");
    // looked at every 1.2 seconds, as a driver that also waits for lines may do
    for step in 0..400 {
        bench.now += 1200;
        if step % 50 == 0 {
            bench.says("web1", 14, "x", 20);
        }
        assert!(bench.engine.tick(bench.now).is_empty());
    }
    bench.says("web1", 14, "x", 100);
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
}

#[test]
fn a_publisher_that_is_away_keeps_nobody_from_judging_the_others() {
    let mut bench = Bench::new(
        "by = [\"host\"]\nat_least = 50\nkeep_firing_for = \"10s\"\n\
         baseline = { window = \"1m\", past = \"10m\", factor = 3 }",
    );
    bench.engine.connection(bench.now, "tcp://b:2", false);
    for _ in 0..15 {
        bench.says("web1", 14, "x", 20);
        bench.passes(60);
    }
    bench.says("web1", 14, "x", 100);
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
    // of the other too little is known when it comes, over a restart, too
    bench.restart(1);
    bench.engine.connection(bench.now, "tcp://b:2", true);
    for _ in 0..120 {
        bench.hears("tcp://b:2", Span(0), "web2", "x");
    }
    bench.passes(120);
    assert_eq!(bench.changed(), "RESOLVED host=web1");
    bench.passes(600);
    for _ in 0..120 {
        bench.hears("tcp://b:2", Span(0), "web2", "x");
        bench.hears("tcp://b:2", Span(0), "web3", "x");
    }
    bench.passes(2);
    // a hundred and twenty in ten minutes are usual for the one
    assert_eq!(bench.changed(), "FIRING host=web2; FIRING host=web3");
}

#[test]
fn a_share_is_compared_with_its_past_and_a_new_host_is_given_time() {
    let mut bench = Bench::new(
        "severity = \"err\"\nat_least = 20\nkeep_firing_for = \"1m\"\n\
         baseline = { window = \"1m\", past = \"20m\", factor = 3, share = true, floor = 0.05 }",
    );
    let minute = |bench: &mut Bench, errors: usize, others: usize| {
        bench.says("web1", 11, "x", errors);
        bench.says("web1", 14, "x", others);
        bench.passes(60);
    };
    minute(&mut bench, 90, 10);
    (0..30).for_each(|_| minute(&mut bench, 2, 98));
    // ten times as many lines, and the same share of errors
    minute(&mut bench, 20, 980);
    assert_eq!(bench.changed(), "");
    bench.says("web1", 11, "x", 30);
    bench.says("web1", 14, "x", 70);
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
    (0..4).for_each(|_| minute(&mut bench, 2, 98));
    assert_eq!(bench.changed(), "RESOLVED host=web1");
}

#[test]
fn only_a_kind_of_line_that_was_never_there_is_news() {
    let mut bench = Bench::new("new_pattern = { learn = \"1h\" }");
    bench.says("web1", 14, "job 1 done", 1);
    bench.passes(3600);
    bench.says("web2", 14, "job 77 done", 1);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
    bench.says("web1", 14, "disk sda1 fails", 1);
    bench.says("web1", 14, "disk sdb2 fails", 2);
    bench.passes(60);
    assert_eq!(bench.changed(), "FIRING pattern=disk # fails program=app");
    let alert = bench.engine.alert("A\u{1f}app\u{1f}disk # fails").unwrap();
    assert_eq!((alert.count, alert.lines.len()), (3, 3));
    bench.passes(3700);
    assert_eq!(bench.changed(), "RESOLVED pattern=disk # fails program=app");
    // once is once, over a restart, too
    bench.restart(60);
    bench.says("web3", 14, "disk sdc3 fails", 1);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
}

#[test]
fn a_kind_that_nobody_was_told_of_is_still_new() {
    let mut bench = Bench::new("at_least = 3\nlimit = 2\nnew_pattern = { learn = \"0s\" }");
    bench.says("web1", 14, "too few of this", 2);
    bench.passes(3700);
    // after an hour they count anew, and so it is new when they are enough
    bench.says("web1", 14, "too few of this", 2);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
    bench.restart(10);
    bench.says("web1", 14, "too few of this", 1);
    bench.says("web1", 14, "another kind", 3);
    // more than the limit: together, and each by itself when there is room
    bench.says("web1", 14, "a third", 2);
    bench.says("web1", 14, "a fourth", 2);
    bench.passes(1);
    let others = "FIRING pattern=(others) program=(others)";
    assert_eq!(
        bench.changed(),
        format!(
            "{others}; FIRING pattern=another kind program=app; \
             FIRING pattern=too few of this program=app"
        )
    );
    let what = bench.engine.firing().remove(0).what;
    assert_eq!(what, "4 lines within 1h of further kinds, not seen before");
    assert!(bench.engine.full()[0].contains("over 2 groups"));
    bench.passes(7400);
    bench.changed();
    bench.says("web1", 14, "a third", 3);
    bench.says("web1", 14, "another kind", 3);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING pattern=a third program=app");
}

#[test]
fn kinds_that_are_seen_stay_known_however_many_others_there_are() {
    let mut bench = Bench::new("new_pattern = { learn = \"1h\" }");
    bench.says("web1", 14, "a usual line", 1);
    bench.says("web1", 14, "a rare line", 1);
    for round in 0..30 {
        bench.says("web1", 14, "a usual line", 1);
        for number in 0..3000_u32 {
            let word: String = number.to_string().bytes().map(|it| char::from(it + 49)).collect();
            let of = char::from(b'a' + round);
            bench.says("web1", 14, &format!("{of} {word}"), 1);
        }
    }
    let size = serde_json::to_string(&bench.engine.save()).unwrap().len();
    assert!(size < 1_200_000, "{size}");
    bench.passes(3700);
    bench.says("web1", 14, "a usual line", 1);
    bench.says("web1", 14, "a rare line", 1);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING pattern=a rare line program=app");
}

#[test]
fn what_is_old_by_its_own_time_does_not_count() {
    let mut bench = Bench::new(
        "threshold = { count = 3, window = \"5m\" }\nmax_age = \"1m\"\n\
         [[rules]]\nalert = \"B\"\nthreshold = { count = 3, window = \"5m\" }\nmax_age = \"1d\"\n\
         [[rules]]\nalert = \"S\"\nsilent = { after = \"5m\" }\nat_least = 3\n",
    );
    for _ in 0..10 {
        bench.hears("tcp://a:1", Span::minutes(61), "web1", "x");
    }
    bench.passes(1);
    // the second's alone
    assert_eq!(bench.changed(), "FIRING host=web1");
    let told = bench.engine.old(bench.now).unwrap_or_default();
    assert!(
        told.starts_with("10 lines too old") && told.contains("1h1m old, of host web1"),
        "{told}"
    );
    bench.hears("tcp://a:1", Span::minutes(61), "web1", "x");
    assert_eq!(bench.engine.old(bench.now), None);
    bench.passes(601);
    assert!(bench.engine.old(bench.now).is_some_and(|told| told.starts_with("1 line too old")));
    bench.changed();
    // who sends old lines is alive, and who sent nothing else is nobody to be missed
    for _ in 0..3 {
        bench.hears("tcp://a:1", Span(60_000), "web2", "x");
    }
    for hour in 1..4 {
        bench.passes(200);
        bench.hears("tcp://a:1", Span::minutes(hour * 61), "web2", "x");
    }
    assert!(!bench.changed().contains("S "), "nobody is silent");
    bench.passes(400);
    assert!(bench.engine.firing().iter().any(|it| it.id == "S\u{1f}web2"));
    assert!(!bench.engine.firing().iter().any(|it| it.id == "S\u{1f}web1"));
}

#[test]
fn a_clock_that_is_behind_is_no_backlog() {
    let mut bench = Bench::new("threshold = { count = 3, window = \"10m\" }");
    // an hour that comes at once, and one that comes in a minute
    for second in 0..100 {
        bench.hears("tcp://a:1", Span::minutes(70), "relayed", "x");
        bench.hears("tcp://a:1", Span(3_600_000 + (100 - second) * 12_000), "back", "x");
    }
    for second in 0..90 {
        bench.passes(1);
        bench.hears("tcp://a:1", Span(3_600_000 - second * 20_000), "back", "x");
    }
    // another zone, with a little delay
    for second in 0..6 {
        bench.hears("tcp://a:1", Span(7_200_000 + second * 500), "zone", "x");
        bench.passes(20);
    }
    assert_eq!(bench.changed(), "FIRING host=zone");
    let told = bench.engine.old(bench.now).unwrap_or_default();
    assert!(
        told.ends_with("; clocks that are behind, whose lines count though: zone (2h1s)"),
        "{told}"
    );
    // set right, and then wrong otherwise
    bench.passes(700);
    bench.hears("tcp://a:1", Span::minutes(60), "zone", "x");
    assert!(bench.engine.old(bench.now).is_some_and(|told| told.starts_with("1 line too old")));
}

#[test]
fn a_silent_rule_says_of_whom_it_knows_nothing_but_old_lines() {
    let mut bench = Bench::new("silent = { after = \"5m\" }\nat_least = 1");
    bench.hears("tcp://a:1", Span::minutes(61), "web1", "x");
    let told = bench.engine.old(bench.now).unwrap_or_default();
    assert!(told.starts_with("1 line too old") && told.ends_with("of host web1"), "{told}");
    bench.says("web2", 14, "x", 1);
    bench.passes(700);
    bench.hears("tcp://a:1", Span::minutes(61), "web2", "x");
    assert_eq!(bench.engine.old(bench.now), None);
}

#[test]
fn hosts_beyond_the_limit_of_silence_are_told_of() {
    let mut bench = Bench::new("silent = { after = \"5m\" }\nat_least = 3\nlimit = 2");
    ["web1", "web2", "web3"].iter().for_each(|host| bench.says(host, 14, "x", 3));
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=(others)");
    let alert = bench.engine.firing().remove(0);
    assert_eq!(alert.what, "there are more than 2 (limit): further ones are not watched");
    assert!(bench.engine.full()[0].ends_with("further ones are not watched"));
    bench.passes(3601);
    assert_eq!(bench.changed(), "FIRING host=web1; FIRING host=web2; RESOLVED host=(others)");
    // unless it says otherwise, it has the most
    assert_eq!(Bench::new("silent = { after = \"5m\" }").rules()[0].limit, 10_000);
    assert_eq!(Bench::new("").rules()[0].limit, 1_000);
}

#[test]
fn what_was_learnt_outlives_an_edit_of_texts_and_limits() {
    let mut bench = Bench::new("match = 'bad'\nthreshold = { count = 10, window = \"10m\" }");
    bench.says("web1", 14, "bad", 5);
    bench.edit("count = 10", "count = 6");
    bench.edit("match", "summary = \"{host}\"\nlines = 1\nfor = \"1s\"\nmatch");
    bench.says("web1", 14, "bad", 1);
    bench.passes(3);
    assert_eq!(bench.changed(), "FIRING host=web1");
    assert_eq!(bench.engine.firing()[0].summary, "{host}");
    bench.edit("'bad'", "'worse'");
    assert!(bench.engine.firing().is_empty());
}

#[test]
fn a_host_is_silent_when_it_is_the_hosts_silence() {
    let mut bench = Bench::new("silent = { after = \"5m\" }\nat_least = 3");
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.says("web1", 14, "x", 3);
    // one that said hardly anything is not missed
    bench.says("once", 14, "x", 2);
    bench.passes(299);
    assert_eq!(bench.changed(), "");
    bench.passes(2);
    assert_eq!(bench.changed(), "FIRING host=web1");
    bench.restart(60);
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.passes(600);
    assert_eq!(bench.changed(), "");
    bench.says("web1", 14, "x", 1);
    bench.passes(1);
    assert_eq!(bench.changed(), "RESOLVED host=web1");
    // while its publisher is away nobody can know
    bench.engine.connection(bench.now, "tcp://a:1", false);
    bench.passes(3000);
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.passes(200);
    assert_eq!(bench.changed(), "");
    // nor while nobody listened
    bench.restart(3000);
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.passes(200);
    assert_eq!(bench.changed(), "");
    bench.passes(1200);
    assert_eq!(bench.changed(), "FIRING host=web1");
}

#[test]
fn a_silence_is_told_as_long_as_it_is_also_while_its_publisher_is_away() {
    let mut bench = Bench::new("silent = { after = \"5m\" }\nat_least = 3");
    bench.says("web1", 14, "x", 3);
    bench.passes(600);
    assert_eq!(bench.changed(), "FIRING host=web1");
    let what = |bench: &mut Bench| bench.engine.alert("A\u{1f}web1").unwrap().what;
    assert_eq!(what(&mut bench), "no line for 10m, 3 before");
    bench.engine.connection(bench.now, "tcp://a:1", false);
    bench.passes(600);
    assert_eq!(what(&mut bench), "no line for 20m, 3 before");
}

#[test]
fn a_host_that_was_taken_away_is_not_missed_for_ever() {
    let mut bench = Bench::new("silent = { after = \"5m\", forget = \"1h\" }\nat_least = 3");
    bench.says("web1", 14, "x", 3);
    bench.passes(3590);
    assert_eq!(bench.changed(), "FIRING host=web1");
    bench.passes(20);
    assert_eq!(bench.changed(), "RESOLVED host=web1");
    bench.passes(7200);
    assert_eq!(bench.changed(), "");
    // it may come back
    bench.says("web1", 14, "x", 3);
    bench.passes(400);
    assert_eq!(bench.changed(), "FIRING host=web1");
}

#[test]
fn a_host_that_is_quiet_by_nature_is_given_twice_its_pauses() {
    let mut bench = Bench::new("silent = { after = \"5m\" }\nat_least = 5");
    for _ in 0..50 {
        bench.says("web1", 14, "once in a while", 1);
        bench.passes(1800);
    }
    bench.passes(1700);
    assert_eq!(bench.changed(), "");
    bench.passes(200);
    assert_eq!(bench.changed(), "FIRING host=web1");
}

#[test]
fn a_publisher_that_is_away_for_a_while_is_lost() {
    let mut bench = Bench::new("lost = {}\nfor = \"1m\"");
    bench.engine.connection(bench.now, "tcp://a:1", false);
    bench.passes(30);
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
    bench.engine.connection(bench.now, "tcp://a:1", false);
    bench.passes(70);
    assert_eq!(bench.changed(), "FIRING endpoint=tcp://a:1");
    bench.engine.connection(bench.now, "tcp://a:1", true);
    bench.passes(1);
    assert_eq!(bench.changed(), "RESOLVED endpoint=tcp://a:1");
}

#[test]
fn a_publisher_that_drops_lines_is_told_of_until_it_drops_none() {
    let mut bench =
        Bench::new("missed = { count = 10, window = \"5m\" }\nkeep_firing_for = \"1m\"");
    bench.engine.missed(bench.now, "tcp://b:2", 9);
    bench.engine.missed(bench.now, "tcp://a:1", 4);
    bench.says("web1", 14, "a line is none that is missing", 50);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
    bench.engine.missed(bench.now, "tcp://a:1", u64::MAX);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING endpoint=tcp://a:1");
    let alert = bench.engine.firing().remove(0);
    assert!(alert.what.contains("within 5m were dropped") && alert.count == 0, "{alert:?}");
    bench.passes(300);
    assert_eq!(bench.changed(), "");
    bench.passes(80);
    assert_eq!(bench.changed(), "RESOLVED endpoint=tcp://a:1");
}

#[test]
fn a_restart_neither_forgets_nor_repeats_and_a_changed_rule_begins_anew() {
    let mut bench = Bench::new("match = 'bad'\nthreshold = { count = 10, window = \"10m\" }");
    bench.says("web1", 14, "bad", 6);
    bench.passes(1);
    bench.restart(30);
    bench.says("web1", 14, "bad", 4);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=web1");
    bench.restart(30);
    bench.passes(60);
    assert_eq!(bench.changed(), "");
    bench.rule = bench.rule.replace("'bad'", "'worse'");
    bench.restart(30);
    bench.passes(3600);
    assert!(bench.engine.firing().is_empty());
}

#[test]
fn a_flood_of_groups_is_bounded_and_still_counted() {
    let mut bench = Bench::new("limit = 10\nthreshold = { count = 100, window = \"10m\" }");
    for number in 0..1000 {
        bench.says(&format!("host{number}"), 14, "x", 1);
    }
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=(others)");
    let full = bench.engine.full();
    assert!(full.len() == 1 && full[0].contains("over 10 groups"), "{full:?}");
    assert!(bench.engine.full().is_empty());
    let size = serde_json::to_string(&bench.engine.save()).unwrap().len();
    assert!(size < 20_000, "{size}");
    bench.passes(1200);
    assert_eq!(bench.changed(), "RESOLVED host=(others)");
    assert_eq!(bench.now, START + 1_201_000);
}

#[test]
fn a_reload_interrupts_nothing_and_a_rule_that_was_changed_begins_anew() {
    let mut bench = Bench::new("silent = { after = \"60s\" }\nat_least = 3");
    bench.says("web1", 14, "x", 3);
    bench.passes(40);
    // somebody listened all the time, so the silence goes on
    bench.reload("\n[[rules]]\nalert = \"B\"\nlost = {}\n");
    bench.passes(30);
    assert_eq!(bench.changed(), "FIRING host=web1");
    bench.reload("[[rules]]\nalert = \"C\"\nthreshold = { count = 3, window = \"5m\" }\n");
    bench.says("web1", 14, "x", 2);
    bench.passes(1);
    assert_eq!(bench.changed(), "RESOLVED host=web1");
    bench.reload("");
    bench.says("web1", 14, "x", 1);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=web1");
    bench.reload("match = 'other lines'\n");
    assert!(bench.engine.firing().is_empty());
    // who is not connected is known to rules that are new
    bench.engine.connection(bench.now, "tcp://a:1", false);
    bench.reload("[[rules]]\nalert = \"D\"\nlost = {}\n");
    bench.passes(1);
    let both = "FIRING endpoint=tcp://a:1; FIRING endpoint=tcp://a:1";
    assert_eq!(bench.changed(), both);
}

#[test]
fn what_was_the_case_is_told_though_it_is_over_by_then() {
    let mut bench = Bench::new("match = 'bad'\nthreshold = { count = 3, window = \"20s\" }");
    bench.says("web1", 14, "bad", 3);
    bench.passes(1);
    let what = |bench: &mut Bench| bench.engine.alert("A\u{1f}web1").unwrap().what;
    assert_eq!(what(&mut bench), "3 lines within 20s, limit 3");
    bench.says("web1", 14, "bad", 2);
    bench.passes(1);
    assert_eq!(what(&mut bench), "5 lines within 20s, limit 3");
    // as it is after group_wait, when the group is told
    bench.passes(30);
    assert_eq!(what(&mut bench), "5 lines within 20s, limit 3");
    bench.restart(10);
    bench.passes(1);
    assert_eq!(what(&mut bench), "5 lines within 20s, limit 3");
    // a state of a version that kept no words
    let words = ",\"what\":\"5 lines within 20s, limit 3\"";
    bench.restart_from(10, |saved| {
        assert!(saved.contains(words), "{saved}");
        saved.replace(words, "")
    });
    bench.passes(1);
    assert_eq!(what(&mut bench), "0 lines within 20s, limit 3");
}

#[test]
fn nobody_can_take_the_place_of_the_others() {
    let mut bench = Bench::new("limit = 2\nthreshold = { count = 3, window = \"10m\" }");
    bench.says("(others)", 14, "x", 3);
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=\\x28others)");
    ["web1", "web2", "web3", "web4"].iter().for_each(|host| bench.says(host, 14, "x", 1));
    bench.passes(1);
    assert_eq!(bench.changed(), "FIRING host=(others)");
}
