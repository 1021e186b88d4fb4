//! The table as plain text, once: for scripts, and where no terminal is.
//!
//! Columns are separated by blanks, and no name has any in it: `awk` finds them. The newest line is the
//! last column, up to the end. No name is cut, and a long one widens nothing but its own row.

use std::time::Duration;

use super::lens::{By, Lens};
use super::picture::{names, said, titles};
use super::table::Table;
use super::words::{grade, pad, width};

const NUMBERS: [&str; 4] = ["lines/s", "errors/s", "lines", "errors"];
const NEWEST: [&str; 3] = ["ago", "severity_of_newest", "newest"];
/// Columns are no wider for the sake of a longer name.
const WIDEST: usize = 40;

/// The table, sorted, with a head.
pub(super) fn text(table: &Table, lens: &Lens, now: Duration) -> String {
    let mut entries = table.entries(lens, now);
    lens.order.sort(&mut entries);
    let mut rows = vec![head(lens)];
    // our own words, or a foreign name
    let blank = if lens.by == By::Publisher { "_" } else { "\\x20" };
    for entry in &entries {
        let mut row = vec![
            format!("{:.1}", entry.rate),
            format!("{:.1}", entry.error_rate),
            entry.lines.to_string(),
            entry.errors.to_string(),
        ];
        row.extend(names(&entry.key, table, now));
        let newest = entry.newest.as_ref();
        row.push(newest.map_or("-".into(), |it| now.saturating_sub(it.at).as_secs().to_string()));
        row.push(newest.map_or("-", |it| grade(it.place.grade)).to_owned());
        row.iter_mut().for_each(|name| *name = name.replace(' ', blank));
        row.push(newest.map_or(String::new(), |it| said(&entry.key, &it.place, it.message)));
        rows.push(row);
    }
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| width(cell)).filter(|wide| *wide <= WIDEST).max().unwrap_or(0)
    };
    let last = rows.first().map_or(0, |head| head.len() - 1);
    let rooms: Vec<_> = (0..last).map(widest).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, room)) in row.iter().zip(&rooms).enumerate() {
            line += &pad(cell, width(cell).max(*room), column < NUMBERS.len());
            line += "  ";
        }
        line += row.last().map_or("", String::as_str);
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn head(lens: &Lens) -> Vec<String> {
    let all = NUMBERS.iter().chain(titles(lens.by)).chain(&NEWEST);
    all.map(|title| (*title).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rzlog_client::{Line, Severity};

    const ENDPOINT: &str = "tcp://a:1";

    #[test]
    fn a_script_finds_its_columns() {
        let mut table = Table::new([ENDPOINT, "tcp://b:2"].into_iter(), 100);
        for text in ["<11>1 - web1 nginx - - - it is down", "<14>1 - db1 cron - - - fine"] {
            let line = Line::parse(None, text.as_bytes());
            table.count(ENDPOINT, &line, line.severity, Duration::from_secs(1));
        }
        let mut odd = Line::parse(None, b"text");
        odd.host = Some(b"a host");
        for _ in 0..2 {
            table.count(ENDPOINT, &odd, None, Duration::from_secs(2));
        }
        let shown = text(&table, &Lens::default(), Duration::from_secs(4));
        let expected = "\
lines/s  errors/s  lines  errors  host       program  ago  severity_of_newest  newest
    0.5       0.0      2       0  a\\x20host  -        2    -                   text
    0.2       0.0      1       0  db1        cron     3    info                fine
    0.2       0.2      1       1  web1       nginx    3    err                 it is down
";
        assert_eq!(shown, expected);
        let by = Lens { by: By::Publisher, ..Lens::default() };
        let shown = text(&table, &by, Duration::from_secs(4));
        assert!(shown.contains("tcp://b:2  not_there_yet  0     0       -"), "{shown}");
        assert!(
            shown.contains("web1 nginx: it is down") || shown.contains("a host: text"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn whatever_they_are_called_a_row_is_a_line_and_its_names_are_words(
            names in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>(), any::<Vec<u8>>()), 1..20)
        ) {
            let mut table = Table::new([ENDPOINT].into_iter(), 100);
            for (host, program, message) in &names {
                let mut line = Line::parse(None, message);
                (line.host, line.program) = (Some(&host[..]), Some(&program[..]));
                table.count(ENDPOINT, &line, Some(Severity::Info), Duration::ZERO);
            }
            let lens = Lens::default();
            let shown = text(&table, &lens, Duration::from_secs(4));
            let entries = table.entries(&lens, Duration::from_secs(4)).len();
            prop_assert_eq!(shown.split('\n').count(), entries + 2);
            for line in shown.lines().skip(1) {
                prop_assert!(line.chars().all(|sign| !sign.is_control()));
                let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
                prop_assert_eq!(words.get(6), Some(&"4"), "{}", line);
                prop_assert_eq!(words.get(7), Some(&"info"), "{}", line);
            }
        }
    }
}
