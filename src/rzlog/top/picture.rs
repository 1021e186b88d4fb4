//! What is on the screen: rows of texts with their inks, each at its column and no wider than there is room.
//! Pure. Foreign texts come in through words.rs only.

use std::time::Duration;

use rzlog_client::Severity;

use super::lens::{By, Lens};
use super::pane::{Kept, Pane};
use super::place::{Grade, Key, Name, Place};
use super::state::{Page, State};
use super::table::{Entry, Link, Table};
use super::words::{ago, clean, count, fit, grade, name, pad, short, width, wrap};
use crate::show::rfc3339;

/// How a text looks. What the colours are is the terminal's; without colours, the grave ones are bold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ink {
    #[default]
    Plain,
    Bold,
    Faint,
    Warning,
    Error,
    Grave,
    Chosen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) column: u16,
    pub(super) text: String,
    pub(super) ink: Ink,
}

/// One row of the screen.
pub(super) type Row = Vec<Span>;

/// What the picture is of.
pub(super) struct View<'a> {
    pub(super) table: &'a Table,
    pub(super) now: Duration,
    /// The start, in seconds since 1970.
    pub(super) began: u64,
    /// Columns and rows of the screen.
    pub(super) size: (u16, u16),
}

/// With so many columns there is room for numbers since the start.
const ROOMY: usize = 100;

const KEYS: &str =
    "enter tail  / find  s severity  o order  1-5 by what  n notices  ? help  q quit";
const TAIL_KEYS: &str =
    "esc back  space stand still, go on  up, down, pgup, pgdn, home, end  ^C quit";
const BACK_KEYS: &str = "esc back  ^C quit";

const HELP: [&str; 18] = [
    "rzlog top: the lines of publishers, counted",
    "",
    "1 to 5, tab     by host and program, host, program, severity, publisher",
    "up, down        choose a row; pgup, pgdn, end; home: whichever is the first",
    "enter           the lines of the row as they come, in all their length",
    "/               only rows in whose host, program or publisher a text is found",
    "s               only warnings and graver, only errors, only critical ones, all",
    "esc             all rows and lines again; back from here or from a row's lines",
    "o               order: lines/s, errors, newest line, name",
    "n               the notices so far",
    "q, ^C, ^Z       end; ^Z stops it until fg",
    "",
    "lines/s and errors/s are those of the last 10 seconds, lines and errors those since the start.",
    "Errors are lines of severity err, crit, alert and emerg. A line's severity is that of its priority,",
    "else of its JSON; - stands for what a line does not say.",
    "(others) have no row of their own: the rows of a publisher, and of a host, are bounded.",
    "A publisher keeps nothing for who is not there: what it said while it was lost is not counted.",
    "By publisher: gaps are connections lost, missed are lines that a publisher with numbers dropped.",
];

/// The picture, with as many rows as the screen has.
pub(super) fn picture(state: &mut State, view: &View<'_>) -> Vec<Row> {
    let wide = usize::from(view.size.0);
    let high = usize::from(view.size.1);
    let mut bottom = vec![last_row(state, view, wide)];
    if high >= 10 {
        let keys = match &state.page {
            Page::Table => KEYS,
            Page::Tail(_) => TAIL_KEYS,
            Page::Notices | Page::Help => BACK_KEYS,
        };
        bottom.insert(0, Line::new(wide).and(Ink::Faint, keys).row);
    }
    let mut rows = head(view, wide);
    if !matches!(state.page, Page::Table) || high < 6 {
        rows.truncate(1);
    }
    let room = high.saturating_sub(rows.len() + bottom.len());
    match &state.page {
        Page::Table => table(state, view, wide, room, &mut rows),
        Page::Tail(pane) => tail(pane, view, wide, room, &mut rows),
        Page::Notices => {
            let notices = state.notices().rev().map(|(at, text)| {
                (Ink::Plain, format!("{}  {}", clock(view, *at), clean(text.as_bytes())))
            });
            rows.extend(from_below(notices, wide, room));
        }
        Page::Help => {
            let pieces = HELP.iter().flat_map(|text| wrap(text, wide)).take(room);
            rows.extend(pieces.map(|text| Line::new(wide).and(Ink::Plain, text).row));
        }
    }
    rows.truncate(high.saturating_sub(bottom.len()));
    rows.resize(high.saturating_sub(bottom.len()), Row::new());
    rows.extend(bottom);
    rows.truncate(high);
    rows
}

/// A row that is being written from left to right.
struct Line {
    row: Row,
    taken: usize,
    wide: usize,
}

impl Line {
    fn new(wide: usize) -> Line {
        Line { row: Row::new(), taken: 0, wide }
    }

    /// With a text behind it, as far as there is room.
    fn and(mut self, ink: Ink, text: &str) -> Line {
        let text = fit(text, self.wide.saturating_sub(self.taken));
        let room = width(&text);
        if room > 0 {
            let column = u16::try_from(self.taken).unwrap_or(u16::MAX);
            self.row.push(Span { column, text: text.into_owned(), ink });
        }
        self.taken += room;
        self
    }
}

fn ink_of(grade: Grade) -> Ink {
    match grade.severity() {
        Some(Severity::Emergency | Severity::Alert | Severity::Critical) => Ink::Grave,
        Some(Severity::Error) => Ink::Error,
        Some(Severity::Warning) => Ink::Warning,
        Some(Severity::Debug) => Ink::Faint,
        _ => Ink::Plain,
    }
}

fn clock(view: &View<'_>, at: Duration) -> String {
    let time = rfc3339(view.began.saturating_add(at.as_secs()), 0);
    time.get(11..19).unwrap_or_default().to_owned()
}

/// Totals, severities as far as there were any, and who is away.
fn head(view: &View<'_>, wide: usize) -> Vec<Row> {
    let lens = Lens { by: By::Severity, ..Lens::default() };
    let entries = view.table.entries(&lens, view.now);
    let sum = |of: fn(&Entry<'_>) -> f64| entries.iter().map(of).sum::<f64>();
    let (rate, errors) = (sum(|entry| entry.rate), sum(|entry| entry.error_rate));
    let publishers = view.table.publishers();
    let there = publishers.iter().filter(|it| it.link == Link::There).count();
    let ink = if errors > 0.0 { Ink::Error } else { Ink::Plain };
    let first = Line::new(wide)
        .and(Ink::Bold, "rzlog top")
        .and(
            if there < publishers.len() { Ink::Warning } else { Ink::Plain },
            &format!("  {there} of {} publishers", publishers.len()),
        )
        .and(Ink::Plain, &format!("  {} lines/s", short(rate)))
        .and(ink, &format!("  {} errors/s", short(errors)))
        .and(Ink::Faint, &format!("  since {}", ago(view.now)));
    let mut severities = Line::new(wide);
    for of in Grade::all() {
        if let Some(entry) = entries.iter().find(|entry| entry.key.grade == Some(of)) {
            let ink = if entry.rate > 0.0 { ink_of(of) } else { Ink::Faint };
            severities = severities.and(ink, &format!("{} {}  ", grade(of), short(entry.rate)));
        }
    }
    let mut rows = vec![first.row, severities.row];
    let mut away = Line::new(wide);
    for publisher in publishers.iter().filter(|publisher| publisher.link != Link::There) {
        let text = format!(
            "{} {}  ",
            clean(publisher.endpoint.as_bytes()),
            link(publisher.link, view.now)
        );
        away = away.and(Ink::Warning, &text);
    }
    if !away.row.is_empty() {
        rows.push(away.row);
    }
    rows
}

pub(super) fn link(link: Link, now: Duration) -> String {
    match link {
        Link::Never => "not there yet".into(),
        Link::There => "connected".into(),
        Link::Lost(since) => format!("lost {}", ago(now.saturating_sub(since))),
    }
}

/// What is being typed, or the newest notice.
fn last_row(state: &State, view: &View<'_>, wide: usize) -> Row {
    if state.typing.is_some() {
        let find = clean(state.lens.find.as_bytes());
        let line = Line::new(wide).and(Ink::Bold, "find: ").and(Ink::Plain, &find);
        return line.and(Ink::Chosen, " ").and(Ink::Faint, "  enter: done, esc: as before").row;
    }
    match state.notices().next_back() {
        Some((at, text)) => {
            let ink = if text.starts_with("gap") { Ink::Warning } else { Ink::Plain };
            let text = format!("{}  {}", clock(view, *at), clean(text.as_bytes()));
            Line::new(wide).and(ink, &text).row
        }
        None => Row::new(),
    }
}

/// A column of the table.
struct Column {
    title: &'static str,
    room: usize,
    right: bool,
}

/// What a row of the table says in its columns.
type Cells = Vec<(Ink, String)>;

fn numbers(entry: &Entry<'_>, wide: usize) -> Cells {
    let ink = if entry.error_rate > 0.0 { Ink::Error } else { Ink::Plain };
    let mut cells = vec![(Ink::Plain, short(entry.rate)), (ink, short(entry.error_rate))];
    if wide >= ROOMY {
        let ink = if entry.errors > 0 { Ink::Error } else { Ink::Plain };
        cells.extend([(Ink::Plain, count(entry.lines)), (ink, count(entry.errors))]);
    }
    cells
}

/// The titles of the names in a key.
pub(super) fn titles(by: By) -> &'static [&'static str] {
    match by {
        By::Both => &["host", "program"],
        By::Host => &["host"],
        By::Program => &["program"],
        By::Severity => &["severity"],
        By::Publisher => &["publisher", "connection", "gaps", "missed"],
    }
}

/// The names in a key, as many as there are titles.
pub(super) fn names(key: &Key, table: &Table, now: Duration) -> Vec<String> {
    let mut names: Vec<_> = key.host.iter().chain(&key.program).map(name).collect();
    names.extend(key.grade.map(|of| grade(of).to_owned()));
    if let Some(publisher) = key.publisher.and_then(|index| table.publishers().get(index)) {
        names.extend([
            clean(publisher.endpoint.as_bytes()),
            link(publisher.link, now),
            publisher.gaps.to_string(),
            publisher.missed.to_string(),
        ]);
    }
    names
}

/// Whose a line is, as far as the key does not say it, in front of what it says.
pub(super) fn said(key: &Key, place: &Place, message: &[u8]) -> String {
    let own = |of: &Name| !matches!(of, Name::Own(name) if name.is_empty());
    let host = (key.host.is_none() && own(&place.host)).then(|| name(&place.host));
    let program = (key.program.is_none() && own(&place.program)).then(|| name(&place.program));
    let whose = [host, program].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let message = clean(message);
    if whose.is_empty() { message } else { format!("{whose}: {message}") }
}

fn table(state: &mut State, view: &View<'_>, wide: usize, room: usize, rows: &mut Vec<Row>) {
    let mut entries = view.table.entries(&state.lens, view.now);
    state.lens.order.sort(&mut entries);
    let lens = &state.lens;
    let mut looked = format!("by {}, {} first", lens.by.name(), lens.order.name());
    if let Some(least) = lens.least {
        looked += &format!(", only {} and graver", least.name());
    }
    if !lens.find.is_empty() {
        looked += &format!(", only with \"{}\"", clean(lens.find.as_bytes()));
    }
    let by = lens.by;
    let body = room.saturating_sub(2);
    let keys = entries.iter().map(|entry| entry.key.clone()).collect();
    let (first, chosen) = state.show(keys, body);
    let in_sight: Vec<_> = entries.iter().enumerate().skip(first).take(body).collect();
    let names: Vec<_> =
        in_sight.iter().map(|(_, entry)| names(&entry.key, view.table, view.now)).collect();
    let right = |title, room| Column { title, room, right: true };
    let mut columns = vec![right("lines/s", 8), right("errors/s", 8)];
    if wide >= ROOMY {
        columns.extend([right("lines", 7), right("errors", 7)]);
    }
    // two share the room that one may have nearly alone
    let most = if by == By::Both { wide / 4 } else { wide * 2 / 5 };
    for (index, &title) in titles(by).iter().enumerate() {
        let widest = names.iter().filter_map(|names| names.get(index)).map(|it| width(it)).max();
        let room = widest.unwrap_or(0).clamp(width(title), most.max(width(title)));
        columns.push(Column { title, room, right: false });
    }
    columns.push(right("ago", 3));
    let taken: usize = columns.iter().map(|column| column.room + 2).sum();
    columns.push(Column { title: "newest", room: wide.saturating_sub(taken), right: false });
    rows.push(Line::new(wide).and(Ink::Faint, &looked).row);
    let titles = columns.iter().map(|column| (Ink::Bold, column.title.to_owned()));
    rows.push(cells(titles.collect(), &columns, wide, None));
    for ((index, entry), names) in in_sight.into_iter().zip(names) {
        let mut row = numbers(entry, wide);
        row.extend(names.into_iter().map(|name| (Ink::Plain, name)));
        if let Some(newest) = &entry.newest {
            row.push((Ink::Plain, ago(view.now.saturating_sub(newest.at))));
            let text = said(&entry.key, &newest.place, newest.message);
            row.push((ink_of(newest.place.grade), text));
        }
        rows.push(cells(row, &columns, wide, (index == chosen).then_some(Ink::Chosen)));
    }
}

fn cells(cells: Cells, columns: &[Column], wide: usize, ink: Option<Ink>) -> Row {
    let mut line = Line::new(wide);
    for ((own, text), column) in cells.iter().zip(columns) {
        let text = pad(text, column.room, column.right);
        line = line.and(ink.unwrap_or(*own), &text).and(ink.unwrap_or_default(), "  ");
    }
    if let Some(ink) = ink {
        let rest = " ".repeat(wide.saturating_sub(line.taken));
        line = line.and(ink, &rest);
    }
    line.row
}

fn tail(pane: &Pane, view: &View<'_>, wide: usize, room: usize, rows: &mut Vec<Row>) {
    let mut title = names(&pane.key, view.table, view.now).join(" ");
    if let Some(least) = pane.lens.least {
        title += &format!(", only {} and graver", least.name());
    }
    if !pane.lens.find.is_empty() {
        title += &format!(", only with \"{}\"", clean(pane.lens.find.as_bytes()));
    }
    let line = Line::new(wide).and(Ink::Bold, &title);
    rows.push(match pane.missing {
        Some(missing) => {
            let text = format!("  standing still; {missing} lines meanwhile; space: go on");
            line.and(Ink::Warning, &text).row
        }
        None => line.row,
    });
    let kept = pane.last_first().map(|kept| match kept {
        Kept::Line { at, place, message } => {
            let text = said(&Key::default(), place, message);
            (ink_of(place.grade), format!("{}  {text}", clock(view, *at)))
        }
        Kept::Missing(lines) => (Ink::Faint, format!("… {lines} lines are not shown …")),
    });
    rows.extend(from_below(kept, wide, room.saturating_sub(1)));
}

/// Texts in all their length, the last one first, from the lowest row up to where there is room.
fn from_below(texts: impl Iterator<Item = (Ink, String)>, wide: usize, room: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (ink, text) in texts {
        if rows.len() >= room {
            break;
        }
        let pieces = wrap(&text, wide);
        rows.extend(pieces.iter().rev().map(|piece| Line::new(wide).and(ink, piece).row));
    }
    rows.truncate(room);
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyCode;
    use proptest::prelude::*;
    use rzlog_client::Line as Parsed;

    const ENDPOINTS: [&str; 3] = ["tcp://a:1", "tcp://b:2", "tcp://c:3"];

    fn table() -> Table {
        let mut table = Table::new(ENDPOINTS.into_iter(), 100);
        for endpoint in &ENDPOINTS[..2] {
            table.connected(endpoint);
        }
        table
    }

    fn count(table: &mut Table, endpoint: &str, text: &[u8], seconds: u64) {
        let line = Parsed::parse(None, text);
        table.count(endpoint, &line, line.severity, Duration::from_secs(seconds));
    }

    fn drawn(state: &mut State, table: &Table, size: (u16, u16)) -> Vec<Row> {
        let view = View { table, now: Duration::from_secs(10), began: 1_795_863_907, size };
        picture(state, &view)
    }

    /// As a terminal shows it.
    fn text(rows: &[Row]) -> String {
        let mut text = String::new();
        for row in rows {
            let mut at = 0;
            for span in row {
                let column = usize::from(span.column);
                text += &" ".repeat(column.saturating_sub(at));
                text += &span.text;
                at = column + width(&span.text);
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    #[test]
    fn the_table_has_numbers_names_and_the_newest_of_each() {
        let (mut state, mut table) = (State::new(Lens::default()), table());
        for second in 0..9 {
            count(&mut table, "tcp://a:1", b"<14>Nov 24 10:00:00 web1 nginx: fine", second);
        }
        count(&mut table, "tcp://b:2", b"<11>Nov 24 10:00:00 db1 postgres[7]: disk is full", 8);
        table.lost("tcp://b:2", Duration::from_secs(9));
        state.tell(Duration::from_secs(9), "gap: the connection to tcp://b:2 is lost".into());
        let rows = drawn(&mut state, &table, (100, 10));
        let expected = "\
rzlog top  1 of 3 publishers  1.0 lines/s  0.1 errors/s  since 10s
err 0.1  info 0.9
tcp://b:2 lost 1s  tcp://c:3 not there yet
by host and program, lines/s first
 lines/s  errors/s    lines   errors  host  program   ago  newest
     0.9         0        9        0  web1  nginx      2s  fine
     0.1       0.1        1        1  db1   postgres   2s  disk is full

enter tail  / find  s severity  o order  1-5 by what  n notices  ? help  q quit
11:05:16  gap: the connection to tcp://b:2 is lost
";
        assert_eq!(text(&rows), expected);
        assert!(
            include_str!("../../../docs/rzlog.md").contains(expected),
            "docs/rzlog.md has another one"
        );
        let error = rows[6].iter().find(|span| span.text.contains("disk")).unwrap();
        assert_eq!(error.ink, Ink::Error);
        assert!(rows[5].iter().all(|span| span.ink == Ink::Chosen));
    }

    #[test]
    fn a_rows_lines_are_there_in_all_their_length() {
        let (mut state, mut table) = (State::new(Lens::default()), table());
        let long = format!("<11>Nov 24 10:00:00 web1 app: begins {} ends", "x".repeat(100));
        count(&mut table, "tcp://a:1", long.as_bytes(), 1);
        drawn(&mut state, &table, (40, 12));
        state.press(KeyCode::Enter.into(), &table);
        let shown = text(&drawn(&mut state, &table, (40, 12)));
        let whole: String = shown.lines().skip(2).take(8).collect();
        assert!(whole.contains("begins ") && whole.contains(&"x".repeat(100)), "{shown}");
        assert!(whole.contains("ends") && shown.contains("web1 app"), "{shown}");
        state.press(KeyCode::Char(' ').into(), &table);
        let shown = text(&drawn(&mut state, &table, (100, 12)));
        assert!(shown.contains("standing still; 0 lines meanwhile"), "{shown}");
    }

    #[test]
    fn publishers_have_rows_without_lines_too() {
        let (mut state, table) =
            (State::new(Lens { by: By::Publisher, ..Lens::default() }), table());
        let shown = text(&drawn(&mut state, &table, (120, 20)));
        for expected in ["tcp://a:1  connected      0", "tcp://c:3  not there yet  0"] {
            assert!(shown.contains(expected), "{shown}");
        }
    }

    proptest! {
        /// Whatever the lines and the screen are: it is filled, not more, and nothing moves the terminal.
        #[test]
        fn a_picture_fits_its_screen(
            lines in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>(), 0..3_usize), 0..30),
            keys in "[1-5snjq?/o \r\u{1b}]{0,12}",
            size in (0..200_u16, 0..40_u16),
        ) {
            let (mut state, mut table) = (State::new(Lens::default()), table());
            for (text, topic, publisher) in &lines {
                let line = Parsed::parse(topic.as_deref(), text);
                table.count(ENDPOINTS[*publisher], &line, line.severity, Duration::from_secs(1));
                state.tell(Duration::ZERO, String::from_utf8_lossy(text).into_owned());
            }
            for key in keys.chars() {
                let code = match key {
                    '\r' => KeyCode::Enter,
                    '\u{1b}' => KeyCode::Esc,
                    other => KeyCode::Char(other),
                };
                state.press(code.into(), &table);
                let rows = drawn(&mut state, &table, size);
                prop_assert_eq!(rows.len(), usize::from(size.1));
                for span in rows.iter().flatten() {
                    prop_assert!(span.text.chars().all(|sign| !sign.is_control()), "{span:?}");
                    let end = usize::from(span.column) + width(&span.text);
                    prop_assert!(end <= usize::from(size.0), "{span:?}");
                }
            }
        }
    }
}
